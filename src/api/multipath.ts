// What an application sees of the paths of a connection.
//
// Decides: the shape of `socket.multipath`, plain JSON that stays as it is from release to release.
// Walk: api/socket hands it out, from what host says.

import type { Connection } from '../host/index.ts';

/** An address and port. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** One path of a connection. */
export interface SubflowStatus {
  readonly id: number;
  readonly name: string;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly state: 'connecting' | 'active' | 'suspect' | 'closing' | 'closed';
  readonly backup: boolean;
  readonly rttMs: number;
  readonly cwndBytes: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes sent here that had been sent elsewhere before; the kernel does not tell, then it is null. */
  readonly bytesReinjected: number | null;
}

/** Why a connection is plain TCP after all, and which side found out. */
export interface FallbackStatus {
  readonly cause: string;
  readonly seenBy: 'local' | 'peer';
}

/** Something that was asked for and cannot be done. */
export interface Unhonoured {
  readonly what: string;
  readonly why: string;
  readonly remedy: string;
}

/** Who runs the protocol. */
export type Backend = 'user' | 'kernel';

/** A snapshot of a connection. */
export interface MultipathStatus {
  /** Both ends speak Multipath TCP. */
  readonly active: boolean;
  /** Who runs the protocol: this package, or the Linux kernel. */
  readonly backend: Backend;
  /** Why that one, where `backend: 'auto'` chose; else null. */
  readonly reason: string | null;
  readonly fallback: FallbackStatus | null;
  readonly token: number | null;
  /** What of `paths` and `service`, and of later wishes, could not be done; with the kernel only. */
  readonly unhonoured: readonly Unhonoured[];
  readonly subflows: readonly SubflowStatus[];
}

type HostSubflow = ReturnType<Connection['multipath']>['subflows'][number];

/** What is said before there is a connection. */
export function noMultipath(backend: Backend, reason: string | null): MultipathStatus {
  return { active: false, backend, reason, fallback: null, token: null, unhonoured: [], subflows: [] };
}

/** A connection as it is now. */
export function multipathOf(connection: Connection, reason: string | null): MultipathStatus {
  const { active, fallback, token, subflows } = connection.multipath();
  return {
    ...{ active, backend: 'user', reason, fallback, token, unhonoured: [] },
    subflows: subflows.map(subflowOf),
  };
}

/** One subflow as it is now. */
export function subflowOf(subflow: HostSubflow): SubflowStatus {
  const { id, name, local, remote, state, backup, rttMs, cwndBytes } = subflow;
  const { bytesSent, bytesReceived, bytesReinjected } = subflow;
  return {
    ...{ id, name, local: endpointOf(local), remote: endpointOf(remote), state, backup, rttMs, cwndBytes },
    ...{ bytesSent, bytesReceived, bytesReinjected },
  };
}

function endpointOf({ address, port }: Endpoint): Endpoint {
  return { address, port };
}
