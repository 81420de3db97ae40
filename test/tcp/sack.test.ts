// What the receiver reports of data beyond a hole: RFC 2018 §4, RFC 2883, and what fits beside other options.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayingAcks, established } from './peer.ts';

const small = { mss: 1000 };

test('a hole: the acknowledgement stays, the block is reported at once', () => {
  const peer = established(small);
  const [ack] = peer.arrives({ seq: 101, length: 100 });
  assert.equal(ack.ack, 1);
  assert.deepEqual(ack.sack, [[101, 201]]);
});

test('the block that holds the newest segment comes first', () => {
  const peer = established(small);
  peer.arrives({ seq: 101, length: 100 });
  peer.arrives({ seq: 301, length: 100 });
  const third = peer.arrives({ seq: 501, length: 100 })[0];
  assert.deepEqual(third.sack[0], [501, 601]);
  // The one in the middle grows: it is reported whole and first.
  const grown = peer.arrives({ seq: 401, length: 50 })[0];
  assert.deepEqual(grown.sack[0], [301, 451]);
  assert.deepEqual([...grown.sack].sort(byStart), [
    [101, 201],
    [301, 451],
    [501, 601],
  ]);
});

test('behind the first block the ones reported first before it, newest first (RFC 2018 §4)', () => {
  const peer = established({ ...small, timestamps: false });
  for (const seq of [501, 101, 701, 301]) peer.arrives({ seq, length: 100 });
  // Reported first so far, newest first: 301, 701, 101, 501.
  assert.deepEqual(peer.log.at(-1)?.sack, [
    [301, 401],
    [701, 801],
    [101, 201],
    [501, 601],
  ]);
  // 201–301 joins two of them; what was reported before is not named twice.
  assert.deepEqual(peer.arrives({ seq: 201, length: 100 })[0].sack, [
    [101, 401],
    [701, 801],
    [501, 601],
  ]);
  // A fifth block displaces nothing that is still among the four newest.
  peer.arrives({ seq: 901, length: 100 });
  assert.deepEqual(peer.arrives({ seq: 1101, length: 100 })[0].sack, [
    [1101, 1201],
    [901, 1001],
    [101, 401],
    [701, 801],
  ]);
});

test('of blocks that came in one batch those never reported fill the room that is left', () => {
  const peer = established(small);
  for (const seq of [901, 701, 501, 301, 101]) peer.receive({ seq, length: 100 });
  assert.deepEqual(peer.sent()[0].sack, [
    [101, 201],
    [301, 401],
    [501, 601],
  ]);
  // All but the first of them are covered now; it was never named.
  assert.deepEqual(peer.arrives({ seq: 1, length: 700 })[0].sack.at(-1), [901, 1001]);
});

test('a retransmission that spans a hole and a block beyond it reports the part that was there', () => {
  // RFC 2883 §4.2.
  const peer = established(small);
  peer.arrives({ seq: 101, length: 100 });
  peer.arrives({ seq: 401, length: 100 });
  const [ack] = peer.arrives({ seq: 1, length: 250 });
  assert.deepEqual(
    [ack.ack, ack.sack],
    [
      251,
      [
        [101, 201],
        [401, 501],
      ],
    ],
  );
  // Beyond the hole: 351–451 was there from 401 on.
  assert.deepEqual(peer.arrives({ seq: 351, length: 100 })[0].sack, [
    [401, 451],
    [351, 501],
  ]);
  assert.equal(peer.counters.TCPDSACKOldSent, 1);
  assert.equal(peer.counters.TCPDSACKOfoSent, 1);
});

test('duplicates that continue each other are one report', () => {
  const peer = established(small);
  peer.arrives({ seq: 1, length: 900 });
  peer.receive({ seq: 1, length: 300 });
  peer.receive({ seq: 301, length: 300 });
  assert.deepEqual(peer.sent()[0].sack, [[1, 601]]);
});

test('three blocks beside timestamps, four without', () => {
  // 40 − 12 for timestamps − 4 = 24 bytes, 8 a block; 40 − 4 = 36.
  for (const [timestamps, room] of [
    [true, 3],
    [false, 4],
  ] as const) {
    const peer = established({ ...small, timestamps });
    for (let i = 1; i <= 6; i++) peer.arrives({ seq: i * 200, length: 100 });
    assert.equal(peer.log.at(-1)?.sack.length, room);
  }
});

test('what fills the hole is acknowledged with everything behind it', () => {
  const peer = established(small);
  peer.arrives({ seq: 101, length: 100 });
  peer.arrives({ seq: 301, length: 100 });
  const [ack] = peer.arrives({ seq: 1, length: 100 });
  assert.equal(ack.ack, 201);
  assert.deepEqual(ack.sack, [[301, 401]]);
  const [last] = peer.arrives({ seq: 201, length: 100 });
  assert.deepEqual([last.ack, last.sack], [401, []]);
});

test('a duplicate below the acknowledgement is reported once, as DSACK', () => {
  const peer = established(small);
  peer.arrives({ seq: 1, length: 500 });
  const [ack] = peer.arrives({ seq: 101, length: 200 });
  assert.deepEqual([ack.ack, ack.sack], [501, [[101, 301]]]);
  assert.deepEqual(peer.arrives({ seq: 501, length: 10 })[0].sack, []);
});

test('a duplicate beyond a hole is reported first, then the block that holds it', () => {
  // RFC 2883 §4.1.3.
  const peer = established(small);
  peer.arrives({ seq: 101, length: 300 });
  const [ack] = peer.arrives({ seq: 201, length: 100 });
  assert.deepEqual(ack.sack, [
    [201, 301],
    [101, 401],
  ]);
});

test('a segment partly below the acknowledgement reports the part that was there', () => {
  const peer = established(small);
  peer.arrives({ seq: 1, length: 300 });
  const [ack] = peer.arrives({ seq: 201, length: 200 });
  assert.deepEqual([ack.ack, ack.sack], [401, [[201, 301]]]);
});

test('nothing is reported to a peer that did not permit it', () => {
  const peer = established({ ...small, sack: false });
  assert.deepEqual(peer.arrives({ seq: 101, length: 100 })[0].sack, []);
  peer.arrives({ seq: 1, length: 100 });
  assert.deepEqual(peer.arrives({ seq: 1, length: 100 })[0].sack, []);
});

test('a duplicate from a peer without SACK costs one acknowledgement, not one with every segment', () => {
  const peer = delayingAcks({ ...small, sack: false });
  assert.equal(peer.arrives({ seq: 1, length: 100 }).length, 1);
  peer.arrives({ length: 10 });
  assert.deepEqual(
    peer.write(100).map(p => p.length),
    [100],
  );
});

test('nothing is reported with data: it follows on an acknowledgement of its own', () => {
  const peer = established(small);
  peer.arrives({ seq: 101, length: 100 });
  peer.receive({ seq: 301, length: 100 });
  const packets = peer.write(50);
  assert.deepEqual(
    packets.map(p => p.length),
    [50, 0],
  );
  assert.deepEqual(packets[1].sack[0], [301, 401]);
});

test('a peer that sends every second byte does not make the host remember without bound', () => {
  const peer = established({ ...small, config: { receiveBufferBytes: 1_000_000 } });
  for (let i = 0; i < 60_000; i++) {
    peer.receive({ seq: 2 + 2 * i, length: 1 });
    if (i % 1000 === 0) peer.sent();
  }
  assert.ok(peer.tcb.beyond.count <= 10_000, `${peer.tcb.beyond.count} ranges`);
  // Nothing is lost by it: what was not kept is not acknowledged.
  peer.sent();
  for (let seq = 1; seq < 100_000; seq += 1000) peer.arrives({ seq, length: 1000 });
  assert.equal(peer.read().length, peer.tcb.rcvNxt - 1);
});

function byStart(a: [number, number], b: [number, number]): number {
  return a[0] - b[0];
}
