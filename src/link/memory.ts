// Two hosts joined inside one process, for tests and examples: whatever one side sends waits until somebody
// calls `deliver()`, which hands a whole batch over.
//
// Decides: order (first in, first out, per direction), and that super-segments arrive in one piece, as they
// do over a carrier with segmentation and receive offload. Loss, delay and rates are the netmodel's business.
// Walk: beside link/udp; see link/link.

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
  readonly #queue: Uint8Array[] = [];
  readonly #lengths: number[] = [];
  readonly #pool: Uint8Array[] = [];
  #sink: LinkSink | undefined;
  #closed = false;

  constructor(address: string, mtu: number, gsoMax: number, queueLimit: number) {
    this.address = address;
    this.name = address;
    this.mtu = mtu;
    this.gsoMax = gsoMax;
    this.#queueLimit = queueLimit;
  }

  /** Packets sent and not yet delivered. */
  get waiting(): number {
    return this.#queue.length;
  }

  attach(sink: LinkSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array, offset: number, length: number, _segmentSizeBytes: number): void {
    if (this.#closed || this.#queue.length >= this.#queueLimit) {
      this.counters['dropped']++;
      return;
    }
    const slot = this.#pool.pop() ?? new Uint8Array(SLOT_BYTES);
    slot.set(bytes.subarray(offset, offset + length));
    this.#queue.push(slot);
    this.#lengths.push(length);
    this.counters['sent']++;
  }

  /** Delivers the first `count` packets that wait. */
  deliverToPeer(count: number): void {
    const slots = this.#queue.splice(0, count);
    const lengths = this.#lengths.splice(0, count);
    for (let i = 0; i < slots.length; i++) {
      this.peer?.receive(slots[i], lengths[i]);
      this.#pool.push(slots[i]);
    }
  }

  receive(bytes: Uint8Array, length: number): void {
    if (this.#closed || this.#sink === undefined) return;
    this.counters['received']++;
    this.#sink.packet(this, bytes, 0, length);
  }

  releasePort(_localPort: number): void {}

  close(): void {
    this.#closed = true;
    this.#queue.length = 0;
    this.#lengths.length = 0;
  }
}

const SLOT_BYTES = 65_535;
