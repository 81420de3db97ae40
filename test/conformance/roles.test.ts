// What a peer or a middlebox does wrong to the data level, in both roles: `side` is the end that has to cope, as client and
// as server (RFC 8684 §3.1, §3.3.1, §3.3.2, §3.6, §3.7).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetReason } from '../../src/mptcp/index.ts';
import { CapableFlag, Flag, Mp, Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isRst,
  isSyn,
  type Packet,
  type Side,
  stripped,
  World,
} from '../mptcp/world.ts';

const OTHER = { client: 'server', server: 'client' } as const;

/** Two subflows; the joined one is the faster and carries the data. */
function joined(checksum = false): World {
  const world = new World({ paths: 2, delays: [30, 10], client: { checksum } });
  world.establish(2);
  world.transfer('client', 1000);
  world.transfer('server', 1000);
  world.run(300);
  return world;
}

const onJoined =
  (side: Side, match: (segment: Segment) => boolean = hasData) =>
  (segment: Segment, { path, from }: Packet): boolean =>
    path === 1 && from === side && match(segment);

/** 100,000 bytes for `side` arrive as they are, whatever becomes of subflows. */
function deliver(world: World, side: Side): void {
  const { received } = world.peer(side);
  const total = received.length + 100_000;
  world.peer(OTHER[side]).send(bytesOf(100_000, received.length), world.now);
  world.until('all', () => received.length === total);
  assert.deepEqual(Uint8Array.from(received), bytesOf(total));
}

/** Why `side` has reset a subflow. */
function resetReason(world: World, side: Side): number {
  const [rst] = world.packets(side, isRst);
  assert.ok(has(rst.segment, Mp.TCPRST));
  return rst.segment.rstReason;
}

for (const side of ['client', 'server'] as const) {
  const peer = OTHER[side];

  test(`K5: a DATA_ACK beyond what the ${side} has sent frees nothing`, () => {
    const world = joined();
    const held = { drop: true };
    world.rules.push(p => (held.drop && p.from === side && hasData(p.segment) ? 'drop' : undefined));
    world.peer(side).send(bytesOf(3000, 1000), world.now);
    world.run(1);
    const [last] = world.packets(peer, s => has(s, Mp.DSS) && !hasData(s)).slice(-1);
    const beyond = Object.assign(new Segment(), last.segment);
    beyond.dataAckLo = (beyond.dataAckLo + 1_000_000) >>> 0;
    world.inject(peer, beyond);
    world.run(1);
    assert.equal(world.peer(side).connection.unacknowledgedBytes, 3000);
    held.drop = false;
    world.until('all', () => world.peer(peer).received.length === 4000);
    assert.deepEqual(Uint8Array.from(world.peer(peer).received), bytesOf(4000));
    world.finish();
  });

  test(`D3c: bytes mapped twice in different ways: the ${side} resets that subflow, the stream is whole`, () => {
    const world = joined();
    world.rules.push(first(1, onJoined(peer), { delayMs: 300 }));
    const before = world.log.length;
    world.peer(peer).send(bytesOf(8000, 1000), world.now);
    world.run(15);
    // The first is late: the second waits with its mapping, and comes again with another.
    const second = world.log.slice(before).filter(p => onJoined(peer)(p.segment, p))[1];
    const other = Object.assign(new Segment(), second.segment);
    other.dsnLo = (other.dsnLo + 5) >>> 0;
    const { payloadOffset, payloadLength } = second.segment;
    world.inject(peer, other, second.bytes.slice(payloadOffset, payloadOffset + payloadLength));
    world.until('all', () => world.peer(side).received.length === 9000);
    assert.deepEqual(Uint8Array.from(world.peer(side).received), bytesOf(9000));
    assert.equal(resetReason(world, side), ResetReason.MIDDLEBOX);
    assert.equal(world.peer(side).connection.error, null);
    world.finish();
  });

  test(`B3a, B3b: data loses its options on the way to the ${side} on a joined subflow: held, then reset`, () => {
    const world = joined();
    world.rules.push(stripped(onJoined(peer)));
    deliver(world, side);
    assert.equal(resetReason(world, side), ResetReason.MIDDLEBOX);
    assert.equal(world.peer(side).connection.multipath().active, true);
    world.finish();
  });

  test(`B2a, B2b: data of the ${side} on a joined subflow is acknowledged without DATA_ACK: reset`, () => {
    const world = new World({ paths: 2, delays: [30, 10] });
    world.establish(2);
    world.rules.push(stripped(onJoined(peer, s => has(s, Mp.DSS))));
    deliver(world, peer);
    assert.equal(resetReason(world, side), ResetReason.MIDDLEBOX);
    world.finish();
  });

  test(`B4a, B4b: a wrong checksum at the ${side} on one of two subflows: MP_FAIL on a reset, the stream is whole`, () => {
    const world = joined(true);
    const damage = altered(1, onJoined(peer), (_, payload) => {
      payload[0] ^= 0x80;
    });
    world.rules.push(damage);
    deliver(world, side);
    const [rst] = world.packets(side, isRst);
    assert.ok(has(rst.segment, Mp.FAIL));
    assert.equal(world.peer(side).connection.multipath().active, true);
    world.finish();
  });

  for (const flags of [0, 1]) {
    const what = flags === 1 ? 'transient' : 'permanent';
    test(`S1b, S2a, S2c: the ${side} is told of a ${what} reset of a joined subflow, and the connection goes on`, () => {
      const world = joined();
      const [last] = world
        .packets(peer, s => !hasData(s))
        .filter(p => p.path === 1)
        .slice(-1);
      const rst = Object.assign(new Segment(), last.segment, {
        sackCount: 0,
        dssFlags: 0,
        hasTimestamps: false,
      });
      const [heard] = world
        .packets(side)
        .filter(p => p.path === 1)
        .slice(-1);
      Object.assign(rst, { flags: Flag.RST | Flag.ACK, seq: heard.segment.ack, mp: Mp.TCPRST });
      Object.assign(rst, { rstFlags: flags, rstReason: ResetReason.UNSPECIFIED });
      world.inject(peer, rst);
      world.run(1);
      const [closed] = world.peer(side).notice('subflowclose');
      assert.match(closed.reason, /unspecified error/);
      deliver(world, side);
      world.run(20_000);
      // Only clients open subflows: what the server was told keeps no client from coming again.
      const again = flags === 1 || side === 'server';
      assert.equal(world.active('server'), again ? 2 : 1);
      world.finish();
    });
  }

  test(`D5b: data with the urgent pointer is part of the stream of the ${side}`, () => {
    const world = joined();
    world.rules.push(
      altered(
        Infinity,
        (s, p) => p.from === peer && hasData(s),
        s => {
          s.flags |= Flag.URG;
          s.urgent = 7;
        },
      ),
    );
    deliver(world, side);
    world.finish();
  });
}

for (const checksum of [false, true]) {
  test(`C6c, C6f, C6g: third ACKs with every set of flags, checksums ${checksum ? 'on' : 'off'}`, () => {
    for (let flags = 0; flags < 256; flags++) {
      const world = new World({ client: { checksum } });
      world.rules.push(
        altered(
          Infinity,
          (s, p) => p.from === 'client' && has(s, Mp.CAPABLE) && !isSyn(s),
          s => {
            s.capableFlags = flags;
          },
        ),
      );
      world.connect();
      // With B, or without an algorithm, it is none that counts: both are plain TCP then.
      const counts =
        (flags & (CapableFlag.EXTENSIBILITY | CapableFlag.HMAC_SHA256)) === CapableFlag.HMAC_SHA256;
      if (counts && !checksum && (flags & CapableFlag.CHECKSUM) !== 0) {
        // "Confirmed by the setting of the A bit in the third packet": the mappings then lack what they must have.
        world.client.send(bytesOf(5000), world.now);
        world.until('the end', () => world.client.connection.closed, 10_000);
        assert.equal(world.client.connection.error, 'ECONNRESET');
        assert.equal(world.server.received.length, 0);
        continue;
      }
      world.transfer('client', 5000);
      world.transfer('server', 5000);
      world.run(500);
      const [here, there] = [world.client.connection.multipath(), world.server.connection.multipath()];
      assert.deepEqual([here.active, there.active], [counts, counts], `flags ${flags.toString(2)}`);
      world.finish();
    }
  });
}

test('C4: a third ACK whose two keys are the same: plain TCP, and the data arrives', () => {
  const world = new World();
  world.rules.push(
    altered(
      Infinity,
      (s, p) => p.from === 'client' && has(s, Mp.CAPABLE) && !isSyn(s),
      s => {
        // What the server said, sent back to it.
        s.senderKeyHi = s.receiverKeyHi;
        s.senderKeyLo = s.receiverKeyLo;
      },
    ),
  );
  world.connect();
  world.transfer('client', 20_000);
  world.transfer('server', 20_000);
  world.finish();
});
