// Addresses that come and go, over a list the test holds.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeAddress, type LocalAddress } from '../../src/api/addresses.ts';
import { Driver } from '../../src/api/driver.ts';
import { ListeningPorts } from '../../src/api/listening-ports.ts';
import { Network } from '../../src/api/network.ts';
import { Host } from '../../src/host/index.ts';

function networkOf(...addresses: string[]) {
  const entropy = {
    randomBytes: (into: Uint8Array) => void into.fill(7),
    sha256: () => new Uint8Array(32),
    hmacSha256: () => new Uint8Array(32),
  };
  const driver = new Driver(new Host({ entropy, externalPorts: true }));
  const list = { now: addresses };
  const network = new Network({
    driver,
    addresses: () => list.now.map(address => describeAddress(address, 'lo') as LocalAddress),
  });
  const events: string[] = [];
  const observer = {
    addressAppeared: ({ address }: LocalAddress) => void events.push(`+${address}`),
    addressVanished: ({ address }: LocalAddress) => void events.push(`-${address}`),
  };
  return { driver, network, list, events, observer };
}

test('addresses that appear and vanish are told, once each', () => {
  const { network, list, events, observer } = networkOf('127.0.0.1', '127.0.0.2');
  network.observe(observer);
  network.refresh();
  list.now = ['127.0.0.1', '127.0.0.3'];
  network.refresh();
  network.refresh();
  assert.deepEqual(events, ['-127.0.0.2', '+127.0.0.3']);
  network.unobserve(observer);
});

test('the interface of an address that vanished is gone with its sockets', async () => {
  const { network, list, observer } = networkOf('127.0.0.1');
  network.observe(observer);
  const first = network.interfaceFor('127.0.0.1');
  assert.equal(network.interfaceFor('127.0.0.1'), first);
  await first.link.openListener(0);
  assert.equal(network.openPorts, 1);
  list.now = [];
  network.refresh();
  assert.equal(first.link.openPorts, 0);
  assert.equal(network.interfaceById(first.id), undefined);
  list.now = ['127.0.0.1'];
  network.refresh();
  assert.notEqual(network.interfaceFor('127.0.0.1').id, first.id);
  network.unobserve(observer);
});

test('an address in use that was never listed does not vanish', () => {
  const { network, events, observer } = networkOf('127.0.0.1');
  network.observe(observer);
  const unlisted = network.interfaceFor('127.0.0.77');
  network.refresh();
  assert.deepEqual(events, []);
  assert.equal(network.interfaceById(unlisted.id), unlisted);
  network.unobserve(observer);
});

test('a server that listens everywhere listens on an address that appears', async () => {
  const { driver, network, list } = networkOf('127.0.0.1');
  const ports = new ListeningPorts({ stack: { driver, network }, port: 0, first: [], accepts: () => true });
  await ports.open();
  assert.equal(network.openPorts, 1);
  list.now = ['127.0.0.1', '127.0.0.2'];
  network.refresh();
  await new Promise<void>(resolve => setImmediate(resolve));
  assert.equal(network.openPorts, 2);
  assert.equal(network.interfaceFor('127.0.0.2').link.openPorts, 1);
  ports.close();
  assert.equal(network.openPorts, 0);
});

test('port 0 is one port that is free on all addresses, and a port that is not is an error', async () => {
  const one = networkOf('127.0.0.1', '127.0.0.2', '127.0.0.3');
  const open = (port: number) => new ListeningPorts({ stack: one, port, first: [], accepts: () => true });
  const first = open(0);
  await first.open();
  assert.ok(first.port > 0);
  assert.equal(one.network.openPorts, 3);
  const second = open(first.port);
  await assert.rejects(second.open(), { code: 'EADDRINUSE' });
  assert.equal(one.network.openPorts, 3);
  first.close();
  assert.equal(one.network.openPorts, 0);
});
