// One below, at, one above: what announces and remembers addresses, keeps to limits, holds mappings and waits for
// silence, each with as much of a connection as it asks. Expected values are the RFC's, Linux's or arithmetic.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MultipathConnection } from '../../src/mptcp/connection.ts';
import { DataSequence } from '../../src/mptcp/data-sequence.ts';
import { Expectation } from '../../src/mptcp/expectation.ts';
import { MPTCP_DEFAULTS } from '../../src/mptcp/index.ts';
import { sameBytes } from '../../src/mptcp/keys.ts';
import { knownOf, NetworkMemory, Options } from '../../src/mptcp/network-memory.ts';
import { Endpoints } from '../../src/mptcp/paths/endpoints.ts';
import { PathManager } from '../../src/mptcp/paths/path-manager.ts';
import { MapResult, ReceiveMap } from '../../src/mptcp/receive-map.ts';
import { LASTING_REASONS, ResetReason } from '../../src/mptcp/reset-reason.ts';
import { LowestRtt } from '../../src/mptcp/scheduler/lowest-rtt.ts';
import type { Path } from '../../src/mptcp/scheduler/scheduler.ts';
import { SendMap } from '../../src/mptcp/send-map.ts';
import { Signals } from '../../src/mptcp/signals.ts';
import { Staging } from '../../src/mptcp/staging.ts';
import { Stage, type Subflow } from '../../src/mptcp/subflow.ts';
import { answers, probeSuspected, silence, watch } from '../../src/mptcp/suspicion.ts';
import type { NetworkInterface } from '../../src/tcp/index.ts';
import { RangeSet } from '../../src/tcp/index.ts';
import { Mp, parseAddress, Segment } from '../../src/wire/index.ts';

const words = (address: string): Int32Array => {
  const into = new Int32Array(4);
  assert.ok(parseAddress(address, into) > 0);
  return into;
};

test('what is configured when nobody configures it', () => {
  // Linux's sysctls, in ms, and what docs/api/core.md and the RFCs say of the others.
  const defaults: Partial<typeof MPTCP_DEFAULTS> = {
    ...{ checksum: false, allowJoinInitialAddress: true, closeTimeoutMs: 60_000, maxSubflows: 8 },
    ...{ suspectProbeMs: 500, suspectSlackMs: 50, replaceAfterMs: 3000 },
    ...{ rejoinMinMs: 1000, rejoinMaxMs: 30_000, subflowKeepAliveMs: 0, subflowTimeWaitMs: 2000 },
    ...{ addAddrTimeoutMs: 1000, addAddrRetries: 5, fastcloseRetries: 3, maxMappings: 8192 },
    ...{ plainSynMs: 400, blackholeTimeoutMs: 3_600_000, firstDataAck: false, shortSequence: false },
    ...{ sendBufferBytes: 4 << 20, receiveBufferBytes: 4 << 20, sendBufferInitialBytes: 65_536 },
    ...{ initialWindowSegments: 10, rtoMinMs: 200, rtoInitialMs: 1000, rtoMaxMs: 120_000 },
    ...{ synRetries: 6, synAckRetries: 5, dataTimeoutMs: 120_000, userTimeoutMs: 0, delayedAckMs: 40 },
    ...{ timeWaitMs: 60_000, finWait2Ms: 60_000, keepAliveIdleMs: 7_200_000, keepAliveIntervalMs: 75_000 },
    ...{ keepAliveProbes: 9, challengeAcksPerSecond: 10, hopLimit: 64, dscp: 0, maxSegmentBytes: 0 },
    ...{ mtuFloorBytes: 1280, amplificationLimit: 3, windowUnits: 4096, asLinux: false },
  };
  assert.deepEqual({ ...MPTCP_DEFAULTS, ...defaults }, MPTCP_DEFAULTS);
});

test('RFC 8684 §3.6: the reasons by number, and those that last', () => {
  assert.deepEqual(Object.values(ResetReason), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...LASTING_REASONS], [2, 6]);
});

test('RFC 8684 §3.3.1: 64-bit numbers carry and wrap; what is out of proportion is nothing', () => {
  const sequence = new DataSequence();
  sequence.start({ idsnHi: 0xffff_ffff, idsnLo: 0xffff_fffe });
  for (const [dsn, hi, lo] of [
    [0, 0xffff_ffff, 0xffff_fffe],
    [1, 0xffff_ffff, 0xffff_ffff],
    [2, 0, 0],
    [2 ** 32 + 1, 0, 0xffff_ffff],
    [2 ** 32 + 2, 1, 0],
  ]) {
    assert.deepEqual([sequence.wireHi(dsn), sequence.wireLo(dsn)], [hi, lo]);
    assert.equal(sequence.from64(hi, lo), dsn);
    assert.equal(sequence.from32(lo, dsn), dsn);
    // Half of the numbers ahead are ahead, the other half behind.
    assert.equal(sequence.from32((lo + 2 ** 31 - 1) % 2 ** 32, dsn), dsn + 2 ** 31 - 1);
    assert.equal(sequence.from32((lo + 2 ** 31) % 2 ** 32, dsn), dsn - 2 ** 31);
  }
  assert.equal(sequence.from64(0xffff_ffff, 0xffff_fffd), -1);
  const near = new DataSequence();
  near.start({ idsnHi: 0, idsnLo: 0 });
  for (const [hi, lo, dsn] of [
    [0x0f_ffff, 0xffff_ffff, 2 ** 52 - 1],
    [0x10_0000, 0, NaN],
    [0xfff0_0000, 1, 1 - 2 ** 52],
    [0xfff0_0000, 0, NaN],
    [0x8000_0000, 0, NaN],
  ]) {
    assert.equal(near.from64(hi, lo), dsn);
  }
  near.leaveOut(5);
  assert.equal(near.wireLo(6), 1);
  assert.equal(near.from64(0, 1), 6);
});

test('keys are compared as far as was asked', () => {
  const a = Uint8Array.of(1, 2, 3);
  assert.equal(sameBytes(a, Uint8Array.of(1, 2, 4), 2), true);
  assert.equal(sameBytes(a, Uint8Array.of(1, 2, 4), 3), false);
  assert.equal(sameBytes(a, Uint8Array.of(0, 2, 3), 3), false);
});

test('ReceiveMap: part of a mapping that says the same is known, one byte more is a conflict', () => {
  for (const [ssn, dsn, length, result] of [
    [100, 500, 10, MapResult.KNOWN],
    [100, 500, 9, MapResult.KNOWN],
    [101, 501, 9, MapResult.KNOWN],
    [101, 501, 10, MapResult.CONFLICT],
    [99, 499, 11, MapResult.CONFLICT],
    [100, 501, 10, MapResult.CONFLICT],
    [90, 490, 10, MapResult.NEW],
    [90, 490, 11, MapResult.CONFLICT],
    [110, 510, 1, MapResult.NEW],
    [109, 509, 1, MapResult.KNOWN],
  ]) {
    const map = new ReceiveMap(8);
    assert.equal(map.add(100, 500, 10, 7), MapResult.NEW);
    assert.equal(map.add(ssn, dsn, length, 7), result, `${ssn} ${dsn} ${length}`);
  }
  const map = new ReceiveMap(2);
  map.add(100, 500, 10, 7);
  assert.deepEqual(
    [99, 100, 109, 110].map(ssn => map.find(ssn)),
    [-1, 0, 0, -1],
  );
  assert.deepEqual(
    [99, 100, 109, 110].map(ssn => map.nextStart(ssn)),
    [100, 100, 109, Infinity],
  );
  assert.equal(map.add(110, 510, 10, 7), MapResult.NEW);
  assert.equal(map.add(120, 520, 10, 7), MapResult.FULL);
  map.release(109);
  assert.equal(map.count, 2);
  map.release(110);
  assert.deepEqual([map.count, map.ssn(0), map.dsn(0), map.checksum(0)], [1, 110, 510, 7]);
});

test('SendMap: what is found, overlaps and is released, in order and with a repetition among it', () => {
  for (const repeated of [false, true]) {
    const map = new SendMap();
    map.append(1, 101, 10, false, -1);
    map.append(11, 111, 10, true, 5);
    if (repeated) map.append(21, 90, 5, false, -1);
    assert.deepEqual(
      [0, 1, 10, 11, 20, 26].map(ssn => map.find(ssn)),
      [-1, 0, 0, 1, 1, -1],
    );
    for (const [start, end, hit, next] of [
      [95, 101, false, 101],
      [95, 102, true, 101],
      [120, 121, true, 121],
      [121, 130, false, 130],
      [101, 105, true, 101],
      [102, 111, true, 111],
      [102, 112, true, 111],
    ] as const) {
      assert.equal(map.overlaps(start, end), hit, `${start} to ${end}`);
      assert.equal(map.nextOverlap(start, end), next, `${start} to ${end}`);
    }
    assert.equal(map.lowestDsn(), repeated ? 90 : 101);
    assert.deepEqual([map.hasFin(0), map.hasFin(1), map.checksum(1)], [false, true, 5]);
    map.release(10);
    assert.equal(map.ssn(0), 1);
    map.release(11);
    assert.equal(map.ssn(0), 11);
    map.keep(0, new Uint8Array(10));
    assert.equal(map.lowestDsn(), repeated ? 90 : Infinity);
    if (repeated) map.release(21);
    else continue;
    map.append(26, 95, 5, false, -1);
    map.append(31, 100, 5, false, -1);
    assert.deepEqual([map.lowestDsn(), map.nextOverlap(96, 200), map.overlaps(94, 95)], [90, 100, true]);
  }
});

test('SendMap: out of order from the second mapping on, and while any of those is left', () => {
  const map = new SendMap();
  map.append(1, 101, 10, false, -1);
  map.append(11, 110, 10, false, -1);
  map.append(21, 40, 10, true, 7);
  assert.deepEqual([map.lowestDsn(), map.overlaps(40, 41), map.nextOverlap(30, 200)], [40, true, 40]);
  map.release(11);
  assert.deepEqual([map.count, map.lowestDsn(), map.overlaps(110, 111)], [2, 40, true]);
  map.release(21);
  assert.deepEqual([map.count, map.lowestDsn(), map.hasFin(0), map.checksum(0)], [1, 40, true, 7]);
  map.release(31);
  // What was there once is not found any more, whatever comes round.
  assert.deepEqual(
    [map.find(21), map.find(1), map.lowestDsn(), map.overlaps(1, 500), map.nextOverlap(1, 500)],
    [-1, -1, Infinity, false, 500],
  );
  const second = new SendMap();
  second.append(1, 101, 10, false, -1);
  second.append(11, 90, 11, false, -1);
  assert.deepEqual(
    [second.lowestDsn(), second.nextOverlap(80, 200), second.nextOverlap(90, 200)],
    [90, 90, 90],
  );
  assert.deepEqual([second.nextOverlap(91, 101), second.nextOverlap(91, 102)], [101, 101]);
});

test('SendMap: what was released is not found when the ring comes round', () => {
  for (const repeated of [false, true]) {
    const map = new SendMap();
    for (let i = 0; i < 16; i++) map.append(1 + 10 * i, 1001 + 10 * i, 10, false, -1);
    map.release(31);
    // In the place of the first, a repetition or what follows.
    if (repeated) map.append(161, 500, 10, false, -1);
    map.release(41);
    assert.equal(map.count, repeated ? 13 : 12);
    for (const dsn of [1001, 1011, 1021, 1031]) {
      assert.equal(map.overlaps(dsn, dsn + 10), false);
      assert.equal(map.nextOverlap(dsn, dsn + 10), dsn + 10);
    }
    assert.deepEqual(
      [1, 11, 31].map(ssn => map.find(ssn)),
      [-1, -1, -1],
    );
    assert.equal(map.lowestDsn(), repeated ? 500 : 1041);
  }
});

test('SendMap: what TCP has acknowledged and the connection has not, to the byte', () => {
  for (const [ssn, dataUna, ranges] of [
    [1, 101, []],
    [2, 101, [[101, 102]]],
    [11, 101, [[101, 111]]],
    [12, 101, [[101, 112]]],
    [21, 105, [[105, 121]]],
    [21, 120, [[120, 121]]],
    [21, 121, []],
    [
      22,
      90,
      [
        [90, 91],
        [101, 121],
      ],
    ],
  ] as const) {
    const map = new SendMap();
    map.append(1, 101, 10, false, -1);
    map.append(11, 111, 10, false, -1);
    map.append(21, 90, 5, false, -1);
    const taken = new RangeSet();
    map.addTaken(ssn, dataUna, taken);
    const found = Array.from({ length: taken.count }, (_, i) => [taken.start(i), taken.end(i)]);
    assert.deepEqual(found, ranges, `${ssn} ${dataUna}`);
  }
});

test('SendMap: as it grows nothing is lost, wherever it begins', () => {
  for (const gone of [0, 5]) {
    const map = new SendMap();
    for (let i = 0; i < 40; i++) {
      map.append(1 + 10 * i, 1001 + 10 * i, 10, i % 3 === 0, i);
      if (i % 7 === 0) map.keep(map.count - 1, new Uint8Array(i));
      if (i === 10) map.release(1 + 10 * gone);
    }
    assert.equal(map.count, 40 - gone);
    for (let i = gone; i < 40; i++) {
      const k = i - gone;
      assert.deepEqual(
        [map.ssn(k), map.dsn(k), map.length(k), map.hasFin(k), map.checksum(k), map.keptBytes(k)?.length],
        [1 + 10 * i, 1001 + 10 * i, 10, i % 3 === 0, i, i % 7 === 0 ? i : undefined],
      );
      assert.equal(map.find(5 + 10 * i), k);
    }
  }
});

test('ReceiveMap: mappings come in any order, and what is placed stays with its mapping', () => {
  for (const order of [
    [0, 1, 2, 3],
    [3, 2, 1, 0],
    [2, 0, 3, 1],
  ]) {
    const map = new ReceiveMap(100);
    for (const i of order) {
      assert.equal(map.add(1 + 10 * i, 501 + 20 * i, 10, i), MapResult.NEW);
      if (i === 2) map.markPlaced(map.find(21));
    }
    for (let i = 0; i < 4; i++) {
      assert.deepEqual(
        [map.ssn(i), map.dsn(i), map.length(i), map.end(i), map.checksum(i), map.isPlaced(i)],
        [1 + 10 * i, 501 + 20 * i, 10, 11 + 10 * i, i, i === 2],
      );
    }
    map.release(11);
    assert.deepEqual([map.count, map.ssn(0), map.isPlaced(0), map.isPlaced(1)], [3, 11, false, true]);
    for (let i = 4; i < 40; i++) map.add(1 + 10 * i, 501 + 20 * i, 10, i);
    assert.deepEqual([map.count, map.isPlaced(1), map.dsn(38), map.checksum(38)], [39, true, 1281, 39]);
    assert.equal(map.add(21, 541, 10, 2), MapResult.KNOWN);
    assert.equal(map.add(21, 541, 11, 2), MapResult.CONFLICT);
    assert.equal(map.add(21, 542, 10, 2), MapResult.CONFLICT);
  }
});

test('Staging: as much as the limit, and not a byte more', () => {
  const bytes = new Uint8Array(200).fill(7);
  const staging = new Staging(100);
  assert.equal(staging.insert(1000, bytes, 0, 50), true);
  assert.equal(staging.insert(1051, bytes, 0, 50), false);
  assert.equal(staging.insert(1050, bytes, 0, 50), true);
  assert.equal(staging.insert(999, bytes, 0, 1), false);
  staging.remove(1099, 1100);
  assert.equal(staging.insert(999, bytes, 0, 1), true);
  assert.equal(new Staging(100).insert(1, bytes, 0, 101), false);
  assert.equal(new Staging(100).insert(1, bytes, 0, 100), true);
});

test('the lowest round trip among those with room; backups only when no other is in use', () => {
  const path = (id: number, more: Partial<Path> = {}): Path => ({
    ...{ id, srttMs: 10 * id, rttVarMs: 1, cwndBytes: 1000, inFlightBytes: 0, freeBytes: 1 },
    ...{ backup: false, cost: 0, usable: true },
    ...more,
  });
  const backup = { backup: true };
  for (const [paths, picked] of [
    [[path(2), path(1)], 1],
    [[path(1), path(2, { srttMs: 10 })], 1],
    [[path(1, { freeBytes: 0 }), path(2)], 2],
    [[path(1, { usable: false }), path(2)], 2],
    [[path(1, backup), path(2)], 2],
    [[path(2), path(1, backup)], 2],
    [[path(2, backup), path(1, backup)], 1],
    [[path(1, backup), path(2, { freeBytes: 0 })], undefined],
    [[path(1, backup), path(2, { usable: false })], 1],
    [[path(1, backup), path(3), path(2)], 2],
    [[], undefined],
  ] as [Path[], number | undefined][]) {
    assert.equal(new LowestRtt().pick(paths)?.id, picked);
  }
});

test('ip mptcp endpoint: as many, with such identifiers and ports; limits as Linux has them', () => {
  const fresh = (): Endpoints => new Endpoints();
  const add = (options: object, to = fresh()): number => to.add({ address: '10.0.0.1', ...options }, 0);
  assert.deepEqual([add({ id: 1 }), add({ id: 255 }), add({})], [1, 255, 1]);
  assert.deepEqual(fresh().limits, { subflows: 2, addAddrAccepted: 0 });
  for (const options of [
    ...[{ id: 0 }, { id: 256 }, { id: 1.5 }, { address: 'x' }, { port: 1 }],
    ...[
      { port: -1, signal: true },
      { port: 65_536, signal: true },
      { port: 1, signal: true, subflow: true },
    ],
    { signal: true, fullmesh: true },
  ]) {
    assert.throws(() => add(options), RangeError, JSON.stringify(options));
  }
  add({ port: 65_535, signal: true });
  const full = fresh();
  assert.equal(add({ id: 254 }, full), 254);
  // The next free one, round the end.
  for (const [i, id] of [255, 1, 2, 3, 4, 5, 6].entries()) {
    assert.equal(full.add({ address: `10.0.1.${i}` }, 0), id);
  }
  assert.throws(() => full.add({ address: '10.0.2.1' }, 0), /there are 8/);
  assert.deepEqual(
    full.list.map(({ id }) => id),
    [1, 2, 3, 4, 5, 6, 254, 255],
  );
  assert.equal(full.remove(1, 0), true);
  assert.equal(full.remove(1, 0), false);
  assert.equal(full.byId(1), undefined);
  assert.throws(() => add({}, full), /is an endpoint already/);
  assert.throws(() => full.add({ address: '10.0.2.1', id: 2 }, 0), /is taken by 10\.0\.1\.2/);
  assert.equal(full.change(2, { backup: true }, 0), true);
  assert.equal(full.byId(2)?.backup, true);
  assert.equal(full.change(1, { backup: true }, 0), false);
  for (const value of [-1, 9]) assert.throws(() => full.limit({ subflows: value }, 0), RangeError);
  full.limit({ subflows: 8, addAddrAccepted: 8 }, 0);
  full.limit({ subflows: 0 }, 0);
  assert.deepEqual(full.limits, { subflows: 0, addAddrAccepted: 8 });
  full.add({ address: '10.0.2.1', signal: true, port: 5 }, 0);
  assert.equal(full.find(words('10.0.2.1'), 5)?.port, 5);
  assert.equal(full.find(words('10.0.2.1'), 0), undefined);
  full.flush(0);
  assert.equal(full.list.length, 0);
  // What is taken is passed over, round the end as well.
  for (const [ids, next] of [
    [[5, 4], 6],
    [[6, 5, 4], 7],
    [[255, 254], 1],
    [[1, 255], 2],
  ] as const) {
    const table = fresh();
    for (const id of ids) table.add({ address: `10.0.1.${id}`, id }, 0);
    assert.equal(add({}, table), next);
  }
});

test('a network is remembered until then, two findings make it sure, and 64 networks are kept', () => {
  const memory = new NetworkMemory();
  memory.optionsDropped('a', false, 1000);
  assert.equal(memory.find('a')?.options, Options.SUSPECT);
  memory.optionsDropped('a', true, 1000);
  memory.optionsDropped('a', false, 1000);
  assert.equal(memory.find('a')?.options, Options.DROPPED);
  assert.deepEqual(
    [999, 1000].map(now => memory.entries(now).length),
    [1, 0],
  );
  memory.payloadAltered('a', 1001);
  assert.deepEqual(
    [1000, 1001].map(now => memory.entries(now).length),
    [1, 0],
  );
  memory.optionsPass('a');
  assert.equal(memory.find('a')?.options, Options.PASS);
  memory.optionsPass('never heard of');
  for (let i = 1; i < 64; i++) memory.payloadAltered(`${i}`, 5000);
  assert.notEqual(memory.find('a'), undefined);
  memory.payloadAltered('64', 5000);
  assert.equal(memory.find('a'), undefined);
  assert.equal(memory.entries(0).length, 64);
});

test('an answer is awaited on the voice alone, from when the oldest question left', () => {
  const expectation = new Expectation();
  const voice = { tcb: { lastReceivedMs: 100 } } as Subflow;
  expectation.asked(50);
  assert.equal(expectation.askedMs, -Infinity);
  expectation.voice = voice;
  expectation.asked(100);
  assert.equal(expectation.isAwaited(voice), false);
  expectation.asked(101);
  assert.equal(expectation.isAwaited(voice), true);
  assert.equal(expectation.isAwaited({ tcb: { lastReceivedMs: 0 } } as Subflow), false);
  expectation.asked(200);
  assert.equal(expectation.askedMs, 101);
  for (const [probedMs, isProbed] of [
    [100, false],
    [101, true],
  ] as const) {
    expectation.probedMs = probedMs;
    assert.equal(expectation.isProbed, isProbed);
  }
});

/** As much of a connection as its signals look at. */
function signalling(signals: Signals): MultipathConnection {
  const key = { bytes: new Uint8Array(8) };
  const entropy = { hmacSha256: () => new Uint8Array(32) };
  const counters = { EchoAddTx: 0, AddAddrTx: 0, RmAddrTx: 0 };
  const env = { entropy, counters, config: { addAddrTimeoutMs: 1000 } };
  return { signals, localKey: key, remoteKey: key, env } as unknown as MultipathConnection;
}

test('RFC 8684 §3.4: an echo first, then addresses two at a time, then removals eight at a time', () => {
  const signals = new Signals();
  const connection = signalling(signals);
  const address = (id: number) => ({ id, family: 4 as const, words: words(`10.0.0.${id}`), port: 0 });
  const next = (now: number): string => {
    const segment = new Segment();
    signals.put({ connection, tcb: { rtt: { rtoMs: 200 } } } as Subflow, segment, now);
    if ((segment.mp & Mp.ADD_ADDR) !== 0)
      return `${segment.addAddrEcho ? 'echo' : 'add'} ${segment.addAddrId}`;
    const ids = Array.from(segment.removeIds.subarray(0, segment.removeCount));
    return (segment.mp & Mp.REMOVE_ADDR) !== 0 ? `remove ${ids}` : 'nothing';
  };
  assert.deepEqual([signals.pending, signals.addressNext, next(0)], [false, false, 'nothing']);
  for (const id of [1, 2, 3]) signals.announce(address(id));
  signals.echo(address(9));
  assert.deepEqual([next(0), next(0), next(500)], ['echo 9', 'add 1', 'add 2']);
  assert.deepEqual([signals.pending, next(500)], [false, 'nothing']);
  for (let id = 10; id < 19; id++) {
    signals.remove(id, 0);
    signals.remove(id, 0);
  }
  assert.deepEqual([signals.pending, signals.addressNext], [true, false]);
  assert.equal(next(500), 'remove 10,11,12,13,14,15,16,17');
  assert.equal(next(500), 'remove 18');
  assert.deepEqual([signals.pending, next(500)], [false, 'nothing']);
  signals.echoed(1);
  assert.equal(next(600), 'add 3');
  assert.deepEqual([signals.nextDeadline(), signals.announcedCount], [1500, 3]);
  // Repeated after 1, 2, 4 … seconds, so many times; then it is let be.
  signals.echoed(3);
  signals.expire(1499, 2);
  assert.equal(next(1499), 'nothing');
  let at = 1500;
  for (const wait of [2000, 4000]) {
    signals.expire(at, 2);
    assert.equal(next(at), 'add 2');
    at += wait;
    assert.equal(signals.nextDeadline(), at);
  }
  signals.expire(at, 2);
  assert.deepEqual([next(at), signals.nextDeadline()], ['nothing', Infinity]);
  // Removed before it was echoed: it is not announced any more, and what was to follow it is.
  for (const id of [4, 7]) signals.announce(address(id));
  signals.remove(4, 0);
  assert.deepEqual([next(at), next(at), next(at)], ['add 7', 'remove 4', 'nothing']);
  signals.echoed(7);
  assert.deepEqual([signals.wasAnnounced(4), signals.wasAnnounced(5)], [true, false]);
  // Nothing acknowledges a removal: it is said again, each time after the retransmission timeout.
  signals.remove(7, 1);
  assert.deepEqual([next(at), next(at), signals.nextDeadline()], ['remove 7', 'nothing', at + 200]);
  signals.expire(at + 199, 2);
  assert.equal(signals.pending, false);
  signals.expire(at + 200, 2);
  assert.deepEqual([signals.pending, next(at + 200), signals.nextDeadline()], [true, 'remove 7', Infinity]);
  // Not of an identifier that means an address again, said before or not.
  signals.remove(7, 1);
  assert.equal(next(at), 'remove 7');
  signals.inUse(7);
  assert.deepEqual([next(at), signals.nextDeadline()], ['nothing', Infinity]);
  signals.remove(8, 1);
  signals.inUse(8);
  signals.inUse(9);
  assert.deepEqual([next(at), next(at), signals.nextDeadline()], ['remove 8', 'nothing', Infinity]);
  // Others that wait with it are said as before, those that are removed again once.
  for (const id of [7, 8, 9, 7]) signals.remove(id, 1);
  assert.deepEqual([next(at), next(at)], ['remove 8,9,7', 'nothing']);
  signals.inUse(8);
  signals.expire(at + 200, 2);
  assert.deepEqual(
    [next(at + 200), next(at + 200), signals.nextDeadline()],
    ['remove 9,7', 'nothing', Infinity],
  );
  // A flood of addresses is echoed up to eight at a time.
  for (let id = 20; id < 30; id++) signals.echo(address(id));
  const echoes = Array.from({ length: 10 }, () => next(at));
  assert.deepEqual(echoes.slice(7), ['echo 27', 'nothing', 'nothing']);
  signals.mostWaiting = 1;
  for (const id of [5, 6]) signals.announce(address(id));
  assert.deepEqual([next(at), next(at)], ['add 5', 'nothing']);
  signals.clear();
  assert.deepEqual([signals.pending, next(at)], [false, 'nothing']);
});

/** A client whose requests for subflows are kept and never answered. */
function planning(more: object = {}) {
  const requests: string[] = [];
  const local = ['10.1.0.1', '10.2.0.1', 'fd00::1'].map((address, i) => ({
    ...{ id: i + 1, name: `n${i}`, family: i < 2 ? 4 : 6, words: words(address) },
  }));
  const fake = {
    ...{ client: true, managed: null, subflows: [], mostSubflows: 8, remoteDeniesJoin: false },
    owner: {
      interfaceFor: (id: number) => local[id - 1] ?? null,
      requestFlow: (request: {
        id: number;
        interfaceId: number;
        remote: { address: string; port: number };
      }) => {
        const { id, interfaceId, remote } = request;
        requests.push(`${id}: ${interfaceId} > ${remote.address} ${remote.port}`);
        return true;
      },
    },
    env: { config: { rejoinMinMs: 1000, rejoinMaxMs: 30_000, replaceAfterMs: 3000 } },
    bestOpenSubflow: () => ({}),
    ...more,
  };
  const manager = new PathManager(fake as unknown as MultipathConnection);
  const first = { stage: Stage.ACTIVE } as Subflow;
  return { manager, requests, first, fake };
}

const REMOTE = { address: '10.9.0.1', port: 80 };
const TWO = [{ interfaceId: 1 }, { interfaceId: 2 }];

test('a client joins over each path but the first, once, within the limit, and again after a failure', () => {
  const { manager, requests, first, fake } = planning();
  manager.plan(TWO, REMOTE, first);
  assert.deepEqual([manager.planned, manager.nextDeadline()], [2, Infinity]);
  manager.run(5);
  assert.deepEqual(requests, []);
  manager.start(10);
  manager.run(11);
  assert.deepEqual(requests, ['1: 2 > 10.9.0.1 80']);
  assert.equal(manager.nextDeadline(), Infinity);
  // 1, 2, 4, 8, 16, 30, 30 seconds.
  let now = 20;
  for (const wait of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    manager.flowFailed(requests.length, now);
    assert.equal(manager.nextDeadline(), now + wait);
    manager.run(now + wait - 1);
    const before: number = requests.length;
    now += wait;
    manager.run(now);
    assert.equal(requests.length, before + 1);
  }
  manager.flowFailed(99, now);
  manager.flowFailed(requests.length, now);
  // No room: asked again a second later.
  fake.mostSubflows = 0;
  manager.run(now + 30_000);
  assert.equal(manager.nextDeadline(), now + 31_000);
  manager.removeInterface(1);
  assert.equal(manager.planned, 1);
  manager.stop();
  assert.deepEqual([manager.planned, manager.nextDeadline()], [0, Infinity]);
});

test('with nothing else open the first failure is followed at once, the second after a second', () => {
  const { manager, first } = planning({ bestOpenSubflow: () => null });
  manager.plan(TWO, REMOTE, first);
  manager.start(10);
  manager.flowFailed(1, 20);
  assert.equal(manager.nextDeadline(), 20);
  manager.run(20);
  manager.flowFailed(2, 30);
  assert.equal(manager.nextDeadline(), 2030);
});

test('RFC 8684 §3.4.1: announced addresses are joined from each interface where that makes sense, and only once', () => {
  for (const [address, joined] of [
    ['10.9.0.2', ['1 > 10.9.0.2 80', '2 > 10.9.0.2 80']],
    ['10.1.0.1', ['2 > 10.1.0.1 80']],
    ['127.0.0.1', []],
    ['0.0.0.0', []],
    ['224.0.0.1', []],
    ['169.254.0.1', []],
    ['fd00::9', []],
  ] as const) {
    const { manager, requests, first } = planning();
    manager.plan(TWO, REMOTE, first);
    manager.start(10);
    requests.length = 0;
    const announced = { id: 3, words: words(address), port: 80 };
    manager.peerAddress(announced, 20);
    manager.peerAddress(announced, 21);
    assert.deepEqual(
      requests.map(request => request.slice(3)),
      joined,
      address,
    );
    assert.equal(manager.planned, 2 + joined.length);
    // RFC 8684 §3.4.2: withdrawn.
    manager.peerAddressRemoved(4);
    assert.equal(manager.planned, 2 + joined.length);
    manager.peerAddressRemoved(3);
    assert.equal(manager.planned, 2);
    // One withdrawn, another that was announced behind it stays, for paths to come as well.
    for (const id of [5, 6]) manager.peerAddress({ ...announced, id, port: 90 + id }, 25);
    manager.peerAddressRemoved(5);
    assert.equal(manager.planned, 2 + joined.length);
    manager.peerAddressRemoved(6);
    // A path added later joins what is announced then.
    manager.addPath({ interfaceId: 3 }, 30);
    assert.equal(manager.planned, 2);
  }
});

test('another port of an address is another place; flag C forbids the first one, not those announced', () => {
  const { manager, requests, first } = planning({ remoteDeniesJoin: true });
  manager.plan(TWO, REMOTE, first);
  manager.start(10);
  assert.deepEqual(requests, []);
  manager.peerAddress({ id: 3, words: words('10.9.0.1'), port: 81 }, 20);
  assert.deepEqual(requests, ['1: 1 > 10.9.0.1 81', '2: 2 > 10.9.0.1 81']);
  const server = planning({ client: false });
  server.manager.peerAddress({ id: 3, words: words('10.9.0.2'), port: 80 }, 20);
  server.manager.addPath({ interfaceId: 1 }, 20);
  assert.equal(server.manager.planned, 0);
});

test('a peer that announces without end is listened to up to 64 plans', () => {
  const { manager, first } = planning();
  manager.plan([{ interfaceId: 1 }], REMOTE, first);
  manager.start(10);
  for (let i = 1; i <= 70; i++) manager.peerAddress({ id: i, words: words(`10.8.0.${i}`), port: 80 }, 20);
  assert.equal(manager.planned, 64);
});

test('RFC 8684 §3.2: address identifiers: the first is 0, one for an address, another for its port, and none twice', () => {
  const { manager } = planning();
  assert.equal(manager.localId(words('10.1.0.1'), 0), 0);
  assert.equal(manager.localId(words('10.2.0.1'), 0), 1);
  assert.equal(manager.localId(words('10.1.0.1'), 80), 0);
  assert.equal(manager.announcedId(words('10.2.0.1'), 0), 1);
  assert.equal(manager.announcedId(words('10.2.0.1'), 90), 2);
  assert.equal(manager.announcedId(words('10.2.0.1'), 90), 2);
  assert.equal(manager.localId(words('10.2.0.1'), 90), 2);
  assert.equal(manager.localId(words('10.2.0.1'), 91), 1);
  assert.deepEqual(manager.forgetAddress(words('10.2.0.1')), [1, 2]);
  assert.deepEqual(manager.forgetAddress(words('10.2.0.1')), []);
  assert.equal(manager.localId(words('10.2.0.1'), 0), 3);
  // One octet: after 255 comes the lowest that is free, and 0 never again.
  for (let i = 4; i <= 255; i++) assert.equal(manager.localId(words(`10.3.0.${i}`), 0), i);
  assert.equal(manager.localId(words('10.4.0.1'), 0), 1);
  assert.equal(manager.localId(words('10.4.0.2'), 0), 2);
  // All are in use: in turn.
  assert.equal(manager.localId(words('10.4.0.3'), 0), 3);
  assert.equal(manager.localId(words('10.4.0.4'), 0), 4);
});

/** A subflow with a round trip of 100 ms beside another. */
function watched(more: { client?: boolean; tcb?: object; alone?: boolean } = {}) {
  const connection = {
    client: more.client ?? true,
    expectation: new Expectation(),
    env: { config: { suspectSlackMs: 50, suspectProbeMs: 500 }, counters: { SubflowStale: 0 } },
    paths: { subflowSuspect: () => {} },
    reinjectFrom: () => {},
    subflows: [] as Subflow[],
  };
  const tcb = {
    ...{ sndUna: 1, sndNxt: 1001, progressMs: 1000, lastReceivedMs: 900, timestamps: false },
    ...{ rtt: { srttMs: 100, rttVarMs: 20, rtoMs: 300 }, rtoCapMs: 0, deadlines: [1e9, 1e9, 1e9, 1e9, 1e9] },
    ...{ probePending: false, tlpPending: false },
    ...more.tcb,
  };
  const subflow = { connection, tcb, stage: Stage.ACTIVE, flightMs: 990, suspectMs: 0 };
  const other = { stage: Stage.ACTIVE };
  connection.subflows = (more.alone ? [subflow] : [subflow, other]) as unknown as Subflow[];
  return { subflow: subflow as unknown as Subflow, expectation: connection.expectation, tcb };
}

test('silence is suspicious a round trip, its variation and the slack after the last progress', () => {
  for (const [rtt, after] of [
    [{ srttMs: 100, rttVarMs: 20, rtoMs: 300 }, 100 + 80 + 50],
    [{ srttMs: 100, rttVarMs: 12, rtoMs: 300 }, 100 + 50 + 50],
    [{ srttMs: 0, rttVarMs: 0, rtoMs: 300 }, 300],
  ] as const) {
    const { subflow } = watched({ tcb: { rtt } });
    watch(subflow, 1000);
    assert.equal(subflow.suspectMs, 1000 + after);
    subflow.flightMs = 1100;
    watch(subflow, 1100);
    assert.equal(subflow.suspectMs, 1100 + after);
    watch(subflow, 5000);
    assert.equal(subflow.suspectMs, 5000);
  }
  const { subflow: alone } = watched({ alone: true });
  watch(alone, 1000);
  assert.equal(alone.suspectMs, Infinity);
});

test('an idle path is probed when an answer is due there, and suspected half the slack later', () => {
  for (const client of [true, false]) {
    const { subflow, expectation, tcb } = watched({ client, tcb: { sndUna: 1001 } });
    watch(subflow, 1000);
    assert.equal(subflow.suspectMs, Infinity);
    expectation.voice = subflow;
    expectation.asked(900);
    expectation.asked(1000);
    watch(subflow, 1000);
    assert.equal(subflow.suspectMs, client ? 1000 + 230 : Infinity);
    if (!client) continue;
    // Not twice within a second.
    expectation.probedMs = 900;
    watch(subflow, 1000);
    assert.equal(subflow.suspectMs, 1900);
    silence(subflow, 1900);
    assert.deepEqual([tcb.probePending, subflow.suspectMs, subflow.stage], [true, 1900 + 205, Stage.ACTIVE]);
    watch(subflow, 2000);
    assert.equal(subflow.suspectMs, 2105);
    silence(subflow, 2105);
    assert.deepEqual([subflow.stage, subflow.tellMs, subflow.silentSinceMs], [Stage.SUSPECT, 2105, 1000]);
  }
});

test('what is in flight on a suspected path is probed within half a second', () => {
  const { subflow, tcb } = watched();
  silence(subflow, 2000);
  assert.deepEqual(
    [subflow.stage, tcb.rtoCapMs, tcb.tlpPending, tcb.probePending],
    [Stage.SUSPECT, 500, true, false],
  );
  assert.deepEqual([subflow.tellMs, subflow.suspectMs, subflow.suspectSinceMs], [2205, 2205, 2000]);
  assert.equal(Math.min(...tcb.deadlines), 2500);
});

test('a suspected path is probed twice a second, and given up after two minutes of silence', () => {
  for (const [now, probed, resets] of [
    [2499, false, 0],
    [2500, true, 0],
    [121_999, true, 0],
    [122_000, false, 1],
  ] as const) {
    const { subflow, tcb } = watched({ client: false, tcb: { sndUna: 1001 } });
    Object.assign(subflow.connection.env.config, { dataTimeoutMs: 120_000 });
    const reasons: number[] = [];
    const reset = ({ reason }: { reason: number }) => reasons.push(reason);
    Object.assign(subflow, {
      stage: Stage.SUSPECT,
      suspectSinceMs: 2000,
      probeMs: 2500,
      tellMs: Infinity,
      reset,
    });
    probeSuspected(subflow, now);
    assert.deepEqual([tcb.probePending, reasons.length], [probed, resets], `${now}`);
    if (resets > 0) assert.deepEqual(reasons, [ResetReason.PERFORMANCE]);
    else assert.equal(subflow.suspectMs, probed ? now + 500 : 2500);
  }
});

test('the peer is told of a silent path by one that was heard since, three times at most', () => {
  for (const [heardMs, localAddressId, stage, told, tellMs] of [
    [2000, 1, Stage.ACTIVE, true, 2205 + 500],
    [1999, 1, Stage.ACTIVE, false, 2205 + 205],
    [2000, 0, Stage.ACTIVE, false, Infinity],
    [2000, 1, Stage.CLOSING, false, 2205 + 205],
    [2000, 1, Stage.SUSPECT, false, 2205 + 205],
  ] as const) {
    const { subflow } = watched({ tcb: { sndUna: 1001 } });
    const ids: number[] = [];
    const { connection } = subflow;
    Object.assign(connection, { signals: { remove: (id: number) => ids.push(id) } });
    Object.assign(connection.subflows[1], { localAddressId, stage, tcb: { lastReceivedMs: heardMs } });
    Object.assign(subflow, { localAddressId: 0, stage: Stage.SUSPECT, suspectSinceMs: 2000 });
    Object.assign(subflow, { silentSinceMs: 2000, probeMs: 9000, tellMs: 2205, tellsLeft: 3 });
    probeSuspected(subflow, 2204);
    assert.deepEqual([ids, subflow.tellMs], [[], 2205]);
    probeSuspected(subflow, 2205);
    assert.deepEqual([ids.length > 0, subflow.tellMs], [told, tellMs], `${[heardMs, localAddressId, stage]}`);
    if (!told) continue;
    probeSuspected(subflow, 2705);
    assert.deepEqual([ids.length, subflow.tellMs, subflow.suspectMs], [2, 3205, 3205]);
    probeSuspected(subflow, 3205);
    assert.deepEqual([ids, subflow.tellMs, subflow.suspectMs], [[0, 0, 0], Infinity, 9000]);
  }
});

test('an idle path that was probed in vain is told of at once, one with bytes in flight after a probe', () => {
  for (const [sndUna, awaited, tellMs, silentSinceMs] of [
    [1001, true, 3000, 1000],
    [1001, false, 3000 + 205, 3000],
    [1, true, 3000 + 205, 3000],
  ] as const) {
    const { subflow, expectation } = watched({ tcb: { sndUna } });
    expectation.voice = awaited ? subflow : null;
    expectation.askedMs = 1000;
    expectation.probedMs = 2000;
    silence(subflow, 3000);
    assert.deepEqual([subflow.tellMs, subflow.silentSinceMs], [tellMs, silentSinceMs]);
  }
});

test('what is known of a network counts until its time has come', () => {
  const connection = (blackholeTimeoutMs: number) => {
    const networks = new NetworkMemory();
    networks.optionsDropped('a', true, 1000);
    networks.payloadAltered('a', 2000);
    return { owner: { networks }, env: { config: { blackholeTimeoutMs } } } as unknown as MultipathConnection;
  };
  for (const [network, now, timeout, options, altersPayload] of [
    ['a', 999, 1, Options.DROPPED, true],
    ['a', 1000, 1, Options.PASS, true],
    ['a', 1999, 1, Options.PASS, true],
    ['a', 2000, 1, Options.PASS, false],
    ['a', 999, 0, Options.PASS, false],
    ['b', 999, 1, Options.PASS, false],
  ] as const) {
    const known = knownOf(connection(timeout), { network } as NetworkInterface, now);
    assert.deepEqual(known, { options, altersPayload }, `${network} ${now} ${timeout}`);
  }
});

test('a suspected path has answered by what it acknowledges, by a timestamp from since then, or by a bare segment', () => {
  for (const [timestamps, has, echo, length, ack, answered] of [
    [false, false, 0, 0, 1, true],
    [false, false, 0, 1, 1, false],
    [false, false, 0, 1, 2, true],
    [true, false, 0, 1, 1, false],
    [true, false, 0, 0, 1, true],
    [true, true, 1999, 0, 1, false],
    [true, true, 2000, 1, 1, true],
    [true, true, 1999, 1, 2, true],
  ] as const) {
    const { subflow } = watched({ tcb: { timestamps, timestamp: (ms: number) => ms } });
    subflow.suspectSinceMs = 2000;
    const segment = { hasTimestamps: has, tsEcr: echo, payloadLength: length } as Segment;
    assert.equal(answers(subflow, segment, ack), answered, `${[timestamps, has, echo, length, ack]}`);
  }
});
