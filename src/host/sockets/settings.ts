// Decides what a socket remembers of its options, and what they mean to its connection: in Linux's units, for
// a connection opened later or running already.
// Before: sockets/options. After: host/config of the connection, host/connection.

import { Hold } from '../../tcp/index.ts';
import type { Config } from '../config.ts';
import type { Connection } from '../connection.ts';

/** As the application set them; undefined: as the host is configured. */
export interface Settings {
  reuseAddress: boolean;
  reusePort: boolean;
  v6Only: boolean;
  /** IP_BIND_ADDRESS_NO_PORT: bind to port 0 leaves the port to connect. */
  bindNoPort: boolean;
  lingerOn: boolean;
  lingerSeconds: number;
  /** SO_RCVLOWAT: poll says readable from so many bytes on. */
  rcvLowat: number;
  /** As asked for, before Linux's doubling. */
  receiveBufferBytes: number | undefined;
  sendBufferBytes: number | undefined;
  windowClampBytes: number | undefined;
  keepAlive: boolean;
  keepIdleSeconds: number | undefined;
  keepIntervalSeconds: number | undefined;
  keepCount: number | undefined;
  userTimeoutMs: number | undefined;
  rtoMaxMs: number | undefined;
  noDelay: boolean;
  cork: boolean;
  quickAck: boolean | undefined;
  /** TCP_NOTSENT_LOWAT: not writable while so many bytes are unsent. */
  notSentLowat: number | undefined;
  synCount: number | undefined;
  linger2Seconds: number | undefined;
  deferAcceptSeconds: number;
  /** TCP_FASTOPEN: connections of a listener that may be waiting for their third ACK. */
  fastOpenQueue: number;
  /** TCP_FASTOPEN_CONNECT: the SYN waits for the first data. */
  fastOpenConnect: boolean;
  /** TCP_FASTOPEN_NO_COOKIE, in both roles. */
  fastOpenNoCookie: boolean;
  fastOpenKey: Uint8Array | undefined;
  maxSegmentBytes: number | undefined;
  congestion: Config['congestion'] | undefined;
  tos: number;
  trafficClass: number;
  timeToLive: number | undefined;
  hopLimit: number | undefined;
  /** IP_MTU_DISCOVER; path MTU discovery is always on. */
  mtuDiscover: number;
}

export function newSettings(): Settings {
  return {
    reuseAddress: false,
    reusePort: false,
    v6Only: false,
    bindNoPort: false,
    lingerOn: false,
    lingerSeconds: 0,
    rcvLowat: 1,
    receiveBufferBytes: undefined,
    sendBufferBytes: undefined,
    windowClampBytes: undefined,
    keepAlive: false,
    keepIdleSeconds: undefined,
    keepIntervalSeconds: undefined,
    keepCount: undefined,
    userTimeoutMs: undefined,
    rtoMaxMs: undefined,
    noDelay: false,
    cork: false,
    quickAck: undefined,
    mtuDiscover: 1,
    notSentLowat: undefined,
    synCount: undefined,
    linger2Seconds: undefined,
    deferAcceptSeconds: 0,
    fastOpenQueue: 0,
    fastOpenConnect: false,
    fastOpenNoCookie: false,
    fastOpenKey: undefined,
    maxSegmentBytes: undefined,
    congestion: undefined,
    tos: 0,
    trafficClass: 0,
    timeToLive: undefined,
    hopLimit: undefined,
  };
}

/** The part of the configuration that the options decide, for packets of one IP version. */
export function configOf(settings: Settings, ipVersion: 4 | 6): Partial<Config> {
  const config: Partial<Config> = {};
  const receiveBytes = Math.min(
    settings.receiveBufferBytes ?? Infinity,
    settings.windowClampBytes ?? Infinity,
  );
  if (receiveBytes < Infinity) config.receiveBufferBytes = config.receiveBufferInitialBytes = receiveBytes;
  if (settings.sendBufferBytes !== undefined) {
    config.sendBufferBytes = config.sendBufferInitialBytes = settings.sendBufferBytes;
  }
  const linger2 = settings.linger2Seconds;
  const set: Partial<Config> = {
    keepAliveIdleMs: inMs(settings.keepIdleSeconds),
    keepAliveIntervalMs: inMs(settings.keepIntervalSeconds),
    keepAliveProbes: settings.keepCount,
    userTimeoutMs: settings.userTimeoutMs,
    rtoMaxMs: settings.rtoMaxMs,
    synRetries: settings.synCount,
    // Less than 0: FIN-WAIT-2 is not waited for at all.
    finWait2Ms: linger2 === undefined ? undefined : Math.max(0, linger2) * 1000,
    maxSegmentBytes: settings.maxSegmentBytes,
    congestion: settings.congestion,
    dscp: (ipVersion === 4 ? settings.tos : settings.trafficClass) >> 2,
    hopLimit: ipVersion === 4 ? settings.timeToLive : settings.hopLimit,
  } as Partial<Config>;
  return { ...config, ...set };
}

/** What is switched rather than configured. */
export function applySwitches(settings: Settings, connection: Connection, now: number): void {
  if (settings.noDelay) connection.setNoDelay(true, now);
  if (settings.cork) connection.setHold(Hold.CORK, true);
  if (settings.quickAck === false) connection.setQuickAck(false);
  if (settings.keepAlive) connection.setKeepAlive(true, 0, now);
}

function inMs(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : seconds * 1000;
}
