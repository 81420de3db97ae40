// Decides how a set of byte ranges is kept: what has arrived out of order, what waits to be sent again.
// Sorted, disjoint, non-adjacent half-open ranges [start, end) of stream offsets in one typed array.
// Used by tcp/input (SACK, RFC 2018), tcp/receive-buffer and mptcp (reassembly, reinjection).

const INITIAL_RANGES = 8;

/** Sorted set of half-open ranges of stream offsets (JS numbers). Allocates only when it grows. */
export class RangeSet {
  /** start0, end0, start1, end1, … */
  private edges: Float64Array = new Float64Array(INITIAL_RANGES * 2);
  /** Number of ranges held. */
  count = 0;

  /** Start of range i (0 ≤ i < count). */
  start(i: number): number {
    return this.edges[i * 2];
  }

  /** End (exclusive) of range i. */
  end(i: number): number {
    return this.edges[i * 2 + 1];
  }

  /** Bytes covered in all. */
  get bytes(): number {
    let sum = 0;
    for (let i = 0; i < this.count; i++) sum += this.edges[i * 2 + 1] - this.edges[i * 2];
    return sum;
  }

  clear(): void {
    this.count = 0;
  }

  /** Index of the first range whose end lies beyond `offset`; count when there is none. */
  firstEndingAfter(offset: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.edges[middle * 2 + 1] > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** True when every byte of [start, end) is in the set. */
  contains(start: number, end: number): boolean {
    const i = this.firstEndingAfter(start);
    return i < this.count && this.edges[i * 2] <= start && this.edges[i * 2 + 1] >= end;
  }

  /** Adds [start, end), merging with what it touches. Returns the bytes that were not there before. */
  add(start: number, end: number): number {
    if (end <= start) return 0;
    let first = this.firstEndingAfter(start);
    if (this.edges[first * 2 - 1] === start) first--;
    let last = first;
    let covered = 0;
    let from = start;
    let to = end;
    while (last < this.count && this.edges[last * 2] <= end) {
      const s = this.edges[last * 2];
      const e = this.edges[last * 2 + 1];
      covered += Math.max(0, Math.min(e, end) - Math.max(s, start));
      if (s < from) from = s;
      if (e > to) to = e;
      last++;
    }
    this.replace(first, last - first, 1);
    this.edges[first * 2] = from;
    this.edges[first * 2 + 1] = to;
    return end - start - covered;
  }

  /** Takes [start, end) out of the set. */
  remove(start: number, end: number): void {
    if (end <= start) return;
    const first = this.firstEndingAfter(start);
    let last = first;
    while (last < this.count && this.edges[last * 2] < end) last++;
    if (last === first) return;
    const leftStart = this.edges[first * 2];
    const rightEnd = this.edges[last * 2 - 1];
    const keepsLeft = leftStart < start;
    const keepsRight = rightEnd > end;
    this.replace(first, last - first, (keepsLeft ? 1 : 0) + (keepsRight ? 1 : 0));
    let at = first * 2;
    if (keepsLeft) {
      this.edges[at++] = leftStart;
      this.edges[at++] = start;
    }
    if (keepsRight) {
      this.edges[at++] = end;
      this.edges[at] = rightEnd;
    }
  }

  /** Makes room so that `size` ranges stand where `removed` ranges stood at index `at`. */
  private replace(at: number, removed: number, size: number): void {
    const count = this.count - removed + size;
    if (count * 2 > this.edges.length) {
      const larger = new Float64Array(this.edges.length * 2);
      larger.set(this.edges);
      this.edges = larger;
    }
    if (removed !== size) {
      this.edges.copyWithin((at + size) * 2, (at + removed) * 2);
    }
    this.count = count;
  }
}
