import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askerOf, idsOf, refusalOf } from '../testing/fleet-asker.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { startGateway } from '../testing/gateway-fixture.ts';
import { jobSpec, scheduleRecord } from '../testing/stored-records.ts';

const nowMs = Date.UTC(2026, 0, 1);
const at = (ms: number): string => new Date(ms).toISOString();
const url = 'https://example.com/hook';
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
const nightly = { cron: '0 3 * * *', job: { prompt: 'x' } };

test('a schedule is made, looked at, changed, paused and removed; its secret is shown to who gave it, once', async (t) => {
  const clock = new FakeClock(nowMs);
  const fleet = await startGateway(t, { clock });
  const ask = askerOf(fleet);
  const made = await ask('POST', '/schedules', {
    title: 'Nightly',
    cron: '30 3 * * *',
    time_zone: 'Europe/Berlin',
    overlap: 'allow',
    missed: 'skip',
    job: { prompt: 'x', session_id: 's', timeout_ms: 60_000, webhook: { url, secret } },
  });
  const id = String(made.body['id']);
  const schedule = {
    id,
    object: 'schedule',
    title: 'Nightly',
    cron: '30 3 * * *',
    time_zone: 'Europe/Berlin',
    overlap: 'allow',
    missed: 'skip',
    paused: false,
    job: {
      session_id: 's',
      prompt: 'x',
      model: null,
      effort: null,
      output_schema: null,
      timeout_ms: 60_000,
      queue_timeout_ms: 300_000,
      retry: { max_attempts: 1, first_delay_ms: 10_000, longest_delay_ms: 600_000 },
      metadata: {},
      webhook: { url },
    },
    next_run_at: '2026-01-01T02:30:00.000Z',
    last_run_at: null,
    last_job_id: null,
    created_by: 'tester',
    created_at: at(nowMs),
  };
  assert.deepEqual([made.status, made.headers.get('location')], [201, `/api/v1/schedules/${id}`]);
  assert.deepEqual(made.body, { ...schedule, job: { ...schedule.job, webhook: { url, secret } } });
  assert.deepEqual((await ask('GET', `/schedules/${id}`)).body, schedule);
  assert.deepEqual((await ask('GET', '/schedules')).body['data'], [schedule]);

  clock.setWallTime(nowMs + 3 * 3_600_000);
  const patch = async (body: object): Promise<unknown> => (await ask('PATCH', `/schedules/${id}`, body)).body;
  // It is due, and nobody has made its job yet: that is not missed because somebody gives it a title.
  assert.deepEqual(await patch({ title: null }), { ...schedule, title: null });
  const moved = {
    ...schedule,
    title: null,
    cron: '0 * * * *',
    time_zone: 'UTC',
    next_run_at: '2026-01-01T04:00:00.000Z',
  };
  assert.deepEqual(await patch({ cron: '0 * * * *', time_zone: 'UTC' }), moved);
  assert.deepEqual(await patch({ paused: true, overlap: 'skip' }), {
    ...moved,
    paused: true,
    overlap: 'skip',
    next_run_at: null,
  });
  assert.deepEqual(await patch({ paused: false, missed: 'run_once' }), {
    ...moved,
    overlap: 'skip',
    missed: 'run_once',
  });
  assert.deepEqual(await patch({}), { ...moved, overlap: 'skip', missed: 'run_once' });

  const gone = await ask('DELETE', `/schedules/${id}`);
  assert.deepEqual([gone.status, gone.body], [200, { id, object: 'schedule', deleted: true }]);
  assert.deepEqual(refusalOf(await ask('GET', `/schedules/${id}`)), [404, 'schedule_not_found']);
});

test('the job of a schedule is replaced whole; a receiver that stays keeps its secret, another brings one', async (t) => {
  const ask = askerOf(await startGateway(t));
  const made = await ask('POST', '/schedules', {
    ...nightly,
    job: { prompt: 'x', model: 'm', webhook: { url, secret } },
  });
  const path = `/schedules/${String(made.body['id'])}`;
  const jobAfter = async (job: object): Promise<Record<string, unknown>> =>
    (await ask('PATCH', path, { job })).body['job'] as Record<string, unknown>;
  const kept = await jobAfter({ prompt: 'y', webhook: { url } });
  assert.deepEqual([kept['prompt'], kept['model'], kept['webhook']], ['y', null, { url }]);
  const moved = (await jobAfter({ prompt: 'y', webhook: { url: `${url}/2` } }))['webhook'] as Record<string, string>;
  assert.match(moved['secret'] ?? '', /^whsec_/);
  assert.notEqual(moved['secret'], secret);
  assert.deepEqual((await jobAfter({ prompt: 'y', webhook: { url: `${url}/2`, secret } }))['webhook'], {
    url: `${url}/2`,
    secret,
  });
  assert.equal((await jobAfter({ prompt: 'y' }))['webhook'], null);
  assert.doesNotMatch(JSON.stringify((await ask('GET', path)).body), /whsec_/);
});

test('a job can be made of a schedule by hand, paused or not, once per key; the schedule stays as it is', async (t) => {
  let pokes = 0;
  const fleet = await startGateway(t, { clock: new FakeClock(nowMs), onJobMade: () => void (pokes += 1) });
  const ask = askerOf(fleet);
  const made = await ask('POST', '/schedules', { ...nightly, paused: true, job: { prompt: 'x', webhook: { url } } });
  const path = `/schedules/${String(made.body['id'])}`;
  assert.equal(made.body['next_run_at'], null);
  const key = { 'idempotency-key': 'k' };
  const run = await ask('POST', `${path}/run`, undefined, key);
  const { id, schedule_id, source, status, next_attempt_at, webhook } = run.body;
  assert.deepEqual([run.status, run.headers.get('location')], [202, `/api/v1/jobs/${String(id)}`]);
  assert.deepEqual(
    [schedule_id, source, status, next_attempt_at, webhook],
    [made.body['id'], 'schedule', 'queued', at(nowMs), { url }],
  );
  await ask('PATCH', path, { job: { prompt: 'another' } });
  assert.equal((await ask('POST', `${path}/run`, undefined, key)).body['id'], id);
  assert.notEqual((await ask('POST', `${path}/run`)).body['id'], id);
  assert.equal(pokes, 2);
  assert.deepEqual(idsOf(await ask('GET', `/jobs?schedule_id=${String(made.body['id'])}`)).length, 2);
  const { last_job_id, last_run_at } = (await ask('GET', path)).body;
  assert.deepEqual([last_job_id, last_run_at], [null, null]);
});

const refused: readonly { readonly body: object; readonly fields: readonly string[] }[] = [
  { body: {}, fields: ['cron', 'job'] },
  { body: { ...nightly, cron: '* * * *' }, fields: ['cron'] },
  { body: { ...nightly, cron: '0 * * * * *' }, fields: ['cron'] },
  { body: { ...nightly, cron: '@daily' }, fields: ['cron'] },
  { body: { ...nightly, cron: '2026-12-01T00:00:00Z' }, fields: ['cron'] },
  { body: { ...nightly, cron: '60 * * * *' }, fields: ['cron'] },
  { body: { ...nightly, cron: '0 0 30 2 *' }, fields: ['cron'] },
  { body: { ...nightly, cron: '0 0 30 2 *', paused: true }, fields: ['cron'] },
  { body: { ...nightly, cron: `${'1,'.repeat(200)}1 * * * *` }, fields: ['cron'] },
  { body: { ...nightly, cron: '\ud800 * * * *' }, fields: ['cron'] },
  { body: { ...nightly, cron: 5 }, fields: ['cron'] },
  { body: { ...nightly, time_zone: 'Nowhere/Land' }, fields: ['time_zone'] },
  { body: { ...nightly, time_zone: '+02:00' }, fields: ['time_zone'] },
  { body: { ...nightly, time_zone: 'x', cron: 'x' }, fields: ['time_zone', 'cron'] },
  { body: { ...nightly, overlap: 'maybe' }, fields: ['overlap'] },
  { body: { ...nightly, timezone: 'UTC' }, fields: ['timezone'] },
  { body: { ...nightly, job: { prompt: 'x', run_at: at(nowMs) } }, fields: ['job.run_at'] },
  { body: { ...nightly, job: { prompt: 'x', webhook: { url: 'https://10.0.0.1/' } } }, fields: ['job.webhook.url'] },
  { body: { ...nightly, job: { prompt: 'x', timeout_ms: 5_001 } }, fields: ['job.timeout_ms'] },
  { body: { ...nightly, job: { prompt: 'x'.repeat(101) } }, fields: ['job.prompt'] },
];

test('what is no schedule is refused by the name of its field, whether it is to be made or changed', async (t) => {
  const limits = { maxPromptCodePoints: 100, maxTimeoutMs: 5_000, defaultTimeoutMs: 1_000 };
  const fleet = await startGateway(t, { limits });
  const ask = askerOf(fleet);
  const { body: made } = await ask('POST', '/schedules', nightly);
  for (const { body, fields } of refused) {
    const answer = await ask('POST', '/schedules', body);
    assert.deepEqual(refusalOf(answer), [400, 'invalid_request', ...fields], JSON.stringify(body).slice(0, 200));
    if (fields.length > 1 || 'paused' in body) continue;
    assert.deepEqual(
      refusalOf(await ask('PATCH', `/schedules/${String(made['id'])}`, body)).slice(1),
      refusalOf(answer).slice(1),
    );
  }
  assert.deepEqual((await ask('GET', '/schedules')).body['data'], [made]);
  const typo = await ask('POST', '/schedules', { ...nightly, timezone: 'UTC' });
  assert.equal((typo.body['errors'] as { did_you_mean: string }[])[0]?.did_you_mean, 'time_zone');
});

test('a tenant has as many schedules as it may have, however many are made at once; removing one makes room', async (t) => {
  const fleet = await startGateway(t, { limits: { maxSchedules: 2 } });
  const ask = askerOf(fleet);
  const answers = await Promise.all(Array.from({ length: 6 }, () => ask('POST', '/schedules', nightly)));
  const refusals = answers.filter(({ status }) => status !== 201);
  assert.equal(refusals.length, 4);
  for (const refusal of refusals)
    assert.deepEqual([...refusalOf(refusal), refusal.body['limit']], [409, 'limit_reached', 2]);
  assert.equal((await askerOf(fleet, 'stranger')('POST', '/schedules', nightly)).status, 201);
  await ask('DELETE', `/schedules/${String(answers.find(({ status }) => status === 201)?.body['id'])}`);
  assert.equal((await ask('POST', '/schedules', nightly)).status, 201);
  const none = askerOf(await startGateway(t, { limits: { maxSchedules: 0 } }));
  assert.deepEqual(refusalOf(await none('POST', '/schedules', nightly)), [409, 'limit_reached']);
});

test('a run by hand keeps to what jobs keep to', async (t) => {
  let isLow = false;
  const fleet = await startGateway(t, { limits: { maxOpenJobs: 1 }, isStorageLow: () => isLow });
  const ask = askerOf(fleet);
  const { body } = await ask('POST', '/schedules', nightly);
  const path = `/schedules/${String(body['id'])}/run`;
  assert.equal((await ask('POST', path)).status, 202);
  assert.deepEqual(refusalOf(await ask('POST', path)), [429, 'too_many_jobs']);
  isLow = true;
  assert.equal((await ask('POST', path)).body['code'], 'storage_full');
  assert.equal((await ask('POST', '/schedules', nightly)).body['code'], 'storage_full');
  isLow = false;
  fleet.gateway.beginDraining();
  assert.deepEqual(refusalOf(await ask('POST', path)), [503, 'draining']);
});

test("another tenant's schedules are not there", async (t) => {
  const fleet = await startGateway(t);
  const { body } = await askerOf(fleet)('POST', '/schedules', nightly);
  const stranger = askerOf(fleet, 'stranger');
  for (const [method, path, patch] of [
    ['GET', '', undefined],
    ['PATCH', '', { paused: true }],
    ['DELETE', '', undefined],
    ['POST', '/run', undefined],
  ] as const) {
    const answer = await stranger(method, `/schedules/${String(body['id'])}${path}`, patch);
    assert.deepEqual(refusalOf(answer), [404, 'schedule_not_found']);
  }
  assert.deepEqual(idsOf(await stranger('GET', '/schedules')), []);
  assert.deepEqual((await askerOf(fleet)('GET', `/schedules/${String(body['id'])}`)).body, body);
  assert.deepEqual(refusalOf(await stranger('GET', '/schedules/mine')), [400, 'invalid_request', 'schedule_id']);
});

test('schedules come in pages that meet, by number and by size', async (t) => {
  const fleet = await startGateway(t);
  const spec = jobSpec({ prompt: 'x'.repeat(1_048_576) });
  for (let index = 0; index < 9; index += 1) {
    const id = `019f0000-0000-7000-8000-00000000000${index}`;
    await fleet.records.schedules.create(scheduleRecord({ tenant: 'default', id, spec, createdAt: nowMs + index }));
  }
  const first = await askerOf(fleet)('GET', '/schedules?order=asc');
  assert.deepEqual([idsOf(first).length, first.body['has_more']], [7, true]);
  const rest = await askerOf(fleet)('GET', `/schedules?order=asc&after=${String(first.body['last_id'])}`);
  assert.deepEqual([idsOf(rest).length, rest.body['has_more']], [2, false]);
});

test('a schedule that is written by who makes its jobs is changed all the same, and not for ever', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const { body } = await ask('POST', '/schedules', nightly);
  const { schedules } = fleet.records;
  const replace = schedules.replace.bind(schedules);
  let losses = 1;
  schedules.replace = async (next) => (losses-- > 0 ? null : replace(next));
  assert.equal((await ask('PATCH', `/schedules/${String(body['id'])}`, { paused: true })).body['paused'], true);
  losses = 100;
  assert.deepEqual(refusalOf(await ask('PATCH', `/schedules/${String(body['id'])}`, {})), [409, 'store_conflict']);
});
