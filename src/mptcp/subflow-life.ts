// Decides what a subflow's coming and going means for its connection: established, silent, finished, lost,
// replaced, taken away (RFC 8684 §3.3.3, §3.3.6, §3.4.2). Before: tcp through mptcp/subflow, timers. After:
// paths/, reinjection.

import {
  type CloseReason,
  expireTimers,
  type NetworkInterface,
  type PlainStream,
  Ready,
  State,
  type Tcb,
  Timer,
} from '../tcp/index.ts';
import type { MultipathConnection } from './connection.ts';
import { passesForEnd, unmappedTimeout } from './fallback.ts';
import type { FallbackInfo } from './observation.ts';
import { raceWon } from './race.ts';
import { ResetReason } from './reset-reason.ts';
import { Owed, Stage, type Subflow } from './subflow.ts';
import { hasAlternative, probeSuspected, silence, suspect } from './suspicion.ts';

/** An open subflow that nobody has reset for so long is there to stay. */
const SETTLED_MS = 5_000;
const SUBFLOW_KEEPALIVE_INTERVAL_MS = 2_000;
const SUBFLOW_KEEPALIVE_PROBES = 5;

/** The first subflow's handshake is complete on connection side. */
export function initialEstablished(connection: MultipathConnection, subflow: Subflow, now: number): void {
  subflow.stage = Stage.ACTIVE;
  raceWon(connection, subflow, now);
  countEstablished(connection, true);
  afterEstablished(connection, subflow, now);
  connection.owner.streamReady(Ready.CONNECTED | Ready.WRITABLE);
  connection.owner.notice({ type: 'subflow', subflow: subflow.info() });
}

/** MPCurrEstab: connections that are established, as Multipath TCP, and have not finished. */
export function countEstablished(connection: MultipathConnection, on: boolean): void {
  if (connection.isCounted === on) return;
  connection.isCounted = on;
  connection.env.counters.MPCurrEstab += on ? 1 : -1;
}

/** A joined subflow may carry data now. */
export function subflowActive(connection: MultipathConnection, subflow: Subflow, now: number): void {
  subflow.stage = Stage.ACTIVE;
  connection.everMultiple = connection.wasJoined = true;
  afterEstablished(connection, subflow, now);
  connection.paths.subflowActive(subflow, now);
  for (const other of [...connection.subflows]) {
    if (other !== subflow && other.tcb.state === State.CLOSE_WAIT) subflowFinished(connection, other, now);
  }
  if (!connection.isDone) connection.owner.notice({ type: 'subflow', subflow: subflow.info() });
  if (connection.isDone || connection.isFinished) closeSubflows(connection, now);
}

/** When a third ACK that is not answered is repeated: two round trips later, as in Linux, then doubling. */
export function thirdAckDelay({ rtt, env }: Subflow['tcb'], thirdAcks: number): number {
  const first = rtt.srttMs > 0 ? Math.max(2 * rtt.srttMs, env.config.rtoMinMs) : env.config.rtoInitialMs;
  return first * 2 ** Math.max(0, thirdAcks - 1);
}

export function afterEstablished(connection: MultipathConnection, subflow: Subflow, now: number): void {
  const config = connection.env.config;
  subflow.tcb.timeWaitMs = config.subflowTimeWaitMs;
  subflow.flightMs = now;
  applyKeepAlive(connection, subflow, now);
}

export function applyKeepAlive(connection: MultipathConnection, subflow: Subflow, now: number): void {
  const { subflowKeepAliveMs, keepAliveIntervalMs, keepAliveProbes } = connection.env.config;
  subflow.tcb.setKeepAlive(
    hasOwnKeepAlive(connection)
      ? {
          idleMs: subflowKeepAliveMs,
          intervalMs: SUBFLOW_KEEPALIVE_INTERVAL_MS,
          probes: SUBFLOW_KEEPALIVE_PROBES,
        }
      : { idleMs: connection.keepAliveIdleMs, intervalMs: keepAliveIntervalMs, probes: keepAliveProbes },
    now,
  );
}

/** The keepalive of the subflows, not the application's, is the one in force. */
function hasOwnKeepAlive({ env, keepAliveIdleMs }: MultipathConnection): boolean {
  const { subflowKeepAliveMs } = env.config;
  return subflowKeepAliveMs > 0 && (keepAliveIdleMs === 0 || subflowKeepAliveMs < keepAliveIdleMs);
}

/**
 * An only subflow that nothing here could replace outlives an outage: it is probed for as long as the
 * connection would live without it.
 */
function keepAliveProbesOf(connection: MultipathConnection, subflow: Subflow): number {
  const replaceable = connection.client && connection.confirmed;
  if (replaceable || connection.subflows.some(s => s !== subflow && s.isOpen))
    return SUBFLOW_KEEPALIVE_PROBES;
  const patience = Math.ceil(connection.env.config.closeTimeoutMs / SUBFLOW_KEEPALIVE_INTERVAL_MS);
  return SUBFLOW_KEEPALIVE_PROBES + patience;
}

/** The retransmission timer of a subflow fired: do not wait for it alone. */
export function subflowTimedOut(connection: MultipathConnection, subflow: Subflow, now: number): void {
  if (connection.env.config.asLinux) {
    if (hasAlternative(subflow)) connection.reinjectFrom(subflow);
    return;
  }
  if (subflow.stage === Stage.ACTIVE) suspect(subflow, now);
  if (subflow.isOpen) connection.paths.subflowSuspect(subflow, now);
}

/** Silent for so long, with bytes in flight, that a new subflow on the same path should be tried. */
export function isStuck(connection: MultipathConnection, subflow: Subflow, now: number): boolean {
  const tcb = subflow.tcb;
  if (!subflow.isOpen || tcb.sndUna === tcb.sndNxt) return false;
  return now - Math.max(tcb.lastReceivedMs, subflow.flightMs) >= connection.env.config.replaceAfterMs;
}

/**
 * The peer has sent a FIN on a subflow: nothing more comes from there, so it is closed on our side as well.
 */
export function subflowFinished(connection: MultipathConnection, subflow: Subflow, now: number): void {
  if (subflow.tcb.state === State.TIME_WAIT) return;
  if (connection.fastclose?.subflow === subflow) {
    // The peer closes as plain TCP does and has not understood MP_FASTCLOSE: it must not take connection for
    // an end.
    connection.fastcloseOnReset = true;
    subflow.tcb.abort();
    drop(connection, subflow);
    return;
  }
  const alone = !connection.subflows.some(s => s !== subflow && s.isOpen);
  // RFC 8684 §3.3.3: "a host MUST NOT close all functioning subflows unless it is safe to do so". The other
  // half of connection one still carries what we have to send, and the acknowledgement of the peer's
  // DATA_FIN.
  if (alone && !connection.isDone) {
    if (connection.rcvDataFin === -1) startLonelyTimer(connection, now);
    return;
  }
  if (subflow.isOpen) retire(connection, subflow, now);
  else subflow.tcb.shutdown();
}

/**
 * No new data on connection subflow: a FIN follows what is in flight, which others repeat in case it gets
 * stuck.
 */
export function retire(connection: MultipathConnection, subflow: Subflow, now: number): void {
  subflow.stage = Stage.CLOSING;
  subflow.suspectMs = Infinity;
  subflow.tcb.orphan(now);
  subflow.tcb.shutdown();
  connection.reinjectFrom(subflow);
  if (!connection.isDone && !connection.subflows.some(s => s.isOpen)) startLonelyTimer(connection, now);
}

/** No subflow is left to send on: one must come back in time. */
export function startLonelyTimer(connection: MultipathConnection, now: number): void {
  if (connection.lonelyMs === Infinity) connection.lonelyMs = now + connection.env.config.closeTimeoutMs;
}

/** It has not come back in time. */
export function lonelyTimeout(connection: MultipathConnection, now: number): void {
  connection.lonelyMs = Infinity;
  // Joined and idle since: nothing had to be said on it yet.
  if (connection.subflows.some(s => s.isOpen && now - s.flightMs >= SETTLED_MS)) return;
  if (connection.isAllExchanged) closeSubflows(connection, now);
  connection.finish({
    code: connection.isAllExchanged ? null : 'ETIMEDOUT',
    text: 'all subflows were lost and none could be opened again in time',
  });
}

/** A subflow has ended, in order or not. */
export function subflowClosed(
  connection: MultipathConnection,
  subflow: Subflow,
  reason: CloseReason,
  now: number,
): void {
  if (subflow.stage === Stage.CLOSED) return;
  // A reset in answer to the SYN says that the token is unknown; one after the SYN/ACK does not.
  const unanswered = subflow.stage === Stage.CONNECTING;
  const neverOpened = unanswered || subflow.stage === Stage.PRE_ESTABLISHED;
  // The peer has given up what was silent, and says so: the path is back.
  const isBack =
    subflow.stage === Stage.SUSPECT && reason.code === 'ECONNRESET' && subflow.resetReason === -1;
  connection.reinjectFrom(subflow);
  drop(connection, subflow);
  if (connection.isDone) return;
  const text = subflow.peerReset === null ? reason.text : `${reason.text}: ${subflow.peerReset.text}`;
  if (!neverOpened) connection.owner.notice({ type: 'subflowclose', subflow: subflow.info(), reason: text });
  if (subflow.initial && neverOpened) {
    if (!connection.race?.outlives(subflow, reason, now)) connection.finish(reason);
    return;
  }
  if (!connection.confirmed && connection.client && connection.subflows.length === 0) {
    // Nothing was ever exchanged: the peer holds no connection that a join could resume.
    connection.finish({ code: reason.code ?? 'ECONNRESET', text });
    return;
  }
  const refused = subflow.peerReset !== null && !subflow.peerReset.transient;
  const alone = !connection.subflows.some(s => s.isOpen);
  // RFC 8684 §3.6: after a permanent error "SHOULD NOT try to re-establish a subflow for this connection over
  // this path". DEVIATION: one that was in use is tried again when no other is left, or the connection would
  // end.
  const permanent = refused && (neverOpened || !alone);
  const code = subflow.peerReset?.reason ?? subflow.resetReason;
  connection.paths.subflowClosed(subflow, { neverOpened, permanent, reason: code, isBack }, now);
  if (!alone) return;
  if (unanswered && refused) {
    // The peer does not know the connection any more.
    // With everything exchanged but the acknowledgement of our DATA_FIN, the peer has simply gone first.
    const code = connection.isAllExchanged ? null : 'ECONNRESET';
    if (code === null) closeSubflows(connection, now);
    connection.finish({ code, text: `the peer has lost the connection (${text})` });
  } else {
    startLonelyTimer(connection, now);
  }
}

/** A new subflow took over from a silent one. */
export function replaced(subflow: Subflow, now: number): void {
  const text = 'replaced by a new subflow on the same path';
  subflow.reset({ reason: ResetReason.PERFORMANCE, text, transient: true }, now);
}

/** The path of a join whose SYN was not answered has shown life: the SYN leaves again now. */
export function hastenJoin({ tcb }: Subflow, now: number): void {
  if (tcb.state === State.SYN_SENT) tcb.deadlines[Timer.RETRANSMIT] = now;
}

/** RFC 8684 §3.4.2: ask before removing; meanwhile its bytes go elsewhere. */
export function probeForRemoval(subflow: Subflow, now: number): void {
  // DEVIATION (Linux does not ask).
  if (subflow.connection.env.config.asLinux) {
    closeSubflow(subflow.connection, subflow, now);
    return;
  }
  if (hasAlternative(subflow)) suspect(subflow, now);
  subflow.tcb.probePending = true;
  subflow.tellMs = Infinity;
  subflow.removeMs = now + Math.max(subflow.tcb.rtt.rtoMs, 1000);
}

/** Takes a subflow off the list; TCP may still have something to send or to wait for. */
export function drop(connection: MultipathConnection, subflow: Subflow): void {
  subflow.stage = Stage.CLOSED;
  subflow.suspectMs = Infinity;
  if (connection.expectation.voice === subflow) connection.expectation.voice = null;
  const i = connection.subflows.indexOf(subflow);
  // unreachable: what has ended is no longer asked anything
  if (i < 0) return;
  if (subflow.mayCarry) connection.everMultiple = true;
  connection.subflows.splice(i, 1);
  connection.coupling.remove(subflow.tcb.congestion);
  subflow.receiveMap.clear();
  subflow.staging = null;
  subflow.sendMap.clear();
  connection.lingering.push(subflow);
  connection.discardSent();
  if (connection.fastclose?.subflow === subflow) connection.fastclose = null;
}

/** RFC 8684 §3.3.3: "all remaining subflows MUST be closed with standard FIN exchanges". */
export function closeSubflows(connection: MultipathConnection, now: number): void {
  // One subflow must end in order: its segments carry the last DATA_ACK, which a RST does not.
  const orderly = connection.subflows.some(s => s.stage === Stage.ACTIVE || s.stage === Stage.CLOSING);
  for (const subflow of [...connection.subflows]) {
    if ((subflow.stage === Stage.SUSPECT && orderly) || !subflow.tcb.isSynchronized) {
      // Unfinished handshakes and silent paths with stale data are reset (reason 4).
      subflow.resetReason = ResetReason.OUTSTANDING;
      subflow.tcb.abort();
      drop(connection, subflow);
      continue;
    }
    subflow.stage = Stage.CLOSING;
    // Its FIN may have been acknowledged long ago: FIN-WAIT-2 must end by itself then.
    subflow.tcb.orphan(now);
    subflow.tcb.shutdown();
  }
}

export function expireSubflow(connection: MultipathConnection, subflow: Subflow, now: number): void {
  if (subflow.suspectMs <= now && subflow.stage === Stage.SUSPECT) {
    probeSuspected(subflow, now);
  } else if (subflow.suspectMs <= now) {
    silence(subflow, now);
  }
  if (subflow.removeMs <= now) {
    subflow.removeMs = Infinity;
    if (subflow.stage === Stage.SUSPECT) {
      subflow.reset(
        { reason: ResetReason.UNSPECIFIED, text: 'the peer withdrew the address', transient: true },
        now,
      );
      return;
    }
  }
  const join = subflow.join;
  if (join !== null && join.thirdAckMs <= now) {
    // RFC 8684 §3.2: "the packet MUST be retransmitted if connection ACK is not received".
    join.thirdAcks++;
    join.thirdAckMs = now + thirdAckDelay(subflow.tcb, join.thirdAcks);
    subflow.tcb.ackPending = true;
    if (join.thirdAcks > connection.env.config.synRetries) {
      subflow.reset(
        { reason: ResetReason.UNSPECIFIED, text: 'the HMAC was never acknowledged', transient: true },
        now,
      );
      return;
    }
  }
  if (subflow.acksOwedMs <= now) {
    subflow.acksOwedMs = Infinity;
    if (!subflow.dataAckSent) subflow.acksOwed = Owed.KEYS;
  }
  if (subflow.unmappedMs <= now && !unmappedTimeout(subflow, now)) return;
  if (hasOwnKeepAlive(connection)) subflow.tcb.keepAliveProbes = keepAliveProbesOf(connection, subflow);
  if (subflow.tcb.nextDeadline() <= now) expireTimers(subflow.tcb, now);
}

/** From here on the plain stream answers for the connection (mptcp/fallback). */
export function becomePlain(
  connection: MultipathConnection,
  plain: PlainStream,
  subflow: Subflow,
  info: FallbackInfo,
  now: number,
): void {
  connection.plain = plain;
  countEstablished(connection, false);
  connection.plainSinceMs = now;
  // Also for what else is due at this moment: the stream has timers of its own.
  connection.dataTimerMs = connection.lonelyMs = connection.orphanMs = Infinity;
  connection.fallback = info;
  connection.paths.stop();
  connection.managed?.end();
  subflow.stage = Stage.ACTIVE;
  if (hasOwnKeepAlive(connection)) {
    // That of subflows gives up paths that others replace; the only one of TCP is the application's to judge.
    const { keepAliveIntervalMs: intervalMs, keepAliveProbes: probes } = connection.env.config;
    subflow.tcb.setKeepAlive({ idleMs: connection.keepAliveIdleMs, intervalMs, probes }, now);
  }
  // Joins under way are given up without a word: what the peer sends to them is answered with a RST.
  for (const other of [...connection.subflows]) {
    if (other === subflow) continue;
    other.tcb.abort();
    drop(connection, other);
  }
  for (const { tcb } of connection.lingering) connection.owner.tcbReleased(tcb);
  connection.lingering.length = 0;
  connection.owner.fellBack(plain, info);
}

/** Hands TCP blocks that have nothing left to do back to the host. */
export function sweep(connection: MultipathConnection): void {
  for (let i = connection.lingering.length - 1; i >= 0; i--) {
    const { tcb } = connection.lingering[i];
    if (!tcb.isReleased) continue;
    connection.lingering.splice(i, 1);
    connection.owner.tcbReleased(tcb);
  }
}

export function removePath(connection: MultipathConnection, interfaceId: number, now: number): void {
  connection.paths.removeInterface(interfaceId);
  if (connection.plain !== null) {
    // Plain TCP has no other path: it ends with connection one.
    const { tcb } = connection.plain;
    if (tcb.networkInterface.id !== interfaceId || connection.isDone) return;
    tcb.abort();
    connection.finish({ code: 'ENETDOWN', text: 'the only path of a plain TCP connection was taken away' });
    return;
  }
  for (const subflow of [...connection.subflows]) {
    if (subflow.tcb.networkInterface.id === interfaceId) closeSubflow(connection, subflow, now);
  }
}

/** A subflow is not wanted any more. */
export function closeSubflow(connection: MultipathConnection, subflow: Subflow, now: number): void {
  connection.env.counters.RmSubflow++;
  if (subflow.stage === Stage.ACTIVE && !passesForEnd(connection)) {
    // RFC 8684 §3.4.2: "A subflow that is still functioning MUST be closed with a FIN exchange"
    retire(connection, subflow, now);
  } else if (subflow.stage !== Stage.CLOSING) {
    const text = 'the path was taken away';
    subflow.reset({ reason: ResetReason.ADMINISTRATIVE, code: 'ENETDOWN', text }, now);
  }
}

/** Another congestion controller on every subflow. */
export function changeController(
  connection: MultipathConnection,
  name: Parameters<Tcb['changeController']>[0],
): void {
  for (const { tcb } of connection.subflows) {
    connection.coupling.remove(tcb.congestion);
    tcb.changeController(name);
    connection.coupling.add(tcb.congestion);
  }
}

/** Packets over an interface must be smaller from now on. */
export function limitMtu(connection: MultipathConnection, interfaceId: number, mtu: number): void {
  for (const { tcb } of connection.subflows) {
    if (tcb.networkInterface.id === interfaceId) tcb.limitMtu(mtu);
  }
}

/** The local address has gone: no packet can leave from it any more. */
export function interfaceGone(
  connection: MultipathConnection,
  networkInterface: NetworkInterface,
  now: number,
): void {
  const ids = connection.paths.forgetAddress(networkInterface.words);
  connection.paths.removeInterface(networkInterface.id);
  const used = new Set<number>();
  for (const subflow of [...connection.subflows, ...connection.lingering]) {
    if (subflow.tcb.networkInterface !== networkInterface) continue;
    used.add(subflow.localAddressId);
    subflow.tcb.resetPending = false;
    subflow.tcb.close({ code: 'ENETDOWN', text: 'the local address has gone' }, now);
  }
  if (connection.isDone) return;
  // RFC 8684 §3.4.2: "the affected host SHOULD announce this situation", "even if an address is not in use".
  const { signals } = connection;
  const { removeAddrRetries } = connection.env.config;
  for (const id of ids) if (used.has(id) || signals.wasAnnounced(id)) signals.remove(id, removeAddrRetries);
}
