import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { jsonOf, startGateway } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';
const everything = { after: null, limit: 100, order: 'asc' } as const;

test('a flood of refused requests leaves no session and no turn behind', async (t) => {
  const { post, records, worker } = await startGateway(t);
  const made = await jsonOf(await post('/api/v1/sessions', { id: 'standing' }));
  worker.startTurn = () => Promise.reject(new ServiceError('queue_full', { waiting: 1, limit: 1 }));
  for (let index = 0; index < 10; index += 1) {
    for (const body of [{ prompt: 'x' }, { prompt: 'x', session_id: 'standing' }]) {
      const refused = await post(exec, body);
      assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [503, 'queue_full']);
      assert.match(refused.headers.get('retry-after') ?? '', /^\d+$/);
    }
  }
  const sessions = await records.sessions.list('default', everything);
  assert.deepEqual(
    sessions.data.map(({ id }) => id),
    [made['id']],
  );
  assert.deepEqual((await records.turns.list('default', String(made['id']), everything)).data, []);
});

test('a session whose record changes at the wrong moment takes the turn all the same', async (t) => {
  const { post, worker } = await startGateway(t);
  const startTurn = worker.startTurn.bind(worker);
  let tries = 0;
  worker.startTurn = (key) => {
    tries += 1;
    return tries === 1 ? Promise.reject(new ServiceError('store_conflict')) : startTurn(key);
  };
  const answer = await post(exec, { prompt: 'say 1' });
  assert.deepEqual([answer.status, (await jsonOf(answer))['status'], tries], [200, 'completed', 2]);
});

test('a handover that fails for a reason that nobody foresaw is an error at once, not a turn that waits for ever', async (t) => {
  const { post, get, worker } = await startGateway(t);
  await post('/api/v1/sessions', { id: 's' });
  const failures = [new Error('ENOENT'), new ServiceError('session_not_found'), new ServiceError('stale_epoch')];
  for (const [index, error] of failures.entries()) {
    worker.startTurn = () => Promise.reject(error);
    const answer = await post(exec, { prompt: 'x', session_id: 's' }, { 'idempotency-key': `key-${index}` });
    assert.equal(answer.status, error instanceof ServiceError ? (error.code === 'stale_epoch' ? 409 : 404) : 500);
  }
  const turns = (await jsonOf(await get('/api/v1/sessions/s/turns')))['data'] as { status: string }[];
  assert.deepEqual(
    turns.map(({ status }) => status),
    ['failed', 'failed', 'failed'],
  );
});

test('a turn whose refusal comes after its 202 stays open for whoever looks after open turns: its end must be told', async (t) => {
  const { get, post, records, worker } = await startGateway(t, { limits: { workerDeadlineMs: 10 } });
  const refuse = Promise.withResolvers<void>();
  worker.startTurn = () => refuse.promise;
  const accepted = await post(exec, { prompt: 'x', session_id: 's', background: true });
  assert.deepEqual([accepted.status, (await jsonOf(accepted))['status']], [202, 'queued']);
  refuse.reject(new ServiceError('queue_full'));
  // As long as it takes a refusal that comes in time to be recorded, and longer.
  for (let look = 0; look < 20; look++) {
    const turn = await jsonOf(await get(accepted.headers.get('location') ?? ''));
    assert.equal(turn['status'], 'queued');
  }
  assert.equal((await records.turns.listOpen(null, 10)).data.length, 1);
});

test('a turn whose only worker serves another tenant is accepted and waits for its next life; one that must not wait is refused', async (t) => {
  const { get, post, records, worker } = await startGateway(t);
  worker.refuseWith = 'worker_reserved';
  const accepted = await post(exec, { prompt: 'x', session_id: 's', background: true });
  assert.deepEqual([accepted.status, (await jsonOf(accepted))['status']], [202, 'queued']);
  assert.equal((await jsonOf(await get(accepted.headers.get('location') ?? '')))['status'], 'queued');
  const refused = await post(exec, { prompt: 'x', session_id: 'other', on_busy: 'reject' });
  assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [503, 'worker_reserved']);
  assert.equal((await records.turns.listOpen(null, 10)).data.length, 1);
});
