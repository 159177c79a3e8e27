// Runs seeds of the simulation until one fails, in a process of its own: from which seed, and how many.
// Prints what was found as one line of JSON.

import { runSeed, type SeedResult } from '../../src/testing/simulation/run-seed.ts';

const [from = 1, count = 1] = process.argv.slice(2).map(Number);
let found: SeedResult | null = null;
for (let seed = from; seed < from + count && found === null; seed++) {
  const result = await runSeed(seed);
  if (result.problem !== null) found = result;
}
process.stdout.write(`${JSON.stringify(found)}\n`);
