// What `bench -- sharing` and the measurement of Linux beside it agree on: which cells, and which times count.

import { readFileSync } from 'node:fs';
import { type Cell, SEEDS } from './cells.ts';

export interface SharedCell extends Omit<Cell, 'loss'> {
  /** From when on it counts, for WINDOW_SECONDS. */
  readonly fromSeconds: number;
}

/**
 * CUBIC takes K = ∛(0.3·W/0.4) seconds from one loss to the next, which at 200 ms is 6 s, and each evens out part of the
 * difference: a second flow that finds the queue full needs about ten of them there.
 */
export const SHARED_CELLS: readonly SharedCell[] = [10, 50, 200].flatMap(rttMs =>
  [0.5, 1, 4].map(queue => ({ rttMs, queue, fromSeconds: rttMs === 200 ? 80 : 20 })),
);
/** The same before the shares are even: not what is judged, but Linux's flows show how long it takes. */
export const EARLY_CELLS: readonly SharedCell[] = SHARED_CELLS.filter(({ rttMs }) => rttMs === 200).map(
  cell => ({ ...cell, fromSeconds: 20 }),
);
/** Where our flows and Linux's ran side by side in real time. */
export const SIDE_BY_SIDE_CELLS: readonly SharedCell[] = [...SHARED_CELLS, ...EARLY_CELLS].filter(
  ({ queue }) => queue === 1,
);
export const SHARED_SEEDS: readonly number[] = SEEDS.slice(0, 5);
export const SIDE_BY_SIDE_SEEDS: readonly number[] = SEEDS.slice(0, 3);

/** What counts as an even share: one flow's bytes by the other's. */
export const EVEN: readonly [number, number] = [0.7, 1.4];

export const WINDOW_SECONDS = 60;

/** Mbit/s of two flows, with each seed. */
export interface SideBySide extends SharedCell {
  /** How late the emulator was woken, in ms: the median and the 99th percentile. */
  readonly lateMs: readonly [number, number];
  /** Linux's in front; ours begins first with odd seeds. */
  readonly oursLinux: readonly (readonly [number, number])[];
  /** The one that began first in front. */
  readonly linuxLinux: readonly (readonly [number, number])[];
}

export interface SharingFigures {
  readonly kernel: string;
  readonly cells: readonly SideBySide[];
}

export function isEarly({ rttMs, fromSeconds }: SharedCell): boolean {
  return EARLY_CELLS.some(cell => cell.rttMs === rttMs && cell.fromSeconds === fromSeconds);
}

export function sharingFigures(): SharingFigures {
  const file = new URL('../../../bench/linux/sharing.json', import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as SharingFigures;
}
