// A path that falls silent under requests and responses: how soon the answer is there, when the peer answers on the
// silent path because nobody told it, as Linux does; and when the peer is not to be told (RFC 8684 §3.4.2).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scheduler } from '../../src/mptcp/index.ts';
import { Mp, type Segment } from '../../src/wire/index.ts';
import { bytesOf, has, hasData, isSyn, type Packet, World, type WorldOptions } from './world.ts';

const isRemoval = (segment: Segment): boolean => has(segment, Mp.REMOVE_ADDR);

/** Acknowledgements that are never waited for: round-trip times are those of the network. */
const QUICK = { delayedAckMs: 0.1 };

/** A server that takes no path for silent before its retransmission timeout has passed, 200 ms and more. */
const PATIENT = { ...QUICK, suspectSlackMs: 100_000 };

/** Two paths of a LAN, the second a little slower, so that the first is preferred. */
function lan(options: WorldOptions = {}, backup = false): World {
  const world = new World({ ...{ paths: 2, delays: [0.1, 3], client: QUICK, server: QUICK }, ...options });
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), backup: backup && i === 1 }));
  world.establish(2, { paths });
  for (let i = 0; i < 20; i++) exchange(world);
  return world;
}

/** A request of 1,000 bytes and its response, 100 ms before the next; how long it took. */
function exchange(world: World): number {
  const { client, server } = world;
  const [asked, answered] = [server.received.length + 1000, client.received.length + 1000];
  const began = world.now;
  client.send(bytesOf(1000), world.now);
  world.until('the request', () => server.received.length === asked);
  server.send(bytesOf(1000), world.now);
  world.until('the response', () => client.received.length === answered);
  const took = world.now - began;
  world.run(Math.max(100 - took, 0));
  return took;
}

/** The first path swallows everything until `on` is false. */
function darken(world: World): { on: boolean } {
  const state = { on: true };
  world.rules.push((packet: Packet) => (state.on && packet.path === 0 ? 'drop' : undefined));
  return state;
}

/** The server sends on its first subflow while that is alive to it, as Linux does with empty queues. */
function preferFirst(world: World): void {
  const { multipathSide } = world.server.connection as unknown as { multipathSide: { scheduler: Scheduler } };
  multipathSide.scheduler = { name: 'first', pick: paths => paths.find(path => path.usable) ?? null };
}

for (const backup of [false, true]) {
  const what = backup ? 'a backup' : 'a second path';
  test(`the first path dies: with ${what} the response is there before the peer's retransmission timeout`, () => {
    const world = lan({ server: PATIENT }, backup);
    darken(world);
    const took = Array.from({ length: 10 }, () => exchange(world));
    // The round trip and 50 ms of patience, half as much for the probe, then the round trip of the other path.
    assert.ok(Math.max(...took) < 100, `${Math.max(...took)} ms`);
    assert.ok(world.packets('client', isRemoval).every(({ path }) => path === 1));
    world.finish();
  });
}

test('the peer answers on another path than we ask on, and that one dies', () => {
  const world = lan({ server: PATIENT, delays: [3, 0.1] });
  const answers = (): Packet[] => world.packets('server', segment => hasData(segment));
  preferFirst(world);
  exchange(world);
  assert.equal(answers().at(-1)?.path, 0);
  assert.equal(world.packets('client', segment => hasData(segment)).at(-1)?.path, 1);
  darken(world);
  const took = Array.from({ length: 10 }, () => exchange(world));
  assert.ok(Math.max(...took) < 150, `${Math.max(...took)} ms`);
  world.finish();
});

test('a peer that takes its time to answer is asked once a second whether its path is alive, and keeps it', () => {
  const world = lan({ server: PATIENT, delays: [3, 0.1] });
  preferFirst(world);
  exchange(world);
  const before = world.log.length;
  for (let i = 0; i < 50; i++) {
    world.client.send(bytesOf(1000), world.now);
    world.run(100);
  }
  const sent = world.log.slice(before).filter(({ from, path }) => from === 'client' && path === 0);
  assert.ok(sent.length >= 4 && sent.length <= 6, `${sent.length} packets in 5 s`);
  assert.equal(world.packets('client', isRemoval).length, 0);
  assert.equal(world.active('client'), 2);
});

test('the path comes back: it is used again, and a second death is no slower than the first', () => {
  const world = lan({ server: PATIENT });
  for (let round = 0; round < 3; round++) {
    const dark = darken(world);
    const took = Array.from({ length: 50 }, () => exchange(world));
    assert.ok(Math.max(...took) < 100, `${Math.max(...took)} ms in round ${round}`);
    dark.on = false;
    world.run(40_000);
    const before = world.log.length;
    for (let i = 0; i < 5; i++) exchange(world);
    const requests = world.log.slice(before).filter(p => p.from === 'client' && hasData(p.segment));
    assert.deepEqual([...new Set(requests.map(({ path }) => path))], [0], `round ${round}`);
  }
  world.finish();
});

for (const darkMs of [2500, 4000, 5500, 7000, 8500, 10_000]) {
  test(`the peer has given the path up when it comes back after ${darkMs / 1000} s: it is opened again by the first answer`, () => {
    const world = lan();
    const dark = darken(world);
    const after = world.now + darkMs;
    while (world.now < after) exchange(world);
    assert.equal(world.active('server'), 1);
    dark.on = false;
    // The next probe is half a second away at most.
    world.until('two paths', () => world.active('client') === 2 && world.active('server') === 2, 600);
    world.run(10_000);
    assert.equal(world.active('client'), 2);
    world.finish();
  });
}

test('REMOVE_ADDR that is lost is said again', () => {
  const world = lan({ server: PATIENT });
  let lost = 0;
  world.rules.push(({ from, segment }) =>
    from === 'client' && isRemoval(segment) && lost++ < 1 ? 'drop' : undefined,
  );
  darken(world);
  exchange(world);
  world.run(2000);
  assert.equal(world.packets('client', isRemoval).length, 3);
  world.finish();
});

test('a path that answers its probes is not taken away', () => {
  const world = lan();
  const dark = darken(world);
  world.client.send(bytesOf(1000), world.now);
  const isSuspect = (): boolean => world.client.connection.multipath().subflows[0].state === 'suspect';
  // What was sent is suspected after 50 ms and its round trip, and probed more than once before the peer is told.
  world.until('suspicion', isSuspect, 70);
  dark.on = false;
  world.until('trust', () => !isSuspect(), 25);
  world.run(3000);
  assert.equal(world.packets('client', isRemoval).length, 0);
  assert.equal(world.active('client'), 2);
});

test('while no other path answers, nothing is taken away', () => {
  const world = lan();
  world.rules.push(() => 'drop');
  world.client.send(bytesOf(1000), world.now);
  world.run(5000);
  assert.equal(world.packets('client', isRemoval).length, 0);
});

test('two paths from one address: it is not taken away with one of them', () => {
  const second = '10.9.0.2';
  const world = new World({
    ...{ serverAddresses: ['10.9.0.1', second], advertise: [{ address: second }], server: PATIENT },
  });
  world.establish(2);
  const [local] = world.client.connection.multipath().subflows.map(({ id }) => id);
  assert.equal(local, 0);
  world.rules.push(({ segment: { src3, dst3 } }) => {
    const address = 0x0a090001;
    return src3 === address || dst3 === address ? 'drop' : undefined;
  });
  for (let i = 0; i < 3; i++) exchange(world);
  assert.equal(world.packets('client', isRemoval).length, 0);
  world.finish();
});

test('a server takes nothing away: it could not open it again', () => {
  const world = lan();
  darken(world);
  world.server.send(bytesOf(100_000), world.now);
  world.until('100,000 bytes', () => world.client.received.length >= 100_000);
  world.run(2000);
  assert.equal(world.packets('server', isRemoval).length, 0);
  assert.equal(world.packets('client', isSyn).length >= 2, true);
});
