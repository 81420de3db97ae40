// One below, at, one above: Fast Open's option octet by octet, buffers of just the size, what is read of a packet that
// lies between other bytes, and sums whose carries carry again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Datagram,
  DssFlag,
  decapsulate,
  decodePacket,
  dssLength,
  encodeHeaders,
  Flag,
  fastOpenLength,
  foldChecksum,
  formatWords,
  headerLength,
  Mp,
  Segment,
  splitPacket,
} from '../../src/wire/index.ts';
import { packetEnd } from '../../src/wire/ip.ts';
import { assemble, bytes, hex } from './assemble.ts';

test('RFC 7413 §4.1.1: a cookie has 4 to 16 octets, an even number; none is a request; once, and on a SYN', () => {
  const cookie = '0102030405060708090a0b0c0d0e0f101112';
  const option = (cookieBytes: number): string =>
    `22${(2 + cookieBytes).toString(16).padStart(2, '0')}${cookie.slice(0, 2 * cookieBytes)}`;
  for (const [cookieBytes, legal] of [
    [0, true],
    [2, false],
    [3, false],
    [4, true],
    [5, false],
    [6, true],
    [15, false],
    [16, true],
    [17, false],
    [18, false],
  ] as const) {
    for (const flags of [Flag.SYN, Flag.SYN | Flag.ACK, Flag.ACK]) {
      const packet = assemble({ flags, options: bytes(option(cookieBytes)) });
      const segment = new Segment();
      assert.equal(decodePacket(segment, packet, 0, packet.length), true);
      const taken = legal && (flags & Flag.SYN) !== 0;
      assert.equal(segment.fastOpenLength, taken ? cookieBytes : -1, `${cookieBytes}`);
      assert.equal(segment.badOptions, taken ? 0 : 1);
      if (!taken) continue;
      assert.equal(
        hex(segment.fastOpenCookie.slice(0, cookieBytes)),
        hex(bytes(cookie).slice(0, cookieBytes)),
      );
      // Written again, it is the same, padded to whole words.
      const out = new Uint8Array(100);
      const length = encodeHeaders(segment, out, 0);
      assert.equal(length, 40 + fastOpenLength(cookieBytes, false));
      const padding = '01'.repeat(fastOpenLength(cookieBytes, false) - 2 - cookieBytes);
      assert.equal(hex(out.slice(40, length)), hex(bytes(option(cookieBytes) + padding)));
    }
  }
  const twice = assemble({ flags: Flag.SYN, options: bytes(`${option(4)}${option(6)}`) });
  const segment = new Segment();
  assert.equal(decodePacket(segment, twice, 0, twice.length), true);
  assert.deepEqual([segment.fastOpenLength, segment.badOptions], [4, 1]);
  const requests = assemble({ flags: Flag.SYN, options: bytes(`${option(0)}${option(6)}`) });
  assert.equal(decodePacket(segment, requests, 0, requests.length), true);
  assert.deepEqual([segment.fastOpenLength, segment.badOptions], [0, 1]);
});

test('an option of Fast Open takes its two octets and the cookie, rounded up to words', () => {
  const lengths = (experimental: boolean): number[] =>
    [0, 2, 3, 4, 6, 7, 8, 16].map(cookieBytes => fastOpenLength(cookieBytes, experimental));
  assert.deepEqual(lengths(false), [4, 4, 8, 8, 8, 12, 12, 20]);
  // Two more under the number of experiments.
  assert.deepEqual(lengths(true), [4, 8, 8, 8, 12, 12, 12, 20]);
});

test('RFC 8684 §3.3: a checksum of 0 is one, and takes its two octets', () => {
  assert.deepEqual([dssLength(DssFlag.MAP, -1), dssLength(DssFlag.MAP, 0)], [14, 16]);
});

test('headers fill a buffer of their size, and leave the checksum 0 whatever was there', () => {
  const segment = Object.assign(new Segment(), { ipVersion: 4, src2: 0xffff, dst2: 0xffff, flags: Flag.ACK });
  assert.equal(headerLength(segment), 40);
  const out = new Uint8Array(41).fill(0xee);
  assert.equal(encodeHeaders(segment, out, 1), 40);
  assert.deepEqual([...out.slice(37, 41)], [0, 0, 0, 0], 'checksum and urgent pointer');
  assert.throws(() => encodeHeaders(segment, out, 2), /room/);
});

test('pieces and packets of datagrams fill a buffer of their size', () => {
  const packet = assemble({ payload: new Uint8Array(30) });
  for (const [room, fits] of [
    [70, true],
    [69, false],
  ] as const) {
    const sink = { buffer: new Uint8Array(room), offset: 0, checksum: true, piece: () => {} };
    const split = (): number => splitPacket(packet, 0, packet.length, 30, sink);
    if (fits) assert.equal(split(), 1);
    else assert.throws(split, /room/);
  }
  const payload = bytes('50 10 00 03  00 00 00 01  00 00 00 02  61 62 63');
  const datagram = (fields: Partial<Datagram>): Datagram => ({
    ...{ ipVersion: 4, src0: 0, src1: 0, src2: 0xffff, src3: 1, dst0: 0, dst1: 0, dst2: 0xffff, dst3: 2 },
    ...{ srcPort: 1, dstPort: 2, dscp: 0, ecn: 0, ttl: 64, bytes: payload, offset: 0, length: 15 },
    ...{ out: new Uint8Array(43), outOffset: 0 },
    ...fields,
  });
  assert.equal(decapsulate(datagram({})), 43);
  assert.throws(() => decapsulate(datagram({ out: new Uint8Array(42) })), /room/);
  // A datagram that ends behind its bytes, though it begins like one.
  const later = Uint8Array.from([...new Array<number>(5).fill(0), ...payload]);
  assert.equal(decapsulate(datagram({ bytes: later, offset: 5 })), 43);
  assert.equal(decapsulate(datagram({ bytes: later, offset: 5, length: 16 })), 0);
});

test('a packet of no version that there is ends nowhere, however long', () => {
  const packet = assemble({ version: 6, payload: new Uint8Array(20) });
  assert.equal(packetEnd(packet, 0, packet.length), packet.length);
  packet[0] = 0x50;
  assert.equal(packetEnd(packet, 0, packet.length), -1);
  packet[0] = 0x70;
  assert.equal(packetEnd(packet, 0, packet.length), -1);
});

test('an IPv6 header that points behind the packet leads to none, whatever lies there', () => {
  const inner = assemble({ version: 6 });
  // 48 octets whose extension header leaves the packet; behind it lies a TCP header.
  const packet = Uint8Array.from([...inner.slice(0, 40), 6, 0, 0, 0, 0, 0, 0, 0, ...inner.slice(40)]);
  packet[6] = 60;
  const segment = new Segment();
  for (const [length, taken] of [
    [28, true],
    [27, false],
    [8, false],
    [7, false],
  ] as const) {
    packet[5] = length;
    assert.equal(decodePacket(segment, packet, 0, packet.length), taken, `${length}`);
  }
});

test('RFC 1071 §2: carries that make a carry again', () => {
  // 0xffff + 0xffff + 0xffff + 2 = 0x2ffff; 0xffff + 2 = 0x10001; 1 + 1 = 2.
  assert.equal(foldChecksum(0x2_ffff * 0x1_0000_0000 + 0xffff_ffff), 0xfffd);
});

test('words as text: each in its place', () => {
  assert.equal(formatWords(Int32Array.of(0x10002, 0x30004, 0x50006, 0x70008)), '1:2:3:4:5:6:7:8');
});

test('RFC 8684 §3.1 and §3.3.1: a checksum of 0 is written as one', () => {
  const ack = { ipVersion: 4, src2: 0xffff, dst2: 0xffff, flags: Flag.ACK, payloadLength: 1 };
  for (const [checksum, tail] of [
    [0, '00 00'],
    [1, '00 01'],
    [-1, '01 01'],
  ] as const) {
    const out = new Uint8Array(100);
    const dss = Object.assign(new Segment(), { ...ack, mp: Mp.DSS, dssFlags: DssFlag.MAP, checksum });
    dss.dataLength = 1;
    const length = encodeHeaders(dss, out, 0);
    assert.equal(hex(out.slice(length - 2, length)), tail);
    const capable = Object.assign(new Segment(), { ...ack, mp: Mp.CAPABLE, capableLength: 24, checksum });
    capable.dataLength = 1;
    if (checksum === -1) assert.throws(() => encodeHeaders(capable, out, 0), /checksum/);
    else assert.equal(hex(out.slice(encodeHeaders(capable, out, 0) - 2).slice(0, 2)), tail);
  }
});
