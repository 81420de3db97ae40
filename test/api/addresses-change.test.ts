// A connection whose machine changes its addresses: the client runs on a stack of its own, over a list of
// addresses the test holds.

import assert from 'node:assert/strict';
import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { test } from 'node:test';
import { describeAddress, type LocalAddress, PathPlan } from '../../src/api/addresses.ts';
import { Dial } from '../../src/api/dial.ts';
import { Driver } from '../../src/api/driver.ts';
import { Socket } from '../../src/api/index.ts';
import { Network } from '../../src/api/network.ts';
import type { Session } from '../../src/api/session.ts';
import { Host } from '../../src/host/index.ts';
import { echo, hashOf, pattern, readAll, serve, type TestScope, until } from './world.ts';

/** A stack that believes to have these addresses. */
function machine(...addresses: string[]) {
  const host = new Host({
    entropy: {
      randomBytes: into => void randomFillSync(into),
      sha256: data => createHash('sha256').update(data).digest(),
      hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
    },
    externalPorts: true,
  });
  const driver = new Driver(host);
  const list = { now: addresses };
  const network = new Network({
    driver,
    addresses: () => list.now.map(address => describeAddress(address, `dev${address}`) as LocalAddress),
  });
  return { driver, network, list };
}

/** A socket of that machine, connected over whatever it has. */
async function connectFrom(
  scope: TestScope,
  from: ReturnType<typeof machine>,
  port: number,
): Promise<Socket> {
  const target = { address: '127.0.0.1', family: 4 as const, port };
  const socket = new Socket();
  await new Promise<void>((resolve, reject) => {
    const connected = (session: Session) => {
      socket.adopt(session);
      resolve();
    };
    new Dial(
      {
        ...{ driver: from.driver, network: from.network, targets: [target] },
        planFor: ({ address }) => new PathPlan(undefined, { address, port }),
        ...{
          anyPath: true,
          connectTimeoutMs: 5000,
          attemptDelayMs: 250,
          multipath: true,
          checksum: false,
          fastOpen: false,
          config: undefined,
        },
      },
      {
        attempting: () => {},
        attemptSlow: () => {},
        attemptFailed: () => {},
        early: () => 0,
        connected,
        failed: reject,
      },
    ).start();
  });
  scope.after(() => void socket.on('error', () => {}).destroy());
  return socket;
}

const active = (socket: Socket) =>
  socket.multipath.subflows
    .filter(subflow => subflow.state === 'active')
    .map(subflow => subflow.local.address)
    .sort();

test('an address that appears is joined, one that vanishes is left, and the bytes go on', async t => {
  const serving = await serve(t, {}, echo);
  const from = machine('127.0.0.1', '127.0.0.2');
  const client = await connectFrom(t, from, serving.port);
  await until(() => active(client).length === 2, 'two subflows');
  assert.deepEqual(active(client), ['127.0.0.1', '127.0.0.2']);
  const bytes = pattern(12 << 20);
  const received = readAll(client);
  client.write(bytes.subarray(0, 6 << 20));
  await until(() => client.bytesRead > 2 << 20, 'bytes');
  from.list.now = ['127.0.0.2', '127.0.0.3'];
  from.network.refresh();
  await until(() => active(client).includes('127.0.0.3'), 'the new address joined');
  assert.deepEqual(active(client), ['127.0.0.2', '127.0.0.3']);
  client.end(bytes.subarray(6 << 20));
  assert.equal(hashOf(await received), hashOf(bytes));
});

test('a machine without any address for a while goes on when it has one again', async t => {
  const serving = await serve(t, {}, echo);
  const from = machine('127.0.0.1');
  const client = await connectFrom(t, from, serving.port);
  const received = readAll(client);
  client.write('before ');
  await until(() => client.bytesRead === 7, 'the echo');
  from.list.now = [];
  from.network.refresh();
  await until(() => active(client).length === 0, 'no subflow left');
  client.write('during ');
  from.list.now = ['127.0.0.4'];
  from.network.refresh();
  await until(() => active(client).length === 1, 'a subflow over the new address');
  client.end('after');
  assert.equal((await received).toString(), 'before during after');
});

test('closing gives all ports of all addresses back', async t => {
  const serving = await serve(t, {}, echo);
  const from = machine('127.0.0.1', '127.0.0.2', '127.0.0.3');
  const client = await connectFrom(t, from, serving.port);
  await until(() => active(client).length === 3, 'three subflows');
  assert.equal(from.network.openPorts, 3);
  client.resume().end();
  await until(() => from.network.openPorts === 0, 'ports given back', 15_000);
});
