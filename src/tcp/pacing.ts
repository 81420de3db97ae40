// Decides how data is spread over the round trip when pacing is on: at the rate at which the window passes in
// it, or a little above, so that the window is what limits (Linux: tcp_update_pacing_rate).
// Before: tcp/output asks, and tells what has left. After: the timer PACE lets the next leave (tcp/timers).

import type { Tcb } from './tcb.ts';
import { Timer } from './timers.ts';

/** True while what has left is not paid for. */
export function isPaced(tcb: Tcb): boolean {
  return tcb.deadlines[Timer.PACE] !== Infinity;
}

/** Most bytes that may leave at once: what the rate allows in a tick of the timer, two segments at least. */
export function pacedBytes(tcb: Tcb): number {
  const rate = bytesPerMs(tcb);
  const mss = tcb.payloadMss;
  if (rate === Infinity) return Infinity;
  const bytes = rate * TICK_MS;
  return Math.max(2 * mss, bytes - (bytes % mss));
}

/** Bytes have left; the next wait until they are paid for. A late timer is made up for, up to a tick. */
export function pace(tcb: Tcb, length: number, now: number): void {
  const rate = bytesPerMs(tcb);
  if (rate === Infinity) return;
  tcb.paidUntilMs = Math.max(tcb.paidUntilMs, now - TICK_MS) + length / rate;
  if (tcb.paidUntilMs > now) tcb.deadlines[Timer.PACE] = tcb.paidUntilMs;
}

/** Infinity for no pacing, and as long as the round trip is unknown. */
function bytesPerMs(tcb: Tcb): number {
  const { srttMs } = tcb.rtt;
  if (!tcb.env.config.pacing || srttMs === 0) return Infinity;
  const { cwndBytes, ssthreshBytes } = tcb.congestion;
  // Slow start doubles the window in a round trip, so it sends twice a window in one.
  const factor = cwndBytes < ssthreshBytes / 2 ? SLOW_START : AVOIDANCE;
  return (factor * cwndBytes) / srttMs;
}

/** Resolution of timers. */
const TICK_MS = 1;
/** Linux: tcp_pacing_ss_ratio and tcp_pacing_ca_ratio, 200 and 120 %. */
const SLOW_START = 2;
const AVOIDANCE = 1.2;
