// Decides which segments are lost: RACK (RFC 8985 §6), by the time they were sent, not by counting
// duplicates.
// Before: tcp/ack reports what was newly delivered. After: tcp/recovery reduces the window, tcp/output
// resends.

import { enterRecovery } from './recovery.ts';
import { Sent } from './sent-queue.ts';
import type { Tcb } from './tcb.ts';
import { Timer } from './timers.ts';

/** An entry was newly acknowledged, cumulatively or selectively (RFC 8985 §6.2 steps 1–3). */
export function rackDelivered(tcb: Tcb, i: number, tsEcr: number, now: number): void {
  const sentMs = tcb.sent.sentMs(i);
  const end = tcb.sent.end(i);
  const flags = tcb.sent.flags(i);
  const rttMs = now - sentMs;
  if ((flags & Sent.RETRANSMITTED) !== 0) {
    // Step 2: the acknowledgement may belong to an earlier transmission.
    if (tsEcr !== -1 && ((tsEcr - tcb.timestamp(sentMs)) | 0) < 0) return;
    if (rttMs < tcb.rtt.minMs) return;
  }
  // Step 3; within one acknowledgement the order of arrival is not known.
  if (end < tcb.highestSackedBefore && (flags & Sent.RETRANSMITTED) === 0) {
    tcb.reorderSeen = true;
    tcb.lateSsn = Math.min(tcb.lateSsn, tcb.sent.start(i));
  }
  if (end > tcb.highestSacked) tcb.highestSacked = end;
  if (sentMs > tcb.rackSentMs || (sentMs === tcb.rackSentMs && end > tcb.rackEndSsn)) {
    tcb.rackSentMs = sentMs;
    tcb.rackEndSsn = end;
    tcb.rackRttMs = rttMs;
  }
}

/** After an acknowledgement: what it delivered late, as Linux counts it. */
export function noteReordering(tcb: Tcb): void {
  if (tcb.lateSsn === Infinity) return;
  tcb.reorderings++;
  const segments = Math.ceil((tcb.highestSacked - tcb.lateSsn) / tcb.payloadMss);
  tcb.reorderingSegments = Math.min(Math.max(tcb.reorderingSegments, segments), MOST_REORDERING);
  tcb.lateSsn = Infinity;
}

/** A DSACK said that a retransmission was unnecessary: the reordering window was too small (§6.2 step 4). */
export function rackDuplicate(tcb: Tcb): void {
  tcb.env.counters.TCPDSACKRecv++;
  tcb.duplicateReports++;
  if (tcb.sndUna < tcb.reoWindowRound) return;
  tcb.reoWindowRound = tcb.sndNxt;
  tcb.reoWindowMultiplier++;
  tcb.reoWindowPersist = 16;
}

/** One recovery ended; after 16 of them the reordering window shrinks back. */
export function rackRecovered(tcb: Tcb): void {
  if (tcb.reoWindowPersist > 0 && --tcb.reoWindowPersist === 0) tcb.reoWindowMultiplier = 1;
}

/** Marks what must be lost by now and sets the timer for what may be soon (RFC 8985 §6.2 step 5). */
export function detectLosses(tcb: Tcb, now: number): void {
  const sent = tcb.sent;
  if (!tcb.sack) return;
  const reoWindowMs = reorderingWindow(tcb);
  let waitMs = 0;
  let lostNow = false;
  for (let i = 0; i < sent.count; i++) {
    const flags = sent.flags(i);
    if ((flags & (Sent.SACKED | Sent.LOST)) !== 0) continue;
    const sentMs = sent.sentMs(i);
    if (!(sentMs < tcb.rackSentMs || (sentMs === tcb.rackSentMs && sent.end(i) < tcb.rackEndSsn))) {
      // Original transmissions are in order of time; only repeated ones are not.
      if (sent.retransmittedOut === 0) break;
      continue;
    }
    const remainingMs = sentMs + tcb.rackRttMs + reoWindowMs - now;
    if (remainingMs <= 0) {
      sent.markLost(i);
      lostNow = true;
    } else if (remainingMs > waitMs) {
      waitMs = remainingMs;
    }
  }
  tcb.deadlines[Timer.REORDER] = waitMs > 0 ? now + waitMs : Infinity;
  if (lostNow) enterRecovery(tcb, now);
}

function reorderingWindow(tcb: Tcb): number {
  if (!tcb.reorderSeen) {
    // RFC 8985 §6.2 step 4: no window while in recovery or with three segments delivered beyond.
    if (tcb.recovery !== 0 || tcb.sent.sackedBytes >= 3 * tcb.payloadMss) return 0;
  }
  const minMs = tcb.rtt.minMs === Infinity ? 0 : tcb.rtt.minMs;
  return Math.min((tcb.reoWindowMultiplier * minMs) / 4, tcb.rtt.srttMs);
}

/** Linux: tcp_max_reordering. */
const MOST_REORDERING = 300;
