import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { type GatewayFixture, type Json, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const sessions = '/api/v1/sessions';

function call({ url }: GatewayFixture, method: string, path: string, body?: unknown): Promise<Response> {
  const headers = {
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { 'content-type': 'application/json' }),
  };
  return fetch(url + path, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

const policyOf = (session: Json): unknown[] =>
  ['approval_policy', 'approval_timeout_ms', 'on_interrupt', 'on_drain', 'durability', 'snapshot_exclude'].map(
    (name) => session[name],
  );

test('a session is made with the policy that was asked for, and a patch changes what it names and nothing else', async (t) => {
  const fleet = await startGateway(t);
  const wanted = {
    id: 'mine',
    instructions: 'be kind',
    approval_policy: 'untrusted',
    approval_timeout_ms: 60_000,
    on_interrupt: 'continue',
    on_drain: 'fail',
    durability: 'async',
    snapshot_exclude: ['node_modules/', 'target/debug', 'a [b] c'],
  };
  const made = await jsonOf(await fleet.post(sessions, wanted));
  const excluded = ['node_modules', 'target/debug', 'a [b] c'];
  assert.deepEqual(policyOf(made), ['untrusted', 60_000, 'continue', 'fail', 'async', excluded]);

  const patched = await call(fleet, 'PATCH', `${sessions}/mine`, {
    approval_policy: 'on-request',
    snapshot_exclude: [],
  });
  assert.deepEqual(policyOf(await jsonOf(patched)), ['on-request', 60_000, 'continue', 'fail', 'async', []]);
  const record = await fleet.records.sessions.findByAlias('default', 'mine');
  assert.deepEqual(record?.policy, {
    sandbox: 'workspace-write',
    instructions: 'be kind',
    approvals: 'on-request',
    approvalTimeoutMs: 60_000,
    onInterrupt: 'continue',
    onDrain: 'fail',
    durability: 'async',
    snapshotExclude: [],
  });
});

test('a session that exec makes asks nobody', async (t) => {
  const { get, post } = await startGateway(t, { defaultSandbox: 'read-only' });
  await post('/api/v1/exec', { prompt: 'say 1', session_id: 's' });
  const session = await jsonOf(await get(`${sessions}/s`));
  assert.deepEqual(policyOf(session), ['never', 86_400_000, 'fail', 'continue', 'committed', []]);
  assert.equal(session['sandbox'], 'read-only');
});

test('a session says what would be restored', async (t) => {
  const { get, post, records } = await startGateway(t);
  const { id } = await jsonOf(await post(sessions, {}));
  const record = await records.sessions.get('default', String(id));
  assert.ok(record !== null);
  const snapshot = { object: 'o', sha256: 'f', turnId: null, lastSeq: 7, takenAt: 0, rolloutBytes: 3 };
  await records.sessions.replace({ ...record, snapshot });
  assert.deepEqual((await jsonOf(await get(`${sessions}/${String(id)}`)))['snapshot'], {
    turn_id: null,
    last_seq: 7,
    taken_at: '1970-01-01T00:00:00.000Z',
  });
});

test('a session is let rest and woken, not while a turn runs', async (t) => {
  const { post, worker } = await startGateway(t);
  const { id } = await jsonOf(await post(sessions, { id: 's' }));
  const rested = await post(`${sessions}/s/hibernate`);
  const { status, id: restedId } = await jsonOf(rested);
  assert.deepEqual([rested.status, restedId, status], [200, id, 'hibernated']);
  const woken = await post(`${sessions}/s/wake`);
  assert.deepEqual([woken.status, (await jsonOf(woken))['status']], [200, 'idle']);

  await post('/api/v1/exec', { prompt: 'hold', session_id: 's', background: true });
  const busy = await post(`${sessions}/s/hibernate`);
  assert.deepEqual([busy.status, (await jsonOf(busy))['code']], [409, 'session_busy']);
  worker.wakeSession = () => Promise.reject(new ServiceError('queue_full', { waiting: 1, limit: 1 }));
  assert.equal((await post(`${sessions}/s/wake`)).status, 503);
  assert.equal((await post(`${sessions}/none/wake`)).status, 404);
  worker.release(worker.taken[0] ?? '');
});

test('a worker that does not answer in time is said to be late, not waited for', async (t) => {
  const { post, worker } = await startGateway(t, { limits: { workerDeadlineMs: 20 } });
  await post(sessions, { id: 's' });
  worker.wakeSession = worker.hibernateSession = () => new Promise<never>(() => undefined);
  for (const [what, status, code] of [
    ['wake', 503, 'no_worker_ready'],
    ['hibernate', 502, 'worker_lost'],
  ] as const) {
    const answer = await post(`${sessions}/s/${what}`);
    assert.deepEqual([answer.status, (await jsonOf(answer))['code']], [status, code]);
  }
});

test('a session that cannot take turns refuses them, and takes the same ones once it can', async (t) => {
  const { post, worker } = await startGateway(t);
  for (const code of ['session_quarantined', 'session_full'] as const) {
    const body = { prompt: 'say 1', session_id: 's' };
    worker.refuseWith = code;
    const refused = await post('/api/v1/exec', body, { 'idempotency-key': code });
    assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [409, code]);
    worker.refuseWith = null;
    const taken = await post('/api/v1/exec', body, { 'idempotency-key': code });
    assert.deepEqual([taken.status, (await jsonOf(taken))['status']], [200, 'completed']);
  }
});

test('the queue of a session is its open turns, with their positions', async (t) => {
  const { get, post, records, worker } = await startGateway(t);
  await post('/api/v1/exec', { prompt: 'say 1', session_id: 's' });
  const ids: unknown[] = [];
  for (const prompt of ['hold', 'hold', 'say 2']) {
    ids.push((await jsonOf(await post(`${sessions}/s/turns`, { prompt })))['id']);
  }
  const third = await records.turns.get('default', String(ids[2]));
  assert.ok(third !== null);
  await records.turns.replace({ ...third, queuePosition: 2 });
  const list = async (query: string): Promise<Json> => jsonOf(await get(`${sessions}/s/turns?${query}`));
  const idsOf = (page: Json): unknown[] => (page['data'] as Json[]).map(({ id }) => id);

  const open = await list('status=open&order=asc');
  assert.deepEqual(idsOf(open), ids);
  assert.deepEqual(
    (open['data'] as Json[]).map(({ status, queue_position: position }) => [status, position]),
    [
      ['running', null],
      ['queued', null],
      ['queued', 2],
    ],
  );
  assert.deepEqual(idsOf(await list('status=queued')), [ids[2], ids[1]]);
  const first = await list('status=queued&limit=1');
  assert.deepEqual([first['has_more'], idsOf(first)], [true, [ids[2]]]);
  assert.deepEqual(idsOf(await list(`status=queued&limit=1&after=${String(first['last_id'])}`)), [ids[1]]);
  assert.equal((idsOf(await list('status=completed')) as string[]).length, 1);
  for (const turnId of ids.slice(0, 2)) {
    while ((await records.turns.get('default', String(turnId)))?.status !== 'running')
      await new Promise((resolve) => setImmediate(resolve));
    worker.release(String(turnId));
  }
});

test('of a long history a page of one status looks at a part, and says where the next begins', async (t) => {
  const { get, post, records, worker } = await startGateway(t);
  const { turn_id } = await jsonOf(await post('/api/v1/exec', { prompt: 'say 1', session_id: 's' }));
  const turn = await records.turns.get('default', String(turn_id));
  assert.ok(turn !== null);
  for (let index = 1; index <= 1100; index += 1) {
    const id = `019f0000-0000-7000-8000-${String(index).padStart(12, '0')}`;
    await records.turns.create({ ...turn, id, status: 'failed', createdAt: turn.createdAt + index });
  }
  const first = await jsonOf(await get(`${sessions}/s/turns?status=completed`));
  assert.deepEqual([first['data'], first['has_more']], [[], true]);
  const next = await jsonOf(await get(`${sessions}/s/turns?status=completed&after=${String(first['last_id'])}`));
  assert.deepEqual([(next['data'] as Json[]).map(({ id }) => id), next['has_more']], [[turn_id], false]);
  assert.equal(worker.taken.length, 1);
});

test('effort, model and output schema go with the turn and are told of it', async (t) => {
  const { post, records, worker } = await startGateway(t);
  await post(sessions, { id: 's' });
  const output_schema = { type: 'object', properties: { z: { type: 'string' }, a: { type: 'string' } } };
  const body = { prompt: 'say 1', model: 'gpt-5', effort: 'high', output_schema };
  const key = { 'idempotency-key': 'k' };
  const turn = await jsonOf(await post(`${sessions}/s/turns`, body, key));
  assert.deepEqual(
    ['model', 'effort', 'output_schema', 'continues', 'steers'].map((name) => turn[name]),
    ['gpt-5', 'high', output_schema, null, []],
  );
  const record = await records.turns.get('default', String(turn['id']));
  assert.deepEqual([record?.effort, record?.outputSchema], ['high', output_schema]);
  for (const other of [{ effort: 'low' }, { output_schema: { type: 'object' } }, { on_busy: 'reject' }]) {
    const reused = await post(`${sessions}/s/turns`, { ...body, ...other }, key);
    assert.deepEqual([reused.status, (await jsonOf(reused))['code']], [422, 'idempotency_key_reused']);
  }
  await worker.settled();
});
