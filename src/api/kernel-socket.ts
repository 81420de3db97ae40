// A connection of the Linux kernel's Multipath TCP: a `net.Socket` of Node's, which does all reading and
// writing itself, with `multipath` besides.
//
// Decides: how a net.Socket comes to a descriptor that Node did not make. It owns an empty handle from the
// beginning, so that whoever wraps it (TLS, HTTP/2) finds one; the descriptor of the attempt that won is put
// into it. Node's own `connect` is never called: it would make plain TCP.
// Walk: api/kernel-dial connects; api/kernel-watch looks at what becomes of it; node:net does the rest.

import { Socket as NetSocket, type OnReadOpts } from 'node:net';
import { addAbortSignal } from 'node:stream';
import {
  adopt,
  beginCounting,
  newTcpHandle,
  setTypeOfService,
  type TcpHandle,
  typeOfService,
  unacknowledgedBytes,
} from '../kernel/index.ts';
import { describeAddress, localAddresses, type PathOption, PathPlan } from './addresses.ts';
import {
  connectionMade,
  fellBack,
  subflowClosed,
  subflowOpened,
  subflowsAreObserved,
} from './diagnostics.ts';
import { ATTEMPT_DELAY_MS, type DialTarget, emitAttempt } from './dial.ts';
import { fallbackError, MptcpError } from './errors.ts';
import { KernelDial } from './kernel-dial.ts';
import { KernelPaths, pathImpediment } from './kernel-paths.ts';
import { KernelWatch, type WatchClient } from './kernel-watch.ts';
import {
  type Endpoint,
  type FallbackStatus,
  type MultipathStatus,
  noMultipath,
  type SubflowStatus,
  type Unhonoured,
} from './multipath.ts';
import {
  CONNECT_TIMEOUT_MS,
  type ConnectOptions,
  checkPath,
  checkTypeOfService,
  connectArguments,
  type SocketOptions,
} from './options.ts';
import { resolveTargets } from './resolve.ts';
import type { Service } from './service.ts';

/** How a socket comes to be. @internal */
export interface KernelSocketOptions extends SocketOptions {
  /** The handle of an accepted connection; without one the socket is going to connect. */
  readonly handle?: TcpHandle;
  readonly multipath?: boolean;
  readonly onread?: OnReadOpts;
  /** Of the server that accepted it. */
  readonly service?: Service;
  /** Why it is the kernel's. */
  readonly reason: string | null;
}

/** A connection of the kernel's; made by `connect` and by servers. */
export class KernelSocket extends NetSocket implements WatchClient {
  /** 'ADDRESS:PORT' of each attempt to connect, in their order. */
  declare autoSelectFamilyAttemptedAddresses: string[];
  readonly #handle: TcpHandle;
  readonly #reason: string | null;
  #multipathAsked: boolean;
  #required = false;
  #open: boolean;
  #heard = false;
  #dial: KernelDial | undefined;
  #watch: KernelWatch | undefined;
  #paths: KernelPaths | undefined;
  readonly #unhonoured: Unhonoured[] = [];
  /** The paths of `connect`. */
  #asked: readonly PathOption[] = [];
  #keepAlive: readonly [on: boolean, idleMs: number] | undefined;
  #typeOfService: number | undefined;

  /** @internal */
  constructor({ handle, multipath, reason, service, signal, ...options }: KernelSocketOptions) {
    const own = handle ?? newTcpHandle('socket');
    // Without manualStart it would begin to read now.
    super({ ...options, handle: own, manualStart: true } as object);
    this.#handle = own;
    this.#open = handle !== undefined;
    this.#multipathAsked = multipath ?? true;
    this.#reason = reason;
    if (signal !== undefined) addAbortSignal(signal, this);
    if (this.#open) this.#beginWatch(true);
    if (service !== undefined) this.#unhonoured.push({ what: `service '${service}'`, ...AT_SERVER });
  }

  /** Connects; once, with the options of this package's `connect`. */
  override connect(...args: unknown[]): this {
    const { options, listener } = connectArguments(args);
    if (this.#open || this.connecting) throw new MptcpError('EISCONN', { syscall: 'connect' });
    if (listener !== undefined) this.once('connect', listener);
    if (this.destroyed) return this;
    this.#setConnecting(true);
    this.#required = options.require ?? false;
    this.#asked = options.paths ?? [];
    this.#multipathAsked = options.multipath ?? true;
    if (options.signal !== undefined) addAbortSignal(options.signal, this);
    if (options.timeout !== undefined) this.setTimeout(options.timeout);
    if (options.typeOfService !== undefined) this.setTypeOfService(options.typeOfService);
    if (options.noDelay !== undefined) this.setNoDelay(options.noDelay);
    if (options.keepAlive !== undefined) this.setKeepAlive(options.keepAlive, options.keepAliveInitialDelay);
    // The caller first attaches its listeners.
    process.nextTick(() => {
      if (!this.destroyed) this.#resolve(options);
    });
    return this;
  }

  /** The paths of the connection, as the kernel has them: a snapshot, plain JSON. */
  get multipath(): MultipathStatus {
    const status = this.#watch?.status() ?? noMultipath('kernel', this.#reason);
    return this.#unhonoured.length === 0 ? status : { ...status, unhonoured: [...this.#unhonoured] };
  }

  /** Uses one more path from now on; resolves when it has been asked for ('subflow' tells that it works). */
  async addPath(path: PathOption): Promise<void> {
    checkPath('path', path);
    const unknown = Object.keys(path).find(name => !['local', 'name', 'backup'].includes(name));
    if (unknown !== undefined) {
      throw new MptcpError('ERR_INVALID_ARG_VALUE', {
        sentence: `option "path.${unknown}": the kernel's sockets have no such setting`,
        remedy: "leave it out, or use backend: 'user'",
      });
    }
    const { remote: _, ...spec } = path;
    this.#managed('addPath').add(spec);
  }

  /** Stops using a local address (or the device or path of that name); what was under way goes elsewhere. */
  removePath(local: string): void {
    if (this.#managed('removePath').remove(local)) return;
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `the connection has no path "${local}"`,
      remedy: 'give the local address or the name of one of socket.multipath.subflows',
    });
  }

  /** Makes one subflow a backup, or an ordinary one again. */
  setBackup(subflowId: number, backup: boolean): void {
    const paths = this.#managed('setBackup');
    const subflow = this.multipath.subflows.find(({ id }) => id === subflowId);
    if (subflow !== undefined && paths.setBackup(subflow.local, backup)) return;
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `the connection has no subflow ${subflowId}`,
      remedy: 'give the id of one of socket.multipath.subflows',
    });
  }

  /** Bytes written that the peer has not acknowledged yet; what is still in Node's buffers not counted. */
  get unacknowledgedBytes(): number {
    return this.#open && !this.destroyed ? unacknowledgedBytes(this.#handle.fd) : 0;
  }

  override setKeepAlive(enable = false, initialDelay = 0): this {
    // An empty handle remembers that it was asked, but not for how long.
    this.#keepAlive = [enable, initialDelay];
    return this.#open ? super.setKeepAlive(enable, initialDelay) : this;
  }

  /** Type of service, with IPv6 traffic class, of the packets of all subflows: 0 to 255. */
  setTypeOfService(value: number): this {
    checkTypeOfService(value);
    this.#typeOfService = value;
    if (this.#open && !this.destroyed) setTypeOfService(this.#handle.fd, value);
    return this;
  }

  getTypeOfService(): number {
    return this.#open && !this.destroyed ? typeOfService(this.#handle.fd) : (this.#typeOfService ?? 0);
  }

  override ref(): this {
    this.#dial?.reference(true);
    return super.ref();
  }

  override unref(): this {
    this.#dial?.reference(false);
    return super.unref();
  }

  override resetAndDestroy(): this {
    if (this.#open || this.connecting) return super.resetAndDestroy();
    return this.destroy(new MptcpError('ERR_SOCKET_CLOSED'));
  }

  /** What the system says becomes an error of this package; the application's own stay as they are. */
  override destroy(error?: Error | null): this {
    return super.destroy(error ? ownError(error) : undefined);
  }

  // What the stream asks for, and what comes in.

  override _read(size: number): void {
    if (this.#open) super._read(size);
    else this.once('connect', () => this._read(size));
  }

  override _write(chunk: unknown, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#paths?.wrote();
    super._write(chunk, encoding, callback);
  }

  override _writev(
    chunks: { chunk: unknown; encoding: BufferEncoding }[],
    callback: (error?: Error | null) => void,
  ): void {
    this.#paths?.wrote();
    // Node's own has it, though its types do not say so.
    super._writev?.(chunks as { chunk: Buffer; encoding: BufferEncoding }[], callback);
  }

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (!this.#heard) {
      this.#heard = true;
      // The first data is what settles whether a connection stays Multipath TCP (RFC 8684 §3.1, §3.7).
      this.#watch?.look();
      this.#paths?.look();
    }
    return super.push(chunk, encoding);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#dial?.cancel();
    this.#dial = undefined;
    this.#watch?.stop();
    this.#paths?.stop();
    super._destroy(error, callback);
  }

  // What the watch tells.

  /** Its server has handed it out. @internal */
  handedOut(): void {
    this.#watch?.begin();
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  get followsSubflows(): boolean {
    return subflowsAreObserved() || this.listenerCount('subflow') + this.listenerCount('subflowclose') > 0;
  }

  fellBack(fallback: FallbackStatus): void {
    if (this.#required) this.destroy(fallbackError(fallback));
    else fellBack(this, fallback);
  }

  subflowOpened(subflow: SubflowStatus): void {
    subflowOpened(this, subflow);
  }

  subflowClosed(subflow: SubflowStatus): void {
    subflowClosed(this, subflow, 'closed by the kernel');
  }

  #resolve(options: ConnectOptions): void {
    const host = options.host ?? 'localhost';
    const onLookup = (error: Error | null, address?: string, family?: number): void => {
      if (!this.destroyed) this.emit('lookup', error, address, family, host);
    };
    resolveTargets(options, onLookup).then(
      targets => {
        if (!this.destroyed) this.#startDial(options, targets);
      },
      error => this.destroy(error),
    );
  }

  #startDial(options: ConnectOptions, targets: DialTarget[]): void {
    beginCounting();
    const local = firstLocal(options, targets[0]);
    const isAddress = local !== undefined && describeAddress(local, '') !== undefined;
    this.#dial = new KernelDial(
      {
        targets,
        multipath: this.#multipathAsked,
        connectTimeoutMs: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
        attemptDelayMs: options.autoSelectFamilyAttemptTimeout ?? ATTEMPT_DELAY_MS,
        ...(local === undefined ? {} : isAddress ? { localAddress: local } : { device: local }),
        ...(options.localPort === undefined ? {} : { localPort: options.localPort }),
        ...(this.#typeOfService === undefined ? {} : { typeOfService: this.#typeOfService }),
        fastOpen: options.fastOpen === true && this.writableLength > 0 && !this.#needsHandshake(options),
      },
      {
        attempting: target => emitAttempt(this, 'connectionAttempt', target),
        attemptSlow: target => emitAttempt(this, 'connectionAttemptTimeout', target),
        attemptFailed: (target, error) => emitAttempt(this, 'connectionAttemptFailed', target, error),
        connected: fd => this.#connected(fd, options),
        noFastOpen: () => this.#report(NO_FAST_OPEN),
        failed: error => this.destroy(error),
      },
    );
    this.#dial.start();
  }

  /** What these ask for is to be seen of the connection, or done to it, before anything is written. */
  #needsHandshake({ paths, service }: ConnectOptions): boolean {
    return this.#required || service !== undefined || (paths?.length ?? 0) > 1;
  }

  #connected(fd: number, options: ConnectOptions): void {
    this.#dial = undefined;
    const internals = this as unknown as Internals;
    adopt(this.#handle, fd);
    // Names it was asked for while it had none are remembered as empty.
    internals._sockname = null;
    internals._peername = undefined;
    this.#open = true;
    this.#setConnecting(false);
    if (this.#keepAlive !== undefined) super.setKeepAlive(...this.#keepAlive);
    const watch = this.#beginWatch(false);
    if (this.#required && !watch.active) {
      this.destroy(fallbackError(watch.fallback));
      return;
    }
    if (watch.active) this.#carryOut(options);
    connectionMade(this, 'client');
    this.emit('connect');
    this.emit('ready');
    if (this.destroyed) return;
    if (watch.fallback !== null) fellBack(this, watch.fallback);
    watch.begin();
    if (!this.destroyed && !this.isPaused()) this.read(0);
  }

  /** What `paths` and `service` ask for, as far as there are rights. */
  #carryOut({ paths, service }: ConnectOptions): void {
    if (service === undefined && (paths?.length ?? 0) < 2) return;
    const missing = pathImpediment();
    if (missing === undefined) {
      this.#managePaths(paths, service);
      return;
    }
    const others = (paths ?? []).slice(1).map(({ local }) => `a subflow from ${local}`);
    for (const what of others) this.#report({ what, ...missing });
    if (service !== undefined) this.#report({ what: `service '${service}'`, ...missing });
  }

  #managePaths(paths: readonly PathOption[] | undefined, service: Service | undefined): KernelPaths {
    const { local, remote } = endsOf(this);
    const token = this.#watch?.status().token ?? 0;
    const specs = paths?.map(({ remote: _, ...spec }) => spec);
    this.#paths = new KernelPaths(
      { fd: this.#handle.fd, token, local, remote, paths: specs, service },
      { changed: () => this.#watch?.look(), unhonoured: entry => this.#report(entry) },
    );
    return this.#paths;
  }

  /** The paths of this connection, looked after from now on; throws when that cannot be. */
  #managed(syscall: string): KernelPaths {
    if (this.#paths !== undefined && !this.destroyed) return this.#paths;
    if (!this.#open || this.destroyed) throw new MptcpError('ENOTCONN', { syscall });
    const missing = pathImpediment();
    if (missing !== undefined) {
      throw new MptcpError('EPERM', { syscall, sentence: missing.why, remedy: missing.remedy });
    }
    if (this.#watch?.active !== true) {
      throw new MptcpError('ERR_MPTCP_FALLBACK', { syscall, sentence: 'the connection is plain TCP' });
    }
    return this.#managePaths([{ local: endsOf(this).local.address }], undefined);
  }

  #report(entry: Unhonoured): void {
    this.#unhonoured.push(entry);
    // Whoever wants to know has attached its listeners by then.
    process.nextTick(() => {
      if (!this.emit('unhonoured', entry)) warnOnce(entry);
    });
  }

  #beginWatch(accepted: boolean): KernelWatch {
    const options = { accepted, multipath: this.#multipathAsked, reason: this.#reason };
    const ends = () => endsOf(this);
    const nameOf = (address: string) =>
      this.#paths?.nameOf(address) ?? this.#asked.find(({ local }) => local === address)?.name;
    const watch = new KernelWatch({ ...options, ends, nameOf, fd: this.#handle.fd }, this);
    this.#watch = watch;
    watch.start();
    return watch;
  }

  #setConnecting(connecting: boolean): void {
    (this as unknown as Internals).connecting = connecting;
  }
}

/**
 * The paths of a connection that Node made, as with `mptcp/register`, or that TLS runs over; undefined when
 * it is not connected, and not the kernel's.
 */
export function multipathOf(socket: NetSocket): MultipathStatus | undefined {
  const fd = (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
  if (fd < 0 || socket.remoteAddress === undefined || process.platform !== 'linux') return undefined;
  const nobody = {
    fellBack: () => {},
    subflowOpened: () => {},
    subflowClosed: () => {},
    followsSubflows: false,
  };
  return new KernelWatch(
    { fd, multipath: false, accepted: false, reason: null, ends: () => endsOf(socket) },
    nobody,
  ).status();
}

function endsOf(socket: NetSocket): { local: Endpoint; remote: Endpoint } {
  return {
    local: { address: plainAddress(socket.localAddress), port: socket.localPort ?? 0 },
    remote: { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 },
  };
}

/** What net.Socket keeps in properties that its types do not show, or show as readonly. */
interface Internals {
  connecting: boolean;
  _sockname: object | null;
  _peername: object | undefined;
}

/** An address as subflows have it: without the prefix of those that a socket of both families sees. */
export function plainAddress(address = ''): string {
  return address.replace(/^::ffff:(?=\d+\.)/, '');
}

function ownError(error: Error): Error {
  const { code, errno, syscall, address, port } = error as NodeJS.ErrnoException & {
    address?: string;
    port?: number;
  };
  if (error instanceof MptcpError || typeof errno !== 'number' || code === undefined) return error;
  return new MptcpError(code, {
    ...(syscall === undefined ? {} : { syscall }),
    ...(address === undefined ? {} : { address }),
    ...(port === undefined ? {} : { port }),
    cause: error,
  });
}

/** Where the first subflow comes from: the first path that can be, an address where there are several. */
function firstLocal({ paths, service }: ConnectOptions, target: DialTarget): string | undefined {
  if (paths === undefined) return undefined;
  // A socket that is bound to a device takes all its subflows there.
  if (paths.length === 1 && service === undefined) return paths[0].local;
  const specs = paths.map(({ remote: _, ...spec }) => spec);
  const addresses = localAddresses();
  const [planned] = new PathPlan(specs, target)
    .paths(addresses)
    .filter(({ address }) => addresses.some(known => known.address === address));
  return planned?.address ?? paths[0].local;
}

function warnOnce({ what, why, remedy }: Unhonoured): void {
  const line = `not done: ${what}: ${why}; ${remedy}`;
  if (warned.has(line)) return;
  warned.add(line);
  process.emitWarning(line, { type: 'MptcpWarning', code: 'MPTCP_UNHONOURED' });
}

const AT_SERVER = {
  why: 'paths are looked after by the end that connects',
  remedy: 'say at the client what the connection is for',
};
const NO_FAST_OPEN: Unhonoured = {
  what: 'fastOpen',
  why: 'this kernel has no TCP Fast Open for Multipath TCP',
  remedy: 'Linux 6.2 or later has it',
};
const warned: Set<string> = new Set();
