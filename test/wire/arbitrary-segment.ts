/**
 * Random segments for property tests, and what of a segment means anything, for comparing two.
 */
import fc from 'fast-check';
import {
  DssFlag,
  Flag,
  Mp,
  mayCoexist,
  OPTION_TABLE,
  Segment,
  SegmentKind,
  segmentKind,
} from '../../src/wire/index.ts';

const u8 = fc.integer({ min: 0, max: 255 });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.oneof(
  fc.integer({ min: 0, max: 0xffff_ffff }),
  fc.constantFrom(0, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff),
);
const i32 = u32.map(n => n | 0);

/** Flags and payload of a segment of each kind, by name. */
export const KINDS: readonly { kind: keyof typeof SegmentKind; flags: number; payloadLength: number }[] = [
  { kind: 'SYN', flags: Flag.SYN, payloadLength: 0 },
  { kind: 'SYN_ACK', flags: Flag.SYN | Flag.ACK, payloadLength: 0 },
  { kind: 'ACK', flags: Flag.ACK, payloadLength: 0 },
  { kind: 'DATA', flags: Flag.ACK | Flag.PSH, payloadLength: 100 },
  { kind: 'RST', flags: Flag.RST | Flag.ACK, payloadLength: 0 },
];

const PERMITTED_SETS = Array.from({ length: 512 }, (_, mp) => mp).filter(mayCoexist);

/** Any segment that keeps to the option table; its options may add up to more than 40 bytes. */
export const arbitrarySegment: fc.Arbitrary<Segment> = fc
  .record({
    kind: fc.constantFrom(...KINDS),
    moreFlags: fc.constantFrom(0, Flag.ECE, Flag.CWR, Flag.FIN, Flag.PSH),
    version: fc.constantFrom<4 | 6>(4, 6),
    address: fc.array(i32, { minLength: 8, maxLength: 8 }),
    small: fc.array(u8, { minLength: 64, maxLength: 64 }),
    medium: fc.array(u16, { minLength: 16, maxLength: 16 }),
    large: fc.array(u32, { minLength: 32, maxLength: 32 }),
    payloadLength: fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.constant(65_000)),
    tcp: fc.record({
      mss: fc.boolean(),
      scale: fc.boolean(),
      sackPermitted: fc.boolean(),
      timestamps: fc.boolean(),
    }),
    sackCount: fc.constantFrom(0, 0, 0, 1, 2, 3, 4),
    mp: fc.constantFrom(0, Mp.DSS, ...PERMITTED_SETS),
    pick: fc.array(fc.nat(1000), { minLength: 9, maxLength: 9 }),
  })
  .map(draw => {
    const segment = new Segment();
    segment.flags = draw.kind.flags | draw.moreFlags;
    segment.payloadLength = draw.kind.payloadLength === 0 ? 0 : draw.payloadLength;
    fillHeaders(segment, draw.version, draw.address, draw.small, draw.medium, draw.large);
    const syn = (segment.flags & Flag.SYN) !== 0;
    segment.mss = syn && draw.tcp.mss ? 1 + (draw.medium[5] % 0xffff) : 0;
    segment.windowScale = syn && draw.tcp.scale ? draw.small[3] % 15 : -1;
    segment.sackPermitted = syn && draw.tcp.sackPermitted;
    segment.hasTimestamps = draw.tcp.timestamps;
    segment.sackCount = syn ? 0 : draw.sackCount;
    fillMptcp(segment, draw.small, draw.medium, draw.large);
    choose(segment, draw.mp, draw.pick);
    return segment;
  });

function fillHeaders(
  s: Segment,
  version: 4 | 6,
  address: number[],
  small: number[],
  medium: number[],
  large: number[],
): void {
  s.ipVersion = version;
  [s.src0, s.src1, s.src2, s.src3] = version === 6 ? address : [0, 0, 0xffff, address[3]];
  [s.dst0, s.dst1, s.dst2, s.dst3] = version === 6 ? address.slice(4) : [0, 0, 0xffff, address[7]];
  s.dscp = small[0] >> 2;
  s.ecn = small[0] & 3;
  s.ttl = small[1];
  [s.srcPort, s.dstPort, s.window, s.urgent] = medium;
  [s.seq, s.ack, s.tsVal, s.tsEcr] = large;
  s.sackLeft.set(large.slice(4, 8));
  s.sackRight.set(large.slice(8, 12));
}

function fillMptcp(s: Segment, small: number[], medium: number[], large: number[]): void {
  s.capableVersion = small[4] & 15;
  s.capableFlags = small[5];
  [s.senderKeyHi, s.senderKeyLo, s.receiverKeyHi, s.receiverKeyLo, s.joinToken, s.joinNonce] =
    large.slice(12);
  s.joinHmac.set(small.slice(40, 60));
  s.joinBackup = small[6] > 127;
  s.joinAddressId = small[7];
  [s.dataAckHi, s.dataAckLo, s.dsnHi, s.dsnLo, s.ssn, s.addAddrHmacHi, s.addAddrHmacLo] = large.slice(18);
  s.dataLength = medium[6];
  s.addAddrId = small[8];
  s.prioBackup = small[9] > 127;
  s.rstFlags = small[10] & 15;
  s.rstReason = small[11];
  s.removeIds.set(small.slice(0, 37));
  [s.failDsnHi, s.failDsnLo, s.fastcloseKeyHi, s.fastcloseKeyLo] = large.slice(25);
  [s.addAddr0, s.addAddr1, s.addAddr2, s.addAddr3] = large.slice(28).map(n => n | 0);
  s.addAddrPort = 1 + (medium[7] % 0xffff);
  s.checksum = medium[8];
}

/** Gives the segment those of `mp` that may stand on its kind, each in one of its legal lengths. */
function choose(segment: Segment, mp: number, pick: number[]): void {
  const kind = segmentKind(segment.flags, segment.payloadLength);
  for (const row of OPTION_TABLE) {
    if ((mp & row.bit) === 0) continue;
    const lengths = Object.entries(row.lengths).find(
      ([name]) => SegmentKind[name as keyof typeof SegmentKind] === kind,
    )![1];
    if (lengths.length === 0) continue;
    segment.mp |= row.bit;
    shape(segment, row.bit, lengths[pick[row.subtype] % lengths.length], pick[row.subtype]);
  }
}

/** Sets the fields that decide an option's form so that it comes out with this length. */
export function shape(segment: Segment, bit: number, length: number, choice: number): void {
  if (bit === Mp.CAPABLE) {
    segment.capableLength = length;
    if (length !== 24) segment.checksum = -1;
  } else if (bit === Mp.JOIN) {
    segment.joinLength = length;
  } else if (bit === Mp.DSS) {
    const forms = DSS_FORMS.filter(form => form.length === length);
    const form = forms[choice % forms.length];
    segment.dssFlags =
      form.flags | ((form.flags & DssFlag.MAP) !== 0 && choice % 3 === 0 ? DssFlag.DATA_FIN : 0);
    if (!form.checksum) segment.checksum = -1;
    if ((form.flags & DssFlag.DATA_ACK_64) === 0) segment.dataAckHi = 0;
    if ((form.flags & DssFlag.DSN_64) === 0) segment.dsnHi = 0;
  } else if (bit === Mp.ADD_ADDR) {
    segment.addAddrEcho = [8, 10, 20, 22].includes(length);
    segment.addAddrFamily = [8, 10, 16, 18].includes(length) ? 4 : 6;
    if (segment.addAddrFamily === 4) {
      segment.addAddr0 = 0;
      segment.addAddr1 = 0;
      segment.addAddr2 = 0xffff;
    }
    if (length % 4 === 0) segment.addAddrPort = 0;
  } else if (bit === Mp.REMOVE_ADDR) {
    segment.removeCount = length - 3;
  }
}

const { DATA_ACK, DATA_ACK_64, MAP, DSN_64 } = DssFlag;

/** RFC 8684 §3.3, Figure 9, every form by hand. */
export const DSS_FORMS: readonly { flags: number; checksum: boolean; length: number }[] = [
  { flags: DATA_ACK, checksum: false, length: 8 },
  { flags: DATA_ACK | DATA_ACK_64, checksum: false, length: 12 },
  { flags: MAP, checksum: false, length: 14 },
  { flags: MAP, checksum: true, length: 16 },
  { flags: MAP | DSN_64, checksum: false, length: 18 },
  { flags: MAP | DSN_64, checksum: true, length: 20 },
  { flags: DATA_ACK | MAP, checksum: false, length: 18 },
  { flags: DATA_ACK | MAP, checksum: true, length: 20 },
  { flags: DATA_ACK | MAP | DSN_64, checksum: false, length: 22 },
  { flags: DATA_ACK | MAP | DSN_64, checksum: true, length: 24 },
  { flags: DATA_ACK | DATA_ACK_64 | MAP, checksum: false, length: 22 },
  { flags: DATA_ACK | DATA_ACK_64 | MAP, checksum: true, length: 24 },
  { flags: DATA_ACK | DATA_ACK_64 | MAP | DSN_64, checksum: false, length: 26 },
  { flags: DATA_ACK | DATA_ACK_64 | MAP | DSN_64, checksum: true, length: 28 },
];

/** The fields that mean something, given which options are present. */
export function meaning(s: Segment): Record<string, unknown> {
  return {
    src: [s.ipVersion, s.src0, s.src1, s.src2, s.src3, s.srcPort],
    dst: [s.dst0, s.dst1, s.dst2, s.dst3, s.dstPort],
    ip: [s.dscp, s.ecn, s.ttl],
    tcp: [s.seq, s.ack, s.flags, s.window, s.urgent, s.payloadLength],
    syn: [s.mss, s.windowScale, s.sackPermitted],
    timestamps: s.hasTimestamps ? [s.tsVal, s.tsEcr] : null,
    sack: [...s.sackLeft.slice(0, s.sackCount), ...s.sackRight.slice(0, s.sackCount)],
    mp: s.mp,
    capable: (s.mp & Mp.CAPABLE) !== 0 ? capableMeaning(s) : null,
    join: (s.mp & Mp.JOIN) !== 0 ? joinMeaning(s) : null,
    dss: (s.mp & Mp.DSS) !== 0 ? dssMeaning(s) : null,
    addAddr: (s.mp & Mp.ADD_ADDR) !== 0 ? addAddrMeaning(s) : null,
    remove: (s.mp & Mp.REMOVE_ADDR) !== 0 ? [...s.removeIds.slice(0, s.removeCount)] : null,
    prio: (s.mp & Mp.PRIO) !== 0 ? s.prioBackup : null,
    fail: (s.mp & Mp.FAIL) !== 0 ? [s.failDsnHi, s.failDsnLo] : null,
    fastclose: (s.mp & Mp.FASTCLOSE) !== 0 ? [s.fastcloseKeyHi, s.fastcloseKeyLo] : null,
    rst: (s.mp & Mp.TCPRST) !== 0 ? [s.rstFlags, s.rstReason] : null,
  };
}

function capableMeaning(s: Segment): unknown {
  const keys = [s.senderKeyHi, s.senderKeyLo, s.receiverKeyHi, s.receiverKeyLo].slice(
    0,
    keyWords(s.capableLength),
  );
  const mapping = s.capableLength >= 22 ? [s.dataLength, s.checksum] : null;
  return { length: s.capableLength, version: s.capableVersion, flags: s.capableFlags, keys, mapping };
}

function keyWords(length: number): number {
  return length === 4 ? 0 : length === 12 ? 2 : 4;
}

function joinMeaning(s: Segment): unknown {
  const hmac = [...s.joinHmac.slice(0, s.joinLength === 24 ? 20 : s.joinLength === 16 ? 8 : 0)];
  if (s.joinLength === 24) return { hmac };
  const token = s.joinLength === 12 ? s.joinToken : null;
  return { hmac, token, backup: s.joinBackup, id: s.joinAddressId, nonce: s.joinNonce };
}

function dssMeaning(s: Segment): unknown {
  const ack = (s.dssFlags & DATA_ACK) !== 0 ? [s.dataAckHi, s.dataAckLo] : null;
  const map = (s.dssFlags & MAP) !== 0 ? [s.dsnHi, s.dsnLo, s.ssn, s.dataLength, s.checksum] : null;
  return { flags: s.dssFlags, ack, map };
}

function addAddrMeaning(s: Segment): unknown {
  const address = [s.addAddrFamily, s.addAddr0, s.addAddr1, s.addAddr2, s.addAddr3, s.addAddrPort];
  const hmac = s.addAddrEcho ? null : [s.addAddrHmacHi, s.addAddrHmacLo];
  return { id: s.addAddrId, echo: s.addAddrEcho, address, hmac };
}
