// Data sequence numbers in both of their lengths, and the wrap of their lower 32 bits in the middle of a transfer, in
// either direction.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Bed, skip, withBed } from './bed.ts';
import { connectPair, exchange, type Pair, ROLES, type Role, streamCounters, VARIANTS } from './cell.ts';

const MIB = 1024 * 1024;
/** How far before the wrap a connection may begin, and how much is sent across it. */
const REACH = 64 * MIB;

for (const { title, role, over } of VARIANTS) {
  describe(title, { skip }, () => {
    for (const shortSequence of [false, true]) {
      test(`D7b, D7c: ${shortSequence ? '32-bit' : '64-bit'} sequence numbers`, () =>
        withBed({ ...over, config: { shortSequence } }, async bed => {
          await exchange(await connectPair(bed, { role }), 4 * MIB);
          await bed.assertCounters(streamCounters(role));
        }));
    }
  });
}

for (const role of ROLES) {
  describe(role, { skip }, () => {
    for (const shortSequence of [false, true]) {
      const form = shortSequence ? '32-bit' : '64-bit';
      test(`${form}: our numbers wrap`, () =>
        withBed({ config: { shortSequence } }, async bed => {
          const { flow, socket } = await connectNearWrap(bed, role, 'localKey');
          const [sent, received] = await Promise.all([
            flow.send({ bytes: REACH, shutdown: true }),
            socket.receive(),
          ]);
          assert.equal(received.sha256, sent.sha256);
        }));
    }

    test("the kernel's numbers wrap", () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectNearWrap(bed, role, 'remoteKey');
        const [sent, received] = await Promise.all([
          socket.send({ bytes: REACH, shutdown: true }),
          flow.receive(),
        ]);
        assert.equal(received.sha256, sent.sha256);
      }));
  });
}

/** Connects until one side's initial number lies within reach of the wrap: once in 64 times. */
async function connectNearWrap(bed: Bed, role: Role, side: 'localKey' | 'remoteKey'): Promise<Pair> {
  for (;;) {
    const pair = await connectPair(bed, { role });
    const { connection } = pair.flow;
    const idsn = connection.multipathSide?.[side]?.idsnLo ?? 0;
    if (idsn > 2 ** 32 - REACH * 0.9) return pair;
    pair.flow.abort();
    await pair.socket.close();
  }
}
