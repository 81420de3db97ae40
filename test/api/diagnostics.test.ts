// What an observer of the process hears on the channels of node:diagnostics_channel, of both backends.

import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { once } from 'node:events';
import { describe, type TestContext, test } from 'node:test';
import {
  type ConnectionMessage,
  type ConnectOptions,
  connect,
  createServer,
  type FallbackMessage,
  type MultipathSocket,
  type ServerOptions,
  type Socket,
  type SubflowMessage,
} from '../../src/api/index.ts';
import { impediment } from '../../src/kernel/index.ts';
import { until } from './world.ts';

const noKernel: string | false = impediment()?.message ?? false;

/** Everything published on a channel from now on. */
function listenTo<T>(t: TestContext, name: string): T[] {
  const heard: T[] = [];
  const hear = (message: unknown): void => void heard.push(message as T);
  diagnostics.subscribe(name, hear);
  t.after(() => void diagnostics.unsubscribe(name, hear));
  return heard;
}

async function pair(
  t: TestContext,
  { client: options = {}, server: serverOptions = {} }: { client?: object; server?: object },
): Promise<{ client: MultipathSocket; remote: MultipathSocket }> {
  const server = createServer(serverOptions as ServerOptions & { backend: 'auto' });
  const accepted = once(server, 'connection');
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const client = connect({ host: '127.0.0.1', port, ...options } as ConnectOptions & { backend: 'auto' });
  const [[remote]] = (await Promise.all([accepted, once(client, 'connect')])) as [[MultipathSocket], unknown];
  t.after(() => {
    for (const socket of [client, remote]) socket.on('error', () => {}).destroy();
    server.close();
  });
  return { client, remote };
}

for (const backend of ['user', 'kernel'] as const) {
  describe(`backend: '${backend}'`, { skip: backend === 'kernel' && noKernel }, () => {
    test('mptcp.connection tells of both ends, and so do the channels of node:net', async t => {
      const connections = listenTo<ConnectionMessage>(t, 'mptcp.connection');
      const clients = listenTo<{ socket: object }>(t, 'net.client.socket');
      const servers = listenTo<{ socket: object }>(t, 'net.server.socket');
      const { client, remote } = await pair(t, { client: { backend }, server: { backend } });
      const ofSide = (side: string) => connections.filter(each => each.side === side);
      assert.deepEqual([ofSide('client').length, ofSide('server').length], [1, 1]);
      assert.equal(ofSide('client')[0]?.socket, client);
      assert.equal(ofSide('server')[0]?.socket, remote);
      assert.equal(clients.filter(({ socket }) => socket === client).length, 1);
      assert.equal(servers.filter(({ socket }) => socket === remote).length, 1);
    });

    test('mptcp.subflow, and the event, of the first path follow the connection', async t => {
      const subflows = listenTo<SubflowMessage>(t, 'mptcp.subflow');
      const { client, remote } = await pair(t, { client: { backend }, server: { backend } });
      await until(() => subflows.length === 2, 'both ends hear of it');
      for (const socket of [client, remote]) {
        const { subflow, reason } = subflows.find(message => message.socket === socket) ?? {};
        assert.deepEqual([subflow?.id, subflow?.state, reason], [0, 'active', null]);
        assert.deepEqual(subflow?.local, { address: '127.0.0.1', port: socket.localPort });
      }
    });

    test('mptcp.fallback, with the cause that the socket tells', async t => {
      const fallbacks = listenTo<FallbackMessage>(t, 'mptcp.fallback');
      const { client } = await pair(t, { client: { backend }, server: { backend, multipath: false } });
      await until(() => fallbacks.length > 0, 'the fallback');
      assert.deepEqual(
        fallbacks.map(({ socket, fallback }) => [socket === client, fallback]),
        [[true, client.multipath.fallback]],
      );
      assert.equal(client.multipath.fallback?.cause, 'syn-ack-without-option');
    });
  });
}

test("backend: 'user': mptcp.subflow tells of paths that come and go, at both ends", async t => {
  const subflows = listenTo<SubflowMessage>(t, 'mptcp.subflow');
  const { client, remote } = await pair(t, { client: { paths: [{ local: '127.0.0.1' }] } });
  await (client as Socket).addPath({ local: '127.0.0.2', name: 'second' });
  const of = (socket: object) => subflows.filter(message => message.socket === socket);
  await until(() => of(client).length > 1 && of(remote).length > 1, 'both ends hear of the second path');
  assert.deepEqual(
    of(client).map(({ subflow, reason }) => [subflow.id, subflow.name, subflow.local.address, reason]),
    [
      [0, '127.0.0.1', '127.0.0.1', null],
      [1, 'second', '127.0.0.2', null],
    ],
  );
  (client as Socket).removePath('127.0.0.2');
  await until(() => of(client).length === 3 && of(remote).length === 3, 'both ends hear of its end');
  assert.equal(of(client)[2]?.subflow.state, 'closed');
  assert.equal(typeof of(client)[2]?.reason, 'string');
});
