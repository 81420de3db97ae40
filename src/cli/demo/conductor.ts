// Conducts the demo: starts server, networks and client in three processes, cuts a network off when 40 % of
// the bytes are delivered and restores it at 70 %, and ends in a result or an error, always within a bound.
//
// Before: demo.ts. After: actor.ts starts the processes; what they report goes to the view and into the
// result.

import { Actor } from './actor.ts';
import type { MessageOf, PathReport } from './messages.ts';
import { stageMs } from './messages.ts';
import { networks } from './networks.ts';
import { type DemoResult, type Outage, resultOf } from './result.ts';

export interface PathView {
  title: string;
  up: boolean;
  state: string;
  rateMbps: number;
  rttMs: number;
  /** Of what both send now, 0 to 1. */
  share: number;
}

export interface Progress {
  elapsedMs: number;
  deliveredBytes: number;
  totalBytes: number;
  rateMbps: number;
  paths: PathView[];
}

export interface DemoView {
  progress(progress: Progress): void;
  /** Something that happened once. */
  event(text: string, elapsedMs: number): void;
  close(): void;
}

export interface Performance {
  file: string;
  bytes: number;
  /** Index of the network to cut, -1 for none. */
  cut: number;
  view: DemoView;
  /** A file for the client's packets. */
  pcap?: string;
  signal: AbortSignal;
}

const cutAt = 0.4;
const restoreAt = 0.7;
const startLimitMs = 15_000;
const silenceLimitMs = 30_000;
const farewellLimitMs = 15_000;

export async function conduct(performance: Performance): Promise<DemoResult> {
  const actors: Actor[] = [];
  const stopped = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new Error('stopped'));
    if (performance.signal.aborted) stop();
    performance.signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([stopped, play(performance, actors)]);
  } finally {
    await Promise.all(actors.map(actor => actor.stop()));
  }
}

async function play(performance: Performance, actors: Actor[]): Promise<DemoResult> {
  const enter = (name: string): Actor => {
    const actor = new Actor(name);
    actors.push(actor);
    return actor;
  };
  const server = enter('server');
  const relay = enter('relay');
  const client = enter('client');
  server.tell({ type: 'orders', orders: { bytes: performance.bytes } });
  const { port } = await within(startLimitMs, 'the server does not start', server.next('listening'));
  relay.tell({ type: 'orders', orders: { serverPort: port } });
  const { ports, warnings } = await within(startLimitMs, 'the networks do not start', relay.next('ready'));

  const scene = new Scene(performance, relay);
  for (const warning of warnings) scene.event(warning);
  server.on('delivered', message => scene.delivered(message));
  relay.on('switched', message => scene.switched(message));
  client.on('paths', message => scene.paths(message.paths));
  const received = server.next('received');
  const sent = client.next('sent');
  const paths = networks.map(({ name }, index) => ({ name, port: ports[index] ?? 0 }));
  const { file, bytes, pcap } = performance;
  client.tell({ type: 'orders', orders: { file, bytes, paths, ...(pcap === undefined ? {} : { pcap }) } });

  const everyone = Promise.race(actors.map(actor => actor.failure));
  const arrival = await Promise.race([received, everyone, scene.silence]).finally(() => scene.end());
  const farewell = Promise.race([sent, everyone]);
  const departure = await within(
    farewellLimitMs,
    'the client does not see the end of its connection',
    farewell,
  );
  return resultOf({ arrival, departure, networks, outages: scene.outages });
}

/** What has happened so far, and what is to happen at which byte. */
class Scene {
  readonly outages: Outage[] = [];
  /** Rejects when no byte has been delivered for so long that none is expected. */
  readonly silence: Promise<never>;

  readonly #performance: Performance;
  readonly #relay: Actor;
  readonly #startedMs = stageMs();
  readonly #watch: NodeJS.Timeout;
  #heardMs = this.#startedMs;
  #deliveredBytes = 0;
  #cutSent = false;
  #restoreSent = false;
  /** Samples of about the last second, for rates. */
  #samples: { atMs: number; delivered: number; paths: PathReport[] }[] = [];

  constructor(performance: Performance, relay: Actor) {
    this.#performance = performance;
    this.#relay = relay;
    let reject: (error: Error) => void = () => {};
    this.silence = new Promise((_, no) => {
      reject = no;
    });
    this.#watch = setInterval(() => {
      if (stageMs() - this.#heardMs < silenceLimitMs) return;
      const { bytes } = this.#performance;
      reject(
        new Error(
          `no byte was delivered for ${silenceLimitMs / 1000} s, ${this.#deliveredBytes} of ${bytes} were`,
        ),
      );
    }, 1000).unref();
  }

  end(): void {
    clearInterval(this.#watch);
  }

  event(text: string): void {
    this.#performance.view.event(text, stageMs() - this.#startedMs);
  }

  delivered({ bytes }: MessageOf<'delivered'>): void {
    if (bytes > this.#deliveredBytes) this.#heardMs = stageMs();
    this.#deliveredBytes = bytes;
    const { cut, bytes: total } = this.#performance;
    if (cut < 0) return;
    if (!this.#cutSent && bytes >= total * cutAt) {
      this.#cutSent = true;
      this.#relay.tell({ type: 'switch', path: cut, up: false });
    }
    if (!this.#restoreSent && bytes >= total * restoreAt) {
      this.#restoreSent = true;
      this.#relay.tell({ type: 'switch', path: cut, up: true });
    }
  }

  switched({ path, up, atMs }: MessageOf<'switched'>): void {
    const title = networks[path]?.title ?? '';
    const percent = Math.round((100 * this.#deliveredBytes) / this.#performance.bytes);
    if (up) {
      const open = this.outages.findLast(outage => outage.path === path);
      if (open) open.untilMs = atMs;
      this.event(`${title} is back, at ${percent} %`);
    } else {
      this.outages.push({ path, fromMs: atMs, untilMs: Number.POSITIVE_INFINITY });
      this.event(`${title} is cut off, at ${percent} %: from now on it swallows everything`);
    }
  }

  paths(paths: PathReport[]): void {
    const now = stageMs();
    const sample = { atMs: now, delivered: this.#deliveredBytes, paths };
    const past = this.#samples[0] ?? sample;
    this.#samples = [...this.#samples, sample].filter(({ atMs }) => now - atMs <= 1000);
    const mbps = (bytes: number): number => (bytes * 8) / Math.max(now - past.atMs, 1) / 1000;
    const sent = paths.map((path, index) => path.bytes - (past.paths[index]?.bytes ?? 0));
    const sum = sent.reduce((total, bytes) => total + bytes, 0);
    this.#performance.view.progress({
      elapsedMs: now - this.#startedMs,
      deliveredBytes: this.#deliveredBytes,
      totalBytes: this.#performance.bytes,
      rateMbps: mbps(this.#deliveredBytes - past.delivered),
      paths: paths.map((path, index) => ({
        title: networks[index]?.title ?? path.name,
        up: !this.outages.some(
          outage => outage.path === index && outage.untilMs === Number.POSITIVE_INFINITY,
        ),
        state: path.state,
        rateMbps: mbps(sent[index] ?? 0),
        rttMs: path.rttMs,
        share: sum > 0 ? (sent[index] ?? 0) / sum : 0,
      })),
    });
  }
}

async function within<T>(limitMs: number, complaint: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${complaint} within ${limitMs / 1000} s`)), limitMs).unref();
  });
  try {
    return await Promise.race([promise, limit]);
  } finally {
    clearTimeout(timer);
  }
}
