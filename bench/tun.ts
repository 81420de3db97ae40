// What a connection over TUN carries against the kernel: our stack beside an endpoint that does nothing but move
// the bytes (dumb.ts), and the kernel with itself. Runs take turns, each ratio is one within a round, and
// medians count: the machine's speed cancels out, and what else it does nearly.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { median } from './measure.ts';
import { impediment, KernelEnd, Namespaces, SECONDS, secondKernelAddress } from './tun-bed.ts';
import type { TunResult, TunRun } from './tun-run.ts';

export const ROUNDS = 7;

/** Medians. */
export interface TunRow {
  readonly name: string;
  readonly gbitPerSecond: number;
  /** Of our end's process; undefined for the kernel with itself. */
  readonly cpuSecondsPerGB: number | undefined;
  /** How many times as fast as others in the same direction and with the same offload, where that is of interest. */
  readonly ofDumb: number | undefined;
  readonly ofKernel: number | undefined;
  readonly ofOneSubflow: number | undefined;
}

export interface TunBench {
  readonly rounds: number;
  readonly secondsEach: number;
  readonly rows: readonly TunRow[];
}

/** Measures everything, in minutes; why not, where it cannot be. */
export async function benchTun(): Promise<TunBench | string> {
  const reason = impediment();
  if (reason !== undefined) return reason;
  const cells = allCells();
  const namespaces = new Namespaces();
  const stopped = (): never => process.exit(130);
  const remove = (): void => namespaces.remove();
  process.once('SIGINT', stopped).once('exit', remove);
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const cell of cells) cell.results.push(await measureCell(cell, namespaces));
    }
  } finally {
    process.off('SIGINT', stopped).off('exit', remove);
    remove();
  }
  return { rounds: ROUNDS, secondsEach: SECONDS, rows: cells.map(rowOf) };
}

/** What is measured in every round. */
interface Cell {
  readonly name: string;
  readonly offload: boolean;
  /** Of the kernel with itself. */
  readonly pairs?: number;
  /** Undefined: the kernel with itself. */
  readonly run?: Omit<TunRun, 'namespace' | 'offload'>;
  readonly beside?: { readonly kernel: Cell; readonly dumb?: Cell; readonly one?: Cell };
  readonly results: TunResult[];
}

function allCells(): Cell[] {
  return [true, false].flatMap(offload => {
    const how = offload ? 'with offload' : 'without offload';
    const kernel: Cell = { name: `kernel to kernel over veth, ${how}`, offload, pairs: 1, results: [] };
    const kernelTwo: Cell = {
      ...{ name: `kernel to kernel over veth, two subflows, ${how}`, offload, pairs: 2, results: [] },
      beside: { kernel, one: kernel },
    };
    const cells = (['in', 'out'] as const).flatMap(direction => {
      const add = (what: string, run: Pick<TunRun, 'end' | 'devices'>, others: object): Cell => ({
        name: `${what}, ${direction}, ${how}`,
        offload,
        run: { ...run, direction },
        beside: { kernel, ...others },
        results: [],
      });
      const dumb = add('dumb endpoint', { end: 'dumb', devices: 1 }, {});
      const one = add('mptcp', { end: 'stack', devices: 1 }, { dumb });
      return [dumb, one, add('mptcp, two subflows', { end: 'stack', devices: 2 }, { dumb, one })];
    });
    return [kernel, kernelTwo, ...cells];
  });
}

function measureCell(cell: Cell, namespaces: Namespaces): Promise<TunResult> {
  if (cell.run === undefined) return measureKernel(namespaces, cell.offload, cell.pairs ?? 1);
  return measureTun({ ...cell.run, offload: cell.offload, namespace: namespaces.first });
}

/**
 * In a process of its own: a young one each time, compiled for nothing else. One that fails is told of and made
 * again, for the sake of the many others.
 */
async function measureTun(run: TunRun): Promise<TunResult> {
  const script = fileURLToPath(new URL('./tun-run.js', import.meta.url));
  for (let attempt = 1; ; attempt++) {
    try {
      const { stdout } = await execute(process.execPath, [script, JSON.stringify(run)]);
      return JSON.parse(stdout) as TunResult;
    } catch (error) {
      if (attempt === ATTEMPTS) throw error;
      console.error(`to be measured again: ${(error as Error).message}`);
    }
  }
}

async function measureKernel(namespaces: Namespaces, offload: boolean, pairs: number): Promise<TunResult> {
  const joins = namespaces.joins;
  namespaces.join(offload, pairs);
  const receiver = new KernelEnd(namespaces.second, { address: '0.0.0.0', work: 'sink' });
  const address = secondKernelAddress(0);
  const sender = new KernelEnd(namespaces.first, { address, port: await receiver.port, work: 'flood' });
  try {
    const gbitPerSecond = await receiver.gbitPerSecond;
    if (namespaces.joins - joins !== pairs - 1) throw new Error('the kernel has not joined as it should');
    return { gbitPerSecond, cpuSecondsPerGB: Number.NaN };
  } finally {
    await Promise.all([sender.stop(), receiver.stop()]);
    namespaces.part(pairs);
  }
}

function rowOf({ name, run, beside, results }: Cell): TunRow {
  // Of the two runs of one round, when the machine had much the same else to do.
  const ratioTo = (other: Cell | undefined): number | undefined =>
    other && median(results.map((result, i) => result.gbitPerSecond / other.results[i].gbitPerSecond));
  return {
    name,
    gbitPerSecond: median(results.map(result => result.gbitPerSecond)),
    cpuSecondsPerGB: run === undefined ? undefined : median(results.map(result => result.cpuSecondsPerGB)),
    ofDumb: ratioTo(beside?.dumb),
    ofKernel: ratioTo(beside?.kernel),
    ofOneSubflow: ratioTo(beside?.one),
  };
}

const ATTEMPTS = 3;
const execute = promisify(execFile);
