// The name of a network, from routing tables as Linux prints them, and that the host is given it.

import assert from 'node:assert/strict';
import { endianness } from 'node:os';
import { test } from 'node:test';
import { describeAddress, type LocalAddress } from '../../src/api/addresses.ts';
import { Driver } from '../../src/api/driver.ts';
import { networkName, type TableReader } from '../../src/api/gateways.ts';
import { Network } from '../../src/api/network.ts';
import { Host } from '../../src/host/index.ts';

const local = (address: string, device: string) => describeAddress(address, device) as LocalAddress;

/** An IPv4 address as the kernel prints it: a number of the machine. */
function kernelHex(address: string): string {
  const bytes = Buffer.from(address.split('.').map(Number));
  return (endianness() === 'LE' ? bytes.reverse() : bytes).toString('hex').toUpperCase();
}

const ROUTE_HEAD = 'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT';
const route = (device: string, to: string, gateway: string, flags: string, metric: number, mask: string) =>
  [device, kernelHex(to), kernelHex(gateway), flags, 0, 0, metric, kernelHex(mask), 0, 0, 0].join('\t');

const IPV4 = [
  ROUTE_HEAD,
  route('wlan0', '0.0.0.0', '192.168.1.254', '0003', 600, '0.0.0.0'),
  route('wlan0', '0.0.0.0', '192.168.1.1', '0003', 100, '0.0.0.0'),
  route('wlan0', '192.168.1.0', '0.0.0.0', '0001', 0, '255.255.255.0'),
  // Half of everything, as tunnels have it, is no default route; nor is one without a router.
  route('tun0', '0.0.0.0', '10.8.0.1', '0003', 0, '128.0.0.0'),
  route('ppp0', '0.0.0.0', '0.0.0.0', '0001', 0, '0.0.0.0'),
  '',
].join('\n');

const NONE = '00000000000000000000000000000000';
const IPV6 = [
  `20010db8000000000000000000000000 40 ${NONE} 00 ${NONE} 00000100 00000001 00000000 00000001    wlan0`,
  `${NONE} 00 ${NONE} 00 fe800000000000000000000000000002 00000800 00000003 00000000 00000003    wlan0`,
  `${NONE} 00 ${NONE} 00 fe800000000000000000000000000001 00000400 00000003 00000000 00000003    wlan0`,
  `${NONE} 00 ${NONE} 00 ${NONE} ffffffff 00000001 00000000 00200200       lo`,
].join('\n');

const read: TableReader = name => (name === 'route' ? IPV4 : IPV6);

test('a network is the device and the router of its best default route', () => {
  assert.equal(networkName(local('192.168.1.5', 'wlan0'), read), 'wlan0 via 192.168.1.1');
  assert.equal(networkName(local('2001:db8::5', 'wlan0'), read), 'wlan0 via fe80::1');
});

test('without a router, or without tables, it has no name', () => {
  for (const [address, device] of [
    ['10.8.0.5', 'tun0'],
    ['100.64.0.9', 'ppp0'],
    ['127.0.0.1', 'lo'],
    ['::1', 'lo'],
    ['192.168.1.5', 'eth7'],
  ]) {
    assert.equal(networkName(local(address, device), read), undefined, device);
  }
  for (const text of [
    '',
    'nonsense',
    ROUTE_HEAD,
    `wlan0\t00000000\tZZ\t0003\t0\t0\t0\t00000000`,
    `${NONE} 00`,
  ]) {
    assert.equal(
      networkName(local('192.168.1.5', 'wlan0'), () => text),
      undefined,
    );
    assert.equal(
      networkName(local('2001:db8::5', 'wlan0'), () => text),
      undefined,
    );
  }
});

test('the host is told the name, and takes the prefix where there is none', () => {
  const entropy = {
    randomBytes: (into: Uint8Array) => void into.fill(7),
    sha256: () => new Uint8Array(32),
    hmacSha256: () => new Uint8Array(32),
  };
  const driver = new Driver(new Host({ entropy, externalPorts: true }));
  const addresses = [local('127.0.0.1', 'wlan0'), local('127.0.1.1', 'eth0')];
  const network = new Network({
    driver,
    addresses: () => addresses,
    nameNetwork: ({ device }) => (device === 'wlan0' ? 'wlan0 via 127.0.0.254' : undefined),
  });
  const nameOf = (address: string) => driver.host.interfaceOf(network.interfaceFor(address).id)?.network;
  assert.equal(nameOf('127.0.0.1'), 'wlan0 via 127.0.0.254');
  assert.equal(nameOf('127.0.1.1'), '127.0.1.0/24');
  assert.equal(nameOf('127.0.2.1'), '127.0.2.0/24', 'an address that is not listed');
});
