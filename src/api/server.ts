// A server as an application knows it, in the shape of `net.Server`.
//
// Decides: where it listens (one UDP socket for every local address, because a wildcard socket does not say
// which address a datagram came to), what becomes of connections beyond `maxConnections`, and when it is
// closed.
// Walk: api/driver tells of connections; api/socket takes each of them.

import { EventEmitter } from 'node:events';
import type { Connection } from '../host/index.ts';
import { FastOpenBit, type Listener, Ready } from '../host/index.ts';
import { checkDevices, describeAddress, type LocalAddress } from './addresses.ts';
import { connectionMade } from './diagnostics.ts';
import type { EndpointOwner } from './driver.ts';
import { codeOf, MptcpError } from './errors.ts';
import { ListeningPorts } from './listening-ports.ts';
import { checkServerOptions, type ListenArguments, listenArguments, type ServerOptions } from './options.ts';
import { isBlocked, resolveHost } from './resolve.ts';
import { Session } from './session.ts';
import { Socket, type SocketAddress } from './socket.ts';
import { type Stack, stackFor } from './stack.ts';

/** What is said of a connection that was not accepted. */
export interface DropInfo {
  readonly localAddress: string;
  readonly localPort: number;
  readonly localFamily: string;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly remoteFamily: string;
}

/** Accepts Multipath TCP connections, and plain TCP in the same encapsulation. */
export class Server extends EventEmitter implements EndpointOwner {
  /** Connections beyond this many are dropped; undefined: all are taken. */
  maxConnections: number | undefined;
  readonly #options: ServerOptions;
  readonly #reason: string | null;
  readonly #sockets: Set<Socket> = new Set();
  #stack: Stack | undefined;
  #listener: Listener | undefined;
  #ports: ListeningPorts | undefined;
  #address: SocketAddress | undefined;
  /** Counts calls of listen and close: what an earlier one began is of no interest to a later one. */
  #generation = 0;
  #starting = false;
  #referenced = true;
  #held = false;

  /** `reason`: why it is our own stack, where there was a choice. */
  constructor(
    options?: ServerOptions | ((socket: Socket) => void),
    listener?: (socket: Socket) => void,
    reason: string | null = null,
  ) {
    super();
    const given = typeof options === 'function' ? {} : (options ?? {});
    checkServerOptions(given);
    this.#options = given;
    this.#reason = reason;
    const onConnection = typeof options === 'function' ? options : listener;
    if (onConnection !== undefined) this.on('connection', onConnection);
  }

  get listening(): boolean {
    return this.#listener !== undefined;
  }

  /** Where it listens; null while it does not. */
  address(): SocketAddress | null {
    return this.#address === undefined ? null : { ...this.#address };
  }

  /** Listens; the argument forms of `net.Server.listen`, without pipes and handles. */
  listen(...args: ListenArguments): this {
    const { options, listener } = listenArguments(args, 'user');
    if (this.#listener !== undefined || this.#starting) throw new MptcpError('ERR_SERVER_ALREADY_LISTEN');
    if (listener !== undefined) this.once('listening', listener);
    const { signal } = options;
    if (signal?.aborted === true) {
      process.nextTick(() => this.close());
      return this;
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#starting = true;
    const generation = ++this.#generation;
    this.#hold();
    this.#listen(options, generation).catch(error => {
      if (generation !== this.#generation) return;
      this.#starting = false;
      this.#unhold();
      this.emit('error', listenError(error, options.host, options.port));
    });
    return this;
  }

  /** Takes no more connections; 'close' comes when those there are have ended. */
  close(callback?: (error?: Error) => void): this {
    const running = this.#listener !== undefined || this.#starting;
    if (callback !== undefined) {
      this.once('close', () => (running ? callback() : callback(new MptcpError('ERR_SERVER_NOT_RUNNING'))));
    }
    this.#generation++;
    this.#starting = false;
    this.#address = undefined;
    const stack = this.#stack;
    if (this.#listener !== undefined && stack !== undefined) this.#listener.close(stack.driver.now());
    this.#listener = undefined;
    this.#ports?.close();
    this.#ports = undefined;
    this.#unhold();
    this.#emitCloseWhenIdle();
    return this;
  }

  /** How many connections there are. */
  getConnections(callback: (error: Error | null, count: number) => void): this {
    process.nextTick(() => callback(null, this.#sockets.size));
    return this;
  }

  ref(): this {
    this.#referenced = true;
    if (this.#listener !== undefined || this.#starting) this.#hold();
    return this;
  }

  unref(): this {
    this.#referenced = false;
    this.#unhold();
    return this;
  }

  /** Closes, and resolves when all connections have ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.listening && !this.#starting) return;
    await new Promise<void>(resolve => this.close(() => resolve()));
  }

  ready(events: number): void {
    if ((events & Ready.ACCEPT) === 0) return;
    for (;;) {
      const connection = this.#listener?.accept();
      if (connection === undefined) return;
      this.#accept(connection);
    }
  }

  async #listen(
    options: { port: number; host?: string; backlog?: number; ipv6Only?: boolean },
    generation: number,
  ): Promise<void> {
    const { link, mtu, pcap, checksum, config, advertise, multipath } = this.#options;
    // Before the third ACK nobody knows whether a connection will be Multipath TCP.
    const fastOpen = this.#options.require === true ? 0 : (this.#options.fastOpen ?? 0);
    const settings =
      config === undefined && checksum === undefined
        ? {}
        : { config: { ...config, ...(checksum === undefined ? {} : { checksum }) } };
    const stack = stackFor({ link, mtu, pcap, ...settings });
    stack.network.enter();
    const [chosen, advertised] = await Promise.all([
      this.#chooseAddresses(stack, options),
      Promise.all((advertise ?? []).map(endpoint => resolveEndpoint(endpoint))),
    ]).finally(() => stack.network.leave());
    if (generation !== this.#generation) return;
    const ports = new ListeningPorts({ stack, port: options.port, ...chosen });
    try {
      await ports.open();
      if (generation !== this.#generation) {
        ports.close();
        return;
      }
      this.#listener = stack.driver.host.listen({
        port: ports.port,
        ...(chosen.only === undefined ? {} : { address: chosen.only.replace(/%.*$/, '') }),
        // As listen(2): 0 is no wish to accept nothing.
        ...(options.backlog ? { backlog: options.backlog } : {}),
        ...(multipath === undefined ? {} : { multipath }),
        ...(advertised.length === 0 ? {} : { advertise: advertised }),
        ...(fastOpen === 0 ? {} : { fastOpen, config: { fastOpen: config?.fastOpen ?? FAST_OPEN_BOTH } }),
      });
    } catch (error) {
      ports.close();
      throw error;
    }
    this.#listener.userData = this;
    this.#stack = stack;
    this.#ports = ports;
    this.#starting = false;
    const family = chosen.named.includes(':') ? 'IPv6' : 'IPv4';
    this.#address = { address: chosen.named, family, port: ports.port };
    this.emit('listening');
  }

  /** Which addresses: those of the host, those of the paths, or all. */
  async #chooseAddresses(
    stack: Stack,
    options: { host?: string; ipv6Only?: boolean },
  ): Promise<{ accepts: (local: LocalAddress) => boolean; first: string[]; named: string; only?: string }> {
    const { paths, device } = this.#options;
    const { host } = options;
    if (stack.network.tun !== undefined) {
      for (const path of paths ?? []) stack.network.tun.place(path, device);
    }
    const everywhere = host === undefined || (stack.network.tun !== undefined && WILDCARDS.has(host));
    if (everywhere && paths !== undefined) {
      const addresses = stack.network.addresses();
      if (stack.network.tun === undefined) checkDevices(paths, addresses);
      const accepts = (local: LocalAddress) => paths.some(path => isPathOver(path.local, local));
      const literal = paths.map(path => path.local).filter(local => describeAddress(local, '') !== undefined);
      return { accepts, first: literal, named: literal[0] ?? '0.0.0.0' };
    }
    const address = host === undefined ? '::' : (await resolveHost({ host }))[0].address;
    if (address !== '::' && address !== '0.0.0.0') {
      return { accepts: () => false, first: [address], named: address, only: address };
    }
    const wanted = (local: LocalAddress) =>
      !local.linkLocal &&
      (address === '0.0.0.0' ? local.family === 4 : options.ipv6Only !== true || local.family === 6);
    const hasIpv6 = stack.network.addresses().some(local => local.family === 6);
    return { accepts: wanted, first: [], named: hasIpv6 ? address : '0.0.0.0' };
  }

  #accept(connection: Connection): void {
    const stack = this.#stack;
    if (stack === undefined) return;
    const session = new Session({ ...stack, connection });
    if (isBlocked(this.#options.blockList, connection.remote.address)) {
      session.abort();
      return;
    }
    const tooMany = this.maxConnections !== undefined && this.#sockets.size >= this.maxConnections;
    if (tooMany || (this.#options.require === true && !connection.multipath().active)) {
      const info = dropInfoOf(connection);
      session.abort();
      this.emit('drop', info);
      return;
    }
    const { allowHalfOpen, highWaterMark, noDelay, keepAlive, keepAliveInitialDelay } = this.#options;
    const streamOptions = {
      ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }),
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
    };
    const socket = new Socket(streamOptions, this.#reason);
    if (noDelay === true) socket.setNoDelay(true);
    if (keepAlive === true) socket.setKeepAlive(true, keepAliveInitialDelay ?? 0);
    if (this.#options.pauseOnConnect === true) socket.pause();
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#emitCloseWhenIdle();
    });
    socket.adopt(session);
    connectionMade(socket, 'server');
    this.emit('connection', socket);
    // What happened before anybody had accepted it.
    session.ready(connection.takeEvents());
  }

  #emitCloseWhenIdle(): void {
    if (this.#listener !== undefined || this.#starting || this.#sockets.size > 0) return;
    const generation = this.#generation;
    process.nextTick(() => {
      if (generation === this.#generation && this.#sockets.size === 0) this.emit('close');
    });
  }

  #hold(): void {
    if (this.#held || !this.#referenced) return;
    this.#held = true;
    this.#holder().driver.hold();
  }

  #unhold(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#holder().driver.release();
  }

  /** Any stack keeps a process alive as well as another. */
  #holder(): Stack {
    return stackFor({});
  }
}

async function resolveEndpoint(endpoint: { host: string; port?: number }): Promise<{
  address: string;
  port?: number;
}> {
  const [{ address }] = await resolveHost({ host: endpoint.host });
  return endpoint.port === undefined ? { address } : { address, port: endpoint.port };
}

function isPathOver(path: string, local: LocalAddress): boolean {
  return local.address === path || (local.device === path && !local.linkLocal);
}

function dropInfoOf({ local, remote }: Connection): DropInfo {
  return {
    localAddress: local.address,
    localPort: local.port,
    localFamily: familyOf(local.address),
    remoteAddress: remote.address,
    remotePort: remote.port,
    remoteFamily: familyOf(remote.address),
  };
}

function familyOf(address: string): string {
  return address.includes(':') ? 'IPv6' : 'IPv4';
}

function listenError(error: unknown, host: string | undefined, port: number): Error {
  if (error instanceof MptcpError) return error;
  const code = codeOf(error);
  if (code === 'EINVAL') return error as Error;
  const address = (error as { address?: unknown }).address;
  return new MptcpError(code, {
    syscall: 'listen',
    address: typeof address === 'string' ? address : (host ?? '::'),
    port,
    ...(error instanceof Error ? { cause: error } : {}),
  });
}

/** Both roles of TCP Fast Open: what a server that asks for it wants, where the settings do not say. */
const FAST_OPEN_BOTH: number = FastOpenBit.CLIENT | FastOpenBit.SERVER;
/** The names of "every address", of both families. */
const WILDCARDS: ReadonlySet<string> = new Set(['::', '0.0.0.0']);
