// Two kernels, each a network namespace, joined by any number of links of their own: a TUN device at each end, and this
// process emulating the wire between them in real time. One flow at a time runs over a link.
//
// Decides: addresses (10.80.LINK.1 sends, 10.80.LINK.2 receives, 10.80.LINK.3 is the sender's second, 10.80.LINK.4 a host
// of ours beside the sender); that nothing is remembered from one flow for the next
// (tcp_no_metrics_save), and everything else is as the kernel comes.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { EmulatedPath } from '../../src/emulator/emulated-path.ts';
import { LinkEmulator, type LinkEnd, TunEnd } from '../../src/emulator/link-emulator.ts';
import { openTunDevice } from '../../src/link/tun-device.ts';
import { type PathOptions, Random } from '../../src/netmodel/index.ts';
import { OwnSender } from './own-sender.ts';
import { Lateness, PreciseAlarm } from './precise-alarm.ts';
import { CountedEnd, ForkedEnd } from './shared-ends.ts';

/** Seconds since the flow was connected, bytes acknowledged, cwnd, ssthresh, smoothed RTT in µs, retransmissions. */
export type Sample = readonly [number, number, number, number, number, number];

const senderAddress = (link: number): string => `10.80.${link}.1`;
const receiverAddress = (link: number): string => `10.80.${link}.2`;
const secondAddress = (link: number): string => `10.80.${link}.3`;
const oursAddress = (link: number): string => `10.80.${link}.4`;
const PORT = 5000;
const ECHO_DELAY_MS = 5;

export class KernelBed {
  readonly lateness: Lateness = new Lateness();
  readonly #names: readonly string[];
  readonly #ends: { near: ReusedEnd; far: ReusedEnd }[] = [];
  readonly #sender: Flows;
  readonly #receiver: Flows;

  static async open(links: number): Promise<KernelBed> {
    const bed = new KernelBed(links);
    for (let link = 0; link < links; link++) {
      await bed.#receiver.ask({ op: 'listen', address: receiverAddress(link), port: PORT });
    }
    return bed;
  }

  private constructor(links: number) {
    this.#names = ['s', 'r'].map(side => `mptcp-bench-${process.pid}-${side}`);
    for (const name of this.#names) ip('netns', 'add', name);
    try {
      for (let link = 0; link < links; link++) this.#join(link);
      for (const name of this.#names) {
        ip('-n', name, 'link', 'set', 'lo', 'up');
        const write = 'echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save';
        ip('netns', 'exec', name, 'sh', '-c', write);
      }
      this.#sender = new Flows(this.#names[0]);
      this.#receiver = new Flows(this.#names[1]);
    } catch (error) {
      for (const name of this.#names) ip('netns', 'del', name);
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#sender.close(), this.#receiver.close()]);
    for (const { near, far } of this.#ends) for (const end of [near, far]) end.release();
    for (const name of this.#names) ip('netns', 'del', name);
  }

  /** A flow that sends as much as it can; its samples, the last at the end of its time. */
  bulk(
    link: number,
    options: { forward: PathOptions; backward: PathOptions; congestion: string; seconds: number },
  ): Promise<Sample[]> {
    return this.#over(link, options, async () => {
      const { samples } = await this.#sender.ask<{ samples: Sample[] }>({
        op: 'bulk',
        local: senderAddress(link),
        address: receiverAddress(link),
        port: PORT,
        congestion: options.congestion,
        seconds: options.seconds,
      });
      return samples;
    });
  }

  /** Milliseconds from the call of connect to the arrival of the last of so many bytes. */
  transfer(
    link: number,
    options: { forward: PathOptions; backward: PathOptions; congestion: string; bytes: number },
  ): Promise<number> {
    return this.#over(link, options, async () => {
      const received = this.#receiver.received(senderAddress(link));
      const { called } = await this.#sender.ask<{ called: number }>({
        op: 'transfer',
        local: senderAddress(link),
        address: receiverAddress(link),
        port: PORT,
        congestion: options.congestion,
        bytes: options.bytes,
      });
      const { count, last } = await received;
      if (count !== options.bytes) throw new Error(`${count} bytes arrived of ${options.bytes}`);
      return (last - called) * 1000;
    });
  }

  /**
   * How much longer a round trip is than the path says, in ms: what this process and the kernels take, the average of
   * so many echoes.
   */
  extraMs(link: number, echoes: number): Promise<number> {
    const way: PathOptions = { delayMs: ECHO_DELAY_MS };
    return this.#over(link, { forward: way, backward: way }, async () => {
      const { trips } = await this.#sender.ask<{ trips: number[] }>({
        op: 'echo',
        local: senderAddress(link),
        address: receiverAddress(link),
        count: echoes,
        pause: 0.05,
      });
      return trips.reduce((sum, ms) => sum + ms, 0) / trips.length - 2 * ECHO_DELAY_MS;
    });
  }

  /**
   * Two flows over one link, the kernel's first of the two: bytes of IP packets that came through of each, up to each of
   * the times. All times are ms since the beginning.
   */
  share(
    link: number,
    options: {
      forward: PathOptions;
      backward: PathOptions;
      congestion: string;
      seed: number;
      other: 'ours' | 'linux';
      startMs: readonly [number, number];
      untilMs: readonly number[];
    },
  ): Promise<[number, number][]> {
    const address = options.other === 'ours' ? oursAddress(link) : secondAddress(link);
    const { near, far } = this.#ends[link];
    const own = options.other === 'ours' ? new OwnSender(address, options.congestion) : undefined;
    const counted = new CountedEnd(far, [senderAddress(link), address]);
    const ends = { near: own === undefined ? near : new ForkedEnd(near, own.end, address), far: counted };
    const lastMs = options.untilMs[options.untilMs.length - 1];
    const kernelFlow = async (local: string, startMs: number): Promise<void> => {
      await sleep(startMs);
      const { congestion } = options;
      const seconds = (lastMs - startMs) / 1000 + 1;
      await this.#sender.ask({
        op: 'bulk',
        local,
        address: receiverAddress(link),
        port: PORT,
        congestion,
        seconds,
      });
    };
    const ownFlow = async (sender: OwnSender, startMs: number): Promise<void> => {
      await sleep(startMs);
      sender.flood(receiverAddress(link), PORT);
      await sleep(lastMs - startMs + 1000);
      sender.close();
    };
    return this.#over(
      link,
      options,
      async () => {
        const readings: [number, number][] = [];
        const read = async (): Promise<void> => {
          const beganMs = performance.now();
          for (const untilMs of options.untilMs) {
            await sleep(beganMs + untilMs - performance.now());
            readings.push([...counted.bytes]);
          }
        };
        const other =
          own === undefined ? kernelFlow(address, options.startMs[1]) : ownFlow(own, options.startMs[1]);
        await Promise.all([kernelFlow(senderAddress(link), options.startMs[0]), other, read()]);
        return readings;
      },
      { ends, seed: options.seed },
    );
  }

  async #over<T>(
    link: number,
    options: { forward: PathOptions; backward: PathOptions },
    run: () => Promise<T>,
    { ends = this.#ends[link], seed = 1 }: { ends?: { near: LinkEnd; far: LinkEnd }; seed?: number } = {},
  ): Promise<T> {
    const path = new EmulatedPath({ ...options, random: new Random(seed) });
    const { near, far } = ends;
    const alarm = (ring: () => void): PreciseAlarm => new PreciseAlarm(ring, this.lateness);
    const emulator = new LinkEmulator({ path, near, far, alarm });
    emulator.start();
    try {
      return await run();
    } finally {
      emulator.close();
    }
  }

  #join(link: number): void {
    const ends = this.#names.map((name, side) => {
      const device = openTunDevice({ name: `mb${process.pid % 1_000_000}l${link}s${side}`, offload: false });
      ip('link', 'set', device.name, 'netns', name);
      const [own, peer] = [senderAddress(link), receiverAddress(link)];
      ip('-n', name, 'addr', 'add', `${side === 0 ? own : peer}/32`, 'dev', device.name);
      ip('-n', name, 'link', 'set', device.name, 'mtu', '1500', 'txqueuelen', '10000', 'up');
      const beside = [secondAddress(link), oursAddress(link)];
      for (const to of side === 0 ? [peer] : [own, ...beside]) {
        ip('-n', name, 'route', 'add', to, 'dev', device.name);
      }
      if (side === 0) ip('-n', name, 'addr', 'add', `${beside[0]}/32`, 'dev', device.name);
      return new ReusedEnd(new TunEnd(device));
    });
    this.#ends.push({ near: ends[0], far: ends[1] });
  }
}

/** An end that outlives the emulators of one flow after another; between two of them it takes packets in vain. */
class ReusedEnd implements LinkEnd {
  readonly #end: TunEnd;
  #take: (packet: Uint8Array) => void = () => {};

  constructor(end: TunEnd) {
    this.#end = end;
    end.onSend(packet => this.#take(packet));
  }

  onSend(take: (packet: Uint8Array) => void): void {
    this.#take = take;
  }

  deliver(packet: Uint8Array): void {
    this.#end.deliver(packet);
  }

  close(): void {
    this.#take = () => {};
  }

  release(): void {
    this.#end.close();
  }
}

/** The process of flows.py in one namespace. */
class Flows {
  readonly #child: ChildProcess;
  readonly #waiting: Map<number, { resolve(value: never): void; reject(error: Error): void }> = new Map();
  readonly #receivers: Map<string, (value: { count: number; last: number }) => void> = new Map();
  readonly #ended: Promise<void>;
  #nextId = 1;

  constructor(namespace: string) {
    const script = fileURLToPath(new URL('../../../bench/linux/flows.py', import.meta.url));
    this.#child = spawn('ip', ['netns', 'exec', namespace, 'python3', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#ended = new Promise(resolve => {
      this.#child.once('exit', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('flows.py has ended'));
        resolve();
      });
    });
    if (this.#child.stdout === null) throw new Error('flows.py has no output');
    createInterface(this.#child.stdout).on('line', line => this.#answer(JSON.parse(line)));
  }

  ask<T>(command: Record<string, unknown>): Promise<T> {
    const id = this.#nextId++;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`);
    });
  }

  /** What the next connection from this address brings. */
  received(address: string): Promise<{ count: number; last: number }> {
    return new Promise(resolve => this.#receivers.set(address, resolve));
  }

  close(): Promise<void> {
    this.#child.stdin?.end();
    return this.#ended;
  }

  #answer(answer: { id?: number; error?: string; received?: number; last?: number; address?: string }): void {
    if (answer.id === undefined) {
      const { address = '', received = 0, last = 0 } = answer;
      this.#receivers.get(address)?.({ count: received, last });
      this.#receivers.delete(address);
      return;
    }
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (answer.error === undefined) waiting?.resolve(answer as never);
    else waiting?.reject(new Error(answer.error));
  }
}

function ip(...parameters: string[]): void {
  execFileSync('ip', parameters, { stdio: ['ignore', 'ignore', 'inherit'] });
}
