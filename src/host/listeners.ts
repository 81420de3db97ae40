// Decides who listens where: one listener a port and address, or one a port for all addresses.

import { HostError } from './errors.ts';
import type { Listener } from './listener.ts';

export class Listeners {
  private readonly byPort: Map<number, Listener[]> = new Map();

  /** Throws EINVAL or EADDRINUSE when nobody may listen there. */
  assertFree(port: number, interfaceId: number | null): void {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new HostError('EINVAL', `port ${port} is not within 1 and 65,535`);
    }
    for (const other of this.byPort.get(port) ?? []) {
      if (other.interfaceId === null || interfaceId === null || other.interfaceId === interfaceId) {
        throw new HostError('EADDRINUSE', `port ${port} is already listened on`);
      }
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

  /** The listener for a port of an interface; null when there is none. */
  find(port: number, interfaceId: number): Listener | null {
    const present = this.byPort.get(port);
    if (present === undefined) return null;
    for (const listener of present) {
      if (listener.interfaceId === null || listener.interfaceId === interfaceId) return listener;
    }
    return null;
  }
}
