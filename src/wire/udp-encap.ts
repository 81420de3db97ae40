/**
 * TCP-in-UDP: a TCP segment as the payload of a UDP datagram between the same addresses and ports, of the
 * same total size. The 8 bytes of UDP header take the place of ports, checksum and urgent pointer; what is
 * left of the TCP header is turned so that data offset and flags come first:
 *
 *     TCP bytes 12-15 (offset, flags, window) | 4-11 (sequence, acknowledgement) | 20... (options, data)
 *
 * The data offset keeps its TCP value. URG is never set: its pointer has no place.
 *
 * Read first: docs/ARCHITECTURE.md on carriers. Between a udp link and `packet`.
 */
import { copyBytes } from './copy.ts';
import { encodeIp, type IpFields, ipHeaderBytes, packetEnd, tcpStart } from './ip.ts';
import { readI32, writeI32, writeU16 } from './octets.ts';
import { MAX_PACKET_BYTES, TCP_HEADER_BYTES } from './packet.ts';
import { Flag } from './segment.ts';

/** Bytes of an IP packet that are not UDP payload. */
export const UDP_HEADER_BYTES = 8;

/**
 * Turns the raw IP packet at `offset` into a UDP payload in place and returns where that begins; it ends
 * where the packet ended. -1, with nothing changed, when it is no TCP packet or is urgent. The bytes before
 * the returned offset are no longer a packet.
 */
export function encapsulate(bytes: Uint8Array, offset: number, length: number): number {
  const end = packetEnd(bytes, offset, length);
  const tcp = end === -1 ? -1 : tcpStart(bytes, offset, end);
  if (tcp === -1 || end !== offset + length || (bytes[tcp + 13] & Flag.URG) !== 0) return -1;
  const seq = readI32(bytes, tcp + 4);
  const ack = readI32(bytes, tcp + 8);
  const offsetFlagsWindow = readI32(bytes, tcp + 12);
  writeI32(bytes, tcp + 8, offsetFlagsWindow);
  writeI32(bytes, tcp + 12, seq);
  writeI32(bytes, tcp + 16, ack);
  return tcp + 8;
}

/** A received datagram and the buffer its packet goes to. Keep one and fill it in again for each. */
export interface Datagram extends IpFields {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly bytes: Uint8Array;
  readonly offset: number;
  readonly length: number;
  /** Not the memory the datagram lies in. */
  readonly out: Uint8Array;
  readonly outOffset: number;
}

/**
 * Writes the raw IP packet a datagram stands for at `out[outOffset]`; returns its length, or 0 when the
 * datagram is malformed. The TCP checksum is left 0: UDP's has been verified by whoever received it.
 */
export function decapsulate(datagram: Datagram): number {
  const { bytes, offset, length, out, outOffset } = datagram;
  if (offset + length > bytes.length || length < SHORTEST_PAYLOAD) return 0;
  const tcpHeaderBytes = (bytes[offset] >> 4) << 2;
  if (tcpHeaderBytes < TCP_HEADER_BYTES || tcpHeaderBytes > length + UDP_HEADER_BYTES) return 0;
  if ((bytes[offset + 1] & Flag.URG) !== 0) return 0;
  const tcpBytes = length + UDP_HEADER_BYTES;
  const ipBytes = ipHeaderBytes(datagram.ipVersion);
  if (ipBytes + tcpBytes > MAX_PACKET_BYTES) return 0;
  if (outOffset + ipBytes + tcpBytes > out.length) throw new Error('no room for the packet');
  const tcp = outOffset + ipBytes;
  // Everything behind the UDP header falls into place; the twelve bytes of header are then set right.
  copyBytes(bytes, offset, out, tcp + UDP_HEADER_BYTES, length);
  encodeIp(datagram, tcpBytes, out, outOffset);
  writeU16(out, tcp, datagram.srcPort);
  writeU16(out, tcp + 2, datagram.dstPort);
  writeI32(out, tcp + 4, readI32(bytes, offset + 4));
  writeI32(out, tcp + 8, readI32(bytes, offset + 8));
  writeI32(out, tcp + 12, readI32(bytes, offset));
  writeI32(out, tcp + 16, 0);
  return ipBytes + tcpBytes;
}

const SHORTEST_PAYLOAD = 12;
