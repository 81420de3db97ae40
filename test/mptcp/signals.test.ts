// ADD_ADDR, REMOVE_ADDR and MP_PRIO, RFC 8684 §3.3.8 and §3.4.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Mp, type Segment } from '../../src/wire/index.ts';
import { altered, first, has, hasData, isRst, isSyn, type Packet, World } from './world.ts';

const isAddAddr = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && !s.addAddrEcho;
const isEcho = (s: Segment): boolean => has(s, Mp.ADD_ADDR) && s.addAddrEcho;
const isJoinSyn = (s: Segment): boolean => isSyn(s) && has(s, Mp.JOIN);
const second = '10.9.0.2';

function advertising(options: { port?: number; address?: string } = {}): World {
  const address = options.address ?? second;
  const { port } = options;
  const advertise = [{ address, ...(port === undefined ? {} : { port }) }];
  return new World({ serverAddresses: ['10.9.0.1', address], advertise });
}

test('A2, A5a: an address is advertised with the HMAC of RFC 8684, echoed once, and joined', () => {
  const world = advertising();
  world.connect();
  world.transfer('client', 1000);
  world.run(500);
  const advert = world.packets('server', isAddAddr);
  assert.equal(advert.length, 1, 'echoed, so not repeated');
  const a = advert[0].segment;
  const keys = world.log.find(p => has(p.segment, Mp.CAPABLE) && p.segment.capableLength >= 20)
    ?.segment as Segment;
  const key = Buffer.alloc(16);
  key.writeUInt32BE(keys.receiverKeyHi, 0);
  key.writeUInt32BE(keys.receiverKeyLo, 4);
  key.writeUInt32BE(keys.senderKeyHi, 8);
  key.writeUInt32BE(keys.senderKeyLo, 12);
  const message = Buffer.from([a.addAddrId, 10, 9, 0, 2, 0, 0]);
  const digest = createHmac('sha256', key).update(message).digest();
  assert.equal(a.addAddrHmacHi, digest.readUInt32BE(24));
  assert.equal(a.addAddrHmacLo, digest.readUInt32BE(28));
  assert.equal(world.packets('client', isEcho).length, 1);
  assert.notEqual(a.addAddrId, 0);
  world.until('joined', () => world.active('client') === 2);
  assert.equal(world.client.connection.multipath().subflows[1].remote.address, second);
  world.transfer('client', 100_000);
  world.finish();
});

test('A3: a wrong HMAC is ignored silently: no echo, no join', () => {
  const world = advertising();
  world.rules.push(
    altered(Infinity, isAddAddr, s => {
      s.addAddrHmacLo = (s.addAddrHmacLo ^ 1) >>> 0;
    }),
  );
  world.connect();
  world.transfer('client', 1000);
  world.run(1000);
  assert.equal(world.packets('client', isEcho).length, 0);
  assert.equal(world.packets('client', isJoinSyn).length, 0);
  assert.equal(world.client.connection.closed, false);
  world.transfer('client', 1000);
  world.finish();
});

test('A5a: ADD_ADDR lost is repeated until echoed; the echo lost, too; each fresh copy is echoed', () => {
  const world = advertising();
  world.rules.push(first(1, isAddAddr), first(1, isEcho));
  world.connect();
  world.transfer('client', 1000);
  world.run(30_000);
  assert.equal(world.packets('server', isAddAddr).length, 3);
  assert.equal(world.packets('client', isEcho).length, 2);
  assert.equal(world.active('client'), 2);
  world.finish();
});

test('A5a, A9b: ADD_ADDR never echoed is given up after a few tries', () => {
  const world = advertising();
  world.rules.push(first(Infinity, isEcho));
  world.connect();
  world.transfer('client', 1000);
  world.run(300_000);
  const count = world.packets('server', isAddAddr).length;
  assert.ok(count >= 3 && count <= 8, `${count} times`);
  world.finish();
});

test('A7: with a port, the join goes to that port; without, to the port in use', () => {
  for (const port of [undefined, 4444]) {
    const world = advertising(port === undefined ? {} : { port });
    world.connect();
    world.transfer('client', 1000);
    world.run(500);
    assert.equal(world.packets('client', isJoinSyn)[0].segment.dstPort, port ?? 8080);
    assert.equal(world.active('client'), 2);
    // The option with a port does not fit beside a DSS: the DATA_ACK must not have been lost by that.
    world.transfer('client', 1000);
    world.run(300);
    assert.equal(world.client.connection.unacknowledgedBytes, 0);
    world.finish();
  }
});

test('A7: IPv6, with and without a port', () => {
  for (const port of [undefined, 4444]) {
    const advertise = [{ address: 'fd00:9::2', ...(port === undefined ? {} : { port }) }];
    const world = new World({ ipVersion: 6, serverAddresses: ['fd00:9::1', 'fd00:9::2'], advertise });
    world.connect();
    world.transfer('client', 1000);
    world.run(500);
    assert.equal(world.active('client'), 2);
    assert.equal(world.client.connection.multipath().subflows[1].remote.address, 'fd00:9::2');
    world.transfer('client', 50_000);
    world.finish();
  }
});

test('A8: an advertised address that refuses is not tried again until it is advertised again', () => {
  // Advertised, but nobody answers there.
  const world = new World({ advertise: [{ address: '10.9.0.77' }] });
  world.connect();
  world.transfer('client', 1000);
  world.run(600_000);
  const syns = world.packets('client', isJoinSyn);
  const attempts = new Set(syns.map(p => p.segment.srcPort)).size;
  assert.equal(attempts, 1, `${attempts} attempts`);
  world.transfer('client', 1000);
  world.finish();
});

test('A6a: several addresses have different ids, and all are joined', () => {
  const advertise = [{ address: second }, { address: '10.9.0.3' }];
  const world = new World({ serverAddresses: ['10.9.0.1', second, '10.9.0.3'], advertise });
  world.connect();
  world.transfer('client', 1000);
  world.run(3000);
  const ids = new Set(world.packets('server', isAddAddr).map(p => p.segment.addAddrId));
  assert.equal(ids.size, 2);
  assert.equal(world.active('client'), 3);
  world.transfer('server', 100_000);
  world.finish();
});

test('G2: ACKs with ADD_ADDR and nothing new are no sign of loss', () => {
  const advertise = [2, 3, 4, 5, 6].map(i => ({ address: `10.9.0.${i}`, port: 5000 + i }));
  const world = new World({ advertise, client: { sack: false } });
  world.establish();
  world.transfer('client', 300_000);
  assert.equal(world.client.host.counters.RetransSegs, 0);
});

test('G3: no more than two ACKs in a row for the sake of ADD_ADDR; all addresses get through', () => {
  const advertise = [2, 3, 4, 5, 6].map(i => ({ address: `10.9.0.${i}`, port: 5000 + i }));
  const world = new World({ advertise });
  world.rules.push(first(1, isAddAddr));
  world.connect();
  world.transfer('client', 1000);
  world.run(20_000);
  const sent = world.packets('server', isAddAddr);
  assert.equal(new Set(sent.map(p => p.segment.addAddrId)).size, 5);
  let row = 0;
  for (const p of world.log) {
    if (p.from === 'server') row = isAddAddr(p.segment) ? row + 1 : 0;
    else row = 0;
    assert.ok(row <= 2, 'more than two in a row');
  }
});

test('X2b, X4a: REMOVE_ADDR of a dead path ends it at the peer after a probe', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.transfer('server', 10_000);
  world.run(200);
  const since = world.log.length;
  world.client.host.removeInterface(world.pathInterface(1), world.now);
  world.run(5000);
  const removal = world.log.slice(since).find(p => has(p.segment, Mp.REMOVE_ADDR)) as Packet;
  assert.equal(removal.path, 0);
  const subflows = world.server.connection.multipath().subflows;
  assert.equal(subflows.length, 1, 'the dead subflow is gone');
  const probes = world.log.slice(since).filter(p => p.from === 'server' && p.path === 1);
  assert.ok(probes.length >= 1 && !isRst(probes[0].segment), 'asked before it was removed');
  world.transfer('server', 50_000);
  world.finish();
});

test('X2b: a path that answers the probe is not removed', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  // Somebody says that address 1 is gone, and it is not so.
  world.rules.push(
    altered(
      1,
      (s, p) => p.from === 'client' && p.path === 0 && !hasData(s) && s.mp === Mp.DSS,
      s => {
        s.mp |= Mp.REMOVE_ADDR;
        s.removeCount = 1;
        s.removeIds[0] = 1;
      },
    ),
  );
  world.transfer('server', 5000);
  world.run(5000);
  assert.ok(world.server.host.counters.RmAddr >= 1);
  assert.equal(world.active('server'), 2);
  assert.equal(world.log.filter(p => isRst(p.segment)).length, 0);
  world.transfer('server', 300_000);
  world.finish();
});

test('X3: REMOVE_ADDR of unknown addresses is ignored silently', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(
    altered(
      1,
      (s, p) => p.from === 'client' && !hasData(s) && s.mp === Mp.DSS,
      s => {
        s.mp |= Mp.REMOVE_ADDR;
        s.removeCount = 3;
        s.removeIds.set([99, 100, 255]);
      },
    ),
  );
  world.transfer('server', 5000);
  world.run(3000);
  assert.equal(world.active('server'), 2);
  assert.equal(world.log.filter(p => isRst(p.segment)).length, 0);
  world.finish();
});

test('REMOVE_ADDR of an address that has gone is said three times, and one of them is enough', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(first(2, s => has(s, Mp.REMOVE_ADDR)));
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.settle();
  world.run(3000);
  const removals = world.packets('client', s => has(s, Mp.REMOVE_ADDR));
  assert.deepEqual(
    removals.map(({ segment }) => Array.from(segment.removeIds.subarray(0, segment.removeCount))),
    [[0], [0], [0]],
  );
  assert.ok(removals[1].at - removals[0].at >= 200, 'a retransmission timeout apart');
  assert.equal(world.active('server'), 1);
  world.transfer('client', 1000);
  world.finish();
});

test('REMOVE_ADDR lost is not the end: the peer finds the dead path itself', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.rules.push(first(Infinity, s => has(s, Mp.REMOVE_ADDR)));
  world.client.host.removeInterface(world.pathInterface(0), world.now);
  world.transfer('server', 200_000);
  world.transfer('client', 200_000);
  world.finish(400_000);
});

for (const side of ['client', 'server'] as const) {
  test(`P1b: MP_PRIO from the ${side} makes a subflow backup for both, and regular again`, () => {
    const world = new World({ paths: 2, delays: [10, 11] });
    world.establish(2);
    const on0 = (since: number): number =>
      world.log.slice(since).filter(p => p.path === 0 && hasData(p.segment)).length;
    world.peer(side).connection.setBackup(0, true, world.now);
    world.run(100);
    assert.equal(world.packets(side, s => has(s, Mp.PRIO) && s.prioBackup).length, 1);
    let since = world.log.length;
    world.transfer('client', 200_000);
    world.transfer('server', 200_000);
    assert.equal(on0(since), 0, 'data on the backup');
    world.peer(side).connection.setBackup(0, false, world.now);
    world.run(100);
    assert.equal(world.packets(side, s => has(s, Mp.PRIO) && !s.prioBackup).length, 1);
    since = world.log.length;
    world.transfer('client', 200_000);
    world.transfer('server', 200_000);
    assert.ok(on0(since) > 0);
    world.finish();
  });
}

test('P1c: MP_PRIO travels on the subflow it speaks of', () => {
  const world = new World({ paths: 2 });
  world.establish(2);
  world.client.connection.setBackup(1, true, world.now);
  world.run(100);
  const [prio] = world.packets('client', s => has(s, Mp.PRIO));
  assert.equal(prio.path, 1);
  assert.equal(world.server.connection.multipath().subflows[1].backup, true);
  assert.equal(world.server.connection.multipath().subflows[0].backup, false);
  world.finish();
});

test('G6: no packet ever has more than 40 bytes of options', () => {
  const advertise = [2, 3, 4].map(i => ({ address: `fd00:9::${i}`, port: 5000 + i }));
  const world = new World({ ipVersion: 6, paths: 2, advertise, client: { checksum: true } });
  world.establish(2);
  let n = 0;
  world.rules.push(p => (hasData(p.segment) && ++n % 7 === 0 ? 'drop' : undefined));
  world.client.connection.setBackup(1, true, world.now);
  world.transfer('client', 100_000);
  world.transfer('server', 100_000);
  for (const p of world.log) {
    const offset = (p.bytes[40 + 12] >> 4) * 4;
    assert.ok(offset <= 60);
    assert.equal(p.segment.badOptions, 0);
  }
  world.finish();
});

test('A2: an IPv6 address is announced whole, word by word, and joined', () => {
  const address = 'fd00:9:1234:5678:9abc:def0:1357:2468';
  const world = new World({
    ipVersion: 6,
    serverAddresses: ['fd00:9::1', address],
    advertise: [{ address }],
  });
  world.connect();
  world.transfer('client', 1000);
  world.until('joined', () => world.active('client') === 2);
  const [{ segment: sent }] = world.packets('server', isAddAddr);
  const [{ segment: echo }] = world.packets('client', isEcho);
  for (const { addAddrFamily, addAddr0, addAddr1, addAddr2, addAddr3 } of [sent, echo]) {
    assert.equal(addAddrFamily, 6);
    const words = [addAddr0, addAddr1, addAddr2, addAddr3].map(word => word >>> 0);
    assert.deepEqual(words, [0xfd000009, 0x12345678, 0x9abcdef0, 0x13572468]);
  }
  assert.equal(world.client.connection.multipath().subflows[1].remote.address, address);
});
