import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, createServer, MptcpError, Socket } from '../../src/api/index.ts';
import { connectArguments, listenArguments } from '../../src/api/options.ts';

type Bad = readonly [what: string, code: string, mentions: readonly string[], args: readonly unknown[]];

const BAD_CONNECTS: readonly Bad[] = [
  ['nothing', 'ERR_MISSING_ARGS', ['port'], []],
  ['no port', 'ERR_MISSING_ARGS', ['port'], [{}]],
  ['port too large', 'ERR_SOCKET_BAD_PORT', ['65536', '65535'], [65_536]],
  ['port zero', 'ERR_SOCKET_BAD_PORT', ['0', '1 to'], [{ port: 0 }]],
  ['port negative', 'ERR_SOCKET_BAD_PORT', ['-1'], [-1]],
  ['port fractional', 'ERR_SOCKET_BAD_PORT', ['1.5'], [1.5]],
  ['port true', 'ERR_INVALID_ARG_TYPE', ['port', 'true'], [{ port: true }]],
  ['a pipe', 'ERR_INVALID_ARG_VALUE', ['/tmp/x', 'node:net'], ['/tmp/x']],
  ['a pipe option', 'ERR_INVALID_ARG_VALUE', ['node:net'], [{ path: '/tmp/x' }]],
  ['host 7', 'ERR_OUT_OF_RANGE', ['host', '7'], [{ port: 9, host: 7 }]],
  ['family 5', 'ERR_OUT_OF_RANGE', ['family', '5', '4 or 6'], [{ port: 9, family: 5 }]],
  ['lookup string', 'ERR_INVALID_ARG_TYPE', ['lookup', 'dns.lookup'], [{ port: 9, lookup: 'x' }]],
  ['paths object', 'ERR_INVALID_ARG_TYPE', ['paths', 'array'], [{ port: 9, paths: {} }]],
  ['paths empty', 'ERR_INVALID_ARG_TYPE', ['paths', 'at least one'], [{ port: 9, paths: [] }]],
  ['path string', 'ERR_INVALID_ARG_TYPE', ['paths[0]', 'local'], [{ port: 9, paths: ['wlan0'] }]],
  ['path without local', 'ERR_INVALID_ARG_TYPE', ['paths[0].local'], [{ port: 9, paths: [{}] }]],
  [
    'path backup 1',
    'ERR_OUT_OF_RANGE',
    ['paths[1].backup', '1', 'true or false'],
    [{ port: 9, paths: [{ local: 'lo' }, { local: 'lo', backup: 1 }] }],
  ],
  ['service bulk', 'ERR_INVALID_ARG_VALUE', ['service', 'bulk', 'handover'], [{ port: 9, service: 'bulk' }]],
  [
    'service redundant',
    'ERR_INVALID_ARG_VALUE',
    ['redundant', 'neither stack', 'aggregate'],
    [{ port: 9, service: 'redundant' }],
  ],
  ['path cost', 'ERR_OUT_OF_RANGE', ['cost', '-2'], [{ port: 9, paths: [{ local: 'lo', cost: -2 }] }]],
  [
    'path remote port',
    'ERR_SOCKET_BAD_PORT',
    ['paths[0].remote.port', '70000'],
    [{ port: 9, paths: [{ local: 'lo', remote: { host: '::1', port: 70_000 } }] }],
  ],
  ['mtu 500', 'ERR_OUT_OF_RANGE', ['mtu', '500', '1280'], [{ port: 9, mtu: 500 }]],
  ['multipath yes', 'ERR_INVALID_ARG_TYPE', ['multipath', '"yes"'], [{ port: 9, multipath: 'yes' }]],
  [
    'timeout NaN',
    'ERR_OUT_OF_RANGE',
    ['connectTimeoutMs', 'NaN'],
    [{ port: 9, connectTimeoutMs: Number.NaN }],
  ],
  ['timeout 0', 'ERR_OUT_OF_RANGE', ['connectTimeoutMs', '0'], [{ port: 9, connectTimeoutMs: 0 }]],
  ['idle timeout', 'ERR_INVALID_ARG_TYPE', ['timeout', '"1s"'], [{ port: 9, timeout: '1s' }]],
  ['link quic', 'ERR_MPTCP_UNKNOWN_LINK', ['"quic"', "'udp'", "'tun'"], [{ port: 9, link: 'quic' }]],
  ['tun without paths', 'ERR_INVALID_ARG_VALUE', ['tun', 'paths'], [{ port: 9, link: 'tun', device: 't0' }]],
  [
    'tun without a device',
    'ERR_INVALID_ARG_VALUE',
    ['paths[0]', '10.7.0.2', 'device'],
    [{ port: 9, link: 'tun', paths: [{ local: '10.7.0.2' }] }],
  ],
  [
    'tun with a device as address',
    'ERR_INVALID_ARG_VALUE',
    ['paths[0].local', 'tun0', 'IP address'],
    [{ port: 9, link: 'tun', paths: [{ local: 'tun0' }] }],
  ],
  ['a device over UDP', 'ERR_INVALID_ARG_VALUE', ['device', 'tun0'], [{ port: 9, device: 'tun0' }]],
  ['pcap 1', 'ERR_OUT_OF_RANGE', ['pcap', '1', 'file'], [{ port: 9, pcap: 1 }]],
  ['signal', 'ERR_INVALID_ARG_TYPE', ['signal', 'AbortSignal'], [{ port: 9, signal: {} }]],
  ['localPort', 'ERR_INVALID_ARG_VALUE', ['localPort', '5', 'paths'], [{ port: 9, localPort: 5 }]],
];

const BAD_LISTENS: readonly Bad[] = [
  ['port too large', 'ERR_SOCKET_BAD_PORT', ['65536'], [65_536]],
  ['port text', 'ERR_INVALID_ARG_VALUE', ['"http"', 'node:net'], ['http']],
  ['a handle', 'ERR_INVALID_ARG_VALUE', ['handle'], [{ handle: {} }]],
  ['an fd', 'ERR_INVALID_ARG_VALUE', ['fd', '3'], [{ fd: 3 }]],
  ['backlog', 'ERR_OUT_OF_RANGE', ['backlog', '-1'], [{ port: 9, backlog: -1 }]],
  ['host', 'ERR_INVALID_ARG_TYPE', ['host', 'an object'], [{ port: 9, host: {} }]],
];

const BAD_SERVERS: readonly Bad[] = [
  ['text', 'ERR_INVALID_ARG_TYPE', ['options', '"x"'], ['x']],
  ['advertise text', 'ERR_INVALID_ARG_TYPE', ['advertise', 'array'], [{ advertise: 'x' }]],
  ['advertise entry', 'ERR_INVALID_ARG_TYPE', ['advertise[0].host'], [{ advertise: [{}] }]],
  ['advertise port', 'ERR_SOCKET_BAD_PORT', ['advertise[0].port'], [{ advertise: [{ host: 'a', port: 0 }] }]],
  ['mtu', 'ERR_OUT_OF_RANGE', ['mtu', '100'], [{ mtu: 100 }]],
  ['checksum', 'ERR_OUT_OF_RANGE', ['checksum', '1'], [{ checksum: 1 }]],
];

function assertThrows([what, code, mentions, args]: Bad, call: (...args: never[]) => unknown): void {
  assert.throws(
    () => (call as (...args: unknown[]) => unknown)(...args),
    (error: unknown) => {
      assert.ok(error instanceof MptcpError, what);
      assert.equal(error.code, code, what);
      for (const mention of mentions) assert.ok(error.message.includes(mention), `${what}: ${error.message}`);
      return true;
    },
  );
}

test('connect refuses what it cannot mean, naming value and remedy', () => {
  for (const bad of BAD_CONNECTS) assertThrows(bad, connect);
});

test('a socket whose connect threw can be connected properly', () => {
  const socket = new Socket();
  assert.throws(() => socket.connect(70_000));
  assert.equal(socket.connecting, false);
  assert.equal(socket.pending, true);
});

test('listen refuses what it cannot mean', () => {
  for (const bad of BAD_LISTENS)
    assertThrows(bad, (...args: never[]) => createServer().listen(...(args as [])));
});

test('createServer refuses what it cannot mean', () => {
  for (const bad of BAD_SERVERS) assertThrows(bad, createServer);
});

test('the argument forms of connect', () => {
  const callback = () => {};
  assert.deepEqual(connectArguments([80]), { options: { port: 80 }, listener: undefined });
  assert.deepEqual(connectArguments(['80', callback]), { options: { port: 80 }, listener: callback });
  assert.deepEqual(connectArguments([80, 'h', callback]), {
    ...{ options: { port: 80, host: 'h' }, listener: callback },
  });
  const options = { port: 80, host: 'h', path: null, anything: 'else' };
  assert.deepEqual(connectArguments([options, callback]), { options, listener: callback });
  assert.deepEqual(connectArguments([{ port: 80, localAddress: '127.0.0.1' }]).options.paths, [
    { local: '127.0.0.1' },
  ]);
});

test('the argument forms of listen', () => {
  const callback = () => {};
  const plain = { options: { port: 0 }, listener: undefined };
  for (const args of [[], [null], [undefined], [{}], [0], ['0']])
    assert.deepEqual(listenArguments(args), plain);
  assert.deepEqual(listenArguments([callback]), { options: { port: 0 }, listener: callback });
  assert.deepEqual(listenArguments([8, 'h', 5, callback]), {
    ...{ options: { port: 8, host: 'h', backlog: 5 }, listener: callback },
  });
  assert.deepEqual(listenArguments([8, 5]), { options: { port: 8, backlog: 5 }, listener: undefined });
  assert.deepEqual(listenArguments([{ port: 8, host: 'h', ipv6Only: true }, callback]), {
    ...{ options: { port: 8, host: 'h', ipv6Only: true }, listener: callback },
  });
});
