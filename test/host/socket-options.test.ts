// What the socket options do, seen in the packets that leave: two hosts in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  constants as c,
  errno,
  errnoName,
  type MultipathSocketInfo,
  type Socket,
  type TcpInfo,
} from '../../src/host/index.ts';
import { decodePacket, Flag, Segment } from '../../src/wire/index.ts';
import { made, recvText, SocketWorld, sendText } from './socket-world.ts';

/** Packets of one side since `from`, decoded. */
function sent(world: SocketWorld, side: 'client' | 'server', from = 0): Segment[] {
  return world.log
    .slice(from)
    .filter(packet => packet.from === side)
    .map(({ bytes }) => {
      const segment = new Segment();
      assert.ok(decodePacket(segment, bytes, 0, bytes.length));
      return segment;
    });
}

function payloads(world: SocketWorld, side: 'client' | 'server', from: number): number[] {
  return sent(world, side, from)
    .map(segment => segment.payloadLength)
    .filter(length => length > 0);
}

function set(
  socket: Socket,
  name: number,
  value: number | string,
  world: SocketWorld,
  level: number = c.SOL_TCP,
): void {
  assert.equal(socket.setsockopt(level, name, value, world.now), 0);
}

for (const multipath of [false, true]) {
  const protocol = multipath ? 'MPTCP' : 'TCP';

  test(`${protocol}: TCP_CORK holds a short segment back, for 200 ms at most`, () => {
    const world = new SocketWorld({ multipath });
    const { near } = world.pair();
    set(near, c.TCP_CORK, 1, world);
    const before = world.log.length;
    const began = world.now;
    sendText(near, 'head', world.now);
    world.run(10);
    sendText(near, 'body', world.now);
    world.run(100);
    assert.deepEqual(payloads(world, 'client', before), []);
    world.run(200);
    assert.deepEqual(payloads(world, 'client', before), [8]);
    const left = world.log.slice(before).find(packet => packet.from === 'client');
    assert.ok(left !== undefined && left.at - began >= 200 && left.at - began < 260, `after ${left?.at}`);
  });

  test(`${protocol}: taking the cork out sends, and so does TCP_NODELAY`, () => {
    const world = new SocketWorld({ multipath });
    const { near } = world.pair();
    set(near, c.TCP_CORK, 1, world);
    let before = world.log.length;
    sendText(near, 'head', world.now);
    world.run(5);
    set(near, c.TCP_CORK, 0, world);
    world.run(2);
    assert.deepEqual(payloads(world, 'client', before), [4]);
    set(near, c.TCP_CORK, 1, world);
    before = world.log.length;
    near.send(new Uint8Array(3000), 0, 3000, 0, world.now);
    world.run(5);
    // Full segments leave, the rest waits.
    const full = payloads(world, 'client', before);
    assert.ok(full.length === 2 && full.every(length => length > 1000), String(full));
  });

  test(`${protocol}: MSG_MORE waits for the next send`, () => {
    const world = new SocketWorld({ multipath });
    const { near, far } = world.pair();
    const before = world.log.length;
    sendText(near, 'head', world.now, c.MSG_MORE);
    world.run(50);
    assert.deepEqual(payloads(world, 'client', before), []);
    sendText(near, 'body', world.now);
    world.run(5);
    assert.deepEqual(payloads(world, 'client', before), [8]);
    assert.equal(recvText(far, world.now), 'headbody');
  });

  test(`${protocol}: IP_TOS and IP_TTL are those of every packet, and ECN keeps its bits`, () => {
    const world = new SocketWorld({ multipath, client: { ecn: 'on' } });
    const { address } = world.listening();
    const near = world.clientSocket();
    set(near, c.IP_TOS, 0xbb, world, c.SOL_IP);
    set(near, c.IP_TTL, 5, world, c.SOL_IP);
    near.connect(address, world.now);
    world.run(5);
    sendText(near, 'x', world.now);
    world.run(5);
    const packets = sent(world, 'client');
    assert.ok(packets.length >= 3);
    for (const packet of packets) assert.deepEqual([packet.dscp, packet.ttl], [0xbb >> 2, 5]);
    assert.ok(
      packets.some(packet => packet.ecn === 2),
      'ECT on data',
    );
    set(near, c.IP_TOS, 0, world, c.SOL_IP);
    const before = world.log.length;
    sendText(near, 'y', world.now);
    world.run(5);
    assert.equal(sent(world, 'client', before)[0].dscp, 0);
  });

  test(`${protocol}: IPV6_TCLASS and IPV6_UNICAST_HOPS`, () => {
    const world = new SocketWorld({ multipath, ipVersion: 6 });
    const { address } = world.listening();
    const near = world.clientSocket();
    set(near, c.IPV6_TCLASS, 0x48, world, c.SOL_IPV6);
    set(near, c.IPV6_UNICAST_HOPS, 9, world, c.SOL_IPV6);
    near.connect(address, world.now);
    world.run(5);
    for (const packet of sent(world, 'client')) assert.deepEqual([packet.dscp, packet.ttl], [0x48 >> 2, 9]);
  });

  test(`${protocol}: TCP_MAXSEG limits what is offered and what is sent`, () => {
    const world = new SocketWorld({ multipath });
    const { listener, address } = world.listening();
    const near = world.clientSocket();
    set(near, c.TCP_MAXSEG, 500, world);
    near.connect(address, world.now);
    world.run(5);
    assert.equal(sent(world, 'client')[0].mss, 500);
    const far = made(listener.accept(world.now));
    const before = world.log.length;
    near.send(new Uint8Array(2000), 0, 2000, 0, world.now);
    far.send(new Uint8Array(2000), 0, 2000, 0, world.now);
    world.run(5);
    // A larger packet is cut into pieces of this size by the link.
    const most = world.log.slice(before).map(({ segmentBytes }) => segmentBytes);
    assert.ok(Math.max(...most) <= 488 && Math.max(...payloads(world, 'server', before)) > 400, String(most));
    assert.equal(near.getsockopt(c.SOL_TCP, c.TCP_MAXSEG, world.now), multipath ? 460 : 488);
  });

  test(`${protocol}: TCP_DEFER_ACCEPT hands a connection out with its first data, or late`, () => {
    const world = new SocketWorld({ multipath });
    const { listener, address } = world.listening();
    set(listener, c.TCP_DEFER_ACCEPT, 3, world);
    const near = world.clientSocket();
    near.connect(address, world.now);
    const silent = world.clientSocket();
    silent.connect(address, world.now);
    world.run(500);
    assert.equal(near.poll(), c.POLLOUT);
    assert.equal(listener.poll(), 0);
    sendText(near, 'first', world.now);
    world.run(5);
    assert.equal(recvText(made(listener.accept(world.now)), world.now), 'first');
    assert.equal(listener.accept(world.now), -errno.EAGAIN);
    world.run(3000);
    made(listener.accept(world.now));
  });

  test(`${protocol}: SO_SNDBUF bounds what send takes, and poll says so with a third free`, () => {
    const world = new SocketWorld({ multipath });
    const { listener, address } = world.listening();
    set(listener, c.SO_RCVBUF, 30_000, world, c.SOL_SOCKET);
    const near = world.clientSocket();
    set(near, c.SO_SNDBUF, 60_000, world, c.SOL_SOCKET);
    assert.equal(near.getsockopt(c.SOL_SOCKET, c.SO_SNDBUF, world.now), 120_000);
    near.connect(address, world.now);
    world.run(5);
    const far = made(listener.accept(world.now));
    world.run(100);
    const data = new Uint8Array(100_000);
    assert.equal(near.send(data, 0, data.length, 0, world.now), 60_000);
    assert.equal(near.send(data, 0, data.length, 0, world.now), -errno.EAGAIN);
    assert.equal(near.poll() & c.POLLOUT, 0);
    while (world.client.nextReady() !== undefined);
    world.run(20);
    // Half of it is at the peer, unread; that is more than a third of the buffer.
    assert.equal(world.client.nextReady(), near);
    assert.equal(near.poll() & c.POLLOUT, c.POLLOUT);
    assert.ok(far.connection !== null && far.connection.readableBytes <= 30_000);
  });

  test(`${protocol}: SO_RCVLOWAT is what poll waits for`, () => {
    const world = new SocketWorld({ multipath });
    const { near, far } = world.pair();
    set(far, c.SO_RCVLOWAT, 10, world, c.SOL_SOCKET);
    sendText(near, '123456789', world.now);
    world.run(5);
    assert.equal(far.poll() & c.POLLIN, 0);
    sendText(near, '0', world.now);
    world.run(5);
    assert.equal(far.poll() & c.POLLIN, c.POLLIN);
  });

  test(`${protocol}: TCP_NOTSENT_LOWAT keeps unsent data short`, () => {
    const world = new SocketWorld({ multipath });
    const { near } = world.pair();
    set(near, c.TCP_NOTSENT_LOWAT, 1000, world);
    // Nothing passes: the initial window leaves, the rest stays unsent.
    world.passes = () => false;
    const data = new Uint8Array(50_000);
    assert.equal(near.send(data, 0, data.length, 0, world.now), 50_000);
    world.run(5);
    assert.equal(near.send(data, 0, 10, 0, world.now), -errno.EAGAIN);
    assert.equal(near.poll() & c.POLLOUT, 0);
    world.passes = () => true;
    world.run(2000);
    assert.equal(near.poll() & c.POLLOUT, c.POLLOUT);
  });

  test(`${protocol}: TCP_USER_TIMEOUT, TCP_SYNCNT: ETIMEDOUT in time`, () => {
    const world = new SocketWorld({ multipath, client: { plainSynMs: 0 } });
    const { near } = world.pair();
    set(near, c.TCP_USER_TIMEOUT, 3000, world);
    world.passes = () => false;
    sendText(near, 'x', world.now);
    const began = world.now;
    if (!multipath) {
      world.until('error', () => (near.poll() & c.POLLERR) !== 0);
      assert.equal(near.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now), errno.ETIMEDOUT);
      assert.ok(world.now - began >= 3000 && world.now - began < 4000, `${world.now - began}`);
    }
    const other = world.clientSocket();
    set(other, c.TCP_SYNCNT, 2, world);
    other.connect({ address: world.serverAddress, port: 7000 }, world.now);
    const start = world.now;
    world.until('no answer', () => (other.poll() & c.POLLERR) !== 0);
    assert.equal(other.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now), errno.ETIMEDOUT);
    // 1 s, 2 s and 4 s.
    assert.ok(Math.abs(world.now - start - 7000) <= 2, `${world.now - start}`);
  });

  test(`${protocol}: TCP_CONGESTION changes the controller of a live connection, not its window`, () => {
    const world = new SocketWorld({ multipath });
    const { near } = world.pair();
    assert.equal(near.getsockopt(c.SOL_TCP, c.TCP_CONGESTION, world.now), 'cubic');
    const before = near.connection?.firstTcb?.cwndBytes;
    set(near, c.TCP_CONGESTION, 'reno', world);
    assert.equal(near.getsockopt(c.SOL_TCP, c.TCP_CONGESTION, world.now), 'reno');
    assert.equal(near.connection?.firstTcb?.congestion.name, 'reno');
    assert.equal(near.connection?.firstTcb?.cwndBytes, before);
  });

  test(`${protocol}: SO_KEEPALIVE with TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT`, () => {
    const world = new SocketWorld({ multipath, client: { closeTimeoutMs: 100 } });
    const { near } = world.pair();
    // In this order, too.
    set(near, c.SO_KEEPALIVE, 1, world, c.SOL_SOCKET);
    set(near, c.TCP_KEEPIDLE, 5, world);
    set(near, c.TCP_KEEPINTVL, 2, world);
    set(near, c.TCP_KEEPCNT, 3, world);
    world.run(100);
    const began = world.log.at(-1)?.at ?? 0;
    world.passes = () => false;
    const before = world.log.length;
    world.until('given up', () => (near.poll() & c.POLLERR) !== 0, 60_000);
    const probes = world.log.slice(before).filter(packet => packet.from === 'client');
    assert.ok(probes.length >= 3);
    assert.ok(Math.abs(probes[0].at - began - 5000) < 1000, `first probe after ${probes[0].at - began}`);
    assert.equal(errnoName(Number(near.getsockopt(c.SOL_SOCKET, c.SO_ERROR, world.now))), 'ETIMEDOUT');
  });
}

test('TCP_QUICKACK 0 delays acknowledgements, 1 sends what waits', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  set(far, c.TCP_QUICKACK, 0, world);
  const before = world.log.length;
  sendText(near, 'x', world.now);
  world.run(5);
  assert.equal(sent(world, 'server', before).length, 0);
  set(far, c.TCP_QUICKACK, 1, world);
  world.run(1);
  assert.equal(sent(world, 'server', before).length, 1);
});

test('TCP_LINGER2 bounds FIN-WAIT-2', () => {
  const world = new SocketWorld();
  const { near } = world.pair();
  set(near, c.TCP_LINGER2, 5, world);
  near.close(world.now);
  const began = world.now;
  world.until('gone', () => [...world.client.host.connections].length === 0);
  assert.ok(Math.abs(world.now - began - 5000) < 100, `${world.now - began}`);
});

test('TCP_WINDOW_CLAMP bounds the window offered', () => {
  const world = new SocketWorld();
  const { listener, address } = world.listening();
  const near = world.clientSocket();
  set(near, c.TCP_WINDOW_CLAMP, 4000, world);
  near.connect(address, world.now);
  world.run(5);
  const far = made(listener.accept(world.now));
  far.send(new Uint8Array(20_000), 0, 20_000, 0, world.now);
  world.run(50);
  const read = near.connection?.readableBytes ?? 0;
  assert.ok(read > 2000 && read <= 4000, `${read}`);
  assert.ok(sent(world, 'client').every(packet => packet.window <= 4000));
});

test('TCP_INFO: of a listener, a connection and nothing', () => {
  const world = new SocketWorld();
  const { near, listener } = world.pair();
  const info = (socket: Socket): TcpInfo => socket.getsockopt(c.SOL_TCP, c.TCP_INFO, world.now) as TcpInfo;
  world.clientSocket().connect({ address: world.serverAddress, port: 7000 }, world.now);
  world.run(5);
  assert.deepEqual(
    [info(listener).tcpi_state, info(listener).tcpi_unacked, info(listener).tcpi_sacked],
    [10, 1, 10],
  );
  const { tcpi_state, tcpi_options, tcpi_snd_mss, tcpi_snd_cwnd, tcpi_rto } = info(near);
  assert.deepEqual(
    { tcpi_state, tcpi_snd_mss, tcpi_snd_cwnd },
    { tcpi_state: 1, tcpi_snd_mss: 1448, tcpi_snd_cwnd: 10 },
  );
  assert.equal(tcpi_options & 7, 7);
  assert.ok(tcpi_rto >= 200_000 && tcpi_rto < 210_000);
  world.passes = () => false;
  near.send(new Uint8Array(2896), 0, 2896, 0, world.now);
  world.run(2);
  assert.equal(info(near).tcpi_unacked, 2);
  assert.equal(info(near).tcpi_bytes_sent, 2896);
  assert.equal(info(world.clientSocket()).tcpi_state, 7);
});

test('MPTCP_INFO, MPTCP_TCPINFO, MPTCP_SUBFLOW_ADDRS, MPTCP_FULL_INFO', () => {
  const world = new SocketWorld({ multipath: true });
  const { near, far } = world.pair();
  sendText(near, 'hello', world.now);
  world.run(5);
  recvText(far, world.now);
  const info = near.getsockopt(c.SOL_MPTCP, c.MPTCP_INFO, world.now) as MultipathSocketInfo;
  assert.deepEqual([info.mptcpi_subflows, info.mptcpi_subflows_total, info.mptcpi_flags], [0, 1, 2]);
  assert.deepEqual([info.mptcpi_bytes_sent, info.mptcpi_bytes_acked, info.mptcpi_bytes_received], [5, 5, 0]);
  const addresses = near.getsockopt(c.SOL_MPTCP, c.MPTCP_SUBFLOW_ADDRS, world.now);
  assert.deepEqual(addresses, [{ sa_local: near.getsockname(), sa_remote: near.getpeername() }]);
  const full = near.getsockopt(c.SOL_MPTCP, c.MPTCP_FULL_INFO, world.now) as { subflows: TcpInfo[] };
  assert.equal(full.subflows.length, 1);
  const [one] = near.getsockopt(c.SOL_MPTCP, c.MPTCP_TCPINFO, world.now) as TcpInfo[];
  assert.equal(one.tcpi_state, 1);
  const plain = new SocketWorld().clientSocket();
  assert.equal(plain.getsockopt(c.SOL_MPTCP, c.MPTCP_INFO, 0), -errno.EOPNOTSUPP);
});

test('what a listener is set to, its connections are', () => {
  const world = new SocketWorld();
  const { listener, address } = world.listening();
  set(listener, c.TCP_NODELAY, 1, world);
  set(listener, c.TCP_USER_TIMEOUT, 1234, world);
  set(listener, c.IP_TOS, 0x10, world, c.SOL_IP);
  world.clientSocket().connect(address, world.now);
  world.run(5);
  const far = made(listener.accept(world.now));
  assert.equal(far.getsockopt(c.SOL_TCP, c.TCP_NODELAY, world.now), 1);
  assert.equal(far.getsockopt(c.SOL_TCP, c.TCP_USER_TIMEOUT, world.now), 1234);
  assert.ok(sent(world, 'server').every(packet => packet.dscp === 4 && (packet.flags & Flag.ACK) !== 0));
});
