import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyStart } from '../../src/congestion/hystart.ts';

const SEGMENTS_A_ROUND = 10;

/** One round of ten acknowledgements, 10 ms apart and all with the same RTT; the flight stays ten segments. */
function round(h: HyStart, rttMs: number, acknowledgements = SEGMENTS_A_ROUND, apartMs = 10): boolean {
  let over = false;
  const ackedBytes = (SEGMENTS_A_ROUND * 1000) / acknowledgements;
  nowMs += 100;
  for (let i = 0; i < acknowledgements; i++) {
    over = h.onAck(ackedBytes, 10_000 - ackedBytes, rttMs, MIN_RTT_MS, CWND, nowMs) || over;
    nowMs += apartMs;
  }
  return over;
}

const MIN_RTT_MS = 80;
const CWND = 16;
let nowMs = 0;

function afterFirstRound(rttMs: number): HyStart {
  const h = new HyStart();
  round(h, rttMs);
  return h;
}

test('a steady RTT never leaves slow start', () => {
  const h = afterFirstRound(80);
  for (let i = 0; i < 50; i++) assert.equal(round(h, 80), false);
  assert.equal(h.growthDivisor, 1);
});

test('the threshold is an eighth of the last RTT', () => {
  const below = afterFirstRound(80);
  round(below, 89.9);
  assert.equal(below.growthDivisor, 1);
  const at = afterFirstRound(80);
  round(at, 90);
  assert.equal(at.growthDivisor, 4);
});

test('the threshold is at least 4 ms and at most 16 ms', () => {
  const short = afterFirstRound(8);
  round(short, 11.9);
  assert.equal(short.growthDivisor, 1);
  const shortOver = afterFirstRound(8);
  round(shortOver, 12);
  assert.equal(shortOver.growthDivisor, 4);
  const long = afterFirstRound(600);
  round(long, 616);
  assert.equal(long.growthDivisor, 4);
});

test('fewer than eight samples in a round decide nothing', () => {
  const h = afterFirstRound(80);
  round(h, 200, 7);
  assert.equal(h.growthDivisor, 1);
});

test('acknowledgements without a sample do not count as samples', () => {
  const h = afterFirstRound(80);
  for (let i = 0; i < 5; i++) h.onAck(1000, 9000, 200, MIN_RTT_MS, CWND, 10 * i);
  for (let i = 5; i < 10; i++) h.onAck(1000, 9000, 0, MIN_RTT_MS, CWND, 10 * i);
  assert.equal(h.growthDivisor, 1);
});

test('conservative slow start ends after five rounds, the one it began in included', () => {
  const h = afterFirstRound(80);
  assert.equal(round(h, 100), false);
  for (let i = 0; i < 4; i++) assert.equal(round(h, 100), false);
  // With the first acknowledgement of the sixth.
  assert.equal(h.onAck(1000, 9000, 100, MIN_RTT_MS, CWND, nowMs), true);
});

test('a delay that goes away resumes slow start', () => {
  const h = afterFirstRound(80);
  round(h, 100);
  assert.equal(h.growthDivisor, 4);
  round(h, 99);
  assert.equal(h.growthDivisor, 1);
});

test('the eighth sample of a round decides', () => {
  const h = afterFirstRound(80);
  for (let i = 0; i < 7; i++) h.onAck(1000, 9000, 200, MIN_RTT_MS, CWND, nowMs);
  assert.equal(h.growthDivisor, 1);
  h.onAck(1000, 9000, 200, MIN_RTT_MS, CWND, nowMs);
  assert.equal(h.growthDivisor, 4);
});

test('acknowledgements in one train for longer than half of the round trip end slow start', () => {
  // Linux: (80 + 1) / 2 ms. Ten that come 2 ms apart take 18 ms, forty-two 82.
  const h = afterFirstRound(80);
  assert.equal(round(h, 80, 10, 2), false);
  assert.equal(round(h, 80, 20, 2), false);
  assert.equal(round(h, 80, 42, 2), true);
});

test('a window of less than 16 segments goes on whatever the train', () => {
  const h = afterFirstRound(80);
  nowMs += 100;
  for (let i = 0; i < 42; i++) {
    assert.equal(h.onAck(10, 9990, 80, MIN_RTT_MS, 15, nowMs), false);
    nowMs += 2;
  }
});

test('a pause ends a train', () => {
  const h = afterFirstRound(80);
  assert.equal(round(h, 80, 42, 2.1), false);
});

test('a round begins with its first acknowledgement, not with the last of the round before', () => {
  // 41 acknowledgements, of which 21 take 40 ms: two rounds that follow each other without a pause.
  const h = afterFirstRound(80);
  nowMs += 100;
  for (let i = 0; i < 40; i++) {
    assert.equal(h.onAck(500, 9500, 80, MIN_RTT_MS, CWND, nowMs), false, `acknowledgement ${i}`);
    nowMs += 2;
  }
});

test('an acknowledgement without a sample is none in the middle of a round either', () => {
  const h = afterFirstRound(80);
  for (let i = 0; i < 7; i++) h.onAck(1000, 9000, 200, MIN_RTT_MS, CWND, nowMs);
  h.onAck(1000, 9000, 0, MIN_RTT_MS, CWND, nowMs);
  assert.equal(h.growthDivisor, 1);
  h.onAck(1000, 9000, 200, MIN_RTT_MS, CWND, nowMs);
  assert.equal(h.growthDivisor, 4);
});

test('a train has to be longer than half of the round trip, and may begin at any time', () => {
  for (const startMs of [0, 1000]) {
    const h = new HyStart();
    // (79 + 1) / 2 = 40 ms.
    for (let ms = 0; ms <= 40.25; ms += 0.25) {
      assert.equal(h.onAck(100, 99_900, 79, 79, CWND, startMs + ms), ms === 40.25, `${startMs} ${ms}`);
    }
  }
});
