/**
 * Every MPTCP option, from the figures of RFC 8684: bytes written out by hand, both ways, and every length
 * on every kind of segment.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DssFlag, decodePacket, encodeHeaders, Flag, Mp, Segment } from '../../src/wire/index.ts';
import { KINDS } from './arbitrary-segment.ts';
import { assemble, bytes, hex } from './assemble.ts';

type KindName = 'SYN' | 'SYN_ACK' | 'ACK' | 'DATA' | 'RST';

interface Vector {
  readonly title: string;
  readonly on: KindName;
  /** As on the wire, padding included. */
  readonly wire: string;
  readonly fields: Partial<Segment>;
  readonly hmac?: string;
  readonly ids?: number[];
}

const VECTORS: Vector[] = [
  {
    title: 'Figure 4, MP_CAPABLE on a SYN: version 1, flags A and H',
    on: 'SYN',
    wire: '1e 04 01 81',
    fields: { mp: Mp.CAPABLE, capableLength: 4, capableVersion: 1, capableFlags: 0x81 },
  },
  {
    title: 'Figure 4, MP_CAPABLE on a SYN/ACK: one key, flags C and H',
    on: 'SYN_ACK',
    wire: '1e 0c 01 21  01 02 03 04 f5 06 07 08',
    fields: {
      mp: Mp.CAPABLE,
      capableLength: 12,
      capableVersion: 1,
      capableFlags: 0x21,
      senderKeyHi: 0x01020304,
      senderKeyLo: 0xf5060708,
    },
  },
  {
    title: 'Figure 4, MP_CAPABLE on the ACK: both keys',
    on: 'ACK',
    wire: '1e 14 01 01  f1 02 03 04 05 06 07 08  11 12 13 14 f5 16 17 18',
    fields: {
      mp: Mp.CAPABLE,
      capableLength: 20,
      capableVersion: 1,
      capableFlags: 0x01,
      senderKeyHi: 0xf1020304,
      senderKeyLo: 0x05060708,
      receiverKeyHi: 0x11121314,
      receiverKeyLo: 0xf5161718,
    },
  },
  {
    title: 'Figure 4, MP_CAPABLE with the first data: both keys and the length',
    on: 'DATA',
    wire: '1e 16 01 01  01 02 03 04 05 06 07 08  11 12 13 14 15 16 17 18  05 dc 01 01',
    fields: {
      mp: Mp.CAPABLE,
      capableLength: 22,
      capableVersion: 1,
      capableFlags: 0x01,
      senderKeyHi: 0x01020304,
      senderKeyLo: 0x05060708,
      receiverKeyHi: 0x11121314,
      receiverKeyLo: 0x15161718,
      dataLength: 1500,
      checksum: -1,
    },
  },
  {
    title: 'Figure 4, MP_CAPABLE with the first data and its checksum',
    on: 'DATA',
    wire: '1e 18 01 81  01 02 03 04 05 06 07 08  11 12 13 14 15 16 17 18  05 dc be ef',
    fields: {
      mp: Mp.CAPABLE,
      capableLength: 24,
      capableVersion: 1,
      capableFlags: 0x81,
      senderKeyHi: 0x01020304,
      senderKeyLo: 0x05060708,
      receiverKeyHi: 0x11121314,
      receiverKeyLo: 0x15161718,
      dataLength: 1500,
      checksum: 0xbeef,
    },
  },
  {
    title: 'Figure 5, MP_JOIN on a SYN, backup',
    on: 'SYN',
    wire: '1e 0c 11 05  de ad be ef  01 23 45 67',
    fields: {
      mp: Mp.JOIN,
      joinLength: 12,
      joinBackup: true,
      joinAddressId: 5,
      joinToken: 0xdeadbeef,
      joinNonce: 0x01234567,
    },
  },
  {
    title: 'Figure 6, MP_JOIN on a SYN/ACK',
    on: 'SYN_ACK',
    wire: '1e 10 10 fe  a0 a1 a2 a3 a4 a5 a6 a7  fe dc ba 98',
    fields: { mp: Mp.JOIN, joinLength: 16, joinBackup: false, joinAddressId: 254, joinNonce: 0xfedcba98 },
    hmac: 'a0 a1 a2 a3 a4 a5 a6 a7',
  },
  {
    title: 'Figure 7, MP_JOIN on the ACK',
    on: 'ACK',
    wire: '1e 18 10 00  a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9',
    fields: { mp: Mp.JOIN, joinLength: 24 },
    hmac: 'a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 b0 b1 b2 b3 b4 b5 b6 b7 b8 b9',
  },
  {
    title: 'Figure 9, DSS with a 4-octet data ACK',
    on: 'ACK',
    wire: '1e 08 20 01  81 02 03 04',
    fields: { mp: Mp.DSS, dssFlags: DssFlag.DATA_ACK, dataAckHi: 0, dataAckLo: 0x81020304 },
  },
  {
    title: 'Figure 9, DSS with an 8-octet data ACK',
    on: 'ACK',
    wire: '1e 0c 20 03  81 02 03 04 85 06 07 08',
    fields: {
      mp: Mp.DSS,
      dssFlags: DssFlag.DATA_ACK | DssFlag.DATA_ACK_64,
      dataAckHi: 0x81020304,
      dataAckLo: 0x85060708,
    },
  },
  {
    title: 'Figure 9, DSS with a mapping of 4-octet DSN',
    on: 'DATA',
    wire: '1e 0e 20 04  91 92 93 94  00 00 00 01  00 64 01 01',
    fields: {
      mp: Mp.DSS,
      dssFlags: DssFlag.MAP,
      dsnHi: 0,
      dsnLo: 0x91929394,
      ssn: 1,
      dataLength: 100,
      checksum: -1,
    },
  },
  {
    title: 'Figure 9, DSS with everything: 28 octets',
    on: 'DATA',
    wire: '1e 1c 20 1f  81 02 03 04 05 06 07 08  91 12 13 14 15 16 17 18  f0 00 00 01  ff ff ab cd',
    fields: {
      mp: Mp.DSS,
      dssFlags: 0x1f,
      dataAckHi: 0x81020304,
      dataAckLo: 0x05060708,
      dsnHi: 0x91121314,
      dsnLo: 0x15161718,
      ssn: 0xf0000001,
      dataLength: 65_535,
      checksum: 0xabcd,
    },
  },
  {
    title: '§3.3.3, DATA_FIN without data: SSN 0, length 1',
    on: 'ACK',
    wire: '1e 16 20 1d  81 02 03 04  91 12 13 14 15 16 17 18  00 00 00 00  00 01 01 01',
    fields: {
      mp: Mp.DSS,
      dssFlags: DssFlag.DATA_ACK | DssFlag.MAP | DssFlag.DSN_64 | DssFlag.DATA_FIN,
      dataAckLo: 0x81020304,
      dsnHi: 0x91121314,
      dsnLo: 0x15161718,
      ssn: 0,
      dataLength: 1,
      checksum: -1,
    },
  },
  {
    title: 'Figure 12, ADD_ADDR of IPv4',
    on: 'ACK',
    wire: '1e 10 30 02  c0 00 02 07  f1 f2 f3 f4 f5 f6 f7 f8',
    fields: {
      mp: Mp.ADD_ADDR,
      addAddrEcho: false,
      addAddrId: 2,
      addAddrFamily: 4,
      addAddr0: 0,
      addAddr1: 0,
      addAddr2: 0xffff,
      addAddr3: 0xc0000207 | 0,
      addAddrPort: 0,
      addAddrHmacHi: 0xf1f2f3f4,
      addAddrHmacLo: 0xf5f6f7f8,
    },
  },
  {
    title: 'Figure 12, ADD_ADDR of IPv4 with port',
    on: 'ACK',
    wire: '1e 12 30 02  c0 00 02 07  01 bb  f1 f2 f3 f4 f5 f6 f7 f8  01 01',
    fields: {
      mp: Mp.ADD_ADDR,
      addAddrEcho: false,
      addAddrId: 2,
      addAddrFamily: 4,
      addAddr2: 0xffff,
      addAddr3: 0xc0000207 | 0,
      addAddrPort: 443,
      addAddrHmacHi: 0xf1f2f3f4,
      addAddrHmacLo: 0xf5f6f7f8,
    },
  },
  {
    title: 'Figure 12, echo of ADD_ADDR of IPv4 with port: no HMAC',
    on: 'ACK',
    wire: '1e 0a 31 02  c0 00 02 07  01 bb  01 01',
    fields: {
      mp: Mp.ADD_ADDR,
      addAddrEcho: true,
      addAddrId: 2,
      addAddrFamily: 4,
      addAddr2: 0xffff,
      addAddr3: 0xc0000207 | 0,
      addAddrPort: 443,
    },
  },
  {
    title: 'Figure 12, ADD_ADDR of IPv6',
    on: 'DATA',
    wire: '1e 1c 30 03  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09  f1 f2 f3 f4 f5 f6 f7 f8',
    fields: {
      mp: Mp.ADD_ADDR,
      addAddrEcho: false,
      addAddrId: 3,
      addAddrFamily: 6,
      addAddr0: 0x20010db8,
      addAddr1: 0,
      addAddr2: 0,
      addAddr3: 9,
      addAddrPort: 0,
      addAddrHmacHi: 0xf1f2f3f4,
      addAddrHmacLo: 0xf5f6f7f8,
    },
  },
  {
    title: 'Figure 12, ADD_ADDR of IPv6 with port: 30 octets',
    on: 'ACK',
    wire:
      '1e 1e 30 03  20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09  ' +
      '1f 90  f1 f2 f3 f4 f5 f6 f7 f8  01 01',
    fields: {
      mp: Mp.ADD_ADDR,
      addAddrEcho: false,
      addAddrId: 3,
      addAddrFamily: 6,
      addAddr0: 0x20010db8,
      addAddr3: 9,
      addAddrPort: 8080,
      addAddrHmacHi: 0xf1f2f3f4,
      addAddrHmacLo: 0xf5f6f7f8,
    },
  },
  {
    title: 'Figure 13, REMOVE_ADDR of one address',
    on: 'ACK',
    wire: '1e 04 40 07',
    fields: { mp: Mp.REMOVE_ADDR, removeCount: 1 },
    ids: [7],
  },
  {
    title: 'Figure 13, REMOVE_ADDR of three addresses',
    on: 'DATA',
    wire: '1e 06 40 01 02 ff  01 01',
    fields: { mp: Mp.REMOVE_ADDR, removeCount: 3 },
    ids: [1, 2, 255],
  },
  {
    title: 'Figure 11, MP_PRIO, backup',
    on: 'ACK',
    wire: '1e 03 51 01',
    fields: { mp: Mp.PRIO, prioBackup: true },
  },
  {
    title: 'Figure 11, MP_PRIO, no longer backup',
    on: 'DATA',
    wire: '1e 03 50 01',
    fields: { mp: Mp.PRIO, prioBackup: false },
  },
  {
    title: 'Figure 16, MP_FAIL',
    on: 'RST',
    wire: '1e 0c 60 00  81 02 03 04 85 06 07 08',
    fields: { mp: Mp.FAIL, failDsnHi: 0x81020304, failDsnLo: 0x85060708 },
  },
  {
    title: 'Figure 14, MP_FASTCLOSE',
    on: 'ACK',
    wire: '1e 0c 70 00  81 02 03 04 85 06 07 08',
    fields: { mp: Mp.FASTCLOSE, fastcloseKeyHi: 0x81020304, fastcloseKeyLo: 0x85060708 },
  },
  {
    title: 'Figure 15, MP_TCPRST: transient, middlebox interference',
    on: 'RST',
    wire: '1e 04 81 06',
    fields: { mp: Mp.TCPRST, rstFlags: 1, rstReason: 6 },
  },
];

/** RFC 8684 §3 and INTEROP notes, written out again: what the table in the source must say. */
const LEGAL: { readonly name: string; readonly bit: number; readonly lengths: Record<KindName, number[]> }[] =
  [
    { name: 'MP_CAPABLE', bit: 1, lengths: { SYN: [4], SYN_ACK: [12], ACK: [20], DATA: [22, 24], RST: [] } },
    { name: 'MP_JOIN', bit: 2, lengths: { SYN: [12], SYN_ACK: [16], ACK: [24], DATA: [], RST: [] } },
    { name: 'DSS', bit: 4, lengths: { SYN: [], SYN_ACK: [], ACK: [-1], DATA: [-1], RST: [] } },
    { name: 'ADD_ADDR', bit: 8, lengths: { SYN: [], SYN_ACK: [], ACK: [-1], DATA: [-1], RST: [] } },
    { name: 'REMOVE_ADDR', bit: 16, lengths: { SYN: [], SYN_ACK: [], ACK: [-1], DATA: [-1], RST: [] } },
    { name: 'MP_PRIO', bit: 32, lengths: { SYN: [], SYN_ACK: [], ACK: [3], DATA: [3], RST: [] } },
    { name: 'MP_FAIL', bit: 64, lengths: { SYN: [], SYN_ACK: [], ACK: [12], DATA: [12], RST: [12] } },
    { name: 'MP_FASTCLOSE', bit: 128, lengths: { SYN: [], SYN_ACK: [], ACK: [12], DATA: [12], RST: [12] } },
    { name: 'MP_TCPRST', bit: 256, lengths: { SYN: [], SYN_ACK: [], ACK: [], DATA: [], RST: [4] } },
  ];

/** By the flags m M a A: lengths without and with checksum. RFC 8684 §3.3. */
const DSS_LENGTHS: Record<string, number[]> = {
  '----': [],
  '---A': [8],
  '--a-': [],
  '--aA': [12],
  '-M--': [14, 16],
  '-M-A': [18, 20],
  '-Ma-': [14, 16],
  '-MaA': [22, 24],
  'm---': [],
  'm--A': [8],
  'm-a-': [],
  'm-aA': [12],
  'mM--': [18, 20],
  'mM-A': [22, 24],
  'mMa-': [18, 20],
  mMaA: [26, 28],
};

function segmentOf(kind: KindName): Segment {
  const { flags, payloadLength } = KINDS.find(k => k.kind === kind)!;
  const segment = new Segment();
  segment.flags = flags;
  segment.payloadLength = payloadLength;
  return segment;
}

function decodeOn(kind: KindName, options: Uint8Array): Segment {
  const { flags, payloadLength } = KINDS.find(k => k.kind === kind)!;
  const packet = assemble({ flags, options, payload: new Uint8Array(payloadLength) });
  const segment = new Segment();
  assert.ok(decodePacket(segment, packet, 0, packet.length));
  return segment;
}

/** An option whose body is 5, 6, 7…, so that a field read from the wrong place shows. */
function option(subtype: number, length: number, bits = 0, octet = 5): Uint8Array {
  const out = Uint8Array.from({ length }, (_, i) => i + 2);
  out[0] = 30;
  if (length > 1) out[1] = length;
  if (length > 2) out[2] = (subtype << 4) | bits;
  if (length > 3) out[3] = octet;
  return out;
}

describe('the figures of RFC 8684', () => {
  for (const vector of VECTORS) {
    it(`decodes ${vector.title}`, () => {
      const segment = decodeOn(vector.on, bytes(vector.wire));
      assert.equal(segment.badOptions, 0);
      for (const [name, value] of Object.entries(vector.fields)) {
        assert.equal(segment[name as keyof Segment], value, name);
      }
      if (vector.hmac !== undefined) {
        const expected = bytes(vector.hmac);
        assert.deepEqual(segment.joinHmac.slice(0, expected.length), expected);
      }
      if (vector.ids !== undefined) {
        assert.deepEqual([...segment.removeIds.slice(0, segment.removeCount)], vector.ids);
      }
    });
    it(`encodes ${vector.title}`, () => {
      const segment = Object.assign(segmentOf(vector.on), vector.fields);
      if (vector.hmac !== undefined) segment.joinHmac.set(bytes(vector.hmac));
      if (vector.ids !== undefined) segment.removeIds.set(vector.ids);
      const out = new Uint8Array(100);
      const length = encodeHeaders(segment, out, 0);
      assert.equal(hex(out.slice(40, length)), hex(bytes(vector.wire)));
    });
  }
});

describe('legal lengths', () => {
  for (const { kind } of KINDS) {
    for (const { name, bit, lengths } of LEGAL) {
      const subtype = Math.log2(bit);
      it(`G5: takes ${name} on ${kind} in its legal lengths only`, () => {
        for (let length = 2; length <= 40; length++) {
          for (let flags = 0; flags < 32; flags++) {
            const segment = decodeOn(kind, option(subtype, length, flags & 1, flags));
            const legal =
              lengths[kind][0] === -1 ? legalInForm(bit, length, flags) : lengths[kind].includes(length);
            assert.equal(segment.mp, legal ? bit : 0, `length ${length}, flags ${flags}`);
            assert.equal(segment.badOptions, legal ? 0 : 1);
          }
        }
      });
    }
  }

  it('G5: skips unassigned subtypes, and reads what follows', () => {
    for (let subtype = 9; subtype < 16; subtype++) {
      const segment = decodeOn('ACK', Uint8Array.from([...option(subtype, 7), ...option(0x5, 3)]));
      assert.equal(segment.mp, Mp.PRIO);
      assert.equal(segment.badOptions, 0);
    }
  });
});

function legalInForm(bit: number, length: number, flags: number): boolean {
  if (bit === Mp.REMOVE_ADDR) return length >= 4;
  if (bit === Mp.ADD_ADDR) return ((flags & 1) === 1 ? [8, 10, 20, 22] : [16, 18, 28, 30]).includes(length);
  const letters = [8, 4, 2, 1].map((f, i) => ((flags & f) !== 0 ? 'mMaA'[i] : '-')).join('');
  return DSS_LENGTHS[letters].includes(length);
}

describe('options that contradict each other', () => {
  it('keeps the first of two copies', () => {
    const first = bytes('1e 08 20 01 00 00 00 01');
    const second = bytes('1e 08 20 01 00 00 00 02');
    const segment = decodeOn('ACK', Uint8Array.from([...first, ...second]));
    assert.equal(segment.dataAckLo, 1);
    assert.equal(segment.badOptions, 1);
  });

  it('takes the first copy of a legal length', () => {
    const wrong = bytes('1e 07 20 01 00 00 09 01');
    const right = bytes('1e 08 20 01 00 00 00 02');
    const segment = decodeOn('ACK', Uint8Array.from([...wrong, ...right]));
    assert.equal(segment.mp, Mp.DSS);
    assert.equal(segment.dataAckLo, 2);
    assert.equal(segment.badOptions, 1);
  });

  it('keeps the first of MP_CAPABLE and DSS, which share the mapping', () => {
    const capable = bytes('1e 16 01 01 00 00 00 01 00 00 00 02 00 00 00 03 00 00 00 04 00 0a 01 01');
    const dss = bytes('1e 0e 20 04 00 00 00 05 00 00 00 01 00 63 01 01');
    const segment = decodeOn('DATA', Uint8Array.from([...capable, ...dss]));
    assert.equal(segment.mp, Mp.CAPABLE);
    assert.equal(segment.dataLength, 10);
    assert.equal(segment.badOptions, 1);
  });

  it('ignores a and m without A and M, and F without M', () => {
    const segment = decodeOn('ACK', bytes('1e 08 20 19 00 00 00 07'));
    assert.equal(segment.dssFlags, DssFlag.DATA_ACK);
    assert.equal(segment.dataAckLo, 7);
    const mapping = decodeOn('DATA', bytes('1e 0e 20 06 91 92 93 94 00 00 00 01 00 64 01 01'));
    assert.equal(mapping.dssFlags, DssFlag.MAP);
    assert.equal(mapping.dsnLo, 0x91929394);
  });

  it('does not carry an option over to the next packet', () => {
    const segment = new Segment();
    const join = assemble({ flags: Flag.SYN, options: bytes('1e 0c 11 05 de ad be ef 01 23 45 67') });
    const plain = assemble({ flags: Flag.ACK });
    assert.ok(decodePacket(segment, join, 0, join.length));
    assert.equal(segment.mp, Mp.JOIN);
    assert.ok(decodePacket(segment, plain, 0, plain.length));
    assert.equal(segment.mp, 0);
    assert.equal(segment.joinLength, 0);
  });
});
