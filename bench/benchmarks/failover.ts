// From the death of a worker to the stream going on: killed, and stopped without a word.

import type { Benchmark } from '../harness/benchmark.ts';
import { sleep } from '../harness/benchmark.ts';
import type { Bar, Finding } from '../harness/finding.ts';
import { level } from '../harness/finding.ts';
import { BenchCluster } from '../parts/bench-cluster.ts';
import { SseReader } from '../parts/sse-reader.ts';

const workers = 3;
const prompt = 'stream: 900 words at 100 ms';
const goesOnWithinMs = 60_000;
/** A Redis that has just begun may have forgotten who holds what: until one lease has passed, nobody is declared lost. */
const trustedMs = 12_000;
/** Long enough that the turn runs, and never at the same place of a heartbeat. */
const leastRunMs = 600;
const runSpreadMs = 1_200;

type Failover = {
  /** To the first event that is not the dead worker's. */
  readonly spokenMs: number;
  /** To the first item of the turn that goes on. */
  readonly goesOnMs: number;
};

export const failover: Benchmark = {
  name: 'failover',
  title: 'Failover: a worker dies, the stream goes on',
  method:
    `A local cluster (1 gateway, ${workers} workers, 2 session managers, Redis), the product’s own lease of 10 s and heartbeat of 1 s. ` +
    'A client holds a stream of a running turn of a session with `on_interrupt: "continue"`; the session’s worker is killed by ' +
    '`kill -9` and stays down, or is stopped by SIGSTOP: then nothing refuses a connection, and the lease has to run out. ' +
    '*First event*: the first one that the next owner writes, on the same connection; *going on*: the first item of the turn ' +
    'that goes on. The control is the difference between every other sample and the rest.',
  limitMs: 10 * 60_000,
  run: async (lab) => {
    const cluster = await BenchCluster.start(lab, { gateways: 1, workers, managers: 2, slots: 4, warmSlots: 1 });
    await sleep(trustedMs);
    const killed = await samples(lab.size(12, 3), () => once(cluster, killMember));
    const stopped = await samples(lab.size(4, 1), () => once(cluster, stopMember));
    const firstOf = (failovers: readonly Failover[]): number[] => failovers.map(({ spokenMs }) => spokenMs);
    const itemOf = (failovers: readonly Failover[]): number[] => failovers.map(({ goesOnMs }) => goesOnMs);
    return {
      findings: [
        middle('kill -9 → first event, median', firstOf(killed), { atMost: 5_000 }),
        worst('kill -9 → first event, worst', firstOf(killed), { atMost: 15_000 }),
        middle('kill -9 → going on, median', itemOf(killed), null),
        worst('kill -9 → going on, worst', itemOf(killed), null),
        middle('black hole → first event, median', firstOf(stopped), null),
        worst('black hole → first event, worst', firstOf(stopped), { atMost: 15_000 }),
        worst('black hole → going on, worst', itemOf(stopped), null),
      ],
      facts: [
        { what: 'first events after kill -9, ms', value: listed(firstOf(killed)) },
        { what: 'first events after SIGSTOP, ms', value: listed(firstOf(stopped)) },
      ],
    };
  },
};

async function samples<T>(count: number, take: () => Promise<T>): Promise<T[]> {
  const taken: T[] = [];
  for (let at = 0; at < count; at += 1) taken.push(await take());
  return taken;
}

type Dying = (cluster: BenchCluster, worker: string) => Promise<{ readonly revive: () => Promise<void> }>;

const killMember: Dying = async ({ cluster }, worker) => {
  await cluster.kill9(worker, { holdDown: true });
  return { revive: () => cluster.startMember(worker) };
};

const stopMember: Dying = async ({ cluster }, worker) => {
  const pid = cluster.members('worker').find(({ name }) => name === worker)?.pid;
  if (pid === undefined || pid === null) throw new Error(`${worker} does not run`);
  process.kill(pid, 'SIGSTOP');
  return {
    revive: async () => {
      // Nothing else ends a stopped process for sure, and what it does when it is continued is another story.
      await cluster.kill9(worker, { holdDown: true });
      await cluster.startMember(worker);
    },
  };
};

async function once(cluster: BenchCluster, dying: Dying): Promise<Failover> {
  await cluster.isWarm(workers);
  const made = await cluster.request('POST', '/api/v1/sessions', { on_interrupt: 'continue' });
  const { id } = JSON.parse(made.text) as { id: string };
  const asked = await cluster.request('POST', '/api/v1/exec', { prompt, session_id: id, background: true });
  if (asked.status !== 202) throw new Error(`exec: ${asked.status} ${asked.text}`);
  const { turn_id: turnId } = JSON.parse(asked.text) as { turn_id: string };
  let diedAtMs = Number.POSITIVE_INFINITY;
  const spoken = Promise.withResolvers<number>();
  const goesOn = Promise.withResolvers<number>();
  let rest = '';
  const reader = await SseReader.open({
    url: cluster.url,
    path: `/api/v1/sessions/${id}/events`,
    headers: cluster.headers,
    mark: 'event: item.delta',
    onText: (text) => {
      const atMs = performance.now();
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter((one) => one.startsWith('data: '))) {
        const event = JSON.parse(line.slice('data: '.length)) as { type: string; turn_id: string | null };
        if (event.type === 'session.recovering' && atMs > diedAtMs) spoken.resolve(atMs);
        if (event.type.startsWith('item.') && event.turn_id !== turnId) goesOn.resolve(atMs);
      }
    },
  });
  try {
    while (reader.count === 0) await sleep(10);
    await sleep(leastRunMs + Math.random() * runSpreadMs);
    const { worker } = await cluster.session(id);
    if (worker === null) throw new Error('the session has no worker');
    diedAtMs = performance.now();
    const { revive } = await dying(cluster, worker);
    try {
      const late = sleep(goesOnWithinMs).then(() => Promise.reject(new Error('the stream did not go on')));
      const [spokenAtMs, goesOnAtMs] = await Promise.race([Promise.all([spoken.promise, goesOn.promise]), late]);
      return { spokenMs: spokenAtMs - diedAtMs, goesOnMs: goesOnAtMs - diedAtMs };
    } finally {
      await revive();
      await cluster.request('DELETE', `/api/v1/sessions/${id}`);
    }
  } finally {
    await reader.close();
  }
}

function middle(what: string, times: readonly number[], bar: Bar | null): Finding {
  const { control, ours } = halves(times);
  return level({ what, unit: 'ms', ours, control, bar });
}

/** The highest of all; what it says of noise is the difference between the highest of the two halves. */
function worst(what: string, times: readonly number[], bar: Bar | null): Finding {
  const { control, ours } = halves(times);
  const finding = level({ what, unit: 'ms', ours: [Math.max(...ours)], control: [Math.max(...control)], bar });
  return { ...finding, value: Math.max(...times), samples: times.length };
}

/** One sample alone is its own control. */
function halves(times: readonly number[]): { readonly ours: readonly number[]; readonly control: readonly number[] } {
  if (times.length < 2) return { ours: times, control: times };
  const paired = times.slice(0, times.length - (times.length % 2));
  return { ours: paired.filter((_, at) => at % 2 === 0), control: paired.filter((_, at) => at % 2 === 1) };
}

function listed(times: readonly number[]): string {
  return times
    .map(Math.round)
    .toSorted((one, other) => one - other)
    .join(', ');
}
