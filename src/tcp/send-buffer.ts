// Decides where the application's bytes wait until they are acknowledged: one ring per connection, which is
// also the retransmission buffer. Offsets are stream offsets (JS numbers); the first byte has offset 1.
// Before it on the walk: api/socket. After it: tcp/output, mptcp/send.

import { appendSum, onesComplementSum } from '../wire/index.ts';
import { copyFromRing, copyIntoRing, moveRing } from './ring.ts';

const INITIAL_CAPACITY = 16 * 1024;

/**
 * Ring of bytes [start, end) not yet released, grown on demand up to `limit` bytes. The limit grows with the
 * congestion window, up to `maxLimit`.
 */
export class SendBuffer {
  private ring: Uint8Array = EMPTY;
  /** Offset of the oldest byte kept. */
  start: number;
  /** Offset behind the newest byte. */
  end: number;
  limit: number;
  maxLimit: number;

  constructor(options: { firstOffset: number; limitBytes: number; initialBytes?: number }) {
    this.start = options.firstOffset;
    this.end = options.firstOffset;
    this.maxLimit = options.limitBytes;
    this.limit = Math.min(options.limitBytes, options.initialBytes ?? options.limitBytes);
  }

  /** Bytes that `write` would take now. */
  get freeBytes(): number {
    return Math.max(0, this.limit - (this.end - this.start));
  }

  /** Bytes of memory held. */
  get capacityBytes(): number {
    return this.ring.length;
  }

  /** Lets it hold `bytes`, as far as it may; never less than before (Linux: tcp_sndbuf_expand). */
  expand(bytes: number): void {
    this.limit = Math.max(this.limit, Math.min(this.maxLimit, bytes));
  }

  /** Holds `bytes` from now on, whatever the window (SO_SNDBUF). */
  fix(bytes: number): void {
    this.limit = this.maxLimit = bytes;
  }

  /** Copies as much as fits; returns the bytes taken. */
  write(bytes: Uint8Array, offset: number, length: number): number {
    const taken = Math.min(length, this.freeBytes);
    if (taken === 0) return 0;
    const held = this.end - this.start;
    if (held + taken > this.ring.length) this.grow(held + taken);
    copyIntoRing(this.ring, this.end, bytes, offset, taken);
    this.end += taken;
    return taken;
  }

  /** Copies [from, from + length) out. The range must lie inside [start, end). */
  copy(from: number, length: number, out: Uint8Array, outOffset: number): void {
    copyFromRing(this.ring, from, length, out, outOffset);
  }

  /** One's complement sum of [from, from + length) for the DSS checksum (RFC 8684 §3.3.1). */
  sum(from: number, length: number): number {
    const position = from % this.ring.length;
    const first = Math.min(length, this.ring.length - position);
    const sum = onesComplementSum(this.ring, position, first);
    return first === length ? sum : appendSum(sum, first, onesComplementSum(this.ring, 0, length - first));
  }

  /** Forgets everything below `offset`. */
  release(offset: number): void {
    this.start = Math.max(this.start, Math.min(offset, this.end));
  }

  /** Lets go of all memory. */
  discard(): void {
    this.start = this.end;
    this.ring = EMPTY;
  }

  private grow(needed: number): void {
    let capacity = Math.max(INITIAL_CAPACITY, this.ring.length);
    while (capacity < needed) capacity *= 2;
    const larger = new Uint8Array(capacity);
    moveRing(this.ring, larger, this.start, this.end - this.start);
    this.ring = larger;
  }
}

const EMPTY: Uint8Array = new Uint8Array(0);
