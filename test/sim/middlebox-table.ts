// docs/MIDDLEBOXES.md, made from the rows, from what the matrix came to here, and from what it came to on the
// wire, as kept (test/interop/wire-records.ts): `node dist/test/sim/middlebox-table.js --write` runs the
// matrix in virtual time and writes the file; without `--write` it prints it.

import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { MIDDLEBOX_ROWS, type MiddleboxRow } from '../../src/netmodel/index.ts';
import { type Pairing, type WireRecord, WireRecords, wireCells } from '../interop/wire-records.ts';
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
  const linux = onWire(row, 'linux-linux');
  const columns = [
    row.id,
    row.name,
    row.demands,
    linux === NOT_RUN && LINUX[row.id] !== undefined ? `${LINUX[row.id]} (measured before)` : linux,
    onWire(row, 'ours-linux'),
    onWire(row, 'linux-ours'),
    row.absent ?? oursOf(results),
    row.absent === undefined ? timesOf(results) : NOT_RUN,
  ];
  return `| ${columns.join(' | ')} |`;
}

const records: WireRecords = WireRecords.kept();

/** What came of a row's cells on the wire, and how long those took that were intact. */
function onWire(row: MiddleboxRow, pairing: Pairing): string {
  const found = wireCells()
    .filter(cell => cell.row.id === row.id)
    .map(cell => records.of(pairing, cell))
    .filter(record => record !== undefined);
  if (found.length === 0) return NOT_RUN;
  const intact = found.filter(({ grade }) => grade === 'intact');
  const words = [KINDS.filter(kind => intact.some(({ carried }) => carried === kind)).join(', or ')];
  for (const [grade, text] of WORSE) {
    const count = found.filter(record => record.grade === grade).length;
    if (count > 0) words.push(count === found.length ? text : `${text} in ${count} of ${found.length}`);
  }
  return [...words, timeOf(intact)].filter(word => word !== '').join('; ');
}

function timeOf(intact: readonly WireRecord[]): string {
  if (intact.length === 0) return '';
  const times = intact.map(({ ms }) => ms).sort((a, b) => a - b);
  const [median, most] = [times[times.length >> 1], times[times.length - 1]].map(ms =>
    (ms / 1000).toFixed(1),
  );
  return median === most ? `${median} s` : `${median} s, at most ${most} s`;
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
const WORSE = [
  ['error', 'an error'],
  ['hang', '**hangs**'],
  ['wrong bytes', '**wrong bytes**'],
] as const;
const NOT_RUN = '–';
const HEAD: readonly string[] = [
  '# Middleboxes',
  '',
  'What middleboxes do to a connection, what [RFC 8684](https://www.rfc-editor.org/rfc/rfc8684) wants then, what Linux 6.18',
  'does with itself, what this stack does with Linux, as client and as server, and what it does with itself. The rows are data,',
  'in [netmodel/middlebox/table.ts](../src/netmodel/middlebox/table.ts).',
  '',
  'The columns with Linux were measured on the wire: each end a kernel in a network namespace of its own, or this stack, with',
  'the link emulator between them, which has the paths and the middleboxes of the simulator; 512 KiB in one direction at 10',
  'Mbit/s and 20 ms of round trip, DSS checksums off and on where it matters. What is not over after 8 s is a hang. Times are',
  'those of the intact cells: the median, and the slowest. `node dist/test/interop/wire-run.js --write` measures it and keeps',
  'it in `test/interop/wire-results.jsonl`. The kernel is Linux 6.18; for Linux as a client over two paths, but for rows 4, 9, 15,',
  '19, 21, 29a, 29d and 29k with this stack, it is 7.2 in user mode. The',
  'tests run each variant once in each role and hold it against Linux with itself: it must not be worse, in the order error,',
  'hang, wrong bytes, then a fifth and 0.2 s more time.',
  '',
  'Two kernels over two paths crash now and then: Linux 7.2 divided by zero in `tcp_tso_segs`, called from `mptcp_worker`, in runs',
  'of rows 10 and 12, and 6.18 in the same place under damaged traffic. Measure them where a crash costs nothing.',
  '',
  'The column of this stack with itself is made by `node dist/test/sim/middlebox-table.js --write`, which writes this file, from',
  'runs in virtual time: each row with one path and with two, on either, in each direction and both at once.',
  '',
  'There a cell passes when it is over at most 2 s after plain TCP through the same box is, no byte is wrong or comes twice that',
  'a checksum could have caught, and both ends agree on the end of the stream, or both get an error. Time is beside plain TCP',
  'through the same box: the median of the cells, and the slowest; two paths can be quicker than one.',
  '',
  'Payload changed on the way (row 11) cannot be noticed while DSS checksums are off, which is the default, as in Linux; with',
  '`checksum: true` it is: with one path the connection goes on as TCP and delivers what TCP would, changed byte and all; with',
  'two it goes on with the other path and delivers what was sent. Bytes inserted on the way (row 15): with checksums what TCP',
  'would deliver, or what was sent, or an error at both ends; without them only no hang and nothing twice.',
  '',
  '| # | middlebox | RFC 8684 | Linux with Linux | our client, Linux server | Linux client, our server | ours with ours | time |',
  '|---|---|---|---|---|---|---|---|',
];

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const text = render(cells().map(resultOf));
  const file = fileURLToPath(new URL('../../../docs/MIDDLEBOXES.md', import.meta.url));
  if (process.argv.includes('--write')) writeFileSync(file, text);
  else process.stdout.write(text);
}
