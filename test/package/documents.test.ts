// The documents say what is so: their links lead somewhere, their tables list what there is, their examples
// run.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRORS } from '../../src/api/index.ts';
import { DEFAULT_CONFIG } from '../../src/host/config.ts';
import { FALLBACK_CAUSES } from '../../src/mptcp/index.ts';
import { skip as noNamespaces } from '../interop/netns.ts';

const root: string = fileURLToPath(new URL('../../../', import.meta.url));
const documents: string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'bench/RESULTS.md',
  ...markdownIn('docs'),
];

function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.md'))
    .map(name => `${folder}/${name.replaceAll('\\', '/')}`);
}

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** How a heading is called in a link. */
function anchorsOf(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

function fenced(markdown: string, language: string): string[] {
  return [...markdown.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'gm'))].map(
    ([, code = '']) => code,
  );
}

for (const path of documents) {
  test(`${path}: every link leads somewhere`, () => {
    const text = read(path);
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file = '', anchor = ''] = target.split('#');
      const full = file === '' ? join(root, path) : join(root, dirname(path), file);
      assert.ok(existsSync(full), `${target} is not there`);
      if (anchor === '' || !full.endsWith('.md')) continue;
      assert.ok(anchorsOf(readFileSync(full, 'utf8')).includes(anchor), `${target}: no such heading`);
    }
  });

  test(`${path}: every file and function it names in src is there`, () => {
    for (const [, file = '', name] of read(path).matchAll(
      /\(\.\.\/(src\/[\w/.-]+\.ts)\)(?:[^\n]{0,3}`(\w+)`)?/g,
    )) {
      assert.ok(existsSync(join(root, file)), `${file} is not there`);
      if (name) assert.match(read(file), new RegExp(`\\b${name}\\b`), `${file} has no ${name}`);
    }
  });
}

test('docs/api/errors.md has every code and no other', () => {
  const listed = [...read('docs/api/errors.md').matchAll(/^\| `(E\w+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual([...listed].sort(), Object.keys(ERRORS).sort());
});

test('docs/api/socket.md has every cause of a fallback, as the table of them says', () => {
  const rows = Object.entries(FALLBACK_CAUSES).map(
    ([cause, { section, counter, advice }]) => `| \`${cause}\` | §${section} | ${counter} | ${advice} |`,
  );
  const [, listed = ''] = read('docs/api/socket.md').split(
    '| cause | RFC 8684 | counter | |\n|---|---|---|---|\n',
  );
  assert.deepEqual(listed.split('\n\n')[0]?.split('\n'), rows);
});

test('docs/api/options.md has every setting of the protocol with its default', () => {
  const [, settings = ''] = read('docs/api/options.md').split('## Settings of the protocol');
  const rows = [...settings.matchAll(/^\| `(\w+)` \| `([^`]+)` \|/gm)];
  const listed = new Map(rows.map(([, key = '', value = '']) => [key, value]));
  for (const [key, value] of Object.entries(DEFAULT_CONFIG)) {
    assert.equal(listed.get(key), String(value), key);
    listed.delete(key);
  }
  assert.deepEqual([...listed.keys()], []);
});

test('docs/api/options.md has every option of connect, createServer, listen and paths', () => {
  const page = read('docs/api/options.md');
  const source = read('src/api/options.ts') + read('src/api/addresses.ts');
  const interfaces = ['SocketOptions', 'ConnectOptions', 'ServerOptions', 'ListenOptions', 'PathOption'];
  for (const name of interfaces) {
    const body = new RegExp(`^export interface ${name} [^]*?^}`, 'm').exec(source)?.[0] ?? '';
    const options = [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, option]) => option);
    assert.ok(options.length > 2, `${name} was not found`);
    for (const option of options) assert.ok(page.includes(`\`${option}\``), `${name}.${option}`);
  }
});

test('docs/ARCHITECTURE.md has every room', () => {
  const page = read('docs/ARCHITECTURE.md');
  for (const room of readdirSync(join(root, 'src'))) assert.match(page, new RegExp(`^${room} `, 'm'), room);
});

describe('examples', () => {
  function runExample(name: string): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, [join(root, name)], { encoding: 'utf8', timeout: 120_000 });
  }

  test('http.mjs', () => {
    const { status, stdout, stderr } = runExample('examples/http.mjs');
    assert.equal(stderr, '');
    assert.match(stdout, /^\/hello over Multipath TCP, \d path\(s\)\n$/);
    assert.equal(status, 0);
  });

  test('tls.mjs', () => {
    const { status, stdout, stderr } = runExample('examples/tls.mjs');
    assert.equal(stderr, '');
    assert.equal(stdout, 'certificate checked: true\nhello over TLSv1.3\n');
    assert.equal(status, 0);
  });

  const noLoopbackNetwork = process.platform !== 'linux' && '127.0.0.2 is an address on Linux only';
  test('two-paths.mjs', { skip: noLoopbackNetwork }, () => {
    const { status, stdout, stderr } = runExample('examples/two-paths.mjs');
    assert.equal(stderr, '');
    assert.match(stdout, /path "second" is in use\n/);
    assert.match(stdout, /path "first" is gone, it sent \d+ bytes\n/);
    assert.match(stdout, /received 20000000 bytes, intact\n/);
    assert.equal(status, 0);
  });

  test('kernel-handover.mjs', { skip: noNamespaces }, () => {
    const { status, stdout, stderr } = runExample('examples/kernel-handover.mjs');
    assert.doesNotMatch(stderr, /Error/);
    assert.match(stdout, /^wifi is in use\nlte is in use, as a backup\nwifi is not in use any more\n/);
    assert.match(stdout, /the longest answer took \d+ ms/);
    assert.doesNotMatch(stdout, /not done/);
    assert.equal(status, 0);
  });

  test('echo-server.mjs and echo-client.mjs', async t => {
    const server = spawn(process.execPath, [join(root, 'examples/echo-server.mjs'), '0', '127.0.0.1']);
    t.after(() => server.kill('SIGKILL'));
    const [line] = (await once(server.stdout, 'data')) as [Buffer];
    const [, port = ''] = /port (\d+)/.exec(line.toString()) ?? [];
    const client = spawn(process.execPath, [join(root, 'examples/echo-client.mjs'), 'over here', port]);
    const [answer] = (await once(client.stdout, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'over here\n');
    const [code] = (await once(client, 'exit')) as [number];
    assert.equal(code, 0);
  });
});

describe('the code in the documents runs', () => {
  // Inside the checkout, so that `mptcp` is found as the package itself.
  let folder = '';
  before(() => {
    mkdirSync(join(root, 'dist'), { recursive: true });
    folder = mkdtempSync(join(root, 'dist/document-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  for (const path of documents) {
    fenced(read(path), 'js')
      .filter(code => code.includes('console.log('))
      .forEach((code, index) => {
        test(`${path}, program ${index + 1}`, () => {
          const file = join(folder, `${path.replaceAll('/', '-')}-${index}.mjs`);
          writeFileSync(file, code);
          const { status, stdout, stderr } = spawnSync(process.execPath, [file], {
            encoding: 'utf8',
            timeout: 30_000,
          });
          assert.equal(stderr, '');
          assert.equal(status, 0);
          const expected = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text]) => text);
          assert.equal(stdout.trim(), expected.join('\n'));
        });
      });
  }
});
