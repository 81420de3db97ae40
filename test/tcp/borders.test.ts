// One below, at, one above: the borders of windows, round trips, right-sizing and SACK reports, each set up directly.
// Expected values are the formulas of the RFC named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TCP_DEFAULTS } from '../../src/tcp/config.ts';
import { ReceiveBuffer } from '../../src/tcp/receive-buffer.ts';
import { RttEstimator } from '../../src/tcp/rtt.ts';
import { addSack, forgetReport, hasReport, noteBeyond, noteDuplicate } from '../../src/tcp/sack-report.ts';
import { Hold, holdAfter, type Tcb, windowScaleFor } from '../../src/tcp/tcb.ts';
import { established, type PeerOptions } from './peer.ts';

/** A block with nothing in flight; the numbers are the test's to set. */
function block(options: PeerOptions = {}): Tcb {
  const { tcb } = established({ timestamps: false, ...options });
  tcb.rtt.srttMs = 100;
  tcb.rtt.rttVarMs = 10;
  tcb.rtt.minMs = 80;
  return tcb;
}

function buffer(limitBytes: number, initialBytes = limitBytes): ReceiveBuffer {
  return new ReceiveBuffer({ firstOffset: 1, limitBytes, initialBytes });
}

function fill(into: ReceiveBuffer, length: number, read: number): void {
  assert.equal(into.insert(into.next, new Uint8Array(length), 0, length), length);
  assert.equal(into.read(new Uint8Array(read), 0, read), read);
}

test('RFC 6298 §2: first and second sample, floor and ceiling, the smallest of five minutes', () => {
  const rtt = new RttEstimator({ ...TCP_DEFAULTS, rtoInitialMs: 1000, rtoMinMs: 200, rtoMaxMs: 60_000 });
  assert.equal(rtt.rtoMs, 1000);
  rtt.sample(40, 0);
  // SRTT = R, RTTVAR = R/2; RTO = SRTT + max(200, 4 · RTTVAR).
  assert.deepEqual([rtt.srttMs, rtt.rttVarMs, rtt.rtoMs, rtt.samples], [40, 20, 240, 1]);
  rtt.sample(120, 1);
  // RTTVAR = 3/4 · 20 + 1/4 · 80, SRTT = 7/8 · 40 + 1/8 · 120.
  assert.deepEqual([rtt.srttMs, rtt.rttVarMs, rtt.rtoMs], [50, 35, 250]);
  rtt.sample(20_050, 2);
  // RTTVAR = 3/4 · 35 + 1/4 · 20,000, SRTT = 7/8 · 50 + 1/8 · 20,050.
  assert.deepEqual([rtt.rttVarMs, rtt.srttMs, rtt.rtoMs], [5026.25, 2550, 22_655]);
  rtt.sample(200_000, 3);
  assert.equal(rtt.rtoMs, 60_000);
  assert.deepEqual([rtt.minMs, rtt.latestMs], [40, 200_000]);
  rtt.sample(41, 300_000);
  assert.equal(rtt.minMs, 40);
  rtt.sample(41, 300_001);
  assert.equal(rtt.minMs, 41);
});

test('the window moves by a segment or half the buffer, and never back', () => {
  for (const [limit, step, read, field] of [
    [1000, 100, 99, 901],
    [1000, 100, 100, 1000],
    [1000, 900, 499, 501],
    [1000, 900, 500, 1000],
  ]) {
    const of = buffer(limit);
    assert.equal(of.offer(0, step), limit);
    fill(of, read, read);
    assert.equal(of.offer(0, step), field, `${read} read`);
  }
  // RFC 7323 §2.4: rounded up where the buffer can keep the promise, down where it cannot.
  for (const [read, field] of [
    [0, 249],
    [1, 250],
  ]) {
    const of = buffer(1000);
    assert.equal(of.offer(2, 100), 250);
    fill(of, 1, read);
    assert.equal(of.offer(2, 100), field);
  }
  for (const [limit, field] of [
    [65_534, 65_534],
    [65_535, 65_535],
    [65_536, 65_535],
  ]) {
    const of = buffer(limit);
    assert.equal(of.offer(0, 100), field);
    assert.equal(of.rightEdge, 1 + field);
  }
});

test('an update of the window is worth two segments or an eighth of the buffer, at most half', () => {
  for (const [segment, least] of [
    [100, 1000],
    [600, 1200],
    [3000, 4000],
  ]) {
    for (const read of [least - 1, least]) {
      const of = buffer(8000);
      of.offer(0, 100);
      fill(of, 4500, read);
      assert.equal(of.shouldUpdateWindow(segment, 0), read === least, `${read} read of ${segment}`);
    }
  }
  // While half of what can be offered is, nothing is due: 65,535 units are the most.
  for (const [limit, scale, length, due] of [
    [8000, 0, 4000, false],
    [8000, 0, 4001, true],
    [200_000, 0, 32_767, false],
    [200_000, 0, 32_768, true],
    [200_000, 1, 32_768, false],
    [200_000, 1, 65_535, false],
    [200_000, 1, 65_536, true],
  ] as const) {
    const of = buffer(limit);
    of.offer(scale, 100);
    fill(of, length, length);
    assert.equal(of.shouldUpdateWindow(100, scale), due, `${length} of ${limit} at ${scale}`);
  }
});

test('what is inserted ends at the window; what was read is there', () => {
  const of = buffer(100);
  assert.equal(of.insert(101, new Uint8Array(5), 0, 5), 0);
  assert.equal(of.insert(100, new Uint8Array(5), 0, 5), 1);
  assert.equal(of.insert(1, new Uint8Array(99), 0, 99), 99);
  assert.equal(of.insert(1, new Uint8Array(100), 0, 100), 0);
  assert.deepEqual([of.next, of.windowBytes, of.readableBytes], [101, 0, 100]);
  assert.equal(of.has(1, 101), true);
  assert.equal(of.has(1, 102), false);
  assert.equal(of.peek(new Uint8Array(200), 0, 200), 100);
  assert.equal(of.skip(), 100);
  assert.equal(of.peek(new Uint8Array(1), 0, 1), 0);
  assert.equal(of.windowBytes, 100);
});

test('right-sizing: after a round trip in which more was read, twice that and twice again its growth', () => {
  const of = buffer(1_000_000, 40_000);
  of.tune(100, 1000, 0);
  fill(of, 14_600, 14_600);
  of.tune(100, 1000, 100);
  assert.equal(of.limit, 40_000, 'as much as the initial window of the sender is no growth');
  fill(of, 29_200, 29_200);
  of.tune(100, 1000, 199);
  assert.equal(of.limit, 40_000, 'the round trip is not over');
  of.tune(0, 1000, 200);
  assert.equal(of.limit, 40_000, 'unknown');
  of.tune(100, 1000, 200);
  // 2 · 29,200 + 16 segments, and twice that times (29,200 − 14,600) / 14,600.
  assert.equal(of.limit, 3 * (58_400 + 16_000));
  fill(of, 200_000, 200_000);
  of.tune(100, 1000, 300);
  assert.equal(of.limit, 1_000_000);
});

test('RFC 7323 §2.3: the window scale', () => {
  for (const [bytes, units, scale] of [
    [65_535, 4096, 0],
    [65_536, 4096, 4],
    [65_536, 32_768, 1],
    [65_536, 65_536, 1],
    [131_071, 4096, 4],
    [131_072, 4096, 5],
    [2 ** 40, 4096, 14],
  ]) {
    assert.equal(windowScaleFor(bytes, units), scale, `${bytes} in ${units}`);
  }
});

test('what holds a short segment back', () => {
  assert.equal(holdAfter(0, Hold.CORK, true), 1);
  assert.equal(holdAfter(7, Hold.CORK, false), 6);
  assert.equal(holdAfter(1, Hold.MORE, true), 7);
  assert.equal(holdAfter(7, Hold.MORE, false), 1);
});

test('RFC 2883 §4: a duplicate joins the one before when they touch', () => {
  for (const [start, end, expected] of [
    [20, 30, [10, 30]],
    [21, 30, [21, 30]],
    [5, 10, [5, 20]],
    [5, 9, [5, 9]],
    [12, 13, [10, 20]],
    [7, 7, [10, 20]],
  ] as const) {
    const tcb = block();
    noteDuplicate(tcb, 10, 20);
    noteDuplicate(tcb, start, end);
    const { duplicateStart, duplicateEnd } = tcb.sackReport;
    assert.deepEqual([duplicateStart, duplicateEnd], expected);
    assert.equal(tcb.ackPending, true);
  }
  const without = block({ sack: false });
  noteDuplicate(without, 10, 20);
  assert.equal(without.sackReport.duplicateStart, -1);
});

test('RFC 2018 §4: the newest block first, then the most recent, then as many as fit', () => {
  const tcb = block();
  tcb.rcvNxt = 5;
  for (const start of [10, 30, 50, 70, 90]) {
    tcb.beyond.add(start, start + 10);
  }
  for (const ssn of [30, 10, 10, 95, 30]) noteBeyond(tcb, ssn);
  const blocks = (): number[] => {
    tcb.env.out.reset();
    addSack(tcb);
    const { sackCount, sackLeft, sackRight } = tcb.env.out;
    const spans = Array.from({ length: sackCount }, (_, i) => [
      (sackLeft[i] - tcb.irs) | 0,
      (sackRight[i] - tcb.irs) | 0,
    ]);
    return spans.flat();
  };
  assert.deepEqual(blocks(), [30, 40, 90, 100, 10, 20, 50, 60]);
  // What came twice goes first and once; below the acknowledgement number it is counted as old.
  for (const [start, counter] of [
    [4, 'TCPDSACKOldSent'],
    [5, 'TCPDSACKOfoSent'],
  ] as const) {
    const before = tcb.env.counters[counter];
    noteDuplicate(tcb, start, 6);
    assert.deepEqual(blocks(), [start, 6, 30, 40, 90, 100, 10, 20]);
    assert.equal(tcb.env.counters[counter], before + 1);
  }
  assert.deepEqual(blocks(), [30, 40, 90, 100, 10, 20, 50, 60]);
  // What is no longer beyond a hole is forgotten.
  tcb.beyond.remove(90, 100);
  assert.deepEqual(blocks(), [30, 40, 10, 20, 50, 60, 70, 80]);
  tcb.beyond.clear();
  assert.deepEqual(blocks(), []);
});

test('RFC 2018 §4: four blocks are remembered as recent, each once, and none that was forgotten', () => {
  const tcb = block();
  for (const start of [10, 30, 50, 70, 90]) tcb.beyond.add(start, start + 10);
  for (const ssn of [10, 30, 50, 70]) noteBeyond(tcb, ssn);
  const recent = (): number[] => [...tcb.sackReport.recent].slice(0, tcb.sackReport.recentCount);
  assert.deepEqual(recent(), [70, 50, 30, 10]);
  noteBeyond(tcb, 90);
  assert.deepEqual(recent(), [90, 70, 50, 30]);
  // The block grows over its neighbour: they are one.
  tcb.beyond.add(80, 90);
  noteBeyond(tcb, 80);
  assert.deepEqual(recent(), [80, 50, 30]);
  forgetReport(tcb);
  noteBeyond(tcb, 31);
  assert.deepEqual(recent(), [31]);
  assert.equal(hasReport(tcb), true);
  tcb.beyond.clear();
  assert.equal(hasReport(tcb), false);
  noteDuplicate(tcb, 3, 4);
  assert.equal(hasReport(tcb), true);
});

test('RFC 2883 §4: without room for a block none is written, and what came twice is not told later', () => {
  for (const [fastOpenLength, blocks, counted] of [
    // Twelve bytes of timestamps, then 16 or 20 of a cookie: room for one block, or for none.
    [14, 1, 1],
    [16, 0, 0],
  ]) {
    const tcb = block();
    noteDuplicate(tcb, 0, 1);
    const { out } = tcb.env;
    out.reset();
    Object.assign(out, { hasTimestamps: true, fastOpenLength });
    addSack(tcb);
    assert.equal(out.sackCount, blocks);
    assert.equal(tcb.env.counters.TCPDSACKOldSent, counted);
    assert.equal(tcb.sackReport.duplicateStart, -1);
  }
  // What was recent once and was forgotten is one block like any other.
  const tcb = block();
  tcb.beyond.add(10, 20);
  noteBeyond(tcb, 12);
  forgetReport(tcb);
  tcb.env.out.reset();
  addSack(tcb);
  assert.equal(tcb.env.out.sackCount, 1);
});

test('RFC 8985 §6.2: the smallest round trip counts from when it was last seen; less than the clock’s tick is something', () => {
  const rtt = new RttEstimator(TCP_DEFAULTS);
  rtt.sample(0, 0);
  assert.deepEqual([rtt.srttMs, rtt.minMs], [0.001, 0.001]);
  const again = new RttEstimator(TCP_DEFAULTS);
  again.sample(40, 0);
  again.sample(40, 200_000);
  again.sample(50, 500_000);
  assert.equal(again.minMs, 40);
  again.sample(50, 500_001);
  assert.equal(again.minMs, 50);
});
