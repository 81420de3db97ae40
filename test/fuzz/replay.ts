// A recorded session once more: a host with the entropy of the recording is told what its first self was told, or what
// somebody makes of that.
//
// Decides: what comes between the recorded happenings when packets differ and time goes another way: timers that are
// overdue, and an application that reads. Packets go straight to the host in `play`, and through a TUN device in
// test/interop/fuzz.test.ts.

import assert from 'node:assert/strict';
import { type Config, type Connection, Host, type Listener } from '../../src/host/index.ts';
import { HEADROOM_BYTES } from '../../src/link/index.ts';
import { seededEntropy } from '../tcp/peer.ts';
import { type Happening, perform, type Recording, timeOf } from './recording.ts';

/** What becomes of a packet of the host's. */
export type Send = (
  interfaceId: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  size: number,
) => void;
export interface ReplayOptions {
  /** The host does not look at TCP checksums (default true). */
  readonly checksumOffload?: boolean;
  /** More than the recording says. */
  readonly config?: Partial<Config>;
  readonly send?: Send;
}

/** Makes of one packet those that arrive. */
export type Meddling = (packet: Uint8Array) => readonly Uint8Array[];

export class Replay {
  readonly host: Host;
  now: number;
  /** Of all connections. */
  readBytes = 0;
  packetsIn = 0;
  packetsOut = 0;
  /** Subflows of the recorded connection that were ever in use. */
  readonly subflows: Set<number> = new Set();
  /** What the host sent last. */
  lastSent: Uint8Array | null = null;
  readonly recording: Recording;
  /** The connections of our application; the first is the one recorded. */
  readonly held: Connection[] = [];
  readonly #listener: Listener | null;
  readonly #send: Send;
  #paused = false;

  constructor(recording: Recording, options: ReplayOptions = {}) {
    const { checksumOffload = true, send = () => {} } = options;
    this.recording = recording;
    this.#send = send;
    this.now = timeOf(recording.happenings[0].us);
    this.host = new Host({
      entropy: seededEntropy(recording.seed),
      config: { ...recording.config, ...options.config },
    });
    for (const address of recording.addresses) this.host.addInterface({ address, checksumOffload });
    this.#listener = recording.listen === undefined ? null : this.host.listen(recording.listen);
  }

  /** The whole session, and its end. */
  play(meddling: Meddling = packet => [packet]): void {
    for (const happening of this.recording.happenings) {
      this.happen(happening);
      if (happening.op !== 'in') continue;
      for (const packet of meddling(happening.packet)) {
        this.receive(happening.interfaceId, packet, 0, packet.length);
      }
    }
  }

  receive(interfaceId: number, bytes: Uint8Array, offset: number, length: number): void {
    this.packetsIn++;
    this.host.receive(interfaceId, bytes, offset, length, this.now);
  }

  /** All but the arrival of packets. */
  happen(happening: Happening): void {
    this.#overdue(happening);
    const { op } = happening;
    if (op === 'send') this.#turn();
    if (op === 'expire') this.host.expire(this.now);
    if (op === 'connect' && this.recording.connect !== undefined) {
      this.held.push(this.host.connect(this.recording.connect, this.now));
    }
    if (op !== 'act') return;
    const [act] = happening.act;
    if (act === 'pause' || act === 'resume') this.#paused = act === 'pause';
    else if (this.held.length > 0) perform(this.held[0], happening.act, this.now);
  }

  /** Timers that should have rung long before: the recording knows nothing of them. Time moves on. */
  #overdue(next: Happening): void {
    const until = timeOf(next.us);
    for (let n = 0; this.host.nextDeadline() < until - LATE_MS; n++) {
      assert.ok(n < MOST_TIMERS, 'a deadline does not move');
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      this.#turn();
    }
    this.now = Math.max(this.now, until);
  }

  /** The end of everything: what mutants left behind goes with time, what our application has it lets go. */
  assertQuiet(): void {
    this.#listener?.close(this.now);
    for (const connection of this.held) connection.abort(this.now);
    this.#turn();
    const end = this.now + QUIET_MS;
    for (let n = 0; this.host.nextDeadline() !== Infinity; n++) {
      assert.ok(n < MOST_TIMERS && this.now < end, 'a timer runs for ever');
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      this.#turn();
    }
    assert.equal([...this.host.connections].length, 0, 'a connection is left');
    assert.equal(this.#listener?.halfOpen ?? 0, 0, 'a half-open connection is still counted');
  }

  /** The application: takes what is to be had. */
  #serve(): void {
    const listener = this.#listener;
    for (let c = listener?.accept(); c !== undefined; c = listener?.accept()) this.held.push(c);
    for (let end = this.host.nextReady(); end !== undefined; end = this.host.nextReady()) {
      end.takeEvents();
      if ('nextNotice' in end) this.#note(end);
    }
    if (this.#paused) return;
    for (const connection of this.held) {
      for (let n = -1; n !== 0; this.readBytes += n) n = connection.read(INTO, 0, INTO.length, this.now);
    }
  }

  #note(connection: Connection): void {
    for (let notice = connection.nextNotice(); notice !== undefined; notice = connection.nextNotice()) {
      if (notice.type === 'subflow' && connection === this.held[0]) this.subflows.add(notice.subflow.id);
    }
  }

  #turn(): void {
    this.#serve();
    for (let n = 0; ; n++) {
      assert.ok(n < MOST_PACKETS, 'the host does not stop sending');
      const length = this.host.transmit(OUT, HEADROOM_BYTES, this.now);
      if (length === 0) break;
      this.packetsOut++;
      this.lastSent = OUT.slice(HEADROOM_BYTES, HEADROOM_BYTES + Math.min(length, 1500));
      this.#send(this.host.transmitInterface, OUT, HEADROOM_BYTES, length, this.host.transmitSegmentSize);
    }
    while (this.host.nextReleased() !== undefined);
  }
}

/** Later than a busy machine's timers are. */
const LATE_MS = 100;
const MOST_TIMERS = 10_000;
/** Twice as long as a silent peer is waited for, dataTimeoutMs. */
const QUIET_MS = 240_000;
/** The host sends super-segments: a send buffer is a few dozen. */
const MOST_PACKETS = 2_000;
const OUT: Uint8Array = new Uint8Array(70_000);
const INTO: Uint8Array = new Uint8Array(65_536);
