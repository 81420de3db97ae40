// Decides which subflows a connection should have. The client opens one for each of its paths, and again when
// one is lost; the server opens none and advertises only what it was told to. Both answer joins within
// limits.
// Read: RFC 8684 §3.2, §3.4, §3.9. Before: connection (confirmed, lost subflows), signals. After:
// connection.openJoin.

import type { NetworkInterface } from '../../tcp/index.ts';
import {
  formatWords,
  isLinkLocal,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseAddress,
} from '../../wire/index.ts';
import type { MultipathConnection } from '../connection.ts';
import type { PathOptions } from '../observation.ts';
import { openJoin } from '../opening.ts';
import { LASTING_REASONS } from '../reset-reason.ts';
import { Stage, type Subflow } from '../subflow.ts';
import { hastenJoin, isStuck, replaced } from '../subflow-life.ts';
import type { Managed } from './managed.ts';

/** A pair of addresses that should carry a subflow. */
interface Plan {
  readonly path: PathOptions;
  readonly networkInterface: NetworkInterface;
  readonly remoteWords: Int32Array;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Address id of the peer's announcement, -1 when the address was configured. */
  readonly remoteId: number;
  subflow: Subflow | null;
  /** A second subflow meant to replace a silent one. */
  replacement: Subflow | null;
  /** Waiting for the link to open a port; 0 when not. */
  requestId: number;
  /** Attempts in a row without success. */
  failures: number;
  nextMs: number;
}

/** An address of the peer, by its announcement. */
interface Announced {
  readonly id: number;
  readonly words: Int32Array;
  readonly port: number;
}

export class PathManager {
  private readonly connection: MultipathConnection;
  private readonly plans: Plan[] = [];
  /** What the peer announced and has not withdrawn, unless it failed. */
  private readonly announced: Announced[] = [];
  /** By address, or by address and port where a port of its own was announced. */
  private readonly addressIds: Map<string, number> = new Map();
  private nextAddressId = 0;
  private nextRequestId = 1;
  private started = false;
  private stopped = false;
  private defaultRemote: { address: string; port: number } = { address: '', port: 0 };

  constructor(connection: MultipathConnection) {
    this.connection = connection;
  }

  /** Client: the paths of the connection, the first of which carries `initial`. */
  plan(paths: readonly PathOptions[], remote: { address: string; port: number }, initial: Subflow): void {
    this.defaultRemote = remote;
    for (const [i, path] of paths.entries()) {
      const plan = this.addPlan(path, path.remote ?? remote, -1);
      if (i === 0 && plan !== null) plan.subflow = initial;
    }
  }

  /**
   * RFC 8684 §3.2, §3.4.1: the identifier of a local address, or of one of its ports that was announced; the
   * initial subflow's is 0.
   */
  localId(words: Int32Array, port: number): number {
    const address = formatWords(words);
    const ofPort =
      port === 0 ? undefined : (this.addressIds.get(`${address} ${port}`) ?? this.endpointId(words, port));
    const known = ofPort ?? this.addressIds.get(address) ?? this.endpointId(words, 0);
    return known ?? this.newId(address);
  }

  /** The identifier to announce an address with; port 0 is the port connected to. */
  announcedId(words: Int32Array, port: number): number {
    if (port === 0) return this.localId(words, 0);
    const place = `${formatWords(words)} ${port}`;
    return this.addressIds.get(place) ?? this.endpointId(words, port) ?? this.newId(place);
  }

  /** The identifier that the host gives it; not for the first subflow's address, which is 0. */
  private endpointId(words: Int32Array, port: number): number | undefined {
    return this.nextAddressId === 0 ? undefined : this.managed?.endpoints.find(words, port)?.id;
  }

  /** A local address has gone: its identifiers, which are not used again. */
  forgetAddress(words: Int32Array): number[] {
    const address = formatWords(words);
    const ids: number[] = [];
    for (const [place, id] of [...this.addressIds]) {
      if (place !== address && !place.startsWith(`${address} `)) continue;
      ids.push(id);
      this.addressIds.delete(place);
    }
    return ids;
  }

  /** The connection may have more subflows now (RFC 8684 §3.1: a DSS was received). */
  start(now: number): void {
    this.started = true;
    for (const plan of this.plans) if (plan.subflow === null) plan.nextMs = now;
    this.run(now);
  }

  stop(): void {
    this.stopped = true;
    this.plans.length = 0;
  }

  addPath(path: PathOptions, now: number): void {
    if (!this.connection.client) return;
    const plan = this.addPlan(path, path.remote ?? this.defaultRemote, -1);
    if (plan !== null) plan.nextMs = now;
    for (const address of this.announced) this.planAnnounced(path, address, now);
    this.run(now);
  }

  /** A path from an endpoint of the host (paths/managed): to the peer's first address, or to all it has. */
  addManaged(path: PathOptions, toAll: boolean, now: number): void {
    const plan = this.addPlan(path, this.defaultRemote, -1);
    if (plan !== null) plan.nextMs = now;
    if (toAll) for (const address of this.announced) this.planAnnounced(path, address, now);
  }

  /** Subflows that there are or should be, the first included. */
  get planned(): number {
    return this.plans.length;
  }

  private get managed(): Managed | null {
    return this.connection.managed;
  }

  /** Forgets what goes over an interface. */
  removeInterface(interfaceId: number): void {
    removeWhere(this.plans, ({ path }) => path.interfaceId === interfaceId);
  }

  /** RFC 8684 §3.4.1: the peer can be reached at another address, from paths added later, too. */
  peerAddress(address: Announced, now: number): void {
    if (!this.connection.client) return;
    const known = this.announced.some(other => other.id === address.id && isSamePlace(other, address));
    if (this.managed !== null) {
      const from = known ? null : this.managed.takes(address.words);
      if (from === null) return;
      this.announced.push(address);
      for (const path of from) this.planAnnounced(path, address, now);
      this.run(now);
      return;
    }
    if (!known && this.announced.length < MOST_PLANS) this.announced.push(address);
    const seen = new Set<number>();
    for (const { path } of [...this.plans]) {
      if (seen.has(path.interfaceId)) continue;
      seen.add(path.interfaceId);
      this.planAnnounced(path, address, now);
    }
    this.run(now);
  }

  /** RFC 8684 §3.4.2: no new subflows to an address that was withdrawn. */
  peerAddressRemoved(id: number): void {
    removeWhere(this.plans, ({ remoteId }) => remoteId === id);
    removeWhere(this.announced, address => address.id === id);
  }

  nextDeadline(): number {
    let earliest = Infinity;
    if (!this.started || this.stopped) return earliest;
    for (const plan of this.plans) {
      if (plan.requestId === 0) earliest = Math.min(earliest, plan.nextMs);
    }
    return earliest;
  }

  /** Opens what is due. */
  run(now: number): void {
    if (!this.started || this.stopped) return;
    for (const plan of [...this.plans]) {
      if (plan.nextMs > now || plan.requestId !== 0) continue;
      plan.nextMs = Infinity;
      const { subflow } = plan;
      if (subflow !== null && (plan.replacement !== null || !isSilent(subflow, now))) continue;
      if (plan.replacement !== null || this.connection.subflows.length >= this.connection.mostSubflows) {
        plan.nextMs = now + this.connection.env.config.rejoinMinMs;
        continue;
      }
      this.open(plan, now);
    }
  }

  /** The link opened a port for a request. False: nobody wants it any more. */
  flowOpened(requestId: number, localPort: number, now: number): boolean {
    const plan = this.plans.find(p => p.requestId === requestId);
    if (plan === undefined) return false;
    plan.requestId = 0;
    return this.join(plan, localPort, now);
  }

  flowFailed(requestId: number, now: number): void {
    const plan = this.plans.find(p => p.requestId === requestId);
    if (plan === undefined) return;
    plan.requestId = 0;
    this.failed(plan, now);
  }

  /** A subflow completed its handshake: attempts begin anew, and what it replaces may go. */
  subflowActive(subflow: Subflow, now: number): void {
    const plan = this.planOf(subflow);
    if (plan === undefined) return;
    plan.failures = 0;
    plan.nextMs = Infinity;
    if (plan.replacement !== subflow) return;
    const old = plan.subflow;
    plan.subflow = subflow;
    plan.replacement = null;
    if (old !== null && isSilent(old, now)) replaced(old, now);
  }

  /** A silent subflow may be a NAT mapping that is gone: try a new one beside it after a while. */
  subflowSuspect(subflow: Subflow, now: number): void {
    const plan = this.planOf(subflow);
    if (plan !== undefined && plan.subflow === subflow && plan.nextMs === Infinity) {
      plan.nextMs = now + this.connection.env.config.replaceAfterMs;
    }
  }

  /**
   * A subflow is gone. `neverOpened`: its handshake failed; `permanent`: the peer wants no other one here;
   * `reason`: of the MP_TCPRST it ended with, -1 without; `isBack`: it was silent, and a reset of the peer
   * shows that its path no longer is.
   */
  subflowClosed(
    subflow: Subflow,
    how: { neverOpened: boolean; permanent: boolean; reason: number; isBack: boolean },
    now: number,
  ): void {
    const plan = this.planOf(subflow);
    if (plan === undefined) return;
    if (plan.replacement === subflow) plan.replacement = null;
    else plan.subflow = null;
    // RFC 8684 §3.4.1: after a failed attempt, an advertised address is left alone until it is advertised
    // again.
    if (how.permanent || (how.neverOpened && plan.remoteId !== -1)) {
      removeWhere(this.plans, other => other === plan);
      const place = { words: plan.remoteWords, port: plan.remotePort };
      removeWhere(this.announced, other => isSamePlace(other, place));
      return;
    }
    if (how.isBack && plan.replacement !== null) hastenJoin(plan.replacement, now);
    else this.failed(plan, now, how);
    this.run(now);
  }

  /** An identifier that means nothing else now, and did not lately. */
  private newId(place: string): number {
    const endpoints = this.managed?.endpoints.list ?? [];
    const taken = new Set([...this.addressIds.values(), ...endpoints.map(({ id }) => id)]);
    for (let tries = 0; tries < LAST_ID && taken.has(this.nextAddressId); tries++) {
      this.nextAddressId = (this.nextAddressId % LAST_ID) + 1;
    }
    const id = this.nextAddressId;
    this.nextAddressId = (id % LAST_ID) + 1;
    this.addressIds.set(place, id);
    return id;
  }

  /** A path to an announced address, where that makes sense. */
  private planAnnounced(path: PathOptions, address: Announced, now: number): void {
    const from = this.interfaceOf(path);
    if (path.remote !== undefined || from === null) return;
    // RFC 8684 §3.4.1: "an implementation MAY discard incoming address advertisements at will"
    if (!isReachable(from.words, address.words) || this.plans.length >= MOST_PLANS) return;
    const plan = this.addPlan(path, { address: formatWords(address.words), port: address.port }, address.id);
    if (plan !== null) plan.nextMs = now;
  }

  private addPlan(
    path: PathOptions,
    remote: { address: string; port: number },
    remoteId: number,
  ): Plan | null {
    const remoteWords = new Int32Array(4);
    const remoteFamily = parseAddress(remote.address, remoteWords);
    const networkInterface = this.interfaceOf(path);
    if (networkInterface === null || networkInterface.family !== remoteFamily) return null;
    for (const other of this.plans) {
      const same = other.path.interfaceId === path.interfaceId && other.remotePort === remote.port;
      if (same && other.remoteWords.every((word, i) => word === remoteWords[i])) return null;
    }
    const plan: Plan = {
      path,
      networkInterface,
      remoteWords,
      remoteAddress: remote.address,
      remotePort: remote.port,
      remoteId,
      subflow: null,
      replacement: null,
      requestId: 0,
      failures: 0,
      nextMs: Infinity,
    };
    this.plans.push(plan);
    return plan;
  }

  private interfaceOf(path: PathOptions): NetworkInterface | null {
    return this.connection.owner.interfaceFor(path.interfaceId);
  }

  private open(plan: Plan, now: number): void {
    if (this.connection.remoteDeniesJoin && plan.remoteId === -1 && plan.path.remote === undefined) return;
    const id = this.nextRequestId++;
    const interfaceId = plan.networkInterface.id;
    const remote = { address: plan.remoteAddress, port: plan.remotePort };
    plan.requestId = id;
    if (this.connection.owner.requestFlow({ id, interfaceId, remote })) return;
    plan.requestId = 0;
    this.join(plan, 0, now);
  }

  private join(plan: Plan, localPort: number, now: number): boolean {
    const { networkInterface } = plan;
    const subflow = openJoin(
      this.connection,
      {
        networkInterface,
        localPort,
        remoteWords: plan.remoteWords,
        remotePort: plan.remotePort,
        name: plan.path.name ?? networkInterface.name,
        backup: plan.path.backup ?? false,
        cost: plan.path.cost ?? 0,
      },
      now,
    );
    if (subflow === null) {
      this.failed(plan, now);
      return false;
    }
    if (plan.subflow === null) plan.subflow = subflow;
    else plan.replacement = subflow;
    return true;
  }

  /**
   * Sets the next attempt: at once when nothing else carries the connection or the path has just come back,
   * backing off otherwise, and late when the reason will not pass soon.
   */
  private failed(plan: Plan, now: number, { reason = -1, isBack = false } = {}): void {
    const { rejoinMinMs, rejoinMaxMs } = this.connection.env.config;
    const alone = this.connection.bestOpenSubflow() === null;
    let delayMs = Math.min(rejoinMinMs * 2 ** plan.failures, rejoinMaxMs);
    // RFC 8684 §3.6: the time "SHOULD take into account the properties of the failure".
    const lasts = !alone && LASTING_REASONS.has(reason);
    if (lasts) delayMs = rejoinMaxMs;
    else if ((alone || isBack) && plan.failures === 0) delayMs = 0;
    plan.failures++;
    plan.nextMs = now + delayMs;
  }

  private planOf(subflow: Subflow): Plan | undefined {
    return this.plans.find(p => p.subflow === subflow || p.replacement === subflow);
  }
}

function isSilent(subflow: Subflow, now: number): boolean {
  return subflow.stage === Stage.SUSPECT || isStuck(subflow.connection, subflow, now);
}

function removeWhere<T>(list: T[], isGone: (one: T) => boolean): void {
  for (let i = list.length - 1; i >= 0; i--) if (isGone(list[i])) list.splice(i, 1);
}

function isSamePlace(
  a: { words: Int32Array; port: number },
  b: { words: Int32Array; port: number },
): boolean {
  return a.port === b.port && a.words.every((word, i) => word === b.words[i]);
}

/** Whether a remote address makes sense from a local one. */
function isReachable(from: Int32Array, to: Int32Array): boolean {
  const [a, b, c, d] = to;
  if (isUnspecified(a, b, c, d) || isMulticast(a, b, c, d)) return false;
  if (from.every((word, i) => word === to[i])) return false;
  const [e, f, g, h] = from;
  if (isLoopback(a, b, c, d) !== isLoopback(e, f, g, h)) return false;
  return !isLinkLocal(a, b, c, d) || isLinkLocal(e, f, g, h);
}

/** Address identifiers have one octet. */
const LAST_ID = 255;
/** A peer that announces addresses without end is not listened to without end. */
const MOST_PLANS = 64;
