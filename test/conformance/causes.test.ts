// Every cause of a fallback in the table (RFC 8684 §3.7): what brings it about is told with it, by snapshot and
// notice, with who saw it, and counted once under its counter.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FALLBACK_CAUSES } from '../../src/mptcp/index.ts';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  has,
  hasData,
  isSyn,
  isSynAck,
  type Rule,
  type Side,
  stripped,
  World,
  type WorldOptions,
} from '../mptcp/world.ts';

interface Case {
  readonly cause: string;
  /** The end that falls back for it. */
  readonly side: Side;
  readonly seenBy: 'local' | 'peer';
  readonly rule: (world: World) => Rule;
  readonly options?: WorldOptions;
  /** Before the connection. */
  readonly before?: (world: World) => void;
}

/** Changes one byte of the third data segment of the client. */
function damage(): Rule {
  let seen = 0;
  return altered(
    1,
    (s, p) => p.from === 'client' && hasData(s) && ++seen === 3,
    (_, payload) => {
      payload[0] ^= 1;
    },
  );
}

function refused(world: World): Rule {
  return ({ from, segment: s }) => {
    if (from !== 'client' || !isSyn(s) || s.mp === 0) return undefined;
    const rst = Object.assign(new Segment(), s, { mp: 0, mss: 0, windowScale: -1, sackPermitted: false });
    Object.assign(rst, { flags: Flag.RST | Flag.ACK, seq: 0, ack: (s.seq + 1) >>> 0 });
    Object.assign(rst, { src3: s.dst3, dst3: s.src3, srcPort: s.dstPort, dstPort: s.srcPort });
    world.inject('server', rst, new Uint8Array(0), 10);
    return 'drop';
  };
}

const checksum: WorldOptions = { client: { checksum: true } };
const CASES: readonly Case[] = [
  { cause: 'syn-ack-without-option', side: 'client', seenBy: 'local', rule: () => stripped(isSynAck) },
  {
    cause: 'syn-unanswered',
    side: 'client',
    seenBy: 'local',
    rule: () => p => (isSyn(p.segment) && p.segment.mp !== 0 ? 'drop' : undefined),
  },
  { cause: 'syn-refused', side: 'client', seenBy: 'local', rule: refused },
  {
    cause: 'network-remembered',
    side: 'client',
    seenBy: 'local',
    rule: () => () => {},
    before: w => w.client.host.networks.optionsDropped('10.1.0.0/24', true, Infinity),
  },
  {
    cause: 'ack-without-option',
    side: 'server',
    seenBy: 'local',
    rule: () => stripped((s, p) => p.from === 'client' && !isSyn(s)),
  },
  {
    cause: 'handshake-corrupt',
    side: 'server',
    seenBy: 'local',
    rule: () =>
      altered(
        Infinity,
        s => has(s, Mp.CAPABLE) && s.capableLength >= 20,
        s => {
          s.receiverKeyLo = (s.receiverKeyLo ^ 1) >>> 0;
        },
      ),
  },
  {
    cause: 'data-without-mapping',
    side: 'client',
    seenBy: 'local',
    rule: () => stripped((s, p) => p.from === 'server' && hasData(s)),
  },
  {
    cause: 'ack-without-data-ack',
    side: 'client',
    seenBy: 'local',
    rule: () => stripped((s, p) => p.from === 'server' && !isSynAck(s) && !hasData(s)),
  },
  {
    cause: 'options-dropped',
    side: 'server',
    seenBy: 'local',
    rule: () => {
      let seen = 0;
      return ({ from, segment: s }) =>
        from === 'client' && !isSyn(s) && s.mp !== 0 && ++seen > 5 ? 'drop' : undefined;
    },
  },
  { cause: 'checksum', side: 'server', seenBy: 'local', rule: damage, options: checksum },
  { cause: 'mp-fail', side: 'client', seenBy: 'peer', rule: damage, options: checksum },
  {
    cause: 'infinite-mapping',
    side: 'server',
    seenBy: 'peer',
    // The client finds that options vanish on their way back, and says so.
    rule: () => stripped((s, p) => p.from === 'server' && !isSynAck(s)),
  },
];

test('every cause in the table is brought about here', () => {
  assert.deepEqual(CASES.map(({ cause }) => cause).sort(), Object.keys(FALLBACK_CAUSES).sort());
});

test('every cause has its counter, its section and a sentence, and no other has the same', () => {
  const sentences = new Set<string>();
  for (const [cause, { section, counter, advice }] of Object.entries(FALLBACK_CAUSES)) {
    assert.match(section, /^(3\.[179](\.\d)?|6)$/, cause);
    assert.equal(new World().client.host.counters[counter], 0, cause);
    assert.match(advice, /^[A-Z].{30,}\.$/, cause);
    sentences.add(advice);
  }
  assert.equal(sentences.size, CASES.length);
});

for (const { cause, side, seenBy, rule, options, before } of CASES) {
  test(`${cause}: told and counted at the ${side}`, () => {
    const world = new World(options);
    world.rules.push(rule(world));
    before?.(world);
    world.connect();
    world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
    const serverFirst = cause === 'data-without-mapping';
    world.peer(serverFirst ? 'server' : 'client').send(bytesOf(20_000), world.now);
    world.run(2000);
    const peer = world.peer(side);
    assert.deepEqual(peer.connection.multipath().fallback, { cause, seenBy });
    assert.deepEqual(peer.notice('fallback'), [{ type: 'fallback', cause, seenBy }]);
    assert.equal(peer.host.counters[FALLBACK_CAUSES[cause].counter], 1);
  });
}
