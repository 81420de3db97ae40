// Endpoints and limits of a host, as `ip mptcp` keeps them in Linux: what connections of sockets make of them,
// before they are opened and while they run. Two hosts with several addresses, in virtual time.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constants as c, type MultipathSocketInfo, type Socket } from '../../src/host/index.ts';
import { decodePacket, Flag, Mp, Segment } from '../../src/wire/index.ts';
import { recvText, SocketWorld, sendText } from './socket-world.ts';

/** A connection over which a byte was exchanged, so that both ends may have more subflows. */
function connected(
  paths: number,
  before?: (world: SocketWorld) => void,
): { world: SocketWorld; near: Socket; far: Socket } {
  const world = new SocketWorld({ multipath: true, paths });
  before?.(world);
  const { near, far } = world.pair();
  sendText(near, 'x', world.now);
  world.run(100);
  assert.equal(recvText(far, world.now), 'x');
  return { world, near, far };
}

function subflows(socket: Socket): string[] {
  const info = socket.connection?.multipath().subflows ?? [];
  return info
    .filter(({ state }) => state === 'active')
    .map(({ local, remote, backup }) => `${local.address}>${remote.address}${backup ? ' backup' : ''}`);
}

function info(socket: Socket, world: SocketWorld): MultipathSocketInfo {
  return socket.getsockopt(c.SOL_MPTCP, c.MPTCP_INFO, world.now) as MultipathSocketInfo;
}

/** Packets with an MPTCP option since `from`. */
function withOption(world: SocketWorld, option: number, from = 0): { from: string; segment: Segment }[] {
  return world.log.slice(from).flatMap(packet => {
    const segment = new Segment();
    assert.ok(decodePacket(segment, packet.bytes, 0, packet.bytes.length));
    return (segment.mp & option) !== 0 ? [{ from: packet.from, segment }] : [];
  });
}

test('a subflow endpoint makes a subflow of connections to come', () => {
  const { near, far, world } = connected(2, w => {
    assert.equal(w.client.host.endpoints.add({ address: '10.2.0.1', subflow: true }, w.now), 1);
  });
  assert.deepEqual(subflows(near), ['10.1.0.1>10.1.0.2', '10.2.0.1>10.1.0.2']);
  assert.equal(subflows(far).length, 2);
  const join = withOption(world, Mp.JOIN).find(({ segment }) => segment.flags === Flag.SYN);
  assert.equal(join?.segment.joinAddressId, 1);
  assert.deepEqual([info(near, world).mptcpi_subflows, info(near, world).mptcpi_local_addr_used], [1, 1]);
});

test('one that is added while a connection runs does, too; removed, its subflow ends and the peer is told', () => {
  const { near, far, world } = connected(2);
  assert.equal(subflows(near).length, 1);
  const { endpoints } = world.client.host;
  const id = endpoints.add({ address: '10.2.0.1', subflow: true, id: 7 }, world.now);
  world.run(50);
  assert.equal(subflows(near).length, 2);
  const before = world.log.length;
  assert.equal(endpoints.remove(id, world.now), true);
  world.run(50);
  assert.deepEqual(subflows(near), ['10.1.0.1>10.1.0.2']);
  assert.equal(subflows(far).length, 1);
  const [removal] = withOption(world, Mp.REMOVE_ADDR, before);
  assert.deepEqual(
    [removal.from, removal.segment.removeCount, removal.segment.removeIds[0]],
    ['client', 1, 7],
  );
  assert.equal(endpoints.remove(id, world.now), false);
  // It may come back.
  endpoints.add({ address: '10.2.0.1', subflow: true }, world.now);
  world.run(50);
  assert.equal(subflows(near).length, 2);
});

test('limits: two subflows beside the first, unless said otherwise, at either end', () => {
  const { near, far, world } = connected(5, w => {
    for (const path of [2, 3, 4, 5])
      w.client.host.endpoints.add({ address: `10.${path}.0.1`, subflow: true }, w.now);
  });
  assert.equal(subflows(near).length, 3);
  assert.equal(info(near, world).mptcpi_subflows_max, 2);
  world.client.host.endpoints.limit({ subflows: 4 }, world.now);
  world.run(50);
  // The server does not want more.
  assert.equal(subflows(far).length, 3);
  world.server.host.endpoints.limit({ subflows: 4 }, world.now);
  world.until('five subflows', () => subflows(far).length === 5, 60_000);
});

test('a signal endpoint is announced, and joined where that is allowed', () => {
  for (const addAddrAccepted of [0, 1]) {
    const { near, world } = connected(2, w => {
      w.server.host.endpoints.add({ address: '10.2.0.2', signal: true }, w.now);
      w.client.host.endpoints.limit({ addAddrAccepted }, w.now);
    });
    const [announcement] = withOption(world, Mp.ADD_ADDR);
    assert.equal(announcement.from, 'server');
    assert.equal(announcement.segment.addAddrId, 1);
    assert.ok(
      withOption(world, Mp.ADD_ADDR).some(({ from, segment }) => from === 'client' && segment.addAddrEcho),
    );
    assert.deepEqual(
      subflows(near),
      ['10.1.0.1>10.1.0.2', '10.1.0.1>10.2.0.2'].slice(0, 1 + addAddrAccepted),
    );
    assert.equal(info(near, world).mptcpi_add_addr_accepted, addAddrAccepted);
  }
});

test('the address of the first subflow is not announced, and carries no second one', () => {
  const { near, world } = connected(1, w => {
    w.server.host.endpoints.add({ address: '10.1.0.2', signal: true }, w.now);
    w.client.host.endpoints.add({ address: '10.1.0.1', subflow: true, backup: true }, w.now);
  });
  assert.equal(withOption(world, Mp.ADD_ADDR).length, 0);
  // What it is set to, the first subflow becomes.
  assert.deepEqual(subflows(near), ['10.1.0.1>10.1.0.2 backup']);
});

test('signal endpoints are announced one at a time, each when the one before was echoed', () => {
  const { world } = connected(4, w => {
    for (const path of [2, 3, 4])
      w.server.host.endpoints.add({ address: `10.${path}.0.2`, signal: true }, w.now);
  });
  const order = withOption(world, Mp.ADD_ADDR).map(
    ({ segment }) => `${segment.addAddrId}${segment.addAddrEcho}`,
  );
  assert.deepEqual(order, ['1false', '1true', '2false', '2true', '3false', '3true']);
});

test('an endpoint with a port is announced with it, and joins come to it', () => {
  const { near, world } = connected(1, w => {
    w.server.host.endpoints.add({ address: '10.1.0.2', port: 9000, signal: true }, w.now);
    w.client.host.endpoints.limit({ addAddrAccepted: 1 }, w.now);
  });
  assert.equal(withOption(world, Mp.ADD_ADDR)[0].segment.addAddrPort, 9000);
  const ports = near.connection?.multipath().subflows.map(({ remote }) => remote.port);
  assert.deepEqual(ports, [7000, 9000]);
  // Removed, the subflow to it goes.
  world.server.host.endpoints.flush(world.now);
  world.run(3000);
  assert.equal(subflows(near).length, 1);
});

test('fullmesh: subflows to every address of the peer', () => {
  const { near } = connected(2, w => {
    w.server.host.endpoints.add({ address: '10.2.0.2', signal: true }, w.now);
    w.client.host.endpoints.add({ address: '10.1.0.1', subflow: true, fullmesh: true }, w.now);
    w.client.host.endpoints.add({ address: '10.2.0.1', subflow: true, fullmesh: true }, w.now);
    w.client.host.endpoints.limit({ addAddrAccepted: 2, subflows: 8 }, w.now);
    w.server.host.endpoints.limit({ subflows: 8 }, w.now);
  });
  assert.deepEqual(subflows(near).sort(), [
    '10.1.0.1>10.1.0.2',
    '10.1.0.1>10.2.0.2',
    '10.2.0.1>10.1.0.2',
    '10.2.0.1>10.2.0.2',
  ]);
});

test('backup: of the subflows that are opened, and by MP_PRIO of those that are', () => {
  const { near, far, world } = connected(2, w => {
    w.client.host.endpoints.add({ address: '10.2.0.1', subflow: true, backup: true }, w.now);
  });
  assert.deepEqual(subflows(near), ['10.1.0.1>10.1.0.2', '10.2.0.1>10.1.0.2 backup']);
  assert.equal(subflows(far).filter(text => text.endsWith('backup')).length, 1);
  const before = world.log.length;
  assert.equal(world.client.host.endpoints.change(1, { backup: false }, world.now), true);
  world.run(50);
  assert.deepEqual(
    withOption(world, Mp.PRIO, before).map(({ segment }) => segment.prioBackup),
    [false],
  );
  assert.equal(subflows(far).filter(text => text.endsWith('backup')).length, 0);
});

test('what does not go is said in a sentence', () => {
  const { endpoints } = new SocketWorld().client.host;
  const first = endpoints.add({ address: '10.1.0.1', signal: true }, 0);
  assert.equal(first, 1);
  const refused: [Parameters<typeof endpoints.add>[0], RegExp][] = [
    [{ address: 'nowhere' }, /'nowhere' is not an IP address/],
    [{ address: '10.1.0.1' }, /10\.1\.0\.1 is an endpoint already/],
    [{ address: '10.1.0.3', id: 1 }, /id 1 is taken/],
    [{ address: '10.1.0.3', id: 256 }, /256 is not within/],
    [{ address: '10.1.0.3', port: 5, subflow: true }, /port 5 goes with signal/],
    [{ address: '10.1.0.3', signal: true, fullmesh: true }, /do not go together/],
  ];
  for (const [options, sentence] of refused) assert.throws(() => endpoints.add(options, 0), sentence);
  for (let i = 2; i <= 8; i++) endpoints.add({ address: `10.1.1.${i}` }, 0);
  assert.throws(() => endpoints.add({ address: '10.9.9.9' }, 0), /8 endpoints/);
  assert.throws(() => endpoints.limit({ subflows: 9 }, 0), /9 is not within 0 and 8/);
  assert.equal(endpoints.list.length, 8);
});
