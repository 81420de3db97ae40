// Paths that drop what carries MPTCP options and let the rest pass (RFC 8684 §6): questions and answers without
// options, who concludes from them, and what must never follow from one that comes late.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Flag, type Segment } from '../../src/wire/index.ts';
import {
  bytesOf,
  hasData,
  isSyn,
  isSynAck,
  type Packet,
  type Rule,
  type Side,
  stripped,
  World,
} from './world.ts';

const isAnySyn = (s: Segment): boolean => isSyn(s) || isSynAck(s);
const isQuestion = (s: Segment): boolean => hasData(s) && s.mp === 0 && !s.hasTimestamps;
const isAnswer = (s: Segment): boolean =>
  s.flags === Flag.ACK && !hasData(s) && s.mp === 0 && !s.hasTimestamps;

/** Drops segments with MPTCP options of these sides, SYNs excepted, while `active` says so. */
function dropsOptions(sides: readonly Side[], active: () => boolean = () => true): Rule {
  return (packet: Packet) =>
    active() && sides.includes(packet.from) && packet.segment.mp !== 0 && !isAnySyn(packet.segment)
      ? 'drop'
      : undefined;
}

const DIRECTIONS: readonly (readonly Side[])[] = [['client'], ['server'], ['client', 'server']];
const SIDES: readonly Side[] = ['client', 'server'];

function bothPlain(world: World): void {
  for (const side of SIDES) {
    const { fallback, active } = world.peer(side).connection.multipath();
    assert.equal(active, false, `${side} is still multipath`);
    assert.ok(fallback !== null);
  }
}

for (const sides of DIRECTIONS) {
  for (const checksum of [false, true]) {
    for (const speaker of SIDES) {
      const options = { client: { checksum }, server: { checksum } };
      const who = `${sides.join(' and ')}, ${speaker} sends, checksum ${checksum ? 'on' : 'off'}`;

      test(`options dropped in the middle, from the ${who}: TCP within 2 s, every byte once`, () => {
        const world = new World(options);
        let active = false;
        world.rules.push(dropsOptions(sides, () => active));
        world.establish();
        world.transfer('client', 20_000);
        world.transfer('server', 20_000);
        active = true;
        const from = world.now;
        world.transfer(speaker, 200_000);
        assert.ok(world.now - from <= 2_000, `it took ${world.now - from} ms`);
        world.transfer(speaker === 'client' ? 'server' : 'client', 50_000);
        bothPlain(world);
        world.finish();
      });
    }

    test(`options dropped from the start, from the ${sides.join(' and ')}, checksum ${checksum ? 'on' : 'off'}`, () => {
      const world = new World({ client: { checksum }, server: { checksum } });
      world.rules.push(dropsOptions(sides));
      world.connect();
      world.until('connected', () => world.client.connection.connected);
      const from = world.now;
      world.client.send(bytesOf(100_000), world.now);
      world.until('all of it', () => world.server.received.length === 100_000);
      assert.ok(world.now - from <= 2_000, `it took ${world.now - from} ms`);
      assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(100_000));
      world.transfer('server', 50_000);
      bothPlain(world);
      world.finish();
    });
  }

  test(`the end of a stream behind such a box, from the ${sides.join(' and ')}`, () => {
    const world = new World();
    let active = false;
    world.rules.push(dropsOptions(sides, () => active));
    world.establish();
    world.transfer('client', 5_000);
    world.transfer('server', 5_000);
    world.run(500);
    active = true;
    world.finish();
  });
}

test('a server that believed a plain third ACK has no way to say so: its first segment does, or the FIN soon', () => {
  for (const speaks of [true, false]) {
    const world = new World();
    let spoken = false;
    // What carries options is lost until the SYN/ACK has come again and was answered without.
    world.rules.push(({ from, segment: s }) => {
      if (from !== 'client' || isAnySyn(s) || spoken) return undefined;
      spoken = isAnswer(s);
      return spoken ? undefined : 'drop';
    });
    world.connect();
    world.until('connected', () => world.client.connection.connected);
    world.client.connection.shutdown(world.now);
    world.until('the server is TCP', () => world.server.connections.length === 1);
    assert.equal(world.server.connection.multipath().fallback?.cause, 'ack-without-option');
    assert.equal(world.client.connection.multipath().fallback, null);
    const from = world.now;
    if (speaks) {
      world.server.connection.setKeepAlive(true, 1_000, world.now);
      world.until('the client too', () => world.client.connection.multipath().fallback !== null, 2_000);
    }
    world.until('the end of the stream', () => world.server.connection.ended);
    assert.ok(world.now - from < 10_000, `${world.now - from} ms`);
    world.server.connection.shutdown(world.now);
    world.untilGone();
    for (const side of SIDES) assert.equal(world.peer(side).connection.error, null, side);
  }
});

test('all options vanish after the handshake, and the client has nothing to say but its end: the FIN says it soon', () => {
  const world = new World();
  world.rules.push(stripped(s => !isAnySyn(s)));
  world.connect();
  world.until('the server is TCP', () => world.server.connections.length === 1);
  assert.equal(world.server.connection.multipath().fallback?.cause, 'ack-without-option');
  world.run(2_000);
  const from = world.now;
  world.client.connection.shutdown(world.now);
  world.until('the end of the stream', () => world.server.connection.ended);
  // Two repetitions, a retransmission timeout of at least 200 ms after each other.
  assert.ok(world.now - from <= 1_000, `${world.now - from} ms`);
  world.transfer('server', 50_000);
  bothPlain(world);
  world.server.connection.shutdown(world.now);
  world.untilGone();
  for (const side of SIDES) assert.equal(world.peer(side).connection.error, null, side);
});

describe('no conclusion', () => {
  test('an outage that ends: both ask, nobody concludes', () => {
    const world = new World();
    let dark = false;
    world.rules.push(() => (dark ? 'drop' : undefined));
    world.establish();
    world.transfer('client', 20_000);
    dark = true;
    world.client.send(bytesOf(50_000), world.now);
    world.run(5_000);
    assert.ok(world.packets('client', isQuestion).length > 0, 'no question was asked');
    dark = false;
    world.until('the rest', () => world.server.received.length === 70_000, 60_000);
    for (const side of SIDES) assert.equal(world.peer(side).connection.multipath().active, true, side);
    world.finish();
  });

  test('one question without its companion is answered, and not believed', () => {
    const world = new World();
    let asked = 0;
    let dark = false;
    // Everything from the client is lost but the first question; then everything passes.
    world.rules.push(({ from, segment }) => {
      if (!dark || from !== 'client') return undefined;
      if (isQuestion(segment) && ++asked === 1) return undefined;
      return 'drop';
    });
    world.establish();
    world.transfer('client', 20_000);
    dark = true;
    world.client.send(bytesOf(20_000), world.now);
    world.until('a question', () => asked > 0);
    world.run(30);
    assert.equal(world.packets('server', isAnswer).length, 1);
    dark = false;
    world.until('the rest', () => world.server.received.length === 40_000);
    for (const side of SIDES) assert.equal(world.peer(side).connection.multipath().active, true, side);
    world.finish();
  });

  test('one question is answered, then segments come that lose their options: their sender has not concluded', () => {
    const world = new World();
    let active = false;
    let closed = false;
    let passed = 0;
    let asked = false;
    world.rules.push(({ from }) => (from === 'server' && closed ? 'drop' : undefined));
    world.establish();
    world.transfer('client', 20_000);
    world.transfer('server', 20_000);
    world.run(1_000);
    // Two segments arrive as they are and nothing is heard of them; the rest is lost until the first question.
    world.rules.push(({ from, segment }) => {
      if (!active || from !== 'client' || asked || ++passed <= 2) return undefined;
      asked = isQuestion(segment);
      return asked ? undefined : 'drop';
    });
    // From there on all of it arrives, without options.
    world.rules.push(stripped((_, p) => asked && p.from === 'client'));
    active = closed = true;
    world.server.send(bytesOf(50, 20_000), world.now);
    world.client.send(bytesOf(600_000, 20_000), world.now);
    world.until('a question', () => asked);
    closed = false;
    world.run(60_000);
    for (const side of SIDES) {
      const { received, connection } = world.peer(side);
      assert.deepEqual(Uint8Array.from(received), bytesOf(received.length), `${side}: bytes nobody wrote so`);
      assert.equal(connection.ended, false);
    }
    // It is what comes later, and was never sent twice, that says it.
    assert.equal(world.server.connection.multipath().fallback?.cause, 'data-without-mapping');
    assert.equal(world.server.received.length, 620_000);
    assert.equal(world.client.received.length, 20_050);
  });

  test('questions that come after their companions bring nothing new: multipath goes on', () => {
    const world = new World();
    let dark = false;
    world.rules.push(({ from, segment }) => {
      if (from === 'server' && dark) return 'drop';
      return isQuestion(segment) ? { delayMs: 3_000 } : undefined;
    });
    world.establish();
    world.transfer('client', 20_000);
    dark = true;
    world.client.send(bytesOf(20_000), world.now);
    world.run(2_500);
    assert.ok(world.packets('client', isQuestion).length >= 2);
    dark = false;
    world.until('the rest', () => world.server.received.length === 40_000);
    world.run(10_000);
    for (const side of SIDES) assert.equal(world.peer(side).connection.multipath().active, true, side);
    assert.deepEqual(Uint8Array.from(world.server.received.slice(20_000)), bytesOf(20_000));
    world.finish();
  });

  test('with a join begun nothing is asked, answered or concluded', () => {
    const world = new World({ paths: 2 });
    let active = false;
    world.rules.push(dropsOptions(['client', 'server'], () => active));
    // The second path answers no SYN.
    world.rules.push(({ path, segment }) => (path === 1 && isAnySyn(segment) ? 'drop' : undefined));
    world.establish();
    world.transfer('client', 20_000);
    world.run(1_000);
    active = true;
    world.client.send(bytesOf(20_000), world.now);
    world.run(10_000);
    assert.equal(world.packets('client', isQuestion).length, 0);
    active = false;
    world.until('the rest', () => world.server.received.length === 40_000, 60_000);
    assert.equal(world.client.connection.multipath().active, true);
  });

  test('without timestamps there is no mark, and nothing is asked', () => {
    const world = new World({ client: { timestamps: false } });
    let dark = false;
    world.rules.push(() => (dark ? 'drop' : undefined));
    world.establish();
    dark = true;
    world.client.send(bytesOf(5_000), world.now);
    world.run(5_000);
    assert.equal(world.packets('client', s => hasData(s) && s.mp === 0).length, 0);
  });
});

test('a join begun after the question: the peer that has concluded refuses it, and this end follows', () => {
  const world = new World({ paths: 2 });
  let active = false;
  world.rules.push(dropsOptions(['client', 'server'], () => active));
  const first = world.pathInterface(0);
  world.connect({ paths: [{ interfaceId: first }] });
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  world.transfer('client', 20_000);
  active = true;
  world.client.send(bytesOf(20_000), world.now);
  world.until('the server concluded', () => !world.server.connection.multipath().active);
  world.client.connection.addPath({ interfaceId: world.pathInterface(1) }, world.now);
  world.until('the rest', () => world.server.received.length === 40_000);
  assert.deepEqual(Uint8Array.from(world.server.received.slice(20_000)), bytesOf(20_000));
  bothPlain(world);
  world.finish();
});

test('the second question is one more: no wait in an outage is longer for it than all before it and one (RFC 6298 §5.5)', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 20_000);
  const from = world.log.length;
  world.rules.push(({ from: side }) => (side === 'client' ? 'drop' : undefined));
  world.client.send(bytesOf(100), world.now);
  world.run(30_000);
  const times = world.log
    .slice(from)
    .filter(({ from: side, segment }) => side === 'client' && hasData(segment) && !isQuestion(segment))
    .map(({ at }) => at);
  assert.equal(world.log.slice(from).filter(({ segment }) => isQuestion(segment)).length > 1, true);
  assert.ok(times.length >= 6);
  const { rttMs } = world.client.connection.multipath().subflows[0];
  for (let i = 1; i < times.length; i++) {
    const wait = times[i] - times[i - 1];
    // The retransmission timeout is 200 ms and a round trip, or some more where it varies.
    assert.ok(wait <= times[i - 1] - times[0] + 2 * rttMs + 300, `${wait} ms, the ${i}th of ${times}`);
  }
});
