// Decides what one Multipath TCP connection is: keys, the data sequence space in both directions, its
// subflows and its orderly end (DATA_FIN). What happens on arrival, on departure, on silence and on failure
// is decided in the files beside this one; they share this state. Read: RFC 8684 §3.3, Appendix C, Appendix
// D.
// Before on the walk: options-in, receive (in), host/connection (out). After: host/connection (in), send
// (out).

import {
  type ByteStream,
  type CloseReason,
  type Environment,
  expireTimers,
  type NetworkInterface,
  openPassive,
  type PlainStream,
  RangeSet,
  Ready,
  ReceiveBuffer,
  SendBuffer,
  State,
  sendSpace,
  type Tcb,
} from '../tcp/index.ts';
import { formatAddress, parseAddress, type Segment } from '../wire/index.ts';
import { abortConnection, type Fastclose, fastcloseTimeout } from './close.ts';
import type { MptcpConfig } from './config.ts';
import { DataSequence } from './data-sequence.ts';
import { joinHmac, type Key, keyFrom } from './keys.ts';
import type { FallbackInfo, MultipathInfo, MultipathOwner, PathOptions } from './observation.ts';
import { PathManager } from './paths/path-manager.ts';
import { ResetReason } from './reset-reason.ts';
import { LowestRtt } from './scheduler/lowest-rtt.ts';
import type { Scheduler } from './scheduler/scheduler.ts';
import { releaseSent, transmitConnection } from './send.ts';
import { Signals } from './signals.ts';
import { type JoinState, Stage, Subflow } from './subflow.ts';
import { probeSuspected, suspect } from './suspicion.ts';

/** Where a subflow runs. */
export interface SubflowEndpoint {
  networkInterface: NetworkInterface;
  /** 0 = the host picks one. */
  localPort: number;
  remoteWords: Int32Array;
  remotePort: number;
}

export class MultipathConnection implements ByteStream {
  readonly env: Environment<MptcpConfig>;
  readonly owner: MultipathOwner;
  /** This side sent the first SYN. */
  readonly client: boolean;
  readonly scheduler: Scheduler = new LowestRtt();
  readonly paths: PathManager;
  readonly signals: Signals = new Signals();

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
  /** Right edge of the peer's window (exclusive). */
  sndRight = 1;
  /** dsn of our DATA_FIN, -1 until the application has finished. */
  dataFinDsn = -1;
  dataFinWasSent = false;
  /** The DATA_FIN should leave without waiting for another reason to acknowledge. */
  private dataFinQueued = false;
  /** An ACK with the keys has left since the DATA_FIN was queued (client, unconfirmed). */
  keysSent = false;
  readonly reinjection: RangeSet = new RangeSet();
  /** Subflows (bits by id) that the current pass has found unwilling. */
  declined = 0;
  private dataTimerMs = Infinity;
  private dataBackoff = 0;

  // Receiving.
  readonly receiveBuffer: ReceiveBuffer;
  /** dsn of the peer's DATA_FIN, -1 until known. */
  rcvDataFin = -1;
  isPeerFinished = false;
  /** The peer writes 64-bit DSNs, so DATA_ACKs must have 64 bits too (RFC 8684 §3.3.2). */
  peerUses64 = true;

  // Subflows.
  readonly subflows: Subflow[] = [];
  /** Ended for the connection, not yet for TCP: TIME-WAIT, or a RST to be sent. */
  readonly lingering: Subflow[] = [];
  /** A join got so far that either side may have sent data on it. */
  everMultiple = false;
  private nextSubflowId = 0;
  private lonelyMs = Infinity;

  // The end.
  fastclose: Fastclose | null = null;
  fastcloseOnReset = false;
  /** The application has let go. */
  isAbandoned = false;
  /** The owner has been told that the connection is over. */
  isDone = false;
  private orphanMs = Infinity;
  /** When a DATA_ACK last moved forward. */
  private dataProgressMs = -Infinity;
  private plain: PlainStream | null = null;
  private fallback: FallbackInfo | null = null;
  private wantsRoom = false;
  private noDelay = false;
  private keepAliveIdleMs = 0;
  private advertise: readonly { address: string; port?: number }[] = [];
  private listenPort = 0;

  constructor(options: { env: Environment<MptcpConfig>; owner: MultipathOwner; client: boolean }) {
    this.env = options.env;
    this.owner = options.owner;
    this.client = options.client;
    const config = options.env.config;
    this.checksum = config.checksum;
    this.sendBuffer = new SendBuffer({ firstOffset: 1, limitBytes: config.sendBufferBytes });
    this.receiveBuffer = new ReceiveBuffer({ firstOffset: 1, limitBytes: config.receiveBufferBytes });
    this.paths = new PathManager(this);
    this.localKey = this.chooseKey();
    this.localSequence.start(this.localKey);
  }

  // Opening.

  /** Active open. */
  connect(
    options: SubflowEndpoint & { paths: readonly PathOptions[]; remote: { address: string; port: number } },
    now: number,
  ): void {
    const first = options.paths[0];
    this.owner.tokenChosen(this.localKey.token);
    const subflow = this.addSubflow(options, { ...first, initial: true, join: null, localAddressId: 0 }, now);
    if (subflow === null) {
      this.finish({ code: 'EADDRINUSE', text: 'no local port is free for this destination' });
      return;
    }
    this.paths.localId(options.networkInterface.id);
    this.paths.plan(options.paths, options.remote, subflow);
    this.owner.setEndpoints(subflow.tcb);
    subflow.tcb.open(now);
  }

  /** Passive open: a SYN with a valid MP_CAPABLE. */
  accept(
    options: SubflowEndpoint & { advertise: readonly { address: string; port?: number }[] },
    segment: Segment,
    now: number,
  ): Tcb | null {
    this.env.counters.MPCapableSYNRX++;
    this.advertise = options.advertise;
    this.listenPort = options.localPort;
    this.checksum = this.checksum || (segment.capableFlags & 0x80) !== 0;
    this.owner.tokenChosen(this.localKey.token);
    const subflow = this.addSubflow(options, { initial: true, join: null, localAddressId: 0 }, now);
    if (subflow === null) {
      this.owner.tokenDropped(this.localKey.token);
      return null;
    }
    this.paths.localId(options.networkInterface.id);
    openPassive(subflow.tcb, segment, now);
    return subflow.tcb;
  }

  /** A SYN with MP_JOIN and our token. Returns the MP_TCPRST reason of a refusal, -1 when it is taken. */
  joinRequested(segment: Segment, networkInterface: NetworkInterface, now: number): number {
    if (this.remoteKey === null || this.plain !== null || this.isDone) return ResetReason.MPTCP;
    if (this.subflows.length >= this.env.config.maxSubflows) return ResetReason.RESOURCES;
    const join: JoinState = {
      localNonce: this.env.random32(),
      remoteNonce: segment.joinNonce,
      hmac: null,
      thirdAckMs: Infinity,
      thirdAcks: 0,
    };
    join.hmac = joinHmac(
      this.env.entropy,
      { sender: this.localKey, receiver: this.remoteKey },
      { sender: join.localNonce, receiver: join.remoteNonce },
    );
    const remoteWords = Int32Array.of(segment.src0, segment.src1, segment.src2, segment.src3);
    const endpoint = {
      networkInterface,
      localPort: segment.dstPort,
      remoteWords,
      remotePort: segment.srcPort,
    };
    const localAddressId = this.paths.localId(networkInterface.id);
    const subflow = this.addSubflow(endpoint, { initial: false, join, localAddressId }, now);
    if (subflow === null) return ResetReason.RESOURCES;
    subflow.remoteAddressId = segment.joinAddressId;
    subflow.remoteBackup = segment.joinBackup;
    openPassive(subflow.tcb, segment, now);
    return -1;
  }

  /** Opens another subflow (path manager); null when no port is free. */
  openJoin(
    options: SubflowEndpoint & { name: string; backup: boolean; cost: number },
    now: number,
  ): Subflow | null {
    if (this.remoteKey === null || this.plain !== null || this.isDone) return null;
    const join: JoinState = {
      localNonce: this.env.random32(),
      remoteNonce: 0,
      hmac: null,
      thirdAckMs: Infinity,
      thirdAcks: 0,
    };
    const localAddressId = this.paths.localId(options.networkInterface.id);
    const subflow = this.addSubflow(options, { ...options, initial: false, join, localAddressId }, now);
    subflow?.tcb.open(now);
    return subflow;
  }

  setRemoteKey(key: Key): void {
    this.remoteKey = key;
    this.remoteSequence.start(key);
  }

  /** The first subflow's handshake is complete on this side. */
  initialEstablished(subflow: Subflow, now: number): void {
    subflow.stage = Stage.ACTIVE;
    this.afterEstablished(subflow, now);
    this.owner.streamReady(Ready.CONNECTED | Ready.WRITABLE);
    this.owner.notice({ type: 'subflow', subflow: subflow.info() });
  }

  /** A joined subflow may carry data now. */
  subflowActive(subflow: Subflow, now: number): void {
    subflow.stage = Stage.ACTIVE;
    this.everMultiple = true;
    this.lonelyMs = Infinity;
    this.afterEstablished(subflow, now);
    this.paths.subflowActive(subflow, now);
    for (const other of [...this.subflows]) {
      if (other !== subflow && other.tcb.state === State.CLOSE_WAIT) this.subflowFinished(other, now);
    }
    this.owner.notice({ type: 'subflow', subflow: subflow.info() });
    if (this.dataFinDsn >= 0 && this.isFinished) this.closeSubflows(now);
  }

  /** RFC 8684 §3.1: a DSS was received; more subflows may be opened from now on. */
  confirm(now: number): void {
    if (this.confirmed || this.remoteKey === null) return;
    this.confirmed = true;
    for (const { address, port } of this.advertise) this.announce(address, port);
    this.paths.start(now);
  }

  // ByteStream.

  get readableBytes(): number {
    return this.receiveBuffer.readableBytes;
  }

  get writableBytes(): number {
    return this.dataFinDsn >= 0 ? 0 : this.sendBuffer.freeBytes;
  }

  get unacknowledgedBytes(): number {
    return this.sendBuffer.end - Math.min(this.dataUna, this.sendBuffer.end);
  }

  get ended(): boolean {
    return this.isPeerFinished && this.receiveBuffer.readableBytes === 0;
  }

  get isReleased(): boolean {
    return this.isDone && this.subflows.length === 0 && this.lingering.length === 0;
  }

  unsentBytes(): number {
    return this.sendBuffer.end - this.dataNxt;
  }

  write(bytes: Uint8Array, offset: number, length: number, _now: number): number {
    if (this.dataFinDsn >= 0 || this.isDone) return 0;
    const taken = this.sendBuffer.write(bytes, offset, length);
    if (taken < length) this.wantsRoom = true;
    return taken;
  }

  read(into: Uint8Array, offset: number, length: number, _now: number): number {
    const taken = this.receiveBuffer.read(into, offset, length);
    if (taken > 0 && this.receiveBuffer.shouldUpdateWindow(1448)) {
      // The window is the connection's: tell it on every subflow that is alive (RFC 8684 §3.3.4).
      for (const subflow of this.subflows) if (subflow.stage === Stage.ACTIVE) subflow.tcb.ackPending = true;
    }
    return taken;
  }

  shutdown(_now: number): void {
    if (this.dataFinDsn >= 0) return;
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
    if (
      this.subflows.every(subflow => !subflow.tcb.isSynchronized && subflow.tcb.state !== State.SYN_RECEIVED)
    ) {
      if (this.lonelyMs === Infinity) {
        this.abort(now);
        return;
      }
    }
    this.shutdown(now);
    this.startOrphanTimer(now);
  }

  abort(now: number): void {
    this.isAbandoned = true;
    abortConnection(this, { code: null, text: 'aborted by the application' }, now);
  }

  transmit(out: Uint8Array, offset: number, now: number): number {
    const written = transmitConnection(this, out, offset, now);
    if (written === 0) this.sweep();
    return written;
  }

  nextDeadline(): number {
    let earliest = Math.min(this.dataTimerMs, this.lonelyMs, this.orphanMs);
    earliest = Math.min(earliest, this.signals.nextDeadline(), this.paths.nextDeadline());
    if (this.fastclose !== null) earliest = Math.min(earliest, this.fastclose.deadlineMs);
    for (const subflow of this.subflows) {
      earliest = Math.min(earliest, subflow.tcb.nextDeadline(), subflow.suspectMs, subflow.removeMs);
      if (subflow.join !== null) earliest = Math.min(earliest, subflow.join.thirdAckMs);
    }
    for (const subflow of this.lingering) earliest = Math.min(earliest, subflow.tcb.nextDeadline());
    return earliest;
  }

  expire(now: number): void {
    for (const subflow of [...this.lingering]) expireTimers(subflow.tcb, now);
    for (const subflow of [...this.subflows]) this.expireSubflow(subflow, now);
    if (this.dataTimerMs <= now) this.dataTimeout(now);
    if (this.fastclose !== null && this.fastclose.deadlineMs <= now) fastcloseTimeout(this, now);
    this.signals.expire(now, this.env.config.addAddrRetries);
    this.paths.run(now);
    if (this.lonelyMs <= now) {
      this.lonelyMs = Infinity;
      this.finish({
        code: 'ETIMEDOUT',
        text: 'all subflows were lost and none could be opened again in time',
      });
    }
    if (this.orphanMs <= now && now - this.dataProgressMs < this.env.config.dataTimeoutMs) {
      // Still delivering what was written before the application let go.
      this.orphanMs = this.dataProgressMs + this.env.config.dataTimeoutMs;
    }
    if (this.orphanMs <= now) {
      this.orphanMs = Infinity;
      abortConnection(
        this,
        { code: null, text: 'the peer never finished a connection that was let go' },
        now,
      );
    }
  }

  setNoDelay(on: boolean): void {
    this.noDelay = on;
    for (const subflow of this.subflows) subflow.tcb.noDelay = on;
  }

  setKeepAlive(on: boolean, idleMs: number, now: number): void {
    this.keepAliveIdleMs = on ? idleMs || this.env.config.keepAliveIdleMs : 0;
    for (const subflow of this.subflows) this.applyKeepAlive(subflow, now);
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
    if (this.plain === null && !this.isDone) this.paths.addPath(path, now);
  }

  removePath(interfaceId: number, now: number): void {
    this.paths.removeInterface(interfaceId);
    if (this.plain !== null) {
      // Plain TCP has no other path: it ends with this one.
      const { tcb } = this.plain;
      if (tcb.networkInterface.id !== interfaceId || this.isDone) return;
      tcb.abort();
      this.finish({ code: 'ENETDOWN', text: 'the only path of a plain TCP connection was taken away' });
      return;
    }
    for (const subflow of [...this.subflows]) {
      if (subflow.tcb.networkInterface.id !== interfaceId) continue;
      if (subflow.stage === Stage.ACTIVE) {
        // RFC 8684 §3.4.2: "A subflow that is still functioning MUST be closed with a FIN exchange"
        this.retire(subflow, now);
      } else if (subflow.stage !== Stage.CLOSING) {
        subflow.reset({ reason: ResetReason.ADMINISTRATIVE, text: 'the path was taken away' }, now);
      }
    }
  }

  /** The local address has gone: no packet can leave from it any more. */
  interfaceGone(interfaceId: number, now: number): void {
    const id = this.paths.localId(interfaceId);
    this.paths.removeInterface(interfaceId);
    let used = false;
    for (const subflow of [...this.subflows, ...this.lingering]) {
      if (subflow.tcb.networkInterface.id !== interfaceId) continue;
      used = true;
      subflow.tcb.resetPending = false;
      subflow.tcb.close({ code: 'ENETDOWN', text: 'the local address has gone' }, now);
    }
    // RFC 8684 §3.4.2: "the affected host SHOULD announce this situation".
    if (used && this.plain === null && !this.isDone) this.signals.remove(id);
  }

  setBackup(subflowId: number, backup: boolean, _now: number): void {
    const subflow = this.subflows.find(s => s.id === subflowId);
    if (subflow === undefined || subflow.localBackup === backup) return;
    subflow.localBackup = backup;
    subflow.prioPending = true;
    subflow.tcb.ackPending = true;
  }

  flowOpened(requestId: number, localPort: number, now: number): boolean {
    return this.paths.flowOpened(requestId, localPort, now);
  }

  flowFailed(requestId: number, now: number): void {
    this.paths.flowFailed(requestId, now);
  }

  limitMtu(interfaceId: number, mtu: number): void {
    for (const subflow of this.subflows) {
      if (subflow.tcb.networkInterface.id === interfaceId) subflow.tcb.limitMtu(mtu);
    }
  }

  formatWords(words: Int32Array): string {
    return formatAddress(words[0], words[1], words[2], words[3]);
  }

  // The data sequence space (options-in, options-out, receive, send).

  /** The DATA_ACK to send: the next dsn expected, the DATA_FIN included once reached. */
  get dataAckDsn(): number {
    return this.receiveBuffer.next + (this.isPeerFinished ? 1 : 0);
  }

  /** All data was sent and the DATA_FIN is not acknowledged: it belongs on every pure ACK. */
  get dataFinDue(): boolean {
    return (
      this.dataFinDsn >= 0 &&
      this.dataNxt === this.dataFinDsn &&
      this.dataUna <= this.dataFinDsn &&
      // Until the peer is known to have the keys, the first data goes before everything else.
      (this.confirmed || !this.client || this.dataNxt === 1) &&
      !this.isDone
    );
  }

  /**
   * The third ACK, or what takes its place, is still to carry the keys. A DATA_FIN without data does not fit
   * beside
   * them: it follows at once, and both are repeated, for either may have been lost.
   */
  get keysDue(): boolean {
    return this.client && !this.confirmed && (!this.dataFinDue || !this.keysSent);
  }

  get maySend(): boolean {
    return this.remoteKey !== null && this.plain === null && this.fastclose === null;
  }

  /** Unsent bytes wait for the peer's window alone. */
  get isWindowBlocked(): boolean {
    return this.sendBuffer.end > this.dataNxt && this.dataNxt >= this.sndRight;
  }

  /** Both DATA_FINs were acknowledged. */
  get isFinished(): boolean {
    return this.isPeerFinished && this.dataFinDsn >= 0 && this.dataUna > this.dataFinDsn;
  }

  /** Room on a subflow for the scheduler. */
  freeBytes(subflow: Subflow): number {
    return (this.declined & (1 << (subflow.id & 31))) !== 0 ? 0 : sendSpace(subflow.tcb);
  }

  /** The peer's window as its handshake stated it. */
  openWindow(dsn: number, windowBytes: number): void {
    this.sndRight = Math.max(this.sndRight, dsn + windowBytes);
  }

  /** A DATA_ACK with the window of the segment that carried it (RFC 8684 §3.3.2, §3.3.5). */
  dataAcknowledged(dataAck: number, windowBytes: number, now: number): void {
    const highest = this.dataNxt + (this.dataFinWasSent && this.dataNxt === this.dataFinDsn ? 1 : 0);
    // Acknowledgements of what was never sent are ignored, as Linux does; NaN fails the comparison too.
    if (!(dataAck <= highest)) return;
    this.confirm(now);
    if (dataAck + windowBytes > this.sndRight) this.sndRight = dataAck + windowBytes;
    if (dataAck <= this.dataUna) return;
    this.dataUna = dataAck;
    this.dataProgressMs = now;
    this.dataBackoff = 0;
    this.reinjection.remove(0, dataAck);
    this.dataTimerMs = Infinity;
    if (this.dataUna < this.dataNxt || this.dataFinDue) this.startDataTimer(now);
    this.releaseSent();
    this.maybeFinish(now);
  }

  releaseSent(): void {
    releaseSent(this);
  }

  /** The application was told to wait. */
  get isShortOfRoom(): boolean {
    return this.wantsRoom;
  }

  /** The send buffer has room again. */
  roomFreed(): void {
    if (!this.wantsRoom || this.sendBuffer.freeBytes === 0 || this.dataFinDsn >= 0) return;
    this.wantsRoom = false;
    this.owner.streamReady(Ready.WRITABLE);
  }

  /** Bytes with their place in the stream. */
  deliver(dsn: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    const buffer = this.receiveBuffer;
    const before = buffer.next;
    if (buffer.insert(dsn, bytes, offset, length) === 0) this.env.counters.DuplicateData++;
    if (buffer.next === before) return;
    this.owner.streamReady(Ready.READABLE);
    if (this.rcvDataFin >= 0) this.dataFinReceived(this.rcvDataFin, now);
  }

  signalReadable(): void {
    this.owner.streamReady(Ready.READABLE);
  }

  /** The peer's DATA_FIN is known; it counts when all data before it has come (RFC 8684 §3.3.3). */
  dataFinReceived(dsn: number, now: number): void {
    if (Number.isNaN(dsn) || dsn < this.receiveBuffer.next || this.isPeerFinished) {
      if (this.isPeerFinished) this.ackEverywhere();
      return;
    }
    if (this.rcvDataFin < 0) this.rcvDataFin = dsn;
    if (this.bestOpenSubflow() !== null) this.lonelyMs = Infinity;
    if (this.receiveBuffer.next !== this.rcvDataFin) return;
    this.isPeerFinished = true;
    this.ackEverywhere();
    this.owner.streamReady(Ready.READABLE | Ready.END);
    this.maybeFinish(now);
  }

  dataFinSent(now: number): void {
    this.dataFinWasSent = true;
    this.dataFinQueued = false;
    this.startDataTimer(now);
  }

  /** Payload arrived after the application let go (RFC 9293 §3.10.7.4). */
  dataForNobody(now: number): void {
    this.env.counters.TCPAbortOnData++;
    abortConnection(this, { code: null, text: 'data arrived after close' }, now);
  }

  /** Guards against acknowledgements lost for good, or faked on the way (RFC 8684 §3.3.6). */
  startDataTimer(now: number): void {
    if (this.dataTimerMs !== Infinity) return;
    let rtoMs = 0;
    for (const subflow of this.subflows) if (subflow.isOpen) rtoMs = Math.max(rtoMs, subflow.tcb.rtt.rtoMs);
    if (rtoMs === 0) rtoMs = this.env.config.rtoInitialMs;
    this.dataTimerMs = now + Math.min(rtoMs * 2 ** this.dataBackoff, this.env.config.rtoMaxMs);
  }

  /** Before acknowledgements leave: signals and the DATA_FIN ask for one. */
  prepareAcks(_now: number): void {
    if (!this.maySend) return;
    // A priority is told on the subflow it is about; data that left there meanwhile took its acknowledgement
    // along.
    for (const subflow of this.subflows) {
      if (subflow.prioPending && subflow.isOpen && this.confirmed && !this.dataFinDue) {
        subflow.tcb.ackPending = true;
      }
    }
    const due = this.dataFinDue && this.dataFinQueued;
    // Asking for what cannot leave yet (see addSignal) would be asking for ever.
    if (!due && !(this.confirmed && this.signals.pending)) return;
    const subflow = this.bestOpenSubflow();
    if (subflow !== null && subflow.stage === Stage.ACTIVE) subflow.tcb.ackPending = true;
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
      if (end > start) this.reinjection.add(start, end);
    }
  }

  /** The retransmission timer of a subflow fired: do not wait for it alone. */
  subflowTimedOut(subflow: Subflow, now: number): void {
    if (subflow.stage === Stage.ACTIVE) suspect(subflow, now);
    if (subflow.isOpen) this.paths.subflowSuspect(subflow, now);
  }

  /** Silent for so long, with bytes in flight, that a new subflow on the same path should be tried. */
  isStuck(subflow: Subflow, now: number): boolean {
    const tcb = subflow.tcb;
    if (!subflow.isOpen || tcb.sndUna === tcb.sndNxt) return false;
    return now - Math.max(tcb.lastReceivedMs, subflow.flightMs) >= this.env.config.replaceAfterMs;
  }

  /**
   * The peer has sent a FIN on a subflow: nothing more comes from there, so it is closed on our side as well.
   */
  subflowFinished(subflow: Subflow, now: number): void {
    if (subflow.tcb.state === State.TIME_WAIT) return;
    if (this.fastclose?.subflow === subflow) {
      // The peer closes as plain TCP does and has not understood MP_FASTCLOSE: it must not take this for an
      // end.
      this.fastcloseOnReset = true;
      subflow.tcb.abort();
      this.drop(subflow);
      return;
    }
    const alone = !this.subflows.some(s => s !== subflow && s.isOpen);
    // RFC 8684 §3.3.3: "a host MUST NOT close all functioning subflows unless it is safe to do so". The other
    // half of this one still carries what we have to send, and the acknowledgement of the peer's DATA_FIN.
    if (alone && !this.isDone) {
      if (this.rcvDataFin < 0) this.startLonelyTimer(now);
      return;
    }
    if (subflow.isOpen) this.retire(subflow, now);
    else subflow.tcb.shutdown();
  }

  /**
   * No new data on this subflow: a FIN follows what is in flight, which others repeat in case it gets stuck.
   */
  private retire(subflow: Subflow, now: number): void {
    subflow.stage = Stage.CLOSING;
    subflow.suspectMs = Infinity;
    subflow.tcb.orphan(now);
    subflow.tcb.shutdown();
    this.reinjectFrom(subflow);
    if (!this.isDone && !this.subflows.some(s => s.isOpen)) this.startLonelyTimer(now);
  }

  /** No subflow is left to send on: one must come back in time. */
  private startLonelyTimer(now: number): void {
    if (this.lonelyMs === Infinity) this.lonelyMs = now + this.env.config.closeTimeoutMs;
  }

  /** A subflow has ended, in order or not. */
  subflowClosed(subflow: Subflow, reason: CloseReason, now: number): void {
    if (subflow.stage === Stage.CLOSED) return;
    const neverOpened = subflow.stage === Stage.CONNECTING || subflow.stage === Stage.PRE_ESTABLISHED;
    this.reinjectFrom(subflow);
    this.drop(subflow);
    if (this.isDone) return;
    const text = subflow.peerReset === null ? reason.text : `${reason.text}: ${subflow.peerReset.text}`;
    if (!neverOpened) this.owner.notice({ type: 'subflowclose', subflow: subflow.info(), reason: text });
    if (subflow.initial && neverOpened) {
      this.finish(reason);
      return;
    }
    if (!this.confirmed && this.subflows.length === 0) {
      // Nothing was ever exchanged: the peer holds no connection that a join could resume.
      this.finish({ code: reason.code ?? 'ECONNRESET', text });
      return;
    }
    const refused = subflow.peerReset !== null && !subflow.peerReset.transient;
    this.paths.subflowClosed(subflow, { neverOpened, permanent: refused && neverOpened }, now);
    if (this.subflows.some(s => s.isOpen)) return;
    if (neverOpened && refused) {
      // The peer does not know the connection any more.
      this.finish({ code: 'ECONNRESET', text: `the peer has lost the connection (${text})` });
    } else {
      this.startLonelyTimer(now);
    }
  }

  /** A new subflow took over from a silent one. */
  replaced(subflow: Subflow, now: number): void {
    const text = 'replaced by a new subflow on the same path';
    subflow.reset({ reason: ResetReason.PERFORMANCE, text, transient: true }, now);
  }

  /** RFC 8684 §3.4.2: ask before removing; meanwhile its bytes go elsewhere. */
  probeForRemoval(subflow: Subflow, now: number): void {
    if (this.subflows.some(s => s !== subflow && s.stage === Stage.ACTIVE)) suspect(subflow, now);
    subflow.tcb.probePending = true;
    subflow.removeMs = now + Math.max(subflow.tcb.rtt.rtoMs, 1000);
  }

  /** Takes a subflow off the list; TCP may still have something to send or to wait for. */
  drop(subflow: Subflow): void {
    subflow.stage = Stage.CLOSED;
    subflow.suspectMs = Infinity;
    const i = this.subflows.indexOf(subflow);
    if (i < 0) return;
    this.subflows.splice(i, 1);
    subflow.receiveMap.clear();
    subflow.staging = null;
    subflow.sendMap.clear();
    this.lingering.push(subflow);
    this.discardSent();
    if (this.fastclose?.subflow === subflow) this.fastclose = null;
  }

  /** Tells the owner, once, that it is over. */
  finish(reason: CloseReason): void {
    if (this.isDone) return;
    this.isDone = true;
    this.paths.stop();
    this.signals.clear();
    this.owner.tokenDropped(this.localKey.token);
    this.dataTimerMs = this.lonelyMs = this.orphanMs = Infinity;
    this.reinjection.clear();
    if (reason.code !== null) {
      for (const subflow of [...this.subflows]) {
        if (this.fastclose?.subflow === subflow) continue;
        subflow.tcb.abort();
        this.drop(subflow);
      }
    }
    if (this.isAbandoned) this.receiveBuffer.discard();
    this.discardSent();
    this.owner.streamClosed(reason);
  }

  /** From here on the plain stream answers for the connection (mptcp/fallback). */
  becomePlain(plain: PlainStream, subflow: Subflow, info: FallbackInfo): void {
    this.plain = plain;
    this.fallback = info;
    this.paths.stop();
    this.owner.tokenDropped(this.localKey.token);
    subflow.stage = Stage.ACTIVE;
    // Joins under way are given up without a word: what the peer sends to them is answered with a RST.
    for (const other of [...this.subflows]) {
      if (other === subflow) continue;
      other.tcb.abort();
      this.drop(other);
    }
    for (const { tcb } of this.lingering) this.owner.tcbReleased(tcb);
    this.lingering.length = 0;
    this.owner.fellBack(plain, info);
  }

  // Inside.

  private chooseKey(): Key {
    const { entropy } = this.env;
    // RFC 8684 §3.1: hard to guess, and its token unique among our connections.
    for (;;) {
      const key = keyFrom(entropy, this.env.random32(), this.env.random32());
      if (this.owner.isTokenFree(key.token)) return key;
    }
  }

  private addSubflow(endpoint: SubflowEndpoint, options: NewSubflow, now: number): Subflow | null {
    const subflow = new Subflow({
      connection: this,
      id: this.nextSubflowId,
      name: options.name ?? endpoint.networkInterface.name,
      initial: options.initial,
      localAddressId: options.localAddressId,
      remoteAddressId: 0,
      backup: options.backup ?? false,
      cost: options.cost ?? 0,
      join: options.join,
    });
    const { networkInterface, localPort, remoteWords, remotePort } = endpoint;
    const extension = subflow;
    const place = { networkInterface, localPort, remoteWords, remotePort };
    const tcb = this.owner.createTcb({ env: this.env, ...place, extension, now });
    if (tcb === null) return null;
    this.nextSubflowId++;
    subflow.tcb = tcb;
    tcb.noDelay = this.noDelay;
    this.subflows.push(subflow);
    return subflow;
  }

  private afterEstablished(subflow: Subflow, now: number): void {
    const config = this.env.config;
    subflow.tcb.timeWaitMs = config.subflowTimeWaitMs;
    subflow.flightMs = now;
    this.applyKeepAlive(subflow, now);
  }

  private applyKeepAlive(subflow: Subflow, now: number): void {
    const { subflowKeepAliveMs, keepAliveIntervalMs, keepAliveProbes } = this.env.config;
    const own =
      subflowKeepAliveMs > 0 && (this.keepAliveIdleMs === 0 || subflowKeepAliveMs < this.keepAliveIdleMs);
    subflow.tcb.setKeepAlive(
      own
        ? {
            idleMs: subflowKeepAliveMs,
            intervalMs: SUBFLOW_KEEPALIVE_INTERVAL_MS,
            probes: SUBFLOW_KEEPALIVE_PROBES,
          }
        : { idleMs: this.keepAliveIdleMs, intervalMs: keepAliveIntervalMs, probes: keepAliveProbes },
      now,
    );
  }

  private announce(address: string, port: number | undefined): void {
    const words = new Int32Array(4);
    const family = parseAddress(address, words);
    if (family === 0) return;
    const other = port !== undefined && port !== this.listenPort ? port : 0;
    this.signals.announce({ id: this.paths.freshId(), family, words, port: other });
  }

  private expireSubflow(subflow: Subflow, now: number): void {
    if (subflow.suspectMs <= now && subflow.stage === Stage.SUSPECT) {
      probeSuspected(subflow, now);
    } else if (subflow.suspectMs <= now) {
      suspect(subflow, now);
      this.paths.subflowSuspect(subflow, now);
    }
    if (subflow.removeMs <= now) {
      subflow.removeMs = Infinity;
      if (subflow.stage === Stage.SUSPECT) {
        subflow.reset(
          { reason: ResetReason.UNSPECIFIED, text: 'the peer withdrew the address', transient: true },
          now,
        );
        return;
      }
    }
    const join = subflow.join;
    if (join !== null && join.thirdAckMs <= now) {
      // RFC 8684 §3.2: "the packet MUST be retransmitted if this ACK is not received".
      join.thirdAcks++;
      join.thirdAckMs = now + subflow.tcb.rtt.rtoMs * 2 ** join.thirdAcks;
      subflow.tcb.ackPending = true;
      if (join.thirdAcks > this.env.config.synRetries) {
        subflow.reset(
          { reason: ResetReason.UNSPECIFIED, text: 'the HMAC was never acknowledged', transient: true },
          now,
        );
        return;
      }
    }
    if (subflow.tcb.nextDeadline() <= now) expireTimers(subflow.tcb, now);
  }

  /** RFC 8684 §3.3.6: what the subflows have acknowledged and the connection has not is sent again. */
  private dataTimeout(now: number): void {
    this.dataTimerMs = Infinity;
    this.dataBackoff = Math.min(this.dataBackoff + 1, 8);
    if (this.isDone || this.plain !== null) return;
    if (this.dataUna < this.dataNxt) {
      const inFlight = this.subflows.some(s => s.sendMap.overlaps(this.dataUna, this.dataUna + 1));
      if (!inFlight)
        this.reinjection.add(this.dataUna, Math.min(this.dataNxt, this.dataUna + REINJECT_BYTES));
    } else if (this.dataFinDue) {
      // On every subflow: the one that seems best may be the one that is dead.
      this.dataFinQueued = true;
      this.keysSent = false;
      this.ackEverywhere();
      // Nothing of ours was ever confirmed: a middlebox may hide the DATA_FIN, but not a FIN.
      if (!this.confirmed && this.dataBackoff >= 2) for (const s of this.subflows) s.tcb.shutdown();
    } else {
      return;
    }
    this.startDataTimer(now);
  }

  private ackEverywhere(): void {
    for (const subflow of this.subflows) if (subflow.isOpen) subflow.tcb.ackPending = true;
  }

  private startOrphanTimer(now: number): void {
    if (this.orphanMs === Infinity && !this.isDone) this.orphanMs = now + this.env.config.dataTimeoutMs;
  }

  /**
   * RFC 8684 §3.3.3: "A connection is considered closed once both hosts' DATA_FINs have been acknowledged".
   */
  private maybeFinish(now: number): void {
    if (!this.isFinished || this.isDone) return;
    this.closeSubflows(now);
    this.finish({ code: null, text: 'closed in order' });
  }

  /** RFC 8684 §3.3.3: "all remaining subflows MUST be closed with standard FIN exchanges". */
  private closeSubflows(now: number): void {
    for (const subflow of [...this.subflows]) {
      if (subflow.stage === Stage.SUSPECT || !subflow.tcb.isSynchronized) {
        // Unfinished handshakes and silent paths with stale data are reset (reason 4).
        subflow.resetReason = ResetReason.OUTSTANDING;
        subflow.tcb.abort();
        this.drop(subflow);
        continue;
      }
      subflow.stage = Stage.CLOSING;
      // Its FIN may have been acknowledged long ago: FIN-WAIT-2 must end by itself then.
      subflow.tcb.orphan(now);
      subflow.tcb.shutdown();
    }
  }

  /** The bytes are needed as long as a closing subflow may have to repeat them. */
  private discardSent(): void {
    if (this.isDone && this.subflows.length === 0) this.sendBuffer.discard();
  }

  /** Hands TCP blocks that have nothing left to do back to the host. */
  private sweep(): void {
    for (let i = this.lingering.length - 1; i >= 0; i--) {
      const { tcb } = this.lingering[i];
      if (!tcb.isReleased) continue;
      this.lingering.splice(i, 1);
      this.owner.tcbReleased(tcb);
    }
  }
}

interface NewSubflow {
  initial: boolean;
  join: JoinState | null;
  localAddressId: number;
  name?: string;
  backup?: boolean;
  cost?: number;
}

const REINJECT_BYTES = 65_534;
const SUBFLOW_KEEPALIVE_INTERVAL_MS = 2_000;
const SUBFLOW_KEEPALIVE_PROBES = 5;
