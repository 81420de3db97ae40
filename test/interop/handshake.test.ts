// The first words between our stack and the kernel's: handshakes, in both roles, with data and without.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';

const MIB = 1024 * 1024;

describe('our client, the kernel as server', { skip }, () => {
  test('1 MiB there and back', () =>
    withBed({}, async bed => {
      const server = await bed.kernel.listen({ address: bed.kernelAddress() });
      const accepted = server.accept();
      const flow = bed.ours.connect({
        remote: { address: bed.kernelAddress(), port: server.port },
        paths: [{ interfaceId: bed.interfaces4[0] }],
      });
      await flow.connected();
      const socket = await accepted;
      const echo = socket.echo();
      const sending = flow.send({ bytes: MIB, shutdown: true });
      const received = await flow.receive();
      const sent = await sending;
      await echo;
      console.log(await socket.info(), flow.multipath(), await bed.moved());
      assert.equal(received.sha256, sent.sha256);
    }));
});
