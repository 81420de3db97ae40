// Whatever arrives: no exception, no hang, nothing that stays. About 16 seconds; longer and elsewhere with
//
//   FUZZ_SECONDS=3600 node --test dist/test/fuzz/fuzz.test.js
//   FUZZ_SEED=12345 FUZZ_SECONDS=1 node --test dist/test/fuzz/fuzz.test.js     (replays from that seed)
//
// Every round has a seed of its own; a failure names it.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { Chance } from './chance.ts';
import { Endpoint, realPackets } from './endpoint.ts';
import { mutate } from './mutate.ts';
import { Pair } from './pair.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 16);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_000);

/** Seeds that found something once: a subflow joined while its connection ended, and was left. */
const REGRESSIONS: readonly number[] = [185_903_751];

/** Runs rounds with seeds that follow each other until the time is over. */
function rounds(t: TestContext, share: number, round: (seed: number) => number): void {
  const until = performance.now() + seconds * share * 1000;
  let packets = 0;
  for (const known of REGRESSIONS) packets += round(known);
  let seed = firstSeed;
  for (; seed === firstSeed || performance.now() < until; seed++) {
    try {
      packets += round(seed);
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  t.diagnostic(`seeds ${firstSeed} to ${seed - 1}, ${packets} packets`);
}

test('random bytes and mutated packets into an endpoint', t => {
  const corpus = realPackets(1);
  assert.ok(corpus.length > 300, `only ${corpus.length} packets to mutate`);
  rounds(t, 0.4, seed => {
    const endpoint = new Endpoint(seed, corpus);
    for (let i = 0; i < 10_000; i++) endpoint.feed();
    endpoint.assertQuiet();
    return endpoint.packets;
  });
});

for (const multipath of [true, false]) {
  test(`mutants among the packets of a live ${multipath ? 'MPTCP' : 'TCP'} connection`, t => {
    rounds(t, multipath ? 0.4 : 0.2, seed => {
      const chance = new Chance(seed);
      const rarity = chance.pick([3, 10, 40]);
      const hook = (packet: Uint8Array): readonly Uint8Array[] => {
        if (!chance.oneIn(rarity)) return [packet];
        const mutant = mutate(packet, chance, true);
        return chance.pick([[mutant], [mutant, packet], [packet, mutant], []]);
      };
      const pair = new Pair({ chance, multipath, checksumOffload: true, hook });
      pair.live(600);
      pair.abortAll();
      pair.assertQuiet();
      return pair.packets;
    });
  });
}

test('a million damaged packets leave no memory behind', {
  skip: seconds < 60 && 'FUZZ_SECONDS below 60',
}, t => {
  const corpus = realPackets(1);
  const used = (): number => {
    globalThis.gc?.();
    return process.memoryUsage().heapUsed + process.memoryUsage().arrayBuffers;
  };
  const endpoint = new Endpoint(firstSeed, corpus);
  for (let i = 0; i < 200_000; i++) endpoint.feed();
  const before = used();
  for (let i = 0; i < 1_000_000; i++) endpoint.feed();
  const grownMiB = (used() - before) / 2 ** 20;
  t.diagnostic(`grown by ${grownMiB.toFixed(1)} MiB`);
  assert.ok(grownMiB < 40, `grown by ${grownMiB} MiB`);
  endpoint.assertQuiet();
});
