// Decides which addresses of a host its connections are to use or to announce, and how many subflows they may
// have: the table that `ip mptcp endpoint` and `ip mptcp limits` keep in Linux, for connections that follow
// it. Changes act on live connections and on those to come.
// Read: RFC 8684 §3.4, ip-mptcp(8). Before: the application. After: paths/managed, for each connection.

import { formatWords, parseAddress } from '../../wire/index.ts';
import type { Managed } from './managed.ts';

export interface EndpointOptions {
  /** Address literal. */
  address: string;
  /** Announced with the address; only with `signal` and without `subflow`. */
  port?: number;
  /** 1 to 255; the next free one when left out. */
  id?: number;
  /** Announce it to peers (ADD_ADDR). */
  signal?: boolean;
  /** Open a subflow from it, as the client of a connection. */
  subflow?: boolean;
  /** Its subflows carry data only where no others can. */
  backup?: boolean;
  /** Subflows to every address of the peer, not only the first; not with `signal`. */
  fullmesh?: boolean;
}

/** One line of the table. */
export interface EndpointEntry {
  readonly id: number;
  readonly address: string;
  readonly port: number;
  readonly signal: boolean;
  readonly subflow: boolean;
  readonly backup: boolean;
  readonly fullmesh: boolean;
  readonly family: 4 | 6;
  readonly words: Int32Array;
}

export interface EndpointLimits {
  /** Subflows beside the first (Linux's default: 2, at most 8). */
  readonly subflows: number;
  /** Announced addresses of the peer that a connection joins (Linux's default: 0, at most 8). */
  readonly addAddrAccepted: number;
}

export class Endpoints {
  private readonly entries: EndpointEntry[] = [];
  private readonly live: Set<Managed> = new Set();
  private nextId = 1;
  private inForce: EndpointLimits = { subflows: 2, addAddrAccepted: 0 };

  /** By id. */
  get list(): readonly EndpointEntry[] {
    return this.entries;
  }

  get limits(): EndpointLimits {
    return this.inForce;
  }

  /** Adds an endpoint; returns its id. Throws RangeError, which says what is wrong, when it does not go. */
  add(options: EndpointOptions, now: number): number {
    const words = new Int32Array(4);
    const family = parseAddress(options.address, words);
    const { port = 0, signal = false, subflow = false, backup = false, fullmesh = false } = options;
    const address = formatWords(words);
    const id = options.id ?? this.freeId();
    if (family === 0) throw new RangeError(`'${options.address}' is not an IP address`);
    refuse(!within(port, 0, 65_535), `port ${port} is not within 0 and 65,535`);
    refuse(port !== 0 && (!signal || subflow), `port ${port} goes with signal, and not with subflow`);
    refuse(signal && fullmesh, 'signal and fullmesh do not go together: fullmesh is for subflow');
    refuse(this.entries.length >= MOST, `there are ${MOST} endpoints, and may not be more: remove one first`);
    refuse(this.find(words, port) !== undefined, `${address} is an endpoint already: change or remove it`);
    refuse(!within(id, 1, 255), `id ${id} is not within 1 and 255`);
    refuse(this.byId(id) !== undefined, `id ${id} is taken by ${this.byId(id)?.address}`);
    this.nextId = (id % 255) + 1;
    this.entries.push({ id, address, port, signal, subflow, backup, fullmesh, family, words });
    this.entries.sort((a, b) => a.id - b.id);
    for (const managed of this.live) managed.work(now);
    return id;
  }

  /** Takes an endpoint away: its subflows end, and peers are told (REMOVE_ADDR). False: there is none. */
  remove(id: number, now: number): boolean {
    const i = this.entries.findIndex(entry => entry.id === id);
    if (i < 0) return false;
    const [gone] = this.entries.splice(i, 1);
    for (const managed of this.live) managed.removed(gone, now);
    return true;
  }

  flush(now: number): void {
    for (const { id } of [...this.entries]) this.remove(id, now);
  }

  /** Changes flags of an endpoint: `backup` is told to peers (MP_PRIO). False: there is none. */
  change(id: number, flags: { backup?: boolean; fullmesh?: boolean }, now: number): boolean {
    const i = this.entries.findIndex(entry => entry.id === id);
    if (i < 0) return false;
    const entry = { ...this.entries[i], ...flags };
    this.entries[i] = entry;
    for (const managed of this.live) managed.changed(entry, now);
    return true;
  }

  /** Changes the limits. Throws RangeError for more than Linux admits. */
  limit(limits: Partial<EndpointLimits>, now: number): void {
    for (const [name, value] of Object.entries(limits)) {
      refuse(!within(value, 0, MOST), `${name} ${value} is not within 0 and ${MOST}`);
    }
    this.inForce = { ...this.inForce, ...limits };
    for (const managed of this.live) managed.work(now);
  }

  /** The endpoint of an address; with a port, that of the port before that of the address alone. */
  find(words: Int32Array, port: number): EndpointEntry | undefined {
    return this.entries.find(entry => entry.port === port && isSame(entry.words, words));
  }

  byId(id: number): EndpointEntry | undefined {
    return this.entries.find(entry => entry.id === id);
  }

  follow(managed: Managed): void {
    this.live.add(managed);
  }

  forget(managed: Managed): void {
    this.live.delete(managed);
  }

  private freeId(): number {
    while (this.byId(this.nextId) !== undefined) this.nextId = (this.nextId % 255) + 1;
    return this.nextId;
  }
}

function refuse(wrong: boolean, sentence: string): void {
  if (wrong) throw new RangeError(sentence);
}

function within(value: number, low: number, high: number): boolean {
  return Number.isInteger(value) && value >= low && value <= high;
}

function isSame(a: Int32Array, b: Int32Array): boolean {
  return a.every((word, i) => word === b[i]);
}

/** As in Linux (MPTCP_PM_ADDR_MAX), of endpoints and of what limits may be. */
const MOST = 8;
