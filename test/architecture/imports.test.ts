// The rules of the house, applied to src/, and to sources made to break them.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as rules from './rules.ts';
import { blank, importsOf, type SourceFile } from './source.ts';

const root: string = fileURLToPath(new URL('../../../', import.meta.url));
const sources: SourceFile[] = readFolder('src');

function readFolder(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => ({
      path: `${folder}/${name.replaceAll('\\', '/')}`,
      text: readFileSync(join(root, folder, name), 'utf8'),
    }));
}

function made(path: string, text: string): SourceFile[] {
  return [{ path, text }];
}

interface Case {
  title: string;
  rule: rules.Rule;
  breaks: SourceFile[];
  keeps: SourceFile[];
}

const cases: Case[] = [
  {
    title: 'rooms import only what the arrows allow',
    rule: rules.importsFollowArrows,
    breaks: [
      ...made('src/tcp/input.ts', "import { x } from '../mptcp/x.ts';"),
      ...made('src/wire/a.ts', "export * from '../tcp/state.ts';"),
      ...made('src/host/a.ts', "import {\n  a,\n  type B,\n} from '../api/b.ts';"),
      ...made('src/api/a.ts', "const a = await import('../sim/index.ts');"),
      ...made('src/mptcp/scheduler/a.ts', "import type { X } from '../../host/x.ts';"),
      ...made('src/api/a.ts', "import '../../test/run.ts';"),
      ...made('src/helpers/a.ts', ''),
    ],
    keeps: [
      ...made('src/mptcp/scheduler/a.ts', "import type { X } from '../path.ts';\nimport '../../tcp/a.ts';"),
      ...made('src/tcp/a.ts', "// import { x } from '../mptcp/x.ts';\nimport { a } from '../wire/index.ts';"),
    ],
  },
  {
    title: 'the library imports no package',
    rule: rules.noDependencies,
    breaks: [
      ...made('src/api/a.ts', "import koffi from 'koffi';"),
      ...made('src/api/a.ts', "import('chalk')"),
    ],
    keeps: made('src/api/a.ts', "import { hash } from 'node:crypto';\nimport './b.ts';"),
  },
  {
    title: 'the core has no clock, timer, chance, waiting, platform or output',
    rule: rules.coreIsPure,
    breaks: [
      'const a = Date.now();',
      'const a = performance.now();',
      'setTimeout(() => {}, 1);',
      'queueMicrotask(f);',
      'const a = Math.random();',
      'const a = crypto.randomUUID();',
      'export async function f() {}',
      'export const p = Promise.resolve();',
      "import { join } from 'node:path';",
      "import fc from 'fast-check';",
      "const m = import('./a.ts');",
      'console.log(1);',
      'process.exit();',
      'const b = Buffer.alloc(1);',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the source to be read has a template in it
      'const a = `at ${Date.now()}`;',
    ].flatMap((text, index) => made(`src/${rules.coreRooms[index % rules.coreRooms.length]}/a.ts`, text)),
    keeps: [
      ...made(
        'src/tcp/a.ts',
        '// Date.now() is not for us, nor await\nconst a = "console"; const b = /await/;',
      ),
      ...made('src/tcp/a.ts', 'const a = tcb.process(segment); const b = it.console;'),
      ...made('src/api/a.ts', 'const a = await Promise.resolve(process.pid);'),
    ],
  },
  {
    title: 'clocks and timers have one keeper',
    rule: rules.clocksHaveKeepers,
    breaks: [
      ...made('src/link/udp.ts', 'setTimeout(f, 1);'),
      ...made('src/api/socket.ts', 'const now = performance.now();'),
      ...made('src/sim/world.ts', 'const now = Date.now();'),
    ],
    keeps: [
      ...made('src/api/clock.ts', 'setTimeout(f, 1);'),
      ...made(
        'src/api/socket.ts',
        'class A {\n  setTimeout(ms: number): this {\n    super.setTimeout(ms);\n  }\n}',
      ),
    ],
  },
  {
    title: 'files have at most 500 lines',
    rule: rules.filesAreSmall,
    breaks: made('src/tcp/a.ts', 'a;\n'.repeat(501)),
    keeps: made('src/tcp/a.ts', 'a;\n'.repeat(500)),
  },
  {
    title: 'lines have at most 110 columns',
    rule: rules.linesAreShort,
    breaks: made('src/tcp/a.ts', 'a'.repeat(111)),
    keeps: made('src/tcp/a.ts', 'a'.repeat(110)),
  },
  {
    title: 'functions have at most 70 lines, or say why',
    rule: rules.functionsAreShort,
    breaks: [
      ...made('src/tcp/a.ts', `export function f(\n  a: number,\n): void {\n${'  a;\n'.repeat(70)}}\n`),
      ...made('src/tcp/a.ts', `class A {\n  #step(a: number): void {\n${'    a;\n'.repeat(70)}  }\n}\n`),
    ],
    keeps: [
      ...made(
        'src/tcp/a.ts',
        `// Long: one option after the other.\nfunction f(): void {\n${'  a;\n'.repeat(70)}}\n`,
      ),
      ...made('src/tcp/a.ts', `function f(): void {\n${'  a;\n'.repeat(68)}}\n`),
    ],
  },
  {
    title: 'files open with a comment',
    rule: rules.filesOpenWithComment,
    breaks: made('src/tcp/a.ts', "import './b.ts';\n// Late.\n"),
    keeps: [
      ...made('src/tcp/a.ts', '// What it decides.\n'),
      ...made('src/cli/a.ts', '#!/usr/bin/env node\n// What.\n'),
    ],
  },
  {
    title: 'file names say something',
    rule: rules.filesHaveNames,
    breaks: [
      ...made('src/tcp/utils.ts', ''),
      ...made('src/tcp/path-helpers.ts', ''),
      ...made('src/tcp/types.ts', ''),
    ],
    keeps: made('src/tcp/prototypes.ts', ''),
  },
  {
    title: 'no name begins with get',
    rule: rules.noGetPrefixes,
    breaks: [
      ...made('src/tcp/a.ts', 'export function getWindow(): number {}'),
      ...made('src/tcp/a.ts', 'class A {\n  getWindow(): number {\n    return 1;\n  }\n}'),
      ...made('src/tcp/a.ts', 'export const getWindow = () => 1;'),
    ],
    keeps: [
      ...made('src/tcp/a.ts', 'class A {\n  get window(): number {\n    return getSystemErrorMap();\n  }\n}'),
      ...made('src/tcp/a.ts', 'function f() {\n  getaway();\n  getSystemErrorMap().get(1);\n}'),
    ],
  },
  {
    title: 'no entry awaits at the top level',
    rule: rules.noTopLevelAwait,
    breaks: [
      ...made('src/api/a.ts', 'await import("./b.ts");'),
      ...made('src/api/a.ts', 'const a = await f();'),
    ],
    keeps: [
      ...made('src/api/a.ts', 'async function f() {\n  await g();\n}'),
      ...made('src/api/a.ts', 'export const f = async () => await g();'),
    ],
  },
];

for (const { title, rule, breaks, keeps } of cases) {
  describe(title, () => {
    test('in src', () => {
      const complaints = rule(sources);
      assert.equal(complaints.length, 0, `\n${complaints.join('\n')}`);
    });
    test('and the rule sees what breaks it', () => {
      for (const file of breaks)
        assert.notEqual(rule([file]).length, 0, `not seen: ${file.path}: ${file.text}`);
    });
    test('and leaves alone what keeps it', () => {
      for (const file of keeps) assert.deepEqual(rule([file]), [], file.text);
    });
  });
}

test('there are sources to read', () => {
  assert.ok(sources.length > 50, `${sources.length} files`);
});

test('comments and literals are blanked, columns stay', () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the source to be read has a template in it
  const text = "const a = 'x // y'; // z\nconst b = `1 ${c /* d */} 2`; const e = /[/'\"]/.test(f);";
  const bare = blank(text, { literals: true });
  assert.equal(bare.length, text.length);
  assert.equal(bare.replace(/ +/g, ' '), 'const a = ; \nconst b = c ; const e = .test(f);');
  assert.equal(blank(text, { literals: false }).includes("'x // y'"), true);
});

test('imports are listed with their lines', () => {
  const text =
    "import a, { b } from './a.ts';\nimport type { C } from './c.ts';\nexport {\n  d,\n} from './d.ts';\nimport './e.ts';";
  assert.deepEqual(
    importsOf(text).map(({ from, line, typeOnly }) => [from, line, typeOnly]),
    [
      ['./a.ts', 1, false],
      ['./c.ts', 2, true],
      ['./d.ts', 3, false],
      ['./e.ts', 6, false],
    ],
  );
});
