// The two networks of the demo: rows of the emulator's table of links, under the names of the demo's options.
// Before: demo.ts. After: relay.ts makes paths of them, result.ts counts what they could have carried.

import { LINK_PROFILES, type LinkProfile } from '../../emulator/index.ts';

export interface Network extends LinkProfile {
  name: string;
}

export const networks: readonly Network[] = [
  { name: 'wifi', ...LINK_PROFILES.wifi },
  { name: 'lte', ...LINK_PROFILES.lte },
];

/** A row of the manual. */
export function describe({ title, forward }: Network): string {
  const { rateBitsPerSecond = 0, delayMs = 0, queueBytes = 0 } = forward;
  const queue = `${Math.round(queueBytes / 1000)} KB`;
  return `${title}: ${rateBitsPerSecond / 1e6} Mbit/s, ${delayMs} ms one way, a queue of ${queue}`;
}
