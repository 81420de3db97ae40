// Falling back to TCP, RFC 8684 §3.7: every cause, in both roles, with the stream checked byte for byte and
// both ends knowing of it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FALLBACK_CAUSES } from '../../src/mptcp/index.ts';
import { Ready } from '../../src/tcp/index.ts';
import { DssFlag, Mp, type Segment } from '../../src/wire/index.ts';
import {
  altered,
  bytesOf,
  first,
  has,
  hasData,
  isCapableAck,
  isRst,
  isSyn,
  isSynAck,
  type Rule,
  type Side,
  stripped,
  World,
} from './world.ts';

function bothPlain(world: World): void {
  for (const side of ['client', 'server'] as const) {
    assert.equal(world.peer(side).connection.multipath().active, false, `${side} is still multipath`);
  }
}

/** Both directions, the first from `speaker`, then both at once, then an orderly end. */
function converse(world: World, speaker: Side): void {
  const other = speaker === 'client' ? 'server' : 'client';
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  world.transfer(speaker, 30_000);
  world.transfer(other, 30_000);
  world.transfer(speaker, 30_000);
  const before = { client: world.client.received.length, server: world.server.received.length };
  world.client.send(bytesOf(50_000, before.server), world.now);
  world.server.send(bytesOf(50_000, before.client), world.now);
  world.until(
    'both',
    () =>
      world.client.received.length === before.client + 50_000 &&
      world.server.received.length === before.server + 50_000,
  );
  assert.deepEqual(Uint8Array.from(world.client.received), bytesOf(world.client.received.length));
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(world.server.received.length));
}

const causes: [string, () => Rule, boolean][] = [
  // Name, middlebox, are both ends plain in the end?
  ['options stripped from the SYN', () => stripped(isSyn), true],
  ['options stripped from the SYN/ACK', () => stripped(isSynAck), true],
  ['options stripped from all but SYNs', () => stripped(s => !isSyn(s) && !isSynAck(s)), true],
  [
    'options stripped from the client but on SYNs',
    () => stripped((s, p) => p.from === 'client' && !isSyn(s)),
    true,
  ],
  [
    'options stripped from the server but on SYNs',
    () => stripped((s, p) => p.from === 'server' && !isSynAck(s)),
    true,
  ],
  ['DSS stripped everywhere', () => stripped(s => has(s, Mp.DSS)), true],
  ['DSS stripped from the client', () => stripped((s, p) => p.from === 'client' && has(s, Mp.DSS)), true],
  ['DSS stripped from the server', () => stripped((s, p) => p.from === 'server' && has(s, Mp.DSS)), true],
  ['options stripped from segments with data', () => stripped(s => hasData(s)), true],
  [
    'options stripped from segments without data',
    () => stripped(s => !hasData(s) && !isSyn(s) && !isSynAck(s)),
    true,
  ],
  [
    'MP_CAPABLE of the third ACK stripped',
    () => stripped(s => has(s, Mp.CAPABLE) && s.capableLength >= 20),
    true,
  ],
];

for (const speaker of ['client', 'server'] as const) {
  for (const [name, middlebox, plain] of causes) {
    for (const loss of [false, true]) {
      test(`B2c, C8a, C8c: ${name}, ${speaker} speaks first${loss ? ', some packets lost' : ''}`, () => {
        const world = new World();
        world.rules.push(middlebox());
        let n = 0;
        if (loss) world.rules.push(() => (++n % 11 === 0 ? 'drop' : undefined));
        world.connect();
        converse(world, speaker);
        if (plain) bothPlain(world);
        world.finish();
      });
    }
  }
}

for (const damaged of ['client', 'server'] as const) {
  for (const speaker of ['client', 'server'] as const) {
    test(`B4d, B4g, B5b: payload from the ${damaged} changed on the way, ${speaker} speaks first: MP_FAIL, infinite mapping, TCP`, () => {
      const world = new World({ client: { checksum: true } });
      let hits = 0;
      world.rules.push(
        altered(
          1,
          (s, p) => p.from === damaged && hasData(s) && ++hits === 4,
          (_, payload) => {
            payload[10] ^= 0xff;
          },
        ),
      );
      world.connect();
      world.until(
        'accepted',
        () => world.server.connections.length === 1 && world.client.connection.connected,
      );
      world.transfer(speaker === damaged ? (damaged === 'client' ? 'server' : 'client') : speaker, 2000);
      const to = world.peer(damaged === 'client' ? 'server' : 'client');
      const before = to.received.length;
      const sent = bytesOf(60_000);
      world.peer(damaged).send(sent, world.now);
      world.until('all', () => to.received.length === before + 60_000);
      const got = Uint8Array.from(to.received.slice(before));
      let wrong = 0;
      for (let i = 0; i < sent.length; i++) if (got[i] !== sent[i]) wrong++;
      assert.equal(wrong, 1, 'exactly the byte that the middlebox changed');
      world.run(200);
      bothPlain(world);
      const causesSeen = [world.client, world.server]
        .map(p => p.connection.multipath().fallback?.cause)
        .sort();
      assert.deepEqual(causesSeen, ['checksum', 'mp-fail']);
      assert.equal(world.peer(damaged).connection.multipath().fallback?.seenBy, 'peer');
      const infinite = world.packets(
        damaged,
        s => has(s, Mp.DSS) && (s.dssFlags & DssFlag.MAP) !== 0 && s.dataLength === 0,
      );
      assert.ok(infinite.length > 0, 'no infinite mapping');
      assert.ok(world.packets(damaged, s => has(s, Mp.FAIL)).length > 0, 'MP_FAIL is answered with MP_FAIL');
      world.run(500);
      const quiet = world.log.length;
      world.transfer('client', 1000);
      world.transfer('server', 1000);
      for (let i = 0; i < 12; i++) {
        world.transfer('client', 100);
        world.transfer('server', 100);
        world.run(60);
      }
      const late = world.log.slice(quiet).filter(p => p.segment.mp !== 0);
      assert.ok(late.length <= 20 && world.log.at(-1)?.segment.mp === 0, `${late.length} late options`);
      world.finish();
    });
  }
}

test('B4d, B4g: MP_FAIL lost at first: repeated, both ends plain', () => {
  const world = new World({ client: { checksum: true } });
  world.rules.push(first(2, s => has(s, Mp.FAIL)));
  let hits = 0;
  world.rules.push(
    altered(
      1,
      (s, p) => p.from === 'client' && hasData(s) && ++hits === 3,
      (_, payload) => {
        payload[0] ^= 1;
      },
    ),
  );
  world.connect();
  world.client.send(bytesOf(60_000), world.now);
  world.until('all', () => world.server.received.length === 60_000);
  world.run(100);
  bothPlain(world);
  world.transfer('server', 10_000);
  world.finish();
});

test('B4a, B4b: two subflows, payload changed on one: RST with MP_FAIL there, the stream is whole', () => {
  const world = new World({ paths: 2, client: { checksum: true } });
  world.establish(2);
  world.rules.push(
    altered(
      1,
      (s, p) => p.from === 'client' && p.path === 0 && hasData(s),
      (_, payload) => {
        payload[0] ^= 1;
      },
    ),
  );
  world.client.send(bytesOf(200_000), world.now);
  world.until('all', () => world.server.received.length === 200_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(200_000));
  assert.equal(world.packets('server', s => isRst(s) && has(s, Mp.FAIL)).length, 1);
  assert.equal(world.client.connection.multipath().active, true);
  // Middlebox interference does not pass soon (§3.6): rejoinMaxMs.
  world.run(25_000);
  assert.equal(world.active('client'), 1);
  world.until('joined again', () => world.active('client') === 2, 10_000);
  world.finish();
});

test('B4g: a join that never worked does not keep the only subflow from falling back', () => {
  const world = new World({ paths: 2, client: { checksum: true } });
  world.rules.push(p => (p.path === 1 ? 'drop' : undefined));
  let on = false;
  world.rules.push(
    altered(
      Infinity,
      (s, p) => on && p.from === 'client' && hasData(s),
      (_, payload) => {
        payload[0] ^= 1;
      },
    ),
  );
  world.connect();
  world.transfer('client', 3000);
  world.run(300);
  on = true;
  world.client.send(bytesOf(30_000), world.now);
  world.until('all', () => world.server.received.length === 33_000, 20_000);
  world.run(500);
  bothPlain(world);
  assert.equal(world.client.connection.multipath().subflows.length, 1, 'the join is given up');
  on = false;
  world.transfer('server', 3000);
  world.finish();
});

test('B2a, B2b: data of a joined subflow acknowledged without DATA_ACK: RST, middlebox interference, stream whole', () => {
  const world = new World({ paths: 2, delays: [30, 10] });
  world.rules.push(stripped((s, p) => p.path === 1 && p.from === 'server' && has(s, Mp.DSS) && p.at > 1300));
  world.establish(2);
  world.run(300);
  world.client.send(bytesOf(100_000), world.now);
  world.until('all', () => world.server.received.length === 100_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(100_000));
  const [rst] = world.packets('client', s => isRst(s));
  assert.equal(rst.segment.rstReason, 6);
  world.finish();
});

test('B3a, B3b: a joined subflow whose data loses its options: RST, middlebox interference, stream whole', () => {
  const world = new World({ paths: 2, delays: [30, 10] });
  world.rules.push(stripped((s, p) => p.path === 1 && p.from === 'client' && hasData(s)));
  world.establish(2);
  world.client.send(bytesOf(100_000), world.now);
  world.until('all', () => world.server.received.length === 100_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(100_000));
  assert.equal(world.packets('server', s => isRst(s))[0].segment.rstReason, 6);
  assert.equal(world.client.connection.multipath().active, true);
  world.finish();
});

test('options lost on one of two subflows in the middle of the transfer: stream whole', () => {
  for (const from of ['client', 'server'] as const) {
    const world = new World({ paths: 2, delays: [10, 20], server: { receiveBufferBytes: 200_000 } });
    world.establish(2);
    world.client.send(bytesOf(2_000_000), world.now);
    world.until('some', () => world.server.received.length > 200_000);
    world.rules.push(stripped((_, p) => p.path === 0 && p.from === from));
    world.until('all', () => world.server.received.length === 2_000_000, 120_000);
    assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(2_000_000));
    world.finish();
  }
});

test('B5c: after falling back there are no joins, no ADD_ADDR, and every cause has its advice', () => {
  const world = new World({ paths: 2, advertise: [{ address: '10.9.0.1', port: 999 }] });
  world.rules.push(stripped(s => has(s, Mp.DSS)));
  world.connect();
  converse(world, 'client');
  world.run(5000);
  assert.equal(world.log.filter(p => has(p.segment, Mp.JOIN | Mp.ADD_ADDR)).length, 0);
  const cause = world.client.connection.multipath().fallback?.cause as string;
  assert.ok(FALLBACK_CAUSES[cause].advice.length > 20);
  assert.equal(world.client.notice('fallback').length, 1);
  assert.equal(world.server.notice('fallback').length, 1);
  world.finish();
});

test('close, half-close and abort work after falling back', () => {
  for (const how of ['half', 'close', 'abort'] as const) {
    const world = new World();
    world.rules.push(stripped(s => has(s, Mp.DSS)));
    world.connect();
    converse(world, 'client');
    if (how === 'half') {
      world.client.connection.shutdown(world.now);
      world.until('end', () => world.server.connection.ended);
      world.transfer('server', 20_000);
      world.finish();
    } else if (how === 'close') {
      world.client.connection.close(world.now);
      world.until('end', () => world.server.connection.ended);
      world.server.connection.close(world.now);
      world.untilGone();
    } else {
      world.client.connection.abort(world.now);
      world.until('reset', () => world.server.connection.closed);
      assert.equal(world.server.connection.error, 'ECONNRESET');
      world.untilGone();
    }
  }
});

test('an interface that vanishes ends a connection that fell back', () => {
  const world = new World();
  world.rules.push(stripped(isSynAck));
  world.connect();
  converse(world, 'client');
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.settle();
  assert.equal(world.client.connection.closed, true);
  assert.equal(world.client.connection.error, 'ENETDOWN');
});

test('an infinite mapping with two subflows is refused', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  const isMap = (s: Segment): boolean => has(s, Mp.DSS) && (s.dssFlags & DssFlag.MAP) !== 0;
  world.rules.push(
    altered(
      1,
      (s, p) => p.from === 'client' && p.path === 1 && isMap(s),
      s => {
        s.dataLength = 0;
      },
    ),
  );
  world.client.connection.setBackup(0, true, world.now);
  world.client.send(bytesOf(100_000), world.now);
  world.until('all', () => world.server.received.length === 100_000);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(100_000));
  assert.equal(world.server.connection.multipath().active, true);
  world.finish();
});

test('C3b: the third ACK overtaken by plain data does not look like a middlebox', () => {
  const world = new World();
  world.rules.push(first(1, isCapableAck, { delayMs: 15 }));
  world.server.onConnected = null;
  world.connect();
  world.run(25);
  world.client.send(bytesOf(5000), world.now);
  world.until('all', () => world.server.received.length === 5000);
  assert.equal(world.server.connection.multipath().active, true);
  assert.equal(world.client.connection.multipath().active, true);
  world.finish();
});

test('options from the server vanish under way: bytes it sends twice never become part of the stream', () => {
  // The last bytes of the server have no mapping at the client, so no DATA_ACK either: after a while the
  // server sends them again on the same subflow. Whenever the client speaks, it must not take the two copies
  // for the stream.
  for (const pause of [0, 100, 300, 500, 800, 1200, 2000]) {
    const world = new World();
    world.connect();
    world.until('accepted', () => world.server.connections.length === 1);
    world.transfer('server', 50_000);
    world.run(200);
    const tail = bytesOf(1000, 50_000);
    world.rules.push(stripped((_, p) => p.from === 'server'));
    world.server.send(tail, world.now);
    world.run(pause);
    world.client.send(bytesOf(20_000), world.now);
    world.run(30_000);
    const got = Uint8Array.from(world.client.received);
    assert.ok(got.length <= 51_000, `${pause} ms: ${got.length} bytes, more than were written`);
    assert.deepEqual(got, bytesOf(51_000).subarray(0, got.length), `${pause} ms`);
  }
});

test('options vanish, and a lost segment keeps the rest unacknowledged for long: the stream goes on as TCP all the same', () => {
  for (const speaker of ['client', 'server'] as const) {
    const world = new World();
    world.connect();
    world.until('accepted', () => world.server.connections.length === 1);
    world.transfer(speaker, 50_000);
    world.run(200);
    world.rules.push(stripped(() => true));
    let lost = -1;
    let times = 0;
    // Twice, so that a timeout passes; what follows is there meanwhile, without mappings.
    world.rules.push(({ from, segment }) => {
      if (from !== speaker || !hasData(segment)) return;
      if (lost < 0) lost = segment.seq;
      return segment.seq === lost && ++times <= 2 ? 'drop' : undefined;
    });
    world.transfer(speaker, 50_000);
    assert.equal(times > 2, true);
    world.run(500);
    bothPlain(world);
    world.finish();
  }
});

test('options vanish while nobody speaks: the stream goes on as TCP all the same', () => {
  for (const speaker of ['client', 'server'] as const) {
    for (const length of [1000, 50_000]) {
      const world = new World();
      world.connect();
      world.until('accepted', () => world.server.connections.length === 1);
      world.transfer(speaker, 50_000);
      world.run(5_000);
      world.rules.push(stripped(() => true));
      world.transfer(speaker, length);
      world.run(500);
      bothPlain(world);
      world.finish();
    }
  }
});

test('the DATA_FIN came before the options vanished, and the data after: its end is the end of the stream', () => {
  const world = new World();
  world.connect();
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  world.transfer('client', 50_000);
  // Three segments of the last flight are lost, and come without options: three acknowledgements of data have none
  // either, the client falls back and ends with a FIN while the server still waits for the mappings.
  const rest = bytesOf(20_000, 50_000);
  const lost: number[] = [];
  let sent = 0;
  world.rules.push(({ from, segment }) => {
    if (from !== 'client' || !hasData(segment)) return;
    if (lost.includes(segment.seq)) return { delayMs: 10 * lost.indexOf(segment.seq) };
    if (sent++ % 3 > 0 || lost.length === 3) return;
    lost.push(segment.seq);
    return 'drop';
  });
  world.client.send(rest, world.now, { finish: true });
  world.run(5);
  world.rules.push(stripped(() => true));
  world.until('all', () => world.server.received.length === 70_000);
  world.until('the end', () => (world.server.ready & Ready.END) !== 0);
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(70_000));
  world.server.connection.shutdown(world.now);
  world.untilGone();
});

test('first data without a mapping is acknowledged without DATA_ACK: the sender must not think that options pass', () => {
  // RFC 8684 §3.7: a DATA_ACK is the confirmation that options pass in both directions. A Linux client that got
  // one would go on as multipath, and send again what a plain stream takes for new.
  const world = new World();
  world.rules.push(stripped((s, p) => p.from === 'client' && hasData(s)));
  world.connect();
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  world.client.send(bytesOf(30_000), world.now);
  world.until('all', () => world.server.received.length === 30_000);
  world.run(500);
  assert.deepEqual(
    world.packets('server', s => has(s, Mp.DSS)),
    [],
  );
  assert.equal(world.server.connection.multipath().fallback?.cause, 'data-without-mapping');
  assert.equal(world.client.connection.multipath().fallback?.cause, 'ack-without-data-ack');
  assert.deepEqual(Uint8Array.from(world.server.received), bytesOf(30_000));
  world.finish();
});

test('fallen back, the keepalive of subflows does not end the only path: the one of the application counts', () => {
  const world = new World({ client: { subflowKeepAliveMs: 20_000 }, multipath: { server: false } });
  world.connect();
  world.client.connection.setKeepAlive(true, 60_000, world.now);
  world.until('accepted', () => world.server.connections.length === 1 && world.client.connection.connected);
  world.transfer('client', 1000);
  let dark = true;
  world.rules.push(() => (dark ? 'drop' : undefined));
  world.server.send(bytesOf(5000), world.now);
  const from = world.log.length;
  world.run(45_000);
  const probes = world.log.slice(from).filter(p => p.from === 'client');
  assert.equal(probes.length, 0, 'probes before their time');
  dark = false;
  world.until('the bytes', () => world.client.received.length === 5000);
  world.finish();
});
