// Decides when Multipath TCP gives way to plain TCP, or a subflow to a reset: RFC 8684 §3.7, all of it in
// this file.
// Falling back swaps the object in the TCP extension slot for a plain stream over the same buffers.
// Before: handshake, options-in, receive. After: tcp/plain-stream.

import { type CounterName, PlainStream, type PlainStreamOptions, transmitAck } from '../tcp/index.ts';
import { DssFlag, Mp, type Segment } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { payloadAltered } from './network-memory.ts';
import type { FallbackInfo } from './observation.ts';
import { dataAck } from './options-out.ts';
import { mayFollow, mayHaveConcluded } from './plain-words.ts';
import { raceWon } from './race.ts';
import { ResetReason } from './reset-reason.ts';
import { Stage, type Subflow } from './subflow.ts';
import { becomePlain, drop } from './subflow-life.ts';
import { EARLIEST_REPEAT_MS, hasUnplaceable, isSingle, mayContinue } from './unplaced.ts';

/** Of RFC 8684; what counts it, by Linux's names; what a person should know to do something about it. */
export interface FallbackCause {
  readonly section: string;
  readonly counter: CounterName;
  readonly advice: string;
}

/** Why a connection is plain TCP although MPTCP was asked for. */
export const FALLBACK_CAUSES: Readonly<Record<string, FallbackCause>> = {
  'syn-ack-without-option': {
    section: '3.1',
    counter: 'MPCapableFallbackSYNACK',
    advice:
      'The server or a middlebox on the way does not speak Multipath TCP: its answer carried no MP_CAPABLE.',
  },
  'syn-unanswered': {
    section: '3.1',
    counter: 'SynUnanswered',
    advice: 'The network loses SYNs with MP_CAPABLE, or the answers to them: a plain SYN was answered.',
  },
  'syn-refused': {
    section: '3.1',
    counter: 'SynRefused',
    advice: 'A middlebox answers SYNs with MP_CAPABLE with a reset: a plain SYN was accepted.',
  },
  'network-remembered': {
    section: '3.9.3',
    counter: 'NetworkRemembered',
    advice:
      'SYNs with MP_CAPABLE were lost or refused on this network not long ago (config.blackholeTimeoutMs).',
  },
  'ack-without-option': {
    section: '3.1',
    counter: 'MPCapableFallbackACK',
    advice: 'A middlebox on the way from the client removes MPTCP options after the SYN.',
  },
  'handshake-corrupt': {
    section: '3.1',
    counter: 'MPCapableFallbackACK',
    advice: 'A middlebox changed or mirrored the keys of the handshake.',
  },
  'data-without-mapping': {
    section: '3.7',
    counter: 'DssFallback',
    advice: 'A middlebox removes MPTCP options from data segments that arrive here.',
  },
  'options-dropped': {
    section: '6',
    counter: 'DssFallback',
    advice: 'A middlebox drops segments that carry MPTCP options after the handshake, and lets others pass.',
  },
  'ack-without-data-ack': {
    section: '3.7',
    counter: 'MPCapableDataFallback',
    advice: 'A middlebox removes MPTCP options from acknowledgements, or the peer has fallen back itself.',
  },
  checksum: {
    section: '3.7',
    counter: 'DSSCorruptionFallback',
    advice: 'A middlebox changes the payload: the DSS checksum of arriving data was wrong.',
  },
  'mp-fail': {
    section: '3.7',
    counter: 'MPFailRx',
    advice: 'A middlebox changes the payload: the peer found a wrong DSS checksum and said so with MP_FAIL.',
  },
  'infinite-mapping': {
    section: '3.7',
    counter: 'InfiniteMapRx',
    advice: 'The peer fell back and said so with an infinite mapping.',
  },
};

/**
 * In-order payload without a mapping that is still waited with: pieces of one segment whose last one has it.
 */
const UNMAPPED_SEGMENTS = 8;
const UNMAPPED_BYTES = 65_535;

/** So many acknowledgements of data in a row without options are no accident. */
const PLAIN_ACKS = 3;

/** Segments on which an infinite mapping or MP_FAIL is repeated at most. */
const ANNOUNCEMENTS = 10;

interface FallbackOptions extends FallbackInfo {
  /** Tell the peer with an infinite mapping (§3.7). */
  announce?: boolean;
  /** Tell the peer with MP_FAIL that data from this dsn on was damaged. */
  failDsn?: number;
}

/** A plain stream that still tells the peer why, for a few segments. */
class FallbackStream extends PlainStream {
  private readonly connection: MultipathConnection;
  private readonly subflow: Subflow;
  /** Times that the infinite mapping, and MP_FAIL, may still be sent. */
  private mappingsLeft: number;
  private failsLeft: number;
  private readonly failDsn: number;
  private readonly infiniteSsn: number;
  /** RFC 8684 §3.7: an MP_FAIL is owed, and must not be displaced by data. */
  private failOwed: boolean;
  /** Found the damage, and no infinite mapping has come yet. */
  private awaitsMapping: boolean;

  constructor(options: PlainStreamOptions & { subflow: Subflow; announce: boolean; failDsn: number }) {
    super(options);
    this.subflow = options.subflow;
    this.connection = options.subflow.connection;
    this.mappingsLeft = options.announce ? ANNOUNCEMENTS : 0;
    if (options.announce) this.dataOptionBytes = options.subflow.dataOptionBytes;
    this.failOwed = options.failDsn !== -1;
    // Repeated by the side that found the damage; the other answers once.
    this.failsLeft = this.failOwed ? (options.announce ? 1 : ANNOUNCEMENTS) : 0;
    this.awaitsMapping = this.failOwed && !options.announce && !this.connection.env.config.asLinux;
    this.failDsn = options.failDsn;
    this.infiniteSsn = options.subflow.tcb.sndUna;
  }

  override transmit(out: Uint8Array, offset: number, now: number): number {
    if (this.failOwed) {
      this.failOwed = false;
      this.tcb.ackPending = true;
      return transmitAck(this.tcb, out, offset, now);
    }
    return super.transmit(out, offset, now);
  }

  override dataOptions(segment: Segment): void {
    this.infiniteMapping(segment);
  }

  /**
   * DEVIATION (RFC 8684 §3.7: "Failed data MUST NOT be DATA_ACKed and so will be retransmitted on other
   * subflows"): there are no others, and the bytes are the stream's from now on. Linux sends its infinite
   * mapping with new data only, for which its buffer has no room before a DATA_ACK of the old.
   */
  private acceptDamaged(segment: Segment): void {
    if (this.awaitsMapping && this.failsLeft < ANNOUNCEMENTS) dataAck(this.subflow, segment);
  }

  private infiniteMapping(segment: Segment): void {
    if (this.mappingsLeft <= 0) return;
    if (--this.mappingsLeft === 0) {
      this.dataOptionBytes = 0;
      this.tcb.congestion.setMss(this.tcb.payloadMss);
    }
    const sequence = this.connection.localSequence;
    const dsn = this.infiniteSsn;
    dataAck(this.subflow, segment);
    // RFC 8684 §3.3.1: length 0 is the infinite mapping, its checksum is 0.
    segment.dssFlags |= DssFlag.MAP | DssFlag.DSN_64;
    segment.dsnHi = sequence.wireHi(dsn);
    segment.dsnLo = sequence.wireLo(dsn);
    segment.ssn = (this.infiniteSsn - this.subflow.earlyOut) >>> 0;
    segment.dataLength = 0;
    segment.checksum = this.connection.checksum ? 0 : -1;
    this.connection.env.counters.InfiniteMapTx++;
  }

  override ackOptions(segment: Segment, _now: number): void {
    this.acceptDamaged(segment);
    if (this.failsLeft <= 0) {
      // Also without data, for a side that only receives has no other way to say it.
      this.infiniteMapping(segment);
      return;
    }
    this.failsLeft--;
    segment.mp |= Mp.FAIL;
    segment.failDsnHi = this.connection.remoteSequence.wireHi(this.failDsn);
    segment.failDsnLo = this.connection.remoteSequence.wireLo(this.failDsn);
    this.connection.env.counters.MPFailTx++;
  }

  override received(segment: Segment, ssn: number, ack: number, now: number): boolean {
    if ((segment.mp & Mp.DSS) !== 0 && (segment.dssFlags & DssFlag.MAP) !== 0 && segment.dataLength === 0) {
      // The peer has understood.
      this.failsLeft = 0;
      this.awaitsMapping = false;
    }
    // The peer goes on signalling what does not arrive here: tell it once more.
    if (this.mappingsLeft > 0 && segment.payloadLength === 0) this.tcb.ackPending = true;
    return super.received(segment, ssn, ack, now);
  }
}

/** As `isSingle`, for what the peer vouches for: a join under way that never carried data does no harm. */
function isContiguous(subflow: Subflow): boolean {
  return subflow.initial && !subflow.connection.hasSpread && !subflow.hasRepeated;
}

/**
 * Signals are missing: RFC 8684 §3.7, told with an infinite mapping. Where segments with options vanish, that
 * would too, and the peer knows already.
 */
function signalsMissing(subflow: Subflow, cause: string, now: number): boolean {
  // DEVIATION (Linux says nothing: RFC 8684 §3.7 wants an infinite mapping, and its peer then knows).
  const announce = !subflow.connection.env.config.asLinux;
  if (!mayHaveConcluded(subflow)) return fallBack(subflow, { cause, seenBy: 'local', announce }, now);
  return fallBack(subflow, { cause: 'options-dropped', seenBy: 'peer' }, now);
}

/** Continues as plain TCP on this subflow. True: the TCP connection lives on. */
export function fallBack(subflow: Subflow, options: FallbackOptions, now: number): boolean {
  const connection = subflow.connection;
  const tcb = subflow.tcb;
  if (connection.isDone) {
    // Nobody is left to continue for: MP_FASTCLOSE was under way, and plain TCP says it with a RST.
    tcb.abort();
    drop(connection, subflow);
    return false;
  }
  if (subflow.stage === Stage.CLOSING && connection.dataFinDsn === -1) {
    // Its FIN has ended this subflow, not the stream: as TCP the two are one.
    tcb.abort();
    drop(connection, subflow);
    connection.finish({ code: 'ENETDOWN', text: 'the only path of a plain TCP connection was taken away' });
    return false;
  }
  // As Linux counts: Multipath TCP had worked.
  const hadWorked = options.cause === 'ack-without-data-ack' && connection.confirmed;
  connection.env.counters[hadWorked ? 'DssFallback' : FALLBACK_CAUSES[options.cause].counter]++;
  raceWon(connection, subflow, now);
  const plain = new FallbackStream({
    owner: connection.owner,
    sendBuffer: connection.sendBuffer,
    receiveBuffer: connection.receiveBuffer,
    // All was sent here once, so the numbers of both spaces are the same.
    sendShift: 0,
    receiveShift: subflow.receiveShift,
    subflow,
    announce: options.announce ?? false,
    failDsn: options.failDsn ?? -1,
  });
  plain.tcb = tcb;
  plain.adopt({ peerFinished: connection.isPeerFinished, released: connection.isAbandoned });
  tcb.extension = plain;
  tcb.congestion.setMss(tcb.payloadMss);
  insertStaged(subflow);
  // The DATA_FIN is known, and what was missing before it was staged.
  if (connection.receiveBuffer.next === connection.rcvDataFin && !plain.isPeerFinished)
    plain.finReceived(now);
  if (connection.dataFinDsn !== -1) tcb.shutdown();
  if (connection.isAbandoned) tcb.orphan(now);
  if (options.announce) tcb.ackPending = true;
  becomePlain(connection, plain, subflow, { cause: options.cause, seenBy: options.seenBy }, now);
  // RFC 8684 §3.7: from here on "only use subflow ACKs to clear its send buffer".
  plain.acknowledged(tcb.sndUna, now);
  return true;
}

/** What waited for a mapping is the stream itself from now on. */
function insertStaged(subflow: Subflow): void {
  const staging = subflow.staging;
  if (staging === null) return;
  for (let i = 0; i < staging.ranges.count; i++) {
    const start = staging.ranges.start(i);
    const length = staging.ranges.end(i) - start;
    const bytes = new Uint8Array(length);
    staging.copy(start, length, bytes, 0);
    subflow.connection.receiveBuffer.insert(start + subflow.receiveShift, bytes, 0, length);
  }
  subflow.staging = null;
  if (subflow.connection.receiveBuffer.readableBytes > 0) subflow.connection.signalReadable();
}

/** Payload without a mapping. False: no more is to be done with it here. */
export function mappingMissing(subflow: Subflow, ssn: number, length: number, now: number): boolean {
  if (ssn > subflow.tcb.rcvNxt) return true;
  if (subflow.mappingSeen) {
    // A box that splits segments may leave the mapping to the last piece; more than one segment's worth is no
    // such box.
    subflow.unmappedBytes += length;
    subflow.unmappedSegments++;
    if (subflow.unmappedSegments <= UNMAPPED_SEGMENTS && subflow.unmappedBytes <= UNMAPPED_BYTES) return true;
  }
  if (mayContinue(subflow, now)) {
    // RFC 8684 §3.7: at the start the sender has to learn it from "an ACK […] without a DSS option". One that
    // has seen a DATA_ACK does not: it is told.
    if (subflow.dataAckSent) signalsMissing(subflow, 'data-without-mapping', now);
    else fallBack(subflow, { cause: 'data-without-mapping', seenBy: 'local' }, now);
  } else if (isJoinHalfOpen(subflow)) {
    subflow.unplacedMs = Math.min(subflow.unplacedMs, now);
    return true;
  } else {
    // RFC 8684 §3.7: "the subflow SHOULD be treated as broken and closed with a RST", which acknowledges what
    // came in Linux.
    if (subflow.connection.env.config.asLinux) subflow.tcb.rcvNxt = ssn + length;
    subflow.reset(
      { reason: ResetReason.MIDDLEBOX, text: 'data arrived without a mapping', transient: true },
      now,
    );
  }
  return false;
}

/** The mapping of in-order payload has not come. False: the connection fell back. */
export function unmappedTimeout(subflow: Subflow, now: number): boolean {
  subflow.unmappedMs = Infinity;
  if (!mayContinue(subflow, now)) return true;
  signalsMissing(subflow, 'data-without-mapping', now);
  return false;
}

/**
 * Data, or its end, waits for a DATA_ACK although TCP has acknowledged everything, and what was heard last
 * carried no option. True: the connection fell back, or its only subflow was reset, and nothing is sent a
 * second time: a peer that has fallen back would take it for new.
 */
export function signalsVanished(connection: MultipathConnection, now: number): boolean {
  const subflow = onlyOpen(connection);
  if (subflow === null || !subflow.lastWithoutOptions || !connection.confirmed) return false;
  if (subflow.tcb.sndUna !== subflow.tcb.sndNxt) return false;
  if (mayContinue(subflow, now)) {
    signalsMissing(subflow, 'ack-without-data-ack', now);
    return true;
  }
  if (!subflow.initial || now - subflow.optionsMs < EARLIEST_REPEAT_MS) return false;
  const text = 'options vanished from the only subflow';
  subflow.reset({ reason: ResetReason.MIDDLEBOX, text, transient: true }, now);
  return true;
}

/**
 * What was heard last on the only subflow there ever was carried no option: a peer that has fallen back would
 * take bytes sent a second time for new. With more in flight, `signalsVanished` decides later.
 */
export function mayBeHeardAsTcp(connection: MultipathConnection): boolean {
  const subflow = onlyOpen(connection);
  if (subflow === null) return false;
  return subflow.initial && subflow.lastWithoutOptions && !connection.everMultiple;
}

function onlyOpen({ subflows }: MultipathConnection): Subflow | null {
  let only: Subflow | null = null;
  for (const one of subflows) {
    if (!one.isOpen) continue;
    if (only !== null) return null;
    only = one;
  }
  return only;
}

/**
 * A FIN without any MPTCP option on the only subflow, and no DATA_FIN: the peer has fallen back and ends the
 * stream as TCP does. True when it was taken so.
 */
export function plainFinReceived(subflow: Subflow, now: number): boolean {
  const connection = subflow.connection;
  if (!subflow.lastWithoutOptions || !mayContinue(subflow, now)) return false;
  if (connection.isDone || connection.rcvDataFin !== -1) return false;
  fallBack(subflow, { cause: 'data-without-mapping', seenBy: 'local' }, now);
  subflow.tcb.extension.finReceived(now);
  return true;
}

/**
 * Would a FIN of ours that has lost its options pass for the end of the stream (`plainFinReceived`, or a
 * third ACK without MP_CAPABLE)? On the only subflow there ever was, before all has been sent and ended.
 * DEVIATION (RFC 8684 §3.4.2: closed with a FIN): such a one is reset, for a stream that was cut must not
 * look whole. What was under way on it goes on over the next one, as after any reset.
 */
export function passesForEnd({ wasJoined, dataFinDsn, dataNxt }: MultipathConnection): boolean {
  return !wasJoined && (dataFinDsn === -1 || dataNxt < dataFinDsn);
}

/** A segment without any DSS: does it acknowledge data? False: the subflow ended. */
export function dataAckMissing(subflow: Subflow, segment: Segment, ack: number, now: number): boolean {
  const acknowledgesData = ack > 1 && ack > subflow.tcb.sndUna && ack <= subflow.tcb.sndNxt;
  if (!acknowledgesData || segment.mp !== 0 || subflow.stage === Stage.CLOSING) return true;
  const continues = mayContinue(subflow, now);
  const enough = mayFollow(subflow) ? 1 : PLAIN_ACKS;
  if (subflow.dataAckSeen && (++subflow.plainAcks < enough || !continues)) return true;
  if (continues) {
    // RFC 8684 §3.7: "The sender will send one final Data Sequence Mapping, with the Data-Level Length value
    // of 0".
    return signalsMissing(subflow, 'ack-without-data-ack', now);
  }
  if (isJoinHalfOpen(subflow)) return true;
  const text = 'data was acknowledged without DATA_ACK';
  subflow.reset({ reason: ResetReason.MIDDLEBOX, text, transient: true }, now);
  return false;
}

/** It will be confirmed, or taken back by a peer that has fallen back. */
function isJoinHalfOpen({ initial, connection }: Subflow): boolean {
  return initial && !connection.everMultiple && connection.subflows.some(s => s.mayCarry);
}

/** A complete mapping failed its checksum. False always: the subflow ended, or fell back. */
export function checksumFailed(subflow: Subflow, dsn: number, now: number): boolean {
  const counters = subflow.connection.env.counters;
  counters.DataCsumErr++;
  payloadAltered(subflow, now);
  if (isSingle(subflow)) {
    fallBack(subflow, { cause: 'checksum', seenBy: 'local', failDsn: dsn }, now);
    return false;
  }
  counters.DSSCorruptionReset++;
  subflow.failDsn = dsn;
  const text = 'a DSS checksum was wrong';
  subflow.reset({ reason: ResetReason.MIDDLEBOX, text, transient: true }, now);
  return false;
}

/** MP_FAIL on an ACK. False: the subflow ended. */
export function failReceived(subflow: Subflow, _segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  payloadAltered(subflow, now);
  if (isContiguous(subflow) && !hasUnplaceable(subflow)) {
    // RFC 8684 §3.7: "the receiver of an MP_FAIL MUST also respond with an MP_FAIL in the reverse direction"
    const failDsn = connection.receiveBuffer.next;
    return fallBack(subflow, { cause: 'mp-fail', seenBy: 'peer', announce: true, failDsn }, now);
  }
  connection.env.counters.MPFailRx++;
  const text = 'the peer found damaged data';
  subflow.reset({ reason: ResetReason.MIDDLEBOX, text, transient: true }, now);
  return false;
}

/** A mapping of length 0. False: the subflow ended. */
export function infiniteMappingReceived(subflow: Subflow, segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  if (!isContiguous(subflow)) {
    connection.env.counters.InfiniteMapRx++;
    subflow.reset({ reason: ResetReason.MPTCP, text: 'an infinite mapping with several subflows' }, now);
    return false;
  }
  const sequence = connection.remoteSequence;
  const wide = (segment.dssFlags & DssFlag.DSN_64) !== 0;
  const dsn = wide
    ? sequence.from64(segment.dsnHi, segment.dsnLo)
    : sequence.from32(segment.dsnLo, connection.receiveBuffer.next);
  const near = subflow.tcb.rcvNxt;
  const ssn = near + ((segment.ssn + subflow.earlyIn - near) | 0);
  if (!Number.isNaN(dsn)) subflow.receiveShift = dsn - ssn;
  return fallBack(subflow, { cause: 'infinite-mapping', seenBy: 'peer' }, now);
}
