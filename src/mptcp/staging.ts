// Decides where bytes of one subflow wait that have no place in the data stream yet: their mapping is
// unknown, or known and not complete enough to verify its checksum (RFC 8684 §3.3.1: "MAY hold onto such
// unmapped data").
// Before: mptcp/receive stages. After: mptcp/receive moves.

import { RangeSet } from '../tcp/index.ts';
import { copyFromRing, copyIntoRing, moveRing } from '../tcp/ring.ts';

const INITIAL_CAPACITY = 16 * 1024;

/** Bytes by ssn, in ranges that come and go in any order, within `limit` bytes of the lowest one. */
export class Staging {
  readonly ranges: RangeSet = new RangeSet();
  private ring: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Keeps [ssn, ssn + length); false when there is no room. */
  insert(ssn: number, bytes: Uint8Array, offset: number, length: number): boolean {
    const low = this.ranges.count > 0 ? Math.min(this.ranges.start(0), ssn) : ssn;
    const high = Math.max(ssn + length, this.ranges.count > 0 ? this.ranges.end(this.ranges.count - 1) : 0);
    if (high - low > this.limit) return false;
    if (high - low > this.ring.length) this.grow(high - low);
    copyIntoRing(this.ring, ssn, bytes, offset, length);
    this.ranges.add(ssn, ssn + length);
    return true;
  }

  /** Copies bytes that are held. */
  copy(ssn: number, length: number, out: Uint8Array, offset: number): void {
    copyFromRing(this.ring, ssn, length, out, offset);
  }

  remove(start: number, end: number): void {
    this.ranges.remove(start, end);
  }

  private grow(needed: number): void {
    const larger = new Uint8Array(2 ** Math.ceil(Math.log2(needed)));
    for (let i = 0; i < this.ranges.count; i++) {
      moveRing(this.ring, larger, this.ranges.start(i), this.ranges.end(i) - this.ranges.start(i));
    }
    this.ring = larger;
  }
}
