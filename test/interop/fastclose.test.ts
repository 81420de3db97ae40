// MP_FASTCLOSE in both of its forms, on an ACK and on a RST, from either side; and subflows that our side resets.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Flag } from '../../src/wire/index.ts';
import { type Bed, skip, withBed } from './bed.ts';
import {
  connectPair,
  eventually,
  exchange,
  exchangeHalf,
  greet,
  handshakeCounters,
  twoSubflows,
  VARIANTS,
} from './cell.ts';
import { type Box, damageOnce, install, optionAt, removeOptions } from './packets.ts';

const MIB = 1024 * 1024;
const ECONNRESET = 104;
const FASTCLOSE = 7;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';

for (const { title, role, over } of VARIANTS) {
  describe(title, { skip }, () => {
    test('Z1a: we abort what is established: MP_FASTCLOSE on an ACK, which the kernel answers', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, { role });
        await greet(pair);
        const forms = watchForms(bed);
        pair.flow.abort();
        await assert.rejects(pair.socket.receive(), { errno: ECONNRESET });
        await pair.flow.closed();
        assert.deepEqual(forms, ['out ACK']);
        await bed.assertCounters({ ...handshakeCounters(role), MPFastcloseRx: 1, MPRstTx: 1 });
      }));

    test('Z2: the kernel aborts: MP_FASTCLOSE on a RST, as it always does', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, { role });
        await greet(pair);
        const forms = watchForms(bed);
        await pair.socket.close({ abort: true });
        assert.equal(await pair.flow.closed(), 'ECONNRESET');
        assert.deepEqual(forms, ['in RST']);
        assert.equal(bed.ours.host.counters.MPFastcloseRx, 1);
        await bed.assertCounters({ ...handshakeCounters(role), MPFastcloseTx: 1, MPRstTx: 1 });
      }));

    test('Z1a: MP_FASTCLOSE on an ACK from the kernel: we answer with a RST', () =>
      withBed(over, async bed => {
        const pair = await connectPair(bed, { role });
        await greet(pair);
        let answered = false;
        install(bed, packet => {
          const reset = (packet.flags & Flag.RST) !== 0;
          if (packet.outbound && reset) answered = true;
          if (!packet.outbound && reset && optionAt(packet, FASTCLOSE) >= 0) {
            packet.bytes[packet.tcp + 13] = Flag.ACK;
          }
          return true;
        });
        await pair.socket.close({ abort: true });
        assert.equal(await pair.flow.closed(), 'ECONNRESET');
        await eventually(() => answered);
        assert.equal(bed.ours.host.counters.MPFastcloseRx, 1);
        await bed.assertCounters({ ...handshakeCounters(role), MPFastcloseTx: 1, MPRstTx: 1 });
      }));

    test('Z1b: our MP_FASTCLOSE on ACKs is lost: the last leaves on a RST', () =>
      withBed({ ...over, config: { fastcloseRetries: 1 } }, async bed => {
        const pair = await connectPair(bed, { role });
        await greet(pair);
        const forms = watchForms(bed, { loseAcks: true });
        pair.flow.abort();
        await assert.rejects(pair.socket.receive(), { errno: ECONNRESET });
        await pair.flow.closed();
        assert.deepEqual(forms, ['out ACK', 'out ACK', 'out RST']);
        await bed.assertCounters({ ...handshakeCounters(role), MPFastcloseRx: 1 });
      }));

    test('Z2: we abort before the peer has answered: MP_FASTCLOSE on a RST', () =>
      withBed(over, async bed => {
        const forms = watchForms(bed);
        const pair = await connectPair(bed, { role });
        pair.flow.abort();
        await assert.rejects(pair.socket.receive(), { errno: ECONNRESET });
        await pair.flow.closed();
        assert.deepEqual(forms, ['out RST']);
        // Linux as a client that has had no DATA_ACK takes a segment without DSS for a sign of plain TCP: reset it is
        // all the same.
        const heard: Record<string, number> =
          role === 'our client' ? { MPFastcloseRx: 1 } : { MPCapableDataFallback: 1 };
        await bed.assertCounters({ ...handshakeCounters(role), ...heard });
      }));

    const cause = over.checksum ? 'altered payload' : 'options that vanish';
    test(`a subflow that we reset, for ${cause}: the connection goes on without it`, () =>
      withBed({ ...over, devices: 2, ip: [MANY] }, async bed => {
        const pair = await twoSubflows(bed, role, true);
        await exchangeHalf(pair, MIB);
        let resets = 0;
        let damage = vanish;
        install(bed, (packet, seen) => {
          if (packet.outbound && (packet.flags & Flag.RST) !== 0) resets++;
          return packet.device === 1 ? damage(packet, seen) : true;
        });
        // Which path carries how much is for the schedulers to say.
        while (!pair.flow.notices.some(notice => notice.type === 'subflowclose')) {
          // What was damaged before may have been a repetition, which nobody looks at.
          if (over.checksum) damage = damageOnce(false, 1);
          await exchangeHalf(pair, MIB);
        }
        await exchange(pair, MIB);
        assert.equal(await pair.flow.closed(), null);
        assert.ok(resets > 0);
        const moved = await bed.moved();
        assert.equal(over.checksum ? moved['MPFailRx'] : moved['MPRstRx'], 1);
      }));
  });
}

/** Packets with MP_FASTCLOSE from now on: which way, and in which form. */
function watchForms(bed: Bed, { loseAcks = false } = {}): string[] {
  const forms: string[] = [];
  install(bed, packet => {
    if (optionAt(packet, FASTCLOSE) < 0) return true;
    const form = (packet.flags & Flag.RST) !== 0 ? 'RST' : 'ACK';
    forms.push(`${packet.outbound ? 'out' : 'in'} ${form}`);
    return !(loseAcks && form === 'ACK');
  });
  return forms;
}

/** Takes the options of Multipath TCP out of what the kernel sends. */
const vanish: Box = packet => {
  if (!packet.outbound) removeOptions(packet);
  return true;
};
