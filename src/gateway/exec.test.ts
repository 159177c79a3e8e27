import assert from 'node:assert/strict';
import { test } from 'node:test';
import { endedTurn } from '../core/turn.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type Json, jsonOf, readEvents, startGateway } from '../testing/gateway-fixture.ts';

test('exec answers with how the turn ended', async (t) => {
  const { post, get } = await startGateway(t);
  const response = await post('/api/v1/exec', { prompt: 'say 2' }, { 'x-request-id': 'req-1' });
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('x-request-id'), 'req-1');
  const { session_id, turn_id, execution_time_ms, ...rest } = await jsonOf(response);
  assert.match(String(session_id), /^[0-9a-f-]{36}$/);
  assert.equal(typeof execution_time_ms, 'number');
  assert.deepEqual(rest, {
    status: 'completed',
    exit_code: 0,
    stdout: 'answer to say 2',
    stderr: '',
    usage: { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0, reasoning_output_tokens: 0, cost_usd: null },
    error: null,
  });
  const turn = await jsonOf(await get(`/api/v1/sessions/${String(session_id)}/turns/${String(turn_id)}`));
  assert.equal(turn['status'], 'completed');
  assert.equal(turn['prompt'], 'say 2');
});

test('a failed turn is a 200 whose body says so', async (t) => {
  const { post } = await startGateway(t);
  const response = await post('/api/v1/exec', { prompt: 'fail' });
  assert.equal(response.status, 200);
  const body = await jsonOf(response);
  assert.deepEqual(
    [body['status'], body['exit_code'], body['stderr'], body['error']],
    ['failed', 1, 'it was failed', { code: 'turn_failed', message: 'it was failed' }],
  );
});

test('a session goes on under the name that the client chose, a UUID included', async (t) => {
  const { post, get } = await startGateway(t);
  for (const name of ['my-session', '11111111-2222-4333-8444-555555555555']) {
    const first = await jsonOf(await post('/api/v1/exec', { prompt: 'say 1', session_id: name }));
    const second = await jsonOf(await post('/api/v1/exec', { prompt: 'say 2', session_id: name }));
    assert.equal(second['session_id'], first['session_id']);
    const session = await jsonOf(await get(`/api/v1/sessions/${name}`));
    assert.deepEqual([session['id'], session['alias'], session['created_by']], [first['session_id'], name, 'tester']);
    const turns = await jsonOf(await get(`/api/v1/sessions/${name}/turns?order=asc`));
    assert.deepEqual(
      (turns['data'] as Json[]).map((turn) => turn['prompt']),
      ['say 1', 'say 2'],
    );
  }
});

test('a turn that outlasts wait_ms answers 202 with its place and goes on', async (t) => {
  const { post, get, worker } = await startGateway(t);
  const response = await post('/api/v1/exec', { prompt: 'hold', wait_ms: 30 });
  assert.equal(response.status, 202);
  const body = await jsonOf(response);
  assert.equal(body['status'], 'running');
  assert.equal(body['exit_code'], null);
  worker.release(String(body['turn_id']));
  await worker.settled();
  const turn = await jsonOf(await get(response.headers.get('location') ?? ''));
  assert.equal(turn['status'], 'completed');
});

test('background answers at once', async (t) => {
  const { post, worker } = await startGateway(t);
  const response = await post('/api/v1/exec', { prompt: 'hold', background: true });
  assert.equal(response.status, 202);
  const { turn_id } = await jsonOf(response);
  assert.deepEqual(worker.taken, [turn_id]);
  worker.release(String(turn_id));
});

test('a client that goes away leaves its turn running', async (t) => {
  const { url, worker, records } = await startGateway(t);
  const leave = new AbortController();
  const asked = fetch(`${url}/api/v1/exec`, {
    method: 'POST',
    signal: leave.signal,
    headers: { authorization: 'Bearer fixture-token', 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'hold', stream: true }),
  });
  const response = await asked;
  const turnId = response.headers.get('x-turn-id') ?? '';
  leave.abort();
  worker.release(turnId);
  await worker.settled();
  assert.equal((await records.turns.get('default', turnId))?.status, 'completed');
});

test('a refusal makes no turn that lies: 503 with Retry-After, and the record is settled', async (t) => {
  const { post, worker, records } = await startGateway(t);
  worker.refuseWith = 'queue_full';
  const key = { 'idempotency-key': 'k1' };
  const refused = await post('/api/v1/exec', { prompt: 'say 1', session_id: 's' }, key);
  assert.equal(refused.status, 503);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  const problem = await jsonOf(refused);
  assert.deepEqual([problem['code'], problem['retry']], ['queue_full', 'after']);
  const session = await records.sessions.findByAlias('default', 's');
  const page = await records.turns.list('default', session?.id ?? '', { after: null, limit: 10, order: 'asc' });
  assert.deepEqual(
    page.data.map((turn) => [turn.status, turn.error?.code]),
    [['failed', 'queue_full']],
  );
  // The client does what it was told and tries again, under the same key.
  worker.refuseWith = null;
  const again = await post('/api/v1/exec', { prompt: 'say 1', session_id: 's' }, key);
  assert.equal(again.status, 200);
  assert.equal((await jsonOf(again))['status'], 'completed');
});

test('twenty posts at once with one Idempotency-Key are one turn of one session', async (t) => {
  const { post, worker } = await startGateway(t);
  const headers = { 'idempotency-key': 'once' };
  const answers = await Promise.all(
    Array.from({ length: 20 }, async () => jsonOf(await post('/api/v1/exec', { prompt: 'say 20' }, headers))),
  );
  assert.equal(new Set(answers.map((answer) => answer['turn_id'])).size, 1);
  assert.equal(new Set(answers.map((answer) => answer['session_id'])).size, 1);
  assert.deepEqual(new Set(answers.map((answer) => answer['status'])), new Set(['completed']));
  assert.equal(worker.taken.length, 1);
  // Another way of delivery is the same request; another prompt is not.
  const streamed = await readEvents(await post('/api/v1/exec', { prompt: 'say 20', stream: true }, headers));
  assert.equal(streamed.at(-1)?.event, 'turn.completed');
  assert.equal(streamed.filter((event) => event.event === 'item.delta').length, 20);
  const other = await post('/api/v1/exec', { prompt: 'say 21' }, headers);
  assert.equal(other.status, 422);
  assert.equal((await jsonOf(other))['code'], 'idempotency_key_reused');
  assert.equal(worker.taken.length, 1);
});

test('cancel ends a turn as cancelled, once', async (t) => {
  const { post } = await startGateway(t);
  const started = await jsonOf(await post('/api/v1/exec', { prompt: 'hold', session_id: 'c', background: true }));
  const path = `/api/v1/sessions/c/turns/${String(started['turn_id'])}/cancel`;
  const cancelled = await post(path);
  assert.equal(cancelled.status, 200);
  const turn = await jsonOf(cancelled);
  assert.deepEqual([turn['status'], turn['exit_code']], ['cancelled', 130]);
  const again = await post(path);
  assert.equal(again.status, 409);
  assert.equal((await jsonOf(again))['code'], 'turn_ended');
});

test('a turn whose last event was lost is answered from its record, a heartbeat later', async (t) => {
  const clock = new FakeClock();
  const { post, worker, records } = await startGateway(t, { clock });
  const asked = post('/api/v1/exec', { prompt: 'hold' });
  const streamed = await post('/api/v1/exec', { prompt: 'hold', stream: true });
  while (worker.taken.length < 2) await new Promise((resolve) => setImmediate(resolve));
  for (const id of worker.taken) {
    const turn = await records.turns.get('default', id);
    assert.ok(turn !== null);
    const outcome = {
      status: 'interrupted',
      reason: 'worker_lost',
      finalMessage: '',
      error: null,
      usage: turn.usage,
    } as const;
    await records.turns.replace(endedTurn(turn, outcome, clock.now()) ?? turn);
  }
  const tick = setInterval(() => clock.advance(15_000), 5);
  t.after(() => clearInterval(tick));
  assert.equal((await jsonOf(await asked))['status'], 'interrupted');
  assert.equal((await readEvents(streamed)).at(-1)?.event, 'turn.started');
});
