// The emulated path does to a packet what the simulated network does, at the same time, with the same luck.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EmulatedPath } from '../../src/emulator/emulated-path.ts';
import {
  type Direction,
  MiddleboxChain,
  type MiddleboxPlan,
  type PathOptions,
  Random,
} from '../../src/netmodel/index.ts';
import { EventKind, EventQueue } from '../../src/sim/clock.ts';
import { Fingerprint } from '../../src/sim/fingerprint.ts';
import { Network } from '../../src/sim/network.ts';
import {
  decodePacket,
  ecnField,
  Flag,
  foldChecksum,
  Mp,
  onesComplementSum,
  Segment,
  verifyChecksum,
} from '../../src/wire/index.ts';
import { packet } from '../sim/packets.ts';

interface Arrival {
  readonly timeMs: number;
  readonly direction: Direction;
  readonly bytes: Uint8Array;
}

interface Sent {
  readonly timeMs: number;
  readonly direction: Direction;
  readonly bytes: Uint8Array;
}

const CLIENT = '10.1.0.1';
const SERVER = '10.2.0.1';

const up = (options: Omit<Parameters<typeof packet>[0], 'from' | 'to'> = {}): Uint8Array =>
  packet({ from: CLIENT, to: SERVER, ...options });
const down = (options: Omit<Parameters<typeof packet>[0], 'from' | 'to'> = {}): Uint8Array =>
  packet({ from: SERVER, to: CLIENT, ...options });

function path(
  options: { forward?: PathOptions; backward?: PathOptions; middleboxes?: MiddleboxPlan[] } = {},
): EmulatedPath {
  return new EmulatedPath({ forward: {}, backward: {}, random: new Random(1), ...options });
}

/** Lets time pass until `untilMs`, stopping wherever the path wants to be looked at. */
function run(one: EmulatedPath, untilMs = Number.MAX_VALUE): Arrival[] {
  const arrivals: Arrival[] = [];
  for (let timeMs = one.nextDueMs; timeMs <= untilMs; timeMs = one.nextDueMs) {
    one.deliver(timeMs, (bytes, direction) => arrivals.push({ timeMs, direction, bytes }));
  }
  return arrivals;
}

test('a packet arrives whole, after its transmission and the delay of its direction', () => {
  const one = path({
    forward: { rateBitsPerSecond: 1_000_000, delayMs: 20 },
    backward: { delayMs: 7 },
  });
  assert.equal(one.nextDueMs, Infinity);
  const [there, back] = [up({ payloadLength: 1000 }), down({ payloadLength: 10 })];
  one.enter(there.slice(), 'forward', 5);
  one.enter(back.slice(), 'backward', 5);
  const [first, second, ...more] = run(one);
  assert.deepEqual(more, []);
  assert.deepEqual(first, { timeMs: 12, direction: 'backward', bytes: back.slice() });
  const sentMs = (there.length * 8) / 1000;
  assert.deepEqual(second, { timeMs: 5 + sentMs + 20, direction: 'forward', bytes: there.slice() });
});

test('a middlebox sees packets as they enter, and leaves checksums right', () => {
  const one = path({ middleboxes: [{ type: 'strip', match: {} }], forward: { delayMs: 3 } });
  one.enter(up({ flags: Flag.SYN, capable: true }), 'forward', 0);
  const [{ bytes }] = run(one);
  const segment = new Segment();
  assert.ok(decodePacket(segment, bytes, 0, bytes.length));
  assert.equal(segment.mp & Mp.CAPABLE, 0);
  assert.ok(verifyChecksum(bytes, 0, bytes.length));
});

test('what a middlebox answers goes back over the other direction', () => {
  const one = path({
    middleboxes: [{ type: 'reset', match: { direction: 'forward', kind: 'syn', subtypes: [] } }],
    forward: { delayMs: 3 },
    backward: { delayMs: 8 },
  });
  one.enter(up({ flags: Flag.SYN, capable: true }), 'forward', 0);
  const arrivals = run(one);
  const back = arrivals.filter(({ direction }) => direction === 'backward');
  assert.deepEqual(
    back.map(({ timeMs, bytes }) => [timeMs, bytes[20 + 13] & Flag.RST]),
    [[8, Flag.RST]],
  );
});

test('what a middlebox holds back leaves when it wants to, without a packet that pushes it', () => {
  const one = path({
    middleboxes: [{ type: 'coalesce', mostBytes: 16_384, waitMs: 10 }],
    forward: { delayMs: 2 },
  });
  const sent = up({ payloadLength: 100 });
  one.enter(sent.slice(), 'forward', 1);
  assert.equal(one.nextDueMs, 11);
  assert.deepEqual(run(one), [{ timeMs: 13, direction: 'forward', bytes: sent.slice() }]);
});

test('damage on the wire leaves the checksum wrong', () => {
  const one = path({ forward: { corrupt: 1 } });
  const sent = up({ payloadLength: 100 });
  one.enter(sent.slice(), 'forward', 0);
  const [{ bytes }] = run(one);
  const bits = [...bytes].map((byte, i) => (byte ^ sent[i]).toString(2).replaceAll('0', '').length);
  assert.equal(
    bits.reduce((sum, count) => sum + count, 0),
    1,
  );
  assert.equal(one.counters('forward')['deliveredPackets'], 1);
});

test('a path taken down loses what is under way', () => {
  const one = path({ forward: { delayMs: 10 } });
  one.enter(up(), 'forward', 0);
  one.setUp(false);
  one.enter(up(), 'forward', 1);
  assert.deepEqual(run(one), []);
  one.setUp(true);
  one.enter(up(), 'forward', 2);
  assert.equal(run(one).length, 1);
});

test('what is capable of it is marked by a managed queue, with a right header; the rest is dropped', () => {
  const one = path({ forward: { rateBitsPerSecond: 8000, aqm: { minBytes: 100, maxBytes: 100 } } });
  for (const ecn of [2, 1, 0]) one.enter(up({ payloadLength: 100, ecn }), 'forward', 0);
  const six = { from: 'fd00:1::1', to: 'fd00:2::1', payloadLength: 100 };
  one.enter(packet({ ...six, ecn: 2 }), 'forward', 0);
  const arrivals = run(one).map(({ bytes }) => bytes);
  assert.deepEqual(
    arrivals.map(bytes => ecnField(bytes, 0)),
    [2, 3, 3],
  );
  assert.equal(foldChecksum(onesComplementSum(arrivals[1], 0, 20)), 0);
  for (const bytes of arrivals) assert.ok(verifyChecksum(bytes, 0, bytes.length));
  // Nothing else was touched.
  assert.deepEqual(arrivals[2], packet({ ...six, ecn: 3 }).slice());
  assert.equal(one.counters('forward')['lostAqm'], 1);
});

const ROUGH: PathOptions = {
  aqm: { minBytes: 3000, maxBytes: 9000, maxProbability: 0.3 },
  dropPackets: [3, 17],
  rateBitsPerSecond: 8_000_000,
  delayMs: 10,
  jitterMs: 3,
  queueBytes: 20_000,
  loss: 0.02,
  corrupt: 0.03,
  duplicate: 0.02,
  reorder: { probability: 0.05, extraMs: 4 },
};
const BOXES: Record<string, MiddleboxPlan[]> = {
  none: [],
  'drops by chance': [{ type: 'drop', match: { probability: 0.1 } }],
  'joins segments': [{ type: 'coalesce', mostBytes: 4_000, waitMs: 6 }],
  'splits, then renumbers': [
    { type: 'split', mostBytes: 300, keeps: 'first' },
    { type: 'randomize-isn', rewritesSack: true },
  ],
  'acknowledges ahead': [{ type: 'acknowledge', direction: 'forward' }],
  'changes in the middle': [{ type: 'strip', match: { fromMs: 150 } }],
};

for (const [title, middleboxes] of Object.entries(BOXES)) {
  test(`as in the simulator: ${title}`, () => {
    const sent = traffic();
    const expected = simulated(sent, middleboxes);
    const found: Arrival[] = [];
    const one = path({ forward: ROUGH, backward: ROUGH, middleboxes });
    for (const { timeMs, direction, bytes } of sent) {
      found.push(...run(one, timeMs));
      one.enter(bytes.slice(), direction, timeMs);
    }
    found.push(...run(one));
    assert.ok(expected.length > 100, `${expected.length} arrivals`);
    assert.deepEqual(found.sort(inOrder), expected.sort(inOrder));
  });
}

/** A handshake, then data one way and acknowledgements the other, faster than the path at times. */
function traffic(): Sent[] {
  const random = new Random('traffic');
  const list: Sent[] = [
    { timeMs: 0, direction: 'forward', bytes: up({ flags: Flag.SYN, seq: 99, capable: true }) },
    { timeMs: 30, direction: 'backward', bytes: back(Flag.SYN | Flag.ACK, 199, 100) },
  ];
  let timeMs = 60;
  let seq = 100;
  for (let i = 0; i < 300; i++) {
    timeMs += random.next() * 2;
    const payloadLength = 100 + random.below(1200);
    list.push({ timeMs, direction: 'forward', bytes: up({ seq, payloadLength, ecn: i % 3 === 0 ? 2 : 0 }) });
    seq += payloadLength;
    if (random.chance(0.5)) list.push({ timeMs, direction: 'backward', bytes: back(Flag.ACK, 200, seq) });
  }
  return list;
}

/** Of the connection that `up` sends on. */
function back(flags: number, seq: number, ack: number): Uint8Array {
  const bytes = down({ flags, seq, ack });
  const ports = bytes.slice(20, 24);
  bytes.set(ports.subarray(2), 20);
  bytes.set(ports.subarray(0, 2), 22);
  return bytes;
}

/** The same traffic over the network of the simulator. */
function simulated(sent: readonly Sent[], plans: readonly MiddleboxPlan[]): Arrival[] {
  const queue = new EventQueue();
  const network = new Network({ queue, fingerprint: new Fingerprint() });
  const attach = (host: number, address: string) =>
    network.addInterface({ host, address, mtu: 1500, checksumOffload: false });
  const ends = { forward: attach(0, CLIENT), backward: attach(1, SERVER) };
  const middlebox = new MiddleboxChain(plans);
  const lane = (direction: Direction) =>
    network.addLane({
      path: 0,
      name: direction,
      from: ends[direction],
      to: ends[direction === 'forward' ? 'backward' : 'forward'],
      link: ROUGH,
      random: new Random(1).fork(direction),
      reportsMtu: false,
      loseFirst: { syns: 0, others: 0 },
      middlebox,
      direction,
    });
  const [forward, backward] = [lane('forward'), lane('backward')];
  forward.reverse = backward;
  backward.reverse = forward;
  for (const [i, { timeMs }] of sent.entries()) queue.schedule(timeMs, EventKind.CALL, i, 0);
  const arrivals: Arrival[] = [];
  while (queue.next()) {
    const { kind, subject, detail } = queue.current;
    if (kind === EventKind.CALL) {
      const { direction, bytes } = sent[subject];
      network.send(ends[direction], bytes, 0, bytes.length, 1460);
    } else if (kind === EventKind.MIDDLEBOX) {
      network.middleboxDue(subject);
    } else if (network.arrive(subject, detail)) {
      const { pool } = network;
      const start = pool.offset[subject];
      const bytes = pool.bytes(subject).slice(start, start + pool.length[subject]);
      const direction = detail === forward.index ? 'forward' : 'backward';
      arrivals.push({ timeMs: queue.nowMs, direction, bytes });
      pool.release(subject);
    }
  }
  return arrivals;
}

/** Several at one instant arrive in no order. */
function inOrder(one: Arrival, other: Arrival): number {
  return (
    one.timeMs - other.timeMs ||
    one.direction.localeCompare(other.direction) ||
    Buffer.compare(one.bytes, other.bytes)
  );
}
