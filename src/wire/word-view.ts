/**
 * 32-bit views of the buffers bytes lie in, remembered so that a packet costs no new view. A handful of
 * arrays are in use at a time (pools, rings); the memory keeps the last few and lets the others go.
 */

/** The whole words of the buffer under `bytes`, counted from the buffer's start. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  // By the array first: asking an array for its buffer is a call out of compiled code, and slow.
  if (bytes === arrays[latest]) return views[latest];
  for (let i = 0; i < REMEMBERED; i++) {
    if (arrays[i] === bytes) {
      latest = i;
      return views[i];
    }
  }
  return remember(bytes);
}

/** Whether everything before `end` can be counted in int32, which keeps the loops over it quick. */
export function wordsReach(bytes: Uint8Array, end: number): boolean {
  return bytes.byteOffset + end <= 0x7fff_fff0;
}

export const LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

function remember(bytes: Uint8Array): Uint32Array {
  const buffer = bytes.buffer;
  let view = views.find(v => v.buffer === buffer);
  view ??= new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  oldest = (oldest + 1) % REMEMBERED;
  latest = oldest;
  arrays[latest] = bytes;
  views[latest] = view;
  return view;
}

const REMEMBERED = 8;
const arrays: Uint8Array[] = Array.from({ length: REMEMBERED }, () => new Uint8Array(0));
const views: Uint32Array[] = Array.from({ length: REMEMBERED }, () => new Uint32Array(0));
let latest = 0;
let oldest = 0;
