// One below, at, one above: what is taken for a question or an answer without options (mptcp/plain-words), when it is
// answered, and when it is believed. With as much of a subflow as is looked at; the times and numbers are those that the
// file states: two of them, 100 ms apart.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayFollow, PlainWords, plainWordsHeard } from '../../src/mptcp/plain-words.ts';
import { ReceiveMap } from '../../src/mptcp/receive-map.ts';
import { SendMap } from '../../src/mptcp/send-map.ts';
import { Stage, type Subflow } from '../../src/mptcp/subflow.ts';
import { Flag, Segment } from '../../src/wire/index.ts';

/**
 * The only subflow of a connection, with timestamps, that expects byte 11. Its connection is over, so that a conclusion
 * shows by its end: there is nobody left to go on as TCP for.
 */
// biome-ignore lint/suspicious/noExplicitAny: only as much of a subflow as is looked at
function listening(more: object = {}, connectionMore: object = {}): any {
  const words = new PlainWords();
  const subflow = {
    ...{ initial: true, stage: Stage.ACTIVE, hasRepeated: false, peerRepeated: false, staging: null },
    ...{ mappingSeen: true, dataAckSeen: true, plainWords: words, mayCarry: false, ended: 0 },
    ...{ receiveMap: new ReceiveMap(1), sendMap: new SendMap() },
    tcb: {
      ...{ timestamps: true, rcvNxt: 11, sndUna: 5, sndNxt: 5, ackPending: false, backoff: 0 },
      abort: () => subflow.ended++,
    },
    ...more,
  };
  const connection = {
    ...{ confirmed: true, client: true, isDone: true, nextSubflowId: 1, everMultiple: false },
    ...{ subflows: [subflow], lingering: [], expectation: { voice: null }, fastclose: null },
    ...{ coupling: { remove: () => {} }, discardSent: () => {}, env: { config: { asLinux: false } } },
    ...connectionMore,
  };
  return Object.assign(subflow, { connection });
}

/** A segment without options: unless said otherwise without timestamps, which is the mark. */
function bare(payloadLength: number, more: Partial<Segment> = {}): Segment {
  return Object.assign(new Segment(), { payloadLength, flags: Flag.ACK, ...more });
}

test('a question brings a byte that never came, a second one 100 ms later is believed', () => {
  for (const [ssn, length, flags, isNews] of [
    [11, 1, Flag.ACK, true],
    [1, 10, Flag.ACK, false],
    [1, 11, Flag.ACK, true],
    [12, 5, Flag.ACK, false],
    // A FIN is a number, too.
    [1, 10, Flag.ACK | Flag.FIN, true],
    [1, 9, Flag.ACK | Flag.FIN, false],
    [11, 0, Flag.ACK | Flag.FIN, true],
  ] as const) {
    for (const [laterMs, ended] of [
      [99, 0],
      [100, isNews ? 1 : 0],
    ]) {
      const subflow = listening();
      assert.equal(plainWordsHeard(subflow as Subflow, bare(length, { flags }), ssn, 1000), false);
      assert.deepEqual(
        [subflow.plainWords.answerDue, subflow.tcb.ackPending, subflow.ended],
        [true, true, 0],
        `${ssn} ${length}`,
      );
      assert.equal(plainWordsHeard(subflow as Subflow, bare(length, { flags }), ssn, 1000 + laterMs), false);
      assert.equal(subflow.ended, ended, `${ssn} ${length} after ${laterMs} ms`);
    }
  }
});

test('who could not go on as TCP acknowledges a question, and neither answers nor believes it', () => {
  for (const [more, connectionMore] of [
    [{ stage: Stage.SUSPECT }, {}],
    [{ hasRepeated: true }, {}],
    [{ peerRepeated: true }, {}],
    [{ initial: false }, {}],
    [{}, { nextSubflowId: 2 }],
    [{}, { everMultiple: true }],
  ]) {
    const subflow = listening(more, connectionMore);
    for (const now of [1000, 2000]) {
      // The second is what its sender repeats as TCP would: it is not lost.
      assert.equal(plainWordsHeard(subflow as Subflow, bare(5), 11, now), now === 2000);
    }
    assert.deepEqual([subflow.plainWords.answerDue, subflow.tcb.ackPending, subflow.ended], [false, true, 0]);
  }
});

test('an answer is one only to who has asked, and is believed with a second one 100 ms later', () => {
  for (const [asked, laterMs, goesOn, ended] of [
    [true, 99, false, 0],
    [true, 100, false, 1],
    [false, 100, true, 0],
  ] as const) {
    const subflow = listening();
    subflow.plainWords.asked = asked;
    for (const now of [1000, 1000 + laterMs]) {
      assert.equal(plainWordsHeard(subflow as Subflow, bare(0), 11, now), goesOn);
    }
    assert.equal(subflow.ended, ended);
    assert.equal(subflow.plainWords.answerDue, false);
  }
  const never = listening({ plainWords: null });
  assert.equal(plainWordsHeard(never as Subflow, bare(0), 11, 1000), true);
  assert.equal(never.plainWords, null);
  const joined = listening({}, { nextSubflowId: 2 });
  joined.plainWords.asked = true;
  for (const now of [1000, 1100]) assert.equal(plainWordsHeard(joined as Subflow, bare(0), 11, now), false);
  assert.equal(joined.ended, 0);
});

test('before the keys are known to be there nothing is a question, and on a closing subflow it is answered', () => {
  const early = listening({}, { confirmed: false });
  assert.equal(plainWordsHeard(early as Subflow, bare(5), 11, 1000), true);
  assert.equal(early.plainWords.answerDue, false);
  for (const [length, answered] of [
    [0, false],
    [1, true],
  ] as const) {
    const closing = listening({ stage: Stage.CLOSING });
    assert.equal(plainWordsHeard(closing as Subflow, bare(length), 11, 1000), true);
    assert.equal(closing.plainWords.answerDue, answered);
  }
});

test('a segment that has timestamps has lost its options, or its sender has concluded: that depends on what was said', () => {
  for (const [questions, answers, dataAckSeen, follows] of [
    [0, 0, true, false],
    [1, 1, true, false],
    [2, 0, true, true],
    [0, 2, true, true],
    [0, 1, false, true],
    [1, 0, false, true],
    [0, 0, false, false],
  ] as const) {
    const subflow = listening({ dataAckSeen });
    Object.assign(subflow.plainWords, { questions, answers });
    assert.equal(mayFollow(subflow as Subflow), follows);
    const lives = plainWordsHeard(subflow as Subflow, bare(1, { hasTimestamps: true }), 11, 1000);
    assert.deepEqual([lives, subflow.ended], [!follows, follows ? 1 : 0], `${[questions, answers]}`);
  }
  // Without data: only to a client that has repeated its third ACK so, and has nothing under way.
  for (const [connectionMore, sndNxt, answers, follows] of [
    [{ confirmed: false }, 5, 2, true],
    [{ confirmed: false }, 6, 2, false],
    [{ confirmed: false }, 5, 0, false],
    [{ confirmed: true }, 5, 2, false],
    [{ confirmed: false, client: false }, 5, 2, false],
  ] as const) {
    const subflow = listening({}, connectionMore);
    subflow.tcb.sndNxt = sndNxt;
    Object.assign(subflow.plainWords, { questions: 2, answers });
    plainWordsHeard(subflow as Subflow, bare(0, { hasTimestamps: true }), 11, 1000);
    assert.equal(subflow.ended, follows ? 1 : 0, JSON.stringify(connectionMore));
  }
  // Where there are no timestamps, there is no mark.
  const unmarked = listening();
  unmarked.tcb.timestamps = false;
  assert.equal(plainWordsHeard(unmarked as Subflow, bare(5), 11, 1000), true);
  assert.equal(unmarked.plainWords.answerDue, false);
  assert.equal(mayFollow(listening({ plainWords: null }) as Subflow), false);
});
