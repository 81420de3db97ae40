// Data on several paths (RFC 8684 §3.3.6): silence, resets and lost interfaces, retention, recovery, windows;
// and what a client does to get its paths back (§3.9).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flag, Mp, Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isSyn,
  isSynAck,
  type Packet,
  type Rule,
  type Side,
  World,
} from './world.ts';

const none: Uint8Array = new Uint8Array(0);

/** Path `i` swallows everything from now on, until `off()`. */
function cut(world: World, i: number): () => void {
  let on = true;
  world.rules.push((p: Packet) => (on && p.path === i ? 'drop' : undefined));
  return () => {
    on = false;
  };
}

/** Sends a lot and returns when some of it has arrived. */
function stream(world: World, from: Side, length: number, until: number): Uint8Array {
  const to = world.peer(from === 'client' ? 'server' : 'client');
  const bytes = bytesOf(length);
  world.peer(from).send(bytes, world.now);
  world.until('some bytes', () => to.received.length >= until);
  return bytes;
}

for (const from of ['client', 'server'] as const) {
  for (const dead of [0, 1]) {
    test(`R3b: path ${dead} goes silent under data from the ${from}: the other takes over within 300 ms`, () => {
      const world = new World({ paths: 2, delays: [15, 30] });
      world.establish(2);
      const to = world.peer(from === 'client' ? 'server' : 'client');
      const bytes = stream(world, from, 3_000_000, 200_000);
      cut(world, dead);
      let last = world.now;
      let longest = 0;
      let seen = to.received.length;
      while (to.received.length < bytes.length) {
        world.run(5);
        if (to.received.length > seen) {
          longest = Math.max(longest, world.now - last);
          last = world.now;
          seen = to.received.length;
        }
        assert.ok(world.now - last < 5000, 'stuck');
      }
      assert.deepEqual(Uint8Array.from(to.received), bytes);
      assert.ok(longest <= 300, `${longest} ms without a byte`);
      world.finish();
    });
  }

  test(`R3b: a subflow reset under data from the ${from}: bytes go to the other, and the client joins again`, () => {
    const world = new World({ paths: 2, delays: [15, 30] });
    world.establish(2);
    const to = world.peer(from === 'client' ? 'server' : 'client');
    const bytes = stream(world, from, 1_000_000, 100_000);
    // A middlebox forges a reset with the right number in both directions.
    for (const side of ['client', 'server'] as const) {
      const seen = world.packets(side, (_, p) => p.path === 0).at(-1) as Packet;
      const segment = Object.assign(new Segment(), seen.segment, {
        flags: Flag.RST | Flag.ACK,
        mp: 0,
        sackCount: 0,
      });
      const number = world
        .packets(side === 'client' ? 'server' : 'client', (_, p) => p.path === 0)
        .at(-1) as Packet;
      segment.seq = number.segment.ack;
      world.inject(side, segment, none, 0);
    }
    world.until('all', () => to.received.length === bytes.length);
    assert.deepEqual(Uint8Array.from(to.received), bytes);
    world.until(
      'two subflows again',
      () => world.active('client') === 2 && world.active('server') === 2,
      10_000,
    );
    world.finish();
  });
}

test('R3b, X1a: an interface vanishes: bytes go elsewhere, REMOVE_ADDR is sent, no packet leaves from there', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  world.establish(2);
  const bytes = stream(world, 'client', 1_000_000, 100_000);
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  const since = world.log.length;
  world.settle();
  world.until('all', () => world.server.received.length === bytes.length);
  assert.deepEqual(Uint8Array.from(world.server.received), bytes);
  const after = world.log.slice(since);
  assert.ok(after.every(p => p.from === 'server' || p.path === 1));
  const removal = after.find(p => p.from === 'client' && has(p.segment, Mp.REMOVE_ADDR));
  assert.ok(removal !== undefined && removal.segment.removeIds[0] === 0);
  world.finish();
});

test('R1: bytes sent on another subflow are still repeated on their own, when the path comes back', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  world.establish(2);
  const bytes = stream(world, 'client', 2_000_000, 300_000);
  const restore = cut(world, 0);
  world.until('all', () => world.server.received.length === bytes.length);
  restore();
  world.run(1500);
  assert.equal(world.active('client'), 2, 'the path is in use again');
  const before = world.log.length;
  world.transfer('client', 1_000_000);
  assert.ok(world.log.slice(before).some(p => p.path === 0 && p.from === 'client' && hasData(p.segment)));
  world.finish();
});

test('a suspected path is probed at least every 500 ms, whatever its timeout', () => {
  const world = new World({ paths: 2, delays: [15, 30], client: { replaceAfterMs: 60_000 } });
  world.establish(2);
  const bytes = stream(world, 'client', 1_000_000, 200_000);
  cut(world, 0);
  const start = world.now;
  world.run(20_000);
  assert.equal(world.server.received.length, bytes.length);
  let last = start;
  for (const p of world.log) {
    if (p.at < start || p.path !== 0 || p.from !== 'client') continue;
    assert.ok(p.at - last <= 600, `${p.at - last} ms without a probe`);
    last = p.at;
  }
  assert.ok(world.now - last <= 600);
});

test('R3b: a path that is dead in one direction only is left to the other, and not taken for alive again', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  world.establish(2);
  // 8 Mbit/s a path and direction, with a queue of 60 ms.
  const free = new Map<string, number>();
  world.rules.push(p => {
    const link = `${p.path}${p.from}`;
    const at = Math.max(free.get(link) ?? 0, world.now);
    if (at - world.now > 60) return 'drop';
    free.set(link, at + p.bytes.length / 1000);
    return { delayMs: at + p.bytes.length / 1000 - world.now };
  });
  world.client.send(bytesOf(4_000_000), world.now);
  world.server.send(bytesOf(4_000_000), world.now);
  world.run(1000);
  world.rules.push(p => (p.path === 0 && p.from === 'client' ? 'drop' : undefined));
  let last = world.now;
  let longest = 0;
  let seen = world.server.received.length;
  while (world.server.received.length < 4_000_000) {
    world.run(5);
    if (world.server.received.length === seen) continue;
    longest = Math.max(longest, world.now - last);
    last = world.now;
    seen = world.server.received.length;
    assert.ok(world.now < 60_000, 'stuck');
  }
  assert.ok(longest <= 300, `${longest} ms without a byte`);
  assert.ok(world.client.host.counters.SubflowRecover <= 1, 'taken for alive by what it receives');
});

test('K2: bytes on a silent subflow do not block the buffer of the others', () => {
  const world = new World({
    paths: 2,
    delays: [15, 30],
    client: { sendBufferBytes: 64_000, replaceAfterMs: 60_000 },
  });
  world.establish(2);
  const bytes = stream(world, 'client', 2_000_000, 100_000);
  const restore = cut(world, 0);
  world.until('all', () => world.server.received.length === bytes.length, 120_000);
  restore();
  world.run(2000);
  // What the silent subflow still had to repeat is what it had sent, byte for byte.
  const original = new Map<number, string>();
  for (const p of world.log) {
    if (p.from !== 'client' || p.path !== 0 || !hasData(p.segment)) continue;
    const { seq, payloadOffset, payloadLength } = p.segment;
    const text = Buffer.from(p.bytes.subarray(payloadOffset, payloadOffset + payloadLength)).toString('hex');
    const known = original.get(seq);
    if (known === undefined) original.set(seq, text);
    else assert.ok(known.startsWith(text) || text.startsWith(known), 'a repetition with other bytes');
  }
  assert.deepEqual(Uint8Array.from(world.server.received), bytes);
  world.finish();
});

test('D3a: a mapping never changes, whatever is lost and repeated', () => {
  for (const checksum of [false, true]) {
    const world = new World({ paths: 2, delays: [15, 30], client: { checksum } });
    let n = 0;
    world.rules.push(p => (hasData(p.segment) && ++n % 13 === 0 ? 'drop' : undefined));
    world.establish(2);
    world.transfer('client', 600_000);
    world.transfer('server', 600_000);
    for (const from of ['client', 'server'] as const) {
      const maps = new Map<string, string>();
      for (const p of world.packets(from, s => hasData(s) && has(s, Mp.DSS))) {
        const s = p.segment;
        const at = `${p.path} ${s.srcPort} ${s.ssn}`;
        const what = `${s.dsnHi} ${s.dsnLo} ${s.dataLength & ~0} ${s.checksum}`;
        const known = maps.get(at);
        if (known !== undefined) assert.equal(what, known);
        maps.set(at, what);
      }
    }
    world.finish();
  }
});

test('D9: each mapping lies on segments it covers', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  world.establish(2);
  world.transfer('client', 300_000);
  const isns = new Map<number, number>();
  for (const p of world.packets('client', isSyn)) isns.set(p.segment.srcPort, p.segment.seq);
  for (const p of world.packets('client', s => hasData(s) && has(s, Mp.DSS))) {
    const s = p.segment;
    const relative = (s.seq - (isns.get(s.srcPort) as number)) >>> 0;
    assert.ok(s.ssn <= relative && s.ssn + s.dataLength >= relative + s.payloadLength);
  }
  world.finish();
});

test('D3b: the same data on both subflows is delivered once', () => {
  const world = new World({ paths: 2, delays: [15, 30], client: { suspectSlackMs: 0 } });
  world.establish(2);
  // Path 0 becomes slow at once: its bytes are sent again on path 1, and arrive on both.
  const bytes = stream(world, 'client', 1_000_000, 200_000);
  world.rules.push(p => (p.path === 0 && p.from === 'client' ? { delayMs: 400 } : undefined));
  world.until('all', () => world.server.received.length === bytes.length);
  world.run(2000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytes);
  assert.ok(world.client.host.counters.MPTCPRetrans > 0);
  assert.ok(world.server.host.counters.DuplicateData > 0);
  world.finish();
});

test('W1: the right edge of the shared window never moves back on any subflow', () => {
  const world = new World({ paths: 2, delays: [15, 30], server: { receiveBufferBytes: 200_000 } });
  world.establish(2);
  world.server.autoRead = false;
  world.client.send(bytesOf(1_500_000), world.now);
  const chunk = new Uint8Array(30_000);
  let seed = 7;
  let read = 0;
  for (let i = 0; i < 3000 && read < 1_500_000; i++) {
    world.run(7);
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    read += world.server.connection.read(chunk, 0, seed % chunk.length, world.now);
  }
  const scales = new Map<number, number>();
  for (const p of world.packets('server', isSynAck)) scales.set(p.segment.dstPort, p.segment.windowScale);
  let edge = 0;
  let base = -1;
  for (const p of world.packets('server', s => has(s, Mp.DSS) && (s.dssFlags & 1) !== 0)) {
    const s = p.segment;
    if (base < 0) base = s.dataAckLo;
    const at = ((s.dataAckLo - base) >>> 0) + s.window * 2 ** (scales.get(s.dstPort) as number);
    const unit = 2 ** (scales.get(s.dstPort) as number);
    assert.ok(at > edge - unit, `edge went back from ${edge} to ${at}`);
    edge = Math.max(edge, at);
  }
  assert.equal(read, 1_500_000);
});

test('a lost window update is asked for again', () => {
  const world = new World({ paths: 2, server: { receiveBufferBytes: 50_000 } });
  world.establish(2);
  world.server.autoRead = false;
  world.client.send(bytesOf(200_000), world.now);
  world.run(3000);
  const rule: Rule = first(4, (_, p) => p.from === 'server');
  world.rules.push(rule);
  world.server.autoRead = true;
  world.server.readAll(world.server.connection, world.now);
  world.until('all', () => world.server.received.length === 200_000, 20_000);
  world.finish();
});

test('an idle backup path is not probed while another path is busy', () => {
  const world = new World({ paths: 2, delays: [30, 15] });
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), backup: i === 1 }));
  world.establish(2, { paths });
  // Losses keep the congestion window small, so that there is always something unsent.
  let n = 0;
  world.rules.push(p => (p.from === 'client' && hasData(p.segment) && ++n % 29 === 0 ? 'drop' : undefined));
  const since = world.log.length;
  world.transfer('client', 1_500_000);
  const probes = world.log.slice(since).filter(p => p.path === 1 && p.from === 'client');
  assert.ok(probes.length <= 2, `${probes.length} packets on an idle backup`);
  world.finish();
});

test('P1a: the backup carries data when the regular path is silent, and rests when it is back', () => {
  const world = new World({ paths: 2, delays: [15, 30] });
  const paths = [0, 1].map(i => ({ interfaceId: world.pathInterface(i), backup: i === 1 }));
  world.establish(2, { paths });
  const bytes = stream(world, 'client', 1_000_000, 100_000);
  assert.equal(world.log.filter(p => p.path === 1 && hasData(p.segment)).length, 0);
  const restore = cut(world, 0);
  world.until('all', () => world.server.received.length === bytes.length);
  restore();
  world.run(3000);
  const since = world.log.length;
  world.transfer('client', 300_000);
  assert.equal(world.log.slice(since).filter(p => p.path === 1 && hasData(p.segment)).length, 0);
  world.finish();
});

test('R2: subflow-acknowledged bytes that no DATA_ACK follows are sent again', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.transfer('client', 1000);
  world.run(200);
  // A proxy on path 0 acknowledges data that never reaches the server.
  const s0 = world.packets('server', (_, p) => p.path === 0).at(-1)?.segment as Segment;
  let swallowed: Segment | null = null;
  world.rules.push(p => {
    if (swallowed !== null || p.from !== 'client' || p.path !== 0 || !hasData(p.segment)) return undefined;
    swallowed = p.segment;
    const fake = Object.assign(new Segment(), s0, { mp: 0, sackCount: 0, payloadLength: 0, flags: Flag.ACK });
    fake.ack = (p.segment.seq + p.segment.payloadLength) >>> 0;
    fake.tsVal = (fake.tsVal + 300) >>> 0;
    fake.tsEcr = p.segment.tsVal;
    world.inject('server', fake, none, 10);
    return 'drop';
  });
  world.client.send(bytesOf(500, 1000), world.now);
  world.until('bytes', () => world.server.received.length === 1500, 5000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(1500));
});

test('R2: a mapping is lost where two paths are in use: its bytes are sent again a round trip later', () => {
  const world = new World({ paths: 2, delays: [10, 10] });
  world.establish(2);
  world.transfer('client', 30_000);
  const isData = (s: Segment, p: Packet): boolean => p.from === 'client' && hasData(s);
  let lost: Packet | undefined;
  world.rules.push(
    altered(
      1,
      (s, p) => {
        if (isData(s, p)) lost ??= p;
        return p === lost;
      },
      s => {
        s.mp = 0;
      },
    ),
  );
  world.transfer('client', 10_000);
  const [one, repeat] = world.packets(
    'client',
    (s, p) => isData(s, p) && s.dsnLo === (lost as Packet).segment.dsnLo,
  );
  assert.equal(one, lost);
  // Acknowledged after 20 ms; a round trip and its variation later.
  const sinceMs = repeat.at - one.at;
  assert.ok(sinceMs >= 40 && sinceMs < 100, `${sinceMs} ms`);
  world.finish();
});
