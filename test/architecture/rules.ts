// The rules of docs/ARCHITECTURE.md that a machine can check, each a function from sources to complaints.
//
// The tables at the top are the rules; imports.test.ts applies them to src/ and, for each, to a source made
// to break it, so that a rule that no longer sees anything is noticed.

import { posix } from 'node:path';
import { blank, importsOf, lineAt, type SourceFile } from './source.ts';

/** An arrow means "may import". A room that is not listed may not exist. */
export const arrows: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  congestion: [],
  tcp: ['wire', 'congestion'],
  mptcp: ['tcp', 'congestion', 'wire'],
  host: ['mptcp', 'tcp', 'wire'],
  ffi: [],
  link: ['wire', 'ffi'],
  netmodel: ['wire'],
  sim: ['netmodel', 'host', 'link', 'wire'],
  emulator: ['netmodel', 'link', 'wire'],
  kernel: ['ffi', 'wire'],
  api: ['host', 'kernel', 'link', 'wire'],
  gateway: ['api'],
  dashboard: ['api'],
  cli: ['api', 'host', 'kernel', 'sim', 'emulator', 'gateway', 'dashboard'],
};

/** The core decides from what it is told: no clock, timer, chance, waiting, platform or output of its own. */
export const coreRooms: readonly string[] = ['wire', 'congestion', 'tcp', 'mptcp', 'host', 'netmodel'];

const bannedInCore: readonly { what: string; pattern: RegExp }[] = [
  { what: 'a clock', pattern: /\b(Date|performance|hrtime)\b/g },
  {
    what: 'a timer',
    pattern: /\b(setTimeout|setInterval|setImmediate|clearTimeout|queueMicrotask|nextTick)\b/g,
  },
  { what: 'randomness', pattern: /\bMath\.random\b|\b(crypto|randomFillSync|getRandomValues)\b/g },
  { what: 'waiting', pattern: /\b(async|await|Promise)\b/g },
  { what: 'the platform', pattern: /\b(process|Buffer|globalThis)\b/g },
  { what: 'output', pattern: /\bconsole\b/g },
];

/** The files outside the core that may read a clock or set a timer; everybody else is handed a driver. */
const clockKeepers: readonly RegExp[] = [
  /^src\/api\/clock\.ts$/,
  /^src\/sim\/swarm\.ts$/, // how long a world takes in real time, and an end for one that does not return
  /^src\/(emulator|cli|dashboard)\//,
];

const badFileNames = /(^|[-/])(utils?|helpers?|types|misc|common|manager2)\.ts$/;
/** What node:net calls so, and we therefore too. */
const namesOfNode: readonly string[] = ['getConnections', 'getTypeOfService'];
/** At the top or in a class: its indentation and its name. */
const functionHead =
  /^( {2})?(?:(?:export|default|static|async|override|private|get|set) )*(?:function\*? )?(#?\w+)[<(]/;
const maxFileLines = 500;
const maxFunctionLines = 70;
const maxLineColumns = 110;

export type Rule = (files: readonly SourceFile[]) => string[];

/** Every import between rooms is an arrow of the table, and the command uses only what is public. */
export const importsFollowArrows: Rule = files =>
  files.flatMap(file => {
    const room = roomOf(file.path);
    const allowed = arrows[room];
    if (!allowed) return [`${file.path}: there is no room "${room}" in the table of arrows`];
    return importsOf(file.text).flatMap(({ from, line }) => {
      if (!from.startsWith('.')) return [];
      const target = posix.join(posix.dirname(file.path), from);
      if (!target.startsWith('src/')) return [`${file.path}:${line}: imports ${target}, outside src`];
      const to = roomOf(target);
      if (to === room || allowed.includes(to)) return [];
      return [`${file.path}:${line}: ${room} may not import ${to} (${from})`];
    });
  });

/** Only files of the package and node: modules; the library has no dependencies. */
export const noDependencies: Rule = files =>
  files.flatMap(file =>
    importsOf(file.text)
      .filter(
        ({ from, dynamic }) =>
          !(dynamic && from === '') && !from.startsWith('.') && !from.startsWith('node:'),
      )
      .map(({ from, line }) => `${file.path}:${line}: imports the package ${from}`),
  );

export const coreIsPure: Rule = files =>
  files
    .filter(file => coreRooms.includes(roomOf(file.path)))
    .flatMap(file => {
      const code = blank(file.text, { literals: true });
      const words = bannedInCore.flatMap(({ what, pattern }) =>
        [...code.matchAll(pattern)]
          .filter(match => code[match.index - 1] !== '.' || match[0].includes('.'))
          .map(match => `${file.path}:${lineAt(code, match.index)}: ${what} in the core (${match[0]})`),
      );
      const modules = importsOf(file.text)
        .filter(({ from, dynamic }) => dynamic || !from.startsWith('.'))
        .map(({ from, line }) => `${file.path}:${line}: the core imports "${from}"`);
      return [...words, ...modules];
    });

/** One driver owns clock and timers; links, kernel and simulator are told the time. */
export const clocksHaveKeepers: Rule = files =>
  files
    .filter(file => !coreRooms.includes(roomOf(file.path)))
    .filter(file => !clockKeepers.some(keeper => keeper.test(file.path)))
    .flatMap(file => {
      const code = blank(file.text, { literals: true });
      const calls =
        /\b(setTimeout|setInterval|Date\.now|performance\.now|hrtime(\.bigint)?)\s*\(|\bnew Date\s*\(\)/g;
      return [...code.matchAll(calls)]
        .filter(match => !['.', '#'].includes(code[match.index - 1] ?? ''))
        .filter(match => !isMethodHead(code, match.index))
        .map(
          match => `${file.path}:${lineAt(code, match.index)}: ${match[0].trim()} outside the driver's clock`,
        );
    });

export const filesAreSmall: Rule = files =>
  files.flatMap(file => {
    const lines = file.text.split('\n').length - 1;
    return lines > maxFileLines ? [`${file.path}: ${lines} lines (at most ${maxFileLines})`] : [];
  });

export const linesAreShort: Rule = files =>
  files.flatMap(file =>
    file.text
      .split('\n')
      .flatMap((line, index) =>
        line.length > maxLineColumns ? [`${file.path}:${index + 1}: ${line.length} columns`] : [],
      ),
  );

/** The formatter indents, so a function at the top or in a class ends at the next brace in its own column. */
export const functionsAreShort: Rule = files =>
  files.flatMap(file => {
    const lines = blank(file.text, { literals: false }).split('\n');
    return lines.flatMap((line, index) => {
      const head = functionHead.exec(line);
      const indent = head?.[1] ?? '';
      // A call, or a member of an interface, ends where it stands.
      if (
        !head ||
        line.trimEnd().endsWith(';') ||
        (indent === '' && !/\bfunction\b/.test(line)) ||
        /^(if|for|while|switch|return)$/.test(head[2] ?? '')
      )
        return [];
      const end = lines.findIndex((other, at) => at >= index && new RegExp(`^${indent}}`).test(other));
      const opens = lines.slice(index, end).some(other => other.endsWith('{'));
      const length = end - index + 1;
      if (!opens || length <= maxFunctionLines || saysWhy(file.text.split('\n'), index)) return [];
      return [`${file.path}:${index + 1}: ${head[2]} has ${length} lines (at most ${maxFunctionLines})`];
    });
  });

/** A file opens with a comment that says what it decides; a program may have its #! line first. */
export const filesOpenWithComment: Rule = files =>
  files
    .filter(file => !/^(#![^\n]*\n)?(\/\/ \S|\/\*\*?\s)/.test(file.text))
    .map(file => `${file.path}: does not open with a comment`);

export const filesHaveNames: Rule = files =>
  files.filter(file => badFileNames.test(file.path)).map(file => `${file.path}: the name says nothing`);

/** `size()` and `size`, not `getSize()`. Accessors (`get size()`) are not meant. */
export const noGetPrefixes: Rule = files =>
  files.flatMap(file => {
    const code = blank(file.text, { literals: true });
    const named =
      /(?:\bfunction\s+|\bconst\s+|^ {2}(?:static |async )*(?=.*[{(]$))(get[A-Z]\w*)(?=\s*[<(=:])/gm;
    return [...code.matchAll(named)]
      .filter(match => !namesOfNode.includes(match[1] ?? ''))
      .map(match => `${file.path}:${lineAt(code, match.index)}: ${match[1]} begins with get`);
  });

/** `require('mptcp')` works on Node 22 and later only while nothing the entries load awaits at the top. */
export const noTopLevelAwait: Rule = files =>
  files
    .filter(file => roomOf(file.path) !== 'cli')
    .flatMap(file => {
      const code = blank(file.text, { literals: true });
      return [...code.matchAll(/^(?:[^\s].*\s|)await\b/gm)]
        .filter(match => !/\basync\b/.test(match[0]))
        .map(match => `${file.path}:${lineAt(code, match.index)}: await at the top level`);
    });

/** Whether the name at `index` is that of a method being defined or declared, not called. */
function isMethodHead(code: string, index: number): boolean {
  const start = code.lastIndexOf('\n', index) + 1;
  const line = code.slice(start, code.indexOf('\n', index));
  return index - start === 2 && /(\{|\): this;)$/.test(line.trimEnd());
}

function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

/** A comment directly above that says why the function is long: `// Long: …`. */
function saysWhy(lines: string[], index: number): boolean {
  for (let at = index - 1; at >= 0 && /^\s*(\/\/|\/?\*)/.test(lines[at] ?? ''); at -= 1) {
    if (/\bLong: \S/.test(lines[at] ?? '')) return true;
  }
  return false;
}
