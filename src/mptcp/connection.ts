// Decides what one Multipath TCP connection is: keys, the data sequence space in both directions, its
// subflows and its orderly end (DATA_FIN). What happens on arrival, on departure, on silence and on failure
// is decided in the files beside this one; they share this state. Read: RFC 8684 §3.3, Appendix C, Appendix
// D.
// Before on the walk: options-in, receive (in), host/connection (out). After: host/connection (in), send
// (out).

import { Coupling } from '../congestion/index.ts';
import {
  type ByteStream,
  type CloseReason,
  type Environment,
  expireTimers,
  holdAfter,
  isEarly,
  newBuffers,
  type PlainStream,
  RangeSet,
  Ready,
  type ReceiveBuffer,
  type SendBuffer,
  State,
  sendSpace,
} from '../tcp/index.ts';
import { abortConnection, type Fastclose, fastcloseTimeout } from './close.ts';
import type { MptcpConfig } from './config.ts';
import { dataTimeout, orphanTimeout, startOrphanTimer } from './data-level.ts';
import { DataSequence } from './data-sequence.ts';
import { Expectation } from './expectation.ts';
import { type Key, keyFrom } from './keys.ts';
import type { FallbackInfo, MultipathInfo, MultipathOwner, PathOptions } from './observation.ts';
import type { Endpoints } from './paths/endpoints.ts';
import { Managed } from './paths/managed.ts';
import { PathManager } from './paths/path-manager.ts';
import { RACE_FLOW, type SynRace } from './race.ts';
import { bytesRead } from './receive.ts';
import { LeastQueued } from './scheduler/least-queued.ts';
import { LowestRtt } from './scheduler/lowest-rtt.ts';
import type { Scheduler } from './scheduler/scheduler.ts';
import { releaseSent, transmitConnection } from './send.ts';
import { announce, Signals } from './signals.ts';
import type { Subflow } from './subflow.ts';
import {
  applyKeepAlive,
  countEstablished,
  drop,
  expireSubflow,
  lonelyTimeout,
  sweep,
} from './subflow-life.ts';

export class MultipathConnection implements ByteStream {
  readonly env: Environment<MptcpConfig>;
  readonly owner: MultipathOwner;
  /** This side sent the first SYN. */
  readonly client: boolean;
  readonly scheduler: Scheduler;
  readonly paths: PathManager;
  readonly signals: Signals = new Signals();
  readonly coupling: Coupling = new Coupling();
  readonly expectation: Expectation = new Expectation();

  // Keys (RFC 8684 §3.1).
  readonly localKey: Key;
  remoteKey: Key | null = null;
  checksum: boolean;
  /** The peer set flag C: no joins to the address and port of its initial subflow. */
  remoteDeniesJoin = false;
  readonly localSequence: DataSequence = new DataSequence();
  readonly remoteSequence: DataSequence = new DataSequence();
  /** A DSS or data arrived: the peer has our key, and options pass (RFC 8684 §3.1, §3.7). */
  confirmed = false;

  // Sending: dsn offsets, first byte 1.
  readonly sendBuffer: SendBuffer;
  dataUna = 1;
  dataNxt = 1;
  /** Where the data sequence begins: behind what left with the SYN. */
  firstDsn = 1;
  /** Right edge of the peer's window (exclusive). */
  sndRight: number = this.dataUna;
  /** dsn of our DATA_FIN, -1 until the application has finished. */
  dataFinDsn = -1;
  dataFinWasSent = false;
  /** The DATA_FIN should leave without waiting for another reason to acknowledge. */
  dataFinQueued = false;
  /** An ACK with the keys has left since the DATA_FIN was queued (client, unconfirmed). */
  keysSent = false;
  readonly reinjection: RangeSet = new RangeSet();
  /** What lies beyond dataUna and the TCP of a subflow has acknowledged. */
  readonly taken: RangeSet = new RangeSet();
  /** Id of the subflow on which the byte at dataUna was repeated last, -1 for none. */
  repeatedOn = -1;
  /** A byte that arrived without its mapping, so that only a repetition could place it; the first such. */
  unplacedDsn: number = Infinity;
  /** Subflows (bits by id) that the current pass has found unwilling. */
  declined = 0;
  dataTimerMs: number = Infinity;
  dataBackoff = 0;

  // Receiving.
  readonly receiveBuffer: ReceiveBuffer;
  /** dsn of the peer's DATA_FIN, -1 until known. */
  rcvDataFin = -1;
  isPeerFinished = false;
  /** The peer writes 64-bit DSNs, so DATA_ACKs must have 64 bits too (RFC 8684 §3.3.2). */
  peerUses64 = false;

  // Subflows.
  readonly subflows: Subflow[] = [];
  /** Ended for the connection, not yet for TCP: TIME-WAIT, or a RST to be sent. */
  readonly lingering: Subflow[] = [];
  /** A join that is over, or in use, got so far that either side may have sent data on it. */
  everMultiple = false;
  /** A join was completed: the peer counts it too, and will not go on as TCP. */
  wasJoined = false;
  /** Data was sent or received on another subflow than the first. */
  hasSpread = false;
  nextSubflowId = 1;
  /** The first SYN of a client against one without MP_CAPABLE, until one is answered. */
  race: SynRace | null = null;
  lonelyMs: number = Infinity;

  // The end.
  fastclose: Fastclose | null = null;
  fastcloseOnReset = false;
  /** The application has let go. */
  isAbandoned = false;
  /** The owner has been told that the connection is over. */
  isDone = false;
  orphanMs: number = Infinity;
  /** M_TIME_WAIT of Appendix D: the peer may not have our last DATA_ACK and may join for it until then. */
  timeWaitMs: number = Infinity;
  /** When a DATA_ACK last moved forward. */
  dataProgressMs: number = -Infinity;
  plain: PlainStream | null = null;
  plainSinceMs: number = Infinity;
  fallback: FallbackInfo | null = null;
  wantsRoom = false;
  noDelay = false;
  hold = 0;
  keepAliveIdleMs = 0;
  advertise: readonly { address: string; port?: number }[] = [];
  /** Port of the first subflow at the server. */
  serverPort = 0;
  /** In MPCurrEstab. */
  isCounted = false;

  /** It follows the endpoints and limits of the host (paths/endpoints). */
  readonly managed: Managed | null;

  constructor(options: {
    env: Environment<MptcpConfig>;
    owner: MultipathOwner;
    client: boolean;
    endpoints?: Endpoints | null;
  }) {
    this.env = options.env;
    this.scheduler = this.env.config.asLinux ? new LeastQueued() : new LowestRtt();
    this.owner = options.owner;
    this.client = options.client;
    const config = options.env.config;
    this.checksum = config.checksum;
    const buffers = newBuffers(config);
    this.sendBuffer = buffers.sendBuffer;
    this.receiveBuffer = buffers.receiveBuffer;
    this.paths = new PathManager(this);
    this.managed = options.endpoints ? new Managed(this, options.endpoints) : null;
    this.localKey = this.chooseKey();
    this.localSequence.start(this.localKey);
  }

  // Opening.

  setRemoteKey(key: Key): void {
    this.remoteKey = key;
    this.remoteSequence.start(key);
  }

  /** RFC 8684 §3.1: a DSS was received; more subflows may be opened from now on. */
  confirm(now: number): void {
    if (this.confirmed || this.remoteKey === null) return;
    this.confirmed = true;
    for (const subflow of this.subflows) subflow.oweDataAck();
    for (const place of this.advertise) announce(this, place);
    this.paths.start(now);
    this.managed?.work(now);
  }

  /** Subflows at most, the first included. */
  get mostSubflows(): number {
    return this.managed?.mostSubflows ?? this.env.config.maxSubflows;
  }

  // ByteStream.

  get readableBytes(): number {
    return this.receiveBuffer.readableBytes;
  }

  get writableBytes(): number {
    return this.dataFinDsn !== -1 ? 0 : this.sendBuffer.freeBytes;
  }

  get unacknowledgedBytes(): number {
    return this.sendBuffer.end - Math.min(this.dataUna, this.sendBuffer.end);
  }

  get ended(): boolean {
    return this.isPeerFinished && this.receiveBuffer.readableBytes === 0;
  }

  get isReleased(): boolean {
    const left = this.subflows.length + this.lingering.length;
    return this.isDone && left === 0 && this.timeWaitMs === Infinity;
  }

  unsentBytes(): number {
    return this.sendBuffer.end - this.dataNxt;
  }

  write(bytes: Uint8Array, offset: number, length: number, _now: number): number {
    if (this.dataFinDsn !== -1 || this.isDone) return 0;
    const taken = this.sendBuffer.write(bytes, offset, length);
    if (taken < length) this.wantsRoom = true;
    return taken;
  }

  read(into: Uint8Array, offset: number, length: number, now: number): number {
    const taken = this.receiveBuffer.read(into, offset, length);
    if (taken > 0) bytesRead(this, now);
    return taken;
  }

  peek(into: Uint8Array, offset: number, length: number): number {
    return this.receiveBuffer.peek(into, offset, length);
  }

  shutdown(_now: number): void {
    if (this.dataFinDsn !== -1) return;
    countEstablished(this, false);
    this.dataFinDsn = this.sendBuffer.end;
    this.dataFinQueued = true;
  }

  close(now: number): void {
    if (this.isAbandoned) return;
    this.isAbandoned = true;
    if (this.receiveBuffer.readableBytes > 0) {
      this.env.counters.TCPAbortOnClose++;
      this.abort(now);
      return;
    }
    const isUnopened = ({ tcb }: Subflow) => !tcb.isSynchronized && tcb.state !== State.SYN_RECEIVED;
    if (this.lonelyMs === Infinity && this.subflows.every(isUnopened)) {
      this.abort(now);
      return;
    }
    this.shutdown(now);
    startOrphanTimer(this, now);
  }

  abort(now: number): void {
    this.isAbandoned = true;
    abortConnection(this, { code: null, text: 'aborted by the application' }, now);
  }

  transmit(out: Uint8Array, offset: number, now: number): number {
    const written = transmitConnection(this, out, offset, now);
    if (written === 0) sweep(this);
    return written;
  }

  nextDeadline(): number {
    let earliest = Math.min(this.dataTimerMs, this.lonelyMs, this.orphanMs, this.timeWaitMs);
    earliest = Math.min(earliest, this.signals.nextDeadline(), this.paths.nextDeadline());
    if (this.race !== null) earliest = Math.min(earliest, this.race.dueMs);
    if (this.fastclose !== null) earliest = Math.min(earliest, this.fastclose.deadlineMs);
    for (const subflow of this.subflows) {
      earliest = Math.min(earliest, subflow.tcb.nextDeadline(), subflow.suspectMs, subflow.removeMs);
      earliest = Math.min(earliest, subflow.unmappedMs, subflow.acksOwedMs);
      if (subflow.join !== null) earliest = Math.min(earliest, subflow.join.thirdAckMs);
    }
    for (const subflow of this.lingering) earliest = Math.min(earliest, subflow.tcb.nextDeadline());
    return earliest;
  }

  expire(now: number): void {
    for (const subflow of [...this.lingering]) expireTimers(subflow.tcb, now);
    for (const subflow of [...this.subflows]) expireSubflow(this, subflow, now);
    this.race?.expire(now);
    if (this.dataTimerMs <= now) dataTimeout(this, now);
    if (this.fastclose !== null && this.fastclose.deadlineMs <= now) fastcloseTimeout(this, now);
    this.signals.expire(now, this.env.config.addAddrRetries);
    this.paths.run(now);
    if (this.lonelyMs <= now) lonelyTimeout(this, now);
    if (this.orphanMs <= now) orphanTimeout(this, now);
    if (this.timeWaitMs <= now) this.leaveTimeWait();
  }

  setNoDelay(on: boolean): void {
    this.noDelay = on;
    const release = on && this.sendBuffer.end > this.dataNxt;
    for (const { tcb } of this.subflows) {
      tcb.noDelay = on;
      if (release) tcb.releaseHeld = true;
    }
  }

  setHold(bit: number, on: boolean): void {
    this.hold = holdAfter(this.hold, bit, on);
    for (const subflow of this.subflows) subflow.tcb.hold = this.hold;
  }

  setKeepAlive(on: boolean, idleMs: number, now: number): void {
    this.keepAliveIdleMs = on ? idleMs || this.env.config.keepAliveIdleMs : 0;
    for (const subflow of this.subflows) applyKeepAlive(this, subflow, now);
  }

  /** Snapshot for people and programs. */
  info(): MultipathInfo {
    return {
      active: this.plain === null && this.remoteKey !== null && !this.isDone,
      fallback: this.fallback,
      token: this.remoteKey === null || this.plain !== null ? null : this.localKey.token,
      subflows: this.subflows.map(subflow => subflow.info()),
    };
  }

  // Paths.

  addPath(path: PathOptions, now: number): void {
    this.paths.addPath(path, now);
  }

  setBackup(subflowId: number, backup: boolean, _now: number): void {
    const subflow = this.subflows.find(s => s.id === subflowId);
    if (subflow === undefined || subflow.localBackup === backup) return;
    subflow.localBackup = backup;
    subflow.prioPending = true;
    subflow.tcb.ackPending = true;
  }

  flowOpened(requestId: number, localPort: number, now: number): boolean {
    if (requestId === RACE_FLOW) return this.race?.flowOpened(localPort, now) ?? false;
    return this.paths.flowOpened(requestId, localPort, now);
  }

  flowFailed(requestId: number, now: number): void {
    if (requestId === RACE_FLOW) this.race?.flowFailed();
    else this.paths.flowFailed(requestId, now);
  }

  // The data sequence space (options-in, options-out, receive, send).

  /** The DATA_ACK to send: the next dsn expected, the DATA_FIN included once reached. */
  get dataAckDsn(): number {
    return this.receiveBuffer.next + (this.isPeerFinished ? 1 : 0);
  }

  /** All data was sent and the DATA_FIN is not acknowledged: it belongs on every pure ACK. */
  get dataFinDue(): boolean {
    return (
      this.dataFinDsn !== -1 &&
      this.dataNxt === this.dataFinDsn &&
      this.dataUna <= this.dataFinDsn &&
      // Until the peer is known to have the keys, the first data goes before everything else.
      (this.confirmed || !this.client || this.dataNxt === this.firstDsn) &&
      !this.isDone
    );
  }

  /**
   * The third ACK, or what takes its place, is still to carry the keys. A DATA_FIN without data does not fit
   * beside them: it follows at once, and both are repeated, for either may have been lost.
   */
  get keysDue(): boolean {
    return this.client && !this.confirmed && (!this.dataFinDue || !this.keysSent);
  }

  get maySend(): boolean {
    if (this.plain !== null || this.fastclose !== null) return false;
    if (this.remoteKey !== null) return true;
    // RFC 8684 §B.3, Figure 19: a listener may send before it has the peer's key.
    return this.env.config.earlyAnswer && this.subflows.length > 0 && isEarly(this.subflows[0].tcb);
  }

  get isWindowBlocked(): boolean {
    return this.sendBuffer.end > this.dataNxt && this.dataNxt >= this.sndRight;
  }

  /** Both have finished, and TCP at least has acknowledged all our data: only DATA_ACKs may be missing. */
  get isAllExchanged(): boolean {
    const { dataUna, dataFinDsn } = this;
    if (!this.isPeerFinished || dataFinDsn === -1) return false;
    return dataUna >= dataFinDsn || this.taken.contains(dataUna, dataFinDsn);
  }

  /** Both DATA_FINs were acknowledged. */
  get isFinished(): boolean {
    return this.isPeerFinished && this.dataFinDsn !== -1 && this.dataUna > this.dataFinDsn;
  }

  /** Room on a subflow for the scheduler. */
  freeBytes(subflow: Subflow): number {
    return (this.declined & (1 << (subflow.id & 31))) !== 0 ? 0 : sendSpace(subflow.tcb);
  }

  /** The peer's window as its handshake stated it. */
  openWindow(dsn: number, windowBytes: number): void {
    this.sndRight = Math.max(this.sndRight, dsn + windowBytes);
  }

  releaseSent(): void {
    releaseSent(this);
  }

  signalReadable(): void {
    this.owner.streamReady(Ready.READABLE);
  }

  // Subflows coming and going.

  /** The open subflow with the smallest round-trip time, active before suspect. */
  bestOpenSubflow(): Subflow | null {
    let best: Subflow | null = null;
    for (const subflow of this.subflows) {
      if (!subflow.isOpen) continue;
      const better =
        best === null ||
        subflow.stage < best.stage ||
        (subflow.stage === best.stage && subflow.srttMs < best.srttMs);
      if (better) best = subflow;
    }
    return best;
  }

  /** Bytes in flight on a subflow that was lost, or is silent, go elsewhere. */
  reinjectFrom(subflow: Subflow): void {
    const map = subflow.sendMap;
    for (let i = 0; i < map.count; i++) {
      const start = Math.max(map.dsn(i), this.dataUna);
      const end = map.dsn(i) + map.length(i);
      this.reinjection.add(start, end);
    }
  }

  /** Tells the owner, once, that it is over. */
  finish(reason: CloseReason): void {
    if (this.isDone) return;
    this.isDone = true;
    countEstablished(this, false);
    this.race = null;
    this.paths.stop();
    this.managed?.end();
    this.signals.clear();
    if (this.timeWaitMs === Infinity) this.owner.tokenDropped(this.localKey.token);
    this.dataTimerMs = this.lonelyMs = this.orphanMs = Infinity;
    this.reinjection.clear();
    if (reason.code !== null) {
      for (const subflow of [...this.subflows]) {
        subflow.tcb.abort();
        drop(this, subflow);
      }
    }
    if (this.isAbandoned) this.receiveBuffer.discard();
    this.discardSent();
    this.owner.streamClosed(reason);
  }

  /** The peer has our last DATA_ACK, or has not asked for it in time. */
  leaveTimeWait(): void {
    if (this.timeWaitMs === Infinity) return;
    this.timeWaitMs = Infinity;
    this.owner.tokenDropped(this.localKey.token);
  }

  // Inside.

  chooseKey(): Key {
    const { entropy } = this.env;
    // RFC 8684 §3.1: hard to guess, and its token unique among our connections.
    for (;;) {
      const key = keyFrom(entropy, this.env.random32(), this.env.random32());
      if (this.owner.isTokenFree(key.token)) return key;
    }
  }

  /** The bytes are needed as long as a closing subflow may have to repeat them. */
  discardSent(): void {
    if (this.isDone && this.subflows.length === 0) this.sendBuffer.discard();
  }
}
