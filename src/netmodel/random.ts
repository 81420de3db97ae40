// Decides what "random" means wherever a run must be repeatable: a seeded generator that can be split.
// Before: whoever owns the seed makes the root. After: path.ts and the simulator draw from it.
//
// A fork depends on the parent's seed and the label only, never on how much has been drawn: adding a draw in
// one place leaves every other place as it was. The generator is sfc32 (Chris Doty-Humphrey's small fast
// chaotic generator, 128 bits of state with a counter). Not for secrets.

/** What a model needs of randomness. */
export interface RandomSource {
  /** Uniform in [0, 1). */
  next(): number;
  /** Uniform in [0, 2³²). */
  uint32(): number;
}

export class Random implements RandomSource {
  readonly #key: Int32Array;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(seed: number | string) {
    this.#key = new Int32Array(4);
    absorb(this.#key, typeof seed === 'number' ? `#${seed}` : seed);
    this.#a = this.#key[0];
    this.#b = this.#key[1];
    this.#c = this.#key[2] ^ this.#key[3];
    // The first outputs still show the seed.
    for (let i = 0; i < 12; i++) this.uint32();
  }

  /** A generator of its own, the same for the same seed and label whatever was drawn here before. */
  fork(label: string | number): Random {
    return new Random(`${this.#key.join(',')}/${label}`);
  }

  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  next(): number {
    return this.uint32() / 2 ** 32;
  }

  /** Uniform whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  fill(into: Uint8Array): void {
    for (let i = 0; i < into.length; i += 4) {
      let word = this.uint32();
      for (let k = i; k < i + 4 && k < into.length; k++) {
        into[k] = word & 0xff;
        word >>>= 8;
      }
    }
  }
}

// Four lanes see every character at their own rotation; each lane is multiplied and folded into the next.
function absorb(key: Int32Array, text: string): void {
  key.set([0x2545f491, 0x4f6cdd1d, 0x6a09e667, 0x3c6ef372]);
  for (let i = 0; i < text.length + 4; i++) {
    const unit = i < text.length ? text.charCodeAt(i) : 0x10000 + text.length;
    const lane = i & 3;
    let h = Math.imul(key[lane] ^ unit, 0x9e3779b1);
    h ^= h >>> 15;
    h = Math.imul(h, 0x85ebca77);
    key[lane] = h ^ (h >>> 13);
    key[(lane + 1) & 3] ^= key[lane];
  }
}
