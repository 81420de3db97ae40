// One connection between our stack and the kernel's, in either role: where most cells of the matrix begin.

import type { ConnectOptions, ListenOptions } from '../../src/host/index.ts';
import type { Bed } from './bed.ts';
import type { KernelSocket, SocketOptions } from './kernel-peer.ts';
import type { OurFlow } from './our-host.ts';

/** Who connects. */
export type Role = 'our client' | 'our server';
export const ROLES: readonly Role[] = ['our client', 'our server'];

export interface PairOptions {
  readonly role: Role;
  readonly family?: 4 | 6;
  /** For our client: how many of the bed's devices it may use (default 1). */
  readonly paths?: number;
  /** More for our `connect` or `listen`. */
  readonly connect?: Partial<ConnectOptions>;
  readonly listen?: Partial<ListenOptions>;
  /** More for the kernel's socket. */
  readonly socket?: Partial<SocketOptions>;
}

/** A connection whose handshake both ends have completed; the kernel's end exists once it has. */
export interface Pair {
  readonly flow: OurFlow;
  readonly socket: KernelSocket;
  readonly port: number;
}

export async function connectPair(bed: Bed, options: PairOptions): Promise<Pair> {
  const family = options.family ?? 4;
  const interfaces = bed.interfaces(family);
  const pinned = { congestion: 'cubic', ...options.socket };
  if (options.role === 'our client') {
    // All addresses: the kernel answers joins to others than the first only where a listener does.
    const server = await bed.kernel.listen({ address: family === 4 ? '0.0.0.0' : '::', ...pinned });
    const accepted = server.accept();
    const flow = bed.ours.connect({
      remote: { address: bed.kernelAddress(0, family), port: server.port },
      paths: interfaces.slice(0, options.paths ?? 1).map(interfaceId => ({ interfaceId })),
      ...options.connect,
    });
    await flow.connected();
    return { flow, socket: await accepted, port: server.port };
  }
  const port = nextPort++;
  const listener = bed.ours.listen({ port, ...options.listen });
  const accepted = listener.accept();
  const socket = await bed.kernel.connect({ address: bed.ourAddress(0, family), port, ...pinned });
  return { flow: await accepted, socket, port };
}

/** The counters of a handshake of the first subflow, at the kernel. */
export function handshakeCounters(role: Role): Record<string, number> {
  return role === 'our client'
    ? { MPCapableSYNRX: 1, MPCapableACKRX: 1 }
    : { MPCapableSYNTX: 1, MPCapableSYNACKRX: 1 };
}

let nextPort = 7000;
