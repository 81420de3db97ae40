import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { test } from 'node:test';
import { connect, createServer, MptcpError, type Socket } from '../../src/api/index.ts';
import { stackFor } from '../../src/api/stack.ts';
import { dial, echo, errorOf, readAll, serve, until } from './world.ts';

/** UDP ports: one that is closed, and one where nobody ever answers. */
async function ports(scope: {
  after(callback: () => void): void;
}): Promise<{ closed: number; silent: number }> {
  const [one, two] = [createSocket('udp4'), createSocket('udp4')];
  await Promise.all([
    once(one.bind(0, '127.0.0.1'), 'listening'),
    once(two.bind(0, '127.0.0.1'), 'listening'),
  ]);
  const closed = one.address().port;
  await new Promise<void>(resolve => one.close(resolve));
  scope.after(() => two.close());
  return { closed, silent: two.address().port };
}

const addresses =
  (...list: string[]): LookupFunction =>
  (_host, _options, callback) =>
    callback(
      null,
      list.map(address => ({ address, family: address.includes(':') ? 6 : 4 })),
    );

/** A stack that no other test uses, told apart by its mtu: what is open there is this test's. */
function ownStack(): { mtu: number; openPorts: () => number } {
  const mtu = nextMtu++;
  return { mtu, openPorts: () => stackFor({ mtu }).network.openPorts };
}

let nextMtu = 1300;

test('a closed port is ECONNREFUSED, at once, and leaves no socket', async t => {
  const { closed } = await ports(t);
  const { mtu, openPorts } = ownStack();
  const started = performance.now();
  const error = await errorOf(connect({ port: closed, host: '127.0.0.1', mtu }));
  assert.ok(error instanceof MptcpError);
  assert.equal(error.code, 'ECONNREFUSED');
  assert.equal(error.syscall, 'connect');
  assert.deepEqual([error.address, error.port], ['127.0.0.1', closed]);
  assert.ok(performance.now() - started < 1000);
  await until(() => openPorts() === 0, 'the port given back');
});

test('nobody answers: ETIMEDOUT after connectTimeoutMs, saying why that may be', async t => {
  const { silent } = await ports(t);
  const { mtu, openPorts } = ownStack();
  const started = performance.now();
  const client = connect({ port: silent, host: '127.0.0.1', connectTimeoutMs: 200, mtu });
  const error = await errorOf(client);
  assert.equal(error.code, 'ETIMEDOUT');
  assert.match(error.message, /UDP may be blocked/);
  assert.match(error.message, /plain TCP/);
  const tookMs = performance.now() - started;
  assert.ok(tookMs >= 199 && tookMs < 1500, `${tookMs} ms`);
  await until(() => openPorts() === 0, 'the port given back');
  assert.equal(client.connecting, false);
});

test('a name that does not exist is what the resolver says, with a lookup event', async () => {
  const lookup: LookupFunction = (_host, _options, callback) =>
    callback(
      Object.assign(new Error('getaddrinfo ENOTFOUND x.invalid'), {
        code: 'ENOTFOUND',
        syscall: 'getaddrinfo',
      }),
      '',
      0,
    );
  const client = connect({ port: 9, host: 'x.invalid', lookup });
  const [looked] = await once(client, 'lookup');
  assert.equal(looked.code, 'ENOTFOUND');
  const error = await errorOf(client);
  assert.equal(error.code, 'ENOTFOUND');
  assert.equal((error as unknown as { hostname: string }).hostname, 'x.invalid');
});

test('the first of several addresses to answer wins, and the others leave nothing', async t => {
  const { port } = await serve(t, {}, echo);
  const { mtu, openPorts } = ownStack();
  const seen: string[] = [];
  const client = connect({
    port,
    mtu,
    host: 'several.test',
    lookup: addresses('127.0.0.9', '::1', '127.0.0.1'),
  });
  t.after(() => void client.destroy());
  client.on('lookup', (_error, address) => seen.push(`lookup ${address}`));
  client.on('connectionAttempt', address => seen.push(`try ${address}`));
  client.on('connectionAttemptFailed', (address, _port, _family, error) =>
    seen.push(`${error.code} ${address}`),
  );
  await once(client, 'connect');
  assert.deepEqual(seen, [
    'lookup 127.0.0.9',
    'lookup ::1',
    'lookup 127.0.0.1',
    'try 127.0.0.9',
    'ECONNREFUSED 127.0.0.9',
    'try ::1',
    'ECONNREFUSED ::1',
    'try 127.0.0.1',
  ]);
  assert.equal(client.remoteAddress, '127.0.0.1');
  client.end();
  assert.equal((await readAll(client)).length, 0);
  await until(() => openPorts() === 0, 'ports given back', 15_000);
});

test('an address that does not answer costs 250 ms, not the connection', async t => {
  const { server, port } = await serve(t, {}, echo);
  const silent = createSocket('udp4').bind(port, '127.0.0.8');
  await once(silent, 'listening');
  t.after(() => silent.close());
  const started = performance.now();
  const client = connect({ port, host: 'two.test', lookup: addresses('127.0.0.8', '127.0.0.1') });
  t.after(() => void client.destroy());
  await once(client, 'connect');
  const tookMs = performance.now() - started;
  assert.ok(tookMs >= 245 && tookMs < 900, `${tookMs} ms`);
  assert.equal(client.remoteAddress, '127.0.0.1');
  assert.ok(server.listening);
});

test('all addresses fail: one error with the errors of all', async t => {
  const { closed } = await ports(t);
  const client = connect({ port: closed, host: 'two.test', lookup: addresses('127.0.0.1', '127.0.0.2') });
  const error = (await errorOf(client)) as MptcpError;
  assert.equal(error.code, 'ECONNREFUSED');
  assert.deepEqual(
    error.errors?.map(one => (one as MptcpError).address),
    ['127.0.0.1', '127.0.0.2'],
  );
});

test('a path over a foreign address is EADDRNOTAVAIL, over no device a clear error', async t => {
  const { port } = await serve(t, {}, echo);
  const foreign = connect({ port, host: '127.0.0.1', paths: [{ local: '203.0.113.5' }] });
  assert.equal((await errorOf(foreign)).code, 'EADDRNOTAVAIL');
  const unknown = connect({ port, host: '127.0.0.1', paths: [{ local: 'wlan77' }] });
  const error = await errorOf(unknown);
  assert.equal(error.code, 'ERR_MPTCP_UNKNOWN_INTERFACE');
  assert.match(error.message, /"wlan77"/);
  const otherFamily = connect({ port, host: '127.0.0.1', paths: [{ local: '::1' }] });
  assert.equal((await errorOf(otherFamily)).code, 'ERR_MPTCP_NO_PATH');
});

test('the first path may fail: the handshake goes over the next', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving, { paths: [{ local: '203.0.113.5' }, { local: '127.0.0.2' }] });
  await once(client, 'connect');
  assert.equal(client.localAddress, '127.0.0.2');
});

test('abort before, during and after the connection', async t => {
  const { silent } = await ports(t);
  const serving = await serve(t, {}, echo);
  const { mtu, openPorts } = ownStack();
  const outcomes: Record<string, string | undefined> = {};
  const aborted = connect({ port: serving.port, host: '127.0.0.1', mtu, signal: AbortSignal.abort() });
  outcomes['before'] = (await errorOf(aborted)).code;
  const during = new AbortController();
  const pending = connect({ port: silent, host: '127.0.0.1', mtu, signal: during.signal });
  await once(pending, 'connectionAttempt');
  setImmediate(() => during.abort());
  outcomes['during'] = (await errorOf(pending)).code;
  const after = new AbortController();
  const established = dial(t, serving, { mtu, signal: after.signal });
  await once(established, 'connect');
  after.abort();
  outcomes['after'] = (await errorOf(established)).code;
  assert.deepEqual(outcomes, { before: 'ABORT_ERR', during: 'ABORT_ERR', after: 'ABORT_ERR' });
  assert.deepEqual(
    [aborted, pending, established].map((socket: Socket) => socket.destroyed),
    [true, true, true],
  );
  await until(() => openPorts() === 0, 'ports given back', 15_000);
});

test('destroying a socket that connects gives its port back', async t => {
  const { silent } = await ports(t);
  const { mtu, openPorts } = ownStack();
  const client = connect({ port: silent, host: '127.0.0.1', mtu });
  await once(client, 'connectionAttempt');
  await until(() => openPorts() === 1, 'the flow');
  client.destroy();
  const [hadError] = await once(client, 'close');
  assert.equal(hadError, false);
  await until(() => openPorts() === 0, 'the port given back');
});

test('a port in use is EADDRINUSE, with address and port', async t => {
  const { port } = await serve(t);
  const second = createServer().listen(port, '127.0.0.1');
  const [error] = await once(second, 'error');
  assert.equal(error.code, 'EADDRINUSE');
  assert.equal(error.syscall, 'listen');
  assert.equal(error.port, port);
  assert.equal(error.address, '127.0.0.1');
  assert.equal(second.listening, false);
  second.listen(0, '127.0.0.1');
  await once(second, 'listening');
  second.close();
});

test('listening on an address this machine does not have is EADDRNOTAVAIL', async () => {
  const server = createServer().listen(0, '203.0.113.5');
  const [error] = await once(server, 'error');
  assert.equal(error.code, 'EADDRNOTAVAIL');
});
