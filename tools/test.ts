// `npm test`: runs every test file (or those whose path contains an argument), prints what failed
// and what was skipped, and ends with the line `N passed, N failed`. In CI a skipped test counts as
// failed, unless test/allowed-skips.json has its reason: a suite that never runs proves nothing.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { inspect } from 'node:util';

type Skip = { readonly name: string; readonly file: string; readonly reason: string };
type Failure = { readonly name: string; readonly file: string; readonly why: string };

const root = dirname(import.meta.dirname);
/** Of a test, and of a suite's tests together, unless it sets its own. */
const testTimeoutMs = 120_000;

function testFiles(filters: readonly string[]): string[] {
  const files = globSync(['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'], { cwd: root }).sort();
  if (filters.length === 0) return files;
  return files.filter((file) => filters.some((filter) => file.includes(filter)));
}

function allowedSkips(): ReadonlySet<string> {
  const path = join(root, 'test/allowed-skips.json');
  if (!existsSync(path)) return new Set();
  const entries = JSON.parse(readFileSync(path, 'utf8')) as readonly { readonly reason: string }[];
  return new Set(entries.map((entry) => entry.reason));
}

const files = testFiles(process.argv.slice(2));
const skips: Skip[] = [];
const failures: Failure[] = [];
/** By file, what a test said of itself: the seed that repeats a failure is among it. */
const remarks = new Map<string, string[]>();
let passed = 0;
let failed = 0;

const abort = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => abort.abort());

/** A whole cluster has all of a small machine to do: what it promises in seconds it cannot keep beside another. */
const isAlone = (file: string): boolean => file.startsWith('test/cluster/') || file.startsWith('test/containers/');

const slowestShown = 25;
const shownOfFailure = 60; // Lines.
const tookMs = new Map<string, number>();

async function runFiles(some: readonly string[], concurrency: number): Promise<void> {
  if (some.length === 0 || abort.signal.aborted) return;
  const stream = run({
    cwd: root,
    files: some.map((file) => join(root, file)),
    concurrency,
    execArgv: [`--test-timeout=${testTimeoutMs}`, '--import', join(root, 'tools/test-deadlines.ts')],
    signal: abort.signal,
  });
  stream.on('test:summary', (summary) => {
    // One summary comes per file and a last one, without a file, for the run.
    if (summary.file !== undefined) {
      tookMs.set(relative(root, summary.file), summary.duration_ms);
      return;
    }
    const { tests, skipped, todo } = summary.counts;
    passed += summary.counts.passed;
    // A hook that fails after its tests makes the run fail without a failed test.
    failed += Math.max(tests - summary.counts.passed - skipped - todo, summary.success ? 0 : 1);
  });
  stream.on('test:pass', (event) => {
    if (event.skip === undefined || event.skip === false) return;
    const reason = typeof event.skip === 'string' && event.skip !== '' ? event.skip : 'no reason given';
    skips.push({ name: event.name, file: relative(root, event.file ?? ''), reason });
  });
  stream.on('test:fail', ({ details, file, name }) => {
    const { cause, failureType } = details.error as Error & { readonly failureType?: string };
    // A suite fails with its tests, which say why.
    if (failureType === 'subtestsFailed') return;
    failures.push({ name, file: relative(root, file ?? ''), why: inspect(cause ?? details.error) });
  });
  stream.on('test:diagnostic', ({ file, message }) => {
    if (file === undefined) return;
    const name = relative(root, file);
    remarks.set(name, [...(remarks.get(name) ?? []), message]);
  });
  for await (const text of stream.compose(spec)) process.stdout.write(String(text));
}

// Many tests wait for processes and sockets rather than compute, so two go at once even on one core.
await runFiles(
  files.filter((file) => !isAlone(file)),
  Math.max(2, availableParallelism() - 1),
);
await runFiles(files.filter(isAlone), 1);

if (files.length === 0) {
  console.log('no test file matches');
  failed += 1;
}
const slowest = [...tookMs].toSorted(([, one], [, other]) => other - one).slice(0, slowestShown);
if (slowest.length > 1) console.log('the slowest files:');
if (slowest.length > 1)
  for (const [file, ms] of slowest) console.log(`${(ms / 1_000).toFixed(0).padStart(5)} s  ${file}`);
// Once more at the end: between thousands of lines nobody finds it, and some keep only the last of a log.
for (const { file, name, why } of failures) {
  console.log(`failed: ${file}: ${name}`);
  const lines = why.split('\n').filter((line) => !/^\s+at .*node:internal/.test(line));
  for (const line of [...(remarks.get(file) ?? []), ...lines.slice(0, shownOfFailure)]) console.log(`    ${line}`);
}
const allowed = allowedSkips();
const isCi = process.env['CI'] === 'true';
for (const skip of skips) {
  const isFailure = isCi && !allowed.has(skip.reason);
  if (isFailure) failed += 1;
  console.log(`${isFailure ? 'SKIPPED IN CI' : 'skipped'}: ${skip.file}: ${skip.name}: ${skip.reason}`);
}
console.log(`${passed} passed, ${failed} failed${skips.length > 0 ? `, ${skips.length} skipped` : ''}`);
if (failed > 0 || abort.signal.aborted) process.exitCode = 1;
