// Decides how options of the common kinds are read and written: switches, numbers within bounds, answers that
// cannot be changed. Before: sockets/options, whose table is made of them. After: sockets/settings.

import { constants as c } from './constants.ts';
import { errno } from './errno.ts';
import type { Settings } from './settings.ts';
import type { Socket } from './socket.ts';

export type OptionValue = number | string | object;

export interface Option {
  /** What getsockopt gives; absent: it cannot be asked for. */
  read?(socket: Socket, now: number): OptionValue;
  /** What setsockopt does, 0 or a negative error; absent: it cannot be set. */
  write?(socket: Socket, value: OptionValue, now: number): number;
}

/** The settings of a type. */
type KeysOf<T> = {
  [K in keyof Settings]-?: Settings[K] extends T ? (T extends Settings[K] ? K : never) : never;
}[keyof Settings];
type NumberKey = KeysOf<number | undefined> | KeysOf<number>;

/** A switch: any number but 0 is on. */
export function flag(key: KeysOf<boolean>, then?: (socket: Socket, now: number) => void): Option {
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

/** A whole number within bounds; `fallback` is what it is before it is set. */
export function within(
  key: NumberKey,
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

export function readOnly(read: (socket: Socket, now: number) => OptionValue): Option {
  return { read };
}

/** An option that only sockets of AF_INET6 have. */
export function onlyV6(option: Option): Option {
  const { read, write } = option;
  return {
    ...(read && {
      read: (socket, now) => (socket.domain === c.AF_INET6 ? read(socket, now) : -errno.EOPNOTSUPP),
    }),
    ...(write && {
      write: (socket, value, now) =>
        socket.domain === c.AF_INET6 ? write(socket, value, now) : -errno.ENOPROTOOPT,
    }),
  };
}

/** An option that only sockets of IPPROTO_MPTCP have. */
export function onlyMultipath(read: (socket: Socket, now: number) => OptionValue): Option {
  return { read: (socket, now) => (socket.multipath ? read(socket, now) : -errno.EOPNOTSUPP) };
}
