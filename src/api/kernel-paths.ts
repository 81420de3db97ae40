// Carries out `paths` and `service` on a connection of the Linux kernel's: looks at its subflows while data
// is not acknowledged, hears of links and of subflows that come and go, and does what api/steering decides.
//
// Decides: when is looked (every 10 ms while an acknowledgement is due, else only when the kernel tells), and
// that what cannot be done is said by name.
// Read: docs/api/options.md, "The kernel".
// Walk: api/kernel-socket owns one; api/steering decides; api/path-commands does it.

import {
  followLinks,
  KernelPathManager,
  type KernelSubflow,
  mayManagePaths,
  statusOf,
  unacknowledgedBytes,
} from '../kernel/index.ts';
import { localAddresses, PathPlan, type PathSpec } from './addresses.ts';
import { Alarm, monotonicMs } from './clock.ts';
import type { Endpoint, Unhonoured } from './multipath.ts';
import { type PathCommands, pathCommands } from './path-commands.ts';
import type { Service } from './service.ts';
import { Steering, type SteeringAction, type SubflowSample } from './steering.ts';

/** One connection and what it is for. */
export interface KernelPathsOptions {
  readonly fd: number;
  readonly token: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Undefined: every usable address. */
  readonly paths: readonly PathSpec[] | undefined;
  readonly service: Service | undefined;
}

/** Hears of it. */
export interface KernelPathsClient {
  /** Subflows have changed. */
  changed(): void;
  unhonoured(what: Unhonoured): void;
}

/** A path as it was asked for, and the address that it has now. */
interface NamedPath {
  readonly spec: PathSpec;
  address: string;
  device: string;
}

/** The paths of one connection. */
export class KernelPaths {
  readonly #options: KernelPathsOptions;
  readonly #client: KernelPathsClient;
  readonly #steering: Steering;
  readonly #commands: PathCommands;
  readonly #named: Map<string, NamedPath> = new Map();
  readonly #alarm: Alarm = new Alarm(() => this.#tick());
  readonly #unhonoured: Map<string, Unhonoured> = new Map();
  #subflows: readonly KernelSubflow[] = [];
  /** No byte has been exchanged: subflows cannot be added yet (RFC 8684 §3.1). */
  #young = true;
  #stopped = false;

  /** Needs the right to manage paths (`impediment`). */
  constructor(options: KernelPathsOptions, client: KernelPathsClient) {
    this.#options = options;
    this.#client = client;
    this.#steering = new Steering({ interactive: options.service === 'interactive' });
    const planned = this.#plan();
    this.#commands = pathCommands(options, planned.length);
    following.add(this, options.token);
    const now = monotonicMs();
    for (const [i, { spec, ...place }] of planned.entries()) {
      const key = `${i}`;
      this.#named.set(key, { spec, ...place });
      const open = place.address === options.local.address;
      const backup = spec.backup ?? (options.service === 'handover' && i > 0);
      this.#steering.addPath({ key, backup: open ? false : backup }, now, open);
    }
    this.links();
  }

  /** Data was written. */
  wrote(): void {
    this.#steering.wrote(monotonicMs());
    if (!this.#alarm.armed) this.#arm();
  }

  /** Subflows have come or gone. */
  look(): void {
    if (this.#stopped) return;
    this.#sample(monotonicMs());
    this.#act();
    this.#client.changed();
  }

  /** Devices or addresses have changed. */
  links(): void {
    if (this.#stopped) return;
    const addresses = localAddresses();
    const usable = new Set<string>();
    for (const [key, named] of this.#named) {
      const [planned] = new PathPlan([named.spec], this.#options.remote).paths(addresses);
      const listed = addresses.find(({ address }) => address === planned?.address);
      // A device may have got another address.
      if (listed === undefined) continue;
      [named.address, named.device] = [listed.address, listed.device];
      usable.add(key);
    }
    this.#steering.links(usable, monotonicMs());
    this.look();
  }

  /** One more path. */
  add(path: PathSpec): void {
    const [planned] = planOf([path], this.#options.remote);
    const { address = path.local, device = '' } = planned ?? {};
    const key = `${this.#nextKey()}`;
    this.#named.set(key, { spec: path, address, device });
    this.#steering.addPath({ key, backup: path.backup ?? false }, monotonicMs());
    this.links();
  }

  /** Takes a path away for good; false: there is none. */
  remove(local: string): boolean {
    const keys = [...this.#named].filter(
      ([, { spec, address, device }]) =>
        spec.local === local || spec.name === local || address === local || device === local,
    );
    for (const [key] of keys) {
      this.#do({ type: 'takeAway', key, why: 'no link' });
      this.#named.delete(key);
      this.#steering.removePath(key);
    }
    return keys.length > 0;
  }

  /** Makes the subflow from this address a backup, or an ordinary one; false: it is of none of the paths. */
  setBackup({ address }: Endpoint, backup: boolean): boolean {
    const key = this.#keyOf(address);
    if (key === undefined) return false;
    this.#steering.setBackup(key, backup);
    this.#act();
    return true;
  }

  /** What the path from this address is called; undefined where it has no name. */
  nameOf(address: string): string | undefined {
    const key = this.#keyOf(address);
    return key === undefined ? undefined : this.#named.get(key)?.spec.name;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#alarm.cancel();
    following.delete(this, this.#options.token);
    this.#commands.release();
  }

  #plan(): NamedPath[] {
    const { paths, remote, local } = this.#options;
    const planned = planOf(paths, remote);
    if (paths !== undefined) return planned;
    // The subflow that is there comes first.
    const inUse = ({ address }: NamedPath): boolean => address === local.address;
    return [...planned.filter(inUse), ...planned.filter(path => !inUse(path))];
  }

  #nextKey(): number {
    return Math.max(-1, ...[...this.#named.keys()].map(Number)) + 1;
  }

  #keyOf(address: string): string | undefined {
    for (const [key, named] of this.#named) if (named.address === address) return key;
    return undefined;
  }

  #tick(): void {
    const now = monotonicMs();
    if (this.#steering.isSampleDue(now)) this.#sample(now);
    this.#steering.expire(now);
    this.#act();
  }

  #sample(now: number): void {
    const { fd } = this.#options;
    const status = statusOf(fd);
    if (!status.multipath) return;
    this.#subflows = status.subflows;
    this.#young = status.info.bytesAcked + status.info.bytesReceived === 0;
    const samples: SubflowSample[] = [];
    const working = new Set<string>();
    for (const { local, tcp } of this.#subflows) {
      const key = this.#keyOf(local.address);
      const established = tcp.state === TCP_ESTABLISHED || tcp.state === TCP_CLOSE_WAIT;
      if (established) working.add(local.address);
      if (key === undefined) continue;
      const { unackedSegments, lastAckMs, rttMs, rttVarMs, congestionState } = tcp;
      const lost = congestionState === CONGESTION_LOSS;
      samples.push({ key, id: local.port, established, unackedSegments, lastAckMs, rttMs, rttVarMs, lost });
    }
    this.#commands.working(working);
    this.#steering.sample(samples, unacknowledgedBytes(fd) > 0, now);
  }

  #act(): void {
    this.#steering.expire(monotonicMs());
    for (
      let action = this.#steering.nextAction();
      action !== undefined;
      action = this.#steering.nextAction()
    ) {
      this.#do(action);
    }
    this.#arm();
  }

  #do(action: SteeringAction): void {
    const named = this.#named.get(action.key);
    if (named === undefined) return;
    if (action.type === 'open' && this.#young) {
      this.#steering.postpone(action.key);
      return;
    }
    const what = `${ACTION_WORDS[action.type]} ${named.address}`;
    try {
      if (action.type === 'open') this.#commands.open(named, action.backup);
      else {
        const here = this.#subflows.filter(({ local }) => local.address === named.address);
        for (const subflow of here) {
          if (action.type === 'takeAway') this.#commands.takeAway(subflow);
          else this.#commands.setBackup(subflow, action.backup);
        }
      }
    } catch (error) {
      this.#fail({ what, why: (error as Error).message, remedy: REMEDY });
    }
  }

  #fail(entry: Unhonoured): void {
    const key = `${entry.what} ${entry.why}`;
    if (this.#unhonoured.has(key)) return;
    this.#unhonoured.set(key, entry);
    this.#client.unhonoured(entry);
  }

  #arm(): void {
    if (this.#stopped) return;
    const deadline = this.#steering.nextDeadline();
    if (deadline === Infinity) this.#alarm.cancel();
    else this.#alarm.set(deadline - monotonicMs());
  }
}

/** Why paths cannot be managed here; undefined when they can. */
export function pathImpediment(): { readonly why: string; readonly remedy: string } | undefined {
  if (mayManagePaths()) return undefined;
  return {
    why: 'the kernel lets only those with CAP_NET_ADMIN manage the paths of connections',
    remedy: 'run with CAP_NET_ADMIN, or have endpoints made beforehand (mptcp endpoint add)',
  };
}

/** The paths that can be now, with their devices. */
function planOf(paths: readonly PathSpec[] | undefined, remote: Endpoint): NamedPath[] {
  const addresses = localAddresses();
  if (paths === undefined) {
    return new PathPlan(undefined, remote)
      .paths(addresses)
      .map(({ address }) => ({ spec: { local: address }, address, device: deviceOf(address) }));
  }
  return paths.map(spec => {
    const [planned] = new PathPlan([spec], remote).paths(addresses);
    const address = planned?.address ?? spec.local;
    return { spec, address, device: deviceOf(address) };
  });

  function deviceOf(address: string): string {
    return addresses.find(known => known.address === address)?.device ?? '';
  }
}

/** What the kernel tells of links and subflows, for all connections of this process. */
class Following {
  readonly #byToken: Map<number, KernelPaths> = new Map();
  #close: (() => void) | undefined;

  add(paths: KernelPaths, token: number): void {
    this.#byToken.set(token, paths);
    this.#close ??= this.#open();
  }

  delete(paths: KernelPaths, token: number): void {
    if (this.#byToken.get(token) === paths) this.#byToken.delete(token);
    if (this.#byToken.size > 0) return;
    this.#close?.();
    this.#close = undefined;
  }

  #open(): () => void {
    const everybody = (): KernelPaths[] => [...this.#byToken.values()];
    const manager = new KernelPathManager();
    manager.follow(
      ({ token = 0 }) => this.#byToken.get(token)?.look(),
      () => {
        for (const paths of everybody()) paths.look();
      },
    );
    const links = followLinks(() => {
      for (const paths of everybody()) paths.links();
    });
    return () => {
      manager.close();
      links.close();
    };
  }
}

const following: Following = new Following();
const ACTION_WORDS: Readonly<Record<SteeringAction['type'], string>> = {
  open: 'a subflow from',
  takeAway: 'taking away',
  setBackup: 'the priority of',
};
const REMEDY = 'set net.mptcp.path_manager=userspace, or leave the endpoints of this address to the program';
const TCP_ESTABLISHED = 1;
const TCP_CLOSE_WAIT = 8;
const CONGESTION_LOSS = 4;
