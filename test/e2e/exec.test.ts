import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { eventually } from './eventually.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

test('an exec answers with what was said, how it ended, how long it took and what it used [exec-answer]', async () => {
  const { status, body, headers } = await fleet().client.exec({ prompt: 'say: hello there' });
  assert.equal(status, 200);
  assert.match(headers.get('content-type') ?? '', /^application\/json/);
  const { session_id, turn_id, execution_time_ms, usage, ...rest } = body;
  assert.deepEqual(rest, { status: 'completed', exit_code: 0, stdout: 'hello there', stderr: '', error: null });
  assert.match(session_id, /^[0-9a-f-]{36}$/);
  assert.match(turn_id, /^[0-9a-f-]{36}$/);
  assert.ok(execution_time_ms > 0 && execution_time_ms < 20_000);
  assert.ok(usage.input_tokens > 0 && usage.output_tokens > 0);
  assert.equal(usage.cost_usd, null);
});

test('files are written and commands are run in the workspace, and the session remembers both [exec-workspace] [exec-continues]', async () => {
  const { client } = fleet();
  const content = `written by the fleet ${Math.random()}`;
  const wrote = await client.completed(`write: notes/a.txt: ${content}`, 'remembering');
  assert.match(wrote.stdout, /Wrote notes\/a\.txt/);
  const ran = await client.completed('run: pwd; cat notes/a.txt; id -u; echo to-stderr >&2', 'remembering');
  assert.ok(
    ran.stdout.includes('/s/ws') && ran.stdout.includes(content) && ran.stdout.includes('to-stderr'),
    ran.stdout,
  );
  assert.equal(ran.session_id, wrote.session_id, 'the alias names one session');

  const recalled = await client.completed('recall', 'remembering');
  assert.match(recalled.stdout, /^1\. write: notes\/a\.txt/m);
  assert.match(recalled.stdout, /^2\. run: pwd/m);
  const byId = await client.completed('run: cat notes/a.txt', wrote.session_id);
  assert.ok(byId.stdout.includes(content), 'the id names it, too');

  const items = await client.request<{ data: { item: { type: string } }[] }>(
    'GET',
    '/api/v1/sessions/remembering/items',
  );
  const types = new Set(items.body.data.map(({ item }) => item.type));
  for (const type of ['agent_message', 'command_execution', 'file_change'])
    assert.ok(types.has(type), `${type} in ${items.text}`);
  assert.equal(existsSync('notes/a.txt'), false, 'nothing was written where the fleet was started');
});

test('a command that fails is no failure of the turn, and its exit code is told [exec-workspace]', async () => {
  const { stdout } = await fleet().client.completed('run: echo out; exit 7');
  assert.match(stdout, /exit code 7/);
});

test('a turn that the model fails is answered 200 with exit code 1 and the reason, and the session goes on [exec-failure]', async () => {
  const { client } = fleet();
  const failed = await client.exec({ prompt: 'fail: quota', session_id: 'failing' });
  assert.equal(failed.status, 200, failed.text);
  assert.deepEqual([failed.body.status, failed.body.exit_code], ['failed', 1]);
  assert.ok(failed.body.error !== null && failed.body.error.message.length > 0);
  assert.equal(failed.body.stderr, failed.body.error.message);
  assert.equal((await client.completed('say: still here', 'failing')).stdout, 'still here');
});

test('a model that breaks off once is asked again, and the turn completes [exec-failure]', async () => {
  const { stdout } = await fleet().client.completed('break: after 3 words\nsay: whole');
  assert.equal(stdout, 'whole');
});

test('the AGENTS.md of a workspace reaches the model when the session is bound again [exec-agents-md]', async () => {
  const { client } = fleet();
  await client.completed('write: AGENTS.md: HOUSERULE speak softly', 'ruled');
  await rebind('ruled');
  assert.match((await client.completed('instructions: HOUSERULE', 'ruled')).stdout, /HOUSERULE speak softly/);
  // The control: another session is shown nothing of it.
  const other = await client.completed('instructions: HOUSERULE', 'unruled');
  assert.match(other.stdout, /No instructions hold/);
});

/** Ends the session's process, as hibernation would: its next turn is bound to another. */
async function rebind(sessionId: string): Promise<void> {
  const { client } = fleet();
  const turn = await client.startTurn('stall', sessionId);
  await eventually('the turn runs', 10_000, async () => (await client.turn(sessionId, turn.id)).status === 'running');
  assert.equal((await client.cancel(sessionId, turn.id)).body.status, 'cancelled');
}
