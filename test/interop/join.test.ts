// Further subflows: joined by either side's client, after either side's ADD_ADDR, up to four; backups, and paths
// whose priority changes; addresses that are withdrawn.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { kernelAddress, skip, withBed } from './bed.ts';
import {
  active,
  assertSpared,
  CLIENT_VARIANTS,
  carried,
  connectPair,
  eventually,
  exchange,
  exchangeHalf,
  greet,
  joinCounters,
  loadOf,
  PATIENT,
  SERVER_VARIANTS,
  subflows,
  twoSubflows,
  VARIANTS,
} from './cell.ts';

const MIB = 1024 * 1024;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';

for (const { title, role, over } of VARIANTS) {
  describe(`joins, ${title}`, { skip }, () => {
    for (const count of [2, 4]) {
      test(`${count} subflows, all of which carry data`, () =>
        withBed({ ...over, config: PATIENT, devices: count, ip: [MANY] }, async bed => {
          const joined = Array.from({ length: count - 1 }, (_, i) => i + 1);
          if (role === 'our server') {
            for (const device of joined) bed.ip(`mptcp endpoint add ${bed.kernelAddress(device)} subflow`);
          }
          const pair = await connectPair(bed, { role, paths: count });
          await greet(pair);
          await subflows(pair.flow, count);
          assert.equal((await pair.socket.info()).extraSubflows, count - 1);
          await exchangeHalf(pair, 16 * MIB);
          const bytes = carried(pair.flow);
          assert.equal(bytes.length, count);
          assert.ok(
            bytes.every(carriedBytes => carriedBytes > 0),
            `bytes by subflow: ${bytes}`,
          );
          await exchange(pair, MIB);
          assert.equal(await pair.flow.closed(), null);
          await bed.assertCounters(joinCounters(role, count - 1));
        }));
    }
  });
}

for (const { title, over } of CLIENT_VARIANTS) {
  const announced = `mptcp endpoint add ${kernelAddress(1, over.family)}`;
  describe(`what the kernel announces, ${title}`, { skip }, () => {
    test('A2, A7: an address that the kernel announces, with and without a port', () =>
      withBed(
        {
          ...over,
          config: PATIENT,
          devices: 2,
          // An IPv6 address with a port does not fit beside timestamps, and Linux 6.18 does not leave them out.
          sysctls: { 'net.ipv4.tcp_timestamps': over.family === 4 ? 1 : 0 },
          ip: [MANY, `${announced} signal`, `${announced} port 9999 signal`],
        },
        async bed => {
          const pair = await connectPair(bed, { role: 'our client' });
          await greet(pair);
          await subflows(pair.flow, 3);
          await exchange(pair, MIB);
          const ports = new Set(
            pair.flow.notices.flatMap(n => (n.type === 'subflow' ? [n.subflow.remote.port] : [])),
          );
          assert.deepEqual(ports, new Set([pair.port, 9999]));
          await bed.assertCounters({
            ...joinCounters('our client', 2),
            AddAddrTx: 2,
            EchoAdd: 2,
            MPJoinPortSynRx: 1,
            MPJoinPortAckRx: 1,
            PortAdd: 1,
          });
        },
      ));

    test('C6d: a server that denies joins to its first address: only the announced one is joined', () =>
      withBed(
        {
          ...over,
          config: PATIENT,
          devices: 2,
          sysctls: { 'net.mptcp.allow_join_initial_addr_port': 0 },
          ip: [MANY, `${announced} signal`],
        },
        async bed => {
          const pair = await connectPair(bed, { role: 'our client', paths: 2 });
          await greet(pair);
          await pair.flow.until(() => active(pair.flow) >= 2);
          await exchange(pair, MIB);
          const remotes = pair.flow.notices.flatMap(n =>
            n.type === 'subflow' ? [n.subflow.remote.address] : [],
          );
          assert.equal(remotes.filter(address => address === remotes[0]).length, 1);
          await bed.assertCounters({
            ...joinCounters('our client', remotes.length - 1),
            AddAddrTx: 1,
            EchoAdd: 1,
          });
        },
      ));
  });
}

for (const { title, over } of SERVER_VARIANTS) {
  describe(`what we announce, ${title}`, { skip }, () => {
    for (const port of [undefined, 8888]) {
      test(`A2: at an address that we announce, ${port === undefined ? 'without' : 'with'} a port`, () =>
        withBed({ ...over, config: PATIENT, devices: 2, ip: [MANY] }, async bed => {
          const advertised = { address: bed.ourAddress(1), ...(port === undefined ? {} : { port }) };
          const pair = await connectPair(bed, { role: 'our server', listen: { advertise: [advertised] } });
          await greet(pair);
          await subflows(pair.flow, 2);
          await exchange(pair, MIB);
          await bed.assertCounters({
            ...joinCounters('our server'),
            AddAddr: 1,
            EchoAddTx: 1,
            ...(port === undefined ? {} : { PortAdd: 1, MPJoinPortSynAckRx: 'any' }),
          });
        }));
    }

    test('C6d: a client that denies joins to its first address joins us, and is not joined', () =>
      withBed(
        {
          ...over,
          config: PATIENT,
          devices: 2,
          sysctls: { 'net.mptcp.allow_join_initial_addr_port': 0 },
          ip: [MANY],
        },
        async bed => {
          bed.ip(`mptcp endpoint add ${bed.kernelAddress(1)} subflow`);
          const pair = await connectPair(bed, { role: 'our server' });
          await greet(pair);
          await subflows(pair.flow, 2);
          await exchange(pair, MIB);
          await bed.assertCounters(joinCounters('our server'));
        },
      ));
  });
}

for (const { title, role, over } of VARIANTS) {
  describe(`priorities, ${title}`, { skip }, () => {
    test('J8, P1a: a subflow that begins as backup carries nothing while the first lives', () =>
      withBed({ ...over, config: PATIENT, devices: 2, ip: [MANY] }, async bed => {
        if (role === 'our server') bed.ip(`mptcp endpoint add ${bed.kernelAddress(1)} subflow backup`);
        const pair = await connectPair(bed, {
          role,
          ...(role === 'our client'
            ? {
                connect: {
                  paths: bed.interfaces().map((interfaceId, i) => ({ interfaceId, backup: i === 1 })),
                },
              }
            : {}),
        });
        await greet(pair);
        await subflows(pair.flow, 2);
        await exchangeHalf(pair, MIB);
        await assertSpared(bed, pair.flow, 1, { sent: 0, received: 0 });
        await exchange(pair, MIB);
      }));

    test('P1b: we make a subflow backup, and regular again: the kernel follows', () =>
      withBed({ ...over, config: PATIENT, devices: 2, ip: [MANY] }, async bed => {
        const pair = await twoSubflows(bed, role);
        pair.flow.setBackup(1, true);
        await exchangeHalf(pair, MIB);
        const second = loadOf(pair.flow, 1);
        await exchangeHalf(pair, MIB);
        await assertSpared(bed, pair.flow, 1, second);
        pair.flow.setBackup(1, false);
        pair.flow.setBackup(0, true);
        await exchangeHalf(pair, 100_000);
        const first = loadOf(pair.flow, 0);
        await exchangeHalf(pair, MIB);
        await assertSpared(bed, pair.flow, 0, first);
        assert.equal((await bed.moved())['MPPrioRx'], 3);
        await exchange(pair, MIB);
      }));

    test('P1b: the kernel makes a subflow backup, and regular again: we follow', () =>
      withBed({ ...over, config: PATIENT, devices: 2, ip: [MANY] }, async bed => {
        const pair = await twoSubflows(bed, role);
        const id = role === 'our client' ? 5 : 1;
        if (role === 'our client') bed.ip(`mptcp endpoint add ${bed.kernelAddress(0)} id 5 signal`);
        const backups = (): number => pair.flow.multipath().subflows.filter(subflow => subflow.backup).length;
        bed.ip(`mptcp endpoint change id ${id} backup`);
        await eventually(() => backups() === 1);
        const spared = pair.flow.multipath().subflows.findIndex(subflow => subflow.backup);
        await exchangeHalf(pair, 100_000);
        const before = loadOf(pair.flow, spared);
        await exchangeHalf(pair, MIB);
        await assertSpared(bed, pair.flow, spared, before);
        bed.ip(`mptcp endpoint change id ${id} nobackup`);
        await eventually(() => backups() === 0);
        await exchange(pair, MIB);
      }));
  });
}
