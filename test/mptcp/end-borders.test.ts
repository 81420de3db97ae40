// One below, at, one above: when a connection has sent, finished and exchanged everything, when missing options end
// Multipath TCP, when questions without options are asked, and how often MP_FASTCLOSE is said. Each with as much of a
// connection as it asks. Expected values are the RFC's or arithmetic.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { abandon, fastcloseReceived, fastcloseTimeout } from '../../src/mptcp/close.ts';
import { MultipathConnection } from '../../src/mptcp/connection.ts';
import { dataAckMissing, signalsVanished } from '../../src/mptcp/fallback.ts';
import { handshakeAdmits, isUsualPort, validCapableSyn } from '../../src/mptcp/handshake.ts';
import { askPlainly, synAckRepeated } from '../../src/mptcp/plain-words.ts';
import { ReceiveMap } from '../../src/mptcp/receive-map.ts';
import { SendMap } from '../../src/mptcp/send-map.ts';
import { Staging } from '../../src/mptcp/staging.ts';
import { Stage, type Subflow } from '../../src/mptcp/subflow.ts';
import { RangeSet, State } from '../../src/tcp/index.ts';
import { ReceiveBuffer } from '../../src/tcp/receive-buffer.ts';
import { SendBuffer } from '../../src/tcp/send-buffer.ts';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';

/** A client that has written 1 to 5,000, sent all, and read nothing. */
function connectionWith(more: object = {}): MultipathConnection {
  const sendBuffer = new SendBuffer({ firstOffset: 1, limitBytes: 16_000 });
  sendBuffer.write(new Uint8Array(5000), 0, 5000);
  const fields = {
    ...{ client: true, confirmed: true, isDone: false, isPeerFinished: false, dataFinDsn: -1 },
    ...{ dataUna: 1, dataNxt: 5001, sndRight: 9001, firstDsn: 1, keysSent: false, subflows: [] },
    ...{ lingering: [], timeWaitMs: Infinity, plain: null, fastclose: null, remoteKey: {} },
    ...{ reinjection: new RangeSet(), taken: new RangeSet(), sendBuffer },
    receiveBuffer: new ReceiveBuffer({ firstOffset: 1, limitBytes: 10_000 }),
    ...more,
  };
  return Object.assign(Object.create(MultipathConnection.prototype), fields);
}

test('RFC 8684 §3.3.3: when a DATA_FIN is due, both have finished, and all has been exchanged', () => {
  for (const [more, due, finished, exchanged] of [
    [{}, false, false, false],
    [{ dataFinDsn: 5001 }, true, false, false],
    [{ dataFinDsn: 5001, dataNxt: 5000 }, false, false, false],
    [{ dataFinDsn: 5001, isDone: true }, false, false, false],
    [{ dataFinDsn: 5001, dataUna: 5001, isPeerFinished: true }, true, false, true],
    [{ dataFinDsn: 5001, dataUna: 5000, isPeerFinished: true }, true, false, false],
    [{ dataFinDsn: 5001, dataUna: 5002, isPeerFinished: true }, false, true, true],
    [{ dataFinDsn: 5001, dataUna: 5002 }, false, false, false],
    [{ dataUna: 5002, isPeerFinished: true }, false, false, false],
    [{ dataFinDsn: 5001, confirmed: false }, false, false, false],
    [{ dataFinDsn: 5001, confirmed: false, client: false }, true, false, false],
    [{ dataFinDsn: 5001, confirmed: false, firstDsn: 5001 }, true, false, false],
  ] as [object, boolean, boolean, boolean][]) {
    const connection = connectionWith(more);
    const { dataFinDue, isFinished, isAllExchanged } = connection;
    assert.deepEqual(
      [dataFinDue, isFinished, isAllExchanged],
      [due, finished, exchanged],
      JSON.stringify(more),
    );
  }
});

test('RFC 8684 §3.1: an unconfirmed client sends its keys; once beside a DATA_FIN', () => {
  const finDue = { dataFinDsn: 5001, firstDsn: 5001, confirmed: false };
  for (const [more, due] of [
    [{ confirmed: false }, true],
    [{ confirmed: true }, false],
    [{ confirmed: false, client: false }, false],
    [finDue, true],
    [{ ...finDue, keysSent: true }, false],
    [{ confirmed: false, keysSent: true }, true],
  ] as const) {
    assert.equal(connectionWith(more).keysDue, due, JSON.stringify(more));
  }
});

test('the window blocks when bytes wait at its edge; what is unacknowledged; what a DATA_ACK says', () => {
  for (const [dataNxt, sndRight, blocked] of [
    [5001, 5001, false],
    [5000, 5000, true],
    [5000, 5001, false],
    [5000, 4999, true],
  ]) {
    assert.equal(connectionWith({ dataNxt, sndRight }).isWindowBlocked, blocked);
  }
  for (const [dataUna, left] of [
    [1, 5000],
    [5000, 1],
    [5001, 0],
    [5002, 0],
  ]) {
    assert.equal(connectionWith({ dataUna }).unacknowledgedBytes, left);
  }
  assert.equal(connectionWith().dataAckDsn, 1);
  const finished = connectionWith({ isPeerFinished: true });
  assert.deepEqual([finished.dataAckDsn, finished.ended], [2, true]);
  finished.receiveBuffer.insert(1, new Uint8Array(3), 0, 3);
  assert.deepEqual([finished.dataAckDsn, finished.ended], [5, false]);
  assert.equal(connectionWith().maySend, true);
  for (const more of [{ plain: {} }, { fastclose: {} }]) assert.equal(connectionWith(more).maySend, false);
  for (const [more, released] of [
    [{ isDone: true }, true],
    [{}, false],
    [{ isDone: true, lingering: [{}] }, false],
    [{ isDone: true, subflows: [{}] }, false],
    [{ isDone: true, timeWaitMs: 5 }, false],
  ] as const) {
    assert.equal(connectionWith(more).isReleased, released);
  }
});

test('the best open subflow: active before suspect, then the smaller round trip, then the first', () => {
  const subflow = (id: number, stage: number, srttMs: number) => {
    const isOpen = stage === Stage.ACTIVE || stage === Stage.SUSPECT;
    return { id, stage, srttMs, isOpen };
  };
  for (const [subflows, best] of [
    [[subflow(1, Stage.ACTIVE, 20), subflow(2, Stage.ACTIVE, 10)], 2],
    [[subflow(1, Stage.ACTIVE, 10), subflow(2, Stage.ACTIVE, 10)], 1],
    [[subflow(1, Stage.SUSPECT, 5), subflow(2, Stage.ACTIVE, 10)], 2],
    [[subflow(1, Stage.ACTIVE, 10), subflow(2, Stage.SUSPECT, 5)], 1],
    [[subflow(1, Stage.CLOSING, 1), subflow(2, Stage.SUSPECT, 5)], 2],
    [[subflow(1, Stage.CONNECTING, 1)], undefined],
  ] as const) {
    assert.equal(connectionWith({ subflows }).bestOpenSubflow()?.id, best);
  }
});

test('RFC 8684 §3.3.6: of what was in flight on a lost subflow, what is not acknowledged goes elsewhere', () => {
  for (const [dataUna, ranges] of [
    [1, [[1, 21]]],
    [10, [[10, 21]]],
    [20, [[20, 21]]],
    [21, []],
  ] as const) {
    const connection = connectionWith({ dataUna });
    const sendMap = new SendMap();
    sendMap.append(1, 1, 10, false, -1);
    sendMap.append(11, 11, 10, false, -1);
    connection.reinjectFrom({ sendMap } as Subflow);
    const { reinjection } = connection;
    const put = Array.from({ length: reinjection.count }, (_, i) => [
      reinjection.start(i),
      reinjection.end(i),
    ]);
    assert.deepEqual(put, ranges);
  }
});

/** An only subflow whose peer's options have vanished, and what it was reset for. */
// biome-ignore lint/suspicious/noExplicitAny: only as much of a subflow as is looked at
function vanishing(more: object = {}): any {
  const resets: string[] = [];
  const subflow = {
    ...{ initial: true, isOpen: true, stage: Stage.ACTIVE, lastWithoutOptions: true, optionsMs: 0 },
    ...{ hasRepeated: true, peerRepeated: false, staging: null, mappingSeen: true, plainWords: null },
    ...{ dataAckSeen: true, plainAcks: 0, unplacedMs: Infinity, resets, receiveMap: new ReceiveMap(8) },
    tcb: { sndUna: 5, sndNxt: 5 },
    reset: ({ text }: { text: string }) => resets.push(text),
    ...more,
  };
  const connection = { confirmed: true, everMultiple: true, subflows: [subflow] };
  return Object.assign(subflow, { connection });
}

test('RFC 8684 §3.7: options that vanish end an only subflow 200 ms after the last of them', () => {
  for (const [more, now, resets] of [
    [{}, 199, 0],
    [{}, 200, 1],
    [{ initial: false }, 200, 0],
    [{ lastWithoutOptions: false }, 200, 0],
    [{ isOpen: false }, 200, 0],
    [{ tcb: { sndUna: 4, sndNxt: 5 } }, 200, 0],
  ] as const) {
    const subflow = vanishing(more);
    assert.equal(signalsVanished(subflow.connection, now), resets > 0, JSON.stringify(more));
    assert.equal(subflow.resets.length, resets);
  }
  const one = vanishing();
  one.connection.subflows.push(vanishing());
  assert.equal(signalsVanished(one.connection, 500), false, 'there are two');
  const unsure = vanishing();
  unsure.connection.confirmed = false;
  assert.equal(signalsVanished(unsure.connection, 500), false);
});

test('RFC 8684 §3.7: acknowledgements of data without DATA_ACK: when they count', () => {
  const at = (ack: number, more: object = {}, mp = 0): boolean => {
    const subflow = vanishing({ dataAckSeen: false, tcb: { sndUna: 5, sndNxt: 9 }, ...more });
    const segment = new Segment();
    segment.mp = mp;
    const lives = dataAckMissing(subflow as Subflow, segment, ack, 1000);
    assert.equal(subflow.resets.length, lives ? 0 : 1);
    return lives;
  };
  for (const [ack, lives] of [
    [5, true],
    [6, false],
    [9, false],
    [10, true],
  ] as const) {
    assert.equal(at(ack), lives, `${ack}`);
  }
  assert.equal(at(1, { tcb: { sndUna: 0, sndNxt: 9 } }), true, 'of the SYN alone');
  assert.equal(at(2, { tcb: { sndUna: 0, sndNxt: 9 } }), false);
  assert.equal(at(6, { stage: Stage.CLOSING }), true);
  assert.equal(at(6, {}, Mp.PRIO), true);
  assert.equal(at(6, { dataAckSeen: true }), true, 'it worked before, and TCP cannot go on');
  // On the first and only subflow with a join half open: that will tell.
  for (const [initial, mayCarry, everMultiple, lives] of [
    [true, true, false, true],
    [true, false, false, false],
    [false, true, false, false],
    [true, true, true, false],
  ] as const) {
    const subflow = vanishing({ initial, dataAckSeen: false, tcb: { sndUna: 5, sndNxt: 9 } });
    Object.assign(subflow.connection, { everMultiple, subflows: [subflow, { mayCarry }] });
    assert.equal(dataAckMissing(subflow as Subflow, new Segment(), 6, 1000), lives, `${mayCarry}`);
  }
});

test('bytes without a mapping may be taken for the stream until 200 ms after their acknowledgement', () => {
  for (const [now, resets] of [
    [1199, 0],
    [1200, 1],
  ]) {
    const staging = new Staging(100);
    staging.insert(50, new Uint8Array(5), 0, 5);
    const subflow = vanishing({ staging, hasRepeated: false, unplacedMs: 1000, optionsMs: 500 });
    subflow.connection.everMultiple = false;
    // Falling back asks for more of a connection than there is here.
    if (resets === 0) assert.throws(() => signalsVanished(subflow.connection, now), TypeError);
    else assert.equal(signalsVanished(subflow.connection, now), true);
    assert.equal(subflow.resets.length, resets);
  }
});

/** A subflow that may ask and answer without options. */
// biome-ignore lint/suspicious/noExplicitAny: see above
function candid(more: object = {}, tcbMore: object = {}): any {
  const tcb = { backoff: 2, sndWnd: 1, isSynchronized: true, timestamps: true, ...tcbMore };
  const subflow = vanishing({ hasRepeated: false, tcb, flightMs: 1000, ...more });
  Object.assign(subflow.connection, {
    everMultiple: false,
    nextSubflowId: 1,
    env: { config: { asLinux: false } },
    client: true,
    confirmed: false,
  });
  return subflow;
}

test('from the second timeout in a row on it is asked without options, if TCP could go on', () => {
  for (const [more, tcbMore, asked] of [
    [{}, {}, true],
    [{}, { backoff: 1 }, false],
    [{}, { backoff: 3 }, true],
    [{}, { sndWnd: 0 }, false],
    [{}, { isSynchronized: false }, false],
    [{}, { timestamps: false }, false],
    [{ stage: Stage.SUSPECT }, {}, false],
    [{ peerRepeated: true }, {}, false],
    [{ hasRepeated: true }, {}, false],
  ] as const) {
    const subflow = candid(more, tcbMore);
    askPlainly(subflow);
    assert.equal(subflow.plainWords?.questionDue ?? false, asked, JSON.stringify([more, tcbMore]));
  }
  const joined = candid();
  joined.connection.nextSubflowId = 2;
  askPlainly(joined);
  assert.equal(joined.plainWords, null);
});

test('a SYN/ACK that comes again half a second after our third ACK is answered without options, too', () => {
  for (const [now, more, answered] of [
    [1499, {}, false],
    [1500, {}, true],
    [1500, { client: false }, false],
    [1500, { confirmed: true }, false],
  ] as const) {
    const subflow = candid();
    Object.assign(subflow.connection, more);
    synAckRepeated(subflow, now);
    assert.equal(subflow.plainWords?.answerDue ?? false, answered);
  }
});

test('RFC 8684 §3.5: MP_FASTCLOSE is repeated three times, doubling, and then said with a reset', () => {
  let aborted = 0;
  const tcb = { state: State.ESTABLISHED, rtt: { rtoMs: 100 }, ackPending: false, abort: () => aborted++ };
  const subflow = { tcb, sendMap: new SendMap(), receiveMap: new ReceiveMap(1), mayCarry: false };
  const connection = {
    ...{ fastclose: { subflow, retries: 0, deadlineMs: 0 }, fastcloseOnReset: false, lingering: [] },
    ...{ env: { config: { fastcloseRetries: 3 } }, subflows: [subflow], expectation: { voice: null } },
    ...{ coupling: { remove: () => {} }, discardSent: () => {} },
  };
  const real = connection as unknown as MultipathConnection;
  for (const [retries, wait] of [
    [1, 200],
    [2, 400],
    [3, 800],
  ]) {
    fastcloseTimeout(real, 5000);
    assert.deepEqual([connection.fastclose.retries, connection.fastclose.deadlineMs], [retries, 5000 + wait]);
    assert.equal(aborted, 0);
  }
  fastcloseTimeout(real, 9000);
  assert.deepEqual([aborted, connection.fastcloseOnReset, connection.subflows], [1, true, []]);
  fastcloseTimeout(real, 9001);
  assert.equal(aborted, 1);
});

test('RFC 8684 §3.5: only both halves of our key end the connection', () => {
  for (const [hi, lo, ends] of [
    [1, 2, true],
    [0, 2, false],
    [1, 3, false],
  ] as const) {
    const ended: string[] = [];
    const connection = {
      ...{ localKey: { hi: 1, lo: 2 }, env: { counters: { MPFastcloseRx: 0 } }, subflows: [] },
      finish: ({ code }: { code: string }) => ended.push(code),
    };
    const segment = { fastcloseKeyHi: hi, fastcloseKeyLo: lo, flags: Flag.ACK } as Segment;
    assert.equal(fastcloseReceived({ connection } as unknown as Subflow, segment), ends);
    assert.deepEqual(ended, ends ? ['ECONNRESET'] : []);
    assert.equal(connection.env.counters.MPFastcloseRx, ends ? 1 : 0);
  }
});

test('a connection let go of ends quietly once its DATA_FIN is acknowledged, and aloud before', () => {
  for (const [dataFinDsn, dataUna, quiet] of [
    [-1, 10, false],
    [9, 9, false],
    [9, 10, true],
  ] as const) {
    let finished = 0;
    const connection = {
      ...{ dataFinDsn, dataUna, isDone: false, client: true, confirmed: false, subflows: [] },
      ...{ remoteKey: {}, fastcloseOnReset: false, finish: () => finished++ },
    };
    abandon(connection as unknown as MultipathConnection, 0);
    assert.deepEqual([finished, connection.fastcloseOnReset], [1, !quiet]);
  }
});

test('RFC 8684 §3.1: which MP_CAPABLE of a SYN is answered, and what completes the handshake', () => {
  for (const [version, flags, length, mp, valid] of [
    [1, 0x01, 4, Mp.CAPABLE, true],
    [0, 0x01, 4, Mp.CAPABLE, false],
    [2, 0x81, 4, Mp.CAPABLE, true],
    [1, 0x00, 4, Mp.CAPABLE, false],
    [1, 0x41, 4, Mp.CAPABLE, false],
    [1, 0x21, 4, Mp.CAPABLE, true],
    [1, 0x01, 12, Mp.CAPABLE, false],
    [1, 0x01, 4, Mp.JOIN, false],
  ] as const) {
    const segment = Object.assign(new Segment(), {
      ...{ mp, capableVersion: version, capableFlags: flags, capableLength: length },
    });
    assert.equal(validCapableSyn(segment), valid, `${[version, flags, length, mp]}`);
  }
  for (const [initial, client, mp, backoff, payloadLength, admitted] of [
    [true, false, 0, 0, 0, true],
    [true, false, Mp.DSS, 0, 0, false],
    [true, false, Mp.DSS, 1, 0, true],
    [true, false, Mp.DSS, 1, 1, false],
    [true, false, Mp.DSS | Mp.CAPABLE, 0, 0, true],
    [true, true, Mp.DSS, 0, 0, true],
    [false, false, Mp.DSS, 0, 0, true],
  ] as const) {
    const subflow = { initial, connection: { client }, tcb: { backoff } } as Subflow;
    assert.equal(handshakeAdmits(subflow, Object.assign(new Segment(), { mp, payloadLength })), admitted);
  }
  for (const [serverPort, port, usual] of [
    [0, 80, true],
    [80, 80, true],
    [80, 81, false],
  ] as const) {
    assert.equal(isUsualPort({ serverPort } as MultipathConnection, port), usual);
  }
});
