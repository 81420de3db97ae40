// Decides the retransmission timeout: RFC 6298 with Linux's floor on the variance term, plus the smallest
// round-trip time seen lately (RFC 8985 §6.2 wants it for reordering, schedulers for the path's base).

import type { TcpConfig } from './config.ts';

const MIN_RTT_WINDOW_MS = 300_000;

export class RttEstimator {
  /** Smoothed round-trip time and variance in ms; 0 before the first sample. */
  srttMs = 0;
  rttVarMs = 0;
  latestMs = 0;
  minMs: number = Infinity;
  samples = 0;
  /** Timeout before the first sample in ms. */
  initialMs: number;
  private minAtMs = 0;
  private readonly config: TcpConfig;

  constructor(config: TcpConfig) {
    this.config = config;
    this.initialMs = config.rtoInitialMs;
  }

  /** Takes one measurement in ms. */
  sample(rttMs: number, now: number): void {
    const r = Math.max(rttMs, 0.001);
    this.latestMs = r;
    this.samples++;
    if (r <= this.minMs || now - this.minAtMs > MIN_RTT_WINDOW_MS) {
      this.minMs = r;
      this.minAtMs = now;
    }
    if (this.srttMs === 0) {
      // RFC 6298 §2.2
      this.srttMs = r;
      this.rttVarMs = r / 2;
      return;
    }
    // RFC 6298 §2.3
    this.rttVarMs += (Math.abs(this.srttMs - r) - this.rttVarMs) / 4;
    this.srttMs += (r - this.srttMs) / 8;
  }

  /** Retransmission timeout in ms without back-off. Linux: srtt + max(200 ms, 4·rttvar). */
  get rtoMs(): number {
    if (this.srttMs === 0) return this.initialMs;
    const rto = this.srttMs + Math.max(this.config.rtoMinMs, 4 * this.rttVarMs);
    return Math.min(rto, this.config.rtoMaxMs);
  }
}
