// One below, at, one above: what leaves, in which order, with which flags, and what is remembered of it. Segments have
// 1,000 bytes. Expected values are the rules of the RFC named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  noteLimit,
  segmentBytes,
  transmitControl,
  transmitData,
  transmitHeadAgain,
} from '../../src/tcp/output.ts';
import { Sent } from '../../src/tcp/sent-queue.ts';
import { Hold, Recovery, type Tcb } from '../../src/tcp/tcb.ts';
import { Timer } from '../../src/tcp/timers.ts';
import { Frto } from '../../src/tcp/undo.ts';
import { brief, connected, established, type Peer, type PeerOptions, synReceived, synSent } from './peer.ts';

const plain: PeerOptions = { timestamps: false, mss: 1000 };
/** A link that does not cut: every segment is a packet. */
const whole: PeerOptions = { ...plain, link: { mtu: 1500, gsoMax: 1500 } };

/** `flags` of each of so many segments in flight, sent at their number in ms. */
function flight(peer: Peer, ...flags: number[]): Tcb {
  const { tcb } = peer;
  peer.connection.write(new Uint8Array(flags.length * 1000), 0, flags.length * 1000, peer.now);
  for (const [i, mark] of flags.entries()) {
    const fin = (mark & Sent.FIN) !== 0;
    tcb.sent.append(1 + i * 1000, fin ? 1 : 1000, i, mark & (Sent.FIN | Sent.PUSH));
    if ((mark & Sent.SACKED) !== 0) tcb.sent.markSacked(i);
    if ((mark & Sent.LOST) !== 0) tcb.sent.markLost(i);
    tcb.sndNxt = tcb.sent.end(i);
    if (fin) tcb.finSsn = tcb.sent.start(i);
  }
  tcb.deadlines.fill(Infinity);
  return tcb;
}

test('a probe of the tail that has nothing to say leaves the way to the next probe', () => {
  const peer = established(plain);
  peer.receive();
  Object.assign(peer.tcb, { tlpPending: true, probePending: true });
  assert.deepEqual(brief(peer.sent()), [['A', 0, 1, 0]]);
  assert.equal(peer.counters.TCPLossProbes, 0);
  // Nor does a repetition for which there is no room stand in its way.
  const full = established(plain);
  const tcb = flight(full, Sent.LOST, 0);
  Object.assign(tcb, { recovery: Recovery.RECOVERY, prrCwnd: 0, probePending: true });
  assert.deepEqual(brief(full.sent()), [['A', 0, 1, 0]]);
});

test('RFC 5681 §4.1: the controller hears of a pause before new data leaves, once, and of no other', () => {
  for (const [idleMs, more, unsent, calls] of [
    [301, {}, 1, [[301, 300]]],
    [300, {}, 1, []],
    [301, { sndNxt: 1002 }, 1, []],
    [301, { lastDataMs: -1 }, 1, []],
    [301, { sndWnd: 0 }, 1, []],
    [301, {}, 0, []],
  ] as const) {
    for (const slowStartAfterIdle of [true, false]) {
      const peer = established({ ...plain, config: { slowStartAfterIdle } });
      const { tcb, connection, now } = peer;
      const told: [number, number][] = [];
      tcb.congestion.onIdle = (ms, rtoMs) => void told.push([ms, rtoMs]);
      Object.assign(tcb.rtt, { srttMs: 100, rttVarMs: 10 });
      Object.assign(tcb, { sndUna: 1001, sndNxt: 1001, lastDataMs: now - idleMs }, more);
      connection.write(new Uint8Array(1000 + unsent), 0, 1000 + unsent, now);
      const expected = slowStartAfterIdle ? calls : calls.map(([ms]) => [ms, Infinity]);
      for (let i = 0; i < 2; i++) assert.equal(transmitControl(tcb, new Uint8Array(100), 0, now), 0);
      assert.deepEqual(told, expected, `${idleMs} ${JSON.stringify(more)}`);
    }
  }
});

test('RFC 7661 §1: the window limits where it has no room for a segment', () => {
  for (const [out, limited] of [
    [9000, false],
    [9001, true],
    [10_000, true],
  ] as const) {
    const { tcb } = established(plain);
    Object.assign(tcb, { sndNxt: 1 + out, usageBytes: 4, usageEndSsn: 5 });
    tcb.congestion.cwndBytes = 10_000;
    noteLimit(tcb);
    assert.deepEqual(
      [tcb.cwndLimited, tcb.usageBytes, tcb.usageEndSsn],
      limited ? [true, out, 1 + out] : [false, 4, 5],
    );
  }
  // What waits for the end of a segment in flight and would fit is not held back by the window.
  for (const [available, limited] of [
    [500, false],
    [501, true],
  ] as const) {
    const tcb = flight(established(plain), 0);
    tcb.congestion.cwndBytes = 1500;
    tcb.usageEndSsn = 5000;
    assert.equal(segmentBytes(tcb, available, true, false), 0);
    assert.equal(tcb.cwndLimited, limited, `${available}`);
  }
});

test('how much of the window is in use: the most in a window of data, and whether it limited once', () => {
  for (const [before, after] of [
    // [cwndLimited, usageBytes, usageEndSsn, cwndBytes]; 1,000 bytes leave, all there are.
    [
      [false, 999, 5000, 10_000],
      [false, 1000, 1001],
    ],
    [
      [false, 1000, 5000, 10_000],
      [false, 1000, 5000],
    ],
    [
      [true, 0, 5000, 10_000],
      [true, 0, 5000],
    ],
    [
      [true, 9999, 1, 10_000],
      [false, 1000, 1001],
    ],
    [
      [true, 9999, 2, 10_000],
      [true, 9999, 2],
    ],
    [
      [true, 9999, 5000, 1999],
      [true, 1000, 1001],
    ],
    [
      [true, 9999, 5000, 2000],
      [true, 9999, 5000],
    ],
  ] as const) {
    const { tcb, connection, now } = established(plain);
    const [cwndLimited, usageBytes, usageEndSsn, cwndBytes] = before;
    Object.assign(tcb, { cwndLimited, usageBytes, usageEndSsn });
    tcb.congestion.cwndBytes = cwndBytes;
    connection.write(new Uint8Array(1000), 0, 1000, now);
    transmitData(tcb, new Uint8Array(2000), 0, 1000, true, now);
    assert.deepEqual([tcb.cwndLimited, tcb.usageBytes, tcb.usageEndSsn], after, `${before}`);
  }
});

test('RFC 9293 §3.9.1.2: PSH with the last that there is to send, and with whatever the link cuts', () => {
  const pushes = (peer: Peer, length: number): [number, boolean][] =>
    peer.write(length).map(p => [p.length, p.push]);
  assert.deepEqual(pushes(established(plain), 500), [[500, true]]);
  assert.deepEqual(pushes(established(whole), 3000), [
    [1000, false],
    [1000, false],
    [1000, true],
  ]);
  // Ten segments and no room for the last.
  assert.deepEqual(pushes(established(plain), 10_001), [[10_000, true]]);
  for (const [hold, windowOverride, push] of [
    [Hold.MORE | Hold.UNPUSHED, false, false],
    [Hold.UNPUSHED, false, false],
    [Hold.UNPUSHED, true, true],
    [Hold.CORK, false, true],
  ] as const) {
    const peer = established(plain);
    Object.assign(peer.tcb, { hold, windowOverride });
    assert.deepEqual(pushes(peer, 1000), [[1000, push]], `${hold}`);
  }
});

test('a repetition pushes where the first transmission did, or the link cuts it', () => {
  const peer = connected({ ...whole, sack: false });
  peer.write(3000);
  assert.deepEqual(
    peer.wait(500).map(p => [p.seq, p.push]),
    [[1, false]],
  );
  assert.deepEqual(
    peer.arrives({ ack: 1001 }).map(p => [p.seq, p.push]),
    [
      [1001, false],
      [2001, true],
    ],
  );
  const cut = connected({ ...plain, sack: false });
  cut.write(5000);
  assert.deepEqual(
    cut.wait(500).map(p => [p.length, p.push]),
    [[1000, false]],
  );
  assert.deepEqual(
    cut.arrives({ ack: 1001 }).map(p => [p.length, p.push]),
    [[2000, true]],
  );
});

test('the largest segment is what the link takes, headers included, and no more than an IP packet holds', () => {
  for (const [gsoMax, mss, length] of [
    [65_535, 13_087, 65_435],
    [65_534, 13_087, 52_348],
    [200_000, 1000, 65_000],
    [5100, 1000, 5000],
    [5099, 1000, 4000],
    [1100, 1000, 1000],
    [1050, 1000, 1000],
  ]) {
    const { tcb } = established({ timestamps: false, mss, link: { mtu: Math.min(gsoMax, 14_000), gsoMax } });
    tcb.congestion.cwndBytes = 1_000_000;
    tcb.sndWnd = 1_000_000;
    assert.equal(segmentBytes(tcb, 900_000, true, false), length, `${gsoMax}`);
  }
});

test('an address that has not proved itself gets three times what it sent, to the byte; whom we called gets all', () => {
  for (const [received, answers, limited] of [
    [40, 1, 0],
    [39, 0, 1],
  ]) {
    const peer = synReceived();
    assert.deepEqual([peer.log[0].ipBytes, peer.counters.TCPSynRetrans], [60, 0]);
    // Two of 60 bytes.
    peer.tcb.packetBytesIn = received;
    assert.equal(peer.wait(1000).length, answers);
    assert.deepEqual([peer.counters.TCPSynRetrans, peer.counters.AmplificationLimited], [answers, limited]);
  }
  const crossing = synSent();
  crossing.wait(16_000);
  const before = crossing.counters.TCPSynRetrans;
  assert.equal(before, 4);
  crossing.tcb.packetBytesIn = 0;
  const answer = crossing.arrives({ flags: 'S', seq: 0, mss: 1460 });
  assert.deepEqual(
    answer.map(p => p.flags),
    ['SA'],
  );
});

test('RFC 5681 §3.1: one lost segment may go again with nothing in flight; otherwise there has to be room for it', () => {
  for (const [cwnd, marks, sent] of [
    [500, [Sent.LOST], 1],
    [500, [Sent.LOST, Sent.LOST], 1],
    [1999, [Sent.LOST, 0], 0],
    [2000, [Sent.LOST, 0], 1],
  ] as const) {
    const peer = established(plain);
    const tcb = flight(peer, ...marks);
    tcb.recovery = Recovery.LOSS;
    tcb.congestion.cwndBytes = cwnd;
    assert.equal(peer.sent().length, sent, `${cwnd} ${marks}`);
  }
});

test('what was repeated counts in recovery and not after a timeout', () => {
  for (const [recovery, prrSent] of [
    [Recovery.RECOVERY, 1000],
    [Recovery.LOSS, 0],
  ] as const) {
    const peer = established(plain);
    const tcb = flight(peer, Sent.LOST, 0);
    Object.assign(tcb, { recovery, prrCwnd: 2000 });
    tcb.congestion.cwndBytes = 2000;
    assert.deepEqual(brief(peer.sent()), [['A', 1, 1, 1000]]);
    assert.equal(tcb.prrSent, prrSent);
  }
});

test('a FIN rides on the data before it, and not because one was there once', () => {
  const peer = established(plain);
  const tcb = flight(peer, Sent.LOST, Sent.FIN);
  tcb.congestion.cwndBytes = 10_000;
  assert.deepEqual(brief(peer.sent()), [['FA', 1, 1, 1000]]);
  assert.deepEqual(
    [0, 1].map(i => [tcb.sent.flags(i), tcb.sent.sentMs(i)]),
    [
      [Sent.RETRANSMITTED, peer.now],
      [Sent.RETRANSMITTED | Sent.FIN, peer.now],
    ],
  );
  for (const marks of [[Sent.LOST], [0, Sent.LOST]]) {
    const again = established(plain);
    const { sent } = again.tcb;
    for (let i = 0; i < 3; i++) sent.append(i, 1, 0, Sent.FIN);
    sent.clear();
    const block = flight(again, ...marks);
    block.congestion.cwndBytes = 10_000;
    assert.deepEqual(
      again.sent().map(p => p.flags),
      ['A'],
    );
  }
});

test('the owner of the stream puts its options on repeated data, and those of an acknowledgement on a bare FIN', () => {
  for (const [marks, data, acks] of [
    [[Sent.LOST], 1, 0],
    [[Sent.SACKED, Sent.LOST | Sent.FIN], 0, 1],
  ] as const) {
    const peer = established(plain);
    const tcb = flight(peer, ...marks);
    const calls = [0, 0];
    Object.assign(tcb.extension, { dataOptions: () => calls[0]++, ackOptions: () => calls[1]++ });
    assert.ok(transmitControl(tcb, new Uint8Array(2000), 0, peer.now) > 0);
    assert.deepEqual(calls, [data, acks]);
  }
});

test('RFC 6298 §5: repeating the oldest starts the timer again, another one only where none runs', () => {
  for (const [marks, before, restarted] of [
    [[Sent.LOST, 0], 7, true],
    [[0, Sent.LOST], 7, false],
    [[0, Sent.LOST], Infinity, true],
  ] as const) {
    const peer = established(plain);
    const tcb = flight(peer, ...marks);
    tcb.congestion.cwndBytes = 10_000;
    Object.assign(tcb.rtt, { srttMs: 100, rttVarMs: 10 });
    tcb.deadlines[Timer.RETRANSMIT] = before;
    assert.ok(transmitControl(tcb, new Uint8Array(2000), 0, peer.now) > 0);
    assert.equal(tcb.deadlines[Timer.RETRANSMIT], restarted ? peer.now + 300 : before);
  }
});

test('the oldest segment goes once more where its owner wants it, if there is one', () => {
  const peer = established(plain);
  const { tcb } = peer;
  assert.equal(transmitHeadAgain(tcb, new Uint8Array(2000), 0, peer.now), 0);
  assert.equal(peer.counters.RetransSegs, 0);
  peer.write(2500);
  assert.equal(transmitHeadAgain(tcb, new Uint8Array(2000), 0, peer.now), 1040);
  assert.deepEqual(
    [peer.counters.RetransSegs, tcb.sent.flags(0), tcb.sent.count],
    [1, Sent.RETRANSMITTED, 2],
  );
});

test('RFC 8985 §7.3: the probe is the last segment that the peer has not reported, or the head without SACK', () => {
  const { SACKED, LOST, FIN } = Sent;
  for (const [sack, marks, ssn, flags] of [
    [true, [0, 0, 0], 2001, 'A'],
    [true, [0, 0, SACKED], 1001, 'A'],
    [true, [0, LOST, SACKED], 1, 'A'],
    [true, [SACKED, SACKED], null, ''],
    [true, [SACKED], null, ''],
    [true, [], null, ''],
    [true, [0, FIN], 1, 'FA'],
    [true, [0, 0, FIN], 1001, 'FA'],
    [true, [0, SACKED, FIN], 2001, 'FA'],
    [true, [FIN], 1, 'FA'],
    [false, [0, 0, 0], 1, 'A'],
    [false, [LOST, 0, 0], 1, 'A'],
    [false, [], null, ''],
  ] as const) {
    const peer = established({ ...plain, sack });
    peer.receive();
    const tcb = flight(peer, ...marks);
    tcb.tlpPending = true;
    // No room for what is lost: the probe goes all the same.
    Object.assign(tcb, { recovery: Recovery.RECOVERY, prrCwnd: 0 });
    const what = `${sack} ${marks}`;
    const entries = tcb.sent.count;
    const packets = peer.sent();
    assert.deepEqual(
      packets.slice(0, 1).map(p => [p.seq, p.flags]),
      ssn === null ? [] : [[ssn, flags]],
      what,
    );
    assert.equal(tcb.sent.count, entries, what);
    assert.equal(peer.counters.TCPLossProbes, ssn === null ? 0 : 1);
  }
  // Of a super-segment the last thousand bytes.
  const peer = established(plain);
  peer.write(2500);
  peer.receive({ ack: 1 });
  peer.tcb.tlpPending = true;
  assert.deepEqual(brief(peer.sent()), [['A', 1501, 1, 1000]]);
  assert.equal(peer.tcb.sent.count, 2);
});

test('RFC 5682 §3.1, step 2b: with nothing new to send a repetition goes, where there is one', () => {
  for (const [marks, packets] of [
    [[Sent.LOST], [['A', 1, 1, 1000]]],
    [[Sent.SACKED], [['A', 1001, 1, 0]]],
  ] as const) {
    const peer = established(plain);
    const tcb = flight(peer, ...marks);
    Object.assign(tcb, { recovery: Recovery.LOSS, recoveryPoint: tcb.sndNxt, ackPending: true });
    tcb.undo.frto = Frto.PROBING;
    assert.deepEqual(brief(peer.sent()), packets);
    assert.equal(tcb.undo.frto, Frto.OFF);
  }
});

test('windows of nothing are counted when they begin and when they end', () => {
  const counted = (peer: Peer): number[] => [
    peer.counters.TCPToZeroWindowAdv,
    peer.counters.TCPFromZeroWindowAdv,
  ];
  const peer = established({
    ...plain,
    config: { receiveBufferBytes: 2000, receiveBufferInitialBytes: 2000 },
  });
  peer.arrives({ length: 1000 });
  assert.deepEqual(counted(peer), [0, 0]);
  peer.arrives({ length: 1000 });
  assert.deepEqual(counted(peer), [1, 0]);
  peer.arrives({ seq: 2000 });
  assert.deepEqual(counted(peer), [1, 0]);
  peer.read();
  peer.sent();
  assert.deepEqual(counted(peer), [1, 1]);
});

test('data and a FIN acknowledge what is due; what there is to report leaves with a FIN, and behind data', () => {
  const due = (): Peer => {
    const peer = established(plain);
    peer.receive({ length: 10 });
    return peer;
  };
  assert.deepEqual(brief(due().write(5)), [['A', 1, 11, 5]]);
  const closing = due();
  closing.connection.shutdown(closing.now);
  assert.deepEqual(brief(closing.sent()), [['FA', 1, 11, 0]]);
  const holes = established(plain);
  holes.receive({ seq: 11, length: 10 });
  const packets = holes.write(5);
  assert.deepEqual(brief(packets), [
    ['A', 1, 1, 5],
    ['A', 6, 1, 0],
  ]);
  assert.deepEqual(
    packets.map(p => p.sack),
    [[], [[11, 21]]],
  );
  const last = established(plain);
  last.receive({ seq: 11, length: 10 });
  last.connection.shutdown(last.now);
  const [fin, ...more] = last.sent();
  assert.deepEqual([fin.flags, fin.sack, more], ['FA', [[11, 21]], []]);
});

test('an acknowledgement that is to leave before the FIN does, if one is due', () => {
  for (const [ackPending, flags] of [
    [true, ['A', 'FA']],
    [false, ['FA']],
  ] as const) {
    const peer = established(plain);
    Object.assign(peer.tcb, { finAfterAck: true, ackPending });
    peer.connection.shutdown(peer.now);
    assert.deepEqual(
      peer.sent().map(p => p.flags),
      flags,
    );
    assert.equal(peer.tcb.finAfterAck, false);
  }
});

test('checksums are computed where the link does not', () => {
  for (const checksumOffload of [true, false]) {
    const peer = established({ ...plain, link: { checksumOffload } });
    const out = new Uint8Array(2000);
    peer.connection.write(new Uint8Array(10), 0, 10, peer.now);
    const length = peer.host.transmit(out, 0, peer.now);
    // RFC 9293 §3.1: bytes 16 and 17 of the TCP header.
    assert.equal(length, 50);
    assert.equal(out[36] + out[37] > 0, !checksumOffload);
  }
});
