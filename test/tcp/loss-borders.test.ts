// One below, at, one above: the borders of what detects losses, repairs them, takes back what was for nothing, and of
// the timers behind it, each set up directly. Expected values are the formulas of the RFC named beside them, worked out
// for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { detectLosses, rackDelivered, rackDuplicate, rackRecovered } from '../../src/tcp/rack.ts';
import { enterLoss, recoveryOnAck } from '../../src/tcp/recovery.ts';
import { Sent } from '../../src/tcp/sent-queue.ts';
import { Recovery, type Tcb } from '../../src/tcp/tcb.ts';
import {
  backedOff,
  expireTimers,
  probeDelay,
  restartRetransmissionTimer,
  scheduleLossProbe,
  Timer,
} from '../../src/tcp/timers.ts';
import { Frto, noteDuplicateReport, noteResent, type UndoAck, undoIfSpurious } from '../../src/tcp/undo.ts';
import { established, type PeerOptions } from './peer.ts';

/** A block with nothing in flight; the numbers are the test's to set. */
function block(options: PeerOptions = {}): Tcb {
  const { tcb } = established({ timestamps: false, ...options });
  tcb.rtt.srttMs = 100;
  tcb.rtt.rttVarMs = 10;
  tcb.rtt.minMs = 80;
  return tcb;
}

/** `count` segments of 1,000 bytes from ssn 1 on, sent at those times. */
function flight(tcb: Tcb, ...sentMs: number[]): void {
  for (const [i, at] of sentMs.entries()) tcb.sent.append(1 + i * 1000, 1000, at, 0);
  tcb.sndUna = 1;
  tcb.sndNxt = 1 + sentMs.length * 1000;
}

test('RFC 8985 §6.2: lost is what was sent a round trip and the reordering window before the newest delivered', () => {
  // The window is a quarter of the smallest round trip: 20 ms.
  for (const [now, lost] of [
    [1119, 0],
    [1120, 1000],
  ]) {
    const tcb = block();
    flight(tcb, 1000, 1001);
    tcb.rackSentMs = 1001;
    tcb.rackEndSsn = 2001;
    tcb.rackRttMs = 100;
    tcb.sent.markSacked(1);
    detectLosses(tcb, now);
    assert.equal(tcb.sent.lostBytes, lost, `at ${now}`);
    assert.equal(tcb.deadlines[Timer.REORDER], lost > 0 ? Infinity : 1120);
    assert.equal(tcb.recovery, lost > 0 ? Recovery.RECOVERY : Recovery.OPEN);
  }
  // Sent in the same millisecond: by the end of the segment.
  for (const [rackEnd, lost] of [
    [1001, 0],
    [1002, 1000],
  ]) {
    const tcb = block();
    flight(tcb, 1000);
    Object.assign(tcb, { rackSentMs: 1000, rackEndSsn: rackEnd, rackRttMs: 100 });
    detectLosses(tcb, 1500);
    assert.equal(tcb.sent.lostBytes, lost);
  }
  // Step 4: no window with three segments reported, unless reordering was seen.
  const mss = block().payloadMss;
  for (const [sacked, seen, wait] of [
    [3 * mss - 1, false, 20],
    [3 * mss, false, 0],
    [3 * mss, true, 20],
  ] as const) {
    const tcb = block();
    tcb.sent.append(1, 1000, 1000, 0);
    tcb.sent.append(1001, sacked, 1001, 0);
    tcb.sndUna = 1;
    tcb.sndNxt = 1001 + sacked;
    tcb.sent.markSacked(1);
    Object.assign(tcb, { rackSentMs: 1001, rackEndSsn: tcb.sndNxt, rackRttMs: 100, reorderSeen: seen });
    detectLosses(tcb, 1100);
    assert.equal(tcb.sent.lostBytes, wait > 0 ? 0 : 1000);
    assert.equal(tcb.deadlines[Timer.REORDER], wait > 0 ? 1120 : Infinity);
  }
  // At most one round trip, however often it has grown.
  const tcb = block();
  flight(tcb, 1000, 1001);
  Object.assign(tcb, { rackSentMs: 1001, rackEndSsn: 2001, rackRttMs: 100, reoWindowMultiplier: 99 });
  tcb.sent.markSacked(1);
  detectLosses(tcb, 1150);
  assert.equal(tcb.deadlines[Timer.REORDER], 1200);
});

test('RFC 8985 §6.2: the newest delivered, by time and then by end; below the highest before is reordering', () => {
  for (const [sentMs, rackSentMs, rackEndSsn, newer] of [
    [1000, 999, 5000, true],
    [1000, 1000, 1000, true],
    [1000, 1000, 1001, false],
    [1000, 1001, 1, false],
  ] as const) {
    const tcb = block();
    flight(tcb, sentMs);
    Object.assign(tcb, { rackSentMs, rackEndSsn, rackRttMs: 7 });
    rackDelivered(tcb, 0, -1, 1100);
    assert.deepEqual(
      [tcb.rackSentMs, tcb.rackEndSsn, tcb.rackRttMs],
      newer ? [1000, 1001, 100] : [rackSentMs, rackEndSsn, 7],
    );
    assert.equal(tcb.highestSacked, 1001);
  }
  for (const [before, seen] of [
    [1001, false],
    [1002, true],
  ] as const) {
    const tcb = block();
    flight(tcb, 1000);
    tcb.highestSackedBefore = before;
    rackDelivered(tcb, 0, -1, 1100);
    assert.equal(tcb.reorderSeen, seen);
  }
  // Step 2: a repetition answered sooner than any round trip was not what is acknowledged.
  for (const [now, taken] of [
    [1079, false],
    [1080, true],
  ] as const) {
    const tcb = block();
    flight(tcb, 900);
    tcb.sent.markResent(0, 1000);
    tcb.highestSackedBefore = 5000;
    rackDelivered(tcb, 0, -1, now);
    assert.equal(tcb.rackSentMs === 1000, taken);
    assert.equal(tcb.reorderSeen, false);
  }
});

test('RFC 8985 §6.2: the reordering window grows once a round trip and shrinks after 16 recoveries', () => {
  const tcb = block();
  flight(tcb, 1000, 1000);
  rackDuplicate(tcb);
  assert.deepEqual([tcb.reoWindowMultiplier, tcb.reoWindowRound], [2, 2001]);
  tcb.sndUna = 2000;
  rackDuplicate(tcb);
  assert.equal(tcb.reoWindowMultiplier, 2);
  tcb.sndUna = 2001;
  rackDuplicate(tcb);
  assert.equal(tcb.reoWindowMultiplier, 3);
  for (let i = 0; i < 15; i++) rackRecovered(tcb);
  assert.equal(tcb.reoWindowMultiplier, 3);
  rackRecovered(tcb);
  assert.equal(tcb.reoWindowMultiplier, 1);
  rackRecovered(tcb);
  assert.equal(tcb.reoWindowPersist, 0);
});

test('RFC 9937 §6.2: proportional above ssthresh, one for one below', () => {
  const ack = { deliveredBytes: 1000, advanced: false, newLoss: false, now: 2000 };
  const at = (pipe: number, sent: number, options: Partial<typeof ack>, sack = true): number => {
    const tcb = block({ sack });
    flight(tcb, 1000);
    tcb.sndNxt = 1 + pipe;
    tcb.recovery = Recovery.RECOVERY;
    tcb.recoveryPoint = tcb.sndNxt;
    Object.assign(tcb, { prrDelivered: 3000, prrSent: sent, prrFlight: 10_000 });
    tcb.congestion.ssthreshBytes = 5000;
    recoveryOnAck(tcb, { ...ack, ...options });
    return tcb.prrCwnd - pipe;
  };
  // ceil(prr_delivered · ssthresh / RecoverFS) − prr_out = ceil(4,000 · 5,000 / 10,000) − prr_out.
  assert.equal(at(5001, 500, {}), 1500);
  // At ssthresh and below: to ssthresh, bounded by max(prr_delivered − prr_out, delivered).
  assert.equal(at(5000, 500, {}), 0);
  assert.equal(at(1000, 500, {}), 3500);
  assert.equal(at(1000, 3900, {}), 1000);
  const mss = block().payloadMss;
  assert.equal(at(1000, 3900, { advanced: true }), 1000 + mss);
  assert.equal(at(1000, 3900, { advanced: true, newLoss: true }), 1000);
  // Nothing was sent yet, or without SACK a partial acknowledgement: one segment at least.
  assert.equal(at(5000, 0, {}), mss);
  assert.equal(at(5000, 500, { advanced: true }), 0);
  assert.equal(at(5000, 500, { advanced: true }, false), mss);
});

test('recovery is over when what was sent before it is acknowledged, not before', () => {
  for (const [una, over] of [
    [1999, false],
    [2000, true],
  ] as const) {
    const tcb = block();
    Object.assign(tcb, { sndUna: una, sndNxt: 3000, recoveryPoint: 2000, recovery: Recovery.RECOVERY });
    recoveryOnAck(tcb, { deliveredBytes: 0, advanced: true, newLoss: false, now: 1 });
    assert.equal(tcb.recovery === Recovery.OPEN, over);
  }
});

test('RFC 5682 §3.1: a timeout begins F-RTO outside of recovery, or again at its beginning, and never with timestamps', () => {
  for (const [recovery, frto, timestamps, expected] of [
    [Recovery.OPEN, Frto.OFF, false, Frto.RESENT],
    [Recovery.OPEN, Frto.OFF, true, Frto.OFF],
    [Recovery.RECOVERY, Frto.OFF, false, Frto.OFF],
    [Recovery.LOSS, Frto.RESENT, false, Frto.RESENT],
    [Recovery.LOSS, Frto.PROBING, false, Frto.OFF],
  ] as const) {
    const tcb = block({ timestamps });
    flight(tcb, 1000, 1000);
    tcb.recovery = recovery;
    tcb.undo.frto = frto;
    enterLoss(tcb, 2000);
    assert.equal(tcb.undo.frto, expected);
    assert.deepEqual([tcb.recovery, tcb.recoveryPoint, tcb.sent.lostBytes], [Recovery.LOSS, 2001, 2000]);
  }
});

test('RFC 3708 §2: everything repeated in this episode came twice, and nothing else counts', () => {
  const setUp = (): Tcb => {
    const tcb = block();
    flight(tcb, 1000, 1000);
    tcb.recovery = Recovery.LOSS;
    tcb.undo.startSsn = 1;
    tcb.undo.endSsn = 2001;
    noteResent(tcb, 1000, 1100);
    noteResent(tcb, 1000, 1200);
    assert.deepEqual([tcb.undo.firstResentMs, tcb.undo.unreportedBytes], [1100, 2000]);
    return tcb;
  };
  for (const [start, end, all, left] of [
    [1, 2001, true, 0],
    [0, 2001, false, 2000],
    [1, 2002, false, 2000],
    [1, 2000, false, 1],
  ] as const) {
    const tcb = setUp();
    assert.equal(noteDuplicateReport(tcb, start, end), all);
    assert.equal(tcb.undo.unreportedBytes, left);
  }
  const open = block();
  noteResent(open, 1000, 1100);
  assert.equal(open.undo.unreportedBytes, 0);
});

test('RFC 5682 §3.1, step 3: what the acknowledgement of new data means', () => {
  const bare: UndoAck = {
    ...{ advanced: false, tsEcr: -1, originalDelivered: false },
    ...{ duplicate: false, duplicateReported: false, allDuplicate: false },
  };
  const after = (una: number, sacked: number, ack: Partial<UndoAck>): string => {
    const tcb = block();
    Object.assign(tcb, { sndUna: una, sndNxt: 9001, recoveryPoint: 5001, recovery: Recovery.LOSS });
    tcb.highestSacked = sacked;
    Object.assign(tcb.undo, { frto: Frto.PROBING, startSsn: 1, endSsn: 5001 });
    assert.equal(undoIfSpurious(tcb, { ...bare, ...ack }, 2000), 0);
    if (tcb.recovery === Recovery.OPEN) return 'spurious';
    if (tcb.undo.frto !== Frto.OFF) return 'probing';
    assert.equal(tcb.congestion.cwndBytes, 3 * tcb.payloadMss);
    return 'genuine';
  };
  const original = { originalDelivered: true, advanced: true };
  assert.equal(after(5001, 5001, original), 'spurious');
  assert.equal(after(5002, 5001, original), 'genuine');
  assert.equal(after(5001, 5002, original), 'genuine');
  assert.equal(after(3001, 0, { advanced: true }), 'genuine');
  assert.equal(after(3001, 0, { duplicate: true }), 'genuine');
  assert.equal(after(3001, 0, {}), 'probing');
  assert.equal(after(3001, 5002, {}), 'genuine');
});

test('RFC 3522: an echo from before the first repetition undoes; what was late is a sample', () => {
  for (const [echoMs, backoff, duplicateReported, recovery, una, sample] of [
    [1099, 1, false, Recovery.LOSS, 1001, 201],
    [1100, 1, false, Recovery.LOSS, 1001, null],
    [1099, 2, false, Recovery.LOSS, 1001, 0],
    [1099, 1, true, Recovery.LOSS, 1001, 0],
    [1099, 0, false, Recovery.RECOVERY, 2001, 201],
    [1099, 0, false, Recovery.RECOVERY, 2000, 201],
  ] as const) {
    const tcb = block({ timestamps: true });
    Object.assign(tcb, { sndUna: una, sndNxt: 2001, recoveryPoint: 2001, recovery, backoff });
    Object.assign(tcb.undo, { startSsn: 1, endSsn: 2001, firstResentMs: 1100 });
    const { counters } = tcb.env;
    const ack = { advanced: true, tsEcr: tcb.timestamp(echoMs), originalDelivered: false };
    const late = undoIfSpurious(
      tcb,
      { ...ack, duplicate: false, duplicateReported, allDuplicate: false },
      1300,
    );
    assert.equal(late, sample ?? 0);
    assert.equal(tcb.recovery === Recovery.OPEN, sample !== null);
    const partial = recovery === Recovery.RECOVERY && una < 2001 ? 1 : 0;
    assert.equal(counters.TCPPartialUndo, partial);
    assert.equal(counters.TCPFullUndo, recovery === Recovery.RECOVERY ? 1 - partial : 0);
    assert.equal(counters.TCPLossUndo, recovery === Recovery.LOSS && sample !== null ? 1 : 0);
  }
});

test('RFC 6298 §5.5: the timeout doubles 16 times at most and has a ceiling; window probes fit four times into patience', () => {
  const tcb = block({ config: { rtoMaxMs: 1e9, dataTimeoutMs: 120_000 } });
  // 100 + max(200, 4 · 10).
  for (const [backoff, ms] of [
    [0, 300],
    [1, 600],
    [16, 300 * 65_536],
    [17, 300 * 65_536],
  ]) {
    tcb.backoff = backoff;
    assert.equal(backedOff(tcb), ms);
  }
  assert.equal(probeDelay(tcb), 30_000);
  tcb.rtoCapMs = 500;
  assert.equal(backedOff(tcb), 500);
  assert.equal(probeDelay(tcb), 500);
});

test('the retransmission timer ends with patience, waits for probes at a closed window, and stops with nothing in flight', () => {
  const tcb = block({ config: { dataTimeoutMs: 120_000 } });
  flight(tcb, 1000);
  tcb.sndWnd = 1000;
  for (const [progressMs, at] of [
    [1000, 1300],
    [1000 - 119_701, 1299],
    [1000 - 119_999, 1001],
    [1000 - 120_000, 1300],
  ]) {
    tcb.progressMs = progressMs;
    restartRetransmissionTimer(tcb, 1000);
    assert.equal(tcb.deadlines[Timer.RETRANSMIT], at, `progress at ${progressMs}`);
  }
  tcb.progressMs = 1000 - 119_701;
  tcb.sndWnd = 0;
  restartRetransmissionTimer(tcb, 1000);
  assert.equal(tcb.deadlines[Timer.RETRANSMIT], 1300);
  tcb.sndUna = tcb.sndNxt;
  restartRetransmissionTimer(tcb, 1000);
  assert.deepEqual([tcb.deadlines[Timer.RETRANSMIT], tcb.deadlines[Timer.TLP]], [Infinity, Infinity]);
});

test('RFC 8985 §7.2: the probe timeout is two round trips, more for a single segment, and never after the timeout', () => {
  const at = (change: (tcb: Tcb) => void, segments = 2): number => {
    const tcb = block();
    flight(tcb, ...new Array<number>(segments).fill(1000));
    tcb.deadlines[Timer.RETRANSMIT] = 1300;
    change(tcb);
    scheduleLossProbe(tcb, 1000);
    return tcb.deadlines[Timer.TLP];
  };
  assert.equal(
    at(() => {}),
    1200,
  );
  assert.equal(
    at(() => {}, 1),
    1250,
  );
  assert.equal(
    at(tcb => {
      tcb.rtt.srttMs = 1;
    }),
    1010,
  );
  assert.equal(
    at(tcb => {
      tcb.deadlines[Timer.RETRANSMIT] = 1150;
    }),
    1150,
  );
  const never: ((tcb: Tcb) => void)[] = [
    tcb => {
      tcb.recovery = Recovery.RECOVERY;
    },
    tcb => {
      tcb.tlpEndSsn = 0;
    },
    tcb => {
      tcb.rtt.srttMs = 0;
    },
    tcb => tcb.sent.markSacked(0),
    tcb => {
      tcb.sack = false;
    },
    tcb => tcb.sent.clear(),
  ];
  for (const change of never) assert.equal(at(change), Infinity, String(change));
});

test('RFC 1191 §6.4: what is larger than the path takes is lost at once, what is reported or smaller is not', () => {
  const tcb = block();
  tcb.limitMtu(1040);
  const mss = tcb.payloadMss;
  assert.deepEqual([tcb.mss, mss], [1000, 1000]);
  tcb.limitMtu(1040);
  assert.equal(tcb.mss, 1000);
  for (const [i, length] of [800, 801, 900].entries()) tcb.sent.append(1 + i * 1000, length, 1, 0);
  tcb.sndUna = 1;
  tcb.sndNxt = 2901;
  tcb.sent.markSacked(2);
  tcb.limitMtu(840);
  assert.deepEqual(
    [0, 1, 2].map(i => tcb.sent.flags(i)),
    [0, Sent.LOST, Sent.SACKED],
  );
});

test('RFC 8985 §6.2, step 2: an echo from before the repetition answers an earlier transmission', () => {
  for (const [echoMs, taken] of [
    [999, false],
    [1000, true],
    [null, true],
  ] as const) {
    // Whatever the timestamps begin with.
    for (const tsOffset of [0, 0x8000_0000]) {
      const tcb = block({ timestamps: true });
      flight(tcb, 900);
      tcb.tsOffset = tsOffset;
      tcb.sent.markResent(0, 1000);
      rackDelivered(tcb, 0, echoMs === null ? -1 : tcb.timestamp(echoMs), 1080);
      assert.equal(tcb.rackSentMs === 1000, taken, `${echoMs} ${tsOffset}`);
    }
  }
});

test('RFC 8985 §6.2, step 5: behind a repetition that may still arrive older originals are lost', () => {
  const tcb = block();
  flight(tcb, 1000, 1000, 1000, 1000);
  tcb.sent.markResent(0, 1090);
  tcb.sent.markSacked(3);
  Object.assign(tcb, { rackSentMs: 1000, rackEndSsn: 4001, rackRttMs: 100, recovery: Recovery.RECOVERY });
  detectLosses(tcb, 1100);
  assert.deepEqual(
    [0, 1, 2].map(i => tcb.sent.flags(i)),
    [Sent.RETRANSMITTED, Sent.LOST, Sent.LOST],
  );
});

test('RFC 3522: nothing was repeated, or nothing is echoed: nothing is undone', () => {
  for (const [firstResentMs, echo, undone] of [
    [1100, 1000, true],
    [1100, null, false],
    [-1, -100, false],
  ] as const) {
    for (const tsOffset of [0, 0x8000_0000, 0xffff_0000]) {
      const tcb = block({ timestamps: true });
      tcb.tsOffset = tsOffset;
      Object.assign(tcb, { sndUna: 1001, sndNxt: 2001, recoveryPoint: 2001, recovery: Recovery.LOSS });
      Object.assign(tcb.undo, { startSsn: 1, endSsn: 2001, firstResentMs });
      const ack = { advanced: true, originalDelivered: false, duplicate: false, duplicateReported: false };
      const tsEcr = echo === null ? -1 : tcb.timestamp(echo);
      undoIfSpurious(tcb, { ...ack, allDuplicate: false, tsEcr }, 1300);
      assert.equal(tcb.recovery === Recovery.OPEN, undone, `${firstResentMs} ${echo} ${tsOffset}`);
    }
  }
});

test('RFC 5682 §3.1, step 2: new data is tried where something is left to learn, and there is any', () => {
  for (const [una, unsent, advanced, frto] of [
    [2000, 1, true, Frto.PROBING],
    [2000, 0, true, Frto.OFF],
    [2001, 1, true, Frto.OFF],
    [2000, 1, false, Frto.RESENT],
  ] as const) {
    const tcb = block();
    Object.assign(tcb, { sndUna: una, sndNxt: 2001, recoveryPoint: 2001, recovery: Recovery.LOSS });
    Object.assign(tcb.undo, { startSsn: 1, endSsn: 2001, frto: Frto.RESENT });
    tcb.extension.unsentBytes = () => unsent;
    const ack = { originalDelivered: false, duplicate: false, duplicateReported: false, allDuplicate: false };
    undoIfSpurious(tcb, { ...ack, advanced, tsEcr: -1 }, 1300);
    assert.equal(tcb.undo.frto, frto, `${una} ${unsent}`);
  }
});

test('the first repetition of an episode is the one that counts, at whatever time', () => {
  const tcb = block();
  tcb.recovery = Recovery.LOSS;
  noteResent(tcb, 1, 0);
  noteResent(tcb, 1, 5);
  assert.equal(tcb.undo.firstResentMs, 0);
});

test('RFC 1191 §6.4: an MTU that is known already loses nothing, and nothing that is gone is lost', () => {
  const tcb = block();
  tcb.limitMtu(1040);
  tcb.sent.append(1, 5000, 1, 0);
  Object.assign(tcb, { sndUna: 1, sndNxt: 5001 });
  tcb.limitMtu(1040);
  assert.equal(tcb.sent.lostBytes, 0);
  tcb.sent.clear();
  tcb.limitMtu(840);
  assert.equal(tcb.sent.lostBytes, 0);
});

test('RFC 8985 §7.2: what waits longer is one segment alone, not two small ones and not a large one', () => {
  for (const [lengths, at] of [
    [[1000], 1250],
    [[1460], 1250],
    [[1461], 1200],
    [[5, 5], 1200],
  ] as const) {
    const tcb = block();
    let ssn = 1;
    for (const length of lengths) {
      tcb.sent.append(ssn, length, 1000, 0);
      ssn += length;
    }
    Object.assign(tcb, { sndUna: 1, sndNxt: ssn });
    assert.equal(tcb.payloadMss, 1460);
    tcb.deadlines[Timer.RETRANSMIT] = 1300;
    scheduleLossProbe(tcb, 1000);
    assert.equal(tcb.deadlines[Timer.TLP], at, `${lengths}`);
  }
});

test('a timeout of what was abandoned says nothing of the peer or of the path', () => {
  const { tcb } = established({ timestamps: false });
  for (let i = 0; i < 3; i++) tcb.sent.append(1 + i * 1460, 1460, 1, 0);
  tcb.sent.markSacked(0);
  Object.assign(tcb, { sndUna: 1, sndNxt: 4381, fullSizeTimeouts: 1, progressMs: 1000 });
  tcb.abandonFlight();
  tcb.deadlines[Timer.RETRANSMIT] = 1000;
  expireTimers(tcb, 1000);
  const { TCPTimeouts, TCPSACKReneging, TCPMTUPFail } = tcb.env.counters;
  assert.deepEqual([TCPTimeouts, TCPSACKReneging, TCPMTUPFail, tcb.mss], [1, 0, 0, 1460]);
});
