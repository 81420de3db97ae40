// Draws a whole world from a seed: topology, links, faults, machines, configuration, applications,
// events. Each kind of trouble is switched on or off for the world as a whole first, since a world with
// a little of everything hides what a world with much of one thing shows.
// Before it: a seed. After it: world.ts runs the plan.

import type { Config } from '../host/index.ts';
import type { Random as RandomStream } from '../netmodel/index.ts';
import { type Match, type MiddleboxPlan, Random } from '../netmodel/index.ts';
import { between, chance, logBetween, pick, whole } from './chance.ts';
import { drawApplications } from './draw-applications.ts';
import { drawEvents } from './draw-events.ts';
import type {
  ConnectionPathPlan,
  ConnectionPlan,
  FirstLosses,
  HostPlan,
  InterfacePlan,
  LinkPlan,
  PathPlan,
  WorldPlan,
} from './plan.ts';

/** What is switched on in a world. */
export interface Traits {
  loss: boolean;
  bursts: boolean;
  reorder: boolean;
  duplicate: boolean;
  corrupt: boolean;
  jitter: boolean;
  firstLosses: boolean;
  outages: boolean;
  /** Paths that end for good, addresses that go, paths added and removed. */
  changes: boolean;
  /** Nothing works any more from some time on. */
  doom: boolean;
  freezes: boolean;
  /** Paths that take MPTCP options out. */
  middleboxes: boolean;
  /** Paths that lose or refuse SYNs, or the answers to them, for their MPTCP option. */
  synBoxes: boolean;
  /** Queues that mark congestion, and hosts that ask for it. */
  marks: boolean;
  smallBuffers: boolean;
  oddMtu: boolean;
  narrowPaths: boolean;
  batches: boolean;
  ipv6: boolean;
  rough: boolean;
  plain: boolean;
  checksum: boolean;
  crowd: boolean;
}

/** The world of a seed. */
export function drawWorld(seed: number): WorldPlan {
  const random = new Random(seed).fork('plan');
  const traits = drawTraits(random);
  const hosts: HostPlan[] = [drawHost(random, traits, 'client'), drawHost(random, traits, 'server')];
  const paths = drawTopology(random, traits, hosts);
  const connections = drawConnections(random, traits, hosts, paths);
  const plan: WorldPlan = { seed, hosts, paths, connections, events: [], horizonMs: HORIZON_MS };
  plan.events = drawEvents(random, traits, plan);
  return plan;
}

function drawTraits(random: RandomStream): Traits {
  // A third of the worlds have no trouble at all on their links.
  const troubled = chance(random, 0.67);
  const trouble = (probability: number) => chance(random, probability) && troubled;
  return {
    loss: trouble(0.45),
    bursts: trouble(0.25),
    reorder: trouble(0.25),
    duplicate: trouble(0.2),
    corrupt: trouble(0.15),
    firstLosses: trouble(0.15),
    outages: trouble(0.3),
    changes: trouble(0.25),
    doom: trouble(0.04),
    freezes: trouble(0.1),
    middleboxes: trouble(0.1),
    synBoxes: chance(random.fork('syn boxes'), 0.08),
    marks: chance(random.fork('marks'), 0.25),
    jitter: chance(random, 0.3),
    smallBuffers: chance(random, 0.2),
    oddMtu: chance(random, 0.3),
    narrowPaths: trouble(0.08),
    batches: chance(random, 0.4),
    ipv6: chance(random, 0.3),
    rough: chance(random, 0.15),
    plain: chance(random, 0.12),
    checksum: chance(random, 0.15),
    crowd: chance(random, 0.15),
  };
}

function drawHost(random: RandomStream, traits: Traits, name: string): HostPlan {
  const config: Partial<Config> = {};
  if (traits.smallBuffers) {
    config.sendBufferBytes = Math.round(logBetween(random, 4_096, 262_144));
    config.receiveBufferBytes = Math.round(logBetween(random, 4_096, 262_144));
  }
  const controller = random.next();
  if (controller < 0.3) config.congestion = controller < 0.15 ? 'lia' : 'reno';
  if (chance(random, 0.1)) config.timestamps = false;
  if (chance(random, 0.1)) config.sack = false;
  if (chance(random, 0.2)) config.delayedAckMs = whole(random, 0, 200);
  if (chance(random, 0.2)) config.subflowKeepAliveMs = 20_000;
  if (chance(random, 0.2)) config.initialWindowSegments = whole(random, 1, 40);
  if (chance(random, 0.2)) config.keepAliveIntervalMs = whole(random, 10_000, 75_000);
  if (traits.checksum && chance(random, 0.7)) config.checksum = true;
  const ecn = random.fork(`ecn ${name}`);
  if (traits.marks && chance(ecn, 0.8)) config.ecn = pick(ecn, ['on', 'on', 'off']);
  drawOptions(random.fork(`options ${name}`), config);
  drawFastOpen(random.fork(`fast open ${name}`), config);
  // A chain of lost retransmissions long enough for the timeout is likely where every tenth packet is lost.
  if (traits.loss || traits.bursts || traits.corrupt) config.dataTimeoutMs = 900_000;
  return {
    name,
    interfaces: [],
    config,
    externalPorts: chance(random, 0.5),
    batchMs: traits.batches ? logBetween(random, 0.05, 3) : 0,
    mergeReceived: chance(random, 0.5),
    timerLatenessMs: chance(random, 0.5) ? between(random, 0.1, 4) : 0,
    inboxBytes: traits.freezes ? Math.round(logBetween(random, 100_000, 8e6)) : 16 << 20,
  };
}

/** Data in SYNs, mostly without cookies, for a world is too short to fetch one often. */
function drawFastOpen(random: RandomStream, config: Partial<Config>): void {
  if (chance(random, 0.7)) return;
  config.fastOpen = chance(random, 0.8) ? 0x207 : 0x3;
  if (chance(random, 0.3)) config.earlyAnswer = true;
  // A plain SYN beside one with data asks for the same twice, of two connections.
  config.plainSynMs = 0;
}

/** What an application or an administrator may set and a peer may meet. */
function drawOptions(random: RandomStream, config: Partial<Config>): void {
  if (chance(random, 0.2)) config.pacing = true;
  if (chance(random, 0.15)) config.shortSequence = true;
  if (chance(random, 0.15)) config.plainSynMs = pick(random, [0, 50, 2_000]);
  if (chance(random, 0.1)) config.blackholeTimeoutMs = pick(random, [0, 1_000]);
  if (chance(random, 0.1)) config.sendBufferInitialBytes = Math.round(logBetween(random, 2_048, 1e6));
  if (chance(random, 0.1)) config.receiveBufferInitialBytes = Math.round(logBetween(random, 4_096, 1e6));
  // Longer than every outage that has to be survived, the chain of doubled timeouts it leaves included.
  if (chance(random, 0.1)) config.userTimeoutMs = whole(random, 120_000, 900_000);
  if (chance(random, 0.1)) config.suspectSlackMs = whole(random, 0, 200);
  if (chance(random, 0.1)) config.replaceAfterMs = whole(random, 1_000, 20_000);
}

// Paths lead from interfaces of the client to interfaces of the server, a pair at most once.
function drawTopology(random: RandomStream, traits: Traits, hosts: HostPlan[]): PathPlan[] {
  const [client, server] = hosts;
  const count = pick(random, [1, 2, 2, 2, 3, 3, 4]);
  const checksumOffload = !traits.corrupt && chance(random, 0.3);
  const addInterface = (host: HostPlan, family: 4 | 6): number => {
    const place = host.interfaces.length;
    const mtu = traits.oddMtu ? Math.round(logBetween(random, 1_280, 9_000)) : 1_500;
    const address = addressOf(host === client ? 1 : 2, place, family);
    host.interfaces.push({ address, mtu, gsoMax: drawGsoMax(random, mtu), checksumOffload });
    return place;
  };
  const paths: PathPlan[] = [];
  for (let i = 0; i < count; i++) {
    const family = traits.ipv6 && chance(random, 0.7) ? 6 : 4;
    const fits = (one: InterfacePlan) => one.address.includes(':') === (family === 6);
    let to = server.interfaces.findIndex(fits);
    if (to < 0 || chance(random, 0.3)) to = addInterface(server, family);
    let from = client.interfaces.findIndex(fits);
    const taken = paths.some(path => path.from.interface === from && path.to.interface === to);
    if (from < 0 || taken || chance(random, 0.8)) from = addInterface(client, family);
    const mtu = Math.min(client.interfaces[from].mtu, server.interfaces[to].mtu);
    paths.push(drawPath(random, traits, { index: i, from, to, mtu, only: count === 1 }));
  }
  return paths;
}

function drawGsoMax(random: RandomStream, mtu: number): number {
  const kind = random.next();
  if (kind < 0.6) return 65_535;
  if (kind < 0.85) return mtu;
  return whole(random, mtu, 65_535);
}

function drawPath(
  random: RandomStream,
  traits: Traits,
  options: { index: number; from: number; to: number; mtu: number; only: boolean },
): PathPlan {
  const narrow = traits.narrowPaths && options.mtu > 1_280 && chance(random, 0.5);
  const mtu = narrow ? whole(random, 1_280, options.mtu - 1) : options.mtu;
  const forward = drawLink(random, traits, mtu);
  const backward = chance(random, 0.5) ? drawLink(random, traits, mtu) : { ...forward };
  manageQueue(random.fork(`marks ${options.index} forward`), traits, forward);
  manageQueue(random.fork(`marks ${options.index} backward`), traits, backward);
  return {
    name: `p${options.index}`,
    from: { host: 0, interface: options.from },
    to: { host: 1, interface: options.to },
    forward,
    backward,
    reportsMtu: chance(random, 0.7),
    loseFirst: { forward: drawFirstLosses(random, traits), backward: drawFirstLosses(random, traits) },
    middleboxes: [
      ...drawMiddleboxes(random, traits, options.only),
      ...drawSynBoxes(random, traits, options.index),
    ],
  };
}

function drawLink(random: RandomStream, traits: Traits, mtu: number): LinkPlan {
  const rateBitsPerSecond = Math.round(logBetween(random, 100_000, 1e9));
  const bytesPerMs = rateBitsPerSecond / 8000;
  const queueMs = logBetween(random, 5, 1_000);
  const link: LinkPlan = {
    rateBitsPerSecond,
    delayMs: chance(random, 0.1) ? 0 : logBetween(random, 0.1, 400),
    queueBytes: Math.round(Math.min(8e6, Math.max(4 * mtu, bytesPerMs * queueMs))),
    mtu,
  };
  if (traits.jitter && chance(random, 0.6)) link.jitterMs = logBetween(random, 0.1, 100);
  if (traits.loss && chance(random, 0.7)) link.loss = logBetween(random, 0.0005, 0.1);
  if (traits.bursts && chance(random, 0.6)) {
    // Bursts are counted in packets: longer ones would outlive every retransmission of a lone segment.
    const leaveProbability = logBetween(random, 0.3, 0.8);
    const enterProbability = leaveProbability * logBetween(random, 0.001, 0.1);
    link.burstLoss = { enterProbability, leaveProbability, lossInBad: between(random, 0.3, 0.95) };
  }
  if (traits.reorder && chance(random, 0.7)) {
    link.reorder = { probability: logBetween(random, 0.001, 0.2), extraMs: logBetween(random, 0.05, 100) };
  }
  if (traits.duplicate && chance(random, 0.7)) link.duplicate = logBetween(random, 0.001, 0.1);
  if (traits.corrupt && chance(random, 0.7)) link.corrupt = logBetween(random, 0.001, 0.03);
  return link;
}

/** A threshold, or a slope; and packets lost for certain, among those of the handshakes and after. */
function manageQueue(random: RandomStream, traits: Traits, link: LinkPlan): void {
  if (traits.loss && chance(random, 0.2)) {
    link.dropPackets = Array.from({ length: whole(random, 1, 6) }, () => whole(random, 0, 80));
  }
  if (!traits.marks || chance(random, 0.3)) return;
  const { mtu = 1_500, queueBytes = UNMANAGED_QUEUE_BYTES } = link;
  const minBytes = Math.round(logBetween(random, mtu, Math.max(2 * mtu, queueBytes / 2)));
  const maxBytes = chance(random, 0.4) ? minBytes : Math.round(minBytes * between(random, 1.2, 4));
  link.aqm = { minBytes, maxBytes, maxProbability: between(random, 0.05, 1) };
}

function drawMiddleboxes(random: RandomStream, traits: Traits, only: boolean): MiddleboxPlan[] {
  if (!traits.middleboxes || chance(random, 0.4)) return [];
  const kind = pick(random, ['syns', 'not-syn', undefined] as const);
  const match: Match = kind === undefined ? {} : { kind };
  const forward: MiddleboxPlan = { type: 'strip', match: { ...match, direction: 'forward' } };
  const backward: MiddleboxPlan = { type: 'strip', match: { ...match, direction: 'backward' } };
  const boxes = chance(random, 0.5) ? [forward, backward] : chance(random, 0.5) ? [forward] : [backward];
  // On the only path, where the connection can go on as TCP.
  return !only || chance(random, 0.5) ? boxes : boxes.map(box => drawUnruly(random, box.match));
}

/** From some time on, or only now and then: options removed, or what carries them dropped for a while. */
function drawUnruly(random: RandomStream, match: Match): MiddleboxPlan {
  const fromMs = chance(random, 0.6) ? whole(random, 10, 1_500) : 0;
  const probability = chance(random, 0.2) ? 1 / 3 : 1;
  const when = { ...match, fromMs, probability };
  if (chance(random, 0.3)) return { type: 'strip', match: when };
  return { type: 'drop', match: { ...when, kind: 'not-syn', subtypes: [], first: whole(random, 1, 150) } };
}

function drawSynBoxes(random: RandomStream, traits: Traits, path: number): MiddleboxPlan[] {
  const own = random.fork(`syn box ${path}`);
  if (!traits.synBoxes || chance(own, 0.3)) return [];
  const type = pick(own, ['drop', 'drop', 'reset'] as const);
  const answers = type === 'drop' && chance(own, 0.5);
  const match = answers
    ? ({ direction: 'backward', kind: 'syn-ack', subtypes: [] } as const)
    : ({ direction: 'forward', kind: 'syn', subtypes: [] } as const);
  if (chance(own, 0.6)) return [{ type, match }];
  return [{ type, match: { ...match, probability: between(own, 0.2, 0.9) } }];
}

function drawFirstLosses(random: RandomStream, traits: Traits): FirstLosses {
  if (!traits.firstLosses || chance(random, 0.5)) return { syns: 0, others: 0 };
  return { syns: pick(random, [0, 0, 1, 1, 2, 3]), others: pick(random, [0, 0, 1, 2, 3]) };
}

function drawConnections(
  random: RandomStream,
  traits: Traits,
  hosts: HostPlan[],
  paths: PathPlan[],
): ConnectionPlan[] {
  const count = traits.crowd ? whole(random, 2, 8) : pick(random, [1, 1, 1, 2]);
  const onePort = chance(random, 0.5);
  const plain = { client: traits.plain && chance(random, 0.5), server: traits.plain && chance(random, 0.7) };
  const others = hosts[1].interfaces
    .map((_, place) => place)
    .filter(place => place !== paths[0].to.interface);
  const advertise = chance(random, 0.25) ? others : [];
  const ports = random.fork('advertised port');
  const advertisePort = chance(ports, 0.3) ? 5_000 + whole(ports, 0, 99) : undefined;
  const bytesPerMs = Math.min(...[paths[0].forward, paths[0].backward].map(bytesPerMsOf));
  const smallestMtu = Math.min(...paths.map(path => path.forward.mtu ?? 1_500));
  const mostBytes = Math.min(
    WORLD_BYTES,
    WORLD_PACKETS * (smallestMtu - 80),
    bytesPerMs * LONGEST_TRANSFER_MS,
  );
  const boxes = paths.flatMap(path => path.middleboxes);
  const drops = boxes.some(box => box.type === 'drop' && box.match.kind === 'not-syn');
  return Array.from({ length: count }, (_, i) => {
    const applications = drawApplications(random, {
      budgetBytes: mostBytes / count,
      rough: traits.rough,
      certainKeepAlive: traits.doom || traits.changes || isLossy(traits),
      drops,
    });
    return {
      client: 0,
      server: 1,
      port: onePort ? 443 : 1_000 + i,
      startMs: i === 0 ? 0 : chance(random, 0.5) ? 0 : between(random, 0, 2_000),
      paths: drawUse(random, paths),
      serverInterface: paths[0].to.interface,
      multipath: !plain.client,
      checksum: traits.checksum && chance(random, 0.5),
      advertise,
      ...(advertisePort === undefined ? {} : { advertisePort }),
      serverMultipath: !plain.server,
      clientApplication: applications.client,
      serverApplication: applications.server,
    };
  });
}

// The first path of the network is everyone's first; of the rest most are used, some as backup.
function drawUse(random: RandomStream, paths: PathPlan[]): ConnectionPathPlan[] {
  const serverInterface = paths[0].to.interface;
  const backups = chance(random, 0.25);
  const use: ConnectionPathPlan[] = [];
  for (const [i, path] of paths.entries()) {
    if (i > 0 && chance(random, 0.15)) continue;
    const one: ConnectionPathPlan = {
      interface: path.from.interface,
      backup: backups && chance(random, 0.5),
    };
    use.push(path.to.interface === serverInterface ? one : { ...one, serverInterface: path.to.interface });
  }
  return use;
}

function isLossy(traits: Traits): boolean {
  return (
    traits.loss || traits.bursts || traits.corrupt || traits.firstLosses || traits.outages || traits.freezes
  );
}

function bytesPerMsOf(link: LinkPlan): number {
  return (link.rateBitsPerSecond ?? Number.POSITIVE_INFINITY) / 8000;
}

function addressOf(network: number, place: number, family: 4 | 6): string {
  return family === 4 ? `10.${network}.${place}.1` : `fd00:${network}:${place + 1}::1`;
}

const HORIZON_MS = 6 * 3_600_000;
/** Most bytes and packets of all connections of a world, so that it stays quick. */
const WORLD_BYTES = 6_000_000;
const WORLD_PACKETS = 6_000;
const LONGEST_TRANSFER_MS = 20_000;
const UNMANAGED_QUEUE_BYTES = 100_000;
