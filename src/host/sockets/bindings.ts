// Decides which sockets hold which local ports, and who may bind beside them (Linux: inet_csk_get_port).
// Before: socket.bind, connect and listen without one. After: host.connect, host.listen.

import { errno } from './errno.ts';

/** What a socket holds: an address (null = all of its family) and a port. */
export interface Binding {
  /** IP versions that it takes. */
  readonly families: readonly (4 | 6)[];
  readonly words: Int32Array | null;
  readonly port: number;
  /** SO_REUSEADDR and SO_REUSEPORT as they are now; TCP state LISTEN. */
  readonly reuseAddress: boolean;
  readonly reusePort: boolean;
  readonly isListening: boolean;
}

/** A live connection on a local port, whoever opened it. */
export interface PortUser {
  readonly local: { readonly port: number };
  readonly localWords: Int32Array;
  readonly reuseAddress: boolean;
  /** Only its listener holds the port yet. */
  readonly isHalfOpen: boolean;
}

export class Bindings {
  private readonly byPort: Map<number, Binding[]> = new Map();
  /** Connections whose ports count as taken, too: those of closed sockets and in TIME-WAIT. */
  private readonly users: () => Iterable<PortUser>;

  constructor(users: () => Iterable<PortUser>) {
    this.users = users;
  }

  has(port: number): boolean {
    return this.byPort.has(port);
  }

  /** 0, or the error of binding there. */
  refusal(wanted: Binding): number {
    for (const other of this.byPort.get(wanted.port) ?? []) {
      if (other !== wanted && overlap(wanted, other) && !mayShare(wanted, other)) return -errno.EADDRINUSE;
    }
    for (const user of this.users()) {
      if (user.local.port !== wanted.port || user.isHalfOpen || (user.reuseAddress && wanted.reuseAddress))
        continue;
      if (wanted.words === null || isSame(wanted.words, user.localWords)) return -errno.EADDRINUSE;
    }
    return 0;
  }

  add(binding: Binding): void {
    this.byPort.set(binding.port, [...(this.byPort.get(binding.port) ?? []), binding]);
  }

  remove(binding: Binding): void {
    const left = (this.byPort.get(binding.port) ?? []).filter(other => other !== binding);
    if (left.length > 0) this.byPort.set(binding.port, left);
    else this.byPort.delete(binding.port);
  }
}

function overlap(a: Binding, b: Binding): boolean {
  if (!a.families.some(family => b.families.includes(family))) return false;
  return a.words === null || b.words === null || isSame(a.words, b.words);
}

/** Both say SO_REUSEPORT, or both say SO_REUSEADDR and the one there already does not listen. */
function mayShare(wanted: Binding, other: Binding): boolean {
  if (wanted.reusePort && other.reusePort) return true;
  return wanted.reuseAddress && other.reuseAddress && !other.isListening;
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, i) => word === b[i]);
}
