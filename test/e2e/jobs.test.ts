import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import type { JobResource } from '../../src/api/jobs.ts';
import type { ListOf } from '../../src/api/list.ts';
import type { ScheduleResource } from '../../src/api/schedules.ts';
import { median } from '../load/measures.ts';
import { eventually } from './eventually.ts';
import type { Answer, FleetClient } from './fleet-client.ts';
import { FleetUnderTest } from './fleet-under-test.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();
/** A minute is the shortest time that one has: it is made first, and looked at last. */
let schedule: ScheduleResource;
const byHand: string[] = [];

async function makeJob(
  body: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
  client: FleetClient = fleet().client,
): Promise<Answer<JobResource>> {
  const answer = await client.request<JobResource>('POST', '/api/v1/jobs', body, headers);
  assert.equal(answer.status, 202, answer.text);
  assert.equal(answer.headers.get('location'), `/api/v1/jobs/${answer.body.id}`);
  return answer;
}

async function jobNow(id: string): Promise<JobResource> {
  const { body, status, text } = await fleet().client.request<JobResource>('GET', `/api/v1/jobs/${id}`);
  assert.equal(status, 200, text);
  return body;
}

async function jobIs(what: string, id: string, isSo: (job: JobResource) => boolean): Promise<JobResource> {
  return await eventually(`the job ${what}`, 30_000, async () => {
    const job = await jobNow(id);
    return isSo(job) ? job : null;
  });
}

const ended = (id: string): Promise<JobResource> => jobIs('has ended', id, ({ ended_at }) => ended_at !== null);

async function act(id: string, action: 'cancel' | 'retry'): Promise<Answer<JobResource & { code?: string }>> {
  return await fleet().client.request('POST', `/api/v1/jobs/${id}/${action}`);
}

suite('jobs', { concurrency: true }, () => {
  before(async () => {
    const made = await fleet().client.request<ScheduleResource>('POST', '/api/v1/schedules', {
      cron: '* * * * *',
      job: { prompt: 'say: by the clock', metadata: { from: 'schedule' } },
    });
    assert.equal(made.status, 201, made.text);
    schedule = made.body;
  });

  test('a schedule makes a job when asked, whatever its times [schedule-runs]', async () => {
    const path = `/api/v1/schedules/${schedule.id}`;
    const { body, status, text } = await fleet().client.request<JobResource>('POST', `${path}/run`);
    assert.equal(status, 202, text);
    const job = await ended(body.id);
    assert.deepEqual([job.status, job.schedule_id, job.result?.stdout], ['completed', schedule.id, 'by the clock']);
    byHand.push(job.id);
  });

  test('a job runs without anybody waiting, and its result is kept [job-runs]', async () => {
    const { client } = fleet();
    const { body: made } = await makeJob({ prompt: 'write: done.txt: by a job\nsay: done', metadata: { ticket: '1' } });
    assert.deepEqual([made.status, made.attempt_count, made.result], ['queued', 0, null]);
    const job = await ended(made.id);
    assert.deepEqual([job.status, job.error, job.metadata], ['completed', null, { ticket: '1' }]);
    assert.deepEqual([job.result?.stdout, job.result?.exit_code], ['done', 0]);
    assert.ok((job.result?.usage.output_tokens ?? 0) > 0);
    assert.deepEqual(
      job.attempts.map(({ session_id, status, turn_id }) => [session_id, turn_id, status]),
      [[job.session_id, job.turn_id, 'completed']],
    );
    const session = String(job.session_id);
    assert.equal((await client.turn(session, String(job.turn_id))).stdout, 'done');
    assert.match((await client.completed('run: cat done.txt', session)).stdout, /by a job/);

    const named = await makeJob({ prompt: 'recall', session_id: session });
    assert.match(
      (await ended(named.body.id)).result?.stdout ?? '',
      /by a job/,
      'a session that is named is gone on with',
    );
  });

  test('a job is tried again as its retry policy says, each time in a session of its own, and once more when asked [job-retry]', async () => {
    const retry = { max_attempts: 3, first_delay_ms: 400 };
    const { body: made } = await makeJob({ prompt: 'fail: quota', retry });
    const waiting = await jobIs(
      'waits for its second attempt',
      made.id,
      (job) => job.attempt_count === 1 && job.next_attempt_at !== null,
    );
    assert.deepEqual([waiting.status, waiting.attempts[0]?.status], ['queued', 'failed']);
    const failed = await ended(made.id);
    assert.deepEqual([failed.status, failed.attempt_count, failed.result?.exit_code], ['failed', 3, 1]);
    assert.ok(failed.error !== null);
    assert.equal(new Set(failed.attempts.map(({ turn_id }) => turn_id)).size, 3);
    assert.equal(new Set(failed.attempts.map(({ session_id }) => session_id)).size, 3);
    const [first, second, third] = failed.attempts;
    const gap = (before = first, after = second): number =>
      Date.parse(after?.started_at ?? '') - Date.parse(before?.ended_at ?? '');
    assert.ok(gap() >= 400 && gap(second, third) >= 800, `${gap()} and ${gap(second, third)} ms were between them`);

    assert.equal((await act(made.id, 'cancel')).body.code, 'job_ended');
    const retried = await act(made.id, 'retry');
    assert.deepEqual([retried.status, retried.body.status], [202, 'queued']);
    const again = await ended(made.id);
    assert.deepEqual([again.status, again.attempt_count], ['failed', 6], 'with all that its policy allows');
  });

  test('what fails at first completes by a later attempt, and is not to be retried [job-retry]', async () => {
    const session = 'flaky-job';
    const prompt = 'run: test -e tried || { touch tried; sleep 60; }';
    const retry = { max_attempts: 2, first_delay_ms: 100 };
    const { body: made } = await makeJob({ prompt, session_id: session, timeout_ms: 3_000, retry });
    const job = await ended(made.id);
    assert.deepEqual(
      [job.status, job.attempts.map(({ status }) => status)],
      ['completed', ['timed_out', 'completed']],
      JSON.stringify(job.error),
    );
    const refused = await act(made.id, 'retry');
    assert.deepEqual([refused.status, refused.body.code], [409, 'job_not_retryable']);
  });

  test('run_at is waited for [job-run-at]', async () => {
    const runAt = Date.now() + 2_500;
    const { body: made } = await makeJob({ prompt: 'say: later', run_at: new Date(runAt).toISOString() });
    assert.equal(Date.parse(String(made.next_attempt_at)), runAt);
    const job = await ended(made.id);
    const startedAt = Date.parse(job.attempts[0]?.started_at ?? '');
    assert.ok(startedAt >= runAt && startedAt < runAt + 10_000, `begun ${startedAt - runAt} ms after its time`);
  });

  test('a job is cancelled while it waits and while it runs, and can be had back [job-cancel]', async () => {
    const { client } = fleet();
    const runAt = new Date(Date.now() + 3_600_000).toISOString();
    const { body: waiting } = await makeJob({ prompt: 'say: never', run_at: runAt });
    const { body: running } = await makeJob({ prompt: 'stall' });
    const cancelled = await act(waiting.id, 'cancel');
    assert.deepEqual(
      [cancelled.status, cancelled.body.status, cancelled.body.attempt_count, cancelled.body.result],
      [200, 'cancelled', 0, null],
    );
    const begun = await jobIs(
      'runs',
      running.id,
      ({ session_id, status }) => status === 'running' && session_id !== null,
    );
    assert.ok([200, 202].includes((await act(running.id, 'cancel')).status));
    const stopped = await ended(running.id);
    assert.deepEqual([stopped.status, stopped.result?.exit_code, stopped.cancelling], ['cancelled', 130, false]);
    assert.equal((await client.turn(String(begun.session_id), String(begun.turn_id))).status, 'cancelled');

    assert.equal((await act(waiting.id, 'retry')).status, 202);
    assert.equal((await ended(waiting.id)).result?.stdout, 'never', 'now, not at its time');
  });

  test('the same Idempotency-Key is one job that runs once; with another body it is refused [job-idempotent]', async () => {
    const { client } = fleet();
    const body = { prompt: 'run: echo ran >> count.txt', session_id: 'counting-jobs' };
    const key = { 'idempotency-key': 'job-key-1' };
    const answers = await Promise.all([makeJob(body, key), makeJob(body, key), makeJob(body, key)]);
    const [id = ''] = answers.map((answer) => answer.body.id);
    assert.equal((await ended(id)).status, 'completed');
    answers.push(await makeJob(body, key));
    assert.equal(new Set(answers.map((answer) => answer.body.id)).size, 1);
    const other = await client.request<{ code: string }>('POST', '/api/v1/jobs', { ...body, prompt: 'say: x' }, key);
    assert.deepEqual([other.status, other.body.code], [422, 'idempotency_key_reused']);
    assert.match((await client.completed('run: wc -l < count.txt', 'counting-jobs')).stdout, /\b1\b/);
  });
});

test('thirty jobs keep nobody waiting who prompts; thirty turns in the background do [job-share]', async (t) => {
  const slots = 2;
  const prompt = 'wait: 400 ms\nsay: done';
  const count = 30;
  /** How long each of three prompts waits for its turn to start, one after the other. */
  const waitBehind = async (crowd: (client: FleetClient) => Promise<unknown>) => {
    await using crowded = await FleetUnderTest.start({ args: ['--slots', String(slots)] });
    const { client } = crowded;
    await client.completed('say: warm');
    await Promise.all(Array.from({ length: count }, () => crowd(client)));
    // Until the first of them run.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    const waits: number[] = [];
    for (let exec = 0; exec < 3; exec += 1) {
      const { session_id: session, turn_id: id } = await client.completed('say: answered');
      const turn = await client.turn(session, id);
      waits.push(Date.parse(turn.started_at ?? '') - Date.parse(turn.created_at));
    }
    // Enough to tell how long one takes.
    const jobs = await eventually('some jobs have ended', 20_000, async () => {
      const { body } = await client.request<ListOf<JobResource>>('GET', '/api/v1/jobs?limit=100');
      const isSo = body.data.length === 0 || body.data.filter(({ ended_at }) => ended_at !== null).length >= 3;
      return isSo ? body.data : null;
    });
    const those = (status: string): number => jobs.filter((job) => job.status === status).length;
    if (jobs.length > 0) assert.ok(those('queued') > count / 2, 'there is a crowd');
    assert.ok(those('running') <= slots / 2, 'no more run than their share');
    const starts = jobs.flatMap(({ attempts }) => attempts.map(({ started_at }) => Date.parse(started_at)));
    starts.sort((one, other) => one - other);
    return { waits, gaps: starts.slice(1).map((at, index) => at - (starts[index] ?? 0)) };
  };
  const { gaps, waits: behindJobs } = await waitBehind((client) => makeJob({ prompt }, {}, client));
  const [behindTurns = 0] = (await waitBehind((client) => client.exec({ prompt, background: true }))).waits;
  // Jobs run one after the other: from start to start it is a turn, with the slot that is made anew for the next.
  const turnMs = median(gaps);
  const inWords = `behind ${count} jobs ${behindJobs.join(', ')} ms, of which each took ${turnMs}; behind as many turns ${behindTurns} ms`;
  t.diagnostic(inWords);
  assert.ok(behindTurns > 4_000, `the crowd is one: ${inWords}`);
  assert.ok(median(behindJobs) < turnMs, inWords);
  assert.ok(Math.max(...behindJobs) < behindTurns / 4, inWords);
});

test('a schedule makes a job at each of its times, once [schedule-runs]', async () => {
  const { client } = fleet();
  const path = `/api/v1/schedules/${schedule.id}`;
  const firstAt = Date.parse(String(schedule.next_run_at));
  assert.equal(firstAt % 60_000, 0);
  await eventually('its time comes', 75_000, async () => {
    return (await client.request<ScheduleResource>('GET', path)).body.last_job_id !== null;
  });
  const { body: paused } = await client.request<ScheduleResource>('PATCH', path, { paused: true });
  assert.equal(paused.next_run_at, null);
  const { body } = await client.request<ListOf<JobResource>>(
    'GET',
    `/api/v1/jobs?schedule_id=${schedule.id}&order=asc`,
  );
  const made = body.data.filter(({ id }) => !byHand.includes(id));
  assert.equal(made.at(-1)?.id, paused.last_job_id);
  for (const [index, { created_at, id }] of made.entries()) {
    const lateMs = Date.parse(created_at) - (firstAt + index * 60_000);
    assert.ok(lateMs >= 0 && lateMs < 20_000, `it was made ${lateMs} ms after its time`);
    const job = await ended(id);
    assert.deepEqual([job.status, job.source, job.metadata], ['completed', 'schedule', { from: 'schedule' }]);
  }
});
