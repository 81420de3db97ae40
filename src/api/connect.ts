// `connect` and `createServer`: the entry to both backends.
//
// Decides: which class a socket or server is of, by the option `backend`; what both have in common is
// MultipathSocket and MultipathServer.
// Walk: api/backend chooses; api/socket and api/server are our own stack, api/kernel-* are Linux's.

import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { chooseBackend } from './backend.ts';
import { clientMade } from './diagnostics.ts';
import { KernelServer } from './kernel-server.ts';
import { KernelSocket } from './kernel-socket.ts';
import type { MultipathStatus } from './multipath.ts';
import {
  type ConnectArguments,
  type ConnectOptions,
  checkServerOptions,
  connectArguments,
  type ListenArguments,
  type ServerOptions,
  type SocketOptions,
} from './options.ts';
import { Server } from './server.ts';
import { Socket, type SocketAddress } from './socket.ts';

/** What sockets of both backends have. */
export interface MultipathSocket extends Duplex {
  readonly multipath: MultipathStatus;
  readonly unacknowledgedBytes: number;
  readonly connecting: boolean;
  readonly pending: boolean;
  readonly readyState: string;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly timeout?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly localFamily?: string | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly remoteFamily?: string | undefined;
  address(): SocketAddress | object;
  setNoDelay(noDelay?: boolean): this;
  setKeepAlive(enable?: boolean, initialDelay?: number): this;
  setTimeout(timeoutMs: number, callback?: () => void): this;
  ref(): this;
  unref(): this;
  destroySoon(): void;
  resetAndDestroy(): this;
}

/** What servers of both backends have. */
export interface MultipathServer extends EventEmitter {
  readonly listening: boolean;
  listen(...args: ListenArguments): this;
  close(callback?: (error?: Error) => void): this;
  address(): SocketAddress | string | object | null;
  getConnections(callback: (error: Error | null, count: number) => void): unknown;
  ref(): this;
  unref(): this;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A connected socket; the argument forms and options of `net.connect`, and `paths` among them. */
export function connect(
  options: ConnectOptions & { readonly backend: 'kernel' },
  listener?: () => void,
): KernelSocket;
export function connect(
  options: ConnectOptions & { readonly backend: 'auto' | 'kernel' },
  listener?: () => void,
): MultipathSocket;
export function connect(...args: ConnectArguments): Socket;
export function connect(...args: readonly unknown[]): MultipathSocket {
  const { options, listener } = connectArguments(args);
  const { backend, reason } = chooseBackend(options);
  const ofStream = streamOptions(options);
  if (backend === 'kernel') {
    const { onread } = options;
    const ofKernel = new KernelSocket({ ...ofStream, ...(onread === undefined ? {} : { onread }), reason });
    clientMade(ofKernel);
    return ofKernel.connect(options, listener);
  }
  // A second look at the options: our own stack may not have all that the kernel has.
  const socket = new Socket(ofStream, reason);
  clientMade(socket);
  if (listener !== undefined) socket.once('connect', listener);
  return socket.connect({ ...options, backend: 'user' });
}

/** A server; the argument forms and options of `net.createServer`, and `advertise` among them. */
export function createServer(
  options: ServerOptions & { readonly backend: 'kernel' },
  listener?: (socket: KernelSocket) => void,
): KernelServer;
export function createServer(
  options: ServerOptions & { readonly backend: 'auto' | 'kernel' },
  listener?: (socket: MultipathSocket) => void,
): MultipathServer;
export function createServer(
  options?: ServerOptions | ((socket: Socket) => void),
  listener?: (socket: Socket) => void,
): Server;
export function createServer(
  options?: ServerOptions | ((socket: Socket) => void),
  listener?: (socket: never) => void,
): MultipathServer {
  const given = typeof options === 'function' ? {} : (options ?? {});
  checkServerOptions(given);
  const onConnection = (typeof options === 'function' ? options : listener) as
    | ((socket: object) => void)
    | undefined;
  const { backend, reason } = chooseBackend(given, { server: true });
  if (backend === 'kernel') return new KernelServer(given, reason, onConnection);
  return new Server(given, onConnection, reason);
}

function streamOptions({ allowHalfOpen, highWaterMark }: ConnectOptions): SocketOptions {
  return {
    ...(allowHalfOpen === undefined ? {} : { allowHalfOpen }),
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
  };
}
