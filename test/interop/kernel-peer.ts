// Drives the kernel's sockets in a network namespace: has kernel_peer.py fork itself there and talks to the fork in
// lines of JSON.
//
// Decides: that a peer is one process for any number of sockets, ended by the end of its connection or, if need be, by
// its process id; and that Python is started once for all peers of a test file, since its start is half of what a bed
// takes.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
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
  /** TCP Fast Open: a listener's queue; 1 for a socket that connects. */
  readonly fastOpen?: number;
}

export interface ReceiveOptions {
  /** Stops after so many; default: at the end. */
  readonly bytes?: number;
  /** Bytes of one recv call. */
  readonly piece?: number;
  readonly pauseMs?: number;
  /** Pauses so often, then no more; default: always. */
  readonly pauses?: number;
}

/** The kernel's sockets in one namespace. */
export class KernelPeer {
  readonly #waiting: Map<number, { resolve(value: never): void; reject(error: Error): void }> = new Map();
  readonly #connected: Promise<Fork>;
  #nextId = 1;
  #ended = false;

  constructor(namespace: string) {
    parent ??= new Parent();
    this.#connected = parent.fork(namespace);
    this.#connected.then(
      ({ socket, lines }) => {
        lines.on('line', line => this.#answer(JSON.parse(line)));
        socket.on('error', () => {});
        socket.on('close', () => this.#failAll());
      },
      () => {},
    );
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

  /** Connects and sends at once, so that the last segment of the handshake is the first with data. */
  async connectSpeaking(
    options: SocketOptions & { port: number; bytes: number },
  ): Promise<{ socket: KernelSocket; sent: Transfer }> {
    const { handle, sent } = await this.command<{ handle: number; sent: Transfer }>('connect_speaking', {
      ...options,
    });
    return { socket: new KernelSocket(this, handle), sent };
  }

  /** By group: MPTcpExt, TcpExt, Tcp. */
  counters(): Promise<Record<string, Record<string, number>>> {
    return this.command('counters', {});
  }

  /** Bytes for the sockets' `sendLoaded`. */
  load(bytes: Uint8Array): Promise<void> {
    return this.command('load', { base64: Buffer.from(bytes).toString('base64') });
  }

  /** Sends packets by a device as they are; how many it took. */
  inject(device: string, packets: readonly Uint8Array[]): Promise<number> {
    const coded = packets.map(packet => Buffer.from(packet).toString('base64'));
    return this.command('inject', { device, packets: coded });
  }

  sysctl(values: Record<string, number | string>): Promise<void> {
    return this.command('sysctl', { values });
  }

  async command<T>(op: string, parameters: Record<string, unknown>): Promise<T> {
    const { socket } = await this.#connected;
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      if (this.#ended) return reject(goneError());
      this.#waiting.set(id, { resolve, reject });
      socket.write(`${JSON.stringify({ id, op, ...parameters })}\n`);
    });
  }

  async close(): Promise<void> {
    const { socket, pid } = await this.#connected;
    if (this.#ended) return;
    const closed = new Promise(resolve => socket.once('close', resolve));
    socket.end();
    const limit = setTimeout(() => end(pid), 1000);
    await closed;
    clearTimeout(limit);
  }

  #answer(answer: { id: number; ok?: unknown; error?: string; errno?: number }): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer.ok as never);
    else waiting?.reject(new PeerError(answer.error, answer.errno));
  }

  #failAll(): void {
    this.#ended = true;
    for (const { reject } of this.#waiting.values()) reject(goneError());
    this.#waiting.clear();
  }
}

/** One that has just ended by itself is as good. */
function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function goneError(): PeerError {
  return new PeerError(`the kernel's peer process has ended ${parent?.errors}`, undefined);
}

/** A forked process, and the connection to it. */
interface Fork {
  readonly pid: number;
  readonly socket: Socket;
  readonly lines: ReturnType<typeof createInterface>;
}

/** The Python process that all peers are forked from. It does not keep this process alive, and ends with it. */
class Parent {
  errors = '';
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #door: Server;
  /** An abstract name, which goes with the process; at full length, for some versions of Node fill it up. */
  readonly #name: string = `mptcp-test-${process.pid}`.padEnd(107, '-');
  readonly #expected: Map<number, (fork: Fork) => void> = new Map();
  #forks = 0;

  constructor() {
    this.#child = spawn('python3', ['-I', SCRIPT]);
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.errors += chunk.toString();
    });
    this.#child.stdin.on('error', () => {});
    this.#child.unref();
    for (const pipe of [this.#child.stdin, this.#child.stdout, this.#child.stderr]) (pipe as Socket).unref();
    this.#door = createServer(socket => this.#welcome(socket));
    this.#door.listen(`\0${this.#name}`).unref();
  }

  fork(namespace: string): Promise<Fork> {
    const key = ++this.#forks;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => reject(goneError()), START_LIMIT_MS);
      this.#expected.set(key, fork => {
        clearTimeout(limit);
        resolve(fork);
      });
      this.#child.stdin.write(`${JSON.stringify({ namespace, key, socket: this.#name })}\n`);
    });
  }

  /** The first line of a fork says which it is. */
  #welcome(socket: Socket): void {
    const lines = createInterface({ input: socket });
    lines.once('line', line => {
      const { key, pid } = JSON.parse(line) as { key: number; pid: number };
      this.#expected.get(key)?.({ pid, socket, lines });
      this.#expected.delete(key);
    });
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

  /** Sends a range of what the peer has loaded. */
  sendLoaded(range: { from: number; to: number }): Promise<void> {
    return this.#peer.command('send_loaded', { handle: this.#handle, ...range });
  }

  /** Receives and keeps it, until the end or until so many bytes are kept; `collected` has them at any time. */
  collect(options: { bytes?: number } = {}): Promise<{ ended: boolean }> {
    return this.#peer.command('collect', { handle: this.#handle, ...options });
  }

  async collected(): Promise<Uint8Array> {
    const { base64 } = await this.#peer.command<{ base64: string }>('collected', { handle: this.#handle });
    return Buffer.from(base64, 'base64');
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
const START_LIMIT_MS = 10_000;
let parent: Parent | undefined;
