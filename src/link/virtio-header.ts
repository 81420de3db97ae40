// The 12 bytes that precede a packet on a device with offload: what is unfinished in it – a checksum to be
// filled in, a super-segment to be split – and where.
//
// Decides: what we ask of the kernel for a packet of ours, and what a packet of the kernel's still needs
// here.
// Read: Virtual I/O Device (VIRTIO) 1.2 §5.1.6; RFC 9293 §3.1 for the pseudo-header.
// Walk: link/tun writes one in front of every packet, and reads one.

import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, onesComplementSum } from '../wire/index.ts';

export const VIRTIO_HEADER_BYTES = 12;

/**
 * Writes the header in front of the TCP packet of `length` bytes at `offset`, and into its checksum field the
 * sum of the pseudo-header, from which the kernel (or the hardware) goes on. Our packets have no IPv6
 * extension headers.
 */
export function writeVirtioHeader(
  bytes: Uint8Array,
  offset: number,
  length: number,
  segmentSizeBytes: number,
): void {
  const ipv4 = bytes[offset] >> 4 === 4;
  const ipBytes = ipv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES;
  const tcp = offset + ipBytes;
  const tcpBytes = length - ipBytes;
  const headerBytes = ipBytes + ((bytes[tcp + 12] >> 4) << 2);
  const addresses = ipv4 ? offset + 12 : offset + 8;
  const pseudo = onesComplementSum(bytes, addresses, ipv4 ? 8 : 32, TCP_PROTOCOL + tcpBytes);
  bytes[tcp + CHECKSUM_OFFSET] = pseudo >> 8;
  bytes[tcp + CHECKSUM_OFFSET + 1] = pseudo;
  const split = segmentSizeBytes > 0 && length - headerBytes > segmentSizeBytes;
  const congestion = (bytes[tcp + 13] & CWR) !== 0 ? GSO_ECN : 0;
  const at = offset - VIRTIO_HEADER_BYTES;
  bytes[at] = NEEDS_CHECKSUM;
  bytes[at + 1] = split ? (ipv4 ? GSO_TCPV4 : GSO_TCPV6) | congestion : 0;
  writeU16le(bytes, at + 2, split ? headerBytes : 0);
  writeU16le(bytes, at + 4, split ? segmentSizeBytes : 0);
  writeU16le(bytes, at + 6, ipBytes);
  writeU16le(bytes, at + 8, CHECKSUM_OFFSET);
  writeU16le(bytes, at + 10, 0);
}

/**
 * Whether the checksum of the packet behind the header needs no verifying: it never left this machine, or
 * was.
 */
export function isChecksumTrusted(bytes: Uint8Array): boolean {
  return (bytes[0] & (NEEDS_CHECKSUM | DATA_VALID)) !== 0;
}

function writeU16le(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >> 8;
}

const TCP_PROTOCOL = 6;
const CHECKSUM_OFFSET = 16;
const CWR = 128;
const NEEDS_CHECKSUM = 1;
const DATA_VALID = 2;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const GSO_ECN = 0x80;
