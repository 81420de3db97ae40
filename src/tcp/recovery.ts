// Decides how much may be sent while losses are repaired: fast recovery with proportional rate reduction
// (RFC 9937) and the window of one after a timeout (RFC 5681 §3.1, RFC 6298 §5).
// Before: tcp/rack and tcp/timers. After: tcp/output asks `cwndBytes`.

import { windowReduced } from './ecn.ts';
import { rackRecovered } from './rack.ts';
import { Sent } from './sent-queue.ts';
import { Recovery, type Tcb } from './tcb.ts';
import { beginEpisode, Frto } from './undo.ts';

/** A loss was detected: one reduction per episode. */
export function enterRecovery(tcb: Tcb, now: number): void {
  if (tcb.recovery !== Recovery.OPEN) return;
  if (tcb.sack) tcb.env.counters.TCPSackRecovery++;
  else tcb.env.counters.TCPRenoRecovery++;
  beginEpisode(tcb);
  tcb.recovery = Recovery.RECOVERY;
  tcb.recoveryPoint = tcb.sndNxt;
  const flight = tcb.sndNxt - tcb.sndUna;
  tcb.prrDelivered = 0;
  tcb.prrSent = 0;
  tcb.partialUntilMs = Infinity;
  tcb.prrFlight = flight - tcb.sent.sackedBytes;
  tcb.congestion.onEnterRecovery(flight, now);
  windowReduced(tcb);
  // RFC 9937 §6.2: at least the first retransmission leaves at once.
  tcb.prrCwnd = Math.max(tcb.pipeBytes, 0) + tcb.payloadMss;
}

/** The retransmission timer fired, or should have: everything outstanding is taken for lost. */
export function enterLoss(tcb: Tcb, now: number): void {
  const first = tcb.recovery !== Recovery.LOSS || tcb.sndUna >= tcb.recoveryPoint;
  tcb.congestion.onRetransmissionTimeout(tcb.sndNxt - tcb.sndUna, first, now);
  windowReduced(tcb);
  beginEpisode(tcb);
  // RFC 5682 §3.1: "SHOULD NOT be applied if the TCP sender is already in loss recovery"; a timer that
  // expires again before anything was acknowledged starts it anew. A timestamp tells the same with the first
  // acknowledgement, and holds no repetition back for it.
  const frto = tcb.recovery === Recovery.OPEN || tcb.undo.frto === Frto.RESENT;
  tcb.undo.frto = frto && !tcb.timestamps ? Frto.RESENT : Frto.OFF;
  tcb.recovery = Recovery.LOSS;
  tcb.recoveryPoint = tcb.sndNxt;
  const sent = tcb.sent;
  // RFC 6675 §5.1: "as long as robust tests for reneging are present, an implementation can retain and use
  // SACK information across a timeout". The test: the next expected byte was reported as there.
  if (sent.count > 0 && (sent.flags(0) & Sent.SACKED) !== 0) {
    tcb.env.counters.TCPSACKReneging++;
    sent.forgetSacked();
  }
  sent.markAllLost();
  tcb.dupAcks = 0;
  tcb.dupAckBytes = 0;
  tcb.tlpEndSsn = -1;
  tcb.tlpPending = false;
}

/** An acknowledgement delivered `delivered` bytes; computes the window in recovery (RFC 9937 §6.2). */
export function recoveryOnAck(tcb: Tcb, options: RecoveryAck): void {
  if (tcb.recovery === Recovery.OPEN) return;
  if (tcb.sndUna >= tcb.recoveryPoint) {
    tcb.congestion.onExitRecovery(options.now);
    tcb.recovery = Recovery.OPEN;
    rackRecovered(tcb);
    return;
  }
  if (tcb.recovery !== Recovery.RECOVERY) return;
  tcb.prrDelivered += options.deliveredBytes;
  const pipe = Math.max(tcb.pipeBytes, 0);
  const ssthresh = tcb.congestion.ssthreshBytes;
  let sendBytes: number;
  if (pipe > ssthresh) {
    sendBytes = Math.ceil((tcb.prrDelivered * ssthresh) / tcb.prrFlight) - tcb.prrSent;
  } else {
    let bound = Math.max(tcb.prrDelivered - tcb.prrSent, options.deliveredBytes);
    if (options.advanced && !options.newLoss) bound += tcb.payloadMss;
    sendBytes = Math.min(ssthresh - pipe, bound);
  }
  // "Force a fast retransmit upon entering recovery"; and without SACK one a partial acknowledgement (RFC
  // 6582 §3.2).
  const forced = tcb.prrSent === 0 || (!tcb.sack && options.advanced);
  tcb.prrCwnd = pipe + Math.max(sendBytes, forced ? tcb.payloadMss : 0);
}

/** One record, refilled for each acknowledgement. */
export interface RecoveryAck {
  deliveredBytes: number;
  advanced: boolean;
  newLoss: boolean;
  now: number;
}
