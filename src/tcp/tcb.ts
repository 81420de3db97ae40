// Decides what one TCP connection (one subflow) remembers: RFC 9293's transmission control block, and the few
// moves its owner may make (open, shut down, abort). Sequence numbers are kept unwrapped and relative: `ssn`
// is a JS number, SYN = 0, first byte = 1; 32-bit numbers exist only at the edge (unwrap below, tcp/output).
// Read first: RFC 9293 §3.3, §3.10. On the walk: tcp/input fills it, tcp/output empties it.

import { type CongestionController, createController } from '../congestion/index.ts';
import type { Segment } from '../wire/index.ts';
import type { Busy } from './busy.ts';
import type { TcpConfig } from './config.ts';
import { Ecn } from './ecn.ts';
import type { Environment, NetworkInterface } from './environment.ts';
import type { CloseReason, Extension } from './extension.ts';
import { type FastOpenClient, type FastOpenServer, fastOpenEnds } from './fast-open.ts';
import { RangeSet } from './range-set.ts';
import { RttEstimator } from './rtt.ts';
import { SackReport } from './sack-report.ts';
import { Sent, SentQueue } from './sent-queue.ts';
import { EDGES, isSynchronized, STATE_NAMES, State } from './state.ts';
import { TIMER_COUNT, Timer } from './timers.ts';
import { Undo } from './undo.ts';

/** Why a short segment is held back: TCP_CORK, MSG_MORE; and that the last write did not ask to push it. */
export const Hold = { CORK: 1, MORE: 2, UNPUSHED: 4 } as const;

/** The bits of Hold after a call that sets or clears one of them. */
export function holdAfter(hold: number, bit: number, on: boolean): number {
  const bits = bit === Hold.MORE ? Hold.MORE | Hold.UNPUSHED : bit;
  return on ? hold | bits : hold & ~bits;
}

export const Recovery = { OPEN: 0, RECOVERY: 1, LOSS: 2 } as const;

/** Where a connection runs: interface and ports here, address and port there. */
export interface TcbOptions {
  env: Environment;
  networkInterface: NetworkInterface;
  localPort: number;
  /** Remote address as four int32 words. */
  remoteWords: Int32Array;
  remotePort: number;
  iss: number;
  extension: Extension;
  /** The connection (host or mptcp object) that transmits and is told; opaque here. */
  owner: unknown;
}

export class Tcb {
  readonly env: Environment;
  readonly networkInterface: NetworkInterface;
  readonly localPort: number;
  readonly remoteWords: Int32Array;
  readonly remotePort: number;
  readonly iss: number;
  extension: Extension;
  owner: unknown;
  /** Next block in the same demultiplexing bucket (host/demux). */
  nextInBucket: Tcb | null = null;

  private current: State = State.CLOSED;
  passive = false;
  /** The application has let go: FIN-WAIT-2 is bounded. */
  orphaned = false;
  /** Why it closed; set once. */
  closeReason: CloseReason | null = null;
  /** What an ICMP error said that may pass (RFC 9293 §3.9.2.2); empty for nothing. */
  softError = '';

  // Send sequence space (RFC 9293 §3.3.1), relative.
  sndUna = 0;
  sndNxt = 0;
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  /** Largest window the peer ever offered (RFC 5961 §5.2). */
  maxSndWnd = 0;
  /** ssn of our FIN once it is queued behind all data; -1 before. */
  finQueued = false;
  finSsn = -1;
  readonly sent: SentQueue = new SentQueue();

  // Receive sequence space.
  irs = 0;
  rcvNxt = 0;
  /** Right edge offered so far. */
  rcvEdge = 0;
  /** ssn of the peer's FIN, -1 until seen. */
  rcvFinSsn = -1;
  readonly beyond: RangeSet = new RangeSet();
  readonly sackReport: SackReport = new SackReport();

  // Options in force.
  mss = 536;
  sndScale = 0;
  rcvScale = 0;
  windowScaling = false;
  timestamps = false;
  sack = false;
  tsOffset: number;
  tsRecent = 0;
  tsRecentAtMs = 0;
  /** ssn of the last acknowledgement sent (RFC 7323 Last.ACK.sent). */
  lastAckSent = 0;
  noDelay = false;
  /** TCP_NODELAY was set: what is held now goes out, whatever holds it. */
  releaseHeld = false;
  /** Bits of Hold: a last, short segment waits for more, or for 200 ms. */
  hold = 0;

  /** TCP Fast Open, where it was asked for (tcp/fast-open). */
  fastOpenClient: FastOpenClient | null = null;
  fastOpenServer: FastOpenServer | null = null;
  /** Data came with the peer's SYN and was taken, or left with ours and was. */
  synDataTaken = false;

  // Congestion and loss.
  congestion: CongestionController;
  readonly rtt: RttEstimator;
  recovery: 0 | 1 | 2 = Recovery.OPEN;
  recoveryPoint = 0;
  /** PRR (RFC 9937): bytes delivered and sent since recovery began, flight at its begin, window now. */
  prrDelivered = 0;
  prrSent = 0;
  prrFlight = 0;
  prrCwnd = 0;
  readonly undo: Undo = new Undo();
  readonly ecn: Ecn = new Ecn();
  /**
   * Whether the congestion window was what held data back in the current window of data, which ends at
   * `usageEndSsn`; and how many bytes were out in it at most (Linux: tcp_cwnd_validate).
   */
  cwndLimited = false;
  usageBytes = 0;
  usageEndSsn = 0;
  /** What has left by then is paid for (tcp/pacing). */
  paidUntilMs = 0;
  /** RACK (RFC 8985 §5.2). */
  rackSentMs = 0;
  rackEndSsn = 0;
  rackRttMs = 0;
  reorderSeen = false;
  reoWindowMultiplier = 1;
  reoWindowRound = 0;
  reoWindowPersist = 0;
  highestSacked = 0;
  /** As Linux counts it (TCP_INFO): how often reordering was seen, and the most segments it spanned. */
  reorderings = 0;
  reorderingSegments = 3;
  /** Lowest ssn that the acknowledgement being processed delivers late; Infinity for none. */
  lateSsn: number = Infinity;
  /** The same before the acknowledgement being processed. */
  highestSackedBefore = 0;
  /** Peers without SACK: duplicate acknowledgements in a row and the bytes they stand for. */
  dupAcks = 0;
  dupAckBytes = 0;
  /** Without SACK: when one repetition a round trip is no longer enough; Infinity before the first. */
  partialUntilMs: number = Infinity;
  /** Tail loss probe outstanding: ssn up to which it was sent, -1 none (RFC 8985 §7). */
  tlpEndSsn = -1;
  tlpIsRetransmission = false;
  /** Consecutive timeouts without progress. */
  backoff = 0;
  /** Upper bound of the timeout, lowered for a suspected path of several. */
  rtoCapMs: number;
  /** Full-size segments lost in timeouts in a row (path MTU black hole). */
  fullSizeTimeouts = 0;
  fullSizeAcked = false;

  // What the next transmission must carry.
  synPending = false;
  /** How often our SYN or SYN/ACK was sent. */
  synTransmissions = 0;
  /** When it was sent last. */
  synSentMs = -1;
  ackPending = false;
  /** The last window offered was 0. */
  offersNothing = false;
  resetPending = false;
  probePending = false;
  /** The rest of the window is to be used although it is small (RFC 9293 §3.8.6.2.1, override timeout). */
  windowOverride = false;
  tlpPending = false;
  quickAcks: number = QUICK_ACKS;
  unackedBytes = 0;
  rcvMss = 536;
  /** The round trip as the receiver of data sees it in ms, 0 if unknown; and its measurement (tcp/input). */
  rcvRttMs = 0;
  rcvRttMark = 0;
  rcvRttMarkMs = -1;

  // Times in ms.
  readonly deadlines: Float64Array = new Float64Array(TIMER_COUNT).fill(Infinity);
  lastReceivedMs = 0;
  /** When payload last came, -1 before; what comes with a SYN does not count. */
  lastPayloadMs = -1;
  establishedMs = -1;
  lastSentMs = -1;
  /** When data or a FIN was sent last (RFC 5681 §4.1). */
  lastDataMs = -1;
  /** When the oldest unanswered transmission began to wait; moves with every progress. */
  progressMs = 0;
  keepAliveMs = 0;
  keepAliveIntervalMs = 0;
  keepAliveProbes = 0;
  keepAliveSent = 0;
  /** A challenge ACK is due before the handshake is over (RFC 9293 §3.10.7.4). */
  challengeDue = false;
  /** The acknowledgement that is due leaves before the FIN. */
  finAfterAck = false;
  /** One more leaves behind the next acknowledgement or FIN. */
  ackAgain = false;
  challengeWindowMs: number = -Infinity;
  challengeCount = 0;
  /** Answers to refused segments without data in the current second. */
  refusalWindowMs: number = -Infinity;
  refusalCount = 0;
  timeWaitMs: number;

  // Totals.
  bytesSent = 0;
  bytesReceived = 0;
  bytesRetransmitted = 0;
  segmentsResent = 0;
  segmentsDelivered = 0;
  duplicateReports = 0;
  /** What it was busy with; null where the connection, not this block, has the data (Multipath TCP). */
  busy: Busy | null = null;
  segmentsSent = 0;
  segmentsReceived = 0;
  packetBytesIn = 0;
  packetBytesOut = 0;

  constructor(options: TcbOptions) {
    this.env = options.env;
    this.networkInterface = options.networkInterface;
    this.localPort = options.localPort;
    this.remoteWords = options.remoteWords;
    this.remotePort = options.remotePort;
    this.iss = options.iss;
    this.extension = options.extension;
    this.owner = options.owner;
    const config = options.env.config;
    this.tsOffset = options.env.random32();
    this.rtt = new RttEstimator(config);
    this.rtoCapMs = config.rtoMaxMs;
    this.timeWaitMs = config.timeWaitMs;
    this.rcvScale = windowScaleFor(config.receiveBufferBytes, config.windowUnits);
    const initialBytes = this.mss * config.initialWindowSegments;
    this.congestion = createController(config.congestion, this.mss, initialBytes, config.asLinux);
  }

  get state(): State {
    return this.current;
  }

  private set state(next: State) {
    const { counters } = this.env;
    if (isCounted(this.current)) counters.CurrEstab--;
    if (isCounted(next)) counters.CurrEstab++;
    this.current = next;
  }

  /** Changes state along an edge of the table; anything else is a programming error. */
  moveTo(next: State, why: string): void {
    if (!EDGES[this.state].includes(next)) {
      throw new Error(`TCP: no edge ${STATE_NAMES[this.state]} → ${STATE_NAMES[next]} (${why})`);
    }
    this.state = next;
  }

  /** Active open (RFC 9293 §3.10.1). */
  open(now: number): void {
    this.env.counters.ActiveOpens++;
    if (this.state === State.CLOSED) this.defer();
    this.synPending = true;
    this.progressMs = now;
  }

  /** An active open whose SYN waits: `open` sends it. */
  defer(): void {
    this.moveTo(State.SYN_SENT, 'active open');
    this.sndNxt = 1;
  }

  /** No more data from this side: a FIN follows what is queued. */
  shutdown(): void {
    this.finQueued = true;
  }

  /** The application has let go of the connection; FIN-WAIT-2 ends by itself (Linux: tcp_fin_timeout). */
  orphan(now: number): void {
    if (!this.orphaned) this.progressMs = Math.max(this.progressMs, now);
    this.orphaned = true;
    if (this.state === State.FIN_WAIT_2) this.deadlines[Timer.TIME_WAIT] = now + this.env.config.finWait2Ms;
  }

  /** Ends the connection at once; a RST is sent when the peer may still hold state (RFC 9293 §3.10.5). */
  abort(): void {
    if (this.state === State.CLOSED) return;
    fastOpenEnds(this, this.lastReceivedMs);
    const peerKnows = this.state !== State.SYN_SENT && this.state !== State.TIME_WAIT;
    this.state = State.CLOSED;
    this.stopTimers();
    this.resetPending = peerKnows;
    this.synPending = this.ackPending = this.probePending = this.tlpPending = false;
    this.sent.clear();
  }

  /** Nothing in flight is sent again; acknowledgements still are (MP_FASTCLOSE, RFC 8684 §3.5). */
  abandonFlight(): void {
    this.sent.clear();
    this.tlpPending = false;
    for (const timer of [Timer.RETRANSMIT, Timer.TLP, Timer.REORDER, Timer.PERSIST]) {
      this.deadlines[timer] = Infinity;
    }
  }

  /** Ends the connection without a packet and tells the owner. */
  close(reason: CloseReason, now: number): void {
    if (this.state === State.CLOSED) return;
    fastOpenEnds(this, now);
    this.state = State.CLOSED;
    if (reason.code === 'ETIMEDOUT' && this.softError !== '') {
      // RFC 9293 SHLD-25: what the network said meanwhile is made available.
      reason = { code: 'EHOSTUNREACH', text: `${reason.text}; ${this.softError}` };
    }
    this.closeReason = reason;
    this.stopTimers();
    this.synPending = this.ackPending = this.probePending = this.tlpPending = false;
    this.sent.clear();
    this.extension.closed(reason, now);
  }

  /** Bytes in the network as far as we know (RFC 6675 pipe); the SYN is none. */
  get pipeBytes(): number {
    const from = this.sndUna === 0 ? Math.min(1, this.sndNxt) : this.sndUna;
    return this.sndNxt - from - this.sent.sackedBytes - this.sent.lostBytes - this.dupAckBytes;
  }

  /** The congestion window in force (PRR while in recovery). */
  get cwndBytes(): number {
    return this.recovery === Recovery.RECOVERY ? this.prrCwnd : this.congestion.cwndBytes;
  }

  /** Round-trip time for who mostly receives, whose own samples are few. */
  get receiveRttMs(): number {
    return Math.max(this.rtt.srttMs, this.rcvRttMs);
  }

  /** Payload bytes that fit one wire packet with the options usually present. */
  get payloadMss(): number {
    return Math.max(64, this.mss - (this.timestamps ? 12 : 0) - this.extension.dataOptionBytes);
  }

  get isSynchronized(): boolean {
    return isSynchronized(this.state);
  }

  /** True when nothing of this block is needed any more: no state, nothing to send. */
  get isReleased(): boolean {
    return this.state === State.CLOSED && !this.resetPending;
  }

  /** The peer's timestamp clock view of `now` (RFC 7323 §4.1: 1 ms ticks). */
  timestamp(now: number): number {
    return (Math.floor(now) + this.tsOffset) >>> 0;
  }

  /** Our timestamp that a segment echoes, -1 for none: what was not agreed on is ignored (RFC 7323 §3.2). */
  echoOf(segment: Segment): number {
    return this.timestamps && segment.hasTimestamps ? segment.tsEcr : -1;
  }

  /** 32-bit wire number of a local ssn. */
  wireSeq(ssn: number): number {
    return (this.iss + ssn) >>> 0;
  }

  /** The peer's wire sequence number as an ssn near rcvNxt. */
  unwrapSeq(seq: number): number {
    return this.rcvNxt + ((seq - (this.irs + this.rcvNxt)) | 0);
  }

  /** An acknowledgement number as an ssn near sndUna. */
  unwrapAck(ack: number): number {
    return this.sndUna + ((ack - (this.iss + this.sndUna)) | 0);
  }

  /** The earliest deadline of this connection in ms; Infinity when there is none. */
  nextDeadline(): number {
    let earliest = Infinity;
    for (let i = 0; i < TIMER_COUNT; i++) earliest = Math.min(earliest, this.deadlines[i]);
    return earliest;
  }

  stopTimers(): void {
    this.deadlines.fill(Infinity);
  }

  /** Starts the 2·MSL wait (RFC 9293 §3.10.7.8). */
  enterTimeWait(now: number): void {
    this.moveTo(State.TIME_WAIT, 'both FINs acknowledged');
    this.env.counters.TW++;
    this.stopTimers();
    this.deadlines[Timer.TIME_WAIT] = now + this.timeWaitMs;
    this.extension.timeWait(now);
  }

  /** The MTU of the path is known to be at most this; segments shrink, never grow. */
  limitMtu(mtuBytes: number): void {
    const headers = this.networkInterface.family === 6 ? 60 : 40;
    const mss = mtuBytes - headers;
    if (mss >= this.mss) return;
    this.mss = mss;
    this.congestion.setMss(this.payloadMss);
    // RFC 1191 §6.4: what was too large is sent again at once, and its loss says nothing of congestion.
    const sent = this.sent;
    for (let i = 0; i < sent.count; i++) {
      const known = (sent.flags(i) & (Sent.SACKED | Sent.LOST)) !== 0;
      if (!known && sent.length(i) > this.payloadMss) sent.markLost(i);
    }
  }

  /** The MSS to offer: what the link admits, or less where that is wanted (RFC 6691, TCP_MAXSEG). */
  get offeredMss(): number {
    const mss = this.networkInterface.mtu - (this.networkInterface.family === 6 ? 60 : 40);
    const wanted = this.env.config.maxSegmentBytes;
    return wanted > 0 ? Math.min(mss, wanted) : mss;
  }

  /** Sets the segment size from both ends' limits (RFC 9293 §3.7.1, RFC 6691), and the path's. */
  applyMss(peerMss: number, now: number): void {
    const headers = this.networkInterface.family === 6 ? 60 : 40;
    const path = this.env.shared.pathMtus.get(this.remoteWords.join());
    const pathMss = path !== undefined && path.untilMs > now ? path.mtuBytes - headers : Infinity;
    const unsaid = this.networkInterface.family === 6 ? 1220 : 536;
    const peer = peerMss > 0 ? peerMss : unsaid;
    this.mss = Math.max(MIN_MSS, Math.min(this.offeredMss, pathMss, peer));
  }

  /** Another controller takes over the window as it is (TCP_CONGESTION). */
  changeController(name: TcpConfig['congestion']): void {
    const { cwndBytes, ssthreshBytes } = this.congestion;
    this.congestion = createController(name, this.payloadMss, cwndBytes, this.env.config.asLinux);
    this.congestion.cwndBytes = cwndBytes;
    this.congestion.ssthreshBytes = ssthreshBytes;
  }

  /**
   * `on`: acknowledgements, one that waits included, leave at once for a while; otherwise they wait
   * (TCP_QUICKACK).
   */
  setQuickAck(on: boolean): void {
    this.quickAcks = on ? QUICK_ACKS : 0;
    if (on && this.deadlines[Timer.DELAYED_ACK] !== Infinity) this.ackPending = true;
  }

  /** Switches keepalive on (idleMs > 0) or off. */
  setKeepAlive(options: { idleMs: number; intervalMs: number; probes: number }, now: number): void {
    this.keepAliveMs = options.idleMs;
    this.keepAliveIntervalMs = options.intervalMs;
    this.keepAliveProbes = options.probes;
    this.keepAliveSent = 0;
    this.deadlines[Timer.KEEPALIVE] =
      options.idleMs > 0 && this.isSynchronized && this.state !== State.TIME_WAIT
        ? Math.max(this.lastReceivedMs, now) + options.idleMs
        : Infinity;
  }
}

/** What Linux calls currently established (CurrEstab). */
function isCounted(state: State): boolean {
  return state === State.ESTABLISHED || state === State.CLOSE_WAIT;
}

/**
 * Window scale that lets the whole buffer be offered (RFC 7323 §2.3): the coarsest with so many units in it,
 * for a middlebox that shrinks the field then leaves the larger a window.
 */
export function windowScaleFor(bufferBytes: number, units: number): number {
  if (bufferBytes <= 65_535) return 0;
  return Math.max(0, Math.min(14, Math.floor(Math.log2(bufferBytes / Math.min(units, 32_768)))));
}

const MIN_MSS = 88;
/** Acknowledgements that leave at once when a connection is new (Linux: TCP_MAX_QUICKACKS). */
const QUICK_ACKS = 16;
