/**
 * Software segmentation: a TCP packet larger than the wire takes becomes several, as offload hardware
 * would make them. Sequence numbers advance, options are repeated (MPTCP mappings cover the whole, so they
 * stand unchanged on every piece), PSH and FIN stay for the last piece, CWR for the first.
 *
 * Read first: RFC 9293 §3.7.1, RFC 3168 §6.1.2 (CWR once), RFC 8684 §3.3.1 (repeated mappings).
 * On the walk out: between `host` and a link or path without segmentation offload.
 */

import { foldChecksum, onesComplementSum } from './checksum.ts';
import { copyBytes } from './copy.ts';
import { packetEnd, pseudoHeaderSum, tcpStart, writeIpv4Checksum } from './ip.ts';
import { readI32, readU16, writeI32, writeU16 } from './octets.ts';
import { Flag } from './segment.ts';

/**
 * Who takes the pieces. Before each piece `buffer` and `offset` are read anew: the piece is written there,
 * and `piece` called with its length. The sink then has it sent, or moves `offset` (or changes `buffer`)
 * so that the next one goes elsewhere. The buffer is not the one being split.
 */
export interface SplitSink {
  readonly buffer: Uint8Array;
  readonly offset: number;
  /** Whether TCP checksums are computed; else the field is 0. */
  readonly checksum: boolean;
  piece(length: number): void;
}

/**
 * Splits the packet of `length` bytes at `offset` into pieces of at most `segmentSize` payload bytes;
 * returns how many there were, 0 when it is no TCP packet. A packet that needs no splitting is one piece.
 */
export function splitPacket(
  bytes: Uint8Array,
  offset: number,
  length: number,
  segmentSize: number,
  sink: SplitSink,
): number {
  const end = packetEnd(bytes, offset, length);
  const tcp = end === -1 ? -1 : tcpStart(bytes, offset, end);
  if (tcp === -1 || !(segmentSize >= 1)) return 0;
  const payload = tcp + ((bytes[tcp + 12] >> 4) << 2);
  let pieces = 0;
  let at = payload;
  do {
    const payloadBytes = Math.min(segmentSize, end - at);
    const out = sink.buffer;
    const outOffset = sink.offset;
    const headerBytes = payload - offset;
    if (outOffset + headerBytes + payloadBytes > out.length) throw new Error('no room for the piece');
    copyBytes(bytes, offset, out, outOffset, headerBytes);
    copyBytes(bytes, at, out, outOffset + headerBytes, payloadBytes);
    const outTcp = outOffset + tcp - offset;
    const tcpBytes = payload - tcp + payloadBytes;
    patchIp(out, outOffset, outTcp - outOffset, tcpBytes, pieces);
    writeI32(out, outTcp + 4, (readI32(bytes, tcp + 4) + at - payload) | 0);
    out[outTcp + 13] &= keptFlags(at === payload, at + payloadBytes === end);
    writeU16(out, outTcp + 16, 0);
    if (sink.checksum) {
      const sum = onesComplementSum(out, outTcp, tcpBytes, pseudoHeaderSum(out, outOffset, tcpBytes));
      writeU16(out, outTcp + 16, foldChecksum(sum));
    }
    at += payloadBytes;
    pieces++;
    sink.piece(headerBytes + payloadBytes);
  } while (at < end);
  return pieces;
}

function keptFlags(isFirst: boolean, isLast: boolean): number {
  let kept = 0xff;
  if (!isFirst) kept &= ~Flag.CWR;
  if (!isLast) kept &= ~(Flag.PSH | Flag.FIN);
  return kept;
}

/** Gives the copied IP header of a piece its length, and for IPv4 its id and checksum. */
function patchIp(out: Uint8Array, offset: number, ipBytes: number, tcpBytes: number, piece: number): void {
  if (out[offset] >> 4 === 6) {
    writeU16(out, offset + 4, ipBytes - 40 + tcpBytes);
    return;
  }
  writeU16(out, offset + 2, ipBytes + tcpBytes);
  writeU16(out, offset + 4, readU16(out, offset + 4) + piece);
  writeIpv4Checksum(out, offset, ipBytes);
}
