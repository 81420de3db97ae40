// The protocol stack of this process: one host, its driver and its network, made when first needed.
//
// Decides: that all clients and servers with the same settings share one (a connection to oneself then never
// leaves the process's own tables), where entropy and hashes come from, and that a stack which holds on to
// something others could want – a device, a file – goes when nobody uses it any more.
// Walk: api/connector and api/server begin here.

import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { Host } from '../host/index.ts';
import { captureFileAt } from './capture-file.ts';
import { Driver } from './driver.ts';
import { Network } from './network.ts';
import type { ProtocolConfig } from './options.ts';
import { TunAddresses } from './tun-addresses.ts';

/** What distinguishes one stack from another. */
export interface StackSettings {
  readonly link?: 'udp' | 'tun' | undefined;
  readonly mtu?: number | undefined;
  readonly pcap?: string | undefined;
  readonly config?: ProtocolConfig | undefined;
}

/** A host that runs. */
export interface Stack {
  readonly driver: Driver;
  readonly network: Network;
}

/** The stack for these settings; the same one for the same settings. */
export function stackFor(settings: StackSettings): Stack {
  const { link, mtu, pcap, config } = settings;
  const key = JSON.stringify([link ?? 'udp', mtu ?? 0, pcap ?? '', Object.entries(config ?? {}).sort()]);
  let stack = stacks.get(key);
  if (stack === undefined) {
    stack = makeStack(settings, () => stacks.delete(key));
    stacks.set(key, stack);
  }
  return stack;
}

function makeStack({ link, mtu, pcap, config }: StackSettings, forget: () => void): Stack {
  const overTun = link === 'tun';
  const file = pcap === undefined ? undefined : captureFileAt(pcap);
  const host = new Host({
    entropy: {
      randomBytes: into => {
        randomFillSync(into);
      },
      sha256: data => createHash('sha256').update(data).digest(),
      hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
    },
    // An idle client joins at once, so that it can be moved before it has sent anything.
    config: { firstDataAck: true, ...(overTun ? {} : { subflowKeepAliveMs: NAT_KEEPALIVE_MS }), ...config },
    externalPorts: !overTun,
  });
  const driver = new Driver(host);
  const onIdle = (): void => {
    forget();
    file?.release();
  };
  const network = new Network({
    driver,
    ...(mtu === undefined ? {} : { mtu }),
    ...(overTun ? { tun: new TunAddresses(mtu), addresses: () => [] } : {}),
    ...(file === undefined ? {} : { record: opened => file.capture.record(opened) }),
    // What a udp link holds, it gives back port by port.
    ...(overTun || file !== undefined ? { onIdle } : {}),
  });
  return { driver, network };
}

/** NATs forget UDP flows that are silent for half a minute. */
const NAT_KEEPALIVE_MS = 20_000;
const stacks: Map<string, Stack> = new Map();
