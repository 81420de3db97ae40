// Decides which connections wait to be accepted (RFC 9293 §3.10.7.2 LISTEN): half-open ones are counted and
// bounded, established ones queue up to the backlog. Before: host.receive. After: the application's accept.

import type { Endpoints } from '../mptcp/index.ts';
import { Ready } from '../tcp/index.ts';
import type { Config } from './config.ts';
import type { Connection } from './connection.ts';
import type { Host } from './host.ts';

export interface AdvertisedAddress {
  /** Address literal. */
  address: string;
  /** Port when it differs from the listener's. */
  port?: number;
}

export interface ListenerOptions {
  host: Host;
  port: number;
  /** Only this local interface; null = all. */
  interfaceId: number | null;
  /** Only this IP version; null = both. */
  family: 4 | 6 | null;
  /** Several listeners that all say so may share a port. */
  reusePort: boolean;
  /** Of the connections it accepts. */
  config: Config;
  /** What of it is the listener's own. */
  overrides: Partial<Config>;
  deferAcceptMs: number;
  /** Its connections follow them; null: they do not. */
  endpoints: Endpoints | null;
  backlog: number;
  multipath: boolean;
  advertise: readonly AdvertisedAddress[];
  /** Connections that may be waiting for their third ACK (TCP Fast Open). */
  fastOpenQueue: number;
  fastOpenKeys: readonly Uint8Array[];
}

export class Listener {
  readonly port: number;
  readonly interfaceId: number | null;
  readonly family: 4 | 6 | null;
  readonly reusePort: boolean;
  config: Config;
  overrides: Partial<Config>;
  readonly multipath: boolean;
  readonly advertise: readonly AdvertisedAddress[];
  backlog: number;
  deferAcceptMs: number;
  /** Connections that may be the application's before their third ACK (Linux: TCP_FASTOPEN); 0 = none. */
  fastOpenQueue: number;
  /** Keys of 16 bytes, the newest first; none = those of the configuration (Linux: TCP_FASTOPEN_KEY). */
  fastOpenKeys: readonly Uint8Array[];
  readonly endpoints: Endpoints | null;
  userData: unknown = undefined;
  /** Connections in SYN-RECEIVED. */
  halfOpen = 0;
  closed = false;
  readyQueued = false;
  private readyBits = 0;
  private readonly host: Host;
  private readonly queue: Connection[] = [];
  /** Connections without their third ACK, and when each of those that were reset counts no more. */
  private early = 0;
  private readonly resetUntilMs: number[] = [];

  constructor(options: ListenerOptions) {
    this.host = options.host;
    this.port = options.port;
    this.interfaceId = options.interfaceId;
    this.family = options.family;
    this.reusePort = options.reusePort;
    this.config = options.config;
    this.overrides = options.overrides;
    this.deferAcceptMs = options.deferAcceptMs;
    this.endpoints = options.endpoints;
    this.backlog = options.backlog;
    this.multipath = options.multipath;
    this.advertise = options.advertise;
    this.fastOpenQueue = options.fastOpenQueue;
    this.fastOpenKeys = options.fastOpenKeys;
  }

  /** Ready bits since the last call. */
  takeEvents(): number {
    const bits = this.readyBits;
    this.readyBits = 0;
    return bits;
  }

  /** The oldest established connection, if one waits. */
  accept(): Connection | undefined {
    return this.queue.shift();
  }

  get waiting(): number {
    return this.queue.length;
  }

  get isFull(): boolean {
    return this.queue.length >= this.backlog;
  }

  /** Stops listening; connections not yet accepted are reset, accepted ones live on. */
  close(now: number): void {
    if (this.closed) return;
    this.closed = true;
    this.host.removeListener(this);
    for (const connection of this.queue) connection.abort(now);
    this.queue.length = 0;
  }

  /** True when one more connection may be the application's before its third ACK. */
  admitsEarly(now: number): boolean {
    if (this.early + this.resetUntilMs.length < this.fastOpenQueue) return true;
    if (!(this.resetUntilMs[0] <= now)) return false;
    this.resetUntilMs.shift();
    return this.early + this.resetUntilMs.length < this.fastOpenQueue;
  }

  earlyBegan(): void {
    this.early++;
  }

  /**
   * Its third ACK has come, or it has ended. RFC 7413 §5.1: one that was reset, which is what the victim of a
   * spoofed SYN answers, counts for a while as if it were still pending.
   */
  earlyEnded(wasReset: boolean, now: number): void {
    this.early--;
    if (wasReset) this.resetUntilMs.push(now + RESET_COUNTS_MS);
  }

  /** A connection has completed its handshake (called by host). */
  established(connection: Connection): void {
    this.queue.push(connection);
    this.readyBits |= Ready.ACCEPT;
    this.host.endpointReady(this);
  }
}

/** As in Linux. */
const RESET_COUNTS_MS = 60_000;
