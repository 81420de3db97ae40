// Losses and their repair: RACK-TLP (RFC 8985), PRR (RFC 9937), timeouts (RFC 6298), duplicates without SACK
// (RFC 5681 §3.2, RFC 6582). Segments have 1,000 bytes; the round trip is 100 ms.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Packet, type Peer, type PeerOptions, synReceived } from './peer.ts';

const MSS = 1000;
const RTT = 100;
const reno: PeerOptions = { mss: MSS, timestamps: false, windowScale: 4, config: { congestion: 'reno' } };

/** Established with a round trip of 100 ms: SRTT 100 ms, RTO 100 + max(200, 4·50) = 300 ms. */
function measured(options: PeerOptions = {}): Peer {
  const peer = synReceived({ ...reno, ...options });
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  assert.equal(peer.tcb.rtt.srttMs, RTT);
  return peer;
}

function spans(packets: readonly Packet[]): [number, number][] {
  return packets.filter(p => p.length > 0).map(p => [p.seq, p.seq + p.length]);
}

test('one segment of ten lost inside a super-segment: it alone is repeated', () => {
  const peer = measured();
  assert.deepEqual(spans(peer.write(10_000)), [[1, 10_001]]);
  peer.now += RTT;
  // The link cut it into ten; the third was lost. The peer reports what came behind.
  peer.arrives({ ack: 2001 });
  peer.arrives({ ack: 2001, sack: [[3001, 4001]] });
  peer.arrives({ ack: 2001, sack: [[3001, 5001]] });
  const repeated = peer.arrives({ ack: 2001, sack: [[3001, 6001]] });
  assert.deepEqual(spans(repeated), [[2001, 3001]]);
  assert.equal(peer.tcb.env.counters.TCPSackRecovery, 1);
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 10_001 })), []);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('an acknowledgement may fall inside a super-segment, and inside a wire segment', () => {
  const peer = measured();
  peer.write(10_000);
  peer.now += RTT;
  peer.arrives({ ack: 3501 });
  assert.equal(peer.connection.unacknowledgedBytes, 6500);
  assert.deepEqual(spans(peer.wait(5000)).slice(-1)[0][0], 3501);
});

test('two holes are repaired in order, not one a round trip', () => {
  const peer = measured();
  peer.write(10_000);
  peer.now += RTT;
  const repeated = [
    ...peer.arrives({ ack: 1001, sack: [[2001, 4001]] }),
    ...peer.arrives({
      ack: 1001,
      sack: [
        [5001, 10_001],
        [2001, 4001],
      ],
    }),
  ];
  assert.deepEqual(spans(repeated), [
    [1001, 2001],
    [4001, 5001],
  ]);
});

test('the window halves once an episode (Reno), and recovery ends at what was sent before it', () => {
  const peer = measured();
  peer.write(10_000);
  peer.now += RTT;
  peer.arrives({ ack: 1, sack: [[1001, 4001]] });
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
  peer.arrives({ ack: 1, sack: [[1001, 6001]] });
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
  peer.now += RTT;
  peer.arrives({ ack: 10_001 });
  assert.equal(peer.tcb.cwndBytes, 5000);
});

test('the first repetition leaves at once, however full the network is', () => {
  // RFC 9937 §6.2: "Force a fast retransmit upon entering recovery". Twenty in flight, one reported lost: the
  // proportional part would be below one segment.
  const peer = measured({ config: { congestion: 'reno', initialWindowSegments: 20 } });
  assert.equal(
    spans(peer.write(20_000)).reduce((sum, [a, b]) => sum + b - a, 0),
    20_000,
  );
  peer.now += RTT;
  const una = 1;
  peer.arrives({ ack: una, sack: [[una + 1000, una + 2000]] });
  peer.arrives({ ack: una, sack: [[una + 1000, una + 3000]] });
  const repeated = peer.arrives({ ack: una, sack: [[una + 1000, una + 4000]] });
  assert.deepEqual(spans(repeated), [[una, una + 1000]]);
});

test('recovery sends no more than the reduced window says: PRR', () => {
  // Twenty in flight, the first lost: ssthresh is ten. 19 segments are delivered one by one; between the first
  // repetition and the end about ten segments leave, never more than were delivered.
  const peer = measured({ config: { congestion: 'reno', initialWindowSegments: 20 } });
  peer.write(520_000);
  assert.equal(peer.tcb.sndNxt, 20_001);
  peer.now += RTT;
  let left = 0;
  for (let i = 1; i < 20; i++) {
    const packets = peer.arrives({ ack: 1, sack: [[1001, 1001 + 1000 * i]] });
    left += spans(packets).reduce((sum, [a, b]) => sum + b - a, 0);
    assert.ok(left <= 1000 * (i + 1), `${left} bytes after ${i} segments`);
  }
  assert.ok(left >= 9000 && left <= 11_000, `${left} bytes left`);
});

test('reordering is no loss: within a quarter of the round trip nothing is repeated', () => {
  const peer = measured();
  for (let i = 0; i < 4; i++) peer.write(1000);
  peer.now += RTT;
  // Segments 2 and 3 come before 1: two are less than three, and RACK waits min RTT / 4.
  assert.deepEqual(spans(peer.arrives({ ack: 1, sack: [[1001, 2001]] })), []);
  assert.deepEqual(spans(peer.wait(20)), []);
  peer.arrives({ ack: 4001 });
  assert.equal(peer.tcb.env.counters.RetransSegs, 0);
});

test('what stays missing longer than that is repeated by the reordering timer', () => {
  const peer = measured();
  for (let i = 0; i < 2; i++) peer.write(1000);
  peer.now += RTT;
  const start = peer.now;
  assert.deepEqual(spans(peer.arrives({ ack: 1, sack: [[1001, 2001]] })), []);
  const repeated = peer.wait(60).filter(p => p.length > 0);
  assert.deepEqual(spans(repeated), [[1, 1001]]);
  assert.equal(repeated[0].at - start, RTT / 4);
});

test('a repetition that arrives shows that the last segment of the flight was lost too', () => {
  const peer = measured();
  peer.write(10_000);
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 1, sack: [[1001, 9001]] })), [[1, 1001]]);
  peer.now += RTT;
  // Nothing is left that was reported selectively or sent again: only the time says it.
  assert.deepEqual(spans(peer.arrives({ ack: 9001 })), [[9001, 10_001]]);
  assert.equal(peer.tcb.env.counters.TCPTimeouts, 0);
});

test('a repaired loss is not taken for reordering', () => {
  // RFC 8985 §6.2 step 3 asks for segments newly acknowledged; those reported earlier are not.
  const peer = measured();
  peer.write(10_000);
  peer.now += RTT;
  peer.arrives({ ack: 1, sack: [[1001, 10_001]] });
  peer.now += RTT;
  peer.arrives({ ack: 10_001 });
  assert.equal(peer.tcb.reorderSeen, false);
});

test('an acknowledgement that moves on and reports a hole is no reordering', () => {
  const peer = measured();
  for (let i = 0; i < 5; i++) peer.write(1000);
  peer.now += RTT;
  // Segments 1, 2 and 4 arrived in this order; one acknowledgement says so.
  peer.arrives({ ack: 2001, sack: [[3001, 4001]] });
  assert.equal(peer.tcb.reorderSeen, false);
});

test('a late original is: it arrived after what was sent behind it', () => {
  const peer = measured();
  for (let i = 0; i < 3; i++) peer.write(1000);
  peer.now += RTT;
  peer.arrives({ ack: 1, sack: [[1001, 2001]] });
  peer.arrives({ ack: 2001 });
  assert.equal(peer.tcb.reorderSeen, true);
});

test('tail loss probe: the last segment again after two round trips', () => {
  // RFC 8985 §7.2: PTO = 2·SRTT. Several are in flight, so that the delay of acknowledgements does not count.
  const peer = measured({ config: { congestion: 'reno', rtoMinMs: 1000 } });
  for (let i = 0; i < 3; i++) peer.write(1000);
  const start = peer.now;
  const [probe] = peer.wait(400).filter(p => p.length > 0);
  assert.deepEqual(spans([probe]), [[2001, 3001]]);
  assert.equal(probe.at - start, 2 * RTT);
  assert.equal(peer.tcb.env.counters.TCPLossProbes, 1);
});

test('a probe that repaired the tail halves the window', () => {
  const peer = measured({ config: { congestion: 'reno', rtoMinMs: 1000 } });
  for (let i = 0; i < 3; i++) peer.write(1000);
  peer.wait(200);
  peer.now += RTT;
  peer.arrives({ ack: 3001 });
  const before = peer.tcb.congestion.cwndBytes;
  // New data is sent and acknowledged; no duplicate was ever reported.
  peer.write(1000);
  peer.now += RTT;
  peer.arrives({ ack: 4001 });
  assert.ok(peer.tcb.congestion.cwndBytes < before, 'the loss had no consequence');
});

test('a probe that was not needed does not: DSACK', () => {
  const peer = measured({ config: { congestion: 'reno', rtoMinMs: 1000 } });
  for (let i = 0; i < 3; i++) peer.write(1000);
  peer.wait(200);
  peer.arrives({ ack: 3001 });
  const before = peer.tcb.congestion.cwndBytes;
  peer.now += RTT;
  peer.arrives({ ack: 3001, sack: [[2001, 3001]] });
  peer.write(1000);
  peer.now += RTT;
  peer.arrives({ ack: 4001 });
  assert.ok(peer.tcb.congestion.cwndBytes >= before);
  assert.equal(peer.tcb.env.counters.TCPDSACKRecv, 1);
});

test('a probe that was not needed does not: a bare duplicate', () => {
  const peer = measured({ config: { congestion: 'reno', rtoMinMs: 1000 } });
  for (let i = 0; i < 3; i++) peer.write(1000);
  peer.wait(200);
  peer.arrives({ ack: 3001 });
  const before = peer.tcb.congestion.cwndBytes;
  peer.now += RTT;
  peer.arrives({ ack: 3001 });
  peer.write(1000);
  peer.now += RTT;
  peer.arrives({ ack: 4001 });
  assert.ok(peer.tcb.congestion.cwndBytes >= before);
});

test('timeout: one segment, then the time doubles', () => {
  const peer = measured({ sack: false });
  peer.write(10_000);
  const start = peer.now;
  const sent = peer.wait(2200).filter(p => p.length > 0);
  assert.deepEqual(
    sent.map(p => [p.seq, p.length, p.at - start]),
    [
      [1, MSS, 300],
      [1, MSS, 300 + 600],
      [1, MSS, 300 + 600 + 1200],
    ],
  );
  assert.equal(peer.tcb.congestion.cwndBytes, MSS);
});

test('after a timeout the rest goes again as the window opens, and nothing twice without need', () => {
  const peer = measured({ sack: false });
  peer.write(4000);
  peer.wait(300);
  assert.deepEqual(spans(peer.log.slice(-1)), [[1, 1001]]);
  peer.now += RTT;
  // Slow start from one: the acknowledgement of one lets two go.
  const next = spans(peer.arrives({ ack: 1001 }));
  assert.deepEqual(next, [[1001, 3001]]);
  assert.deepEqual(spans(peer.arrives({ ack: 4001 })), []);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('progress resets the back-off', () => {
  const peer = measured({ sack: false });
  peer.write(2000);
  peer.wait(1000);
  peer.arrives({ ack: 1001 });
  assert.equal(peer.tcb.backoff, 0);
});

test('Karn: without timestamps a repeated segment gives no sample', () => {
  const peer = measured({ sack: false });
  peer.write(1000);
  peer.wait(700);
  peer.arrives({ ack: 1001 });
  assert.equal(peer.tcb.rtt.srttMs, RTT);
});

test('RTO: SRTT + max(200 ms, 4·RTTVAR) as samples come', () => {
  const peer = measured();
  // RFC 6298 §2.3 with R' = 180: RTTVAR = 3/4·50 + 1/4·80 = 57.5; SRTT = 7/8·100 + 1/8·180 = 110.
  peer.write(100);
  peer.now += 180;
  peer.arrives({ ack: 101 });
  assert.equal(peer.tcb.rtt.rttVarMs, 57.5);
  assert.equal(peer.tcb.rtt.srttMs, 110);
  assert.equal(peer.tcb.rtt.rtoMs, 110 + 4 * 57.5);
});

test('without SACK: three duplicates and the first segment goes again', () => {
  const peer = measured({ sack: false });
  peer.write(10_000);
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 1 })), []);
  assert.deepEqual(spans(peer.arrives({ ack: 1 })), []);
  assert.deepEqual(spans(peer.arrives({ ack: 1 })), [[1, 1001]]);
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
});

test('without SACK: a partial acknowledgement repeats the next segment (NewReno)', () => {
  const peer = measured({ sack: false });
  peer.write(10_000);
  peer.now += RTT;
  for (let i = 0; i < 3; i++) peer.arrives({ ack: 1 });
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 4001 }))[0], [4001, 5001]);
  peer.now += RTT;
  peer.arrives({ ack: 10_001 });
  // ssthresh, and at most one segment more for the window just acknowledged.
  assert.ok(peer.tcb.cwndBytes >= 5000 && peer.tcb.cwndBytes <= 6000);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('without SACK: many lost at once are not repaired one a round trip, once a timeout has passed since the first', () => {
  const peer = measured({ sack: false, config: { congestion: 'reno', initialWindowSegments: 40 } });
  peer.write(40_000);
  // The first thirty were lost; the other ten make as many duplicates.
  const there = new Set(Array.from({ length: 10 }, (_, i) => 30_001 + i * MSS));
  let sent: Packet[] = [];
  let una = 1;
  peer.now += RTT;
  for (let i = 0; i < 10; i++) sent.push(...peer.arrives({ ack: una }));
  let rounds = 0;
  for (; una < 40_001; rounds++) {
    peer.now += RTT;
    const arriving = spans(sent);
    sent = [];
    for (const [from, to] of arriving) {
      for (let at = from; at < to; at += MSS) there.add(at);
      while (there.has(una)) una += MSS;
      sent.push(...peer.arrives({ ack: una }));
    }
    assert.ok(arriving.length > 0, 'nothing is on its way');
  }
  // RFC 6582 §3.2: the timer is reset for the first partial acknowledgement only, and fires within 300 ms, three
  // round trips; then slow start repeats 1, 2, 4, 8, 16 segments, which is more than is left.
  assert.ok(rounds <= 1 + 4 + 5, `${rounds} round trips`);
  assert.equal(peer.tcb.backoff, 0);
});

test('without SACK: three lost in one window cost no slow start', () => {
  const peer = measured({ sack: false });
  peer.write(10_000);
  peer.now += RTT;
  for (let i = 0; i < 3; i++) peer.arrives({ ack: 1 });
  for (const ack of [1001, 2001]) {
    peer.now += RTT;
    assert.deepEqual(spans(peer.arrives({ ack }))[0], [ack, ack + 1000]);
  }
  peer.now += RTT;
  peer.arrives({ ack: 10_001 });
  assert.ok(peer.tcb.cwndBytes >= 5000, `${peer.tcb.cwndBytes}`);
});

test('without SACK: window updates and old acknowledgements are no duplicates', () => {
  const peer = measured({ sack: false });
  peer.write(1000);
  peer.now += RTT;
  peer.arrives({ ack: 1001 });
  peer.write(10_000);
  for (let i = 1; i < 8; i++) peer.arrives({ ack: 1001, window: 65_535 - i });
  for (let i = 1; i < 8; i++) peer.arrives({ ack: 1, window: 65_535 - 7 });
  for (let i = 1; i < 8; i++) peer.arrives({ ack: 1001, length: 10, window: 65_535 - 7 });
  assert.equal(peer.tcb.env.counters.RetransSegs, 0);
});

test('without SACK: duplicates after a timeout do not blow the window up', () => {
  const peer = measured({ sack: false });
  peer.write(10_000);
  peer.now += RTT;
  for (let i = 0; i < 5; i++) peer.arrives({ ack: 1 });
  const start = peer.log.length;
  peer.wait(1000);
  for (const p of peer.log.slice(start)) assert.ok(p.length <= MSS);
  const before = peer.log.length;
  peer.arrives({ ack: 1 });
  const burst = spans(peer.log.slice(before)).reduce((sum, [a, b]) => sum + b - a, 0);
  assert.ok(burst <= MSS, `${burst} bytes into a window of one segment`);
});

test('a peer that reneges gets everything again after the timeout', () => {
  const peer = measured();
  peer.write(5000);
  peer.now += RTT;
  peer.arrives({ ack: 1, sack: [[1001, 5001]] });
  // It threw away what it had reported, and from now on takes what comes in order.
  let next = 1;
  for (let i = 0; i < 30; i++) {
    for (const [start, end] of spans(peer.wait(500))) if (start <= next && end > next) next = end;
    peer.arrives({ ack: next });
  }
  assert.equal(next, 5001);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('SACK of what was never sent, below the acknowledgement or back to front changes nothing', () => {
  const peer = measured();
  peer.write(5000);
  peer.arrives({ ack: 1, sack: [[5001, 9001]] });
  peer.arrives({ ack: 1, sack: [[3001, 2001]] });
  peer.arrives({ ack: 1, sack: [[3001, 3001]] });
  peer.arrives({ ack: 1, sack: [[-5000, 3001]] });
  assert.equal(peer.tcb.sent.sackedBytes, 0);
  assert.equal(peer.tcb.sent.lostBytes, 0);
});

test('a peer that reports every second byte does not make the host remember without bound', () => {
  const peer = measured({ config: { congestion: 'reno', initialWindowSegments: 60 }, windowScale: 7 });
  peer.write(60_000);
  for (let i = 0; i < 10_000; i++) {
    const left = 2 + 4 * i;
    peer.receive({
      ack: 1,
      sack: [
        [left, left + 1],
        [left + 2, left + 3],
      ],
    });
  }
  assert.ok(peer.tcb.sent.count < 2_000, `${peer.tcb.sent.count} entries`);
});

test('FIN: the tail loss probe is the last data with the FIN', () => {
  // The FIN alone could not be acknowledged, nor reported selectively.
  const peer = measured({ config: { congestion: 'reno', rtoMinMs: 1000 } });
  peer.connection.write(new Uint8Array(1500), 0, 1500, peer.now);
  peer.connection.shutdown(peer.now);
  peer.sent();
  const [probe] = peer.wait(250).filter(p => p.flags === 'FA' || p.length > 0);
  assert.deepEqual([probe.flags, probe.seq, probe.length], ['FA', 501, 1000]);
});

test('FIN: lost with the last data, both come again', () => {
  const peer = measured();
  peer.connection.write(new Uint8Array(500), 0, 500, peer.now);
  peer.connection.shutdown(peer.now);
  peer.sent();
  const again = peer.wait(3000);
  assert.ok(again.some(p => p.seq === 1 && p.length === 500));
  peer.arrives({ ack: 501 });
  const fin = peer.wait(10_000);
  assert.ok(fin.some(p => p.flags === 'FA' && p.seq + p.length === 501));
  peer.arrives({ ack: 502 });
  assert.equal(peer.state, 'FIN-WAIT-2');
});

test('after silence longer than the timeout sending starts from the initial window (RFC 5681 §4.1)', () => {
  const peer = measured();
  for (let i = 0; i < 5; i++) {
    peer.write(40_000);
    peer.now += RTT;
    peer.arrives();
    peer.now += RTT;
    peer.arrives();
  }
  peer.wait(100);
  while (peer.connection.unacknowledgedBytes > 0) peer.arrives();
  assert.ok(peer.tcb.congestion.cwndBytes > 20_000);
  peer.wait(60_000);
  // RFC 6928 §2: 14,600 bytes bound the initial window for any segment size up to 7,300.
  const burst = spans(peer.write(100_000)).reduce((sum, [a, b]) => sum + b - a, 0);
  assert.ok(burst <= 14_600, `${burst} bytes at once`);
});

test('silence of our data counts, acknowledgements in between do not', () => {
  const peer = measured();
  for (let i = 0; i < 5; i++) {
    peer.write(40_000);
    peer.now += RTT;
    peer.arrives();
    peer.now += RTT;
    peer.arrives();
  }
  while (peer.connection.unacknowledgedBytes > 0) peer.arrives();
  for (let i = 0; i < 100; i++) {
    peer.wait(100);
    peer.arrives({ length: 1000 });
    peer.read();
  }
  // RFC 6928 §2: 14,600 bytes bound the initial window for any segment size up to 7,300.
  const burst = spans(peer.write(100_000)).reduce((sum, [a, b]) => sum + b - a, 0);
  assert.ok(burst <= 14_600, `${burst} bytes at once`);
});
