// Decides how a connection and its subflows begin: active and passive open (RFC 8684 §3.1), joins asked for
// and joins asked of us (§3.2). Before: host.connect, host/incoming, the path manager. After: tcp/handshake,
// mptcp/handshake.

import {
  type FastOpenClient,
  type FastOpenServer,
  type NetworkInterface,
  openPassive,
  type Tcb,
} from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { joinHmac } from './keys.ts';
import { knownOf, Options } from './network-memory.ts';
import type { PathOptions } from './observation.ts';
import { SynRace } from './race.ts';
import { ResetReason } from './reset-reason.ts';
import { type JoinState, type PlainCause, Subflow } from './subflow.ts';

/** Where a subflow runs. */
export interface SubflowEndpoint {
  networkInterface: NetworkInterface;
  /** 0 = the host picks one. */
  localPort: number;
  remoteWords: Int32Array;
  remotePort: number;
}

interface NewSubflow {
  initial: boolean;
  join: JoinState | null;
  localAddressId: number;
  name?: string;
  backup?: boolean;
  cost?: number;
  plainCause?: PlainCause;
}

/** Active open. */
export function openFirst(
  connection: MultipathConnection,
  options: SubflowEndpoint & {
    paths: readonly PathOptions[];
    remote: { address: string; port: number };
    fastOpen: FastOpenClient | null;
  },
  now: number,
): void {
  const first = options.paths[0];
  connection.owner.tokenChosen(connection.localKey.token);
  connection.serverPort = options.remotePort;
  const known = knownOf(connection, options.networkInterface, now);
  connection.checksum ||= known.altersPayload;
  const subflow = addSubflow(
    connection,
    options,
    {
      ...first,
      initial: true,
      join: null,
      localAddressId: 0,
      ...(known.options === Options.DROPPED ? { plainCause: 'network-remembered' } : {}),
    },
    now,
  );
  if (subflow === null) {
    connection.finish({ code: 'EADDRINUSE', text: 'no local port is free for connection destination' });
    return;
  }
  connection.paths.localId(options.networkInterface.words, 0);
  connection.paths.plan(options.paths, options.remote, subflow);
  connection.owner.setEndpoints(subflow.tcb);
  subflow.tcb.fastOpenClient = options.fastOpen;
  // With a cookie, the SYN waits for data to take along (Linux: TCP_FASTOPEN_CONNECT).
  if (options.fastOpen?.carries) subflow.tcb.defer();
  else sendFirst(connection, now);
}

/** The first SYN leaves. */
export function sendFirst(connection: MultipathConnection, now: number): void {
  const [subflow] = connection.subflows;
  const known = knownOf(connection, subflow.tcb.networkInterface, now);
  subflow.tcb.open(now);
  if (subflow.plainCause !== null) connection.env.counters.MPCapableSYNTXDisabled++;
  else if (connection.env.config.plainSynMs > 0) {
    connection.race = new SynRace(connection, subflow, known.options === Options.SUSPECT, now);
    connection.race.expire(now);
  }
}

/** Passive open: a SYN with a valid MP_CAPABLE. */
export function acceptFirst(
  connection: MultipathConnection,
  options: SubflowEndpoint & {
    advertise: readonly { address: string; port?: number }[];
    fastOpen: FastOpenServer | null;
  },
  segment: Segment,
  now: number,
): Tcb | null {
  connection.env.counters.MPCapableSYNRX++;
  connection.advertise = options.advertise;
  connection.serverPort = options.localPort;
  connection.checksum = connection.checksum || (segment.capableFlags & 0x80) !== 0;
  connection.owner.tokenChosen(connection.localKey.token);
  const subflow = addSubflow(connection, options, { initial: true, join: null, localAddressId: 0 }, now);
  // unreachable: the SYN came by an interface that is up, and for no block there is
  if (subflow === null) {
    connection.owner.tokenDropped(connection.localKey.token);
    return null;
  }
  connection.paths.localId(options.networkInterface.words, 0);
  subflow.tcb.fastOpenServer = options.fastOpen;
  openPassive(subflow.tcb, segment, now);
  return subflow.tcb;
}

/** So long after falling back a SYN with MP_JOIN may have crossed with the news of it, repeated once. */
const CROSSING_MS = 1_500;

/**
 * True for a SYN with MP_JOIN that has crossed with our falling back.
 * DEVIATION (a RST would refuse it): Linux, once it has fallen back, takes a RST in answer to a join for the
 * end of the connection. A SYN/ACK without MP_JOIN refuses the subflow alone, RFC 8684 §3.2: "Host A MUST
 * close the subflow with a TCP RST".
 */
export function joinCrossed({ plain, plainSinceMs, isDone }: MultipathConnection, now: number): boolean {
  return plain !== null && !isDone && now - plainSinceMs < CROSSING_MS;
}

/** A SYN with MP_JOIN and our token. Returns the MP_TCPRST reason of a refusal, -1 when it is taken. */
export function joinRequested(
  connection: MultipathConnection,
  segment: Segment,
  networkInterface: NetworkInterface,
  now: number,
): number {
  // In M_TIME_WAIT a join is welcome: it fetches the last DATA_ACK.
  const over = connection.isDone && connection.timeWaitMs === Infinity;
  const { remoteKey } = connection;
  if (remoteKey === null || connection.plain !== null || over) return ResetReason.MPTCP;
  if (connection.subflows.length >= connection.mostSubflows) return ResetReason.RESOURCES;
  const join: JoinState = {
    remoteKey,
    localNonce: connection.env.random32(),
    remoteNonce: segment.joinNonce,
    hmac: new Uint8Array(0),
    thirdAckMs: Infinity,
    thirdAcks: 0,
  };
  join.hmac = joinHmac(
    connection.env.entropy,
    { sender: connection.localKey, receiver: remoteKey },
    { sender: join.localNonce, receiver: join.remoteNonce },
  );
  const remoteWords = Int32Array.of(segment.src0, segment.src1, segment.src2, segment.src3);
  const endpoint = {
    networkInterface,
    localPort: segment.dstPort,
    remoteWords,
    remotePort: segment.srcPort,
  };
  const localAddressId = connection.paths.localId(networkInterface.words, segment.dstPort);
  const subflow = addSubflow(connection, endpoint, { initial: false, join, localAddressId }, now);
  // unreachable: as above
  if (subflow === null) return ResetReason.RESOURCES;
  subflow.remoteAddressId = segment.joinAddressId;
  subflow.remoteBackup = segment.joinBackup;
  if (segment.dstPort !== connection.serverPort) connection.env.counters.MPJoinPortSynRx++;
  // The peer may count it as one from our answer on, and no longer go on as TCP.
  subflow.mayCarry = true;
  openPassive(subflow.tcb, segment, now);
  return -1;
}

/** Opens another subflow (path manager); null when no port is free. */
export function openJoin(
  connection: MultipathConnection,
  options: SubflowEndpoint & { name: string; backup: boolean; cost: number },
  now: number,
): Subflow | null {
  const { remoteKey } = connection;
  // unreachable: a join is planned from a DSS on, by when both keys are known
  if (remoteKey === null) return null;
  const join: JoinState = {
    remoteKey,
    localNonce: connection.env.random32(),
    remoteNonce: 0,
    hmac: new Uint8Array(0),
    thirdAckMs: Infinity,
    thirdAcks: 0,
  };
  const localAddressId = connection.paths.localId(options.networkInterface.words, 0);
  const subflow = addSubflow(connection, options, { ...options, initial: false, join, localAddressId }, now);
  if (subflow === null) connection.env.counters.MPJoinSynTxBindErr++;
  subflow?.tcb.open(now);
  return subflow;
}

export function addSubflow(
  connection: MultipathConnection,
  endpoint: SubflowEndpoint,
  options: NewSubflow,
  now: number,
): Subflow | null {
  const subflow = new Subflow({
    connection: connection,
    // Of several initial ones only one lives on.
    id: options.initial ? 0 : connection.nextSubflowId,
    name: options.name ?? endpoint.networkInterface.name,
    initial: options.initial,
    localAddressId: options.localAddressId,
    remoteAddressId: 0,
    backup: options.backup ?? false,
    cost: options.cost ?? 0,
    join: options.join,
    plainCause: options.plainCause ?? null,
  });
  const { networkInterface, localPort, remoteWords, remotePort } = endpoint;
  const extension = subflow;
  const place = { networkInterface, localPort, remoteWords, remotePort };
  const tcb = connection.owner.createTcb({ env: connection.env, ...place, extension, now });
  if (tcb === null) return null;
  if (!options.initial) connection.nextSubflowId++;
  subflow.tcb = tcb;
  tcb.noDelay = connection.noDelay;
  tcb.hold = connection.hold;
  // RFC 8684 §3.3.7: controllers made for it are coupled.
  connection.coupling.add(tcb.congestion);
  connection.subflows.push(subflow);
  connection.signals.inUse(options.localAddressId);
  return subflow;
}
