// The two ends of a process of the demo: `Actor` in the conductor, `perform` in the process itself.
//
// Decides: a process that fails says so and ends; one that ends unasked has failed; none outlives the
// conductor, however that ends, because the channel closes with it. Before: conductor.ts. After: server,
// client, relay.

import { type ChildProcess, fork } from 'node:child_process';
import { messageOf } from '../command-line.ts';
import type { Message, MessageOf } from './messages.ts';

export class Actor {
  readonly name: string;
  /** Rejects when the process fails or ends before it was stopped. */
  readonly failure: Promise<never>;

  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #listeners = new Map<string, (message: Message) => void>();
  #stopping = false;
  #complaints = '';

  constructor(name: string) {
    this.name = name;
    this.#child = fork(new URL(`./${name}.js`, import.meta.url), [], {
      execArgv: [],
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    // Not 'close', which does not come on Node 20 when it is we who end the channel.
    const said = new Promise(resolve => this.#child.stderr?.once('close', resolve));
    this.#exited = new Promise(resolve => this.#child.once('exit', () => void said.then(() => resolve())));
    this.failure = new Promise((_, reject) => {
      const fail = (reason: string): void => reject(new Error(`the ${name} process ${reason}`));
      this.#child.on('error', error => fail(`could not be started: ${error.message}`));
      this.#child.on('message', message => {
        const { type } = message as Message;
        if (type === 'failed') fail(`failed: ${(message as MessageOf<'failed'>).reason}`);
        this.#listeners.get(type)?.(message as Message);
      });
      this.#child.on('exit', async (code, signal) => {
        await this.#exited;
        if (!this.#stopping) fail(`ended unasked (${signal ?? `code ${code}`}) ${this.#complaints}`.trim());
      });
    });
    // Whoever waits for this actor hears of it; when nobody does any more, it does not matter.
    this.failure.catch(() => {});
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#complaints = (this.#complaints + chunk.toString()).slice(-maxComplaint);
    });
  }

  tell(message: Message): void {
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  on<T extends Message['type']>(type: T, listener: (message: MessageOf<T>) => void): void {
    this.#listeners.set(type, listener as (message: Message) => void);
  }

  /** The next message of a type, or the failure of the process. */
  next<T extends Message['type']>(type: T): Promise<MessageOf<T>> {
    const message = Promise.race([
      this.failure,
      new Promise<MessageOf<T>>(resolve => this.on(type, resolve)),
    ]);
    message.catch(() => {}); // It may be asked for before anybody waits.
    return message;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#child.connected) this.#child.disconnect();
    const limit = setTimeout(() => this.#child.kill('SIGKILL'), stopLimitMs);
    if (this.#child.pid !== undefined) await this.#exited;
    clearTimeout(limit);
  }
}

/** The life of a process of the demo: orders, the work, and the end when the conductor is gone. */
export function perform<Orders>(work: (orders: Orders) => Promise<void>): void {
  // Ctrl-C reaches every process of the terminal; the conductor is the one that answers it.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
  process.on('disconnect', () => process.exit(0));
  const fail = (error: unknown): void => report({ type: 'failed', reason: messageOf(error) });
  process.on('uncaughtException', fail);
  process.on('message', (message: Message) => {
    if (message.type === 'orders') work(message.orders as Orders).catch(fail);
  });
}

export function report(message: Message): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

const stopLimitMs = 2_000;
const maxComplaint = 2_000;
