// Looks at a connection of the kernel's from time to time, because the kernel tells its socket neither of a
// fallback nor of subflows that come and go.
//
// Decides: when to look (when it is connected, at its first data, then every second, and whenever somebody
// asks), what is said of the kernel's connection in the words of our own stack, and which id a subflow
// has: the order in which the kernel made them or, where that is not told (before Linux 6.5), were seen.
// Walk: api/kernel-socket owns one; src/kernel knows the calls.

import { networkInterfaces } from 'node:os';
import type { TcpInfo } from '../kernel/index.ts';
import {
  interfaceIndexOf,
  isMultipath,
  type KernelSubflow,
  likelyFallbackCause,
  statusOf,
  subflowBetween,
  subflowsOf,
} from '../kernel/index.ts';
import { Alarm } from './clock.ts';
import {
  type Endpoint,
  type FallbackStatus,
  type MultipathStatus,
  noMultipath,
  type SubflowStatus,
} from './multipath.ts';

/** Hears of changes. */
export interface WatchClient {
  fellBack(fallback: FallbackStatus): void;
  subflowOpened(subflow: SubflowStatus): void;
  subflowClosed(subflow: SubflowStatus): void;
  /** Whether anybody wants to know of subflows. */
  readonly followsSubflows: boolean;
}

/** What is expected of the connection. */
export interface WatchOptions {
  readonly fd: number;
  /** Multipath TCP was asked for: without it the connection has fallen back. */
  readonly multipath: boolean;
  /** Who may have taken it away before we looked: the peer, for connections that it opened. */
  readonly accepted: boolean;
  readonly reason: string | null;
  /** What the application calls the path from an address. */
  nameOf?(address: string): string | undefined;
  /** Its ends, which the kernel tells of subflows but not of plain TCP. */
  ends(): { readonly local: Endpoint; readonly remote: Endpoint };
}

/** A subflow that was seen. */
interface Seen {
  readonly id: number;
  readonly name: string;
  /** Of the device that its address was on. */
  readonly interfaceIndex: number;
  last?: SubflowStatus;
}

/** One connection. */
export class KernelWatch {
  readonly #options: WatchOptions;
  readonly #client: WatchClient;
  readonly #alarm: Alarm = new Alarm(() => {
    this.look();
    this.#alarm.set(LOOK_AGAIN_MS);
  });
  readonly #seen: Map<string, Seen> = new Map();
  /** Subflows that were told of. */
  readonly #told: Set<number> = new Set();
  #nextId = 0;
  #fallback: FallbackStatus | null = null;
  #multipath: boolean;
  #stopped: MultipathStatus | undefined;

  constructor(options: WatchOptions, client: WatchClient) {
    this.#options = options;
    this.#client = client;
    this.#multipath = isMultipath(options.fd);
    // A server has asked for nothing: a client that speaks plain TCP is just that.
    if (!this.#multipath && options.multipath && !options.accepted) {
      this.#fallback = { cause: likelyFallbackCause(), seenBy: 'local' };
    }
  }

  /** How it became plain TCP; null while it did not. */
  get fallback(): FallbackStatus | null {
    return this.#fallback;
  }

  /** Whether it is Multipath TCP, as far as was seen. */
  get active(): boolean {
    return this.#multipath;
  }

  /** Looks from time to time from now on. */
  start(): void {
    if (this.#multipath) this.#alarm.set(LOOK_AGAIN_MS);
  }

  /** Looks for the first time when somebody may have heard of the connection. */
  begin(): void {
    this.look();
    // Who asks for subflows later is not told of the one that the connection began with.
    this.#told.add(0);
  }

  /** Tells of what has changed since the last look. */
  look(): void {
    if (!this.#multipath || this.#stopped !== undefined) return;
    if (!isMultipath(this.#options.fd)) {
      this.#multipath = false;
      this.#alarm.cancel();
      this.#fallback = { cause: likelyFallbackCause(), seenBy: 'local' };
      this.#client.fellBack(this.#fallback);
      return;
    }
    if (this.#client.followsSubflows) this.#followSubflows();
  }

  /** The connection as it is now, or as it was when the watch was stopped. */
  status(): MultipathStatus {
    if (this.#stopped !== undefined) return this.#stopped;
    this.look();
    return this.#snapshot();
  }

  #snapshot(): MultipathStatus {
    const { fd, reason } = this.#options;
    const status = statusOf(fd);
    const before = { ...noMultipath('kernel', reason), fallback: this.#fallback };
    if (status.multipath) {
      const subflows = status.subflows.filter(isThere).map(subflow => this.#describe(subflow));
      return { ...before, active: true, token: status.info.token, subflows };
    }
    if (status.tcp === undefined) return before;
    return { ...before, subflows: [this.#describe({ ...this.#options.ends(), tcp: status.tcp })] };
  }

  /** Looks no more; what is to be seen now stays. */
  stop(): void {
    this.#alarm.cancel();
    this.#stopped ??= this.#snapshot();
  }

  #followSubflows(): void {
    const gone = new Set(this.#seen.keys());
    const there = subflowsOf(this.#options.fd).filter(isThere);
    const open = there.filter(isOpen);
    // While others are open, one that is closing is over: its FIN may never be acknowledged.
    for (const subflow of open.length > 0 ? open : there) {
      gone.delete(keyOf(subflow));
      const status = this.#describe(subflow);
      if (this.#told.has(status.id) || status.state === 'connecting' || status.state === 'closing') continue;
      this.#told.add(status.id);
      this.#client.subflowOpened(status);
    }
    for (const key of gone) {
      const last = this.#seen.get(key)?.last;
      this.#seen.delete(key);
      if (last !== undefined && this.#told.delete(last.id))
        this.#client.subflowClosed({ ...last, state: 'closed' });
    }
  }

  #describe(subflow: KernelSubflow): SubflowStatus {
    const key = keyOf(subflow);
    let known = this.#seen.get(key);
    if (known === undefined) {
      const id = subflow.number === undefined ? this.#nextId++ : subflow.number - 1;
      const device = deviceOf(subflow.local.address);
      known = { id, name: device, interfaceIndex: interfaceIndexOf(device) };
      this.#seen.set(key, known);
    }
    const { local, remote, tcp } = subflow;
    // The first subflow of a connection without others is no backup, whatever it was told.
    const backup = known.id > 0 && isBackup(subflow, known.interfaceIndex);
    const name = this.#options.nameOf?.(local.address) ?? known.name;
    known.last = {
      ...{ id: known.id, name, local, remote, state: stateOf(tcp), backup },
      ...{ rttMs: tcp.rttMs, cwndBytes: tcp.cwndSegments * tcp.mssBytes },
      ...{ bytesSent: tcp.bytesSent, bytesReceived: tcp.bytesReceived, bytesReinjected: null },
    };
    return known.last;
  }
}

/** A subflow that is over stays in the kernel's list for a while, without its addresses. */
function isThere({ tcp }: KernelSubflow): boolean {
  return tcp.state !== TCP_CLOSE;
}

function isOpen({ tcp }: KernelSubflow): boolean {
  return stateOf(tcp) !== 'closing';
}

function keyOf({ local, remote }: KernelSubflow): string {
  return `${local.address} ${local.port} ${remote.address} ${remote.port}`;
}

/** The device that has this address; the address itself where none has, as after it is gone. */
function deviceOf(address: string): string {
  for (const [device, entries] of Object.entries(networkInterfaces())) {
    if (entries?.some(entry => entry.address === address)) return device;
  }
  return address;
}

/** Whether one of the two ends asked for it to be used last; only socket diagnosis tells. */
function isBackup({ local, remote }: KernelSubflow, interfaceIndex: number): boolean {
  const entry = subflowBetween(local, remote, interfaceIndex);
  return entry !== undefined && (entry.backupHere || entry.backupThere);
}

function stateOf({ state, congestionState }: TcpInfo): SubflowStatus['state'] {
  if (state === TCP_SYN_SENT || state === TCP_SYN_RECV) return 'connecting';
  if (state !== TCP_ESTABLISHED && state !== TCP_CLOSE_WAIT) return 'closing';
  return congestionState === CONGESTION_LOSS ? 'suspect' : 'active';
}

const LOOK_AGAIN_MS = 1000;
const TCP_ESTABLISHED = 1;
const TCP_SYN_SENT = 2;
const TCP_SYN_RECV = 3;
const TCP_CLOSE = 7;
const TCP_CLOSE_WAIT = 8;
const CONGESTION_LOSS = 4;
