// Decides which connection a segment belongs to: a hash table over interface, ports and remote address,
// chained through the blocks themselves so that a lookup allocates nothing. Before: host.receive. After:
// tcp/input.

import type { Tcb } from '../tcp/index.ts';
import type { Segment } from '../wire/index.ts';

const INITIAL_BUCKETS = 64;

export class Demultiplexer {
  private buckets: (Tcb | null)[] = new Array<Tcb | null>(INITIAL_BUCKETS).fill(null);
  private mask: number = INITIAL_BUCKETS - 1;
  size = 0;
  /** Blocks per local endpoint: a port is free again when its count is gone. */
  private readonly users: Map<number, number> = new Map();
  private last: Tcb | null = null;

  /** The connection of a segment that arrived on an interface; null when there is none. */
  find(segment: Segment, interfaceId: number): Tcb | null {
    const cached = this.last;
    if (cached !== null && matches(cached, segment, interfaceId)) return cached;
    const words = segment.src0 ^ segment.src1 ^ segment.src2 ^ segment.src3;
    let tcb = this.buckets[hash(interfaceId, segment.dstPort, segment.srcPort, words) & this.mask];
    while (tcb !== null && !matches(tcb, segment, interfaceId)) tcb = tcb.nextInBucket;
    this.last = tcb;
    return tcb;
  }

  /** True when the four values are taken. */
  has(interfaceId: number, localPort: number, remoteWords: Int32Array, remotePort: number): boolean {
    let tcb = this.buckets[hash(interfaceId, localPort, remotePort, fold(remoteWords)) & this.mask];
    while (tcb !== null) {
      if (
        tcb.networkInterface.id === interfaceId &&
        tcb.localPort === localPort &&
        tcb.remotePort === remotePort &&
        tcb.remoteWords.every((word, i) => word === remoteWords[i])
      ) {
        return true;
      }
      tcb = tcb.nextInBucket;
    }
    return false;
  }

  add(tcb: Tcb): void {
    if (this.size > this.mask) this.grow();
    const slot = slotOf(tcb) & this.mask;
    tcb.nextInBucket = this.buckets[slot];
    this.buckets[slot] = tcb;
    this.size++;
    const endpoint = endpointOf(tcb.networkInterface.id, tcb.localPort);
    this.users.set(endpoint, (this.users.get(endpoint) ?? 0) + 1);
  }

  /** Takes a block out. Returns true when its local port has no user left. */
  remove(tcb: Tcb): boolean {
    const slot = slotOf(tcb) & this.mask;
    let previous: Tcb | null = null;
    let at = this.buckets[slot];
    while (at !== null && at !== tcb) {
      previous = at;
      at = at.nextInBucket;
    }
    if (at === null) return false;
    if (previous === null) this.buckets[slot] = tcb.nextInBucket;
    else previous.nextInBucket = tcb.nextInBucket;
    tcb.nextInBucket = null;
    if (this.last === tcb) this.last = null;
    this.size--;
    const endpoint = endpointOf(tcb.networkInterface.id, tcb.localPort);
    const left = (this.users.get(endpoint) ?? 1) - 1;
    if (left > 0) this.users.set(endpoint, left);
    else this.users.delete(endpoint);
    return left <= 0;
  }

  isPortUsed(interfaceId: number, localPort: number): boolean {
    return this.users.has(endpointOf(interfaceId, localPort));
  }

  private grow(): void {
    const old = this.buckets;
    this.mask = old.length * 2 - 1;
    this.buckets = new Array<Tcb | null>(old.length * 2).fill(null);
    for (let tcb of old) {
      while (tcb !== null) {
        const next: Tcb | null = tcb.nextInBucket;
        const slot = slotOf(tcb) & this.mask;
        tcb.nextInBucket = this.buckets[slot];
        this.buckets[slot] = tcb;
        tcb = next;
      }
    }
  }
}

function matches(tcb: Tcb, segment: Segment, interfaceId: number): boolean {
  return (
    tcb.remotePort === segment.srcPort &&
    tcb.localPort === segment.dstPort &&
    tcb.networkInterface.id === interfaceId &&
    tcb.remoteWords[3] === segment.src3 &&
    tcb.remoteWords[2] === segment.src2 &&
    tcb.remoteWords[1] === segment.src1 &&
    tcb.remoteWords[0] === segment.src0
  );
}

function slotOf(tcb: Tcb): number {
  return hash(tcb.networkInterface.id, tcb.localPort, tcb.remotePort, fold(tcb.remoteWords));
}

function fold(words: Int32Array): number {
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

function hash(interfaceId: number, localPort: number, remotePort: number, remote: number): number {
  let h = Math.imul(remote ^ (localPort << 16) ^ remotePort, 0x9e3779b1) ^ Math.imul(interfaceId, 0x85ebca6b);
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d);
  return h ^ (h >>> 13);
}

function endpointOf(interfaceId: number, localPort: number): number {
  return interfaceId * 65_536 + localPort;
}
