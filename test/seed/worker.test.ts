import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Problem } from '../../src/api/problem.ts';
import { eventually } from '../e2e/eventually.ts';
import { findByArgs } from '../e2e/processes.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { workerEnvironment, workerRequest, workerResponseFields } from './snippets.ts';

type WorkerResponse = {
  readonly exit_code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly execution_time_ms: number;
};

const worker = useFleet({ role: 'worker', env: workerEnvironment });

async function execute(body: unknown) {
  return await worker().client.request<WorkerResponse>('POST', '/execute', body);
}

test('POST /execute answers what the seed’s gateway reads, with the real Codex behind it [seed-worker]', async () => {
  const { status, body, text } = await execute(workerRequest);
  assert.equal(status, 200, text);
  assert.deepEqual(Object.keys(body).sort(), workerResponseFields);
  assert.deepEqual([body.exit_code, body.stderr], [0, '']);
  assert.match(body.stdout, /create a rust web server/);
  assert.match((await execute({ prompt: 'run: echo $((6 * 7))' })).body.stdout, /42/);
});

test('each /execute is a session of its own: nothing is left for the next [seed-worker]', async () => {
  await execute({ prompt: 'write: left.txt: left' });
  const { body } = await execute({ prompt: 'run: ls -A; echo listed' });
  assert.match(body.stdout, /listed/);
  assert.doesNotMatch(body.stdout, /left\.txt/);
  assert.match((await execute({ prompt: 'recall' })).body.stdout, /no earlier prompts/);
});

test('timeout_ms ends the prompt and what it had started: 124, and why on stderr [seed-worker]', async () => {
  const duration = `600.${process.pid}8`;
  const { status, body, elapsedMs } = await execute({
    prompt: `run: setsid sleep ${duration} & sleep ${duration}`,
    timeout_ms: 1500,
  });
  assert.deepEqual([status, body.exit_code], [200, 124]);
  assert.ok(body.stderr.length > 0 && elapsedMs < 6500);
  await eventually('nothing of it runs', 2_000, () => findByArgs('sleep', duration).length === 0);
});

test('a failure is told by exit code and stderr, and a malformed request by a typed 4xx [seed-worker]', async () => {
  const failed = await execute({ prompt: 'fail: quota' });
  assert.deepEqual([failed.status, failed.body.exit_code, failed.body.stdout], [200, 1, '']);
  assert.ok(failed.body.stderr.length > 0);
  for (const body of [{}, { prompt: 7 }, { prompt: 'x', timeout_ms: 'soon' }]) {
    const refused = await worker().client.request<Problem>('POST', '/execute', body);
    assert.deepEqual([refused.status, refused.body.code], [400, 'invalid_request']);
  }
});

test('GET /health needs no credential and POST /execute does [seed-worker]', async () => {
  const { url } = worker().client;
  const health = await fetch(`${url}/health`);
  assert.equal(health.status, 200);
  assert.match(await health.text(), /ok/i);
  const body = JSON.stringify(workerRequest);
  for (const headers of [{}, { authorization: 'Bearer cf_wrong' }]) {
    const refused = await fetch(`${url}/execute`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body,
    });
    assert.equal(refused.status, 401);
    assert.equal(((await refused.json()) as Problem).code, 'unauthenticated');
  }
});

test('GET /metrics has the names of the seed, and needs a credential', async () => {
  const { url } = worker().client;
  assert.equal((await fetch(`${url}/metrics`)).status, 401);
  const metrics = await worker().client.request('GET', '/metrics');
  assert.equal(metrics.status, 200);
  assert.match(metrics.text, /codex_requests_total/);
});

test('WORKER_ID names the worker in what it says and in its log [seed-worker]', () => {
  assert.match(worker().screen, new RegExp(`\\b${workerEnvironment.WORKER_ID}\\b`));
  assert.ok(worker().logLines.some((line) => line['worker_id'] === workerEnvironment.WORKER_ID));
});
