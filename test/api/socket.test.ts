import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { finished, pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { connect, Socket } from '../../src/api/index.ts';
import { connected, dial, echo, errorOf, hashOf, pattern, readAll, serve, until } from './world.ts';

test('bytes come back from an echo, and both sides end', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving);
  client.end('hello, both of you');
  assert.equal((await readAll(client)).toString(), 'hello, both of you');
  await until(() => client.closed, 'close');
});

test('16 MiB each way arrive as they were sent', async t => {
  const bytes = pattern(16 << 20);
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving);
  const [received] = await Promise.all([
    readAll(client),
    pipeline(
      Readable.from(
        (function* () {
          for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
        })(),
      ),
      client,
      { end: true },
    ).catch(error => {
      // The pipeline of a Duplex also waits for its readable side, which readAll takes.
      if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
    }),
  ]);
  assert.equal(received.length, bytes.length);
  assert.equal(hashOf(received), hashOf(bytes));
  assert.equal(client.bytesRead, bytes.length);
  assert.equal(client.bytesWritten, bytes.length);
});

test('what a socket says of itself before, during and after', async t => {
  const serving = await serve(t);
  const client = new Socket();
  assert.deepEqual([client.connecting, client.pending, client.address()], [false, true, {}]);
  client.connect(serving.port, serving.host);
  t.after(() => void client.destroy());
  assert.deepEqual([client.connecting, client.pending, client.readyState], [true, true, 'opening']);
  const order: string[] = [];
  for (const event of ['connect', 'ready'] as const) client.on(event, () => order.push(event));
  const [remote] = await Promise.all([serving.next(), once(client, 'ready')]);
  assert.deepEqual(order, ['connect', 'ready']);
  assert.deepEqual([client.connecting, client.pending, client.readyState], [false, false, 'open']);
  assert.equal(client.remotePort, serving.port);
  assert.equal(client.remoteAddress, '127.0.0.1');
  assert.equal(client.remoteFamily, 'IPv4');
  assert.equal(client.localAddress, '127.0.0.1');
  assert.equal(client.localPort, remote.remotePort);
  assert.deepEqual(client.address(), { address: '127.0.0.1', family: 'IPv4', port: remote.remotePort });
  client.destroy();
  const [hadError] = await once(client, 'close');
  assert.equal(hadError, false);
  assert.equal(client.readyState, 'closed');
});

test('writes before the connection are delivered, and so is an end', async t => {
  const serving = await serve(t);
  const client = dial(t, serving);
  client.write('one ');
  client.write('two ');
  client.end('three');
  const remote = await serving.next();
  assert.equal((await readAll(remote)).toString(), 'one two three');
});

test('half-open: the client ends, the server goes on', async t => {
  const serving = await serve(t, { allowHalfOpen: true });
  const { client, remote } = await connected(t, serving);
  client.end('question');
  assert.equal((await readAll(remote)).toString(), 'question');
  assert.equal(remote.writable, true);
  remote.write('long ');
  remote.end('answer');
  assert.equal((await readAll(client)).toString(), 'long answer');
});

test('half-open: the server ends, the client goes on', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving, { allowHalfOpen: true });
  remote.end('greeting');
  assert.equal((await readAll(client)).toString(), 'greeting');
  assert.equal(client.writable, true);
  assert.equal(client.readyState, 'writeOnly');
  client.end('farewell');
  const [text] = await Promise.all([readAll(remote), finished(remote)]);
  assert.equal(text.toString(), 'farewell');
});

test('without allowHalfOpen the end of the peer ends the socket', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  remote.end();
  client.resume();
  const [hadError] = await once(client, 'close');
  assert.equal(hadError, false);
});

test('the end of a peer is heard by a socket nobody reads', async t => {
  const serving = await serve(t, {}, socket => socket.end());
  const client = dial(t, serving);
  await once(client, 'end');
});

test('a reader that stops makes the writer stop, and nothing is lost', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  remote.pause();
  const chunk = pattern(64 << 10);
  let written = 0;
  let drained = 0;
  client.on('drain', () => drained++);
  const flow = async () => {
    while (written < 32 << 20) {
      written += chunk.length;
      if (!client.write(chunk)) await once(client, 'drain');
    }
    client.end();
  };
  const flowing = flow();
  let before = -1;
  // Both buffers fill up, then nothing moves any more.
  while (written !== before) {
    before = written;
    await new Promise<void>(resolve => setTimeout(resolve, 300));
  }
  assert.ok(written < 20 << 20, `${written} bytes were taken though nobody reads`);
  const received = await readAll(remote);
  await flowing;
  assert.equal(received.length, 32 << 20);
  assert.ok(drained > 0);
});

test('write callbacks come when the host has taken the bytes, in order', async t => {
  const serving = await serve(t, {}, socket => socket.resume());
  const client = dial(t, serving);
  const done: number[] = [];
  for (let i = 0; i < 50; i++) client.write(pattern(30_000), () => done.push(i));
  client.end();
  await once(client, 'finish');
  assert.deepEqual(
    done,
    Array.from({ length: 50 }, (_, i) => i),
  );
});

test('pipeline and for await', async t => {
  const bytes = pattern(300_000);
  const serving = await serve(t, {}, socket => {
    pipeline(Readable.from([bytes.subarray(0, 100_000), bytes.subarray(100_000)]), socket).catch(() => {});
  });
  const client = dial(t, serving);
  const parts: Buffer[] = [];
  for await (const part of client) parts.push(part as Buffer);
  assert.equal(hashOf(...parts), hashOf(bytes));
});

test('setTimeout tells of silence once, and traffic puts it off', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving);
  await once(client, 'connect');
  let timeouts = 0;
  client.on('timeout', () => timeouts++);
  const started = performance.now();
  client.setTimeout(120);
  assert.equal(client.timeout, 120);
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
  const silent = await silentPort(t);
  const client = connect({ port: silent, host: '127.0.0.1', timeout: 30 });
  t.after(() => void client.on('error', () => {}).destroy());
  await once(client, 'timeout');
  assert.equal(client.connecting, true);
});

test('setNoDelay, setKeepAlive, ref and unref chain, before and after the connection', async t => {
  const serving = await serve(t, { noDelay: true, keepAlive: true, keepAliveInitialDelay: 1000 }, echo);
  const client = new Socket();
  t.after(() => void client.destroy());
  assert.equal(client.setNoDelay().setKeepAlive(true, 5000).unref().ref(), client);
  client.connect(serving.port, serving.host);
  await once(client, 'connect');
  assert.equal(client.setNoDelay(false).setKeepAlive(false).unref().ref(), client);
  client.end('still works');
  assert.equal((await readAll(client)).toString(), 'still works');
});

test('destroy lets what was written arrive', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  client.write('the last words');
  client.destroy();
  assert.equal((await readAll(remote)).toString(), 'the last words');
});

test('a write that waits for the connection fails when the socket is destroyed', async t => {
  const client = connect(await silentPort(t), '127.0.0.1');
  const written = new Promise<Error | null | undefined>(resolve => client.write('never sent', resolve));
  client.destroy();
  assert.equal(((await written) as NodeJS.ErrnoException).code, 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION');
});

test('destroySoon waits for the writes', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  const bytes = pattern(1 << 20);
  client.write(bytes);
  client.destroySoon();
  assert.equal(hashOf(await readAll(remote)), hashOf(bytes));
  await until(() => client.destroyed, 'destroyed');
});

test('resetAndDestroy is ECONNRESET at the peer', async t => {
  const serving = await serve(t);
  const { client, remote } = await connected(t, serving);
  client.resetAndDestroy();
  const error = await errorOf(remote);
  assert.equal(error.code, 'ECONNRESET');
  assert.equal(error.syscall, 'read');
});

test('destroying with unread data resets, as Linux does', async t => {
  const serving = await serve(t, { pauseOnConnect: true });
  const { client, remote } = await connected(t, serving);
  // Not before all of it has left the stream's buffer: `bytesWritten` counts that, `unacknowledgedBytes` does not.
  await new Promise(resolve => client.write(pattern(100_000), resolve));
  await until(() => client.unacknowledgedBytes === 0, 'all there, unread');
  remote.destroy();
  assert.equal((await errorOf(client)).code, 'ECONNRESET');
});

test('Symbol.asyncDispose destroys and waits for close', async t => {
  const serving = await serve(t);
  const { client } = await connected(t, serving);
  let closed = false;
  client.on('close', () => (closed = true));
  await client[Symbol.asyncDispose]();
  assert.equal(closed, true);
  await client[Symbol.asyncDispose]();
});

test('a second connect on a connected socket is EISCONN', async t => {
  const serving = await serve(t);
  const { client } = await connected(t, serving);
  assert.throws(() => client.connect(serving.port), { code: 'EISCONN' });
});

test('IPv6 loopback', async t => {
  const serving = await serve(t, { host: '::1' }, echo);
  const client = dial(t, serving);
  client.end('six');
  assert.equal((await readAll(client)).toString(), 'six');
  assert.equal(client.remoteFamily, 'IPv6');
  assert.equal(client.localAddress, '::1');
});

test('a connection without multipath is plain TCP', async t => {
  const serving = await serve(t, {}, echo);
  const client = dial(t, serving, { multipath: false });
  client.end('plain');
  assert.equal((await readAll(client)).toString(), 'plain');
  assert.equal(client.multipath.active, false);
});

/** A UDP port that hears everything and says nothing. */
async function silentPort(scope: { after(callback: () => void): void }): Promise<number> {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  scope.after(() => socket.close());
  return socket.address().port;
}
