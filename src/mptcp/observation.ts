// Decides the words in which a connection describes itself: snapshots and notices, plain JSON, and what a
// multipath connection asks of the host that owns it.

import type {
  Environment,
  Extension,
  NetworkInterface,
  PlainStream,
  StreamOwner,
  Tcb,
} from '../tcp/index.ts';
import type { NetworkMemory } from './network-memory.ts';

/** A way a connection may go: a local interface and, where it differs, an address of the peer. */
export interface PathOptions {
  interfaceId: number;
  /** Local port (required with external ports for the first path). */
  localPort?: number;
  name?: string;
  backup?: boolean;
  cost?: number;
  /** Where to reach the peer over this path, when not at the connection's remote address. */
  remote?: { address: string; port: number };
}

export interface SubflowInfo {
  readonly id: number;
  readonly name: string;
  readonly interfaceId: number;
  readonly local: { address: string; port: number };
  readonly remote: { address: string; port: number };
  readonly state: 'connecting' | 'active' | 'suspect' | 'closing' | 'closed';
  readonly backup: boolean;
  /** Smoothed round-trip time in ms, 0 before the first sample. */
  readonly rttMs: number;
  readonly cwndBytes: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Bytes sent here that had been sent on another subflow before. */
  readonly bytesReinjected: number;
}

export interface FallbackInfo {
  /** Key of the table in mptcp/fallback. */
  readonly cause: string;
  readonly seenBy: 'local' | 'peer';
}

export interface MultipathInfo {
  /** True while MPTCP is in use. */
  readonly active: boolean;
  readonly fallback: FallbackInfo | null;
  /** The local token; null before and without MPTCP. */
  readonly token: number | null;
  readonly subflows: SubflowInfo[];
}

/** The link must open a local port before a subflow can start (TCP-in-UDP). */
export interface FlowRequest {
  readonly id: number;
  readonly interfaceId: number;
  readonly remote: { address: string; port: number };
}

export type Notice =
  | { readonly type: 'subflow'; readonly subflow: SubflowInfo }
  | { readonly type: 'subflowclose'; readonly subflow: SubflowInfo; readonly reason: string }
  | { readonly type: 'fallback'; readonly cause: string; readonly seenBy: 'local' | 'peer' }
  | { readonly type: 'flow'; readonly request: FlowRequest };

/** The host's Connection, as the multipath connection sees it. */
export interface MultipathOwner extends StreamOwner {
  /** What the host knows of the networks it is on. */
  readonly networks: NetworkMemory;
  /** Creates and registers a TCP block; null when the interface has gone or no port is free. */
  createTcb(options: {
    env: Environment;
    networkInterface: NetworkInterface;
    /** 0 = the host picks one. */
    localPort: number;
    remoteWords: Int32Array;
    remotePort: number;
    extension: Extension;
    now: number;
  }): Tcb | null;
  tcbReleased(tcb: Tcb): void;
  /** The SYN of a block in SYN-SENT is not wanted any more: a peer that has it should forget it. */
  withdraw(tcb: Tcb, now: number): void;
  interfaceFor(id: number): NetworkInterface | null;
  interfaceOfAddress(words: Int32Array): NetworkInterface | null;
  /** Something was decided outside of a packet or a deadline: transmit. */
  wake(): void;
  /** True when the request was passed on and an answer will come; false: choose a port yourself. */
  requestFlow(request: FlowRequest): boolean;
  isTokenFree(token: number): boolean;
  tokenChosen(token: number): void;
  tokenDropped(token: number): void;
  notice(notice: Notice): void;
  fellBack(plain: PlainStream, info: FallbackInfo): void;
  setEndpoints(tcb: Tcb): void;
}
