// What middleboxes do to options and payload, between our stack and the kernel's: options removed from some segments,
// payload changed, with DSS checksums and without. The connection goes on as TCP, or on its other subflow; where
// neither is possible, both ends are told. No byte arrives wrong that a checksum could have caught.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Flag } from '../../src/wire/index.ts';
import { type Bed, skip, withBed } from './bed.ts';
import { connectPair, exchange, exchangeHalf, type Pair, ROLES, type Role, twoSubflows } from './cell.ts';
import { type Box, damageOnce, install, optionAt, type Packet, removeOptions } from './packets.ts';

const MIB = 1024 * 1024;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';

interface Row {
  readonly title: string;
  readonly config?: { checksum: boolean };
  readonly box: Box;
}

const strip =
  (condition: (packet: Packet) => boolean): Box =>
  packet => {
    if (condition(packet)) removeOptions(packet);
    return true;
  };
const isSyn = ({ flags }: Packet): boolean => (flags & Flag.SYN) !== 0;
const isSynAck = (packet: Packet): boolean => isSyn(packet) && (packet.flags & Flag.ACK) !== 0;
const byClient = (role: Role) => (packet: Packet) => packet.outbound === (role === 'our client');

function stripRows(role: Role): Row[] {
  const client = byClient(role);
  return [
    { title: 'the option is removed from the SYN', box: strip(p => isSyn(p) && !isSynAck(p)) },
    { title: 'the option is removed from the SYN/ACK', box: strip(isSynAck) },
    { title: 'options are removed after the SYN, both ways', box: strip(p => !isSyn(p)) },
    { title: 'options of the client are removed after the SYN', box: strip(p => !isSyn(p) && client(p)) },
    { title: 'options of the server are removed after the SYN', box: strip(p => !isSyn(p) && !client(p)) },
    {
      title: 'options of the client are removed from data',
      box: strip(p => !isSyn(p) && client(p) && p.payloadLength > 0),
    },
    {
      title: 'options of the server are removed from data',
      box: strip(p => !isSyn(p) && !client(p) && p.payloadLength > 0),
    },
  ];
}

for (const role of ROLES) {
  describe(`${role}, one path`, { skip }, () => {
    for (const { title, box } of stripRows(role)) {
      test(title, () =>
        withBed({}, async bed => {
          install(bed, box);
          await completes(bed, await connectPair(bed, { role }));
        }),
      );
    }

    for (const outbound of [true, false]) {
      const direction = outbound ? 'to the kernel' : 'from the kernel';
      test(`payload ${direction} is changed in the middle, with checksums`, () =>
        withBed({ config: { checksum: true } }, async bed => {
          install(bed, damageOnce(outbound, 5));
          await endsAlike(await connectPair(bed, { role }), outbound);
        }));
      test(`payload ${direction} is changed in the first mapping, with checksums`, () =>
        withBed({ config: { checksum: true } }, async bed => {
          install(bed, damageOnce(outbound, 1));
          await endsAlike(await connectPair(bed, { role }), outbound);
        }));
    }
  });

  describe(`${role}, two paths`, { skip }, () => {
    for (const outbound of [true, false]) {
      const direction = outbound ? 'to the kernel' : 'from the kernel';
      test(`payload ${direction} is changed, with checksums: every byte arrives as it was sent`, () =>
        withBed({ devices: 2, ip: [MANY], config: { checksum: true } }, async bed => {
          const pair = await twoSubflows(bed, role, true);
          install(bed, damageOnce(outbound, 5));
          await exchange(pair, 4 * MIB);
        }));
      test(`options ${direction} vanish on the second path`, () =>
        withBed({ devices: 2, ip: [MANY] }, async bed => {
          const pair = await twoSubflows(bed, role, true);
          await exchangeHalf(pair, MIB);
          install(
            bed,
            strip(p => p.device === 1 && p.outbound === outbound),
          );
          await exchange(pair, 4 * MIB);
        }));
    }
  });
}

describe('our client', { skip }, () => {
  for (const { title, lost } of [
    { title: 'SYNs with the option are lost', lost: (p: Packet) => isSyn(p) && !isSynAck(p) },
    { title: 'SYN/ACKs with the option are lost', lost: isSynAck },
  ]) {
    test(`${title}: TCP by a plain SYN, and the kernel keeps nothing of the first`, () =>
      withBed({}, async bed => {
        install(bed, p => !(lost(p) && optionAt(p) >= 0));
        const pair = await connectPair(bed, { role: 'our client' });
        assert.deepEqual(pair.flow.multipath().fallback, { cause: 'syn-unanswered', seenBy: 'local' });
        assert.deepEqual(bed.halfOpen(), []);
        await completes(bed, pair);
      }));
  }
});

/** Everything arrives, both ways, as Multipath TCP or as TCP. */
async function completes(bed: Bed, { flow, socket }: Pair): Promise<void> {
  const bytes = MIB;
  // The client speaks first, then the server: both directions meet the box on their own.
  const sent = await Promise.all([flow.send({ bytes, shutdown: true }), socket.receive()]);
  assert.equal(sent[1].sha256, sent[0].sha256, 'to the kernel');
  const back = await Promise.all([socket.send({ bytes, shutdown: true }), flow.receive()]);
  assert.equal(back[1].sha256, back[0].sha256, 'from the kernel');
  assert.equal(await flow.closed(), null);
  assert.equal((await bed.moved())['MPFailTx'] ?? 0, 0);
}

/** The stream comes through as plain TCP would have brought it – changed in one place – or both ends get an error. */
async function endsAlike({ flow, socket }: Pair, outbound: boolean): Promise<void> {
  const bytes = 4 * MIB;
  const outcome = async (promise: Promise<{ bytes: number }>): Promise<number | 'error'> =>
    promise.then(
      transfer => transfer.bytes,
      () => 'error' as const,
    );
  const [sent, received] = outbound
    ? await Promise.all([outcome(flow.send({ bytes, shutdown: true })), outcome(socket.receive())])
    : await Promise.all([outcome(socket.send({ bytes, shutdown: true })), outcome(flow.receive())]);
  if (received !== 'error' && sent !== 'error') assert.equal(received, bytes);
  else assert.equal(received, 'error');
}
