// Has seeds of the simulation run by a tree of sources: this one, or a changed copy of it.

import { execFile } from 'node:child_process';
import type { SeedResult } from '../../src/testing/simulation/run-seed.ts';

export type SeedsResult = { readonly failure: SeedResult | null; readonly steps: number; readonly virtualMs: number };

/** Ends at the first that fails. */
export function runSeeds(tree: string, from: number, count: number): Promise<SeedsResult> {
  const options = { cwd: tree, timeout: 60_000 + count * 300, maxBuffer: 16 * 1024 * 1024 };
  const args = ['test/simulation/seeds-child.ts', String(from), String(count)];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as SeedsResult);
      else reject(new Error(`the simulation did not run: ${stderr}`, { cause: error }));
    });
  });
}
