import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MiddleboxChain, type MiddleboxPlan, Random } from '../../src/netmodel/index.ts';
import { EventKind, EventQueue } from '../../src/sim/clock.ts';
import { Fingerprint } from '../../src/sim/fingerprint.ts';
import { type Lane, Network, type NetworkInterface } from '../../src/sim/network.ts';
import type { FirstLosses, LinkPlan } from '../../src/sim/plan.ts';
import { decodePacket, Flag, Mp, Segment, verifyChecksum } from '../../src/wire/index.ts';
import { packet } from './packets.ts';

interface Arrival {
  timeMs: number;
  lane: number;
  bytes: Uint8Array;
}

class Bench {
  readonly queue = new EventQueue();
  readonly fingerprint = new Fingerprint();
  readonly network = new Network({ queue: this.queue, fingerprint: this.fingerprint });

  attach(host: number, address: string, mtu = 1500): NetworkInterface {
    return this.network.addInterface({ host, address, mtu, checksumOffload: false });
  }

  lane(
    from: NetworkInterface,
    to: NetworkInterface,
    link: LinkPlan,
    options: { loseFirst?: FirstLosses; middleboxes?: MiddleboxPlan[] } = {},
  ): Lane {
    return this.network.addLane({
      path: 0,
      name: 'lane',
      from,
      to,
      link,
      random: new Random(1).fork(this.network.lanes.length),
      reportsMtu: false,
      loseFirst: options.loseFirst ?? { syns: 0, others: 0 },
      middlebox: options.middleboxes === undefined ? undefined : new MiddleboxChain(options.middleboxes),
    });
  }

  send(from: NetworkInterface, bytes: Uint8Array, segmentSize = 1460): void {
    this.network.send(from, bytes, 0, bytes.length, segmentSize);
  }

  /** Everything that arrives, until nothing is under way. */
  arrivals(): Arrival[] {
    const list: Arrival[] = [];
    while (this.queue.next()) {
      const { kind, subject, detail } = this.queue.current;
      assert.equal(kind, EventKind.ARRIVAL);
      if (!this.network.arrive(subject, detail)) continue;
      const { pool } = this.network;
      const start = pool.offset[subject];
      const bytes = pool.bytes(subject).slice(start, start + pool.length[subject]);
      list.push({ timeMs: this.queue.nowMs, lane: detail, bytes });
      pool.release(subject);
    }
    assert.equal(this.network.pool.inUse, 0);
    return list;
  }
}

const A = '10.1.0.1';
const B = '10.2.0.1';

test('a packet arrives whole, after its transmission and the delay', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  bench.lane(a, b, { rateBitsPerSecond: 1_000_000, delayMs: 20 });
  const sent = packet({ from: A, to: B, payloadLength: 1000 });
  bench.send(a, sent);
  const [arrival, ...more] = bench.arrivals();
  assert.equal(more.length, 0);
  assert.equal(arrival.timeMs, (sent.length * 8) / 1000 + 20);
  assert.deepEqual(arrival.bytes, new Uint8Array(sent));
});

test('packets find their lane by destination, IPv4 and IPv6; without one they are counted', () => {
  const bench = new Bench();
  const [a, a6] = [bench.attach(0, A), bench.attach(0, 'fd00:1::1')];
  const [b, c, b6] = [bench.attach(1, B), bench.attach(1, '10.2.1.1'), bench.attach(1, 'fd00:2::1')];
  const lanes = [bench.lane(a, b, {}), bench.lane(a, c, {}), bench.lane(a6, b6, {})];
  bench.send(a, packet({ from: A, to: '10.2.1.1' }));
  bench.send(a, packet({ from: A, to: B }));
  bench.send(a6, packet({ from: 'fd00:1::1', to: 'fd00:2::1' }));
  bench.send(a, packet({ from: A, to: '10.9.9.9' }));
  bench.send(a6, packet({ from: 'fd00:1::1', to: 'fd00:2::2' }));
  const seen = bench.arrivals().map(one => one.lane);
  assert.deepEqual(seen, [lanes[1].index, lanes[0].index, lanes[2].index]);
  assert.equal(bench.network.unroutable, 2);
});

for (const [from, to] of [
  [A, B],
  ['fd00:1::1', 'fd00:2::1'],
]) {
  test(`a super-segment enters as wire packets with right numbers and checksums: ${from}`, () => {
    const bench = new Bench();
    const [a, b] = [bench.attach(0, from), bench.attach(1, to)];
    bench.lane(a, b, { rateBitsPerSecond: 10_000_000 });
    const sent = packet({ from, to, seq: 5000, payloadLength: 60_000, flags: Flag.ACK | Flag.PSH });
    bench.send(a, sent, 1400);
    const arrived = bench.arrivals();
    assert.equal(arrived.length, Math.ceil(60_000 / 1400));
    const segment = new Segment();
    let seq = 5000;
    let lastMs = 0;
    for (const [i, { bytes, timeMs }] of arrived.entries()) {
      assert.ok(decodePacket(segment, bytes, 0, bytes.length));
      assert.ok(verifyChecksum(bytes, 0, bytes.length));
      assert.equal(segment.seq, seq);
      assert.ok(segment.payloadLength <= 1400);
      assert.ok(timeMs > lastMs, 'one after the other at the rate of the link');
      lastMs = timeMs;
      assert.equal((segment.flags & Flag.PSH) !== 0, i === arrived.length - 1);
      for (let k = 0; k < segment.payloadLength; k += 97) {
        assert.equal(bytes[segment.payloadOffset + k], (seq - 5000 + k) & 0xff);
      }
      seq += segment.payloadLength;
    }
    assert.equal(seq, 65_000);
  });
}

test('a full queue drops wire packets, not whole super-segments', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  const lane = bench.lane(a, b, { rateBitsPerSecond: 1_000_000, queueBytes: 10 * 1500 });
  bench.send(a, packet({ from: A, to: B, payloadLength: 60_000 }), 1460);
  const arrived = bench.arrivals().length;
  assert.equal(arrived, 10);
  assert.equal(lane.lostPackets, Math.ceil(60_000 / 1460) - 10);
});

test('a corrupted packet differs in one bit, and its checksum says so', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  const lane = bench.lane(a, b, { corrupt: 1 });
  const sent = packet({ from: A, to: B, payloadLength: 500 });
  let failing = 0;
  for (let i = 0; i < 200; i++) bench.send(a, sent);
  const arrived = bench.arrivals();
  for (const { bytes } of arrived) {
    const different = bytes.reduce((bits, byte, i) => {
      return bits + (byte ^ sent[i]).toString(2).replaceAll('0', '').length;
    }, 0);
    assert.equal(different, 1);
    if (!verifyChecksum(bytes, 0, bytes.length)) failing++;
  }
  assert.equal(failing, arrived.length);
  assert.equal(lane.lostPackets, 200);
});

test('a duplicate is a second copy of the same packet', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  bench.lane(a, b, { duplicate: 1, delayMs: 5 });
  const sent = packet({ from: A, to: B, payloadLength: 100 });
  bench.send(a, sent);
  const arrived = bench.arrivals();
  assert.equal(arrived.length, 2);
  for (const { bytes } of arrived) assert.deepEqual(bytes, new Uint8Array(sent));
});

test('what is under way when a lane is cut does not arrive, what comes after the cut does', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  const lane = bench.lane(a, b, { delayMs: 50 });
  bench.send(a, packet({ from: A, to: B, seq: 1 }));
  lane.model.setUp(false);
  bench.send(a, packet({ from: A, to: B, seq: 2 }));
  lane.model.setUp(true);
  bench.send(a, packet({ from: A, to: B, seq: 3 }));
  const arrived = bench.arrivals();
  const segment = new Segment();
  assert.equal(arrived.length, 1);
  assert.ok(decodePacket(segment, arrived[0].bytes, 0, arrived[0].bytes.length));
  assert.equal(segment.seq, 3);
  assert.equal(lane.lostPackets, 2);
});

test('a packet to an address that is gone is lost', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  const lane = bench.lane(a, b, { delayMs: 50 });
  bench.send(a, packet({ from: A, to: B }));
  b.present = false;
  assert.equal(bench.arrivals().length, 0);
  assert.equal(lane.lostPackets, 1);
});

test('the first packets with and without SYN can be lost for certain', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
  const lane = bench.lane(a, b, {}, { loseFirst: { syns: 2, others: 1 } });
  for (let i = 0; i < 3; i++) bench.send(a, packet({ from: A, to: B, flags: Flag.SYN }));
  for (let i = 0; i < 3; i++) bench.send(a, packet({ from: A, to: B }));
  assert.equal(bench.arrivals().length, 3);
  assert.equal(lane.lostSyns, 2);
  assert.equal(lane.lostPackets, 3);
});

for (const kind of ['syns', 'not-syn', undefined] as const) {
  test(`a middlebox takes MPTCP options out, and nothing else: ${kind ?? 'all'}`, () => {
    const bench = new Bench();
    const [a, b] = [bench.attach(0, A), bench.attach(1, B)];
    const lane = bench.lane(
      a,
      b,
      {},
      {
        middleboxes: [{ type: 'strip', match: kind === undefined ? {} : { kind } }],
      },
    );
    bench.send(a, packet({ from: A, to: B, flags: Flag.SYN, tsVal: 9, capable: true }));
    bench.send(a, packet({ from: A, to: B, payloadLength: 100, tsVal: 10, prio: true }));
    const [syn, data] = bench.arrivals().map(({ bytes }) => {
      const segment = new Segment();
      assert.ok(decodePacket(segment, bytes, 0, bytes.length) && verifyChecksum(bytes, 0, bytes.length));
      return segment;
    });
    assert.equal(syn.mp, kind === 'not-syn' ? Mp.CAPABLE : 0);
    assert.equal(data.mp, kind === 'syns' ? Mp.PRIO : 0);
    assert.deepEqual([syn.tsVal, data.tsVal, data.payloadLength], [9, 10, 100]);
    assert.equal(lane.interferences, kind === undefined ? 2 : 1);
  });
}

test('a packet larger than the interface allows on the wire is reported', () => {
  const bench = new Bench();
  const [a, b] = [bench.attach(0, A, 1400), bench.attach(1, B, 1400)];
  bench.lane(a, b, {});
  const reported: string[] = [];
  bench.network.onViolation = message => reported.push(message);
  bench.send(a, packet({ from: A, to: B, payloadLength: 1360 }), 1360);
  assert.equal(reported.length, 0);
  bench.send(a, packet({ from: A, to: B, payloadLength: 1361 }), 1361);
  assert.equal(reported.length, 1);
});

test('the fingerprint depends on every bit of every packet, on its time and its lane', () => {
  const sent = packet({ from: A, to: B, payloadLength: 501 });
  const words = (bytes: Uint8Array) => {
    const padded = new Uint8Array(512 + 64);
    padded.set(bytes);
    return { bytes: padded, words: new Int32Array(padded.buffer) };
  };
  const of = (nowMs: number, lane: number, bytes: Uint8Array) => {
    const fingerprint = new Fingerprint();
    const view = words(bytes);
    fingerprint.add(nowMs, lane, view.words, view.bytes, 0, bytes.length);
    return fingerprint.toString();
  };
  const seen = new Set([of(1, 0, sent), of(1.000001, 0, sent), of(1, 1, sent), of(1, 0, sent.subarray(1))]);
  assert.equal(seen.size, 4);
  for (let bit = 0; bit < sent.length * 8; bit++) {
    const flipped = new Uint8Array(sent);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    seen.add(of(1, 0, flipped));
  }
  assert.equal(seen.size, 4 + sent.length * 8);
  assert.equal(of(1, 0, sent), of(1, 0, new Uint8Array(sent)));
});
