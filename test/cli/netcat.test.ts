// `mptcp listen` and `mptcp connect`, joined over loopback: bytes both ways, half-closed and in order.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { Command, runCommand } from './process.ts';

test('bytes cross both ways, and the answer may come after the end of the question', async t => {
  const question = randomBytes(700_000);
  const answer = randomBytes(300_001);
  const listener = new Command(t, ['listen', '0', '127.0.0.1']);
  const [, port = ''] = await listener.until(/listening on 127\.0\.0\.1:(\d+)/);
  const connector = new Command(t, ['connect', '127.0.0.1', port, '--path', '127.0.0.1']);
  connector.child.stdin?.end(question);
  let heard = 0;
  listener.child.stdout?.on('data', (chunk: Buffer) => {
    heard += chunk.length;
    // Only when the whole question is here: our half is still open although theirs is closed.
    if (heard === question.length) listener.child.stdin?.end(answer);
  });
  const [there, here] = await Promise.all([listener.ended, connector.ended]);
  assert.ok(there.stdout.equals(question), `${there.stdout.length} bytes of the question\n${there.stderr}`);
  assert.ok(here.stdout.equals(answer), `${here.stdout.length} bytes of the answer\n${here.stderr}`);
  assert.deepEqual([there.code, here.code], [0, 0], there.stderr + here.stderr);
});

test('empty input on both sides ends both', async t => {
  const listener = new Command(t, ['listen', '0', '127.0.0.1']);
  listener.child.stdin?.end();
  const [, port = ''] = await listener.until(/listening on 127\.0\.0\.1:(\d+)/);
  const { code, stdout, stderr } = await runCommand(t, ['connect', '127.0.0.1', port, '--quiet']);
  assert.equal(stdout.length, 0);
  assert.equal(stderr, '');
  assert.equal(code, 0);
  assert.equal((await listener.ended).code, 0);
});

test('nobody listens: one line, exit code 1, at once', async t => {
  const { code, stderr } = await runCommand(t, ['connect', '127.0.0.1', '9']);
  assert.match(stderr, /^mptcp connect:[^\n]*\n$/);
  assert.equal(code, 1);
});

test('Ctrl-C ends a listener that waits', async t => {
  const listener = new Command(t, ['listen', '0', '127.0.0.1']);
  await listener.until(/listening/);
  listener.child.kill('SIGINT');
  assert.equal((await listener.ended).code, 130);
});

test('Ctrl-C on one side of a connection ends the other too', async t => {
  const listener = new Command(t, ['listen', '0', '127.0.0.1']);
  const [, port = ''] = await listener.until(/listening on 127\.0\.0\.1:(\d+)/);
  const connector = new Command(t, ['connect', '127.0.0.1', port]);
  await connector.until(/connected/);
  connector.child.kill('SIGINT');
  assert.equal((await connector.ended).code, 130);
  const { code, stderr } = await listener.ended;
  assert.match(stderr, /ECONNRESET/);
  assert.equal(code, 1);
});
