// Two flows of ours share a bottleneck evenly: a few of the cells of `npm run bench -- sharing`, which has all of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isWithin } from '../../bench/linux/comparison.ts';
import { ownShares } from '../../bench/linux/own-sharing.ts';
import { EVEN } from '../../bench/linux/sharing.ts';

for (const { rttMs, queue } of [
  { rttMs: 10, queue: 1 },
  { rttMs: 50, queue: 0.5 },
]) {
  for (const multipath of [false, true]) {
    const name = multipath ? 'subflows of two connections' : 'plain flows';
    test(`two ${name} share evenly: ${rttMs} ms, queue ${queue} BDP`, () => {
      const [one, other] = ownShares({ rttMs, queue, fromSeconds: 20 }, 1, { multipath, config: {} });
      assert.ok(isWithin(one / other, EVEN), `${one} and ${other} Mbit/s: ${one / other}`);
    });
  }
}
