import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { rmSync, statSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { eventually, within } from './eventually.ts';
import { FleetUnderTest, newDirectory, repository } from './fleet-under-test.ts';
import { descendantsOf, findByArgs, isCodex, isAlive, readProcess } from './processes.ts';

const requiredFields = [
  'session_id',
  'turn_id',
  'status',
  'exit_code',
  'stdout',
  'stderr',
  'execution_time_ms',
  'usage',
];

test('the first screen says all that a user needs, and its curl line works when pasted [start-ready] [start-curl]', async () => {
  const startedMs = performance.now();
  const fleet = await FleetUnderTest.start({ viaNpm: true });
  try {
    // The promise is 5 s on an idle machine; two files of tests share this one.
    assert.ok(performance.now() - startedMs < 10_000, `ready after ${Math.round(performance.now() - startedMs)} ms`);
    for (const word of ['url', 'token', 'model', 'cage', 'sandbox', 'ready'])
      assert.match(fleet.screen, new RegExp(`\\b${word}\\b`, 'i'), word);
    assert.ok(fleet.curlLine.includes(fleet.client.url), 'the curl line has the port that was picked');

    const output = execFileSync('sh', ['-c', `${fleet.curlLine} -w '\\n%{http_code}'`], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    const [json = '', status] = output.split(/\n(?=\d+$)/);
    assert.equal(status, '200', output);
    const body = JSON.parse(json) as Record<string, unknown>;
    assert.deepEqual(
      requiredFields.filter((field) => !(field in body)),
      [],
    );
    assert.deepEqual([body['status'], body['exit_code'], body['stderr']], ['completed', 0, ''], json);
    assert.equal(typeof body['execution_time_ms'], 'number');
    assert.ok((body['usage'] as { input_tokens: number }).input_tokens > 0);
  } finally {
    await fleet.close();
  }
});

test('kill -9 of npm itself leaves no process [stop-kill]', async () => {
  const fleet = await FleetUnderTest.start({ viaNpm: true });
  const tree = fleet.tree();
  assert.ok(tree.some(isCodex), 'a Codex runs before');
  fleet.child.kill('SIGKILL');
  await fleet.exited;
  await eventually('the fleet under npm ends', 20_000, () => !tree.some(isAlive));
  await fleet.assertNothingLeft(tree);
  await fleet.close();
});

test('without a key the start says in plain words that no intelligence answers [start-demo-said]', async () => {
  const fleet = await FleetUnderTest.start();
  try {
    assert.match(fleet.screen, /demo model/i);
    assert.match(fleet.screen, /no AI|no intelligence|understands nothing/i);
    const { stdout } = await fleet.client.completed('What is the capital of France?');
    assert.match(stdout, /demo model/);
  } finally {
    await fleet.close();
  }
});

test('a taken port and a data directory in use are refused with exit code 2 and the owner’s pid [start-port-taken] [start-data-dir-taken]', async () => {
  const fleet = await FleetUnderTest.start();
  try {
    const { port } = new URL(fleet.client.url);
    const samePort = await FleetUnderTest.startRefused({ args: ['--port', port] });
    assert.equal(samePort.code, 2, samePort.said);
    assert.ok(samePort.said.includes(port), samePort.said);
    assert.match(samePort.said, new RegExp(`\\b${fleet.pid}\\b`));

    const sameDirectory = await FleetUnderTest.startRefused({ dataDir: fleet.dataDir });
    assert.equal(sameDirectory.code, 2, sameDirectory.said);
    assert.ok(sameDirectory.said.includes(fleet.dataDir), sameDirectory.said);
    assert.match(sameDirectory.said, new RegExp(`\\b${fleet.pid}\\b`));

    assert.equal((await fleet.client.request('GET', '/health')).status, 200, 'the first is not disturbed');
  } finally {
    await fleet.close();
  }
});

test('the token is kept 0600 in the data directory, and the second start has the same [start-token]', async () => {
  const scratch = newDirectory();
  const dataDir = path.join(scratch, 'data');
  try {
    const tokens: string[] = [];
    for (const _ of ['first', 'second']) {
      const fleet = await FleetUnderTest.start({ dataDir });
      try {
        const file = path.join(dataDir, 'token');
        assert.equal(statSync(file).mode & 0o777, 0o600);
        assert.equal(statSync(dataDir).mode & 0o077, 0, 'nobody else may look into the data directory');
        assert.equal(readFileSync(file, 'utf8').trim(), fleet.client.token);
        tokens.push(fleet.client.token);
      } finally {
        await fleet.close();
      }
    }
    assert.equal(tokens[0], tokens[1]);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

test('Ctrl-C lets a running turn end, refuses new ones, and ends with 0 [stop-interrupt]', async () => {
  const fleet = await FleetUnderTest.start();
  const running = fleet.client.exec({ prompt: 'stream: 40 words at 50 ms' });
  await eventually('the turn runs', 10_000, async () => {
    const { text } = await fleet.client.request('GET', '/api/v1/workers');
    return /"busy_sessions":\s*1/.test(text);
  });
  const stopping = fleet.stop();
  const { status, body } = await running;
  assert.deepEqual([status, body.status], [200, 'completed']);
  assert.deepEqual(await stopping, { code: 0, signal: null });
  await fleet.close();
});

test('a second Ctrl-C does not wait for the turns [stop-twice]', async () => {
  const fleet = await FleetUnderTest.start();
  const duration = `600.${String(process.pid)}1`;
  const running = fleet.client.exec({ prompt: `run: sleep ${duration}` }).catch(() => null);
  await eventually('the command runs', 10_000, () => findByArgs('sleep', duration).length > 0);
  const tree = fleet.tree();
  fleet.interrupt();
  await eventually('the fleet drains', 5_000, async () => {
    const health = await fleet.client.request('GET', '/readyz').catch(() => null);
    return health === null || health.status === 503;
  });
  const secondMs = performance.now();
  fleet.interrupt();
  assert.deepEqual(await within('the fleet ends after the second Ctrl-C', 10_000, fleet.exited), {
    code: 130,
    signal: null,
  });
  assert.ok(performance.now() - secondMs < 5_000);
  await running;
  await fleet.assertNothingLeft(tree);
  assert.deepEqual(findByArgs('sleep', duration), []);
  await fleet.close();
});

test('kill -9 of the fleet in mid-turn leaves none of its processes [stop-kill]', async () => {
  const fleet = await FleetUnderTest.start();
  const duration = `600.${String(process.pid)}2`;
  const running = fleet.client.exec({ prompt: `run: setsid sleep ${duration} & sleep ${duration}` }).catch(() => null);
  await eventually('both commands run', 10_000, () => findByArgs('sleep', duration).length === 2);
  const tree = fleet.tree();
  assert.ok(tree.some(isCodex), 'a Codex runs before');
  assert.ok(descendantsOf(fleet.pid).length > 1 && readProcess(fleet.pid) !== null);
  fleet.child.kill('SIGKILL');
  await fleet.exited;
  await running;
  await eventually('what the fleet had started ends', 15_000, () => !tree.some(isAlive));
  await fleet.assertNothingLeft(tree);
  assert.deepEqual(findByArgs('sleep', duration), []);
  await fleet.close();
});

test('every command-line entry of the package is the one that these tests start [start-ready]', () => {
  const { scripts } = JSON.parse(readFileSync(path.join(repository, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  assert.equal(scripts['start'], 'exec sh bin/run-node.sh --die-with-parent src/cli/main.ts up');
});
