// `fastOpen` with `backend: 'kernel'`: TCP_FASTOPEN and TCP_FASTOPEN_CONNECT, as the kernel's own counters have it.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Namespace } from './namespaces.ts';
import { skipNamespaces } from './netns.ts';

/** Connections to an echo, one after another; what came back, what it was, and what the server saw first. */
const PROGRAM = (options: object, server: object): string => `
  const server = api.createServer({ backend: 'kernel', ...${JSON.stringify(server)} }, socket => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise(resolve => server.listen(7000, '127.0.0.1', resolve));
  const one = write => new Promise(resolve => {
    const socket = api.connect(
      { backend: 'kernel', host: '127.0.0.1', port: 7000, fastOpen: true, ...${JSON.stringify(options)} });
    let text = '';
    let remote;
    socket.on('data', data => {
      text += data;
      remote = socket.remoteAddress;
    });
    socket.on('error', error => resolve({ error: error.code }));
    socket.on('end', () => {
      const { active, fallback } = socket.multipath;
      resolve({ text, active, fallback, remote });
    });
    write(socket);
  });
  for (let i = 0; i < 3; i++) say(await one(socket => { socket.write('ab'); socket.end('cd'); }));
  say(await one(socket => socket.on('connect', () => socket.end('late'))));
  server.close(async () => {
    say(await one(socket => socket.end('gone')));
    process.exit();
  });`;

describe("fastOpen with backend: 'kernel'", { skip: skipNamespaces, timeout: 60_000 }, () => {
  for (const multipath of [true, false]) {
    test(`the second connection sends with its SYN, ${multipath ? 'Multipath ' : ''}TCP`, async t => {
      const namespace = new Namespace(t);
      namespace.sysctl({ 'net.ipv4.tcp_fastopen': 3 });
      const program = namespace.start(t, PROGRAM({ multipath }, { fastOpen: 16, multipath }));
      for (const text of ['abcd', 'abcd', 'abcd', 'late']) {
        assert.deepEqual(await program.next(), {
          text,
          active: multipath,
          fallback: null,
          remote: '127.0.0.1',
        });
      }
      assert.deepEqual(await program.next(), { error: 'ECONNREFUSED' });
      const { TCPFastOpenActive, TCPFastOpenPassive, TCPFastOpenCookieReqd } = namespace.counters('TcpExt');
      assert.deepEqual([TCPFastOpenActive, TCPFastOpenPassive, TCPFastOpenCookieReqd], [2, 2, 1]);
    });
  }

  test('not with require, at either end', async t => {
    const namespace = new Namespace(t);
    namespace.sysctl({ 'net.ipv4.tcp_fastopen': 3 });
    const program = namespace.start(t, PROGRAM({ require: true }, { fastOpen: 16, require: true }));
    for (let i = 0; i < 4; i++) assert.equal((await program.next<{ active: boolean }>()).active, true);
    assert.equal(namespace.counters('TcpExt')['TCPFastOpenPassive'], undefined);
    assert.equal(namespace.counters('TcpExt')['TCPFastOpenActive'], undefined);
  });
});
