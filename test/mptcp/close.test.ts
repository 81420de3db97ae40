// How multipath connections end: DATA_FIN in all orders (RFC 8684 §3.3.3), MP_FASTCLOSE (§3.5), and what is
// left.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DssFlag, Mp, Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isDataFin,
  isFin,
  isRst,
  type Packet,
  type Side,
  World,
} from './world.ts';

const isFastclose = (s: Segment): boolean => has(s, Mp.FASTCLOSE);

type Order = (world: World) => void;
const orders: [string, Order][] = [
  ['client first', w => w.client.connection.shutdown(w.now)],
  ['server first', w => w.server.connection.shutdown(w.now)],
  [
    'both at once',
    w => {
      w.client.connection.shutdown(w.now);
      w.server.connection.shutdown(w.now);
    },
  ],
  ['client with its last data', w => w.client.send(bytesOf(700), w.now, { finish: true })],
  [
    'both with their last data',
    w => {
      w.client.send(bytesOf(700), w.now, { finish: true });
      w.server.send(bytesOf(9000), w.now, { finish: true });
    },
  ],
  [
    'client shuts down, then the server answers and closes',
    w => {
      w.client.connection.shutdown(w.now);
      w.run(60);
      w.server.send(bytesOf(5000), w.now, { finish: true });
    },
  ],
];

for (const subflows of [1, 2]) {
  for (const checksum of [false, true]) {
    for (const [name, order] of orders) {
      const what = `${subflows} subflow(s)${checksum ? ', checksums' : ''}`;
      test(`F1: ${name}, ${what}: each packet of the end lost once`, () => {
        // First without loss, to know how many packets the end takes; then with each of them lost.
        let count = 1;
        for (let lost = -1; lost < count; lost++) {
          const world = new World({ paths: subflows, client: { checksum } });
          world.establish(subflows);
          const from = world.log.length;
          world.rules.push((_: Packet) => (world.log.length - 1 === from + lost ? 'drop' : undefined));
          order(world);
          world.finish();
          assert.equal(world.client.connection.ended, true);
          assert.equal(world.server.connection.ended, true);
          if (lost < 0) count = Math.min(world.log.length - from, 14);
        }
      });
    }
  }
}

test('F2: a DATA_FIN without data has SSN 0, length 1 and, with checksums, one over the pseudo-header', () => {
  for (const checksum of [false, true]) {
    const world = new World({ client: { checksum } });
    world.establish();
    world.transfer('client', 3000);
    world.run(100);
    world.client.connection.shutdown(world.now);
    world.run(50);
    const [fin] = world.packets('client', isDataFin);
    assert.equal(fin.segment.ssn, 0);
    assert.equal(fin.segment.dataLength, 1);
    assert.equal(fin.segment.payloadLength, 0);
    assert.equal(fin.segment.checksum >= 0, checksum);
    world.finish();
  }
});

test('F3: a DATA_FIN is acknowledged only when all data before it is there', () => {
  const world = new World();
  world.establish();
  world.transfer('client', 1000);
  world.run(100);
  const start = world.packets('server', s => has(s, Mp.DSS)).at(-1)?.segment.dataAckLo as number;
  world.rules.push(first(1, (s, p) => p.from === 'client' && hasData(s)));
  world.client.send(bytesOf(6000), world.now, { finish: true });
  const since = world.log.length;
  world.run(15);
  world.until('end', () => world.server.connection.ended);
  for (const p of world.log.slice(since)) {
    if (p.from !== 'server' || !has(p.segment, Mp.DSS) || p.at > world.now - 1) continue;
    assert.ok(
      (p.segment.dataAckLo - start) >>> 0 < 6001,
      'DATA_FIN acknowledged before the data was complete',
    );
  }
  world.finish();
});

test('F4: half-close: the server goes on sending for a long time after the DATA_FIN of the client', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.connection.shutdown(world.now);
  world.until('end at the server', () => world.server.connection.ended);
  world.transfer('server', 300_000);
  world.run(30_000);
  world.transfer('server', 100_000);
  world.finish();
});

test('F4, F5a, F5b: subflows are closed by FIN after both DATA_FINs were acknowledged, never before', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.send(bytesOf(20_000), world.now, { finish: true });
  world.server.send(bytesOf(20_000), world.now, { finish: true });
  world.untilGone();
  const firstFin = world.log.findIndex(p => isFin(p.segment));
  const dataFins = { client: false, server: false };
  for (const p of world.log.slice(0, firstFin)) if (isDataFin(p.segment)) dataFins[p.from] = true;
  assert.deepEqual(dataFins, { client: true, server: true });
  const paths = new Set(world.log.filter(p => isFin(p.segment)).map(p => p.path));
  assert.deepEqual([...paths].sort(), [0, 1]);
  assert.equal(world.log.filter(p => isRst(p.segment)).length, 0);
});

test('F1: a DATA_FIN repeated after the end does no harm', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(first(3, (s, p) => p.from === 'client' && isDataFin(s), { again: 2 }));
  world.transfer('client', 5000);
  world.finish();
});

test('F6, X4b: every path taken away: subflows end by FIN, the connection lives until closeTimeoutMs', () => {
  const world = new World({ paths: 2, client: { closeTimeoutMs: 5000 }, server: { closeTimeoutMs: 5000 } });
  world.establish(2);
  world.transfer('client', 3000);
  world.run(100);
  const start = world.now;
  for (const path of [1, 0]) world.client.connection.removePath(world.pathInterface(path), world.now);
  world.run(200);
  assert.equal(world.log.filter(p => isRst(p.segment)).length, 0, 'a working subflow is not reset');
  assert.ok(world.packets('client', isFin).length > 0);
  assert.equal(world.server.connection.closed, false);
  world.until('both give up', () => world.server.connection.closed && world.client.connection.closed, 60_000);
  assert.equal(world.server.connection.error, 'ETIMEDOUT');
  assert.equal(world.client.connection.error, 'ETIMEDOUT');
  assert.ok(world.now - start >= 5000 && world.now - start < 9000, `after ${world.now - start} ms`);
  world.untilGone();
});

test('F6: the only path there ever was, taken away, ends by RST; a join over another goes on with the stream', () => {
  const world = new World({ paths: 2 });
  world.establish(1, { paths: [{ interfaceId: world.pathInterface(0) }] });
  world.transfer('client', 3000);
  world.client.send(bytesOf(100_000, 3000), world.now);
  world.run(12);
  world.client.connection.removePath(world.pathInterface(0), world.now);
  world.run(1_000);
  assert.equal(world.packets('client', s => isRst(s) && has(s, Mp.TCPRST)).length, 1);
  assert.equal(world.packets('client', isFin).length, 0);
  world.client.connection.addPath({ interfaceId: world.pathInterface(1) }, world.now);
  world.until('the rest', () => world.server.received.length === 103_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(103_000));
  world.finish();
});

// MP_FASTCLOSE

for (const side of ['client', 'server'] as const) {
  for (const subflows of [1, 2]) {
    test(`Z1a: ${side} aborts with ${subflows} subflow(s): MP_FASTCLOSE on an ACK, RST on the others, RST in answer`, () => {
      const world = new World({ paths: subflows });
      world.establish(subflows);
      world.transfer('client', 1);
      world.transfer('server', 1);
      world.run(50);
      const other: Side = side === 'client' ? 'server' : 'client';
      const since = world.log.length;
      world.peer(side).connection.abort(world.now);
      world.untilGone(5000);
      const sent = world.log.slice(since);
      assert.equal(
        sent.filter(p => p.from === side && isFastclose(p.segment) && !isRst(p.segment)).length,
        1,
      );
      assert.equal(sent.filter(p => p.from === side && isRst(p.segment)).length, subflows - 1);
      assert.ok(
        sent.some(p => p.from === other && isRst(p.segment)),
        'no RST in answer',
      );
      assert.equal(world.peer(other).connection.error, 'ECONNRESET');
      assert.equal(world.peer(side).connection.error, null);
    });
  }
}

test('Z1b, Z1c, Z1d: MP_FASTCLOSE unanswered is sent three times more, then a RST with it, and nothing is left', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(p => (p.from === 'client' ? 'drop' : undefined));
  const since = world.log.length;
  world.client.connection.abort(world.now);
  world.until('client empty', () => [...world.client.host.connections].length === 0, 60_000);
  const sent = world.log.slice(since).filter(p => p.from === 'client' && isFastclose(p.segment));
  assert.equal(sent.filter(p => !isRst(p.segment)).length, 4);
  assert.equal(sent.filter(p => isRst(p.segment)).length, 1);
  assert.equal(world.client.host.nextDeadline(), Infinity);
});

for (const lost of [0, 1, 2, 3]) {
  test(`Z1a, Z1b: packet ${lost} of a fast close lost: both ends end`, () => {
    const world = new World({ paths: 2 });
    world.establish(2);
    const since = world.log.length;
    world.rules.push(() => (world.log.length - 1 === since + lost ? 'drop' : undefined));
    world.client.connection.abort(world.now);
    world.until('server ends', () => world.server.connection.closed, 5000);
    world.untilGone(130_000);
  });
}

test('Z2: RST with MP_FASTCLOSE ends the whole connection', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(
    altered(
      1,
      s => isFastclose(s),
      s => {
        s.flags |= 4;
      },
    ),
  );
  world.client.connection.abort(world.now);
  world.until('server ends', () => world.server.connection.closed, 1000);
  assert.equal(world.server.connection.error, 'ECONNRESET');
  world.untilGone(130_000);
});

test('Z3: MP_FASTCLOSE with a wrong key is ignored', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(
    altered(
      1,
      s => isFastclose(s),
      s => {
        s.fastcloseKeyLo = (s.fastcloseKeyLo ^ 1) >>> 0;
      },
    ),
  );
  world.client.connection.abort(world.now);
  world.run(30);
  assert.equal(world.server.connection.closed, false);
  world.until('the repetition ends it', () => world.server.connection.closed, 3000);
  world.untilGone(130_000);
});

test('Z4: both abort at once', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.connection.abort(world.now);
  world.server.connection.abort(world.now);
  world.untilGone(5000);
});

test('Z1a: an abort with bytes in flight and unread bytes leaves nothing behind', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.server.autoRead = false;
  world.client.send(bytesOf(500_000), world.now);
  world.run(45);
  world.client.connection.abort(world.now);
  world.untilGone(5000);
});

// close(): the application lets go.

test('F1: close delivers what was written, both ends gone without error', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.send(bytesOf(300_000), world.now);
  world.until('written', () => world.client.connection.writableBytes > 0);
  world.client.connection.close(world.now);
  world.until('all there', () => world.server.received.length === 300_000);
  world.until('end', () => world.server.connection.ended);
  world.server.connection.close(world.now);
  world.untilGone();
  assert.equal(world.server.connection.error, null);
});

test('close while a slow reader takes minutes loses nothing', () => {
  const client = { sendBufferInitialBytes: 1 << 20 };
  const world = new World({ client, server: { receiveBufferBytes: 50_000 } });
  world.establish();
  // The reader takes 5,000 bytes a second: the rest waits in the sender's buffer, with progress all the time.
  world.server.autoRead = false;
  const small = new Uint8Array(5000);
  let got = 0;
  world.client.send(bytesOf(400_000), world.now);
  world.run(50);
  world.client.connection.close(world.now);
  for (let i = 0; i < 60 && !world.server.connection.closed; i++) {
    world.run(3000);
    got += world.server.connection.read(small, 0, small.length, world.now);
  }
  world.server.autoRead = true;
  world.run(5000);
  assert.equal(world.server.connection.error, null, world.server.connection.errorReason);
  assert.equal(got + world.server.received.length, 400_000);
});

test('copies of old data after close are no reason to reset', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  // The server's answer goes out while copies of the client's bytes are still under way on the other path.
  world.rules.push(first(20, (s, p) => p.from === 'client' && hasData(s) && p.path === 0, { again: 1 }));
  world.rules.push(first(Infinity, (_, p) => p.from === 'server' && p.path === 0, { delayMs: 200 }));
  world.client.send(bytesOf(20_000), world.now);
  world.until('request', () => world.server.received.length === 20_000);
  world.server.send(bytesOf(50_000), world.now);
  world.server.connection.close(world.now);
  world.until('answer', () => world.client.received.length >= 50_000);
  world.client.connection.shutdown(world.now);
  world.untilGone();
  assert.equal(world.client.connection.error, null, world.client.connection.errorReason);
});

test('closing with unread bytes, or bytes arriving after close, resets the whole connection', () => {
  for (const unread of [true, false]) {
    const world = new World({ paths: 2 });
    world.establish(2);
    world.server.autoRead = false;
    if (unread) {
      world.client.send(bytesOf(1000), world.now);
      world.run(50);
    }
    world.server.connection.close(world.now);
    if (!unread) world.client.send(bytesOf(1000), world.now);
    world.until('reset', () => world.client.connection.closed, 5000);
    assert.equal(world.client.connection.error, 'ECONNRESET');
    world.untilGone(130_000);
  }
});

test('an unconfirmed connection that is reset ends at once', () => {
  const world = new World();
  world.connect();
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  const ack = world.log.at(-1)?.segment as Segment;
  const rst = Object.assign(new Segment(), ack, {
    mp: 0,
    flags: 4,
    seq: ack.ack,
    src0: ack.dst0,
    src1: ack.dst1,
    src2: ack.dst2,
    src3: ack.dst3,
    dst0: ack.src0,
    dst1: ack.src1,
    dst2: ack.src2,
    dst3: ack.src3,
    srcPort: ack.dstPort,
    dstPort: ack.srcPort,
  });
  world.inject('server', rst);
  world.run(1000);
  assert.equal(world.client.connection.error, 'ECONNRESET');
});

test('K1: windows of segments without DATA_ACK do not move the connection’s edge', () => {
  const world = new World({ server: { receiveBufferBytes: 100_000 } });
  world.establish();
  world.transfer('client', 1000);
  world.run(100);
  world.server.autoRead = false;
  // Every acknowledgement loses its DSS: the sender must stop at the edge it knows.
  world.rules.push(
    altered(
      Infinity,
      (s, p) => p.from === 'server' && has(s, Mp.DSS) && (s.dssFlags & DssFlag.DATA_ACK) !== 0,
      s => {
        s.mp = 0;
        s.window = 60_000;
      },
    ),
  );
  world.client.send(bytesOf(400_000), world.now);
  world.run(1000);
  const sent = world.packets('client', hasData);
  let newBytes = 0;
  const seen = new Set<number>();
  for (const p of sent) {
    if (seen.has(p.segment.dsnLo)) continue;
    seen.add(p.segment.dsnLo);
    newBytes += p.segment.payloadLength;
  }
  assert.ok(newBytes <= 102_000, `${newBytes} bytes sent beyond the edge`);
});
