// Descriptors of the Linux kernel's Multipath TCP sockets: made, asked and told, before and while the event
// loop has them.
//
// Decides: which calls there are, that a failed one is an error with the system's code, and how the reasons a
// machine has no Multipath TCP are told apart.
// Read: Linux Documentation/networking/mptcp.rst; linux/mptcp.h and linux/tcp.h for the numbers at the end.
// Walk: api/kernel-dial and api/kernel-server make descriptors here; status.ts asks them.

import { closeSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { type Foreign, foreign, type NativeFunction, type TcpHandle } from '../ffi/index.ts';
import { decodeMptcpInfo, NATIVE_LITTLE } from './info.ts';

/** How a socket is made. */
export interface StreamOptions {
  readonly family: 4 | 6;
  /** False: plain TCP. */
  readonly multipath: boolean;
}

/** Why this machine has no Multipath TCP sockets, as an error; undefined when it has. */
export function impediment(): Error | undefined {
  try {
    closeSync(openStream({ family: 4, multipath: true }));
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** A new socket that does not block. Code ERR_MPTCP_NO_KERNEL: this kernel has no Multipath TCP. */
export function openStream({ family, multipath }: StreamOptions): number {
  if (process.platform !== 'linux') throw noKernel(`${process.platform} has no Multipath TCP sockets`);
  const { socket, ffi } = calls();
  const type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const domain = family === 4 ? AF_INET : AF_INET6;
  const fd = socket(domain, type, multipath ? IPPROTO_MPTCP : IPPROTO_TCP);
  if (fd >= 0) return fd;
  const error = systemError(ffi.errno(), 'socket');
  throw multipath && Object.hasOwn(REASONS, error.code ?? '') ? noKernel(REASONS[error.code ?? '']) : error;
}

/** Gives a descriptor to a handle of the event loop, which closes it from now on; else it is closed here. */
export function adopt(handle: TcpHandle, fd: number): void {
  const status = handle.open(fd);
  if (status >= 0) return;
  closeSync(fd);
  throw systemError(-status, 'open');
}

/** Closes a descriptor that the event loop does not have. */
export function closeDescriptor(fd: number): void {
  closeSync(fd);
}

/** A second descriptor of the same socket, which outlives the first. */
export function duplicate(fd: number): number {
  return checked(calls().fcntl(fd, F_DUPFD_CLOEXEC, 0), 'fcntl');
}

/** Puts a socket in the place of another one, which is closed; the first number is then no longer one. */
export function replace(fd: number, inPlaceOf: number): void {
  try {
    checked(calls().dup3(fd, inPlaceOf, SOCK_CLOEXEC), 'dup3');
  } finally {
    closeSync(fd);
  }
}

/** Sends everything of this socket out by one device; before it connects. */
export function bindToDevice(fd: number, device: string): void {
  const name = new TextEncoder().encode(`${device}\0`);
  checked(calls().setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, name.length), 'setsockopt');
}

/** Several sockets listen on one port, and share what comes; before it is bound. */
export function reusePort(fd: number): void {
  checked(calls().setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, ONE, 4), 'setsockopt');
}

/**
 * TCP Fast Open: with a cookie of the server `connect` succeeds at once, and the first bytes written go with
 * the SYN; before it connects. False: this kernel has it not (for Multipath TCP, before Linux 6.2).
 */
export function connectWithData(fd: number): boolean {
  return calls().setsockopt(fd, SOL_TCP, TCP_FASTOPEN_CONNECT, ONE, 4) >= 0;
}

/** TCP Fast Open: a listener takes so many connections before their handshakes are over. */
export function acceptWithData(fd: number, queue: number): void {
  const bytes = new Uint8Array(Int32Array.of(queue).buffer);
  checked(calls().setsockopt(fd, SOL_TCP, TCP_FASTOPEN, bytes, bytes.length), 'setsockopt');
}

/** The type of service of what is sent, and with IPv6 the traffic class. */
export function setTypeOfService(fd: number, value: number): void {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  const { setsockopt } = calls();
  // A socket of IPv6 may carry IPv4, too; one of IPv4 has no traffic class.
  const six = setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, bytes, bytes.length) >= 0;
  const result = setsockopt(fd, IPPROTO_IP, IP_TOS, bytes, bytes.length);
  if (!six) checked(result, 'setsockopt');
}

/** The same, asked for. */
export function typeOfService(fd: number): number {
  const length = readOption(fd, IPPROTO_IP, IP_TOS, fourBytes);
  if (length > 0) return fourBytes[0];
  return checked(readOption(fd, IPPROTO_IPV6, IPV6_TCLASS, fourBytes), 'getsockopt') > 0 ? fourBytes[0] : 0;
}

/** An option's value, as long as the kernel made it; −errno when there is none. */
export function readOption(fd: number, level: number, name: number, into: Uint8Array): number {
  const { getsockopt, ffi } = calls();
  lengthView.setUint32(0, into.length, NATIVE_LITTLE);
  if (getsockopt(fd, level, name, into, lengthBytes) < 0) return -ffi.errno();
  return lengthView.getUint32(0, NATIVE_LITTLE);
}

/** Whether the connection of this socket is Multipath TCP now; a fallen back one is not. */
export function isMultipath(fd: number): boolean {
  const length = readOption(fd, SOL_TCP, TCP_IS_MPTCP, fourBytes);
  if (length >= 4) return fourView.getInt32(0, NATIVE_LITTLE) === 1;
  // A kernel without that option (before 6.9) tells of a connection only while it is Multipath TCP.
  const info = decodeMptcpInfo(
    infoBytes.subarray(0, Math.max(0, readOption(fd, SOL_MPTCP, MPTCP_INFO, infoBytes))),
  );
  return info !== undefined && !info.fallback;
}

/** Bytes written that the peer has not acknowledged yet. */
export function unacknowledgedBytes(fd: number): number {
  return calls().ioctl(fd, SIOCOUTQ, fourBytes) < 0 ? 0 : fourView.getInt32(0, NATIVE_LITTLE);
}

/** A failed system call, as Node has it. */
export function systemError(errno: number, syscall: string): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: -errno, syscall });
}

function noKernel(reason: string): Error {
  return Object.assign(new Error(reason), { code: 'ERR_MPTCP_NO_KERNEL' });
}

interface Calls {
  readonly ffi: Foreign;
  readonly socket: NativeFunction;
  readonly fcntl: NativeFunction;
  readonly dup3: NativeFunction;
  readonly setsockopt: NativeFunction;
  readonly getsockopt: NativeFunction;
  readonly ioctl: NativeFunction;
}

function calls(): Calls {
  if (loaded !== undefined) return loaded;
  const ffi = foreign();
  loaded = {
    ffi,
    socket: ffi.call('socket', ['i32', 'i32', 'i32']),
    fcntl: ffi.call('fcntl', ['i32', 'i32', 'i32']),
    dup3: ffi.call('dup3', ['i32', 'i32', 'i32']),
    setsockopt: ffi.call('setsockopt', ['i32', 'i32', 'i32', 'bytes', 'u32']),
    getsockopt: ffi.call('getsockopt', ['i32', 'i32', 'i32', 'bytes', 'bytes']),
    ioctl: ffi.call('ioctl', ['i32', 'size', 'bytes']),
  };
  return loaded;
}

function checked(result: number, syscall: string): number {
  if (result >= 0) return result;
  throw systemError(calls().ffi.errno(), syscall);
}

/** What `socket` says of a kernel that cannot, by its version. */
const REASONS: Readonly<Record<string, string>> = {
  ENOPROTOOPT: 'Multipath TCP is switched off (sysctl net.mptcp.enabled is 0)',
  EPROTONOSUPPORT: 'this kernel is built without Multipath TCP (CONFIG_MPTCP)',
  EINVAL: 'this kernel is too old for Multipath TCP (Linux 5.6 or later has it)',
};

const ONE: Uint8Array = new Uint8Array(Int32Array.of(1).buffer);
let loaded: Calls | undefined;
const lengthBytes: Uint8Array = new Uint8Array(4);
const lengthView: DataView = new DataView(lengthBytes.buffer);
const infoBytes: Uint8Array = new Uint8Array(256);
const fourBytes: Uint8Array = new Uint8Array(4);
const fourView: DataView = new DataView(fourBytes.buffer);

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;
const F_DUPFD_CLOEXEC = 1030;
const IPPROTO_IP = 0;
const IP_TOS = 1;
const IPPROTO_IPV6 = 41;
const IPV6_TCLASS = 67;
const SOL_SOCKET = 1;
const SO_REUSEPORT = 15;
const SO_BINDTODEVICE = 25;
const SOL_TCP = 6;
const TCP_FASTOPEN = 23;
const TCP_FASTOPEN_CONNECT = 30;
const TCP_IS_MPTCP = 43;
const SOL_MPTCP = 284;
const MPTCP_INFO = 1;
const SIOCOUTQ = 0x5411;
