// A running hash over everything that happened on the wire: two runs with the same fingerprint sent the same
// packets at the same times. FNV-1a, taken over 32-bit words in two lanes of 32 bits each, since 64-bit
// multiplication is slow in JavaScript.
// Before it: network.ts adds every packet as it enters a path. After it: world.ts shows it as text.

export class Fingerprint {
  private low = 0x811c9dc5 | 0;
  private high = 0x050c5d1f;
  private readonly time: Float64Array = new Float64Array(1);
  private readonly timeWords: Int32Array = new Int32Array(this.time.buffer);

  /**
   * Adds the packet of `length` bytes that lies at `offset`, a multiple of 4, and entered `lane` at `nowMs`.
   * `words` and `bytes` are views of the same memory.
   */
  add(
    nowMs: number,
    lane: number,
    words: Int32Array,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): void {
    this.time[0] = nowMs;
    let low = step(step(this.low, this.timeWords[0]), this.timeWords[1] ^ lane);
    let high = stepHigh(stepHigh(this.high, this.timeWords[1]), this.timeWords[0] ^ length);
    const firstWord = offset >> 2;
    const endWord = (offset + length) >> 2;
    for (let i = firstWord; i < endWord; i++) {
      const word = words[i];
      low = Math.imul(low ^ word, LOW_PRIME);
      high = Math.imul((high ^ word) + (high >>> 15), HIGH_PRIME);
    }
    for (let i = endWord << 2; i < offset + length; i++) {
      low = step(low, bytes[i]);
      high = stepHigh(high, bytes[i]);
    }
    this.low = low;
    this.high = high;
  }

  /** 16 hexadecimal digits. */
  toString(): string {
    return hex(this.high) + hex(this.low);
  }
}

function step(hash: number, word: number): number {
  return Math.imul(hash ^ word, LOW_PRIME);
}

function stepHigh(hash: number, word: number): number {
  return Math.imul((hash ^ word) + (hash >>> 15), HIGH_PRIME);
}

function hex(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

const LOW_PRIME = 0x01000193;
const HIGH_PRIME = 0x9e3779b1 | 0;
