// One below, at, one above: which segments are in the window, how old a timestamp may be, when an acknowledgement is
// delayed, how the receiver measures a round trip, and when a FIN counts. Expected values are the formulas of the RFC
// named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { State } from '../../src/tcp/state.ts';
import { Timer } from '../../src/tcp/timers.ts';
import {
  brief,
  connected,
  delayingAcks,
  established,
  type Peer,
  synReceived,
  synSent,
  timeWait,
} from './peer.ts';

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

test('a segment of the handshake that was lost: a keepalive of the peer completes it, and nothing else of that number', () => {
  for (const [fields, state] of [
    [{ seq: 0 }, 'ESTABLISHED'],
    [{ seq: 0, length: 1 }, 'SYN-RECEIVED'],
    [{ seq: -1 }, 'SYN-RECEIVED'],
    [{ seq: 0, flags: 'R' }, 'SYN-RECEIVED'],
    // RFC 5961 §5: of what was never sent, or not new.
    [{ seq: 0, ack: 2 }, 'SYN-RECEIVED'],
    [{ seq: 0, ack: 0 }, 'SYN-RECEIVED'],
  ] as const) {
    const peer = synReceived();
    peer.arrives(fields);
    assert.equal(peer.state, state, JSON.stringify(fields));
  }
  // Afterwards it is a keepalive like any other, and answered.
  const peer = established();
  assert.deepEqual(brief(peer.arrives({ seq: 0 })), [['A', 1, 1, 0]]);
});

test('RFC 9293 §3.10.7.4, first: without ACK an old segment tells nothing of what has arrived', () => {
  for (const [flags, una] of [
    ['A', 1001],
    ['', 1],
    ['U', 1],
  ] as const) {
    const peer = connected({ timestamps: false, mss: 1000 });
    peer.write(1000);
    const { tcb } = peer;
    // The wire number 0, which a segment without ACK has there, is that of byte 1,001.
    Object.assign(tcb, { iss: -1001 >>> 0 });
    peer.hostIss = tcb.iss;
    peer.receive({ flags, seq: 0, length: 1, ack: 1001 });
    assert.equal(tcb.sndUna, una);
  }
});

test('what is refused still acknowledges, what was sent and not yet acknowledged, and may open the window', () => {
  for (const [ack, window, una, sndWnd] of [
    [1001, 5000, 1001, 5000],
    [500, 4501, 500, 4501],
    [499, 4501, 499, 4501],
    [1002, 5000, 499, 4501],
    [498, 9000, 499, 4501],
    [499, 9000, 499, 9000],
  ]) {
    const peer = connected({ timestamps: false, mss: 1000, window: 4501 });
    peer.write(1000);
    const { tcb } = peer;
    peer.receive({ seq: 1, length: 10, ack: 499 });
    assert.deepEqual([tcb.sndUna, tcb.sndWnd, tcb.rcvNxt], [499, 4501, 11]);
    peer.receive({ seq: 0, length: 1, ack, window });
    assert.deepEqual([tcb.sndUna, tcb.sndWnd], [una, sndWnd], `${ack} ${window}`);
  }
});

test('in a handshake an old segment acknowledges nothing', () => {
  const peer = synReceived();
  const { tcb } = peer;
  Object.assign(tcb, { rcvNxt: 11, sndNxt: 301 });
  peer.receive({ seq: 1, length: 5, ack: 301 });
  assert.deepEqual([tcb.sndUna, peer.state], [0, 'SYN-RECEIVED']);
});

test('answers to old segments without data are limited to ten a second, those with data are not', () => {
  for (const [fields, answered] of [
    [{ seq: 0 }, 10],
    [{ seq: 0, length: 1 }, 12],
  ] as const) {
    const peer = established();
    let answers = 0;
    for (let i = 0; i < 12; i++) answers += peer.arrives(fields).length;
    assert.equal(answers, answered);
  }
});

test('RFC 9293 §3.10.7.4: TIME-WAIT begins again with a FIN that comes again, with nothing else and nowhere else', () => {
  const peer = timeWait();
  const { tcb } = peer;
  const due = tcb.deadlines[Timer.TIME_WAIT];
  peer.now += 1000;
  peer.receive({ seq: 0, length: 1 });
  assert.equal(tcb.deadlines[Timer.TIME_WAIT], due);
  peer.receive({ seq: 1, flags: 'FA' });
  assert.equal(tcb.deadlines[Timer.TIME_WAIT], due + 1000);
  const half = established();
  half.arrives({ flags: 'FA' });
  half.arrives({ flags: 'FA', seq: 1 });
  assert.deepEqual([half.state, half.tcb.deadlines[Timer.TIME_WAIT]], ['CLOSE-WAIT', Infinity]);
});

test('RFC 2883 §4: a segment that came before, to its last byte, is reported as a duplicate', () => {
  const peer = established();
  peer.arrives({ seq: 1, length: 1000 });
  assert.deepEqual(peer.arrives({ seq: 1, length: 1000 })[0].sack, [[1, 1001]]);
  assert.deepEqual(peer.arrives({ seq: 501, length: 500 })[0].sack, [[501, 1001]]);
  // A FIN that comes again is no data, and neither is a keepalive.
  peer.arrives({ flags: 'FA', seq: 1001 });
  assert.deepEqual(peer.arrives({ flags: 'FA', seq: 1001 })[0].sack, []);
  assert.deepEqual(peer.arrives({ seq: 1001 })[0].sack, []);
});

test('RFC 5961 §4: a SYN inside the window is challenged, one before it is only answered', () => {
  for (const [seq, challenges] of [
    [0, 0],
    [1, 1],
    [2, 1],
  ]) {
    const peer = established();
    assert.deepEqual(brief(peer.arrives({ flags: 'S', seq })), [['A', 1, 1, 0]]);
    assert.equal(peer.counters.TCPSYNChallenge, challenges, `${seq}`);
  }
  // During a handshake as well, and at once; the SYN/ACK is not repeated for it.
  const early = synReceived();
  assert.deepEqual(brief(early.arrives({ flags: 'S', seq: 5 })), [['A', 1, 1, 0]]);
  assert.equal(early.counters.TCPSYNChallenge, 1);
  assert.equal(established().tcb.challengeDue, false);
  const late = established();
  late.receive({ flags: 'S', seq: 1 });
  assert.equal(late.tcb.challengeDue, false);
});

test('RFC 7323 §3.2: timestamps that were not agreed on refuse nothing and are not kept', () => {
  const without = established({ timestamps: false });
  without.tcb.tsRecent = 5000;
  without.arrives({ length: 10, timestamps: true, tsVal: 4000 });
  assert.equal(without.tcb.bytesReceived, 10);
  without.arrives({ length: 10, timestamps: true, tsVal: 6000 });
  assert.deepEqual([without.tcb.bytesReceived, without.tcb.tsRecent], [20, 5000]);
  // Agreed on and left out: there is nothing to compare with.
  for (const tsRecent of [5000, 0xf000_0000]) {
    const peer = established();
    peer.tcb.tsRecent = tsRecent;
    peer.arrives({ length: 10, timestamps: false });
    assert.deepEqual([peer.tcb.bytesReceived, peer.tcb.tsRecent], [10, tsRecent]);
  }
});

test('RFC 7323 §4.2: no echo is read out of a segment without timestamps', () => {
  for (const ahead of [-1000, 1000]) {
    const peer = connected({ mss: 1012 });
    for (let i = 0; i < 3; i++) peer.write(1000);
    const { tcb } = peer;
    peer.now += 100;
    tcb.tsOffset = (-Math.floor(peer.now) - ahead) >>> 0;
    tcb.sent.markResent(0, peer.now - 50);
    Object.assign(tcb.rtt, { minMs: 10 });
    peer.receive({ ack: 1001, timestamps: false });
    // RFC 8985 §6.2 step 2 would take an older echo for an answer to an earlier transmission.
    assert.equal(tcb.rackSentMs, peer.now - 50, `${ahead}`);
  }
});

test('pure acknowledgements are counted: without data, without a flag but ACK', () => {
  for (const [fields, counted] of [
    [{}, 1],
    [{ length: 10 }, 0],
    [{ flags: 'FA' }, 0],
    [{ flags: 'PA' }, 0],
    [{ flags: 'UA' }, 0],
  ] as const) {
    const peer = established();
    const before = peer.counters.TCPPureAcks;
    peer.arrives(fields);
    assert.equal(peer.counters.TCPPureAcks - before, counted, JSON.stringify(fields));
  }
});

test('a reset in the last states is no error: everything had been said', () => {
  const closing = (): Peer => {
    const peer = established();
    peer.connection.shutdown(peer.now);
    peer.sent();
    peer.arrives({ flags: 'FA', ack: 1 });
    return peer;
  };
  const lastAck = (): Peer => {
    const peer = established();
    peer.arrives({ flags: 'FA' });
    peer.connection.shutdown(peer.now);
    peer.sent();
    return peer;
  };
  const finWait = (): Peer => {
    const peer = established();
    peer.connection.shutdown(peer.now);
    peer.sent();
    return peer;
  };
  for (const [make, state, code] of [
    [closing, 'CLOSING', null],
    [lastAck, 'LAST-ACK', null],
    [timeWait, 'TIME-WAIT', null],
    [finWait, 'FIN-WAIT-1', 'ECONNRESET'],
    [established, 'ESTABLISHED', 'ECONNRESET'],
    [synReceived, 'SYN-RECEIVED', 'ECONNREFUSED'],
  ] as const) {
    const peer = make();
    const { tcb } = peer;
    assert.equal(peer.state, state);
    peer.arrives({ flags: 'R' });
    assert.deepEqual([tcb.state, tcb.closeReason?.code], [State.CLOSED, code], state);
  }
});

test('old data with a new FIN brings the FIN alone', () => {
  const peer = established();
  const { tcb } = peer;
  peer.arrives({ seq: 1, length: 10 });
  const at = peer.now;
  peer.now += 30;
  peer.arrives({ flags: 'FA', seq: 1, length: 10 });
  assert.deepEqual([tcb.rcvNxt, tcb.bytesReceived, tcb.lastPayloadMs], [12, 10, at]);
  assert.equal(peer.state, 'CLOSE-WAIT');
});

test('data that reaches beyond a FIN seen before ends at it', () => {
  const peer = established();
  peer.arrives({ flags: 'FA', seq: 11, length: 10 });
  peer.arrives({ seq: 1, length: 60 });
  assert.deepEqual([peer.tcb.rcvNxt, peer.read().length], [22, 20]);
});

test('holes are remembered up to 8,192; in order everything is taken', () => {
  for (const [ranges, seq, bytes] of [
    [8191, 900_001, 10],
    [8192, 900_001, 0],
    [8192, 1, 10],
  ]) {
    const peer = established({ windowScale: 7 });
    const { tcb } = peer;
    tcb.rcvEdge = 1_000_000;
    for (let i = 0; i < ranges; i++) tcb.beyond.add(1000 + 4 * i, 1001 + 4 * i);
    assert.equal(tcb.beyond.count, ranges);
    peer.arrives({ seq, length: 10 });
    assert.equal(tcb.bytesReceived, bytes, `${ranges} ${seq}`);
  }
});

test('beyond a hole a segment is counted when it brings something, and reported as far as it was there', () => {
  const peer = established();
  const { tcb } = peer;
  const sack = (seq: number, length: number): [number, number][] => peer.arrives({ seq, length })[0].sack;
  assert.deepEqual(sack(101, 100), [[101, 201]]);
  assert.equal(peer.counters.TCPOFOQueue, 1);
  assert.deepEqual(sack(101, 100), [
    [101, 201],
    [101, 201],
  ]);
  assert.equal(peer.counters.TCPOFOQueue, 1);
  assert.deepEqual(sack(151, 100), [
    [151, 201],
    [101, 251],
  ]);
  // Touching is not overlapping, on neither side.
  assert.deepEqual(sack(251, 50), [[101, 301]]);
  assert.deepEqual(sack(51, 50), [[51, 301]]);
  assert.equal(peer.counters.TCPOFOQueue, 4);
  // Everything was taken: what stood there before is not there any more.
  tcb.beyond.clear();
  assert.deepEqual(sack(60, 1), [[60, 61]]);
});

test('without timestamps a window that arrives at once has taken a millisecond, the clock’s resolution', () => {
  const peer = established({ timestamps: false });
  const { tcb } = peer;
  Object.assign(tcb, { rcvRttMs: 0, rcvRttMark: 1, rcvRttMarkMs: -1 });
  peer.arrives({ length: 100 });
  assert.equal(tcb.rcvRttMs, 0, 'the first only begins it');
  tcb.rcvRttMark = tcb.rcvNxt;
  peer.arrives({ length: 100 });
  assert.equal(tcb.rcvRttMs, 1);
});

test('a FIN behind data waits for the acknowledgement that is due already', () => {
  const peer = delayingAcks();
  peer.arrives({ length: 100 });
  const start = peer.now;
  peer.wait(15);
  assert.deepEqual(peer.arrives({ flags: 'FA' }), []);
  assert.deepEqual(
    peer.wait(100).map(p => p.at - start),
    [40],
  );
  // Without data before it there is no answer to wait for.
  assert.equal(established().arrives({ flags: 'FA' }).length, 1);
});

test('RFC 9293 §3.5: simultaneous open; the SYN again in the answer, and windows after it', () => {
  const peer = synSent();
  peer.ack = 0;
  assert.deepEqual(brief(peer.arrives({ flags: 'S', seq: 0, mss: 1460 })), [['SA', 0, 1, 0]]);
  assert.equal(peer.state, 'SYN-RECEIVED');
  peer.arrives({ flags: 'SA', seq: 0, ack: 1, mss: 1460, window: 8000 });
  assert.equal(peer.state, 'ESTABLISHED');
  const { tcb } = peer;
  assert.deepEqual([tcb.sndWl1, tcb.sndWnd, tcb.rcvNxt], [1, 8000, 1]);
  peer.arrives({ seq: 1, ack: 1, window: 700 });
  assert.equal(tcb.sndWnd, 700);
});

test('RFC 9293 §3.10.7.3: an acknowledgement without SYN neither opens nor ends an attempt', () => {
  const peer = synSent();
  peer.arrives({ flags: 'A', seq: 1, ack: 1 });
  assert.equal(peer.state, 'SYN-SENT');
  assert.ok(peer.connection.error === null);
});
