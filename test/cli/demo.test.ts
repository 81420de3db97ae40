// The main job as a user runs it: real processes, real sockets, real time. Small files, so no claims about
// rates.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { DemoResult } from '../../src/cli/demo/result.ts';
import { Command, childrenOf, isRunning, runCommand } from './process.ts';

const folder: string = mkdtempSync(join(tmpdir(), 'mptcp-demo-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const file: string = join(folder, 'file');
const content: Buffer = randomBytes(999_983);
writeFileSync(file, content);
const noProc: string | false =
  !existsSync('/proc/self/task') && 'processes are counted in /proc, which is not here';

function repeatedHash(bytes: number): string {
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= content.length) hash.update(content.subarray(0, left));
  return hash.digest('hex');
}

test('--json: one object with the fields of the manual, every byte intact, both networks used', async t => {
  const { code, stdout, stderr } = await runCommand(t, [
    'demo',
    file,
    '--size',
    '6',
    '--cut',
    'none',
    '--json',
  ]);
  assert.equal(stderr, '');
  const result = JSON.parse(stdout.toString()) as DemoResult;
  assert.deepEqual(Object.keys(result), [
    'intact',
    'sha256',
    'bytes',
    'seconds',
    'longestStallMs',
    'goodputMbps',
    'capacityMbps',
    'paths',
    'fallback',
  ]);
  assert.equal(result.intact, true);
  assert.equal(result.sha256, repeatedHash(6_000_000));
  assert.equal(result.bytes, 6_000_000);
  assert.equal(result.capacityMbps, 70);
  assert.equal(result.fallback, null);
  assert.deepEqual(
    result.paths.map(path => Object.keys(path)),
    Array(2).fill(['name', 'bytes', 'rttMs', 'reinjectedBytes']),
  );
  assert.deepEqual(
    result.paths.map(path => path.name),
    ['wifi', 'lte'],
  );
  for (const path of result.paths) {
    assert.ok(path.bytes > 100_000, `${path.name} carried ${path.bytes} bytes`);
    assert.ok(path.rttMs >= 30, `${path.name} has a round trip of ${path.rttMs} ms`);
  }
  assert.ok(result.goodputMbps > 0 && result.goodputMbps < 75, `${result.goodputMbps} Mbit/s`);
  assert.equal(code, 0);
});

test('Wi-Fi is cut and restored, every byte is intact, and the plain lines say so', async t => {
  const { code, stdout, stderr } = await runCommand(t, ['demo', file, '--size', '25']);
  const text = stdout.toString();
  assert.equal(stderr, '');
  assert.match(text, /Wi-Fi is cut off, at 4\d %/);
  assert.match(text, /Wi-Fi is back, at 7\d %/);
  assert.match(text, /Intact: 25\.0 MB/);
  assert.ok(text.includes(repeatedHash(25_000_000)));
  assert.equal(text.includes('\x1b'), false, 'escape sequences although this is no terminal');
  assert.equal(code, 0);
});

test('the other network can be cut instead', async t => {
  const { code, stdout } = await runCommand(t, ['demo', file, '--size', '12', '--cut', 'lte', '--json']);
  const result = JSON.parse(stdout.toString()) as DemoResult;
  assert.equal(result.intact, true);
  assert.ok(result.capacityMbps < 70 && result.capacityMbps > 50, `${result.capacityMbps} Mbit/s`);
  assert.equal(code, 0);
});

test('Ctrl-C ends every process and says so', { skip: noProc }, async t => {
  const demo = new Command(t, ['demo', file]);
  await demo.until(/Mbit\/s/);
  const children = childrenOf(demo.child.pid ?? 0);
  assert.equal(children.length, 3);
  for (const pid of children) process.kill(pid, 'SIGINT'); // A terminal tells them all.
  demo.child.kill('SIGINT');
  const { code, stderr } = await demo.ended;
  assert.match(stderr, /^mptcp demo: stopped by SIGINT\n$/);
  assert.equal(code, 130);
  assert.deepEqual(children.filter(isRunning), []);
});

test('no process outlives a conductor that was killed', { skip: noProc }, async t => {
  const demo = new Command(t, ['demo', file]);
  await demo.until(/Mbit\/s/);
  const children = childrenOf(demo.child.pid ?? 0);
  assert.equal(children.length, 3);
  demo.child.kill('SIGKILL');
  await demo.ended;
  for (let waitedMs = 0; children.some(isRunning) && waitedMs < 5000; waitedMs += 50) await delay(50);
  assert.deepEqual(children.filter(isRunning), []);
});

test('a process that dies ends the demo with its name', { skip: noProc }, async t => {
  const demo = new Command(t, ['demo', file, '--json']);
  let children: number[] = [];
  while (children.length < 3) {
    await delay(20);
    children = childrenOf(demo.child.pid ?? 0);
  }
  process.kill(children[1] ?? 0, 'SIGKILL');
  const { code, stdout, stderr } = await demo.ended;
  assert.match(stderr, /^mptcp demo: the relay process ended unasked \(SIGKILL\)\n$/);
  assert.equal(stdout.length, 0);
  assert.equal(code, 1);
});
