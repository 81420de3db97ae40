// The part `sharing` of the benchmarks: how two flows divide a bottleneck, ours with each other in virtual time, and ours
// and Linux's as they were measured in real time (sharing-runs.ts).

import { isWithin, middleOf } from './comparison.ts';
import { ownShares } from './own-sharing.ts';
import type { LinuxReport } from './report.ts';
import {
  EARLY_CELLS,
  EVEN,
  isEarly,
  SHARED_CELLS,
  SHARED_SEEDS,
  type SharedCell,
  sharingFigures,
  WINDOW_SECONDS,
} from './sharing.ts';

type Shares = readonly (readonly [number, number])[];

export function compareShares(): { readonly ours: LinuxReport; readonly sideBySide: LinuxReport } {
  const own = [...SHARED_CELLS, ...EARLY_CELLS].map(cell => ({
    cell,
    shares: SHARED_SEEDS.map(seed => ownShares(cell, seed, PLAIN)),
  }));
  const { kernel, cells } = sharingFigures();
  const settled = cells.filter(cell => !isEarly(cell));
  return {
    ours: {
      paragraphs: [
        `Two plain flows of ours with CUBIC share 20 Mbit/s for ${WINDOW_SECONDS} s in virtual time, the second having begun ` +
          'up to a second after the first: Mbit/s of both, the first in front, with each of five seeds, and the median of ' +
          'the ratios of the first to the second. Packets are late by up to the time of one, by chance, each way. What ' +
          'comes before `from` does not count. At 200 ms CUBIC takes 6 s from one loss to the next, and an even share about ' +
          'ten times as long, for Linux too; the last rows show how far it is then after 20 s, and are not judged.',
        verdict(
          'Ours with itself',
          own.filter(({ cell }) => !isEarly(cell)).map(({ shares }) => shares),
        ),
      ],
      head: ['RTT, queue', 'from s', ...SHARED_SEEDS.map(seed => `seed ${seed}`), 'ratio'],
      rows: own.map(({ cell, shares }) => [
        nameOf(cell),
        cell.fromSeconds,
        ...shares.map(pair),
        ratioOf(shares).toFixed(2),
      ]),
    },
    sideBySide: {
      paragraphs: [
        `Ours beside Linux ${kernel} over the same link in real time, Linux's in front and ours the first to begin with every ` +
          'other seed; and Linux beside Linux, the first to begin in front. `late`: how late the emulator was, median and 99 %.',
        verdict(
          "Linux's with ours",
          settled.map(({ oursLinux }) => oursLinux),
        ),
        verdict(
          "Linux's with itself",
          settled.map(({ linuxLinux }) => linuxLinux),
        ),
      ],
      head: ['RTT, queue', 'from s', 'Linux / ours', 'ratio', 'Linux / Linux', 'ratio', 'late, ms'],
      rows: cells.map(({ oursLinux, linuxLinux, lateMs, ...cell }) => [
        nameOf(cell),
        cell.fromSeconds,
        oursLinux.map(pair).join(', '),
        ratioOf(oursLinux).toFixed(2),
        linuxLinux.map(pair).join(', '),
        ratioOf(linuxLinux).toFixed(2),
        lateMs.join(', '),
      ]),
    },
  };
}

function verdict(name: string, cells: readonly Shares[]): string {
  const even = cells.filter(shares => isWithin(ratioOf(shares), EVEN)).length;
  const all = cells.flat();
  const evenRuns = all.filter(([one, other]) => isWithin(one / other, EVEN)).length;
  return (
    `${name}: the median within ${EVEN.join('–')} in ${even} of ${cells.length} cells, ${evenRuns} of ${all.length} ` +
    'single runs.'
  );
}

function ratioOf(shares: Shares): number {
  return middleOf(shares.map(([one, other]) => one / other));
}

function pair([one, other]: readonly [number, number]): string {
  return `${one.toFixed(1)} / ${other.toFixed(1)}`;
}

function nameOf({ rttMs, queue }: SharedCell): string {
  return `${rttMs} ms, ${queue} BDP`;
}

const PLAIN = { multipath: false, config: {} };
