// Records sessions with the Linux kernel for the fuzzers; as root:
//
//   node dist/test/interop/record.js FOLDER [PART-OF-A-NAME]        (FOLDER: test/fuzz/corpus)
//
// Decides: which sessions, so that every option and every way to end that the kernel has is among its packets. Our end
// draws from a seed, so that it can be played again (test/fuzz/recording.ts); the kernel's values are its own.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { Config, ConnectOptions, ListenOptions } from '../../src/host/index.ts';
import { type Act, type Happening, perform, type Recording, serialize, usOf } from '../fuzz/recording.ts';
import { seededEntropy } from '../tcp/peer.ts';
import { type Bed, withBed } from './bed.ts';
import { connectPair, eventually, type Role } from './cell.ts';
import type { KernelSocket } from './kernel-peer.ts';
import type { OurFlow } from './our-host.ts';
import { SCENARIOS, type Scenario } from './scenarios.ts';

/** What happens to one host, from its first moment. */
class Recorder {
  connectOptions: ConnectOptions | undefined;
  listenOptions: ListenOptions | undefined;
  readonly happenings: Happening[] = [];

  constructor({ ours: { host } }: Bed) {
    const { receive, expire, connect, listen, transmit } = host;
    host.transmit = (out, offset, now) => {
      const last = this.happenings.at(-1);
      if (last !== undefined && (last.op !== 'send' || last.us !== usOf(now))) {
        this.happenings.push({ us: usOf(now), op: 'send' });
      }
      return transmit.call(host, out, offset, now);
    };
    host.receive = (interfaceId, bytes, offset, length, now) => {
      const packet = bytes.slice(offset, offset + length);
      this.happenings.push({ us: usOf(now), op: 'in', interfaceId, packet });
      receive.call(host, interfaceId, bytes, offset, length, now);
    };
    host.expire = now => {
      this.happenings.push({ us: usOf(now), op: 'expire' });
      expire.call(host, now);
    };
    host.connect = (options, now) => {
      this.connectOptions = options;
      this.happenings.push({ us: usOf(now), op: 'connect' });
      return connect.call(host, options, now);
    };
    host.listen = options => {
      this.listenOptions = options;
      return listen.call(host, options);
    };
  }
}

/** One connection with the kernel, and both applications. */
export class Session {
  readonly bed: Bed;
  readonly role: Role;
  readonly family: 4 | 6;
  readonly flow: OurFlow;
  readonly socket: KernelSocket;
  readBytes = 0;
  readonly #recorder: Recorder;
  #paused = false;

  constructor(
    options: Pick<Session, 'bed' | 'role' | 'family' | 'flow' | 'socket'> & { recorder: Recorder },
  ) {
    this.bed = options.bed;
    this.role = options.role;
    this.family = options.family;
    this.flow = options.flow;
    this.socket = options.socket;
    this.#recorder = options.recorder;
    void this.#read();
  }

  act(...act: Act): void {
    const now = this.bed.ours.driver.now();
    this.#recorder.happenings.push({ us: usOf(now), op: 'act', act });
    if (act[0] === 'pause' || act[0] === 'resume') this.#paused = act[0] === 'pause';
    if (act[0] === 'resume') void this.#read();
    perform(this.flow.connection, act, now);
  }

  /** Bytes of ours, which the kernel's application waits for. */
  async weSend(bytes: number): Promise<void> {
    this.act('write', bytes);
    assert.equal((await this.socket.receive({ bytes })).bytes, bytes);
  }

  /** Bytes of the kernel's, which we wait for. */
  async kernelSends(bytes: number): Promise<void> {
    const until = this.readBytes + bytes;
    await this.socket.sendLoaded({ from: 0, to: bytes });
    await eventually(() => this.readBytes >= until);
  }

  subflows(): number {
    return this.flow.multipath().subflows.filter(subflow => subflow.state === 'active').length;
  }

  closed(): Promise<string | null> {
    return this.flow.closed();
  }

  async #read(): Promise<void> {
    const { connection } = this.flow;
    const ready = (): boolean => this.#paused || connection.readableBytes > 0 || connection.ended;
    for (;;) {
      try {
        await this.flow.until(ready);
      } catch {
        // Closed without an end: what a scenario wants of that it says itself.
        return;
      }
      if (this.#paused) return;
      const length = connection.read(INTO, 0, INTO.length, this.bed.ours.driver.now());
      this.readBytes += length;
      if (length === 0 && connection.ended) return;
    }
  }
}

async function record(scenario: Scenario, role: Role, family: 4 | 6, seed: number): Promise<Recording> {
  let recording: Recording | undefined;
  const config = { ...CONFIG, ...scenario.config };
  const options = {
    devices: 2,
    offload: false,
    config,
    entropy: seededEntropy(seed),
    sysctls: scenario.sysctls ?? {},
    ip: ['mptcp limits set subflows 8 add_addr_accepted 8', ...(scenario.ip?.(role, family) ?? [])],
  };
  await withBed(options, async bed => {
    const recorder = new Recorder(bed);
    await bed.kernel.load(KERNEL_BYTES);
    scenario.before?.(bed);
    const paths = scenario.paths ?? 1;
    const advertise = scenario.advertise ? [{ address: bed.ourAddress(1, family) }] : [];
    const socket = scenario.plain ? { mptcp: false } : {};
    const pair = await connectPair(bed, { role, family, paths, listen: { advertise }, socket });
    const session = new Session({ bed, role, family, ...pair, recorder });
    await scenario.play(session);
    // What either end still has to say.
    await new Promise(resolve => setTimeout(resolve, 30));
    const { flow, readBytes } = session;
    const joined = new Set(flow.notices.flatMap(n => (n.type === 'subflow' ? [n.subflow.id] : [])));
    recording = {
      name: nameOf(scenario, role, family),
      seed,
      config,
      addresses: [0, 1].flatMap(device => [bed.ourAddress(device, 4), bed.ourAddress(device, 6)]),
      ...(role === 'our client' ? { connect: recorder.connectOptions } : { listen: recorder.listenOptions }),
      reached: { readBytes, subflows: joined.size, error: flow.connection.error },
      happenings: recorder.happenings,
    } as Recording;
  });
  assert.ok(recording);
  return recording;
}

function nameOf(scenario: Scenario, role: Role, family: 4 | 6): string {
  return `${scenario.name}-${role === 'our client' ? 'client' : 'server'}-${family}`;
}

async function main([folder, part]: string[]): Promise<void> {
  mkdirSync(folder, { recursive: true });
  let seed = 8684;
  for (const scenario of SCENARIOS) {
    for (const role of scenario.roles ?? (['our client', 'our server'] as const)) {
      for (const family of scenario.families ?? ([4, 6] as const)) {
        seed++;
        const name = nameOf(scenario, role, family);
        if (part !== undefined && !name.includes(part)) continue;
        const recording = await record(scenario, role, family, seed);
        writeFileSync(`${folder}/${name}.jsonl`, serialize(recording));
        console.log(name, recording.happenings.length, JSON.stringify(recording.reached));
      }
    }
  }
}

/** Nothing keeps the time of whoever plays the sessions again. */
const CONFIG: Partial<Config> = {
  timeWaitMs: 500,
  finWait2Ms: 2000,
  closeTimeoutMs: 5000,
  sendBufferBytes: 100_000,
  receiveBufferBytes: 100_000,
};
const KERNEL_BYTES: Uint8Array = new Uint8Array(200_000).fill(0x6b);
const INTO: Uint8Array = new Uint8Array(65_536);
await main(process.argv.slice(2));
