// Members of a cluster and agents in it killed at random while turns run, and what must be true of it all the same.

import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { SessionResource } from '../../src/api/sessions.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { descendantsOf, isCodex } from '../e2e/processes.ts';
import { seededRun } from '../faults/fault-scale.ts';
import { KeptHistory } from '../faults/kept-history.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { type ClusterSetup, placeOf, RunningCluster } from './running-cluster.ts';

const turnsPerSecond = 4;
const killEveryMs = 2_000;
/** For a stream to go on or to end, whoever died. */
const mostFailoverMs = 15_000;

export type KillsInACluster = {
  readonly storage: NonNullable<ClusterSetup['storage']>;
  readonly sessions: number;
  readonly turns: number;
};

type Victim = 'gateway' | 'worker' | 'session-manager' | 'model-proxy' | 'codex';
const victims: readonly Victim[] = ['gateway', 'worker', 'worker', 'session-manager', 'model-proxy', 'codex'];

type Kill = { readonly victim: string; readonly at: number; readonly held: readonly string[] };

function promptOf(number: number): string {
  const name = `turn ${number}`;
  const scripts = [
    `say: ${name}`,
    `run: echo ${name} >> done.txt`,
    `stream: 40 words at 20 ms\nsay: ${name}`,
    `wait: 400 ms\nsay: ${name}`,
  ];
  return scripts[number % scripts.length] ?? '';
}

/** For the test's own time limit, on a machine that does other things. */
export function killsTimeoutMs({ turns }: KillsInACluster): number {
  return 600_000 * Math.max(1, turns / 500);
}

export async function killsInACluster(t: TestContext, { sessions, storage, turns }: KillsInACluster): Promise<void> {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const running = await RunningCluster.start(t, {
    workers: 3,
    managers: 2,
    storage,
    modelFlags: oracle.flags,
    workerFlags: ['--slots', '6', '--warm-slots', '2'],
  });
  if (running === null) return;
  // A Codex that is killed takes its turn with it: that is said, and is no loss.
  using history = new KeptHistory(running, oracle, ({ error }) => error?.code === 'agent_crashed');
  const names = Array.from({ length: sessions }, (_, index) => `killed-${index}`);
  const kills: Kill[] = [];
  const order: Victim[] = [];

  let isOver = false;
  const watching = Promise.all(
    names.map(async (name) => {
      while (!isOver) {
        if (history.has(name)) await history.watch(name);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }),
  );
  watching.catch(() => undefined); // Awaited below.
  const killing = (async () => {
    while (!isOver) {
      await new Promise((resolve) => setTimeout(resolve, killEveryMs));
      // In any order, and each as often as it stands there.
      if (order.length === 0) order.push(...shuffled(random, victims));
      if (!isOver) kills.push(await killOne(running, random, order.pop() ?? 'worker'));
    }
  })();
  killing.catch(() => undefined); // Awaited below.
  try {
    const startedMs = performance.now();
    const sent: Promise<unknown>[] = [];
    for (let number = 0; number < turns; number += 1) {
      const name = names[number % names.length] ?? '';
      sent.push(history.send(promptOf(number), name, { queue_timeout_ms: 300_000 }));
      sent.at(-1)?.catch(() => undefined); // Awaited below.
      await new Promise((resolve) => setTimeout(resolve, 1_000 / turnsPerSecond));
    }
    await Promise.all(sent);
    isOver = true;
    await killing;
    await running.whole();
    t.diagnostic(`accepted in ${Math.round(performance.now() - startedMs)} ms`);
    const { problems, ends } = await history.settle();
    t.diagnostic(`ended in ${Math.round(performance.now() - startedMs)} ms`);
    await running.restartGateways();
    await watching;
    const failovers = await failoverTimes(running, kills);
    t.diagnostic(
      `${history.turns.length} turns, ${kills.length} kills ${JSON.stringify(countBy(kills.map(({ victim }) => victim)))}, ` +
        `${JSON.stringify(ends)}, ${oracle.calls.length} calls of the model`,
    );
    t.diagnostic(
      `failover of ${failovers.length} sessions: median ${quantile(failovers, 0.5)} ms, p99 ${quantile(failovers, 0.99)} ms`,
    );
    assert.deepEqual(problems, []);
    assert.equal(history.turns.length, turns);
    assert.ok(failovers.length > 0, 'some sessions were taken over');
    assert.ok(quantile(failovers, 1) <= mostFailoverMs, `each within ${mostFailoverMs} ms`);
    recordReliability({
      fault: `kill -9 of a gateway, worker, session manager, model proxy or Codex, at random, every 2 s under load${placeOf(storage)}`,
      count: `${kills.length} kills, ${sessions} sessions, ${turns} turns`,
      result:
        `each accepted turn ended once and ran at most once; every stream gap-free at the gateways that were left; ` +
        `${failovers.length} failovers: median ${quantile(failovers, 0.5)} ms, p99 ${quantile(failovers, 0.99)} ms, worst ${quantile(failovers, 1)} ms (lease of 4 s)`,
      control:
        'the same checks refuse a history with a lost event, a second run, a missing end (test/faults/kills.test.ts)',
    });
  } finally {
    isOver = true;
    await running.restartGateways();
    await Promise.allSettled([killing, watching]);
  }
}

async function killOne(running: RunningCluster, random: SeededRandom, victim: Victim): Promise<Kill> {
  const role = victim === 'codex' ? 'worker' : victim;
  const living = running.cluster.members(role).filter(({ pid, url }) => pid !== null && url !== null);
  if (living.length === 0) return { victim: 'nobody', at: Date.now(), held: [] };
  const first = random.pick(living);
  if (victim === 'codex') {
    const agents = descendantsOf(first.pid ?? 0).filter(isCodex);
    if (agents.length > 0) process.kill(random.pick(agents).pid, 'SIGKILL');
    return { victim, at: Date.now(), held: [] };
  }
  const busy = victim === 'worker' ? await busySessions(running) : [];
  // Of the workers rather one that has something to lose.
  const { name } = living.find((member) => busy.some(({ worker }) => worker === member.name)) ?? first;
  const at = Date.now();
  await running.cluster.kill9(name);
  return { victim, at, held: busy.filter(({ worker }) => worker === name).map(({ id }) => id) };
}

/** Those with something that runs there: nobody waits for the others. */
async function busySessions(running: RunningCluster): Promise<readonly SessionResource[]> {
  const answer = await running.client
    .request<ListOf<SessionResource>>('GET', '/api/v1/sessions?limit=100')
    .catch(() => null);
  return answer?.status === 200 ? answer.body.data.filter(({ status }) => status === 'running') : [];
}

/** From each kill of a worker to the first event of each session that it held: who took it has spoken. */
async function failoverTimes(running: RunningCluster, kills: readonly Kill[]): Promise<number[]> {
  const times: number[] = [];
  const logs = new Map<string, readonly EventOnWire[]>();
  for (const { at, held } of kills) {
    for (const id of held) {
      const events = logs.get(id) ?? (await running.client.pages(id));
      logs.set(id, events);
      // Killed between the look and the kill, its turn may have ended by itself.
      const next = events.find((event) => event.type === 'session.recovering' && Date.parse(event.at) >= at);
      if (next !== undefined) times.push(Date.parse(next.at) - at);
    }
  }
  return times.toSorted((one, other) => one - other);
}

function shuffled<T>(random: SeededRandom, all: readonly T[]): T[] {
  const left = [...all];
  return all.map(() => left.splice(left.indexOf(random.pick(left)), 1)[0] as T);
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

function countBy(words: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const word of words) counts[word] = (counts[word] ?? 0) + 1;
  return counts;
}
