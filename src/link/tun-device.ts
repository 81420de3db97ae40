// Opens a Linux TUN device: a network interface whose packets this process reads and writes.
//
// Decides: how the device is asked for (raw IP packets; with offload behind a virtio header of 12 bytes,
// which keeps IP headers aligned), what it is told we can do (checksums and segmentation, both ways), and the
// one clear error when something is missing: the device file, the right to use it, or calls into the C
// library.
// Read: Linux Documentation/networking/tuntap.rst; linux/if_tun.h for the numbers at the end.
// Walk: tun.ts opens one, and reads and writes packets through it.

import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { type Foreign, foreign, type NativeFunction, type Poll } from '../ffi/index.ts';

/** What is asked of a device. */
export interface TunDeviceOptions {
  /** The device's name: an existing one, or one to be made; the kernel numbers a name with %d in it. */
  readonly name: string;
  /** Exchange super-segments and unfinished checksums with the kernel. */
  readonly offload: boolean;
}

/** An open device. */
export interface TunDevice {
  readonly name: string;
  /** The device's MTU when it was opened, 0 when it could not be found out. */
  readonly mtu: number;
  /** Bytes that precede every packet: a virtio header, or nothing. */
  readonly headerBytes: number;
  /** Fills `into` with one packet; its length, or −errno. */
  read(into: Uint8Array): number;
  /** Writes the first `length` bytes as one packet; 0 or more when it was taken, else −errno. */
  write(bytes: Uint8Array, length: number): number;
  /** Calls `onReadable` while there is something to read. Once. */
  watch(onReadable: () => void): void;
  /** Stops watching and lets the device go; one that nobody made persistent disappears. */
  close(): void;
}

/** Opens the device or says what is missing: `code` is ERR_FFI_UNAVAILABLE or the system's errno name. */
export function openTunDevice(options: TunDeviceOptions): TunDevice {
  if (process.platform !== 'linux')
    throw tunError('ENOSYS', `there are no TUN devices on ${process.platform}`);
  if (options.name.length === 0 || Buffer.byteLength(options.name) >= NAME_BYTES) {
    throw tunError('EINVAL', `'${options.name}' is no name for a network device`);
  }
  let ffi: Foreign;
  try {
    ffi = foreign();
  } catch (error) {
    throw tunError((error as NodeJS.ErrnoException).code ?? '', `TUN needs ${(error as Error).message}`);
  }
  const fd = openDeviceFile();
  try {
    const name = configure(ffi, fd, options);
    return new OpenTunDevice(ffi, fd, { name, mtu: mtuOf(name), headerBytes: options.offload ? 12 : 0 });
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

class OpenTunDevice implements TunDevice {
  readonly name: string;
  readonly mtu: number;
  readonly headerBytes: number;
  readonly #ffi: Foreign;
  readonly #fd: number;
  readonly #read: NativeFunction;
  readonly #write: NativeFunction;
  #poll: Poll | undefined;
  #closed = false;

  constructor(ffi: Foreign, fd: number, device: { name: string; mtu: number; headerBytes: number }) {
    this.name = device.name;
    this.mtu = device.mtu;
    this.headerBytes = device.headerBytes;
    this.#ffi = ffi;
    this.#fd = fd;
    readPacket ??= ffi.call('read', ['i32', 'bytes', 'size']);
    writePacket ??= ffi.call('write', ['i32', 'bytes', 'size']);
    this.#read = readPacket;
    this.#write = writePacket;
  }

  read(into: Uint8Array): number {
    const length = this.#read(this.#fd, into, into.length);
    return length < 0 ? -this.#ffi.errno() : length;
  }

  write(bytes: Uint8Array, length: number): number {
    const written = this.#write(this.#fd, bytes, length);
    return written < 0 ? -this.#ffi.errno() : written;
  }

  watch(onReadable: () => void): void {
    this.#poll ??= this.#ffi.poll(this.#fd, onReadable);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#poll?.close();
    closeSync(this.#fd);
  }
}

function openDeviceFile(): number {
  try {
    return openSync(DEVICE_FILE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const advice =
      code === 'EACCES' || code === 'EPERM'
        ? `this user may not open ${DEVICE_FILE}: run as root or with CAP_NET_ADMIN`
        : `there is no ${DEVICE_FILE} here: load the module (modprobe tun) or give it to the container`;
    throw tunError(code, advice);
  }
}

/** Attaches the descriptor to its device; returns the name the device really has. */
function configure(ffi: Foreign, fd: number, options: TunDeviceOptions): string {
  const withBytes = ffi.call('ioctl', ['i32', 'size', 'bytes']);
  const withNumber = ffi.call('ioctl', ['i32', 'size', 'size']);
  const request = new Uint8Array(REQUEST_BYTES);
  new TextEncoder().encodeInto(options.name, request);
  const flags = IFF_TUN | IFF_NO_PI | (options.offload ? IFF_VNET_HDR : 0);
  new DataView(request.buffer).setUint16(NAME_BYTES, flags, true);
  if (withBytes(fd, TUNSETIFF, request) < 0) throw attachError(ffi.errno(), options.name);
  if (options.offload) {
    const size = Uint8Array.of(12, 0, 0, 0);
    if (withBytes(fd, TUNSETVNETHDRSZ, size) < 0 || withNumber(fd, TUNSETOFFLOAD, OFFLOADS) < 0) {
      throw tunError('ENOTSUP', `the kernel refuses offload on ${options.name}: open it without`);
    }
  }
  return new TextDecoder().decode(request.subarray(0, request.indexOf(0)));
}

function attachError(errno: number, name: string): Error {
  switch (errno) {
    case EPERM:
      return tunError(
        'EPERM',
        `this process may not use the TUN device ${name}: it needs CAP_NET_ADMIN or a device of its own user`,
      );
    case EBUSY:
      return tunError('EBUSY', `the TUN device ${name} is in use by another process`);
    case EINVAL:
      return tunError('EINVAL', `the network device ${name} exists and is no TUN device with one queue`);
    default:
      return tunError('EIO', `the TUN device ${name} could not be opened (errno ${errno})`);
  }
}

function tunError(code: string, text: string): Error {
  return Object.assign(new Error(text), { code });
}

function mtuOf(name: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/mtu`, 'utf8'));
  } catch {
    return 0;
  }
}

/** The same functions for every device: a call to one of several is compiled into slower code. */
let readPacket: NativeFunction | undefined;
let writePacket: NativeFunction | undefined;
const DEVICE_FILE = '/dev/net/tun';
const NAME_BYTES = 16;
const REQUEST_BYTES = 40;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETVNETHDRSZ = 0x400454d8;
/** Checksums, TCP segmentation for IPv4 and IPv6, segmentation of packets marked for ECN. */
const OFFLOADS = 1 | 2 | 4 | 8;
const EPERM = 1;
const EBUSY = 16;
const EINVAL = 22;
