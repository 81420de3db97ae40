// The virtual clock: what happens next, and when. Time is milliseconds as a float and moves only from
// one event to the next, so an hour of silence costs nothing. Two events of the same instant run in the
// order they were scheduled: this, with seeded randomness, is what makes a run repeatable byte for byte.
// Before it: nothing. After it: network.ts and world.ts schedule here, world.ts takes events off and
// acts.

/** What happens in a world: the kinds of event, and what their numbers mean. */
export const EventKind = {
  /** A packet is at the end of a lane: slot of the pool, lane. */
  ARRIVAL: 0,
  /** A packet did not fit a lane: interface of the network, MTU to use. */
  MTU_REPORT: 1,
  /** A host's deadline may have come: host. */
  DEADLINE: 2,
  /** A batch is complete, or a frozen machine runs again: host. */
  TURN: 3,
  /** An application wanted to be called: connection, 0 for the client's or 1 for the server's. */
  WAKE: 4,
  /** A connection is due to be opened: connection. */
  CONNECT: 5,
  /** Something happens to the network: number in the plan's list. */
  SCENARIO: 6,
  /** A function given to `World.at`: its number. */
  CALL: 7,
  /** Time to look whether everything moves. */
  CHECK: 8,
  /** A middlebox lets out what it held back: lane. */
  MIDDLEBOX: 9,
} as const;

/** What an event is about; `subject` and `detail` are small integers the owner of the kind understands. */
export interface SimEvent {
  timeMs: number;
  kind: number;
  subject: number;
  detail: number;
}

/**
 * A binary heap of events over typed arrays: no object per event, so a busy network does not feed the garbage
 * collector. Nothing can be taken out early; an owner whose plans change ignores the stale event when it
 * comes.
 */
export class EventQueue {
  /** The virtual time: the time of the last event taken. */
  nowMs = 0;
  /** The event last taken by `next`, one reused object. */
  readonly current: SimEvent = { timeMs: 0, kind: 0, subject: 0, detail: 0 };

  private count = 0;
  private scheduled = 0;
  private heap: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private free: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private freeCount = 0;
  private time: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private order: Float64Array = new Float64Array(INITIAL_CAPACITY);
  private kind: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  private subject: Int32Array = new Int32Array(INITIAL_CAPACITY);
  private detail: Int32Array = new Int32Array(INITIAL_CAPACITY);

  constructor() {
    this.freeSlots(0, INITIAL_CAPACITY);
  }

  /** Events waiting. */
  get size(): number {
    return this.count;
  }

  /** The time of the next event, `Infinity` when there is none. */
  get nextTimeMs(): number {
    return this.count === 0 ? Number.POSITIVE_INFINITY : this.time[this.heap[0]];
  }

  /** Schedules an event; a time already past means now. */
  schedule(timeMs: number, kind: number, subject: number, detail: number): void {
    if (Number.isNaN(timeMs)) throw new RangeError('an event needs a time');
    if (this.freeCount === 0) this.grow();
    const slot = this.free[--this.freeCount];
    this.time[slot] = Math.max(timeMs, this.nowMs);
    this.order[slot] = this.scheduled++;
    this.kind[slot] = kind;
    this.subject[slot] = subject;
    this.detail[slot] = detail;
    this.up(this.count++, slot);
  }

  /** Takes the next event into `current` and moves the clock there; false when nothing is left. */
  next(): boolean {
    if (this.count === 0) return false;
    const slot = this.heap[0];
    this.nowMs = this.time[slot];
    this.current.timeMs = this.nowMs;
    this.current.kind = this.kind[slot];
    this.current.subject = this.subject[slot];
    this.current.detail = this.detail[slot];
    this.free[this.freeCount++] = slot;
    this.count--;
    if (this.count > 0) this.down(this.heap[this.count]);
    return true;
  }

  private before(a: number, b: number): boolean {
    const timeA = this.time[a];
    const timeB = this.time[b];
    return timeA < timeB || (timeA === timeB && this.order[a] < this.order[b]);
  }

  private up(index: number, slot: number): void {
    let at = index;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = this.heap[parent];
      if (!this.before(slot, other)) break;
      this.heap[at] = other;
      at = parent;
    }
    this.heap[at] = slot;
  }

  private down(slot: number): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.count) break;
      if (child + 1 < this.count && this.before(this.heap[child + 1], this.heap[child])) child++;
      const other = this.heap[child];
      if (!this.before(other, slot)) break;
      this.heap[at] = other;
      at = child;
    }
    this.heap[at] = slot;
  }

  private freeSlots(from: number, to: number): void {
    for (let slot = to - 1; slot >= from; slot--) this.free[this.freeCount++] = slot;
  }

  private grow(): void {
    const from = this.heap.length;
    const to = from * 2;
    const heap = new Int32Array(to);
    heap.set(this.heap);
    this.heap = heap;
    this.free = new Int32Array(to);
    const time = new Float64Array(to);
    time.set(this.time);
    this.time = time;
    const order = new Float64Array(to);
    order.set(this.order);
    this.order = order;
    const kind = new Uint8Array(to);
    kind.set(this.kind);
    this.kind = kind;
    const subject = new Int32Array(to);
    subject.set(this.subject);
    this.subject = subject;
    const detail = new Int32Array(to);
    detail.set(this.detail);
    this.detail = detail;
    this.freeSlots(from, to);
  }
}

const INITIAL_CAPACITY = 256;
