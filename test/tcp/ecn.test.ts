// Explicit Congestion Notification (RFC 3168 §6.1): who agrees to it, what a receiver echoes, what a sender does
// about it. Segments have 1,000 bytes; the round trip is 100 ms.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../../src/host/index.ts';
import { delayingAcks, Peer, type PeerOptions, synOptions } from './peer.ts';

const NOT_ECT = 0;
const ECT_0 = 2;
const CE = 3;
const RTT = 100;

function options(ecn: Config['ecn']): PeerOptions {
  return { mss: 1000, timestamps: false, windowScale: 4, config: { congestion: 'reno', ecn } };
}

/** The peer's SYN carries `flags`; established, the round trip measured, ECN agreed on or not. */
function opened(flags: string, ecn: Config['ecn'] = 'passive', codepoint = NOT_ECT): Peer {
  const peer = new Peer(options(ecn)).listen();
  peer.arrives({ flags, ecn: codepoint, ...synOptions(peer.options) });
  peer.now += RTT;
  peer.arrives();
  peer.accept();
  return peer;
}

/** The host's SYN, and what it makes of the answer's flags. */
function asked(answer: string): Peer {
  const peer = new Peer(options('on'));
  assert.equal(peer.connect()[0].flags, 'SEC');
  peer.now += RTT;
  peer.arrives({ flags: answer, ...synOptions(peer.options) });
  assert.equal(peer.state, 'ESTABLISHED');
  return peer;
}

test('a SYN that asks is granted, unless it is off', () => {
  for (const [ecn, answer] of [
    ['passive', 'SAE'],
    ['on', 'SAE'],
    ['off', 'SA'],
  ] as const) {
    const peer = opened('SEC', ecn);
    assert.equal(peer.log[0].flags, answer);
    assert.equal(peer.write(1000)[0].ecn, ecn === 'off' ? NOT_ECT : ECT_0);
  }
});

test('a SYN that does not ask properly is not granted', () => {
  for (const [flags, codepoint] of [
    ['S', NOT_ECT],
    ['SE', NOT_ECT],
    ['SC', NOT_ECT],
    ['SEC', ECT_0],
  ] as const) {
    const peer = opened(flags, 'passive', codepoint);
    assert.equal(peer.log[0].flags, 'SA');
    assert.equal(peer.write(1000)[0].ecn, NOT_ECT);
  }
});

test('only who is on asks; ECE alone grants, both flags are a reflection', () => {
  const passive = new Peer(options('passive'));
  assert.equal(passive.connect()[0].flags, 'S');
  assert.equal(asked('SAE').write(1000)[0].ecn, ECT_0);
  assert.equal(asked('SA').write(1000)[0].ecn, NOT_ECT);
  assert.equal(asked('SAEC').write(1000)[0].ecn, NOT_ECT);
});

test('a repeated SYN does not ask, and nothing is sent ECN-capable then', () => {
  const peer = new Peer(options('on'));
  peer.connect();
  assert.equal(peer.wait(1000)[0].flags, 'S');
  // The answer is to the first one: marks are echoed, but none are provoked.
  peer.arrives({ flags: 'SAE', ...synOptions(peer.options) });
  assert.equal(peer.write(1000)[0].ecn, NOT_ECT);
  assert.equal(peer.arrives({ length: 10, ecn: CE })[0].flags, 'AE');
});

test('a mark is echoed at once and until CWR comes, on data too', () => {
  const peer = opened('SEC');
  assert.equal(peer.arrives({ length: 10, ecn: ECT_0 })[0].flags, 'A');
  assert.equal(peer.arrives({ length: 10, ecn: CE })[0].flags, 'AE');
  assert.equal(peer.arrives({ length: 10, ecn: ECT_0 })[0].flags, 'AE');
  assert.equal(peer.write(10)[0].flags, 'AE');
  assert.equal(peer.arrives({ length: 10, ecn: ECT_0, flags: 'AC' })[0].flags, 'A');
  // Both at once: the mark is newer than what CWR answers.
  assert.equal(peer.arrives({ length: 10, ecn: CE, flags: 'AC' })[0].flags, 'AE');
  assert.deepEqual([peer.counters.InCEPkts, peer.counters.InECT0Pkts], [2, 3]);
});

test('a mark does not wait for a delayed acknowledgement', () => {
  const plain = delayingAcks({ mss: 1000 });
  assert.deepEqual(plain.arrives({ length: 900, ecn: CE }), []);
  const peer = opened('SEC');
  for (let i = 0; i < 17; i++) peer.arrives({ length: 1000 });
  peer.wait(1000);
  assert.deepEqual(peer.arrives({ length: 900, ecn: ECT_0 }), []);
  assert.equal(peer.arrives({ length: 10, ecn: CE }).length, 1);
});

test('a mark on data outside the window, or without payload, is ignored', () => {
  const peer = opened('SEC');
  peer.arrives({ length: 100 });
  assert.equal(peer.arrives({ seq: 1, length: 100, ecn: CE })[0].flags, 'A');
  peer.arrives({ ecn: CE });
  assert.equal(peer.arrives({ length: 100 })[0].flags, 'A');
});

test('an echo halves the window once a window, and the next new data says CWR', () => {
  const peer = opened('SEC');
  peer.write(100_000);
  assert.equal(peer.tcb.sndNxt, 10_001);
  peer.now += RTT;
  peer.arrives({ ack: 1001, flags: 'AE' });
  assert.equal(peer.tcb.congestion.cwndBytes, 5000);
  for (const ack of [2001, 3001, 4001, 5001, 6001]) {
    const sent = peer.arrives({ ack, flags: 'AE' });
    assert.equal(peer.tcb.congestion.cwndBytes, 5000);
    assert.deepEqual(
      sent.map(p => [p.flags, p.seq, p.ecn]),
      ack === 6001 ? [['AC', 10_001, ECT_0]] : [],
    );
  }
  assert.deepEqual(
    peer.arrives({ ack: 7001 }).map(p => p.flags),
    ['A'],
  );
  assert.equal(peer.counters.TCPDeliveredCE, 6);
  // Beyond what was in flight then it is news.
  peer.arrives({ ack: 10_001 });
  peer.now += RTT;
  peer.arrives({ ack: 11_001, flags: 'AE' });
  assert.equal(peer.tcb.congestion.cwndBytes, 2500);
});

test('without an agreement an echo means nothing', () => {
  const peer = opened('S');
  peer.write(100_000);
  peer.now += RTT;
  peer.arrives({ ack: 1001, flags: 'AE' });
  assert.ok(peer.tcb.congestion.cwndBytes > 10_000);
});

test('repeated data, acknowledgements, probes and FINs are not ECN-capable; after a loss too CWR follows', () => {
  const peer = opened('SEC');
  peer.write(11_000);
  peer.now += RTT;
  const repeated = peer.arrives({ ack: 1, sack: [[1001, 4001]] });
  assert.deepEqual(
    repeated.filter(p => p.length > 0).map(p => [p.seq, p.ecn, p.flags]),
    [[1, NOT_ECT, 'A']],
  );
  peer.now += RTT;
  const fresh = peer.arrives({ ack: 10_001 });
  assert.deepEqual(
    fresh.map(p => [p.seq, p.ecn, p.flags]),
    [[10_001, ECT_0, 'AC']],
  );
  // An echo of the same window is not a second reason.
  const window = peer.tcb.congestion.cwndBytes;
  peer.arrives({ ack: 10_001, flags: 'AE' });
  assert.equal(peer.tcb.congestion.cwndBytes, window);
  assert.equal(peer.arrives({ length: 10 })[0].ecn, NOT_ECT);
});
