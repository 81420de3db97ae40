// Decides when a path is asked whether it is alive although nothing of ours is under way on it: when we have
// said something elsewhere, and nothing at all has come since by the path on which the peer sends. What it
// answers may be lost there, and only its own retransmission timeout would tell it (RFC 8684 §3.3.6 leaves
// the policy open).
// Before: mptcp/receive and mptcp/send say what came and went. After: mptcp/suspicion.

import type { Subflow } from './subflow.ts';

/** What one connection expects to hear, and where. */
export class Expectation {
  /** The subflow on which data came last. */
  voice: Subflow | null = null;
  /** When the oldest data was sent that nothing on that subflow has followed. */
  askedMs: number = -Infinity;
  /** When it was probed for that. */
  probedMs: number = -Infinity;

  /** Data leaves, on whichever subflow. */
  asked(now: number): void {
    if (this.voice !== null && this.voice.tcb.lastReceivedMs >= this.askedMs) this.askedMs = now;
  }

  /** Whether something was said that this subflow may yet bring the answer to. */
  isAwaited(subflow: Subflow): boolean {
    return subflow === this.voice && subflow.tcb.lastReceivedMs < this.askedMs;
  }

  /** Whether the probe for what was said last is on its way. */
  get isProbed(): boolean {
    return this.probedMs >= this.askedMs;
  }
}
