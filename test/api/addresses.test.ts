import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  checkDevices,
  describeAddress,
  type LocalAddress,
  leadAlike,
  PathPlan,
} from '../../src/api/addresses.ts';
import { interleaveFamilies } from '../../src/api/dial.ts';

const local = (address: string, device: string): LocalAddress => {
  const described = describeAddress(address, device);
  assert.ok(described);
  return described;
};

const MACHINE = [
  local('127.0.0.1', 'lo'),
  local('::1', 'lo'),
  local('192.0.2.10', 'wlan0'),
  local('2001:db8:1::10', 'wlan0'),
  local('2001:db8:1::beef', 'wlan0'),
  local('fe80::1', 'wlan0'),
  local('198.51.100.7', 'wwan0'),
  local('169.254.3.4', 'eth9'),
];

const pathsTo = (remote: string, specs?: ConstructorParameters<typeof PathPlan>[0]) =>
  new PathPlan(specs, { address: remote, port: 443 }).paths(MACHINE);

test('by default every address of the family that is neither loopback nor link-local is a path', () => {
  assert.deepEqual(
    pathsTo('203.0.113.1').map(({ address, name, backup, remote }) => [address, name, backup, remote]),
    [
      ['192.0.2.10', 'wlan0', false, undefined],
      ['198.51.100.7', 'wwan0', false, undefined],
    ],
  );
});

test('of the IPv6 addresses of one device in one /64 the first is a path', () => {
  assert.deepEqual(
    pathsTo('2001:db8:9::1').map(path => path.address),
    ['2001:db8:1::10'],
  );
});

test('loopback addresses are paths to loopback peers, and nothing else is', () => {
  assert.deepEqual(
    pathsTo('127.0.0.5').map(path => path.address),
    ['127.0.0.1'],
  );
  assert.deepEqual(
    pathsTo('::1').map(path => path.address),
    ['::1'],
  );
});

test('named paths keep their order, but a backup does not come first', () => {
  const specs = [
    { local: 'wwan0', backup: true, cost: 7 },
    { local: '192.0.2.10', name: 'home' },
  ];
  assert.deepEqual(
    pathsTo('203.0.113.1', specs).map(({ address, name, backup, cost }) => [address, name, backup, cost]),
    [
      ['192.0.2.10', 'home', false, 0],
      ['198.51.100.7', 'wwan0', true, 7],
    ],
  );
});

test('a device gives its address of the family of the remote, which each path may have of its own', () => {
  const specs = [{ local: 'wlan0' }, { local: 'wlan0', remote: { address: '2001:db8:9::1', port: 1 } }];
  assert.deepEqual(
    pathsTo('203.0.113.1', specs).map(({ address, remote }) => [address, remote]),
    [
      ['192.0.2.10', undefined],
      ['2001:db8:1::10', { address: '2001:db8:9::1', port: 1 }],
    ],
  );
});

test('an address that is not listed is taken at its word; one of the other family is no path', () => {
  assert.deepEqual(
    pathsTo('127.0.0.1', [{ local: '127.0.0.2' }, { local: '::1' }]).map(path => path.address),
    ['127.0.0.2'],
  );
});

test('an address that appears makes the paths it was named for', () => {
  const plan = new PathPlan([{ local: 'wwan0' }], { address: '203.0.113.1', port: 443 });
  const appeared = local('198.51.100.8', 'wwan0');
  assert.deepEqual(plan.pathsOver(appeared, [...MACHINE.slice(0, 6), appeared])[0]?.address, '198.51.100.8');
  assert.deepEqual(plan.pathsOver(local('192.0.2.11', 'wlan0'), MACHINE), []);
});

test('a device this machine does not have is an error that names those it has', () => {
  assert.throws(() => checkDevices([{ local: 'wlan7' }], MACHINE), {
    code: 'ERR_MPTCP_UNKNOWN_INTERFACE',
    message: /"wlan7".*wlan0.*wwan0/,
  });
  checkDevices([{ local: 'wlan0' }, { local: '203.0.113.99' }], MACHINE);
});

test('a link-local IPv6 address has its zone', () => {
  assert.equal(local('fe80::1', 'wlan0').address, 'fe80::1%wlan0');
  assert.equal(describeAddress('not an address', 'lo'), undefined);
});

test('addresses of one /64 lead alike', () => {
  assert.ok(leadAlike('2001:db8:1::10', '2001:db8:1:0:ffff::1'));
  assert.ok(!leadAlike('2001:db8:1::10', '2001:db8:2::10'));
  assert.ok(!leadAlike('192.0.2.1', '192.0.2.2'));
});

test('RFC 8305 §4: families take turns, beginning with that of the first address', () => {
  const target = (address: string) => ({
    address,
    family: address.includes(':') ? (6 as const) : (4 as const),
    port: 1,
  });
  const order = interleaveFamilies(['2001:db8::1', '2001:db8::2', '192.0.2.1', '2001:db8::3'].map(target));
  assert.deepEqual(
    order.map(({ address }) => address),
    ['2001:db8::1', '192.0.2.1', '2001:db8::2', '2001:db8::3'],
  );
});

test('handover: what is not first is a backup, whichever is first, and whatever appears later', () => {
  const plan = new PathPlan(undefined, { address: '203.0.113.1', port: 443 }, { handover: true });
  const paths = plan.paths(MACHINE);
  const ends = (first: number) =>
    plan.beginningWith(paths[first], paths).map(({ address, backup }) => [address, backup]);
  assert.deepEqual(ends(0), [
    ['192.0.2.10', false],
    ['198.51.100.7', true],
  ]);
  assert.deepEqual(ends(1), [
    ['198.51.100.7', false],
    ['192.0.2.10', true],
  ]);
  assert.deepEqual(
    plan.pathsOver(MACHINE[2], MACHINE).map(({ backup }) => backup),
    [true],
  );
});
