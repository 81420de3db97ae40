// Pacing: a window spread over its round trip. Segments have 1,000 bytes; the round trip is 100 ms.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Packet, type Peer, synReceived } from './peer.ts';

const RTT = 100;

function measured(pacing: boolean, windowSegments = 10): Peer {
  const config = { congestion: 'reno' as const, pacing, initialWindowSegments: windowSegments };
  const peer = synReceived({ mss: 1000, timestamps: false, windowScale: 4, config });
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  return peer;
}

function sends(packets: readonly Packet[], start: number): [number, number][] {
  return packets.filter(p => p.length > 0).map(p => [p.at - start, p.length]);
}

test('in slow start the window leaves in half a round trip, two segments at a time', () => {
  const peer = measured(true);
  const start = peer.now;
  // 10,000 bytes · 2 in 100 ms are 200 a millisecond: 2,000 every 10 ms.
  assert.deepEqual(sends([...peer.write(10_000), ...peer.wait(99)], start), [
    [0, 2000],
    [9, 2000],
    [19, 2000],
    [29, 2000],
    [39, 2000],
  ]);
});

test('without it the window leaves at once', () => {
  const peer = measured(false);
  assert.deepEqual(sends(peer.write(10_000), peer.now), [[0, 10_000]]);
});

test('after slow start it takes five sixths of the round trip', () => {
  const peer = measured(true);
  peer.tcb.congestion.ssthreshBytes = 10_000;
  const start = peer.now;
  const sent = sends([...peer.write(10_000), ...peer.wait(99)], start);
  // 10,000 · 1.2 in 100 ms: 2,000 bytes are 16.7 ms; the first began with a tick of credit.
  assert.ok(Math.abs((sent.at(-1)?.[0] ?? 0) - (4 * 2000) / 120 + 1) < 0.01);
});

test('a large window leaves in what a tick holds', () => {
  const peer = measured(true, 400);
  const start = peer.now;
  const sent = sends([...peer.write(400_000), ...peer.wait(99)], start);
  // 400,000 · 2 in 100 ms are 8,000 a millisecond.
  for (const [, length] of sent) assert.ok(length <= 8000);
  assert.equal(sent.length, 50);
});

test('repetitions are paced too, the first of a recovery leaves at once', () => {
  const peer = measured(true);
  peer.write(10_000);
  peer.wait(99);
  const holes: [number, number][] = [
    [2001, 4001],
    [5001, 10_001],
  ];
  const start = peer.now;
  const sent = sends([...peer.arrives({ ack: 1, sack: holes }), ...peer.wait(90)], start);
  assert.equal(sent[0][0], 0);
  assert.equal(
    sent.reduce((sum, [, length]) => sum + length, 0),
    3000,
  );
  assert.ok(sent[sent.length - 1][0] > 0, 'all at once');
});

test('a transfer is as fast as without', () => {
  for (const pacing of [false, true]) {
    const peer = measured(pacing);
    peer.write(1_000_000);
    const start = peer.now;
    let acknowledged = 1;
    // A path that delivers 100 bytes a millisecond, and tells every 10 ms.
    while (acknowledged < 1_000_001 && peer.now - start < 60_000) {
      peer.wait(10);
      acknowledged = Math.min(acknowledged + 1000, peer.ack);
      peer.arrives({ ack: acknowledged });
    }
    assert.ok(peer.now - start < 10_600, `${peer.now - start} ms, pacing ${pacing}`);
  }
});
