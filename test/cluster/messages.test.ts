import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { TurnResource } from '../../src/api/turns.ts';
import { OracleModel } from '../../src/testing/faults/oracle-model.ts';
import { seededRandom, type SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { eventually } from '../e2e/eventually.ts';
import { scaled, seededRun } from '../faults/fault-scale.ts';
import { recordReliability } from '../faults/reliability-record.ts';
import { ManagerWatch } from './manager-watch.ts';
import {
  eachMessageOneJob,
  eachToldInOrder,
  onlyPoisonPutAside,
  ranOncePerAttempt,
  type SessionTurns,
} from './message-checks.ts';
import { JobPublisher, planMessages, type PublishedMessage } from './message-load.ts';
import { RunningCluster } from './running-cluster.ts';
import { type ReadMessage, TopicReader } from './topic-reader.ts';

const count = scaled(120);
const shares = { copies: 0.1, poison: 0.03 };
const messagesPerSecond = 5;
/** Many at once, so that a manager that is killed behind it has some in hand. */
const burst = 20;
const killEveryMs = 3_500;
/** Without one more job, or one more that has ended: then nothing more is waited for, however slow the machine is. */
const stalledAfterMs = 120_000;
const toldWithinMs = 90_000;

type Victim = 'leader' | 'session-manager' | 'worker' | 'gateway';
const victims: readonly Victim[] = ['leader', 'session-manager', 'session-manager', 'worker', 'worker', 'gateway'];

test('messages that come twice become one job each, whoever is killed: it runs once in each attempt, is told of in order, and poison is put aside with its reason [message-once]', {
  timeout: 600_000 + count * 2_000,
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  const running = await RunningCluster.start(t, {
    storage: 'google',
    managers: 3,
    workers: 2,
    modelFlags: oracle.flags,
    env: { CODEX_FLEET_JOBS_SHARE_PERCENT: '75' },
  });
  if (running === null) return;
  const { pubsub } = running.google ?? assert.fail('it is on Google’s side');
  const startedMs = performance.now();
  await using events = new TopicReader(pubsub, 'events');
  await using deadLetters = new TopicReader(pubsub, 'dead-jobs');
  await using publisher = new JobPublisher(pubsub, 'jobs');
  await using managers = new ManagerWatch(running.cluster);

  const kills = await publishAmongKills(running, publisher, managers, random);
  const { published } = publisher;
  await running.whole();
  t.diagnostic(`${published.length} messages published in ${secondsSince(startedMs)}, ${inWords(kills)} killed`);

  const wanted = new Set(published.flatMap(({ prompt }) => (prompt === null ? [] : [prompt]))).size;
  const jobs = await endedJobs(running, wanted);
  t.diagnostic(`${jobs.length} jobs ended after ${secondsSince(startedMs)}`);
  await eventually('everything is told and put aside', toldWithinMs, () => {
    const isTold = eachToldInOrder(jobs, events.messages).length === 0;
    return isTold && onlyPoisonPutAside(published, deadLetters.messages).length === 0;
  }).catch(() => undefined); // The checks say what is missing.

  const turns = await turnsOf(running, jobs);
  // Again: nothing was made while they were looked at.
  const seen = { published, jobs: await jobsOf(running), turns, oracle, events, deadLetters };
  assert.deepEqual(problemsOf(seen), []);
  assert.equal(seen.jobs.length, wanted);

  const took = secondsSince(startedMs);
  const attempts = jobs.reduce((sum, job) => sum + job.attempt_count, 0);
  const copies = published.filter(({ kind }) => kind === 'copy').length;
  const poison = published.filter(({ kind }) => kind === 'poison').length;
  const outcomes = await managers.outcomes();
  const figures =
    `${jobs.length} jobs of ${published.length} messages in ${took}: ${copies} copies, at least ${outcomes.repeated} messages ` +
    `that had a job already; ${attempts - jobs.length} attempts interrupted, ${oracle.calls.length} calls of the model; ` +
    `${poison} poisoned messages put aside ${deadLetters.messages.length} times; ${events.messages.length} events told`;
  t.diagnostic(figures);
  recordReliability({
    fault:
      'messages with copies and poison among them become jobs while session managers, the leader, workers and gateways are killed at random',
    count: `${inWords(kills)} killed, ${published.length} messages (${copies} copies, ${poison} poison)`,
    result: `each message became one job, which ran once per attempt, was completed and was told of in order; poison is in the dead-letter topic, and nothing else: ${figures}`,
    control:
      'a job too few or too many, a second run, an unknown prompt, a message put aside wrongly or not at all, an event missing or out of order: each is found in what was just seen',
  });
  for (const [what, spoilt] of spoiltOnes(seen)) assert.notDeepEqual(problemsOf(spoilt), [], what);
});

type Seen = {
  readonly published: readonly PublishedMessage[];
  readonly jobs: readonly JobResource[];
  readonly turns: SessionTurns;
  readonly oracle: Pick<OracleModel, 'calls'>;
  readonly events: { readonly messages: readonly ReadMessage[] };
  readonly deadLetters: { readonly messages: readonly ReadMessage[] };
};

function problemsOf({ deadLetters, events, jobs, oracle, published, turns }: Seen): string[] {
  return [
    ...eachMessageOneJob(published, jobs),
    ...ranOncePerAttempt(jobs, turns, oracle.calls),
    ...onlyPoisonPutAside(published, deadLetters.messages),
    ...eachToldInOrder(jobs, events.messages),
  ];
}

/** What was seen, with something wrong in it: the checks are worth what they find here. */
function* spoiltOnes(seen: Seen): Generator<readonly [string, Seen]> {
  const { calls } = seen.oracle;
  const [job = assert.fail('there is a job'), ...otherJobs] = seen.jobs;
  const call = calls.find(({ prompt }) => prompt === job.prompt) ?? assert.fail('the model was asked');
  const told = seen.events.messages;
  const last = told.findLast(({ body }) => body.includes('"job.completed"')) ?? assert.fail('an end was told');
  const poison = seen.published.find(({ kind }) => kind === 'poison') ?? assert.fail('there is poison');
  const good = seen.published.find(({ kind }) => kind === 'job') ?? assert.fail('there is a good one');
  const aside = seen.deadLetters.messages;
  const sourceOf = ({ attributes }: ReadMessage): string => attributes['CodexFleetDeadLetterSourceMessageId'] ?? '';
  yield ['a job is missing', { ...seen, jobs: otherJobs }];
  yield ['a copy made a job of its own', { ...seen, jobs: [...seen.jobs, { ...job, id: 'another' }] }];
  yield ['a job has failed', { ...seen, jobs: [{ ...job, status: 'failed' }, ...otherJobs] }];
  yield ['an attempt is nobody’s', { ...seen, jobs: [{ ...job, attempt_count: job.attempt_count + 1 }, ...otherJobs] }];
  yield ['a session had another turn', { ...seen, turns: new Map() }];
  const secondRuns = Array.from({ length: job.attempt_count }, (_, at) => ({ ...call, codexTurn: `another ${at}` }));
  yield ['a prompt ran once more', { ...seen, oracle: { calls: [...calls, ...secondRuns] } }];
  yield ['a job never ran', { ...seen, oracle: { calls: calls.filter(({ prompt }) => prompt !== job.prompt) } }];
  yield ['poison is gone', { ...seen, deadLetters: { messages: aside.filter((one) => sourceOf(one) !== poison.id) } }];
  const wrongly = { ...aside[0], attributes: { CodexFleetDeadLetterSourceMessageId: good.id } } as ReadMessage;
  yield ['a good message was put aside', { ...seen, deadLetters: { messages: [...aside, wrongly] } }];
  yield ['an event is missing', { ...seen, events: { messages: told.filter((one) => idOf(one) !== idOf(last)) } }];
  yield ['an end is told before the beginning', { ...seen, events: { messages: [last, ...told] } }];
  yield ['an event has no key', { ...seen, events: { messages: told.map((one) => ({ ...one, orderingKey: '' })) } }];
}

function idOf({ attributes }: ReadMessage): string | undefined {
  return attributes['ce-id'];
}

test('what is planned has as many messages as were asked for, and the copies ask for nothing new', () => {
  const planned = planMessages(1_000, shares, seededRandom(1));
  const kinds = Object.groupBy(planned, ({ kind }) => kind);
  assert.deepEqual(
    [planned.length, kinds.job?.length, kinds.copy?.length, kinds.poison?.length],
    [1_000, 870, 100, 30],
  );
  const asked = new Set(kinds.job?.map(({ prompt }) => prompt));
  assert.equal(asked.size, 870);
  assert.ok(kinds.copy?.every(({ prompt }) => asked.has(prompt)));
});

/** Until all are published and become jobs; the last of the killed may still be on their way up. */
async function publishAmongKills(
  running: RunningCluster,
  publisher: JobPublisher,
  managers: ManagerWatch,
  random: SeededRandom,
): Promise<string[]> {
  const kills: string[] = [];
  let isOver = false;
  const killing = (async () => {
    while (!isOver) {
      await pause(killEveryMs * (0.5 + random.next()));
      const victim = isOver ? null : await chooseVictim(running, managers, random.pick(victims), random);
      if (victim === null) continue;
      await running.cluster.kill9(victim.name);
      kills.push(victim.kind);
    }
  })();
  killing.catch(() => undefined); // Awaited below.
  try {
    const planned = planMessages(count, shares, random);
    for (let from = 0; from < planned.length; from += burst) {
      await publisher.publish(planned.slice(from, from + burst));
      // The hardest moment for a reader to go: some of these are jobs, and none is acknowledged.
      if (random.next() < 0.3) {
        await pause(random.between(5, 150));
        const reader = await chooseVictim(running, managers, 'session-manager', random);
        if (reader !== null) {
          await running.cluster.kill9(reader.name);
          kills.push(reader.kind);
        }
      }
      await pause((burst / messagesPerSecond) * 1_000);
    }
  } finally {
    isOver = true;
    await killing;
  }
  return kills;
}

async function chooseVictim(
  running: RunningCluster,
  managers: ManagerWatch,
  kind: Victim,
  random: SeededRandom,
): Promise<{ readonly name: string; readonly kind: Victim } | null> {
  if (kind === 'leader') {
    const name = await managers.leader();
    return name === null ? null : { name, kind };
  }
  const living = running.cluster.members(kind).filter(({ pid, url }) => pid !== null && url !== null);
  // Who publishes has to be heard by somebody, and who looks has to be answered.
  return living.length < 2 ? null : { name: random.pick(living).name, kind };
}

/** All that there are, where some are missing or do not end: the checks say which. */
async function endedJobs(running: RunningCluster, wanted: number): Promise<JobResource[]> {
  for (let before = -1, movedMs = performance.now(); ; await pause(500)) {
    const jobs = await jobsOf(running);
    const ended = jobs.filter(({ ended_at }) => ended_at !== null).length;
    if (ended >= wanted && ended === jobs.length) return jobs;
    if (jobs.length + ended > before) movedMs = performance.now();
    if (performance.now() - movedMs > stalledAfterMs) return jobs;
    before = jobs.length + ended;
  }
}

async function jobsOf(running: RunningCluster): Promise<JobResource[]> {
  const jobs: JobResource[] = [];
  for (let after = ''; ; ) {
    const path = `/api/v1/jobs?limit=100${after === '' ? '' : `&after=${after}`}`;
    const { body, status, text } = await running.client.request<ListOf<JobResource>>('GET', path);
    assert.equal(status, 200, text);
    jobs.push(...body.data);
    if (!body.has_more || body.last_id === null) return jobs;
    after = body.last_id;
    await pause(20);
  }
}

/** Of the sessions of all attempts. */
async function turnsOf(running: RunningCluster, jobs: readonly JobResource[]): Promise<SessionTurns> {
  const sessions = jobs.flatMap(({ attempts }) => attempts.flatMap(({ session_id }) => session_id ?? []));
  const turns = new Map<string, readonly TurnResource[]>();
  for (const session of sessions) {
    const path = `/api/v1/sessions/${session}/turns`;
    const { body, status, text } = await running.client.request<ListOf<TurnResource>>('GET', path);
    assert.equal(status, 200, text);
    turns.set(session, body.data);
  }
  return turns;
}

function inWords(kills: readonly string[]): string {
  const counts = Map.groupBy(kills, (kind) => kind);
  const parts = [...counts].map(([kind, { length }]) => `${length} ${kind}${length === 1 ? '' : 's'}`);
  return `${kills.length} (${parts.toSorted().join(', ')})`;
}

function secondsSince(startedMs: number): string {
  return `${Math.round((performance.now() - startedMs) / 1_000)} s`;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
