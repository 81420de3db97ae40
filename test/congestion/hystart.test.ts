import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HyStart } from '../../src/congestion/hystart.ts';

const SEGMENTS_A_ROUND = 10;

/** One round of ten acknowledgements, all with the same RTT; the flight stays ten segments. */
function round(h: HyStart, rttMs: number, acknowledgements = SEGMENTS_A_ROUND): boolean {
  let over = false;
  const ackedBytes = (SEGMENTS_A_ROUND * 1000) / acknowledgements;
  for (let i = 0; i < acknowledgements; i++) over = h.onAck(ackedBytes, 10_000, rttMs) || over;
  return over;
}

/** The first acknowledgement finds the other nine outstanding, so the first round ends with the tenth. */
function afterFirstRound(rttMs: number): HyStart {
  const h = new HyStart();
  for (let i = 0; i < SEGMENTS_A_ROUND; i++) h.onAck(1000, 9000, rttMs);
  // The flight was reported as nine: one more segment puts the round boundary where `round` expects it.
  for (let i = 0; i < SEGMENTS_A_ROUND - 1; i++) h.onAck(1000, 10_000, rttMs);
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
  for (let i = 0; i < 5; i++) h.onAck(1000, 10_000, 200);
  for (let i = 0; i < 5; i++) h.onAck(1000, 10_000, 0);
  assert.equal(h.growthDivisor, 1);
});

test('conservative slow start ends after five rounds, the one it began in included', () => {
  const h = afterFirstRound(80);
  assert.equal(round(h, 100), false);
  for (let i = 0; i < 3; i++) assert.equal(round(h, 100), false);
  assert.equal(round(h, 100), true);
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
  for (let i = 0; i < 7; i++) h.onAck(1000, 10_000, 200);
  assert.equal(h.growthDivisor, 1);
  h.onAck(1000, 10_000, 200);
  assert.equal(h.growthDivisor, 4);
});
