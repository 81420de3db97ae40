// What is decided about the paths of a connection of the kernel's, in explicit time: silence, links, opening again,
// priorities.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Steering, type SteeringAction, type SubflowSample } from '../../src/api/steering.ts';

const quiet = (key: string): SubflowSample => ({
  ...{
    key,
    id: 1,
    established: true,
    unackedSegments: 0,
    lastAckMs: 1000,
    rttMs: 0.2,
    rttVarMs: 0.1,
    lost: false,
  },
});

/** Something is in flight, and the last acknowledgement came this long ago. */
const waiting = (key: string, lastAckMs: number): SubflowSample => ({
  ...{ ...quiet(key), unackedSegments: 1, lastAckMs },
});

function actions(steering: Steering): SteeringAction[] {
  const found: SteeringAction[] = [];
  for (let next = steering.nextAction(); next !== undefined; next = steering.nextAction()) found.push(next);
  return found;
}

/** Two paths with their subflows, at 1,000 ms. */
function twoPaths({ interactive = false, backup = false } = {}): Steering {
  const steering = new Steering({ interactive });
  steering.addPath({ key: 'a', backup: false }, 0, true);
  steering.addPath({ key: 'b', backup }, 0);
  steering.expire(0);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'b', backup }]);
  steering.sample([quiet('a'), quiet('b')], false, 1000);
  assert.equal(steering.nextDeadline(), Infinity, 'a connection at rest is not looked at');
  return steering;
}

for (const backup of [false, true]) {
  test(`a path that does not acknowledge for 50 ms and its round trip is taken away, the other a${backup ? ' backup' : 'ctive'}`, () => {
    const steering = twoPaths({ backup });
    steering.wrote(5000);
    let taken = -1;
    for (let now = 5010; taken < 0; now += 10) {
      assert.ok(now <= 5070, 'not taken away');
      assert.ok(steering.nextDeadline() <= now, 'nobody would look');
      steering.sample([waiting('a', now - 4000), quiet('b')], true, now);
      const [action] = actions(steering);
      if (action === undefined) continue;
      assert.deepEqual(action, { type: 'takeAway', key: 'a', why: 'silent' });
      taken = now;
    }
    // RFC 9293 §3.8.6.3, as Linux has it: an acknowledgement may wait for 40 ms.
    assert.ok(taken > 5050, `taken away ${taken - 5000} ms after it was written`);
    // The kernel may list it for a while, which is no reason to do it again. It is opened again after a second.
    steering.sample([waiting('a', 100), quiet('b')], false, taken + 10);
    assert.deepEqual(actions(steering), []);
    steering.sample([quiet('b')], false, taken + 10);
    assert.equal(steering.nextDeadline(), taken + 1000);
    steering.expire(taken + 1000);
    assert.deepEqual(actions(steering), [{ type: 'open', key: 'a', backup: false }]);
  });
}

test('what is acknowledged from time to time is not silent, however much is in flight', () => {
  const steering = twoPaths();
  steering.wrote(5000);
  for (let now = 5010; now < 9000; now += 10) steering.sample([waiting('a', 30), quiet('b')], true, now);
  assert.deepEqual(actions(steering), []);
});

test('a round trip that varies is waited for', () => {
  const steering = twoPaths();
  steering.wrote(5000);
  const slow = (now: number): SubflowSample => ({ ...waiting('a', now), rttMs: 100, rttVarMs: 50 });
  for (let now = 5010; now <= 5350; now += 10) steering.sample([slow(now), quiet('b')], true, now);
  assert.deepEqual(actions(steering), []);
  // 100 ms, four times their variation and 50 ms.
  steering.sample([slow(5360), quiet('b')], true, 5360);
  assert.equal(actions(steering)[0]?.type, 'takeAway');
});

test('no path is taken away while no other works', () => {
  const steering = twoPaths();
  steering.wrote(5000);
  for (let now = 5010; now < 9000; now += 10) {
    steering.sample([waiting('a', now - 4000), waiting('b', now - 4000)], true, now);
  }
  assert.deepEqual(actions(steering), []);
  for (let now = 9000; now < 12_000; now += 10) steering.sample([waiting('a', now - 4000)], true, now);
  assert.deepEqual(
    actions(steering).map(({ type }) => type),
    [],
  );
});

test('what was in flight before it was looked at last counts from then, not from an acknowledgement long ago', () => {
  const steering = twoPaths();
  steering.wrote(50_000);
  steering.sample([waiting('a', 49_000), quiet('b')], true, 50_010);
  assert.deepEqual(actions(steering), []);
});

test('a link that is lost takes its path away at once, and opens it when it is back', () => {
  const steering = twoPaths();
  steering.links(new Set(['b']), 2000);
  assert.deepEqual(actions(steering), [{ type: 'takeAway', key: 'a', why: 'no link' }]);
  assert.equal(steering.nextDeadline(), Infinity, 'a path without a link is not tried');
  steering.links(new Set(['a', 'b']), 60_000);
  steering.expire(60_000);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'a', backup: false }]);
});

test('the only link is lost: its subflow is left, the kernel keeps the connection; another path takes its turn', () => {
  const steering = new Steering({ interactive: false });
  steering.addPath({ key: 'a', backup: false }, 0, true);
  steering.addPath({ key: 'b', backup: false }, 0);
  steering.links(new Set(['a']), 0);
  steering.sample([quiet('a')], false, 0);
  steering.links(new Set(), 1000);
  assert.deepEqual(actions(steering), []);
  steering.links(new Set(['b']), 2000);
  steering.expire(2000);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'b', backup: false }]);
  steering.sample([quiet('a'), quiet('b')], false, 2100);
  assert.deepEqual(actions(steering), [{ type: 'takeAway', key: 'a', why: 'no link' }]);
});

test('a subflow that does not open is opened again, each time later, and at most each 30 s', () => {
  const steering = new Steering({ interactive: false });
  steering.addPath({ key: 'a', backup: false }, 0, true);
  steering.addPath({ key: 'b', backup: false }, 0);
  const times: number[] = [];
  for (let now = 0; times.length < 8; now = steering.nextDeadline()) {
    steering.expire(now);
    if (actions(steering).length > 0) times.push(now);
  }
  assert.deepEqual(times, [0, 1000, 3000, 7000, 15_000, 31_000, 61_000, 91_000]);
});

test('a subflow that somebody else closed is opened again', () => {
  const steering = twoPaths();
  steering.sample([quiet('a')], false, 20_000);
  assert.deepEqual(actions(steering), []);
  steering.expire(21_000);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'b', backup: false }]);
  steering.sample([quiet('a'), { ...quiet('b'), id: 2 }], false, 21_100);
  assert.equal(steering.nextDeadline(), Infinity);
});

test('a connection that is too young is not asked for again before something was heard', () => {
  const steering = new Steering({ interactive: false });
  steering.addPath({ key: 'a', backup: false }, 0, true);
  steering.addPath({ key: 'b', backup: true }, 0);
  steering.expire(0);
  assert.equal(actions(steering).length, 1);
  steering.postpone('b');
  assert.equal(steering.nextDeadline(), Infinity);
  steering.sample([quiet('a')], false, 700);
  steering.expire(700);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'b', backup: true }]);
});

test('a priority is told once, and kept when the subflow is opened again', () => {
  const steering = twoPaths();
  steering.setBackup('b', true);
  steering.setBackup('b', true);
  assert.deepEqual(actions(steering), [{ type: 'setBackup', key: 'b', backup: true }]);
  steering.sample([quiet('a')], false, 20_000);
  steering.expire(21_000);
  assert.deepEqual(actions(steering), [{ type: 'open', key: 'b', backup: true }]);
});

test('interactive: the path much slower than the fastest is used last, until it is as fast again', () => {
  const steering = twoPaths({ interactive: true });
  const at = (a: number, b: number): SubflowSample[] => [
    { ...quiet('a'), rttMs: a },
    { ...quiet('b'), rttMs: b },
  ];
  steering.sample(at(30, 79), true, 2000);
  assert.deepEqual(actions(steering), []);
  // More than twice as much, and 20 ms.
  steering.sample(at(30, 81), true, 2010);
  assert.deepEqual(actions(steering), [{ type: 'setBackup', key: 'b', backup: true }]);
  steering.sample(at(30, 70), true, 2020);
  assert.deepEqual(actions(steering), [], 'it does not change its mind for little');
  steering.sample(at(30, 60), true, 2030);
  assert.deepEqual(actions(steering), [{ type: 'setBackup', key: 'b', backup: false }]);
});

test('interactive: a path whose retransmission timer has fired is used last, but not the last one', () => {
  const steering = twoPaths({ interactive: true });
  const lost = (key: string): SubflowSample => ({ ...quiet(key), lost: true });
  steering.sample([lost('a'), quiet('b')], true, 2000);
  assert.deepEqual(actions(steering), [{ type: 'setBackup', key: 'a', backup: true }]);
  steering.sample([lost('a'), lost('b')], true, 2010);
  assert.deepEqual(actions(steering), []);
});
