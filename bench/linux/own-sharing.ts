// Two flows of ours through one bottleneck, in virtual time: how the bytes acknowledged divide.
//
// The flows begin up to a second apart, as the seed has it; what they carry counts from WARM_UP_SECONDS on, for
// WINDOW_SECONDS.

import type { Config } from '../../src/host/index.ts';
import { Random } from '../../src/netmodel/index.ts';
import { simplePlan, World } from '../../src/sim/index.ts';
import { type Cell, linkOf } from './cells.ts';

export const WARM_UP_SECONDS = 20;
export const WINDOW_SECONDS = 60;

export interface Shares {
  /** Mbit/s of each, the one that began first in front. */
  readonly mbps: readonly [number, number];
}

export function ownShares(cell: Cell, seed: number, config: Partial<Config>, multipath: boolean): Shares {
  const bytes = 4e6 * (WARM_UP_SECONDS + WINDOW_SECONDS);
  const plan = simplePlan({ seed, paths: [linkOf(cell, seed)], uploadBytes: bytes });
  for (const host of plan.hosts) host.config = config;
  const [first] = plan.connections;
  first.multipath = multipath;
  const startMs = new Random(seed).fork('start').next() * 1000;
  plan.connections.push({ ...first, port: first.port + 1, startMs });
  const world = new World(plan);
  const acknowledged = (): number[] =>
    world.connections.map(
      ({ client }) => client.writtenBytes - (client.connection?.unacknowledgedBytes ?? 0),
    );
  world.run({ untilMs: WARM_UP_SECONDS * 1000 });
  const before = acknowledged();
  world.run({ untilMs: (WARM_UP_SECONDS + WINDOW_SECONDS) * 1000 });
  const [one, other] = acknowledged().map((after, i) => ((after - before[i]) * 8) / WINDOW_SECONDS / 1e6);
  if (world.failures.length > 0) throw new Error(world.failures[0].message);
  return { mbps: [one, other] };
}
