// A connection of the kernel's as it is at this moment, by its descriptor.
//
// Decides: which calls tell what, in one place for Multipath TCP and for plain TCP, so that whoever looks
// need not know which of the two it has become.
// Walk: api/kernel-watch asks; info.ts reads the answers.

import { isMultipath, readOption } from './descriptor.ts';
import {
  decodeMptcpInfo,
  decodeSubflowAddresses,
  decodeTcpInfo,
  type MptcpInfo,
  type SocketEndpoint,
  subflowPieces,
  type TcpInfo,
  writeSubflowHead,
} from './info.ts';

/** One subflow. */
export interface KernelSubflow {
  readonly local: SocketEndpoint;
  readonly remote: SocketEndpoint;
  readonly tcp: TcpInfo;
}

/** Multipath TCP, or plain TCP with its one flow. */
export type KernelStatus =
  | {
      readonly multipath: true;
      readonly info: MptcpInfo;
      readonly subflows: readonly KernelSubflow[];
    }
  | { readonly multipath: false; readonly tcp: TcpInfo | undefined };

/** What the kernel knows of a connection. */
export function statusOf(fd: number): KernelStatus {
  if (isMultipath(fd)) {
    const info = decodeMptcpInfo(option(fd, SOL_MPTCP, MPTCP_INFO));
    if (info !== undefined) return { multipath: true, info, subflows: subflowsOf(fd) };
  }
  // Between the two questions it may have fallen back.
  return { multipath: false, tcp: decodeTcpInfo(option(fd, SOL_TCP, TCP_INFO)) };
}

/** Its subflows; none when it is plain TCP. */
export function subflowsOf(fd: number): KernelSubflow[] {
  // One may come or go between the two calls; then they are asked again.
  for (let tries = 0; tries < 3; tries++) {
    const states = pieces(fd, MPTCP_TCPINFO, TCP_INFO_BYTES);
    const addresses = pieces(fd, MPTCP_SUBFLOW_ADDRS, SUBFLOW_ADDRS_BYTES);
    if (states.length !== addresses.length) continue;
    const subflows: KernelSubflow[] = [];
    for (const [i, bytes] of addresses.entries()) {
      const ends = decodeSubflowAddresses(bytes);
      const tcp = decodeTcpInfo(states[i]);
      if (ends !== undefined && tcp !== undefined) subflows.push({ ...ends, tcp });
    }
    return subflows;
  }
  return [];
}

function option(fd: number, level: number, name: number): Uint8Array {
  const length = readOption(fd, level, name, scratch);
  return scratch.subarray(0, Math.max(0, length));
}

function pieces(fd: number, name: number, pieceBytes: number): Uint8Array[] {
  const bytes = new Uint8Array(SUBFLOW_HEAD_BYTES + MOST_SUBFLOWS * pieceBytes);
  writeSubflowHead(bytes, pieceBytes);
  const length = readOption(fd, SOL_MPTCP, name, bytes);
  return length < 0 ? [] : subflowPieces(bytes);
}

const scratch: Uint8Array = new Uint8Array(512);
const SUBFLOW_HEAD_BYTES = 16;
/** As far as `struct tcp_info` is of interest here, and what the kernel knows of it may be longer. */
const TCP_INFO_BYTES = 280;
const SUBFLOW_ADDRS_BYTES = 256;
/** The path manager makes at most 8 beside the first; programs may ask for more. */
const MOST_SUBFLOWS = 32;
const SOL_TCP = 6;
const TCP_INFO = 11;
const SOL_MPTCP = 284;
const MPTCP_INFO = 1;
const MPTCP_TCPINFO = 2;
const MPTCP_SUBFLOW_ADDRS = 3;
