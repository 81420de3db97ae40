// Decides the congestion window as CUBIC does, with HyStart++ in the first slow start.
// Have read: RFC 9438 §4 and §5.8, RFC 9406.
// Before: see controller.ts; hystart.ts says when the first slow start ends. After: nothing.
//
// The RFC counts windows in segments; here they are bytes, so W_cubic(t) = MSS·C·(t−K)³ + W_max and
// K = ∛((W_max − cwnd_epoch) / (MSS·C)). Names follow the RFC. A congestion avoidance stage (an "epoch")
// begins with the first acknowledgement that may grow the window.

import { type CongestionController, windowAfterIdle } from './controller.ts';
import { HyStart } from './hystart.ts';

export class Cubic implements CongestionController {
  readonly name = 'cubic';
  cwndBytes: number;
  ssthreshBytes: number = Infinity;

  readonly #initialWindowBytes: number;
  #mssBytes: number;
  #hystart: HyStart | null = new HyStart();
  #inRecovery = false;

  /** 0: undefined, no congestion event so far. */
  #wMaxBytes = 0;
  #cwndPriorBytes = 0;
  #wEstBytes = 0;
  #kSeconds = 0;
  #epochStarted = false;
  #epochStartMs = 0;
  #afterTimeout = false;
  /** Growth earned that does not fill a byte yet: keeps `cwndBytes` whole without losing anything. */
  #creditBytes = 0;
  #lastAckMs = 0;

  // What the last reduction saved (§4.9.2); undoCwnd 0: nothing to undo.
  #undoCwndBytes = 0;
  #undoSsthreshBytes = 0;
  #undoCwndPriorBytes = 0;
  #undoWMaxBytes = 0;
  #undoKSeconds = 0;
  #undoEpochStarted = false;
  #undoEpochStartMs = 0;
  #undoWEstBytes = 0;
  #undoHystart: HyStart | null = null;

  constructor(mssBytes: number, initialWindowBytes: number) {
    this.#mssBytes = mssBytes;
    this.#initialWindowBytes = initialWindowBytes;
    this.cwndBytes = initialWindowBytes;
  }

  setMss(mssBytes: number): void {
    this.#mssBytes = mssBytes;
    if (this.cwndBytes < mssBytes) this.cwndBytes = mssBytes;
  }

  onAck(
    ackedBytes: number,
    inFlightBytes: number,
    srttMs: number,
    _minRttMs: number,
    latestRttMs: number,
    cwndLimited: boolean,
    now: number,
  ): void {
    const sinceLastAckMs = Math.max(now - this.#lastAckMs, 0);
    this.#lastAckMs = now;
    if (this.#inRecovery) return;
    if (!cwndLimited) {
      // RFC 9438 §4.2: t "MUST NOT include periods during which cwnd has not been updated due to
      // application-limited behavior".
      if (this.#epochStarted) this.#epochStartMs += sinceLastAckMs;
    } else if (this.cwndBytes < this.ssthreshBytes) {
      const usedBytes = this.#slowStart(ackedBytes);
      if (usedBytes < ackedBytes) this.#avoidCongestion(ackedBytes - usedBytes, srttMs, now);
    } else {
      this.#avoidCongestion(ackedBytes, srttMs, now);
    }
    if (this.#hystart?.onAck(ackedBytes, inFlightBytes, latestRttMs)) {
      // §4.10: "CUBIC sets cwnd_prior = cwnd and switches to congestion avoidance."
      this.#hystart = null;
      this.ssthreshBytes = this.cwndBytes;
      this.#cwndPriorBytes = this.cwndBytes;
    }
  }

  onEnterRecovery(_inFlightBytes: number, _now: number): void {
    this.#reduce();
    this.cwndBytes = this.ssthreshBytes;
    this.#inRecovery = true;
  }

  onExitRecovery(_now: number): void {
    if (!this.#inRecovery) return;
    this.#inRecovery = false;
    this.cwndBytes = this.ssthreshBytes;
  }

  onRetransmissionTimeout(_inFlightBytes: number, firstTimeout: boolean, _now: number): void {
    if (firstTimeout) this.#reduce();
    this.cwndBytes = this.#mssBytes;
    this.#inRecovery = false;
    this.#afterTimeout = true;
    this.#epochStarted = false;
  }

  onIdle(idleMs: number, rtoMs: number): void {
    // RFC 9438 §5.8: time without sending is not time on the curve.
    this.#epochStartMs += idleMs;
    this.#lastAckMs += idleMs;
    if (idleMs <= rtoMs || this.cwndBytes <= this.#initialWindowBytes) return;
    // RFC 2861 §3.1: ssthresh keeps the memory of the window that was used.
    this.ssthreshBytes = Math.max(this.ssthreshBytes, Math.floor((this.cwndBytes * 3) / 4));
    this.cwndBytes = windowAfterIdle(this.cwndBytes, this.#initialWindowBytes, idleMs, rtoMs);
    this.#epochStarted = false;
  }

  undo(_now: number): void {
    // RFC 9438 §4.9.2: "if cwnd < cwnd_prior"; a window that has outgrown the old one is kept.
    if (this.cwndBytes < this.#undoCwndBytes) {
      this.cwndBytes = this.#undoCwndBytes;
      this.ssthreshBytes = this.#undoSsthreshBytes;
      this.#cwndPriorBytes = this.#undoCwndPriorBytes;
      this.#wMaxBytes = this.#undoWMaxBytes;
      this.#kSeconds = this.#undoKSeconds;
      this.#epochStarted = this.#undoEpochStarted;
      this.#epochStartMs = this.#undoEpochStartMs;
      this.#wEstBytes = this.#undoWEstBytes;
      this.#hystart = this.#undoHystart;
      this.#afterTimeout = false;
    }
    this.#undoCwndBytes = 0;
    this.#inRecovery = false;
  }

  // DEVIATION (Linux does the same): RFC 9406 limits the growth an unpaced sender takes from one
  // acknowledgement to L = 8·SMSS. One acknowledgement here answers a whole batch of up to 45 segments;
  // the limit would turn exponential growth into linear growth just where paths are fast.
  #slowStart(ackedBytes: number): number {
    if (this.#hystart !== null && this.#hystart.growthDivisor > 1) {
      this.#grow(ackedBytes / this.#hystart.growthDivisor);
      return ackedBytes;
    }
    const usedBytes = Math.min(ackedBytes, this.ssthreshBytes - this.cwndBytes);
    this.cwndBytes += usedBytes;
    return usedBytes;
  }

  #avoidCongestion(ackedBytes: number, srttMs: number, now: number): void {
    if (!this.#epochStarted) this.#startEpoch(now);
    const cwnd = this.cwndBytes;
    // RFC 9438 §4.3, Figure 4, in bytes.
    const alpha = this.#wEstBytes >= this.#cwndPriorBytes ? 1 : ALPHA_CUBIC;
    this.#wEstBytes += (alpha * this.#mssBytes * ackedBytes) / cwnd;
    const tSeconds = (now - this.#epochStartMs) / 1000;
    if (this.#wCubicBytes(tSeconds) < this.#wEstBytes) {
      if (this.#wEstBytes > cwnd) {
        this.cwndBytes = Math.floor(this.#wEstBytes);
        this.#creditBytes = 0;
      }
      return;
    }
    // §4.2: cwnd ≤ target ≤ 1.5·cwnd.
    const wNextBytes = this.#wCubicBytes(tSeconds + srttMs / 1000);
    const targetBytes = Math.min(Math.max(wNextBytes, cwnd), 1.5 * cwnd);
    // DEVIATION (Linux does the same): §4.4 adds (target − cwnd) / cwnd for each acknowledgement, meant
    // for one acknowledgement a segment; counting the segments acknowledged reaches the target in one
    // round trip however many of them one acknowledgement covers.
    this.#grow(((targetBytes - cwnd) * Math.min(ackedBytes, cwnd)) / cwnd);
  }

  #startEpoch(now: number): void {
    this.#epochStarted = true;
    this.#epochStartMs = now;
    this.#wEstBytes = this.cwndBytes;
    // §4.8 after a timeout, §4.10 after HyStart++: K = 0 and W_max = cwnd at the start of the stage.
    if (this.#afterTimeout || this.#wMaxBytes <= this.cwndBytes) {
      this.#wMaxBytes = this.cwndBytes;
      this.#kSeconds = 0;
    } else {
      this.#kSeconds = Math.cbrt((this.#wMaxBytes - this.cwndBytes) / (C * this.#mssBytes));
    }
    this.#afterTimeout = false;
  }

  #wCubicBytes(tSeconds: number): number {
    const d = tSeconds - this.#kSeconds;
    return C * this.#mssBytes * d * d * d + this.#wMaxBytes;
  }

  #grow(bytes: number): void {
    const credit = this.#creditBytes + bytes;
    const whole = Math.floor(credit);
    this.cwndBytes += whole;
    this.#creditBytes = credit - whole;
  }

  // §4.6 takes the flight size, or cwnd where cwnd does not grow while it is not filled, which onAck sees
  // to. cwnd is taken: a scheduler that fed this path little lately says nothing about its capacity.
  #reduce(): void {
    this.#undoCwndBytes = this.cwndBytes;
    this.#undoSsthreshBytes = this.ssthreshBytes;
    this.#undoCwndPriorBytes = this.#cwndPriorBytes;
    this.#undoWMaxBytes = this.#wMaxBytes;
    this.#undoKSeconds = this.#kSeconds;
    this.#undoEpochStarted = this.#epochStarted;
    this.#undoEpochStartMs = this.#epochStartMs;
    this.#undoWEstBytes = this.#wEstBytes;
    this.#undoHystart = this.#hystart;
    const cwnd = this.cwndBytes;
    // §4.7, fast convergence: leave room when the last peak was not reached again.
    this.#wMaxBytes = cwnd < this.#wMaxBytes ? (cwnd * (1 + BETA_CUBIC)) / 2 : cwnd;
    this.#cwndPriorBytes = cwnd;
    this.ssthreshBytes = Math.max(Math.floor(cwnd * BETA_CUBIC), 2 * this.#mssBytes);
    this.#epochStarted = false;
    this.#creditBytes = 0;
    // RFC 9406 §4.3: HyStart++ is for the initial slow start only.
    this.#hystart = null;
  }
}

const BETA_CUBIC = 0.7;
const C = 0.4;
const ALPHA_CUBIC = (3 * (1 - BETA_CUBIC)) / (1 + BETA_CUBIC);
