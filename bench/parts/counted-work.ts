// Counts what a piece of work asks of Firestore and Cloud Storage, less what the idle cluster asks in the same time;
// and says it in words.

import type { Fact } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { type Finding, level } from '../harness/finding.ts';
import { type Billed, billedKinds, dollarsOf, hoursOfMonth } from '../google-prices.ts';
import { billedOf, type CountedCluster, difference } from './counted-cluster.ts';
import type { Counts } from './google-facts.ts';

/** What is asked in a minute, by name. */
export type Idle = Counts;

export type Work = {
  readonly what: string;
  /** In each half. */
  readonly times: number;
  /** How many of them are done at once; default 1. */
  readonly each?: number;
  readonly once: () => Promise<unknown>;
  /** Whether what was begun has ended well: asked after the counting, since asking costs as well. */
  readonly after?: () => Promise<void>;
};

const kindNames = {
  reads: 'Firestore reads',
  writes: 'Firestore writes',
  deletes: 'Firestore deletes',
  class_a: 'Storage class A',
  class_b: 'Storage class B',
} as const;
const million = 1_000_000;
const minuteMs = 60_000;
/** What is less is of what the idle cluster does not do quite as often in one minute as in the next. */
const least = 0.2;

export async function idleMinute(cluster: CountedCluster, durationMs: number): Promise<Idle> {
  const before = await cluster.counts();
  await sleep(durationMs);
  return scaled(difference(before, await cluster.counts()), minuteMs / durationMs);
}

/** Both halves of it. */
export async function countWork(cluster: CountedCluster, idle: Idle, work: Work): Promise<readonly [Counts, Counts]> {
  const first = await half(cluster, idle, work);
  return [first, await half(cluster, idle, work)];
}

async function half(cluster: CountedCluster, idle: Idle, { after, each = 1, once, times }: Work): Promise<Counts> {
  const before = await cluster.counts();
  const startedMs = performance.now();
  for (let time = 0; time < times; time += 1) await once();
  await cluster.isQuiet();
  const all = difference(before, await cluster.counts());
  const minutes = (performance.now() - startedMs) / minuteMs;
  await after?.();
  return scaled(less(all, scaled(idle, minutes)), 1 / (times * each));
}

export function findingsOf(
  { each = 1, times, what }: Work,
  [first, second]: readonly [Counts, Counts],
): readonly Finding[] {
  const row = (name: string, unit: string, of: (billed: Billed) => number): Finding => ({
    ...level({
      what: `${what}: ${name}`,
      unit,
      ours: [of(billedOf(first))],
      control: [of(billedOf(second))],
      bar: null,
    }),
    samples: 2 * times * each,
  });
  return [
    ...billedKinds
      .map((kind) => row(kindNames[kind], '', (billed) => billed[kind]))
      .filter(({ value }) => Math.abs(value) >= least),
    row('a million of them', '$', (billed) => million * dollarsOf(billed)),
  ];
}

/** By who asked for what. */
export function inWords([first, second]: readonly [Counts, Counts]): string {
  const names = [...new Set([...Object.keys(first), ...Object.keys(second)])];
  return names
    .map((name) => ({ name, count: ((first[name] ?? 0) + (second[name] ?? 0)) / 2 }))
    .filter(({ count, name }) => Math.abs(count) >= least && !name.includes(' query '))
    .toSorted((one, other) => one.name.localeCompare(other.name))
    .map(({ count, name }) => `${name} ${count.toFixed(1)}`)
    .join(', ');
}

export function idleFacts(what: string, idle: Idle): readonly Fact[] {
  const queries = Object.entries(idle)
    .filter(([name]) => name.includes(' query '))
    .toSorted(([, one], [, other]) => other - one)
    .map(([name, count]) => `${loopOf(name)} ${count.toFixed(0)}`);
  const billed = billedOf(idle);
  const others = billed.writes + billed.deletes + billed.class_a + billed.class_b;
  return [
    {
      what,
      value: `${monthOf(billed.reads)}${others === 0 ? '' : `; ${others.toFixed(1)} other operations a minute`}`,
    },
    { what: `${what}: queries a minute`, value: queries.join(', ') },
  ];
}

export function monthOf(readsPerMinute: number): string {
  const reads = readsPerMinute * 60 * hoursOfMonth;
  const dollars = dollarsOf({ reads, writes: 0, deletes: 0, class_a: 0, class_b: 0 });
  return `${readsPerMinute.toFixed(1)} reads a minute, ${(reads / million).toFixed(2)} million and $${dollars.toFixed(2)} a month`;
}

/** What looks for it: by the collection and the field that it goes by. */
function loopOf(name: string): string {
  const [role = '', , query = ''] = name.split(' ');
  const loop: Readonly<Record<string, string>> = {
    'turns.openAt': 'turns that wait',
    'sessions.heldAt': 'sessions that lost their worker',
    'sessions.unusedAt': 'sessions that nobody used',
    'approvals.dueAt': 'approvals that nobody answered',
    'jobs.dueAt': 'jobs that are due',
    'jobs.runningAt': 'jobs that run',
    'jobs.endedAt': 'jobs that ended long ago',
    'schedules.dueAt': 'schedules that are due',
    'deliveries.dueAt': 'deliveries that are due',
    'deliveries.endedAt': 'deliveries that ended long ago',
  };
  return `${loop[query] ?? query} (${role === 'session-manager' ? query : `${role}, ${query}`})`;
}

function scaled(counts: Counts, factor: number): Counts {
  return Object.fromEntries(Object.entries(counts).map(([name, count]) => [name, count * factor]));
}

function less(counts: Counts, taken: Counts): Counts {
  const names = [...new Set([...Object.keys(counts), ...Object.keys(taken)])];
  return Object.fromEntries(names.map((name) => [name, (counts[name] ?? 0) - (taken[name] ?? 0)]));
}
