// Wakes an emulator by the kernel's high-resolution timer, a descriptor of its own, and keeps book of how late it was:
// what is late here is delay that nobody asked for.

import { closeSync } from 'node:fs';
import type { Waker } from '../../src/emulator/alarm.ts';
import { foreign, type NativeFunction, type Poll } from '../../src/ffi/index.ts';

/** How late alarms rang, in steps of 10 µs up to 20 ms. */
export class Lateness {
  readonly #counts = new Float64Array(2001);
  #total = 0;

  add(lateMs: number): void {
    this.#counts[Math.min(Math.max(Math.floor(lateMs * 100), 0), 2000)]++;
    this.#total++;
  }

  /** In ms. */
  quantile(part: number): number {
    let left = part * this.#total;
    for (let i = 0; i < this.#counts.length; i++) {
      left -= this.#counts[i];
      if (left < 0) return i / 100;
    }
    return 20;
  }
}

export class PreciseAlarm implements Waker {
  readonly #fd: number;
  readonly #ring: () => void;
  readonly #lateness: Lateness;
  readonly #setTime: NativeFunction;
  readonly #read: NativeFunction;
  readonly #poll: Poll;
  readonly #spec = new Uint8Array(32);
  readonly #view = new DataView(this.#spec.buffer);
  readonly #expirations = new Uint8Array(8);
  /** On the clock of performance.now. */
  #dueMs = Infinity;

  constructor(ring: () => void, lateness: Lateness) {
    const ffi = foreign();
    this.#ring = ring;
    this.#lateness = lateness;
    this.#fd = ffi.call('timerfd_create', ['i32', 'i32'])(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (this.#fd < 0) throw new Error(`timerfd_create failed: errno ${ffi.errno()}`);
    this.#setTime = ffi.call('timerfd_settime', ['i32', 'i32', 'bytes', 'size']);
    this.#read = ffi.call('read', ['i32', 'bytes', 'size']);
    this.#poll = ffi.poll(this.#fd, () => this.#wake());
  }

  set(dueMs: number, now: number): void {
    const at = performance.now() + dueMs - now;
    if (!(at < this.#dueMs)) return;
    this.#dueMs = at;
    const waitNs = Math.max(1, Math.round((dueMs - now) * 1e6));
    this.#view.setBigInt64(16, BigInt(Math.floor(waitNs / 1e9)), true);
    this.#view.setBigInt64(24, BigInt(waitNs % 1e9), true);
    this.#setTime(this.#fd, 0, this.#spec, 0);
  }

  cancel(): void {
    this.#poll.close();
    closeSync(this.#fd);
  }

  #wake(): void {
    this.#read(this.#fd, this.#expirations, 8);
    if (this.#dueMs === Infinity) return;
    this.#lateness.add(performance.now() - this.#dueMs);
    this.#dueMs = Infinity;
    this.#ring();
  }
}

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 2048;
