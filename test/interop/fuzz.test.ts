// Recorded sessions with the Linux kernel, damaged, once more through TUN devices: our stack with its devices in this
// process, and a process that injects packets at their other end.
//
//   FUZZ_SECONDS=3600 node --test dist/test/interop/fuzz.test.js
//   FUZZ_SEED=12345 FUZZ_SECONDS=1 node --test dist/test/interop/fuzz.test.js     (begins with that seed)
//
// No kernel is a peer of these packets: some have crashed Linux. In their namespace the devices have no addresses, IPv6
// is off, and nobody has a socket; the kernel drops all that we answer. Time is that of the recording.

import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type LinkSink, Tun, type TunLink } from '../../src/link/index.ts';
import { Chance } from '../fuzz/chance.ts';
import { Meddler, signalsOf } from '../fuzz/meddler.ts';
import { memoryMiB } from '../fuzz/memory.ts';
import { loadCorpus } from '../fuzz/recording.ts';
import { Replay, type Send } from '../fuzz/replay.ts';
import { KernelPeer } from './kernel-peer.ts';
import { addNamespace, run, skipNamespaces } from './netns.ts';

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 6);
const firstSeed = Number(process.env['FUZZ_SEED'] ?? Date.now() % 1_000_000_000);

describe('damaged packets of the kernel through a TUN device', { skip: skipNamespaces }, () => {
  for (const offload of [false, true]) {
    test(`offload ${offload ? 'on' : 'off'}: nothing is thrown, nothing stays`, async t => {
      const wire = new Wire(offload);
      try {
        await wire.open();
        await sessions(wire, t);
      } finally {
        await wire.close();
      }
    });
  }
});

async function sessions(wire: Wire, t: TestContext): Promise<void> {
  const corpus = loadCorpus();
  const signals = signalsOf(corpus);
  const until = performance.now() + (seconds / 2) * 1000;
  const total = { sessions: 0, injected: 0, received: 0, sent: 0, meddled: 0, readBytes: 0, joined: 0 };
  let warmMiB = Number.POSITIVE_INFINITY;
  let seed = firstSeed;
  for (; seed <= firstSeed + WARM_SESSIONS || performance.now() < until; seed++) {
    const chance = new Chance(seed);
    const recording = chance.pick(corpus);
    const meddler = new Meddler(chance, signals);
    const replay = new Replay(recording, { send: wire.send });
    try {
      wire.replay = replay;
      for (const happening of recording.happenings) {
        replay.happen(happening);
        if (happening.op !== 'in') continue;
        await wire.inject(happening.interfaceId, meddler.arrivals(happening.packet, replay));
      }
      wire.replay = null;
      replay.assertQuiet();
    } catch (error) {
      throw new Error(`FUZZ_SEED=${seed}: ${error instanceof Error ? error.stack : error}`);
    }
    total.sessions++;
    total.received += replay.packetsIn;
    total.sent += replay.packetsOut;
    total.meddled += meddler.meddled;
    total.readBytes += replay.readBytes;
    total.joined += replay.subflows.size > 1 ? 1 : 0;
    if (total.sessions === WARM_SESSIONS) warmMiB = memoryMiB();
  }
  total.injected = wire.injected;
  const grownMiB = memoryMiB() - warmMiB;
  t.diagnostic(
    `seeds ${firstSeed} to ${seed - 1}, ${JSON.stringify(total)}, grown by ${grownMiB.toFixed(1)} MiB`,
  );
  assert.ok(grownMiB < MOST_GROWTH_MIB, `FUZZ_SEED=${firstSeed}: grown by ${grownMiB} MiB`);
  // That the test tests something.
  assert.ok(total.readBytes > 0 && total.received > total.injected / 2, JSON.stringify(total));
}

/** Two TUN devices whose other ends belong to nobody. */
class Wire {
  /** Whose packets arrive. */
  replay: Replay | null = null;
  injected = 0;
  readonly #namespace: string;
  readonly #tuns: Tun[] = [];
  /** By interface id, from 1. */
  readonly #links: TunLink[] = [];
  readonly #peer: KernelPeer;

  constructor(offload: boolean) {
    const { name, devicePrefix } = addNamespace();
    this.#namespace = name;
    this.#peer = new KernelPeer(name);
    for (const device of [0, 1]) {
      const tun = new Tun({ name: `${devicePrefix}${device}`, offload });
      this.#tuns.push(tun);
      for (const address of [`10.77.${device}.2`, `fd77:0:0:${device}::2`]) {
        const link = tun.link(address);
        link.attach(this.#sinkOf(this.#links.push(link)));
      }
    }
  }

  async open(): Promise<void> {
    await this.#peer.sysctl({ 'net.ipv6.conf.default.disable_ipv6': 1, 'net.ipv4.ip_forward': 0 });
    for (const { name } of this.#tuns) {
      run('ip', ['link', 'set', name, 'netns', this.#namespace]);
      run('ip', ['-n', this.#namespace, 'link', 'set', name, 'mtu', '1500', 'up']);
    }
  }

  readonly send: Send = (interfaceId, bytes, offset, length, segmentSizeBytes) => {
    this.#links[interfaceId - 1].send(bytes, offset, length, segmentSizeBytes);
  };

  /** Resolves when our devices have seen all of them. */
  async inject(interfaceId: number, packets: readonly Uint8Array[]): Promise<void> {
    const { name } = this.#tuns[(interfaceId - 1) >> 1];
    const taken = await this.#peer.inject(name, packets);
    this.injected += taken;
    const limit = performance.now() + 5_000;
    while (this.#seen() < this.injected) {
      assert.ok(performance.now() < limit, 'a packet has vanished between the kernel and us');
      await turn();
    }
  }

  async close(): Promise<void> {
    for (const tun of this.#tuns) tun.close();
    await this.#peer.close();
    run('ip', ['netns', 'del', this.#namespace]);
  }

  #seen(): number {
    let count = 0;
    for (const { counters } of this.#tuns) count += counters['notForUs'] + counters['checksumErrors'];
    for (const { counters } of this.#links) count += counters['received'];
    return count;
  }

  #sinkOf(interfaceId: number): LinkSink {
    return {
      packet: (_link, bytes, offset, length) => this.replay?.receive(interfaceId, bytes, offset, length),
      mtuChanged: () => assert.fail('the MTU of a TUN device is its own'),
      refused: () => {},
    };
  }
}

/** Everything has been loaded and compiled by then. */
const WARM_SESSIONS = 8;
const MOST_GROWTH_MIB = 16;
