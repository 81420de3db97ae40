// Servers and sockets for the tests of this folder: over loopback, closed with the test.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import {
  type ConnectOptions,
  connect,
  createServer,
  type Server,
  type ServerOptions,
  type Socket,
} from '../../src/api/index.ts';

/** The part of node:test's context that is needed. */
export interface TestScope {
  after(callback: () => void | Promise<void>): void;
}

/** A server on a free port of one address. */
export interface Serving {
  readonly server: Server;
  readonly port: number;
  readonly host: string;
  /** The next connection, or the one that came before it was asked for. */
  next(): Promise<Socket>;
}

/** Starts a server. Without a listener its connections are handed out by `next`. */
export async function serve(
  scope: TestScope,
  options: ServerOptions & { host?: string } = {},
  onConnection?: (socket: Socket) => void,
): Promise<Serving> {
  const { host = '127.0.0.1', ...serverOptions } = options;
  const server = createServer(serverOptions);
  const sockets = new Set<Socket>();
  const waiting: ((socket: Socket) => void)[] = [];
  const arrived: Socket[] = [];
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    if (onConnection !== undefined) onConnection(socket);
    else if (waiting.length > 0) waiting.shift()?.(socket);
    else arrived.push(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  scope.after(() => {
    for (const socket of sockets) socket.on('error', () => {}).resetAndDestroy();
    server.close();
  });
  const { port } = server.address() ?? { port: 0 };
  const next = () =>
    new Promise<Socket>(resolve => {
      const socket = arrived.shift();
      if (socket !== undefined) resolve(socket);
      else waiting.push(resolve);
    });
  return { server, port, host, next };
}

/** A connected client and its socket at the server. */
export async function connected(
  scope: TestScope,
  serving: Serving,
  options: Partial<ConnectOptions> = {},
): Promise<{ client: Socket; remote: Socket }> {
  const client = dial(scope, serving, options);
  const [remote] = await Promise.all([serving.next(), once(client, 'connect')]);
  return { client, remote };
}

/** A client on its way. */
export function dial(scope: TestScope, serving: Serving, options: Partial<ConnectOptions> = {}): Socket {
  const client = connect({ port: serving.port, host: serving.host, ...options });
  scope.after(() => {
    client.on('error', () => {}).destroy();
  });
  return client;
}

/** An echo, as programs write it. */
export function echo(socket: Socket): void {
  socket.pipe(socket);
}

/** Bytes that differ everywhere, the same for the same seed. */
export function pattern(bytes: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(bytes);
  let state = (seed * 2_654_435_761) >>> 0 || 1;
  for (let i = 0; i < bytes; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state;
  }
  return out;
}

/** Hashes what is fed to it. */
export function hashOf(...parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** Everything a socket receives until its end. (`for await` would destroy it there, half-open or not.) */
export function readAll(socket: Readable): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    socket.on('data', part => parts.push(part));
    socket.on('end', () => resolve(Buffer.concat(parts)));
    socket.on('error', reject);
    socket.on('close', () => reject(new Error("'close' without 'end'")));
    socket.resume();
  });
}

/** The first error; fails when there is none before 'close'. */
export async function errorOf(socket: Socket): Promise<NodeJS.ErrnoException & { message: string }> {
  const error = await new Promise<Error | undefined>(resolve => {
    socket.once('error', resolve);
    socket.once('close', () => resolve(undefined));
  });
  assert.ok(error !== undefined, "'close' without 'error'");
  return error;
}

/** Resolves when the condition holds; looks again after every turn of the event loop. */
export async function until(condition: () => boolean, what: string, withinMs = 10_000): Promise<void> {
  const limit = performance.now() + withinMs;
  while (!condition()) {
    assert.ok(performance.now() < limit, `not within ${withinMs} ms: ${what}`);
    await new Promise<void>(resolve => setTimeout(resolve, 1));
  }
}
