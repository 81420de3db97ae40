// Decides how a middlebox reads and rewrites a packet: where header, options and payload lie, and how a
// packet is put together again with lengths and checksums right. It works on raw bytes, for a middlebox may
// write what no codec of ours would. RFC 9293 §3.1, RFC 791 §3.1. Before: every box of this folder. After:
// wire's checksums.

import { foldChecksum, onesComplementSum, verifyChecksum, writeChecksum } from '../../wire/index.ts';

/** Where things are in a TCP packet that begins at byte 0. */
export interface PacketShape {
  /** Start of the TCP header, of the payload, and the end of the packet. */
  readonly tcp: number;
  readonly payload: number;
  readonly end: number;
  readonly payloadLength: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq: number;
  readonly ack: number;
  readonly isSyn: boolean;
  readonly isAck: boolean;
  readonly isFin: boolean;
  readonly isRst: boolean;
}

export interface TcpOption {
  readonly kind: number;
  readonly at: number;
  readonly length: number;
  /** Of an MPTCP option: the upper four bits of its third byte; -1 where there is none. */
  readonly subtype: number;
}

/** Undefined when it is no TCP packet without IP options or extension headers. */
export function shapeOf(packet: Uint8Array): PacketShape | undefined {
  const ipv4 = packet[0] >> 4 === 4;
  const tcp = ipv4 ? (packet[0] & 15) << 2 : 40;
  if (packet.length < tcp + 20 || packet[ipv4 ? 9 : 6] !== TCP) return undefined;
  const end = ipv4 ? read16(packet, 2) : 40 + read16(packet, 4);
  const payload = tcp + ((packet[tcp + 12] >> 4) << 2);
  if (end > packet.length || payload > end || payload < tcp + 20) return undefined;
  const flags = packet[tcp + 13];
  return {
    tcp,
    payload,
    end,
    payloadLength: end - payload,
    srcPort: read16(packet, tcp),
    dstPort: read16(packet, tcp + 2),
    seq: read32(packet, tcp + 4),
    ack: read32(packet, tcp + 8),
    isSyn: (flags & SYN) !== 0,
    isAck: (flags & ACK) !== 0,
    isFin: (flags & FIN) !== 0,
    isRst: (flags & RST) !== 0,
  };
}

/** The options up to the end marker, padding left out. */
export function tcpOptions(packet: Uint8Array, shape: PacketShape): TcpOption[] {
  const list: TcpOption[] = [];
  for (let at = shape.tcp + 20; at < shape.payload && packet[at] !== END_OF_OPTIONS; ) {
    if (packet[at] === NO_OPERATION) {
      at++;
      continue;
    }
    const length = packet[at + 1];
    if (length < 2 || at + length > shape.payload) break;
    list.push({ kind: packet[at], at, length, subtype: length > 2 ? packet[at + 2] >> 4 : -1 });
    at += length;
  }
  return list;
}

/** What a new packet has instead of the one it is made from. */
export interface Changes {
  readonly seq?: number;
  readonly ack?: number;
  /** Flags of the TCP header, all of them. */
  readonly flags?: number;
  readonly window?: number;
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
}

/** The same packet with changes, lengths and checksums right. */
export function rebuilt(packet: Uint8Array, shape: PacketShape, changes: Changes): Uint8Array<ArrayBuffer> {
  const options = padded(changes.options ?? packet.subarray(shape.tcp + 20, shape.payload));
  const payload = changes.payload ?? packet.subarray(shape.payload, shape.end);
  const headerEnd = shape.tcp + 20 + options.length;
  const made = new Uint8Array(headerEnd + payload.length);
  made.set(packet.subarray(0, shape.tcp + 20));
  made.set(options, shape.tcp + 20);
  made.set(payload, headerEnd);
  made[shape.tcp + 12] = ((20 + options.length) << 2) | (made[shape.tcp + 12] & 15);
  if (changes.seq !== undefined) write32(made, shape.tcp + 4, changes.seq);
  if (changes.ack !== undefined) write32(made, shape.tcp + 8, changes.ack);
  if (changes.flags !== undefined) made[shape.tcp + 13] = changes.flags;
  if (changes.window !== undefined) write16(made, shape.tcp + 14, changes.window);
  if (made[0] >> 4 === 4) write16(made, 2, made.length);
  else write16(made, 4, made.length - 40);
  repair(made);
  return made;
}

/** A packet of the box's own, with the addresses and ports of this one exchanged. */
export function answerTo(packet: Uint8Array, shape: PacketShape, changes: Changes): Uint8Array<ArrayBuffer> {
  const made = rebuilt(packet, shape, {
    options: new Uint8Array(0),
    payload: new Uint8Array(0),
    ...changes,
  });
  const half = made[0] >> 4 === 4 ? 4 : 16;
  const from = made[0] >> 4 === 4 ? 12 : 8;
  exchange(made, from, from + half, half);
  exchange(made, shape.tcp, shape.tcp + 2, 2);
  repair(made);
  return made;
}

/** Makes the checksums right after bytes were changed in place. */
export function repair(packet: Uint8Array): void {
  if (packet[0] >> 4 === 4) {
    write16(packet, 10, 0);
    write16(packet, 10, foldChecksum(onesComplementSum(packet, 0, (packet[0] & 15) << 2)));
  }
  writeChecksum(packet, 0, packet.length);
}

/**
 * A box drops, or passes on as it is, what arrives damaged; most do not look, and must not repair it
 * either.
 */
export function isDamaged(packet: Uint8Array): boolean {
  return !verifyChecksum(packet, 0, packet.length);
}

/** A copy of some options alone, with their padding made new. */
export function optionBytes(packet: Uint8Array, options: readonly TcpOption[]): Uint8Array {
  return join(options.map(({ at, length }) => packet.subarray(at, at + length)));
}

export function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Signed distance of two sequence numbers. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

export function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

export function read32(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}

export function write16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 8;
  bytes[at + 1] = value;
}

export function write32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function exchange(bytes: Uint8Array, one: number, other: number, length: number): void {
  const kept = bytes.slice(one, one + length);
  bytes.copyWithin(one, other, other + length);
  bytes.set(kept, other);
}

function padded(options: Uint8Array): Uint8Array {
  const rest = options.length & 3;
  if (rest === 0) return options;
  return join([options, new Uint8Array(4 - rest).fill(NO_OPERATION)]);
}

export const NO_OPERATION = 1;
export const END_OF_OPTIONS = 0;
const TCP = 6;
const FIN = 1;
const SYN = 2;
const RST = 4;
const ACK = 16;
