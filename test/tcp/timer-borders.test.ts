// One below, at, one above: timers that ring at their time, keepalive, window probes, ECN and what Fast Open remembers.
// Expected values are the formulas of the RFC named beside them, worked out for round numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ecnSynFlags, negotiateEcn, noteCodepoint } from '../../src/tcp/ecn.ts';
import { FastOpenClient, fastOpenEnds, fastOpenTimedOut, synRoom } from '../../src/tcp/fast-open.ts';
import type { Tcb } from '../../src/tcp/tcb.ts';
import { expireTimers, synRetryAt, Timer } from '../../src/tcp/timers.ts';
import { Flag, Segment } from '../../src/wire/index.ts';
import { connected, established, synReceived, synSent } from './peer.ts';

test('each timer rings at its time and not before, once, and for itself alone', () => {
  for (const [timer, done] of [
    [Timer.DELAYED_ACK, (tcb: Tcb) => tcb.ackPending],
    [Timer.TLP, (tcb: Tcb) => tcb.tlpPending],
    [Timer.PACE, (tcb: Tcb) => tcb.deadlines[Timer.PACE] === Infinity],
    [Timer.TIME_WAIT, (tcb: Tcb) => tcb.closeReason !== null],
    [Timer.RETRANSMIT, (tcb: Tcb) => tcb.backoff === 1],
    [Timer.REORDER, (tcb: Tcb) => tcb.deadlines[Timer.REORDER] === Infinity],
    [Timer.PERSIST, (tcb: Tcb) => tcb.deadlines[Timer.PERSIST] === Infinity],
    [Timer.KEEPALIVE, (tcb: Tcb) => tcb.keepAliveSent === 1],
  ] as const) {
    const { tcb, now } = established();
    Object.assign(tcb, { ackPending: false, keepAliveMs: 50, lastReceivedMs: now, keepAliveIntervalMs: 10 });
    tcb.keepAliveProbes = 3;
    tcb.deadlines.fill(Infinity);
    tcb.deadlines[timer] = now + 100;
    expireTimers(tcb, now + 99);
    assert.equal(done(tcb), false, `${timer}`);
    assert.equal(tcb.nextDeadline(), now + 100);
    expireTimers(tcb, now + 100);
    assert.equal(done(tcb), true, `${timer}`);
    assert.ok(tcb.nextDeadline() > now + 100, `${timer}`);
  }
});

test('RFC 9293 §3.8.4: keepalive probes after the idle time, and gives up after so many, or the user’s time', () => {
  for (const [userTimeoutMs, sent, idleMs, over] of [
    [0, 2, 10_000, false],
    [0, 3, 10_000, true],
    [12_000, 3, 11_999, false],
    [12_000, 1, 12_000, true],
    [12_000, 0, 12_000, false],
  ] as const) {
    const peer = established({ config: { userTimeoutMs } });
    const { tcb, now } = peer;
    Object.assign(tcb, { keepAliveMs: 10_000, keepAliveIntervalMs: 1000, keepAliveProbes: 3 });
    Object.assign(tcb, { keepAliveSent: sent, lastReceivedMs: now - idleMs });
    tcb.deadlines[Timer.KEEPALIVE] = now;
    expireTimers(tcb, now);
    assert.equal(tcb.closeReason?.code ?? null, over ? 'ETIMEDOUT' : null);
    if (!over) assert.deepEqual([tcb.keepAliveSent, tcb.deadlines[Timer.KEEPALIVE]], [sent + 1, now + 1000]);
  }
  // Heard meanwhile: the idle time begins again there.
  const { tcb, now } = established();
  Object.assign(tcb, { keepAliveMs: 10_000, keepAliveSent: 2, lastReceivedMs: now - 9999 });
  tcb.deadlines[Timer.KEEPALIVE] = now;
  expireTimers(tcb, now);
  assert.deepEqual([tcb.keepAliveSent, tcb.deadlines[Timer.KEEPALIVE]], [0, now + 1]);
});

test('RFC 9293 §3.8.6.1: a window probe; a rest of the window is used instead; silence of two is told', () => {
  for (const [sndWnd, backoff, heardAgo, probes, told] of [
    [0, 0, 10, 1, 0],
    [0, 1, 10, 1, 1],
    [0, 1, 4, 1, 0],
    [1, 0, 10, 0, 0],
  ]) {
    const peer = connected();
    const { tcb, now } = peer;
    let timeouts = 0;
    peer.connection.write(new Uint8Array(10), 0, 10, now);
    Object.assign(tcb, { sndWnd, backoff, lastReceivedMs: now - heardAgo, lastSentMs: now - 5 });
    tcb.extension.timedOut = () => {
      timeouts++;
    };
    tcb.deadlines[Timer.PERSIST] = now;
    expireTimers(tcb, now);
    assert.deepEqual([peer.counters.TCPWinProbe, tcb.probePending ? 1 : 0], [probes, probes]);
    assert.deepEqual([tcb.windowOverride, tcb.backoff, timeouts], [probes === 0, backoff + 1, told]);
  }
});

test('RFC 5482: the SYN is repeated within the user’s time, and never in the past', () => {
  for (const [userTimeoutMs, now, at] of [
    [0, 1000, 2000],
    [5000, 1000, 2000],
    [1500, 1000, 2000],
    [999, 1000, 1999],
    [500, 2000, 2000],
  ]) {
    const { tcb } = synSent({ config: { userTimeoutMs, rtoInitialMs: 1000 } });
    tcb.progressMs = 1000;
    assert.equal(synRetryAt(tcb, now), at);
  }
});

test('RFC 3168 §6.1.1: which SYN asks for ECN, which answer agrees, and who may send what', () => {
  for (const [ecn, flags, codepoint, agreed] of [
    ['passive', 'SYN ECE CWR', 0, true],
    ['on', 'SYN ECE CWR', 0, true],
    ['off', 'SYN ECE CWR', 0, false],
    ['passive', 'SYN ECE', 0, false],
    ['passive', 'SYN CWR', 0, false],
    ['passive', 'SYN ECE CWR', 2, false],
    ['on', 'SYN ACK ECE', 0, true],
    ['passive', 'SYN ACK ECE', 0, false],
    ['on', 'SYN ACK ECE CWR', 0, false],
    ['on', 'SYN ACK', 0, false],
  ] as const) {
    for (const synTransmissions of [1, 2]) {
      const { tcb } = established({ config: { ecn } });
      tcb.synTransmissions = synTransmissions;
      const bits = flags.split(' ').reduce((sum, name) => sum | Flag[name as keyof typeof Flag], 0);
      negotiateEcn(tcb, Object.assign(new Segment(), { flags: bits, ecn: codepoint }));
      assert.equal(tcb.ecn.agreed, agreed, `${ecn} ${flags} ${codepoint}`);
      // RFC 3168 §6.1.1: none of it after a SYN without.
      const first = !flags.includes('ACK') || synTransmissions === 1;
      assert.equal(tcb.ecn.capable, agreed && first);
    }
  }
  for (const [ecn, synTransmissions, flags] of [
    ['on', 0, Flag.ECE | Flag.CWR],
    ['on', 1, 0],
    ['passive', 0, 0],
  ] as const) {
    const { tcb } = established({ config: { ecn } });
    tcb.synTransmissions = synTransmissions;
    assert.equal(ecnSynFlags(tcb, false), flags);
    tcb.ecn.agreed = true;
    assert.equal(ecnSynFlags(tcb, true), Flag.ECE);
  }
});

test('RFC 3168 §6.1.3: a mark is echoed until the sender says CWR', () => {
  const { tcb } = established();
  const arrive = (flags: number, ecn: number): [boolean, boolean] => {
    tcb.ackPending = false;
    noteCodepoint(tcb, Object.assign(new Segment(), { flags, ecn }));
    return [tcb.ecn.echoing, tcb.ackPending];
  };
  assert.deepEqual(arrive(0, 3), [false, false], 'not agreed');
  tcb.ecn.agreed = true;
  assert.deepEqual(arrive(0, 2), [false, false]);
  assert.deepEqual(arrive(0, 3), [true, true]);
  assert.deepEqual(arrive(0, 3), [true, false]);
  assert.deepEqual(arrive(Flag.CWR, 2), [false, true]);
  assert.deepEqual(arrive(Flag.CWR, 3), [true, true]);
});

test('Fast Open: the third timeout in a row, or an earlier end, and a FIN beyond a hole say that data vanishes', () => {
  const watched = (cookie: Uint8Array | null, carries: boolean) => {
    const told: string[] = [];
    const { tcb } = established();
    const memory = {
      answered: () => {},
      blackHole: () => told.push('black hole'),
      passes: () => told.push('passes'),
    };
    tcb.fastOpenClient = new FastOpenClient({ cookie, carries, mss: 0, memory });
    return { tcb, told };
  };
  for (const [count, isLast, holes] of [
    [2, false, 0],
    [3, false, 1],
    [4, false, 0],
    [2, true, 1],
    [3, true, 1],
    [4, true, 0],
  ] as const) {
    for (const [cookie, carries, counts] of [
      [new Uint8Array(8), true, true],
      [null, true, true],
      [new Uint8Array(0), false, true],
      [null, false, false],
    ] as const) {
      const { tcb, told } = watched(cookie, carries);
      fastOpenTimedOut(tcb, count, isLast, 5);
      assert.equal(told.length, counts ? holes : 0, `${[count, isLast]}`);
    }
  }
  for (const [bytesReceived, rcvFinSsn, said] of [
    [1, -1, ['passes']],
    [0, -1, []],
    [0, 5, []],
    [0, 6, ['black hole']],
    [1, 6, ['passes']],
  ] as const) {
    const { tcb, told } = watched(new Uint8Array(8), true);
    Object.assign(tcb, { bytesReceived, rcvFinSsn, rcvNxt: 5 });
    fastOpenEnds(tcb, 5);
    assert.deepEqual(told, said);
  }
});

test('RFC 7413 §4.2.1: a SYN has room for what the server takes, less forty octets of options', () => {
  for (const [mss, room] of [
    [0, 1420],
    [1000, 960],
    [1461, 1420],
  ]) {
    const { tcb } = established();
    const memory = { answered: () => {}, blackHole: () => {}, passes: () => {} };
    tcb.fastOpenClient = new FastOpenClient({ cookie: null, carries: true, mss, memory });
    assert.equal(synRoom(tcb), room);
  }
});

test('RFC 8985 §7.2: a probe that is due with the timeout goes in its place', () => {
  for (const [retransmit, timeouts] of [
    [1000, 0],
    [999, 0],
    [1001, 0],
  ]) {
    const { tcb } = established();
    tcb.sent.append(1, 100, 900, 0);
    Object.assign(tcb, { sndNxt: 101, progressMs: 900 });
    Object.assign(tcb.rtt, { srttMs: 100, rttVarMs: 10 });
    tcb.deadlines.fill(Infinity);
    tcb.deadlines[Timer.TLP] = 1000;
    tcb.deadlines[Timer.RETRANSMIT] = retransmit;
    expireTimers(tcb, 1000);
    assert.deepEqual([tcb.env.counters.TCPTimeouts, tcb.tlpPending], [timeouts, true]);
    assert.equal(tcb.deadlines[Timer.RETRANSMIT], retransmit > 1000 ? retransmit : 1300);
  }
});

test('some repetitions of a SYN come a second apart, those of a SYN/ACK do not', () => {
  const config = { synLinearTimeouts: 2, rtoInitialMs: 1000 };
  for (const [make, waits] of [
    [synSent, [1000, 1000, 1000, 2000]],
    [synReceived, [1000, 2000, 4000, 8000]],
  ] as const) {
    const { tcb } = make({ config });
    for (const [backoff, wait] of waits.entries()) {
      tcb.backoff = backoff;
      assert.equal(synRetryAt(tcb, 500), 500 + wait, `${make.name} ${backoff}`);
    }
  }
});

test('RFC 8899 §4.3: the floor of a path leaves 1,240 bytes over IPv4, 1,220 over IPv6, and is no black hole itself', () => {
  const v6 = { hostAddress: '2001:db8::1', peerAddress: '2001:db8::2' };
  for (const [options, mss, length, after, failures] of [
    [{}, 1460, 1241, 1240, 1],
    [{}, 1460, 1240, 1460, 0],
    [{}, 1241, 1241, 1240, 1],
    [{}, 1240, 1240, 1240, 0],
    [{}, 1240, 5000, 1240, 0],
    [v6, 1440, 1221, 1220, 1],
    [v6, 1440, 1220, 1440, 0],
  ] as const) {
    const { tcb } = established({ ...options, timestamps: false, mss, config: { mtuFloorBytes: 1280 } });
    tcb.sent.append(1, length, 900, 0);
    Object.assign(tcb, { sndNxt: 1 + length, progressMs: 1000, fullSizeTimeouts: 1 });
    tcb.deadlines.fill(Infinity);
    tcb.deadlines[Timer.RETRANSMIT] = 1000;
    expireTimers(tcb, 1000);
    assert.deepEqual([tcb.mss, tcb.env.counters.TCPMTUPFail], [after, failures], `${mss} ${length}`);
  }
});

test('a window that is open is probed where the owner of the stream has nothing to send in it', () => {
  const { tcb, now } = established();
  tcb.extension.windowBlocked = () => true;
  assert.ok(tcb.sndWnd > 0);
  tcb.deadlines[Timer.PERSIST] = now;
  expireTimers(tcb, now);
  assert.deepEqual([tcb.probePending, tcb.windowOverride], [true, false]);
});

test('window probes end with patience: from what was heard last, or from progress where nobody waits', () => {
  for (const [heardAgo, progressAgo, orphaned, over] of [
    [9999, 20_000, false, false],
    [10_000, 20_000, false, true],
    [20_000, 9999, false, false],
    [5, 10_000, true, true],
    [5, 9999, true, false],
  ] as const) {
    const peer = connected({ config: { dataTimeoutMs: 10_000 } });
    const { tcb } = peer;
    const now = peer.now + 50_000;
    peer.connection.write(new Uint8Array(10), 0, 10, peer.now);
    Object.assign(tcb, {
      sndWnd: 0,
      orphaned,
      lastReceivedMs: now - heardAgo,
      progressMs: now - progressAgo,
    });
    tcb.deadlines[Timer.PERSIST] = now;
    expireTimers(tcb, now);
    assert.equal(
      tcb.closeReason?.code,
      over ? 'ETIMEDOUT' : undefined,
      `${[heardAgo, progressAgo, orphaned]}`,
    );
  }
});

test('a probe that was answered in the millisecond it left is not unanswered', () => {
  for (const [heard, told] of [
    [0, 0],
    [-1, 1],
  ]) {
    const peer = connected();
    const { tcb, now } = peer;
    let timeouts = 0;
    peer.connection.write(new Uint8Array(10), 0, 10, now);
    Object.assign(tcb, { sndWnd: 0, backoff: 1, lastSentMs: now - 5, lastReceivedMs: now - 5 + heard });
    tcb.extension.timedOut = () => timeouts++;
    tcb.deadlines[Timer.PERSIST] = now;
    expireTimers(tcb, now);
    assert.equal(timeouts, told);
  }
});

test('keepalive waits its whole time again while data is in flight', () => {
  const { tcb, now } = established();
  Object.assign(tcb, { keepAliveMs: 10_000, keepAliveSent: 2, lastReceivedMs: now - 20_000, sndNxt: 2 });
  tcb.deadlines[Timer.KEEPALIVE] = now;
  expireTimers(tcb, now);
  assert.deepEqual([tcb.keepAliveSent, tcb.deadlines[Timer.KEEPALIVE]], [0, now + 10_000]);
});
