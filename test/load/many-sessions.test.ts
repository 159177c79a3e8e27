import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { isTerminalEventType } from '../../src/core/event.ts';
import { FleetClient } from '../e2e/fleet-client.ts';
import { FleetUnderTest, newDirectory } from '../e2e/fleet-under-test.ts';
import { othersPerTurn, type Started } from './measures.ts';

test('40 sessions at once on 4 slots all complete, each with one end [load-complete]', async () => {
  await using fleet = await FleetUnderTest.start();
  const { client } = fleet;
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) => client.completed(`say: answer ${index}`, `session-${index}`)),
  );
  assert.deepEqual(
    answers.map(({ stdout }) => stdout),
    Array.from({ length: 40 }, (_, index) => `answer ${index}`),
  );
  for (const { session_id, turn_id } of answers) {
    const events = await client.pages(session_id);
    const ends = events.filter((event) => isTerminalEventType(event.type));
    assert.deepEqual(
      ends.map((event) => [event.type, event.turn_id]),
      [['turn.completed', turn_id]],
    );
  }
});

test("one tenant sends ten times as much, and the other's turns begin after at most twice a fair share [load-fair]", async (t) => {
  const scratch = newDirectory();
  t.after(() => rmSync(scratch, { recursive: true, force: true }));
  const config = path.join(scratch, 'fleet.toml');
  const tokens = { greedy: 'cf_greedy_token_of_a_test', polite: 'cf_polite_token_of_a_test' };
  const tables = Object.entries(tokens).map(
    ([tenant, token]) => `[[tokens]]\nname = "${tenant}"\ntenant = "${tenant}"\ntoken = "${token}"\n`,
  );
  writeFileSync(config, tables.join('\n'));
  const slots = 2;
  await using fleet = await FleetUnderTest.start({
    args: ['--slots', String(slots)],
    env: { CODEX_FLEET_CONFIG: config },
  });
  const greedy = new FleetClient(fleet.client.url, tokens.greedy);
  const polite = new FleetClient(fleet.client.url, tokens.polite);

  const send = async (client: FleetClient): Promise<{ client: FleetClient; sessionId: string; turnId: string }> => {
    const { status, body, text } = await client.exec({ prompt: 'wait: 100 ms\nsay: done', background: true });
    assert.equal(status, 202, text);
    return { client, sessionId: body.session_id, turnId: body.turn_id };
  };
  const sent = await Promise.all(Array.from({ length: 40 }, () => send(greedy)));
  sent.push(...(await Promise.all(Array.from({ length: 4 }, () => send(polite)))));

  const turns = await Promise.all(
    sent.map(async ({ client, sessionId, turnId }): Promise<Started> => {
      const turn = await client.turnEnded(sessionId, turnId, 90_000);
      assert.equal(turn.status, 'completed', JSON.stringify(turn.error));
      return {
        tenant: client === polite ? 'polite' : 'greedy',
        createdAtMs: Date.parse(turn.created_at),
        startedAtMs: Date.parse(turn.started_at ?? ''),
      };
    }),
  );
  const shares = othersPerTurn(turns, 'polite', slots);
  t.diagnostic(`turns of the other tenant for each: ${shares.map((share) => share.toFixed(1)).join(', ')}`);
  assert.ok(Math.max(...shares) <= 2, `not fair: ${shares.join(', ')}`);
  // Neither sees the other.
  assert.equal((await polite.request('GET', `/api/v1/sessions/${sent[0]?.sessionId}`)).status, 404);
});

test('a full queue answers 503 queue_full with Retry-After at once, and keeps nothing of what it refused [load-full]', async () => {
  const queueLimit = 3;
  await using fleet = await FleetUnderTest.start({
    args: ['--slots', '1'],
    env: { CODEX_FLEET_WORKER_QUEUE_LIMIT: String(queueLimit) },
  });
  const { client } = fleet;
  const first = await client.exec({ prompt: 'wait: 3 s\nsay: done', background: true });
  const others = await Promise.all(
    Array.from({ length: 30 }, () => client.exec({ prompt: 'say: done', background: true })),
  );
  const accepted = [first, ...others].filter(({ status }) => status === 202);
  const refused = others.filter(({ status }) => status === 503);
  assert.equal(accepted.length + refused.length, 31);
  // One runs or is about to; how many had come by when it began is the machine's to say.
  assert.ok(accepted.length >= queueLimit && accepted.length <= queueLimit + 2, `${accepted.length} were taken`);
  for (const { text, headers } of refused) {
    const problem = JSON.parse(text) as Record<string, unknown>;
    assert.deepEqual([problem['code'], problem['retry']], ['queue_full', 'after']);
    assert.match(headers.get('retry-after') ?? '', /^[1-9]\d*$/);
  }
  const socket = await client.ws();
  socket.send({ prompt: 'say: done', ref: 'full' });
  const answer = await socket.frame('an answer', (frame) => frame.ref === 'full');
  assert.equal(answer['code'], 'queue_full');
  await socket.close();

  const waits = refused.map(({ elapsedMs }) => elapsedMs).sort((a, b) => a - b);
  assert.ok((waits[0] ?? Infinity) < 250, `the fastest refusal took ${waits[0]} ms`);
  for (const { body } of accepted) {
    assert.equal((await client.turnEnded(body.session_id, body.turn_id)).status, 'completed');
  }
  const sessions = await client.request<{ data: unknown[] }>('GET', '/api/v1/sessions?limit=100');
  assert.equal(sessions.body.data.length, accepted.length);
});
