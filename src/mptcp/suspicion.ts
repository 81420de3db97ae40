// Decides when a path is taken for silent, and what happens then: its unacknowledged bytes go to another path
// at once, not a retransmission timeout later, and it is probed until it answers (RFC 8684 §3.3.6 leaves the
// policy open). A client tells its peer, on a path that works, when the probe stays unanswered, too.
// Before: mptcp/send watches, mptcp/timers expires. After: reinjection in mptcp/send, mptcp/signals;
// mptcp/options-in reports life.

import { Timer } from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';
import { ResetReason } from './reset-reason.ts';
import { Stage, type Subflow } from './subflow.ts';

/** Sets when silence on this subflow becomes suspicious. */
export function watch(subflow: Subflow, now: number): void {
  const tcb = subflow.tcb;
  if (subflow.stage === Stage.SUSPECT) return;
  // Linux waits for the retransmission timeout, and asks nobody.
  if (subflow.stage !== Stage.ACTIVE || subflow.connection.env.config.asLinux || !hasAlternative(subflow)) {
    subflow.suspectMs = Infinity;
    return;
  }
  if (tcb.sndUna === tcb.sndNxt) {
    subflow.suspectMs = watchIdle(subflow);
    return;
  }
  // Not what was heard last: a path may be dead in one direction, and the peer's own data tells nothing of
  // ours.
  const since = Math.max(tcb.progressMs, subflow.flightMs);
  subflow.suspectMs = Math.max(since + patienceMs(subflow), now);
}

/** With nothing of ours in flight: when the peer's silence is looked into, and when it is suspicious. */
function watchIdle(subflow: Subflow): number {
  const { expectation, client } = subflow.connection;
  if (!client || !expectation.isAwaited(subflow)) return Infinity;
  if (expectation.isProbed) return expectation.probedMs + probePatienceMs(subflow);
  // Linux answers two probes in half a second with one acknowledgement (tcp_invalid_ratelimit).
  return Math.max(expectation.askedMs + patienceMs(subflow), expectation.probedMs + LEAST_PROBE_INTERVAL_MS);
}

/** The deadline passed: nothing was heard for longer than there is reason for. */
export function silence(subflow: Subflow, now: number): void {
  const { tcb, connection } = subflow;
  const { expectation } = connection;
  const idle = tcb.sndUna === tcb.sndNxt;
  if (idle && !expectation.isProbed) {
    expectation.probedMs = now;
    tcb.probePending = true;
    subflow.suspectMs = now + probePatienceMs(subflow);
    return;
  }
  suspect(subflow, now);
  if (idle && expectation.isAwaited(subflow)) {
    // It has been probed already.
    subflow.tellMs = now;
    subflow.silentSinceMs = expectation.askedMs;
    subflow.suspectMs = now;
  }
  connection.paths.subflowSuspect(subflow, now);
}

/** How long an answer may take: the round trip, its variation, and the peer's delayed acknowledgement. */
function patienceMs(subflow: Subflow): number {
  const rtt = subflow.tcb.rtt;
  if (rtt.srttMs === 0) return rtt.rtoMs;
  return roundTripMs(subflow) + subflow.connection.env.config.suspectSlackMs;
}

/** With its variation. */
export function roundTripMs({ tcb: { rtt } }: Subflow): number {
  return rtt.srttMs + Math.max(4 * rtt.rttVarMs, rtt.srttMs / 2);
}

/** Stop using the path, send its bytes elsewhere, probe it. */
export function suspect(subflow: Subflow, now: number): void {
  const connection = subflow.connection;
  const tcb = subflow.tcb;
  subflow.suspectMs = Infinity;
  if (!hasAlternative(subflow)) return;
  connection.env.counters.SubflowStale++;
  subflow.stage = Stage.SUSPECT;
  subflow.suspectSinceMs = subflow.silentSinceMs = now;
  tcb.rtoCapMs = connection.env.config.suspectProbeMs;
  if (tcb.sndUna === tcb.sndNxt) {
    tcb.probePending = true;
  } else {
    tcb.deadlines[Timer.RETRANSMIT] = Math.min(tcb.deadlines[Timer.RETRANSMIT], now + tcb.rtoCapMs);
    tcb.tlpPending = true;
  }
  subflow.probeMs = now + connection.env.config.suspectProbeMs;
  subflow.tellMs = connection.client ? now + probePatienceMs(subflow) : Infinity;
  subflow.tellsLeft = TELLS;
  subflow.suspectMs = Math.min(subflow.probeMs, subflow.tellMs);
  connection.reinjectFrom(subflow);
}

/** How long the answer to a probe may take: what it repeats is acknowledged without delay (RFC 9293). */
function probePatienceMs(subflow: Subflow): number {
  return roundTripMs(subflow) + subflow.connection.env.config.suspectSlackMs / 2;
}

/**
 * A suspected path is probed: by its own retransmissions while it has bytes in flight, otherwise like a
 * keepalive. After `dataTimeoutMs` of silence it is given up.
 */
export function probeSuspected(subflow: Subflow, now: number): void {
  const { tcb, connection } = subflow;
  const { suspectProbeMs, dataTimeoutMs } = connection.env.config;
  if (subflow.tellMs <= now) tellPeer(subflow, now);
  subflow.suspectMs = Math.min(subflow.probeMs, subflow.tellMs);
  if (subflow.probeMs > now) return;
  if (now - subflow.suspectSinceMs >= dataTimeoutMs) {
    const text = 'silent for too long';
    subflow.reset({ reason: ResetReason.PERFORMANCE, text, transient: true }, now);
    return;
  }
  if (tcb.sndUna === tcb.sndNxt) tcb.probePending = true;
  subflow.probeMs = now + suspectProbeMs;
  subflow.suspectMs = Math.min(subflow.probeMs, subflow.tellMs);
}

/**
 * The peer may answer on the path that is silent, and would notice by its retransmission timeout only: Linux
 * does. It is told on a path that was heard since, with REMOVE_ADDR; MP_PRIO speaks of the subflow it is on.
 */
function tellPeer(subflow: Subflow, now: number): void {
  const { connection, silentSinceMs } = subflow;
  const { suspectProbeMs } = connection.env.config;
  const others = connection.subflows.filter(other => other.stage !== Stage.SUSPECT);
  // The address is not ours to take away while something else goes by it.
  if (others.some(other => other.localAddressId === subflow.localAddressId)) {
    subflow.tellMs = Infinity;
    return;
  }
  const heard = ({ stage, tcb }: Subflow): boolean =>
    stage === Stage.ACTIVE && tcb.lastReceivedMs >= silentSinceMs;
  if (!others.some(heard)) {
    subflow.tellMs = now + Math.min(probePatienceMs(subflow), suspectProbeMs);
    return;
  }
  // RFC 8684 §3.4.2: "A host MAY also choose to announce that a valid IP address should not be used any
  // longer".
  // DEVIATION: our end of the subflow is not reset with it. A peer that asks before it removes (§3.4.2) may
  // find it alive; one that does not ask answers our next probe with a reset.
  connection.signals.remove(subflow.localAddressId, 0);
  subflow.tellsLeft--;
  subflow.tellMs = subflow.tellsLeft > 0 ? now + suspectProbeMs : Infinity;
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

/** REMOVE_ADDR is not acknowledged: so often it is said while the path stays silent. */
const TELLS = 3;
const LEAST_PROBE_INTERVAL_MS = 1000;
