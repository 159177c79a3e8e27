// Runs the variants of a comparison in turns, in a new order each time, so that whatever else the
// machine does falls on all of them alike. Keeps the samples by round; judges nothing.

import { shuffled } from './statistics.ts';

/** One run of it: one sample or many, in the unit of the comparison. */
export type Variant = () => Promise<readonly number[]>;

export type Schedule = {
  readonly rounds: number;
  /** Runs of each variant within a round. */
  readonly runsPerRound: number;
  /** Runs of each variant before the first round, thrown away. */
  readonly warmUps: number;
};

/** By variant: the samples of each round. */
export type Rounds<Name extends string> = Readonly<Record<Name, readonly (readonly number[])[]>>;

export async function interleave<Name extends string>(
  variants: Readonly<Record<Name, Variant>>,
  schedule: Schedule,
): Promise<Rounds<Name>> {
  const names = Object.keys(variants) as Name[];
  for (let run = 0; run < schedule.warmUps; run += 1) {
    for (const name of shuffled(names)) await variants[name]();
  }
  const rounds = Object.fromEntries(names.map((name) => [name, [] as number[][]])) as Record<Name, number[][]>;
  for (let round = 0; round < schedule.rounds; round += 1) {
    for (const name of names) rounds[name].push([]);
    for (let run = 0; run < schedule.runsPerRound; run += 1) {
      for (const name of shuffled(names)) rounds[name].at(-1)?.push(...(await variants[name]()));
    }
  }
  return rounds;
}
