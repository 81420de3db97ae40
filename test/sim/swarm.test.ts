// The swarm: 500 worlds that are always the same and 500 that are new every time. A failing seed comes with
// the command that runs it again; it stays a failing seed until the fault is found.

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { type TestContext, test } from 'node:test';
import { replayCommand, runSwarm, type SwarmResult } from '../../src/sim/index.ts';

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
