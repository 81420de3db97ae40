// Decides the default policy: among usable paths with room, the one with the smallest smoothed round-trip
// time; backup paths only when no regular path is usable (RFC 8684 §3.3.8).

import type { Path, Scheduler } from './scheduler.ts';

export class LowestRtt implements Scheduler {
  readonly name = 'lowest-rtt';

  pick(paths: readonly Path[]): Path | null {
    let best: Path | null = null;
    let regular = false;
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i];
      if (!path.usable) continue;
      if (!path.backup && !regular) {
        // The first regular path: backups found so far do not count.
        regular = true;
        best = null;
      }
      if ((path.backup && regular) || path.freeBytes <= 0) continue;
      if (best === null || path.srttMs < best.srttMs) best = path;
    }
    return best;
  }
}
