// `--import mptcp/register`: every TCP socket of a program that knows nothing of this package, and the one line that
// says so.

import assert from 'node:assert/strict';
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { impediment } from '../../src/kernel/index.ts';
import { TEST_ONLY_CERTIFICATE, TEST_ONLY_KEY } from './certificate-for-tests-only.ts';

const noKernel: string | false = impediment()?.message ?? false;
const register: string = fileURLToPath(new URL('../../src/api/register.js', import.meta.url));
const api: string = pathToFileURL(fileURLToPath(new URL('../../src/api/index.js', import.meta.url))).href;
const LINE = /^mptcp\/register: TCP sockets are Multipath TCP of the kernel \(Linux [^\n]+\)\n$/;

describe('mptcp/register', { skip: noKernel }, () => {
  /** An ordinary program: a server, a client by name and a fetch; prints what its sockets are. */
  const program = `
    import http from 'node:http';
    import net from 'node:net';
    import { multipathOf } from ${JSON.stringify(api)};
    const seen = {};
    const server = http.createServer((request, response) => {
      seen[request.url] = multipathOf(request.socket).active;
      response.end('x');
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address();
    await (await fetch('http://127.0.0.1:' + port + '/fetch')).text();
    await new Promise(resolve => http.get({ port, host: 'localhost', path: '/get', autoSelectFamily: true,
      lookup: (_host, _options, callback) => callback(null,
        [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]) },
      response => response.resume().on('end', resolve)));
    const client = net.connect(port, '127.0.0.1');
    await new Promise(resolve => client.once('connect', resolve));
    seen.client = multipathOf(client).active;
    client.destroy();
    server.close();
    server.closeAllConnections();
    console.log(JSON.stringify(seen));`;

  function run(env: Record<string, string>): SpawnSyncReturns<string> {
    return node(['--input-type=module', '-e', program], env);
  }

  test('every socket of an ordinary program, and one line that says so', () => {
    const { stdout, stderr, status } = run({});
    assert.match(stderr, LINE);
    assert.deepEqual(JSON.parse(stdout), { '/fetch': true, '/get': true, client: true });
    assert.equal(status, 0);
  });

  test('but those that are denied', () => {
    const { stdout, stderr } = run({ MPTCP_DENY: '127.0.0.0/8, [::1]:5432' });
    assert.match(stderr, /TCP sockets but 127\.0\.0\.0\/8, \[::1\]:5432 are Multipath TCP/);
    assert.deepEqual(JSON.parse(stdout), { '/fetch': false, '/get': false, client: false });
  });

  test('only those that are allowed', () => {
    const { stdout, stderr } = run({ MPTCP_ALLOW: '10.0.0.0/8' });
    assert.match(stderr, /TCP sockets of 10\.0\.0\.0\/8 are Multipath TCP/);
    assert.deepEqual(JSON.parse(stdout), { '/fetch': false, '/get': false, client: false });
  });

  test('a list that makes no sense ends the program before it begins', () => {
    const { stderr, stdout, status } = run({ MPTCP_DENY: 'localhost' });
    assert.match(stderr, /"localhost" in MPTCP_DENY is no address, network or port/);
    assert.deepEqual([stdout, status], ['', 1]);
  });

  test('HTTP/2, TLS, a thread and workers of a cluster; still one line', t => {
    const { stdout, stderr, status } = node([programFile(t, MANY_WAYS)]);
    assert.match(stderr, LINE);
    const both = [true, true];
    assert.deepEqual(JSON.parse(stdout), {
      ...{ http2: both, tls: both, thread: both, roundRobin: both, shared: both },
    });
    assert.equal(status, 0);
  });

  test('a socket with a local address is judged by where it connects to, and its errors stay', t => {
    const file = programFile(t, LOCAL_ADDRESS);
    for (const [env, expected] of [
      [{ MPTCP_DENY: '127.0.0.1' }, { '127.0.0.9': true, '127.0.0.1': false }],
      [{ MPTCP_ALLOW: '127.0.0.1' }, { '127.0.0.9': false, '127.0.0.1': true }],
    ] as const) {
      const { stdout } = node([file], env);
      assert.deepEqual(JSON.parse(stdout), { ...expected, failed: 'EADDRNOTAVAIL bind' });
    }
  });
});

/** Runs a program with the registration, and waits for it. */
function node(args: readonly string[], env: Record<string, string> = {}): SpawnSyncReturns<string> {
  return spawnSync(process.execPath, ['--no-warnings', '--import', register, ...args], {
    ...{ env: { ...process.env, ...env }, encoding: 'utf8', timeout: 30_000 },
  });
}

function programFile(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'mptcp-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'program.mjs');
  writeFileSync(file, text);
  return file;
}

/** Servers and clients of each kind; prints whether their connections are Multipath TCP, client first. */
const MANY_WAYS = `
  import cluster from 'node:cluster';
  import { once } from 'node:events';
  import http2 from 'node:http2';
  import net from 'node:net';
  import tls from 'node:tls';
  import { Worker } from 'node:worker_threads';
  import { multipathOf } from ${JSON.stringify(api)};
  const is = socket => multipathOf(socket)?.active;
  /** A server that tells of its connection. */
  const served = async (server, event, tell) => {
    server.on(event, tell).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server.address().port;
  };
  const seen = {};
  if (cluster.isWorker) {
    const port = await served(net.createServer(), 'connection', socket => {
      process.send(is(socket));
      socket.resume();
    });
    process.send(port);
  } else {
    const answered = http2.createServer();
    const port = await served(answered, 'request', (request, response) => {
      seen.http2 = [is(request.socket)];
      response.end('x');
    });
    const session = http2.connect('http://127.0.0.1:' + port);
    await once(session.request({ ':path': '/' }).resume(), 'end');
    seen.http2.unshift(is(session.socket));
    session.close();
    answered.close();

    const secret = { key: ${JSON.stringify(TEST_ONLY_KEY)}, cert: ${JSON.stringify(TEST_ONLY_CERTIFICATE)} };
    const secure = tls.createServer(secret);
    const arrived = once(secure, 'secureConnection');
    const client = tls.connect({ port: await served(secure, 'error', () => {}), host: '127.0.0.1', ca: secret.cert,
      servername: 'localhost' });
    await once(client, 'secureConnect');
    const [inside] = await arrived;
    seen.tls = [is(client), is(inside)];
    inside.resume();
    client.end();
    secure.close();

    const thread = \`
      import net from 'node:net';
      import { parentPort } from 'node:worker_threads';
      import { multipathOf } from ${JSON.stringify(api)};
      const server = net.createServer(socket => {
        socket.resume().write(String(multipathOf(socket).active));
      });
      server.listen(0, '127.0.0.1', () => {
        const client = net.connect(server.address().port, '127.0.0.1');
        client.on('data', text => {
          parentPort.postMessage([multipathOf(client).active, String(text) === 'true']);
          client.end();
          server.close();
        });
      });\`;
    [seen.thread] = await once(new Worker(new URL('data:text/javascript,' + encodeURIComponent(thread))), 'message');

    for (const [name, policy] of [['roundRobin', cluster.SCHED_RR], ['shared', cluster.SCHED_NONE]]) {
      cluster.schedulingPolicy = policy;
      const worker = cluster.fork();
      const [port] = await once(worker, 'message');
      const told = once(worker, 'message');
      const client = net.connect(port, '127.0.0.1');
      await once(client, 'connect');
      seen[name] = [is(client), (await told)[0]];
      client.end();
      worker.kill();
      await once(worker, 'exit');
    }
    console.log(JSON.stringify(seen));
  }`;

/** To two addresses of the loopback, each time from the other one. */
const LOCAL_ADDRESS = `
  import { once } from 'node:events';
  import net from 'node:net';
  import { multipathOf } from ${JSON.stringify(api)};
  const seen = {};
  for (const [host, localAddress] of [['127.0.0.9', '127.0.0.1'], ['127.0.0.1', '127.0.0.9']]) {
    const server = net.createServer(socket => socket.resume()).listen(0, host);
    await once(server, 'listening');
    const client = net.connect({ host, port: server.address().port, localAddress, localPort: 0 });
    await once(client, 'connect');
    if (client.localAddress === localAddress) seen[host] = multipathOf(client).active;
    client.end();
    server.close();
  }
  const nowhere = net.connect({ host: '127.0.0.1', port: 9, localAddress: '203.0.113.1' });
  const [error] = await once(nowhere, 'error').catch(error => [error]);
  seen.failed = error.code + ' ' + error.syscall;
  console.log(JSON.stringify(seen));`;
