// Address signals of a server made by hand: ADD_ADDR with its HMAC and REMOVE_ADDR, put on the wire of a world as
// if its server had sent them.

import { createHmac } from 'node:crypto';
import { Mp, parseAddress, Segment } from '../../src/wire/index.ts';
import { has, type World } from '../mptcp/world.ts';

/** The newest packet of the server on the first subflow, without payload, as the body of another. */
function newest(world: World): Segment {
  const port = world.packets('client')[0].segment.srcPort;
  const [from] = world.packets('server', s => s.dstPort === port && s.payloadLength === 0).slice(-1);
  const segment = Object.assign(new Segment(), from.segment, { sackCount: 0, dssFlags: 0 });
  const last = world.packets('client', s => s.srcPort === port).at(-1)?.segment as Segment;
  // What TCP would take: in order, and of the newest time.
  segment.seq = last.ack;
  segment.hasTimestamps = false;
  return segment;
}

/** ADD_ADDR from the server, with the right HMAC but for one of its 64 bits. */
export function announce(
  world: World,
  address: { id: number; address: string; port?: number },
  wrongBit = -1,
): void {
  const keys = world.packets('client', s => has(s, Mp.CAPABLE) && s.capableLength >= 20)[0].segment;
  const key = Buffer.alloc(16);
  key.writeUInt32BE(keys.receiverKeyHi, 0);
  key.writeUInt32BE(keys.receiverKeyLo, 4);
  key.writeUInt32BE(keys.senderKeyHi, 8);
  key.writeUInt32BE(keys.senderKeyLo, 12);
  const words = new Int32Array(4);
  const family = parseAddress(address.address, words) as 4 | 6;
  const message = Buffer.alloc(family === 4 ? 7 : 19);
  message[0] = address.id;
  for (let i = 0; i < (family === 4 ? 1 : 4); i++)
    message.writeInt32BE(words[family === 4 ? 3 : i], 1 + i * 4);
  message.writeUInt16BE(address.port ?? 0, message.length - 2);
  const digest = createHmac('sha256', key).update(message).digest();
  if (wrongBit >= 0) digest[24 + (wrongBit >> 3)] ^= 1 << (wrongBit & 7);
  const [addAddr0, addAddr1, addAddr2, addAddr3] = words;
  const segment = Object.assign(newest(world), {
    mp: Mp.ADD_ADDR,
    addAddrId: address.id,
    addAddrEcho: false,
    addAddrFamily: family,
    addAddrPort: address.port ?? 0,
    addAddrHmacHi: digest.readUInt32BE(24),
    addAddrHmacLo: digest.readUInt32BE(28),
    ...{ addAddr0, addAddr1, addAddr2, addAddr3 },
  });
  world.inject('server', segment);
  world.run(50);
}

/** REMOVE_ADDR from the server. */
export function withdraw(world: World, ids: number[]): void {
  const segment = Object.assign(newest(world), { mp: Mp.REMOVE_ADDR, removeCount: ids.length });
  segment.removeIds.set(ids);
  world.inject('server', segment);
  world.run(50);
}
