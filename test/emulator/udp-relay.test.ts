import assert from 'node:assert/strict';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import { type Relay, type RelayOptions, startRelay } from '../../src/emulator/index.ts';

const FAST = { rateBitsPerSecond: 100_000_000, delayMs: 1 };
const TIMEOUT = { timeout: 20_000 };

async function socketAt(t: TestContext, host: string): Promise<Socket> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  t.after(() => socket.close());
  socket.bind(0, host);
  await once(socket, 'listening');
  return socket;
}

async function relayTo(t: TestContext, server: Socket, options: Partial<RelayOptions> = {}): Promise<Relay> {
  const { address, port } = server.address();
  const relay = await startRelay({
    paths: [
      { name: 'one', forward: FAST, backward: FAST },
      { name: 'two', forward: FAST, backward: FAST },
    ],
    server: { host: address, port },
    host: address,
    ...options,
  });
  t.after(() => relay.close());
  return relay;
}

async function received(socket: Socket): Promise<{ text: string; from: RemoteInfo }> {
  const [payload, from] = (await once(socket, 'message')) as [Buffer, RemoteInfo];
  return { text: payload.toString('latin1'), from };
}

/** Lets the event loop turn until something has happened. */
async function until(happened: () => boolean): Promise<void> {
  while (!happened()) await new Promise(resolve => setImmediate(resolve));
}

test('a question and its answer over two paths, told apart by ports on both sides', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const client = await socketAt(t, '127.0.0.1');
  const relay = await relayTo(t, server);
  assert.equal(new Set(relay.ports).size, 2);
  const peers = new Set<number>();
  for (const port of relay.ports) {
    client.send(`to ${port}`, port, '127.0.0.1');
    const question = await received(server);
    assert.equal(question.text, `to ${port}`);
    assert.notEqual(question.from.port, client.address().port);
    peers.add(question.from.port);
    server.send(`answer ${port}`, question.from.port, question.from.address);
    const answer = await received(client);
    assert.equal(answer.text, `answer ${port}`);
    assert.equal(answer.from.port, port);
  }
  assert.equal(peers.size, 2);
  const [one] = relay.stats();
  const questionBytes = `to ${relay.ports[0]}`.length + 28;
  assert.equal(one.forward.bytesOffered, questionBytes);
  assert.equal(one.forward.bytesDelivered, questionBytes);
  assert.equal(one.backward.packetsDelivered, 1);
  assert.equal(one.flows, 1);
});

test('every client port has a socket of its own, kept for the next datagram', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const clients = [await socketAt(t, '127.0.0.1'), await socketAt(t, '127.0.0.1')];
  const relay = await relayTo(t, server);
  const peers: number[] = [];
  for (const client of [...clients, ...clients]) {
    client.send('hello', relay.ports[0], '127.0.0.1');
    const { from } = await received(server);
    peers.push(from.port);
    server.send('back', from.port, from.address);
    assert.equal((await received(client)).text, 'back');
  }
  assert.notEqual(peers[0], peers[1]);
  assert.deepEqual(peers.slice(2), peers.slice(0, 2));
});

test('IP packets over 1,500 bytes are dropped: 1,472 bytes of payload fit', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const client = await socketAt(t, '127.0.0.1');
  const relay = await relayTo(t, server);
  client.send(Buffer.alloc(1473), relay.ports[0], '127.0.0.1');
  client.send(Buffer.alloc(1472), relay.ports[0], '127.0.0.1');
  assert.equal((await received(server)).text.length, 1472);
  assert.equal(relay.stats()[0].forward.dropped.mtu, 1);
});

test('a path that is down is silent in both directions, and works again', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const client = await socketAt(t, '127.0.0.1');
  const relay = await relayTo(t, server);
  const { ports } = relay;
  client.send('first', ports[0], '127.0.0.1');
  const { from } = await received(server);
  relay.setUp(0, false);
  assert.equal(relay.stats()[0].up, false);
  client.send('lost', ports[0], '127.0.0.1');
  server.send('lost too', from.port, from.address);
  await until(() => {
    const [one] = relay.stats();
    return one.forward.dropped.down === 1 && one.backward.dropped.down === 1;
  });
  client.send('other path', ports[1], '127.0.0.1');
  assert.equal((await received(server)).text, 'other path');
  relay.setUp(0, true);
  client.send('again', ports[0], '127.0.0.1');
  const again = await received(server);
  assert.equal(again.text, 'again');
  assert.equal(again.from.port, from.port);
  server.send('answer', from.port, from.address);
  assert.equal((await received(client)).text, 'answer');
});

test('cutting takes what is on the wire', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const client = await socketAt(t, '127.0.0.1');
  const slow = { delayMs: 3_600_000 };
  const paths = [{ name: 'slow', forward: slow, backward: slow }];
  const relay = await relayTo(t, server, { paths });
  client.send('under way', relay.ports[0], '127.0.0.1');
  await until(() => relay.stats()[0].forward.packetsOffered === 1);
  relay.setUp(0, false);
  assert.equal(relay.stats()[0].forward.dropped.down, 1);
});

test('a thousand datagrams at once come out in order', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  server.setRecvBufferSize(4 * 1024 * 1024);
  const client = await socketAt(t, '127.0.0.1');
  const relay = await relayTo(t, server);
  const numbers: number[] = [];
  const all = new Promise<void>(resolve => {
    server.on('message', payload => {
      numbers.push(payload.readUInt32BE(0));
      if (numbers.length === 1000) resolve();
    });
  });
  for (let i = 0; i < 1000; i++) {
    const payload = Buffer.alloc(100);
    payload.writeUInt32BE(i, 0);
    client.send(payload, relay.ports[0], '127.0.0.1');
    // The kernel's default buffer is smaller than a thousand datagrams before the relay has read any.
    if (i % 100 === 99) await until(() => relay.stats()[0].forward.packetsOffered === i + 1);
  }
  await all;
  assert.deepEqual(
    numbers,
    Array.from({ length: 1000 }, (_, i) => i),
  );
});

test('a server that is not there is counted, not fatal', TIMEOUT, async t => {
  const gone = createSocket('udp4');
  gone.bind(0, '127.0.0.1');
  await once(gone, 'listening');
  const { port } = gone.address();
  gone.close();
  await once(gone, 'close');
  const client = await socketAt(t, '127.0.0.1');
  const relay = await startRelay({
    paths: [{ name: 'one', forward: FAST, backward: FAST }],
    server: { host: '127.0.0.1', port },
  });
  t.after(() => relay.close());
  client.send('anyone?', relay.ports[0], '127.0.0.1');
  await until(() => relay.stats()[0].socketErrors > 0);
  assert.deepEqual(relay.warnings, []);
});

test('a port in use is an error, and closing twice is not', TIMEOUT, async t => {
  const server = await socketAt(t, '127.0.0.1');
  const { port } = server.address();
  const path = { name: 'one', forward: FAST, backward: FAST, port };
  await assert.rejects(relayTo(t, server, { paths: [path] }), { code: 'EADDRINUSE' });
  const relay = await relayTo(t, server);
  await relay.close();
  await relay.close();
});

test('addresses of two families, or names, are refused', async () => {
  const paths = [{ name: 'one', forward: FAST, backward: FAST }];
  await assert.rejects(startRelay({ paths, server: { host: '::1', port: 9 } }), TypeError);
  await assert.rejects(startRelay({ paths, server: { host: 'localhost', port: 9 } }), TypeError);
});

test('IPv6: the same, with its larger header charged', TIMEOUT, async t => {
  const hasIpv6 = Object.values(networkInterfaces()).some(list => list?.some(a => a.address === '::1'));
  if (!hasIpv6) return t.skip('this machine has no ::1');
  const server = await socketAt(t, '::1');
  const client = await socketAt(t, '::1');
  const relay = await relayTo(t, server);
  client.send('hello', relay.ports[1], '::1');
  const { from } = await received(server);
  server.send('back', from.port, from.address);
  assert.equal((await received(client)).text, 'back');
  assert.equal(relay.stats()[1].forward.bytesDelivered, 5 + 8 + 40);
});
