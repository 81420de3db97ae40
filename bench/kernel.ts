// `bench -- kernel`: what a transfer over the loopback costs with `backend: 'kernel'`, beside the same program with
// node:net under `mptcpize run`, and beside plain TCP.
//
// Decides: what is compared. All take turns, each with its own two processes that live through all rounds; ratios are of
// two neighbours of the same round, and the interval is that of the median, by order statistics. The congestion control
// is pinned.

import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { impediment } from '../src/kernel/index.ts';

/** One way to send bytes. */
export interface KernelRow {
  readonly name: string;
  readonly gbitPerSecond: number;
  readonly cpuSecondsPerGB: number;
}

/** A ratio of each round. */
export interface Ratio {
  readonly median: number;
  /** The true median lies between these with so much confidence. */
  readonly low: number;
  readonly high: number;
  readonly confidence: number;
}

export interface KernelBench {
  readonly rounds: number;
  readonly bytes: number;
  readonly congestionControl: string;
  readonly rows: readonly KernelRow[];
  /** Of ours to mptcpize, and of plain TCP to mptcpize. */
  readonly throughput: Ratio;
  readonly cpu: Ratio;
  readonly plainThroughput: Ratio;
  readonly plainCpu: Ratio;
}

/** Measures; or says why it cannot. */
export async function benchKernel(): Promise<KernelBench | string> {
  const missing = whyNot();
  if (missing !== undefined) return missing;
  const namespace = `mptcp-bench-${process.pid}`;
  execFileSync('ip', ['netns', 'add', namespace]);
  try {
    execFileSync('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
    // By the route: the default of a namespace may only be what anybody is allowed.
    const pin = `route replace table local local 127.0.0.1 dev lo scope host congctl lock ${CONGESTION_CONTROL}`;
    execFileSync('ip', ['-n', namespace, ...pin.split(' ')]);
    const ways = WAYS.map(way => new Way(namespace, way));
    try {
      for (const way of ways) await way.begin();
      return await measure(ways);
    } finally {
      for (const way of ways) way.close();
    }
  } finally {
    execFileSync('ip', ['netns', 'del', namespace]);
  }
}

async function measure(ways: readonly Way[]): Promise<KernelBench> {
  // What is compiled, and how large the buffers become, settles in these.
  for (let i = 0; i < WARM_UP_ROUNDS; i++) for (const way of ways) await way.transfer();
  const rounds: Sample[][] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const round: Sample[] = [];
    // Who is first changes from round to round.
    for (let k = 0; k < ways.length; k++) {
      const at = (i + k) % ways.length;
      round[at] = await ways[at].transfer();
    }
    rounds.push(round);
  }
  const of = (at: number, key: keyof Sample) => rounds.map(round => round[at][key]);
  const ratio = (at: number, key: keyof Sample) =>
    ratioOf(rounds.map(round => round[at][key] / round[1][key]));
  return {
    ...{ rounds: ROUNDS, bytes: BYTES, congestionControl: CONGESTION_CONTROL },
    rows: ways.map(({ name }, at) => ({
      name,
      gbitPerSecond: middle(of(at, 'gbitPerSecond')),
      cpuSecondsPerGB: middle(of(at, 'cpuSecondsPerGB')),
    })),
    ...{ throughput: ratio(0, 'gbitPerSecond'), cpu: ratio(0, 'cpuSecondsPerGB') },
    ...{ plainThroughput: ratio(2, 'gbitPerSecond'), plainCpu: ratio(2, 'cpuSecondsPerGB') },
  };
}

interface Sample {
  readonly gbitPerSecond: number;
  readonly cpuSecondsPerGB: number;
}

interface Kind {
  readonly name: string;
  readonly before: readonly string[];
  readonly sockets: 'ours' | 'net';
  readonly multipath: boolean;
}

/** A server and a client that send the same way. */
class Way {
  readonly name: string;
  readonly #kind: Kind;
  readonly #server: End;
  readonly #client: End;
  #port = 0;

  constructor(namespace: string, kind: Kind) {
    this.name = kind.name;
    this.#kind = kind;
    const command = [
      'ip',
      'netns',
      'exec',
      namespace,
      ...kind.before,
      process.execPath,
      '--no-warnings',
      END,
    ];
    this.#server = new End([...command, kind.sockets]);
    this.#client = new End([...command, kind.sockets]);
  }

  async begin(): Promise<void> {
    this.#port = (await this.#server.ask<{ port: number }>({ listen: true })).port;
  }

  async transfer(): Promise<Sample> {
    const before = await this.#server.ask<{ cpuSeconds: number }>({ cpu: true });
    const sent = await this.#client.ask<{
      seconds: number;
      cpuSeconds: number;
      multipath?: boolean;
      error?: string;
    }>({ port: this.#port, bytes: BYTES });
    if (sent.error !== undefined) throw new Error(`${this.name}: ${sent.error}`);
    if (sent.multipath !== this.#kind.multipath)
      throw new Error(`${this.name} was ${sent.multipath} Multipath TCP`);
    const after = await this.#server.ask<{ cpuSeconds: number }>({ cpu: true });
    const cpuSeconds = sent.cpuSeconds + after.cpuSeconds - before.cpuSeconds;
    return {
      gbitPerSecond: (BYTES * 8) / sent.seconds / 1e9,
      cpuSecondsPerGB: (cpuSeconds * 1e9) / BYTES,
    };
  }

  close(): void {
    this.#server.close();
    this.#client.close();
  }
}

/** A process that answers. */
class End {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;

  constructor([program, ...args]: readonly string[]) {
    this.#child = spawn(program, args);
    this.#child.stderr.pipe(process.stderr);
    this.#lines = createInterface({ input: this.#child.stdout });
  }

  ask<T>(order: object): Promise<T> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('a process of the benchmark has ended'));
      this.#child.once('exit', ended);
      this.#lines.once('line', line => {
        this.#child.removeListener('exit', ended);
        resolve(JSON.parse(line) as T);
      });
      this.#child.stdin.write(`${JSON.stringify(order)}\n`);
    });
  }

  close(): void {
    this.#child.kill();
  }
}

function whyNot(): string | undefined {
  if (process.getuid?.() !== 0)
    return 'a network namespace is needed to pin the congestion control: run as root';
  const missing = impediment();
  if (missing !== undefined) return missing.message;
  try {
    execFileSync('mptcpize', ['help'], { stdio: 'ignore' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'the program mptcpize is needed';
  }
  return undefined;
}

/** The median, and the order statistics that hold it in 95 % of cases or more (each value is above it as often as not). */
export function ratioOf(values: readonly number[]): Ratio {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  let below = 0;
  let chance = 0.5 ** n;
  let rank = 0;
  // The chance that at most `rank` of n values lie below the median, summed while both tails together stay within 5 %.
  while (rank < n / 2 && 2 * (below + chance) <= 0.05) {
    below += chance;
    chance *= (n - rank) / (rank + 1);
    rank++;
  }
  const at = Math.max(0, rank - 1);
  return { median: middle(sorted), low: sorted[at], high: sorted[n - 1 - at], confidence: 1 - 2 * below };
}

function middle(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}

const WAYS: readonly Kind[] = [
  { name: "backend: 'kernel'", before: [], sockets: 'ours', multipath: true },
  { name: 'mptcpize run node', before: ['mptcpize', 'run'], sockets: 'net', multipath: true },
  { name: 'plain TCP, node:net', before: [], sockets: 'net', multipath: false },
];
const END: string = fileURLToPath(new URL('kernel-end.js', import.meta.url));
const CONGESTION_CONTROL = 'cubic';
const ROUNDS = 30;
const WARM_UP_ROUNDS = 2;
const BYTES = 16_384 * 65_536;
