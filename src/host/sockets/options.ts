// Decides the socket options: one table by level and name, each with what getsockopt answers and what
// setsockopt does. What is not in it is ENOPROTOOPT, as in Linux.
// Read: socket(7), tcp(7), ip(7), ipv6(7). Before: sockets/socket. After: sockets/settings, sockets/info.

import { Hold } from '../../tcp/index.ts';
import { FastOpenBit } from '../fast-open.ts';
import { constants as c } from './constants.ts';
import { errno } from './errno.ts';
import { fullInfo, multipathInfo, subflowAddresses, tcpInfo, tcpInfos } from './info.ts';
import {
  flag,
  type Option,
  type OptionValue,
  onlyMultipath,
  onlyV6,
  readOnly,
  within,
} from './option-kinds.ts';
import type { Socket } from './socket.ts';

/** getsockopt(2). */
export function option(socket: Socket, level: number, name: number, now: number): OptionValue {
  const read = OPTIONS.get(keyOf(level, name))?.read;
  return read === undefined ? -errno.ENOPROTOOPT : read(socket, now);
}

/** setsockopt(2). */
export function setOption(
  socket: Socket,
  level: number,
  name: number,
  value: OptionValue,
  now: number,
): number {
  const write = OPTIONS.get(keyOf(level, name))?.write;
  if (write === undefined) return -errno.ENOPROTOOPT;
  const result = write(socket, value, now);
  if (result === 0) socket.reconfigure(now);
  return result;
}

function keyOf(level: number, name: number): number {
  return level * 65_536 + name;
}

/** SO_RCVBUF, SO_SNDBUF: Linux doubles what is asked for, for its own needs, and says so when asked. */
function buffer(key: 'receiveBufferBytes' | 'sendBufferBytes', least: number): Option {
  const initial = key === 'receiveBufferBytes' ? 'receiveBufferInitialBytes' : 'sendBufferInitialBytes';
  const most = key === 'receiveBufferBytes' ? 'maxReceiveBufferBytes' : 'maxSendBufferBytes';
  return {
    read: ({ settings, config }) => (settings[key] === undefined ? config[initial] : 2 * settings[key]),
    write: ({ settings, config }, value) => {
      if (typeof value !== 'number') return -errno.EINVAL;
      settings[key] = Math.max(least, Math.min(value < 0 ? Infinity : value, config[most]));
      return 0;
    },
  };
}

const linger: Option = {
  read: ({ settings }) => ({ onoff: settings.lingerOn ? 1 : 0, linger: settings.lingerSeconds }),
  write: ({ settings }, value) => {
    const { onoff, linger: seconds } = value as { onoff?: unknown; linger?: unknown };
    if (typeof onoff !== 'number' || typeof seconds !== 'number') return -errno.EINVAL;
    settings.lingerOn = onoff !== 0;
    if (settings.lingerOn) settings.lingerSeconds = Math.max(0, seconds);
    return 0;
  },
};

const congestion: Option = {
  read: ({ config, settings }) => settings.congestion ?? config.congestion,
  write: ({ settings }, value) => {
    if (value !== 'cubic' && value !== 'reno' && value !== 'lia') return -errno.ENOENT;
    settings.congestion = value;
    return 0;
  },
};

const keepAlive: Option = flag('keepAlive', ({ settings, connection }, now) =>
  connection?.setKeepAlive(settings.keepAlive, 0, now),
);

/** Setting it sends what a cork holds back, as in Linux. */
const noDelay: Option = flag('noDelay', ({ settings, connection }, now) =>
  connection?.setNoDelay(settings.noDelay, now),
);

const cork: Option = flag('cork', ({ settings, connection }) =>
  connection?.setHold(Hold.CORK, settings.cork),
);

const v6Only: Option = {
  read: ({ settings }) => (settings.v6Only ? 1 : 0),
  write: (socket, value) => {
    if (typeof value !== 'number' || socket.port !== 0) return -errno.EINVAL;
    socket.settings.v6Only = value !== 0;
    return 0;
  },
};

const rcvLowat: Option = {
  read: ({ settings }) => settings.rcvLowat,
  write: ({ settings, config }, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    const most = settings.receiveBufferBytes ?? Math.floor(config.receiveBufferBytes / 2);
    settings.rcvLowat = Math.max(1, Math.min(value < 0 ? Infinity : value, most));
    return 0;
  },
};

const maxSegment: Option = {
  read: ({ settings, connection }) => {
    const tcb = connection?.firstTcb ?? null;
    if (tcb?.isSynchronized) return tcb.payloadMss;
    return settings.maxSegmentBytes || LEAST_MSS_DEFAULT;
  },
  write: ({ settings }, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    if (value !== 0 && !(value >= 88 && value <= 32_767)) return -errno.EINVAL;
    settings.maxSegmentBytes = value;
    return 0;
  },
};

const quickAck: Option = {
  read: ({ connection, settings }) => {
    const tcb = connection?.firstTcb ?? null;
    return (tcb === null ? (settings.quickAck ?? true) : tcb.quickAcks > 0) ? 1 : 0;
  },
  write: ({ connection, settings }, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    settings.quickAck = value !== 0;
    connection?.setQuickAck(value !== 0);
    return 0;
  },
};

const windowClamp: Option = {
  read: ({ settings }) => settings.windowClampBytes ?? 0,
  write: (socket, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    if (value === 0 && socket.isOpen) return -errno.EINVAL;
    socket.settings.windowClampBytes = value === 0 ? undefined : Math.max(value, LEAST_RECEIVE_BYTES);
    return 0;
  },
};

/** TCP_LINGER2: seconds in FIN-WAIT-2 after close; less than 0: none; 0: the host's. */
const linger2: Option = {
  read: ({ settings, config }) => settings.linger2Seconds ?? config.finWait2Ms / 1000,
  write: ({ settings }, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    settings.linger2Seconds =
      value < 0 ? -1 : value === 0 ? undefined : Math.min(value, MOST_FIN_WAIT_SECONDS);
    return 0;
  },
};

/** TCP_DEFER_ACCEPT counts in SYN/ACKs: what it says it is, is the time that so many take. */
const deferAccept: Option = {
  read: ({ settings }) => settings.deferAcceptSeconds,
  write: ({ settings }, value) => {
    if (typeof value !== 'number') return -errno.EINVAL;
    settings.deferAcceptSeconds = value <= 0 ? 0 : Math.min(2 ** Math.ceil(Math.log2(value + 1)) - 1, 255);
    return 0;
  },
};

/** TCP_FASTOPEN: at most as many as may wait to be accepted. */
const fastOpen: Option = {
  read: ({ settings }) => settings.fastOpenQueue,
  write: ({ settings, isOpen, config }, value) => {
    if (typeof value !== 'number' || value < 0 || isOpen) return -errno.EINVAL;
    settings.fastOpenQueue = Math.min(value, config.maxBacklog);
    return 0;
  },
};

/** TCP_FASTOPEN_CONNECT, TCP_FASTOPEN_NO_COOKIE: before the socket is connected, where the host allows it. */
function fastOpenSwitch(key: 'fastOpenConnect' | 'fastOpenNoCookie'): Option {
  return {
    read: ({ settings }) => (settings[key] ? 1 : 0),
    write: ({ settings, isOpen, config }, value) => {
      if (value !== 0 && value !== 1) return -errno.EINVAL;
      if (key === 'fastOpenConnect' && (config.fastOpen & FastOpenBit.CLIENT) === 0) return -errno.EOPNOTSUPP;
      if (isOpen) return -errno.EINVAL;
      settings[key] = value === 1;
      return 0;
    },
  };
}

/** TCP_FASTOPEN_KEY: 16 bytes, or 32 with the key before. */
const fastOpenKey: Option = {
  read: ({ settings }) => settings.fastOpenKey ?? new Uint8Array(0),
  write: ({ settings }, value) => {
    if (!(value instanceof Uint8Array) || (value.length !== 16 && value.length !== 32)) return -errno.EINVAL;
    settings.fastOpenKey = value.slice();
    return 0;
  },
};

/** IP_TOS, IPV6_TCLASS: the two bits of ECN are TCP's own. */
function trafficClass(key: 'tos' | 'trafficClass'): Option {
  return {
    read: ({ settings }) => settings[key],
    write: ({ settings }, value) => {
      if (typeof value !== 'number') return -errno.EINVAL;
      // -1: as it was at first (RFC 3542 §6.5).
      if (key === 'trafficClass' && !(value >= -1 && value <= 255)) return -errno.EINVAL;
      settings[key] = value === -1 && key === 'trafficClass' ? 0 : value & 0xfc;
      return 0;
    },
  };
}

/** IP_TTL, IPV6_UNICAST_HOPS: -1 is the host's default. */
function hops(key: 'timeToLive' | 'hopLimit', least: number): Option {
  return {
    read: ({ settings, config }) => settings[key] ?? config.hopLimit,
    write: ({ settings }, value) => {
      if (typeof value !== 'number' || (value !== -1 && !(value >= least && value <= 255)))
        return -errno.EINVAL;
      settings[key] = value === -1 ? undefined : value;
      return 0;
    },
  };
}

/** Kept and without effect: path MTU discovery is always on, for fragments are never sent. */
const mtuDiscover: Option = {
  read: ({ settings }) => settings.mtuDiscover,
  write: ({ settings }, value) => {
    if (typeof value !== 'number' || !(value >= c.IP_PMTUDISC_DONT && value <= c.IP_PMTUDISC_OMIT))
      return -errno.EINVAL;
    settings.mtuDiscover = value;
    return 0;
  },
};

/** Urgent data is data in its place here, always. */
const outOfBandInline: Option = {
  read: () => 1,
  write: (_socket, value) => (typeof value === 'number' && value !== 0 ? 0 : -errno.EOPNOTSUPP),
};

/** Half of Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF. */
const LEAST_RECEIVE_BYTES = 1152;
const LEAST_SEND_BYTES = 2304;
const LEAST_MSS_DEFAULT = 536;
const MOST_FIN_WAIT_SECONDS = 120;
const INT_MAX = 2 ** 31 - 1;

const socketLevel: readonly (readonly [number, Option])[] = [
  [c.SO_ERROR, readOnly(socket => socket.takeError())],
  [c.SO_TYPE, readOnly(() => c.SOCK_STREAM)],
  [c.SO_DOMAIN, readOnly(({ domain }) => domain)],
  [c.SO_PROTOCOL, readOnly(({ multipath }) => (multipath ? c.IPPROTO_MPTCP : c.IPPROTO_TCP))],
  [c.SO_ACCEPTCONN, readOnly(({ isListening }) => (isListening ? 1 : 0))],
  [c.SO_REUSEADDR, flag('reuseAddress')],
  [c.SO_REUSEPORT, flag('reusePort')],
  [c.SO_LINGER, linger],
  [c.SO_RCVBUF, buffer('receiveBufferBytes', LEAST_RECEIVE_BYTES)],
  [c.SO_SNDBUF, buffer('sendBufferBytes', LEAST_SEND_BYTES)],
  [c.SO_RCVLOWAT, rcvLowat],
  [c.SO_SNDLOWAT, readOnly(() => 1)],
  [c.SO_KEEPALIVE, keepAlive],
  [c.SO_OOBINLINE, outOfBandInline],
];

const tcpLevel: readonly (readonly [number, Option])[] = [
  [c.TCP_NODELAY, noDelay],
  [c.TCP_CORK, cork],
  [c.TCP_MAXSEG, maxSegment],
  [c.TCP_KEEPIDLE, within('keepIdleSeconds', [1, 32_767], ({ config }) => config.keepAliveIdleMs / 1000)],
  [
    c.TCP_KEEPINTVL,
    within('keepIntervalSeconds', [1, 32_767], ({ config }) => config.keepAliveIntervalMs / 1000),
  ],
  [c.TCP_KEEPCNT, within('keepCount', [1, 127], ({ config }) => config.keepAliveProbes)],
  [c.TCP_SYNCNT, within('synCount', [1, 127], ({ config }) => config.synRetries)],
  [c.TCP_LINGER2, linger2],
  [c.TCP_DEFER_ACCEPT, deferAccept],
  [c.TCP_WINDOW_CLAMP, windowClamp],
  [c.TCP_INFO, readOnly((socket, now) => tcpInfo(socket, now))],
  [c.TCP_QUICKACK, quickAck],
  [c.TCP_CONGESTION, congestion],
  [c.TCP_USER_TIMEOUT, within('userTimeoutMs', [0, INT_MAX], ({ config }) => config.userTimeoutMs)],
  [c.TCP_NOTSENT_LOWAT, within('notSentLowat', [0, 2 ** 32 - 1], () => 0)],
  [c.TCP_RTO_MAX_MS, within('rtoMaxMs', [1000, 120_000], ({ config }) => config.rtoMaxMs)],
  [c.TCP_FASTOPEN, fastOpen],
  [c.TCP_FASTOPEN_CONNECT, fastOpenSwitch('fastOpenConnect')],
  [c.TCP_FASTOPEN_NO_COOKIE, fastOpenSwitch('fastOpenNoCookie')],
  [c.TCP_FASTOPEN_KEY, fastOpenKey],
  [c.TCP_IS_MPTCP, readOnly(({ isMultipath }) => (isMultipath ? 1 : 0))],
];

const ipLevel: readonly (readonly [number, Option])[] = [
  [c.IP_TOS, trafficClass('tos')],
  [c.IP_TTL, hops('timeToLive', 1)],
  [c.IP_MTU_DISCOVER, mtuDiscover],
  [c.IP_MTU, readOnly(({ connection }) => connection?.firstTcb?.networkInterface.mtu ?? -errno.ENOTCONN)],
  [c.IP_BIND_ADDRESS_NO_PORT, flag('bindNoPort')],
];

const ipv6Level: readonly (readonly [number, Option])[] = [
  [c.IPV6_V6ONLY, onlyV6(v6Only)],
  [c.IPV6_TCLASS, onlyV6(trafficClass('trafficClass'))],
  [c.IPV6_UNICAST_HOPS, onlyV6(hops('hopLimit', 0))],
];

const mptcpLevel: readonly (readonly [number, Option])[] = [
  [c.MPTCP_INFO, onlyMultipath(socket => multipathInfo(socket))],
  [c.MPTCP_TCPINFO, onlyMultipath((socket, now) => tcpInfos(socket, now))],
  [c.MPTCP_SUBFLOW_ADDRS, onlyMultipath(socket => subflowAddresses(socket))],
  [c.MPTCP_FULL_INFO, onlyMultipath((socket, now) => fullInfo(socket, now))],
];

const OPTIONS: ReadonlyMap<number, Option> = new Map(
  (
    [
      [c.SOL_SOCKET, socketLevel],
      [c.SOL_TCP, tcpLevel],
      [c.SOL_IP, ipLevel],
      [c.SOL_IPV6, ipv6Level],
      [c.SOL_MPTCP, mptcpLevel],
    ] as const
  ).flatMap(([level, options]) =>
    options.map(([name, entry]): [number, Option] => [keyOf(level, name), entry]),
  ),
);
