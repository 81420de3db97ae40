// Decides the configuration of a host: everything of TCP and MPTCP plus the limits of a whole host.

import { MPTCP_DEFAULTS, type MptcpConfig } from '../mptcp/index.ts';
import { HostError } from './errors.ts';
import { keysFrom, RANDOM_KEY } from './fast-open.ts';

export interface Config extends MptcpConfig {
  /** Half-open connections of one listener (Linux: tcp_max_syn_backlog). */
  maxHalfOpen: number;
  /** Connections waiting to be accepted, unless `listen` says otherwise (Linux: somaxconn). */
  backlog: number;
  /** The most that sockets may ask `listen` for (Linux: somaxconn). */
  maxBacklog: number;
  /** Sockets of IPPROTO_MPTCP can be made (Linux: net.mptcp.enabled). */
  mptcpEnabled: boolean;
  /** Sockets are not writable while so many bytes are unsent (Linux: tcp_notsent_lowat). */
  notSentLowBytes: number;
  /** What SO_RCVBUF and SO_SNDBUF may ask for, in bytes (Linux: rmem_max, wmem_max). */
  maxReceiveBufferBytes: number;
  maxSendBufferBytes: number;
  /** Resets answered to segments of unknown connections, per second. */
  rstPerSecond: number;
  /** Ephemeral ports (Linux: ip_local_port_range). */
  ephemeralFirst: number;
  ephemeralLast: number;
  /**
   * TCP Fast Open, in bits: 1 clients that ask for it, 2 listeners that have a queue for it, 4 data without a
   * cookie sent, 0x200 data without a cookie taken, 0x400 every listener has a queue (Linux: tcp_fastopen).
   */
  fastOpen: number;
  /** Key of the cookies, and after a comma the one before; `random` = its own (Linux: tcp_fastopen_key). */
  fastOpenKey: string;
  /** After a black hole no Fast Open for so long; 0 = go on (Linux: tcp_fastopen_blackhole_timeout_sec). */
  fastOpenBlackholeMs: number;
}

export const DEFAULT_CONFIG: Config = {
  ...MPTCP_DEFAULTS,
  maxHalfOpen: 1024,
  backlog: 511,
  maxBacklog: 4096,
  mptcpEnabled: true,
  notSentLowBytes: 2 ** 32 - 1,
  // DEVIATION (Linux: 208 KiB): memory is taken only as bytes come.
  maxReceiveBufferBytes: 4 * 1024 * 1024,
  maxSendBufferBytes: 4 * 1024 * 1024,
  rstPerSecond: 100,
  ephemeralFirst: 32_768,
  ephemeralLast: 60_999,
  fastOpen: 1,
  fastOpenKey: RANDOM_KEY,
  fastOpenBlackholeMs: 0,
};

/** Longer than any test, and no limit to anything. */
const ENDLESS = 2 ** 31 - 1;

/**
 * Every setting as Linux has it where ours is another on purpose: for who compares with Linux packet by
 * packet. The reasons are in docs/api/sysctls.md and in the comments of the defaults.
 */
export const LINUX_CONFIG: Partial<Config> = {
  // A window of 64 KiB of a buffer of 128 KiB, and what it may grow to (tcp_rmem).
  receiveBufferInitialBytes: 65_536,
  receiveBufferBytes: 6_291_456,
  windowUnits: 32_768,
  sendBufferInitialBytes: 16_384,
  maxReceiveBufferBytes: 212_992,
  maxSendBufferBytes: 212_992,
  // tcp_retries2: 15 timeouts from 200 ms on.
  dataTimeoutMs: 924_600,
  // No plain SYN beside one that is not answered.
  plainSynMs: 0,
  synRetransBeforeFallback: 2,
  synLinearTimeouts: 4,
  lossProbeDelayMs: 200,
  firstDataAck: false,
  removeAddrRetries: 0,
  // As many SYN/ACKs as tcp_synack_retries says, whatever they weigh.
  amplificationLimit: ENDLESS,
  // A subflow that is lost stays so.
  replaceAfterMs: ENDLESS,
  rejoinMinMs: ENDLESS,
  rejoinMaxMs: ENDLESS,
  asLinux: true,
};

/** Defaults with `overrides` laid over them; unknown keys and impossible values are refused by name. */
export function mergeConfig(base: Config, overrides: Partial<Config> | undefined): Config {
  if (overrides === undefined) return base;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(overrides)) {
    if (value === undefined) continue;
    if (!(key in base)) {
      throw new HostError('EINVAL', `unknown configuration key '${key}'`);
    }
    const expected = typeof base[key as keyof Config];
    if (typeof value !== expected) {
      throw new HostError('EINVAL', `configuration '${key}' must be a ${expected}, not ${String(value)}`);
    }
    if (typeof value === 'number' && (!(value >= 0) || value === Infinity)) {
      throw new HostError('EINVAL', `configuration '${key}' must be a finite number ≥ 0, not ${value}`);
    }
    merged[key] = value;
  }
  const config = merged as unknown as Config;
  if (!['cubic', 'reno', 'lia'].includes(config.congestion)) {
    throw new HostError(
      'EINVAL',
      `unknown congestion controller '${config.congestion}': use cubic, reno or lia`,
    );
  }
  if (config.ecn !== 'on' && config.ecn !== 'passive' && config.ecn !== 'off') {
    throw new HostError('EINVAL', `configuration 'ecn' must be on, passive or off, not '${config.ecn}'`);
  }
  if (config.fastOpenKey !== RANDOM_KEY) keysFrom(config.fastOpenKey);
  return config;
}
