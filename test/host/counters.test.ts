// Counters under Linux's names: each of the kernel's is counted or has a reason, and those that are new move when
// what they count happens.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { test } from 'node:test';
import { constants as c } from '../../src/host/index.ts';
import { COUNTERS } from '../../src/tcp/index.ts';
import {
  COUNTERS_FILE,
  countersDocument,
  GROUPS,
  NOT_MULTIPATH,
  NOT_TCP,
  NOT_TCP_EXT,
  OWN,
} from './counter-table.ts';
import { made, recvText, SocketWorld, sendText } from './socket-world.ts';

test('docs/api/counters.md is what is counted, and every counter is in it', () => {
  assert.equal(readFileSync(COUNTERS_FILE, 'utf8'), countersDocument());
  assert.deepEqual([...Object.values(GROUPS).flat(), ...Object.keys(OWN)].sort(), [...COUNTERS].sort());
});

test('every counter of the kernel is counted or has a reason', t => {
  if (!release().startsWith('6.18.')) {
    t.skip(`the table is of Linux 6.18, and this is ${release()}`);
    return;
  }
  const text = readFileSync('/proc/net/netstat', 'utf8') + readFileSync('/proc/net/snmp', 'utf8');
  const namesOf = (group: string): string[] =>
    (text.split('\n').find(line => line.startsWith(`${group}: `)) ?? '').split(' ').slice(1);
  const reasons = {
    Tcp: Object.keys(NOT_TCP),
    TcpExt: NOT_TCP_EXT.flatMap(([, names]) => names),
    MPTcpExt: Object.keys(NOT_MULTIPATH),
  };
  for (const [group, not] of Object.entries(reasons)) {
    const known = [...(GROUPS[group] ?? []), ...not].sort();
    assert.deepEqual(known, namesOf(group).sort(), group);
  }
});

test('CurrEstab and MPCurrEstab are what there is now', () => {
  const world = new SocketWorld({ multipath: true, paths: 2 });
  world.client.host.endpoints.add({ address: '10.2.0.1', subflow: true }, world.now);
  const { counters } = world.client.host;
  const { near, far } = world.pair();
  sendText(near, 'x', world.now);
  world.run(50);
  assert.deepEqual([counters.CurrEstab, counters.MPCurrEstab], [2, 1]);
  assert.equal(recvText(far, world.now), 'x');
  near.close(world.now);
  far.close(world.now);
  world.until('all state is gone', () => [...world.client.host.connections].length === 0);
  assert.deepEqual([counters.CurrEstab, counters.MPCurrEstab], [0, 0]);
  assert.ok(counters.TW >= 1);
});

test('joins: as backup, to a port that was announced, and a first connection to such a port', () => {
  const world = new SocketWorld({ multipath: true, paths: 2 });
  world.client.host.endpoints.add({ address: '10.2.0.1', subflow: true, backup: true }, world.now);
  world.client.host.endpoints.limit({ addAddrAccepted: 1 }, world.now);
  const announced = { address: world.serverAddress, port: 9000 };
  world.server.host.endpoints.add({ ...announced, signal: true }, world.now);
  const { near } = world.pair();
  sendText(near, 'x', world.now);
  world.run(100);
  const { client, server } = { client: world.client.host.counters, server: world.server.host.counters };
  assert.equal(server.MPJoinSynBackupRx, 1);
  assert.deepEqual([server.MPJoinPortSynRx, server.MPJoinPortAckRx, client.MPJoinPortSynAckRx], [1, 1, 1]);
  assert.equal(client.PortAdd, 1);
  world.clientSocket().connect(announced, world.now);
  world.run(5);
  assert.equal(server.MPCapableEndpAttempt, 1);
  world.client.host.endpoints.flush(world.now);
  assert.equal(client.RmSubflow, 1);
});

test('retransmissions by kind, delayed acknowledgements, windows that close and open', () => {
  const world = new SocketWorld();
  const { near, far } = world.pair();
  const { counters } = world.client.host;
  world.passes = () => false;
  sendText(near, 'lost', world.now);
  world.run(1000);
  world.passes = () => true;
  world.run(1000);
  assert.ok(counters.TCPSlowStartRetrans >= 1);
  assert.equal(counters.TCPSlowStartRetrans + counters.TCPFastRetrans, counters.RetransSegs);
  assert.equal(counters.TCPOrigDataSent, 1);
  far.setsockopt(c.SOL_TCP, c.TCP_QUICKACK, 0, world.now);
  const before = world.server.host.counters.DelayedACKs;
  sendText(near, 'alone', world.now);
  world.run(100);
  assert.equal(world.server.host.counters.DelayedACKs, before + 1);
  const small = new SocketWorld({ server: { receiveBufferBytes: 3000, receiveBufferInitialBytes: 3000 } });
  const pair = small.pair();
  pair.near.send(new Uint8Array(9000), 0, 9000, 0, small.now);
  small.run(1000);
  const server = small.server.host.counters;
  assert.equal(server.TCPToZeroWindowAdv, 1);
  recvText(pair.far, small.now);
  small.run(10);
  assert.equal(server.TCPFromZeroWindowAdv, 1);
});

test('a SYN that is sent again, a reset in the handshake', () => {
  const world = new SocketWorld();
  const { listener, address } = world.listening();
  world.passes = () => false;
  const near = world.clientSocket();
  near.connect(address, world.now);
  world.run(1500);
  assert.equal(world.client.host.counters.TCPSynRetrans, 1);
  // The SYN/ACK arrives nowhere, and the client gives up.
  world.passes = (_packet, from) => from === 'client';
  world.run(2000);
  assert.equal(listener.poll(), 0);
  world.passes = () => true;
  near.close(world.now);
  world.until('the listener has no half-open connection', () => listener.listening?.halfOpen === 0);
  assert.equal(world.server.host.counters.EmbryonicRsts, 1);
  const again = world.clientSocket();
  again.connect(address, world.now);
  world.run(5);
  made(listener.accept(world.now));
});
