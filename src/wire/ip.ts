/**
 * IPv4 and IPv6 headers: where a raw packet ends, where its TCP header begins, its addresses, and the
 * sum of the TCP pseudo-header. What is not an unfragmented TCP packet of consistent lengths is refused.
 *
 * Read first: RFC 791 §3.1, RFC 8200 §3, §4 and §8.1, RFC 6864 (why an IPv4 id may be 0).
 * On the walk: called by `packet`, which goes on with the TCP header.
 */
import { foldChecksum, onesComplementSum } from './checksum.ts';
import { readI32, readU16, writeI32, writeU16 } from './octets.ts';
import type { Segment } from './segment.ts';

export const IPV4_HEADER_BYTES = 20;
export const IPV6_HEADER_BYTES = 40;
export const TCP_PROTOCOL = 6;

/** Where the packet at `offset` ends by its own account, or -1 when the `length` bytes there are not a
 * whole packet. Bytes behind that end (link padding) are not part of it. */
export function packetEnd(bytes: Uint8Array, offset: number, length: number): number {
  if (offset < 0 || offset + length > bytes.length || length < IPV4_HEADER_BYTES) return -1;
  const version = bytes[offset] >> 4;
  if (version === 4) {
    const total = readU16(bytes, offset + 2);
    return total <= length && total >= IPV4_HEADER_BYTES ? offset + total : -1;
  }
  if (version === 6 && length >= IPV6_HEADER_BYTES) {
    const total = IPV6_HEADER_BYTES + readU16(bytes, offset + 4);
    return total <= length ? offset + total : -1;
  }
  return -1;
}

/** Where the TCP header of the packet from `offset` to `end` (see `packetEnd`) begins, or -1. */
export function tcpStart(bytes: Uint8Array, offset: number, end: number): number {
  const start = bytes[offset] >> 4 === 4 ? behindIpv4(bytes, offset) : behindIpv6(bytes, offset);
  if (start === -1) return -1;
  const headerBytes = (bytes[start + 12] >> 4) << 2;
  return headerBytes >= TCP_HEADER_BYTES && start + headerBytes <= end ? start : -1;
}

/** Fills version, addresses, traffic class and TTL of the segment from the IP header at `offset`. */
export function decodeIp(segment: Segment, bytes: Uint8Array, offset: number): void {
  if (bytes[offset] >> 4 === 4) {
    segment.ipVersion = 4;
    segment.dscp = bytes[offset + 1] >> 2;
    segment.ecn = bytes[offset + 1] & 3;
    segment.ttl = bytes[offset + 8];
    segment.src0 = 0;
    segment.src1 = 0;
    segment.src2 = 0xffff;
    segment.src3 = readI32(bytes, offset + 12);
    segment.dst0 = 0;
    segment.dst1 = 0;
    segment.dst2 = 0xffff;
    segment.dst3 = readI32(bytes, offset + 16);
    return;
  }
  segment.ipVersion = 6;
  segment.dscp = ((bytes[offset] & 15) << 2) | (bytes[offset + 1] >> 6);
  segment.ecn = (bytes[offset + 1] >> 4) & 3;
  segment.ttl = bytes[offset + 7];
  segment.src0 = readI32(bytes, offset + 8);
  segment.src1 = readI32(bytes, offset + 12);
  segment.src2 = readI32(bytes, offset + 16);
  segment.src3 = readI32(bytes, offset + 20);
  segment.dst0 = readI32(bytes, offset + 24);
  segment.dst1 = readI32(bytes, offset + 28);
  segment.dst2 = readI32(bytes, offset + 32);
  segment.dst3 = readI32(bytes, offset + 36);
}

/** The ECN field (RFC 3168 §5) of the IP header at `offset`: 0 not capable, 1 and 2 capable, 3 marked. */
export function ecnField(bytes: Uint8Array, offset: number): number {
  return bytes[offset] >> 4 === 4 ? bytes[offset + 1] & 3 : (bytes[offset + 1] >> 4) & 3;
}

/** Sets Congestion Experienced in the IP header at `offset`, as a router does. */
export function markCongestion(bytes: Uint8Array, offset: number): void {
  if (bytes[offset] >> 4 !== 4) {
    bytes[offset + 1] |= 0x30;
    return;
  }
  bytes[offset + 1] |= 3;
  writeIpv4Checksum(bytes, offset, (bytes[offset] & 15) << 2);
}

export function ipHeaderBytes(ipVersion: 4 | 6): number {
  return ipVersion === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
}

/** What an IP header is written from: a Segment is one. */
export interface IpFields {
  readonly ipVersion: 4 | 6;
  readonly src0: number;
  readonly src1: number;
  readonly src2: number;
  readonly src3: number;
  readonly dst0: number;
  readonly dst1: number;
  readonly dst2: number;
  readonly dst3: number;
  readonly dscp: number;
  readonly ecn: number;
  readonly ttl: number;
}

/** Writes the IP header of a packet that has `tcpBytes` behind it; returns its length. */
export function encodeIp(fields: IpFields, tcpBytes: number, out: Uint8Array, offset: number): number {
  if (fields.ipVersion === 4) {
    out[offset] = 0x45;
    out[offset + 1] = ((fields.dscp << 2) | (fields.ecn & 3)) & 0xff;
    writeU16(out, offset + 2, IPV4_HEADER_BYTES + tcpBytes);
    // Never fragmented, so the id needs no value (RFC 6864 §4.1).
    writeI32(out, offset + 4, DONT_FRAGMENT);
    out[offset + 8] = fields.ttl;
    out[offset + 9] = TCP_PROTOCOL;
    writeI32(out, offset + 12, fields.src3);
    writeI32(out, offset + 16, fields.dst3);
    writeIpv4Checksum(out, offset, IPV4_HEADER_BYTES);
    return IPV4_HEADER_BYTES;
  }
  out[offset] = 0x60 | ((fields.dscp >> 2) & 15);
  out[offset + 1] = ((fields.dscp & 3) << 6) | ((fields.ecn & 3) << 4);
  out[offset + 2] = 0;
  out[offset + 3] = 0;
  writeU16(out, offset + 4, tcpBytes);
  out[offset + 6] = TCP_PROTOCOL;
  out[offset + 7] = fields.ttl;
  writeI32(out, offset + 8, fields.src0);
  writeI32(out, offset + 12, fields.src1);
  writeI32(out, offset + 16, fields.src2);
  writeI32(out, offset + 20, fields.src3);
  writeI32(out, offset + 24, fields.dst0);
  writeI32(out, offset + 28, fields.dst1);
  writeI32(out, offset + 32, fields.dst2);
  writeI32(out, offset + 36, fields.dst3);
  return IPV6_HEADER_BYTES;
}

export function writeIpv4Checksum(out: Uint8Array, offset: number, headerBytes: number): void {
  writeU16(out, offset + 10, 0);
  writeU16(out, offset + 10, foldChecksum(onesComplementSum(out, offset, headerBytes)));
}

/** The sum of the pseudo-header of the packet at `offset` whose TCP part is `tcpBytes` long. */
export function pseudoHeaderSum(bytes: Uint8Array, offset: number, tcpBytes: number): number {
  const initial = TCP_PROTOCOL + tcpBytes;
  return bytes[offset] >> 4 === 4
    ? onesComplementSum(bytes, offset + 12, 8, initial)
    : onesComplementSum(bytes, offset + 8, 32, initial);
}

function behindIpv4(bytes: Uint8Array, offset: number): number {
  const headerBytes = (bytes[offset] & 15) << 2;
  if (headerBytes < IPV4_HEADER_BYTES || bytes[offset + 9] !== TCP_PROTOCOL) return -1;
  // More fragments, or a fragment offset.
  if ((readU16(bytes, offset + 6) & 0x3fff) !== 0) return -1;
  return offset + headerBytes;
}

/** A chain that leaves the packet ends behind it, where no TCP header fits. */
function behindIpv6(bytes: Uint8Array, offset: number): number {
  let next = bytes[offset + 6];
  let at = offset + IPV6_HEADER_BYTES;
  while (next !== TCP_PROTOCOL) {
    if (next !== HOP_BY_HOP && next !== ROUTING && next !== DESTINATION_OPTIONS) return -1;
    // Segments left: the packet is under way to somebody else.
    if (next === ROUTING && bytes[at + 3] !== 0) return -1;
    next = bytes[at];
    at += (bytes[at + 1] + 1) << 3;
  }
  return at;
}

const TCP_HEADER_BYTES = 20;
const DONT_FRAGMENT = 0x4000;
const HOP_BY_HOP = 0;
const ROUTING = 43;
const DESTINATION_OPTIONS = 60;
