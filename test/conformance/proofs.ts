// Finds the tests that prove a rule: those whose title begins with its id, `test('C8a, J6d: …'`.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** One test that names rules. */
export interface Proof {
  /** From the root of the repository. */
  readonly file: string;
  readonly ids: readonly string[];
  /** The title behind the ids; what a loop puts in is `…`. */
  readonly title: string;
}

/** A test, whatever it proves. */
export interface Title {
  /** From the root of the repository. */
  readonly file: string;
  /** What a loop puts in is `…`. */
  readonly title: string;
}

/** Every test of a source. */
export function titlesIn(file: string, source: string): Title[] {
  return [...source.matchAll(TEST)].map(([, , text = '']) => ({ file, title: readable(text) }));
}

/** Those of one file, as scenarios name it: room and name. */
export function titlesOf(name: string): Title[] {
  const file = `test/${name}.test.ts`;
  const url = new URL(`../../../${file}`, import.meta.url);
  return existsSync(url) ? titlesIn(file, readFileSync(url, 'utf8')) : [];
}

/** All of them, by file, in the order of their sources. */
export function proofs(): Proof[] {
  const folder = fileURLToPath(new URL('../../../test/', import.meta.url));
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map(name => name.replaceAll('\\', '/'))
    .filter(name => name.endsWith('.test.ts') && name !== SAMPLES)
    .sort()
    .flatMap(name => proofsIn(`test/${name}`, readFileSync(`${folder}${name}`, 'utf8')));
}

/** Those of one source. */
export function proofsIn(file: string, source: string): Proof[] {
  return [...source.matchAll(TEST)].flatMap(([, , text = '']) => {
    const head = HEAD.exec(text);
    if (head === null) return [];
    const [whole, ids = ''] = head;
    return [{ file, ids: ids.split(', '), title: readable(text.slice(whole.length)) }];
  });
}

/** A title as it is in the source, for people. */
function readable(text: string): string {
  return text.replace(/\$\{[^}]*\}/g, '…').replace(/\\(.)/g, '$1');
}

/** Tests of this file itself, with titles as samples. */
const SAMPLES = 'conformance/rules.test.ts';

/** A call of `test` or `it`, and its title. */
const TEST = /\b(?:test|it)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;

/** Ids, and whatever somebody may take for a list of them: what is not one is complained about. */
const HEAD = /^([A-Z]\d+[a-z]?(?:[ ,–-]+[A-Z]\d+[a-z]?)*): /;
