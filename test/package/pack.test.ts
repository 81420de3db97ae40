// The package as a stranger gets it: packed, installed offline, imported, required, type-checked, run.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root: string = fileURLToPath(new URL('../../../', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);
const entries = ['mptcp', 'mptcp/core', 'mptcp/kernel', 'mptcp/sim'] as const;

let folder = '';
let packed: string[] = [];
const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version;

/** npm with the Node that runs this test, whatever is first in PATH. */
function npm(args: string[], cwd: string): string {
  const script = process.env['npm_execpath'];
  const quiet = [...args, '--silent', '--ignore-scripts'];
  const [program, all] = script?.endsWith('.js') ? [process.execPath, [script, ...quiet]] : ['npm', quiet];
  return execFileSync(program, all, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

function run(args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8', timeout: 60_000 });
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'mptcp-pack-'));
  const [pack] = JSON.parse(npm(['pack', '--json', '--pack-destination', folder], root)) as {
    filename: string;
    files: { path: string }[];
  }[];
  assert.ok(pack);
  packed = pack.files.map(file => file.path);
  writeFileSync(join(folder, 'package.json'), '{ "name": "consumer", "private": true, "type": "module" }\n');
  npm(['install', '--offline', '--no-audit', '--no-fund', join(folder, pack.filename)], folder);
});

after(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('the packed package', () => {
  test('holds the library and its documents, no tests, no benchmarks, no sources of them', () => {
    const allowed = /^(dist\/src\/.*\.(js|d\.ts)|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
    assert.deepEqual(
      packed.filter(path => !allowed.test(path)),
      [],
    );
    for (const path of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'dist/src/cli/main.js',
      'dist/src/api/index.d.ts',
    ]) {
      assert.ok(packed.includes(path), `${path} is missing`);
    }
  });

  test('depends on nothing', () => {
    const installed = JSON.parse(
      readFileSync(join(folder, 'node_modules/mptcp/package.json'), 'utf8'),
    ) as object;
    assert.equal('dependencies' in installed, false);
    assert.equal(existsSync(join(folder, 'node_modules/node')), false);
  });

  for (const entry of entries) {
    test(`import('${entry}') exports something and warns of nothing`, () => {
      const script = `const m = await import('${entry}'); console.log(Object.keys(m).length)`;
      const { status, stdout, stderr } = run(['--input-type=module', '-e', script]);
      assert.equal(stderr, '');
      assert.equal(status, 0);
      assert.ok(Number(stdout) > 0);
    });

    test(`require('${entry}')`, { skip: major < 22 && 'require of ES modules came with Node 22' }, () => {
      const script = `console.log(Object.keys(require('${entry}')).length)`;
      const { status, stdout, stderr } = run(['--input-type=commonjs', '-e', script]);
      assert.equal(status, 0, stderr);
      assert.ok(Number(stdout) > 0);
    });
  }

  test('types resolve for a strict consumer', () => {
    mkdirSync(join(folder, 'ts'), { recursive: true });
    writeFileSync(
      join(folder, 'ts/use.mts'),
      [
        "import { Duplex } from 'node:stream';",
        "import { connect, createServer, type Server, type Socket } from 'mptcp';",
        "import { Host } from 'mptcp/core';",
        "import { runSwarm } from 'mptcp/sim';",
        'const server: Server = createServer((socket: Socket) => void socket.pipe(socket));',
        "const socket = connect({ port: 1, host: '127.0.0.1', paths: [{ local: '127.0.0.1', name: 'a' }] });",
        'const stream: Duplex = socket;',
        'const rtt: number | null | undefined = socket.multipath.subflows[0]?.rttMs;',
        '// @ts-expect-error a port is a number',
        'const wrong: number = socket.multipath.active;',
        'export { Host, runSwarm, rtt, server, stream, wrong };',
      ].join('\n'),
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const options = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2023',
      '--skipLibCheck',
      'false',
    ];
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const { status, stdout, stderr } = run([tsc, ...options, ...types, 'ts/use.mts']);
    assert.equal(status, 0, stdout + stderr);
  });

  test('the command runs', () => {
    const bin = join(folder, 'node_modules/mptcp/dist/src/cli/main.js');
    assert.match(readFileSync(bin, 'utf8'), /^#!\/usr\/bin\/env node\n/);
    const help = run([bin, '--help']);
    assert.equal(help.status, 0, help.stderr);
    assert.match(help.stdout, /mptcp demo/);
    assert.equal(run([bin, '--version']).stdout.trim(), version);
    assert.ok(existsSync(join(folder, 'node_modules/.bin/mptcp')) || process.platform === 'win32');
  });
});
