// One below, at, one above: how a connection opens. Addresses, windows before and after the handshake, what the owner of
// the stream may refuse, TCP Fast Open's options and data. Expected values are the rules of the RFC named beside them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ready } from '../../src/host/index.ts';
import { addressSegment } from '../../src/tcp/addressing.ts';
import type { NetworkInterface } from '../../src/tcp/environment.ts';
import {
  FastOpenClient,
  FastOpenServer,
  fillSyn,
  fillSynAck,
  synAnswered,
  synRoom,
  takeEarly,
} from '../../src/tcp/fast-open.ts';
import type { Tcb } from '../../src/tcp/tcb.ts';
import { expireTimers, Timer } from '../../src/tcp/timers.ts';
import { Mp, Segment } from '../../src/wire/index.ts';
import { brief, connected, established, Peer, synOptions, synReceived, synSent } from './peer.ts';

const SILENT = { answered: () => {}, blackHole: () => {}, passes: () => {} };

test('a segment goes from our address and port to the peer’s, every word of them', () => {
  const segment = new Segment();
  const words = Int32Array.of(1, 2, 3, 4);
  const networkInterface = { family: 6, words } as unknown as NetworkInterface;
  const remoteWords = Int32Array.of(5, 6, 7, 8);
  addressSegment(segment, { networkInterface, localPort: 9, remoteWords, remotePort: 10 });
  assert.equal(segment.ipVersion, 6);
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3, srcPort, dstPort } = segment;
  assert.deepEqual([src0, src1, src2, src3], [1, 2, 3, 4]);
  assert.deepEqual([dst0, dst1, dst2, dst3, srcPort, dstPort], [5, 6, 7, 8, 9, 10]);
});

test('RFC 9293 §3.7.1: the segment size of who has not heard the peer’s, and the least that is believed', () => {
  const v6 = { hostAddress: '2001:db8::1', peerAddress: '2001:db8::2' };
  assert.equal(synSent().tcb.mss, 536);
  for (const [options, mss, expected] of [
    [{}, 0, 536],
    [v6, 0, 1220],
    [{}, 1, 88],
    [{}, 88, 88],
    [{}, 89, 89],
    [{}, 1460, 1460],
    [{}, 1461, 1460],
    [v6, 1441, 1440],
    [{ config: { maxSegmentBytes: 1000 } }, 1460, 1000],
    [{ config: { maxSegmentBytes: 1000 } }, 999, 999],
    [{ config: { maxSegmentBytes: 2000 } }, 9000, 1460],
  ] as const) {
    const peer = new Peer({ ...options, timestamps: false }).listen();
    const [synAck] = peer.arrives({ flags: 'S', mss });
    peer.adopt();
    assert.equal(peer.tcb.mss, expected, `${mss}`);
    const wanted = 'config' in options ? options.config.maxSegmentBytes : Infinity;
    assert.equal(synAck.mss, Math.min(wanted, options === v6 ? 1440 : 1460));
  }
  // Options beside it: 12 bytes of timestamps, those of the extension; something is left in any case.
  for (const [timestamps, extra, payload] of [
    [false, 0, 1460],
    [true, 0, 1448],
    [true, 28, 1420],
    [true, 1384, 64],
    [true, 1385, 64],
  ] as const) {
    const { tcb } = established({ timestamps });
    Object.assign(tcb.extension, { dataOptionBytes: extra });
    assert.equal(tcb.payloadMss, payload);
  }
});

test('nothing is offered before the SYN/ACK leaves, and with it as much as 16 bits say', () => {
  const peer = new Peer({
    config: { receiveBufferInitialBytes: 1 << 20, receiveBufferBytes: 1 << 20 },
  }).listen();
  peer.receive({ flags: 'S', ...synOptions({}) });
  peer.adopt();
  assert.equal(peer.tcb.rcvEdge, 1);
  const [synAck] = peer.sent();
  assert.deepEqual([synAck.window, peer.tcb.rcvEdge], [65_535, 65_536]);
  const small = new Peer({ config: { receiveBufferInitialBytes: 1, receiveBufferBytes: 1 } }).listen();
  assert.equal(small.arrives({ flags: 'S', ...synOptions({}) })[0].window, 1);
});

test('RFC 7323 §2.2: the window of a SYN or SYN/ACK is not scaled; the first that is begins the measure anew', () => {
  const client = connected({ windowScale: 3, window: 5000 });
  assert.deepEqual([client.tcb.sndWnd, client.tcb.maxSndWnd], [5000, 5000]);
  client.arrives({ window: 1000 });
  assert.deepEqual([client.tcb.sndWnd, client.tcb.maxSndWnd], [8000, 8000]);
  const server = synReceived({ windowScale: 1, window: 60_000 });
  assert.equal(server.tcb.maxSndWnd, 60_000);
  server.arrives({ window: 400 });
  assert.deepEqual([server.tcb.sndWnd, server.tcb.maxSndWnd], [800, 800]);
});

test('what the owner of the stream does not admit, or ends, is not established', () => {
  for (const [admits, received, state, opened] of [
    [true, true, 'ESTABLISHED', 1],
    [false, true, 'SYN-RECEIVED', 0],
    [true, false, 'ESTABLISHED', 0],
  ] as const) {
    const peer = synReceived();
    let told = 0;
    Object.assign(peer.tcb.extension, {
      admits: () => admits,
      received: () => received,
      established: () => told++,
    });
    peer.receive({ flags: 'A' });
    assert.equal(peer.state, state);
    assert.equal(told, opened);
  }
  // Nor does the rest of such a segment count, later on.
  const peer = established();
  peer.write(100);
  Object.assign(peer.tcb.extension, { received: () => false });
  peer.receive({ ack: 101, length: 10 });
  assert.deepEqual([peer.tcb.sndUna, peer.tcb.rcvNxt], [1, 1]);
  peer.receive({ seq: 0, ack: 101 });
  assert.equal(peer.tcb.sndUna, 1);
});

test('the answer to a SYN: its owner is asked first, with the numbers of the stream', () => {
  for (const [goesOn, bytes, ack, acknowledged] of [
    [true, 0, 1, []],
    [true, 1, 2, [2]],
    [false, 1, 2, []],
  ] as const) {
    const peer = synSent();
    const { tcb } = peer;
    const seen: unknown[] = [];
    const told: number[] = [];
    let opened = 0;
    tcb.sndNxt = 1 + bytes;
    Object.assign(tcb.extension, {
      received: (_: Segment, ssn: number, number: number) => {
        seen.push([ssn, number, peer.state]);
        return goesOn;
      },
      acknowledged: (ssn: number) => told.push(ssn),
      established: () => opened++,
    });
    peer.receive({ flags: 'SA', ack, ...synOptions({}) });
    assert.deepEqual(seen, [[1, ack, 'ESTABLISHED']]);
    assert.deepEqual([told, opened], [acknowledged, goesOn ? 1 : 0]);
  }
});

/** A client whose SYN has not left, with `written` bytes of the application. */
function opening(written: number, client: { cookie: number; carries?: boolean; mss?: number }): Tcb {
  const peer = synSent();
  const { tcb } = peer;
  const cookie = client.cookie < 0 ? null : new Uint8Array(client.cookie).fill(7);
  tcb.fastOpenClient = new FastOpenClient({
    ...{ cookie, carries: client.carries ?? true, mss: client.mss ?? 0, memory: SILENT },
  });
  tcb.synTransmissions = 0;
  peer.connection.write(new Uint8Array(written), 0, written, peer.now);
  return tcb;
}

/** Options of 20 bytes, and 12 more for a SACK block. */
function synSegment(sackCount = 0): Segment {
  return Object.assign(new Segment(), {
    ...{ flags: 2, mss: 1460, windowScale: 7, sackPermitted: true, hasTimestamps: true, sackCount },
  });
}

test('RFC 7413 §4.1: a cookie that fits into the options, and data with it; nothing in a repetition', () => {
  for (const [written, client, sackCount, bytes, cookieBytes] of [
    [500, { cookie: 8 }, 0, 500, 8],
    [500, { cookie: 16 }, 0, 500, 16],
    [500, { cookie: 6 }, 1, 500, 6],
    [500, { cookie: 8 }, 1, 0, -1],
    [500, { cookie: 0, carries: false }, 0, 0, 0],
    [500, { cookie: -1 }, 0, 500, -1],
    [1420, { cookie: 8 }, 0, 1420, 8],
    [1421, { cookie: 8 }, 0, 1420, 8],
    [500, { cookie: 8, mss: 41 }, 0, 1, 8],
    [500, { cookie: 8, mss: 40 }, 0, 0, 8],
    [500, { cookie: 8, mss: 39 }, 0, 0, 8],
    [0, { cookie: 8 }, 0, 0, 8],
  ] as const) {
    const tcb = opening(written, client);
    const segment = synSegment(sackCount);
    const what = JSON.stringify([written, client, sackCount]);
    assert.equal(fillSyn(tcb, segment, 1000), bytes, what);
    assert.equal(segment.fastOpenLength, cookieBytes, what);
    const { sent } = tcb;
    assert.deepEqual([tcb.sndNxt, tcb.bytesSent, tcb.fastOpenClient?.bytes], [1 + bytes, bytes, bytes]);
    assert.equal(sent.count, bytes > 0 ? 1 : 0, what);
    if (bytes > 0) assert.deepEqual([sent.start(0), sent.length(0)], [1, bytes]);
  }
  const tcb = opening(500, { cookie: 8 });
  tcb.synTransmissions = 1;
  const segment = synSegment();
  assert.deepEqual([fillSyn(tcb, segment, 1000), segment.fastOpenLength], [0, -1]);
  tcb.fastOpenClient = null;
  assert.equal(synRoom(tcb), 1420);
});

test('RFC 8684 §B.1: with MP_CAPABLE the cookie granted takes the place of timestamps, where there is no other', () => {
  for (const [mp, hasTimestamps, cookie, sackCount, placed, keeps] of [
    [Mp.CAPABLE, true, 8, 0, 8, false],
    [Mp.CAPABLE, true, 6, 0, 6, true],
    [0, true, 8, 1, -1, true],
    [0, true, 6, 1, 6, true],
    [0, true, 16, 0, 16, true],
    [Mp.CAPABLE, false, 16, 1, -1, true],
  ] as const) {
    const { tcb } = synReceived();
    tcb.fastOpenServer = new FastOpenServer({ grant: new Uint8Array(cookie), early: false });
    // 20 bytes, 12 of MP_CAPABLE, 12 of a SACK block.
    const segment = Object.assign(synSegment(sackCount), { flags: 18, hasTimestamps, mp, capableLength: 12 });
    fillSynAck(tcb, segment);
    assert.deepEqual([segment.fastOpenLength, tcb.timestamps], [placed, keeps], `${[mp, cookie, sackCount]}`);
    assert.equal(segment.hasTimestamps, hasTimestamps && keeps);
  }
  const { tcb } = synReceived();
  const segment = synSegment();
  fillSynAck(tcb, segment);
  assert.equal(segment.fastOpenLength, -1);
});

test('RFC 7413 §4.1.3: what the answer to a SYN with data means, and what is remembered of it', () => {
  for (const [cookie, transmissions, ack, granted, synLost] of [
    [8, 1, 501, 8, false],
    [-1, 1, 1, null, false],
    [-1, 2, 1, null, true],
    [0, 2, 1, null, true],
    [8, 2, 1, 8, false],
    [-1, 2, 501, null, false],
    [-1, 2, 201, null, true],
  ] as const) {
    const tcb = opening(500, { cookie: 8 });
    fillSyn(tcb, synSegment(), 1000);
    const answers: unknown[] = [];
    const early: number[] = [];
    const memory = { ...SILENT, answered: (answer: unknown) => answers.push(answer) };
    Object.assign(tcb.fastOpenClient as FastOpenClient, { memory });
    Object.assign(tcb.extension, { earlyAcknowledged: (length: number) => early.push(length) });
    tcb.synTransmissions = transmissions;
    const segment = Object.assign(new Segment(), { fastOpenLength: cookie, mss: 1234 });
    synAnswered(tcb, segment, ack, 1000);
    const remembered = granted === null ? null : new Uint8Array(granted);
    const expected = { mss: 1234, cookie: remembered, experimental: false, synLost, unheard: false };
    assert.deepEqual(answers, [expected], `${[cookie, ack]}`);
    // What was not taken is as if it had never been sent.
    const all = ack === 501;
    assert.deepEqual([tcb.sndNxt, tcb.bytesSent, tcb.sent.count, early], [ack, ack - 1, 0, [ack - 1]]);
    const { TCPFastOpenActive, TCPFastOpenActiveFail, RetransSegs } = tcb.env.counters;
    assert.deepEqual([TCPFastOpenActive, TCPFastOpenActiveFail, RetransSegs], all ? [1, 0, 0] : [0, 1, 1]);
  }
  for (const [cookie, carries, told] of [
    [0, false, 1],
    [-1, true, 1],
    [-1, false, 0],
  ] as const) {
    const tcb = opening(0, { cookie, carries });
    let answers = 0;
    Object.assign(tcb.fastOpenClient as FastOpenClient, {
      memory: { ...SILENT, answered: () => answers++ },
    });
    synAnswered(tcb, new Segment(), 1, 1000);
    assert.equal(answers, told);
    const { TCPFastOpenActive, TCPFastOpenActiveFail, RetransSegs } = tcb.env.counters;
    assert.deepEqual([TCPFastOpenActive, TCPFastOpenActiveFail, RetransSegs], [0, 0, 0]);
  }
});

test('two SYNs that cross: the data of ours is in flight until the peer says what it took', () => {
  const peer = synSent();
  const { tcb } = peer;
  const cookie = new Uint8Array(8);
  tcb.fastOpenClient = new FastOpenClient({ cookie, carries: true, mss: 0, memory: SILENT });
  peer.connection.write(new Uint8Array(500), 0, 500, peer.now);
  tcb.synTransmissions = 0;
  fillSyn(tcb, synSegment(), peer.now);
  tcb.synTransmissions = 1;
  peer.receive({ flags: 'S', seq: 0, ...synOptions({}) });
  assert.deepEqual([peer.state, tcb.sndNxt, tcb.sent.count], ['SYN-RECEIVED', 501, 1]);
});

test('the third timeout in a row of a connection that began with Fast Open is a black hole, its second is none', () => {
  for (const [backoff, holes] of [
    [1, 0],
    [2, 1],
    [3, 0],
  ]) {
    const peer = connected();
    const { tcb } = peer;
    let told = 0;
    const memory = { ...SILENT, blackHole: () => told++ };
    tcb.fastOpenClient = new FastOpenClient({ cookie: new Uint8Array(8), carries: true, mss: 0, memory });
    peer.write(1000);
    tcb.backoff = backoff;
    tcb.deadlines.fill(Infinity);
    tcb.deadlines[Timer.RETRANSMIT] = peer.now;
    expireTimers(tcb, peer.now);
    assert.equal(told, holes, `${backoff}`);
  }
});

test('RFC 7413 §4.2.2: data of a SYN as far as there is room, and the application is told of what it can read', () => {
  for (const [length, room, taken] of [
    [0, 65_536, 0],
    [1, 65_536, 1],
    [500, 400, 400],
  ]) {
    const peer = synReceived();
    const { tcb, connection } = peer;
    Object.assign(tcb.extension, { windowBytes: () => room });
    connection.takeEvents();
    takeEarly(tcb, Object.assign(new Segment(), { payloadLength: length }), peer.now);
    assert.deepEqual([tcb.rcvNxt, tcb.bytesReceived, connection.readableBytes], [1 + taken, taken, taken]);
    const events = connection.takeEvents();
    assert.equal((events & Ready.READABLE) !== 0, taken > 0);
    assert.equal((events & Ready.CONNECTED) !== 0, true);
  }
});

test('a cookie alone, without data, is taken as one: the connection is early, and no data of the SYN was', () => {
  for (const [length, taken] of [
    [0, false],
    [1, true],
  ] as const) {
    const peer = new Peer({ fastOpen: 4, config: { fastOpen: 3 } }).listen();
    const [first] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: '', port: 40_000 });
    peer.seq = peer.ack = 0;
    const [synAck] = peer.arrives({ flags: 'S', ...synOptions({}), fastOpen: first.fastOpen ?? '', length });
    assert.equal(synAck.ack, 1 + length);
    peer.accept();
    assert.deepEqual([peer.tcb.synDataTaken, peer.state], [taken, 'SYN-RECEIVED']);
    assert.deepEqual(brief(peer.write(10)), [['A', 1, 1 + length, 10]]);
  }
});
