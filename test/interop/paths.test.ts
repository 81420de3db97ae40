// Paths that come and go under a connection: subflows that are reset, addresses that are withdrawn by either side,
// paths that fall silent and come back, the first subflow as well as the second.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Bed, kernelAddress, skip, withBed } from './bed.ts';
import {
  active,
  CLIENT_VARIANTS,
  carried,
  connectPair,
  eventually,
  exchange,
  exchangeHalf,
  type Pair,
  SERVER_VARIANTS,
  subflows,
  twoSubflows,
  VARIANTS,
} from './cell.ts';

const MIB = 1024 * 1024;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';
const twoPaths = { devices: 2, ip: [MANY] };

for (const { title, role, over } of VARIANTS) {
  const bedOptions = { ...over, ...twoPaths };
  describe(title, { skip }, () => {
    for (const lost of [0, 1]) {
      const which = lost === 0 ? 'the first subflow' : 'the joined subflow';

      test(`R3b: ${which} falls silent in a transfer to the kernel`, () =>
        withBed(bedOptions, async bed => {
          const pair = await twoSubflows(bed, role, true);
          await exchangeHalf(pair, MIB);
          const receiving = pair.socket.receive({ bytes: 4 * MIB });
          const sending = pair.flow.send({ bytes: 4 * MIB });
          bed.darken(deviceOf(bed, pair, lost));
          assert.equal((await receiving).sha256, (await sending).sha256);
          bed.darken(deviceOf(bed, pair, lost), false);
          await exchange(pair, MIB);
        }));

      test(`${which} falls silent in a transfer from the kernel`, () =>
        withBed(bedOptions, async bed => {
          const pair = await twoSubflows(bed, role, true);
          await exchangeHalf(pair, MIB);
          const receiving = pair.flow.receive({ bytes: 4 * MIB });
          const sending = pair.socket.send({ bytes: 4 * MIB });
          bed.darken(deviceOf(bed, pair, lost));
          assert.equal((await receiving).sha256, (await sending).sha256);
          bed.darken(deviceOf(bed, pair, lost), false);
          await exchange(pair, MIB);
        }));

      test(`X1a: the address of ${which} is taken from us: the kernel is told`, () =>
        withBed(bedOptions, async bed => {
          const pair = await twoSubflows(bed, role, true);
          await exchangeHalf(pair, MIB);
          const { interfaceId } = pair.flow.multipath().subflows[lost];
          bed.ours.driver.detach(interfaceId);
          await exchangeHalf(pair, MIB);
          await bed.counted('RmAddr', 1);
          await exchange(pair, MIB);
        }));
    }

    test('the kernel resets the joined subflow: the connection goes on', () =>
      withBed(bedOptions, async bed => {
        const pair = await twoSubflows(bed, role, true);
        await exchangeHalf(pair, MIB);
        const { local, remote } = pair.flow.multipath().subflows[1];
        bed.kill({ from: remote, to: local });
        await pair.flow.until(() => pair.flow.notices.some(notice => notice.type === 'subflowclose'));
        await exchangeHalf(pair, MIB);
        await exchange(pair, MIB);
      }));

    test('the kernel resets the first subflow: the connection goes on', () =>
      withBed(bedOptions, async bed => {
        const pair = await twoSubflows(bed, role, true);
        await exchangeHalf(pair, MIB);
        const { local, remote } = pair.flow.multipath().subflows[0];
        bed.kill({ from: remote, to: local });
        await pair.flow.until(() => pair.flow.notices.some(notice => notice.type === 'subflowclose'));
        await exchangeHalf(pair, MIB);
        await exchange(pair, MIB);
      }));
  });
}

/** Between two kernels it takes 404 ms with the second subflow active, 812 ms with a backup. */
for (const { lost, backup } of [
  { lost: 0, backup: false },
  { lost: 1, backup: false },
  { lost: 0, backup: true },
]) {
  const which = `${lost === 0 ? 'the first' : 'the second'} path dies, the other a${backup ? ' backup' : 'ctive'}`;
  describe('requests and responses each 100 ms, our client', { skip }, () => {
    test(`${which}: no response takes longer than 250 ms`, () =>
      withBed(twoPaths, async bed => {
        const pair = await twoSubflows(bed, 'our client', true);
        if (backup) {
          pair.flow.setBackup(pair.flow.multipath().subflows[1].id, true);
          await eventually(() => pair.flow.multipath().subflows[1].backup);
        }
        const echo = pair.socket.echo().catch(() => {});
        const worst = { before: 0, after: 0 };
        for (let i = 0; i < 20; i++) {
          if (i === 8) bed.darken(lost);
          const started = performance.now();
          await Promise.all([pair.flow.send({ bytes: 1000 }), pair.flow.receive({ bytes: 1000 })]);
          const tookMs = performance.now() - started;
          const part = i < 8 ? 'before' : 'after';
          worst[part] = Math.max(worst[part], tookMs);
          await new Promise(resolve => setTimeout(resolve, Math.max(0, 100 - tookMs)));
        }
        assert.ok(worst.after <= 250, `worst gap ${worst.after.toFixed(0)} ms`);
        pair.flow.shutdown();
        await echo;
      }));
  });
}

for (const { title, over } of CLIENT_VARIANTS) {
  const bedOptions = { ...over, ...twoPaths };
  describe(`${title}: takes a path away and adds it again`, { skip }, () => {
    test('the second', () =>
      withBed(bedOptions, async bed => {
        const pair = await twoSubflows(bed, 'our client');
        pair.flow.removePath(bed.interfaces()[1]);
        await exchangeHalf(pair, MIB);
        await eventually(() => active(pair.flow) === 1);
        pair.flow.addPath(bed.interfaces()[1]);
        await subflows(pair.flow, 2);
        await exchangeHalf(pair, 4 * MIB);
        assert.ok(carried(pair.flow).every(bytes => bytes > 0));
        await exchange(pair, MIB);
      }));

    test('the first, so that the connection lives on the second alone', () =>
      withBed(bedOptions, async bed => {
        const pair = await twoSubflows(bed, 'our client');
        pair.flow.removePath(bed.interfaces()[0]);
        await exchangeHalf(pair, MIB);
        pair.flow.addPath(bed.interfaces()[0]);
        await subflows(pair.flow, 2);
        await exchange(pair, 4 * MIB);
      }));
  });
}

for (const { title, over } of CLIENT_VARIANTS) {
  describe(`${title}: the kernel withdraws an address`, { skip }, () => {
    const announced = kernelAddress(1, over.family);
    test('that it had announced and we had joined', () =>
      withBed(
        { ...over, devices: 2, ip: [MANY, `mptcp endpoint add ${announced} id 5 signal`] },
        async bed => {
          const pair = await connectPair(bed, { role: 'our client' });
          await exchangeHalf(pair, 1000);
          await subflows(pair.flow, 2);
          bed.ip('mptcp endpoint delete id 5');
          await eventually(() => active(pair.flow) === 1);
          await exchange(pair, MIB);
          const moved = await bed.moved();
          assert.equal(moved['RmAddrTx'], 1);
        },
      ));
  });
}

for (const { title, over } of SERVER_VARIANTS) {
  describe(`${title}: the kernel withdraws an address`, { skip }, () => {
    test('that it had joined our server from', () =>
      withBed({ ...over, ...twoPaths }, async bed => {
        const pair = await twoSubflows(bed, 'our server');
        await exchangeHalf(pair, MIB);
        bed.ip('mptcp endpoint delete id 1');
        await eventually(() => active(pair.flow) === 1);
        await exchange(pair, MIB);
      }));
  });
}

/** The device a subflow leaves us by. */
function deviceOf(bed: Bed, pair: Pair, subflow: number): number {
  return bed.deviceOf(pair.flow.multipath().subflows[subflow].interfaceId);
}
