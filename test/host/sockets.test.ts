// Sockets over a host, in virtual time: what Linux's non-blocking sockets answer, where the contract with the
// live kernel (contract.test.ts) does not reach.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants as c, errno, errnoName } from '../../src/host/index.ts';
import { made, recvText, SocketWorld, sendText } from './socket-world.ts';

for (const multipath of [false, true]) {
  for (const ipVersion of [4, 6] as const) {
    const name = `${multipath ? 'MPTCP' : 'TCP'} over IPv${ipVersion}`;

    test(`${name}: connect, send, receive, finish, in both directions`, () => {
      const world = new SocketWorld({ multipath, ipVersion });
      const { near, far } = world.pair();
      assert.equal(near.poll(), c.POLLOUT);
      assert.equal(sendText(near, 'ping', world.now), 4);
      world.run(5);
      assert.equal(far.poll(), c.POLLIN | c.POLLOUT);
      assert.equal(recvText(far, world.now, c.MSG_PEEK), 'ping');
      assert.equal(recvText(far, world.now), 'ping');
      assert.equal(recvText(far, world.now), 'EAGAIN');
      assert.equal(near.shutdown(c.SHUT_WR, world.now), 0);
      assert.equal(sendText(near, 'more', world.now), -errno.EPIPE);
      world.run(5);
      assert.equal(far.poll(), c.POLLIN | c.POLLRDHUP | c.POLLOUT);
      assert.equal(recvText(far, world.now), '');
      assert.equal(sendText(far, 'pong', world.now), 4);
      assert.equal(far.close(world.now), 0);
      world.run(50);
      assert.equal(recvText(near, world.now), 'pong');
      assert.equal(recvText(near, world.now), '');
      assert.equal(near.close(world.now), 0);
      world.until('all state is gone', () => [...world.client.host.connections].length === 0);
    });
  }
}

test('SOCK_NONBLOCK and SOCK_CLOEXEC change nothing; other types are refused', () => {
  const { client } = new SocketWorld();
  for (const flags of [0, c.SOCK_NONBLOCK, c.SOCK_CLOEXEC, c.SOCK_NONBLOCK | c.SOCK_CLOEXEC])
    assert.equal(typeof client.socket(c.AF_INET, c.SOCK_STREAM | flags, c.IPPROTO_TCP), 'object');
  for (const type of [0, 2, c.SOCK_NONBLOCK, c.SOCK_STREAM | 0x400])
    assert.equal(client.socket(c.AF_INET, type, c.IPPROTO_TCP), -errno.ESOCKTNOSUPPORT);
});

test('names of a connection, of both ends', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  const local = near.getsockname();
  assert.deepEqual(far.getpeername(), local);
  assert.deepEqual(near.getpeername(), { address: world.serverAddress, port: 7000 });
  assert.deepEqual(far.getsockname(), near.getpeername());
});

test('a dual socket takes IPv4 and IPv6, and writes IPv4 addresses as ::ffff:…', () => {
  const world = new SocketWorld();
  world.server.host.addInterface({ address: 'fd00:1::2' });
  const listener = made(world.server.socket(c.AF_INET6, c.SOCK_STREAM, c.IPPROTO_TCP));
  assert.equal(listener.bind({ address: '::', port: 80 }), 0);
  assert.equal(listener.listen(1), 0);
  const near = world.clientSocket();
  near.connect({ address: world.serverAddress, port: 80 }, world.now);
  world.run(5);
  const far = made(listener.accept(world.now));
  assert.deepEqual(far.getsockname(), { address: `::ffff:${world.serverAddress}`, port: 80 });
  const six = made(world.client.socket(c.AF_INET6, c.SOCK_STREAM, 0));
  assert.equal(
    errnoName(six.connect({ address: `::ffff:${world.serverAddress}`, port: 80 }, world.now)),
    'EINPROGRESS',
  );
  world.run(5);
  assert.equal(six.poll(), c.POLLOUT);
});

test('nextReady hands out the socket that has news', () => {
  const world = new SocketWorld();
  const { near, far, listener } = world.pair();
  while (world.server.nextReady() !== undefined);
  sendText(near, 'x', world.now);
  world.run(2);
  assert.equal(world.server.nextReady(), far);
  assert.equal(world.server.nextReady(), undefined);
  world.clientSocket().connect({ address: world.serverAddress, port: 7000 }, world.now);
  world.run(2);
  assert.equal(world.server.nextReady(), listener);
});

test('MSG_TRUNC reads and keeps nothing', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  sendText(near, 'to be thrown away', world.now);
  world.run(5);
  assert.equal(far.recv(new Uint8Array(0), 0, 12, c.MSG_TRUNC, world.now), 12);
  assert.equal(recvText(far, world.now), ' away');
});

test('connect with null, AF_UNSPEC in C, resets, and the socket connects again', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  assert.equal(near.connect(null, world.now), 0);
  assert.equal(near.poll(), c.POLLOUT | c.POLLHUP);
  world.run(5);
  assert.equal(recvText(far, world.now), 'ECONNRESET');
  assert.equal(
    errnoName(near.connect({ address: world.serverAddress, port: 7000 }, world.now)),
    'EINPROGRESS',
  );
  world.run(5);
  assert.equal(near.poll(), c.POLLOUT);
});

test('calls on a socket that was closed are EBADF', () => {
  const world = new SocketWorld();
  const { near } = world.pair();
  assert.equal(near.close(world.now), 0);
  const bytes = new Uint8Array(1);
  const address = { address: world.serverAddress, port: 7000 };
  const results = [
    near.bind(address),
    near.listen(1),
    near.accept(world.now),
    near.connect(address, world.now),
    near.send(bytes, 0, 1, 0, world.now),
    near.recv(bytes, 0, 1, 0, world.now),
    near.read(bytes, 0, 1, world.now),
    near.shutdown(c.SHUT_WR, world.now),
    near.getsockname(),
    near.getpeername(),
    near.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now),
    near.setsockopt(c.SOL_TCP, c.TCP_NODELAY, 1, world.now),
    near.close(world.now),
  ];
  assert.deepEqual(
    results,
    results.map(() => -errno.EBADF),
  );
  assert.equal(near.poll(), c.POLLNVAL);
});

test('SO_LINGER with a time of 0 resets', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  assert.equal(near.setsockopt(c.SOL_SOCKET, c.SO_LINGER, { onoff: 1, linger: 0 }, world.now), 0);
  near.close(world.now);
  world.run(5);
  assert.equal(far.poll(), c.POLLIN | c.POLLRDHUP | c.POLLHUP | c.POLLERR | c.POLLOUT);
  assert.equal(far.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now), errno.ECONNRESET);
  assert.equal(far.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now), 0);
  assert.equal(recvText(far, world.now), '');
});
