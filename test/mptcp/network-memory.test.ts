// What is remembered of a network (RFC 8684 §3.9.3): that it drops SYNs with MP_CAPABLE, that it changes
// payload; for how long, by whom, and what wipes it out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Connection } from '../../src/host/index.ts';
import { NetworkMemory } from '../../src/mptcp/index.ts';
import { CapableFlag, Mp, type Segment } from '../../src/wire/index.ts';
import { alter, bytesOf, first, has, hasData, isSyn, isSynAck, type Rule, World } from './world.ts';

const HOUR_MS = 3_600_000;
const isCapableSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.CAPABLE);

/** Connects over one path; returns the connection and its SYNs. */
function connect(world: World, path = 0): { connection: Connection; syns: Segment[]; tookMs: number } {
  const startMs = world.now;
  world.log.length = 0;
  const paths = [{ interfaceId: world.pathInterface(path) }];
  const connection = world.connect({ paths });
  world.until('connected', () => connection.connected);
  const syns = world.packets('client', isSyn).map(({ segment }) => segment);
  return { connection, syns, tookMs: world.now - startMs };
}

/** The first path's network is known to drop the option. */
function condemn(world: World): void {
  world.client.host.networks.optionsDropped('10.1.0.0/24', true, Infinity);
}

/** A box on the first path. */
const lossyFor = (match: (s: Segment) => boolean): Rule =>
  first(Infinity, (s, p) => p.path === 0 && match(s));

test('H4b: a network that drops the option is remembered for an hour, and no other', () => {
  const world = new World({ paths: 2 });
  world.rules.push(lossyFor(isCapableSyn));
  connect(world);
  const [known] = world.client.host.networks.entries(world.now);
  assert.equal(known.network, '10.1.0.0/24');
  assert.equal(known.optionsUntilMs, world.now + HOUR_MS);

  const again = connect(world);
  assert.equal(again.tookMs, 20, 'no time is lost');
  assert.deepEqual(
    again.syns.map(s => s.mp),
    [Mp.CAPABLE, 0],
    'was it chance?',
  );
  assert.equal(again.connection.multipath().fallback?.cause, 'network-remembered');
  assert.equal(world.client.host.counters.MPCapableSYNTXDisabled, 0);
  assert.equal(world.client.host.counters.Blackhole, 2);

  const third = connect(world);
  assert.equal(third.tookMs, 20);
  assert.deepEqual(
    third.syns.map(s => s.mp),
    [0],
  );
  assert.equal(third.connection.multipath().fallback?.cause, 'network-remembered');
  assert.equal(world.client.host.counters.MPCapableSYNTXDisabled, 1);

  const elsewhere = connect(world, 1);
  assert.ok(has(elsewhere.syns[0], Mp.CAPABLE));
  assert.equal(elsewhere.connection.multipath().fallback, null);

  world.run(HOUR_MS);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  const later = connect(world);
  assert.ok(has(later.syns[0], Mp.CAPABLE), 'tried again');
  assert.equal(later.connection.multipath().fallback?.cause, 'syn-unanswered');
  assert.deepEqual(
    connect(world).syns.map(s => s.mp),
    [0],
    'one more time is enough',
  );
});

test('two SYNs were lost by chance: the next connection is multipath, and the network is cleared', () => {
  const world = new World();
  world.rules.push(first(2, isCapableSyn));
  assert.equal(connect(world).connection.multipath().fallback?.cause, 'syn-unanswered');
  const next = connect(world);
  assert.equal(next.tookMs, 20);
  assert.equal(next.connection.multipath().active, true);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  world.run(20);
  assert.equal(world.server.connections.length, 2);
  assert.equal([...world.server.host.connections].length, 2, 'the plain SYN was taken back');
  assert.equal(connect(world).syns.length, 1);
});

test('connections that set out together are one sighting, not several', () => {
  const world = new World();
  world.rules.push(first(6, isCapableSyn));
  const paths = [{ interfaceId: world.pathInterface(0) }];
  const together = [1, 2, 3].map(() => world.connect({ paths }));
  world.until('connected', () => together.every(({ connected }) => connected));
  assert.equal(world.client.host.counters.Blackhole, 3);
  assert.equal(connect(world).connection.multipath().active, true);
});

test('a connection that began as TCP for what was remembered carries data and ends', () => {
  const world = new World();
  condemn(world);
  world.establish();
  assert.equal(world.client.connection.multipath().active, false);
  assert.equal(world.server.connection.multipath().active, false);
  world.transfer('client', 30_000);
  world.transfer('server', 30_000);
  world.finish();
});

test('blackholeTimeoutMs 0: nothing is remembered, and nothing known is heeded', () => {
  const world = new World({ client: { blackholeTimeoutMs: 0 } });
  world.rules.push(lossyFor(isCapableSyn));
  connect(world);
  assert.equal(world.client.host.counters.Blackhole, 0);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  condemn(world);
  assert.ok(has(connect(world).syns[0], Mp.CAPABLE));
});

test('an answer with MP_CAPABLE wipes out what was held against the options', () => {
  const world = new World({ paths: 1 });
  // Under way while the network falls under suspicion.
  const paths = [{ interfaceId: world.pathInterface(0) }];
  const connection = world.connect({ paths });
  condemn(world);
  world.until('connected', () => connection.connected);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
});

test('interfaces may name the network they are on; the name counts', () => {
  const world = new World({ paths: 0 });
  const host = world.client.host;
  for (const address of ['10.1.0.1', '10.7.0.1']) {
    const id = host.addInterface({ address, network: 'wlan0 via 10.1.0.254' });
    world.client.interfaces.set(address, id);
    world.clientAddresses.push(address);
  }
  world.rules.push(first(Infinity, isCapableSyn));
  connect(world, 0);
  assert.equal(connect(world, 1).connection.multipath().fallback?.cause, 'network-remembered');
});

test('IPv6: the network is the 64 bits of the prefix', () => {
  const world = new World({ ipVersion: 6 });
  world.rules.push(lossyFor(isCapableSyn));
  connect(world);
  assert.deepEqual(
    world.client.host.networks.entries(world.now).map(({ network }) => network),
    ['fd00:1::/64'],
  );
});

/** Changes one byte of the first data in one direction. */
function altering(from: 'client' | 'server'): Rule {
  let done = false;
  return packet => {
    if (done || packet.from !== from || !hasData(packet.segment)) return;
    done = true;
    alter(packet, (_, payload) => {
      payload[0] ^= 0xff;
    });
  };
}

for (const from of ['client', 'server'] as const) {
  test(`payload from the ${from} was changed on the way: checksums for an hour`, () => {
    const world = new World();
    world.rules.push(altering(from));
    world.establish(1, { checksum: true });
    world.peer(from).send(bytesOf(1_000), world.now);
    world.run(1_000);
    const [known] = world.client.host.networks.entries(world.now);
    assert.equal(known.network, '10.1.0.0/24');
    assert.ok(known.payloadAlteredUntilMs > world.now && known.payloadAlteredUntilMs <= world.now + HOUR_MS);
    // A server does not hold the networks of its clients against its own.
    assert.deepEqual(world.server.host.networks.entries(world.now), []);

    const asks = (): boolean => (connect(world).syns[0].capableFlags & CapableFlag.CHECKSUM) !== 0;
    assert.equal(asks(), true);
    assert.equal(world.packets('server', isSynAck)[0].segment.capableFlags & CapableFlag.CHECKSUM, 0x80);
    world.run(HOUR_MS);
    assert.equal(asks(), false);
  });
}

test('checksums are not asked for where nothing was changed', () => {
  const world = new World();
  world.establish(1, { checksum: true });
  world.transfer('client', 10_000);
  world.transfer('server', 10_000);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  assert.equal(connect(world).syns[0].capableFlags & CapableFlag.CHECKSUM, 0);
});

test('MP_FAIL on a reset is remembered as well', () => {
  const world = new World({ paths: 2 });
  world.establish(2, { checksum: true });
  world.rules.push(altering('client'));
  world.client.send(bytesOf(100_000, 1), world.now);
  world.until('delivered', () => world.server.received.length === 100_000);
  assert.equal(world.client.host.counters.MPFailRx, 1);
  assert.equal(world.client.host.networks.entries(world.now).length, 1);
});

test('the memory is bounded: the oldest network goes', () => {
  const memory = new NetworkMemory();
  for (let i = 0; i < 1_000; i++) memory.optionsDropped(`10.0.${i}.0/24`, false, HOUR_MS);
  const kept = memory.entries(0);
  assert.equal(kept.length, 64);
  assert.equal(kept[63].network, '10.0.999.0/24');
});
