// What the kernel as a router says with ICMP: that a packet was too big for the next link, that there is no way, that
// nobody listens.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { skip, withBed } from './bed.ts';

const MIB = 1024 * 1024;

for (const family of [4, 6] as const) {
  for (const offload of [true, false]) {
    describe(`IPv${family}, ${offload ? 'with' : 'without'} offload`, { skip }, () => {
      test('a narrow link on the way: packets become smaller, and everything arrives', () =>
        withBed({ offload, farMtu: 1300 }, async bed => {
          assert.ok(bed.far);
          // The far end knows only its own link: its handshake would already tell us, were it not for this.
          const server = await bed.far.listen({ address: family === 4 ? '0.0.0.0' : '::' });
          const accepted = server.accept();
          let told = 0;
          bed.middlebox = (outbound, bytes, offset) => {
            const protocol = bytes[offset] >> 4 === 4 ? bytes[offset + 9] : bytes[offset + 6];
            if (!outbound && (protocol === 1 || protocol === 58)) told++;
            if (!outbound && protocol === 6) raiseMss(bytes, offset);
            return true;
          };
          const flow = bed.ours.connect({
            remote: { address: bed.farAddress(family), port: server.port },
            paths: [{ interfaceId: bed.interfaces(family)[0] }],
          });
          await flow.connected();
          const socket = await accepted;
          const [sent, received] = await Promise.all([
            flow.send({ bytes: 2 * MIB, shutdown: true }),
            socket.receive(),
          ]);
          assert.equal(received.sha256, sent.sha256);
          assert.ok(told > 0, 'no ICMP error came: the test tests nothing');
          assert.equal(bed.ours.host.counters.TCPTimeouts, 0);
          const back = await Promise.all([socket.send({ bytes: MIB, shutdown: true }), flow.receive()]);
          assert.equal(back[1].sha256, back[0].sha256);
        }));
    });
  }

  describe(`IPv${family}, attempts`, { skip }, () => {
    test('no way there: not given up at once, and then with the reason', () =>
      withBed({ config: { synRetries: 1, rtoInitialMs: 200 } }, async bed => {
        const target = family === 4 ? '10.99.0.1' : 'fd99::1';
        bed.ip(`${family === 4 ? '-4' : '-6'} route add unreachable ${target}`);
        await bed.kernel.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
        const started = performance.now();
        const flow = bed.ours.connect({
          remote: { address: target, port: 80 },
          paths: [{ interfaceId: bed.interfaces(family)[0] }],
        });
        assert.equal(await flow.closed(), 'EHOSTUNREACH');
        assert.ok(performance.now() - started > 300);
      }));
  });
}

/** Says in a SYN/ACK that the far end takes full-size segments, as a far end behind the narrow link would. */
function raiseMss(bytes: Uint8Array, offset: number): void {
  const tcp = offset + (bytes[offset] >> 4 === 4 ? 20 : 40);
  if ((bytes[tcp + 13] & 2) === 0) return;
  // Linux writes the segment size first.
  assert.equal(bytes[tcp + 20], 2);
  bytes[tcp + 22] = 1440 >> 8;
  bytes[tcp + 23] = 1440 & 255;
}
