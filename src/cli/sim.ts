// `mptcp sim`: random worlds in virtual time, and whether every promise was kept in them. Next: sim/swarm.

import { availableParallelism } from 'node:os';
import {
  type Failure,
  replay,
  replayCommand,
  runSwarm,
  type SeedResult,
  type SwarmResult,
} from '../sim/index.ts';
import { captureWriter } from './capture-file.ts';
import { atMostPositionals, captureOption, readArguments, UsageError, wholeNumber } from './command-line.ts';

export const usage: string = `mptcp sim [--seeds N] [--from SEED] [--jobs N] [--json]
mptcp sim --from SEED [--trace] [--pcap FILE]

Runs worlds drawn at random from their seeds: hosts, networks and their faults, connections, applications. In
each it checks that every byte arrives once and in order, that both ends finish, that nothing stands still
while a path works, that memory stays bounded and that nothing is left afterwards. The same seed gives the
same run.

  --seeds N     how many worlds (default 100)
  --from SEED   the first seed; the others follow it (default 1)
  --jobs N      how many threads (default: as many as there are cores)
  --json        print one object: worlds, failed, firstFailingSeed, virtualSeconds, wallSeconds
  --trace       run one world and print its plan, every packet and every event
  --pcap FILE   run one world and record its packets, as pcapng, for Wireshark and tcpdump: one interface a
                path, virtual time, and what became of a packet as its comment

The exit code is 0 only if no world failed.
`;

const maxSeed = 2 ** 31;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'boolean', default: false },
    trace: { type: 'boolean', default: false },
    pcap: { type: 'string' },
  });
  atMostPositionals(positionals, 0);
  const from = wholeNumber(values.from, { name: '--from', min: 0, max: maxSeed });
  const jobs = wholeNumber(values.jobs, { name: '--jobs', min: 1, max: 256 });
  const { pcap } = captureOption(values.pcap);
  const one = pcap !== undefined || values.trace;
  const many = values.seeds ?? (one ? '1' : '100');
  const seeds = wholeNumber(many, { name: '--seeds', min: 1, max: maxSeed });
  if (one) {
    const option = values.trace ? '--trace' : '--pcap';
    if (seeds !== 1 || values.json) throw new UsageError(`${option} shows one world, in plain lines`);
    return showOne(from, values.trace, pcap);
  }
  const progress = new ProgressLine(seeds);
  const result = await runSwarm({ seeds, from, jobs, onProgress: progress.note });
  progress.clear();
  print(result, values.json);
  return result.failed > 0 ? 1 : 0;
}

function showOne(seed: number, trace: boolean, pcap: string | undefined): number {
  const print = (line: string): void => void process.stdout.write(`${line}\n`);
  const { failures, packets, virtualMs } = replay(seed, {
    ...(trace && { trace: print }),
    ...(pcap !== undefined && { capture: captureWriter(pcap) }),
  });
  if (!trace) {
    const outcome = failures.length > 0 ? failures.map(inOneLine).join('; ') : 'every promise kept';
    print(
      `world ${seed}: ${packets} packets in ${(virtualMs / 1000).toFixed(1)} s of virtual time, ${outcome}`,
    );
  }
  return failures.length > 0 ? 1 : 0;
}

function print(result: SwarmResult, json: boolean): void {
  const { worlds, failed, firstFailingSeed, virtualSeconds, wallSeconds, medianWorldMs, failures } = result;
  for (const { seed, failure } of failures.slice(0, maxShown)) {
    process.stderr.write(
      `seed ${seed}: ${failure === null ? '' : inOneLine(failure)}\n  ${replayCommand(seed)} --trace\n`,
    );
  }
  if (failed > maxShown) process.stderr.write(`and ${failed - maxShown} more\n`);
  if (json) {
    const summary = { worlds, failed, firstFailingSeed, virtualSeconds, wallSeconds };
    process.stdout.write(`${JSON.stringify(summary)}\n`);
    return;
  }
  process.stdout.write(
    `${worlds} worlds, ${failed} failed; ${virtualSeconds} s of virtual time ` +
      `in ${wallSeconds.toFixed(1)} s, ${medianWorldMs.toFixed(1)} ms for the median world\n`,
  );
}

function inOneLine({ oracle, message, timeMs }: Failure): string {
  const when = Number.isFinite(timeMs) ? ` at ${timeMs.toFixed(3)} ms` : '';
  return `${oracle}${when}: ${message.split('\n')[0]}`;
}

/** How far it is, on standard error and only on a terminal. */
class ProgressLine {
  readonly #seeds: number;
  readonly #shown: boolean = process.stderr.isTTY === true;
  #failed = 0;
  #nextMs = 0;

  constructor(seeds: number) {
    this.#seeds = seeds;
  }

  readonly note = ({ failure }: SeedResult, finished: number): void => {
    if (failure !== null) this.#failed += 1;
    const now = performance.now();
    if (!this.#shown || now < this.#nextMs) return;
    this.#nextMs = now + everyMs;
    process.stderr.write(`\r${finished} of ${this.#seeds} worlds, ${this.#failed} failed\x1b[K`);
  };

  clear(): void {
    if (this.#shown) process.stderr.write('\r\x1b[K');
  }
}

const maxShown = 10;
const everyMs = 200;
