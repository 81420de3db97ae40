// A server on the Linux kernel's Multipath TCP: a `net.Server` of Node's on a listening socket that Node did
// not make, whose connections are KernelSockets.
//
// Decides: which socket is bound, and that what Node does with an accepted handle (limits, counting, events)
// is done here, because Node would make a plain net.Socket of it.
// Walk: node:net accepts; api/kernel-socket takes each connection.

import cluster from 'node:cluster';
import { Server as NetServer } from 'node:net';
import {
  acceptWithData,
  adopt,
  beginCounting,
  bindToDevice,
  closeDescriptor,
  newTcpHandle,
  openStream,
  reusePort,
  systemError,
  type TcpHandle,
} from '../kernel/index.ts';
import { describeAddress } from './addresses.ts';
import { connectionMade } from './diagnostics.ts';
import { codeOf, MptcpError } from './errors.ts';
import { KernelSocket, plainAddress } from './kernel-socket.ts';
import { checkServerOptions, type ListenOptions, listenArguments, type ServerOptions } from './options.ts';
import { isBlocked, resolveHost } from './resolve.ts';
import type { DropInfo } from './server.ts';

/** A server of the kernel's; made by `createServer`. */
export class KernelServer extends NetServer {
  readonly #options: ServerOptions;
  readonly #reason: string | null;
  #starting = false;
  /** Counts calls of listen and close: what an earlier one began is of no interest to a later one. */
  #generation = 0;

  /** @internal */
  constructor(options: ServerOptions, reason: string | null, listener?: (socket: KernelSocket) => void) {
    super();
    checkServerOptions(options);
    this.#options = options;
    this.#reason = reason;
    if (listener !== undefined) this.on('connection', listener as (socket: object) => void);
  }

  /** Listens; the argument forms of `net.Server.listen`, without pipes. */
  override listen(...args: readonly unknown[]): this {
    const { options, listener } = listenArguments(args, 'kernel');
    if (this.listening || this.#starting) throw new MptcpError('ERR_SERVER_ALREADY_LISTEN');
    if (listener !== undefined) this.once('listening', listener);
    const { signal } = options;
    if (signal?.aborted === true) {
      process.nextTick(() => this.close());
      return this;
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#starting = true;
    const generation = ++this.#generation;
    this.#listen(options, generation).catch(error => {
      if (generation !== this.#generation) return;
      this.#starting = false;
      this.emit('error', listenError(error, options));
    });
    return this;
  }

  override close(callback?: (error?: Error) => void): this {
    this.#generation++;
    this.#starting = false;
    return super.close(callback);
  }

  async #listen(options: ListenOptions & { port: number }, generation: number): Promise<void> {
    const host = options.host ?? (this.#device === undefined ? this.#options.paths?.[0]?.local : undefined);
    const addresses = host === undefined ? ANY : (await resolveHost({ host })).slice(0, 1);
    if (generation !== this.#generation) return;
    beginCounting();
    const handle = this.#openHandle(options, addresses);
    this.#starting = false;
    this.prependOnceListener('listening', () => this.#takeConnections());
    // As listen(2): 0 is no wish to accept nothing.
    super.listen(handle, options.backlog || BACKLOG);
  }

  /** The one device to listen on, where a path names one rather than an address. */
  get #device(): string | undefined {
    const local = this.#options.paths?.[0]?.local;
    return local === undefined || describeAddress(local, '') !== undefined ? undefined : local;
  }

  /** A handle that listens on the first address that this machine has. */
  #openHandle(
    options: ListenOptions & { port: number },
    addresses: readonly { readonly address: string; readonly family: 4 | 6 }[],
  ): TcpHandle {
    const backlog = options.backlog || BACKLOG;
    if (options.fd !== undefined) {
      const inherited = newTcpHandle('server');
      adopt(inherited, options.fd);
      return inherited;
    }
    let failure: unknown;
    for (const { address, family } of addresses) {
      const handle = newTcpHandle('server');
      try {
        adopt(handle, this.#openDescriptor(family, options));
        const ipv6Only = options.ipv6Only === true ? UV_TCP_IPV6ONLY : 0;
        check(
          family === 4 ? handle.bind(address, options.port) : handle.bind6(address, options.port, ipv6Only),
        );
        // An address in use is an error of this one.
        check(handle.listen(backlog));
        return handle;
      } catch (error) {
        handle.close();
        failure = error;
        // A machine without IPv6 listens on all its addresses as well.
        if (!NO_IPV6.has(codeOf(error))) break;
      }
    }
    throw failure;
  }

  #openDescriptor(family: 4 | 6, options: ListenOptions): number {
    const fd = openStream({ family, multipath: this.#options.multipath ?? true });
    try {
      // Each worker of a cluster has a socket of its own: Node shares only those that its primary made.
      if (options.reusePort ?? cluster.isWorker) reusePort(fd);
      if (this.#device !== undefined) bindToDevice(fd, this.#device);
      const { fastOpen = 0, require = false } = this.#options;
      // Before the third ACK nobody knows whether a connection will be Multipath TCP.
      if (fastOpen > 0 && !require) acceptWithData(fd, fastOpen);
      return fd;
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  #takeConnections(): void {
    const { _handle: handle } = this as unknown as Internals;
    if (handle === null) return;
    handle.onconnection = (status, client) => {
      if (status !== 0 || client === undefined) {
        this.emit('error', new MptcpError(codeOf(systemError(-status, 'accept')), { syscall: 'accept' }));
      } else this.#accept(client);
    };
  }

  #accept(handle: TcpHandle): void {
    const internals = this as unknown as Internals;
    const { blockList } = this.#options;
    if (blockList !== undefined && isBlocked(blockList, plainAddress(dropInfo(handle).remoteAddress))) {
      handle.close();
      return;
    }
    if (this.maxConnections !== undefined && internals._connections >= this.maxConnections) {
      this.emit('drop', dropInfo(handle));
      handle.close();
      return;
    }
    const { allowHalfOpen, highWaterMark, noDelay, keepAlive, keepAliveInitialDelay, service } =
      this.#options;
    const socket = new KernelSocket({
      handle,
      reason: this.#reason,
      multipath: this.#options.multipath ?? true,
      ...(service === undefined ? {} : { service }),
      ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }),
      ...(highWaterMark === undefined ? {} : { highWaterMark }),
    });
    if (this.#options.require === true && !socket.multipath.active) {
      this.emit('drop', dropInfo(handle));
      socket.resetAndDestroy();
      return;
    }
    if (noDelay === true) socket.setNoDelay(true);
    if (keepAlive === true) socket.setKeepAlive(true, keepAliveInitialDelay ?? 0);
    // Node counts a server's connections by these, and says 'close' when none is left.
    internals._connections++;
    (socket as unknown as { server: object; _server: object }).server = this;
    (socket as unknown as { server: object; _server: object })._server = this;
    if (this.#options.pauseOnConnect === true) socket.pause();
    connectionMade(socket, 'server');
    this.emit('connection', socket);
    socket.handedOut();
  }
}

/** What net.Server keeps in properties that its types do not show. */
interface Internals {
  readonly _handle: TcpHandle | null;
  _connections: number;
}

function check(status: number): void {
  if (status < 0) throw systemError(-status, 'listen');
}

function dropInfo(handle: TcpHandle): DropInfo {
  const local = { address: '', port: 0, family: '' };
  const remote = { address: '', port: 0, family: '' };
  handle.getsockname(local);
  handle.getpeername(remote);
  return {
    ...{ localAddress: local.address, localPort: local.port, localFamily: local.family },
    ...{ remoteAddress: remote.address, remotePort: remote.port, remoteFamily: remote.family },
  };
}

function listenError(cause: unknown, options: ListenOptions & { port: number }): Error {
  if (cause instanceof MptcpError) return cause;
  const code = codeOf(cause);
  if (code.startsWith('ERR_')) return new MptcpError(code, { sentence: (cause as Error).message, cause });
  return new MptcpError(code, {
    ...{ syscall: 'listen', address: options.host ?? '::', port: options.port, cause },
  });
}

/** Every address, of both families where the machine has both. */
const ANY: readonly { readonly address: string; readonly family: 4 | 6 }[] = [
  { address: '::', family: 6 },
  { address: '0.0.0.0', family: 4 },
];
const NO_IPV6: ReadonlySet<string> = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL']);
const UV_TCP_IPV6ONLY = 1;
/** What Node's servers have. */
const BACKLOG = 511;
