// What is asked of sockets and servers of the kernel reaches the kernel: as its own `ss` and getsockopt have it, on both
// ends; and descriptors that a server was given by whoever started it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Namespace } from './namespaces.ts';
import { skipNamespaces } from './netns.ts';

const KERNEL: string = fileURLToPath(new URL('../../src/kernel/index.js', import.meta.url));
const DESCRIPTOR: string = fileURLToPath(new URL('../../src/kernel/descriptor.js', import.meta.url));

describe('what the kernel is asked for', { skip: skipNamespaces, timeout: 60_000 }, () => {
  test('noDelay, keepAlive and its delay: as options, as methods, before and after the connection', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `const { readOption } = await import(${JSON.stringify(DESCRIPTOR)});
      const option = (socket, level, name) => {
        const bytes = new Uint8Array(4);
        readOption(socket._handle.fd, level, name, bytes);
        return new Int32Array(bytes.buffer)[0];
      };
      // TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE.
      const of = socket => [option(socket, 6, 1), option(socket, 1, 9), option(socket, 6, 4)];
      const serverOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 7000 };
      const server = api.createServer({ backend: 'kernel', ...serverOptions });
      await new Promise(resolve => server.listen(7000, '127.0.0.1', resolve));
      const pair = async (options, before = () => {}) => {
        const accepted = new Promise(resolve => server.once('connection', resolve));
        const socket = api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1', ...options });
        before(socket);
        await new Promise(resolve => socket.once('connect', resolve));
        return [socket, await accepted];
      };
      const [plain, served] = await pair({});
      say({ plain: of(plain).slice(0, 2), served: of(served) });
      const [asked] = await pair({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 5000 });
      say({ asked: of(asked) });
      const [early] = await pair({}, socket => socket.setNoDelay(true).setKeepAlive(true, 3000));
      say({ early: of(early) });
      plain.setNoDelay(true).setKeepAlive(true, 9000);
      say({ late: of(plain) });
      asked.setNoDelay(false).setKeepAlive(false);
      say({ off: of(asked).slice(0, 2) });
      process.exit();`,
    );
    assert.deepEqual(await program.next(), { plain: [0, 0], served: [1, 1, 7] });
    assert.deepEqual(await program.next(), { asked: [1, 1, 5] });
    assert.deepEqual(await program.next(), { early: [1, 1, 3] });
    assert.deepEqual(await program.next(), { late: [1, 1, 9] });
    assert.deepEqual(await program.next(), { off: [0, 0] });
  });

  test('the backlog, of a port and of a descriptor', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `const kernel = await import(${JSON.stringify(KERNEL)});
      const handle = kernel.newTcpHandle('server');
      kernel.adopt(handle, kernel.openStream({ family: 4, multipath: true }));
      handle.bind('127.0.0.1', 7002);
      const servers = [[7000], [{ port: 7001, backlog: 33 }], [{ fd: kernel.duplicate(handle.fd), backlog: 44 }]];
      for (const args of servers) {
        await new Promise(resolve => api.createServer({ backend: 'kernel' }).listen(...args, resolve));
      }
      say('listening');`,
    );
    await program.next();
    const queues = namespace
      .exec('ss -Hltn')
      .trim()
      .split('\n')
      .map(line => line.trim().split(/\s+/))
      .map(([, , most, local]) => [local?.replace(/.*:/, ''), most])
      .sort();
    assert.deepEqual(queues, [
      ['7000', '511'],
      ['7001', '33'],
      ['7002', '44'],
    ]);
  });

  test('reusePort: two servers share a port, and without it the second is EADDRINUSE', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `const served = [0, 0];
      const servers = served.map((_none, i) => api.createServer({ backend: 'kernel' }, socket => {
        served[i]++;
        socket.end();
      }));
      for (const server of servers) {
        const where = { port: 7000, host: '127.0.0.1', reusePort: true };
        await new Promise((resolve, reject) => server.once('error', reject).listen(where, resolve));
      }
      const third = api.createServer({ backend: 'kernel' }).listen({ port: 7000, host: '127.0.0.1' });
      const [error] = await new Promise(resolve => third.once('error', (...values) => resolve(values)));
      await Promise.all(Array.from({ length: 60 }, () => new Promise(resolve =>
        api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' }).resume().on('close', resolve))));
      say({ code: error.code, sum: served[0] + served[1], both: served.every(count => count > 5) });
      process.exit();`,
    );
    assert.deepEqual(await program.next(), { code: 'EADDRINUSE', sum: 60, both: true });
  });

  for (const listening of [false, true]) {
    test(`a descriptor inherited from a supervisor (LISTEN_FDS), ${listening ? 'listening' : 'bound only'}`, async t => {
      const namespace = new Namespace(t);
      const child = `
        import { createServer } from ${JSON.stringify(new URL('../../src/api/index.js', import.meta.url).href)};
        if (process.env.LISTEN_FDS !== '1') throw new Error('nothing was inherited');
        const server = createServer({ backend: 'kernel' }, socket => socket.end(JSON.stringify(socket.multipath.active)));
        server.listen({ fd: 3 }, () => process.send(server.address()));`;
      const program = namespace.start(
        t,
        `const { spawn } = await import('node:child_process');
        const kernel = await import(${JSON.stringify(KERNEL)});
        const handle = kernel.newTcpHandle('server');
        kernel.adopt(handle, kernel.openStream({ family: 4, multipath: true }));
        handle.bind('127.0.0.1', 7003);
        ${listening ? 'handle.listen(20);' : ''}
        const args = ['--no-warnings', '--input-type=module', '-e', ${JSON.stringify(child)}];
        const stdio = ['ignore', 'inherit', 'inherit', handle.fd, 'ipc'];
        const child = spawn(process.execPath, args, { stdio, env: { ...process.env, LISTEN_FDS: '1' } });
        child.on('exit', (_code, signal) => say({ signal }));
        child.once('message', address => {
          handle.close();
          const socket = api.connect({ backend: 'kernel', port: 7003, host: '127.0.0.1' });
          socket.on('data', text => say({ address, client: socket.multipath.active, served: JSON.parse(text) }));
          socket.on('close', () => child.kill());
        });`,
      );
      assert.deepEqual(await program.next(), {
        address: { address: '127.0.0.1', family: 'IPv4', port: 7003 },
        ...{ client: true, served: true },
      });
      // It holds the standard output of this test.
      assert.deepEqual(await program.next(), { signal: 'SIGTERM' });
    });
  }

  test('unref: neither a server nor idle connections keep the process', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `const server = api.createServer({ backend: 'kernel' }, socket => socket.unref());
      server.listen(7000, '127.0.0.1', () => {
        const socket = api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' });
        socket.on('connect', () => {
          say('connected');
          socket.unref();
          server.unref();
        });
      });`,
    );
    assert.equal(await program.next(), 'connected');
    assert.equal(await program.ended(), 0);
  });
});
