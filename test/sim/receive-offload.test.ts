import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventQueue } from '../../src/sim/clock.ts';
import { Fingerprint } from '../../src/sim/fingerprint.ts';
import { Network } from '../../src/sim/network.ts';
import { ReceiveOffload } from '../../src/sim/receive-offload.ts';
import { decodePacket, Flag, Segment, verifyChecksum } from '../../src/wire/index.ts';
import { packet } from './packets.ts';

const network = new Network({ queue: new EventQueue(), fingerprint: new Fingerprint() });
const to = network.addInterface({ host: 0, address: '10.2.0.1', mtu: 1500, checksumOffload: false });
const FLOW = { from: '10.1.0.1', to: '10.2.0.1', payloadLength: 1000, tsVal: 5 };

function merged(packets: Uint8Array[]): Uint8Array[] {
  const delivered: Uint8Array[] = [];
  const offload = new ReceiveOffload((_to, bytes, offset, length) => {
    delivered.push(bytes.slice(offset, offset + length));
  });
  for (const one of packets) offload.packet(to, one, 0, one.length);
  offload.flush();
  return delivered;
}

for (const flow of [FLOW, { ...FLOW, from: 'fd00:1::1', to: 'fd00:2::1' }]) {
  test(`pieces that follow on become one packet: ${flow.from}`, () => {
    const pieces = [0, 1, 2, 3].map(i => packet({ ...flow, seq: 77 + i * 1000 }));
    pieces.push(packet({ ...flow, seq: 4077, payloadLength: 400, flags: Flag.ACK | Flag.PSH }));
    const [whole, ...more] = merged(pieces);
    assert.equal(more.length, 0);
    assert.ok(verifyChecksum(whole, 0, whole.length));
    const segment = new Segment();
    assert.ok(decodePacket(segment, whole, 0, whole.length));
    assert.equal(segment.payloadLength, 4400);
    assert.equal(segment.seq, 77);
    assert.equal(segment.flags, Flag.ACK | Flag.PSH);
    assert.equal(segment.tsVal, 5);
    for (let i = 0; i < 4400; i++) assert.equal(whole[segment.payloadOffset + i], (i % 1000) & 0xff);
  });
}

const first = packet({ ...FLOW, seq: 1 });
for (const [why, second] of [
  ['a gap', packet({ ...FLOW, seq: 1002 })],
  ['an overlap', packet({ ...FLOW, seq: 1000 })],
  ['other options', packet({ ...FLOW, seq: 1001, tsVal: 6 })],
  ['no options', packet({ from: FLOW.from, to: FLOW.to, payloadLength: 1000, seq: 1001 })],
  ['another acknowledgement', packet({ ...FLOW, seq: 1001, ack: 2 })],
  ['a larger piece', packet({ ...FLOW, seq: 1001, payloadLength: 1001 })],
  ['another source', packet({ ...FLOW, from: '10.1.0.2', seq: 1001 })],
  ['a mark of congestion', packet({ ...FLOW, seq: 1001, ecn: 3 })],
  ['no payload', packet({ ...FLOW, seq: 1001, payloadLength: 0 })],
  ['a RST', packet({ ...FLOW, seq: 1001, flags: Flag.RST | Flag.ACK })],
] as const) {
  test(`not merged: ${why}`, () => {
    assert.deepEqual(merged([first, second]), [new Uint8Array(first), new Uint8Array(second)]);
  });
}

test('not merged: a damaged piece, and whatever follows a PSH or a short piece', () => {
  const damaged = packet({ ...FLOW, seq: 1001 });
  damaged[100] ^= 4;
  assert.equal(merged([first, damaged]).length, 2);
  const pushed = packet({ ...FLOW, seq: 1001, flags: Flag.ACK | Flag.PSH });
  assert.equal(merged([first, pushed, packet({ ...FLOW, seq: 2001 })]).length, 2);
  const short = packet({ ...FLOW, seq: 1001, payloadLength: 999 });
  assert.equal(merged([first, short, packet({ ...FLOW, seq: 2000 })]).length, 2);
});

test('a merged packet never exceeds 65,535 bytes', () => {
  const pieces = Array.from({ length: 100 }, (_, i) => packet({ ...FLOW, seq: 1 + i * 1000 }));
  const delivered = merged(pieces);
  const segment = new Segment();
  let payload = 0;
  for (const one of delivered) {
    assert.ok(one.length <= 65_535);
    assert.ok(decodePacket(segment, one, 0, one.length) && verifyChecksum(one, 0, one.length));
    payload += segment.payloadLength;
  }
  assert.equal(payload, 100_000);
  assert.equal(delivered.length, 2);
});
