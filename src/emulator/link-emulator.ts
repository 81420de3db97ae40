// A link between two ends in real time: packets that one end sends travel an emulated path and come out at
// the other. An end is a TUN device, whose other side a kernel has, or a link of a host of ours; so kernels
// and our stack meet over identical networks.
//
// Decides: that the path's time begins when it is started, and nothing passes before; that a turn of the
// event loop reads the clock once for what it received; what an end is.
// Have read: emulated-path.ts, link/link.ts, link/tun-device.ts.
// Walk: whoever sets up a network makes the ends and starts the emulator between them.

import type { Link, LinkSink } from '../link/index.ts';
import type { TunDevice } from '../link/tun-device.ts';
import type { Direction } from '../netmodel/index.ts';
import { type SplitSink, splitPacket } from '../wire/index.ts';
import { Alarm, type Waker } from './alarm.ts';
import type { EmulatedPath } from './emulated-path.ts';

/** One side of an emulated link. */
export interface LinkEnd {
  /** Names who takes what this end sends, one raw IP packet at a time, its bytes included. Called once. */
  onSend(take: (packet: Uint8Array) => void): void;
  /** A packet has arrived here. */
  deliver(packet: Uint8Array): void;
  close(): void;
}

export class LinkEmulator {
  readonly path: EmulatedPath;
  readonly #near: LinkEnd;
  readonly #far: LinkEnd;
  readonly #alarm: Waker;
  #startedMs = Infinity;
  #turnMs = -1;

  /**
   * `near` is where the path's forward direction begins. `alarm` makes what wakes it, for who has a finer
   * timer than Node's, which are late by up to 1.5 ms.
   */
  constructor(options: {
    path: EmulatedPath;
    near: LinkEnd;
    far: LinkEnd;
    alarm?: (ring: () => void) => Waker;
  }) {
    this.path = options.path;
    const ring = (): void => this.#deliver();
    this.#alarm = options.alarm?.(ring) ?? new Alarm(ring);
    this.#near = options.near;
    this.#far = options.far;
    this.#near.onSend(packet => this.#enter(packet, 'forward'));
    this.#far.onSend(packet => this.#enter(packet, 'backward'));
  }

  /** The path's time 0. */
  start(): void {
    this.#startedMs = performance.now();
  }

  /** Closes both ends too. */
  close(): void {
    this.#startedMs = Infinity;
    this.#alarm.cancel();
    this.#near.close();
    this.#far.close();
  }

  #enter(packet: Uint8Array, direction: Direction): void {
    if (this.#startedMs === Infinity) return;
    if (this.#turnMs < 0) {
      this.#turnMs = performance.now() - this.#startedMs;
      setImmediate(this.#endTurn);
    }
    this.path.enter(packet, direction, this.#turnMs);
  }

  readonly #endTurn = (): void => {
    this.#turnMs = -1;
    this.#deliver();
  };

  #deliver(): void {
    if (this.#startedMs === Infinity) return;
    const now = performance.now() - this.#startedMs;
    this.path.deliver(now, (packet, direction) =>
      (direction === 'forward' ? this.#far : this.#near).deliver(packet),
    );
    this.#alarm.set(this.path.nextDueMs, now);
  }
}

/** A TUN device without offload: the host at this end is the kernel that has it. */
export class TunEnd implements LinkEnd {
  readonly counters: Record<string, number> = { fromKernel: 0, toKernel: 0, refusedByKernel: 0 };
  readonly #device: TunDevice;
  readonly #in: Uint8Array = new Uint8Array(LARGEST_PACKET);
  #readErrors = 0;
  #closed = false;

  constructor(device: TunDevice) {
    this.#device = device;
  }

  onSend(take: (packet: Uint8Array) => void): void {
    this.#device.watch(() => this.#onReadable(take));
  }

  deliver(packet: Uint8Array): void {
    if (this.#device.write(packet, packet.length) < 0) this.counters['refusedByKernel']++;
    else this.counters['toKernel']++;
  }

  close(): void {
    this.#closed = true;
    this.#device.close();
  }

  #onReadable(take: (packet: Uint8Array) => void): void {
    for (let read = 0; read < BATCH_PACKETS && !this.#closed; read++) {
      const length = this.#device.read(this.#in);
      if (length > 0) {
        this.counters['fromKernel']++;
        take(this.#in.slice(0, length));
        continue;
      }
      // A device that was deleted: watching on would keep the event loop busy for nothing.
      if (length !== -EAGAIN && ++this.#readErrors >= READ_ERRORS_LIMIT) this.close();
      return;
    }
  }
}

/**
 * A link of a host of ours. It splits what is larger than a segment, and makes the checksums of the
 * pieces.
 */
export class HostEnd implements LinkEnd, Link {
  readonly address: string;
  readonly name: string;
  readonly mtu: number;
  readonly gsoMax: number = LARGEST_PACKET;
  readonly checksumOffload: boolean = false;
  readonly counters: Record<string, number> = { sent: 0, received: 0 };
  #take: (packet: Uint8Array) => void = () => {};
  #sink: LinkSink | undefined;

  constructor(options: { address: string; mtu: number }) {
    this.address = options.address;
    this.name = options.address;
    this.mtu = options.mtu;
  }

  onSend(take: (packet: Uint8Array) => void): void {
    this.#take = take;
  }

  deliver(packet: Uint8Array): void {
    if (this.#sink === undefined) return;
    this.counters['received']++;
    this.#sink.packet(this, packet, 0, packet.length);
  }

  attach(sink: LinkSink): void {
    this.#sink = sink;
  }

  send(bytes: Uint8Array, offset: number, length: number, segmentSizeBytes: number): void {
    this.counters['sent']++;
    // A pure acknowledgement has no payload to split; any size does.
    splitPacket(bytes, offset, length, segmentSizeBytes > 0 ? segmentSizeBytes : length, this.#pieces);
  }

  releasePort(_localPort: number): void {}

  close(): void {
    this.#sink = undefined;
    this.#take = () => {};
  }

  readonly #pieces: SplitSink = {
    buffer: new Uint8Array(LARGEST_PACKET),
    offset: 0,
    checksum: true,
    piece: length => this.#take(this.#pieces.buffer.slice(0, length)),
  };
}

const LARGEST_PACKET = 65_535;
const BATCH_PACKETS = 64;
const READ_ERRORS_LIMIT = 16;
const EAGAIN = 11;
