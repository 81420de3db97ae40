import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Refusals } from '../../src/api/refusals.ts';

type Subflow = ReturnType<Parameters<Refusals['note']>[1]['multipath']>['subflows'][number];

function connection(
  unacknowledgedBytes: number,
  ...subflows: [port: number, state: Subflow['state'], received: number][]
) {
  return {
    unacknowledgedBytes,
    multipath: () => ({
      ...{ active: true, fallback: null, token: 1 },
      subflows: subflows.map(
        ([port, state, bytesReceived]) =>
          ({ state, bytesReceived, local: { address: '192.0.2.1', port } }) as Subflow,
      ),
    }),
  };
}

const REPEATED = [0, 400, 800, 1200, 1600];

test('refusals of every subflow, again and again, while bytes wait: the peer is gone', () => {
  const refusals = new Refusals();
  const stuck = connection(5000, [1, 'active', 100], [2, 'suspect', 200]);
  const verdicts = REPEATED.map(now => [refusals.note(1, stuck, now), refusals.note(2, stuck, now)]);
  assert.deepEqual(verdicts.flat().indexOf(true), 6, 'not before a second has passed');
});

test('one subflow that is not refused keeps the connection', () => {
  const refusals = new Refusals();
  const stuck = connection(5000, [1, 'active', 100], [2, 'active', 200]);
  for (const now of REPEATED) assert.equal(refusals.note(1, stuck, now), false);
});

test('a burst in less than a second is not enough', () => {
  const refusals = new Refusals();
  const stuck = connection(5000, [1, 'active', 100]);
  for (let now = 0; now < 999; now += 10) assert.equal(refusals.note(1, stuck, now), false);
});

test('whatever arrives meanwhile proves that the peer is there', () => {
  const refusals = new Refusals();
  for (const now of REPEATED) {
    assert.equal(refusals.note(1, connection(5000, [1, 'active', 100 + now]), now), false);
  }
});

test('an idle connection is not ended by messages anyone can send, one whose paths are silent is', () => {
  const idle = new Refusals();
  for (const now of REPEATED) assert.equal(idle.note(1, connection(0, [1, 'active', 100]), now), false);
  const silent = new Refusals();
  const verdicts = REPEATED.map(now => silent.note(1, connection(0, [1, 'suspect', 100]), now));
  assert.deepEqual(verdicts, [false, false, false, true, true]);
});
