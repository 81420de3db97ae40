// Decides what a congestion controller is to the rest of the stack: a few fields and a few calls.
// Have read: RFC 5681 §3–4 (windows), RFC 6582 (recovery episodes), RFC 9438 §4.9 (undo).
// Before: tcp/input (acknowledgements) and the retransmission code report events here.
// After: tcp/output compares bytes in flight with `cwndBytes`; schedulers read it as a path's room.
//
// A controller owns no clock: `now` is milliseconds of any monotonic clock, the same in every call.
// It counts in bytes, so it does not care whether an acknowledgement covers one packet or forty-five.
// Next: names.ts has those that there are.

export interface CongestionController {
  readonly name: string;
  /** Bytes allowed in flight: always a whole number, never below one segment. */
  cwndBytes: number;
  /** Infinity until the first congestion event or the end of the first slow start. */
  ssthreshBytes: number;
  /** The handshake is over: the window to begin with, and the initial window that a pause goes back to. */
  begin(mssBytes: number, initialWindowBytes: number, cwndBytes: number): void;
  setMss(mssBytes: number): void;
  /**
   * `ackedBytes` were newly delivered (cumulative or SACK); `inFlightBytes` is what is still outstanding
   * after that. `latestRttMs` ≤ 0 says that this acknowledgement gave no sample. `cwndLimited` is false
   * when the application, the peer's window or the scheduler kept the window unfilled: no growth then.
   * Safe to call during recovery, where it keeps books and leaves the window alone.
   */
  onAck(
    ackedBytes: number,
    inFlightBytes: number,
    srttMs: number,
    minRttMs: number,
    latestRttMs: number,
    cwndLimited: boolean,
    now: number,
  ): void;
  /** One reduction per loss episode; `inFlightBytes` is RFC 5681's FlightSize, lost bytes included. */
  onEnterRecovery(inFlightBytes: number, now: number): void;
  onExitRecovery(now: number): void;
  /** `firstTimeout` is false when the timer fires again for the same segment: ssthresh stays then. */
  onRetransmissionTimeout(inFlightBytes: number, firstTimeout: boolean, now: number): void;
  /** Before sending again after `idleMs` in which nothing was sent. */
  onIdle(idleMs: number, rtoMs: number): void;
  /** The last reduction was an error: restore what it saved. Nothing happens without one to restore. */
  undo(now: number): void;
}

/**
 * The window after `idleMs` without sending, more than one timeout: halved for every timeout that passed, not
 * below what a new connection begins with.
 * DEVIATION (Linux does so, as RFC 2861 §3.1): RFC 5681 §4.1 goes back to the restart window at once.
 */
export function windowAfterIdle(
  cwndBytes: number,
  initialWindowBytes: number,
  idleMs: number,
  rtoMs: number,
): number {
  // RFC 5681 §4.1: "We define RW as the minimum of the initial window and the congestion window".
  const restartBytes = Math.min(initialWindowBytes, cwndBytes);
  const halvings = Math.ceil(idleMs / rtoMs) - 1;
  return Math.max(Math.floor(cwndBytes / 2 ** halvings), restartBytes);
}
