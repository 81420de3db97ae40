/**
 * `mptcp/sim`: the stack in a network of virtual time, where every run is repeatable from a seed.
 *
 * A world is made from one plan: hosts with interfaces, paths with rate, delay, queue, loss and the rest,
 * connections with what the applications do, and events. `new World(plan).run()` runs it until nothing is
 * left to happen and says which promise was broken, if any:
 *
 * ```ts
 * import { LINK_PROFILES, simplePlan, World } from 'mptcp/sim';
 * const plan = simplePlan({
 *   seed: 1,
 *   paths: [LINK_PROFILES.wifi, LINK_PROFILES.lte],
 *   uploadBytes: 1_000_000,
 * });
 * plan.events.push({ atMs: 200, type: 'path-down', path: 0 });
 * const world = new World(plan);
 * const { failures, virtualMs, fingerprint } = world.run();
 * console.log(world.connections[0].clientInfo?.subflows);
 * ```
 *
 * `world.at(ms, call)` runs code of your own at a virtual time, `world.drivers[i].host` is the host, and
 * `world.run({ untilMs })` stops to look. `drawWorld(seed)` draws a world as the swarm does, `runSwarm`
 * runs many, `replay` shows one packet by packet.
 */

export {
  LINK_PROFILES,
  type LinkProfile,
  MIDDLEBOX_ROWS,
  type MiddleboxPlan,
  type MiddleboxRow,
  type MiddleboxVariant,
  PathModel,
  type PathOptions,
  Random,
} from '../netmodel/index.ts';
export {
  Application,
  type ApplicationContext,
  type ApplicationPlan,
  type Finish,
  type ReadPause,
  type SendStep,
} from './application.ts';
export { EventKind, EventQueue, type SimEvent } from './clock.ts';
export { type ConnectionPath, ConnectionRun, type PathRun } from './connection-run.ts';
export { drawWorld } from './draw.ts';
export { HostDriver, Livelock } from './driver.ts';
export { seededEntropy } from './entropy.ts';
export { type Lane, Network, type NetworkInterface } from './network.ts';
export { type Broken, type Failure, ORACLES, type OracleName } from './oracles.ts';
export { PacketCapture } from './packet-capture.ts';
export { type PacketFate, PacketTrace } from './packet-trace.ts';
export type {
  ConnectionPathPlan,
  ConnectionPlan,
  FirstLosses,
  HostPlan,
  InterfacePlan,
  LinkPlan,
  PathPlan,
  WorldEvent,
  WorldPlan,
} from './plan.ts';
export { type ReplayOptions, replay, replayPlan } from './replay.ts';
export { type SimplePlanOptions, simpleApplication, simplePlan } from './simple-plan.ts';
export {
  replayCommand,
  runSeed,
  runSwarm,
  type SeedResult,
  type SwarmOptions,
  type SwarmResult,
} from './swarm.ts';
export { World, type WorldOptions, type WorldResult } from './world.ts';
