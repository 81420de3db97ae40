// `npm run coverage`: of each room of the protocol, how many lines and branches are reached by its own tests, and by
// the tests of all rooms of the protocol together; and every branch that none of them reaches, but for those that the
// source explains. With `--own` no tests but the room's own are run, and what they do not reach is named.
//
// An explanation stands at the end of the branch's line or alone on the line above, in one of two forms:
// `// unreachable: why` of what cannot happen unless the code is wrong, `// uncovered: why` of what can.
// It counts as uncovered all the same. The exit code is 1 when a branch has neither, when an explanation stands where
// all is reached, or when the room's own tests reach less than 95 %.
// Before it: syntax.ts and reach.ts.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { add, type Counts, reachOf } from './reach.ts';
import { chosenRooms, Scratch, testFolders } from './scratch.ts';
import { branchesOf, statementsOf } from './syntax.ts';

interface Tally {
  lines: number;
  linesReached: number;
  branches: number;
  branchesReached: number;
  explained: number;
  complaints: string[];
}

type Reach = Map<string, Counts>;

const { values } = parseArgs({
  options: { room: { type: 'string', multiple: true }, own: { type: 'boolean', default: false } },
});
const scratch = new Scratch();
process.once('exit', () => scratch.remove());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
main(chosenRooms(values.room, ['wire', 'congestion', 'tcp', 'mptcp']));

function main(rooms: readonly string[]): void {
  const files = rooms.flatMap(room => scratch.sources(room));
  const byAll: Reach = new Map();
  const own: Map<string, Reach> = new Map();
  for (const room of values.own ? rooms : Object.keys(testFolders)) {
    const byRoom: Reach = new Map();
    own.set(room, byRoom);
    for (const test of scratch.tests(room)) {
      const run = reachOf(scratch, test, files);
      if (!run.passed) throw new Error(`${test} fails:\n${run.output}`);
      for (const [file, one] of run.counts) {
        add(byRoom, file, one);
        add(byAll, file, one);
      }
    }
  }
  for (const room of rooms) {
    const byOwn = tallyOf(room, own.get(room) ?? byAll);
    report(room, byOwn, values.own ? byOwn : tallyOf(room, byAll));
  }
}

function tallyOf(room: string, reach: Reach): Tally {
  const tally = { lines: 0, linesReached: 0, branches: 0, branchesReached: 0, explained: 0, complaints: [] };
  for (const file of scratch.sources(room)) count(tally, file, reach.get(file));
  return tally;
}

function count(tally: Tally, file: string, counts: Counts | undefined): void {
  const text = scratch.text(file);
  const lineOf = lineFinder(file, text);
  const lines = sourceLines(file);
  const reached: Map<number, boolean> = new Map();
  for (const start of statementsOf(text)) {
    const line = lineOf(start);
    reached.set(line, (reached.get(line) ?? false) || (counts?.[start] ?? 0) > 0);
  }
  tally.lines += reached.size;
  tally.linesReached += [...reached.values()].filter(Boolean).length;

  const explanations = explanationsOf(file);
  const used: Set<number> = new Set();
  for (const branch of branchesOf(text)) {
    tally.branches += 1;
    const missed = branch.unless === undefined ? 0 : (counts?.[branch.unless] ?? 0);
    if ((counts?.[branch.at] ?? 0) - missed > 0) {
      tally.branchesReached += 1;
      continue;
    }
    const line = lineOf(branch.place);
    if (explanations.includes(line)) {
      tally.explained += 1;
      used.add(line);
    } else {
      const place = `${scratch.origin(file)}:${line}`;
      tally.complaints.push(`${place}: '${branch.what}' is not reached: ${lines[line - 1].trim()}`);
    }
  }
  for (const line of explanations) {
    if (used.has(line)) continue;
    tally.complaints.push(`${scratch.origin(file)}:${line}: explained, but every branch is reached`);
  }
}

function explanationsOf(file: string): number[] {
  const lines = sourceLines(file);
  const found: number[] = [];
  for (const [i, line] of lines.entries()) {
    if (!/\/\/ (unreachable|uncovered): \S/.test(line)) continue;
    // Alone on its line it speaks of the next one that is not a comment.
    let at = i;
    while (/^\s*\/\//.test(lines[at])) at++;
    found.push(at + 1);
  }
  return found;
}

function sourceLines(file: string): string[] {
  return readFileSync(join(scratch.folder, scratch.origin(file)), 'utf8').split('\n');
}

function lineFinder(file: string, text: string): (offset: number) => number {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return offset => {
    let line = starts.findIndex(start => start > offset) - 1;
    if (line < 0) line = starts.length - 1;
    return scratch.lineOf(file, line, offset - starts[line]);
  };
}

function report(room: string, own: Tally, all: Tally): void {
  const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`;
  const share = (tally: Tally) =>
    `lines ${percent(tally.linesReached, tally.lines)}, branches ${percent(tally.branchesReached, tally.branches)}`;
  console.log(
    `${room}: ${all.lines} lines, ${all.branches} branches; by its own tests ${share(own)}; by all ${share(all)}; ` +
      `${all.explained} branches explained, ${all.complaints.length} not`,
  );
  for (const complaint of all.complaints) console.log(`  ${complaint}`);
  const least = 0.95;
  const enough = own.linesReached >= least * own.lines && own.branchesReached >= least * own.branches;
  if (all.complaints.length > 0 || !enough) process.exitCode = 1;
}
