// One below, at, one above: what an acknowledgement may say and what it then does, block by block and byte by byte.
// Segments have 1,000 bytes. Expected values are the rules of the RFC named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Recovery } from '../../src/tcp/tcb.ts';
import { Timer } from '../../src/tcp/timers.ts';
import { Frto } from '../../src/tcp/undo.ts';
import { connected, type Packet, type Peer, type PeerOptions, synReceived } from './peer.ts';

const RTT = 100;

/** Established with a round trip of 100 ms; NewReno, no timestamps. */
function measured(options: PeerOptions = {}, windowSegments = 10): Peer {
  const config = { congestion: 'reno' as const, initialWindowSegments: windowSegments, ...options.config };
  const peer = synReceived({ mss: 1000, timestamps: false, windowScale: 4, ...options, config });
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  return peer;
}

function spans(packets: readonly Packet[]): [number, number][] {
  return packets.filter(p => p.length > 0).map(p => [p.seq, p.seq + p.length]);
}

test('RFC 2018 §2: what a peer without SACK reports selectively is not read', () => {
  const peer = measured({ sack: false });
  peer.write(3000);
  peer.arrives({ ack: 1, sack: [[1001, 2001]] });
  assert.deepEqual([peer.tcb.sent.sackedBytes, peer.tcb.sent.count], [0, 1]);
});

test('RFC 7323 §3.2: the timestamps of a peer that has not agreed to them are not read', () => {
  const peer = measured({ sack: false });
  peer.write(3000);
  const start = peer.now;
  peer.wait(350);
  assert.equal(peer.tcb.recovery, Recovery.LOSS);
  // With agreement the echo of the first transmission would say that the timeout was for nothing.
  peer.arrives({ ack: 1001, timestamps: true, tsVal: 1, tsEcr: peer.tcb.timestamp(start) });
  assert.equal(peer.tcb.recovery, Recovery.LOSS);
  assert.equal(peer.counters.TCPLossUndo, 0);
});

test('RFC 6298 §2: an answer within the same millisecond is a sample as well, and the answer to a repetition is none', () => {
  const peer = measured();
  const { rtt } = peer.tcb;
  assert.equal(rtt.samples, 1);
  peer.write(1000);
  peer.arrives({ ack: 1001 });
  assert.equal(rtt.samples, 2);
  peer.write(1000);
  peer.wait(RTT * 3);
  assert.ok(peer.counters.RetransSegs > 0);
  peer.arrives({ ack: 2001 });
  assert.equal(rtt.samples, 2);
});

test('what is reported selectively is progress, and the probe of the tail waits no longer; a duplicate is neither', () => {
  const peer = measured();
  for (let i = 0; i < 3; i++) peer.write(1000);
  const { tcb } = peer;
  const since = peer.now;
  const state = (): unknown[] => [tcb.progressMs - since, tcb.backoff, tcb.softError];
  Object.assign(tcb, { backoff: 2, softError: 'no route' });
  peer.now += 50;
  const probeAt = tcb.deadlines[Timer.TLP];
  assert.ok(probeAt < Infinity);
  peer.receive({ ack: 1 });
  assert.deepEqual([...state(), tcb.deadlines[Timer.TLP]], [0, 2, 'no route', probeAt]);
  peer.receive({ ack: 1, sack: [[1001, 2001]] });
  assert.deepEqual([...state(), tcb.deadlines[Timer.TLP]], [50, 0, '', Infinity]);
  // The number moves over what was reported already: nothing is delivered, and still it is progress.
  peer.receive({ ack: 1001 });
  Object.assign(tcb, { backoff: 2 });
  peer.now += 20;
  peer.receive({ ack: 2001 });
  assert.deepEqual(state(), [70, 0, '']);
  assert.ok(tcb.deadlines[Timer.TLP] < Infinity);
});

test('the controller is told of what was delivered, once, and of no acknowledgement that delivers nothing', () => {
  const peer = measured();
  for (let i = 0; i < 3; i++) peer.write(1000);
  const { congestion } = peer.tcb;
  const told: number[] = [];
  congestion.onAck = bytes => void told.push(bytes);
  peer.arrives({ ack: 1, sack: [[1001, 2001]] });
  assert.deepEqual(told, [], 'RFC 3042 §2: before recovery a report leaves the window as it is');
  peer.arrives({ ack: 1001 });
  assert.deepEqual(told, [1000]);
  peer.arrives({ ack: 2001 });
  assert.deepEqual(told, [1000], 'that had been reported');
  peer.arrives({ ack: 2501 });
  assert.deepEqual(told, [1000, 500]);
});

test('RFC 7661 §1: the window may grow where it limits; in slow start where half of it was in use', () => {
  for (const [cwndLimited, cwndBytes, ssthreshBytes, usageBytes, expected] of [
    [true, 10_000, 5000, 0, true],
    [false, 10_000, 10_000, 9000, false],
    [false, 9999, 10_000, 5000, true],
    [false, 10_000, 20_000, 5000, false],
    [false, 10_000, 20_000, 5001, true],
    [false, 25_000, Infinity, 9999, false],
    [false, 10_000, 5000, 9000, false],
  ] as const) {
    const peer = measured();
    peer.write(1000);
    const { tcb } = peer;
    let limited: boolean | null = null;
    Object.assign(tcb.congestion, { cwndBytes, ssthreshBytes });
    Object.assign(tcb, { cwndLimited, usageBytes });
    tcb.congestion.onAck = (...args) => {
      limited = args[5];
    };
    peer.arrives({ ack: 1001 });
    assert.equal(limited, expected, `${[cwndLimited, cwndBytes, ssthreshBytes, usageBytes]}`);
  }
});

test('a window that opens ends the wait for it; one that was open does not', () => {
  for (const [before, after, waits] of [
    [0, 1, false],
    [0, 0, true],
    [10, 20, true],
  ] as const) {
    const peer = measured({ windowScale: 0 });
    const { tcb } = peer;
    tcb.sndWnd = before;
    tcb.deadlines[Timer.PERSIST] = peer.now + 500;
    peer.receive({ window: after });
    assert.equal(tcb.sndWnd, after);
    assert.equal(tcb.deadlines[Timer.PERSIST] < Infinity, waits, `${before} → ${after}`);
  }
});

test('RFC 8899 §4.3: a whole segment that was acknowledged says that segments of its size pass', () => {
  for (const [ack, passed] of [
    [1000, false],
    [1001, true],
  ] as const) {
    const peer = measured();
    peer.write(3000);
    assert.equal(peer.tcb.fullSizeAcked, false);
    peer.arrives({ ack });
    assert.equal(peer.tcb.fullSizeAcked, passed);
  }
});

test('RFC 2018 §3: a block begins beyond a hole, ends with what was sent, and is not empty', () => {
  for (const [block, sacked, entries] of [
    [[2001, 3001], 1000, 3],
    [[1, 3001], 0, 1],
    [[2, 3001], 2999, 3],
    [[3001, 2001], 0, 1],
    [[3001, 3001], 0, 1],
    [[4001, 5001], 1000, 2],
    [[4001, 5002], 0, 1],
    [[-5000, 3001], 0, 1],
  ] as [[number, number], number, number][]) {
    const peer = measured();
    peer.write(5000);
    peer.receive({ ack: 1, sack: [block] });
    const { sent } = peer.tcb;
    assert.deepEqual([sent.sackedBytes, sent.count], [sacked, entries], `${block}`);
  }
});

test('what is remembered is cut where a block begins and ends, and nowhere else', () => {
  const peer = measured();
  for (let i = 0; i < 4; i++) peer.write(1000);
  const { sent } = peer.tcb;
  assert.equal(sent.count, 4);
  peer.receive({ ack: 1, sack: [[1001, 2001]] });
  assert.deepEqual([sent.count, sent.sackedBytes], [4, 1000]);
  // The same block, longer in front and behind.
  peer.receive({ ack: 1, sack: [[501, 2501]] });
  assert.deepEqual([sent.count, sent.sackedBytes], [6, 2000]);
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5].map(i => sent.end(i)),
    [501, 1001, 2001, 2501, 3001, 4001],
  );
});

test('only the blocks that came are read, not what stood behind them in the option before', () => {
  const peer = measured();
  peer.write(1000);
  const { sent } = peer.tcb;
  const none: [number, number] = [9001, 9002];
  // Beyond what was sent: no block of it counts.
  peer.receive({ ack: 1, sack: [none, [3001, 4001]] });
  assert.equal(sent.sackedBytes, 0);
  peer.tcb.noDelay = true;
  peer.write(5000);
  peer.receive({ ack: 1, sack: [[2001, 2501]] });
  assert.equal(sent.sackedBytes, 500);
});

test('with nothing in flight any more a block changes nothing', () => {
  const peer = measured();
  peer.write(5000);
  const { tcb } = peer;
  tcb.abandonFlight();
  for (const block of [
    [2001, 3001],
    [1001, 5001],
  ] as const) {
    peer.receive({ ack: 1, sack: [block] });
    assert.deepEqual([tcb.sent.count, tcb.sent.sackedBytes], [0, 0]);
  }
});

test('a peer that reports crumbs: four entries for each segment in flight and 64 more', () => {
  const peer = measured({}, 60);
  peer.write(60_000);
  const { sent } = peer.tcb;
  for (let left = 3; left < 60_000; left += 4) peer.receive({ ack: 1, sack: [[left, left + 2]] });
  assert.equal(sent.count, 64 + 4 * 60);
});

test('RFC 9937 §6.2: one segment more where the acknowledgement moves on and says of no new loss', () => {
  // Twenty in flight, the first fifteen lost; five leave for the five delivered.
  const peer = measured({}, 20);
  peer.write(20_000);
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 1, sack: [[15_001, 20_001]] })), [[1, 5001]]);
  const { tcb } = peer;
  assert.deepEqual([tcb.prrFlight, tcb.congestion.ssthreshBytes], [20_000, 10_000]);
  peer.now += RTT;
  // max(prr_delivered − prr_out, delivered) + SMSS = max(6,000 − 5,000, 1,000) + 1,000.
  assert.deepEqual(spans(peer.arrives({ ack: 1001 })), [[5001, 7001]]);
  assert.equal(tcb.prrFlight, 20_000, 'of the acknowledgement that began recovery alone');
});

test('F-RTO: what was sent again before the timeout is not an original, however it is acknowledged', () => {
  for (const [probed, recovery] of [
    [false, Recovery.OPEN],
    [true, Recovery.LOSS],
  ] as const) {
    const peer = measured();
    for (let i = 0; i < 4; i++) peer.write(1000);
    const { tcb } = peer;
    if (probed) tcb.sent.markResent(3, peer.now);
    Object.assign(tcb, { recovery: Recovery.LOSS, recoveryPoint: 4001 });
    Object.assign(tcb.undo, { frto: Frto.PROBING, startSsn: 1, endSsn: 4001 });
    peer.now += RTT;
    peer.receive({ ack: 1, sack: [[3001, 4001]] });
    assert.equal(tcb.recovery, recovery);
    assert.equal(peer.counters.TCPSpuriousRTOs, probed ? 0 : 1);
  }
});

test('RFC 8985 §7.4.2: a probe that repaired the tail is a loss, but not one more while another is repaired', () => {
  for (const [ack, recovery, sack, lowered, pending] of [
    [2001, Recovery.OPEN, false, false, true],
    [3000, Recovery.OPEN, false, false, true],
    [3002, Recovery.OPEN, false, true, false],
    [3002, Recovery.LOSS, false, false, false],
    [3002, Recovery.OPEN, true, false, false],
    [3001, Recovery.OPEN, false, false, true],
    [3001, Recovery.OPEN, true, false, false],
  ] as const) {
    const peer = measured();
    for (let i = 0; i < 4; i++) peer.write(1000);
    const { tcb } = peer;
    Object.assign(tcb, { tlpEndSsn: 3001, tlpIsRetransmission: true, recovery, recoveryPoint: 4001 });
    peer.receive({ ack, sack: sack ? [[1, 1001]] : [] });
    const { ssthreshBytes } = tcb.congestion;
    assert.equal(ssthreshBytes < Infinity, lowered, `${[ack, recovery, sack]}`);
    assert.equal(tcb.tlpEndSsn !== -1, pending);
  }
  // The tail was sent once only, as new data: nothing to be learned.
  const peer = measured();
  for (let i = 0; i < 4; i++) peer.write(1000);
  Object.assign(peer.tcb, { tlpEndSsn: 3001, tlpIsRetransmission: false });
  peer.receive({ ack: 3002 });
  assert.deepEqual([peer.tcb.tlpEndSsn, peer.tcb.congestion.ssthreshBytes], [-1, Infinity]);
});

test('RFC 6582 §3.2: without SACK the head is lost with each partial acknowledgement, not with the full one', () => {
  const peer = measured({ sack: false });
  for (let i = 0; i < 10; i++) peer.write(1000);
  peer.now += RTT;
  for (let i = 0; i < 3; i++) peer.arrives({ ack: 1 });
  const { tcb } = peer;
  // A segment as it was sent is not cut.
  assert.deepEqual([tcb.recovery, tcb.recoveryPoint, tcb.sent.count], [Recovery.RECOVERY, 10_001, 10]);
  // Duplicates let new data go beyond what recovery began with.
  peer.write(5000);
  for (let i = 0; i < 6; i++) peer.arrives({ ack: 1 });
  assert.ok(tcb.sndNxt > 10_001);
  peer.receive({ ack: 9001 });
  assert.equal(tcb.sent.lostBytes, 1000);
  peer.sent();
  peer.receive({ ack: 10_001 });
  assert.deepEqual([tcb.recovery, tcb.sent.lostBytes], [Recovery.OPEN, 0]);
});

test('without SACK the head that is lost is one segment of a super-segment', () => {
  const peer = connected({ timestamps: false, mss: 1000, sack: false });
  peer.write(5000);
  assert.equal(peer.tcb.sent.count, 1);
  for (let i = 0; i < 3; i++) peer.receive({ ack: 1 });
  assert.deepEqual([peer.tcb.sent.count, peer.tcb.sent.lostBytes], [2, 1000]);
});

test('RFC 6298 §3: what left before the SYN/ACK went again measures no round trip, what left with it does', () => {
  for (const [laterMs, samples] of [
    [0, 1],
    [1, 0],
  ]) {
    const peer = measured();
    const { tcb } = peer;
    const before = tcb.rtt.samples;
    peer.write(1000);
    tcb.synSentMs = peer.now + laterMs;
    peer.now += RTT;
    peer.arrives({ ack: 1001 });
    assert.equal(tcb.rtt.samples - before, samples);
  }
});
