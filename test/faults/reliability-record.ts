// What a fault test has found, as a line in the file named by CODEX_FLEET_RELIABILITY; without that
// variable nothing is written. tools/generate-reliability.ts makes RELIABILITY.md of it.

import { appendFileSync } from 'node:fs';
import path from 'node:path';

export type ReliabilityFinding = {
  /** What was done, in plain words; with the suite, the name of the row. */
  readonly fault: string;
  /** How often, such as `21 kills, 200 turns`. */
  readonly count: number | string;
  /** What came of it, with figures. */
  readonly result: string;
  /** Which broken input the same check has refused. */
  readonly control: string;
};

export type ReliabilityRow = ReliabilityFinding & {
  /** The test file, from the repository's root. */
  readonly suite: string;
  /** Of the run, as YYYY-MM-DD. */
  readonly date: string;
};

const root = path.dirname(path.dirname(import.meta.dirname));

/** Called last, when nothing has failed. Every test file is a process of its own, and so its suite. */
export function recordReliability(finding: ReliabilityFinding): void {
  const file = process.env['CODEX_FLEET_RELIABILITY'];
  if (file === undefined || file === '') return;
  const suite = path.relative(root, process.argv[1] ?? '');
  const row: ReliabilityRow = { ...finding, suite, date: new Date().toISOString().slice(0, 10) };
  appendFileSync(file, `${JSON.stringify(row)}\n`);
}
