// Our stack over the same links as the kernel, in virtual time: one plain TCP connection, or one of Multipath TCP with a
// single subflow.

import type { Config } from '../../src/host/index.ts';
import { simplePlan, World } from '../../src/sim/index.ts';
import { BULK_SECONDS, type Cell, cellName, linkOf, TRANSFER_BYTES } from './cells.ts';

export interface OwnFlow {
  readonly multipath: boolean;
  readonly config: Partial<Config>;
  /** Added to the round trip of the cell. */
  readonly extraRttMs?: number;
  /** Called every tenth of a second of a bulk flow with the seconds and the bytes acknowledged. */
  readonly onSample?: (seconds: number, bytes: number, world: World) => void;
}

/** Mbit/s that were acknowledged in the time of a bulk flow. */
export function bulkMbps(cell: Cell, seed: number, flow: OwnFlow): number {
  // More than the link can carry meanwhile.
  const world = worldOf(cell, seed, flow, 4e6 * BULK_SECONDS);
  const client = world.connections[0].client;
  const acknowledged = (): number => client.writtenBytes - (client.connection?.unacknowledgedBytes ?? 0);
  runTo(world, () => client.connected, CONNECT_MS);
  const startMs = client.connectedMs;
  for (let tenth = 1; tenth <= 10 * BULK_SECONDS; tenth++) {
    world.run({ untilMs: startMs + 100 * tenth });
    flow.onSample?.(tenth / 10, acknowledged(), world);
  }
  if (world.failures.length > 0) throw new Error(`${cellName(cell)}: ${world.failures[0].message}`);
  return (acknowledged() * 8) / BULK_SECONDS / 1e6;
}

/** Milliseconds from the call of connect to the arrival of the last byte of a short transfer. */
export function transferMs(cell: Cell, seed: number, flow: OwnFlow): number {
  const world = worldOf(cell, seed, flow, TRANSFER_BYTES);
  const server = world.connections[0].server;
  runTo(world, () => server.receivedBytes === TRANSFER_BYTES, TRANSFER_LIMIT_MS);
  if (world.failures.length > 0) throw new Error(`${cellName(cell)}: ${world.failures[0].message}`);
  return server.lastReceivedMs - world.connections[0].openedMs;
}

function worldOf(cell: Cell, seed: number, flow: OwnFlow, uploadBytes: number): World {
  const plan = simplePlan({ seed, paths: [linkOf(cell, seed, flow.extraRttMs)], uploadBytes });
  plan.connections[0].multipath = flow.multipath;
  for (const host of plan.hosts) host.config = flow.config;
  return new World(plan);
}

function runTo(world: World, condition: () => boolean, limitMs: number): void {
  while (!condition()) {
    if (world.failures.length > 0) throw new Error(world.failures[0].message);
    if (world.nowMs > limitMs || !world.queue.next) throw new Error(`not within ${limitMs} ms`);
    world.run({ untilMs: world.queue.nextTimeMs });
  }
}

const CONNECT_MS = 10_000;
const TRANSFER_LIMIT_MS = 120_000;
