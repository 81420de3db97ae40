// Drives the kernel's sockets in a network namespace: starts kernel_peer.py there and talks to it in lines of JSON.
//
// Decides: that a peer is one process for any number of sockets, ended by the end of its standard input or, if need
// be, by its process id.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** What went over a socket. */
export interface Transfer {
  readonly bytes: number;
  readonly sha256: string;
  readonly ended?: boolean;
}

/** A failed call of the kernel's, by errno name where the test cares. */
export class PeerError extends Error {
  readonly errno: number | undefined;

  constructor(text: string, errno: number | undefined) {
    super(text);
    this.errno = errno;
  }
}

export interface SocketOptions {
  readonly address: string;
  readonly port?: number;
  readonly local?: string;
  /** False: plain TCP. */
  readonly mptcp?: boolean;
  readonly congestion?: string;
  readonly receiveBuffer?: number;
  readonly maxSegment?: number;
}

export interface ReceiveOptions {
  /** Stops after so many; default: at the end. */
  readonly bytes?: number;
  /** Bytes of one recv call. */
  readonly piece?: number;
  readonly pauseMs?: number;
}

/** The kernel's sockets in one namespace. */
export class KernelPeer {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: Map<number, { resolve(value: never): void; reject(error: Error): void }> = new Map();
  #nextId = 1;
  #errors = '';

  constructor(namespace: string) {
    this.#child = spawn('ip', ['netns', 'exec', namespace, 'python3', SCRIPT]);
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    createInterface({ input: this.#child.stdout }).on('line', line => this.#answer(JSON.parse(line)));
    this.#child.on('exit', () => this.#failAll());
    this.#child.stdin.on('error', () => {});
  }

  async listen(options: SocketOptions): Promise<{ port: number; accept(): Promise<KernelSocket> }> {
    const { handle, port } = await this.command<{ handle: number; port: number }>('listen', { ...options });
    const accept = async (): Promise<KernelSocket> => {
      const accepted = await this.command<{ handle: number }>('accept', { handle });
      return new KernelSocket(this, accepted.handle);
    };
    return { port, accept };
  }

  async connect(options: SocketOptions & { port: number }): Promise<KernelSocket> {
    const { handle } = await this.command<{ handle: number }>('connect', { ...options });
    return new KernelSocket(this, handle);
  }

  /** By group: MPTcpExt, TcpExt, Tcp. */
  counters(): Promise<Record<string, Record<string, number>>> {
    return this.command('counters', {});
  }

  sysctl(values: Record<string, number | string>): Promise<void> {
    return this.command('sysctl', { values });
  }

  command<T>(op: string, parameters: Record<string, unknown>): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin.write(`${JSON.stringify({ id, op, ...parameters })}\n`);
    });
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise(resolve => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), 1000);
    await exited;
    clearTimeout(limit);
  }

  #answer(answer: { id: number; ok?: unknown; error?: string; errno?: number }): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer.ok as never);
    else waiting?.reject(new PeerError(answer.error, answer.errno));
  }

  #failAll(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new PeerError(`the kernel's peer process has ended ${this.#errors}`, undefined));
    }
    this.#waiting.clear();
  }
}

/** One connection of the kernel's. */
export class KernelSocket {
  readonly #peer: KernelPeer;
  readonly #handle: number;

  constructor(peer: KernelPeer, handle: number) {
    this.#peer = peer;
    this.#handle = handle;
  }

  /** Sends so many bytes; `shutdown`: and then the end. */
  send(options: { bytes: number; shutdown?: boolean; piece?: number; pauseMs?: number }): Promise<Transfer> {
    return this.#peer.command('send', { handle: this.#handle, ...options });
  }

  receive(options: ReceiveOptions = {}): Promise<Transfer> {
    return this.#peer.command('receive', { handle: this.#handle, ...options });
  }

  /** Receives to the end and looks at nothing. */
  sink(): Promise<{ bytes: number }> {
    return this.#peer.command('sink', { handle: this.#handle });
  }

  /** Sends so many bytes, rounded down to MiB, and the end. */
  flood(bytes: number): Promise<void> {
    return this.#peer.command('flood', { handle: this.#handle, bytes });
  }

  echo(): Promise<{ bytes: number }> {
    return this.#peer.command('echo', { handle: this.#handle });
  }

  shutdown(): Promise<void> {
    return this.#peer.command('shutdown', { handle: this.#handle });
  }

  /** `abort`: with a linger time of 0, which sends MP_FASTCLOSE. */
  close(options: { abort?: boolean } = {}): Promise<void> {
    return this.#peer.command('close', { handle: this.#handle, ...options });
  }

  info(): Promise<{ mptcp: boolean; extraSubflows?: number; subflows?: number; checksum?: boolean }> {
    return this.#peer.command('info', { handle: this.#handle });
  }
}

/** Python is not built: it lies beside the source of this file, three folders above what is built of it. */
const SCRIPT: string = fileURLToPath(new URL('../../../test/interop/kernel_peer.py', import.meta.url));
