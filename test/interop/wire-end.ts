// One end of a connection over an emulated link, the kernel's or ours, as a cell of the middlebox matrix uses it.

import type { KernelSocket } from './kernel-peer.ts';
import type { OurFlow } from './our-host.ts';

/** An operation fails when the connection does; `reasonOf` says why in a word. */
export interface WireEnd {
  send(range: { from: number; to: number }): Promise<void>;
  shutdown(): Promise<void>;
  /** Waits until so many bytes have come in all, or for the end; true at the end. */
  collect(bytes?: number): Promise<boolean>;
  /** What has come. */
  received(): Promise<Uint8Array>;
  /** What the connection is at this end now. */
  carried(): Promise<Carried>;
}

export type Carried = 'MPTCP' | 'TCP';

/** What it sends its peer process has loaded. */
export class KernelEnd implements WireEnd {
  readonly #socket: KernelSocket;

  constructor(socket: KernelSocket) {
    this.#socket = socket;
  }

  send(range: { from: number; to: number }): Promise<void> {
    return this.#socket.sendLoaded(range);
  }

  shutdown(): Promise<void> {
    return this.#socket.shutdown();
  }

  async collect(bytes?: number): Promise<boolean> {
    return (await this.#socket.collect(bytes === undefined ? {} : { bytes })).ended;
  }

  received(): Promise<Uint8Array> {
    return this.#socket.collected();
  }

  async carried(): Promise<Carried> {
    return (await this.#socket.info()).mptcp ? 'MPTCP' : 'TCP';
  }
}

export class OurEnd implements WireEnd {
  readonly #flow: OurFlow;
  readonly #content: Uint8Array;
  readonly #parts: Uint8Array[] = [];
  #count = 0;

  constructor(flow: OurFlow, content: Uint8Array) {
    this.#flow = flow;
    this.#content = content;
  }

  send({ from, to }: { from: number; to: number }): Promise<void> {
    return this.#flow.write(this.#content.subarray(from, to));
  }

  async shutdown(): Promise<void> {
    this.#flow.shutdown();
  }

  async collect(bytes: number = Number.POSITIVE_INFINITY): Promise<boolean> {
    while (this.#count < bytes) {
      const part = await this.#flow.readSome();
      if (part.length === 0) return true;
      this.#parts.push(part);
      this.#count += part.length;
    }
    return false;
  }

  async received(): Promise<Uint8Array> {
    return Buffer.concat(this.#parts);
  }

  async carried(): Promise<Carried> {
    const { token, fallback } = this.#flow.multipath();
    return token !== null && fallback === null ? 'MPTCP' : 'TCP';
  }
}

/** Why an operation failed: an errno's name where there is one. */
export function reasonOf(error: unknown): string {
  const { message } = error as Error;
  const errno = /\[Errno (\d+)\]/.exec(message)?.[1];
  if (errno !== undefined) return ERRNO[Number(errno)] ?? `errno ${errno}`;
  return /^closed before: (\S+)/.exec(message)?.[1] ?? message;
}

const ERRNO: Readonly<Record<number, string>> = {
  32: 'EPIPE',
  103: 'ECONNABORTED',
  104: 'ECONNRESET',
  107: 'ENOTCONN',
  110: 'ETIMEDOUT',
  111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH',
};
