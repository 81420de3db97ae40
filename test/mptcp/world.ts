// Two hosts and an in-memory network in explicit time, for tests of Multipath TCP: every packet passes a list
// of rules that may drop, delay, double or alter it, and is kept in a log in decoded form.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import {
  type Config,
  type Connection,
  type ConnectOptions,
  Host,
  type Listener,
} from '../../src/host/index.ts';
import type { Notice, PathOptions } from '../../src/mptcp/index.ts';
import { Ready } from '../../src/tcp/index.ts';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  formatAddress,
  Mp,
  Segment,
  writeChecksum,
} from '../../src/wire/index.ts';

export type Side = 'client' | 'server';

/**
 * A packet on its way. `segment` is what its sender wrote; `alter` changes `bytes`, which is what arrives.
 */
export interface Packet {
  readonly from: Side;
  readonly at: number;
  /** The client's address, which names the path. */
  readonly path: number;
  segment: Segment;
  bytes: Uint8Array;
  lost: boolean;
}

/** What a rule wants: nothing, the packet gone, later, or again. */
export type Verdict = undefined | 'drop' | { delayMs: number } | { again: number };
// biome-ignore lint/suspicious/noConfusingVoidType: rules that only look return nothing
export type Rule = (packet: Packet) => Verdict | void;

export interface WorldOptions {
  paths?: number;
  /** One-way delay of each path in ms. */
  delays?: readonly number[];
  serverAddresses?: readonly string[];
  ipVersion?: 4 | 6;
  client?: Partial<Config>;
  server?: Partial<Config>;
  externalPorts?: boolean;
  multipath?: { client?: boolean; server?: boolean };
  advertise?: readonly { address: string; port?: number }[];
  /** The server's queue of TCP Fast Open. */
  fastOpen?: number;
  /** The server's connections follow its endpoints and limits. */
  endpoints?: boolean;
  seed?: number;
}

export const PORT = 8080;

/** One host and what its application saw. */
export class Peer {
  readonly host: Host;
  readonly side: Side;
  readonly interfaces: Map<string, number> = new Map();
  readonly connections: Connection[] = [];
  readonly notices: Notice[] = [];
  listener: Listener | null = null;
  received: number[] = [];
  ready = 0;
  autoRead = true;
  /** Called when a connection is there, before anything is sent in answer. */
  onConnected: ((connection: Connection) => void) | null = null;
  onFlow: ((request: { id: number; interfaceId: number }) => void) | null = null;
  /** Bytes that the application still has to write. */
  private unwritten: { connection: Connection; bytes: Uint8Array; at: number; finish: boolean }[] = [];

  constructor(side: Side, config: Partial<Config>, externalPorts: boolean, seed: number) {
    this.side = side;
    this.host = new Host({ entropy: seededEntropy(seed), config, externalPorts });
  }

  get connection(): Connection {
    assert.ok(this.connections.length > 0, `${this.side} has no connection`);
    return this.connections[0];
  }

  /** Writes all of it as room appears. */
  send(bytes: Uint8Array, now: number, options: { finish?: boolean } = {}): void {
    this.unwritten.push({ connection: this.connection, bytes, at: 0, finish: options.finish ?? false });
    this.writeMore(now);
  }

  /** Lets the application act on what is ready. */
  attend(now: number): void {
    for (let endpoint = this.host.nextReady(); endpoint !== undefined; endpoint = this.host.nextReady()) {
      const bits = endpoint.takeEvents();
      this.ready |= bits;
      if (endpoint === this.listener) {
        for (let c = this.listener.accept(); c !== undefined; c = this.listener.accept()) {
          this.connections.push(c);
          this.onConnected?.(c);
        }
        continue;
      }
      const connection = endpoint as Connection;
      if (this.side === 'client' && (bits & Ready.CONNECTED) !== 0) this.onConnected?.(connection);
      for (let n = connection.nextNotice(); n !== undefined; n = connection.nextNotice()) {
        this.notices.push(n);
        if (n.type === 'flow') this.onFlow?.(n.request);
      }
      if (this.autoRead) this.readAll(connection, now);
    }
    this.writeMore(now);
  }

  readAll(connection: Connection, now: number): void {
    const chunk = new Uint8Array(65_536);
    for (
      let n = connection.read(chunk, 0, chunk.length, now);
      n > 0;
      n = connection.read(chunk, 0, chunk.length, now)
    ) {
      for (let i = 0; i < n; i++) this.received.push(chunk[i]);
    }
  }

  notice<T extends Notice['type']>(type: T): Extract<Notice, { type: T }>[] {
    return this.notices.filter(n => n.type === type) as Extract<Notice, { type: T }>[];
  }

  private writeMore(now: number): void {
    while (this.unwritten.length > 0) {
      const job = this.unwritten[0];
      job.at += job.connection.write(job.bytes, job.at, job.bytes.length - job.at, now);
      if (job.at < job.bytes.length) return;
      if (job.finish) job.connection.shutdown(now);
      this.unwritten.shift();
    }
  }
}

export class World {
  now = 1000;
  readonly client: Peer;
  readonly server: Peer;
  readonly rules: Rule[] = [];
  readonly log: Packet[] = [];
  readonly serverAddresses: readonly string[];
  readonly clientAddresses: string[] = [];
  private readonly delays: readonly number[];
  private readonly flying: { at: number; order: number; to: Peer; bytes: Uint8Array }[] = [];
  private order = 0;
  /** Steps taken without time passing. */
  private instants = 0;
  private readonly out: Uint8Array = new Uint8Array(70_000);

  constructor(options: WorldOptions = {}) {
    const seed = options.seed ?? 1;
    const v6 = options.ipVersion === 6;
    this.client = new Peer('client', options.client ?? {}, options.externalPorts ?? false, seed);
    this.server = new Peer('server', options.server ?? {}, false, seed + 1000);
    this.delays = options.delays ?? [10, 20, 30, 40];
    this.serverAddresses = options.serverAddresses ?? [v6 ? 'fd00:9::1' : '10.9.0.1'];
    for (let i = 0; i < (options.paths ?? 1); i++) {
      this.addClientInterface(v6 ? `fd00:${i + 1}::1` : `10.${i + 1}.0.1`);
    }
    for (const address of this.serverAddresses) this.attach(this.server, address);
    this.server.listener = this.server.host.listen({
      port: PORT,
      multipath: options.multipath?.server ?? true,
      ...(options.advertise === undefined ? {} : { advertise: options.advertise }),
      fastOpen: options.fastOpen ?? 0,
      endpoints: options.endpoints ?? false,
    });
  }

  addClientInterface(address: string): number {
    this.clientAddresses.push(address);
    return this.attach(this.client, address);
  }

  /** Opens the connection over all client addresses, or the paths given. */
  connect(options: Partial<ConnectOptions> = {}): Connection {
    const paths: PathOptions[] = [...this.client.interfaces.values()].map(interfaceId => ({ interfaceId }));
    const remote = { address: this.serverAddresses[0], port: PORT };
    const connection = this.client.host.connect({ remote, paths, ...options }, this.now);
    this.client.connections.push(connection);
    this.settle();
    return connection;
  }

  /** Interface of path `i` at the client. */
  pathInterface(i: number): number {
    return this.client.interfaces.get(this.clientAddresses[i]) as number;
  }

  peer(side: Side): Peer {
    return side === 'client' ? this.client : this.server;
  }

  /** Lets both applications act and both hosts send, without time passing. */
  settle(): void {
    this.pump(this.client);
    this.pump(this.server);
  }

  /** Lets `ms` pass. */
  run(ms: number): void {
    const end = this.now + ms;
    this.settle();
    while (this.nextEvent() <= end) this.step();
    this.now = end;
    this.settle();
  }

  /** Lets time pass until it is so; fails when it is not within `ms`. */
  until(what: string, condition: () => boolean, ms = 20_000): void {
    const end = this.now + ms;
    this.settle();
    while (!condition()) {
      assert.ok(this.nextEvent() <= end, `not within ${ms} ms: ${what}`);
      this.step();
    }
  }

  /** Connected on both sides, with `subflows` active at both. */
  establish(subflows = 1, options: Partial<ConnectOptions> = {}): void {
    this.connect(options);
    this.until('established', () => this.server.connections.length > 0 && this.client.connection.connected);
    if (subflows === 1) return;
    // The client may join when a DSS has come (C5), so one byte is exchanged first.
    this.client.send(bytesOf(1), this.now);
    this.until(
      `${subflows} subflows`,
      () => this.active('client') >= subflows && this.active('server') >= subflows,
    );
    this.until('byte', () => this.server.received.length === 1);
    this.server.received = [];
    this.run(100);
  }

  active(side: Side): number {
    const { connection } = this.peer(side);
    return connection.multipath().subflows.filter(s => s.state === 'active').length;
  }

  /** Sends `length` bytes and expects exactly them at the other end. */
  transfer(from: Side, length: number, ms = 60_000): void {
    const to = this.peer(from === 'client' ? 'server' : 'client');
    const before = to.received.length;
    const bytes = bytesOf(length, before);
    this.peer(from).send(bytes, this.now);
    this.until(`${length} bytes from ${from}`, () => to.received.length >= before + length, ms);
    assert.deepEqual(Uint8Array.from(to.received.slice(before)), bytes, 'bytes differ');
  }

  /** Packets in the log, in order. */
  packets(from: Side, test: (segment: Segment, packet: Packet) => boolean = () => true): Packet[] {
    return this.log.filter(p => p.from === from && test(p.segment, p));
  }

  /** Both ends finish and read to the end; nothing may be left. */
  finish(ms = 200_000): void {
    this.client.connection.shutdown(this.now);
    this.server.connection.shutdown(this.now);
    this.untilGone(ms);
    assert.equal(this.client.connection.error, null, this.client.connection.errorReason);
    assert.equal(this.server.connection.error, null, this.server.connection.errorReason);
  }

  /** Forgets what was: the next connection is the first of both applications. */
  beginAnew(): void {
    for (const peer of [this.client, this.server]) {
      peer.connections.length = peer.notices.length = peer.received.length = peer.ready = 0;
    }
    this.log.length = 0;
  }

  /** No connection and no timer left at either host. */
  untilGone(ms = 200_000): void {
    const gone = (peer: Peer): boolean => [...peer.host.connections].length === 0;
    this.until('both hosts empty', () => gone(this.client) && gone(this.server), ms);
    this.settle();
    assert.equal(this.client.host.nextDeadline(), Infinity, 'a timer is left at the client');
    assert.equal(this.server.host.nextDeadline(), Infinity, 'a timer is left at the server');
  }

  /** Puts a packet on the wire that no host sent. */
  inject(from: Side, segment: Segment, payload: Uint8Array = new Uint8Array(0), delayMs = 0): void {
    const bytes = encode(segment, payload);
    const to = this.peer(from === 'client' ? 'server' : 'client');
    this.flying.push({ at: this.now + delayMs, order: this.order++, to, bytes });
  }

  private attach(peer: Peer, address: string): number {
    const id = peer.host.addInterface({ address, mtu: 1500, gsoMax: 1500 });
    peer.interfaces.set(address, id);
    return id;
  }

  private nextEvent(): number {
    let at = Math.min(this.client.host.nextDeadline(), this.server.host.nextDeadline());
    for (const packet of this.flying) at = Math.min(at, packet.at);
    return at;
  }

  private step(): void {
    const at = this.nextEvent();
    this.instants = at > this.now ? 0 : this.instants + 1;
    assert.ok(this.instants < 10_000, 'time stands still');
    this.now = Math.max(this.now, at);
    const due = this.flying.filter(p => p.at <= this.now).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const packet of due) this.flying.splice(this.flying.indexOf(packet), 1);
    for (const { to, bytes } of due) {
      const segment = decoded(bytes);
      const { dst0, dst1, dst2, dst3 } = segment;
      const id = to.interfaces.get(formatAddress(dst0, dst1, dst2, dst3));
      if (id !== undefined) to.host.receive(id, bytes, 0, bytes.length, this.now);
    }
    for (const peer of [this.client, this.server]) {
      if (peer.host.nextDeadline() <= this.now) peer.host.expire(this.now);
      this.pump(peer);
    }
  }

  private pump(peer: Peer): void {
    for (let packets = 0; ; packets++) {
      assert.ok(packets < 20_000, `${peer.side} never stops sending`);
      peer.attend(this.now);
      const length = peer.host.transmit(this.out, 0, this.now);
      if (length === 0) return;
      this.carry(peer, this.out.slice(0, length));
    }
  }

  private carry(from: Peer, bytes: Uint8Array): void {
    const segment = decoded(bytes);
    assert.ok(bytes.length <= 1500, `a packet of ${bytes.length} bytes`);
    const s = segment;
    const words: [number, number, number, number] =
      from.side === 'client' ? [s.src0, s.src1, s.src2, s.src3] : [s.dst0, s.dst1, s.dst2, s.dst3];
    const path = this.clientAddresses.indexOf(formatAddress(...words));
    const packet: Packet = { from: from.side, at: this.now, path, segment, bytes, lost: false };
    this.log.push(packet);
    const to = from === this.client ? this.server : this.client;
    let delayMs = this.delays[Math.max(path, 0) % this.delays.length];
    let copies = 1;
    for (const rule of this.rules) {
      const verdict = rule(packet);
      if (verdict === undefined) continue;
      if (verdict === 'drop') {
        packet.lost = true;
        return;
      }
      if ('delayMs' in verdict) delayMs += verdict.delayMs;
      else copies += verdict.again;
    }
    for (let i = 0; i < copies; i++) {
      this.flying.push({ at: this.now + delayMs, order: this.order++, to, bytes: packet.bytes });
    }
  }
}

// Packets.

export function decoded(bytes: Uint8Array): Segment {
  const segment = new Segment();
  assert.ok(decodePacket(segment, bytes, 0, bytes.length), 'not a packet');
  return segment;
}

export function encode(segment: Segment, payload: Uint8Array): Uint8Array {
  segment.payloadLength = payload.length;
  const out = new Uint8Array(200 + payload.length);
  const header = encodeHeaders(segment, out, 0);
  out.set(payload, header);
  writeChecksum(out, 0, header + payload.length);
  return out.slice(0, header + payload.length);
}

/** Changes a packet under way, checksums made right again. */
export function alter(packet: Packet, change: (segment: Segment, payload: Uint8Array) => void): void {
  const segment = decoded(packet.bytes);
  const payload = packet.bytes.slice(segment.payloadOffset, segment.payloadOffset + segment.payloadLength);
  change(segment, payload);
  packet.bytes = encode(segment, payload);
}

/** A rule that applies `verdict` to the first `times` packets that match. */
export function first(
  times: number,
  match: (segment: Segment, packet: Packet) => boolean,
  verdict: Verdict = 'drop',
): Rule {
  let left = times;
  return packet => {
    if (left <= 0 || !match(packet.segment, packet)) return undefined;
    left--;
    return verdict;
  };
}

/** A rule that alters the first `times` packets that match. */
export function altered(
  times: number,
  match: (segment: Segment, packet: Packet) => boolean,
  change: (segment: Segment, payload: Uint8Array) => void,
): Rule {
  let left = times;
  return packet => {
    if (left <= 0 || !match(packet.segment, packet)) return;
    left--;
    alter(packet, change);
  };
}

/** A middlebox that removes MPTCP options from packets that match. */
export function stripped(match: (segment: Segment, packet: Packet) => boolean): Rule {
  return altered(
    Infinity,
    (s, p) => s.mp !== 0 && match(s, p),
    s => {
      s.mp = 0;
    },
  );
}

export const isSyn = (s: Segment): boolean => (s.flags & (Flag.SYN | Flag.ACK)) === Flag.SYN;
export const isSynAck = (s: Segment): boolean => (s.flags & (Flag.SYN | Flag.ACK)) === (Flag.SYN | Flag.ACK);
export const isRst = (s: Segment): boolean => (s.flags & Flag.RST) !== 0;
export const isFin = (s: Segment): boolean => (s.flags & Flag.FIN) !== 0;
export const hasData = (s: Segment): boolean => s.payloadLength > 0;
export const has = (s: Segment, bit: number): boolean => (s.mp & bit) !== 0;
export const isCapableAck = (s: Segment): boolean => has(s, Mp.CAPABLE) && s.capableLength === 20;
export const isJoinAck = (s: Segment): boolean => has(s, Mp.JOIN) && s.joinLength === 24;
export const isDataFin = (s: Segment): boolean => has(s, Mp.DSS) && (s.dssFlags & 16) !== 0;

/** Bytes that differ from place to place in the stream. */
export function bytesOf(length: number, from = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = ((from + i) * 31 + ((from + i) >> 8) * 7) & 0xff;
  return bytes;
}

/** Real hashes, bytes from a small generator. */
export function seededEntropy(seed: number): {
  randomBytes(into: Uint8Array): void;
  sha256(data: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
} {
  let state = seed >>> 0;
  return {
    randomBytes(into: Uint8Array): void {
      for (let i = 0; i < into.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        into[i] = state >>> 24;
      }
    },
    sha256: data => new Uint8Array(createHash('sha256').update(data).digest()),
    hmacSha256: (key, data) => new Uint8Array(createHmac('sha256', key).update(data).digest()),
  };
}
