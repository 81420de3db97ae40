// A first SYN that is lost or refused because of its option (RFC 8684 §3.1): the plain SYN that sets out
// beside it, which answer wins, and that the loser leaves nothing behind at either end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';
import { first, has, isRst, isSyn, isSynAck, type Rule, World } from './world.ts';

const ROUND_TRIP_MS = 20;
/** The bound on what a SYN that vanishes may cost. */
const MOST_ADDED_MS = 500;

const isCapableSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.CAPABLE);
const isPlainSyn = (s: Segment): boolean => isSyn(s) && s.mp === 0;
const isCapableSynAck = (s: Segment): boolean => isSynAck(s) && has(s, Mp.CAPABLE);
const drop = (match: (s: Segment) => boolean): Rule => first(Infinity, match);

/** A box that answers SYNs with MP_CAPABLE with a reset. */
function refusing(world: World): Rule {
  return ({ segment: syn }) => {
    if (!isCapableSyn(syn)) return undefined;
    const reset = Object.assign(new Segment(), {
      ...{ ipVersion: 4, srcPort: syn.dstPort, dstPort: syn.srcPort },
      ...{ src0: syn.dst0, src1: syn.dst1, src2: syn.dst2, src3: syn.dst3 },
      ...{ dst0: syn.src0, dst1: syn.src1, dst2: syn.src2, dst3: syn.src3 },
      ...{ flags: Flag.RST | Flag.ACK, ack: (syn.seq + 1) >>> 0 },
    });
    world.inject('server', reset, undefined, ROUND_TRIP_MS);
    return 'drop';
  };
}

function connectedAfter(world: World): number {
  const startMs = world.now;
  world.connect();
  world.until('connected', () => world.client.connection.connected, 5_000);
  return world.now - startMs;
}

function isAccepted(world: World): void {
  world.until('accepted', () => world.server.connections.length === 1);
}

/** The connection works, ends in order, and nothing is left of it, nor of its rival. */
function serves(world: World, cause: string | null): void {
  isAccepted(world);
  const { client, server } = world;
  assert.equal(client.connection.multipath().fallback?.cause ?? null, cause);
  assert.equal(client.connection.multipath().active, cause === null);
  world.transfer('client', 20_000);
  world.transfer('server', 20_000);
  const { local } = client.connection;
  assert.equal(server.connection.remote.port, local.port, 'the ends name the same port');
  assert.deepEqual(
    client.connection.multipath().subflows.map(({ id, local: { port } }) => ({ id, port })),
    [{ id: 0, port: local.port }],
  );
  world.finish();
  assert.equal(server.connections.length, 1, 'one connection was handed to the application');
  leavesNothing(world);
}

/** Every port that was taken has been given back; no token is held. */
function leavesNothing(world: World): void {
  const used = new Set(world.packets('client', isSyn).map(({ segment }) => segment.srcPort));
  const released = new Set<number>();
  for (let port = world.client.host.nextReleased(); port; port = world.client.host.nextReleased()) {
    assert.ok(!released.has(port.localPort), 'a port is given back once');
    released.add(port.localPort);
  }
  assert.deepEqual(released, used);
}

test('C9, H4a: a SYN that vanishes with its option costs 400 ms, and the connection is TCP from another port', () => {
  const world = new World();
  world.rules.push(drop(isCapableSyn));
  assert.equal(connectedAfter(world), 400 + ROUND_TRIP_MS);
  const [lost, again] = world.packets('client', isCapableSyn);
  const [plain] = world.packets('client', isPlainSyn);
  assert.equal(again.segment.srcPort, lost.segment.srcPort);
  assert.notEqual(plain.segment.srcPort, lost.segment.srcPort);
  assert.equal(world.client.connection.local.port, plain.segment.srcPort);
  assert.equal(world.client.host.counters.MPCapableSYNTXDrop, 1);
  assert.equal(world.client.host.counters.Blackhole, 1);
  serves(world, 'syn-unanswered');
});

test('at 100 ms of round trip it costs at most half a second', () => {
  const world = new World({ delays: [50] });
  world.rules.push(drop(isCapableSyn));
  assert.ok(connectedAfter(world) <= 100 + MOST_ADDED_MS);
  serves(world, 'syn-unanswered');
});

test('a SYN/ACK that vanishes with its option: TCP, and the server keeps nothing of the first SYN', () => {
  const world = new World();
  world.rules.push(drop(isCapableSynAck));
  assert.equal(connectedAfter(world), 400 + ROUND_TRIP_MS);
  world.run(ROUND_TRIP_MS);
  assert.equal([...world.server.host.connections].length, 1, 'half-open connections at the server');
  assert.equal(world.server.listener?.halfOpen, 0);
  serves(world, 'syn-unanswered');
});

test('a SYN lost by chance: its repetition beside the plain one is answered first', () => {
  const world = new World();
  world.rules.push(first(1, isCapableSyn));
  assert.equal(connectedAfter(world), 400 + ROUND_TRIP_MS);
  world.run(ROUND_TRIP_MS);
  assert.equal([...world.server.host.connections].length, 1, 'the plain SYN was taken back');
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  serves(world, null);
});

test('a slow path: the answer with MP_CAPABLE comes first and wins', () => {
  const world = new World({ delays: [300] });
  assert.equal(connectedAfter(world), 600);
  assert.equal(world.packets('client', isPlainSyn).length, 1);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  serves(world, null);
});

test('both are answered, the plain one first: it wins, and the network is not held guilty', () => {
  const world = new World();
  world.rules.push(first(2, isCapableSynAck, { delayMs: 450 }));
  assert.equal(connectedAfter(world), 400 + ROUND_TRIP_MS);
  assert.equal(world.client.host.networks.entries(world.now).length, 1);
  world.run(100);
  assert.deepEqual(world.client.host.networks.entries(world.now), [], 'an answer has come after all');
  serves(world, 'syn-unanswered');
});

test('both are answered, one right behind the other: the first wins', () => {
  for (const plainFirst of [false, true]) {
    const world = new World();
    const late = plainFirst ? isCapableSynAck : (s: Segment) => isSynAck(s) && s.mp === 0;
    world.rules.push(first(1, isCapableSyn), first(1, late, { delayMs: 0.001 }));
    connectedAfter(world);
    serves(world, plainFirst ? 'syn-unanswered' : null);
  }
});

test('C9, H4a: a SYN reset for its option: the plain one sets out at once', () => {
  const world = new World();
  world.rules.push(refusing(world));
  assert.equal(connectedAfter(world), 2 * ROUND_TRIP_MS);
  assert.equal(world.client.host.counters.Blackhole, 1);
  serves(world, 'syn-refused');
});

test('a closed port costs one round trip more, and is refused', () => {
  const world = new World();
  world.server.listener?.close(world.now);
  const startMs = world.now;
  const connection = world.connect();
  world.until('refused', () => connection.closed);
  assert.equal(world.now - startMs, 2 * ROUND_TRIP_MS);
  assert.equal(connection.error, 'ECONNREFUSED');
  world.untilGone();
  assert.equal(world.packets('client').length, 2);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  leavesNothing(world);
});

test('the plain SYN is reset while that with the option is lost: refused', () => {
  const world = new World();
  world.server.listener?.close(world.now);
  world.rules.push(drop(isCapableSyn));
  const connection = world.connect();
  world.until('refused', () => connection.closed, 1_000);
  assert.equal(connection.error, 'ECONNREFUSED');
  world.untilGone();
  leavesNothing(world);
});

test('nothing is answered: both give up, with one error', () => {
  const world = new World({ client: { synRetries: 2 } });
  world.rules.push(drop(isSyn));
  const connection = world.connect();
  world.until('given up', () => connection.closed, 60_000);
  assert.equal(connection.error, 'ETIMEDOUT');
  // 0, 400, 1,400 and 3,400 ms; the plain one from 400 ms on.
  assert.equal(world.packets('client', isCapableSyn).length, 4);
  assert.equal(world.packets('client', isPlainSyn).length, 3);
  world.untilGone();
  leavesNothing(world);
});

test('plainSynMs 0: no plain SYN, neither after silence nor after a reset', () => {
  const lossy = new World({ client: { plainSynMs: 0, synRetries: 2 } });
  lossy.rules.push(drop(isCapableSyn));
  const connection = lossy.connect();
  lossy.until('given up', () => connection.closed, 60_000);
  assert.equal(connection.error, 'ETIMEDOUT');
  assert.equal(lossy.packets('client', isPlainSyn).length, 0);

  const refused = new World({ client: { plainSynMs: 0 } });
  refused.rules.push(refusing(refused));
  const other = refused.connect();
  refused.run(ROUND_TRIP_MS);
  assert.equal(other.error, 'ECONNREFUSED');
  assert.equal(refused.packets('client').length, 1);
});

test('a server that speaks TCP only answers the first SYN, and there is no race', () => {
  const world = new World({ multipath: { server: false } });
  connectedAfter(world);
  world.run(1_000);
  assert.equal(world.packets('client', isSyn).length, 1);
  assert.deepEqual(world.client.host.networks.entries(world.now), []);
  serves(world, 'syn-ack-without-option');
});

for (const [what, letGo] of [
  ['closes', (w: World) => w.client.connection.close(w.now)],
  ['aborts', (w: World) => w.client.connection.abort(w.now)],
  ['loses its address', (w: World) => w.client.host.removeInterface(w.pathInterface(0), w.now)],
] as const) {
  for (const afterMs of [100, 405, 415]) {
    test(`the client ${what} ${afterMs} ms into the race: nothing is left at either end`, () => {
      const world = new World();
      world.rules.push(first(1, isCapableSyn));
      const connection = world.connect();
      world.run(afterMs);
      letGo(world);
      world.run(0);
      assert.ok(connection.closed);
      world.untilGone();
      assert.equal(world.server.connections.length, 0);
      assert.equal(world.server.listener?.halfOpen, 0);
      leavesNothing(world);
    });
  }
}

test('where the link opens ports it is asked for one, and a failure leaves the first SYN alone', () => {
  const world = new World({ externalPorts: true });
  const paths = [{ interfaceId: world.pathInterface(0), localPort: 5000 }];
  const requests: { id: number; interfaceId: number }[] = [];
  world.client.onFlow = request => requests.push(request);
  world.rules.push(drop(isCapableSyn));
  const connection = world.connect({ paths });
  world.run(400);
  assert.deepEqual(
    requests.map(({ interfaceId }) => interfaceId),
    [world.pathInterface(0)],
  );
  assert.equal(world.packets('client', isSyn).length, 1, 'the repetition waits for the plain one');
  assert.ok(connection.flowOpened(requests[0].id, 5001, world.now));
  world.until('connected', () => connection.connected, 100);
  assert.equal(connection.local.port, 5001);
  assert.ok(!connection.flowOpened(requests[0].id, 5002, world.now), 'asked for once');
  serves(world, 'syn-unanswered');

  const failing = new World({ externalPorts: true });
  failing.client.onFlow = ({ id }) => failing.client.connection.flowFailed(id, failing.now);
  failing.rules.push(first(1, isCapableSyn));
  failing.connect({ paths: [{ interfaceId: failing.pathInterface(0), localPort: 5000 }] });
  failing.until('the first SYN again', () => failing.client.connection.connected, 5_000);
  serves(failing, null);
});

test('reset, and no port for the plain SYN: refused', () => {
  const world = new World({ externalPorts: true });
  world.client.onFlow = ({ id }) => world.client.connection.flowFailed(id, world.now);
  world.rules.push(refusing(world));
  const connection = world.connect({ paths: [{ interfaceId: world.pathInterface(0), localPort: 5000 }] });
  world.run(ROUND_TRIP_MS);
  assert.equal(connection.error, 'ECONNREFUSED');
  world.untilGone();
});

test('a port opened too late for the race is not taken', () => {
  const world = new World({ externalPorts: true, delays: [205] });
  const requests: { id: number }[] = [];
  world.client.onFlow = request => requests.push(request);
  const paths = [{ interfaceId: world.pathInterface(0), localPort: 5000 }];
  const connection = world.connect({ paths });
  world.until('connected', () => connection.connected, 1_000);
  assert.equal(requests.length, 1);
  assert.ok(!connection.flowOpened(requests[0].id, 5001, world.now));
  serves(world, null);
});

test('options set before the race hold for whichever wins', () => {
  const world = new World({ client: { keepAliveIntervalMs: 1_000, keepAliveProbes: 3 } });
  world.rules.push(drop(isCapableSyn));
  world.connect({ keepAliveMs: 3_000, noDelay: true });
  world.until('connected', () => world.client.connection.connected);
  isAccepted(world);
  world.run(1_000);
  world.log.length = 0;
  world.run(3_000);
  assert.equal(world.packets('client', s => s.payloadLength === 0 && !isRst(s)).length, 1, 'a keepalive');
});

test('the SYN with the option is refused while the one without is under way: the attempt lives on with that', () => {
  const world = new World();
  const refuse = refusing(world);
  let seen = 0;
  // The first is lost and the second refused; the first plain one is lost, too.
  world.rules.push(packet => (isCapableSyn(packet.segment) && seen++ === 0 ? 'drop' : undefined));
  world.rules.push(refuse);
  world.rules.push(first(1, isPlainSyn));
  assert.equal(connectedAfter(world), 400 + 1_000 + ROUND_TRIP_MS);
  serves(world, 'syn-unanswered');
});

test('no port is left for the plain SYN: a refusal is the end, silence is not', () => {
  const config = { ephemeralFirst: 40_000, ephemeralLast: 40_000 };
  const refused = new World({ client: config });
  refused.rules.push(refusing(refused));
  refused.connect();
  refused.until('the end', () => refused.client.connection.closed, 1_000);
  assert.equal(refused.client.connection.error, 'ECONNREFUSED');
  const silent = new World({ client: config });
  silent.rules.push(first(1, isCapableSyn));
  assert.equal(connectedAfter(silent), 1_000 + ROUND_TRIP_MS);
  isAccepted(silent);
  silent.transfer('client', 1_000);
  assert.equal(silent.client.connection.multipath().active, true);
});
