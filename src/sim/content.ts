// What applications send: a byte stream that is a pure function of (connection, direction, offset). Writer
// and checker compute the same bytes apart from each other, so a world verifies megabytes and stores none.
// A stream is cut into 64 KB blocks; each block is a window into one fixed random table, at a place hashed
// from the stream and the block's number. Filling and checking are then memory copies and compares, and a
// byte out of place by any distance, also by whole blocks, or from another stream, does not match.

/** The stream number of one direction of one connection; `world` is the world's seed. */
export function streamKey(world: number, connection: number, direction: 0 | 1): number {
  return mix(mix(world | 0) + connection * 2 + direction);
}

/** Writes `length` bytes of the stream from `streamOffset` on into `into` at `offset`. */
export function fillContent(
  key: number,
  streamOffset: number,
  into: Uint8Array,
  offset: number,
  length: number,
): void {
  let done = 0;
  while (done < length) {
    const at = streamOffset + done;
    const inBlock = at % BLOCK_BYTES;
    const piece = Math.min(length - done, BLOCK_BYTES - inBlock);
    const start = blockStart(key, Math.floor(at / BLOCK_BYTES)) + inBlock;
    TABLE.copy(into, offset + done, start, start + piece);
    done += piece;
  }
}

/** Bytes at the start of the range that are as the stream wants them; `length` when all are. */
export function matchingContent(
  key: number,
  streamOffset: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  let done = 0;
  while (done < length) {
    const at = streamOffset + done;
    const inBlock = at % BLOCK_BYTES;
    const piece = Math.min(length - done, BLOCK_BYTES - inBlock);
    const start = blockStart(key, Math.floor(at / BLOCK_BYTES)) + inBlock;
    if (TABLE.compare(bytes, offset + done, offset + done + piece, start, start + piece) !== 0) {
      let same = 0;
      while (bytes[offset + done + same] === TABLE[start + same]) same++;
      return done + same;
    }
    done += piece;
  }
  return length;
}

function blockStart(key: number, block: number): number {
  return mix(key + Math.imul(block + 1, 0x9e3779b1)) & (BLOCK_BYTES - 1);
}

// A 32-bit finalizer: every input bit reaches every output bit.
function mix(value: number): number {
  let hash = value | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) | 0;
}

const BLOCK_BYTES = 65_536;
const TABLE: Buffer = randomTable();

function randomTable(): Buffer {
  const table = Buffer.alloc(2 * BLOCK_BYTES);
  for (let i = 0; i < table.length; i++) table[i] = mix(0x51ed270b + i) >>> 11;
  return table;
}
