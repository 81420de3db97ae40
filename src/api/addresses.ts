// The local addresses of this machine, and which of them make paths.
//
// Decides: that every address that is neither loopback nor link-local is a path (loopback ones for loopback
// peers only), that of several IPv6 addresses in one /64 of one device the first will do, and how a path
// named by the application (an address or a device) finds its address.
// Read: RFC 4291 §2.5, RFC 8981 §3.4 (why one device has many IPv6 addresses).
// Walk: api/network watches the list, api/dial and api/session choose from it.

import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { isLinkLocal, isLoopback, parseAddress } from '../wire/index.ts';
import { MptcpError } from './errors.ts';

/** One address of this machine. */
export interface LocalAddress {
  /** With its zone where it needs one. */
  readonly address: string;
  readonly family: 4 | 6;
  readonly device: string;
  readonly loopback: boolean;
  readonly linkLocal: boolean;
}

/** A path as the application asked for it. */
export interface PathOption {
  /** A local address, or the name of a device. */
  readonly local: string;
  /** With `link: 'tun'`: the TUN device that the address is on. */
  readonly device?: string;
  readonly name?: string;
  /** Used only while no other path works. */
  readonly backup?: boolean;
  /** Relative; paths that cost less are preferred. */
  readonly cost?: number;
  /** Another address of the peer for this path. */
  readonly remote?: { readonly host: string; readonly port: number };
}

/** A path of a plan: like the option, its remote resolved. */
export interface PathSpec extends Omit<PathOption, 'remote'> {
  readonly remote?: { readonly address: string; readonly port: number };
}

/** A path with everything known that opening it takes. */
export interface PlannedPath {
  readonly address: string;
  readonly family: 4 | 6;
  readonly name: string;
  readonly backup: boolean;
  readonly cost: number;
  /** Where it leads, when that is not the connection's own remote. */
  readonly remote?: { readonly address: string; readonly port: number };
}

/** Says which addresses this machine has now. */
export type AddressLister = () => LocalAddress[];

/** The system's list; empty where it will not say. */
export function localAddresses(): LocalAddress[] {
  let devices: NodeJS.Dict<{ address: string; scopeid?: number }[]>;
  try {
    devices = networkInterfaces();
  } catch {
    return [];
  }
  const found: LocalAddress[] = [];
  for (const [device, entries] of Object.entries(devices)) {
    for (const { address } of entries ?? []) {
      const local = describeAddress(address, device);
      if (local !== undefined) found.push(local);
    }
  }
  return found;
}

/** One address and what kind it is; undefined for what is no address. */
export function describeAddress(text: string, device: string): LocalAddress | undefined {
  const words = new Int32Array(4);
  const bare = text.replace(/%.*$/, '');
  const family = parseAddress(bare, words);
  if (family === 0) return undefined;
  const linkLocal = isLinkLocal(words[0], words[1], words[2], words[3]);
  return {
    address: linkLocal && family === 6 && device !== '' ? `${bare}%${device}` : text,
    family,
    device,
    loopback: isLoopback(words[0], words[1], words[2], words[3]),
    linkLocal,
  };
}

/** Which paths a connection to `remote` should have: those named, or all that are any use. */
export class PathPlan {
  /** Undefined: every usable address. */
  readonly #specs: readonly PathSpec[] | undefined;
  readonly #remote: { readonly address: string; readonly port: number };
  readonly #handover: boolean;

  /** `handover`: a path that is added to the first is a backup. */
  constructor(
    specs: readonly PathSpec[] | undefined,
    remote: { readonly address: string; readonly port: number },
    { handover = false }: { readonly handover?: boolean } = {},
  ) {
    this.#specs = specs;
    this.#remote = remote;
    this.#handover = handover;
  }

  /** The paths there can be now, those for ordinary use first. */
  paths(addresses: readonly LocalAddress[]): PlannedPath[] {
    const planned =
      this.#specs === undefined ? this.#everyPath(addresses) : this.#namedPaths(this.#specs, addresses);
    // The first carries the handshake: not one that is only a backup.
    return [...planned.filter(path => !path.backup), ...planned.filter(path => path.backup)];
  }

  /** Those of a connection that begins with `first`. */
  beginningWith(first: PlannedPath, paths: readonly PlannedPath[]): PlannedPath[] {
    const others = paths.filter(path => path !== first);
    if (!this.#handover) return [first, ...others];
    return [{ ...first, backup: false }, ...others.map(path => ({ ...path, backup: true }))];
  }

  /** The paths an address that has appeared makes possible, of `addresses` as they are now. */
  pathsOver(appeared: LocalAddress, addresses: readonly LocalAddress[]): PlannedPath[] {
    const found = this.paths(addresses).filter(path => path.address === appeared.address);
    return this.#handover ? found.map(path => ({ ...path, backup: true })) : found;
  }

  #everyPath(addresses: readonly LocalAddress[]): PlannedPath[] {
    const remote = describeAddress(this.#remote.address, '');
    if (remote === undefined) return [];
    const usable = addresses.filter(
      local => local.family === remote.family && !local.linkLocal && local.loopback === remote.loopback,
    );
    return withoutTwins(usable).map(local =>
      this.#planned(
        { local: local.address, name: local.device === '' ? local.address : local.device },
        local,
      ),
    );
  }

  #namedPaths(specs: readonly PathSpec[], addresses: readonly LocalAddress[]): PlannedPath[] {
    const found: PlannedPath[] = [];
    for (const spec of specs) {
      const family = describeAddress((spec.remote ?? this.#remote).address, '')?.family;
      const local = addressOf(spec.local, family, addresses);
      if (local !== undefined && local.family === family) found.push(this.#planned(spec, local));
    }
    return found;
  }

  #planned(spec: PathSpec, local: LocalAddress): PlannedPath {
    return {
      address: local.address,
      family: local.family,
      name: spec.name ?? spec.local,
      backup: spec.backup ?? false,
      cost: spec.cost ?? 0,
      ...(spec.remote === undefined ? {} : { remote: spec.remote }),
    };
  }
}

/** Throws for a path over a device this machine does not have. One that is only down may come up. */
export function checkDevices(
  paths: readonly { readonly local: string }[],
  addresses: readonly LocalAddress[],
): void {
  for (const { local } of paths) {
    if (describeAddress(local, '') !== undefined) continue;
    if (addresses.some(address => address.device === local)) continue;
    if (/^[\w.:@-]+$/.test(local) && existsSync(`/sys/class/net/${local}`)) continue;
    const known = [...new Set(addresses.map(address => address.device))].join(', ');
    throw new MptcpError('ERR_MPTCP_UNKNOWN_INTERFACE', {
      sentence: `no network interface or address is called "${local}"`,
      remedy: `give a local IP address or one of: ${known === '' ? 'none are up' : known}`,
    });
  }
}

/** The address a path's `local` stands for. */
function addressOf(
  local: string,
  family: 4 | 6 | undefined,
  addresses: readonly LocalAddress[],
): LocalAddress | undefined {
  const literal = describeAddress(local, '');
  // Not every address a machine answers to is listed: all of 127.0.0.0/8 is its own.
  if (literal !== undefined) return addresses.find(known => known.address === local) ?? literal;
  const ofDevice = addresses.filter(known => known.device === local && known.family === family);
  return ofDevice.find(known => !known.linkLocal) ?? ofDevice[0];
}

/** Of the IPv6 addresses of one device in one /64, the first: the others lead the same way. */
function withoutTwins(addresses: readonly LocalAddress[]): LocalAddress[] {
  const kept: LocalAddress[] = [];
  for (const local of addresses) {
    if (kept.some(other => other.device === local.device && leadAlike(other.address, local.address)))
      continue;
    kept.push(local);
  }
  return kept;
}

/** The same address, or IPv6 addresses of one /64. */
export function leadAlike(one: string, other: string): boolean {
  if (one === other) return true;
  const words = new Int32Array(4);
  if (parseAddress(one, words) !== 6) return false;
  const [w0, w1] = words;
  return parseAddress(other, words) === 6 && words[0] === w0 && words[1] === w1;
}
