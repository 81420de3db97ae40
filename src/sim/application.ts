// An application on one end of a connection, told what to do by a plan: what it sends and when, how it reads,
// how it lets go. Bulk transfer, request and response, a server that speaks first, a slow reader, a bursty
// writer, half-close in either order, an abort: each is a plan (draw.ts draws them), none is its own code.
// It sends content.ts and compares all it reads with it, at once; it stores nothing.
// Before it: driver.ts hands it the events of its connection. After it: oracles.ts reads what it has done.

import { type Connection, Ready } from '../host/index.ts';
import { fillContent, matchingContent } from './content.ts';

/** A piece of what an application sends, and what it waits for before it does. */
export interface SendStep {
  bytes: number;
  /** Not before so many bytes of the peer have been read: a reply to a request. */
  afterReceivedBytes?: number;
  /** Pause before this step, in milliseconds. */
  gapMs?: number;
}

/** A time in which the application reads nothing although there is something to read. */
export interface ReadPause {
  atReceivedBytes: number;
  forMs: number;
}

/** How an application ends: see `ApplicationPlan.finish`. */
export type Finish = 'shutdown' | 'close' | 'wait' | 'abort';

/** What an application does with its connection. */
export interface ApplicationPlan {
  send: SendStep[];
  /** Most bytes handed over in one write. */
  writeBytes: number;
  /** Most bytes taken in one read. */
  readBytes: number;
  /** Time between two reads of a slow reader; 0 reads everything as it comes. */
  readEveryMs: number;
  pauses: ReadPause[];
  /**
   * Once all is sent (`abort`: at once) and the conditions below hold: `shutdown` ends its own direction,
   * reads to the peer's end, then closes; `close` lets go of everything; `wait` does nothing until the peer
   * has ended, then closes; `abort` resets the connection.
   */
  finish: Finish;
  finishAfterReceivedBytes: number;
  finishAfterWrittenBytes: number;
  finishAfterMs: number;
  noDelay: boolean;
  /** Keepalive idle time, 0 for none. */
  keepAliveMs: number;
}

/** What the world offers an application. */
export interface ApplicationContext {
  /** Calls the application's `wake` at this time. */
  wakeAt(timeMs: number): void;
  /** Something an oracle must know: the connection broke a promise. */
  violation(oracle: 'content', message: string): void;
  /** Told of every byte read, where somebody wants to know. */
  onRead?: ((app: Application, bytes: Uint8Array, offset: number, length: number) => void) | undefined;
}

/** One end of one connection: runs the plan, checks every byte, remembers what the oracles ask for. */
export class Application {
  readonly name: string;
  readonly plan: ApplicationPlan;
  /** Sum of all steps. */
  readonly totalBytes: number;
  connection: Connection | undefined;
  connected = false;
  writtenBytes = 0;
  receivedBytes = 0;
  /** When `receivedBytes` last grew, or the connection came to be. */
  lastReceivedMs = 0;
  connectedMs: number = Number.POSITIVE_INFINITY;
  firstWriteMs: number = Number.POSITIVE_INFINITY;
  /** No more will be written: `shutdown`, `close` or `abort` was called, and when. */
  finishedWriting = false;
  finishedWritingMs: number = Number.POSITIVE_INFINITY;
  /** When it let go, or was told that nothing more will happen. */
  leftMs: number = Number.POSITIVE_INFINITY;
  /** The peer's end of stream was seen. */
  ended = false;
  /** `close` or `abort` was called: nothing will be read any more. */
  released = false;
  aborted = false;
  /** The connection said that nothing more will happen. */
  closed = false;
  error: string | null = null;
  errorReason = '';
  /** Set while a write is waiting for WRITABLE. */
  blocked = false;
  /** Not reading before this time: a pause, or a slow reader between two reads. */
  readAgainMs = 0;

  private readonly context: ApplicationContext;
  private readonly sendKey: number;
  private readonly receiveKey: number;
  private readonly buffer: Uint8Array;
  private step = 0;
  private stepWritten = 0;
  private stepReadyMs = -1;
  private pause = 0;
  private finishDueMs = -1;

  constructor(options: {
    name: string;
    plan: ApplicationPlan;
    sendKey: number;
    receiveKey: number;
    buffer: Uint8Array;
    context: ApplicationContext;
  }) {
    this.name = options.name;
    this.plan = options.plan;
    this.context = options.context;
    this.sendKey = options.sendKey;
    this.receiveKey = options.receiveKey;
    this.buffer = options.buffer;
    this.totalBytes = options.plan.send.reduce((sum, step) => sum + step.bytes, 0);
  }

  /** The application has nothing more to do here. */
  get done(): boolean {
    return this.released || (this.closed && (this.error !== null || this.ended));
  }

  /** It takes whatever comes, at this time. */
  isReading(nowMs: number): boolean {
    return this.connection !== undefined && !this.done && nowMs >= this.readAgainMs;
  }

  /** Takes hold of its connection; a client does so before it is established. */
  attach(connection: Connection, nowMs: number): void {
    this.connection = connection;
    this.lastReceivedMs = nowMs;
    connection.userData = this;
    if (this.plan.noDelay) connection.setNoDelay(true, nowMs);
    if (this.plan.keepAliveMs > 0) connection.setKeepAlive(true, this.plan.keepAliveMs, nowMs);
  }

  /** The connection has news. */
  ready(events: number, nowMs: number): void {
    const connection = this.connection;
    if (connection === undefined) return;
    if (events & Ready.CONNECTED) {
      if (!this.connected) this.connectedMs = nowMs;
      this.connected = true;
      this.lastReceivedMs = nowMs;
    }
    if (events & Ready.WRITABLE) this.blocked = false;
    if (events & Ready.CLOSED && !this.closed) {
      this.closed = true;
      this.leftMs = Math.min(this.leftMs, nowMs);
      this.error = connection.error;
      this.errorReason = connection.errorReason;
    }
    if (!this.released) this.act(connection, nowMs);
  }

  /** A time it asked for has come. */
  wake(nowMs: number): void {
    if (this.connection !== undefined && !this.done) this.act(this.connection, nowMs);
  }

  // After an orderly close what has arrived can still be read.
  private act(connection: Connection, nowMs: number): void {
    this.read(connection, nowMs);
    if (this.closed) return;
    if (this.connected || connection.isDeferred) this.write(connection, nowMs);
    const mayFinish = this.connected || this.plan.finish === 'abort';
    if (mayFinish && !this.released) this.finish(connection, nowMs);
  }

  private read(connection: Connection, nowMs: number): void {
    while (nowMs >= this.readAgainMs) {
      const pause = this.plan.pauses[this.pause];
      if (pause !== undefined && this.receivedBytes >= pause.atReceivedBytes) {
        this.pause++;
        this.restUntil(nowMs + pause.forMs);
        return;
      }
      const wanted = Math.min(this.plan.readBytes, this.buffer.length);
      const length = connection.read(this.buffer, 0, wanted, nowMs);
      if (length <= 0) break;
      this.check(length, wanted);
      this.lastReceivedMs = nowMs;
      if (this.plan.readEveryMs > 0) this.restUntil(nowMs + this.plan.readEveryMs);
    }
    if (!this.ended && connection.ended) this.ended = true;
  }

  private check(length: number, wanted: number): void {
    this.context.onRead?.(this, this.buffer, 0, length);
    if (length > wanted) this.context.violation('content', `${this.name}: read ${length} of ${wanted} bytes`);
    const same = matchingContent(this.receiveKey, this.receivedBytes, this.buffer, 0, length);
    if (same < length) {
      this.context.violation('content', `${this.name}: wrong byte at offset ${this.receivedBytes + same}`);
    }
    if (this.ended) this.context.violation('content', `${this.name}: bytes after the end of the stream`);
    this.receivedBytes += length;
  }

  private restUntil(timeMs: number): void {
    this.readAgainMs = timeMs;
    this.context.wakeAt(timeMs);
  }

  private write(connection: Connection, nowMs: number): void {
    while (!this.blocked && !this.finishedWriting && this.step < this.plan.send.length) {
      const step = this.plan.send[this.step];
      if (!this.stepIsDue(step, nowMs)) return;
      const wanted = Math.min(this.plan.writeBytes, this.buffer.length, step.bytes - this.stepWritten);
      fillContent(this.sendKey, this.writtenBytes, this.buffer, 0, wanted);
      const taken = wanted === 0 ? 0 : connection.write(this.buffer, 0, wanted, nowMs);
      if (taken > wanted) this.context.violation('content', `${this.name}: ${taken} taken of ${wanted}`);
      if (taken > 0 && this.writtenBytes === 0) this.firstWriteMs = nowMs;
      this.writtenBytes += taken;
      this.stepWritten += taken;
      if (taken < wanted) this.blocked = true;
      if (this.stepWritten >= step.bytes) {
        this.step++;
        this.stepWritten = 0;
        this.stepReadyMs = -1;
      }
    }
  }

  private stepIsDue(step: SendStep, nowMs: number): boolean {
    if (this.receivedBytes < (step.afterReceivedBytes ?? 0)) return false;
    if (this.stepReadyMs < 0) {
      this.stepReadyMs = nowMs + (step.gapMs ?? 0);
      if (this.stepReadyMs > nowMs) this.context.wakeAt(this.stepReadyMs);
    }
    return nowMs >= this.stepReadyMs;
  }

  private finish(connection: Connection, nowMs: number): void {
    const plan = this.plan;
    if (this.finishedWriting) {
      if (this.ended) this.close(connection, nowMs);
      return;
    }
    if (plan.finish !== 'abort' && this.step < plan.send.length) return;
    if (this.writtenBytes < plan.finishAfterWrittenBytes) return;
    if (this.receivedBytes < plan.finishAfterReceivedBytes) return;
    if (plan.finish === 'wait' && !this.ended) return;
    if (this.finishDueMs < 0) {
      this.finishDueMs = nowMs + plan.finishAfterMs;
      if (plan.finishAfterMs > 0) this.context.wakeAt(this.finishDueMs);
    }
    if (nowMs < this.finishDueMs) return;
    this.finishedWriting = true;
    this.finishedWritingMs = nowMs;
    if (plan.finish === 'abort') {
      this.aborted = true;
      this.released = true;
      this.leftMs = nowMs;
      connection.abort(nowMs);
    } else if (plan.finish === 'shutdown') {
      connection.shutdown(nowMs);
      if (this.ended) this.close(connection, nowMs);
    } else this.close(connection, nowMs);
  }

  private close(connection: Connection, nowMs: number): void {
    if (!this.finishedWriting) this.finishedWritingMs = nowMs;
    this.finishedWriting = true;
    this.released = true;
    this.leftMs = Math.min(this.leftMs, nowMs);
    connection.close(nowMs);
  }
}
