// Linux's sysctls: that each reads what it was set to, refuses what is out of range by name and value, and counts
// for connections to come.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { constants as c, errno, errnoName, Host } from '../../src/host/index.ts';
import { decodePacket, Segment } from '../../src/wire/index.ts';
import { seededEntropy } from '../tcp/peer.ts';
import { SocketWorld } from './socket-world.ts';
import { SYSCTLS_FILE, sysctlsDocument } from './sysctl-table.ts';

/** A value of each kind that is not the default. */
const OTHER: Readonly<Record<string, string>> = {
  'ipv4.tcp_congestion_control': 'reno',
  'ipv4.ip_local_port_range': '10000\t20000',
  'ipv4.tcp_rmem': '4096\t100000\t200000',
  'ipv4.tcp_wmem': '4096\t30000\t300000',
  'ipv4.tcp_fastopen_key': '01234567-89abcdef-01234567-89abcdef',
};

test('docs/api/sysctls.md is the table', () => {
  assert.equal(readFileSync(SYSCTLS_FILE, 'utf8'), sysctlsDocument());
});

test('what is set is read, under either name; nonsense is refused', () => {
  const host = new Host({ entropy: seededEntropy(1) });
  for (const { name, keys, read } of host.sysctls.all) {
    const before = host.sysctls.value(name);
    if (keys.length === 0) {
      host.sysctls.set(name, before);
      assert.throws(() => host.sysctls.set(name, `${before}7`), /use /, name);
      continue;
    }
    const toggled = before === '0' ? '1' : '0';
    const value = OTHER[name] ?? (/^[01]$/.test(before) ? toggled : String(Number(before) - 1));
    host.sysctls.set(`net.${name}`, value);
    assert.equal(host.sysctls.value(name), value, name);
    assert.equal(read(host.config), value);
    for (const nonsense of ['', 'x', '-5', '1.5', '99999999999999']) {
      assert.throws(
        () => host.sysctls.set(name, nonsense),
        (error: Error & { code?: string }) =>
          error.code === 'EINVAL' && error.message.includes(`'${nonsense}'`),
        `${name} ${nonsense}`,
      );
    }
  }
});

test('as in Linux, bits are written in hexadecimal, and those without meaning are kept', () => {
  const { sysctls } = new Host({ entropy: seededEntropy(1) });
  sysctls.set('net.ipv4.tcp_fastopen', '0x70403');
  assert.equal(sysctls.value('net.ipv4.tcp_fastopen'), String(0x70403));
  for (const nonsense of ['0x', '0xg', '-0x1', 'x1'])
    assert.throws(() => sysctls.set('net.ipv4.tcp_fastopen', nonsense), /EINVAL/, nonsense);
});

test('a name that is not there is ENOENT, and says where to look', () => {
  const { sysctls } = new Host({ entropy: seededEntropy(1) });
  assert.throws(
    () => sysctls.value('net.ipv4.tcp_nonsense'),
    /ENOENT.*'net\.ipv4\.tcp_nonsense'.*sysctls\.md/,
  );
  assert.throws(() => sysctls.set('net.ipv4.tcp_nonsense', 1), /ENOENT/);
  assert.equal(sysctls.value('net/ipv4/tcp_syn_retries'), '6');
});

test('they count for connections and listeners, and not for those that run', () => {
  const world = new SocketWorld({ multipath: true });
  const { near } = world.pair();
  const { sysctls } = world.client.host;
  sysctls.set('net.ipv4.tcp_timestamps', 0);
  sysctls.set('net.ipv4.ip_default_ttl', 7);
  sysctls.set('net.ipv4.tcp_keepalive_time', 100);
  sysctls.set('net.mptcp.allow_join_initial_addr_port', 0);
  assert.equal(near.getsockopt(c.SOL_TCP, c.TCP_KEEPIDLE, world.now), 7200);
  const before = world.log.length;
  const other = world.clientSocket();
  assert.equal(other.getsockopt(c.SOL_TCP, c.TCP_KEEPIDLE, world.now), 100);
  other.connect({ address: world.serverAddress, port: 7000 }, world.now);
  world.run(5);
  const syn = new Segment();
  assert.ok(decodePacket(syn, world.log[before].bytes, 0, world.log[before].bytes.length));
  assert.deepEqual([syn.hasTimestamps, syn.ttl, syn.capableFlags & 0x20], [false, 7, 0x20]);
  // A listener that is there already takes the change as well.
  world.server.host.sysctls.set('net.ipv4.tcp_sack', 0);
  const third = world.clientSocket();
  third.connect({ address: world.serverAddress, port: 7000 }, world.now);
  world.run(5);
  assert.equal(third.connection?.firstTcb?.sack, false);
});

test('net.mptcp.enabled 0: no more sockets of Multipath TCP', () => {
  const world = new SocketWorld({ multipath: true });
  world.client.host.sysctls.set('net.mptcp.enabled', 0);
  const refused = world.client.socket(c.AF_INET, c.SOCK_STREAM, c.IPPROTO_MPTCP);
  assert.equal(refused, -errno.ENOPROTOOPT);
  assert.equal(errnoName(Number(refused)), 'ENOPROTOOPT');
});

test('tcp_retries2 is the time that so many timeouts take', () => {
  const host = new Host({ entropy: seededEntropy(1) });
  host.sysctls.set('ipv4.tcp_retries2', 15);
  // Documentation/networking/ip-sysctl.rst: 'The default value of 15 yields a hypothetical timeout of 924.6 seconds'.
  assert.equal(host.config.dataTimeoutMs, 924_600);
});
