/**
 * TCP-in-UDP: a packet laid out by hand, the round trip of any packet, and datagrams that are not.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Datagram,
  decapsulate,
  decodePacket,
  encapsulate,
  encodeHeaders,
  Flag,
  optionsLength,
  Segment,
  verifyChecksum,
  writeChecksum,
} from '../../src/wire/index.ts';
import { arbitrarySegment, meaning } from './arbitrary-segment.ts';
import { assemble, bytes, hex } from './assemble.ts';

/** The addresses and ports of `assemble`, or those of a segment. */
function datagram(payload: Uint8Array, fields: Partial<Datagram> = {}): Datagram {
  const out = new Uint8Array(70_000).fill(0xee);
  const place = { bytes: payload, offset: 0, length: payload.length, out, outOffset: 0 };
  const source = {
    ipVersion: 4,
    src0: 0,
    src1: 0,
    src2: 0xffff,
    src3: 0xc0000201 | 0,
    srcPort: 0x1234,
  } as const;
  const destination = { dst0: 0, dst1: 0, dst2: 0xffff, dst3: 0xc6336402 | 0, dstPort: 443 };
  return { ...source, ...destination, dscp: 0, ecn: 0, ttl: 64, ...place, ...fields };
}

/** sequence and acknowledgement 1 and 2, window 3, no options. */
const PAYLOAD = '50 10 00 03  00 00 00 01  00 00 00 02  61 62 63';

describe('encapsulate', () => {
  it('puts offset, flags and window first, then the numbers, options and data', () => {
    const packet = assemble({ flags: 0x18, options: bytes('01 01 01 01'), payload: bytes('61 62 63') });
    const start = encapsulate(packet, 0, packet.length);
    assert.equal(start, 28);
    assert.equal(hex(packet.slice(start)), '60 18 20 00 fe dc ba 98 89 ab cd ef 01 01 01 01 61 62 63');
  });

  it('refuses urgent segments and what is no TCP packet, changing nothing', () => {
    const urgent = assemble({ flags: Flag.ACK | Flag.URG });
    const before = urgent.slice();
    assert.equal(encapsulate(urgent, 0, urgent.length), -1);
    assert.deepEqual(urgent, before);
    assert.equal(encapsulate(new Uint8Array(60), 0, 60), -1);
    const padded = Uint8Array.from([...assemble({}), 0, 0]);
    assert.equal(encapsulate(padded, 0, padded.length), -1);
  });
});

describe('decapsulate', () => {
  it('builds the packet around the payload', () => {
    const given = datagram(bytes(PAYLOAD));
    const length = decapsulate(given);
    assert.equal(length, 43);
    const segment = new Segment();
    assert.ok(decodePacket(segment, given.out, 0, length));
    assert.deepEqual([segment.seq, segment.ack, segment.window, segment.flags], [1, 2, 3, Flag.ACK]);
    assert.deepEqual([segment.srcPort, segment.dstPort], [0x1234, 443]);
    assert.equal(hex(given.out.slice(40, 43)), '61 62 63');
    assert.equal(given.out[43], 0xee);
    writeChecksum(given.out, 0, length);
    assert.ok(verifyChecksum(given.out, 0, length));
  });

  it('gives back any packet that was encapsulated', () => {
    fc.assert(
      fc.property(arbitrarySegment, fc.nat(7), fc.boolean(), (segment, shift, whole) => {
        segment.flags &= ~Flag.URG;
        segment.urgent = 0;
        fc.pre(optionsLength(segment) <= 40);
        const packet = new Uint8Array(70_000);
        const headerBytes = encodeHeaders(segment, packet, shift);
        const end = shift + headerBytes + segment.payloadLength;
        for (let i = shift + headerBytes; i < end; i++) packet[i] = i * 13;
        const original = packet.slice(shift, end);
        const start = encapsulate(packet, shift, end - shift);
        // As a datagram of its own, and as a part of a larger buffer.
        const place = whole
          ? { bytes: packet.slice(start, end), offset: 0, length: end - start }
          : { bytes: packet, offset: start, length: end - start };
        const given = datagram(place.bytes, { ...addressesOf(segment), ...place, outOffset: shift });
        const length = decapsulate(given);
        assert.deepEqual(given.out.slice(shift, shift + length), original);
        const back = new Segment();
        assert.ok(decodePacket(back, given.out, shift, length));
        assert.deepEqual(meaning(back), meaning(segment));
      }),
      { numRuns: 500 },
    );
  });

  it('makes nothing of short datagrams', () => {
    const payload = bytes(PAYLOAD);
    for (let length = 0; length < 12; length++) {
      assert.equal(decapsulate(datagram(payload.slice(0, length))), 0);
    }
    assert.equal(decapsulate(datagram(payload.slice(0, 12))), 40);
    assert.equal(decapsulate(datagram(payload, { offset: 5 })), 0);
    assert.equal(decapsulate(datagram(payload, { offset: -1, length: 15 })), 0);
  });

  it('makes nothing of a data offset out of range', () => {
    for (let offset = 0; offset < 16; offset++) {
      const payload = bytes(PAYLOAD + '00'.repeat(5)); // options up to 8 bytes are there
      payload[0] = offset << 4;
      const length = decapsulate(datagram(payload));
      assert.equal(length, offset >= 5 && offset <= 7 ? 48 : 0, `offset ${offset}`);
    }
  });

  it('makes nothing of URG, or of more than a packet holds', () => {
    const payload = bytes(PAYLOAD);
    payload[1] |= Flag.URG;
    assert.equal(decapsulate(datagram(payload)), 0);
    const long = new Uint8Array(65_535 - 27);
    long[0] = 0x50;
    assert.equal(decapsulate(datagram(long)), 0);
    assert.equal(decapsulate(datagram(long.slice(1).fill(0x50, 0, 1))), 65_535);
  });

  it('never throws on any datagram, and what it builds decodes', () => {
    const segment = new Segment();
    const given = datagram(new Uint8Array(0));
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 100 }),
        fc.constantFrom(0, 0x50, 0x60, 0x80, 0xf0),
        (data, first) => {
          if (first !== 0 && data.length > 0) data[0] = first;
          const length = decapsulate({ ...given, bytes: data, length: data.length });
          if (length > 0) assert.ok(decodePacket(segment, given.out, 0, length));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('throws when the caller has left no room', () => {
    assert.throws(() => decapsulate(datagram(bytes(PAYLOAD), { out: new Uint8Array(42) })), /room/);
  });
});

function addressesOf(s: Segment): Partial<Datagram> {
  const { ipVersion, src0, src1, src2, src3, dst0, dst1, dst2, dst3, dscp, ecn, ttl, srcPort, dstPort } = s;
  return { ipVersion, src0, src1, src2, src3, dst0, dst1, dst2, dst3, dscp, ecn, ttl, srcPort, dstPort };
}
