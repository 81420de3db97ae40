// The protocol stack of this process: one host, its driver and its network, made when first needed.
//
// Decides: that all clients and servers with the same settings share one (a connection to oneself then never
// leaves the process's own tables), and where entropy and hashes come from.
// Walk: api/connector and api/server begin here.

import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { Host } from '../host/index.ts';
import { Driver } from './driver.ts';
import { Network } from './network.ts';
import type { ProtocolConfig } from './options.ts';

/** What distinguishes one stack from another. */
export interface StackSettings {
  readonly mtu?: number;
  readonly config?: ProtocolConfig;
}

/** A host that runs. */
export interface Stack {
  readonly driver: Driver;
  readonly network: Network;
}

/** The stack for these settings; the same one for the same settings. */
export function stackFor(settings: StackSettings): Stack {
  const key = JSON.stringify([settings.mtu ?? 0, Object.entries(settings.config ?? {}).sort()]);
  let stack = stacks.get(key);
  if (stack === undefined) {
    stack = makeStack(settings);
    stacks.set(key, stack);
  }
  return stack;
}

function makeStack(settings: StackSettings): Stack {
  const host = new Host({
    entropy: {
      randomBytes: into => {
        randomFillSync(into);
      },
      sha256: data => createHash('sha256').update(data).digest(),
      hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
    },
    config: { subflowKeepAliveMs: NAT_KEEPALIVE_MS, ...settings.config },
    externalPorts: true,
  });
  const driver = new Driver(host);
  const network = new Network({ driver, ...(settings.mtu === undefined ? {} : { mtu: settings.mtu }) });
  return { driver, network };
}

/** NATs forget UDP flows that are silent for half a minute. */
const NAT_KEEPALIVE_MS = 20_000;
const stacks: Map<string, Stack> = new Map();
