// Two hosts with sockets and a wire between them, in virtual time, for tests of the socket layer.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import {
  type Config,
  constants,
  errnoName,
  Host,
  type Socket,
  type SocketAddress,
  Sockets,
} from '../../src/host/index.ts';

export interface WorldOptions {
  client?: Partial<Config>;
  server?: Partial<Config>;
  ipVersion?: 4 | 6;
  /** Interfaces of each host: the client's 10.N.0.1, the server's 10.N.0.2 (or fd00:N::1, ::2). */
  paths?: number;
  multipath?: boolean;
}

export class SocketWorld {
  now = 1000;
  readonly client: Sockets;
  readonly server: Sockets;
  readonly clientAddress: string;
  readonly serverAddress: string;
  readonly protocol: number;
  readonly domain: number;
  /** False drops a packet. */
  passes: (packet: Uint8Array, from: 'client' | 'server') => boolean = () => true;
  readonly log: { from: 'client' | 'server'; bytes: Uint8Array; at: number; segmentBytes: number }[] = [];
  private readonly packet: Uint8Array = new Uint8Array(70_000);

  constructor(options: WorldOptions = {}) {
    const paths = options.paths ?? 1;
    const v6 = options.ipVersion === 6;
    const address = (path: number, host: number) => (v6 ? `fd00:${path}::${host}` : `10.${path}.0.${host}`);
    this.client = sockets(options.client ?? {}, 1);
    this.server = sockets(options.server ?? {}, 1000);
    for (let path = 1; path <= paths; path++) {
      this.client.host.addInterface({ address: address(path, 1), gsoMax: 1500 });
      this.server.host.addInterface({ address: address(path, 2), gsoMax: 1500 });
    }
    this.clientAddress = address(1, 1);
    this.serverAddress = address(1, 2);
    this.domain = v6 ? constants.AF_INET6 : constants.AF_INET;
    this.protocol = options.multipath ? constants.IPPROTO_MPTCP : constants.IPPROTO_TCP;
  }

  clientSocket(): Socket {
    return made(this.client.socket(this.domain, constants.SOCK_STREAM, this.protocol));
  }

  serverSocket(): Socket {
    return made(this.server.socket(this.domain, constants.SOCK_STREAM, this.protocol));
  }

  /** A listening socket and where it listens. */
  listening(port = 7000, backlog = 10): { listener: Socket; address: SocketAddress } {
    const listener = this.serverSocket();
    const address = { address: this.serverAddress, port };
    assert.equal(listener.bind(address), 0);
    assert.equal(listener.listen(backlog), 0);
    return { listener, address };
  }

  /** A connected pair. */
  pair(): { near: Socket; far: Socket; listener: Socket } {
    const { listener, address } = this.listening();
    const near = this.clientSocket();
    assert.equal(errnoName(near.connect(address, this.now)), 'EINPROGRESS');
    this.run(50);
    const far = made(listener.accept(this.now));
    assert.equal(near.connect(address, this.now), 0);
    return { near, far, listener };
  }

  /** Lets `ms` pass, 1 ms a hop. */
  run(ms: number): void {
    for (const end = this.now + ms; this.now < end; this.now++) this.turn();
  }

  /** Lets time pass until it is so, from deadline to deadline. */
  until(what: string, condition: () => boolean, ms = 300_000): void {
    const end = this.now + ms;
    for (this.turn(); !condition(); this.turn()) {
      const due = Math.min(this.client.host.nextDeadline(), this.server.host.nextDeadline());
      assert.ok(this.now < end, `not within ${ms} ms: ${what}`);
      this.now = Math.min(end, Math.max(this.now + 1, Math.min(due, this.now + 1000)));
    }
  }

  /** Timers, and every packet that is on its way. */
  turn(): void {
    for (const { host } of [this.client, this.server])
      if (host.nextDeadline() <= this.now) host.expire(this.now);
    while (this.carry('client') + this.carry('server') > 0);
  }

  private carry(from: 'client' | 'server'): number {
    const source = this[from].host;
    const target = this[from === 'client' ? 'server' : 'client'].host;
    let carried = 0;
    for (let n = this.next(source); n > 0; n = this.next(source)) {
      carried++;
      const bytes = this.packet.slice(0, n);
      this.log.push({ from, bytes, at: this.now, segmentBytes: source.transmitSegmentSize });
      const interfaceId = target.interfaces.byAddress(destination(bytes))?.id ?? source.transmitInterface;
      if (this.passes(bytes, from)) target.receive(interfaceId, bytes, 0, n, this.now);
    }
    return carried;
  }

  private next(host: Host): number {
    return host.transmit(this.packet, 0, this.now);
  }
}

/** The socket, where a call could have failed. */
export function made(result: Socket | number): Socket {
  if (typeof result === 'number') assert.fail(`no socket: ${errnoName(result)}`);
  return result;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Sends a text; the result of the call. */
export function sendText(socket: Socket, text: string, now: number, flags = 0): number {
  const bytes = bytesOf(text);
  return socket.send(bytes, 0, bytes.length, flags, now);
}

/** Receives at most `most` bytes as text, or the name of the error. */
export function recvText(socket: Socket, now: number, flags = 0, most = 65_536): string {
  const into = new Uint8Array(most);
  const taken = socket.recv(into, 0, most, flags, now);
  return taken < 0 ? errnoName(taken) : new TextDecoder().decode(into.subarray(0, taken));
}

/** Where a packet goes, as four words. */
function destination(bytes: Uint8Array): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (bytes[0] >> 4 === 4) return Int32Array.of(0, 0, 0xffff, view.getInt32(16));
  return Int32Array.of(view.getInt32(24), view.getInt32(28), view.getInt32(32), view.getInt32(36));
}

function sockets(config: Partial<Config>, seed: number): Sockets {
  let state = seed;
  const entropy = {
    randomBytes: (into: Uint8Array) => {
      for (let i = 0; i < into.length; i++) {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        into[i] = state >>> 16;
      }
    },
    sha256: (data: Uint8Array) => createHash('sha256').update(data).digest(),
    hmacSha256: (key: Uint8Array, data: Uint8Array) => createHmac('sha256', key).update(data).digest(),
  };
  return new Sockets(new Host({ entropy, config }));
}
