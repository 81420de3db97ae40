// Keepalive (RFC 9293 §3.8.4): off unless asked for, after the idle time, with an old number, until it gives up.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, established, Peer, type PeerOptions, timeWait } from './peer.ts';

const config = { keepAliveIntervalMs: 1000, keepAliveProbes: 3 };

function kept(options: PeerOptions = {}): Peer {
  const peer = established({ config, ...options });
  peer.connection.setKeepAlive(true, 10_000, peer.now);
  peer.sent();
  return peer;
}

test('off: an idle connection has no deadline', () => {
  assert.equal(established().host.nextDeadline(), Infinity);
});

test('after the idle time a probe with the number before the next', () => {
  const peer = kept();
  peer.write(100);
  peer.arrives();
  const start = peer.now;
  const [probe] = peer.wait(10_000);
  assert.deepEqual(brief([probe]), [['A', 100, 1, 0]]);
  assert.equal(probe.at - start, 10_000);
});

test('times that are rounded do not make the deadline come for ever', () => {
  const lastMs = 15_533.341761080392;
  assert.ok(lastMs + 20_000 - lastMs < 20_000);
  const peer = established({ config });
  peer.wait(lastMs - peer.now);
  peer.now = lastMs;
  peer.arrives({ length: 10 });
  peer.connection.setKeepAlive(true, 20_000, lastMs);
  peer.sent();
  const [probe] = peer.wait(20_500).filter(p => p.seq === 0);
  assert.equal(probe.at, lastMs + 20_000);
});

test('an answer starts the idle time again', () => {
  const peer = kept();
  peer.wait(10_000);
  peer.arrives();
  const start = peer.now;
  assert.deepEqual(
    peer.wait(19_000).map(p => p.at - start),
    [10_000, 11_000, 12_000],
  );
});

test('anything received starts it again', () => {
  const peer = kept();
  peer.wait(9000);
  peer.arrives({ length: 10 });
  const start = peer.now;
  assert.equal(peer.wait(15_000).find(p => p.seq === 0)?.at, start + 10_000);
});

test('three unanswered probes a second apart, then ETIMEDOUT', () => {
  const peer = kept();
  const start = peer.now;
  assert.deepEqual(
    peer.wait(100_000).map(p => p.at - start),
    [10_000, 11_000, 12_000],
  );
  assert.equal(peer.connection.error, 'ETIMEDOUT');
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('a reset in answer ends the connection', () => {
  const peer = kept();
  peer.wait(10_000);
  peer.arrives({ flags: 'R' });
  assert.equal(peer.connection.error, 'ECONNRESET');
});

test('while data waits for its acknowledgement no probe is sent', () => {
  const peer = kept();
  peer.write(100);
  for (const p of peer.wait(15_000)) assert.equal(p.length, 100);
});

test('switched off there is none', () => {
  const peer = kept();
  peer.connection.setKeepAlive(false, 0, peer.now);
  assert.deepEqual(peer.wait(100_000), []);
});

test('asked for before the handshake it begins with it', () => {
  const peer = new Peer({ config });
  peer.connect({ keepAliveMs: 5000 });
  peer.arrives({ flags: 'SA', mss: 1460 });
  assert.equal(peer.wait(4999).length, 0);
  assert.equal(peer.wait(1).length, 1);
});

test('TIME-WAIT has none', () => {
  const peer = timeWait();
  peer.connection.setKeepAlive(true, 1000, peer.now);
  assert.deepEqual(peer.wait(50_000), []);
});

test('the probe of the peer is answered, with garbage in it too', () => {
  const peer = established();
  assert.deepEqual(brief(peer.arrives({ seq: 0 })), [['A', 1, 1, 0]]);
  assert.deepEqual(brief(peer.arrives({ seq: 0, length: 1 })), [['A', 1, 1, 0]]);
  assert.equal(peer.connection.readableBytes, 0);
});
