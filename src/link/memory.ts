// Two hosts joined inside one process, for tests and examples: whatever one side sends waits until somebody
// calls `deliver()`, which hands a whole batch over.
//
// Decides: order (first in, first out, per direction), and that super-segments arrive in one piece, as they
// do over a carrier with segmentation and receive offload. Loss, delay and rates are the netmodel's business.
// Walk: beside link/udp; see link/link.

import { copyBytes } from '../wire/index.ts';
import type { Link, LinkSink } from './link.ts';

/** How a pair is made. */
export interface MemoryPairOptions {
  /** The local addresses of the two sides. */
  readonly addresses: readonly [string, string];
  readonly mtu?: number;
  readonly gsoMax?: number;
  /** Packets that wait in one direction; what comes beyond is dropped and counted. */
  readonly queueLimit?: number;
}

/** Two links, each the other's far end. */
export interface MemoryPair {
  readonly a: MemoryLink;
  readonly b: MemoryLink;
  /** Hands over every packet that waits now, in both directions; returns how many there were. */
  deliver(): number;
}

/** Makes two links that lead to each other. */
export function memoryPair(options: MemoryPairOptions): MemoryPair {
  const mtu = options.mtu ?? 1500;
  const gsoMax = options.gsoMax ?? 65_535;
  const queueLimit = options.queueLimit ?? 4096;
  const a = new MemoryLink(options.addresses[0], mtu, gsoMax, queueLimit);
  const b = new MemoryLink(options.addresses[1], mtu, gsoMax, queueLimit);
  a.peer = b;
  b.peer = a;
  return {
    a,
    b,
    deliver: () => {
      // Both counts first: answers to this batch belong to the next one.
      const forB = a.waiting;
      const forA = b.waiting;
      a.deliverToPeer(forB);
      b.deliverToPeer(forA);
      return forA + forB;
    },
  };
}

/** One side of a pair. */
export class MemoryLink implements Link {
  readonly address: string;
  readonly name: string;
  readonly mtu: number;
  readonly gsoMax: number;
  // Both ends share the memory: there is nothing a checksum could find.
  readonly checksumOffload: boolean = true;
  readonly counters: Record<string, number> = { sent: 0, received: 0, dropped: 0 };
  /** The far end; set by `memoryPair`. */
  peer: MemoryLink | undefined;
  readonly #queueLimit: number;
  /** Packets that wait, one behind the other in a ring of bytes, none across its end. */
  #ring: Uint8Array = new Uint8Array(INITIAL_RING_BYTES);
  /** Where the next packet goes. */
  #end = 0;
  readonly #offsets: Int32Array;
  readonly #lengths: Int32Array;
  #head = 0;
  #count = 0;
  #sink: LinkSink | undefined;
  #closed = false;

  constructor(address: string, mtu: number, gsoMax: number, queueLimit: number) {
    this.address = address;
    this.name = address;
    this.mtu = mtu;
    this.gsoMax = gsoMax;
    this.#queueLimit = queueLimit;
    this.#offsets = new Int32Array(queueLimit);
    this.#lengths = new Int32Array(queueLimit);
  }

  /** Packets sent and not yet delivered. */
  get waiting(): number {
    return this.#count;
  }

  attach(sink: LinkSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array, offset: number, length: number, _segmentSizeBytes: number): void {
    if (this.#closed || this.#count >= this.#queueLimit) {
      this.counters['dropped']++;
      return;
    }
    const at = this.#place(length);
    copyBytes(bytes, offset, this.#ring, at, length);
    const slot = (this.#head + this.#count++) % this.#queueLimit;
    this.#offsets[slot] = at;
    this.#lengths[slot] = length;
    this.#end = at + length;
    this.counters['sent']++;
  }

  /** Delivers the first `count` packets that wait. */
  deliverToPeer(count: number): void {
    for (let i = 0; i < count && this.#count > 0; i++) {
      const slot = this.#head;
      this.#head = (slot + 1) % this.#queueLimit;
      this.#count--;
      this.peer?.receive(this.#ring, this.#offsets[slot], this.#lengths[slot]);
    }
  }

  /** Finds room for `length` bytes in the ring; a larger ring when there is none. */
  #place(length: number): number {
    if (this.#count === 0) return length <= this.#ring.length ? 0 : this.#enlarge(length);
    const start = this.#offsets[this.#head];
    if (this.#end > start) {
      if (this.#end + length <= this.#ring.length) return this.#end;
      if (length < start) return 0;
    } else if (this.#end + length < start) {
      return this.#end;
    }
    return this.#enlarge(length);
  }

  /** Moves what waits to a ring with room for it and `length` bytes more. */
  #enlarge(length: number): number {
    const larger = new Uint8Array(this.#ring.length * 2 + length);
    let at = 0;
    for (let i = 0; i < this.#count; i++) {
      const slot = (this.#head + i) % this.#queueLimit;
      copyBytes(this.#ring, this.#offsets[slot], larger, at, this.#lengths[slot]);
      this.#offsets[slot] = at;
      at += this.#lengths[slot];
    }
    this.#ring = larger;
    return at;
  }

  receive(bytes: Uint8Array, offset: number, length: number): void {
    if (this.#closed || this.#sink === undefined) return;
    this.counters['received']++;
    this.#sink.packet(this, bytes, offset, length);
  }

  releasePort(_localPort: number): void {}

  close(): void {
    this.#closed = true;
    this.#count = 0;
  }
}

const INITIAL_RING_BYTES = 256 * 1024;
