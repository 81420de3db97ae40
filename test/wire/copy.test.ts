/**
 * Copying against `set`: every alignment of source and target, and nothing written beside the range.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { copyBytes } from '../../src/wire/index.ts';

function numbered(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 255);
}

describe('copyBytes', () => {
  it('copies exactly the range, for every alignment', () => {
    const from = numbered(200);
    for (let a = 0; a < 5; a++) {
      for (let b = 0; b < 5; b++) {
        for (let length = 0; length < 150; length++) {
          const to = new Uint8Array(200).fill(0xee);
          const expected = to.slice();
          expected.set(from.subarray(a, a + length), b);
          copyBytes(from, a, to, b, length);
          assert.deepEqual(to, expected);
        }
      }
    }
  });

  it('copies between any two parts of any two buffers', () => {
    const place = fc.record({ before: fc.nat(9), offset: fc.nat(40), after: fc.nat(9) });
    const lengths = fc.oneof(
      fc.nat(200),
      fc.integer({ min: 1400, max: 1500 }),
      fc.integer({ min: 2000, max: 20_000 }),
    );
    fc.assert(
      fc.property(place, place, lengths, (source, target, length) => {
        const all = numbered(source.before + source.offset + length + source.after);
        const from = all.subarray(source.before);
        const whole = new Uint8Array(target.before + target.offset + length + target.after).fill(0xee);
        const expected = whole.slice();
        expected.set(from.subarray(source.offset, source.offset + length), target.before + target.offset);
        copyBytes(from, source.offset, whole.subarray(target.before), target.offset, length);
        assert.deepEqual(whole, expected);
      }),
      { numRuns: 500 },
    );
  });

  it('copies what the source holds now, from one place again and again and from places in turn', () => {
    const buffers = [new Uint8Array(3000), new Uint8Array(3000)];
    const to = new Uint8Array(2000);
    const places = [100, 100, 100, 104, 104, 100, 100].flatMap(offset =>
      [1400, 1400, 1396].map(n => [offset, n]),
    );
    for (const [turn, [offset, length]] of [...places, ...places].entries()) {
      const from = buffers[turn < places.length ? 0 : turn % 2];
      from.fill(turn + 1);
      copyBytes(from, offset, to, 8, length);
      assert.deepEqual(to.subarray(8, 8 + length), new Uint8Array(length).fill(turn + 1));
    }
  });

  it('moves overlapping bytes within one array', () => {
    const data = numbered(500);
    const expected = data.slice();
    expected.copyWithin(10, 0, 400);
    copyBytes(data, 0, data, 10, 400);
    assert.deepEqual(data, expected);
  });

  it('copies a whole array to an offset', () => {
    const from = numbered(100);
    const to = new Uint8Array(120);
    copyBytes(from, 0, to, 20, 100);
    assert.deepEqual(to.slice(20), from);
    assert.deepEqual(to.slice(0, 20), new Uint8Array(20));
  });
});
