/**
 * IP and TCP headers and TCP's own options, against packets assembled by hand.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  headerLength,
  Mp,
  mptcpRoom,
  optionFits,
  optionsLength,
  Segment,
  sackBlocksThatFit,
  verifyChecksum,
  writeChecksum,
} from '../../src/wire/index.ts';
import { arbitrarySegment, meaning } from './arbitrary-segment.ts';
import { assemble, bytes, hex, put16 } from './assemble.ts';

function decoded(packet: Uint8Array): Segment {
  const segment = new Segment();
  assert.ok(decodePacket(segment, packet, 0, packet.length));
  return segment;
}

function refuses(packet: Uint8Array): void {
  assert.equal(decodePacket(new Segment(), packet, 0, packet.length), false);
}

function encoded(segment: Segment): Uint8Array {
  const out = new Uint8Array(70_000);
  const length = encodeHeaders(segment, out, 0);
  return out.slice(0, length);
}

describe('IP', () => {
  it('reads an IPv4 packet', () => {
    const segment = decoded(assemble({ flags: 0x18, payload: bytes('aa bb cc') }));
    assert.equal(segment.ipVersion, 4);
    assert.deepEqual(
      [segment.src0, segment.src1, segment.src2, segment.src3],
      [0, 0, 0xffff, 0xc0000201 | 0],
    );
    assert.deepEqual(
      [segment.dst0, segment.dst1, segment.dst2, segment.dst3],
      [0, 0, 0xffff, 0xc6336402 | 0],
    );
    assert.deepEqual([segment.srcPort, segment.dstPort], [0x1234, 443]);
    assert.deepEqual([segment.seq, segment.ack], [0xfedcba98, 0x89abcdef]);
    assert.equal(segment.flags, Flag.ACK | Flag.PSH);
    assert.equal(segment.window, 0x2000);
    assert.deepEqual([segment.payloadOffset, segment.payloadLength], [40, 3]);
    assert.deepEqual([segment.ecn, segment.ttl], [0, 64]);
  });

  it('reads an IPv6 packet', () => {
    const segment = decoded(assemble({ version: 6, payload: bytes('aa') }));
    assert.equal(segment.ipVersion, 6);
    assert.deepEqual([segment.src0, segment.src1, segment.src2, segment.src3], [0x20010db8, 0, 0, 1]);
    assert.deepEqual([segment.dst0, segment.dst1, segment.dst2, segment.dst3], [0x20010db8, 0, 0, 2]);
    assert.deepEqual([segment.payloadOffset, segment.payloadLength], [60, 1]);
  });

  it('reads the ECN field of both versions', () => {
    const v4 = assemble({});
    v4[1] = 0xff;
    assert.equal(decoded(v4).ecn, 3);
    const v6 = assemble({ version: 6 });
    v6[1] = 0x1f;
    assert.equal(decoded(v6).ecn, 1);
  });

  it('finds the packet at an offset, and leaves link padding out', () => {
    const packet = assemble({ payload: bytes('aa bb') });
    const buffer = new Uint8Array(200).fill(0xee);
    buffer.set(packet, 17);
    const segment = new Segment();
    assert.ok(decodePacket(segment, buffer, 17, packet.length + 6));
    assert.deepEqual([segment.payloadOffset, segment.payloadLength], [57, 2]);
    assert.ok(verifyChecksum(buffer, 17, packet.length + 6));
  });

  it('skips IPv4 options', () => {
    const plain = assemble({ payload: bytes('aa') });
    const packet = Uint8Array.from([...plain.slice(0, 20), 1, 1, 1, 0, ...plain.slice(20)]);
    packet[0] = 0x46;
    put16(packet, 2, packet.length);
    const segment = decoded(packet);
    assert.equal(segment.srcPort, 0x1234);
    assert.equal(segment.payloadLength, 1);
  });

  it('skips hop-by-hop, routing and destination headers of IPv6', () => {
    const hopByHop = '3c 01' + ' 00'.repeat(14);
    const destination = '2b 00' + ' 00'.repeat(6);
    const routing = '06 00 04 00' + ' 00'.repeat(4);
    const extensions = { next: 0, bytes: bytes(hopByHop + destination + routing) };
    const packet = assemble({ version: 6, extensions, payload: bytes('aa') });
    assert.equal(decoded(packet).payloadOffset, 40 + 32 + 20);
    assert.ok(verifyChecksum(packet, 0, packet.length));
  });

  it('refuses IPv6 on its way elsewhere, fragments and other headers', () => {
    const underWay = { next: 43, bytes: bytes('06 00 04 01 00 00 00 00') };
    refuses(assemble({ version: 6, extensions: underWay }));
    const fragment = { next: 44, bytes: bytes('06 00 00 00 00 00 00 01') };
    refuses(assemble({ version: 6, extensions: fragment }));
    const beyond = { next: 60, bytes: bytes('06 ff 00 00 00 00 00 00') };
    refuses(assemble({ version: 6, extensions: beyond }));
    const udp = assemble({ version: 6 });
    udp[6] = 17;
    refuses(udp);
  });

  it('refuses IPv4 fragments, other protocols and versions', () => {
    for (const [at, value] of [
      [6, 0x20],
      [7, 0x01],
      [9, 17],
      [0, 0x55],
      [0, 0x44],
    ]) {
      const packet = assemble({});
      packet[at] = value;
      refuses(packet);
    }
  });

  it('refuses every truncation', () => {
    for (const version of [4, 6] as const) {
      const packet = assemble({
        version,
        options: bytes('08 0a 01 02 03 04 05 06 07 08 01 01'),
        payload: bytes('aa'),
      });
      for (let length = 0; length < packet.length; length++) refuses(packet.slice(0, length));
    }
  });

  it('refuses lengths that contradict each other', () => {
    const cases: [number, number][] = [
      [2, 39], // total length shorter than the headers
      [2, 41], // longer than the packet
      [2, 0],
      [2, 19],
    ];
    for (const [at, value] of cases) {
      const packet = assemble({});
      put16(packet, at, value);
      refuses(packet);
    }
    for (const offsetByte of [0x40, 0x60, 0xf0]) {
      const packet = assemble({});
      packet[32] = offsetByte; // data offset below 5, or beyond the packet
      refuses(packet);
    }
  });

  it('refuses ranges outside the buffer', () => {
    const packet = assemble({});
    assert.equal(decodePacket(new Segment(), packet, 1, packet.length), false);
    assert.equal(decodePacket(new Segment(), packet, -1, packet.length), false);
    assert.equal(verifyChecksum(packet, 0, packet.length + 1), false);
  });
});

describe('TCP options', () => {
  it('reads what Linux puts on a SYN', () => {
    const options = bytes('02 04 05 b4  04 02 08 0a f0 00 00 01 00 00 00 00  01 03 03 07');
    const segment = decoded(assemble({ flags: Flag.SYN, options }));
    assert.equal(segment.mss, 1460);
    assert.equal(segment.sackPermitted, true);
    assert.deepEqual([segment.hasTimestamps, segment.tsVal, segment.tsEcr], [true, 0xf0000001, 0]);
    assert.equal(segment.windowScale, 7);
    assert.equal(segment.badOptions, 0);
  });

  it('writes what Linux puts on a SYN', () => {
    const segment = new Segment();
    segment.flags = Flag.SYN;
    segment.mss = 1460;
    segment.sackPermitted = true;
    segment.hasTimestamps = true;
    segment.tsVal = 0xf0000001;
    segment.tsEcr = 0;
    segment.windowScale = 7;
    segment.mp = Mp.CAPABLE;
    segment.capableLength = 4;
    segment.capableVersion = 1;
    segment.capableFlags = 1;
    const expected = '02 04 05 b4 04 02 08 0a f0 00 00 01 00 00 00 00 01 03 03 07 1e 04 01 01';
    assert.equal(hex(encoded(segment).slice(40)), expected);
    assert.equal(optionsLength(segment), 24);
    assert.equal(headerLength(segment), 64);
  });

  it('pads SACK permitted, timestamps and SACK in front', () => {
    const segment = new Segment();
    segment.flags = Flag.SYN;
    segment.sackPermitted = true;
    assert.equal(hex(encoded(segment).slice(40)), '01 01 04 02');
    segment.reset();
    segment.flags = Flag.ACK;
    segment.hasTimestamps = true;
    segment.tsVal = 1;
    segment.tsEcr = 0x80000000;
    segment.sackCount = 2;
    segment.sackLeft.set([1000, 0xfffffff0]);
    segment.sackRight.set([2000, 16]);
    const expected =
      '01 01 08 0a 00 00 00 01 80 00 00 00 ' + '01 01 05 12 00 00 03 e8 00 00 07 d0 ff ff ff f0 00 00 00 10';
    assert.equal(hex(encoded(segment).slice(40)), expected);
  });

  it('reads one to four SACK blocks', () => {
    for (let count = 1; count <= 4; count++) {
      const blocks = 'f0 00 00 01 f0 00 00 02 '.repeat(count);
      const options = Uint8Array.from([5, 2 + 8 * count, ...bytes(blocks)]);
      const segment = decoded(assemble({ options }));
      assert.equal(segment.sackCount, count);
      assert.deepEqual([...segment.sackLeft.slice(0, count)], Array(count).fill(0xf0000001));
      assert.deepEqual([...segment.sackRight.slice(0, count)], Array(count).fill(0xf0000002));
    }
  });

  it('ignores wrong lengths, SYN options on other segments, and copies', () => {
    const wrong = [
      '02 03 05',
      '03 04 07 00',
      '04 03 00',
      '08 09 00 00 00 01 00 00 00',
      '05 02',
      '05 09 00 00 00 01 00 00 00',
      '05 0b 00 00 00 01 00 00 00 02 00',
      '1e 02',
    ];
    for (const options of wrong) {
      const segment = decoded(assemble({ flags: Flag.SYN, options: bytes(options) }));
      assert.equal(segment.badOptions, 1, options);
      assert.deepEqual(meaning(segment), meaning(decoded(assemble({ flags: Flag.SYN }))), options);
    }
    const onAck = decoded(assemble({ options: bytes('02 04 05 b4 03 03 07 04 02') }));
    assert.deepEqual([onAck.mss, onAck.windowScale, onAck.sackPermitted], [0, -1, false]);
    const twice = decoded(
      assemble({ flags: Flag.SYN, options: bytes('02 04 05 b4 02 04 00 01 03 03 07 03 03 01') }),
    );
    assert.deepEqual([twice.mss, twice.windowScale, twice.badOptions], [1460, 7, 2]);
  });

  it('reads and writes Fast Open, under its number and from before it had one (RFC 7413 §4.1.1, §6)', () => {
    for (const [text, experimental, length] of [
      ['22 02 01 01', false, 0],
      ['22 06 0a 0b 0c 0d 01 01', false, 4],
      ['fe 04 f9 89', true, 0],
      ['fe 08 f9 89 0a 0b 0c 0d', true, 4],
      ['fe 0a f9 89 0a 0b 0c 0d 0e 0f 01 01', true, 6],
    ] as const) {
      const options = bytes(text);
      const segment = decoded(assemble({ flags: Flag.SYN, options }));
      assert.deepEqual(
        [segment.fastOpenLength, segment.fastOpenExperimental, segment.badOptions],
        [length, experimental, 0],
        text,
      );
      assert.equal(
        hex(segment.fastOpenCookie.slice(0, length)),
        hex(bytes('0a 0b 0c 0d 0e 0f').slice(0, length)),
      );
      assert.equal(optionsLength(segment), options.length);
      assert.equal(hex(encoded(segment).slice(-options.length)), hex(options));
    }
    // Another experiment; one too short to say which; an odd cookie; a second option.
    for (const [text, length, bad] of [
      ['fe 04 f9 88', -1, 0],
      ['fe 03 f9 01', -1, 0],
      ['fe 09 f9 89 0a 0b 0c 0d 0e 01 01 01', -1, 1],
      ['22 02 fe 08 f9 89 0a 0b 0c 0d 01 01', 0, 1],
    ] as const) {
      const segment = decoded(assemble({ flags: Flag.SYN, options: bytes(text) }));
      assert.deepEqual([segment.fastOpenLength, segment.badOptions], [length, bad], text);
    }
  });

  it('stops at a length of 0 or 1, or one that leaves the header', () => {
    for (const bad of ['08 00', '08 01', 'fd 0d', '1e 29', '08']) {
      // Three NOPs before it, a window scale before those: what came first counts, what follows does not.
      const options = Uint8Array.from([
        ...bytes('03 03 07 01 01 01'),
        ...bytes(bad),
        ...bytes('02 04 05 b4'),
      ]);
      const padded = Uint8Array.from({ length: 12 }, (_, i) => options[i] ?? 1);
      const packet = assemble({
        flags: Flag.SYN,
        options: bad.length === 2 ? bytes('03 03 07 01 01 01 01 08') : padded,
      });
      const segment = decoded(packet);
      assert.deepEqual([segment.windowScale, segment.mss, segment.badOptions], [7, 0, 1], bad);
    }
  });

  it('skips unknown options and stops at the end of the list', () => {
    const options = bytes('fd 04 01 02  22 02 01 01  02 04 05 b4  00 03 03 07');
    const segment = decoded(assemble({ flags: Flag.SYN, options }));
    assert.deepEqual([segment.mss, segment.windowScale, segment.badOptions], [1460, -1, 0]);
  });

  it('reads a window scale over 14 as 14 (RFC 7323 §2.3)', () => {
    assert.equal(decoded(assemble({ flags: Flag.SYN, options: bytes('03 03 ff') })).windowScale, 14);
  });

  it('says how many SACK blocks fit', () => {
    assert.deepEqual(
      [0, 11, 12, 19, 20, 27, 28, 35, 36, 40].map(sackBlocksThatFit),
      [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    );
  });
});

describe('checksums of packets', () => {
  it('agrees with packets summed by hand', () => {
    for (const version of [4, 6] as const) {
      for (const size of [0, 1, 2, 3, 99, 1000, 1001]) {
        const payload = Uint8Array.from({ length: size }, (_, i) => i * 7);
        const packet = assemble({ version, payload });
        assert.ok(verifyChecksum(packet, 0, packet.length));
        const tcp = version === 4 ? 20 : 40;
        const rewritten = packet.slice();
        put16(rewritten, tcp + 16, 0x5555);
        writeChecksum(rewritten, 0, rewritten.length);
        assert.equal(hex(rewritten), hex(packet));
      }
    }
  });

  it('sees every flipped bit, wherever it is', () => {
    const packet = assemble({ payload: bytes('01 02 03') });
    for (let i = 20; i < packet.length; i++) {
      for (let bit = 1; bit < 256; bit <<= 1) {
        const damaged = packet.slice();
        damaged[i] ^= bit;
        assert.equal(verifyChecksum(damaged, 0, damaged.length), false, `byte ${i}`);
      }
    }
    const header = packet.slice();
    header[8] ^= 1; // TTL: only the IPv4 header checksum covers it
    assert.equal(verifyChecksum(header, 0, header.length), false);
  });

  it('refuses to write one into what is no TCP packet', () => {
    assert.throws(() => writeChecksum(new Uint8Array(60), 0, 60));
  });
});

describe('any segment', () => {
  it('survives encoding and decoding, or is refused for its options', () => {
    const out = new Uint8Array(70_000);
    const back = new Segment();
    let carried = 0;
    fc.assert(
      fc.property(arbitrarySegment, fc.integer({ min: 0, max: 7 }), (segment, offset) => {
        if (optionsLength(segment) > 40) {
          assert.throws(() => encodeHeaders(segment, out, offset));
          return;
        }
        out.fill(0xee, offset, offset + 200);
        const length = encodeHeaders(segment, out, offset);
        assert.equal(length, headerLength(segment));
        assert.equal(out[offset + length], 0xee, 'nothing written behind the headers');
        writeChecksum(out, offset, length + segment.payloadLength);
        assert.ok(verifyChecksum(out, offset, length + segment.payloadLength));
        assert.ok(decodePacket(back, out, offset, length + segment.payloadLength));
        assert.equal(back.badOptions, 0);
        assert.equal(back.payloadOffset, offset + length);
        assert.deepEqual(meaning(back), meaning(segment));
        carried++;
      }),
      { numRuns: 3000 },
    );
    assert.ok(carried > 1500, `only ${carried} fitted`);
  });

  it('never grows beyond 40 bytes of options when asked first', () => {
    const out = new Uint8Array(70_000);
    fc.assert(
      fc.property(arbitrarySegment, fc.shuffledSubarray([...Array(9).keys()]), (segment, order) => {
        const wanted = segment.mp;
        segment.mp = 0;
        segment.sackCount = Math.min(
          segment.sackCount,
          sackBlocksThatFit(40 - (segment.hasTimestamps ? 12 : 0)),
        );
        for (const index of order) {
          const bit = 1 << index;
          if ((wanted & bit) !== 0 && optionFits(segment, bit)) segment.mp |= bit;
        }
        assert.ok(optionsLength(segment) <= 40);
        assert.equal(mptcpRoom(segment) >= 0, true);
        encodeHeaders(segment, out, 0);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('what a caller must not ask for', () => {
  it('throws, and says what', () => {
    const out = new Uint8Array(70_000);
    const segment = new Segment();
    segment.flags = Flag.ACK;
    segment.payloadLength = 65_535 - 39;
    assert.throws(() => encodeHeaders(segment, out, 0), /65536 bytes/);
    segment.payloadLength = 65_535 - 40;
    assert.equal(encodeHeaders(segment, out, 0), 40);
    segment.payloadLength = 0;
    assert.throws(() => encodeHeaders(segment, new Uint8Array(39), 0), /room/);
    segment.hasTimestamps = true;
    segment.sackCount = 4;
    assert.throws(() => encodeHeaders(segment, out, 0), /48 bytes of TCP options/);
  });

  it('refuses an MP_CAPABLE that should have a checksum and has none', () => {
    const segment = new Segment();
    Object.assign(segment, { flags: Flag.ACK, payloadLength: 9, mp: Mp.CAPABLE, capableLength: 24 });
    assert.throws(() => encodeHeaders(segment, new Uint8Array(200), 0), /without a checksum/);
  });

  it('refuses MPTCP options where the table has none', () => {
    const out = new Uint8Array(200);
    const segment = new Segment();
    segment.flags = Flag.ACK;
    segment.mp = Mp.REMOVE_ADDR;
    segment.removeCount = 64; // 67 bytes: over the end of the table's row
    assert.equal(optionFits(segment, Mp.REMOVE_ADDR), false);
    // Two that exclude each other do not fit, however short they are.
    segment.mp = Mp.JOIN;
    segment.joinLength = 24;
    segment.dssFlags = 1;
    assert.equal(optionFits(segment, Mp.DSS), false);
    segment.mp = 0;
    assert.equal(optionFits(segment, Mp.DSS), true);
    segment.flags = Flag.SYN;
    segment.mp = Mp.DSS;
    segment.dssFlags = 1;
    assert.throws(() => encodeHeaders(segment, out, 0), /may not stand/);
    segment.flags = Flag.ACK;
    segment.mp = Mp.DSS | Mp.JOIN;
    segment.joinLength = 24;
    assert.throws(() => encodeHeaders(segment, out, 0), /may not share/);
  });
});

describe('reset', () => {
  it('leaves nothing of a packet but its addresses and numbers', () => {
    fc.assert(
      fc.property(arbitrarySegment, segment => {
        segment.reset();
        const { src, dst, ...rest } = meaning(segment);
        assert.ok(src && dst);
        const fresh = Object.assign(new Segment(), {
          seq: segment.seq,
          ack: segment.ack,
          window: segment.window,
        });
        const { src: _src, dst: _dst, ...expected } = meaning(fresh);
        assert.deepEqual(rest, expected);
      }),
    );
  });
});

describe('garbage', () => {
  it('never makes the decoder throw', () => {
    const segment = new Segment();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), data => {
        decodePacket(segment, data, 0, data.length);
        verifyChecksum(data, 0, data.length);
      }),
      { numRuns: 5000 },
    );
  });

  it('in the options of a good packet never makes the decoder throw, or read past them', () => {
    const segment = new Segment();
    const kinds = fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 30, 30, 30, 253);
    const option = fc.tuple(kinds, fc.integer({ min: 0, max: 41 }), fc.uint8Array({ maxLength: 38 }));
    fc.assert(
      fc.property(fc.array(option, { maxLength: 5 }), fc.integer({ min: 0, max: 255 }), (list, flags) => {
        const options = Uint8Array.from(
          list.flatMap(([kind, length, body]) => [kind, length, ...body]),
        ).slice(0, 40);
        const packet = assemble({ flags, options, payload: bytes('ff ff ff ff') });
        assert.ok(decodePacket(segment, packet, 0, packet.length));
        assert.ok(segment.sackCount <= 4 && segment.removeCount <= 37);
        assert.equal(segment.payloadLength, 4);
      }),
      { numRuns: 5000 },
    );
  });

  it('made from valid packets by mutation never makes the decoder throw', () => {
    const out = new Uint8Array(70_000);
    const back = new Segment();
    const mutation = fc.tuple(fc.nat(199), fc.integer({ min: 0, max: 255 }));
    fc.assert(
      fc.property(
        arbitrarySegment,
        fc.array(mutation, { maxLength: 6 }),
        fc.nat(300),
        (segment, mutations, cut) => {
          if (optionsLength(segment) > 40) return;
          const length = encodeHeaders(segment, out, 0) + segment.payloadLength;
          for (const [at, value] of mutations) out[at] = value;
          decodePacket(back, out, 0, Math.max(0, length - cut));
          if (!decodePacket(back, out, 0, length)) return;
          assert.ok(back.payloadOffset + back.payloadLength <= length);
          assert.ok(back.removeCount <= 37 && back.sackCount <= 4);
        },
      ),
      { numRuns: 5000 },
    );
  });
});
