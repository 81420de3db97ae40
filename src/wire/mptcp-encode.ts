/**
 * MPTCP options onto the wire, each padded to four bytes with NOPs behind it. What the option table does
 * not allow is a programmer's error and throws before a byte is written.
 *
 * Read first: RFC 8684 §3, figures 4 to 7, 9 and 11 to 16, and Appendix A.
 * On the walk: `mptcp` fills the segment, `tcp-options` writes TCP's own options and calls this.
 */
import { dssLength } from './mptcp-decode.ts';
import { writeI32, writeU16 } from './octets.ts';
import { lengthIsLegal, MPTCP_KIND, mayCoexist, segmentKind } from './option-table.ts';
import { DssFlag, Mp, type Segment } from './segment.ts';

/** Bytes of the MPTCP options of the segment, each padded to a multiple of 4. */
export function mptcpOptionsLength(segment: Segment): number {
  const mp = segment.mp;
  if (mp === Mp.DSS) return paddedLength(dssLength(segment.dssFlags, segment.checksum));
  let length = 0;
  for (let bit = 1; bit <= mp; bit <<= 1) {
    if ((mp & bit) !== 0) length += paddedLength(mptcpOptionLength(segment, bit));
  }
  return length;
}

/** Bytes of one of the options (a bit of `Mp`) as the segment has it, padding not counted. */
export function mptcpOptionLength(segment: Segment, bit: number): number {
  switch (bit) {
    case Mp.CAPABLE:
      return segment.capableLength;
    case Mp.JOIN:
      return segment.joinLength;
    case Mp.DSS:
      return dssLength(segment.dssFlags, segment.checksum);
    case Mp.ADD_ADDR:
      return addAddrLength(segment);
    case Mp.REMOVE_ADDR:
      return 3 + segment.removeCount;
    case Mp.PRIO:
      return 3;
    case Mp.TCPRST:
      return 4;
    default: // MP_FAIL, MP_FASTCLOSE
      return 12;
  }
}

/** Throws when the table does not allow these options, in these lengths, on this segment. */
export function assertMptcpOptions(segment: Segment): void {
  const mp = segment.mp;
  const kind = segmentKind(segment.flags, segment.payloadLength);
  if (!mayCoexist(mp)) throw new Error(`MPTCP options ${mp} may not share a segment`);
  if ((mp & Mp.CAPABLE) !== 0 && segment.capableLength === 24 && segment.checksum < 0) {
    throw new Error('MP_CAPABLE of 24 bytes without a checksum');
  }
  for (let subtype = 0, bit = 1; bit <= mp; subtype++, bit <<= 1) {
    if ((mp & bit) === 0) continue;
    const length = mptcpOptionLength(segment, bit);
    if (!lengthIsLegal(subtype, length, kind)) {
      throw new Error(`MPTCP option ${subtype} of ${length} bytes may not stand on segment kind ${kind}`);
    }
  }
}

/** Writes the options at `offset`, in Linux's order; returns the offset behind them. */
export function encodeMptcpOptions(segment: Segment, out: Uint8Array, offset: number): number {
  const mp = segment.mp;
  let at = offset;
  if (mp === Mp.DSS) return encodeDss(segment, out, at);
  if ((mp & Mp.FAIL) !== 0) {
    writeI32(out, at, head(12, 0x6, 0, 0));
    at = writePair(out, at + 4, segment.failDsnHi | 0, segment.failDsnLo | 0);
  }
  if ((mp & Mp.DSS) !== 0) at = encodeDss(segment, out, at);
  if ((mp & Mp.CAPABLE) !== 0) at = encodeCapable(segment, out, at);
  if ((mp & Mp.JOIN) !== 0) at = encodeJoin(segment, out, at);
  if ((mp & Mp.ADD_ADDR) !== 0) at = encodeAddAddr(segment, out, at);
  if ((mp & Mp.FASTCLOSE) !== 0) {
    writeI32(out, at, head(12, 0x7, 0, 0));
    at = writePair(out, at + 4, segment.fastcloseKeyHi | 0, segment.fastcloseKeyLo | 0);
  }
  if ((mp & Mp.TCPRST) !== 0) {
    writeI32(out, at, head(4, 0x8, segment.rstFlags & 15, segment.rstReason & 255));
    at += 4;
  }
  if ((mp & Mp.PRIO) !== 0) {
    writeI32(out, at, head(3, 0x5, segment.prioBackup ? 1 : 0, NO_OPERATION));
    at += 4;
  }
  if ((mp & Mp.REMOVE_ADDR) !== 0) at = encodeRemoveAddr(segment, out, at);
  return at;
}

function encodeCapable(segment: Segment, out: Uint8Array, offset: number): number {
  const length = segment.capableLength;
  writeI32(out, offset, head(length, 0x0, segment.capableVersion & 15, segment.capableFlags & 255));
  let at = offset + 4;
  if (length >= 12) at = writePair(out, at, segment.senderKeyHi | 0, segment.senderKeyLo | 0);
  if (length >= 20) at = writePair(out, at, segment.receiverKeyHi | 0, segment.receiverKeyLo | 0);
  if (length >= 22) {
    writeU16(out, at, segment.dataLength);
    writeU16(out, at + 2, length === 24 ? segment.checksum : TWO_NOPS);
    at += 4;
  }
  return at;
}

function encodeJoin(segment: Segment, out: Uint8Array, offset: number): number {
  const length = segment.joinLength;
  if (length === 24) {
    writeI32(out, offset, head(24, 0x1, 0, 0));
    return copyHmac(segment, out, offset + 4, 20);
  }
  writeI32(out, offset, head(length, 0x1, segment.joinBackup ? 1 : 0, segment.joinAddressId & 255));
  if (length === 12) return writePair(out, offset + 4, segment.joinToken | 0, segment.joinNonce | 0);
  const at = copyHmac(segment, out, offset + 4, 8);
  writeI32(out, at, segment.joinNonce | 0);
  return at + 4;
}

function copyHmac(segment: Segment, out: Uint8Array, at: number, length: number): number {
  for (let i = 0; i < length; i++) out[at + i] = segment.joinHmac[i];
  return at + length;
}

function encodeDss(segment: Segment, out: Uint8Array, offset: number): number {
  const flags = segment.dssFlags;
  writeI32(out, offset, head(dssLength(flags, segment.checksum), 0x2, 0, flags & 31));
  let at = offset + 4;
  if ((flags & DssFlag.DATA_ACK) !== 0) {
    if ((flags & DssFlag.DATA_ACK_64) !== 0) {
      writeI32(out, at, segment.dataAckHi | 0);
      at += 4;
    }
    writeI32(out, at, segment.dataAckLo | 0);
    at += 4;
  }
  if ((flags & DssFlag.MAP) !== 0) {
    if ((flags & DssFlag.DSN_64) !== 0) {
      writeI32(out, at, segment.dsnHi | 0);
      at += 4;
    }
    writeI32(out, at, segment.dsnLo | 0);
    writeI32(out, at + 4, segment.ssn | 0);
    writeU16(out, at + 8, segment.dataLength);
    writeU16(out, at + 10, segment.checksum >= 0 ? segment.checksum : TWO_NOPS);
    at += 12;
  }
  return at;
}

function addAddrLength(segment: Segment): number {
  const address = segment.addAddrFamily === 4 ? 4 : 16;
  return 4 + address + (segment.addAddrPort !== 0 ? 2 : 0) + (segment.addAddrEcho ? 0 : 8);
}

function encodeAddAddr(segment: Segment, out: Uint8Array, offset: number): number {
  const echo = segment.addAddrEcho ? 1 : 0;
  writeI32(out, offset, head(addAddrLength(segment), 0x3, echo, segment.addAddrId & 255));
  let at = offset + 4;
  if (segment.addAddrFamily === 6) {
    at = writePair(out, at, segment.addAddr0, segment.addAddr1);
    writeI32(out, at, segment.addAddr2);
    at += 4;
  }
  writeI32(out, at, segment.addAddr3);
  at += 4;
  if (segment.addAddrPort !== 0) {
    writeU16(out, at, segment.addAddrPort);
    at += 2;
  }
  if (echo === 0) at = writePair(out, at, segment.addAddrHmacHi | 0, segment.addAddrHmacLo | 0);
  return pad(out, offset, at);
}

function encodeRemoveAddr(segment: Segment, out: Uint8Array, offset: number): number {
  const count = segment.removeCount;
  writeI32(out, offset, head(3 + count, 0x4, 0, 0));
  for (let i = 0; i < count; i++) out[offset + 3 + i] = segment.removeIds[i];
  return pad(out, offset, offset + 3 + count);
}

/** The first four bytes of an option: kind, length, subtype, the four bits after it and the octet after. */
function head(length: number, subtype: number, bits: number, octet: number): number {
  return (MPTCP_KIND << 24) | (length << 16) | (subtype << 12) | (bits << 8) | octet;
}

function writePair(out: Uint8Array, at: number, high: number, low: number): number {
  writeI32(out, at, high);
  writeI32(out, at + 4, low);
  return at + 8;
}

function pad(out: Uint8Array, offset: number, end: number): number {
  const padded = offset + paddedLength(end - offset);
  for (let at = end; at < padded; at++) out[at] = NO_OPERATION;
  return padded;
}

/** An option's length with the NOPs behind it. */
export function paddedLength(length: number): number {
  return (length + 3) & ~3;
}

const NO_OPERATION = 1;
const TWO_NOPS = 0x0101;
