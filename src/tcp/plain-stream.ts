// Decides how a byte stream maps onto one TCP connection without MPTCP: the null extension. Also what an
// MPTCP connection becomes when it falls back: the same buffers, with the constant that leads from ssn to
// stream offset.
// Before on the walk: tcp/input; after: host/connection. Out: host/connection, then tcp/output.

import type { Segment } from '../wire/index.ts';
import { Busy } from './busy.ts';
import { type ByteStream, Ready, type StreamOwner } from './byte-stream.ts';
import type { CloseReason, Extension } from './extension.ts';
import {
  armPersist,
  segmentBytes,
  transmitAck,
  transmitControl,
  transmitData,
  transmitFin,
} from './output.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { SendBuffer } from './send-buffer.ts';
import { isSynchronized, maySend, State } from './state.ts';
import { holdAfter, type Tcb } from './tcb.ts';
import { expireTimers } from './timers.ts';

export interface PlainStreamOptions {
  owner: StreamOwner;
  sendBuffer: SendBuffer;
  receiveBuffer: ReceiveBuffer;
  /** stream offset = ssn + shift; 0 unless the stream began as MPTCP. */
  sendShift?: number;
  receiveShift?: number;
}

export class PlainStream implements ByteStream, Extension {
  dataOptionBytes: number = 0;
  /** Set by whoever creates the TCP connection around this stream. */
  tcb!: Tcb;
  private readonly owner: StreamOwner;
  readonly sendBuffer: SendBuffer;
  readonly receiveBuffer: ReceiveBuffer;
  protected readonly sendShift: number;
  private readonly receiveShift: number;
  private peerFinished = false;
  private released = false;
  /** The application has said that it reads no more (SHUT_RD). */
  readsNoMore: boolean = false;
  wantsRoom: boolean = false;

  constructor(options: PlainStreamOptions) {
    this.owner = options.owner;
    this.sendBuffer = options.sendBuffer;
    this.receiveBuffer = options.receiveBuffer;
    this.sendShift = options.sendShift ?? 0;
    this.receiveShift = options.receiveShift ?? 0;
  }

  /** Takes over a stream in the middle of its life (fallback). */
  adopt(state: { peerFinished: boolean; released: boolean }): void {
    this.peerFinished = state.peerFinished;
    this.released = state.released;
    this.wantsRoom = true;
  }

  // ByteStream

  get readableBytes(): number {
    return this.receiveBuffer.readableBytes;
  }

  get writableBytes(): number {
    return this.tcb.finQueued ? 0 : this.sendBuffer.freeBytes;
  }

  get unacknowledgedBytes(): number {
    return this.sendBuffer.end - this.sendBuffer.start;
  }

  get ended(): boolean {
    return this.peerFinished && this.receiveBuffer.readableBytes === 0;
  }

  get isPeerFinished(): boolean {
    return this.peerFinished;
  }

  get isReleased(): boolean {
    return this.tcb.isReleased;
  }

  write(bytes: Uint8Array, offset: number, length: number, _now: number): number {
    if (this.tcb.finQueued || this.tcb.state === State.CLOSED) return 0;
    const taken = this.sendBuffer.write(bytes, offset, length);
    if (taken < length) this.wantsRoom = true;
    return taken;
  }

  read(into: Uint8Array, offset: number, length: number, now: number): number {
    const taken = this.receiveBuffer.read(into, offset, length);
    if (taken === 0) return 0;
    const { receiveRttMs, rcvMss, rcvScale } = this.tcb;
    this.receiveBuffer.tune(receiveRttMs, rcvMss, now);
    if (this.receiveBuffer.shouldUpdateWindow(rcvMss, rcvScale)) this.tcb.ackPending = true;
    return taken;
  }

  peek(into: Uint8Array, offset: number, length: number): number {
    return this.receiveBuffer.peek(into, offset, length);
  }

  shutdown(_now: number): void {
    this.tcb.shutdown();
  }

  close(now: number): void {
    if (this.released) return;
    this.released = true;
    // RFC 9293 §3.10.4 with RFC 2525 §2.17: closing with unread data resets, so that the peer learns of the
    // loss.
    if (this.receiveBuffer.readableBytes > 0) {
      this.tcb.env.counters.TCPAbortOnClose++;
      this.abort(now);
      return;
    }
    if (!isSynchronized(this.tcb.state) && this.tcb.state !== State.SYN_RECEIVED) {
      this.abort(now);
      return;
    }
    this.tcb.shutdown();
    this.tcb.orphan(now);
  }

  abort(_now: number): void {
    const open = this.tcb.state !== State.CLOSED;
    this.released = true;
    this.tcb.abort();
    this.discard();
    if (open) this.owner.streamClosed(ABORTED);
  }

  transmit(out: Uint8Array, offset: number, now: number): number {
    const tcb = this.tcb;
    let written = transmitControl(tcb, out, offset, now);
    if (written > 0) return written;
    const unsent = this.unsentBytes();
    if (unsent > 0) {
      const length = segmentBytes(tcb, unsent, true, tcb.finQueued);
      if (length > 0) return transmitData(tcb, out, offset, length, length === unsent, now);
    } else {
      written = transmitFin(tcb, out, offset, now);
      if (written > 0) return written;
    }
    written = transmitAck(tcb, out, offset, now);
    if (written > 0) return written;
    armPersist(tcb, now);
    tcb.busy ??= new Busy();
    tcb.busy.note(tcb, this.unsentBytes(), this.wantsRoom && this.sendBuffer.freeBytes === 0, now);
    return 0;
  }

  nextDeadline(): number {
    return this.tcb.nextDeadline();
  }

  expire(now: number): void {
    expireTimers(this.tcb, now);
  }

  setNoDelay(on: boolean): void {
    this.tcb.noDelay = on;
    if (on && this.unsentBytes() > 0) this.tcb.releaseHeld = true;
  }

  setHold(bit: number, on: boolean): void {
    this.tcb.hold = holdAfter(this.tcb.hold, bit, on);
  }

  setKeepAlive(on: boolean, idleMs: number, now: number): void {
    const config = this.tcb.env.config;
    this.tcb.setKeepAlive(
      {
        idleMs: on ? idleMs || config.keepAliveIdleMs : 0,
        intervalMs: config.keepAliveIntervalMs,
        probes: config.keepAliveProbes,
      },
      now,
    );
  }

  // Extension

  synOptions(_segment: Segment, _synAck: boolean, _now: number): void {}

  dataOptions(_segment: Segment, _ssn: number, _length: number, _now: number): void {}

  ackOptions(_segment: Segment, _now: number): void {}

  resetOptions(_segment: Segment): void {}

  admits(_segment: Segment): boolean {
    return true;
  }

  received(_segment: Segment, _ssn: number, _ack: number, _now: number): boolean {
    return true;
  }

  resetReceived(_segment: Segment, _now: number): void {}

  established(_now: number): void {
    this.owner.streamReady(Ready.CONNECTED | Ready.WRITABLE);
  }

  windowBytes(): number {
    return this.receiveBuffer.windowBytes;
  }

  offerWindow(scale: number, minStepBytes: number): number {
    return this.receiveBuffer.offer(scale, minStepBytes);
  }

  payload(ssn: number, bytes: Uint8Array, offset: number, length: number, now: number): void {
    if (this.released) {
      // RFC 9293 §3.10.7.4 and RFC 1122 §4.2.2.13: data for nobody is answered with a reset.
      this.tcb.env.counters.TCPAbortOnData++;
      this.abort(now);
      return;
    }
    if (this.readsNoMore && !maySend(this.tcb.state)) {
      // RFC 1122 §4.2.2.13: both directions were shut down here, and the peer learns that its data is lost.
      this.tcb.env.counters.TCPAbortOnData++;
      this.tcb.abort();
      this.discard();
      this.owner.streamClosed({
        code: 'ECONNRESET',
        text: 'data arrived after both directions were shut down',
      });
      return;
    }
    const before = this.receiveBuffer.next;
    this.receiveBuffer.insert(ssn + this.receiveShift, bytes, offset, length);
    if (this.receiveBuffer.next > before) this.owner.streamReady(Ready.READABLE);
  }

  finReceived(_now: number): void {
    this.peerFinished = true;
    this.owner.streamReady(Ready.READABLE | Ready.END);
  }

  timeWait(_now: number): void {
    this.sendBuffer.discard();
    this.owner.streamClosed(ORDERLY);
  }

  acknowledged(ssn: number, _now: number): void {
    this.sendBuffer.release(ssn + this.sendShift);
    this.sendBuffer.expand(WINDOWS_BUFFERED * this.tcb.congestion.cwndBytes);
    if (this.wantsRoom && this.sendBuffer.freeBytes > 0) {
      this.wantsRoom = false;
      this.owner.streamReady(Ready.WRITABLE);
    }
  }

  unsentBytes(): number {
    if (this.tcb.finSsn !== -1) return 0;
    return Math.max(0, this.sendBuffer.end - (this.tcb.sndNxt + this.sendShift));
  }

  windowBlocked(): boolean {
    return false;
  }

  contiguous(_ssn: number, length: number): number {
    return length;
  }

  copy(ssn: number, length: number, out: Uint8Array, offset: number): void {
    this.sendBuffer.copy(ssn + this.sendShift, length, out, offset);
  }

  earlyBytes(): number {
    return this.sendBuffer.end - this.sendBuffer.start;
  }

  earlyAcknowledged(_length: number, _now: number): void {}

  earlyPayload(bytes: Uint8Array, offset: number, length: number, _now: number): void {
    this.receiveBuffer.insert(1 + this.receiveShift, bytes, offset, length);
    this.owner.streamReady(length > 0 ? EARLY | Ready.READABLE : EARLY);
  }

  timedOut(_now: number): void {}

  closed(reason: CloseReason, _now: number): void {
    this.discard();
    this.owner.streamClosed(reason);
  }

  private discard(): void {
    this.sendBuffer.discard();
    if (this.released) this.receiveBuffer.discard();
  }
}

const EARLY = Ready.CONNECTED | Ready.WRITABLE;
/** One in flight, one that follows without a pause when it is acknowledged. */
const WINDOWS_BUFFERED = 2;
const ORDERLY: CloseReason = { code: null, text: 'closed in order' };
const ABORTED: CloseReason = { code: null, text: 'aborted by the application' };
