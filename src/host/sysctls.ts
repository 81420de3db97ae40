// Decides what Linux's sysctls mean here: the table of those that exist, their units and ranges, the
// setting of the configuration behind each, Linux's default, and why ours is another where it is. What
// Linux can switch and this stack does always one way is in the table with that one value. Read: Linux's
// Documentation/networking/ip-sysctl.rst and mptcp-sysctl.rst. Before: host.sysctls. After: host/config of
// connections to come.

import type { Config } from './config.ts';
import { HostError } from './errors.ts';

/** Settings of a type. */
type KeyOf<T> = { [K in keyof Config]: Config[K] extends T ? K : never }[keyof Config];

export interface Sysctl {
  /** Without `net.`. */
  readonly name: string;
  /** Settings behind it; none: it has one value here. */
  readonly keys: readonly (keyof Config)[];
  readonly unit: string;
  /** Linux's default, as /proc shows it. */
  readonly linux: string;
  /** What may be set, in words. */
  readonly range: string;
  /** Why our default is another, or why it cannot be changed. */
  readonly why: string;
  read(config: Config): string;
  /** What to change; null: the value is not within the range. */
  write(value: string): Partial<Config> | null;
}

/** A host's sysctls, under their names with or without `net.`. */
export class Sysctls {
  private readonly configuration: { readonly config: Config; configure(overrides: Partial<Config>): void };

  constructor(configuration: { readonly config: Config; configure(overrides: Partial<Config>): void }) {
    this.configuration = configuration;
  }

  /** As /proc shows it. Throws ENOENT for a name that is not in the table. */
  value(name: string): string {
    return find(name).read(this.configuration.config);
  }

  /**
   * For connections to come; those that run stay as they are. Throws ENOENT for a name that is not in the
   * table, and EINVAL for a value out of range.
   */
  set(name: string, value: string | number): void {
    const sysctl = find(name);
    const changes = sysctl.write(String(value).trim());
    if (changes === null) {
      const why = sysctl.keys.length === 0 ? ` (${sysctl.why})` : '';
      throw new HostError('EINVAL', `${sysctl.name} cannot be '${value}': use ${sysctl.range}${why}`);
    }
    this.configuration.configure(changes);
  }

  /** The table. */
  get all(): readonly Sysctl[] {
    return SYSCTLS;
  }
}

function find(name: string): Sysctl {
  const short = name.replaceAll('/', '.').replace(/^net\./, '');
  const found = SYSCTLS.find(sysctl => sysctl.name === short);
  if (found === undefined) {
    throw new HostError(
      'ENOENT',
      `there is no sysctl '${name}' here: docs/api/sysctls.md lists those there are`,
    );
  }
  return found;
}

interface Words {
  linux: string;
  why?: string;
}

/** A whole number; one of Linux's is `scale` of ours. */
function number(
  name: string,
  key: KeyOf<number>,
  [low, high]: readonly [number, number],
  options: Words & { unit?: string; scale?: number },
): Sysctl {
  const { unit = '', scale = 1, linux, why = '' } = options;
  return {
    name,
    keys: [key],
    unit,
    linux,
    why,
    range: `${low} to ${high}`,
    read: config => String(Math.round(config[key] / scale)),
    write: value => {
      const parsed = wholeNumber(value, low, high);
      return parsed === null ? null : { [key]: parsed * scale };
    },
  };
}

/** 0 or 1. */
function flag(name: string, key: KeyOf<boolean>, { linux, why = '' }: Words): Sysctl {
  return {
    name,
    keys: [key],
    unit: '',
    linux,
    why,
    range: '0 or 1',
    read: config => (config[key] ? '1' : '0'),
    write: value => (value === '0' || value === '1' ? { [key]: value === '1' } : null),
  };
}

/** The stack does it one way. */
function fixed(name: string, value: string, why: string, linux: string = value): Sysctl {
  const alone = { keys: [], unit: '', linux, range: value, why };
  const [first] = value.split(' or ');
  return { name, ...alone, read: () => first, write: wanted => (isOneOf(value, wanted) ? {} : null) };
}

function isOneOf(values: string, wanted: string): boolean {
  return values.split(' or ').includes(wanted);
}

/** Three numbers: least, initial and largest buffer; the least is 4096 here. */
function buffer(
  name: string,
  initial: KeyOf<number>,
  largest: KeyOf<number>,
  { beside = {}, ...words }: Words & { readonly beside?: Partial<Config> },
): Sysctl {
  return {
    name,
    keys: [initial, largest],
    unit: 'bytes',
    linux: words.linux,
    why: words.why ?? '',
    range: 'three numbers that grow, from 4096 to 1073741824',
    read: config => `${LEAST_BUFFER}\t${config[initial]}\t${config[largest]}`,
    write: value => {
      const parts = value.split(/\s+/).map(text => wholeNumber(text, 1, 2 ** 30));
      const [least, first, most] = parts;
      if (parts.length !== 3 || least === null || first === null || most === null) return null;
      return least <= first && first <= most ? { [initial]: first, [largest]: most, ...beside } : null;
    },
  };
}

const ecn: Sysctl = {
  name: 'ipv4.tcp_ecn',
  keys: ['ecn'],
  unit: '',
  linux: '2',
  why: '',
  range: '0 (off), 1 (on) or 2 (granted, not asked for)',
  read: config => String(['off', 'on', 'passive'].indexOf(config.ecn)),
  write: value => {
    const mode = (['off', 'on', 'passive'] as const)[wholeNumber(value, 0, 2) ?? 3];
    return mode === undefined ? null : { ecn: mode };
  },
};

const congestion: Sysctl = {
  name: 'ipv4.tcp_congestion_control',
  keys: ['congestion'],
  unit: '',
  linux: 'cubic',
  why: '',
  range: 'cubic, reno or lia',
  read: config => config.congestion,
  write: value => (value === 'cubic' || value === 'reno' || value === 'lia' ? { congestion: value } : null),
};

const portRange: Sysctl = {
  name: 'ipv4.ip_local_port_range',
  keys: ['ephemeralFirst', 'ephemeralLast'],
  unit: '',
  linux: '32768\t60999',
  why: '',
  range: 'two ports that grow, from 1 to 65535',
  read: config => `${config.ephemeralFirst}\t${config.ephemeralLast}`,
  write: value => {
    const [first, last, ...more] = value.split(/\s+/).map(text => wholeNumber(text, 1, 65_535) ?? 0);
    const good = more.length === 0 && first > 0 && last >= first;
    return good ? { ephemeralFirst: first, ephemeralLast: last } : null;
  },
};

/** Linux counts timeouts and gives up after the time that so many take from 200 ms on (tcp_model_timeout). */
const retries2: Sysctl = {
  name: 'ipv4.tcp_retries2',
  keys: ['dataTimeoutMs'],
  unit: 'timeouts',
  linux: '15',
  why: '15 are 924.6 s; RFC 9293 asks for 100 s at least, and another path or attempt is of more use',
  range: '1 to 255',
  read: config => {
    let count = 1;
    while (count < 255 && modelTimeoutMs(count + 1) <= config.dataTimeoutMs) count++;
    return String(count);
  },
  write: value => {
    const count = wholeNumber(value, 1, 255);
    return count === null ? null : { dataTimeoutMs: modelTimeoutMs(count) };
  },
};

const fastOpenKey: Sysctl = {
  name: 'ipv4.tcp_fastopen_key',
  keys: ['fastOpenKey'],
  unit: '',
  linux: 'random',
  why: '',
  range: 'four groups of eight hexadecimal digits, and after a comma the key before',
  read: config => config.fastOpenKey,
  write: value => (KEY.test(value) ? { fastOpenKey: value } : null),
};

function modelTimeoutMs(count: number): number {
  const doublings = Math.min(count, 9);
  return (2 ** (doublings + 1) - 1) * 200 + (count - doublings) * 120_000;
}

/** As Linux reads it: `0x…`, too. */
function wholeNumber(text: string, low: number, high: number): number | null {
  const value = Number(text);
  return /^(-?\d+|0x[\da-f]+)$/i.test(text) && value >= low && value <= high ? value : null;
}

const LEAST_BUFFER = 4096;
const KEY = /^[0-9a-f]{8}(-[0-9a-f]{8}){3}(,[0-9a-f]{8}(-[0-9a-f]{8}){3})?$/i;
const INT_MAX = 2 ** 31 - 1;
const SECONDS = { unit: 's', scale: 1000 };

const SYSCTLS: readonly Sysctl[] = [
  number('core.rmem_max', 'maxReceiveBufferBytes', [2304, INT_MAX], {
    unit: 'bytes',
    linux: '212992',
    why: 'memory is taken only as bytes come',
  }),
  number('core.somaxconn', 'maxBacklog', [0, INT_MAX], { linux: '4096' }),
  number('core.wmem_max', 'maxSendBufferBytes', [4608, INT_MAX], {
    unit: 'bytes',
    linux: '212992',
    why: 'memory is taken only as bytes come',
  }),
  number('ipv4.ip_default_ttl', 'hopLimit', [1, 255], { linux: '64' }),
  portRange,
  fixed('ipv4.ip_no_pmtu_disc', '0', 'nothing that leaves may be fragmented'),
  fixed('ipv4.tcp_abort_on_overflow', '0', 'a full backlog drops, and the client tries again'),
  congestion,
  fixed('ipv4.tcp_dsack', '1', 'duplicates are always reported'),
  fixed('ipv4.tcp_early_retrans', '3 or 4', 'tail loss probes are always on (RFC 8985)', '3'),
  fixed('ipv4.tcp_fack', '0', 'Linux has it no longer'),
  ecn,
  number('ipv4.tcp_fastopen', 'fastOpen', [0, 0x7fff_ffff], { linux: '1' }),
  number('ipv4.tcp_fastopen_blackhole_timeout_sec', 'fastOpenBlackholeMs', [0, INT_MAX], {
    ...SECONDS,
    linux: '0',
  }),
  fastOpenKey,
  number('ipv4.tcp_fin_timeout', 'finWait2Ms', [0, INT_MAX], { ...SECONDS, linux: '60' }),
  fixed('ipv4.tcp_frto', '2', 'F-RTO is always on (RFC 5682)'),
  number('ipv4.tcp_keepalive_intvl', 'keepAliveIntervalMs', [1, 32_767], { ...SECONDS, linux: '75' }),
  number('ipv4.tcp_keepalive_probes', 'keepAliveProbes', [1, 127], { linux: '9' }),
  number('ipv4.tcp_keepalive_time', 'keepAliveIdleMs', [1, 2_147_483], { ...SECONDS, linux: '7200' }),
  number('ipv4.tcp_max_syn_backlog', 'maxHalfOpen', [0, INT_MAX], { linux: '1024' }),
  fixed('ipv4.tcp_moderate_rcvbuf', '1', 'SO_RCVBUF is the way to a buffer that does not grow'),
  fixed('ipv4.tcp_no_metrics_save', '1', 'connections remember nothing of those before them', '0'),
  number('ipv4.tcp_notsent_lowat', 'notSentLowBytes', [0, 2 ** 32 - 1], {
    unit: 'bytes',
    linux: '4294967295',
  }),
  fixed('ipv4.tcp_recovery', '1', 'losses are always found by RACK (RFC 8985)'),
  fixed('ipv4.tcp_reordering', '3', 'more is measured (RFC 8985)'),
  retries2,
  buffer('ipv4.tcp_rmem', 'receiveBufferInitialBytes', 'receiveBufferBytes', {
    linux: '4096\t131072\t6291456',
    why: 'what a middlebox may leave of a window is its first; memory is taken only as bytes come',
    // Who sets Linux's buffer gets the window scale that Linux chooses for it.
    beside: { windowUnits: 32_768 },
  }),
  number('ipv4.tcp_rto_max_ms', 'rtoMaxMs', [1000, 120_000], { unit: 'ms', linux: '120000' }),
  number('ipv4.tcp_rto_min_us', 'rtoMinMs', [1, INT_MAX], { unit: 'µs', scale: 0.001, linux: '200000' }),
  flag('ipv4.tcp_sack', 'sack', { linux: '1' }),
  fixed('ipv4.tcp_shrink_window', '0', 'RFC 9293 SHLD-14, and RFC 8684 §3.3.4: a window is not taken back'),
  flag('ipv4.tcp_slow_start_after_idle', 'slowStartAfterIdle', { linux: '1' }),
  number('ipv4.tcp_syn_linear_timeouts', 'synLinearTimeouts', [0, 127], {
    linux: '4',
    why: 'whoever does not answer may be overloaded (RFC 6298 §5.5)',
  }),
  number('ipv4.tcp_syn_retries', 'synRetries', [1, 127], { linux: '6' }),
  number('ipv4.tcp_synack_retries', 'synAckRetries', [0, 255], { linux: '5' }),
  fixed('ipv4.tcp_syncookies', '0', 'a full queue drops: a cookie has no room for MP_CAPABLE', '1'),
  flag('ipv4.tcp_timestamps', 'timestamps', { linux: '1' }),
  fixed('ipv4.tcp_window_scaling', '1', 'always offered (RFC 7323)'),
  buffer('ipv4.tcp_wmem', 'sendBufferInitialBytes', 'sendBufferBytes', {
    linux: '4096\t16384\t4194304',
    why: 'it holds what the first round trips send at once',
  }),
  number('mptcp.add_addr_timeout', 'addAddrTimeoutMs', [0, INT_MAX], {
    ...SECONDS,
    linux: '120',
    why: 'Linux means the longest wait; ours is the first, and doubles',
  }),
  flag('mptcp.allow_join_initial_addr_port', 'allowJoinInitialAddress', { linux: '1' }),
  number('mptcp.blackhole_timeout', 'blackholeTimeoutMs', [0, INT_MAX], { ...SECONDS, linux: '3600' }),
  flag('mptcp.checksum_enabled', 'checksum', { linux: '0' }),
  number('mptcp.close_timeout', 'closeTimeoutMs', [0, INT_MAX], { ...SECONDS, linux: '60' }),
  flag('mptcp.enabled', 'mptcpEnabled', { linux: '1' }),
  fixed('mptcp.path_manager', 'kernel', 'endpoints and limits are the host’s (host.endpoints)'),
  fixed('mptcp.pm_type', '0', 'endpoints and limits are the host’s (host.endpoints)'),
  fixed('mptcp.scheduler', 'default', 'lowest round trip first, as Linux’s default'),
  {
    ...number('mptcp.syn_retrans_before_tcp_fallback', 'synRetransBeforeFallback', [0, 128], {
      linux: '2',
      why: 'a plain SYN sets out beside the one with MP_CAPABLE (`plainSynMs`, off once this is set)',
    }),
    write: value => {
      const count = wholeNumber(value, 0, 128);
      return count === null ? null : { synRetransBeforeFallback: count, plainSynMs: 0 };
    },
  },
];
