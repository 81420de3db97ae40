// Every oracle must be able to fail: each is shown something broken in its way, and something whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Connection, Ready } from '../../src/host/index.ts';
import { Application } from '../../src/sim/application.ts';
import { addressKey, ConnectionRun, type PathRun } from '../../src/sim/connection-run.ts';
import { fillContent, streamKey } from '../../src/sim/content.ts';
import {
  checkBuffers,
  checkMultipath,
  checkNews,
  checkOutcome,
  checkStream,
  ProgressWatch,
  progressBoundMs,
} from '../../src/sim/oracles.ts';
import { simpleApplication, simplePlan } from '../../src/sim/simple-plan.ts';

const KEYS = [streamKey(1, 0, 0), streamKey(1, 0, 1)] as const;

/** A connection without a network: reads give what `incoming` holds, writes are taken whole. */
class FakeConnection {
  userData: unknown;
  incoming: Uint8Array = new Uint8Array(0);
  ended = false;
  error: string | null = null;
  errorReason = '';
  unsentBytes = 0;
  unacknowledgedBytes = 0;
  calls: string[] = [];

  get readableBytes(): number {
    return this.incoming.length;
  }

  read(into: Uint8Array, offset: number, length: number): number {
    const piece = this.incoming.subarray(0, length);
    into.set(piece, offset);
    this.incoming = this.incoming.subarray(piece.length);
    return piece.length;
  }

  write(_bytes: Uint8Array, _offset: number, length: number): number {
    return length;
  }

  shutdown(): void {
    this.calls.push('shutdown');
  }

  close(): void {
    this.calls.push('close');
  }

  abort(): void {
    this.calls.push('abort');
  }
}

interface End {
  app: Application;
  connection: FakeConnection;
  violations: string[];
}

function makeEnd(
  side: 0 | 1,
  options: { sendBytes?: number; finish?: 'shutdown' | 'wait' | 'abort' } = {},
): End {
  const violations: string[] = [];
  const app = new Application({
    name: side === 0 ? 'client' : 'server',
    plan: simpleApplication({ sendBytes: options.sendBytes ?? 0, finish: options.finish ?? 'wait' }),
    sendKey: KEYS[side],
    receiveKey: KEYS[1 - side],
    buffer: new Uint8Array(65_536),
    context: {
      wakeAt: () => {},
      violation: (oracle, message) => violations.push(`${oracle}: ${message}`),
    },
  });
  const connection = new FakeConnection();
  app.attach(connection as unknown as Connection, 0);
  app.ready(Ready.CONNECTED | Ready.WRITABLE, 0);
  return { app, connection, violations };
}

function stream(key: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  fillContent(key, from, bytes, 0, length);
  return bytes;
}

function deliver(end: End, ...pieces: Uint8Array[]): void {
  for (const piece of pieces) {
    end.connection.incoming = piece;
    end.app.ready(Ready.READABLE, 1);
  }
}

test('content: the right bytes are taken without complaint', () => {
  const end = makeEnd(1);
  deliver(end, stream(KEYS[0], 0, 5000), stream(KEYS[0], 5000, 70_000), stream(KEYS[0], 75_000, 1));
  assert.deepEqual(end.violations, []);
  assert.equal(end.app.receivedBytes, 75_001);
});

const WRONG: readonly (readonly [string, Uint8Array[]])[] = [
  ['lost', [stream(KEYS[0], 0, 1000), stream(KEYS[0], 1001, 1000)]],
  ['delivered twice', [stream(KEYS[0], 0, 1000), stream(KEYS[0], 999, 1000)]],
  ['out of order', [stream(KEYS[0], 1000, 1000), stream(KEYS[0], 0, 1000)]],
  ['of the other direction', [stream(KEYS[1], 0, 1000)]],
  ['of another connection', [stream(streamKey(1, 1, 0), 0, 1000)]],
];
for (const [what, pieces] of WRONG) {
  test(`content: bytes ${what} are noticed`, () => {
    const end = makeEnd(1);
    deliver(end, ...pieces);
    assert.match(end.violations[0] ?? '', /^content: server: wrong byte/);
  });
}

test('content: a changed bit and bytes after the end are noticed', () => {
  const changed = makeEnd(1);
  const bytes = stream(KEYS[0], 0, 1000);
  bytes[777] ^= 1;
  deliver(changed, bytes);
  assert.deepEqual(changed.violations, ['content: server: wrong byte at offset 777']);
  const late = makeEnd(1, { finish: 'shutdown' });
  late.app.released = false;
  late.app.ended = true;
  late.app.plan.finish = 'abort';
  late.app.finishedWriting = false;
  late.app.plan.finishAfterReceivedBytes = 5000;
  deliver(late, stream(KEYS[0], 0, 10));
  assert.match(late.violations[0] ?? '', /after the end/);
});

test('truncated: an end before all bytes, or that nobody made', () => {
  const sender = makeEnd(0, { sendBytes: 1000, finish: 'shutdown' });
  const receiver = makeEnd(1);
  deliver(receiver, stream(KEYS[0], 0, 1000));
  assert.deepEqual(checkStream('up', sender.app, receiver.app), []);
  receiver.connection.ended = true;
  receiver.app.ready(Ready.END, 1);
  assert.deepEqual(checkStream('up', sender.app, receiver.app), []);
  receiver.app.receivedBytes = 999;
  assert.equal(checkStream('up', sender.app, receiver.app)[0]?.oracle, 'truncated');
  receiver.app.receivedBytes = 1001;
  assert.equal(checkStream('up', sender.app, receiver.app)[0]?.oracle, 'content');
  receiver.app.receivedBytes = 1000;
  sender.app.finishedWriting = false;
  assert.match(checkStream('up', sender.app, receiver.app)[0]?.message ?? '', /none made/);
});

function path(name: string): PathRun {
  const lost = { lostPackets: 0, lostSyns: 0, lastLossMs: Number.NEGATIVE_INFINITY, longestLossSpanMs: 0 };
  const lane = (): object => ({ ...lost, to: { present: true } });
  return {
    index: 0,
    name,
    forward: lane(),
    backward: lane(),
    clear: true,
    reorders: false,
    maxRttMs: 100,
    up: true,
    upSinceMs: 0,
    downSinceMs: 0,
    longestOutageMs: 0,
  } as unknown as PathRun;
}

/** Looks once a second from 0 to `untilMs`; the time of the first complaint, -1 for none. */
function stallSeenMs(
  ends: { sender: End; receiver: End },
  paths: PathRun[],
  untilMs: number,
  each: (nowMs: number) => void = () => {},
): number {
  const watch = new ProgressWatch({
    name: 'up',
    sender: ends.sender.app,
    receiver: ends.receiver.app,
    nowMs: 0,
  });
  for (let nowMs = 0; nowMs <= untilMs; nowMs += 1000) {
    each(nowMs);
    const options = { runnableSinceMs: 0, boundMs: BOUND_MS, lossless: true, working: () => paths };
    if (watch.check(nowMs, options) !== '') return nowMs;
  }
  return -1;
}

const BOUND_MS = progressBoundMs(100);
const stalled = () => ({ sender: makeEnd(0, { sendBytes: 1000, finish: 'shutdown' }), receiver: makeEnd(1) });

test('progress: a standstill on a working path is noticed, soon', () => {
  const seenMs = stallSeenMs(stalled(), [path('p')], 1_000_000);
  assert.ok(seenMs > 0 && seenMs < 3 * BOUND_MS, `${seenMs}`);
});

test('progress: also when only the end is missing, or the connection is not accepted', () => {
  const ends = stalled();
  deliver(ends.receiver, stream(KEYS[0], 0, 1000));
  assert.ok(stallSeenMs(ends, [path('p')], 1_000_000) > 0);
  const alone = { sender: makeEnd(0), receiver: makeEnd(1) };
  alone.receiver.app.connection = undefined;
  assert.ok(stallSeenMs(alone, [path('p')], 1_000_000) > 0);
});

test('progress: one working path among dead ones is enough', () => {
  const dead = path('dead');
  dead.up = false;
  assert.ok(stallSeenMs(stalled(), [dead, path('p')], 1_000_000) > 0);
});

test('progress: no complaint while nothing is wanted, nothing works, nobody reads, or bytes move', () => {
  const idle = { sender: makeEnd(0), receiver: makeEnd(1) };
  assert.equal(stallSeenMs(idle, [path('p')], 1_000_000), -1);
  assert.equal(stallSeenMs(stalled(), [], 1_000_000), -1);
  const dead = path('dead');
  dead.up = false;
  assert.equal(stallSeenMs(stalled(), [dead], 1_000_000), -1);
  const asleep = stalled();
  asleep.receiver.app.readAgainMs = Number.POSITIVE_INFINITY;
  assert.equal(stallSeenMs(asleep, [path('p')], 1_000_000), -1);
  const moving = stalled();
  const seenMs = stallSeenMs(moving, [path('p')], 1_000_000, nowMs => {
    if (nowMs % 10_000 === 0) moving.receiver.app.receivedBytes++;
  });
  assert.equal(seenMs, -1);
});

test('progress: losses explain as much waiting as a retransmission timer that doubles, not more', () => {
  const lossy = path('lossy');
  const backingOff = stallSeenMs(stalled(), [lossy], 1_000_000, nowMs => {
    for (let retryMs = 1000; retryMs <= 64_000; retryMs *= 2) {
      if (nowMs >= retryMs) (lossy.forward as { lastLossMs: number }).lastLossMs = retryMs;
    }
  });
  assert.ok(backingOff > 128_000, `the try at 128 s may still come: ${backingOff}`);
  assert.ok(backingOff < 128_000 + 3 * BOUND_MS, `${backingOff}`);
});

test('news: something to read, or the end, that the application was not told of', () => {
  const end = makeEnd(1);
  assert.equal(checkNews(end.app, 1), null);
  end.connection.incoming = new Uint8Array(1);
  assert.equal(checkNews(end.app, 1)?.oracle, 'news');
  end.app.readAgainMs = 2;
  assert.equal(checkNews(end.app, 1), null);
  const ended = makeEnd(1);
  ended.connection.ended = true;
  assert.equal(checkNews(ended.app, 1)?.oracle, 'news');
});

test('memory: more held than configured', () => {
  const limits = { sendBytes: 1000, receiveBytes: 500 };
  const end = makeEnd(1);
  end.connection.unsentBytes = 600;
  end.connection.unacknowledgedBytes = 1000;
  end.connection.incoming = new Uint8Array(500);
  assert.equal(checkBuffers(end.app, limits), null);
  end.connection.unacknowledgedBytes++;
  assert.equal(checkBuffers(end.app, limits)?.oracle, 'memory');
  end.connection.unacknowledgedBytes--;
  end.connection.incoming = new Uint8Array(501);
  assert.equal(checkBuffers(end.app, limits)?.oracle, 'memory');
});

function makeRun(client: End, server: End, paths: PathRun[]): ConnectionRun {
  const link = { forward: {}, backward: {} };
  const run = new ConnectionRun({
    index: 0,
    plan: simplePlan({ seed: 1, paths: paths.map(() => link) }).connections[0],
    client: client.app,
    server: server.app,
    pathByAddresses: new Map(paths.map(one => [addressKey(one.name, 'server'), one])),
  });
  for (const [i, one] of paths.entries()) run.usePath({ interface: i, backup: false }, one);
  return run;
}

function finished(): { client: End; server: End; run: ConnectionRun } {
  const client = makeEnd(0, { sendBytes: 1000, finish: 'shutdown' });
  const server = makeEnd(1);
  deliver(server, stream(KEYS[0], 0, 1000));
  server.connection.ended = true;
  server.app.ready(Ready.END, 2);
  client.connection.ended = true;
  client.app.ready(Ready.END, 3);
  return { client, server, run: makeRun(client, server, [path('p0'), path('p1')]) };
}

function failWith(end: End, error: string): void {
  end.app.released = false;
  end.connection.error = error;
  end.app.ready(Ready.CLOSED, 4);
}

test('finish: a connection that went well', () => {
  const { run, client, server } = finished();
  assert.deepEqual(client.connection.calls, ['shutdown', 'close']);
  assert.deepEqual(server.connection.calls, ['close']);
  assert.deepEqual(checkOutcome(run, ''), []);
});

test('finish: an end that never finishes, an error without reason, an unknown error, missing bytes', () => {
  const open = finished();
  open.server.app.released = false;
  assert.match(checkOutcome(open.run, '')[0]?.message ?? '', /not finished/);
  assert.match(checkOutcome(open.run, 'an application aborted')[0]?.message ?? '', /not finished/);
  const failed = finished();
  failWith(failed.client, 'ECONNRESET');
  assert.match(checkOutcome(failed.run, '')[0]?.message ?? '', /without reason/);
  assert.deepEqual(checkOutcome(failed.run, 'no path lived'), []);
  const odd = finished();
  failWith(odd.client, 'EWHATEVER');
  assert.match(checkOutcome(odd.run, 'no path lived')[0]?.message ?? '', /unknown error/);
  const short = finished();
  short.server.app.receivedBytes = 999;
  assert.match(checkOutcome(short.run, '')[0]?.message ?? '', /999 of 1000/);
});

test('finish: what excuses an error, and what does not', () => {
  const { run, client, server } = finished();
  assert.equal(run.excuse(1000), '');
  run.paths[1].wasActive = true;
  const [first, second] = run.paths.map(one => one.path);
  first.longestOutageMs = 100_000;
  assert.equal(run.excuse(1000), '', 'the second path lived');
  second.up = false;
  second.downSinceMs = 0;
  assert.equal(run.excuse(1000), '', 'a second without a path must be survived');
  assert.match(run.excuse(100_000), /no path/);
  second.up = true;
  run.paths[1].takenAway = true;
  assert.match(run.excuse(1000), /no path/);
  first.longestOutageMs = 0;
  assert.equal(run.excuse(1000), '');
  server.app.aborted = true;
  assert.match(run.excuse(1000), /aborted/);
  server.app.aborted = false;
  server.app.ended = false;
  server.app.receivedBytes = 10;
  assert.match(run.excuse(1000), /unread/);
  server.app.ended = true;
  client.app.connected = false;
  (first.forward as { lostSyns: number }).lostSyns = 7;
  assert.match(run.excuse(1000), /handshake/);
});

test('finish: a refused SYN excuses a client that is not to ask without the option, where a box stands', () => {
  const { run, client } = finished();
  client.app.connected = false;
  const [first] = run.paths as { path: { clear: boolean } }[];
  first.path.clear = false;
  assert.doesNotMatch(run.excuse(1000), /refused/);
  (run as { asksOnce: boolean }).asksOnce = true;
  assert.match(run.excuse(1000), /refused/);
  first.path.clear = true;
  assert.equal(run.excuse(1000), '');
});

test('finish: one end that went on as TCP alone is excused by a box only', () => {
  const { run } = finished();
  const info = { active: true, fallback: null, token: 1, subflows: [] };
  run.clientInfo = info;
  run.serverInfo = { ...info, fallback: { cause: 'options-dropped', seenBy: 'peer' } };
  assert.equal(run.excuse(1000), '');
  (run.paths[0].path as { clear: boolean }).clear = false;
  assert.match(run.excuse(1000), /vanished/);
  run.clientInfo = run.serverInfo;
  assert.equal(run.excuse(1000), '');
});

test('progress: a path of which one end has lost its address does not work', () => {
  const { run } = finished();
  const [{ path: first }] = run.paths;
  run.client.connected = false;
  assert.deepEqual(run.pathsInUse('client'), [first]);
  (first.forward as unknown as { to: { present: boolean } }).to.present = false;
  assert.deepEqual(run.pathsInUse('client'), []);
});

test('fallback and join: only for a reason, and all paths where nothing is in the way', () => {
  const { run } = finished();
  const info = { active: true, fallback: null, token: 1, subflows: [] };
  run.clientInfo = info;
  run.paths[1].wasActive = true;
  assert.deepEqual(checkMultipath(run, { benign: true, disturbed: false }), []);
  run.paths[1].wasActive = false;
  run.server.finishedWritingMs = 1_000;
  assert.deepEqual(checkMultipath(run, { benign: true, disturbed: false }), [], 'it was too short');
  run.client.leftMs = run.server.leftMs = run.server.finishedWritingMs = 10_000;
  assert.equal(checkMultipath(run, { benign: true, disturbed: false })[0]?.oracle, 'join');
  assert.deepEqual(checkMultipath(run, { benign: false, disturbed: false }), []);
  run.clientInfo = { ...info, fallback: { cause: 'no options', seenBy: 'local' } };
  assert.equal(checkMultipath(run, { benign: true, disturbed: false })[0]?.oracle, 'fallback');
  assert.deepEqual(checkMultipath(run, { benign: false, disturbed: true }), []);
});
