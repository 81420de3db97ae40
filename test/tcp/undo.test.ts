// Repetitions that were for nothing, and what is taken back then: Eifel (RFC 3522, RFC 4015), DSACK (RFC 2883
// §5), F-RTO (RFC 5682). Segments have 1,000 bytes; the round trip is 100 ms; ten segments are in flight.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Packet, type Peer, type PeerOptions, synReceived } from './peer.ts';

const RTT = 100;
const reno: PeerOptions = { mss: 1000, timestamps: false, windowScale: 4, config: { congestion: 'reno' } };
const stamped: PeerOptions = { ...reno, mss: 1012, timestamps: true };

/** Ten segments of `bytes` are in flight, the rest of them waits. */
function inFlight(bytes: number, options: PeerOptions = reno): Peer {
  const peer = synReceived(options);
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  peer.write(bytes);
  assert.equal(peer.tcb.pipeBytes, 10_000);
  return peer;
}

/** The same, and the retransmission timer has fired once. */
function timedOut(bytes: number, options: PeerOptions = reno): Peer {
  const peer = inFlight(bytes, options);
  while (peer.counters.TCPTimeouts === 0) peer.wait(10);
  assert.deepEqual(spans(peer.log.slice(-1)), [[1, 1001]]);
  assert.equal(peer.tcb.congestion.cwndBytes, 1000);
  return peer;
}

function spans(packets: readonly Packet[]): [number, number][] {
  return packets.filter(p => p.length > 0).map(p => [p.seq, p.seq + p.length]);
}

test('Eifel: an acknowledgement that echoes the original takes a timeout back', () => {
  const peer = inFlight(10_000, stamped);
  const sentAt = peer.now;
  const original = peer.tsEcr;
  while (peer.counters.TCPTimeouts === 0) peer.wait(10);
  // The delay of the path has grown; nothing was lost.
  assert.deepEqual(spans(peer.arrives({ ack: 1001, tsEcr: original })), []);
  assert.equal(peer.counters.TCPLossUndo, 1);
  assert.ok(peer.tcb.cwndBytes >= 10_000);
  assert.equal(peer.tcb.congestion.ssthreshBytes, Infinity);
  assert.equal(peer.tcb.pipeBytes, 9000);
  // RFC 4015 §3: the timeout learns of the delay.
  assert.equal(peer.tcb.rtt.latestMs, peer.now - sentAt);
});

test('Eifel: when acknowledgements were lost the echo is no round-trip time', () => {
  const peer = timedOut(10_000, stamped);
  const [original] = peer.log.filter(p => p.length > 0).map(p => p.tsVal);
  while (peer.counters.TCPTimeouts < 4) peer.wait(10);
  // The path was down; the first segment had arrived before, and now its duplicate says so.
  peer.arrives({ ack: 1001, tsEcr: original, sack: [[1, 1001]] });
  assert.equal(peer.counters.TCPLossUndo, 1);
  assert.equal(peer.tcb.rtt.srttMs, RTT);
});

test('Eifel: an acknowledgement that echoes the repetition takes nothing back', () => {
  const peer = timedOut(10_000, stamped);
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ ack: 1001 })), [[1001, 3001]]);
  assert.equal(peer.counters.TCPLossUndo, 0);
});

test('Eifel: after two timeouts an echo of the first repetition proves nothing (seed 4962)', () => {
  // The first timeout was right, the answer to it was late; what is behind the first segment is lost.
  const peer = timedOut(10_000, stamped);
  const repeated = peer.tsEcr;
  while (peer.counters.TCPTimeouts === 1) peer.wait(10);
  assert.equal(spans(peer.arrives({ ack: 1001, tsEcr: repeated }))[0][0], 1001);
  assert.equal(peer.counters.TCPLossUndo, 0);
});

test('Eifel: a whole recovery is taken back when its end echoes an original', () => {
  const peer = inFlight(10_000, stamped);
  const original = peer.tsEcr;
  peer.now += RTT;
  assert.deepEqual(spans(peer.arrives({ sack: [[1001, 4001]], ack: 1, tsEcr: original })), [[1, 1001]]);
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
  peer.now += 10;
  peer.arrives({ ack: 10_001, tsEcr: original });
  assert.equal(peer.counters.TCPFullUndo, 1);
  assert.ok(peer.tcb.cwndBytes >= 10_000);
  assert.equal(peer.tcb.congestion.ssthreshBytes, Infinity);
});

test('Eifel: a late original in the middle ends recovery, unless other repetitions are out', () => {
  const peer = inFlight(10_000, stamped);
  const original = peer.tsEcr;
  peer.now += RTT;
  peer.arrives({ sack: [[1001, 4001]], ack: 1, tsEcr: original });
  peer.now += 10;
  peer.arrives({ ack: 4001, tsEcr: original });
  assert.equal(peer.counters.TCPPartialUndo, 1);
  assert.ok(peer.tcb.cwndBytes >= 10_000);
  // RFC 8985 §6.2, step 4: from now on there is a reordering window.
  assert.equal(peer.tcb.reorderSeen, true);

  const other = inFlight(10_000, stamped);
  const sent = other.tsEcr;
  other.now += RTT;
  const holes: [number, number][] = [
    [4001, 10_001],
    [1001, 3001],
  ];
  const repeated = spans(other.arrives({ sack: holes, ack: 1, tsEcr: sent }));
  assert.deepEqual(repeated, [
    [1, 1001],
    [3001, 4001],
  ]);
  other.arrives({ ack: 3001, sack: [[4001, 10_001]], tsEcr: sent });
  assert.equal(other.counters.TCPPartialUndo, 0);
  assert.equal(other.tcb.congestion.ssthreshBytes, 5000);
});

test('DSACK: a recovery is taken back when everything repeated is reported as duplicate', () => {
  const peer = inFlight(10_000);
  peer.now += RTT;
  const holes: [number, number][] = [
    [4001, 10_001],
    [1001, 3001],
  ];
  assert.equal(spans(peer.arrives({ sack: holes, ack: 1 })).length, 2);
  peer.arrives({ ack: 10_001 });
  assert.ok(peer.tcb.cwndBytes <= 6000);
  peer.now += RTT;
  peer.arrives({ ack: 10_001, sack: [[1, 1001]] });
  assert.equal(peer.counters.TCPDSACKUndo, 0);
  peer.arrives({ ack: 10_001, sack: [[3001, 4001]] });
  assert.equal(peer.counters.TCPDSACKUndo, 1);
  assert.ok(peer.tcb.cwndBytes >= 10_000);
  assert.equal(peer.tcb.reorderSeen, true);
});

test('DSACK: a duplicate from before the recovery does not count', () => {
  const peer = inFlight(10_000);
  peer.now += RTT;
  peer.arrives({ ack: 1001 });
  peer.arrives({ ack: 1001, sack: [[2001, 5001]] });
  assert.equal(peer.counters.RetransSegs, 1);
  // The network doubled the first segment; what was sent again is the second.
  peer.arrives({ ack: 10_001 });
  peer.arrives({ ack: 10_001, sack: [[1, 1001]] });
  assert.equal(peer.counters.TCPDSACKUndo, 0);
});

test('F-RTO: after the first acknowledgement new data goes, and an original proves the timeout spurious', () => {
  const peer = timedOut(20_000);
  assert.deepEqual(spans(peer.arrives({ ack: 1001 })), [[10_001, 12_001]]);
  assert.deepEqual(
    spans(peer.arrives({ ack: 2001 })).filter(([start]) => start < 12_001),
    [],
  );
  assert.equal(peer.counters.TCPSpuriousRTOs, 1);
  assert.ok(peer.tcb.cwndBytes >= 10_000);
  assert.equal(peer.tcb.sent.lostBytes, 0);
});

test('F-RTO: so does an original that is reported selectively', () => {
  const peer = timedOut(20_000);
  peer.arrives({ ack: 1001 });
  peer.arrives({ ack: 1001, sack: [[2001, 3001]] });
  assert.equal(peer.counters.TCPSpuriousRTOs, 1);
});

test('F-RTO: when the next acknowledgement is for the new data, the loss was real', () => {
  const peer = timedOut(20_000);
  peer.arrives({ ack: 1001 });
  const repeated = spans(peer.arrives({ ack: 1001, sack: [[10_001, 11_001]] }));
  assert.equal(repeated[0][0], 1001);
  assert.equal(peer.counters.TCPSpuriousRTOs, 0);
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
});

test('F-RTO: a bare duplicate says that the loss was real, with SACK and without', () => {
  for (const sack of [true, false]) {
    const peer = timedOut(20_000, { ...reno, sack });
    assert.deepEqual(spans(peer.arrives({ ack: 1001 })), [[10_001, 12_001]]);
    assert.equal(spans(peer.arrives({ ack: 1001 }))[0]?.[0], 1001);
    assert.equal(peer.counters.TCPSpuriousRTOs, 0);
  }
});

test('F-RTO: without new data, or a window for it, the repetitions go on', () => {
  const without = timedOut(10_000);
  assert.equal(spans(without.arrives({ ack: 1001 }))[0][0], 1001);
  const narrow: PeerOptions = { ...reno, windowScale: 0, window: 10_000 };
  const closed = timedOut(20_000, narrow);
  assert.equal(spans(closed.arrives({ ack: 1001, window: 9000 }))[0][0], 1001);
});

test('F-RTO: one acknowledgement of everything proves nothing', () => {
  // RFC 5682 §3.1, step 2a: only the first segment and all acknowledgements may have been lost.
  const peer = timedOut(10_000);
  peer.arrives({ ack: 10_001 });
  assert.equal(peer.counters.TCPSpuriousRTOs, 0);
  assert.equal(peer.tcb.congestion.ssthreshBytes, 5000);
});

test('F-RTO: a timeout in the middle of repairs is not looked into', () => {
  const peer = timedOut(20_000);
  peer.arrives({ ack: 1001 });
  peer.arrives({ ack: 1001 });
  while (peer.counters.TCPTimeouts === 1) peer.wait(10);
  peer.arrives({ ack: 2001 });
  peer.arrives({ ack: 3001 });
  assert.equal(peer.counters.TCPSpuriousRTOs, 0);
});

test('what was reported selectively before a timeout is not sent again after it', () => {
  const peer = inFlight(10_000);
  peer.now += RTT;
  // 1–2,001 are missing; the repetitions are lost too.
  peer.arrives({ ack: 1, sack: [[2001, 10_001]] });
  while (peer.counters.TCPTimeouts === 0) peer.wait(10);
  const before = peer.log.length;
  peer.arrives({ ack: 1001 });
  peer.arrives({ ack: 10_001 });
  assert.deepEqual(spans(peer.log.slice(before)), [[1001, 2001]]);
  assert.equal(peer.counters.TCPSACKReneging, 0);
});

test('a peer that acknowledges less than it had reported is found out at the timeout', () => {
  const peer = inFlight(10_000);
  peer.now += RTT;
  peer.arrives({ ack: 1, sack: [[1001, 10_001]] });
  peer.arrives({ ack: 1001 });
  while (peer.counters.TCPTimeouts === 0) peer.wait(10);
  assert.equal(peer.counters.TCPSACKReneging, 1);
  assert.equal(peer.tcb.sent.sackedBytes, 0);
});
