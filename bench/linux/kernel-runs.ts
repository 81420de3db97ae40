// Measures Linux's TCP in every cell and keeps the figures in bench/linux/kernel.json, where later runs of ours are
// compared with them. As root: `chrt -r 1 node dist/bench/linux/kernel-runs.js --write`; about half an hour. Only with
// real-time priority is the emulator never late by a packet or two, which short queues do not forgive. `--links N` says
// how many flows run at once, `--rtt MS`, `--only loss,rtt,queue` and `--seeds N` choose cells, the others keeping their
// figures; `--trace FILE` keeps what the sockets said every tenth of a second.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { median } from '../measure.ts';
import { BULK_SECONDS, CELLS, type Cell, cellName, linkOf, SEEDS, TRANSFER_BYTES } from './cells.ts';
import { KernelBed, type Sample } from './kernel-bed.ts';
import type { CellFigures, KernelFigures } from './kernel-figures.ts';

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    links: { type: 'string', default: '4' },
    seeds: { type: 'string', default: String(SEEDS.length) },
    rtt: { type: 'string', multiple: true, default: [] },
    only: { type: 'string', multiple: true, default: [] },
    congestion: { type: 'string', default: 'cubic' },
    trace: { type: 'string' },
  },
});

interface Work {
  readonly cell: Cell;
  readonly seed: number;
  readonly kind: 'bulk' | 'transfer';
}

const chosen = CELLS.filter(
  ({ loss, rttMs, queue }) =>
    (values.only.length === 0 || values.only.includes([loss * 100, rttMs, queue].join())) &&
    (values.rtt.length === 0 || values.rtt.includes(String(rttMs))),
);
const seeds = SEEDS.slice(0, Number(values.seeds));
const works: Work[] = (['transfer', 'bulk'] as const).flatMap(kind =>
  seeds.flatMap(seed => chosen.map(cell => ({ cell, seed, kind }))),
);
const found = new Map<string, number>();
const traces: Record<string, Sample[]> = {};
const key = ({ cell, seed, kind }: Work): string => `${kind} ${cellName(cell)} ${seed}`;

const links = Math.min(Number(values.links), works.length);
// One link more tells how much longer than they should be round trips are meanwhile.
const bed = await KernelBed.open(links + 1);
const extras: number[] = [];
let busy = true;
try {
  const measureExtra = async (): Promise<void> => {
    while (busy) extras.push(await bed.extraMs(links, 20));
  };
  const measuring = measureExtra();
  let next = 0;
  const worker = async (link: number): Promise<void> => {
    for (let work = works[next++]; work !== undefined; work = works[next++]) {
      found.set(key(work), await measured(link, work));
      if (next % 36 === 0) console.log(`${next} of ${works.length}`);
    }
  };
  await Promise.all(Array.from({ length: links }, (_, link) => worker(link)));
  busy = false;
  await measuring;
} finally {
  await bed.close();
}
const lateMs = [0.5, 0.9, 0.99].map(part => bed.lateness.quantile(part));
console.log(`the emulator was late by ${lateMs.join(', ')} ms (median, 90 %, 99 %)`);
const extraRttMs = rounded(extras.reduce((sum, ms) => sum + ms, 0) / extras.length);
console.log(`round trips took ${extraRttMs} ms more than the path's`);
const cells: CellFigures[] = chosen.map(cell => ({
  ...cell,
  lateMs: [lateMs[0], lateMs[2]],
  extraRttMs,
  bulkMbps: seeds.map(seed => rounded(found.get(key({ cell, seed, kind: 'bulk' })) ?? NaN)),
  transferMs: seeds.map(seed => rounded(found.get(key({ cell, seed, kind: 'transfer' })) ?? NaN)),
}));
for (const cell of cells) {
  const text = `${median(cell.bulkMbps)} Mbit/s, ${median(cell.transferMs)} ms`;
  console.log(`${cellName(cell)}: ${text}`);
}
const file = new URL('../../../bench/linux/kernel.json', import.meta.url);
if (values.write) write(cells);
if (values.trace !== undefined) writeFileSync(values.trace, JSON.stringify(traces));

async function measured(link: number, work: Work): Promise<number> {
  const options = { ...linkOf(work.cell, work.seed), congestion: values.congestion };
  if (work.kind === 'transfer') return bed.transfer(link, { ...options, bytes: TRANSFER_BYTES });
  const samples = await bed.bulk(link, { ...options, seconds: BULK_SECONDS });
  traces[key(work)] = samples;
  const [seconds, bytes] = samples[samples.length - 1];
  return (bytes * 8) / seconds / 1e6;
}

function write(measuredCells: readonly CellFigures[]): void {
  let all: Record<string, KernelFigures> = {};
  try {
    all = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    // The first time.
  }
  const before = all[values.congestion]?.cells ?? [];
  const together = CELLS.flatMap(cell => {
    const same = (one: Cell): boolean => cellName(one) === cellName(cell);
    return measuredCells.find(same) ?? before.find(same) ?? [];
  });
  const kernel = execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim();
  all[values.congestion] = { kernel, congestion: values.congestion, cells: together };
  writeFileSync(file, `${serialised(all)}\n`);
}

/** A line for each cell. */
function serialised(all: Record<string, KernelFigures>): string {
  return JSON.stringify(all, null, 1)
    .replace(/\[\s+([\d.,\s]+?)\s+\]/g, (_, list: string) => `[${list.replace(/\s+/g, ' ')}]`)
    .replace(/\{\n\s+"loss"[^}]*\}/g, cell => cell.replace(/\n\s*/g, ' '));
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
