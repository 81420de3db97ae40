// Ways to draw from a random source.
// Before it: a seeded source. After it: draw.ts and draw-applications.ts.

import type { Random } from '../netmodel/index.ts';

/** True with this probability. */
export function chance(random: Random, probability: number): boolean {
  return random.next() < probability;
}

/** Uniform. */
export function between(random: Random, low: number, high: number): number {
  return low + random.next() * (high - low);
}

/** Uniform in the logarithm: as often between 1 and 10 as between 10 and 100. */
export function logBetween(random: Random, low: number, high: number): number {
  if (high <= low) return low;
  return low * (high / low) ** random.next();
}

/** A whole number, both ends included. */
export function whole(random: Random, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

/** One of the list. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)];
}
