// One below, at, one above: which segments are in the window, how old a timestamp may be, when an acknowledgement is
// delayed, how the receiver measures a round trip, and when a FIN counts. Expected values are the formulas of the RFC
// named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timer } from '../../src/tcp/timers.ts';
import { delayingAcks, established } from './peer.ts';

const EDGE = 5001;

test('RFC 9293 §3.10.7.4: the window begins with the next number and ends before its edge', () => {
  for (const [seq, length, taken, beyond, answered] of [
    [EDGE - 1, 1, 0, 1, 1],
    [EDGE, 1, 0, 0, 1],
    [EDGE - 1, 2, 0, 1, 1],
    [0, 1, 0, 0, 1],
    [0, 2, 1, 0, 1],
    [1, 5000, 5000, 0, 1],
    [1, 5001, 5000, 0, 1],
    [EDGE, 0, 0, 0, 0],
    [EDGE + 1, 0, 0, 0, 1],
    [0, 0, 0, 0, 1],
    [1, 0, 0, 0, 0],
  ]) {
    const peer = established({
      timestamps: false,
      config: { receiveBufferBytes: 5000, receiveBufferInitialBytes: 5000 },
    });
    const { tcb } = peer;
    assert.equal(tcb.rcvEdge, EDGE);
    const sent = peer.arrives({ seq, length });
    assert.deepEqual(
      [tcb.rcvNxt - 1, tcb.beyond.bytes, sent.length],
      [taken, beyond, answered],
      `${seq} ${length}`,
    );
    assert.equal(tcb.bytesReceived, taken + beyond);
  }
});

test('RFC 7323 §5.3 and §5.5: an older timestamp is refused, unless the last is 24 days old', () => {
  const days24 = 24 * 24 * 3600 * 1000;
  for (const [older, age, refused] of [
    [0, 0, 0],
    [1, 0, 1],
    [1, days24 - 1, 1],
    [1, days24, 0],
  ]) {
    const peer = established();
    const { tcb } = peer;
    tcb.tsRecentAtMs = peer.now - age;
    peer.arrives({ length: 10, tsVal: (tcb.tsRecent - older) >>> 0 });
    assert.equal(peer.counters.PAWSEstab, refused);
    assert.equal(tcb.bytesReceived, refused === 1 ? 0 : 10);
  }
});

test('RFC 7323 §4.3: the timestamp to echo is that of the segment that holds the last acknowledgement', () => {
  for (const [ahead, newer, echoed] of [
    [0, 5, true],
    [1, 5, false],
    [0, 0, true],
  ] as const) {
    const peer = established();
    const { tcb } = peer;
    const before = tcb.tsRecent;
    assert.equal(tcb.lastAckSent, 1);
    peer.now += 50;
    peer.arrives({ seq: 1 + ahead, length: 10, tsVal: before + newer });
    assert.equal(tcb.tsRecent, echoed ? before + newer : before);
    assert.equal(tcb.tsRecentAtMs, echoed ? peer.now : peer.now - 50);
  }
});

test('RFC 9293 §3.8.6.3: one full segment is acknowledged 40 ms later, a byte more at once', () => {
  for (const [lengths, sent] of [
    [[1000], 0],
    [[1000, 1], 1],
    [[500, 500], 0],
    [[999, 1], 0],
  ] as const) {
    const peer = delayingAcks();
    const { tcb } = peer;
    assert.deepEqual([tcb.rcvMss, tcb.quickAcks, tcb.unackedBytes], [1000, 0, 0]);
    let packets = 0;
    for (const length of lengths) packets += peer.arrives({ length }).length;
    assert.equal(packets, sent);
    assert.equal(tcb.deadlines[Timer.DELAYED_ACK], sent === 0 ? peer.now + 40 : Infinity);
  }
});

test('RFC 7323 §4: who only receives measures by the echo of full segments, up to ten seconds', () => {
  for (const [length, age, rttMs] of [
    [1000, 100, 100],
    [999, 100, 0],
    [1000, 10_000, 10_000],
    [1000, 10_001, 0],
    [1000, 0, 1],
  ]) {
    const peer = established();
    const { tcb } = peer;
    Object.assign(tcb, { rcvMss: 1000, rcvRttMs: 0, rcvRttMark: 1 });
    peer.arrives({ length, tsEcr: tcb.timestamp(peer.now - age) });
    assert.equal(tcb.rcvRttMs, rttMs);
  }
  const peer = established();
  const { tcb } = peer;
  Object.assign(tcb, { rcvMss: 1000, rcvRttMs: 80, rcvRttMark: 1 });
  const tsEcr = tcb.timestamp(peer.now - 160);
  peer.arrives({ length: 1000, tsEcr });
  assert.equal(tcb.rcvRttMs, 90, 'an eighth of the difference');
  peer.now += 50;
  peer.arrives({ length: 1000, tsEcr });
  assert.equal(tcb.rcvRttMs, 90, 'the same echo again says nothing');
});

test('without timestamps a round trip is the time in which a window arrives, the shortest of them', () => {
  const peer = established({ timestamps: false });
  const { tcb } = peer;
  Object.assign(tcb, { rcvRttMs: 0, rcvRttMark: 1, rcvRttMarkMs: peer.now - 50 });
  peer.arrives({ length: 100 });
  assert.equal(tcb.rcvRttMs, 50);
  const mark = tcb.rcvRttMark;
  assert.ok(mark > 101);
  peer.now += 5;
  peer.arrives({ length: 100 });
  assert.deepEqual([tcb.rcvRttMs, tcb.rcvRttMark], [50, mark]);
  for (const [since, rttMs] of [
    [60, 50],
    [30, 30],
  ]) {
    Object.assign(tcb, { rcvRttMark: tcb.rcvNxt, rcvRttMarkMs: peer.now - since });
    peer.arrives({ length: 100 });
    assert.equal(tcb.rcvRttMs, rttMs);
  }
});

test('the largest segment seen is remembered, as far as one may be', () => {
  for (const [length, rcvMss] of [
    [536, 536],
    [537, 537],
    [1460, 1460],
    [1461, 1460],
  ]) {
    const peer = established({ timestamps: false });
    assert.deepEqual([peer.tcb.payloadMss, peer.tcb.rcvMss], [1460, 536]);
    peer.arrives({ length });
    assert.equal(peer.tcb.rcvMss, rcvMss);
  }
});

test('RFC 9293 §3.10.7.4, fifth: our FIN is acknowledged by the number behind it', () => {
  for (const [ack, state] of [
    [101, 'FIN-WAIT-1'],
    [102, 'FIN-WAIT-2'],
  ] as const) {
    const peer = established();
    peer.write(100);
    peer.connection.shutdown(peer.now);
    peer.sent();
    peer.arrives({ ack });
    assert.equal(peer.state, state);
  }
});

test('RFC 9293 §3.10.7.4, eighth: a FIN counts where it stands, the first that was seen, and never an old one', () => {
  const peer = established({ timestamps: false });
  const { tcb } = peer;
  peer.arrives({ flags: 'FA', seq: 11, length: 10 });
  assert.deepEqual([tcb.rcvFinSsn, peer.state], [21, 'ESTABLISHED']);
  peer.arrives({ flags: 'FA', seq: 11, length: 15 });
  assert.equal(tcb.rcvFinSsn, 21);
  peer.arrives({ seq: 1, length: 10 });
  assert.deepEqual([tcb.rcvNxt, tcb.rcvFinSsn, peer.state], [22, -1, 'CLOSE-WAIT']);
});
