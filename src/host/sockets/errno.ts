// Decides the numbers of errors: Linux's (asm-generic/errno.h), so that a result compares with what a program
// under Linux sees. A call that fails returns the number negated: `-errno.EAGAIN`.
// Before: sockets/socket. After: the application.

/** Errors by name. */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOTTY: 25,
  ENOSPC: 28,
  EPIPE: 32,
  EDOM: 33,
  ERANGE: 34,
  ENAMETOOLONG: 36,
  EPROTO: 71,
  ENOTSOCK: 88,
  EDESTADDRREQ: 89,
  EMSGSIZE: 90,
  EPROTOTYPE: 91,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  ESOCKTNOSUPPORT: 94,
  EOPNOTSUPP: 95,
  EPFNOSUPPORT: 96,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENETRESET: 102,
  ECONNABORTED: 103,
  ECONNRESET: 104,
  ENOBUFS: 105,
  EISCONN: 106,
  ENOTCONN: 107,
  ESHUTDOWN: 108,
  ETIMEDOUT: 110,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  EALREADY: 114,
  EINPROGRESS: 115,
} as const;

export type ErrnoName = keyof typeof errno;

/** The name of a result: `errnoName(-11)` and `errnoName(11)` are 'EAGAIN'; '' for what is no error. */
export function errnoName(result: number): ErrnoName | '' {
  return NAMES.get(Math.abs(result)) ?? '';
}

/** The number of a connection's `error`; 0 for none, EIO for a name that is not in the table. */
export function errnoOf(name: string | null): number {
  if (name === null) return 0;
  return (errno as Readonly<Record<string, number>>)[name] ?? errno.EIO;
}

const NAMES: ReadonlyMap<number, ErrnoName> = new Map(
  Object.entries(errno).map(([name, value]) => [value, name as ErrnoName]),
);
