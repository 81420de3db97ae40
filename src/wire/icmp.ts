/**
 * ICMP and ICMPv6 errors about a TCP segment of ours: what went wrong, and which segment it was.
 *
 * Read first: RFC 792, RFC 4443 §2 and §3, RFC 1191 §4 (next-hop MTU), RFC 8201 §4, RFC 9293 §3.9.2.2.
 * On the walk: a link hands `host` a packet; what is no TCP segment is tried here.
 */
import { foldChecksum, onesComplementSum } from './checksum.ts';
import { packetEnd } from './ip.ts';
import { readI32, readU16 } from './octets.ts';
import type { Segment } from './segment.ts';

/** What an error means to a TCP connection (RFC 9293 §3.9.2.2). */
export const IcmpMeaning = {
  /** It may pass: no route, time exceeded, a parameter problem. */
  SOFT: 0,
  /** It will not: no such protocol or port. */
  HARD: 1,
  /** The packet was too big for a link on the way. */
  TOO_BIG: 2,
} as const;

/** One decoded error; reused. */
export class IcmpError {
  meaning = 0;
  /** Largest packet that passes, when it was too big; 0 where an old router does not say. */
  mtuBytes = 0;
  /** Length of the packet it is about. */
  packetBytes = 0;
  /** Sequence number of the segment it is about. */
  seq = 0;
  type = 0;
  code = 0;
}

/**
 * Decodes the packet of `length` bytes at `offset`. The segment gets the addresses and ports that an answer
 * to ours would have had. False when it is no error about a TCP segment, or damaged.
 */
export function decodeIcmp(
  error: IcmpError,
  segment: Segment,
  bytes: Uint8Array,
  offset: number,
  length: number,
): boolean {
  const end = packetEnd(bytes, offset, length);
  if (end === -1) return false;
  const ipv4 = bytes[offset] >> 4 === 4;
  const icmp = offset + (ipv4 ? (bytes[offset] & 15) << 2 : 40);
  if (bytes[offset + (ipv4 ? 9 : 6)] !== (ipv4 ? ICMP : ICMPV6) || icmp + 8 > end) return false;
  if (ipv4 && (readU16(bytes, offset + 6) & FRAGMENT) !== 0) return false;
  // ICMPv6 covers a pseudo-header, ICMP does not.
  const pseudo = ipv4 ? 0 : onesComplementSum(bytes, offset + 8, 32, ICMPV6 + end - icmp);
  if (foldChecksum(onesComplementSum(bytes, icmp, end - icmp, pseudo)) !== 0) return false;
  error.type = bytes[icmp];
  error.code = bytes[icmp + 1];
  error.mtuBytes = 0;
  if (!(ipv4 ? classify4(error, bytes, icmp) : classify6(error, bytes, icmp))) return false;
  const inner = icmp + 8;
  return ipv4 ? quoted4(error, segment, bytes, inner, end) : quoted6(error, segment, bytes, inner, end);
}

function classify4(error: IcmpError, bytes: Uint8Array, icmp: number): boolean {
  const { type, code } = error;
  error.meaning = IcmpMeaning.SOFT;
  if (type === 11 || type === 12) return true;
  if (type !== 3) return false;
  if (code === 2 || code === 3) error.meaning = IcmpMeaning.HARD;
  if (code === 4) {
    error.meaning = IcmpMeaning.TOO_BIG;
    error.mtuBytes = readU16(bytes, icmp + 6);
  }
  return true;
}

function classify6(error: IcmpError, bytes: Uint8Array, icmp: number): boolean {
  const { type, code } = error;
  error.meaning = IcmpMeaning.SOFT;
  if (type === 3 || type === 4) return true;
  if (type === 2) {
    error.meaning = IcmpMeaning.TOO_BIG;
    error.mtuBytes = Math.min(readI32(bytes, icmp + 4) >>> 0, 65_535);
    return true;
  }
  // RFC 4443 §3.1: 4 is port unreachable; RFC 5461 §3: what ICMP calls protocol unreachable is a parameter
  // problem.
  if (type === 1 && code === 4) error.meaning = IcmpMeaning.HARD;
  return type === 1;
}

function quoted4(error: IcmpError, segment: Segment, bytes: Uint8Array, inner: number, end: number): boolean {
  if (bytes[inner] >> 4 !== 4 || bytes[inner + 9] !== TCP) return false;
  const tcp = inner + ((bytes[inner] & 15) << 2);
  if (tcp < inner + 20 || tcp + 8 > end) return false;
  segment.src0 = segment.src1 = segment.dst0 = segment.dst1 = 0;
  segment.src2 = segment.dst2 = 0xffff;
  segment.dst3 = readI32(bytes, inner + 12);
  segment.src3 = readI32(bytes, inner + 16);
  error.packetBytes = readU16(bytes, inner + 2);
  quotedTcp(error, segment, bytes, tcp);
  return true;
}

/** Our packets have no extension headers. */
function quoted6(error: IcmpError, segment: Segment, bytes: Uint8Array, inner: number, end: number): boolean {
  if (inner + 48 > end || bytes[inner] >> 4 !== 6 || bytes[inner + 6] !== TCP) return false;
  segment.dst0 = readI32(bytes, inner + 8);
  segment.dst1 = readI32(bytes, inner + 12);
  segment.dst2 = readI32(bytes, inner + 16);
  segment.dst3 = readI32(bytes, inner + 20);
  segment.src0 = readI32(bytes, inner + 24);
  segment.src1 = readI32(bytes, inner + 28);
  segment.src2 = readI32(bytes, inner + 32);
  segment.src3 = readI32(bytes, inner + 36);
  error.packetBytes = 40 + readU16(bytes, inner + 4);
  quotedTcp(error, segment, bytes, inner + 40);
  return true;
}

function quotedTcp(error: IcmpError, segment: Segment, bytes: Uint8Array, tcp: number): void {
  segment.dstPort = readU16(bytes, tcp);
  segment.srcPort = readU16(bytes, tcp + 2);
  error.seq = readI32(bytes, tcp + 4) >>> 0;
}

const ICMP = 1;
const TCP = 6;
const ICMPV6 = 58;
const FRAGMENT = 0x3fff;
