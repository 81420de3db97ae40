// Decides what the calls of a script do: descriptors of the script are sockets of the core, and what a call
// answers is a number as in C. A blocking call that must wait answers null. Before: run-script.

import { constants, errno, type Socket } from '../../../src/host/index.ts';
import { Epoll, epollControl, epollWait } from './epoll.ts';
import type { Machine } from './machine.ts';
import { type CallEvent, Unsupported, type Value } from './script.ts';

export class Calls {
  readonly sockets: Map<number, Socket> = new Map();
  readonly epolls: Map<number, Epoll> = new Map();
  /** Descriptors with O_NONBLOCK. */
  readonly nonBlocking: Set<number> = new Set();
  readonly machine: Machine;
  /** What a call gave back beside its result, when that is not what the script has there. */
  difference: string | null = null;
  private readonly isV6: boolean;
  private readonly buffer: Buffer = Buffer.alloc(8 * 1024 * 1024);
  /** Bytes that a blocking write has been able to hand over so far, by its event. */
  private readonly written: Map<CallEvent, number> = new Map();

  constructor(machine: Machine, isV6: boolean) {
    this.machine = machine;
    this.isV6 = isV6;
  }

  /** The result, negative errors negated; null: it would block, ask again. */
  perform(call: CallEvent): number | null {
    this.difference = null;
    const run = TABLE[call.name];
    if (run === undefined) throw new Unsupported(`call ${call.name}`);
    return run(this, call);
  }

  socket(call: CallEvent, at = 0): Socket {
    const fd = numeric(call.args[at]);
    const socket = this.sockets.get(fd);
    if (socket === undefined) throw new Unsupported(`${call.name} on descriptor ${fd}`);
    return socket;
  }

  open(call: CallEvent): number {
    const [, type, protocol] = call.args;
    const kind = flagsOf(type);
    const domain = this.isV6 ? constants.AF_INET6 : constants.AF_INET;
    const socket = this.machine.sockets.socket(domain, kind & 0xff, flagsOf(protocol));
    if (typeof socket === 'number') return socket;
    const fd = call.result ?? 3;
    this.sockets.set(fd, socket);
    if ((kind & NONBLOCK) !== 0) this.nonBlocking.add(fd);
    return fd;
  }

  accept(call: CallEvent): number | null {
    const accepted = this.socket(call).accept(this.machine.now);
    if (typeof accepted === 'number') return this.orWait(call, accepted);
    const fd = call.result ?? 4;
    this.sockets.set(fd, accepted);
    return fd;
  }

  bind(call: CallEvent): number {
    return this.socket(call).bind(this.placeOf(call.args[1], this.isV6 ? '::' : '0.0.0.0'));
  }

  connect(call: CallEvent): number | null {
    const socket = this.socket(call);
    const target = isUnspecific(call.args[1])
      ? null
      : this.placeOf(call.args[1], this.machine.addresses.remote(0));
    const result = socket.connect(target, this.machine.now);
    const waits = result === -errno.EINPROGRESS || result === -errno.EALREADY;
    return waits && !this.nonBlocking.has(numeric(call.args[0])) ? null : result;
  }

  /** `target`: of sendto, where it counts with MSG_FASTOPEN. */
  write(call: CallEvent, length: number, flags: number, target: Value = { any: true }): number | null {
    if (!Number.isFinite(length)) throw new Unsupported('a length that is not stated');
    const { machine, buffer, written } = this;
    const { now } = machine;
    const socket = this.socket(call);
    const done = written.get(call) ?? 0;
    const opens = (flags & constants.MSG_FASTOPEN) !== 0 && !written.has(call);
    const isClosed = socket.connection?.closed === true;
    if (written.has(call) && !isClosed && (isConnecting(socket) || done >= length)) {
      return isConnecting(socket) ? null : length;
    }
    const result = opens
      ? socket.sendto(buffer, 0, length, flags, this.placeOf(target, machine.addresses.remote(0)), now)
      : socket.send(buffer, 0, length - done, flags, now);
    if (this.nonBlocking.has(numeric(call.args[0])) || (flags & constants.MSG_DONTWAIT) !== 0) return result;
    if (result < 0 && result !== -errno.EAGAIN && result !== -errno.EINPROGRESS) {
      return done > 0 && socket.connection?.connected ? done : result;
    }
    const total = done + Math.max(0, result);
    written.set(call, total);
    // Linux's blocking call waits for the handshake even where all of it went with the SYN.
    return total >= length && !isConnecting(socket) ? length : null;
  }

  read(call: CallEvent, length: number, flags: number): number | null {
    const { machine, buffer } = this;
    const socket = this.socket(call);
    const result =
      call.name === 'read'
        ? socket.read(buffer, 0, length, machine.now)
        : socket.recv(buffer, 0, length, flags, machine.now);
    return (flags & constants.MSG_DONTWAIT) !== 0 ? result : this.orWait(call, result);
  }

  fcntl(call: CallEvent): number {
    const fd = numeric(call.args[0]);
    const command = nameOf(call.args[1]);
    if (command === 'F_GETFL') return 2 | (this.nonBlocking.has(fd) ? NONBLOCK : 0);
    if (command !== 'F_SETFL') throw new Unsupported(`fcntl ${command}`);
    if ((flagsOf(call.args[2]) & NONBLOCK) !== 0) this.nonBlocking.add(fd);
    else this.nonBlocking.delete(fd);
    return 0;
  }

  close(call: CallEvent): number {
    const fd = numeric(call.args[0]);
    if (this.epolls.delete(fd)) return 0;
    const result = this.socket(call).close(this.machine.now);
    this.sockets.delete(fd);
    this.nonBlocking.delete(fd);
    return result;
  }

  setOption(call: CallEvent): number {
    const [, level, name, value] = call.args;
    const missing = NOT_BUILT[nameOf(name)];
    if (missing !== undefined) throw new Unsupported(`${nameOf(name)}: ${missing}`);
    const given = listed(value)[0] ?? value;
    const plain =
      typeof given === 'object' && 'fields' in given
        ? Object.fromEntries([...given.fields].map(([key, field]) => [key, numeric(field)]))
        : typeof given === 'string'
          ? textOrBytes(given, name)
          : flagsOf(given);
    return this.socket(call).setsockopt(flagsOf(level), flagsOf(name), plain, this.machine.now);
  }

  getOption(call: CallEvent): number {
    const [, level, name, value] = call.args;
    const result = this.socket(call).getsockopt(flagsOf(level), flagsOf(name), this.machine.now);
    if (typeof result === 'number' && result < 0) return result;
    const expected = listed(value)[0] ?? value;
    if (typeof expected === 'object' && 'any' in expected) return 0;
    if (typeof expected === 'object' && 'fields' in expected) {
      for (const [key, field] of expected.fields) {
        const live = (result as Record<string, unknown>)[key];
        if (!(typeof field === 'object' && 'any' in field) && live !== flagsOf(field)) {
          this.difference = `${key} is ${String(live)}, not ${flagsOf(field)}`;
        }
      }
      return 0;
    }
    if (result instanceof Uint8Array && typeof expected === 'string') {
      if (Buffer.compare(result, Buffer.from(textOrBytes(expected, name))) !== 0)
        this.difference = `the option is ${Buffer.from(result).toString('hex')}`;
      return 0;
    }
    const wanted = typeof expected === 'string' ? expected : flagsOf(expected);
    if (result !== wanted) this.difference = `the option is ${JSON.stringify(result)}, not ${wanted}`;
    return 0;
  }

  ioctl(call: CallEvent): number {
    const result = this.socket(call).ioctl(flagsOf(call.args[1]));
    if (result < 0) return result;
    const wanted = listed(call.args[2])[0];
    if (wanted !== undefined && flagsOf(wanted) !== result)
      this.difference = `it says ${result}, not ${flagsOf(wanted)}`;
    return 0;
  }

  poll(call: CallEvent): number | null {
    let ready = 0;
    for (const entry of listed(call.args[0])) {
      const fields = fieldsOf(entry);
      const events = flagsOf(fields.get('events') ?? 0) | constants.POLLERR | constants.POLLHUP;
      const revents = this.pollBits(numeric(fields.get('fd') ?? -1)) & events;
      if (revents !== 0) ready++;
      const wanted = fields.get('revents');
      if (wanted !== undefined && flagsOf(wanted) !== revents) {
        this.difference = `revents is ${revents}, not ${flagsOf(wanted)}`;
      }
    }
    const timeout = numeric(call.args[2]);
    return ready === 0 && timeout !== 0 ? null : ready;
  }

  pollBits(fd: number): number {
    return this.sockets.get(fd)?.poll() ?? constants.POLLNVAL;
  }

  private orWait(call: CallEvent, result: number): number | null {
    const waits = result === -errno.EAGAIN && !this.nonBlocking.has(numeric(call.args[0]));
    return waits ? null : result;
  }

  private placeOf(value: Value, standard: string): { address: string; port: number } {
    if (typeof value === 'object' && 'fields' in value) {
      const address = value.fields.get('sin_addr') ?? value.fields.get('sin6_addr');
      const port = value.fields.get('sin_port') ?? value.fields.get('sin6_port') ?? 8080;
      return { address: typeof address === 'string' ? address : standard, port: numeric(port) };
    }
    // Of a family that is not the socket's.
    if (/^AF_(?!INET)/.test(nameOf(value))) return { address: this.isV6 ? '192.0.2.1' : '::1', port: 8080 };
    if (typeof value !== 'object' || !('any' in value)) throw new Unsupported('a pointer that is not valid');
    return { address: standard, port: 8080 };
  }
}

/** `{sa_family = AF_UNSPEC, …}`: the connection is dissolved. */
function isUnspecific(value: Value): boolean {
  return nameOf(fieldsOf(value).get('sa_family') ?? value) === 'AF_UNSPEC';
}

/** The handshake is under way. */
function isConnecting({ connection }: Socket): boolean {
  return connection !== null && !connection.connected && !connection.closed;
}

/** A string of C; one of `\\x` escapes, or a key, is bytes. */
function textOrBytes(text: string, option: Value): string | Uint8Array {
  if (nameOf(option) === 'TCP_FASTOPEN_KEY' && !text.includes('\\x')) return Buffer.from(text, 'latin1');
  if (!/^(\\x[0-9a-fA-F]{2})+$/.test(text)) return text;
  return Uint8Array.from(text.split('\\x').slice(1), octet => Number.parseInt(octet, 16));
}

export function numeric(value: Value | undefined): number {
  if (typeof value === 'number') return value;
  if (value !== undefined && typeof value === 'object' && 'list' in value) return numeric(value.list[0]);
  if (value !== undefined && typeof value === 'object' && 'name' in value) return flagsOf(value);
  return Number.NaN;
}

function nameOf(value: Value): string {
  return typeof value === 'object' && 'name' in value ? value.name : String(value);
}

export function listed(value: Value | undefined): readonly Value[] {
  return typeof value === 'object' && 'list' in value ? value.list : [];
}

export function fieldsOf(value: Value | undefined): ReadonlyMap<string, Value> {
  return typeof value === 'object' && 'fields' in value ? value.fields : new Map();
}

/** `A|B` by the names of C; a number as it is. */
export function flagsOf(value: Value | undefined): number {
  if (typeof value === 'number') return value;
  if (typeof value !== 'object' || !('name' in value))
    throw new Unsupported(`the argument ${JSON.stringify(value)}`);
  let bits = 0;
  for (const name of value.name.split('|')) {
    const known = (constants as Readonly<Record<string, number>>)[name] ?? MORE[name] ?? Number(name);
    if (Number.isNaN(known)) throw new Unsupported(`the constant ${name}`);
    bits |= known;
  }
  return bits;
}

/** The bytes of `{msg_iov(1)=[{..., 1000}]}`, or of `[{..., 1000}, …]`. */
function vectorBytes(value: Value | undefined): number {
  const entries =
    typeof value === 'object' && 'fields' in value ? listed(value.fields.get('msg_iov')) : listed(value);
  if (typeof value === 'object' && 'fields' in value && fieldsOf(value).has('msg_control')) {
    throw new Unsupported('control messages');
  }
  return entries.reduce((sum: number, entry) => sum + numeric(fieldsOf(entry).get('1')), 0);
}

function pointer(value: Value | undefined): void {
  if (typeof value === 'number' || (typeof value === 'object' && 'name' in value)) {
    throw new Unsupported('a pointer that is not valid');
  }
}

type Call = (calls: Calls, call: CallEvent) => number | null;
const TABLE: Readonly<Record<string, Call>> = {
  socket: (calls, call) => calls.open(call),
  bind: (calls, call) => calls.bind(call),
  listen: (calls, call) => calls.socket(call).listen(numeric(call.args[1])),
  accept: (calls, call) => calls.accept(call),
  connect: (calls, call) => calls.connect(call),
  write: (calls, call) => {
    pointer(call.args[1]);
    return calls.write(call, numeric(call.args[2]), 0);
  },
  send: (calls, call) => {
    pointer(call.args[1]);
    return calls.write(call, numeric(call.args[2]), flagsOf(call.args[3]));
  },
  sendto: (calls, call) => {
    pointer(call.args[1]);
    return calls.write(call, numeric(call.args[2]), flagsOf(call.args[3]), call.args[4]);
  },
  sendmsg: (calls, call) => {
    const target = fieldsOf(call.args[1]).get('msg_name');
    return calls.write(call, vectorBytes(call.args[1]), flagsOf(call.args[2]), target);
  },
  writev: (calls, call) => calls.write(call, vectorBytes(call.args[1]), 0),
  read: (calls, call) => {
    pointer(call.args[1]);
    return calls.read(call, numeric(call.args[2]), 0);
  },
  recv: (calls, call) => calls.read(call, numeric(call.args[2]), flagsOf(call.args[3])),
  recvfrom: (calls, call) => calls.read(call, numeric(call.args[2]), flagsOf(call.args[3])),
  recvmsg: (calls, call) => calls.read(call, vectorBytes(call.args[1]), flagsOf(call.args[2])),
  readv: (calls, call) => calls.read(call, vectorBytes(call.args[1]), 0),
  shutdown: (calls, call) => calls.socket(call).shutdown(flagsOf(call.args[1]), calls.machine.now),
  close: (calls, call) => calls.close(call),
  fcntl: (calls, call) => calls.fcntl(call),
  getsockopt: (calls, call) => calls.getOption(call),
  setsockopt: (calls, call) => calls.setOption(call),
  poll: (calls, call) => calls.poll(call),
  ioctl: (calls, call) => calls.ioctl(call),
  // A file, and what is sent of it: its bytes are not looked at.
  open: (_calls, call) => call.result ?? 5,
  sendfile: (calls, call) => calls.write(call, numeric(call.args[3]), 0),
  epoll_create: (calls, call) => {
    calls.epolls.set(call.result ?? 5, new Epoll());
    return call.result ?? 5;
  },
  epoll_ctl: epollControl,
  epoll_wait: epollWait,
};

/** Options of scripts about what this stack does not have. */
const NOT_BUILT: Readonly<Record<string, string>> = {
  SO_ZEROCOPY: 'there are no pages to lend',
  SO_TIMESTAMPING: 'there is no error queue',
  TCP_INQ: 'there are no control messages',
  TCP_MD5SIG: 'there are no signatures',
  TCP_REPAIR: 'states are not set from outside',
  SO_MAX_PACING_RATE: 'there is no rate to be set',
};

const NONBLOCK = 0o4000;
const MORE: Readonly<Record<string, number>> = {
  O_RDWR: 2,
  O_NONBLOCK: NONBLOCK,
  SOCK_NONBLOCK: NONBLOCK,
  IPPROTO_MPTCP: 262,
  EPOLLIN: 1,
  EPOLLPRI: 2,
  EPOLLOUT: 4,
  EPOLLERR: 8,
  EPOLLHUP: 16,
  EPOLLRDHUP: 0x2000,
  EPOLLET: 1 << 31,
  EPOLLONESHOT: 1 << 30,
  EPOLLEXCLUSIVE: 1 << 28,
};
