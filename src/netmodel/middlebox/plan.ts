// Decides which middlebox a plan means: plain data in, a box with its state out, and chains of several on a
// path.
// Before: table.ts, a world's plan. After: the box at work in a network, simulated or real.

import type { RandomSource } from '../random.ts';
import type { Direction, Leave, Match, Middlebox } from './box.ts';
import {
  Dropper,
  HmacDamager,
  Mirror,
  MssClamp,
  OptionStripper,
  Resetter,
  SynDoubler,
  VersionZero,
  WindowShrinker,
} from './options.ts';
import { ByteChanger, ByteInserter, Coalescer, HoleBlocker, Replayer, Splitter } from './payload.ts';
import { AddressTranslator, IsnRandomizer, ProactiveAcker, SynProxy } from './sequence.ts';

/** A middlebox as data: can be printed, pasted and kept with a seed. */
export type MiddleboxPlan =
  /** MPTCP options (of these subtypes; or options of another kind) become padding, or end markers. */
  | { type: 'strip'; match: Match; subtypes?: readonly number[]; kind?: number; asEnd?: boolean }
  | { type: 'drop'; match: Match }
  | { type: 'reset'; match: Match }
  | { type: 'damage-hmac'; match: Match }
  | { type: 'mirror'; asAnswer: boolean }
  | { type: 'version-zero' }
  | { type: 'double-syn'; plainFirst: boolean }
  | { type: 'clamp-mss'; mostBytes: number }
  | { type: 'shrink-window'; most: number }
  | { type: 'randomize-isn'; rewritesSack: boolean }
  /** `address` is where the forward side is seen from the other. */
  | { type: 'translate'; address: string; idleMs?: number; forgetAtMs?: number }
  | { type: 'syn-proxy' }
  | { type: 'acknowledge'; direction: Direction }
  | { type: 'change-bytes'; direction: Direction; atBytes: readonly number[] }
  | { type: 'insert-bytes'; direction: Direction; atByte: number; bytes: number }
  | { type: 'coalesce'; direction?: Direction; mostBytes: number; waitMs?: number }
  | { type: 'split'; mostBytes: number; keeps: 'all' | 'first' | 'last' }
  | { type: 'block-holes' }
  | { type: 'replay'; every: number };

/** The box of a plan, new. */
export function createMiddlebox(plan: MiddleboxPlan): Middlebox {
  switch (plan.type) {
    case 'strip':
      return new OptionStripper(plan);
    case 'drop':
      return new Dropper(plan);
    case 'reset':
      return new Resetter(plan);
    case 'damage-hmac':
      return new HmacDamager(plan);
    case 'mirror':
      return new Mirror(plan);
    case 'version-zero':
      return new VersionZero();
    case 'double-syn':
      return new SynDoubler(plan);
    case 'clamp-mss':
      return new MssClamp(plan);
    case 'shrink-window':
      return new WindowShrinker(plan);
    case 'randomize-isn':
      return new IsnRandomizer(plan);
    case 'translate':
      return new AddressTranslator(plan);
    case 'syn-proxy':
      return new SynProxy();
    case 'acknowledge':
      return new ProactiveAcker(plan);
    case 'change-bytes':
      return new ByteChanger(plan);
    case 'insert-bytes':
      return new ByteInserter(plan);
    case 'coalesce':
      return new Coalescer(plan);
    case 'split':
      return new Splitter(plan);
    case 'block-holes':
      return new HoleBlocker();
    case 'replay':
      return new Replayer(plan);
  }
}

/** Several boxes one behind the other, the first nearest to the forward side. */
export class MiddleboxChain implements Middlebox {
  private readonly boxes: readonly Middlebox[];

  constructor(plans: readonly MiddleboxPlan[]) {
    this.boxes = plans.map(createMiddlebox);
  }

  get dueMs(): number {
    return Math.min(...this.boxes.map(box => box.dueMs));
  }

  pass(packet: Uint8Array, direction: Direction, now: number, random: RandomSource, leave: Leave): void {
    const first = direction === 'forward' ? 0 : this.boxes.length - 1;
    this.enter(first, packet, direction, now, random, leave);
  }

  due(now: number, leave: Leave): void {
    for (let i = 0; i < this.boxes.length; i++) {
      // What a box held back meets the boxes behind it without luck: those that draw lots hold nothing back.
      this.boxes[i].due(now, (packet, direction) => this.behind(i, packet, direction, now, NO_LUCK, leave));
    }
  }

  private enter(
    i: number,
    packet: Uint8Array,
    direction: Direction,
    now: number,
    random: RandomSource,
    leave: Leave,
  ): void {
    if (i < 0 || i >= this.boxes.length) {
      leave(packet, direction);
      return;
    }
    this.boxes[i].pass(packet, direction, now, random, (out, way) =>
      this.behind(i, out, way, now, random, leave),
    );
  }

  private behind(
    i: number,
    packet: Uint8Array,
    direction: Direction,
    now: number,
    random: RandomSource,
    leave: Leave,
  ): void {
    this.enter(direction === 'forward' ? i + 1 : i - 1, packet, direction, now, random, leave);
  }
}

const NO_LUCK: RandomSource = { next: () => 1 - 2 ** -32, uint32: () => 0 };
