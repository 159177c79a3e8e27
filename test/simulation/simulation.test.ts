import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { runSeed, type SeedResult } from '../../src/testing/simulation/run-seed.ts';
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
  t.diagnostic(`${count} seeds, ${steps} steps, ${Math.round(virtualMs / 1_000)} simulated seconds`);
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
