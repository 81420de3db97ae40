// `mptcp stat`: the kernel's counters of Multipath TCP, what they mean, and how far they move.

import { setTimeout as wait } from 'node:timers/promises';
import { COUNTER_MEANINGS, type Counters, movedCounters, multipathCounters } from '../kernel/index.ts';
import { atMostPositionals, readArguments, UsageError, wholeNumber } from './command-line.ts';

export const usage: string = `mptcp stat [--all] [--every SECONDS] [--json]

Shows the counters of the Linux kernel's Multipath TCP in this network namespace (nstat calls them MPTcpExt…),
each with what it counts. Needs no rights.

  --all             those that are 0, too
  --every SECONDS   and from then on, until interrupted, those that moved, and how far
  --json            as one JSON object a reading

`;

export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments(args, {
    all: { type: 'boolean', default: false },
    every: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  atMostPositionals(positionals, 0);
  const every = values.every;
  const seconds = every === undefined ? 0 : wholeNumber(every, { name: 'SECONDS', min: 1, max: 86_400 });
  let last = multipathCounters();
  if (last.size === 0) throw new UsageError('this kernel has no counters of Multipath TCP');
  const shown = values.all ? last : new Map([...last].filter(([, value]) => value !== 0));
  process.stdout.write(values.json ? asJson(shown) : table(shown));
  while (seconds > 0) {
    await wait(seconds * 1000);
    const now = multipathCounters();
    const moved = movedCounters(last, now);
    last = now;
    if (values.json) process.stdout.write(asJson(moved));
    else if (moved.size > 0) process.stdout.write(`\n${table(moved, '+')}`);
  }
  return 0;
}

/** Name, value and meaning in columns; `sign` stands before what has grown. */
export function table(counters: Counters, sign = ''): string {
  const rows = [...counters].map(
    ([name, value]) => [name, value > 0 ? `${sign}${value}` : String(value)] as const,
  );
  const width = Math.max(0, ...rows.map(([, value]) => value.length));
  return rows
    .map(([name, value]) =>
      `${name.padEnd(24)} ${value.padStart(width)}  ${COUNTER_MEANINGS[name] ?? ''}`.trimEnd().concat('\n'),
    )
    .join('');
}

function asJson(counters: Counters): string {
  return `${JSON.stringify(Object.fromEntries(counters))}\n`;
}
