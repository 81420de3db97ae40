// The command line: help for everything, and one clear line with exit code 2 for what cannot be.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { runCommand } from './process.ts';

const folder: string = mkdtempSync(join(tmpdir(), 'mptcp-cli-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const emptyFile: string = join(folder, 'empty');
writeFileSync(emptyFile, '');

describe('help', () => {
  test('mptcp --help lists every command', async t => {
    const { code, stdout, stderr } = await runCommand(t, ['--help']);
    assert.equal(code, 0);
    assert.equal(stderr, '');
    for (const name of ['demo', 'listen', 'connect', 'tun', 'sim'])
      assert.match(stdout.toString(), new RegExp(`mptcp ${name} `));
    assert.match(stdout.toString(), /does not encrypt/);
  });

  test('mptcp alone prints the same, but was not asked for it', async t => {
    const { code, stdout } = await runCommand(t, []);
    assert.equal(code, 2);
    assert.match(stdout.toString(), /mptcp demo/);
  });

  for (const name of ['demo', 'listen', 'connect', 'tun', 'sim']) {
    for (const args of [
      [name, '--help'],
      ['help', name],
    ]) {
      test(`mptcp ${args.join(' ')}`, async t => {
        const { code, stdout, stderr } = await runCommand(t, args);
        assert.equal(code, 0);
        assert.equal(stderr, '');
        assert.match(stdout.toString(), new RegExp(`^mptcp ${name} `));
      });
    }
  }

  test('mptcp --version', async t => {
    const file = fileURLToPath(new URL('../../../package.json', import.meta.url));
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { version: string };
    const { code, stdout } = await runCommand(t, ['--version']);
    assert.equal(code, 0);
    assert.equal(stdout.toString(), `${version}\n`);
  });
});

describe('what cannot be gets one line and exit code 2', () => {
  const rows: [args: string[], line: RegExp][] = [
    [['fly'], /unknown command "fly"/],
    [['--fly'], /unknown option "--fly"/],
    [['demo', '--fly'], /unknown option '--fly'/],
    [['demo', '/no/such/file'], /cannot read \/no\/such\/file: there is no such file/],
    [['demo', folder], /is not a file/],
    [['demo', emptyFile], /is empty/],
    [['demo', 'a', 'b'], /unexpected argument "b"/],
    [['demo', '--cut', 'dsl'], /--cut takes wifi, lte or none, not "dsl"/],
    [['demo', '--size', 'big'], /--size has to be a whole number/],
    [['demo', '--size', '0'], /--size has to be a whole number/],
    [['listen'], /PORT is missing/],
    [['listen', '65536'], /PORT has to be a whole number from 0 to 65535/],
    [['listen', 'http'], /PORT has to be a whole number/],
    [['listen', '5000', '127.0.0.1', 'x'], /unexpected argument "x"/],
    [['listen', '0', '192.0.2.77'], /192\.0\.2\.77/],
    [['connect'], /HOST is missing/],
    [['connect', '127.0.0.1'], /PORT is missing/],
    [['connect', '127.0.0.1', '0'], /PORT has to be a whole number from 1/],
    [['connect', '127.0.0.1', '9', '--path', ',backup'], /--path needs an address or a device/],
    [['connect', '127.0.0.1', '9', '--path', '127.0.0.1,fast'], /--path knows "backup", not "fast"/],
    [['connect', '127.0.0.1', '9', '--path', 'nosuch0'], /nosuch0/],
    [['tun'], /tun takes up, down or translate, not ""/],
    [['tun', 'up'], /NAME is missing/],
    [['tun', 'up', 'a-very-long-name-for-it'], /no name for a device/],
    [['sim', '--seeds', 'many'], /--seeds has to be a whole number/],
    [['sim', '--jobs', '0'], /--jobs has to be a whole number/],
  ];
  for (const [args, line] of rows) {
    test(`mptcp ${args.join(' ').replace(folder, 'FOLDER')}`, async t => {
      const { code, stdout, stderr } = await runCommand(t, args);
      assert.equal(stdout.toString(), '');
      assert.match(stderr, /^mptcp[^\n]*\n$/);
      assert.match(stderr, line);
      assert.equal(code, 2);
    });
  }

  test('a port in use', async t => {
    const holder = createSocket('udp4');
    t.after(() => holder.close());
    holder.bind({ port: 0, address: '127.0.0.1', exclusive: true });
    await once(holder, 'listening');
    const { port } = holder.address();
    const { code, stderr } = await runCommand(t, ['listen', String(port), '127.0.0.1']);
    assert.match(stderr, /^mptcp listen:[^\n]*in use[^\n]*\n$/);
    assert.match(stderr, new RegExp(String(port)));
    assert.equal(code, 2);
  });
});
