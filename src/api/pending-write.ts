// The write a stream has under way: chunks, of which the host has taken some.
//
// Decides: when a write is over. Streams give one write at a time and wait for its callback.
// Walk: api/socket offers it to the connection, again whenever that is writable.

/** At most one write. */
export class PendingWrite {
  #chunks: readonly Uint8Array[] = [];
  #index = 0;
  #offset = 0;
  #callback: ((error?: Error | null) => void) | undefined;
  #bytesTotal = 0;
  #bytesLeft = 0;

  /** A write is under way. */
  get active(): boolean {
    return this.#callback !== undefined;
  }

  /** Bytes of the write under way. */
  get bytesTotal(): number {
    return this.#bytesTotal;
  }

  /** Those of them not taken yet. */
  get bytesLeft(): number {
    return this.#bytesLeft;
  }

  start(chunks: readonly Uint8Array[], callback: (error?: Error | null) => void): void {
    this.#chunks = chunks;
    this.#index = 0;
    this.#offset = 0;
    this.#callback = callback;
    this.#bytesTotal = 0;
    for (const chunk of chunks) this.#bytesTotal += chunk.length;
    this.#bytesLeft = this.#bytesTotal;
  }

  /** Offers what is left; `take` says how many bytes it took. Calls back when nothing is left. */
  offer(take: (bytes: Uint8Array, offset: number, length: number) => number): number {
    let taken = 0;
    while (this.#index < this.#chunks.length) {
      const chunk = this.#chunks[this.#index];
      const length = chunk.length - this.#offset;
      const count = length === 0 ? 0 : take(chunk, this.#offset, length);
      taken += count;
      this.#offset += count;
      if (count < length) break;
      this.#index++;
      this.#offset = 0;
    }
    this.#bytesLeft -= taken;
    if (this.#bytesLeft === 0) this.#finish(null);
    return taken;
  }

  /** Shows what is left, as far as `take` wants it, and keeps it; how many bytes it took. */
  show(take: (bytes: Uint8Array, offset: number, length: number) => number): number {
    let taken = 0;
    for (let i = this.#index, offset = this.#offset; i < this.#chunks.length; i++, offset = 0) {
      const length = this.#chunks[i].length - offset;
      const count = length === 0 ? 0 : take(this.#chunks[i], offset, length);
      taken += count;
      if (count < length) break;
    }
    return taken;
  }

  /** The first bytes of what is left need not be offered any more. */
  skip(bytes: number): number {
    let left = bytes;
    return this.offer((_bytes, _offset, length) => {
      const count = Math.min(length, left);
      left -= count;
      return count;
    });
  }

  /** Ends it with an error; without a write nothing happens. */
  fail(error: Error): void {
    this.#finish(error);
  }

  #finish(error: Error | null): void {
    const callback = this.#callback;
    if (callback === undefined) return;
    this.#callback = undefined;
    this.#chunks = [];
    this.#bytesTotal = 0;
    this.#bytesLeft = 0;
    if (error === null) callback();
    else callback(error);
  }
}
