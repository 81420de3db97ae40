// A connection of the kernel's as it is at this moment, by its descriptor.
//
// Decides: which calls tell what, in one place for Multipath TCP and for plain TCP, so that whoever looks
// need not know which of the two it has become.
// Walk: api/kernel-watch asks; info.ts reads the answers.

import { foreign, type Memory } from '../ffi/index.ts';
import { isMultipath, readOption } from './descriptor.ts';
import {
  decodeFullInfo,
  decodeMptcpInfo,
  decodeSubflowAddresses,
  decodeSubflowInfo,
  decodeTcpInfo,
  type FullInfo,
  type MptcpInfo,
  type SocketEndpoint,
  subflowPieces,
  type TcpInfo,
  writeFullInfo,
  writeSubflowHead,
} from './info.ts';

/** One subflow. */
export interface KernelSubflow {
  /** Which it is of those the connection has had, from 1; only Linux 6.5 and later tell. */
  readonly number?: number;
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
    const full = fullStatusOf(fd);
    if (full !== undefined) return full;
    const info = decodeMptcpInfo(option(fd, SOL_MPTCP, MPTCP_INFO));
    if (info !== undefined) return { multipath: true, info, subflows: subflowsOf(fd) };
  }
  // Between the two questions it may have fallen back.
  return { multipath: false, tcp: decodeTcpInfo(option(fd, SOL_TCP, TCP_INFO)) };
}

/** Its subflows; none when it is plain TCP. */
export function subflowsOf(fd: number): readonly KernelSubflow[] {
  return fullStatusOf(fd)?.subflows ?? subflowsByParts(fd);
}

/** All in one call, in which nothing can change; undefined when it cannot (before 6.5), or for plain TCP. */
export function fullStatusOf(fd: number): (KernelStatus & { readonly multipath: true }) | undefined {
  full ??= new FullInfoCall();
  for (;;) {
    const answer = full.ask(fd);
    if (answer === undefined) return undefined;
    if (answer.head.subflows <= full.room) {
      return { multipath: true, info: answer.head.info, subflows: answer.subflows };
    }
    full = new FullInfoCall(answer.head.subflows * 2);
  }
}

/** The same by the calls that kernels before 6.5 have as well. */
export function subflowsByParts(fd: number): KernelSubflow[] {
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

/** MPTCP_FULL_INFO, with the memory that it needs. */
class FullInfoCall {
  readonly room: number;
  readonly #head: Uint8Array = new Uint8Array(FULL_INFO_BYTES);
  readonly #subflows: Memory;
  readonly #tcp: Memory;

  constructor(room = MOST_SUBFLOWS) {
    this.room = room;
    this.#subflows = foreign().allocate(room * SUBFLOW_INFO_BYTES);
    this.#tcp = foreign().allocate(room * TCP_INFO_BYTES);
  }

  ask(fd: number): { head: FullInfo; subflows: KernelSubflow[] } | undefined {
    writeFullInfo(this.#head, {
      subflows: { address: this.#subflows.address, pieceBytes: SUBFLOW_INFO_BYTES },
      tcp: { address: this.#tcp.address, pieceBytes: TCP_INFO_BYTES },
      room: this.room,
    });
    const length = readOption(fd, SOL_MPTCP, MPTCP_FULL_INFO, this.#head);
    const head = decodeFullInfo(this.#head.subarray(0, Math.max(0, length)));
    if (head === undefined) return undefined;
    const subflows: KernelSubflow[] = [];
    for (let i = 0; i < Math.min(head.subflows, this.room); i++) {
      const at = [i * SUBFLOW_INFO_BYTES, i * TCP_INFO_BYTES];
      const which = decodeSubflowInfo(this.#subflows.bytes.subarray(at[0], at[0] + head.subflowBytes));
      const tcp = decodeTcpInfo(this.#tcp.bytes.subarray(at[1], at[1] + head.tcpBytes));
      if (which !== undefined && tcp !== undefined) subflows.push({ ...which, tcp });
    }
    return { head, subflows };
  }
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

let full: FullInfoCall | undefined;
const scratch: Uint8Array = new Uint8Array(512);
const SUBFLOW_HEAD_BYTES = 16;
/** As far as `struct tcp_info` is of interest here, and what the kernel knows of it may be longer. */
const TCP_INFO_BYTES = 280;
const SUBFLOW_ADDRS_BYTES = 256;
const SUBFLOW_INFO_BYTES = 264;
/** A head of 40, and as much of `struct mptcp_info` as there may be. */
const FULL_INFO_BYTES = 40 + 256;
/** The path manager makes at most 8 beside the first; programs may ask for more. */
const MOST_SUBFLOWS = 32;
const SOL_TCP = 6;
const TCP_INFO = 11;
const SOL_MPTCP = 284;
const MPTCP_INFO = 1;
const MPTCP_TCPINFO = 2;
const MPTCP_SUBFLOW_ADDRS = 3;
const MPTCP_FULL_INFO = 4;
