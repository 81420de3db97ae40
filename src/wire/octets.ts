/**
 * Big-endian numbers at an offset of a byte array. 32 bits travel as int32 on both sides, because an int32
 * passes between functions without being boxed and a uint32 does not: callers write `>>> 0` or `| 0`.
 *
 * Bounds are the caller's to check: reading past the end gives 0 bits, never an exception.
 */

export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 8) | bytes[offset + 1];
}

export function readI32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset] << 24) | (bytes[offset + 1] << 16) | (bytes[offset + 2] << 8) | bytes[offset + 3];
}

export function writeU16(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >> 8;
  out[offset + 1] = value;
}

export function writeI32(out: Uint8Array, offset: number, value: number): void {
  out[offset] = value >> 24;
  out[offset + 1] = value >> 16;
  out[offset + 2] = value >> 8;
  out[offset + 3] = value;
}
