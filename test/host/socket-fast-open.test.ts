// TCP Fast Open as programs use it: TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, MSG_FASTOPEN. Results as Linux 6.18 gave
// them over loopback. Two hosts in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants as c, errno, errnoName, type Socket, type SocketAddress } from '../../src/host/index.ts';
import { decodePacket, Flag, Segment } from '../../src/wire/index.ts';
import { bytesOf, made, recvText, SocketWorld, sendText } from './socket-world.ts';

function fastWorld(multipath: boolean): { world: SocketWorld; listener: Socket; address: SocketAddress } {
  const world = new SocketWorld({ multipath, client: { fastOpen: 1 }, server: { fastOpen: 3 } });
  const { listener, address } = world.listening();
  assert.equal(listener.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN, 5, world.now), 0);
  return { world, listener, address };
}

/** A connection that asks for the cookie. */
function withCookie(multipath: boolean): ReturnType<typeof fastWorld> {
  const made_ = fastWorld(multipath);
  const { world, listener, address } = made_;
  const first = world.clientSocket();
  const bytes = bytesOf('hello');
  assert.equal(errnoName(first.sendto(bytes, 0, 5, c.MSG_FASTOPEN, address, world.now)), 'EINPROGRESS');
  world.run(5);
  assert.equal(sendText(first, 'hello', world.now), 5);
  world.run(5);
  assert.equal(recvText(made(listener.accept(world.now)), world.now), 'hello');
  return made_;
}

/** Bytes in each SYN of the client since `from`. */
function synData(world: SocketWorld, from: number): number[] {
  return world.log.slice(from).flatMap(({ from: side, bytes }) => {
    const segment = new Segment();
    assert.ok(decodePacket(segment, bytes, 0, bytes.length));
    return side === 'client' && segment.flags === Flag.SYN ? [segment.payloadLength] : [];
  });
}

for (const multipath of [false, true]) {
  const protocol = multipath ? 'MPTCP' : 'TCP';

  test(`${protocol}: MSG_FASTOPEN sends data with the SYN once there is a cookie`, () => {
    const { world, listener, address } = withCookie(multipath);
    const before = world.log.length;
    const near = world.clientSocket();
    assert.equal(near.sendto(bytesOf('again'), 0, 5, c.MSG_FASTOPEN, address, world.now), 5);
    world.run(5);
    assert.deepEqual(synData(world, before), [5]);
    assert.equal(near.poll(), c.POLLOUT);
    const far = made(listener.accept(world.now));
    assert.equal(recvText(far, world.now), 'again');
  });

  test(`${protocol}: TCP_FASTOPEN_CONNECT lets connect wait for the first send`, () => {
    const { world, listener, address } = withCookie(multipath);
    const near = world.clientSocket();
    assert.equal(near.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_CONNECT, 1, world.now), 0);
    const before = world.log.length;
    assert.equal(near.connect(address, world.now), 0);
    world.run(20);
    assert.equal(world.log.length, before);
    assert.equal(near.poll(), c.POLLOUT);
    assert.equal(near.connect(address, world.now), -errno.EISCONN);
    assert.equal(recvText(near, world.now), 'EAGAIN');
    assert.equal(near.getpeername(), -errno.ENOTCONN);
    // What fits the SYN: the rest when the connection is there.
    const taken = near.send(new Uint8Array(5000), 0, 5000, 0, world.now);
    assert.equal(taken, 1420);
    world.run(5);
    assert.deepEqual(synData(world, before), [1420]);
    assert.equal(near.connect(address, world.now), 0);
    assert.equal(near.connect(address, world.now), -errno.EISCONN);
    assert.equal(recvText(made(listener.accept(world.now)), world.now).length, 1420);
  });

  test(`${protocol}: a SYN that waits is given up by shutdown and close without a packet`, () => {
    const { world, address } = withCookie(multipath);
    const before = world.log.length;
    for (const end of ['shutdown', 'close'] as const) {
      const near = world.clientSocket();
      near.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_CONNECT, 1, world.now);
      assert.equal(near.connect(address, world.now), 0);
      if (end === 'close') near.close(world.now);
      else assert.equal(near.shutdown(c.SHUT_WR, world.now), 0);
      world.run(10);
      assert.equal(world.log.slice(before).filter(({ from }) => from === 'client').length, 0, end);
    }
  });
}

test('what is not allowed, and where', () => {
  const world = new SocketWorld({ client: { fastOpen: 0 } });
  const address = { address: world.serverAddress, port: 7000 };
  const near = world.clientSocket();
  assert.equal(near.sendto(bytesOf('x'), 0, 1, c.MSG_FASTOPEN, address, world.now), -errno.EOPNOTSUPP);
  assert.equal(near.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_CONNECT, 1, world.now), -errno.EOPNOTSUPP);
  assert.equal(near.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, new Uint8Array(15), world.now), -errno.EINVAL);
  assert.equal(near.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN, -1, world.now), -errno.EINVAL);
});

test('listeners with the same TCP_FASTOPEN_KEY believe each other’s cookies', () => {
  const { world, listener } = fastWorld(false);
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  listener.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, key, world.now);
  assert.deepEqual(listener.getsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, world.now), key);
  const other = world.serverSocket();
  other.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN, 5, world.now);
  other.setsockopt(c.SOL_TCP, c.TCP_FASTOPEN_KEY, key, world.now);
  const second = { address: world.serverAddress, port: 7001 };
  other.bind(second);
  other.listen(5);
  const first = world.clientSocket();
  first.sendto(bytesOf('x'), 0, 1, c.MSG_FASTOPEN, { ...second, port: 7000 }, world.now);
  world.run(5);
  const near = world.clientSocket();
  assert.equal(near.sendto(bytesOf('early'), 0, 5, c.MSG_FASTOPEN, second, world.now), 5);
  world.run(1);
  assert.equal(recvText(made(other.accept(world.now)), world.now), 'early');
});
