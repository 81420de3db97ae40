// Decides what a segment without a connection begins or gets: a new connection of a listener, a subflow of a
// connection known by its token, or a reset (RFC 9293 §3.10.7.1–2, RFC 8684 §3.1, §3.2). Bytes from the
// network end here in a connection, a counter or a reset, never in an exception.
// Before: host.receive. After: tcp/handshake, mptcp/connection, host/reset-queue.

import {
  acceptFirst,
  type Endpoints,
  joinCrossed,
  joinRequested,
  MultipathConnection,
  type NetworkMemory,
  ResetReason,
  validCapableSyn,
} from '../mptcp/index.ts';
import { type Environment, type NetworkInterface, openPassive, State, type Tcb } from '../tcp/index.ts';
import { Flag, Mp, type Segment } from '../wire/index.ts';
import type { Config } from './config.ts';
import type { Connection } from './connection.ts';
import type { FastOpenTable } from './fast-open.ts';
import type { Flows } from './flows.ts';
import type { Listener } from './listener.ts';
import type { Listeners } from './listeners.ts';
import { openPlain } from './plain.ts';
import type { ResetQueue } from './reset-queue.ts';

export interface IncomingOptions {
  env: Environment<Config>;
  flows: Flows;
  listeners: Listeners;
  networks: NetworkMemory;
  tokens: ReadonlyMap<number, MultipathConnection>;
  resets: ResetQueue;
  /** Of the host. */
  endpoints: Endpoints;
  fastOpen: FastOpenTable;
  /** Makes an empty connection for a listener. */
  newConnection(listener: Listener): Connection;
  /** Takes it among the living. */
  adopt(connection: Connection): void;
  touch(connection: Connection): void;
}

export class Incoming {
  private readonly parts: IncomingOptions;

  constructor(parts: IncomingOptions) {
    this.parts = parts;
  }

  /** RFC 6191, RFC 9293 §3.6.1: a newer SYN may end TIME-WAIT early. */
  reopens(tcb: Tcb, segment: Segment, now: number): boolean {
    if (tcb.state !== State.TIME_WAIT || (segment.flags & (Flag.SYN | Flag.ACK)) !== Flag.SYN) return false;
    if (!isNewer(tcb, segment)) return false;
    if (this.parts.listeners.find(segment, tcb.networkInterface.id) === null) return false;
    tcb.env.counters.TWRecycled++;
    tcb.close({ code: null, text: 'a new connection took over' }, now);
    this.parts.touch(tcb.owner as Connection);
    return true;
  }

  /** A SYN for a listener or a join, otherwise a reset. */
  receive(segment: Segment, networkInterface: NetworkInterface, now: number): void {
    const { counters, config } = this.parts.env;
    const flags = segment.flags;
    if ((flags & Flag.SYN) === 0 || (flags & (Flag.ACK | Flag.RST)) !== 0) {
      counters.NoSocketDrops++;
      // The late answer to a SYN that a plain one has overtaken: it was the network's pace, not the option.
      if ((flags & Flag.SYN) !== 0 && (segment.mp & Mp.CAPABLE) !== 0) {
        this.parts.networks.optionsPass(networkInterface.network);
      }
      this.parts.resets.answer(segment, networkInterface, -1, now);
      return;
    }
    if ((segment.mp & Mp.JOIN) !== 0) {
      this.join(segment, networkInterface, now);
      return;
    }
    const listener = this.parts.listeners.find(segment, networkInterface.id);
    if (listener === null) {
      const endpoint = this.parts.endpoints.find(networkInterface.words, segment.dstPort);
      // Linux: an announced port takes joins, and nothing else.
      if (endpoint !== undefined && (segment.mp & Mp.CAPABLE) !== 0) counters.MPCapableEndpAttempt++;
      this.parts.resets.answer(segment, networkInterface, -1, now);
      return;
    }
    if (listener.halfOpen >= config.maxHalfOpen || listener.isFull) {
      counters[listener.isFull ? 'ListenOverflows' : 'TCPReqQFullDrop']++;
      counters.ListenDrops++;
      return;
    }
    this.accept(listener, segment, networkInterface, now);
  }

  /** RFC 8684 §3.2: joins are found by token, whatever their port. */
  private join(segment: Segment, networkInterface: NetworkInterface, now: number): void {
    const { counters } = this.parts.env;
    counters.MPJoinSynRx++;
    const side = this.parts.tokens.get(segment.joinToken);
    if (side === undefined) {
      counters.MPJoinNoTokenFound++;
      this.parts.resets.answer(segment, networkInterface, ResetReason.MPTCP, now);
      return;
    }
    if (segment.joinBackup) counters.MPJoinSynBackupRx++;
    if (joinCrossed(side, now)) {
      counters.MPJoinRejected++;
      this.parts.resets.refuseOption(segment, networkInterface, now);
      return;
    }
    const refusal = joinRequested(side, segment, networkInterface, now);
    if (refusal >= 0) {
      counters.MPJoinRejected++;
      this.parts.resets.answer(segment, networkInterface, refusal, now);
    }
    this.parts.touch(side.owner as Connection);
  }

  private accept(
    listener: Listener,
    segment: Segment,
    networkInterface: NetworkInterface,
    now: number,
  ): void {
    const { flows } = this.parts;
    const endpoint = {
      networkInterface,
      localPort: segment.dstPort,
      remoteWords: Int32Array.of(segment.src0, segment.src1, segment.src2, segment.src3),
      remotePort: segment.srcPort,
    };
    const connection = this.parts.newConnection(listener);
    const { env } = connection;
    const fastOpen = this.parts.fastOpen.answer(listener, segment, now);
    if (fastOpen?.early) connection.earlyFor(listener);
    listener.halfOpen++;
    let tcb: Tcb | null;
    if (listener.multipath && validCapableSyn(segment)) {
      const { endpoints } = listener;
      const side = new MultipathConnection({ env, owner: connection, client: false, endpoints });
      connection.multipathSide = side;
      connection.stream = side;
      tcb = acceptFirst(side, { ...endpoint, advertise: listener.advertise, fastOpen }, segment, now);
    } else {
      tcb = openPlain(flows, connection, { ...endpoint, env, now });
      if (tcb !== null) {
        tcb.fastOpenServer = fastOpen;
        openPassive(tcb, segment, now);
      }
    }
    if (tcb === null) {
      connection.notOpened();
      return;
    }
    connection.setEndpoints(tcb);
    this.parts.adopt(connection);
  }
}

/** RFC 6191 §2: whether a SYN in TIME-WAIT can only be of a later connection. */
function isNewer(tcb: Tcb, segment: Segment): boolean {
  const stamped = tcb.env.config.timestamps && segment.hasTimestamps;
  if (stamped && !tcb.timestamps) return true;
  if (stamped && segment.tsVal !== tcb.tsRecent) return ((segment.tsVal - tcb.tsRecent) | 0) > 0;
  return tcb.unwrapSeq(segment.seq) >= tcb.rcvNxt;
}
