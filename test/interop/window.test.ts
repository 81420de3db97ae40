// Flow control: windows that close and open again, readers that are slow, tiny windows and segments.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';
import { connectPair, exchange, streamCounters, VARIANTS } from './cell.ts';
import { install } from './packets.ts';

const MIB = 1024 * 1024;

for (const { title, role, over } of VARIANTS) {
  describe(title, { skip }, () => {
    test('the kernel stops reading, and reads on', () =>
      withBed(over, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const bytes = 16 * MIB;
        const sending = flow.send({ bytes, shutdown: true });
        await stalls(() => flow.connection.unsentBytes);
        const received = await socket.receive();
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(streamCounters(role));
      }));

    test('we stop reading, and read on', () =>
      withBed(over, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sending = socket.send({ bytes: 16 * MIB, shutdown: true });
        await stalls(() => flow.connection.readableBytes);
        const received = await flow.receive();
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(streamCounters(role));
      }));

    test('the kernel reads a little at a time, with a small buffer', () =>
      withBed(over, async bed => {
        const { flow, socket } = await connectPair(bed, { role, socket: { receiveBuffer: 4096 } });
        const sending = flow.send({ bytes: 200_000, shutdown: true });
        const received = await socket.receive({ piece: 1000, pauseMs: 1 });
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(streamCounters(role));
      }));

    test('we read a little at a time, with a small buffer', () =>
      withBed({ ...over, config: { receiveBufferBytes: 8192 } }, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sending = socket.send({ bytes: 200_000, shutdown: true });
        const pause = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
        const received = await flow.receive({ pause });
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(streamCounters(role));
      }));

    // Small buffers, so that most of it waits at the sender while the window does not open.
    test('readers of one byte a second for two seconds', () =>
      withBed({ ...over, config: { receiveBufferBytes: 4096 } }, async bed => {
        const { flow, socket } = await connectPair(bed, { role, socket: { receiveBuffer: 4096 } });
        let pauses = 2;
        const pause = async (): Promise<void> => {
          if (pauses-- > 0) await new Promise(resolve => setTimeout(resolve, 1000));
        };
        const bytes = 30_000;
        const [sent, back, atKernel, atUs] = await Promise.all([
          flow.send({ bytes, shutdown: true }),
          socket.send({ bytes, shutdown: true }),
          socket.receive({ piece: 1, pauseMs: 1000, pauses }),
          flow.receive({ piece: 1, pause }),
        ]);
        assert.deepEqual([atKernel.sha256, atUs.sha256], [sent.sha256, back.sha256]);
        await bed.assertCounters(streamCounters(role));
      }));

    for (const maxSegment of [88, 536]) {
      test(`segments of ${maxSegment} bytes, as the kernel wishes`, () =>
        withBed(over, async bed => {
          await exchange(await connectPair(bed, { role, socket: { maxSegment } }), 200_000);
          await bed.assertCounters(streamCounters(role));
        }));
    }

    test('packets of 576 bytes from the kernel, as our MSS demands', () =>
      withBed({ ...over, offload: false, ourMtu: 576 }, async bed => {
        let most = 0;
        install(bed, ({ outbound, tcp, payload, payloadLength }) => {
          const ipHeader = over.family === 4 ? 20 : 40;
          if (!outbound) most = Math.max(most, ipHeader + (payload - tcp) + payloadLength);
          return true;
        });
        await exchange(await connectPair(bed, { role }), 200_000);
        assert.ok(most > 500 && most <= 576, `${most} bytes`);
        await bed.assertCounters(streamCounters(role));
      }));
  });
}

/** Waits until a number has stopped changing, and is not 0. */
async function stalls(value: () => number): Promise<void> {
  let before = -1;
  for (let same = 0; same < 5; ) {
    await new Promise(resolve => setTimeout(resolve, 10));
    const now = value();
    same = now === before && now > 0 ? same + 1 : 0;
    before = now;
  }
}
