// Two flows of ours through one bottleneck, in virtual time: how the bytes acknowledged divide. The flows begin up to a
// second apart, as the seed has it.

import type { Config } from '../../src/host/index.ts';
import { simplePlan, World } from '../../src/sim/index.ts';
import { sharedLinkOf, startOfSecondMs } from './cells.ts';
import { type SharedCell, WINDOW_SECONDS } from './sharing.ts';

export interface OwnShares {
  readonly multipath: boolean;
  readonly config: Partial<Config>;
  /** Of the link (default: the time of one packet). */
  readonly jitterMs?: number;
}

/** Mbit/s of each, the one that began first in front. */
export function ownShares(cell: SharedCell, seed: number, flow: OwnShares): [number, number] {
  const { fromSeconds } = cell;
  // More than the link can carry meanwhile.
  const uploadBytes = 4e6 * (fromSeconds + WINDOW_SECONDS);
  const plan = simplePlan({ seed, paths: [sharedLinkOf(cell, flow.jitterMs)], uploadBytes });
  for (const host of plan.hosts) host.config = flow.config;
  const [first] = plan.connections;
  first.multipath = flow.multipath;
  plan.connections.push({ ...first, port: first.port + 1, startMs: startOfSecondMs(seed) });
  const world = new World(plan);
  const acknowledged = (): number[] =>
    world.connections.map(
      ({ client }) => client.writtenBytes - (client.connection?.unacknowledgedBytes ?? 0),
    );
  world.run({ untilMs: fromSeconds * 1000 });
  const before = acknowledged();
  world.run({ untilMs: (fromSeconds + WINDOW_SECONDS) * 1000 });
  const [one, other] = acknowledged().map((after, i) => ((after - before[i]) * 8) / WINDOW_SECONDS / 1e6);
  if (world.failures.length > 0) throw new Error(world.failures[0].message);
  return [one, other];
}
