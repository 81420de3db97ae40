// Decides how a multipath connection ends abruptly: MP_FASTCLOSE in both of its forms (RFC 8684 §3.5). The
// orderly end, DATA_FIN, is part of the data sequence space and lives in mptcp/connection.
// Before: the application's abort, or options-in. After: resets on every subflow.

import { type CloseReason, State } from '../tcp/index.ts';
import { Flag, type Segment } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { ResetReason } from './reset-reason.ts';
import type { Subflow } from './subflow.ts';
import { drop } from './subflow-life.ts';

/** FASTCLOSE_WAIT: the subflow that carries MP_FASTCLOSE on ACKs, and when it is repeated. */
export interface Fastclose {
  readonly subflow: Subflow;
  retries: number;
  deadlineMs: number;
}

/** Ends the connection at once. Option A (on an ACK, repeated) while a subflow is open, resets otherwise. */
export function abortConnection(connection: MultipathConnection, reason: CloseReason, now: number): void {
  if (connection.isDone) return;
  const chosen = peerIsEstablished(connection) ? connection.bestOpenSubflow() : null;
  if (chosen === null) connection.fastcloseOnReset = connection.remoteKey !== null;
  if (chosen !== null) {
    // RFC 8684 §3.5, option A: ACK with MP_FASTCLOSE on one subflow, RST on all others.
    connection.fastclose = { subflow: chosen, retries: 0, deadlineMs: now + chosen.tcb.rtt.rtoMs };
    chosen.tcb.abandonFlight();
    chosen.tcb.ackPending = true;
  }
  for (const subflow of [...connection.subflows]) {
    if (subflow === chosen) continue;
    subflow.tcb.abort();
    drop(connection, subflow);
  }
  connection.finish(reason);
}

/**
 * Whether MP_FASTCLOSE may stand on an ACK. Before the server is known to have our keys it would take their
 * place; and a client that has not heard a DATA_ACK yet takes an ACK of its data without one for the sign of
 * a peer that fell back (Linux does, and then knows no MP_FASTCLOSE). A reset is understood by all of them.
 */
function peerIsEstablished(connection: MultipathConnection): boolean {
  return connection.client ? connection.confirmed : connection.subflows.some(subflow => subflow.dataAckSeen);
}

/**
 * The peer never finished a connection that the application here let go. With everything delivered its end is
 * quiet, as that of FIN-WAIT-2 is (Linux: tcp_fin_timeout): the peer may still be reading what it got.
 */
export function abandon(connection: MultipathConnection, now: number): void {
  const reason = { code: null, text: 'the peer never finished a connection that was let go' };
  if (connection.dataFinDsn === -1 || connection.dataUna <= connection.dataFinDsn) {
    abortConnection(connection, reason, now);
    return;
  }
  for (const subflow of [...connection.subflows]) {
    subflow.tcb.abort();
    subflow.tcb.resetPending = false;
    drop(connection, subflow);
  }
  connection.finish(reason);
}

/** The answer to MP_FASTCLOSE did not come in time. */
export function fastcloseTimeout(connection: MultipathConnection, now: number): void {
  const fastclose = connection.fastclose;
  if (fastclose === null) return;
  const tcb = fastclose.subflow.tcb;
  if (fastclose.retries < connection.env.config.fastcloseRetries && tcb.state !== State.CLOSED) {
    fastclose.retries++;
    fastclose.deadlineMs = now + tcb.rtt.rtoMs * 2 ** fastclose.retries;
    tcb.ackPending = true;
    return;
  }
  // RFC 8684 §3.5: "Host A SHOULD send a TCP RST with the MP_FASTCLOSE option itself when it releases state".
  connection.fastclose = null;
  connection.fastcloseOnReset = true;
  tcb.abort();
  drop(connection, fastclose.subflow);
}

/** MP_FASTCLOSE arrived, on an ACK or a RST. True when its key was ours and the connection ended. */
export function fastcloseReceived(subflow: Subflow, segment: Segment): boolean {
  const connection = subflow.connection;
  const key = connection.localKey;
  if (segment.fastcloseKeyHi !== key.hi || segment.fastcloseKeyLo !== key.lo) return false;
  connection.env.counters.MPFastcloseRx++;
  connection.fastclose = null;
  // Who names our key has it.
  connection.confirmed = true;
  const byReset = (segment.flags & Flag.RST) !== 0;
  for (const other of [...connection.subflows]) {
    // The subflow whose RST is being processed is ended by tcp/input itself.
    if (byReset && other === subflow) continue;
    // As Linux answers: each with MP_TCPRST and no particular reason.
    other.resetReason = ResetReason.UNSPECIFIED;
    other.tcb.abort();
    drop(connection, other);
  }
  connection.finish({ code: 'ECONNRESET', text: 'the peer closed the connection at once (MP_FASTCLOSE)' });
  return true;
}
