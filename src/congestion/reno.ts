// Decides the congestion window as NewReno does.
// Have read: RFC 5681 §3–4.1, RFC 6582 §3.2, RFC 3465 §2 (counting bytes, not acknowledgements).
// Before: see controller.ts. After: nothing; the window is read where it is needed.
//
// Window inflation by duplicate acknowledgements (RFC 5681 §3.2 steps 3–4) is not done: the sender counts
// the bytes in flight from SACK and duplicate acknowledgements, which has the same effect.

import { type CongestionController, windowAfterIdle } from './controller.ts';

export class Reno implements CongestionController {
  readonly name: string = 'reno';
  cwndBytes: number;
  ssthreshBytes: number = Infinity;

  #initialWindowBytes: number;
  #mssBytes: number;
  /** Bytes acknowledged towards the next increase in congestion avoidance. */
  #bytesAcked = 0;
  #inRecovery = false;
  /** In the slow start that repairs a timeout, where RFC 3465 wants the smaller limit. */
  #afterTimeout = false;
  /** 0: nothing to undo. */
  #undoCwndBytes = 0;
  #undoSsthreshBytes = 0;

  constructor(mssBytes: number, initialWindowBytes: number) {
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
    _inFlightBytes: number,
    _srttMs: number,
    _minRttMs: number,
    _latestRttMs: number,
    cwndLimited: boolean,
    _now: number,
  ): void {
    if (this.#inRecovery || !cwndLimited) return;
    if (this.cwndBytes < this.ssthreshBytes) {
      // RFC 3465 §2.2–2.3: at most L = 2·SMSS per acknowledgement, 1·SMSS after a timeout.
      const limitBytes = (this.#afterTimeout ? 1 : 2) * this.#mssBytes;
      this.cwndBytes = Math.min(this.cwndBytes + Math.min(ackedBytes, limitBytes), this.ssthreshBytes);
      return;
    }
    this.#afterTimeout = false;
    // RFC 5681 §3.1: "When the number of bytes acknowledged reaches cwnd, then cwnd can be incremented
    // by up to SMSS bytes." What is beyond two windows is dropped: one increase per round trip.
    this.#bytesAcked += ackedBytes;
    const neededBytes = this.bytesPerIncrease();
    if (this.#bytesAcked >= neededBytes) {
      this.#bytesAcked = Math.min(this.#bytesAcked - neededBytes, neededBytes);
      this.cwndBytes += this.#mssBytes;
    }
  }

  /** So many bytes are acknowledged in congestion avoidance before the window grows by one segment. */
  protected bytesPerIncrease(): number {
    return this.cwndBytes;
  }

  onEnterRecovery(inFlightBytes: number, _now: number): void {
    this.#reduce(inFlightBytes);
    this.cwndBytes = this.ssthreshBytes;
    this.#inRecovery = true;
  }

  onExitRecovery(_now: number): void {
    if (!this.#inRecovery) return;
    this.#inRecovery = false;
    // RFC 6582 §3.2 step 3, second option: "Set cwnd to ssthresh".
    this.cwndBytes = this.ssthreshBytes;
  }

  onRetransmissionTimeout(inFlightBytes: number, firstTimeout: boolean, _now: number): void {
    if (firstTimeout) this.#reduce(inFlightBytes);
    // RFC 5681 §3.1: the loss window "equals 1 full-sized segment (regardless of the value of IW)".
    this.cwndBytes = this.#mssBytes;
    this.#inRecovery = false;
    this.#afterTimeout = true;
  }

  onIdle(idleMs: number, rtoMs: number): void {
    if (idleMs <= rtoMs) return;
    // RFC 2861 §3.1: ssthresh keeps the memory of the window that was used.
    this.ssthreshBytes = Math.max(this.ssthreshBytes, Math.floor((this.cwndBytes * 3) / 4));
    this.cwndBytes = windowAfterIdle(this.cwndBytes, this.#initialWindowBytes, idleMs, rtoMs);
  }

  undo(_now: number): void {
    if (this.cwndBytes < this.#undoCwndBytes) {
      this.cwndBytes = this.#undoCwndBytes;
      this.ssthreshBytes = this.#undoSsthreshBytes;
    }
    this.#undoCwndBytes = 0;
    this.#inRecovery = false;
    this.#afterTimeout = false;
  }

  #reduce(inFlightBytes: number): void {
    this.#undoCwndBytes = this.cwndBytes;
    this.#undoSsthreshBytes = this.ssthreshBytes;
    this.#bytesAcked = 0;
    // RFC 5681 §3.1 (4): "ssthresh = max (FlightSize / 2, 2*SMSS)"; what limited transmit sent beyond
    // the window does not count.
    const flightBytes = Math.min(inFlightBytes, this.cwndBytes);
    this.ssthreshBytes = Math.max(Math.floor(flightBytes / 2), 2 * this.#mssBytes);
  }
}
