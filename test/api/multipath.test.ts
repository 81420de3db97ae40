import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { MultipathStatus, Socket, SubflowStatus } from '../../src/api/index.ts';
import { connected, dial, echo, hashOf, pattern, readAll, serve, until } from './world.ts';

const TWO_PATHS = [
  { local: '127.0.0.1', name: 'wifi' },
  { local: '127.0.0.2', name: 'lte' },
];

const active = (socket: Socket) => socket.multipath.subflows.filter(subflow => subflow.state === 'active');

test('two paths make two subflows, and both carry bytes', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving, { paths: TWO_PATHS });
  await until(() => active(client).length === 2 && active(remote).length === 2, 'two subflows');
  const { multipath } = client;
  assert.equal(multipath.active, true);
  assert.equal(multipath.backend, 'user');
  assert.equal(multipath.fallback, null);
  assert.equal(typeof multipath.token, 'number');
  assert.deepEqual(multipath.subflows.map(subflow => subflow.name).sort(), ['lte', 'wifi']);
  assert.deepEqual(multipath.subflows.map(subflow => subflow.local.address).sort(), [
    '127.0.0.1',
    '127.0.0.2',
  ]);
  const bytes = pattern(8 << 20);
  client.end(bytes);
  assert.equal(hashOf(await readAll(remote)), hashOf(bytes));
  const { subflows } = client.multipath;
  assert.equal(subflows.length, 2);
  for (const { name, bytesSent } of subflows) {
    assert.ok(bytesSent > 100_000, `${name} carried ${bytesSent} bytes`);
  }
});

test('the snapshot is plain JSON of exactly this shape', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving, { paths: TWO_PATHS });
  assert.deepEqual(client.multipath as unknown, {
    ...{ active: false, backend: 'user', reason: null, fallback: null, token: null },
    ...{ unhonoured: [], subflows: [] },
  });
  await once(client, 'connect');
  await until(() => active(client).length === 2, 'two subflows');
  const multipath: MultipathStatus = client.multipath;
  assert.deepEqual(JSON.parse(JSON.stringify(multipath)), multipath);
  assert.deepEqual(Object.keys(multipath), [
    ...['active', 'backend', 'reason', 'fallback', 'token', 'unhonoured', 'subflows'],
  ]);
  for (const subflow of multipath.subflows) {
    assert.deepEqual(Object.keys(subflow), [
      ...['id', 'name', 'local', 'remote', 'state', 'backup', 'rttMs', 'cwndBytes'],
      ...['bytesSent', 'bytesReceived', 'bytesReinjected'],
    ]);
    assert.deepEqual(Object.keys(subflow.local), ['address', 'port']);
    assert.equal(subflow.remote.port, serving.port);
  }
  client.destroy();
  assert.equal(client.multipath.token, multipath.token);
});

test('subflow and subflowclose tell of paths that come and go', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving, { paths: [TWO_PATHS[0]] });
  await once(client, 'connect');
  const opened = once(client, 'subflow');
  await client.addPath({ local: '127.0.0.3', name: 'third', backup: true });
  const [subflow] = (await opened) as [SubflowStatus];
  assert.equal(subflow.name, 'third');
  assert.equal(subflow.backup, true);
  assert.equal(subflow.local.address, '127.0.0.3');
  const closed = once(client, 'subflowclose');
  client.removePath('third');
  const [gone, reason] = (await closed) as [SubflowStatus, string];
  assert.equal(gone.id, subflow.id);
  assert.equal(typeof reason, 'string');
  client.end('goes on');
  assert.equal((await readAll(client)).toString(), 'goes on');
});

test('a path lost in the middle of a transfer costs no byte', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving, { paths: TWO_PATHS });
  await until(() => active(client).length === 2, 'two subflows');
  const bytes = pattern(24 << 20);
  const parts: Buffer[] = [];
  let received = 0;
  let removed = false;
  remote.on('data', part => {
    parts.push(part);
    received += part.length;
    if (removed || received < bytes.length / 3) return;
    removed = true;
    client.removePath('127.0.0.1');
  });
  client.end(bytes);
  await once(remote, 'end');
  assert.equal(removed, true);
  assert.equal(hashOf(...parts), hashOf(bytes));
  assert.deepEqual(
    client.multipath.subflows.filter(s => s.state !== 'closed' && s.state !== 'closing').map(s => s.name),
    ['lte'],
  );
});

test('setBackup is seen by both ends', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving, { paths: TWO_PATHS });
  await until(() => active(client).length === 2 && active(remote).length === 2, 'two subflows');
  const lte = client.multipath.subflows.find(subflow => subflow.name === 'lte');
  assert.ok(lte);
  client.setBackup(lte.id, true);
  const backups = (socket: Socket) => socket.multipath.subflows.filter(subflow => subflow.backup).length;
  assert.equal(backups(client), 1);
  await until(() => backups(remote) === 1, 'MP_PRIO');
});

test('paths of a connection that is not there, and paths that are none', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving, { paths: [TWO_PATHS[0]] });
  assert.throws(() => client.removePath('wifi'), { code: 'ENOTCONN' });
  await assert.rejects(client.addPath({ local: '127.0.0.3' }), { code: 'ENOTCONN' });
  await once(client, 'connect');
  assert.throws(() => client.removePath('nothing'), { code: 'ERR_INVALID_ARG_VALUE', message: /"nothing"/ });
  await assert.rejects(client.addPath({ local: 'wlan77' }), { code: 'ERR_MPTCP_UNKNOWN_INTERFACE' });
  await assert.rejects(client.addPath({ local: '::1' }), { code: 'ERR_MPTCP_NO_PATH' });
});

test('a path may lead to another port of the peer', async t => {
  const serving = await serve(t, {}, echo);
  const second = await serve(t, { host: '127.0.0.4' }, echo);
  const paths = [
    { local: '127.0.0.1', name: 'direct' },
    { local: '127.0.0.2', name: 'detour', remote: { host: '127.0.0.4', port: second.port } },
  ];
  const client = dial(t, serving, { paths });
  await once(client, 'connect');
  await until(() => active(client).length === 2, 'two subflows');
  const detour = client.multipath.subflows.find(subflow => subflow.name === 'detour');
  assert.deepEqual(detour?.remote, { address: '127.0.0.4', port: second.port });
});

test('a server that speaks plain TCP only is a fallback the client can see', async t => {
  const serving = await serve(t, { multipath: false }, echo);
  const client = dial(t, serving, { paths: TWO_PATHS });
  const fallback = once(client, 'fallback');
  await once(client, 'connect');
  const [info] = await fallback;
  assert.equal(client.multipath.active, false);
  assert.deepEqual(client.multipath.fallback, info);
  assert.equal(typeof info.cause, 'string');
  client.end('plain after all');
  assert.equal((await readAll(client)).toString(), 'plain after all');
});

test('checksums on request', async t => {
  const serving = await serve(t, { checksum: true }, echo);
  const client = dial(t, serving, { paths: TWO_PATHS, checksum: true });
  const bytes = pattern(1 << 20);
  client.write(bytes);
  const received = readAll(client);
  await once(client, 'data');
  assert.equal(client.multipath.active, true);
  client.end();
  assert.equal(hashOf(await received), hashOf(bytes));
  assert.equal(client.multipath.fallback, null);
});

test('addresses the server advertises are joined, nothing otherwise', async t => {
  const second = await serve(t, { host: '127.0.0.5' }, echo);
  const serving = await serve(t, { advertise: [{ host: '127.0.0.5', port: second.port }] }, echo);
  const client = dial(t, serving, { paths: [TWO_PATHS[0]] });
  client.write('x');
  await once(client, 'data');
  await until(() => active(client).length === 2, 'a subflow to the advertised address');
  assert.deepEqual(client.multipath.subflows.map(subflow => subflow.remote.address).sort(), [
    '127.0.0.1',
    '127.0.0.5',
  ]);
});
