import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism, loadavg } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { eventually, within } from './eventually.ts';
import { FleetUnderTest, newDirectory, repository } from './fleet-under-test.ts';
import { findByArgs, isAlive, isCodex } from './processes.ts';

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
  await using fleet = await FleetUnderTest.start({ viaNpm: true });
  // The promise is for a machine that is free for it; this one may be doing other things, too.
  const slowdown = Math.max(1, loadavg()[0]! / availableParallelism());
  const readyMs = performance.now() - startedMs;
  assert.ok(readyMs < 5_000 * slowdown, `ready after ${Math.round(readyMs)} ms, slowed down by ${slowdown}`);
  for (const word of ['url', 'token', 'model', 'cage', 'sandbox', 'ready']) {
    assert.match(fleet.screen, new RegExp(`\\b${word}\\b`, 'i'), word);
  }
  assert.ok(fleet.curlLine.includes(fleet.client.url), 'the curl line has the port that was picked');

  const pasted = ['-c', `${fleet.curlLine} -w '\\n%{http_code}'`];
  const output = execFileSync('sh', pasted, { encoding: 'utf8', timeout: 30_000 });
  const [json = '', status] = output.split(/\n(?=\d+$)/);
  assert.equal(status, '200', output);
  const body = JSON.parse(json) as Record<string, unknown>;
  const missing = requiredFields.filter((field) => !(field in body));
  assert.deepEqual(missing, []);
  assert.deepEqual([body['status'], body['exit_code'], body['stderr']], ['completed', 0, ''], json);
  assert.equal(typeof body['execution_time_ms'], 'number');
  assert.ok((body['usage'] as { input_tokens: number }).input_tokens > 0);
});

test('kill -9 of npm itself leaves no process [stop-kill]', async () => {
  await using fleet = await FleetUnderTest.start({ viaNpm: true });
  await eventually('a Codex runs before', 10_000, () => fleet.tree().some(isCodex));
  const tree = fleet.tree();
  fleet.child.kill('SIGKILL');
  await eventually('the fleet under npm ends', 20_000, () => !tree.some(isAlive));
  await fleet.exited;
  await fleet.assertNothingLeft(tree);
});

test('without a key the start says in plain words that no intelligence answers [start-demo-said]', async () => {
  await using fleet = await FleetUnderTest.start();
  assert.match(fleet.screen, /demo model/i);
  assert.match(fleet.screen, /no AI|no intelligence|understands nothing/i);
  const { stdout } = await fleet.client.completed('What is the capital of France?');
  assert.match(stdout, /demo model/);
});

test('a taken port and a data directory in use are refused with exit code 2 and the pid of the owner [start-port-taken] [start-data-dir-taken]', async () => {
  await using fleet = await FleetUnderTest.start();
  const { port } = new URL(fleet.client.url);
  const refusals = [
    { taken: port, refused: await FleetUnderTest.startRefused({ args: ['--port', port] }) },
    { taken: fleet.dataDir, refused: await FleetUnderTest.startRefused({ dataDir: fleet.dataDir }) },
  ];
  for (const { taken, refused } of refusals) {
    assert.equal(refused.code, 2, refused.said);
    assert.ok(refused.said.includes(taken), refused.said);
    assert.match(refused.said, new RegExp(`\\b${fleet.pid}\\b`));
  }
  assert.equal((await fleet.client.request('GET', '/health')).status, 200, 'the first is not disturbed');
});

test('the token is kept 0600 in the data directory, and the second start has the same [start-token]', async () => {
  const scratch = newDirectory();
  const dataDir = path.join(scratch, 'data');
  const startOnce = async (): Promise<string> => {
    await using fleet = await FleetUnderTest.start({ dataDir });
    const file = path.join(dataDir, 'token');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(dataDir).mode & 0o077, 0, 'nobody else may look into the data directory');
    assert.equal(readFileSync(file, 'utf8').trim(), fleet.client.token);
    return fleet.client.token;
  };
  try {
    assert.equal(await startOnce(), await startOnce());
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});

test('Ctrl-C lets a running turn end, and then ends with 0, whoever holds an unused connection [stop-interrupt]', async () => {
  await using fleet = await FleetUnderTest.start();
  // As browsers do in advance.
  const unused = connect(Number(new URL(fleet.client.url).port), '127.0.0.1').on('error', () => {});
  const running = fleet.client.exec({ prompt: 'stream: 40 words at 50 ms' });
  await eventually('the turn runs', 10_000, async () => {
    const { text } = await fleet.client.request('GET', '/api/v1/workers');
    return /"busy_sessions":\s*1/.test(text);
  });
  const stopping = fleet.stop();
  const { status, body } = await running;
  assert.deepEqual([status, body.status], [200, 'completed']);
  assert.deepEqual(await stopping, { code: 0, signal: null });
  unused.destroy();
});

test('a second Ctrl-C does not wait for the turns [stop-twice]', async () => {
  await using fleet = await FleetUnderTest.start();
  const duration = `600.${process.pid}1`;
  const running = fleet.client.exec({ prompt: `run: sleep ${duration}` }).catch(() => null);
  await eventually('the command runs', 10_000, () => findByArgs('sleep', duration).length > 0);
  const tree = fleet.tree();
  fleet.interrupt();
  await eventually('the fleet says that it stops', 5_000, () => fleet.log.includes('Ctrl-C again'));
  // As a person who has read it: signals that come at once are the same key press, forwarded by npm.
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(isAlive(tree.find(({ pid }) => pid === fleet.pid) ?? tree[0]!), true, 'it waits for the turn');
  const exit = fleet.exited;
  fleet.interrupt();
  assert.deepEqual(await within('the end after the second Ctrl-C', 5_000, exit), { code: 130, signal: null });
  await running;
  await fleet.assertNothingLeft(tree);
  assert.deepEqual(findByArgs('sleep', duration), []);
});

test('kill -9 of the fleet in mid-turn leaves none of its processes [stop-kill]', async () => {
  await using fleet = await FleetUnderTest.start();
  const duration = `600.${process.pid}2`;
  const prompt = `run: setsid sleep ${duration} & sleep ${duration}`;
  const running = fleet.client.exec({ prompt }).catch(() => null);
  await eventually('both commands run', 10_000, () => findByArgs('sleep', duration).length === 2);
  const tree = fleet.tree();
  assert.ok(tree.some(isCodex) && tree.length > 3);
  fleet.child.kill('SIGKILL');
  await eventually('what the fleet had started ends', 15_000, () => !tree.some(isAlive));
  await Promise.all([fleet.exited, running]);
  await fleet.assertNothingLeft(tree);
  assert.deepEqual(findByArgs('sleep', duration), []);
});

test('what these tests start is what `npm start` starts [start-ready]', () => {
  const file = readFileSync(path.join(repository, 'package.json'), 'utf8');
  const { scripts } = JSON.parse(file) as { scripts: Record<string, string> };
  assert.equal(scripts['start'], 'exec sh bin/run-node.sh --die-with-parent src/cli/main.ts up');
});
