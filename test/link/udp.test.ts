import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { type Link, type LinkSink, UdpLink, type UdpLinkOptions } from '../../src/link/index.ts';
import { Flag } from '../../src/wire/index.ts';
import { contentsOf, packet } from './packets.ts';

/** A link that is closed with the test, and what arrives on it. */
function openLink(t: TestContext, options: UdpLinkOptions) {
  const link = new UdpLink(options);
  // The link's sockets keep no process alive; the test has to.
  const alive = setInterval(() => {}, 1 << 30);
  t.after(() => {
    clearInterval(alive);
    link.close();
  });
  const packets: Uint8Array[] = [];
  const waiting: { count: number; resolve: () => void }[] = [];
  const refusals: number[] = [];
  let refused = () => {};
  const sink: LinkSink = {
    packet: (_link: Link, bytes: Uint8Array, offset: number, length: number) => {
      packets.push(bytes.slice(offset, offset + length));
      for (const waiter of waiting) if (packets.length >= waiter.count) waiter.resolve();
    },
    mtuChanged: () => {},
    refused: (_link, port) => {
      refusals.push(port);
      refused();
    },
  };
  link.attach(sink);
  const arrived = (count: number) =>
    new Promise<void>(resolve => {
      if (packets.length >= count) resolve();
      else waiting.push({ count, resolve });
    });
  const refusal = () => new Promise<void>(resolve => (refused = resolve));
  return { link, packets, arrived, refusals, refusal };
}

for (const address of ['127.0.0.1', '::1']) {
  test(`a packet and its answer cross unchanged (${address})`, async t => {
    const client = openLink(t, { address });
    const server = openLink(t, { address });
    const serverPort = await server.link.openListener(0);
    const clientPort = await client.link.openFlow({ address, port: serverPort });
    const there = packet({
      ...{ src: address, dst: address, srcPort: clientPort, dstPort: serverPort },
      ...{ seq: 0xfffffff0, ack: 0x80000001, flags: Flag.ACK | Flag.PSH, payload: Buffer.from('hello') },
    });
    client.link.send(there, 0, there.length, 1000);
    await server.arrived(1);
    assert.deepEqual(contentsOf(server.packets[0]), contentsOf(there));
    const back = packet({
      ...{ src: address, dst: address, srcPort: serverPort, dstPort: clientPort, seq: 5 },
    });
    server.link.send(back, 0, back.length, 0);
    await client.arrived(1);
    assert.deepEqual(contentsOf(client.packets[0]), contentsOf(back));
  });
}

test('a super-segment leaves in pieces no larger than the segment size, its end marked once', async t => {
  const address = '127.0.0.1';
  const client = openLink(t, { address });
  const server = openLink(t, { address });
  const serverPort = await server.link.openListener(0);
  const clientPort = await client.link.openFlow({ address, port: serverPort });
  const payload = Buffer.from(Array.from({ length: 4000 }, (_, i) => (i * 7) & 255));
  const big = packet({
    ...{ src: address, dst: address, srcPort: clientPort, dstPort: serverPort, payload },
    ...{ seq: 0xffffff00, flags: Flag.ACK | Flag.PSH | Flag.FIN },
  });
  client.link.send(big, 0, big.length, 1348);
  await server.arrived(3);
  const pieces = server.packets.map(contentsOf);
  assert.deepEqual(
    pieces.map(p => p['seq']),
    [0xffffff00, (0xffffff00 + 1348) >>> 0, (0xffffff00 + 2696) >>> 0],
  );
  assert.deepEqual(
    pieces.map(p => p['flags']),
    [Flag.ACK, Flag.ACK, Flag.ACK | Flag.PSH | Flag.FIN],
  );
  assert.equal(pieces.map(p => p['payload']).join(''), payload.toString('hex'));
  for (const piece of server.packets) assert.ok(piece.length <= 1400, `piece of ${piece.length} bytes`);
});

test('answers go to the address observed, one listener for many peers', async t => {
  const server = openLink(t, { address: '127.0.0.1' });
  const serverPort = await server.link.openListener(0);
  const peers = ['127.0.0.2', '127.0.0.3', '127.0.0.4'].map(address => openLink(t, { address }));
  for (const [i, { link, arrived }] of peers.entries()) {
    const port = await link.openFlow({ address: '127.0.0.1', port: serverPort });
    const there = packet({ src: link.address, dst: '127.0.0.1', srcPort: port, dstPort: serverPort, seq: i });
    link.send(there, 0, there.length, 1000);
    await server.arrived(i + 1);
    const back = packet({ src: '127.0.0.1', dst: link.address, srcPort: serverPort, dstPort: port, seq: i });
    server.link.send(back, 0, back.length, 1000);
    await arrived(1);
    assert.deepEqual(contentsOf(peers[i].packets[0]), contentsOf(back));
  }
});

test('what is no TCP-in-UDP is dropped and counted', async t => {
  const server = openLink(t, { address: '127.0.0.1' });
  const serverPort = await server.link.openListener(0);
  const stranger = createSocket('udp4');
  t.after(() => stranger.close());
  const good = Buffer.from([0x50, Flag.SYN, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0]);
  const bad = [
    Buffer.alloc(0),
    Buffer.from('short'),
    Buffer.from([0x40, ...good.subarray(1)]),
    Buffer.from([0xf0, ...good.subarray(1)]),
    Buffer.from([0x50, Flag.URG, ...good.subarray(2)]),
  ];
  for (const datagram of [...bad, good]) {
    await new Promise(done => stranger.send(datagram, serverPort, '127.0.0.1', done));
  }
  await server.arrived(1);
  assert.equal(server.link.counters['malformed'], bad.length);
  assert.equal(contentsOf(server.packets[0])['seq'], 1);
});

test('a packet from a port that is not open, or to another peer than the flow has, goes nowhere', async t => {
  const address = '127.0.0.1';
  const client = openLink(t, { address });
  const server = openLink(t, { address });
  const serverPort = await server.link.openListener(0);
  const clientPort = await client.link.openFlow({ address, port: serverPort });
  const stray = [
    packet({ src: address, dst: address, srcPort: (clientPort % 65_535) + 1, dstPort: serverPort }),
    packet({ src: address, dst: address, srcPort: clientPort, dstPort: (serverPort % 65_535) + 1 }),
    packet({ src: address, dst: '127.0.0.9', srcPort: clientPort, dstPort: serverPort }),
    packet({ src: address, dst: address, srcPort: clientPort, dstPort: 0 }),
  ];
  for (const bytes of stray) client.link.send(bytes, 0, bytes.length, 1000);
  assert.equal(client.link.counters['noSocket'], stray.length);
  assert.equal(client.link.counters['datagramsSent'], 0);
});

test('a released port is free again, and silent', async t => {
  const address = '127.0.0.1';
  const one = openLink(t, { address });
  const two = openLink(t, { address });
  const port = await one.link.openListener(0);
  await assert.rejects(two.link.openListener(port), { code: 'EADDRINUSE' });
  one.link.releasePort(port);
  assert.equal(one.link.openPorts, 0);
  assert.equal(await two.link.openListener(port), port);
});

test('an address this machine does not have is an error', async t => {
  const { link } = openLink(t, { address: '203.0.113.7' });
  await assert.rejects(link.openListener(0), { code: 'EADDRNOTAVAIL' });
  await assert.rejects(link.openFlow({ address: '203.0.113.8', port: 9 }), { code: 'EADDRNOTAVAIL' });
  assert.equal(link.openPorts, 0);
});

test('a closed link gives a port that was being opened back', async () => {
  const link = new UdpLink({ address: '127.0.0.1' });
  const opening = link.openListener(0);
  link.close();
  await assert.rejects(opening, { code: 'EADDRNOTAVAIL' });
  assert.equal(link.openPorts, 0);
});

test('"port unreachable" is a hint, with the port it is about', async t => {
  const address = '127.0.0.1';
  const nobody = createSocket('udp4').bind(0, address);
  await once(nobody, 'listening');
  const { port } = nobody.address();
  await new Promise<void>(done => nobody.close(done));
  const client = openLink(t, { address });
  const clientPort = await client.link.openFlow({ address, port });
  const syn = packet({ src: address, dst: address, srcPort: clientPort, dstPort: port, flags: Flag.SYN });
  const refusal = client.refusal();
  client.link.send(syn, 0, syn.length, 0);
  await refusal;
  assert.deepEqual(client.refusals, [clientPort]);
  assert.equal(client.link.counters['refused'], 1);
});
