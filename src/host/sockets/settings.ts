// Decides what a socket remembers of its options, and what they mean to its connection: in Linux's units and
// with Linux's limits, for a connection opened later or running already.
// Before: sockets/options. After: host/config of the connection, host/connection.

import type { Config } from '../config.ts';
import type { Connection } from '../connection.ts';

/** As the application set them; undefined: as the host is configured. */
export interface Settings {
  reuseAddress: boolean;
  reusePort: boolean;
  v6Only: boolean;
  lingerOn: boolean;
  lingerSeconds: number;
  /** SO_RCVLOWAT: poll says readable from so many bytes on. */
  rcvLowat: number;
  /** As asked for, before Linux's doubling. */
  receiveBufferBytes: number | undefined;
  sendBufferBytes: number | undefined;
  keepAlive: boolean;
  keepIdleSeconds: number | undefined;
  keepIntervalSeconds: number | undefined;
  keepCount: number | undefined;
  userTimeoutMs: number | undefined;
  noDelay: boolean;
  synCount: number | undefined;
  congestion: Config['congestion'] | undefined;
}

export function newSettings(): Settings {
  return {
    reuseAddress: false,
    reusePort: false,
    v6Only: false,
    lingerOn: false,
    lingerSeconds: 0,
    rcvLowat: 1,
    receiveBufferBytes: undefined,
    sendBufferBytes: undefined,
    keepAlive: false,
    keepIdleSeconds: undefined,
    keepIntervalSeconds: undefined,
    keepCount: undefined,
    userTimeoutMs: undefined,
    noDelay: false,
    synCount: undefined,
    congestion: undefined,
  };
}

/** The part of the configuration that the options decide. */
export function configOf(settings: Settings): Partial<Config> {
  const config: Partial<Config> = {};
  if (settings.receiveBufferBytes !== undefined) {
    config.receiveBufferBytes = config.receiveBufferInitialBytes = settings.receiveBufferBytes;
  }
  if (settings.sendBufferBytes !== undefined) {
    config.sendBufferBytes = config.sendBufferInitialBytes = settings.sendBufferBytes;
  }
  if (settings.keepIdleSeconds !== undefined) config.keepAliveIdleMs = settings.keepIdleSeconds * 1000;
  if (settings.keepIntervalSeconds !== undefined) {
    config.keepAliveIntervalMs = settings.keepIntervalSeconds * 1000;
  }
  if (settings.keepCount !== undefined) config.keepAliveProbes = settings.keepCount;
  if (settings.userTimeoutMs !== undefined) config.userTimeoutMs = settings.userTimeoutMs;
  if (settings.synCount !== undefined) config.synRetries = settings.synCount;
  if (settings.congestion !== undefined) config.congestion = settings.congestion;
  return config;
}

/** What is switched rather than configured. */
export function applySwitches(settings: Settings, connection: Connection, now: number): void {
  if (settings.noDelay) connection.setNoDelay(true, now);
  if (settings.keepAlive) connection.setKeepAlive(true, 0, now);
}
