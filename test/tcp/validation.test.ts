// What a stranger, or a packet from the past, cannot do: RFC 5961, RFC 7323 §5, RFC 9293 §3.10.7.4 (first check).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, connected, established, Peer, stream } from './peer.ts';

/** The receive window of a fresh connection in these tests: 64 KiB less one, on a scale of 0. */
const WINDOW = 65_535;
const small = { config: { receiveBufferBytes: WINDOW } };

test('a reset in the window but not at its start is challenged, not believed', () => {
  for (const seq of [2, 1000, WINDOW]) {
    const peer = established(small);
    assert.deepEqual(brief(peer.arrives({ flags: 'R', seq })), [['A', 1, 1, 0]], `seq ${seq}`);
    assert.equal(peer.state, 'ESTABLISHED');
    assert.equal(peer.counters.TCPChallengeACK, 1);
  }
});

test('a reset outside the window is dropped in silence', () => {
  for (const seq of [0, -1000, WINDOW + 2, 1_000_000]) {
    const peer = established(small);
    assert.deepEqual(peer.arrives({ flags: 'R', seq }), []);
    assert.equal(peer.state, 'ESTABLISHED');
  }
});

test('the reset that answers a challenge is believed', () => {
  const peer = established(small);
  peer.arrives({ flags: 'R', seq: 500 });
  peer.arrives({ flags: 'R', seq: 1 });
  assert.equal(peer.connection.error, 'ECONNRESET');
});

test('a reset ends every state', () => {
  const halfClosed = established();
  halfClosed.connection.shutdown(halfClosed.now);
  halfClosed.sent();
  halfClosed.arrives({ flags: 'R' });
  assert.equal(halfClosed.connection.error, 'ECONNRESET');

  const waiting = established();
  waiting.arrives({ flags: 'FA' });
  waiting.arrives({ flags: 'R' });
  assert.equal(waiting.connection.error, 'ECONNRESET');
});

test('a SYN on a connection is challenged, whatever its number', () => {
  for (const seq of [0, 1, 1000, WINDOW, -5, 1_000_000]) {
    const peer = established(small);
    assert.deepEqual(brief(peer.arrives({ flags: 'S', seq })), [['A', 1, 1, 0]], `seq ${seq}`);
    assert.equal(peer.state, 'ESTABLISHED');
  }
});

test('challenges are limited to ten a second', () => {
  const peer = established(small);
  let answers = 0;
  for (let i = 0; i < 30; i++) answers += peer.arrives({ flags: 'R', seq: 100 + i }).length;
  assert.equal(answers, 10);
  peer.now += 1000;
  assert.equal(peer.arrives({ flags: 'R', seq: 99 }).length, 1);
});

test('refused segments without data are answered ten times a second, with data always', () => {
  // Otherwise two ends, each of which refuses the timestamps of the other, acknowledge each other for ever.
  const peer = established();
  peer.arrives({ length: 10, tsVal: 9_000_000 });
  let answers = 0;
  for (let i = 0; i < 30; i++) answers += peer.arrives({ tsVal: 8_000_000 }).length;
  assert.equal(answers, 10);
  for (let i = 0; i < 30; i++) answers += peer.arrives({ length: 1, seq: 11, tsVal: 8_000_000 }).length;
  assert.equal(answers, 40);
  peer.now += 1000;
  assert.equal(peer.arrives({ seq: 0 }).length, 1);
});

test('data with an acknowledgement of what was never sent is not taken', () => {
  const peer = established(small);
  assert.deepEqual(brief(peer.arrives({ seq: 1, length: 10, ack: 2 })), [['A', 1, 1, 0]]);
  assert.equal(peer.connection.readableBytes, 0);
});

test('data with an acknowledgement older than the largest window is not taken', () => {
  // RFC 5961 §5.2: SND.UNA − MAX.SND.WND =< SEG.ACK =< SND.NXT. The peer offered 4,000 at most.
  const peer = established({ ...small, window: 4000, mss: 1460, timestamps: false });
  for (let i = 0; i < 10; i++) {
    peer.write(1000);
    peer.arrives();
  }
  const una = 10_001;
  assert.equal(peer.tcb.sndUna, una);
  peer.arrives({ seq: 1, length: 10, ack: una - 4001 });
  assert.equal(peer.connection.readableBytes, 0);
  peer.arrives({ seq: 1, length: 10, ack: una - 4000 });
  assert.equal(peer.connection.readableBytes, 10);
});

test('urgent data is data in its place, whatever the pointer says', () => {
  const peer = established();
  for (const urgent of [0, 1, 50, 100, 65_535]) peer.arrives({ flags: 'AU', length: 100, urgent });
  assert.deepEqual(peer.read(), stream(1, 500));
});

test('data without ACK is not taken', () => {
  const peer = established(small);
  peer.arrives({ flags: 'P', seq: 1, length: 10 });
  assert.equal(peer.connection.readableBytes, 0);
});

test('data outside the window is not taken but acknowledged', () => {
  const peer = established(small);
  assert.deepEqual(brief(peer.arrives({ seq: WINDOW + 1, length: 1 })), [['A', 1, 1, 0]]);
  assert.deepEqual(brief(peer.arrives({ seq: -9, length: 10 })), [['A', 1, 1, 0]]);
  assert.equal(peer.connection.readableBytes, 0);
});

test('of a segment that straddles the window the inside is taken', () => {
  const peer = established(small);
  peer.arrives({ seq: -4, length: 10 });
  assert.equal(peer.connection.readableBytes, 5);
  assert.deepEqual([...peer.read()], [...stream(1, 5)]);
  peer.arrives({ seq: WINDOW, length: 100 });
  peer.arrives({ seq: 6, length: 40_000 });
  peer.arrives({ seq: 40_006, length: WINDOW - 40_006 });
  // The window began at 6 after the first 5 bytes were read: its last byte is WINDOW + 5.
  assert.equal(peer.tcb.rcvNxt, WINDOW + 6);
});

test('PAWS: an older timestamp is answered with an acknowledgement, its data dropped', () => {
  const peer = established();
  peer.now += 100;
  peer.arrives({ length: 10, tsVal: 9_000_000 });
  assert.deepEqual(brief(peer.arrives({ length: 10, tsVal: 8_999_999 })), [['A', 1, 11, 0]]);
  assert.equal(peer.connection.readableBytes, 10);
  assert.equal(peer.counters.PAWSEstab, 1);
});

test('PAWS: an equal timestamp passes, and the 32-bit clock may wrap', () => {
  const peer = established();
  peer.arrives({ length: 10, tsVal: 0x7000_0000 });
  peer.arrives({ length: 10, tsVal: 0x7000_0000 });
  peer.arrives({ length: 10, tsVal: 0xe000_0000 });
  peer.arrives({ length: 10, tsVal: 5 });
  assert.equal(peer.connection.readableBytes, 40);
});

test('PAWS: after 24 days of silence an older timestamp proves nothing', () => {
  const peer = established();
  peer.arrives({ length: 10, tsVal: 9_000_000 });
  peer.now += 24 * 86_400_000 + 1;
  peer.arrives({ length: 10, tsVal: 8_999_999 });
  assert.equal(peer.connection.readableBytes, 20);
});

test('PAWS: a reset is not subject to it', () => {
  const peer = established();
  peer.arrives({ length: 10, tsVal: 9_000_000 });
  peer.arrives({ flags: 'R', tsVal: 1 });
  assert.equal(peer.connection.error, 'ECONNRESET');
});

test('every segment echoes the newest timestamp', () => {
  const peer = established();
  assert.equal(peer.arrives({ length: 10, tsVal: 9_000_001 })[0].tsEcr, 9_000_001);
  assert.equal(peer.arrives({ length: 10, tsVal: 9_000_002 })[0].tsEcr, 9_000_002);
});

test('a segment beyond a hole does not change the echo; the one that fills it does', () => {
  // RFC 7323 §4.3 (B) and (C).
  const peer = established();
  peer.arrives({ seq: 1, length: 10, tsVal: 9_000_001 });
  assert.equal(peer.arrives({ seq: 21, length: 10, tsVal: 9_000_003 })[0].tsEcr, 9_000_001);
  assert.equal(peer.arrives({ seq: 11, length: 10, tsVal: 9_000_002 })[0].tsEcr, 9_000_002);
});

test('of several segments acknowledged together the first is echoed', () => {
  // RFC 7323 §4.3 (A): so that the delay of the acknowledgement counts into the round trip.
  const peer = established();
  peer.receive({ length: 10, tsVal: 9_000_001 });
  peer.receive({ length: 10, tsVal: 9_000_005 });
  const [ack] = peer.sent();
  assert.deepEqual([ack.ack, ack.tsEcr], [21, 9_000_001]);
});

test('timestamps move on by one a millisecond and are on every segment but resets of strangers', () => {
  const peer = established();
  const [first] = peer.write(10);
  peer.now += 250;
  const [second] = peer.arrives({ length: 10 });
  assert.ok(first.hasTimestamps && second.hasTimestamps);
  assert.equal((second.tsVal - first.tsVal) >>> 0, 250);
});

test('the acknowledgement on an old segment still counts', () => {
  const peer = established();
  peer.write(100);
  peer.arrives({ seq: 0, ack: 101 });
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('an acknowledgement on a segment that a closed window refuses still counts', () => {
  // RFC 9293 §3.10.7.4: "special allowance should be made to accept valid ACKs".
  const peer = connected({ config: { receiveBufferBytes: 4000 } });
  peer.arrives({ length: 4000 });
  assert.equal(peer.log.at(-1)?.window, 0);
  peer.write(100);
  peer.arrives({ seq: 4001, length: 1, ack: 101 });
  assert.equal(peer.connection.unacknowledgedBytes, 0);
  assert.equal(peer.connection.readableBytes, 4000);
});

test('a blind stranger cannot move the window', () => {
  const peer = new Peer({ ...small, window: 100 });
  peer.connect();
  peer.arrives({ flags: 'SA', mss: 1460, timestamps: false, windowScale: 0 });
  peer.timestamps = false;
  peer.arrives({ seq: 500_000, ack: 1, window: 60_000 });
  peer.arrives({ seq: 1, ack: 90_000, window: 60_000 });
  assert.equal(
    peer.write(5000).reduce((sum, p) => sum + p.length, 0),
    100,
  );
});
