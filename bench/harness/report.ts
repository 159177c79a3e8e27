// The results as text: a table for the terminal, and BENCHMARKS.md. What a person wrote there under the
// last heading is kept.

import { readFile, writeFile } from 'node:fs/promises';
import type { Benchmark, BenchmarkResult, Fact } from './benchmark.ts';
import { type Finding, limitOf, verdictOf } from './finding.ts';

export type Outcome = {
  readonly benchmark: Benchmark;
  /** An error's words when it could not be measured, or what this machine lacks for it. */
  readonly result: BenchmarkResult | string;
  /** Repeated while inconclusive; 0: left out. */
  readonly attempts: number;
};

const keptHeading = '## Where the time goes';
const columns = ['what', 'baseline', 'ours', 'value', 'spread', 'A/A', 'bar', 'n', 'verdict'];

export function tableOf(result: BenchmarkResult): string {
  const rows = [columns, ...result.findings.map(cellsOf)];
  const widths = columns.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [...lines, ...result.facts.map(({ what, value }) => `· ${what}: ${value}`)]
    .map((line) => `  ${line}`)
    .join('\n');
}

export async function writeReport(file: string, machine: readonly Fact[], outcomes: readonly Outcome[]): Promise<void> {
  const kept = await keptPart(file);
  const parts = [
    '# Benchmarks',
    'Written by `npm run bench`: each comparison runs interleaved, in rounds of a random order, beside a control in which ' +
      'the baseline is measured against itself (A/A). *Value* is what the bar speaks of: the median over rounds of the ' +
      'difference or ratio within a round (a tail is taken over all samples), *spread* its median absolute deviation. ' +
      'A bar is `inconclusive` when A/A, or its standard error, is further from nothing than what is stated in brackets; ' +
      'such a benchmark is repeated up to twice. Compare ratios and differences, not absolute times: those are this machine’s.',
    machine.map(({ what, value }) => `- ${what}: ${value}`).join('\n'),
    ...outcomes.map(sectionOf),
    kept,
  ];
  await writeFile(file, `${parts.join('\n\n').trimEnd()}\n`);
}

/** Those of the outcomes, in the place of what stood under their titles or behind all others. */
export async function writeSections(
  file: string,
  sectionFacts: readonly Fact[],
  outcomes: readonly Outcome[],
): Promise<void> {
  const kept = await keptPart(file);
  const text = (await readFile(file, 'utf8')).slice(0, -kept.length);
  await writeFile(file, `${replaceSections(text, sectionFacts, outcomes).trimEnd()}\n\n${kept.trimEnd()}\n`);
}

export function replaceSections(text: string, sectionFacts: readonly Fact[], outcomes: readonly Outcome[]): string {
  const sections = text.split(/\n(?=## )/).map((section) => section.trim());
  for (const outcome of outcomes) {
    const { benchmark, result } = outcome;
    const withFacts = typeof result === 'string' ? result : { ...result, facts: [...result.facts, ...sectionFacts] };
    const section = sectionOf({ ...outcome, result: withFacts });
    const at = sections.findIndex((one) => one.startsWith(`## ${benchmark.title}\n`));
    if (at === -1) sections.push(section);
    else sections[at] = section;
  }
  return sections.join('\n\n');
}

function sectionOf({ benchmark, result, attempts }: Outcome): string {
  const head = `## ${benchmark.title}\n\n\`npm run bench -- ${benchmark.name}\`. ${benchmark.method}`;
  if (typeof result === 'string') return `${head}\n\n${attempts === 0 ? 'Left out' : 'Not measured'}: ${result}`;
  const rows = [columns, columns.map(() => '---'), ...result.findings.map(cellsOf)];
  const table = rows.map((row) => `| ${row.join(' | ')} |`).join('\n');
  const facts = result.facts.map(({ what, value }) => `- ${what}: ${value}`);
  if (attempts > 1) facts.push(`- measured ${attempts} times, because A/A disagreed before`);
  return `${head}\n\n${table}${facts.length === 0 ? '' : `\n\n${facts.join('\n')}`}`;
}

function cellsOf(finding: Finding): string[] {
  const { bar, unit } = finding;
  const tolerance = Number.isFinite(finding.tolerance) ? ` (of ${figure(finding.tolerance)})` : '';
  const error = finding.controlError > 0 ? ` ± ${figure(finding.controlError)}` : '';
  return [
    finding.what,
    finding.baseline === null ? '–' : figure(finding.baseline),
    figure(finding.ours),
    `${figure(finding.value)} ${unit}`,
    figure(finding.spread),
    `${figure(finding.control)}${error}${tolerance}`,
    bar === null ? '–' : `${'atMost' in bar ? '≤' : '≥'} ${limitOf(bar)} ${unit}`,
    String(finding.samples),
    verdictOf(finding),
  ];
}

function figure(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.01 || size === 0 ? 2 : 3);
}

async function keptPart(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const at = text.indexOf(keptHeading);
  return at === -1 ? `${keptHeading}\n` : text.slice(at);
}
