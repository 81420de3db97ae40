// The middlebox matrix on the wire, and what it came to.
//
// `node dist/test/interop/wire-run.js --write` runs the cells of all pairings, Linux with Linux too, and keeps what
// came of them in wire-results.jsonl, from which docs/MIDDLEBOXES.md is made (test/sim/middlebox-table.ts) and which
// the tests hold our stack against. It takes about half an hour. `--pairing`, `--row` and `--paths` choose some cells,
// `--again` those that look worse than between two kernels; without `--write` the results are only printed.
//
// Two kernels over two paths have divided by zero in the middle of such cells, which costs the machine its Multipath
// TCP: they are left out, here and beside our own, unless `--kernels-may-crash` is given.

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Cell, nameOf } from '../sim/middlebox-cell.ts';
import { WireCell } from './wire-cell.ts';
import { PAIRINGS, type Pairing, type WireRecord, WireRecords, wireCells, worse } from './wire-records.ts';

/** A cell to run, and between whom. */
export interface Job {
  readonly pairing: Pairing;
  readonly cell: Cell;
}

/** Runs cells, several at a time: they mostly wait. */
export async function runCells(
  jobs: readonly Job[],
  report: (record: WireRecord, cell: Cell) => void,
  patienceMs: number = PATIENCE_MS,
): Promise<void> {
  for (let i = 0; i < jobs.length; i += WIDTH) {
    const batch = jobs.slice(i, i + WIDTH);
    // All hosts of a batch stand before the first packet: making them keeps everybody else waiting.
    const ready = await prepared(batch.map(({ pairing, cell }) => WireCell.prepare(pairing, cell)));
    try {
      const outcomes = await Promise.all(ready.map(cell => cell.run(patienceMs)));
      for (const [k, { pairing, cell }] of batch.entries()) {
        report({ pairing, cell: nameOf(cell), ...outcomes[k] }, cell);
      }
    } finally {
      await Promise.all(ready.map(cell => cell.close()));
    }
  }
}

/**
 * Cells in which ours were worse than two kernels are run again, beside two kernels this time, while ours are worse:
 * time and chance are compared at one moment on one machine. Returns what is still worse then, a sentence each.
 */
export async function besideKernels(
  doubtful: readonly Job[],
  report: (record: WireRecord) => void,
): Promise<string[]> {
  let left = doubtful;
  let sentences: string[] = [];
  for (let round = 0; round < ROUNDS && left.length > 0; round++) {
    const records: WireRecord[] = [];
    await runCells(
      left.flatMap(job => [{ ...job, pairing: 'linux-linux' as const }, job]),
      record => {
        records.push(record);
        report(record);
      },
    );
    const texts = left.map((_, i) => worse(records[2 * i + 1], records[2 * i]));
    sentences = left.map(({ pairing, cell }, i) => `${pairing} ${nameOf(cell)}: ${texts[i]}`);
    sentences = sentences.filter((_, i) => texts[i] !== '');
    left = left.filter((_, i) => texts[i] !== '');
  }
  return sentences;
}

/** All of them, or none and an error. */
async function prepared(promises: readonly Promise<WireCell>[]): Promise<WireCell[]> {
  const settled = await Promise.allSettled(promises);
  const ready = settled.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = settled.find(one => one.status === 'rejected');
  if (failed === undefined) return ready;
  await Promise.all(ready.map(cell => cell.close()));
  throw failed.reason;
}

const WIDTH = 12;
/** Plain TCP needs half a second at most, or 2 s with a pause; SYNs and segments that are lost cost up to 4 s. */
const PATIENCE_MS = 8_000;
const ROUNDS = 3;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      pairing: { type: 'string' },
      row: { type: 'string' },
      paths: { type: 'string' },
      again: { type: 'boolean', default: false },
      'kernels-may-crash': { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
    },
  });
  const rows = values.row?.split(',');
  const list = wireCells().filter(
    ({ row, paths }) =>
      (rows?.includes(row.id) ?? true) && (values.paths === undefined || paths === Number(values.paths)),
  );
  const records = WireRecords.kept();
  const keep = (record: WireRecord): void => {
    records.add(record);
    console.log(
      `${record.pairing} ${record.cell}: ${record.grade}, ${record.carried}, ${record.ms} ms ${record.what}`,
    );
  };
  for (const pairing of PAIRINGS) {
    if (values.pairing !== undefined && values.pairing !== pairing) continue;
    const harmless = list.filter(({ paths }) => paths === 1 || values['kernels-may-crash']);
    const jobs = (pairing === 'linux-linux' ? harmless : list).map(cell => ({ pairing, cell }));
    if (!values.again) await runCells(jobs, keep);
    if (pairing !== 'linux-linux') await again(pairing, harmless, records, keep);
    if (values.write) records.write();
  }
}

async function again(
  pairing: Pairing,
  list: readonly Cell[],
  records: WireRecords,
  keep: (record: WireRecord) => void,
): Promise<void> {
  const doubtful = list.filter(cell => {
    const [ours, kernels] = [records.of(pairing, cell), records.of('linux-linux', cell)];
    return ours !== undefined && kernels !== undefined && worse(ours, kernels) !== '';
  });
  console.log(`${doubtful.length} cells again, beside two kernels`);
  const jobs = doubtful.map(cell => ({ pairing, cell }));
  for (const sentence of await besideKernels(jobs, keep)) console.log(`WORSE ${sentence}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main();
  // Sockets that hang are nobody's business any more.
  process.exit();
}
