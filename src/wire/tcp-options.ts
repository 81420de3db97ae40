/**
 * The options area of a TCP header: maximum segment size, window scale, SACK permitted, SACK, timestamps
 * and Fast Open, in the order and with the padding Linux writes; MPTCP options are handed on.
 *
 * Read first: RFC 9293 §3.1 and §3.2, RFC 7323 §2.2 and §3.2, RFC 2018 §2 and §3, RFC 7413 §4.1.1.
 * On the walk: `packet` calls this, this calls `mptcp-decode` and `mptcp-encode`.
 */
import { decodeMptcpOption } from './mptcp-decode.ts';
import { encodeMptcpOptions, mptcpOptionLength, mptcpOptionsLength, paddedLength } from './mptcp-encode.ts';
import { readI32, readU16, writeI32, writeU16 } from './octets.ts';
import { lengthIsLegal, MAX_OPTIONS_BYTES, MPTCP_KIND, mayCoexist, segmentKind } from './option-table.ts';
import { Flag, MAX_FAST_OPEN_COOKIE, MIN_FAST_OPEN_COOKIE, type Segment } from './segment.ts';

/** Bytes of options the encoder will write, padding included: a multiple of 4, and legal up to 40. */
export function optionsLength(segment: Segment): number {
  return tcpOptionsLength(segment) + mptcpOptionsLength(segment);
}

/** Bytes of the options that are not MPTCP, padding included. */
export function tcpOptionsLength(segment: Segment): number {
  let length = 0;
  if (segment.mss !== 0) length += 4;
  if (segment.hasTimestamps) length += 12;
  else if (segment.sackPermitted) length += 4;
  if (segment.windowScale >= 0) length += 4;
  if (segment.sackCount > 0) length += 4 + segment.sackCount * 8;
  if (segment.fastOpenLength !== -1)
    length += fastOpenLength(segment.fastOpenLength, segment.fastOpenExperimental);
  return length;
}

/** Bytes of a Fast Open option with a cookie of so many, padding included. */
export function fastOpenLength(cookieBytes: number, experimental: boolean): number {
  return ((experimental ? 4 : 2) + cookieBytes + 3) & ~3;
}

/** Bytes left for MPTCP options beside the TCP options the segment has now. */
export function mptcpRoom(segment: Segment): number {
  return MAX_OPTIONS_BYTES - tcpOptionsLength(segment);
}

/**
 * Whether the segment may also carry the MPTCP option `bit` of `Mp`, its fields being filled in: the table
 * lets it stand on this kind of segment and beside the options of `segment.mp`, and 40 bytes hold them all.
 */
export function optionFits(segment: Segment, bit: number): boolean {
  if (!mayCoexist(segment.mp | bit)) return false;
  const length = mptcpOptionLength(segment, bit);
  const kind = segmentKind(segment.flags, segment.payloadLength);
  if (!lengthIsLegal(31 - Math.clz32(bit), length, kind)) return false;
  const others =
    (segment.mp & bit) === 0 ? optionsLength(segment) : optionsLength(segment) - paddedLength(length);
  return others + paddedLength(length) <= MAX_OPTIONS_BYTES;
}

/** How many SACK blocks fit into `roomBytes` of options. */
export function sackBlocksThatFit(roomBytes: number): number {
  return roomBytes < 12 ? 0 : Math.min(4, (roomBytes - 4) >> 3);
}

/** Reads the options from `offset` to `end`. Flags and payload length of the segment are known already. */
export function decodeOptions(segment: Segment, bytes: Uint8Array, offset: number, end: number): void {
  const kind = segmentKind(segment.flags, segment.payloadLength);
  let at = offset;
  while (at < end) {
    const option = bytes[at];
    if (option === END_OF_LIST) return;
    if (option === NO_OPERATION) {
      at++;
      continue;
    }
    const length = at + 1 < end ? bytes[at + 1] : 0;
    if (length < 2 || at + length > end) {
      segment.badOptions++;
      return;
    }
    if (option === MPTCP_KIND) decodeMptcpOption(segment, bytes, at, length, kind);
    else if (option === TIMESTAMPS) decodeTimestamps(segment, bytes, at, length);
    else if (option === SACK) decodeSack(segment, bytes, at, length);
    else if (option === FAST_OPEN) decodeFastOpen(segment, bytes, at + 2, length - 2, false);
    else if (option === EXPERIMENT && length >= 4 && readU16(bytes, at + 2) === FAST_OPEN_EXPERIMENT)
      decodeFastOpen(segment, bytes, at + 4, length - 4, true);
    else decodeSynOption(segment, bytes, at, length);
    at += length;
  }
}

/** Writes all options at `offset`; returns the bytes written. */
export function encodeOptions(segment: Segment, out: Uint8Array, offset: number): number {
  let at = offset;
  if (segment.mss !== 0) {
    writeI32(out, at, (MAXIMUM_SEGMENT_SIZE << 24) | (4 << 16) | (segment.mss & 0xffff));
    at += 4;
  }
  if (segment.hasTimestamps) {
    // SACK permitted takes the place of the two padding bytes.
    writeU16(out, at, segment.sackPermitted ? (SACK_PERMITTED << 8) | 2 : TWO_NOPS);
    writeU16(out, at + 2, (TIMESTAMPS << 8) | 10);
    writeI32(out, at + 4, segment.tsVal | 0);
    writeI32(out, at + 8, segment.tsEcr | 0);
    at += 12;
  } else if (segment.sackPermitted) {
    writeI32(out, at, (TWO_NOPS << 16) | (SACK_PERMITTED << 8) | 2);
    at += 4;
  }
  if (segment.windowScale >= 0) {
    writeI32(out, at, (NO_OPERATION << 24) | (WINDOW_SCALE << 16) | (3 << 8) | segment.windowScale);
    at += 4;
  }
  if (segment.sackCount > 0) {
    writeI32(out, at, (TWO_NOPS << 16) | (SACK << 8) | (2 + segment.sackCount * 8));
    at += 4;
    for (let i = 0; i < segment.sackCount; i++, at += 8) {
      writeI32(out, at, segment.sackLeft[i] | 0);
      writeI32(out, at + 4, segment.sackRight[i] | 0);
    }
  }
  if (segment.fastOpenLength !== -1) at = encodeFastOpen(segment, out, at);
  if (segment.mp !== 0) at = encodeMptcpOptions(segment, out, at);
  return at - offset;
}

function encodeFastOpen(segment: Segment, out: Uint8Array, offset: number): number {
  const length = segment.fastOpenLength;
  const experimental = segment.fastOpenExperimental;
  const head = experimental ? 4 : 2;
  out[offset] = experimental ? EXPERIMENT : FAST_OPEN;
  out[offset + 1] = head + length;
  if (experimental) writeU16(out, offset + 2, FAST_OPEN_EXPERIMENT);
  for (let i = 0; i < length; i++) out[offset + head + i] = segment.fastOpenCookie[i];
  const end = offset + fastOpenLength(length, experimental);
  out.fill(NO_OPERATION, offset + head + length, end);
  return end;
}

/** RFC 7413 §4.1.1; as in Linux, a cookie is even in length. */
function decodeFastOpen(
  segment: Segment,
  bytes: Uint8Array,
  at: number,
  cookieBytes: number,
  experimental: boolean,
): void {
  const fits = cookieBytes >= MIN_FAST_OPEN_COOKIE && cookieBytes <= MAX_FAST_OPEN_COOKIE;
  const legal = cookieBytes === 0 || (fits && cookieBytes % 2 === 0);
  if (!legal || (segment.flags & Flag.SYN) === 0 || segment.fastOpenLength !== -1) {
    segment.badOptions++;
    return;
  }
  segment.fastOpenLength = cookieBytes;
  segment.fastOpenExperimental = experimental;
  for (let i = 0; i < cookieBytes; i++) segment.fastOpenCookie[i] = bytes[at + i];
}

function decodeTimestamps(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  if (length !== 10 || segment.hasTimestamps) {
    segment.badOptions++;
    return;
  }
  segment.hasTimestamps = true;
  segment.tsVal = readI32(bytes, at + 2) >>> 0;
  segment.tsEcr = readI32(bytes, at + 6) >>> 0;
}

function decodeSack(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  const count = (length - 2) >> 3;
  if (count < 1 || length !== 2 + count * 8 || segment.sackCount > 0) {
    segment.badOptions++;
    return;
  }
  segment.sackCount = count;
  for (let i = 0; i < count; i++) {
    segment.sackLeft[i] = readI32(bytes, at + 2 + i * 8);
    segment.sackRight[i] = readI32(bytes, at + 6 + i * 8);
  }
}

/** Options that mean something on a SYN only; unknown ones are skipped. */
function decodeSynOption(segment: Segment, bytes: Uint8Array, at: number, length: number): void {
  const option = bytes[at];
  if (option !== MAXIMUM_SEGMENT_SIZE && option !== WINDOW_SCALE && option !== SACK_PERMITTED) return;
  const onSyn = (segment.flags & Flag.SYN) !== 0;
  if (option === MAXIMUM_SEGMENT_SIZE && length === 4 && onSyn && segment.mss === 0) {
    segment.mss = readU16(bytes, at + 2);
  } else if (option === WINDOW_SCALE && length === 3 && onSyn && segment.windowScale === -1) {
    // RFC 7323 §2.3: "the TCP SHOULD log the error but MUST use 14 instead of the specified value"
    segment.windowScale = Math.min(bytes[at + 2], MAX_WINDOW_SCALE);
  } else if (option === SACK_PERMITTED && length === 2 && onSyn && !segment.sackPermitted) {
    segment.sackPermitted = true;
  } else {
    segment.badOptions++;
  }
}

export const MAX_WINDOW_SCALE = 14;

const END_OF_LIST = 0;
const NO_OPERATION = 1;
const TWO_NOPS = 0x0101;
const MAXIMUM_SEGMENT_SIZE = 2;
const WINDOW_SCALE = 3;
const SACK_PERMITTED = 4;
const SACK = 5;
const TIMESTAMPS = 8;
const FAST_OPEN = 34;
/** RFC 6994: what follows says of what. */
const EXPERIMENT = 254;
const FAST_OPEN_EXPERIMENT = 0xf989;
