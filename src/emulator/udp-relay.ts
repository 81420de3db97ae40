// Decides how emulated networks run in real time: a relay of UDP datagrams between clients and one server.
// Have read: RFC 768; relay-schedule.ts for the times.
// Before: `mptcp demo` starts it and points its client at the ports. After: the server, through sockets here.
//
// Every path is a port that clients send to. For every client address and port on it the relay opens a socket
// of its own towards the server, as a NAT does, so the server sees a distinct peer and its answers find back.
//
// A datagram costs one clock read a turn of the event loop, two schedule calls and one send. The first of a
// turn reads the clock; what has become due is sent when the turn's datagrams are all in. One timer is armed,
// for the earliest arrival, and none when nothing is under way.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIP } from 'node:net';
import { PathModel, type PathOptions, Random } from '../netmodel/index.ts';
import { Alarm } from './alarm.ts';
import { RelaySchedule } from './relay-schedule.ts';

export interface RelayPathOptions {
  name: string;
  /** From the clients to the server. `mtu` is 1,500 unless it says otherwise. */
  forward: PathOptions;
  /** From the server to the clients. */
  backward: PathOptions;
  /** Port for clients to send to. Default: one the system picks. */
  port?: number;
}

export interface RelayOptions {
  paths: readonly RelayPathOptions[];
  /** Where the real server listens; a numeric address of the same family as `host`. */
  server: { host: string; port: number };
  /** Local address for both sides. Default 127.0.0.1. */
  host?: string;
  /** Of losses, jitter and all other chance. Default 1. */
  seed?: number | string;
}

export interface Relay {
  /** The port of each path, in the order given. */
  readonly ports: number[];
  /** What the system refused without making the relay useless, one sentence each. */
  readonly warnings: readonly string[];
  /** Down is silent, in both directions, and takes what is queued or on the wire. */
  setUp(pathIndex: number, up: boolean): void;
  stats(): RelayPathStats[];
  close(): Promise<void>;
}

export interface RelayPathStats {
  name: string;
  up: boolean;
  /** Clients' ports that have a socket towards the server. */
  flows: number;
  /** Errors of the path's sockets, such as a server that is not there. */
  socketErrors: number;
  forward: RelayDirectionStats;
  backward: RelayDirectionStats;
}

/** Bytes are those of IP packets: payload, UDP and IP headers. */
export interface RelayDirectionStats {
  packetsOffered: number;
  bytesOffered: number;
  packetsDelivered: number;
  bytesDelivered: number;
  dropped: { queue: number; loss: number; burst: number; mtu: number; down: number; corrupt: number };
}

export async function start(options: RelayOptions): Promise<Relay> {
  const relay = new UdpRelay(options);
  try {
    await relay.open();
  } catch (error) {
    await relay.close();
    throw error;
  }
  return relay;
}

/** A client's port on a path, with its socket towards the server. */
interface Flow {
  readonly path: RelayPath;
  readonly clientAddress: string;
  readonly clientPort: number;
  readonly upstream: Socket;
  connected: boolean;
  closed: boolean;
  lastUsedMs: number;
}

interface Datagram {
  readonly flow: Flow;
  readonly payload: Uint8Array;
}

class RelayPath {
  readonly name: string;
  readonly port: number;
  readonly socket: Socket;
  readonly forward: RelaySchedule<Datagram>;
  readonly backward: RelaySchedule<Datagram>;
  readonly flows = new Map<string, Flow>();
  /** The flow of the last datagram: most come in runs. */
  lastFlow: Flow | undefined;
  lastSweepMs = 0;
  socketErrors = 0;

  constructor(options: RelayPathOptions, socket: Socket, random: Random) {
    this.name = options.name;
    this.port = options.port ?? 0;
    this.socket = socket;
    const direction = (side: PathOptions, label: string): RelaySchedule<Datagram> =>
      new RelaySchedule({
        model: new PathModel({ mtu: 1500, name: `${options.name} ${label}`, ...side }),
        random: random.fork(label),
      });
    this.forward = direction(options.forward, 'forward');
    this.backward = direction(options.backward, 'backward');
  }

  stats(): RelayPathStats {
    return {
      name: this.name,
      up: this.forward.model.up,
      flows: this.flows.size,
      socketErrors: this.socketErrors,
      forward: directionStats(this.forward),
      backward: directionStats(this.backward),
    };
  }
}

class UdpRelay implements Relay {
  readonly ports: number[] = [];
  readonly warnings: string[] = [];

  readonly #server: { host: string; port: number };
  readonly #host: string;
  readonly #family: 4 | 6;
  readonly #headerBytes: number;
  readonly #paths: RelayPath[];
  readonly #startedMs = performance.now();
  readonly #closing: Promise<void>[] = [];
  #closed = false;
  #turnOpen = false;
  #turnMs = 0;
  readonly #alarm = new Alarm(() => this.#deliver());

  constructor(options: RelayOptions) {
    this.#server = options.server;
    this.#host = options.host ?? '127.0.0.1';
    const family = isIP(this.#host);
    if (family === 0 || isIP(options.server.host) !== family) {
      throw new TypeError('host and server.host must be numeric addresses of one family');
    }
    this.#family = family === 6 ? 6 : 4;
    this.#headerBytes = UDP_HEADER_BYTES + (family === 6 ? IPV6_HEADER_BYTES : IPV4_HEADER_BYTES);
    const random = new Random(options.seed ?? 1);
    this.#paths = options.paths.map(
      (path, index) => new RelayPath(path, this.#socket(), random.fork(`${index} ${path.name}`)),
    );
  }

  async open(): Promise<void> {
    await Promise.all(this.#paths.map(path => this.#openPath(path)));
    this.ports.push(...this.#paths.map(path => path.socket.address().port));
  }

  setUp(pathIndex: number, up: boolean): void {
    const path = this.#paths[pathIndex];
    if (path === undefined) throw new RangeError(`there is no path ${pathIndex}`);
    path.forward.setUp(up);
    path.backward.setUp(up);
  }

  stats(): RelayPathStats[] {
    return this.#paths.map(path => path.stats());
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm.cancel();
    for (const path of this.#paths) {
      for (const flow of path.flows.values()) this.#closeFlow(flow);
      try {
        path.socket.close();
      } catch {
        // Closed before: by an earlier call.
      }
    }
    await Promise.all(this.#closing);
  }

  #openPath(path: RelayPath): Promise<void> {
    const { socket } = path;
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind({ port: path.port, address: this.#host, exclusive: true }, () => {
        socket.off('error', reject);
        socket.on('error', () => {
          path.socketErrors += 1;
        });
        socket.on('message', (payload, from) => this.#fromClient(path, payload, from));
        this.#enlargeBuffers(socket, path.name);
        resolve();
      });
    });
  }

  #fromClient(path: RelayPath, payload: Buffer, from: RemoteInfo): void {
    const now = this.#turnNow();
    let flow = path.lastFlow;
    if (flow === undefined || flow.clientPort !== from.port || flow.clientAddress !== from.address) {
      flow = path.flows.get(`${from.port} ${from.address}`) ?? this.#openFlow(path, from, now);
      if (flow.connected) path.lastFlow = flow;
    }
    flow.lastUsedMs = now;
    path.forward.offer({ flow, payload }, payload.length + this.#headerBytes, now);
  }

  #fromServer(flow: Flow, payload: Buffer): void {
    const now = this.#turnNow();
    flow.lastUsedMs = now;
    flow.path.backward.offer({ flow, payload }, payload.length + this.#headerBytes, now);
  }

  #openFlow(path: RelayPath, from: RemoteInfo, now: number): Flow {
    this.#sweep(path, now);
    const upstream = this.#socket();
    const flow: Flow = {
      path,
      clientAddress: from.address,
      clientPort: from.port,
      upstream,
      connected: false,
      closed: false,
      lastUsedMs: now,
    };
    path.flows.set(`${from.port} ${from.address}`, flow);
    upstream.on('error', error => {
      // Refused: the server is not there now and may be later. Anything before connecting: no socket.
      path.socketErrors += 1;
      if (!flow.connected) this.#closeFlow(flow);
      else if (!('code' in error && error.code === 'ECONNREFUSED')) this.warnings.push(error.message);
    });
    upstream.on('message', payload => this.#fromServer(flow, payload));
    upstream.once('connect', () => {
      flow.connected = true;
      this.#enlargeBuffers(upstream, path.name);
    });
    // Binding fails at once when the process is out of descriptors: the flow is gone again then.
    upstream.bind({ port: 0, address: this.#host, exclusive: true });
    if (!flow.closed) upstream.connect(this.#server.port, this.#server.host);
    return flow;
  }

  #closeFlow(flow: Flow): void {
    const { path } = flow;
    if (flow.closed) return;
    flow.closed = true;
    flow.connected = false;
    path.flows.delete(`${flow.clientPort} ${flow.clientAddress}`);
    if (path.lastFlow === flow) path.lastFlow = undefined;
    flow.upstream.close();
  }

  // As a NAT forgets: flows idle for long, and the longest idle one when there are too many.
  #sweep(path: RelayPath, now: number): void {
    const full = path.flows.size >= MAX_FLOWS;
    if (!full && now - path.lastSweepMs < SWEEP_INTERVAL_MS) return;
    path.lastSweepMs = now;
    let idlest: Flow | undefined;
    for (const flow of path.flows.values()) {
      if (now - flow.lastUsedMs > FLOW_IDLE_MS) this.#closeFlow(flow);
      else if (idlest === undefined || flow.lastUsedMs < idlest.lastUsedMs) idlest = flow;
    }
    if (path.flows.size >= MAX_FLOWS && idlest !== undefined) this.#closeFlow(idlest);
  }

  #turnNow(): number {
    if (!this.#turnOpen) {
      this.#turnOpen = true;
      this.#turnMs = performance.now() - this.#startedMs;
      setImmediate(this.#endTurn);
    }
    return this.#turnMs;
  }

  readonly #endTurn = (): void => {
    this.#turnOpen = false;
    this.#deliver();
  };

  #deliver(): void {
    if (this.#closed) return;
    const now = performance.now() - this.#startedMs;
    let nextMs = Infinity;
    for (const path of this.#paths) {
      const { forward, backward, socket } = path;
      for (let next = forward.take(now); next !== undefined; next = forward.take(now)) {
        // Without a callback dgram keeps errors to itself; the socket reports what matters as an event.
        if (next.flow.connected) next.flow.upstream.send(next.payload);
      }
      for (let next = backward.take(now); next !== undefined; next = backward.take(now)) {
        socket.send(next.payload, next.flow.clientPort, next.flow.clientAddress);
      }
      nextMs = Math.min(nextMs, forward.nextDueMs, backward.nextDueMs);
    }
    this.#alarm.set(nextMs, now);
  }

  #socket(): Socket {
    const family = this.#family;
    const socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      // All addresses here are numeric. The default look-up would take every datagram through `nextTick`.
      lookup: (address, _options, callback) => callback(null, address, family),
    });
    this.#closing.push(new Promise(resolve => socket.once('close', resolve)));
    return socket;
  }

  #enlargeBuffers(socket: Socket, name: string): void {
    try {
      socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
      socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_SOCKET_BUFFER_SIZE'))
        throw error;
      const warning = `${name}: socket buffers stay at ${socket.getRecvBufferSize()} bytes: ${error.message}`;
      if (!this.warnings.includes(warning)) this.warnings.push(warning);
    }
  }
}

function directionStats(schedule: RelaySchedule<Datagram>): RelayDirectionStats {
  const { counters, model } = schedule;
  const lost = model.counters;
  return {
    packetsOffered: lost.offeredPackets,
    bytesOffered: lost.offeredBytes,
    packetsDelivered: counters.deliveredPackets,
    bytesDelivered: counters.deliveredBytes,
    dropped: {
      queue: lost.lostQueue,
      loss: lost.lostRandom,
      burst: lost.lostBurst,
      mtu: lost.lostMtu,
      down: lost.lostDown + counters.lostCut,
      corrupt: counters.lostCorrupt,
    },
  };
}

const UDP_HEADER_BYTES = 8;
const IPV4_HEADER_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
// Longer than TIME-WAIT and than several keepalives.
const FLOW_IDLE_MS = 120_000;
const SWEEP_INTERVAL_MS = 10_000;
const MAX_FLOWS = 512;
