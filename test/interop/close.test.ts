// How connections end: half-close in both orders, both ends at once, with data nobody reads, by MP_FASTCLOSE; with
// one subflow and with two.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Bed, skip, withBed } from './bed.ts';
import {
  connectPair,
  eventually,
  exchange,
  greet,
  PAIRED_VARIANTS,
  type Pair,
  type Role,
  twoSubflows,
  VARIANTS,
  type Variant,
} from './cell.ts';

const MIB = 1024 * 1024;
const ECONNRESET = 104;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';

interface Shape {
  readonly name: string;
  readonly variants: readonly Variant[];
  open(bed: Bed, role: Role): Promise<Pair>;
}

const shapes: readonly Shape[] = [
  { name: 'one subflow', variants: VARIANTS, open: (bed, role) => connectPair(bed, { role }) },
  { name: 'two subflows', variants: PAIRED_VARIANTS, open: twoSubflows },
];

for (const { name, variants, open } of shapes) {
  for (const { title, role, over } of variants) {
    const bedOptions = { ...over, devices: 2, ip: [MANY] };
    describe(`${title}, ${name}`, { skip }, () => {
      test('we finish first, the kernel goes on', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          const sent = await flow.send({ bytes: 1000, shutdown: true });
          assert.deepEqual(await socket.receive(), { ...sent, ended: true });
          const receiving = flow.receive();
          const back = await socket.send({ bytes: MIB, shutdown: true });
          assert.equal((await receiving).sha256, back.sha256);
          assert.equal(await flow.closed(), null);
          await assertOrderly(bed);
        }));

      test('the kernel finishes first, we go on', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          const back = await socket.send({ bytes: 1000, shutdown: true });
          assert.deepEqual(await flow.receive(), { ...back, ended: true });
          const receiving = socket.receive();
          const sent = await flow.send({ bytes: MIB, shutdown: true });
          assert.equal((await receiving).sha256, sent.sha256);
          assert.equal(await flow.closed(), null);
          await assertOrderly(bed);
        }));

      test('both finish at once', () =>
        withBed(bedOptions, async bed => {
          const pair = await open(bed, role);
          await greet(pair);
          const kernels = pair.socket.shutdown();
          pair.flow.shutdown();
          await kernels;
          assert.equal((await pair.socket.receive()).ended, true);
          assert.equal((await pair.flow.receive()).ended, true);
          assert.equal(await pair.flow.closed(), null);
          await assertOrderly(bed);
        }));

      // Not as with TCP: Linux takes data for a socket that was closed, and never says that nobody reads it.
      test('the kernel closes while we still send: it takes what we send, and we end in order', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          await socket.close();
          assert.equal((await flow.receive()).ended, true);
          await flow.send({ bytes: 1000, shutdown: true });
          assert.equal(await flow.closed(), null);
          await assertOrderly(bed);
        }));

      test('we let go while the kernel still sends: it is told', () =>
        withBed(bedOptions, async bed => {
          const pair = await open(bed, role);
          await greet(pair);
          pair.flow.close();
          assert.equal((await pair.socket.receive()).ended, true);
          await assert.rejects(async () => {
            for (;;) await pair.socket.send({ bytes: 1000 });
          });
          await pair.flow.closed();
        }));

      test('we let go with data unread: the kernel gets a reset', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          await socket.send({ bytes: 1000 });
          await flow.until(() => flow.connection.readableBytes === 1000);
          flow.close();
          await assert.rejects(socket.receive(), { errno: ECONNRESET });
          // To a client that has had no DATA_ACK yet our reset may be one of TCP.
          const least = role === 'our server' && name === 'one subflow' ? 0 : 1;
          const told = (await bed.moved())['MPFastcloseRx'] ?? 0;
          // RFC 8684 §3.5: it is repeated until the reset that answers it has come, at most three times.
          const { MPFastcloseTx } = bed.ours.host.counters;
          assert.ok(
            told >= least && told <= MPFastcloseTx,
            `${told} MP_FASTCLOSE arrived, ${MPFastcloseTx} left`,
          );
          assert.ok(MPFastcloseTx <= 4, `${MPFastcloseTx} MP_FASTCLOSE left`);
          await flow.closed();
        }));

      test('the kernel lets go with data unread: we get a reset', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          await flow.send({ bytes: 1000 });
          await eventually(() => flow.connection.unacknowledgedBytes === 0);
          await socket.close();
          assert.equal(await flow.closed(), 'ECONNRESET');
          assert.ok(((await bed.moved())['MPFastcloseTx'] ?? 0) >= 1);
        }));

      test('Z1a: we abort: the kernel gets a reset, by MP_FASTCLOSE', () =>
        withBed(bedOptions, async bed => {
          const pair = await open(bed, role);
          await greet(pair);
          pair.flow.abort();
          await assert.rejects(pair.socket.receive(), { errno: ECONNRESET });
          await pair.flow.closed();
          assert.equal((await bed.moved())['MPFastcloseRx'], 1);
        }));

      test('Z2: the kernel aborts: we get a reset, by MP_FASTCLOSE', () =>
        withBed(bedOptions, async bed => {
          const pair = await open(bed, role);
          await greet(pair);
          await pair.socket.close({ abort: true });
          assert.equal(await pair.flow.closed(), 'ECONNRESET');
          assert.ok(((await bed.moved())['MPFastcloseTx'] ?? 0) >= 1);
        }));

      test('we abort in the middle of a transfer', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          const sending = assert.rejects(socket.send({ bytes: 1024 * MIB }));
          await flow.receive({ bytes: MIB });
          flow.abort();
          await sending;
          await flow.closed();
        }));

      test('the kernel aborts in the middle of a transfer', () =>
        withBed(bedOptions, async bed => {
          const { flow, socket } = await open(bed, role);
          const sending = flow.send({ bytes: 1024 * MIB }).catch(() => {});
          await socket.receive({ bytes: MIB });
          await socket.close({ abort: true });
          assert.equal(await flow.closed(), 'ECONNRESET');
          await sending;
        }));

      test('a connection after a connection, to the same port', () =>
        withBed(bedOptions, async bed => {
          for (let i = 0; i < 3; i++) await exchange(await open(bed, role), 10_000);
        }));
    });
  }
}

/** Nobody reset anything, and nothing fell back. */
async function assertOrderly(bed: Bed): Promise<void> {
  const { MPRstTx, MPRstRx, MPFastcloseTx, MPFastcloseRx, DssFallback } = await bed.moved();
  const unwanted = [MPRstTx, MPRstRx, MPFastcloseTx, MPFastcloseRx, DssFallback].filter(value => value);
  assert.deepEqual(unwanted, [], JSON.stringify(await bed.moved()));
}
