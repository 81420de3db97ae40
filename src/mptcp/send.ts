// Decides what a multipath connection sends next, and on which subflow: control first, then reinjections,
// then new data where the one scheduler says, then acknowledgements. Data is assigned to a subflow only when
// it leaves (pull).
// Read: RFC 8684 §3.3.1, §3.3.5, §3.3.6. Before on the walk: host/connection.write. After: tcp/output.

import {
  armPersist,
  noteLimit,
  State,
  segmentBytes,
  transmitAck,
  transmitControl,
  transmitData,
  transmitFin,
} from '../tcp/index.ts';
import { copyBytes } from '../wire/copy.ts';
import { mappingChecksum, pseudoHeader } from './checksum.ts';
import type { MultipathConnection } from './connection.ts';
import { dataFinSent, prepareAcks, roomFreed, startDataTimer } from './data-level.ts';
import { transmitAnswer, transmitQuestion } from './plain-words.ts';
import type { Subflow } from './subflow.ts';
import { hasAlternative, watch } from './suspicion.ts';

/** A mapping's length field has 16 bits, and a DATA_FIN needs one number of it. */
const MAX_MAPPING = 65_534;

/** A segment is held so long at most for one that it could be joined with. */
const JOIN_MS = 10;

/** Writes one packet of the connection, whichever subflow it belongs to; 0 when none may be sent now. */
export function transmitConnection(
  connection: MultipathConnection,
  out: Uint8Array,
  offset: number,
  now: number,
): number {
  const { subflows, lingering } = connection;
  for (let i = 0; i < lingering.length; i++) {
    const written = transmitLingering(lingering[i], out, offset, now);
    if (written > 0) return written;
  }
  for (let i = 0; i < subflows.length; i++) {
    if (setsOut(subflows[i])) continue;
    const written = transmitControl(subflows[i].tcb, out, offset, now);
    if (written > 0) return written;
  }
  for (let i = 0; i < subflows.length; i++) {
    const written = transmitQuestion(subflows[i], out, offset, now);
    if (written > 0) return written;
  }
  const data = transmitPulled(connection, out, offset, now);
  if (data > 0) return data;
  prepareAcks(connection, now);
  for (let i = 0; i < subflows.length; i++) {
    const tcb = subflows[i].tcb;
    let written = transmitFin(tcb, out, offset, now);
    if (written === 0) written = transmitAck(tcb, out, offset, now);
    if (written === 0) written = transmitAnswer(subflows[i], out, offset, now);
    if (written > 0) return written;
  }
  // Last, so that the echo of an address is on its way before the SYN that it asked for.
  for (let i = 0; i < subflows.length; i++) {
    const written = setsOut(subflows[i]) ? transmitControl(subflows[i].tcb, out, offset, now) : 0;
    if (written > 0) return written;
  }
  for (let i = 0; i < subflows.length; i++) {
    armPersist(subflows[i].tcb, now);
    watch(subflows[i], now);
  }
  keepForSlow(connection);
  return 0;
}

/** A subflow beside others that is about to send its SYN. */
function setsOut({ tcb, initial }: Subflow): boolean {
  return !initial && tcb.state === State.SYN_SENT;
}

function transmitLingering(subflow: Subflow, out: Uint8Array, offset: number, now: number): number {
  let written = transmitControl(subflow.tcb, out, offset, now);
  if (written === 0) written = transmitAck(subflow.tcb, out, offset, now);
  if (written === 0) written = transmitAnswer(subflow, out, offset, now);
  return written;
}

/** True when the connection has bytes that its window admits. */
export function hasSendable(connection: MultipathConnection): boolean {
  if (connection.reinjection.count > 0) return true;
  return connection.sendBuffer.end > connection.dataNxt && connection.dataNxt < connection.sndRight;
}

/** Asks the scheduler for a path as long as there is something to send and a path that takes it. */
function transmitPulled(
  connection: MultipathConnection,
  out: Uint8Array,
  offset: number,
  now: number,
): number {
  if (!hasSendable(connection) || !connection.maySend) return 0;
  connection.declined = 0;
  noteFullWindows(connection.subflows);
  for (let tries = connection.subflows.length; tries > 0; tries--) {
    const path = connection.scheduler.pick(connection.subflows) as Subflow | null;
    if (path === null) return 0;
    let written = reinject(connection, path, out, offset, now);
    if (written === 0) written = sendNew(connection, path, out, offset, now);
    if (written > 0) return written;
    // Nagle or its window holds it back: ask again without it.
    connection.declined |= 1 << (path.id & 31);
  }
  return 0;
}

/** A window that is full to the byte is not even picked: it may grow all the same. */
function noteFullWindows(subflows: readonly Subflow[]): void {
  for (let i = 0; i < subflows.length; i++) if (subflows[i].usable) noteLimit(subflows[i].tcb);
}

/** Sends bytes again that another subflow has in flight or lost (RFC 8684 §3.3.6). */
function reinject(
  connection: MultipathConnection,
  subflow: Subflow,
  out: Uint8Array,
  offset: number,
  now: number,
): number {
  const ranges = connection.reinjection;
  for (let i = 0; i < ranges.count; i++) {
    const start = ranges.start(i);
    let end = Math.min(ranges.end(i), start + MAX_MAPPING);
    if (subflow.sendMap.overlaps(start, Math.min(end, start + 1))) continue;
    // What went this way and was not confirmed goes another way: this one may lose the mappings.
    if (start === connection.dataUna && connection.repeatedOn === subflow.id && hasAlternative(subflow))
      return 0;
    end = Math.min(end, subflow.sendMap.nextOverlap(start, end));
    const length = segmentBytes(subflow.tcb, end - start, true, true);
    if (length === 0) return 0;
    const separation = separate(subflow, out, offset, now);
    if (separation > 0) return separation;
    ranges.remove(start, start + length);
    if (start === connection.dataUna) connection.repeatedOn = subflow.id;
    subflow.bytesReinjected += length;
    connection.env.counters.MPTCPRetrans++;
    const last = start + length === connection.sendBuffer.end;
    return sendMapped(connection, subflow, start, length, last, out, offset, now);
  }
  return 0;
}

/** Sends bytes for the first time. */
function sendNew(
  connection: MultipathConnection,
  subflow: Subflow,
  out: Uint8Array,
  offset: number,
  now: number,
): number {
  const end = connection.sendBuffer.end;
  const admitted = Math.min(end, connection.sndRight, connection.dataNxt + MAX_MAPPING);
  const available = Math.max(0, admitted - connection.dataNxt);
  const length = segmentBytes(subflow.tcb, available, admitted === end, connection.dataFinDsn !== -1);
  if (length === 0) return 0;
  const separation = separate(subflow, out, offset, now);
  if (separation > 0) return separation;
  const dsn = connection.dataNxt;
  connection.dataNxt += length;
  connection.expectation.asked(now);
  // Pushed, too, where the peer's window ends: it is to read.
  const last = connection.dataNxt === Math.min(end, connection.sndRight);
  return sendMapped(connection, subflow, dsn, length, last, out, offset, now);
}

/**
 * A new mapping is about to follow at the heels of another: an acknowledgement goes between them, for a box
 * that joins segments and keeps the options of the first. Linux takes all of a joined segment for the first
 * mapping's, in the wrong place or out of step, and no checksum tells. Where nobody asked for checksums, and
 * no mapping was lost yet, it is not worth the packets.
 */
function separate(subflow: Subflow, out: Uint8Array, offset: number, now: number): number {
  const { connection, tcb } = subflow;
  if (connection.env.config.asLinux) return 0;
  if (!connection.checksum && connection.unplacedDsn === Infinity) return 0;
  if (subflow.isSeparated || now - tcb.lastDataMs > JOIN_MS) return 0;
  subflow.isSeparated = true;
  tcb.ackPending = true;
  return transmitAck(tcb, out, offset, now);
}

function sendMapped(
  connection: MultipathConnection,
  subflow: Subflow,
  dsn: number,
  length: number,
  last: boolean,
  out: Uint8Array,
  offset: number,
  now: number,
): number {
  const tcb = subflow.tcb;
  const ssn = tcb.sndNxt;
  // The first data of an unconfirmed client travels with MP_CAPABLE, which has no room for a DATA_FIN.
  const fin =
    connection.dataFinDsn === dsn + length &&
    (connection.confirmed || !connection.client || dsn !== connection.firstDsn);
  let checksum = -1;
  if (connection.checksum) {
    pseudoHeader.sequence = connection.localSequence;
    pseudoHeader.dsn = dsn;
    pseudoHeader.ssn = ssn - subflow.earlyOut;
    pseudoHeader.length = length + (fin ? 1 : 0);
    pseudoHeader.sum = connection.sendBuffer.sum(dsn, length);
    checksum = mappingChecksum(pseudoHeader);
  }
  if (dsn !== ssn) subflow.hasRepeated = true;
  if (!subflow.initial) connection.hasSpread = true;
  subflow.isSeparated = false;
  subflow.sendMap.append(ssn, dsn, length, fin, checksum);
  if (tcb.sndUna === tcb.sndNxt) subflow.flightMs = now;
  if (fin) dataFinSent(connection, now);
  startDataTimer(connection, now);
  return transmitData(tcb, out, offset, length, last, now);
}

/** Copies bytes that were assigned to a subflow, from the send buffer or from what was kept of them. */
export function copyMapped(
  subflow: Subflow,
  ssn: number,
  length: number,
  out: Uint8Array,
  offset: number,
): void {
  const map = subflow.sendMap;
  const i = map.find(ssn);
  if (i < 0) {
    // With the SYN, before there are mappings.
    subflow.connection.sendBuffer.copy(ssn, length, out, offset);
    return;
  }
  const kept = map.keptBytes(i);
  const at = ssn - map.ssn(i);
  if (kept !== null) copyBytes(kept, at, out, offset, length);
  else subflow.connection.sendBuffer.copy(map.dsn(i) + at, length, out, offset);
}

/**
 * Frees acknowledged bytes. RFC 8684 §3.3.6: data stays "as long as the data has not been acknowledged both
 * (1) at the connection level and (2) on all subflows on which it has been sent".
 */
export function releaseSent(connection: MultipathConnection): void {
  const buffer = connection.sendBuffer;
  let lowest = Math.min(connection.dataUna, buffer.end);
  for (let i = 0; i < connection.subflows.length; i++) {
    lowest = Math.min(lowest, connection.subflows[i].sendMap.lowestDsn());
  }
  if (lowest <= buffer.start) return;
  buffer.release(lowest);
  buffer.expand(windowsToBuffer(connection));
  roomFreed(connection);
}

/**
 * RFC 8684 §3.3.4, §3.3.6: bytes wait for the slowest path while all of them send: room for twice what they
 * all send in its round trip.
 */
function windowsToBuffer(connection: MultipathConnection): number {
  let bytesPerMs = 0;
  let slowestMs = 0;
  for (let i = 0; i < connection.subflows.length; i++) {
    const { congestion, rtt } = connection.subflows[i].tcb;
    if (rtt.srttMs === 0) continue;
    bytesPerMs += congestion.cwndBytes / rtt.srttMs;
    slowestMs = Math.max(slowestMs, rtt.srttMs);
  }
  return Math.ceil(2 * bytesPerMs * slowestMs);
}

/**
 * A slow or silent subflow must not block the buffer for the others: when the application waits for room that
 * only subflow acknowledgements withhold, that subflow's share is moved out of the way and kept with its
 * mapping.
 */
export function keepForSlow(connection: MultipathConnection): void {
  const buffer = connection.sendBuffer;
  const acknowledged = Math.min(connection.dataUna, buffer.end);
  if (!connection.wantsRoom || acknowledged - buffer.start < buffer.limit / 4) return;
  for (const subflow of connection.subflows) keepBelow(subflow, acknowledged);
  releaseSent(connection);
}

function keepBelow(subflow: Subflow, dsn: number): void {
  const map = subflow.sendMap;
  for (let i = 0; i < map.count; i++) {
    if (map.dsn(i) >= dsn || map.keptBytes(i) !== null) continue;
    const bytes = new Uint8Array(map.length(i));
    subflow.connection.sendBuffer.copy(map.dsn(i), bytes.length, bytes, 0);
    map.keep(i, bytes);
  }
}
