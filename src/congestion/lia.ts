// Decides the congestion window of a subflow together with those of its connection: the Linked Increases
// Algorithm. Have read: RFC 6356 §2–4, RFC 8684 §3.3.7.
// Before: see controller.ts; mptcp couples the controllers of one connection. After: nothing.
//
// Only the increase in congestion avoidance is coupled: "slow start, fast retransmit, and fast recovery
// algorithms … MUST be the same as in TCP".

import type { CongestionController } from './controller.ts';
import { Reno } from './reno.ts';

export class Lia extends Reno {
  override readonly name: string = 'lia';
  coupling: Coupling | null = null;
  /** 0 before the first sample. */
  srttMs = 0;

  override onAck(
    ackedBytes: number,
    inFlightBytes: number,
    srttMs: number,
    minRttMs: number,
    latestRttMs: number,
    cwndLimited: boolean,
    now: number,
  ): void {
    this.srttMs = srttMs;
    super.onAck(ackedBytes, inFlightBytes, srttMs, minRttMs, latestRttMs, cwndLimited, now);
  }

  protected override bytesPerIncrease(): number {
    return Math.max(this.cwndBytes, this.coupling?.bytesPerIncrease() ?? 0);
  }
}

/** The controllers of one connection. */
export class Coupling {
  private readonly members: Lia[] = [];

  /** One that is not made for it stays as it is. */
  add(controller: CongestionController): void {
    if (!(controller instanceof Lia)) return;
    controller.coupling = this;
    this.members.push(controller);
  }

  remove(controller: CongestionController): void {
    const i = this.members.indexOf(controller as Lia);
    if (i === -1) return;
    this.members[i].coupling = null;
    this.members.splice(i, 1);
  }

  /**
   * RFC 6356 §3: each acknowledged byte is worth alpha · MSS / cwnd_total, with alpha = cwnd_total ·
   * max(cwnd_i / rtt_i²) / (Σ cwnd_i / rtt_i)². So one MSS takes (Σ cwnd_i / rtt_i)² / max(cwnd_i / rtt_i²).
   */
  bytesPerIncrease(): number {
    let best = 0;
    let sum = 0;
    for (let i = 0; i < this.members.length; i++) {
      const { cwndBytes, srttMs } = this.members[i];
      if (srttMs <= 0) continue;
      best = Math.max(best, cwndBytes / (srttMs * srttMs));
      sum += cwndBytes / srttMs;
    }
    return best === 0 ? 0 : (sum * sum) / best;
  }
}
