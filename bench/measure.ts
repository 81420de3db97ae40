/**
 * Time and memory of one operation, repeated. Memory is the growth of the used heap over all repetitions,
 * which a collection in between would spoil: run with --expose-gc, so that the heap is clean before, and
 * with a --min-semi-space-size that holds what an allocating operation leaves.
 */

export interface Measurement {
  readonly name: string;
  readonly nsPerOp: number;
  readonly bytesPerOp: number;
}

/** Runs `run` with 0, 1, 2…; its results are summed up, so that the work cannot be left out. The best of a
 * few rounds is given, the others having been disturbed. */
export function measure(name: string, run: (i: number) => number, ops = 200_000): Measurement {
  let sum = repeat(run, ops);
  const collect = (globalThis as { gc?: () => void }).gc;
  let nsPerOp = Infinity;
  let bytesPerOp = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    collect?.();
    const usedBefore = process.memoryUsage().heapUsed;
    const start = process.hrtime.bigint();
    sum |= repeat(run, ops);
    const ns = Number(process.hrtime.bigint() - start);
    const used = process.memoryUsage().heapUsed - usedBefore;
    nsPerOp = Math.min(nsPerOp, ns / ops);
    // A collection in between makes the difference negative: that round says nothing about bytes.
    if (used >= 0) bytesPerOp = Math.min(bytesPerOp, used / ops);
  }
  if (!Number.isInteger(sum)) throw new Error(`${name}: no numbers to sum up`);
  return { name, nsPerOp: rounded(nsPerOp), bytesPerOp: rounded(bytesPerOp) };
}

/** Keeps the sum an int32: a larger number is boxed while this loop is interpreted, and so counted. */
function repeat(run: (i: number) => number, ops: number): number {
  let sum = 0;
  for (let i = 0; i < ops; i++) sum = (sum + run(i)) | 0;
  return sum;
}

export function rounded(value: number): number {
  return Math.round(value * 10) / 10;
}

/** The middle one; of an even number, the upper of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

const ROUNDS = 3;
