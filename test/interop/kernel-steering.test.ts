// `paths` and `service` of a connection between two Linux kernels, carried out by the end that connects with the
// kernel's path manager, in both of its kinds: a path that dies silently, interfaces that go and come back, paths
// added and taken away, and what those without rights are told. The other end is a plain program.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { joinedNamespaces, type Namespace } from './namespaces.ts';
import { skip } from './netns.ts';

/** An echo on port 7000 of the far kernel, which takes any number of subflows. */
async function echoServer(t: TestContext, far: Namespace): Promise<void> {
  far.mptcp('limits --subflows 8');
  const server = far.start(
    t,
    `const server = api.createServer({ backend: 'kernel' }, socket => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    server.listen(7000, () => say('listening'));`,
  );
  assert.equal(await server.next(), 'listening');
}

/** Connects, waits for two subflows, then exchanges 200 bytes each 100 ms as often as it is told. */
const ASKING = (options: object): string => `
  const socket = api.connect({
    ...{ backend: 'kernel', host: '10.66.0.2', port: 7000, noDelay: true },
    ...${JSON.stringify(options)},
  });
  socket.on('error', error => say({ error: error.message }));
  socket.on('unhonoured', unhonoured => say({ unhonoured }));
  let received = 0;
  let wake = () => {};
  socket.on('data', chunk => {
    received += chunk.length;
    wake();
  });
  const exchange = async () => {
    const began = performance.now();
    const wanted = received + 200;
    socket.write(Buffer.alloc(200));
    while (received < wanted) await new Promise(resolve => (wake = resolve));
    return performance.now() - began;
  };
  await new Promise(resolve => socket.on('connect', resolve));
  await exchange();
  while (socket.multipath.subflows.filter(({ state }) => state === 'active').length < 2)
    await new Promise(resolve => setTimeout(resolve, 10));
  say('ready');
  process.stdin.on('data', async line => {
    if (line.toString() === 'exit\\n') process.exit();
    let worst = 0;
    for (let i = 0; i < Number(line); i++) {
      const ms = await exchange();
      worst = Math.max(worst, ms);
      if (i === 3) say('under way');
      await new Promise(resolve => setTimeout(resolve, Math.max(0, 100 - ms)));
    }
    say({ worst, subflows: socket.multipath.subflows });
  });`;

/** Sends without end until it is told to stop, tells of each change of its subflows, and in the end of all bytes. */
const STREAMING = `
  const { createHash, randomBytes } = await import('node:crypto');
  const socket = api.connect({
    ...{ backend: 'kernel', host: '10.66.0.2', port: 7000, service: 'aggregate' },
    paths: [{ local: '10.66.0.1' }, { local: 'net1' }],
  });
  socket.on('error', error => say({ error: error.message }));
  const side = () => ({ bytes: 0, hash: createHash('sha256') });
  const add = (to, chunk) => {
    to.bytes += chunk.length;
    to.hash.update(chunk);
  };
  const [sent, received] = [side(), side()];
  const changed = () => {
    const there = socket.multipath.subflows.filter(({ state }) => state === 'active');
    say({ is: there.map(({ local }) => local.address) });
  };
  socket.on('subflow', changed);
  socket.on('subflowclose', changed);
  socket.on('data', chunk => add(received, chunk));
  let over = false;
  const more = () => {
    if (over) return;
    const chunk = randomBytes(10_000);
    add(sent, chunk);
    socket.write(chunk, () => setTimeout(more, 5));
  };
  socket.on('subflow', ({ id }) => {
    if (id === 1) more();
  });
  socket.on('connect', () => {
    const chunk = randomBytes(100);
    add(sent, chunk);
    socket.write(chunk);
  });
  process.stdin.once('data', () => {
    over = true;
    socket.end();
  });
  socket.on('end', () => {
    const digest = ({ bytes, hash }) => ({ bytes, sha256: hash.digest('hex') });
    const { unhonoured } = socket.multipath;
    say({ sent: digest(sent), received: digest(received), unhonoured });
    process.exit();
  });`;

/** Adds a path, makes it a backup, and takes it away. */
const CHANGING = `
  const { once } = await import('node:events');
  const socket = api.connect({ backend: 'kernel', host: '10.66.0.2', port: 7000 });
  socket.on('unhonoured', unhonoured => say({ unhonoured }));
  socket.on('data', () => {});
  const locals = () => socket.multipath.subflows.map(({ local }) => local.address);
  await once(socket, 'connect');
  socket.write('x');
  await once(socket, 'data');
  const before = locals();
  await socket.addPath({ local: '10.66.1.1', name: 'spare' });
  const [added] = await once(socket, 'subflow');
  socket.setBackup(added.id, true);
  while (!socket.multipath.subflows.find(({ id }) => id === added.id).backup)
    await new Promise(resolve => setTimeout(resolve, 5));
  socket.removePath('spare');
  while (locals().length > 1) await new Promise(resolve => setTimeout(resolve, 5));
  say({ before, added, backup: true, removed: locals() });
  socket.destroy();`;

interface Asked {
  readonly worst: number;
  readonly subflows: { local: { address: string }; state: string; backup: boolean }[];
}

/** Nothing passes the first network from now on, in either direction; its carrier stays. */
function darken(far: Namespace, on = true): void {
  for (const [chain, way] of [
    ['INPUT', '-i'],
    ['OUTPUT', '-o'],
  ])
    far.exec(`iptables-legacy ${on ? '-A' : '-D'} ${chain} ${way} net0 -j DROP`);
}

/** The longest exchange while the first network dies. */
async function worstExchange(
  t: TestContext,
  { userspace, backup, steered }: { userspace: boolean; backup: boolean; steered: boolean },
): Promise<number> {
  const { near, far } = joinedNamespaces(t);
  await echoServer(t, far);
  if (userspace) near.sysctl({ 'net.mptcp.pm_type': 1 });
  const paths = [{ local: '10.66.0.1' }, { local: '10.66.1.1', backup }];
  if (!steered) near.mptcp(`endpoint add 10.66.1.1 --device net1${backup ? ' --backup' : ''}`);
  const client = near.start(t, ASKING(steered ? { paths } : {}));
  assert.equal(await client.next(), 'ready');
  client.tell('15');
  assert.equal(await client.next(), 'under way');
  darken(far);
  const { worst } = await client.next<Asked>();
  return worst;
}

describe("the kernel's paths, looked after", { skip, timeout: 300_000 }, () => {
  for (const [backup, most] of [
    [false, 150],
    [true, 250],
  ] as const) {
    const second = backup ? 'a backup' : 'active';
    test(`the first path dies silently, the second is ${second}: no exchange takes more than ${most} ms`, async t => {
      const alone = await worstExchange(t, { userspace: false, backup, steered: false });
      for (const userspace of [false, true]) {
        const worst = await worstExchange(t, { userspace, backup, steered: true });
        const kind = userspace ? 'userspace' : 'kernel';
        t.diagnostic(`${second}, ${kind}: ${worst.toFixed(0)} ms; Linux alone ${alone.toFixed(0)} ms`);
        assert.ok(worst <= most, `${worst.toFixed(0)} ms with the path manager of ${kind}`);
      }
      // Two or four of its least retransmission timeouts, 200 ms: if not, the network was not dead.
      assert.ok(alone > 350, `Linux alone took ${alone.toFixed(0)} ms`);
    });
  }

  for (const userspace of [false, true]) {
    const kind = `the path manager of ${userspace ? 'a program' : 'the kernel'}`;

    test(`an interface goes and comes back twenty times, ${kind}: its subflow, too, and no data is lost`, async t => {
      const { near, far } = joinedNamespaces(t);
      await echoServer(t, far);
      if (userspace) near.sysctl({ 'net.mptcp.pm_type': 1 });
      const client = near.start(t, STREAMING);
      await client.until<Seen>(({ is }) => is?.length === 2);
      for (let i = 0; i < 20; i++) {
        // The first and the second in turn.
        const [device, address] = i % 2 === 0 ? ['net0', '10.66.0.1'] : ['net1', '10.66.1.1'];
        if (i % 4 < 2) near.ip(`link set ${device} down`);
        else near.ip(`addr del ${address}/24 dev ${device}`);
        await client.until<Seen>(({ is }) => is?.every(local => local !== address) === true);
        if (i % 4 < 2) near.ip(`link set ${device} up`);
        else near.ip(`addr add ${address}/24 dev ${device}`);
        await client.until<Seen>(({ is }) => is?.includes('10.66.0.1') && is.includes('10.66.1.1'));
      }
      client.tell('end');
      const { sent, received, unhonoured } = await client.until<Streamed>(({ sent }) => sent !== undefined);
      assert.deepEqual(unhonoured, []);
      assert.ok(sent.bytes > 1_000_000, `${sent.bytes} bytes`);
      assert.deepEqual(received, sent);
    });

    test(`paths are added and taken away, and made backups, ${kind}; nothing is left behind`, async t => {
      const { near, far } = joinedNamespaces(t);
      await echoServer(t, far);
      if (userspace) near.sysctl({ 'net.mptcp.pm_type': 1 });
      const client = near.start(t, CHANGING);
      const { before, added, backup, removed } = await client.next<{
        before: string[];
        added: { name: string; local: { address: string } };
        backup: boolean;
        removed: string[];
      }>();
      assert.deepEqual(before, ['10.66.0.1']);
      assert.deepEqual([added.name, added.local.address], ['spare', '10.66.1.1']);
      assert.equal(backup, true);
      assert.deepEqual(removed, ['10.66.0.1']);
      assert.equal(await client.ended(), 0);
      assert.equal(near.exec('ip mptcp endpoint'), '');
      assert.match(near.exec('ip mptcp limits'), /subflows 2/);
    });
  }

  test('endpoints that somebody else has made are used, and stay', async t => {
    const { near, far } = joinedNamespaces(t);
    await echoServer(t, far);
    near.mptcp('endpoint add 10.66.1.1 --device net1 --id 9');
    const client = near.start(t, ASKING({ paths: [{ local: 'net0' }, { local: 'net1' }] }));
    assert.equal(await client.next(), 'ready');
    client.tell('5');
    assert.equal(await client.next(), 'under way');
    await client.next<Asked>();
    client.tell('exit');
    assert.equal(await client.ended(), 0);
    assert.equal(near.mptcp('endpoint list'), 'id 9  10.66.1.1  subflow  on net1\n');
  });

  test('two sockets share an endpoint: it goes with the second', async t => {
    const { near, far } = joinedNamespaces(t);
    await echoServer(t, far);
    const client = near.start(
      t,
      `const dial = async () => {
        const paths = [{ local: '10.66.0.1' }, { local: '10.66.1.1' }];
        const socket = api.connect({ backend: 'kernel', host: '10.66.0.2', port: 7000, paths });
        const joined = new Promise(resolve => socket.on('subflow', ({ id }) => id > 0 && resolve()));
        socket.on('connect', () => socket.write('x'));
        await joined;
        return socket;
      };
      const sockets = [await dial(), await dial()];
      say('both');
      process.stdin.on('data', () => {
        sockets.shift().destroy();
        setImmediate(() => say('closed'));
      });`,
    );
    const endpoints = (): string => near.exec('ip mptcp endpoint').trim();
    assert.equal(await client.next(), 'both');
    assert.match(endpoints(), /^10\.66\.1\.1 id \d+ subflow dev net1$/);
    client.tell('close');
    assert.equal(await client.next(), 'closed');
    assert.notEqual(endpoints(), '');
    client.tell('close');
    assert.equal(await client.next(), 'closed');
    assert.equal(endpoints(), '');
  });

  test('without rights: connected, and what was not done is said by name', async t => {
    const { near, far } = joinedNamespaces(t);
    await echoServer(t, far);
    const client = near.start(
      t,
      `const socket = api.connect({
        ...{ backend: 'kernel', host: '10.66.0.2', port: 7000, service: 'handover' },
        paths: [{ local: '10.66.0.1' }, { local: '10.66.1.1' }],
      });
      const told = [];
      socket.on('unhonoured', entry => told.push(entry));
      socket.on('connect', () => socket.write('x'));
      socket.once('data', async () => {
        const failed = await socket.addPath({ local: '10.66.1.1' }).catch(error => error);
        const { active, subflows, unhonoured } = socket.multipath;
        say({ active, subflows: subflows.length, unhonoured, told, code: failed.code, message: failed.message });
        const auto = api.connect({
          ...{ backend: 'auto', host: '10.66.0.2', port: 7000 },
          paths: [{ local: '10.66.0.1' }, { local: '10.66.1.1' }],
        });
        auto.on('error', () => {});
        say(auto.multipath);
        process.exit();
      });`,
      { uid: 65_534 },
    );
    const seen = await client.next<{
      active: boolean;
      subflows: number;
      unhonoured: { what: string; why: string; remedy: string }[];
      told: object[];
      code: string;
      message: string;
    }>();
    assert.deepEqual([seen.active, seen.subflows, seen.code], [true, 1, 'EPERM']);
    assert.deepEqual(
      seen.unhonoured.map(({ what }) => what),
      ['a subflow from 10.66.1.1', "service 'handover'"],
    );
    for (const { why } of seen.unhonoured) assert.match(why, /CAP_NET_ADMIN/);
    assert.match(seen.message, /CAP_NET_ADMIN/);
    assert.deepEqual(seen.told, seen.unhonoured);
    const auto = await client.next<{ backend: string; reason: string }>();
    assert.equal(auto.backend, 'user');
    assert.match(auto.reason, /CAP_NET_ADMIN/);
  });
});

interface Seen {
  /** Local addresses of the subflows that are there. */
  readonly is?: string[];
}

interface Streamed {
  readonly sent: { bytes: number; sha256: string };
  readonly received: { bytes: number; sha256: string };
  readonly unhonoured: object[];
}
