// Decides what a connection was busy with, for TCP_INFO: nothing, sending as fast as congestion control lets
// it, waiting for the peer's window, or for room that its buffer is short of (Linux: tcp_chrono).
// Before: tcp/plain-stream tells what there is to send. After: the fields of TCP_INFO.

import type { Tcb } from './tcb.ts';

const BUSY = 1;
const WINDOW = 2;
const BUFFER = 3;

export class Busy {
  private what = 0;
  private sinceMs = 0;
  private readonly spentMs: Float64Array = new Float64Array(4);

  /** Nothing more can be sent now. `wantsRoom`: the application has more than the buffer holds. */
  note(tcb: Tcb, unsentBytes: number, wantsRoom: boolean, now: number): void {
    const isOut = tcb.sndNxt > Math.max(tcb.sndUna, 1);
    let what = unsentBytes > 0 || isOut ? BUSY : 0;
    const window = tcb.sndUna + tcb.sndWnd - tcb.sndNxt;
    if (unsentBytes > 0 && window < Math.min(unsentBytes, tcb.payloadMss)) what = WINDOW;
    else if (unsentBytes === 0 && isOut && wantsRoom) what = BUFFER;
    if (what === this.what) return;
    this.spentMs[this.what] += now - this.sinceMs;
    this.what = what;
    this.sinceMs = now;
  }

  /** In microseconds. */
  info(now: number): { tcpi_busy_time: number; tcpi_rwnd_limited: number; tcpi_sndbuf_limited: number } {
    const spent = (what: number): number =>
      Math.round(1000 * (this.spentMs[what] + (this.what === what ? now - this.sinceMs : 0)));
    const [window, buffer] = [spent(WINDOW), spent(BUFFER)];
    return {
      tcpi_busy_time: spent(BUSY) + window + buffer,
      tcpi_rwnd_limited: window,
      tcpi_sndbuf_limited: buffer,
    };
  }
}
