// What a byte stream over one connection takes, gives and tells its owner; what the connection counts, remembers of its
// end, and refuses.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ready } from '../../src/host/index.ts';
import type { CloseReason, PlainStream } from '../../src/tcp/index.ts';
import { State } from '../../src/tcp/state.ts';
import { Timer } from '../../src/tcp/timers.ts';
import { brief, delayingAcks, established, type Peer, synReceived, synSent, timeWait } from './peer.ts';

function streamOf(peer: Peer): PlainStream {
  return peer.connection.stream as PlainStream;
}

/** How often its owner is told that it is closed, from now on. */
function closes(stream: PlainStream): CloseReason[] {
  const told: CloseReason[] = [];
  const { owner } = stream as unknown as { owner: { streamClosed(reason: CloseReason): void } };
  const before = owner.streamClosed.bind(owner);
  owner.streamClosed = reason => {
    told.push(reason);
    before(reason);
  };
  return told;
}

test('a stream has ended when the peer has finished and everything was read', () => {
  const peer = established();
  assert.equal(streamOf(peer).ended, false);
  peer.arrives({ length: 10 });
  assert.equal(streamOf(peer).ended, false);
  peer.arrives({ flags: 'FA' });
  assert.equal(streamOf(peer).ended, false);
  peer.read();
  assert.equal(streamOf(peer).ended, true);
});

test('after shutdown, and when it is closed, nothing is taken any more', () => {
  const bytes = new Uint8Array(10);
  const peer = established();
  const stream = streamOf(peer);
  assert.ok(stream.writableBytes > 0);
  assert.equal(stream.write(bytes, 0, 10, peer.now), 10);
  stream.shutdown(peer.now);
  assert.equal(stream.writableBytes, 0);
  assert.equal(stream.write(bytes, 0, 10, peer.now), 0);
  const gone = established();
  gone.arrives({ flags: 'R' });
  assert.equal(streamOf(gone).write(bytes, 0, 10, gone.now), 0);
});

test('WRITABLE is told to who was refused something, and when there is room', () => {
  for (const [written, limit, told] of [
    [3000, 3000, false],
    [3001, 3000, true],
    // Less may be held than is (SO_SNDBUF).
    [3001, 2000, false],
    [3001, 2001, true],
  ] as const) {
    const peer = established({ timestamps: false, mss: 1000, config: { sendBufferBytes: 3000 } });
    const stream = streamOf(peer);
    peer.connection.takeEvents();
    assert.equal(stream.write(new Uint8Array(written), 0, written, peer.now), 3000);
    assert.equal(stream.wantsRoom, written > 3000);
    stream.transmit(new Uint8Array(4000), 0, peer.now);
    stream.sendBuffer.fix(limit);
    peer.arrives({ ack: 1001 });
    assert.equal((peer.connection.takeEvents() & Ready.WRITABLE) !== 0, told, `${written} ${limit}`);
  }
});

test('a read that gives nothing measures nothing; READABLE is told of what came in order', () => {
  const peer = established();
  const stream = streamOf(peer);
  let tuned = 0;
  stream.receiveBuffer.tune = () => tuned++;
  assert.equal(stream.read(new Uint8Array(10), 0, 10, peer.now), 0);
  assert.equal(tuned, 0);
  peer.connection.takeEvents();
  peer.arrives({ seq: 11, length: 10 });
  assert.equal(peer.connection.takeEvents() & Ready.READABLE, 0);
  peer.arrives({ seq: 1, length: 10 });
  assert.equal(peer.connection.takeEvents() & Ready.READABLE, Ready.READABLE);
  assert.equal(stream.read(new Uint8Array(10), 0, 10, peer.now), 10);
  assert.equal(tuned, 1);
});

test('who closes or aborts twice has done it once', () => {
  const peer = established();
  const stream = streamOf(peer);
  const told = closes(stream);
  stream.close(peer.now);
  peer.receive({ length: 10, flags: 'P' });
  stream.close(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 1, 1, 0]]);
  stream.abort(peer.now);
  stream.abort(peer.now);
  assert.equal(told.length, 1);
  const gone = established();
  const ended = closes(streamOf(gone));
  gone.arrives({ flags: 'R' });
  streamOf(gone).abort(gone.now);
  assert.deepEqual(
    ended.map(reason => reason.code),
    ['ECONNRESET'],
  );
});

test('TCP_NODELAY frees what is held, if anything is', () => {
  for (const [on, written, frees] of [
    [true, 10, true],
    [true, 0, false],
    [false, 10, false],
  ] as const) {
    const peer = established();
    const stream = streamOf(peer);
    stream.write(new Uint8Array(written), 0, written, peer.now);
    stream.setNoDelay(on);
    assert.deepEqual([peer.tcb.noDelay, peer.tcb.releaseHeld], [on, frees]);
  }
});

test('keepalive begins after the time that is given, or configured', () => {
  for (const [on, idleMs, expected] of [
    [true, 5000, 5000],
    [true, 0, 7_200_000],
    [false, 5000, 0],
  ] as const) {
    const peer = established();
    streamOf(peer).setKeepAlive(on, idleMs, peer.now);
    assert.equal(peer.tcb.keepAliveMs, expected);
    assert.equal(peer.tcb.deadlines[Timer.KEEPALIVE], on ? peer.now + expected : Infinity);
  }
});

test('RFC 1122 §4.2.2.13: data after both directions were shut down here is answered with a reset', () => {
  for (const [readsNoMore, shutdown, gone] of [
    [true, true, true],
    [true, false, false],
    [false, true, false],
  ] as const) {
    const peer = established();
    const stream = streamOf(peer);
    const told = closes(stream);
    stream.readsNoMore = readsNoMore;
    if (shutdown) peer.connection.shutdown(peer.now);
    peer.sent();
    const answer = peer.arrives({ length: 10 });
    assert.equal(answer.at(-1)?.flags === 'RA', gone, `${readsNoMore} ${shutdown}`);
    assert.equal(peer.counters.TCPAbortOnData, gone ? 1 : 0);
    assert.deepEqual(
      told.map(reason => reason.code),
      gone ? ['ECONNRESET'] : [],
    );
    assert.equal(peer.connection.readableBytes, gone ? 0 : 10);
  }
});

test('CurrEstab counts what is established or half closed by the peer', () => {
  const peer = established();
  assert.equal(peer.counters.CurrEstab, 1);
  peer.arrives({ flags: 'FA' });
  assert.deepEqual([peer.state, peer.counters.CurrEstab], ['CLOSE-WAIT', 1]);
  peer.connection.shutdown(peer.now);
  peer.sent();
  assert.deepEqual([peer.state, peer.counters.CurrEstab], ['LAST-ACK', 0]);
  assert.equal(synSent().counters.CurrEstab, 0);
  assert.equal(synReceived().counters.CurrEstab, 0);
  assert.equal(timeWait().counters.CurrEstab, 0);
  const reset = established();
  reset.arrives({ flags: 'R' });
  assert.equal(reset.counters.CurrEstab, 0);
});

test('RFC 9293 §3.9.2.2: what the network said meanwhile explains a timeout, and nothing else', () => {
  for (const [code, softError, expected] of [
    ['ETIMEDOUT', '', 'ETIMEDOUT'],
    ['ETIMEDOUT', 'no route', 'EHOSTUNREACH'],
    ['ECONNRESET', 'no route', 'ECONNRESET'],
  ] as const) {
    const { tcb, now } = established();
    tcb.softError = softError;
    tcb.close({ code, text: 'it ended' }, now);
    const text = expected === 'EHOSTUNREACH' ? 'it ended; no route' : 'it ended';
    assert.deepEqual(tcb.closeReason, { code: expected, text });
    // It is closed: nothing closes it again.
    tcb.close({ code: 'EPIPE', text: 'once more' }, now);
    tcb.abort();
    assert.deepEqual([tcb.closeReason?.code, tcb.resetPending], [expected, false]);
  }
});

test('a state is left along an edge of the table only', () => {
  const { tcb } = established();
  assert.throws(
    () => tcb.moveTo(State.SYN_SENT, 'a mistake'),
    /no edge ESTABLISHED → SYN-SENT \(a mistake\)/,
  );
  assert.equal(tcb.state, State.ESTABLISHED);
});

test('FIN-WAIT-2 of who has let go is bounded, any other state is not', () => {
  const peer = established();
  const { tcb } = peer;
  tcb.orphan(peer.now);
  assert.equal(tcb.deadlines[Timer.TIME_WAIT], Infinity);
  const half = established();
  half.connection.shutdown(half.now);
  half.sent();
  half.arrives();
  assert.equal(half.tcb.deadlines[Timer.TIME_WAIT], Infinity);
  half.tcb.orphan(half.now);
  assert.equal(half.tcb.deadlines[Timer.TIME_WAIT], half.now + 60_000);
});

test('TCP_QUICKACK: sixteen acknowledgements leave at once, one that waits included; or none does', () => {
  const peer = delayingAcks();
  assert.deepEqual(peer.arrives({ length: 100 }), []);
  peer.tcb.setQuickAck(true);
  assert.deepEqual([peer.tcb.quickAcks, peer.tcb.ackPending], [16, true]);
  const idle = established();
  idle.tcb.setQuickAck(false);
  assert.deepEqual([idle.tcb.quickAcks, idle.tcb.ackPending], [0, false]);
  idle.tcb.setQuickAck(true);
  assert.deepEqual([idle.tcb.quickAcks, idle.tcb.ackPending], [16, false], 'none waits');
  const off = delayingAcks();
  off.arrives({ length: 100 });
  off.tcb.setQuickAck(false);
  assert.equal(off.tcb.ackPending, false);
});
