// What programs written for node:net rely on, the same for every backend: each test runs over node:net itself,
// over our own stack, and over the kernel's Multipath TCP.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import type * as net from 'node:net';
import type { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { describe, test } from 'node:test';
import * as tls from 'node:tls';
import { MptcpError } from '../../src/api/index.ts';
import { TEST_ONLY_CERTIFICATE, TEST_ONLY_KEY } from './certificate-for-tests-only.ts';
import { type Backend, backends, type Connection, closeOf, Served } from './contract-bed.ts';
import { hashOf, pattern, readAll, until } from './world.ts';

for (const backend of backends) describe(backend.name, { skip: backend.skip }, () => contract(backend));

function contract(backend: Backend): void {
  transfer(backend);
  lifecycle(backend);
  options(backend);
  failures(backend);
  servers(backend);
  aboveIt(backend);
  if (backend.name !== 'node:net') requirement(backend);
}

function transfer(backend: Backend): void {
  test('4 MiB each way arrive as they were sent, and are counted', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.pipe(remote);
    const bytes = pattern(4 << 20);
    const received = readAll(client);
    for (let at = 0; at < bytes.length; at += 100_000) client.write(bytes.subarray(at, at + 100_000));
    client.end();
    assert.equal(hashOf(await received), hashOf(bytes));
    assert.deepEqual([client.bytesRead, client.bytesWritten], [bytes.length, bytes.length]);
  });

  test('writes before the connection are delivered in order, and so is an end', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    client.write('one ');
    client.write('two ');
    client.end('three');
    assert.equal((await readAll(await served.next())).toString(), 'one two three');
  });

  test('write callbacks come in order', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.resume();
    const done: number[] = [];
    for (let i = 0; i < 50; i++) client.write(pattern(30_000), () => done.push(i));
    client.end();
    await once(client, 'finish');
    assert.deepEqual(
      done,
      Array.from({ length: 50 }, (_, i) => i),
    );
  });

  test('a reader that stops makes the writer stop, and nothing is lost', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.pause();
    let written = 0;
    // Until both kernels or both stacks are full.
    while (client.write(pattern(256 << 10))) written += 256 << 10;
    written += 256 << 10;
    const drained = once(client, 'drain');
    const received = readAll(remote);
    await drained;
    client.end();
    assert.equal((await received).length, written);
  });

  test('pipeline and for await', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    const bytes = pattern(300_000);
    const sent = pipeline([bytes.subarray(0, 100_000), bytes.subarray(100_000)], await served.next());
    sent.catch(() => {}); // The writer is a Duplex whose other side ends when we do.
    const parts: Buffer[] = [];
    for await (const part of client) parts.push(part as Buffer);
    assert.equal(hashOf(...parts), hashOf(bytes));
  });

  test('setEncoding', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    client.setEncoding('utf8');
    const [first, second] = [Buffer.from('ä').subarray(0, 1), Buffer.from('ä').subarray(1)];
    remote.write(first, () => remote.end(second));
    let text = '';
    client.on('data', (part: string) => (text += part));
    await once(client, 'end');
    assert.equal(text, 'ä');
  });
}

function lifecycle(backend: Backend): void {
  test('what a socket says of itself before, during and after', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    assert.deepEqual([client.connecting, client.pending, client.readyState], [true, true, 'opening']);
    const order: string[] = [];
    for (const event of ['connect', 'ready'] as const) client.on(event, () => order.push(event));
    const [remote] = await Promise.all([served.next(), once(client, 'ready')]);
    assert.deepEqual(order, ['connect', 'ready']);
    assert.deepEqual([client.connecting, client.pending, client.readyState], [false, false, 'open']);
    assert.deepEqual(
      [client.remoteAddress, client.remoteFamily, client.remotePort],
      [...['127.0.0.1', 'IPv4'], served.port],
    );
    assert.deepEqual(client.address(), { address: '127.0.0.1', family: 'IPv4', port: remote.remotePort });
    assert.deepEqual([client.localAddress, client.localPort], ['127.0.0.1', remote.remotePort]);
    assert.deepEqual([remote.localAddress, remote.localPort], ['127.0.0.1', served.port]);
    client.destroy();
    const [hadError] = await once(client, 'close');
    assert.equal(hadError, false);
    assert.deepEqual([client.readyState, client.destroyed], ['closed', true]);
  });

  test('half-open: the client ends, the server goes on', async t => {
    const served = await Served.start(t, backend, { allowHalfOpen: true });
    const { client, remote } = await served.pair();
    client.end('question');
    assert.equal((await readAll(remote)).toString(), 'question');
    assert.equal(remote.writable, true);
    remote.end('answer');
    assert.equal((await readAll(client)).toString(), 'answer');
  });

  test('half-open: the server ends, the client goes on', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair({ allowHalfOpen: true });
    remote.end('greeting');
    assert.equal((await readAll(client)).toString(), 'greeting');
    assert.deepEqual([client.writable, client.readyState], [true, 'writeOnly']);
    client.end('farewell');
    const [text] = await Promise.all([readAll(remote), finished(remote)]);
    assert.equal(text.toString(), 'farewell');
  });

  test('without allowHalfOpen the end of the peer ends the socket', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.end();
    client.resume();
    const [hadError] = await once(client, 'close');
    assert.equal(hadError, false);
  });

  test('the end of a peer that sent nothing is heard by a socket nobody reads', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.end();
    await once(client, 'end');
  });

  test('destroySoon waits for the writes', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const bytes = pattern(1 << 20);
    client.write(bytes);
    client.destroySoon();
    assert.equal(hashOf(await readAll(remote)), hashOf(bytes));
    await until(() => client.destroyed, 'destroyed');
  });

  test('resetAndDestroy is ECONNRESET at the peer', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const [[error]] = await Promise.all([once(remote, 'error'), Promise.resolve(client.resetAndDestroy())]);
    assert.deepEqual([error.code, error.syscall], ['ECONNRESET', 'read']);
  });

  test('destroying with an error emits that very error', async t => {
    const served = await Served.start(t, backend);
    const { client } = await served.pair();
    const mine = new Error('mine');
    client.destroy(mine);
    const [error] = await once(client, 'error');
    assert.equal(error, mine);
  });
}

function options(backend: Backend): void {
  test('setTimeout tells of silence once, and traffic puts it off', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.pipe(remote);
    let timeouts = 0;
    client.on('timeout', () => timeouts++);
    const started = performance.now();
    client.setTimeout(120);
    for (let i = 0; i < 4; i++) {
      client.write('x');
      await once(client, 'data');
      await new Promise<void>(resolve => setTimeout(resolve, 50));
    }
    assert.equal(timeouts, 0, 'traffic every 50 ms');
    await once(client, 'timeout');
    assert.ok(performance.now() - started >= 4 * 50 + 60);
    assert.equal(client.destroyed, false);
    client.setTimeout(0);
  });

  test('the option timeout counts while connecting, too', async t => {
    const client = backend.connect({ port: 9, host: 'nowhere.test', timeout: 30, lookup: () => {} });
    t.after(() => void client.on('error', () => {}).destroy());
    const hold = setInterval(() => {}, 1000);
    await once(client, 'timeout');
    clearInterval(hold);
    assert.equal(client.connecting, true);
  });

  test('noDelay, keepAlive, ref and unref, as options and as methods that chain', async t => {
    const served = await Served.start(t, backend, {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: 1000,
    });
    const client = served.dial({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 2000 });
    assert.equal(client.setNoDelay().setKeepAlive(true, 5000).unref().ref(), client);
    (await served.next()).end('still works');
    assert.equal((await readAll(client)).toString(), 'still works');
  });

  test('localAddress is where it comes from', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair({ localAddress: '127.0.0.7' });
    assert.deepEqual([client.localAddress, remote.remoteAddress], ['127.0.0.7', '127.0.0.7']);
  });

  test('IPv6 loopback', async t => {
    const served = await Served.start(t, backend, { host: '::1' });
    const { client, remote } = await served.pair();
    remote.end('six');
    assert.equal((await readAll(client)).toString(), 'six');
    assert.deepEqual(
      [client.remoteFamily, client.remoteAddress, client.localAddress],
      ['IPv6', '::1', '::1'],
    );
  });
}

function failures(backend: Backend): void {
  const ours = backend.name !== 'node:net';

  test('nobody listens: ECONNREFUSED, with address and port', async t => {
    const served = await Served.start(t, backend);
    served.server.close();
    await once(served.server as never, 'close');
    const client = served.dial();
    const [[error], [hadError]] = await Promise.all([once(client, 'error'), closeOf(client)]);
    const { code, syscall, address, port } = error;
    assert.deepEqual([code, syscall, address, port], ['ECONNREFUSED', 'connect', '127.0.0.1', served.port]);
    assert.equal(error instanceof MptcpError, ours);
    assert.equal(hadError, true);
  });

  test('a name that does not exist is what the resolver says, with a lookup event', async () => {
    const lookup: net.LookupFunction = (_host, _options, callback) => {
      const error = Object.assign(new Error('getaddrinfo ENOTFOUND'), {
        ...{ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'x.invalid' },
      });
      process.nextTick(() => callback(error, '', 0));
    };
    const client = backend.connect({ port: 9, host: 'x.invalid', lookup });
    const [[looked], [error]] = await Promise.all([once(client, 'lookup'), once(client, 'error')]);
    assert.deepEqual([looked.code, error.code, error.hostname], ['ENOTFOUND', 'ENOTFOUND', 'x.invalid']);
  });

  test('the second address of a name is tried when the first refuses', async t => {
    const served = await Served.start(t, backend);
    const tried: string[] = [];
    const client = served.dial({
      host: 'two.test',
      autoSelectFamily: true,
      lookup: (_host, _options, callback) =>
        process.nextTick(() =>
          callback(null, [
            { address: '::1', family: 6 },
            { address: '127.0.0.1', family: 4 },
          ]),
        ),
    });
    client.on('connectionAttempt', (address: string) => tried.push(address));
    await once(client, 'connect');
    assert.deepEqual(tried, ['::1', '127.0.0.1']);
    assert.equal(client.remoteAddress, '127.0.0.1');
    (await served.next()).end('four');
    assert.equal((await readAll(client)).toString(), 'four');
  });

  test('a port that is none, and no port at all, are thrown', () => {
    assert.throws(() => backend.connect({ port: 65_536 }), { code: 'ERR_SOCKET_BAD_PORT' });
    assert.throws(() => backend.connect({ host: 'x' } as never), { code: 'ERR_MISSING_ARGS' });
  });

  test('abort before, during and after the connection', async t => {
    const served = await Served.start(t, backend);
    const aborted = served.dial({ signal: AbortSignal.abort() } as object);
    const [before] = await once(aborted, 'error');
    const during = new AbortController();
    const pending = served.dial({ host: 'x.test', lookup: () => {}, signal: during.signal } as object);
    setImmediate(() => during.abort());
    const [middle] = await once(pending, 'error');
    const later = new AbortController();
    const established = served.dial({ signal: later.signal } as object);
    await once(established, 'connect');
    later.abort();
    const [after] = await once(established, 'error');
    assert.deepEqual([before.code, middle.code, after.code], ['ABORT_ERR', 'ABORT_ERR', 'ABORT_ERR']);
    assert.deepEqual([pending.destroyed, established.destroyed], [true, true]);
  });

  test('a write that waits for the connection fails when the socket is destroyed', async () => {
    const client = backend.connect({ port: 9, host: 'x.test', lookup: () => {} });
    const written = new Promise<Error | null | undefined>(resolve => client.write('never sent', resolve));
    client.destroy();
    const { code } = (await written) as NodeJS.ErrnoException;
    assert.equal(code, 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION');
  });

  test('a write after the end', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.resume();
    client.end();
    client.write('late');
    const [error] = await once(client, 'error');
    assert.ok(['ERR_STREAM_WRITE_AFTER_END', 'EPIPE'].includes(error.code), error.code);
  });
}

function servers(backend: Backend): void {
  test('address, listening, close, and the errors of doing things twice', async t => {
    const { server, port } = await Served.start(t, backend);
    assert.equal(server.listening, true);
    assert.deepEqual(server.address(), { address: '127.0.0.1', family: 'IPv4', port });
    assert.throws(() => server.listen({ port: 0 }), { code: 'ERR_SERVER_ALREADY_LISTEN' });
    await new Promise<void>((resolve, reject) => {
      server.close(error => (error ? reject(error) : resolve()));
    });
    assert.deepEqual([server.listening, server.address()], [false, null]);
    const error = await new Promise<Error | undefined>(resolve => server.close(resolve));
    assert.equal((error as NodeJS.ErrnoException).code, 'ERR_SERVER_NOT_RUNNING');
  });

  test('a port in use is EADDRINUSE, with address and port; the server can listen elsewhere', async t => {
    const { port } = await Served.start(t, backend);
    const second = backend.createServer({});
    second.listen({ port, host: '127.0.0.1' });
    const [error] = await once(second as never, 'error');
    const { code, syscall, address } = error;
    assert.deepEqual([code, syscall, address, error.port], ['EADDRINUSE', 'listen', '127.0.0.1', port]);
    assert.equal(second.listening, false);
    second.listen({ port: 0, host: '127.0.0.1' });
    await once(second as never, 'listening');
    second.close();
  });

  test('an address this machine does not have is EADDRNOTAVAIL', async () => {
    const server = backend.createServer({});
    server.listen({ port: 0, host: '203.0.113.5' });
    const [error] = await once(server as never, 'error');
    assert.deepEqual([error.code, error.syscall], ['EADDRNOTAVAIL', 'listen']);
  });

  test('without a host it listens on addresses of both families', async t => {
    const server = backend.createServer({}, socket => void socket.end(String(socket.remoteFamily)));
    server.listen({ port: 0 });
    await once(server as never, 'listening');
    t.after(() => void server.close());
    const { port } = server.address() as net.AddressInfo;
    for (const host of ['127.0.0.1', '::1']) {
      assert.match((await readAll(backend.connect({ port, host }) as Readable)).toString(), /^IPv[46]$/);
    }
  });

  test('close waits for the connections, which go on meanwhile', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    let closed = false;
    served.server.close(() => (closed = true));
    remote.write('still here');
    const [data] = await once(client, 'data');
    assert.equal(data.toString(), 'still here');
    assert.equal(closed, false);
    client.end();
    remote.resume();
    remote.end();
    await until(() => closed, "the server's close");
  });

  test('getConnections counts', async t => {
    const served = await Served.start(t, backend);
    const count = () =>
      new Promise<number>((resolve, reject) =>
        served.server.getConnections((error, n) => (error ? reject(error) : resolve(n))),
      );
    const { client, remote } = await served.pair();
    await served.pair();
    assert.equal(await count(), 2);
    remote.resume();
    client.destroy();
    await once(remote, 'close');
    assert.equal(await count(), 1);
  });

  test('connections beyond maxConnections are dropped, with an event', async t => {
    const served = await Served.start(t, backend);
    served.server.maxConnections = 1;
    await served.pair();
    const dropped = once(served.server as never, 'drop');
    const second = served.dial();
    second.on('error', () => {});
    second.resume();
    const [info] = await dropped;
    assert.deepEqual(
      [info.localPort, info.remoteAddress, info.remoteFamily],
      [served.port, '127.0.0.1', 'IPv4'],
    );
    await closeOf(second);
  });

  test('pauseOnConnect hands out paused sockets', async t => {
    const served = await Served.start(t, backend, { pauseOnConnect: true });
    const { client, remote } = await served.pair();
    client.end('waiting');
    assert.equal(remote.isPaused(), true);
    assert.equal((await readAll(remote)).toString(), 'waiting');
  });

  test('listen with an AbortSignal closes when it fires', async () => {
    const controller = new AbortController();
    const server = backend.createServer({});
    server.listen({ port: 0, host: '127.0.0.1', signal: controller.signal });
    await once(server as never, 'listening');
    controller.abort();
    await once(server as never, 'close');
    assert.equal(server.listening, false);
  });
}

function requirement(backend: Backend): void {
  test('"require": a connection that is plain TCP fails, and a server drops it', async t => {
    const served = await Served.start(t, backend);
    const plain = served.dial({ multipath: false, require: true } as object);
    const [error] = await once(plain, 'error');
    assert.equal(error.code, 'ERR_MPTCP_FALLBACK');
    assert.equal((await served.pair({ require: true } as object)).client.readyState, 'open');
    const strict = await Served.start(t, backend, { require: true } as object);
    const dropped = once(strict.server as never, 'drop');
    const client = strict.dial({ multipath: false } as object);
    client.on('error', () => {});
    const [info] = await dropped;
    assert.equal(info.remoteAddress, '127.0.0.1');
    await closeOf(client);
    assert.equal((await strict.pair()).client.readyState, 'open');
  });
}

function aboveIt(backend: Backend): void {
  const secret = { key: TEST_ONLY_KEY, cert: TEST_ONLY_CERTIFICATE };

  test('TLS over a socket that is still connecting', async t => {
    const served = await Served.start(t, backend);
    const socket = served.dial() as never;
    const secure = tls.connect({ socket, ca: TEST_ONLY_CERTIFICATE, servername: 'localhost' });
    const inside = new tls.TLSSocket((await served.next()) as never, { isServer: true, ...secret });
    inside.pipe(inside);
    await once(secure, 'secureConnect');
    assert.deepEqual([secure.authorized, secure.getProtocol()], [true, 'TLSv1.3']);
    const bytes = pattern(1 << 20);
    const received = readAll(secure);
    secure.end(bytes);
    assert.equal(hashOf(await received), hashOf(bytes));
  });

  test('http, with an agent that keeps the connection', async t => {
    const server = http.createServer((request, response) => response.end(`you asked for ${request.url}`));
    const served = await Served.start(t, backend);
    let connections = 0;
    served.server.on('connection', ((socket: Connection) => {
      connections++;
      server.emit('connection', socket);
    }) as never);
    const agent = new http.Agent({ keepAlive: true });
    agent.createConnection = () => served.dial() as never;
    t.after(() => agent.destroy());
    for (let i = 0; i < 3; i++) {
      const request = http.get({ agent, host: served.host, port: served.port, path: `/${i}` });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      assert.equal((await readAll(response)).toString(), `you asked for /${i}`);
    }
    assert.equal(connections, 1);
  });

  test('http2', async t => {
    const server = http2.createServer((_request, response) => void response.end('two'));
    const served = await Served.start(t, backend);
    served.server.on('connection', ((socket: Connection) => server.emit('connection', socket)) as never);
    const session = http2.connect(`http://${served.host}:${served.port}`, {
      createConnection: () => served.dial() as never,
    });
    t.after(() => session.destroy());
    const stream = session.request({ ':path': '/' });
    assert.equal((await readAll(stream)).toString(), 'two');
  });
}
