// Connecting with sockets of the kernel's: every address of the peer is tried, a little after one another,
// each with a socket of its own, and the first to answer wins.
//
// Decides: that the race is ours, because Node's own tries its second address with a plain TCP socket; that
// an attempt is a `net.Socket` given one descriptor, so that binding, connecting and its errors are Node's;
// and that of the winner only the descriptor is kept, duplicated.
// Read: RFC 8305 §4 and §5.
// Walk: api/kernel-socket starts it and gets a connected descriptor.

import { Socket } from 'node:net';
import {
  adopt,
  bindToDevice,
  closeDescriptor,
  connectWithData,
  duplicate,
  newTcpHandle,
  openStream,
  setTypeOfService,
  type TcpHandle,
} from '../kernel/index.ts';
import { Alarm } from './clock.ts';
import { type DialTarget, interleaveFamilies } from './dial.ts';
import { codeOf, MptcpError } from './errors.ts';

/** What a dial needs to know. */
export interface KernelDialOptions {
  /** At least one. */
  readonly targets: readonly DialTarget[];
  readonly multipath: boolean;
  readonly connectTimeoutMs: number;
  readonly attemptDelayMs: number;
  readonly localAddress?: string;
  readonly localPort?: number;
  readonly device?: string;
  readonly typeOfService?: number;
  /** TCP Fast Open for the first attempt; only when there is something to write. */
  readonly fastOpen: boolean;
}

/** Who dialled. */
export interface KernelDialClient {
  attempting(target: DialTarget): void;
  /** It has not been answered for so long that the next is tried beside it. */
  attemptSlow(target: DialTarget): void;
  attemptFailed(target: DialTarget, error: MptcpError): void;
  /** The descriptor is the client's from now on. */
  connected(fd: number): void;
  /** The kernel has no TCP Fast Open for such sockets. */
  noFastOpen(): void;
  failed(error: MptcpError): void;
}

/** One race. */
export class KernelDial {
  readonly #options: KernelDialOptions;
  readonly #client: KernelDialClient;
  readonly #running: Set<Socket> = new Set();
  readonly #errors: MptcpError[] = [];
  readonly #nextAttempt: Alarm = new Alarm(() => this.#hurry());
  #latest: DialTarget | undefined;
  readonly #deadline: Alarm = new Alarm(() => this.#timedOut());
  readonly #waiting: DialTarget[];
  #referenced = true;
  #fastOpen: boolean;
  #over = false;

  constructor(options: KernelDialOptions, client: KernelDialClient) {
    this.#options = options;
    this.#client = client;
    this.#fastOpen = options.fastOpen;
    this.#waiting = interleaveFamilies(options.targets);
  }

  start(): void {
    this.#deadline.set(this.#options.connectTimeoutMs);
    this.#startNext();
  }

  /** Gives up without a word. */
  cancel(): void {
    this.#over = true;
    this.#nextAttempt.cancel();
    this.#deadline.cancel();
    this.#waiting.length = 0;
    for (const socket of this.#running) socket.destroy();
    this.#running.clear();
  }

  /** Whether the attempts keep the process alive. */
  reference(referenced: boolean): void {
    this.#referenced = referenced;
    for (const socket of this.#running) referenced ? socket.ref() : socket.unref();
  }

  #hurry(): void {
    if (this.#latest !== undefined) this.#client.attemptSlow(this.#latest);
    this.#startNext();
  }

  #startNext(): void {
    const target = this.#waiting.shift();
    if (target === undefined || this.#over) return;
    // RFC 8305 §5: "One recommended value for a default delay is 250 milliseconds."
    if (this.#waiting.length > 0) this.#nextAttempt.set(this.#options.attemptDelayMs);
    this.#latest = target;
    this.#client.attempting(target);
    if (this.#over) return;
    try {
      this.#attempt(target);
    } catch (error) {
      this.#lost(target, error as Error);
    }
  }

  #attempt(target: DialTarget): void {
    const { localAddress, localPort } = this.#options;
    const handle = this.#openHandle(target);
    // Without manualStart it would read before it is connected, and be destroyed for that.
    const socket = new Socket({ handle, manualStart: true } as object);
    socket.pause();
    if (!this.#referenced) socket.unref();
    this.#running.add(socket);
    socket.once('error', error => {
      if (this.#running.delete(socket)) this.#lost(target, error);
    });
    socket.once('connect', () => {
      if (this.#over) return;
      try {
        this.#won(duplicate(handle.fd));
      } catch (error) {
        this.#running.delete(socket);
        socket.destroy();
        this.#lost(target, error as Error);
      }
    });
    socket.connect({
      ...{ host: target.address, port: target.port, autoSelectFamily: false },
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
    });
  }

  #openHandle({ family }: DialTarget): TcpHandle {
    const { multipath, device, typeOfService } = this.#options;
    const fd = openStream({ family, multipath });
    try {
      if (device !== undefined) bindToDevice(fd, device);
      if (typeOfService !== undefined) setTypeOfService(fd, typeOfService);
      if (this.#fastOpen && !connectWithData(fd)) this.#client.noFastOpen();
      this.#fastOpen = false;
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
    const handle = newTcpHandle('socket');
    adopt(handle, fd);
    return handle;
  }

  #won(fd: number): void {
    // The winner is closed with the losers: its connection lives on in the duplicate.
    this.cancel();
    this.#client.connected(fd);
  }

  #lost(target: DialTarget, cause: Error): void {
    if (this.#over) return;
    const error = attemptError(cause, target);
    this.#errors.push(error);
    this.#client.attemptFailed(target, error);
    if (this.#over) return;
    if (this.#waiting.length > 0) this.#startNext();
    else if (this.#running.size === 0) this.#fail(allFailed(this.#errors));
  }

  #timedOut(): void {
    const { targets, connectTimeoutMs } = this.#options;
    const sentence = `no answer within ${connectTimeoutMs} ms`;
    const { address, port } = targets[0];
    this.#fail(
      new MptcpError('ETIMEDOUT', { syscall: 'connect', address, port, sentence, errors: this.#errors }),
    );
  }

  #fail(error: MptcpError): void {
    this.cancel();
    this.#client.failed(error);
  }
}

function attemptError(cause: Error, { address, port }: DialTarget): MptcpError {
  const code = codeOf(cause);
  if (code.startsWith('ERR_')) return new MptcpError(code, { sentence: cause.message, cause });
  const { syscall = 'connect' } = cause as NodeJS.ErrnoException;
  // A local address or device that is not there has failed before anything went to the peer.
  return new MptcpError(code, { syscall, ...(syscall === 'connect' ? { address, port } : {}), cause });
}

function allFailed(errors: readonly MptcpError[]): MptcpError {
  const [first] = errors;
  if (errors.length === 1) return first;
  const same = errors.every(error => error.code === first.code);
  return new MptcpError(first.code, {
    ...(first.syscall === undefined ? {} : { syscall: first.syscall }),
    ...(same && first.address !== undefined ? { address: first.address } : {}),
    ...(same && first.port !== undefined ? { port: first.port } : {}),
    sentence: `every attempt failed (${errors.map(error => error.message).join(' | ')})`,
    errors,
  });
}
