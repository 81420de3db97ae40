// Shows what happened in the world of a seed, packet by packet.
// Before it: a failing seed. After it: the eyes of whoever looks for the fault.

import { drawWorld } from './draw.ts';
import { PacketCapture } from './packet-capture.ts';
import { PacketTrace } from './packet-trace.ts';
import type { WorldPlan } from './plan.ts';
import { World, type WorldResult } from './world.ts';

export interface ReplayOptions {
  /** Takes the lines: the plan, then every packet, event and notice in order. Default: nobody. */
  trace?: (line: string) => void;
  /** Takes the bytes of a capture, pcapng: one interface a path, virtual time counted from 1970. */
  capture?: (bytes: Uint8Array) => void;
}

/** Runs the world of a seed again. */
export function replay(seed: number, options: ReplayOptions = {}): WorldResult {
  return replayPlan(drawWorld(seed), options);
}

/** Runs a world from its plan: a drawn one, or one cut down by hand. */
export function replayPlan(plan: WorldPlan, options: ReplayOptions = {}): WorldResult {
  const capture = options.capture && {
    capture: new PacketCapture(
      options.capture,
      plan.paths.map(path => path.name),
    ),
  };
  const { trace } = options;
  if (trace === undefined) return new World(plan, { ...capture }).run();
  for (const line of describePlan(plan)) trace(line);
  const world = new World(plan, { trace: new PacketTrace(trace), ...capture });
  const result = world.run();
  for (const run of world.connections) {
    for (const app of [run.client, run.server]) {
      const error = app.error === null ? '' : `, ${app.error}: ${app.errorReason}`;
      const state = app.connection === undefined ? 'not connected' : app.done ? 'done' : 'not done';
      trace(`${app.name}: ${state}, ${app.writtenBytes} written, ${app.receivedBytes} read${error}`);
    }
  }
  for (const failure of result.failures) {
    trace(`FAILED at ${failure.timeMs.toFixed(3)} ms, ${failure.oracle}: ${failure.message}`);
  }
  return result;
}

function describePlan(plan: WorldPlan): string[] {
  return [
    `world ${plan.seed}`,
    ...plan.hosts.map(host => `host ${JSON.stringify(host)}`),
    ...plan.paths.map(path => `path ${JSON.stringify(path)}`),
    ...plan.connections.map(connection => `connection ${JSON.stringify(connection)}`),
    ...plan.events.map(event => `event ${JSON.stringify(event)}`),
  ];
}
