// Decides which local addresses a host has, and which of them a packet or a route belongs to. Before:
// host.addInterface. After: flows, listeners, sockets.

import type { NetworkInterface } from '../tcp/index.ts';
import { formatAddress, isLoopback, parseAddress, type Segment } from '../wire/index.ts';
import { HostError } from './errors.ts';

export interface InterfaceOptions {
  /** Address literal, IPv4 or IPv6. */
  address: string;
  name?: string;
  /** Largest IP packet in bytes (default 1,500). */
  mtu?: number;
  /** Largest packet the link takes and splits itself (default 65,535). */
  gsoMax?: number;
  /** TCP checksums are neither computed nor verified (default false). */
  checksumOffload?: boolean;
  /** Names the network behind it, for what is remembered of middleboxes (default: the address’s prefix). */
  network?: string;
}

export class Interfaces {
  private readonly byId: Map<number, NetworkInterface> = new Map();
  private nextId = 1;

  /** Attaches one local address; returns its id (≥ 1). */
  add(options: InterfaceOptions): number {
    const words = new Int32Array(4);
    const family = parseAddress(options.address, words);
    if (family === 0) throw new HostError('EINVAL', `'${options.address}' is not an IP address`);
    const mtu = options.mtu ?? 1500;
    if (!(mtu >= 576 && mtu <= 65_535))
      throw new HostError('EINVAL', `mtu ${mtu} is not within 576 and 65,535`);
    const id = this.nextId++;
    this.byId.set(id, {
      id,
      name: options.name ?? options.address,
      address: formatAddress(words[0], words[1], words[2], words[3]),
      family,
      words,
      mtu,
      gsoMax: Math.max(mtu, Math.min(options.gsoMax ?? 65_535, 65_535)),
      checksumOffload: options.checksumOffload ?? false,
      network: options.network ?? prefixOf(words, family),
      up: true,
    });
    return id;
  }

  /** Detaches it; undefined when there is none. */
  remove(id: number): NetworkInterface | undefined {
    const gone = this.byId.get(id);
    if (gone === undefined) return undefined;
    gone.up = false;
    this.byId.delete(id);
    return gone;
  }

  find(id: number): NetworkInterface | undefined {
    return this.byId.get(id);
  }

  /** The id of the interface that has an address; throws EINVAL or EADDRNOTAVAIL where none has. */
  idOf(address: string): number {
    const words = new Int32Array(4);
    if (parseAddress(address, words) === 0) {
      throw new HostError('EINVAL', `'${address}' is not an IP address`);
    }
    const found = this.byAddress(words);
    if (found === null) throw new HostError('EADDRNOTAVAIL', `${address} is not an address of this host`);
    return found.id;
  }

  /** The interface that has this address; null when none has. */
  byAddress(words: Int32Array): NetworkInterface | null {
    for (const networkInterface of this.byId.values()) {
      if (networkInterface.words.every((word, i) => word === words[i])) return networkInterface;
    }
    return null;
  }

  /**
   * From where to reach a remote address: of the addresses of its family the one that shares most of its
   * leading bits (RFC 6724 §5, rule 8), of several the oldest; null when there is none.
   */
  towards(remote: Int32Array, family: 4 | 6): NetworkInterface | null {
    let best: NetworkInterface | null = null;
    let bestBits = -1;
    const loopback = isLoopback(remote[0], remote[1], remote[2], remote[3]);
    for (const candidate of this.byId.values()) {
      if (candidate.family !== family) continue;
      const [a, b, c, d] = candidate.words;
      if (isLoopback(a, b, c, d) !== loopback) continue;
      const bits = commonBits(candidate.words, remote);
      if (bits > bestBits) {
        best = candidate;
        bestBits = bits;
      }
    }
    return best;
  }
}

export function isAddressed(segment: Segment, networkInterface: NetworkInterface): boolean {
  const words = networkInterface.words;
  return (
    segment.dst3 === words[3] &&
    segment.dst2 === words[2] &&
    segment.dst1 === words[1] &&
    segment.dst0 === words[0]
  );
}

/** The network of an address as far as the address tells: 24 bits of IPv4, 64 of IPv6. */
function prefixOf(words: Int32Array, family: 4 | 6): string {
  return family === 4
    ? `${formatAddress(words[0], words[1], words[2], words[3] & ~0xff)}/24`
    : `${formatAddress(words[0], words[1], 0, 0)}/64`;
}

function commonBits(a: Int32Array, b: Int32Array): number {
  for (let i = 0; i < 4; i++) {
    if (a[i] !== b[i]) return i * 32 + Math.clz32(a[i] ^ b[i]);
  }
  return 128;
}
