// The end of a connection (RFC 8684 §3.3.3, Appendix D): subflow-level and connection-level ends in every order with
// each packet lost, and an end that is left alone with its last DATA_ACK outstanding.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mp } from '../../src/wire/index.ts';
import {
  alter,
  bytesOf,
  has,
  hasData,
  isDataFin,
  isRst,
  type Packet,
  type Side,
  World,
} from '../mptcp/world.ts';

type Step = (world: World) => void;

/** The ends in question, as what an application can do. */
const STEPS: Readonly<Record<string, Step>> = {
  'subflow 0': w => w.client.connection.removePath(w.pathInterface(0), w.now),
  'subflow 1': w => w.client.connection.removePath(w.pathInterface(1), w.now),
  client: w => w.client.send(bytesOf(3000), w.now, { finish: true }),
  server: w => w.server.send(bytesOf(3000), w.now, { finish: true }),
};

/** Every order of these. */
function orders(names: readonly string[]): string[][] {
  if (names.length < 2) return [[...names]];
  return names.flatMap(name => orders(names.filter(other => other !== name)).map(rest => [name, ...rest]));
}

for (const subflow of ['subflow 0', 'subflow 1']) {
  for (const order of orders([subflow, 'client', 'server'])) {
    test(`F1, F4: ${order.join(', then ')}: each packet lost once`, () => {
      for (const pause of [0, 15, 200]) {
        let count = 1;
        for (let lost = -1; lost < count; lost++) {
          const world = new World({ paths: 2 });
          world.establish(2);
          const from = world.log.length;
          world.rules.push((_: Packet) => (world.log.length - 1 === from + lost ? 'drop' : undefined));
          for (const name of order) {
            STEPS[name](world);
            world.run(pause);
          }
          world.untilGone();
          for (const side of ['client', 'server'] as const) {
            const { connection, received } = world.peer(side);
            assert.equal(connection.error, null, `${connection.errorReason}, packet ${lost}, ${pause} ms`);
            assert.equal(connection.ended, true);
            assert.deepEqual(Uint8Array.from(received), bytesOf(3000));
          }
          if (lost < 0) count = Math.min(world.log.length - from, 24);
        }
      }
    });
  }
}

/** One path under way and a second one to come, the server finished already. */
function halfClosed(): World {
  const world = new World({ paths: 2 });
  world.establish(1, { paths: [{ interfaceId: world.pathInterface(0) }] });
  world.transfer('client', 1000);
  world.server.connection.shutdown(world.now);
  world.until('end of the server', () => world.client.connection.ended);
  return world;
}

for (const pause of [0, 5000, 40_000]) {
  test(`F7: the last DATA_ACK lost with the only path, another joined ${pause} ms later: no error at either end`, () => {
    const world = halfClosed();
    const side: Side = 'client';
    world.client.send(bytesOf(2000, 1000), world.now, { finish: true });
    world.until('all sent', () => world.packets(side, isDataFin).length > 0);
    // What the client has sent still arrives; nothing else passes on this path.
    world.rules.push(p => (p.path === 0 ? 'drop' : undefined));
    world.until('the server is done', () => world.server.connection.ended);
    world.run(pause);
    assert.equal(world.client.connection.closed, false);
    world.client.connection.addPath({ interfaceId: world.pathInterface(1) }, world.now);
    world.until('the client is done', () => world.client.connection.closed, 20_000);
    assert.equal(world.client.connection.error, null, world.client.connection.errorReason);
    assert.equal(world.server.connection.error, null, world.server.connection.errorReason);
    assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(3000));
    world.untilGone(400_000);
  });
}

for (const taken of [true, false]) {
  const what = taken ? 'TCP acknowledged: an end in order' : 'TCP acknowledged in part: ETIMEDOUT';
  test(`F7: the last DATA_ACKs of a server are lost with its subflows, its bytes ${what}`, () => {
    const world = new World({ server: { dataTimeoutMs: 20_000, closeTimeoutMs: 7_000 } });
    world.establish();
    world.transfer('server', 1000);
    world.client.connection.shutdown(world.now);
    world.until('end of the client', () => world.server.connection.ended);
    world.run(100);
    // Whatever the client says from now on has the DATA_ACK of before.
    const [{ segment: before }] = world.packets('client', s => has(s, Mp.DSS)).slice(-1);
    let pieces = taken ? Infinity : 1;
    world.rules.push(packet => {
      if (packet.from === 'server') return hasData(packet.segment) && --pieces < 0 ? 'drop' : undefined;
      alter(packet, s => Object.assign(s, { dataAckHi: before.dataAckHi, dataAckLo: before.dataAckLo }));
      return undefined;
    });
    world.server.send(bytesOf(2800, 1000), world.now, { finish: true });
    world.run(400);
    assert.equal(world.client.received.length === 3800, taken);
    // The only path goes, at both ends.
    world.client.host.removeInterface(world.pathInterface(0), world.now);
    world.rules.push(() => 'drop');
    world.until('the end', () => world.server.connection.closed, 200_000);
    assert.equal(
      world.server.connection.error,
      taken ? null : 'ETIMEDOUT',
      world.server.connection.errorReason,
    );
  });
}

test('F7: nothing is kept of a connection once its end is known to have arrived', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const token = world.server.connection.multipath().token as number;
  world.server.connection.shutdown(world.now);
  world.run(100);
  world.client.send(bytesOf(2000), world.now, { finish: true });
  world.until('closed', () => world.server.connection.closed);
  world.run(100);
  assert.equal(world.server.host.isTokenFree(token), true);
});

for (const side of ['client', 'server'] as const) {
  test(`Z1b, Z1c: an unanswered MP_FASTCLOSE of the ${side} goes again after one timeout, then twice that, three times`, () => {
    const world = new World({ paths: 2, delays: [10, 10] });
    world.establish(2);
    world.transfer('client', 50_000);
    world.transfer('server', 50_000);
    world.run(300);
    world.rules.push(p => (p.from === side ? 'drop' : undefined));
    const since = world.log.length;
    world.peer(side).connection.abort(world.now);
    world.until('over', () => [...world.peer(side).host.connections].length === 0, 60_000);
    const sent = world.log
      .slice(since)
      .filter(p => p.from === side && has(p.segment, Mp.FASTCLOSE) && !isRst(p.segment));
    const gaps = sent.slice(1).map((p, i) => p.at - sent[i].at);
    assert.equal(gaps.length, 3);
    // RFC 6298: the round trip of 20 ms and the least variation of 200 ms.
    assert.ok(gaps[0] >= 200 && gaps[0] < 320, `${gaps[0]} ms`);
    for (const i of [1, 2]) assert.ok(Math.abs(gaps[i] / gaps[i - 1] - 2) < 0.1, `${gaps.join(', ')} ms`);
    assert.equal(new Set(sent.map(p => p.path)).size, 1, 'on one subflow');
  });
}
