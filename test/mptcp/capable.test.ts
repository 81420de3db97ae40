// The MP_CAPABLE handshake, RFC 8684 §3.1: keys, lost and doubled packets at each step, flags, versions.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Host } from '../../src/host/index.ts';
import { CapableFlag, DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { type Flow, RawPeer } from './raw-peer.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isCapableAck,
  isDataFin,
  isSyn,
  isSynAck,
  type Packet,
  type Rule,
  seededEntropy,
  stripped,
  World,
} from './world.ts';

function bothMultipath(world: World): void {
  for (const side of ['client', 'server'] as const) {
    const info = world.peer(side).connection.multipath();
    assert.equal(info.active, true, `${side} is multipath`);
    assert.equal(info.fallback, null);
  }
}

test('C1a, C3a, C3b, C6b, C6e: keys on SYN/ACK and ACK, first data with MP_CAPABLE at IDSN + 1, then DSS', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 5000);
  const [syn] = world.packets('client', isSyn);
  assert.equal(syn.segment.capableLength, 4);
  assert.equal(syn.segment.capableVersion, 1);
  assert.equal(syn.segment.capableFlags, CapableFlag.HMAC_SHA256);
  const [synAck] = world.packets('server', isSynAck);
  assert.equal(synAck.segment.capableLength, 12);
  const [ack] = world.packets('client', isCapableAck);
  assert.equal(ack.segment.receiverKeyHi, synAck.segment.senderKeyHi);
  assert.equal(ack.segment.receiverKeyLo, synAck.segment.senderKeyLo);
  const [data] = world.packets('client', hasData);
  assert.equal(data.segment.capableLength, 22);
  assert.equal(data.segment.dataLength, data.segment.payloadLength);
  bothMultipath(world);
  world.finish();
});

for (const [name, match, from] of [
  ['SYN', isSyn, 'client'],
  ['SYN/ACK', isSynAck, 'server'],
  ['third ACK', isCapableAck, 'client'],
  ['first data', hasData, 'client'],
] as const) {
  test(`C3b: ${name} lost once, client speaks first`, () => {
    const world = new World();
    world.rules.push(first(1, (s, p) => p.from === from && match(s)));
    world.client.onConnected = () => world.client.send(bytesOf(3000), world.now);
    world.connect();
    world.until('3000 bytes', () => world.server.received.length === 3000);
    assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(3000));
    bothMultipath(world);
    world.transfer('server', 3000);
    world.finish();
  });

  test(`C3b, C3c: ${name} doubled, client speaks first`, () => {
    const world = new World();
    world.rules.push(first(1, (s, p) => p.from === from && match(s), { again: 1 }));
    world.client.onConnected = () => world.client.send(bytesOf(3000), world.now);
    world.connect();
    world.until('3000 bytes', () => world.server.received.length === 3000);
    bothMultipath(world);
    world.transfer('server', 3000);
    world.finish();
  });

  test(`C3b: ${name} lost once, nobody speaks for a while`, () => {
    const world = new World();
    world.rules.push(first(1, (s, p) => p.from === from && match(s)));
    world.connect();
    world.run(4000);
    world.transfer('client', 3000);
    bothMultipath(world);
    world.finish();
  });
}

test('C3b: the third ACK overtaken by data', () => {
  const world = new World();
  world.rules.push(first(1, isCapableAck, { delayMs: 30 }));
  world.client.onConnected = () => world.client.send(bytesOf(8000), world.now);
  world.connect();
  world.until('8000 bytes', () => world.server.received.length === 8000);
  bothMultipath(world);
  world.finish();
});

test('C3b, C3c: the first data overtaken by the second, third ACK lost', () => {
  const world = new World();
  world.rules.push(first(1, isCapableAck), first(1, hasData, { delayMs: 5 }));
  world.client.onConnected = () => world.client.send(bytesOf(8000), world.now);
  world.connect();
  world.until('8000 bytes', () => world.server.received.length === 8000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(8000));
  bothMultipath(world);
  world.finish();
});

test('C3d: server speaks first, its DSS confirms the key and the client goes on with DSS', () => {
  const world = new World();
  world.server.onConnected = c => c.write(bytesOf(2000), 0, 2000, world.now);
  world.connect();
  world.until('2000 bytes', () => world.client.received.length === 2000);
  world.transfer('client', 2000);
  assert.deepEqual(
    world.packets('client', s => hasData(s) && has(s, Mp.CAPABLE)),
    [],
    'no MP_CAPABLE with data after a DSS',
  );
  bothMultipath(world);
  world.finish();
});

test('C3d: server speaks first and the third ACK was lost', () => {
  const world = new World();
  world.rules.push(first(1, isCapableAck));
  world.server.onConnected = c => c.write(bytesOf(2000), 0, 2000, world.now);
  world.connect();
  world.until('2000 bytes', () => world.client.received.length === 2000);
  bothMultipath(world);
  world.finish();
});

test('C3b: both speak at once', () => {
  const world = new World();
  world.server.onConnected = c => c.write(bytesOf(9000), 0, 9000, world.now);
  world.client.onConnected = () => world.client.send(bytesOf(9000), world.now);
  world.connect();
  world.until(
    '9000 bytes',
    () => world.client.received.length === 9000 && world.server.received.length === 9000,
  );
  assert.deepEqual(Uint8Array.from(world.client.received), bytesOf(9000));
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(9000));
  bothMultipath(world);
  world.finish();
});

const onlyClientFirsts: [string, Rule[]][] = [
  ['nothing lost', []],
  ['third ACK lost', [first(1, isCapableAck)]],
  ['DATA_FIN lost', [first(1, (s, p) => p.from === 'client' && isDataFin(s))]],
  ['third ACK late', [first(1, isCapableAck, { delayMs: 50 })]],
  ['third ACK doubled', [first(1, isCapableAck, { again: 1 })]],
];
for (const [name, rules] of onlyClientFirsts) {
  test(`C3b, F1: a client that finishes without a byte before its third ACK: ${name}`, () => {
    const world = new World();
    world.rules.push(...rules);
    world.client.onConnected = c => c.shutdown(world.now);
    world.connect();
    world.until(
      'server sees the end',
      () => world.server.connections.length === 1 && world.server.connection.ended,
    );
    if (rules.length === 0) assert.ok(world.now < 1100, `the end came after ${world.now - 1000} ms`);
    bothMultipath(world);
    world.finish();
  });

  test(`C3b, F1: a client that writes and finishes before its third ACK: ${name}`, () => {
    const world = new World();
    world.rules.push(...rules);
    world.client.onConnected = () => world.client.send(bytesOf(100), world.now, { finish: true });
    world.connect();
    world.until(
      'server sees the end',
      () => world.server.connections.length === 1 && world.server.connection.ended,
    );
    assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(100));
    world.finish();
  });
}

test('C1b: a higher version in the SYN is answered with version 1', () => {
  const world = new World();
  world.rules.push(
    altered(1, isSyn, s => {
      s.capableVersion = 2;
    }),
  );
  world.connect();
  world.transfer('client', 3000);
  assert.equal(world.packets('server', isSynAck)[0].segment.capableVersion, 1);
  world.finish();
});

test('C1b, C1c: version 0 in the SYN is answered without the option', () => {
  const world = new World();
  world.rules.push(
    altered(1, isSyn, s => {
      s.capableVersion = 0;
    }),
  );
  world.connect();
  world.transfer('client', 3000);
  assert.equal(world.packets('server', isSynAck)[0].segment.mp, 0);
  world.finish();
});

for (const [name, flags] of [
  ['B set', CapableFlag.EXTENSIBILITY | CapableFlag.HMAC_SHA256],
  ['no algorithm', 0],
  ['only an unknown algorithm (G)', 0x02],
] as const) {
  test(`C6c, C6f, C6i: SYN with ${name} is answered without the option`, () => {
    const world = new World();
    world.rules.push(
      altered(1, isSyn, s => {
        s.capableFlags = flags;
      }),
    );
    world.connect();
    world.transfer('client', 2000);
    assert.equal(world.packets('server', isSynAck)[0].segment.mp, 0);
    assert.equal(world.client.connection.multipath().fallback?.cause, 'syn-ack-without-option');
    world.finish();
  });
}

test('C6j: of several algorithms offered the answer names SHA-256 alone', () => {
  const world = new World();
  world.rules.push(
    altered(1, isSyn, s => {
      s.capableFlags = 0x1f;
    }),
  );
  world.connect();
  world.transfer('client', 2000);
  assert.equal(world.packets('server', isSynAck)[0].segment.capableFlags & 0x1f, CapableFlag.HMAC_SHA256);
  bothMultipath(world);
  world.finish();
});

for (const [name, flags] of [
  ['B set', CapableFlag.EXTENSIBILITY | CapableFlag.HMAC_SHA256],
  ['two algorithms', 0x03],
  ['none', 0],
] as const) {
  test(`C4, C6f, C6j: SYN/ACK with ${name} is plain TCP at both ends`, () => {
    const world = new World();
    world.rules.push(
      altered(1, isSynAck, s => {
        s.capableFlags = flags;
      }),
    );
    world.connect();
    world.transfer('client', 20_000);
    world.transfer('server', 20_000);
    for (const side of ['client', 'server'] as const) {
      assert.equal(world.peer(side).connection.multipath().active, false);
    }
    world.finish();
  });
}

for (const asks of ['client', 'server'] as const) {
  test(`C6g: checksums asked for by the ${asks} are used in both directions`, () => {
    const world = new World({ [asks]: { checksum: true } });
    world.establish();
    world.transfer('client', 20_000);
    world.transfer('server', 20_000);
    assert.notEqual(world.packets('client', isCapableAck)[0].segment.capableFlags & CapableFlag.CHECKSUM, 0);
    const mapped = world.log.filter(p => hasData(p.segment));
    for (const p of mapped) assert.ok(p.segment.checksum >= 0, 'every mapping has a checksum');
    assert.equal(world.packets('client', hasData)[0].segment.capableLength, 24);
    world.finish();
  });
}

test('C6d: flag C keeps the client from joining the address of the first subflow', () => {
  const world = new World({ paths: 2 });
  world.rules.push(
    altered(1, isSynAck, s => {
      s.capableFlags |= CapableFlag.NO_JOIN_TO_SOURCE;
    }),
  );
  world.connect();
  world.transfer('client', 3000);
  world.run(3000);
  assert.equal(world.packets('client', s => has(s, Mp.JOIN)).length, 0);
  world.finish();
});

test('C2a: keys of many connections differ, and so do tokens', () => {
  const world = new World();
  const tokens = new Set<number>();
  for (let i = 0; i < 50; i++) world.connect();
  world.until('50 accepted', () => world.server.connections.length === 50);
  for (const side of [world.client, world.server]) {
    for (const c of side.connections) tokens.add(c.multipath().token as number);
  }
  assert.equal(tokens.size, 100);
});

test('C2a, C2b: a key whose token is in use is drawn again', () => {
  const real = seededEntropy(5);
  let calls = 0;
  const entropy = {
    ...real,
    sha256: (data: Uint8Array): Uint8Array => {
      const digest = real.sha256(data);
      if (data.length !== 8) return digest;
      // The first two keys have the same token.
      if (++calls <= 2) digest.set([1, 2, 3, 4]);
      return digest;
    },
  };
  const host = new Host({ entropy });
  const interfaceId = host.addInterface({ address: '10.1.0.1' });
  const remote = { address: '10.9.0.1', port: 80 };
  host.connect({ remote, paths: [{ interfaceId }] }, 0);
  assert.equal(calls, 1);
  host.connect({ remote, paths: [{ interfaceId }] }, 0);
  assert.equal(calls, 3);
});

test('C4: wrong receiver key in the third ACK: plain TCP, and the data arrives', () => {
  const world = new World();
  world.rules.push(
    altered(
      Infinity,
      s => has(s, Mp.CAPABLE) && s.capableLength >= 20,
      s => {
        s.receiverKeyLo ^= 1;
        s.receiverKeyLo >>>= 0;
      },
    ),
  );
  world.connect();
  world.transfer('client', 20_000);
  world.transfer('server', 20_000);
  assert.equal(world.server.connection.multipath().fallback?.cause, 'handshake-corrupt');
  assert.equal(world.client.connection.multipath().active, false);
  world.finish();
});

test('C8b: SYN without option is answered without', () => {
  const world = new World({ multipath: { server: true } });
  world.connect({ multipath: false });
  world.transfer('client', 3000);
  assert.equal(world.packets('server', isSynAck)[0].segment.mp, 0);
  assert.equal(world.log.filter(p => p.segment.mp !== 0).length, 0);
  world.finish();
});

test('C8a, C8c: option removed from the SYN, the SYN/ACK or the third ACK: TCP at both ends', () => {
  for (const match of [isSyn, isSynAck, isCapableAck]) {
    const world = new World();
    world.rules.push(
      stripped(s => match(s) || (match === isCapableAck && has(s, Mp.CAPABLE) && s.capableLength > 12)),
    );
    world.connect();
    world.transfer('client', 20_000);
    world.transfer('server', 20_000);
    assert.equal(world.client.connection.multipath().active, false);
    assert.equal(world.server.connection.multipath().active, false);
    world.finish();
  }
});

test('G1: a late copy of the SYN/ACK with another key or none changes nothing', () => {
  for (const mutate of ['key', 'none'] as const) {
    // Without timestamps, whose check would drop the copy for its age.
    const world = new World({ client: { timestamps: false } });
    world.connect();
    world.transfer('client', 5000);
    const seen = world.packets('server', isSynAck)[0].segment;
    if (mutate === 'key') seen.senderKeyLo ^= 0x55;
    else seen.mp = 0;
    seen.senderKeyLo >>>= 0;
    world.inject('server', seen);
    world.run(100);
    bothMultipath(world);
    world.transfer('client', 5000);
    world.transfer('server', 5000);
    world.finish();
  }
});

test('no MPTCP option on a RST to an unknown connection', () => {
  const world = new World();
  world.connect({ remote: { address: world.serverAddresses[0], port: 9 } });
  world.run(100);
  assert.equal(world.client.connection.error, 'ECONNREFUSED');
  const [rst] = world.packets('server', s => (s.flags & Flag.RST) !== 0);
  assert.equal(rst.segment.mp, 0);
  world.untilGone();
});

test('C3b: a client that answers a repeated SYN/ACK without its keys has none to give: plain TCP', () => {
  // Linux does so after a SYN with data was repeated: it believes the connection to be confirmed.
  const peer = new RawPeer();
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
  const dss = { mp: Mp.DSS, dssFlags: DssFlag.DATA_ACK, dataAckLo: 1 };
  assert.equal(peer.put(peer.segment(flow, dss)).length, 0);
  assert.equal(
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 }).length,
    0,
    'it may have overtaken one with keys',
  );
  const [repeated] = peer.wait(1100);
  assert.equal(repeated.flags, Flag.SYN | Flag.ACK);
  peer.put(peer.segment(flow, dss));
  assert.equal(peer.connection?.multipath().fallback?.cause, 'ack-without-option');
  const [ack] = peer.data(flow, { bytes: bytesOf(100), dsn: 1, ssn: 1 });
  assert.deepEqual([(ack.ack - synAck.ack) >>> 0, ack.mp], [100, 0]);
  assert.deepEqual(peer.read(), bytesOf(100));
});

test('C3b, F1: what a client says in answer to a SYN/ACK that comes again are its keys, its end comes behind them', () => {
  const world = new World();
  let silent = true;
  world.rules.push(({ from, segment }) =>
    silent && from === 'client' && !isSyn(segment) ? 'drop' : undefined,
  );
  world.connect();
  world.client.connection.shutdown(world.now);
  world.run(900);
  silent = false;
  world.until('another SYN/ACK', () => world.packets('server', isSynAck).length === 2);
  const [, again] = world.packets('server', isSynAck);
  world.run(500);
  const [answer] = world.packets('client').filter(({ at }) => at >= again.at);
  assert.ok(has(answer.segment, Mp.CAPABLE));
  assert.equal(world.server.connection.multipath().fallback, null);
});

test('C4: a box that gives the client another key for the server, and hides it from the server: no byte is wrong', () => {
  // The mappings of such a server lie nowhere near the stream, and it goes on as multipath: it would say again what
  // no DATA_ACK acknowledges, and that is no TCP stream.
  const world = new World();
  const isKeys = (s: Segment, p: Packet): boolean => p.from === 'client' && has(s, Mp.CAPABLE) && !isSyn(s);
  world.rules.push(
    altered(Infinity, isSynAck, s => {
      s.senderKeyHi = (s.senderKeyHi ^ 0x5a5a5a5a) >>> 0;
    }),
    altered(Infinity, isKeys, s => {
      s.receiverKeyHi = (s.receiverKeyHi ^ 0x5a5a5a5a) >>> 0;
    }),
  );
  world.connect();
  world.run(100);
  world.server.send(bytesOf(100_000), world.now);
  world.run(10_000);
  assert.equal(world.server.connection.multipath().active, true, 'the server noticed nothing');
  const { received, connection } = world.client;
  assert.deepEqual(Uint8Array.from(received), bytesOf(received.length));
  assert.equal(connection.multipath().fallback, null);
  assert.equal(connection.closed, true);
  assert.equal(connection.error, 'ECONNRESET');
});
