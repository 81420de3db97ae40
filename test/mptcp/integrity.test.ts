// Middleboxes that strip options at any time, on any path and in any direction, with loss, copies and
// reordering, and paths that come and go: what the application reads is always a prefix of what was written,
// and with at least one honest path it is all of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mp } from '../../src/wire/index.ts';
import { Dice } from './dice.ts';
import {
  alter,
  bytesOf,
  hasData,
  isFin,
  isRst,
  isSyn,
  isSynAck,
  type Packet,
  type Rule,
  stripped,
  World,
} from './world.ts';

/** What a middlebox takes away, and from which segments. */
function stripper(dice: Dice, paths: number): Rule {
  const path = dice.next(paths);
  const from = (['client', 'server', 'both'] as const)[dice.next(3)];
  const which = dice.next(5);
  const since = 1000 + dice.next(3) * dice.next(1500);
  return (p: Packet) => {
    const s = p.segment;
    if (p.at < since || p.path !== path || (from !== 'both' && p.from !== from) || s.mp === 0)
      return undefined;
    const syn = isSyn(s) || isSynAck(s);
    const hit = [true, syn, !syn, !syn && hasData(s), !syn && !hasData(s)][which];
    if (hit && (s.mp & (Mp.TCPRST | Mp.FASTCLOSE)) === 0) {
      alter(p, segment => {
        segment.mp = 0;
      });
    }
    return undefined;
  };
}

function isPrefix(got: number[], sent: Uint8Array): boolean {
  if (got.length > sent.length) return false;
  for (let i = 0; i < got.length; i++) if (got[i] !== sent[i]) return false;
  return true;
}

function play(seed: number): void {
  const dice = new Dice(seed);
  const paths = 1 + dice.next(3);
  const world = new World({
    paths,
    seed,
    client: {
      checksum: dice.next(3) === 0,
      closeTimeoutMs: 8000,
      sendBufferBytes: 30_000 + dice.next(300_000),
    },
    server: { closeTimeoutMs: 8000, receiveBufferBytes: 30_000 + dice.next(300_000) },
  });
  const strippers = dice.next(3);
  for (let i = 0; i < strippers; i++) world.rules.push(stripper(dice, paths));
  const rate = [8, 20, 1000][dice.next(3)];
  world.rules.push(() => {
    if (dice.next(rate) !== 0) return undefined;
    const what = dice.next(3);
    return what === 0 ? 'drop' : what === 1 ? { delayMs: dice.next(120) } : { again: 1 };
  });
  const up = bytesOf(dice.next(250_000));
  const down = bytesOf(dice.next(250_000));
  const clientFirst = dice.next(2) === 0;
  world.connect();
  world.server.onConnected = () => {
    if (!clientFirst) world.server.send(down, world.now, { finish: true });
  };
  let answered = !clientFirst;
  const answer = (): void => {
    if (answered || world.server.connections.length === 0) return;
    answered = true;
    world.server.send(down, world.now, { finish: true });
  };
  if (clientFirst) world.client.send(up, world.now, { finish: true });
  for (let i = 0; i < 10; i++) {
    world.run(dice.next(500));
    if (i === 3 && !clientFirst) world.client.send(up, world.now, { finish: true });
    if (i >= 3) answer();
    if (paths > 1 && dice.next(8) === 0) world.client.host.removeInterface(world.pathInterface(1), world.now);
    if (dice.next(10) === 0) {
      world.client.connection.addPath(
        { interfaceId: world.addClientInterface(`10.${50 + i}.0.1`) },
        world.now,
      );
    }
  }
  world.run(20_000);
  answer();
  world.run(400_000);
  assert.ok(isPrefix(world.server.received, up), 'the server read what the client never wrote');
  assert.ok(isPrefix(world.client.received, down), 'the client read what the server never wrote');
  const { client, server } = world;
  const ends = [client, server].map(
    p => `${p.side} ${p.connections[0]?.error} ${p.connections[0]?.errorReason}`,
  );
  if (strippers === 0 && server.connections.length > 0) {
    assert.equal(server.received.length, up.length, `not all from the client: ${ends}`);
    assert.equal(client.received.length, down.length, `not all from the server: ${ends}`);
    assert.equal(client.connection.error, null, client.connection.errorReason);
    assert.equal(server.connection.error, null, server.connection.errorReason);
  }
  // Nobody believes in a whole stream that is not there.
  if (server.connections[0]?.ended)
    assert.equal(server.received.length, up.length, `a false end at the server: ${ends}`);
  if (client.connections[0]?.ended)
    assert.equal(client.received.length, down.length, `a false end at the client: ${ends}`);
  for (const c of [...client.connections, ...server.connections]) c.abort(world.now);
  world.untilGone(2_000_000);
}

const first = Number(process.env['MPTCP_INTEGRITY_FROM'] ?? 1);
const count = Number(process.env['MPTCP_INTEGRITY_COUNT'] ?? 80);

test(`${count} conversations through middleboxes, from seed ${first}`, () => {
  for (let seed = first; seed < first + count; seed++) {
    try {
      play(seed);
    } catch (error) {
      throw new Error(`MPTCP_INTEGRITY_FROM=${seed} MPTCP_INTEGRITY_COUNT=1: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
});

// A FIN that ends a subflow says, without its options, that the stream ends.

test('the first path is taken away while a middlebox strips the third ACK: the server sees no end', () => {
  const world = new World();
  world.rules.push(stripped(s => !isSyn(s) && !isSynAck(s)));
  world.server.onConnected = () => world.server.send(bytesOf(215), world.now, { finish: true });
  world.connect();
  world.until('connected', () => world.client.connection.connected);
  world.client.send(bytesOf(19), world.now);
  world.run(5);
  world.client.connection.removePath(world.pathInterface(0), world.now);
  world.run(60_000);
  assert.ok(world.client.connection.closed);
  assert.equal(world.client.connection.error, 'ENETDOWN');
  for (const { ended, error } of world.server.connections) {
    assert.equal(ended, false, 'the server believes in an end that the client never made');
    assert.equal(error, 'ECONNRESET');
  }
});

for (const side of ['client', 'server'] as const) {
  test(`a middlebox begins to strip, then the ${side} takes the only path away: no end at the other`, () => {
    const world = new World();
    world.establish();
    world.transfer('client', 3000);
    world.transfer('server', 3000);
    world.run(500);
    world.rules.push(stripped(() => true));
    const peer = world.peer(side);
    const [interfaceId] = peer.interfaces.values();
    peer.connection.removePath(interfaceId, world.now);
    world.run(1_000);
    const other = world.peer(side === 'client' ? 'server' : 'client');
    assert.equal(other.connection.ended, false, 'a false end');
    world.untilGone();
    assert.equal(other.connection.ended, false, 'a false end');
    assert.notEqual(other.connection.error, null);
  });
}

test('the only path is taken away with the end of the stream not sent yet, and options vanish: no end', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 100);
  world.client.send(bytesOf(200_000, 100), world.now, { finish: true });
  world.rules.push(stripped((_, p) => p.from === 'client'));
  world.client.connection.removePath(world.pathInterface(0), world.now);
  world.untilGone();
  assert.ok(world.server.received.length < 200_100);
  assert.equal(world.server.connection.ended, false, 'a false end');
});

test('the only path is taken away when all was sent and ended: its FIN ends both, whatever becomes of options', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 100);
  world.server.connection.shutdown(world.now);
  world.run(200);
  world.client.send(bytesOf(1000, 100), world.now, { finish: true });
  world.settle();
  world.client.connection.removePath(world.pathInterface(0), world.now);
  world.run(500);
  assert.equal(world.packets('client', isRst).length, 0);
  assert.ok(world.packets('client', isFin).length > 0);
  assert.equal(world.server.received.length, 1100);
  assert.equal(world.server.connection.ended, true);
});
