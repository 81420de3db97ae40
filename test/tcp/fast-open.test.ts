// TCP Fast Open on one connection, both roles, packet by packet (RFC 7413 §4): cookies, data in the SYN accepted
// in whole, in part and not at all, repetition without it, what is remembered, the queue, keys.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { siphash24 } from '../../src/host/siphash.ts';
import { brief, Peer, type PeerOptions, stream, synOptions } from './peer.ts';

/** Linux's fastopen tests use this key and expect this cookie for 192.0.2.1 → 192.168.0.1. */
const KEY = 'a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4';
const COOKIE = '0123456789abcdef';

/** A client that has a cookie of the peer. */
function withCookie(options: PeerOptions = {}): Peer {
  const peer = new Peer(options);
  const [syn] = peer.connect({ fastOpen: true });
  assert.equal(syn?.fastOpen, '');
  peer.arrives({ flags: 'SA', ...synOptions(options), fastOpen: COOKIE });
  peer.connection.abort(peer.now);
  peer.sent();
  peer.seq = peer.ack = 0;
  return peer;
}

/** The next connection of such a client, its SYN with `length` bytes on the way. */
function synWithData(length: number, options: PeerOptions = {}): Peer {
  const peer = withCookie(options);
  assert.deepEqual(peer.connect({ fastOpen: true }), [], 'the SYN waits for data');
  assert.equal(peer.connection.isDeferred, true);
  const [syn] = peer.write(length);
  assert.equal(syn?.flags, 'S');
  assert.equal(syn.fastOpen, COOKIE);
  assert.equal(peer.connection.isDeferred, false);
  return peer;
}

function server(options: PeerOptions = {}): Peer {
  return new Peer({ fastOpen: 4, config: { fastOpen: 3, fastOpenKey: KEY }, ...options }).listen();
}

/** The cookie of such a server for the peer. */
function granted(peer: Peer): string {
  const [synAck] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: '', port: 40_000 });
  assert.ok(synAck?.fastOpen);
  peer.seq = peer.ack = 0;
  return synAck.fastOpen;
}

test('SipHash-2-4 gives the values of its reference implementation', () => {
  const key = Uint8Array.from({ length: 16 }, (_, i) => i);
  const data = Uint8Array.from({ length: 8 }, (_, i) => i);
  assert.equal(Buffer.from(siphash24(key, data, 0)).toString('hex'), '310e0edd47db6f72');
  assert.equal(Buffer.from(siphash24(key, data, 8)).toString('hex'), '6224939a79f5f593');
});

test('the cookie is the one that Linux makes of the same key and addresses', () => {
  const options = { hostAddress: '192.168.0.1', peerAddress: '192.0.2.1' };
  const peer = server(options);
  const [synAck] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: '' });
  assert.equal(synAck?.fastOpen, '3021b9d889017eeb');
});

test('data of a SYN that the SYN/ACK acknowledges is not sent again', () => {
  const peer = synWithData(500);
  assert.equal(peer.log.at(-1)?.length, 500);
  assert.deepEqual(peer.log.at(-1)?.payload, stream(1, 500));
  const answer = peer.arrives({ flags: 'SA', ack: 501, ...synOptions({}) });
  assert.deepEqual(brief(answer), [['A', 501, 1, 0]]);
  assert.equal(peer.counters.TCPFastOpenActive, 1);
  assert.equal(peer.connection.unacknowledgedBytes, 0);
  assert.deepEqual(brief(peer.write(100)), [['A', 501, 1, 100]]);
});

test('what the SYN/ACK does not acknowledge is sent after it', () => {
  for (const acked of [0, 200]) {
    const peer = synWithData(500);
    const answer = peer.arrives({ flags: 'SA', ack: 1 + acked, ...synOptions({}) });
    assert.deepEqual(brief(answer), [['A', 1 + acked, 1, 500 - acked]]);
    assert.deepEqual(answer[0]?.payload, stream(1 + acked, 500 - acked));
    assert.equal(peer.counters.TCPFastOpenActiveFail, 1);
  }
});

test('data in the SYN is the application’s before the third ACK, and so is its answer the peer’s', () => {
  const peer = server();
  const cookie = granted(peer);
  const [synAck] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: cookie, length: 500 });
  assert.deepEqual(brief([synAck]), [['SA', 0, 501, 0]]);
  assert.equal(synAck.fastOpen, null);
  peer.accept();
  assert.equal(peer.state, 'SYN-RECEIVED');
  assert.deepEqual(peer.read(), stream(1, 500));
  assert.deepEqual(brief(peer.write(300)), [['A', 1, 501, 300]]);
  peer.arrives({ ack: 301 });
  assert.equal(peer.state, 'ESTABLISHED');
  assert.equal(peer.connection.unacknowledgedBytes, 0);
  assert.equal(peer.counters.TCPFastOpenPassive, 1);
});
