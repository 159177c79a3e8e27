import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runSeed, type SeedResult } from '../../src/testing/simulation/run-seed.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { plantedBugs } from './planted-bugs.ts';
import { runSeeds } from './run-seeds.ts';

const seedLine = process.env['CODEX_FLEET_SIMULATION_SEED'];
const seeds = Number(process.env['CODEX_FLEET_SIMULATION_SEEDS'] ?? 1_000);
const timeout = 120_000 + seeds * 300;
const root = join(import.meta.dirname, '../..');

function report({ lastLines, problem, seed, step }: SeedResult): string {
  const replay = `CODEX_FLEET_SIMULATION_SEED=${seed} npm test test/simulation/simulation`;
  return [...lastLines, `seed ${seed}, step ${step}: ${problem}`, `again: ${replay}`].join('\n');
}

test('whatever fails in a fleet, what it promises of leases, turns, records and events holds [fleet-simulated]', {
  timeout,
}, async (t) => {
  const first = seedLine === undefined ? 1 : Number(seedLine);
  const count = seedLine === undefined ? seeds : 1;
  const { failure, steps, virtualMs } = await runSeeds(root, first, count);
  assert.equal(failure, null, failure === null ? '' : report(failure));
  const simulatedS = Math.round(virtualMs / 1_000);
  t.diagnostic(`${count} seeds, ${steps} steps, ${simulatedS} simulated seconds`);
  recordReliability({
    fault:
      'simulated: calls lost, doubled and late, processes that die, stop and wake, clocks apart, a log and a directory that forget',
    count: `${count} seeds, ${simulatedS} simulated seconds`,
    result:
      'one end of each turn, no prompt run twice, epochs that grow, streams without a hole, commits that build on one another',
    control: `${plantedBugs.length} planted bugs are each found (planted-bugs.test.ts)`,
  });
});

test('a seed replays: the same seed gives the same trace, another seed another one', async () => {
  const traces = async (): Promise<string[]> => {
    const hashes: string[] = [];
    for (let seed = 1; seed <= 20; seed++) hashes.push((await runSeed(seed)).traceHash);
    return hashes;
  };
  const once = await traces();
  assert.deepEqual(await traces(), once);
  assert.equal(new Set(once).size, once.length);
});
