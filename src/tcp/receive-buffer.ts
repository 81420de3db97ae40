// Decides where received bytes wait for the application: one ring per connection, filled in any order, read
// in order. The first copy of a byte that arrives wins (RFC 8684 §3.3.1). Offsets as in send-buffer.ts.
// Before it on the walk: tcp/input, mptcp/receive. After it: api/socket.

import type { TcpConfig } from './config.ts';
import { RangeSet } from './range-set.ts';
import { copyFromRing, copyIntoRing, moveRing } from './ring.ts';
import { SendBuffer } from './send-buffer.ts';

const INITIAL_CAPACITY = 16 * 1024;

/**
 * Ring of received bytes [readOffset, …), grown on demand up to `limit` bytes. The limit is what the sender
 * may be offered; it grows with what the application reads, up to `maxLimit`.
 */
export class ReceiveBuffer {
  private ring: Uint8Array = EMPTY;
  /** Offset of the next byte the application reads. */
  readOffset: number;
  /** Offset behind the last byte received without a hole. */
  next: number;
  /** What has arrived beyond a hole. */
  readonly beyond: RangeSet = new RangeSet();
  /** Largest offset ever offered to the sender (exclusive). RFC 8684 §3.3.4: it never moves back. */
  rightEdge: number;
  limit: number;
  maxLimit: number;
  /** The measurement of `tune`: what was read in the round trip before, and from where and when it counts. */
  private readLastBytes = INITIAL_READ_BYTES;
  private measuredFrom: number;
  private measuredMs = -1;
  private mostOffered = 0;
  private readonly isCalm: boolean;

  /** `calm`: who reads is not reason enough to offer more than was ever offered. */
  constructor(options: { firstOffset: number; limitBytes: number; initialBytes?: number; calm?: boolean }) {
    this.isCalm = options.calm ?? false;
    this.readOffset = options.firstOffset;
    this.next = options.firstOffset;
    this.rightEdge = options.firstOffset;
    this.measuredFrom = options.firstOffset;
    this.maxLimit = options.limitBytes;
    this.limit = Math.min(options.limitBytes, options.initialBytes ?? options.limitBytes);
  }

  get readableBytes(): number {
    return this.next - this.readOffset;
  }

  /** Bytes of memory held. */
  get capacityBytes(): number {
    return this.ring.length;
  }

  /** Bytes beyond `next` that the buffer can take: the window that could be offered. */
  get windowBytes(): number {
    return Math.max(0, this.readOffset + this.limit - this.next);
  }

  /**
   * The window field to send for `scale`; moves the right edge, never back (RFC 8684 §3.3.4), and forward
   * only when it is worth a segment: at least `minStepBytes` or half the buffer (RFC 9293 §3.8.6.2.2).
   */
  offer(scale: number, minStepBytes: number): number {
    const unit = 1 << scale;
    const offered = Math.max(0, this.rightEdge - this.next);
    const possible = this.windowBytes;
    // RFC 7323 §2.4: when less than one unit has arrived, the receiver "will have to either advertise a new
    // window that is beyond what it previously advertised (and perhaps beyond the buffer) or will have to
    // advertise a smaller window". Rounded up so that the edge stays; rounded down, by less than a unit, when
    // the buffer could not keep the promise. Whatever was ever in the window is still taken (`insert`).
    let field = Math.ceil(offered / unit);
    if (this.next + field * unit > this.readOffset + this.limit) field = Math.floor(offered / unit);
    if (possible - offered >= Math.min(minStepBytes, this.limit / 2)) {
      field = Math.max(field, Math.floor(possible / unit));
    }
    if (field > 65535) field = 65535;
    this.mostOffered = Math.max(this.mostOffered, field * unit);
    const edge = this.next + field * unit;
    if (edge > this.rightEdge) this.rightEdge = edge;
    return field;
  }

  /**
   * True when reading has freed so much that the sender should be told without waiting for its data. `scale`:
   * more than 65,535 units cannot be offered.
   */
  shouldUpdateWindow(segmentBytes: number, scale: number): boolean {
    const offered = this.rightEdge - this.next;
    // Linux's window grows with what arrives: reading opens it no wider than it was.
    const most = Math.min(this.limit, this.isCalm ? this.mostOffered : 65_535 * 2 ** scale);
    if (offered >= most / 2) return false;
    const step = Math.min(most / 2, Math.max(2 * segmentBytes, most / 8));
    return Math.min(this.windowBytes, most) - offered >= step;
  }

  /**
   * Stores the part of [at, at + length) that is new and fits. Returns the number of bytes stored.
   * Bytes outside the window are dropped (RFC 8684 §3.8), bytes held already are left as they are.
   */
  insert(at: number, bytes: Uint8Array, offset: number, length: number): number {
    let start = at;
    const end = Math.min(at + length, Math.max(this.rightEdge, this.readOffset + this.limit));
    if (start < this.next) start = this.next;
    if (start >= end) return 0;
    if (end - this.readOffset > this.ring.length) this.grow(end - this.readOffset);
    if (this.beyond.count === 0) {
      copyIntoRing(this.ring, start, bytes, offset + (start - at), end - start);
      if (start === this.next) this.next = end;
      else this.beyond.add(start, end);
      return end - start;
    }
    const stored = this.fillHoles(start, end, bytes, offset - at);
    this.beyond.add(start, end);
    if (start === this.next) this.advance();
    return stored;
  }

  /** True when every byte of [start, end) has arrived or was read. */
  has(start: number, end: number): boolean {
    if (end <= this.next) return true;
    return this.beyond.contains(Math.max(start, this.next), end);
  }

  /** Copies up to `length` readable bytes out and frees their room; returns how many. */
  read(out: Uint8Array, offset: number, length: number): number {
    const taken = Math.min(length, this.next - this.readOffset);
    if (taken === 0) return 0;
    copyFromRing(this.ring, this.readOffset, taken, out, offset);
    this.readOffset += taken;
    return taken;
  }

  /** The same without taking them: they stay readable. */
  peek(out: Uint8Array, offset: number, length: number): number {
    const shown = Math.min(length, this.next - this.readOffset);
    if (shown === 0) return 0;
    copyFromRing(this.ring, this.readOffset, shown, out, offset);
    return shown;
  }

  /**
   * After a read: when more was read in this round trip than in the one before, the window grows (dynamic
   * right-sizing; Linux: tcp_rcv_space_adjust). The sender doubles its window in slow start, and what is
   * offered now is for the round trip after: twice what was read, and twice again by how much it grew.
   */
  tune(rttMs: number, segmentBytes: number, now: number): void {
    if (this.measuredMs < 0) this.measuredMs = now;
    if (!(rttMs > 0) || now - this.measuredMs < rttMs) return;
    const readBytes = this.readOffset - this.measuredFrom;
    const before = this.readLastBytes;
    this.measuredFrom = this.readOffset;
    this.measuredMs = now;
    if (readBytes <= before) return;
    this.readLastBytes = readBytes;
    const window = 2 * readBytes + 16 * segmentBytes;
    const grown = window + (2 * window * (readBytes - before)) / before;
    this.limit = Math.min(this.maxLimit, Math.max(this.limit, Math.ceil(grown)));
  }

  /** Holds `bytes` from now on, whatever is read (SO_RCVBUF). What was offered is still taken. */
  fix(bytes: number): void {
    this.limit = this.maxLimit = bytes;
  }

  /** Drops what is readable without copying (the application has let go). Returns the bytes dropped. */
  skip(): number {
    const dropped = this.next - this.readOffset;
    this.readOffset = this.next;
    return dropped;
  }

  /** Lets go of all memory; what arrives later is not kept. */
  discard(): void {
    this.readOffset = this.next;
    this.beyond.clear();
    this.ring = EMPTY;
  }

  private fillHoles(start: number, end: number, bytes: Uint8Array, shift: number): number {
    let stored = 0;
    let from = start;
    for (let i = this.beyond.firstEndingAfter(start); from < end; i++) {
      const to = i < this.beyond.count ? Math.min(end, this.beyond.start(i)) : end;
      if (to > from) {
        copyIntoRing(this.ring, from, bytes, shift + from, to - from);
        stored += to - from;
      }
      if (i >= this.beyond.count) break;
      from = Math.max(from, this.beyond.end(i));
    }
    return stored;
  }

  private advance(): void {
    this.next = this.beyond.end(0);
    this.beyond.remove(this.beyond.start(0), this.next);
  }

  private grow(needed: number): void {
    let capacity = Math.max(INITIAL_CAPACITY, this.ring.length);
    while (capacity < needed) capacity *= 2;
    const larger = new Uint8Array(capacity);
    moveRing(this.ring, larger, this.readOffset, this.ring.length);
    this.ring = larger;
  }
}

/** Both buffers of a connection as it is configured; the first byte of each direction is byte 1. */
export function newBuffers(config: TcpConfig): { sendBuffer: SendBuffer; receiveBuffer: ReceiveBuffer } {
  const { sendBufferBytes, sendBufferInitialBytes, receiveBufferBytes, receiveBufferInitialBytes } = config;
  const send = { firstOffset: 1, limitBytes: sendBufferBytes, initialBytes: sendBufferInitialBytes };
  const [limitBytes, initialBytes] = [receiveBufferBytes, receiveBufferInitialBytes];
  const receive = { firstOffset: 1, limitBytes, initialBytes, calm: config.asLinux };
  return { sendBuffer: new SendBuffer(send), receiveBuffer: new ReceiveBuffer(receive) };
}

/** Ten segments, as Linux begins: the initial window of the sender (RFC 6928). */
const INITIAL_READ_BYTES = 14_600;
const EMPTY: Uint8Array = new Uint8Array(0);
