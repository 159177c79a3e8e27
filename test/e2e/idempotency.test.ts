import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TurnResource } from '../../src/api/turns.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

test('the same key and body, at once and later, is one turn that ran once [exec-idempotent]', async () => {
  const { client } = fleet();
  const body = { prompt: 'run: echo ran >> count.txt; wc -l < count.txt', session_id: 'counting' };
  const key = { 'idempotency-key': 'key-1' };
  const answers = await Promise.all([client.exec(body, key), client.exec(body, key), client.exec(body, key)]);
  answers.push(await client.exec(body, key));
  for (const { status, text } of answers) assert.equal(status, 200, text);
  assert.equal(new Set(answers.map(({ body: { turn_id } }) => turn_id)).size, 1);
  assert.equal(new Set(answers.map(({ body: { stdout } }) => stdout)).size, 1);
  assert.match((await client.completed('run: wc -l < count.txt', 'counting')).stdout, /\b1\b/);
  // The control: without a key the same body runs again.
  assert.match((await client.exec(body)).body.stdout, /\b2\b/);
});

test('without a session_id the same key names the same new session [exec-idempotent]', async () => {
  const { client } = fleet();
  const key = { 'idempotency-key': 'key-2' };
  const [first, second] = [
    await client.exec({ prompt: 'say: once' }, key),
    await client.exec({ prompt: 'say: once' }, key),
  ];
  assert.deepEqual(
    [second.body.session_id, second.body.turn_id, second.body.stdout],
    [first.body.session_id, first.body.turn_id, 'once'],
  );
});

test('the same key with another body is refused, and runs nothing [exec-idempotent]', async () => {
  const { client } = fleet();
  const key = { 'idempotency-key': 'key-3' };
  const first = await client.exec({ prompt: 'say: first', session_id: 'refused' }, key);
  const other = await client.exec({ prompt: 'say: other', session_id: 'refused' }, key);
  assert.equal(other.status, 422);
  assert.equal((other.body as unknown as { code: string }).code, 'idempotency_key_reused');
  const turns = await client.request<{ data: TurnResource[] }>('GET', '/api/v1/sessions/refused/turns');
  assert.deepEqual(
    turns.body.data.map(({ id }) => id),
    [first.body.turn_id],
  );
});

test('a frame of a WebSocket with a key that was used is the same turn, streamed again [exec-idempotent]', async () => {
  const { client } = fleet();
  const frame = { prompt: 'say: framed', session_id: 'framed', stream: true, idempotency_key: 'key-4' };
  const turnIds: unknown[] = [];
  for (const ref of ['one', 'two']) {
    const socket = await client.ws();
    try {
      socket.send({ ...frame, ref });
      const frames = await socket.ended(ref);
      turnIds.push(frames[0]?.['turn_id']);
      assert.equal(frames.filter(({ type }) => type === 'turn.completed').length, 1);
    } finally {
      await socket.close();
    }
  }
  assert.equal(turnIds[0], turnIds[1]);
});

test('a turn started twice with one key is one turn, and 202 both times [exec-idempotent]', async () => {
  const { client } = fleet();
  const { session_id: sessionId } = await client.completed('say: hello');
  const start = async () =>
    await client.request<TurnResource>(
      'POST',
      `/api/v1/sessions/${sessionId}/turns`,
      { prompt: 'say: turn' },
      { 'idempotency-key': 'key-5' },
    );
  const [first, second] = [await start(), await start()];
  assert.deepEqual([first.status, second.status], [202, 202]);
  assert.equal(first.body.id, second.body.id);
});

test('a key that is no key is refused [exec-idempotent]', async () => {
  const { status } = await fleet().client.exec({ prompt: 'say: x' }, { 'idempotency-key': 'x'.repeat(256) });
  assert.equal(status, 400);
});
