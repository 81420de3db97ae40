// Runs one host in virtual time, as src/api's driver runs one in real time: a batch of packets in with
// one `now`, news out to the applications, packets out until there are none, one deadline armed. It also
// plays the machine under the host: arrivals collected into batches, timers that are late, a machine
// that freezes.
// Before it: world.ts tells it of arrivals, deadlines and wake-ups. After it: the host, and network.ts.

import type { Connection, Host, Listener } from '../host/index.ts';
import type { Random } from '../netmodel/index.ts';
import { EventKind, type EventQueue } from './clock.ts';
import type { Lane, Network, NetworkInterface } from './network.ts';
import type { HostPlan } from './plan.ts';
import { ReceiveOffload } from './receive-offload.ts';

/** A host that keeps itself busy and lets no time pass. */
export class Livelock extends Error {}

export class HostDriver {
  readonly host: Host;
  readonly index: number;
  readonly plan: HostPlan;
  /** By place in the plan; `ids` has the host's number of each, 0 while the host has no such address. */
  readonly interfaces: NetworkInterface[] = [];
  readonly ids: number[] = [];
  /** The host has something to do at this instant. */
  turnDue = false;
  /** The machine stands still until then. */
  frozenUntilMs = 0;
  /** Local ports the host has given back. */
  releasedPorts = 0;
  /** Packets received and sent, super-segments counting once. */
  packetsIn = 0;
  packetsOut = 0;

  private readonly queue: EventQueue;
  private readonly network: Network;
  private readonly random: Random;
  private readonly onReady: (endpoint: Connection | Listener, nowMs: number) => void;
  private readonly onWake: (connection: number, side: number, nowMs: number) => void;
  private readonly out: Uint8Array = new Uint8Array(65_536);
  private readonly inbox: number[] = [];
  private readonly inboxLanes: Lane[] = [];
  private inboxBytes = 0;
  private readonly wakes: { connection: number; side: number }[] = [];
  private readonly offload: ReceiveOffload;
  private armedMs = Number.POSITIVE_INFINITY;
  private expireDue = false;
  private turnScheduledMs = -1;

  constructor(options: {
    host: Host;
    index: number;
    plan: HostPlan;
    queue: EventQueue;
    network: Network;
    random: Random;
    onReady: (endpoint: Connection | Listener, nowMs: number) => void;
    onWake: (connection: number, side: number, nowMs: number) => void;
  }) {
    this.host = options.host;
    this.index = options.index;
    this.plan = options.plan;
    this.queue = options.queue;
    this.network = options.network;
    this.random = options.random;
    this.onReady = options.onReady;
    this.onWake = options.onWake;
    this.offload = new ReceiveOffload((to, bytes, offset, length) => this.deliver(to, bytes, offset, length));
    for (const planned of options.plan.interfaces) {
      const added = this.network.addInterface({ host: this.index, ...planned });
      this.interfaces.push(added);
      this.ids.push(0);
      this.attach(this.interfaces.length - 1);
    }
  }

  /** The host gets (again) the address with this place in the plan. */
  attach(place: number): void {
    const { address, mtu, gsoMax, checksumOffload } = this.plan.interfaces[place];
    const name = `${this.plan.name}${place}`;
    this.ids[place] = this.host.addInterface({ address, name, mtu, gsoMax, checksumOffload });
    this.interfaces[place].present = true;
  }

  /** The host loses it. */
  detach(place: number, nowMs: number): void {
    const id = this.ids[place];
    if (id === 0) return;
    // What is said on the way out still needs the interface: it goes once the host has said it.
    this.host.removeInterface(id, nowMs);
    this.ids[place] = 0;
    this.interfaces[place].present = false;
    this.turnDue = true;
  }

  /** A packet has come; it is read in the next turn, and the slot given back then. */
  arrive(slot: number, lane: Lane): void {
    const length = this.network.pool.length[slot];
    if (this.inboxBytes + length > this.plan.inboxBytes) {
      this.network.countLoss(lane);
      this.network.pool.release(slot);
      return;
    }
    this.inbox.push(slot);
    this.inboxLanes.push(lane);
    this.inboxBytes += length;
    this.requestTurn(this.plan.batchMs);
  }

  /** The time the host was armed for has come; `EventKind.DEADLINE`. */
  deadline(): void {
    if (this.queue.nowMs < this.armedMs) return;
    this.armedMs = Number.POSITIVE_INFINITY;
    this.expireDue = true;
    this.requestTurn(0);
  }

  /** An application of this host wants to be called. */
  wake(connection: number, side: number): void {
    this.wakes.push({ connection, side });
    this.requestTurn(0);
  }

  /** The machine stands still for a while. */
  freeze(forMs: number): void {
    this.frozenUntilMs = Math.max(this.frozenUntilMs, this.queue.nowMs + forMs);
    this.turnScheduledMs = this.frozenUntilMs;
    this.queue.schedule(this.frozenUntilMs, EventKind.TURN, this.index, 0);
  }

  /** A batch is complete or a freeze over; `EventKind.TURN`. */
  turnEvent(): void {
    if (this.queue.nowMs < this.frozenUntilMs) return;
    this.turnScheduledMs = -1;
    this.turnDue = true;
  }

  /** Something was done to the host from outside: it gets a turn at the end of this instant. */
  requestTurn(delayMs: number): void {
    if (this.queue.nowMs < this.frozenUntilMs) return;
    if (delayMs <= 0) this.turnDue = true;
    else if (this.turnScheduledMs < this.queue.nowMs) {
      this.turnScheduledMs = this.queue.nowMs + delayMs;
      this.queue.schedule(this.turnScheduledMs, EventKind.TURN, this.index, 0);
    }
  }

  /** One turn of the loop: everything that has come, everything that is due, everything to be sent. */
  turn(nowMs: number): void {
    this.turnDue = false;
    if (nowMs < this.frozenUntilMs) return;
    this.receiveAll();
    if (this.expireDue) {
      this.expireDue = false;
      if (this.host.nextDeadline() <= nowMs) this.host.expire(nowMs);
    }
    for (let i = 0; i < this.wakes.length; i++)
      this.onWake(this.wakes[i].connection, this.wakes[i].side, nowMs);
    this.wakes.length = 0;
    this.settle(nowMs);
    this.arm(nowMs);
  }

  private receiveAll(): void {
    const { inbox, inboxLanes, network } = this;
    for (let i = 0; i < inbox.length; i++) {
      const slot = inbox[i];
      const to = inboxLanes[i].to;
      const bytes = network.pool.bytes(slot);
      const offset = network.pool.offset[slot];
      const length = network.pool.length[slot];
      if (this.plan.mergeReceived) this.offload.packet(to, bytes, offset, length);
      else this.deliver(to, bytes, offset, length);
      network.pool.release(slot);
    }
    inbox.length = 0;
    inboxLanes.length = 0;
    this.inboxBytes = 0;
    this.offload.flush();
  }

  private deliver(to: NetworkInterface, bytes: Uint8Array, offset: number, length: number): void {
    const id = this.ids[this.interfaces.indexOf(to)];
    if (id === 0) return;
    this.packetsIn++;
    this.host.receive(id, bytes, offset, length, this.queue.nowMs);
  }

  // News and packets until the host has neither. What an application does may make packets, and sending may
  // make news.
  private settle(nowMs: number): void {
    for (let pass = 0; ; pass++) {
      if (pass > MAX_PASSES) throw new Livelock(`${this.plan.name}: news and packets without end`);
      let busy = false;
      for (let news = this.host.nextReady(); news !== undefined; news = this.host.nextReady()) {
        busy = true;
        this.onReady(news, nowMs);
      }
      if (this.transmitAll(nowMs)) busy = true;
      if (!busy) break;
    }
    while (this.host.nextReleased() !== undefined) this.releasedPorts++;
  }

  private transmitAll(nowMs: number): boolean {
    const { host, out } = this;
    let count = 0;
    for (let length = host.transmit(out, 0, nowMs); length > 0; length = host.transmit(out, 0, nowMs)) {
      const place = this.ids.indexOf(host.transmitInterface);
      if (place < 0) throw new Error(`a packet from interface ${host.transmitInterface}, which is not there`);
      this.network.send(this.interfaces[place], out, 0, length, host.transmitSegmentSize);
      if (++count > MAX_PACKETS_A_TURN) throw new Livelock(`${this.plan.name}: packets without end`);
    }
    this.packetsOut += count;
    return count > 0;
  }

  private arm(nowMs: number): void {
    const deadlineMs = this.host.nextDeadline();
    if (Number.isNaN(deadlineMs)) throw new Error('the deadline is not a number');
    if (deadlineMs >= this.armedMs) return;
    const lateMs = this.plan.timerLatenessMs > 0 ? this.random.next() * this.plan.timerLatenessMs : 0;
    this.armedMs = Math.max(deadlineMs, nowMs);
    this.queue.schedule(this.armedMs + lateMs, EventKind.DEADLINE, this.index, 0);
  }
}

const MAX_PASSES = 10_000;
const MAX_PACKETS_A_TURN = 100_000;
