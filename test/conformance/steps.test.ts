// Packets of the handshakes and signals lost, late, split, joined and repeated by others than the two ends (RFC 8684
// §3.1, §3.2, §3.4, §3.7), in both roles.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flag, Mp, type Segment, writeChecksum } from '../../src/wire/index.ts';
import { writeIpv4Checksum } from '../../src/wire/ip.ts';
import { type Flow, RawPeer } from '../mptcp/raw-peer.ts';
import {
  altered,
  bytesOf,
  decoded,
  first,
  has,
  hasData,
  isJoinAck,
  isSyn,
  isSynAck,
  type Side,
  World,
} from '../mptcp/world.ts';

const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);

/** SYN and SYN/ACK of a hand-made client; what its MP_CAPABLE with both keys looks like. */
function begun(): { peer: RawPeer; flow: Flow; keys: Partial<Segment> } {
  const peer = new RawPeer();
  const flow: Flow = { port: 1111, ssn: 0, rcvNxt: 0, irs: 0 };
  const capable = { mp: Mp.CAPABLE, capableVersion: 1, capableFlags: 1 };
  const [synAck] = peer.put(
    peer.segment(flow, { flags: Flag.SYN, mss: 1400, ack: 0, ...capable, capableLength: 4 }),
  );
  Object.assign(flow, { irs: synAck.seq, rcvNxt: 1, ssn: 1 });
  peer.hostKey.writeUInt32BE(synAck.senderKeyHi, 0);
  peer.hostKey.writeUInt32BE(synAck.senderKeyLo, 4);
  const keys = {
    ...capable,
    senderKeyHi: peer.key.readUInt32BE(0),
    senderKeyLo: peer.key.readUInt32BE(4),
    receiverKeyHi: synAck.senderKeyHi,
    receiverKeyLo: synAck.senderKeyLo,
  };
  return { peer, flow, keys };
}

/** A piece of the first data, 3,000 bytes in all, with its MP_CAPABLE. */
function piece(
  from: { peer: RawPeer; flow: Flow; keys: Partial<Segment> },
  at: number,
  length: number,
): Segment[] {
  const { peer, flow, keys } = from;
  const fields = { ...keys, capableLength: 22, dataLength: 3000, seq: (5000 + 1 + at) >>> 0 };
  return peer.put(peer.segment(flow, fields), bytesOf(length, at));
}

const deliveries: [string, readonly [number, number][]][] = [
  ['in one piece', [[0, 3000]]],
  [
    'split in three, each with a copy of the option',
    [
      [0, 1000],
      [1000, 1000],
      [2000, 1000],
    ],
  ],
  [
    'split in three, the first one last',
    [
      [1000, 1000],
      [2000, 1000],
      [0, 1000],
    ],
  ],
  [
    'repeated, cut in another way',
    [
      [0, 1500],
      [1500, 1500],
      [500, 2000],
      [0, 3000],
    ],
  ],
];

for (const [name, pieces] of deliveries) {
  for (const third of [true, false]) {
    test(`C3b, C3c: the first data with MP_CAPABLE ${name}, the third ACK ${third ? 'before it' : 'lost'}`, () => {
      const from = begun();
      const { peer, flow, keys } = from;
      if (third) peer.put(peer.segment(flow, { ...keys, capableLength: 20 }));
      const sent = pieces.flatMap(([at, length]) => piece(from, at, length));
      sent.push(...peer.wait(300));
      assert.deepEqual(peer.read(), bytesOf(3000));
      assert.equal(peer.dataAck(sent.at(-1) as Segment), 3001);
      assert.equal(peer.connection?.multipath().active, true);
      // What follows has a DSS.
      flow.ssn = 3001;
      peer.data(flow, { bytes: bytesOf(100, 3000), dsn: 3001 });
      assert.deepEqual(peer.read(), bytesOf(100, 3000));
    });
  }
}

test('C3c, D6b: the first data joined with what follows it: the rest waits until it comes with a mapping', () => {
  const { peer, flow, keys } = begun();
  const fields = { ...keys, capableLength: 22, dataLength: 1000, seq: 5001 };
  // A middlebox has made one segment of two and kept the option of the first.
  const [ack] = [...peer.put(peer.segment(flow, fields), bytesOf(2000)), ...peer.wait(100)];
  assert.deepEqual(peer.read(), bytesOf(1000), 'what is mapped');
  assert.equal(peer.dataAck(ack), 1001);
  // The peer has no DATA_ACK of the rest and repeats it, behind what the subflow has acknowledged.
  flow.ssn = 2001;
  peer.data(flow, { bytes: bytesOf(1500, 1000), dsn: 1001 });
  assert.deepEqual(peer.read(), bytesOf(1500, 1000));
  assert.equal(peer.connection?.multipath().active, true);
});

test('C3c: the first data as MP_CAPABLE and again as DSS is one mapping', () => {
  const from = begun();
  const { peer, flow } = from;
  piece(from, 0, 1000);
  peer.data(flow, { bytes: bytesOf(3000), dsn: 1 });
  assert.deepEqual(peer.read(), bytesOf(3000));
  assert.equal(peer.host.counters.DSSNoMatchTCP, 0);
});

test('C1b, C6i: the SYN of a version 0 peer, 12 bytes with its key, is answered without the option', () => {
  const peer = new RawPeer();
  const flow: Flow = { port: 1111, ssn: 0, rcvNxt: 0, irs: 0 };
  const plain = peer.bytesOf(peer.segment(flow, { flags: Flag.SYN, ack: 0 }));
  // RFC 6824, figure 4.
  const option = [30, 12, 0x00, 0x81, 1, 2, 3, 4, 5, 6, 7, 8];
  const bytes = Uint8Array.from([...plain, ...option]);
  bytes[32] += (option.length / 4) << 4;
  new DataView(bytes.buffer).setUint16(2, bytes.length);
  writeIpv4Checksum(bytes, 0, 20);
  writeChecksum(bytes, 0, bytes.length);
  peer.host.receive(peer.interfaceId, bytes, 0, bytes.length, peer.now);
  const [synAck] = peer.take();
  assert.ok(isSynAck(synAck));
  assert.equal(synAck.mp, 0);
});

for (const [name, late] of [
  ['third ACK', (s: Segment) => isJoinAck(s)],
  ['fourth ACK', (s: Segment) => !isSynAck(s) && !hasData(s)],
] as const) {
  test(`J7a, J7b: the ${name} of a join late, data of both ends before it`, () => {
    const world = new World({ paths: 2 });
    const from: Side = name === 'third ACK' ? 'client' : 'server';
    world.rules.push(first(1, (s, p) => p.path === 1 && p.from === from && late(s), { delayMs: 120 }));
    world.connect();
    world.transfer('client', 1000);
    world.client.send(bytesOf(300_000, 1000), world.now);
    world.server.send(bytesOf(300_000), world.now);
    world.until(
      'all',
      () => world.server.received.length === 301_000 && world.client.received.length === 300_000,
    );
    assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(301_000));
    assert.deepEqual(Uint8Array.from(world.client.received), bytesOf(300_000));
    world.run(500);
    assert.equal(world.active('client'), 2);
    assert.equal(world.active('server'), 2);
    world.finish();
  });
}

test('J7a: the SYN of a join repeated late by the network changes nothing', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const syn = world.packets('client', isJoinSyn)[0].segment;
  world.inject('client', decoded(world.packets('client', isJoinSyn)[0].bytes));
  world.run(200);
  assert.equal(world.active('server'), 2);
  assert.equal(world.packets('server', s => isSynAck(s) && s.dstPort === syn.srcPort).length, 1);
  world.transfer('client', 50_000);
  world.finish();
});

for (const side of ['client', 'server'] as const) {
  test(`X1a, X4a: the address of the first subflow is lost at the ${side}: REMOVE_ADDR of 0, the rest goes on`, () => {
    const serverAddresses = ['10.9.0.1', '10.9.0.2'];
    const world = new World({ paths: 2, serverAddresses });
    const paths = [
      { interfaceId: world.pathInterface(0) },
      { interfaceId: world.pathInterface(1), remote: { address: '10.9.0.2', port: 8080 } },
    ];
    world.establish(2, { paths });
    world.transfer('client', 10_000);
    const peer = world.peer(side);
    const id = side === 'client' ? world.pathInterface(0) : world.server.interfaces.get('10.9.0.1');
    peer.host.removeInterface(id as number, world.now);
    world.run(5000);
    const [removal] = world.packets(side, s => has(s, Mp.REMOVE_ADDR));
    assert.deepEqual([...removal.segment.removeIds.subarray(0, removal.segment.removeCount)], [0]);
    const other = world.peer(side === 'client' ? 'server' : 'client');
    const left = other.connection.multipath().subflows.filter(s => s.state !== 'connecting');
    assert.deepEqual(
      left.map(s => s.id),
      [1],
      'the subflow of the lost address is gone at the other end',
    );
    world.transfer('client', 100_000);
    world.transfer('server', 100_000);
    assert.equal(world.client.connection.error, null);
    assert.equal(world.server.connection.error, null);
  });
}

test('B4d: payload changed in both directions at once: MP_FAIL both ways, TCP, the bytes as TCP has them', () => {
  const world = new World({ client: { checksum: true } });
  world.establish();
  world.transfer('client', 2000);
  world.transfer('server', 2000);
  const changed = { client: 0, server: 0 };
  world.rules.push(
    altered(
      2,
      (s, p) => hasData(s) && changed[p.from]++ === 0,
      (_, payload) => {
        payload[3] ^= 0xff;
      },
    ),
  );
  world.client.send(bytesOf(50_000, 2000), world.now);
  world.server.send(bytesOf(50_000, 2000), world.now);
  world.until(
    'all',
    () => world.client.received.length === 52_000 && world.server.received.length === 52_000,
  );
  world.run(500);
  for (const side of ['client', 'server'] as const) {
    const { connection, received } = world.peer(side);
    assert.equal(connection.multipath().active, false, side);
    const expected = bytesOf(52_000);
    const wrong = received.filter((byte, i) => byte !== expected[i]).length;
    assert.equal(wrong, 1, `${side}: the byte that was changed, and no other`);
  }
  world.finish();
});

for (const silent of ['client', 'server'] as const) {
  test(`F6: without a subflow for a while, bytes of the ${silent} wait and arrive after a join`, () => {
    const world = new World({
      paths: 1,
      client: { closeTimeoutMs: 30_000 },
      server: { closeTimeoutMs: 30_000 },
    });
    world.establish();
    world.transfer('client', 1000);
    world.transfer('server', 1000);
    world.client.host.removeInterface(world.pathInterface(0), world.now);
    // The server learns of it by a subflow that does not answer; the client at once.
    world.peer(silent).send(bytesOf(50_000, 1000), world.now);
    world.run(25_000);
    assert.equal(world.client.connection.closed, false);
    assert.equal(world.server.connection.closed, false);
    const id = world.addClientInterface('10.5.0.1');
    world.client.connection.addPath({ interfaceId: id }, world.now);
    const to = world.peer(silent === 'client' ? 'server' : 'client');
    world.until('all', () => to.received.length === 51_000);
    assert.deepEqual(Uint8Array.from(to.received), bytesOf(51_000));
    world.finish();
  });
}
