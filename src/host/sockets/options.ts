// Decides the socket options: one table by level and name, each with what getsockopt answers and what
// setsockopt does. What is not in it is ENOPROTOOPT, as in Linux.
// Read: socket(7), tcp(7), ip(7), ipv6(7). Before: sockets/socket. After: sockets/settings.

import { constants as c } from './constants.ts';
import { errno } from './errno.ts';
import { configOf, type Settings } from './settings.ts';
import type { Socket } from './socket.ts';

export type OptionValue = number | string | object;

interface Option {
  /** What getsockopt gives; absent: it cannot be asked for. */
  read?(socket: Socket, now: number): OptionValue;
  /** What setsockopt does, 0 or a negative error; absent: it cannot be set. */
  write?(socket: Socket, value: OptionValue, now: number): number;
}

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
  const { connection, settings } = socket;
  if (result === 0 && connection !== null) connection.configure(configOf(settings));
  return result;
}

/** The settings of a type. */
type KeysOf<T> = {
  [K in keyof Settings]-?: Settings[K] extends T ? (T extends Settings[K] ? K : never) : never;
}[keyof Settings];

function keyOf(level: number, name: number): number {
  return level * 65_536 + name;
}

/** A switch: any number but 0 is on. */
function flag(key: KeysOf<boolean>, then?: (socket: Socket, now: number) => void): Option {
  return {
    read: ({ settings }) => (settings[key] ? 1 : 0),
    write: (socket, value, now) => {
      if (typeof value !== 'number') return -errno.EINVAL;
      socket.settings[key] = value !== 0;
      then?.(socket, now);
      return 0;
    },
  };
}

/** A number within bounds; `fallback` is what it is before it is set. */
function within(
  key: KeysOf<number | undefined>,
  [low, high]: readonly [number, number],
  fallback: (socket: Socket) => number,
): Option {
  return {
    read: socket => socket.settings[key] ?? fallback(socket),
    write: ({ settings }, value) => {
      if (typeof value !== 'number' || !(value >= low && value <= high)) return -errno.EINVAL;
      settings[key] = Math.floor(value);
      return 0;
    },
  };
}

function readOnly(read: (socket: Socket, now: number) => OptionValue): Option {
  return { read };
}

/** SO_RCVBUF, SO_SNDBUF: Linux doubles what is asked for, for its own needs, and says so when asked. */
function buffer(key: 'receiveBufferBytes' | 'sendBufferBytes', least: number): Option {
  return {
    read: ({ settings, sockets }) => 2 * (settings[key] ?? sockets.host.config[key] / 2),
    write: ({ settings }, value) => {
      if (typeof value !== 'number') return -errno.EINVAL;
      settings[key] = Math.max(least, Math.min(value < 0 ? Infinity : value, MOST_BUFFER_BYTES));
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
  read: ({ settings, sockets }) => settings.congestion ?? sockets.host.config.congestion,
  write: (socket, value) => {
    if (value !== 'cubic' && value !== 'reno' && value !== 'lia') return -errno.ENOENT;
    // A connection keeps the controller it was made with.
    if (socket.isOpen && value !== option(socket, c.SOL_TCP, c.TCP_CONGESTION, 0)) return -errno.EBUSY;
    socket.settings.congestion = value;
    return 0;
  },
};

const keepAlive: Option = flag('keepAlive', ({ settings, connection }, now) =>
  connection?.setKeepAlive(settings.keepAlive, 0, now),
);

const noDelay: Option = flag('noDelay', ({ settings, connection }, now) =>
  connection?.setNoDelay(settings.noDelay, now),
);

const v6Only: Option = {
  read: ({ settings, domain }) => (domain === c.AF_INET6 ? (settings.v6Only ? 1 : 0) : -errno.ENOPROTOOPT),
  write: (socket, value) => {
    if (socket.domain !== c.AF_INET6) return -errno.ENOPROTOOPT;
    if (typeof value !== 'number' || socket.port !== 0) return -errno.EINVAL;
    socket.settings.v6Only = value !== 0;
    return 0;
  },
};

/** Half of Linux's SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF; rmem_max and wmem_max. */
const LEAST_RECEIVE_BYTES = 1152;
const LEAST_SEND_BYTES = 2304;
const MOST_BUFFER_BYTES = 212_992;

const OPTIONS: ReadonlyMap<number, Option> = new Map<number, Option>([
  [keyOf(c.SOL_SOCKET, c.SO_ERROR), readOnly(socket => socket.takeError())],
  [keyOf(c.SOL_SOCKET, c.SO_TYPE), readOnly(() => c.SOCK_STREAM)],
  [keyOf(c.SOL_SOCKET, c.SO_DOMAIN), readOnly(({ domain }) => domain)],
  [keyOf(c.SOL_SOCKET, c.SO_PROTOCOL), readOnly(s => (s.multipath ? c.IPPROTO_MPTCP : c.IPPROTO_TCP))],
  [keyOf(c.SOL_SOCKET, c.SO_ACCEPTCONN), readOnly(({ isListening }) => (isListening ? 1 : 0))],
  [keyOf(c.SOL_SOCKET, c.SO_REUSEADDR), flag('reuseAddress')],
  [keyOf(c.SOL_SOCKET, c.SO_REUSEPORT), flag('reusePort')],
  [keyOf(c.SOL_SOCKET, c.SO_LINGER), linger],
  [keyOf(c.SOL_SOCKET, c.SO_RCVBUF), buffer('receiveBufferBytes', LEAST_RECEIVE_BYTES)],
  [keyOf(c.SOL_SOCKET, c.SO_SNDBUF), buffer('sendBufferBytes', LEAST_SEND_BYTES)],
  [keyOf(c.SOL_SOCKET, c.SO_KEEPALIVE), keepAlive],
  [keyOf(c.SOL_IPV6, c.IPV6_V6ONLY), v6Only],
  [keyOf(c.SOL_TCP, c.TCP_NODELAY), noDelay],
  [
    keyOf(c.SOL_TCP, c.TCP_KEEPIDLE),
    within('keepIdleSeconds', [1, 32_767], s => s.sockets.host.config.keepAliveIdleMs / 1000),
  ],
  [
    keyOf(c.SOL_TCP, c.TCP_KEEPINTVL),
    within('keepIntervalSeconds', [1, 32_767], s => s.sockets.host.config.keepAliveIntervalMs / 1000),
  ],
  [
    keyOf(c.SOL_TCP, c.TCP_KEEPCNT),
    within('keepCount', [1, 127], s => s.sockets.host.config.keepAliveProbes),
  ],
  [
    keyOf(c.SOL_TCP, c.TCP_USER_TIMEOUT),
    within('userTimeoutMs', [0, 2 ** 31 - 1], s => s.sockets.host.config.userTimeoutMs),
  ],
  [keyOf(c.SOL_TCP, c.TCP_SYNCNT), within('synCount', [1, 127], s => s.sockets.host.config.synRetries)],
  [keyOf(c.SOL_TCP, c.TCP_CONGESTION), congestion],
]);
