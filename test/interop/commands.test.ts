// `mptcp tun`: what the commands set up and take down, run inside a namespace, with its kernel as the peer.

import assert from 'node:assert/strict';
import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readCapture, streamOf } from '../cli/capture.ts';
import { Command } from '../cli/process.ts';
import { skip } from './bed.ts';
import { KernelPeer } from './kernel-peer.ts';

const main: string = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const api: string = fileURLToPath(new URL('../../src/api/index.js', import.meta.url));
const DEVICE = 'mt0';

describe('mptcp tun up and down', { skip, timeout: 60_000 }, () => {
  test('a device, its addresses and routes; then our stack talks to the kernel over it', async t => {
    const namespace = makeNamespace(t);
    ip(`-n ${namespace} link set lo up`);
    const { status, stdout, stderr } = mptcp(
      namespace,
      `tun up ${DEVICE} --address 10.7.0.1/24 --address fd07::1/64 --peer 10.7.0.2 --peer 10.9.9.9`,
    );
    assert.deepEqual([status, stderr], [0, '']);
    assert.deepEqual(stdout.split('\n').slice(0, -1), [
      `ip tuntap add dev ${DEVICE} mode tun`,
      `ip link set dev ${DEVICE} mtu 1500 up`,
      `ip address replace 10.7.0.1/24 dev ${DEVICE}`,
      `ip address replace fd07::1/64 dev ${DEVICE} nodad`,
      `ip route replace 10.7.0.2 dev ${DEVICE}`,
      `ip route replace 10.9.9.9 dev ${DEVICE}`,
    ]);
    const kernel = new KernelPeer(namespace);
    t.after(() => kernel.close());
    const listener = await kernel.listen({ address: '10.7.0.1' });
    const accepted = listener.accept();
    const script = `
      const { connect } = await import('${api}');
      const paths = [{ local: '10.9.9.9', device: '${DEVICE}' }];
      const host = '10.7.0.1', port = ${listener.port};
      const socket = connect({ link: 'tun', host, port, paths, allowHalfOpen: true });
      socket.on('connect', () => console.log(socket.localAddress, socket.multipath.active));
      socket.on('data', data => console.log(String(data)));
      socket.end('hello');`;
    const client = new Command(
      t,
      ['-e', script],
      inside(namespace, process.execPath, '--no-warnings', '--input-type=module'),
    );
    const echo = (await accepted).echo();
    const ended = await client.ended;
    assert.equal(ended.stdout.toString(), '10.9.9.9 true\nhello\n', ended.stderr);
    assert.equal((await echo).bytes, 5);

    // The same by the command, in both roles.
    const joined = listener.accept();
    const args = ['connect', '10.7.0.1', String(listener.port), '--tun', DEVICE, '--path', '10.9.9.9'];
    const connector = new Command(t, args, inside(namespace, process.execPath, main));
    connector.child.stdin?.end('good morning');
    const answered = (await joined).echo();
    const spoken = await connector.ended;
    assert.equal(spoken.stdout.toString(), 'good morning', spoken.stderr);
    assert.equal((await answered).bytes, 12);
    const waiting = ['listen', '7000', '10.7.0.2', '--tun', DEVICE];
    const listening = new Command(t, waiting, inside(namespace, process.execPath, main));
    await listening.until(/listening on 10\.7\.0\.2:7000/);
    const socket = await kernel.connect({ address: '10.7.0.2', port: 7000 });
    await socket.send({ bytes: 5000, shutdown: true });
    listening.child.stdin?.end();
    const heard = await listening.ended;
    assert.deepEqual([heard.code, heard.stdout.length], [0, 5000], heard.stderr);

    const again = mptcp(namespace, `tun up ${DEVICE} --address 10.7.0.1/24 --mtu 1400`);
    assert.equal(again.status, 0, again.stderr);
    assert.match(ip(`-n ${namespace} link show ${DEVICE}`), /mtu 1400/);
    assert.equal(mptcp(namespace, `tun down ${DEVICE}`).stdout, `ip link delete dev ${DEVICE}\n`);
    assert.throws(() => ip(`-n ${namespace} link show ${DEVICE}`));
  });

  test('what cannot be is one line, and leaves nothing behind', t => {
    const namespace = makeNamespace(t);
    const rows: [args: string, status: number, line: RegExp][] = [
      [`tun down ${DEVICE}`, 2, /there is no device mt0/],
      ['tun down lo', 2, /lo is no TUN device/],
      ['tun up lo --peer 10.7.0.2', 2, /lo is no TUN device/],
      [`tun up ${DEVICE}`, 2, /--address, a --peer/],
      [`tun up ${DEVICE} --peer here`, 2, /--peer takes an IP address, not "here"/],
      [`tun up ${DEVICE} --address 10.7.0.1`, 2, /the prefix length of 10\.7\.0\.1 is missing/],
      [`tun up ${DEVICE} --peer 10.7.0.2 --user nobody-of-that-name`, 1, /nobody-of-that-name/],
      [`tun up ${DEVICE} --address 10.7.0.1/24 --address ::/64`, 1, /ip address replace ::\/64/],
      [`tun translate ${DEVICE}`, 2, /--port is missing/],
      ['tun translate lo --port 80', 2, /there is a device lo already/],
      [`tun translate ${DEVICE} --port 80 --address 192.0.2.1`, 2, /192\.0\.2\.1/],
    ];
    for (const [args, status, line] of rows) {
      const result = mptcp(namespace, args);
      assert.match(result.stderr, /^mptcp tun: [^\n]+\n$/, args);
      assert.match(result.stderr, line);
      assert.equal(result.status, status, args);
      assert.equal(ip(`-n ${namespace} -br link`).includes(DEVICE), false, args);
    }
  });

  const noSetpriv = spawnSync('setpriv', ['--version']).status !== 0 && 'setpriv is not installed';
  test('without CAP_NET_ADMIN: one line that says so', { skip: noSetpriv }, t => {
    const namespace = makeNamespace(t);
    const unable = inside(namespace, 'setpriv', '--bounding-set=-net_admin', process.execPath, main);
    for (const args of [
      `up ${DEVICE} --peer 10.7.0.2`,
      `translate ${DEVICE} --port 80 --address 127.0.0.1`,
    ]) {
      const [program = '', ...before] = unable;
      // Node 26 warns on its own account that FFI is experimental.
      const env = { ...process.env, NODE_NO_WARNINGS: '1' };
      const result = spawnSync(program, [...before, 'tun', ...args.split(' ')], { encoding: 'utf8', env });
      assert.match(result.stderr, /^mptcp tun: [^\n]*CAP_NET_ADMIN[^\n]*\n$/);
      assert.equal(result.status, 1);
    }
  });
});

describe('mptcp tun translate', { skip, timeout: 60_000 }, () => {
  for (const family of [4, 6] as const) {
    test(`IPv${family}: our client over UDP, two paths, an unmodified server of the kernel's`, async t => {
      const [server, client] = [makeNamespace(t), makeNamespace(t)];
      joinByCables(server, client);
      const [host, ...locals] = [addressOf(0, 1, family), addressOf(0, 2, family), addressOf(1, 2, family)];
      const kernel = new KernelPeer(server);
      t.after(() => kernel.close());
      const listener = await kernel.listen({ address: host, port: 5000 });
      const accepted = listener.accept();
      const folder = mkdtempSync(join(tmpdir(), 'mptcp-translate-'));
      t.after(() => rmSync(folder, { recursive: true }));
      const pcap = join(folder, 'translated.pcapng');
      const args = `tun translate ${DEVICE} --port 5000 --address ${host} --pcap ${pcap}`.split(' ');
      const translator = new Command(t, args, inside(server, process.execPath, main));
      await translator.until(/translating TCP in UDP for port 5000/);

      const paths = locals.flatMap(local => ['--path', local]);
      const command = new Command(
        t,
        ['connect', host, '5000', ...paths],
        inside(client, process.execPath, main),
      );
      const socket = await accepted;
      const echo = socket.echo();
      const question = randomBytes(2_000_000);
      command.child.stdin?.write(question.subarray(0, 1000));
      await command.until(/path [^\n]* joined/);
      const info = await socket.info();
      assert.equal(info.mptcp, true);
      command.child.stdin?.end(question.subarray(1000));
      const { code, stdout, stderr } = await command.ended;
      assert.ok(stdout.equals(question), `${stdout.length} bytes\n${stderr}`);
      assert.equal(code, 0, stderr);
      assert.equal((await echo).bytes, question.length);
      const { interfaces, packets } = readCapture(pcap);
      assert.deepEqual(interfaces, [host]);
      // The first subflow, of two: the client's port is the first in what comes from it.
      const port = (bytes: Uint8Array): number => {
        const at = bytes[0] >> 4 === 4 ? 20 : 40;
        return (bytes[at] << 8) | bytes[at + 1];
      };
      const first = packets.filter(({ inbound, bytes }) => inbound && port(bytes) === port(packets[0].bytes));
      const carried = streamOf(first);
      assert.ok(carried.subarray(0, 1000).equals(question.subarray(0, 1000)), `${carried.length} bytes`);

      translator.child.kill('SIGINT');
      assert.equal((await translator.ended).code, 0);
      assert.equal(ip(`-n ${server} -${family} rule show`).includes('5000'), false);
      assert.equal(ip(`-n ${server} -br link`).includes(DEVICE), false);
    });
  }
});

function makeNamespace(t: TestContext): string {
  const name = `mptcp-test-${process.pid}-${800_000 + ++made}`;
  ip(`netns add ${name}`);
  t.after(() => ip(`netns del ${name}`));
  return name;
}

let made = 0;

/** Two networks between two namespaces; what comes from an address of the client leaves by its own. */
function joinByCables(server: string, client: string): void {
  for (const namespace of [server, client]) ip(`-n ${namespace} link set lo up`);
  ip(`netns exec ${server} ip mptcp limits set subflows 4`);
  for (const network of [0, 1]) {
    ip(`-n ${server} link add v${network} type veth peer name v${network} netns ${client}`);
    for (const [namespace, number] of [
      [server, 1],
      [client, 2],
    ] as const) {
      ip(`-n ${namespace} addr add ${addressOf(network, number, 4)}/24 dev v${network}`);
      ip(`-n ${namespace} addr add ${addressOf(network, number, 6)}/64 dev v${network} nodad`);
      ip(`-n ${namespace} link set v${network} up`);
    }
    for (const family of [4, 6] as const) {
      const [from, via] = [addressOf(network, 2, family), addressOf(network, 1, family)];
      ip(`-n ${client} -${family} route add default via ${via} dev v${network} table ${101 + network}`);
      ip(`-n ${client} -${family} rule add from ${from} lookup ${101 + network}`);
    }
  }
}

function addressOf(network: number, host: 1 | 2, family: 4 | 6): string {
  return family === 4 ? `10.80.${network}.${host}` : `fd80:0:0:${network + 1}::${host}`;
}

function inside(namespace: string, ...program: string[]): string[] {
  return ['ip', 'netns', 'exec', namespace, ...program];
}

function mptcp(namespace: string, args: string): SpawnSyncReturns<string> {
  const [program = '', ...before] = inside(namespace, process.execPath, main);
  return spawnSync(program, [...before, ...args.split(' ')], { encoding: 'utf8' });
}

function ip(command: string): string {
  return execFileSync('ip', command.split(' '), { stdio: 'pipe' }).toString();
}
