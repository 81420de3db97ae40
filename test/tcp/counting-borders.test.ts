// One below, at, one above: initial windows, the round trip of a handshake, pacing, black holes, repetitions with and
// without SACK and how they are counted, and the pool of random numbers. Expected values are the formulas of the RFC
// named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shared } from '../../src/tcp/environment.ts';
import { acknowledgesNothing } from '../../src/tcp/handshake.ts';
import { pace, pacedBytes } from '../../src/tcp/pacing.ts';
import { Recovery, type Tcb } from '../../src/tcp/tcb.ts';
import { Timer } from '../../src/tcp/timers.ts';
import { Segment } from '../../src/wire/index.ts';
import { brief, connected, established, type Fields, synReceived, synSent } from './peer.ts';

test('32 random bits: each octet is used once, in the order it was drawn', () => {
  let drawn = 0;
  const entropy = {
    randomBytes: (into: Uint8Array) => {
      drawn++;
      for (let i = 0; i < into.length; i++) into[i] = i;
    },
  };
  const shared = new Shared({ entropy, counters: {} } as unknown as ConstructorParameters<typeof Shared>[0]);
  for (let round = 1; round <= 2; round++) {
    for (let i = 0; i < 256; i += 4) {
      assert.equal(shared.random32(), ((i << 24) | ((i + 1) << 16) | ((i + 2) << 8) | (i + 3)) >>> 0);
      assert.equal(drawn, round);
    }
  }
});

test('RFC 6928 §2: min(10·MSS, max(2·MSS, 14,600)); one segment after a SYN that was lost twice', () => {
  for (const [mss, repeated, window] of [
    [1000, 0, 10_000],
    [1460, 0, 14_600],
    [1461, 0, 14_600],
    [8000, 0, 16_000],
    [1000, 1, 10_000],
    [1000, 2, 1000],
  ]) {
    const peer = synSent({ timestamps: false, mss, link: { mtu: 9000 } });
    for (let i = 0; i < repeated; i++) {
      peer.now = peer.host.nextDeadline();
      peer.host.expire(peer.now);
      assert.equal(peer.sent()[0].flags, 'S');
    }
    peer.arrives({ flags: 'SA', mss, sackPermitted: true, timestamps: false });
    assert.equal(peer.tcb.congestion.cwndBytes, window, `${mss} ${repeated}`);
  }
});

test('RFC 6298 §5.7: the round trip of a handshake within three seconds; else the timeout begins with three', () => {
  for (const [wait, srttMs, initialMs] of [
    [100, 100, 1000],
    [3000, 3000, 1000],
    [3001, 0, 3000],
  ]) {
    const peer = synReceived({ timestamps: false, config: { rtoInitialMs: 1000 } });
    const { tcb } = peer;
    peer.now = tcb.synSentMs + wait;
    peer.arrives({ flags: 'A' });
    assert.deepEqual([tcb.rtt.srttMs, tcb.rtt.initialMs], [srttMs, initialMs]);
  }
});

test('RFC 9293 §3.10.7.3 and §3.10.7.4: an acknowledgement, in a handshake, of what was never sent', () => {
  for (const [ack, nothing] of [
    [0, true],
    [1, false],
    [2, true],
  ] as const) {
    for (const make of [synSent, synReceived, established]) {
      const { tcb } = make();
      const segment = new Segment();
      segment.flags = 16;
      segment.ack = (tcb.iss + ack) >>> 0;
      segment.seq = (tcb.irs + 1) >>> 0;
      assert.equal(acknowledgesNothing(tcb, segment), nothing && make !== established, `${ack} ${make.name}`);
      segment.flags = 0;
      assert.equal(acknowledgesNothing(tcb, segment), false);
    }
  }
  // In the window, both ends included.
  for (const [seq, nothing] of [
    [0, false],
    [1, true],
    [65_536, true],
    [65_537, false],
  ] as const) {
    const { tcb } = synReceived();
    tcb.rcvEdge = 65_536;
    const segment = Object.assign(new Segment(), { flags: 16, ack: tcb.iss + 2, seq: (tcb.irs + seq) >>> 0 });
    assert.equal(acknowledgesNothing(tcb, segment), nothing, `${seq}`);
  }
});

test('pacing: twice the window in a round trip below half of ssthresh, 1.2 times above, two segments at least', () => {
  const paced = (cwndBytes: number, ssthreshBytes: number, more: Partial<Tcb> = {}): Tcb => {
    const { tcb } = established({ timestamps: false, mss: 1000, config: { pacing: true } });
    Object.assign(tcb.rtt, { srttMs: 10 });
    Object.assign(tcb.congestion, { cwndBytes, ssthreshBytes });
    return Object.assign(tcb, { paidUntilMs: 0 }, more);
  };
  for (const [cwnd, ssthresh, bytes] of [
    [100_000, 200_001, 20_000],
    [100_000, 200_000, 12_000],
    [17_000, Infinity, 3000],
    [10_000, Infinity, 2000],
    [5000, Infinity, 2000],
  ]) {
    assert.equal(pacedBytes(paced(cwnd, ssthresh)), bytes);
  }
  // 20,000 bytes a millisecond. A timer that is late is made up for, up to a millisecond.
  for (const [paidUntilMs, length, at] of [
    [500, 40_000, 501],
    [499.5, 40_000, 501.5],
    [0, 40_000, 501],
    [0, 20_000, Infinity],
    [0, 20_001, 500 + 1 / 20_000],
  ]) {
    const tcb = paced(100_000, Infinity, { paidUntilMs: paidUntilMs === 500 ? 499 : paidUntilMs });
    pace(tcb, length, 500);
    const due = tcb.deadlines[Timer.PACE];
    assert.ok(due === at || Math.abs(due - at) < 1e-9, `${due} for ${at}`);
  }
  const unknown = paced(100_000, Infinity);
  unknown.rtt.srttMs = 0;
  assert.equal(pacedBytes(unknown), Infinity);
});

test('RFC 8899 §4.3: two timeouts of a segment larger than the floor, and no such one ever acknowledged', () => {
  // 1,500 − 40; a packet of 1,280 holds 1,240.
  for (const [length, times, acked, shrinks] of [
    [1460, 1, false, false],
    [1460, 2, false, true],
    [1241, 2, false, true],
    [1240, 2, false, false],
    [1460, 2, true, false],
  ] as const) {
    const peer = connected({ timestamps: false, config: { mtuFloorBytes: 1280 } });
    const { tcb } = peer;
    assert.equal(tcb.payloadMss, 1460);
    peer.write(length);
    tcb.fullSizeAcked = acked;
    tcb.lastReceivedMs = 0;
    tcb.deadlines[Timer.TLP] = Infinity;
    for (let i = 0; i < times; i++) {
      peer.now = tcb.deadlines[Timer.RETRANSMIT];
      peer.host.expire(peer.now);
      peer.sent();
    }
    assert.equal(tcb.mss, shrinks ? 1240 : 1460, `${[length, times, acked]}`);
    assert.equal(peer.counters.TCPMTUPFail, shrinks ? 1 : 0);
  }
});

test('repetitions are counted by what they repair', () => {
  const fast = connected({ timestamps: false, mss: 1000 });
  fast.write(5000);
  fast.now += 5;
  const again = fast.arrives({ ack: 1, sack: [[1001, 5001]] });
  assert.deepEqual(brief(again).slice(0, 1), [['A', 1, 1, 1000]]);
  assert.deepEqual([fast.counters.TCPFastRetrans, fast.counters.TCPSlowStartRetrans], [1, 0]);
  assert.equal(fast.counters.TCPSackRecovery, 1);

  const slow = connected({ timestamps: false, mss: 1000, sack: false });
  slow.write(3000);
  slow.now = slow.tcb.deadlines[Timer.RETRANSMIT];
  slow.host.expire(slow.now);
  assert.deepEqual(brief(slow.sent()), [['A', 1, 1, 1000]]);
  assert.deepEqual([slow.counters.TCPFastRetrans, slow.counters.TCPSlowStartRetrans], [0, 1]);
});

test('RFC 2883 §4: a first block below the acknowledgement, or inside the second, is a duplicate', () => {
  for (const [sack, duplicate] of [
    [[[1, 1001]], 1],
    [[[1, 1002]], 0],
    [
      [
        [2001, 3001],
        [2001, 4001],
      ],
      1,
    ],
    [
      [
        [2001, 4001],
        [2001, 4001],
      ],
      1,
    ],
    [
      [
        [2000, 3001],
        [2001, 4001],
      ],
      0,
    ],
    [
      [
        [2001, 4002],
        [2001, 4001],
      ],
      0,
    ],
    [[[2001, 3001]], 0],
    [
      [
        [2001, 3001],
        [3001, 4001],
        [4001, 5001],
      ],
      0,
    ],
  ] as [[number, number][], number][]) {
    const peer = connected({ timestamps: false, mss: 1000 });
    peer.write(5000);
    peer.arrives({ ack: 1001, sack });
    assert.equal(peer.counters.TCPDSACKRecv, duplicate, JSON.stringify(sack));
  }
});

test('RFC 6582 §3.2: without SACK the third duplicate repeats the first, a partial acknowledgement the next', () => {
  const peer = connected({ timestamps: false, mss: 1000, sack: false });
  peer.write(5000);
  peer.now += 100;
  const duplicate: Fields = { ack: 1001 };
  assert.deepEqual(brief(peer.arrives(duplicate)), []);
  for (let i = 0; i < 2; i++) assert.deepEqual(brief(peer.arrives(duplicate)), []);
  assert.equal(peer.tcb.recovery, Recovery.OPEN);
  assert.deepEqual(brief(peer.arrives(duplicate)), [['A', 1001, 1, 1000]]);
  assert.deepEqual([peer.tcb.recovery, peer.counters.TCPRenoRecovery], [Recovery.RECOVERY, 1]);
  assert.deepEqual(brief(peer.arrives({ ack: 2001 })), [['A', 2001, 1, 1000]]);
  // All of it: nothing more is repeated, and recovery is over.
  assert.deepEqual(brief(peer.arrives({ ack: 5001 })), []);
  assert.equal(peer.tcb.recovery, Recovery.OPEN);
  // An acknowledgement outside of recovery repeats nothing.
  peer.write(3000);
  assert.deepEqual(brief(peer.arrives({ ack: 6001 })), []);
  assert.equal(peer.tcb.sent.lostBytes, 0);
});
