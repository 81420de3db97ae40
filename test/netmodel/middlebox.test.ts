// Each box does to packets what it says, and leaves lengths and checksums right: the matrix would not notice
// a box that does nothing.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  createMiddlebox,
  type Direction,
  type Middlebox,
  MiddleboxChain,
  type MiddleboxPlan,
  Random,
} from '../../src/netmodel/index.ts';
import {
  DssFlag,
  decodePacket,
  encodeHeaders,
  Flag,
  formatAddress,
  headerLength,
  Mp,
  Segment,
  verifyChecksum,
  writeChecksum,
} from '../../src/wire/index.ts';

interface Fields {
  readonly back?: boolean;
  readonly seq?: number;
  readonly ack?: number;
  readonly flags?: number;
  readonly payload?: string;
  readonly capable?: boolean;
  readonly dss?: boolean;
  readonly sack?: readonly [number, number];
}

function packet({
  back,
  seq = 1,
  ack = 1,
  flags = Flag.ACK,
  payload = '',
  capable,
  dss,
  sack,
}: Fields): Uint8Array {
  const segment = new Segment();
  segment.reset();
  segment.src2 = segment.dst2 = 0xffff;
  segment.src3 = back ? 0x0a000002 : 0x0a000001;
  segment.dst3 = back ? 0x0a000001 : 0x0a000002;
  segment.srcPort = back ? 443 : 1000;
  segment.dstPort = back ? 1000 : 443;
  segment.seq = seq;
  segment.ack = ack;
  segment.flags = flags;
  segment.window = 500;
  if ((flags & Flag.SYN) !== 0) segment.mss = 1460;
  if (capable) {
    segment.mp = Mp.CAPABLE;
    segment.capableVersion = 1;
    segment.capableFlags = 1;
    segment.capableLength = (flags & Flag.ACK) !== 0 ? 12 : 4;
  }
  if (dss) {
    segment.mp = Mp.DSS;
    segment.dssFlags = DssFlag.DATA_ACK;
    segment.dataAckLo = 7;
  }
  if (sack !== undefined) {
    segment.sackCount = 1;
    segment.sackLeft[0] = sack[0];
    segment.sackRight[0] = sack[1];
  }
  segment.payloadLength = payload.length;
  const bytes = new Uint8Array(headerLength(segment) + payload.length);
  bytes.set(new TextEncoder().encode(payload), encodeHeaders(segment, bytes, 0));
  writeChecksum(bytes, 0, bytes.length);
  return bytes;
}

interface Seen {
  readonly segment: Segment;
  readonly direction: Direction;
  readonly payload: string;
}

class Bench {
  readonly box: Middlebox;
  now = 0;
  private readonly random = new Random(1);

  constructor(...plans: MiddleboxPlan[]) {
    this.box = plans.length === 1 ? createMiddlebox(plans[0]) : new MiddleboxChain(plans);
  }

  send(fields: Fields): Seen[] {
    const seen: Seen[] = [];
    const direction = fields.back ? 'backward' : 'forward';
    this.box.pass(packet(fields), direction, this.now, this.random, (out, way) => seen.push(read(out, way)));
    return seen;
  }

  due(): Seen[] {
    const seen: Seen[] = [];
    this.box.due(this.now, (out, way) => seen.push(read(out, way)));
    return seen;
  }
}

function read(bytes: Uint8Array, direction: Direction): Seen {
  const segment = new Segment();
  assert.ok(decodePacket(segment, bytes, 0, bytes.length), 'whole');
  assert.ok(verifyChecksum(bytes, 0, bytes.length), 'checksum');
  const end = segment.payloadOffset + segment.payloadLength;
  return {
    segment,
    direction,
    payload: new TextDecoder().decode(bytes.subarray(segment.payloadOffset, end)),
  };
}

const SYN: Fields = { flags: Flag.SYN, seq: 99, ack: 0, capable: true };
const SYN_ACK: Fields = { back: true, flags: Flag.SYN | Flag.ACK, seq: 499, ack: 100, capable: true };

describe('options', () => {
  test('strip takes them from the packets meant, the first so many, from a time on', () => {
    const bench = new Bench({
      type: 'strip',
      match: { direction: 'forward', kind: 'data', fromMs: 5, first: 1 },
    });
    assert.equal(bench.send({ dss: true, payload: 'a' })[0].segment.mp, Mp.DSS);
    bench.now = 5;
    assert.equal(bench.send({ dss: true })[0].segment.mp, Mp.DSS);
    assert.equal(bench.send({ dss: true, payload: 'b' })[0].segment.mp, 0);
    assert.equal(bench.send({ dss: true, payload: 'c' })[0].segment.mp, Mp.DSS);
  });

  test('drop and reset', () => {
    assert.deepEqual(new Bench({ type: 'drop', match: { subtypes: [] } }).send({ dss: true }), []);
    assert.equal(new Bench({ type: 'drop', match: { subtypes: [0] } }).send({ dss: true }).length, 1);
    const [rst, ...rest] = new Bench({ type: 'reset', match: { kind: 'syn' } }).send(SYN);
    assert.deepEqual(
      [rest.length, rst.direction, rst.segment.flags, rst.segment.ack],
      [0, 'backward', Flag.RST | Flag.ACK, 100],
    );
    const both = new Bench({ type: 'reset', match: {} }).send({ seq: 5, ack: 9 });
    assert.deepEqual(
      both.map(({ direction, segment }) => [direction, segment.seq, segment.srcPort]),
      [
        ['backward', 9, 443],
        ['forward', 5, 1000],
      ],
    );
  });

  test('mirror, version 0, doubled SYNs, MSS', () => {
    const mirror = new Bench({ type: 'mirror', asAnswer: true });
    mirror.send(SYN);
    const [answer] = mirror.send({ ...SYN_ACK, capable: false });
    assert.deepEqual([answer.segment.mp, answer.segment.capableLength], [Mp.CAPABLE, 12]);
    const [old] = new Bench({ type: 'version-zero' }).send(SYN);
    assert.equal(old.segment.mp === 0 || old.segment.capableVersion === 0, true);
    const doubled = new Bench({ type: 'double-syn', plainFirst: true }).send(SYN);
    assert.deepEqual(
      doubled.map(({ segment }) => segment.mp),
      [0, Mp.CAPABLE],
    );
    assert.equal(new Bench({ type: 'clamp-mss', mostBytes: 900 }).send(SYN)[0].segment.mss, 900);
    assert.equal(new Bench({ type: 'shrink-window', most: 16 }).send({})[0].segment.window, 16);
  });
});

describe('sequence numbers and addresses', () => {
  for (const rewritesSack of [true, false]) {
    test(`randomised numbers are consistent both ways; SACK ${rewritesSack ? 'too' : 'forgotten'}`, () => {
      const bench = new Bench({ type: 'randomize-isn', rewritesSack });
      const [syn] = bench.send(SYN);
      const shift = (syn.segment.seq - 99) >>> 0;
      assert.notEqual(shift, 0);
      const [back] = bench.send({ ...SYN_ACK, ack: (100 + shift) >>> 0, sack: [200 + shift, 300 + shift] });
      assert.equal(back.segment.ack, 100);
      const [data] = bench.send({ seq: 100, payload: 'x' });
      assert.equal(data.segment.seq, (100 + shift) >>> 0);
      const ack = { back: true, seq: 500, ack: (101 + shift) >>> 0 };
      const [sacked] = bench.send({ ...ack, sack: [(200 + shift) >>> 0, (300 + shift) >>> 0] });
      assert.equal(sacked.segment.ack, 101);
      assert.equal(sacked.segment.sackLeft[0], rewritesSack ? 200 : (200 + shift) >>> 0);
    });
  }

  test('translation there and back, and mappings that are forgotten', () => {
    const bench = new Bench({ type: 'translate', address: '10.9.9.9', idleMs: 100 });
    const [out] = bench.send(SYN);
    const { src0, src1, src2, src3, srcPort } = out.segment;
    assert.equal(formatAddress(src0, src1, src2, src3), '10.9.9.9');
    assert.notEqual(srcPort, 1000);
    // What comes to the old port has no mapping.
    assert.deepEqual(bench.send(SYN_ACK), []);
    bench.now = 200;
    assert.notEqual(bench.send({ payload: 'x' })[0].segment.srcPort, srcPort);
  });

  test('a SYN proxy answers first and opens behind; a proactive acknowledgement carries no option', () => {
    const proxy = new Bench({ type: 'syn-proxy' });
    const [answer] = proxy.send(SYN);
    assert.deepEqual([answer.direction, answer.segment.ack, answer.segment.mp], ['backward', 100, 0]);
    const [opening] = proxy.send({ seq: 100, ack: answer.segment.seq + 1 });
    assert.deepEqual(
      [opening.direction, opening.segment.flags, opening.segment.seq],
      ['forward', Flag.SYN, 99],
    );
    const [held] = proxy.send({ ...SYN_ACK, capable: false });
    assert.deepEqual([held.direction, held.segment.ack], ['forward', 500]);
    const pep = new Bench({ type: 'acknowledge', direction: 'forward' });
    pep.send(SYN);
    const [data, ack] = pep.send({ seq: 100, payload: 'abc', dss: true });
    assert.deepEqual(
      [data.segment.mp, ack.direction, ack.segment.ack, ack.segment.mp],
      [Mp.DSS, 'backward', 103, 0],
    );
  });
});

describe('payload and segments', () => {
  test('inserted bytes stay at their place in the stream, and both ends count alike', () => {
    const bench = new Bench({ type: 'insert-bytes', direction: 'forward', atByte: 3, bytes: 2 });
    bench.send(SYN);
    assert.equal(bench.send({ seq: 100, payload: 'abcde' })[0].payload, 'abcxxde');
    assert.equal(bench.send({ seq: 102, payload: 'cde' })[0].payload, 'cxxde');
    assert.equal(bench.send({ seq: 105, payload: 'f' })[0].segment.seq, 107);
    assert.equal(bench.send({ back: true, ack: 107 })[0].segment.ack, 105);
    assert.equal(bench.send({ back: true, ack: 102 })[0].segment.ack, 102);
  });

  test('changed bytes are those of the place, in every copy', () => {
    const bench = new Bench({ type: 'change-bytes', direction: 'forward', atBytes: [1] });
    bench.send(SYN);
    const changed = String.fromCharCode('b'.charCodeAt(0) ^ 0x5a);
    assert.equal(bench.send({ seq: 100, payload: 'abc' })[0].payload, `a${changed}c`);
    assert.equal(bench.send({ seq: 101, payload: 'bc' })[0].payload, `${changed}c`);
    assert.equal(bench.send({ seq: 102, payload: 'c' })[0].payload, 'c');
  });

  test('joined segments have the options of the first, and leave in time', () => {
    const bench = new Bench({ type: 'coalesce', mostBytes: 4, waitMs: 1 });
    assert.deepEqual(bench.send({ seq: 1, payload: 'ab', dss: true }), []);
    assert.deepEqual(bench.send({ seq: 3, payload: 'cd' }), []);
    assert.equal(bench.box.dueMs, 1);
    bench.now = 1;
    const [one] = bench.due();
    assert.deepEqual([one.payload, one.segment.mp, one.segment.seq], ['abcd', Mp.DSS, 1]);
  });

  for (const [keeps, options] of [
    ['all', [Mp.DSS, Mp.DSS, Mp.DSS]],
    ['first', [Mp.DSS, 0, 0]],
    ['last', [0, 0, Mp.DSS]],
  ] as const) {
    test(`split segments: options on ${keeps}`, () => {
      const seen = new Bench({ type: 'split', mostBytes: 2, keeps }).send({
        seq: 10,
        payload: 'abcde',
        dss: true,
      });
      assert.deepEqual(
        seen.map(({ payload, segment }) => [payload, segment.seq]),
        [
          ['ab', 10],
          ['cd', 12],
          ['e', 14],
        ],
      );
      assert.deepEqual(
        seen.map(({ segment }) => segment.mp),
        options,
      );
    });
  }

  test('nothing passes behind a hole; old segments come again', () => {
    const blocker = new Bench({ type: 'block-holes' });
    blocker.send(SYN);
    assert.deepEqual(blocker.send({ seq: 102, payload: 'c' }), []);
    assert.equal(blocker.send({ seq: 100, payload: 'ab' }).length, 1);
    assert.equal(blocker.send({ seq: 102, payload: 'c' }).length, 1);
    const replayer = new Bench({ type: 'replay', every: 2 });
    replayer.send({ seq: 1, payload: 'a' });
    assert.deepEqual(
      replayer.send({ seq: 2, payload: 'b' }).map(({ payload }) => payload),
      ['b', 'a'],
    );
  });

  test('boxes stand one behind the other, in the order of the direction', () => {
    const plans: MiddleboxPlan[] = [
      { type: 'insert-bytes', direction: 'forward', atByte: 0, bytes: 1 },
      { type: 'split', mostBytes: 1, keeps: 'all' },
    ];
    const bench = new Bench(...plans);
    bench.send(SYN);
    assert.deepEqual(
      bench.send({ seq: 100, payload: 'a' }).map(({ payload }) => payload),
      ['x', 'a'],
    );
  });
});
