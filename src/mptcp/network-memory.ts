// Decides what is remembered of a network – that SYNs with MP_CAPABLE do not come back from it, that payload
// is changed on it – so that only the first connection pays for finding out. Read: RFC 8684 §3.9.3 ("a
// system-wide cache of such information").
// Before: handshake, fallback, options-in report. After: opening asks.

import type { NetworkInterface } from '../tcp/index.ts';
import { SYN_ALWAYS_CAPABLE } from './config.ts';
import type { MultipathConnection } from './connection.ts';
import type { Subflow } from './subflow.ts';

/** What becomes of MP_CAPABLE on a network, as far as is known. */
export const Options = {
  PASS: 0,
  /** One connection found it lost or refused where a plain SYN was not: maybe by chance. */
  SUSPECT: 1,
  /** The next one found the same. */
  DROPPED: 2,
} as const;
export type Options = (typeof Options)[keyof typeof Options];

/** What is held against one network, and until when. */
export interface NetworkRecord {
  readonly network: string;
  options: Options;
  optionsUntilMs: number;
  /** DSS checksums were wrong. */
  payloadAlteredUntilMs: number;
}

/** What a host knows of the networks it is on; the names are those of its interfaces. */
export class NetworkMemory {
  private readonly records: Map<string, NetworkRecord> = new Map();

  find(network: string): NetworkRecord | undefined {
    return this.records.get(network);
  }

  /** Everything that still holds. */
  entries(now: number): NetworkRecord[] {
    return [...this.records.values()].filter(
      record => record.optionsUntilMs > now || record.payloadAlteredUntilMs > now,
    );
  }

  /** `confirmed`: by a connection that had been warned. */
  optionsDropped(network: string, confirmed: boolean, untilMs: number): void {
    const record = this.record(network);
    if (confirmed) record.options = Options.DROPPED;
    else if (record.options === Options.PASS) record.options = Options.SUSPECT;
    record.optionsUntilMs = untilMs;
  }

  /** An answer with MP_CAPABLE has come from there after all. */
  optionsPass(network: string): void {
    const record = this.records.get(network);
    if (record === undefined) return;
    record.options = Options.PASS;
    record.optionsUntilMs = -Infinity;
  }

  payloadAltered(network: string, untilMs: number): void {
    this.record(network).payloadAlteredUntilMs = untilMs;
  }

  private record(network: string): NetworkRecord {
    let record = this.records.get(network);
    if (record === undefined) {
      const [options, optionsUntilMs, payloadAlteredUntilMs] = [Options.PASS, -Infinity, -Infinity];
      record = { network, options, optionsUntilMs, payloadAlteredUntilMs };
      for (const oldest of this.records.keys()) {
        if (this.records.size < MOST_NETWORKS) break;
        this.records.delete(oldest);
      }
      this.records.set(network, record);
    }
    return record;
  }
}

/** What a client must know of the network its first SYN leaves by. */
export function knownOf(
  connection: MultipathConnection,
  { network }: NetworkInterface,
  now: number,
): { options: Options; altersPayload: boolean } {
  const record = connection.owner.networks.find(network);
  if (record === undefined || connection.env.config.blackholeTimeoutMs === 0) {
    return { options: Options.PASS, altersPayload: false };
  }
  return {
    options: record.optionsUntilMs > now ? record.options : Options.PASS,
    altersPayload: record.payloadAlteredUntilMs > now,
  };
}

/**
 * A plain SYN was answered where one with MP_CAPABLE was lost or refused.
 * DEVIATION (Linux: at once for an hour): loss takes two SYNs and spares a third now and then, which would
 * cost a network without any middlebox its multipath. The next connection is only warned: it sends both SYNs
 * at once, which costs no time.
 */
export function optionsDropped(subflow: Subflow, now: number): void {
  const { env, owner } = subflow.connection;
  if (env.config.blackholeTimeoutMs === 0) return;
  env.counters.Blackhole++;
  const { network } = subflow.tcb.networkInterface;
  const asLinux = env.config.synRetransBeforeFallback < SYN_ALWAYS_CAPABLE;
  const warned = asLinux || subflow.plainCause === 'network-remembered';
  owner.networks.optionsDropped(network, warned, now + env.config.blackholeTimeoutMs);
}

/**
 * A DSS checksum was wrong, here or at the peer. Only a client remembers: a server's network would be charged
 * with what those of its clients do.
 */
export function payloadAltered(subflow: Subflow, now: number): void {
  const { client, env, owner } = subflow.connection;
  if (!client || env.config.blackholeTimeoutMs === 0) return;
  owner.networks.payloadAltered(subflow.tcb.networkInterface.network, now + env.config.blackholeTimeoutMs);
}

const MOST_NETWORKS = 64;
