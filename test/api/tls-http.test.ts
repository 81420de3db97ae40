import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as http from 'node:http';
import { test } from 'node:test';
import * as tls from 'node:tls';
import { connect, type Socket } from '../../src/api/index.ts';
import { TEST_ONLY_CERTIFICATE, TEST_ONLY_KEY } from './certificate-for-tests-only.ts';
import { connected, dial, hashOf, pattern, serve } from './world.ts';

test('TLS runs over a connection unchanged, both ends', async t => {
  const context = { key: TEST_ONLY_KEY, cert: TEST_ONLY_CERTIFICATE };
  const serving = await serve(t);
  const paths = [{ local: '127.0.0.1' }, { local: '127.0.0.2' }];
  const { client, remote } = await connected(t, serving, { paths });
  const inside = new tls.TLSSocket(remote, { isServer: true, ...context });
  const secure = tls.connect({ socket: client, ca: TEST_ONLY_CERTIFICATE, servername: 'localhost' });
  await once(secure, 'secureConnect');
  assert.equal(secure.authorized, true);
  assert.equal(secure.getProtocol(), 'TLSv1.3');
  assert.ok(client.multipath.active);
  inside.pipe(inside);
  const bytes = pattern(2 << 20);
  const parts: Buffer[] = [];
  secure.on('data', part => parts.push(part));
  secure.end(bytes);
  await once(secure, 'end');
  assert.equal(hashOf(...parts), hashOf(bytes));
});

test('http.request with createConnection, http.Server fed by connection events', async t => {
  const server = http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', part => parts.push(part));
    request.on('end', () => response.end(`${request.method} ${request.url} ${Buffer.concat(parts).length}`));
  });
  const serving = await serve(t, {}, socket => void server.emit('connection', socket));
  const sockets: Socket[] = [];
  const request = http.request({
    method: 'POST',
    path: '/upload',
    createConnection: () => {
      const socket = connect(serving.port, serving.host);
      sockets.push(socket);
      return socket as never;
    },
  });
  request.end(pattern(500_000));
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  assert.equal(response.statusCode, 200);
  assert.equal(await textOf(response), 'POST /upload 500000');
  assert.equal(sockets.length, 1);
});

test('an http.Agent keeps connections and uses them again', async t => {
  const server = http.createServer((request, response) => response.end(`you asked for ${request.url}`));
  let connections = 0;
  const serving = await serve(t, {}, socket => {
    connections++;
    server.emit('connection', socket);
  });
  class MptcpAgent extends http.Agent {
    override createConnection(options: { port: number; host: string }): never {
      return connect(options) as never;
    }
  }
  const agent = new MptcpAgent({ keepAlive: true });
  t.after(() => agent.destroy());
  const ask = async (path: string) => {
    const request = http.get({ agent, host: serving.host, port: serving.port, path });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return textOf(response);
  };
  for (let i = 0; i < 5; i++) assert.equal(await ask(`/${i}`), `you asked for /${i}`);
  assert.equal(connections, 1);
});

test('an http server closes an idle keep-alive connection by its own timeout', async t => {
  const server = http.createServer({ keepAliveTimeout: 50 }, (_request, response) => response.end('once'));
  const serving = await serve(t, {}, socket => void server.emit('connection', socket));
  const client = dial(t, serving);
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  client.resume();
  const [hadError] = await once(client, 'close');
  assert.equal(hadError, false);
});

async function textOf(response: http.IncomingMessage): Promise<string> {
  response.setEncoding('utf8');
  let text = '';
  for await (const part of response) text += part;
  return text;
}
