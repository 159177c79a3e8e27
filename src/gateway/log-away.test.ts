// What a client is told while the log is away and the records are not: as in a cluster whose Redis stands still.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { ServiceError } from '../core/errors.ts';
import { FakeClock } from '../testing/fake-clock.ts';
import { type Json, jsonOf, readEvents, startGateway } from '../testing/gateway-fixture.ts';

/** Answers nothing more to readers, until the returned function is called. */
function takeAway(log: MemoryEventLog): () => void {
  const away = (): Promise<never> => Promise.reject(new ServiceError('store_unavailable'));
  Object.assign(log, { read: away, subscribe: away });
  return () => {
    Reflect.deleteProperty(log, 'read');
    Reflect.deleteProperty(log, 'subscribe');
  };
}

test('a prompt that is refused because the log is away leaves no turn behind that would run later', async (t) => {
  const { get, log, post, worker } = await startGateway(t);
  await post('/api/v1/exec', { prompt: 'say 1', session_id: 'notes' });
  const bringBack = takeAway(log);
  const refused = await post('/api/v1/exec', { prompt: 'say 2', session_id: 'notes' });
  assert.deepEqual([refused.status, (await jsonOf(refused))['code']], [503, 'store_unavailable']);
  bringBack();
  const turns = (await jsonOf(await get('/api/v1/sessions/notes/turns')))['data'] as Json[];
  assert.deepEqual([turns.map((turn) => turn['prompt']), worker.taken.length], [['say 1'], 1]);
});

test('who waits for a turn while the log is away is answered from its record', async (t) => {
  const clock = new FakeClock();
  const { log, post, worker } = await startGateway(t, { clock });
  const asked = post('/api/v1/exec', { prompt: 'hold' });
  while (worker.taken.length === 0) await new Promise((resolve) => setImmediate(resolve));
  takeAway(log);
  const tick = setInterval(() => clock.advance(1_000), 5);
  t.after(() => clearInterval(tick));
  // Longer than it is quiet before the log is asked.
  await new Promise((resolve) => setTimeout(resolve, 150));
  for (const id of worker.taken) worker.release(id);
  const answer = await asked;
  assert.deepEqual([answer.status, (await jsonOf(answer))['status']], [200, 'completed']);
});

test('a stream that cannot be opened says so itself: its turn exists', async (t) => {
  const { log, post, worker } = await startGateway(t);
  Object.assign(log, { subscribe: () => Promise.reject(new ServiceError('store_unavailable')) });
  const streamed = await post('/api/v1/exec', { prompt: 'say 1', stream: true });
  assert.deepEqual([streamed.status, streamed.headers.get('x-turn-id')], [200, worker.taken[0]]);
  const [only] = await readEvents(streamed);
  assert.deepEqual([only?.event, (JSON.parse(only?.data ?? '{}') as Json)['code']], ['error', 'store_unavailable']);
});
