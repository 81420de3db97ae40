// The contract of the sockets with Linux's: each script runs against the core and against the live kernel, with
// the results written here expected of both.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Protocol, runCore, runLinux, type Step, stepsOf } from './contract-script.ts';
import { SCRIPTS } from './contract-scripts.ts';

const PROTOCOLS: readonly Protocol[] = ['tcp', 'mptcp'];

/** Steps with their results, to be compared as text: what differs is seen in its place. */
function told(steps: readonly Step[], results: readonly string[]): string {
  return steps
    .map(({ socket, call, args }, i) => `${[socket, call, ...args].join(' ')} -> ${results[i]}`)
    .join('\n');
}

for (const protocol of PROTOCOLS) {
  for (const [name, script] of Object.entries(SCRIPTS)) {
    test(`the core, ${protocol}: ${name}`, () => {
      const steps = stepsOf(script, protocol, 'core');
      const expected = steps.map(step => step.expected);
      assert.equal(told(steps, runCore(steps, protocol)), told(steps, expected));
    });
  }
}

test('Linux answers the same', t => {
  const jobs = PROTOCOLS.flatMap(protocol =>
    Object.entries(SCRIPTS).map(([name, script]) => ({
      name,
      protocol,
      steps: stepsOf(script, protocol, 'Linux'),
    })),
  );
  const answers = runLinux(jobs);
  if (typeof answers === 'string') {
    t.skip(answers);
    return;
  }
  const [found, expected] = [answers, jobs.map(job => job.steps.map(step => step.expected))].map(all =>
    all.map((results, i) => `${jobs[i].protocol}: ${jobs[i].name}\n${told(jobs[i].steps, results)}`),
  );
  assert.deepEqual(found, expected);
});
