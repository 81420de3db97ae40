// Decides which subflow bytes belong where in the data stream: the mappings received on one subflow, kept
// until the subflow has passed them (RFC 8684 §3.3.1). The first mapping of a byte counts; a different one is
// a fault.
// Before: mptcp/options-in. After: mptcp/receive looks payload up.

const INITIAL_CAPACITY = 16;

/** What became of a mapping that arrived. */
export const MapResult = { NEW: 0, KNOWN: 1, CONFLICT: 2, FULL: 3 } as const;
export type MapResult = (typeof MapResult)[keyof typeof MapResult];

/** Mappings in order of ssn, disjoint. */
export class ReceiveMap {
  private ssns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private dsns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private lengths: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private checksums: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** 1 = verified and handed over as a whole. */
  private placed: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  count = 0;
  private readonly most: number;

  constructor(most: number) {
    this.most = most;
  }

  ssn(i: number): number {
    return this.ssns[i];
  }

  dsn(i: number): number {
    return this.dsns[i];
  }

  length(i: number): number {
    return this.lengths[i];
  }

  end(i: number): number {
    return this.ssns[i] + this.lengths[i];
  }

  checksum(i: number): number {
    return this.checksums[i];
  }

  isPlaced(i: number): boolean {
    return this.placed[i] === 1;
  }

  /** All bytes of mapping i were verified and handed over: further copies of them are no news. */
  markPlaced(i: number): void {
    this.placed[i] = 1;
  }

  /** Takes a mapping of `length` payload bytes. */
  add(ssn: number, dsn: number, length: number, checksum: number): MapResult {
    const i = this.firstEndingAfter(ssn);
    if (i < this.count && this.ssns[i] < ssn + length) {
      // The same, or part of a mapping that says the same (a middlebox split the option's segment).
      const inside = this.ssns[i] <= ssn && this.end(i) >= ssn + length;
      return inside && this.dsns[i] - this.ssns[i] === dsn - ssn ? MapResult.KNOWN : MapResult.CONFLICT;
    }
    if (this.count >= this.most) return MapResult.FULL;
    if (this.count === this.ssns.length) this.grow();
    this.ssns.copyWithin(i + 1, i, this.count);
    this.dsns.copyWithin(i + 1, i, this.count);
    this.lengths.copyWithin(i + 1, i, this.count);
    this.checksums.copyWithin(i + 1, i, this.count);
    this.placed.copyWithin(i + 1, i, this.count);
    this.placed[i] = 0;
    this.ssns[i] = ssn;
    this.dsns[i] = dsn;
    this.lengths[i] = length;
    this.checksums[i] = checksum;
    this.count++;
    return MapResult.NEW;
  }

  /** Index of the mapping covering `ssn`, -1 when there is none. */
  find(ssn: number): number {
    const i = this.firstEndingAfter(ssn);
    return i < this.count && this.ssns[i] <= ssn ? i : -1;
  }

  /** Start of the first mapping behind `ssn`; Infinity when there is none. */
  nextStart(ssn: number): number {
    const i = this.firstEndingAfter(ssn);
    return i < this.count ? Math.max(this.ssns[i], ssn) : Infinity;
  }

  /** Forgets mappings that end at or before `ssn`. */
  release(ssn: number): void {
    let gone = 0;
    while (gone < this.count && this.end(gone) <= ssn) gone++;
    if (gone === 0) return;
    this.ssns.copyWithin(0, gone, this.count);
    this.dsns.copyWithin(0, gone, this.count);
    this.lengths.copyWithin(0, gone, this.count);
    this.checksums.copyWithin(0, gone, this.count);
    this.placed.copyWithin(0, gone, this.count);
    this.count -= gone;
  }

  clear(): void {
    this.count = 0;
  }

  /** Index of the first mapping that ends behind `ssn`; count when there is none. */
  firstEndingAfter(ssn: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) > ssn) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private grow(): void {
    this.ssns = enlargeF(this.ssns);
    this.dsns = enlargeF(this.dsns);
    this.lengths = enlargeI(this.lengths);
    this.checksums = enlargeI(this.checksums);
    const placed = new Uint8Array(this.ssns.length);
    placed.set(this.placed);
    this.placed = placed;
  }
}

function enlargeF(from: Float64Array): Float64Array {
  const to = new Float64Array(2 * from.length);
  to.set(from);
  return to;
}

function enlargeI(from: Int32Array): Int32Array {
  const to = new Int32Array(2 * from.length);
  to.set(from);
  return to;
}
