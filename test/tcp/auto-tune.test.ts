// Buffers that grow as they are used: the window a receiver offers follows what its application reads in a round
// trip, what a sender may buffer follows its congestion window. The round trip is 100 ms.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayingAcks, type Peer, type PeerOptions, synReceived } from './peer.ts';

const RTT = 100;
const SCALE = 10; // 4 MiB are 4,096 · 2¹⁰.
const START = 128 * 1024;
const tuned: PeerOptions = {
  windowScale: 7,
  mss: 1000,
  config: { receiveBufferInitialBytes: START, sendBufferInitialBytes: 64 * 1024, congestion: 'reno' },
};

/** Established; the handshake has told the round trip. */
function measured(options: PeerOptions = tuned): Peer {
  const peer = synReceived(options);
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  return peer;
}

/** One round trip in which `bytes` arrive; the application reads them if it reads. Returns the window then. */
function round(peer: Peer, bytes: number, reads: boolean): number {
  for (let left = bytes; left > 0; left -= 1000) peer.receive({ length: Math.min(left, 1000) });
  if (reads) peer.read();
  peer.sent();
  peer.wait(RTT);
  return (peer.log.at(-1)?.window ?? 0) * 2 ** SCALE;
}

test('the first window is the initial one, the scale that of the largest', () => {
  const peer = measured();
  assert.equal(peer.log[0].windowScale, SCALE);
  assert.equal(peer.arrives({ length: 1000 })[0].window * 2 ** SCALE, START - 1024);
});

test('the window keeps ahead of a sender that doubles its own every round trip', () => {
  for (const timestamps of [true, false]) {
    const peer = measured({ ...tuned, timestamps });
    for (let bytes = 10_000; bytes < 1_500_000; bytes *= 2) {
      const window = round(peer, bytes, true);
      assert.ok(window >= Math.min(2 * bytes, 4_000_000), `${window} bytes after a round of ${bytes}`);
      assert.ok(window <= 4 * 1024 * 1024);
    }
  }
});

test('a steady sender does not make it grow', () => {
  const peer = measured();
  for (let i = 0; i < 3; i++) round(peer, 50_000, true);
  const window = round(peer, 50_000, true);
  for (let i = 0; i < 20; i++) assert.equal(round(peer, 50_000, true), window);
});

test('what nobody reads does not make it grow', () => {
  const peer = measured();
  let total = 0;
  while (total < 200_000) {
    const space = peer.tcb.rcvEdge - peer.tcb.rcvNxt;
    if (space < 1000) break;
    round(peer, Math.min(10_000, space), false);
    total += 10_000;
  }
  assert.ok(peer.connection.readableBytes <= START, `${peer.connection.readableBytes} bytes are held`);
});

test('who only receives measures the round trip by the timestamps that come back', () => {
  const peer = delayingAcks({ ...tuned, mss: 1012 });
  // The host's handshake took no time at all; now the path has 80 ms.
  for (let i = 0; i < 40; i++) {
    const echo = peer.tsEcr;
    peer.wait(80);
    peer.arrives({ length: 1000, tsEcr: echo });
    peer.arrives({ length: 1000, tsEcr: echo });
    peer.read();
  }
  assert.ok(Math.abs(peer.tcb.receiveRttMs - 80) < 5, `${peer.tcb.receiveRttMs} ms`);
});

test('a sender buffers two congestion windows, at first the initial size, never more than the limit', () => {
  const config = { ...tuned.config, sendBufferBytes: 300_000, congestion: 'cubic' as const };
  const peer = measured({ ...tuned, config });
  const bytes = new Uint8Array(1_000_000);
  const fill = (): number => peer.connection.write(bytes, 0, bytes.length, peer.now);
  assert.equal(fill(), 64 * 1024);
  let held = 64 * 1024;
  for (let i = 0; i < 12; i++) {
    peer.sent();
    peer.wait(RTT);
    const acknowledged = peer.ack - 1 - (peer.tcb.sndUna - 1);
    peer.arrives();
    held += fill() - acknowledged;
    assert.equal(held, peer.connection.unacknowledgedBytes);
    const wanted = Math.max(64 * 1024, 2 * peer.tcb.congestion.cwndBytes);
    assert.equal(held, Math.min(300_000, wanted));
  }
  assert.equal(held, 300_000);
});
