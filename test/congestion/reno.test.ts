import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CongestionController, createController } from '../../src/congestion/index.ts';

const MSS = 1000;

function ack(c: CongestionController, ackedBytes: number, cwndLimited = true): void {
  c.onAck(ackedBytes, c.cwndBytes - ackedBytes, 100, 100, 100, cwndLimited, 0);
}

/** NewReno in congestion avoidance with cwnd = ssthresh = 10 segments. */
function atTenSegments(): CongestionController {
  const c = createController('reno', MSS, 20 * MSS);
  c.onEnterRecovery(20 * MSS, 0);
  c.onExitRecovery(0);
  return c;
}

test('slow start adds what was acknowledged, at most two segments an acknowledgement', () => {
  const c = createController('reno', MSS, 10 * MSS);
  ack(c, 700);
  assert.equal(c.cwndBytes, 10_700);
  ack(c, 9000);
  assert.equal(c.cwndBytes, 12_700);
});

test('an unfilled window does not grow', () => {
  const c = createController('reno', MSS, 10 * MSS);
  ack(c, 1000, false);
  assert.equal(c.cwndBytes, 10_000);
});

test('congestion avoidance adds one segment for each window acknowledged', () => {
  const c = atTenSegments();
  for (let i = 0; i < 9; i++) ack(c, MSS);
  assert.equal(c.cwndBytes, 10_000);
  ack(c, MSS);
  assert.equal(c.cwndBytes, 11_000);
  for (let i = 0; i < 11; i++) ack(c, MSS);
  assert.equal(c.cwndBytes, 12_000);
});

test('one acknowledgement of a whole window counts as the window', () => {
  const c = atTenSegments();
  ack(c, 10 * MSS);
  assert.equal(c.cwndBytes, 11_000);
});

test('recovery sets both to half the flight, holds still, and leaves at ssthresh', () => {
  const c = createController('reno', MSS, 20 * MSS);
  c.onEnterRecovery(15 * MSS, 0);
  assert.equal(c.ssthreshBytes, 7500);
  assert.equal(c.cwndBytes, 7500);
  ack(c, 5 * MSS);
  assert.equal(c.cwndBytes, 7500);
  c.cwndBytes = 9000; // a sender that inflates the window itself
  c.onExitRecovery(0);
  assert.equal(c.cwndBytes, 7500);
});

test('half a tiny flight is still two segments, and limited transmit does not count', () => {
  const small = createController('reno', MSS, 10 * MSS);
  small.onEnterRecovery(1500, 0);
  assert.equal(small.ssthreshBytes, 2000);
  const beyond = createController('reno', MSS, 10 * MSS);
  beyond.onEnterRecovery(12 * MSS, 0);
  assert.equal(beyond.ssthreshBytes, 5000);
});

test('a timeout leaves one segment; its repetition holds ssthresh', () => {
  const c = createController('reno', MSS, 20 * MSS);
  c.onRetransmissionTimeout(20 * MSS, true, 0);
  assert.equal(c.cwndBytes, 1000);
  assert.equal(c.ssthreshBytes, 10_000);
  c.onRetransmissionTimeout(1000, false, 0);
  assert.equal(c.ssthreshBytes, 10_000);
});

test('slow start after a timeout takes one segment an acknowledgement and stops at ssthresh', () => {
  const c = createController('reno', MSS, 6 * MSS);
  c.onRetransmissionTimeout(5500, true, 0); // ssthresh 2750
  ack(c, 2 * MSS);
  assert.equal(c.cwndBytes, 2000);
  ack(c, 2 * MSS);
  assert.equal(c.cwndBytes, 2750);
});

test('undo restores window and threshold once, and not below a window that has outgrown them', () => {
  const c = createController('reno', MSS, 20 * MSS);
  c.onRetransmissionTimeout(20 * MSS, true, 0);
  c.undo(0);
  assert.equal(c.cwndBytes, 20_000);
  assert.equal(c.ssthreshBytes, Infinity);
  c.cwndBytes = 3000;
  c.undo(0);
  assert.equal(c.cwndBytes, 3000);
  c.onEnterRecovery(3000, 0);
  c.cwndBytes = 50_000;
  c.undo(0);
  assert.equal(c.cwndBytes, 50_000);
});

test('idle: half for every timeout, not below the initial window', () => {
  const c = createController('reno', MSS, 10 * MSS);
  for (let i = 0; i < 20; i++) ack(c, MSS);
  c.onIdle(299, 300);
  assert.equal(c.cwndBytes, 30_000);
  c.onIdle(301, 300);
  assert.equal(c.cwndBytes, 15_000);
  c.onIdle(601, 300);
  assert.equal(c.cwndBytes, 10_000);
  c.onRetransmissionTimeout(10_000, true, 0);
  c.onIdle(5000, 300);
  assert.equal(c.cwndBytes, 1000);
});

test('idle: half for every timeout, and ssthresh remembers three quarters of the window (RFC 2861 §3.1)', () => {
  const c = atTenSegments();
  c.cwndBytes = 80_000;
  c.onIdle(300, 300);
  assert.equal(c.cwndBytes, 80_000);
  c.onIdle(301, 300);
  assert.equal(c.cwndBytes, 40_000);
  assert.equal(c.ssthreshBytes, 60_000);
});

test('idle for just a timeout changes nothing, a millisecond more does', () => {
  for (const [idleMs, ssthreshBytes] of [
    [300, 10_000],
    [301, 15_000],
  ]) {
    const c = atTenSegments();
    c.cwndBytes = 20_000;
    c.onIdle(idleMs, 300);
    assert.equal(c.ssthreshBytes, ssthreshBytes);
  }
});

test('a larger segment size raises a window that would not hold one segment', () => {
  const c = createController('reno', MSS, 2 * MSS);
  c.onRetransmissionTimeout(MSS, true, 0);
  c.setMss(1400);
  assert.equal(c.cwndBytes, 1400);
  c.setMss(1400);
  c.setMss(500);
  assert.equal(c.cwndBytes, 1400);
});

test('leaving a recovery that was never entered changes nothing', () => {
  const c = createController('reno', MSS, 20 * MSS);
  c.onExitRecovery(0);
  assert.equal(c.cwndBytes, 20_000);
});
