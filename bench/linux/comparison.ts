// Our flows beside Linux's in every cell. With each seed the losses are the same, so ratios are taken seed by seed, and
// the median of those is the cell's: of goodput, and of the time a short transfer takes.

import { type Cell, SEEDS } from './cells.ts';
import type { CellFigures } from './kernel-figures.ts';
import { bulkMbps, type OwnFlow, transferMs } from './own-runs.ts';

export interface Comparison {
  /** Medians. */
  readonly linux: number;
  readonly own: number;
  /** The median of ours by Linux's. */
  readonly ratio: number;
}

export interface ComparedCell {
  readonly cell: Cell;
  readonly bulk: Comparison;
  readonly transfer: Comparison;
}

/** What counts as like Linux, and what no cell may fall below. */
export const LIKE_BULK: readonly [number, number] = [0.95, 1.05];
export const LEAST_BULK = 0.85;
export const LIKE_TRANSFER: readonly [number, number] = [0.9, 1.1];

export function compareCell(
  figures: CellFigures,
  flow: OwnFlow,
  seeds: readonly number[] = SEEDS,
): ComparedCell {
  const { extraRttMs } = figures;
  const compared = (linux: readonly number[], run: typeof bulkMbps): Comparison => {
    const theirs = seeds.map(seed => linux[seed - 1]);
    const ours = seeds.map(seed => run(figures, seed, { extraRttMs, ...flow }));
    return {
      linux: middleOf(theirs),
      own: middleOf(ours),
      ratio: middleOf(ours.map((value, i) => value / theirs[i])),
    };
  };
  return {
    cell: figures,
    bulk: compared(figures.bulkMbps, bulkMbps),
    transfer: compared(figures.transferMs, transferMs),
  };
}

export function isWithin(value: number, [least, most]: readonly [number, number]): boolean {
  return value >= least && value <= most;
}

/** The median; of an even number, the mean of the two in the middle. */
export function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
