// Decides what one subflow of a multipath connection is: a TCP connection whose extension slot holds this
// object.
// It keeps what belongs to the subflow alone and hands every question to the file that decides it.
// Read: RFC 8684 §2.2, §3.2. Before: tcp/*. After: options-in, options-out, receive, send.

import type { CloseReason, Extension, Tcb } from '../tcp/index.ts';
import { isEarly, Ready } from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';
import { formatAddress } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { dataTaken } from './data-level.ts';
import { plainFinReceived } from './fallback.ts';
import { handshakeAdmits, joinCompleted, synOptions } from './handshake.ts';
import type { Key } from './keys.ts';
import type { SubflowInfo } from './observation.ts';
import { processOptions, processReset } from './options-in.ts';
import { ackOptions, dataOptions, resetOptions } from './options-out.ts';
import { askPlainly, type PlainWords } from './plain-words.ts';
import { placePayload } from './receive.ts';
import { ReceiveMap } from './receive-map.ts';
import type { Path } from './scheduler/scheduler.ts';
import { copyMapped, hasSendable } from './send.ts';
import { SendMap } from './send-map.ts';
import type { Staging } from './staging.ts';
import { initialEstablished, subflowClosed, subflowFinished, subflowTimedOut } from './subflow-life.ts';
import { acknowledging } from './unplaced.ts';

/** Life of a subflow, beside the TCP states. */
export const Stage = {
  /** TCP handshake under way. */
  CONNECTING: 0,
  /** MP_JOIN: our HMAC is sent and not acknowledged yet; no data may be sent (RFC 8684 §3.2). */
  PRE_ESTABLISHED: 1,
  ACTIVE: 2,
  /** Silent for longer than its round-trip time explains; its data went elsewhere. */
  SUSPECT: 3,
  /** FIN sent or wanted. */
  CLOSING: 4,
  CLOSED: 5,
} as const;
export type Stage = (typeof Stage)[keyof typeof Stage];

/** What is still to be said of a connection that began with data in the SYN. */
export const Owed = {
  NOTHING: 0,
  DATA_ACK: 1,
  /** The keys, and then a DATA_ACK. */
  KEYS: 2,
} as const;
export type Owed = (typeof Owed)[keyof typeof Owed];

const STAGE_NAMES = ['connecting', 'connecting', 'active', 'suspect', 'closing', 'closed'] as const;

/** Nonces and HMACs of an MP_JOIN handshake (RFC 8684 §3.2). */
export interface JoinState {
  readonly remoteKey: Key;
  localNonce: number;
  remoteNonce: number;
  /** HMAC this side sends; empty until the peer's nonce is known. */
  hmac: Uint8Array;
  /** When the third ACK is repeated; Infinity once it was answered. */
  thirdAckMs: number;
  thirdAcks: number;
}

/** Why the SYN of a first subflow carries no MP_CAPABLE: keys of the table in mptcp/fallback. */
export type PlainCause = 'syn-unanswered' | 'syn-refused' | 'network-remembered';

export interface SubflowOptions {
  connection: MultipathConnection;
  id: number;
  name: string;
  /** True for the subflow that began with MP_CAPABLE. */
  initial: boolean;
  localAddressId: number;
  remoteAddressId: number;
  backup: boolean;
  cost: number;
  join: JoinState | null;
  plainCause: PlainCause | null;
}

export class Subflow implements Extension, Path {
  readonly connection: MultipathConnection;
  readonly id: number;
  readonly name: string;
  readonly initial: boolean;
  readonly cost: number;
  readonly join: JoinState | null;
  plainCause: PlainCause | null;
  /** Set when the TCP block has been made. */
  tcb!: Tcb;
  localAddressId: number;
  remoteAddressId: number;
  stage: Stage = Stage.CONNECTING;
  localBackup: boolean;
  remoteBackup = false;
  readonly sendMap: SendMap = new SendMap();
  readonly receiveMap: ReceiveMap;
  /** Bytes that have no place in the stream yet: unmapped, or not yet verified. */
  staging: Staging | null = null;
  /** The peer was seen to put mappings / DATA_ACKs on this subflow. */
  mappingSeen = false;
  /** In-order payload since the newest mapping that none covers. */
  unmappedSegments = 0;
  unmappedBytes = 0;
  /** When payload that none covers was first acknowledged; when it is no longer waited with. */
  unplacedMs: number = Infinity;
  unmappedMs: number = Infinity;
  dataAckSeen = false;
  /** The newest DATA_ACK that has left on it; the handshake acknowledges the first byte's place. */
  ackedDsn = 1;
  /** A DATA_ACK of ours has left on it. */
  dataAckSent = false;
  /** Acknowledgements of data without any MPTCP option since the last DATA_ACK. */
  plainAcks = 0;
  /** Questions and answers without options (mptcp/plain-words); null until there is occasion. */
  plainWords: PlainWords | null = null;
  /** The peer has assigned bytes to this first subflow a second time. */
  peerRepeated = false;
  /** A mapping of the peer's lay nowhere near the stream: it goes on as multipath, whatever we make of it. */
  mappingRefused = false;
  /**
   * On the first subflow: dsn and ssn no longer run in parallel, for bytes were assigned to it a second time.
   */
  hasRepeated = false;
  /** On a joined one: its handshake got so far that the peer may count it, and send on it. */
  mayCarry = false;
  /** The last segment carried no MPTCP option at all; when one last did. */
  lastWithoutOptions = false;
  optionsMs: number = -Infinity;
  /** dsn − ssn of the newest mapping received: what a fallback goes on with. */
  receiveShift = 0;
  /** Bytes that left, and came, with the SYN: they are outside of mappings (RFC 8684 §B.2). */
  earlyOut = 0;
  earlyIn = 0;
  /** After data in the SYN: acknowledgements that are to leave, and when. */
  acksOwed: Owed = Owed.NOTHING;
  acksOwedMs: number = Infinity;
  /**
   * As Linux: data that a DATA_FIN came with is acknowledged before the DATA_FIN is taken note of, and our
   * own DATA_FIN (1: not due then, 2: due) stands beside it.
   */
  earlierAck: 0 | 1 | 2 = 0;
  /** The MP_TCPRST the peer sent, if it did. */
  peerReset: { transient: boolean; reason: number; text: string } | null = null;
  /** MP_TCPRST reason of our reset, -1 for none; and whether it is transient. */
  resetReason = -1;
  resetTransient = false;
  /** DSN to name in MP_FAIL on our reset, -1 for none. */
  failDsn = -1;
  /** An acknowledgement has left since the last data (mptcp/send). */
  isSeparated = true;
  /** MP_PRIO to send. */
  prioPending = false;
  /** When silence makes this path suspect; Infinity when nothing is expected. */
  suspectMs: number = Infinity;
  /** When the flight now outstanding began. */
  flightMs = 0;
  suspectSinceMs = 0;
  /** Another path has to be heard since then, before this one is taken away for its silence. */
  silentSinceMs = 0;
  /** While suspect: the next probe, and when the peer is told of the silence (Infinity: not). */
  probeMs: number = Infinity;
  tellMs: number = Infinity;
  tellsLeft = 0;
  /** After REMOVE_ADDR: when an unanswered keepalive ends it (RFC 8684 §3.4.2). */
  removeMs: number = Infinity;
  bytesReinjected = 0;

  constructor(options: SubflowOptions) {
    this.connection = options.connection;
    this.id = options.id;
    this.name = options.name;
    this.initial = options.initial;
    this.localAddressId = options.localAddressId;
    this.remoteAddressId = options.remoteAddressId;
    this.localBackup = options.backup;
    this.cost = options.cost;
    this.join = options.join;
    this.plainCause = options.plainCause;
    this.receiveMap = new ReceiveMap(options.connection.env.config.maxMappings);
  }

  /** Snapshot for people and programs. */
  info(): SubflowInfo {
    const tcb = this.tcb;
    const w = tcb.remoteWords;
    return {
      id: this.id,
      name: this.name,
      interfaceId: tcb.networkInterface.id,
      local: { address: tcb.networkInterface.address, port: tcb.localPort },
      remote: { address: formatAddress(w[0], w[1], w[2], w[3]), port: tcb.remotePort },
      state: STAGE_NAMES[this.stage],
      backup: this.backup,
      rttMs: tcb.rtt.srttMs,
      cwndBytes: tcb.congestion.cwndBytes,
      bytesSent: tcb.bytesSent,
      bytesReceived: tcb.bytesReceived,
      bytesReinjected: this.bytesReinjected,
    };
  }

  /** Handshake done and not ended: it counts as a subflow of the connection. */
  get isOpen(): boolean {
    return this.stage === Stage.ACTIVE || this.stage === Stage.SUSPECT;
  }

  /** The peer has the keys: after data in the SYN it is to have a DATA_ACK as well (options-out). */
  oweDataAck(): void {
    const { asLinux } = this.tcb.env.config;
    if (this.earlyOut > 0 && !this.dataAckSent && !asLinux) this.acksOwed = Owed.DATA_ACK;
  }

  /** The SYN/ACK came again: the peer has heard neither keys nor DATA_ACK. */
  oweKeys(): void {
    if (this.earlyOut > 0 && this.connection.keysDue) this.acksOwed = 2;
  }

  // Path

  get srttMs(): number {
    return this.tcb.rtt.srttMs;
  }

  get rttVarMs(): number {
    return this.tcb.rtt.rttVarMs;
  }

  get cwndBytes(): number {
    return this.tcb.cwndBytes;
  }

  get inFlightBytes(): number {
    return this.tcb.pipeBytes;
  }

  get freeBytes(): number {
    return this.connection.freeBytes(this);
  }

  get backup(): boolean {
    return this.localBackup || this.remoteBackup;
  }

  get usable(): boolean {
    return this.stage === Stage.ACTIVE || isEarly(this.tcb);
  }

  // Extension

  /** A DSS with a DSN of 64 bits, length, checksum, and a DATA_ACK as wide as the peer's numbers. */
  get dataOptionBytes(): number {
    return this.connection.peerUses64 ? 28 : 24;
  }

  synOptions(segment: Segment, synAck: boolean, _now: number): void {
    synOptions(this, segment, synAck);
  }

  dataOptions(segment: Segment, ssn: number, _length: number, now: number): void {
    if (this.staging !== null) acknowledging(this, now);
    if (this.plainWords?.speaking) segment.hasTimestamps = false;
    else dataOptions(this, segment, ssn);
  }

  ackOptions(segment: Segment, now: number): void {
    if (this.staging !== null) acknowledging(this, now);
    if (this.plainWords?.speaking) segment.hasTimestamps = false;
    else ackOptions(this, segment, now);
  }

  resetOptions(segment: Segment): void {
    resetOptions(this, segment);
  }

  admits(segment: Segment): boolean {
    return handshakeAdmits(this, segment);
  }

  received(segment: Segment, ssn: number, ack: number, now: number): boolean {
    return processOptions(this, segment, ssn, ack, now);
  }

  resetReceived(segment: Segment, now: number): void {
    processReset(this, segment, now);
  }

  established(now: number): void {
    if (this.initial) initialEstablished(this.connection, this, now);
    else joinCompleted(this, now);
  }

  windowBytes(): number {
    return this.connection.receiveBuffer.windowBytes;
  }

  offerWindow(scale: number, minStepBytes: number): number {
    return this.connection.receiveBuffer.offer(scale, minStepBytes);
  }

  payload(ssn: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    placePayload(this, ssn, bytes, offset, length, now);
  }

  /** RFC 8684 §3.3.3: a subflow FIN only ends the subflow; answer it when nothing is left to send here. */
  finReceived(now: number): void {
    if (plainFinReceived(this, now)) return;
    subflowFinished(this.connection, this, now);
  }

  timeWait(now: number): void {
    subflowClosed(this.connection, this, { code: null, text: 'closed in order' }, now);
  }

  acknowledged(ssn: number, now: number): void {
    this.sendMap.addTaken(ssn, this.connection.dataUna, this.connection.taken);
    this.sendMap.release(ssn);
    this.flightMs = now;
    dataTaken(this, now);
    this.connection.releaseSent();
    // The FIN carried a DATA_ACK of everything.
    const { finSsn } = this.tcb;
    if (finSsn !== -1 && ssn > finSsn) this.connection.leaveTimeWait();
  }

  unsentBytes(): number {
    return Number(hasSendable(this.connection) && this.usable);
  }

  windowBlocked(): boolean {
    return this.isOpen && this.connection.isWindowBlocked;
  }

  contiguous(ssn: number, length: number): number {
    const i = this.sendMap.find(ssn);
    return Math.min(length, this.sendMap.ssn(i) + this.sendMap.length(i) - ssn);
  }

  copy(ssn: number, length: number, out: Uint8Array, offset: number): void {
    copyMapped(this, ssn, length, out, offset);
  }

  earlyBytes(): number {
    // Asked of the first subflow alone. RFC 8684 §B.2: "TFO data is always only sent on the initial subflow".
    return this.connection.sendBuffer.end - 1;
  }

  earlyAcknowledged(length: number, _now: number): void {
    this.earlyOut = length;
    const { connection } = this;
    connection.firstDsn = connection.dataUna = connection.dataNxt = 1 + length;
    connection.localSequence.leaveOut(length);
  }

  earlyPayload(bytes: Uint8Array, offset: number, length: number, _now: number): void {
    const { connection } = this;
    this.earlyIn = length;
    connection.remoteSequence.leaveOut(length);
    connection.receiveBuffer.insert(1, bytes, offset, length);
    connection.openWindow(1, this.tcb.sndWnd);
    connection.owner.streamReady(Ready.CONNECTED | Ready.WRITABLE | (length > 0 ? Ready.READABLE : 0));
  }

  timedOut(now: number): void {
    askPlainly(this);
    subflowTimedOut(this.connection, this, now);
  }

  closed(reason: CloseReason, now: number): void {
    subflowClosed(this.connection, this, reason, now);
  }

  /** Resets the TCP connection with a reason and tells the connection. */
  reset(options: { reason: number; text: string; transient?: boolean; code?: string }, now: number): void {
    this.resetReason = options.reason;
    this.resetTransient = options.transient ?? false;
    this.tcb.abort();
    if (this.tcb.resetPending) this.connection.env.counters.MPRstTx++;
    subflowClosed(this.connection, this, { code: options.code ?? 'ECONNRESET', text: options.text }, now);
  }
}
