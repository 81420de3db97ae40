// Plain TCP on either side, and connections that come to nothing: closed ports, peers that go away for good.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';
import { connectPair, exchange, greet, VARIANTS } from './cell.ts';

const MIB = 1024 * 1024;
const ECONNREFUSED = 111;

for (const { title, role, over } of VARIANTS) {
  describe(title, { skip }, () => {
    test('the kernel speaks plain TCP: the connection falls back', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, { role, socket: { mptcp: false } });
        await exchange(pair, MIB);
        assert.equal(pair.flow.multipath().active, false);
        if (role === 'our client') {
          assert.deepEqual(pair.flow.multipath().fallback, {
            cause: 'syn-ack-without-option',
            seenBy: 'local',
          });
        }
        assert.equal(await pair.flow.closed(), null);
        await bed.assertCounters({});
      }));

    test('we speak plain TCP: the connection falls back', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, {
          role,
          connect: { multipath: false },
          listen: { multipath: false },
        });
        assert.equal(role === 'our client' || (await pair.socket.info()).mptcp === false, true);
        await exchange(pair, MIB);
        assert.equal(await pair.flow.closed(), null);
        await bed.assertCounters(
          role === 'our client' ? {} : { MPCapableSYNTX: 1, MPCapableFallbackSYNACK: 1 },
        );
      }));

    test('a port where nobody listens', () =>
      withBed(over, async bed => {
        if (role === 'our client') {
          const flow = bed.ours.connect({
            remote: { address: bed.kernelAddress(), port: 9 },
            paths: [{ interfaceId: bed.interfaces()[0] }],
          });
          assert.equal(await flow.closed(), 'ECONNREFUSED');
        } else {
          const connecting = bed.kernel.connect({ address: bed.ourAddress(), port: 9 });
          await assert.rejects(connecting, { errno: ECONNREFUSED });
        }
      }));

    test('the kernel goes away for good: we give up', () =>
      withBed({ ...over, config: { dataTimeoutMs: 1000, closeTimeoutMs: 200 } }, async bed => {
        const pair = await connectPair(bed, { role });
        await greet(pair);
        bed.darken(0);
        pair.flow.send({ bytes: 1000 }).catch(() => {});
        assert.equal(await pair.flow.closed(), 'ETIMEDOUT');
      }));
  });
}

describe('our client', { skip }, () => {
  test('the kernel goes away while connecting: we give up', () =>
    withBed({ config: { synRetries: 1, rtoInitialMs: 200 } }, async bed => {
      bed.darken(0);
      const flow = bed.ours.connect({
        remote: { address: bed.kernelAddress(), port: 9 },
        paths: [{ interfaceId: bed.interfaces4[0] }],
      });
      assert.equal(await flow.closed(), 'ETIMEDOUT');
    }));
});
