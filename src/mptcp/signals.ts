// Decides the address and priority signals: ADD_ADDR with HMAC and echo, REMOVE_ADDR, MP_PRIO (RFC 8684
// §3.3.8, §3.4).
// They travel on pure ACKs, one at a time; ADD_ADDR is repeated until echoed.
// Before: options-out asks for one, options-in hands one over. After: paths/ opens or closes subflows.

import { Mp, optionFits, parseAddress, type Segment } from '../wire/index.ts';
import type { MultipathConnection } from './connection.ts';
import { addAddrHmac } from './keys.ts';
import { Stage, type Subflow } from './subflow.ts';
import { probeForRemoval } from './subflow-life.ts';
import { hasAlternative } from './suspicion.ts';

/** An address of ours that the peer should know (soft state until echoed). */
interface Announcement {
  readonly id: number;
  readonly family: 4 | 6;
  readonly words: Int32Array;
  readonly port: number;
  due: boolean;
  tries: number;
  deadlineMs: number;
}

/** An ADD_ADDR to be echoed. */
interface Echo {
  readonly id: number;
  readonly family: 4 | 6;
  readonly words: Int32Array;
  readonly port: number;
}

/** A REMOVE_ADDR, which nothing acknowledges. */
interface Removal {
  readonly id: number;
  due: boolean;
  /** How often it is said after this, and when next. */
  left: number;
  deadlineMs: number;
}

/** What one connection still has to signal. */
export class Signals {
  private readonly announcements: Announcement[] = [];
  private readonly echoes: Echo[] = [];
  private readonly removals: Removal[] = [];
  /** Identifiers that the peer was told, or will be. */
  private readonly told: Set<number> = new Set();
  /** Announcements that wait for their echo at a time. */
  mostWaiting = 2;

  /** True when an ACK should be sent for the sake of a signal. */
  get pending(): boolean {
    if (this.echoes.length > 0 || this.removals.some(({ due }) => due)) return true;
    return this.dueAnnouncement !== undefined;
  }

  /** What goes next is an address: an echo, or one of ours. */
  get addressNext(): boolean {
    return this.echoes.length > 0 || this.dueAnnouncement !== undefined;
  }

  /**
   * The next address to announce. RFC 8684 §3: an implementation "SHOULD NOT send more than two duplicate
   * ACKs in a row for the purposes of sending MPTCP options alone": so many wait for their echo at a time.
   */
  private get dueAnnouncement(): Announcement | undefined {
    let waiting = 0;
    for (const { deadlineMs } of this.announcements) if (deadlineMs !== Infinity) waiting++;
    return waiting < this.mostWaiting ? this.announcements.find(a => a.due) : undefined;
  }

  announce(address: { id: number; family: 4 | 6; words: Int32Array; port: number }): void {
    this.announcements.push({ ...address, due: true, tries: 0, deadlineMs: Infinity });
    this.told.add(address.id);
    this.inUse(address.id);
  }

  /** How many addresses the peer was told, or will be. */
  get announcedCount(): number {
    return this.told.size;
  }

  wasAnnounced(id: number): boolean {
    return this.told.has(id);
  }

  /** Said at once and `retries` times more, for it goes on segments that may be lost or overtaken. */
  remove(id: number, retries: number): void {
    const at = this.removals.findIndex(removal => removal.id === id);
    if (at >= 0) this.removals.splice(at, 1);
    this.removals.push({ id, due: true, left: retries, deadlineMs: Infinity });
    const i = this.announcements.findIndex(a => a.id === id);
    if (i >= 0) this.announcements.splice(i, 1);
  }

  /** The identifier means an address of ours again: its removal is not repeated. */
  inUse(id: number): void {
    const at = this.removals.findIndex(removal => removal.id === id);
    if (at < 0) return;
    this.removals[at].left = 0;
    if (!this.removals[at].due) this.removals.splice(at, 1);
  }

  echo(address: Echo): void {
    if (this.echoes.length < 8) this.echoes.push(address);
  }

  echoed(id: number): void {
    const i = this.announcements.findIndex(a => a.id === id);
    if (i >= 0) this.announcements.splice(i, 1);
  }

  nextDeadline(): number {
    let earliest = Infinity;
    for (const { deadlineMs } of this.announcements) earliest = Math.min(earliest, deadlineMs);
    for (const { deadlineMs } of this.removals) earliest = Math.min(earliest, deadlineMs);
    return earliest;
  }

  /** Announcements whose echo is overdue are due again, a limited number of times; removals in any case. */
  expire(now: number, retries: number): void {
    for (const removal of this.removals) {
      if (removal.deadlineMs > now) continue;
      removal.deadlineMs = Infinity;
      removal.due = true;
    }
    for (const announcement of [...this.announcements]) {
      if (announcement.deadlineMs > now) continue;
      announcement.deadlineMs = Infinity;
      if (announcement.tries > retries) this.echoed(announcement.id);
      else announcement.due = true;
    }
  }

  clear(): void {
    this.announcements.length = this.echoes.length = this.removals.length = 0;
  }

  /** Puts one signal on a segment: there is room, but for an address, which goes alone. */
  put({ connection, tcb }: Subflow, segment: Segment, now: number): void {
    const echo = this.echoes[0];
    if (echo !== undefined) {
      putAddress(segment, echo, true);
      this.echoes.shift();
      connection.env.counters.EchoAddTx++;
      return;
    }
    const announcement = this.dueAnnouncement;
    if (announcement !== undefined && connection.remoteKey !== null) {
      const keys = { sender: connection.localKey, receiver: connection.remoteKey };
      const hmac = addAddrHmac(connection.env.entropy, keys, announcement);
      segment.addAddrHmacHi = hmac.hi;
      segment.addAddrHmacLo = hmac.lo;
      putAddress(segment, announcement, false);
      announcement.due = false;
      announcement.deadlineMs = now + connection.env.config.addAddrTimeoutMs * 2 ** announcement.tries;
      announcement.tries++;
      connection.env.counters.AddAddrTx++;
      return;
    }
    const removals = this.removals.filter(({ due }) => due).slice(0, MOST_REMOVED);
    if (removals.length === 0) return;
    segment.mp |= Mp.REMOVE_ADDR;
    segment.removeCount = removals.length;
    segment.removeIds.set(removals.map(({ id }) => id));
    connection.env.counters.RmAddrTx += removals.length;
    for (const removal of removals) {
      removal.due = false;
      if (removal.left === 0) this.removals.splice(this.removals.indexOf(removal), 1);
      else removal.deadlineMs = now + tcb.rtt.rtoMs;
      removal.left--;
    }
  }
}

/** An address of ours for the peer to join, by ADD_ADDR. */
export function announce(connection: MultipathConnection, place: { address: string; port?: number }): void {
  const words = new Int32Array(4);
  const family = parseAddress(place.address, words);
  if (family === 0) return;
  const port = !connection.client && place.port === connection.serverPort ? 0 : (place.port ?? 0);
  const id = connection.paths.announcedId(words, port);
  // The peer is connected to that one.
  if (id !== 0) connection.signals.announce({ id, family, words, port });
}

/** Both ends have both keys: a server knows so from the third ACK, a client from what comes after it. */
export function maySignal(connection: MultipathConnection): boolean {
  return connection.confirmed || (!connection.client && connection.remoteKey !== null);
}

/**
 * Adds the next signal of the connection to a pure ACK. An address goes alone, so that it must wait for an
 * ACK that says nothing new (`isRepeat`): a middlebox that takes the option away leaves a bare duplicate.
 */
export function addSignal(subflow: Subflow, segment: Segment, isRepeat: boolean, now: number): void {
  const connection = subflow.connection;
  if (!maySignal(connection)) return;
  if (subflow.prioPending) {
    segment.prioBackup = subflow.localBackup;
    segment.mp |= Mp.PRIO;
    subflow.prioPending = false;
    connection.env.counters.MPPrioTx++;
  }
  // What a silent path takes along may be lost.
  if (subflow.stage === Stage.SUSPECT && hasAlternative(subflow)) return;
  const mayTakeAddress = isRepeat && (segment.mp & Mp.PRIO) === 0;
  if (mayTakeAddress || !connection.signals.addressNext) connection.signals.put(subflow, segment, now);
}

/** RFC 8684 §3.3.8: the peer's wish for data sent to it on this subflow. */
export function prioReceived(subflow: Subflow, segment: Segment): void {
  subflow.connection.env.counters.MPPrioRx++;
  subflow.remoteBackup = segment.prioBackup;
}

/** RFC 8684 §3.4.1: an echo, or an address of the peer. */
export function addAddrReceived(subflow: Subflow, segment: Segment, now: number): void {
  const connection = subflow.connection;
  const counters = connection.env.counters;
  if (segment.addAddrEcho) {
    counters.EchoAdd++;
    connection.signals.echoed(segment.addAddrId);
    return;
  }
  // unreachable: options are heard when the handshake is over
  if (connection.remoteKey === null) return;
  const address = {
    id: segment.addAddrId,
    family: segment.addAddrFamily,
    words: Int32Array.of(segment.addAddr0, segment.addAddr1, segment.addAddr2, segment.addAddr3),
    port: segment.addAddrPort,
  };
  const keys = { sender: connection.remoteKey, receiver: connection.localKey };
  const hmac = addAddrHmac(connection.env.entropy, keys, address);
  if (hmac.hi !== segment.addAddrHmacHi || hmac.lo !== segment.addAddrHmacLo) {
    // RFC 8684 §3.4.1: "it SHOULD silently ignore the option"
    counters.AddAddrDrop++;
    return;
  }
  counters.AddAddr++;
  if (address.port !== 0) counters.PortAdd++;
  // Its HMAC proves that the peer has both keys, as a DSS does.
  connection.confirm(now);
  connection.signals.echo(address);
  // RFC 8684 §3.4.1: without a port, the one "already in use by the subflow on which the ADD_ADDR signal was
  // sent".
  const port = address.port === 0 ? subflow.tcb.remotePort : address.port;
  connection.paths.peerAddress({ ...address, port }, now);
}

/**
 * RFC 8684 §3.4.2: keepalive first; a path that answers is not removed. Until it answers it is not used, so
 * that the peer can move us off a path that has died on its side.
 */
export function removeAddrReceived(subflow: Subflow, segment: Segment, now: number): void {
  const connection = subflow.connection;
  connection.env.counters.RmAddr += segment.removeCount;
  for (let i = 0; i < segment.removeCount; i++) {
    const id = segment.removeIds[i];
    connection.paths.peerAddressRemoved(id);
    for (const other of connection.subflows) {
      if (other.remoteAddressId !== id || other === subflow || !other.isOpen) continue;
      probeForRemoval(other, now);
    }
  }
}

function putAddress(segment: Segment, address: Echo, echo: boolean): void {
  segment.addAddrId = address.id;
  segment.addAddrEcho = echo;
  segment.addAddrFamily = address.family;
  segment.addAddr0 = address.words[0];
  segment.addAddr1 = address.words[1];
  segment.addAddr2 = address.words[2];
  segment.addAddr3 = address.words[3];
  segment.addAddrPort = address.port;
  // Alone, as Linux sends it, and without timestamps if need be (RFC 8684 §3.4.1).
  segment.mp = 0;
  segment.dssFlags = 0;
  if (!optionFits(segment, Mp.ADD_ADDR)) segment.hasTimestamps = false;
  segment.mp = Mp.ADD_ADDR;
}

/** As many as fit beside timestamps, a DSS with a DATA_ACK and MP_PRIO. */
const MOST_REMOVED = 8;
