// How often each place of a compiled file was reached, as V8 counts it: a test file is run once with
// NODE_V8_COVERAGE, and what that leaves is laid out over the characters of every file of interest.
//
// Before it: scratch.ts. After it: coverage.ts and mutation.ts.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Scratch } from './scratch.ts';

/** Of one file: how often the character at that place was reached. */
export type Counts = Float64Array;

export interface Run {
  test: string;
  cpuMs: number;
  passed: boolean;
  output: string;
  counts: Map<string, Counts>;
}

interface FunctionCoverage {
  ranges: { startOffset: number; endOffset: number; count: number }[];
}

/** Runs one test file and says what it reached of those files. */
export function reachOf(scratch: Scratch, test: string, files: readonly string[]): Run {
  const folder = mkdtempSync(join(scratch.folder, 'reach-'));
  const outcome = runTest(scratch, test, { env: { NODE_V8_COVERAGE: folder } });
  const counts: Map<string, Counts> = new Map();
  for (const name of readdirSync(folder)) {
    const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8'));
    for (const script of result as { url: string; functions: FunctionCoverage[] }[]) {
      if (!script.url.startsWith('file:')) continue;
      const path = fileURLToPath(script.url);
      const file = files.find(one => scratch.path(one) === path);
      if (file !== undefined) add(counts, file, layOut(script.functions, scratch.text(file).length));
    }
  }
  rmSync(folder, { recursive: true });
  return { test, counts, ...outcome };
}

/** Runs one test file until its first failure, or until it has used so many seconds of a processor. */
export function runTest(
  scratch: Scratch,
  test: string,
  options: { env?: Record<string, string>; cpuSeconds?: number } = {},
): { passed: boolean; cpuMs: number; output: string } {
  const reporter = `--test-reporter=${pathToFileURL(scratch.path('test/quality/first-failure.js')).href}`;
  const limit = options.cpuSeconds ?? 600;
  const command = `ulimit -t ${limit}; exec "$0" --max-old-space-size=1024 "$@"`;
  const outcome = spawnSync('/bin/sh', ['-c', command, process.execPath, reporter, scratch.path(test)], {
    cwd: scratch.folder,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
    maxBuffer: 64 << 20,
    // A test that waits for what never comes uses no processor.
    timeout: 20_000 + limit * 20_000,
    killSignal: 'SIGKILL',
  });
  const output = outcome.stdout + outcome.stderr;
  const cpuMs = Number(/^cpu-ms (\d+)$/m.exec(output)?.[1] ?? limit * 1_000);
  return { passed: outcome.status === 0, cpuMs, output };
}

/** Adds the counts of one run to those of others. */
export function add(sum: Map<string, Counts>, file: string, counts: Counts): void {
  const old = sum.get(file);
  if (old === undefined) sum.set(file, counts.slice());
  else for (let i = 0; i < old.length; i++) old[i] += counts[i];
}

/** Ranges lie in each other; the innermost of a place counts. */
function layOut(functions: readonly FunctionCoverage[], length: number): Counts {
  const counts = new Float64Array(length);
  const ranges = functions.flatMap(one => one.ranges);
  ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
  for (const { startOffset, endOffset, count } of ranges) counts.fill(count, startOffset, endOffset);
  return counts;
}
