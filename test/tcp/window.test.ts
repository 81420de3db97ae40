// Flow control in both directions: scaling, closed windows and probes, silly windows, delayed acknowledgements,
// Nagle (RFC 9293 §3.8.6, §3.7.4; RFC 7323 §2; RFC 1122 §4.2.3).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ready } from '../../src/host/index.ts';
import { brief, connected, delayingAcks, established, type Packet, type Peer } from './peer.ts';

const MSS = 1000;
/** 1,000 bytes of payload in every full segment, no timestamps in the way. */
const plain = { mss: MSS, timestamps: false };

function total(packets: readonly Packet[]): number {
  return packets.reduce((sum, p) => sum + p.length, 0);
}

/** The right edge a packet offers, in bytes of the peer's stream. */
function edge(packet: Packet, scale: number): number {
  return packet.ack + packet.window * 2 ** scale;
}

test('the initial window is ten segments (RFC 6928)', () => {
  assert.equal(total(established({ ...plain, mss: 1460 }).write(100_000)), 14_600);
  // min(10·MSS, max(2·MSS, 14,600)) for larger segments is 14,600 rounded down to whole ones.
  const jumbo = established({ ...plain, mss: 4000, link: { mtu: 9000 } });
  assert.equal(total(jumbo.write(100_000)), 12_000);
});

test('a segment holds as much as 64 KB allows and is cut by the link', () => {
  const peer = established({ ...plain, config: { initialWindowSegments: 10 } });
  const packets = peer.write(10_000);
  assert.deepEqual(brief(packets), [['A', 1, 1, 10_000]]);
  assert.equal(packets[0].segmentSize, MSS);
});

test('a link that takes no more than its MTU gets every segment alone', () => {
  for (const mtu of [576, 1280, 1400, 1500, 9000]) {
    const peer = established({ mss: 8960, link: { mtu, gsoMax: mtu } });
    const packets = peer.write(50_000);
    assert.ok(packets.length > 0, `mtu ${mtu}: nothing is sent`);
    for (const p of packets) assert.ok(p.ipBytes <= mtu, `${p.ipBytes} bytes on mtu ${mtu}`);
    assert.equal(packets[0].ipBytes, mtu);
  }
});

test('lost segments are repeated on such a link too', () => {
  const peer = established({ link: { mtu: 1500, gsoMax: 1500 } });
  peer.write(5000);
  assert.equal(peer.wait(1000).find(p => p.seq === 1)?.length, 1448);
});

test('the window of the peer is scaled by its shift', () => {
  const peer = established({ ...plain, windowScale: 2, window: 500 });
  // 500 · 2² = 2,000.
  assert.equal(total(peer.write(9000)), 2000);
});

test('a shift above 14 counts as 14 (RFC 7323 §2.3)', () => {
  const peer = established({ ...plain, windowScale: 15, window: 1 });
  assert.equal(total(peer.write(30_000)), 10_000);
  peer.arrives();
  assert.equal(peer.tcb.sndWnd, 2 ** 14);
});

test('the host does not scale when the peer does not', () => {
  const peer = established({ config: { receiveBufferBytes: 1_000_000 } });
  const scaled = peer.arrives({ length: 10 })[0];
  // 4,096 · 2⁷ < 1,000,000 < 4,096 · 2⁸.
  assert.ok(scaled.window * 2 ** 7 >= 900_000);
  const other = connected({ windowScale: -1, config: { receiveBufferBytes: 1_000_000 } });
  assert.equal(other.arrives({ length: 10 })[0].window, 65_535);
});

test('a window of zero stops the sender; a probe finds that it opened', () => {
  const peer = established({ ...plain, window: 0 });
  assert.deepEqual(peer.write(500), []);
  assert.equal(peer.connection.unsentBytes, 500);
  const probes = peer.wait(1500);
  assert.ok(probes.length >= 1);
  // A number already acknowledged, so that the peer answers: SND.UNA − 1.
  assert.deepEqual(brief(probes.slice(0, 1)), [['A', 0, 1, 0]]);
  assert.deepEqual(brief(peer.arrives({ window: 500 })), [['A', 1, 1, 500]]);
});

test('probes back off exponentially and go on as long as they are answered', () => {
  const peer = established({ ...plain, window: 0 });
  peer.write(500);
  const times: number[] = [];
  const start = peer.now;
  while (peer.now - start < 1_800_000) {
    for (const probe of peer.wait(1000)) {
      times.push(probe.at);
      peer.arrives({ window: 0 });
    }
  }
  assert.equal(peer.connection.error, null);
  const gaps = times.slice(1).map((t, i) => t - times[i]);
  // Each gap doubles the one before until they are no longer than the patience allows.
  for (let i = 1; i < 5; i++) assert.ok(Math.abs(gaps[i] / gaps[i - 1] - 2) < 0.01, `gaps ${gaps}`);
  assert.ok(Math.max(...gaps) <= 120_000);
});

test('one lost probe does not end a connection that has waited long', () => {
  const peer = established({ ...plain, window: 0 });
  peer.write(500);
  let answered = 0;
  const start = peer.now;
  while (peer.now - start < 1_200_000) {
    for (const _ of peer.wait(1000)) if (++answered % 2 === 0) peer.arrives({ window: 0 });
  }
  assert.equal(peer.connection.error, null);
});

test('probes without answers end in ETIMEDOUT', () => {
  const peer = established({ ...plain, window: 0 });
  peer.write(500);
  peer.wait(250_000);
  assert.equal(peer.connection.error, 'ETIMEDOUT');
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('after long silence a closed window is probed before anything is given up', () => {
  const peer = established({ ...plain, window: 0 });
  peer.wait(3_600_000);
  peer.write(500);
  assert.ok(peer.wait(5_000).length >= 2);
  assert.equal(peer.connection.error, null);
});

test('when the window opens the timeout is not the one of the last probe', () => {
  const peer = established({ ...plain, sack: false, window: 0 });
  peer.write(500);
  for (let s = 0; s < 30; s++) for (const _ of peer.wait(1000)) peer.arrives({ window: 0 });
  peer.arrives({ window: 5000 });
  const rtoMs = peer.tcb.rtt.rtoMs;
  const resent = peer.wait(rtoMs + 1).filter(p => p.length > 0);
  assert.equal(resent.length >= 1, true, 'nothing was repeated within one timeout');
});

test('a window taken back: what is in flight is not given up while the peer answers', () => {
  const peer = established(plain);
  peer.write(5000);
  peer.arrives({ ack: 1, window: 0 });
  const start = peer.now;
  while (peer.now - start < 600_000) for (const _ of peer.wait(1000)) peer.arrives({ ack: 1, window: 0 });
  assert.equal(peer.connection.error, null);
  peer.arrives({ ack: 1, window: 5000 });
  peer.wait(121_000);
  peer.arrives({ ack: 5001, window: 5000 });
  assert.equal(peer.connection.unacknowledgedBytes, 0);
});

test('sender: no small segment because the window has a small rest', () => {
  // RFC 9293 §3.8.6.2.1: less than a segment, less than half the largest window, more data waiting.
  const peer = established({ ...plain, window: 5000 });
  assert.equal(total(peer.write(20_000)), 5000);
  assert.deepEqual(peer.arrives({ ack: 5001, window: 300 }), []);
  assert.equal(total(peer.arrives({ ack: 5001, window: 1000 })), 1000);
});

test('sender: half of the largest window is worth a segment, however small', () => {
  const peer = established({ ...plain, window: 400 });
  assert.equal(total(peer.write(5000)), 400);
  assert.deepEqual(peer.arrives({ ack: 401, window: 199 }), []);
  assert.equal(total(peer.arrives({ ack: 401, window: 200 })), 200);
});

test('sender: a small window that stays is used when the override time has passed', () => {
  // RFC 9293 §3.8.6.2.1 (4): otherwise a peer whose application waits for these bytes waits for ever.
  const peer = established({ ...plain, sack: false, window: 5000 });
  peer.write(20_000);
  peer.arrives({ ack: 5001, window: 300 });
  const sent: Packet[] = [];
  for (let i = 0; i < 50 && total(sent) === 0; i++) {
    const packets = peer.wait(100);
    sent.push(...packets);
    if (packets.length > 0 && total(packets) === 0) sent.push(...peer.arrives({ ack: 5001, window: 300 }));
  }
  assert.equal(total(sent), 300);
});

test('receiver: the right edge moves by half the buffer or two segments, not by crumbs', () => {
  const peer = established({ ...plain, config: { receiveBufferBytes: 8000 } });
  for (let i = 0; i < 8; i++) peer.arrives({ length: 1000 });
  const closed = peer.log.at(-1) as Packet;
  assert.deepEqual([closed.ack, closed.window], [8001, 0]);
  peer.read(500);
  assert.deepEqual(peer.sent(), []);
  // A probe now does not open it by 500 either.
  assert.equal(peer.arrives({ seq: 8000 })[0].window, 0);
  peer.read(1500);
  const [update] = peer.sent();
  assert.deepEqual([update.ack, update.window], [8001, 2000]);
});

test('receiver: reading everything tells the sender without being asked', () => {
  const peer = established({ ...plain, config: { receiveBufferBytes: 60_000 } });
  for (let i = 0; i < 60; i++) peer.arrives({ length: 1000 });
  peer.read();
  assert.equal(peer.sent().at(-1)?.window, 60_000);
});

test('receiver: what a closed window was sent in spite of it is not kept', () => {
  const peer = established({ ...plain, config: { receiveBufferBytes: 4000 } });
  peer.arrives({ length: 4000 });
  peer.arrives({ length: 1000 });
  assert.equal(peer.connection.readableBytes, 4000);
  assert.equal(peer.tcb.rcvNxt, 4001);
});

test('receiver: the right edge never moves back, whatever is read and received', () => {
  const peer = established({ ...plain, config: { receiveBufferBytes: 60_000 } });
  let highest = 0;
  for (let i = 1; i < 400; i++) {
    if (i % 7 === 0) peer.read((i * 131) % 3000);
    const room = highest === 0 ? 1000 : highest - peer.seq;
    const packets = room > 0 ? peer.arrives({ length: Math.min(room, 1 + ((i * 379) % 1000)) }) : peer.sent();
    for (const p of packets) {
      assert.ok(edge(p, 0) >= highest, `${edge(p, 0)} after ${highest}`);
      highest = edge(p, 0);
    }
  }
  assert.ok(highest > 60_000);
});

test('receiver: with a scaled window small segments cannot creep past the buffer', () => {
  // RFC 7323 §2.4: rounding may take back less than one unit; it must not give away the buffer's end.
  const limit = 200_000;
  const unit = 32; // 4,096 · 32 < 200,000 < 4,096 · 64
  const peer = established({ ...plain, config: { receiveBufferBytes: limit } });
  peer.arrives({ length: 50_000 });
  peer.arrives({ length: 50_000 });
  peer.arrives({ length: 50_000 });
  peer.arrives({ length: 49_000 });
  for (let i = 0; i < 5000; i++) {
    peer.arrives({ length: 1 });
    peer.wait(50);
  }
  assert.ok(peer.connection.readableBytes < limit + unit, `${peer.connection.readableBytes} bytes are held`);
  assert.ok(peer.connection.readableBytes >= limit);
});

test('receiver: whatever was offered is taken, after rounding too', () => {
  const peer = established({ ...plain, config: { receiveBufferBytes: 200_000 } });
  let highest = 0;
  for (let i = 0; i < 600; i++) {
    const room = highest - peer.seq;
    const length = highest === 0 ? 1001 : Math.min(1 + ((i * 577) % 999), room);
    if (length <= 0) break;
    for (const p of peer.arrives({ length })) {
      assert.equal(p.ack, peer.seq, 'something offered was not taken');
      highest = Math.max(highest, edge(p, 5));
    }
  }
  assert.equal(peer.read().length, peer.seq - 1);
});

test('delayed acknowledgement: after 40 ms, or with the second full segment', () => {
  const peer = delayingAcks(plain);
  assert.deepEqual(peer.arrives({ length: 1000 }), []);
  const start = peer.now;
  assert.deepEqual(
    peer.wait(100).map(p => p.at - start),
    [40],
  );
  assert.deepEqual(peer.arrives({ length: 1000 }), []);
  assert.equal(peer.arrives({ length: 1000 }).length, 1);
  // Nothing is left to acknowledge.
  assert.deepEqual(peer.wait(1000), []);
});

test('delayed acknowledgement: more than one full segment is enough, for windows that hold no second', () => {
  const peer = delayingAcks(plain);
  assert.deepEqual(peer.arrives({ length: 1000 }), []);
  assert.equal(peer.arrives({ length: 600 }).length, 1);
});

test('delayed acknowledgement: the first segments are acknowledged at once', () => {
  const peer = established(plain);
  for (let i = 0; i < 16; i++) assert.equal(peer.arrives({ length: 1000 }).length, 1, `segment ${i}`);
});

test('delayed acknowledgement: it rides on data that leaves', () => {
  const peer = delayingAcks(plain);
  peer.arrives({ length: 100 });
  const [data] = peer.write(10);
  assert.equal(data.ack, peer.seq);
  assert.deepEqual(
    peer.wait(100).filter(p => p.length === 0 && p.at < peer.now - 60),
    [],
  );
});

test('delayed acknowledgement: a super-segment of several counts as such', () => {
  const peer = delayingAcks(plain);
  assert.equal(peer.arrives({ length: 5000 }).length, 1);
});

test('one acknowledgement a batch', () => {
  const peer = established(plain);
  for (let i = 0; i < 10; i++) peer.receive({ length: 1000 });
  assert.deepEqual(brief(peer.sent()), [['A', 1, 10_001, 0]]);
});

test('a hole and the end of a hole are acknowledged at once, a FIN after data 40 ms later', () => {
  const peer = delayingAcks(plain);
  const seq = peer.seq;
  assert.equal(peer.arrives({ seq: seq + 100, length: 10 }).length, 1);
  // RFC 5681 §4.2: also when a segment "fills in all or part of a gap".
  assert.equal(peer.arrives({ seq, length: 50 }).length, 1);
  assert.equal(peer.arrives({ seq: seq + 50, length: 50 }).length, 1);
  assert.deepEqual(peer.arrives({ flags: 'FA', seq: seq + 110 }), []);
  const finMs = peer.now;
  assert.deepEqual(
    peer.wait(100).map(p => [p.at - finMs, p.ack]),
    [[40, seq + 111]],
  );
});

test('Nagle: a small segment waits while one is on its way', () => {
  const peer = established(plain);
  assert.equal(total(peer.write(10)), 10);
  assert.deepEqual(peer.write(20), []);
  assert.deepEqual(peer.write(30), []);
  assert.deepEqual(brief(peer.arrives({ ack: 11 })), [['A', 11, 1, 50]]);
});

test('Nagle: full segments do not wait, their rest does', () => {
  const peer = established(plain);
  peer.write(10);
  assert.equal(total(peer.write(2500)), 2000);
  assert.equal(total(peer.arrives({ ack: 2011 })), 500);
});

test('Nagle: noDelay sends at once, and frees what waits', () => {
  const peer = established(plain);
  peer.write(10);
  peer.write(20);
  peer.connection.setNoDelay(true, peer.now);
  assert.equal(total(peer.sent()), 20);
  assert.equal(total(peer.write(5)), 5);
});

test('Nagle: closing frees what waits', () => {
  const peer = established(plain);
  peer.write(10);
  peer.write(20);
  peer.connection.shutdown(peer.now);
  assert.deepEqual(brief(peer.sent()), [['FA', 11, 1, 20]]);
});

test('write takes what fits, WRITABLE says when there is room again', () => {
  const peer = established({ ...plain, config: { sendBufferBytes: 3000 } });
  peer.connection.takeEvents();
  assert.equal(peer.connection.write(new Uint8Array(5000), 0, 5000, peer.now), 3000);
  assert.equal(peer.connection.writableBytes, 0);
  peer.sent();
  assert.equal(peer.connection.takeEvents() & Ready.WRITABLE, 0);
  peer.arrives({ ack: 1001 });
  assert.equal(peer.connection.takeEvents() & Ready.WRITABLE, Ready.WRITABLE);
  assert.equal(peer.connection.writableBytes, 1000);
});

test('bytes arrive as they were sent, in pieces of every size, over the end of number space', () => {
  const peer = established({ ...plain, window: 65_535, windowScale: 4 });
  let received = Buffer.alloc(0);
  for (let i = 1; i <= 40; i++) {
    peer.arrives({ length: i * 37 });
    received = Buffer.concat([received, peer.read()]);
    for (const p of peer.write(i * 53)) peer.arrives({ ack: p.seq + p.length });
  }
  const sent = reassemble(peer);
  assert.equal(received.length, (40 * 41 * 37) / 2);
  assert.equal(sent.length, (40 * 41 * 53) / 2);
  assert.deepEqual(sent, Buffer.from(sent.map((_, i) => expected(1 + i))));
  assert.deepEqual(received, Buffer.from(received.map((_, i) => expected(1 + i))));
});

function expected(offset: number): number {
  return (offset * 31 + (offset >> 8) * 7) & 255;
}

function reassemble(peer: Peer): Buffer {
  const end = Math.max(...peer.log.map(p => p.seq + p.length));
  const bytes = Buffer.alloc(end - 1);
  for (const p of peer.log) if (p.length > 0) p.payload.copy(bytes, p.seq - 1);
  return bytes;
}
