// Simultaneous open (RFC 9293 §3.5) of two hosts that both ask for multipath: RFC 8684 has no handshake for
// it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { World } from './world.ts';

for (const multipath of [true, false]) {
  test(`both ends open at once, ${multipath ? 'both ask for multipath' : 'plain'}: one TCP connection`, () => {
    const world = new World();
    const [address] = world.clientAddresses;
    const [other] = world.serverAddresses;
    const interfaceId = world.server.interfaces.get(other) as number;
    const there = world.server.host.connect(
      { remote: { address, port: 7001 }, paths: [{ interfaceId, localPort: 7002 }], multipath },
      world.now,
    );
    world.server.connections.push(there);
    const paths = [{ interfaceId: world.pathInterface(0), localPort: 7001 }];
    world.connect({ remote: { address: other, port: 7002 }, paths, multipath });
    world.until('connected', () => world.client.connection.connected && there.connected, 10_000);
    world.transfer('client', 30_000);
    world.transfer('server', 30_000);
    for (const c of [world.client.connection, there]) assert.equal(c.error, null, c.errorReason);
    assert.equal(world.client.connection.multipath().active, there.multipath().active, 'both agree');
    world.finish();
  });
}
