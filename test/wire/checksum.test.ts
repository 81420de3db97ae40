/**
 * The Internet checksum against the sum of RFC 1071 taken one byte pair at a time.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { appendSum, foldChecksum, onesComplementSum } from '../../src/wire/index.ts';
import { bytes, naiveSum } from './assemble.ts';

/** In one's complement 0 and 0xffff are the same number; which of them a sum gives is of no account. */
function same(actual: number, expected: number): void {
  assert.ok(actual >= 0 && actual <= 0xffff && Number.isInteger(actual));
  assert.equal(actual % 0xffff, expected % 0xffff);
}

describe('the sum', () => {
  it('is that of the example in RFC 1071 §3', () => {
    const data = bytes('00 01 f2 03 f4 f5 f6 f7');
    assert.equal(onesComplementSum(data, 0, 8), 0xddf2);
    assert.equal(foldChecksum(0xddf2), 0x220d);
  });

  it('is right for every alignment and every short length', () => {
    const data = Uint8Array.from({ length: 400 }, (_, i) => (i * 197 + 31) & 255);
    for (let offset = 0; offset < 9; offset++) {
      for (let length = 0; length < 300; length++) {
        same(onesComplementSum(data, offset, length), naiveSum([data.subarray(offset, offset + length)]));
      }
    }
  });

  it('is right in any part of any buffer', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 0, maxLength: 3000, size: 'max' }),
        fc.nat(9),
        fc.nat(3000),
        fc.nat(0xffff),
        (data, bufferOffset, at, initial) => {
          // A view that starts anywhere in a buffer whose size is any number.
          const buffer = new Uint8Array(bufferOffset + data.length).fill(0xff);
          buffer.set(data, bufferOffset);
          const view = new Uint8Array(buffer.buffer, bufferOffset, data.length);
          const offset = Math.min(at, data.length);
          const expected = naiveSum([data.subarray(offset)]) + initial;
          same(onesComplementSum(view, offset, data.length - offset, initial), expected);
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('is right beyond 64 KB, for the largest words', () => {
    for (const length of [65_534, 65_535, 65_536, 65_537, 1_000_001, 8 * 1024 * 1024]) {
      const data = new Uint8Array(length + 1).fill(0xff);
      data[length] = 0x12;
      for (const offset of [0, 1]) {
        same(onesComplementSum(data, offset, length), naiveSum([data.subarray(offset, offset + length)]));
      }
    }
  });

  it('follows the bytes when they change, whichever buffers came between', () => {
    const buffers = Array.from({ length: 20 }, () => new Uint8Array(512).fill(1));
    for (let round = 1; round < 4; round++) {
      for (const buffer of buffers) {
        buffer[300] = round;
        same(onesComplementSum(buffer, 0, 512), naiveSum([buffer]));
      }
    }
  });
});

describe('chained sums', () => {
  it('add up wherever a range is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600, size: 'max' }), fc.nat(600), (data, where) => {
        const cut = Math.min(where, data.length);
        const left = onesComplementSum(data, 0, cut);
        const right = onesComplementSum(data, cut, data.length - cut);
        same(appendSum(left, cut, right), naiveSum([data]));
      }),
    );
  });

  it('go on from an initial sum of even length', () => {
    const data = bytes('01 02 03 04 05 06 07');
    same(onesComplementSum(data, 4, 3, onesComplementSum(data, 0, 4)), naiveSum([data]));
  });
});

describe('the checksum field', () => {
  it('makes the whole sum to zero', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 300, size: 'max' }), data => {
        data[0] = 0;
        data[1] = 0;
        const checksum = foldChecksum(onesComplementSum(data, 0, data.length));
        data[0] = checksum >> 8;
        data[1] = checksum;
        assert.equal(foldChecksum(onesComplementSum(data, 0, data.length)), 0);
      }),
    );
  });

  it('folds sums of any size', () => {
    assert.equal(foldChecksum(0), 0xffff);
    assert.equal(foldChecksum(0x1_0000), 0xfffe);
    assert.equal(foldChecksum(0xffff_ffff), 0);
    assert.equal(foldChecksum(2 ** 40 + 5), 0xffff - 0x105);
  });
});
