// Decides which connections wait to be accepted (RFC 9293 §3.10.7.2 LISTEN): half-open ones are counted and
// bounded, established ones queue up to the backlog. Before: host.receive. After: the application's accept.

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
  deferAcceptMs: number;
  backlog: number;
  multipath: boolean;
  advertise: readonly AdvertisedAddress[];
}

export class Listener {
  readonly port: number;
  readonly interfaceId: number | null;
  readonly family: 4 | 6 | null;
  readonly reusePort: boolean;
  config: Config;
  readonly multipath: boolean;
  readonly advertise: readonly AdvertisedAddress[];
  backlog: number;
  deferAcceptMs: number;
  userData: unknown = undefined;
  /** Connections in SYN-RECEIVED. */
  halfOpen = 0;
  closed = false;
  readyQueued = false;
  private readyBits = 0;
  private readonly host: Host;
  private readonly queue: Connection[] = [];

  constructor(options: ListenerOptions) {
    this.host = options.host;
    this.port = options.port;
    this.interfaceId = options.interfaceId;
    this.family = options.family;
    this.reusePort = options.reusePort;
    this.config = options.config;
    this.deferAcceptMs = options.deferAcceptMs;
    this.backlog = options.backlog;
    this.multipath = options.multipath;
    this.advertise = options.advertise;
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

  /** A connection has completed its handshake (called by host). */
  established(connection: Connection): void {
    this.queue.push(connection);
    this.readyBits |= Ready.ACCEPT;
    this.host.endpointReady(this);
  }
}
