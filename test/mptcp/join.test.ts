// The MP_JOIN handshake, RFC 8684 §3.2: HMACs, refusals, the third ACK, limits, backup.

import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { test } from 'node:test';
import { ResetReason } from '../../src/mptcp/index.ts';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isCapableAck,
  isJoinAck,
  isRst,
  isSyn,
  isSynAck,
  type Packet,
  stripped,
  World,
} from './world.ts';

const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);
const isJoinSynAck = (s: Segment): boolean => isSynAck(s) && has(s, Mp.JOIN);

function key(hi: number, lo: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE(hi, 0);
  bytes.writeUInt32BE(lo, 4);
  return bytes;
}

function keysOf(world: World): { a: Buffer; b: Buffer } {
  const s = world.log.find(
    p => p.from === 'client' && has(p.segment, Mp.CAPABLE) && p.segment.capableLength >= 20,
  )?.segment as Segment;
  return { a: key(s.senderKeyHi, s.senderKeyLo), b: key(s.receiverKeyHi, s.receiverKeyLo) };
}

function noSecondSubflow(world: World): void {
  assert.equal(
    world.server.notice('subflow').filter(n => n.subflow.id > 0).length,
    0,
    'server has a second subflow',
  );
}

test('C7a, C7c, J1, J2, J4a, J4b: token and HMACs of a join are those of RFC 8684', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const { a, b } = keysOf(world);
  const syn = world.packets('client', isJoinSyn)[0].segment;
  const synAck = world.packets('server', isJoinSynAck)[0].segment;
  const ack = world.packets('client', isJoinAck)[0].segment;
  const token = createHash('sha256').update(b).digest().readUInt32BE(0);
  assert.equal(syn.joinToken, token);
  const nonces = Buffer.alloc(8);
  nonces.writeUInt32BE(synAck.joinNonce, 0);
  nonces.writeUInt32BE(syn.joinNonce, 4);
  const fromB = createHmac('sha256', Buffer.concat([b, a]))
    .update(nonces)
    .digest();
  assert.deepEqual(Buffer.from(synAck.joinHmac.subarray(0, 8)), fromB.subarray(0, 8));
  nonces.writeUInt32BE(syn.joinNonce, 0);
  nonces.writeUInt32BE(synAck.joinNonce, 4);
  const fromA = createHmac('sha256', Buffer.concat([a, b]))
    .update(nonces)
    .digest();
  assert.deepEqual(Buffer.from(ack.joinHmac), fromA.subarray(0, 20));
  assert.notEqual(syn.joinAddressId, 0, 'id 0 is the first subflow’s');
  world.transfer('client', 200_000);
  world.transfer('server', 200_000);
  world.finish();
});

test('C5: no join before a DSS has arrived on the first subflow', () => {
  const world = new World({ paths: 2 });
  world.connect();
  world.run(50);
  const before = world.packets('client', isJoinSyn);
  const heard = world.packets('server', s => has(s, Mp.DSS));
  assert.ok(before.length === 0 || (heard.length > 0 && before[0].at > heard[0].at), 'joined too early');
});

test('J5a: unknown token is refused with RST, MP_TCPRST reason 1', () => {
  const world = new World({ paths: 2 });
  world.rules.push(
    altered(1, isJoinSyn, s => {
      s.joinToken = (s.joinToken ^ 1) >>> 0;
    }),
  );
  world.connect();
  world.transfer('client', 1000);
  world.run(500);
  const [rst] = world.packets('server', isRst);
  assert.ok(has(rst.segment, Mp.TCPRST));
  assert.equal(rst.segment.rstReason, ResetReason.MPTCP);
  world.transfer('client', 10_000);
  world.finish();
});

test('J6a, J6b, S1a: wrong HMAC in the SYN/ACK: RST with reason 1 from the client', () => {
  const world = new World({ paths: 2 });
  world.rules.push(
    altered(1, isJoinSynAck, s => {
      s.joinHmac[3] ^= 1;
    }),
  );
  world.connect();
  world.transfer('client', 1000);
  world.run(200);
  const [rst] = world.packets('client', isRst);
  assert.equal(rst.segment.rstReason, ResetReason.MPTCP);
  noSecondSubflow(world);
  world.transfer('client', 10_000);
  world.finish();
});

test('J6d: SYN/ACK without MP_JOIN: RST from the client', () => {
  const world = new World({ paths: 2 });
  world.rules.push(stripped(isJoinSynAck));
  world.connect();
  world.transfer('client', 1000);
  world.run(200);
  assert.ok(world.packets('client', isRst).length > 0);
  noSecondSubflow(world);
  world.finish();
});

for (const how of ['wrong', 'missing'] as const) {
  test(`J6b, J6c: third ACK with HMAC ${how}: RST with reason 1 from the server`, () => {
    const world = new World({ paths: 2 });
    if (how === 'missing') world.rules.push(stripped(isJoinAck));
    else {
      world.rules.push(
        altered(1, isJoinAck, s => {
          s.joinHmac[19] ^= 1;
        }),
      );
    }
    world.connect();
    world.transfer('client', 1000);
    world.run(200);
    const [rst] = world.packets('server', isRst);
    assert.ok(has(rst.segment, Mp.TCPRST));
    assert.equal(rst.segment.rstReason, ResetReason.MPTCP);
    noSecondSubflow(world);
    world.transfer('server', 10_000);
    world.finish();
  });
}

for (const [name, match, from] of [
  ['SYN', isJoinSyn, 'client'],
  ['SYN/ACK', isJoinSynAck, 'server'],
  ['third ACK', isJoinAck, 'client'],
] as const) {
  for (const [what, verdict] of [
    ['lost', 'drop'],
    ['doubled', { again: 1 }],
    ['doubled, the copy late', { again: 1 }],
  ] as const) {
    test(`J7a, J7b: join ${name} ${what}`, () => {
      // Without timestamps, whose check would drop a late copy for its age.
      const world = new World({ paths: 2, client: { timestamps: false } });
      if (what === 'doubled, the copy late') {
        let copied = false;
        world.rules.push(p => {
          if (copied || p.from !== from || !match(p.segment)) return;
          copied = true;
          world.inject(from, p.segment, new Uint8Array(0), 150);
        });
      } else {
        world.rules.push(first(1, (s, p) => p.from === from && match(s), verdict));
      }
      world.establish(2);
      world.transfer('client', 100_000);
      world.transfer('server', 100_000);
      assert.equal(world.client.notice('subflow').length, 2, 'each subflow is announced once');
      assert.equal(world.server.notice('subflow').length, 2);
      world.finish();
    });
  }
}

test('J7a, J7b: the fourth ACK lost: the third is repeated, and answered again', () => {
  const world = new World({ paths: 2 });
  world.rules.push(first(1, (s, p) => p.from === 'server' && p.path === 1 && !isSynAck(s) && !isRst(s)));
  world.establish(2);
  assert.ok(world.packets('client', isJoinAck).length >= 2);
  world.transfer('client', 100_000);
  world.finish();
});

test('J7c: no data on a subflow before its third ACK was answered', () => {
  const world = new World({ paths: 2, delays: [40, 10] });
  world.rules.push(first(1, isJoinAck));
  world.connect();
  world.until('connected', () => world.client.connection.connected);
  world.client.send(bytesOf(1_000_000), world.now);
  world.until('all', () => world.server.received.length === 1_000_000);
  const answered = world.packets('server', (s, p) => p.path === 1 && !isSynAck(s))[0];
  const data = world.packets('client', (s, p) => p.path === 1 && hasData(s));
  assert.ok(answered !== undefined && data.length > 0);
  assert.ok(data[0].at > answered.at, 'data before the fourth ACK');
  world.finish();
});

test('J8, P1a: a path with backup set joins with B and carries no data', () => {
  const world = new World({ paths: 2 });
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), backup: i === 1 }));
  world.establish(2, { paths });
  assert.equal(world.packets('client', isJoinSyn)[0].segment.joinBackup, true);
  world.transfer('client', 300_000);
  world.transfer('server', 300_000);
  assert.equal(world.log.filter(p => p.path === 1 && hasData(p.segment)).length, 0, 'data on the backup');
  assert.equal(world.server.connection.multipath().subflows[1].backup, true);
  world.finish();
});

test('H2b, J5a, J5b: joins beyond the limit are refused, and the connection goes on', () => {
  const world = new World({ paths: 4, server: { maxSubflows: 2 } });
  world.connect();
  world.transfer('client', 1000);
  world.run(2000);
  assert.equal(world.server.connection.multipath().subflows.length, 2);
  assert.ok(world.server.host.counters.MPJoinRejected >= 1);
  for (const p of world.packets('server', isRst)) {
    assert.equal(p.segment.rstReason, ResetReason.RESOURCES);
    assert.equal(p.segment.rstFlags & 1, 1, 'transient: there may be room later');
  }
  world.transfer('client', 100_000);
  world.finish();
});

test('a limit reached is no proof that the peer lost the connection', () => {
  const world = new World({ paths: 2, server: { maxSubflows: 2 } });
  world.establish(2);
  // Both paths die silently for the client’s packets only; its own interfaces go and come back under new
  // addresses.
  world.client.host.removeInterface(world.pathInterface(1), world.now);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.rules.push(first(1, s => has(s, Mp.REMOVE_ADDR)));
  const id = world.addClientInterface('10.7.0.1');
  world.client.connection.addPath({ interfaceId: id }, world.now);
  world.run(3000);
  assert.equal(world.client.connection.error, null, world.client.connection.errorReason);
});

test('J1: a join arrives at another port and address of the server', () => {
  const world = new World({ paths: 2, serverAddresses: ['10.9.0.1', '10.9.0.2'] });
  const paths = [
    { interfaceId: world.pathInterface(0) },
    { interfaceId: world.pathInterface(1), remote: { address: '10.9.0.2', port: 4711 } },
  ];
  world.establish(2, { paths });
  assert.equal(world.packets('client', isJoinSyn)[0].segment.dstPort, 4711);
  world.transfer('client', 100_000);
  world.finish();
});

test('J1: over IPv6', () => {
  const world = new World({ paths: 2, ipVersion: 6 });
  world.establish(2);
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  world.finish();
});

test('N1: addresses shown are those of the first subflow, even after it died', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const before = [world.client.connection.local, world.client.connection.remote];
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.run(2000);
  assert.deepEqual([world.client.connection.local, world.client.connection.remote], before);
  world.transfer('client', 10_000);
});

test('V1: a third ACK overtaken by nothing: HMAC of another connection is worth nothing', () => {
  const world = new World({ paths: 2 });
  const seen: Packet[] = [];
  world.rules.push(p => {
    if (isCapableAck(p.segment)) seen.push(p);
  });
  world.establish(2);
  const ack = world.packets('client', isJoinAck)[0].segment;
  const syn = world.packets('client', isJoinSyn)[0].segment;
  // The same SYN and HMAC from another port: the server's nonce is fresh, so the HMAC is wrong.
  const again = Object.assign(new Segment(), syn, { srcPort: 5555 });
  world.inject('client', again);
  world.run(50);
  const [synAck] = world.packets('server', s => isJoinSynAck(s) && s.dstPort === 5555);
  const reply = Object.assign(new Segment(), ack, {
    srcPort: 5555,
    seq: (syn.seq + 1) >>> 0,
    ack: (synAck.segment.seq + 1) >>> 0,
  });
  reply.joinHmac.set(ack.joinHmac);
  world.inject('client', reply);
  world.run(50);
  assert.equal(world.server.notice('subflow').length, 2);
  assert.equal(world.packets('server', s => isRst(s) && s.dstPort === 5555).length, 1);
  assert.equal(reply.flags & Flag.ACK, Flag.ACK);
  world.transfer('client', 10_000);
  world.finish();
});

test('J6a, J6b: every octet of both HMACs counts', () => {
  for (const [match, octets] of [
    [isJoinSynAck, 8],
    [isJoinAck, 20],
  ] as const) {
    for (let octet = 0; octet < octets; octet++) {
      const world = new World({ paths: 2 });
      world.rules.push(
        altered(1, match, s => {
          s.joinHmac[octet] ^= 0x10;
        }),
      );
      world.connect();
      world.transfer('client', 1000);
      world.run(200);
      assert.ok(
        world.log.some(p => isRst(p.segment) && p.segment.rstReason === ResetReason.MPTCP),
        `octet ${octet} of ${octets}`,
      );
    }
  }
});
