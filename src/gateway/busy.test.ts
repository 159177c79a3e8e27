import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { type GatewayFixture, type Json, jsonOf, readEvents, startGateway } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';
const turnsOf = (fleet: GatewayFixture, session: string): Promise<Json[]> =>
  fleet
    .get(`/api/v1/sessions/${session}/turns?order=asc`)
    .then(async (answer) => (await jsonOf(answer))['data'] as Json[]);

/** A session with a turn that runs until it is released. */
async function busyFleet(
  t: Parameters<typeof startGateway>[0],
): Promise<GatewayFixture & { readonly running: string }> {
  const fleet = await startGateway(t);
  const { turn_id } = await jsonOf(await fleet.post(exec, { prompt: 'hold', session_id: 's', background: true }));
  const running = String(turn_id);
  await until(async () => (await fleet.records.turns.get('default', running))?.status === 'running');
  t.after(() => fleet.worker.release(running));
  return { ...fleet, running };
}

async function until(isTrue: () => Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await new Promise((resolve) => setImmediate(resolve));
}

test('with reject, a prompt for a busy session is refused through each door and nothing is made', async (t) => {
  const fleet = await busyFleet(t);
  const { post, running } = fleet;
  for (const path of [exec, '/api/v1/sessions/s/turns']) {
    const body = { prompt: 'x', on_busy: 'reject', ...(path === exec ? { session_id: 's' } : {}) };
    const refused = await post(path, body);
    assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [409, 'session_busy']);
  }
  assert.deepEqual(
    (await turnsOf(fleet, 's')).map(({ id }) => id),
    [running],
  );
});

test('with reject, a turn that only waits makes the session busy too', async (t) => {
  const { post, worker, running } = await busyFleet(t);
  const queued = await jsonOf(await post('/api/v1/sessions/s/turns', { prompt: 'hold' }));
  worker.release(running);
  assert.equal((await post(exec, { prompt: 'x', session_id: 's', on_busy: 'reject' })).status, 409);
  await until(async () => {
    worker.release(String(queued['id']));
    return (await post(exec, { prompt: 'say 1', session_id: 's', on_busy: 'reject' })).status === 200;
  });
});

test('of many rejecting prompts at once for an idle session exactly one is taken', async (t) => {
  const { post, worker } = await startGateway(t);
  await post('/api/v1/sessions', { id: 's' });
  const body = { prompt: 'hold', session_id: 's', on_busy: 'reject', background: true };
  const statuses = await Promise.all(Array.from({ length: 20 }, async () => (await post(exec, body)).status));
  assert.deepEqual(
    [202, 409].map((wanted) => statuses.filter((status) => status === wanted).length),
    [1, 19],
  );
  assert.equal(worker.taken.length, 1);
  worker.release(worker.taken[0] ?? '');
});

test('a rejected prompt may come again under its key, and a taken one is found under it', async (t) => {
  const { post, worker, running } = await busyFleet(t);
  const body = { prompt: 'hold', session_id: 's', on_busy: 'reject', background: true };
  const key = { 'idempotency-key': 'k' };
  assert.equal((await post(exec, body, key)).status, 409);
  worker.release(running);
  await worker.settled();
  const taken = await jsonOf(await post(exec, body, key));
  assert.equal((await jsonOf(await post(exec, body, key)))['turn_id'], taken['turn_id']);
  assert.deepEqual(worker.taken, [running, taken['turn_id']]);
  worker.release(String(taken['turn_id']));
});

test('with steer, the prompt goes to the turn that runs and the answer is about that turn', async (t) => {
  const fleet = await busyFleet(t);
  const { post, worker, running } = fleet;
  const streamed = await post(exec, { prompt: 'mind the gap', session_id: 's', on_busy: 'steer', stream: true });
  assert.equal(streamed.headers.get('x-turn-id'), running);
  const waited = post(exec, { prompt: 'and the door', session_id: 's', on_busy: 'steer' });
  const started = await post('/api/v1/sessions/s/turns', { prompt: 'say when', on_busy: 'steer' });
  assert.deepEqual([started.status, (await jsonOf(started))['id']], [202, running]);
  await until(async () => worker.steered.length === 3);
  worker.release(running);
  assert.deepEqual(
    (await readEvents(streamed)).map(({ event }) => event),
    ['session.created', 'turn.started', 'item.completed', 'turn.completed'].slice(1),
  );
  assert.equal((await jsonOf(await waited))['turn_id'], running);
  const turns = await turnsOf(fleet, 's');
  assert.deepEqual(
    turns.map(({ id, steers }) => [id, new Set((steers as Json[]).map(({ prompt }) => prompt))]),
    [[running, new Set(['and the door', 'mind the gap', 'say when'])]],
  );
});

test('with steer, a prompt for which nothing runs is queued as any other', async (t) => {
  const fleet = await startGateway(t);
  const { post, worker } = fleet;
  const body = { prompt: 'say 1', session_id: 's', on_busy: 'steer' };
  // A session that is new, one that is idle, one whose turn ends while we ask.
  assert.equal((await post(exec, body)).status, 200);
  assert.equal((await post(exec, body)).status, 200);
  await post(exec, { prompt: 'hold', session_id: 's', background: true });
  worker.steerTurn = async () => {
    worker.release(worker.taken[2] ?? '');
    throw new ServiceError('turn_not_running');
  };
  assert.equal((await jsonOf(await post(exec, body)))['stdout'], 'answer to say 1');
  assert.deepEqual(
    (await turnsOf(fleet, 's')).map(({ prompt, status }) => [prompt, status]),
    [
      ['say 1', 'completed'],
      ['say 1', 'completed'],
      ['hold', 'completed'],
      ['say 1', 'completed'],
    ],
  );
});

test('a steer under a key is given once, by however many at once, and found again when the turn has ended', async (t) => {
  const fleet = await busyFleet(t);
  const { post, worker, running } = fleet;
  const body = { prompt: 'mind the gap', session_id: 's', on_busy: 'steer', background: true };
  const key = { 'idempotency-key': 'k' };
  const answers = await Promise.all(Array.from({ length: 20 }, async () => jsonOf(await post(exec, body, key))));
  assert.deepEqual(new Set(answers.map(({ turn_id }) => turn_id)), new Set([running]));
  worker.release(running);
  await worker.settled();
  // More than one page of turns later.
  for (let index = 0; index < 25; index += 1) await post(exec, { prompt: 'say 1', session_id: 's' });
  const again = await post(exec, body, key);
  assert.deepEqual([again.status, (await jsonOf(again))['turn_id']], [200, running]);
  const other = await post(exec, { ...body, prompt: 'another' }, key);
  assert.deepEqual([other.status, (await jsonOf(other))['code']], [422, 'idempotency_key_reused']);
  assert.deepEqual(
    worker.steered.map(({ text, turnId }) => [text, turnId]),
    [['mind the gap', running]],
  );
  assert.equal((await turnsOf(fleet, 's')).length, 20);
});

test('a steer under a key that was queued stays the turn that it became', async (t) => {
  const { post, worker, records } = await startGateway(t);
  const body = { prompt: 'say 1', session_id: 's', on_busy: 'steer' };
  const key = { 'idempotency-key': 'k' };
  const first = await jsonOf(await post(exec, body, key));
  await post(exec, { prompt: 'hold', session_id: 's', background: true });
  const running = worker.taken[1] ?? '';
  await until(async () => (await records.turns.get('default', running))?.status === 'running');
  assert.equal((await jsonOf(await post(exec, body, key)))['turn_id'], first['turn_id']);
  assert.equal((await post(exec, { ...body, prompt: 'say 2' }, key)).status, 422);
  assert.deepEqual(worker.steered, []);
  worker.release(running);
});

test('a steer under a key is not given again to the next turn when its own ended as it arrived', async (t) => {
  const { post, worker, records, running } = await busyFleet(t);
  const { id: next } = await jsonOf(await post('/api/v1/sessions/s/turns', { prompt: 'hold' }));
  const steerTurn = worker.steerTurn.bind(worker);
  let calls = 0;
  // The first answer is lost; by the time of the second the turn has ended with the text in it.
  worker.steerTurn = async (key, steerId, text) => {
    calls += 1;
    await steerTurn(key, steerId, text);
    if (calls > 1) return;
    worker.release(running);
    await until(async () => (await records.turns.get('default', String(next)))?.status === 'running');
    throw new ServiceError('turn_not_running');
  };
  const body = { prompt: 'mind the gap', session_id: 's', on_busy: 'steer', background: true };
  const answer = await jsonOf(await post(exec, body, { 'idempotency-key': 'k' }));
  assert.deepEqual([answer['turn_id'], calls, worker.steered.length], [running, 1, 1]);
  worker.release(String(next));
});

test('a repeat that comes while its steer is being queued is not given to the turn that runs', async (t) => {
  const { post, worker, records, running } = await busyFleet(t);
  const body = { prompt: 'say 1', session_id: 's', on_busy: 'steer', background: true };
  const key = { 'idempotency-key': 'k' };
  const steerTurn = worker.steerTurn.bind(worker);
  let calls = 0;
  worker.steerTurn = async (...asked) => {
    calls += 1;
    if (calls <= 3) throw new ServiceError('turn_not_running');
    await steerTurn(...asked);
  };
  const create = records.turns.create.bind(records.turns);
  let repeat: Promise<Response> | null = null;
  records.turns.create = async (record) => {
    repeat ??= post(exec, body, key);
    // Time enough for the repeat to look, and to give the text if nothing keeps it.
    for (let rounds = 0; rounds < 500; rounds += 1) await new Promise((resolve) => setImmediate(resolve));
    return create(record);
  };
  const first = await jsonOf(await post(exec, body, key));
  const second = await jsonOf(await (repeat ?? Promise.reject(new Error('nothing was queued'))));
  assert.equal(second['turn_id'], first['turn_id']);
  assert.deepEqual([worker.steered, worker.taken], [[], [running, first['turn_id']]]);
});

test('a running turn is steered by its id: 202 with the turn, once for each key', async (t) => {
  const { post, worker, running } = await busyFleet(t);
  const path = `/api/v1/sessions/s/turns/${running}/steer`;
  const key = { 'idempotency-key': 'k' };
  for (let index = 0; index < 2; index += 1) {
    const steered = await post(path, { prompt: 'left' }, key);
    assert.equal(steered.status, 202);
    const turn = await jsonOf(steered);
    assert.deepEqual(
      [turn['id'], turn['status'], (turn['steers'] as Json[]).map(({ prompt }) => prompt)],
      [running, 'running', ['left']],
    );
  }
  assert.equal((await post(path, { prompt: 'right' }, key)).status, 422);
  assert.equal((await post(path, { prompt: 'right' })).status, 202);
  worker.release(running);
  await worker.settled();
  assert.equal((await post(path, { prompt: 'left' }, key)).status, 202);
  const late = await post(path, { prompt: 'up' });
  assert.deepEqual([late.status, (await jsonOf(late))['code']], [409, 'turn_not_running']);
  assert.deepEqual(
    worker.steered.map(({ text }) => text),
    ['left', 'right'],
  );
});

test('a turn that waits cannot be steered, one of another session or tenant is not found', async (t) => {
  const { post, running } = await busyFleet(t);
  await post('/api/v1/sessions', { id: 'other' });
  const { id } = await jsonOf(await post('/api/v1/sessions/s/turns', { prompt: 'say 1' }));
  const steer = async (session: string, turn: string): Promise<unknown[]> => {
    const answer = await post(`/api/v1/sessions/${session}/turns/${turn}/steer`, { prompt: 'x' });
    return [answer.status, (await jsonOf(answer))['code']];
  };
  assert.deepEqual(await steer('s', String(id)), [409, 'turn_not_running']);
  assert.deepEqual(await steer('other', running), [404, 'turn_not_found']);
});

test('one turn takes so many texts and no more; the next prompt is queued then', async (t) => {
  const { post, worker, running } = await busyFleet(t);
  const path = `/api/v1/sessions/s/turns/${running}/steer`;
  for (let index = 0; index < 64; index += 1) assert.equal((await post(path, { prompt: 'x' })).status, 202);
  const full = await post(path, { prompt: 'x' });
  assert.deepEqual([full.status, (await jsonOf(full))['limit']], [409, 64]);
  const queued = await jsonOf(await post(exec, { prompt: 'x', session_id: 's', on_busy: 'steer', background: true }));
  assert.deepEqual([queued['status'], worker.steered.length], ['queued', 64]);
});
