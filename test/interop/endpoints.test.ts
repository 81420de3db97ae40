// Endpoints of our host, as `ip mptcp endpoint` has them, against the kernel: what they open, announce, and take back
// while a connection runs.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { constants as c, errno, type Socket, Sockets } from '../../src/host/index.ts';
import { skip, withBed } from './bed.ts';
import {
  active,
  CLIENT_VARIANTS,
  connectPair,
  eventually,
  exchange,
  exchangeHalf,
  greet,
  handshakeCounters,
  joinCounters,
  PATIENT,
  SERVER_VARIANTS,
  subflows,
} from './cell.ts';

const MIB = 1024 * 1024;
const MANY = 'mptcp limits set subflows 8 add_addr_accepted 8';
const twoPaths = { config: PATIENT, devices: 2, ip: [MANY] };
const followed = { endpoints: true };

for (const { title, over } of CLIENT_VARIANTS) {
  describe(`endpoints, ${title}`, { skip }, () => {
    test('one for subflows joins, becomes backup, and is withdrawn', () =>
      withBed({ ...over, ...twoPaths }, async bed => {
        const { endpoints } = bed.ours.host;
        const now = (): number => bed.ours.driver.now();
        const id = endpoints.add({ address: bed.ourAddress(1), subflow: true, id: 9 }, now());
        const pair = await connectPair(bed, { role: 'our client', connect: followed });
        await greet(pair);
        await subflows(pair.flow, 2);
        assert.equal((await pair.socket.info()).extraSubflows, 1);
        endpoints.change(id, { backup: true }, now());
        await bed.counted('MPPrioRx', 1);
        await exchangeHalf(pair, MIB);
        endpoints.remove(id, now());
        await bed.counted('RmAddr', 1);
        await eventually(() => active(pair.flow) === 1);
        await exchange(pair, MIB);
        await bed.assertCounters({ ...joinCounters('our client'), MPPrioRx: 1, RmAddr: 'any' });
      }));

    test('one that comes while the connection runs', () =>
      withBed({ ...over, ...twoPaths }, async bed => {
        const pair = await connectPair(bed, { role: 'our client', connect: followed });
        await exchangeHalf(pair, MIB);
        bed.ours.host.endpoints.add({ address: bed.ourAddress(1), subflow: true }, bed.ours.driver.now());
        await subflows(pair.flow, 2);
        await exchange(pair, MIB);
        await bed.assertCounters(joinCounters('our client'));
      }));

    test('without any there is one subflow, whatever the host has', () =>
      withBed({ ...over, ...twoPaths }, async bed => {
        const pair = await connectPair(bed, { role: 'our client', connect: followed });
        await exchange(pair, MIB);
        assert.equal(pair.flow.notices.filter(({ type }) => type === 'subflow').length, 1);
        await bed.assertCounters({ ...handshakeCounters('our client'), WinProbe: 'any' });
      }));
  });
}

for (const { title, over } of SERVER_VARIANTS) {
  describe(`endpoints, ${title}`, { skip }, () => {
    for (const port of [undefined, 8889]) {
      test(`one that signals, ${port === undefined ? 'without' : 'with'} a port, is joined, and withdrawn`, () =>
        withBed({ ...over, ...twoPaths }, async bed => {
          const { endpoints } = bed.ours.host;
          const place = { address: bed.ourAddress(1), ...(port === undefined ? {} : { port }) };
          const id = endpoints.add({ ...place, signal: true }, bed.ours.driver.now());
          const pair = await connectPair(bed, { role: 'our server', listen: { endpoints: true } });
          await greet(pair);
          await subflows(pair.flow, 2);
          await exchangeHalf(pair, MIB);
          endpoints.remove(id, bed.ours.driver.now());
          await bed.counted('RmAddr', 1);
          await eventually(() => active(pair.flow) === 1);
          await exchange(pair, MIB);
          await bed.assertCounters({
            ...joinCounters('our server'),
            ...{ AddAddr: 1, EchoAddTx: 1, RmAddr: 'any' },
            ...(port === undefined ? {} : { PortAdd: 1, MPJoinPortSynAckRx: 'any' }),
          });
        }));
    }
  });
}

describe('non-blocking sockets', { skip }, () => {
  for (const protocol of [c.IPPROTO_TCP, c.IPPROTO_MPTCP]) {
    const name = protocol === c.IPPROTO_MPTCP ? 'IPPROTO_MPTCP' : 'IPPROTO_TCP';
    test(`${name}: connect, send, receive, half-close, to the kernel`, () =>
      withBed({}, async bed => {
        const { driver, host } = bed.ours;
        const server = await bed.kernel.listen({
          address: '0.0.0.0',
          mptcp: protocol === c.IPPROTO_MPTCP,
        });
        const accepted = server.accept();
        const socket = new Sockets(host).socket(c.AF_INET, c.SOCK_STREAM, protocol) as Socket;
        // The bed's driver tells owners of their news; this one asks.
        Object.assign(socket, { ready: () => {} });
        assert.equal(
          socket.connect({ address: bed.kernelAddress(), port: server.port }, driver.now()),
          -errno.EINPROGRESS,
        );
        const peer = await accepted;
        await eventually(() => (socket.poll() & c.POLLOUT) !== 0);
        assert.equal(socket.getsockopt(c.SOL_SOCKET, c.SO_ERROR, driver.now()), 0);
        const text = Buffer.from('from non-blocking sockets');
        assert.equal(socket.send(text, 0, text.length, c.MSG_NOSIGNAL, driver.now()), text.length);
        assert.equal((await peer.receive({ bytes: text.length })).bytes, text.length);
        await peer.send({ bytes: 1000, shutdown: true });
        await eventually(() => (socket.poll() & c.POLLRDHUP) !== 0);
        const into = new Uint8Array(2000);
        assert.equal(socket.recv(into, 0, into.length, 0, driver.now()), 1000);
        assert.equal(socket.recv(into, 0, into.length, 0, driver.now()), 0);
        assert.equal(
          socket.getsockopt(c.SOL_TCP, c.TCP_IS_MPTCP, driver.now()),
          protocol === c.IPPROTO_MPTCP ? 1 : 0,
        );
        assert.equal(socket.shutdown(c.SHUT_WR, driver.now()), 0);
        assert.equal((await peer.receive()).ended, true);
        assert.equal(socket.close(driver.now()), 0);
      }));
  }
});
