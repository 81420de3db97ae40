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

test('a SYN is one packet, however long its data', () => {
  const peer = synWithData(3000);
  const syn = peer.log.at(-1);
  // 1,460 less all options there can be.
  assert.equal(syn?.length, 1420);
  assert.ok(syn.segmentSize >= 1420);
});

test('a repeated SYN carries neither option nor data, and its answer may acknowledge the data of the first', () => {
  const peer = synWithData(500);
  const [again] = peer.wait(1000);
  assert.deepEqual(brief([again]), [['S', 0, 0, 0]]);
  assert.equal(again.fastOpen, null);
  assert.deepEqual(brief(peer.arrives({ flags: 'SA', ack: 501, ...synOptions({}) })), [['A', 501, 1, 0]]);
});

test('two SYNs with data that are lost in a row: the next connection does not try for a while', () => {
  const peer = withCookie();
  for (let i = 0; i < 2; i++) {
    peer.connect({ fastOpen: true });
    peer.write(100);
    peer.wait(1000);
    peer.arrives({ flags: 'SA', ack: 1, ...synOptions({}) });
    peer.connection.abort(peer.now);
    peer.sent();
    peer.seq = peer.ack = 0;
  }
  const [syn] = peer.connect({ fastOpen: true });
  assert.equal(syn?.fastOpen, null, 'no option');
  assert.equal(syn.length, 0);
  peer.connection.abort(peer.now);
  peer.sent();
  peer.wait(241_000);
  assert.deepEqual(peer.connect({ fastOpen: true }), [], 'after 60 s · 2²');
});

test('the third timeout in a row pauses Fast Open for all servers, as long as configured', () => {
  const peer = synWithData(100, { config: { fastOpenBlackholeMs: 10_000 } });
  peer.wait(7_000);
  assert.equal(peer.counters.TCPFastOpenBlackhole, 1);
  peer.connection.abort(peer.now);
  peer.sent();
  peer.seq = peer.ack = 0;
  const [syn] = peer.connect({ fastOpen: true });
  assert.equal(syn?.fastOpen, null);
  peer.connection.abort(peer.now);
  peer.sent();
  peer.wait(10_000);
  assert.deepEqual(peer.connect({ fastOpen: true }), []);
});

test('the cookie of the key before is good, and a new one comes with the answer; another is refused', () => {
  const peer = server();
  const cookie = granted(peer);
  const { listener } = peer;
  assert.ok(listener);
  const other = '0'.repeat(8);
  const newer = `${other}-${other}-${other}-${other}`;
  listener.config = { ...listener.config, fastOpenKey: `${newer},${KEY}` };
  const options = { flags: 'S', ...synOptions({}), fastOpen: cookie, length: 10 };
  const [answer] = peer.arrives({ ...options, port: 40_001, seq: 0 });
  assert.equal(answer?.ack, 11);
  assert.match(answer.fastOpen ?? '', /^[0-9a-f]{16}$/);
  assert.notEqual(answer.fastOpen, cookie);
  assert.equal(peer.counters.TCPFastOpenPassiveAltKey, 1);
  listener.config = { ...listener.config, fastOpenKey: newer };
  const [refused] = peer.arrives({ ...options, port: 40_002, seq: 0 });
  assert.equal(refused?.ack, 1, 'the data is not taken');
  assert.equal(refused.fastOpen, answer.fastOpen);
  assert.equal(peer.counters.TCPFastOpenPassiveFail, 1);
});

test('what is asked for in the option from before it had a number is granted in it, and taken in either', () => {
  const peer = server();
  const syn = { flags: 'S', ...synOptions({}), seq: 0 };
  const [synAck] = peer.arrives({ ...syn, fastOpen: 'f989:', port: 40_001 });
  assert.match(synAck?.fastOpen ?? '', /^f989:[0-9a-f]{16}$/);
  let port = 40_002;
  for (const fastOpen of [synAck?.fastOpen ?? '', synAck?.fastOpen?.slice(5) ?? '']) {
    const [answer] = peer.arrives({ ...syn, fastOpen, length: 10, port: port++ });
    assert.deepEqual([answer?.ack, answer?.fastOpen], [11, null]);
  }
  const [refused] = peer.arrives({ ...syn, fastOpen: `f989:${COOKIE}`, length: 10, port });
  assert.deepEqual([refused?.ack, refused?.fastOpen], [1, synAck?.fastOpen]);
});

test('as Linux, a client asks once in that option where the other was not heard', () => {
  for (const asLinux of [false, true]) {
    const peer = new Peer({ config: { asLinux } });
    for (const asked of ['', asLinux ? 'f989:' : '', '']) {
      const [syn] = peer.connect({ fastOpen: true });
      assert.equal(syn?.fastOpen, asked, `${asLinux}`);
      peer.arrives({ flags: 'SA', ...synOptions({}) });
      peer.connection.abort(peer.now);
      peer.sent();
      peer.seq = peer.ack = 0;
    }
  }
});

test('a cookie that came in that option goes back in it', () => {
  const peer = new Peer();
  const [syn] = peer.connect({ fastOpen: true });
  assert.equal(syn?.fastOpen, '');
  peer.arrives({ flags: 'SA', ...synOptions({}), fastOpen: `f989:${COOKIE}` });
  peer.connection.abort(peer.now);
  peer.sent();
  peer.seq = peer.ack = 0;
  peer.connect({ fastOpen: true });
  const [again] = peer.write(10);
  assert.deepEqual([again?.fastOpen, again?.length], [`f989:${COOKIE}`, 10]);
});

test('the SYN/ACK is repeated however much the server has answered already', () => {
  const peer = server();
  const cookie = granted(peer);
  peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: cookie, length: 100 });
  peer.accept();
  const early = peer.write(10_000).reduce((sum, packet) => sum + packet.length, 0);
  assert.equal(early, 10_000);
  const mine = (packet: { dstPort: number }): boolean => packet.dstPort === peer.port;
  assert.deepEqual(brief(peer.wait(1000).filter(mine)), [['SA', 0, 101, 0]]);
  peer.arrives({ ack: 1 });
  assert.equal(peer.state, 'ESTABLISHED');
  assert.equal(
    peer.wait(3000).filter(mine)[0]?.seq,
    1,
    'what was in flight is in the care of the usual timer',
  );
});

test('what was answered early and acknowledged after the SYN/ACK went again measures no round trip', () => {
  const peer = server();
  const cookie = granted(peer);
  peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: cookie, length: 100 });
  peer.accept();
  peer.write(10_000);
  const mine = (packet: { dstPort: number }): boolean => packet.dstPort === peer.port;
  // An outage: the SYN/ACK goes again after 1, 3 and 7 seconds, and the last is answered.
  assert.equal(peer.wait(7500).filter(mine).length, 3);
  peer.arrives({ ack: 1001 });
  assert.equal(peer.state, 'ESTABLISHED');
  // RFC 6298 §2.2: a round trip of 500 ms, as the timestamp echoed says; not one of 7.5 s.
  assert.equal(peer.tcb.rtt.rtoMs, 500 + 4 * 250);
  // A probe of the tail after two round trips (RFC 8985 §7.2), and then the timeout.
  const head = peer.wait(1000 + 1500).filter(packet => mine(packet) && packet.seq === 1001);
  assert.equal(head.length, 1);
});

test('the queue: beyond it a SYN is one like any other; a reset one counts for a minute more', () => {
  const peer = server({ fastOpen: 1 });
  const cookie = granted(peer);
  const syn = { flags: 'S', ...synOptions({}), fastOpen: cookie, length: 10, seq: 0 };
  assert.equal(peer.arrives({ ...syn, port: 40_001 })[0]?.ack, 11);
  assert.equal(peer.arrives({ ...syn, port: 40_002 })[0]?.ack, 1);
  assert.equal(peer.counters.TCPFastOpenListenOverflow, 1);
  peer.arrives({ flags: 'R', seq: 11, port: 40_001 });
  assert.equal(peer.listener?.accept()?.error, 'ECONNRESET');
  assert.equal(peer.arrives({ ...syn, port: 40_003 })[0]?.ack, 1);
  peer.wait(60_001);
  assert.equal(peer.arrives({ ...syn, port: 40_004 })[0]?.ack, 11);
});

test('without bit 2 of the configuration, or without a queue, nothing is granted and nothing taken', () => {
  for (const options of [{ config: { fastOpen: 1 } }, { fastOpen: 0 }]) {
    const peer = server(options);
    const [synAck] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: '', length: 10 });
    assert.deepEqual([synAck?.ack, synAck?.fastOpen], [1, null]);
  }
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
