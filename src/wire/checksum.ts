/**
 * The Internet checksum over a range of bytes: IPv4 header, TCP and DSS all use it.
 *
 * Long ranges are summed in 32-bit words of the machine's byte order, through a view of the whole buffer
 * (see `word-view`); the sum is independent of byte order but for one swap at the end.
 *
 * Read first: RFC 1071 §2.
 */
import { LITTLE_ENDIAN, wordsOf, wordsReach } from './word-view.ts';

/**
 * The one's complement sum of a range, big-endian, carries folded in: 0 to 0xffff. `initial` is a sum to
 * go on from. An odd last byte counts as if a zero byte followed, so to chain ranges each but the last
 * must be of even length (or see `appendSum`). Correct up to 8 MiB.
 */
export function onesComplementSum(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  if (length >= WORDS_FROM_BYTES && wordsReach(bytes, offset + length))
    return fold(initial + sumWords(bytes, offset, length));
  let sum = 0;
  const even = offset + (length & ~1);
  for (let i = offset; i < even; i += 2) sum += (bytes[i] << 8) | bytes[i + 1];
  if ((length & 1) !== 0) sum += bytes[even] << 8;
  return fold(initial + sum);
}

/** What goes into the checksum field for a sum: its complement, carries folded in. */
export function foldChecksum(sum: number): number {
  return ~fold(sum) & 0xffff;
}

/** The sum of two adjacent ranges from the sum of each, where the first is `leftBytes` long. */
export function appendSum(left: number, leftBytes: number, right: number): number {
  return fold(left + ((leftBytes & 1) === 0 ? right : swap(fold(right))));
}

function sumWords(bytes: Uint8Array, offset: number, length: number): number {
  const words = wordsOf(bytes);
  const base = bytes.byteOffset;
  const start = base + offset;
  const end = start + length;
  const first = (start + 3) >> 2;
  // The last bytes of a buffer whose size is no multiple of 4 are in no word.
  const last = Math.min(end >> 2, words.length);
  const unrolled = last - 7;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = first;
  for (; i < unrolled; i += 8) {
    a += words[i] + words[i + 4];
    b += words[i + 1] + words[i + 5];
    c += words[i + 2] + words[i + 6];
    d += words[i + 3] + words[i + 7];
  }
  for (; i < last; i++) a += words[i];
  for (let at = start; at < first << 2; at++) b += edgeByte(bytes[at - base], at);
  for (let at = last << 2; at < end; at++) b += edgeByte(bytes[at - base], at);
  const sum = fold(a + b + c + d);
  // In memory order a word's first byte is its low one on a little-endian machine; a range that starts
  // at an odd address has it the other way round.
  return ((start & 1) === 0) === LITTLE_ENDIAN ? swap(sum) : sum;
}

function edgeByte(value: number, address: number): number {
  return ((address & 1) === 1) === LITTLE_ENDIAN ? value << 8 : value;
}

function swap(sum: number): number {
  return ((sum & 0xff) << 8) | (sum >> 8);
}

/** Folds a sum below 2^53 to 16 bits. Bit operators take a number modulo 2^32, so no division of integers. */
function fold(sum: number): number {
  const low = sum | 0;
  const high = (sum / 0x1_0000_0000) | 0;
  const folded = (low & 0xffff) + (low >>> 16) + (high & 0xffff) + (high >>> 16);
  const once = (folded & 0xffff) + (folded >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** Below this a byte loop is as fast as finding the view. */
const WORDS_FROM_BYTES = 128;
