// `mptcp ss` and `mptcp stat` over the loopback, as any user may call them; and the lines of the others.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { connect, createServer } from '../../src/api/index.ts';
import { describe as endpointLine } from '../../src/cli/endpoint.ts';
import { describe as eventLine } from '../../src/cli/monitor.ts';
import { describe as socketLines } from '../../src/cli/ss.ts';
import { table } from '../../src/cli/stat.ts';
import { impediment, type MultipathEntry } from '../../src/kernel/index.ts';
import { Command } from './process.ts';

const skip: string | false = impediment()?.message ?? false;

describe('with a connection of the kernel', { skip }, () => {
  test('ss lists it, both ends and the listener', async t => {
    const server = createServer({ backend: 'kernel' }, socket => void socket.pipe(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const client = connect({ backend: 'kernel', port, host: '127.0.0.1' });
    t.after(() => {
      client.destroy();
      server.close();
    });
    client.write('hello');
    await once(client, 'data');
    const { stdout, code } = await new Command(t, ['ss', '--json']).ended;
    const sockets = JSON.parse(stdout.toString()) as MultipathEntry[];
    const [ours, theirs] = [
      sockets.find(({ remote }) => remote.port === port),
      sockets.find(({ local, state }) => local.port === port && state === 'ESTAB'),
    ];
    assert.equal(code, 0);
    assert.equal(ours?.info?.token, client.multipath.token);
    assert.deepEqual(ours?.local, { address: '127.0.0.1', port: client.localPort });
    assert.deepEqual(
      ours?.subflows.map(({ local, joined }) => [local.port, joined]),
      [[client.localPort, false]],
    );
    assert.equal(theirs?.subflows.length, 1);
    const listening = await new Command(t, ['ss', '--listening']).ended;
    assert.match(listening.stdout.toString(), new RegExp(`^LISTEN +127\\.0\\.0\\.1:${port}$`, 'm'));
  });

  test('stat shows counters with their meaning; --json all of them', async t => {
    const shown = await new Command(t, ['stat']).ended;
    assert.match(shown.stdout.toString(), /^MPCapableSYNTX +\d+ {2}SYN with MP_CAPABLE sent$/m);
    const { stdout } = await new Command(t, ['stat', '--all', '--json']).ended;
    const counters = JSON.parse(stdout.toString()) as Record<string, number>;
    assert.ok('MPJoinSynTx' in counters);
  });
});

test('a column of counters, and of what they grew by', () => {
  const counters = new Map([
    ['MPCapableSYNTX', 7],
    ['Unheard', 1200],
  ]);
  assert.equal(
    table(counters),
    'MPCapableSYNTX              7  SYN with MP_CAPABLE sent\nUnheard                  1200\n',
  );
  assert.match(table(counters, '+'), /^MPCapableSYNTX +\+7 /);
});

test('a socket with two subflows, in three lines', () => {
  const ends = (port: number) => ({
    local: { address: '10.0.0.1', port },
    remote: { address: 'fd00::2', port: 443 },
    ...{ state: 'ESTAB', receiveQueueBytes: 0, sendQueueBytes: 0, uid: 0, inode: 1 },
  });
  const tcp = { rttMs: 1.5, cwndSegments: 10, bytesSent: 3, bytesReceived: 4 } as never;
  const info = { token: 0xab, bytesSent: 5, bytesReceived: 6, bytesRetransmitted: 2 } as never;
  const plain = { token: 0xab, localId: 0, remoteId: 0, backupHere: false, backupThere: false, tcp };
  const subflows = [
    { ...ends(1000), ...plain, joined: false },
    { ...ends(1001), ...plain, joined: true, localId: 2, backupHere: true },
  ];
  assert.equal(
    socketLines({ ...ends(1000), info, subflows }),
    [
      'ESTAB       10.0.0.1:1000 → [fd00::2]:443  token 000000ab  sent 5 received 6 again 2',
      '  ESTAB     10.0.0.1:1000 → [fd00::2]:443  first  id 0/0  rtt 1.5 ms  cwnd 10  sent 3 received 4',
      '  ESTAB     10.0.0.1:1001 → [fd00::2]:443  joined  backup  id 2/0  rtt 1.5 ms  cwnd 10  sent 3 received 4\n',
    ].join('\n'),
  );
});

test('an event, and an endpoint', () => {
  const local = { address: '10.0.0.1', port: 5 };
  assert.equal(
    eventLine({ name: 'subflow-closed', token: 1, local, localId: 2, error: 104, backup: true }),
    'subflow-closed        token 00000001  10.0.0.1:5  id 2/-  backup  error 104\n',
  );
  const none = { port: 0, interfaceIndex: 0, signal: false, fullmesh: false, implicit: false };
  assert.equal(
    endpointLine({ ...none, id: 3, address: '10.0.0.1', subflow: true, backup: true }),
    'id 3  10.0.0.1  subflow  backup\n',
  );
});

describe('what makes no sense', () => {
  for (const [args, message] of [
    [['endpoint', 'add', 'localhost'], /ADDRESS has to be an IP address, not "localhost"/],
    [['endpoint', 'change'], /unknown action "change"/],
    [['endpoint', 'remove'], /ID or ADDRESS is missing/],
    [['limits', '--subflows', '9'], /--subflows has to be a whole number from 0 to 8/],
    [['stat', '--every', '0'], /SECONDS has to be a whole number from 1/],
    [['ss', 'x'], /unexpected argument "x"/],
    [['monitor', '--jsn'], /unknown option '--jsn'/],
  ] as const) {
    test(`mptcp ${args.join(' ')}`, async t => {
      const { code, stderr } = await new Command(t, args).ended;
      assert.match(stderr, message);
      assert.equal(code, 2);
    });
  }
});
