// Measures in real time how flows of Linux's TCP and ours share a bottleneck, and Linux's with each other, and keeps it in
// bench/linux/sharing.json. As root: `chrt -R -r 1 node dist/bench/linux/sharing-runs.js --write`, a quarter of an hour; with
// real-time priority for the emulator alone. `--rtt MS`, `--from SECONDS` and `--seeds N` choose, the other cells keeping their
// figures; without `--write` it only prints.

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { sharedLinkOf, startOfSecondMs } from './cells.ts';
import { KernelBed } from './kernel-bed.ts';
import {
  type SharedCell,
  SIDE_BY_SIDE_CELLS,
  SIDE_BY_SIDE_SEEDS,
  type SideBySide,
  sharingFigures,
  WINDOW_SECONDS,
} from './sharing.ts';

const { values } = parseArgs({
  options: {
    write: { type: 'boolean', default: false },
    seeds: { type: 'string', default: String(SIDE_BY_SIDE_SEEDS.length) },
    rtt: { type: 'string', multiple: true, default: [] },
    from: { type: 'string', multiple: true, default: [] },
  },
});
const seeds = SIDE_BY_SIDE_SEEDS.slice(0, Number(values.seeds));
const chosen = SIDE_BY_SIDE_CELLS.filter(
  ({ rttMs, fromSeconds }) =>
    (values.rtt.length === 0 || values.rtt.includes(String(rttMs))) &&
    (values.from.length === 0 || values.from.includes(String(fromSeconds))),
);

// A link for each seed; the cells one after another.
const bed = await KernelBed.open(seeds.length);
const cells: SideBySide[] = [];
try {
  for (const cell of chosen) {
    const all = (other: 'ours' | 'linux'): Promise<[number, number][]> =>
      Promise.all(seeds.map((seed, link) => measured(link, cell, { seed, other })));
    const [oursLinux, linuxLinux] = [await all('ours'), await all('linux')];
    const lateMs: [number, number] = [bed.lateness.quantile(0.5), bed.lateness.quantile(0.99)];
    const found: SideBySide = { ...cell, lateMs, oursLinux, linuxLinux };
    console.log(JSON.stringify(found));
    cells.push(found);
  }
} finally {
  await bed.close();
}
const kernel = execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim();
const file = new URL('../../../bench/linux/sharing.json', import.meta.url);
if (values.write) {
  const before = existsSync(file) ? sharingFigures().cells : [];
  const together = SIDE_BY_SIDE_CELLS.flatMap(({ rttMs, fromSeconds }) => {
    const same = (one: SharedCell): boolean => one.rttMs === rttMs && one.fromSeconds === fromSeconds;
    return cells.find(same) ?? before.find(same) ?? [];
  });
  const lines = together.map(cell => `  ${JSON.stringify(cell)}`).join(',\n');
  writeFileSync(file, `{ "kernel": ${JSON.stringify(kernel)}, "cells": [\n${lines}\n] }\n`);
}

/** Mbit/s of the two: the kernel's, and the other. */
async function measured(
  link: number,
  cell: SharedCell,
  { seed, other }: { seed: number; other: 'ours' | 'linux' },
): Promise<[number, number]> {
  const late = startOfSecondMs(seed);
  const fromMs = cell.fromSeconds * 1000;
  const [before, after] = await bed.share(link, {
    ...sharedLinkOf(cell),
    congestion: 'cubic',
    seed,
    other,
    startMs: other === 'ours' && seed % 2 === 1 ? [late, 0] : [0, late],
    untilMs: [fromMs, fromMs + WINDOW_SECONDS * 1000],
  });
  const mbps = (i: 0 | 1): number => Math.round(((after[i] - before[i]) * 8) / WINDOW_SECONDS / 1e3) / 1e3;
  return [mbps(0), mbps(1)];
}
