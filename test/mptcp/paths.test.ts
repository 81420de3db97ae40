// Paths that are lost and come back (RFC 8684 §3.3.3, §3.9): break before make, servers restarted, NATs that forget,
// and ports that the link has to open first.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';
import { bytesOf, has, isRst, isSyn, type Side, World } from './world.ts';

const none: Uint8Array = new Uint8Array(0);
const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);

/** Sends a lot and returns when some of it has arrived. */
function stream(world: World, from: Side, length: number, until: number): Uint8Array {
  const to = world.peer(from === 'client' ? 'server' : 'client');
  const bytes = bytesOf(length);
  world.peer(from).send(bytes, world.now);
  world.until('some bytes', () => to.received.length >= until);
  return bytes;
}

test('F6: all subflows gone, a join resumes the stream where it was', () => {
  const world = new World({ paths: 1 });
  world.establish();
  const bytes = stream(world, 'client', 1_000_000, 200_000);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.run(3000);
  assert.equal(world.client.connection.closed, false);
  const id = world.addClientInterface('10.5.0.1');
  world.client.connection.addPath({ interfaceId: id }, world.now);
  world.until('all', () => world.server.received.length === bytes.length);
  assert.deepEqual(Uint8Array.from(world.server.received), bytes);
  world.transfer('server', 100_000);
  world.finish();
});

test('F6: all subflows gone and none comes back: both ends end after closeTimeoutMs', () => {
  const world = new World({ paths: 2, client: { closeTimeoutMs: 7000 }, server: { closeTimeoutMs: 7000 } });
  world.establish(2);
  const start = world.now;
  world.client.send(bytesOf(10_000), world.now);
  world.client.host.removeInterface(world.pathInterface(1), world.now);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.until('client ends', () => world.client.connection.closed, 10_000);
  assert.equal(world.client.connection.error, 'ETIMEDOUT');
  assert.ok(world.now - start >= 7000 && world.now - start < 8000);
});

test('F6: joins that get no answer do not stretch closeTimeoutMs', () => {
  const world = new World({ paths: 1, client: { closeTimeoutMs: 7000 } });
  world.establish();
  world.transfer('client', 1000);
  world.run(100);
  const s = world.packets('client').at(-1)?.segment as Segment;
  const last = world.packets('server').at(-1)?.segment as Segment;
  world.inject(
    'server',
    Object.assign(new Segment(), last, { flags: Flag.RST, mp: 0, sackCount: 0, seq: s.ack }),
  );
  world.rules.push(() => 'drop');
  const start = world.now;
  world.until('client ends', () => world.client.connection.closed, 200_000);
  assert.equal(world.client.connection.error, 'ETIMEDOUT');
  assert.ok(world.now - start < 8000, `after ${world.now - start} ms`);
});

test('J5a: the server was restarted and knows nothing: ECONNRESET', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  // The server forgets everything, as a new process would.
  const fresh = new World({ seed: 77 });
  Object.assign(world.server, { host: fresh.server.host, interfaces: fresh.server.interfaces });
  world.client.send(bytesOf(10_000), world.now);
  world.until('reset', () => world.client.connection.closed, 10_000);
  assert.equal(world.client.connection.error, 'ECONNRESET');
  assert.match(world.client.connection.errorReason, /lost the connection/);
});

/** A NAT in front of path `i` forgets its mappings: subflows that exist now are cut off, new ones are not. */
function rebind(world: World, i: number): void {
  const known = new Set(world.packets('client', (_, p) => p.path === i).map(p => p.segment.srcPort));
  world.rules.push(p => {
    const port = p.from === 'client' ? p.segment.srcPort : p.segment.dstPort;
    return p.path === i && known.has(port) ? 'drop' : undefined;
  });
}

test('NAT rebinding: the subflow is dead and the client joins again from a new port', () => {
  const world = new World({ paths: 1 });
  world.establish();
  const bytes = stream(world, 'client', 1_000_000, 100_000);
  rebind(world, 0);
  const start = world.now;
  world.until('all', () => world.server.received.length === bytes.length, 60_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytes);
  assert.ok(world.now - start < 10_000, `took ${world.now - start} ms`);
  const ports = new Set(world.packets('client', isSyn).map(p => p.segment.srcPort));
  assert.equal(ports.size, 2);
  world.transfer('server', 100_000);
  world.run(5000);
  assert.equal(world.client.connection.multipath().subflows.length, 1, 'the dead subflow is gone');
  world.finish();
});

test('NAT rebinding that answers with a reset: rejoined at once', () => {
  const world = new World({ paths: 1 });
  world.establish();
  const bytes = stream(world, 'client', 1_000_000, 100_000);
  const old = world.packets('client', isSyn)[0].segment.srcPort;
  // The server sees another port and does not know it; its reset comes back through the new mapping.
  world.rules.push(p => {
    if (p.from === 'client' && p.segment.srcPort === old) {
      const segment = Object.assign(new Segment(), p.segment, { srcPort: 9999 });
      world.inject(
        'client',
        segment,
        p.bytes.slice(segment.payloadOffset, segment.payloadOffset + segment.payloadLength),
        10,
      );
      return 'drop';
    }
    if (p.from === 'server' && p.segment.dstPort === 9999) {
      world.inject('server', Object.assign(new Segment(), p.segment, { dstPort: old }), none, 10);
      return 'drop';
    }
    return p.from === 'server' && p.segment.dstPort === old ? 'drop' : undefined;
  });
  const start = world.now;
  world.until('all', () => world.server.received.length === bytes.length, 20_000);
  assert.ok(world.now - start < 2500, `took ${world.now - start} ms`);
});

test('idle NAT rebinding is found by the keepalive, and the subflow made again', () => {
  const keep = { subflowKeepAliveMs: 20_000 };
  const world = new World({ paths: 1, client: keep, server: keep });
  world.establish();
  world.transfer('client', 1000);
  world.run(5000);
  for (let i = 0; i < 4; i++) {
    rebind(world, 0);
    world.run(60_000);
    assert.equal(world.active('client'), 1, `after ${i + 1} rebindings`);
    assert.equal(
      world.server.connection.multipath().subflows.length,
      1,
      'dead subflows are gone at the server',
    );
    world.transfer('client', 1000);
    world.transfer('server', 1000);
  }
  world.finish();
});

/** Nothing passes for so long. */
function outage(world: World, ms: number): void {
  world.rules.push(() => 'drop');
  world.run(ms);
  world.rules.pop();
}

// Five probes, two seconds apart, after twenty seconds: a subflow that others could stand in for would be ended.
for (const side of ['client', 'server'] as const) {
  test(`an outage of a minute: the keepalive of the ${side} does not end the only subflow it could not replace`, () => {
    const world = new World({ paths: 1, [side]: { subflowKeepAliveMs: 20_000 } });
    world.establish();
    // The server cannot join, and nor can a client that has heard no DSS.
    if (side === 'server') world.transfer('client', 1000);
    outage(world, 60_000);
    assert.equal(world.active(side), 1);
    world.transfer('client', 1000);
    world.transfer('server', 1000);
    world.finish();
  });
}

test('a peer that is gone for good: the keepalive of an only subflow ends the connection nevertheless', () => {
  const keep = { subflowKeepAliveMs: 20_000, closeTimeoutMs: 30_000 };
  const world = new World({ paths: 1, server: keep });
  world.establish();
  world.transfer('client', 1000);
  world.run(1000);
  const start = world.now;
  world.rules.push(() => 'drop');
  world.until('the end', () => world.server.connection.closed, 200_000);
  assert.equal(world.server.connection.error, 'ETIMEDOUT');
  // Idle for 20 s less what has passed, 5 and 15 probes, then the time for a join.
  assert.ok(Math.abs(world.now - start - 89_000) <= 100, `after ${world.now - start} ms`);
  const probes = world.packets('server', (_, p) => p.at > start && p.lost);
  assert.equal(probes.length, 20);
});

test('of two subflows the keepalive ends the silent one after five probes', () => {
  const world = new World({ paths: 2, server: { subflowKeepAliveMs: 20_000 } });
  world.establish(2);
  const start = world.now;
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  world.until('one left', () => world.server.connection.multipath().subflows.length === 1, 60_000);
  assert.ok(world.now - start <= 30_000, `after ${world.now - start} ms`);
});

for (const from of ['client', 'server'] as const) {
  test(`many rebindings in a row, data from the ${from}: the limit on subflows is no dead end`, () => {
    const keep = { subflowKeepAliveMs: 20_000 };
    const world = new World({ paths: 1, client: keep, server: keep });
    world.establish();
    world.transfer('client', 1000);
    const to = world.peer(from === 'client' ? 'server' : 'client');
    for (let i = 0; i < 12; i++) {
      world.peer(from).send(bytesOf(20_000), world.now);
      rebind(world, 0);
      world.run(6000);
    }
    world.until('all', () => to.received.length >= 240_000, 120_000);
    assert.equal(world.client.connection.error, null, world.client.connection.errorReason);
    assert.equal(world.server.connection.error, null, world.server.connection.errorReason);
  });
}

test('external ports: further subflows are asked for, answered, and wait for an answer', () => {
  const world = new World({ paths: 2, externalPorts: true });
  const requests: { id: number; interfaceId: number }[] = [];
  world.client.onFlow = r => requests.push(r);
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), localPort: 40_000 + i }));
  world.connect({ paths });
  world.transfer('client', 1000);
  world.run(200);
  assert.equal(requests.length, 1);
  assert.equal(world.packets('client', isJoinSyn).length, 0);
  assert.equal(world.client.connection.flowOpened(requests[0].id, 45_001, world.now), true);
  assert.equal(
    world.client.connection.flowOpened(requests[0].id, 45_002, world.now),
    false,
    'answered twice',
  );
  world.run(200);
  assert.equal(world.packets('client', isJoinSyn)[0].segment.srcPort, 45_001);
  assert.equal(world.active('client'), 2);
  world.transfer('client', 100_000);
  world.finish();
  const released = new Set<number>();
  for (let r = world.client.host.nextReleased(); r !== undefined; r = world.client.host.nextReleased()) {
    released.add(r.localPort);
  }
  assert.deepEqual([...released].sort(), [40_000, 45_001]);
});

test('external ports: a flow that failed is asked for again later, one for a connection that is over is refused', () => {
  const world = new World({ paths: 2, externalPorts: true });
  const requests: { id: number; interfaceId: number }[] = [];
  world.client.onFlow = r => requests.push(r);
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), localPort: 40_000 + i }));
  world.connect({ paths });
  world.transfer('client', 1000);
  world.run(200);
  world.client.connection.flowFailed(requests[0].id, world.now);
  world.run(10_000);
  assert.equal(requests.length, 2);
  world.client.connection.abort(world.now);
  assert.equal(world.client.connection.flowOpened(requests[1].id, 45_003, world.now), false);
  world.untilGone(130_000);
});

test('H2b: a path that is never answered is tried again ever more rarely, never in a storm', () => {
  const world = new World({ paths: 2 });
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  world.connect();
  world.transfer('client', 1000);
  world.run(600_000);
  const syns = world.packets('client', (s, p) => isJoinSyn(s) && p.path === 1);
  assert.ok(syns.length >= 7 && syns.length <= 60, `${syns.length} SYNs in ten minutes`);
  assert.equal(world.client.connection.closed, false);
  world.transfer('client', 1000);
});

test('H2b: a path whose joins are reset is not joined in a storm', () => {
  const world = new World({ paths: 2 });
  world.rules.push(p => {
    if (p.path !== 1 || p.from !== 'client') return undefined;
    if (!isJoinSyn(p.segment)) return 'drop';
    const s = p.segment;
    const rst = Object.assign(new Segment(), s, {
      src3: s.dst3,
      dst3: s.src3,
      srcPort: s.dstPort,
      dstPort: s.srcPort,
    });
    rst.reset();
    world.inject(
      'server',
      Object.assign(rst, { flags: Flag.RST | Flag.ACK, ack: (s.seq + 1) >>> 0, seq: 0 }),
      none,
      5,
    );
    return 'drop';
  });
  world.connect();
  world.transfer('client', 1000);
  world.run(120_000);
  const syns = world.packets('client', (_, p) => p.path === 1);
  assert.ok(syns.length <= 12, `${syns.length} joins in two minutes`);
  assert.ok(world.packets('client', isRst).length === 0);
});

test('of three paths the first is taken away: the plans of the others stay, and are carried out again', () => {
  const world = new World({ paths: 3 });
  world.establish(3);
  world.client.connection.removePath(world.pathInterface(0), world.now);
  world.run(5_000);
  assert.equal(world.active('client'), 2);
  for (const path of [1, 2]) {
    const before = world.packets('client', (s, p) => p.path === path && isJoinSyn(s)).length;
    const last = world.packets('client', (_, p) => p.path === path).at(-1)?.segment as Segment;
    const heard = world.packets('server', (_, p) => p.path === path).at(-1)?.segment as Segment;
    const reset = { flags: Flag.RST, mp: 0, sackCount: 0, seq: last.ack };
    world.inject('server', Object.assign(new Segment(), heard, reset));
    world.run(3_000);
    const after = world.packets('client', (s, p) => p.path === path && isJoinSyn(s)).length;
    assert.equal(after - before, 1, `path ${path}`);
    assert.equal(world.active('client'), 2);
  }
  assert.equal(world.packets('client', (s, p) => p.path === 0 && isJoinSyn(s)).length, 0);
});
