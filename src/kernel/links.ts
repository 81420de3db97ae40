// Devices and addresses of this network namespace that come and go, as the kernel tells of them.
//
// Decides: that the news is only that something has changed; what there is now is asked for then. Anybody may
// listen.
// Read: linux/rtnetlink.h.
// Walk: api/kernel-paths listens.

import { foreign } from '../ffi/index.ts';
import { NetlinkSocket } from './netlink-socket.ts';

/** Tells that a device or an address has come, gone or changed. Does not keep the process alive. */
export function followLinks(onChange: () => void): { close(): void } {
  const netlink = new NetlinkSocket(NETLINK_ROUTE);
  try {
    for (const group of [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR]) {
      netlink.subscribe(group, onChange, onChange);
    }
    return netlink;
  } catch (error) {
    netlink.close();
    throw error;
  }
}

/** The index of a device; 0 when there is none of that name. */
export function interfaceIndexOf(device: string): number {
  return foreign().call('if_nametoindex', ['bytes'])(new TextEncoder().encode(`${device}\0`));
}

const NETLINK_ROUTE = 0;
const RTNLGRP_LINK = 1;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV6_IFADDR = 9;
