// Decides how packets, timers and applications meet: the five verbs of the core (receive, transmit,
// nextDeadline, expire, nextReady). Owns interfaces, ports, listeners, tokens and connections; no clock, no
// I/O.
// Before on the walk: link (in), api/socket (out). After: tcp/input (in), link (out).

import {
  Endpoints,
  interfaceGone,
  limitMtu,
  MultipathConnection,
  NetworkMemory,
  openFirst,
  type PathOptions,
} from '../mptcp/index.ts';
import {
  acknowledgesNothing,
  type CounterName,
  type Entropy,
  Environment,
  type NetworkInterface,
  newCounters,
  receiveSegment,
  Shared,
  State,
  type Tcb,
} from '../tcp/index.ts';
import {
  decodeIcmp,
  decodePacket,
  Flag,
  IcmpError,
  parseAddress,
  Segment,
  verifyChecksum,
} from '../wire/index.ts';
import { type Config, DEFAULT_CONFIG, mergeConfig } from './config.ts';
import { Connection } from './connection.ts';
import { controlMessage } from './control-message.ts';
import { DeadlineHeap } from './deadline-heap.ts';
import { HostError } from './errors.ts';
import { FastOpenBit, FastOpenTable, splitKeys } from './fast-open.ts';
import { type FlowOptions, Flows, type LocalPort } from './flows.ts';
import { Incoming } from './incoming.ts';
import { type InterfaceOptions, Interfaces, isAddressed } from './interfaces.ts';
import { type AdvertisedAddress, Listener } from './listener.ts';
import { Listeners } from './listeners.ts';
import { openPlain, tcbOf } from './plain.ts';
import { ResetQueue } from './reset-queue.ts';
import { Sysctls } from './sysctls.ts';

export interface HostOptions {
  entropy: Entropy;
  config?: Partial<Config>;
  /** The link decides local ports (TCP-in-UDP): further subflows are asked for by `flow` notices. */
  externalPorts?: boolean;
}

export interface ConnectOptions {
  remote: { address: string; port: number };
  /** The first carries the initial subflow. */
  paths: readonly PathOptions[];
  multipath?: boolean;
  checksum?: boolean;
  noDelay?: boolean;
  keepAliveMs?: number;
  /**
   * TCP Fast Open (RFC 7413; Linux: TCP_FASTOPEN_CONNECT): with a cookie of the server the SYN waits for the
   * first write and takes data along (`Connection.isDeferred`); without one it asks for a cookie.
   */
  fastOpen?: boolean;
  config?: Partial<Config>;
  /** The connection follows the endpoints and limits of the host (`host.endpoints`). */
  endpoints?: boolean;
}

export interface ListenOptions {
  port: number;
  address?: string;
  backlog?: number;
  multipath?: boolean;
  advertise?: readonly AdvertisedAddress[];
  /** Only packets of this IP version (default: both). */
  family?: 4 | 6;
  /** Several listeners that all say so may share a port; each connection goes to one of them. */
  reusePort?: boolean;
  /**
   * Connections that may be accepted, with the data of their SYN, before their third ACK; 0 = none. Counts
   * only where `config.fastOpen` has bit 2 (Linux: TCP_FASTOPEN).
   */
  fastOpen?: number;
  /** 16 bytes, or 32: the key of its cookies, and the one before (Linux: TCP_FASTOPEN_KEY). */
  fastOpenKey?: Uint8Array;
  /** For the connections it accepts. */
  config?: Partial<Config>;
  /** Its connections follow the endpoints and limits of the host (`host.endpoints`). */
  endpoints?: boolean;
  /** Connections are handed out when data has come, or after this time (Linux: TCP_DEFER_ACCEPT). */
  deferAcceptMs?: number;
}

export class Host {
  readonly externalPorts: boolean;
  config: Config;
  readonly sysctls: Sysctls = new Sysctls(this);
  /** What middleboxes did on the networks of this host; times as handed to it. */
  readonly networks: NetworkMemory = new NetworkMemory();
  /** What connections use and announce that follow it (Linux: ip mptcp endpoint, ip mptcp limits). */
  readonly endpoints: Endpoints = new Endpoints();
  /** Ports that are bound and not for others to use (sockets/). */
  isReserved: (port: number) => boolean = () => false;
  private readonly env: Environment<Config>;
  private readonly segment: Segment = new Segment();
  private readonly icmp: IcmpError = new IcmpError();
  readonly interfaces: Interfaces = new Interfaces();
  private readonly listeners: Listeners = new Listeners();
  private readonly tokens: Map<number, MultipathConnection> = new Map();
  private readonly heap: DeadlineHeap<Connection> = new DeadlineHeap();
  private readonly live: Set<Connection> = new Set();
  private readonly dirty: Connection[] = [];
  private dirtyHead = 0;
  private readonly ready: (Connection | Listener)[] = [];
  private readyHead = 0;
  private readonly flows: Flows;
  private readonly incoming: Incoming;
  private readonly resets: ResetQueue;
  private readonly fastOpen: FastOpenTable;
  /** The newest `now` of a packet that arrived. */
  lastNowMs = 0;
  private nextConnectionId = 1;

  constructor(options: HostOptions) {
    this.config = mergeConfig(DEFAULT_CONFIG, options.config);
    this.externalPorts = options.externalPorts ?? false;
    const shared = new Shared({ entropy: options.entropy, counters: newCounters() });
    this.env = new Environment({ config: this.config, shared });
    this.resets = new ResetQueue(this.env, this.config.rstPerSecond);
    this.fastOpen = new FastOpenTable(this.env);
    const { env, listeners, networks, resets, tokens, fastOpen } = this;
    this.flows = new Flows({ env, isReserved: port => listeners.has(port) || this.isReserved(port) });
    this.incoming = new Incoming({
      env,
      flows: this.flows,
      listeners,
      networks,
      tokens,
      resets,
      endpoints: this.endpoints,
      fastOpen,
      newConnection: listener => this.newConnection(listener.config, listener),
      adopt: connection => this.adopt(connection),
      touch: connection => this.touch(connection),
    });
  }

  get counters(): Record<CounterName, number> {
    return this.env.counters;
  }

  /** Connections that still hold state, TIME-WAIT included. */
  get connections(): Iterable<Connection> {
    return this.live;
  }

  /** Interface of the packet that `transmit` just wrote. */
  get transmitInterface(): number {
    return this.env.shared.transmitInterface;
  }

  /** Largest payload per wire packet of the packet that `transmit` just wrote. */
  get transmitSegmentSize(): number {
    return this.env.shared.transmitSegmentSize;
  }

  /** Changes the configuration, for connections to come (`sysctls` has it under Linux's names). */
  configure(overrides: Partial<Config>): void {
    this.config = this.env.config = mergeConfig(this.config, overrides);
    this.listeners.configure(this.config);
  }

  /** Attaches one local address. Returns its id (≥ 1). */
  addInterface(options: InterfaceOptions): number {
    return this.interfaces.add(options);
  }

  /** The address has gone: its subflows end, connections go on over other paths, listeners keep the rest. */
  removeInterface(id: number, now: number): void {
    const networkInterface = this.interfaces.remove(id);
    if (networkInterface === undefined) return;
    for (const connection of [...this.live]) {
      if (connection.multipathSide !== null) {
        interfaceGone(connection.multipathSide, networkInterface, now);
      } else {
        const tcb = tcbOf(connection);
        if (tcb.networkInterface.id === id) {
          tcb.close(
            { code: 'ENETDOWN', text: `the local address ${networkInterface.address} has gone` },
            now,
          );
        }
      }
      this.touch(connection);
    }
  }

  /** The link found that packets must be smaller (EMSGSIZE, path MTU discovery). */
  setMtu(id: number, mtu: number, _now: number): void {
    const networkInterface = this.interfaces.find(id);
    if (networkInterface === undefined) return;
    networkInterface.mtu = Math.max(576, Math.floor(mtu));
    for (const connection of this.live) {
      if (connection.multipathSide !== null) limitMtu(connection.multipathSide, id, networkInterface.mtu);
      else if (tcbOf(connection).networkInterface.id === id) tcbOf(connection).limitMtu(networkInterface.mtu);
      this.touch(connection);
    }
  }

  /** 32 unpredictable bits. */
  random32(): number {
    return this.env.random32();
  }

  interfaceOf(id: number): NetworkInterface | null {
    return this.interfaces.find(id) ?? null;
  }

  /** Verb 1: takes one raw IP packet that arrived on an interface. Malformed ones are counted and dropped. */
  receive(interfaceId: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    this.lastNowMs = now;
    const networkInterface = this.interfaces.find(interfaceId);
    const segment = this.segment;
    if (networkInterface === undefined || !decodePacket(segment, bytes, offset, length)) {
      this.control(interfaceId, bytes, offset, length, now);
      return;
    }
    if (!networkInterface.checksumOffload && !verifyChecksum(bytes, offset, length)) {
      this.counters.InCsumErrors++;
      return;
    }
    if (!isAddressed(segment, networkInterface)) {
      this.counters.NoSocketDrops++;
      return;
    }
    this.counters.InSegs++;
    this.counters[BY_CODEPOINT[segment.ecn]]++;
    this.env.shared.inBytes = bytes;
    this.env.shared.inPacketBytes = length;
    const tcb = this.flows.demux.find(segment, interfaceId);
    if (tcb !== null) {
      if (tcb.state !== State.CLOSED && !this.incoming.reopens(tcb, segment, now)) {
        this.deliver(tcb, segment, networkInterface, now);
        return;
      }
      // Its own reset has not left yet and says more than an answer to this, which would overtake it: a
      // kernel that is still sending would be told of a lost subflow instead of the end (MP_FASTCLOSE).
      if (tcb.resetPending && (segment.flags & Flag.SYN) === 0) return;
      // It has ended and not been settled yet: its four values are free for a successor.
      if ((segment.flags & Flag.SYN) !== 0) this.flows.release(tcb);
    }
    this.incoming.receive(segment, networkInterface, now);
  }

  /** What is no TCP segment may be an ICMP error about one. */
  private control(interfaceId: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    const { segment, icmp } = this;
    const networkInterface = this.interfaces.find(interfaceId);
    if (networkInterface === undefined || !decodeIcmp(icmp, segment, bytes, offset, length)) {
      this.counters.MalformedDrops++;
      return;
    }
    const ours = isAddressed(segment, networkInterface);
    const tcb = ours ? this.flows.demux.find(segment, interfaceId) : null;
    if (tcb === null || !controlMessage(tcb, icmp, now)) this.counters.OutOfWindowIcmps++;
    else this.touch(tcb.owner as Connection);
  }

  /**
   * Verb 2: writes one raw IP packet of at most 65,535 bytes; returns its length, 0 when nothing is to be
   * sent.
   */
  transmit(out: Uint8Array, offset: number, now: number): number {
    const reset = this.resets.transmit(out, offset);
    if (reset > 0) return reset;
    while (this.dirtyHead < this.dirty.length) {
      const connection = this.dirty[this.dirtyHead];
      const length = connection.stream.transmit(out, offset, now);
      if (length > 0) return length;
      this.dirtyHead++;
      connection.dirty = false;
      this.settle(connection);
    }
    this.dirty.length = 0;
    this.dirtyHead = 0;
    return 0;
  }

  /** Verb 3: when `expire` must be called at the latest, in ms; Infinity when no timer runs. */
  nextDeadline(): number {
    return this.heap.earliestMs;
  }

  /** Verb 4: lets every deadline at or before `now` pass. */
  expire(now: number): void {
    for (
      let first = this.heap.first();
      first !== undefined && first.deadlineMs <= now;
      first = this.heap.first()
    ) {
      this.heap.remove(first);
      first.expire(now);
      this.touch(first);
    }
  }

  /** Verb 5: the next endpoint with news, each at most once until its `takeEvents`. */
  nextReady(): Connection | Listener | undefined {
    if (this.readyHead >= this.ready.length) {
      this.ready.length = 0;
      this.readyHead = 0;
      return undefined;
    }
    const endpoint = this.ready[this.readyHead++];
    endpoint.readyQueued = false;
    return endpoint;
  }

  /** A local port that no connection uses any more. */
  nextReleased(): LocalPort | undefined {
    return this.flows.nextReleased();
  }

  /**
   * Opens a connection. Throws HostError for impossible options; network failures come as CLOSED with
   * `error`.
   */
  connect(options: ConnectOptions, now: number): Connection {
    const first = options.paths[0];
    if (first === undefined) throw new HostError('EINVAL', 'connect needs at least one path');
    const target = first.remote ?? options.remote;
    const remoteWords = new Int32Array(4);
    const family = parseAddress(target.address, remoteWords);
    if (family === 0) throw new HostError('EINVAL', `'${target.address}' is not an IP address`);
    const networkInterface = this.interfaces.find(first.interfaceId);
    if (networkInterface === undefined) throw new HostError('EINVAL', `no interface ${first.interfaceId}`);
    if (networkInterface.family !== family) {
      throw new HostError('EAFNOSUPPORT', `${networkInterface.address} cannot reach ${target.address}`);
    }
    const checksum = options.checksum === undefined ? {} : { checksum: options.checksum };
    const overridden = options.config !== undefined || options.checksum !== undefined;
    const config = overridden ? mergeConfig(this.config, { ...options.config, ...checksum }) : this.config;
    const connection = this.newConnection(config, null);
    const { env } = connection;
    const endpoint = {
      networkInterface,
      localPort: first.localPort ?? 0,
      remoteWords,
      remotePort: target.port,
    };
    const fastOpen = options.fastOpen
      ? this.fastOpen.attempt(config, networkInterface, remoteWords, now)
      : null;
    if (fastOpen?.carries) connection.defer();
    if (options.multipath ?? true) {
      const endpoints = options.endpoints ? this.endpoints : null;
      const side = new MultipathConnection({ env, owner: connection, client: true, endpoints });
      connection.multipathSide = side;
      connection.stream = side;
      openFirst(side, { ...endpoint, paths: options.paths, remote: options.remote, fastOpen }, now);
    } else {
      const tcb = openPlain(this.flows, connection, { ...endpoint, env, now });
      if (tcb === null) throw new HostError('EADDRINUSE', 'no local port is free for this destination');
      tcb.fastOpenClient = fastOpen;
      if (fastOpen?.carries) tcb.defer();
      else tcb.open(now);
    }
    if (options.noDelay) connection.stream.setNoDelay(true);
    if (options.keepAliveMs) connection.stream.setKeepAlive(true, options.keepAliveMs, now);
    this.adopt(connection);
    return connection;
  }

  /** Accepts connections on a port of all interfaces, or of one address. */
  listen(options: ListenOptions): Listener {
    const { port } = options;
    const interfaceId = options.address === undefined ? null : this.interfaces.idOf(options.address);
    const family = options.family ?? null;
    const reusePort = options.reusePort ?? false;
    this.listeners.assertFree({ port, interfaceId, family, reusePort });
    const config = mergeConfig(this.config, options.config);
    const backlog = options.backlog ?? this.config.backlog;
    const all = (config.fastOpen & FastOpenBit.ALL_LISTENERS) !== 0;
    const listener = new Listener({
      host: this,
      port,
      interfaceId,
      family,
      reusePort,
      config,
      overrides: options.config ?? {},
      deferAcceptMs: options.deferAcceptMs ?? 0,
      backlog,
      endpoints: options.endpoints ? this.endpoints : null,
      multipath: options.multipath ?? true,
      advertise: options.advertise ?? [],
      fastOpenQueue: options.fastOpen || (all ? backlog : 0),
      fastOpenKeys: options.fastOpenKey === undefined ? [] : splitKeys(options.fastOpenKey),
    });
    this.listeners.add(listener);
    return listener;
  }

  // For connections and listeners of this room.

  /** Queues a connection for transmission and for its deadline to be read again. */
  touch(connection: Connection): void {
    if (connection.dirty) return;
    connection.dirty = true;
    this.dirty.push(connection);
  }

  endpointReady(endpoint: Connection | Listener): void {
    if (endpoint.readyQueued) return;
    endpoint.readyQueued = true;
    this.ready.push(endpoint);
  }

  /** A connection was established for a listener that has closed meanwhile. */
  abortLater(connection: Connection): void {
    connection.stream.abort(0);
    this.touch(connection);
  }

  removeListener(listener: Listener): void {
    this.listeners.remove(listener);
  }

  createTcb(connection: Connection, options: FlowOptions): Tcb | null {
    return this.flows.open(connection, options);
  }

  withdraw(tcb: Tcb, now: number): void {
    this.resets.withdraw(tcb, now);
  }

  releaseTcb(tcb: Tcb): void {
    this.flows.release(tcb);
  }

  isTokenFree(token: number): boolean {
    return !this.tokens.has(token);
  }

  registerToken(token: number, side: MultipathConnection): void {
    this.tokens.set(token, side);
  }

  unregisterToken(token: number, side: MultipathConnection | null): void {
    if (this.tokens.get(token) === side) this.tokens.delete(token);
  }

  // Inside.

  private adopt(connection: Connection): void {
    this.live.add(connection);
    this.touch(connection);
  }

  private newConnection(config: Config, listener: Listener | null): Connection {
    return new Connection({
      id: this.nextConnectionId++,
      host: this,
      env: this.env.withConfig(config),
      listener,
    });
  }

  private deliver(tcb: Tcb, segment: Segment, networkInterface: NetworkInterface, now: number): void {
    if (acknowledgesNothing(tcb, segment)) {
      this.resets.answer(segment, networkInterface, -1, now);
      return;
    }
    receiveSegment(tcb, segment, now);
    this.touch(tcb.owner as Connection);
  }

  /** After its transmissions: reads the connection's deadline again and forgets it when nothing is left. */
  private settle(connection: Connection): void {
    const stream = connection.stream;
    if (stream.isReleased) {
      this.heap.remove(connection);
      const isPlain = stream !== (connection.multipathSide as unknown);
      if (this.live.delete(connection) && isPlain) this.flows.release(tcbOf(connection));
      if (isPlain) connection.forgetToken();
      return;
    }
    this.heap.set(connection, Math.min(stream.nextDeadline(), connection.deferMs));
  }
}

/** By the ECN field of the IP header (RFC 3168 §5). */
const BY_CODEPOINT = ['InNoECTPkts', 'InECT1Pkts', 'InECT0Pkts', 'InCEPkts'] as const;
