// Decides what an arriving segment does to its connection: RFC 9293 §3.10.7 in its order, with the defences
// of RFC 5961 and PAWS (RFC 7323 §5). Peer faults are dropped, answered or counted, never thrown.
// Before on the walk: host/demux. After: tcp/ack, then the extension (mptcp/receive or tcp/plain-stream).

import { Flag, type Segment } from '../wire/index.ts';
import { processAck } from './ack.ts';
import { noteCodepoint } from './ecn.ts';
import { acceptPeerOptions, completeHandshake, receiveSynSent } from './handshake.ts';
import { forgetReport, noteBeyond, noteDuplicate } from './sack-report.ts';
import { isSynchronized, mayReceive, State } from './state.ts';
import type { Tcb } from './tcb.ts';
import { Timer } from './timers.ts';

/** Processes one segment, of which `acknowledgesNothing` is false, in any state but CLOSED. */
export function receiveSegment(tcb: Tcb, segment: Segment, now: number): void {
  tcb.packetBytesIn += tcb.env.shared.inPacketBytes;
  tcb.segmentsReceived++;
  if (tcb.state === State.SYN_SENT) {
    receiveSynSent(tcb, segment, now);
    // RFC 9293 §3.10.7.3: "If there are other controls or text in the segment", they are processed. Multipath
    // TCP has no mapping for them; they come again.
    if ((tcb.state as State) === State.ESTABLISHED && tcb.extension.dataOptionBytes === 0)
      receiveText(tcb, segment, segment.flags, 1, now);
    return;
  }
  let ssn = tcb.unwrapSeq(segment.seq);
  let flags = segment.flags;
  if ((flags & Flag.SYN) !== 0 && tcb.state === State.SYN_RECEIVED && ssn === 0) {
    if ((flags & Flag.ACK) === 0) {
      // The SYN again: our answer was lost.
      // The peer is still trying, so the handshake gets its whole time again.
      tcb.backoff = 0;
      tcb.synPending = true;
      return;
    }
    // Simultaneous open (RFC 9293 §3.5): the SYN part is known, its acknowledgement counts.
    acceptPeerOptions(tcb, segment, now);
    flags &= ~Flag.SYN;
    ssn = 1;
  }
  if (!acceptable(tcb, segment, flags, ssn, now)) return;
  if ((flags & Flag.RST) !== 0) {
    receiveReset(tcb, segment, ssn, now);
    return;
  }
  if ((flags & Flag.SYN) !== 0) {
    // RFC 5961 §4: a SYN inside the window is answered, not believed.
    tcb.env.counters.TCPSYNChallenge++;
    challenge(tcb, now);
    return;
  }
  if ((flags & Flag.ACK) === 0) return;
  const ack = tcb.unwrapAck(segment.ack);
  if (!acceptableAck(tcb, ack, now)) return;
  if (segment.payloadLength === 0 && flags === Flag.ACK) tcb.env.counters.TCPPureAcks++;
  tcb.lastReceivedMs = now;
  tcb.keepAliveSent = 0;
  noteTimestamp(tcb, segment, ssn, now);
  if (tcb.state === State.SYN_RECEIVED) {
    if (!completeHandshake(tcb, segment, ssn, ack, now)) return;
  } else if (!tcb.extension.received(segment, ssn, ack, now)) {
    return;
  }
  processAck(tcb, segment, ssn, ack, now);
  finAcknowledged(tcb, now);
  receiveText(tcb, segment, flags, ssn, now);
}

/** Payload, and the FIN behind it. */
function receiveText(tcb: Tcb, segment: Segment, flags: number, ssn: number, now: number): void {
  if (segment.payloadLength > 0) receivePayload(tcb, segment, ssn, now);
  if ((tcb.state as State) === State.CLOSED) return;
  if ((flags & Flag.FIN) !== 0 && mayReceive(tcb.state)) noteFin(tcb, ssn + segment.payloadLength);
  if (tcb.rcvNxt === tcb.rcvFinSsn) finReached(tcb, now);
}

/** RFC 9293 §3.10.7.4, first check: sequence number and timestamp. */
function acceptable(tcb: Tcb, segment: Segment, flags: number, ssn: number, now: number): boolean {
  if (pawsRejects(tcb, segment, flags, now)) {
    tcb.env.counters.PAWSEstab++;
    answerRefused(tcb, segment, 'TCPACKSkippedPAWS', now);
    return false;
  }
  const length =
    segment.payloadLength + ((flags & Flag.FIN) !== 0 ? 1 : 0) + ((flags & Flag.SYN) !== 0 ? 1 : 0);
  const edge = Math.max(tcb.rcvEdge, tcb.rcvNxt + tcb.extension.windowBytes());
  // A keepalive of a peer whose third ACK was lost: its acknowledgement completes the handshake as well.
  if (tcb.state === State.SYN_RECEIVED && length === 0 && ssn === tcb.rcvNxt - 1 && (flags & Flag.ACK) !== 0)
    return true;
  const inWindow = length === 0 ? ssn >= tcb.rcvNxt && ssn <= edge : ssn < edge && ssn + length > tcb.rcvNxt;
  if (inWindow) return true;
  if ((flags & Flag.RST) !== 0) return false;
  if (tcb.state === State.TIME_WAIT && (flags & Flag.FIN) !== 0) {
    tcb.deadlines[Timer.TIME_WAIT] = now + tcb.timeWaitMs;
  }
  if (ssn + length <= tcb.rcvNxt) {
    // Old: a keepalive, a window probe or a duplicate. The peer may have missed our acknowledgement.
    if (segment.payloadLength > 0) noteDuplicate(tcb, ssn, ssn + segment.payloadLength);
    tcb.lastReceivedMs = now;
    tcb.keepAliveSent = 0;
    oldSegmentAck(tcb, segment, ssn, flags, now);
  } else if (ssn === tcb.rcvNxt) {
    // RFC 9293 §3.10.7.4: our window is closed, but "special allowance should be made to accept valid ACKs".
    tcb.lastReceivedMs = now;
    oldSegmentAck(tcb, segment, ssn, flags, now);
  }
  answerRefused(tcb, segment, 'TCPACKSkippedSeq', now);
  return false;
}

/**
 * RFC 9293 §3.10.7.4: what is refused is acknowledged. Without data it may itself be such an answer:
 * unlimited, two ends that misjudge each other's numbers would never stop (Linux: tcp_invalid_ratelimit).
 */
function answerRefused(
  tcb: Tcb,
  segment: Segment,
  skipped: 'TCPACKSkippedPAWS' | 'TCPACKSkippedSeq',
  now: number,
): void {
  if (segment.payloadLength === 0) {
    if (now - tcb.refusalWindowMs >= 1000) {
      tcb.refusalWindowMs = now;
      tcb.refusalCount = 0;
    }
    if (tcb.refusalCount >= tcb.env.config.challengeAcksPerSecond) {
      tcb.env.counters[skipped]++;
      return;
    }
    tcb.refusalCount++;
  }
  // During the handshake our SYN/ACK says the same, and is bounded by the amplification limit.
  if (tcb.state === State.SYN_RECEIVED) tcb.synPending = true;
  else tcb.ackPending = true;
}

/**
 * A refused segment still carries a fresh acknowledgement (a retransmitted FIN, a probe). Taking it spares a
 * round trip; it is only believed when it lies where acknowledgements may lie.
 */
function oldSegmentAck(tcb: Tcb, segment: Segment, ssn: number, flags: number, now: number): void {
  if ((flags & Flag.ACK) === 0 || !isSynchronized(tcb.state)) return;
  const ack = tcb.unwrapAck(segment.ack);
  if (ack < tcb.sndUna || ack > tcb.sndNxt) return;
  if (!tcb.extension.received(segment, ssn, ack, now)) return;
  processAck(tcb, segment, ssn, ack, now);
  finAcknowledged(tcb, now);
}

/** RFC 7323 §5.3; a timestamp older than 24 days proves nothing (§5.5). */
function pawsRejects(tcb: Tcb, segment: Segment, flags: number, now: number): boolean {
  if (!tcb.timestamps || !segment.hasTimestamps || (flags & Flag.RST) !== 0) return false;
  if (((segment.tsVal - tcb.tsRecent) | 0) >= 0) return false;
  return now - tcb.tsRecentAtMs < PAWS_IDLE_MS;
}

/** RFC 7323 §4.3: the timestamp of the segment that holds Last.ACK.sent is the one to echo. */
function noteTimestamp(tcb: Tcb, segment: Segment, ssn: number, now: number): void {
  if (!tcb.timestamps || !segment.hasTimestamps || ssn > tcb.lastAckSent) return;
  if (((segment.tsVal - tcb.tsRecent) | 0) < 0) return;
  tcb.tsRecent = segment.tsVal;
  tcb.tsRecentAtMs = now;
}

/** RFC 5961 §5.2: the acceptable range of an acknowledgement. */
function acceptableAck(tcb: Tcb, ack: number, now: number): boolean {
  if (tcb.state === State.SYN_RECEIVED) {
    // Others in the window were answered with a reset already (acknowledgesNothing).
    return ack > tcb.sndUna && ack <= tcb.sndNxt;
  }
  if (ack > tcb.sndNxt) {
    // DEVIATION (Linux drops it without a word): RFC 9293 §3.10.7.4 wants an acknowledgement.
    if (!tcb.env.config.asLinux) challenge(tcb, now);
    return false;
  }
  if (ack < tcb.sndUna - tcb.maxSndWnd) {
    challenge(tcb, now);
    return false;
  }
  return true;
}

/** RFC 5961 §3.2: only a RST with exactly the next number is believed. */
function receiveReset(tcb: Tcb, segment: Segment, ssn: number, now: number): void {
  if (ssn !== tcb.rcvNxt) {
    challenge(tcb, now);
    return;
  }
  if (tcb.state === State.SYN_RECEIVED) tcb.env.counters.EmbryonicRsts++;
  if (tcb.state === State.ESTABLISHED || tcb.state === State.CLOSE_WAIT) tcb.env.counters.EstabResets++;
  tcb.lastReceivedMs = now;
  const before = tcb.state;
  tcb.extension.resetReceived(segment, now);
  // RFC 9293 §3.5.2: a reset is not answered with one, whatever the extension gave up because of it.
  tcb.resetPending = false;
  const refused = before === State.SYN_RECEIVED && !tcb.fastOpenServer?.early;
  const code = refused ? 'ECONNREFUSED' : 'ECONNRESET';
  const orderly = before === State.TIME_WAIT || before === State.LAST_ACK || before === State.CLOSING;
  tcb.close({ code: orderly ? null : code, text: 'the peer sent a reset' }, now);
}

/** RFC 5961 §7: an ACK that makes an honest peer speak up; limited in rate. */
function challenge(tcb: Tcb, now: number): void {
  if (now - tcb.challengeWindowMs >= 1000) {
    tcb.challengeWindowMs = now;
    tcb.challengeCount = 0;
  }
  if (tcb.challengeCount >= tcb.env.config.challengeAcksPerSecond) {
    tcb.env.counters.TCPACKSkippedChallenge++;
    return;
  }
  tcb.challengeCount++;
  tcb.env.counters.TCPChallengeACK++;
  tcb.challengeDue = tcb.state === State.SYN_RECEIVED;
  tcb.ackPending = true;
}

/**
 * DEVIATION: urgent data is data in its place, and nobody is told of the pointer (RFC 9293 MUST-32, MUST-33);
 * none is ever sent. SHLD-13: "new applications SHOULD NOT employ the TCP urgent mechanism", and a Multipath
 * TCP connection has no place for it (RFC 8684 §3.3.1).
 */
function receivePayload(tcb: Tcb, segment: Segment, ssn: number, now: number): void {
  if (!mayReceive(tcb.state)) return;
  const edge = Math.max(tcb.rcvEdge, tcb.rcvNxt + tcb.extension.windowBytes());
  const start = Math.max(ssn, tcb.rcvNxt);
  let end = Math.min(ssn + segment.payloadLength, edge);
  if (tcb.rcvFinSsn !== -1) end = Math.min(end, tcb.rcvFinSsn);
  if (start > ssn) noteDuplicate(tcb, ssn, Math.min(start, end));
  if (end <= start) return;
  if (start > tcb.rcvNxt && tcb.beyond.count >= MAX_RANGES) {
    tcb.ackPending = true;
    return;
  }
  const length = end - start;
  tcb.bytesReceived += length;
  tcb.lastPayloadMs = now;
  tcb.rcvMss = Math.max(tcb.rcvMss, Math.min(length, tcb.payloadMss));
  measureReceiver(tcb, segment, now);
  noteCodepoint(tcb, segment);
  tcb.extension.payload(start, tcb.env.shared.inBytes, segment.payloadOffset + (start - ssn), length, now);
  if ((tcb.state as State) === State.CLOSED) return;
  if (start > tcb.rcvNxt) {
    // RFC 9293 §3.8.6.3 and RFC 5681 §4.2: beyond a hole, acknowledge at once.
    const block = tcb.beyond.firstEndingAfter(start);
    // RFC 2883 §4.2: of a segment that is known in part, the part.
    if (block < tcb.beyond.count) {
      noteDuplicate(tcb, Math.max(start, tcb.beyond.start(block)), Math.min(end, tcb.beyond.end(block)));
    }
    if (tcb.beyond.add(start, end) > 0) tcb.env.counters.TCPOFOQueue++;
    noteBeyond(tcb, start);
    tcb.ackPending = true;
    return;
  }
  tcb.rcvNxt = end;
  if (tcb.beyond.count > 0) mergeBeyond(tcb);
  acknowledgeLater(tcb, length, now);
}

/**
 * The round trip of who only receives: the age of the timestamp that full segments echo (RFC 7323 §4), or
 * without timestamps the time in which a whole window arrives, which is a round trip at least.
 */
function measureReceiver(tcb: Tcb, segment: Segment, now: number): void {
  if (tcb.timestamps) {
    if (segment.tsEcr === tcb.rcvRttMark || segment.payloadLength < tcb.rcvMss) return;
    tcb.rcvRttMark = segment.tsEcr;
    const sampleMs = Math.max(1, (tcb.timestamp(now) - segment.tsEcr) | 0);
    if (sampleMs > MAX_RECEIVE_RTT_MS) return;
    tcb.rcvRttMs += tcb.rcvRttMs === 0 ? sampleMs : (sampleMs - tcb.rcvRttMs) / 8;
  } else if (tcb.rcvNxt >= tcb.rcvRttMark) {
    const sampleMs = Math.max(1, now - tcb.rcvRttMarkMs);
    if (tcb.rcvRttMarkMs !== -1) {
      tcb.rcvRttMs = tcb.rcvRttMs === 0 ? sampleMs : Math.min(sampleMs, tcb.rcvRttMs);
    }
    tcb.rcvRttMark = tcb.rcvEdge;
    tcb.rcvRttMarkMs = now;
  }
}

function mergeBeyond(tcb: Tcb): void {
  tcb.ackPending = true;
  // RFC 2883 §4.2: "only the first such duplicate sub-segment is reported".
  noteDuplicate(tcb, tcb.beyond.start(0), Math.min(tcb.rcvNxt, tcb.beyond.end(0)));
  while (tcb.beyond.count > 0 && tcb.beyond.start(0) <= tcb.rcvNxt) {
    tcb.rcvNxt = Math.max(tcb.rcvNxt, tcb.beyond.end(0));
    tcb.beyond.remove(tcb.beyond.start(0), tcb.beyond.end(0));
  }
}

/**
 * RFC 9293 §3.8.6.3: at least every second full segment, at most `delayedAckMs` late. As with Linux,
 * more than one is enough: a window of less than two would wait for each acknowledgement.
 */
function acknowledgeLater(tcb: Tcb, length: number, now: number): void {
  tcb.unackedBytes += length;
  if (tcb.quickAcks > 0) {
    tcb.quickAcks--;
    tcb.ackPending = true;
  } else if (tcb.unackedBytes > tcb.rcvMss) {
    tcb.ackPending = true;
  } else if (tcb.deadlines[Timer.DELAYED_ACK] === Infinity) {
    tcb.deadlines[Timer.DELAYED_ACK] = now + tcb.env.config.delayedAckMs;
  }
}

function noteFin(tcb: Tcb, finSsn: number): void {
  if (tcb.rcvFinSsn === -1 && finSsn >= tcb.rcvNxt) tcb.rcvFinSsn = finSsn;
  if (tcb.rcvNxt !== tcb.rcvFinSsn) tcb.ackPending = true;
}

/** RFC 9293 §3.10.7.4, eighth: the FIN is next in sequence. */
function finReached(tcb: Tcb, now: number): void {
  tcb.rcvNxt++;
  tcb.rcvFinSsn = -1;
  // Nothing comes behind it: what was reported selectively is over (Linux: tcp_sack_reset).
  forgetReport(tcb);
  switch (tcb.state) {
    case State.ESTABLISHED:
      tcb.moveTo(State.CLOSE_WAIT, 'FIN received');
      // As Linux once data has come: the answer to it, a FIN most often, may take the acknowledgement along.
      if (tcb.lastPayloadMs === -1) tcb.ackPending = true;
      else if (tcb.deadlines[Timer.DELAYED_ACK] === Infinity)
        tcb.deadlines[Timer.DELAYED_ACK] = now + tcb.env.config.delayedAckMs;
      break;
    case State.FIN_WAIT_1:
      tcb.ackPending = true;
      tcb.moveTo(State.CLOSING, 'FIN received before our FIN was acknowledged');
      break;
    default:
      // FIN-WAIT-2: in no other state is a FIN waited for.
      tcb.ackPending = true;
      tcb.enterTimeWait(now);
  }
  tcb.extension.finReceived(now);
}

/** Moves on when our FIN has been acknowledged. */
function finAcknowledged(tcb: Tcb, now: number): void {
  if (tcb.finSsn === -1 || tcb.sndUna <= tcb.finSsn) return;
  switch (tcb.state) {
    case State.FIN_WAIT_1:
      tcb.moveTo(State.FIN_WAIT_2, 'our FIN was acknowledged');
      if (tcb.orphaned) tcb.orphan(now);
      break;
    case State.CLOSING:
      tcb.enterTimeWait(now);
      break;
    case State.LAST_ACK:
      tcb.close({ code: null, text: 'both directions were closed' }, now);
      break;
    default:
  }
}

/** Holes remembered: more than a window of lost segments makes, and few enough to be searched. */
const MAX_RANGES = 8192;
/** An older echo tells of a pause of the sender, or of nothing. */
const MAX_RECEIVE_RTT_MS = 10_000;
const PAWS_IDLE_MS = 24 * 24 * 3600 * 1000;
