// Sequences of socket calls as text, and what they are run against: the core in virtual time, or Linux through
// a small Python program in a network namespace of its own. One call a line: `NAME CALL ARGUMENTS -> RESULT`.
//
// near, far… are sockets; `server` and `client` are addresses, `nowhere` one that nobody answers at. Results
// are numbers, names of errors, "text" of recv, poll bits joined by +, or `ok`; `A / B` are those of TCP and
// MPTCP where they differ, `A / B / C` those of Linux's TCP and MPTCP and of the core's MPTCP.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { constants as c, errnoName, type Socket } from '../../src/host/index.ts';
import { bytesOf, recvText, SocketWorld } from './socket-world.ts';

export interface Step {
  readonly socket: string;
  readonly call: string;
  readonly args: readonly string[];
  readonly expected: string;
}

export type Protocol = 'tcp' | 'mptcp';

/** The steps of a script for a protocol; empty lines and lines that begin with # say nothing. */
export function stepsOf(script: string, protocol: Protocol, of: 'core' | 'Linux'): Step[] {
  const steps: Step[] = [];
  const column = protocol === 'tcp' ? 0 : of === 'core' ? 2 : 1;
  for (const line of script.split('\n').map(text => text.trim())) {
    if (line === '' || line.startsWith('#')) continue;
    const [left, right] = line.split(' -> ');
    assert.ok(right !== undefined, `no result: ${line}`);
    const [socket, call, ...args] = left.trim().split(/\s+/);
    const results = right.split(' / ').map(text => text.trim());
    steps.push({ socket, call, args, expected: results[Math.min(column, results.length - 1)] });
  }
  return steps;
}

/** What the core answers to each step. */
export function runCore(steps: readonly Step[], protocol: Protocol): string[] {
  const run = new CoreRun(protocol);
  return steps.map(step => run.step(step));
}

/** What Linux answers to the steps of many scripts; a string says why it cannot be asked. */
export function runLinux(
  jobs: readonly { steps: readonly Step[]; protocol: Protocol }[],
): string[][] | string {
  if (process.platform !== 'linux') return 'needs Linux';
  const input = JSON.stringify(jobs);
  const child = spawnSync('python3', ['-c', PYTHON], { input, encoding: 'utf8', timeout: 120_000 });
  if (child.error !== undefined) return `needs python3 (${child.error.message})`;
  if (child.status === 77) return child.stderr.trim();
  assert.equal(child.status, 0, child.stderr);
  return JSON.parse(child.stdout) as string[][];
}

class CoreRun {
  private readonly world: SocketWorld;
  private readonly sockets: Map<string, Socket> = new Map();

  constructor(protocol: Protocol) {
    this.world = new SocketWorld({ multipath: protocol === 'mptcp' });
    const { passes } = this.world;
    this.world.passes = (packet, from) => packet[16] !== 192 && passes(packet, from);
  }

  step(step: Step): string {
    const result = this.call(step);
    this.world.run(step.call === 'poll' || step.call === 'wait' ? 250 : 10);
    return result;
  }

  private call({ socket: name, call, args }: Step): string {
    const { world } = this;
    if (call === 'socket' || call === 'socket6' || call === 'tcpsocket') {
      const side = name.startsWith('near') ? world.client : world.server;
      const domain = call === 'socket6' ? c.AF_INET6 : c.AF_INET;
      const made = side.socket(domain, c.SOCK_STREAM, call === 'tcpsocket' ? c.IPPROTO_TCP : world.protocol);
      return this.keep(name, made);
    }
    if (call === 'accept') return this.keep(name, this.socket(args[0]).accept(world.now));
    const socket = this.socket(name);
    const result = this.plainCall(socket, call, args);
    if (typeof result === 'string') return result;
    return result < 0 ? errnoName(result) : result === 0 && !VALUED.has(call) ? 'ok' : String(result);
  }

  private plainCall(socket: Socket, call: string, args: readonly string[]): number | string {
    const { now } = this.world;
    switch (call) {
      case 'bind':
        return socket.bind(this.place(args[0]));
      case 'listen':
        return socket.listen(Number(args[0]));
      case 'connect':
        return socket.connect(this.place(args[0]), now);
      case 'send': {
        const bytes = args[0].startsWith('x') ? new Uint8Array(Number(args[0].slice(1))) : bytesOf(args[0]);
        return socket.send(bytes, 0, bytes.length, flagsOf(args[1]), now);
      }
      case 'recv': {
        const text = recvText(socket, now, flagsOf(args[1]), Number(args[0]));
        return /^E[A-Z]/.test(text) ? text : `"${text}"`;
      }
      case 'shutdown':
        return socket.shutdown(numberOf(`SHUT_${args[0]}`), now);
      case 'close':
        return socket.close(now);
      case 'poll':
      case 'wait':
        return pollNames(socket.poll());
      case 'sockname':
      case 'peername': {
        const place = call === 'sockname' ? socket.getsockname() : socket.getpeername();
        if (typeof place === 'number') return place;
        return place.port >= 32_768 ? 'ephemeral' : String(place.port);
      }
      case 'set':
        return socket.setsockopt(levelOf(args[0]), numberOf(args[0]), optionValue(args[1]), now);
      case 'get': {
        const value = socket.getsockopt(levelOf(args[0]), numberOf(args[0]), now);
        if (value === -1) return '-1';
        if (args[0] === 'SO_ERROR') return Number(value) === 0 ? '0' : errnoName(Number(value));
        return typeof value === 'object' ? Object.values(value).join(',') : value;
      }
    }
    throw new Error(`no call ${call}`);
  }

  private keep(name: string, made: Socket | number): string {
    if (typeof made === 'number') return errnoName(made);
    this.sockets.set(name, made);
    return 'ok';
  }

  private socket(name: string): Socket {
    const socket = this.sockets.get(name);
    assert.ok(socket, `no socket ${name}`);
    return socket;
  }

  private place(text: string): { address: string; port: number } {
    const [host, port] = text.split(':');
    const { serverAddress, clientAddress } = this.world;
    const known: Record<string, string> = {
      server: serverAddress,
      client: clientAddress,
      any: '0.0.0.0',
      any6: '::',
      foreign: '203.0.113.9',
      nowhere: '192.0.2.1',
      six: 'fd00::9',
      mapped: `::ffff:${serverAddress}`,
    };
    return { address: known[host], port: Number(port) };
  }
}

/** Calls whose 0 is a value. */
const VALUED: ReadonlySet<string> = new Set(['get', 'send', 'poll', 'wait']);

function flagsOf(text: string | undefined): number {
  return (text ?? '')
    .split('+')
    .filter(name => name !== '')
    .reduce((sum, name) => sum | numberOf(name), 0);
}

function numberOf(name: string): number {
  const value = (c as Readonly<Record<string, number>>)[name];
  assert.ok(value !== undefined, `no constant ${name}`);
  return value;
}

function levelOf(name: string): number {
  const level = name.startsWith('SO_') ? 'SOCKET' : name.split('_')[0];
  return numberOf(`SOL_${level}`);
}

function optionValue(text: string): number | string | object {
  if (text.includes(',')) {
    const [onoff, linger] = text.split(',').map(Number);
    return { onoff, linger };
  }
  return /^-?\d+$/.test(text) ? Number(text) : text;
}

function pollNames(bits: number): string {
  const names = ['IN', 'OUT', 'ERR', 'HUP', 'RDHUP'].filter(name => (bits & numberOf(`POLL${name}`)) !== 0);
  return names.join('+') || '0';
}

/** Runs the same steps with the kernel's sockets; `poll`, and what waits for the peer, try for a while. */
const PYTHON = `
import ctypes, errno, json, os, select, socket, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
def fresh_namespace():
    if libc.unshare(0x40000000) != 0:
        sys.stderr.write('needs a network namespace of its own: ' + os.strerror(ctypes.get_errno()))
        sys.exit(77)
    try:
        subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
        subprocess.run(['ip', 'route', 'add', '192.0.2.0/24', 'dev', 'lo'], check=True)
    except OSError as problem:
        sys.stderr.write('needs ip: ' + str(problem))
        sys.exit(77)

POLL = {'IN': 1, 'OUT': 4, 'ERR': 8, 'HUP': 16, 'RDHUP': 0x2000}
PLACES = {'server': '127.0.0.1', 'client': '127.0.0.1', 'any': '0.0.0.0', 'any6': '::', 'six': '::1',
          'foreign': '203.0.113.9', 'nowhere': '192.0.2.1', 'mapped': '::ffff:127.0.0.1'}
LEVELS = {'SO': 1, 'TCP': 6, 'IP': 0, 'IPV6': 41, 'MPTCP': 284}
EXTRA = {'TCP_IS_MPTCP': 43, 'SO_DOMAIN': 39, 'SO_PROTOCOL': 38, 'TCP_FASTOPEN_CONNECT': 30, 'SO_RCVLOWAT': 18,
         'TCP_NOTSENT_LOWAT': 25, 'TCP_USER_TIMEOUT': 18, 'TCP_QUICKACK': 12, 'TCP_LINGER2': 8, 'TCP_SYNCNT': 7,
         'TCP_DEFER_ACCEPT': 9, 'TCP_WINDOW_CLAMP': 10, 'TCP_CONGESTION': 13, 'SO_REUSEPORT': 15, 'IP_TTL': 2,
         'IPV6_UNICAST_HOPS': 16, 'IPV6_TCLASS': 67, 'TCP_FASTOPEN': 23, 'SO_SNDLOWAT': 19, 'TCP_MD5SIG': 14,
         'IP_MTU': 14, 'IP_MTU_DISCOVER': 10, 'IP_BIND_ADDRESS_NO_PORT': 24, 'TCP_RTO_MAX_MS': 44, 'SO_PEERCRED': 17, 'SO_OOBINLINE': 10, 'SO_PRIORITY': 12, 'SO_BROADCAST': 6}

def named(number):
    return 'EOPNOTSUPP' if number == errno.EOPNOTSUPP else errno.errorcode.get(number, str(number))

def option(name):
    return EXTRA.get(name) or getattr(socket, name)

def flags(text):
    return sum(getattr(socket, name) for name in text.split('+')) if text else 0

def bits(sock):
    poller = select.poll()
    poller.register(sock, sum(POLL.values()))
    found = poller.poll(0)
    set_ = found[0][1] if found else 0
    return '+'.join(name for name in POLL if set_ & POLL[name]) or '0'

def place(sock, text):
    host, port = text.split(':')
    return (PLACES[host], int(port))

def until(condition):
    end = time.monotonic() + 2
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)

def call(sockets, step, protocol):
    name, what, args, expected = step['socket'], step['call'], step['args'], step['expected']
    if what in ('socket', 'socket6', 'tcpsocket'):
        family = socket.AF_INET6 if what == 'socket6' else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM, 262 if protocol == 'mptcp' and what != 'tcpsocket' else 0)
        made.setblocking(False)
        sockets[name] = made
        return 'ok'
    if what == 'accept':
        listener = sockets[args[0]]
        if expected == 'ok':
            until(lambda: 'IN' in bits(listener))
        made = listener.accept()[0]
        made.setblocking(False)
        sockets[name] = made
        return 'ok'
    sock = sockets[name]
    if what == 'bind':
        sock.bind(place(sock, args[0]))
    elif what == 'listen':
        sock.listen(int(args[0]))
    elif what == 'connect':
        sock.connect(place(sock, args[0]))
    elif what == 'send':
        data = bytes(int(args[0][1:])) if args[0].startswith('x') else args[0].encode()
        return str(sock.send(data, flags(args[1] if len(args) > 1 else '')))
    elif what == 'recv':
        if expected.startswith('"') and 'MSG_OOB' not in args:
            until(lambda: 'IN' in bits(sock))
        return '"' + sock.recv(int(args[0]), flags(args[1] if len(args) > 1 else '')).decode() + '"'
    elif what == 'shutdown':
        sock.shutdown(getattr(socket, 'SHUT_' + args[0]))
    elif what == 'close':
        sock.close()
    elif what in ('poll', 'wait'):
        until(lambda: bits(sock) == expected)
        return bits(sock)
    elif what in ('sockname', 'peername'):
        port = (sock.getsockname() if what == 'sockname' else sock.getpeername())[1]
        return 'ephemeral' if port >= 32768 else str(port)
    elif what == 'set':
        level = LEVELS[args[0].split('_')[0]]
        value = args[1]
        if ',' in value:
            value = struct.pack('ii', *map(int, value.split(',')))
        elif value.lstrip('-').isdigit():
            value = int(value)
        else:
            value = value.encode()
        sock.setsockopt(level, option(args[0]), value)
    elif what == 'get':
        level = LEVELS[args[0].split('_')[0]]
        if args[0] == 'SO_LINGER':
            return ','.join(map(str, struct.unpack('ii', sock.getsockopt(level, option(args[0]), 8))))
        if args[0] == 'TCP_CONGESTION':
            return sock.getsockopt(level, option(args[0]), 16).split(bytes(1))[0].decode()
        value = sock.getsockopt(level, option(args[0]))
        if args[0] == 'SO_ERROR':
            return named(value) if value else '0'
        return str(value)
    else:
        raise ValueError(what)
    return 'ok'

results = []
for job in json.load(sys.stdin):
    fresh_namespace()
    sockets, answers = {}, []
    for step in job['steps']:
        try:
            answers.append(call(sockets, step, job['protocol']))
        except OSError as problem:
            answers.append(named(problem.errno))
    results.append(answers)
    for sock in sockets.values():
        sock.close()
print(json.dumps(results))
`;
