// `backend: 'kernel'` between two kernels: every fallback, and what becomes of descriptors.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { API, joinedNamespaces, Namespace } from './namespaces.ts';
import { skipNamespaces } from './netns.ts';

/** Of twenty connections each. */
const LEAK_ROUNDS: number = process.env['MPTCP_INTEROP'] === 'few' ? 100 : 500;
const KERNEL: string = fileURLToPath(new URL('../../src/kernel/index.js', import.meta.url));

/** Listens on 7000, echoes, and tells of every connection what it is when its first data has come. */
const ECHO = `
  const server = api.createServer({ backend: 'kernel' }, socket => {
    socket.on('error', () => {});
    socket.on('fallback', fallback => say({ serverFallback: fallback }));
    socket.once('data', () => say({ served: socket.multipath }));
    socket.pipe(socket);
  });
  server.listen(7000, () => say({ listening: server.address().port }));`;

/** Connects, exchanges one line, tells what the connection was. */
const CLIENT = (options: object = {}): string => `
  const options = ${JSON.stringify({ backend: 'kernel', host: '10.66.0.2', port: 7000, ...options })};
  const socket = api.connect(options);
  const fallbacks = [];
  socket.on('fallback', fallback => fallbacks.push(fallback));
  socket.on('error', error => say({ error: error.code, message: error.message }));
  socket.on('connect', () => socket.write('x'));
  socket.once('data', () => {
    say({ is: socket.multipath, fallbacks });
    socket.end();
  });`;

interface Seen {
  readonly active: boolean;
  readonly fallback: { cause: string } | null;
  readonly token: number | null;
  readonly subflows: {
    local: { address: string };
    remote: { address: string };
    name: string;
    state: string;
  }[];
}

describe("backend: 'kernel'", { skip: skipNamespaces, timeout: 120_000 }, () => {
  for (const family of [4, 6] as const) {
    const host = family === 4 ? '10.66.0.2' : 'fd66:0:0:0::2';
    const iptables = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
    const strip = `${iptables} -t mangle -A PREROUTING -p tcp`;
    const cases: {
      name: string;
      at: 'near' | 'far';
      rule: string;
      cause: string;
      served: boolean | 'any';
    }[] = [
      {
        ...{ name: 'on the SYN', at: 'far', cause: 'syn-ack-without-option', served: false },
        rule: `${strip} --tcp-flags SYN,ACK SYN -j TCPOPTSTRIP --strip-options 30`,
      },
      {
        ...{ name: 'on the SYN/ACK', at: 'near', cause: 'syn-ack-without-option', served: false },
        rule: `${strip} --tcp-flags SYN,ACK SYN,ACK -j TCPOPTSTRIP --strip-options 30`,
      },
      {
        ...{ name: 'on all that the client sends after the SYN', at: 'far', served: false },
        rule: `${strip} --tcp-flags SYN SYN,ACK -j TCPOPTSTRIP --strip-options 30`,
        cause: 'any',
      },
      {
        ...{ name: 'on all that the server sends after the SYN/ACK', at: 'near', served: 'any' },
        rule: `${strip} --tcp-flags SYN SYN,ACK -j TCPOPTSTRIP --strip-options 30`,
        cause: 'any',
      },
    ];
    for (const { name, at, rule, cause, served } of cases) {
      test(`IPv${family}: options removed ${name}: a fallback that is seen`, { skip: noStrip() }, async t => {
        const namespaces = joinedNamespaces(t);
        namespaces[at].exec(rule.replace('SYN SYN,ACK -j', 'SYN NONE -j'));
        const server = namespaces.far.start(t, ECHO);
        await server.next();
        const client = namespaces.near.start(t, CLIENT({ host }));
        const { is, fallbacks } = await client.next<{ is: Seen; fallbacks: { cause: string }[] }>();
        assert.deepEqual([is.active, is.token, fallbacks.length], [false, null, 1]);
        assert.deepEqual(is.fallback, fallbacks[0]);
        if (cause !== 'any') assert.equal(is.fallback?.cause, cause);
        assert.notEqual(is.fallback?.cause, 'unknown');
        assert.equal(is.subflows.length, 1);
        if (served === 'any') return;
        const answer = await server.next<{ served?: Seen; serverFallback?: unknown }>();
        const said = answer.served ?? (await server.next<{ served: Seen }>()).served;
        assert.equal(said.active, served);
      });
    }
  }

  test('SYNs with the option are dropped: lost at first, then the network is a black hole', {
    skip: noStrip(),
  }, async t => {
    const { near, far } = joinedNamespaces(t);
    near.sysctl({ 'net.mptcp.blackhole_timeout': 60 });
    far.exec('iptables-legacy -A INPUT -p tcp --tcp-option 30 -j DROP');
    const server = far.start(t, ECHO);
    await server.next();
    const causes: (string | undefined)[] = [];
    for (let i = 0; i < 2; i++) {
      const { is } = await near.start(t, CLIENT()).next<{ is: Seen }>();
      causes.push(is.fallback?.cause);
    }
    assert.deepEqual(causes, ['syn-lost', 'black-hole']);
    assert.equal(near.counters()['Blackhole'], 1);
  });

  test('a server of plain TCP: fallback, and with "require" ERR_MPTCP_FALLBACK', async t => {
    const { near, far } = joinedNamespaces(t);
    const server = far.start(t, ECHO.replace("backend: 'kernel'", "backend: 'kernel', multipath: false"));
    await server.next();
    const { is } = await near.start(t, CLIENT()).next<{ is: Seen }>();
    assert.deepEqual([is.active, is.fallback?.cause], [false, 'syn-ack-without-option']);
    const { error } = await near.start(t, CLIENT({ require: true })).next<{ error: string }>();
    assert.equal(error, 'ERR_MPTCP_FALLBACK');
  });

  test('a server with "require" drops clients of plain TCP, and takes the others', async t => {
    const { near, far } = joinedNamespaces(t);
    const requiring = ECHO.replace("backend: 'kernel'", "backend: 'kernel', require: true");
    const server = far.start(
      t,
      `${requiring} server.on('drop', info => say({ dropped: info.remoteAddress }));`,
    );
    await server.next();
    const refused = near.start(t, CLIENT({ multipath: false }));
    assert.deepEqual(await server.next(), { dropped: '::ffff:10.66.0.1' });
    assert.equal((await refused.next<{ error: string }>()).error, 'ECONNRESET');
    const { is } = await near.start(t, CLIENT({ require: true })).next<{ is: Seen }>();
    assert.equal(is.active, true);
  });

  test('net.mptcp.enabled=0: one clear error, and "auto" takes our own stack and says why', async t => {
    const { near } = joinedNamespaces(t);
    near.sysctl({ 'net.mptcp.enabled': 0 });
    const failed = await near.start(t, CLIENT()).next<{ error: string; message: string }>();
    assert.equal(failed.error, 'ERR_MPTCP_NO_KERNEL');
    assert.match(failed.message, /net\.mptcp\.enabled is 0/);
    const choice = await near.start(
      t,
      `process.on('warning', warning => {
          if (warning.name === 'MptcpWarning') say({ warned: warning.message });
        });
        const sockets = [1, 2].map(() => api.connect({ backend: 'auto', host: '127.0.0.1', port: 9 }));
        for (const socket of sockets) socket.on('error', () => {});
        const { backend, reason } = sockets[1].multipath;
        say({ backend, reason });`,
    );
    const { backend, reason } = await choice.next<{ backend: string; reason: string }>();
    assert.equal(backend, 'user');
    assert.match(reason, /net\.mptcp\.enabled is 0/);
    assert.match(
      (await choice.next<{ warned: string }>()).warned,
      /'auto' takes this package's own stack: .*enabled/,
    );
    assert.equal(await choice.ended(), 0);
  });

  test('as a user without rights: sockets, servers and what they say', async t => {
    const { near, far } = joinedNamespaces(t);
    const nobody = { uid: 65_534 };
    const server = far.start(t, ECHO, nobody);
    await server.next();
    const { is } = await near.start(t, CLIENT(), nobody).next<{ is: Seen }>();
    assert.deepEqual([is.active, is.subflows.length], [true, 1]);
  });

  test('a path that is a device: the first subflow leaves by it', async t => {
    const { near, far } = joinedNamespaces(t);
    const server = far.start(t, ECHO);
    await server.next();
    near.ip('route add 10.66.0.2/32 via 10.66.1.2');
    const { is } = await near.start(t, CLIENT({ paths: [{ local: 'net0' }] })).next<{ is: Seen }>();
    assert.deepEqual([is.active, is.subflows[0].local.address], [true, '10.66.0.1']);
  });

  for (const [option, leastMs] of [
    ['', 249],
    ['autoSelectFamilyAttemptTimeout: 500,', 499],
  ] as const) {
    test(`an address that does not answer costs ${leastMs + 1} ms, not the connection (RFC 8305)`, async t => {
      const namespace = new Namespace(t);
      namespace.ip('link add dark0 type veth peer name dark1');
      namespace.ip('link set dark1 up');
      namespace.ip('addr add 10.67.0.1/24 dev dark0');
      namespace.ip('link set dark0 up');
      const program = namespace.start(
        t,
        `
      const server = api.createServer({ backend: 'kernel' }, socket => socket.end('x'));
      await new Promise(resolve => server.listen(7000, '127.0.0.1', resolve));
      const began = performance.now();
      const tried = [];
      const slow = [];
      const socket = api.connect({ ${option} backend: 'kernel', port: 7000, host: 'x', lookup: (_h, _o, callback) =>
        callback(null, [{ address: '10.67.0.9', family: 4 }, { address: '127.0.0.1', family: 4 }]) });
      socket.on('connectionAttempt', address => tried.push(address));
      socket.on('connectionAttemptTimeout', address => slow.push(address));
      socket.on('data', () => say({ tried, slow, ms: performance.now() - began, active: socket.multipath.active }));`,
      );
      const { tried, slow, ms, active } = await program.next<{
        tried: string[];
        slow: string[];
        ms: number;
        active: boolean;
      }>();
      assert.deepEqual(slow, ['10.67.0.9']);
      assert.deepEqual([tried, active], [['10.67.0.9', '127.0.0.1'], true]);
      assert.ok(ms >= leastMs && ms < 3000, `${ms} ms`);
    });
  }

  test('in a worker thread', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `
      const { Worker } = await import('node:worker_threads');
      const server = api.createServer({ backend: 'kernel' }, socket => socket.end('x'));
      await new Promise(resolve => server.listen(7000, '127.0.0.1', resolve));
      const source = \`
        import { parentPort } from 'node:worker_threads';
        import { connect } from ${JSON.stringify(pathToFileURL(API).href)};
        const socket = connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' });
        socket.on('data', () => parentPort.postMessage(socket.multipath.active));\`;
      const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
      worker.on('error', error => say({ error: error.message }));
      worker.on('message', active => say({ active }));
      worker.on('exit', () => { say('gone'); process.exit(); });`,
    );
    assert.deepEqual(await program.next(), { active: true });
    assert.equal(await program.next(), 'gone');
  });

  test('a server whose path is a device hears what comes by it', async t => {
    const { near, far } = joinedNamespaces(t);
    const server = far.start(
      t,
      ECHO.replace("backend: 'kernel'", "backend: 'kernel', paths: [{ local: 'net1' }]"),
    );
    await server.next();
    const { is } = await near.start(t, CLIENT({ host: '10.66.1.2' })).next<{ is: Seen }>();
    assert.equal(is.active, true);
    const { error } = await near.start(t, CLIENT({ host: '10.66.0.2' })).next<{ error: string }>();
    assert.equal(error, 'ECONNREFUSED');
    const none = ECHO.replace("backend: 'kernel'", "backend: 'kernel', paths: [{ local: 'nodev0' }]");
    const failed = far.start(
      t,
      `${none.replace('7000', '7001')} server.on('error', ({ code }) => say({ code }));`,
    );
    assert.deepEqual(await failed.next(), { code: 'ENODEV' });
  });

  test(`no descriptor is left after ${LEAK_ROUNDS * 20} connections with aborts, refusals and timeouts`, async t => {
    const namespace = new Namespace(t);
    // Nobody answers there: an address of a network without neighbours.
    namespace.ip('link add dark0 type veth peer name dark1');
    namespace.ip('link set dark1 up');
    namespace.ip('addr add 10.67.0.1/24 dev dark0');
    namespace.ip('link set dark0 up');
    const program = namespace.start(t, LEAKS);
    const { before, after, ends } = await program.next<{
      before: number;
      after: number;
      ends: Record<string, number>;
    }>();
    assert.equal(after, before);
    for (const end of ['none', 'ABORT_ERR', 'ECONNREFUSED', 'ETIMEDOUT']) {
      assert.ok((ends[end] ?? 0) > LEAK_ROUNDS, `${end}: ${ends[end]} of ${JSON.stringify(ends)}`);
    }
  });

  test('a descriptor that is bound already', async t => {
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `
      const kernel = await import(${JSON.stringify(KERNEL)});
      const handle = kernel.newTcpHandle('server');
      kernel.adopt(handle, kernel.openStream({ family: 4, multipath: true }));
      handle.bind('127.0.0.1', 7001);
      const server = api.createServer({ backend: 'kernel' }, socket => socket.end('x'));
      server.listen({ fd: kernel.duplicate(handle.fd) }, () => {
        const socket = api.connect({ backend: 'kernel', port: 7001, host: '127.0.0.1' });
        socket.on('data', () => say({ active: socket.multipath.active, at: server.address() }));
      });`,
    );
    const at = { address: '127.0.0.1', family: 'IPv4', port: 7001 };
    assert.deepEqual(await program.next(), { active: true, at });
  });

  test('workers of a cluster share a port', async t => {
    const folder = mkdtempSync(join(tmpdir(), 'mptcp-test-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const worker = join(folder, 'worker.mjs');
    writeFileSync(
      worker,
      `import cluster from 'node:cluster';
      import { createServer } from ${JSON.stringify(API)};
      const server = createServer({ backend: 'kernel' }, socket => {
        socket.end(JSON.stringify({ id: cluster.worker.id, active: socket.multipath.active }));
      });
      server.listen(7002, '127.0.0.1', () => process.send('listening'));`,
    );
    const namespace = new Namespace(t);
    const program = namespace.start(
      t,
      `
      const { default: cluster } = await import('node:cluster');
      cluster.setupPrimary({ exec: ${JSON.stringify(worker)}, execArgv: ['--no-warnings'] });
      const workers = [cluster.fork(), cluster.fork()];
      await Promise.all(workers.map(worker => new Promise(resolve => worker.once('message', resolve))));
      const answers = await Promise.all(Array.from({ length: 40 }, async () => {
        let text = '';
        for await (const part of api.connect({ backend: 'kernel', port: 7002, host: '127.0.0.1' })) text += part;
        return JSON.parse(text);
      }));
      say({ ids: [...new Set(answers.map(({ id }) => id))].sort(), all: answers.every(({ active }) => active) });
      process.exit();`,
    );
    assert.deepEqual(await program.next(), { ids: [1, 2], all: true });
  });
});

/** Connections, each ended in a way that is drawn from a seed; counts descriptors before and after. */
const LEAKS = `
  const { readdirSync } = await import('node:fs');
  const served = new Set();
  const server = api.createServer({ backend: 'kernel' }, socket => {
    served.add(socket);
    socket.on('error', () => {}).on('close', () => served.delete(socket)).pipe(socket);
  });
  await new Promise(resolve => server.listen(7000, '127.0.0.1', resolve));
  const ends = {};
  let state = 1;
  const draw = below => (state = Math.imul(state, 1103515245) + 12345 >>> 0) % below;
  const one = () => new Promise(resolve => {
    const kind = draw(6);
    const controller = new AbortController();
    const socket = api.connect({
      backend: 'kernel',
      host: kind === 0 ? '10.67.0.9' : '127.0.0.1',
      port: kind === 1 ? 7 : 7000,
      signal: controller.signal,
      connectTimeoutMs: kind === 0 ? 1 + draw(20) : 5000,
    });
    let end = 'none';
    socket.on('error', error => { end = error.code; });
    socket.on('close', () => { ends[end] = (ends[end] ?? 0) + 1; resolve(); });
    if (kind === 2) setTimeout(() => controller.abort(), draw(3));
    else if (kind === 3) process.nextTick(() => controller.abort());
    else if (kind === 4) socket.on('connect', () => socket.resetAndDestroy());
    else { socket.on('data', () => socket.end()); socket.write('x'); }
  });
  const round = async () => { await Promise.all(Array.from({ length: 20 }, one)); };
  const settle = async () => { while (served.size > 0) await new Promise(resolve => setTimeout(resolve, 5)); };
  await round();
  await settle();
  const count = () => readdirSync('/proc/self/fd').length;
  const before = count();
  for (let i = 0; i < ${LEAK_ROUNDS}; i++) await round();
  await settle();
  say({ before, after: count(), ends });
  process.exit();`;

function noStrip(): string | false {
  try {
    execFileSync('iptables-legacy', ['-t', 'mangle', '-S'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'no iptables-legacy to remove TCP options with';
  }
}
