// Places that a connection seldom comes to, each by the shortest way there: what lasts a moment after the end, what two
// signals do to each other, what a peer leaves out or says in another form (RFC 8684 §3.1–§3.7).

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Hold } from '../../src/tcp/index.ts';
import { CapableFlag, DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { announce, withdraw } from '../conformance/addresses.ts';
import { type Flow, RawPeer } from './raw-peer.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isDataFin,
  isFin,
  isJoinAck,
  isRst,
  isSyn,
  isSynAck,
  stripped,
  World,
} from './world.ts';

const none: Uint8Array = new Uint8Array(0);
const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);

/** Open with checksums, and 100 bytes that were mapped and read. */
function summed({ checksum = true } = {}): { peer: RawPeer; flow: Flow } {
  const peer = new RawPeer({ checksum, config: { checksum } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  assert.deepEqual(peer.read(), bytesOf(100));
  return { peer, flow };
}

// The end.

test('RFC 8684 Appendix D: the token is known for a while after the end, unless the FIN is acknowledged', () => {
  for (const [waitMs, acknowledged, known] of [
    [6_999, 0, true],
    [7_000, 0, false],
    [100, 1, true],
    [100, 2, false],
  ] as const) {
    const peer = new RawPeer({ config: { closeTimeoutMs: 7_000 } });
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    peer.read();
    peer.connection?.write(bytesOf(10), 0, 10, peer.now);
    peer.take();
    peer.connection?.shutdown(peer.now);
    peer.take();
    const fin = peer.mapping({ dsn: 101, ssn: 0, length: 0, payload: none, fin: true, dataAck: 12 });
    const [last] = peer.put(peer.segment(flow, fin)).filter(isFin);
    assert.equal(peer.connection?.closed, true);
    peer.wait(waitMs);
    // The data before the FIN, and then the FIN as well.
    for (let i = 1; i <= acknowledged; i++) {
      flow.rcvNxt = i === 1 ? 11 : 12;
      peer.put(peer.segment(flow));
    }
    assert.equal((last.seq - flow.irs) >>> 0, 11);
    const joinToken = createHash('sha256').update(peer.hostKey).digest().readUInt32BE(0);
    const join = { mp: Mp.JOIN, joinLength: 12, joinToken, joinNonce: 1, joinAddressId: 1 };
    const second = { port: 2222, ssn: 0, rcvNxt: 0, irs: 0 };
    const [answer] = peer.put(peer.segment(second, { flags: Flag.SYN, mss: 1400, ...join, ack: 0 }));
    assert.deepEqual([isSynAck(answer), isRst(answer)], [known, !known], `${waitMs} ${acknowledged}`);
  }
});

test('the first data after the application let go is for nobody: an end at once', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.connection?.close(peer.now);
  peer.take();
  const sent = peer.data(flow, { bytes: bytesOf(1), dsn: 1 });
  assert.ok(sent.some(s => isRst(s) || has(s, Mp.FASTCLOSE)));
  assert.equal(peer.host.counters.TCPAbortOnData, 1);
});

test('MPCurrEstab: established as Multipath TCP, and neither finished here nor fallen back', () => {
  const counted = (world: World): number[] =>
    [world.client, world.server].map(({ host }) => host.counters.MPCurrEstab);
  const world = new World({ paths: 2 });
  world.establish(2);
  assert.deepEqual(counted(world), [1, 1]);
  world.client.connection.shutdown(world.now);
  world.run(100);
  assert.deepEqual(counted(world), [0, 1]);
  world.finish();
  assert.deepEqual(counted(world), [0, 0]);
  const plain = new World({ multipath: { server: false } });
  plain.establish();
  plain.transfer('client', 100);
  assert.deepEqual(counted(plain), [0, 0]);
  const aborted = new World();
  aborted.establish();
  aborted.client.connection.abort(aborted.now);
  aborted.untilGone();
  assert.deepEqual(counted(aborted), [0, 0]);
});

test('setNoDelay lets what Nagle’s algorithm or a cork holds leave at once, when it is switched on', () => {
  const sent = (world: World): number => {
    world.settle();
    return world.packets('client', hasData).length;
  };
  for (const corked of [false, true]) {
    const world = new World();
    world.establish();
    const { connection } = world.client;
    const write = (): number => connection.write(bytesOf(10), 0, 10, world.now);
    write();
    assert.equal(sent(world), 1);
    connection.setHold(Hold.CORK, corked);
    // Nothing is held yet, so nothing is let go by it.
    connection.setNoDelay(true, world.now);
    connection.setNoDelay(false, world.now);
    write();
    assert.equal(sent(world), 1);
    connection.setNoDelay(false, world.now);
    assert.equal(sent(world), 1);
    connection.setNoDelay(true, world.now);
    assert.equal(sent(world), 2);
    world.until('all of it', () => world.server.received.length === 20);
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

test('RFC 8684 §3.7: MP_FAIL is repeated until the infinite mapping comes, ten times at most', () => {
  for (const [what, stops] of [
    ['nothing', false],
    ['a DATA_ACK', false],
    ['a mapping of some length', false],
    ['the infinite mapping', true],
  ] as const) {
    const { peer, flow } = summed();
    const fields = peer.mapping({ dsn: 101, ssn: 101, length: 10, payload: bytesOf(10), checksum: 1 });
    const sent = peer.put(peer.segment(flow, fields), bytesOf(10, 100));
    flow.ssn += 10;
    assert.equal(peer.connection?.multipath().fallback?.cause, 'checksum');
    assert.equal(sent.filter(s => has(s, Mp.FAIL)).length, 1, 'the first is not put off');
    const mapping = peer.mapping({
      dsn: 111,
      ssn: 111,
      length: what.endsWith('length') ? 10 : 0,
      payload: none,
    });
    const bare = { ...mapping, dssFlags: DssFlag.DATA_ACK | DssFlag.DATA_ACK_64, checksum: -1 };
    const answer = what === 'nothing' ? {} : what === 'a DATA_ACK' ? bare : mapping;
    let fails = 1;
    for (let i = 0; i < 24; i++) {
      const acks = peer.put(
        peer.segment(flow, { seq: 5_000 + flow.ssn, ...answer }),
        bytesOf(10, 110 + 10 * i),
      );
      flow.ssn += 10;
      fails += acks.filter(s => has(s, Mp.FAIL)).length;
    }
    assert.equal(fails, stops ? 1 : 10, what);
    assert.deepEqual(peer.read(), bytesOf(250, 100));
  }
});

test('RFC 8684 §3.7: the infinite mapping is said again to whoever goes on signalling, ten times at most', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  const isInfinite = (s: Segment): boolean =>
    has(s, Mp.DSS) && (s.dssFlags & DssFlag.MAP) !== 0 && s.dataLength === 0;
  const sent: Segment[] = [];
  for (let i = 0; i < 9; i++) {
    sent.push(...peer.put(peer.segment(flow), bytesOf(10, 100 + 10 * i)));
    flow.ssn += 10;
  }
  assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
  assert.ok(sent.some(isInfinite));
  for (let i = 0; i < 20; i++) {
    const answers = peer.put(peer.segment(flow, peer.mapping({ dsn: 1, ssn: 1, length: 5, payload: none })));
    assert.equal(answers.length, sent.filter(isInfinite).length < 10 ? 1 : 0, `answer ${i}`);
    sent.push(...answers);
  }
  assert.equal(sent.filter(isInfinite).length, 10);
  assert.deepEqual(peer.read(), bytesOf(90, 100));
});

test('RFC 8684 §3.3.3: a DATA_FIN leaves on every subflow in use, at once', () => {
  const world = new World({ paths: 3 });
  world.establish(3);
  world.run(1_000);
  world.client.connection.shutdown(world.now);
  world.settle();
  const fins = world.packets('client', isDataFin);
  assert.deepEqual(fins.map(({ path }) => path).sort(), [0, 1, 2]);
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

test('what one segment says is not heard from the next: options missing after a connection that had them', () => {
  // The keys, and the HMACs, of an earlier handshake are still around.
  for (const [match, cause] of [
    [isSynAck, 'syn-ack-without-option'],
    [(s: Segment) => !isSyn(s) && !isSynAck(s), 'ack-without-option'],
  ] as const) {
    const world = new World();
    world.establish();
    world.transfer('client', 100);
    world.finish();
    world.beginAnew();
    world.rules.push(stripped(match));
    world.connect();
    world.until('connected', () => world.client.connection.connected);
    world.transfer('client', 100);
    const { client, server } = world;
    const fallen = [client, server].map(({ connection }) => connection.multipath().fallback?.cause);
    assert.ok(fallen.includes(cause), `${fallen}`);
  }
  for (const match of [isSynAck, isJoinAck]) {
    const world = new World({ paths: 3 });
    world.establish(2, { paths: [0, 1].map(i => ({ interfaceId: world.pathInterface(i) })) });
    world.rules.push(stripped((s, p) => p.path === 2 && match(s)));
    world.client.connection.addPath({ interfaceId: world.pathInterface(2) }, world.now);
    world.run(500);
    assert.deepEqual([world.active('client'), world.active('server')], [2, 2]);
    assert.ok(world.packets(match === isSynAck ? 'client' : 'server', isRst).length > 0);
  }
});

test('RFC 8684 §3.1: a SYN without MP_CAPABLE after so many repetitions, counted once; a join stays one', () => {
  const world = new World({ paths: 2, client: { synRetransBeforeFallback: 1, plainSynMs: 0 } });
  world.rules.push(first(4, isSyn));
  world.connect();
  world.until('connected', () => world.client.connection.connected, 60_000);
  assert.deepEqual(
    world.packets('client', isSyn).map(({ segment }) => has(segment, Mp.CAPABLE)),
    [true, true, false, false, false],
  );
  assert.equal(world.client.host.counters.MPCapableSYNTXDrop, 1);
  assert.equal(world.client.connection.multipath().fallback?.cause, 'syn-unanswered');
  const joined = new World({ paths: 2, client: { synRetransBeforeFallback: 1 } });
  joined.rules.push(first(4, isJoinSyn));
  joined.establish(2);
  assert.equal(joined.packets('client', (s, p) => isSyn(s) && p.path === 1 && !has(s, Mp.JOIN)).length, 0);
});

test('RFC 8684 §3.1: checksums that the server asked for are used though the third ACK does not say so', () => {
  for (const checksum of [true, false]) {
    const peer = new RawPeer({ config: { checksum: true } });
    const flow = peer.open();
    peer.checksum = checksum;
    const sent = peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
    assert.equal(sent.some(isRst), !checksum);
    assert.equal(peer.read().length, checksum ? 10 : 0);
  }
});

test('what one connection with one join counts, by Linux’s names', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.finish();
  const counted = (counters: Record<string, number>): Record<string, number> =>
    Object.fromEntries(
      Object.entries(counters).filter(([name, n]) => n > 0 && /^MP(Capable|Join|Fail|Rst|Prio)/.test(name)),
    );
  assert.deepEqual(counted({ ...world.client.host.counters }), {
    ...{ MPCapableSYNTX: 1, MPCapableSYNACKRX: 1, MPJoinSynTx: 1, MPJoinSynAckRx: 1 },
  });
  assert.deepEqual(counted({ ...world.server.host.counters }), {
    ...{ MPCapableSYNRX: 1, MPCapableACKRX: 1, MPJoinSynRx: 1, MPJoinAckRx: 1 },
  });
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

test('RFC 8684 §3.7: an infinite mapping says where the stream goes on, in 64 bits or 32; what is out of reach is ignored', () => {
  for (const [wide, dsn, more] of [
    [true, 101, {}],
    [false, 101, {}],
    // Half of it has come before.
    [true, 51, {}],
    [false, 51, {}],
    [true, 101, { dsnHi: 0x4000_0000 }],
  ] as const) {
    const peer = new RawPeer();
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    const fields = peer.mapping({ dsn, ssn: 101, length: 0, payload: none, wide });
    const { dsnHi = 0 } = fields;
    if ('dsnHi' in more) fields.dsnHi = (dsnHi ^ more.dsnHi) >>> 0;
    peer.put(peer.segment(flow, { seq: 5_000 + flow.ssn, ...fields }), bytesOf(100, dsn - 1));
    flow.ssn += 100;
    assert.equal(peer.connection?.multipath().fallback?.cause, 'infinite-mapping');
    peer.put(peer.segment(flow), bytesOf(50, dsn + 99));
    assert.deepEqual(peer.read(), bytesOf(dsn + 149));
  }
});

test('RFC 8684 §3.7: with checksums, too, bytes without a mapping wait a while and are the stream’s then, as TCP', () => {
  const { peer, flow } = summed();
  peer.put(peer.segment(flow), bytesOf(50, 100));
  flow.ssn += 50;
  assert.deepEqual([peer.read().length, peer.connection?.multipath().active], [0, true]);
  peer.wait(99);
  assert.equal(peer.connection?.multipath().active, true);
  const [told] = peer.wait(1);
  assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
  assert.deepEqual([has(told, Mp.DSS), told.dataLength, told.checksum], [true, 0, 0]);
  assert.deepEqual(peer.read(), bytesOf(50, 100));
});

for (const checksum of [true, false]) {
  test(`a mapping may come behind its bytes, checksums ${checksum ? 'on' : 'off'}`, () => {
    const { peer, flow } = summed({ checksum });
    const bytes = bytesOf(100, 100);
    peer.put(peer.segment(flow), bytes.subarray(0, 50));
    const fields = peer.mapping({ dsn: 101, ssn: 101, length: 100, payload: bytes });
    peer.put(peer.segment(flow, { seq: 5_000 + flow.ssn + 50, ...fields }), bytes.subarray(50));
    flow.ssn += 100;
    assert.deepEqual(peer.read(), bytes);
    peer.wait(1_000);
    assert.equal(peer.connection?.multipath().active, true);
  });
}

test('RFC 8684 §3.3.3: a checksum may count the DATA_FIN behind its mapping, where there is one, and must be right', () => {
  for (const [finAt, counted, spoiled, right] of [
    [111, 0, 0, true],
    [111, 1, 0, true],
    [111, 0, 0x100, false],
    [112, 1, 0, false],
    [-1, 1, 0, false],
  ] as const) {
    const { peer, flow } = summed();
    // The DATA_FIN is known before the data it follows.
    const fin = peer.mapping({ dsn: finAt, ssn: 0, length: 0, payload: none, fin: true });
    if (finAt > 0) peer.put(peer.segment(flow, fin));
    const bytes = bytesOf(10, 100);
    const { checksum = 0 } = peer.mapping({
      dsn: 101,
      ssn: 101,
      length: 10,
      payload: bytes,
      fin: counted === 1,
    });
    peer.data(flow, { bytes, dsn: 101, checksum: checksum ^ spoiled });
    assert.equal(
      peer.connection?.multipath().fallback?.cause,
      right ? undefined : 'checksum',
      `${finAt} ${counted}`,
    );
  }
});

test('RFC 8684 §3.7: bytes without a mapping are nobody’s once a join has begun: the connection goes on', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  peer.put(peer.segment(flow), bytesOf(50, 100));
  flow.ssn += 50;
  peer.wait(40);
  peer.join(2222);
  peer.wait(200);
  assert.equal(peer.connection?.multipath().active, true);
  assert.equal(peer.read().length, 0);
});

test('RFC 8684 §3.1, §3.3.3: a DATA_FIN rides on the last data, but not on the first that carries the keys', () => {
  const shape = ({ segment: s }: { segment: Segment }): string =>
    `${has(s, Mp.CAPABLE) ? 'keys' : 'dss'}${(s.dssFlags & DssFlag.DATA_FIN) !== 0 ? ' fin' : ''}`;
  const shapes = (world: World, from: 'client' | 'server'): string[] =>
    world.packets(from, hasData).map(shape);
  for (const [length, expected] of [
    [100, ['keys']],
    [2_000, ['keys', 'dss fin']],
  ] as const) {
    const world = new World();
    world.connect();
    world.client.send(bytesOf(length), world.now, { finish: true });
    world.until('the end', () => world.server.connections.length > 0 && world.server.connection.ended);
    assert.deepEqual(shapes(world, 'client'), expected);
  }
  const world = new World();
  world.server.onConnected = () => world.server.send(bytesOf(100), world.now, { finish: true });
  world.connect();
  world.until('the end', () => world.client.connection.ended);
  assert.deepEqual(shapes(world, 'server'), ['dss fin']);
  // The client knows by it that its keys have come.
  world.client.send(bytesOf(100), world.now, { finish: true });
  world.until('the other end', () => world.server.connection.ended);
  assert.deepEqual(shapes(world, 'client'), ['dss fin']);
});

test('RFC 8684 §3.3.3: a DATA_FIN that follows the answer to ours within 40 ms is acknowledged before the FIN', () => {
  for (const [waitMs, packets] of [
    [0, 2],
    [40, 2],
    [41, 1],
    [5_000, 1],
  ]) {
    const peer = new RawPeer();
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    peer.read();
    peer.wait(100);
    peer.connection?.shutdown(peer.now);
    peer.take();
    // The DATA_FIN takes the first number, so 2 acknowledges it.
    const { mp, dataAckHi, dataAckLo } = peer.mapping({
      dsn: 1,
      ssn: 1,
      length: 0,
      payload: none,
      dataAck: 2,
    });
    const dssFlags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64;
    peer.put(
      peer.segment(flow, { mp: mp ?? 0, dssFlags, dataAckHi: dataAckHi ?? 0, dataAckLo: dataAckLo ?? 0 }),
    );
    peer.wait(waitMs);
    const fin = peer.mapping({ dsn: 101, ssn: 0, length: 0, payload: none, fin: true, dataAck: 2 });
    const sent = peer.put(peer.segment(flow, fin));
    assert.deepEqual([sent.length, sent.map(isFin).indexOf(true)], [packets, packets - 1], `${waitMs}`);
    assert.equal(peer.dataAck(sent[0]), 102);
  }
});

test('as Linux: the first data that comes with its DATA_FIN is acknowledged before the DATA_FIN is', () => {
  const peer = new RawPeer({ config: { asLinux: true } });
  const flow = peer.open();
  const sent = peer.data(flow, { bytes: bytesOf(100), dsn: 1, fin: true });
  assert.deepEqual(
    sent.map(s => peer.dataAck(s)),
    [101, 102],
  );
  assert.deepEqual(sent.map(isDataFin), [false, false]);
});

test('as Linux: a DATA_FIN beyond a hole is not acknowledged, with its data or behind it', () => {
  const peer = new RawPeer({ config: { asLinux: true } });
  const flow = peer.open();
  const early = peer.data(flow, { bytes: bytesOf(50, 50), dsn: 51, ssn: 51, fin: true });
  assert.deepEqual([...new Set(early.map(s => peer.dataAck(s)))], [1]);
  const late = peer.data(flow, { bytes: bytesOf(50), dsn: 1 });
  assert.equal(peer.dataAck(late.at(-1) as Segment), 102);
  assert.deepEqual(peer.read(), bytesOf(100));
});

test('RFC 8684 §3.3.1: a checksum may be 0', () => {
  const { peer, flow } = summed();
  const bytes = bytesOf(10, 100);
  // What the checksum lacks, in two bytes of the payload: the sum is all ones then (RFC 1071).
  bytes.fill(0, 4, 6);
  const { checksum = 0 } = peer.mapping({ dsn: 101, ssn: 101, length: 10, payload: bytes });
  bytes.set([checksum >> 8, checksum & 255], 4);
  assert.equal(peer.mapping({ dsn: 101, ssn: 101, length: 10, payload: bytes }).checksum, 0);
  const sent = peer.data(flow, { bytes, dsn: 101 });
  assert.equal(sent.some(isRst), false);
  assert.deepEqual(peer.read(), bytes);
});

test('with checksums the MSS leaves room for an infinite mapping with everything in it', () => {
  const mss = (checksum: boolean): number => {
    const world = new World({ client: { checksum } });
    world.connect();
    return world.packets('client', isSyn)[0].segment.mss;
  };
  assert.equal(mss(false) - mss(true), 4 + 8 + 8 + 4 + 2 + 2);
});

test('a connection that is over for the application may be let go of while its subflow closes', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 100);
  for (const peer of [world.client, world.server]) peer.connection.shutdown(world.now);
  world.until('closed', () => world.client.connection.closed);
  assert.ok(world.client.connection.multipath().subflows.length > 0);
  world.client.connection.close(world.now);
  assert.ok(world.client.host.nextDeadline() < world.now + 119_000, 'it is not waited for');
  world.untilGone();
  assert.equal(world.client.connection.error, null);
});

test('the second question without options follows the first after one retransmission timeout, not two more', () => {
  const world = new World();
  let dark = false;
  world.rules.push(() => (dark ? 'drop' : undefined));
  world.establish();
  world.transfer('client', 1_000);
  world.run(1_000);
  dark = true;
  const from = world.log.length;
  world.client.send(bytesOf(100), world.now);
  world.run(5_000);
  const sent = world.log.slice(from).filter(p => p.from === 'client' && hasData(p.segment));
  const questions = sent.filter(p => p.segment.mp === 0).map(({ at }) => at);
  const timeouts = sent.filter(p => p.segment.mp !== 0).map(({ at }) => at);
  // The first timeout doubles the wait, the second asks, and the third comes as soon as the first did.
  const [first, second] = questions;
  const rto = 200;
  assert.ok(timeouts.includes(first) && timeouts.includes(second));
  assert.ok(second - first <= rto + 20, `${second - first} ms`);
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

// Paths.

test('a path that answers again before its replacement is due is not replaced', () => {
  for (const [darkMs, joins] of [
    [1_000, 1],
    [30_000, 2],
  ]) {
    const world = new World({ paths: 2 });
    world.establish(2);
    world.transfer('client', 1_000);
    world.run(500);
    const [old] = world.packets('client', isJoinSyn);
    let dark = true;
    const ofOld = (s: Segment): boolean => [s.srcPort, s.dstPort].includes(old.segment.srcPort);
    world.rules.push(({ segment }) => (dark && ofOld(segment) ? 'drop' : undefined));
    world.client.send(bytesOf(100_000, 1_000), world.now);
    world.run(darkMs);
    dark = false;
    world.run(60_000);
    assert.equal(world.packets('client', isJoinSyn).length, joins);
    assert.equal(world.active('client'), 2);
  }
});

test('RFC 8684 §3.4.1: what was announced twice and refused once is left alone by paths to come, until announced', () => {
  const world = new World({ paths: 2, serverAddresses: ['10.9.0.1', '10.9.0.2'] });
  const isThere = ({ dst3 }: Segment): boolean => (dst3 & 255) === 2;
  world.rules.push(first(Infinity, s => isJoinSyn(s) && isThere(s)));
  world.connect({ paths: [{ interfaceId: world.pathInterface(0) }] });
  world.transfer('client', 100);
  world.run(100);
  const address = { id: 5, address: '10.9.0.2' };
  announce(world, address);
  announce(world, address);
  assert.deepEqual([world.client.host.counters.AddAddr, world.client.host.counters.PortAdd], [2, 0]);
  world.run(300_000);
  assert.equal(world.client.connection.multipath().subflows.length, 1, 'given up');
  world.rules.length = 0;
  world.client.connection.addPath({ interfaceId: world.pathInterface(1) }, world.now);
  world.run(1_000);
  assert.equal(world.active('client'), 2, 'the new path goes to the first address');
  announce(world, address);
  world.run(1_000);
  assert.equal(world.active('client'), 4);
  announce(world, { ...address, port: 9 });
  assert.deepEqual([world.client.host.counters.AddAddr, world.client.host.counters.PortAdd], [4, 1]);
});

test('who concludes that options are dropped repeats at once what waits for an acknowledgement', () => {
  const world = new World();
  let active = false;
  world.rules.push(p => (active && p.segment.mp !== 0 ? 'drop' : undefined));
  world.establish();
  world.transfer('client', 1_000);
  world.transfer('server', 1_000);
  world.run(500);
  active = true;
  world.client.send(bytesOf(1_000, 1_000), world.now);
  world.server.send(bytesOf(1_000, 1_000), world.now);
  const { connection } = world.server;
  world.until('concluded', () => connection.multipath().fallback !== null, 5_000);
  world.settle();
  assert.equal(connection.multipath().fallback?.cause, 'options-dropped');
  world.run(0);
  const { seq } = world.packets('server', hasData)[1].segment;
  const again = world.packets('server', s => hasData(s) && s.seq === seq);
  assert.deepEqual([again.at(-1)?.at, again.at(-1)?.segment.mp], [world.now, 0]);
  world.until('all of it', () => world.server.received.length + world.client.received.length === 4_000);
});

test('RFC 8684 §3.7: payload without a mapping from the start: the peer is told if it has seen a DATA_ACK of ours', () => {
  for (const speaks of [true, false]) {
    const peer = new RawPeer();
    const flow = peer.open();
    if (speaks) {
      // An acknowledgement of the third ACK, with a DATA_ACK (RFC 8684 §3.1).
      peer.connection?.write(bytesOf(10), 0, 10, peer.now);
      const [data] = peer.take().filter(hasData);
      assert.ok((data.dssFlags & DssFlag.DATA_ACK) !== 0);
    }
    const sent = peer.put(peer.segment(flow), bytesOf(50));
    sent.push(...peer.wait(100));
    assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
    const infinite = sent.filter(
      s => (s.dssFlags & DssFlag.MAP) !== 0 && s.dataLength === 0 && has(s, Mp.DSS),
    );
    assert.equal(infinite.length > 0, speaks);
    assert.deepEqual(peer.read(), bytesOf(50));
  }
});

test('a path of a connection that is plain TCP is taken away: only its own ends it', () => {
  for (const [path, error] of [
    [1, null],
    [0, 'ENETDOWN'],
  ] as const) {
    const world = new World({ paths: 2, multipath: { server: false } });
    world.establish();
    world.transfer('client', 100);
    const { connection } = world.client;
    assert.equal(connection.multipath().active, false);
    connection.removePath(world.pathInterface(path), world.now);
    assert.deepEqual([connection.error, connection.closed], [error, error !== null]);
    if (error === null) world.transfer('client', 100);
    // An end is told once.
    const { errorReason } = connection;
    connection.removePath(world.pathInterface(path), world.now);
    assert.equal(connection.errorReason, errorReason);
  }
});

test('all was exchanged and the peer has forgotten the connection: joins under way end with it', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 1_000);
  world.server.connection.shutdown(world.now);
  world.until('the server has ended', () => world.client.connection.peerFinished);
  world.run(100);
  world.rules.push(p => (p.from === 'server' && !isRst(p.segment) ? 'drop' : undefined));
  world.client.connection.shutdown(world.now);
  world.run(100);
  const fresh = new World({ seed: 77 });
  Object.assign(world.server, { host: fresh.server.host, interfaces: fresh.server.interfaces });
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const [a, b] = [world.addClientInterface('10.5.0.1'), world.addClientInterface('10.6.0.1')];
  // One of the two is not heard at all.
  world.rules.push(({ path }) => (path === 2 ? 'drop' : undefined));
  for (const interfaceId of [b, a]) world.client.connection.addPath({ interfaceId }, world.now);
  world.until('the end', () => world.client.connection.closed, 5_000);
  assert.equal(world.client.connection.error, null);
  world.run(100);
  assert.equal([...world.client.host.connections].length, 0);
});

test('RFC 8684 §3.4.2: of an address that is withdrawn every other path in use is asked, and no path else', () => {
  // Two paths to two addresses: identifiers 0, and one that was announced.
  for (const [id, asked] of [
    [0, ['1>1']],
    [1, ['0>2', '1>2']],
    [9, []],
  ] as const) {
    const advertise = [{ address: '10.9.0.2' }];
    const world = new World({ paths: 2, serverAddresses: ['10.9.0.1', '10.9.0.2'], advertise });
    world.establish(2);
    world.until('four subflows', () => world.active('client') === 4 && world.active('server') === 4);
    world.run(1_000);
    const from = world.log.length;
    withdraw(world, [id]);
    const probes = world.log.slice(from).filter(p => p.from === 'client');
    const ways = probes.map(({ path, segment }) => `${path}>${segment.dst3 & 255}`);
    assert.deepEqual([...new Set(ways)].filter(way => way !== '0>1').sort(), asked, `${id}`);
    world.run(5_000);
    assert.equal(world.active('client'), 4, 'all have answered');
  }
});

test('an announced address that refuses leaves the plans of the others alone', () => {
  const world = new World({ serverAddresses: ['10.9.0.1', '10.9.0.2', '10.9.0.3'] });
  world.rules.push(first(Infinity, s => isJoinSyn(s) && (s.dst3 & 255) === 2));
  world.connect();
  world.transfer('client', 100);
  world.run(100);
  announce(world, { id: 5, address: '10.9.0.2' });
  announce(world, { id: 6, address: '10.9.0.3' });
  world.until('joined', () => world.active('client') === 2);
  world.run(300_000);
  // The one that works dies, and is joined again.
  const [{ segment: syn }] = world.packets('client', s => isJoinSyn(s) && (s.dst3 & 255) === 3);
  world.rules.push(({ segment: s }) => ([s.srcPort, s.dstPort].includes(syn.srcPort) ? 'drop' : undefined));
  world.client.send(bytesOf(300_000), world.now);
  world.run(30_000);
  const again = world.packets(
    'client',
    s => isJoinSyn(s) && (s.dst3 & 255) === 3 && s.srcPort !== syn.srcPort,
  );
  assert.ok(again.length > 0);
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
