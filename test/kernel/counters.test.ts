// Counters: the kernel's text into numbers, and what moved between two readings.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FALLBACK_COUNTERS,
  movedCounters,
  multipathCounters,
  parseCounters,
} from '../../src/kernel/index.ts';

const TEXT = `TcpExt: SyncookiesSent SyncookiesRecv
TcpExt: 3 4
MPTcpExt: MPCapableSYNRX MPCapableSYNTX MPCapableFallbackSYNACK
MPTcpExt: 10 20 30
`;

test('a group of /proc/net/netstat', () => {
  assert.deepEqual(
    [...parseCounters(TEXT, 'MPTcpExt')],
    [
      ['MPCapableSYNRX', 10],
      ['MPCapableSYNTX', 20],
      ['MPCapableFallbackSYNACK', 30],
    ],
  );
  assert.deepEqual([...parseCounters(TEXT, 'TcpExt')].length, 2);
  assert.deepEqual([...parseCounters(TEXT, 'IpExt')], []);
});

test('what moved, and how far', () => {
  const before = new Map([
    ['MPCapableSYNRX', 9],
    ['MPCapableSYNTX', 20],
  ]);
  assert.deepEqual(
    [...movedCounters(before, parseCounters(TEXT, 'MPTcpExt'))],
    [
      ['MPCapableSYNRX', 1],
      ['MPCapableFallbackSYNACK', 30],
    ],
  );
});

const counters = multipathCounters();
const skip: string | false = counters.size === 0 && 'this kernel has no counters of Multipath TCP';
test('every counter that means a fallback exists in this kernel', { skip }, () => {
  for (const name of Object.keys(FALLBACK_COUNTERS)) assert.ok(counters.has(name), name);
});
