// What a subflow remembers of mappings, against plain models: sent (SendMap), received (ReceiveMap), unmapped
// bytes (Staging), and data sequence numbers on the wire (DataSequence).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DataSequence } from '../../src/mptcp/data-sequence.ts';
import { MapResult, ReceiveMap } from '../../src/mptcp/receive-map.ts';
import { SendMap } from '../../src/mptcp/send-map.ts';
import { Staging } from '../../src/mptcp/staging.ts';

interface Entry {
  ssn: number;
  dsn: number;
  length: number;
  kept: boolean;
}

test('SendMap: append, release and the questions about dsn, against a list', () => {
  const operation = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ op: fc.constant('append' as const), length: fc.integer({ min: 1, max: 50 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('reinject' as const),
        dsn: fc.integer({ min: 1, max: 600 }),
        length: fc.integer({ min: 1, max: 50 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constant('release' as const),
        part: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constant('keep' as const), below: fc.integer({ min: 1, max: 600 }) }),
    },
    { weight: 1, arbitrary: fc.constant({ op: 'clear' as const }) },
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 120 }), operations => {
      const map = new SendMap();
      let model: Entry[] = [];
      let ssn = 1;
      let dsn = 1;
      for (const o of operations) {
        if (o.op === 'append' || o.op === 'reinject') {
          const at = o.op === 'append' ? dsn : o.dsn;
          map.append(ssn, at, o.length, false, -1);
          model.push({ ssn, dsn: at, length: o.length, kept: false });
          ssn += o.length;
          if (o.op === 'append') dsn += o.length;
        } else if (o.op === 'release' && model.length > 0) {
          const low = model[0].ssn;
          const to = Math.floor(low + (ssn - low) * o.part);
          map.release(to);
          model = model.filter(e => e.ssn + e.length > to);
        } else if (o.op === 'keep') {
          for (let i = 0; i < map.count; i++) {
            if (map.dsn(i) < o.below) map.keep(i, new Uint8Array(map.length(i)));
          }
          for (const e of model) if (e.dsn < o.below) e.kept = true;
        } else if (o.op === 'clear') {
          map.clear();
          model = [];
        }
        assert.equal(map.count, model.length);
        const lowest = Math.min(Infinity, ...model.filter(e => !e.kept).map(e => e.dsn));
        assert.equal(map.lowestDsn(), lowest);
        for (const [start, end] of [
          [1, 2],
          [30, 90],
          [dsn - 1, dsn],
          [dsn, dsn + 10],
          [100, 101],
        ]) {
          const hit = model.some(e => e.dsn < end && e.dsn + e.length > start);
          assert.equal(map.overlaps(start, end), hit);
          const starts = model.map(e => e.dsn).filter(d => d >= start && d < end);
          assert.equal(map.nextOverlap(start, end), Math.min(end, ...starts));
        }
        for (const at of [1, ssn - 1, ssn, Math.floor(ssn / 2)]) {
          const i = model.findIndex(e => e.ssn <= at && e.ssn + e.length > at);
          assert.equal(map.find(at), i);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('ReceiveMap: the first mapping of a byte counts; the same again is known, another one a conflict', () => {
  const add = fc.record({
    ssn: fc.integer({ min: 1, max: 200 }),
    length: fc.integer({ min: 1, max: 40 }),
    shift: fc.constantFrom(0, 0, 0, 1000),
  });
  fc.assert(
    fc.property(fc.array(add, { maxLength: 60 }), fc.integer({ min: 1, max: 200 }), (adds, upTo) => {
      const map = new ReceiveMap(1000);
      const model = new Map<number, number>();
      for (const { ssn, length, shift } of adds) {
        const bytes = Array.from({ length }, (_, i) => ssn + i);
        const known = bytes.filter(b => model.has(b));
        const result = map.add(ssn, ssn + shift, length, -1);
        if (known.length === 0) {
          assert.equal(result, MapResult.NEW);
          for (const b of bytes) model.set(b, b + shift);
        } else if (known.some(b => model.get(b) !== b + shift)) {
          assert.equal(result, MapResult.CONFLICT);
        } else {
          assert.notEqual(result, MapResult.NEW);
        }
        for (let b = 1; b < 240; b++) {
          const i = map.find(b);
          assert.equal(i >= 0, model.has(b));
          if (i >= 0) assert.equal(map.dsn(i) + (b - map.ssn(i)), model.get(b));
        }
      }
      const ends = Array.from({ length: map.count }, (_, i) => map.end(i));
      map.release(upTo);
      assert.equal(map.count, ends.filter(e => e > upTo).length);
      for (let i = 1; i < map.count; i++) assert.ok(map.ssn(i) >= map.end(i - 1), 'disjoint and in order');
    }),
    { numRuns: 300 },
  );
});

test('ReceiveMap: marks of what was placed move with their mappings; no more than the limit is kept', () => {
  const map = new ReceiveMap(40);
  for (let i = 0; i < 40; i++) assert.equal(map.add(1000 - i * 10, 5000 - i * 10, 10, 7), MapResult.NEW);
  assert.equal(map.add(1, 1, 10, 7), MapResult.FULL);
  map.markPlaced(39);
  map.markPlaced(20);
  const marked = [map.ssn(39), map.ssn(20)];
  map.release(map.end(10));
  const now = Array.from({ length: map.count }, (_, i) => i)
    .filter(i => map.isPlaced(i))
    .map(i => map.ssn(i));
  assert.deepEqual(now.sort(), marked.sort());
});

test('Staging: any order, growth and removal keep every byte, and the limit holds', () => {
  const step = fc.record({
    remove: fc.boolean(),
    at: fc.integer({ min: 1, max: 60_000 }),
    length: fc.integer({ min: 1, max: 9000 }),
    value: fc.integer({ min: 0, max: 255 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const limit = 40_000;
      const staging = new Staging(limit);
      const model = new Map<number, number>();
      for (const { remove, at, length, value } of steps) {
        if (remove) {
          staging.remove(at, at + length);
          for (let i = at; i < at + length; i++) model.delete(i);
          continue;
        }
        const all = [...model.keys(), at, at + length - 1];
        const fits =
          all.reduce((a, b) => Math.max(a, b), 0) - all.reduce((a, b) => Math.min(a, b), Infinity) < limit;
        const bytes = Uint8Array.from({ length }, (_, i) => (value + i) & 0xff);
        assert.equal(staging.insert(at, bytes, 0, length), fits);
        if (fits) for (let i = 0; i < length; i++) model.set(at + i, bytes[i]);
      }
      let held = 0;
      for (let r = 0; r < staging.ranges.count; r++) {
        const start = staging.ranges.start(r);
        const length = staging.ranges.end(r) - start;
        const out = new Uint8Array(length);
        staging.copy(start, length, out, 0);
        for (let i = 0; i < length; i++) assert.equal(out[i], model.get(start + i));
        held += length;
      }
      assert.equal(held, model.size);
    }),
    { numRuns: 60 },
  );
});

const u32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 1, 0x8000_0000, 0xffff_ffff),
);

test('D7a: offsets cross the wire in 64 bits and come back, whatever the initial number', () => {
  fc.assert(
    fc.property(u32, u32, fc.integer({ min: 0, max: 2 ** 50 }), (hi, lo, dsn) => {
      const sequence = new DataSequence();
      sequence.start({ idsnHi: hi, idsnLo: lo });
      const wire = BigInt.asUintN(64, (BigInt(hi) << 32n) + BigInt(lo) + BigInt(dsn));
      assert.equal(sequence.wireHi(dsn), Number(wire >> 32n));
      assert.equal(sequence.wireLo(dsn), Number(wire & 0xffff_ffffn));
      assert.equal(sequence.from64(sequence.wireHi(dsn), sequence.wireLo(dsn)), dsn);
    }),
  );
});

test('D7e, D7f: the 32-bit form is the number nearest to the one expected, forwards and backwards over a wrap', () => {
  const near = fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(u32, u32, fc.integer({ min: 2 ** 31, max: 2 ** 50 }), near, (hi, lo, expected, away) => {
      const sequence = new DataSequence();
      sequence.start({ idsnHi: hi, idsnLo: lo });
      const dsn = expected + away;
      assert.equal(sequence.from32(sequence.wireLo(dsn), expected), dsn);
    }),
  );
});

test('a 64-bit number out of all proportion is not a number', () => {
  const sequence = new DataSequence();
  sequence.start({ idsnHi: 5, idsnLo: 0xffff_fff0 });
  assert.ok(Number.isNaN(sequence.from64(0x4000_0005, 0)));
  assert.ok(Number.isNaN(sequence.from64(0xc000_0005, 0)));
  assert.equal(sequence.from64(5, 0xffff_fff0 - 3), -3);
  assert.equal(sequence.from64(6, 4), 20);
});
