// Addresses of peers as the socket wants them (text) and as packets carry them (words), converted once a peer
// rather than once a packet.
//
// Decides: how many are remembered. A server meets any number of addresses, so both tables are bounded; a
// forgotten one is merely converted again (a link-local IPv6 peer loses its zone with it, and must speak
// first).
// Walk: link/udp asks, both ways.

import { formatAddress, parseAddress } from '../wire/index.ts';

/** One address in both forms. */
export interface PeerName {
  readonly text: string;
  readonly words: Int32Array;
}

/** The addresses met lately. */
export class PeerNames {
  readonly #byText: Map<string, PeerName> = new Map();
  readonly #byWords: (PeerName | undefined)[] = new Array(BUCKETS).fill(undefined);
  #last: PeerName | undefined;

  /** By the text the socket gave; undefined for what is no address. */
  fromText(text: string): PeerName | undefined {
    const last = this.#last;
    if (last !== undefined && last.text === text) return last;
    let name = this.#byText.get(text);
    if (name === undefined) {
      name = peerName(text);
      if (name === undefined) return undefined;
      if (this.#byText.size >= LIMIT) this.#byText.clear();
      this.#byText.set(text, name);
    }
    const { words } = name;
    this.#byWords[bucketOf(words[0], words[1], words[2], words[3])] = name;
    this.#last = name;
    return name;
  }

  /** By the words of a packet. */
  fromWords(w0: number, w1: number, w2: number, w3: number): PeerName {
    const bucket = bucketOf(w0, w1, w2, w3);
    const known = this.#byWords[bucket];
    if (known !== undefined && sameWords(known.words, w0, w1, w2, w3)) return known;
    const name = { text: formatAddress(w0, w1, w2, w3), words: Int32Array.of(w0, w1, w2, w3) };
    this.#byWords[bucket] = name;
    return name;
  }
}

/** One literal address, with or without a zone; undefined when it is none. */
export function peerName(text: string): PeerName | undefined {
  const words = new Int32Array(4);
  return parseAddress(withoutZone(text), words) === 0 ? undefined : { text, words };
}

/** `fe80::1%eth0` without what follows the address. */
export function withoutZone(text: string): string {
  const zone = text.indexOf('%');
  return zone < 0 ? text : text.slice(0, zone);
}

/** Whether these are the words of an address. */
export function sameWords(words: Int32Array, w0: number, w1: number, w2: number, w3: number): boolean {
  return words[3] === w3 && words[2] === w2 && words[1] === w1 && words[0] === w0;
}

function bucketOf(w0: number, w1: number, w2: number, w3: number): number {
  const mixed = Math.imul(w0 ^ Math.imul(w1, 31) ^ Math.imul(w2, 961) ^ w3, 0x9e3779b1);
  return (mixed >>> 16) & (BUCKETS - 1);
}

const BUCKETS = 1024;
const LIMIT = 4096;
