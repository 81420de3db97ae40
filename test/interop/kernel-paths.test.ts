// The kernel's path manager between two kernels: what `socket.multipath` shows of it, and the commands `mptcp
// endpoint`, `limits`, `monitor` and `ss`, against what `ip mptcp` says.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { joinedNamespaces, type Namespace, type Program } from './namespaces.ts';
import { skip } from './netns.ts';

interface Subflow {
  readonly id: number;
  readonly name: string;
  readonly local: { address: string };
  readonly state: string;
}

/** An echo on port 7000 of the far kernel, which takes any number of subflows. */
async function echoServer(t: TestContext, far: Namespace): Promise<Program> {
  far.mptcp('limits --subflows 8');
  const server = far.start(
    t,
    `const server = api.createServer({ backend: 'kernel' }, socket => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    // An observer of the process is enough for the kernel to be asked.
    const { subscribe } = await import('node:diagnostics_channel');
    subscribe('mptcp.subflow', ({ subflow, reason }) => { if (reason === null && subflow.id > 0) say({ served: subflow }); });
    server.listen(7000, () => say('listening'));`,
  );
  await server.next();
  return server;
}

/** Connects, says when a subflow comes or goes, and does what it is told. */
const CLIENT = `
  const socket = api.connect({ backend: 'kernel', host: '10.66.0.2', port: 7000 });
  socket.on('subflow', subflow => subflow.id > 0 && say({ subflow }));
  socket.on('subflowclose', (subflow, reason) => say({ closed: subflow, reason }));
  let bytes = 0;
  socket.on('data', chunk => {
    bytes += chunk.length;
    if (bytes === 4_001_000) say({ is: socket.multipath });
  });
  socket.write(Buffer.alloc(1000));
  process.stdin.on('data', line => {
    if (line.toString() === 'send\\n') socket.write(Buffer.alloc(4_000_000));
    else socket.end();
  });`;

describe("the kernel's path manager", { skip, timeout: 120_000 }, () => {
  test('endpoints and limits, as ip mptcp has them', t => {
    const { near } = joinedNamespaces(t);
    assert.equal(near.mptcp('limits'), 'subflows 2\nadd-addr 0\n');
    assert.equal(near.mptcp('limits --subflows 5 --add-addr 3'), 'subflows 5\nadd-addr 3\n');
    assert.equal(near.exec('ip mptcp limits').trim(), 'add_addr_accepted 3 subflows 5');
    near.mptcp('endpoint add 10.66.0.1 --device net0 --backup');
    near.mptcp('endpoint add fd66:0:0:1::1 --subflow --fullmesh');
    near.mptcp('endpoint add 10.66.1.1 --signal --port 4444 --id 9');
    assert.equal(
      near.mptcp('endpoint list'),
      [
        'id 1  10.66.0.1  subflow  backup  on net0',
        'id 2  fd66:0:0:1::1  subflow  fullmesh',
        'id 9  10.66.1.1  port 4444  signal\n',
      ].join('\n'),
    );
    const theirs = near
      .exec('ip mptcp endpoint')
      .trim()
      .split('\n')
      .map(line => line.trim().replace(/ +/g, ' '));
    assert.deepEqual(theirs, [
      '10.66.0.1 id 1 subflow backup dev net0',
      'fd66:0:0:1::1 id 2 subflow fullmesh',
      '10.66.1.1 port 4444 id 9 signal',
    ]);
    near.mptcp('endpoint remove fd66:0:0:1::1');
    near.mptcp('endpoint remove 9');
    assert.equal(near.mptcp('endpoint'), 'id 1  10.66.0.1  subflow  backup  on net0\n');
    near.mptcp('endpoint flush');
    assert.equal(near.exec('ip mptcp endpoint'), '');
  });

  test("the kernel's refusals in its own words, and what needs rights", t => {
    const { near } = joinedNamespaces(t);
    near.mptcp('endpoint add 10.66.0.1');
    assert.throws(() => near.mptcp('endpoint add 10.66.0.1'), /too many addresses or duplicate/);
    assert.throws(() => near.mptcp('endpoint add 10.66.1.1 --port 5'), /flags must have signal/);
    assert.throws(() => near.mptcp('endpoint remove 7'), /there is no endpoint 7/);
    const nobody = { uid: 65_534 };
    assert.equal(near.mptcp('endpoint list', nobody), 'id 1  10.66.0.1  subflow\n');
    assert.equal(near.mptcp('limits', nobody), 'subflows 2\nadd-addr 0\n');
    for (const command of ['endpoint flush', 'limits --subflows 3', 'monitor']) {
      assert.throws(() => near.mptcp(command, nobody), /this needs CAP_NET_ADMIN/, command);
    }
  });

  test('two paths: the second joins, carries, goes with its endpoint, and is told of at both ends', async t => {
    const { near, far } = joinedNamespaces(t);
    near.mptcp('limits --subflows 4');
    near.mptcp('endpoint add 10.66.1.1 --device net1');
    const server = await echoServer(t, far);
    const client = near.start(t, CLIENT);
    const { subflow } = await client.next<{ subflow: Subflow }>();
    assert.deepEqual([subflow.id, subflow.name, subflow.local.address], [1, 'net1', '10.66.1.1']);
    const { served } = await server.next<{ served: Subflow & { remote: { address: string } } }>();
    assert.equal(served.remote.address, '10.66.1.1');
    client.tell('send');
    const { is } = await client.next<{ is: { active: boolean; subflows: Subflow[] } }>();
    assert.deepEqual(
      [is.active, ...is.subflows.map(each => [each.name, each.local.address, each.state])],
      [true, ['net0', '10.66.0.1', 'active'], ['net1', '10.66.1.1', 'active']],
    );
    near.mptcp('endpoint flush');
    const { closed, reason } = await client.next<{ closed: Subflow; reason: string }>();
    assert.deepEqual([closed.local.address, closed.state], ['10.66.1.1', 'closed']);
    assert.equal(reason, 'closed by the kernel');
  });

  test('MPTCP_FULL_INFO: the same as the older calls tell, and a subflow that comes back is another', async t => {
    const { near, far } = joinedNamespaces(t);
    near.mptcp('endpoint add 10.66.1.1 --device net1');
    await echoServer(t, far);
    const client = near.start(
      t,
      `const status = await import(${JSON.stringify(kernelEntry().replace('index', 'status'))});
      ${CLIENT}
      socket.on('subflow', ({ id }) => {
        if (id === 0) return;
        const { info, subflows } = status.fullStatusOf(socket._handle.fd);
        say({ total: info.subflowsTotal, subflows, parts: status.subflowsByParts(socket._handle.fd) });
      });`,
    );
    interface Looked {
      readonly total: number;
      readonly subflows: { number?: number; local: unknown; remote: unknown; tcp: { mssBytes: number } }[];
      readonly parts: { local: unknown; remote: unknown; tcp: { mssBytes: number } }[];
    }
    const first = (await client.next<{ subflow: Subflow }>()).subflow;
    const { total, subflows, parts } = await client.next<Looked>();
    assert.deepEqual([total, subflows.map(({ number }) => number)], [2, [1, 2]]);
    const lasting = ({ local, remote, tcp }: Looked['parts'][0]) => ({ local, remote, mss: tcp.mssBytes });
    assert.deepEqual(subflows.map(lasting), parts.map(lasting));
    near.mptcp('endpoint flush');
    assert.equal((await client.next<{ closed: Subflow }>()).closed.id, first.id);
    near.mptcp('endpoint add 10.66.1.1 --device net1');
    const { subflow } = await client.next<{ subflow: Subflow }>();
    assert.deepEqual([first.id, subflow.id, subflow.local.address], [1, 2, '10.66.1.1']);
  });

  test('ss shows the connection with both subflows, and to anybody the connection', async t => {
    const { near, far } = joinedNamespaces(t);
    near.mptcp('endpoint add 10.66.1.1 --backup');
    await echoServer(t, far);
    const client = near.start(t, CLIENT);
    await client.next();
    const [socket, ...more] = JSON.parse(near.mptcp('ss --json')) as {
      state: string;
      remote: { address: string; port: number };
      info: { token: number; extraSubflows: number };
      subflows: { local: { address: string }; joined: boolean; backupHere: boolean }[];
    }[];
    assert.deepEqual([more, socket.state, socket.info.extraSubflows], [[], 'ESTAB', 1]);
    assert.deepEqual(socket.remote, { address: '10.66.0.2', port: 7000 });
    const bySide = socket.subflows.map(each => [each.local.address, each.joined, each.backupHere]).sort();
    assert.deepEqual(bySide, [
      ['10.66.0.1', false, false],
      ['10.66.1.1', true, true],
    ]);
    const token = socket.info.token.toString(16);
    // Subflows too, with newer kernels.
    assert.match(near.mptcp('ss', { uid: 65_534 }), new RegExp(`token 0*${token} `));
    assert.match(near.exec('ss -HMni'), new RegExp(`token:${token}\\b`));
    assert.match(
      near.mptcp('ss'),
      new RegExp(`^ESTAB +10\\.66\\.0\\.1:\\d+ → 10\\.66\\.0\\.2:7000  token 0*${token} `),
    );
    assert.equal(far.mptcp('ss --listening'), 'LISTEN      [::]:7000\n');
  });

  test('monitor tells of a connection from its beginning to its end', async t => {
    const { near, far } = joinedNamespaces(t);
    near.mptcp('endpoint add 10.66.1.1');
    await echoServer(t, far);
    const monitor = near.start(
      t,
      `const { KernelPathManager } = await import(${JSON.stringify(kernelEntry())});
      const manager = new KernelPathManager();
      manager.follow(say, () => say('lost'));
      setInterval(() => {}, 1000);
      say('following');`,
    );
    await monitor.next();
    const client = near.start(t, CLIENT);
    await client.next();
    const events = [];
    while (events.length < 3)
      events.push(await monitor.next<{ name: string; token: number; local?: object }>());
    assert.deepEqual(
      events.map(({ name }) => name),
      ['created', 'established', 'subflow-established'],
    );
    assert.equal(new Set(events.map(({ token }) => token)).size, 1);
    assert.deepEqual((events[2].local as { address: string }).address, '10.66.1.1');
    client.tell('end');
    let last = '';
    while (last !== 'closed') last = (await monitor.next<{ name: string }>()).name;
  });
});

function kernelEntry(): string {
  return new URL('../../src/kernel/index.js', import.meta.url).pathname;
}
