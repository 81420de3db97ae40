import assert from 'node:assert/strict';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { connect, createServer, type DropInfo, Server } from '../../src/api/index.ts';
import { connected, dial, echo, readAll, serve, until } from './world.ts';

test('a server without host listens on every address, under one port', async t => {
  const server = createServer(echo);
  server.listen(0);
  await once(server, 'listening');
  t.after(() => void server.close());
  const port = server.address()?.port ?? 0;
  const all = Object.values(networkInterfaces()).flatMap(entries => entries ?? []);
  const reachable = all.filter(
    ({ address }) => !address.startsWith('fe80') && !address.startsWith('169.254'),
  );
  assert.ok(reachable.length >= 1);
  for (const { address } of reachable) {
    const client = connect(port, address);
    client.end(`to ${address}`);
    assert.equal((await readAll(client)).toString(), `to ${address}`);
    assert.equal(client.remoteAddress, address);
  }
});

test('address, listening and close', async () => {
  const server = createServer();
  assert.deepEqual([server.listening, server.address()], [false, null]);
  const listening = once(server, 'listening');
  assert.equal(server.listen({ port: 0, host: '127.0.0.1' }), server);
  await listening;
  assert.equal(server.listening, true);
  assert.throws(() => server.listen(0), { code: 'ERR_SERVER_ALREADY_LISTEN' });
  const address = server.address();
  assert.equal(address?.address, '127.0.0.1');
  assert.equal(address?.family, 'IPv4');
  assert.ok((address?.port ?? 0) > 0);
  await new Promise<void>((resolve, reject) => server.close(error => (error ? reject(error) : resolve())));
  assert.deepEqual([server.listening, server.address()], [false, null]);
  const error = await new Promise<Error | undefined>(resolve => server.close(resolve));
  assert.equal((error as NodeJS.ErrnoException).code, 'ERR_SERVER_NOT_RUNNING');
});

test('close waits for the connections, which go on meanwhile', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  let closed = false;
  serving.server.close(() => (closed = true));
  remote.write('still here');
  const [data] = await once(client, 'data');
  assert.equal(data.toString(), 'still here');
  assert.equal(closed, false);
  client.end();
  remote.resume();
  remote.end();
  await until(() => closed, "the server's close");
});

test('after close nobody is let in, and the port can be listened on again at once', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving);
  await once(client, 'connect');
  client.end();
  await readAll(client);
  await new Promise<void>(resolve => serving.server.close(() => resolve()));
  const late = connect(serving.port, '127.0.0.1');
  const [error] = await once(late, 'error');
  assert.equal(error.code, 'ECONNREFUSED');
  const again = createServer(echo).listen(serving.port, '127.0.0.1');
  await once(again, 'listening');
  const second = connect(serving.port, '127.0.0.1');
  second.end('again');
  assert.equal((await readAll(second)).toString(), 'again');
  again.close();
});

test('getConnections counts', async t => {
  const serving = await serve(t);
  const count = () =>
    new Promise<number>((resolve, reject) =>
      serving.server.getConnections((error, n) => (error ? reject(error) : resolve(n))),
    );
  assert.equal(await count(), 0);
  const { client } = await connected(t, serving);
  await connected(t, serving);
  assert.equal(await count(), 2);
  client.destroy();
  const first = serving.server;
  await until(() => first.listening, 'listening');
  for (let n = 2; n !== 1; n = await count()) await new Promise<void>(resolve => setImmediate(resolve));
});

test('connections beyond maxConnections are dropped, with an event', async t => {
  const serving = await serve(t);
  serving.server.maxConnections = 1;
  await connected(t, serving);
  const drops: DropInfo[] = [];
  serving.server.on('drop', info => drops.push(info));
  const second = dial(t, serving);
  const [error] = await once(second, 'error');
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(drops.length, 1);
  assert.equal(drops[0].localPort, serving.port);
  assert.equal(drops[0].remoteAddress, '127.0.0.1');
});

test('pauseOnConnect hands out paused sockets', async t => {
  const serving = await serve(t, { pauseOnConnect: true });
  const { client, remote } = await connected(t, serving);
  client.end('waiting');
  assert.equal(remote.isPaused(), true);
  await until(() => remote.readableLength === 0, 'nothing read');
  assert.equal((await readAll(remote)).toString(), 'waiting');
});

test('listen with an AbortSignal closes when it fires', async () => {
  const controller = new AbortController();
  const server = createServer().listen({ port: 0, host: '127.0.0.1', signal: controller.signal });
  await once(server, 'listening');
  controller.abort();
  await once(server, 'close');
  assert.equal(server.listening, false);
});

test('closing before it listens: no listening, but close', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  let listened = false;
  server.on('listening', () => (listened = true));
  server.close();
  await once(server, 'close');
  await new Promise<void>(resolve => setImmediate(resolve));
  assert.equal(listened, false);
});

test('await using a server closes it', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  await server[Symbol.asyncDispose]();
  assert.equal(server.listening, false);
});

test('a wildcard of one family', async t => {
  const server = new Server(echo).listen(0, '0.0.0.0');
  await once(server, 'listening');
  t.after(() => void server.close());
  const { port, address, family } = server.address() ?? { port: 0, address: '', family: '' };
  assert.deepEqual([address, family], ['0.0.0.0', 'IPv4']);
  const four = connect(port, '127.0.0.1');
  four.end('4');
  assert.equal((await readAll(four)).toString(), '4');
  const [error] = await once(connect(port, '::1'), 'error');
  assert.equal(error.code, 'ECONNREFUSED');
});

test('the application ends the server from a connection', async t => {
  const serving = await serve(t, {}, socket => {
    socket.end('bye');
    serving.server.close();
  });
  const client = dial(t, serving);
  assert.equal((await readAll(client)).toString(), 'bye');
  await once(serving.server, 'close');
});
