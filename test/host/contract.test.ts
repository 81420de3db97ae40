// The contract of the sockets with Linux's: each script runs against the core and against the live kernel, with
// the results written here expected of both.

import assert from 'node:assert/strict';
import { release } from 'node:os';
import { test } from 'node:test';
import { OPTION_SCRIPTS } from './contract-options.ts';
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
  for (const [name, script] of Object.entries({ ...SCRIPTS, ...OPTION_SCRIPTS })) {
    test(`the core, ${protocol}: ${name}`, () => {
      const steps = stepsOf(script, protocol, 'core');
      const expected = steps.map(step => step.expected);
      assert.equal(told(steps, runCore(steps, protocol)), told(steps, expected));
    });
  }
}

for (const protocol of PROTOCOLS) {
  test(`Linux answers the same, ${protocol}`, t => {
    // What MPTCP answers has changed between versions; the table has what 6.18 does.
    if (protocol === 'mptcp' && !release().startsWith('6.18.')) {
      t.skip(`the table is of Linux 6.18, and this is ${release()}`);
      return;
    }
    // Our MPTCP knows every option of TCP; Linux's refuses many.
    const scripts = protocol === 'tcp' ? { ...SCRIPTS, ...OPTION_SCRIPTS } : SCRIPTS;
    const jobs = Object.entries(scripts).map(([name, script]) => {
      return { name, protocol, steps: stepsOf(script, protocol, 'Linux') };
    });
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
}
