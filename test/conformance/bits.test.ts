// Reserved bits of every MPTCP option (RFC 8684 §3): 0 in all that two hosts send in a long conversation, and
// ignored when a middlebox sets them all.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Mp, writeChecksum } from '../../src/wire/index.ts';
import { has, isRst, isSyn, type Packet, World } from '../mptcp/world.ts';

const IP = 20;
const MPTCP = 30;

/** The MPTCP options of an IPv4 packet, as views of its bytes. */
function optionsOf(packet: Packet): Uint8Array[] {
  const { bytes } = packet;
  const found: Uint8Array[] = [];
  const end = IP + (bytes[IP + 12] >> 4) * 4;
  for (let at = IP + 20; at < end && bytes[at] !== 0; ) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    if (bytes[at] === MPTCP) found.push(bytes.subarray(at, at + bytes[at + 1]));
    at += bytes[at + 1];
  }
  return found;
}

/** By subtype: the reserved bits in the octet of the subtype and in the one behind it. */
function reservedBits(option: Uint8Array): [number, number] {
  const subtype = option[2] >> 4;
  if (subtype === 1) return option.length === 24 ? [0x0f, 0xff] : [0x0e, 0];
  const bits: Record<number, [number, number]> = {
    2: [0x0f, 0xe0],
    3: [0x0e, 0],
    4: [0x0f, 0],
    5: [0x0e, 0],
    6: [0x0f, 0xff],
    7: [0x0f, 0xff],
    8: [0x0e, 0],
  };
  return bits[subtype] ?? [0, 0];
}

/** A conversation with every option in it: two paths, an announcement, priorities, a reset, a path lost, MP_FASTCLOSE. */
function converse(world: World): void {
  world.establish(3);
  world.transfer('client', 50_000);
  world.transfer('server', 50_000);
  world.client.connection.setBackup(1, true, world.now);
  world.server.connection.setBackup(0, true, world.now);
  world.run(200);
  world.client.host.removeInterface(world.pathInterface(1), world.now);
  world.run(5000);
  world.transfer('client', 5000);
}

function spacious(): World {
  return new World({
    paths: 2,
    advertise: [{ address: '10.9.0.2' }],
    serverAddresses: ['10.9.0.1', '10.9.0.2'],
    client: { checksum: true },
    server: { maxSubflows: 3 },
  });
}

test('A4a, C6b, C6e, D1, J3a, J3b, S1c: reserved bits are 0 in every option sent', () => {
  const world = spacious();
  converse(world);
  // One more than the server takes: a refusal with MP_TCPRST.
  for (const address of ['10.7.0.1', '10.8.0.1']) {
    world.client.connection.addPath({ interfaceId: world.addClientInterface(address) }, world.now);
  }
  world.run(3000);
  world.client.connection.abort(world.now);
  world.untilGone(130_000);
  const seen = new Set<number>();
  for (const packet of world.log) {
    for (const option of optionsOf(packet)) {
      const [low, next] = reservedBits(option);
      assert.equal(option[2] & low, 0, `subtype ${option[2] >> 4}`);
      assert.equal(option[3] & next, 0, `subtype ${option[2] >> 4}, second octet`);
      // MP_CAPABLE: version 1; A and H alone.
      if (option[2] >> 4 === 0) assert.deepEqual([option[2], option[3]], [0x01, 0x81]);
      seen.add(option[2] >> 4);
    }
  }
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4, 5, 7, 8]);
});

test('A4b, S1d: reserved bits that are set on the way change nothing', () => {
  const world = spacious();
  world.rules.push(packet => {
    const options = optionsOf(packet);
    // From a copy, for the log keeps what was sent.
    packet.bytes = packet.bytes.slice();
    for (const option of optionsOf(packet)) {
      const [low, next] = reservedBits(option);
      option[2] |= low;
      option[3] |= next;
    }
    if (options.length > 0) writeChecksum(packet.bytes, 0, packet.bytes.length);
  });
  converse(world);
  assert.equal(world.client.connection.multipath().active, true);
  assert.ok(world.client.host.counters.AddAddr > 0);
  assert.ok(world.server.host.counters.EchoAdd > 0);
  assert.ok(world.server.host.counters.MPPrioRx > 0);
  assert.ok(world.server.host.counters.RmAddr > 0);
  // Refused for want of room, which is transient (flag T) whatever stands beside it: tried again.
  for (const address of ['10.7.0.1', '10.8.0.1']) {
    world.client.connection.addPath({ interfaceId: world.addClientInterface(address) }, world.now);
  }
  world.run(40_000);
  const refusals = world.packets('server', s => isRst(s) && has(s, Mp.TCPRST));
  const refused = new Set(refusals.map(p => p.segment.dst3));
  assert.ok(refused.size > 0);
  for (const address of refused) {
    const syns = world.packets('client', s => isSyn(s) && s.src3 === address);
    assert.ok(syns.length >= 2, 'tried once only after a transient refusal');
  }
  world.client.connection.abort(world.now);
  world.untilGone(130_000);
});
