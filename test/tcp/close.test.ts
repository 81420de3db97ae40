// How connections end: FINs in every order, TIME-WAIT and its reopening, resets, timeouts
// (RFC 9293 §3.6, §3.10.4–5, §3.10.7.4; RFC 2525 §2.17).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ready } from '../../src/host/index.ts';
import { brief, established, type Peer, synOptions, synSent, timeWait } from './peer.ts';

function remaining(peer: Peer): number {
  return [...peer.host.connections].length;
}

test('closing first: FIN, ACK, FIN, ACK, TIME-WAIT for a minute', () => {
  const peer = established();
  peer.connection.shutdown(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 1, 1, 0]]);
  assert.equal(peer.state, 'FIN-WAIT-1');
  peer.arrives();
  assert.equal(peer.state, 'FIN-WAIT-2');
  assert.deepEqual(brief(peer.arrives({ flags: 'FA' })), [['A', 2, 2, 0]]);
  assert.equal(peer.state, 'TIME-WAIT');
  assert.equal(peer.host.nextDeadline(), peer.now + 60_000);
  peer.wait(60_000);
  assert.equal(remaining(peer), 0);
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('half-close: the other direction goes on after our FIN', () => {
  const peer = established();
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.arrives();
  peer.arrives({ length: 500 });
  assert.equal(peer.read().length, 500);
  peer.arrives({ flags: 'FA', length: 3 });
  assert.equal(peer.read().length, 3);
  assert.ok(peer.connection.ended);
  assert.equal(peer.state, 'TIME-WAIT');
});

test('half-close: our direction goes on after the FIN of the peer', () => {
  const peer = established();
  assert.deepEqual(brief(peer.arrives({ flags: 'FA' })), [['A', 1, 2, 0]]);
  assert.equal(peer.state, 'CLOSE-WAIT');
  assert.equal(peer.connection.takeEvents() & Ready.END, Ready.END);
  assert.deepEqual(brief(peer.write(700)), [['A', 1, 2, 700]]);
  peer.arrives();
  peer.connection.shutdown(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 701, 2, 0]]);
  assert.equal(peer.state, 'LAST-ACK');
  peer.arrives();
  assert.equal(remaining(peer), 0);
  assert.equal(peer.connection.error, null);
});

test('closing together: the FINs cross, CLOSING, TIME-WAIT', () => {
  const peer = established();
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.arrives({ flags: 'FA', ack: 1 });
  assert.equal(peer.state, 'CLOSING');
  peer.arrives({ ack: 2 });
  assert.equal(peer.state, 'TIME-WAIT');
});

test('one segment may carry the acknowledgement of our FIN and the FIN of the peer', () => {
  const peer = established();
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.arrives({ flags: 'FA', ack: 2 });
  assert.equal(peer.state, 'TIME-WAIT');
});

test('the FIN rides on the last data', () => {
  const peer = established();
  peer.connection.write(new Uint8Array(100), 0, 100, peer.now);
  peer.connection.shutdown(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 1, 1, 100]]);
});

test('a lost FIN is sent again, and nothing but it', () => {
  const peer = established();
  peer.connection.shutdown(peer.now);
  peer.sent();
  const again = peer.wait(1000).find(p => p.flags === 'FA');
  assert.deepEqual(brief(again ? [again] : []), [['FA', 1, 1, 0]]);
});

test('a FIN ahead of missing data waits for it', () => {
  const peer = established();
  peer.arrives({ flags: 'FA', seq: 101, length: 100 });
  assert.equal(peer.state, 'ESTABLISHED');
  assert.deepEqual(brief(peer.arrives({ seq: 1, length: 100 })).at(-1), ['A', 1, 202, 0]);
  assert.equal(peer.state, 'CLOSE-WAIT');
  assert.equal(peer.read().length, 200);
});

test('a repeated FIN is acknowledged again', () => {
  const peer = established();
  peer.arrives({ flags: 'FA' });
  assert.deepEqual(brief(peer.arrives({ flags: 'FA', seq: 1 })), [['A', 1, 2, 0]]);
  assert.equal(peer.state, 'CLOSE-WAIT');
});

test('nothing behind the FIN is taken, a second FIN neither', () => {
  const peer = established();
  peer.arrives({ flags: 'FA' });
  peer.arrives({ seq: 2, length: 10 });
  assert.equal(peer.connection.readableBytes, 0);
  peer.arrives({ flags: 'FA', seq: 2 });
  assert.equal(peer.tcb.rcvNxt, 2);
});

test('a FIN is taken in sequence only: data below its number, held before, stays in front of it', () => {
  const peer = established();
  peer.arrives({ seq: 201, length: 100 });
  peer.arrives({ flags: 'FA', seq: 301 });
  peer.arrives({ seq: 1, length: 100 });
  assert.equal(peer.state, 'ESTABLISHED');
  peer.arrives({ seq: 101, length: 100 });
  assert.equal(peer.state, 'CLOSE-WAIT');
  assert.equal(peer.read().length, 300);
});

test('TIME-WAIT: a repeated FIN is acknowledged and starts the wait again', () => {
  const peer = timeWait();
  peer.wait(40_000);
  assert.deepEqual(brief(peer.arrives({ flags: 'FA', seq: 1 })), [['A', 2, 2, 0]]);
  assert.equal(peer.host.nextDeadline(), peer.now + 60_000);
});

test('TIME-WAIT: a SYN with a higher number opens a new connection', () => {
  const peer = timeWait();
  peer.iss += 2;
  const [synAck] = peer.arrives({ flags: 'S', seq: 0, ...synOptions({}) });
  assert.deepEqual([synAck.flags, synAck.ack], ['SA', 1]);
  peer.wait(10);
  assert.equal(remaining(peer), 1);
});

test('TIME-WAIT: a SYN with a lower number and a newer timestamp opens a new connection (RFC 6191)', () => {
  const peer = timeWait();
  peer.wait(5);
  peer.iss -= 1_000_000;
  assert.equal(peer.arrives({ flags: 'S', seq: 0, ...synOptions({}) })[0].flags, 'SA');
});

test('TIME-WAIT: timestamps decide before numbers do (RFC 6191 §2)', () => {
  // [timestamps before, on the SYN: newer, the same, older or none; number higher] → a new connection.
  const cases = [
    [true, +1, true, true],
    [true, +1, false, true],
    [true, 0, true, true],
    [true, 0, false, false],
    [true, -1, true, false],
    [true, -1, false, false],
    [true, undefined, true, true],
    [true, undefined, false, false],
    [false, +1, true, true],
    [false, +1, false, true],
    [false, undefined, true, true],
    [false, undefined, false, false],
  ] as const;
  for (const [before, newer, higher, expected] of cases) {
    const peer = timeWait({ timestamps: before });
    peer.iss += higher ? 2 : -1_000_000;
    const timestamps = newer !== undefined;
    const syn = { ...synOptions({}), timestamps, tsVal: peer.tcb.tsRecent + (newer ?? 0) };
    const [answer] = peer.arrives({ flags: 'S', seq: 0, ...syn });
    assert.equal(answer.flags, expected ? 'SA' : 'A', `${[before, newer, higher]}`);
  }
});

test('TIME-WAIT: an old SYN is answered with an acknowledgement and changes nothing', () => {
  const peer = timeWait({ timestamps: false });
  peer.iss -= 1_000_000;
  const answers = peer.arrives({ flags: 'S', seq: 0 });
  peer.iss += 1_000_000;
  assert.equal(peer.state, 'TIME-WAIT');
  assert.deepEqual(
    answers.map(p => [p.flags, p.seq, p.ack - 1_000_000]),
    [['A', 2, 2]],
  );
});

test('TIME-WAIT: without a listener a SYN does not end it', () => {
  const peer = timeWait();
  peer.listener?.close(peer.now);
  peer.iss += 10;
  assert.equal(peer.arrives({ flags: 'S', seq: 0, ...synOptions({}) })[0]?.flags, 'A');
  assert.equal(peer.state, 'TIME-WAIT');
});

test('reset: ECONNRESET, bytes received before can still be read', () => {
  const peer = established();
  peer.arrives({ length: 40 });
  peer.arrives({ flags: 'R' });
  assert.equal(peer.connection.error, 'ECONNRESET');
  assert.equal(peer.read().length, 40);
  assert.equal(remaining(peer), 0);
});

test('abort: one reset with the next number, nothing afterwards', () => {
  const peer = established();
  peer.write(100);
  peer.connection.abort(peer.now);
  assert.deepEqual(brief(peer.sent()), [['RA', 101, 1, 0]]);
  assert.equal(remaining(peer), 0);
  assert.equal(peer.host.nextDeadline(), Infinity);
  assert.deepEqual(brief(peer.arrives({ length: 5, ack: 101 })), [['R', 101, 0, 0]]);
});

test('abort before an answer to the SYN: nothing is sent', () => {
  const peer = synSent();
  peer.connection.abort(peer.now);
  assert.deepEqual(peer.sent(), []);
  assert.equal(remaining(peer), 0);
});

test('close with unread data resets, so that the peer learns of the loss', () => {
  const peer = established();
  peer.arrives({ length: 10 });
  peer.connection.close(peer.now);
  assert.deepEqual(brief(peer.sent()), [['RA', 1, 11, 0]]);
});

test('close with everything read is orderly', () => {
  const peer = established();
  peer.arrives({ length: 10 });
  peer.read();
  peer.connection.close(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 1, 11, 0]]);
});

test('data after close is answered with a reset', () => {
  const peer = established();
  peer.connection.close(peer.now);
  peer.sent();
  assert.deepEqual(brief(peer.arrives({ length: 10 })), [['RA', 2, 1, 0]]);
  assert.equal(remaining(peer), 0);
});

test('close delivers what was written before it', () => {
  const peer = established();
  peer.connection.write(new Uint8Array(5000), 0, 5000, peer.now);
  peer.connection.close(peer.now);
  const packets = peer.sent();
  assert.equal(
    packets.reduce((sum, p) => sum + p.length, 0),
    5000,
  );
  assert.equal(packets.at(-1)?.flags, 'FA');
});

test('close while waiting for the handshake gives up silently', () => {
  const peer = synSent();
  peer.connection.close(peer.now);
  assert.deepEqual(peer.sent(), []);
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('FIN-WAIT-2 of a closed connection ends after a minute, of a half-closed one never', () => {
  const closed = established();
  closed.connection.close(closed.now);
  closed.sent();
  closed.arrives();
  closed.wait(60_000);
  assert.equal(remaining(closed), 0);

  const half = established();
  half.connection.shutdown(half.now);
  half.sent();
  half.arrives();
  assert.equal(half.host.nextDeadline(), Infinity);
});

test('a peer that vanishes: ETIMEDOUT when data went unacknowledged for two minutes', () => {
  const peer = established();
  peer.write(1000);
  const start = peer.now;
  peer.wait(119_000);
  assert.equal(peer.connection.error, null);
  peer.wait(2_000);
  assert.equal(peer.connection.error, 'ETIMEDOUT');
  assert.equal(peer.host.nextDeadline(), Infinity);
  // Timeouts double: 200 ms and more at first, below 130 s in all.
  const times = peer.log.filter(p => p.length > 0).map(p => p.at - start);
  const gaps = times.slice(1).map((t, i) => t - times[i]);
  const doubling = gaps.slice(1).slice(0, 6);
  for (const [i, gap] of doubling.slice(1).entries()) assert.ok(Math.abs(gap / doubling[i] - 2) < 0.01);
});

test('a peer that vanished does not keep a closed connection alive', () => {
  const peer = established();
  peer.connection.write(new Uint8Array(1000), 0, 1000, peer.now);
  peer.connection.close(peer.now);
  peer.wait(121_000);
  assert.equal(remaining(peer), 0);
});

test('a closed connection does not wait for ever for a peer that stopped reading', () => {
  // The peer answers every probe with a window of 0; nobody is left who would want to wait.
  const peer = established({ window: 0 });
  peer.connection.write(new Uint8Array(1000), 0, 1000, peer.now);
  peer.connection.close(peer.now);
  peer.sent();
  for (let s = 0; s < 300 && remaining(peer) > 0; s++) if (peer.wait(1000).length > 0) peer.arrives();
  assert.equal(remaining(peer), 0);
});

test('a local port is handed back when its connection is gone, after TIME-WAIT', () => {
  const peer = synSent();
  peer.arrives({ flags: 'SA', ...synOptions({}) });
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.arrives({ flags: 'FA' });
  assert.equal(peer.host.nextReleased(), undefined);
  peer.wait(60_000);
  assert.deepEqual(peer.host.nextReleased(), { interfaceId: peer.interfaceId, localPort: peer.hostPort });
});

test('removing the interface ends its connections at once', () => {
  const peer = established();
  peer.host.removeInterface(peer.interfaceId, peer.now);
  assert.deepEqual(peer.sent(), []);
  assert.equal(peer.connection.error, 'ENETDOWN');
  assert.equal(remaining(peer), 0);
});
