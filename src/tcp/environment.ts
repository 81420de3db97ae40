// Decides what the core is handed from outside: entropy and hashes, configuration, counters, and the two
// reused segment objects. No clock: `now` is an argument everywhere (milliseconds, monotonic, fractional).

import { Segment } from '../wire/index.ts';
import type { TcpConfig } from './config.ts';
import type { CounterName } from './counters.ts';

/** Synchronous entropy and hashes; node:crypto in the API, seeded in the simulator. */
export interface Entropy {
  /** Fills the array with unpredictable bytes. */
  randomBytes(into: Uint8Array): void;
  sha256(data: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
}

/** One local address and the limits of the link behind it. */
export interface NetworkInterface {
  readonly id: number;
  readonly name: string;
  readonly address: string;
  readonly family: 4 | 6;
  /** Address as four int32 words (wire/address). */
  readonly words: Int32Array;
  /** Largest IP packet in bytes. */
  mtu: number;
  /** Largest IP packet the link takes from us and splits itself, 65,535 at most. */
  readonly gsoMax: number;
  /** TCP checksums are neither computed nor verified. */
  readonly checksumOffload: boolean;
  /** Names the network behind it: what middleboxes there do is remembered by it. */
  readonly network: string;
  /** False once the address has gone. */
  up: boolean;
}

/**
 * What every connection of a host shares: counters, entropy, the packet being read and the one being written.
 */
export class Shared {
  readonly entropy: Entropy;
  readonly counters: Record<CounterName, number>;
  /** Outgoing segment, refilled for each packet. */
  readonly out: Segment = new Segment();
  /** Interface and largest payload per wire packet of the packet just written. */
  transmitInterface = 0;
  transmitSegmentSize = 0;
  /** Buffer and length of the packet being received. */
  inBytes: Uint8Array = new Uint8Array(0);
  inPacketBytes = 0;
  /** What packets to an address may measure, by its words, as routers have said; and until when it counts. */
  readonly pathMtus: Map<string, { mtuBytes: number; untilMs: number }> = new Map();
  private readonly pool: Uint8Array = new Uint8Array(256);
  private poolAt: number = this.pool.length;

  constructor(options: { entropy: Entropy; counters: Record<CounterName, number> }) {
    this.entropy = options.entropy;
    this.counters = options.counters;
  }

  /** 32 unpredictable bits. */
  random32(): number {
    if (this.poolAt + 4 > this.pool.length) {
      this.entropy.randomBytes(this.pool);
      this.poolAt = 0;
    }
    const i = this.poolAt;
    this.poolAt += 4;
    const p = this.pool;
    return ((p[i] << 24) | (p[i + 1] << 16) | (p[i + 2] << 8) | p[i + 3]) >>> 0;
  }
}

/** What a connection is handed: the shared part and the configuration in force for it. */
export class Environment<C extends TcpConfig = TcpConfig> {
  config: C;
  readonly shared: Shared;
  readonly entropy: Entropy;
  readonly counters: Record<CounterName, number>;
  readonly out: Segment;

  constructor(options: { config: C; shared: Shared }) {
    this.config = options.config;
    this.shared = options.shared;
    this.entropy = options.shared.entropy;
    this.counters = options.shared.counters;
    this.out = options.shared.out;
  }

  /** The same host with another configuration. */
  withConfig(config: C): Environment<C> {
    return new Environment({ config, shared: this.shared });
  }

  random32(): number {
    return this.shared.random32();
  }
}
