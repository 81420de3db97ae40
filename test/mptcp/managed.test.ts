// What one connection makes of its host's endpoints and limits, each border on its own: what is announced and joined,
// once and no more often, when an endpoint comes, changes and goes (RFC 8684 §3.2, §3.4; ip-mptcp(8)).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MultipathConnection } from '../../src/mptcp/connection.ts';
import { Endpoints } from '../../src/mptcp/paths/endpoints.ts';
import { Managed } from '../../src/mptcp/paths/managed.ts';
import { Mp, type Segment } from '../../src/wire/index.ts';
import { announce } from '../conformance/addresses.ts';
import { first, has, isSyn, type Packet, type Side, World, type WorldOptions } from './world.ts';

const isAddAddr = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && !s.addAddrEcho;
const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);
const SECOND = '10.9.0.2';

/** Both ends follow their endpoints; the client is given its first path only. */
function worldOf(options: WorldOptions = {}): { world: World; near: Endpoints; far: Endpoints } {
  const world = new World({ paths: 3, endpoints: true, ...options });
  return { world, near: world.client.host.endpoints, far: world.server.host.endpoints };
}

/** A byte in both directions, and time for what follows. */
function open(world: World): void {
  world.connect({ endpoints: true, paths: [{ interfaceId: world.pathInterface(0) }] });
  world.transfer('client', 100);
  world.transfer('server', 100);
  world.run(500);
}

/** The subflows in use as the client sees them, `path>server` by the last parts of their addresses. */
function routes(world: World): string[] {
  const { subflows } = world.client.connection.multipath();
  const routeOf = ({ local, remote }: (typeof subflows)[number]) => {
    return `${world.clientAddresses.indexOf(local.address)}>${remote.address}:${remote.port}`;
  };
  return subflows
    .filter(({ state }) => state === 'active')
    .map(routeOf)
    .sort();
}

const announced = (world: World, from: Side): number[] =>
  world.packets(from, isAddAddr).map(({ segment }: Packet) => segment.addAddrId);
/** Each identifier once, however often it was said. */
const removed = (world: World, from: Side): number[] => {
  const ids = world
    .packets(from, s => has(s, Mp.REMOVE_ADDR))
    .flatMap(({ segment }) => Array.from(segment.removeIds.subarray(0, segment.removeCount)));
  return [...new Set(ids)];
};

test('an endpoint for subflows is used once, however often the table changes', () => {
  const { world, near } = worldOf();
  near.add({ address: '10.2.0.1', subflow: true, id: 9 }, 0);
  open(world);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080', '1>10.9.0.1:8080']);
  near.limit({ subflows: 8 }, world.now);
  const nowhere = near.add({ address: '10.77.0.1', subflow: true }, world.now);
  near.add({ address: '10.3.0.1' }, world.now);
  world.run(500);
  near.remove(nowhere, world.now);
  world.run(500);
  // That the host has no such address, and that one is for nothing, are no errors.
  assert.equal(routes(world).length, 2);
  const joins = world.packets('client', isJoinSyn);
  assert.deepEqual([joins.length, joins[0].segment.joinAddressId], [1, 9]);
  assert.equal(world.active('server'), 2);
});

test('an endpoint that comes before both keys are known waits for them; a server opens no subflow', () => {
  const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
  world.connect({ endpoints: true, paths: [{ interfaceId: world.pathInterface(0) }] });
  near.add({ address: '10.2.0.1', subflow: true }, world.now);
  far.add({ address: SECOND, subflow: true }, world.now);
  world.settle();
  assert.equal(world.packets('client', isJoinSyn).length, 0);
  world.transfer('client', 100);
  world.run(500);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080', '1>10.9.0.1:8080']);
  assert.equal(world.packets('server', isSyn).length, 0);
});

test('the limit counts subflows beside the first, those that are planned as well', () => {
  for (const [subflows, count] of [
    [0, 1],
    [1, 2],
    [2, 3],
  ]) {
    const { world, near } = worldOf();
    near.limit({ subflows }, 0);
    for (const path of [2, 3]) near.add({ address: `10.${path}.0.1`, subflow: true }, 0);
    open(world);
    assert.equal(routes(world).length, count);
    assert.equal(world.packets('client', isJoinSyn).length, count - 1);
  }
});

test('the first subflow becomes a backup when its endpoint is one, and only then', () => {
  for (const [address, backup, isBackup] of [
    ['10.1.0.1', true, true],
    ['10.1.0.1', false, false],
    ['10.2.0.1', true, false],
  ] as const) {
    const { world, near } = worldOf();
    near.add({ address, subflow: true, backup }, 0);
    open(world);
    assert.equal(world.server.connection.multipath().subflows[0].backup, isBackup, address);
    assert.equal(world.packets('client', s => has(s, Mp.PRIO)).length, isBackup ? 1 : 0);
  }
});

test('RFC 8684 §3.4.1: an endpoint for announcing is announced once, one at a time', () => {
  const { world, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND, '10.9.0.3'] });
  world.rules.push(first(1, s => has(s, Mp.ADD_ADDR) && s.addAddrEcho));
  far.add({ address: SECOND, signal: true, id: 7 }, 0);
  far.add({ address: '10.9.0.3', signal: true, id: 8 }, 0);
  open(world);
  // The echo of the first was lost, so the second waits.
  assert.deepEqual(announced(world, 'server'), [7]);
  far.limit({ subflows: 3 }, world.now);
  world.run(2_000);
  assert.deepEqual(announced(world, 'server'), [7, 7, 8]);
  far.add({ address: '10.9.0.3', port: 5000, signal: true }, world.now);
  world.run(500);
  assert.deepEqual(announced(world, 'server'), [7, 7, 8, 9]);
});

test('RFC 8684 §3.4.2: an endpoint that goes takes its subflows along, and is withdrawn if it was told', () => {
  const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
  near.limit({ addAddrAccepted: 1, subflows: 4 }, 0);
  far.limit({ subflows: 4 }, 0);
  near.add({ address: '10.2.0.1', subflow: true, id: 5 }, 0);
  near.add({ address: '10.3.0.1', id: 6 }, 0);
  far.add({ address: SECOND, signal: true, id: 7 }, 0);
  open(world);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080', '0>10.9.0.2:8080', '1>10.9.0.1:8080']);
  // Nobody was told of that one.
  near.remove(6, world.now);
  world.run(200);
  assert.deepEqual(removed(world, 'client'), []);
  near.remove(5, world.now);
  world.run(200);
  assert.deepEqual(removed(world, 'client'), [5]);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080', '0>10.9.0.2:8080']);
  far.remove(7, world.now);
  world.run(3_000);
  assert.deepEqual(removed(world, 'server'), [7]);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080']);
  // It may come back, and is announced anew.
  far.add({ address: SECOND, signal: true, id: 7 }, world.now);
  world.run(500);
  assert.deepEqual(announced(world, 'server'), [7, 7]);
});

test('an endpoint with a port that goes takes only the subflows to that port along', () => {
  const { world, near, far } = worldOf();
  near.limit({ addAddrAccepted: 1 }, 0);
  far.add({ address: '10.9.0.1', port: 5000, signal: true, id: 7 }, 0);
  open(world);
  assert.deepEqual(routes(world), ['0>10.9.0.1:5000', '0>10.9.0.1:8080']);
  far.remove(7, world.now);
  world.run(3_000);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080']);
  assert.deepEqual(removed(world, 'server'), [7]);
});

test('an endpoint with a port that goes leaves the plans of its address alone', () => {
  const { world, near } = worldOf();
  near.add({ address: '10.2.0.1', subflow: true }, 0);
  near.add({ address: '10.1.0.1', port: 5000, signal: true, id: 9 }, 0);
  open(world);
  near.remove(9, world.now);
  // The first path dies, and is joined over again.
  const [{ segment: syn }] = world.packets('client', isSyn);
  world.rules.push(({ segment: s }) => ([s.srcPort, s.dstPort].includes(syn.srcPort) ? 'drop' : undefined));
  world.client.send(new Uint8Array(200_000), world.now);
  world.run(20_000);
  assert.deepEqual(
    world.packets('client', isJoinSyn).map(({ path }) => path),
    [1, 0],
  );
});

test('RFC 8684 §3.4.2: the address of the first subflow is withdrawn by its identifier, 0', () => {
  const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
  near.limit({ addAddrAccepted: 1, subflows: 4 }, 0);
  far.add({ address: '10.9.0.1', signal: true, id: 7 }, 0);
  far.add({ address: SECOND, signal: true, id: 8 }, 0);
  open(world);
  assert.deepEqual(announced(world, 'server'), [8]);
  far.remove(7, world.now);
  world.run(500);
  assert.deepEqual(removed(world, 'server'), [0]);
  assert.deepEqual(routes(world), ['0>10.9.0.2:8080']);
});

test('an announced address for which there was no room is not joined when there is', () => {
  const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
  near.limit({ addAddrAccepted: 1, subflows: 0 }, 0);
  far.add({ address: SECOND, signal: true }, 0);
  open(world);
  near.limit({ subflows: 8 }, world.now);
  world.run(5_000);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080']);
});

test('of the endpoints for subflows a client plans as many as the limit admits, each once, and a server none', () => {
  for (const [client, subflows, planned] of [
    [true, 2, 2],
    [true, 8, 3],
    [true, 0, 0],
    [false, 8, 0],
  ] as const) {
    const endpoints = new Endpoints();
    let plans = 1;
    const paths = { addManaged: () => plans++, run: () => {} };
    Object.defineProperty(paths, 'planned', { get: () => plans });
    const connection = {
      ...{ client, confirmed: true, remoteKey: {}, subflows: [], paths, signals: { mostWaiting: 2 } },
      owner: { interfaceOfAddress: ([, , , last]: Int32Array) => ({ id: last }), wake: () => {} },
    };
    endpoints.limit({ subflows }, 0);
    const managed = new Managed(connection as unknown as MultipathConnection, endpoints);
    for (const i of [1, 2, 3]) endpoints.add({ address: `10.${i}.0.1`, subflow: true }, 0);
    endpoints.limit({}, 0);
    assert.deepEqual([plans - 1, managed.localUsed, managed.mostSubflows], [planned, planned, subflows + 1]);
    managed.end();
    endpoints.limit({ subflows: 8 }, 0);
    assert.equal(plans - 1, planned);
  }
});

test('RFC 8684 §3.3.8: a change of backup is told on the subflows from that address alone', () => {
  const { world, near } = worldOf();
  near.add({ address: '10.2.0.1', subflow: true, id: 5 }, 0);
  open(world);
  near.change(5, { backup: true }, world.now);
  world.run(200);
  assert.deepEqual(
    world.server.connection.multipath().subflows.map(({ backup }) => backup),
    [false, true],
  );
  assert.equal(world.packets('client', s => has(s, Mp.PRIO)).length, 1);
});

test('an endpoint that becomes fullmesh is planned again, to what was announced, if it is for subflows', () => {
  for (const subflow of [true, false]) {
    const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
    near.limit({ addAddrAccepted: 1, subflows: 8 }, 0);
    far.limit({ subflows: 8 }, 0);
    near.add({ address: '10.2.0.1', subflow, id: 5 }, 0);
    far.add({ address: SECOND, signal: true }, 0);
    open(world);
    const before = routes(world);
    assert.equal(before.includes('1>10.9.0.2:8080'), false);
    near.change(5, { backup: false }, world.now);
    world.run(500);
    assert.deepEqual(routes(world), before);
    near.change(5, { fullmesh: true }, world.now);
    world.run(500);
    assert.equal(routes(world).includes('1>10.9.0.2:8080'), subflow);
    assert.equal(routes(world).length, before.length + (subflow ? 1 : 0));
  }
});

test('as many announced addresses are joined as the limits admit: of addresses, and of subflows', () => {
  for (const [addAddrAccepted, subflows, joined] of [
    [0, 8, 0],
    [1, 8, 1],
    [2, 8, 2],
    [2, 1, 1],
    [2, 0, 0],
  ]) {
    const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND, '10.9.0.3'] });
    near.limit({ addAddrAccepted, subflows }, 0);
    far.limit({ subflows: 8 }, 0);
    for (const address of [SECOND, '10.9.0.3']) far.add({ address, signal: true }, 0);
    open(world);
    assert.equal(routes(world).length, 1 + joined, `${[addAddrAccepted, subflows]}`);
    assert.equal(world.client.connection.multipath().subflows.length, 1 + joined);
  }
});

test('an announced address is joined from the endpoints that are fullmesh, of its family and there', () => {
  const full = { subflow: true, fullmesh: true };
  for (const [endpoints, joined] of [
    [[], ['0>10.9.0.2:8080']],
    [[{ address: '10.2.0.1', ...full }], ['1>10.9.0.1:8080', '1>10.9.0.2:8080']],
    [[{ address: '10.2.0.1', subflow: true }], ['0>10.9.0.2:8080', '1>10.9.0.1:8080']],
    [[{ address: '10.2.0.1', fullmesh: true }], ['0>10.9.0.2:8080']],
    [[{ address: '10.77.0.1', ...full }], ['0>10.9.0.2:8080']],
    [[{ address: 'fd00::1', ...full }], ['0>10.9.0.2:8080']],
  ] as const) {
    const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND] });
    near.limit({ addAddrAccepted: 8, subflows: 8 }, 0);
    far.limit({ subflows: 8 }, 0);
    for (const endpoint of endpoints) near.add(endpoint, 0);
    far.add({ address: SECOND, signal: true }, 0);
    open(world);
    assert.deepEqual(routes(world), ['0>10.9.0.1:8080', ...joined].sort(), JSON.stringify(endpoints));
  }
});

test('the same announcement again is not another one; one of a family without a subflow is joined from nowhere', () => {
  const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND, 'fd00:9::2', '10.9.0.4'] });
  near.limit({ addAddrAccepted: 3, subflows: 8 }, 0);
  far.limit({ subflows: 8 }, 0);
  // The echo is lost, so that the same is announced three times.
  world.rules.push(first(2, s => has(s, Mp.ADD_ADDR) && s.addAddrEcho));
  far.add({ address: SECOND, signal: true, id: 1 }, 0);
  far.add({ address: 'fd00:9::2', signal: true, id: 2 }, 0);
  far.add({ address: '10.9.0.4', signal: true, id: 3 }, 0);
  open(world);
  world.run(6_000);
  assert.deepEqual(announced(world, 'server'), [1, 1, 1, 2, 3]);
  assert.deepEqual(routes(world), ['0>10.9.0.1:8080', '0>10.9.0.2:8080', '0>10.9.0.4:8080']);
  assert.equal(world.packets('client', isJoinSyn).length, 2);
});

test('RFC 8684 §3.4.1: an identifier of another address, or an address under another identifier, is another one', () => {
  for (const [second, third] of [
    [{ id: 1, address: '10.9.0.3' }, ['0>10.9.0.1:8080', '0>10.9.0.2:8080', '0>10.9.0.3:8080']],
    // It is joined already, and counts: there is no room for the next.
    [{ id: 2, address: SECOND }, ['0>10.9.0.1:8080', '0>10.9.0.2:8080']],
  ] as const) {
    const { world, near, far } = worldOf({ serverAddresses: ['10.9.0.1', SECOND, '10.9.0.3', '10.9.0.4'] });
    near.limit({ addAddrAccepted: 2, subflows: 8 }, 0);
    far.limit({ subflows: 8 }, 0);
    open(world);
    announce(world, { id: 1, address: SECOND });
    announce(world, second);
    announce(world, { id: 4, address: '10.9.0.4' });
    world.run(500);
    assert.deepEqual(routes(world), third);
  }
});

test('a server joins nothing, whatever its limits admit', () => {
  const { world, near, far } = worldOf();
  far.limit({ addAddrAccepted: 8, subflows: 8 }, 0);
  near.add({ address: '10.2.0.1', signal: true }, 0);
  open(world);
  world.run(3_000);
  assert.equal(announced(world, 'client').length, 1);
  assert.equal(world.packets('server', isSyn).length, 0);
  assert.equal(world.server.connection.multipath().subflows.length, 1);
});

test('an identifier that an endpoint has is not given to another address', () => {
  const { world, near } = worldOf();
  near.add({ address: '10.3.0.1', id: 1 }, 0);
  open(world);
  world.client.connection.addPath({ interfaceId: world.pathInterface(1) }, world.now);
  world.run(500);
  const [join] = world.packets('client', isJoinSyn);
  assert.equal(join.segment.joinAddressId, 2);
});

test('a connection that goes on as TCP, or has ended, follows the table no more', () => {
  for (const server of [true, false]) {
    const { world, near, far } = worldOf({ multipath: { server } });
    near.add({ address: '10.2.0.1', subflow: true, id: 5 }, 0);
    if (!server) open(world);
    else {
      open(world);
      world.finish();
    }
    const before = world.log.length;
    near.add({ address: '10.3.0.1', subflow: true, signal: true }, world.now);
    near.change(5, { backup: true, fullmesh: true }, world.now);
    near.remove(5, world.now);
    far.add({ address: '10.9.0.1', port: 5000, signal: true }, world.now);
    world.run(500);
    assert.equal(world.log.length, before);
    if (!server) world.transfer('client', 100);
  }
});
