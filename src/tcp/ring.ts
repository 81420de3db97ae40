// Decides how bytes lie in a ring: offset modulo the ring's length, which is a power of two. Shared by the
// send and receive buffers and by MPTCP's staging.

import { copyBytes } from '../wire/copy.ts';

/** Copies `length` bytes of `source` to ring position `at` (ring lengths are powers of two). */
export function copyIntoRing(
  ring: Uint8Array,
  at: number,
  source: Uint8Array,
  sourceOffset: number,
  length: number,
): void {
  const position = at % ring.length;
  const first = Math.min(length, ring.length - position);
  copyBytes(source, sourceOffset, ring, position, first);
  if (first < length) copyBytes(source, sourceOffset + first, ring, 0, length - first);
}

/** Copies `length` bytes from ring position `at`. */
export function copyFromRing(
  ring: Uint8Array,
  at: number,
  length: number,
  out: Uint8Array,
  outOffset: number,
): void {
  const position = at % ring.length;
  const first = Math.min(length, ring.length - position);
  copyBytes(ring, position, out, outOffset, first);
  if (first < length) copyBytes(ring, 0, out, outOffset + first, length - first);
}

/** Moves the bytes [start, start + length) of one ring to the same offsets of another. */
export function moveRing(from: Uint8Array, to: Uint8Array, start: number, length: number): void {
  if (length === 0) return;
  const position = start % from.length;
  const first = Math.min(length, from.length - position);
  copyIntoRing(to, start, from, position, first);
  if (first < length) copyIntoRing(to, start + first, from, 0, length - first);
}
