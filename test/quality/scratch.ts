// A copy of the project, built with source maps, in which a command may change what it likes: the compiled files are
// the copy's own, all else is a link to the project. And the rooms, with the tests that answer for each.
//
// After it: coverage.ts and mutation.ts.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { SourceMap } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The rooms of the protocol and the folders of tests that each has to be held by alone. The tests of the conformance
 * rules are tests of `src/mptcp`. Left out are the tests that measure memory, which take a minute
 * and see no protocol, and the one that holds a document against the rules.
 */
export const testFolders: Readonly<Record<string, readonly string[]>> = {
  wire: ['wire'],
  congestion: ['congestion'],
  tcp: ['tcp'],
  mptcp: ['mptcp', 'conformance'],
  host: ['host'],
};

export class Scratch {
  readonly folder: string = realpathSync(mkdtempSync(join(tmpdir(), 'mptcp-quality-')));
  readonly #maps: Map<string, SourceMap> = new Map();

  constructor() {
    const project = fileURLToPath(new URL('../../..', import.meta.url));
    for (const name of readdirSync(project)) {
      if (name !== 'dist' && name !== '.git') symlinkSync(join(project, name), join(this.folder, name));
    }
    const compiler = join(project, 'node_modules/typescript/bin/tsc');
    const outcome = spawnSync(
      process.execPath,
      [compiler, '-p', join(project, 'tsconfig.json'), '--outDir', join(this.folder, 'dist'), '--sourceMap'],
      { encoding: 'utf8' },
    );
    if (outcome.status !== 0) throw new Error(`the project does not build:\n${outcome.stdout}`);
  }

  /** The compiled files of a room, as `src/tcp/ack.js`. */
  sources(room: string): string[] {
    return this.#list(`src/${room}`, '.js');
  }

  /** The test files that answer for a room, as `test/tcp/close.test.js`. */
  tests(room: string): string[] {
    return testFolders[room]
      .flatMap(folder => this.#list(`test/${folder}`, '.test.js'))
      .filter(file => !/\/(allocation|rules)\.test\.js$/.test(file));
  }

  path(file: string): string {
    return join(this.folder, 'dist', file);
  }

  text(file: string): string {
    return readFileSync(this.path(file), 'utf8');
  }

  /** The file of the project that this one was compiled from. */
  origin(file: string): string {
    return file.replace(/\.js$/, '.ts');
  }

  /** The line, from 1, in the origin of a place in a compiled file, both from 0. */
  lineOf(file: string, line: number, column: number): number {
    let map = this.#maps.get(file);
    if (map === undefined) {
      map = new SourceMap(JSON.parse(readFileSync(`${this.path(file)}.map`, 'utf8')));
      this.#maps.set(file, map);
    }
    const entry = map.findEntry(line, column);
    return 'originalLine' in entry ? entry.originalLine + 1 : line + 1;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #list(folder: string, ending: string): string[] {
    return readdirSync(this.path(folder), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith(ending))
      .map(file => `${folder}/${file}`)
      .sort();
  }
}

/** `--room tcp`, or all of `rooms`; an unknown one is refused. */
export function chosenRooms(
  named: readonly string[] | undefined,
  rooms: readonly string[],
): readonly string[] {
  for (const room of named ?? []) {
    if (testFolders[room] === undefined) {
      throw new Error(`there is no room '${room}': use ${Object.keys(testFolders).join(', ')}`);
    }
  }
  return named ?? rooms;
}
