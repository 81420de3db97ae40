// Small reproducible random numbers for tests that name their seed.

export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed * 2654435761 + 1;
  }

  next(below: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * below);
  }
}
