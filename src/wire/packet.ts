/**
 * A raw IP packet with a TCP segment in it: decoded into a Segment, encoded from one, its TCP checksum
 * verified and written. Nothing is allocated, nothing is kept, and no bytes make the decoder throw.
 *
 * Read first: RFC 9293 §3.1, RFC 3168 §6.1 (ECN), RFC 8684 Appendix A (option space).
 * On the walk in: a link hands `host` a packet, `host` decodes it here. On the walk out: `tcp/output`
 * fills a segment, this writes the headers before the payload that is already in the buffer.
 */
import { foldChecksum, onesComplementSum } from './checksum.ts';
import { decodeIp, encodeIp, ipHeaderBytes, packetEnd, pseudoHeaderSum, tcpStart } from './ip.ts';
import { assertMptcpOptions } from './mptcp-encode.ts';
import { readI32, readU16, writeI32, writeU16 } from './octets.ts';
import { MAX_OPTIONS_BYTES } from './option-table.ts';
import type { Segment } from './segment.ts';
import { decodeOptions, encodeOptions, optionsLength } from './tcp-options.ts';

export const TCP_HEADER_BYTES = 20;

/**
 * Decodes the packet of `length` bytes at `offset`. False, the segment then being of no use, when it is not
 * a whole unfragmented TCP packet. The TCP checksum is not looked at: see `verifyChecksum`.
 */
export function decodePacket(segment: Segment, bytes: Uint8Array, offset: number, length: number): boolean {
  const end = packetEnd(bytes, offset, length);
  if (end === -1) return false;
  const tcp = tcpStart(bytes, offset, end);
  if (tcp === -1) return false;
  segment.reset();
  decodeIp(segment, bytes, offset);
  const headerBytes = (bytes[tcp + 12] >> 4) << 2;
  segment.srcPort = readU16(bytes, tcp);
  segment.dstPort = readU16(bytes, tcp + 2);
  segment.seq = readI32(bytes, tcp + 4) >>> 0;
  segment.ack = readI32(bytes, tcp + 8) >>> 0;
  segment.flags = bytes[tcp + 13];
  segment.window = readU16(bytes, tcp + 14);
  segment.urgent = readU16(bytes, tcp + 18);
  segment.payloadOffset = tcp + headerBytes;
  segment.payloadLength = end - tcp - headerBytes;
  decodeOptions(segment, bytes, tcp + TCP_HEADER_BYTES, tcp + headerBytes);
  return true;
}

/** Whether the packet is whole and its TCP checksum (and IPv4 header checksum) is right. */
export function verifyChecksum(bytes: Uint8Array, offset: number, length: number): boolean {
  const end = packetEnd(bytes, offset, length);
  if (end === -1) return false;
  const tcp = tcpStart(bytes, offset, end);
  if (tcp === -1) return false;
  if (bytes[offset] >> 4 === 4) {
    const headerSum = onesComplementSum(bytes, offset, (bytes[offset] & 15) << 2);
    if (foldChecksum(headerSum) !== 0) return false;
  }
  return foldChecksum(tcpSum(bytes, offset, tcp, end)) === 0;
}

/** Bytes of IP header, TCP header and options that `encodeHeaders` will write for the segment. */
export function headerLength(segment: Segment): number {
  return ipHeaderBytes(segment.ipVersion) + TCP_HEADER_BYTES + optionsLength(segment);
}

/**
 * Writes the headers for a payload of `segment.payloadLength` bytes, which belongs right behind them;
 * returns their length. The IPv4 header checksum is written, the TCP checksum left 0: see `writeChecksum`.
 * Throws on what a caller must not ask for: options over 40 bytes or not allowed by the option table, a
 * packet over 65,535 bytes, a buffer too short.
 */
export function encodeHeaders(segment: Segment, out: Uint8Array, offset: number): number {
  const optionsBytes = optionsLength(segment);
  const tcpHeaderBytes = TCP_HEADER_BYTES + optionsBytes;
  const tcpBytes = tcpHeaderBytes + segment.payloadLength;
  const ipBytes = ipHeaderBytes(segment.ipVersion);
  if (optionsBytes > MAX_OPTIONS_BYTES) throw new Error(`${optionsBytes} bytes of TCP options`);
  if (ipBytes + tcpBytes > MAX_PACKET_BYTES) throw new Error(`packet of ${ipBytes + tcpBytes} bytes`);
  if (offset + ipBytes + tcpHeaderBytes > out.length) throw new Error('no room for the headers');
  if (segment.mp !== 0) assertMptcpOptions(segment);
  encodeIp(segment, tcpBytes, out, offset);
  const tcp = offset + ipBytes;
  writeU16(out, tcp, segment.srcPort);
  writeU16(out, tcp + 2, segment.dstPort);
  writeI32(out, tcp + 4, segment.seq | 0);
  writeI32(out, tcp + 8, segment.ack | 0);
  out[tcp + 12] = tcpHeaderBytes << 2;
  out[tcp + 13] = segment.flags;
  writeU16(out, tcp + 14, segment.window);
  writeU16(out, tcp + 16, 0);
  writeU16(out, tcp + 18, segment.urgent);
  encodeOptions(segment, out, tcp + TCP_HEADER_BYTES);
  return ipBytes + tcpHeaderBytes;
}

/** Fills in the TCP checksum of the whole packet of `length` bytes at `offset`. */
export function writeChecksum(out: Uint8Array, offset: number, length: number): void {
  const end = packetEnd(out, offset, length);
  const tcp = end === -1 ? -1 : tcpStart(out, offset, end);
  if (tcp === -1) throw new Error('not a TCP packet');
  writeU16(out, tcp + 16, 0);
  writeU16(out, tcp + 16, foldChecksum(tcpSum(out, offset, tcp, end)));
}

function tcpSum(bytes: Uint8Array, offset: number, tcp: number, end: number): number {
  return onesComplementSum(bytes, tcp, end - tcp, pseudoHeaderSum(bytes, offset, end - tcp));
}

/** What the length field of an IPv4 header can say; kept to for IPv6 too. */
export const MAX_PACKET_BYTES = 65_535;
