// Decides what a script's numbers are on the wire: sequence numbers and timestamps of a subflow count from its
// own beginnings, data sequence numbers from the keys, and names stand for keys and addresses.
// Read: RFC 8684 §3.1 to §3.3. Before: run-script. After: build-packet, match-packet.

import { createHash, createHmac } from 'node:crypto';

/** What the ends of one Multipath TCP connection know: their keys. */
export class Keys {
  readonly byName: Map<string, bigint> = new Map();
  local: bigint | null = null;
  remote: bigint | null = null;

  /** The live number of a relative one; `ofLocal`: in the data that the stack under test sends. */
  dsn(relative: bigint, ofLocal: boolean): bigint {
    const key = ofLocal ? this.local : this.remote;
    return key === null ? relative : BigInt.asUintN(64, initialDsn(key) + relative);
  }
}

/** RFC 8684 §3.1: the token, the most significant 32 bits of the key's hash. */
export function tokenOf(key: bigint): number {
  return hash(key).readUInt32BE(0);
}

/** RFC 8684 §3.1: the least significant 64 bits of it. */
function initialDsn(key: bigint): bigint {
  return hash(key).readBigUInt64BE(24);
}

function hash(key: bigint): Buffer {
  return createHash('sha256').update(bytesOf(key)).digest();
}

/** RFC 8684 §3.2: the HMAC that the sender of these keys and nonces puts into MP_JOIN. */
export function joinHmac(sender: bigint, receiver: bigint, ownNonce: number, otherNonce: number): Buffer {
  const message = Buffer.alloc(8);
  message.writeUInt32BE(ownNonce, 0);
  message.writeUInt32BE(otherNonce, 4);
  return hmac(sender, receiver, message);
}

/** RFC 8684 §3.4.1: of an announced address, its last 64 bits. */
export function addressHmac(
  sender: bigint,
  receiver: bigint,
  id: number,
  address: Buffer,
  port: number,
): Buffer {
  const message = Buffer.concat([Buffer.from([id]), address, Buffer.from([port >> 8, port & 255])]);
  return hmac(sender, receiver, message).subarray(24);
}

function hmac(sender: bigint, receiver: bigint, message: Buffer): Buffer {
  return createHmac('sha256', Buffer.concat([bytesOf(sender), bytesOf(receiver)]))
    .update(message)
    .digest();
}

export function bytesOf(key: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, key));
  return bytes;
}

/** One TCP connection of the script. */
export class Flow {
  local: string;
  localPort: number;
  readonly remote: string;
  readonly remotePort: number;
  /** The stack under test opened it. */
  readonly active: boolean;
  /** Sequence number 0 of each side. */
  localIsn: number | null = null;
  readonly remoteIsn: number;
  /** What the script writes for them in SYNs; in all other packets it counts from 0. */
  localOrigin: number | null = null;
  remoteOrigin: number | null = null;
  keys: Keys | null;
  localNonce = 0;
  readonly remoteNonce: number;
  /** Something other than a SYN came in, or there is another listener: a SYN is of another connection. */
  answered = false;
  /** Timestamp values of the script, by what the stack really sent. */
  readonly timestamps: Map<number, number> = new Map();
  firstTimestamp: { script: number; live: number } | null = null;

  constructor(options: {
    local: string;
    localPort: number;
    remote: string;
    remotePort: number;
    active: boolean;
    keys: Keys | null;
    number: number;
  }) {
    this.local = options.local;
    this.localPort = options.localPort;
    this.remote = options.remote;
    this.remotePort = options.remotePort;
    this.active = options.active;
    this.keys = options.keys;
    // A beginning near the wrap, and another for each.
    this.remoteIsn = (0xffff_f000 + options.number * 0x1000_0000) >>> 0;
    this.remoteNonce = 0x1234_5678 + options.number;
  }

  /** The live number of one that the stack sends, or acknowledges when it receives. */
  localNumber(script: number, isSyn: boolean): number {
    return ((this.localIsn ?? 0) + script - (isSyn ? (this.localOrigin ?? 0) : 0)) >>> 0;
  }

  remoteNumber(script: number, isSyn: boolean): number {
    return (this.remoteIsn + script - (isSyn ? (this.remoteOrigin ?? 0) : 0)) >>> 0;
  }

  /** What the stack wrote where the script says `value`. */
  liveEcho(value: number): number {
    const known = this.timestamps.get(value);
    if (known !== undefined) return known;
    const first = this.firstTimestamp;
    return first === null ? value : (first.live + value - first.script) >>> 0;
  }

  noteTimestamp(script: number, live: number): void {
    this.timestamps.set(script, live);
    this.firstTimestamp ??= { script, live };
  }
}

/** The names of addresses in a script: `addr[caddr1]`. */
export class Addresses {
  readonly byName: Map<string, string> = new Map();
  readonly isV6: boolean;

  constructor(isV6: boolean) {
    this.isV6 = isV6;
  }

  local(number: number): string {
    return this.isV6 ? `fd3d:a0b:17d6::${(number + 1).toString(16)}` : `192.168.0.${number + 1}`;
  }

  remote(number: number): string {
    return this.isV6 ? `fd3d:fa7b:d17d::${(number + 1).toString(16)}` : `192.0.2.${number + 1}`;
  }

  /** packetdrill has a route to the network of the remote addresses alone. */
  isRouted(address: string): boolean {
    return address.startsWith(this.isV6 ? 'fd3d:fa7b:d17d:' : '192.0.2.');
  }

  /** What a name stands for; one that is new gets the local or remote address of its number. */
  named(name: string, isLocal: boolean): string {
    let address = this.byName.get(name);
    if (address === undefined) {
      const number = Number(/\d+$/.exec(name)?.[0] ?? 0);
      address = isLocal ? this.local(number) : this.remote(number);
      this.byName.set(name, address);
    }
    return address;
  }
}

/** The bytes of an address literal as this runner writes them. */
export function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number));
  const [head, tail] = address.split('::');
  const groups = (part: string | undefined) => (part ? part.split(':') : []);
  const left = groups(head);
  const right = groups(tail);
  const middle = new Array(8 - left.length - right.length).fill('0');
  const words = tail === undefined ? left : [...left, ...middle, ...right];
  return Buffer.from(
    words.flatMap(word => [Number.parseInt(word, 16) >> 8, Number.parseInt(word, 16) & 255]),
  );
}

/** The literal of address bytes. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const words = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return words.join(':').replace(/(?:^|:)0(?::0)+(?::|$)/, '::');
}
