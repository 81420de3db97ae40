// A join that crosses with a fallback: RFC 8684 §3.2, §3.7. The hand-made client is what Linux is: it asks for a
// join, falls back before the answer comes, and goes on as TCP on its first subflow.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { type Flow, RawPeer } from './raw-peer.ts';
import { bytesOf, has } from './world.ts';

const SECOND_PORT = 2222;

/** Data has gone both ways; what the host sent last is not acknowledged. */
function conversing(): { peer: RawPeer; flow: Flow; unacknowledged: Segment[] } {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const [greeting] = say(peer, 1000);
  flow.rcvNxt += 1000;
  const dataAck = peer.mapping({ ssn: 0, dsn: 101, length: 0, payload: bytesOf(0), dataAck: 1001 });
  const dssFlags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64;
  peer.put(peer.segment(flow, { ...dataAck, dssFlags }));
  assert.equal(peer.connection?.multipath().fallback, null);
  assert.equal(greeting.payloadLength, 1000);
  return { peer, flow, unacknowledged: say(peer, 8000) };
}

function say(peer: RawPeer, length: number): Segment[] {
  peer.connection?.write(bytesOf(length), 0, length, peer.now);
  return peer.take();
}

function joinSyn(peer: RawPeer): { segment: Segment; flow: Flow } {
  const flow: Flow = { port: SECOND_PORT, ssn: 0, rcvNxt: 0, irs: 0 };
  const joinToken = createHash('sha256').update(peer.hostKey).digest().readUInt32BE(0);
  const join = { mp: Mp.JOIN, joinLength: 12, joinToken, joinNonce: 7, joinAddressId: 1 };
  return { flow, segment: peer.segment(flow, { flags: Flag.SYN, mss: 1400, ...join, ack: 0 }) };
}

/** Acknowledges it part by part without any option, as plain TCP. */
function acknowledgePlainly(peer: RawPeer, flow: Flow, segments: readonly Segment[]): Segment[] {
  const end = flow.rcvNxt + segments.reduce((sum, { payloadLength }) => sum + payloadLength, 0);
  const answers: Segment[] = [];
  while (flow.rcvNxt < end) {
    flow.rcvNxt = Math.min(flow.rcvNxt + 1000, end);
    answers.push(...peer.put(peer.segment(flow)));
  }
  return answers;
}

test('a join that the peer takes back before its first byte does not keep the only subflow from falling back', () => {
  const { peer, flow, unacknowledged } = conversing();
  const { segment, flow: second } = joinSyn(peer);
  const synAck = peer.put(segment).find(({ flags }) => (flags & Flag.SYN) !== 0) as Segment;
  assert.ok(has(synAck, Mp.JOIN));
  second.irs = synAck.seq;
  second.rcvNxt = second.ssn = 1;
  peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK }));
  const answers = acknowledgePlainly(peer, flow, unacknowledged);
  assert.deepEqual(
    answers.filter(({ flags }) => (flags & Flag.RST) !== 0),
    [],
  );
  assert.equal(peer.connection?.multipath().fallback?.cause, 'ack-without-data-ack');
  peer.put(peer.segment(flow, { flags: Flag.ACK | Flag.PSH }), bytesOf(50, 100));
  assert.deepEqual(peer.read(), bytesOf(150));
});

test('a join that was in use does: its bytes may have been sent there', () => {
  const { peer, flow, unacknowledged } = conversing();
  const second = peer.join(SECOND_PORT);
  peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK }));
  acknowledgePlainly(peer, flow, unacknowledged);
  assert.ok(peer.wait(3_000).some(({ flags, dstPort }) => (flags & Flag.RST) !== 0 && dstPort === flow.port));
  assert.equal(peer.connection?.multipath().fallback, null);
});

test('a join that arrives just after the fallback is refused by a SYN/ACK without MP_JOIN, a later one by a RST', () => {
  const { peer, flow, unacknowledged } = conversing();
  acknowledgePlainly(peer, flow, unacknowledged);
  assert.notEqual(peer.connection?.multipath().fallback, null);
  const { segment, flow: second } = joinSyn(peer);
  const [answer] = peer.put(segment);
  assert.equal(answer.flags, Flag.SYN | Flag.ACK);
  assert.equal(answer.ack, (segment.seq + 1) >>> 0);
  assert.equal(answer.mp, 0);
  second.irs = answer.seq;
  second.rcvNxt = second.ssn = 1;
  assert.deepEqual(peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK })), []);
  assert.equal(peer.host.counters.OutRsts, 0);

  peer.wait(2_000);
  const [late] = peer.put(joinSyn(peer).segment);
  assert.equal(late.flags, Flag.RST | Flag.ACK);
  assert.ok(has(late, Mp.TCPRST));
});

test('while a join is half open, data acknowledged without DATA_ACK is not yet a reason for a reset', () => {
  // The first data of this client came with MP_CAPABLE: no DATA_ACK of its has been seen when it falls back.
  const peer = new RawPeer();
  const flow = peer.open();
  const capable = { mp: Mp.CAPABLE, capableVersion: 1, capableFlags: 1, capableLength: 22, dataLength: 100 };
  const keys = {
    senderKeyHi: peer.key.readUInt32BE(0),
    senderKeyLo: peer.key.readUInt32BE(4),
    receiverKeyHi: peer.hostKey.readUInt32BE(0),
    receiverKeyLo: peer.hostKey.readUInt32BE(4),
  };
  peer.put(peer.segment(flow, { ...capable, ...keys }), bytesOf(100));
  flow.ssn += 100;
  const unacknowledged = say(peer, 8000);
  const { segment, flow: second } = joinSyn(peer);
  const synAck = peer.put(segment).find(({ flags }) => (flags & Flag.SYN) !== 0) as Segment;
  second.irs = synAck.seq;
  second.rcvNxt = second.ssn = 1;
  const [first] = unacknowledged;
  flow.rcvNxt += 1000;
  const answers = peer.put(peer.segment(flow));
  peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK }));
  answers.push(...acknowledgePlainly(peer, flow, [{ payloadLength: first.payloadLength - 1000 } as Segment]));
  assert.deepEqual(
    answers.filter(({ flags }) => (flags & Flag.RST) !== 0),
    [],
  );
  assert.equal(peer.connection?.multipath().fallback?.cause, 'ack-without-data-ack');
});

test('while a join is half open, data without a mapping is not yet a reason for a reset either', () => {
  for (const waitMs of [0, 199, 200]) {
    const peer = new RawPeer();
    const flow = peer.open();
    const capable = {
      mp: Mp.CAPABLE,
      capableVersion: 1,
      capableFlags: 1,
      capableLength: 22,
      dataLength: 100,
    };
    const keys = {
      senderKeyHi: peer.key.readUInt32BE(0),
      senderKeyLo: peer.key.readUInt32BE(4),
      receiverKeyHi: peer.hostKey.readUInt32BE(0),
      receiverKeyLo: peer.hostKey.readUInt32BE(4),
    };
    peer.put(peer.segment(flow, { ...capable, ...keys }), bytesOf(100));
    flow.ssn += 100;
    const { segment, flow: second } = joinSyn(peer);
    const synAck = peer.put(segment).find(({ flags }) => (flags & Flag.SYN) !== 0) as Segment;
    second.irs = synAck.seq;
    second.rcvNxt = second.ssn = 1;
    const answers: Segment[] = [];
    const speak = (): void => {
      answers.push(...peer.put(peer.segment(flow), bytesOf(50, flow.ssn - 1)));
      flow.ssn += 50;
    };
    speak();
    answers.push(...peer.wait(waitMs));
    peer.put(peer.segment(second, { flags: Flag.RST | Flag.ACK }));
    speak();
    // After 200 ms it could be a repetition.
    const resets = answers.filter(({ flags }) => (flags & Flag.RST) !== 0).length;
    assert.equal(resets, waitMs < 200 ? 0 : 1);
    assert.deepEqual(peer.read(), bytesOf(waitMs < 200 ? 200 : 100));
  }
});
