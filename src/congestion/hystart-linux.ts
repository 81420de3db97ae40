// Decides when slow start has gone far enough, as Linux's CUBIC does: the acknowledgements of a round come in
// one train for half a round trip, or after eight samples its smallest round trip is an eighth above the
// smallest of all. For comparisons with Linux; hystart.ts is what a host of ours does.
// Read: "Taming the elephants: New TCP slow start" (Ha, Rhee, 2011). Before: cubic.ts. After: nothing.

export class LinuxHyStart {
  #deliveredBytes = 0;
  #roundEndBytes = -1;
  #roundStartMs = 0;
  #lastAckMs = 0;
  #roundMinRttMs = Infinity;
  #minRttMs = Infinity;
  #samples = 0;

  /** True when slow start is over; asked before the window grows. `rttMs`: -1 for no sample. */
  isOver(
    ackedBytes: number,
    inFlightBytes: number,
    rttMs: number,
    cwndSegments: number,
    now: number,
  ): boolean {
    this.#deliveredBytes += ackedBytes;
    if (rttMs < 0) return false;
    this.#minRttMs = Math.min(this.#minRttMs, rttMs);
    if (cwndSegments < LOW_WINDOW) return false;
    if (this.#deliveredBytes > this.#roundEndBytes) {
      this.#roundEndBytes = this.#deliveredBytes + inFlightBytes;
      this.#roundStartMs = this.#lastAckMs = now;
      this.#roundMinRttMs = Infinity;
      this.#samples = 0;
    }
    if (now - this.#lastAckMs <= ACK_SPACING_MS) {
      this.#lastAckMs = now;
      if (now - this.#roundStartMs > (this.#minRttMs + ACK_DELAY_MS) / 2) return true;
    }
    this.#roundMinRttMs = Math.min(this.#roundMinRttMs, rttMs);
    if (this.#samples < SAMPLES) {
      this.#samples++;
      return false;
    }
    const thresholdMs = Math.min(Math.max(this.#minRttMs / 8, LEAST_RISE_MS), MOST_RISE_MS);
    return this.#roundMinRttMs > this.#minRttMs + thresholdMs;
  }
}

const LOW_WINDOW = 16;
const SAMPLES = 8;
const ACK_SPACING_MS = 2;
const ACK_DELAY_MS = 1;
const LEAST_RISE_MS = 4;
const MOST_RISE_MS = 16;
