// The part `linux` of the benchmarks: what our flows do over the links that Linux's TCP was measured on.

import { CELLS } from './cells.ts';
import { type ComparedCell, compareCell, isWithin, LIKE_BULK, LIKE_TRANSFER } from './comparison.ts';
import { kernelFigures } from './kernel-figures.ts';

type Row = readonly (string | number)[];

export interface LinuxReport {
  readonly paragraphs: readonly string[];
  readonly head: readonly string[];
  readonly rows: readonly Row[];
}

export function compareWithLinux(): LinuxReport {
  const { kernel, cells } = kernelFigures('cubic');
  const plain = cells.map(cell => compareCell(cell, { multipath: false, config: {} }));
  const subflow = cells.map(cell => compareCell(cell, { multipath: true, config: {} }));
  return {
    paragraphs: [
      `One flow over 20 Mbit/s beside Linux ${kernel}, both with CUBIC, the same packets lost: goodput of 20 s in ` +
        'Mbit/s and the time of 64 KiB in ms, from connect to the last byte; medians of ten seeds, and medians of the ' +
        "ten ratios of ours to Linux's. Linux ran in real time (bench/linux/kernel-runs.ts), ours runs in virtual time " +
        'over the same network model. `TCP` is a plain connection, `MPTCP` one with a single subflow, whose options ' +
        'take 20 of 1,448 bytes.',
      verdict('TCP', plain),
      verdict('MPTCP', subflow),
    ],
    head: [
      'loss, RTT, queue',
      ...['Linux Mbit/s', 'TCP', 'ratio', 'MPTCP', 'ratio'],
      ...['Linux 64 KiB', 'TCP', 'ratio', 'MPTCP', 'ratio'],
    ],
    rows: plain.map((one, i) => {
      const other = subflow[i];
      const { loss, rttMs, queue } = one.cell;
      return [
        `${loss * 100} %, ${rttMs} ms, ${queue} BDP`,
        one.bulk.linux.toFixed(2),
        ...[one, other].flatMap(({ bulk }) => [bulk.own.toFixed(2), bulk.ratio.toFixed(3)]),
        one.transfer.linux.toFixed(0),
        ...[one, other].flatMap(({ transfer }) => [transfer.own.toFixed(0), transfer.ratio.toFixed(3)]),
      ];
    }),
  };
}

function verdict(name: string, compared: readonly ComparedCell[]): string {
  const bulk = compared.filter(one => isWithin(one.bulk.ratio, LIKE_BULK)).length;
  const transfer = compared.filter(one => isWithin(one.transfer.ratio, LIKE_TRANSFER)).length;
  const least = Math.min(...compared.map(one => one.bulk.ratio));
  return (
    `${name}: goodput within ${LIKE_BULK.join('–')} of Linux's in ${bulk} of ${CELLS.length} cells, the least ` +
    `${least.toFixed(3)}; 64 KiB within 10 % in ${transfer}.`
  );
}
