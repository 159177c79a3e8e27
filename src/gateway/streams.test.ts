import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { FakeClock } from '../testing/fake-clock.ts';
import { type Json, jsonOf, readEvents, seqsOf, startGateway, token } from '../testing/gateway-fixture.ts';

const exec = '/api/v1/exec';

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

test('a stream has every event once, in order, and ends with exactly one terminal event', async (t) => {
  const { post } = await startGateway(t);
  const response = await post(exec, { prompt: 'say 300', stream: true });
  assert.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  assert.equal(response.headers.get('x-accel-buffering'), 'no');
  const events = await readEvents(response);
  // session.created, turn.started, 300 deltas, the item, the end.
  assert.deepEqual(seqsOf(events), range(1, 304));
  assert.deepEqual(
    events.filter((event) => event.event?.startsWith('turn.')).map((event) => event.event),
    ['turn.started', 'turn.completed'],
  );
  assert.deepEqual(
    events.map((event) => event.id),
    range(1, 304).map((seq) => `1.${seq}`),
  );
  const last = JSON.parse(events.at(-1)?.data ?? '{}') as Json;
  assert.deepEqual([last['status'], last['exit_code'], last['stdout']], ['completed', 0, 'answer to say 300']);
});

test('a reader that was cut anywhere and resumes has exactly the rest', async (t) => {
  const { post, get } = await startGateway(t);
  const all = await readEvents(await post(exec, { prompt: 'say 12', session_id: 's', stream: true }));
  const turnId = (JSON.parse(all.at(-1)?.data ?? '{}') as Json)['turn_id'];
  for (const [index, event] of all.entries()) {
    const path = `/api/v1/sessions/s/events?turn_id=${String(turnId)}`;
    const rest = await get(path, { 'last-event-id': event.id ?? '' });
    if (index === all.length - 1) {
      assert.equal(rest.status, 204);
      continue;
    }
    assert.deepEqual(await readEvents(rest), all.slice(index + 1));
    const byQuery = await get(`${path}&after=${event.id ?? ''}`);
    assert.deepEqual(await readEvents(byQuery), all.slice(index + 1));
  }
});

test('a reader that hangs up in mid-stream gets the rest while the turn still runs', async (t) => {
  const { post, get } = await startGateway(t);
  const first = await readEvents(await post(exec, { prompt: 'say 2000', session_id: 's', stream: true }), 700);
  const turnId = String((JSON.parse(first.at(-1)?.data ?? '{}') as Json)['turn_id']);
  const rest = await readEvents(
    await get(`/api/v1/sessions/s/events?turn_id=${turnId}`, { 'last-event-id': first.at(-1)?.id ?? '' }),
  );
  assert.deepEqual([...seqsOf(first), ...seqsOf(rest)], range(1, 2004));
});

test('many turns at once never mix, nor do two turns of one session', async (t) => {
  const { post } = await startGateway(t);
  const prompts = range(1, 12).map((n) => `say ${n * 10}`);
  const streams = await Promise.all(
    prompts.map(async (prompt, index) => {
      const session_id = index < 6 ? 'shared' : `own-${index}`;
      return readEvents(await post(exec, { prompt, session_id, stream: true }));
    }),
  );
  for (const [index, events] of streams.entries()) {
    const bodies = events.map((event) => JSON.parse(event.data) as Json);
    const deltas = bodies.filter((body) => body['type'] === 'item.delta').map((body) => body['delta']);
    const prompt = prompts[index] ?? '';
    assert.deepEqual(
      deltas,
      range(0, Number(prompt.split(' ')[1]) - 1).map((word) => `${prompt}#${word} `),
    );
    assert.equal(new Set(bodies.map((body) => body['turn_id']).filter((id) => id !== null)).size, 1);
    assert.equal(bodies.at(-1)?.['type'], 'turn.completed');
  }
});

test('a session can be watched across turns and by many', async (t) => {
  const { post, get, worker } = await startGateway(t);
  await post('/api/v1/sessions', { id: 'watched' });
  const watchers = await Promise.all(range(1, 3).map(() => get('/api/v1/sessions/watched/events')));
  await post(exec, { prompt: 'say 3', session_id: 'watched' });
  await post(exec, { prompt: 'say 3', session_id: 'watched' });
  await worker.settled();
  for (const watcher of watchers) assert.deepEqual(seqsOf(await readEvents(watcher, 13)), range(1, 13));
});

test('the same events come as pages for who asks for JSON', async (t) => {
  const { post, get } = await startGateway(t);
  await post(exec, { prompt: 'say 20', session_id: 's' });
  const accept = { accept: 'application/json' };
  const seen: unknown[] = [];
  let after = '';
  for (let hasMore = true; hasMore; ) {
    const page = await jsonOf(await get(`/api/v1/sessions/s/events?limit=7${after}`, accept));
    const data = page['data'] as Json[];
    assert.ok(data.length <= 7);
    assert.equal(page['last_id'], data.at(-1)?.['cursor']);
    seen.push(...data.map((event) => event['seq']));
    after = `&after=${String(page['last_id'])}`;
    hasMore = page['has_more'] === true;
  }
  assert.deepEqual(seen, range(1, 24));
});

test('cursors that are not ours, or point behind the end, are refused', async (t) => {
  const { post, get } = await startGateway(t);
  await post(exec, { prompt: 'say 1', session_id: 's' });
  for (const after of ['x', '1', '1.2.3', '-1.2', '1.999', '7.2', '01.2']) {
    const response = await get(`/api/v1/sessions/s/events?after=${after}`);
    assert.equal(response.status, 400, after);
    assert.equal((await jsonOf(response))['code'], 'cursor_invalid');
  }
});

test('the transcript has the completed items, in order, in pages, and one by one', async (t) => {
  const { post, get, worker } = await startGateway(t, {
    wholeItem: (raw) => ({ type: 'agent_message', text: `whole from ${raw}` }),
  });
  for (const prompt of ['say 1', 'say 2', 'say 3']) await post(exec, { prompt, session_id: 's' });
  const page = await jsonOf(await get('/api/v1/sessions/s/items?limit=2'));
  const texts = (list: Json): unknown[] => (list['data'] as { item: Json }[]).map(({ item }) => item['text']);
  assert.deepEqual(texts(page), ['answer to say 1', 'answer to say 2']);
  assert.equal(page['has_more'], true);
  const next = await jsonOf(await get(`/api/v1/sessions/s/items?limit=2&after=${String(page['last_id'])}`));
  assert.deepEqual([texts(next), next['has_more']], [['answer to say 3'], false]);
  const latest = await jsonOf(await get('/api/v1/sessions/s/items?limit=2&order=desc'));
  assert.deepEqual([texts(latest), latest['has_more']], [['answer to say 3', 'answer to say 2'], true]);

  const session = await jsonOf(await get('/api/v1/sessions/s'));
  const key = { tenant: 'default', sessionId: String(session['id']) };
  const item = { id: 'big', type: 'agent_message', text: 'cut', truncated: true };
  await worker.emitAll(key, null, [{ type: 'item.completed', fields: { item }, raw: 'LINE' }]);
  const whole = await jsonOf(await get('/api/v1/sessions/s/items/big'));
  assert.deepEqual(whole['item'], { id: 'big', type: 'agent_message', text: 'whole from LINE' });
  const none = await get('/api/v1/sessions/s/items/none');
  assert.deepEqual([none.status, (await jsonOf(none))['code']], [404, 'item_not_found']);
});

test('a quiet stream carries a heartbeat, and an erased session ends it with an error event', async (t) => {
  const clock = new FakeClock();
  const { post, get, log, records, worker } = await startGateway(t, { clock });
  await post('/api/v1/sessions', { id: 'quiet' });
  const session = await jsonOf(await get('/api/v1/sessions/quiet'));
  const key = { tenant: 'default', sessionId: String(session['id']) };
  await worker.emit(key, null, 'session.created', {});
  const response = await get('/api/v1/sessions/quiet/events');
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await reader?.read())?.value ?? '', /session\.created/);
  await clock.advanceAsync(15_000);
  assert.equal((await reader?.read())?.value, ': still here\n\n');
  await log.erase(key);
  await records.sessions.erase(key.tenant, key.sessionId);
  await clock.advanceAsync(15_000);
  assert.match((await reader?.read())?.value ?? '', /^event: error\ndata: .*"code":"session_not_found"/);
  assert.equal((await reader?.read())?.done, true);
});

test('a reader that never reads is cut', async (t) => {
  const clock = new FakeClock();
  const { port, post, worker, get, metrics } = await startGateway(t, { clock });
  await post('/api/v1/sessions', { id: 'slow' });
  const session = await jsonOf(await get('/api/v1/sessions/slow'));
  const key = { tenant: 'default', sessionId: String(session['id']) };
  const socket = connect({ port, host: '127.0.0.1' });
  t.after(() => socket.destroy());
  socket.pause();
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => undefined);
  socket.write(
    `GET /api/v1/sessions/slow/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n\r\n`,
  );
  const text = 'x'.repeat(200_000);
  // Far more than the kernel holds for a connection.
  for (let index = 0; index < 200; index += 1) {
    await worker.emit(key, null, 'item.delta', { delta: text });
    await clock.advanceAsync(1);
  }
  assert.match((await metrics.render()).body, /codex_fleet_streams\{kind="sse"\} 1\n/);
  await clock.advanceAsync(30_000);
  assert.match((await metrics.render()).body, /codex_fleet_streams_cut_total 1\n/);
  socket.resume();
  await closed;
  assert.match((await metrics.render()).body, /codex_fleet_streams\{kind="sse"\} 0\n/);
});
