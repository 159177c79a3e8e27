import assert from 'node:assert/strict';
import { test } from 'node:test';
import { maxNoticeBytes, maxNoticeCharacters } from '../api/cut-notice.ts';
import { toJobNotice } from '../api/jobs.ts';
import { ServiceError } from '../core/errors.ts';
import { begunJob, type JobRecord, jobStatuses } from '../core/job.ts';
import type { Notice } from '../core/webhook.ts';
import { askerOf, idsOf, refusalOf } from '../testing/fleet-asker.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type GatewayFixture, startGateway } from '../testing/gateway-fixture.ts';
import { deliveryRecord, jobRecord, jobSpec } from '../testing/stored-records.ts';

const nowMs = Date.UTC(2026, 0, 1);
const at = (ms: number): string => new Date(ms).toISOString();
const secretOf = (bytes: number): string => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
const usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_output_tokens: 0, cost_usd: null };
const attempt = {
  turnId: '019f0000-0000-7000-8000-0000000000a1',
  sessionId: '019f0000-0000-7000-8000-000000000001',
  startedAt: nowMs,
  endedAt: nowMs,
  status: 'failed',
  error: { code: 'turn_failed', message: 'it broke' },
} as const;

let minted = 0;
/** On record as if somebody had made it and somebody else had run it. */
async function stored(
  { records }: Pick<GatewayFixture, 'records'>,
  changes: Partial<JobRecord> = {},
): Promise<JobRecord> {
  minted += 1;
  const id = `019f0000-0000-7000-8000-${String(minted).padStart(12, '0')}`;
  const { record } = await records.jobs.create(jobRecord({ tenant: 'default', id, ...changes }));
  return record;
}

test('a job is accepted with 202, found where Location says, and its secret is shown this once', async (t) => {
  let pokes = 0;
  const clock = new FakeClock(nowMs);
  const fleet = await startGateway(t, { clock, onJobMade: () => void (pokes += 1) });
  const ask = askerOf(fleet);
  const secret = secretOf(24);
  const made = await ask(
    'POST',
    '/jobs',
    {
      prompt: 'update the dependencies',
      session_id: 'nightly',
      model: 'm',
      effort: 'low',
      output_schema: { type: 'object' },
      timeout_ms: 60_000,
      queue_timeout_ms: null,
      retry: { max_attempts: 3, first_delay_ms: 1_000 },
      metadata: { team: 'web' },
      webhook: { url: 'https://example.com/hook', secret },
    },
    { 'x-request-id': 'req-1' },
  );
  const id = String(made.body['id']);
  const job = {
    id,
    object: 'job',
    status: 'queued',
    cancelling: false,
    session_id: 'nightly',
    turn_id: null,
    prompt: 'update the dependencies',
    model: 'm',
    effort: 'low',
    output_schema: { type: 'object' },
    timeout_ms: 60_000,
    queue_timeout_ms: 300_000,
    retry: { max_attempts: 3, first_delay_ms: 1_000, longest_delay_ms: 600_000 },
    metadata: { team: 'web' },
    webhook: { url: 'https://example.com/hook' },
    source: 'api',
    schedule_id: null,
    attempts: [],
    attempt_count: 0,
    next_attempt_at: at(nowMs),
    result: null,
    error: null,
    created_by: 'tester',
    created_at: at(nowMs),
    ended_at: null,
    request_id: 'req-1',
  };
  assert.deepEqual([made.status, made.headers.get('location'), pokes], [202, `/api/v1/jobs/${id}`, 1]);
  assert.deepEqual(made.body, { ...job, webhook: { ...job.webhook, secret } });
  assert.deepEqual((await ask('GET', `/jobs/${id}`)).body, job);
  assert.deepEqual((await ask('GET', '/jobs')).body['data'], [job]);
  assert.deepEqual((await ask('GET', `/jobs/${id.toUpperCase()}`)).body, job);
  assert.deepEqual((await ask('POST', `/jobs/${id}/cancel`)).body['webhook'], job.webhook);
  assert.deepEqual((await ask('POST', `/jobs/${id}/retry`)).body['webhook'], job.webhook);
});

test('a job needs a prompt and nothing else; a receiver without a secret gets one', async (t) => {
  const ask = askerOf(await startGateway(t));
  const bare = await ask('POST', '/jobs', { prompt: 'x' });
  assert.deepEqual([bare.status, bare.body['session_id'], bare.body['webhook']], [202, null, null]);
  assert.deepEqual(bare.body['retry'], { max_attempts: 1, first_delay_ms: 10_000, longest_delay_ms: 600_000 });
  const told = await ask('POST', '/jobs', { prompt: 'x', webhook: { url: 'https://example.com/' } });
  assert.match((told.body['webhook'] as { secret: string }).secret, /^whsec_[A-Za-z0-9+/]{43}=$/);
  const short = await ask('POST', '/jobs', { prompt: 'x', retry: { max_attempts: 2, longest_delay_ms: 10 } });
  assert.deepEqual(short.body['retry'], { max_attempts: 2, first_delay_ms: 10, longest_delay_ms: 10 });
});

test('the same key and body are the same job with the same answer, another body is refused, another tenant has its own', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const body = { prompt: 'x', webhook: { url: 'https://example.com/' }, metadata: { a: '1', b: '2' } };
  const key = { 'idempotency-key': 'once' };
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask('POST', '/jobs', body, key)));
  const again = await ask('POST', '/jobs', { ...body, metadata: { b: '2', a: '1' }, model: null }, key);
  for (const answer of [...answers, again]) assert.deepEqual([answer.status, answer.body], [202, answers[0]?.body]);
  assert.equal((await fleet.records.jobs.list('default', { status: null, scheduleId: null }, page)).data.length, 1);
  for (const other of [
    { ...body, prompt: 'y' },
    { ...body, run_at: '2026-01-01T00:00:00Z' },
    { ...body, retry: { max_attempts: 2 } },
    { ...body, webhook: { url: 'https://example.com/', secret: secretOf(32) } },
  ])
    assert.deepEqual(refusalOf(await ask('POST', '/jobs', other, key)), [422, 'idempotency_key_reused']);
  const theirs = await askerOf(fleet, 'stranger')('POST', '/jobs', body, key);
  assert.notEqual(theirs.body['id'], again.body['id']);
  assert.deepEqual(refusalOf(await ask('POST', '/jobs', body, { 'idempotency-key': 'a b' })), [
    400,
    'invalid_request',
    'Idempotency-Key',
  ]);
});

const page = { after: null, limit: 100, order: 'asc' } as const;

test('a job runs at the time that it is given: one that has passed is now, one of another year is refused', async (t) => {
  const ask = askerOf(await startGateway(t, { clock: new FakeClock(nowMs) }));
  const dueAt = async (run_at: string): Promise<unknown> =>
    (await ask('POST', '/jobs', { prompt: 'x', run_at })).body['next_attempt_at'];
  assert.equal(await dueAt('2026-01-02T03:04:05+02:00'), '2026-01-02T01:04:05.000Z');
  assert.equal(await dueAt('1999-01-01T00:00:00Z'), at(nowMs));
  assert.equal(await dueAt('2027-01-02T00:00:00Z'), '2027-01-02T00:00:00.000Z');
  for (const run_at of [
    '2027-01-02T00:00:01Z',
    '9999-12-31T23:59:59Z',
    '2026-02-30T00:00:00Z',
    'tomorrow',
    '2026-01-02',
    7,
    '',
  ]) {
    const refused = await ask('POST', '/jobs', { prompt: 'x', run_at });
    assert.deepEqual(refusalOf(refused), [400, 'invalid_request', 'run_at'], String(run_at));
  }
});

const url = 'https://example.com/';
const refused: readonly { readonly body: unknown; readonly fields: readonly string[] }[] = [
  { body: {}, fields: ['prompt'] },
  { body: { prompt: '' }, fields: ['prompt'] },
  { body: { prompt: 'x'.repeat(101) }, fields: ['prompt'] },
  { body: { prompt: '\ud800' }, fields: ['prompt'] },
  { body: { prompt: ['x'] }, fields: ['prompt'] },
  { body: { prompt: 'x', session_id: '../x' }, fields: ['session_id'] },
  { body: { prompt: 'x', on_busy: 'queue' }, fields: ['on_busy'] },
  { body: { prompt: 'x', timeout_ms: 5_001 }, fields: ['timeout_ms'] },
  { body: { prompt: 'x', queue_timeout_ms: 6_001 }, fields: ['queue_timeout_ms'] },
  { body: { prompt: 'x', timeout_ms: 86_400_001 }, fields: ['timeout_ms'] },
  { body: { prompt: 'x', effort: 'much' }, fields: ['effort'] },
  { body: { prompt: 'x', model: '$(rm)' }, fields: ['model'] },
  { body: { prompt: 'x', output_schema: [] }, fields: ['output_schema'] },
  { body: { prompt: 'x', retry: 3 }, fields: ['retry'] },
  { body: { prompt: 'x', retry: {} }, fields: ['retry.max_attempts'] },
  { body: { prompt: 'x', retry: { max_attempts: 0 } }, fields: ['retry.max_attempts'] },
  { body: { prompt: 'x', retry: { max_attempts: 11 } }, fields: ['retry.max_attempts'] },
  { body: { prompt: 'x', retry: { max_attempts: 1.5 } }, fields: ['retry.max_attempts'] },
  { body: { prompt: 'x', retry: { max_attempts: 2, first_delay_ms: 0 } }, fields: ['retry.first_delay_ms'] },
  {
    body: { prompt: 'x', retry: { max_attempts: 2, first_delay_ms: 2, longest_delay_ms: 1 } },
    fields: ['retry.longest_delay_ms'],
  },
  { body: { prompt: 'x', metadata: { 'a b': '1' } }, fields: ['metadata.a b'] },
  { body: { prompt: 'x', metadata: { a: 1 } }, fields: ['metadata.a'] },
  { body: { prompt: 'x', webhook: url }, fields: ['webhook'] },
  { body: { prompt: 'x', webhook: {} }, fields: ['webhook.url'] },
  { body: { prompt: 'x', webhook: { url: 'http://example.com/' } }, fields: ['webhook.url'] },
  { body: { prompt: 'x', webhook: { url: 'https://127.0.0.1/' } }, fields: ['webhook.url'] },
  { body: { prompt: 'x', webhook: { url: 'https://[::ffff:10.0.0.1]/' } }, fields: ['webhook.url'] },
  { body: { prompt: 'x', webhook: { url: `${url}${'x'.repeat(2_048)}` } }, fields: ['webhook.url'] },
  { body: { prompt: 'x', webhook: { url, secret: 'short' } }, fields: ['webhook.secret'] },
  { body: { prompt: 'x', webhook: { url, secret: secretOf(23) } }, fields: ['webhook.secret'] },
  { body: { prompt: 'x', webhook: { url, secret: secretOf(65) } }, fields: ['webhook.secret'] },
  { body: { prompt: 'x', webhook: { url, secret: `${secretOf(24)}=` } }, fields: ['webhook.secret'] },
  { body: { prompt: 'x', id: 'mine', status: 'completed' }, fields: ['id', 'status'] },
];

test('what is no job is refused by the name of its field, and nothing is made', async (t) => {
  const limits = { maxPromptCodePoints: 100, maxTimeoutMs: 5_000, maxQueueTimeoutMs: 6_000 };
  const fleet = await startGateway(t, { limits: { ...limits, defaultTimeoutMs: 1_000, defaultQueueTimeoutMs: 1_000 } });
  const ask = askerOf(fleet);
  for (const { body, fields } of refused) {
    const answer = await ask('POST', '/jobs', body);
    assert.deepEqual(refusalOf(answer), [400, 'invalid_request', ...fields], JSON.stringify(body).slice(0, 200));
    assert.doesNotMatch(JSON.stringify(answer.body), /whsec_[A-Za-z0-9+/]{20}/);
  }
  for (const body of ['{"prompt":', '[]', 'null', '7'])
    assert.deepEqual(refusalOf(await ask('POST', '/jobs', body)), [400, 'invalid_json'], body);
  assert.deepEqual(refusalOf(await ask('POST', '/jobs')), [400, 'invalid_request', '']);
  const proto = await ask('POST', '/jobs', '{"prompt":"x","__proto__":{"model":"m"}}');
  assert.equal(proto.status, 400);
  const typo = await ask('POST', '/jobs', { prompt: 'x', retry: { max_attempt: 2, max_attempts: 2 } });
  assert.deepEqual((typo.body['errors'] as { did_you_mean: string }[])[0]?.did_you_mean, 'max_attempts');
  assert.equal(await fleet.records.jobs.countOpen('default', 10), 0);
});

test('a tenant has as many open jobs as it may have, and a repeat is no other job', async (t) => {
  const fleet = await startGateway(t, { limits: { maxOpenJobs: 1 } });
  const ask = askerOf(fleet);
  const key = { 'idempotency-key': 'k' };
  const first = await ask('POST', '/jobs', { prompt: 'x' }, key);
  const more = await ask('POST', '/jobs', { prompt: 'x' });
  assert.deepEqual([...refusalOf(more), more.body['limit']], [429, 'too_many_jobs', 1]);
  assert.match(more.headers.get('retry-after') ?? '', /^\d+$/);
  assert.deepEqual((await ask('POST', '/jobs', { prompt: 'x' }, key)).body, first.body);
  assert.equal((await askerOf(fleet, 'stranger')('POST', '/jobs', { prompt: 'x' })).status, 202);
  const failed = await stored(fleet, { status: 'failed', dueAt: null });
  assert.deepEqual(refusalOf(await ask('POST', `/jobs/${failed.id}/retry`)), [429, 'too_many_jobs']);
  await ask('POST', `/jobs/${String(first.body['id'])}/cancel`);
  assert.equal((await ask('POST', '/jobs', { prompt: 'x' })).status, 202);
});

test('a gateway that stops, and one whose disk is full, take no job and try none again', async (t) => {
  let isLow = true;
  const fleet = await startGateway(t, { isStorageLow: () => isLow });
  const ask = askerOf(fleet);
  const { id } = await stored(fleet, { status: 'failed', dueAt: null });
  const paths = ['/jobs', `/jobs/${id}/retry`];
  const refusals = async (): Promise<unknown[]> =>
    Promise.all(
      paths.map(async (path) => (await ask('POST', path, path === '/jobs' ? { prompt: 'x' } : undefined)).body['code']),
    );
  assert.deepEqual(await refusals(), ['storage_full', 'storage_full']);
  isLow = false;
  fleet.gateway.beginDraining();
  assert.deepEqual(await refusals(), ['draining', 'draining']);
  assert.equal((await ask('GET', `/jobs/${id}`)).status, 200);
});

test('jobs are listed by status and schedule, in pages that meet, and by no unknown parameter', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const scheduleId = '019f0000-0000-7000-8000-0000000000d1';
  const jobs: JobRecord[] = [];
  for (const status of jobStatuses) jobs.push(await stored(fleet, { status, createdAt: nowMs + jobs.length }));
  jobs.push(await stored(fleet, { status: 'queued', scheduleId, source: 'schedule', createdAt: nowMs + 9 }));
  const ids = jobs.map(({ id }) => id);

  assert.deepEqual(idsOf(await ask('GET', '/jobs?order=asc')), ids);
  assert.deepEqual(idsOf(await ask('GET', '/jobs?status=queued&order=asc')), [ids[0], ids[5]]);
  assert.deepEqual(idsOf(await ask('GET', `/jobs?schedule_id=${scheduleId}`)), [ids[5]]);
  assert.deepEqual(idsOf(await ask('GET', `/jobs?schedule_id=${scheduleId}&status=failed`)), []);
  const seen: unknown[] = [];
  for (let after = ''; ; ) {
    const { body, ...answer } = await ask('GET', `/jobs?limit=2${after}`);
    seen.push(...idsOf({ body, ...answer }));
    if (body['has_more'] === false) break;
    after = `&after=${String(body['last_id'])}`;
  }
  assert.deepEqual(seen, ids.toReversed());
  assert.deepEqual(refusalOf(await ask('GET', '/jobs?status=done')), [400, 'invalid_request', 'status']);
  assert.deepEqual(refusalOf(await ask('GET', '/jobs?state=queued')), [400, 'invalid_request', 'state']);
  assert.deepEqual(refusalOf(await ask('GET', '/jobs?after=nothing')), [400, 'cursor_invalid']);
});

test('a page of the longest prompts ends early and says that there is more', async (t) => {
  const fleet = await startGateway(t);
  const spec = jobSpec({ prompt: 'x'.repeat(1_048_576) });
  for (let index = 0; index < 9; index += 1) await stored(fleet, { spec, finalMessage: 'y', createdAt: nowMs + index });
  const first = await askerOf(fleet)('GET', '/jobs');
  assert.deepEqual([idsOf(first).length, first.body['has_more']], [7, true]);
  const rest = await askerOf(fleet)('GET', `/jobs?after=${String(first.body['last_id'])}`);
  assert.deepEqual([idsOf(rest).length, rest.body['has_more']], [2, false]);
});

test('a result says how the job ended, and its attempts how they did', async (t) => {
  const fleet = await startGateway(t);
  const resultOf = async (changes: Partial<JobRecord>): Promise<unknown> => {
    const { id } = await stored(fleet, { dueAt: null, attempts: [attempt], finalMessage: 'said', ...changes });
    return (await askerOf(fleet)('GET', `/jobs/${id}`)).body['result'];
  };
  const result = { stdout: 'said', exit_code: 0, usage };
  const done = { ...attempt, status: 'completed', error: null } as const;
  assert.deepEqual(await resultOf({ status: 'completed', attempts: [done] }), result);
  assert.deepEqual(await resultOf({ status: 'failed' }), { ...result, exit_code: 1 });
  assert.deepEqual(await resultOf({ status: 'failed', attempts: [{ ...attempt, status: 'timed_out' }] }), {
    ...result,
    exit_code: 124,
  });
  assert.deepEqual(await resultOf({ status: 'failed', attempts: [done] }), { ...result, exit_code: 1 });
  assert.deepEqual(await resultOf({ status: 'cancelled' }), { ...result, exit_code: 130 });
  assert.equal(await resultOf({ status: 'failed', attempts: [] }), null);
  assert.equal(await resultOf({ status: 'queued' }), null);

  const { id } = await stored(fleet, { status: 'failed', attempts: [attempt], attemptCount: 1 });
  const { body } = await askerOf(fleet)('GET', `/jobs/${id}`);
  assert.deepEqual([body['turn_id'], body['session_id']], [attempt.turnId, attempt.sessionId]);
  assert.deepEqual(body['attempts'], [
    {
      turn_id: attempt.turnId,
      session_id: attempt.sessionId,
      status: 'failed',
      started_at: at(nowMs),
      ended_at: at(nowMs),
      error: { code: 'turn_failed', message: 'it broke' },
    },
  ]);
});

test('a job that waits is cancelled at once, and told of then; where that cannot be, its record says that it is untold', async (t) => {
  const told: Notice[] = [];
  let isAway = true;
  const outbox = {
    put: async (notices: readonly Notice[]) => {
      if (isAway) throw new ServiceError('store_unavailable');
      told.push(...notices);
    },
  };
  const fleet = await startGateway(t, { outbox, clock: new FakeClock(nowMs) });
  const ask = askerOf(fleet);
  const other = await stored(fleet);
  const { id } = await stored(fleet, { spec: jobSpec({ webhook: { url, secret: secretOf(24) } }) });
  const silent = await stored(fleet);
  const notTold = await ask('POST', `/jobs/${silent.id}/cancel`);
  assert.deepEqual([notTold.status, notTold.body['status']], [200, 'cancelled']);
  assert.deepEqual((await fleet.records.jobs.get(silent.tenant, silent.id))?.untold, ['job.cancelled']);
  isAway = false;
  const ended = await ask('POST', `/jobs/${id}/cancel`);
  assert.deepEqual([ended.status, ended.body['status'], ended.body['cancelling']], [200, 'cancelled', false]);
  assert.equal((await fleet.records.jobs.get(silent.tenant, id))?.untold, undefined);
  const late = await ask('POST', `/jobs/${id}/cancel`);
  assert.deepEqual([...refusalOf(late), late.body['job_status']], [409, 'job_ended', 'cancelled']);
  assert.deepEqual(
    told.map(({ identity, lane, type }) => [identity, lane, type]),
    [[`${id}/0/job.cancelled/2`, id, 'job.cancelled']],
  );
  const data = JSON.parse(told[0]?.data ?? '') as Record<string, unknown>;
  assert.deepEqual(
    [data['status'], data['webhook'], data['prompt'], 'output_schema' in data],
    ['cancelled', undefined, undefined, false],
  );

  const cancelled = await ask('POST', `/jobs/${other.id}/cancel`);
  assert.deepEqual(
    [cancelled.status, cancelled.body['status'], cancelled.body['ended_at']],
    [200, 'cancelled', at(nowMs)],
  );
  for (const status of ['completed', 'failed'] as const) {
    const ended = await stored(fleet, { status, dueAt: null });
    assert.deepEqual(refusalOf(await ask('POST', `/jobs/${ended.id}/cancel`)), [409, 'job_ended']);
  }
  assert.equal(told.length, 2);
});

test('a job that is cancelled, tried again and cancelled once more is told of twice', async (t) => {
  const told: string[] = [];
  const put = async (notices: readonly Notice[]) => void told.push(...notices.map(({ identity }) => identity));
  const fleet = await startGateway(t, { outbox: { put }, clock: new FakeClock(nowMs) });
  const { id } = await stored(fleet);
  for (const action of ['cancel', 'retry', 'cancel']) await askerOf(fleet)('POST', `/jobs/${id}/${action}`);
  assert.equal(told.length, 2);
  assert.equal(new Set(told).size, 2);
});

test('a job that runs is marked, its turn is ended, and whoever runs jobs is told to look', async (t) => {
  let pokes = 0;
  const fleet = await startGateway(t, { onJobMade: () => void (pokes += 1) });
  const ask = askerOf(fleet);
  const exec = await fleet.post('/api/v1/exec', { prompt: 'hold', session_id: 's', wait_ms: 0 });
  const { session_id, turn_id } = (await exec.json()) as { session_id: string; turn_id: string };
  const running = { ...attempt, sessionId: session_id, turnId: turn_id, endedAt: null, status: null, error: null };
  const { id } = await stored(fleet, { status: 'running', dueAt: null, attempts: [running], attemptCount: 1 });
  const asked = await ask('POST', `/jobs/${id}/cancel`);
  assert.deepEqual([asked.status, asked.body['status'], asked.body['cancelling']], [202, 'running', true]);
  assert.equal((await fleet.records.turns.get('default', turn_id))?.status, 'cancelled');
  // The turn has ended by now, and the record was marked: asked again it is the same.
  const again = await ask('POST', `/jobs/${id}/cancel`);
  assert.deepEqual([again.status, again.body], [202, asked.body]);
  assert.equal(pokes, 2);
});

test('a job that runs is marked though its worker cannot be asked, or nobody knows its turn yet', async (t) => {
  const fleet = await startGateway(t);
  const asked: string[] = [];
  fleet.worker.cancelTurn = ({ turnId }) => {
    asked.push(turnId);
    return Promise.reject(new ServiceError('worker_unreachable'));
  };
  const begun = begunJob(jobRecord({ tenant: 'default' }), attempt.turnId, nowMs);
  const known = [{ ...attempt, endedAt: null, status: null, error: null }];
  for (const attempts of [begun?.attempts ?? [], known]) {
    const { id } = await stored(fleet, { status: 'running', dueAt: null, attempts, attemptCount: 1 });
    const answer = await askerOf(fleet)('POST', `/jobs/${id}/cancel`);
    assert.deepEqual([answer.status, answer.body['cancelling']], [202, true]);
  }
  assert.deepEqual(asked, [attempt.turnId]);
});

test('a job that failed or was cancelled is tried again, no other', async (t) => {
  let pokes = 0;
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs), onJobMade: () => void (pokes += 1) });
  const ask = askerOf(fleet);
  for (const status of ['failed', 'cancelled'] as const) {
    const { id } = await stored(fleet, { status, dueAt: null, attempts: [attempt], attemptCount: 1, endedAt: nowMs });
    const answer = await ask('POST', `/jobs/${id}/retry`);
    assert.deepEqual([answer.status, answer.headers.get('location')], [202, `/api/v1/jobs/${id}`]);
    assert.deepEqual(
      [answer.body['status'], answer.body['next_attempt_at'], answer.body['ended_at']],
      ['queued', at(nowMs), null],
    );
  }
  for (const status of ['queued', 'running', 'completed'] as const) {
    const { id } = await stored(fleet, { status });
    const answer = await ask('POST', `/jobs/${id}/retry`);
    assert.deepEqual([...refusalOf(answer), answer.body['job_status']], [409, 'job_not_retryable', status]);
  }
  assert.equal(pokes, 2);
});

test('a record that changes between looking and writing is looked at again, and not for ever', async (t) => {
  const fleet = await startGateway(t);
  const { jobs } = fleet.records;
  const replace = jobs.replace.bind(jobs);
  let losses = 1;
  jobs.replace = async (next) => (losses-- > 0 ? null : replace(next));
  const { id } = await stored(fleet);
  assert.equal((await askerOf(fleet)('POST', `/jobs/${id}/cancel`)).status, 200);
  losses = 100;
  assert.deepEqual(refusalOf(await askerOf(fleet)('POST', `/jobs/${id}/retry`)), [409, 'store_conflict']);
});

test("a job's own receiver has its deliveries listed", async (t) => {
  const fleet = await startGateway(t);
  const { id } = await stored(fleet);
  const target = { kind: 'job', id } as const;
  const delivery = deliveryRecord({
    tenant: 'default',
    target,
    type: 'job.completed',
    status: 'delivered',
    dueAt: null,
  });
  await fleet.records.deliveries.create(delivery);
  const list = await askerOf(fleet)('GET', `/jobs/${id}/deliveries`);
  const [only] = list.body['data'] as Record<string, unknown>[];
  assert.deepEqual(
    [only?.['id'], only?.['job_id'], only?.['webhook_id'], only?.['status']],
    [delivery.id, id, null, 'delivered'],
  );
  assert.deepEqual(idsOf(await askerOf(fleet)('GET', `/jobs/${id}/deliveries?status=failed`)), []);
});

test("another tenant's jobs are not there, nor those that are nobody's", async (t) => {
  const fleet = await startGateway(t);
  const { id } = await stored(fleet, { status: 'failed', dueAt: null });
  const stranger = askerOf(fleet, 'stranger');
  for (const [method, path] of [
    ['GET', ''],
    ['POST', '/cancel'],
    ['POST', '/retry'],
    ['GET', '/deliveries'],
  ] as const) {
    const answer = await stranger(method, `/jobs/${id}${path}`);
    assert.deepEqual([...refusalOf(answer), answer.body['job_id']], [404, 'job_not_found', id]);
    assert.equal((await askerOf(fleet)(method, `/jobs/019f0000-0000-7000-8000-ffffffffffff${path}`)).status, 404);
    assert.deepEqual(refusalOf(await stranger(method, `/jobs/..%2f${path}`)).slice(0, 1), [400]);
  }
  assert.deepEqual(idsOf(await stranger('GET', '/jobs')), []);
  assert.equal((await fleet.records.jobs.get('default', id))?.status, 'failed');
});

test('what is told of a job has room in an outbox, whatever its answer, errors and metadata are made of', () => {
  const worst = '\u0001'.repeat(512);
  const metadata = Object.fromEntries(Array.from({ length: 64 }, (_, index) => [`${index}`.padStart(64, 'k'), worst]));
  const error = { code: 'turn_failed', message: '\u0001'.repeat(100_000) };
  const attempts = Array.from({ length: 20 }, () => ({ ...attempt, error }));
  for (const character of ['a', '"', 'é', '語', '😀', '\u0000']) {
    const finalMessage = character.repeat(200_000);
    const notice = toJobNotice(
      jobRecord({ status: 'failed', attempts, error, finalMessage, spec: jobSpec({ metadata }) }),
    );
    assert.ok(Buffer.byteLength(JSON.stringify(notice)) < maxNoticeBytes + 1_000, character);
    const { result, truncated } = notice as { result: { stdout: string }; truncated: boolean };
    assert.ok(truncated && result.stdout.isWellFormed() && result.stdout.length > 0);
  }
  const plain = jobRecord({ status: 'completed', attempts: [attempt], finalMessage: 'x'.repeat(maxNoticeCharacters) });
  assert.equal((toJobNotice(plain) as { truncated: boolean }).truncated, false);
  assert.equal((toJobNotice({ ...plain, status: 'queued' }) as { result: unknown }).result, null);
});
