import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RelaySchedule } from '../../src/emulator/relay-schedule.ts';
import { PathModel, type PathOptions, Random } from '../../src/netmodel/index.ts';

function schedule(options: PathOptions, seed = 1): RelaySchedule<number> {
  return new RelaySchedule<number>({ model: new PathModel(options), random: new Random(seed) });
}

function takeAll(from: RelaySchedule<number>, now: number): number[] {
  const items: number[] = [];
  for (let item = from.take(now); item !== undefined; item = from.take(now)) items.push(item);
  return items;
}

test('nothing is due before its arrival, everything is after it', () => {
  const s = schedule({ rateBitsPerSecond: 8_000_000, delayMs: 10 }); // 1,000 bytes a millisecond
  assert.equal(s.nextDueMs, Infinity);
  s.offer(1, 1000, 0);
  s.offer(2, 1000, 0);
  assert.equal(s.nextDueMs, 11);
  assert.deepEqual(takeAll(s, 10.9), []);
  assert.deepEqual(takeAll(s, 11), [1]);
  assert.equal(s.nextDueMs, 12);
  assert.deepEqual(takeAll(s, 100), [2]);
  assert.equal(s.nextDueMs, Infinity);
});

test('late and coarse wake-ups keep the rate: 50 Mbit/s in packets of 1,400 bytes for 20 s', () => {
  const s = schedule({ rateBitsPerSecond: 50_000_000, delayMs: 15, queueBytes: 187_500 });
  const random = new Random('wake-ups');
  let delivered = 0;
  let now = 0;
  while (now < 20_000) {
    // A timer of whole milliseconds, up to 3 ms late, and once in a while a stall of 25 ms; whatever was
    // sent meanwhile, 60 Mbit/s of it, is stamped with the time of the wake-up.
    const nextMs = Math.ceil(now) + random.below(4) + (random.chance(0.01) ? 25 : 0) + 1;
    const arrived = Math.floor((nextMs * 7500) / 1400) - Math.floor((now * 7500) / 1400);
    now = nextMs;
    for (let i = 0; i < arrived; i++) s.offer(i, 1400, now);
    delivered += takeAll(s, now).length;
  }
  const busyMs = now - 15;
  const shareOfRate = (delivered * 1400) / (busyMs * 6250);
  assert.ok(shareOfRate > 0.995 && shareOfRate <= 1, `${shareOfRate}`);
  assert.ok(s.model.counters.lostQueue > 0, 'the path was saturated');
});

test('departures are counted from the last departure, not from the wake-up', () => {
  const s = schedule({ rateBitsPerSecond: 8_000_000 });
  for (let i = 0; i < 10; i++) s.offer(i, 1000, 0);
  assert.deepEqual(takeAll(s, 5.5), [0, 1, 2, 3, 4]);
  s.offer(10, 1000, 5.5);
  assert.deepEqual(takeAll(s, 10), [5, 6, 7, 8, 9]);
  assert.equal(s.nextDueMs, 11);
});

test('property: what comes out is what a stable sort by arrival says, whatever the wake-ups', () => {
  const options: PathOptions = {
    rateBitsPerSecond: 4_000_000,
    delayMs: 6,
    jitterMs: 4,
    loss: 0.1,
    duplicate: 0.2,
    reorder: { probability: 0.3, extraMs: 20 },
  };
  const steps = fc.array(
    fc.record({
      gapMs: fc.double({ min: 0, max: 4, noNaN: true }),
      length: fc.integer({ min: 28, max: 1500 }),
      take: fc.boolean(),
    }),
    { minLength: 1, maxLength: 400 },
  );
  fc.assert(
    fc.property(steps, fc.integer(), (list, seed) => {
      const s = schedule(options, seed);
      const oracle = new PathModel(options);
      const random = new Random(seed);
      const expected: { item: number; dueMs: number }[] = [];
      const out: number[] = [];
      let now = 0;
      list.forEach(({ gapMs, length, take }, item) => {
        now += gapMs;
        if (take) out.push(...takeAll(s, now));
        s.offer(item, length, now);
        const verdict = oracle.offer(now, length, random);
        if (verdict.lost) return;
        expected.push({ item, dueMs: verdict.arrivesMs });
        if (verdict.duplicateMs !== -1) expected.push({ item, dueMs: verdict.duplicateMs });
      });
      out.push(...takeAll(s, Infinity));
      expected.sort((one, other) => one.dueMs - other.dueMs);
      assert.deepEqual(
        out,
        expected.map(entry => entry.item),
      );
    }),
  );
});

test('a thousand under way at once keep their order', () => {
  const s = schedule({ delayMs: 100 });
  const sent = Array.from({ length: 1000 }, (_, i) => i);
  for (const i of sent.slice(0, 200)) s.offer(i, 100, 0);
  assert.equal(takeAll(s, 100).length, 200); // the ring's head is not at its beginning
  for (const i of sent) s.offer(i, 100, 100 + i / 100);
  assert.deepEqual(takeAll(s, 1000), sent);
});

test('going down loses what is under way, and nothing passes until it is up', () => {
  const s = schedule({ rateBitsPerSecond: 8_000_000, delayMs: 10 });
  for (let i = 0; i < 5; i++) s.offer(i, 1000, 0);
  assert.deepEqual(takeAll(s, 12), [0, 1]);
  s.setUp(false);
  assert.equal(s.nextDueMs, Infinity);
  assert.equal(s.counters.lostCut, 3);
  s.offer(5, 1000, 13);
  assert.deepEqual(takeAll(s, 100), []);
  assert.equal(s.model.counters.lostDown, 1);
  s.setUp(true);
  s.offer(6, 1000, 100);
  assert.deepEqual(takeAll(s, 111), [6]);
});

test('a corrupted datagram is lost, as the checksum of UDP would have it, and has used the rate', () => {
  const s = schedule({ rateBitsPerSecond: 8_000_000, corrupt: 1 });
  s.offer(1, 1000, 0);
  assert.equal(s.nextDueMs, Infinity);
  assert.equal(s.counters.lostCorrupt, 1);
  assert.equal(s.model.queuedBytes(0), 1000);
});

test('delivered packets and bytes are counted', () => {
  const s = schedule({ delayMs: 1 });
  s.offer(1, 1000, 0);
  s.offer(2, 500, 0);
  takeAll(s, 1);
  assert.equal(s.counters.deliveredPackets, 2);
  assert.equal(s.counters.deliveredBytes, 1500);
});
