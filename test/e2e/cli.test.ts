import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { EventOnWire } from '../../src/api/events.ts';
import { assertWholeTurn } from './event-checks.ts';
import { eventually } from './eventually.ts';
import { newDirectory, plainEnvironment, repository } from './fleet-under-test.ts';
import { describe, findByMark } from './processes.ts';
import { runCommand, type CommandRun } from './run-command.ts';
import { useFleet } from './use-fleet.ts';

const fleet = useFleet();

/** Against the running fleet, found by its data directory. */
async function exec(args: readonly string[], stdin?: string): Promise<CommandRun> {
  const { dataDir, home } = fleet();
  const options = { env: plainEnvironment(home), ...(stdin === undefined ? {} : { stdin }) };
  return await runCommand(['exec', '--data-dir', dataDir, ...args], options);
}

test('exec joins the fleet that runs on the data directory: answer on stdout, nothing else there [cli-exec]', async () => {
  const { code, stdout, stderr } = await exec(['say: joined', '--session', 'joined']);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'joined\n');
  assert.equal((await fleet().client.session('joined')).alias, 'joined', 'it was this fleet that answered');
  assert.match((await exec(['recall', '--session', 'joined'])).stdout, /1\. say: joined/);
});

test('exec takes the fleet that the environment names, with its token [cli-exec]', async () => {
  const { client, home } = fleet();
  const env = { ...plainEnvironment(home), CODEX_FLEET_URL: client.url, CODEX_FLEET_TOKEN: client.token };
  const { code, stdout } = await runCommand(['exec', 'say: named'], { env });
  assert.deepEqual([code, stdout], [0, 'named\n']);
});

test('the prompt may come on stdin, as nothing or as a dash [cli-exec]', async () => {
  assert.equal((await exec([], 'say: from stdin\n')).stdout, 'from stdin\n');
  assert.equal((await exec(['-'], 'say: from a dash')).stdout, 'from a dash\n');
});

test('--json prints the events of the turn as JSON lines, whole and in order [cli-exec]', async () => {
  const { code, stdout } = await exec(['stream: 30 words at 2 ms', '--json']);
  assert.equal(code, 0);
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as EventOnWire);
  const end = events.at(-1);
  assert.ok(end?.turn_id);
  assertWholeTurn(events, { sessionId: end.session_id, turnId: end.turn_id });
});

test('the exit code says how the turn ended [cli-exec]', async () => {
  const failed = await exec(['fail: quota']);
  assert.deepEqual([failed.code, failed.stdout], [1, '']);
  assert.match(failed.stderr, /failed/);
  const late = await exec(['stall', '--timeout', '1']);
  assert.equal(late.code, 124, late.stderr);
  assert.ok(late.elapsedMs < 1000 + 5000 + 2000, `${Math.round(late.elapsedMs)} ms`);
});

test('Ctrl-C cancels the turn and leaves with 130 [cli-exec]', async () => {
  const { client, dataDir, home } = fleet();
  const { code } = await runCommand(
    ['exec', '--data-dir', dataDir, '--json', '--session', 'interrupted', 'stream: 1000 words at 20 ms'],
    {
      env: plainEnvironment(home),
      onOutput: (child) => child.kill('SIGINT'),
    },
  );
  assert.equal(code, 130);
  const turns = await client.request<{ data: { id: string }[] }>('GET', '/api/v1/sessions/interrupted/turns');
  const ended = await client.turnEnded('interrupted', turns.body.data[0]?.id ?? '', 10_000);
  assert.equal(ended.status, 'cancelled');
});

test('a wrong token leaves with 4, nobody there with 5, a wrong word with 2 [cli-exec]', async () => {
  const { client, home } = fleet();
  const env = plainEnvironment(home);
  const wrong = await runCommand(['exec', 'say: x'], {
    env: { ...env, CODEX_FLEET_URL: client.url, CODEX_FLEET_TOKEN: 'cf_wrong' },
  });
  assert.equal(wrong.code, 4, wrong.stderr);
  const nobody = await runCommand(['exec', 'say: x'], {
    env: { ...env, CODEX_FLEET_URL: 'http://127.0.0.1:9', CODEX_FLEET_TOKEN: 'cf_x' },
  });
  assert.equal(nobody.code, 5, nobody.stderr);
  assert.equal((await runCommand(['exec', 'say: x', '--sesion', 'a'], { env })).code, 2);
  assert.equal((await runCommand(['up', '--slots', 'many', '--log-level', 'loud'], { env })).code, 2);
});

test('where no fleet runs, exec starts one for the call, says which model answers, and leaves nothing [cli-exec]', async () => {
  const scratch = newDirectory();
  try {
    const dataDir = path.join(scratch, 'data');
    const { code, stdout, stderr } = await runCommand(['exec', '--data-dir', dataDir, 'run: echo embedded'], {
      env: plainEnvironment(scratch),
    });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /embedded/);
    assert.match(stderr, /demo model/i);
    let left = findByMark(scratch);
    await eventually('nothing is left', 4_000, () => (left = findByMark(scratch)).length === 0).catch(() =>
      assert.fail(describe(left)),
    );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

test('a mistake in the settings is told in words, every one of them, before anything starts [cli-exec]', async () => {
  const { code, stderr } = await runCommand(['up', '--slots', '0', '--model-provider', 'oracle'], {
    env: plainEnvironment(fleet().home),
  });
  assert.equal(code, 2);
  assert.match(stderr, /--slots/);
  assert.match(stderr, /--model-provider/);
});

test('version says which versions these are [cli-version]', async () => {
  const env = plainEnvironment(fleet().home);
  const versionOf = (file: string): string =>
    (JSON.parse(readFileSync(path.join(repository, file), 'utf8')) as { version: string }).version;
  const { code, stdout } = await runCommand(['version', '--json'], { env });
  assert.equal(code, 0);
  const versions = JSON.parse(stdout) as Record<string, string>;
  assert.equal(versions['codex-fleet'], versionOf('package.json'));
  assert.equal(versions['codex'], versionOf('node_modules/@openai/codex/package.json'));
  assert.match(
    (await runCommand(['version'], { env })).stdout,
    new RegExp(`^codex-fleet ${versions['codex-fleet']}$`, 'm'),
  );
});
