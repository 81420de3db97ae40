// Decides what a non-blocking socket of Linux answers to each call in each state, over a connection or a
// listener of the host. A call that fails returns a negative error and throws nothing.
// Read: socket(7), tcp(7), connect(2), poll(2); where they are silent, Linux's net/ipv4/tcp.c and af_inet.c.
// Before: the application. After: host/connection, host/listener; sockets/options for get- and setsockopt.

import { Hold, synRoom } from '../../tcp/index.ts';
import { type Config, mergeConfig } from '../config.ts';
import type { Connection } from '../connection.ts';
import { FastOpenBit, splitKeys } from '../fast-open.ts';
import type { Listener } from '../listener.ts';
import { BoundSocket } from './bound-socket.ts';
import { constants } from './constants.ts';
import { errno, errnoOf } from './errno.ts';
import { queued } from './info.ts';
import { openConnection, openListener } from './opening.ts';
import { option, setOption } from './options.ts';
import { nameOf, type Place, placeOf, type SocketAddress } from './place.ts';
import { applySwitches, configOf, newSettings, type Settings } from './settings.ts';
import type { Sockets } from './sockets.ts';

/** Life of a socket, beside the state of its connection (Linux: socket_state, and LISTEN). */
export const Phase = { UNCONNECTED: 0, LISTENING: 1, CONNECTING: 2, CONNECTED: 3, CLOSED: 4 } as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

export class Socket extends BoundSocket {
  /** For the application. */
  userData: unknown = undefined;
  private phase: Phase = Phase.UNCONNECTED;
  private stream: Connection | null = null;
  private listener: Listener | null = null;
  /** SO_ERROR has been read, or returned by a call. */
  private errorTaken = false;
  /** A pending error without a connection. */
  private leftError = 0;
  /** Bits of SHUTDOWN that this end has set. */
  private shut = 0;

  constructor(options: {
    sockets: Sockets;
    domain: number;
    multipath: boolean;
    accepted?: { connection: Connection; settings: Settings };
  }) {
    super({ ...options, settings: { ...(options.accepted?.settings ?? newSettings()) } });
    if (options.accepted !== undefined) {
      this.stream = options.accepted.connection;
      this.stream.userData = this;
      this.phase = Phase.CONNECTED;
    }
  }

  /** The connection underneath, for what sockets have no words for; null while there is none. */
  get connection(): Connection | null {
    return this.stream;
  }

  get isListening(): boolean {
    return this.phase === Phase.LISTENING;
  }

  // Calls

  /** bind(2). Port 0 takes a free one. */
  bind(address: SocketAddress): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    const place = placeOf(this.domain, address);
    if (typeof place === 'number') return place;
    if (this.isOpen || this.isBound) return -errno.EINVAL;
    if (place.family === 4 && this.domain === constants.AF_INET6 && this.settings.v6Only)
      return -errno.EINVAL;
    if (!place.isWildcard && this.sockets.host.interfaces.byAddress(place.words) === null) {
      return -errno.EADDRNOTAVAIL;
    }
    if (place.port === 0 && this.settings.bindNoPort) {
      this.boundWords = place.isWildcard ? null : place.words;
      return 0;
    }
    return this.take(place.isWildcard ? null : place.words, place.port);
  }

  /** listen(2). A socket without a port takes a free one; a second call changes the backlog. */
  listen(backlog: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    const { host } = this.sockets;
    const limit = Math.min(backlog < 0 ? Infinity : backlog, host.config.maxBacklog);
    if (this.listener !== null) {
      this.listener.backlog = limit + 1;
      return 0;
    }
    if (this.phase !== Phase.UNCONNECTED || this.isOpen) return -errno.EINVAL;
    if (!this.isBound) {
      const refused = this.take(null, 0);
      if (refused < 0) return refused;
    }
    this.phase = Phase.LISTENING;
    const refused = this.sockets.bindings.refusal(this);
    if (refused === 0) this.listener = this.openListener(limit);
    if (this.listener !== null) {
      this.listener.userData = this;
      return 0;
    }
    this.phase = Phase.UNCONNECTED;
    return -errno.EADDRINUSE;
  }

  /** accept(2): the oldest connection that waits, as a socket; EAGAIN when none does. */
  accept(now: number): Socket | number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    if (this.listener === null) return -errno.EINVAL;
    const connection = this.listener.accept();
    if (connection === undefined) return -errno.EAGAIN;
    const { sockets, domain, settings } = this;
    connection.reuseAddress = settings.reuseAddress;
    const accepted = { connection, settings };
    // As in Linux, a client without Multipath TCP gets a socket of TCP.
    const made = new Socket({ sockets, domain, multipath: connection.multipathSide !== null, accepted });
    made.reconfigure(now);
    applySwitches(settings, connection, now);
    return made;
  }

  /**
   * connect(2): EINPROGRESS, then EALREADY until it is decided, then once 0 or the error; EISCONN after that.
   * null, for AF_UNSPEC: the connection is reset, and the socket can be used again.
   */
  connect(address: SocketAddress | null, now: number): number {
    if (address === null) return this.disconnect(now);
    switch (this.phase) {
      case Phase.CLOSED:
        return -errno.EBADF;
      case Phase.LISTENING:
      case Phase.CONNECTED:
        return -errno.EISCONN;
      case Phase.CONNECTING:
        return this.connectAgain();
    }
    const place = placeOf(this.domain, address);
    if (typeof place === 'number') return place;
    if (place.family === 4 && this.domain === constants.AF_INET6 && this.settings.v6Only)
      return -errno.ENETUNREACH;
    return this.open(place, this.settings.fastOpenConnect, now);
  }

  /** write(2): send without flags. */
  write(bytes: Uint8Array, offset: number, length: number, now: number): number {
    return this.send(bytes, offset, length, 0, now);
  }

  /** send(2): how many bytes were taken. */
  send(bytes: Uint8Array, offset: number, length: number, flags: number, now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    // Urgent data has no place in Multipath TCP, and RFC 9293 SHLD-13 advises against it everywhere.
    if ((flags & constants.MSG_OOB) !== 0) return -errno.EOPNOTSUPP;
    const error = this.takeError();
    if (error !== 0) return -error;
    const connection = this.stream;
    if (connection === null) return -errno.EPIPE;
    if (connection.closed || (this.shutdownBits & SEND_SHUTDOWN) !== 0) return -errno.EPIPE;
    if (connection.isDeferred) return this.sendWithSyn(bytes, offset, length, now);
    if (!connection.connected) return -errno.EAGAIN;
    if (length <= 0) return 0;
    const full = !this.isBelowLowat(connection);
    connection.setHold(Hold.MORE, (flags & constants.MSG_MORE) !== 0);
    const taken = full ? 0 : connection.write(bytes, offset, length, now);
    if (taken > 0) return taken;
    connection.askForRoom();
    return -errno.EAGAIN;
  }

  /** sendto(2): with MSG_FASTOPEN a connection is opened, and what fits goes with its SYN. */
  sendto(
    bytes: Uint8Array,
    offset: number,
    length: number,
    flags: number,
    address: SocketAddress,
    now: number,
  ): number {
    if ((flags & constants.MSG_FASTOPEN) === 0 || this.phase !== Phase.UNCONNECTED) {
      return this.send(bytes, offset, length, flags, now);
    }
    if ((this.config.fastOpen & FastOpenBit.CLIENT) === 0) return -errno.EOPNOTSUPP;
    const place = placeOf(this.domain, address);
    if (typeof place === 'number') return place;
    const result = this.open(place, true, now);
    return result < 0 ? result : this.send(bytes, offset, length, flags, now);
  }

  /** read(2): recv without flags, except that nothing is asked and nothing is answered for no bytes. */
  read(into: Uint8Array, offset: number, length: number, now: number): number {
    if (length <= 0 && this.phase !== Phase.CLOSED) return 0;
    return this.recv(into, offset, length, 0, now);
  }

  /** recv(2): how many bytes were read; 0 when the peer has finished. */
  recv(into: Uint8Array, offset: number, length: number, flags: number, now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    if (this.phase === Phase.LISTENING) return -errno.ENOTCONN;
    // Linux's MPTCP has nothing to wait for then; its TCP waits.
    if (length <= 0 && this.isMultipath) return 0;
    // What is not there cannot be read: urgent data is data in its place here.
    if ((flags & constants.MSG_OOB) !== 0) return -errno.EINVAL;
    if ((flags & constants.MSG_ERRQUEUE) !== 0) return -errno.EAGAIN;
    const connection = this.stream;
    if (connection !== null && connection.readableBytes > 0) {
      if ((flags & constants.MSG_TRUNC) !== 0) return connection.discard(length, now);
      return (flags & constants.MSG_PEEK) !== 0
        ? connection.peek(into, offset, length)
        : connection.read(into, offset, length, now);
    }
    if (connection?.peerFinished) return 0;
    const error = this.takeError();
    if (error !== 0) return -error;
    if ((this.shutdownBits & RCV_SHUTDOWN) !== 0) return 0;
    return this.isOpen ? -errno.EAGAIN : -errno.ENOTCONN;
  }

  /** shutdown(2). On a socket that never connected: ENOTCONN, and shut nevertheless, as in Linux. */
  shutdown(how: number, now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    if (how !== constants.SHUT_RD && how !== constants.SHUT_WR && how !== constants.SHUT_RDWR) {
      return -errno.EINVAL;
    }
    const bits = how + 1;
    if (this.listener !== null) {
      // Only who would not receive any more stops listening.
      if ((bits & RCV_SHUTDOWN) !== 0) this.stopListening(now);
      return 0;
    }
    const connection = this.stream;
    if (connection === null || connection.closed) {
      this.shut |= bits;
      return -errno.ENOTCONN;
    }
    if (!connection.connected) {
      // The attempt is given up, and the socket may connect elsewhere. Only Linux's TCP leaves an error.
      connection.abort(now);
      this.forget();
      if (!this.multipath) this.leftError = errno.ECONNRESET;
      return 0;
    }
    if (this.phase === Phase.CONNECTING) this.phase = Phase.CONNECTED;
    this.shut |= bits;
    if ((bits & RCV_SHUTDOWN) !== 0) connection.shutdownRead();
    if ((bits & SEND_SHUTDOWN) !== 0) connection.shutdown(now);
    return 0;
  }

  /**
   * close(2): what was written is still delivered. With unread data, or SO_LINGER and a time of 0, the
   * connection is reset instead (RST, MP_FASTCLOSE).
   */
  close(now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    if (this.listener !== null) this.stopListening(now);
    const connection = this.stream;
    if (connection !== null) {
      connection.userData = undefined;
      if (this.settings.lingerOn && this.settings.lingerSeconds === 0) connection.abort(now);
      else connection.close(now);
    }
    this.unbind();
    this.phase = Phase.CLOSED;
    return 0;
  }

  /** poll(2): all readiness bits that are set now, asked for or not. */
  poll(): number {
    if (this.phase === Phase.CLOSED) return constants.POLLNVAL;
    if (this.listener !== null) return this.listener.waiting > 0 ? constants.POLLIN : 0;
    const connection = this.stream;
    const shut = this.shutdownBits;
    const isClosed = connection === null || connection.closed;
    let bits = 0;
    if (isClosed || shut === BOTH_SHUTDOWN) bits |= constants.POLLHUP;
    if ((shut & RCV_SHUTDOWN) !== 0) bits |= constants.POLLIN | constants.POLLRDHUP;
    if (connection?.isDeferred) bits |= constants.POLLOUT;
    else if (isClosed || connection.connected) {
      if (connection !== null && connection.readableBytes >= this.settings.rcvLowat) bits |= constants.POLLIN;
      if (isClosed || (shut & SEND_SHUTDOWN) !== 0 || this.isWritable(connection)) bits |= constants.POLLOUT;
    }
    if (this.pendingError !== 0) bits |= constants.POLLERR;
    return bits;
  }

  /** getsockname(2). */
  getsockname(): SocketAddress | number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    const connection = this.stream;
    if (connection !== null) return nameOf(this.domain, connection.localWords, connection.local.port);
    return nameOf(this.domain, this.boundWords, this.boundPort);
  }

  /** getpeername(2). */
  getpeername(): SocketAddress | number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    const connection = this.stream;
    if (connection === null || connection.closed || !connection.connected) return -errno.ENOTCONN;
    return nameOf(this.domain, connection.remoteWords, connection.remote.port);
  }

  /** getsockopt(2): a number, an object where C has a structure, a string for a name; or a negative error. */
  getsockopt(level: number, name: number, now: number): number | string | object {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    return option(this, level, name, now);
  }

  /** setsockopt(2): 0 or a negative error. */
  setsockopt(level: number, name: number, value: number | string | object, now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    return setOption(this, level, name, value, now);
  }

  /** ioctl(2) of SIOCINQ, SIOCOUTQ and SIOCOUTQNSD: how many bytes; or a negative error. */
  ioctl(request: number): number {
    return this.phase === Phase.CLOSED ? -errno.EBADF : queued(this, request);
  }

  // For the options.

  /** The pending error, which is none afterwards. */
  takeError(): number {
    const error = this.pendingError;
    if (error !== 0) this.errorTaken = true;
    this.leftError = 0;
    return error;
  }

  /** A connection, or an attempt at one (Linux: a state other than CLOSE and LISTEN). */
  get isOpen(): boolean {
    return this.stream !== null && !this.stream.closed;
  }

  /** In force, or for the connection to come. */
  get config(): Config {
    return this.stream?.env.config ?? this.listener?.config ?? this.sockets.host.config;
  }

  /** Multipath TCP, asked for or in use: not after a fallback (TCP_IS_MPTCP). */
  get isMultipath(): boolean {
    return this.multipath && (this.stream?.multipathSide?.plain ?? null) === null;
  }

  /** Options have changed. */
  reconfigure(now: number): void {
    this.stream?.configure(configOf(this.settings, this.stream.local.family));
    if (this.settings.keepAlive) this.stream?.setKeepAlive(true, 0, now);
    if (this.listener === null) return;
    this.listener.overrides = this.listenConfig;
    this.listener.config = mergeConfig(this.sockets.host.config, this.listenConfig);
    this.listener.deferAcceptMs = this.settings.deferAcceptSeconds * 1000;
    if (this.settings.fastOpenQueue > 0) this.listener.fastOpenQueue = this.settings.fastOpenQueue;
    const key = this.settings.fastOpenKey;
    if (key !== undefined) this.listener.fastOpenKeys = splitKeys(key);
  }

  /** The host's listener, while it listens. */
  get listening(): Listener | null {
    return this.listener;
  }

  // Inside.

  private get listenConfig(): Partial<Config> {
    const config = configOf(this.settings, this.domain === constants.AF_INET ? 4 : 6);
    if (!this.settings.fastOpenNoCookie) return config;
    return { ...config, fastOpen: this.sockets.host.config.fastOpen | FastOpenBit.SERVER_NO_COOKIE };
  }

  private get pendingError(): number {
    const connection = this.stream;
    if (connection === null) return this.leftError;
    if (this.errorTaken || !connection.closed || this.lostPaths) return 0;
    const error = errnoOf(connection.error);
    // A reset that comes after the peer's FIN is no surprise: Linux calls it EPIPE.
    const expected = error === errno.ECONNRESET && connection.peerFinished;
    return expected ? errno.EPIPE : error;
  }

  /**
   * No subflow was left for net.mptcp.close_timeout: Linux's socket is closed then, without an error of its
   * own (EPIPE for who writes, ENOTCONN for who reads).
   */
  private get lostPaths(): boolean {
    const { stream } = this;
    const isLost = stream?.closed && stream.error === 'ETIMEDOUT' && stream.isFullyEstablished;
    return this.multipath && isLost === true;
  }

  /** SHUTDOWN bits, whoever set them. */
  private get shutdownBits(): number {
    const connection = this.stream;
    if (connection === null) return this.shut;
    const bits = this.shut | (connection.peerFinished ? RCV_SHUTDOWN : 0);
    if (!connection.closed || this.lostPaths) return bits;
    // Linux's MPTCP passes the error of an only subflow on, and the end of the connection not.
    const ofSubflow = this.multipath && connection.error !== null && !connection.isFullyEstablished;
    return ofSubflow ? bits : BOTH_SHUTDOWN;
  }

  /** Linux calls a stream writable while a third of its buffer is free (sk_stream_is_writeable). */
  private isWritable(connection: Connection): boolean {
    const free = connection.writableBytes;
    const roomy = free > 0 && free >= connection.unacknowledgedBytes / 2 && this.isBelowLowat(connection);
    // Whoever polls is told when that changes.
    if (!roomy) connection.askForRoom();
    return roomy;
  }

  /** TCP_NOTSENT_LOWAT; 0 is no limit. */
  private isBelowLowat(connection: Connection): boolean {
    return connection.unsentBytes < (this.settings.notSentLowat || this.config.notSentLowBytes);
  }

  private sendWithSyn(bytes: Uint8Array, offset: number, length: number, now: number): number {
    const connection = this.stream as Connection;
    const tcb = connection.firstTcb;
    const room = tcb === null ? 0 : synRoom(tcb);
    const taken = connection.write(bytes, offset, Math.min(length, room), now);
    // Even without data: Linux sends the SYN then.
    connection.begin(now);
    return taken;
  }

  private openListener(limit: number): Listener | null {
    const { boundWords, boundPort: port, domain, families, multipath, settings } = this;
    return openListener(this.sockets.host, {
      port,
      ...(boundWords === null ? {} : { address: nameOf(domain, boundWords, 0).address }),
      ...(families.length === 1 ? { family: families[0] } : {}),
      // Linux lets one more wait than it is asked to.
      backlog: limit + 1,
      multipath,
      reusePort: settings.reusePort,
      deferAcceptMs: settings.deferAcceptSeconds * 1000,
      endpoints: true,
      fastOpen: settings.fastOpenQueue,
      ...(settings.fastOpenKey === undefined ? {} : { fastOpenKey: settings.fastOpenKey }),
      config: this.listenConfig,
    });
  }

  private stopListening(now: number): void {
    this.listener?.close(now);
    this.listener = null;
    this.phase = Phase.UNCONNECTED;
  }

  private open(place: Place, fastOpen: boolean, now: number): number {
    const { boundPort: localPort, boundWords, multipath, settings } = this;
    const config = configOf(settings, place.family);
    if (settings.fastOpenNoCookie) config.fastOpen = this.config.fastOpen | FastOpenBit.CLIENT_NO_COOKIE;
    const wanted = { place, localPort, localWords: boundWords, multipath, config, fastOpen };
    const connection = openConnection(this.sockets.host, wanted, now);
    if (typeof connection === 'number') return connection;
    this.stream = connection;
    this.errorTaken = false;
    this.leftError = 0;
    connection.userData = this;
    connection.reuseAddress = settings.reuseAddress;
    this.phase = Phase.CONNECTING;
    applySwitches(settings, connection, now);
    // TCP Fast Open with a cookie: the SYN waits for data.
    return connection.isDeferred ? 0 : -errno.EINPROGRESS;
  }

  private connectAgain(): number {
    const connection = this.stream as Connection;
    if (connection.closed) {
      const error = this.takeError();
      this.forget();
      return -(error || errno.ECONNABORTED);
    }
    if (connection.isDeferred) return -errno.EISCONN;
    if (!connection.connected) return -errno.EALREADY;
    this.phase = Phase.CONNECTED;
    return 0;
  }

  private disconnect(now: number): number {
    if (this.phase === Phase.CLOSED) return -errno.EBADF;
    if (this.listener !== null) this.stopListening(now);
    this.stream?.abort(now);
    this.forget();
    return 0;
  }

  /** As after tcp_disconnect: the socket can be used again. */
  private forget(): void {
    if (this.stream !== null) this.stream.userData = undefined;
    this.stream = null;
    this.errorTaken = false;
    this.shut = 0;
    this.phase = Phase.UNCONNECTED;
  }
}

const RCV_SHUTDOWN = 1;
const SEND_SHUTDOWN = 2;
const BOTH_SHUTDOWN = 3;
