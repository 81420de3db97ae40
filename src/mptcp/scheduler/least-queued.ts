// Decides the policy of Linux, for who compares packets with it: the path whose queue is soonest empty at the
// rate it sends with, the first one while none has anything in flight; backup paths only when no regular path
// is usable (RFC 8684 §3.3.8).

import type { Path, Scheduler } from './scheduler.ts';

export class LeastQueued implements Scheduler {
  readonly name = 'least-queued';

  pick(paths: readonly Path[]): Path | null {
    let best: Path | null = null;
    let least = Infinity;
    let regular = false;
    for (let i = 0; i < paths.length; i++) {
      const path = paths[i];
      if (!path.usable) continue;
      if (!path.backup && !regular) {
        // The first regular path: backups found so far do not count.
        regular = true;
        best = null;
        least = Infinity;
      }
      if ((path.backup && regular) || path.freeBytes <= 0) continue;
      const queuedMs = (path.inFlightBytes * path.srttMs) / path.cwndBytes;
      if (queuedMs >= least) continue;
      least = queuedMs;
      best = path;
    }
    return best;
  }
}
