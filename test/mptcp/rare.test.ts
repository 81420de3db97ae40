// What seldom happens to a connection, or is seldom done to it: the end in odd orders, signals that are of no use,
// peers that say what nobody asked, ports that are not to be had. Each in its smallest form (RFC 8684 §3.1–§3.7).

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { announce, withdraw } from '../conformance/addresses.ts';
import { type Flow, RawPeer } from './raw-peer.ts';
import {
  bytesOf,
  has,
  hasData,
  isCapableAck,
  isDataFin,
  isFin,
  isRst,
  isSyn,
  isSynAck,
  World,
} from './world.ts';

const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);
const isJoinSynAck = (s: Segment): boolean => isSynAck(s) && has(s, Mp.JOIN);
const isAddAddr = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && !s.addAddrEcho;
const isEcho = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && s.addAddrEcho;
const none: Uint8Array = new Uint8Array(0);

// The application.

for (const multipath of [true, false]) {
  test(`after shutdown and after close nothing more is taken, ${multipath ? 'with' : 'without'} Multipath TCP`, () => {
    const world = new World();
    world.establish(1, { multipath });
    const { connection } = world.client;
    assert.ok(connection.writableBytes > 0);
    connection.shutdown(world.now);
    assert.equal(connection.writableBytes, 0);
    assert.equal(connection.write(bytesOf(10), 0, 10, world.now), 0);
    connection.shutdown(world.now);
    world.run(100);
    assert.equal(world.server.connection.peerFinished, true);
    // Letting go twice is letting go once.
    connection.close(world.now);
    connection.close(world.now);
    world.server.connection.close(world.now);
    world.untilGone();
    assert.equal(connection.error, null);
    assert.equal(world.server.received.length, 0);
  });
}

test('setKeepAlive: the shorter of the application’s and the subflow’s idle time counts, and none when off', () => {
  const firstProbeMs = (ms: number | null, own: number): number => {
    const world = new World({ client: { subflowKeepAliveMs: own } });
    world.establish();
    world.transfer('client', 100);
    world.run(1_000);
    if (ms !== null) world.client.connection.setKeepAlive(ms > 0, ms, world.now);
    const before = world.packets('client').length;
    const setMs = world.now;
    world.run(40_000);
    const [probe] = world.packets('client').slice(before);
    return probe === undefined ? Infinity : probe.at - setMs;
  };
  assert.equal(firstProbeMs(null, 0), Infinity);
  assert.equal(firstProbeMs(5_000, 0), 5_000);
  assert.equal(firstProbeMs(5_000, 20_000), 5_000);
  assert.equal(firstProbeMs(30_000, 20_000), 20_000);
  assert.equal(firstProbeMs(0, 20_000), 20_000);
  assert.equal(firstProbeMs(0, 0), Infinity);
});

test('setKeepAlive: of two that are equally long the application’s is in force, with its interval', () => {
  for (const [ms, probes] of [
    [19_999, 1],
    [20_000, 1],
    [20_001, 5],
  ]) {
    const world = new World({ client: { subflowKeepAliveMs: 20_000 } });
    world.establish();
    world.transfer('client', 100);
    world.run(1_000);
    world.client.connection.setKeepAlive(true, ms, world.now);
    world.rules.push(() => 'drop');
    const before = world.packets('client').length;
    // Every 75 s the one, every 2 s the other.
    world.run(20_001 + 8_000);
    assert.equal(world.packets('client').length - before, probes, `${ms}`);
  }
});

test('setKeepAlive without a time: the configured one, and off again', () => {
  const world = new World({ client: { keepAliveIdleMs: 7_000 } });
  world.establish();
  world.transfer('client', 100);
  world.run(1_000);
  world.client.connection.setKeepAlive(true, 0, world.now);
  const before = world.packets('client').length;
  world.run(7_500);
  assert.equal(world.packets('client').length, before + 1);
  world.client.connection.setKeepAlive(false, 0, world.now);
  world.run(60_000);
  assert.equal(world.packets('client').length, before + 1);
});

test('no local port is free: EADDRINUSE at once, and nothing is sent', () => {
  const world = new World({ client: { ephemeralFirst: 40_000, ephemeralLast: 40_000 } });
  world.establish();
  const sent = world.packets('client').length;
  const remote = { address: world.serverAddresses[0], port: 8080 };
  const second = world.client.host.connect(
    { remote, paths: [{ interfaceId: world.pathInterface(0) }] },
    world.now,
  );
  world.settle();
  assert.equal(second.error, 'EADDRINUSE');
  assert.equal(world.packets('client').length, sent);
  world.transfer('client', 1_000);
  world.finish();
});

// The end.

test('all was exchanged and the last acknowledgement is lost with every subflow: an end in order', () => {
  const world = new World({ client: { closeTimeoutMs: 7_000 } });
  world.establish();
  world.transfer('client', 1_000);
  world.server.connection.shutdown(world.now);
  world.until('the server has ended', () => world.client.connection.peerFinished);
  world.run(100);
  world.rules.push(p => (p.from === 'server' ? 'drop' : undefined));
  world.client.connection.shutdown(world.now);
  world.run(100);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const start = world.now;
  world.until('the end', () => world.client.connection.closed, 20_000);
  assert.equal(world.client.connection.error, null);
  assert.ok(world.now - start >= 7_000 && world.now - start <= 7_100, `after ${world.now - start} ms`);
});

test('all was exchanged and the peer knows nothing of a join: it has gone first, which is an end in order', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 1_000);
  world.server.connection.shutdown(world.now);
  world.until('the server has ended', () => world.client.connection.peerFinished);
  world.run(100);
  world.rules.push(p => (p.from === 'server' && !isRst(p.segment) ? 'drop' : undefined));
  world.client.connection.shutdown(world.now);
  world.run(100);
  // The server forgets everything, as a new process would.
  const fresh = new World({ seed: 77 });
  Object.assign(world.server, { host: fresh.server.host, interfaces: fresh.server.interfaces });
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const id = world.addClientInterface('10.5.0.1');
  world.client.connection.addPath({ interfaceId: id }, world.now);
  world.until('the end', () => world.client.connection.closed, 5_000);
  assert.equal(world.client.connection.error, null);
  assert.ok(world.packets('client', isJoinSyn).length > 0);
});

test('a server that joined again and says nothing is not lonely', () => {
  const world = new World({ server: { closeTimeoutMs: 7_000 }, client: { delayedAckMs: 0 } });
  world.establish();
  world.transfer('client', 1_000);
  world.run(100);
  // The address goes without a word, the subflow ends by a reset, and another one comes after 6.5 s.
  const old = world.packets('client')[0].segment.srcPort;
  world.rules.push(p => (p.from === 'client' && p.segment.srcPort === old ? 'drop' : undefined));
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const last = world.packets('client', s => s.srcPort === old).at(-1)?.segment as Segment;
  const [heard] = world.packets('server', s => s.dstPort === old).slice(-1);
  world.inject(
    'client',
    Object.assign({}, last, { flags: 4, seq: heard.segment.ack, mp: 0, payloadLength: 0 }) as Segment,
  );
  world.run(6_000);
  assert.equal(world.server.connection.multipath().subflows.length, 0);
  const id = world.addClientInterface('10.5.0.1');
  world.client.connection.addPath({ interfaceId: id }, world.now);
  world.run(120_000);
  assert.equal(world.server.connection.closed, false);
  world.transfer('server', 1_000);
});

test('a DATA_FIN of bytes that came long ago changes nothing', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101 });
  const fields = peer.mapping({ dsn: 50, ssn: 0, length: 0, payload: none, fin: true });
  peer.put(peer.segment(flow, fields));
  assert.equal(peer.connection?.peerFinished, false);
  peer.data(flow, { bytes: bytesOf(100, 200), dsn: 201 });
  assert.deepEqual(peer.read(), bytesOf(300));
});

test('data that was read before the application let go comes again: no reset, and the rest is still sent', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  peer.connection?.close(peer.now);
  peer.take();
  // On another subflow, which knows it as new: nobody is there for it, but nothing is lost.
  const b = peer.join(2222);
  const sent = peer.data(b, { bytes: bytesOf(100), dsn: 1 });
  assert.equal(sent.filter(isRst).length, 0);
  // What is new is for nobody.
  const ended = peer.data(b, { bytes: bytesOf(100, 100), dsn: 101 });
  assert.ok(ended.some(s => isRst(s) || has(s, Mp.FASTCLOSE)));
  assert.equal(peer.host.counters.TCPAbortOnData, 1);
});

test('an application aborts, and the peer answers MP_FASTCLOSE with MP_FAIL: a reset is the last word', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.connection?.write(bytesOf(10), 0, 10, peer.now);
  const [data] = peer.take().filter(hasData);
  assert.equal(data.payloadLength, 10);
  flow.rcvNxt += 10;
  peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, dataAck: 11 });
  peer.read();
  peer.connection?.abort(peer.now);
  assert.ok(peer.take().some(s => has(s, Mp.FASTCLOSE) && !isRst(s)));
  const sent = peer.put(peer.segment(flow, { mp: Mp.FAIL }));
  assert.ok(sent.some(isRst));
  peer.wait(200_000);
  assert.equal([...peer.host.connections].length, 0);
});

test('the only path is taken away and MP_FAIL comes on it: as TCP the connection has no other', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const second = peer.join(2222);
  peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK }));
  peer.connection?.removePath(peer.interfaceId, peer.now);
  assert.ok(peer.take().some(isFin));
  const sent = peer.put(peer.segment(flow, { mp: Mp.FAIL }));
  assert.ok(sent.some(isRst));
  assert.equal(peer.connection?.error, 'ENETDOWN');
});

test('MP_FAIL after the application let go: what was written still arrives as TCP, and the end', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  peer.connection?.write(bytesOf(10), 0, 10, peer.now);
  peer.connection?.close(peer.now);
  const sent = peer.take();
  sent.push(...peer.put(peer.segment(flow, { mp: Mp.FAIL })));
  sent.push(...peer.wait(3_000));
  assert.equal(peer.connection?.multipath().fallback?.cause, 'mp-fail');
  assert.ok(sent.some(s => hasData(s) && s.payloadLength === 10));
  assert.ok(sent.some(isFin));
  // Nobody is left to wait for the peer without end.
  peer.wait(600_000);
  assert.equal([...peer.host.connections].length, 0);
});

// What a peer may say.

test('a reset with a reason that no table has is told by its number', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const [synAck] = world.packets('server', isJoinSynAck);
  const last = world.packets('client', s => s.srcPort === synAck.segment.dstPort).at(-1)?.segment as Segment;
  const heard = world.packets('server', s => s.dstPort === synAck.segment.dstPort).at(-1)?.segment as Segment;
  const reset = Object.assign({}, heard, {
    flags: 4,
    seq: last.ack,
    mp: Mp.TCPRST,
    rstReason: 77,
    rstFlags: 0,
  });
  world.inject('server', reset as Segment);
  world.run(100);
  const [closed] = world.client.notice('subflowclose');
  assert.match(closed.reason, /reason 77/);
});

test('the first data with a checksum that nobody asked for: the subflow is reset', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  const keys = {
    ...{ mp: Mp.CAPABLE, capableVersion: 1, capableFlags: 1, capableLength: 24, dataLength: 10, checksum: 5 },
    ...{ senderKeyHi: peer.key.readUInt32BE(0), senderKeyLo: peer.key.readUInt32BE(4) },
    ...{ receiverKeyHi: peer.hostKey.readUInt32BE(0), receiverKeyLo: peer.hostKey.readUInt32BE(4) },
  };
  const sent = peer.put(peer.segment(flow, keys), bytesOf(10));
  const [rst] = sent.filter(isRst);
  assert.ok(has(rst, Mp.TCPRST));
  assert.equal(rst.rstReason, 1);
  assert.equal(peer.read().length, 0);
});

test('more mappings than are kept: the subflow is reset for want of resources', () => {
  const peer = new RawPeer({ config: { maxMappings: 4 } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  // Each maps ten bytes beyond a hole, so that none of them can be let go.
  const resets: Segment[] = [];
  for (let i = 0; i < 5; i++) {
    const at = 100 + 20 * i;
    resets.push(...peer.data(flow, { bytes: bytesOf(10), dsn: at, ssn: at }).filter(isRst));
    assert.equal(resets.length, i < 4 ? 0 : 1, `after ${i + 1}`);
  }
  assert.equal(resets[0].rstReason, 2);
});

test('addresses are for clients to join: a server echoes one and stays where it is; its paths change nothing', () => {
  const world = new World({ serverAddresses: ['10.9.0.1', '10.9.0.2'] });
  world.establish();
  world.transfer('client', 1_000);
  world.server.connection.addPath(
    { interfaceId: world.server.interfaces.get('10.9.0.2') as number },
    world.now,
  );
  world.run(5_000);
  assert.equal(world.packets('server', isSyn).length, 0);
  assert.equal(world.client.connection.multipath().subflows.length, 1);
});

test('no more than eight addresses wait for their echo', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 1_000);
  const rule = () => 'drop' as const;
  // They arrive together: the client has no turn in between, because its packets would show.
  const before = world.packets('client', isEcho).length;
  const { client } = world;
  const receive = client.host.receive.bind(client.host);
  const waiting: Parameters<typeof receive>[] = [];
  client.host.receive = (...args) => void waiting.push([args[0], args[1].slice(), args[2], args[3], args[4]]);
  for (let i = 0; i < 10; i++) announce(world, { id: 20 + i, address: `10.50.0.${i + 1}` });
  client.host.receive = receive;
  assert.ok(waiting.length >= 10);
  world.rules.push(p => (isSyn(p.segment) ? rule() : undefined));
  for (const [id, bytes, offset, length] of waiting)
    client.host.receive(id, bytes, offset, length, world.now);
  world.run(100);
  assert.equal(world.packets('client', isEcho).length - before, 8);
});

test('an address that makes no sense is not announced, nor the one that the peer is connected to', () => {
  const world = new World({
    serverAddresses: ['10.9.0.1', '10.9.0.2'],
    advertise: [{ address: 'nowhere' }, { address: '10.9.0.1' }, { address: '10.9.0.2', port: 8080 }],
  });
  world.establish();
  world.transfer('client', 1_000);
  world.run(500);
  const sent = world.packets('server', isAddAddr);
  assert.equal(sent.length, 1);
  // 10.9.0.2, without the port, which is that of the listener.
  assert.equal(sent[0].segment.addAddr3 >>> 0, 0x0a090002);
  assert.equal(sent[0].segment.addAddrPort, 0);
});

test('an address that goes before its announcement was echoed is announced no more, and withdrawn', () => {
  const world = new World({
    server: { removeAddrRetries: 0 },
    serverAddresses: ['10.9.0.1', '10.9.0.2'],
    advertise: [{ address: '10.9.0.2' }],
  });
  world.rules.push(p => (isAddAddr(p.segment) ? 'drop' : undefined));
  world.establish();
  world.transfer('client', 1_000);
  world.run(500);
  assert.equal(world.packets('server', isAddAddr).length, 1);
  world.server.host.removeInterface(world.server.interfaces.get('10.9.0.2') as number, world.now);
  world.run(60_000);
  assert.equal(world.packets('server', isAddAddr).length, 1);
  const removals = world.packets('server', s => has(s, Mp.REMOVE_ADDR));
  assert.equal(removals.length, 1);
  assert.equal(removals[0].segment.removeCount, 1);
});

test('REMOVE_ADDR of a path while no other is in use: it is asked, and stays', () => {
  const world = new World({ serverAddresses: ['10.9.0.1', '10.9.0.2'], paths: 2 });
  world.connect({
    paths: [
      { interfaceId: world.pathInterface(0) },
      { interfaceId: world.pathInterface(1), remote: { address: '10.9.0.2', port: 8080 } },
    ],
  });
  world.transfer('client', 1_000);
  world.until('two subflows', () => world.active('client') === 2 && world.active('server') === 2);
  const [synAck] = world.packets('server', isJoinSynAck);
  withdraw(world, [synAck.segment.joinAddressId]);
  world.run(3_000);
  assert.equal(world.active('client'), 2, 'a path that answers is not removed');
});

// Joins.

test('the third ACK of a join that is never answered is repeated, then the subflow is reset', () => {
  const world = new World({ paths: 2, client: { synRetries: 2 } });
  world.rules.push(p =>
    p.path === 1 && p.from === 'server' && !isJoinSynAck(p.segment) ? 'drop' : undefined,
  );
  world.establish();
  world.transfer('client', 1_000);
  world.until(
    'a reset',
    () => world.packets('client', (s, p) => p.path === 1 && isRst(s)).length > 0,
    60_000,
  );
  const acks = world.packets('client', s => has(s, Mp.JOIN) && s.joinLength === 24);
  // The first and `synRetries` repetitions.
  assert.equal(acks.filter(p => p.segment.srcPort === acks[0].segment.srcPort).length, 3);
});

test('a join finds no free port: it is tried again later, and the connection goes on', () => {
  const world = new World({ paths: 2, client: { ephemeralFirst: 40_000, ephemeralLast: 40_000 } });
  // Another connection holds the only port that the second path would get.
  const remote = { address: world.serverAddresses[0], port: 8080 };
  const blocker = world.client.host.connect(
    { remote, paths: [{ interfaceId: world.pathInterface(1) }] },
    world.now,
  );
  world.client.connections.push(blocker);
  world.settle();
  world.run(200);
  const connection = world.client.host.connect(
    { remote, paths: [{ interfaceId: world.pathInterface(0) }, { interfaceId: world.pathInterface(1) }] },
    world.now,
  );
  world.client.connections.unshift(connection);
  world.run(200);
  world.client.send(bytesOf(1_000), world.now);
  world.run(500);
  assert.equal(world.packets('client', isJoinSyn).length, 0);
  blocker.abort(world.now);
  world.until('joined', () => world.active('client') === 2, 40_000);
});

test('a link that could not open a port which nobody asked for is thanked and forgotten', () => {
  const world = new World({ externalPorts: true, paths: 2 });
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), localPort: 40_000 + i }));
  world.connect({ paths });
  world.transfer('client', 1_000);
  world.client.connection.flowFailed(4_711, world.now);
  assert.equal(world.client.connection.flowOpened(4_711, 45_000, world.now), false);
  world.transfer('client', 1_000);
});

test('a subflow that replaces a silent one and fails itself is tried again', () => {
  const world = new World({ paths: 1, client: { replaceAfterMs: 1_000, rejoinMinMs: 500 } });
  world.establish();
  world.transfer('client', 1_000);
  world.run(100);
  const [first] = world.packets('client', isSyn);
  let refusals = 2;
  world.rules.push(p => {
    const port = p.from === 'client' ? p.segment.srcPort : p.segment.dstPort;
    if (port === first.segment.srcPort) return 'drop';
    if (p.from === 'client' && isJoinSyn(p.segment) && refusals > 0) {
      refusals--;
      const { srcPort, dstPort, src3, dst3, src2, dst2, seq } = p.segment;
      const rst = Object.assign({}, p.segment, {
        ...{
          flags: 0x14,
          srcPort: dstPort,
          dstPort: srcPort,
          src3: dst3,
          dst3: src3,
          src2: dst2,
          dst2: src2,
        },
        ...{
          seq: 0,
          ack: (seq + 1) >>> 0,
          mp: Mp.TCPRST,
          rstReason: 3,
          rstFlags: 1,
          mss: 0,
          sackPermitted: false,
        },
        ...{ windowScale: -1, hasTimestamps: false },
      });
      world.inject('server', rst as Segment, none, 10);
      return 'drop';
    }
    return undefined;
  });
  world.client.send(bytesOf(20_000), world.now);
  world.until('all', () => world.server.received.length === 21_000, 60_000);
  assert.equal(refusals, 0);
  assert.ok(world.packets('client', isJoinSyn).length >= 3);
});

test('the path MTU of an interface shrinks: joined subflows over it, and no others, send smaller packets', () => {
  const world = new World({ paths: 2, delays: [20, 20] });
  world.establish(2);
  world.client.host.setMtu(world.pathInterface(1), 1_300, world.now);
  const before = world.log.length;
  world.client.send(bytesOf(400_000), world.now);
  world.until('all', () => world.server.received.length === 400_000);
  const largest = (path: number) =>
    Math.max(
      ...world.log
        .slice(before)
        .flatMap(p => (p.path === path && hasData(p.segment) ? [p.bytes.length] : [])),
    );
  assert.equal(largest(0), 1_500);
  assert.ok(largest(1) <= 1_300 && largest(1) > 1_200, `${largest(1)} bytes`);
});

// Silence.

test('a path that stays silent for the whole of dataTimeoutMs is given up, the connection lives on the other', () => {
  const world = new World({ paths: 2, client: { dataTimeoutMs: 100_000, replaceAfterMs: 1_000_000 } });
  world.establish(2);
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  const start = world.now;
  const second = world.client.connection.multipath().subflows[1].id;
  for (let i = 0; i < 130; i++) {
    world.client.send(bytesOf(50_000), world.now);
    world.run(1_000);
    world.server.received = [];
    if (world.client.notice('subflowclose').some(n => n.subflow.id === second)) break;
  }
  const [closed] = world.client.notice('subflowclose');
  assert.equal(closed.subflow.id, second);
  const took = world.now - start;
  assert.ok(took >= 100_000 && took <= 106_000, `after ${took} ms`);
  assert.equal(world.active('client'), 1);
});

test('without timestamps a silent path is in use again when something without payload comes from it', () => {
  const world = new World({ paths: 2, client: { timestamps: false }, server: { timestamps: false } });
  world.establish(2);
  let dark = true;
  world.rules.push(p => (dark && p.path === 1 ? 'drop' : undefined));
  for (let i = 0; i < 40 && world.client.host.counters.SubflowStale === 0; i++) {
    world.client.send(bytesOf(50_000), world.now);
    world.run(100);
  }
  assert.ok(world.client.host.counters.SubflowStale > 0);
  dark = false;
  world.until('both', () => world.active('client') === 2, 10_000);
  assert.ok(world.client.host.counters.SubflowRecover > 0);
});

test('third ACK and first data lost, the SYN/ACK repeated: keys come with the repetition', () => {
  const world = new World();
  let lost = 0;
  world.rules.push(p => {
    const keys = p.from === 'client' && (isCapableAck(p.segment) || isDataFin(p.segment));
    return keys && ++lost <= 2 ? 'drop' : undefined;
  });
  world.connect();
  world.client.onConnected = connection => connection.shutdown(world.now);
  world.until('the end is seen', () => world.server.connections[0]?.peerFinished === true, 30_000);
  assert.equal(world.server.connection.multipath().active, true);
  world.server.connection.shutdown(world.now);
  world.untilGone();
});

// Paths and ports.

test('a path that is added before the handshake is over is used once joins are allowed', () => {
  const world = new World();
  const id = world.addClientInterface('10.5.0.1');
  const remote = { address: world.serverAddresses[0], port: 8080 };
  const paths = [{ interfaceId: world.pathInterface(0) }];
  const connection = world.client.host.connect({ remote, paths }, world.now);
  world.client.connections.push(connection);
  connection.addPath({ interfaceId: id }, world.now);
  world.settle();
  assert.equal(world.packets('client', isJoinSyn).length, 0);
  world.until('connected', () => world.server.connections.length > 0 && connection.connected);
  world.transfer('client', 1_000);
  world.until('joined', () => world.active('client') === 2);
});

test('a path with a destination of its own does not go to addresses that are announced', () => {
  const world = new World({
    paths: 2,
    serverAddresses: ['10.9.0.1', '10.9.0.2', '10.9.0.3'],
    advertise: [{ address: '10.9.0.3' }],
  });
  world.connect({
    paths: [
      { interfaceId: world.pathInterface(0) },
      { interfaceId: world.pathInterface(1), remote: { address: '10.9.0.2', port: 8080 } },
    ],
  });
  world.transfer('client', 1_000);
  world.run(2_000);
  const joins = world.packets('client', isJoinSyn).map(p => `${p.path} ${p.segment.dst3 & 255}`);
  assert.deepEqual(joins.sort(), ['0 3', '1 2']);
});

test('an address that the client announces is echoed by the server, which does not join', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  const key = Buffer.concat([peer.key, peer.hostKey]);
  const hmac = createHmac('sha256', key)
    .update(Buffer.from([7, 10, 1, 0, 9, 0, 0]))
    .digest();
  const address = { addAddrId: 7, addAddrFamily: 4 as const, addAddr2: 0xffff, addAddr3: 0x0a010009 };
  const signal = { mp: Mp.ADD_ADDR, addAddrEcho: false, ...address };
  const hmacs = { addAddrHmacHi: hmac.readUInt32BE(24), addAddrHmacLo: hmac.readUInt32BE(28) };
  const sent = [...peer.put(peer.segment(flow, { ...signal, ...hmacs })), ...peer.wait(10_000)];
  assert.equal(sent.filter(isEcho).length, 1);
  assert.equal(sent.filter(isSyn).length, 0);
  assert.equal(peer.host.counters.AddAddr, 1);
});

// Options that go missing from one side, as one that has fallen back leaves them out (RFC 8684 §3.7).

/** Open, some data and its acknowledgement exchanged in both directions. */
function conversed(): { peer: RawPeer; flow: Flow } {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  peer.connection?.write(bytesOf(10), 0, 10, peer.now);
  peer.take();
  flow.rcvNxt += 10;
  peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, dataAck: 11 });
  peer.read();
  return { peer, flow };
}

test('a little data without mapping, and no more: after a while it is the stream’s, as TCP', () => {
  const { peer, flow } = conversed();
  flow.ssn += 50;
  peer.put(peer.segment(flow, { seq: 5_000 + flow.ssn - 50 }), bytesOf(50, 200));
  assert.equal(peer.read().length, 0);
  assert.equal(peer.connection?.multipath().active, true);
  peer.wait(150);
  assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
  assert.deepEqual(peer.read(), bytesOf(50, 200));
});

test('data that TCP acknowledges and no DATA_ACK does, without any option: TCP from the timeout on', () => {
  const { peer, flow } = conversed();
  peer.connection?.write(bytesOf(10, 10), 0, 10, peer.now);
  peer.take();
  flow.rcvNxt += 10;
  peer.put(peer.segment(flow));
  assert.equal(peer.connection?.multipath().active, true);
  const sent = peer.wait(5_000);
  assert.equal(peer.connection?.multipath().fallback?.cause, 'ack-without-data-ack');
  assert.equal(sent.filter(hasData).length, 0, 'nothing is sent a second time');
});

test('the same on a joined subflow: it is no sign of a peer that fell back, and the data is sent again', () => {
  const { peer, flow } = conversed();
  const b = peer.join(2222);
  const resets = peer.put(peer.segment(flow, { flags: 4 }));
  assert.equal(resets.length, 0);
  peer.connection?.write(bytesOf(10, 10), 0, 10, peer.now);
  const [first] = peer.take().filter(hasData);
  assert.equal(first.dstPort, 2222);
  b.rcvNxt += 10;
  // With a DATA_ACK of what came before, then without any option.
  peer.data(b, { bytes: bytesOf(10, 200), dsn: 201, dataAck: 11 });
  peer.connection?.write(bytesOf(10, 20), 0, 10, peer.now);
  peer.take();
  b.rcvNxt += 10;
  peer.put(peer.segment(b));
  const sent = peer.wait(5_000).filter(hasData);
  assert.ok(sent.length > 0);
  assert.equal(peer.connection?.multipath().active, true);
});

test('a FIN without any option, and no DATA_FIN: the peer has fallen back, and this is the end of its stream', () => {
  const { peer, flow } = conversed();
  peer.put(peer.segment(flow, { flags: 0x11 }));
  assert.equal(peer.connection?.peerFinished, true);
  assert.equal(peer.connection?.multipath().fallback?.cause, 'data-without-mapping');
});

test('a FIN without any option after a DATA_FIN ends the subflow only', () => {
  const { peer, flow } = conversed();
  const fin = peer.mapping({ dsn: 201, ssn: 0, length: 0, payload: none, fin: true, dataAck: 11 });
  peer.put(peer.segment(flow, fin));
  assert.equal(peer.connection?.peerFinished, true);
  peer.put(peer.segment(flow, { flags: 0x11 }));
  assert.equal(peer.connection?.multipath().fallback, null);
});

test('MP_FAIL while bytes wait that have no place in the stream: nobody could tell where TCP goes on', () => {
  const { peer, flow } = conversed();
  flow.ssn += 50;
  peer.put(peer.segment(flow, { seq: 5_000 + flow.ssn - 50 }), bytesOf(50, 200));
  const sent = peer.put(peer.segment(flow, { mp: Mp.FAIL }));
  const [rst] = sent.filter(isRst);
  assert.equal(rst.rstReason, 6);
  assert.equal(peer.read().length, 0);
});

test('data without mapping after the application let go is for nobody, and no reason to reset', () => {
  const { peer, flow } = conversed();
  peer.connection?.close(peer.now);
  peer.take();
  const sent = peer.put(peer.segment(flow, {}), bytesOf(50, 200));
  assert.equal(sent.filter(isRst).length, 0);
});

test('a peer that answers MP_FASTCLOSE with a FIN has not understood it: it gets a reset that says the same', () => {
  const { peer, flow } = conversed();
  peer.connection?.abort(peer.now);
  assert.ok(peer.take().some(s => has(s, Mp.FASTCLOSE) && !isRst(s)));
  const sent = peer.put(peer.segment(flow, { flags: 0x11 }));
  assert.ok(sent.some(s => isRst(s) && has(s, Mp.FASTCLOSE)));
});
