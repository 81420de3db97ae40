// Decides when a path is taken for silent, and what happens then: its unacknowledged bytes go to another path
// at once, not a retransmission timeout later, and it is probed until it answers (RFC 8684 §3.3.6 leaves the
// policy open).
// Before: mptcp/send watches, mptcp/timers expires. After: reinjection in mptcp/send; mptcp/options-in
// reports life.

import { Timer } from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';
import { ResetReason } from './reset-reason.ts';
import { Stage, type Subflow } from './subflow.ts';

/** Sets when silence on this subflow becomes suspicious. */
export function watch(subflow: Subflow, now: number): void {
  const tcb = subflow.tcb;
  if (subflow.stage === Stage.SUSPECT) return;
  if (subflow.stage !== Stage.ACTIVE || tcb.sndUna === tcb.sndNxt || !hasAlternative(subflow)) {
    subflow.suspectMs = Infinity;
    return;
  }
  // Not what was heard last: a path may be dead in one direction, and the peer's own data tells nothing of
  // ours.
  const since = Math.max(tcb.progressMs, subflow.flightMs);
  subflow.suspectMs = Math.max(since + patienceMs(subflow), now);
}

/** How long an answer may take: the round trip, its variation, and the peer's delayed acknowledgement. */
function patienceMs(subflow: Subflow): number {
  const rtt = subflow.tcb.rtt;
  const slackMs = subflow.connection.env.config.suspectSlackMs;
  if (rtt.srttMs === 0) return rtt.rtoMs;
  return rtt.srttMs + Math.max(4 * rtt.rttVarMs, rtt.srttMs / 2) + slackMs;
}

/** The deadline passed: stop using the path, send its bytes elsewhere, probe it. */
export function suspect(subflow: Subflow, now: number): void {
  const connection = subflow.connection;
  const tcb = subflow.tcb;
  subflow.suspectMs = Infinity;
  if (!hasAlternative(subflow)) return;
  connection.env.counters.SubflowStale++;
  subflow.stage = Stage.SUSPECT;
  subflow.suspectSinceMs = now;
  tcb.rtoCapMs = connection.env.config.suspectProbeMs;
  if (tcb.sndUna === tcb.sndNxt) {
    tcb.probePending = true;
  } else {
    tcb.deadlines[Timer.RETRANSMIT] = Math.min(tcb.deadlines[Timer.RETRANSMIT], now + tcb.rtoCapMs);
    tcb.tlpPending = true;
  }
  subflow.suspectMs = now + connection.env.config.suspectProbeMs;
  connection.reinjectFrom(subflow);
}

/**
 * A suspected path is probed: by its own retransmissions while it has bytes in flight, otherwise like a
 * keepalive. After `dataTimeoutMs` of silence it is given up.
 */
export function probeSuspected(subflow: Subflow, now: number): void {
  const { tcb, connection } = subflow;
  const { suspectProbeMs, dataTimeoutMs } = connection.env.config;
  if (now - subflow.suspectSinceMs >= dataTimeoutMs) {
    const text = 'silent for too long';
    subflow.reset({ reason: ResetReason.PERFORMANCE, text, transient: true }, now);
    return;
  }
  if (tcb.sndUna === tcb.sndNxt) tcb.probePending = true;
  subflow.suspectMs = now + suspectProbeMs;
}

/**
 * True when a segment shows that something we sent since the suspicion, or before, has arrived at the peer.
 */
export function answers(subflow: Subflow, segment: Segment, ack: number): boolean {
  const tcb = subflow.tcb;
  if (tcb.sndUna === tcb.sndNxt || ack > tcb.sndUna) return true;
  if (!tcb.timestamps || !segment.hasTimestamps) return segment.payloadLength === 0;
  return ((segment.tsEcr - tcb.timestamp(subflow.suspectSinceMs)) | 0) >= 0;
}

/** A suspected subflow has answered: it is in use again, and repairs its own losses. */
export function recovered(subflow: Subflow, _now: number): void {
  const connection = subflow.connection;
  connection.env.counters.SubflowRecover++;
  subflow.stage = Stage.ACTIVE;
  subflow.suspectMs = Infinity;
  subflow.tcb.rtoCapMs = connection.env.config.rtoMaxMs;
  const map = subflow.sendMap;
  for (let i = 0; i < map.count; i++) {
    connection.reinjection.remove(map.dsn(i), map.dsn(i) + map.length(i));
  }
}

/** True when another subflow is in use. */
export function hasAlternative(subflow: Subflow): boolean {
  for (const other of subflow.connection.subflows) {
    if (other !== subflow && other.stage === Stage.ACTIVE) return true;
  }
  return false;
}
