import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/netmodel/index.ts';

function draw(random: Random, count: number): number[] {
  return Array.from({ length: count }, () => random.uint32());
}

test('the same seed gives the same numbers, another seed others', () => {
  assert.deepEqual(draw(new Random(7), 50), draw(new Random(7), 50));
  assert.deepEqual(draw(new Random('a'), 50), draw(new Random('a'), 50));
  const seen = new Set<number>();
  for (let seed = 0; seed < 1000; seed++) seen.add(new Random(seed).uint32());
  // A collision among 1,000 draws of 32 bits happens once in 8,600 tries; several never do.
  assert.ok(seen.size >= 998, `${seen.size} different first numbers`);
});

test('a fork depends on seed and label, not on what was drawn', () => {
  const fresh = new Random(7);
  const used = new Random(7);
  draw(used, 1000);
  assert.deepEqual(draw(fresh.fork('wifi'), 20), draw(used.fork('wifi'), 20));
  assert.notDeepEqual(draw(fresh.fork('wifi'), 20), draw(fresh.fork('lte'), 20));
  assert.notDeepEqual(draw(fresh.fork('wifi'), 20), draw(new Random(8).fork('wifi'), 20));
  assert.notDeepEqual(draw(fresh.fork(1), 20), draw(fresh.fork(2), 20));
});

test('a fork draws without touching its parent', () => {
  const one = new Random(7);
  const other = new Random(7);
  draw(one.fork('x'), 10);
  assert.deepEqual(draw(one, 10), draw(other, 10));
});

test('numbers are uniform: every bit half the time, every sixteenth of the range a sixteenth', () => {
  const random = new Random('uniform');
  const count = 160_000;
  const ones = new Array<number>(32).fill(0);
  const cells = new Array<number>(16).fill(0);
  for (let i = 0; i < count; i++) {
    const word = random.uint32();
    for (let bit = 0; bit < 32; bit++) ones[bit] += (word >>> bit) & 1;
    cells[random.below(16)] += 1;
  }
  // Six standard deviations: 6·sqrt(160000/4) = 1200; 6·sqrt(160000·15/256) = 581.
  for (const bitCount of ones) assert.ok(Math.abs(bitCount - count / 2) < 1200, `${bitCount}`);
  for (const cellCount of cells) assert.ok(Math.abs(cellCount - count / 16) < 581, `${cellCount}`);
});

test('next stays in [0, 1) and chance follows its probability', () => {
  const random = new Random(3);
  let hits = 0;
  for (let i = 0; i < 100_000; i++) {
    const value = random.next();
    assert.ok(value >= 0 && value < 1);
    if (random.chance(0.2)) hits += 1;
  }
  // Six standard deviations: 6·sqrt(100000·0.16) = 759.
  assert.ok(Math.abs(hits - 20_000) < 759, `${hits}`);
  assert.equal(random.chance(0), false);
  assert.equal(random.chance(1), true);
});

test('fill writes every byte, whatever the length', () => {
  for (const length of [0, 1, 3, 4, 5, 64]) {
    const union = new Uint8Array(length);
    const random = new Random(`fill ${length}`);
    for (let i = 0; i < 20; i++) {
      const bytes = new Uint8Array(length);
      random.fill(bytes);
      for (let k = 0; k < length; k++) union[k] |= bytes[k];
    }
    assert.ok(union.every(byte => byte !== 0));
  }
});
