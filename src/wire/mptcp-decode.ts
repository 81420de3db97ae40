/**
 * MPTCP options off the wire. An option is taken when its length is one the table allows on this kind of
 * segment; otherwise it is as if it were not there, and counted. Unknown subtypes are skipped.
 *
 * Read first: RFC 8684 §3, figures 4 to 7, 9 and 11 to 16.
 * On the walk: `tcp-options` finds the option, `mptcp` acts on the fields.
 */
import { readI32, readU16 } from './octets.ts';
import { lengthIsLegal } from './option-table.ts';
import { DssFlag, Mp, type Segment } from './segment.ts';

/** Decodes the option of kind 30 at `at`; `kind` is one of `SegmentKind`. All its bytes are there. */
export function decodeMptcpOption(
  segment: Segment,
  bytes: Uint8Array,
  at: number,
  length: number,
  kind: number,
): void {
  if (length < 3) {
    segment.badOptions++;
    return;
  }
  const subtype = bytes[at + 2] >> 4;
  if (subtype >= SUBTYPES) return;
  const bit = 1 << subtype;
  // The first copy of an option counts. DSS and the MP_CAPABLE of the first data share fields: one of them.
  const taken = segment.mp & (bit | ((bit & MAPPING_OPTIONS) !== 0 ? MAPPING_OPTIONS : 0));
  if (taken !== 0 || !lengthIsLegal(subtype, length, kind) || !decodeBody(segment, bytes, at, length, bit)) {
    segment.badOptions++;
    return;
  }
  segment.mp |= bit;
}

function decodeBody(segment: Segment, bytes: Uint8Array, at: number, length: number, bit: number): boolean {
  switch (bit) {
    case Mp.DSS:
      return decodeDss(segment, bytes, at, length);
    case Mp.CAPABLE:
      decodeCapable(segment, bytes, at, length);
      return true;
    case Mp.JOIN:
      decodeJoin(segment, bytes, at, length);
      return true;
    case Mp.ADD_ADDR:
      return decodeAddAddr(segment, bytes, at, length);
    case Mp.REMOVE_ADDR:
      segment.removeCount = length - 3;
      for (let i = 3; i < length; i++) segment.removeIds[i - 3] = bytes[at + i];
      return true;
    case Mp.PRIO:
      segment.prioBackup = (bytes[at + 2] & 1) !== 0;
      return true;
    case Mp.FAIL:
      segment.failDsnHi = readI32(bytes, at + 4) >>> 0;
      segment.failDsnLo = readI32(bytes, at + 8) >>> 0;
      return true;
    case Mp.FASTCLOSE:
      segment.fastcloseKeyHi = readI32(bytes, at + 4) >>> 0;
      segment.fastcloseKeyLo = readI32(bytes, at + 8) >>> 0;
      return true;
    default: // MP_TCPRST
      segment.rstFlags = bytes[at + 2] & 15;
      segment.rstReason = bytes[at + 3];
      return true;
  }
}

function decodeCapable(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  segment.capableLength = length;
  segment.capableVersion = bytes[at + 2] & 15;
  segment.capableFlags = bytes[at + 3];
  if (length >= 12) {
    segment.senderKeyHi = readI32(bytes, at + 4) >>> 0;
    segment.senderKeyLo = readI32(bytes, at + 8) >>> 0;
  }
  if (length >= 20) {
    segment.receiverKeyHi = readI32(bytes, at + 12) >>> 0;
    segment.receiverKeyLo = readI32(bytes, at + 16) >>> 0;
  }
  if (length >= 22) segment.dataLength = readU16(bytes, at + 20);
  if (length === 24) segment.checksum = readU16(bytes, at + 22);
}

function decodeJoin(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  segment.joinLength = length;
  if (length === 24) {
    copyHmac(segment, bytes, at + 4, 20);
    return;
  }
  segment.joinBackup = (bytes[at + 2] & 1) !== 0;
  segment.joinAddressId = bytes[at + 3];
  if (length === 12) {
    segment.joinToken = readI32(bytes, at + 4) >>> 0;
    segment.joinNonce = readI32(bytes, at + 8) >>> 0;
  } else {
    copyHmac(segment, bytes, at + 4, 8);
    segment.joinNonce = readI32(bytes, at + 12) >>> 0;
  }
}

function copyHmac(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  for (let i = 0; i < length; i++) segment.joinHmac[i] = bytes[at + i];
}

function decodeDss(segment: Segment, bytes: Uint8Array, at: number, length: number): boolean {
  const flags = meaningfulDssFlags(bytes[at + 3]);
  const bare = dssLength(flags, -1);
  const hasChecksum = (flags & DssFlag.MAP) !== 0 && length === bare + 2;
  if (length !== bare && !hasChecksum) return false;
  segment.dssFlags = flags;
  let next = at + 4;
  if ((flags & DssFlag.DATA_ACK) !== 0) {
    segment.dataAckHi = 0;
    if ((flags & DssFlag.DATA_ACK_64) !== 0) {
      segment.dataAckHi = readI32(bytes, next) >>> 0;
      next += 4;
    }
    segment.dataAckLo = readI32(bytes, next) >>> 0;
    next += 4;
  }
  if ((flags & DssFlag.MAP) !== 0) {
    segment.dsnHi = 0;
    if ((flags & DssFlag.DSN_64) !== 0) {
      segment.dsnHi = readI32(bytes, next) >>> 0;
      next += 4;
    }
    segment.dsnLo = readI32(bytes, next) >>> 0;
    segment.ssn = readI32(bytes, next + 4) >>> 0;
    segment.dataLength = readU16(bytes, next + 8);
    segment.checksum = hasChecksum ? readU16(bytes, next + 10) : -1;
  }
  return true;
}

/**
 * RFC 8684 §3.3: 'The flags "a" and "m" only have meaning if the corresponding "A" or "M" flags are set;
 * otherwise, they will be ignored.' F says something about the mapping, so it goes with M as well.
 */
function meaningfulDssFlags(octet: number): number {
  let flags = octet & 31;
  if ((flags & DssFlag.DATA_ACK) === 0) flags &= ~DssFlag.DATA_ACK_64;
  if ((flags & DssFlag.MAP) === 0) flags &= ~(DssFlag.DSN_64 | DssFlag.DATA_FIN);
  return flags;
}

/** Bytes of a DSS option with these flags; `checksum` is -1 for none. */
export function dssLength(flags: number, checksum: number): number {
  let length = 4;
  if ((flags & DssFlag.DATA_ACK) !== 0) length += (flags & DssFlag.DATA_ACK_64) !== 0 ? 8 : 4;
  if ((flags & DssFlag.MAP) !== 0) {
    length += ((flags & DssFlag.DSN_64) !== 0 ? 8 : 4) + 6;
    if (checksum >= 0) length += 2;
  }
  return length;
}

function decodeAddAddr(segment: Segment, bytes: Uint8Array, at: number, length: number): boolean {
  const echo = (bytes[at + 2] & 1) !== 0;
  // What is left without header, address and HMAC must be a port or nothing.
  const addressAndPort = length - 4 - (echo ? 0 : 8);
  const isIpv4 = addressAndPort === 4 || addressAndPort === 6;
  if (!isIpv4 && addressAndPort !== 16 && addressAndPort !== 18) return false;
  segment.addAddrEcho = echo;
  segment.addAddrId = bytes[at + 3];
  let next = at + 4;
  if (isIpv4) {
    segment.addAddrFamily = 4;
    segment.addAddr0 = 0;
    segment.addAddr1 = 0;
    segment.addAddr2 = 0xffff;
  } else {
    segment.addAddrFamily = 6;
    segment.addAddr0 = readI32(bytes, next);
    segment.addAddr1 = readI32(bytes, next + 4);
    segment.addAddr2 = readI32(bytes, next + 8);
    next += 12;
  }
  segment.addAddr3 = readI32(bytes, next);
  next += 4;
  if ((addressAndPort & 2) !== 0) {
    segment.addAddrPort = readU16(bytes, next);
    next += 2;
  }
  if (!echo) {
    segment.addAddrHmacHi = readI32(bytes, next) >>> 0;
    segment.addAddrHmacLo = readI32(bytes, next + 4) >>> 0;
  }
  return true;
}

const SUBTYPES = 9;
const MAPPING_OPTIONS = Mp.CAPABLE | Mp.DSS;
