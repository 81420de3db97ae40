// Every Multipath TCP socket of this network namespace, with its subflows, by the kernel's socket diagnosis.
//
// Decides: how sockets and subflows are brought together. The kernel lists them apart; a subflow is a TCP
// socket that names the token of its connection. Anybody may ask; older kernels hide that token from those
// without CAP_NET_ADMIN.
// Read: linux/inet_diag.h, linux/sock_diag.h, linux/mptcp.h (MPTCP_SUBFLOW_ATTR_*).
// Walk: netlink-socket.ts asks; `mptcp ss` prints.

import { parseAddress } from '../wire/index.ts';
import {
  decodeAddress,
  decodeMptcpInfo,
  decodeTcpInfo,
  type MptcpInfo,
  NATIVE_LITTLE,
  type SocketEndpoint,
  type TcpInfo,
} from './info.ts';
import { concatenate, decodeAttributes, encodeAttributes, u32, unsigned, zeroText } from './netlink.ts';
import { NetlinkSocket } from './netlink-socket.ts';

/** What the kernel tells of any socket. */
export interface SocketEntry {
  readonly state: string;
  readonly local: SocketEndpoint;
  readonly remote: SocketEndpoint;
  readonly receiveQueueBytes: number;
  readonly sendQueueBytes: number;
  readonly uid: number;
  readonly inode: number;
}

/** A TCP socket that is a subflow. */
export interface SubflowEntry extends SocketEntry {
  /** The token of the connection, here. */
  readonly token: number;
  readonly localId: number;
  readonly remoteId: number;
  /** It was joined to the connection, rather than being its first. */
  readonly joined: boolean;
  /** We, or the peer, asked for it to be used last. */
  readonly backupHere: boolean;
  readonly backupThere: boolean;
  readonly tcp: TcpInfo | undefined;
}

/** A Multipath TCP socket. */
export interface MultipathEntry extends SocketEntry {
  /** Undefined for listeners. */
  readonly info: MptcpInfo | undefined;
  readonly subflows: readonly SubflowEntry[];
}

/** All there are now. */
export function multipathSockets(): MultipathEntry[] {
  const netlink = new NetlinkSocket(NETLINK_SOCK_DIAG);
  try {
    const payloads = (protocol: number): Uint8Array[] =>
      [4, 6].flatMap(family =>
        netlink
          .request({
            type: SOCK_DIAG_BY_FAMILY,
            payload: encodeRequest(family as 4 | 6, protocol),
            dump: true,
          })
          .map(message => message.payload),
      );
    const subflows = payloads(IPPROTO_TCP).flatMap(payload => decodeSubflow(payload) ?? []);
    return payloads(IPPROTO_MPTCP).flatMap(payload => {
      const socket = decodeSocket(payload);
      if (socket === undefined) return [];
      const info = decodeInfo(payload);
      const token = info?.token ?? 0;
      return [{ ...socket, info, subflows: subflows.filter(each => token !== 0 && each.token === token) }];
    });
  } finally {
    netlink.close();
  }
}

/**
 * The subflow between these two ends; undefined when there is none, or when it may not be asked for. One
 * that is bound to a device is found only with the index of that device, one that is not with any.
 */
export function subflowBetween(
  local: SocketEndpoint,
  remote: SocketEndpoint,
  interfaceIndex = 0,
): SubflowEntry | undefined {
  asking ??= new NetlinkSocket(NETLINK_SOCK_DIAG);
  try {
    const payload = encodeLookup(local, remote, interfaceIndex);
    const [answer] = asking.request({ type: SOCK_DIAG_BY_FAMILY, payload });
    return answer === undefined ? undefined : decodeSubflow(answer.payload);
  } catch {
    return undefined;
  }
}

/** A `struct inet_diag_req_v2` for one TCP socket, by its two ends. */
export function encodeLookup(local: SocketEndpoint, remote: SocketEndpoint, interfaceIndex = 0): Uint8Array {
  const [from, to] = [new Int32Array(4), new Int32Array(4)];
  const family = parseAddress(local.address, from) === 4 ? 4 : 6;
  parseAddress(remote.address, to);
  const request = encodeRequest(family, IPPROTO_TCP);
  const view = new DataView(request.buffer);
  view.setUint16(8, local.port);
  view.setUint16(10, remote.port);
  // IPv4 has only the first of four words.
  for (const [at, words] of [
    [12, from],
    [28, to],
  ] as const) {
    const used = family === 4 ? words.subarray(3) : words;
    for (const [i, word] of used.entries()) view.setInt32(at + i * 4, word);
  }
  view.setUint32(44, interfaceIndex, NATIVE_LITTLE);
  // INET_DIAG_NOCOOKIE: whichever socket has these ends.
  view.setUint32(48, 0xffffffff);
  view.setUint32(52, 0xffffffff);
  return request;
}

/** A `struct inet_diag_req_v2` for all sockets in all states, with their info. */
export function encodeRequest(family: 4 | 6, protocol: number): Uint8Array {
  const request = new Uint8Array(REQUEST_BYTES);
  request[0] = family === 4 ? AF_INET : AF_INET6;
  request[1] = protocol & 0xff;
  request[2] = 1 << (INET_DIAG_INFO - 1);
  new DataView(request.buffer).setUint32(4, 0xffffffff, NATIVE_LITTLE);
  // A protocol number beyond 255 does not fit into the structure.
  return concatenate([request, encodeAttributes([[INET_DIAG_REQ_PROTOCOL, u32(protocol)]])]);
}

/** A `struct inet_diag_msg`; undefined when these bytes are too few. */
export function decodeSocket(payload: Uint8Array): SocketEntry | undefined {
  if (payload.length < MESSAGE_BYTES) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  const family = payload[0] === AF_INET ? 4 : 6;
  return {
    state: STATES[payload[1]] ?? `state ${payload[1]}`,
    local: { address: decodeAddress(payload.subarray(8), family), port: view.getUint16(4) },
    remote: { address: decodeAddress(payload.subarray(24), family), port: view.getUint16(6) },
    receiveQueueBytes: view.getUint32(56, NATIVE_LITTLE),
    sendQueueBytes: view.getUint32(60, NATIVE_LITTLE),
    uid: view.getUint32(64, NATIVE_LITTLE),
    inode: view.getUint32(68, NATIVE_LITTLE),
  };
}

/** The connection's info in the same message; undefined for listeners. */
export function decodeInfo(payload: Uint8Array): MptcpInfo | undefined {
  const info = decodeAttributes(payload.subarray(MESSAGE_BYTES)).get(INET_DIAG_INFO);
  return payload[1] === TCP_LISTEN || info === undefined ? undefined : decodeMptcpInfo(info);
}

/** A TCP socket that is a subflow; undefined when it is none. */
export function decodeSubflow(payload: Uint8Array): SubflowEntry | undefined {
  const socket = decodeSocket(payload);
  if (socket === undefined) return undefined;
  const attributes = decodeAttributes(payload.subarray(MESSAGE_BYTES));
  const upper = decodeAttributes(attributes.get(INET_DIAG_ULP_INFO) ?? NOTHING);
  if (zeroText(upper, INET_ULP_INFO_NAME) !== 'mptcp') return undefined;
  const subflow = decodeAttributes(upper.get(INET_ULP_INFO_MPTCP) ?? NOTHING);
  const flags = unsigned(subflow, MPTCP_SUBFLOW_ATTR_FLAGS) ?? 0;
  return {
    ...socket,
    token: unsigned(subflow, MPTCP_SUBFLOW_ATTR_TOKEN_LOC) ?? 0,
    localId: unsigned(subflow, MPTCP_SUBFLOW_ATTR_ID_LOC) ?? 0,
    remoteId: unsigned(subflow, MPTCP_SUBFLOW_ATTR_ID_REM) ?? 0,
    joined: (flags & (FLAG_JOIN_REM | FLAG_JOIN_LOC)) !== 0,
    backupHere: (flags & FLAG_BKUP_LOC) !== 0,
    backupThere: (flags & FLAG_BKUP_REM) !== 0,
    tcp: decodeTcpInfo(attributes.get(INET_DIAG_INFO) ?? NOTHING),
  };
}

let asking: NetlinkSocket | undefined;

/** States of TCP by the kernel's numbers, as `ss` calls them. */
const STATES: readonly (string | undefined)[] = [
  ...[undefined, 'ESTAB', 'SYN-SENT', 'SYN-RECV', 'FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT'],
  ...['UNCONN', 'CLOSE-WAIT', 'LAST-ACK', 'LISTEN', 'CLOSING', 'SYN-RECV'],
];
const NOTHING: Uint8Array = new Uint8Array(0);
const NETLINK_SOCK_DIAG = 4;
const SOCK_DIAG_BY_FAMILY = 20;
const REQUEST_BYTES = 56;
const MESSAGE_BYTES = 72;
const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;
const TCP_LISTEN = 10;
const INET_DIAG_REQ_PROTOCOL = 3;
const INET_DIAG_INFO = 2;
const INET_DIAG_ULP_INFO = 19;
const INET_ULP_INFO_NAME = 1;
const INET_ULP_INFO_MPTCP = 3;
const MPTCP_SUBFLOW_ATTR_TOKEN_LOC = 2;
const MPTCP_SUBFLOW_ATTR_FLAGS = 8;
const MPTCP_SUBFLOW_ATTR_ID_REM = 9;
const MPTCP_SUBFLOW_ATTR_ID_LOC = 10;
const FLAG_JOIN_REM = 4;
const FLAG_JOIN_LOC = 8;
const FLAG_BKUP_REM = 16;
const FLAG_BKUP_LOC = 32;
