// Runs seeds of the simulation until one fails, in a process of its own: a test's own process watches every
// promise, which makes them five times slower. Arguments: from which seed, and how many. Prints one line of JSON.

import { runSeed, type SeedResult } from '../../src/testing/simulation/run-seed.ts';

const [from = 1, count = 1] = process.argv.slice(2).map(Number);
let failure: SeedResult | null = null;
let steps = 0;
let virtualMs = 0;
for (let seed = from; seed < from + count && failure === null; seed++) {
  const result = await runSeed(seed);
  steps += result.step;
  virtualMs += result.virtualMs;
  if (result.problem !== null) failure = result;
}
process.stdout.write(`${JSON.stringify({ failure, steps, virtualMs })}\n`);
