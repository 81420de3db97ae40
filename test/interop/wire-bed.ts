// Two hosts with one or two emulated links between them, each host a kernel in a namespace of its own or our stack:
// so that kernels with each other, our stack with a kernel and our stack with itself meet over identical networks.
//
// Decides: addresses and routes – the client has one address a link, the server one that is reached over all of them –
// and how a kernel joins: a client from its second address, a server's answer back over the link it came by.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { EmulatedPath } from '../../src/emulator/emulated-path.ts';
import { HostEnd, LinkEmulator, type LinkEnd, TunEnd } from '../../src/emulator/link-emulator.ts';
import { openTunDevice, type TunDevice } from '../../src/link/tun-device.ts';
import { type MiddleboxPlan, type PathOptions, Random } from '../../src/netmodel/index.ts';
import { KernelPeer } from './kernel-peer.ts';
import { addNamespace } from './netns.ts';
import { OurHost } from './our-host.ts';

export type HostKind = 'linux' | 'ours';

export interface WireBedOptions {
  readonly client: HostKind;
  readonly server: HostKind;
  /** One or two. */
  readonly links: readonly WireLink[];
  /** DSS checksums, at both ends. */
  readonly checksum: boolean;
  /** The server announces a second address. */
  readonly announces?: boolean;
  readonly seed: number;
}

export interface WireLink {
  readonly link: PathOptions;
  readonly middleboxes: readonly MiddleboxPlan[];
}

/** One host: `peer` where a kernel is it, else `ours` with an interface a link. */
export interface WireHost {
  readonly peer: KernelPeer | undefined;
  readonly ours: OurHost | undefined;
  readonly interfaces: readonly number[];
}

export const SERVER_ADDRESS = '10.77.0.1';
/** The one it announces where it does. */
export const SECOND_SERVER_ADDRESS = '10.77.9.1';
const clientAddress = (link: number): string => `10.77.${link}.2`;

export class WireBed {
  readonly client: WireHost;
  readonly server: WireHost;
  readonly #emulators: LinkEmulator[] = [];
  readonly #namespaces: string[] = [];
  readonly #devices: Map<string, { namespace: string; devices: readonly TunDevice[] }> = new Map();

  static async open(options: WireBedOptions): Promise<WireBed> {
    const bed = new WireBed(options);
    try {
      await Promise.all([
        bed.#configure(bed.client, 'client', options),
        bed.#configure(bed.server, 'server', options),
      ]);
    } catch (error) {
      await bed.close();
      throw error;
    }
    return bed;
  }

  private constructor(options: WireBedOptions) {
    const near = this.#makeHost('client', options);
    const far = this.#makeHost('server', options);
    this.client = near.host;
    this.server = far.host;
    const random = new Random(options.seed);
    for (const [i, { link, middleboxes }] of options.links.entries()) {
      const path = new EmulatedPath({ forward: link, backward: link, middleboxes, random: random.fork(i) });
      this.#emulators.push(new LinkEmulator({ path, near: near.ends[i], far: far.ends[i] }));
    }
  }

  /** Time begins on all links; before, nothing passes. */
  start(): void {
    for (const emulator of this.#emulators) emulator.start();
  }

  async close(): Promise<void> {
    this.client.ours?.close();
    this.server.ours?.close();
    for (const emulator of this.#emulators) emulator.close();
    await Promise.all([this.client.peer?.close(), this.server.peer?.close()]);
    await Promise.all(this.#namespaces.map(name => execute('ip', ['netns', 'del', name])));
  }

  #makeHost(side: 'client' | 'server', options: WireBedOptions): { host: WireHost; ends: LinkEnd[] } {
    if (options[side] === 'ours') {
      const ours = new OurHost({ checksum: options.checksum });
      const ends = options.links.map(
        (_, i) => new HostEnd({ address: side === 'client' ? clientAddress(i) : SERVER_ADDRESS, mtu: 1500 }),
      );
      return { host: { peer: undefined, ours, interfaces: ends.map(end => ours.attach(end)) }, ends };
    }
    const { name, devicePrefix } = addNamespace();
    this.#namespaces.push(name);
    const devices = options.links.map((_, i) =>
      openTunDevice({ name: `${devicePrefix}${i}`, offload: false }),
    );
    this.#devices.set(side, { namespace: name, devices });
    return {
      host: { peer: new KernelPeer(name), ours: undefined, interfaces: [] },
      ends: devices.map(device => new TunEnd(device)),
    };
  }

  async #configure(host: WireHost, side: 'client' | 'server', options: WireBedOptions): Promise<void> {
    const made = this.#devices.get(side);
    if (made === undefined || host.peer === undefined) return;
    const names = made.devices.map(({ name }) => name);
    for (const name of names) await execute('ip', ['link', 'set', name, 'netns', made.namespace]);
    await host.peer.sysctl({
      // Nothing is blamed on a middlebox for later connections; the rest is as the kernel comes.
      'net.mptcp.blackhole_timeout': 0,
      'net.mptcp.checksum_enabled': options.checksum ? 1 : 0,
      'net.ipv4.conf.all.rp_filter': 0,
      'net.ipv4.conf.default.rp_filter': 0,
    });
    for (const name of names) {
      await host.peer.sysctl({
        [`net.ipv6.conf.${name}.disable_ipv6`]: 1,
        [`net.ipv4.conf.${name}.rp_filter`]: 0,
      });
    }
    const lines = ['link set lo up', ...names.map(name => `link set ${name} mtu 1500 txqueuelen 10000 up`)];
    lines.push(...(side === 'client' ? clientLines(names) : serverLines(names, options)));
    await batch(made.namespace, lines);
  }
}

/** Each address speaks over its own link; the second is there to join from. */
function clientLines(devices: readonly string[]): string[] {
  const lines: string[] = [];
  for (const [i, device] of devices.entries()) {
    lines.push(`addr add ${clientAddress(i)}/32 dev ${device}`);
    lines.push(`route add default dev ${device} src ${clientAddress(i)} table ${100 + i}`);
    lines.push(`rule add from ${clientAddress(i)} lookup ${100 + i}`);
  }
  lines.push(`route add default dev ${devices[0]} src ${clientAddress(0)}`);
  if (devices.length > 1) lines.push(`mptcp endpoint add ${clientAddress(1)} dev ${devices[1]} subflow`);
  return lines;
}

/** One address over all links; answers go by the client's address, or the one a translator shows. */
function serverLines(devices: readonly string[], { links, announces }: WireBedOptions): string[] {
  const lines = [`addr add ${SERVER_ADDRESS}/32 dev ${devices[0]}`];
  for (const [i, device] of devices.entries()) {
    lines.push(`route add ${clientAddress(i)} dev ${device} src ${SERVER_ADDRESS}`);
    for (const box of links[i].middleboxes) {
      if (box.type === 'translate')
        lines.push(`route add ${box.address} dev ${device} src ${SERVER_ADDRESS}`);
    }
  }
  if (announces) {
    lines.push(`addr add ${SECOND_SERVER_ADDRESS}/32 dev ${devices[0]}`);
    lines.push(`mptcp endpoint add ${SECOND_SERVER_ADDRESS} signal`);
  }
  return lines;
}

function batch(namespace: string, lines: readonly string[]): Promise<unknown> {
  const running = execute('ip', ['-n', namespace, '-batch', '-']);
  running.child.stdin?.end(lines.map(line => `${line}\n`).join(''));
  return running;
}

const execute = promisify(execFile);
