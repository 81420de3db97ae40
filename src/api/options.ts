// What an application may ask for, in the argument forms of node:net, checked before anything is done.
//
// Decides: defaults, and that a value which makes no sense is an error at once, naming the value and what
// would do. Options that node:net knows and this package cannot honour are refused rather than ignored;
// unknown ones are ignored, because `http` hands over all of its own.
// Walk: api/socket and api/server begin here.

import type { BlockList, LookupFunction, OnReadOpts } from 'node:net';
import type { ConnectOptions as HostConnectOptions } from '../host/index.ts';
import { describeAddress, type PathOption } from './addresses.ts';
import { MptcpError } from './errors.ts';
import type { Backend } from './multipath.ts';
import { checkService, type Service } from './service.ts';

/** Settings of the protocol; see `Config` of `mptcp/core`. */
export type ProtocolConfig = NonNullable<HostConnectOptions['config']>;

/** Options of `new Socket()`; also taken by `connect`. */
export interface SocketOptions {
  /** Keep the writable side open when the peer ends its own; false unless told, as in node:net. */
  readonly allowHalfOpen?: boolean;
  /** Aborting destroys the socket. */
  readonly signal?: AbortSignal;
  /** Bytes buffered by the stream before it pushes back. */
  readonly highWaterMark?: number;
}

/** Values of the option `backend`. */
export type BackendOption = 'user' | 'kernel' | 'auto';

/** Options of `connect`. */
export interface ConnectOptions extends SocketOptions {
  readonly port: number;
  /** A name or an address; 'localhost' unless told. */
  readonly host?: string;
  /** 4 or 6 restricts name resolution. */
  readonly family?: number;
  /** Hints for `dns.lookup`. */
  readonly hints?: number;
  /** Resolves names instead of `dns.lookup`. */
  readonly lookup?: LookupFunction;
  /** False: of the addresses of a name only the first is tried. */
  readonly autoSelectFamily?: boolean;
  /** Milliseconds after which the next address is tried as well; 250 unless told (RFC 8305 §5). */
  readonly autoSelectFamilyAttemptTimeout?: number;
  /** Addresses that are never connected to. */
  readonly blockList?: BlockList;
  /** Milliseconds without traffic before 'timeout'. */
  readonly timeout?: number;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
  /** One local address: short for `paths: [{ local }]`. */
  readonly localAddress?: string;
  /** Which networks to use; every usable address unless told. */
  readonly paths?: readonly PathOption[];
  /** What the connection is for; as `paths` say, and every path alike, unless told. */
  readonly service?: Service;
  /** False: plain TCP, over the first path only. */
  readonly multipath?: boolean;
  /**
   * Who runs the protocol: 'user', this package, unless told; 'kernel', Linux; 'auto', the kernel where it
   * can do what is asked for, else this package.
   */
  readonly backend?: BackendOption;
  /** Never plain TCP: a connection that falls back fails. */
  readonly require?: boolean;
  /** The local port; with the kernel only. */
  readonly localPort?: number;
  /** Type of service, or traffic class, of the packets, 0 to 255; with the kernel only. */
  readonly typeOfService?: number;
  /** Reads into this buffer in place of 'data'; with the kernel only. */
  readonly onread?: OnReadOpts;
  /** TCP Fast Open (RFC 7413): what is written at once goes with the SYN. The server may see it twice. */
  readonly fastOpen?: boolean;
  /** Ask for DSS checksums. */
  readonly checksum?: boolean;
  /** Largest IP packet, headers included; 1,400 unless told. */
  readonly mtu?: number;
  /** Milliseconds before an unanswered connect fails with ETIMEDOUT; 10,000 unless told. */
  readonly connectTimeoutMs?: number;
  /** The carrier: 'udp' (TCP-in-UDP) unless told, or 'tun' (TCP through a TUN device; Linux). */
  readonly link?: 'udp' | 'tun';
  /** With `link: 'tun'`: the TUN device of every path that names none, to be made if it is not there. */
  readonly device?: string;
  /** A file to record packets into, as pcapng. */
  readonly pcap?: string;
  /** Settings of the protocol. */
  readonly config?: ProtocolConfig;
}

/** Options of `createServer`. */
export interface ServerOptions {
  readonly allowHalfOpen?: boolean;
  /** Sockets arrive paused. */
  readonly pauseOnConnect?: boolean;
  readonly noDelay?: boolean;
  readonly keepAlive?: boolean;
  readonly keepAliveInitialDelay?: number;
  readonly highWaterMark?: number;
  /** Clients with these addresses are sent away. */
  readonly blockList?: BlockList;
  /** Addresses told to clients as further ways here; none unless told. */
  readonly advertise?: readonly { readonly host: string; readonly port?: number }[];
  /** Listen on these addresses or devices instead of all. */
  readonly paths?: readonly { readonly local: string; readonly device?: string }[];
  /** What its connections are for. */
  readonly service?: Service;
  /** False: plain TCP only. */
  readonly multipath?: boolean;
  /**
   * Who runs the protocol: 'user', this package, unless told; 'kernel', Linux; 'auto', the kernel where it
   * can do what is asked for, else this package.
   */
  readonly backend?: BackendOption;
  /** Never plain TCP: a connection that falls back fails. */
  readonly require?: boolean;
  /** TCP Fast Open (RFC 7413): so many connections at most before their third ACKs; 0 unless told. */
  readonly fastOpen?: number;
  readonly checksum?: boolean;
  readonly mtu?: number;
  /** As for `connect`. */
  readonly link?: 'udp' | 'tun';
  readonly device?: string;
  readonly pcap?: string;
  readonly config?: ProtocolConfig;
}

/** Options of `server.listen`. */
export interface ListenOptions {
  readonly port?: number;
  /** A name or an address; every address of this machine unless told. */
  readonly host?: string;
  readonly backlog?: number;
  readonly ipv6Only?: boolean;
  /** Aborting closes the server. */
  readonly signal?: AbortSignal;
  /** Several servers share the port (SO_REUSEPORT); with the kernel only. */
  readonly reusePort?: boolean;
  /** A descriptor that is bound already, as one that was inherited; with the kernel only. */
  readonly fd?: number;
}

/** Arguments of `connect` in any of their forms. */
export type ConnectArguments =
  | readonly [options: ConnectOptions, listener?: () => void]
  | readonly [port: number, listener?: () => void]
  | readonly [port: number, host: string, listener?: () => void];

/** Arguments of `listen` in any of their forms. */
export type ListenArguments =
  | readonly [options: ListenOptions, listener?: () => void]
  | readonly [port?: number | null, listener?: () => void]
  | readonly [port: number | null, host: string, listener?: () => void]
  | readonly [port: number | null, backlog: number, listener?: () => void]
  | readonly [port: number | null, host: string, backlog: number, listener?: () => void]
  | readonly [listener: () => void];

/** Options and callback out of the arguments of `connect`; throws for what cannot be meant. */
export function connectArguments(args: readonly unknown[]): {
  options: ConnectOptions;
  listener: (() => void) | undefined;
} {
  const [first, second] = args;
  const listener = callbackOf(args);
  if (typeof first === 'string' && !isPortText(first)) refusePipe('connect', first);
  const given: Record<string, unknown> =
    typeof first === 'object' && first !== null
      ? { ...first }
      : { port: first, ...(typeof second === 'string' ? { host: second } : {}) };
  if (given['path'] !== undefined && given['path'] !== null) refusePipe('connect', given['path']);
  if (given['port'] === undefined) throw new MptcpError('ERR_MISSING_ARGS');
  given['port'] = checkPort('port', given['port'], 1);
  const ownStack = given['backend'] === undefined || given['backend'] === 'user';
  for (const name of [...(ownStack ? KERNEL_ONLY : []), 'fd', 'handle']) {
    if (given[name] !== undefined && given[name] !== null) refuse(name, given[name]);
  }
  refuseObjectMode(given);
  if (given['localPort'] !== undefined) given['localPort'] = checkPort('localPort', given['localPort'], 0);
  if (given['localAddress'] !== undefined && given['paths'] === undefined) {
    check('localAddress', given['localAddress'], 'a local IP address or device name', isText);
    given['paths'] = [{ local: given['localAddress'] }];
  }
  checkAll(given, CONNECT_CHECKS);
  checkTun(given);
  return { options: given as unknown as ConnectOptions, listener };
}

/** Options and callback out of the arguments of `listen`; throws for what cannot be meant. */
export function listenArguments(
  args: readonly unknown[],
  backend: Backend = 'user',
): {
  options: ListenOptions & { port: number };
  listener: (() => void) | undefined;
} {
  const [first, ...rest] = args;
  const listener = callbackOf(args);
  if (typeof first === 'string' && !isPortText(first)) refusePipe('listen', first);
  const given: Record<string, unknown> =
    typeof first === 'object' && first !== null
      ? { ...first }
      : {
          port: typeof first === 'function' ? undefined : first,
          host: rest.find(argument => typeof argument === 'string'),
          backlog: rest.find(argument => typeof argument === 'number'),
        };
  if (given['path'] !== undefined && given['path'] !== null) refusePipe('listen', given['path']);
  for (const name of [...(backend === 'user' ? ['fd', 'reusePort'] : []), 'handle', '_handle']) {
    if (given[name] !== undefined) refuse(name, given[name]);
  }
  given['port'] = checkPort('port', given['port'] ?? 0, 0);
  for (const name of ['host', 'backlog']) if (given[name] === undefined) delete given[name];
  checkAll(given, LISTEN_CHECKS);
  return { options: given as unknown as ListenOptions & { port: number }, listener };
}

/** Throws unless these are options of `createServer`. */
export function checkServerOptions(options: unknown): asserts options is ServerOptions {
  if (typeof options !== 'object' || options === null) {
    throw invalidType('options', options, 'an object');
  }
  checkAll(options as Record<string, unknown>, SERVER_CHECKS);
  checkTun(options as Record<string, unknown>);
}

/** Throws unless this is a path. */
export function checkPath(name: string, path: unknown): asserts path is PathOption {
  if (typeof path !== 'object' || path === null) {
    throw invalidType(name, path, "an object like { local: '192.0.2.1' } or { local: 'wlan0' }");
  }
  const { local, remote, ...others } = path as Record<string, unknown>;
  check(`${name}.local`, local, "a local IP address or device name, like '192.0.2.1' or 'wlan0'", isText);
  checkAll(others, PATH_CHECKS, `${name}.`);
  if (remote === undefined) return;
  if (typeof remote !== 'object' || remote === null) {
    throw invalidType(`${name}.remote`, remote, "an object like { host: '192.0.2.9', port: 443 }");
  }
  checkEndpoint(`${name}.remote`, remote as Record<string, unknown>, true);
}

/** Throws unless `value` is a number of milliseconds a timer can count; returns it. */
export function checkDelay(name: string, value: unknown): number {
  check(name, value, 'a number of milliseconds from 0 to 2147483647', isDelay);
  return value as number;
}

/** Throws unless `value` is a type of service. */
export function checkTypeOfService(value: unknown): void {
  check('typeOfService', value, TYPE_OF_SERVICE.expected, TYPE_OF_SERVICE.valid);
}

/** Throws unless `value` is a function. */
export function checkFunction(name: string, value: unknown): void {
  check(name, value, 'a function', isFunction);
}

interface OptionCheck {
  readonly expected: string;
  readonly valid: (value: unknown) => boolean;
}

function checkAll(given: Record<string, unknown>, checks: Record<string, OptionCheck>, prefix = ''): void {
  for (const [name, { expected, valid }] of Object.entries(checks)) {
    if (given[name] !== undefined) check(prefix + name, given[name], expected, valid);
  }
  if (given['link'] !== undefined && given['link'] !== 'udp' && given['link'] !== 'tun') {
    throw new MptcpError('ERR_MPTCP_UNKNOWN_LINK', {
      sentence: `option "link" is ${show(given['link'])}`,
      remedy: "it must be 'udp' (TCP-in-UDP) or 'tun' (TCP through a TUN device); or leave it out",
    });
  }
  if (given['backend'] !== undefined && !BACKENDS.has(given['backend'])) {
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `option "backend" is ${show(given['backend'])}`,
      remedy: "it must be 'user', 'kernel' or 'auto'; or leave it out",
    });
  }
  if (given['service'] !== undefined) checkService(given['service']);
  const { paths, advertise } = given;
  if (Array.isArray(paths)) for (const [i, path] of paths.entries()) checkPath(`paths[${i}]`, path);
  if (!Array.isArray(advertise)) return;
  for (const [i, endpoint] of advertise.entries()) {
    if (typeof endpoint !== 'object' || endpoint === null) {
      throw invalidType(`advertise[${i}]`, endpoint, "an object like { host: '192.0.2.9', port: 443 }");
    }
    checkEndpoint(`advertise[${i}]`, endpoint, false);
  }
}

/** Over TUN nothing can be guessed: our addresses are not the system's. */
function checkTun({ link, device, paths }: Record<string, unknown>): void {
  if (link !== 'tun') {
    if (device === undefined) return;
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `option "device" is ${show(device)} without link: 'tun'`,
      remedy: 'a path over UDP names its device with "local"',
    });
  }
  if (paths === undefined) {
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: "link: 'tun' needs the addresses of our stack",
      remedy: "name them with \"paths\", like [{ local: '10.7.0.2', device: 'tun0' }]",
    });
  }
  for (const [i, path] of (paths as PathOption[]).entries()) {
    if (describeAddress(path.local, '') === undefined) {
      throw new MptcpError('ERR_INVALID_ARG_VALUE', {
        sentence: `option "paths[${i}].local" is ${show(path.local)}`,
        remedy: 'with link: \'tun\' it must be an IP address, and the device goes into "device"',
      });
    }
    if (path.device !== undefined || device !== undefined) continue;
    throw new MptcpError('ERR_INVALID_ARG_VALUE', {
      sentence: `paths[${i}] (${show(path.local)}) is on no device`,
      remedy: 'name the TUN device with the option "device"',
    });
  }
}

function checkEndpoint(name: string, endpoint: Record<string, unknown>, portNeeded: boolean): void {
  check(`${name}.host`, endpoint['host'], 'a host name or an IP address', isText);
  if (portNeeded || endpoint['port'] !== undefined) checkPort(`${name}.port`, endpoint['port'], 1);
}

function check(name: string, value: unknown, expected: string, valid: (value: unknown) => boolean): void {
  if (valid(value)) return;
  // A number that is no good is a range error, anything else a type error, as Node has it.
  if (typeof value !== 'number') throw invalidType(name, value, expected);
  throw new MptcpError('ERR_OUT_OF_RANGE', {
    sentence: `option "${name}" is ${show(value)}`,
    remedy: `it must be ${expected}`,
  });
}

function checkPort(name: string, value: unknown, least: 0 | 1): number {
  const port = typeof value === 'string' && isPortText(value) ? Number(value) : value;
  if (typeof port !== 'number' && typeof port !== 'string') {
    throw invalidType(name, value, `a port from ${least} to 65535`);
  }
  if (Number.isInteger(port) && (port as number) >= least && (port as number) <= 65_535)
    return port as number;
  throw new MptcpError('ERR_SOCKET_BAD_PORT', {
    sentence: `option "${name}" is ${show(value)}`,
    remedy: `it must be a whole number from ${least} to 65535`,
  });
}

function invalidType(name: string, value: unknown, expected: string): MptcpError {
  return new MptcpError('ERR_INVALID_ARG_TYPE', {
    sentence: `option "${name}" is ${show(value)}`,
    remedy: `it must be ${expected}`,
  });
}

/** As node:net does. */
function refuseObjectMode(given: Record<string, unknown>): void {
  for (const name of ['objectMode', 'readableObjectMode', 'writableObjectMode']) {
    if (given[name]) refuse(name, given[name]);
  }
}

function refusePipe(what: string, path: unknown): never {
  throw new MptcpError('ERR_INVALID_ARG_VALUE', {
    sentence: `cannot ${what} to the path ${show(path)}`,
    remedy: 'Multipath TCP needs a port; for pipes and UNIX sockets use node:net',
  });
}

function refuse(name: string, value: unknown): never {
  throw new MptcpError('ERR_INVALID_ARG_VALUE', {
    sentence: `option "${name}" (${show(value)}) is not supported here`,
    remedy:
      name === 'localPort'
        ? 'every path gets a free local port; choose addresses with "paths", or use backend: \'kernel\''
        : name === 'onread' || name === 'typeOfService'
          ? "connections with backend: 'kernel' have it"
          : name === 'fd' || name === 'reusePort'
            ? "servers with backend: 'kernel' have it"
            : 'leave it out',
  });
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return typeof value === 'function' ? 'a function' : String(value);
}

function callbackOf(args: readonly unknown[]): (() => void) | undefined {
  const last = args[args.length - 1];
  return typeof last === 'function' ? (last as () => void) : undefined;
}

function isPortText(text: string): boolean {
  return /^\s*\d+\s*$/.test(text);
}

const isText = (value: unknown): boolean => typeof value === 'string' && value !== '';
const isFunction = (value: unknown): boolean => typeof value === 'function';
const isWhole = (least: number, most: number) => (value: unknown) =>
  Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
const isDelay = (value: unknown): boolean =>
  typeof value === 'number' && value >= 0 && value <= 2_147_483_647;
const isSignal = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;

const BOOLEAN: OptionCheck = { expected: 'true or false', valid: value => typeof value === 'boolean' };
const MTU: OptionCheck = { expected: 'a number of bytes from 1280 to 65535', valid: isWhole(1280, 65_535) };
const OBJECT: OptionCheck = {
  expected: 'an object of settings',
  valid: value => typeof value === 'object' && value !== null,
};
const DEVICE: OptionCheck = { expected: 'the name of a TUN device', valid: isText };
const FILE: OptionCheck = { expected: 'the name of a file', valid: isText };
const SIGNAL: OptionCheck = { expected: 'an AbortSignal', valid: isSignal };
const TYPE_OF_SERVICE: OptionCheck = { expected: 'a whole number from 0 to 255', valid: isWhole(0, 255) };
const BLOCK_LIST: OptionCheck = {
  expected: 'a BlockList of node:net',
  valid: value => typeof (value as { check?: unknown } | null)?.check === 'function',
};
const PATHS: OptionCheck = {
  expected: "an array with at least one path, like [{ local: '192.0.2.1' }, { local: 'wlan0' }]",
  valid: value => Array.isArray(value) && value.length > 0,
};

/** What `connect` takes with the kernel only. */
const KERNEL_ONLY: readonly string[] = ['localPort', 'onread', 'typeOfService'];

const BACKENDS: ReadonlySet<unknown> = new Set(['user', 'kernel', 'auto']);

const CONNECT_CHECKS: Record<string, OptionCheck> = {
  host: { expected: 'a host name or an IP address', valid: isText },
  family: { expected: '0, 4 or 6', valid: value => value === 0 || value === 4 || value === 6 },
  lookup: { expected: 'a function like dns.lookup', valid: isFunction },
  autoSelectFamily: BOOLEAN,
  autoSelectFamilyAttemptTimeout: {
    expected: 'a number of milliseconds from 1 to 2147483647',
    valid: isWhole(1, 2_147_483_647),
  },
  blockList: BLOCK_LIST,
  timeout: { expected: 'a number of milliseconds from 0 to 2147483647', valid: isDelay },
  connectTimeoutMs: {
    expected: 'a number of milliseconds from 1 to 2147483647',
    valid: value => isDelay(value) && (value as number) >= 1,
  },
  paths: PATHS,
  multipath: BOOLEAN,
  require: BOOLEAN,
  fastOpen: BOOLEAN,
  checksum: BOOLEAN,
  typeOfService: TYPE_OF_SERVICE,
  mtu: MTU,
  signal: SIGNAL,
  device: DEVICE,
  pcap: FILE,
  config: OBJECT,
};

const LISTEN_CHECKS: Record<string, OptionCheck> = {
  host: { expected: 'a host name or an IP address', valid: isText },
  backlog: { expected: 'a whole number from 0 to 65535', valid: isWhole(0, 65_535) },
  ipv6Only: BOOLEAN,
  signal: SIGNAL,
  reusePort: BOOLEAN,
  fd: { expected: 'a descriptor, a whole number from 0', valid: isWhole(0, 0x7fffffff) },
};

const SERVER_CHECKS: Record<string, OptionCheck> = {
  allowHalfOpen: BOOLEAN,
  pauseOnConnect: BOOLEAN,
  blockList: BLOCK_LIST,
  advertise: { expected: 'an array of { host, port }', valid: value => Array.isArray(value) },
  paths: PATHS,
  multipath: BOOLEAN,
  require: BOOLEAN,
  fastOpen: { expected: 'a whole number from 0 to 65535', valid: isWhole(0, 65_535) },
  checksum: BOOLEAN,
  mtu: MTU,
  device: DEVICE,
  pcap: FILE,
  config: OBJECT,
};

const PATH_CHECKS: Record<string, OptionCheck> = {
  name: { expected: 'a name', valid: isText },
  device: DEVICE,
  backup: BOOLEAN,
  cost: {
    expected: 'a number from 0 up',
    valid: value => typeof value === 'number' && value >= 0 && Number.isFinite(value),
  },
};

/** Milliseconds before an unanswered connect fails, unless told. */
export const CONNECT_TIMEOUT_MS = 10_000;
