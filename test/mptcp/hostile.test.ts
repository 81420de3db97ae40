// Packets that a middlebox or an attacker has changed in any field, checksums made right: whatever they do,
// nothing is thrown, nothing spins, and when it is over no timer and no connection is left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Segment } from '../../src/wire/index.ts';
import { Dice } from './dice.ts';
import { alter, bytesOf, type Packet, World } from './world.ts';

const numbers = [
  'seq',
  'ack',
  'window',
  'flags',
  'tsVal',
  'tsEcr',
  'dataAckHi',
  'dataAckLo',
  'dsnHi',
  'dsnLo',
  'ssn',
  'dataLength',
  'checksum',
  'failDsnLo',
  'fastcloseKeyLo',
  'capableFlags',
  'capableVersion',
  'senderKeyLo',
  'receiverKeyLo',
  'joinToken',
  'joinNonce',
  'joinAddressId',
  'addAddrId',
  'addAddr3',
  'addAddrPort',
  'addAddrHmacLo',
  'rstReason',
  'dssFlags',
  'mp',
  'windowScale',
  'mss',
] as const;

/** Changes one thing; what cannot be encoded stays as it was. */
function mutate(packet: Packet, dice: Dice): void {
  const before = packet.bytes;
  try {
    alter(packet, (s: Segment, payload) => {
      const name = numbers[dice.next(numbers.length)];
      const record = s as unknown as Record<string, number>;
      switch (dice.next(4)) {
        case 0:
          record[name] = (record[name] + 1) >>> 0;
          break;
        case 1:
          record[name] = (record[name] - 1) >>> 0;
          break;
        case 2:
          record[name] = (record[name] ^ (1 << dice.next(32))) >>> 0;
          break;
        default:
          if (payload.length > 0) payload[dice.next(payload.length)] ^= 1 + dice.next(255);
          else s.flags ^= 1 << dice.next(8);
      }
      if (name === 'flags') s.flags &= 0xff;
      if (name === 'mp') s.mp &= 0x1ff;
      if (name === 'window') s.window &= 0xffff;
    });
  } catch {
    packet.bytes = before;
  }
}

function play(seed: number): void {
  const dice = new Dice(seed);
  const paths = 1 + dice.next(3);
  const world = new World({
    paths,
    seed,
    client: {
      checksum: dice.next(3) === 0,
      closeTimeoutMs: 5000,
      dataTimeoutMs: 20_000,
      keepAliveIdleMs: 10_000,
    },
    server: { closeTimeoutMs: 5000, dataTimeoutMs: 20_000 },
    ...(dice.next(3) === 0 ? { advertise: [{ address: '10.9.0.1', port: 99 }] } : {}),
  });
  const rate = [3, 10, 40][dice.next(3)];
  let until = 4000;
  world.rules.push(packet => {
    if (world.now - 1000 > until || dice.next(rate) !== 0) return undefined;
    switch (dice.next(5)) {
      case 0:
        return 'drop';
      case 1:
        return { delayMs: dice.next(300) };
      case 2:
        return { again: 1 + dice.next(2) };
      default:
        mutate(packet, dice);
        return undefined;
    }
  });
  world.connect();
  const steps = 0;
  world.client.send(bytesOf(dice.next(200_000)), world.now, { finish: dice.next(2) === 0 });
  world.server.onConnected = c => {
    const bytes = bytesOf(dice.next(100_000));
    c.write(bytes, 0, bytes.length, world.now);
    if (dice.next(2) === 0) c.shutdown(world.now);
  };
  for (let i = steps; i < 12; i++) {
    world.run(dice.next(800));
    switch (dice.next(8)) {
      case 0:
        world.client.connection.setBackup(dice.next(paths), dice.next(2) === 0, world.now);
        break;
      case 1:
        world.client.connection.removePath(world.pathInterface(dice.next(paths)), world.now);
        break;
      case 2:
        world.client.host.removeInterface(world.pathInterface(dice.next(paths)), world.now);
        break;
      case 3:
        world.client.connection.addPath(
          { interfaceId: world.addClientInterface(`10.${50 + i}.0.1`) },
          world.now,
        );
        break;
      default:
    }
  }
  until = 0;
  const limit = world.log.length + 200_000;
  for (const c of [...world.client.connections, ...world.server.connections]) {
    if (dice.next(3) === 0) c.abort(world.now);
    else c.close(world.now);
  }
  world.untilGone(2_000_000);
  assert.ok(world.log.length < limit, 'a storm of packets');
}

const first = Number(process.env['MPTCP_HOSTILE_FROM'] ?? 1);
const count = Number(process.env['MPTCP_HOSTILE_COUNT'] ?? 80);

test(`${count} conversations with changed packets, from seed ${first}`, () => {
  for (let seed = first; seed < first + count; seed++) {
    try {
      play(seed);
    } catch (error) {
      throw new Error(`MPTCP_HOSTILE_FROM=${seed} MPTCP_HOSTILE_COUNT=1: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
});
