/**
 * Copying bytes between buffers without making a view of them: `target.set(source.subarray(a, b))` is
 * quick, but costs 100 bytes of garbage a call, more than all else a packet needs. So wire-size packets
 * are copied in 32-bit words through remembered views, or by `set` where the view of the last copy serves
 * again; long ranges, where it no longer matters, by `set`.
 */
import { LITTLE_ENDIAN, wordsOf, wordsReach } from './word-view.ts';

/**
 * Copies `length` bytes. Both ranges lie within their arrays. They do not overlap, unless both arrays are
 * the same object. Quickest is to copy within one array, or from the whole of one.
 */
export function copyBytes(
  from: Uint8Array,
  fromOffset: number,
  to: Uint8Array,
  toOffset: number,
  length: number,
): void {
  if (from === to) {
    to.copyWithin(toOffset, fromOffset, fromOffset + length);
  } else if (length < WORDS_FROM_BYTES) {
    for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i];
  } else if (fromOffset === 0 && length === from.length) {
    to.set(from, toOffset);
  } else if (length < SET_FROM_BYTES && isRepeated(from, fromOffset, length)) {
    lastView ??= from.subarray(fromOffset, fromOffset + length);
    to.set(lastView, toOffset);
  } else if (
    length < SET_FROM_BYTES &&
    wordsReach(from, fromOffset + length) &&
    wordsReach(to, toOffset + length)
  ) {
    copyWords(from, fromOffset, to, toOffset, length);
  } else {
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
  }
}

/**
 * Whether the last copy was of the same range: the payloads of full-size packets lie at one place of one
 * buffer.
 */
function isRepeated(from: Uint8Array, offset: number, length: number): boolean {
  if (from === lastFrom && offset === lastOffset && length === lastLength) return true;
  lastFrom = from;
  lastOffset = offset;
  lastLength = length;
  lastView = undefined;
  return false;
}

/** Words are written aligned; where the source is not, each is joined from two (on the usual, little-endian
 * machines; bytes on the others). */
function copyWords(
  from: Uint8Array,
  fromOffset: number,
  to: Uint8Array,
  toOffset: number,
  length: number,
): void {
  const source = wordsOf(from);
  const target = wordsOf(to);
  const head = -(to.byteOffset + toOffset) & 3;
  for (let i = 0; i < head; i++) to[toOffset + i] = from[fromOffset + i];
  const fromByte = from.byteOffset + fromOffset + head;
  const first = (to.byteOffset + toOffset + head) >> 2;
  const shift = (fromByte & 3) << 3;
  // An unaligned word needs the one behind it, which must be a whole word of the source's buffer.
  const readable = source.length - (fromByte >> 2) - (shift === 0 ? 0 : 1);
  const joinable = shift === 0 || LITTLE_ENDIAN;
  // uncovered: no big-endian machine runs the tests
  const count = joinable ? Math.min((length - head) >> 2, readable, target.length - first) : 0;
  if (shift === 0) copyAligned(source, fromByte >> 2, target, first, count);
  else copyShifted(source, fromByte >> 2, target, first, count, shift);
  for (let i = head + (count << 2); i < length; i++) to[toOffset + i] = from[fromOffset + i];
}

function copyAligned(
  source: Uint32Array,
  sourceIndex: number,
  target: Uint32Array,
  targetIndex: number,
  count: number,
): void {
  let from = sourceIndex;
  let to = targetIndex;
  const unrolled = targetIndex + count - 3;
  for (; to < unrolled; to += 4, from += 4) {
    target[to] = source[from];
    target[to + 1] = source[from + 1];
    target[to + 2] = source[from + 2];
    target[to + 3] = source[from + 3];
  }
  for (; to < targetIndex + count; to++, from++) target[to] = source[from];
}

function copyShifted(
  source: Uint32Array,
  sourceIndex: number,
  target: Uint32Array,
  targetIndex: number,
  count: number,
  shift: number,
): void {
  const back = 32 - shift;
  const end = targetIndex + count;
  let word = source[sourceIndex] | 0;
  let from = sourceIndex + 1;
  let to = targetIndex;
  for (const unrolled = end - 3; to < unrolled; to += 4, from += 4) {
    const a = source[from] | 0;
    const b = source[from + 1] | 0;
    const c = source[from + 2] | 0;
    const d = source[from + 3] | 0;
    target[to] = (word >>> shift) | (a << back);
    target[to + 1] = (a >>> shift) | (b << back);
    target[to + 2] = (b >>> shift) | (c << back);
    target[to + 3] = (c >>> shift) | (d << back);
    word = d;
  }
  for (; to < end; to++, from++) {
    const next = source[from] | 0;
    target[to] = (word >>> shift) | (next << back);
    word = next;
  }
}

/** The range of the last copy, and a view of it once there were two. */
let lastFrom: Uint8Array | undefined;
let lastOffset = 0;
let lastLength = 0;
let lastView: Uint8Array | undefined;
/** Below this a byte loop is as quick. */
const WORDS_FROM_BYTES = 32;
/** From here on, 100 bytes of garbage are little beside the payload, and `set` many times as quick. */
const SET_FROM_BYTES = 2048;
