import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Json, jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';

const sessions = '/api/v1/sessions';

test('a session is made, looked at, changed and erased, by id or by name', async (t) => {
  const { url, post, get } = await startGateway(t);
  const change = (path: string, method: string, body?: Json): Promise<Response> =>
    fetch(url + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });

  const wanted = { id: 'mine', title: 'First', metadata: { a: '1', b: '2' }, model: 'gpt-5', sandbox: 'read-only' };
  const made = await post(sessions, wanted);
  assert.equal(made.status, 201);
  const session = await jsonOf(made);
  assert.equal(made.headers.get('location'), `${sessions}/${String(session['id'])}`);
  const { id, created_at, last_accessed_at, ...rest } = session;
  assert.match(String(created_at), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.equal(last_accessed_at, created_at);
  assert.deepEqual(rest, {
    object: 'session',
    alias: 'mine',
    title: 'First',
    status: 'idle',
    metadata: { a: '1', b: '2' },
    created_by: 'tester',
    model: 'gpt-5',
    worker: null,
    slot: null,
    epoch: 1,
    sandbox: 'read-only',
    approval_policy: 'never',
    approval_timeout_ms: 86_400_000,
    on_interrupt: 'fail',
    on_drain: 'continue',
    durability: 'committed',
    snapshot_exclude: [],
    snapshot: null,
    usage: { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_output_tokens: 0, cost_usd: null },
  });
  assert.deepEqual(await jsonOf(await get(`${sessions}/${String(id)}`)), session);
  const again = await post(sessions, wanted);
  assert.deepEqual([again.status, (await jsonOf(again))['code']], [409, 'session_exists']);

  const patched = await jsonOf(
    await change(`${sessions}/mine`, 'PATCH', { title: null, metadata: { a: null, c: '3' } }),
  );
  assert.deepEqual([patched['title'], patched['metadata'], patched['model']], [null, { b: '2', c: '3' }, 'gpt-5']);

  await post('/api/v1/exec', { prompt: 'say 1', session_id: 'mine' });
  const erased = await change(`${sessions}/mine`, 'DELETE');
  assert.deepEqual(await jsonOf(erased), { id, object: 'session', deleted: true });
  for (const ref of ['mine', String(id)]) assert.equal((await get(`${sessions}/${ref}`)).status, 404);
  assert.equal((await post(sessions, { id: 'mine' })).status, 201);
});

test('a session needs nothing to be made, not even a body', async (t) => {
  const { post } = await startGateway(t);
  assert.equal((await post(sessions)).status, 201);
  assert.equal((await post(sessions, {})).status, 201);
});

test('a session is erased on the worker again when nobody can find it any longer', async (t) => {
  const { url, post, worker, records } = await startGateway(t);
  const { id } = await jsonOf(await post(sessions, {}));
  const couldBeFound: boolean[] = [];
  worker.eraseSession = async ({ tenant, sessionId }) => {
    couldBeFound.push((await records.sessions.get(tenant, sessionId)) !== null);
  };
  await fetch(`${url}${sessions}/${String(id)}`, { method: 'DELETE', headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(couldBeFound, [true, false]);
});

test('lists come in pages that meet and do not overlap, either way', async (t) => {
  const { post, get } = await startGateway(t);
  const ids: unknown[] = [];
  for (let index = 0; index < 7; index += 1) ids.push((await jsonOf(await post(sessions, {})))['id']);
  for (const order of ['asc', 'desc']) {
    const seen: unknown[] = [];
    let after = '';
    for (let hasMore = true; hasMore; ) {
      const page = await jsonOf(await get(`${sessions}?order=${order}&limit=3${after}`));
      seen.push(...(page['data'] as Json[]).map((session) => session['id']));
      after = `&after=${String(page['last_id'])}`;
      hasMore = page['has_more'] === true;
    }
    assert.deepEqual(seen, order === 'asc' ? ids : ids.toReversed());
  }
});

test('a command runs in the workspace of the session: as words, or as a line for the shell', async (t) => {
  const { post, worker } = await startGateway(t);
  await post(sessions, { id: 's' });
  const answer = await post(`${sessions}/s/commands`, { command: ['ls', '-l'], timeout_ms: 5 });
  assert.equal(answer.status, 200);
  const { session_id, ...result } = await jsonOf(answer);
  assert.equal(typeof session_id, 'string');
  assert.deepEqual(result, { exit_code: 0, stdout: 'ls -l', stderr: '', execution_time_ms: 1 });
  await post(`${sessions}/s/commands`, { command: 'ls | wc' });
  assert.deepEqual(
    worker.commands.map(({ command, timeoutMs }) => [command, timeoutMs]),
    [
      [['ls', '-l'], 5],
      [['/bin/sh', '-c', 'ls | wc'], 60_000],
    ],
  );
  for (const command of ['', [], ['a\0b'], 7]) {
    assert.equal((await post(`${sessions}/s/commands`, { command })).status, 400);
  }
});

test('a turn that is started answers 202 with the turn', async (t) => {
  const { post, get, worker } = await startGateway(t);
  await post(sessions, { id: 's' });
  const started = await post(`${sessions}/s/turns`, { prompt: 'say 1', timeout_ms: 1234 });
  assert.equal(started.status, 202);
  const turn = await jsonOf(started);
  assert.deepEqual(
    [turn['object'], turn['status'], turn['timeout_ms'], turn['queue_timeout_ms']],
    ['turn', 'queued', 1234, 300_000],
  );
  await worker.settled();
  assert.equal((await jsonOf(await get(started.headers.get('location') ?? '')))['status'], 'completed');
});

test('workers and models are told of', async (t) => {
  const { get } = await startGateway(t, {
    models: async () => ({ provider: 'demo', baseUrl: null, models: [{ id: 'demo', isDefault: true }] }),
  });
  const workers = (await jsonOf(await get('/api/v1/workers')))['data'] as Json[];
  assert.deepEqual(
    workers.map(({ id, status, busy_sessions }) => [id, status, busy_sessions]),
    [['worker-0', 'ready', 0]],
  );
  const models = (await jsonOf(await get('/api/v1/models')))['data'];
  assert.deepEqual(models, [{ id: 'demo', object: 'model', provider: 'demo', is_default: true }]);
});
