// Which path the next bytes take (RFC 8684 §3.3.8 for backups), on paths made by hand.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LeastQueued } from '../../src/mptcp/scheduler/least-queued.ts';
import { LowestRtt } from '../../src/mptcp/scheduler/lowest-rtt.ts';
import type { Path } from '../../src/mptcp/scheduler/scheduler.ts';

function path(id: number, fields: Partial<Path> = {}): Path {
  return {
    id,
    srttMs: 10,
    rttVarMs: 1,
    cwndBytes: 14_000,
    inFlightBytes: 0,
    freeBytes: 14_000,
    backup: false,
    cost: 0,
    usable: true,
    ...fields,
  };
}

const scheduler = new LowestRtt();

test('the smallest round-trip time among paths with room', () => {
  const paths = [path(0, { srttMs: 30 }), path(1, { srttMs: 10, freeBytes: 0 }), path(2, { srttMs: 20 })];
  assert.equal(scheduler.pick(paths)?.id, 2);
});

test('P1a: a backup only when no regular path is usable, even when the regular ones are full', () => {
  const backup = path(1, { srttMs: 1, backup: true });
  assert.equal(scheduler.pick([path(0, { freeBytes: 0 }), backup]), null);
  assert.equal(scheduler.pick([backup, path(0, { freeBytes: 0 })]), null);
  assert.equal(scheduler.pick([backup, path(0)])?.id, 0);
  assert.equal(scheduler.pick([path(0, { usable: false }), backup])?.id, 1);
});

test('of two backups the faster one, when nothing else is usable', () => {
  const paths = [
    path(0, { usable: false }),
    path(1, { backup: true, srttMs: 50 }),
    path(2, { backup: true, srttMs: 40 }),
  ];
  assert.equal(scheduler.pick(paths)?.id, 2);
});

test('nothing usable, or no path at all: none', () => {
  assert.equal(scheduler.pick([]), null);
  assert.equal(scheduler.pick([path(0, { usable: false }), path(1, { freeBytes: 0 })]), null);
});

test('as Linux: the path whose queue is empty soonest at its rate, and the first of those without one', () => {
  const linux = new LeastQueued();
  assert.equal(linux.pick([path(0, { srttMs: 90 }), path(1)])?.id, 0);
  // 7,000 of 14,000 bytes in flight take half a round trip: 45 ms against 5, then 45 against 50.
  const slow = path(0, { srttMs: 90, inFlightBytes: 7_000 });
  assert.equal(linux.pick([slow, path(1, { inFlightBytes: 7_000 })])?.id, 1);
  assert.equal(linux.pick([slow, path(1, { srttMs: 100, inFlightBytes: 7_000 })])?.id, 0);
  assert.equal(linux.pick([slow, path(1, { freeBytes: 0 })])?.id, 0);
  assert.equal(linux.pick([path(0, { backup: true }), slow])?.id, 0);
  assert.equal(linux.pick([path(0, { backup: true }), path(1, { freeBytes: 0 })]), null);
  assert.equal(linux.pick([path(0, { usable: false }), path(1, { backup: true })])?.id, 1);
  assert.equal(linux.pick([]), null);
});

test('whatever the paths: the choice is usable, has room, and no better one was passed over', () => {
  const some = fc.record({
    srttMs: fc.integer({ min: 1, max: 100 }),
    freeBytes: fc.constantFrom(0, 1, 20_000),
    backup: fc.boolean(),
    usable: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(some, { maxLength: 8 }), list => {
      const paths = list.map((fields, id) => path(id, fields));
      const regular = paths.filter(p => p.usable && !p.backup);
      const allowed = (regular.length > 0 ? regular : paths.filter(p => p.usable)).filter(
        p => p.freeBytes > 0,
      );
      const chosen = scheduler.pick(paths);
      if (allowed.length === 0) assert.equal(chosen, null);
      else assert.equal(chosen?.srttMs, Math.min(...allowed.map(p => p.srttMs)));
      if (chosen !== null) assert.ok(allowed.includes(chosen));
    }),
  );
});
