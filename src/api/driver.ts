// Turns real time and real links into the five verbs of a host.
//
// Decides: what a batch is. Everything read in one poll phase of the event loop is received with one reading
// of the clock; the first of it asks for the end of the turn, where timers that are due expire, endpoints
// with news are served, packets leave and one timer is set. What an application does in one turn leaves
// together too.
// Timers never run where they fire but at the end of that turn, behind the packets that came meanwhile: after
// a stall or a sleep the network is heard before anything is declared lost.
// Read: docs/ARCHITECTURE.md on the five verbs.
// Walk: link → here → host → api/session → api/socket, and back.

import type { Connection, Host, Listener } from '../host/index.ts';
import { HEADROOM_BYTES, type Link, type LinkSink } from '../link/index.ts';
import { Alarm, KeepAlive, monotonicMs, TurnEnd } from './clock.ts';

/** Who is told that a connection or listener has news; its `userData`. */
export interface EndpointOwner {
  ready(events: number): void;
}

/** The verbs of a host the driver uses. */
export type DrivenHost = Pick<
  Host,
  | 'addInterface'
  | 'removeInterface'
  | 'setMtu'
  | 'receive'
  | 'transmit'
  | 'transmitInterface'
  | 'transmitSegmentSize'
  | 'nextDeadline'
  | 'expire'
  | 'nextReleased'
> & { nextReady(): Pick<Connection | Listener, 'takeEvents' | 'userData'> | undefined };

/** Told what concerns a port of a link rather than a connection. */
export interface PortObserver {
  /** Nobody listens at the other end, says the network. */
  portRefused(interfaceId: number, localPort: number): void;
  /** The host uses the port no longer; the link has let it go. */
  portReleased(interfaceId: number, localPort: number): void;
}

/** Runs one host. */
export class Driver<H extends DrivenHost = Host> {
  readonly host: H;
  /** Turns, packets in and out, and how often timers had to wait for packets. */
  readonly counters: Record<string, number> = { turns: 0, packetsIn: 0, packetsOut: 0, timersDeferred: 0 };
  readonly #links: Map<number, Link> = new Map();
  readonly #alarm: Alarm = new Alarm(() => this.#turnEnd.request());
  readonly #turnEnd: TurnEnd = new TurnEnd(() => this.#endTurn());
  readonly #keepAlive: KeepAlive = new KeepAlive();
  readonly #observers: PortObserver[] = [];
  readonly #out: Uint8Array = new Uint8Array(HEADROOM_BYTES + LARGEST_PACKET);
  #inTurn = false;
  #nowMs = 0;
  #alarmAtMs = Number.POSITIVE_INFINITY;
  #packetsThisTurn = 0;
  #deferredTurns = 0;

  constructor(host: H) {
    this.host = host;
  }

  /**
   * The time of this turn, for every call into the host. Asking for it is what makes the end of the turn
   * come:
   * whoever touches the host has asked.
   */
  now(): number {
    if (!this.#inTurn) {
      this.#inTurn = true;
      this.#nowMs = monotonicMs();
      this.#turnEnd.request();
    }
    return this.#nowMs;
  }

  /** Gives the host an interface with this link behind it, on a network of that name; returns its id. */
  attach(link: Link, network?: string): number {
    const id = this.host.addInterface({
      address: link.address.replace(/%.*$/, ''),
      name: link.name,
      mtu: link.mtu,
      gsoMax: link.gsoMax,
      checksumOffload: link.checksumOffload,
      ...(network === undefined ? {} : { network }),
    });
    this.#links.set(id, link);
    link.attach(this.#sinkFor(id));
    return id;
  }

  /** Takes the interface from the host and closes its link. */
  detach(interfaceId: number): void {
    const link = this.#links.get(interfaceId);
    if (link === undefined) return;
    this.host.removeInterface(interfaceId, this.now());
    this.#links.delete(interfaceId);
    link.close();
  }

  observePorts(observer: PortObserver): void {
    this.#observers.push(observer);
  }

  /** Keeps the process alive until `release`. */
  hold(): void {
    this.#keepAlive.hold();
  }

  release(): void {
    this.#keepAlive.release();
  }

  #sinkFor(id: number): LinkSink {
    return {
      packet: (_link, bytes, offset, length) => {
        this.#packetsThisTurn++;
        this.host.receive(id, bytes, offset, length, this.now());
      },
      mtuChanged: link => this.host.setMtu(id, link.mtu, this.now()),
      refused: (_link, localPort) => {
        for (const observer of this.#observers) observer.portRefused(id, localPort);
      },
    };
  }

  #endTurn(): void {
    this.#inTurn = true;
    this.#nowMs = monotonicMs();
    this.counters['turns']++;
    this.counters['packetsIn'] += this.#packetsThisTurn;
    let complete = false;
    try {
      this.#expire();
      complete = this.#serveEndpoints() && this.#transmit();
      this.#dropReleasedPorts();
    } finally {
      // An exception of the application's goes its way, and what it left undone is done next turn.
      this.#inTurn = false;
      this.#packetsThisTurn = 0;
      if (complete && this.#deferredTurns === 0) this.#setAlarm();
      else this.now();
    }
  }

  /** Expires what is due, unless the process is late and still has packets to hear first. */
  #expire(): void {
    const lateMs = this.#nowMs - this.host.nextDeadline();
    if (lateMs < 0) {
      this.#deferredTurns = 0;
      return;
    }
    const backlog = this.#packetsThisTurn >= BACKLOG_PACKETS && lateMs > LATE_MS;
    if (backlog && this.#deferredTurns < MOST_DEFERRED_TURNS) {
      this.#deferredTurns++;
      this.counters['timersDeferred']++;
      return;
    }
    this.#deferredTurns = 0;
    this.host.expire(this.#nowMs);
  }

  /** False when there was too much to do for one turn. */
  #serveEndpoints(): boolean {
    for (let served = 0; served < ENDPOINTS_PER_TURN; served++) {
      const endpoint = this.host.nextReady();
      if (endpoint === undefined) return true;
      // Without an owner yet (nobody has accepted it) the news waits for one.
      const owner = endpoint.userData as EndpointOwner | undefined;
      if (owner !== undefined) owner.ready(endpoint.takeEvents());
    }
    return false;
  }

  /** False when there was too much to send in one turn: acknowledgements wait to be read meanwhile. */
  #transmit(): boolean {
    const out = this.#out;
    for (let bytes = 0; bytes < BYTES_PER_TURN; ) {
      const length = this.host.transmit(out, HEADROOM_BYTES, this.#nowMs);
      if (length === 0) return true;
      bytes += length;
      this.counters['packetsOut']++;
      const link = this.#links.get(this.host.transmitInterface);
      link?.send(out, HEADROOM_BYTES, length, this.host.transmitSegmentSize);
    }
    return false;
  }

  #dropReleasedPorts(): void {
    for (;;) {
      const released = this.host.nextReleased();
      if (released === undefined) return;
      const { interfaceId, localPort } = released;
      this.#links.get(interfaceId)?.releasePort(localPort);
      for (const observer of this.#observers) observer.portReleased(interfaceId, localPort);
    }
  }

  /**
   * One timer, at the next deadline. A timer set too early rings for nothing; moving it on every packet costs
   * more.
   */
  #setAlarm(): void {
    const deadlineMs = this.host.nextDeadline();
    if (deadlineMs === Number.POSITIVE_INFINITY) {
      this.#alarm.cancel();
      return;
    }
    if (this.#alarm.armed && this.#alarmAtMs <= deadlineMs) return;
    this.#alarmAtMs = deadlineMs;
    this.#alarm.set(deadlineMs - this.#nowMs);
  }
}

const LARGEST_PACKET = 65_535;
/** About 200 datagrams: two milliseconds before the loop may read again. */
const BYTES_PER_TURN = 256 * 1024;
const ENDPOINTS_PER_TURN = 4096;
/** Later than this a timer is no longer merely imprecise. */
const LATE_MS = 20;
/** libuv reads at most 32 datagrams of a socket in a turn: this many mean that more may wait. */
const BACKLOG_PACKETS = 32;
/** No flood of packets puts timers off for ever. */
const MOST_DEFERRED_TURNS = 100;
