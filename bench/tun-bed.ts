// Where `bench -- tun` measures: a network namespace with the kernel as a host in it, and TUN devices between
// it and this process; a second namespace joined by veth, for the kernel with itself.
//
// Decides: names, addresses, and what a device needs besides (a queue that holds a window of small packets).
// Next: tun-endpoints.ts has somebody send or receive at our end; kernel_end.py is the other end.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The kernel's address on device `i`, and that of our end. */
export const kernelAddress = (i: number): string => `10.77.${i}.1`;
export const ourAddress = (i: number): string => `10.77.${i}.2`;
/** The second kernel's, behind veth pair `i`. */
export const secondKernelAddress = (i: number): string => `10.78.${i}.2`;

/** How long a transfer runs before it counts, and how long it counts. */
export const WARM_UP_SECONDS = 2;
export const SECONDS = 1;

/** Why this machine cannot do it; undefined when it can. */
export function impediment(): string | undefined {
  if (process.platform !== 'linux') return 'TUN devices are measured on Linux';
  if (process.getuid?.() !== 0) return 'network namespaces and TUN devices need root: run as root';
  if (!existsSync('/dev/net/tun')) return 'there is no /dev/net/tun: modprobe tun';
  const enabled = '/proc/sys/net/mptcp/enabled';
  if (!existsSync(enabled) || readFileSync(enabled, 'utf8').trim() !== '1') {
    return 'the kernel to measure against has no Multipath TCP (net.mptcp.enabled)';
  }
  for (const [program, argument] of [
    ['ip', '-V'],
    ['python3', '-V'],
  ]) {
    try {
      execFileSync(program, [argument], { stdio: 'ignore' });
    } catch {
      return `the program ${program} is needed`;
    }
  }
  return undefined;
}

/** The two namespaces; whoever makes them removes them. */
export class Namespaces {
  readonly first: string = `mptcp-bench-${process.pid}`;
  readonly second: string = `mptcp-bench-${process.pid}-2`;

  constructor() {
    for (const name of [this.first, this.second]) {
      ip('netns', 'add', name);
      ip('-n', name, 'link', 'set', 'lo', 'up');
    }
  }

  /**
   * Veth pairs between the two, without offload if told so; new ones each time. The second kernel announces its
   * address on every pair but the first.
   */
  join(offload: boolean, pairs: number): void {
    const { first, second } = this;
    for (let i = 0; i < pairs; i++) {
      ip('-n', first, ...`link add ve${i}a type veth peer name ve${i}b netns ${second}`.split(' '));
      ip('-n', first, ...`addr add 10.78.${i}.1/24 dev ve${i}a`.split(' '));
      ip('-n', second, ...`addr add ${secondKernelAddress(i)}/24 dev ve${i}b`.split(' '));
      ip('-n', first, ...`link set ve${i}a txqueuelen 10000 up`.split(' '));
      ip('-n', second, ...`link set ve${i}b txqueuelen 10000 up`.split(' '));
      if (i > 0)
        ip('-n', second, ...`mptcp endpoint add ${secondKernelAddress(i)} id ${i} signal`.split(' '));
      if (offload) continue;
      ip('netns', 'exec', first, 'python3', SCRIPT, 'plain', `ve${i}a`);
      ip('netns', 'exec', second, 'python3', SCRIPT, 'plain', `ve${i}b`);
    }
    for (const namespace of [first, second]) {
      ip(
        '-n',
        namespace,
        ...`mptcp limits set subflows ${pairs - 1} add_addr_accepted ${pairs - 1}`.split(' '),
      );
    }
  }

  part(pairs: number): void {
    ip('-n', this.second, 'mptcp', 'endpoint', 'flush');
    for (let i = 0; i < pairs; i++) ip('-n', this.first, 'link', 'del', `ve${i}a`);
  }

  /** Joins that the second kernel has completed since this was made. */
  get joins(): number {
    const text = execFileSync('ip', ['netns', 'exec', this.second, 'cat', '/proc/net/netstat']).toString();
    const [names, values] = text.split('\n').filter(line => line.startsWith('MPTcpExt: '));
    return Number(values.split(' ')[names.split(' ').indexOf('MPJoinAckRx')]);
  }

  remove(): void {
    for (const name of [this.first, this.second]) ip('netns', 'del', name);
  }
}

/** Moves an open device of this process into the namespace and gives the kernel its address there. */
export function placeDevice(namespace: string, name: string, i: number): void {
  ip('link', 'set', name, 'netns', namespace);
  // The default queue of 500 overflows when a window arrives in packets of 1,500 bytes.
  ip('-n', namespace, ...`link set ${name} mtu 1500 txqueuelen 10000 up`.split(' '));
  ip('-n', namespace, ...`addr add ${kernelAddress(i)}/24 dev ${name}`.split(' '));
}

/** One end of a connection in the kernel of a namespace. */
export class KernelEnd {
  /** Of the one that listens. */
  readonly port: Promise<number>;
  /** What a sink received, in Gbit/s. */
  readonly gbitPerSecond: Promise<number>;
  readonly #child: ChildProcess;

  constructor(namespace: string, role: KernelRole) {
    const { address, port, work } = role;
    const end = port === undefined ? ['listen', address, '0'] : ['connect', address, `${port}`];
    const times = [`${WARM_UP_SECONDS}`, `${SECONDS}`];
    const command = ['netns', 'exec', namespace, 'python3', SCRIPT, ...end, work, ...times];
    this.#child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: this.#child.stdout! });
    const answer = (word: string): Promise<number[]> =>
      new Promise((resolve, reject) => {
        lines.on('line', line => {
          const [first, ...numbers] = line.split(' ');
          if (first === word) resolve(numbers.map(Number));
        });
        lines.on('close', () => reject(new Error(`the kernel's end is gone without its ${word}`)));
      });
    this.port = answer('port').then(([number]) => number);
    this.gbitPerSecond = answer('rate').then(([bytes, seconds]) => (bytes * 8) / seconds / 1e9);
    // Who does not listen, or does not receive, has nothing to say.
    this.port.catch(() => {});
    this.gbitPerSecond.catch(() => {});
  }

  /** Resolves when it has ended: devices go afterwards. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill();
    await once(this.#child, 'exit');
  }
}

/** Without a port it listens at the address, else it connects to it. */
export interface KernelRole {
  readonly address: string;
  readonly port?: number;
  readonly work: 'flood' | 'sink';
}

function ip(...parameters: string[]): void {
  execFileSync('ip', parameters, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** Python is not built: it lies in the source folder. */
const SCRIPT: string = fileURLToPath(new URL('../../bench/kernel_end.py', import.meta.url));
