import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandResponse } from '../../src/api/commands.ts';
import type { Problem } from '../../src/api/problem.ts';
import type { Answer } from './fleet-client.ts';
import { eventually } from './eventually.ts';
import { findByArgs } from './processes.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

async function command<T = CommandResponse>(
  sessionId: string,
  body: Readonly<Record<string, unknown>>,
): Promise<Answer<T>> {
  return await fleet().client.request<T>('POST', `/api/v1/sessions/${sessionId}/commands`, body);
}

test('a command runs in the workspace of its session and answers with what it printed [commands-run]', async () => {
  const { client } = fleet();
  const session = await client.completed('write: a.txt: from a turn', 'commanded');
  const { status, body, text } = await command('commanded', { command: 'pwd; cat a.txt; echo wrong >&2; exit 3' });
  assert.equal(status, 200, text);
  const { execution_time_ms, ...rest } = body;
  assert.deepEqual(rest, {
    session_id: session.session_id,
    exit_code: 3,
    stdout: '/s/ws\nfrom a turn\n',
    stderr: 'wrong\n',
  });
  assert.ok(execution_time_ms >= 0 && execution_time_ms < 10_000);

  assert.equal((await command('commanded', { command: ['sh', '-c', 'echo "$0" > b.txt', 'words'] })).body.exit_code, 0);
  assert.match((await client.completed('run: cat b.txt', 'commanded')).stdout, /words/, 'a turn sees its files');
  assert.doesNotMatch(
    (await client.completed('recall', 'commanded')).stdout,
    /b\.txt'|words/,
    'the model was not asked',
  );
});

test('a command is in the sandbox of its session [commands-run]', async () => {
  await fleet().client.request('POST', '/api/v1/sessions', { id: 'reader', sandbox: 'read-only' });
  const { body } = await command('reader', { command: 'touch x; ls -A' });
  assert.match(body.stderr, /Read-only|denied|not permitted/i);
  assert.equal(body.stdout, '');
});

test('a session that never had a turn takes a command [commands-run]', async () => {
  const { client } = fleet();
  await client.request('POST', '/api/v1/sessions', { id: 'fresh' });
  assert.equal((await command('fresh', { command: 'echo first' })).body.stdout, 'first\n');
  assert.equal((await client.completed('say: then a turn', 'fresh')).stdout, 'then a turn');
});

test('a command that takes too long is ended with all that it started, and the session goes on [commands-run]', async () => {
  const { client } = fleet();
  await client.completed('write: kept.txt: kept', 'slow');
  const duration = `600.${process.pid}7`;
  const { status, body } = await command('slow', {
    command: `setsid sleep ${duration} & sleep ${duration}`,
    timeout_ms: 1000,
  });
  assert.deepEqual([status, body.exit_code], [200, 124]);
  assert.match(body.stderr, /timeout_ms of 1000/);
  await eventually('nothing of it runs', 2_000, () => findByArgs('sleep', duration).length === 0);
  assert.equal((await command('slow', { command: 'cat kept.txt' })).body.stdout.trim(), 'kept');
});

test('while a turn runs a command is refused as busy, and for no session as not found [commands-run]', async () => {
  const { client } = fleet();
  const turn = await client.exec({ prompt: 'stall', session_id: 'occupied', background: true });
  const refused = await command<Problem>('occupied', { command: 'true' });
  assert.deepEqual([refused.status, refused.body.code], [409, 'session_busy']);
  await client.cancel('occupied', turn.body.turn_id);
  assert.equal((await command<Problem>('nobody', { command: 'true' })).body.code, 'session_not_found');
  assert.equal((await command<Problem>('occupied', { command: [] })).body.code, 'invalid_request');
});
