// `npm run bench [-- name…] [--write] [--quick] [--profile dir]`: runs the benchmarks, prints a table for each, and after
// a whole run writes BENCHMARKS.md; with --write, the sections of those that ran, and leaves the others as they are.
// Exit codes: 0 all met (what the machine lacks something for is left out), 1 a bar was missed or not measured, 3 inconclusive.

import path from 'node:path';
import { parseArgs } from 'node:util';
import { benchmarks } from './benchmarks/all-benchmarks.ts';
import { type Benchmark, closeLabs, type Fact, runBenchmark } from './harness/benchmark.ts';
import { verdictOf, type Verdict } from './harness/finding.ts';
import { loadNow, machineFacts } from './harness/machine.ts';
import { type Outcome, tableOf, writeReport, writeSections } from './harness/report.ts';

const reportFile = path.join(import.meta.dirname, '..', 'BENCHMARKS.md');
/** Of the whole run; each benchmark has a limit of its own besides. */
const wholeLimitMs = 40 * 60_000;
/** Nothing is repeated after this. */
const repeatUntilMs = 20 * 60_000;
const maxAttempts = 3;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !benchmarks.some((benchmark) => benchmark.name === name));
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) console.error(`There is no benchmark ${unknown.join(', ')}.`);
  console.log(
    `npm run bench -- [name…] [--write] [--quick] [--profile directory]\n\n${benchmarks.map(({ name, title }) => `  ${name.padEnd(16)}${title}`).join('\n')}`,
  );
  process.exit(unknown.length > 0 ? 2 : 0);
}

let ending: Promise<void> | null = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    ending = closeLabs().finally(() => process.exit(130));
  });
}

const startedMs = performance.now();
const chosen = positionals.length === 0 ? benchmarks : benchmarks.filter(({ name }) => positionals.includes(name));
const machine = await machineFacts();
const loadBefore = loadNow();
const outcomes: Outcome[] = [];
for (const benchmark of chosen) outcomes.push(await measure(benchmark));

const isWhole = positionals.length === 0 && !values.quick && values.profile === undefined;
const load = {
  what: 'load average',
  value: `${loadBefore} before, ${loadNow()} after (a run by itself gives about 1)`,
};
if (isWhole) await writeReport(reportFile, [...machine, load], outcomes);
else if (values.write) {
  // What stands there of another machine is better than nothing.
  const measured = outcomes.filter(({ attempts }) => attempts > 0);
  await writeSections(reportFile, sectionFacts(), measured);
}
const seconds = Math.round((performance.now() - startedMs) / 1000);
console.log(
  `\n${seconds} s. ${isWhole || values.write ? 'BENCHMARKS.md is written.' : 'BENCHMARKS.md is written by a whole run (no names, no options), or by --write.'}`,
);
process.exit(exitCode());

/** What is not as at the head of the page, where only some sections are written. */
function sectionFacts(): readonly Fact[] {
  const date = machine.find(({ what }) => what === 'date')?.value ?? '';
  const quick = values.quick ? ', a quick run of few samples' : '';
  return [
    { what: 'measured by itself', value: `${date}, load average ${loadBefore} before, ${loadNow()} after${quick}` },
  ];
}

async function measure(benchmark: Benchmark): Promise<Outcome> {
  console.log(`\n${benchmark.title}  (${benchmark.name})`);
  const lacking = benchmark.lacking?.() ?? null;
  if (lacking !== null) {
    console.log(`  left out: ${lacking}`);
    return { benchmark, result: lacking, attempts: 0 };
  }
  for (let attempts = 1; ; attempts += 1) {
    try {
      const leftMs = wholeLimitMs - (performance.now() - startedMs);
      const limitMs = Math.max(0, Math.min(benchmark.limitMs, leftMs));
      const result = await runBenchmark(
        { ...benchmark, limitMs },
        { isQuick: values.quick, profileDir: values.profile ?? null },
      );
      console.log(tableOf(result));
      const isUnclear = result.findings.some((finding) => verdictOf(finding) === 'inconclusive');
      const mayRepeat = attempts < maxAttempts && !values.quick && performance.now() - startedMs < repeatUntilMs;
      if (!isUnclear || !mayRepeat) return { benchmark, result, attempts };
      console.log('  inconclusive: once more');
    } catch (error) {
      await ending;
      const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
      console.log(`  not measured: ${words}`);
      const [firstLine = ''] = (error instanceof Error ? error.message : words).split('\n');
      return { benchmark, result: firstLine, attempts };
    }
  }
}

function exitCode(): number {
  const verdicts: Verdict[] = outcomes.flatMap(({ attempts, result }) => {
    if (typeof result !== 'string') return result.findings.map(verdictOf);
    return attempts === 0 ? [] : ['missed' as const];
  });
  if (verdicts.includes('missed')) return 1;
  return verdicts.includes('inconclusive') ? 3 : 0;
}
