// What a segment costs in the whole core: two hosts joined by the memory link in one process, one writing,
// the other reading. Nanoseconds and bytes allocated per segment, both ends and the link together: from
// `write` to packet out, and from packet in to `read`.
//
// The link has no segmentation offload here, so a segment is what fits one wire packet, or the mtu is that of
// a super-segment. Run with --expose-gc and a semi-space large enough for no collection to fall in between
// (`npm run bench` does); a measurement with a collection in it is made again.

import { createHash, createHmac, randomFillSync } from 'node:crypto';
import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { type Connection, type Entropy, Host, Listener, Ready } from '../src/host/index.ts';
import { type MemoryLink, memoryPair } from '../src/link/index.ts';

export interface CoreBenchOptions {
  multipath: boolean;
  /** Payload bytes of a full segment. */
  segmentBytes: number;
  segments: number;
}

export interface CoreBenchResult {
  name: string;
  segments: number;
  /** Payload bytes of the mean segment that crossed the link. */
  payloadBytes: number;
  nsPerSegment: number;
  bytesPerSegment: number;
  packetsPerSecond: number;
  gbitPerSecond: number;
}

/** The cases of the table. */
export async function benchCore(): Promise<CoreBenchResult[]> {
  const results: CoreBenchResult[] = [];
  for (const multipath of [false, true]) {
    results.push(await measureCore({ multipath, segmentBytes: 1448, segments: 200_000 }));
    results.push(await measureCore({ multipath, segmentBytes: 63_000, segments: 20_000 }));
  }
  return results;
}

/** A transfer over the memory link, after a warm-up of the same kind. */
export async function measureCore(options: CoreBenchOptions): Promise<CoreBenchResult> {
  const stage = new Stage(options);
  stage.transfer(Math.max(options.segments, 20_000));
  for (let attempt = 1; ; attempt += 1) {
    const sample = await collectionFree(() => stage.transfer(options.segments));
    if (!sample.collected || attempt === maxAttempts) return stage.result(options, sample);
  }
}

interface Sample {
  ns: number;
  heapBytes: number;
  packets: number;
  /** A collection fell into the measurement: the heap difference says nothing. */
  collected: boolean;
}

/** Runs once, between two readings of the used heap. */
async function collectionFree(run: () => number): Promise<Sample> {
  const collections: number[] = [];
  const observer = new PerformanceObserver(list => {
    for (const entry of list.getEntries()) collections.push(entry.startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  (globalThis as { gc?: () => void }).gc?.();
  await turn();
  const from = performance.now();
  const usedBefore = process.memoryUsage().heapUsed;
  const startedAt = process.hrtime.bigint();
  const packets = run();
  const ns = Number(process.hrtime.bigint() - startedAt);
  const heapBytes = process.memoryUsage().heapUsed - usedBefore;
  await turn();
  await turn();
  observer.disconnect();
  return { ns, heapBytes, packets, collected: heapBytes < 0 || collections.some(at => at > from) };
}

const clientAddress = '10.0.0.1';
const serverAddress = '10.0.0.2';
const port = 5000;
/** IP and TCP headers and timestamps. */
const headerBytes = 52;
/** DSS with 64-bit numbers and its padding. */
const dssBytes = 28;
const stepMs = 1;
const maxAttempts = 5;
const idleLimit = 60_000;

/** Two hosts, their link and a connection between them, in time that moves when it is told to. */
class Stage {
  readonly #pair;
  readonly #client: Host;
  readonly #server: Host;
  readonly #connection: Connection;
  readonly #packet = new Uint8Array(65_536);
  readonly #chunk = new Uint8Array(65_536).map((_, index) => index);
  readonly #sink = new Uint8Array(1 << 20);
  readonly #headerBytes: number;
  #accepted: Connection | undefined;
  #now = 1000;
  #dataPackets = 0;
  #dataBytes = 0;

  constructor({ multipath, segmentBytes }: CoreBenchOptions) {
    this.#headerBytes = headerBytes + (multipath ? dssBytes : 0);
    const mtu = segmentBytes + this.#headerBytes;
    this.#pair = memoryPair({
      addresses: [clientAddress, serverAddress],
      mtu,
      gsoMax: mtu,
      queueLimit: 65_536,
    });
    this.#client = this.#host(this.#pair.a, mtu);
    this.#server = this.#host(this.#pair.b, mtu);
    this.#server.listen({ port, multipath });
    this.#connection = this.#client.connect(
      { remote: { address: serverAddress, port }, paths: [{ interfaceId: 1 }], multipath },
      this.#now,
    );
    for (let round = 0; round < 100 && !this.#accepted; round += 1) this.#turn();
    if (!this.#accepted) throw new Error('the two hosts do not connect');
    if (this.#connection.multipath().active !== multipath) throw new Error('not the protocol to be measured');
  }

  /**
   * Writes until so many segments of payload have been sent and read; returns the packets it took, ACKs too.
   */
  transfer(segments: number): number {
    const { a, b } = this.#pair;
    const packetsBefore = a.counters['sent'] + b.counters['sent'];
    const dataBefore = this.#dataPackets;
    for (
      let idle = 0, last = dataBefore;
      this.#dataPackets - dataBefore < segments;
      last = this.#dataPackets
    ) {
      idle = this.#dataPackets === last ? idle + 1 : 0;
      if (idle > idleLimit) throw new Error(`nothing was sent for ${idle} ms of virtual time`);
      while (this.#connection.write(this.#chunk, 0, this.#chunk.length, this.#now) > 0);
      this.#turn();
    }
    return a.counters['sent'] + b.counters['sent'] - packetsBefore;
  }

  result(options: CoreBenchOptions, sample: Sample): CoreBenchResult {
    const { multipath, segmentBytes, segments } = options;
    const payloadBytes = Math.round(this.#dataBytes / this.#dataPackets);
    const seconds = sample.ns / 1e9;
    return {
      name: `${multipath ? 'MPTCP' : 'TCP'}, segments of ${segmentBytes} bytes`,
      segments,
      payloadBytes,
      nsPerSegment: Math.round(sample.ns / segments),
      bytesPerSegment: sample.collected ? Number.NaN : Math.round((sample.heapBytes / segments) * 10) / 10,
      packetsPerSecond: Math.round(sample.packets / seconds),
      gbitPerSecond: Math.round((segments * payloadBytes * 8) / seconds / 1e7) / 100,
    };
  }

  #host(link: MemoryLink, mtu: number): Host {
    const host = new Host({ entropy });
    const id = host.addInterface({ address: link.address, mtu, gsoMax: mtu, checksumOffload: true });
    link.attach({
      packet: (_link, bytes, offset, length) => {
        if (host === this.#server && length > 300) {
          this.#dataPackets += 1;
          this.#dataBytes += length - this.#headerBytes;
        }
        host.receive(id, bytes, offset, length, this.#now);
      },
      mtuChanged() {},
      refused() {},
    });
    return host;
  }

  /** What a driver does in one turn, for both hosts. */
  #turn(): void {
    this.#now += stepMs;
    this.#pair.deliver();
    this.#serve(this.#client);
    this.#serve(this.#server);
    this.#send(this.#client, this.#pair.a);
    this.#send(this.#server, this.#pair.b);
  }

  #serve(host: Host): void {
    if (host.nextDeadline() <= this.#now) host.expire(this.#now);
    for (let ready = host.nextReady(); ready; ready = host.nextReady()) {
      const events = ready.takeEvents();
      if (ready instanceof Listener) this.#accepted = ready.accept() ?? this.#accepted;
      else if (events & Ready.READABLE && ready !== this.#connection) {
        while (ready.read(this.#sink, 0, this.#sink.length, this.#now) > 0);
      }
    }
  }

  #send(host: Host, link: MemoryLink): void {
    for (let length = host.transmit(this.#packet, 0, this.#now); length > 0; ) {
      link.send(this.#packet, 0, length, host.transmitSegmentSize);
      length = host.transmit(this.#packet, 0, this.#now);
    }
  }
}

const entropy: Entropy = {
  randomBytes: into => void randomFillSync(into),
  sha256: data => createHash('sha256').update(data).digest(),
  hmacSha256: (key, data) => createHmac('sha256', key).update(data).digest(),
};
