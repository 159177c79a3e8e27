// What a client is told while the records are away behind a turn that was accepted: as in a cluster whose Firestore
// stands still.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnRecord } from '../core/turn.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type Json, jsonOf, startGateway } from '../testing/gateway-fixture.ts';

/** Answers nothing more to who looks for a turn, until the returned function is called. */
function takeAway({ turns }: MemoryRecords): () => void {
  Object.assign(turns, { get: () => Promise.reject(new ServiceError('store_unavailable')) });
  return () => void Reflect.deleteProperty(turns, 'get');
}

test('who waits for a turn while the records are away is told that it runs, not that nothing was accepted', async (t) => {
  const { post, records, worker } = await startGateway(t);
  const asked = post('/api/v1/exec', { prompt: 'hold', session_id: 'notes', wait_ms: 300 });
  while (worker.taken.length === 0) await new Promise((resolve) => setImmediate(resolve));
  const bringBack = takeAway(records);
  const answer = await asked;
  assert.deepEqual([answer.status, (await jsonOf(answer))['turn_id']], [202, worker.taken[0]]);
  assert.match(answer.headers.get('location') ?? '', new RegExp(worker.taken[0] ?? ''));
  bringBack();
  for (const id of worker.taken) worker.release(id);
});

test('a turn that no worker took, and whose record cannot be looked at, is accepted: it will run', async (t) => {
  const { get, post, records, worker } = await startGateway(t);
  await post('/api/v1/exec', { prompt: 'say 1', session_id: 'notes' });
  worker.refuseWith = 'store_unavailable';
  const bringBack = takeAway(records);
  const accepted = await post('/api/v1/exec', { prompt: 'say 2', session_id: 'notes', background: true });
  bringBack();
  const { status, turn_id: turnId } = await jsonOf(accepted);
  assert.deepEqual([accepted.status, status], [202, 'queued']);
  const listed = (await jsonOf(await get('/api/v1/sessions/notes/turns')))['data'] as Json[];
  assert.deepEqual(
    listed.filter(({ id }) => id === turnId).map((turn) => turn['status']),
    ['queued'],
  );
});

test('but not one that must not wait', async (t) => {
  const { post, records, worker } = await startGateway(t);
  await post('/api/v1/exec', { prompt: 'say 1', session_id: 'notes' });
  worker.refuseWith = 'session_busy';
  const bringBack = takeAway(records);
  const refused = await post('/api/v1/sessions/notes/turns', { prompt: 'say 2', on_busy: 'reject' });
  bringBack();
  assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [409, 'session_busy']);
});

test('a prompt without a key whose record was not confirmed is refused, and does not run when it is there after all', async (t) => {
  const clock = new FakeClock();
  const { post, records, worker } = await startGateway(t, { clock });
  const { turns } = records;
  const made: TurnRecord[] = [];
  const create = turns.create.bind(turns);
  Object.assign(turns, {
    create: async (turn: TurnRecord) => {
      made.push((await create(turn)).record);
      throw new ServiceError('store_unavailable');
    },
  });
  const refused = await post('/api/v1/exec', { prompt: 'hold', background: true });
  assert.equal(refused.status, 503);
  const [turn = assert.fail('it was recorded')] = made;
  assert.equal((await turns.get(turn.tenant, turn.id))?.status, 'queued');
  await clock.advanceAsync(1_000);
  assert.deepEqual(worker.taken, []);
  assert.equal((await turns.get(turn.tenant, turn.id))?.status, 'failed');

  const keyed = await post('/api/v1/exec', { prompt: 'hold', background: true }, { 'idempotency-key': 'mine' });
  assert.equal(keyed.status, 503);
  await clock.advanceAsync(90_000);
  const [, second = assert.fail('it was recorded')] = made;
  assert.equal((await turns.get(second.tenant, second.id))?.status, 'queued');
});
