// One connection of a running world: its plan, the two applications, the paths it may use and what has
// happened to them. Here is decided whether the scenario explains that a connection failed.
// Before it: world.ts feeds it events of both ends. After it: oracles.ts asks.

import type { Connection, MultipathInfo } from '../host/index.ts';
import type { Application } from './application.ts';
import type { Lane } from './network.ts';
import type { ConnectionPathPlan, ConnectionPlan } from './plan.ts';

/** A path of the network as it fares. */
export interface PathRun {
  readonly index: number;
  readonly name: string;
  readonly forward: Lane;
  readonly backward: Lane;
  /** No middlebox stands on it. */
  readonly clear: boolean;
  /** Packets may overtake each other on it. */
  readonly reorders: boolean;
  /** Longest round trip: delays, jitter, reordering and full queues of both directions. */
  readonly maxRttMs: number;
  up: boolean;
  /** Since when it is up without a break. */
  upSinceMs: number;
  downSinceMs: number;
  longestOutageMs: number;
}

/** A path of a connection. */
export interface ConnectionPath {
  readonly path: PathRun;
  readonly plan: ConnectionPathPlan;
  /** A subflow over it has been seen working. */
  wasActive: boolean;
  /** The plan took it away and did not give it back. */
  takenAway: boolean;
}

export class ConnectionRun {
  readonly index: number;
  readonly plan: ConnectionPlan;
  readonly client: Application;
  readonly server: Application;
  readonly paths: ConnectionPath[] = [];
  /** Paths by local and remote address, seen from the client. */
  readonly pathByAddresses: ReadonlyMap<string, PathRun>;
  /** The client is configured to send no SYN without MP_CAPABLE (`plainSynMs` 0). */
  readonly asksOnce: boolean;
  openedMs = 0;
  /** Never opened: the client had no address for its first path at the time. */
  skipped = false;
  /** The first path was taken away when no other could be joined yet: nothing had come from the server. */
  lostItsStart = false;
  /** Last word of each end about how it works; kept for after the end. */
  clientInfo: MultipathInfo | undefined;
  serverInfo: MultipathInfo | undefined;
  fallbackCauses: string[] = [];

  constructor(options: {
    index: number;
    plan: ConnectionPlan;
    client: Application;
    server: Application;
    pathByAddresses: ReadonlyMap<string, PathRun>;
    asksOnce?: boolean;
  }) {
    this.index = options.index;
    this.plan = options.plan;
    this.client = options.client;
    this.server = options.server;
    this.pathByAddresses = options.pathByAddresses;
    this.asksOnce = options.asksOnce ?? false;
  }

  /** Both applications have got where they wanted, or know that they will not. */
  get done(): boolean {
    const { client, server } = this;
    if (this.skipped) return true;
    if (!client.done) return false;
    if (server.connection !== undefined) return server.done;
    return client.aborted || client.closed;
  }

  /** Adds a path the client may use, or gives one back that was taken away. */
  usePath(plan: ConnectionPathPlan, path: PathRun): void {
    const known = this.paths.find(one => one.path === path);
    if (known !== undefined) known.takenAway = false;
    else this.paths.push({ path, plan, wasActive: this.paths.length === 0, takenAway: false });
  }

  /** The plan takes a path away. */
  loseRight(one: ConnectionPath): void {
    one.takenAway = true;
    // RFC 8684 §3.2: no join before a DSS has come from the peer.
    const { client } = this;
    const waitingBytes = client.connection?.unacknowledgedBytes ?? 0;
    const heard = client.receivedBytes > 0 || client.ended || waitingBytes < client.writtenBytes;
    const joined = this.paths.slice(1).some(other => other.wasActive);
    if (one === this.paths[0] && !heard && !joined) this.lostItsStart = true;
  }

  /** Takes note of how an end works now. */
  observe(side: 'client' | 'server', connection: Connection): void {
    const info = connection.multipath();
    if (side === 'client') this.clientInfo = info;
    else this.serverInfo = info;
    for (const subflow of info.subflows) {
      if (subflow.state !== 'active' && subflow.state !== 'suspect') continue;
      const path = this.pathOf(side, subflow.local.address, subflow.remote.address);
      const mine = this.paths.find(one => one.path === path);
      if (mine !== undefined) mine.wasActive = true;
    }
  }

  /**
   * Paths that should carry this end's data: the first until it is connected, then those with a subflow,
   * unless a middlebox stands there that may take the options out: nothing but TCP gets on then.
   */
  pathsInUse(side: 'client' | 'server'): PathRun[] {
    const app = this[side];
    if (app.connection === undefined || !app.connected) return [this.paths[0].path].filter(hasBothEnds);
    this.observe(side, app.connection);
    const info = side === 'client' ? this.clientInfo : this.serverInfo;
    const regular: PathRun[] = [];
    const backup: PathRun[] = [];
    for (const subflow of info?.subflows ?? []) {
      if (subflow.state !== 'active' && subflow.state !== 'suspect') continue;
      const path = this.pathOf(side, subflow.local.address, subflow.remote.address);
      if (path?.up && hasBothEnds(path) && (path.clear || this.isPlain))
        (subflow.backup ? backup : regular).push(path);
    }
    return regular.length > 0 ? regular : backup;
  }

  /** It works as plain TCP on its first path: by plan, or because it fell back. */
  get isPlain(): boolean {
    const { plan } = this;
    if (!plan.multipath || !plan.serverMultipath) return true;
    return [this.clientInfo, this.serverInfo].some(info => info !== undefined && info.fallback !== null);
  }

  /**
   * Why it is no fault of the stack that this connection ended with an error; '' when nothing explains it.
   */
  excuse(nowMs: number): string {
    const { client, server, plan } = this;
    if (client.aborted || server.aborted) return 'an application aborted';
    if (leftEarly(client, server) || leftEarly(server, client)) return 'an application left data unread';
    const first = this.paths[0].path;
    const lostSyns = first.forward.lostSyns + first.backward.lostSyns;
    const lost = first.forward.lostPackets + first.backward.lostPackets;
    if (!client.connected && lostSyns >= SYN_ATTEMPTS) return 'the handshake was lost';
    if (server.connection === undefined && lost >= SYN_ACK_ATTEMPTS) return 'the handshake was lost';
    if (server.connection === undefined && client.writtenBytes === 0)
      return 'a silent client lost its third ACK';
    // With the race switched off a box that refuses the option refuses the connection: RFC 8684 §3.1 leaves
    // it to local policy whether a SYN without follows.
    if (plan.multipath && this.asksOnce && !client.connected && !first.clear) return 'its SYN was refused';
    if (this.isTornApart) return 'options vanished behind bytes whose place one end does not know';
    if (this.isPlain && [client, server].some(end => end.error === 'ENETDOWN'))
      return 'its only address went';
    if (this.onlyItsEndWasLost) return 'the other end had everything and was gone';
    if (this.lostItsStart) return 'the first path went before others could be joined';
    // MPTCP is carried where its options pass (a subflow that loses them later is as good as dead), TCP
    // anywhere.
    const carriers = (this.isPlain ? this.paths.slice(0, 1) : this.paths.filter(passesOptions)).filter(
      one => one.wasActive && !one.takenAway && this.endured(one.path, nowMs),
    );
    if (carriers.length === 0) return 'no path lived';
    return '';
  }

  /**
   * Every byte arrived both ways and one end finished in order; on a network that loses packets the other may
   * never hear of it. A client whose join is answered does: M_TIME_WAIT (RFC 8684 Appendix D).
   */
  private get onlyItsEndWasLost(): boolean {
    const { client, server } = this;
    if ((client.error === null) === (server.error === null) || client.error === 'ECONNRESET') return false;
    const whole = client.receivedBytes === server.totalBytes && server.receivedBytes === client.totalBytes;
    const lost = (path: PathRun) => path.forward.lostPackets + path.backward.lostPackets > 0;
    return whole && this.paths.some(one => lost(one.path));
  }

  /**
   * A box took options away in the middle; one end went on as TCP and the other could not, for it had bytes
   * that might be repetitions. RFC 8684 §3.7 then wants the subflow reset; nobody lets the two meet again.
   */
  private get isTornApart(): boolean {
    const { clientInfo, serverInfo, plan } = this;
    if (!plan.multipath || !plan.serverMultipath || this.paths[0].path.clear) return false;
    if (clientInfo === undefined || serverInfo === undefined) return false;
    return (clientInfo.fallback === null) !== (serverInfo.fallback === null);
  }

  private endured(path: PathRun, nowMs: number): boolean {
    const outageMs = path.up ? 0 : nowMs - path.downSinceMs;
    if (Math.max(outageMs, path.longestOutageMs) > LONGEST_OUTAGE_TO_SURVIVE_MS) return false;
    return Math.max(path.forward.longestLossSpanMs, path.backward.longestLossSpanMs) < FATAL_LOSS_SPAN_MS;
  }

  private pathOf(side: 'client' | 'server', local: string, remote: string): PathRun | undefined {
    const key = side === 'client' ? addressKey(local, remote) : addressKey(remote, local);
    return this.pathByAddresses.get(key);
  }
}

/** How paths are found by the addresses at their ends. */
export function addressKey(clientAddress: string, serverAddress: string): string {
  return `${clientAddress}>${serverAddress}`;
}

/** An address that was removed at either end takes no packet, whatever the other end believes. */
function hasBothEnds({ forward, backward }: PathRun): boolean {
  return forward.to.present && backward.to.present;
}

function passesOptions({ path }: ConnectionPath): boolean {
  return path.clear;
}

function leftEarly(one: Application, other: Application): boolean {
  return one.released && !one.ended && one.receivedBytes < other.totalBytes;
}

/** SYNs a client sends before it gives up: the first and six more. */
const SYN_ATTEMPTS = 7;
/** SYN/ACKs a server may send at the least: three times what it received. */
const SYN_ACK_ATTEMPTS = 3;

/** RFC 9293 §3.8.3: a connection may end after 100 s of retransmissions, all of them lost. */
const FATAL_LOSS_SPAN_MS = 100_000;
/** Well below every timeout that ends a connection (data, no subflow left, keepalive). */
export const LONGEST_OUTAGE_TO_SURVIVE_MS = 30_000;
