// What the demo makes of its evidence.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networks } from '../../src/cli/demo/networks.ts';
import { capacityBits, resultLines, resultOf } from '../../src/cli/demo/result.ts';

const span = { networks, firstMs: 1000, lastMs: 11_000 };
const path = { name: 'wifi', state: 'active', rttMs: 31, bytes: 70_000_000, reinjectedBytes: 0 };

test('the networks are those of the task: rates, delays, one bandwidth-delay product of queue', () => {
  assert.deepEqual(
    networks.map(({ name, forward: { rateBitsPerSecond, delayMs, queueBytes } }) => [
      name,
      rateBitsPerSecond,
      delayMs,
      queueBytes,
    ]),
    [
      ['wifi', 50e6, 15, 187_500],
      ['lte', 20e6, 30, 150_000],
    ],
  );
});

test('without an outage the capacity is the sum of the rates', () => {
  assert.equal(capacityBits({ ...span, outages: [] }), 700e6);
});

test('an outage takes away what its network could have carried, within the time that counts', () => {
  assert.equal(capacityBits({ ...span, outages: [{ path: 0, fromMs: 4000, untilMs: 6000 }] }), 600e6);
  assert.equal(capacityBits({ ...span, outages: [{ path: 1, fromMs: 4000, untilMs: 6000 }] }), 660e6);
  assert.equal(capacityBits({ ...span, outages: [{ path: 0, fromMs: 0, untilMs: 2000 }] }), 650e6);
  assert.equal(capacityBits({ ...span, outages: [{ path: 0, fromMs: 9000, untilMs: Infinity }] }), 600e6);
  assert.equal(capacityBits({ ...span, outages: [{ path: 0, fromMs: 12_000, untilMs: Infinity }] }), 700e6);
});

test('intact means the same bytes and the same hash at both ends', () => {
  const arrival = {
    type: 'received',
    bytes: 75_000_000,
    sha256: 'aa',
    firstMs: 1000,
    lastMs: 11_000,
    longestStallMs: 41,
  } as const;
  const departure = { type: 'sent', bytes: 75_000_000, sha256: 'aa', paths: [path], fallback: null } as const;
  const result = resultOf({ arrival, departure: { ...departure, paths: [path] }, networks, outages: [] });
  assert.deepEqual(result, {
    intact: true,
    sha256: 'aa',
    bytes: 75_000_000,
    seconds: 10,
    longestStallMs: 41,
    goodputMbps: 60,
    capacityMbps: 70,
    paths: [{ name: 'wifi', bytes: 70_000_000, rttMs: 31, reinjectedBytes: 0 }],
    fallback: null,
  });
  const other = { ...departure, paths: [path], sha256: 'ab' };
  assert.equal(resultOf({ arrival, departure: other, networks, outages: [] }).intact, false);
  assert.match(resultLines(result).join('\n'), /Intact: 75\.0 MB/);
  assert.match(resultLines({ ...result, intact: false }).join('\n'), /NOT INTACT/);
  const fallback = { cause: 'option stripped', seenBy: 'local' };
  assert.match(resultLines({ ...result, fallback }).join('\n'), /plain TCP: option stripped/);
});
