// Decides which segment a connection sends next and writes it into the caller's buffer: resets, handshake,
// retransmissions, probes, new data, acknowledgements, in this order. A segment may hold up to 64 KB; the
// link cuts it into pieces of `transmitSegmentSize`. Read: RFC 9293 §3.8, RFC 5681 §3, RFC 1122 §4.2.3.4
// (SWS).
// Before on the walk: mptcp/send (one scheduler) or tcp/plain-stream. After: host.transmit, then the link.

import { encodeHeaders, Flag, headerLength, optionsLength, writeChecksum } from '../wire/index.ts';
import { addressSegment } from './addressing.ts';
import { ecnSynFlags, markOutgoing } from './ecn.ts';
import { fillSyn, fillSynAck, isEarly } from './fast-open.ts';
import { isPaced, pace, pacedBytes } from './pacing.ts';
import { addSack, hasReport } from './sack-report.ts';
import { Sent } from './sent-queue.ts';
import { maySend, State } from './state.ts';
import { Hold, Recovery, type Tcb } from './tcb.ts';
import {
  probeDelay,
  restartRetransmissionTimer,
  scheduleLossProbe,
  synRetryAt,
  Timer,
  waitsForWindow,
} from './timers.ts';
import { Frto, noteResent } from './undo.ts';

/**
 * Writes what must go before new data: reset, SYN, retransmission, probe. Returns the packet's length or 0.
 */
export function transmitControl(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  if (tcb.resetPending) return transmitReset(tcb, out, offset, now);
  if (tcb.synPending) return transmitSyn(tcb, out, offset, now);
  if (!tcb.isSynchronized) return 0;
  restartAfterIdle(tcb, now);
  if (tcb.undo.frto !== Frto.PROBING) {
    const length = retransmit(tcb, out, offset, now);
    if (length > 0) return length;
  }
  if (tcb.tlpPending) {
    const length = transmitTailProbe(tcb, out, offset, now);
    if (length > 0) return length;
  }
  if (tcb.probePending) {
    tcb.probePending = false;
    prepare(tcb, Flag.ACK, tcb.sndUna - 1, now);
    tcb.extension.ackOptions(tcb.env.out, now);
    addSack(tcb);
    return emit(tcb, out, offset, 0, 0, now);
  }
  return 0;
}

/** RFC 5681 §4.1, before anything is measured against the window: a super-segment could use all of it. */
function restartAfterIdle(tcb: Tcb, now: number): void {
  if (tcb.sndUna !== tcb.sndNxt || tcb.lastDataMs === -1 || tcb.sndWnd === 0) return;
  if (tcb.extension.unsentBytes() === 0) return;
  const idleMs = now - tcb.lastDataMs;
  if (idleMs <= tcb.rtt.rtoMs) return;
  tcb.congestion.onIdle(idleMs, tcb.env.config.slowStartAfterIdle ? tcb.rtt.rtoMs : Infinity);
  tcb.lastDataMs = now;
}

/** Bytes of new data that congestion window and peer's window admit now; 0 when none may be sent at all. */
export function sendSpace(tcb: Tcb): number {
  if (!maySend(tcb.state) && !isEarly(tcb)) return 0;
  if (tcb.finSsn >= 0 || tcb.synPending || isPaced(tcb)) return 0;
  const window = tcb.sndUna + tcb.sndWnd - tcb.sndNxt;
  const pipe = tcb.pipeBytes;
  // One segment may always be in flight, however small the window has become (RFC 5681 §3.1: never below one
  // SMSS).
  let congestion = Math.max(tcb.cwndBytes - pipe, pipe <= 0 ? tcb.payloadMss : 0);
  if (tcb.undo.frto === Frto.PROBING) {
    congestion = Math.min(congestion, tcb.recoveryPoint + 2 * tcb.payloadMss - tcb.sndNxt);
  }
  return Math.max(0, Math.min(window, congestion));
}

/**
 * How many of `available` bytes the next segment should carry. 0 = wait: Nagle, or silly window avoidance
 * (RFC 9293 §3.8.6.2.1, §3.7.4). `tail`: nothing follows behind `available` for now.
 */
export function segmentBytes(tcb: Tcb, available: number, tail: boolean, push: boolean): number {
  const space = sendSpace(tcb);
  const mss = tcb.payloadMss;
  let length = Math.min(available, space, largestSegment(tcb), pacedBytes(tcb));
  if (available > space) noteLimit(tcb);
  if (length === 0) return 0;
  if (length < available || !tail) {
    if (length >= mss) return length - (length % mss);
    if (length === available) return length; // Cut by a mapping or the connection's window.
    // Room for less than a segment: only worth it when nothing else will open the window.
    const windowLimited = tcb.sndUna + tcb.sndWnd - tcb.sndNxt <= length;
    const worth = tcb.windowOverride || length * 2 >= tcb.maxSndWnd;
    return tcb.sndUna === tcb.sndNxt && windowLimited && worth ? length : 0;
  }
  if (push || length % mss === 0) return length;
  // Corked, it waits even with nothing in flight, as Linux does: 200 ms at most (tcp/timers, PERSIST).
  const isHeld = (tcb.hold & (Hold.CORK | Hold.MORE)) !== 0;
  const held = isHeld ? !tcb.windowOverride && !tcb.releaseHeld : !tcb.noDelay && tcb.sent.count > 0;
  if (held) length -= length % mss;
  return length;
}

/**
 * Writes one segment of `length` new bytes, just assigned to sndNxt by the extension. `last`: nothing follows
 * for now, so it pushes unless more was announced (MSG_MORE), and the FIN may ride along.
 */
export function transmitData(
  tcb: Tcb,
  out: Uint8Array,
  offset: number,
  length: number,
  last: boolean,
  now: number,
): number {
  const ssn = tcb.sndNxt;
  let flags: number = Flag.ACK;
  const pushes = last && ((tcb.hold & Hold.UNPUSHED) === 0 || tcb.windowOverride);
  // Linux pushes each packet of several segments, too, so that the receiver hands it on as a whole.
  if (pushes || length > tcb.payloadMss) flags |= Flag.PSH;
  tcb.sent.append(ssn, length, now, pushes ? Sent.PUSH : 0);
  tcb.sndNxt += length;
  if (last && tcb.finQueued && maySend(tcb.state)) {
    flags |= Flag.FIN;
    takeFin(tcb, now);
  }
  prepare(tcb, flags, ssn, now);
  markOutgoing(tcb, true);
  tcb.extension.dataOptions(tcb.env.out, ssn, length, now);
  tcb.bytesSent += length;
  tcb.env.counters.TCPOrigDataSent++;
  if (tcb.recovery === Recovery.RECOVERY) tcb.prrSent += length;
  pace(tcb, length, now);
  return sentInFlight(tcb, emit(tcb, out, offset, ssn, length, now), now);
}

/** Writes a FIN of its own once all data has been sent. Returns the packet's length or 0. */
export function transmitFin(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  if (!tcb.finQueued || tcb.finSsn >= 0 || !maySend(tcb.state) || tcb.synPending) return 0;
  if (tcb.finAfterAck) {
    tcb.finAfterAck = false;
    if (tcb.ackPending) return transmitAck(tcb, out, offset, now);
  }
  const ssn = tcb.sndNxt;
  takeFin(tcb, now);
  prepare(tcb, Flag.ACK | Flag.FIN, ssn, now);
  tcb.extension.ackOptions(tcb.env.out, now);
  addSack(tcb);
  return again(tcb, sentInFlight(tcb, emit(tcb, out, offset, ssn, 0, now), now));
}

/**
 * Writes what goes when no data does: the acknowledgement that is due, if one is. Returns the packet's length
 * or 0.
 */
export function transmitAck(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  if (tcb.undo.frto === Frto.PROBING && tcb.sndNxt === tcb.recoveryPoint) {
    // RFC 5682 §3.1, step 2b: "not able to transmit any previously unsent data": repetitions after all.
    tcb.undo.frto = Frto.OFF;
    const length = retransmit(tcb, out, offset, now);
    if (length > 0) return length;
  }
  if (!tcb.ackPending || !(tcb.isSynchronized || tcb.challengeDue)) return 0;
  tcb.ackPending = tcb.challengeDue = false;
  prepare(tcb, Flag.ACK, tcb.sndNxt, now);
  // A challenge during the handshake is plain: what the extension would say comes with the SYN/ACK.
  if (tcb.isSynchronized) tcb.extension.ackOptions(tcb.env.out, now);
  addSack(tcb);
  return again(tcb, emit(tcb, out, offset, 0, 0, now));
}

function again(tcb: Tcb, written: number): number {
  if (tcb.ackAgain) tcb.ackPending = true;
  tcb.ackAgain = false;
  return written;
}

/** Starts the persist timer when data waits for a window and nothing in flight will open it. */
export function armPersist(tcb: Tcb, now: number): void {
  if (tcb.deadlines[Timer.PERSIST] !== Infinity || !waitsForWindow(tcb)) return;
  if (tcb.backoff === 0) tcb.progressMs = now;
  tcb.deadlines[Timer.PERSIST] = now + probeDelay(tcb);
}

function transmitReset(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  tcb.resetPending = false;
  tcb.env.counters.OutRsts++;
  prepare(tcb, Flag.RST | Flag.ACK, tcb.sndNxt, now);
  tcb.extension.resetOptions(tcb.env.out);
  return emit(tcb, out, offset, 0, 0, now);
}

function transmitSyn(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  tcb.synPending = false;
  const synAck = tcb.state === State.SYN_RECEIVED;
  prepare(tcb, (synAck ? Flag.SYN | Flag.ACK : Flag.SYN) | ecnSynFlags(tcb, synAck), 0, now);
  const segment = tcb.env.out;
  segment.mss = tcb.offeredMss;
  segment.window = synWindow(tcb);
  tcb.rcvEdge = Math.max(tcb.rcvEdge, tcb.rcvNxt + segment.window);
  const config = tcb.env.config;
  if (synAck ? tcb.windowScaling : true) segment.windowScale = tcb.rcvScale;
  segment.sackPermitted = synAck ? tcb.sack : config.sack;
  segment.hasTimestamps = synAck ? tcb.timestamps : config.timestamps;
  if (segment.hasTimestamps) {
    segment.tsVal = tcb.timestamp(now);
    segment.tsEcr = synAck ? tcb.tsRecent : 0;
  }
  tcb.extension.synOptions(segment, synAck, now);
  tcb.deadlines[Timer.RETRANSMIT] = synRetryAt(tcb, now);
  let early = 0;
  if (synAck) fillSynAck(tcb, segment);
  else early = fillSyn(tcb, segment, now);
  // With Fast Open the address has proved itself by its cookie, or nobody asks it to.
  const unproved = tcb.passive && !isEarly(tcb);
  if (unproved && overAmplified(tcb, headerLength(segment))) return 0;
  if (tcb.synTransmissions > 0) tcb.env.counters.TCPSynRetrans++;
  tcb.synTransmissions++;
  tcb.synSentMs = now;
  return emit(tcb, out, offset, 1, early, now);
}

/** As Linux: a whole number of segments, where the buffer holds one. */
function synWindow(tcb: Tcb): number {
  const mss = tcb.offeredMss - (tcb.timestamps ? 12 : 0);
  const bytes = tcb.extension.windowBytes();
  const whole = tcb.env.config.asLinux && bytes > mss ? bytes - (bytes % mss) : Infinity;
  return Math.min(whole, tcb.extension.offerWindow(0, 0));
}

/** An address that has not proved itself gets at most `amplificationLimit` times what it sent. */
function overAmplified(tcb: Tcb, length: number): boolean {
  if (tcb.packetBytesOut + length <= tcb.env.config.amplificationLimit * tcb.packetBytesIn) return false;
  tcb.env.counters.AmplificationLimited++;
  return true;
}

/** Sends the first lost bytes again when the window admits it (RFC 6675 §5, RFC 9937). */
function retransmit(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  const sent = tcb.sent;
  if (isPaced(tcb)) return 0;
  const i = sent.firstLost();
  const space = tcb.cwndBytes - tcb.pipeBytes;
  const mss = tcb.payloadMss;
  if (i < 0 || (space < Math.min(mss, sent.length(i)) && tcb.pipeBytes > 0)) return 0;
  const most = Math.max(mss, Math.min(space - (space % mss), largestSegment(tcb), pacedBytes(tcb)));
  return resend(tcb, i, most, out, offset, now);
}

/** Payload of the largest segment the link takes, in whole packets; one packet where it has no offload. */
function largestSegment(tcb: Tcb): number {
  const mss = tcb.payloadMss;
  const room = tcb.networkInterface.gsoMax - MAX_HEADERS;
  return Math.max(mss, room - (room % mss));
}

function resend(tcb: Tcb, i: number, most: number, out: Uint8Array, offset: number, now: number): number {
  const sent = tcb.sent;
  const ssn = sent.start(i);
  const fin = (sent.flags(i) & Sent.FIN) !== 0;
  let length = 0;
  if (!fin) {
    length = tcb.extension.contiguous(ssn, Math.min(sent.length(i), most));
    if (length < sent.length(i)) sent.splitAt(i, ssn + length);
  }
  sent.markResent(i, now);
  // A FIN rides on the data before it, as it did the first time: alone it could not be acknowledged.
  const rides = i + 1 < sent.count && (sent.flags(i + 1) & Sent.FIN) !== 0;
  if (rides) sent.markResent(i + 1, now);
  noteResent(tcb, length, now);
  pace(tcb, length, now);
  tcb.lastDataMs = now;
  tcb.env.counters.RetransSegs++;
  tcb.env.counters[tcb.recovery === Recovery.LOSS ? 'TCPSlowStartRetrans' : 'TCPFastRetrans']++;
  tcb.bytesRetransmitted += length;
  tcb.segmentsResent += Math.max(1, Math.ceil(length / tcb.payloadMss));
  if (tcb.recovery === Recovery.RECOVERY) tcb.prrSent += length;
  const pushes = (sent.flags(i) & Sent.PUSH) !== 0 || length > tcb.payloadMss;
  prepare(tcb, Flag.ACK | (fin || rides ? Flag.FIN : 0) | (pushes ? Flag.PSH : 0), ssn, now);
  if (length > 0) tcb.extension.dataOptions(tcb.env.out, ssn, length, now);
  else tcb.extension.ackOptions(tcb.env.out, now);
  const written = emit(tcb, out, offset, ssn, length, now);
  if (i === 0 || tcb.deadlines[Timer.RETRANSMIT] === Infinity) restartRetransmissionTimer(tcb, now);
  return written;
}

/** The oldest segment in flight once more, asked for by the extension; its retransmission has just left. */
export function transmitHeadAgain(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  return tcb.sent.count === 0 ? 0 : resend(tcb, 0, tcb.payloadMss, out, offset, now);
}

/** RFC 8985 §7.3: the last segment once more. */
function transmitTailProbe(tcb: Tcb, out: Uint8Array, offset: number, now: number): number {
  tcb.tlpPending = false;
  const sent = tcb.sent;
  // Without SACK only the head can tell the peer something new.
  let i = tcb.sack ? sent.count - 1 : Math.min(sent.count - 1, 0);
  while (tcb.sack && i >= 0 && (sent.flags(i) & (Sent.SACKED | Sent.LOST)) !== 0) i--;
  if (i === -1) return 0;
  if (i > 0 && (sent.flags(i) & Sent.FIN) !== 0 && (sent.flags(i - 1) & (Sent.SACKED | Sent.LOST)) === 0) i--;
  const mss = tcb.payloadMss;
  if (tcb.sack && sent.length(i) > mss) {
    sent.splitAt(i, sent.end(i) - mss);
    i++;
  }
  tcb.env.counters.TCPLossProbes++;
  tcb.tlpEndSsn = tcb.sndNxt;
  tcb.tlpIsRetransmission = true;
  const written = resend(tcb, i, mss, out, offset, now);
  restartRetransmissionTimer(tcb, now);
  return written;
}

function takeFin(tcb: Tcb, now: number): void {
  tcb.finSsn = tcb.sndNxt;
  tcb.sent.append(tcb.sndNxt, 1, now, Sent.FIN);
  tcb.sndNxt++;
  if (tcb.state === State.ESTABLISHED) tcb.moveTo(State.FIN_WAIT_1, 'our FIN was sent');
  else tcb.moveTo(State.LAST_ACK, 'our FIN was sent after the peer’s');
}

function sentInFlight(tcb: Tcb, written: number, now: number): number {
  tcb.lastDataMs = now;
  if (tcb.deadlines[Timer.RETRANSMIT] === Infinity) {
    tcb.progressMs = now;
    // Nothing was in flight: what is left of a back-off is that of window probes.
    tcb.backoff = 0;
    restartRetransmissionTimer(tcb, now);
  }
  tcb.deadlines[Timer.PERSIST] = Infinity;
  tcb.windowOverride = tcb.releaseHeld = false;
  noteUsage(tcb);
  scheduleLossProbe(tcb, now);
  return written;
}

/** Fills the outgoing segment with everything but the extension's options. */
function prepare(tcb: Tcb, flags: number, ssn: number, now: number): void {
  const segment = tcb.env.out;
  segment.reset();
  addressSegment(segment, tcb);
  segment.dscp = tcb.env.config.dscp;
  segment.ttl = tcb.env.config.hopLimit;
  segment.flags = flags;
  segment.seq = tcb.wireSeq(ssn);
  segment.ack = (flags & Flag.ACK) !== 0 ? (tcb.irs + tcb.rcvNxt) >>> 0 : 0;
  if ((flags & Flag.SYN) !== 0) return;
  markOutgoing(tcb, false);
  segment.window = tcb.extension.offerWindow(tcb.rcvScale, 2 * tcb.rcvMss);
  noteZeroWindow(tcb, segment.window);
  tcb.rcvEdge = Math.max(tcb.rcvEdge, tcb.rcvNxt + (segment.window << tcb.rcvScale));
  if (tcb.timestamps) {
    segment.hasTimestamps = true;
    segment.tsVal = tcb.timestamp(now);
    segment.tsEcr = tcb.tsRecent;
  }
}

/** The window offered has closed, or opened again. */
function noteZeroWindow(tcb: Tcb, window: number): void {
  const closed = window === 0;
  if (closed === tcb.offersNothing) return;
  tcb.offersNothing = closed;
  tcb.env.counters[closed ? 'TCPToZeroWindowAdv' : 'TCPFromZeroWindowAdv']++;
}

function emit(tcb: Tcb, out: Uint8Array, offset: number, ssn: number, length: number, now: number): number {
  const env = tcb.env;
  const segment = env.out;
  segment.payloadLength = length;
  const header = encodeHeaders(segment, out, offset);
  if (length > 0) {
    tcb.extension.copy(ssn, length, out, offset + header);
    // SACK never rides on data (no room beside a full DSS): what there is to report follows on a pure ACK.
    if (!hasReport(tcb)) tcb.ackPending = false;
  } else if ((segment.flags & Flag.ACK) !== 0) {
    tcb.ackPending = false;
  }
  if (!tcb.networkInterface.checksumOffload) writeChecksum(out, offset, header + length);
  env.counters.OutSegs++;
  env.shared.transmitInterface = tcb.networkInterface.id;
  // A SYN is never cut: before the answer `mss` is unknown, and its data was measured (tcp/fast-open).
  const whole = (segment.flags & Flag.SYN) !== 0 ? length : 0;
  env.shared.transmitSegmentSize = Math.max(whole, tcb.mss - optionsLength(segment));
  tcb.packetBytesOut += header + length;
  tcb.segmentsSent++;
  tcb.lastSentMs = now;
  if ((segment.flags & Flag.ACK) !== 0) {
    tcb.lastAckSent = tcb.rcvNxt;
    tcb.unackedBytes = 0;
    tcb.deadlines[Timer.DELAYED_ACK] = Infinity;
  }
  return header + length;
}

/**
 * Remembers that the window was what held data back, so that the controller may grow it. Whoever has data and
 * does not even ask, there being no space, says so himself.
 */
export function noteLimit(tcb: Tcb): void {
  if (isWindowUsed(tcb)) noteUsage(tcb);
}

/** After sending, or when that was not possible: how much of the congestion window is in use. */
function noteUsage(tcb: Tcb): void {
  const isLimited = isWindowUsed(tcb);
  const out = tcb.sndNxt - tcb.sndUna;
  const isNews = isLimited || tcb.sndUna >= tcb.usageEndSsn || (!tcb.cwndLimited && out > tcb.usageBytes);
  if (!isNews) return;
  tcb.cwndLimited = isLimited;
  tcb.usageBytes = out;
  tcb.usageEndSsn = tcb.sndNxt;
}

/** The congestion window has no room for another segment. */
function isWindowUsed(tcb: Tcb): boolean {
  return tcb.cwndBytes - tcb.pipeBytes < tcb.payloadMss;
}

/** IPv6 and TCP headers with all options. */
const MAX_HEADERS = 100;
