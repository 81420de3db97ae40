// Volume: 64 MiB each way and both ways at once, with offload and without, over one path.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type BedOptions, skip, withBed } from './bed.ts';
import { connectPair, exchange, ROLES, streamCounters, VARIANTS } from './cell.ts';

const MIB = 1024 * 1024;

interface Volume {
  readonly title: string;
  readonly bytes: number;
  readonly bed: BedOptions;
}

const volumes: readonly Volume[] = [
  { title: 'super-segments', bytes: 64 * MIB, bed: {} },
  { title: 'super-segments with checksums', bytes: 64 * MIB, bed: { checksum: true } },
  { title: 'packets of 1,500 bytes', bytes: 16 * MIB, bed: { offload: false } },
  {
    title: 'packets of 1,500 bytes with checksums',
    bytes: 4 * MIB,
    bed: { offload: false, checksum: true },
  },
  { title: 'packets of 9,000 bytes', bytes: 16 * MIB, bed: { offload: false, mtu: 9000 } },
];

for (const role of ROLES) {
  describe(role, { skip }, () => {
    for (const { title, bytes, bed: options } of volumes) {
      test(`${title}: ${bytes / MIB} MiB to the kernel`, () =>
        withBed(options, async bed => {
          const { flow, socket } = await connectPair(bed, { role });
          const receiving = socket.receive();
          const sent = await flow.send({ bytes, shutdown: true });
          assert.deepEqual(await receiving, { ...sent, ended: true });
          await bed.assertCounters(streamCounters(role));
        }));

      test(`${title}: ${bytes / MIB} MiB from the kernel`, () =>
        withBed(options, async bed => {
          const { flow, socket } = await connectPair(bed, { role });
          const sending = socket.send({ bytes, shutdown: true });
          const received = await flow.receive();
          assert.deepEqual(received, { ...(await sending), ended: true });
          await bed.assertCounters(streamCounters(role));
        }));
    }
  });
}

for (const { title, role, over } of VARIANTS) {
  describe(title, { skip }, () => {
    test('64 MiB both ways at once', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, { role });
        await exchange(pair, 64 * MIB);
        assert.equal(await pair.flow.closed(), null);
        await bed.assertCounters(streamCounters(role));
      }));
  });
}
