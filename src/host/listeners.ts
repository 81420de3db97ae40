// Decides who listens where: one listener a port, address and IP version, or one for all of them; several
// where all agree to share a port (Linux: SO_REUSEPORT).

import type { Segment } from '../wire/index.ts';
import { type Config, mergeConfig } from './config.ts';
import { HostError } from './errors.ts';
import type { Listener } from './listener.ts';

/** Where a listener listens. */
export interface ListenPlace {
  readonly port: number;
  readonly interfaceId: number | null;
  readonly family: 4 | 6 | null;
  readonly reusePort: boolean;
}

export class Listeners {
  private readonly byPort: Map<number, Listener[]> = new Map();

  /** Throws EINVAL or EADDRINUSE when nobody may listen there. */
  assertFree(place: ListenPlace): void {
    const { port } = place;
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new HostError('EINVAL', `port ${port} is not within 1 and 65,535`);
    }
    for (const other of this.byPort.get(port) ?? []) {
      if (overlap(place, other) && !(place.reusePort && other.reusePort)) {
        throw new HostError('EADDRINUSE', `port ${port} is already listened on`);
      }
    }
  }

  /** The configuration of the host has changed. */
  configure(config: Config): void {
    for (const listener of [...this.byPort.values()].flat()) {
      listener.config = mergeConfig(config, listener.overrides);
    }
  }

  add(listener: Listener): void {
    this.byPort.set(listener.port, [...(this.byPort.get(listener.port) ?? []), listener]);
  }

  remove(listener: Listener): void {
    const left = (this.byPort.get(listener.port) ?? []).filter(other => other !== listener);
    if (left.length > 0) this.byPort.set(listener.port, left);
    else this.byPort.delete(listener.port);
  }

  has(port: number): boolean {
    return this.byPort.has(port);
  }

  /** The listener for a segment to an address of ours; null when there is none. */
  find(segment: Segment, interfaceId: number): Listener | null {
    const present = this.byPort.get(segment.dstPort);
    if (present === undefined) return null;
    let best: Listener | null = null;
    let bestScore = -1;
    let equals = 0;
    for (const listener of present) {
      if (listener.interfaceId !== null && listener.interfaceId !== interfaceId) continue;
      if (listener.family !== null && listener.family !== segment.ipVersion) continue;
      // As in Linux, who listens on the address goes before who listens on all.
      const score = (listener.interfaceId === null ? 0 : 2) + (listener.family === null ? 0 : 1);
      if (score < bestScore) continue;
      equals = score > bestScore ? 1 : equals + 1;
      bestScore = score;
      if (equals === 1 || spread(segment) % equals === 0) best = listener;
    }
    return best;
  }
}

function overlap(a: ListenPlace, b: ListenPlace): boolean {
  const sameAddress = a.interfaceId === null || b.interfaceId === null || a.interfaceId === b.interfaceId;
  return sameAddress && (a.family === null || b.family === null || a.family === b.family);
}

/** The same for every segment of a connection: which of several equal listeners is meant. */
function spread(segment: Segment): number {
  const h = Math.imul(segment.src3 ^ (segment.srcPort << 16) ^ segment.srcPort, 0x9e3779b1);
  return (h ^ (h >>> 15)) >>> 0;
}
