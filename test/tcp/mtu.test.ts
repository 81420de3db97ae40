// The size of segments when the path takes less than the interface: setMtu, and what repeated loss says
// (RFC 8899 §4.3; the fallback to 1,280 bytes).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { established, type Packet, type Peer } from './peer.ts';

/** 20 of IPv4, 20 of TCP, 12 of timestamps. */
const HEADERS = 52;

function largest(packets: readonly Packet[]): number {
  return Math.max(...packets.filter(p => p.length > 0).map(p => Math.min(p.length, p.segmentSize)));
}

function answerAll(peer: Peer, packets: readonly Packet[]): Packet[] {
  const end = Math.max(...packets.map(p => p.seq + p.length));
  peer.now += 20;
  return peer.arrives({ ack: end });
}

test('setMtu: what is sent from now on fits', () => {
  const peer = established();
  assert.equal(peer.write(2000)[0].segmentSize, 1500 - HEADERS);
  peer.host.setMtu(peer.interfaceId, 1400, peer.now);
  peer.arrives();
  assert.equal(peer.write(20_000)[0].segmentSize, 1400 - HEADERS);
});

test('setMtu: what is repeated from now on fits, split where it must be', () => {
  const peer = established();
  peer.write(4 * (1500 - HEADERS));
  peer.host.setMtu(peer.interfaceId, 1000, peer.now);
  const again = peer.wait(5000).filter(p => p.length > 0);
  assert.ok(again.length > 0);
  assert.equal(largest(again), 1000 - HEADERS);
  let packets = again;
  for (let i = 0; i < 40 && peer.connection.unacknowledgedBytes > 0; i++) {
    packets = answerAll(peer, packets);
    if (packets.length === 0) packets = peer.wait(2000);
    if (packets.length > 0) assert.ok(largest(packets) <= 1000 - HEADERS);
  }
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('setMtu: what was too large goes again at once, and the window does not answer for it', () => {
  const peer = established();
  peer.write(3 * (1500 - HEADERS));
  const cwndBytes = peer.tcb.cwndBytes;
  peer.host.setMtu(peer.interfaceId, 1280, peer.now);
  const again = peer.sent();
  assert.equal(
    again.reduce((sum, p) => sum + p.length, 0),
    3 * (1500 - HEADERS),
  );
  assert.equal(largest(again), 1280 - HEADERS);
  assert.equal(peer.tcb.cwndBytes, cwndBytes);
  assert.equal(answerAll(peer, again).length, 0);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('setMtu: small segments on their way are left alone', () => {
  const peer = established();
  peer.write(500);
  peer.host.setMtu(peer.interfaceId, 1280, peer.now);
  assert.deepEqual(peer.sent(), []);
});

test('setMtu never goes below 576', () => {
  const peer = established();
  peer.host.setMtu(peer.interfaceId, 68, peer.now);
  assert.equal(peer.write(5000)[0].segmentSize, 576 - HEADERS);
});

test('setMtu larger than before changes nothing for connections that exist', () => {
  const peer = established();
  peer.host.setMtu(peer.interfaceId, 9000, peer.now);
  assert.equal(peer.write(20_000)[0].segmentSize, 1500 - HEADERS);
});

test('a path that swallows full segments: after two timeouts 1,280 bytes, and the data passes', () => {
  const peer = established();
  peer.write(20_000);
  let una = 1;
  const start = peer.now;
  while (peer.connection.unacknowledgedBytes > 0 && peer.now - start < 60_000) {
    for (const p of peer.wait(100)) {
      const passes = p.length > 0 && Math.min(p.length, p.segmentSize) + HEADERS <= 1280;
      if (!passes) continue;
      if (p.seq <= una) una = Math.max(una, p.seq + p.length);
      peer.arrives({ ack: una });
    }
  }
  assert.equal(peer.connection.unacknowledgedBytes, 0);
  assert.equal(peer.counters.TCPMTUPFail, 1);
  assert.ok(peer.now - start < 10_000, `it took ${peer.now - start} ms`);
});

test('a path that swallows everything for a while is no black hole once full segments have passed', () => {
  const peer = established();
  answerAll(peer, peer.write(5000));
  peer.write(5000);
  peer.wait(3000);
  assert.equal(peer.counters.TCPMTUPFail, 0);
  assert.equal(peer.log.at(-1)?.segmentSize, 1500 - HEADERS);
});

test('the loss of small segments is no black hole', () => {
  const peer = established();
  peer.write(100);
  peer.wait(20_000);
  assert.equal(peer.counters.TCPMTUPFail, 0);
});

test('IPv6: 1,280 leaves 1,208 bytes beside timestamps', () => {
  const peer = established({ hostAddress: '2001:db8::1', peerAddress: '2001:db8::2' });
  peer.write(20_000);
  peer.wait(20_000);
  assert.equal(peer.counters.TCPMTUPFail, 1);
  assert.equal(peer.log.at(-1)?.segmentSize, 1280 - 60 - 12);
});
