// Flow control: windows that close and open again, readers that are slow, tiny windows and segments.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';
import { connectPair, exchange, handshakeCounters, ROLES } from './cell.ts';

const MIB = 1024 * 1024;

for (const role of ROLES) {
  describe(role, { skip }, () => {
    test('the kernel stops reading, and reads on', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const bytes = 16 * MIB;
        const sending = flow.send({ bytes, shutdown: true });
        await stalls(() => flow.connection.unsentBytes);
        const received = await socket.receive();
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('we stop reading, and read on', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sending = socket.send({ bytes: 16 * MIB, shutdown: true });
        await stalls(() => flow.connection.readableBytes);
        const received = await flow.receive();
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('the kernel reads a little at a time, with a small buffer', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role, socket: { receiveBuffer: 4096 } });
        const sending = flow.send({ bytes: 200_000, shutdown: true });
        const received = await socket.receive({ piece: 1000, pauseMs: 1 });
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('we read a little at a time, with a small buffer', () =>
      withBed({ config: { receiveBufferBytes: 8192 } }, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sending = socket.send({ bytes: 200_000, shutdown: true });
        const pause = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
        const received = await flow.receive({ pause });
        assert.deepEqual(received, { ...(await sending), ended: true });
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('a reader of one byte every few milliseconds, beside a writer of as much', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sending = flow.send({ bytes: 100, piece: 1 });
        const received = await socket.receive({ bytes: 100, piece: 1, pauseMs: 2 });
        assert.equal(received.sha256, (await sending).sha256);
        const answering = socket.send({ bytes: 100, piece: 1, pauseMs: 2 });
        assert.equal((await flow.receive({ bytes: 100 })).sha256, (await answering).sha256);
        await exchange({ flow, socket, port: 0 }, 1000);
        await bed.assertCounters(handshakeCounters(role));
      }));

    for (const maxSegment of [88, 536]) {
      test(`segments of ${maxSegment} bytes`, () =>
        withBed({}, async bed => {
          const pair = await connectPair(bed, { role, socket: { maxSegment } });
          await exchange(pair, 200_000);
          await bed.assertCounters(handshakeCounters(role));
        }));
    }
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
