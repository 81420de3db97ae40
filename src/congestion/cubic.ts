// Decides the congestion window as CUBIC does, with HyStart++ in the first slow start.
// Have read: RFC 9438 §4 and §5.8, RFC 9406.
// Before: see controller.ts; hystart.ts says when the first slow start ends. After: nothing.
//
// The RFC counts windows in segments, and so does this file, in whole ones; bytes are what the rest of the
// stack reads. Names follow the RFC. A congestion avoidance stage (an "epoch") begins with the first
// acknowledgement that may grow the window.
//
// DEVIATION (Linux does the same): rounding and timing are those of Linux's CUBIC, so that flows of both
// share a bottleneck evenly also where the window is a few segments, half of one being much. W_max, ssthresh,
// W_est are rounded down, the window grows by whole segments, and how fast is decided anew when it has grown
// or 31 ms have passed. bench/linux holds the two against each other.

import { type CongestionController, windowAfterIdle } from './controller.ts';
import { HyStart } from './hystart.ts';
import { LinuxHyStart } from './hystart-linux.ts';

export class Cubic implements CongestionController {
  readonly name = 'cubic';
  cwndBytes: number;
  ssthreshBytes: number = Infinity;

  readonly #asLinux: boolean;
  #initialWindowBytes: number;
  #mssBytes: number;
  #hystart: HyStart | null = null;
  /** In place of it, in a host that is to behave as Linux. */
  #linuxHystart: LinuxHyStart | null = null;
  #inRecovery = false;

  /** 0: undefined, no congestion event so far. */
  #wMax = 0;
  #wEst = 0;
  #kSeconds = 0;
  #epochStarted = false;
  #epochStartMs = 0;
  #afterTimeout = false;
  /** Segments acknowledged towards the next increase. */
  #acked = 0;
  /** How many it takes, and how far the window may grow so; when and for which window that was decided. */
  #ackedPerIncrease: number = Infinity;
  #lead = 0;
  #updatedMs = 0;
  #updatedCwnd = 0;
  #lastAckMs = 0;

  // What the last reduction saved (§4.9.2); undoCwnd 0: nothing to undo.
  #undoCwndBytes = 0;
  #undoSsthreshBytes = 0;
  #undoWMax = 0;
  #undoKSeconds = 0;
  #undoEpochStarted = false;
  #undoEpochStartMs = 0;
  #undoWEst = 0;
  #undoHystart: HyStart | null = null;

  constructor(mssBytes: number, initialWindowBytes: number, asLinux: boolean = false) {
    if (asLinux) this.#linuxHystart = new LinuxHyStart();
    else this.#hystart = new HyStart();
    this.#asLinux = asLinux;
    this.#mssBytes = mssBytes;
    this.#initialWindowBytes = initialWindowBytes;
    this.cwndBytes = initialWindowBytes;
  }

  begin(mssBytes: number, initialWindowBytes: number, cwndBytes: number): void {
    this.#mssBytes = mssBytes;
    this.#initialWindowBytes = initialWindowBytes;
    this.cwndBytes = cwndBytes;
  }

  setMss(mssBytes: number): void {
    this.#mssBytes = mssBytes;
    if (this.cwndBytes < mssBytes) this.cwndBytes = mssBytes;
  }

  onAck(
    ackedBytes: number,
    inFlightBytes: number,
    srttMs: number,
    minRttMs: number,
    latestRttMs: number,
    cwndLimited: boolean,
    now: number,
  ): void {
    const sinceLastAckMs = Math.max(now - this.#lastAckMs, 0);
    this.#lastAckMs = now;
    if (this.#inRecovery) return;
    this.#judgeAsLinux(ackedBytes, inFlightBytes, latestRttMs, now);
    if (!cwndLimited) {
      // RFC 9438 §4.2: t "MUST NOT include periods during which cwnd has not been updated due to
      // application-limited behavior".
      if (this.#epochStarted) this.#epochStartMs += sinceLastAckMs;
    } else {
      const usedBytes = this.#slowStart(ackedBytes);
      if (usedBytes < ackedBytes) this.#avoidCongestion(ackedBytes - usedBytes, srttMs, now);
    }
    const cwnd = this.#segments();
    if (this.#hystart?.onAck(ackedBytes, inFlightBytes, latestRttMs, minRttMs, cwnd, now)) {
      // §4.10: "CUBIC sets cwnd_prior = cwnd and switches to congestion avoidance."
      this.#hystart = null;
      this.ssthreshBytes = this.cwndBytes;
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
    if (this.#asLinux) this.#linuxHystart = new LinuxHyStart();
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
      this.#wMax = this.#undoWMax;
      this.#kSeconds = this.#undoKSeconds;
      this.#epochStarted = this.#undoEpochStarted;
      this.#epochStartMs = this.#undoEpochStartMs;
      this.#wEst = this.#undoWEst;
      this.#hystart = this.#undoHystart;
      this.#afterTimeout = false;
    }
    this.#undoCwndBytes = 0;
    this.#inRecovery = false;
  }

  #judgeAsLinux(ackedBytes: number, inFlightBytes: number, latestRttMs: number, now: number): void {
    if (this.#linuxHystart === null || this.cwndBytes >= this.ssthreshBytes) return;
    if (!this.#linuxHystart.isOver(ackedBytes, inFlightBytes, latestRttMs, this.#segments(), now)) return;
    this.#linuxHystart = null;
    this.ssthreshBytes = this.cwndBytes;
  }

  // DEVIATION (Linux does the same): RFC 9406 limits the growth an unpaced sender takes from one
  // acknowledgement to L = 8·SMSS. One acknowledgement here answers a whole batch of up to 45 segments;
  // the limit would turn exponential growth into linear growth just where paths are fast.
  #slowStart(ackedBytes: number): number {
    if (this.#hystart !== null && this.#hystart.growthDivisor !== 1) {
      this.#grow(ackedBytes / this.#mssBytes, this.#hystart.growthDivisor, Infinity);
      return ackedBytes;
    }
    const usedBytes = Math.min(ackedBytes, Math.max(this.ssthreshBytes - this.cwndBytes, 0));
    this.cwndBytes += usedBytes;
    return usedBytes;
  }

  #avoidCongestion(ackedBytes: number, srttMs: number, now: number): void {
    if (!this.#epochStarted) this.#startEpoch(now);
    const cwnd = this.#segments();
    const acked = ackedBytes / this.#mssBytes;
    // RFC 9438 §4.3, Figure 4.
    // DEVIATION (Linux does the same): α stays below 1 when W_est has reached cwnd_prior.
    this.#wEst += (ALPHA_CUBIC * acked) / cwnd;
    if (this.#updatedCwnd !== cwnd || now - this.#updatedMs > UPDATE_MS) {
      this.#updatedCwnd = cwnd;
      this.#updatedMs = now;
      this.#choosePace(cwnd, srttMs, now);
    }
    this.#grow(acked, this.#ackedPerIncrease, this.#lead);
  }

  #choosePace(cwnd: number, srttMs: number, now: number): void {
    // §4.2: (target − cwnd) / cwnd for each segment acknowledged, and cwnd ≤ target ≤ 1.5·cwnd.
    const d = (now - this.#epochStartMs + srttMs) / 1000 - this.#kSeconds;
    const target = this.#wMax + Math.trunc(C * d * d * d);
    this.#lead = Math.max(target, Math.floor(this.#wEst), cwnd) - cwnd;
    this.#ackedPerIncrease = Math.max(Math.floor(cwnd / this.#lead), 2);
  }

  #startEpoch(now: number): void {
    this.#epochStarted = true;
    this.#epochStartMs = now;
    const cwnd = this.#segments();
    this.#wEst = cwnd;
    // §4.8 after a timeout, §4.10 after HyStart++: K = 0 and W_max = cwnd at the start of the stage.
    this.#wMax = this.#afterTimeout ? cwnd : Math.max(this.#wMax, cwnd);
    this.#kSeconds = Math.cbrt((this.#wMax - cwnd) / C);
    this.#afterTimeout = false;
    this.#updatedCwnd = 0;
  }

  // By one for every `ackedPerIncrease`, by `most` at most: one acknowledgement may cover a whole window.
  #grow(acked: number, ackedPerIncrease: number, most: number): void {
    // What was acknowledged while more was needed counts for one.
    this.#acked = Math.min(this.#acked, ackedPerIncrease) + acked;
    const increase = Math.floor(this.#acked / ackedPerIncrease);
    this.#acked %= ackedPerIncrease;
    this.cwndBytes += Math.min(increase, most) * this.#mssBytes;
  }

  #segments(): number {
    return Math.floor(this.cwndBytes / this.#mssBytes);
  }

  // §4.6 takes the flight size, or cwnd where cwnd does not grow while it is not filled, which onAck sees
  // to. cwnd is taken: a scheduler that fed this path little lately says nothing about its capacity.
  #reduce(): void {
    this.#undoCwndBytes = this.cwndBytes;
    this.#undoSsthreshBytes = this.ssthreshBytes;
    this.#undoWMax = this.#wMax;
    this.#undoKSeconds = this.#kSeconds;
    this.#undoEpochStarted = this.#epochStarted;
    this.#undoEpochStartMs = this.#epochStartMs;
    this.#undoWEst = this.#wEst;
    this.#undoHystart = this.#hystart;
    const cwnd = this.#segments();
    // §4.7, fast convergence: leave room when the last peak was not reached again.
    this.#wMax = cwnd < this.#wMax ? Math.floor((cwnd * (10 + BETA_TENTHS)) / 20) : cwnd;
    this.ssthreshBytes = Math.max(Math.floor((cwnd * BETA_TENTHS) / 10), 2) * this.#mssBytes;
    this.#epochStarted = false;
    this.#acked = 0;
    // RFC 9406 §4.3: HyStart++ is for the initial slow start only.
    this.#hystart = null;
  }
}

/** β = 0.7, in whole numbers so that what is whole stays so. */
const BETA_TENTHS = 7;
const C = 0.4;
/** 3·(1 − β) / (1 + β). */
const ALPHA_CUBIC = (3 * (10 - BETA_TENTHS)) / (10 + BETA_TENTHS);
/** Linux: a 32nd of a second. */
const UPDATE_MS = 31;
