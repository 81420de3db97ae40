// One below, at, one above: how much may be sent and how large a segment is, which numbers and resets are believed,
// which window counts, and when a silent peer is given up. Expected values are the formulas of the RFC named beside
// them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TCP_DEFAULTS } from '../../src/tcp/config.ts';
import { armPersist, segmentBytes, sendSpace, transmitFin } from '../../src/tcp/output.ts';
import { enterLoss } from '../../src/tcp/recovery.ts';
import { Hold, Recovery, type Tcb } from '../../src/tcp/tcb.ts';
import { Timer } from '../../src/tcp/timers.ts';
import { Frto } from '../../src/tcp/undo.ts';
import { connected, established, type Peer, type PeerOptions, synReceived, timeWait } from './peer.ts';

/** Segments of 1,000 bytes, a window of 20,000 and room for 10,000. */
function sender(more: Partial<Tcb> = {}): Tcb {
  const { tcb } = established({ timestamps: false, mss: 1000 });
  assert.equal(tcb.payloadMss, 1000);
  tcb.congestion.cwndBytes = 10_000;
  Object.assign(tcb, { sndUna: 1, sndNxt: 1, sndWnd: 20_000, maxSndWnd: 20_000, ...more });
  return tcb;
}

test('what is configured when nobody configures it: the RFCs’ values, or Linux’s', () => {
  const defaults: Partial<typeof TCP_DEFAULTS> = {
    ...{ sendBufferBytes: 4 << 20, receiveBufferBytes: 4 << 20, sendBufferInitialBytes: 65_536 },
    ...{ receiveBufferInitialBytes: 4 << 20, windowUnits: 4096, initialWindowSegments: 10 },
    ...{ rtoMinMs: 200, rtoInitialMs: 1000, rtoMaxMs: 120_000, synRetries: 6, synAckRetries: 5 },
    ...{ dataTimeoutMs: 120_000, delayedAckMs: 40, timeWaitMs: 60_000, finWait2Ms: 60_000 },
    ...{ keepAliveIdleMs: 7_200_000, keepAliveIntervalMs: 75_000, keepAliveProbes: 9 },
    ...{ challengeAcksPerSecond: 10, hopLimit: 64, mtuFloorBytes: 1280, amplificationLimit: 3 },
    // Off, as long as nobody asks for it.
    ...{ dscp: 0, maxSegmentBytes: 0, userTimeoutMs: 0, synLinearTimeouts: 0, pacing: false },
    ...{ lossProbeDelayMs: 50, slowStartAfterIdle: true },
  };
  assert.deepEqual({ ...TCP_DEFAULTS, ...defaults }, TCP_DEFAULTS);
});

test('RFC 5681 §3.1: the smaller of both windows, and one segment when nothing is in flight', () => {
  for (const [sndNxt, sndWnd, cwnd, space] of [
    [1, 20_000, 10_000, 10_000],
    [4001, 20_000, 10_000, 6000],
    [4001, 5000, 10_000, 1000],
    [4001, 4000, 10_000, 0],
    [4001, 3000, 10_000, 0],
    [4001, 20_000, 3000, 0],
    [1, 20_000, 500, 1000],
    [2, 20_000, 500, 499],
    [1, 300, 500, 300],
  ]) {
    const tcb = sender({ sndNxt, sndWnd });
    tcb.congestion.cwndBytes = cwnd;
    assert.equal(sendSpace(tcb), space);
  }
  for (const more of [{ finSsn: 0 }, { synPending: true }]) assert.equal(sendSpace(sender(more)), 0);
  const paced = sender();
  paced.deadlines[Timer.PACE] = 5;
  assert.equal(sendSpace(paced), 0);
  // RFC 5682 §3.1, step 2b: two new segments beyond what was sent before the timeout.
  for (const [sndNxt, space] of [
    [5001, 2000],
    [6001, 1000],
    [7001, 0],
  ]) {
    const probing = sender({ sndNxt, recoveryPoint: 5001 });
    probing.undo.frto = Frto.PROBING;
    assert.equal(sendSpace(probing), space);
  }
});

test('RFC 9293 §3.8.6.2.1 and §3.7.4: full segments, the rest at the end, and half of the largest window', () => {
  const size = (available: number, more: Partial<Tcb> = {}, tail = true, push = false): number =>
    segmentBytes(sender(more), available, tail, push);
  assert.equal(size(0), 0);
  assert.equal(size(999), 999);
  assert.equal(size(1000), 1000);
  const inFlight = (tcb: Tcb): Tcb => {
    tcb.sent.append(1, 1000, 0, 0);
    tcb.sndNxt = 1001;
    return tcb;
  };
  // Nagle: a short one waits while anything is in flight, unless it is pushed or nobody wants the delay.
  for (const [available, push, noDelay, length] of [
    [999, false, false, 0],
    [1000, false, false, 1000],
    [1001, false, false, 1000],
    [999, true, false, 999],
    [999, false, true, 999],
  ] as const) {
    const tcb = inFlight(sender({ noDelay }));
    tcb.networkInterface.mtu = 1500;
    assert.equal(segmentBytes(tcb, available, true, push), length, `${available}`);
  }
  // Corked even with nothing in flight, until it is let go.
  for (const [hold, more, length] of [
    [Hold.CORK, {}, 0],
    [Hold.MORE, {}, 0],
    [Hold.UNPUSHED, {}, 999],
    [Hold.CORK, { windowOverride: true }, 999],
    [Hold.CORK, { releaseHeld: true }, 999],
  ] as const) {
    assert.equal(size(999, { hold, ...more }), length);
  }
  // Something follows behind: full segments, or what a mapping cuts.
  assert.equal(size(999, {}, false), 999);
  assert.equal(size(1000, {}, false), 1000);
  // The window admits less than a segment: worth it from half of the largest window on, and with nothing in flight.
  for (const [sndWnd, maxSndWnd, override, length] of [
    [500, 1000, false, 500],
    [499, 1000, false, 0],
    [499, 998, false, 499],
    [499, 1000, true, 499],
  ] as const) {
    const more = { sndWnd, maxSndWnd, windowOverride: override };
    assert.equal(size(5000, more), length);
    assert.equal(segmentBytes(inFlight(sender({ ...more, sndWnd: sndWnd + 1000 })), 5000, true, false), 0);
  }
});

test('the FIN leaves once, after the handshake, and only when it is wanted', () => {
  for (const [make, more, state] of [
    [established, { finQueued: true }, 'FIN-WAIT-1'],
    [established, { finQueued: true, finSsn: 0 }, null],
    [established, { finQueued: false }, null],
    [established, { finQueued: true, synPending: true }, null],
    [synReceived, { finQueued: true }, null],
    [timeWait, { finQueued: true, finSsn: -1 }, null],
  ] as const) {
    const peer = make();
    Object.assign(peer.tcb, more);
    const before = peer.state;
    assert.equal(transmitFin(peer.tcb, new Uint8Array(200), 0, peer.now) > 0, state !== null);
    assert.equal(peer.state, state ?? before);
  }
});

test('window probes begin when data waits for a window that nothing in flight will open', () => {
  for (const [written, window, inFlight, armed] of [
    [10, 0, false, true],
    [0, 0, false, false],
    [10, 0, true, false],
  ] as const) {
    const { tcb, connection, now } = established();
    tcb.sndWnd = window;
    connection.write(new Uint8Array(written), 0, written, now);
    if (inFlight) tcb.sndNxt++;
    armPersist(tcb, now + 5);
    assert.equal(tcb.deadlines[Timer.PERSIST] < Infinity, armed);
    if (armed) assert.equal(tcb.progressMs, now + 5);
    const before = tcb.deadlines[Timer.PERSIST];
    armPersist(tcb, now + 9);
    assert.equal(tcb.deadlines[Timer.PERSIST], before);
  }
});

test('RFC 9293 §3.10.7.4: the window follows the newest segment, and an older one only to open', () => {
  // The window of 5,000 came with number 100 and acknowledgement 1000.
  for (const [seq, ack, window, sndWnd, sndWl1] of [
    [100, 1000, 5001, 5001, 100],
    [100, 1000, 4000, 4000, 100],
    [101, 1000, 4000, 4000, 101],
    [99, 1000, 5000, 5000, 100],
    [99, 1000, 5001, 5001, 99],
    [99, 1001, 4999, 5000, 100],
    [99, 1001, 5000, 5000, 99],
    [100, 999, 9000, 5000, 100],
  ] as const) {
    const peer = established({ window: 5000 });
    peer.write(3000);
    const { tcb } = peer;
    Object.assign(tcb, { sndUna: 1000, sndWl1: 100, sndWl2: 1000, sndWnd: 5000, rcvNxt: 100 });
    tcb.sent.clear();
    peer.receive({ seq, ack, window, length: seq < 100 ? 2 : 0 });
    assert.deepEqual([tcb.sndWnd, tcb.sndWl1], [sndWnd, sndWl1], `${[seq, ack, window]}`);
  }
});

test('RFC 5961 §3.2 and §5: a reset with exactly the next number, an acknowledgement of what was sent', () => {
  for (const [seq, dies] of [
    [0, false],
    [1, true],
    [2, false],
  ] as const) {
    const peer = established();
    peer.arrives({ flags: 'R', seq });
    assert.equal(peer.state === 'CLOSED', dies);
    assert.equal(peer.counters.EstabResets, dies ? 1 : 0);
  }
  for (const [ack, challenged] of [
    [1001, 0],
    [1002, 1],
  ]) {
    const peer = established();
    peer.write(1000);
    peer.arrives({ ack });
    assert.equal(peer.counters.TCPChallengeACK, challenged);
  }
  // Not older than the largest window there was.
  for (const [below, challenged] of [
    [65_535, 0],
    [65_536, 1],
  ]) {
    const peer = established();
    const { tcb } = peer;
    Object.assign(tcb, { sndUna: 100_000, sndNxt: 100_000 });
    assert.equal(tcb.maxSndWnd, 65_535);
    peer.arrives({ ack: 100_000 - below });
    assert.equal(peer.counters.TCPChallengeACK, challenged);
  }
});

test('a reset counts for an established connection, not for others, and says how it ended', () => {
  const closeWait = (): Peer => {
    const peer = established();
    peer.arrives({ flags: 'FA' });
    return peer;
  };
  const finWait = (): Peer => {
    const peer = established();
    peer.connection.shutdown(peer.now);
    peer.sent();
    return peer;
  };
  for (const [make, reset, embryonic] of [
    [established, 1, 0],
    [closeWait, 1, 0],
    [finWait, 0, 0],
    [timeWait, 0, 0],
    [synReceived, 0, 1],
  ] as const) {
    const peer = make();
    peer.arrives({ flags: 'R' });
    assert.deepEqual([peer.counters.EstabResets, peer.counters.EmbryonicRsts], [reset, embryonic], make.name);
  }
});

test('challenges and answers to what is refused: ten a second', () => {
  for (const [fields, skipped] of [
    [{ ack: 2 }, 'TCPACKSkippedChallenge'],
    [{ seq: 2_000_000_000 }, 'TCPACKSkippedSeq'],
  ] as const) {
    const peer = established();
    for (let i = 0; i < 10; i++) assert.equal(peer.arrives(fields).length, 1);
    assert.equal(peer.arrives(fields).length, 0);
    peer.now += 999;
    assert.equal(peer.arrives(fields).length, 0);
    assert.equal(peer.counters[skipped], 2);
    peer.now += 1;
    assert.equal(peer.arrives(fields).length, 1);
  }
});

test('RFC 5681 §3.1: a timeout lowers ssthresh once for an episode', () => {
  for (const [recovery, una, lowered] of [
    [Recovery.OPEN, 1, true],
    [Recovery.RECOVERY, 1, true],
    [Recovery.LOSS, 5000, false],
    [Recovery.LOSS, 5001, true],
  ] as const) {
    const tcb = sender({ sndUna: una, sndNxt: 9001, recovery, recoveryPoint: 5001 });
    tcb.congestion.ssthreshBytes = 77_000;
    enterLoss(tcb, 1000);
    assert.equal(tcb.congestion.ssthreshBytes < 77_000, lowered);
  }
});

test('patience: from the last progress; with a closed window from what was heard last, unless nobody waits here', () => {
  const options: PeerOptions = { config: { dataTimeoutMs: 10_000 } };
  for (const [window, orphaned, age, gone] of [
    [65_535, false, 9999, false],
    [65_535, false, 10_000, true],
    [0, false, 10_000, false],
    [0, true, 9999, false],
    [0, true, 10_000, true],
  ] as const) {
    const peer = connected(options);
    peer.write(1000);
    const { tcb } = peer;
    const due = peer.now + 50_000;
    Object.assign(tcb, { sndWnd: window, orphaned, progressMs: due - age, lastReceivedMs: due - 5 });
    tcb.deadlines.fill(Infinity);
    tcb.deadlines[Timer.RETRANSMIT] = due;
    peer.now = due;
    peer.host.expire(due);
    assert.equal(peer.state === 'CLOSED', gone, `${[window, orphaned, age]}`);
    assert.equal(peer.counters.TCPAbortOnTimeout, gone ? 1 : 0);
  }
});
