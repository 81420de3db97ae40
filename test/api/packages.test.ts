// Packages that people use, over our connections: `ws` and `undici`, on both ends, of both backends.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import { createRequire } from 'node:module';
import { describe, type TestContext, test } from 'node:test';
import {
  createServer,
  HttpAgent,
  HttpsAgent,
  type MultipathSocket,
  multipathOf,
  undiciConnector,
} from '../../src/api/index.ts';
import { impediment } from '../../src/kernel/index.ts';
import { TEST_ONLY_CERTIFICATE, TEST_ONLY_KEY } from './certificate-for-tests-only.ts';
import { hashOf, pattern, until } from './world.ts';

// Their types would have to be installed, too; this is what is used of them.
interface WebSocketOfWs extends NodeJS.EventEmitter {
  send(data: string | Uint8Array): void;
  close(code?: number): void;
}
interface Ws {
  WebSocket: new (url: string, options: object) => WebSocketOfWs;
  WebSocketServer: new (options: object) => NodeJS.EventEmitter;
}
interface Undici {
  Agent: new (options: object) => { close(): Promise<void> };
  request(url: string, options: object): Promise<{ statusCode: number; body: { text(): Promise<string> } }>;
  fetch(url: string, options: object): Promise<Response>;
}

const require: NodeJS.Require = createRequire(import.meta.url);
const ws = require('ws') as Ws;
const undici = require('undici') as Undici;
const noKernel: string | false = impediment()?.message ?? false;
const secret = { key: TEST_ONLY_KEY, cert: TEST_ONLY_CERTIFICATE };

for (const backend of ['user', 'kernel'] as const) {
  describe(`backend: '${backend}'`, { skip: backend === 'kernel' && noKernel, timeout: 60_000 }, () => {
    /** An HTTP server of Node's on connections of ours; all of them have to be Multipath TCP. */
    async function serve(t: TestContext, server: http.Server | https.Server): Promise<number> {
      const listener = createServer({ backend } as { backend: 'kernel' }, (socket: MultipathSocket) => {
        assert.equal(socket.multipath.active, true);
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

    for (const secure of [false, true]) {
      test(`ws, ${secure ? 'with TLS' : 'in clear'}: text and a megabyte there and back, and a close with its code`, async t => {
        const server = secure ? https.createServer(secret) : http.createServer();
        const sockets = new ws.WebSocketServer({ server });
        const closedWith: number[] = [];
        sockets.on('connection', (socket: WebSocketOfWs) => {
          socket.on('message', (data: Buffer, binary: boolean) =>
            socket.send(binary ? data : data.toString()),
          );
          socket.on('close', (code: number) => {
            closedWith.push(code);
          });
        });
        const port = await serve(t, server);
        const agent = secure
          ? new HttpsAgent({ backend }, { ca: TEST_ONLY_CERTIFICATE })
          : new HttpAgent({ backend });
        const client = new ws.WebSocket(`${secure ? 'wss' : 'ws'}://127.0.0.1:${port}/`, {
          ...{ agent, servername: 'localhost', perMessageDeflate: true },
          checkServerIdentity: () => undefined,
        });
        await once(client, 'open');
        client.send('hello');
        const [text] = (await once(client, 'message')) as [Buffer];
        assert.equal(text.toString(), 'hello');
        const bytes = pattern(1 << 20);
        client.send(bytes);
        const [back] = (await once(client, 'message')) as [Buffer];
        assert.equal(hashOf(back), hashOf(bytes));
        client.close(4001);
        const [code] = await once(client, 'close');
        await until(() => closedWith.length > 0, 'the close at the server');
        assert.deepEqual([code, closedWith], [4001, [4001]]);
      });
    }

    test('undici: request and fetch through its own agent, in clear and with TLS', async t => {
      const seen: unknown[] = [];
      const answer: http.RequestListener = (request, response) => {
        seen.push(multipathOf(request.socket)?.active ?? 'ours');
        response.end(`got ${request.url}`);
      };
      const port = await serve(t, http.createServer(answer));
      const securePort = await serve(t, https.createServer(secret, answer));
      const connector = undiciConnector({ backend }, { ca: TEST_ONLY_CERTIFICATE, servername: 'localhost' });
      const dispatcher = new undici.Agent({ connect: connector });
      const asked = await undici.request(`http://127.0.0.1:${port}/request`, { dispatcher });
      assert.deepEqual([asked.statusCode, await asked.body.text()], [200, 'got /request']);
      const fetched = await undici.fetch(`http://127.0.0.1:${port}/fetch`, { dispatcher });
      assert.equal(await fetched.text(), 'got /fetch');
      const secure = await undici.request(`https://localhost:${securePort}/secure`, { dispatcher });
      assert.equal(await secure.body.text(), 'got /secure');
      assert.equal(seen.length, 3);
      if (backend === 'kernel') assert.deepEqual(seen, [true, true, true]);
      await dispatcher.close();
    });
  });
}
