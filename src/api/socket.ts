// A connection as an application knows it: a Duplex in the shape of `net.Socket`, with `multipath` besides.
//
// Decides: how streams meet the host. Reading pulls from the connection, so a reader that stops closes the
// window; a write calls back when the host has taken its bytes; destroying lets go of the connection, which
// the session behind it still brings to its end.
// Walk: api/session tells of news; connection.read and connection.write go down into the host.

import { addAbortSignal, Duplex } from 'node:stream';
import { Ready } from '../host/index.ts';
import type { PathOption } from './addresses.ts';
import { Alarm, TurnEnd } from './clock.ts';
import { Connector } from './connector.ts';
import { connectionMade, fellBack, subflowClosed, subflowOpened } from './diagnostics.ts';
import { emitAttempt } from './dial.ts';
import { fallbackError, MptcpError } from './errors.ts';
import { type MultipathStatus, multipathOf, noMultipath, subflowOf } from './multipath.ts';
import {
  type ConnectArguments,
  type ConnectOptions,
  checkDelay,
  checkFunction,
  checkPath,
  connectArguments,
  type SocketOptions,
} from './options.ts';
import { PendingWrite } from './pending-write.ts';
import { plannedPath } from './planned-path.ts';
import type { Session, SessionClient, SubflowNotice } from './session.ts';

/** Local or remote address, as `socket.address()` gives it. */
export interface SocketAddress {
  readonly address: string;
  readonly family: 'IPv4' | 'IPv6';
  readonly port: number;
}

/** A Multipath TCP connection. */
export class Socket extends Duplex implements SessionClient {
  /** True from `connect` until 'connect' or failure. */
  connecting = false;
  /** Bytes received so far. */
  bytesRead = 0;
  /** 'ADDRESS:PORT' of each attempt to connect, in their order. */
  autoSelectFamilyAttemptedAddresses: string[] | undefined;
  /** Idle milliseconds that bring 'timeout'; undefined when never set. */
  timeout: number | undefined;
  readonly #pending: PendingWrite = new PendingWrite();
  readonly #idle: Alarm = new Alarm(() => this.emit('timeout'));
  readonly #reason: string | null;
  #required = false;
  readonly #quiet: TurnEnd = new TurnEnd(() => this.#endWhenQuiet());
  #quietTurns = 0;
  #endPending = false;
  #connector: Connector | undefined;
  #session: Session | undefined;
  #lastMultipath: MultipathStatus | undefined;
  #addresses: { local: SocketAddress; remote: SocketAddress } | undefined;
  #bytesAccepted = 0;
  #wanted = false;
  #endRead = false;
  #final: ((error?: Error | null) => void) | undefined;
  #referenced = true;
  #resetting = false;
  #noDelay: boolean | undefined;
  #keepAlive: { readonly on: boolean; readonly idleMs: number } | undefined;

  /** `reason`: why it is our own stack, where there was a choice. */
  constructor(options: SocketOptions = {}, reason: string | null = null) {
    super({
      autoDestroy: true,
      // 'close' carries whether there was an error, as in node:net, and is emitted here.
      emitClose: false,
      decodeStrings: true,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.highWaterMark === undefined ? {} : { highWaterMark: options.highWaterMark }),
    });
    this.#reason = reason;
    this.#followEndOfPeer(options.allowHalfOpen ?? false);
  }

  /** Connects; the argument forms of `net.Socket.connect`, and `paths` among the options. */
  connect(...args: ConnectArguments): this {
    const { options, listener } = connectArguments(args);
    if (this.#session !== undefined || this.connecting)
      throw new MptcpError('EISCONN', { syscall: 'connect' });
    if (listener !== undefined) this.once('connect', listener);
    if (this.destroyed) return this;
    this.connecting = true;
    this.#applyOptions(options);
    this.#connector = new Connector(options, {
      lookedUp: (error, address, family, host) => this.emit('lookup', error, address, family, host),
      attempting: target => emitAttempt(this, 'connectionAttempt', target),
      attemptSlow: target => emitAttempt(this, 'connectionAttemptTimeout', target),
      attemptFailed: (target, error) => emitAttempt(this, 'connectionAttemptFailed', target, error),
      early: take => this.#pending.show(take),
      connected: session => this.#connected(session),
      failed: error => this.destroy(error),
    });
    // The caller first attaches its listeners.
    process.nextTick(() => {
      if (!this.destroyed) this.#connector?.start();
    });
    return this;
  }

  /** Takes over an established connection; for servers. @internal */
  adopt(session: Session): void {
    this.#attach(session);
    this.#startReading();
  }

  /** True before there is a connection. */
  get pending(): boolean {
    return this.#session === undefined || this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Bytes written so far, those still in buffers included. */
  get bytesWritten(): number {
    return this.#bytesAccepted + this.#pending.bytesLeft + this.#bytesBuffered();
  }

  /**
   * Bytes written that the peer has not acknowledged yet; what is still in the stream's buffer not counted.
   */
  get unacknowledgedBytes(): number {
    return this.#session?.connection.unacknowledgedBytes ?? 0;
  }

  get localAddress(): string | undefined {
    return this.#addresses?.local.address;
  }
  get localPort(): number | undefined {
    return this.#addresses?.local.port;
  }
  get localFamily(): string | undefined {
    return this.#addresses?.local.family;
  }
  get remoteAddress(): string | undefined {
    return this.#addresses?.remote.address;
  }
  get remotePort(): number | undefined {
    return this.#addresses?.remote.port;
  }
  get remoteFamily(): string | undefined {
    return this.#addresses?.remote.family;
  }

  /** The local end of the first subflow; {} while there is none. */
  address(): SocketAddress | Record<string, never> {
    return this.#addresses === undefined ? {} : { ...this.#addresses.local };
  }

  /** The paths of the connection and what happens on them: a snapshot, plain JSON. */
  get multipath(): MultipathStatus {
    if (this.#session !== undefined) return multipathOf(this.#session.connection, this.#reason);
    return this.#lastMultipath ?? noMultipath('user', this.#reason);
  }

  /** Uses one more path from now on; resolves when it has been asked for ('subflow' tells that it works). */
  async addPath(path: PathOption): Promise<void> {
    checkPath('path', path);
    const session = this.#openSession('addPath');
    session.addPath(await plannedPath(path, session));
  }

  /** Stops using a local address (or the device or path of that name); what was under way goes elsewhere. */
  removePath(local: string): void {
    const session = this.#openSession('removePath');
    const ids = new Set<number>();
    for (const subflow of session.connection.multipath().subflows) {
      if (subflow.local.address === local || subflow.name === local) ids.add(subflow.interfaceId);
    }
    if (ids.size === 0) {
      throw new MptcpError('ERR_INVALID_ARG_VALUE', {
        sentence: `the connection has no path "${local}"`,
        remedy: 'give the local address or the name of one of socket.multipath.subflows',
      });
    }
    for (const id of ids) session.connection.removePath(id, session.driver.now());
  }

  /** Makes one subflow a backup, or an ordinary one again. */
  setBackup(subflowId: number, backup: boolean): void {
    const session = this.#openSession('setBackup');
    session.connection.setBackup(subflowId, backup, session.driver.now());
  }

  setNoDelay(noDelay = true): this {
    this.#noDelay = noDelay;
    const session = this.#session;
    session?.connection.setNoDelay(noDelay, session.driver.now());
    return this;
  }

  setKeepAlive(enable = false, initialDelay = 0): this {
    this.#keepAlive = { on: enable, idleMs: initialDelay };
    const session = this.#session;
    session?.connection.setKeepAlive(enable, initialDelay, session.driver.now());
    return this;
  }

  setTimeout(timeoutMs: number, callback?: () => void): this {
    if (this.destroyed) return this;
    checkDelay('timeout', timeoutMs);
    if (callback !== undefined) checkFunction('callback', callback);
    this.timeout = timeoutMs;
    if (timeoutMs === 0) {
      this.#idle.cancel();
      if (callback !== undefined) this.removeListener('timeout', callback);
    } else {
      this.#idle.set(timeoutMs);
      if (callback !== undefined) this.once('timeout', callback);
    }
    return this;
  }

  ref(): this {
    this.#referenced = true;
    this.#session?.ref();
    return this;
  }

  unref(): this {
    this.#referenced = false;
    this.#session?.unref();
    return this;
  }

  /** Destroys when everything written has been handed to the host. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Ends the connection with a reset. */
  resetAndDestroy(): this {
    if (this.#session === undefined && !this.connecting) {
      this.destroy(new MptcpError('ERR_SOCKET_CLOSED'));
    } else if (this.connecting) {
      this.once('connect', () => this.resetAndDestroy());
    } else {
      this.#resetting = true;
      this.destroy();
    }
    return this;
  }

  /** Destroys, and resolves when 'close' has been emitted. */
  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.closed) return;
    const closed = new Promise<void>(resolve => this.once('close', () => resolve()));
    this.on('error', () => {});
    this.destroy();
    await closed;
  }

  // What the session tells.

  ready(events: number): void {
    if ((events & Ready.WRITABLE) !== 0) this.#continueWrite();
    if ((events & (Ready.READABLE | Ready.END)) !== 0) this.#pull();
    if ((events & Ready.CLOSED) !== 0) this.#hostClosed();
  }

  notice(notice: SubflowNotice): void {
    if (notice.type === 'fallback') this.#fellBack(notice);
    else if (notice.type === 'subflow') subflowOpened(this, subflowOf(notice.subflow));
    else subflowClosed(this, subflowOf(notice.subflow), notice.reason);
  }

  /** Only an attempt to connect takes that for an answer. */
  refused(): void {}

  lost(error: MptcpError): void {
    this.destroy(error);
  }

  // What the stream asks for.

  override _read(): void {
    this.#wanted = true;
    this.#pull();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#startWrite([chunk], callback);
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#startWrite(
      chunks.map(entry => entry.chunk),
      callback,
    );
  }

  override _final(callback: (error?: Error | null) => void): void {
    const session = this.#session;
    if (this.connecting) {
      this.#final = callback;
      return;
    }
    session?.connection.shutdown(session.driver.now());
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const unused = this.connecting ? 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION' : 'ERR_SOCKET_CLOSED';
    this.connecting = false;
    this.#idle.cancel();
    this.#connector?.cancel();
    this.#connector = undefined;
    const session = this.#session;
    if (session !== undefined) {
      this.#lastMultipath = multipathOf(session.connection, this.#reason);
      this.#session = undefined;
      if (this.#resetting) session.abort();
      else session.close();
    }
    this.#pending.fail(error ?? new MptcpError(unused));
    callback(error);
    process.nextTick(() => this.emit('close', error !== null));
  }

  #fellBack({ cause, seenBy }: NonNullable<MultipathStatus['fallback']>): void {
    if (this.#required) this.destroy(fallbackError({ cause }));
    else fellBack(this, { cause, seenBy });
  }

  #applyOptions(options: ConnectOptions): void {
    this.#required = options.require ?? false;
    if (options.signal !== undefined) addAbortSignal(options.signal, this);
    if (options.timeout !== undefined) this.setTimeout(options.timeout);
    if (options.noDelay !== undefined) this.setNoDelay(options.noDelay);
    if (options.keepAlive !== undefined) this.setKeepAlive(options.keepAlive, options.keepAliveInitialDelay);
  }

  #connected(session: Session): void {
    this.#connector = undefined;
    this.connecting = false;
    this.#attach(session);
    const { active, fallback } = this.multipath;
    if (this.#required && !active) return void this.destroy(fallbackError(fallback));
    connectionMade(this, 'client');
    this.emit('connect');
    this.emit('ready');
    if (this.destroyed) return;
    const early = this.#pending.skip(session.earlyBytes);
    this.#bytesAccepted += early; // As in `#continueWrite`.
    this.#continueWrite();
    const final = this.#final;
    this.#final = undefined;
    if (final !== undefined) this._final(final);
    this.#startReading();
  }

  #attach(session: Session): void {
    this.#session = session;
    session.client = this;
    if (!this.#referenced) session.unref();
    const { connection, driver } = session;
    const { local, remote } = connection;
    this.#addresses = { local: addressOf(local), remote: addressOf(remote) };
    if (this.#noDelay !== undefined) connection.setNoDelay(this.#noDelay, driver.now());
    if (this.#keepAlive !== undefined) {
      connection.setKeepAlive(this.#keepAlive.on, this.#keepAlive.idleMs, driver.now());
    }
    this.#active();
  }

  /**
   * Fills the stream's buffer before anybody reads, as node:net does: the end of a silent peer is heard too.
   */
  #startReading(): void {
    if (!this.isPaused()) this.read(0);
    this.#pull();
    if (this.#session?.over === true) this.#hostClosed();
  }

  /** Reads while the stream wants more; afterwards the window says to the peer that nobody reads. */
  #pull(): void {
    const session = this.#session;
    if (session === undefined || this.#endRead) return;
    const { connection, driver } = session;
    while (this.#wanted && connection.readableBytes > 0) {
      const chunk = Buffer.allocUnsafe(Math.min(connection.readableBytes, READ_CHUNK_BYTES));
      const length = connection.read(chunk, 0, chunk.length, driver.now());
      if (length === 0) break;
      this.bytesRead += length;
      this.#active();
      this.#wanted = this.push(length === chunk.length ? chunk : chunk.subarray(0, length));
      // A 'data' listener may have destroyed the socket.
      if (this.#session === undefined) return;
    }
    if (!connection.ended || connection.readableBytes > 0) return;
    this.#endRead = true;
    this.push(null);
    // Without data in the buffer nobody would call read, and 'end' would not come.
    this.read(0);
  }

  /**
   * Without `allowHalfOpen` the end of the peer ends the writable side. Duplex would do so on the spot, and
   * TLS, which is a reader and writer of this stream like any other, would lose what it still has to write:
   * so Duplex is told that half-open is fine, once the end is there, and the side is ended here when nobody
   * writes.
   */
  #followEndOfPeer(allowHalfOpen: boolean): void {
    let halfOpen = allowHalfOpen;
    let ended = false;
    Object.defineProperty(this, 'allowHalfOpen', {
      get: () => halfOpen || ended,
      set: (value: boolean) => {
        halfOpen = value;
      },
      enumerable: true,
      configurable: true,
    });
    this.once('end', () => {
      ended = true;
      this.#endPending = !halfOpen;
      this.#endWhenQuiet();
    });
  }

  #endWhenQuiet(): void {
    if (!this.#endPending || this.writableEnded || this.destroyed) return;
    // Whoever wraps this stream writes its next piece a turn or two after the one before.
    this.#quietTurns = this.writableLength > 0 ? 0 : this.#quietTurns + 1;
    if (this.#quietTurns > QUIET_TURNS) this.end();
    else if (this.writableLength === 0) this.#quiet.request();
  }

  #startWrite(chunks: Buffer[], callback: (error?: Error | null) => void): void {
    this.#quietTurns = 0;
    this.#pending.start(chunks, error => {
      callback(error);
      if (this.#endPending) this.#quiet.request();
    });
    if (!this.connecting) this.#continueWrite();
  }

  #continueWrite(): void {
    const session = this.#session;
    if (!this.#pending.active) return;
    if (session === undefined) {
      this.#pending.fail(new MptcpError('EPIPE', { syscall: 'write' }));
      return;
    }
    this.#active();
    const { connection, driver } = session;
    const taken = this.#pending.offer((bytes, offset, length) =>
      connection.write(bytes, offset, length, driver.now()),
    );
    this.#bytesAccepted += taken; // Read after `offer`, which may have begun and counted the next write.
  }

  #hostClosed(): void {
    const session = this.#session;
    if (session === undefined) return;
    const error = session.errorOf(this.#pending.active ? 'write' : 'read');
    if (error !== undefined) this.destroy(error);
    else this.#pull();
  }

  #openSession(what: string): Session {
    if (this.#session !== undefined) return this.#session;
    throw new MptcpError('ENOTCONN', { syscall: what });
  }

  #active(): void {
    if (this.timeout !== undefined && this.timeout > 0) this.#idle.set(this.timeout);
  }

  /** Bytes in the stream's own buffer: all of them but those of the write under way. */
  #bytesBuffered(): number {
    return Math.max(0, this.writableLength - this.#pending.bytesTotal);
  }
}

function addressOf({ address, port }: { address: string; port: number }): SocketAddress {
  return { address, family: address.includes(':') ? 'IPv6' : 'IPv4', port };
}

const QUIET_TURNS = 3;
/** As much as one 'data' event carries. */
const READ_CHUNK_BYTES = 65_536;
