// Decides the two MPTCP handshakes: MP_CAPABLE (RFC 8684 §3.1) and MP_JOIN (§3.2), from both sides.
// Before: tcp/handshake calls through the subflow. After: the connection is confirmed, or falls back
// (mptcp/fallback).

import { Timer } from '../tcp/index.ts';
import { CapableFlag, Mp, type Segment } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { fallBack } from './fallback.ts';
import { joinHmac, keyFrom, sameBytes } from './keys.ts';
import { optionsDropped } from './network-memory.ts';
import { ResetReason } from './reset-reason.ts';
import { type JoinState, type PlainCause, Stage, type Subflow } from './subflow.ts';
import { subflowActive, thirdAckDelay } from './subflow-life.ts';

const VERSION = 1;

/** True for a SYN whose MP_CAPABLE this stack answers: version 1 or above, HMAC-SHA256 offered, B clear. */
export function validCapableSyn(segment: Segment): boolean {
  if ((segment.mp & Mp.CAPABLE) === 0 || segment.capableLength !== 4) return false;
  // RFC 8684 §3.1: the responder's version is equal to or lower than the initiator's; version 0 is not spoken
  // here.
  return segment.capableVersion >= VERSION && validFlags(segment.capableFlags);
}

/** RFC 8684 §3.1: "B" set is not understood; no algorithm in common makes the option invalid. */
function validFlags(flags: number): boolean {
  return (flags & CapableFlag.EXTENSIBILITY) === 0 && (flags & CapableFlag.HMAC_SHA256) !== 0;
}

/** Flags A, C and H of our MP_CAPABLE (RFC 8684 §3.1). */
export function capableFlags({ checksum, env }: MultipathConnection): number {
  const deny = env.config.allowJoinInitialAddress ? 0 : CapableFlag.NO_JOIN_TO_SOURCE;
  return CapableFlag.HMAC_SHA256 | deny | (checksum ? CapableFlag.CHECKSUM : 0);
}

/** Options of a SYN or SYN/ACK. */
export function synOptions(subflow: Subflow, segment: Segment, synAck: boolean): void {
  const connection = subflow.connection;
  if (!synAck) giveUpCapable(subflow);
  if (subflow.plainCause !== null) return;
  const { join } = subflow;
  if (join === null) {
    const local = connection.localKey;
    segment.mp = Mp.CAPABLE;
    segment.capableVersion = VERSION;
    segment.capableFlags = capableFlags(connection);
    segment.capableLength = synAck ? 12 : 4;
    segment.senderKeyHi = local.hi;
    segment.senderKeyLo = local.lo;
    // DEVIATION (Linux sends its infinite mapping, which only checksums bring about, in segments sized
    // without it: on a path of full MTU they exceed it by the DSS and never leave): leave room for one below
    // the MTU.
    if (connection.checksum) segment.mss -= INFINITE_MAPPING_BYTES;
    connection.env.counters.MPCapableSYNTX += synAck ? 0 : 1;
    return;
  }
  segment.mp = Mp.JOIN;
  segment.joinBackup = subflow.localBackup;
  segment.joinAddressId = subflow.localAddressId;
  segment.joinNonce = join.localNonce;
  segment.joinLength = synAck ? 16 : 12;
  if (synAck) {
    segment.joinHmac.set(join.hmac);
  } else {
    segment.joinToken = join.remoteKey.token;
    connection.env.counters.MPJoinSynTx++;
  }
}

/** RFC 8684 §3.1: "at some point the host SHOULD fall back to regular TCP" when no answer comes. */
function giveUpCapable(subflow: Subflow): void {
  const { env } = subflow.connection;
  const limit = env.config.synRetransBeforeFallback;
  if (!subflow.initial || subflow.plainCause !== null) return;
  if (subflow.tcb.synTransmissions <= limit) return;
  subflow.plainCause = 'syn-unanswered';
  env.counters.MPCapableSYNTXDrop++;
}

/** The SYN/ACK arrived at the side that opened the subflow. False: the subflow was ended. */
export function synAckReceived(subflow: Subflow, segment: Segment, now: number): boolean {
  const { join } = subflow;
  return join === null ? capableAnswered(subflow, segment, now) : joinAnswered(subflow, join, segment, now);
}

function capableAnswered(subflow: Subflow, segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  const counters = connection.env.counters;
  if (subflow.plainCause !== null) return plainAnswered(subflow, subflow.plainCause, now);
  const valid =
    segment.capableLength === 12 &&
    segment.capableVersion === VERSION &&
    // RFC 8684 §3.1: "The responder responds with only 1 bit set"
    (segment.capableFlags & 0x5f) === CapableFlag.HMAC_SHA256;
  if (!valid) {
    // RFC 8684 §3.1: "the MPTCP session MUST operate as a regular, single-path TCP session"
    return fallBack(subflow, { cause: 'syn-ack-without-option', seenBy: 'local' }, now);
  }
  counters.MPCapableSYNACKRX++;
  connection.owner.networks.optionsPass(subflow.tcb.networkInterface.network);
  connection.checksum = connection.checksum || (segment.capableFlags & CapableFlag.CHECKSUM) !== 0;
  connection.remoteDeniesJoin = (segment.capableFlags & CapableFlag.NO_JOIN_TO_SOURCE) !== 0;
  connection.setRemoteKey(keyFrom(connection.env.entropy, segment.senderKeyHi, segment.senderKeyLo));
  connection.openWindow(connection.firstDsn, segment.window);
  return true;
}

/** RFC 8684 §3.1: a SYN without MP_CAPABLE begins a regular TCP session. */
function plainAnswered(subflow: Subflow, cause: PlainCause, now: number): boolean {
  const { connection, tcb } = subflow;
  connection.owner.setEndpoints(tcb);
  // Where the first SYN without the option was lost as well, the option is not what they were lost for.
  const firstWithout = tcb.synTransmissions === connection.env.config.synRetransBeforeFallback + 2;
  if (connection.race !== null || (cause === 'syn-unanswered' && firstWithout)) optionsDropped(subflow, now);
  return fallBack(subflow, { cause, seenBy: 'local' }, now);
}

/**
 * Passive side: may this ACK complete the handshake? A segment with DSS but without MP_CAPABLE has overtaken
 * the one that carries the keys: it is dropped, so that reordering is not taken for a middlebox. An answer to
 * a SYN/ACK that was repeated after a timeout would carry them if any segment did; Linux has none for it
 * after repeating a SYN with data.
 */
export function handshakeAdmits(subflow: Subflow, segment: Segment): boolean {
  if (!subflow.initial || subflow.connection.client) return true;
  if ((segment.mp & Mp.CAPABLE) !== 0 || (segment.mp & Mp.DSS) === 0) return true;
  return segment.payloadLength === 0 && subflow.tcb.backoff > 0;
}

/** The ACK that completes a passive handshake. False: the subflow was ended. */
export function thirdAckReceived(subflow: Subflow, segment: Segment, now: number): boolean {
  const { join } = subflow;
  return join === null ? capableConfirmed(subflow, segment, now) : joinConfirmed(subflow, join, segment, now);
}

function capableConfirmed(subflow: Subflow, segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  const counters = connection.env.counters;
  const local = connection.localKey;
  if (segment.capableLength < 20 || segment.capableVersion !== VERSION || !validFlags(segment.capableFlags)) {
    // RFC 8684 §3.1: "If the third packet (the ACK) does not contain the MP_CAPABLE option, then the session
    // MUST fall back to operating as a regular, single-path TCP session."
    return fallBack(subflow, { cause: 'ack-without-option', seenBy: 'local' }, now);
  }
  if (segment.receiverKeyHi !== local.hi || segment.receiverKeyLo !== local.lo) {
    return fallBack(subflow, { cause: 'handshake-corrupt', seenBy: 'local' }, now);
  }
  counters.MPCapableACKRX++;
  connection.checksum = connection.checksum || (segment.capableFlags & CapableFlag.CHECKSUM) !== 0;
  connection.setRemoteKey(keyFrom(connection.env.entropy, segment.senderKeyHi, segment.senderKeyLo));
  connection.openWindow(1, segment.window << subflow.tcb.sndScale);
  connection.managed?.work(now);
  // A client may join only once it has seen a DSS: where neither side has data yet, an acknowledgement is
  // one.
  const { asLinux, firstDataAck } = connection.env.config;
  if (segment.payloadLength === 0 && (firstDataAck || (subflow.earlyIn > 0 && !asLinux))) {
    subflow.tcb.deadlines[Timer.DELAYED_ACK] = now + connection.env.config.delayedAckMs;
  }
  return true;
}

function joinAnswered(subflow: Subflow, join: JoinState, segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  const { remoteKey } = join;
  if (segment.joinLength !== 16) {
    // RFC 8684 §3.2: "If the SYN/ACK as received at Host A does not have an MP_JOIN option, Host A MUST close
    // the subflow with a TCP RST."
    subflow.reset({ reason: ResetReason.MPTCP, text: 'the SYN/ACK carried no MP_JOIN' }, now);
    return false;
  }
  const keys = { sender: remoteKey, receiver: connection.localKey };
  const nonces = { sender: segment.joinNonce, receiver: join.localNonce };
  const expected = joinHmac(connection.env.entropy, keys, nonces);
  if (!sameBytes(expected, segment.joinHmac, 8)) {
    connection.env.counters.MPJoinSynAckHMacFailure++;
    subflow.reset({ reason: ResetReason.MPTCP, text: 'the SYN/ACK carried a wrong HMAC' }, now);
    return false;
  }
  const { counters } = connection.env;
  counters.MPJoinSynAckRx++;
  if (segment.joinBackup) counters.MPJoinSynAckBackupRx++;
  if (!isUsualPort(connection, subflow.tcb.remotePort)) counters.MPJoinPortSynAckRx++;
  join.remoteNonce = segment.joinNonce;
  join.hmac = joinHmac(
    connection.env.entropy,
    { sender: connection.localKey, receiver: remoteKey },
    { sender: join.localNonce, receiver: join.remoteNonce },
  );
  subflow.remoteAddressId = segment.joinAddressId;
  subflow.remoteBackup = segment.joinBackup;
  subflow.stage = Stage.PRE_ESTABLISHED;
  subflow.mayCarry = true;
  join.thirdAckMs = now + thirdAckDelay(subflow.tcb, 0);
  return true;
}

function joinConfirmed(subflow: Subflow, join: JoinState, segment: Segment, now: number): boolean {
  const connection = subflow.connection;
  const expected = joinHmac(
    connection.env.entropy,
    { sender: join.remoteKey, receiver: connection.localKey },
    { sender: join.remoteNonce, receiver: join.localNonce },
  );
  if (segment.joinLength !== 24 || !sameBytes(expected, segment.joinHmac, 20)) {
    // RFC 8684 §3.2: "If Host B does not receive the expected HMAC or the MP_JOIN option is missing from the
    // ACK, it MUST close the subflow with a TCP RST."
    connection.env.counters.MPJoinAckHMacFailure++;
    subflow.reset({ reason: ResetReason.MPTCP, text: 'the third ACK carried no valid HMAC' }, now);
    return false;
  }
  connection.env.counters.MPJoinAckRx++;
  if (!isUsualPort(connection, subflow.tcb.localPort)) connection.env.counters.MPJoinPortAckRx++;
  return true;
}

/** The port of the first subflow at the server, and not one that was announced. */
export function isUsualPort(connection: MultipathConnection, serverPort: number): boolean {
  return connection.serverPort === 0 || serverPort === connection.serverPort;
}

/** The TCP handshake of a join completed on this side. */
export function joinCompleted(subflow: Subflow, now: number): void {
  // RFC 8684 §3.2: "receipt of this packet MUST trigger a regular TCP ACK in response"
  subflow.tcb.ackPending = true;
  if (subflow.stage === Stage.CONNECTING) subflowActive(subflow.connection, subflow, now);
}

/** An ACK on a subflow whose HMAC was outstanding: the peer has it. */
export function preEstablishedAcknowledged(subflow: Subflow, join: JoinState, now: number): void {
  join.thirdAckMs = Infinity;
  subflowActive(subflow.connection, subflow, now);
}

/** A DSS with everything: 64-bit DATA_ACK and DSN, checksum. */
const INFINITE_MAPPING_BYTES = 28;
