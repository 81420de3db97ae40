// Decides what a subflow remembers of the mappings it has declared: immutable once sent (RFC 8684 §3.3.1),
// kept until the subflow acknowledges them, so that retransmissions repeat option and bytes exactly.
// Before: mptcp/send appends. After: mptcp/options writes them, mptcp/reinjection reads what is still in
// flight.

import type { RangeSet } from '../tcp/index.ts';

const INITIAL_CAPACITY = 16;

/**
 * Ring of mappings [ssn, ssn + length) → [dsn, dsn + length), in order of ssn. New data comes in order of dsn
 * as well; while nothing reinjected stands among it, questions about dsn are answered by bisection, and by a
 * scan otherwise.
 */
export class SendMap {
  private ssns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private dsns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private lengths: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** Checksum, -1 for none. */
  private checksums: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private fins: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  /** Bytes kept here because the connection has released them (mptcp/send `retain`). */
  private kept: (Uint8Array | null)[] = new Array<Uint8Array | null>(INITIAL_CAPACITY).fill(null);
  /** 1 = begins below the end of the mapping before it. */
  private steps: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  /** Mappings marked so; 0 = in order of dsn. */
  private stepsBack = 0;
  private head = 0;
  private mask: number = INITIAL_CAPACITY - 1;
  count = 0;

  ssn(i: number): number {
    return this.ssns[(this.head + i) & this.mask];
  }

  dsn(i: number): number {
    return this.dsns[(this.head + i) & this.mask];
  }

  /** Payload bytes; a DATA_FIN is not counted. */
  length(i: number): number {
    return this.lengths[(this.head + i) & this.mask];
  }

  checksum(i: number): number {
    return this.checksums[(this.head + i) & this.mask];
  }

  /** The mapping ends with the DATA_FIN. */
  hasFin(i: number): boolean {
    return this.fins[(this.head + i) & this.mask] === 1;
  }

  keptBytes(i: number): Uint8Array | null {
    return this.kept[(this.head + i) & this.mask];
  }

  keep(i: number, bytes: Uint8Array): void {
    this.kept[(this.head + i) & this.mask] = bytes;
  }

  append(ssn: number, dsn: number, length: number, fin: boolean, checksum: number): void {
    if (this.count > this.mask) this.grow();
    const k = (this.head + this.count) & this.mask;
    const last = this.count - 1;
    const back = Number(last >= 0 && dsn < this.dsn(last) + this.length(last));
    this.steps[k] = back;
    this.stepsBack += back;
    this.ssns[k] = ssn;
    this.dsns[k] = dsn;
    this.lengths[k] = length;
    this.checksums[k] = checksum;
    this.fins[k] = fin ? 1 : 0;
    this.kept[k] = null;
    this.count++;
  }

  /** Index of the mapping that covers `ssn`; -1 when none does. */
  find(ssn: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ssn(middle) + this.length(middle) > ssn) high = middle;
      else low = middle + 1;
    }
    return low < this.count && this.ssn(low) <= ssn ? low : -1;
  }

  /** Adds to `taken` what of the mappings below `ssn`, which TCP has acknowledged, lies beyond `dataUna`. */
  addTaken(ssn: number, dataUna: number, taken: RangeSet): void {
    for (let i = 0; i < this.count && this.ssn(i) < ssn; i++) {
      const dsn = this.dsn(i);
      const end = dsn + Math.min(this.length(i), ssn - this.ssn(i));
      taken.add(Math.max(dsn, dataUna), end);
    }
  }

  /** Forgets mappings acknowledged completely. */
  release(ssn: number): void {
    while (this.count > 0 && this.ssn(0) + this.length(0) <= ssn) {
      this.kept[this.head & this.mask] = null;
      this.head = (this.head + 1) & this.mask;
      this.count--;
      if (this.count === 0) this.stepsBack = 0;
      else if (this.steps[this.head] === 1) {
        this.steps[this.head] = 0;
        this.stepsBack--;
      }
    }
  }

  /** The smallest dsn still mapped and not kept here; Infinity when there is none. */
  lowestDsn(): number {
    let lowest = Infinity;
    for (let i = 0; i < this.count; i++) {
      if (this.keptBytes(i) !== null) continue;
      if (this.stepsBack === 0) return this.dsn(i);
      lowest = Math.min(lowest, this.dsn(i));
    }
    return lowest;
  }

  /** True when [start, end) overlaps a mapping in flight. */
  overlaps(start: number, end: number): boolean {
    if (this.stepsBack === 0) {
      const i = this.firstEndingAfter(start);
      return i < this.count && this.dsn(i) < end;
    }
    for (let i = 0; i < this.count; i++) {
      const dsn = this.dsn(i);
      if (dsn < end && dsn + this.length(i) > start) return true;
    }
    return false;
  }

  /** The smallest dsn in [start, end) that a mapping in flight begins with; `end` when there is none. */
  nextOverlap(start: number, end: number): number {
    if (this.stepsBack === 0) {
      let i = this.firstEndingAfter(start);
      if (i < this.count && this.dsn(i) < start) i++;
      return i < this.count ? Math.min(end, this.dsn(i)) : end;
    }
    let next = end;
    for (let i = 0; i < this.count; i++) {
      const dsn = this.dsn(i);
      if (dsn >= start) next = Math.min(next, dsn);
    }
    return next;
  }

  clear(): void {
    this.kept.fill(null);
    this.head = this.count = this.stepsBack = 0;
  }

  /** In order of dsn: index of the first mapping that ends behind `dsn`. */
  private firstEndingAfter(dsn: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.dsn(middle) + this.length(middle) > dsn) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  private grow(): void {
    const size = (this.mask + 1) * 2;
    const ssns = new Float64Array(size);
    const dsns = new Float64Array(size);
    const lengths = new Int32Array(size);
    const checksums = new Int32Array(size);
    const fins = new Uint8Array(size);
    const kept = new Array<Uint8Array | null>(size).fill(null);
    const steps = new Uint8Array(size);
    for (let i = 0; i < this.count; i++) {
      const k = (this.head + i) & this.mask;
      ssns[i] = this.ssns[k];
      dsns[i] = this.dsns[k];
      lengths[i] = this.lengths[k];
      checksums[i] = this.checksums[k];
      fins[i] = this.fins[k];
      kept[i] = this.kept[k];
      steps[i] = this.steps[k];
    }
    this.ssns = ssns;
    this.dsns = dsns;
    this.lengths = lengths;
    this.checksums = checksums;
    this.fins = fins;
    this.kept = kept;
    this.steps = steps;
    this.head = 0;
    this.mask = size - 1;
  }
}
