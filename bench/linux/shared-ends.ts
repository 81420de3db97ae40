// Ends of a link that two senders share: one that is both of them, and one that counts what came through of each.

import type { LinkEnd } from '../../src/emulator/link-emulator.ts';

/** Two ends as one: packets to the address go to the second. */
export class ForkedEnd implements LinkEnd {
  readonly #first: LinkEnd;
  readonly #second: LinkEnd;
  readonly #address: number;

  constructor(first: LinkEnd, second: LinkEnd, address: string) {
    this.#first = first;
    this.#second = second;
    this.#address = addressNumber(address);
  }

  onSend(take: (packet: Uint8Array) => void): void {
    this.#first.onSend(take);
    this.#second.onSend(take);
  }

  deliver(packet: Uint8Array): void {
    const toSecond = addressAt(packet, DESTINATION) === this.#address;
    (toSecond ? this.#second : this.#first).deliver(packet);
  }

  close(): void {
    this.#first.close();
    this.#second.close();
  }
}

export class CountedEnd implements LinkEnd {
  /** Of IPv4 packets delivered here, by source. */
  readonly bytes: [number, number] = [0, 0];
  readonly #end: LinkEnd;
  readonly #sources: readonly number[];

  constructor(end: LinkEnd, sources: readonly [string, string]) {
    this.#end = end;
    this.#sources = sources.map(addressNumber);
  }

  onSend(take: (packet: Uint8Array) => void): void {
    this.#end.onSend(take);
  }

  deliver(packet: Uint8Array): void {
    const sender = this.#sources.indexOf(addressAt(packet, SOURCE));
    if (sender >= 0) this.bytes[sender] += packet.length;
    this.#end.deliver(packet);
  }

  close(): void {
    this.#end.close();
  }
}

function addressNumber(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

/** -1 where there is no IPv4 header. */
function addressAt(packet: Uint8Array, at: number): number {
  if (packet.length < 20 || packet[0] >> 4 !== 4) return -1;
  return ((packet[at] << 24) | (packet[at + 1] << 16) | (packet[at + 2] << 8) | packet[at + 3]) >>> 0;
}

const SOURCE = 12;
const DESTINATION = 16;
