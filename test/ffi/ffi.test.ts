// The foreign function interface, by each provider that this Node has: calls, errno, and readiness of a pipe.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Foreign, foreign, koffiForeign, load, nodeForeign } from '../../src/ffi/index.ts';

const source: string = fileURLToPath(new URL('../../src/', import.meta.url));
const providers: { name: string; make: () => Foreign | undefined }[] = [
  { name: 'node:ffi', make: nodeForeign },
  { name: 'koffi', make: koffiForeign },
];
const ENOENT = 2;
const EAGAIN = 11;

for (const { name, make } of providers) {
  const ffi = usable(make);
  const skip = ffi === undefined && `${name} is not there in Node ${process.version}`;
  describe(name, { skip }, () => {
    test('calls, and errno of the last call', () => {
      assert.ok(ffi);
      const open = ffi.call('open', ['text', 'i32']);
      assert.equal(open('/there/is/no/such/file', 0), -1);
      assert.equal(ffi.errno(), ENOENT);
      const { fds } = openPipe(ffi);
      const write = ffi.call('write', ['i32', 'bytes', 'size']);
      const read = ffi.call('read', ['i32', 'bytes', 'size']);
      assert.equal(write(fds[1], Uint8Array.of(7, 8, 9), 2), 2);
      const into = new Uint8Array(8);
      assert.equal(read(fds[0], into, 8), 2);
      assert.deepEqual([...into], [7, 8, 0, 0, 0, 0, 0, 0]);
      assert.equal(read(fds[0], into, 8), -1);
      assert.equal(ffi.errno(), EAGAIN);
      closeAll(ffi, fds);
    });

    test('a structure may point to memory that was allocated, which stays there', () => {
      assert.ok(ffi);
      const { fds, write } = openPipe(ffi);
      const memory = ffi.allocate(100_000);
      memory.bytes.fill(9);
      write(fds[1], Uint8Array.of(1, 2, 3, 4, 5), 5);
      // struct iovec { void *base; size_t length; }, where pointers have 64 bits.
      const vector = new BigUint64Array([memory.address + 99_990n, 10n]);
      const readv = ffi.call('readv', ['i32', 'bytes', 'i32']);
      assert.equal(readv(fds[0], new Uint8Array(vector.buffer), 1), 5);
      assert.deepEqual([...memory.bytes.subarray(99_989, 99_996)], [9, 1, 2, 3, 4, 5, 9]);
      closeAll(ffi, fds);
    });

    test('a symbol that does not exist is an error', () => {
      assert.throws(() => ffi?.call('no_such_function_anywhere', []));
    });

    test('poll tells of every arrival until the descriptor is read empty, and of none after close', async () => {
      assert.ok(ffi);
      const { fds, write, read } = openPipe(ffi);
      let bytes = 0;
      let wakes = 0;
      let onBytes = (_count: number): void => {};
      const into = new Uint8Array(4);
      const poll = ffi.poll(fds[0], () => {
        wakes++;
        const got = read(fds[0], into, 4);
        if (got > 0) bytes += got;
        onBytes(bytes);
      });
      const reach = (count: number): Promise<void> =>
        new Promise(resolve => {
          const hold = setInterval(() => {}, 1000);
          onBytes = now => {
            if (now < count) return;
            clearInterval(hold);
            resolve();
          };
        });
      for (let round = 1; round <= 3; round++) {
        const done = reach(round * 10);
        write(fds[1], new Uint8Array(10), 10);
        await done;
      }
      assert.equal(bytes, 30);
      assert.ok(wakes >= 9, `${wakes} wakes for 30 bytes read 4 at a time`);
      poll.close();
      poll.close();
      write(fds[1], new Uint8Array(1), 1);
      await new Promise(resolve => setTimeout(resolve, 20));
      assert.equal(bytes, 30);
      closeAll(ffi, fds);
    });

    test('a poll that nobody refers to survives a garbage collection', () => {
      const script = `
        import { ${name === 'koffi' ? 'koffiForeign' : 'nodeForeign'} as make } from '${source}ffi/index.js';
        const ffi = make();
        const pair = new Int32Array(2);
        ffi.call('pipe2', ['bytes', 'i32'])(new Uint8Array(pair.buffer), 0o4000);
        const into = new Uint8Array(1);
        const read = ffi.call('read', ['i32', 'bytes', 'size']);
        (() => { ffi.poll(pair[0], () => { read(pair[0], into, 1); console.log('woken'); process.exit(0); }); })();
        for (let i = 0; i < 5; i++) { globalThis.gc(); await new Promise(r => setTimeout(r, 5)); }
        ffi.call('write', ['i32', 'bytes', 'size'])(pair[1], into, 1);
        setTimeout(() => process.exit(1), 5000);`;
      const output = execFileSync(process.execPath, [
        '--expose-gc',
        '--no-warnings',
        '--input-type=module',
        '-e',
        script,
      ]);
      assert.equal(output.toString(), 'woken\n');
    });
  });
}

test('without any provider the error says what to install', () => {
  const failing = (): Foreign => {
    throw new Error("Cannot find module 'koffi'");
  };
  assert.throws(() => load([() => undefined, failing]), {
    code: 'ERR_FFI_UNAVAILABLE',
    message: /npm install koffi \(Cannot find module 'koffi'\)/,
  });
});

test('importing loads neither provider and prints nothing', () => {
  const script = `
    import '${source}ffi/index.js';
    import { createRequire } from 'node:module';
    const require = createRequire('${source}');
    console.log(Object.keys(require.cache).filter(path => path.includes('koffi')).length);`;
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' });
  assert.equal(output.toString(), '0\n');
});

test('what was loaded once is given again', { skip: usable(foreign) === undefined && 'no provider' }, () => {
  assert.equal(foreign(), foreign());
});

function usable(make: () => Foreign | undefined): Foreign | undefined {
  if (process.platform !== 'linux') return undefined;
  try {
    return make();
  } catch {
    return undefined;
  }
}

function openPipe(ffi: Foreign) {
  const fds = new Int32Array(2);
  const nonBlocking = 0o4000;
  assert.equal(ffi.call('pipe2', ['bytes', 'i32'])(new Uint8Array(fds.buffer), nonBlocking), 0);
  return {
    fds,
    write: ffi.call('write', ['i32', 'bytes', 'size']),
    read: ffi.call('read', ['i32', 'bytes', 'size']),
  };
}

function closeAll(ffi: Foreign, fds: Int32Array): void {
  const close = ffi.call('close', ['i32']);
  for (const fd of fds) close(fd);
}
