// A path between two hosts as raw IP packets see it, in explicit time: a path model a direction, and the
// middleboxes that stand on it.
//
// Decides: the order of things, which is the simulator's (sim/network.ts): a packet meets the middleboxes
// as it enters, and what they let out meets queue, rate, loss and delay of the direction it leaves in.
// Middleboxes keep checksums right; damage on the wire leaves them wrong, for the receiver to find.
// Have read: netmodel/path.ts, netmodel/middlebox/box.ts.
// Before: link-emulator.ts reads packets from the ends. After: it hands over what has arrived.

import {
  type Direction,
  type Leave,
  MiddleboxChain,
  type MiddleboxPlan,
  PathModel,
  type PathOptions,
  type Random,
} from '../netmodel/index.ts';
import { ecnField, markCongestion } from '../wire/index.ts';
import { RelaySchedule } from './relay-schedule.ts';

export interface EmulatedPathOptions {
  /** From the near end to the far one. */
  readonly forward: PathOptions;
  readonly backward: PathOptions;
  /** The first is nearest to the near end. */
  readonly middleboxes?: readonly MiddleboxPlan[];
  /** Of losses and all other chance, on the wire and in boxes. */
  readonly random: Random;
}

/** One direction; its luck does not depend on the other's traffic. */
interface Lane {
  readonly random: Random;
  readonly schedule: RelaySchedule<Uint8Array>;
}

export class EmulatedPath {
  readonly #lanes: Readonly<Record<Direction, Lane>>;
  readonly #middlebox: MiddleboxChain;

  constructor(options: EmulatedPathOptions) {
    const lane = (direction: Direction): Lane => {
      const random = options.random.fork(direction);
      const model = new PathModel(options[direction]);
      return { random, schedule: new RelaySchedule({ model, random, damage: flipped }) };
    };
    this.#lanes = { forward: lane('forward'), backward: lane('backward') };
    this.#middlebox = new MiddleboxChain(options.middleboxes ?? []);
  }

  /** What one direction counted. */
  counters(direction: Direction): Readonly<Record<string, number>> {
    const { schedule } = this.#lanes[direction];
    return { ...schedule.model.counters, ...schedule.counters };
  }

  /** A packet sets out; its bytes are the path's from now on. */
  enter(packet: Uint8Array, direction: Direction, now: number): void {
    this.#middlebox.pass(packet, direction, now, this.#lanes[direction].random, (out, way) =>
      this.#carry(out, way, now),
    );
  }

  /** When to call `deliver` next; Infinity when nothing is under way. */
  get nextDueMs(): number {
    const { forward, backward } = this.#lanes;
    return Math.min(this.#middlebox.dueMs, forward.schedule.nextDueMs, backward.schedule.nextDueMs);
  }

  /** Hands over what has arrived by `now`. */
  deliver(now: number, leave: Leave): void {
    if (this.#middlebox.dueMs <= now) {
      this.#middlebox.due(now, (packet, direction) => this.#carry(packet, direction, now));
    }
    for (const direction of DIRECTIONS) {
      const { schedule } = this.#lanes[direction];
      for (let next = schedule.take(now); next !== undefined; next = schedule.take(now)) {
        leave(next, direction);
      }
    }
  }

  /** Down is silent, both ways, and takes what is queued or on the wire. */
  setUp(up: boolean): void {
    for (const direction of DIRECTIONS) this.#lanes[direction].schedule.setUp(up);
  }

  #carry(packet: Uint8Array, direction: Direction, now: number): void {
    const mark = packet.length > 1 && ecnField(packet, 0) !== 0 ? markExperienced : undefined;
    this.#lanes[direction].schedule.offer(packet, packet.length, now, mark);
  }
}

function markExperienced(packet: Uint8Array): void {
  markCongestion(packet, 0);
}

function flipped(packet: Uint8Array, bit: number): Uint8Array {
  const damaged = packet.slice();
  damaged[bit >> 3] ^= 0x80 >> (bit & 7);
  return damaged;
}

const DIRECTIONS: readonly Direction[] = ['forward', 'backward'];
