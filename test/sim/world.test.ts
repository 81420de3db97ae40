import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  drawWorld,
  LINK_PROFILES,
  replay,
  replayPlan,
  runSeed,
  runSwarm,
  type SeedResult,
  simplePlan,
  World,
  type WorldPlan,
} from '../../src/sim/index.ts';

const QUIET = { rateBitsPerSecond: 10_000_000, delayMs: 10, queueBytes: 100_000, mtu: 1500 };
const quiet = { forward: QUIET, backward: QUIET };

function plainPlan(uploadBytes = 200_000, downloadBytes = 0): WorldPlan {
  const plan = simplePlan({ seed: 1, paths: [quiet], uploadBytes, downloadBytes });
  plan.connections[0].multipath = false;
  return plan;
}

function withoutFailure(plan: WorldPlan): World {
  const world = new World(plan);
  assert.deepEqual(world.run().failures, []);
  return world;
}

test('plain TCP carries data both ways at the rate of its link', () => {
  const world = withoutFailure(plainPlan(300_000, 400_000));
  const [{ client, server }] = world.connections;
  assert.equal(server.receivedBytes, 300_000);
  assert.equal(client.receivedBytes, 400_000);
  const transferMs = (400_000 * 8) / 10_000;
  const takenMs = client.lastReceivedMs;
  assert.ok(takenMs > transferMs && takenMs < 1.5 * transferMs + 100, `${takenMs} ms`);
});

test('Multipath TCP uses both paths, and loses nothing when one of them dies', () => {
  const plan = simplePlan({ seed: 1, paths: [quiet, quiet], uploadBytes: 2_000_000 });
  plan.events.push({ atMs: 500, type: 'path-down', path: 0 });
  const world = withoutFailure(plan);
  const [run] = world.connections;
  assert.equal(run.server.receivedBytes, 2_000_000);
  assert.ok(run.paths.every(path => path.wasActive));
  assert.equal(run.clientInfo?.fallback, null);
});

test('a plan runs the same way every time, byte for byte', () => {
  for (const seed of [3, 4, 5, 6, 7, 8]) {
    const [first, second] = [runSeed(seed), runSeed(seed)];
    assert.ok(first.packets > 0);
    assert.equal(second.fingerprint, first.fingerprint);
    assert.equal(second.packets, first.packets);
    assert.equal(second.virtualMs, first.virtualMs);
  }
});

test('a trace shows every packet and changes none', () => {
  const lines: string[] = [];
  const traced = replay(3, { trace: line => lines.push(line) });
  assert.equal(traced.fingerprint, runSeed(3).fingerprint);
  const packets = lines.filter(line => /^ *\d+\.\d{3} p\d /.test(line));
  assert.equal(packets.length, traced.packets);
  assert.match(packets[0], /S 0 win \d+ <mss \d+/);
});

test('other seeds, other worlds', () => {
  const fingerprints = new Set([10, 11, 12, 13, 14].map(seed => runSeed(seed).fingerprint));
  assert.equal(fingerprints.size, 5);
  assert.notDeepEqual(drawWorld(10), drawWorld(11));
  assert.deepEqual(drawWorld(10), drawWorld(10));
});

test('a plan survives being printed', () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const plan = drawWorld(seed);
    const printed = JSON.parse(JSON.stringify(plan)) as WorldPlan;
    assert.equal(replayPlan(printed).fingerprint, runSeed(seed).fingerprint);
  }
});

test('workers give the results of one thread', async () => {
  const collect = async (jobs: number) => {
    const seen: SeedResult[] = [];
    const result = await runSwarm({ seeds: 12, from: 40, jobs, onProgress: one => seen.push(one) });
    assert.equal(result.worlds, 12);
    return seen.sort((a, b) => a.seed - b.seed).map(({ seed, fingerprint }) => ({ seed, fingerprint }));
  };
  const alone = await collect(1);
  assert.deepEqual(
    alone.map(one => one.seed),
    Array.from({ length: 12 }, (_, i) => 40 + i),
  );
  assert.deepEqual(await collect(3), alone);
});

test('code of a test can look and act at a virtual time', () => {
  const world = new World(plainPlan());
  const seen: number[] = [];
  world.at(50, () => seen.push(world.nowMs, world.connections[0].server.receivedBytes));
  world.at(60, () => world.connections[0].client.connection?.abort(60));
  world.run({ untilMs: 100 });
  assert.equal(seen[0], 50);
  assert.ok(seen[1] > 0 && seen[1] < 200_000);
  assert.equal(world.connections[0].server.error, 'ECONNRESET');
});

// Oracles that need a whole world to be broken.

function brokenWorld(breakIt: (world: World) => void): string {
  const world = new World(plainPlan());
  world.at(40, () => breakIt(world));
  return world.run().failures[0]?.oracle ?? 'none';
}

test('nothing broken, nothing reported', () => {
  assert.equal(
    brokenWorld(() => {}),
    'none',
  );
});

test('livelock: a host that never stops sending', () => {
  const oracle = brokenWorld(({ drivers: [{ host }] }) => {
    const transmit = host.transmit.bind(host);
    let last = 0;
    host.transmit = (out, offset, now) => {
      last = transmit(out, offset, now) || last;
      return last;
    };
  });
  assert.equal(oracle, 'livelock');
});

test('livelock: a deadline that does not pass', () => {
  const oracle = brokenWorld(world => {
    const { host } = world.drivers[1];
    const now = world.nowMs;
    host.nextDeadline = () => now;
  });
  assert.equal(oracle, 'livelock');
});

test('exception: whatever the core throws', () => {
  const oracle = brokenWorld(({ drivers: [{ host }] }) => {
    host.receive = () => {
      throw new TypeError('broken on purpose');
    };
  });
  assert.equal(oracle, 'exception');
});

test('leftover: a timer, a connection, a packet', () => {
  const timer = brokenWorld(({ drivers: [, { host }] }) => {
    const nextDeadline = host.nextDeadline.bind(host);
    host.nextDeadline = () => Math.min(nextDeadline(), 1e9);
  });
  assert.equal(timer, 'leftover');
  const connection = brokenWorld(({ drivers: [{ host }] }) => {
    const [first] = host.connections;
    Object.defineProperty(host, 'connections', { value: [first] });
  });
  assert.equal(connection, 'leftover');
  const slot = brokenWorld(({ network }) => {
    network.pool.take(100);
  });
  assert.equal(slot, 'leftover');
});

test('progress: a host that has become deaf', () => {
  const oracle = brokenWorld(({ drivers: [, { host }] }) => {
    host.receive = () => {};
  });
  assert.equal(oracle, 'progress');
});

test('content: a network that changes bytes and repairs the checksum', () => {
  const plan = plainPlan();
  for (const host of plan.hosts) for (const one of host.interfaces) one.checksumOffload = true;
  for (const path of plan.paths) path.forward = { ...path.forward, corrupt: 0.1 };
  const failures = new World(plan).run().failures.map(one => one.oracle);
  assert.ok(failures.length > 0);
});

test('news: an application that is not told that there is something to read', () => {
  const oracle = brokenWorld(({ drivers: [, { host }] }) => {
    host.nextReady = () => undefined;
  });
  assert.equal(oracle, 'news');
});

test('the profiles of the network room make worlds', () => {
  const plan = simplePlan({
    seed: 5,
    paths: [LINK_PROFILES.wifi, LINK_PROFILES.lte],
    uploadBytes: 100_000,
    downloadBytes: 100_000,
  });
  const world = withoutFailure(plan);
  assert.equal(world.result().deliveredBytes, 200_000);
});
