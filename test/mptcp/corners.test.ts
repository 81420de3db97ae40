// Places that a connection seldom comes to, each by the shortest way there: what lasts a moment after the end, what two
// signals do to each other, what a peer leaves out or says in another form (RFC 8684 §3.1–§3.7).

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Ready } from '../../src/tcp/index.ts';
import { CapableFlag, DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { type Flow, RawPeer } from './raw-peer.ts';
import { altered, bytesOf, first, has, hasData, isJoinAck, isRst, isSyn, isSynAck, World } from './world.ts';

const none: Uint8Array = new Uint8Array(0);
const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);

// The end.

test('RFC 8684 Appendix D: the token is known for a while after the end, and not a moment longer', () => {
  for (const [waitMs, taken] of [
    [6_999, true],
    [7_000, false],
  ] as const) {
    // The FIN of our only subflow is never acknowledged, so nothing but time ends M_TIME_WAIT.
    const peer = new RawPeer({ config: { closeTimeoutMs: 7_000 } });
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    peer.read();
    peer.connection?.shutdown(peer.now);
    peer.take();
    const fin = peer.mapping({ dsn: 101, ssn: 0, length: 0, payload: none, fin: true, dataAck: 2 });
    peer.put(peer.segment(flow, fin));
    assert.equal(peer.connection?.closed, true);
    peer.wait(waitMs);
    const joinToken = createHash('sha256').update(peer.hostKey).digest().readUInt32BE(0);
    const join = { mp: Mp.JOIN, joinLength: 12, joinToken, joinNonce: 1, joinAddressId: 1 };
    const flow2 = { port: 2222, ssn: 0, rcvNxt: 0, irs: 0 };
    const [answer] = peer.put(peer.segment(flow2, { flags: Flag.SYN, mss: 1400, ...join, ack: 0 }));
    assert.deepEqual([isSynAck(answer), isRst(answer)], [taken, !taken], `${waitMs}`);
  }
});

test('setNoDelay lets what Nagle’s algorithm holds leave at once', () => {
  const world = new World();
  world.establish();
  const { connection } = world.client;
  for (let i = 0; i < 3; i++) connection.write(bytesOf(10, 10 * i), 0, 10, world.now);
  world.settle();
  connection.write(bytesOf(10, 30), 0, 10, world.now);
  world.settle();
  assert.equal(world.packets('client', hasData).length, 1, 'one small segment is in flight');
  connection.setNoDelay(true, world.now);
  world.settle();
  assert.equal(world.packets('client', hasData).length, 2);
  world.until('all of it', () => world.server.received.length === 40);
});

test('setNoDelay when nothing is held leaves nothing behind: off again, the next small one is held', () => {
  for (const order of [[true, false], [false]]) {
    const world = new World();
    world.establish();
    const { connection } = world.client;
    for (const on of order) connection.setNoDelay(on, world.now);
    for (let i = 0; i < 3; i++) {
      connection.write(bytesOf(10, 10 * i), 0, 10, world.now);
      world.settle();
      if (i === 1) connection.setNoDelay(false, world.now);
      world.settle();
    }
    assert.equal(world.packets('client', hasData).length, 1);
  }
});

test('RFC 8684 §3.5: a RST with MP_FASTCLOSE resets the other subflows with reason 0, and needs no answer itself', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const b = peer.join(2222);
  const key = { fastcloseKeyHi: peer.hostKey.readUInt32BE(0), fastcloseKeyLo: peer.hostKey.readUInt32BE(4) };
  const sent = peer.put(peer.segment(b, { flags: Flag.RST, ack: 0, mp: Mp.FASTCLOSE, ...key }));
  assert.deepEqual(
    sent.map(s => [s.dstPort, isRst(s), has(s, Mp.TCPRST), s.rstReason]),
    [[flow.port, true, true, 0]],
  );
  assert.equal(peer.connection?.error, 'ECONNRESET');
});

test('RFC 8684 §3.7: MP_FAIL is answered with one, and not more', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  const answers = peer.put(peer.segment(flow, { mp: Mp.FAIL, failDsnHi: 0, failDsnLo: 1 }));
  assert.equal(answers.filter(s => has(s, Mp.FAIL)).length, 1);
  const more: Segment[] = [];
  for (let i = 0; i < 5; i++) {
    more.push(...peer.put(peer.segment(flow), bytesOf(10, 100 + 10 * i)));
    flow.ssn += 10;
  }
  more.push(...peer.wait(1_000));
  assert.equal(more.length > 0 && more.filter(s => has(s, Mp.FAIL)).length, 0);
  assert.deepEqual(peer.read(), bytesOf(50, 100));
});

// Handshakes.

test('RFC 8684 §B.3: a listener that would send early has lost its client: nothing is left, and nothing sent', () => {
  const peer = new RawPeer({ config: { earlyAnswer: true } });
  const flow: Flow = { port: 1111, ssn: 0, rcvNxt: 0, irs: 0 };
  const capable = {
    mp: Mp.CAPABLE,
    capableVersion: 1,
    capableFlags: CapableFlag.HMAC_SHA256,
    capableLength: 4,
  };
  const [synAck] = peer.put(peer.segment(flow, { flags: Flag.SYN, mss: 1400, ...capable, ack: 0 }));
  flow.irs = synAck.seq;
  flow.rcvNxt = flow.ssn = 1;
  assert.deepEqual(peer.put(peer.segment(flow, { flags: Flag.RST })), []);
  assert.deepEqual(peer.wait(60_000), []);
  assert.equal([...peer.host.connections].length, 0);
});

test('TCP Fast Open: a cookie without data says nothing to read', () => {
  const world = new World({ fastOpen: 8, server: { fastOpen: 3 } });
  world.establish(1, { fastOpen: true });
  world.transfer('client', 10);
  world.finish();
  world.beginAnew();
  world.connect({ fastOpen: true });
  world.client.connection.shutdown(world.now);
  world.until('accepted', () => world.server.connections.length === 1);
  const [syn] = world.packets('client', isSyn);
  assert.ok(syn.segment.fastOpenLength > 0 && !hasData(syn.segment));
  assert.equal(world.server.ready & Ready.READABLE, 0);
  world.until('the end', () => world.server.connection.ended);
  world.server.connection.shutdown(world.now);
  world.untilGone();
});

test('RFC 8684 §3.1: a server that wants no join to its first address says so by flag C, and by no other', () => {
  for (const allowJoinInitialAddress of [true, false]) {
    const world = new World({ paths: 2, server: { allowJoinInitialAddress } });
    world.connect();
    world.transfer('client', 100);
    world.run(1_000);
    const [synAck] = world.packets('server', isSynAck);
    const flags = CapableFlag.HMAC_SHA256 | (allowJoinInitialAddress ? 0 : CapableFlag.NO_JOIN_TO_SOURCE);
    assert.equal(synAck.segment.capableFlags, flags);
    assert.equal(world.active('client'), allowJoinInitialAddress ? 2 : 1);
  }
});

test('RFC 8684 §3.2: flag B of a SYN/ACK makes the subflow a backup for what the client sends', () => {
  for (const backup of [false, true]) {
    const world = new World({ paths: 2, delays: [40, 10] });
    world.rules.push(
      altered(
        1,
        s => isSynAck(s) && has(s, Mp.JOIN),
        s => {
          s.joinBackup = backup;
        },
      ),
    );
    world.establish(2);
    assert.equal(world.client.host.counters.MPJoinSynAckBackupRx, backup ? 1 : 0);
    assert.equal(world.client.connection.multipath().subflows[1].backup, backup);
    const before = world.log.length;
    world.transfer('client', 100);
    const [data] = world.log.slice(before).filter(p => p.from === 'client' && hasData(p.segment));
    assert.equal(data.path, backup ? 0 : 1, 'the faster path, unless it is a backup');
  }
});

// Signals.

test('a priority and an address that are due at the same moment both arrive', () => {
  const world = new World({
    serverAddresses: ['10.9.0.1', '10.9.0.2'],
    advertise: [{ address: '10.9.0.2' }],
  });
  world.rules.push(first(1, s => has(s, Mp.ADD_ADDR)));
  world.connect();
  world.transfer('client', 100);
  const { host, connection } = world.server;
  world.until(
    'the announcement is lost',
    () => world.packets('server', s => has(s, Mp.ADD_ADDR)).length === 1,
  );
  world.run(500);
  world.now = host.nextDeadline();
  host.expire(world.now);
  connection.setBackup(0, true, world.now);
  world.run(100);
  assert.equal(world.client.host.counters.MPPrioRx, 1);
  assert.equal(world.client.host.counters.AddAddr, 1);
  assert.equal(world.client.connection.multipath().subflows[0].backup, true);
});

test('a joined subflow that answers an announcement late is not asked to hurry', () => {
  // A path goes silent, is given up by the peer with a reset, and its replacement has been answered meanwhile.
  const world = new World({ paths: 2, client: { replaceAfterMs: 500 } });
  world.establish(2);
  world.transfer('client', 1_000);
  world.run(500);
  const old = world.packets('client', isJoinSyn)[0].segment;
  let dark = true;
  world.rules.push(({ path, segment: s, from }) => {
    if (path !== 1 || !dark) return undefined;
    const isOld = (from === 'client' ? s.srcPort : s.dstPort) === old.srcPort;
    // The third ACK of the replacement does not arrive either.
    return isOld || isJoinAck(s) ? 'drop' : undefined;
  });
  world.client.send(bytesOf(50_000, 1_000), world.now);
  world.until('a replacement', () => world.packets('client', isJoinSyn).length === 2, 10_000);
  world.run(100);
  const last = world.packets('client', s => s.srcPort === old.srcPort).at(-1)?.segment as Segment;
  const heard = world.packets('server', (s, p) => s.dstPort === old.srcPort && !p.lost).at(-1)
    ?.segment as Segment;
  const reset = Object.assign(Object.create(Object.getPrototypeOf(heard)), heard, {
    ...{ flags: Flag.RST, seq: last.ack, payloadLength: 0, mp: 0, sackCount: 0 },
  }) as Segment;
  world.inject('server', reset);
  world.run(10);
  dark = false;
  world.until('both paths', () => world.active('client') === 2 && world.active('server') === 2, 10_000);
  world.until('all of it', () => world.server.received.length === 51_000);
  world.finish();
});

// Mappings.

test('RFC 8684 §3.7: an infinite mapping with a DSN of 32 bits goes on where the last mapping left off', () => {
  for (const wide of [true, false]) {
    const peer = new RawPeer();
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    const fields = peer.mapping({ dsn: 101, ssn: 101, length: 0, payload: none, wide });
    const at = 5_000 + flow.ssn;
    peer.put(peer.segment(flow, { seq: at, ...fields }), bytesOf(50, 100));
    flow.ssn += 50;
    assert.equal(peer.connection?.multipath().fallback?.cause, 'infinite-mapping');
    peer.put(peer.segment(flow), bytesOf(50, 150));
    assert.deepEqual(peer.read(), bytesOf(200));
    const { dssFlags } = peer.segment(flow, fields);
    assert.equal((dssFlags & DssFlag.DSN_64) !== 0, wide);
  }
});

/** Open with checksums, and 100 bytes that were mapped and read. */
function summed(options: { receiveBufferBytes?: number } = {}): { peer: RawPeer; flow: Flow } {
  const peer = new RawPeer({ checksum: true, config: { checksum: true, ...options } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  assert.deepEqual(peer.read(), bytesOf(100));
  return { peer, flow };
}

test('RFC 8684 §3.7: with checksums, too, bytes without a mapping wait a while and are the stream’s then, as TCP', () => {
  const { peer, flow } = summed();
  peer.put(peer.segment(flow), bytesOf(50, 100));
  flow.ssn += 50;
  assert.deepEqual([peer.read().length, peer.connection?.multipath().active], [0, true]);
  peer.wait(99);
  assert.equal(peer.connection?.multipath().active, true);
  peer.wait(1);
  assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
  assert.deepEqual(peer.read(), bytesOf(50, 100));
});

test('with checksums a mapping may come behind its bytes', () => {
  const { peer, flow } = summed();
  const bytes = bytesOf(100, 100);
  peer.put(peer.segment(flow), bytes.subarray(0, 50));
  const fields = peer.mapping({ dsn: 101, ssn: 101, length: 100, payload: bytes });
  peer.put(peer.segment(flow, { seq: 5_000 + flow.ssn + 50, ...fields }), bytes.subarray(50));
  flow.ssn += 100;
  assert.deepEqual(peer.read(), bytes);
  peer.wait(1_000);
  assert.equal(peer.connection?.multipath().active, true);
});

for (const checksum of [true, false]) {
  test(`RFC 8684 §3.3.1: a window of data beyond its mapping breaks the subflow, checksums ${checksum ? 'on' : 'off'}`, () => {
    const LIMIT = 65_536;
    const peer = new RawPeer({ checksum, config: { checksum, receiveBufferBytes: LIMIT } });
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    peer.read();
    const b = peer.join(2222);
    // In order and without a mapping: as much as is waited with, less than a segment.
    const send = (ssn: number, length: number): Segment[] =>
      peer.put(peer.segment(b, { seq: 5_000 + ssn }), new Uint8Array(length));
    peer.data(b, { bytes: bytesOf(100, 100), dsn: 101 });
    for (let i = 0; i < 7; i++) assert.equal(send(101 + i * 1_000, 1_000).filter(isRst).length, 0);
    // What lies beyond a hole counts as well: up to the limit it is kept.
    assert.equal(send(100 + LIMIT, 1).filter(isRst).length, 0);
    const [reset] = send(101 + LIMIT, 1).filter(isRst);
    assert.deepEqual([reset.rstReason, (reset.rstFlags & 1) !== 0], [6, true]);
    assert.equal(peer.connection?.multipath().subflows.length, 1);
  });
}

test('RFC 8684 §3.3.6: what a path acknowledged and the connection did not goes another way the next time', () => {
  const world = new World({ paths: 2, delays: [10, 10] });
  world.establish(2);
  world.transfer('client', 1_000);
  world.run(500);
  // A box on both paths acknowledges data that never reaches the server.
  const from = world.log.length;
  let swallowed = 0;
  world.rules.push(p => {
    if (p.from !== 'client' || !hasData(p.segment) || swallowed >= 2) return undefined;
    swallowed++;
    const newest = world.packets('server', (_, q) => q.path === p.path).at(-1)?.segment as Segment;
    const fake = Object.assign(Object.create(Object.getPrototypeOf(newest)), newest, {
      ...{ mp: 0, sackCount: 0, payloadLength: 0, flags: Flag.ACK },
      ack: (p.segment.seq + p.segment.payloadLength) >>> 0,
      tsEcr: p.segment.tsVal,
    }) as Segment;
    world.inject('server', fake, none, 10);
    return 'drop';
  });
  world.client.send(bytesOf(500, 1_000), world.now);
  world.until('bytes', () => world.server.received.length === 1_500, 10_000);
  const ways = world.log.slice(from).filter(p => p.from === 'client' && hasData(p.segment));
  assert.equal(swallowed, 2);
  // Sent, repeated in vain, and repeated once more.
  assert.deepEqual(
    ways.map(p => p.path),
    [0, 0, 1],
  );
});

// A client that never sees a DSS.

test('a peer that sends options and never a DSS, and closes its end: this connection was nothing to resume', () => {
  const world = new World();
  world.rules.push(
    altered(
      Infinity,
      (s, p) => p.from === 'server' && !isSynAck(s),
      s => {
        s.mp = Mp.PRIO;
        s.prioBackup = false;
      },
    ),
  );
  world.connect();
  world.until('connected', () => world.client.connection.connected && world.server.connections.length === 1);
  world.client.connection.shutdown(world.now);
  world.until('the server has all', () => world.server.connection.ended);
  world.server.connection.shutdown(world.now);
  world.until('the end', () => world.client.connection.closed, 200_000);
  assert.equal(world.client.connection.error, 'ECONNRESET');
  assert.equal(world.packets('client', isJoinSyn).length, 0);
});
