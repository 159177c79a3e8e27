// One session must not take the memory of the others: its command is ended, and all else goes on. With the real
// Codex; the neighbours' turns run meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CommandResponse } from '../../src/api/commands.ts';
import type { EventOnWire } from '../../src/api/events.ts';
import { useFleet } from './use-fleet.ts';

const limitBytes = 300 * 1024 ** 2;
/** tail keeps the last line, and this one has no end. */
const allocates = 'head -c 3G /dev/zero | tail';

const fleet = useFleet({
  env: { CODEX_FLEET_WORKER_SESSION_MEMORY_BYTES: String(limitBytes), CODEX_FLEET_LOG_LEVEL: 'info' },
});

async function killed(): Promise<number> {
  const { text } = await fleet().client.request('GET', '/metrics');
  return Number(/^codex_fleet_commands_killed_total\{reason="memory"\} (\d+)$/m.exec(text)?.[1]);
}

test("a command that allocates without end is ended by a signal, its turn completes, and so does a neighbour's", async () => {
  const { client } = fleet();
  const [greedy, neighbour] = await Promise.all([
    client.completed(`run: ${allocates}\nsay: went on`, 'greedy'),
    client.completed('run: sleep 2 && echo undisturbed\nsay: there', 'neighbour'),
  ]);
  assert.equal(greedy.stdout, 'went on');
  assert.equal(neighbour.stdout, 'there');
  const { body } = await client.request<{ data: EventOnWire[] }>(
    'GET',
    `/api/v1/sessions/greedy/events?limit=1000`,
    undefined,
    { accept: 'application/json' },
  );
  // Codex has warnings of its own.
  const told = body.data.filter((event) => event.type === 'warning' && event['details'] === 'memory');
  assert.equal(told.length, 1);
  const [warning] = told;
  assert.equal(warning?.turn_id, greedy.turn_id);
  assert.match(String(warning?.['message']), /^A command was ended: it held \d+ MiB .* may hold 300 MiB together\.$/);
  const items = body.data.flatMap(({ item, type }) =>
    type === 'item.completed' ? [item as Record<string, unknown>] : [],
  );
  const command = items.find((item) => item['type'] === 'command_execution');
  assert.deepEqual([command?.['status'], command?.['exit_code']], ['failed', 137]);
  const [line] = fleet().logLines.filter(({ event }) => event === 'command_killed');
  assert.equal(line?.['reason'], 'memory');
  assert.ok(Number(line?.['bytes']) > limitBytes / 2, JSON.stringify(line));
  assert.equal(await killed(), 1);
});

test('files that a command puts into memory count as its own [session-memory]', async () => {
  const { client } = fleet();
  const before = await killed();
  const prompt = 'run: head -c 700M /dev/zero > /dev/shm/x; sleep 30; echo survived\nsay: went on';
  const turn = await client.completed(prompt, 'hoards');
  assert.ok(turn.execution_time_ms < 25_000, `${turn.execution_time_ms} ms`);
  assert.equal(await killed(), before + 1);
});

test('a one-off command that takes too much ends with 137, and the session takes the next', async () => {
  const { client } = fleet();
  const run = async (command: string): Promise<CommandResponse> =>
    (await client.request<CommandResponse>('POST', '/api/v1/sessions/oneoff/commands', { command })).body;
  await client.completed('say: hello', 'oneoff');
  const before = await killed();
  const taken = await run(`${allocates} > /dev/null`);
  assert.notEqual(taken.exit_code, 0);
  assert.equal(await killed(), before + 1);
  const next = await run('head -c 100M /dev/zero | tail -c 3 | wc -c');
  assert.deepEqual([next.exit_code, next.stdout.trim()], [0, '3']);
  assert.equal(await killed(), before + 1);
});
