// Decides when the first slow start has gone far enough, from the round-trip times it causes.
// Have read: RFC 9406 §4.
// Before: cubic.ts reports every acknowledgement of the first slow start.
// After: cubic.ts grows by acked / `growthDivisor` and goes to congestion avoidance when `onAck` says so.
//
// The RFC ends a round when the sequence number that was SND.NXT at its start is acknowledged. The same is
// known here without sequence numbers: as many bytes have been delivered as were outstanding at the start.
// The next acknowledgement is the first of the next round, and of the packets that were sent in the last.

export class HyStart {
  /** 1 in slow start, CSS_GROWTH_DIVISOR in conservative slow start. */
  growthDivisor = 1;

  #deliveredBytes = 0;
  #roundEndBytes = 0;
  #lastRoundMinRttMs = Infinity;
  #currentRoundMinRttMs = Infinity;
  #rttSampleCount = 0;
  #cssBaselineMinRttMs = Infinity;
  #cssRounds = 0;
  /** The first acknowledgement of the round, -1 before it came; and the last without a pause before it. */
  #trainStartMs = -1;
  #trainEndMs = 0;

  /**
   * Returns true once, when slow start is over: conservative slow start has lasted its rounds, or the
   * acknowledgements of a round have come in one train for longer than half of the round-trip time, which
   * says something once the window is large (`cwndSegments`).
   */
  onAck(
    ackedBytes: number,
    inFlightBytes: number,
    latestRttMs: number,
    minRttMs: number,
    cwndSegments: number,
    now: number,
  ): boolean {
    if (this.#roundEndBytes === 0) this.#roundEndBytes = ackedBytes + inFlightBytes;
    this.#deliveredBytes += ackedBytes;
    const over = this.#deliveredBytes > this.#roundEndBytes && this.#endRound(inFlightBytes);
    if (latestRttMs > 0) {
      if (latestRttMs < this.#currentRoundMinRttMs) this.#currentRoundMinRttMs = latestRttMs;
      this.#rttSampleCount += 1;
      if (this.#rttSampleCount >= N_RTT_SAMPLE) this.#judgeRound();
    }
    return (this.#isLongTrain(minRttMs, now) && cwndSegments >= LOW_WINDOW) || over;
  }

  // DEVIATION (Linux does the same): RFC 9406 left out the other sign of HyStart. Without it a queue that
  // holds less than the path does overflows before any round has a larger minimum: the first packets of a
  // round always find it empty.
  #isLongTrain(minRttMs: number, now: number): boolean {
    if (this.#trainStartMs === -1) this.#trainStartMs = this.#trainEndMs = now;
    if (now - this.#trainEndMs > ACK_SPACING_MS) return false;
    this.#trainEndMs = now;
    return now - this.#trainStartMs > (minRttMs + ACK_DELAY_MS) / 2;
  }

  #judgeRound(): void {
    if (this.growthDivisor === 1) {
      // RFC 9406 §4.2: "currentRoundMinRTT >= (lastRoundMinRTT + RttThresh)" ends slow start; without
      // a last round its infinite minimum makes the comparison false.
      const lastMs = this.#lastRoundMinRttMs;
      const threshMs = Math.max(MIN_RTT_THRESH_MS, Math.min(lastMs / MIN_RTT_DIVISOR, MAX_RTT_THRESH_MS));
      if (this.#currentRoundMinRttMs >= lastMs + threshMs) {
        this.#cssBaselineMinRttMs = this.#currentRoundMinRttMs;
        this.growthDivisor = CSS_GROWTH_DIVISOR;
        this.#cssRounds = 0;
      }
    } else if (this.#currentRoundMinRttMs < this.#cssBaselineMinRttMs) {
      // The delay went away although we kept growing: it was not ours, slow start resumes.
      this.#cssBaselineMinRttMs = Infinity;
      this.growthDivisor = 1;
    }
  }

  #endRound(inFlightBytes: number): boolean {
    this.#roundEndBytes = this.#deliveredBytes + inFlightBytes;
    this.#lastRoundMinRttMs = this.#currentRoundMinRttMs;
    this.#currentRoundMinRttMs = Infinity;
    this.#rttSampleCount = 0;
    this.#trainStartMs = -1;
    if (this.growthDivisor === 1) return false;
    // The round in which conservative slow start began counts too, so its end is the first.
    this.#cssRounds += 1;
    return this.#cssRounds === CSS_ROUNDS;
  }
}

// RFC 9406 §4.3, the recommended values.
const MIN_RTT_THRESH_MS = 4;
const MAX_RTT_THRESH_MS = 16;
const MIN_RTT_DIVISOR = 8;
const N_RTT_SAMPLE = 8;
const CSS_GROWTH_DIVISOR = 4;
const CSS_ROUNDS = 5;
/** Linux: hystart_low_window, hystart_ack_delta_us, and what offload may hold an acknowledgement back. */
const LOW_WINDOW = 16;
const ACK_SPACING_MS = 2;
const ACK_DELAY_MS = 1;
