// `mptcp sim`: the summary as the manual has it, and a trace that is the same every time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCommand } from './process.ts';

test('--json prints one object with the fields of the manual', async t => {
  const { code, stdout, stderr } = await runCommand(t, ['sim', '--seeds', '5', '--from', '7', '--json']);
  const summary = JSON.parse(stdout.toString()) as Record<string, unknown>;
  assert.deepEqual(Object.keys(summary), [
    'worlds',
    'failed',
    'firstFailingSeed',
    'virtualSeconds',
    'wallSeconds',
  ]);
  assert.equal(summary['worlds'], 5);
  assert.equal(summary['failed'], 0, stderr);
  assert.equal(summary['firstFailingSeed'], null);
  assert.ok(Number(summary['virtualSeconds']) > 0);
  assert.ok(Number(summary['wallSeconds']) > 0);
  assert.equal(code, 0);
});

test('the number of threads changes nothing but the time', async t => {
  const summaries = [];
  for (const jobs of ['1', '2']) {
    const args = ['sim', '--seeds', '6', '--from', '100', '--jobs', jobs, '--json'];
    const { stdout } = await runCommand(t, args);
    summaries.push({ ...(JSON.parse(stdout.toString()) as object), wallSeconds: 0 });
  }
  assert.deepEqual(summaries[0], summaries[1]);
});

test('in words without --json', async t => {
  const { code, stdout } = await runCommand(t, ['sim', '--seeds', '2']);
  assert.match(stdout.toString(), /^2 worlds, 0 failed; \d+ s of virtual time in [\d.]+ s, /);
  assert.equal(code, 0);
});

test('--trace tells the plan and the packets of one world, the same every time', async t => {
  const first = await runCommand(t, ['sim', '--from', '3', '--trace']);
  const again = await runCommand(t, ['sim', '--from', '3', '--seeds', '1', '--trace']);
  const lines = first.stdout.toString().split('\n');
  assert.equal(lines[0], 'world 3');
  assert.ok(lines.length > 20, `${lines.length} lines`);
  assert.ok(first.stdout.equals(again.stdout), 'two runs of one seed differ');
  assert.equal(first.code, 0);
});

test('--trace is for one world', async t => {
  const { code, stderr } = await runCommand(t, ['sim', '--seeds', '2', '--trace']);
  assert.match(stderr, /^mptcp sim: --trace shows one world[^\n]*\n$/);
  assert.equal(code, 2);
});
