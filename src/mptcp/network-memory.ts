// Decides what is remembered of a network – that SYNs with MP_CAPABLE do not come back from it, that payload
// is changed on it – so that only the first connection pays for finding out. Read: RFC 8684 §3.9.3 ("a
// system-wide cache of such information").
// Before: handshake, fallback, options-in report. After: opening asks.

import type { NetworkInterface } from '../tcp/index.ts';
import type { MultipathConnection } from './connection.ts';
import type { Subflow } from './subflow.ts';

/** What is held against one network, and until when. */
export interface NetworkRecord {
  readonly network: string;
  /** SYNs with MP_CAPABLE were lost or refused where plain ones were not. */
  optionsDroppedUntilMs: number;
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
      record => record.optionsDroppedUntilMs > now || record.payloadAlteredUntilMs > now,
    );
  }

  optionsDropped(network: string, untilMs: number): void {
    this.record(network).optionsDroppedUntilMs = untilMs;
  }

  /** An answer with MP_CAPABLE has come from there after all. */
  optionsPass(network: string): void {
    const record = this.records.get(network);
    if (record !== undefined) record.optionsDroppedUntilMs = -Infinity;
  }

  payloadAltered(network: string, untilMs: number): void {
    this.record(network).payloadAlteredUntilMs = untilMs;
  }

  private record(network: string): NetworkRecord {
    let record = this.records.get(network);
    if (record === undefined) {
      record = { network, optionsDroppedUntilMs: -Infinity, payloadAlteredUntilMs: -Infinity };
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
): { dropsOptions: boolean; altersPayload: boolean } {
  const record = connection.owner.networks.find(network);
  if (record === undefined || connection.env.config.blackholeTimeoutMs === 0) {
    return { dropsOptions: false, altersPayload: false };
  }
  return {
    dropsOptions: record.optionsDroppedUntilMs > now,
    altersPayload: record.payloadAlteredUntilMs > now,
  };
}

/** A plain SYN was answered where one with MP_CAPABLE was lost or refused. */
export function optionsDropped(subflow: Subflow, now: number): void {
  const { env, owner } = subflow.connection;
  if (env.config.blackholeTimeoutMs === 0) return;
  env.counters.Blackhole++;
  owner.networks.optionsDropped(subflow.tcb.networkInterface.network, now + env.config.blackholeTimeoutMs);
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
