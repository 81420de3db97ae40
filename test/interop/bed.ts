// The test bed: a network namespace in which the kernel is one host, TUN devices that lead from it to our stack, and
// what a test needs to say on either side. Made and removed by the test that uses it.
//
// Decides: addresses, and what the kernel may count without anything being wrong.
// A device is made where the test runs and then moved into the namespace, where its other end stays with us.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { after } from 'node:test';
import { inspect } from 'node:util';
import type { Config, Entropy } from '../../src/host/index.ts';
import { Capture, type Link, type LinkSink, Tun } from '../../src/link/index.ts';
import { KernelPeer } from './kernel-peer.ts';
import { addNamespace, run, SYSCTLS, skip } from './netns.ts';
import { OurHost } from './our-host.ts';

export { skip };

export interface BedOptions {
  /** TUN devices, each a network of its own (default 1). */
  readonly devices?: number;
  /** Both sides exchange super-segments and unfinished checksums (default true). */
  readonly offload?: boolean;
  readonly mtu?: number;
  /** A second kernel behind the first, which routes; the link between them has this MTU. */
  readonly farMtu?: number;
  /** Our stack believes its links to be this narrow, and says so in its MSS; the kernel knows nothing of it. */
  readonly ourMtu?: number;
  /** What addresses and interfaces are meant where none is named (default 4). */
  readonly family?: 4 | 6;
  /** DSS checksums on: we ask for them (default false). */
  readonly checksum?: boolean;
  readonly sysctls?: Readonly<Record<string, number | string>>;
  readonly config?: Partial<Config>;
  /** Where our keys, ports and sequence numbers come from (default: the system). */
  readonly entropy?: Entropy;
  /** Commands of `ip` within the namespace, such as `mptcp limits set subflows 4`. */
  readonly ip?: readonly string[];
}

/** The kernel on one side, our stack on the other. */
export class Bed {
  readonly namespace: string;
  readonly family: 4 | 6;
  readonly kernel: KernelPeer;
  readonly ours: OurHost;
  /** The second kernel; only with `farMtu`. */
  far: KernelPeer | undefined;
  /** What lies between: may change a packet in place; false drops it. Checksums are the bed's. */
  middlebox: (outbound: boolean, bytes: Uint8Array, offset: number, device: number) => boolean = () => true;
  /** Interface ids of our host, by device and family. */
  readonly interfaces4: number[] = [];
  readonly interfaces6: number[] = [];
  readonly #tuns: Tun[] = [];
  readonly #dark: Set<number> = new Set();
  readonly #capture: Capture | undefined;
  #closed = false;
  #before: Record<string, Record<string, number>> = {};

  static async open(options: BedOptions = {}): Promise<Bed> {
    const bed = new Bed(options);
    open.add(bed);
    try {
      await bed.#configure(options);
    } catch (error) {
      await bed.close();
      throw error;
    }
    return bed;
  }

  private constructor(options: BedOptions) {
    const namespace = addNamespace();
    this.namespace = namespace.name;
    this.family = options.family ?? 4;
    for (let i = 0; i < (options.devices ?? 1); i++) {
      const name = `${namespace.devicePrefix}${i}`;
      this.#tuns.push(
        new Tun({ name, offload: options.offload ?? true, ...(options.mtu ? { mtu: options.mtu } : {}) }),
      );
    }
    const folder = process.env['MPTCP_INTEROP_PCAP'];
    if (folder !== undefined) {
      const file = `${folder}/${this.namespace}.pcapng`;
      this.#capture = new Capture({
        write: bytes => appendFileSync(file, bytes),
        nowUs: () => (performance.timeOrigin + performance.now()) * 1000,
      });
    }
    this.kernel = new KernelPeer(this.namespace);
    const config = { ...QUICK_END, checksum: options.checksum ?? false, ...options.config };
    this.ours = new OurHost(config, options.entropy);
  }

  /** The kernel's address on a device. */
  kernelAddress(device = 0, family: 4 | 6 = this.family): string {
    return kernelAddress(device, family);
  }

  /** Ours. */
  ourAddress(device = 0, family: 4 | 6 = this.family): string {
    return family === 4 ? `10.77.${device}.2` : `fd77:0:0:${device}::2`;
  }

  interfaces(family: 4 | 6 = this.family): number[] {
    return family === 4 ? this.interfaces4 : this.interfaces6;
  }

  /** The device that an interface of ours is on. */
  deviceOf(interfaceId: number): number {
    return Math.max(this.interfaces4.indexOf(interfaceId), this.interfaces6.indexOf(interfaceId));
  }

  device(index: number): string {
    return this.#tuns[index].name;
  }

  /** Runs `ip` within the namespace. */
  ip(command: string): void {
    run('ip', ['-n', this.namespace, ...command.split(' ')]);
  }

  /** The kernel's counters of one group that have moved since the bed was opened. */
  async moved(group: 'MPTcpExt' | 'TcpExt' | 'Tcp' = 'MPTcpExt'): Promise<Record<string, number>> {
    const now = (await this.kernel.counters())[group] ?? {};
    const changed: Record<string, number> = {};
    for (const [name, value] of Object.entries(now)) {
      const difference = value - (this.#before[group]?.[name] ?? 0);
      if (difference !== 0) changed[name] = difference;
    }
    return changed;
  }

  /** The kernel's worker has counted that: it acts on what it heard when it gets to it. */
  async counted(name: string, least: number): Promise<void> {
    while (!this.#closed && ((await this.moved())[name] ?? 0) < least);
  }

  /**
   * Fails when a counter of the kernel's MPTCP has moved that neither is named in `expected`, with how far, nor
   * belongs to what any healthy connection does.
   */
  async assertCounters(expected: Readonly<Record<string, number | 'any'>>): Promise<void> {
    const moved = await this.moved();
    for (const [name, value] of Object.entries(expected)) {
      if (value !== 'any') moved[name] = (moved[name] ?? 0) - value;
      if (value === 'any' || moved[name] === 0) delete moved[name];
    }
    for (const name of ORDINARY) delete moved[name];
    // While the kernel's reader is kept from the processor with its socket locked, no DATA_ACK comes: we send again.
    if (this.ours.host.counters.MPTCPRetrans > 0) delete moved['DuplicateData'];
    const { TCPChecksumErrors, InCsumErrors, TCPTimeouts } = {
      ...(await this.moved('TcpExt')),
      ...(await this.moved('Tcp')),
    };
    // Nothing is lost here: a kernel whose timers ran out was kept waiting by us, who had no processor.
    const waited = (TCPTimeouts ?? 0) > 0 && moved['SubflowStale'] === moved['SubflowRecover'];
    if (waited) for (const name of ['SubflowStale', 'SubflowRecover']) delete moved[name];
    assert.deepEqual(moved, {}, 'how far counters of the kernel are from what was expected');
    assert.equal((TCPChecksumErrors ?? 0) + (InCsumErrors ?? 0), 0, 'TCP checksums were wrong');
  }

  /** For the report of a failure. */
  async describe(): Promise<string> {
    const connections = [...this.ours.host.connections].map(connection => ({
      error: connection.error,
      reason: connection.errorReason,
      readable: connection.readableBytes,
      unsent: connection.unsentBytes,
      unacknowledged: connection.unacknowledgedBytes,
      ...connection.multipath(),
    }));
    const counted = Object.entries(this.ours.host.counters).filter(([, value]) => value !== 0);
    const lines = {
      ours: connections,
      notices: this.ours.notices(),
      counters: Object.fromEntries(counted),
      kernel: await this.moved(),
      kernelTcp: await this.moved('TcpExt'),
    };
    return `${this.namespace}: ${inspect(lines, { depth: 6, breakLength: 120 })}`;
  }

  async close(): Promise<void> {
    this.#closed = true;
    open.delete(this);
    this.ours.close();
    for (const tun of this.#tuns) tun.close();
    await this.kernel.close();
    await this.far?.close();
    if (this.far !== undefined) run('ip', ['netns', 'del', this.#farNamespace]);
    run('ip', ['netns', 'del', this.namespace]);
  }

  async #configure(options: BedOptions): Promise<void> {
    const lines = ['link set lo up'];
    for (const [i, tun] of this.#tuns.entries()) {
      run('ip', ['link', 'set', tun.name, 'netns', this.namespace]);
      lines.push(`link set ${tun.name} mtu ${tun.mtu} txqueuelen 10000 up`);
      lines.push(`addr add ${this.kernelAddress(i, 4)}/24 dev ${tun.name}`);
      lines.push(`addr add ${this.kernelAddress(i, 6)}/64 dev ${tun.name} nodad`);
    }
    const batch = [...lines, ...(options.ip ?? [])].map(line => `${line}\n`).join('');
    await this.kernel.sysctl({ ...this.#deviceSysctls(), ...SYSCTLS, ...options.sysctls });
    execFileSync('ip', ['-n', this.namespace, '-batch', '-'], { input: batch, stdio: 'pipe' });
    this.#untilHeard();
    for (const [i, tun] of this.#tuns.entries()) {
      for (const family of [4, 6] as const) {
        const link = this.#cut(i, tun.link(this.ourAddress(i, family)), options.ourMtu);
        this.interfaces(family).push(this.ours.attach(this.#capture?.record(link) ?? link));
      }
    }
    if (options.farMtu !== undefined) await this.#addFar(options.farMtu);
    this.#before = await this.kernel.counters();
  }

  /** Until then, which on a busy machine takes a while, the kernel drops what is sent to its IPv6 addresses. */
  #untilHeard(): void {
    const addresses = (): number =>
      run('ip', ['-n', this.namespace, '-6', 'route', 'show', 'table', 'local']).split('local fd77:').length -
      1;
    const until = performance.now() + ADDRESS_LIMIT_MS;
    while (addresses() < this.#tuns.length) {
      if (performance.now() > until) throw new Error('the kernel does not hear its own IPv6 addresses');
    }
  }

  get #farNamespace(): string {
    return `${this.namespace}000`;
  }

  /** The far kernel's address, behind the first one. */
  farAddress(family: 4 | 6): string {
    return family === 4 ? '10.78.0.2' : 'fd78::2';
  }

  async #addFar(mtu: number): Promise<void> {
    const far = this.#farNamespace;
    run('ip', ['netns', 'add', far]);
    this.far = new KernelPeer(far);
    await this.far.sysctl({ 'net.ipv6.conf.default.accept_dad': 0 });
    await this.kernel.sysctl({
      'net.ipv4.ip_forward': 1,
      'net.ipv6.conf.all.forwarding': 1,
      'net.ipv6.conf.default.accept_dad': 0,
    });
    this.ip(`link add far type veth peer name near netns ${far}`);
    this.ip(`link set far mtu ${mtu} up`);
    this.ip('addr add 10.78.0.1/24 dev far');
    this.ip('addr add fd78::1/64 dev far nodad');
    const lines = ['link set lo up', `link set near mtu ${mtu} up`, 'addr add 10.78.0.2/24 dev near'];
    lines.push('addr add fd78::2/64 dev near nodad', 'route add default via 10.78.0.1');
    lines.push('-6 route add default via fd78::1');
    for (const line of lines) run('ip', ['-n', far, ...line.split(' ')]);
  }

  /** Has the kernel reset one of its connections: `from` is its own end. */
  kill(end: { from: { address: string; port: number }; to: { address: string; port: number } }): void {
    const side = (at: { address: string; port: number }): string =>
      at.address.includes(':') ? `[${at.address}]:${at.port}` : `${at.address}:${at.port}`;
    const filter = `src ${side(end.from)} dst ${side(end.to)}`;
    run('ip', ['netns', 'exec', this.namespace, 'ss', '-K', '-t', ...filter.split(' ')]);
  }

  /** Connections of the kernel's that still wait for the third packet of their handshake. */
  halfOpen(): string[] {
    const args = ['netns', 'exec', this.namespace, 'ss', '-Htan', 'state', 'syn-recv'];
    return run('ip', args)
      .split('\n')
      .filter(line => line !== '');
  }

  /** From now on nothing passes a device in either direction, or everything again; nobody is told. */
  darken(device: number, dark = true): void {
    if (dark) this.#dark.add(device);
    else this.#dark.delete(device);
  }

  /** A link that can be darkened, and may be thought narrower than it is. */
  #cut(device: number, link: Link, mtu = link.mtu): Link {
    const dark = this.#dark;
    return new Proxy(link, {
      get: (target, key) => {
        if (key === 'mtu') return mtu;
        if (key === 'send') {
          return (bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void => {
            if (dark.has(device) || !this.middlebox(true, bytes, offset, device)) return;
            target.send(bytes, offset, length, segmentSizeBytes);
          };
        }
        if (key === 'attach') {
          return (sink: LinkSink): void =>
            target.attach({
              ...sink,
              packet: (from, bytes, offset, length) => {
                if (dark.has(device) || !this.middlebox(false, bytes, offset, device)) return;
                sink.packet(from, bytes, offset, length);
              },
            });
        }
        const value = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  #deviceSysctls(): Record<string, number> {
    const values: Record<string, number> = {};
    for (const tun of this.#tuns) {
      values[`net.ipv6.conf.${tun.name}.accept_dad`] = 0;
      values[`net.ipv6.conf.${tun.name}.router_solicitations`] = 0;
    }
    return values;
  }
}

/**
 * Opens a bed for one test and closes it whatever becomes of the test, which has a few seconds. A failure tells what
 * both ends were doing. With MPTCP_INTEROP_PCAP=FOLDER every bed's packets are recorded there.
 */
export async function withBed(options: BedOptions, test: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await Bed.open(options);
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  try {
    await Promise.race([test(bed), limit]);
  } catch (error) {
    (error as Error).stack += `\n${await bed.describe()}`;
    throw error;
  } finally {
    clearTimeout(timer);
    await bed.close();
  }
}

/** Long enough for a kernel that repeats what a lost subflow held, one fragment a timeout; a hang is longer. */
const LIMIT_MS = 30_000;
const ADDRESS_LIMIT_MS = 10_000;

/** The kernel's address on a device, for commands that are given before there is a bed. */
export function kernelAddress(device: number, family: 4 | 6): string {
  return family === 4 ? `10.77.${device}.1` : `fd77:0:0:${device}::1`;
}

/** Windows shared between subflows, connections alive: what any healthy connection does. */
const ORDINARY: readonly string[] = ['SndWndShared', 'RcvWndShared', 'RcvWndConflict', 'MPCurrEstab'];
/** Ours too. */
const QUICK_END: Partial<Config> = { timeWaitMs: 500, finWait2Ms: 2000, closeTimeoutMs: 5000 };
const open: Set<Bed> = new Set();

if (skip === false) {
  after(async () => {
    for (const bed of [...open]) await bed.close();
  });
}
