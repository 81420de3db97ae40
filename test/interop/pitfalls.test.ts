// The ways in which a Node program ends up with plain TCP though it asked for Multipath TCP, each provoked in a thousand
// connections. What became of them is for the counters of the kernel to say: they are Multipath TCP, or the program was
// told that they are not, and why.
//
// MPTCP_INTEROP=few makes them a hundred.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { API, Namespace } from './namespaces.ts';
import { skipNamespaces } from './netns.ts';

const MANY = process.env['MPTCP_INTEROP'] === 'few' ? 100 : 1000;
const REGISTER: string = pathToFileURL(API.replace('index.js', 'register.js')).href;
const KERNEL: string = fileURLToPath(new URL('../../src/kernel/index.js', import.meta.url));

/** What a program says when all its connections have been. */
interface Report {
  /** Connections of the client that were Multipath TCP to their end. */
  readonly multipath: number;
  /** Those that were not, and whose socket said so, by cause. */
  readonly fallbacks: Readonly<Record<string, number>>;
  /** Those that were not, and whose socket said nothing. */
  readonly unnoticed: number;
  readonly errors: Readonly<Record<string, number>>;
  /** Of those that a server in the same program accepted. */
  readonly served: { readonly multipath: number; readonly plain: number };
}

/**
 * Makes the connections, twenty at a time: each sends a byte, has it back, sends another, has that back, and is looked at
 * when it ends. `dial` makes a socket; `options` are those of `connect`.
 */
const RUN = `
  const report = { multipath: 0, fallbacks: {}, unnoticed: 0, errors: {}, served: { multipath: 0, plain: 0 } };
  const count = (table, name) => { table[name] = (table[name] ?? 0) + 1; };
  const statusOf = socket => socket.multipath ?? api.multipathOf(socket);
  const serve = socket => {
    socket.on('error', () => {});
    socket.once('data', () => report.served[statusOf(socket).active ? 'multipath' : 'plain']++);
    socket.pipe(socket);
  };
  const one = dial => new Promise(resolve => {
    const socket = dial();
    let told = 0;
    let bytes = 0;
    let status;
    socket.on('fallback', () => told++);
    socket.on('error', error => count(report.errors, error.code));
    socket.on('connect', () => socket.write('x'));
    socket.on('data', () => {
      bytes++;
      if (bytes === 1) return socket.write('y');
      status = statusOf(socket);
      socket.end();
    });
    socket.on('close', () => {
      if (status?.active) report.multipath++;
      else if (status?.fallback && told === 1) count(report.fallbacks, status.fallback.cause);
      else if (status !== undefined) report.unnoticed++;
      resolve(socket);
    });
  });
  const run = async (dial, each = one) => {
    for (let i = 0; i < ${MANY / 20}; i++) await Promise.all(Array.from({ length: 20 }, () => each(dial)));
  };`;

/** A server on 7000 of the same process. */
const SERVER = `
  const server = api.createServer({ backend: 'kernel' }, serve);
  await new Promise(resolve => server.listen({ port: 7000, host: '127.0.0.1', backlog: 64 }, resolve));`;

/** A client of this package's. */
const DIAL = (options: string): string => `
  const connect = (more = {}) => api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1', ...more });
  await run(() => connect(${options}));
  say(report);
  process.exit();`;

/** The same from a thread. */
const IN_THREAD = `
  import { parentPort } from 'node:worker_threads';
  import * as api from ${JSON.stringify(pathToFileURL(API).href)};
  ${RUN}
  await run(() => api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' }));
  parentPort.postMessage(report);`;

describe('plain TCP, unnoticed', { skip: skipNamespaces, timeout: 240_000 }, () => {
  const ways: { name: string; program: string; attempts?: number; served?: false }[] = [
    {
      name: 'turns of the event loop pass before a socket connects',
      program:
        SERVER +
        DIAL("{ host: 'x', lookup: (_h, _o, answer) => setTimeout(() => answer(null, '127.0.0.1', 4), 1) }"),
    },
    {
      ...{ name: 'the first address of a name refuses', attempts: 2 },
      program:
        SERVER +
        DIAL(`{ host: 'x', autoSelectFamily: true, lookup: (_h, _o, answer) =>
          answer(null, [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]) }`),
    },
    {
      ...{ name: 'the first address of a name is dead', attempts: 2 },
      program:
        SERVER +
        DIAL(`{ host: 'x', autoSelectFamily: true, lookup: (_h, _o, answer) =>
          answer(null, [{ address: '10.67.0.9', family: 4 }, { address: '127.0.0.1', family: 4 }]) }`),
    },
    {
      name: 'a local address and port are named',
      program: `${SERVER} let port = 20000; ${DIAL("{ localAddress: '127.0.0.3', localPort: ++port }")}`,
    },
    {
      name: 'a socket is used again after it was closed',
      program: `${SERVER}
        let refused = 0;
        const again = dial => one(dial).then(socket => {
          try { socket.connect(7000, '127.0.0.1'); } catch (error) { refused += error.code === 'EISCONN'; }
        });
        const connect = () => api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' });
        await run(connect, again);
        say(refused === ${MANY} ? report : { refused });
        process.exit();`,
    },
    {
      name: 'a server takes over a descriptor, with a backlog',
      program: `
        const kernel = await import(${JSON.stringify(KERNEL)});
        const handle = kernel.newTcpHandle('server');
        kernel.adopt(handle, kernel.openStream({ family: 4, multipath: true }));
        handle.bind('127.0.0.1', 7000);
        const server = api.createServer({ backend: 'kernel' }, serve);
        await new Promise(resolve => server.listen({ fd: kernel.duplicate(handle.fd), backlog: 64 }, resolve));
        ${DIAL('{}')}`,
    },
    {
      name: "a descriptor is given to one of Node's own sockets",
      program: `${SERVER}
        const net = await import('node:net');
        const kernel = await import(${JSON.stringify(KERNEL)});
        await run(() => {
          const handle = kernel.newTcpHandle('socket');
          kernel.adopt(handle, kernel.openStream({ family: 4, multipath: true }));
          // It must not be read before it is connected: it would be closed for that, and connect as plain TCP.
          const socket = new net.Socket({ handle, manualStart: true }).pause();
          socket.once('connect', () => socket.resume());
          setImmediate(() => socket.connect({ port: 7000, host: '127.0.0.1', autoSelectFamily: false }));
          return socket;
        });
        say(report);
        process.exit();`,
    },
    {
      name: 'a thread connects',
      program: `${SERVER}
        const { Worker } = await import('node:worker_threads');
        const source = ${JSON.stringify(IN_THREAD)};
        const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)));
        worker.on('error', error => say({ error: error.message }));
        worker.on('message', ({ served: _none, ...seen }) => {
          say({ ...seen, served: report.served });
          process.exit();
        });`,
    },
    {
      name: 'a program knows nothing of this package (mptcp/register)',
      program: `
        await import(${JSON.stringify(REGISTER)});
        const net = await import('node:net');
        await new Promise(resolve => net.createServer(serve).listen(7000, '127.0.0.1', 64, resolve));
        await run(() => net.connect(7000, '127.0.0.1'));
        say(report);
        process.exit();`,
    },
    {
      ...{
        name: 'it does, and its sockets are used again, or take the second address (mptcp/register)',
        attempts: 2,
      },
      program: `
        await import(${JSON.stringify(REGISTER)});
        const net = await import('node:net');
        await new Promise(resolve => net.createServer(serve).listen(7000, '127.0.0.1', 64, resolve));
        const lookup = (_host, _options, answer) =>
          answer(null, [{ address: '::1', family: 6 }, { address: '127.0.0.1', family: 4 }]);
        // Used before: it was refused, and closed.
        const used = () => new Promise(resolve => {
          const socket = new net.Socket();
          socket.on('error', () => {}).once('close', () => resolve(socket.removeAllListeners()));
          socket.connect(7, '127.0.0.1');
        });
        for (let i = 0; i < ${MANY / 20}; i++) {
          const [before] = [await Promise.all(Array.from({ length: 10 }, used))];
          const fresh = Array.from({ length: 10 }, () => () =>
            net.connect({ port: 7000, host: 'x', autoSelectFamily: true, lookup }));
          const again = before.map(socket => () => socket.connect(7000, '127.0.0.1'));
          await Promise.all([...fresh, ...again].map(one));
        }
        say(report);
        process.exit();`,
    },
  ];
  for (const { name, program, attempts = 1 } of ways) {
    test(`${MANY} connections are Multipath TCP though ${name}`, async t => {
      const namespace = withDeadNetwork(t);
      const seen = await namespace.start(t, RUN + program).next<Report>();
      assert.deepEqual(seen, {
        ...{
          multipath: MANY,
          fallbacks: {},
          unnoticed: 0,
          errors: {},
          served: { multipath: MANY, plain: 0 },
        },
      });
      const { MPCapableSYNTX, MPCapableACKRX } = namespace.counters();
      assert.deepEqual([MPCapableSYNTX, MPCapableACKRX], [attempts * MANY, MANY]);
      assert.equal(namespace.counters('Tcp')['PassiveOpens'], MANY);
    });
  }

  test(`${MANY} connections are Multipath TCP though workers of a cluster serve them`, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'mptcp-test-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const worker = join(folder, 'worker.mjs');
    writeFileSync(
      worker,
      `import * as api from ${JSON.stringify(API)};
      ${RUN}
      const server = api.createServer({ backend: 'kernel' }, serve);
      server.listen({ port: 7000, host: '127.0.0.1' }, () => process.send('listening'));
      process.on('message', () => process.send(report.served));`,
    );
    const namespace = withDeadNetwork(t);
    const program = namespace.start(
      t,
      `${RUN}
      const { default: cluster } = await import('node:cluster');
      cluster.setupPrimary({ exec: ${JSON.stringify(worker)}, execArgv: ['--no-warnings'] });
      const workers = [cluster.fork(), cluster.fork()];
      const heard = () => Promise.all(workers.map(worker => new Promise(resolve => worker.once('message', resolve))));
      await heard();
      await run(() => api.connect({ backend: 'kernel', port: 7000, host: '127.0.0.1' }));
      const told = heard();
      for (const worker of workers) worker.send('report');
      say({ ...report, served: await told });
      process.exit();`,
    );
    const { served, ...seen } = await program.next<{ served: Report['served'][] }>();
    assert.deepEqual(seen, { multipath: MANY, fallbacks: {}, unnoticed: 0, errors: {} });
    assert.ok(
      served.every(({ multipath, plain }) => multipath > MANY / 10 && plain === 0),
      JSON.stringify(served),
    );
    const { MPCapableSYNTX, MPCapableACKRX } = namespace.counters();
    assert.deepEqual([MPCapableSYNTX, MPCapableACKRX], [MANY, MANY]);
  });

  test(`${MANY} connections fail when Multipath TCP is switched off (net.mptcp.enabled=0), none is plain TCP`, async t => {
    const namespace = withDeadNetwork(t);
    const program = namespace.start(
      t,
      `${RUN} ${SERVER} say('listening'); await new Promise(resolve => process.stdin.once('data', resolve)); ${DIAL('{}')}`,
    );
    await program.next();
    namespace.sysctl({ 'net.mptcp.enabled': 0 });
    program.tell('go on');
    const seen = await program.next<Report>();
    assert.deepEqual([seen.errors, seen.multipath, seen.unnoticed], [{ ERR_MPTCP_NO_KERNEL: MANY }, 0, 0]);
    assert.equal(namespace.counters('Tcp')['ActiveOpens'] ?? 0, 0);
  });

  const strip = 'iptables-legacy -t mangle -A PREROUTING -p tcp -j TCPOPTSTRIP --strip-options 30';
  const removals: {
    name: string;
    match: string;
    fallbacks: readonly string[];
    counter: string | undefined;
  }[] = [
    {
      ...{ name: 'the SYN', match: '--dport 7000 --tcp-flags SYN,ACK SYN' },
      ...{ fallbacks: ['syn-ack-without-option'], counter: 'MPCapableFallbackSYNACK' },
    },
    {
      ...{ name: 'the SYN/ACK', match: '--sport 7000 --tcp-flags SYN,ACK SYN,ACK' },
      ...{ fallbacks: ['syn-ack-without-option'], counter: 'MPCapableFallbackSYNACK' },
    },
    {
      ...{ name: 'what the client sends after the SYN', match: '--dport 7000 --tcp-flags SYN NONE' },
      // The client hears of it when the server's segments come without options.
      ...{ fallbacks: ['ack-without-option', 'data-without-mapping'], counter: 'MPCapableFallbackACK' },
    },
    {
      ...{ name: 'what the server sends after the SYN/ACK', match: '--sport 7000 --tcp-flags SYN NONE' },
      ...{ fallbacks: ['data-without-mapping'], counter: undefined },
    },
  ];
  for (const { name, match, fallbacks, counter } of removals) {
    test(`${MANY} connections tell that their options were removed from ${name}`, {
      skip: noStrip(),
    }, async t => {
      const namespace = withDeadNetwork(t);
      namespace.exec(strip.replace('-p tcp', `-p tcp ${match}`));
      const seen = await namespace.start(t, `${RUN} ${SERVER} ${DIAL('{}')}`).next<Report>();
      assert.deepEqual([seen.multipath, seen.unnoticed, seen.errors], [0, 0, {}]);
      const causes = Object.entries(seen.fallbacks);
      assert.equal(
        causes.reduce((sum, [, times]) => sum + times, 0),
        MANY,
      );
      for (const [cause] of causes) assert.ok(fallbacks.includes(cause), JSON.stringify(seen.fallbacks));
      if (counter !== undefined) assert.equal(namespace.counters()[counter], MANY);
    });
  }
});

/** A namespace with a network on which nobody answers: 10.67.0.0/24. */
function withDeadNetwork(t: TestContext): Namespace {
  const namespace = new Namespace(t);
  namespace.ip('link add dark0 type veth peer name dark1');
  namespace.ip('link set dark1 up');
  namespace.ip('addr add 10.67.0.1/24 dev dark0');
  namespace.ip('link set dark0 up');
  // No neighbour is asked for, or the kernel would give up after 3 s.
  namespace.ip('neigh add 10.67.0.9 lladdr 02:00:00:00:00:09 dev dark0');
  return namespace;
}

function noStrip(): string | false {
  try {
    execFileSync('iptables-legacy', ['-t', 'mangle', '-S'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'no iptables-legacy to remove TCP options with';
  }
}
