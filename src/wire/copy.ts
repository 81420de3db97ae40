/**
 * Copying bytes between buffers without making a view of them: `target.set(source.subarray(a, b))` is
 * quick, but costs 100 bytes of garbage a call, more than all else a packet needs.
 */

/** Copies `length` bytes. The two ranges do not overlap, unless both arrays are the same object. */
export function copyBytes(
  from: Uint8Array,
  fromOffset: number,
  to: Uint8Array,
  toOffset: number,
  length: number,
): void {
  if (from === to) {
    to.copyWithin(toOffset, fromOffset, fromOffset + length);
    return;
  }
  if (length >= VIEW_FROM_BYTES) {
    to.set(from.subarray(fromOffset, fromOffset + length), toOffset);
    return;
  }
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i];
}

const VIEW_FROM_BYTES = 8192;
