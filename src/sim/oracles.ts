// What must hold in every world, whatever was drawn. Each oracle is a check that can fail on its own:
// the tests feed each of them a world that is broken in its way. (That every byte is the right one at
// the right place is checked by application.ts as it reads.) RFC 6298 §5 for the bound on progress.
// Before it: world.ts calls, now and then and at the end. After it: a list of failures, each of which
// makes the seed a failing seed.

import type { Application } from './application.ts';
import type { ConnectionRun, PathRun } from './connection-run.ts';

/** A promise that was broken. */
export interface Failure {
  oracle: OracleName;
  message: string;
  timeMs: number;
}

/** The promises. */
export const ORACLES = {
  content: 'bytes arrive exactly once, in order, unchanged, and not after the end',
  truncated: 'the end of a stream is seen only after all of its bytes',
  finish: 'both ends finish; with an error only if the scenario explains one',
  progress: 'bytes wanted and readable are delivered while a path works',
  news: 'an application is told when there is something to do',
  memory: 'no buffer holds more than it was configured for',
  leftover: 'nothing is left of a closed connection: no timer, no entry, no port, no packet',
  fallback: 'a connection falls back only for a reason',
  join: 'where nothing goes wrong every path is joined',
  wire: 'packets fit the interface they leave by',
  livelock: 'time passes',
  exception: 'nothing is thrown',
} as const;

export type OracleName = keyof typeof ORACLES;

/** One direction of a connection, watched for standstill. */
export class ProgressWatch {
  private readonly name: string;
  private readonly sender: Application;
  private readonly receiver: Application;
  private state = '';
  private progressMs: number;
  private acknowledged = -1;
  private acknowledgedMs: number;
  /** When the sender last heard that more has arrived. */
  private heardMoreMs: number;
  private possibleSinceMs: number;
  private readonly workingSinceMs: Map<PathRun, number> = new Map();

  constructor(options: { name: string; sender: Application; receiver: Application; nowMs: number }) {
    this.name = options.name;
    this.sender = options.sender;
    this.receiver = options.receiver;
    this.progressMs = options.nowMs;
    this.acknowledgedMs = options.nowMs;
    this.heardMoreMs = options.nowMs;
    this.possibleSinceMs = options.nowMs;
  }

  /**
   * Looks at one instant. `runnableSinceMs` is since when both machines run; `lossless`, that nothing was
   * lost on the first path; `working` gives the paths that should carry data. Returns what is wrong, '' if
   * nothing.
   */
  check(
    nowMs: number,
    options: { runnableSinceMs: number; boundMs: number; lossless: boolean; working: () => PathRun[] },
  ): string {
    this.noteAcknowledgement(nowMs);
    const state = this.describe();
    if (state !== this.state) {
      this.state = state;
      this.progressMs = nowMs;
      this.possibleSinceMs = nowMs;
      this.workingSinceMs.clear();
      return '';
    }
    if (!this.isWanted(nowMs, options.lossless)) {
      this.possibleSinceMs = nowMs;
      this.workingSinceMs.clear();
      return '';
    }
    if (options.runnableSinceMs > this.possibleSinceMs) this.possibleSinceMs = options.runnableSinceMs;
    if (nowMs <= this.possibleSinceMs + options.boundMs) return '';
    return this.checkPaths(nowMs, options.boundMs, options.working());
  }

  /*
   * The bound. A sender that hears nothing tries again after RTO, 2 RTO, 4 RTO … (RFC 6298 §5.5). When the
   * last packet was lost at D and the sender last heard of progress at L, the tries so far took D - L, and
   * the next one comes no later than D + (D - L) + RTO: waiting doubles, so each wait is the sum of those
   * before it and one. Without any loss there is nothing to wait for but a round trip or one RTO. So a
   * standstill is allowed until
   *   max(possible since, D) + min(D - L, RTO max) + bound,
   * on a path that is up and has a subflow at the sender, with D the last loss on that path in either
   * direction, a cut included. `bound` is several round trips with full queues and several initial RTOs
   * over the slowest path of the connection, since what waits may first have to be given up on that one. It
   * does not depend on luck: however often packets are lost, each loss only moves the limit by what the
   * loss explains. What the sender hears, late as it may be, is where it goes on from: D is no earlier.
   */
  private checkPaths(nowMs: number, boundMs: number, working: readonly PathRun[]): string {
    for (const path of working) {
      if (!path.up) {
        this.workingSinceMs.delete(path);
        continue;
      }
      const workingSinceMs = this.workingSinceMs.get(path) ?? nowMs;
      this.workingSinceMs.set(path, workingSinceMs);
      const lossMs = Math.max(path.forward.lastLossMs, path.backward.lastLossMs);
      const heardMs = Math.min(this.progressMs, this.acknowledgedMs);
      const backoffMs = Math.min(Math.max(0, lossMs - heardMs), RTO_MAX_MS);
      const goesOnMs = Math.max(lossMs, this.heardMoreMs);
      const sinceMs = Math.max(this.possibleSinceMs, workingSinceMs, path.upSinceMs, goesOnMs);
      if (nowMs > sinceMs + backoffMs + boundMs) {
        const standstill = `${((nowMs - this.progressMs) / 1000).toFixed(1)} s`;
        return `${this.name}: no progress for ${standstill} although path ${path.name} works (${this.state})`;
      }
    }
    return '';
  }

  /*
   * When the last step of the handshake is lost, a client with nothing to send does not know; the server
   * repeats its SYN/ACK, but sends an address it has not heard of at most three times what it received, and
   * may have to stop. Only what the client sends next, a keepalive at the latest, helps it on.
   */
  private isWanted(nowMs: number, lossless: boolean): boolean {
    const { sender, receiver } = this;
    if (sender.connection === undefined || sender.closed || sender.aborted || receiver.aborted) return false;
    if (!sender.connected) return true;
    if (receiver.connection === undefined)
      return lossless || sender.writtenBytes > 0 || sender.finishedWriting;
    if (receiver.done) return false;
    if (!receiver.isReading(nowMs)) return false;
    if (sender.blocked && !sender.released) return true;
    if (sender.writtenBytes > receiver.receivedBytes) return true;
    return sender.finishedWriting && !receiver.ended;
  }

  // When the sender last heard that something arrived, or had nothing to hear of.
  private noteAcknowledgement(nowMs: number): void {
    const { sender } = this;
    const waitingBytes = sender.connection?.unacknowledgedBytes ?? 0;
    const acknowledged = sender.writtenBytes - waitingBytes;
    const isMore = acknowledged !== this.acknowledged;
    if (isMore) this.heardMoreMs = nowMs;
    if (waitingBytes > 0 && !isMore) return;
    this.acknowledged = acknowledged;
    this.acknowledgedMs = nowMs;
  }

  private describe(): string {
    const { sender, receiver } = this;
    const flags = [
      sender.connected ? 'connected' : 'connecting',
      receiver.connection === undefined ? 'not accepted' : 'accepted',
      ...(sender.finishedWriting ? ['all written'] : []),
      ...(sender.closed ? ['closed'] : []),
      ...(receiver.ended ? ['end seen'] : []),
      ...(receiver.done ? ['receiver done'] : []),
    ];
    return `${flags.join(', ')}, ${receiver.receivedBytes} of ${sender.writtenBytes} bytes delivered`;
  }
}

/** How long a standstill needs no explanation; see `ProgressWatch.checkPaths`. */
export function progressBoundMs(slowestRttMs: number): number {
  return 5_000 + 4 * Math.max(1_000, 3 * slowestRttMs);
}

/** A promise broken, without the time. */
export interface Broken {
  oracle: OracleName;
  message: string;
}

/** No buffer holds more than it was configured for. Cheap: runs after every turn of the host. */
export function checkBuffers(
  app: Application,
  limits: { sendBytes: number; receiveBytes: number },
): Broken | null {
  const connection = app.connection;
  if (connection === undefined || app.done) return null;
  const held = Math.max(connection.unsentBytes, connection.unacknowledgedBytes);
  if (held > limits.sendBytes) {
    return {
      oracle: 'memory',
      message: `${app.name}: ${held} bytes to send held, ${limits.sendBytes} allowed`,
    };
  }
  if (connection.readableBytes > limits.receiveBytes) {
    const message = `${app.name}: ${connection.readableBytes} bytes to read held`;
    return { oracle: 'memory', message: `${message}, ${limits.receiveBytes} allowed` };
  }
  return null;
}

/**
 * The application waits for news although there is something to do. Only right after the host was drained.
 */
export function checkNews(app: Application, nowMs: number): Broken | null {
  const connection = app.connection;
  if (connection === undefined || !app.isReading(nowMs)) return null;
  if (connection.readableBytes > 0) {
    return { oracle: 'news', message: `${app.name}: ${connection.readableBytes} bytes to read, not told` };
  }
  if (connection.ended && !app.ended) return { oracle: 'news', message: `${app.name}: not told of the end` };
  return null;
}

/**
 * At the end of a stream: all of it was delivered. Also when the peer aborted: that must not look like an
 * end.
 */
export function checkStream(name: string, sender: Application, receiver: Application): Broken[] {
  const broken: Broken[] = [];
  if (receiver.receivedBytes > sender.writtenBytes) {
    const message = `${name}: ${receiver.receivedBytes} bytes delivered, ${sender.writtenBytes} written`;
    broken.push({ oracle: 'content', message });
  }
  if (!receiver.ended) return broken;
  if (!sender.finishedWriting) broken.push({ oracle: 'truncated', message: `${name}: end seen, none made` });
  if (receiver.receivedBytes < sender.writtenBytes) {
    const message = `${name}: end seen after ${receiver.receivedBytes} of ${sender.writtenBytes} bytes`;
    broken.push({ oracle: 'truncated', message });
  }
  return broken;
}

/** When a world is over: how a connection ended. `excuse` says why it may have failed, '' for no reason. */
export function checkOutcome(run: ConnectionRun, excuse: string): Broken[] {
  const { client, server } = run;
  const broken: Broken[] = [];
  const fail = (message: string) => broken.push({ oracle: 'finish', message });
  if (!run.done) {
    const left = client.done ? server : client;
    fail(`${left.name} has not finished: ${left.receivedBytes} read, ${left.writtenBytes} written`);
    return broken;
  }
  for (const app of [client, server]) {
    if (app.error !== null && !ERROR_CODES.has(app.error)) fail(`${app.name}: unknown error ${app.error}`);
    if (app.error !== null && excuse === '') {
      fail(`${app.name} failed without reason: ${app.error}, ${app.errorReason}`);
    }
  }
  if (excuse !== '') return broken;
  for (const [sender, receiver] of [
    [client, server],
    [server, client],
  ]) {
    if (sender.writtenBytes < sender.totalBytes) fail(`${sender.name}: could not write everything`);
    if (receiver.receivedBytes < sender.totalBytes) {
      fail(`${receiver.name}: ${receiver.receivedBytes} of ${sender.totalBytes} bytes read`);
    }
  }
  return broken;
}

/**
 * Multipath was lost only where something got in its way, and used fully where nothing did. `disturbed`:
 * packets of the first path were lost, or lost their options.
 */
export function checkMultipath(
  run: ConnectionRun,
  options: { benign: boolean; disturbed: boolean },
): Broken[] {
  const broken: Broken[] = [];
  const { plan } = run;
  const fallback = run.clientInfo?.fallback ?? run.serverInfo?.fallback ?? null;
  if (plan.multipath && plan.serverMultipath && fallback !== null && !options.disturbed) {
    broken.push({
      oracle: 'fallback',
      message: `${run.client.name}: ${fallback.cause}, nothing was in the way`,
    });
  }
  if (!options.benign || run.isPlain || !hadTimeToJoin(run)) return broken;
  for (const path of run.paths) {
    if (!path.wasActive) {
      broken.push({ oracle: 'join', message: `${run.client.name}: path ${path.path.name} was never used` });
    }
  }
  return broken;
}

// A join needs a round trip for the first data and its acknowledgement, and two of its own path; it is not
// worth one when both ends have said all they have to say.
function hadTimeToJoin(run: ConnectionRun): boolean {
  const { client, server } = run;
  const slowestRttMs = Math.max(...run.paths.map(one => one.path.maxRttMs));
  const fromMs = Math.max(client.connectedMs, Math.min(client.firstWriteMs, server.firstWriteMs));
  const saidMs = Math.max(client.finishedWritingMs, server.finishedWritingMs);
  const untilMs = Math.min(saidMs, client.leftMs, server.leftMs);
  return untilMs - fromMs > 4 * slowestRttMs + 1_000;
}

/** A connection can end with one of these. */
const ERROR_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'EPIPE',
]);
const RTO_MAX_MS = 120_000;
