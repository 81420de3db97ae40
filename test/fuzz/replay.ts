// A recorded session once more: a host with the entropy of the recording is told what its first self was told, or what
// somebody makes of that.
//
// Decides: what comes between the recorded happenings when packets differ and time goes another way: timers that are
// overdue, and an application that reads.

import assert from 'node:assert/strict';
import { type Connection, Host, type Listener } from '../../src/host/index.ts';
import { seededEntropy } from '../tcp/peer.ts';
import { type Happening, perform, type Recording, timeOf } from './recording.ts';

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
  #paused = false;

  constructor(recording: Recording, checksumOffload = true) {
    this.recording = recording;
    this.now = timeOf(recording.happenings[0].us);
    this.host = new Host({ entropy: seededEntropy(recording.seed), config: recording.config });
    for (const address of recording.addresses) this.host.addInterface({ address, checksumOffload });
    this.#listener = recording.listen === undefined ? null : this.host.listen(recording.listen);
  }

  /** The whole session, and its end. */
  play(meddling: Meddling = packet => [packet]): void {
    for (const happening of this.recording.happenings) {
      this.overdue(happening);
      this.happen(happening);
      if (happening.op === 'in') {
        for (const packet of meddling(happening.packet)) this.receive(happening.interfaceId, packet);
      }
      if (happening.op === 'send') this.#turn();
    }
  }

  receive(interfaceId: number, packet: Uint8Array): void {
    this.packetsIn++;
    this.host.receive(interfaceId, packet, 0, packet.length, this.now);
  }

  /** Timers that should have rung long before: the recording knows nothing of them. Time moves on. */
  overdue(next: Happening): void {
    const until = timeOf(next.us);
    for (let n = 0; this.host.nextDeadline() < until - LATE_MS; n++) {
      assert.ok(n < MOST_TIMERS, 'a deadline does not move');
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      this.#turn();
    }
    this.now = Math.max(this.now, until);
  }

  /** All but the arrival of packets. */
  happen(happening: Happening): void {
    if (happening.op === 'expire') this.host.expire(this.now);
    if (happening.op === 'connect' && this.recording.connect !== undefined) {
      this.held.push(this.host.connect(this.recording.connect, this.now));
    }
    if (happening.op !== 'act') return;
    const [act] = happening.act;
    if (act === 'pause' || act === 'resume') this.#paused = act === 'pause';
    else if (this.held.length > 0) perform(this.held[0], happening.act, this.now);
  }

  /** The application: takes what is to be had. */
  serve(): void {
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

  /** The end of everything: what mutants left behind goes with time, what our application has it lets go. */
  assertQuiet(): void {
    this.#listener?.close(this.now);
    for (const connection of this.held) connection.abort(this.now);
    this.#turn();
    const end = this.now + 3_600_000;
    for (let n = 0; this.host.nextDeadline() !== Infinity; n++) {
      assert.ok(n < MOST_TIMERS && this.now < end, 'a timer runs for ever');
      this.now = Math.max(this.now, this.host.nextDeadline());
      this.host.expire(this.now);
      this.#turn();
    }
    assert.equal([...this.host.connections].length, 0, 'a connection is left');
    assert.equal(this.#listener?.halfOpen ?? 0, 0, 'a half-open connection is still counted');
  }

  #note(connection: Connection): void {
    for (let notice = connection.nextNotice(); notice !== undefined; notice = connection.nextNotice()) {
      if (notice.type === 'subflow' && connection === this.held[0]) this.subflows.add(notice.subflow.id);
    }
  }

  #turn(): void {
    this.serve();
    for (let n = 0; ; n++) {
      assert.ok(n < MOST_PACKETS, 'the host does not stop sending');
      const length = this.host.transmit(OUT, 0, this.now);
      if (length === 0) break;
      this.packetsOut++;
      this.lastSent = OUT.slice(0, Math.min(length, 1500));
    }
    while (this.host.nextReleased() !== undefined);
  }
}

/** Later than a busy machine's timers are. */
const LATE_MS = 100;
const MOST_TIMERS = 10_000;
/** The host sends super-segments: a send buffer is a few dozen. */
const MOST_PACKETS = 2_000;
const OUT: Uint8Array = new Uint8Array(70_000);
const INTO: Uint8Array = new Uint8Array(65_536);
