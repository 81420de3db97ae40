// Decides which MPTCP options leave with which segment, within 40 bytes: the first data of a connection
// carries its keys (RFC 8684 §3.1), a third ACK of a join its HMAC (§3.2), everything else a DSS with
// DATA_ACK (§3.3), and on pure ACKs one address or priority signal at a time (§3.3.8, §3.4).
// Before: tcp/output. After: wire.

import { State } from '../tcp/index.ts';
import { DssFlag, Mp, RstFlag, type Segment } from '../wire/index.ts';
import { mappingChecksum } from './checksum.ts';
import type { MultipathConnection } from './connection.ts';
import { dataFinSent } from './data-level.ts';
import { capableFlags } from './handshake.ts';
import { addSignal, maySignal } from './signals.ts';
import { Owed, Stage, type Subflow } from './subflow.ts';

/** Options of a segment whose payload begins at `ssn`: its mapping, always the same one. */
export function dataOptions(subflow: Subflow, segment: Segment, ssn: number): void {
  const connection = subflow.connection;
  const map = subflow.sendMap;
  const i = map.find(ssn);
  const fin = map.hasFin(i);
  segment.dataLength = map.length(i) + (fin ? 1 : 0);
  segment.checksum = map.checksum(i);
  if (
    connection.client &&
    subflow.initial &&
    !connection.confirmed &&
    map.dsn(i) === connection.firstDsn &&
    map.ssn(i) === connection.firstDsn &&
    !fin
  ) {
    // RFC 8684 §3.1: repeated with the first data until the peer is known to have the keys.
    capableKeys(subflow, segment, connection.checksum ? 24 : 22);
    return;
  }
  dataAck(subflow, segment);
  segment.dssFlags |= mappingFlags(connection) | (fin ? DssFlag.DATA_FIN : 0);
  segment.dsnHi = connection.localSequence.wireHi(map.dsn(i));
  segment.dsnLo = connection.localSequence.wireLo(map.dsn(i));
  segment.ssn = (map.ssn(i) - subflow.earlyOut) >>> 0;
}

/** Options of a segment without payload. */
export function ackOptions(subflow: Subflow, segment: Segment, now: number): void {
  const connection = subflow.connection;
  const fastclose = connection.fastclose;
  if (fastclose !== null && fastclose.subflow === subflow) {
    fastcloseKey(subflow, segment);
    return;
  }
  if (subflow.initial && connection.keysDue && subflow.acksOwed !== Owed.DATA_ACK) {
    capableKeys(subflow, segment, 20);
    connection.keysSent = true;
    keysRepeated(subflow, now);
    return;
  }
  const { join } = subflow;
  if (join !== null && subflow.stage === Stage.PRE_ESTABLISHED) {
    segment.mp = Mp.JOIN;
    segment.joinLength = 24;
    segment.joinHmac.set(join.hmac);
    return;
  }
  const { tcb } = subflow;
  // As Linux: both DATA_FINs and the FIN before it have been acknowledged.
  if (tcb.state === State.TIME_WAIT && connection.isDone) return;
  if (subflow.earlierAck > 0) {
    const withFin = subflow.earlierAck === 2;
    subflow.earlierAck = 0;
    dataAck(subflow, segment, connection.isPeerFinished ? 1 : 0);
    if (withFin) dataFin(connection, segment);
    return;
  }
  const isRepeat = subflow.ackedDsn === connection.dataAckDsn && tcb.lastAckSent === tcb.rcvNxt;
  dataAck(subflow, segment);
  // A repeated DATA_FIN leaves no room beside it: signals go first, the DATA_FIN with the next
  // acknowledgement.
  const signalling = maySignal(connection) && (connection.signals.pending || subflow.prioPending);
  const signalFirst = connection.dataFinWasSent && signalling;
  if (connection.dataFinDue && !signalFirst) {
    // RFC 8684 §3.3.3: without data, subflow sequence number 0, length 1, checksum over the pseudo-header
    // only.
    dataFin(connection, segment);
    dataFinSent(connection, now);
    return;
  }
  addSignal(subflow, segment, isRepeat, now);
}

/** A DATA_FIN without data. */
function dataFin(connection: MultipathConnection, segment: Segment): void {
  segment.dssFlags |= mappingFlags(connection) | DssFlag.DATA_FIN;
  segment.dsnHi = connection.localSequence.wireHi(connection.dataFinDsn);
  segment.dsnLo = connection.localSequence.wireLo(connection.dataFinDsn);
  segment.ssn = 0;
  segment.dataLength = 1;
  segment.checksum = -1;
  if (connection.checksum) {
    const header = { sequence: connection.localSequence, dsn: connection.dataFinDsn, ssn: 0 };
    segment.checksum = mappingChecksum({ ...header, length: 1, sum: 0 });
  }
}

function mappingFlags(connection: MultipathConnection): number {
  return connection.env.config.shortSequence ? DssFlag.MAP : DssFlag.MAP | DssFlag.DSN_64;
}

/** Options of our RST: why. */
export function resetOptions(subflow: Subflow, segment: Segment): void {
  if (subflow.connection.fastcloseOnReset) {
    fastcloseKey(subflow, segment);
    return;
  }
  if (subflow.failDsn !== -1) {
    segment.mp |= Mp.FAIL;
    segment.failDsnHi = subflow.connection.remoteSequence.wireHi(subflow.failDsn);
    segment.failDsnLo = subflow.connection.remoteSequence.wireLo(subflow.failDsn);
    subflow.connection.env.counters.MPFailTx++;
  }
  if (subflow.resetReason >= 0) {
    segment.mp |= Mp.TCPRST;
    segment.rstReason = subflow.resetReason;
    segment.rstFlags = subflow.resetTransient ? RstFlag.TRANSIENT : 0;
  }
}

/**
 * RFC 8684 §3.3.2: data received with a 64-bit DSN is acknowledged with 64 bits; before any data 32 do, as in
 * Linux.
 */
export function dataAck(subflow: Subflow, segment: Segment, lessBy = 0): void {
  const connection = subflow.connection;
  segment.mp |= Mp.DSS;
  segment.dssFlags = 0;
  // Before the third ACK the peer's key, and so its numbers, are unknown.
  if (connection.remoteKey === null) return;
  subflow.dataAckSent = true;
  subflow.acksOwed = Owed.NOTHING;
  segment.dssFlags = DssFlag.DATA_ACK;
  const dsn = connection.dataAckDsn - lessBy;
  subflow.ackedDsn = dsn;
  segment.dataAckLo = connection.remoteSequence.wireLo(dsn);
  if (connection.peerUses64) {
    segment.dssFlags |= DssFlag.DATA_ACK_64;
    segment.dataAckHi = connection.remoteSequence.wireHi(dsn);
  }
}

function capableKeys(subflow: Subflow, segment: Segment, length: number): void {
  const connection = subflow.connection;
  const { localKey, remoteKey } = connection;
  // unreachable: keys are repeated by a client that has got the server's
  if (remoteKey === null) return;
  segment.mp = Mp.CAPABLE;
  segment.capableVersion = 1;
  segment.capableFlags = capableFlags(connection);
  segment.capableLength = length;
  segment.senderKeyHi = localKey.hi;
  segment.senderKeyLo = localKey.lo;
  segment.receiverKeyHi = remoteKey.hi;
  segment.receiverKeyLo = remoteKey.lo;
}

/**
 * DEVIATION (Linux's server keeps what its application wrote before the third ACK of a connection with data
 * in the SYN until a DATA_ACK comes, for ever if none does): one follows the keys, when nothing else has for
 * a while; the keys go once more before it, for without them it would be the end of Multipath TCP.
 */
function keysRepeated(subflow: Subflow, now: number): void {
  if (subflow.acksOwed === Owed.KEYS) subflow.acksOwed = Owed.DATA_ACK;
  else if (subflow.earlyOut > 0 && !subflow.connection.env.config.asLinux)
    subflow.acksOwedMs = now + subflow.connection.env.config.delayedAckMs;
}

function fastcloseKey(subflow: Subflow, segment: Segment): void {
  const key = subflow.connection.remoteKey;
  // unreachable: without the peer's key a connection is aborted without it
  if (key === null) return;
  segment.mp |= Mp.FASTCLOSE;
  segment.fastcloseKeyHi = key.hi;
  segment.fastcloseKeyLo = key.lo;
  subflow.connection.env.counters.MPFastcloseTx++;
}
