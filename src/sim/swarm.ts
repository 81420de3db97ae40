// Runs many drawn worlds, on one core or all, and says which seeds fail. A world is a function of its
// seed, so the result does not depend on how the seeds are spread over workers.
// Before it: `mptcp sim`, the tests. After it: draw.ts and world.ts, seed by seed; replay.ts for one
// that failed.

import { Worker } from 'node:worker_threads';
import { drawWorld } from './draw.ts';
import type { Failure } from './oracles.ts';
import { World } from './world.ts';

export interface SwarmOptions {
  /** How many worlds. */
  seeds: number;
  /** The first seed; the others follow it. Default 1. */
  from?: number;
  /** Worker threads; 1, the default, runs everything in this thread. */
  jobs?: number;
  /** Called after every world, in no particular order. */
  onProgress?: (done: SeedResult, finished: number) => void;
}

/** What became of the world of one seed. */
export interface SeedResult {
  seed: number;
  /** The first promise broken, null when all were kept. */
  failure: Failure | null;
  fingerprint: string;
  virtualMs: number;
  wallMs: number;
  packets: number;
}

export interface SwarmResult {
  worlds: number;
  failed: number;
  firstFailingSeed: number | null;
  virtualSeconds: number;
  wallSeconds: number;
  /** Wall time of the median world. */
  medianWorldMs: number;
  /** Failed worlds in order of their seeds. */
  failures: SeedResult[];
}

/** Draws and runs the world of one seed. */
export function runSeed(seed: number): SeedResult {
  const startedMs = performance.now();
  const result = new World(drawWorld(seed)).run();
  return {
    seed,
    failure: result.failures[0] ?? null,
    fingerprint: result.fingerprint,
    virtualMs: result.virtualMs,
    wallMs: performance.now() - startedMs,
    packets: result.packets,
  };
}

/** The command that shows a failing seed again. */
export function replayCommand(seed: number): string {
  return `npx mptcp sim --from ${seed} --seeds 1`;
}

/** Runs the worlds of `seeds` seeds, beginning with `from`. */
export async function runSwarm(options: SwarmOptions): Promise<SwarmResult> {
  const startedMs = performance.now();
  const from = options.from ?? 1;
  const results: SeedResult[] = [];
  const finish = (result: SeedResult) => {
    results.push(result);
    options.onProgress?.(result, results.length);
  };
  const jobs = Math.min(options.jobs ?? 1, options.seeds);
  if (jobs <= 1) {
    for (let i = 0; i < options.seeds; i++) finish(runSeed(from + i));
  } else {
    const pending = { next: from, end: from + options.seeds };
    await Promise.all(Array.from({ length: jobs }, () => new Crew(pending, finish).work()));
  }
  return summary(results, performance.now() - startedMs);
}

// One worker thread at a time; a world that never returns costs its thread, and the next seed gets a new one.
class Crew {
  private readonly pending: { next: number; end: number };
  private readonly finish: (result: SeedResult) => void;

  constructor(pending: { next: number; end: number }, finish: (result: SeedResult) => void) {
    this.pending = pending;
    this.finish = finish;
  }

  async work(): Promise<void> {
    while (this.pending.next < this.pending.end) await this.oneWorker();
  }

  // Ends when no seed is left, or when the worker had to be ended.
  private oneWorker(): Promise<void> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./swarm-worker.js', import.meta.url));
      let seed = -1;
      let watchdog: NodeJS.Timeout | undefined;
      const end = (): void => {
        clearTimeout(watchdog);
        void worker.terminate().then(() => resolve());
      };
      const next = (): void => {
        if (this.pending.next >= this.pending.end) {
          end();
          return;
        }
        seed = this.pending.next++;
        worker.postMessage(seed);
        clearTimeout(watchdog);
        watchdog = setTimeout(() => {
          this.finish(hung(seed));
          end();
        }, HANG_MS);
      };
      worker.on('message', (result: SeedResult) => {
        this.finish(result);
        next();
      });
      worker.on('error', error => {
        clearTimeout(watchdog);
        reject(new Error(`the worker running seed ${seed} died: ${error.message}`, { cause: error }));
      });
      next();
    });
  }
}

function hung(seed: number): SeedResult {
  const message = `the world did not return within ${HANG_MS / 1000} s of real time`;
  const failure: Failure = { oracle: 'livelock', message, timeMs: Number.NaN };
  return { seed, failure, fingerprint: '', virtualMs: 0, wallMs: HANG_MS, packets: 0 };
}

function summary(results: SeedResult[], wallMs: number): SwarmResult {
  const failures = results.filter(one => one.failure !== null).sort((a, b) => a.seed - b.seed);
  const walls = results.map(one => one.wallMs).sort((a, b) => a - b);
  const virtualMs = results.reduce((sum, one) => sum + one.virtualMs, 0);
  return {
    worlds: results.length,
    failed: failures.length,
    firstFailingSeed: failures[0]?.seed ?? null,
    virtualSeconds: Math.round(virtualMs / 1000),
    wallSeconds: Math.round(wallMs) / 1000,
    medianWorldMs: walls[walls.length >> 1] ?? 0,
    failures,
  };
}

const HANG_MS = 60_000;
