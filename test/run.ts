// Runs every built test file and reports: `node dist/test/run.js [PART-OF-A-PATH…] [--without PART,PART] [--repeat N]`.
//
// Each file runs in a process of its own, in a process group of its own, so that a file that hangs is ended
// with all it started. Files that count on the wall clock run alone, after the others; those with the kernel mostly
// wait, each cell in namespaces of its own, and run a few at a time, but for those that measure how long something takes.
// node:test's `run()` is not used: on some versions its time limit does not end a file that keeps its event loop busy.
// `--repeat N` goes through everything N times, counts each round, and does not stop at a failure.
// The last line is `N passed, N failed` (and `, N skipped`); the exit code is 1 on a failure or no test.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import type { TestLine } from './reporter.ts';

interface FileResult {
  file: string;
  passed: number;
  /** How long each of those that passed took. */
  testMs: number[];
  failures: { name: string; text: string }[];
  skipped: { name: string; reason: string }[];
  notes: string[];
  output: string;
  /** Tests that began and did not report: what to look at when the process had to be ended. */
  open: string[];
  ms: number;
}

const testFolder: string = fileURLToPath(new URL('.', import.meta.url));
const running: Set<ChildProcess> = new Set();

/** Rooms whose tests move real packets or start processes: their time limits assume a free processor. */
const wallClockRooms: readonly string[] = ['api', 'cli', 'emulator', 'interop', 'link', 'package'];
/** Of them: mostly waiting, and in namespaces of their own. */
const patientRoom = 'interop';
/** Files there that assert how long something takes. */
const measuring: readonly string[] = ['paths', 'kernel-backend', 'kernel-paths', 'wire', 'fuzz'];
const patientWidth = 3;
const fileLimitMs = 300_000;
const killGraceMs = 2_000;
const outputLimit = 20_000;

const { values: options, positionals: parts } = parseArgs({
  allowPositionals: true,
  options: { repeat: { type: 'string', default: '1' }, without: { type: 'string', default: '' } },
});
await main(parts, Math.max(1, Number(options.repeat) || 1));

async function main(filters: string[], repeat: number): Promise<void> {
  const startedAt = performance.now();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopAll(signal));
  const scratch = mkdtempSync(join(tmpdir(), 'mptcp-test-'));
  const files = findFiles(filters);
  const patient = files.filter(file => roomOf(file) === patientRoom && !measuring.includes(partOf(file)));
  const alone = files.filter(file => wallClockRooms.includes(roomOf(file)) && !patient.includes(file));
  const together = files.filter(file => !alone.includes(file) && !patient.includes(file));
  const results: FileResult[] = [];
  try {
    for (let round = 1; round <= repeat; round++) {
      if (repeat > 1) console.log(`round ${round} of ${repeat}`);
      const before = results.length;
      const roundAt = performance.now();
      await runFiles(together, Math.max(1, availableParallelism()), scratch, results);
      await runFiles(patient, patientWidth, scratch, results);
      await runFiles(alone, 1, scratch, results);
      if (repeat > 1) printRound(results.slice(before), (performance.now() - roundAt) / 1000);
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  const failed = summarize(results, (performance.now() - startedAt) / 1000);
  process.exitCode = failed ? 1 : 0;
}

function roomOf(file: string): string {
  return file.split(/[\\/]/)[0] ?? '';
}

/** `paths` of interop/paths.test.js. */
function partOf(file: string): string {
  return (file.split(/[\\/]/)[1] ?? '').replace('.test.js', '');
}

function findFiles(filters: string[]): string[] {
  return readdirSync(testFolder, { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.js'))
    .filter(file => filters.length === 0 || filters.some(part => file.includes(part)))
    .filter(file => !options.without.split(',').some(part => part !== '' && file.includes(part)))
    .sort();
}

async function runFiles(
  files: string[],
  width: number,
  scratch: string,
  results: FileResult[],
): Promise<void> {
  const queue = [...files];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runFile(file, join(scratch, `${results.length}-${queue.length}.jsonl`));
      results.push(result);
      printFile(result);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, files.length) }, worker));
}

function runFile(file: string, reportPath: string): Promise<FileResult> {
  const startedAt = performance.now();
  const reporter = pathToFileURL(join(testFolder, 'reporter.js')).href;
  const options = [
    '--enable-source-maps',
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${reportPath}`,
  ];
  const child = spawn(process.execPath, [...options, join(testFolder, file)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child);
  let output = '';
  const keep = (chunk: Buffer): void => {
    if (output.length < outputLimit) output += chunk.toString();
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  let late = false;
  const limit = setTimeout(() => {
    late = true;
    signalGroup(child, 'SIGKILL');
  }, fileLimitMs);
  return new Promise(resolve => {
    child.on('exit', (code, signal) => {
      clearTimeout(limit);
      running.delete(child);
      signalGroup(child, 'SIGKILL'); // whatever the file started and forgot
      const ended = late
        ? `did not end within ${fileLimitMs / 1000} s`
        : signal
          ? `was ended by ${signal}`
          : '';
      const result = readReport(file, reportPath);
      result.ms = performance.now() - startedAt;
      result.output = output.trim();
      judge(result, ended || (code === 0 ? '' : `exited with code ${code}`));
      resolve(result);
    });
  });
}

function readReport(file: string, reportPath: string): FileResult {
  const open: string[] = [];
  const result: FileResult = {
    file,
    passed: 0,
    testMs: [],
    failures: [],
    skipped: [],
    notes: [],
    output: '',
    open,
    ms: 0,
  };
  for (const text of readLines(reportPath)) {
    const line = JSON.parse(text) as TestLine;
    if (line.kind === 'note') result.notes.push(line.text);
    if (line.kind === 'start') open.push(line.name);
    if (line.kind === 'note' || line.kind === 'start') continue;
    const last = line.name.split(' › ').at(-1) ?? '';
    if (open.includes(last)) open.splice(open.indexOf(last), 1);
    if (line.skip) result.skipped.push({ name: line.name, reason: line.skip });
    else if (line.kind === 'fail' && line.error) result.failures.push({ name: line.name, text: line.error });
    else if (line.kind === 'pass' && !line.suite) {
      result.passed += 1;
      result.testMs.push(line.ms);
    }
  }
  return result;
}

function readLines(path: string): string[] {
  try {
    // The last line has no end when the process was killed while writing it.
    return readFileSync(path, 'utf8').split('\n').slice(0, -1);
  } catch {
    return [];
  }
}

/** Turns what the process did into a failure where the tests in it did not report one themselves. */
function judge(result: FileResult, ended: string): void {
  const tests = result.passed + result.failures.length + result.skipped.length;
  if (ended && result.failures.length === 0) {
    const open = result.open.length > 0 ? `\nnot finished: ${result.open.join(', ')}` : '';
    result.failures.push({ name: '(the file)', text: `the test process ${ended}${open}` });
  } else if (tests === 0) {
    result.failures.push({ name: '(the file)', text: 'the file contains no test' });
  }
}

function printFile(result: FileResult): void {
  const failed = result.failures.length;
  const mark = failed > 0 ? 'FAIL' : 'ok  ';
  const counts = [`${result.passed} passed`];
  if (failed > 0) counts.push(`${failed} failed`);
  if (result.skipped.length > 0) counts.push(`${result.skipped.length} skipped`);
  const name = relative(process.cwd(), join(testFolder, result.file)).replace(/^dist[\\/]test[\\/]/, '');
  console.log(`${mark} ${name.padEnd(48)} ${counts.join(', ')}  (${(result.ms / 1000).toFixed(1)} s)`);
  for (const note of result.notes) console.log(`       ${note}`);
}

function printRound(results: FileResult[], seconds: number): void {
  const passed = results.reduce((sum, result) => sum + result.passed, 0);
  const failures = results.flatMap(result =>
    result.failures.map(({ name, text }) => `\n--- ${result.file} › ${name}\n${indent(text)}`),
  );
  for (const failure of failures) console.log(failure);
  const times = `${seconds.toFixed(1)} s, ${median(results.flatMap(result => result.testMs)).toFixed(0)} ms a test`;
  console.log(`round: ${passed} passed, ${failures.length} failed  (${times} at the median)\n`);
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

function summarize(results: FileResult[], seconds: number): boolean {
  results.sort((a, b) => (a.file < b.file ? -1 : 1));
  let passed = 0;
  let failed = 0;
  let skipped = 0;
  for (const result of results) {
    passed += result.passed;
    failed += result.failures.length;
    skipped += result.skipped.length;
    for (const test of result.skipped) console.log(`skipped: ${result.file}: ${test.name}: ${test.reason}`);
  }
  for (const result of results) {
    for (const failure of result.failures) {
      console.log(`\n--- ${result.file} › ${failure.name}\n${indent(failure.text)}`);
    }
    if (result.failures.length > 0 && result.output) {
      console.log(`\n--- ${result.file}, what it printed\n${indent(result.output)}`);
    }
  }
  console.log(`\nNode ${process.version}, ${results.length} files, ${seconds.toFixed(1)} s`);
  if (passed + failed === 0) console.log('no test was run');
  console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  return failed > 0 || passed === 0;
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid) process.kill(-child.pid, signal);
  } catch {
    // The group is gone: nothing is left to end.
  }
}

function stopAll(signal: NodeJS.Signals): void {
  for (const child of running) signalGroup(child, signal);
  setTimeout(() => {
    for (const child of running) signalGroup(child, 'SIGKILL');
    process.exit(130);
  }, killGraceMs).unref();
  process.exitCode = 130;
}
