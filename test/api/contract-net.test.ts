// What the documentation of node:net says of sockets and servers beyond the everyday: events and their arguments, options,
// what is refused and with which code. Each test runs over node:net itself, our own stack, and the kernel's.

import assert from 'node:assert/strict';
import { ADDRCONFIG } from 'node:dns';
import { once } from 'node:events';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import {
  type Backend,
  backends,
  type Connection,
  type ConnectOptions,
  closeOf,
  Served,
} from './contract-bed.ts';
import { pattern, readAll, until } from './world.ts';

const NODE = Number(process.versions.node.split('.')[0]);
/** Two addresses for a name, the first of which refuses. */
const twoAddresses: net.LookupFunction = (_host, _options, callback) =>
  process.nextTick(() =>
    callback(null, [
      { address: '::1', family: 6 },
      { address: '127.0.0.1', family: 4 },
    ]),
  );

for (const backend of backends) {
  describe(backend.name, { skip: backend.skip, timeout: 30_000 }, () => {
    events(backend);
    writing(backend);
    states(backend);
    ends(backend);
    settings(backend);
    names(backend);
    listening(backend);
  });
}

/** Writes down the names of these events, with their arguments. */
function record(socket: Connection, ...names: string[]): unknown[][] {
  const heard: unknown[][] = [];
  for (const name of names) {
    socket.on(name, (...values: unknown[]) => {
      heard.push([
        name,
        ...values.map(value => (value instanceof Error ? (value as { code?: string }).code : value)),
      ]);
    });
  }
  return heard;
}

function events(backend: Backend): void {
  test('a name: lookup for each address, an attempt for each, the failed one with its error', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial({ host: 'two.test', autoSelectFamily: true, lookup: twoAddresses });
    const heard = record(
      client,
      'lookup',
      'connectionAttempt',
      'connectionAttemptFailed',
      'connect',
      'ready',
    );
    await once(client, 'ready');
    assert.deepEqual(heard, [
      ['lookup', null, '::1', 6, 'two.test'],
      ['lookup', null, '127.0.0.1', 4, 'two.test'],
      ['connectionAttempt', '::1', served.port, 6],
      ['connectionAttemptFailed', '::1', served.port, 6, 'ECONNREFUSED'],
      ['connectionAttempt', '127.0.0.1', served.port, 4],
      ['connect'],
      ['ready'],
    ]);
    const { autoSelectFamilyAttemptedAddresses: tried } = client as unknown as net.Socket;
    assert.deepEqual(tried, [`::1:${served.port}`, `127.0.0.1:${served.port}`]);
  });

  test('an address: no lookup', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    const heard = record(client, 'lookup', 'connectionAttempt', 'connect');
    await once(client, 'connect');
    assert.deepEqual(heard, [['connectionAttempt', '127.0.0.1', served.port, 4], ['connect']]);
  });

  test('an ordinary end: data, end, finish, close without an error', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const heard = record(client, 'end', 'finish', 'close', 'error', 'timeout');
    client.on('data', () => {});
    remote.end('bye');
    await once(client, 'close');
    assert.deepEqual(heard.slice(0, 1), [['end']]);
    assert.deepEqual(heard.slice(-1), [['close', false]]);
    assert.deepEqual(heard.map(([name]) => name).sort(), ['close', 'end', 'finish']);
  });

  test('a reset: error, then close with an error, and no end', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const heard = record(client, 'end', 'error', 'close');
    client.resume();
    remote.resetAndDestroy();
    await closeOf(client);
    assert.deepEqual(heard, [
      ['error', 'ECONNRESET'],
      ['close', true],
    ]);
  });

  test('destroyed before it is connected: close, and neither connect nor error', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    const heard = record(client, 'connect', 'error', 'close');
    client.destroy();
    await closeOf(client);
    assert.deepEqual(heard, [['close', false]]);
  });

  test('drain comes when what was written has gone, and write says whether to wait for it', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    assert.equal(client.write('x'), true);
    remote.pause();
    while (client.write(pattern(1 << 20)));
    assert.equal(client.writableNeedDrain, true);
    remote.resume();
    await once(client, 'drain');
    assert.equal(client.writableLength, 0);
  });
}

function writing(backend: Backend): void {
  test('strings in an encoding, bytes, and the callbacks of write and end', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const received = readAll(remote);
    const done: string[] = [];
    client.write('c3a4', 'hex', () => done.push('hex'));
    client.write(Uint8Array.of(33), () => done.push('bytes'));
    client.write('', () => done.push('nothing'));
    client.end('ä', 'latin1', () => done.push('end'));
    assert.equal((await received).toString('latin1'), 'Ã¤!ä');
    await until(() => done.length === 4, 'four callbacks');
    assert.deepEqual(done, ['hex', 'bytes', 'nothing', 'end']);
  });

  test('corked writes go together, in order', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    client.cork();
    for (const part of ['a', 'b', 'c']) client.write(part);
    client.uncork();
    client.end();
    assert.equal((await readAll(remote)).toString(), 'abc');
  });

  test('what cannot be written is thrown', async t => {
    const served = await Served.start(t, backend);
    const { client } = await served.pair();
    assert.throws(() => client.write(5 as never), { code: 'ERR_INVALID_ARG_TYPE' });
    assert.throws(() => client.write(null as never), { code: 'ERR_STREAM_NULL_VALUES' });
  });

  test('a write to a destroyed socket fails in its callback, and there only', async t => {
    const served = await Served.start(t, backend);
    const { client } = await served.pair();
    const heard = record(client, 'error');
    client.destroy();
    const error = await new Promise<NodeJS.ErrnoException>(resolve =>
      client.write('late', failure => resolve(failure as NodeJS.ErrnoException)),
    );
    assert.equal(error.code, 'ERR_STREAM_DESTROYED');
    assert.deepEqual(heard, []);
  });

  test('bytesWritten counts what waits for the connection, and stays after the end', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    client.write('ä');
    client.write(Buffer.alloc(3));
    assert.equal(client.bytesWritten, 5);
    const remote = await served.next();
    remote.end(Buffer.alloc(7));
    client.resume().end();
    remote.resume();
    await closeOf(client);
    assert.deepEqual([client.bytesWritten, client.bytesRead], [5, 7]);
  });

  test('unread data is what pause leaves, and resume brings', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const heard: string[] = [];
    client.on('data', part => heard.push(String(part)));
    client.pause();
    assert.equal(client.isPaused(), true);
    remote.write('one');
    // What is written back and forth by another connection shows that time has passed.
    const other = await served.pair();
    other.remote.write('tick');
    await once(other.client, 'data');
    assert.deepEqual(heard, []);
    client.resume();
    await until(() => heard.join('') === 'one', 'the data');
  });

  test('highWaterMark is that of both sides', async t => {
    const served = await Served.start(t, backend, { highWaterMark: 5000 } as object);
    const { client, remote } = await served.pair({ highWaterMark: 3000 } as object);
    const marks = ({ readableHighWaterMark, writableHighWaterMark }: Connection) =>
      [readableHighWaterMark, writableHighWaterMark] as const;
    assert.deepEqual(marks(client), [3000, 3000]);
    assert.deepEqual(marks(remote), [5000, 5000]);
    // What counts: larger things pass.
    client.end(pattern(100_000));
    assert.equal((await readAll(remote)).length, 100_000);
  });
}

function states(backend: Backend): void {
  test('readyState, pending and connecting through a connection that ends one side after the other', async t => {
    const served = await Served.start(t, backend, { allowHalfOpen: true });
    const client = served.dial({ allowHalfOpen: true } as object);
    const seen = [client.readyState];
    const [remote] = await Promise.all([served.next(), once(client, 'connect')]);
    seen.push(client.readyState);
    client.end();
    seen.push(client.readyState);
    remote.resume();
    await once(remote, 'end');
    seen.push(remote.readyState);
    remote.end();
    client.resume();
    await closeOf(client);
    seen.push(client.readyState);
    assert.deepEqual(seen, ['opening', 'open', 'readOnly', 'writeOnly', 'closed']);
    assert.deepEqual([client.pending, client.connecting, client.destroyed], [true, false, true]);
  });

  test('addresses of both ends, before, during and of IPv6', async t => {
    const served = await Served.start(t, backend, { host: '::1' });
    const client = served.dial();
    assert.deepEqual(client.address(), {});
    assert.deepEqual(
      [client.remoteAddress, client.localAddress, client.localPort],
      [undefined, undefined, undefined],
    );
    const [remote] = await Promise.all([served.next(), once(client, 'connect')]);
    assert.deepEqual(client.address(), { address: '::1', family: 'IPv6', port: client.localPort });
    assert.deepEqual(
      [remote.remoteAddress, remote.remoteFamily, remote.remotePort],
      ['::1', 'IPv6', client.localPort],
    );
    assert.deepEqual(
      [remote.localAddress, remote.localFamily, remote.localPort],
      ['::1', 'IPv6', served.port],
    );
  });

  test('a connection ended by its timeout', async t => {
    const served = await Served.start(t, backend);
    const { client } = await served.pair();
    client.setTimeout(30, () => client.destroy());
    assert.equal(client.timeout, 30);
    await closeOf(client);
  });

  test('setTimeout(0) forgets, its callback too; what is no time is thrown', async t => {
    const served = await Served.start(t, backend);
    const { client } = await served.pair();
    const callback = () => assert.fail('no timeout was wanted');
    assert.equal(client.setTimeout(20, callback).setTimeout(0, callback), client);
    assert.deepEqual([client.listenerCount('timeout'), client.timeout], [0, 0]);
    for (const [value, code] of [
      [-1, 'ERR_OUT_OF_RANGE'],
      [Number.NaN, 'ERR_OUT_OF_RANGE'],
      ['soon', 'ERR_INVALID_ARG_TYPE'],
    ] as const) {
      assert.throws(() => client.setTimeout(value as number), { code }, String(value));
    }
    assert.throws(() => client.setTimeout(10, 'no function' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  });
}

function ends(backend: Backend): void {
  test('resetAndDestroy while connecting waits for the connection, then resets it', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial();
    const heard = record(client, 'connect', 'error', 'close');
    assert.equal(client.resetAndDestroy(), client);
    assert.equal(client.destroyed, false);
    await closeOf(client);
    assert.deepEqual(heard, [['connect'], ['close', false]]);
  });

  test('destroy from within a handler of data is the last that is heard', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    const heard = record(client, 'data', 'end', 'close', 'error');
    client.on('data', () => client.destroy());
    remote.on('error', () => {});
    remote.write('one');
    await closeOf(client);
    assert.deepEqual(
      heard.map(([name]) => name),
      ['data', 'close'],
    );
  });

  test('await using: a socket and a server are closed when that returns', async t => {
    const served = await Served.start(t, backend);
    const { client, remote } = await served.pair();
    remote.resume().on('error', () => {});
    await client[Symbol.asyncDispose]();
    assert.equal(client.destroyed, true);
    await closeOf(remote);
    const server = served.server as unknown as AsyncDisposable;
    await server[Symbol.asyncDispose]();
    assert.equal(served.server.listening, false);
  });

  test('an end that the peer does not answer leaves the socket readable', async t => {
    const served = await Served.start(t, backend, { allowHalfOpen: true });
    const { client, remote } = await served.pair();
    client.end();
    remote.resume();
    await once(remote, 'end');
    assert.deepEqual([client.readable, client.writable, client.destroyed], [true, false, false]);
    remote.end('last words');
    assert.equal((await readAll(client)).toString(), 'last words');
  });
}

function settings(backend: Backend): void {
  test('object mode is refused', () => {
    for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode']) {
      const options = { port: 9, host: '127.0.0.1', [name]: true } as ConnectOptions;
      assert.throws(() => backend.connect(options), { code: 'ERR_INVALID_ARG_VALUE' }, name);
    }
  });

  test('autoSelectFamily: false tries one address only', async t => {
    const served = await Served.start(t, backend);
    // node:net asks for one address then, and gets the first.
    const lookup: net.LookupFunction = (_host, options, callback) =>
      process.nextTick(() => {
        if (options.all === true) twoAddresses('', options, callback);
        else callback(null, '::1', 6);
      });
    const client = served.dial({ host: 'two.test', autoSelectFamily: false, lookup });
    const attempts = record(client, 'connectionAttempt');
    const [error] = await once(client, 'error').catch((failure: Error) => [failure]);
    assert.deepEqual([error.code, error.address, attempts.length], ['ECONNREFUSED', '::1', 1]);
  });

  const noBlockList =
    backend.name === 'node:net' && NODE < 24 && `Node ${process.version} has no such option`;
  test('blockList: what is on it is not connected to, and not accepted from', {
    skip: noBlockList,
  }, async t => {
    const blockList = new net.BlockList();
    blockList.addAddress('127.0.0.5');
    blockList.addSubnet('127.1.0.0', 16);
    const served = await Served.start(t, backend, { blockList } as object);
    const refused = served.dial({ host: '127.1.2.3', blockList } as object);
    const [error] = await once(refused, 'error').catch((failure: Error) => [failure]);
    assert.equal(error.code, 'ERR_IP_BLOCKED');
    let accepted = 0;
    served.server.on('connection', () => accepted++);
    const sentAway = served.dial({ localAddress: '127.0.0.5' });
    sentAway.on('error', () => {}).resume();
    await closeOf(sentAway);
    assert.equal(accepted, 0);
    await served.pair({ localAddress: '127.0.0.6', blockList } as object);
    assert.equal(accepted, 1);
  });

  const own = backend.name === "backend: 'user'";
  test('onread: a buffer of the application is read into, or it is refused', async t => {
    const served = await Served.start(t, backend);
    const heard: string[] = [];
    const onread = {
      buffer: Buffer.alloc(4),
      callback: (bytes: number, buffer: Uint8Array) => {
        heard.push(Buffer.from(buffer).toString('latin1', 0, bytes));
        return true;
      },
    };
    if (own) {
      assert.throws(() => served.dial({ onread } as object), {
        code: 'ERR_INVALID_ARG_VALUE',
        message: /"onread"/,
      });
      return;
    }
    const { client, remote } = await served.pair({ onread } as object);
    client.on('data', () => assert.fail("no 'data' with onread"));
    remote.end('0123456789');
    await once(client, 'end');
    assert.deepEqual([heard.join(''), heard[0], client.bytesRead], ['0123456789', '0123', 10]);
  });

  test('localPort: the port it comes from, or refused', async t => {
    const served = await Served.start(t, backend);
    const free = net.createServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port: localPort } = free.address() as net.AddressInfo;
    free.close();
    await once(free, 'close');
    if (own) {
      assert.throws(() => served.dial({ localPort }), {
        code: 'ERR_INVALID_ARG_VALUE',
        message: /"localPort"/,
      });
      return;
    }
    const { client, remote } = await served.pair({ localPort });
    assert.deepEqual([client.localPort, remote.remotePort], [localPort, localPort]);
  });

  test('a local address that is not there: EADDRNOTAVAIL', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial({ localAddress: '203.0.113.7' });
    const [error] = await once(client, 'error').catch((failure: Error) => [failure]);
    assert.equal(error.code, 'EADDRNOTAVAIL');
  });
}

function names(backend: Backend): void {
  test('family chooses among the addresses of a name', async t => {
    for (const [family, host] of [
      [4, '127.0.0.1'],
      [6, '::1'],
    ] as const) {
      const served = await Served.start(t, backend, { host });
      const lookup: net.LookupFunction = (_host, options, callback) =>
        process.nextTick(() => {
          const found = [
            options.family === 6 ? { address: '::1', family: 6 } : { address: '127.0.0.1', family: 4 },
          ];
          if (options.all === true) callback(null, found);
          else callback(null, found[0].address, found[0].family);
        });
      const { client } = await served.pair({ host: 'two.test', family, lookup });
      assert.equal(client.remoteAddress, host);
    }
  });

  test('a lookup that answers with one address', async t => {
    const served = await Served.start(t, backend);
    const asked: unknown[] = [];
    const { client } = await served.pair({
      host: 'one.test',
      hints: ADDRCONFIG,
      autoSelectFamily: false,
      lookup: (host, options, callback) => {
        asked.push(host, options.hints);
        process.nextTick(() => callback(null, '127.0.0.1', 4));
      },
    });
    assert.deepEqual([client.remoteAddress, asked], ['127.0.0.1', ['one.test', ADDRCONFIG]]);
  });

  test('a lookup that answers with what is no address', async () => {
    const client = backend.connect({
      ...{ port: 9, host: 'odd.test', autoSelectFamily: false },
      lookup: (_host, _options, callback) => process.nextTick(() => callback(null, 'nonsense', 4)),
    });
    const [error] = await once(client, 'error').catch((failure: Error) => [failure]);
    assert.equal(error.code, 'ERR_INVALID_IP_ADDRESS');
  });

  test('without a host it is localhost', async t => {
    const served = await Served.start(t, backend, { host: 'localhost' });
    const client = backend.connect({ port: served.port });
    t.after(() => void client.on('error', () => {}).destroy());
    await once(client, 'connect');
    assert.match(String(client.remoteAddress), /^(127\.0\.0\.1|::1)$/);
  });

  test('a port as text; what is no port is thrown', async t => {
    const served = await Served.start(t, backend);
    const client = served.dial({ port: String(served.port) as never });
    await once(client, 'connect');
    for (const port of [-1, 65_536, 1.5, 'http']) {
      assert.throws(
        () => backend.connect({ port: port as number, host: '127.0.0.1' }),
        { code: 'ERR_SOCKET_BAD_PORT' },
        String(port),
      );
      assert.throws(
        () => backend.createServer({}).listen({ port: port as number }),
        { code: 'ERR_SOCKET_BAD_PORT' },
        String(port),
      );
    }
  });
}

function listening(backend: Backend): void {
  type Forms = { listen(...values: unknown[]): net.Server };

  test('the forms of listen', async () => {
    for (const values of [
      [0],
      [0, '127.0.0.1'],
      [0, '127.0.0.1', 5],
      [{ port: 0, host: '127.0.0.1', exclusive: true }],
    ]) {
      const server = backend.createServer({}) as unknown as Forms & net.Server;
      await new Promise<void>(resolve => server.listen(...values, resolve));
      assert.equal(typeof (server.address() as net.AddressInfo).port, 'number');
      await new Promise(resolve => server.close(resolve));
    }
  });

  test('listen chains, and a server that was closed listens again', async () => {
    const server = backend.createServer({}) as unknown as Forms & net.Server;
    for (let round = 0; round < 2; round++) {
      assert.equal(server.listen(0, '127.0.0.1'), server);
      await once(server, 'listening');
      assert.equal(server.close(), server);
      await once(server, 'close');
    }
  });

  test('a server that listens for one family only', async t => {
    const served = await Served.start(t, backend, { host: '::1' });
    const client = served.dial({ host: '127.0.0.1' });
    const [error] = await once(client, 'error').catch((failure: Error) => [failure]);
    assert.equal(error.code, 'ECONNREFUSED');
  });

  test('an AbortSignal that has fired already', async () => {
    const server = backend.createServer({}) as unknown as Forms & net.Server;
    server.listen({ port: 0, host: '127.0.0.1', signal: AbortSignal.abort() });
    await once(server, 'close');
    assert.equal(server.listening, false);
  });

  test('what a dropped connection is told of', async t => {
    const served = await Served.start(t, backend);
    served.server.maxConnections = 1;
    await served.pair();
    const dropped = once(served.server as never, 'drop');
    const client = served.dial();
    client.on('error', () => {}).resume();
    const [info] = await dropped;
    assert.deepEqual(Object.keys(info).sort(), [
      ...['localAddress', 'localFamily', 'localPort', 'remoteAddress', 'remoteFamily', 'remotePort'],
    ]);
    assert.equal(typeof info.remotePort, 'number');
  });

  test('options of a server reach its sockets', async t => {
    const served = await Served.start(t, backend, { allowHalfOpen: true, pauseOnConnect: true });
    const { client, remote } = await served.pair();
    assert.deepEqual([remote.allowHalfOpen, remote.isPaused()], [true, true]);
    client.end('x');
    remote.resume();
    await once(remote, 'end');
    assert.equal(remote.writable, true);
    remote.end();
  });

  test('a hundred connections at once, each with its own bytes', async t => {
    const served = await Served.start(t, backend);
    served.server.on('connection', ((socket: Connection) => socket.pipe(socket)) as never);
    await Promise.all(
      Array.from({ length: 100 }, async (_none, i) => {
        const client = served.dial();
        client.end(`connection ${i}`);
        assert.equal((await readAll(client)).toString(), `connection ${i}`);
      }),
    );
  });
}
