// `fastOpen` of connect and createServer over our own stack (RFC 7413, RFC 8684 Appendix B): what was written at once goes
// with the SYN, arrives once, and is the next attempt's when this one fails. Counters are those of the stack, Linux's names.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { LookupFunction } from 'node:net';
import { test } from 'node:test';
import { createServer } from '../../src/api/index.ts';
import { stackFor } from '../../src/api/stack.ts';
import { dial, echo, hashOf, pattern, readAll, type Serving, serve, type TestScope, until } from './world.ts';

/** What `act` adds to the counters of Fast Open: with data sent, taken, and cookies asked for. */
async function counted(act: () => Promise<void>): Promise<[sent: number, taken: number, asked: number]> {
  const { counters } = stackFor({}).driver.host;
  const { TCPFastOpenActive, TCPFastOpenPassive, TCPFastOpenCookieReqd } = counters;
  await act();
  return [
    counters.TCPFastOpenActive - TCPFastOpenActive,
    counters.TCPFastOpenPassive - TCPFastOpenPassive,
    counters.TCPFastOpenCookieReqd - TCPFastOpenCookieReqd,
  ];
}

/** One exchange that leaves a cookie for the server's address with this process. */
async function acquaint(t: TestScope, serving: Serving): Promise<void> {
  const client = dial(t, serving, { fastOpen: true });
  client.end('who are you');
  assert.equal((await readAll(client)).toString(), 'who are you');
}

test('the first connection asks for a cookie, the next sends with its SYN, and multipath comes of it', async t => {
  // An address of its own: cookies are remembered for addresses.
  const serving = await serve(t, { host: '127.0.1.1', fastOpen: 16 }, echo);
  assert.deepEqual(await counted(() => acquaint(t, serving)), [0, 0, 1]);
  const order: string[] = [];
  serving.server.once('connection', socket => {
    order.push('connection');
    assert.equal(socket.multipath.active, false);
    assert.equal(socket.multipath.fallback, null);
  });
  const three = async (): Promise<void> => {
    const client = dial(t, serving, { fastOpen: true });
    client.once('connect', () => order.push('connect'));
    for (const piece of ['one, ', 'two, ']) client.write(piece);
    client.end('three');
    assert.equal((await readAll(client)).toString(), 'one, two, three');
    assert.equal(client.bytesWritten, 15);
    assert.equal(client.multipath.fallback, null);
  };
  assert.deepEqual(await counted(three), [1, 1, 0]);
  assert.deepEqual(order, ['connection', 'connect']);
});

test('more than a SYN holds arrives as it was sent, each byte once', async t => {
  const serving = await serve(t, { host: '127.0.1.2', fastOpen: 16 }, echo);
  await acquaint(t, serving);
  const bytes = pattern(3 << 20);
  const all = async (): Promise<void> => {
    const client = dial(t, serving, { fastOpen: true });
    client.end(bytes);
    assert.equal(hashOf(await readAll(client)), hashOf(bytes));
  };
  assert.deepEqual(await counted(all), [1, 1, 0]);
});

test('with a cookie and nothing to write the SYN leaves at once', async t => {
  const serving = await serve(t, { host: '127.0.1.3', fastOpen: 16 }, echo);
  await acquaint(t, serving);
  const client = dial(t, serving, { fastOpen: true });
  await once(client, 'connect');
  client.end('late');
  assert.equal((await readAll(client)).toString(), 'late');
});

test('without multipath it is the same', async t => {
  const serving = await serve(t, { host: '127.0.1.4', fastOpen: 16 }, echo);
  await acquaint(t, serving);
  const plain = async (): Promise<void> => {
    const client = dial(t, serving, { fastOpen: true, multipath: false });
    client.end('plain');
    assert.equal((await readAll(client)).toString(), 'plain');
  };
  assert.deepEqual(await counted(plain), [1, 1, 0]);
});

test('a server that did not ask for it, or requires multipath, gives no cookie', async t => {
  for (const [i, options] of [{}, { fastOpen: 0 }, { fastOpen: 16, require: true }].entries()) {
    const serving = await serve(t, { host: `127.0.2.${i + 1}`, ...options }, echo);
    await acquaint(t, serving);
    assert.deepEqual(await counted(() => acquaint(t, serving)), [0, 0, 1]);
  }
});

test('an attempt that fails leaves what it sent to the next', async t => {
  const gone = await serve(t, { host: '127.0.1.5', fastOpen: 16 }, echo);
  await acquaint(t, gone);
  gone.server.close();
  await once(gone.server, 'close');
  const serving = await serve(t, { host: '127.0.1.6', fastOpen: 16 }, echo);
  const lookup: LookupFunction = (_host, _options, callback) =>
    callback(null, [
      { address: '127.0.1.5', family: 4 },
      { address: '127.0.1.6', family: 4 },
    ]);
  const paths = [{ local: '127.0.0.1' }];
  const failed: string[] = [];
  const client = dial(t, serving, { host: 'two.test', lookup, paths, fastOpen: true });
  client.on('connectionAttemptFailed', (address: string) => failed.push(address));
  client.write('first, ');
  client.end('second');
  assert.equal((await readAll(client)).toString(), 'first, second');
  assert.deepEqual(failed, ['127.0.1.5']);
  await until(() => client.closed, 'close');
});

test('what makes no sense is refused by name', t => {
  const serving = { port: 7, host: '127.0.0.1' } as Serving;
  assert.throws(() => dial(t, serving, { fastOpen: 'yes' as never }), {
    code: 'ERR_INVALID_ARG_TYPE',
    message: /"fastOpen" is "yes".*true or false/,
  });
  assert.throws(() => createServer({ fastOpen: -1 }), {
    code: 'ERR_OUT_OF_RANGE',
    message: /"fastOpen" is -1.*0 to 65535/,
  });
});
