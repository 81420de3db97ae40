// The three-way handshake from both sides (RFC 9293 §3.5, §3.10.7.1–4) and what a listener admits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostError, Ready } from '../../src/host/index.ts';
import { brief, connected, established, PEER, Peer, synOptions, synReceived, synSent } from './peer.ts';

test('active open: SYN, SYN/ACK, ACK', () => {
  const peer = new Peer();
  assert.deepEqual(brief(peer.connect()), [['S', 0, 0, 0]]);
  assert.equal(peer.state, 'SYN-SENT');
  assert.deepEqual(brief(peer.arrives({ flags: 'SA', mss: 1460 })), [['A', 1, 1, 0]]);
  assert.equal(peer.state, 'ESTABLISHED');
  assert.equal(peer.connection.takeEvents() & Ready.CONNECTED, Ready.CONNECTED);
});

test('passive open: SYN/ACK, then the ACK makes a connection to accept', () => {
  const peer = new Peer().listen();
  assert.deepEqual(brief(peer.arrives({ flags: 'S', mss: 1460 })), [['SA', 0, 1, 0]]);
  assert.equal(peer.listener?.accept(), undefined);
  assert.deepEqual(brief(peer.arrives()), []);
  assert.equal(peer.listener?.takeEvents(), Ready.ACCEPT);
  assert.deepEqual(peer.accept().remote, { address: PEER, port: 50_000, family: 4 });
});

test('data on the ACK that completes the handshake is taken', () => {
  const peer = synReceived();
  peer.arrives({ length: 300 });
  peer.accept();
  assert.equal(peer.connection.readableBytes, 300);
});

test('data and FIN on the ACK that completes the handshake are taken', () => {
  const peer = synReceived();
  peer.arrives({ flags: 'FA', length: 10 });
  peer.accept();
  assert.equal(peer.state, 'CLOSE-WAIT');
  assert.equal(peer.read().length, 10);
  assert.ok(peer.connection.ended);
});

test('an acknowledgement of the SYN/ACK that came before a gap completes the handshake', () => {
  // The ACK itself was lost; what arrives first is the second data segment.
  const peer = synReceived();
  peer.arrives({ seq: 101, length: 100 });
  assert.equal(peer.state, 'ESTABLISHED');
  assert.equal(peer.connection.readableBytes, 0);
  peer.arrives({ seq: 1, length: 100 });
  assert.equal(peer.connection.readableBytes, 200);
});

test('SYN-RECEIVED after a simultaneous open: a reset is ECONNREFUSED', () => {
  const peer = synSent();
  peer.arrives({ flags: 'S', ...synOptions({}) });
  peer.arrives({ flags: 'R' });
  assert.equal(peer.connection.error, 'ECONNREFUSED');
});

test('the SYN offers MSS, SACK, timestamps and the scale for the buffer', () => {
  // 4 MiB are 4,096 · 2¹⁰.
  const [syn] = new Peer({ link: { mtu: 1400 } }).connect();
  assert.deepEqual([syn.mss, syn.sackPermitted, syn.windowScale], [1360, true, 10]);
  assert.ok(syn.hasTimestamps);
  assert.equal(syn.tsEcr, 0);
});

test('IPv6 leaves 60 bytes for headers', () => {
  const peer = new Peer({ hostAddress: '2001:db8::1', peerAddress: '2001:db8::2' });
  assert.equal(peer.connect()[0].mss, 1440);
});

test('a SYN/ACK carries only options that the SYN carried', () => {
  const peer = new Peer({ timestamps: false }).listen();
  const [synAck] = peer.arrives({ flags: 'S' });
  assert.equal(synAck.hasTimestamps, false);
  assert.equal(synAck.sackPermitted, false);
  assert.equal(synAck.windowScale, -1);
  assert.equal(synAck.mss, 1460);
});

test('without an MSS option segments have 536 bytes, 1,220 on IPv6', () => {
  const peer = new Peer({ timestamps: false }).listen();
  peer.arrives({ flags: 'S' });
  peer.arrives();
  peer.accept();
  assert.equal(peer.write(3000)[0].segmentSize, 536);

  const six = new Peer({
    timestamps: false,
    hostAddress: '2001:db8::1',
    peerAddress: '2001:db8::2',
  }).listen();
  six.arrives({ flags: 'S' });
  six.arrives();
  six.accept();
  assert.equal(six.write(3000)[0].segmentSize, 1220);
});

test('the smaller of both MSS counts, less the timestamp option', () => {
  assert.equal(established({ mss: 1000 }).write(5000)[0].segmentSize, 1000 - 12);
  assert.equal(established({ mss: 9000 }).write(5000)[0].segmentSize, 1460 - 12);
  assert.equal(connected({ mss: 700 }).write(5000)[0].segmentSize, 700 - 12);
});

test('simultaneous open: both SYNs cross, both SYN/ACKs cross', () => {
  // RFC 9293 Figure 7.
  const peer = synSent();
  assert.deepEqual(brief(peer.arrives({ flags: 'S', ...synOptions({}) })), [['SA', 0, 1, 0]]);
  assert.equal(peer.state, 'SYN-RECEIVED');
  peer.arrives({ flags: 'SA', seq: 0, ...synOptions({}) });
  assert.equal(peer.state, 'ESTABLISHED');
  peer.arrives({ length: 10 });
  assert.equal(peer.connection.readableBytes, 10);
});

test('simultaneous open: a plain ACK of our SYN completes it too', () => {
  const peer = synSent();
  peer.arrives({ flags: 'S', ...synOptions({}) });
  peer.arrives({ flags: 'A' });
  assert.equal(peer.state, 'ESTABLISHED');
});

test('the window of a SYN/ACK is not scaled, that of a repeated one neither', () => {
  // RFC 7323 §2.2. A window of 2,000 stays 2,000 although a shift of 7 was agreed on.
  const peer = synSent({ window: 2000, windowScale: 7 });
  const offer = synOptions(peer.options);
  peer.arrives({ flags: 'SA', ...offer });
  peer.arrives({ flags: 'SA', seq: 0, ...offer });
  const bytes = peer.write(20_000).reduce((sum, p) => sum + p.length, 0);
  assert.ok(bytes <= 2000, `${bytes} bytes were sent`);
});

test('simultaneous open: the window of the SYN/ACK is not scaled', () => {
  const peer = synSent({ window: 2000, windowScale: 7 });
  peer.arrives({ flags: 'S', ...synOptions(peer.options) });
  peer.arrives({ flags: 'SA', seq: 0, ...synOptions(peer.options) });
  const bytes = peer.write(20_000).reduce((sum, p) => sum + p.length, 0);
  assert.ok(bytes <= 2000, `${bytes} bytes were sent`);
});

test('SYN-SENT: an ACK of something never sent is answered with a reset of its own number', () => {
  const peer = synSent();
  assert.deepEqual(brief(peer.arrives({ flags: 'SA', ack: 77 })), [['R', 77, 0, 0]]);
  assert.equal(peer.state, 'SYN-SENT');
});

test('SYN-SENT: a reset counts only when it acknowledges the SYN', () => {
  const peer = synSent();
  peer.arrives({ flags: 'R', seq: 0 });
  peer.arrives({ flags: 'RA', seq: 0, ack: 2 });
  assert.equal(peer.state, 'SYN-SENT');
  peer.arrives({ flags: 'RA', seq: 0, ack: 1 });
  assert.equal(peer.connection.error, 'ECONNREFUSED');
  assert.equal([...peer.host.connections].length, 0);
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('an unanswered SYN is repeated after 1, 2, 4 … s and given up after six repetitions', () => {
  const peer = synSent();
  const start = peer.now;
  const sent = peer.wait(300_000);
  assert.deepEqual(
    sent.map(p => [p.flags, p.at - start]),
    [1, 3, 7, 15, 31, 63].map(s => ['S', s * 1000]),
  );
  assert.equal(peer.connection.error, 'ETIMEDOUT');
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('an unanswered SYN/ACK is repeated five times and then forgotten', () => {
  const peer = synReceived({ config: { amplificationLimit: 100 } });
  const start = peer.now;
  const sent = peer.wait(300_000);
  assert.deepEqual(
    sent.map(p => [p.flags, p.at - start]),
    [1, 3, 7, 15, 31].map(s => ['SA', s * 1000]),
  );
  assert.equal([...peer.host.connections].length, 0);
  assert.equal(peer.host.nextDeadline(), Infinity);
});

test('a repeated SYN is answered again', () => {
  const peer = synReceived();
  assert.deepEqual(brief(peer.arrives({ flags: 'S', seq: 0, ...synOptions({}) })), [['SA', 0, 1, 0]]);
});

test('a repeated SYN/ACK is acknowledged again', () => {
  const peer = connected();
  assert.deepEqual(brief(peer.arrives({ flags: 'SA', seq: 0, ...synOptions({}) })), [['A', 1, 1, 0]]);
  assert.equal(peer.state, 'ESTABLISHED');
});

test('SYN-RECEIVED: a wrong acknowledgement is answered with a reset of its own number', () => {
  // RFC 9293 §3.10.7.4, fifth: "form a reset segment <SEQ=SEG.ACK><CTL=RST>".
  const peer = synReceived();
  assert.deepEqual(brief(peer.arrives({ flags: 'A', seq: 1, ack: 5 })), [['R', 5, 0, 0]]);
  assert.equal(peer.state, 'SYN-RECEIVED');
  peer.arrives({ flags: 'A', seq: 1, ack: 1 });
  assert.equal(peer.state, 'ESTABLISHED');
});

test('SYN-RECEIVED: a segment outside the window is answered with the SYN/ACK', () => {
  const peer = synReceived();
  assert.deepEqual(brief(peer.arrives({ flags: 'A', seq: 2 ** 30, ack: 1 })), [['SA', 0, 1, 0]]);
  // A SYN with another number: the peer learns of the old connection and can reset it.
  assert.deepEqual(brief(peer.arrives({ flags: 'S', seq: 2 ** 30 })), [['SA', 0, 1, 0]]);
  peer.arrives({ flags: 'R', seq: 1 });
  assert.equal([...peer.host.connections].length, 0);
});

test('SYN-RECEIVED: a reset in sequence ends it without a trace', () => {
  const peer = synReceived();
  assert.deepEqual(brief(peer.arrives({ flags: 'R', seq: 1 })), []);
  assert.equal([...peer.host.connections].length, 0);
  assert.equal(peer.listener?.halfOpen, 0);
  assert.equal(peer.listener?.accept(), undefined);
});

test('a SYN to a closed port is refused: sequence 0, its number plus one acknowledged', () => {
  const peer = new Peer();
  assert.deepEqual(brief(peer.arrives({ flags: 'S' })), [['RA', 0 - peer.hostIss, 1, 0]]);
});

test('an ACK for no connection is answered with a reset of its number, a reset with nothing', () => {
  const peer = new Peer().listen();
  assert.deepEqual(brief(peer.arrives({ flags: 'A', seq: 9, ack: 1234 })), [['R', 1234, 0, 0]]);
  assert.deepEqual(brief(peer.arrives({ flags: 'R', seq: 9 })), []);
  assert.deepEqual(brief(peer.arrives({ flags: 'RA', seq: 9 })), []);
});

test('data and FIN for no connection are counted in the acknowledgement of the reset', () => {
  const peer = new Peer();
  assert.deepEqual(brief(peer.arrives({ flags: 'F', seq: 10, length: 5 })), [['RA', 0, 16, 0]]);
});

test('an unproved address gets at most three times its bytes', () => {
  const peer = new Peer({ timestamps: false }).listen();
  const syn = peer.encode({ flags: 'S', seq: 0 });
  peer.host.receive(peer.interfaceId, syn, 0, syn.length, peer.now);
  peer.sent();
  peer.wait(60_000);
  const bytes = peer.log.reduce((sum, p) => sum + p.ipBytes, 0);
  assert.ok(peer.log.length >= 2, 'at least one repetition fits');
  assert.ok(bytes <= 3 * syn.length, `${bytes} bytes for ${syn.length}`);
  assert.ok(peer.counters.AmplificationLimited > 0);
});

test('more half-open connections than allowed are not answered', () => {
  const peer = new Peer({ config: { maxHalfOpen: 3 } }).listen();
  const answers = [1, 2, 3, 4, 5].map(i => peer.arrives({ flags: 'S', seq: 0, port: 1000 + i }).length);
  assert.deepEqual(answers, [1, 1, 1, 0, 0]);
  assert.equal(peer.counters.ListenDrops, 2);
  // The half-open ones time out: there is room again.
  peer.wait(200_000);
  assert.equal(peer.listener?.halfOpen, 0);
  assert.equal(peer.arrives({ flags: 'S', seq: 0, port: 1009 }).length, 1);
});

test('a full backlog lets no more SYNs in until the application accepts', () => {
  const peer = new Peer({ backlog: 1 }).listen();
  peer.arrives({ flags: 'S', seq: 0, port: 1001 });
  peer.arrives({ seq: 1, ack: 1, port: 1001 });
  assert.equal(peer.arrives({ flags: 'S', seq: 0, port: 1002 }).length, 0);
  assert.ok(peer.listener?.accept());
  assert.equal(peer.arrives({ flags: 'S', seq: 0, port: 1002 }).length, 1);
});

test('a closed listener resets what was not accepted and refuses what comes', () => {
  const peer = synReceived();
  peer.arrives();
  peer.listener?.close(peer.now);
  assert.deepEqual(brief(peer.sent()), [['RA', 1, 1, 0]]);
  assert.equal(peer.arrives({ flags: 'S', seq: 0, port: 1003 })[0].flags, 'RA');
});

test('a connection that is established for a closed listener is reset', () => {
  const peer = synReceived();
  peer.listener?.close(peer.now);
  const flags = peer.arrives().map(p => p.flags);
  assert.deepEqual(flags, ['RA']);
  assert.equal([...peer.host.connections].length, 0);
});

test('resets for strangers are limited to 100 a second', () => {
  const peer = new Peer();
  let resets = 0;
  for (let i = 0; i < 150; i++) resets += peer.arrives({ flags: 'A', seq: 1, ack: 1, port: 2000 + i }).length;
  assert.equal(resets, 100);
  assert.equal(peer.counters.RstRateLimited, 50);
  peer.now += 1000;
  assert.equal(peer.arrives({ flags: 'A', seq: 1, ack: 1 }).length, 1);
});

test('a SYN right behind the reset of its predecessor opens a new connection', () => {
  // One batch, nothing transmitted in between, the same four values.
  const peer = established();
  peer.receive({ flags: 'R' });
  peer.iss += 1_000_000;
  peer.receive({ flags: 'S', seq: 0, ...synOptions({}) });
  assert.deepEqual(
    peer.sent().map(p => [p.flags, p.ack]),
    [['SA', 1]],
  );
});

test('initial sequence numbers of the same four values move on with the clock', () => {
  // RFC 9293 §3.4.1: the clock adds one every 4 µs; 10 s are 2,500,000 (what the wait adds).
  const peer = synReceived();
  const first = peer.hostIss;
  peer.arrives({ flags: 'R', seq: 1 });
  peer.wait(10_000);
  peer.arrives({ flags: 'S', seq: 0 });
  assert.equal((peer.hostIss - first) >>> 0, 2_500_000);
});

test('a lost SYN leaves no round-trip sample without timestamps: the first timeout is 3 s', () => {
  // RFC 6298 §5.7: "the RTO MUST be re-initialized to 3 seconds when data transmission begins".
  const peer = synSent({ timestamps: false });
  peer.wait(1000);
  peer.arrives({ flags: 'SA', mss: 1460 });
  peer.write(10);
  assert.deepEqual(
    peer.wait(3500).map(p => [p.length, p.at - 2000]),
    [[10, 3000]],
  );
});

test('with timestamps a repeated SYN gives a sample', () => {
  // The repetition was sent at 1 s and answered 50 ms later: the timeout is 50 ms + max(200 ms, 4·25 ms).
  const peer = synSent();
  peer.wait(1000);
  peer.now += 50;
  peer.arrives({ flags: 'SA', ...synOptions({}) });
  assert.equal(peer.tcb.rtt.rtoMs, 250);
});

test('misuse is refused by name', () => {
  const peer = new Peer().listen();
  const code = (c: string) => (e: unknown) => e instanceof HostError && e.code === c;
  assert.throws(() => peer.host.listen({ port: 80 }), code('EADDRINUSE'));
  assert.throws(() => peer.host.listen({ port: 0 }), code('EINVAL'));
  assert.throws(() => peer.host.listen({ port: 81, address: '203.0.113.9' }), code('EADDRNOTAVAIL'));
  assert.throws(() => peer.host.addInterface({ address: 'here' }), code('EINVAL'));
  assert.throws(() => peer.host.addInterface({ address: '192.0.2.9', mtu: 100 }), code('EINVAL'));
  const remote = { address: '2001:db8::1', port: 1 };
  const paths = [{ interfaceId: peer.interfaceId }];
  assert.throws(() => peer.host.connect({ remote, paths }, 0), code('EAFNOSUPPORT'));
  assert.throws(() => peer.host.connect({ remote, paths: [] }, 0), code('EINVAL'));
});

test('no free port: EADDRINUSE, not an endless search', () => {
  const peer = new Peer();
  peer.connect();
  assert.throws(
    () => peer.connect(),
    (e: unknown) => e instanceof HostError && e.code === 'EADDRINUSE',
  );
});

test('packets for other addresses and damaged packets never reach a connection', () => {
  const peer = new Peer().listen();
  const syn = peer.encode({ flags: 'S', seq: 0 });
  const damaged = Uint8Array.from(syn);
  damaged[syn.length - 1] ^= 1;
  peer.host.receive(peer.interfaceId, damaged, 0, damaged.length, peer.now);
  const short = syn.subarray(0, 30);
  peer.host.receive(peer.interfaceId, short, 0, short.length, peer.now);
  const other = new Peer({ hostAddress: '192.0.2.77' }).encode({ flags: 'S', seq: 0 });
  peer.host.receive(peer.interfaceId, other, 0, other.length, peer.now);
  assert.deepEqual(peer.sent(), []);
  const { InCsumErrors, MalformedDrops, NoSocketDrops } = peer.counters;
  assert.deepEqual([InCsumErrors, MalformedDrops, NoSocketDrops], [1, 1, 1]);
});
