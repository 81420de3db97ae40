// Decides the three-way handshake from both sides, simultaneous open included (RFC 9293 §3.5, §3.10.7.3), and
// which options are in force after it (RFC 7323 §2, RFC 2018 §2).
// Before: tcp/input and host/listener. After: the extension learns that the connection is established.

import { Flag, type Segment } from '../wire/index.ts';
import { negotiateEcn } from './ecn.ts';
import { synAnswered, takeEarly } from './fast-open.ts';
import { State } from './state.ts';
import { Recovery, type Tcb } from './tcb.ts';
import { restartRetransmissionTimer, Timer } from './timers.ts';

/** A SYN arrived for a listener: the block starts in SYN-RECEIVED and will answer. */
export function openPassive(tcb: Tcb, segment: Segment, now: number): void {
  tcb.env.counters.PassiveOpens++;
  tcb.passive = true;
  tcb.moveTo(State.SYN_RECEIVED, 'SYN received');
  acceptPeerOptions(tcb, segment, now);
  negotiateEcn(tcb, segment);
  tcb.sndNxt = 1;
  tcb.synPending = true;
  tcb.progressMs = now;
  tcb.lastReceivedMs = now;
  tcb.packetBytesIn = tcb.env.shared.inPacketBytes;
  if (tcb.fastOpenServer?.early) {
    tcb.synDataTaken = segment.payloadLength > 0;
    startCongestion(tcb);
    takeEarly(tcb, segment, now);
  }
}

/** RFC 9293 §3.10.7.3: a segment in SYN-SENT. */
export function receiveSynSent(tcb: Tcb, segment: Segment, now: number): void {
  const flags = segment.flags;
  const ack = tcb.unwrapAck(segment.ack);
  const hasAck = (flags & Flag.ACK) !== 0;
  // An unacceptable ACK does not come here: the host has answered it with a reset (acknowledgesNothing).
  if ((flags & Flag.RST) !== 0) {
    if (!hasAck) return;
    tcb.env.counters.AttemptFails++;
    tcb.extension.resetReceived(segment, now);
    tcb.close({ code: 'ECONNREFUSED', text: 'the peer refused the connection' }, now);
    return;
  }
  if ((flags & Flag.SYN) === 0) return;
  tcb.lastReceivedMs = now;
  acceptPeerOptions(tcb, segment, now);
  negotiateEcn(tcb, segment);
  if (!hasAck) {
    tcb.moveTo(State.SYN_RECEIVED, 'simultaneous open');
    // Data that left with our SYN may have been taken: the SYN/ACK says so.
    if (tcb.sndNxt === 1) synAnswered(tcb, segment, 1, now);
    tcb.synPending = true;
    return;
  }
  sampleHandshake(tcb, segment, now);
  tcb.sndUna = ack;
  tcb.synPending = false;
  tcb.ackPending = true;
  synAnswered(tcb, segment, ack, now);
  establish(tcb, ack, now);
  if (tcb.extension.received(segment, 1, ack, now) && tcb.state === State.ESTABLISHED) {
    if (ack > 1) tcb.extension.acknowledged(ack, now);
    tcb.extension.established(now);
  }
}

/**
 * RFC 9293 §3.10.7.3, §3.10.7.4: an acknowledgement, in a handshake, of something never sent. The host, which
 * owns the resets, answers it with one.
 */
export function acknowledgesNothing(tcb: Tcb, segment: Segment): boolean {
  if ((segment.flags & Flag.ACK) === 0) return false;
  const ack = tcb.unwrapAck(segment.ack);
  if (ack >= 1 && ack <= tcb.sndNxt) return false;
  if (tcb.state === State.SYN_SENT) return true;
  if (tcb.state !== State.SYN_RECEIVED || (segment.flags & (Flag.SYN | Flag.RST)) !== 0) return false;
  const ssn = tcb.unwrapSeq(segment.seq);
  return ssn >= tcb.rcvNxt && ssn <= tcb.rcvEdge;
}

/**
 * The acknowledgement of our SYN/ACK arrived in SYN-RECEIVED. False: the connection was refused by its owner.
 */
export function completeHandshake(
  tcb: Tcb,
  segment: Segment,
  ssn: number,
  ack: number,
  now: number,
): boolean {
  if (!tcb.extension.admits(segment)) return false;
  sampleHandshake(tcb, segment, now);
  const early = tcb.fastOpenClient !== null && tcb.sndNxt > 1;
  tcb.sndUna = early ? ack : 1;
  tcb.synPending = false;
  if (early) synAnswered(tcb, segment, ack, now);
  // As in Linux: the window of the SYN, which was not scaled, is no measure of the windows to come.
  tcb.maxSndWnd = 0;
  establish(tcb, ack, now);
  if (!tcb.extension.received(segment, ssn, ack, now)) return false;
  // unreachable: an extension that ends the connection says so
  if ((tcb.state as State) !== State.ESTABLISHED) return false;
  tcb.extension.established(now);
  return (tcb.state as State) !== State.CLOSED;
}

/** Takes over the peer's SYN options (idempotent; also for the SYN/ACK of a simultaneous open). */
export function acceptPeerOptions(tcb: Tcb, segment: Segment, now: number): void {
  const config = tcb.env.config;
  tcb.irs = segment.seq;
  tcb.rcvNxt = 1;
  tcb.rcvEdge = Math.max(tcb.rcvEdge, 1);
  tcb.lastAckSent = 0;
  tcb.timestamps = config.timestamps && segment.hasTimestamps;
  tcb.tsRecent = segment.tsVal;
  tcb.tsRecentAtMs = now;
  tcb.sack = config.sack && segment.sackPermitted;
  tcb.windowScaling = segment.windowScale >= 0;
  tcb.sndScale = tcb.windowScaling ? segment.windowScale : 0;
  if (!tcb.windowScaling) tcb.rcvScale = 0;
  tcb.applyMss(segment.mss, now);
  tcb.sndWl1 = 0;
  // The window of a SYN is never scaled (RFC 7323 §2.2).
  tcb.sndWnd = segment.window;
  tcb.maxSndWnd = segment.window;
}

function establish(tcb: Tcb, ack: number, now: number): void {
  tcb.moveTo(State.ESTABLISHED, 'handshake complete');
  tcb.establishedMs = now;
  // Linux counts the SYN, or the SYN/ACK.
  tcb.segmentsDelivered = 1;
  tcb.backoff = 0;
  tcb.recovery = Recovery.OPEN;
  tcb.progressMs = now;
  tcb.sndWl2 = ack;
  startCongestion(tcb);
  // What left before is in flight, and no longer in the care of the SYN's timer.
  restartRetransmissionTimer(tcb, now);
  if (tcb.keepAliveMs > 0) tcb.deadlines[Timer.KEEPALIVE] = now + tcb.keepAliveMs;
}

function startCongestion(tcb: Tcb): void {
  const mss = tcb.payloadMss;
  // RFC 6928 §2: min(10·MSS, max(2·MSS, 14600)).
  // More than one repetition of the SYN says congestion: one segment (RFC 5681 §3.1 as RFC 6928 §2 relaxes
  // it).
  const segments = tcb.synTransmissions > 2 ? 1 : tcb.env.config.initialWindowSegments;
  tcb.congestion.begin(
    mss,
    initialWindow(tcb.env.config.initialWindowSegments, mss),
    initialWindow(segments, mss),
  );
}

function initialWindow(segments: number, mss: number): number {
  return Math.min(segments * mss, Math.max(2 * mss, segments * 1460));
}

/** The handshake's round trip, when it was not ambiguous (Karn). */
function sampleHandshake(tcb: Tcb, segment: Segment, now: number): void {
  const echoed = tcb.echoOf(segment) === tcb.timestamp(tcb.synSentMs);
  const rttMs = now - tcb.synSentMs;
  // An answer later than this was not an answer at once: the first one was lost, and a later segment came
  // instead.
  const prompt = rttMs <= SYN_LOST_RTO_MS;
  if (prompt && (tcb.synTransmissions === 1 || echoed)) tcb.rtt.sample(rttMs, now);
  // RFC 6298 §5.7: a repeated SYN that gave no sample: "the RTO MUST be re-initialized to 3 seconds".
  else tcb.rtt.initialMs = Math.max(tcb.rtt.initialMs, SYN_LOST_RTO_MS);
}

const SYN_LOST_RTO_MS = 3000;
