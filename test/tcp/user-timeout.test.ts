// How long an application lets data wait for its acknowledgement (RFC 5482; Linux: TCP_USER_TIMEOUT).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, type Peer, synSent } from './peer.ts';

function lifetime(peer: Peer): number {
  const start = peer.now;
  while (!peer.connection.closed && peer.now - start < 600_000) peer.wait(10);
  return peer.now - start;
}

test('unacknowledged data ends the connection after the user timeout, not later and not much earlier', () => {
  for (const userTimeoutMs of [3000, 30_000, 300_000]) {
    const peer = established();
    peer.connection.setUserTimeout(userTimeoutMs, peer.now);
    peer.write(1000);
    assert.ok(Math.abs(lifetime(peer) - userTimeoutMs) <= 10);
    assert.equal(peer.connection.error, 'ETIMEDOUT');
  }
});

test('0 goes back to what is configured', () => {
  const peer = established({ config: { dataTimeoutMs: 20_000 } });
  peer.connection.setUserTimeout(3000, peer.now);
  peer.connection.setUserTimeout(0, peer.now);
  peer.write(1000);
  assert.ok(Math.abs(lifetime(peer) - 20_000) <= 10);
});

// A sum of times and their difference round differently: asked the wrong way, the timer finds that it is too early.
test('the time is up when it is up, whatever fraction of a millisecond it began at', () => {
  for (let i = 0; i < 100; i++) {
    const peer = established({ config: { dataTimeoutMs: 120_000 } });
    peer.wait(11_000 + i * 0.1275);
    peer.write(1000);
    assert.ok(Math.abs(lifetime(peer) - 120_000) <= 10, `round ${i}`);
  }
});

test('the setting of one connection is not that of another', () => {
  const peer = established();
  peer.connection.setUserTimeout(3000, peer.now);
  assert.equal(peer.host.config.userTimeoutMs, 0);
});

test('every acknowledgement starts the time again', () => {
  const peer = established();
  peer.connection.setUserTimeout(3000, peer.now);
  for (let i = 0; i < 5; i++) {
    peer.write(100);
    peer.wait(2000);
    peer.arrives();
  }
  assert.equal(peer.connection.closed, false);
});

test('an unanswered SYN is given up then', () => {
  const peer = synSent({ config: { userTimeoutMs: 2500 } });
  assert.equal(lifetime(peer), 2500);
  assert.equal(peer.connection.error, 'ETIMEDOUT');
  assert.equal(peer.log.length, 2);
});

test('with it the number of keepalive probes does not count', () => {
  const config = { keepAliveIntervalMs: 1000, keepAliveProbes: 2 };
  for (const [userTimeoutMs, expected] of [
    [0, 10_000 + 2000],
    [15_000, 15_000],
  ] as const) {
    const peer = established({ config: { ...config, userTimeoutMs } });
    peer.connection.setKeepAlive(true, 10_000, peer.now);
    peer.sent();
    assert.equal(lifetime(peer), expected);
  }
});
