// Recorded sessions with the Linux kernel, as they were and with what a hostile network could make of them: no
// exception, no hang, nothing that stays. In virtual time. Longer and elsewhere with
//
//   FUZZ_SECONDS=3600 node --test dist/test/fuzz/replay.test.js
//   FUZZ_SEED=12345 FUZZ_SECONDS=1 node --test dist/test/fuzz/replay.test.js     (begins with that seed)

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../../src/host/index.ts';
import { decodePacket, Mp, Segment } from '../../src/wire/index.ts';
import { Chance } from './chance.ts';
import { Meddler, signalsOf } from './meddler.ts';
import { memoryMiB } from './memory.ts';
import { type Act, loadCorpus, perform } from './recording.ts';
import { Replay } from './replay.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 6);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_000);
const corpus = loadCorpus();
const signals = signalsOf(corpus);

// Where our end decides otherwise than when it was recorded, some of the kernel's packets answer what was never sent. Of
// a few sessions that does no harm; when this fails, record again (test/interop/record.ts).
test('as they were, the sessions come as far as with the kernel', t => {
  const short: string[] = [];
  for (const recording of corpus) {
    const replay = new Replay(recording);
    replay.play();
    const { readBytes, subflows } = replay;
    const { error } = replay.held[0];
    const reached = { readBytes, subflows: subflows.size, error };
    if (!isDeepStrictEqual(reached, recording.reached)) {
      short.push(`${recording.name}: ${JSON.stringify(reached)} for ${JSON.stringify(recording.reached)}`);
    }
    replay.assertQuiet();
  }
  if (short.length > 0) t.diagnostic(short.join('\n'));
  assert.ok(corpus.length >= 40 && short.length <= corpus.length / 4, short.join('\n'));
});

test('the corpus holds everything that the kernel says', () => {
  const segment = new Segment();
  let seen = 0;
  for (const packet of signals) {
    assert.ok(decodePacket(segment, packet, 0, packet.length));
    seen |= segment.mp;
  }
  const missing = Object.keys(Mp).filter(name => (seen & Mp[name as keyof typeof Mp]) === 0);
  assert.deepEqual(missing, []);
});

test('mutants among the packets of the kernel', t => {
  const until = performance.now() + seconds * 1000;
  const total = {
    sessions: 0,
    packetsIn: 0,
    packetsOut: 0,
    meddled: 0,
    readBytes: 0,
    joined: 0,
  };
  let warmMiB = Number.POSITIVE_INFINITY;
  let seed = firstSeed;
  for (; seed <= firstSeed + WARM_SESSIONS || performance.now() < until; seed++) {
    try {
      const chance = new Chance(seed);
      const meddler = new Meddler(chance, signals);
      const config = chance.oneIn(2) ? {} : unlikeConfig(chance);
      const replay = new Replay(chance.pick(corpus), { checksumOffload: chance.oneIn(2), config });
      replay.play(packet => {
        if (chance.oneIn(60)) interfere(replay, chance);
        return meddler.arrivals(packet, replay);
      });
      replay.assertQuiet();
      total.sessions++;
      total.meddled += meddler.meddled;
      total.packetsIn += replay.packetsIn;
      total.packetsOut += replay.packetsOut;
      total.readBytes += replay.readBytes;
      total.joined += replay.subflows.size > 1 ? 1 : 0;
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed}: ${error instanceof Error ? error.stack : error}`);
    }
    if (seed === firstSeed + WARM_SESSIONS) warmMiB = memoryMiB();
  }
  const grownMiB = memoryMiB() - warmMiB;
  t.diagnostic(
    `seeds ${firstSeed} to ${seed - 1}, ${JSON.stringify(total)}, grown by ${grownMiB.toFixed(1)} MiB`,
  );
  assert.ok(grownMiB < MOST_GROWTH_MIB, `FUZZ_SEED=${firstSeed}: grown by ${grownMiB} MiB`);
});

/** Other limits than those the session was recorded with; what the host draws at random stays the same. */
function unlikeConfig(chance: Chance): Partial<Config> {
  return {
    congestion: chance.pick(['cubic', 'reno', 'lia']),
    maxMappings: chance.pick([4, 8192]),
    maxSubflows: chance.pick([2, 3, 8]),
    shortSequence: chance.oneIn(2),
    subflowKeepAliveMs: chance.pick([0, 2000]),
    sendBufferBytes: chance.pick([5000, 100_000]),
    receiveBufferBytes: chance.pick([5000, 100_000]),
  };
}

/** An application that does what the recorded one did not. */
function interfere(replay: Replay, chance: Chance): void {
  const { held, now } = replay;
  if (held.length === 0) return;
  const connection = chance.pick(held);
  const interfaceId = 1 + chance.below(4);
  const act = chance.pick<Act>([
    ['write', chance.below(30_000)],
    ['addPath', interfaceId],
    ['removePath', interfaceId],
    ['setBackup', connection.multipath().subflows[0]?.id ?? 0, chance.oneIn(2)],
    ['shutdown'],
    ['close'],
    ['abort'],
  ]);
  perform(connection, act, now);
}

/** Everything has been loaded and compiled by then. */
const WARM_SESSIONS = 500;
const MOST_GROWTH_MIB = 8;
