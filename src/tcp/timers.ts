// Decides what happens when a deadline passes. The table: one slot a purpose, all in ms of `now`.
//
// | slot       | set when                                   | on expiry                                  |
// |------------|--------------------------------------------|--------------------------------------------|
// | RETRANSMIT | something is in flight (RFC 6298 §5)       | all is lost, window of one, back off       |
// | TLP        | in flight, nothing known lost (RFC 8985 §7)| probe the tail                             |
// | REORDER    | RACK waits for reordering (RFC 8985 §6.3)  | detect losses again                        |
// | PERSIST    | data waits for a closed window (§3.8.6.1)  | window probe, or use a small window        |
// | DELAYED_ACK| data arrived, ACK held back                | send the ACK                               |
// | KEEPALIVE  | keepalive on and idle (RFC 9293 §3.8.4)    | probe, or give up                          |
// | PACE       | data left, pacing is on                    | the next data may leave                    |
// | TIME_WAIT  | TIME-WAIT, or FIN-WAIT-2 let go            | gone                                       |
//
// Before: host.expire. After: tcp/output sends what was marked.

import { fastOpenTimedOut } from './fast-open.ts';
import { detectLosses } from './rack.ts';
import { enterLoss } from './recovery.ts';
import { maySend, State } from './state.ts';
import type { Tcb } from './tcb.ts';

export const Timer = {
  RETRANSMIT: 0,
  TLP: 1,
  REORDER: 2,
  PERSIST: 3,
  DELAYED_ACK: 4,
  KEEPALIVE: 5,
  TIME_WAIT: 6,
  PACE: 7,
} as const;

export const TIMER_COUNT = 8;

/** Handles every deadline at or before `now`. */
export function expireTimers(tcb: Tcb, now: number): void {
  const due = tcb.deadlines;
  if (due[Timer.TIME_WAIT] <= now) {
    tcb.close(ORDERLY, now);
    return;
  }
  if (due[Timer.PACE] <= now) due[Timer.PACE] = Infinity;
  if (due[Timer.DELAYED_ACK] <= now) {
    due[Timer.DELAYED_ACK] = Infinity;
    tcb.env.counters.DelayedACKs++;
    tcb.ackPending = true;
  }
  if (due[Timer.REORDER] <= now) {
    due[Timer.REORDER] = Infinity;
    detectLosses(tcb, now);
  }
  if (due[Timer.TLP] <= now) {
    due[Timer.TLP] = Infinity;
    tcb.tlpPending = true;
    // RFC 8985 §7.2: a probe that is due with the timeout goes in its place.
    if (due[Timer.RETRANSMIT] <= now) restartRetransmissionTimer(tcb, now);
  }
  if (due[Timer.RETRANSMIT] <= now) {
    due[Timer.RETRANSMIT] = Infinity;
    retransmissionTimeout(tcb, now);
  }
  if (due[Timer.PERSIST] <= now) persistTimeout(tcb, now);
  if (due[Timer.KEEPALIVE] <= now) keepAliveTimeout(tcb, now);
}

/** Restarts the retransmission timer from `now`, or stops it when nothing is in flight (RFC 6298 §5). */
export function restartRetransmissionTimer(tcb: Tcb, now: number): void {
  if (tcb.sndUna === tcb.sndNxt) {
    tcb.deadlines[Timer.RETRANSMIT] = Infinity;
    tcb.deadlines[Timer.TLP] = Infinity;
    return;
  }
  tcb.deadlines[Timer.RETRANSMIT] = retransmitAt(tcb, now);
}

/** The next timeout, or the end of patience when that comes first. */
function retransmitAt(tcb: Tcb, now: number): number {
  const at = now + backedOff(tcb);
  if (tcb.sndWnd === 0) return now + probeDelay(tcb);
  const end = tcb.progressMs + patienceMs(tcb);
  return end > now ? Math.min(at, end) : at;
}

/** How long unacknowledged data may wait (RFC 9293 §3.8.3 R2), or as the application wants it (RFC 5482). */
export function patienceMs(tcb: Tcb): number {
  const { userTimeoutMs, dataTimeoutMs } = tcb.env.config;
  return userTimeoutMs > 0 ? userTimeoutMs : dataTimeoutMs;
}

/** When the SYN is repeated, or the attempt given up. */
export function synRetryAt(tcb: Tcb, now: number): number {
  const { userTimeoutMs, synLinearTimeouts } = tcb.env.config;
  const doublings = tcb.state === State.SYN_SENT ? Math.max(0, tcb.backoff - synLinearTimeouts) : tcb.backoff;
  const at = now + backedOff(tcb, doublings);
  return userTimeoutMs > 0 ? Math.max(now, Math.min(at, tcb.progressMs + userTimeoutMs)) : at;
}

/** Sets the tail loss probe (RFC 8985 §7.2) when the flight is clean. */
export function scheduleLossProbe(tcb: Tcb, now: number): void {
  tcb.deadlines[Timer.TLP] = Infinity;
  if (!tcb.sack || tcb.recovery !== 0 || tcb.tlpEndSsn >= 0 || tcb.sent.count === 0) return;
  if (tcb.rtt.srttMs === 0 || tcb.sent.sackedBytes > 0) return;
  let timeoutMs = Math.max(2 * tcb.rtt.srttMs, MIN_TLP_MS);
  if (tcb.sent.count === 1 && tcb.pipeBytes <= tcb.payloadMss) timeoutMs += tcb.env.config.lossProbeDelayMs;
  tcb.deadlines[Timer.TLP] = Math.min(now + timeoutMs, tcb.deadlines[Timer.RETRANSMIT]);
}

/** The retransmission timeout with exponential back-off (RFC 6298 §5.5). */
export function backedOff(tcb: Tcb, doublings: number = tcb.backoff): number {
  return Math.min(tcb.rtt.rtoMs * 2 ** Math.min(doublings, 16), tcb.rtoCapMs);
}

/** The interval of window probes: several fall into the time after which a silent peer is given up. */
export function probeDelay(tcb: Tcb): number {
  return Math.min(backedOff(tcb), patienceMs(tcb) / 4);
}

/** True when data waits for a window and nothing in flight will open it. */
export function waitsForWindow(tcb: Tcb): boolean {
  if (tcb.sndUna !== tcb.sndNxt || !maySend(tcb.state)) return false;
  return tcb.extension.unsentBytes() > 0 || tcb.extension.windowBlocked();
}

function retransmissionTimeout(tcb: Tcb, now: number): void {
  tcb.env.counters.TCPTimeouts++;
  if (tcb.state === State.SYN_SENT || tcb.state === State.SYN_RECEIVED) {
    const config = tcb.env.config;
    const limit = tcb.state === State.SYN_SENT ? config.synRetries : config.synAckRetries;
    const { userTimeoutMs } = config;
    const isLast = ++tcb.backoff > limit || (userTimeoutMs > 0 && now >= tcb.progressMs + userTimeoutMs);
    fastOpenTimedOut(tcb, tcb.backoff, isLast, now);
    if (isLast) {
      tcb.env.counters.AttemptFails++;
      tcb.close({ code: 'ETIMEDOUT', text: 'no answer to the SYN' }, now);
      return;
    }
    tcb.synPending = true;
    tcb.extension.timedOut(now);
    return;
  }
  // A peer that took its window back and keeps answering is alive (RFC 9293 §3.8.6.1).
  const waiting = tcb.sndWnd === 0 && !tcb.orphaned;
  const sinceMs = waiting ? Math.max(tcb.progressMs, tcb.lastReceivedMs) : tcb.progressMs;
  const isLast = now >= sinceMs + patienceMs(tcb);
  fastOpenTimedOut(tcb, tcb.backoff + 1, isLast, now);
  if (isLast) {
    tcb.env.counters.TCPAbortOnTimeout++;
    tcb.close({ code: 'ETIMEDOUT', text: 'sent data was not acknowledged in time' }, now);
    return;
  }
  shrinkForBlackHole(tcb);
  enterLoss(tcb, now);
  tcb.backoff++;
  tcb.deadlines[Timer.RETRANSMIT] = retransmitAt(tcb, now);
  tcb.extension.timedOut(now);
}

/**
 * Repeated loss of full-size segments only is taken for a path MTU black hole (RFC 8899 §4.3): fall back to
 * the floor. Needed evidence: two timeouts of a full-size head, and either no full-size segment was ever
 * acknowledged here or the peer was heard since.
 */
function shrinkForBlackHole(tcb: Tcb): void {
  const floorMss = tcb.env.config.mtuFloorBytes - (tcb.networkInterface.family === 6 ? 60 : 40);
  if (tcb.mss <= floorMss || tcb.sent.count === 0) return;
  const spare = tcb.mss - floorMss;
  if (tcb.sent.length(0) < tcb.payloadMss - spare + 1) {
    tcb.fullSizeTimeouts = 0;
    return;
  }
  tcb.fullSizeTimeouts++;
  const heard = tcb.lastReceivedMs > tcb.progressMs;
  if (tcb.fullSizeTimeouts >= 2 && (!tcb.fullSizeAcked || heard)) {
    tcb.env.counters.TCPMTUPFail++;
    tcb.limitMtu(tcb.env.config.mtuFloorBytes);
    tcb.fullSizeTimeouts = 0;
  }
}

function persistTimeout(tcb: Tcb, now: number): void {
  tcb.deadlines[Timer.PERSIST] = Infinity;
  if (!waitsForWindow(tcb)) return;
  if (tcb.sndUna + tcb.sndWnd > tcb.sndNxt && tcb.extension.unsentBytes() > 0) {
    // Open, but by less than a segment: what it admits is sent, and the retransmission timer takes over.
    tcb.backoff++;
    tcb.windowOverride = true;
    return;
  }
  // A living peer may keep its window closed for ever, unless nobody here is left to wait for it.
  const sinceMs = tcb.orphaned ? tcb.progressMs : Math.max(tcb.progressMs, tcb.lastReceivedMs);
  if (now >= sinceMs + patienceMs(tcb)) {
    tcb.env.counters.TCPAbortOnTimeout++;
    tcb.close({ code: 'ETIMEDOUT', text: 'window probes were not answered' }, now);
    return;
  }
  // The last probe went unanswered: whoever has another path should know.
  const unanswered = tcb.backoff > 0 && tcb.lastReceivedMs < tcb.lastSentMs;
  tcb.backoff++;
  tcb.env.counters.TCPWinProbe++;
  tcb.probePending = true;
  if (unanswered) tcb.extension.timedOut(now);
}

function keepAliveTimeout(tcb: Tcb, now: number): void {
  const slot = Timer.KEEPALIVE;
  const idleMs = now - tcb.lastReceivedMs;
  // A sum, as the deadline is: the difference may be rounded to less than the time that was waited.
  const dueMs = tcb.lastReceivedMs + tcb.keepAliveMs;
  if (dueMs > now || tcb.sndUna !== tcb.sndNxt) {
    // Heard from meanwhile, or the retransmission timer is in charge.
    tcb.keepAliveSent = 0;
    tcb.deadlines[slot] = tcb.sndUna !== tcb.sndNxt ? now + tcb.keepAliveMs : dueMs;
    return;
  }
  // As in Linux, with a user timeout the time counts and not the probes.
  const { userTimeoutMs } = tcb.env.config;
  const isOver = userTimeoutMs > 0 ? idleMs >= userTimeoutMs : tcb.keepAliveSent >= tcb.keepAliveProbes;
  if (isOver && tcb.keepAliveSent > 0) {
    tcb.env.counters.TCPAbortOnTimeout++;
    // Linux says so to the peer, which may hear what it cannot answer.
    tcb.resetPending = tcb.env.config.asLinux;
    tcb.close({ code: 'ETIMEDOUT', text: 'keepalive probes were not answered' }, now);
    return;
  }
  tcb.env.counters.TCPKeepAlive++;
  tcb.keepAliveSent++;
  tcb.probePending = true;
  tcb.deadlines[slot] = now + tcb.keepAliveIntervalMs;
}

const ORDERLY = { code: null, text: 'TIME-WAIT is over' } as const;
const MIN_TLP_MS = 10;
