// What many stored sessions cost those that are used: turns, lists, passes of the manager, memory, disk, starts.

import path from 'node:path';
import type { Benchmark, Fact, Lab } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import { Child } from '../harness/child.ts';
import { type Finding, level } from '../harness/finding.ts';
import { median } from '../harness/statistics.ts';
import { BenchCluster } from '../parts/bench-cluster.ts';
import { redisFacts } from '../parts/redis-info.ts';
import type { LogJob, Passes, Stored, StoreJob } from '../parts/stored-sessions-facts.ts';

const fullSizes = [1_000, 10_000, 100_000];
const quickSizes = [1_000, 10_000];
const turnsEach = 2;
/** As many as two short turns write. */
const eventsEach = 24;
const fillMs = 300_000;
const KiB = 1024;
const MiB = 1024 * KiB;
/** Where the number of stored sessions were of no matter. */
const fewest = fullSizes[0] ?? 0;

type Measured = {
  readonly turns: readonly number[];
  readonly lists: readonly number[];
  readonly facts: readonly Fact[];
};

export const storedSessions: Benchmark = {
  name: 'stored',
  title: 'The cost of 1,000, 10,000 and 100,000 stored sessions',
  method:
    `Data directories with so many hibernated sessions, each with ${turnsEach} ended turns, made straight through the stores; in ` +
    `Redis ${eventsEach} events of each, as for sessions used within the last day. On each a local cluster (1 gateway, 1 worker, ` +
    '1 session manager, the real Codex, the demo model). *Turn*: `POST /api/v1/exec` on a bound session. *List*: the first page of ' +
    '100 sessions. Baseline: the same with the fewest sessions. *Passes*: the manager’s own code over these records, with nothing ' +
    'to be done. The control is the second half of the samples against the first. Without snapshots: those are files of their own, ' +
    'and are only looked at in the hourly sweep.',
  limitMs: 15 * 60_000,
  run: async (lab) => {
    const findings: Finding[] = [];
    const facts: Fact[] = [];
    let baseline: Measured | null = null;
    for (const sessions of lab.isQuick ? quickSizes : fullSizes) {
      const measured = await measure(lab, sessions);
      baseline ??= measured;
      const name = sessions.toLocaleString('en');
      findings.push(
        finding(`${name} sessions: a turn`, measured.turns, sessions === fewest ? null : baseline.turns),
        finding(`${name} sessions: a list of 100`, measured.lists, sessions === fewest ? null : baseline.lists),
      );
      facts.push(...measured.facts.map(({ value, what }) => ({ what: `${name} sessions: ${what}`, value })));
    }
    return { findings, facts };
  },
};

async function measure(lab: Lab, sessions: number): Promise<Measured> {
  const dir = path.join(lab.dir, `stored-${sessions}`);
  const dataDir = path.join(dir, 'data');
  const job: StoreJob = { dataDir, sessions, turnsEach };
  const { child, stored } = await filled(lab, job);
  const passes = await child.ask<Passes>('passes');
  // A cluster's records are opened by its roles, and here by nobody else meanwhile.
  await child.ask('close');
  const startedMs = performance.now();
  const cluster = await BenchCluster.start(lab, { gateways: 1, workers: 1, managers: 1, slots: 2, warmSlots: 1, dir });
  const startMs = performance.now() - startedMs;
  try {
    const { redisUrl } = cluster.cluster;
    const before = await redisFacts(redisUrl);
    const logJob: LogJob = { redisUrl, eventsEach };
    await child.ask('log', logJob, fillMs);
    const { memory } = await redisFacts(redisUrl);
    const { session_id: sessionId } = await cluster.exec('say: pong', null);
    await sleep(1_000);
    const turns = await samples(lab.size(40, 16), () => cluster.exec('say: pong', sessionId));
    const lists = await samples(lab.size(60, 20), async () => {
      const { status, text } = await cluster.request('GET', '/api/v1/sessions?limit=100');
      if (status !== 200) throw new Error(`list: ${status} ${text}`);
    });
    return {
      turns,
      lists,
      facts: [
        {
          what: 'records',
          value: `${(stored.databaseBytes / MiB).toFixed(0)} MiB (${(stored.databaseBytes / sessions / KiB).toFixed(1)} KiB a session), opened and checked in ${stored.openMs.toFixed(0)} ms`,
        },
        {
          what: 'Redis',
          value: `${((memory - before.memory) / MiB).toFixed(0)} MiB (${((memory - before.memory) / sessions / KiB).toFixed(1)} KiB a session used within a day)`,
        },
        { what: 'start of the whole cluster', value: `${(startMs / 1000).toFixed(1)} s` },
        {
          what: 'passes of the session manager',
          value: `failover ${passes.failoverMs.toFixed(1)} ms, dispatch ${passes.dispatchMs.toFixed(1)} ms, upkeep ${passes.upkeepMs.toFixed(1)} ms`,
        },
      ],
    };
  } finally {
    await cluster.cluster.stop();
    await child.stop();
  }
}

async function filled(lab: Lab, job: StoreJob): Promise<{ child: Child; stored: Stored }> {
  // It starts empty, since filling takes longer than a start may.
  const { child } = await Child.start(lab, 'stored-sessions-child.ts', { ...job, sessions: 0 });
  await child.ask('close');
  return { child, stored: await child.ask<Stored>('start', job, fillMs) };
}

async function samples(count: number, work: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = [];
  for (let at = 0; at < count; at += 1) {
    const startedMs = performance.now();
    await work();
    times.push(performance.now() - startedMs);
  }
  return times;
}

function finding(what: string, times: readonly number[], baseline: readonly number[] | null): Finding {
  const middle = Math.floor(times.length / 2);
  return {
    ...level({
      what,
      unit: 'ms',
      ours: times.slice(0, middle),
      control: times.slice(middle, 2 * middle),
      ...(baseline === null ? {} : { baseline }),
      bar: null,
    }),
    value: median(times),
  };
}
