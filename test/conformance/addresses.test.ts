// ADD_ADDR, REMOVE_ADDR and MP_TCPRST (RFC 8684 §3.4, §3.6) from a peer that does with them what it likes:
// identifiers used again, other ports, addresses nobody can reach, resets for good and for now.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetReason } from '../../src/mptcp/index.ts';
import { Flag, formatAddress, Mp, Segment } from '../../src/wire/index.ts';
import { RawPeer } from '../mptcp/raw-peer.ts';
import { bytesOf, has, isRst, isSyn, World } from '../mptcp/world.ts';
import { announce, withdraw } from './addresses.ts';

const isJoin = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);
const isEcho = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && s.addAddrEcho;

/** Where the client has sent joins to: `address:port`, each once, in order. */
function joined(world: World): string[] {
  const targets = world
    .packets('client', isJoin)
    .map(({ segment: s }) => `${formatAddress(s.dst0, s.dst1, s.dst2, s.dst3)}:${s.dstPort}`);
  return [...new Set(targets)];
}

function talking(options: ConstructorParameters<typeof World>[0] = {}): World {
  const world = new World({ serverAddresses: ['10.9.0.1', '10.9.0.2', '10.9.0.3'], ...options });
  world.connect();
  world.transfer('client', 1000);
  world.run(200);
  return world;
}

test('A1, X2a: ADD_ADDR and REMOVE_ADDR outside the window of TCP do nothing', () => {
  for (const stray of [{ seq: 100_000_000 }, { ack: 900_000 }]) {
    const peer = new RawPeer();
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
    const b = peer.join(2222);
    const signal = { mp: Mp.REMOVE_ADDR, removeCount: 1, removeIds: Uint8Array.of(1) };
    const segment = peer.segment(flow, signal);
    if (stray.seq !== undefined) segment.seq = (segment.seq + stray.seq) >>> 0;
    if (stray.ack !== undefined) segment.ack = (segment.ack + stray.ack) >>> 0;
    peer.put(segment);
    assert.equal(peer.host.counters.RmAddr, 0);
    assert.equal(peer.wait(5000).filter(s => s.dstPort === b.port).length, 0);
    // An echo of an announcement, or an announcement: nothing is said of it either.
    const address = { mp: Mp.ADD_ADDR, addAddrId: 9, addAddrEcho: false, addAddrFamily: 4 as const };
    const added = peer.segment(flow, { ...address, addAddr2: 0xffff, addAddr3: 0x0a090909 });
    if (stray.seq !== undefined) added.seq = (added.seq + stray.seq) >>> 0;
    if (stray.ack !== undefined) added.ack = (added.ack + stray.ack) >>> 0;
    assert.equal(peer.put(added).filter(isEcho).length, 0);
    assert.equal(peer.host.counters.AddAddr + peer.host.counters.AddAddrDrop, 0);
  }
});

test('A5b, X2b, X4a: the identifier of a join is the one that REMOVE_ADDR means: asked, then reset', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  const b = peer.join(2222);
  const sent = peer.put(
    peer.segment(flow, { mp: Mp.REMOVE_ADDR, removeCount: 1, removeIds: Uint8Array.of(1) }),
  );
  sent.push(...peer.wait(5000));
  const there = sent.filter(s => s.dstPort === b.port);
  assert.ok(!isRst(there[0]), 'asked before it was removed');
  assert.ok(isRst(there.at(-1) as Segment), 'no reset');
  assert.equal(peer.connection?.multipath().subflows.length, 1);
});

test('A6b, A6d, J2: an address of ours that comes, goes and comes again has a new identifier each time', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  for (const address of ['10.7.0.1', '10.8.0.1', '10.7.0.1']) {
    const id = world.addClientInterface(address);
    world.client.connection.addPath({ interfaceId: id }, world.now);
    world.run(1000);
    world.client.host.removeInterface(id, world.now);
    world.run(3000);
  }
  const meant = new Map<number, string>();
  for (const { segment: s } of world.packets('client', isJoin)) {
    const address = formatAddress(s.src0, s.src1, s.src2, s.src3);
    assert.notEqual(s.joinAddressId, 0, 'id 0 is the first subflow’s');
    assert.equal(meant.get(s.joinAddressId) ?? address, address, 'one identifier, two addresses');
    meant.set(s.joinAddressId, address);
  }
  assert.ok(meant.size >= 4);
  world.transfer('client', 1000);
});

test('A6c: an address announced again with another port is joined there too', () => {
  const world = talking();
  announce(world, { id: 5, address: '10.9.0.2', port: 4000 });
  announce(world, { id: 5, address: '10.9.0.2', port: 4000 });
  announce(world, { id: 5, address: '10.9.0.2', port: 4001 });
  world.run(500);
  assert.deepEqual(joined(world), ['10.9.0.2:4000', '10.9.0.2:4001']);
  assert.equal(world.packets('client', isEcho).length, 3, 'each is echoed');
  assert.equal(world.active('client'), 3);
  world.transfer('client', 100_000);
  world.finish();
});

test('A5b: an identifier that is given another address: both are joined, and the first goes on', () => {
  const world = talking();
  announce(world, { id: 5, address: '10.9.0.2' });
  announce(world, { id: 5, address: '10.9.0.3' });
  world.run(500);
  assert.deepEqual(joined(world), ['10.9.0.2:8080', '10.9.0.3:8080']);
  assert.equal(world.active('client'), 3);
  world.transfer('server', 100_000);
  world.finish();
});

test('A3: an HMAC with any one bit wrong is not believed', () => {
  const world = talking();
  for (let bit = 0; bit < 64; bit++) announce(world, { id: 5, address: '10.9.0.2' }, bit);
  assert.equal(world.client.host.counters.AddAddrDrop, 64);
  assert.equal(world.packets('client', isEcho).length, 0);
  announce(world, { id: 5, address: '10.9.0.2' });
  assert.deepEqual(joined(world), ['10.9.0.2:8080']);
});

test('A8, H5: an announced address that does not answer is tried once, and once more when announced again', () => {
  const world = talking();
  announce(world, { id: 5, address: '10.9.0.77' });
  world.run(400_000);
  const ports = (): number => new Set(world.packets('client', isJoin).map(p => p.segment.srcPort)).size;
  assert.equal(ports(), 1);
  announce(world, { id: 5, address: '10.9.0.77' });
  world.run(400_000);
  assert.equal(ports(), 2);
  world.transfer('client', 1000);
  world.finish();
});

test('A9a: an address of the other family is echoed and not tried', () => {
  const world = talking();
  announce(world, { id: 5, address: 'fd00:9::2' });
  announce(world, { id: 6, address: 'fd00:9::3', port: 99 });
  world.run(5000);
  assert.deepEqual(joined(world), []);
  assert.equal(world.packets('client', isEcho).length, 2);
  world.transfer('client', 1000);
  world.finish();
});

test('J1: a path over IPv6 joins a connection that began over IPv4', () => {
  const world = new World({ serverAddresses: ['10.9.0.1', 'fd00:9::2'] });
  const six = world.addClientInterface('fd00:1::1');
  const paths = [
    { interfaceId: world.pathInterface(0) },
    { interfaceId: six, remote: { address: 'fd00:9::2', port: 8080 } },
  ];
  world.establish(2, { paths });
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  world.finish();
});

test('A9b: an announcement that the peer forgets, never echoes or never follows does no harm', () => {
  const world = new World({
    advertise: [{ address: '10.9.0.2' }],
    serverAddresses: ['10.9.0.1', '10.9.0.2'],
  });
  world.rules.push(p => (has(p.segment, Mp.ADD_ADDR) ? 'drop' : undefined));
  world.connect();
  world.transfer('client', 1000);
  world.run(300_000);
  assert.equal(world.active('server'), 1);
  world.transfer('server', 10_000);
  world.finish();
});

test('A9e: private addresses of a host that is somebody else here: refused, the connection goes on', () => {
  // 10.9.0.3 is another host to this client: one that knows no token of it.
  const world = talking();
  world.rules.push(p => {
    const syn = p.segment;
    if (!isJoin(syn) || syn.dst3 !== 0x0a090003) return undefined;
    const rst = Object.assign(new Segment(), syn, { mp: 0, mss: 0, windowScale: -1, sackPermitted: false });
    Object.assign(rst, { flags: Flag.RST | Flag.ACK, seq: 0, ack: (syn.seq + 1) >>> 0 });
    Object.assign(rst, { src3: syn.dst3, dst3: syn.src3, srcPort: syn.dstPort, dstPort: syn.srcPort });
    world.inject('server', rst, new Uint8Array(0), 10);
    return 'drop';
  });
  announce(world, { id: 5, address: '10.9.0.3' });
  world.run(60_000);
  assert.equal(world.active('client'), 1);
  assert.equal(world.client.connection.error, null);
  world.transfer('client', 1000);
  world.finish();
});

test('X2c: an address that was withdrawn gets no new subflow', () => {
  const world = talking();
  announce(world, { id: 5, address: '10.9.0.2' });
  world.run(500);
  assert.equal(world.active('client'), 2);
  withdraw(world, [5]);
  world.run(3000);
  const before = world.packets('client', isJoin).length;
  // The subflow that still works is lost afterwards.
  const port = world.packets('client', isJoin)[0].segment.srcPort;
  world.rules.push(p => (p.segment.srcPort === port || p.segment.dstPort === port ? 'drop' : undefined));
  world.transfer('client', 100_000);
  world.run(300_000);
  assert.equal(world.packets('client', isJoin).length, before);
  world.finish();
});

/** A reset of the client's joined subflow, from the server, with this MP_TCPRST. */
function resetJoined(world: World, fields: Partial<Segment>): void {
  const [last] = world.packets('client', (_, p) => p.path === 1).slice(-1);
  const [from] = world.packets('server', (_, p) => p.path === 1).slice(-1);
  const rst = Object.assign(from.segment, { sackCount: 0, dssFlags: 0, mp: Mp.TCPRST, ...fields });
  rst.flags = Flag.RST | Flag.ACK;
  rst.seq = last.segment.ack;
  world.inject('server', rst);
  world.run(20);
}

/** When the client sent the SYNs of joins over path 1. */
function joinTimes(world: World): number[] {
  return world.packets('client', (s, p) => isJoin(s) && p.path === 1).map(p => p.at);
}

test('S1b, S2a: a transient reset of a subflow in use: its reason is told, and the path is tried again', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const reset = world.now;
  resetJoined(world, { rstFlags: 1, rstReason: ResetReason.UNSPECIFIED });
  const [closed] = world.client.notice('subflowclose');
  assert.match(closed.reason, /unspecified error/);
  world.run(20_000);
  const [, again] = joinTimes(world);
  assert.ok(again - reset < 3000, `after ${again - reset} ms`);
  assert.equal(world.active('client'), 2);
});

test('S2b: reasons that will not pass soon put the next attempt off for rejoinMaxMs', () => {
  for (const rstReason of [ResetReason.RESOURCES, ResetReason.MIDDLEBOX]) {
    const world = new World({ paths: 2 });
    world.establish(2);
    const reset = world.now;
    resetJoined(world, { rstFlags: 1, rstReason });
    world.run(60_000);
    const [, again] = joinTimes(world);
    assert.ok(again - reset >= 30_000 && again - reset < 32_000, `after ${again - reset} ms`);
  }
});

test('S2b: with no other subflow left the path is tried at once, whatever the reason', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const reset = world.now;
  resetJoined(world, { rstFlags: 1, rstReason: ResetReason.MIDDLEBOX });
  world.run(1000);
  const [, again] = joinTimes(world);
  assert.ok(again - reset < 100);
  world.transfer('client', 10_000);
});

test('S2c: after a permanent reset of a subflow in use its path is not tried again', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  resetJoined(world, { rstFlags: 0, rstReason: ResetReason.ADMINISTRATIVE });
  world.run(600_000);
  assert.equal(joinTimes(world).length, 1);
  world.transfer('client', 10_000);
  world.transfer('server', 10_000);
  world.finish();
});

test('S2c: a permanent reset of the only subflow: the path is tried again, or the connection would end', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  resetJoined(world, { rstFlags: 0, rstReason: ResetReason.ADMINISTRATIVE });
  world.run(1000);
  assert.equal(joinTimes(world).length, 2);
  world.transfer('client', 10_000);
});

test('A9a: announced addresses that nobody can be reached at are not tried', () => {
  const world = talking();
  const unusable = ['0.0.0.0', '127.0.0.1', '224.0.0.5', '255.255.255.255', '169.254.7.7', '10.1.0.1'];
  for (const [i, address] of unusable.entries()) announce(world, { id: 10 + i, address });
  world.run(10_000);
  assert.deepEqual(joined(world), []);
  assert.equal(world.packets('client', isEcho).length, unusable.length, 'each is echoed');
  world.transfer('client', 1000);
  world.finish();
});

test('A9d: an announced address is joined from a path that is added later, too, unless withdrawn or failed', () => {
  const world = talking();
  announce(world, { id: 5, address: '10.9.0.2' });
  announce(world, { id: 6, address: '10.9.0.3', port: 4000 });
  announce(world, { id: 7, address: '10.9.0.77' });
  announce(world, { id: 8, address: 'fd00:9::2' });
  world.run(400_000);
  withdraw(world, [6]);
  world.run(5000);
  const since = world.log.length;
  const four = world.addClientInterface('10.7.0.1');
  const six = world.addClientInterface('fd00:7::1');
  for (const interfaceId of [four, six]) world.client.connection.addPath({ interfaceId }, world.now);
  world.run(5000);
  const targets = world.log
    .slice(since)
    .filter(p => p.from === 'client' && isJoin(p.segment))
    .map(({ segment: s }) => `${formatAddress(s.dst0, s.dst1, s.dst2, s.dst3)}:${s.dstPort}`);
  assert.deepEqual([...new Set(targets)].sort(), ['10.9.0.1:8080', '10.9.0.2:8080', 'fd00:9::2:8080']);
  world.transfer('client', 1000);
});

test('A9a, H2b: of a flood of announced addresses only as many are tried as there may be subflows', () => {
  const world = talking();
  for (let i = 0; i < 100; i++) announce(world, { id: i + 1, address: `10.20.0.${i + 1}` });
  world.run(5000);
  assert.ok(joined(world).length <= 8, `${joined(world).length} addresses`);
  world.transfer('client', 1000);
  world.transfer('server', 1000);
});

test('X1b: an announced address that goes is withdrawn also when no subflow uses it', () => {
  const serverAddresses = ['10.9.0.1', '10.9.0.2'];
  const world = new World({ serverAddresses, advertise: [{ address: '10.9.0.2' }] });
  // The client cannot reach it.
  world.rules.push(p => (isJoin(p.segment) ? 'drop' : undefined));
  world.connect();
  world.transfer('client', 1000);
  world.run(500);
  const [announced] = world.packets('server', s => has(s, Mp.ADD_ADDR));
  world.server.host.removeInterface(world.server.interfaces.get('10.9.0.2') as number, world.now);
  world.run(500);
  const [removal] = world.packets('server', s => has(s, Mp.REMOVE_ADDR));
  assert.ok(removal !== undefined, 'not withdrawn');
  assert.deepEqual(
    [...removal.segment.removeIds.subarray(0, removal.segment.removeCount)],
    [announced.segment.addAddrId],
  );
  world.transfer('client', 1000);
});

test('A6a, X1a: an announced address has the identifier of its announcement in its joins, and in its removal', () => {
  const serverAddresses = ['10.9.0.1', '10.9.0.2'];
  const world = new World({ serverAddresses, advertise: [{ address: '10.9.0.2' }] });
  world.connect();
  world.transfer('client', 1000);
  world.run(500);
  assert.equal(world.active('client'), 2);
  const [announced] = world.packets('server', s => has(s, Mp.ADD_ADDR));
  const [answer] = world.packets('server', s => has(s, Mp.JOIN));
  assert.equal(answer.segment.joinAddressId, announced.segment.addAddrId);
  world.server.host.removeInterface(world.server.interfaces.get('10.9.0.2') as number, world.now);
  world.run(500);
  const removed = world
    .packets('server', s => has(s, Mp.REMOVE_ADDR))
    .map(({ segment: s }) => [...s.removeIds.subarray(0, s.removeCount)]);
  assert.ok(removed.length > 0);
  for (const ids of removed) assert.deepEqual(ids, [announced.segment.addAddrId]);
});

test('S1a: the resets of subflows have their MP_TCPRST', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.transfer('client', 10_000);
  world.client.host.removeInterface(world.pathInterface(1), world.now);
  world.run(10_000);
  const resets = world.log.filter(p => isRst(p.segment));
  assert.ok(resets.length > 0);
  for (const { segment } of resets) assert.ok(has(segment, Mp.TCPRST));
});
