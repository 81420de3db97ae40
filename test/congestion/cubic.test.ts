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

/** W_cubic (RFC 9438 §4.2) in segments, as a whole number on W_max's side of the curve. */
function wCubic(wMax: number, cwndEpoch: number, seconds: number): number {
  const k = Math.cbrt((wMax - cwndEpoch) / 0.4);
  return wMax + Math.trunc(0.4 * (seconds - k) ** 3);
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
  // A whole window acknowledged every 100 ms: each step goes to W_cubic(t + RTT), or beyond it by what rounding
  // the pace gives: (target − cwnd) segments, one for each ⌊cwnd / (target − cwnd)⌋ acknowledged. The Reno
  // estimate stays below: 0.529 a round trip, 22 in 42 rounds.
  ack(c, { ackedBytes: 1, now: 1000 }); // the stage begins
  for (let round = 1; round <= 41; round++) {
    ack(c, { ackedBytes: c.cwndBytes, now: 1000 + round * 100 });
    const expected = wCubic(100, 70, round / 10 + 0.1);
    const more = c.cwndBytes / 1000 - expected;
    assert.ok(more >= 0 && more <= 1, `round ${round}: ${c.cwndBytes} and ${expected}`);
  }
  assert.equal(c.cwndBytes, 100_000, 'the plateau');
});

test('beyond W_max the curve is convex: nothing at K + 1 s, 3 segments at K + 2 s', () => {
  const c = afterLossAt100();
  const kMs = Math.cbrt(30 / 0.4) * 1000;
  ack(c, { ackedBytes: 1000, now: 0 });
  // The stage began at 0. SRTT 0: the target is the curve itself. Three windows acknowledged leave the
  // Reno estimate, which started at 70 segments, far below.
  for (let i = 0; i < 2; i++) ack(c, { ackedBytes: c.cwndBytes, now: kMs + i * 40, srttMs: 0 });
  assert.equal(c.cwndBytes, 100_000);
  ack(c, { ackedBytes: c.cwndBytes, now: kMs + 1000, srttMs: 0 }); // 0.4 · 1³
  assert.equal(c.cwndBytes, 100_000);
  ack(c, { ackedBytes: 102_000, now: kMs + 2000, srttMs: 0 }); // 0.4 · 2³ = 3.2: one for each 33
  assert.equal(c.cwndBytes, 103_000);
});

test('one round trip raises the window by half at most', () => {
  const c = afterLossAt100();
  ack(c, { ackedBytes: 1, now: 0 });
  ack(c, { ackedBytes: 70_000, now: 60_000 }); // W_cubic is 69,000 segments by then
  assert.equal(c.cwndBytes, 105_000);
});

test('the window grows by whole segments, each for its part of the window, however many acknowledgements', () => {
  // W_cubic(0.2) = 100 − ⌊0.4·(4.21716 − 0.2)³⌋ = 75 segments: 5 for 70, one for every 14.
  assert.equal(wCubic(100, 70, 0.2), 75);
  const one = afterLossAt100();
  ack(one, { ackedBytes: 1, now: 0 });
  ack(one, { ackedBytes: 35_000, now: 100 });
  assert.equal(one.cwndBytes, 72_000);
  const many = afterLossAt100();
  ack(many, { ackedBytes: 1, now: 0 });
  const grown: number[] = [];
  for (let i = 1; i <= 46; i++) {
    const before = many.cwndBytes;
    ack(many, { ackedBytes: 1000, now: 100 });
    if (many.cwndBytes > before) grown.push(i);
  }
  // 14 for the first of five; then 71 / 4 make 17, and then 72 / 3 would make 24.
  assert.deepEqual(grown, [14, 31]);
});

test('short round trips follow Reno: one segment for every 1 / 0.529 windows', () => {
  const c = createController('cubic', MSS, 100 * MSS);
  c.onRetransmissionTimeout(100 * MSS, true, 0);
  ack(c, { ackedBytes: 69_000, now: 0 });
  // 1 ms round trips, K = 0: the cubic curve stays at 70 for more than a second.
  let windows = 0;
  for (let now = 0; now < 8; now++) {
    for (let half = 0; half < 2; half++) ack(c, { ackedBytes: c.cwndBytes / 2, now, srttMs: 1 });
    windows++;
    const estimate = 70 + ((3 * 0.3) / 1.7) * windows;
    // Rounded down, and reached in the window after.
    const behind = estimate - c.cwndBytes / 1000;
    assert.ok(behind >= 0 && behind < 6, `${c.cwndBytes} after ${windows} windows`);
  }
});

test('how fast it grows is decided again after 31 ms, or when the window has grown', () => {
  const c = afterLossAt100();
  // Acknowledgements of single segments with an RTT of 1 ms; W_est = 70 + 0.529 for every 70.
  ack(c, { ackedBytes: 1000, now: 0, srttMs: 1 });
  for (let i = 0; i < 400; i++) ack(c, { ackedBytes: 1000, now: 30, srttMs: 1 });
  // W_est is 73 by now, but at 0 ms there was no lead: of W_cubic(0.001) = 71 one segment for each 70.
  assert.equal(c.cwndBytes, 71_000);
});

test('fast convergence: a peak below the last one lowers W_max to 0.85 of it', () => {
  const c = afterLossAt100();
  c.onEnterRecovery(70 * MSS, 0); // cwnd 70 < W_max 100: W_max = ⌊70·1.7/2⌋ = 59, cwnd = 49
  c.onExitRecovery(0);
  assert.equal(c.cwndBytes, 49_000);
  ack(c, { ackedBytes: 1, now: 0, srttMs: 500 });
  ack(c, { ackedBytes: 49_000, now: 500, srttMs: 0 });
  assert.equal(c.cwndBytes, 1000 * wCubic(59, 49, 0.5));
});

test('time without a full window is not time on the curve', () => {
  const c = afterLossAt100();
  ack(c, { ackedBytes: 1, now: 0 });
  for (let now = 100; now <= 10_000; now += 100) ack(c, { ackedBytes: 1000, now, cwndLimited: false });
  ack(c, { ackedBytes: c.cwndBytes, now: 10_100 }); // t = 0.1 s
  assert.equal(c.cwndBytes, 1000 * wCubic(100, 70, 0.2));
});

test('idle time is not time on the curve either', () => {
  const c = createController('cubic', MSS, 100 * MSS);
  c.onEnterRecovery(100 * MSS, 0);
  c.onExitRecovery(0);
  ack(c, { ackedBytes: 1, now: 0 });
  c.onIdle(30_000, 300); // the window of 70 is below the initial 100: nothing to restart
  ack(c, { ackedBytes: c.cwndBytes, now: 30_100 });
  assert.equal(c.cwndBytes, 1000 * wCubic(100, 70, 0.2));
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

test('idle for just a timeout, or with no more than the initial window, ssthresh and window stay', () => {
  for (const [idleMs, cwndBytes, ssthreshBytes] of [
    [300, 40_000, 14_000],
    [301, 40_000, 30_000],
    [301, 20_000, 14_000],
    [301, 20_001, 15_000],
  ]) {
    const c = createController('cubic', MSS, 20 * MSS);
    c.onRetransmissionTimeout(20_000, true, 0);
    assert.equal(c.ssthreshBytes, 14_000);
    c.cwndBytes = cwndBytes;
    c.onIdle(idleMs, 300);
    assert.equal(c.ssthreshBytes, ssthreshBytes);
  }
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
  // W_cubic(2) = 0.4·8 + 70 = 73.2, three for 70: one for each 23. Reno's estimate is 70.5.
  assert.equal(c.cwndBytes, 73_000);
});

test('what slow start leaves of an acknowledgement goes to congestion avoidance', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  c.onRetransmissionTimeout(10_000, true, 0); // ssthresh 7
  ack(c, { ackedBytes: 20_000, now: 0, srttMs: 2000 });
  // 6 segments to ssthresh, 14 left: W_cubic(2) = 7 + 3.2, one for each ⌊7 / 3⌋, and no further.
  assert.equal(c.cwndBytes, 10_000);
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
  assert.equal(c.cwndBytes, 1000 * wCubic(100, 70, 0.2));
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
  assert.ok(Math.abs(slowestGrowth - 0.25) < 0.02, `a quarter of the acknowledged, not ${slowestGrowth}`);
  const exit = c.cwndBytes;
  ack(c, { ackedBytes: 1, now, srttMs: 0 });
  for (let i = 0; i < 3; i++) ack(c, { ackedBytes: c.cwndBytes, now: now + 1000 + 40 * i, srttMs: 0 });
  // K = 0: W_cubic(1.08) = W_max + 0.5, less than the Reno estimate: 1.6, rounded down.
  assert.equal(c.cwndBytes, exit + 1000);
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

test('RFC 9438 §4.2: a target below the window leaves it as it is: a shorter round trip takes nothing back', () => {
  const c = afterLossAt100();
  // With a round trip of 5 s the curve is at W_max; with one of 1 ms it is where the stage began.
  ack(c, { ackedBytes: 70_000, now: 0, srttMs: 5000 });
  assert.equal(c.cwndBytes, 100_000);
  assert.equal(wCubic(100, 70, 0.011), 71);
  for (let i = 0; i < 5; i++) ack(c, { ackedBytes: 1000, now: 10, srttMs: 1 });
  assert.equal(c.cwndBytes, 100_000);
});

test('the pace of growth holds for 31 ms and is chosen anew a millisecond later', () => {
  for (const [now, cwnd] of [
    [31, 70_000],
    [32, 75_000],
  ]) {
    const c = afterLossAt100();
    // W_cubic(0.1) = 73: one segment for 23. W_cubic(5.03) = 100: 30 of 70, one for two.
    ack(c, { ackedBytes: 1000, now: 0 });
    ack(c, { ackedBytes: 10_000, now, srttMs: 5000 });
    assert.equal(c.cwndBytes, cwnd);
  }
});

test('fast convergence asks for a peak below the last one; the same again is none', () => {
  const c = afterLossAt100();
  c.cwndBytes = 100_000;
  c.onEnterRecovery(100_000, 0);
  c.onExitRecovery(0);
  // W_max is 100 still, and with a round trip of 5 s the curve is there; 30 segments to go.
  ack(c, { ackedBytes: 70_000, now: 0, srttMs: 5000 });
  assert.equal(c.cwndBytes, 100_000);
});

test('segments count in parts until they make a whole one, and a slower pace keeps what was counted', () => {
  const c = afterLossAt100();
  // One segment for each 14 (see above): 13.5 and half a one.
  ack(c, { ackedBytes: 1, now: 0 });
  ack(c, { ackedBytes: 13_500, now: 100 });
  assert.equal(c.cwndBytes, 70_000);
  ack(c, { ackedBytes: 499, now: 100 });
  assert.equal(c.cwndBytes, 71_000);
});

test('slow start adds bytes, not segments', () => {
  const c = createController('cubic', MSS, 10 * MSS);
  ack(c, { ackedBytes: 700, now: 0 });
  assert.equal(c.cwndBytes, 10_700);
});

test('RFC 9438 §4.9.2: undo asks for a window below the one that was reduced; RFC 5681’s controllers the same', () => {
  for (const name of ['cubic', 'reno'] as const) {
    for (const [cwndBytes, ssthreshBytes] of [
      [19_999, Infinity],
      [20_000, name === 'cubic' ? 14_000 : 10_000],
    ]) {
      const c = createController(name, MSS, 20 * MSS);
      c.onEnterRecovery(20 * MSS, 0);
      c.cwndBytes = cwndBytes;
      c.undo(0);
      assert.deepEqual([c.cwndBytes, c.ssthreshBytes], [20_000, ssthreshBytes], name);
    }
  }
});

test('idle for whole timeouts: each after the first halves the window', () => {
  for (const [idleMs, cwndBytes] of [
    [300, 80_001],
    [301, 40_000],
    [600, 40_000],
    [601, 20_000],
    [900, 20_000],
    [901, 10_000],
    [1_000_000, 10_000],
    [1e12, 10_000],
  ]) {
    for (const name of ['cubic', 'reno'] as const) {
      const c = createController(name, MSS, 10 * MSS);
      c.cwndBytes = 80_001;
      c.onIdle(idleMs, 300);
      assert.equal(c.cwndBytes, cwndBytes, `${name} ${idleMs}`);
    }
  }
});

test('RFC 9438 §4.3: the Reno estimate grows by 3·0.3 / 1.7 for each window acknowledged', () => {
  // From 70 it is at 71 after 70 / 0.5294 = 132.2 segments.
  for (const [segments, cwndBytes] of [
    [132, 70_000],
    [133, 71_000],
  ]) {
    const c = createController('cubic', MSS, 100 * MSS);
    c.onRetransmissionTimeout(100 * MSS, true, 0);
    ack(c, { ackedBytes: 69_000, now: 0 });
    assert.equal(c.cwndBytes, 70_000);
    ack(c, { ackedBytes: (segments - 1) * 1000, now: 0, srttMs: 0 });
    ack(c, { ackedBytes: 1000, now: 32, srttMs: 0 });
    assert.equal(c.cwndBytes, cwndBytes, `${segments}`);
  }
});
