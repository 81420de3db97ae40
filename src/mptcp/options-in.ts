// Decides what the MPTCP options of an arriving segment do. Called after the checks of RFC 5961 (RFC 8684 §3:
// "standard TCP validity checks MUST be undertaken before processing any MPTCP signals") and before
// acknowledgement and payload.
// Before: tcp/input. After: mptcp/receive (mappings), mptcp/send (DATA_ACK), mptcp/close, mptcp/signals,
// mptcp/fallback.

import { DssFlag, Flag, Mp, RstFlag, type Segment } from '../wire/index.ts';
import { mappingChecksum } from './checksum.ts';
import { fastcloseReceived } from './close.ts';
import type { MultipathConnection } from './connection.ts';
import { dataAcknowledged, dataFinReceived } from './data-level.ts';
import { dataAckMissing, failReceived, infiniteMappingReceived } from './fallback.ts';
import { preEstablishedAcknowledged, synAckReceived, thirdAckReceived } from './handshake.ts';
import { payloadAltered } from './network-memory.ts';
import { optionsHeard, plainWordsHeard, synAckRepeated } from './plain-words.ts';
import { placeStaged } from './receive.ts';
import { MapResult } from './receive-map.ts';
import { RESET_REASON_TEXT, ResetReason } from './reset-reason.ts';
import { addAddrReceived, prioReceived, removeAddrReceived } from './signals.ts';
import { Stage, type Subflow } from './subflow.ts';
import { answers, recovered } from './suspicion.ts';
import { mappingTaken } from './unplaced.ts';

/** Returns false when the subflow ended, or its extension changed, and the rest of the segment is void. */
export function processOptions(
  subflow: Subflow,
  segment: Segment,
  ssn: number,
  ack: number,
  now: number,
): boolean {
  if ((segment.flags & Flag.SYN) !== 0) {
    // A second SYN/ACK is a late copy: TCP acknowledges it, and its options, true or forged, change nothing.
    if (subflow.stage === Stage.CONNECTING) return synAckReceived(subflow, segment, now);
    // The answer carries the keys, whatever else was said after them before.
    subflow.connection.keysSent = false;
    subflow.oweKeys();
    synAckRepeated(subflow, now);
    return true;
  }
  if (subflow.stage === Stage.CONNECTING && !thirdAckReceived(subflow, segment, now)) return false;
  // The extension may have been swapped (fallback): what follows is TCP's alone.
  if (subflow.tcb.extension !== subflow) return true;
  const { join } = subflow;
  if (join !== null && subflow.stage === Stage.PRE_ESTABLISHED)
    preEstablishedAcknowledged(subflow, join, now);
  if (subflow.stage === Stage.SUSPECT && answers(subflow, segment, ack)) recovered(subflow, now);
  const mp = segment.mp;
  if (mp === 0 && !plainWordsHeard(subflow, segment, ssn, now)) return false;
  if (subflow.tcb.extension !== subflow) return true;
  subflow.lastWithoutOptions = mp === 0;
  if (mp !== 0) {
    subflow.optionsMs = now;
    if (subflow.plainWords !== null) optionsHeard(subflow.plainWords);
  }
  // RFC 8684 §3.2: the third ACK of a join "MUST trigger a regular TCP ACK in response", and so do its
  // repetitions.
  if ((mp & Mp.JOIN) !== 0) subflow.tcb.ackPending = true;
  // What is old is answered (tcp/input), not believed.
  const isOld = ssn + segment.payloadLength < subflow.tcb.rcvNxt;
  if ((mp & Mp.FASTCLOSE) !== 0 && !isOld && fastcloseReceived(subflow, segment)) return false;
  if ((mp & Mp.FAIL) !== 0) return failReceived(subflow, segment, now);
  if ((mp & Mp.CAPABLE) !== 0 && !capableMapping(subflow, segment, ssn, now)) return false;
  if ((mp & Mp.DSS) !== 0) {
    if (!dataSequenceSignal(subflow, segment, ssn, ack, now)) return false;
    if (subflow.tcb.extension !== subflow) return true;
  }
  if ((mp & (Mp.DSS | Mp.CAPABLE)) === 0 && !dataAckMissing(subflow, segment, ack, now)) return false;
  if (subflow.tcb.extension !== subflow) return true;
  if ((mp & Mp.PRIO) !== 0) prioReceived(subflow, segment);
  if ((mp & Mp.ADD_ADDR) !== 0) addAddrReceived(subflow, segment, now);
  if ((mp & Mp.REMOVE_ADDR) !== 0) removeAddrReceived(subflow, segment, now);
  return true;
}

/** A valid RST: its MPTCP options, before the TCP connection ends. */
export function processReset(subflow: Subflow, segment: Segment, now: number): void {
  const connection = subflow.connection;
  // A reset counts what its sender has sent. Before the first byte it takes the join back: a peer that has
  // fallen back meanwhile answers so, and goes on as TCP on the first subflow.
  const unopened = subflow.stage === Stage.CONNECTING || subflow.stage === Stage.PRE_ESTABLISHED;
  if (unopened && subflow.tcb.rcvNxt === 1) subflow.mayCarry = false;
  if ((segment.mp & Mp.TCPRST) !== 0) {
    connection.env.counters.MPRstRx++;
    subflow.peerReset = {
      transient: (segment.rstFlags & RstFlag.TRANSIENT) !== 0,
      reason: segment.rstReason,
      text: RESET_REASON_TEXT[segment.rstReason] ?? `reason ${segment.rstReason}`,
    };
  }
  if ((segment.mp & Mp.FASTCLOSE) !== 0) {
    fastcloseReceived(subflow, segment);
  } else if ((segment.mp & Mp.FAIL) !== 0) {
    connection.env.counters.MPFailRx++;
    payloadAltered(subflow, now);
  }
}

/** RFC 8684 §3.1: the data parameters of MP_CAPABLE are a mapping of the first data. */
function capableMapping(subflow: Subflow, segment: Segment, ssn: number, now: number): boolean {
  if (segment.capableLength < 22 || segment.payloadLength === 0 || !subflow.initial) return true;
  if (segment.checksum >= 0 !== subflow.connection.checksum) return checksumMismatch(subflow, now);
  arrived.ssn = arrived.dsn = 1 + subflow.earlyIn;
  arrived.length = segment.dataLength;
  arrived.checksum = segment.checksum;
  // Its DSN is all of 64 bits, though unsaid.
  subflow.connection.peerUses64 = true;
  return addMapping(subflow, arrived, segment, ssn, now);
}

function dataSequenceSignal(
  subflow: Subflow,
  segment: Segment,
  ssn: number,
  ack: number,
  now: number,
): boolean {
  const connection = subflow.connection;
  const flags = segment.dssFlags;
  let finIsLate = false;
  const comesWithFin = segment.payloadLength > 0 && (flags & DssFlag.DATA_FIN) !== 0;
  if (
    comesWithFin &&
    connection.env.config.asLinux &&
    subflow.tcb.quickAcks > 0 &&
    !connection.isPeerFinished
  ) {
    subflow.earlierAck = connection.dataFinDue ? 2 : 1;
    subflow.tcb.finAfterAck = subflow.tcb.ackAgain = true;
  }
  // A subflow counts as company when options come through on it, not when its handshake does.
  if (subflow.isOpen) connection.lonelyMs = Infinity;
  if ((flags & DssFlag.DATA_ACK) !== 0) {
    // RFC 8684 §3.7 asks for a DATA_ACK of data; one that only acknowledges the handshake proves nothing.
    if (ack > 1 + subflow.earlyOut) subflow.dataAckSeen = true;
    subflow.plainAcks = 0;
    if (ack > subflow.tcb.sndUna) subflow.plainWords = null;
    const wide = (flags & DssFlag.DATA_ACK_64) !== 0;
    const sequence = connection.localSequence;
    const dataAck = wide
      ? sequence.from64(segment.dataAckHi, segment.dataAckLo)
      : sequence.from32(segment.dataAckLo, connection.dataUna);
    finIsLate = isFinLate(connection, now);
    dataAcknowledged(connection, dataAck, segment.window << subflow.tcb.sndScale, now);
  }
  if ((flags & DssFlag.MAP) === 0) return true;
  const before = connection.isPeerFinished;
  const goesOn = mapping(subflow, segment, ssn, now);
  if (before || !connection.isPeerFinished) return goesOn;
  for (const { tcb } of connection.subflows) {
    tcb.finAfterAck ||= finIsLate;
    // As Linux, whose acknowledgement of the DATA_FIN follows even where the FIN has said it.
    tcb.ackAgain = !finIsLate && connection.isDone && connection.env.config.asLinux;
  }
  return goesOn;
}

/**
 * Our DATA_FIN was answered just now, or had to be sent again. As Linux: the DATA_ACK of the peer's then
 * leaves by itself, and the FIN behind it.
 */
function isFinLate(
  { dataFinDsn, dataUna, dataBackoff, dataProgressMs }: MultipathConnection,
  now: number,
): boolean {
  if (dataFinDsn === -1) return false;
  return dataUna > dataFinDsn ? now - dataProgressMs <= SOON_MS : dataBackoff > 0;
}

function mapping(subflow: Subflow, segment: Segment, ssn: number, now: number): boolean {
  const connection = subflow.connection;
  const flags = segment.dssFlags;
  if (segment.dataLength === 0) {
    // Linux takes an infinite mapping from data alone; ours says it on acknowledgements as well.
    if (connection.env.config.asLinux && segment.payloadLength === 0) return true;
    return infiniteMappingReceived(subflow, segment, now);
  }
  if (provesKeys(subflow)) connection.confirm(now);
  subflow.mappingSeen = true;
  // RFC 8684 §3.3: a checksum where none was negotiated, or none where one was: the receiver MUST close the
  // subflow.
  if (segment.checksum >= 0 !== connection.checksum) return checksumMismatch(subflow, now);
  const wide = (flags & DssFlag.DSN_64) !== 0;
  if (segment.payloadLength > 0) connection.peerUses64 = wide;
  const sequence = connection.remoteSequence;
  const dsn = wide
    ? sequence.from64(segment.dsnHi, segment.dsnLo)
    : sequence.from32(segment.dsnLo, connection.receiveBuffer.next);
  if (Number.isNaN(dsn)) {
    connection.env.counters.DSSNotMatching++;
    // A client whose keys did not arrive as it sent them falls back at the first acknowledgement (§3.7).
    subflow.mappingRefused = connection.client;
    return true;
  }
  const fin = (flags & DssFlag.DATA_FIN) !== 0 ? 1 : 0;
  if (fin === 1 && segment.dataLength === 1 && !validDataFin(connection, segment, dsn)) {
    connection.env.counters.DataCsumErr++;
    return true;
  }
  if (fin === 1) dataFinReceived(connection, dsn + segment.dataLength - 1, now);
  const length = segment.dataLength - fin;
  if (length === 0 || segment.payloadLength === 0) return true;
  const near = subflow.tcb.rcvNxt;
  const mapSsn = near + ((segment.ssn + subflow.earlyIn - near) | 0);
  arrived.ssn = mapSsn;
  arrived.dsn = dsn;
  arrived.length = length;
  arrived.checksum = segment.checksum;
  return addMapping(subflow, arrived, segment, ssn, now);
}

/**
 * Does a mapping show that the peer has our keys? That of a listener which sends early does not (RFC 8684
 * §B.3, Figure 19); its DATA_ACK does.
 */
function provesKeys({ connection, tcb }: Subflow): boolean {
  return !connection.client || tcb.fastOpenClient === null;
}

/** A DATA_FIN without data: with checksums, one over the pseudo-header alone (RFC 8684 §3.3.3). */
function validDataFin(connection: Subflow['connection'], segment: Segment, dsn: number): boolean {
  if (!connection.checksum) return true;
  const header = { sequence: connection.remoteSequence, dsn, ssn: segment.ssn, length: 1, sum: 0 };
  return mappingChecksum(header) === segment.checksum;
}

interface Mapping {
  ssn: number;
  dsn: number;
  length: number;
  checksum: number;
}

function addMapping(subflow: Subflow, map: Mapping, segment: Segment, ssn: number, now: number): boolean {
  const connection = subflow.connection;
  if (provesKeys(subflow)) connection.confirm(now);
  const end = map.ssn + map.length;
  if (end <= subflow.tcb.rcvNxt) return true;
  // RFC 8684 §3.3.1: it "MUST apply to some or all of the subflow sequence space in the TCP segment that
  // carries it".
  if (end <= ssn || map.ssn >= ssn + segment.payloadLength) {
    connection.env.counters.DSSNotMatching++;
    return true;
  }
  const result = subflow.receiveMap.add(map.ssn, map.dsn, map.length, map.checksum);
  if (result === MapResult.CONFLICT) {
    connection.env.counters.DSSNoMatchTCP++;
    subflow.reset(
      { reason: ResetReason.MIDDLEBOX, text: 'two mappings of the same bytes disagree', transient: true },
      now,
    );
    return false;
  }
  if (result === MapResult.FULL) {
    subflow.reset({ reason: ResetReason.RESOURCES, text: 'too many mappings', transient: true }, now);
    return false;
  }
  subflow.receiveShift = map.dsn - map.ssn;
  if (map.dsn !== map.ssn) subflow.peerRepeated = true;
  if (!subflow.initial) connection.hasSpread = true;
  if (result === MapResult.NEW) mappingTaken(subflow);
  return result !== MapResult.NEW || placeStaged(subflow, map.ssn, end, now);
}

function checksumMismatch(subflow: Subflow, now: number): boolean {
  subflow.reset(
    { reason: ResetReason.MPTCP, text: 'a mapping came with or without checksum against the negotiation' },
    now,
  );
  return false;
}

/** One object for every mapping that arrives: a segment costs no allocation. */
const arrived: Mapping = { ssn: 0, dsn: 0, length: 0, checksum: -1 };

/** A DATA_FIN that comes so soon after the answer to ours came with it. */
const SOON_MS = 40;
