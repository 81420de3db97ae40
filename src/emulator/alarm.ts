// Decides when an emulator is woken: one timer, armed for the earliest time anybody asked for, and none when
// nothing is under way. Timers are coarse; whoever is woken looks at the clock and does all that is due.
// Have read: nothing. Before: the relay and the link emulator know what is due next. After: they deliver it.

/** What an emulator is woken by. */
export interface Waker {
  /** Rings at `dueMs`, both times on the caller's clock, or before; Infinity asks for nothing. */
  set(dueMs: number, now: number): void;
  cancel(): void;
}

export class Alarm implements Waker {
  readonly #ring: () => void;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Infinity;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /**
   * Rings at `dueMs`, both times on the caller's clock, unless it rings before; Infinity asks for
   * nothing.
   */
  set(dueMs: number, now: number): void {
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(this.#wake, Math.max(Math.ceil(dueMs - now), 1));
  }

  cancel(): void {
    clearTimeout(this.#timer);
    this.#dueMs = Infinity;
  }

  readonly #wake = (): void => {
    this.#dueMs = Infinity;
    this.#ring();
  };
}
