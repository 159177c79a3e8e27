// How much of each fault a run tries, from which seed, and where it keeps its files.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';

/** 1 in CI; more on a machine of one's own. */
export const faultScale = Number(process.env['CODEX_FLEET_FAULTS_SCALE'] ?? 1);

/** At least one. */
export function scaled(count: number): number {
  return Math.max(1, Math.round(count * faultScale));
}

/** A new seed each time, said aloud; CODEX_FLEET_FAULTS_SEED repeats one. */
export function seededRun(t: TestContext): SeededRandom {
  const given = process.env['CODEX_FLEET_FAULTS_SEED'];
  const seed = given === undefined ? Date.now() % 2 ** 31 : Number(given);
  t.diagnostic(`CODEX_FLEET_FAULTS_SEED=${seed}`);
  return seededRandom(seed);
}

/** Where a fleet may keep its data; gone with the test. */
export function newDataDir(t: TestContext): string {
  const scratch = mkdtempSync(path.join(tmpdir(), 'fleet-faults-'));
  t.after(() => rmSync(scratch, { recursive: true, force: true, maxRetries: 3 }));
  return path.join(scratch, 'data');
}
