// Decides where subflow payload goes: with a mapping and no checksum straight into the connection's receive
// buffer, whatever order it arrives in; otherwise into the subflow's staging until its mapping is known, or
// complete and verified. Read: RFC 8684 §3.3.1, §3.3.4, §3.7.
// Before on the walk: tcp/input. After: host/connection reads.

import { onesComplementSum } from '../wire/index.ts';
import { mappingChecksum, pseudoHeader } from './checksum.ts';
import type { MultipathConnection } from './connection.ts';
import { dataForNobody, deliver } from './data-level.ts';
import { checksumFailed, mappingMissing } from './fallback.ts';
import { ResetReason } from './reset-reason.ts';
import { Staging } from './staging.ts';
import { Stage, type Subflow } from './subflow.ts';

/** New payload of a subflow, maybe beyond a hole, maybe seen before. */
export function placePayload(
  subflow: Subflow,
  ssn: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  now: number,
): void {
  const connection = subflow.connection;
  const map = subflow.receiveMap;
  if (connection.isAbandoned) {
    // Copies of what was read before the application let go are no news; bytes beyond them are for nobody.
    const i = map.find(ssn + length - 1);
    const end = i < 0 ? -1 : map.dsn(i) + (ssn + length - map.ssn(i));
    if (end > connection.receiveBuffer.next) dataForNobody(connection, now);
    else map.release(subflow.tcb.rcvNxt);
    return;
  }
  connection.expectation.voice = subflow;
  if (connection.checksum) {
    if (!stageUnverified(subflow, ssn, bytes, offset, length, now)) return;
    if (!placeStaged(subflow, ssn, ssn + length, now)) return;
    if (map.find(ssn) < 0) mappingMissing(subflow, ssn, length, now);
    return;
  }
  const end = ssn + length;
  let at = ssn;
  while (at < end) {
    const i = map.find(at);
    const until = Math.min(end, i < 0 ? map.nextStart(at) : map.end(i));
    if (i >= 0) {
      deliver(connection, map.dsn(i) + (at - map.ssn(i)), bytes, offset + (at - ssn), until - at, now);
    } else {
      if (!stage(subflow, at, bytes, offset + (at - ssn), until - at, now)) return;
      if (!mappingMissing(subflow, at, until - at, now)) return;
    }
    at = until;
  }
  releaseMap(subflow);
}

/**
 * Moves what staging and the mappings that touch [from, to) together now allow. False: the subflow ended, or
 * fell back.
 */
export function placeStaged(subflow: Subflow, from: number, to: number, now: number): boolean {
  const staging = subflow.staging;
  if (staging === null) return true;
  const map = subflow.receiveMap;
  for (let i = map.firstEndingAfter(from); i < map.count && map.ssn(i) < to; i++) {
    const start = map.ssn(i);
    const end = map.end(i);
    if (subflow.connection.checksum) {
      if (!staging.ranges.contains(start, end)) continue;
      if (!verified(subflow, staging, i)) return checksumFailed(subflow, map.dsn(i), now);
      map.markPlaced(i);
      moveStaged(subflow, staging, i, start, end, now);
    } else {
      moveAvailable(subflow, staging, i, now);
    }
  }
  releaseMap(subflow);
  return true;
}

/** After a read. RFC 8684 §3.3.4: the buffer must bridge the slowest path, so its round trip counts. */
export function bytesRead(connection: MultipathConnection, now: number): void {
  let rttMs = 0;
  let segmentBytes = 0;
  let scale = 0;
  for (const { tcb } of connection.subflows) {
    rttMs = Math.max(rttMs, tcb.receiveRttMs);
    segmentBytes = Math.max(segmentBytes, tcb.rcvMss);
    scale = Math.max(scale, tcb.rcvScale);
  }
  const { receiveBuffer } = connection;
  receiveBuffer.tune(rttMs, segmentBytes, now);
  // The window is the connection's: tell it on every subflow that is alive (RFC 8684 §3.3.4).
  if (!receiveBuffer.shouldUpdateWindow(segmentBytes, scale)) return;
  for (const { stage, tcb } of connection.subflows) if (stage === Stage.ACTIVE) tcb.ackPending = true;
}

/** Mappings wholly below both rcvNxt and what is staged are of no more use. */
function releaseMap(subflow: Subflow): void {
  const ranges = subflow.staging?.ranges;
  const staged = ranges?.count ? ranges.start(0) : Infinity;
  if (staged === Infinity && !subflow.connection.checksum) subflow.staging = null;
  subflow.receiveMap.release(Math.min(subflow.tcb.rcvNxt, staged));
}

/** With checksums: stages what does not belong to a mapping that was verified and handed over already. */
function stageUnverified(
  subflow: Subflow,
  ssn: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  now: number,
): boolean {
  const map = subflow.receiveMap;
  const end = ssn + length;
  let at = ssn;
  while (at < end) {
    const i = map.find(at);
    const until = Math.min(end, i < 0 ? map.nextStart(at) : map.end(i));
    const isNews = i < 0 || !map.isPlaced(i);
    if (isNews && !stage(subflow, at, bytes, offset + (at - ssn), until - at, now)) return false;
    at = until;
  }
  return true;
}

function stage(
  subflow: Subflow,
  ssn: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  now: number,
): boolean {
  subflow.staging ??= new Staging(subflow.connection.receiveBuffer.maxLimit);
  if (subflow.staging.insert(ssn, bytes, offset, length)) return true;
  // RFC 8684 §3.3.1: no mapping within a receive window of data: "that subflow SHOULD be treated as broken".
  const text = 'a whole window arrived without complete mappings';
  subflow.reset({ reason: ResetReason.MIDDLEBOX, text, transient: true }, now);
  return false;
}

/** Without checksums every staged byte that has a mapping may move at once. */
function moveAvailable(subflow: Subflow, staging: Staging, i: number, now: number): void {
  const mapStart = subflow.receiveMap.ssn(i);
  const mapEnd = subflow.receiveMap.end(i);
  for (;;) {
    const r = staging.ranges.firstEndingAfter(mapStart);
    if (r >= staging.ranges.count || staging.ranges.start(r) >= mapEnd) return;
    const start = Math.max(mapStart, staging.ranges.start(r));
    moveStaged(subflow, staging, i, start, Math.min(mapEnd, staging.ranges.end(r)), now);
  }
}

function moveStaged(
  subflow: Subflow,
  staging: Staging,
  i: number,
  start: number,
  end: number,
  now: number,
): void {
  const map = subflow.receiveMap;
  staging.copy(start, end - start, scratch, 0);
  staging.remove(start, end);
  deliver(subflow.connection, map.dsn(i) + (start - map.ssn(i)), scratch, 0, end - start, now);
}

/** RFC 8684 §3.3.1: the checksum over the mapped bytes and the pseudo-header. */
function verified(subflow: Subflow, staging: Staging, i: number): boolean {
  const map = subflow.receiveMap;
  const connection = subflow.connection;
  const length = map.length(i);
  staging.copy(map.ssn(i), length, scratch, 0);
  const dsn = map.dsn(i);
  pseudoHeader.sequence = connection.remoteSequence;
  pseudoHeader.dsn = dsn;
  pseudoHeader.ssn = map.ssn(i) - subflow.earlyIn;
  pseudoHeader.length = length;
  pseudoHeader.sum = onesComplementSum(scratch, 0, length);
  if (mappingChecksum(pseudoHeader) === map.checksum(i)) return true;
  // A DATA_FIN that shares the mapping counts in its length.
  pseudoHeader.length = length + 1;
  return dsn + length === connection.rcvDataFin && mappingChecksum(pseudoHeader) === map.checksum(i);
}

/** One mapping is at most 65,535 bytes. */
const scratch: Uint8Array = new Uint8Array(65_536);
