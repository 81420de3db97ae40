// The links of a host: one for each local address in use, opened when first needed.
//
// Decides: when this machine's addresses are looked at again (every two seconds while somebody cares, and at
// once after a sleep), and what follows: an address that has gone takes its interface with it, one that has
// appeared is offered to every connection and to every server that listens everywhere. And when nobody uses
// the network any more: without users and without connections that still wait for stray packets.
// Walk: api/dial and api/server open ports here; api/session is told of changes.

import type { Link, PortedLink, RemoteEndpoint } from '../link/index.ts';
import { UdpLink } from '../link/index.ts';
import { type AddressLister, type LocalAddress, localAddresses } from './addresses.ts';
import { Alarm, monotonicMs, wallClockMs } from './clock.ts';
import type { Driver, PortObserver } from './driver.ts';
import { type NetworkNamer, networkName } from './gateways.ts';
import type { TunAddresses } from './tun-addresses.ts';

/** A local address in use. */
export interface NetworkInterface {
  readonly id: number;
  readonly address: string;
  readonly link: PortedLink;
}

/** Told when local addresses come and go. */
export interface AddressObserver {
  addressAppeared(address: LocalAddress): void;
  /** Its interface is gone already. */
  addressVanished(address: LocalAddress): void;
}

/** Told about a port it opened. */
export interface PortOwner {
  portRefused(localPort: number): void;
}

/** How a network is made. */
export interface NetworkOptions {
  readonly driver: Driver;
  readonly mtu?: number;
  /** Tests hand in their own. */
  readonly addresses?: AddressLister;
  readonly nameNetwork?: NetworkNamer;
  /** Links lead through TUN devices instead of UDP sockets. */
  readonly tun?: TunAddresses;
  /** Puts a recorder around a link. */
  readonly record?: (link: PortedLink) => PortedLink;
  /** Nobody uses the network: it has closed its links, and is not used again. Absent: it stays. */
  readonly onIdle?: () => void;
}

/** The interfaces of one host. */
export class Network implements PortObserver {
  /** Present where links lead through TUN devices. */
  readonly tun: TunAddresses | undefined;
  readonly #driver: Driver;
  readonly #mtu: number | undefined;
  readonly #record: (link: PortedLink) => PortedLink;
  readonly #onIdle: (() => void) | undefined;
  readonly #list: AddressLister;
  readonly #nameNetwork: NetworkNamer;
  readonly #byAddress: Map<string, NetworkInterface> = new Map();
  readonly #byId: Map<number, NetworkInterface> = new Map();
  readonly #owners: Map<string, PortOwner> = new Map();
  readonly #observers: Set<AddressObserver> = new Set();
  readonly #alarm: Alarm = new Alarm(() => this.#poll());
  readonly #idleAlarm: Alarm = new Alarm(() => this.#closeWhenIdle());
  #users = 0;
  #retired: { readonly over: NetworkInterface; readonly localPort: number }[] = [];
  #known: LocalAddress[] = [];
  #wallMinusMonotonicMs = 0;
  #wakes = 0;

  constructor(options: NetworkOptions) {
    this.#driver = options.driver;
    this.#mtu = options.mtu;
    this.#list = options.addresses ?? localAddresses;
    this.#nameNetwork = options.nameNetwork ?? networkName;
    this.tun = options.tun;
    this.#record = options.record ?? (link => link);
    this.#onIdle = options.onIdle;
    options.driver.observePorts(this);
  }

  /** How often the machine was found to have slept. */
  get wakes(): number {
    return this.#wakes;
  }

  /** Somebody uses the network, until `leave`. */
  enter(): void {
    this.#users++;
    this.#idleAlarm.cancel();
  }

  leave(): void {
    this.#users--;
    if (this.#users === 0 && this.#onIdle !== undefined) this.#idleAlarm.set(IDLE_MS);
  }

  /** The addresses this machine has now. */
  addresses(): LocalAddress[] {
    return this.#list();
  }

  /** The interface of a local address. */
  interfaceFor(address: string): NetworkInterface {
    const known = this.#byAddress.get(address);
    if (known !== undefined) return known;
    const link = this.#record(this.#openLink(address));
    const local = this.#list().find(listed => listed.address === address);
    const network = local === undefined ? undefined : this.#nameNetwork(local);
    const opened = { id: this.#driver.attach(link, network), address, link };
    this.#byAddress.set(address, opened);
    this.#byId.set(opened.id, opened);
    return opened;
  }

  interfaceById(id: number): NetworkInterface | undefined {
    return this.#byId.get(id);
  }

  /** Opens a flow of `owner`'s; resolves to its local port. */
  async openFlow(over: NetworkInterface, remote: RemoteEndpoint, owner: PortOwner): Promise<number> {
    const localPort = await over.link.openFlow(remote);
    this.handFlow(over, localPort, owner);
    return localPort;
  }

  /** Whoever opened a flow hands it on. */
  handFlow(over: NetworkInterface, localPort: number, owner: PortOwner): void {
    // Port 0 is one that the host chooses: nobody but the host hears of it.
    if (localPort !== 0) this.#owners.set(keyOf(over.id, localPort), owner);
  }

  /** Gives back a port that the host was never told of. */
  closeFlow(over: NetworkInterface, localPort: number): void {
    this.#owners.delete(keyOf(over.id, localPort));
    over.link.releasePort(localPort);
  }

  /**
   * Gives back a listener's port. While connections it accepted still use the socket, it stays open behind
   * them; nobody says when they are through, so it is looked after with the addresses.
   */
  closeListener(address: string, localPort: number): void {
    const over = this.#byAddress.get(address);
    if (over === undefined) return;
    if (!this.#inUse(localPort)) {
      over.link.releasePort(localPort);
      return;
    }
    over.link.retirePort(localPort);
    this.#retired.push({ over, localPort });
    if (!this.#alarm.armed) this.#startPolling();
  }

  /** Counts everywhere, summed over the links that are open. */
  linkCounters(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { link } of this.#byAddress.values()) addCounters(sums, link);
    return sums;
  }

  /** UDP sockets open now. */
  get openPorts(): number {
    let ports = 0;
    for (const { link } of this.#byAddress.values()) ports += link.openPorts;
    return ports;
  }

  observe(observer: AddressObserver): void {
    if (!this.#watching) this.#startPolling();
    this.#observers.add(observer);
  }

  unobserve(observer: AddressObserver): void {
    this.#observers.delete(observer);
    if (!this.#watching) this.#alarm.cancel();
  }

  portRefused(interfaceId: number, localPort: number): void {
    this.#owners.get(keyOf(interfaceId, localPort))?.portRefused(localPort);
  }

  portReleased(interfaceId: number, localPort: number): void {
    this.#owners.delete(keyOf(interfaceId, localPort));
  }

  /** Looks at the addresses now. */
  refresh(): void {
    const before = this.#known;
    const now = this.#list();
    this.#known = now;
    const had = new Set(before.map(local => local.address));
    const has = new Set(now.map(local => local.address));
    for (const local of before) if (!has.has(local.address)) this.#vanish(local);
    for (const local of now) {
      if (had.has(local.address)) continue;
      for (const observer of [...this.#observers]) observer.addressAppeared(local);
    }
  }

  #openLink(address: string): PortedLink {
    if (this.tun !== undefined) return this.tun.open(address);
    return new UdpLink({ address, ...(this.#mtu === undefined ? {} : { mtu: this.#mtu }) });
  }

  #closeWhenIdle(): void {
    if (this.#users > 0) return;
    for (const _ of this.#driver.host.connections) {
      this.#idleAlarm.set(IDLE_MS);
      return;
    }
    this.#alarm.cancel();
    for (const { id } of this.#byId.values()) this.#driver.detach(id);
    this.#byAddress.clear();
    this.#byId.clear();
    this.#onIdle?.();
  }

  #vanish(local: LocalAddress): void {
    const gone = this.#byAddress.get(local.address);
    if (gone !== undefined) {
      this.#byAddress.delete(local.address);
      this.#byId.delete(gone.id);
      for (const key of [...this.#owners.keys()]) {
        if (key.startsWith(`${gone.id} `)) this.#owners.delete(key);
      }
      this.#driver.detach(gone.id);
    }
    for (const observer of [...this.#observers]) observer.addressVanished(local);
  }

  #startPolling(): void {
    this.#known = this.#list();
    this.#wallMinusMonotonicMs = wallClockMs() - monotonicMs();
    this.#alarm.set(POLL_MS);
  }

  #poll(): void {
    // On most systems the monotonic clock stands still while the machine sleeps, and the wall clock does not.
    const offsetMs = wallClockMs() - monotonicMs();
    if (offsetMs - this.#wallMinusMonotonicMs > SLEEP_MS) this.#wakes++;
    this.#wallMinusMonotonicMs = offsetMs;
    this.refresh();
    this.#closeRetired();
    if (this.#watching) this.#alarm.set(POLL_MS);
  }

  get #watching(): boolean {
    return this.#observers.size > 0 || this.#retired.length > 0;
  }

  #closeRetired(): void {
    this.#retired = this.#retired.filter(({ over, localPort }) => {
      // Somebody may be listening there again.
      if (!over.link.isRetired(localPort)) return false;
      if (this.#inUse(localPort)) return true;
      over.link.releasePort(localPort);
      return false;
    });
  }

  #inUse(localPort: number): boolean {
    for (const connection of this.#driver.host.connections) {
      if (connection.local.port === localPort) return true;
      // A join may have come to this port though the connection began at another.
      if (connection.multipath().subflows.some(({ local }) => local.port === localPort)) return true;
    }
    return false;
  }
}

function keyOf(interfaceId: number, localPort: number): string {
  return `${interfaceId} ${localPort}`;
}

function addCounters(sums: Record<string, number>, link: Link): void {
  for (const [name, count] of Object.entries(link.counters)) sums[name] = (sums[name] ?? 0) + count;
}

const POLL_MS = 2000;
const IDLE_MS = 250;
const SLEEP_MS = 5000;
