// Decides what the usual access networks look like: a table.
// Before: `mptcp demo`, the simulator's worlds and benchmarks pick a row. After: path.ts makes models of it.
//
// `forward` is client to server (the user's upload), `backward` server to client. Queues are one
// bandwidth-delay product of the direction's rate and the two delays, unless the network is known for more.

import type { PathOptions } from './path.ts';

export interface LinkProfile {
  readonly title: string;
  readonly forward: PathOptions;
  readonly backward: PathOptions;
}

export type LinkProfileName = keyof typeof LINK_PROFILES;

function symmetric(title: string, options: PathOptions): LinkProfile {
  return { title, forward: options, backward: options };
}

export const LINK_PROFILES: {
  readonly ethernet: LinkProfile;
  readonly wifi: LinkProfile;
  readonly lossyWifi: LinkProfile;
  readonly lte: LinkProfile;
  readonly nr5g: LinkProfile;
  readonly umts: LinkProfile;
  readonly dsl: LinkProfile;
  readonly cable: LinkProfile;
  readonly lowOrbit: LinkProfile;
  readonly satellite: LinkProfile;
} = {
  ethernet: symmetric('Ethernet', {
    rateBitsPerSecond: 1_000_000_000,
    delayMs: 0.5,
    queueBytes: 500_000,
    mtu: 1500,
  }),
  wifi: symmetric('Wi-Fi', { rateBitsPerSecond: 50_000_000, delayMs: 15, queueBytes: 187_500, mtu: 1500 }),
  lossyWifi: symmetric('Wi-Fi at the edge of its range', {
    rateBitsPerSecond: 12_000_000,
    delayMs: 15,
    jitterMs: 20,
    queueBytes: 100_000,
    burstLoss: { enterProbability: 0.005, leaveProbability: 0.2, lossInBad: 0.8 },
    mtu: 1500,
  }),
  lte: symmetric('LTE', { rateBitsPerSecond: 20_000_000, delayMs: 30, queueBytes: 150_000, mtu: 1500 }),
  nr5g: {
    title: '5G',
    forward: { rateBitsPerSecond: 50_000_000, delayMs: 10, jitterMs: 5, queueBytes: 125_000, mtu: 1500 },
    backward: { rateBitsPerSecond: 300_000_000, delayMs: 10, jitterMs: 5, queueBytes: 750_000, mtu: 1500 },
  },
  umts: {
    title: 'UMTS, with the deep queue of its time',
    forward: { rateBitsPerSecond: 1_500_000, delayMs: 50, jitterMs: 15, queueBytes: 200_000, mtu: 1500 },
    backward: { rateBitsPerSecond: 6_000_000, delayMs: 50, jitterMs: 15, queueBytes: 750_000, mtu: 1500 },
  },
  dsl: {
    title: 'DSL (PPPoE)',
    forward: { rateBitsPerSecond: 5_000_000, delayMs: 12, queueBytes: 64_000, mtu: 1492 },
    backward: { rateBitsPerSecond: 25_000_000, delayMs: 12, queueBytes: 75_000, mtu: 1492 },
  },
  cable: {
    title: 'Cable',
    forward: { rateBitsPerSecond: 20_000_000, delayMs: 8, jitterMs: 3, queueBytes: 64_000, mtu: 1500 },
    backward: { rateBitsPerSecond: 200_000_000, delayMs: 8, jitterMs: 1, queueBytes: 400_000, mtu: 1500 },
  },
  lowOrbit: {
    title: 'Low-orbit satellite',
    forward: {
      rateBitsPerSecond: 15_000_000,
      delayMs: 22,
      jitterMs: 12,
      queueBytes: 82_500,
      loss: 0.002,
      mtu: 1500,
    },
    backward: {
      rateBitsPerSecond: 120_000_000,
      delayMs: 22,
      jitterMs: 12,
      queueBytes: 660_000,
      loss: 0.002,
      mtu: 1500,
    },
  },
  satellite: {
    title: 'Geostationary satellite',
    forward: { rateBitsPerSecond: 3_000_000, delayMs: 290, queueBytes: 217_500, mtu: 1500 },
    backward: { rateBitsPerSecond: 25_000_000, delayMs: 290, queueBytes: 1_812_500, mtu: 1500 },
  },
};
