// docs/MIDDLEBOXES.md, made from the rows and from what the matrix came to:
// `node dist/test/sim/middlebox-table.js --write` runs the matrix and writes the file; without `--write` it
// prints it.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MIDDLEBOX_ROWS, type MiddleboxRow } from '../../src/netmodel/index.ts';
import { type Cell, cells, judge, type Outcome, plainTcp, runCell } from './middlebox-cell.ts';
import { gapOf } from './middlebox-gaps.ts';
import { LINUX } from './middlebox-linux.ts';

/** What one cell came to. */
export interface Result {
  readonly cell: Cell;
  readonly gap: string | undefined;
  readonly wrong: readonly string[];
  /** Absent where a gap is known. */
  readonly outcome?: Outcome;
}

/** Runs one cell and judges it; a known gap is not run. */
export function resultOf(cell: Cell): Result {
  const gap = gapOf(cell);
  if (gap !== undefined) return { cell, gap, wrong: [] };
  const outcome = runCell(cell);
  return { cell, gap, wrong: judge(cell, outcome), outcome };
}

/** The document; `withoutTimes` leaves the times blank, for comparing. */
export function render(results: readonly Result[]): string {
  const lines = MIDDLEBOX_ROWS.map(row =>
    rendered(
      row,
      results.filter(({ cell }) => cell.row.id === row.id),
    ),
  );
  return [...HEAD, ...lines, ...gapsOf(results), ''].join('\n');
}

/** The document with every time replaced, so that two versions can be compared. */
export function withoutTimes(text: string): string {
  return text.replace(/[+−]?\d+ ms/g, '* ms');
}

function rendered(row: MiddleboxRow, results: readonly Result[]): string {
  const linux = LINUX[row.id] ?? 'not run';
  if (row.absent !== undefined)
    return `| ${row.id} | ${row.name} | ${row.demands} | ${linux} | ${row.absent} | – |`;
  return `| ${row.id} | ${row.name} | ${row.demands} | ${linux} | ${oursOf(results)} | ${timesOf(results)} |`;
}

function oursOf(results: readonly Result[]): string {
  const run = results.filter(({ outcome }) => outcome !== undefined);
  const gaps = results.length - run.length;
  const failed = run.filter(({ wrong }) => wrong.length > 0).length;
  const kinds = new Set(run.map(({ outcome }) => kindOf(outcome as Outcome)));
  const parts = KINDS.filter(kind => kinds.has(kind));
  const words = [parts.join(', or ')];
  if (failed > 0) words.push(`${failed} of ${results.length} cells fail`);
  if (gaps > 0) words.push(`${gaps} of ${results.length} cells not yet, see below`);
  return words.filter(word => word !== '').join('; ');
}

function kindOf(outcome: Outcome): (typeof KINDS)[number] {
  if (outcome.client.error !== null || outcome.server.error !== null) return 'an error at both ends';
  return outcome.carried === 'TCP' ? 'TCP' : 'MPTCP';
}

// Beside plain TCP through the same box, where that completes.
function timesOf(results: readonly Result[]): string {
  const extra: number[] = [];
  for (const { cell, outcome } of results) {
    const plain = plainTcp(cell);
    if (outcome === undefined || plain.client.error !== null || plain.endMs === Number.POSITIVE_INFINITY)
      continue;
    if (outcome.client.error === null) extra.push(outcome.endMs - plain.endMs);
  }
  if (extra.length === 0) return '–';
  extra.sort((a, b) => a - b);
  return `${signed(extra[extra.length >> 1])}, at most ${signed(extra[extra.length - 1])}`;
}

function signed(ms: number): string {
  const whole = Math.round(ms);
  return `${whole < 0 ? '−' : '+'}${Math.abs(whole)} ms`;
}

function gapsOf(results: readonly Result[]): string[] {
  const gaps = new Map<string, Set<string>>();
  for (const { cell, gap } of results) {
    if (gap !== undefined)
      gaps.set(gap, (gaps.get(gap) ?? new Set()).add(`${cell.row.id} (${cell.variant.name})`));
  }
  if (gaps.size === 0) return [];
  const lines = [...gaps].map(([reason, cellNames]) => `- ${[...cellNames].join(', ')}: ${reason}.`);
  return ['', '## Not yet', '', ...lines];
}

const KINDS = ['MPTCP', 'TCP', 'an error at both ends'] as const;
const HEAD: readonly string[] = [
  '# Middleboxes',
  '',
  'What middleboxes do to a connection, what [RFC 8684](https://www.rfc-editor.org/rfc/rfc8684) wants then, what Linux 6.18',
  'did with itself (measured before, on real machines), and what this stack does with itself. The last two columns are made by',
  '`node dist/test/sim/middlebox-table.js --write`, from runs in virtual time: each row with one path and with two, on either,',
  'in each direction and both at once, DSS checksums off and on where it matters, 512 KiB a direction at 10 Mbit/s and 20 ms of',
  'round trip. The rows are data, in [netmodel/middlebox/table.ts](../src/netmodel/middlebox/table.ts).',
  '',
  'A cell passes when it is over at most 2 s after plain TCP through the same box is, no byte is wrong or comes twice that a',
  'checksum could have caught, and both ends agree on the end of the stream, or both get an error. Time is beside plain TCP',
  'through the same box: the median of the cells, and the slowest; two paths can be quicker than one.',
  '',
  'Payload changed on the way (row 11) cannot be noticed while DSS checksums are off, which is the default, as in Linux; with',
  '`checksum: true` it is: with one path the connection goes on as TCP and delivers what TCP would, changed byte and all; with',
  'two it goes on with the other path and delivers what was sent. Bytes inserted on the way (row 15): with checksums what TCP',
  'would deliver, or what was sent, or an error at both ends; without them only no hang and nothing twice.',
  '',
  '| # | middlebox | RFC 8684 | Linux with Linux | ours with ours | time |',
  '|---|---|---|---|---|---|',
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = render(cells().map(resultOf));
  const file = fileURLToPath(new URL('../../../docs/MIDDLEBOXES.md', import.meta.url));
  if (process.argv.includes('--write')) writeFileSync(file, text);
  else process.stdout.write(text);
}
