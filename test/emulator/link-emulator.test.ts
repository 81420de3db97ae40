// The emulator in real time, between two hosts of ours; test/interop has kernels at its ends.

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { EmulatedPath } from '../../src/emulator/emulated-path.ts';
import { HostEnd, LinkEmulator } from '../../src/emulator/link-emulator.ts';
import { type MiddleboxPlan, type PathOptions, Random } from '../../src/netmodel/index.ts';
import { Flag, verifyChecksum } from '../../src/wire/index.ts';
import { OurHost } from '../interop/our-host.ts';
import { packet } from '../sim/packets.ts';

const CLIENT = '10.1.0.1';
const SERVER = '10.2.0.1';
const TIMEOUT = { timeout: 20_000 };

interface Pair {
  readonly emulator: LinkEmulator;
  readonly client: OurHost;
  readonly server: OurHost;
  readonly interfaceId: number;
}

function pair(t: TestContext, link: PathOptions, middleboxes: MiddleboxPlan[] = []): Pair {
  const near = new HostEnd({ address: CLIENT, mtu: 1500 });
  const far = new HostEnd({ address: SERVER, mtu: 1500 });
  const path = new EmulatedPath({ forward: link, backward: link, middleboxes, random: new Random(1) });
  const emulator = new LinkEmulator({ path, near, far });
  const [client, server] = [new OurHost(), new OurHost()];
  const interfaceId = client.attach(near);
  server.attach(far);
  t.after(() => {
    client.close();
    server.close();
    emulator.close();
  });
  return { emulator, client, server, interfaceId };
}

for (const [title, middleboxes, multipath] of [
  ['Multipath TCP', [], true],
  ['TCP, where a middlebox removes options', [{ type: 'strip', match: {} }], false],
] as [string, MiddleboxPlan[], boolean][]) {
  test(`two hosts exchange a stream: ${title}`, TIMEOUT, async t => {
    const { emulator, client, server, interfaceId } = pair(
      t,
      { rateBitsPerSecond: 50_000_000, delayMs: 5 },
      middleboxes,
    );
    emulator.start();
    const accepted = server.listen({ port: 443 }).accept();
    const startedMs = performance.now();
    const flow = client.connect({ remote: { address: SERVER, port: 443 }, paths: [{ interfaceId }] });
    await flow.connected();
    assert.ok(performance.now() - startedMs >= 10, 'a handshake takes a round trip');
    const [sent, received] = await Promise.all([
      flow.send({ bytes: 500_000, shutdown: true }),
      accepted.then(peer => peer.receive()),
    ]);
    assert.equal(received.sha256, sent.sha256);
    assert.equal(flow.multipath().fallback === null, multipath);
    const { deliveredBytes } = emulator.path.counters('forward');
    assert.ok(deliveredBytes > 500_000 && performance.now() - startedMs >= (500_000 * 8) / 50_000);
  });
}

test('nothing passes before the start', TIMEOUT, async () => {
  const ends = [CLIENT, SERVER].map(address => new HostEnd({ address, mtu: 1500 }));
  const path = new EmulatedPath({ forward: {}, backward: {}, random: new Random(1) });
  const emulator = new LinkEmulator({ path, near: ends[0], far: ends[1] });
  const arrived: number[] = [];
  ends[1].attach({
    packet: (_link, bytes) => arrived.push(bytes[20 + 7]),
    mtuChanged: () => {},
    refused: () => {},
  });
  const send = (seq: number): void => {
    const bytes = packet({ from: CLIENT, to: SERVER, seq });
    ends[0].send(bytes, 0, bytes.length, 0);
  };
  send(1);
  emulator.start();
  send(2);
  send(3);
  while (arrived.length < 2) await new Promise(resolve => setImmediate(resolve));
  emulator.close();
  send(4);
  await new Promise(resolve => setImmediate(resolve));
  assert.deepEqual(arrived, [2, 3]);
});

test('a host end splits what is larger than a segment, and numbers and sums the pieces', () => {
  const end = new HostEnd({ address: CLIENT, mtu: 1500 });
  const pieces: Uint8Array[] = [];
  end.onSend(piece => pieces.push(piece));
  const bytes = packet({ from: CLIENT, to: SERVER, payloadLength: 2500, flags: Flag.ACK | Flag.PSH });
  end.send(bytes, 0, bytes.length, 1000);
  assert.deepEqual(
    pieces.map(piece => piece.length - 40),
    [1000, 1000, 500],
  );
  assert.ok(pieces.every(piece => verifyChecksum(piece, 0, piece.length)));
  const payload = Buffer.concat(pieces.map(piece => piece.subarray(40)));
  assert.deepEqual(payload, Buffer.from(bytes.subarray(40)));
});
