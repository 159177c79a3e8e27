import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { WebhookResource } from '../../src/api/webhooks.ts';
import { type OracleCall, OracleModel } from '../../src/testing/faults/oracle-model.ts';
import type { SeededRandom } from '../../src/testing/faults/seeded-random.ts';
import { eventually } from '../e2e/eventually.ts';
import type { Answer } from '../e2e/fleet-client.ts';
import {
  type Received,
  sentInTurn,
  subjectOf,
  toldInOrder,
  type ToBeTold,
  WebhookReceiver,
} from '../e2e/webhook-receiver.ts';
import { newDataDir, scaled, seededRun } from './fault-scale.ts';
import { KeptHistory } from './kept-history.ts';
import { recordReliability } from './reliability-record.ts';
import { RunningFleet } from './running-fleet.ts';

const jobs = scaled(30);
const kills = scaled(8);
const longestDelayMs = 1_200;
const retry = { max_attempts: 5, first_delay_ms: 100 };

type Plan = { readonly body: Readonly<Record<string, unknown>>; readonly isCancelled: boolean };

/** Each says its number, so that no two prompts are the same. */
function planOf(number: number): Plan {
  const name = `job ${number}`;
  const kinds: readonly Plan[] = [
    { body: { prompt: `say: ${name}`, retry }, isCancelled: false },
    { body: { prompt: `run: echo ${name}`, retry, session_id: 'shared' }, isCancelled: false },
    { body: { prompt: `stream: 30 words at 10 ms\nsay: ${name}`, retry }, isCancelled: false },
    { body: { prompt: `say: ${name}\nfail: quota`, retry: { ...retry, max_attempts: 2 } }, isCancelled: false },
    { body: { prompt: `wait: 300 ms\nsay: ${name}`, retry }, isCancelled: true },
    {
      body: { prompt: `say: ${name}`, run_at: new Date(Date.now() + 3_600_000).toISOString() },
      isCancelled: true,
    },
  ];
  return kinds[number % kinds.length] ?? assert.fail();
}

test('whenever a fleet is killed, each job ends, each attempt runs at most once, and each end is told [job-durable]', {
  timeout: 300_000 * Math.max(1, jobs / 30),
}, async (t) => {
  const random = seededRun(t);
  await using oracle = await OracleModel.start();
  await using receiver = await WebhookReceiver.start();
  await using fleet = await RunningFleet.start({
    dataDir: newDataDir(t),
    flags: ['--storage', 'sqlite', ...oracle.flags],
    env: { CODEX_FLEET_WEBHOOKS_ALLOW_HTTP: 'true', CODEX_FLEET_WEBHOOKS_ALLOW_PRIVATE: '127.0.0.1/32' },
  });
  // Only its patience with a fleet that is not there.
  using history = new KeptHistory(fleet, oracle);
  const hook = await fleet.client.request<WebhookResource & { secret: string }>('POST', '/api/v1/webhooks', {
    url: receiver.url,
  });
  assert.equal(hook.status, 201, hook.text);
  receiver.trust(hook.body.secret);

  const made = new Map<string, Plan>();
  let hasFailed = false;
  /** As often as it takes; what a fleet on its way up or out says is no answer. */
  const ask = async <T>(method: string, path: string, body?: unknown, key?: string): Promise<Answer<T>> => {
    const headers = key === undefined ? {} : { 'idempotency-key': key };
    return await eventually(`${method} ${path} is answered`, 120_000, async () => {
      if (hasFailed) throw new Error('nobody waits for it any more');
      const answer = await history.whileItLives((client) => client.request<T>(method, path, body, headers));
      return answer === null || [502, 503].includes(answer.status) ? null : answer;
    });
  };
  const lives = async (number: number): Promise<void> => {
    const plan = planOf(number);
    const { body, status, text } = await ask<JobResource>('POST', '/api/v1/jobs', plan.body, `key-${number}`);
    assert.equal(status, 202, text);
    made.set(body.id, plan);
    if (!plan.isCancelled) return;
    await new Promise((resolve) => setTimeout(resolve, random.between(0, 8_000)));
    const cancelled = await ask<{ code?: string }>('POST', `/api/v1/jobs/${body.id}/cancel`);
    // It had ended by then, perhaps by an earlier try.
    assert.ok([200, 202, 409].includes(cancelled.status), cancelled.text);
  };
  try {
    const living = Promise.all(Array.from({ length: jobs }, (_, number) => lives(number)));
    living.catch(() => (hasFailed = true)); // Awaited below.
    const ends = await killWhileTheyRun(fleet, random, async () => {
      const { body } = await ask<ListOf<JobResource>>('GET', '/api/v1/jobs?limit=100&status=queued');
      return hasFailed || (made.size === jobs && body.data.length === 0);
    });
    await living;
    const ended: JobResource[] = [];
    for (const id of made.keys()) ended.push(await endOf(id, ask));
    const listed = await allJobs(ask);
    assert.deepEqual(new Set(listed.map(({ id }) => id)), new Set(made.keys()), 'each was made once');

    const wrong = (): string[] => toldInOrder(toBeTold(ended, receiver.accepted), receiver.accepted.filter(isOfJobs));
    await eventually('all is told', 60_000, () => wrong().length === 0).catch(() => assert.deepEqual(wrong(), []));
    await fleet.restart();
    await new Promise((resolve) => setTimeout(resolve, 2_000));
    assert.deepEqual(await allJobs(ask), listed, 'what has ended stays as it is');
    assert.deepEqual(
      [...wrong(), ...wrongAttempts(ended, oracle.calls), ...wrongEnds(ended, made), ...sentInTurn(receiver.received)],
      [],
    );
    assert.deepEqual(receiver.unsigned, []);
    const attempts = ended.flatMap((job) => job.attempts);
    const inWords =
      `${countsOf(ended)} by ${attempts.length} attempts, of which ${countsOf(attempts)}; ` +
      `${receiver.accepted.length} told`;
    t.diagnostic(`${fleet.starts - 1} kills, ${ends} while they ran; ${ended.length} jobs: ${inWords}`);
    assert.ok(
      attempts.some(({ status }) => status === 'interrupted'),
      'some were killed in mid-attempt',
    );
    assertSpoiltIsSeen(ended, oracle.calls, receiver.accepted);
    recordReliability({
      fault: 'kill -9 of the whole fleet at random moments while jobs run, are retried and cancelled',
      count: `${fleet.starts - 1} kills, ${ended.length} jobs`,
      result: `each job ended (${inWords}), no attempt ran twice, each start, retry and end was told in order`,
      control: 'in this history: a second run of an attempt, an end not told, a job in the wrong order are each found',
    });
  } finally {
    hasFailed = true;
    await fleet.kill9();
  }
});

type Ask = <T>(method: string, path: string) => Promise<Answer<T>>;

/** Answers how many kills there were before nothing waited any more; the rest come all the same. */
async function killWhileTheyRun(
  fleet: RunningFleet,
  random: SeededRandom,
  isDone: () => Promise<boolean>,
): Promise<number> {
  let useful = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    await new Promise((resolve) => setTimeout(resolve, random.between(50, longestDelayMs)));
    if (!(await isDone())) useful += 1;
    await fleet.restart();
  }
  return useful;
}

async function endOf(id: string, ask: Ask): Promise<JobResource> {
  return await eventually(`job ${id} ends`, 90_000, async () => {
    const { body } = await ask<JobResource>('GET', `/api/v1/jobs/${id}`);
    return body.ended_at === null ? null : body;
  });
}

async function allJobs(ask: Ask): Promise<JobResource[]> {
  const all: JobResource[] = [];
  for (let after = ''; ; ) {
    const { body } = await ask<ListOf<JobResource>>('GET', `/api/v1/jobs?limit=100${after}`);
    all.push(...body.data);
    if (!body.has_more) return all;
    after = `&after=${body.last_id}`;
  }
}

/** As its record says: each attempt that a worker had, what became of it, and the end; and the end of each turn. */
function toBeTold(ended: readonly JobResource[], told: readonly Received[]): ToBeTold {
  return new Map(
    ended.flatMap((job): [string, readonly string[]][] => {
      const story = job.attempts.flatMap(({ session_id }, index) => [
        ...(session_id === null ? [] : ['job.started']),
        ...(index < job.attempts.length - 1 ? ['job.retrying'] : []),
      ]);
      // One that was to be tried again may have been cancelled before, or with its last attempt.
      const retries = told.filter((one) => one.type === 'job.retrying' && subjectOf(one) === job.id).length;
      if (job.status === 'cancelled' && retries > 0 && retries === job.attempts.length) story.push('job.retrying');
      const turns = job.attempts.filter(({ session_id }) => session_id !== null);
      return [
        [job.id, [...story, `job.${job.status}`]],
        ...turns.map(({ status, turn_id }): [string, string[]] => [turn_id, [`turn.${status}`]]),
      ];
    }),
  );
}

function isOfJobs({ type }: Received): boolean {
  return type.startsWith('job.') || type.startsWith('turn.');
}

/** The model was asked a job's prompt in no more turns than it has attempts, each a turn of its own. */
function wrongAttempts(ended: readonly JobResource[], calls: readonly OracleCall[]): string[] {
  const byPrompt = new Map(ended.map((job) => [job.prompt, job]));
  const turns = new Map<string, Set<string>>();
  for (const { codexTurn, prompt } of calls) turns.set(prompt, (turns.get(prompt) ?? new Set()).add(codexTurn));
  const unknown = [...turns.keys()].filter((prompt) => !byPrompt.has(prompt));
  return [
    ...unknown.map((prompt) => `nobody asked for ${JSON.stringify(prompt)}, and it ran`),
    ...ended.flatMap(({ attempts, attempt_count, id, prompt, status }) => {
      const runs = turns.get(prompt)?.size ?? 0;
      const ids = new Set(attempts.map(({ turn_id }) => turn_id));
      return [
        ...(runs > attempt_count ? [`job ${id} ran ${runs} times in ${attempt_count} attempts`] : []),
        ...(status === 'completed' && runs === 0 ? [`job ${id} completed and never ran`] : []),
        ...(ids.size === attempt_count ? [] : [`job ${id} has ${ids.size} turns for ${attempt_count} attempts`]),
        ...attempts.filter((attempt) => attempt.ended_at === null).map(() => `job ${id} has an attempt without an end`),
      ];
    }),
  ];
}

/** What only a kill disturbed completes; what fails by itself, or was cancelled, does that. */
function wrongEnds(ended: readonly JobResource[], made: ReadonlyMap<string, Plan>): string[] {
  return ended.flatMap(({ attempts, error, id, prompt, status }) => {
    const diedOnly = attempts.every((attempt) => attempt.status === 'interrupted');
    const fails = prompt.endsWith('fail: quota');
    const isRight =
      status === 'completed' ||
      (status === 'failed' && (fails || diedOnly)) ||
      (status === 'cancelled' && made.get(id)?.isCancelled === true);
    return isRight && !(fails && status === 'completed')
      ? []
      : [`job ${id} is ${status}: ${JSON.stringify({ attempts, error })}`];
  });
}

function countsOf(ended: readonly { readonly status: string | null }[]): string {
  const counts = new Map<string, number>();
  for (const { status } of ended) counts.set(String(status), (counts.get(String(status)) ?? 0) + 1);
  return [...counts].map(([status, count]) => `${count} ${status}`).join(', ');
}

/** The checks fail on this very history once something is wrong with it. */
function assertSpoiltIsSeen(
  ended: readonly JobResource[],
  calls: readonly OracleCall[],
  told: readonly Received[],
): void {
  const job = ended.find(({ attempts, status }) => status === 'completed' && attempts.length === 1) ?? ended[0];
  assert.ok(job !== undefined);
  const own = calls.find(({ prompt }) => prompt === job.prompt);
  assert.ok(own !== undefined, 'it ran');
  const twice = [...calls, { ...own, codexTurn: 'another' }];
  assert.deepEqual(wrongAttempts(ended, twice), [`job ${job.id} ran 2 times in 1 attempts`]);
  const ofJobs = told.filter(isOfJobs);
  const end = ofJobs.find((one) => subjectOf(one) === job.id && one.type === `job.${job.status}`);
  const expected = toBeTold(ended, told);
  assert.deepEqual(
    toldInOrder(
      expected,
      ofJobs.filter((one) => one !== end),
    ),
    [`${job.id}: job.${job.status} was not told`],
  );
  assert.ok(toldInOrder(expected, ofJobs.toReversed()).length > 0, 'another order is seen');
}
