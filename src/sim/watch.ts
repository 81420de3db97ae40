// Holds every oracle to a running world: some after each turn of a host, some once a second of virtual
// time, the rest when the world is over.
// Before it: world.ts calls. After it: oracles.ts judges, `World.fail` keeps the verdict.

import type { ConnectionRun } from './connection-run.ts';
import {
  type Broken,
  checkBuffers,
  checkMultipath,
  checkNews,
  checkOutcome,
  checkStream,
  ProgressWatch,
  progressBoundMs,
} from './oracles.ts';
import type { PathPlan, WorldPlan } from './plan.ts';
import type { World } from './world.ts';

export class Watch {
  private readonly world: World;
  private readonly progress: Map<ConnectionRun, { up: ProgressWatch; down: ProgressWatch }> = new Map();

  constructor(world: World) {
    this.world = world;
  }

  /** A connection was opened. */
  opened(run: ConnectionRun, nowMs: number): void {
    const { client, server } = run;
    this.progress.set(run, {
      up: new ProgressWatch({
        name: `client ${run.index} to server`,
        sender: client,
        receiver: server,
        nowMs,
      }),
      down: new ProgressWatch({
        name: `server ${run.index} to client`,
        sender: server,
        receiver: client,
        nowMs,
      }),
    });
  }

  /** A host had its turn and has nothing more to say. */
  turn(host: number, nowMs: number): void {
    for (const run of this.world.connections) {
      if (run.plan.client === host) this.checkApplication(run, 'client', nowMs);
      if (run.plan.server === host) this.checkApplication(run, 'server', nowMs);
    }
  }

  /** Once in a while; false when all connections are done. */
  check(nowMs: number): boolean {
    let unfinished = false;
    for (const run of this.world.connections) {
      const watches = this.progress.get(run);
      if (!run.done) unfinished = true;
      if (watches !== undefined && !run.done) this.checkProgress(run, watches, nowMs);
    }
    return unfinished;
  }

  /** The world is over: nothing is left to happen, or its horizon is reached. */
  end(): void {
    const { world } = this;
    for (const run of world.connections) {
      if (run.skipped) continue;
      const { client, server } = run;
      this.report(checkStream(`client ${run.index} to server`, client, server));
      this.report(checkStream(`server ${run.index} to client`, server, client));
      this.report(checkOutcome(run, run.excuse(world.nowMs)));
      const first = run.paths[0].path;
      const lostFirst = first.forward.lostPackets + first.backward.lostPackets;
      const interferences = first.forward.interferences + first.backward.interferences;
      // Both SYNs of the race may be answered late, by a machine that stood still or over a long path, and
      // the answers overtake each other: nobody can tell that from an option that was lost.
      const overtaken = first.reorders && run.clientInfo?.fallback?.cause === 'syn-unanswered';
      const disturbed = lostFirst + interferences > 0 || overtaken;
      this.report(checkMultipath(run, { benign: isBenign(world.plan), disturbed }));
    }
    if (world.failures.length === 0) this.checkLeftover();
  }

  private checkApplication(run: ConnectionRun, side: 'client' | 'server', nowMs: number): void {
    const app = run[side];
    const { config } = this.world.plan.hosts[run.plan[side]];
    // A frozen machine tells its application nothing until it thaws.
    const frozen = nowMs < this.world.drivers[run.plan[side]].frozenUntilMs;
    const broken =
      (frozen ? null : checkNews(app, nowMs)) ??
      checkBuffers(app, {
        sendBytes: config.sendBufferBytes ?? DEFAULT_BUFFER_BYTES,
        receiveBytes: config.receiveBufferBytes ?? DEFAULT_BUFFER_BYTES,
      });
    if (broken !== null) this.world.fail(broken);
  }

  private checkProgress(
    run: ConnectionRun,
    watches: { up: ProgressWatch; down: ProgressWatch },
    nowMs: number,
  ): void {
    const { client, server, plan } = run;
    for (const [side, app] of [
      ['client', client],
      ['server', server],
    ] as const) {
      if (app.connection !== undefined && !app.done) run.observe(side, app.connection);
    }
    const { drivers } = this.world;
    const runnableSinceMs = Math.max(drivers[plan.client].frozenUntilMs, drivers[plan.server].frozenUntilMs);
    const boundMs = progressBoundMs(Math.max(...run.paths.map(one => one.path.maxRttMs)));
    const first = run.paths[0].path;
    // A path taken away before the server had accepted is no better than one that lost the third ACK.
    const lossless = first.forward.lostPackets + first.backward.lostPackets === 0 && !run.lostItsStart;
    const common = { runnableSinceMs, boundMs, lossless };
    const verdicts = [
      watches.up.check(nowMs, { ...common, working: () => run.pathsInUse('client') }),
      watches.down.check(nowMs, { ...common, working: () => run.pathsInUse('server') }),
    ];
    for (const message of verdicts) if (message !== '') this.world.fail({ oracle: 'progress', message });
  }

  private checkLeftover(): void {
    const fail = (message: string) => this.world.fail({ oracle: 'leftover', message });
    for (const driver of this.world.drivers) {
      const { host, plan } = driver;
      const connections = [...host.connections].length;
      if (connections > 0) fail(`${plan.name}: ${connections} connections`);
      const deadlineMs = host.nextDeadline();
      if (deadlineMs !== Number.POSITIVE_INFINITY) fail(`${plan.name}: a timer at ${deadlineMs} ms`);
      if (host.nextReady() !== undefined) fail(`${plan.name}: news nobody was told`);
      const opened = this.world.portsOpenedFor(driver.index);
      if (opened > driver.releasedPorts) fail(`${plan.name}: ${opened - driver.releasedPorts} ports kept`);
    }
    const { inUse } = this.world.network.pool;
    if (inUse > 0) fail(`${inUse} packets on the way to nowhere`);
  }

  private report(broken: Broken[]): void {
    for (const one of broken) this.world.fail(one);
  }
}

// Nothing in the plan gets in a connection's way, and it lasts long enough to join every path.
function isBenign(plan: WorldPlan): boolean {
  if (plan.events.length > 0 || plan.paths.some(path => isBlackHole(plan, path))) return false;
  const lanes = plan.paths.flatMap(path => [path.forward, path.backward]);
  if (lanes.some(lane => lane.loss || lane.burstLoss || lane.corrupt || lane.reorder || lane.duplicate)) {
    return false;
  }
  return plan.paths.every(({ loseFirst: { forward, backward }, middleboxes }) => {
    if (middleboxes.length > 0) return false;
    return forward.syns + forward.others + backward.syns + backward.others === 0;
  });
}

// Packets too large for it vanish without a word. That takes two timeouts to find out (tcp/timers), 9 s when
// no round trip has been measured, and until the first data has arrived nothing can be joined.
function isBlackHole({ hosts }: WorldPlan, { from, to, forward, backward, reportsMtu }: PathPlan): boolean {
  const ends = [from, to].map(end => hosts[end.host].interfaces[end.interface].mtu);
  return !reportsMtu && [forward, backward].some(lane => (lane.mtu ?? Infinity) < Math.min(...ends));
}

const DEFAULT_BUFFER_BYTES = 4 << 20;
