// What a test file's own process says to the test runner: one JSON line an event.
//
// node:test loads this module in the child (`--test-reporter`), hands it the events of that one file and
// writes what it yields to the file the runner named. Before: the test file. After: run.ts, which counts.

import { inspect } from 'node:util';

export type TestLine =
  | { kind: 'start'; name: string }
  | { kind: 'pass' | 'fail'; name: string; ms: number; suite: boolean; skip: string; error: string }
  | { kind: 'note'; text: string };

interface TestEvent {
  type: string;
  data: {
    name?: string;
    nesting?: number;
    message?: string;
    file?: string;
    skip?: string | boolean;
    todo?: string | boolean;
    details?: {
      duration_ms?: number;
      type?: string;
      error?: Error & { cause?: unknown; failureType?: string };
    };
  };
}

export default async function* lines(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const path: string[] = [];
  for await (const event of source) {
    const line = toLine(event, path);
    if (line) yield `${JSON.stringify(line)}\n`;
  }
}

function toLine({ type, data }: TestEvent, path: string[]): TestLine | undefined {
  const nesting = data.nesting ?? 0;
  if (type === 'test:dequeue') return { kind: 'start', name: data.name ?? '' };
  if (type === 'test:start') {
    path.length = nesting;
    path[nesting] = data.name ?? '';
    return undefined;
  }
  if (type === 'test:diagnostic') {
    const summary = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;
    const text = data.message ?? '';
    return summary.test(text) ? undefined : { kind: 'note', text };
  }
  if (type !== 'test:pass' && type !== 'test:fail') return undefined;
  return {
    kind: type === 'test:pass' ? 'pass' : 'fail',
    name: [...path.slice(0, nesting), data.name ?? ''].join(' › '),
    ms: data.details?.duration_ms ?? 0,
    suite: data.details?.type === 'suite',
    skip: reasonOf(data.skip) || reasonOf(data.todo),
    error: errorText(data.details?.error),
  };
}

function reasonOf(mark: string | boolean | undefined): string {
  if (mark === true) return 'no reason given';
  return mark || '';
}

/** node:test wraps what a test threw; a failed parent has no error of its own to show. */
function errorText(error: (Error & { cause?: unknown; failureType?: string }) | undefined): string {
  if (!error || error.failureType === 'subtestsFailed') return '';
  return inspect(error.cause ?? error, { depth: 6, maxStringLength: 20_000 });
}
