/**
 * 32-bit views of the buffers bytes lie in, remembered so that a packet costs no new view. A handful of
 * buffers are in use at a time (pools, rings); the memory keeps the last few and lets the others go.
 */

/** The whole words of the buffer under `bytes`, counted from the buffer's start. */
export function wordsOf(bytes: Uint8Array): Uint32Array {
  const buffer = bytes.buffer;
  if (buffer === buffers[latest]) return views[latest];
  for (let i = 0; i < REMEMBERED; i++) {
    if (buffers[i] === buffer) {
      latest = i;
      return views[i];
    }
  }
  latest = (latest + 1) % REMEMBERED;
  const view = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  buffers[latest] = buffer;
  views[latest] = view;
  return view;
}

const REMEMBERED = 4;
const NONE = new Uint32Array(0);
const buffers: ArrayBufferLike[] = Array.from({ length: REMEMBERED }, () => NONE.buffer);
const views: Uint32Array[] = Array.from({ length: REMEMBERED }, () => NONE);
let latest = 0;
