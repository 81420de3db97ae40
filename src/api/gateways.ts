// The name of the network behind a device: the device, and the router it leads to by default.
//
// Decides: what counts as one network when what its middleboxes did is remembered. An address alone says
// little: 192.168.1.0/24 is at home and in the café. Linux says which router it is; elsewhere the address's
// prefix, which the host takes by itself, has to do.
// Read: proc_pid_net(5), `route`.
// Walk: api/network asks when it opens an interface.

import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { formatAddress, parseAddress } from '../wire/index.ts';
import type { LocalAddress } from './addresses.ts';

/** Says what the network behind an address is called; undefined where that is not known. */
export type NetworkNamer = (local: LocalAddress) => string | undefined;

/** By the routing tables of Linux. */
export function networkName(local: LocalAddress, read: TableReader = readTable): string | undefined {
  const gateway =
    local.family === 4
      ? ipv4Gateway(read('route'), local.device)
      : ipv6Gateway(read('ipv6_route'), local.device);
  return gateway === undefined ? undefined : `${local.device} via ${gateway}`;
}

/** The text of a table in /proc/net; empty where there is none. */
export type TableReader = (name: 'route' | 'ipv6_route') => string;

function readTable(name: string): string {
  try {
    return readFileSync(`/proc/net/${name}`, 'latin1');
  } catch {
    return '';
  }
}

function ipv4Gateway(table: string, device: string): string | undefined {
  const routes = rows(table)
    .filter(([name, destination, , flags, , , , mask]) => {
      const isDefault = destination === ZERO_IPV4 && mask === ZERO_IPV4;
      return name === device && isDefault && leadsToGateway(flags);
    })
    .map(([, , gateway, , , , metric]) => ({ gateway, metric: Number(metric) }));
  const best = nearest(routes);
  if (best === undefined) return undefined;
  const bytes = Buffer.from(best, 'hex');
  if (bytes.length !== 4) return undefined;
  // The kernel prints the address as a number of the machine.
  return (endianness() === 'LE' ? bytes.reverse() : bytes).join('.');
}

function ipv6Gateway(table: string, device: string): string | undefined {
  const routes = rows(table)
    .filter(([destination, length, , , , , , , flags, name]) => {
      const isDefault = destination === ZERO_IPV6 && length === '00';
      return name === device && isDefault && leadsToGateway(flags);
    })
    .map(([, , , , gateway, metric]) => ({ gateway, metric: Number.parseInt(metric, 16) }));
  const best = nearest(routes);
  const words = new Int32Array(4);
  if (best === undefined || parseAddress(best.replace(/.{4}(?=.)/g, '$&:'), words) !== 6) return undefined;
  return formatAddress(words[0], words[1], words[2], words[3]);
}

/** The gateway of the route that is used: that of the smallest metric. */
function nearest(routes: readonly { gateway: string; metric: number }[]): string | undefined {
  return [...routes].sort((one, other) => one.metric - other.metric)[0]?.gateway;
}

function rows(table: string): string[][] {
  return table.split('\n').map(line => line.trim().split(/\s+/));
}

function leadsToGateway(flags: string | undefined): boolean {
  return (Number.parseInt(flags ?? '0', 16) & RTF_GATEWAY) !== 0;
}

const ZERO_IPV4 = '00000000';
const ZERO_IPV6 = '0'.repeat(32);
const RTF_GATEWAY = 2;
