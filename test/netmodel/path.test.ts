import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LINK_PROFILES, PathModel, type PathOptions, Random } from '../../src/netmodel/index.ts';

interface Passed {
  atMs: number;
  length: number;
  departsMs: number;
  arrivesMs: number;
}

/** Offers packets of the given gaps and lengths, returns those that pass. */
function run(model: PathModel, seed: number, packets: readonly (readonly [number, number])[]): Passed[] {
  const random = new Random(seed);
  const passed: Passed[] = [];
  let now = 0;
  for (const [gapMs, length] of packets) {
    now += gapMs;
    const verdict = model.offer(now, length, random);
    if (verdict.lost) continue;
    const { departsMs, arrivesMs } = verdict;
    passed.push({ atMs: now, length, departsMs, arrivesMs });
  }
  return passed;
}

/** Share of 100,000 packets of 1,000 bytes that satisfy the predicate. */
function share(options: PathOptions, predicate: (lost: boolean, model: PathModel) => boolean): number {
  const model = new PathModel(options);
  const random = new Random('share');
  let hits = 0;
  for (let i = 0; i < 100_000; i++) {
    const verdict = model.offer(i, 1000, random);
    if (predicate(verdict.lost, model)) hits += 1;
  }
  return hits / 100_000;
}

const anyPackets = fc.array(
  fc.tuple(fc.double({ min: 0, max: 5, noNaN: true }), fc.integer({ min: 20, max: 1500 })),
  { minLength: 1, maxLength: 200 },
);

test('transmission and delay: 1,500 bytes at 12 Mbit/s take 1 ms, then 20 ms', () => {
  const model = new PathModel({ rateBitsPerSecond: 12_000_000, delayMs: 20 });
  const random = new Random(1);
  const first = model.offer(100, 1500, random);
  assert.equal(first.departsMs, 101);
  assert.equal(first.arrivesMs, 121);
  const second = model.offer(100, 750, random);
  assert.equal(second.departsMs, 101.5);
  assert.equal(second.arrivesMs, 121.5);
});

test('without options a packet arrives at once', () => {
  const verdict = new PathModel({}).offer(5, 65_535, new Random(1));
  assert.equal(verdict.lost, false);
  assert.equal(verdict.arrivesMs, 5);
  assert.equal(verdict.duplicateMs, -1);
  assert.equal(verdict.corruptBit, -1);
});

test('property: packets leave and arrive in the order offered, jitter or not', () => {
  fc.assert(
    fc.property(anyPackets, fc.integer(), fc.constantFrom(0, 30), (packets, seed, jitterMs) => {
      const model = new PathModel({ rateBitsPerSecond: 3_000_000, delayMs: 10, jitterMs, loss: 0.1 });
      let last: Passed | undefined;
      for (const packet of run(model, seed, packets)) {
        assert.ok(packet.departsMs >= (last?.departsMs ?? 0) && packet.arrivesMs >= (last?.arrivesMs ?? 0));
        last = packet;
      }
    }),
  );
});

test('property: the rate is never exceeded, and fully used while something waits', () => {
  const bytesPerMs = 1000;
  fc.assert(
    fc.property(anyPackets, packets => {
      const passed = run(new PathModel({ rateBitsPerSecond: 8_000_000, queueBytes: 20_000 }), 1, packets);
      let freeMs = 0;
      for (const packet of passed) {
        const startMs = packet.departsMs - packet.length / bytesPerMs;
        assert.ok(Math.abs(startMs - Math.max(freeMs, packet.atMs)) < 1e-6);
        freeMs = packet.departsMs;
      }
    }),
  );
});

test('property: no more waits than the queue holds, and nothing is dropped that would fit', () => {
  const queueBytes = 4000;
  const bytesPerMs = 500;
  fc.assert(
    fc.property(anyPackets, packets => {
      const model = new PathModel({ rateBitsPerSecond: 8000 * bytesPerMs, queueBytes });
      const random = new Random(1);
      let now = 0;
      let freeMs = 0;
      for (const [gapMs, length] of packets) {
        now += gapMs;
        const waiting = Math.max(freeMs - now, 0) * bytesPerMs;
        const verdict = model.offer(now, length, random);
        const fits = waiting === 0 || waiting + length <= queueBytes;
        if (Math.abs(waiting + length - queueBytes) > 1) assert.equal(verdict.lost, !fits);
        if (!verdict.lost) freeMs = verdict.departsMs;
      }
    }),
  );
});

test('a saturated path delivers its rate to the packet', () => {
  const model = new PathModel({ rateBitsPerSecond: 50_000_000, delayMs: 15, queueBytes: 187_500 });
  const random = new Random(1);
  let lastMs = 0;
  let bytes = 0;
  for (let i = 0; i < 100_000; i++) {
    const verdict = model.offer(i * 0.1, 1400, random); // offered 112 Mbit/s for 10 s
    if (verdict.lost) continue;
    bytes += 1400;
    lastMs = verdict.departsMs;
  }
  assert.ok(Math.abs((bytes * 8) / lastMs - 50_000) < 0.01, `${(bytes * 8) / lastMs} bits a millisecond`);
  assert.ok(model.counters.lostQueue > 50_000);
});

test('determinism: the same seed and packets give the same fates', () => {
  const options: PathOptions = {
    rateBitsPerSecond: 2_000_000,
    delayMs: 5,
    jitterMs: 9,
    queueBytes: 9000,
    loss: 0.1,
    burstLoss: { enterProbability: 0.1, leaveProbability: 0.3, lossInBad: 0.5 },
    reorder: { probability: 0.1, extraMs: 8 },
    duplicate: 0.1,
    corrupt: 0.1,
  };
  fc.assert(
    fc.property(anyPackets, fc.integer(), (packets, seed) => {
      const one = new PathModel(options);
      const other = new PathModel(options);
      assert.deepEqual(run(one, seed, packets), run(other, seed, packets));
      assert.deepEqual(one.counters, other.counters);
    }),
  );
});

test('random loss: 3 % of 100,000 packets', () => {
  // Six standard deviations: 6·sqrt(0.03·0.97/100000) = 0.0032.
  assert.ok(Math.abs(share({ loss: 0.03 }, lost => lost) - 0.03) < 0.0033);
});

test('bursts: bad a fifth of the time, four packets long, half lost in them', () => {
  const burstLoss = { enterProbability: 0.0625, leaveProbability: 0.25, lossInBad: 1 };
  // Stationary share 0.0625 / 0.3125 = 0.2. Correlation widens the spread: (1 + 0.6875) / (1 − 0.6875) = 5.4
  // times the variance of independent draws, six deviations 0.0176.
  assert.ok(Math.abs(share({ burstLoss }, lost => lost) - 0.2) < 0.0177);
  const half = { burstLoss: { ...burstLoss, lossInBad: 0.5 } };
  assert.ok(Math.abs(share(half, lost => lost) - 0.1) < 0.0124);
  let runs = 0;
  let before = false;
  const lostShare = share({ burstLoss }, lost => {
    if (lost && !before) runs += 1;
    before = lost;
    return lost;
  });
  const meanRun = (lostShare * 100_000) / runs;
  // About 5,000 runs, geometric with mean 4 and deviation 3.46: six deviations of the mean are 0.29.
  assert.ok(Math.abs(meanRun - 4) < 0.3, `${meanRun}`);
});

test('a lost packet has used the transmitter, a dropped one has not', () => {
  const random = new Random(1);
  const lossy = new PathModel({ rateBitsPerSecond: 8000, loss: 1 });
  lossy.offer(0, 100, random);
  assert.equal(lossy.queuedBytes(0), 100);
  const full = new PathModel({ rateBitsPerSecond: 8000, queueBytes: 150 });
  full.offer(0, 100, random);
  assert.equal(full.offer(0, 100, random).reason, 'queue');
  assert.equal(full.queuedBytes(0), 100);
});

test('duplicates and flipped bits come as often as asked for, and where they can', () => {
  const model = new PathModel({ delayMs: 5, duplicate: 0.1, corrupt: 0.2 });
  const random = new Random(4);
  for (let i = 0; i < 20_000; i++) {
    const verdict = model.offer(i, 40, random);
    if (verdict.duplicateMs !== -1) assert.ok(verdict.duplicateMs >= i + 5 && verdict.duplicateMs < i + 6);
    assert.ok(verdict.corruptBit >= -1 && verdict.corruptBit < 320);
  }
  // Six standard deviations: 255 and 339.
  assert.ok(Math.abs(model.counters.duplicated - 2000) < 255, `${model.counters.duplicated}`);
  assert.ok(Math.abs(model.counters.corrupted - 4000) < 340, `${model.counters.corrupted}`);
});

test('a reordered packet is overtaken, the others keep their order', () => {
  const model = new PathModel({ delayMs: 10, reorder: { probability: 0.2, extraMs: 3.5 } });
  const random = new Random(5);
  let held = 0;
  for (let i = 0; i < 1000; i++) {
    const delay = model.offer(i, 100, random).arrivesMs - i;
    assert.ok(Math.abs(delay - 10) < 1e-9 || Math.abs(delay - 13.5) < 1e-9);
    if (delay > 11) held += 1;
  }
  assert.equal(held, model.counters.reordered);
  assert.ok(held > 120 && held < 280, `${held} of 1,000 at a probability of 0.2`);
});

test('packets over the MTU are dropped', () => {
  const model = new PathModel({ mtu: 1500 });
  const random = new Random(1);
  assert.equal(model.offer(0, 1500, random).lost, false);
  assert.equal(model.offer(0, 1501, random).reason, 'mtu');
  assert.equal(model.counters.lostMtu, 1);
});

test('an outage takes what is offered in it and what it finds on the way', () => {
  const outages = [
    { fromMs: 300, untilMs: 400 },
    { fromMs: 100, untilMs: 200 },
  ];
  const model = new PathModel({ delayMs: 20, outages });
  const random = new Random(1);
  const fates = [79, 80, 99, 100, 150, 199, 200, 279, 280, 400, 1000].map(atMs => [
    atMs,
    model.offer(atMs, 100, random).lost,
  ]);
  assert.deepEqual(fates, [
    [79, false],
    [80, true], // would arrive at 100
    [99, true],
    [100, true],
    [150, true],
    [199, true],
    [200, false],
    [279, false],
    [280, true],
    [400, false],
    [1000, false],
  ]);
  assert.equal(model.counters.lostDown, 6);
});

test('down and up at run time: silence, a counted cut, an empty queue afterwards', () => {
  const model = new PathModel({ rateBitsPerSecond: 8000, delayMs: 10 });
  const random = new Random(1);
  model.offer(0, 1000, random); // busy for a second
  model.setUp(false);
  model.setUp(false);
  assert.equal(model.cuts, 1);
  assert.equal(model.offer(1, 100, random).reason, 'down');
  model.setUp(true);
  assert.equal(model.cuts, 1);
  assert.equal(model.offer(2, 100, random).departsMs, 102);
});

test('a change of rate applies to the bytes that wait', () => {
  const model = new PathModel({ rateBitsPerSecond: 8000 }); // a byte a millisecond
  const random = new Random(1);
  model.offer(0, 1000, random);
  model.setRate(80_000, 500); // 500 bytes wait: 50 ms now
  assert.equal(model.queuedBytes(500), 500);
  // The first packet was told 1000 and keeps it; the second does not overtake it.
  assert.equal(model.offer(500, 100, random).departsMs, 1000);
  assert.equal(model.offer(990, 100, random).departsMs, 1000);
  model.setRate(800, 1000); // ten times slower than at first
  assert.equal(model.offer(1000, 100, random).departsMs, 2000);
  model.setRate(8000, 1500); // half of it is gone
  assert.equal(model.queuedBytes(1500), 50);
});

test('a change of delay never lets packets overtake', () => {
  const model = new PathModel({ delayMs: 100 });
  const random = new Random(1);
  assert.equal(model.offer(0, 100, random).arrivesMs, 100);
  model.setDelay(10);
  assert.equal(model.offer(50, 100, random).arrivesMs, 100);
  assert.equal(model.offer(95, 100, random).arrivesMs, 105);
});

test('every packet offered is counted once', () => {
  const model = new PathModel({
    rateBitsPerSecond: 4_000_000,
    queueBytes: 5000,
    loss: 0.1,
    burstLoss: { enterProbability: 0.05, leaveProbability: 0.5 },
    mtu: 1400,
    outages: [{ fromMs: 200, untilMs: 260 }],
  });
  const random = new Random(11);
  for (let i = 0; i < 2000; i++) model.offer(i, 100 + random.below(1400), random);
  const c = model.counters;
  assert.equal(c.offeredPackets, 2000);
  assert.equal(c.passedPackets + c.lostDown + c.lostMtu + c.lostQueue + c.lostRandom + c.lostBurst, 2000);
  for (const count of [c.lostDown, c.lostMtu, c.lostQueue, c.lostRandom, c.lostBurst]) assert.ok(count > 0);
});

test('impossible options are refused', () => {
  const impossible: PathOptions[] = [
    { loss: 1.1 },
    { loss: Number.NaN },
    { duplicate: -0.1 },
    { burstLoss: { enterProbability: 2, leaveProbability: 0 } },
    { reorder: { probability: 0.1, extraMs: -1 } },
    { delayMs: -1 },
    { rateBitsPerSecond: 0 },
  ];
  for (const options of impossible) assert.throws(() => new PathModel(options), RangeError);
  assert.throws(() => new PathModel({}).setRate(0, 0), RangeError);
});

test('the profiles make models, with the queues their table promises', () => {
  for (const profile of Object.values(LINK_PROFILES)) {
    for (const options of [profile.forward, profile.backward]) {
      assert.equal(new PathModel(options).offer(0, 1400, new Random(2)).departsMs > 0, true);
    }
  }
  // One bandwidth-delay product: 50 Mbit/s · 30 ms, 20 Mbit/s · 60 ms.
  assert.equal(LINK_PROFILES.wifi.forward.queueBytes, (50_000_000 / 8) * 0.03);
  assert.equal(LINK_PROFILES.lte.backward.queueBytes, (20_000_000 / 8) * 0.06);
});

test('listed packets are lost by their place among those that reach the wire, having used the rate', () => {
  const model = new PathModel({
    rateBitsPerSecond: 8_000_000,
    queueBytes: 3000,
    dropPackets: [0, 2, 4],
  });
  const random = new Random(1);
  const fates: string[] = [];
  for (let i = 0; i < 6; i++) {
    const { lost, reason } = model.offer(0, 1000, random);
    fates.push(lost ? reason : 'passed');
  }
  // Three fill the queue, the others never reach the wire and have no place.
  assert.deepEqual(fates, ['listed', 'passed', 'listed', 'queue', 'queue', 'queue']);
  assert.equal(model.offer(10, 1000, random).departsMs, 11);
  assert.equal(model.offer(10, 1000, random).reason, 'listed');
  // The transmitter was busy with the lost one, from 11 to 12.
  assert.equal(model.offer(10, 1000, random).departsMs, 13);
  assert.equal(model.counters.lostListed, 3);
});

test('a managed queue marks above its threshold, and drops what cannot be marked', () => {
  const model = new PathModel({ rateBitsPerSecond: 8_000_000, aqm: { minBytes: 2000, maxBytes: 2000 } });
  const random = new Random(1);
  const marks = [0, 1, 2, 3].map(() => model.offer(0, 1000, random, true).congestionMarked);
  assert.deepEqual(marks, [false, false, true, true]);
  const dropped = model.offer(0, 1000, random, false);
  assert.equal(dropped.lost, true);
  assert.equal(dropped.reason, 'aqm');
  assert.equal(model.counters.marked, 2);
  assert.equal(model.counters.lostAqm, 1);
  // 4,000 bytes wait; after 2.5 ms 1,500 do.
  assert.equal(model.offer(2.5, 1000, random, true).congestionMarked, false);
});

test('between its thresholds a managed queue marks with a rising probability', () => {
  // A link that never drains: what waits is set by what was offered before.
  const waiting = (bytes: number): number => {
    const random = new Random(bytes);
    let marked = 0;
    for (let i = 0; i < 2000; i++) {
      const model = new PathModel({
        rateBitsPerSecond: 1,
        aqm: { minBytes: 10_000, maxBytes: 30_000, maxProbability: 0.5 },
      });
      if (bytes > 0) model.offer(0, bytes, random, true);
      if (model.offer(0, 1, random, true).congestionMarked) marked++;
    }
    return marked / 2000;
  };
  assert.equal(waiting(9999), 0);
  // Half way up the slope: a half of 0.5; three standard deviations are 0.03.
  assert.ok(Math.abs(waiting(20_000) - 0.25) < 0.03, `${waiting(20_000)}`);
  assert.equal(waiting(30_000), 1);
});

test('impossible lists and thresholds are refused by name', () => {
  assert.throws(() => new PathModel({ dropPackets: [1, -2] }), /dropPackets.*-2/);
  assert.throws(() => new PathModel({ aqm: { minBytes: 5, maxBytes: 4 } }), /aqm\.maxBytes/);
  assert.throws(
    () => new PathModel({ aqm: { minBytes: 5, maxBytes: 9, maxProbability: 2 } }),
    /aqm\.maxProbability/,
  );
});
