// Mappings, DATA_ACKs and checksums as they arrive, RFC 8684 §3.3, §3.7, §3.8: a hand-made peer against one
// Host.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResetReason } from '../../src/mptcp/index.ts';
import { DssFlag, Flag, Mp, type Segment } from '../../src/wire/index.ts';
import { RawPeer } from './raw-peer.ts';
import { bytesOf, has, hasData, isRst } from './world.ts';

function resets(sent: Segment[]): Segment[] {
  return sent.filter(isRst);
}

for (const wide of [true, false]) {
  test(`D7c, D8a: ${wide ? 64 : 32}-bit DSNs are taken, and acknowledged in the same width`, () => {
    const peer = new RawPeer();
    const flow = peer.open();
    const [ack] = peer.data(flow, { bytes: bytesOf(100), dsn: 1, wide });
    assert.equal((ack.dssFlags & DssFlag.DATA_ACK_64) !== 0, wide);
    assert.equal(peer.dataAck(ack), 101);
    peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, wide });
    assert.deepEqual(peer.read(), bytesOf(200));
  });
}

test('D3b: the first copy of data received on two subflows wins, later ones are ignored', () => {
  const peer = new RawPeer();
  const a = peer.open();
  peer.data(a, { bytes: bytesOf(50), dsn: 1 });
  const b = peer.join(2222);
  const other = new Uint8Array(100).fill(7);
  peer.data(b, { bytes: other, dsn: 51 });
  const [ack] = peer.data(a, { bytes: bytesOf(150, 50), dsn: 51 });
  assert.equal(peer.dataAck(ack), 201);
  const got = peer.read();
  assert.deepEqual(got.subarray(50, 150), other);
  assert.deepEqual(got.subarray(150), bytesOf(50, 150));
});

test('D3c: a mapping of the same bytes that disagrees ends the subflow, with a reason', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const b = peer.join(2222);
  assert.ok(b.ssn === 1);
  // Beyond a hole, mapped twice in different ways.
  peer.data(flow, { bytes: bytesOf(100), dsn: 201, ssn: 201 });
  const [rst] = resets(peer.data(flow, { bytes: bytesOf(100), dsn: 301, ssn: 201 }));
  assert.equal(rst.rstReason, ResetReason.MIDDLEBOX);
  assert.equal(peer.connection?.closed, false);
});

test('D9: one mapping over several segments, on the first of them, on each, or cut by a middlebox', () => {
  for (const how of ['first', 'each', 'cut'] as const) {
    const peer = new RawPeer();
    const flow = peer.open();
    const bytes = bytesOf(3000);
    peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
    const start = flow.ssn;
    for (let at = 0; at < 3000; at += 1000) {
      const piece = bytes.subarray(at, at + 1000);
      const map =
        how === 'cut'
          ? { ssn: start + at, dsn: 11 + at, length: 1000 }
          : { ssn: start, dsn: 11, length: 3000 };
      if (how === 'first' && at > 0) {
        const segment = peer.segment(flow);
        flow.ssn += piece.length;
        peer.put(segment, piece);
      } else peer.data(flow, { bytes: piece, dsn: 0, map });
    }
    assert.deepEqual(peer.read().subarray(10), bytes);
  }
});

test('D9: a mapping for other bytes than those of its segment is ignored', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(10), dsn: 1 });
  peer.data(flow, { bytes: bytesOf(10, 10), dsn: 0, map: { ssn: 5000, dsn: 11, length: 10 } });
  assert.deepEqual(peer.read(), bytesOf(10));
  assert.equal(peer.host.counters.DSSNotMatching, 1);
});

test('D6a, D6b: bytes without a mapping are acknowledged by the subflow, not by DATA_ACK, and kept until it comes', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const segment = peer.segment(flow);
  const unmapped = flow.ssn;
  flow.ssn += 500;
  const [ack] = peer.put(segment, bytesOf(500, 100));
  assert.equal((ack.ack - 5000) >>> 0, flow.ssn);
  assert.equal(peer.dataAck(ack), 101);
  // The mapping arrives with the bytes behind it.
  peer.data(flow, { bytes: bytesOf(10, 600), dsn: 0, map: { ssn: unmapped, dsn: 101, length: 510 } });
  assert.deepEqual(peer.read(), bytesOf(610));
});

test('B3a, B3b, D6c: a whole receive window without a mapping: RST, middlebox interference', () => {
  const peer = new RawPeer({ config: { receiveBufferBytes: 40_000 } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  // Sent a second time: what comes without a mapping later may be such a repetition.
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  const sent: Segment[] = [];
  for (let i = 0; i < 60 && resets(sent).length === 0; i++) {
    const segment = peer.segment(flow);
    flow.ssn += 1000;
    sent.push(...peer.put(segment, bytesOf(1000)));
  }
  const [rst] = resets(sent);
  assert.ok(rst !== undefined, 'never reset');
  assert.equal(rst.rstReason, ResetReason.MIDDLEBOX);
});

test('B3a: on an only subflow that never repeated anything, the stream goes on as TCP instead', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  for (let i = 0; i < 12; i++) {
    const segment = peer.segment(flow);
    flow.ssn += 1000;
    assert.deepEqual(resets(peer.put(segment, bytesOf(1000, 100 + i * 1000))), []);
  }
  assert.deepEqual(peer.read(), bytesOf(12_100));
  assert.equal(peer.host.counters.DssFallback, 1);
});

for (const negotiated of [true, false]) {
  test(`D2a, D2b, D2c: a mapping ${negotiated ? 'without' : 'with'} checksum against the negotiation: RST, reason 1`, () => {
    const peer = new RawPeer({ checksum: negotiated });
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    const [rst] = resets(
      peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, checksum: negotiated ? -1 : 0x1234 }),
    );
    assert.equal(rst.rstReason, ResetReason.MPTCP);
  });
}

test('D4: right checksums pass, over pieces, out of order, and with a DATA_FIN in the mapping', () => {
  const peer = new RawPeer({ checksum: true });
  const flow = peer.open();
  const bytes = bytesOf(3000);
  peer.data(flow, { bytes: bytes.subarray(0, 1000), dsn: 1 });
  // 2,000 bytes in one mapping, its second half first.
  const whole = { ssn: 1001, dsn: 1001, length: 2000 };
  const fields = peer.mapping({ ...whole, payload: bytes.subarray(1000), fin: true });
  const second = peer.segment(flow, { ...fields, seq: 5000 + 2001 });
  peer.put(second, bytes.subarray(2000));
  assert.deepEqual(peer.read(), bytes.subarray(0, 1000), 'nothing unverified is handed out');
  const firstHalf = peer.segment(flow, fields);
  peer.put(firstHalf, bytes.subarray(1000, 2000));
  assert.deepEqual(peer.read(), bytes.subarray(1000));
  assert.equal(peer.connection?.ended, true);
});

test('D4: copies of parts of a verified mapping beyond a hole are not kept for ever', () => {
  const peer = new RawPeer({ checksum: true, config: { receiveBufferBytes: 100_000 } });
  const flow = peer.open();
  let dsn = 1;
  peer.data(flow, { bytes: bytesOf(100), dsn });
  dsn += 100;
  let sent: Segment[] = [];
  for (let round = 0; round < 40; round++) {
    const at = flow.ssn;
    const hole = bytesOf(1000, round);
    const body = bytesOf(4000, round * 3);
    const fields = peer.mapping({ ssn: at + 1000, dsn: dsn + 1000, length: 4000, payload: body });
    const seq = (5000 + at + 1000) >>> 0;
    for (let i = 0; i < 4; i++) {
      peer.put(
        peer.segment(flow, { ...fields, seq: seq + i * 1000 }),
        body.subarray(i * 1000, i * 1000 + 1000),
      );
    }
    // A part again, while the hole is still there.
    peer.put(peer.segment(flow, { ...fields, seq: seq + 1000 }), body.subarray(1000, 2000));
    sent = sent.concat(peer.data(flow, { bytes: hole, dsn }));
    flow.ssn += 4000;
    dsn += 5000;
    peer.read();
  }
  assert.equal(resets(sent).length, 0, 'taken for a window without mappings');
  const last = [...peer.data(flow, { bytes: bytesOf(10), dsn }), ...peer.wait(100)].at(-1) as Segment;
  assert.equal(peer.dataAck(last), dsn + 10);
});

test('B4a, B4b, B4c: wrong checksum on one of two subflows: RST with MP_FAIL, nothing of it handed out or acknowledged', () => {
  const peer = new RawPeer({ checksum: true });
  const a = peer.open();
  peer.data(a, { bytes: bytesOf(100), dsn: 1 });
  const b = peer.join(2222);
  const [rst] = resets(peer.data(b, { bytes: bytesOf(100, 100), dsn: 101, checksum: 1 }));
  assert.ok(has(rst, Mp.FAIL));
  const dsn = (BigInt(rst.failDsnHi) << 32n) | BigInt(rst.failDsnLo);
  assert.equal(dsn, BigInt.asUintN(64, peer.idsn + 101n));
  assert.equal(peer.read().length, 100);
  // The bytes come again on the other subflow.
  const [ack] = peer.data(a, { bytes: bytesOf(100, 100), dsn: 101 });
  assert.equal(peer.dataAck(ack), 201);
  assert.deepEqual(peer.read(), bytesOf(100, 100));
});

test('B4g: wrong checksum on the only subflow: MP_FAIL on the ACK, then plain TCP', () => {
  const peer = new RawPeer({ checksum: true });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const [ack] = peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, checksum: 1 });
  assert.ok(has(ack, Mp.FAIL) && !isRst(ack));
  assert.equal(peer.connection?.multipath().fallback?.cause, 'checksum');
  // The infinite mapping, from the last byte known to be good; the damaged bytes are the stream now.
  const infinite = peer.mapping({ ssn: 101, dsn: 101, length: 0, payload: bytesOf(0), checksum: 0 });
  const segment = peer.segment(flow, infinite);
  flow.ssn += 10;
  const sent = peer.put(segment, bytesOf(10, 200));
  assert.deepEqual(peer.read(), bytesOf(210));
  assert.ok(
    sent.every(s => !has(s, Mp.FAIL)),
    'MP_FAIL after the infinite mapping',
  );
});

test('B4g: after MP_FAIL what was damaged is acknowledged, for a peer whose buffer has no room for an infinite mapping', () => {
  const peer = new RawPeer({ checksum: true });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const [first] = peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101, checksum: 1 });
  assert.ok(has(first, Mp.FAIL) && !has(first, Mp.DSS));
  // As Linux: what was written before is still on its way, and nothing else may be sent without a DATA_ACK.
  let fails = 1;
  for (let dsn = 201; dsn <= 2_001; dsn += 100) {
    const sent = peer.data(flow, { bytes: bytesOf(100, dsn - 1), dsn });
    const acks = [...sent, ...peer.wait(100)];
    assert.equal(peer.dataAck(acks.at(-1) as Segment), dsn + 100);
    fails += acks.filter(s => has(s, Mp.FAIL)).length;
  }
  assert.equal(fails, 10);
  const infinite = peer.mapping({ ssn: 101, dsn: 101, length: 0, payload: bytesOf(0), checksum: 0 });
  const segment = peer.segment(flow, infinite);
  flow.ssn += 10;
  const sent = [...peer.put(segment, bytesOf(10, 2_100)), ...peer.wait(100)];
  assert.ok(sent.length > 0 && sent.every(s => s.mp === 0), 'options after the infinite mapping');
  assert.deepEqual(peer.read(), bytesOf(2_110));
});

test('mappings that follow at each other’s heels are kept apart by an acknowledgement where checksums are asked for', () => {
  // A box that joins segments flushes what it holds at a segment without payload.
  for (const checksum of [false, true]) {
    const peer = new RawPeer({ checksum });
    const flow = peer.open();
    peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
    peer.wait(500);
    const sent: string[] = [];
    // In one go, 10 ms later, and 11 ms later.
    for (const pauseMs of [0, 0, 10, 11]) {
      peer.wait(pauseMs);
      peer.connection?.write(bytesOf(1_000), 0, 1_000, peer.now);
      peer.connection?.setNoDelay(true, peer.now);
      sent.push(...peer.take().map(s => (hasData(s) ? 'data' : 'ACK')));
    }
    const expected = ['data', 'ACK', 'data', 'ACK', 'data', 'data'];
    assert.deepEqual(sent, checksum ? expected : expected.filter(word => word === 'data'));
  }
});

test('once a mapping was lost although options pass, mappings are kept apart without checksums, too', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  peer.connection?.setNoDelay(true, peer.now);
  peer.connection?.write(bytesOf(1_000), 0, 1_000, peer.now);
  const [data] = peer.take().filter(hasData);
  peer.wait(20);
  flow.rcvNxt += data.payloadLength;
  const dss = peer.mapping({ payload: new Uint8Array(0), ssn: flow.ssn, dsn: 101, length: 0 });
  peer.put(peer.segment(flow, { ...dss, dssFlags: DssFlag.DATA_ACK | DssFlag.DATA_ACK_64 }));
  const sent: string[] = [];
  for (let i = 0; i < 2; i++) {
    peer.connection?.write(bytesOf(1_000), 0, 1_000, peer.now);
    sent.push(...peer.take().map(s => (hasData(s) ? 'data' : 'ACK')));
  }
  assert.deepEqual(sent, ['data', 'ACK', 'data']);
});

test('D4: a DATA_FIN alone with a wrong checksum is not believed', () => {
  const peer = new RawPeer({ checksum: true });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const fields = peer.mapping({ ssn: 0, dsn: 101, length: 0, payload: bytesOf(0), fin: true });
  const wrong = { ...fields, checksum: (fields.checksum as number) ^ 1 };
  peer.put(peer.segment(flow, wrong));
  peer.read();
  assert.equal(peer.connection?.ended, false);
  peer.put(peer.segment(flow, fields));
  assert.equal(peer.connection?.ended, true);
});

test('F3: a DATA_FIN that overtakes data waits for it', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const fin = peer.mapping({ ssn: 0, dsn: 201, length: 0, payload: bytesOf(0), fin: true });
  peer.put(peer.segment(flow, { ...fin, seq: 5000 + 101 }));
  peer.read();
  assert.equal(peer.connection?.ended, false);
  const [ack] = peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101 });
  peer.read();
  assert.equal(peer.connection?.ended, true);
  assert.equal(peer.dataAck(ack), 202);
});

test('E1: bytes beyond the window are dropped and not acknowledged at the data level', () => {
  const peer = new RawPeer({ config: { receiveBufferBytes: 40_000 } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const [ack] = peer.data(flow, { bytes: bytesOf(100), dsn: 1_000_000 });
  assert.equal(peer.dataAck(ack), 101);
  peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101 });
  assert.deepEqual(peer.read(), bytesOf(200));
});

test('E1: a DSN from out of all proportion is ignored', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const fields = peer.mapping({ ssn: flow.ssn, dsn: 101, length: 50, payload: bytesOf(50) });
  const far = { ...fields, dsnHi: ((fields.dsnHi as number) ^ 0x4000_0000) >>> 0 };
  peer.put(peer.segment(flow, far), bytesOf(50, 100));
  assert.equal(peer.read().length, 100);
  assert.equal(peer.connection?.closed, false);
});

test('K3c, K5: a DATA_ACK beyond what was sent, or behind what was acknowledged, is ignored', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const { connection } = peer;
  assert.ok(connection !== null);
  connection.write(bytesOf(1000), 0, 1000, peer.now);
  const [data] = peer.take();
  assert.equal(data.payloadLength, 1000);
  peer.data(flow, { bytes: bytesOf(10, 100), dsn: 101, dataAck: 5000 });
  assert.equal(connection.unacknowledgedBytes, 1000);
  flow.rcvNxt += 1000;
  peer.data(flow, { bytes: bytesOf(10, 110), dsn: 111, dataAck: 1001 });
  assert.equal(connection.unacknowledgedBytes, 0);
  peer.data(flow, { bytes: bytesOf(10, 120), dsn: 121, dataAck: 400 });
  assert.equal(connection.unacknowledgedBytes, 0);
});

test('K2, R1: bytes are freed when data level and subflow have both acknowledged them', () => {
  const peer = new RawPeer({ config: { sendBufferBytes: 4000 } });
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const { connection } = peer;
  assert.ok(connection !== null);
  connection.write(bytesOf(1000), 0, 1000, peer.now);
  peer.take();
  // The data level first: the subflow has not seen an acknowledgement.
  peer.put(
    peer.segment(flow, {
      ...peer.mapping({ ssn: 0, dsn: 0, length: 0, payload: bytesOf(0), dataAck: 1001 }),
      dssFlags: 3,
    }),
  );
  assert.equal(connection.writableBytes, 3000);
  const again = peer.wait(2000).filter(s => s.payloadLength > 0);
  assert.ok(again.length > 0, 'the subflow repeats what it has not had acknowledged (R1)');
  flow.rcvNxt += 1000;
  peer.put(
    peer.segment(flow, {
      ...peer.mapping({ ssn: 0, dsn: 0, length: 0, payload: bytesOf(0), dataAck: 1001 }),
      dssFlags: 3,
    }),
  );
  assert.equal(connection.writableBytes, 4000);
});

test('G1: options of segments outside the window are not acted on', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const key = {
    mp: Mp.FASTCLOSE,
    fastcloseKeyHi: peer.hostKey.readUInt32BE(0),
    fastcloseKeyLo: peer.hostKey.readUInt32BE(4),
  };
  // Sequence number far beyond the window, then an acknowledgement of what was never sent.
  peer.put(peer.segment(flow, { ...key, seq: (5000 + 60_000_000) >>> 0 }));
  assert.equal(peer.connection?.closed, false);
  peer.put(peer.segment(flow, { ...key, ack: (flow.irs + 700_000) >>> 0 }));
  assert.equal(peer.connection?.closed, false);
  peer.put(peer.segment(flow, key));
  assert.equal(peer.connection?.closed, true);
});

test('B1: a mapping on every data segment, at least until the first DATA_ACK', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  const { connection } = peer;
  assert.ok(connection !== null);
  connection.write(bytesOf(8000), 0, 8000, peer.now);
  const sent = peer.take().filter(s => s.payloadLength > 0);
  assert.ok(sent.length > 0);
  for (const s of sent) assert.ok((s.dssFlags & DssFlag.MAP) !== 0 && has(s, Mp.DSS));
  assert.equal(flow.port, 1111);
});

test('J7c: data on a joined subflow before its third ACK does not reach the application', () => {
  const peer = new RawPeer();
  const a = peer.open();
  peer.data(a, { bytes: bytesOf(100), dsn: 1 });
  peer.read();
  const flow = { port: 3333, ssn: 0, rcvNxt: 0, irs: 0 };
  const good = peer.join(2222);
  assert.equal(good.ssn, 1);
  const syn = peer.segment(flow, { flags: Flag.SYN, mp: Mp.JOIN, joinLength: 12, ack: 0, joinNonce: 1 });
  syn.joinToken = peer.connection?.multipath().token as number;
  const [synAck] = peer.put(syn);
  Object.assign(flow, { irs: synAck.seq, ssn: 1, rcvNxt: 1 });
  const [rst] = resets(peer.data(flow, { bytes: bytesOf(100, 100), dsn: 101 }));
  assert.equal(rst.rstReason, ResetReason.MPTCP);
  assert.equal(peer.read().length, 0);
});

test('R2: what TCP acknowledges and no DATA_ACK is repeated after 200 ms; once the peer knows, after a round trip', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  let dataAck = 1;
  const acknowledge = (segment: Segment): void => {
    peer.wait(20);
    flow.rcvNxt += segment.payloadLength;
    const dss = peer.mapping({ payload: new Uint8Array(0), ssn: flow.ssn, dsn: 101, length: 0, dataAck });
    const dssFlags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64;
    peer.put(peer.segment(flow, { ...dss, dssFlags }));
  };
  // RFC 8684 §3.7: what comes without a mapping sooner than any repetition lets a peer go on as TCP, until it has
  // had one. Measured from the first time the bytes were sent; the round trip is 20 ms.
  for (const [leastMs, mostMs] of [
    [200, 300],
    [40, 100],
    [40, 100],
  ]) {
    peer.connection?.write(bytesOf(1_000), 0, 1_000, peer.now);
    const sentMs = peer.now;
    const [data] = peer.take().filter(hasData);
    acknowledge(data);
    const repeat = firstWithin(1_000, () => peer.wait(1).find(hasData));
    assert.equal(repeat.dsnLo, data.dsnLo);
    const tookMs = peer.now - sentMs;
    assert.ok(tookMs >= leastMs && tookMs < mostMs, `${tookMs} ms`);
    dataAck += 1_000;
    acknowledge(repeat);
  }
});

function firstWithin<T>(tries: number, attempt: () => T | undefined): T {
  for (let i = 0; i < tries; i++) {
    const found = attempt();
    if (found !== undefined) return found;
  }
  assert.fail(`nothing in ${tries} tries`);
}

test('data that TCP acknowledges without options, with more in flight, is not sent again: the peer may be TCP', () => {
  const peer = new RawPeer();
  const flow = peer.open();
  peer.data(flow, { bytes: bytesOf(100), dsn: 1 });
  const sent = [...peer.take()];
  const source = bytesOf(60_000);
  let written = 0;
  const write = (): void => {
    written += peer.connection?.write(source, written, 1_300, peer.now) ?? 0;
    sent.push(...peer.take());
  };
  for (let i = 0; i < 8; i++) write();
  const [firstData] = sent.filter(hasData);
  flow.rcvNxt += firstData.payloadLength;
  const dataAck = 1 + firstData.payloadLength;
  const dss = peer.mapping({ payload: new Uint8Array(0), ssn: flow.ssn, dsn: 101, length: 0, dataAck });
  const dssFlags = DssFlag.DATA_ACK | DssFlag.DATA_ACK_64;
  sent.push(...peer.put(peer.segment(flow, { ...dss, dssFlags })));
  // Bytes without a mapping, long after the last one: this side cannot go on as TCP.
  peer.wait(400);
  sent.push(...peer.put(peer.segment(flow, { flags: Flag.ACK | Flag.PSH }), bytesOf(10, 100)));
  flow.ssn += 10;
  for (let i = 0; i < 30; i++) {
    sent.push(...peer.wait(150));
    flow.rcvNxt += 1_300;
    sent.push(...peer.put(peer.segment(flow)));
    write();
  }
  assert.ok(sent.filter(hasData).length > 20);
  for (const segment of sent.filter(hasData)) {
    if (!has(segment, Mp.DSS) || (segment.dssFlags & DssFlag.MAP) === 0) continue;
    const dsn = Number(BigInt.asUintN(32, BigInt(segment.dsnLo) - (peer.hostIdsn & 0xffffffffn)));
    assert.equal(dsn, segment.ssn, 'bytes were assigned a second time');
  }
});
