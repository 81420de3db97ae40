// A plan for those who want to say only what matters to them: one client, one server, one connection, a
// path per link, bulk data. Everything else is quiet, and can be changed in the plan afterwards.
// Before it: a researcher, a test. After it: world.ts.

import type { LinkProfile } from '../netmodel/index.ts';
import type { ApplicationPlan } from './application.ts';
import type { HostPlan, WorldPlan } from './plan.ts';

export interface SimplePlanOptions {
  seed: number;
  /** One path each, from an interface of the client's own to the one of the server. */
  paths: readonly Pick<LinkProfile, 'forward' | 'backward'>[];
  /** What the client sends, and the server. */
  uploadBytes?: number;
  downloadBytes?: number;
}

/** A world with one connection over all of the paths. */
export function simplePlan(options: SimplePlanOptions): WorldPlan {
  const { seed, paths } = options;
  const client = quietHost('client');
  const server = quietHost('server');
  server.interfaces.push(quietInterface('10.2.0.1'));
  for (let i = 0; i < paths.length; i++) client.interfaces.push(quietInterface(`10.1.${i}.1`));
  return {
    seed,
    hosts: [client, server],
    paths: paths.map((link, i) => ({
      name: `p${i}`,
      from: { host: 0, interface: i },
      to: { host: 1, interface: 0 },
      forward: link.forward,
      backward: link.backward,
      reportsMtu: true,
      loseFirst: { forward: { syns: 0, others: 0 }, backward: { syns: 0, others: 0 } },
      middleboxes: [],
    })),
    connections: [
      {
        client: 0,
        server: 1,
        port: 443,
        startMs: 0,
        paths: paths.map((_, place) => ({ interface: place, backup: false })),
        serverInterface: 0,
        multipath: true,
        checksum: false,
        advertise: [],
        serverMultipath: true,
        clientApplication: simpleApplication({ sendBytes: options.uploadBytes ?? 0, finish: 'shutdown' }),
        serverApplication: simpleApplication({ sendBytes: options.downloadBytes ?? 0, finish: 'wait' }),
      },
    ],
    events: [],
    horizonMs: 24 * 3_600_000,
  };
}

/** An application that sends so many bytes at once, reads all there is and ends. */
export function simpleApplication(options: {
  sendBytes: number;
  finish: ApplicationPlan['finish'];
}): ApplicationPlan {
  return {
    send: options.sendBytes > 0 ? [{ bytes: options.sendBytes }] : [],
    writeBytes: 65_536,
    readBytes: 65_536,
    readEveryMs: 0,
    pauses: [],
    finish: options.finish,
    finishAfterReceivedBytes: 0,
    finishAfterWrittenBytes: 0,
    finishAfterMs: 0,
    noDelay: false,
    keepAliveMs: 0,
  };
}

function quietHost(name: string): HostPlan {
  return {
    name,
    interfaces: [],
    config: {},
    externalPorts: false,
    batchMs: 0,
    mergeReceived: false,
    timerLatenessMs: 0,
    inboxBytes: 16 << 20,
  };
}

function quietInterface(address: string): HostPlan['interfaces'][number] {
  return { address, mtu: 1_500, gsoMax: 65_535, checksumOffload: false };
}
