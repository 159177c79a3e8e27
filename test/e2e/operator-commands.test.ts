// What an operator asks of a real fleet from the command line.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { plainEnvironment, repository } from './fleet-under-test.ts';
import { runCommand, type CommandRun } from './run-command.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

async function ask(...args: readonly string[]): Promise<CommandRun> {
  const { dataDir, home } = fleet();
  return await runCommand([...args, '--data-dir', dataDir], { env: plainEnvironment(home) });
}

test('doctor finds this machine fit, in seconds, while the fleet runs', async () => {
  const { code, stdout, stderr, elapsedMs } = await ask('doctor', '--json', '--port', '0');
  assert.equal(code, 0, stdout + stderr);
  assert.ok(elapsedMs < 8000, `${Math.round(elapsedMs)} ms`);
  const { ok, checks } = JSON.parse(stdout) as { ok: boolean; checks: { name: string; status: string }[] };
  assert.equal(ok, true);
  assert.equal(checks.find(({ name }) => name === 'codex')?.status, 'ok');
});

test('a session can be listed, looked at with its slot, read and erased', async () => {
  assert.equal((await ask('exec', 'say: seen', '--session', 'watched')).code, 0);
  assert.match((await ask('sessions', 'ls')).stdout, /watched +idle/);
  const shown = await ask('sessions', 'show', 'watched', '--json');
  const { session, last_turn } = JSON.parse(shown.stdout) as {
    session: { slot: string | null; epoch: number; worker: string };
    last_turn: { request_id: string };
  };
  assert.ok(session.slot !== null && session.epoch === 1 && last_turn.request_id !== '');
  assert.match((await ask('sessions', 'logs', 'watched')).stdout, /item\.completed +seen/);
  const workers = JSON.parse((await ask('workers', '--json')).stdout) as { data: { id: string }[] };
  assert.deepEqual(
    workers.data.map(({ id }) => id),
    [session.worker],
  );
  const usage = JSON.parse((await ask('usage', '--json')).stdout) as { by_model: { model: string; turns: number }[] };
  assert.deepEqual(
    usage.by_model.map(({ model }) => model),
    ['demo'],
  );
  assert.equal((await ask('sessions', 'rm', 'watched')).code, 0);
  assert.equal((await ask('sessions', 'show', 'watched')).code, 2);
});

test('the fleet serves the document that is in the repository', async () => {
  const response = await fetch(new URL('/openapi.json', fleet().client.url));
  assert.equal(response.status, 200);
  const committed = readFileSync(path.join(repository, 'openapi.json'), 'utf8');
  assert.deepEqual(await response.json(), JSON.parse(committed));
});
