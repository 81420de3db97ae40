// Our side of an interoperability test: one host over TUN links, and connections of it that send and receive whole
// streams, with promises.

import { createHash, createHmac, type Hash, randomFillSync } from 'node:crypto';
import { Driver } from '../../src/api/driver.ts';
import {
  type Config,
  type Connection,
  type ConnectOptions,
  type Entropy,
  Host,
  type Listener,
  type ListenOptions,
  type MultipathInfo,
  type Notice,
  Ready,
} from '../../src/host/index.ts';
import type { Link } from '../../src/link/index.ts';
import type { Transfer } from './kernel-peer.ts';

/** A host with its driver. */
export class OurHost {
  readonly driver: Driver;
  readonly host: Host;
  readonly #flows: Set<OurFlow> = new Set();

  constructor(config: Partial<Config> = {}, entropy: Entropy = UNPREDICTABLE) {
    this.host = new Host({ entropy, config });
    this.driver = new Driver(this.host);
    this.driver.hold();
  }

  /** Returns the interface's id. */
  attach(link: Link): number {
    return this.driver.attach(link);
  }

  connect(options: ConnectOptions): OurFlow {
    return this.#flow(this.host.connect(options, this.driver.now()));
  }

  listen(options: ListenOptions): OurListener {
    const listener = this.host.listen(options);
    return new OurListener(listener, connection => this.#flow(connection));
  }

  /** What every connection was told, for the report of a failure. */
  notices(): string[] {
    return [...this.#flows].flatMap(flow =>
      flow.notices.map(notice =>
        notice.type === 'subflowclose'
          ? `${notice.type} ${notice.subflow.id} ${notice.reason}`
          : notice.type === 'subflow'
            ? `${notice.type} ${notice.subflow.id} ${notice.subflow.local.address} > ${notice.subflow.remote.address}:${notice.subflow.remote.port}`
            : `${notice.type}`,
      ),
    );
  }

  /** Ends what is left, without a word to the peers. */
  close(): void {
    this.driver.release();
  }

  #flow(connection: Connection): OurFlow {
    const flow = new OurFlow(connection, this.driver);
    this.#flows.add(flow);
    return flow;
  }
}

/** Hands out accepted connections. */
export class OurListener {
  readonly listener: Listener;
  readonly #wrap: (connection: Connection) => OurFlow;
  readonly #accepted: OurFlow[] = [];
  readonly #waiting: ((flow: OurFlow) => void)[] = [];

  constructor(listener: Listener, wrap: (connection: Connection) => OurFlow) {
    this.listener = listener;
    this.#wrap = wrap;
    listener.userData = this;
  }

  accept(): Promise<OurFlow> {
    const flow = this.#accepted.shift();
    if (flow !== undefined) return Promise.resolve(flow);
    return new Promise(resolve => this.#waiting.push(resolve));
  }

  ready(_events: number): void {
    for (let next = this.listener.accept(); next !== undefined; next = this.listener.accept()) {
      const flow = this.#wrap(next);
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) waiting(flow);
      else this.#accepted.push(flow);
    }
  }
}

/** One connection of ours. */
export class OurFlow {
  readonly connection: Connection;
  readonly notices: Notice[] = [];
  readonly #driver: Driver;
  #watchers: (() => void)[] = [];
  #connected = false;
  #closed = false;

  constructor(connection: Connection, driver: Driver) {
    this.connection = connection;
    this.#driver = driver;
    connection.userData = this;
    this.#connected = connection.connected;
    // An accepted connection may have had its news before it had an owner.
    this.ready(connection.takeEvents());
  }

  /** The driver's call. */
  ready(events: number): void {
    if ((events & Ready.CONNECTED) !== 0) this.#connected = true;
    if ((events & Ready.CLOSED) !== 0) this.#closed = true;
    for (let notice = this.connection.nextNotice(); notice; notice = this.connection.nextNotice()) {
      this.notices.push(notice);
    }
    const watchers = this.#watchers;
    this.#watchers = [];
    for (const watcher of watchers) watcher();
  }

  connected(): Promise<void> {
    return this.until(() => this.#connected);
  }

  /** Over, orderly or not; resolves to the error, null for none. */
  async closed(): Promise<string | null> {
    await this.#wait(() => this.#closed);
    return this.connection.error;
  }

  /** Waits for a condition that some event brings about; fails when the connection ends before. */
  async until(condition: () => boolean): Promise<void> {
    await this.#wait(() => condition() || this.#closed);
    if (!condition()) {
      throw new Error(`closed before: ${this.connection.error} ${this.connection.errorReason}`);
    }
  }

  /** Sends so many bytes, each block beginning with its place; `shutdown`: and then the end. */
  async send(options: { bytes: number; shutdown?: boolean; piece?: number }): Promise<Transfer> {
    const hash = createHash('sha256');
    const piece = options.piece ?? BLOCK.length;
    let sent = 0;
    while (sent < options.bytes) {
      const length = Math.min(BLOCK.length, options.bytes - sent);
      const block = Buffer.from(BLOCK.subarray(0, length));
      if (length >= 8) block.writeBigUInt64BE(BigInt(sent), 0);
      await this.#write(block, hash, piece);
      sent += length;
    }
    if (options.shutdown) this.shutdown();
    return { bytes: sent, sha256: hash.digest('hex') };
  }

  /** Sends all of these bytes. */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes, undefined, bytes.length);
  }

  /** What has come, at least one byte; nothing at the end. */
  async readSome(): Promise<Buffer> {
    await this.until(() => this.connection.readableBytes > 0 || this.connection.ended);
    const into = Buffer.alloc(this.connection.readableBytes);
    const length = this.connection.read(into, 0, into.length, this.#driver.now());
    return into.subarray(0, length);
  }

  /** Everything up to the end. */
  async readAll(): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (;;) {
      const part = await this.readSome();
      if (part.length === 0) return Buffer.concat(parts);
      parts.push(part);
    }
  }

  /** Receives so many bytes, or until the end; `piece` at a time. */
  async receive(
    options: { bytes?: number; piece?: number; pause?: () => Promise<void> } = {},
  ): Promise<Transfer> {
    const hash = createHash('sha256');
    const limit = options.bytes ?? Number.POSITIVE_INFINITY;
    const into = new Uint8Array(Math.min(limit, options.piece ?? 262_144));
    let count = 0;
    while (count < limit) {
      const length = this.connection.read(into, 0, Math.min(into.length, limit - count), this.#driver.now());
      if (length > 0) {
        hash.update(into.subarray(0, length));
        count += length;
        if (options.pause !== undefined) await options.pause();
        continue;
      }
      if (this.connection.ended) return { bytes: count, sha256: hash.digest('hex'), ended: true };
      await this.until(() => this.connection.readableBytes > 0 || this.connection.ended);
    }
    return { bytes: count, sha256: hash.digest('hex'), ended: false };
  }

  /** Sends back what comes, and ends after the peer has. */
  async echo(): Promise<{ bytes: number }> {
    const into = new Uint8Array(65_536);
    let count = 0;
    for (;;) {
      const length = this.connection.read(into, 0, into.length, this.#driver.now());
      if (length > 0) {
        count += length;
        await this.#write(into.subarray(0, length), undefined, length);
      } else if (this.connection.ended) {
        this.shutdown();
        return { bytes: count };
      } else {
        await this.until(() => this.connection.readableBytes > 0 || this.connection.ended);
      }
    }
  }

  shutdown(): void {
    this.connection.shutdown(this.#driver.now());
  }

  close(): void {
    this.connection.close(this.#driver.now());
  }

  abort(): void {
    this.connection.abort(this.#driver.now());
  }

  keepAlive(idleMs: number): void {
    this.connection.setKeepAlive(idleMs > 0, idleMs, this.#driver.now());
  }

  multipath(): MultipathInfo {
    return this.connection.multipath();
  }

  addPath(interfaceId: number): void {
    this.connection.addPath({ interfaceId }, this.#driver.now());
  }

  removePath(interfaceId: number): void {
    this.connection.removePath(interfaceId, this.#driver.now());
  }

  setBackup(subflowId: number, backup: boolean): void {
    this.connection.setBackup(subflowId, backup, this.#driver.now());
  }

  async #write(bytes: Uint8Array, hash: Hash | undefined, piece: number): Promise<void> {
    hash?.update(bytes);
    let done = 0;
    while (done < bytes.length) {
      const end = Math.min(bytes.length, done + piece);
      const taken = this.connection.write(bytes, done, end - done, this.#driver.now());
      done += taken;
      if (taken === 0) await this.until(() => this.connection.writableBytes > 0);
    }
  }

  #wait(condition: () => boolean): Promise<void> {
    return new Promise(resolve => {
      const look = (): void => {
        if (condition()) resolve();
        else this.#watchers.push(look);
      };
      look();
    });
  }
}

const UNPREDICTABLE: Entropy = {
  randomBytes: into => {
    randomFillSync(into);
  },
  sha256: data => createHash('sha256').update(data).digest(),
  hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
};
const BLOCK: Uint8Array = randomFillSync(new Uint8Array(65_536));
