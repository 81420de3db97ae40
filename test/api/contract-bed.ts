// The three backends behind one face, for tests of what all of them have to do alike.

import { once } from 'node:events';
import * as net from 'node:net';
import type { TestContext } from 'node:test';
import { connect, createServer, type MultipathSocket } from '../../src/api/index.ts';
import { impediment } from '../../src/kernel/index.ts';

/** A socket as far as all three are the same. */
export type Connection = Omit<MultipathSocket, 'multipath' | 'unacknowledgedBytes'>;
export type ConnectOptions = net.TcpNetConnectOpts & { timeout?: number };
export interface Listening {
  readonly listening: boolean;
  maxConnections?: number | undefined;
  listen(options: object, listener?: () => void): unknown;
  close(callback?: (error?: Error) => void): unknown;
  address(): unknown;
  getConnections(callback: (error: Error | null, count: number) => void): unknown;
  on(event: string, listener: (...values: never[]) => void): unknown;
  once(event: string, listener: (...values: never[]) => void): unknown;
}
export interface Backend {
  readonly name: string;
  readonly skip: string | false;
  connect(options: ConnectOptions): Connection;
  createServer(options: net.ServerOpts, listener?: (socket: Connection) => void): Listening;
}

const noKernel = impediment()?.message ?? false;
export const backends: Backend[] = [
  {
    ...{ name: 'node:net', skip: false },
    connect: options => net.connect(options) as unknown as Connection,
    createServer: (options, listener) => net.createServer(options, listener as never) as unknown as Listening,
  },
  {
    ...{ name: "backend: 'user'", skip: false },
    connect: options => connect({ ...(options as { port: number }), backend: 'user' }),
    createServer: (options, listener) =>
      createServer({ ...options, backend: 'user' } as object, listener as never) as unknown as Listening,
  },
  {
    ...{ name: "backend: 'kernel'", skip: noKernel },
    connect: options => connect({ ...(options as { port: number }), backend: 'kernel' }),
    createServer: (options, listener) =>
      createServer({ ...(options as object), backend: 'kernel' }, listener as never) as unknown as Listening,
  },
];

/** A server on a free port, and its connections. */
export class Served {
  readonly server: Listening;
  readonly host: string;
  port = 0;
  readonly #backend: Backend;
  readonly #t: TestContext;
  readonly #arrived: Connection[] = [];
  readonly #waiting: ((socket: Connection) => void)[] = [];

  private constructor(t: TestContext, backend: Backend, options: net.ServerOpts, host: string) {
    this.#backend = backend;
    this.#t = t;
    this.host = host;
    this.server = backend.createServer(options, socket => {
      t.after(() => void socket.on('error', () => {}).destroy());
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#arrived.push(socket);
      else waiting(socket);
    });
  }

  static async start(
    t: TestContext,
    backend: Backend,
    { host = '127.0.0.1', ...options }: net.ServerOpts & { host?: string } = {},
  ): Promise<Served> {
    const served = new Served(t, backend, options, host);
    served.server.listen({ port: 0, host });
    await once(served.server as never, 'listening');
    t.after(() => void served.server.close());
    served.port = (served.server.address() as net.AddressInfo).port;
    return served;
  }

  dial(options: Partial<ConnectOptions> = {}): Connection {
    const client = this.#backend.connect({ port: this.port, host: this.host, ...options } as ConnectOptions);
    this.#t.after(() => void client.on('error', () => {}).destroy());
    return client;
  }

  /** The next connection, or the one that came before it was asked for. */
  next(): Promise<Connection> {
    const socket = this.#arrived.shift();
    return socket === undefined
      ? new Promise(resolve => this.#waiting.push(resolve))
      : Promise.resolve(socket);
  }

  async pair(options: Partial<ConnectOptions> = {}): Promise<{ client: Connection; remote: Connection }> {
    const client = this.dial(options);
    const [remote] = await Promise.all([this.next(), once(client, 'connect')]);
    return { client, remote };
  }
}

/** What 'close' says, error or not; `once` would throw the error. */
export function closeOf(socket: Connection): Promise<[hadError: boolean]> {
  return new Promise(resolve => socket.once('close', (hadError: boolean) => resolve([hadError])));
}
