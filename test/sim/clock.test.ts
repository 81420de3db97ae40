import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue } from '../../src/sim/clock.ts';

test('events come in order of time', () => {
  const queue = new EventQueue();
  const times = [5, 1, 9, 3.5, 3.25, 0, 7];
  for (const time of times) queue.schedule(time, 1, time * 4, 0);
  const seen: number[] = [];
  while (queue.next()) {
    seen.push(queue.nowMs);
    assert.equal(queue.current.subject, queue.nowMs * 4);
  }
  assert.deepEqual(
    seen,
    [...times].sort((a, b) => a - b),
  );
});

test('events of one instant come in the order in which they were scheduled, also past the first capacity', () => {
  const queue = new EventQueue();
  const count = 5000;
  for (let i = 0; i < count; i++) queue.schedule(i % 3, 1, i, 0);
  const last = [-1, -1, -1];
  let previousTime = 0;
  for (let i = 0; i < count; i++) {
    assert.ok(queue.next());
    assert.ok(queue.nowMs >= previousTime);
    previousTime = queue.nowMs;
    const { subject } = queue.current;
    assert.ok(subject > last[subject % 3], 'order within an instant');
    last[subject % 3] = subject;
  }
  assert.equal(queue.next(), false);
  assert.equal(queue.nextTimeMs, Number.POSITIVE_INFINITY);
});

test('an event scheduled while another is handled takes its place in the order', () => {
  const queue = new EventQueue();
  queue.schedule(10, 1, 1, 0);
  queue.schedule(20, 1, 2, 0);
  queue.next();
  queue.schedule(15, 1, 3, 7);
  queue.next();
  assert.deepEqual({ ...queue.current }, { timeMs: 15, kind: 1, subject: 3, detail: 7 });
  queue.next();
  assert.equal(queue.current.subject, 2);
});

test('a time already past means now, and time never goes back', () => {
  const queue = new EventQueue();
  queue.schedule(10, 1, 0, 0);
  queue.next();
  queue.schedule(3, 1, 0, 0);
  assert.equal(queue.nextTimeMs, 10);
  queue.next();
  assert.equal(queue.nowMs, 10);
});

test('an event without a time is refused', () => {
  const queue = new EventQueue();
  assert.throws(() => queue.schedule(Number.NaN, 1, 0, 0), RangeError);
});
