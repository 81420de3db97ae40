// Decides what an acceptable acknowledgement means: what left the network, the round-trip time, losses, and
// how far the window opens. Read: RFC 9293 §3.10.7.4 (ACK), RFC 2018, RFC 2883, RFC 7323 §4, RFC 8985.
// Before: tcp/input. After: the extension frees its buffer, tcp/output sends what the window now allows.

import { Flag, Mp, type Segment } from '../wire/index.ts';
import { echoReceived, windowReduced } from './ecn.ts';
import { detectLosses, noteReordering, rackDelivered, rackDuplicate } from './rack.ts';
import { enterLoss, enterRecovery, type RecoveryAck, recoveryOnAck } from './recovery.ts';
import { Sent } from './sent-queue.ts';
import { Hold, Recovery, type Tcb } from './tcb.ts';
import { restartRetransmissionTimer, scheduleLossProbe, Timer } from './timers.ts';
import { forgetUndo, noteDuplicateReport, type UndoAck, undoIfSpurious } from './undo.ts';

/** Processes the acknowledgement number, SACK blocks and window of a segment already found acceptable. */
export function processAck(tcb: Tcb, segment: Segment, ssn: number, ack: number, now: number): void {
  const windowBefore = tcb.sndWnd;
  updateWindow(tcb, segment, ssn, ack);
  const before = tcb.sent.sackedBytes;
  const lostBefore = tcb.sent.lostBytes;
  const tsEcr = tcb.echoOf(segment);
  const advanced = ack > tcb.sndUna;
  let delivered = 0;
  newestSampleMs = -1;
  duplicateReported = false;
  originalDelivered = retransmissionCovered = allDuplicate = false;
  tcb.highestSackedBefore = tcb.highestSacked;
  if (tcb.sack) processSack(tcb, segment, ack, tsEcr, now);
  if (advanced) delivered += advance(tcb, ack, tsEcr, now);
  noteReordering(tcb);
  delivered += Math.max(0, tcb.sent.sackedBytes - before + sackedFreed);
  tcb.segmentsDelivered += Math.ceil(delivered / tcb.payloadMss);
  sackedFreed = 0;
  // RFC 5681 §2: a duplicate acknowledges nothing new, carries nothing and changes nothing.
  const duplicate = ack === tcb.sndUna && !advanced && tcb.sndWnd === windowBefore && isPure(segment);
  if (!tcb.sack) delivered += withoutSack(tcb, delivered, duplicate, now);
  undoAck.advanced = advanced;
  undoAck.tsEcr = tsEcr;
  // A cumulative acknowledgement of a repetition may cover what waited behind it since before the timeout.
  undoAck.originalDelivered = originalDelivered && !retransmissionCovered;
  undoAck.duplicate = duplicate;
  undoAck.duplicateReported = duplicateReported;
  undoAck.allDuplicate = allDuplicate;
  const lateMs = undoIfSpurious(tcb, undoAck, now);
  if (lateMs > 0) newestSampleMs = lateMs;
  if (newestSampleMs >= 0) tcb.rtt.sample(newestSampleMs, now);
  // MSG_MORE is a hint for the moment (Linux: tcp_push); TCP_CORK stays.
  if (advanced) tcb.hold &= ~Hold.MORE;
  if (advanced || delivered > 0) {
    tcb.progressMs = now;
    tcb.backoff = 0;
    tcb.softError = '';
  }
  tlpAcknowledged(tcb, ack, duplicate && segment.sackCount === 0, now);
  const recovering = tcb.recovery;
  detectLosses(tcb, now);
  // RFC 9937 §6.1: what the acknowledgement that began recovery delivered belongs to it.
  if (recovering === Recovery.OPEN) tcb.prrFlight += delivered;
  recoveryAck.deliveredBytes = delivered;
  recoveryAck.advanced = advanced;
  recoveryAck.newLoss = tcb.sent.lostBytes > lostBefore;
  recoveryAck.now = now;
  recoveryOnAck(tcb, recoveryAck);
  // RFC 3042 §2: what is only reported selectively, before recovery, leaves the window as it is.
  const echoed = (segment.flags & (Flag.ECE | Flag.SYN)) === Flag.ECE && echoReceived(tcb, delivered, now);
  // The window with which recovery ends is the one to go on with.
  const isOver = recovering === Recovery.RECOVERY && tcb.recovery === Recovery.OPEN;
  // Linux lets it grow where reordering is usual.
  const grows = advanced || tcb.recovery !== Recovery.OPEN || isReordering(tcb);
  if (delivered > 0 && !echoed && !isOver && grows) {
    const limited = tcb.cwndLimited || (inSlowStart(tcb) && tcb.congestion.cwndBytes < 2 * tcb.usageBytes);
    const rtt = tcb.rtt;
    tcb.congestion.onAck(delivered, tcb.pipeBytes, rtt.srttMs, rtt.minMs, newestSampleMs, limited, now);
  }
  if (advanced) {
    restartRetransmissionTimer(tcb, now);
    tcb.extension.acknowledged(tcb.sndUna, now);
  }
  if (advanced || delivered > 0) scheduleLossProbe(tcb, now);
}

function isReordering({ env, reorderingSegments }: Tcb): boolean {
  return env.config.asLinux && reorderingSegments > 3;
}

function inSlowStart(tcb: Tcb): boolean {
  return tcb.congestion.cwndBytes < tcb.congestion.ssthreshBytes;
}

/** RFC 9293 §3.10.7.4: SND.WND follows the newest segment. */
function updateWindow(tcb: Tcb, segment: Segment, ssn: number, ack: number): void {
  if (ack < tcb.sndUna) return;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  const window = (segment.flags & Flag.SYN) !== 0 ? segment.window : segment.window << tcb.sndScale;
  // An older one only to open it. SND.WL2 =< SEG.ACK needs no question: it never is above SND.UNA.
  if (tcb.sndWl1 > ssn && ack + window <= tcb.sndWl2 + tcb.sndWnd) return;
  // Opened: what waits is sent now. A rest too small to use leaves the timer, which will override
  // (tcp/timers).
  if (tcb.sndWnd === 0 && window > 0) tcb.deadlines[Timer.PERSIST] = Infinity;
  tcb.sndWnd = window;
  if (window > tcb.maxSndWnd) tcb.maxSndWnd = window;
  tcb.sndWl1 = ssn;
  tcb.sndWl2 = ack;
}

/** Frees what is acknowledged cumulatively; returns the bytes newly delivered by it. */
function advance(tcb: Tcb, ack: number, tsEcr: number, now: number): number {
  const sent = tcb.sent;
  let delivered = 0;
  let ambiguous = false;
  while (sent.count > 0 && sent.start(0) < ack) {
    const flags = sent.flags(0);
    const end = sent.end(0);
    const bytes = Math.min(end, ack) - sent.start(0);
    if ((flags & Sent.RETRANSMITTED) !== 0) ambiguous = retransmissionCovered = true;
    if ((flags & Sent.SACKED) === 0) {
      delivered += bytes;
      noteDelivered(flags);
      takeSample(tcb, 0, flags, tsEcr, now);
    } else {
      sackedFreed += bytes;
    }
    if (bytes >= tcb.payloadMss) tcb.fullSizeAcked = true;
    if (end <= ack) {
      if ((flags & Sent.SACKED) === 0) rackDelivered(tcb, 0, tsEcr, now);
      sent.shift();
    } else {
      sent.trimHead(bytes);
    }
  }
  tcb.sndUna = ack;
  // Karn: what was sent once and waited at the receiver for a retransmission says nothing about the round
  // trip.
  if (ambiguous && !sampledByTimestamp) newestSampleMs = -1;
  tcb.fullSizeTimeouts = 0;
  return delivered;
}

/** Something was newly acknowledged that was sent once only (F-RTO). */
function noteDelivered(flags: number): void {
  if ((flags & Sent.RETRANSMITTED) === 0) originalDelivered = true;
}

function takeSample(tcb: Tcb, i: number, flags: number, tsEcr: number, now: number): void {
  if ((flags & Sent.RETRANSMITTED) === 0) {
    // Sent before the SYN/ACK went again: that may be what was answered.
    if (tcb.sent.sentMs(i) < tcb.synSentMs) return;
    // Karn: only what was sent once; the newest such entry counts.
    newestSampleMs = now - tcb.sent.sentMs(i);
    sampledByTimestamp = false;
  } else if (tsEcr === tcb.timestamp(tcb.sent.sentMs(i))) {
    newestSampleMs = now - tcb.sent.sentMs(i);
    sampledByTimestamp = true;
  }
}

/**
 * RFC 2018 §5: marks the blocks; RFC 2883: a first block below the ACK or inside the second is a duplicate.
 */
function processSack(tcb: Tcb, segment: Segment, ack: number, tsEcr: number, now: number): void {
  for (let b = 0; b < segment.sackCount; b++) {
    const left = tcb.unwrapAck(segment.sackLeft[b]);
    const right = tcb.unwrapAck(segment.sackRight[b]);
    if (right <= left || right > tcb.sndNxt) continue;
    if (b === 0 && (right <= ack || insideSecond(tcb, segment, left, right))) {
      rackDuplicate(tcb);
      duplicateReported = true;
      if (noteDuplicateReport(tcb, left, right)) allDuplicate = true;
      continue;
    }
    // A block lies beyond a hole.
    if (left <= Math.min(ack, tcb.sndUna)) continue;
    markBlock(tcb, left, right, tsEcr, now);
  }
}

function insideSecond(tcb: Tcb, segment: Segment, left: number, right: number): boolean {
  if (segment.sackCount < 2) return false;
  return left >= tcb.unwrapAck(segment.sackLeft[1]) && right <= tcb.unwrapAck(segment.sackRight[1]);
}

/** Byte for byte; Linux takes no report of a part of a segment. */
function markBlock(tcb: Tcb, left: number, right: number, tsEcr: number, now: number): void {
  const sent = tcb.sent;
  const unit = tcb.env.config.asLinux ? tcb.payloadMss : 1;
  let i = sent.find(left);
  if (i < sent.count && sent.start(i) < left) {
    if ((sent.flags(i) & Sent.SACKED) === 0) {
      const from = sent.start(i) + Math.ceil((left - sent.start(i)) / unit) * unit;
      if (from < sent.end(i) && mayDivide(tcb)) sent.splitAt(i, from);
      i++;
    }
  }
  for (; i < sent.count && sent.start(i) < right; i++) {
    if ((sent.flags(i) & Sent.SACKED) !== 0) continue;
    if (sent.end(i) > right) {
      const whole = right - sent.start(i) - ((right - sent.start(i)) % unit);
      if (whole === 0 || !mayDivide(tcb)) return;
      sent.splitAt(i, sent.start(i) + whole);
    }
    takeSample(tcb, i, sent.flags(i), tsEcr, now);
    rackDelivered(tcb, i, tsEcr, now);
    noteDelivered(sent.flags(i));
    sent.markSacked(i);
  }
}

/** A peer that reports crumbs must not cut what is remembered into as many pieces. */
function mayDivide(tcb: Tcb): boolean {
  return tcb.sent.count < SPARE_ENTRIES + (4 * (tcb.sndNxt - tcb.sndUna)) / tcb.payloadMss;
}

/** RFC 8985 §7.4.2: a probe that repaired the tail is a loss the window must answer to. */
function tlpAcknowledged(tcb: Tcb, ack: number, bareDuplicate: boolean, now: number): void {
  if (tcb.tlpEndSsn === -1 || ack < tcb.tlpEndSsn) return;
  if (!tcb.tlpIsRetransmission || duplicateReported) {
    tcb.tlpEndSsn = -1;
  } else if (ack > tcb.tlpEndSsn) {
    // Acknowledged beyond the probe and no duplicate reported: the original was lost.
    tcb.tlpEndSsn = -1;
    if (tcb.recovery !== Recovery.OPEN) return;
    tcb.congestion.onEnterRecovery(Math.max(tcb.sndNxt - tcb.sndUna, tcb.payloadMss), now);
    tcb.congestion.onExitRecovery(now);
    forgetUndo(tcb);
    windowReduced(tcb);
  } else if (bareDuplicate) {
    // Case 2: original and probe both arrived, and the peer does not speak DSACK.
    tcb.tlpEndSsn = -1;
  }
}

/** RFC 8684 §3: a duplicate with an MPTCP signal other than DSS is no sign of congestion. */
function isPure(segment: Segment): boolean {
  const bare = segment.payloadLength === 0 && (segment.flags & (Flag.SYN | Flag.FIN)) === 0;
  return bare && (segment.mp & ~Mp.DSS) === 0;
}

/**
 * Loss recovery for peers without SACK (RFC 5681 §3.2, RFC 6582): three duplicates, then one segment a
 * partial acknowledgement. `covered`: bytes that the acknowledgement number covers newly. Returns what is to
 * be added to the bytes delivered (RFC 9937 §6.2).
 */
function withoutSack(tcb: Tcb, covered: number, duplicate: boolean, now: number): number {
  if (covered > 0) {
    const counted = Math.min(tcb.dupAckBytes, covered);
    tcb.dupAcks = 0;
    tcb.dupAckBytes = 0;
    if (tcb.recovery === Recovery.RECOVERY && tcb.sndUna < tcb.recoveryPoint) partiallyAcknowledged(tcb, now);
    return -counted;
  }
  // After a timeout duplicates come from what was sent before it, which is all taken for lost.
  if (!duplicate || tcb.sent.count === 0 || tcb.recovery === Recovery.LOSS) return 0;
  const bytes = Math.min(tcb.payloadMss, tcb.sndNxt - tcb.sndUna - tcb.dupAckBytes);
  tcb.dupAcks++;
  tcb.dupAckBytes += bytes;
  if (tcb.dupAcks === 3 && tcb.recovery === Recovery.OPEN) {
    markHeadLost(tcb);
    enterRecovery(tcb, now);
  }
  return bytes;
}

/**
 * RFC 6582 §3.2: "For the first partial ACK that arrives during fast recovery, also reset the retransmit
 * timer", and not for those behind it: so many were lost that slow start repairs them sooner.
 * DEVIATION (RFC 6582 lets the timer fire): with the next of them, for the path is not silent and need not be
 * left.
 */
function partiallyAcknowledged(tcb: Tcb, now: number): void {
  if (tcb.partialUntilMs === Infinity) tcb.partialUntilMs = now + tcb.rtt.rtoMs;
  if (now >= tcb.partialUntilMs) enterLoss(tcb, now);
  else markHeadLost(tcb);
}

function markHeadLost(tcb: Tcb): void {
  const sent = tcb.sent;
  if (sent.length(0) > tcb.payloadMss) sent.splitAt(0, sent.start(0) + tcb.payloadMss);
  sent.markLost(0);
}

const recoveryAck: RecoveryAck = { deliveredBytes: 0, advanced: false, newLoss: false, now: 0 };
/** Round-trip sample of the acknowledgement being processed in ms; -1 when it gave none. */
let newestSampleMs = -1;
/** That sample belongs to a retransmission which the echoed timestamp identifies. */
let sampledByTimestamp = false;
/** Bytes that were SACKED before and left the queue with the acknowledgement being processed. */
let sackedFreed = 0;
/** The acknowledgement being processed reports a duplicate (DSACK). */
let duplicateReported = false;
const undoAck: UndoAck = {
  advanced: false,
  tsEcr: -1,
  originalDelivered: false,
  duplicate: false,
  duplicateReported: false,
  allDuplicate: false,
};
/** It acknowledges data that was sent once only, or data that was sent again. */
let originalDelivered = false;
let retransmissionCovered = false;
/** It reports the last of what was sent again as duplicate. */
let allDuplicate = false;
/** Entries the scoreboard may hold beyond four a segment in flight. */
const SPARE_ENTRIES = 64;
