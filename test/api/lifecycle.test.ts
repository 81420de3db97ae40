// Connections in numbers, processes that end or are ended.

import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { connect, type ProtocolConfig, type Socket } from '../../src/api/index.ts';
import { stackFor } from '../../src/api/stack.ts';
import { dial, echo, errorOf, pattern, readAll, serve, until } from './world.ts';

const CHILD = fileURLToPath(new URL('./lifecycle-child.js', import.meta.url));

/** Starts the child in one of its roles; resolves to what it says first. */
async function startChild(scope: { after(callback: () => void): void }, ...args: string[]) {
  const child: ChildProcess = fork(CHILD, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
  scope.after(() => void child.kill('SIGKILL'));
  const [said] = await once(child, 'message');
  return { child, said: said as { port: number } };
}

test('1,000 connections in a row, and nothing is left of them', async t => {
  const serving = await serve(t, { config: FAST_END }, echo);
  const once1 = async (text: string) => {
    const client = connect({ port: serving.port, host: serving.host });
    client.end(text);
    assert.equal((await readAll(client)).toString(), text);
  };
  for (let i = 0; i < 200; i++) await once1(`warm-up ${i}`);
  const before = heapUsed();
  for (let i = 0; i < 1000; i++) await once1(`connection ${i}`);
  const { network, driver } = stackFor({});
  await until(() => network.openPorts === 0, 'client ports given back', 60_000);
  await until(() => count(driver.host.connections) === 0, 'no connection left at the client', 60_000);
  const grown = heapUsed() - before;
  assert.ok(grown < 8 << 20, `the heap grew by ${grown} bytes`);
});

test('200 connections at once', async t => {
  const serving = await serve(t, {}, echo);
  const clients = Array.from({ length: 200 }, (_, i) => {
    const client = dial(t, serving);
    client.end(pattern(20_000, i + 1));
    return readAll(client);
  });
  for (const [i, bytes] of (await Promise.all(clients)).entries()) {
    assert.ok(bytes.equals(pattern(20_000, i + 1)), `connection ${i}`);
  }
});

test('a server killed in the middle of a transfer is an error within seconds', async t => {
  const { child, said } = await startChild(t, 'serve');
  const client = dialPort(t, said.port);
  flood(client);
  client.once('data', () => child.kill('SIGKILL'));
  const started = performance.now();
  const error = await errorOf(client);
  assert.equal(error.code, 'ECONNRESET');
  assert.match(error.message, /process has ended/);
  assert.ok(performance.now() - started < 10_000);
});

test('a server that falls silent is ETIMEDOUT in the time configured', async t => {
  const { child, said } = await startChild(t, 'serve');
  const client = dialPort(t, said.port, { dataTimeoutMs: 1500, closeTimeoutMs: 500 });
  flood(client);
  client.once('data', () => child.kill('SIGSTOP'));
  const started = performance.now();
  const error = await errorOf(client);
  assert.equal(error.code, 'ETIMEDOUT');
  const tookMs = performance.now() - started;
  assert.ok(tookMs > 1000 && tookMs < 15_000, `${tookMs} ms`);
});

test('a client killed in the middle of a transfer ends at the server, in the time configured', async t => {
  const ended: (string | undefined)[] = [];
  const serving = await serve(t, { config: { dataTimeoutMs: 1500, closeTimeoutMs: 500 } }, socket => {
    socket.on('error', error => ended.push((error as NodeJS.ErrnoException).code));
    flood(socket);
  });
  const { child } = await startChild(t, 'read', `${serving.port}`);
  child.kill('SIGKILL');
  await until(() => ended.length > 0, 'an error at the server', 20_000);
  assert.deepEqual(ended, ['ETIMEDOUT']);
});

test('a process with nothing but a finished connection ends', async t => {
  const serving = await serve(t, {}, echo);
  const { child } = await startChild(t, 'ask', `${serving.port}`);
  const [code] = await exitOf(child, 5000);
  assert.equal(code, 0);
});

test('an unreferenced server does not keep its process alive, a referenced one does', async t => {
  const unref = await startChild(t, 'serve-unref');
  assert.deepEqual(await exitOf(unref.child, 5000), [0, null]);
  const ref = await startChild(t, 'serve-idle');
  const client = connect(ref.said.port, '127.0.0.1');
  await once(client, 'connect');
  client.destroy();
  assert.equal(ref.child.exitCode, null);
});

test('what was written just before the program ends is delivered', async t => {
  let received = 0;
  const serving = await serve(t, {}, socket => socket.on('data', part => (received += part.length)));
  const { child } = await startChild(t, 'send', `${serving.port}`, '3000000');
  const [code] = await exitOf(child, 20_000);
  assert.equal(code, 0);
  assert.equal(received, 3_000_000);
});

function dialPort(
  scope: { after(callback: () => void): void },
  port: number,
  config?: ProtocolConfig,
): Socket {
  const client = connect({ port, host: '127.0.0.1', ...(config === undefined ? {} : { config }) });
  scope.after(() => void client.destroy());
  return client;
}

/** Writes as long as there is room. */
function flood(socket: Socket): void {
  const chunk = pattern(64 << 10);
  const more = () => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on('drain', more);
  more();
}

function exitOf(child: ChildProcess, withinMs: number): Promise<unknown[]> {
  child.disconnect();
  return Promise.race([
    once(child, 'exit'),
    new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error(`still running after ${withinMs} ms`)), withinMs).unref();
    }),
  ]);
}

function heapUsed(): number {
  // The runner starts tests without flags; what nobody collected is not what is left.
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

function count(items: Iterable<unknown>): number {
  let n = 0;
  for (const _ of items) n++;
  return n;
}

const FAST_END = { timeWaitMs: 200, subflowTimeWaitMs: 200 };
