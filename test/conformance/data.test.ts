// Mappings, DATA_ACKs and windows (RFC 8684 §3.3) where no other test says them by name: what a hand-made peer
// does to one host, and what two hosts send.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_CONFIG } from '../../src/host/config.ts';
import type { Connection } from '../../src/host/index.ts';
import { ResetReason } from '../../src/mptcp/index.ts';
import { DssFlag, Flag, Mp, type Segment, writeChecksum } from '../../src/wire/index.ts';
import { writeIpv4Checksum } from '../../src/wire/ip.ts';
import { type Flow, RawPeer } from '../mptcp/raw-peer.ts';
import {
  bytesOf,
  encode,
  first,
  has,
  hasData,
  isRst,
  isSyn,
  isSynAck,
  stripped,
  World,
} from '../mptcp/world.ts';

const none: Uint8Array = new Uint8Array(0);

/** The peer, a confirmed connection and its first flow. */
function opened(options: ConstructorParameters<typeof RawPeer>[0] = {}): {
  peer: RawPeer;
  flow: Flow;
  connection: Connection;
} {
  const peer = new RawPeer(options);
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  assert.ok(peer.connection !== null);
  return { peer, flow, connection: peer.connection };
}

/** An ACK of everything the flow has received, with this DATA_ACK. */
function acknowledge(peer: RawPeer, flow: Flow, dataAck: number, fields: Partial<Segment> = {}): Segment[] {
  const all = peer.mapping({ ssn: 0, dsn: 0, length: 0, payload: none, dataAck });
  const dss = { ...all, dssFlags: DssFlag.DATA_ACK | DssFlag.DATA_ACK_64 };
  return peer.put(peer.segment(flow, { ...dss, ...fields }));
}

/** The data the host has sent on a flow, as offsets of the stream. */
function sentOn(peer: RawPeer, flow: Flow, sent: Segment[]): { dsn: number; ssn: number; length: number }[] {
  const mine = sent.filter(s => s.dstPort === flow.port && s.payloadLength > 0);
  return mine.map(s => {
    const wire = (BigInt(s.dsnHi) << 32n) | BigInt(s.dsnLo);
    const dsn = Number(BigInt.asUintN(64, wire - peer.hostIdsn));
    return { dsn, ssn: s.ssn, length: s.payloadLength };
  });
}

function total(parts: { length: number }[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0);
}

/** The same IPv4 packet with these bytes, a multiple of four, behind its options. */
function withOptions(packet: Uint8Array, options: readonly number[]): Uint8Array {
  const out = new Uint8Array(packet.length + options.length);
  const end = 20 + (packet[32] >> 4) * 4;
  out.set(packet.subarray(0, end));
  out.set(options, end);
  out.set(packet.subarray(end), end + options.length);
  out[32] += (options.length / 4) << 4;
  new DataView(out.buffer).setUint16(2, out.length);
  writeIpv4Checksum(out, 0, 20);
  writeChecksum(out, 0, out.length);
  return out;
}

test('G5: options of unknown subtypes and lengths are as if they were not there', () => {
  const strange = [
    // Subtypes 9 and 15; a DSS, an MP_FAIL and an MP_FASTCLOSE of no legal length.
    [30, 4, 0x90, 0, 30, 8, 0xf0, 1, 2, 3, 4, 5],
    [30, 5, 0x20, 1, 9, 1, 1, 1],
    [30, 4, 0x60, 0, 30, 4, 0x70, 0],
  ];
  const { peer, flow } = opened();
  for (const [i, options] of strange.entries()) {
    const at = 10 + i * 20;
    const map = peer.mapping({ ssn: flow.ssn, dsn: at + 1, length: 20, payload: bytesOf(20, at) });
    const packet = encode(peer.segment(flow, map), bytesOf(20, at));
    flow.ssn += 20;
    const bytes = withOptions(packet, options);
    peer.host.receive(peer.interfaceId, bytes, 0, bytes.length, peer.now);
    assert.deepEqual(peer.take().filter(isRst), []);
  }
  assert.deepEqual(peer.read(), bytesOf(70));
  assert.equal(peer.connection?.multipath().active, true);
});

test('D5a: no segment ever has an urgent pointer', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  world.finish();
  for (const { segment } of world.log) assert.equal(segment.flags & Flag.URG, 0);
});

test('D5b: urgent data that arrives is part of the stream, in its place', () => {
  const { peer, flow } = opened();
  const fields = peer.mapping({ ssn: flow.ssn, dsn: 11, length: 20, payload: bytesOf(20, 10) });
  const segment = peer.segment(flow, { ...fields, flags: Flag.ACK | Flag.PSH | Flag.URG, urgent: 5 });
  flow.ssn += 20;
  const [ack] = peer.put(segment, bytesOf(20, 10));
  assert.equal(peer.dataAck(ack), 31);
  assert.deepEqual(peer.read(), bytesOf(30));
});

/** Mappings of a conversation, all with or all without the upper half of their DSN. */
function mappingsOf(shortSequence: boolean): boolean[] {
  const world = new World({ client: { shortSequence }, server: { shortSequence } });
  world.establish();
  world.transfer('client', 50_000);
  world.transfer('server', 50_000);
  const maps = world.log.filter(p => has(p.segment, Mp.DSS) && (p.segment.dssFlags & DssFlag.MAP) !== 0);
  assert.ok(maps.length > 50);
  world.finish();
  return maps.map(({ segment }) => (segment.dssFlags & DssFlag.DSN_64) !== 0);
}

test('D7d: every mapping has the 64 bits of its data sequence number', () => {
  assert.ok(mappingsOf(false).every(wide => wide));
});

test('D7b: with shortSequence every mapping has the lower 32', () => {
  assert.ok(mappingsOf(true).every(wide => !wide));
});

test('D8b: to 32-bit DSNs a DATA_ACK of 32 bits counts as one of 64', () => {
  for (const wide of [false, true]) {
    const { peer, flow, connection } = opened({ config: { shortSequence: true } });
    connection.write(bytesOf(1000), 0, 1000, peer.now);
    const [data] = peer.take();
    assert.equal(data.dssFlags & DssFlag.DSN_64, 0);
    flow.rcvNxt += 1000;
    acknowledge(peer, flow, 1001, { dssFlags: wide ? 3 : 1 });
    assert.equal(connection.unacknowledgedBytes, 0, wide ? '64 bits' : '32 bits');
  }
});

for (const checksum of [false, true]) {
  test(`D10: the infinite mapping has length 0, ${checksum ? 'and checksum 0' : 'and no checksum'}`, () => {
    const world = new World({ client: { checksum } });
    // Without options on the way back the client falls back, and says so.
    world.rules.push(stripped((s, p) => p.from === 'server' && !isSynAck(s)));
    world.connect();
    world.transfer('client', 20_000);
    const infinite = world.packets(
      'client',
      s => has(s, Mp.DSS) && (s.dssFlags & DssFlag.MAP) !== 0 && s.dataLength === 0,
    );
    assert.ok(infinite.length > 0);
    for (const { segment } of infinite) assert.equal(segment.checksum, checksum ? 0 : -1);
    world.finish();
  });
}

test('K3a: every segment has a DATA_ACK, but for those with keys and those an ADD_ADDR fills', () => {
  const world = new World({ paths: 2, advertise: [{ address: '10.9.0.9', port: 99 }] });
  world.establish(2);
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  world.finish();
  for (const { segment: s } of world.log) {
    if (isSyn(s) || isSynAck(s) || isRst(s)) continue;
    const acked = has(s, Mp.DSS) && (s.dssFlags & DssFlag.DATA_ACK) !== 0;
    assert.ok(acked || has(s, Mp.CAPABLE | Mp.JOIN | Mp.ADD_ADDR), `options ${s.mp}`);
  }
});

test('K3c: a peer that sends DATA_ACKs only where they advance is understood', () => {
  const { peer, flow, connection } = opened();
  const sent: Segment[] = [];
  for (let i = 0; i < 20; i++) {
    // A mapping and nothing else.
    const at = 10 + i * 100;
    const fields = peer.mapping({
      ssn: flow.ssn,
      dsn: at + 1,
      length: 100,
      payload: bytesOf(100, at),
    });
    fields.dssFlags = DssFlag.MAP | DssFlag.DSN_64;
    const segment = peer.segment(flow, fields);
    flow.ssn += 100;
    sent.push(...peer.put(segment, bytesOf(100, at)));
  }
  assert.deepEqual(peer.read(), bytesOf(2010));
  connection.write(bytesOf(5000), 0, 5000, peer.now);
  const data = peer.take();
  assert.equal(total(sentOn(peer, flow, data)), 5000);
  flow.rcvNxt += 5000;
  sent.push(...acknowledge(peer, flow, 5001));
  // Nothing new to acknowledge: ACKs without any DSS.
  for (let i = 0; i < 5; i++) sent.push(...peer.put(peer.segment(flow)));
  assert.equal(connection.unacknowledgedBytes, 0);
  assert.equal(connection.multipath().active, true);
  assert.deepEqual(sent.filter(isRst), []);
});

test('K4, N2: acknowledged to the subflow only, data is not done with: the same bytes go again', () => {
  const { peer, flow, connection } = opened();
  connection.write(bytesOf(1000), 0, 1000, peer.now);
  assert.deepEqual(sentOn(peer, flow, peer.take()), [{ dsn: 1, ssn: 1, length: 1000 }]);
  flow.rcvNxt += 1000;
  // The peer has dropped them: its DATA_ACK stays.
  acknowledge(peer, flow, 1);
  assert.equal(connection.unacknowledgedBytes, 1000);
  const again = sentOn(peer, flow, peer.wait(5000));
  assert.equal(again[0].dsn, 1);
  assert.equal(again[0].ssn, 1001, 'new numbers in the subflow');
  assert.equal(connection.multipath().active, true);
});

test('K5: a DATA_ACK one beyond the last byte sent is ignored until the DATA_FIN has taken that number', () => {
  const { peer, flow, connection } = opened();
  connection.write(bytesOf(1000), 0, 1000, peer.now);
  peer.take();
  flow.rcvNxt += 1000;
  acknowledge(peer, flow, 1002);
  assert.equal(connection.unacknowledgedBytes, 1000, 'believed');
  acknowledge(peer, flow, 1001);
  assert.equal(connection.unacknowledgedBytes, 0);
  connection.shutdown(peer.now);
  const [fin] = peer.take();
  assert.ok((fin.dssFlags & DssFlag.DATA_FIN) !== 0);
  acknowledge(peer, flow, 1002);
  assert.deepEqual(
    peer.wait(5000).filter(s => (s.dssFlags & DssFlag.DATA_FIN) !== 0),
    [],
    'repeated although acknowledged',
  );
});

test('D9: a mapping that ends where its segment begins, or begins where it ends, is not one of its bytes', () => {
  for (const shift of [-20, 20]) {
    const { peer, flow } = opened();
    const at = flow.ssn;
    // Beyond a hole, so that bytes below the segment are still to come.
    const map = { ssn: at + 40 + shift, dsn: 51 + shift, length: 20 };
    peer.data(flow, { bytes: bytesOf(20, 50), dsn: 0, ssn: at + 40, map });
    assert.equal(peer.host.counters.DSSNotMatching, 1, `${shift}`);
  }
});

test('W2a: subflows share one window: what one has taken of it is missing on the other', () => {
  const { peer, flow } = opened({ config: { receiveBufferBytes: 40_000 } });
  const b = peer.join(2222);
  const edges: number[] = [];
  const note = (sent: Segment[]): void => {
    for (const s of sent.filter(s => has(s, Mp.DSS))) edges.push(peer.dataAck(s) + s.window);
  };
  for (let i = 0; i < 20; i++) {
    const dsn = 11 + i * 1500;
    note(peer.data(flow, { bytes: bytesOf(1000, dsn - 1), dsn }));
    note(peer.data(b, { bytes: bytesOf(500, dsn + 999), dsn: dsn + 1000 }));
  }
  note(peer.wait(100));
  assert.ok(edges.length >= 20);
  assert.ok(Math.max(...edges) - Math.min(...edges) <= 1500, 'one right edge for both');
  // On the second subflow, far ahead of its own numbers but inside the window of the connection: taken.
  const [ack] = peer.data(b, { bytes: bytesOf(500, 30_510), dsn: 30_511, ssn: 20_001 });
  assert.equal(peer.dataAck(ack), 30_011);
  peer.data(flow, { bytes: bytesOf(500, 30_010), dsn: 30_011 });
  assert.deepEqual(peer.read(), bytesOf(31_010));
});

test('W3a, W3b, W3c: the largest right edge counts for the connection, its own window for each subflow', () => {
  const { peer, flow, connection } = opened({ window: 4000 });
  const b = peer.join(2222);
  connection.write(bytesOf(50_000), 0, 50_000, peer.now);
  const sent = peer.take();
  assert.equal(total(sentOn(peer, flow, sent)) + total(sentOn(peer, b, sent)), 4000, 'the window told');
  // A larger one, on the second subflow. The first may send no more than the 4,000 it was told.
  sent.push(...acknowledge(peer, b, 1, { window: 12_000 }));
  assert.ok(total(sentOn(peer, flow, sent)) <= 4000, 'beyond the window of the first subflow');
  const edge = (): number =>
    Math.max(...[flow, b].flatMap(f => sentOn(peer, f, sent).map(p => p.dsn + p.length)));
  assert.equal(edge(), 12_001, 'up to the larger edge');
  // A smaller one takes nothing back and gives nothing more.
  sent.push(...acknowledge(peer, flow, 1, { window: 1000 }));
  assert.equal(edge(), 12_001);
  sent.push(...acknowledge(peer, b, 1, { window: 13_000 }));
  assert.equal(edge(), 13_001);
});

test('W3a: a smaller window after a larger one leaves the edge where it was', () => {
  const { peer, flow, connection } = opened({ window: 4000 });
  const b = peer.join(2222);
  acknowledge(peer, b, 1, { window: 12_000 });
  acknowledge(peer, flow, 1, { window: 1000 });
  connection.write(bytesOf(50_000), 0, 50_000, peer.now);
  const sent = peer.take();
  assert.equal(total(sentOn(peer, flow, sent)) + total(sentOn(peer, b, sent)), 12_000);
  assert.ok(total(sentOn(peer, flow, sent)) <= 1000);
});

test('W4: by default the send buffer is as large as the receive buffer', () => {
  assert.ok(DEFAULT_CONFIG.sendBufferBytes >= DEFAULT_CONFIG.receiveBufferBytes);
});

test('B4e: a wrong checksum on an only subflow after another has carried data: reset with MP_FAIL', () => {
  const { peer, flow, connection } = opened({ checksum: true });
  const b = peer.join(2222);
  peer.data(b, { bytes: bytesOf(100, 10), dsn: 11 });
  peer.put(peer.segment(b, { flags: Flag.RST | Flag.ACK }));
  assert.equal(connection.multipath().subflows.length, 1);
  const [rst] = peer.data(flow, { bytes: bytesOf(100, 110), dsn: 111, checksum: 1 }).filter(isRst);
  assert.ok(has(rst, Mp.FAIL));
  assert.equal((BigInt(rst.failDsnHi) << 32n) | BigInt(rst.failDsnLo), BigInt.asUintN(64, peer.idsn + 111n));
  assert.deepEqual(peer.read(), bytesOf(110), 'nothing of the damaged mapping');
  assert.equal(connection.closed, false, 'a join may resume');
});

test('B5a, B5b, B5c: after the infinite mapping only TCP counts: DATA_ACKs free nothing, none is sent', () => {
  const { peer, flow, connection } = opened({ checksum: true });
  peer.data(flow, { bytes: bytesOf(100, 10), dsn: 11, checksum: 1 });
  const infinite = peer.mapping({ ssn: 11, dsn: 11, length: 0, payload: none, checksum: 0 });
  const segment = peer.segment(flow, infinite);
  flow.ssn += 10;
  peer.put(segment, bytesOf(10, 110));
  assert.equal(connection.multipath().active, false);
  connection.write(bytesOf(3000), 0, 3000, peer.now);
  const sent = peer.take();
  acknowledge(peer, flow, 3001);
  assert.equal(connection.unacknowledgedBytes, 3000, 'a DATA_ACK freed data');
  flow.rcvNxt += 3000;
  sent.push(...peer.put(peer.segment(flow)));
  assert.equal(connection.unacknowledgedBytes, 0);
  sent.push(...peer.put(peer.segment(flow), bytesOf(10, 120)), ...peer.wait(1000));
  for (const s of sent) assert.equal(s.mp & Mp.DSS, 0, 'a DSS after the fallback');
  const [refusal] = peer.put(
    peer.segment({ port: 2222, ssn: 0, rcvNxt: 0, irs: 0 }, { flags: Flag.SYN, mp: Mp.JOIN, joinLength: 12 }),
  );
  assert.ok(isRst(refusal));
});

test('F5c: a silent subflow with a backlog is reset at the end, too much outstanding data', () => {
  const world = new World({ paths: 2, delays: [15, 30], client: { replaceAfterMs: 60_000 } });
  world.establish(2);
  const bytes = bytesOf(400_000);
  world.client.send(bytes, world.now);
  world.until('some', () => world.server.received.length > 50_000);
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  world.until('all', () => world.server.received.length === bytes.length);
  const since = world.log.length;
  world.client.connection.shutdown(world.now);
  world.server.connection.shutdown(world.now);
  world.run(500);
  const resets = world.log.slice(since).filter(p => p.from === 'client' && isRst(p.segment));
  assert.deepEqual(
    resets.map(p => [p.path, p.segment.rstReason]),
    [[1, ResetReason.OUTSTANDING]],
  );
  world.untilGone(400_000);
});

test('R3a: a subflow silent for dataTimeoutMs is given up, its data went elsewhere long before', () => {
  const config = { replaceAfterMs: 60_000, dataTimeoutMs: 10_000 };
  const world = new World({ paths: 2, delays: [15, 30], client: config });
  world.establish(2);
  world.client.send(bytesOf(400_000), world.now);
  world.until('some', () => world.server.received.length > 50_000);
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  const since = world.now;
  world.run(5000);
  assert.equal(world.server.received.length, 400_000);
  assert.equal(world.client.connection.multipath().subflows.length, 2);
  world.until('given up', () => world.client.connection.multipath().subflows.length === 1);
  assert.ok(world.now - since >= 10_000 && world.now - since < 13_000, `after ${world.now - since} ms`);
});

test('R4a, R4b: a silent subflow is reset when a new one on its path works: unacceptable performance', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  world.establish(2);
  const bytes = bytesOf(400_000);
  world.client.send(bytes, world.now);
  world.until('some', () => world.server.received.length > 50_000);
  const old = world.packets('client', (s, p) => isSyn(s) && p.path === 1)[0].segment.srcPort;
  world.rules.push(p => (p.segment.srcPort === old || p.segment.dstPort === old ? 'drop' : undefined));
  world.until('reset', () => world.packets('client', isRst).length > 0);
  const [rst] = world.packets('client', isRst);
  assert.equal(rst.segment.srcPort, old);
  assert.equal(rst.segment.rstReason, ResetReason.PERFORMANCE);
  assert.equal(rst.segment.rstFlags & 1, 1, 'transient');
  world.until('all', () => world.server.received.length === bytes.length);
});

test('H1a: joins go to the remote port of the first subflow', () => {
  const world = new World({ paths: 3 });
  world.rules.push(first(1, (s, p) => isSyn(s) && p.path === 2));
  world.establish(3);
  const joins = world.packets('client', s => isSyn(s) && has(s, Mp.JOIN));
  const [capable] = world.packets('client', s => isSyn(s) && has(s, Mp.CAPABLE));
  assert.ok(joins.length >= 3);
  for (const { segment } of joins) assert.equal(segment.dstPort, capable.segment.dstPort);
  assert.ok(world.log.some(p => hasData(p.segment)));
});

/** By how much the windows of two subflows have grown a while after each has lost a packet. */
function growth(congestion: 'reno' | 'lia'): number {
  const world = new World({ paths: 2, delays: [20, 20], client: { congestion } });
  world.establish(2);
  const counts = [0, 0];
  world.rules.push(p => {
    if (p.from !== 'client' || !hasData(p.segment)) return undefined;
    return ++counts[p.path] === 60 ? 'drop' : undefined;
  });
  world.client.send(bytesOf(6_000_000), world.now);
  world.until('both have lost one', () => counts.every(count => count > 60));
  world.run(200);
  const windows = (): number =>
    world.client.connection.multipath().subflows.reduce((sum, { cwndBytes }) => sum + cwndBytes, 0);
  const before = windows();
  world.run(1000);
  return windows() - before;
}

test('R5: with congestion lia the subflows of a connection grow together, and more slowly', () => {
  const [alone, coupled] = [growth('reno'), growth('lia')];
  // Two equal flows: alpha is 1/2, each gets a quarter of a segment a round trip instead of one.
  assert.ok(coupled > 0 && coupled < 0.5 * alone, `${coupled} bytes, uncoupled ${alone}`);
});
