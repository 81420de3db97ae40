// When slow start is over as Linux's CUBIC has it (hystart_update): a train of acknowledgements longer than half of the
// smallest round trip, or a round trip that has risen by an eighth. Expected values are its constants, worked out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinuxHyStart } from '../../src/congestion/hystart-linux.ts';
import { createController } from '../../src/congestion/index.ts';

/** Acknowledgements of 100 bytes, so many ms apart, in one long round; when it is over, null within 100 ms. */
function trainEnds(rttMs: number, apartMs: number, cwndSegments = 16): number | null {
  const h = new LinuxHyStart();
  for (let ms = 0; ms <= 100; ms += apartMs) {
    if (h.isOver(100, 1_000_000, rttMs, cwndSegments, 1000 + ms)) return ms;
  }
  return null;
}

test('a train of more than half of the round trip and a millisecond, from a window of 16 segments on', () => {
  // (79 + 1) / 2 = 40.
  assert.equal(trainEnds(79, 2), 42);
  assert.equal(trainEnds(79, 0.25), 40.25);
  assert.equal(trainEnds(79, 2.25), null, 'a pause of more than 2 ms ends it');
  assert.equal(trainEnds(79, 2, 15), null);
  // (0 + 1) / 2: less than the clock shows is a sample, too.
  assert.equal(trainEnds(0, 1), 1);
  assert.equal(trainEnds(-1, 1), null, 'no sample');
});

test('a round ends when more than what was in flight at its beginning has been delivered', () => {
  // 500 and 9,500: the twentieth acknowledgement, at 38 ms, is the last of the round. (74 + 1) / 2 = 37.5.
  for (const [inFlight, over] of [
    [9500, true],
    [9499, false],
  ] as const) {
    const h = new LinuxHyStart();
    let ended = false;
    for (let i = 0; i < 20; i++) ended = h.isOver(500, inFlight, 74, 16, 1000 + 2 * i);
    assert.equal(ended, over);
  }
});

test('after eight samples of a round: its smallest is more than an eighth above, 4 ms at least and 16 at most', () => {
  for (const [minMs, roundMs, over] of [
    [80, 90, false],
    [80, 90.25, true],
    [8, 12, false],
    [8, 12.25, true],
    [600, 616, false],
    [600, 616.25, true],
  ] as const) {
    const h = new LinuxHyStart();
    for (let i = 0; i < 10; i++) assert.equal(h.isOver(1000, 9000, minMs, 16, 10 * i), false);
    const said = Array.from({ length: 9 }, (_, i) => h.isOver(1000, 9000, roundMs, 16, 100 + 10 * i));
    assert.deepEqual(said, [...new Array<boolean>(8).fill(false), over], `${roundMs} after ${minMs}`);
  }
});

test('CUBIC as Linux: the threshold is the window at which a train was too long, in the slow start after a timeout as well', () => {
  const MSS = 1000;
  const c = createController('cubic', MSS, 20 * MSS, true);
  const train = (): void => {
    for (let ms = 0; ms <= 42; ms += 2) c.onAck(100, 1_000_000, 79, 79, 79, true, 1000 + ms);
  };
  c.onAck(100, 1_000_000, 79, 79, -1, true, 900);
  assert.deepEqual([c.cwndBytes, c.ssthreshBytes], [20_100, Infinity]);
  train();
  // Asked before the window grows: 21 acknowledgements before the last.
  assert.equal(c.ssthreshBytes, 22_200);
  c.cwndBytes = 100_000;
  c.onRetransmissionTimeout(100_000, true, 2000);
  assert.equal(c.ssthreshBytes, 70_000);
  c.cwndBytes = 30_000;
  train();
  assert.equal(c.ssthreshBytes, 32_100);
  // In congestion avoidance nobody asks.
  c.cwndBytes = 50_000;
  train();
  assert.equal(c.ssthreshBytes, 32_100);
});
