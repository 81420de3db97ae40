// Decides what is remembered of each piece of sequence space in flight: the retransmission queue and the SACK
// scoreboard in one (RFC 9293 §3.8.1, RFC 2018, RFC 8985 §5.1). A ring of typed arrays; an entry is up to 64
// KB and is split where an acknowledgement falls inside it. Offsets are subflow-relative (`ssn`, SYN = 0).
// Before it on the walk: tcp/output appends. After it: tcp/ack, tcp/rack and tcp/recovery read and mark.

export const Sent = {
  /** Selectively acknowledged. */
  SACKED: 1,
  /** Deemed lost and not sent again yet. */
  LOST: 2,
  /** Sent more than once. */
  RETRANSMITTED: 4,
  /** The FIN: one number of sequence space without payload. */
  FIN: 8,
  /** Ends with what was pushed. */
  PUSH: 16,
} as const;

const INITIAL_CAPACITY = 16;

/** Entries in order of ssn. Index 0 is the oldest. */
export class SentQueue {
  private starts: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private lengths: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private times: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private marks: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  private head = 0;
  private mask: number = INITIAL_CAPACITY - 1;
  count = 0;
  /** Bytes marked SACKED / LOST: kept here so that the pipe is a subtraction. */
  sackedBytes = 0;
  lostBytes = 0;
  /** Entries that were sent again and are not yet acknowledged in any way. */
  retransmittedOut = 0;

  start(i: number): number {
    return this.starts[(this.head + i) & this.mask];
  }

  length(i: number): number {
    return this.lengths[(this.head + i) & this.mask];
  }

  end(i: number): number {
    const k = (this.head + i) & this.mask;
    return this.starts[k] + this.lengths[k];
  }

  /** When the entry was last sent, in ms. */
  sentMs(i: number): number {
    return this.times[(this.head + i) & this.mask];
  }

  flags(i: number): number {
    return this.marks[(this.head + i) & this.mask];
  }

  append(start: number, length: number, now: number, flags: number): void {
    if (this.count > this.mask) this.grow();
    const k = (this.head + this.count) & this.mask;
    this.starts[k] = start;
    this.lengths[k] = length;
    this.times[k] = now;
    this.marks[k] = flags;
    this.count++;
  }

  /** Index of the entry that holds `ssn`, or of the first one behind it; count when there is none. */
  find(ssn: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) > ssn) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Removes the oldest entry. */
  shift(): void {
    const k = this.head & this.mask;
    this.account(this.marks[k], -this.lengths[k]);
    if (this.isOut(this.marks[k])) this.retransmittedOut--;
    this.head = (this.head + 1) & this.mask;
    this.count--;
  }

  /** Cuts the first `bytes` off the oldest entry (an ACK fell inside it). */
  trimHead(bytes: number): void {
    const k = this.head & this.mask;
    this.account(this.marks[k], -bytes);
    this.starts[k] += bytes;
    this.lengths[k] -= bytes;
  }

  /** Splits entry i so that its first part ends at `ssn`; the rest becomes entry i + 1. */
  splitAt(i: number, ssn: number): void {
    if (this.count > this.mask) this.grow();
    for (let j = this.count; j > i; j--) this.move(j - 1, j);
    const k = (this.head + i) & this.mask;
    const n = (this.head + i + 1) & this.mask;
    const firstLength = ssn - this.starts[k];
    this.starts[n] = ssn;
    this.lengths[n] -= firstLength;
    this.marks[k] &= ~Sent.PUSH;
    this.lengths[k] = firstLength;
    this.count++;
    if (this.isOut(this.marks[k])) this.retransmittedOut++;
  }

  markSacked(i: number): void {
    this.change(i, Sent.SACKED, Sent.LOST);
  }

  markLost(i: number): void {
    this.change(i, Sent.LOST, 0);
  }

  markResent(i: number, now: number): void {
    this.change(i, Sent.RETRANSMITTED, Sent.LOST);
    this.times[(this.head + i) & this.mask] = now;
  }

  /** Takes everything for lost that is not selectively acknowledged. */
  markAllLost(): void {
    for (let i = 0; i < this.count; i++) if ((this.flags(i) & Sent.SACKED) === 0) this.markLost(i);
  }

  /** Nothing is lost after all. */
  unmarkLost(): void {
    for (let i = 0; i < this.count; i++) this.change(i, 0, Sent.LOST);
  }

  /** Forgets what was selectively acknowledged. */
  forgetSacked(): void {
    for (let i = 0; i < this.count; i++) this.change(i, 0, Sent.SACKED);
  }

  /** Index of the first entry waiting to be sent again; -1 when there is none. */
  firstLost(): number {
    if (this.lostBytes === 0) return -1;
    for (let i = 0; i < this.count; i++) if ((this.flags(i) & Sent.LOST) !== 0) return i;
    return -1;
  }

  clear(): void {
    this.count = this.head = this.sackedBytes = this.lostBytes = this.retransmittedOut = 0;
  }

  private change(i: number, set: number, unset: number): void {
    const k = (this.head + i) & this.mask;
    const before = this.marks[k];
    const after = (before & ~unset) | set;
    this.account(before, -this.lengths[k]);
    this.account(after, this.lengths[k]);
    this.retransmittedOut += (this.isOut(after) ? 1 : 0) - (this.isOut(before) ? 1 : 0);
    this.marks[k] = after;
  }

  private isOut(flags: number): boolean {
    return (flags & (Sent.RETRANSMITTED | Sent.SACKED | Sent.LOST)) === Sent.RETRANSMITTED;
  }

  private account(flags: number, bytes: number): void {
    if ((flags & Sent.SACKED) !== 0) this.sackedBytes += bytes;
    if ((flags & Sent.LOST) !== 0) this.lostBytes += bytes;
  }

  private move(from: number, to: number): void {
    const f = (this.head + from) & this.mask;
    const t = (this.head + to) & this.mask;
    this.starts[t] = this.starts[f];
    this.lengths[t] = this.lengths[f];
    this.times[t] = this.times[f];
    this.marks[t] = this.marks[f];
  }

  private grow(): void {
    const size = this.mask + 1;
    const starts = new Float64Array(size * 2);
    const lengths = new Int32Array(size * 2);
    const times = new Float64Array(size * 2);
    const marks = new Uint8Array(size * 2);
    for (let i = 0; i < this.count; i++) {
      const k = (this.head + i) & this.mask;
      starts[i] = this.starts[k];
      lengths[i] = this.lengths[k];
      times[i] = this.times[k];
      marks[i] = this.marks[k];
    }
    this.starts = starts;
    this.lengths = lengths;
    this.times = times;
    this.marks = marks;
    this.head = 0;
    this.mask = size * 2 - 1;
  }
}
