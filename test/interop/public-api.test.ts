// The public API over a TUN device: connect and createServer with `link: 'tun'`, the kernel at the other end,
// both roles; and what is said when something is missing.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, createServer, type Server, type Socket } from '../../src/api/index.ts';
import { skip } from './bed.ts';
import { KernelPeer } from './kernel-peer.ts';

const api: string = fileURLToPath(new URL('../../src/api/index.js', import.meta.url));
const config = { timeWaitMs: 100, subflowTimeWaitMs: 100, finWait2Ms: 1000 };
const MIB = 1024 * 1024;

/** A namespace whose kernel the devices are moved to as soon as they are there. */
class Neighbour {
  readonly number: number = ++made;
  readonly namespace: string = `mptcp-test-${process.pid}-${900_000 + this.number}`;
  readonly kernel: KernelPeer;

  constructor(t: TestContext) {
    ip(`netns add ${this.namespace}`);
    this.kernel = new KernelPeer(this.namespace);
    t.after(async () => {
      await this.kernel.close();
      ip(`netns del ${this.namespace}`);
    });
  }

  device(index: number): string {
    return `ma${process.pid % 1_000_000}n${this.number}d${index}`;
  }

  /** Every bed has its own: our stack keeps an address until TIME-WAIT is over. */
  address(index: number, host: 1 | 2, family: 4 | 6 = 4): string {
    return family === 4
      ? `10.${this.number}.${index}.${host}`
      : `fd77:1:${this.number}:${index + 1}::${host}`;
  }

  /** The kernel becomes the neighbour of whoever has the device open. */
  async adopt(index: number): Promise<void> {
    const device = this.device(index);
    ip(`link set ${device} netns ${this.namespace}`);
    await this.kernel.sysctl({ [`net.ipv6.conf.${device}.accept_dad`]: 0, 'net.mptcp.close_timeout': 2 });
    ip(`-n ${this.namespace} link set lo up`);
    ip(`-n ${this.namespace} link set ${device} up`);
    ip(`-n ${this.namespace} addr add ${this.address(index, 1)}/24 dev ${device}`);
    ip(`-n ${this.namespace} addr add ${this.address(index, 1, 6)}/64 dev ${device} nodad`);
  }
}

let made = 0;
function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: 'pipe' });
}

async function listening(t: TestContext, server: Server, port: number): Promise<number> {
  t.after(() => server.close());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, resolve);
  });
  return (server.address() as { port: number }).port;
}

describe('the public API over TUN', { skip, timeout: 60_000 }, () => {
  for (const family of [4, 6] as const) {
    test(`IPv${family}: an echo in both roles, on one device at the same time`, async t => {
      const bed = new Neighbour(t);
      const [ours, theirs] = [bed.address(0, 2, family), bed.address(0, 1, family)];
      const tun = { link: 'tun', device: bed.device(0), paths: [{ local: ours }] } as const;

      const sockets: Socket[] = [];
      const server = createServer({ ...tun, allowHalfOpen: true }, (socket: Socket) => {
        sockets.push(socket);
        socket.pipe(socket as NodeJS.WritableStream);
      });
      const port = await listening(t, server, 0);
      assert.ok(port > 0);
      assert.deepEqual(server.address(), { address: ours, family: `IPv${family}`, port });
      await bed.adopt(0);
      const client = await bed.kernel.connect({ address: ours, port });
      const [sent, back] = await Promise.all([client.send({ bytes: MIB, shutdown: true }), client.receive()]);
      assert.deepEqual([back.bytes, back.sha256], [MIB, sent.sha256]);
      const [socket] = sockets;
      assert.deepEqual([socket.localAddress, socket.remoteAddress], [ours, theirs]);
      server.close();

      const listener = await bed.kernel.listen({ address: theirs });
      const accepted = listener.accept();
      const outgoing = connect({ ...tun, host: theirs, port: listener.port, allowHalfOpen: true });
      const [{ multipath }] = await Promise.all([connected(outgoing), accepted]);
      assert.deepEqual([multipath.active, multipath.fallback], [true, null]);
      const echo = (await accepted).echo();
      const question = randomBytes(MIB);
      const [answer] = await Promise.all([contentOf(outgoing), outgoing.end(question)]);
      assert.equal(answer, sha256(question));
      assert.equal((await echo).bytes, MIB);
    });
  }

  test('two devices: the second path joins', async t => {
    const bed = new Neighbour(t);
    const paths = [0, 1].map(index => ({ local: bed.address(index, 2), device: bed.device(index) }));
    const server = createServer({ link: 'tun', paths });
    await listening(t, server, 7001);
    await bed.adopt(0);
    await bed.adopt(1);
    const listener = await bed.kernel.listen({ address: '0.0.0.0' });
    const accepted = listener.accept();
    const socket = connect({ link: 'tun', paths, host: bed.address(0, 1), port: listener.port });
    const joined = new Promise<void>(resolve =>
      socket.on('subflow', () => socket.multipath.subflows.length === 2 && resolve()),
    );
    await connected(socket);
    await (await accepted).send({ bytes: 1000 });
    socket.resume();
    await joined;
    const locals = socket.multipath.subflows.map(({ local }) => local.address).sort();
    assert.deepEqual(locals, [bed.address(0, 2), bed.address(1, 2)]);
    socket.resetAndDestroy();
    server.close();
  });

  test('a path added later, on a device of its own', async t => {
    const bed = new Neighbour(t);
    const first = { local: bed.address(0, 2), device: bed.device(0) };
    const server = createServer({ link: 'tun', paths: [first] });
    await listening(t, server, 7002);
    await bed.adopt(0);
    const listener = await bed.kernel.listen({ address: '0.0.0.0' });
    const accepted = listener.accept();
    const socket = connect({ link: 'tun', paths: [first], host: bed.address(0, 1), port: listener.port });
    t.after(() => socket.resetAndDestroy());
    await connected(socket);
    await (await accepted).send({ bytes: 1000 });
    socket.resume();
    const joined = new Promise<void>(resolve =>
      socket.on('subflow', ({ name }: { name: string }) => name === 'later' && resolve()),
    );
    // It opens the second device, which has no neighbour yet: the SYN that is repeated arrives.
    await socket.addPath({ local: bed.address(1, 2), device: bed.device(1), name: 'later' });
    await bed.adopt(1);
    await joined;
    const locals = socket.multipath.subflows.map(({ local }) => local.address).sort();
    assert.deepEqual(locals, [bed.address(0, 2), bed.address(1, 2)]);
  });

  test('the device goes with the last user', async t => {
    const bed = new Neighbour(t);
    const paths = [{ local: bed.address(0, 2), device: bed.device(0) }];
    const server = createServer({ link: 'tun', paths, config });
    await listening(t, server, 7000);
    assert.ok(existsSync(`/sys/class/net/${bed.device(0)}`));
    server.close();
    // Nothing tells of it: it is looked for until the test's time is over.
    while (existsSync(`/sys/class/net/${bed.device(0)}`)) await new Promise(go => setTimeout(go, 20));
    await listening(t, server, 7000);
    server.close();
  });

  test('an address that another stack of this process has, and one on another device', async t => {
    const bed = new Neighbour(t);
    const paths = [{ local: bed.address(0, 2), device: bed.device(0) }];
    const server = createServer({ link: 'tun', paths });
    await listening(t, server, 7000);
    const other = createServer({ link: 'tun', paths, checksum: true });
    await assert.rejects(listening(t, other, 7001), { code: 'EADDRINUSE', message: /\.0\.2 is in use/ });
    const moved = [{ local: bed.address(0, 2), device: bed.device(1) }];
    const socket = connect({ link: 'tun', paths: moved, host: bed.address(0, 1), port: 9 });
    await assert.rejects(connected(socket), { code: 'EADDRINUSE' });
    server.close();
  });
});

describe('what TUN needs and is not there', { skip }, () => {
  /** Rights are given up after loading: built files may lie where a user without rights cannot read them. */
  function complaint(prepare: string, device = 'mtdenied'): string {
    const script = `
      const { connect, createServer } = await import('${api}');
      ${prepare}
      const tun = { link: 'tun', device: '${device}', paths: [{ local: '10.9.9.9' }] };
      const told = error => console.log(error.name, error.code, error.message);
      connect({ ...tun, host: '10.9.9.1', port: 9 }).on('error', told);
      createServer(tun).on('error', told).listen(9);`;
    const parameters = ['--no-warnings', '--input-type=module', '-e', script];
    return spawnSync(process.execPath, parameters, { encoding: 'utf8' }).stdout;
  }

  test('CAP_NET_ADMIN: one error that says so, from connect and from listen', () => {
    const lines = complaint('process.setgroups([]); process.setgid(65534); process.setuid(65534);');
    assert.match(lines, /^(Error (EPERM|EACCES) [^\n]*CAP_NET_ADMIN[^\n]*\n){2}$/);
  });

  test('a foreign function interface: one error that says so', {
    skip: Number(process.versions.node.split('.')[0]) >= 26 && 'this Node has its own',
  }, () => {
    const lines = complaint(`const { default: Module } = await import('node:module');
      const load = Module._load;
      Module._load = (name, ...rest) => {
        if (name === 'koffi') throw new Error('Cannot find koffi');
        return load(name, ...rest);
      };`);
    assert.match(lines, /^(Error ERR_FFI_UNAVAILABLE [^\n]*npm install koffi[^\n]*\n){2}$/);
  });

  test('a TUN device: one error that says what it is instead', () => {
    const lines = complaint('', 'lo');
    assert.match(lines, /^(Error EINVAL [^\n]*lo exists and is no TUN device[^\n]*\n){2}$/);
  });
});

test('without being asked for, no foreign function interface is loaded', {
  skip: !existsSync('/proc/self/maps'),
}, () => {
  const script = `
    await import('${api}');
    const { readFileSync } = await import('node:fs');
    console.log(/koffi/.test(readFileSync('/proc/self/maps', 'utf8')));`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  assert.equal(stdout, 'false\n');
});

function connected(socket: Socket): Promise<Socket> {
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

async function contentOf(socket: Socket): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of socket as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
