import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CongestionController, createController } from '../../src/congestion/index.ts';

const MSS = 1000;

interface Ack {
  ackedBytes: number;
  now: number;
  srttMs?: number;
  latestRttMs?: number;
  cwndLimited?: boolean;
}

function ack(c: CongestionController, a: Ack): void {
  const srttMs = a.srttMs ?? 100;
  const latestRttMs = a.latestRttMs ?? srttMs;
  const inFlightBytes = Math.max(c.cwndBytes - a.ackedBytes, 0);
  c.onAck(a.ackedBytes, inFlightBytes, srttMs, srttMs, latestRttMs, a.cwndLimited ?? true, a.now);
}

/** One loss at a window of 100 segments: W_max = 100, cwnd = ssthresh = 70, stage not begun. */
function afterLossAt100(): CongestionController {
  const c = createController('cubic', MSS, 100 * MSS);
  c.onEnterRecovery(100 * MSS, 0);
  c.onExitRecovery(0);
  return c;
}

test('slow start adds everything acknowledged', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  ack(c, { ackedBytes: 10_000, now: 0 });
  assert.equal(c.cwndBytes, 20_000);
  ack(c, { ackedBytes: 1000, now: 0, cwndLimited: false });
  assert.equal(c.cwndBytes, 20_000);
});

test('a loss reduces to 0.7 of the window, never below two segments', () => {
  const c = afterLossAt100();
  assert.equal(c.cwndBytes, 70_000);
  assert.equal(c.ssthreshBytes, 70_000);
  const small = createController('cubic', MSS, 2 * MSS);
  small.onEnterRecovery(2 * MSS, 0);
  assert.equal(small.cwndBytes, 2000);
});

test('the window stands still in recovery', () => {
  const c = createController('cubic', MSS, 100 * MSS);
  c.onEnterRecovery(100 * MSS, 0);
  ack(c, { ackedBytes: 50_000, now: 10 });
  assert.equal(c.cwndBytes, 70_000);
});

test('the concave curve reaches W_max after K = cbrt(30 / 0.4) = 4.217 s', () => {
  const c = afterLossAt100();
  // A whole window acknowledged every 100 ms: each step sets cwnd = W_cubic(t + RTT), whose value is
  // 0.4·(t + 0.1 − K)³ + 100 segments. The Reno estimate stays below: 0.529 a round trip, 22 in 42 rounds.
  const k = Math.cbrt(30 / 0.4);
  ack(c, { ackedBytes: 1, now: 1000 }); // the stage begins
  for (let round = 1; round <= 41; round++) {
    const now = 1000 + round * 100;
    ack(c, { ackedBytes: c.cwndBytes, now });
    const expected = 1000 * (0.4 * (round / 10 + 0.1 - k) ** 3 + 100);
    assert.ok(Math.abs(c.cwndBytes - expected) <= 1, `round ${round}: ${c.cwndBytes} and ${expected}`);
  }
  assert.ok(Math.abs(c.cwndBytes - 100_000) < 10, `plateau at ${c.cwndBytes}`);
});

test('beyond W_max the curve is convex: 0.4 segments at K + 1 s, 3.2 at K + 2 s', () => {
  const c = afterLossAt100();
  const kMs = Math.cbrt(30 / 0.4) * 1000;
  ack(c, { ackedBytes: 1000, now: 0 });
  // The stage began at 0. SRTT 0: the target is the curve itself. Three windows acknowledged leave the
  // Reno estimate, which started at 70 segments, far below.
  ack(c, { ackedBytes: c.cwndBytes, now: kMs, srttMs: 0 });
  assert.ok(Math.abs(c.cwndBytes - 100_000) <= 1);
  ack(c, { ackedBytes: c.cwndBytes, now: kMs + 1000, srttMs: 0 });
  assert.ok(Math.abs(c.cwndBytes - 100_400) <= 1);
  ack(c, { ackedBytes: c.cwndBytes, now: kMs + 2000, srttMs: 0 });
  assert.ok(Math.abs(c.cwndBytes - 103_200) <= 1);
});

test('one round trip raises the window by half at most', () => {
  const c = afterLossAt100();
  ack(c, { ackedBytes: 1, now: 0 });
  ack(c, { ackedBytes: 70_000, now: 60_000 }); // W_cubic is 69,000 segments by then
  assert.equal(c.cwndBytes, 105_000);
});

test('half a window acknowledged goes half the way, whatever the number of acknowledgements', () => {
  // W_cubic(0.2) = 100 − 0.4·(4.21716 − 0.2)³ = 74.069 segments: 4069 bytes to go.
  const targetBytes = 1000 * (100 + 0.4 * (0.2 - Math.cbrt(30 / 0.4)) ** 3);
  const one = afterLossAt100();
  ack(one, { ackedBytes: 1, now: 0 });
  ack(one, { ackedBytes: 35_000, now: 100 });
  assert.ok(Math.abs(one.cwndBytes - (70_000 + targetBytes) / 2) <= 1, `${one.cwndBytes}`);
  const many = afterLossAt100();
  ack(many, { ackedBytes: 1, now: 0 });
  let expected = 70_000;
  for (let i = 0; i < 35; i++) {
    ack(many, { ackedBytes: 1000, now: 100 });
    expected += ((targetBytes - expected) * 1000) / expected;
  }
  assert.ok(Math.abs(many.cwndBytes - expected) <= 1, `${many.cwndBytes} and ${expected}`);
});

test('short round trips follow Reno: alpha 0.529 up to the last window, then 1', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  c.onEnterRecovery(10 * MSS, 0); // cwnd 7, W_max 10, K = cbrt(3 / 0.4) = 1.957 s
  c.onExitRecovery(0);
  const alpha = (3 * 0.3) / 1.7;
  // 1 ms round trips: the cubic curve hardly moves within 6 of them, the estimate adds alpha a window.
  let wEst = 7000;
  for (let round = 0; round < 6; round++) {
    const cwnd = c.cwndBytes;
    wEst += alpha * 1000;
    ack(c, { ackedBytes: cwnd, now: round, srttMs: 1 });
    assert.equal(c.cwndBytes, Math.floor(wEst));
  }
  assert.ok(wEst >= 10_000, 'the estimate has reached cwnd_prior');
  ack(c, { ackedBytes: c.cwndBytes, now: 6, srttMs: 1 });
  const grown = c.cwndBytes - Math.floor(wEst);
  assert.ok(grown === 1000 || grown === 1001 || grown === 999, `${grown}`);
});

test('fast convergence: a peak below the last one lowers W_max to 0.85 of it', () => {
  const c = afterLossAt100();
  c.onEnterRecovery(70 * MSS, 0); // cwnd 70 < W_max 100: W_max = 70·1.7/2 = 59.5, cwnd = 49
  c.onExitRecovery(0);
  assert.equal(c.cwndBytes, 49_000);
  const k = Math.cbrt(10.5 / 0.4);
  ack(c, { ackedBytes: 1, now: 0, srttMs: 500 });
  ack(c, { ackedBytes: 49_000, now: 500, srttMs: 0 });
  const expected = 1000 * (59.5 + 0.4 * (0.5 - k) ** 3);
  assert.ok(Math.abs(c.cwndBytes - expected) <= 1, `${c.cwndBytes} and ${expected}`);
});

test('time without a full window is not time on the curve', () => {
  const k = Math.cbrt(30 / 0.4);
  const c = afterLossAt100();
  ack(c, { ackedBytes: 1, now: 0 });
  for (let now = 100; now <= 10_000; now += 100) ack(c, { ackedBytes: 1000, now, cwndLimited: false });
  const before = c.cwndBytes;
  ack(c, { ackedBytes: before, now: 10_100 }); // t = 0.1 s
  const expected = 1000 * (100 + 0.4 * (0.2 - k) ** 3);
  assert.ok(Math.abs(c.cwndBytes - expected) <= 1, `${c.cwndBytes} and ${expected}`);
});

test('idle time is not time on the curve either', () => {
  const k = Math.cbrt(30 / 0.4);
  const c = createController('cubic', MSS, 100 * MSS);
  c.onEnterRecovery(100 * MSS, 0);
  c.onExitRecovery(0);
  ack(c, { ackedBytes: 1, now: 0 });
  c.onIdle(30_000, 300); // the window of 70 is below the initial 100: nothing to restart
  ack(c, { ackedBytes: c.cwndBytes, now: 30_100 });
  const expected = 1000 * (100 + 0.4 * (0.2 - k) ** 3);
  assert.ok(Math.abs(c.cwndBytes - expected) <= 2, `${c.cwndBytes} and ${expected}`);
});

test('idle: half for every timeout, not below the initial window; ssthresh remembers', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  ack(c, { ackedBytes: 10_000, now: 0 });
  c.onIdle(300, 300);
  assert.equal(c.cwndBytes, 20_000);
  ack(c, { ackedBytes: 20_000, now: 0 });
  c.onRetransmissionTimeout(40_000, true, 0);
  c.cwndBytes = 40_000;
  assert.equal(c.ssthreshBytes, 28_000);
  c.onIdle(301, 300);
  assert.equal(c.cwndBytes, 20_000);
  // RFC 2861 §3.1: ssthresh = max(ssthresh, 3/4 cwnd).
  assert.equal(c.ssthreshBytes, 30_000);
  c.cwndBytes = 100_000;
  c.onIdle(601, 300);
  assert.equal(c.cwndBytes, 25_000);
  c.onIdle(100_000, 300);
  assert.equal(c.cwndBytes, 10_000);
});

test('a timeout: one segment, ssthresh 0.7; slow start to it; then the curve with K = 0', () => {
  const c = createController('cubic', MSS, 100 * MSS);
  c.onRetransmissionTimeout(100 * MSS, true, 0);
  assert.equal(c.cwndBytes, 1000);
  assert.equal(c.ssthreshBytes, 70_000);
  c.onRetransmissionTimeout(1000, false, 200);
  assert.equal(c.ssthreshBytes, 70_000);
  ack(c, { ackedBytes: 69_000, now: 1000 });
  assert.equal(c.cwndBytes, 70_000);
  ack(c, { ackedBytes: 1, now: 1000, srttMs: 0 }); // the stage begins: W_max = 70
  ack(c, { ackedBytes: 70_000, now: 3000, srttMs: 0 });
  // W_cubic(2) = 0.4·8 + 70 = 73.2; Reno's estimate is 70.5.
  assert.ok(Math.abs(c.cwndBytes - 73_200) <= 1, `${c.cwndBytes}`);
});

test('what slow start leaves of an acknowledgement goes to congestion avoidance', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  c.onRetransmissionTimeout(10_000, true, 0); // ssthresh 7
  ack(c, { ackedBytes: 7000, now: 0, srttMs: 0 });
  // 6 segments to ssthresh, one left: Reno's estimate 7000 + 0.529·1000·1000/7000 = 7075.6.
  assert.equal(c.cwndBytes, 7075);
});

test('undo after a spurious loss puts the window back on its old curve', () => {
  const c = afterLossAt100();
  ack(c, { ackedBytes: 70_000, now: 0 });
  const cwnd = c.cwndBytes;
  c.onEnterRecovery(cwnd, 50);
  assert.ok(c.cwndBytes < cwnd);
  c.undo(90);
  assert.equal(c.cwndBytes, cwnd);
  assert.equal(c.ssthreshBytes, 70_000);
  // As if nothing had happened: the stage began at 0, W_max is 100.
  ack(c, { ackedBytes: cwnd, now: 100 });
  const expected = 1000 * (100 + 0.4 * (0.2 - Math.cbrt(30 / 0.4)) ** 3);
  assert.ok(Math.abs(c.cwndBytes - expected) <= 2, `${c.cwndBytes} and ${expected}`);
});

test('undo after a spurious timeout in the first slow start resumes it', () => {
  const c = createController('cubic', MSS, 20 * MSS);
  c.onRetransmissionTimeout(20_000, true, 0);
  c.undo(10);
  assert.equal(c.cwndBytes, 20_000);
  assert.equal(c.ssthreshBytes, Infinity);
  c.cwndBytes = 5000;
  c.undo(20);
  assert.equal(c.cwndBytes, 5000, 'there is nothing left to undo');
});

test('undo keeps a window that has outgrown the old one', () => {
  const c = createController('cubic', MSS, 20 * MSS);
  c.onEnterRecovery(20_000, 0);
  c.cwndBytes = 21_000;
  c.undo(10);
  assert.equal(c.cwndBytes, 21_000);
  assert.equal(c.ssthreshBytes, 14_000);
});

test('a rising RTT ends the first slow start without loss, and the curve starts flat', () => {
  const c = createController('cubic', MSS, 20 * MSS);
  let now = 0;
  let slowestGrowth = 1;
  for (let round = 0; c.ssthreshBytes === Infinity && round < 20; round++) {
    const ackedBytes = c.cwndBytes / 10;
    for (let i = 0; i < 10 && c.ssthreshBytes === Infinity; i++) {
      now += 10;
      const before = c.cwndBytes;
      ack(c, { ackedBytes, now, latestRttMs: round < 3 ? 100 : 120 });
      slowestGrowth = Math.min(slowestGrowth, (c.cwndBytes - before) / ackedBytes);
    }
  }
  assert.equal(c.ssthreshBytes, c.cwndBytes);
  assert.ok(Math.abs(slowestGrowth - 0.25) < 0.001, `a quarter of the acknowledged, not ${slowestGrowth}`);
  const exit = c.cwndBytes;
  ack(c, { ackedBytes: 1, now, srttMs: 0 });
  ack(c, { ackedBytes: c.cwndBytes, now: now + 1000, srttMs: 0 });
  // K = 0: W_cubic(1) = W_max + 0.4, less than the Reno estimate with alpha 1: one segment.
  assert.ok(Math.abs(c.cwndBytes - exit - 1000) <= 1, `${c.cwndBytes - exit}`);
});

test('the window is whole and at least one segment whatever comes', () => {
  const c = createController('cubic', 1460, 14_600);
  let state = 12345;
  const next = (n: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % n;
  };
  let now = 0;
  for (let i = 0; i < 20_000; i++) {
    now += next(50);
    const what = next(100);
    if (what === 0) c.onEnterRecovery(next(c.cwndBytes + 1), now);
    else if (what === 1) c.onExitRecovery(now);
    else if (what === 2) c.onRetransmissionTimeout(next(c.cwndBytes + 1), next(2) === 0, now);
    else if (what === 3) c.onIdle(next(1000), 300);
    else if (what === 4) c.undo(now);
    else if (what === 5) c.setMss(1000 + next(460));
    else ack(c, { ackedBytes: 1 + next(65_535), now, latestRttMs: next(200), cwndLimited: next(3) > 0 });
    assert.ok(Number.isSafeInteger(c.cwndBytes) && c.cwndBytes >= 1000, `step ${i}: ${c.cwndBytes}`);
  }
});
