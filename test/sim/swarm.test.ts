// The swarm: 500 worlds that are always the same and 500 that are new every time. A failing seed comes with
// the command that runs it again; it stays a failing seed until the fault is found.

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { type TestContext, test } from 'node:test';
import { replayCommand, runSeed, runSwarm, type SwarmResult } from '../../src/sim/index.ts';

const SEEDS = 500;
const SHOWN = 10;

async function swarm(context: TestContext, from: number): Promise<SwarmResult> {
  const result = await runSwarm({ seeds: SEEDS, from, jobs: availableParallelism() });
  const { worlds, failed, virtualSeconds, wallSeconds, medianWorldMs } = result;
  const cost = `median world ${medianWorldMs.toFixed(1)} ms`;
  context.diagnostic(
    `seeds ${from} to ${from + SEEDS - 1}: ${worlds} worlds, ${failed} failed, ` +
      `${virtualSeconds} s of virtual time in ${wallSeconds.toFixed(1)} s, ${cost}`,
  );
  return result;
}

function assertNoneFailed({ failures }: SwarmResult): void {
  const lines = failures.slice(0, SHOWN).map(({ seed, failure }) => {
    return `${failure?.oracle}: ${failure?.message}\n  ${replayCommand(seed)}`;
  });
  assert.equal(failures.length, 0, `${failures.length} worlds failed\n${lines.join('\n')}`);
}

/** Worlds that failed once, and why. */
const MENDED: readonly (readonly [number, string])[] = [
  [
    71341854,
    'all options vanish, and the client only ends: its FIN came after six repetitions of the DATA_FIN',
  ],
  [90015306, 'without SACK hundreds of lost segments were repaired one a round trip'],
  [90021115, 'nothing can be joined over a path that swallows large packets until that was found out'],
  [90022309, 'only keepalive tells an idle client of a server that gave up behind a box that drops options'],
  [90023994, 'only keepalive tells an idle server of a client that gave up behind a box that drops options'],
  [
    90036313,
    'an answer sent before the third ACK, and acknowledged after an outage, made a round trip of 28 s',
  ],
];

for (const [seed, why] of MENDED) {
  test(`seed ${seed}: ${why}`, () => {
    assert.equal(runSeed(seed).failure, null);
  });
}

test('500 fixed seeds', async context => {
  const result = await swarm(context, 1);
  assert.equal(result.worlds, SEEDS);
  assertNoneFailed(result);
  assert.ok(result.medianWorldMs < 250, `the median world takes ${result.medianWorldMs} ms`);
});

test('500 fresh seeds', async context => {
  const from = 1_000_000 + Math.floor(Math.random() * 2_000_000_000);
  assertNoneFailed(await swarm(context, from));
});
