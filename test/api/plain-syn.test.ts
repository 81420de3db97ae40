// A network that loses SYNs with MPTCP's option, over real sockets: the connection is made without it, from
// another port, and the next one does not even try.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import type { Socket } from '../../src/api/index.ts';
import { stackFor } from '../../src/api/stack.ts';
import { dial, echo, pattern, readAll, serve, type TestScope, until } from './world.ts';

const TIMEOUT = { timeout: 20_000 };
/** No other test uses this stack. */
const MTU = 1_371;

/** A SYN with an MPTCP option in a datagram of TCP in UDP: data offset and flags first, options from 12 on. */
function asksForMultipath(datagram: Buffer): boolean {
  const SYN = 0x02;
  const ACK = 0x10;
  if ((datagram[1] & (SYN | ACK)) !== SYN) return false;
  const end = (datagram[0] >> 4) * 4 - 8;
  for (let at = 12; at < end && datagram[at] !== 0; ) {
    if (datagram[at] === 30) return true;
    at += datagram[at] === 1 ? 1 : datagram[at + 1];
  }
  return false;
}

/** Passes everything on to a server but SYNs that ask for Multipath TCP, of which it counts the ports. */
async function lossyBox(scope: TestScope, serverPort: number): Promise<{ port: number; lost: Set<number> }> {
  const front = createSocket('udp4');
  const behind = new Map<number, ReturnType<typeof createSocket>>();
  const lost = new Set<number>();
  front.on('message', (datagram, { port }) => {
    if (asksForMultipath(datagram)) {
      lost.add(port);
      return;
    }
    let upstream = behind.get(port);
    if (upstream === undefined) {
      upstream = createSocket('udp4');
      behind.set(port, upstream);
      upstream.on('message', answer => front.send(answer, port, '127.0.0.1'));
    }
    upstream.send(datagram, serverPort, '127.0.0.1');
  });
  front.bind(0, '127.0.0.1');
  await once(front, 'listening');
  scope.after(() => {
    for (const socket of [front, ...behind.values()]) socket.close();
  });
  return { port: front.address().port, lost };
}

async function exchange(client: Socket): Promise<void> {
  const sent = pattern(50_000);
  client.end(sent);
  assert.deepEqual(await readAll(client), sent);
}

test('SYNs are lost for their option: TCP from another port, and at once the next time', TIMEOUT, async t => {
  const server = await serve(t, { allowHalfOpen: true }, echo);
  const box = await lossyBox(t, server.port);
  const path = { host: '127.0.0.1', port: box.port, mtu: MTU };
  const { network } = stackFor({ mtu: MTU });

  const first = dial(t, server, path);
  await once(first, 'connect');
  assert.equal(first.multipath.active, false);
  assert.deepEqual(first.multipath.fallback, { cause: 'syn-unanswered', seenBy: 'local' });
  assert.equal(box.lost.size, 1);
  assert.ok(!box.lost.has(first.localPort as number), 'from the port of the lost SYN');
  await until(() => network.openPorts === 1, 'the port of the lost SYN given back');
  await exchange(first);

  for (const asking of [1, 0]) {
    box.lost.clear();
    const next = dial(t, server, path);
    await once(next, 'connect');
    assert.equal(next.multipath.fallback?.cause, 'network-remembered');
    assert.equal(box.lost.size, asking, 'SYNs with the option: the first loss may have been chance');
    await exchange(next);
  }
});
