// What a kernel does that cannot be provoked over loopback: it is full, or it refuses a size.

import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import { test } from 'node:test';
import { UdpLink } from '../../src/link/index.ts';
import { contentsOf, packet } from './packets.ts';

type Callback = (error: Error | null) => void;

/** A socket whose kernel answers when the test says so. */
class SlowSocket {
  readonly sent: { payload: string; done: Callback }[] = [];
  queued = 0;
  full = false;

  address(): { port: number } {
    return { port: 5000 };
  }

  send(bytes: Buffer, start: number, length: number, done: Callback): void {
    // Kept as a view: Node, too, keeps the caller's memory.
    const view = bytes.subarray(start, start + length);
    const sent = this.sent;
    sent.push({
      get payload() {
        return view.subarray(24).toString();
      },
      done,
    });
    if (this.full) this.queued++;
  }

  getSendQueueCount(): number {
    return this.queued;
  }

  close(): void {}
}

async function slowLink(options: { heldLimit?: number; mtu?: number } = {}) {
  const socket = new SlowSocket();
  const openSocket = async () => socket as unknown as Socket;
  const link = new UdpLink({ address: '192.0.2.1', openSocket, ...options });
  const mtus: number[] = [];
  const refusals: number[] = [];
  link.attach({
    packet: () => {},
    mtuChanged: changed => mtus.push(changed.mtu),
    refused: (_link, port) => refusals.push(port),
  });
  await link.openFlow({ address: '192.0.2.2', port: 9 });
  const send = (text: string) => {
    const bytes = packet({
      ...{ src: '192.0.2.1', dst: '192.0.2.2', srcPort: 5000, dstPort: 9, payload: Buffer.from(text) },
    });
    assert.equal(contentsOf(bytes)['payload'], Buffer.from(text).toString('hex'));
    link.send(bytes, 0, bytes.length, 1000);
  };
  return { link, socket, send, mtus, refusals };
}

const tooLarge = () => Object.assign(new Error('send EMSGSIZE'), { code: 'EMSGSIZE' });

test('datagrams the kernel has not taken keep their bytes while others are sent', async () => {
  const { socket, send } = await slowLink();
  socket.full = true;
  for (const text of ['one', 'two', 'three']) send(text);
  assert.deepEqual(
    socket.sent.map(s => s.payload),
    ['one', 'two', 'three'],
  );
});

test('a slot comes back with its own callback, not with that of an earlier send', async () => {
  const { link, socket, send } = await slowLink({ heldLimit: 1 });
  send('one');
  socket.full = true;
  send('two');
  socket.sent[0].done(null);
  send('dropped');
  assert.equal(link.counters['kernelFull'], 1);
  assert.equal(socket.sent[1].payload, 'two');
  socket.sent[1].done(null);
  send('three');
  assert.equal(socket.sent[2].payload, 'three');
});

test('"port unreachable" told to a send is a hint about its port', async () => {
  const { link, socket, send, refusals } = await slowLink();
  send('x');
  socket.sent[0].done(Object.assign(new Error('send ECONNREFUSED'), { code: 'ECONNREFUSED' }));
  assert.deepEqual(refusals, [5000]);
  assert.equal(link.counters['sendErrors'], 0);
});

test('beyond the limit datagrams are dropped and counted', async () => {
  const { link, socket, send } = await slowLink({ heldLimit: 4 });
  socket.full = true;
  for (let i = 0; i < 10; i++) send(`${i}`);
  assert.equal(socket.sent.length, 4);
  assert.equal(link.counters['kernelFull'], 6);
});

test('EMSGSIZE lowers the mtu one step for a burst, and not below 1,280', async () => {
  const { link, socket, send, mtus } = await slowLink();
  for (let i = 0; i < 3; i++) send('x');
  for (const { done } of socket.sent.splice(0)) done(tooLarge());
  assert.deepEqual(mtus, [1360]);
  for (let i = 0; i < 5; i++) {
    send('x');
    for (const { done } of socket.sent.splice(0)) done(tooLarge());
  }
  assert.deepEqual(mtus, [1360, 1320, 1280]);
  assert.equal(link.mtu, 1280);
  assert.equal(link.counters['tooLarge'], 8);
});

test('other send errors are counted and change nothing', async () => {
  const { link, socket, send, mtus } = await slowLink();
  send('x');
  socket.sent[0].done(Object.assign(new Error('send ENETUNREACH'), { code: 'ENETUNREACH' }));
  assert.equal(link.counters['sendErrors'], 1);
  assert.deepEqual(mtus, []);
});
