// A world: hosts, network, connections and applications made from one plan, run in virtual time until
// nothing is left to happen. Everything random comes from the plan's seed, so a plan run twice gives the
// same packets at the same times: `fingerprint` says so.
// Before it: draw.ts draws plans, people write them. After it: swarm.ts collects results, replay.ts
// prints traces.

import { type Connection, Host, Listener, type PathOptions, Ready } from '../host/index.ts';
import { MiddleboxChain, Random } from '../netmodel/index.ts';
import { parseAddress } from '../wire/index.ts';
import { Application } from './application.ts';
import { EventKind, EventQueue } from './clock.ts';
import { addressKey, ConnectionRun, type PathRun } from './connection-run.ts';
import { streamKey } from './content.ts';
import { HostDriver, Livelock } from './driver.ts';
import { seededEntropy } from './entropy.ts';
import { Fingerprint } from './fingerprint.ts';
import { Network } from './network.ts';
import type { Broken, Failure, OracleName } from './oracles.ts';
import type { PacketCapture } from './packet-capture.ts';
import type { PacketTrace } from './packet-trace.ts';
import type { ConnectionPathPlan, ConnectionPlan, LinkPlan, PathPlan, WorldPlan } from './plan.ts';
import { applyEvent } from './scenario.ts';
import { Watch } from './watch.ts';

/** How a world ended. */
export interface WorldResult {
  seed: number;
  failures: Failure[];
  /** Hash over every packet on the wire and its time. */
  fingerprint: string;
  virtualMs: number;
  /** Wire packets that entered a path. */
  packets: number;
  /** Bytes read by all applications. */
  deliveredBytes: number;
}

/** What is not part of the plan: it changes nothing that happens. */
export interface WorldOptions {
  trace?: PacketTrace;
  capture?: PacketCapture;
  /** For worlds made to break a promise: true for what is not to be held against this one. */
  overlooks?: (broken: Broken) => boolean;
  /** Told of every byte an application reads. */
  onRead?: (app: Application, bytes: Uint8Array, offset: number, length: number) => void;
}

export class World {
  readonly plan: WorldPlan;
  readonly queue: EventQueue = new EventQueue();
  readonly network: Network;
  readonly drivers: HostDriver[] = [];
  readonly paths: PathRun[] = [];
  readonly connections: ConnectionRun[] = [];
  readonly failures: Failure[] = [];

  private readonly options: WorldOptions;
  private readonly random: Random;
  private readonly hash: Fingerprint = new Fingerprint();
  private readonly trace: PacketTrace | undefined;
  private readonly watch: Watch;
  private readonly buffer: Uint8Array = new Uint8Array(1 << 18);
  private readonly calls: (() => void)[] = [];
  private readonly pathByAddresses: Map<string, PathRun> = new Map();
  private readonly listeners: Map<string, Listener> = new Map();
  private readonly portsOpened: number[] = [];
  private turnsAtInstant = 0;
  private instantMs = -1;
  private listening = true;

  constructor(plan: WorldPlan, options: WorldOptions = {}) {
    this.plan = plan;
    this.options = options;
    this.random = new Random(plan.seed).fork('world');
    this.trace = options.trace;
    this.network = new Network({ queue: this.queue, fingerprint: this.hash });
    this.network.trace = options.trace;
    this.network.capture = options.capture;
    this.network.onViolation = message => this.fail({ oracle: 'wire', message });
    this.watch = new Watch(this);
    for (let i = 0; i < plan.hosts.length; i++) this.addHost(i);
    for (let i = 0; i < plan.paths.length; i++) this.addPath(i, plan.paths[i]);
    for (let i = 0; i < plan.connections.length; i++) this.addConnection(i, plan.connections[i]);
    plan.events.forEach((event, i) => {
      this.queue.schedule(event.atMs, EventKind.SCENARIO, i, 0);
    });
    this.queue.schedule(CHECK_INTERVAL_MS, EventKind.CHECK, 0, 0);
  }

  /** Virtual time now. */
  get nowMs(): number {
    return this.queue.nowMs;
  }

  /** The hash over all packets so far. */
  get fingerprint(): string {
    return this.hash.toString();
  }

  /** Calls back at that virtual time; what it does to a host is followed by a turn of that host. */
  at(timeMs: number, call: () => void): void {
    this.queue.schedule(timeMs, EventKind.CALL, this.calls.push(call) - 1, 0);
  }

  /** Runs until nothing is left to happen, a promise is broken, or the given time. */
  run(options: { untilMs?: number } = {}): WorldResult {
    const untilMs = Math.min(options.untilMs ?? Number.POSITIVE_INFINITY, this.plan.horizonMs);
    try {
      while (this.failures.length === 0 && this.queue.nextTimeMs <= untilMs && this.queue.next()) {
        this.instant();
      }
      if (this.failures.length === 0 && options.untilMs === undefined) this.watch.end();
    } catch (error) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.fail({ oracle: error instanceof Livelock ? 'livelock' : 'exception', message: text });
    }
    return this.result();
  }

  /** Where it stands. */
  result(): WorldResult {
    let deliveredBytes = 0;
    for (const run of this.connections) deliveredBytes += run.client.receivedBytes + run.server.receivedBytes;
    return {
      seed: this.plan.seed,
      failures: this.failures,
      fingerprint: this.fingerprint,
      virtualMs: this.queue.nowMs,
      packets: this.network.packets,
      deliveredBytes,
    };
  }

  /** A promise was broken: the run stops. */
  fail(broken: Broken): void {
    if (this.options.overlooks?.(broken)) return;
    this.failures.push({ ...broken, timeMs: this.queue.nowMs });
    this.trace?.remark(this.queue.nowMs, `FAILED ${broken.oracle}: ${broken.message}`);
  }

  /** Local ports the machine has opened for this host, where it opens them. */
  portsOpenedFor(host: number): number {
    return this.portsOpened[host];
  }

  private addHost(index: number): void {
    const plan = this.plan.hosts[index];
    const random = this.random.fork(`host ${index}`);
    const host = new Host({
      entropy: seededEntropy(random.fork('entropy')),
      config: plan.config,
      externalPorts: plan.externalPorts,
    });
    const driver = new HostDriver({
      host,
      index,
      plan,
      queue: this.queue,
      network: this.network,
      random: random.fork('timers'),
      onReady: (endpoint, nowMs) => this.ready(driver, endpoint, nowMs),
      onWake: (connection, side, nowMs) => {
        const run = this.connections[connection];
        (side === 0 ? run.client : run.server).wake(nowMs);
      },
    });
    this.drivers.push(driver);
    this.portsOpened.push(0);
  }

  private addPath(index: number, plan: PathPlan): void {
    const one = this.drivers[plan.from.host];
    const other = this.drivers[plan.to.host];
    const from = one.interfaces[plan.from.interface];
    const to = other.interfaces[plan.to.interface];
    const random = this.random.fork(`path ${index}`);
    const middlebox = plan.middleboxes.length > 0 ? new MiddleboxChain(plan.middleboxes) : undefined;
    const common = { path: index, reportsMtu: plan.reportsMtu, middlebox };
    const forward = this.network.addLane({
      ...common,
      name: `${plan.name} >`,
      from,
      to,
      link: plan.forward,
      loseFirst: plan.loseFirst.forward,
      direction: 'forward',
      random: random.fork('forward'),
    });
    const backward = this.network.addLane({
      ...common,
      name: `${plan.name} <`,
      from: to,
      to: from,
      link: plan.backward,
      loseFirst: plan.loseFirst.backward,
      direction: 'backward',
      alias: translatedAddress(plan),
      random: random.fork('backward'),
    });
    forward.reverse = backward;
    backward.reverse = forward;
    const machinesMs = one.plan.batchMs + other.plan.batchMs + one.plan.timerLatenessMs;
    const run: PathRun = {
      index,
      name: plan.name,
      forward,
      backward,
      clear: middlebox === undefined,
      reorders: plan.forward.reorder !== undefined || plan.backward.reorder !== undefined,
      maxRttMs: longestMs(plan.forward) + longestMs(plan.backward) + machinesMs,
      up: true,
      upSinceMs: 0,
      downSinceMs: 0,
      longestOutageMs: 0,
    };
    this.paths.push(run);
    const fromAddress = one.plan.interfaces[plan.from.interface].address;
    const toAddress = other.plan.interfaces[plan.to.interface].address;
    this.pathByAddresses.set(addressKey(fromAddress, toAddress), run);
  }

  private addConnection(index: number, plan: ConnectionPlan): void {
    const keys = [streamKey(this.plan.seed, index, 0), streamKey(this.plan.seed, index, 1)];
    const side = (name: 'client' | 'server', number: 0 | 1): Application =>
      new Application({
        name: `${name} ${index}`,
        plan: name === 'client' ? plan.clientApplication : plan.serverApplication,
        sendKey: keys[number],
        receiveKey: keys[1 - number],
        buffer: this.buffer,
        context: {
          wakeAt: (timeMs: number) => this.queue.schedule(timeMs, EventKind.WAKE, index, number),
          violation: (oracle: OracleName, message: string) => this.fail({ oracle, message }),
          onRead: this.options.onRead,
        },
      });
    const run = new ConnectionRun({
      index,
      plan,
      client: side('client', 0),
      server: side('server', 1),
      pathByAddresses: this.pathByAddresses,
      asksOnce: this.plan.hosts[plan.client].config.plainSynMs === 0,
    });
    this.connections.push(run);
    this.listen(plan);
    for (const path of plan.paths) run.usePath(path, this.pathFor(plan, path));
    this.queue.schedule(plan.startMs, EventKind.CONNECT, index, 0);
  }

  private listen(plan: ConnectionPlan): void {
    const key = `${plan.server}:${plan.port}`;
    if (this.listeners.has(key)) return;
    const server = this.drivers[plan.server];
    const port = plan.advertisePort === undefined ? {} : { port: plan.advertisePort };
    const advertise = plan.advertise.map(place => ({
      address: server.plan.interfaces[place].address,
      ...port,
    }));
    const options = { port: plan.port, multipath: plan.serverMultipath, fastOpen: FAST_OPEN_QUEUE };
    this.listeners.set(key, server.host.listen(advertise.length > 0 ? { ...options, advertise } : options));
  }

  /** The path of the network that a path of a connection takes. */
  pathFor(plan: ConnectionPlan, path: ConnectionPathPlan): PathRun {
    const serverPlace = path.serverInterface ?? plan.serverInterface;
    const client = this.drivers[plan.client].plan.interfaces[path.interface].address;
    const server = this.drivers[plan.server].plan.interfaces[serverPlace].address;
    const found = this.pathByAddresses.get(addressKey(client, server));
    if (found === undefined) throw new RangeError(`no path from ${client} to ${server}`);
    return found;
  }

  // Everything that happens at one time, then a turn for every host it concerns.
  private instant(): void {
    this.dispatch();
    while (this.queue.nextTimeMs === this.queue.nowMs && this.queue.next()) this.dispatch();
    const nowMs = this.queue.nowMs;
    if (nowMs !== this.instantMs) {
      this.instantMs = nowMs;
      this.turnsAtInstant = 0;
    }
    if (++this.turnsAtInstant > MAX_TURNS_AT_INSTANT) throw new Livelock('time does not pass');
    for (const driver of this.drivers) {
      if (!driver.turnDue) continue;
      driver.turn(nowMs);
      this.watch.turn(driver.index, nowMs);
    }
  }

  private dispatch(): void {
    const { kind, subject, detail } = this.queue.current;
    switch (kind) {
      case EventKind.ARRIVAL:
        if (this.network.arrive(subject, detail)) {
          const lane = this.network.lanes[detail];
          this.drivers[lane.to.host].arrive(subject, lane);
        }
        break;
      case EventKind.DEADLINE:
        this.drivers[subject].deadline();
        break;
      case EventKind.TURN:
        this.drivers[subject].turnEvent();
        break;
      case EventKind.WAKE: {
        const plan = this.plan.connections[subject];
        this.drivers[detail === 0 ? plan.client : plan.server].wake(subject, detail);
        break;
      }
      case EventKind.CONNECT:
        this.connect(this.connections[subject]);
        break;
      case EventKind.SCENARIO:
        applyEvent(this, this.plan.events[subject]);
        break;
      case EventKind.CALL:
        this.calls[subject]();
        for (const driver of this.drivers) driver.requestTurn(0);
        break;
      case EventKind.MTU_REPORT:
        this.reportMtu(subject, detail);
        break;
      case EventKind.CHECK:
        this.check();
        break;
      case EventKind.MIDDLEBOX:
        this.network.middleboxDue(subject);
        break;
    }
  }

  private connect(run: ConnectionRun): void {
    const { plan } = run;
    const nowMs = this.queue.nowMs;
    const driver = this.drivers[plan.client];
    const server = this.drivers[plan.server].plan.interfaces[plan.serverInterface].address;
    if (driver.ids[plan.paths[0].interface] === 0) {
      run.skipped = true;
      return;
    }
    const paths = plan.paths.map(path => this.pathOptions(plan, path)).filter(path => path !== undefined);
    if (driver.plan.externalPorts) paths[0] = { ...paths[0], localPort: this.openPort(driver) };
    const connection = driver.host.connect(
      {
        remote: { address: server, port: plan.port },
        paths,
        multipath: plan.multipath,
        checksum: plan.checksum,
        fastOpen: (driver.plan.config.fastOpen ?? 1) > 1,
      },
      nowMs,
    );
    run.openedMs = nowMs;
    run.client.attach(connection, nowMs);
    if (connection.isDeferred) {
      run.client.wake(nowMs);
      connection.begin(nowMs);
    }
    this.watch.opened(run, nowMs);
    if (plan.clientApplication.finish === 'abort') this.queue.schedule(nowMs, EventKind.WAKE, run.index, 0);
    driver.requestTurn(0);
  }

  /** A path of a connection in the words of its host; none while the address is gone. */
  pathOptions(plan: ConnectionPlan, path: ConnectionPathPlan): PathOptions | undefined {
    const driver = this.drivers[plan.client];
    if (driver.ids[path.interface] === 0) return undefined;
    const options: PathOptions = { interfaceId: driver.ids[path.interface], backup: path.backup };
    if (path.serverInterface === undefined || path.serverInterface === plan.serverInterface) return options;
    const { address } = this.drivers[plan.server].plan.interfaces[path.serverInterface];
    return { ...options, remote: { address, port: plan.port } };
  }

  private openPort(driver: HostDriver): number {
    return FIRST_EXTERNAL_PORT + this.portsOpened[driver.index]++;
  }

  private ready(driver: HostDriver, endpoint: Connection | Listener, nowMs: number): void {
    const events = endpoint.takeEvents();
    if (endpoint instanceof Listener) {
      for (let one = endpoint.accept(); one !== undefined; one = endpoint.accept())
        this.accept(driver, one, nowMs);
      return;
    }
    // A connection that failed before it could be accepted has news for nobody.
    const app = endpoint.userData as Application | undefined;
    if (app === undefined) return;
    this.notices(driver, endpoint, nowMs);
    app.ready(events, nowMs);
  }

  private accept(driver: HostDriver, connection: Connection, nowMs: number): void {
    const { address, port } = connection.remote;
    const run =
      this.connections.findLast(one => {
        // A plain SYN from another port may have overtaken the first: where the client is now counts.
        const local = one.client.connection?.local;
        if (local?.address !== address || local.port !== port) return false;
        return one.plan.server === driver.index && one.plan.port === connection.local.port;
      }) ?? this.connections.find(one => this.isTranslated(one) && one.plan.port === connection.local.port);
    if (run === undefined || run.server.connection !== undefined) {
      this.fail({ oracle: 'news', message: `accepted what nobody opened, from ${address}:${port}` });
      return;
    }
    run.server.attach(connection, nowMs);
    run.server.ready(connection.takeEvents() | Ready.CONNECTED, nowMs);
  }

  // Where addresses are translated on the way, the server sees another client than the one that called.
  private isTranslated(run: ConnectionRun): boolean {
    const opened = run.client.connection !== undefined && run.server.connection === undefined;
    return opened && this.network.lanes.some(lane => lane.alias !== undefined);
  }

  private notices(driver: HostDriver, connection: Connection, nowMs: number): void {
    const run = this.connections.find(
      one => one.client.connection === connection || one.server.connection === connection,
    );
    if (run === undefined) return;
    const side = run.client.connection === connection ? 'client' : 'server';
    let seen = false;
    for (let notice = connection.nextNotice(); notice !== undefined; notice = connection.nextNotice()) {
      seen = true;
      this.trace?.remark(nowMs, `${side} ${run.index}: ${JSON.stringify(notice)}`);
      if (notice.type === 'flow' && !connection.flowOpened(notice.request.id, this.openPort(driver), nowMs)) {
        driver.releasedPorts++;
      }
    }
    if (seen) run.observe(side, connection);
  }

  private reportMtu(interfaceIndex: number, mtu: number): void {
    const at = this.network.interfaces[interfaceIndex];
    const driver = this.drivers[at.host];
    const id = driver.ids[driver.interfaces.indexOf(at)];
    if (id !== 0) driver.host.setMtu(id, mtu, this.queue.nowMs);
    driver.requestTurn(0);
  }

  private check(): void {
    if (this.watch.check(this.queue.nowMs)) {
      this.queue.schedule(this.queue.nowMs + CHECK_INTERVAL_MS, EventKind.CHECK, 0, 0);
      return;
    }
    if (!this.listening) return;
    this.listening = false;
    for (const [key, listener] of this.listeners) {
      const driver = this.drivers[Number(key.split(':')[0])];
      listener.close(this.queue.nowMs);
      driver.requestTurn(0);
    }
  }
}

function translatedAddress(plan: PathPlan): Int32Array | undefined {
  const translation = plan.middleboxes.find(box => box.type === 'translate');
  if (translation === undefined) return undefined;
  const words = new Int32Array(4);
  if (parseAddress(translation.address, words) === 0)
    throw new RangeError(`no address: ${translation.address}`);
  return words;
}

// The longest a packet can take over a link: a full queue, itself, and everything that may delay it.
function longestMs(link: LinkPlan): number {
  const bytesPerMs = (link.rateBitsPerSecond ?? Number.POSITIVE_INFINITY) / 8000;
  const queued = (link.queueBytes ?? UNBOUNDED_QUEUE_BYTES) + (link.mtu ?? 65_535);
  return queued / bytesPerMs + (link.delayMs ?? 0) + (link.jitterMs ?? 0) + (link.reorder?.extraMs ?? 0);
}

const CHECK_INTERVAL_MS = 1_000;
/** Connections of a listener before their third ACKs; `config.fastOpen` says whether there are any. */
const FAST_OPEN_QUEUE = 16;
const MAX_TURNS_AT_INSTANT = 100_000;
const FIRST_EXTERNAL_PORT = 20_000;
const UNBOUNDED_QUEUE_BYTES = 8 << 20;
