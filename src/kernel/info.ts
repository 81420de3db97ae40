// What the kernel says of one of its Multipath TCP connections, read out of its structures.
//
// Decides: which fields are of use. A structure grows with the kernel's version, so each is read as far as
// the kernel filled it, and what an older one does not know is 0.
// Read: linux/mptcp.h (mptcp_info, mptcp_subflow_data, mptcp_subflow_addrs) and linux/tcp.h (tcp_info).
// Walk: status.ts fetches the bytes; sock-diag.ts gets the same structures by netlink.

import { endianness } from 'node:os';
import { formatAddress } from '../wire/index.ts';

/** Structures of the kernel are in the machine's own order. */
export const NATIVE_LITTLE: boolean = endianness() === 'LE';

/** A connection: the fields of `struct mptcp_info` under their names. */
export interface MptcpInfo {
  /** Subflows beside the first. */
  readonly extraSubflows: number;
  readonly addAddrSignal: number;
  readonly addAddrAccepted: number;
  readonly subflowsMax: number;
  readonly addAddrSignalMax: number;
  readonly addAddrAcceptedMax: number;
  readonly fallback: boolean;
  readonly remoteKeyReceived: boolean;
  readonly token: number;
  readonly checksumEnabled: boolean;
  /** Bytes sent again at connection level (Linux 6.5 and later, as the three that follow). */
  readonly bytesRetransmitted: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly bytesAcked: number;
  /** All subflows, the first included (Linux 6.8 and later). */
  readonly subflowsTotal: number;
}

/** A subflow: the fields of `struct tcp_info` that say how it fares. */
export interface TcpInfo {
  readonly state: number;
  /** Congestion state; 4 is Loss, after a retransmission timeout. */
  readonly congestionState: number;
  readonly mssBytes: number;
  readonly rttMs: number;
  readonly cwndSegments: number;
  readonly retransmits: number;
  /** Sent and not acknowledged. */
  readonly unackedSegments: number;
  /** Since an acknowledgement came, in ms. */
  readonly lastAckMs: number;
  readonly rttVarMs: number;
  readonly bytesAcked: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly bytesRetransmitted: number;
}

/** An address and a port. */
export interface SocketEndpoint {
  readonly address: string;
  readonly port: number;
}

/** `struct mptcp_info`; undefined when these bytes are too few to be one. */
export function decodeMptcpInfo(bytes: Uint8Array): MptcpInfo | undefined {
  if (bytes.length < MPTCP_INFO_LEAST_BYTES) return undefined;
  const field = new Fields(bytes);
  const flags = field.u32(8);
  return {
    extraSubflows: field.u8(0),
    addAddrSignal: field.u8(1),
    addAddrAccepted: field.u8(2),
    subflowsMax: field.u8(3),
    addAddrSignalMax: field.u8(4),
    addAddrAcceptedMax: field.u8(5),
    fallback: (flags & FLAG_FALLBACK) !== 0,
    remoteKeyReceived: (flags & FLAG_REMOTE_KEY_RECEIVED) !== 0,
    token: field.u32(12),
    checksumEnabled: field.u8(42) !== 0,
    bytesRetransmitted: field.u64(48),
    bytesSent: field.u64(56),
    bytesReceived: field.u64(64),
    bytesAcked: field.u64(72),
    subflowsTotal: field.u8(80),
  };
}

/** `struct tcp_info`; undefined when these bytes are too few to be one. */
export function decodeTcpInfo(bytes: Uint8Array): TcpInfo | undefined {
  if (bytes.length < TCP_INFO_LEAST_BYTES) return undefined;
  const field = new Fields(bytes);
  return {
    state: field.u8(0),
    congestionState: field.u8(1),
    retransmits: field.u8(2),
    mssBytes: field.u32(16),
    unackedSegments: field.u32(24),
    lastAckMs: field.u32(56),
    rttMs: field.u32(68) / 1000,
    rttVarMs: field.u32(72) / 1000,
    cwndSegments: field.u32(80),
    bytesAcked: field.u64(120),
    bytesReceived: field.u64(128),
    bytesSent: field.u64(200),
    bytesRetransmitted: field.u64(208),
  };
}

/**
 * What MPTCP_TCPINFO and MPTCP_SUBFLOW_ADDRS fill: a `struct mptcp_subflow_data`, then one piece a subflow.
 */
export function subflowPieces(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length < SUBFLOW_DATA_BYTES) return [];
  const field = new Fields(bytes);
  const [start, count, pieceBytes] = [field.u32(0), field.u32(4), field.u32(12)];
  const pieces: Uint8Array[] = [];
  for (let i = 0; i < count && pieceBytes > 0; i++) {
    const at = start + i * pieceBytes;
    if (at + pieceBytes > bytes.length) break;
    pieces.push(bytes.subarray(at, at + pieceBytes));
  }
  return pieces;
}

/** The `struct mptcp_subflow_data` that the kernel wants to find: how large it is, and how large a piece. */
export function writeSubflowHead(bytes: Uint8Array, pieceBytes: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 0; at < SUBFLOW_DATA_BYTES; at += 4) view.setUint32(at, 0, NATIVE_LITTLE);
  view.setUint32(0, SUBFLOW_DATA_BYTES, NATIVE_LITTLE);
  view.setUint32(12, pieceBytes, NATIVE_LITTLE);
}

/** `struct mptcp_subflow_addrs`: two socket addresses, each with room for any. */
export function decodeSubflowAddresses(
  bytes: Uint8Array,
): { local: SocketEndpoint; remote: SocketEndpoint } | undefined {
  const local = decodeSocketAddress(bytes.subarray(0, SOCKET_ADDRESS_BYTES));
  const remote = decodeSocketAddress(bytes.subarray(SOCKET_ADDRESS_BYTES));
  return local === undefined || remote === undefined ? undefined : { local, remote };
}

/** The head of `struct mptcp_full_info`: what the kernel filled in, and where the arrays are. */
export interface FullInfo {
  /** All there are, which may be more than the arrays hold. */
  readonly subflows: number;
  /** Bytes of an entry of either array that the kernel filled. */
  readonly subflowBytes: number;
  readonly tcpBytes: number;
  readonly info: MptcpInfo;
}

/** Memory that `struct mptcp_full_info` points to. */
export interface FullInfoArrays {
  readonly subflows: { readonly address: bigint; readonly pieceBytes: number };
  readonly tcp: { readonly address: bigint; readonly pieceBytes: number };
  /** Entries that each of them has room for. */
  readonly room: number;
}

/** Writes what the kernel wants to find in a `struct mptcp_full_info`. */
export function writeFullInfo(bytes: Uint8Array, { subflows, tcp, room }: FullInfoArrays): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  bytes.fill(0, 0, FULL_INFO_HEAD_BYTES);
  view.setUint32(4, tcp.pieceBytes, NATIVE_LITTLE);
  view.setUint32(12, subflows.pieceBytes, NATIVE_LITTLE);
  view.setUint32(20, room, NATIVE_LITTLE);
  view.setBigUint64(24, subflows.address, NATIVE_LITTLE);
  view.setBigUint64(32, tcp.address, NATIVE_LITTLE);
}

/** A `struct mptcp_full_info` that the kernel filled; undefined when it did not. */
export function decodeFullInfo(bytes: Uint8Array): FullInfo | undefined {
  const info = decodeMptcpInfo(bytes.subarray(FULL_INFO_HEAD_BYTES));
  if (info === undefined) return undefined;
  const field = new Fields(bytes);
  return {
    subflows: field.u32(16),
    subflowBytes: Math.min(field.u32(8), field.u32(12)),
    tcpBytes: Math.min(field.u32(0), field.u32(4)),
    info,
  };
}

/** `struct mptcp_subflow_info`: which subflow it is, counted from 1, and its ends. */
export function decodeSubflowInfo(
  bytes: Uint8Array,
): { number: number; local: SocketEndpoint; remote: SocketEndpoint } | undefined {
  const ends = decodeSubflowAddresses(bytes.subarray(8));
  return ends === undefined ? undefined : { number: new Fields(bytes).u32(0), ...ends };
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
export function decodeSocketAddress(bytes: Uint8Array): SocketEndpoint | undefined {
  if (bytes.length < 28) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, NATIVE_LITTLE);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const address = decodeAddress(bytes.subarray(family === AF_INET ? 4 : 8), family === AF_INET ? 4 : 6);
  return { address, port: view.getUint16(2) };
}

/** The address that these bytes begin with; a v4-mapped one is the IPv4 address it stands for. */
export function decodeAddress(bytes: Uint8Array, family: 4 | 6): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (family === 4) return formatAddress(0, 0, 0xffff, view.getInt32(0));
  return formatAddress(view.getInt32(0), view.getInt32(4), view.getInt32(8), view.getInt32(12));
}

/** Reads in the machine's order; what lies beyond the end is 0. */
class Fields {
  readonly #view: DataView;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  u8(at: number): number {
    return at < this.#view.byteLength ? this.#view.getUint8(at) : 0;
  }

  u32(at: number): number {
    return at + 4 <= this.#view.byteLength ? this.#view.getUint32(at, NATIVE_LITTLE) : 0;
  }

  /** As a number: no counter of bytes reaches 2⁵³. */
  u64(at: number): number {
    return at + 8 <= this.#view.byteLength ? Number(this.#view.getBigUint64(at, NATIVE_LITTLE)) : 0;
  }
}

/** Everything up to `mptcpi_rcv_nxt`: Linux 5.9. */
const MPTCP_INFO_LEAST_BYTES = 40;
/** Everything up to `tcpi_total_retrans`: as old as tcp_info. */
const TCP_INFO_LEAST_BYTES = 104;
const SUBFLOW_DATA_BYTES = 16;
const FULL_INFO_HEAD_BYTES = 40;
const SOCKET_ADDRESS_BYTES = 128;
const FLAG_FALLBACK = 1;
const FLAG_REMOTE_KEY_RECEIVED = 2;
const AF_INET = 2;
const AF_INET6 = 10;
