// MP_CAPABLE and MP_JOIN (RFC 8684 §3.1, §3.2) in every combination of flags and versions, from old and strange
// peers in both roles; keys that collide; joins too many.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Host } from '../../src/host/index.ts';
import { CapableFlag, DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { type Flow, RawPeer } from '../mptcp/raw-peer.ts';
import {
  altered,
  bytesOf,
  decoded,
  first,
  has,
  hasData,
  isRst,
  isSyn,
  isSynAck,
  seededEntropy,
  World,
} from '../mptcp/world.ts';

/** The first number a host uses for these four values at this time. */
function firstSequence(options: { seed: number; port: number; localPort: number; now: number }): number {
  const host = new Host({ entropy: seededEntropy(options.seed) });
  const interfaceId = host.addInterface({ address: '10.1.0.1' });
  const paths = [{ interfaceId, localPort: options.localPort }];
  const remote = { address: '10.9.0.1', port: options.port };
  host.connect({ remote, paths, multipath: false }, options.now);
  const out = new Uint8Array(2000);
  return decoded(out.slice(0, host.transmit(out, 0, options.now))).seq;
}

test('G4: initial sequence numbers: a clock of 4 µs, plus a secret for each four values', () => {
  const one = { seed: 1, port: 80, localPort: 5000, now: 1000 };
  const base = firstSequence(one);
  assert.equal(firstSequence(one), base);
  assert.equal((firstSequence({ ...one, now: 3000 }) - base) >>> 0, 2000 * 250);
  const others = [{ seed: 2 }, { port: 81 }, { localPort: 5001 }].map(o => firstSequence({ ...one, ...o }));
  assert.equal(new Set([base, ...others]).size, 4);
  // Nothing of the difference tells the next: as far apart as chance has it.
  for (const other of others) assert.ok(Math.abs((other - base) | 0) > 100_000);
});

test('C7b, C7c, C7d: the first byte of the server is number IDSN + 1, from the hash of its key', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  peer.connection?.write(bytesOf(100), 0, 100, peer.now);
  const [data] = peer.take().filter(hasData);
  const digest = createHash('sha256').update(peer.hostKey).digest();
  const idsn = digest.readBigUInt64BE(24);
  const dsn = (BigInt(data.dsnHi) << 32n) | BigInt(data.dsnLo);
  assert.equal(dsn, BigInt.asUintN(64, idsn + 1n));
  assert.equal(data.ssn, 1);
});

test('C7d: the first data of the client stands for the same in MP_CAPABLE and in a repeated DSS', () => {
  const world = new World();
  // The server speaks first, but late: the client has sent its bytes with MP_CAPABLE, lost, and repeats with DSS.
  world.rules.push(first(1, (s, p) => p.from === 'client' && hasData(s)));
  world.server.onConnected = c => c.write(bytesOf(50), 0, 50, world.now);
  world.connect();
  world.until('accepted', () => world.server.connections.length === 1);
  world.client.send(bytesOf(500), world.now);
  world.until('bytes', () => world.server.received.length === 500);
  const third = world.packets('client', s => has(s, Mp.CAPABLE) && s.capableLength >= 20)[0].segment;
  const key = Buffer.alloc(8);
  key.writeUInt32BE(third.senderKeyHi, 0);
  key.writeUInt32BE(third.senderKeyLo, 4);
  const expected = BigInt.asUintN(64, createHash('sha256').update(key).digest().readBigUInt64BE(24) + 1n);
  const [, repeated] = world.packets('client', hasData);
  assert.ok(has(repeated.segment, Mp.DSS) && (repeated.segment.dssFlags & DssFlag.DSN_64) !== 0);
  assert.equal((BigInt(repeated.segment.dsnHi) << 32n) | BigInt(repeated.segment.dsnLo), expected);
  assert.equal(repeated.segment.ssn, 1);
  world.finish();
});

/** A SYN with this version and these flags: the SYN/ACK that answers it. */
function answerTo(version: number, flags: number): Segment {
  const peer = new RawPeer();
  const flow: Flow = { port: 1111, ssn: 0, rcvNxt: 0, irs: 0 };
  const capable = { mp: Mp.CAPABLE, capableVersion: version, capableFlags: flags, capableLength: 4 };
  const [synAck] = peer.put(peer.segment(flow, { flags: Flag.SYN, mss: 1400, ack: 0, ...capable }));
  assert.ok(isSynAck(synAck), 'a SYN is answered whatever its options');
  return synAck;
}

test('C1b, C6c, C6f, C6i, C6j: SYNs of every version with every set of flags', () => {
  for (let version = 0; version < 16; version++) {
    for (let flags = 0; flags < 256; flags++) {
      const synAck = answerTo(version, flags);
      const spoken = version >= 1 && (flags & CapableFlag.EXTENSIBILITY) === 0 && (flags & 1) !== 0;
      assert.equal(has(synAck, Mp.CAPABLE), spoken, `version ${version}, flags ${flags.toString(2)}`);
      if (!spoken) continue;
      assert.equal(synAck.capableVersion, 1);
      assert.equal(synAck.capableFlags, (flags & CapableFlag.CHECKSUM) | CapableFlag.HMAC_SHA256);
    }
  }
});

for (const checksum of [false, true]) {
  test(`C1c, C4, C6j: SYN/ACKs of every version with every set of flags, checksums ${checksum ? 'on' : 'off'}`, () => {
    for (const version of [0, 1, 2, 15]) {
      for (let flags = 0; flags < 256; flags++) {
        const world = new World({ client: { checksum } });
        world.rules.push(
          altered(1, isSynAck, s => {
            s.capableVersion = version;
            s.capableFlags = flags;
          }),
        );
        world.connect();
        world.until('connected', () => world.client.connection.connected);
        const { active, fallback } = world.client.connection.multipath();
        // One algorithm, ours; A and C as the peer likes; B clear.
        const good = version === 1 && (flags & 0x5f) === CapableFlag.HMAC_SHA256;
        assert.equal(active, good, `version ${version}, flags ${flags.toString(2)}`);
        assert.equal(fallback?.cause, good ? undefined : 'syn-ack-without-option');
        const [ack] = world.packets('client', s => !isSyn(s));
        assert.equal(ack.segment.mp, good ? Mp.CAPABLE : 0);
        const asked = checksum || (flags & CapableFlag.CHECKSUM) !== 0;
        if (good) assert.equal((ack.segment.capableFlags & CapableFlag.CHECKSUM) !== 0, asked);
      }
    }
  });
}

test('C8d: a SYN that was lost is repeated with the option', () => {
  const world = new World();
  world.rules.push(first(1, isSyn));
  world.connect();
  world.transfer('client', 1000);
  const [, again] = world.packets('client', isSyn);
  assert.ok(has(again.segment, Mp.CAPABLE));
  assert.equal(world.server.connection.multipath().active, true);
  world.finish();
});

test('C4: after a tampered handshake neither side sends an option any more', () => {
  const world = new World();
  world.rules.push(
    altered(
      Infinity,
      s => has(s, Mp.CAPABLE) && s.capableLength >= 20,
      s => {
        s.receiverKeyHi = (s.receiverKeyHi ^ 1) >>> 0;
      },
    ),
  );
  world.connect();
  world.transfer('client', 20_000);
  world.transfer('server', 20_000);
  world.run(1000);
  const since = world.log.length;
  for (let i = 0; i < 12; i++) {
    world.transfer('client', 2000);
    world.transfer('server', 2000);
  }
  assert.deepEqual(
    world.log.slice(since + 20).filter(p => p.segment.mp !== 0),
    [],
  );
  world.finish();
});

test('C2a, C2b: a server whose keys collide draws again; each connection has its own token', () => {
  const real = seededEntropy(5);
  const tokens = new Map<string, string>();
  const entropy = {
    ...real,
    sha256: (data: Uint8Array): Uint8Array => {
      const digest = real.sha256(data);
      // Keys have 8 bytes. Every second one has the same token.
      if (data.length !== 8) return digest;
      if (tokens.size % 2 === 0) digest.set([1, 2, 3, 4]);
      tokens.set(Buffer.from(data).toString('hex'), Buffer.from(digest.subarray(0, 4)).toString('hex'));
      return digest;
    },
  };
  const host = new Host({ entropy });
  const interfaceId = host.addInterface({ address: '10.9.0.1' });
  host.listen({ port: 8080 });
  const peer = new RawPeer();
  const used = new Set<string>();
  const out = new Uint8Array(2000);
  for (let port = 1; port <= 20; port++) {
    const flow: Flow = { port, ssn: 0, rcvNxt: 0, irs: 0 };
    const capable = { mp: Mp.CAPABLE, capableVersion: 1, capableFlags: 1, capableLength: 4 };
    const bytes = peer.bytesOf(peer.segment(flow, { flags: Flag.SYN, mss: 1400, ack: 0, ...capable }));
    host.receive(interfaceId, bytes, 0, bytes.length, 0);
    const synAck = decoded(out.slice(0, host.transmit(out, 0, 0)));
    const key = Buffer.alloc(8);
    key.writeUInt32BE(synAck.senderKeyHi, 0);
    key.writeUInt32BE(synAck.senderKeyLo, 4);
    used.add(tokens.get(key.toString('hex')) ?? 'none');
  }
  assert.equal(used.size, 20);
  assert.ok(used.has('01020304') && !used.has('none'));
  assert.equal(tokens.size, 38, 'the third connection and all after it had to draw twice');
});

test('C5, J5a: a join before the connection is confirmed: taken when the keys are there, refused before', () => {
  const peer = new RawPeer();
  const flow: Flow = { port: 1111, ssn: 0, rcvNxt: 0, irs: 0 };
  const capable = { mp: Mp.CAPABLE, capableVersion: 1, capableFlags: 1, capableLength: 4 };
  const [synAck] = peer.put(peer.segment(flow, { flags: Flag.SYN, mss: 1400, ack: 0, ...capable }));
  peer.hostKey.writeUInt32BE(synAck.senderKeyHi, 0);
  peer.hostKey.writeUInt32BE(synAck.senderKeyLo, 4);
  // The server has no key of ours yet: it can compute no HMAC.
  const early = { port: 2222, ssn: 0, rcvNxt: 0, irs: 0 };
  const token = createHash('sha256').update(peer.hostKey).digest().readUInt32BE(0);
  const join = { mp: Mp.JOIN, joinLength: 12, joinToken: token, joinNonce: 7, joinAddressId: 1 };
  const [refusal] = peer.put(peer.segment(early, { flags: Flag.SYN, mss: 1400, ack: 0, ...join }));
  assert.ok(isRst(refusal) && has(refusal, Mp.TCPRST));
  // With the third ACK it has.
  const other = new RawPeer();
  other.open();
  assert.equal(other.join(2222).ssn, 1);
  assert.equal(other.connection?.multipath().subflows.length, 2);
});

test('J9, H2b: SYNs of joins that go no further are limited, cost no accept, and are forgotten', () => {
  const peer = new RawPeer({ config: { maxSubflows: 4 } });
  const a = peer.open();
  peer.data(a, { bytes: bytesOf(10), dsn: 1 });
  const token = peer.connection?.multipath().token as number;
  const answers: Segment[] = [];
  for (let port = 3000; port < 3050; port++) {
    const flow: Flow = { port, ssn: 0, rcvNxt: 0, irs: 0 };
    const join = { mp: Mp.JOIN, joinLength: 12, joinToken: token, joinNonce: port, joinAddressId: 1 };
    answers.push(...peer.put(peer.segment(flow, { flags: Flag.SYN, mss: 1400, ack: 0, ...join })));
  }
  assert.equal(answers.filter(isSynAck).length, 3);
  assert.equal(answers.filter(isRst).length, 47);
  assert.equal(peer.listener.accept(), undefined);
  peer.data(a, { bytes: bytesOf(10, 10), dsn: 11 });
  assert.deepEqual(peer.read(), bytesOf(20));
  peer.wait(200_000);
  assert.equal(peer.connection?.multipath().subflows.length, 1, 'forgotten');
  assert.equal(peer.join(4000).ssn, 1);
});
