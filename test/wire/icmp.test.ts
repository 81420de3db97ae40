// ICMP and ICMPv6 errors (RFC 792, RFC 1191 §4, RFC 4443 §3), octet by octet, and everything that makes one void.
// And what routers do to the IP header of a packet: the ECN field (RFC 3168 §5).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeIcmp,
  foldChecksum,
  IcmpError,
  IcmpMeaning,
  onesComplementSum,
  Segment,
} from '../../src/wire/index.ts';
import { ecnField, markCongestion, packetEnd, tcpStart, writeIpv4Checksum } from '../../src/wire/ip.ts';

const SRC = [10, 1, 2, 3];
const DST = [10, 4, 5, 6];
const SRC6 = [0xfd, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
const DST6 = [0xfd, 5, 0, 0, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8];
/** Ports 0x1234 and 0x01bb, sequence number 0xfedcba98. */
const TCP8 = [0x12, 0x34, 0x01, 0xbb, 0xfe, 0xdc, 0xba, 0x98];

interface Parts {
  type?: number;
  code?: number;
  /** The second word of the ICMP header. */
  word?: number[];
  /** Changes the packet before its checksum is made; the ICMP header begins at `icmp`. */
  change?: (bytes: Uint8Array, icmp: number) => void;
  /** How many octets of the TCP header are quoted. */
  quoted?: number;
}

/** An error from a router about a packet of 1,200 octets from SRC to DST. */
function error4(parts: Parts = {}): Uint8Array {
  const tcp = TCP8.slice(0, parts.quoted ?? 8);
  const inner = [0x45, 0, 1200 >> 8, 1200 & 255, 0, 0, 0x40, 0, 64, 6, 0, 0, ...SRC, ...DST, ...tcp];
  const icmp = [parts.type ?? 3, parts.code ?? 1, 0, 0, ...(parts.word ?? [0, 0, 0, 0]), ...inner];
  const total = 20 + icmp.length;
  const bytes = Uint8Array.from([
    ...[0x45, 0, total >> 8, total & 255, 0, 0, 0, 0, 64, 1, 0, 0, 9, 9, 9, 9, ...SRC],
    ...icmp,
  ]);
  parts.change?.(bytes, 20);
  const sum = foldChecksum(onesComplementSum(bytes, 20, bytes.length - 20));
  bytes[22] = sum >> 8;
  bytes[23] = sum & 255;
  return bytes;
}

function error6(parts: Parts = {}): Uint8Array {
  const tcp = TCP8.slice(0, parts.quoted ?? 8);
  const inner = [0x60, 0, 0, 0, 1160 >> 8, 1160 & 255, 6, 64, ...SRC6, ...DST6, ...tcp];
  const icmp = [parts.type ?? 1, parts.code ?? 0, 0, 0, ...(parts.word ?? [0, 0, 0, 0]), ...inner];
  const router = [0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
  const bytes = Uint8Array.from([
    ...[0x60, 0, 0, 0, icmp.length >> 8, icmp.length & 255, 58, 64, ...router, ...SRC6],
    ...icmp,
  ]);
  parts.change?.(bytes, 40);
  const pseudo = onesComplementSum(bytes, 8, 32, 58 + bytes.length - 40);
  const sum = foldChecksum(onesComplementSum(bytes, 40, bytes.length - 40, pseudo));
  bytes[42] = sum >> 8;
  bytes[43] = sum & 255;
  return bytes;
}

function decoded(bytes: Uint8Array): { error: IcmpError; segment: Segment } | null {
  const error = Object.assign(new IcmpError(), { mtuBytes: 77 });
  const segment = new Segment();
  return decodeIcmp(error, segment, bytes, 0, bytes.length) ? { error, segment } : null;
}

test('ICMP: what it is about is told as the answer to it would be addressed', () => {
  const { error, segment } = decoded(error4()) ?? assert.fail('refused');
  assert.deepEqual([error.type, error.code, error.packetBytes, error.seq], [3, 1, 1200, 0xfedcba98]);
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3, srcPort, dstPort } = segment;
  assert.deepEqual([src0, src1, src2, src3], [0, 0, 0xffff, 0x0a040506]);
  assert.deepEqual([dst0, dst1, dst2, dst3], [0, 0, 0xffff, 0x0a010203]);
  assert.deepEqual([srcPort, dstPort], [0x01bb, 0x1234]);
});

test('ICMPv6: the same', () => {
  const { error, segment } = decoded(error6()) ?? assert.fail('refused');
  assert.deepEqual([error.type, error.code, error.packetBytes, error.seq], [1, 0, 1200, 0xfedcba98]);
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3, srcPort, dstPort } = segment;
  assert.deepEqual([src0 | 0, src1, src2, src3], [0xfd050000 | 0, 6, 7, 8]);
  assert.deepEqual([dst0 | 0, dst1, dst2, dst3], [0xfd010000 | 0, 2, 3, 4]);
  assert.deepEqual([srcPort, dstPort], [0x01bb, 0x1234]);
});

test('what an error means, by type and code (RFC 9293 §3.9.2.2)', () => {
  const { SOFT, HARD, TOO_BIG } = IcmpMeaning;
  const meaning4 = (type: number, code: number) => decoded(error4({ type, code }))?.error.meaning;
  const codes = Array.from({ length: 16 }, (_, code) => code);
  for (const code of codes) {
    const expected = code === 2 || code === 3 ? HARD : code === 4 ? TOO_BIG : SOFT;
    assert.equal(meaning4(3, code), expected, `destination unreachable, code ${code}`);
  }
  for (let type = 0; type < 256; type++) {
    if (type === 3) continue;
    assert.equal(meaning4(type, 0), type === 11 || type === 12 ? SOFT : undefined, `ICMP type ${type}`);
  }
  const meaning6 = (type: number, code: number) => decoded(error6({ type, code }))?.error.meaning;
  for (const code of codes.slice(0, 8))
    assert.equal(meaning6(1, code), code === 4 ? HARD : SOFT, `code ${code}`);
  for (let type = 0; type < 256; type++) {
    const expected = type === 2 ? TOO_BIG : type === 1 || type === 3 || type === 4 ? SOFT : undefined;
    assert.equal(meaning6(type, 0), expected, `ICMPv6 type ${type}`);
  }
});

test('no two meanings are the same', () => {
  const meanings = Object.values(IcmpMeaning);
  assert.equal(new Set(meanings).size, meanings.length);
});

test('the MTU of the next link: 16 bits in ICMP, 32 in ICMPv6, none in other errors', () => {
  const mtu = (bytes: Uint8Array) => decoded(bytes)?.error.mtuBytes;
  assert.equal(mtu(error4({ code: 4, word: [0, 0, 0x05, 0x14] })), 1300);
  assert.equal(mtu(error4({ code: 4 })), 0);
  assert.equal(mtu(error4({ code: 1, word: [0, 0, 0x05, 0x14] })), 0);
  assert.equal(mtu(error6({ type: 2, word: [0, 0, 0x05, 0x14] })), 1300);
  assert.equal(mtu(error6({ type: 2, word: [0x80, 0, 0, 0] })), 65_535);
  assert.equal(mtu(error6({ word: [0, 0, 0x05, 0x14] })), 0);
});

test('what is damaged, cut short, a fragment or about something else is void', () => {
  const broken4: Record<string, Uint8Array> = {
    'not ICMP': error4({ change: bytes => (bytes[9] = 17) }),
    'a fragment': error4({ change: bytes => (bytes[6] = 0x20) }),
    'a later fragment': error4({ change: bytes => (bytes[7] = 1) }),
    'the quoted packet is not IPv4': error4({ change: (bytes, icmp) => (bytes[icmp + 8] = 0x65) }),
    'the quoted packet is not TCP': error4({ change: (bytes, icmp) => (bytes[icmp + 17] = 17) }),
    'a quoted header of 16 octets': error4({ change: (bytes, icmp) => (bytes[icmp + 8] = 0x44) }),
    'a quoted header that leaves no room': error4({ change: (bytes, icmp) => (bytes[icmp + 8] = 0x46) }),
    'seven octets of TCP': error4({ quoted: 7 }),
    'no octets of TCP': error4({ quoted: 0 }),
  };
  const broken6: Record<string, Uint8Array> = {
    'not ICMPv6': error6({ change: bytes => (bytes[6] = 17) }),
    'the quoted packet is not IPv6': error6({ change: (bytes, icmp) => (bytes[icmp + 8] = 0x40) }),
    'the quoted packet is not TCP': error6({ change: (bytes, icmp) => (bytes[icmp + 14] = 17) }),
    'seven octets of TCP': error6({ quoted: 7 }),
  };
  for (const [why, bytes] of Object.entries({ ...broken4, ...broken6 }))
    assert.equal(decoded(bytes), null, why);
  for (const bytes of [error4(), error6()]) {
    const flipped = bytes.slice();
    flipped[flipped.length - 1] ^= 1;
    assert.equal(decoded(flipped), null, 'a wrong checksum');
    assert.equal(decodeIcmp(new IcmpError(), new Segment(), bytes, 0, bytes.length - 1), false, 'cut');
    assert.equal(decodeIcmp(new IcmpError(), new Segment(), bytes, 0, 19), false, 'no IP header');
  }
  // An ICMP header of seven octets, with a checksum that is right.
  const short = error4().slice(0, 27);
  short[3] = 27;
  short[22] = short[23] = 0;
  const sum = foldChecksum(onesComplementSum(short, 20, 7));
  short[22] = sum >> 8;
  short[23] = sum & 255;
  assert.equal(decoded(short), null, 'a short header');
});

test('the quoted IP header may have options', () => {
  const tcp = [...TCP8];
  const inner = [0x46, 0, 4, 0xb0, 0, 0, 0x40, 0, 64, 6, 0, 0, ...SRC, ...DST, 1, 1, 1, 1, ...tcp];
  const bytes = Uint8Array.from([
    ...[0x46, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 9, 9, 9, 9, ...SRC, 1, 1, 1, 1],
    ...[3, 1, 0, 0, 0, 0, 0, 0, ...inner],
  ]);
  bytes[3] = bytes.length;
  const sum = foldChecksum(onesComplementSum(bytes, 24, bytes.length - 24));
  bytes[26] = sum >> 8;
  bytes[27] = sum & 255;
  const { error, segment } = decoded(bytes) ?? assert.fail('refused');
  assert.deepEqual([error.seq, segment.dstPort], [0xfedcba98, 0x1234]);
});

test('the ECN field is read and marked in both versions, and nothing beside it changes', () => {
  for (const bytes of [error4(), error6()]) {
    const v4 = bytes[0] >> 4 === 4;
    for (const field of [0, 1, 2]) {
      const one = bytes.slice();
      // Class 0x2e (expedited forwarding) before it.
      if (v4) one[1] = (0x2e << 2) | field;
      else {
        one[0] = 0x6b;
        one[1] = 0x80 | (field << 4) | 0x0a;
      }
      if (v4) writeIpv4Checksum(one, 0, 20);
      assert.equal(ecnField(one, 0), field);
      const before = one.slice();
      markCongestion(one, 0);
      assert.equal(ecnField(one, 0), 3);
      before[1] |= v4 ? 3 : 0x30;
      if (v4) assert.equal(foldChecksum(onesComplementSum(one, 0, 20)), 0, 'the header checksum is right');
      if (v4) before.set(one.subarray(10, 12), 10);
      assert.deepEqual(one, before);
    }
  }
});

test('where a packet ends: by its own account, within what is there', () => {
  const bytes = error4();
  const padded = Uint8Array.from([...bytes, 0, 0, 0]);
  assert.equal(packetEnd(padded, 0, padded.length), bytes.length);
  assert.equal(packetEnd(bytes, 0, bytes.length + 1), -1, 'beyond the array');
  assert.equal(packetEnd(bytes, -1, bytes.length), -1);
  const tiny = Uint8Array.from({ length: 20 }, (_, i) => [0x45, 0, 0, 20][i] ?? 0);
  assert.equal(packetEnd(tiny, 0, 20), 20);
  tiny[3] = 19;
  assert.equal(packetEnd(tiny, 0, 20), -1, 'shorter than a header');
  tiny[0] = 0x55;
  assert.equal(packetEnd(tiny, 0, 20), -1, 'version 5');
  const six = Uint8Array.from({ length: 40 }, (_, i) => (i === 0 ? 0x60 : 0));
  assert.equal(packetEnd(six, 0, 40), 40);
  assert.equal(packetEnd(six, 0, 39), -1);
  six[5] = 1;
  assert.equal(packetEnd(six, 0, 40), -1);
});

test('IPv6 extension headers before TCP are stepped over, others are not, nor past the end', () => {
  /** `chain`: the next-header octets; each header has 8 octets. */
  const packet = (chain: number[], routing = 0, tcpBytes = 20) => {
    const headers = chain.slice(0, -1).flatMap((_, i) => [chain[i + 1], 0, 0, routing, 0, 0, 0, 0]);
    const tcp = new Array(tcpBytes).fill(0);
    if (tcpBytes > 12) tcp[12] = 0x50;
    const bytes = Uint8Array.from([
      0x60,
      0,
      0,
      0,
      0,
      headers.length + tcpBytes,
      chain[0],
      64,
      ...SRC6,
      ...DST6,
    ]);
    return Uint8Array.from([...bytes, ...headers, ...tcp]);
  };
  const start = (bytes: Uint8Array) => tcpStart(bytes, 0, bytes.length);
  assert.equal(start(packet([6])), 40);
  assert.equal(start(packet([0, 6])), 48);
  assert.equal(start(packet([0, 43, 60, 6])), 64);
  assert.equal(start(packet([43, 6], 1)), -1, 'segments left');
  assert.equal(start(packet([0, 6], 1)), 48, 'only a routing header has segments');
  assert.equal(start(packet([44, 6])), -1, 'a fragment');
  assert.equal(start(packet([6], 0, 19)), -1, 'a short TCP header');
  assert.equal(start(packet([0, 6], 0, 0)), -1);
  const cut = packet([0, 60, 6], 0, 0).slice(0, 55);
  assert.equal(start(cut), -1);
});
