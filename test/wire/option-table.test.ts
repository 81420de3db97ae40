/**
 * The table of MPTCP options: its rows against the RFC's registry, its pairs against a matrix written out
 * here, and every combination it permits against the 40 bytes there are.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decodePacket,
  encodeHeaders,
  Flag,
  mayCoexist,
  OPTION_TABLE,
  optionFits,
  optionsLength,
  Segment,
  SegmentKind,
  segmentKind,
} from '../../src/wire/index.ts';
import { DSS_FORMS, KINDS, shape } from './arbitrary-segment.ts';

const NAMES = [
  'MP_CAPABLE',
  'MP_JOIN',
  'DSS',
  'ADD_ADDR',
  'REMOVE_ADDR',
  'MP_PRIO',
  'MP_FAIL',
  'MP_FASTCLOSE',
  'MP_TCPRST',
];

/** Row and column in the order of NAMES; only what stands left of the diagonal. */
const MATRIX = [
  '',
  'n',
  'n n',
  'n n y',
  'y y y y',
  'n y y y y',
  'n n y n n n',
  'n n y n n n n',
  'n n n n n n y y',
];

describe('the option table', () => {
  it('has the subtypes of RFC 8684 §7.2', () => {
    assert.deepEqual(
      OPTION_TABLE.map(row => row.name),
      NAMES,
    );
    for (const [i, row] of OPTION_TABLE.entries()) {
      assert.equal(row.subtype, i);
      assert.equal(row.bit, 1 << i);
      assert.match(row.section, /^3\.\d(\.\d)?$/);
    }
  });

  it('lets those pairs coexist that the matrix does', () => {
    for (const [i, line] of MATRIX.entries()) {
      for (const [j, cell] of line.split(' ').entries()) {
        if (line === '') continue;
        assert.equal(mayCoexist((1 << i) | (1 << j)), cell === 'y', `${NAMES[i]} with ${NAMES[j]}`);
      }
    }
  });

  it('lets a set coexist when each of its pairs does, and each option alone', () => {
    for (let mp = 0; mp < 512; mp++) {
      const bits = [...Array(9).keys()].filter(i => (mp & (1 << i)) !== 0);
      const pairs = bits.flatMap(i => bits.filter(j => j < i).map(j => MATRIX[i].split(' ')[j]));
      assert.equal(
        mayCoexist(mp),
        pairs.every(cell => cell === 'y'),
        `set ${mp}`,
      );
    }
  });

  it('knows the kinds of segment', () => {
    assert.equal(segmentKind(Flag.SYN, 0), SegmentKind.SYN);
    assert.equal(segmentKind(Flag.SYN, 10), SegmentKind.SYN);
    assert.equal(segmentKind(Flag.SYN | Flag.ACK | Flag.ECE, 0), SegmentKind.SYN_ACK);
    assert.equal(segmentKind(Flag.ACK | Flag.FIN, 0), SegmentKind.ACK);
    assert.equal(segmentKind(Flag.ACK | Flag.FIN | Flag.PSH, 1), SegmentKind.DATA);
    assert.equal(segmentKind(Flag.RST | Flag.ACK, 0), SegmentKind.RST);
    assert.equal(segmentKind(Flag.RST | Flag.SYN, 5), SegmentKind.RST);
  });
});

/** Every way to give the segment the options of `mp` on this kind, in every legal length. */
function* forms(kind: (typeof KINDS)[number], mp: number): Generator<Segment> {
  const rows = OPTION_TABLE.filter(row => (mp & row.bit) !== 0);
  const choices = rows.map(row => {
    const lengths = row.lengths[kind.kind];
    if (row.name !== 'DSS') return lengths.map(length => ({ bit: row.bit, length, choice: 0 }));
    return lengths.flatMap(length => {
      const ways = DSS_FORMS.filter(form => form.length === length).length;
      return Array.from({ length: ways }, (_, choice) => ({ bit: row.bit, length, choice }));
    });
  });
  const counts = choices.map(c => c.length);
  const total = counts.reduce((a, b) => a * b, 1);
  for (let n = 0; n < total; n++) {
    const segment = new Segment();
    segment.flags = kind.flags;
    segment.payloadLength = kind.payloadLength;
    segment.mp = mp;
    segment.checksum = 7;
    segment.addAddrPort = 7;
    let rest = n;
    for (const [i, options] of choices.entries()) {
      const { bit, length, choice } = options[rest % counts[i]];
      rest = Math.floor(rest / counts[i]);
      shape(segment, bit, length, choice);
    }
    yield segment;
  }
}

describe('every combination the table permits', () => {
  const out = new Uint8Array(300);
  const back = new Segment();
  for (const kind of KINDS) {
    it(`on ${kind.kind} is written in 40 bytes and read again, or refused`, () => {
      let written = 0;
      let refused = 0;
      for (let mp = 1; mp < 512; mp++) {
        if (!mayCoexist(mp)) continue;
        for (const segment of forms(kind, mp)) {
          for (const timestamps of [false, true]) {
            segment.hasTimestamps = timestamps;
            const bytes = optionsLength(segment);
            const last = 1 << (31 - Math.clz32(mp));
            assert.equal(optionFits(segment, last), bytes <= 40);
            if (bytes > 40) {
              assert.throws(() => encodeHeaders(segment, out, 0), /bytes of TCP options/);
              refused++;
              continue;
            }
            const length = encodeHeaders(segment, out, 0);
            assert.ok(out[32] >> 4 <= 15 && length <= 80 && length === 40 + bytes);
            assert.ok(decodePacket(back, out, 0, length + kind.payloadLength));
            assert.equal(back.mp, mp);
            assert.equal(back.badOptions, 0);
            written++;
          }
        }
      }
      assert.ok(written > 0);
      if (kind.kind === 'ACK')
        assert.ok(written > 500 && refused > 500, `${written} written, ${refused} refused`);
    });
  }

  it('leaves room for the usual companions of timestamps', () => {
    // RFC 8684 Appendix A: with timestamps, the longest DSS, both handshake ACKs and ADD_ADDR of IPv4 fit.
    for (const [kind, bit, length] of [
      ['DATA', 4, 28],
      ['ACK', 1, 20],
      ['ACK', 2, 24],
      ['ACK', 8, 18],
      ['DATA', 1, 24],
    ] as const) {
      const segment = new Segment();
      const { flags, payloadLength } = KINDS.find(k => k.kind === kind)!;
      Object.assign(segment, { flags, payloadLength, hasTimestamps: true, checksum: 1, addAddrPort: 1 });
      shape(segment, bit, length, 0);
      assert.ok(optionFits(segment, bit), `${length} bytes of option ${bit}`);
    }
  });
});
