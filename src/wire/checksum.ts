/**
 * The Internet checksum over a range of bytes: IPv4 header, TCP and DSS all use it.
 *
 * Long ranges are summed in 32-bit words of the machine's byte order, through a view of the whole buffer
 * (see `word-view`); the sum is independent of byte order but for one swap at the end.
 *
 * Read first: RFC 1071 §2.
 */
import { wordsOf } from './word-view.ts';

/**
 * The one's complement sum of a range, big-endian, carries folded in: 0 to 0xffff. `initial` is a sum to
 * go on from. An odd last byte counts as if a zero byte followed, so to chain ranges each but the last
 * must be of even length (or see `appendSum`). Correct up to 8 MiB.
 */
export function onesComplementSum(bytes: Uint8Array, offset: number, length: number, initial = 0): number {
  if (length >= WORDS_FROM_BYTES) return fold(initial + sumWords(bytes, offset, length));
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
  const start = bytes.byteOffset + offset;
  // The last bytes of a buffer whose size is no multiple of 4 are in no word.
  const first = (start + 3) >>> 2;
  const last = Math.min((start + length) >>> 2, words.length);
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = first;
  for (; i + 4 <= last; i += 4) {
    a += words[i];
    b += words[i + 1];
    c += words[i + 2];
    d += words[i + 3];
  }
  for (; i < last; i++) a += words[i];
  const base = bytes.byteOffset;
  let rest = 0;
  for (let at = start; at < first << 2; at++) rest += edgeByte(bytes[at - base], at);
  for (let at = last << 2; at < start + length; at++) rest += edgeByte(bytes[at - base], at);
  const sum = fold(a + b + c + d + rest);
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

/** Folds a sum below 2^53 to 16 bits. */
function fold(sum: number): number {
  let folded = sum;
  if (folded > 0xffff_ffff) folded = (folded >>> 0) + Math.floor(folded / 0x1_0000_0000);
  folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  folded = (folded & 0xffff) + (folded >>> 16);
  return (folded & 0xffff) + (folded >>> 16);
}

/** Below this a byte loop is as fast as finding the view. */
const WORDS_FROM_BYTES = 128;

const LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
