// Decides the data sequence space of a connection: DATA_ACKs and the window they carry, delivery in order,
// DATA_FIN in both directions, and the connection-level timer (RFC 8684 §3.3.2–§3.3.6). Before: options-in,
// receive. After: send.

import { Ready, Timer } from '../tcp/index.ts';
import { abandon, abortConnection } from './close.ts';
import type { MultipathConnection } from './connection.ts';
import { mayBeHeardAsTcp, signalsVanished } from './fallback.ts';
import { isCandid } from './plain-words.ts';
import { maySignal } from './signals.ts';
import { Owed, Stage, type Subflow } from './subflow.ts';

/** Most bytes put up for reinjection by one timeout: what one mapping holds. */
const REINJECT_BYTES = 65_534;

/** Repetitions of an unanswered DATA_FIN until the FIN of TCP goes out as well. */
const FIN_AFTER = 6;

/** The same of a client to whom no option has come since the SYN/ACK: the server may be TCP. */
const FIN_AFTER_PLAIN = 2;

import { closeSubflows } from './subflow-life.ts';
import { roundTripMs } from './suspicion.ts';

/** A DATA_ACK with the window of the segment that carried it (RFC 8684 §3.3.2, §3.3.5). */
export function dataAcknowledged(
  connection: MultipathConnection,
  dataAck: number,
  windowBytes: number,
  now: number,
): void {
  const highest =
    connection.dataNxt + (connection.dataFinWasSent && connection.dataNxt === connection.dataFinDsn ? 1 : 0);
  // Acknowledgements of what was never sent are ignored, as Linux does; NaN fails the comparison too.
  if (!(dataAck <= highest)) return;
  connection.confirm(now);
  connection.sndRight = Math.max(connection.sndRight, dataAck + windowBytes);
  if (dataAck <= connection.dataUna) return;
  connection.dataUna = dataAck;
  connection.repeatedOn = -1;
  connection.dataProgressMs = now;
  connection.dataBackoff = 0;
  connection.reinjection.remove(0, dataAck);
  connection.taken.remove(0, dataAck);
  connection.dataTimerMs = Infinity;
  if (connection.dataUna < connection.dataNxt || connection.dataFinDue) startDataTimer(connection, now);
  connection.releaseSent();
  maybeFinish(connection, now);
}

/** Bytes with their place in the stream. */
export function deliver(
  connection: MultipathConnection,
  dsn: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  now: number,
): void {
  const buffer = connection.receiveBuffer;
  const before = buffer.next;
  const { counters } = connection.env;
  const ranges = buffer.beyond.count;
  const last = ranges > 0 ? buffer.beyond.end(ranges - 1) : before;
  if (buffer.insert(dsn, bytes, offset, length) === 0) {
    counters[dsn >= buffer.rightEdge ? 'NoDSSInWindow' : 'DuplicateData']++;
  } else if (dsn > before) {
    counters.OFOQueue++;
    if (dsn >= last) counters.OFOQueueTail++;
    if (buffer.beyond.count <= ranges) counters.OFOMerge++;
  }
  if (buffer.next === before) return;
  connection.owner.streamReady(Ready.READABLE);
  if (connection.rcvDataFin !== -1) dataFinReceived(connection, connection.rcvDataFin, now);
}

/** The peer's DATA_FIN is known; it counts when all data before it has come (RFC 8684 §3.3.3). */
export function dataFinReceived(connection: MultipathConnection, dsn: number, now: number): void {
  if (Number.isNaN(dsn) || dsn < connection.receiveBuffer.next || connection.isPeerFinished) {
    if (connection.isPeerFinished) ackEverywhere(connection);
    return;
  }
  if (connection.rcvDataFin === -1) connection.rcvDataFin = dsn;
  if (connection.bestOpenSubflow() !== null) connection.lonelyMs = Infinity;
  if (connection.receiveBuffer.next !== connection.rcvDataFin) return;
  connection.isPeerFinished = true;
  ackEverywhere(connection);
  connection.owner.streamReady(Ready.READABLE | Ready.END);
  maybeFinish(connection, now);
}

export function dataFinSent(connection: MultipathConnection, now: number): void {
  connection.dataFinWasSent = true;
  connection.dataFinQueued = false;
  startDataTimer(connection, now);
}

/** Payload arrived after the application let go (RFC 9293 §3.10.7.4). */
export function dataForNobody(connection: MultipathConnection, now: number): void {
  connection.env.counters.TCPAbortOnData++;
  abortConnection(connection, { code: null, text: 'data arrived after close' }, now);
}

/** Guards against acknowledgements lost for good, or faked on the way (RFC 8684 §3.3.6). */
export function startDataTimer(connection: MultipathConnection, now: number): void {
  if (connection.dataTimerMs !== Infinity) return;
  const { asLinux, rtoMinMs } = connection.env.config;
  let rtoMs = asLinux ? rtoMinMs : 0;
  for (const subflow of connection.subflows) {
    if (subflow.isOpen) rtoMs = Math.max(rtoMs, asLinux ? pendingMs(subflow, now) : subflow.tcb.rtt.rtoMs);
  }
  if (rtoMs === 0) rtoMs = connection.env.config.rtoInitialMs;
  // The first repetition of a DATA_FIN alone does not slow down the next yet, as in Linux.
  const isAlone = connection.dataUna >= connection.dataNxt;
  const doublings = Math.max(0, connection.dataBackoff - (isAlone ? 1 : 0));
  connection.dataTimerMs = now + Math.min(rtoMs * 2 ** doublings, connection.env.config.rtoMaxMs);
}

/** As Linux, which waits for what TCP is waiting for, and otherwise no longer than it must. */
function pendingMs({ tcb }: Subflow, now: number): number {
  const leftMs = tcb.deadlines[Timer.RETRANSMIT] - now;
  return leftMs < Infinity ? leftMs : 0;
}

/**
 * TCP has acknowledged on this subflow what the DATA_ACK beside it does not: the byte at dataUna has arrived,
 * and unless the answer is late, its mapping has not. That is found a round trip later, not a timeout, where
 * both ends know that the stream is no longer one run on one subflow. Before that the time in which nobody
 * repeats anything (mptcp/unplaced) is what lets a peer go on as TCP.
 */
export function dataTaken(subflow: Subflow, now: number): void {
  const { connection, lastWithoutOptions } = subflow;
  const { dataUna, dataNxt, dataBackoff, env } = connection;
  if (dataUna >= dataNxt || lastWithoutOptions || !connection.taken.contains(dataUna, dataUna + 1)) return;
  if (env.config.asLinux || isInFlight(connection)) return;
  const isKnown = connection.wasJoined || dataUna > connection.unplacedDsn;
  if (connection.unplacedDsn === Infinity) connection.unplacedDsn = dataUna;
  if (!isKnown) return;
  connection.dataTimerMs = Math.min(connection.dataTimerMs, now + roundTripMs(subflow) * 2 ** dataBackoff);
}

/** A mapping of the byte at dataUna is not acknowledged as a whole by a subflow that is not silent. */
function isInFlight({ subflows, dataUna }: MultipathConnection): boolean {
  return subflows.some(s => s.stage !== Stage.SUSPECT && s.sendMap.overlaps(dataUna, dataUna + 1));
}

/** RFC 8684 §3.3.6: what the subflows have acknowledged and the connection has not is sent again. */
export function dataTimeout(connection: MultipathConnection, now: number): void {
  connection.dataTimerMs = Infinity;
  connection.dataBackoff = Math.min(connection.dataBackoff + 1, 8);
  if (connection.isDone || signalsVanished(connection, now)) return;
  if (connection.dataUna < connection.dataNxt) {
    // What a silent subflow has in flight was given to another once; that copy may have been lost as well.
    if (!isInFlight(connection) && !mayBeHeardAsTcp(connection))
      connection.reinjection.add(
        connection.dataUna,
        Math.min(connection.dataNxt, connection.dataUna + REINJECT_BYTES),
      );
  } else if (connection.dataFinDue) {
    // On every subflow: the one that seems best may be the one that is dead.
    connection.dataFinQueued = true;
    connection.keysSent = false;
    ackEverywhere(connection);
    // A middlebox may hide the DATA_FIN, or drop what carries it, but not a FIN. Linux sends none.
    const { client, confirmed, dataBackoff, env } = connection;
    // A server that has fallen back answers no DATA_FIN. Nothing but the end is to be said to it.
    if (!env.config.asLinux && dataBackoff >= (client && !confirmed ? FIN_AFTER_PLAIN : FIN_AFTER))
      for (const s of connection.subflows) if (!confirmed || isCandid(s)) s.tcb.shutdown();
  } else {
    return;
  }
  startDataTimer(connection, now);
}

/**
 * RFC 8684 §3.3.3: "A connection is considered closed once both hosts' DATA_FINs have been acknowledged".
 */
export function maybeFinish(connection: MultipathConnection, now: number): void {
  if (!connection.isFinished || connection.isDone) return;
  connection.timeWaitMs = now + connection.env.config.closeTimeoutMs;
  closeSubflows(connection, now);
  connection.finish({ code: null, text: 'closed in order' });
}

/** Acknowledges on every subflow, those that are closing included: the last DATA_ACK may have been lost. */
export function ackEverywhere(connection: MultipathConnection): void {
  for (const { tcb } of connection.subflows) if (tcb.isSynchronized) tcb.ackPending = true;
  for (const { tcb } of connection.lingering) if (tcb.isSynchronized) tcb.ackPending = true;
}

export function startOrphanTimer(connection: MultipathConnection, now: number): void {
  if (!connection.isDone) connection.orphanMs = now + connection.env.config.dataTimeoutMs;
}

/** The application has let go, and its peer does not end. */
export function orphanTimeout(connection: MultipathConnection, now: number): void {
  // What was written before may still be on its way.
  connection.orphanMs = connection.dataProgressMs + connection.env.config.dataTimeoutMs;
  if (connection.orphanMs > now) return;
  connection.orphanMs = Infinity;
  abandon(connection, now);
}

/** Before acknowledgements leave: signals and the DATA_FIN ask for one. */
export function prepareAcks(connection: MultipathConnection, _now: number): void {
  if (!connection.maySend) return;
  // A priority is told on the subflow it is about; data that left there meanwhile took its acknowledgement
  // along.
  for (const subflow of connection.subflows) {
    if (subflow.acksOwed !== Owed.NOTHING) subflow.tcb.ackPending = true;
    if (subflow.prioPending && subflow.isOpen && connection.confirmed && !connection.dataFinDue) {
      subflow.tcb.ackPending = true;
    }
  }
  const due = connection.dataFinDue && connection.dataFinQueued;
  // A DATA_FIN goes on every subflow, as in Linux: the one that seems best may be the one that is dead.
  if (due)
    for (const subflow of connection.subflows)
      if (subflow.stage === Stage.ACTIVE) subflow.tcb.ackPending = true;
  // Asking for what cannot leave yet (see addSignal) would be asking for ever.
  if (!due && !(maySignal(connection) && connection.signals.pending)) return;
  const subflow = connection.bestOpenSubflow();
  if (subflow !== null && subflow.stage === Stage.ACTIVE) subflow.tcb.ackPending = true;
}

/** The send buffer has room again. */
export function roomFreed(connection: MultipathConnection): void {
  if (!connection.wantsRoom || connection.sendBuffer.freeBytes === 0 || connection.dataFinDsn !== -1) return;
  connection.wantsRoom = false;
  connection.owner.streamReady(Ready.WRITABLE);
}
