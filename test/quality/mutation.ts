// `npm run mutation [-- --seed 1 --sample 300 --room tcp]`: of the comparisons, the `&&` and `||` and the numbers of the
// protocol, a sample is drawn; each is changed alone in a copy, and the tests of its room, and no others, are run
// against it until one fails. What no test notices is printed with its line. What is not changed: syntax.ts.
//
// Only test files that reach the place are run, those first that noticed changes of the same file before; no other
// could notice, but for places that are reached at load time, where all run. A test that takes three times the processor
// time that it takes otherwise has noticed, too. Interrupted, it says how far it has come. The exit code is 1 when less
// than nine tenths are noticed.
// Before it: syntax.ts and reach.ts.

import { writeFileSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Random } from '../../src/netmodel/index.ts';
import { type Run, reachOf, runTest } from './reach.ts';
import { chosenRooms, Scratch } from './scratch.ts';
import { type Mutant, mutantsOf } from './syntax.ts';

interface Candidate extends Mutant {
  room: string;
  file: string;
}

const { values } = parseArgs({
  options: {
    room: { type: 'string', multiple: true },
    seed: { type: 'string', default: '1' },
    sample: { type: 'string', default: '300' },
    /** `2/3`: the second third of the sample only, for several processes at once. */
    part: { type: 'string', default: '1/1' },
    /** Only of files whose path contains this. */
    file: { type: 'string', default: '' },
  },
});
const scratch = new Scratch();
process.once('exit', () => scratch.remove());
let report: () => void = () => {};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    report();
    process.exit(130);
  });
}
await main();

async function main(): Promise<void> {
  const startedAt = performance.now();
  const rooms = chosenRooms(values.room, ['wire', 'congestion', 'tcp', 'mptcp']);
  const all = rooms.flatMap(candidatesOf);
  const [part, parts] = values.part.split('/').map(Number);
  const sample = draw(all, Number(values.seed), Number(values.sample)).filter(
    (_, i) => i % parts === part - 1,
  );
  const runs: Map<string, Run[]> = new Map();
  for (const room of new Set(sample.map(one => one.room))) runs.set(room, runsOf(room));
  const noticed: Map<string, number> = new Map();
  let survivors = 0;
  let made = 0;
  report = () => {
    const share = (100 * (made - survivors)) / Math.max(made, 1);
    console.log(
      `seed ${values.seed}: ${made - survivors} of ${made} noticed, ${share.toFixed(1)} %; ${all.length} could be made; ` +
        `${((performance.now() - startedAt) / 1_000).toFixed(0)} s`,
    );
  };
  for (const [i, one] of sample.entries()) {
    made = i;
    if (i > 0 && i % 50 === 0) console.log(`${i} of ${sample.length} made, ${survivors} survived`);
    // A signal is heard in between only.
    await setImmediate();
    if (isNoticed(one, runs.get(one.room) ?? [], noticed)) continue;
    survivors += 1;
    console.log(describe(one));
  }
  made = sample.length;
  report();
  if (!(survivors <= 0.1 * made)) process.exitCode = 1;
}

function candidatesOf(room: string): Candidate[] {
  const files = scratch.sources(room).filter(file => scratch.origin(file).includes(values.file));
  return files.flatMap(file => mutantsOf(scratch.text(file)).map(mutant => ({ room, file, ...mutant })));
}

/** So many of them, each at most once. */
function draw(all: readonly Candidate[], seed: number, count: number): Candidate[] {
  const random = new Random(seed);
  const left = [...all];
  const drawn: Candidate[] = [];
  while (drawn.length < count && left.length > 0) {
    drawn.push(...left.splice(Math.floor(random.next() * left.length), 1));
  }
  return drawn;
}

function runsOf(room: string): Run[] {
  const files = scratch.sources(room);
  return scratch.tests(room).map(test => {
    const run = reachOf(scratch, test, files);
    if (!run.passed) throw new Error(`${test} fails before anything is changed:\n${run.output}`);
    return run;
  });
}

function isNoticed(one: Candidate, runs: readonly Run[], noticed: Map<string, number>): boolean {
  const original = scratch.text(one.file);
  const scoreOf = (run: Run) => ((noticed.get(`${one.file} ${run.test}`) ?? 0) + 0.05) / (300 + run.cpuMs);
  const chosen = runs
    .filter(run => (run.counts.get(one.file)?.[one.start] ?? 0) > 0)
    .sort((a, b) => scoreOf(b) - scoreOf(a));
  writeFileSync(scratch.path(one.file), original.slice(0, one.start) + one.text + original.slice(one.end));
  try {
    const by = chosen.find(run => {
      const cpuSeconds = 3 + Math.ceil((3 * run.cpuMs) / 1_000);
      return !runTest(scratch, run.test, { cpuSeconds }).passed;
    });
    if (by === undefined) return false;
    const key = `${one.file} ${by.test}`;
    noticed.set(key, (noticed.get(key) ?? 0) + 1);
    return true;
  } finally {
    writeFileSync(scratch.path(one.file), original);
  }
}

function describe(one: Candidate): string {
  const text = scratch.text(one.file);
  const lines = text.slice(0, one.start).split('\n');
  const line = scratch.lineOf(one.file, lines.length - 1, lines[lines.length - 1].length);
  const whole = text.split('\n')[lines.length - 1].trim();
  return `${scratch.origin(one.file)}:${line}: ${text.slice(one.start, one.end)} → ${one.text}: ${whole}`;
}
