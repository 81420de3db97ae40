// The ways in for programs that are not written for this package: agents, the connector of undici, the dispatcher of
// fetch, over every backend there is.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import { describe, type TestContext, test } from 'node:test';
import { Destinations } from '../../src/api/destinations.ts';
import {
  type CarrierOptions,
  createServer,
  fetchDispatcher,
  HttpAgent,
  HttpsAgent,
  multipathOf,
} from '../../src/api/index.ts';
import { impediment } from '../../src/kernel/index.ts';
import { TEST_ONLY_CERTIFICATE, TEST_ONLY_KEY } from './certificate-for-tests-only.ts';
import { readAll } from './world.ts';

const noKernel: string | false = impediment()?.message ?? false;
const secret = { key: TEST_ONLY_KEY, cert: TEST_ONLY_CERTIFICATE };

for (const backend of ['user', 'kernel'] as const) {
  const skip = backend === 'kernel' && noKernel;
  describe(`backend: '${backend}'`, { skip }, () => {
    /** An HTTP server of Node's on connections of ours. */
    async function serve(t: TestContext, server: http.Server | https.Server): Promise<number> {
      const listener = createServer({ backend } as { backend: 'kernel' }, socket => {
        server.emit('connection', socket);
      });
      listener.listen(0, '127.0.0.1');
      await once(listener, 'listening');
      t.after(() => {
        server.closeAllConnections();
        listener.close();
      });
      return (listener.address() as { port: number }).port;
    }
    const answer: http.RequestListener = (request, response) => void response.end(`got ${request.url}`);

    test('HttpAgent', async t => {
      const port = await serve(t, http.createServer(answer));
      const agent = new HttpAgent({ backend }, { keepAlive: true });
      t.after(() => agent.destroy());
      for (const path of ['/1', '/2']) {
        const [response] = await once(http.get({ agent, host: '127.0.0.1', port, path }), 'response');
        assert.equal(response.socket.multipath.active, true);
        assert.equal((await readAll(response)).toString(), `got ${path}`);
      }
    });

    test('HttpsAgent', async t => {
      const port = await serve(t, https.createServer(secret, answer));
      const agent = new HttpsAgent({ backend }, { ca: TEST_ONLY_CERTIFICATE, keepAlive: true });
      t.after(() => agent.destroy());
      const options = { agent, host: '127.0.0.1', servername: 'localhost', port, path: '/secret' };
      const [response] = await once(https.get(options), 'response');
      assert.equal(response.socket.authorized, true);
      if (backend === 'kernel') assert.equal(multipathOf(response.socket)?.active, true);
      assert.equal((await readAll(response)).toString(), 'got /secret');
    });

    test('fetch, in clear and with TLS', async t => {
      const port = await serve(t, http.createServer(answer));
      const securePort = await serve(t, https.createServer(secret, answer));
      const used: string[] = [];
      const carrier: CarrierOptions = {
        backend,
        lookup: (host, _options, callback) => {
          used.push(host);
          callback(null, '127.0.0.1', 4);
        },
      };
      const dispatcher = fetchDispatcher(carrier, { ca: TEST_ONLY_CERTIFICATE }) as never;
      const clear = await fetch(`http://localhost:${port}/clear`, { dispatcher } as object);
      assert.equal(await clear.text(), 'got /clear');
      const secure = await fetch(`https://localhost:${securePort}/secure`, { dispatcher } as object);
      assert.equal(await secure.text(), 'got /secure');
      assert.deepEqual(used, ['localhost', 'localhost']);
      await (dispatcher as { close(): Promise<void> }).close();
    });

    test('fetch hears that nobody listens', async t => {
      const closed = createServer({ backend } as { backend: 'kernel' }).listen(0, '127.0.0.1');
      await once(closed, 'listening');
      const { port } = closed.address() as { port: number };
      closed.close();
      await once(closed, 'close');
      const dispatcher = fetchDispatcher({ backend }) as { destroy(): Promise<void> };
      t.after(() => dispatcher.destroy());
      const failed = fetch(`http://127.0.0.1:${port}/`, { dispatcher } as object);
      await assert.rejects(
        failed,
        (error: { cause?: { code?: string } }) => error.cause?.code === 'ECONNREFUSED',
      );
    });
  });
}

test('lists of destinations', () => {
  const list = Destinations.parse('10.0.0.0/8, 192.0.2.1:443 :5432,2001:db8::/32 [fd00::1]:80', 'LIST');
  const cases: [address: string, port: number, has: boolean][] = [
    ['10.255.0.1', 1, true],
    ['11.0.0.1', 1, false],
    ['192.0.2.1', 443, true],
    ['192.0.2.1', 444, false],
    ['192.0.2.2', 443, false],
    ['203.0.113.9', 5432, true],
    ['2001:db8:1::9', 1, true],
    ['2001:db9::9', 1, false],
    ['fd00::1', 80, true],
    ['fd00::1', 81, false],
    ['::ffff:10.0.0.1', 1, true],
  ];
  for (const [address, port, has] of cases) assert.equal(list.has(address, port), has, `${address} ${port}`);
  assert.equal(Destinations.parse(' , ', 'LIST').empty, true);
  for (const wrong of [
    'localhost',
    '10.0.0.0/33',
    '::1/129',
    ':65536',
    ':',
    '1.2.3.4:',
    '10.0.0.0/8/8',
    '[::1',
  ]) {
    assert.throws(() => Destinations.parse(wrong, 'LIST'), { code: 'ERR_INVALID_ARG_VALUE' }, wrong);
  }
});
