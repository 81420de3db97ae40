// The clock and the timers of the process: the only file of the package that reads the one or sets the
// others.
//
// Decides: which clock (monotonic milliseconds), and that timers never keep a process alive by themselves.
// Walk: api/driver asks here; everybody else is handed a driver.

/** Milliseconds on a clock that never goes back. */
export function monotonicMs(): number {
  return performance.now();
}

/**
 * Milliseconds on the wall clock; only to notice that the machine slept while the other clock stood still.
 */
export function wallClockMs(): number {
  return Date.now();
}

/** Microseconds since 1970, for what is written down. */
export function wallClockUs(): number {
  return (performance.timeOrigin + performance.now()) * 1000;
}

/**
 * A callback at a later time; one at a time, moved rather than multiplied. Does not keep the process alive.
 */
export class Alarm {
  readonly #callback: () => void;
  #timer: NodeJS.Timeout | undefined;
  #delayMs = -1;

  constructor(callback: () => void) {
    this.#callback = callback;
  }

  /** Whether it is going to ring. */
  get armed(): boolean {
    return this.#timer !== undefined;
  }

  /** Rings once after `delayMs`, and forgets what was set before. */
  set(delayMs: number): void {
    const wholeMs = Math.min(Math.max(Math.ceil(delayMs), 1), LONGEST_DELAY_MS);
    if (this.#timer !== undefined) {
      if (wholeMs === this.#delayMs) {
        this.#timer.refresh();
        return;
      }
      clearTimeout(this.#timer);
    }
    this.#delayMs = wholeMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#callback();
    }, wholeMs).unref();
  }

  /** Does not ring any more. */
  cancel(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** A callback when the event loop has read what there was to read, once however often it was asked for. */
export class TurnEnd {
  readonly #callback: () => void;
  #requested = false;

  constructor(callback: () => void) {
    this.#callback = callback;
  }

  get requested(): boolean {
    return this.#requested;
  }

  request(): void {
    if (this.#requested) return;
    this.#requested = true;
    // Not a microtask and not nextTick: Node runs those after every single datagram.
    setImmediate(this.#run);
  }

  readonly #run = (): void => {
    this.#requested = false;
    this.#callback();
  };
}

/** Keeps the process alive while somebody holds it. */
export class KeepAlive {
  #holders = 0;
  #timer: NodeJS.Timeout | undefined;

  get holders(): number {
    return this.#holders;
  }

  hold(): void {
    this.#holders++;
    this.#timer ??= setInterval(() => {}, LONGEST_DELAY_MS);
  }

  release(): void {
    this.#holders--;
    if (this.#holders > 0 || this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

const LONGEST_DELAY_MS = 2_147_483_647;
