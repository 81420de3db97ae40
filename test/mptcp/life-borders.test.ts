// One below, at, one above: DATA_ACKs, DATA_FIN and their timer, the send buffer that bridges the slowest path, payload
// without mapping, mappings as they arrive, and the times after which a subflow is given up or its third ACK repeated.
// Each with as much of a connection as it asks. Expected values are the RFC's or arithmetic.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MultipathConnection } from '../../src/mptcp/connection.ts';
import {
  dataAcknowledged,
  dataFinReceived,
  dataTaken,
  dataTimeout,
  deliver,
  orphanTimeout,
  roomFreed,
  startDataTimer,
} from '../../src/mptcp/data-level.ts';
import { DataSequence } from '../../src/mptcp/data-sequence.ts';
import { mappingMissing, mayBeHeardAsTcp } from '../../src/mptcp/fallback.ts';
import { joinCrossed } from '../../src/mptcp/opening.ts';
import { bytesRead } from '../../src/mptcp/receive.ts';
import { ReceiveMap } from '../../src/mptcp/receive-map.ts';
import { hasSendable, keepForSlow, releaseSent } from '../../src/mptcp/send.ts';
import { SendMap } from '../../src/mptcp/send-map.ts';
import { Staging } from '../../src/mptcp/staging.ts';
import { Stage, type Subflow, Subflow as SubflowClass } from '../../src/mptcp/subflow.ts';
import {
  becomePlain,
  closeSubflows,
  drop,
  isStuck,
  lonelyTimeout,
  probeForRemoval,
  retire,
  subflowTimedOut,
  sweep,
  thirdAckDelay,
} from '../../src/mptcp/subflow-life.ts';
import { acknowledging, hasUnplaceable, isSingle, mappingTaken } from '../../src/mptcp/unplaced.ts';
import { type PlainStream, RangeSet, Ready } from '../../src/tcp/index.ts';
import { ReceiveBuffer } from '../../src/tcp/receive-buffer.ts';
import { SendBuffer } from '../../src/tcp/send-buffer.ts';

/** A connection that has sent 1 to 5,000 of 8,000 bytes and may send up to 7,000. */
// biome-ignore lint/suspicious/noExplicitAny: see above
function fake(more: object = {}): any {
  const told: number[] = [];
  const sendBuffer = new SendBuffer({ firstOffset: 1, limitBytes: 16_000, initialBytes: 8000 });
  sendBuffer.write(new Uint8Array(8000), 0, 8000);
  return {
    ...{ dataUna: 1, dataNxt: 5001, dataFinWasSent: false, dataFinDsn: -1, dataFinQueued: false },
    ...{ dataFinDue: false, sndRight: 7001, repeatedOn: 3, dataProgressMs: 0, dataBackoff: 2 },
    ...{ dataTimerMs: Infinity, isFinished: false, isDone: false, plain: null, rcvDataFin: -1 },
    ...{ isPeerFinished: false, lonelyMs: 500, wantsRoom: false, confirmed: true, keysSent: true },
    ...{ timeWaitMs: Infinity, subflows: [], lingering: [], isAllExchanged: false, client: true },
    ...{ reinjection: new RangeSet(), taken: new RangeSet(), sendBuffer, told },
    receiveBuffer: new ReceiveBuffer({ firstOffset: 1, limitBytes: 10_000 }),
    owner: { streamReady: (bits: number) => told.push(bits) },
    env: {
      config: { rtoInitialMs: 1000, rtoMaxMs: 120_000, closeTimeoutMs: 60_000, replaceAfterMs: 3000 },
      counters: { NoDSSInWindow: 0, DuplicateData: 0, OFOQueue: 0, OFOQueueTail: 0, OFOMerge: 0 },
    },
    ...{ confirm: () => {}, releaseSent: () => {}, bestOpenSubflow: () => null, finish: () => {} },
    ...more,
  };
}

const as = (connection: object): MultipathConnection => connection as unknown as MultipathConnection;

test('RFC 8684 §3.3.2: a DATA_ACK counts up to what was sent, DATA_FIN included, and only forward', () => {
  for (const [ack, fin, una] of [
    [0, false, 1],
    [1, false, 1],
    [2, false, 2],
    [5001, false, 5001],
    [5002, false, 1],
    [5002, true, 5002],
    [5003, true, 1],
    [NaN, false, 1],
  ] as const) {
    const connection = fake(fin ? { dataFinWasSent: true, dataFinDsn: 5001 } : {});
    dataAcknowledged(as(connection), ack, 0, 100);
    assert.equal(connection.dataUna, una, `${ack}`);
    const moved = una > 1;
    assert.deepEqual([connection.dataBackoff, connection.repeatedOn], moved ? [0, -1] : [2, 3]);
    // What is left keeps the timer: 1,000 ms before any round trip is known.
    assert.equal(connection.dataTimerMs, moved && una < 5001 ? 1100 : Infinity);
  }
  const early = fake({ dataFinWasSent: true, dataFinDsn: 6000 });
  dataAcknowledged(as(early), 5002, 0, 100);
  assert.equal(early.dataUna, 1);
});

test('RFC 8684 §3.3.4: the right edge moves with DATA_ACK and window, never back', () => {
  for (const [ack, window, right] of [
    [1, 7000, 7001],
    [1, 7001, 7002],
    [4001, 2999, 7001],
    [4001, 3001, 7002],
  ]) {
    const connection = fake();
    dataAcknowledged(as(connection), ack, window, 100);
    assert.equal(connection.sndRight, right);
  }
});

test('RFC 8684 §3.3.3: a DATA_FIN counts when all before it is there', () => {
  for (const [dsn, finished, noted] of [
    [0, false, -1],
    [1, true, 1],
    [2, false, 2],
    [NaN, false, -1],
  ] as const) {
    const connection = fake();
    dataFinReceived(as(connection), dsn, 100);
    assert.deepEqual([connection.isPeerFinished, connection.rcvDataFin], [finished, noted], `${dsn}`);
    assert.deepEqual(connection.told, finished ? [Ready.READABLE | Ready.END] : []);
  }
  const connection = fake();
  dataFinReceived(as(connection), 11, 100);
  deliver(as(connection), 2, new Uint8Array(9), 0, 9, 100);
  assert.deepEqual([connection.isPeerFinished, connection.told], [false, []]);
  deliver(as(connection), 1, new Uint8Array(1), 0, 1, 100);
  assert.deepEqual([connection.isPeerFinished, connection.told.length], [true, 2]);
  assert.equal(connection.lonelyMs, 500, 'no subflow is open');
  const open = fake({ bestOpenSubflow: () => ({}) });
  dataFinReceived(as(open), 11, 100);
  assert.equal(open.lonelyMs, Infinity);
});

test('what arrives is counted: beyond the window, again, beyond a hole, at its tail, or joining what is there', () => {
  const connection = fake();
  const { counters } = connection.env;
  const arrive = (dsn: number, length: number): Record<string, number> => {
    for (const name of Object.keys(counters)) counters[name] = 0;
    deliver(as(connection), dsn, new Uint8Array(length), 0, length, 100);
    return Object.fromEntries(Object.entries<number>(counters).filter(([, n]) => n > 0));
  };
  connection.receiveBuffer.offer(0, 1);
  assert.deepEqual(arrive(1, 10), {});
  assert.deepEqual(arrive(1, 10), { DuplicateData: 1 });
  const { rightEdge } = connection.receiveBuffer;
  assert.deepEqual(arrive(rightEdge, 1), { NoDSSInWindow: 1 });
  assert.deepEqual(arrive(rightEdge - 1, 1), { OFOQueue: 1, OFOQueueTail: 1 });
  assert.deepEqual(arrive(100, 10), { OFOQueue: 1 });
  assert.deepEqual(arrive(110, 10), { OFOQueue: 1, OFOMerge: 1 });
  connection.receiveBuffer = new ReceiveBuffer({ firstOffset: 1, limitBytes: 10_000 });
  assert.deepEqual(arrive(100, 10), { OFOQueue: 1, OFOQueueTail: 1 });
  assert.deepEqual(arrive(110, 10), { OFOQueue: 1, OFOQueueTail: 1, OFOMerge: 1 });
  assert.deepEqual(arrive(115, 10), { OFOQueue: 1, OFOMerge: 1 });
});

test('RFC 8684 §3.3.6: the timer is the slowest open subflow’s, doubled for each timeout, with a ceiling', () => {
  const subflow = (rtoMs: number, isOpen = true) => ({ isOpen, tcb: { rtt: { rtoMs } } });
  for (const [dataBackoff, una, subflows, at] of [
    [0, 1, [], 1100],
    [0, 1, [subflow(300), subflow(200)], 400],
    [0, 1, [subflow(300), subflow(900, false)], 400],
    [3, 1, [subflow(300)], 100 + 8 * 300],
    [3, 5001, [subflow(300)], 100 + 4 * 300],
    [0, 5001, [subflow(300)], 400],
    [1, 5001, [subflow(300)], 400],
    [8, 1, [subflow(1000)], 100 + 120_000],
  ] as const) {
    const connection = fake({ dataBackoff, dataUna: una, subflows });
    startDataTimer(as(connection), 100);
    assert.equal(connection.dataTimerMs, at);
    startDataTimer(as(connection), 200);
    assert.equal(connection.dataTimerMs, at, 'it runs already');
  }
});

test('RFC 8684 §3.3.6: a timeout puts up one mapping, unless a path that answers has it in flight', () => {
  const holding = (dsn: number, stage: Stage) => {
    const sendMap = new SendMap();
    sendMap.append(1, dsn, 10, false, -1);
    return { stage, sendMap, isOpen: true, tcb: { rtt: { rtoMs: 300 }, sndUna: 1, sndNxt: 1 } };
  };
  for (const [dataNxt, subflows, put] of [
    [5001, [], 5000],
    [65_535, [], 65_534],
    [65_536, [], 65_534],
    [5001, [holding(1, Stage.ACTIVE)], 0],
    [5001, [holding(2, Stage.ACTIVE)], 5000],
    [5001, [holding(1, Stage.SUSPECT)], 5000],
  ] as const) {
    const connection = fake({ dataNxt, subflows, lastWithoutOptions: false });
    dataTimeout(as(connection), 100);
    assert.equal(connection.reinjection.bytes, put);
    assert.equal(connection.dataBackoff, 3);
  }
  // Nothing is outstanding: it stops; eight doublings are the most.
  const idle = fake({ dataUna: 5001, dataBackoff: 8 });
  dataTimeout(as(idle), 100);
  assert.deepEqual([idle.dataBackoff, idle.dataTimerMs], [8, Infinity]);
});

test('a DATA_FIN is repeated everywhere, and from the sixth time on with the FIN of TCP', () => {
  // A client to whom no option has come since the SYN/ACK does not wait for more than the second time.
  for (const [client, dataBackoff, fins] of [
    [false, 4, 0],
    [false, 5, 1],
    [true, 0, 0],
    [true, 1, 1],
  ] as const) {
    let shutdowns = 0;
    const tcb = { isSynchronized: true, ackPending: false, rtt: { rtoMs: 300 }, shutdown: () => shutdowns++ };
    const subflow = { tcb, isOpen: true, stage: Stage.SUSPECT, connection: {} };
    const connection = fake({
      ...{ client, dataUna: 5001, dataFinDue: true, dataBackoff, confirmed: false, subflows: [subflow] },
    });
    dataTimeout(as(connection), 100);
    assert.deepEqual([shutdowns, tcb.ackPending], [fins, true]);
    assert.deepEqual([connection.dataFinQueued, connection.keysSent], [true, false]);
  }
});

test('once options were heard, the FIN of TCP goes out only where TCP could go on', () => {
  for (const [more, fins] of [
    [{}, 1],
    [{ stage: Stage.SUSPECT }, 0],
    [{ hasRepeated: true }, 0],
  ] as const) {
    let shutdowns = 0;
    const tcb = { isSynchronized: true, ackPending: false, rtt: { rtoMs: 300 }, shutdown: () => shutdowns++ };
    const subflow = lone({ tcb: { ...tcb, timestamps: true }, isOpen: true, stage: Stage.ACTIVE, ...more });
    Object.assign(subflow.connection, { nextSubflowId: 1 });
    dataTimeout(as(fake({ dataUna: 5001, dataFinDue: true, dataBackoff: 5, subflows: [subflow] })), 100);
    assert.equal(shutdowns, fins);
  }
});

test('room is told of when it was wanted, is there, and may still be used', () => {
  for (const [more, told] of [
    [{ wantsRoom: true }, 0],
    [{ wantsRoom: true, free: 1 }, 1],
    [{ wantsRoom: false, free: 1 }, 0],
    [{ wantsRoom: true, free: 1, dataFinDsn: 0 }, 0],
  ] as const) {
    const connection = fake(more);
    if ('free' in more) connection.sendBuffer.release(2);
    roomFreed(as(connection));
    assert.deepEqual(connection.told, told === 1 ? [Ready.WRITABLE] : []);
  }
});

test('there is something to send while the window admits a byte that was not, or one is put up again', () => {
  for (const [more, sendable] of [
    [{}, true],
    [{ sndRight: 5001 }, false],
    [{ sndRight: 5002 }, true],
    [{ dataNxt: 8001, sndRight: 9000 }, false],
    [{ dataNxt: 8000, sndRight: 9000 }, true],
  ] as const) {
    assert.equal(hasSendable(as(fake(more))), sendable);
  }
  const again = fake({ sndRight: 5001 });
  again.reinjection.add(1, 2);
  assert.equal(hasSendable(as(again)), true);
});

test('RFC 8684 §3.3.6: bytes are kept until connection and subflows have acknowledged them; room for twice the slowest', () => {
  const sendMap = new SendMap();
  sendMap.append(1, 2001, 1000, false, -1);
  const subflow = (srttMs: number, cwndBytes: number) => ({
    sendMap,
    tcb: { congestion: { cwndBytes }, rtt: { srttMs } },
  });
  const connection = fake({
    dataUna: 4001,
    subflows: [subflow(100, 3000), subflow(20, 400), subflow(0, 9999)],
  });
  releaseSent(as(connection));
  assert.equal(connection.sendBuffer.start, 2001);
  // 2 · (3,000 / 100 + 400 / 20) · 100 bytes.
  assert.equal(connection.sendBuffer.limit, 10_000);
  // No room is made while nothing goes.
  const nothing = fake({ dataUna: 1, subflows: [{ ...subflow(100, 30_000), sendMap: new SendMap() }] });
  const { limit } = nothing.sendBuffer;
  releaseSent(as(nothing));
  assert.deepEqual([nothing.sendBuffer.start, nothing.sendBuffer.limit], [1, limit]);
});

test('a slow subflow’s share is moved out of the way when it is a quarter of the buffer that is wanted', () => {
  for (const [una, wantsRoom, start] of [
    [2001, true, 2001],
    [2000, true, 1],
    [2001, false, 1],
  ] as const) {
    const sendMap = new SendMap();
    sendMap.append(1, 1, una - 1, false, -1);
    sendMap.append(una, una, 100, false, -1);
    const connection = fake({ dataUna: una, wantsRoom });
    const tcb = { congestion: { cwndBytes: 1 }, rtt: { srttMs: 0 } };
    connection.subflows = [{ sendMap, tcb, connection }];
    keepForSlow(as(connection));
    assert.equal(connection.sendBuffer.start, start);
    assert.equal(sendMap.keptBytes(0)?.length, start > 1 ? una - 1 : undefined);
    assert.equal(sendMap.keptBytes(1), null);
  }
});

/** The first subflow of a connection without others. */
// biome-ignore lint/suspicious/noExplicitAny: only as much of a subflow as is looked at
function lone(more: object = {}): any {
  return {
    ...{ initial: true, hasRepeated: false, peerRepeated: false, mappingSeen: true, dataAckSent: true },
    ...{ unmappedSegments: 0, unmappedBytes: 0, unmappedMs: Infinity, unplacedMs: Infinity },
    staging: null,
    ...{ tcb: { rcvNxt: 1 }, plainWords: null, receiveMap: new ReceiveMap(8) },
    connection: { everMultiple: false, subflows: [], env: { config: { asLinux: false } } },
    ...more,
  };
}

test('payload without a mapping is waited with for 8 segments, 65,535 bytes, and 100 ms when alone', () => {
  for (const [segments, bytes, length, ssn, waits] of [
    [6, 0, 1, 1, true],
    [7, 0, 1, 1, true],
    [8, 0, 1, 1, false],
    [0, 65_534, 1, 1, true],
    [0, 65_535, 1, 1, false],
    [8, 0, 1, 2, true],
  ] as const) {
    const resets: object[] = [];
    const subflow = lone({
      ...{ unmappedSegments: segments, unmappedBytes: bytes, hasRepeated: true },
      reset: (how: object) => resets.push(how),
    });
    assert.equal(mappingMissing(subflow as Subflow, ssn, length, 1000), waits);
    assert.equal(resets.length, waits ? 0 : 1);
    assert.equal(subflow.unmappedMs, Infinity);
  }
});

test('payload without a mapping is waited with for 100 ms from its acknowledgement on, when alone', () => {
  for (const [rcvNxt, more, unplacedMs, unmappedMs] of [
    [10, {}, Infinity, Infinity],
    [11, {}, 1000, 1100],
    [11, { hasRepeated: true }, 1000, Infinity],
    [11, { mappingSeen: false }, Infinity, Infinity],
  ] as const) {
    const staging = new Staging(1000);
    staging.insert(10, new Uint8Array(1), 0, 1);
    const subflow = lone({ staging, tcb: { rcvNxt }, ...more });
    acknowledging(subflow as Subflow, 1000);
    acknowledging(subflow as Subflow, 1050);
    assert.deepEqual([subflow.unplacedMs, subflow.unmappedMs], [unplacedMs, unmappedMs]);
    mappingTaken(subflow as Subflow);
    assert.deepEqual([subflow.unplacedMs, subflow.unmappedMs], [unplacedMs, unmappedMs], 'of other bytes');
    subflow.receiveMap.add(10, 10, 1, -1);
    mappingTaken(subflow as Subflow);
    assert.deepEqual([subflow.unplacedMs, subflow.unmappedMs], [Infinity, Infinity]);
  }
});

test('RFC 8684 §3.7: a single subflow is the first, alone for ever, and carried nothing twice', () => {
  assert.equal(isSingle(lone() as Subflow), true);
  for (const more of [
    { initial: false },
    { hasRepeated: true },
    { connection: { everMultiple: true, subflows: [] } },
    { connection: { everMultiple: false, subflows: [{ mayCarry: true }] } },
  ]) {
    assert.equal(isSingle(lone(more) as Subflow), false);
  }
});

test('bytes without a mapping are unplaceable to the byte', () => {
  for (const [start, length, unplaceable] of [
    [10, 20, false],
    [9, 1, true],
    [10, 21, true],
    [29, 1, false],
    [30, 1, true],
  ] as const) {
    const staging = new Staging(1000);
    staging.insert(start, new Uint8Array(length), 0, length);
    const receiveMap = new ReceiveMap(8);
    receiveMap.add(10, 10, 10, -1);
    receiveMap.add(20, 20, 10, -1);
    assert.equal(hasUnplaceable(lone({ staging, receiveMap }) as Subflow), unplaceable, `${start}`);
    // What has been taken out again does not count.
    staging.insert(50, new Uint8Array(5), 0, 5);
    assert.equal(hasUnplaceable(lone({ staging, receiveMap }) as Subflow), true);
    staging.remove(50, 55);
    assert.equal(hasUnplaceable(lone({ staging, receiveMap }) as Subflow), unplaceable);
    assert.equal(hasUnplaceable(lone({ staging, receiveMap, mappingSeen: false }) as Subflow), false);
  }
});

test('a subflow is stuck three seconds after it was heard, or began to send, with bytes in flight', () => {
  const tcb = { sndUna: 1, sndNxt: 2, lastReceivedMs: 1000 };
  for (const [more, now, stuck] of [
    [{}, 3999, false],
    [{}, 4000, true],
    [{ flightMs: 1500 }, 4499, false],
    [{ flightMs: 1500 }, 4500, true],
    [{ isOpen: false }, 4000, false],
    [{ tcb: { ...tcb, sndUna: 2 } }, 4000, false],
  ] as const) {
    const subflow = { isOpen: true, flightMs: 0, tcb, ...more } as unknown as Subflow;
    assert.equal(isStuck(as(fake()), subflow, now), stuck);
  }
});

test('a third ACK is repeated after two round trips, at least 200 ms, and then doubling', () => {
  for (const [srttMs, thirdAcks, delay] of [
    [0, 0, 1000],
    [50, 0, 200],
    [150, 0, 300],
    [150, 1, 300],
    [150, 2, 600],
    [150, 3, 1200],
  ]) {
    const env = { config: { rtoMinMs: 200, rtoInitialMs: 1000 } };
    const tcb = { rtt: { srttMs }, env } as unknown as Subflow['tcb'];
    assert.equal(thirdAckDelay(tcb, thirdAcks), delay);
  }
});

test('without subflows a connection ends, unless one was joined and is settled for five seconds', () => {
  for (const [flightMs, isOpen, ends] of [
    [5000, true, false],
    [5001, true, true],
    [5000, false, true],
  ] as const) {
    const ended: { code: string | null }[] = [];
    const finish = (reason: { code: string | null }) => ended.push(reason);
    const connection = fake({ subflows: [{ isOpen, flightMs }], finish });
    lonelyTimeout(as(connection), 10_000);
    assert.deepEqual(
      ended.map(({ code }) => code),
      ends ? ['ETIMEDOUT'] : [],
    );
    assert.equal(connection.lonelyMs, Infinity);
  }
});

test('a join has crossed with our falling back for a second and a half', () => {
  for (const [more, now, crossed] of [
    [{ plain: {} }, 2499, true],
    [{ plain: {} }, 2500, false],
    [{ plain: null }, 2499, false],
    [{ plain: {}, isDone: true }, 2499, false],
  ] as const) {
    assert.equal(joinCrossed(as(fake({ plainSinceMs: 1000, ...more })), now), crossed);
  }
});

test('a connection let go of is given up two minutes after it last delivered something', () => {
  for (const [dataProgressMs, now, orphanMs] of [
    [-Infinity, 5000, Infinity],
    [4000, 123_999, 124_000],
    [4000, 124_000, Infinity],
  ]) {
    const connection = fake({ dataProgressMs, orphanMs: 0, remoteKey: null, confirmed: false });
    connection.env.config.dataTimeoutMs = 120_000;
    let ends = 0;
    connection.finish = () => ends++;
    orphanTimeout(as(connection), now);
    assert.deepEqual([connection.orphanMs, ends], [orphanMs, orphanMs === Infinity ? 1 : 0], `${now}`);
  }
});

test('RFC 8684 §3.4.2: an address that is withdrawn is asked for a retransmission timeout, a second at least', () => {
  for (const [rtoMs, waitMs] of [
    [999, 1000],
    [1001, 1001],
  ]) {
    const tcb = { rtt: { rtoMs }, probePending: false };
    const subflow = { tcb, connection: fake(), tellMs: 7, suspectMs: 7, removeMs: Infinity };
    probeForRemoval(subflow as unknown as Subflow, 500);
    assert.deepEqual([subflow.removeMs, tcb.probePending, subflow.tellMs], [500 + waitMs, true, Infinity]);
    // Silent as it may be already: where nothing else is in use, its probes go on.
    assert.equal(subflow.suspectMs, 7);
  }
});

/** As much of a subflow as is asked when it goes. */
// biome-ignore lint/suspicious/noExplicitAny: see above
function leaving(stage: Stage, more: object = {}): any {
  const done: string[] = [];
  const tcb = {
    ...{ isSynchronized: true, isReleased: false },
    ...{ orphan: () => done.push('orphan'), shutdown: () => done.push('fin'), abort: () => done.push('rst') },
    ...more,
  };
  const maps = { sendMap: new SendMap(), receiveMap: new ReceiveMap(1) };
  return { stage, done, tcb, mayCarry: false, resetReason: -1, staging: null, ...maps };
}

// biome-ignore lint/suspicious/noExplicitAny: see above
const crowd = (subflows: object[]): any =>
  fake({
    ...{ subflows, expectation: { voice: null }, coupling: { remove: () => {} }, discardSent: () => {} },
    ...{ fastclose: null, everMultiple: false },
  });

test('RFC 8684 §3.3.3: at the end all close by FIN, but for handshakes and silent paths beside one that works', () => {
  const { ACTIVE, CLOSING, SUSPECT, CONNECTING } = Stage;
  for (const [stages, ends] of [
    [[ACTIVE], ['fin']],
    [
      [ACTIVE, SUSPECT],
      ['fin', 'rst'],
    ],
    [
      [CLOSING, SUSPECT],
      ['fin', 'rst'],
    ],
    [[SUSPECT], ['fin']],
    [
      [SUSPECT, SUSPECT],
      ['fin', 'fin'],
    ],
    [
      [CONNECTING, SUSPECT],
      ['rst', 'fin'],
    ],
  ] as const) {
    const subflows = stages.map(stage => leaving(stage, { isSynchronized: stage !== CONNECTING }));
    closeSubflows(as(crowd([...subflows])), 100);
    for (const [i, { done, stage, resetReason }] of subflows.entries()) {
      const isReset = ends[i] === 'rst';
      assert.deepEqual(done, isReset ? ['rst'] : ['orphan', 'fin'], `${stages}`);
      assert.deepEqual([stage, resetReason], isReset ? [Stage.CLOSED, 4] : [CLOSING, -1]);
    }
  }
});

test('RFC 8684 §3.3.3: a subflow is retired by FIN; without another one the connection waits for one to come back', () => {
  for (const [open, isDone, lonelyMs] of [
    [true, false, Infinity],
    [false, false, 100 + 60_000],
    [false, true, Infinity],
  ] as const) {
    const subflow = leaving(Stage.ACTIVE);
    const connection = crowd([subflow, { isOpen: open }]);
    Object.assign(connection, { isDone, lonelyMs: Infinity, reinjectFrom: () => subflow.done.push('again') });
    retire(as(connection), subflow, 100);
    assert.deepEqual([subflow.stage, subflow.done], [Stage.CLOSING, ['orphan', 'fin', 'again']]);
    assert.equal(connection.lonelyMs, lonelyMs);
  }
});

test('the window is told on every subflow in use, once a read opens it by enough', () => {
  const subflow = (stage: Stage) => ({
    stage,
    tcb: { receiveRttMs: 0, rcvMss: 1000, rcvScale: 0, ackPending: false },
  });
  for (const [read, told] of [
    [1999, false],
    [2000, true],
  ] as const) {
    const subflows = [Stage.ACTIVE, Stage.SUSPECT, Stage.CLOSING, Stage.ACTIVE].map(subflow);
    const connection = fake({ subflows });
    // Two segments, which are more than an eighth of 10,000 bytes (RFC 9293 §3.8.6.2.2).
    connection.receiveBuffer.offer(0, 1);
    connection.receiveBuffer.insert(1, new Uint8Array(10_000), 0, 10_000);
    connection.receiveBuffer.read(new Uint8Array(read), 0, read);
    bytesRead(as(connection), 100);
    assert.deepEqual(
      subflows.map(({ tcb }) => tcb.ackPending),
      [told, false, false, told],
      `${read}`,
    );
  }
});

test('RFC 8684 §3.7: bytes that would be a second copy for a peer that is TCP: of the first and only subflow', () => {
  for (const [more, everMultiple, heard] of [
    [{}, false, true],
    [{}, true, false],
    [{ initial: false }, false, false],
    [{ lastWithoutOptions: false }, false, false],
    [{ isOpen: false }, false, false],
  ] as const) {
    const subflow = { initial: true, lastWithoutOptions: true, isOpen: true, ...more };
    assert.equal(
      mayBeHeardAsTcp(as(fake({ everMultiple, subflows: [subflow] }))),
      heard,
      JSON.stringify(more),
    );
  }
});

test('a connection that goes on as TCP has no timer of its own left, whatever else is due at that moment', () => {
  const subflow = leaving(Stage.ACTIVE);
  const connection = crowd([subflow]);
  Object.assign(connection, {
    dataTimerMs: 100,
    lonelyMs: 100,
    orphanMs: 100,
    isCounted: false,
    managed: null,
  });
  Object.assign(connection, { paths: { stop: () => {} }, keepAliveIdleMs: 0 });
  connection.env.config.subflowKeepAliveMs = 0;
  const told: object[] = [];
  connection.owner.fellBack = (plain: object) => told.push(plain);
  const plain = {} as PlainStream;
  becomePlain(as(connection), plain, subflow, { cause: 'checksum', seenBy: 'local' }, 100);
  assert.deepEqual(
    [connection.dataTimerMs, connection.lonelyMs, connection.orphanMs],
    [Infinity, Infinity, Infinity],
  );
  assert.deepEqual([told, connection.plain, connection.plainSinceMs], [[plain], plain, 100]);
});

test('what TCP took and the connection did not is missed a round trip later, unless it may still be on its way', () => {
  const mapped = (stage: Stage, dsn: number) => {
    const sendMap = new SendMap();
    sendMap.append(1, dsn, 10, false, -1);
    return { stage, sendMap };
  };
  for (const [more, config, dueMs] of [
    // 100 + 4 · 20 ms, doubled for the timeout that was before.
    [{}, {}, 500 + 360],
    [{}, { asLinux: true }, Infinity],
    [{ subflows: [mapped(Stage.ACTIVE, 1)] }, {}, Infinity],
    [{ subflows: [mapped(Stage.SUSPECT, 1)] }, {}, 860],
    [{ subflows: [mapped(Stage.ACTIVE, 2)] }, {}, 860],
    [{ dataUna: 5001 }, {}, Infinity],
    [{ taken: new RangeSet() }, {}, Infinity],
    [{ wasJoined: false }, {}, Infinity],
    [{ wasJoined: false, unplacedDsn: 0 }, {}, 860],
    [{ wasJoined: false, unplacedDsn: 1 }, {}, Infinity],
  ] as const) {
    const taken = new RangeSet();
    taken.add(1, 11);
    const connection = fake({ taken, wasJoined: true, unplacedDsn: Infinity, dataBackoff: 1, ...more });
    Object.assign(connection.env.config, config);
    const tcb = { rtt: { srttMs: 100, rttVarMs: 20 } };
    const subflow = { connection, lastWithoutOptions: false, tcb } as unknown as Subflow;
    dataTaken(subflow, 500);
    assert.equal(connection.dataTimerMs, dueMs, JSON.stringify([more, config]));
    subflow.lastWithoutOptions = true;
    connection.dataTimerMs = Infinity;
    dataTaken(subflow, 500);
    assert.equal(connection.dataTimerMs, Infinity);
  }
});

test('as Linux: a timeout gives the bytes to another subflow and suspects none; a withdrawn one is closed unasked', () => {
  for (const others of [true, false]) {
    const subflow = leaving(Stage.ACTIVE);
    const connection = crowd(others ? [subflow, leaving(Stage.ACTIVE)] : [subflow]);
    connection.env.config.asLinux = true;
    subflow.connection = connection;
    let again = 0;
    connection.reinjectFrom = () => again++;
    subflowTimedOut(as(connection), subflow, 100);
    assert.deepEqual([again, subflow.stage], [others ? 1 : 0, Stage.ACTIVE]);
  }
  const subflow = leaving(Stage.ACTIVE);
  const connection = crowd([subflow, { isOpen: true }]);
  Object.assign(connection, { wasJoined: true, reinjectFrom: () => {} });
  Object.assign(connection.env, { config: { asLinux: true }, counters: { RmSubflow: 0 } });
  subflow.connection = connection;
  probeForRemoval(subflow, 100);
  assert.deepEqual([subflow.done, subflow.stage], [['orphan', 'fin'], Stage.CLOSING]);
  assert.equal(connection.env.counters.RmSubflow, 1);
});

test('a subflow that goes takes along what was expected of it, and of no other', () => {
  const [a, b] = [leaving(Stage.ACTIVE), leaving(Stage.ACTIVE, {})];
  const connection = crowd([a, b]);
  connection.expectation.voice = b;
  drop(as(connection), a);
  assert.deepEqual([connection.subflows, connection.lingering], [[b], [a]]);
  assert.equal(connection.expectation.voice, b);
  assert.equal(connection.everMultiple, false);
  b.mayCarry = true;
  drop(as(connection), b);
  assert.deepEqual([connection.expectation.voice, connection.everMultiple], [null, true]);
});

test('blocks that have nothing left to do are handed back, each one and no other', () => {
  for (const released of [
    [true, false, true],
    [false, true, false],
    [true, true, false],
  ]) {
    const lingering = released.map(isReleased => leaving(Stage.CLOSED, { isReleased }));
    const connection = crowd([]);
    connection.lingering = [...lingering];
    const gone: object[] = [];
    connection.owner.tcbReleased = (tcb: object) => gone.push(tcb);
    sweep(as(connection));
    assert.deepEqual(
      connection.lingering,
      lingering.filter(({ tcb }) => !tcb.isReleased),
    );
    assert.equal(gone.length, released.filter(Boolean).length);
  }
});

test('RFC 8684 §3.3: a mapping and a DATA_ACK take 28 bytes, 24 while the peer writes numbers of 32 bits', () => {
  for (const [peerUses64, bytes] of [
    // Kind, length and flags; DATA_ACK, DSN, SSN, length, checksum.
    [true, 4 + 8 + 8 + 4 + 2 + 2],
    [false, 4 + 4 + 8 + 4 + 2 + 2],
  ] as const) {
    const subflow = Object.assign(Object.create(SubflowClass.prototype), { connection: { peerUses64 } });
    assert.equal(subflow.dataOptionBytes, bytes);
  }
});

test('RFC 8684 §B.2: data of a SYN is the first of the stream, and the window of the SYN is counted from there', () => {
  for (const length of [0, 5]) {
    const connection = fake({ remoteSequence: new DataSequence() });
    const windows: number[][] = [];
    connection.openWindow = (...window: number[]) => windows.push(window);
    const subflow = Object.assign(Object.create(SubflowClass.prototype), {
      connection,
      tcb: { sndWnd: 700 },
    });
    subflow.earlyPayload(new Uint8Array(9), 2, length, 100);
    assert.deepEqual(windows, [[1, 700]]);
    assert.deepEqual([connection.receiveBuffer.next, subflow.earlyIn], [1 + length, length]);
    const told = Ready.CONNECTED | Ready.WRITABLE | (length > 0 ? Ready.READABLE : 0);
    assert.deepEqual(connection.told, [told]);
  }
});
