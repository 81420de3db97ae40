// Connections between our stack and the kernel's over one path: both roles, IPv4 and IPv6, with DSS checksums and
// without, either side speaking first.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';
import { connectPair, handshakeCounters, ROLES } from './cell.ts';

const MIB = 1024 * 1024;

for (const role of ROLES) {
  describe(role, { skip }, () => {
    for (const family of [4, 6] as const) {
      for (const checksum of [false, true]) {
        test(`IPv${family}, checksum ${checksum ? 'on' : 'off'}: 1 MiB there and back`, () =>
          withBed({ config: { checksum } }, async bed => {
            const { flow, socket } = await connectPair(bed, { role, family });
            const echo = socket.echo();
            const sending = flow.send({ bytes: MIB, shutdown: true });
            const received = await flow.receive();
            assert.equal(received.sha256, (await sending).sha256);
            assert.equal((await echo).bytes, MIB);
            const info = await socket.info();
            assert.deepEqual([info.mptcp, info.checksum], [true, checksum]);
            assert.equal(flow.multipath().fallback, null);
            await bed.assertCounters(handshakeCounters(role));
            assert.equal(await flow.closed(), null);
          }));
      }
    }

    test('C6g: the kernel asks for checksums: they are used', () =>
      withBed({ sysctls: { 'net.mptcp.checksum_enabled': 1 } }, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const echo = socket.echo();
        const sending = flow.send({ bytes: MIB, shutdown: true });
        const received = await flow.receive();
        assert.equal(received.sha256, (await sending).sha256);
        await echo;
        assert.equal((await socket.info()).checksum, true);
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('C3d: the server speaks first', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const [server, client] = role === 'our client' ? [socket, flow] : [flow, socket];
        const greeting = await server.send({ bytes: 3000 });
        assert.equal((await client.receive({ bytes: 3000 })).sha256, greeting.sha256);
        const answer = await client.send({ bytes: 5000, shutdown: true });
        assert.equal((await server.receive()).sha256, answer.sha256);
        server.shutdown();
        assert.equal((await client.receive()).bytes, 0);
        assert.equal(await flow.closed(), null);
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('a connection on which nobody says anything ends in order', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        flow.shutdown();
        assert.deepEqual(await socket.receive().then(({ bytes, ended }) => ({ bytes, ended })), {
          bytes: 0,
          ended: true,
        });
        await socket.close();
        assert.equal(await flow.closed(), null);
        await bed.assertCounters(handshakeCounters(role));
      }));

    test('one byte, and the end from the kernel', () =>
      withBed({}, async bed => {
        const { flow, socket } = await connectPair(bed, { role });
        const sent = await socket.send({ bytes: 1, shutdown: true });
        assert.equal((await flow.receive()).sha256, sent.sha256);
        flow.shutdown();
        assert.equal((await socket.receive()).ended, true);
        assert.equal(await flow.closed(), null);
        await bed.assertCounters(handshakeCounters(role));
      }));
  });
}
