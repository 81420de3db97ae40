// What was measured of Linux's TCP, as bench/linux/kernel.json has it, by the name of the congestion controller.

import { readFileSync } from 'node:fs';
import type { Cell } from './cells.ts';

export interface KernelFigures {
  readonly kernel: string;
  readonly congestion: string;
  readonly cells: readonly CellFigures[];
}

/** A figure for each seed. */
export interface CellFigures extends Cell {
  /** How late the emulator was woken, in ms: the median and the 99th percentile. */
  readonly lateMs: readonly [number, number];
  /** How much longer than the path's own a round trip was, in ms. */
  readonly extraRttMs: number;
  readonly bulkMbps: readonly number[];
  readonly transferMs: readonly number[];
}

export function kernelFigures(congestion: string): KernelFigures {
  const file = new URL('../../../bench/linux/kernel.json', import.meta.url);
  const all = JSON.parse(readFileSync(file, 'utf8')) as Record<string, KernelFigures>;
  if (!(congestion in all)) throw new RangeError(`nothing was measured of Linux with ${congestion}`);
  return all[congestion];
}
