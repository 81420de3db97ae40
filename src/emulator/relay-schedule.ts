// Decides when each datagram of one direction of an emulated path is handed on, in explicit time.
// Have read: netmodel/path.ts.
// Before: udp-relay.ts and emulated-path.ts stamp what they receive and offer it here. After: they take
// what is due and send it.
//
// Departures come from the model, rate and queue, and not from when somebody looked: a wake-up that comes
// late hands on everything that has become due, and the next departure is counted from the last one. So the
// rate is exact over any time in which something waits, however coarse the timers are.
//
// The ring is ordered by due time; nearly every datagram goes to its end, reordered ones a few places before.

import type { PathModel, RandomSource } from '../netmodel/index.ts';

export class RelaySchedule<T> {
  readonly model: PathModel;
  /** Bytes are IP packet bytes. What is lost at once is counted by the model. */
  readonly counters = { deliveredPackets: 0, deliveredBytes: 0, lostCut: 0, lostCorrupt: 0 };

  readonly #random: RandomSource;
  readonly #damage: (item: T, bit: number) => T | undefined;
  #dueMs = new Float64Array(INITIAL_CAPACITY);
  #ipBytes = new Int32Array(INITIAL_CAPACITY);
  #items = new Array<T | undefined>(INITIAL_CAPACITY).fill(undefined);
  #head = 0;
  #size = 0;

  /**
   * `damage` makes what arrives when this bit of the IP packet was flipped. By default that is nothing: the
   * receiver's UDP checksum would not match.
   */
  constructor(options: {
    model: PathModel;
    random: RandomSource;
    damage?: (item: T, bit: number) => T | undefined;
  }) {
    this.model = options.model;
    this.#random = options.random;
    this.#damage = options.damage ?? (() => undefined);
  }

  /**
   * `ipBytes` is what the datagram would measure as an IP packet. One that is capable of ECN has a `mark`,
   * which is called when the path marks it.
   */
  offer(item: T, ipBytes: number, now: number, mark?: (item: T) => void): void {
    const verdict = this.model.offer(now, ipBytes, this.#random, mark !== undefined);
    if (verdict.lost) return;
    const { arrivesMs, duplicateMs, corruptBit, congestionMarked } = verdict;
    if (congestionMarked) mark?.(item);
    const arriving = corruptBit === -1 ? item : this.#damage(item, corruptBit);
    if (arriving === undefined) {
      // It is lost having used its share of the rate.
      this.counters.lostCorrupt += 1;
      return;
    }
    this.#insert(arriving, ipBytes, arrivesMs);
    if (duplicateMs !== -1) this.#insert(item, ipBytes, duplicateMs);
  }

  /** When to call `take` next; Infinity when nothing is under way. */
  get nextDueMs(): number {
    return this.#size === 0 ? Infinity : this.#dueMs[this.#head];
  }

  /** The next item that has arrived by `now`. */
  take(now: number): T | undefined {
    const head = this.#head;
    if (this.#size === 0 || this.#dueMs[head] > now) return undefined;
    const item = this.#items[head];
    this.#items[head] = undefined;
    this.counters.deliveredPackets += 1;
    this.counters.deliveredBytes += this.#ipBytes[head];
    this.#head = (head + 1) & (this.#items.length - 1);
    this.#size -= 1;
    return item;
  }

  /** Taking the path down loses what is queued and what is on the wire. */
  setUp(up: boolean): void {
    this.model.setUp(up);
    if (up) return;
    this.counters.lostCut += this.#size;
    this.#items.fill(undefined);
    this.#head = 0;
    this.#size = 0;
  }

  #insert(item: T, ipBytes: number, dueMs: number): void {
    if (this.#size === this.#items.length) this.#double();
    const mask = this.#items.length - 1;
    let place = (this.#head + this.#size) & mask;
    for (let ahead = this.#size; ahead > 0; ahead--) {
      const before = (place - 1) & mask;
      if (this.#dueMs[before] <= dueMs) break;
      this.#move(before, place);
      place = before;
    }
    this.#dueMs[place] = dueMs;
    this.#ipBytes[place] = ipBytes;
    this.#items[place] = item;
    this.#size += 1;
  }

  #move(from: number, to: number): void {
    this.#dueMs[to] = this.#dueMs[from];
    this.#ipBytes[to] = this.#ipBytes[from];
    this.#items[to] = this.#items[from];
  }

  #double(): void {
    const capacity = this.#items.length;
    const dueMs = new Float64Array(capacity * 2);
    const ipBytes = new Int32Array(capacity * 2);
    const items = new Array<T | undefined>(capacity * 2).fill(undefined);
    for (let i = 0; i < capacity; i++) {
      const from = (this.#head + i) & (capacity - 1);
      dueMs[i] = this.#dueMs[from];
      ipBytes[i] = this.#ipBytes[from];
      items[i] = this.#items[from];
    }
    this.#dueMs = dueMs;
    this.#ipBytes = ipBytes;
    this.#items = items;
    this.#head = 0;
  }
}

// A power of two, as all its doublings are.
const INITIAL_CAPACITY = 256;
