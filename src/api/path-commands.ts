// How a subflow of the Linux kernel's is opened, taken away and made a backup, by either of its path
// managers.
//
// Decides: with the kernel's own manager, which endpoints of the network namespace are made and when they go
// again. They are of all connections of the namespace, so each is made once and counted, what others have
// made is left as it is, and a first subflow is taken away by its port, which is of one connection alone.
// With the manager left to programs (net.mptcp.pm_type=1), that every command is about the one connection.
// Read: linux/mptcp_pm.h; RFC 8684 §3.4.
// Walk: api/kernel-paths commands; kernel/path-manager.ts speaks netlink.

import { interfaceIndexOf, KernelPathManager, type KernelSubflow, pathManagerKind } from '../kernel/index.ts';
import type { Endpoint } from './multipath.ts';

/** Where a subflow comes from. */
export interface LocalEnd {
  readonly address: string;
  /** '' when it is not known. */
  readonly device: string;
}

/** The commands for one connection. What cannot be done is thrown, in words. */
export interface PathCommands {
  open(local: LocalEnd, backup: boolean): void;
  /** The peer is told, and the subflow closed. */
  takeAway(subflow: KernelSubflow): void;
  setBackup(subflow: KernelSubflow, backup: boolean): void;
  /** Which local addresses have a subflow that works. */
  working(addresses: ReadonlySet<string>): void;
  /** Every subflow there is now. */
  release(): void;
}

/** Those of the path manager that new connections have in this network namespace. */
export function pathCommands(
  connection: { readonly token: number; readonly remote: Endpoint },
  paths: number,
): PathCommands {
  return pathManagerKind() === 'userspace' ? new OwnCommands(connection) : new EndpointCommands(paths);
}

/** Subflows by endpoints. */
class EndpointCommands implements PathCommands {
  readonly #paths: number;
  readonly #opened: Set<string> = new Set();
  /** Local addresses whose subflow works. */
  workingOn: ReadonlySet<string> = new Set();

  constructor(paths: number) {
    this.#paths = paths;
  }

  open(local: LocalEnd, backup: boolean): void {
    const { address } = local;
    const endpoints = sharedEndpoints();
    endpoints.allow(this.#paths);
    const again = this.#opened.has(address);
    this.#opened.add(address);
    endpoints.use(this, local, { backup, again });
  }

  takeAway({ number, local }: KernelSubflow): void {
    const endpoints = sharedEndpoints();
    if (number !== 1) {
      endpoints.withdraw(local.address);
      return;
    }
    endpoints.manager.removeFirst(local);
    // The first REMOVE_ADDR may have left by the very subflow that is dead; now it cannot.
    endpoints.manager.removeFirst(local);
  }

  setBackup({ local }: KernelSubflow, backup: boolean): void {
    sharedEndpoints().setBackup(local.address, backup);
  }

  working(addresses: ReadonlySet<string>): void {
    this.workingOn = addresses;
    // The kernel has opened it by itself, from an endpoint that another connection of ours had made.
    for (const address of addresses) {
      if (endpoints?.join(this, address) === true) this.#opened.add(address);
    }
  }

  release(): void {
    for (const address of this.#opened) endpoints?.leave(this, address);
    this.#opened.clear();
  }
}

/** An endpoint that this process has made. */
interface OwnEndpoint {
  /** 0 while it is withdrawn. */
  id: number;
  local: LocalEnd;
  readonly users: Set<EndpointCommands>;
}

/** The endpoints that this process has made in its network namespace. */
class Endpoints {
  readonly manager: KernelPathManager = new KernelPathManager();
  readonly #own: Map<string, OwnEndpoint> = new Map();
  /** The limit of subflows that was there, and what it was raised to. */
  #limit: { before: number; raised: number } | undefined;

  constructor() {
    // What `process.exit` and an empty event loop leave behind; a signal that kills does not pass here.
    process.on('exit', () => this.clear());
  }

  allow(paths: number): void {
    const limits = this.manager.limits();
    const subflows = Math.min(paths + 1, MOST_SUBFLOWS);
    if (limits.subflows >= subflows) return;
    this.manager.setLimits({ ...limits, subflows });
    this.#limit = { before: this.#limit?.before ?? limits.subflows, raised: subflows };
  }

  use(
    user: EndpointCommands,
    local: LocalEnd,
    { backup, again }: { readonly backup: boolean; readonly again: boolean },
  ): void {
    const { address } = local;
    let own = this.#own.get(address);
    if (own === undefined) {
      if (this.#find(address) !== undefined) {
        if (again) throw new Error(`the endpoint ${address} is not of this process`);
        return;
      }
      own = { id: 0, local, users: new Set() };
      this.#own.set(address, own);
    }
    own.users.add(user);
    if (own.id !== 0) {
      const others = [...own.users].some(other => other !== user && other.workingOn.has(address));
      if (!again || others) return;
      this.#remove(own);
    }
    own.local = local;
    const interfaceIndex = local.device === '' ? 0 : interfaceIndexOf(local.device);
    this.manager.addEndpoint({ address, subflow: true, backup, interfaceIndex });
    own.id = this.#find(address)?.id ?? 0;
  }

  /** Counts one more user of an endpoint of ours; false when it is none. */
  join(user: EndpointCommands, address: string): boolean {
    return this.#own.get(address)?.users.add(user) !== undefined;
  }

  withdraw(address: string): void {
    const own = this.#own.get(address);
    if (own === undefined) throw new Error(`the endpoint ${address} is not of this process`);
    this.#remove(own);
  }

  setBackup(address: string, backup: boolean): void {
    const own = this.#own.get(address);
    if (own === undefined || own.id === 0) {
      throw new Error(
        `${address} is no endpoint of this process: the kernel changes the priority of endpoints`,
      );
    }
    this.manager.setBackup(own.id, backup);
  }

  leave(user: EndpointCommands, address: string): void {
    const own = this.#own.get(address);
    if (own === undefined || !own.users.delete(user) || own.users.size > 0) return;
    try {
      this.#remove(own);
    } catch {
      // Somebody else has removed it, or our rights are gone.
    }
    this.#own.delete(address);
    if (this.#own.size === 0) this.#restoreLimit();
  }

  clear(): void {
    for (const own of this.#own.values()) for (const user of own.users) this.leave(user, own.local.address);
  }

  #find(address: string): { readonly id: number } | undefined {
    return this.manager.endpoints().find(each => each.address === address);
  }

  #remove(own: OwnEndpoint): void {
    const { id } = own;
    own.id = 0;
    if (id !== 0 && this.#find(own.local.address)?.id === id) this.manager.removeEndpoint(id);
  }

  #restoreLimit(): void {
    if (this.#limit === undefined) return;
    const limits = this.manager.limits();
    const { before, raised } = this.#limit;
    this.#limit = undefined;
    // Somebody else has set it meanwhile: then it stays.
    if (limits.subflows === raised) this.manager.setLimits({ ...limits, subflows: before });
  }
}

/** Subflows of one connection, which the kernel leaves to us. */
class OwnCommands implements PathCommands {
  readonly #manager: KernelPathManager = new KernelPathManager();
  readonly #token: number;
  readonly #remote: Endpoint;
  /** Identifiers of local addresses; the first subflow's is 0. */
  readonly #ids: Map<string, number> = new Map();
  #nextId = 1;

  constructor({ token, remote }: { readonly token: number; readonly remote: Endpoint }) {
    this.#token = token;
    this.#remote = remote;
  }

  open({ address, device }: LocalEnd, backup: boolean): void {
    let id = this.#ids.get(address);
    if (id === undefined) {
      id = this.#nextId++;
      this.#ids.set(address, id);
    }
    const interfaceIndex = device === '' ? 0 : interfaceIndexOf(device);
    this.#manager.createSubflow(this.#token, { address, id, backup, interfaceIndex }, this.#remote);
  }

  takeAway({ number, local, remote }: KernelSubflow): void {
    const id = number === 1 ? 0 : (this.#ids.get(local.address) ?? 0);
    // Before the subflow is closed: the kernel knows an identifier only while something has it.
    this.#manager.withdraw(this.#token, id);
    this.#ids.delete(local.address);
    this.#manager.destroySubflow(this.#token, local, remote);
    try {
      // The first REMOVE_ADDR may have left by the very subflow that is dead; now it cannot.
      this.#manager.withdraw(this.#token, id);
    } catch {
      // The kernel has forgotten the identifier.
    }
  }

  setBackup({ local, remote }: KernelSubflow, backup: boolean): void {
    this.#manager.setSubflowBackup(this.#token, { local, remote }, backup);
  }

  working(): void {}

  release(): void {
    this.#manager.close();
  }
}

function sharedEndpoints(): Endpoints {
  endpoints ??= new Endpoints();
  return endpoints;
}

let endpoints: Endpoints | undefined;
/** The kernel accepts no larger limit. */
const MOST_SUBFLOWS = 8;
