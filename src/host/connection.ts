// Decides what a connection looks like to whoever drives the host: one object for its whole life, whatever
// carries it – Multipath TCP, plain TCP, or the one after falling back to the other.
// Before on the walk: mptcp or tcp/plain-stream. After: api/socket (or the simulator's applications).

import type {
  FallbackInfo,
  FlowRequest,
  MultipathConnection,
  MultipathInfo,
  MultipathOwner,
  NetworkMemory,
  Notice,
  PathOptions,
} from '../mptcp/index.ts';
import { changeController, removePath, sendFirst } from '../mptcp/index.ts';
import {
  type ByteStream,
  type CloseReason,
  type Environment,
  type PlainStream,
  Ready,
  type Tcb,
} from '../tcp/index.ts';
import { formatAddress } from '../wire/index.ts';
import { type Config, mergeConfig } from './config.ts';
import type { HeapItem } from './deadline-heap.ts';
import type { Host } from './host.ts';
import type { Listener } from './listener.ts';
import { plainSubflowInfo, tcbOf } from './plain.ts';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
}

export class Connection implements MultipathOwner, HeapItem {
  readonly id: number;
  userData: unknown = undefined;
  /** errno-like code once the connection failed; null while it has not. */
  error: string | null = null;
  /** One sentence about `error`. */
  errorReason = '';
  heapIndex = -1;
  /** Until then it is not handed out without data (TCP_DEFER_ACCEPT). */
  deferMs: number = Infinity;
  deadlineMs: number = Infinity;
  /** Queued for transmission / in the ready queue (host). */
  dirty = false;
  readyQueued = false;
  /** RFC 8684 §4: the addresses of the first subflow, for ever. */
  local: Endpoint = UNKNOWN;
  remote: Endpoint = UNKNOWN;
  localWords: Int32Array = NOWHERE;
  remoteWords: Int32Array = NOWHERE;
  /** Its local port may be bound again (SO_REUSEADDR). */
  reuseAddress = false;
  stream!: ByteStream;
  /** This connection's own, so that its configuration can change while it runs. */
  readonly env: Environment<Config>;
  /** The MPTCP side while there is one; null for plain TCP from the start. */
  multipathSide: MultipathConnection | null = null;
  private readonly host: Host;
  private listener: Listener | null;
  /** Counts it as one without its third ACK (TCP Fast Open). */
  private earlyListener: Listener | null = null;
  private deferred = false;
  private readyBits = 0;
  private readonly notices: Notice[] = [];
  private isClosed = false;
  private wasConnected = false;

  constructor(options: { id: number; host: Host; env: Environment<Config>; listener: Listener | null }) {
    this.id = options.id;
    this.host = options.host;
    this.env = options.env;
    this.listener = options.listener;
  }

  /** Ready bits since the last call. */
  takeEvents(): number {
    const bits = this.readyBits;
    this.readyBits = 0;
    return bits;
  }

  nextNotice(): Notice | undefined {
    return this.notices.shift();
  }

  get connected(): boolean {
    return this.wasConnected;
  }

  get closed(): boolean {
    return this.isClosed;
  }

  /** A SYN was answered and the third ACK is waited for. */
  get isHalfOpen(): boolean {
    return this.listener !== null;
  }

  /** Multipath TCP is in use, and the peer has shown that it has our key (RFC 8684 §3.1). */
  get isFullyEstablished(): boolean {
    const side = this.multipathSide;
    return side !== null && side.plain === null && side.confirmed;
  }

  get readableBytes(): number {
    return this.stream.readableBytes;
  }

  /** The peer has finished sending and everything was read. */
  get ended(): boolean {
    return this.stream.ended;
  }

  /** The peer has finished sending; bytes may still be readable. */
  get peerFinished(): boolean {
    return this.stream.isPeerFinished;
  }

  get writableBytes(): number {
    return this.isClosed ? 0 : this.stream.writableBytes;
  }

  get unsentBytes(): number {
    return this.stream.unsentBytes();
  }

  get unacknowledgedBytes(): number {
    return this.stream.unacknowledgedBytes;
  }

  /** Copies up to `length` received bytes; returns how many. Opens the window. */
  read(into: Uint8Array, offset: number, length: number, now: number): number {
    const taken = this.stream.read(into, offset, length, now);
    if (taken > 0) this.host.touch(this);
    return taken;
  }

  /** As `read`, and the bytes stay readable. */
  peek(into: Uint8Array, offset: number, length: number): number {
    return this.stream.peek(into, offset, length);
  }

  /** Reads up to `length` bytes and keeps none of them; returns how many. */
  discard(length: number, now: number): number {
    let gone = 0;
    for (let n = 1; n > 0 && gone < length; gone += n) {
      n = this.read(WASTE, 0, Math.min(WASTE.length, length - gone), now);
    }
    return gone;
  }

  /** Takes up to `length` bytes; returns how many. WRITABLE follows when fewer were taken. */
  write(bytes: Uint8Array, offset: number, length: number, now: number): number {
    if (this.isClosed) return 0;
    const taken = this.stream.write(bytes, offset, length, now);
    if (taken > 0) {
      this.begin(now);
      this.host.touch(this);
    }
    return taken;
  }

  /** TCP Fast Open: the SYN waits for the first write, or for `begin`; nothing has left yet. */
  get isDeferred(): boolean {
    return this.deferred && !this.isClosed;
  }

  /** Sends a SYN that waits for the first write, with what was written or without. */
  begin(now: number): void {
    if (!this.deferred) return;
    this.deferred = false;
    if (this.isClosed) return;
    if (this.multipathSide !== null) sendFirst(this.multipathSide, now);
    else tcbOf(this).open(now);
    this.host.touch(this);
  }

  /** No more writes: the end follows what is queued. */
  shutdown(now: number): void {
    this.begin(now);
    this.stream.shutdown(now);
    this.host.touch(this);
  }

  /** No more reads: with no more writes either, data that still comes resets plain TCP, as in Linux. */
  shutdownRead(): void {
    if (this.multipathSide === null) (this.stream as PlainStream).readsNoMore = true;
  }

  /** The application lets go: queued data is still delivered, nothing more is read. */
  close(now: number): void {
    this.stream.close(now);
    this.host.touch(this);
  }

  /** Ends the connection at once (RST, MP_FASTCLOSE). */
  abort(now: number): void {
    this.stream.abort(now);
    this.host.touch(this);
  }

  setNoDelay(on: boolean, _now: number): void {
    this.stream.setNoDelay(on);
    this.host.touch(this);
  }

  /** `idleMs` 0 = the configured idle time. */
  setKeepAlive(on: boolean, idleMs: number, now: number): void {
    this.stream.setKeepAlive(on, idleMs, now);
    this.host.touch(this);
  }

  /**
   * Unacknowledged data, an unanswered SYN and unanswered keepalives end the connection after `ms` (RFC 5482;
   * Linux: TCP_USER_TIMEOUT), with Multipath TCP each subflow; 0 = the configured limits of each.
   */
  setUserTimeout(ms: number, _now: number): void {
    this.env.config = { ...this.env.config, userTimeoutMs: ms };
  }

  /**
   * Changes the configuration of this connection: timeouts, limits, buffers and the congestion controller at
   * once; what is agreed in the handshake stays as it was.
   */
  configure(overrides: Partial<Config>): void {
    const before = this.env.config;
    this.env.config = mergeConfig(before, overrides);
    const { congestion, receiveBufferBytes, sendBufferBytes } = this.env.config;
    if (receiveBufferBytes !== before.receiveBufferBytes) this.stream.receiveBuffer.fix(receiveBufferBytes);
    if (sendBufferBytes !== before.sendBufferBytes) this.stream.sendBuffer.fix(sendBufferBytes);
    if (congestion !== before.congestion) {
      if (this.multipathSide === null) tcbOf(this).changeController(congestion);
      else changeController(this.multipathSide, congestion);
    }
  }

  /** The block of the first subflow, or of plain TCP; null once it has gone. */
  get firstTcb(): Tcb | null {
    const side = this.multipathSide;
    return side === null || side.plain !== null ? tcbOf(this) : (side.subflows[0]?.tcb ?? null);
  }

  /** All blocks that are in use: one a subflow. */
  get tcbs(): Tcb[] {
    const side = this.multipathSide;
    return side === null || side.plain !== null ? [tcbOf(this)] : side.subflows.map(({ tcb }) => tcb);
  }

  /** Holds a last, short segment back for 200 ms at most (bits of Hold), or lets it go. */
  setHold(bit: number, on: boolean): void {
    this.stream.setHold(bit, on);
    if (!on) this.host.touch(this);
  }

  /** Acknowledgements leave at once for a while, or wait (TCP_QUICKACK). */
  setQuickAck(on: boolean): void {
    for (const tcb of this.tcbs) tcb.setQuickAck(on);
    this.host.touch(this);
  }

  /** WRITABLE follows when there is more room than now. */
  askForRoom(): void {
    this.stream.wantsRoom = true;
  }

  /** Adds a path; a subflow is opened over it when the connection may have more. */
  addPath(path: PathOptions, now: number): void {
    this.multipathSide?.addPath(path, now);
    this.host.touch(this);
  }

  /** Stops using an interface for this connection; its subflows are closed. */
  removePath(interfaceId: number, now: number): void {
    if (this.multipathSide !== null) removePath(this.multipathSide, interfaceId, now);
    this.host.touch(this);
  }

  /** Makes a subflow backup or regular, here and (MP_PRIO) at the peer. */
  setBackup(subflowId: number, backup: boolean, now: number): void {
    this.multipathSide?.setBackup(subflowId, backup, now);
    this.host.touch(this);
  }

  /** Answers a `flow` notice: the link has opened this local port. False: it is not needed any more. */
  flowOpened(requestId: number, localPort: number, now: number): boolean {
    const taken = this.multipathSide?.flowOpened(requestId, localPort, now) ?? false;
    this.host.touch(this);
    return taken;
  }

  /** Answers a `flow` notice: the link could not. */
  flowFailed(requestId: number, now: number): void {
    this.multipathSide?.flowFailed(requestId, now);
    this.host.touch(this);
  }

  /** Snapshot for people and programs: plain JSON. */
  multipath(): MultipathInfo {
    if (this.multipathSide !== null) return this.multipathSide.info();
    return { active: false, fallback: null, token: null, subflows: [plainSubflowInfo(this)] };
  }

  // StreamOwner, MultipathOwner

  streamReady(bits: number): void {
    if ((bits & Ready.CONNECTED) !== 0) {
      if (this.wasConnected) {
        // Its third ACK: the application has had it since the SYN.
        bits &= ~Ready.CONNECTED;
        this.leaveEarly(false);
      }
      this.wasConnected = true;
      const deferMs = this.listener?.deferAcceptMs ?? 0;
      // From the SYN/ACK on, as Linux counts.
      if (deferMs > 0) this.deferMs = (this.firstTcb?.lastSentMs ?? 0) + deferMs;
      else this.leaveHalfOpen();
    }
    if (this.deferMs !== Infinity && (bits & (Ready.READABLE | Ready.END)) !== 0) this.endDeferral();
    this.readyBits |= bits;
    this.host.endpointReady(this);
  }

  streamClosed(reason: CloseReason): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.error = reason.code;
    this.errorReason = reason.text;
    this.leaveEarly(reason.code === 'ECONNRESET');
    this.leaveHalfOpen();
    this.readyBits |= Ready.CLOSED;
    this.host.endpointReady(this);
    this.host.touch(this);
  }

  /** Time passes (host). */
  expire(now: number): void {
    if (this.deferMs <= now) this.endDeferral();
    this.stream.expire(now);
  }

  private endDeferral(): void {
    this.deferMs = Infinity;
    this.leaveHalfOpen();
  }

  fellBack(plain: PlainStream, info: FallbackInfo): void {
    this.stream = plain;
    this.notice({ type: 'fallback', cause: info.cause, seenBy: info.seenBy });
  }

  notice(notice: Notice): void {
    // Who does not take them is not buried under them.
    if (this.notices.length >= MOST_NOTICES) this.notices.shift();
    this.notices.push(notice);
    this.readyBits |= Ready.NOTICE;
    this.host.endpointReady(this);
  }

  requestFlow(request: FlowRequest): boolean {
    if (!this.host.externalPorts) return false;
    this.notice({ type: 'flow', request });
    return true;
  }

  createTcb(options: Parameters<MultipathOwner['createTcb']>[0]): Tcb | null {
    return this.host.createTcb(this, options);
  }

  get networks(): NetworkMemory {
    return this.host.networks;
  }

  withdraw(tcb: Tcb, now: number): void {
    this.host.withdraw(tcb, now);
  }

  tcbReleased(tcb: Tcb): void {
    this.host.releaseTcb(tcb);
  }

  isTokenFree(token: number): boolean {
    return this.host.isTokenFree(token);
  }

  tokenChosen(token: number): void {
    if (this.multipathSide !== null) this.host.registerToken(token, this.multipathSide);
  }

  /** Plain TCP is over: nobody asks for a join any more. */
  forgetToken(): void {
    if (this.multipathSide !== null) this.tokenDropped(this.multipathSide.localKey.token);
  }

  tokenDropped(token: number): void {
    this.host.unregisterToken(token, this.multipathSide);
  }

  interfaceOfAddress(words: Int32Array): ReturnType<Host['interfaceOf']> {
    return this.host.interfaces.byAddress(words);
  }

  wake(): void {
    this.host.touch(this);
  }

  interfaceFor(id: number): ReturnType<Host['interfaceOf']> {
    return this.host.interfaceOf(id);
  }

  /** The SYN waits (host.connect). */
  defer(): void {
    this.deferred = true;
  }

  /** It is the application's before its third ACK (host/incoming). */
  earlyFor(listener: Listener): void {
    this.earlyListener = listener;
    listener.earlyBegan();
  }

  /** There was no room for it after all (host/incoming). */
  notOpened(): void {
    this.isClosed = true;
    this.leaveEarly(false);
    this.leaveHalfOpen();
  }

  private leaveEarly(wasReset: boolean): void {
    this.earlyListener?.earlyEnded(wasReset, this.host.lastNowMs);
    this.earlyListener = null;
  }

  /** Notes the addresses of the first subflow (host). */
  setEndpoints(tcb: Tcb): void {
    const w = tcb.remoteWords;
    const family = tcb.networkInterface.family;
    this.localWords = tcb.networkInterface.words;
    this.remoteWords = w;
    this.local = { address: tcb.networkInterface.address, port: tcb.localPort, family };
    this.remote = { address: formatAddress(w[0], w[1], w[2], w[3]), port: tcb.remotePort, family };
  }

  /** The handshake is over, one way or the other: the listener counts one half-open connection less. */
  private leaveHalfOpen(): void {
    const listener = this.listener;
    if (listener === null) return;
    this.listener = null;
    listener.halfOpen--;
    if (this.isClosed) return;
    if (listener.closed) this.host.abortLater(this);
    else listener.established(this);
  }
}

const NOWHERE: Int32Array = new Int32Array(4);
const WASTE: Uint8Array = new Uint8Array(16_384);
const MOST_NOTICES = 256;
const UNKNOWN: Endpoint = { address: '', port: 0, family: 4 };
