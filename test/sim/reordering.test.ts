// A path that delivers one packet in a hundred late loses nothing, and must cost next to nothing: recoveries that
// reordering brings about are found out and taken back, and the reordering window widens (RFC 8985 §6.2).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { simplePlan, World } from '../../src/sim/index.ts';

const RATE = 20_000_000;
const SECONDS = 10;

/** Bits a second that one plain TCP connection gets through. */
function goodput(extraMs: number, timestamps: boolean): number {
  const link = { rateBitsPerSecond: RATE, delayMs: 25, queueBytes: 125_000 };
  const forward = { ...link, reorder: { probability: 0.01, extraMs } };
  const plan = simplePlan({ seed: 1, paths: [{ forward, backward: link }], uploadBytes: 100_000_000 });
  plan.connections[0].multipath = false;
  plan.hosts[0].config.timestamps = timestamps;
  const world = new World(plan, { overlooks: () => true });
  world.run({ untilMs: SECONDS * 1000 });
  return (world.connections[0].server.receivedBytes * 8) / SECONDS;
}

for (const timestamps of [true, false]) {
  for (const extraMs of [5, 30, 60]) {
    test(`${extraMs} ms late, ${timestamps ? 'with' : 'without'} timestamps`, () => {
      // The largest delay is beyond what the window may wait, one round trip: each costs a repetition.
      const share = goodput(extraMs, timestamps) / RATE;
      assert.ok(share >= (extraMs > 50 ? 0.7 : 0.9), `${(100 * share).toFixed(1)} % of the rate`);
    });
  }
}
