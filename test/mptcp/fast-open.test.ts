// TCP Fast Open with Multipath TCP (RFC 8684 Appendix B), two hosts of ours: data of the SYN taken in whole, in
// part and not at all, its place outside of the data sequence, loss of each packet, fallback, joins afterwards.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DssFlag, Flag, Mp } from '../../src/wire/index.ts';
import {
  bytesOf,
  decoded,
  encode,
  first,
  has,
  hasData,
  isCapableAck,
  isSyn,
  isSynAck,
  stripped,
  World,
  type WorldOptions,
} from './world.ts';

/** Client and server have met before: the client has a cookie. */
function acquainted(options: WorldOptions = {}): World {
  const world = new World({
    fastOpen: 8,
    ...options,
    server: { fastOpen: 3, earlyAnswer: true, ...options.server },
  });
  world.establish(1, { fastOpen: true });
  world.transfer('client', 10);
  world.finish();
  world.beginAnew();
  return world;
}

/** The next connection, whose SYN takes `length` bytes along. */
function open(world: World, length: number): void {
  world.connect({ fastOpen: true });
  assert.equal(world.packets('client').length, 0, 'the SYN waits');
  world.client.send(bytesOf(length), world.now);
  world.settle();
}

function arrived(world: World, length: number): void {
  world.until(`${length} bytes`, () => world.server.received.length >= length);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(length));
}

function bothMultipath(world: World): void {
  for (const side of ['client', 'server'] as const) {
    assert.equal(world.peer(side).connection.multipath().active, true, `${side} is multipath`);
  }
}

test('T2: cookie request and MP_CAPABLE in one SYN, cookie and keys in one SYN/ACK, within 40 bytes', () => {
  const world = new World({ fastOpen: 8, server: { fastOpen: 3 } });
  world.establish(1, { fastOpen: true });
  const [syn] = world.packets('client', isSyn);
  assert.equal(syn.segment.fastOpenLength, 0);
  assert.ok(has(syn.segment, Mp.CAPABLE));
  const [synAck] = world.packets('server', isSynAck);
  assert.equal(synAck.segment.fastOpenLength, 8);
  assert.ok(has(synAck.segment, Mp.CAPABLE));
  assert.equal(synAck.segment.hasTimestamps, false, 'they make room');
  bothMultipath(world);
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  world.finish();
});

for (const checksum of [false, true]) {
  test(`T1: the first byte after those of the SYN has IDSN + 1 and SSN 1 (checksum ${checksum})`, () => {
    const world = acquainted({ client: { checksum } });
    open(world, 500);
    const [syn] = world.packets('client', isSyn);
    assert.equal(syn.segment.payloadLength, 500);
    world.until('data', () => world.server.received.length === 500);
    assert.equal(world.packets('client').length, 1, 'before the third ACK');
    world.transfer('client', 1000);
    world.transfer('server', 1000);
    const [data] = world.packets('client', (s, p) => hasData(s) && p !== syn);
    assert.equal((data.segment.seq - syn.segment.seq) >>> 0, 501);
    assert.equal(data.segment.capableLength, checksum ? 24 : 22);
    bothMultipath(world);
    world.finish();
  });
}

test('T4: what the SYN/ACK leaves out is sent again with a mapping', () => {
  for (const taken of [0, 200]) {
    const world = acquainted();
    let syns = 0;
    world.rules.push(packet => {
      if (!isSyn(packet.segment) || syns++ > 0) return;
      const segment = decoded(packet.bytes);
      const { payloadOffset } = segment;
      // A cookie that is not the listener's, or a box that cuts the data off.
      if (taken === 0) segment.fastOpenCookie[0] ^= 1;
      packet.bytes = encode(segment, packet.bytes.slice(payloadOffset, payloadOffset + (taken || 500)));
    });
    open(world, 500);
    arrived(world, 500);
    const [, data] = world.packets('client', hasData);
    assert.equal(data.segment.payloadLength, 500 - taken);
    assert.equal(data.segment.dataLength, 500 - taken);
    bothMultipath(world);
    world.transfer('server', 3000);
    world.transfer('client', 3000);
    world.finish();
  }
});

test('T3: the server answers before it has the third ACK, with a mapping and no DATA_ACK', () => {
  const world = acquainted();
  world.server.onConnected = connection => {
    connection.write(bytesOf(3000), 0, 3000, world.now);
  };
  open(world, 100);
  world.until('answer', () => world.client.received.length === 3000);
  const answer = world.packets('server', hasData);
  const third = world.packets('client', isCapableAck);
  assert.ok(answer[0].at < third[0].at + 10);
  assert.equal(answer[0].segment.dssFlags & DssFlag.DATA_ACK, 0);
  bothMultipath(world);
  world.transfer('client', 3000);
  world.transfer('server', 3000);
  world.finish();
});

const STEPS: readonly [string, Parameters<typeof first>[1]][] = [
  ['SYN', isSyn],
  ['SYN/ACK', isSynAck],
  ['third ACK', (s, p) => p.from === 'client' && !isSyn(s)],
  ['early answer', (s, p) => p.from === 'server' && hasData(s)],
];
for (const [name, match] of STEPS) {
  for (const verdict of ['drop', { delayMs: 300 }, { again: 1 }] as const) {
    for (const seed of [1, 2]) {
      test(`T1, T3, T4: ${name}: ${JSON.stringify(verdict)}, ${seed}`, () => {
        const world = acquainted({ seed });
        world.rules.push(first(1, match, verdict));
        world.server.onConnected = connection => {
          connection.write(bytesOf(3000), 0, 3000, world.now);
        };
        open(world, 4000);
        arrived(world, 4000);
        world.until('answer', () => world.client.received.length >= 3000);
        assert.deepEqual(Uint8Array.from(world.client.received), bytesOf(3000));
        world.transfer('client', 5000);
        world.transfer('server', 5000);
        world.finish();
      });
    }
  }
}

test('T3: keys and DATA_ACK are both said again when the SYN/ACK comes again', () => {
  const world = acquainted();
  let silent = true;
  world.rules.push(p => (silent && p.from === 'client' && !isSyn(p.segment) ? 'drop' : undefined));
  world.server.onConnected = connection => {
    connection.write(bytesOf(3000), 0, 3000, world.now);
  };
  // What a Linux server does: nothing of its application's leaves until a DATA_ACK comes.
  world.rules.push(p => (p.from === 'server' && hasData(p.segment) ? 'drop' : undefined));
  open(world, 100);
  world.run(800);
  silent = false;
  world.until('another SYN/ACK', () => world.packets('server', isSynAck).length === 2);
  world.run(100);
  const [, again] = world.packets('server', isSynAck);
  const said = world.packets('client').filter(({ at }) => at >= again.at);
  const [keys, ack] = said.map(({ segment }) => segment).filter(segment => segment.mp !== 0);
  assert.equal(keys.mp & Mp.CAPABLE, Mp.CAPABLE);
  assert.equal(ack.mp & Mp.DSS, Mp.DSS);
  assert.equal(ack.dssFlags & DssFlag.DATA_ACK, DssFlag.DATA_ACK);
});

test('T5: a join after it carries neither option nor data', () => {
  const world = acquainted({ paths: 2 });
  open(world, 500);
  arrived(world, 500);
  world.until('two subflows', () => world.active('client') === 2 && world.active('server') === 2);
  for (const { segment } of world.packets('client', s => isSyn(s) && has(s, Mp.JOIN))) {
    assert.equal(segment.payloadLength, 0);
    assert.equal(segment.fastOpenLength, -1);
  }
  world.transfer('client', 300_000);
  world.transfer('server', 300_000);
  world.finish();
});

for (const [name, rule] of [
  ['every option of MPTCP', stripped(() => true)],
  ['that of the SYN/ACK', stripped(isSynAck)],
  ['those after the SYN', stripped(s => (s.flags & Flag.SYN) === 0)],
] as const) {
  test(`fallback: a box removes ${name}`, () => {
    const world = acquainted();
    world.rules.push(rule);
    world.server.onConnected = connection => {
      connection.write(bytesOf(3000), 0, 3000, world.now);
    };
    open(world, 500);
    arrived(world, 500);
    world.until('answer', () => world.client.received.length >= 3000);
    world.transfer('client', 5000);
    world.transfer('server', 5000);
    assert.equal(world.client.connection.multipath().active, false);
    world.finish();
  });
}

for (const multipath of [true, false]) {
  test(`what was given up before its SYN has left never leaves, ${multipath ? 'with' : 'without'} multipath`, () => {
    const world = acquainted();
    world.connect({ fastOpen: true, multipath });
    const { connection } = world.client;
    connection.abort(world.now);
    connection.begin(world.now);
    world.settle();
    assert.equal(world.packets('client', isSyn).length, 0);
    assert.equal(connection.closed, true);
    assert.equal(connection.isDeferred, false);
  });
}
