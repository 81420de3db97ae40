// Decides what a subflow remembers of the mappings it has declared: immutable once sent (RFC 8684 §3.3.1),
// kept until the subflow acknowledges them, so that retransmissions repeat option and bytes exactly.
// Before: mptcp/send appends. After: mptcp/options writes them, mptcp/reinjection reads what is still in
// flight.

const INITIAL_CAPACITY = 16;

/** Ring of mappings [ssn, ssn + length) → [dsn, dsn + length), in order of ssn. */
export class SendMap {
  private ssns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private dsns: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private lengths: Int32Array = new Int32Array(INITIAL_CAPACITY);
  /** Checksum, -1 for none. */
  private checksums: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private fins: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  /** Bytes kept here because the connection has released them (mptcp/send `retain`). */
  private kept: (Uint8Array | null)[] = new Array<Uint8Array | null>(INITIAL_CAPACITY).fill(null);
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
    return this.fins[(this.head + i) & this.mask] !== 0;
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

  /** Forgets mappings acknowledged completely. */
  release(ssn: number): void {
    while (this.count > 0 && this.ssn(0) + this.length(0) <= ssn) {
      this.kept[this.head & this.mask] = null;
      this.head = (this.head + 1) & this.mask;
      this.count--;
    }
  }

  /** The smallest dsn still mapped and not kept here; Infinity when there is none. */
  lowestDsn(): number {
    let lowest = Infinity;
    for (let i = 0; i < this.count; i++) {
      const dsn = this.dsn(i);
      if (dsn < lowest && this.keptBytes(i) === null) lowest = dsn;
    }
    return lowest;
  }

  /** True when [start, end) overlaps a mapping in flight. */
  overlaps(start: number, end: number): boolean {
    for (let i = 0; i < this.count; i++) {
      const dsn = this.dsn(i);
      if (dsn < end && dsn + this.length(i) > start) return true;
    }
    return false;
  }

  /** The smallest dsn in [start, end) that a mapping in flight begins with; `end` when there is none. */
  nextOverlap(start: number, end: number): number {
    let next = end;
    for (let i = 0; i < this.count; i++) {
      const dsn = this.dsn(i);
      if (dsn >= start && dsn < next) next = dsn;
    }
    return next;
  }

  clear(): void {
    this.kept.fill(null);
    this.head = this.count = 0;
  }

  private grow(): void {
    const size = (this.mask + 1) * 2;
    const ssns = new Float64Array(size);
    const dsns = new Float64Array(size);
    const lengths = new Int32Array(size);
    const checksums = new Int32Array(size);
    const fins = new Uint8Array(size);
    const kept = new Array<Uint8Array | null>(size).fill(null);
    for (let i = 0; i < this.count; i++) {
      const k = (this.head + i) & this.mask;
      ssns[i] = this.ssns[k];
      dsns[i] = this.dsns[k];
      lengths[i] = this.lengths[k];
      checksums[i] = this.checksums[k];
      fins[i] = this.fins[k];
      kept[i] = this.kept[k];
    }
    this.ssns = ssns;
    this.dsns = dsns;
    this.lengths = lengths;
    this.checksums = checksums;
    this.fins = fins;
    this.kept = kept;
    this.head = 0;
    this.mask = size - 1;
  }
}
