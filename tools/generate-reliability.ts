// `npm run reliability [-- <words of paths>]`: runs the fault tests and writes RELIABILITY.md of what they
// record. `--from <file>` writes it from lines that are there already. A suite that did not run keeps its
// rows, with the date of its last run; one that did has those of this run alone.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import type { ReliabilityRow } from '../test/faults/reliability-record.ts';

const root = path.dirname(import.meta.dirname);
const page = path.join(root, 'RELIABILITY.md');
const suites = ['test/faults', 'test/cluster', 'test/simulation', 'src/testing/faults'];
const columns = ['fault', 'count', 'result', 'negative control', 'suite', 'date'];

export function readRecord(text: string): ReliabilityRow[] {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as ReliabilityRow);
}

/** The rows of a page that was written before. */
export function readPage(text: string): ReliabilityRow[] {
  const lines = text.split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(2).map((line) => {
    const cells = line.slice(2, -2).split(/(?<!\\) \| /);
    const [fault = '', count = '', result = '', control = '', suite = '', date = ''] = cells.map((cell) =>
      cell.replaceAll('\\|', '|'),
    );
    return { fault, count, result, control, suite: suite.replaceAll('`', ''), date };
  });
}

/** A suite that is gone takes its rows with it. */
export function mergeRows(
  kept: readonly ReliabilityRow[],
  run: readonly ReliabilityRow[],
  exists: (suite: string) => boolean,
): ReliabilityRow[] {
  const ran = new Set(run.map(({ suite }) => suite));
  const last = new Map(run.map((row) => [`${row.suite} ${row.fault}`, row]));
  const rows = [...kept.filter(({ suite }) => !ran.has(suite) && exists(suite)), ...last.values()];
  const order = ({ suite, fault }: ReliabilityRow): string => `${suite} ${fault}`;
  return rows.toSorted((one, other) => order(one).localeCompare(order(other), 'en'));
}

export function renderPage(rows: readonly ReliabilityRow[], machine: string): string {
  const table = [columns, columns.map(() => '---'), ...rows.map(cellsOf)];
  return `<!-- Written by tools/generate-reliability.ts from what the fault tests record. Do not edit. -->

# Reliability

What is done to a fleet and to a cluster, how often, and what came of it. Nothing here is simulated unless the row says so: the processes are real and killed by \`kill -9\`, the agent is the real \`codex app-server\`, Redis is the real server, Firestore and Pub/Sub are Google's emulators with the real clients, Cloud Storage is a local server of its API, connections are cut by a proxy between real peers; only the model is the demo model, which writes down every call, so that a prompt that ran twice is seen.

A row is written by a test that has passed; where a test fails there is no row. *Negative control* is what the same check was shown to prove that it can fail: a history with an event lost, a writer under an old epoch, a planted leak. *Date* is that of the suite's last run.

- again, all of it: \`npm run reliability\` (${suites.map((suite) => `\`${suite}\``).join(', ')}; ten times what CI tries, or as \`CODEX_FLEET_FAULTS_SCALE\` says)
- again, some of it: \`npm run reliability -- test/faults/kills\`; rows of other suites stay, with their dates
- the tests alone, without this page: \`npm run test:faults\`; each says its seed, and \`CODEX_FLEET_FAULTS_SEED\` repeats it
- a suite whose server is missing (\`redis-server\`, Google's emulators) is skipped by name; in CI that is a failure, but for the emulators
- last written on: ${machine}

${table.map((cells) => `| ${cells.map(escaped).join(' | ')} |`).join('\n')}
`;
}

function cellsOf({ fault, count, result, control, suite, date }: ReliabilityRow): string[] {
  return [fault, String(count), result, control, `\`${suite}\``, date];
}

function escaped(cell: string): string {
  return cell.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function machineClass(): string {
  const processors = cpus();
  const gigabytes = Math.round(totalmem() / 1024 ** 3);
  return `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}, ${gigabytes} GiB, Linux ${release().split('-')[0]}, node ${process.versions.node}`;
}

/** Answers its exit code; the page is written of what passed, whatever else failed. */
function runSuites(filters: readonly string[], file: string): number {
  const { status } = spawnSync(process.execPath, [path.join(root, 'tools/test.ts'), ...filters], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CODEX_FLEET_RELIABILITY: file,
      CODEX_FLEET_FAULTS_SCALE: process.env['CODEX_FLEET_FAULTS_SCALE'] ?? '10',
    },
  });
  return status ?? 1;
}

function writePage(run: readonly ReliabilityRow[]): void {
  const kept = existsSync(page) ? readPage(readFileSync(page, 'utf8')) : [];
  const rows = mergeRows(kept, run, (suite) => existsSync(path.join(root, suite)));
  writeFileSync(page, renderPage(rows, machineClass()));
  console.log(`RELIABILITY.md: ${run.length} rows of this run, ${rows.length} in all`);
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (args[0] === '--from') {
    writePage(readRecord(readFileSync(args[1] ?? '', 'utf8')));
  } else {
    const dir = mkdtempSync(path.join(tmpdir(), 'fleet-reliability-'));
    try {
      const file = path.join(dir, 'rows');
      writeFileSync(file, '');
      process.exitCode = runSuites(args.length === 0 ? suites : args, file);
      writePage(readRecord(readFileSync(file, 'utf8')));
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}
