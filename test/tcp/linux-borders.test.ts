// What is as in Linux where that is configured, what TCP_INFO shows, and what routers have said of paths; data with a
// SYN/ACK. Segments have 1,000 bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Busy } from '../../src/tcp/busy.ts';
import { FastOpenClient, fillSyn } from '../../src/tcp/fast-open.ts';
import { noteReordering, rackDelivered } from '../../src/tcp/rack.ts';
import { ReceiveBuffer } from '../../src/tcp/receive-buffer.ts';
import type { Tcb } from '../../src/tcp/tcb.ts';
import { Segment } from '../../src/wire/index.ts';
import {
  brief,
  connected,
  established,
  type Peer,
  type PeerOptions,
  stream,
  synOptions,
  synReceived,
  synSent,
} from './peer.ts';

const plain: PeerOptions = { timestamps: false, mss: 1000 };
const asLinux: PeerOptions = { ...plain, config: { asLinux: true } };

test('as Linux: where reordering is usual the window grows by what is only reported', () => {
  for (const [options, reorderingSegments, calls] of [
    [asLinux, 4, 1],
    [asLinux, 3, 0],
    [plain, 4, 0],
  ] as const) {
    const peer = established(options);
    peer.write(3000);
    const { tcb } = peer;
    let told = 0;
    tcb.reorderingSegments = reorderingSegments;
    tcb.congestion.onAck = () => {
      told++;
    };
    peer.receive({ ack: 1, sack: [[1001, 2001]] });
    assert.equal(told, calls);
  }
});

test('as Linux: of a block only whole segments count', () => {
  for (const [block, linux, ours] of [
    [
      [1001, 2001],
      [1000, 3],
      [1000, 3],
    ],
    [
      [1501, 3501],
      [1000, 3],
      [2000, 3],
    ],
    [
      [1001, 2000],
      [0, 2],
      [999, 3],
    ],
    [
      [1001, 3501],
      [2000, 3],
      [2500, 3],
    ],
    [
      [4501, 5001],
      [0, 1],
      [500, 2],
    ],
    [
      [4001, 5001],
      [1000, 2],
      [1000, 2],
    ],
  ] as [[number, number], number[], number[]][]) {
    for (const options of [asLinux, plain]) {
      const peer = established(options);
      peer.write(5000);
      peer.receive({ ack: 1, sack: [block] });
      const { sent } = peer.tcb;
      assert.deepEqual([sent.sackedBytes, sent.count], options === asLinux ? linux : ours, `${block}`);
    }
  }
});

test('as Linux: an acknowledgement of what was never sent gets no answer', () => {
  for (const [options, answers] of [
    [asLinux, 0],
    [plain, 1],
  ] as const) {
    assert.equal(established(options).arrives({ ack: 2 }).length, answers);
  }
});

test('as Linux: the window of a SYN is a whole number of segments', () => {
  const config = { asLinux: true, receiveBufferBytes: 5000, receiveBufferInitialBytes: 5000 };
  // 3 · 1,460; with timestamps agreed 3 · 1,448.
  assert.equal(synSent({ config }).log[0].window, 4380);
  assert.equal(synReceived({ config }).log[0].window, 4344);
  assert.equal(synReceived({ config, timestamps: false }).log[0].window, 4380);
  assert.equal(synSent({ config: { ...config, asLinux: false } }).log[0].window, 5000);
  const small = { asLinux: true, receiveBufferBytes: 1000, receiveBufferInitialBytes: 1000 };
  assert.equal(synSent({ config: small }).log[0].window, 1000);
});

test('as Linux: reading opens the window no wider than it was offered', () => {
  for (const [calm, read, due] of [
    [true, 3999, false],
    [true, 4001, true],
    [false, 3999, true],
  ] as const) {
    const of = new ReceiveBuffer({ firstOffset: 1, limitBytes: 100_000, initialBytes: 8000, calm });
    assert.equal(of.offer(0, 100), 8000);
    of.insert(1, new Uint8Array(read), 0, read);
    of.read(new Uint8Array(read), 0, read);
    of.limit = 100_000;
    assert.equal(of.shouldUpdateWindow(100, 0), due, `${calm} ${read}`);
  }
});

test('one more acknowledgement leaves behind the next, where it was asked for', () => {
  const peer = established(plain);
  peer.tcb.ackAgain = true;
  assert.equal(peer.arrives({ length: 10 }).length, 2);
  assert.equal(peer.arrives({ length: 10 }).length, 1);
});

test('TCP_INFO: what a connection was busy with, in microseconds', () => {
  const block = (sndUna: number, sndNxt: number, sndWnd: number): Tcb =>
    ({ sndUna, sndNxt, sndWnd, payloadMss: 1000 }) as Tcb;
  for (const [tcb, unsent, wantsRoom, busy, window, buffer] of [
    [block(1, 1, 5000), 0, false, 0, 0, 0],
    [block(0, 1, 5000), 0, true, 0, 0, 0],
    [block(0, 2, 5000), 0, false, 10_000, 0, 0],
    [block(1, 2, 5000), 0, false, 10_000, 0, 0],
    [block(1, 1, 5000), 1, false, 10_000, 0, 0],
    [block(1, 1001, 5000), 0, true, 10_000, 0, 10_000],
    [block(1, 1, 5000), 0, true, 0, 0, 0],
    [block(1, 1001, 5000), 1, true, 10_000, 0, 0],
    [block(1, 1, 999), 1000, false, 10_000, 10_000, 0],
    [block(1, 1, 1000), 1000, false, 10_000, 0, 0],
    [block(1, 1, 499), 500, false, 10_000, 10_000, 0],
    [block(1, 1, 500), 500, false, 10_000, 0, 0],
    [block(1, 1, 999), 5000, false, 10_000, 10_000, 0],
    [block(1, 1, 1000), 5000, false, 10_000, 0, 0],
    [block(1, 1001, 999), 0, false, 10_000, 0, 0],
  ] as const) {
    const spent = new Busy();
    spent.note(tcb, unsent, wantsRoom, 100);
    const { tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited } = spent.info(110);
    assert.deepEqual([tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited], [busy, window, buffer]);
  }
  const spent = new Busy();
  spent.note(block(1, 1001, 5000), 0, false, 100);
  spent.note(block(1, 1001, 1000), 10, false, 150);
  spent.note(block(1, 1001, 1000), 10, false, 160);
  spent.note(block(1001, 1001, 1000), 0, false, 200);
  assert.deepEqual(spent.info(300), {
    ...{ tcpi_busy_time: 100_000, tcpi_rwnd_limited: 50_000, tcpi_sndbuf_limited: 0 },
  });
});

test('TCP_INFO: short of a buffer is who was refused something that still has no room', () => {
  for (const [written, room, limited] of [
    [3001, 3000, 10_000],
    [3000, 3000, 0],
    [3001, 4000, 0],
  ]) {
    const peer = established({ ...plain, config: { sendBufferBytes: 3000 } });
    peer.connection.write(new Uint8Array(written), 0, written, peer.now);
    peer.connection.stream.sendBuffer.fix(room);
    peer.sent();
    assert.equal(peer.tcb.busy?.info(peer.now + 10).tcpi_sndbuf_limited, limited, `${written} ${room}`);
  }
});

test('TCP_INFO: segments delivered, the SYN among them, and sent again, a bare FIN among them', () => {
  const peer = established({ ...plain, sack: false });
  const { tcb } = peer;
  assert.deepEqual([tcb.segmentsDelivered, tcb.establishedMs], [1, peer.now]);
  peer.write(2500);
  peer.arrives({ ack: 2501 });
  assert.equal(tcb.segmentsDelivered, 4);
  peer.connection.shutdown(peer.now);
  peer.sent();
  peer.wait(300);
  assert.equal(tcb.segmentsResent, 1);
});

test('TCP_INFO: reordering in segments, three as long as less was seen and 300 at most', () => {
  for (const [lateSsn, highest, times, segments] of [
    [Infinity, 9001, 0, 3],
    [1, 2001, 1, 3],
    [1, 3001, 1, 3],
    [1, 3002, 1, 4],
    [1, 300_001, 1, 300],
    [1, 900_001, 1, 300],
  ]) {
    const { tcb } = established(plain);
    Object.assign(tcb, { lateSsn, highestSacked: highest });
    noteReordering(tcb);
    assert.deepEqual([tcb.reorderings, tcb.reorderingSegments, tcb.lateSsn], [times, segments, Infinity]);
  }
  const { tcb } = established(plain);
  for (let i = 0; i < 3; i++) tcb.sent.append(1 + i * 1000, 1000, 5, 0);
  tcb.highestSackedBefore = 9001;
  for (const i of [1, 0, 2]) rackDelivered(tcb, i, -1, 100);
  assert.equal(tcb.lateSsn, 1, 'the lowest of all');
});

test('RFC 9293 §3.10.7.3: text and FIN of a SYN/ACK are processed, where no mapping is needed for them', () => {
  const answered = (flags: string, length: number, dataOptionBytes = 0): Peer => {
    const peer = synSent({ timestamps: false });
    Object.assign(peer.tcb.extension, { dataOptionBytes });
    peer.arrives({ flags, ack: 1, length, ...synOptions(plain) });
    return peer;
  };
  const text = answered('SA', 10);
  assert.deepEqual([text.tcb.rcvNxt, text.state], [11, 'ESTABLISHED']);
  assert.deepEqual(text.read(), stream(1, 10));
  const fin = answered('SFA', 0);
  assert.deepEqual([fin.tcb.rcvNxt, fin.state], [2, 'CLOSE-WAIT']);
  const mapped = answered('SA', 10, 24);
  assert.deepEqual([mapped.tcb.rcvNxt, mapped.connection.readableBytes], [1, 0]);
  const crossing = answered('S', 10);
  assert.deepEqual([crossing.tcb.rcvNxt, crossing.state], [1, 'SYN-RECEIVED']);
  const bare = answered('SA', 0);
  assert.deepEqual([bare.tcb.rcvNxt, bare.tcb.lastPayloadMs], [1, -1]);
});

test('RFC 9293 §3.5 with RFC 7413: of SYNs that cross, the SYN/ACK says whether the data of ours was taken', () => {
  for (const [bytes, ack, taken] of [
    [500, 501, true],
    [500, 201, false],
    [500, 1, false],
    [1, 2, true],
  ] as const) {
    const peer = synSent(plain);
    const { tcb } = peer;
    let answers = 0;
    const memory = { answered: () => answers++, blackHole: () => {}, passes: () => {} };
    tcb.fastOpenClient = new FastOpenClient({ cookie: new Uint8Array(8), carries: true, mss: 0, memory });
    peer.connection.write(new Uint8Array(bytes), 0, bytes, peer.now);
    tcb.synTransmissions = 0;
    assert.equal(fillSyn(tcb, new Segment(), peer.now), bytes);
    assert.equal(tcb.pipeBytes, bytes, 'the SYN is none');
    tcb.synTransmissions = 1;
    peer.receive({ flags: 'S', seq: 0, ...synOptions(plain) });
    assert.equal(answers, 0);
    peer.receive({ flags: 'A', seq: 1, ack });
    assert.deepEqual([tcb.synDataTaken, tcb.sndUna, answers], [taken, ack, 1], `${bytes} ${ack}`);
    const again = peer.sent().filter(p => p.length > 0);
    assert.deepEqual(brief(again), taken ? [] : [['A', ack, 1, bytes + 1 - ack]]);
  }
  // Without data the SYN is the answer, and it is asked once.
  const peer = synSent(plain);
  const { tcb } = peer;
  const told: boolean[] = [];
  const answered = (answer: { synLost: boolean }): void => void told.push(answer.synLost);
  const memory = { answered, blackHole: () => {}, passes: () => {} };
  tcb.fastOpenClient = new FastOpenClient({ cookie: new Uint8Array(0), carries: false, mss: 0, memory });
  tcb.synTransmissions = 2;
  assert.equal(tcb.pipeBytes, 0);
  peer.receive({ flags: 'S', seq: 0, ...synOptions(plain) });
  peer.receive({ flags: 'A', seq: 1, ack: 1 });
  assert.deepEqual([told, peer.state], [[false], 'ESTABLISHED']);
});

test('RFC 1191 §5.2: what a router said of the path counts as long as it is remembered', () => {
  const v6 = { hostAddress: '2001:db8::1', peerAddress: '2001:db8::2' };
  for (const [options, later, mss] of [
    [{}, 1, 1260],
    [{}, 0, 1460],
    [v6, 1, 1240],
    [v6, 0, 1440],
  ] as const) {
    const { tcb, now } = connected({ ...options, timestamps: false });
    tcb.env.shared.pathMtus.set(tcb.remoteWords.join(), { mtuBytes: 1300, untilMs: now + later });
    tcb.applyMss(9000, now);
    assert.equal(tcb.mss, mss);
  }
  const { tcb, now } = connected(plain);
  tcb.env.shared.pathMtus.set('another', { mtuBytes: 1300, untilMs: now + 9 });
  tcb.applyMss(9000, now);
  assert.equal(tcb.mss, 1460);
});
