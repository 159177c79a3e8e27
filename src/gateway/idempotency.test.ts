import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setImmediate as afterIo } from 'node:timers/promises';
import { endedTurn } from '../core/turn.ts';
import { jsonOf, startGateway, token } from '../testing/gateway-fixture.ts';
import { KeyOrder } from '../core/key-order.ts';

const exec = '/api/v1/exec';

test('work under one key is done one after the other, also behind work that failed; under others meanwhile', async () => {
  const order = new KeyOrder();
  const said: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = order.run('a', async () => {
    await gate.promise;
    said.push('first');
    throw new Error('no');
  });
  const second = order.run('a', async () => said.push('second'));
  await order.run('b', async () => said.push('other'));
  gate.resolve();
  await assert.rejects(first, /no/);
  await second;
  assert.deepEqual(said, ['other', 'first', 'second']);
});

test('fifty posts at once under one key, half of them cut before the answer, are one turn', async (t) => {
  const { port, post, worker } = await startGateway(t);
  const body = { prompt: 'hold', session_id: 's', wait_ms: 0 };
  const text = JSON.stringify(body);
  const head = [
    `POST ${exec} HTTP/1.1`,
    'host: localhost',
    `authorization: Bearer ${token}`,
    'content-type: application/json',
    'idempotency-key: once',
    `content-length: ${text.length}`,
    '',
    '',
  ].join('\r\n');
  const cut = Array.from({ length: 25 }, async (_, index) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    socket.write(head);
    // Some leave while the body is still on its way, the others right behind it.
    if (index % 5 === 0) socket.write(text.slice(0, 10), () => socket.destroy());
    else socket.write(text, () => socket.destroy());
  });
  const answers = await Promise.all(
    Array.from({ length: 25 }, async () => jsonOf(await post(exec, body, { 'idempotency-key': 'once' }))),
  );
  await Promise.all(cut);
  for (let index = 0; index < 50; index += 1) await afterIo();
  assert.deepEqual(new Set(answers.map(({ turn_id }) => turn_id)), new Set(worker.taken));
  assert.equal(worker.taken.length, 1);
  assert.equal((await post(exec, { ...body, prompt: 'say 1' }, { 'idempotency-key': 'once' })).status, 422);
  worker.release(worker.taken[0] ?? '');
});

test('a turn that its worker ended before it ran stays ended under its key: its end was told', async (t) => {
  const { clock, post, records, worker } = await startGateway(t);
  const body = { prompt: 'say 1', session_id: 's', background: true };
  worker.startTurn = async () => undefined;
  const { turn_id } = await jsonOf(await post(exec, body, { 'idempotency-key': 'k' }));
  const turn = await records.turns.get('default', String(turn_id));
  assert.ok(turn !== null);
  const error = { code: 'agent_start_failed', message: 'no process' };
  const outcome = { status: 'failed', reason: 'crash', finalMessage: '', error, usage: turn.usage } as const;
  await records.turns.replace(endedTurn(turn, outcome, clock.now()) ?? turn);
  const again = await jsonOf(await post(exec, body, { 'idempotency-key': 'k' }));
  assert.deepEqual([again['turn_id'], again['status'], again['error']], [turn_id, 'failed', error]);
});
