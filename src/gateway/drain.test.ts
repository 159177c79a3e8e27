import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { FakeClock } from '../testing/fake-clock.ts';
import { type Json, jsonOf, readEvents, startGateway, token } from '../testing/gateway-fixture.ts';

test('a drain lets turns end, ends what has no end of its own, and takes nothing new', async (t) => {
  const { gateway, port, post, get, worker } = await startGateway(t);
  await post('/api/v1/sessions', { id: 'watched' });
  const watching = await get('/api/v1/sessions/watched/events');
  const waiting = post('/api/v1/exec', { prompt: 'hold' });
  const running = await post('/api/v1/exec', { prompt: 'hold', stream: true });
  const open = (): WebSocket =>
    new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { authorization: `Bearer ${token}` } });
  const [idle, busy] = [open(), open()];
  await Promise.all([once(idle, 'open'), once(busy, 'open')]);
  const frames: Json[] = [];
  busy.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString()) as Json));
  busy.send(JSON.stringify({ prompt: 'hold' }));
  await waitFor(() => worker.taken.length === 3 && frames.length > 0);

  const idleClosed = once(idle, 'close');
  const busyClosed = once(busy, 'close');
  const drained = gateway.drain(60_000);
  assert.equal((await idleClosed)[0], 1012);
  assert.deepEqual(await readEvents(watching), []);
  const refused = connect(port, '127.0.0.1');
  assert.equal(((await once(refused, 'error')) as [NodeJS.ErrnoException])[0].code, 'ECONNREFUSED');
  busy.send(JSON.stringify({ ref: 'late', prompt: 'say 1' }));
  await waitFor(() => frames.some((frame) => frame['ref'] === 'late'));
  assert.equal(frames.find((frame) => frame['ref'] === 'late')?.['code'], 'draining');

  for (const turnId of worker.taken) worker.release(turnId);
  assert.equal((await jsonOf(await waiting))['status'], 'completed');
  assert.equal((await readEvents(running)).at(-1)?.event, 'turn.completed');
  assert.equal((await busyClosed)[0], 1012);
  assert.equal(frames.at(-1)?.['type'], 'turn.completed');
  await drained;
  assert.equal(worker.taken.length, 3);
});

test('at the deadline waiting requests are answered, streams end, and everything closes', async (t) => {
  const clock = new FakeClock();
  const { gateway, port, post, worker } = await startGateway(t, { clock });
  const waiting = post('/api/v1/exec', { prompt: 'hold' });
  const streaming = await post('/api/v1/exec', { prompt: 'hold', stream: true });
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { authorization: `Bearer ${token}` } });
  await once(socket, 'open');
  socket.send(JSON.stringify({ prompt: 'hold' }));
  await waitFor(() => worker.taken.length === 3);
  const closed = once(socket, 'close');

  const drained = gateway.drain(5000);
  await clock.advanceAsync(5000);
  const answer = await waiting;
  assert.equal(answer.status, 202);
  assert.equal((await jsonOf(answer))['status'], 'running');
  assert.equal((await readEvents(streaming)).at(-1)?.event, 'turn.started');
  assert.equal((await closed)[0], 1012);
  await clock.advanceAsync(1000);
  await drained;
});

test('stop ends at once and may be called again', async (t) => {
  const { gateway, post } = await startGateway(t);
  const streaming = await post('/api/v1/exec', { prompt: 'hold', stream: true });
  const drained = gateway.drain(60_000);
  await Promise.all([gateway.stop(), gateway.stop(), drained]);
  await readEvents(streaming).catch(() => undefined);
});

async function waitFor(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setImmediate(resolve));
}
