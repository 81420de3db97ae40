// Every error an application can meet: one class, with a code from one table.
//
// Decides: the codes, their sentences, and that they look as those of node:net do (code, errno, syscall,
// address, port), so that programs written for node:net need not learn anything.
// Walk: thrown by api/arguments, emitted by api/socket and api/server.

import { getSystemErrorMap } from 'node:util';

/** What an error is called and what it says when nobody says it better. */
interface ErrorEntry {
  readonly name: 'Error' | 'TypeError' | 'RangeError';
  readonly sentence: string;
}

/** All codes. Those that begin with E and are not ERR_ exist in node:net under the same name. */
export const ERRORS: {
  readonly [Code in
    | 'EADDRINUSE'
    | 'EADDRNOTAVAIL'
    | 'EACCES'
    | 'EAFNOSUPPORT'
    | 'ECONNABORTED'
    | 'ECONNREFUSED'
    | 'ECONNRESET'
    | 'EHOSTUNREACH'
    | 'EINVAL'
    | 'EISCONN'
    | 'ENETUNREACH'
    | 'ENOTCONN'
    | 'EPERM'
    | 'EPIPE'
    | 'ETIMEDOUT'
    | 'ENOTFOUND'
    | 'ERR_INVALID_ARG_TYPE'
    | 'ERR_INVALID_IP_ADDRESS'
    | 'ERR_IP_BLOCKED'
    | 'ERR_INVALID_ARG_VALUE'
    | 'ERR_OUT_OF_RANGE'
    | 'ERR_SOCKET_BAD_PORT'
    | 'ERR_MISSING_ARGS'
    | 'ERR_SERVER_ALREADY_LISTEN'
    | 'ERR_SERVER_NOT_RUNNING'
    | 'ERR_SOCKET_CLOSED'
    | 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION'
    | 'ERR_FFI_UNAVAILABLE'
    | 'ERR_MPTCP_CAPTURE'
    | 'ERR_MPTCP_FALLBACK'
    | 'ERR_MPTCP_NO_KERNEL'
    | 'ERR_MPTCP_NO_PATH'
    | 'ERR_MPTCP_UNKNOWN_INTERFACE'
    | 'ERR_MPTCP_UNKNOWN_LINK']: ErrorEntry;
} = {
  EADDRINUSE: { name: 'Error', sentence: 'address already in use' },
  EADDRNOTAVAIL: { name: 'Error', sentence: 'this machine has no such address' },
  EACCES: { name: 'Error', sentence: 'permission denied' },
  EAFNOSUPPORT: { name: 'Error', sentence: 'address family not supported' },
  ECONNABORTED: { name: 'Error', sentence: 'connection aborted' },
  ECONNREFUSED: { name: 'Error', sentence: 'nobody listens there' },
  ECONNRESET: { name: 'Error', sentence: 'the peer ended the connection abruptly' },
  EHOSTUNREACH: { name: 'Error', sentence: 'no path to the peer is left' },
  EINVAL: { name: 'Error', sentence: 'invalid argument' },
  EISCONN: { name: 'Error', sentence: 'this socket has a connection already; make a new one' },
  ENETUNREACH: { name: 'Error', sentence: 'no route to that network' },
  ENOTCONN: { name: 'Error', sentence: 'not connected' },
  EPERM: { name: 'Error', sentence: 'operation not permitted' },
  EPIPE: { name: 'Error', sentence: 'the connection is closed for writing' },
  ETIMEDOUT: { name: 'Error', sentence: 'the peer did not answer in time' },
  ENOTFOUND: { name: 'Error', sentence: 'no address for that name' },
  ERR_INVALID_ARG_TYPE: { name: 'TypeError', sentence: 'an argument has the wrong type' },
  ERR_INVALID_ARG_VALUE: { name: 'TypeError', sentence: 'an argument has an impossible value' },
  ERR_INVALID_IP_ADDRESS: { name: 'TypeError', sentence: 'that is no IP address' },
  ERR_IP_BLOCKED: { name: 'Error', sentence: 'the option "blockList" names that address' },
  ERR_OUT_OF_RANGE: { name: 'RangeError', sentence: 'an argument is out of range' },
  ERR_SOCKET_BAD_PORT: { name: 'RangeError', sentence: 'a port is a whole number from 0 to 65535' },
  ERR_MISSING_ARGS: { name: 'TypeError', sentence: 'the option "port" is needed' },
  ERR_SERVER_ALREADY_LISTEN: { name: 'Error', sentence: 'the server listens already; close it first' },
  ERR_SERVER_NOT_RUNNING: { name: 'Error', sentence: 'the server is not running' },
  ERR_SOCKET_CLOSED: { name: 'Error', sentence: 'the socket is closed' },
  ERR_SOCKET_CLOSED_BEFORE_CONNECTION: {
    name: 'Error',
    sentence: 'the socket was closed before the connection was established',
  },
  ERR_FFI_UNAVAILABLE: { name: 'Error', sentence: 'no foreign function interface' },
  ERR_MPTCP_CAPTURE: { name: 'Error', sentence: 'the capture cannot be written' },
  ERR_MPTCP_FALLBACK: { name: 'Error', sentence: 'the connection is plain TCP' },
  ERR_MPTCP_NO_KERNEL: { name: 'Error', sentence: 'this kernel has no Multipath TCP' },
  ERR_MPTCP_NO_PATH: { name: 'Error', sentence: 'no local address can reach that peer' },
  ERR_MPTCP_UNKNOWN_INTERFACE: { name: 'Error', sentence: 'no such network interface' },
  ERR_MPTCP_UNKNOWN_LINK: { name: 'TypeError', sentence: 'no such link' },
};

/** A code of the table. */
export type ErrorCode = keyof typeof ERRORS;

/** What can be said about an error beside its code. */
export interface ErrorDetails {
  /** Takes the place of the table's sentence. */
  readonly sentence?: string;
  /** Follows the sentence: what to do about it. */
  readonly remedy?: string;
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  readonly cause?: unknown;
  /** The errors of every attempt, where several were made. */
  readonly errors?: readonly Error[];
}

/** Every error of this package. */
export class MptcpError extends Error {
  /** A code of the table, or that of the system where it is not in the table. */
  readonly code: string;
  /** The system's negative number, as in node:net; only for system codes. */
  readonly errno?: number;
  /** What was tried: connect, read, write, bind, listen … */
  readonly syscall?: string;
  readonly address?: string;
  readonly port?: number;
  /** The errors of every attempt, where several were made. */
  readonly errors?: readonly Error[];

  constructor(code: string, details: ErrorDetails = {}) {
    super(messageOf(code, details), details.cause === undefined ? {} : { cause: details.cause });
    const entry = entryOf(code);
    this.name = entry?.name ?? 'Error';
    this.code = code;
    const errno = errnoOf(code);
    if (errno !== undefined) this.errno = errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.address !== undefined) this.address = details.address;
    if (details.port !== undefined) this.port = details.port;
    if (details.errors !== undefined) this.errors = details.errors;
  }
}

/** A connection is plain TCP that was not to be; why, where that is known. */
export function fallbackError(fallback: { readonly cause: string } | null): MptcpError {
  const why = fallback === null ? '' : ` (${fallback.cause})`;
  return new MptcpError('ERR_MPTCP_FALLBACK', {
    sentence: `the connection is plain TCP${why}`,
    remedy: 'without "require" it would go on so',
  });
}

/** The code of anything that was thrown; 'EINVAL' where it has none. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'EINVAL';
}

function messageOf(code: string, details: ErrorDetails): string {
  const sentence = details.sentence ?? entryOf(code)?.sentence ?? 'unexpected error';
  const full = details.remedy === undefined ? sentence : `${sentence}; ${details.remedy}`;
  if (details.syscall === undefined) return full;
  const where =
    details.address === undefined
      ? ''
      : ` ${details.address}${details.port === undefined ? '' : `:${details.port}`}`;
  return `${details.syscall} ${code}${where}: ${full}`;
}

function entryOf(code: string): ErrorEntry | undefined {
  return Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode] : undefined;
}

function errnoOf(code: string): number | undefined {
  if (errnoByCode === undefined) {
    errnoByCode = new Map();
    for (const [errno, [name]] of getSystemErrorMap()) errnoByCode.set(name, errno);
  }
  return errnoByCode.get(code);
}

let errnoByCode: Map<string, number> | undefined;
