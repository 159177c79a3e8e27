// Random numbers that a seed repeats: a fault that was found once can be found again.

export type SeededRandom = {
  readonly seed: number;
  /** 0 ≤ x < 1. */
  readonly next: () => number;
  /** A whole number, both ends included. */
  readonly between: (min: number, max: number) => number;
  readonly pick: <T>(values: readonly T[]) => T;
};

/** Mulberry32: 32 bits of state, more than enough to choose where to cut. */
export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (min: number, max: number): number => min + Math.floor(next() * (max - min + 1));
  const pick = <T>(values: readonly T[]): T => {
    const value = values[between(0, values.length - 1)];
    if (value === undefined) throw new Error('there is nothing to pick from');
    return value;
  };
  return { seed, next, between, pick };
}
