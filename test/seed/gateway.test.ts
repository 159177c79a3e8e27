import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { EventOnWire } from '../../src/api/events.ts';
import { isTerminalEventType } from '../../src/core/event.ts';
import { assertWholeTurn } from '../e2e/event-checks.ts';
import { eventually } from '../e2e/eventually.ts';
import { useFleet } from '../e2e/use-fleet.ts';
import { curl, gatewayEnvironment, javascriptFor, metricTypes, put, workerEnvironment } from './snippets.ts';

const fleet = useFleet({ env: { ...gatewayEnvironment, ...workerEnvironment } });

test('the curl runs as printed, with the address and the credential put in [seed-curl]', async () => {
  const { url, token } = fleet().client;
  const line = `${put(curl, { 'https://codex-api.example.com': url })} -H 'Authorization: Bearer ${token}'`;
  const { stdout } = await promisify(execFile)('sh', ['-c', line], { timeout: 30_000 });
  const body = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual([body['status'], body['exit_code'], body['stderr']], ['completed', 0, ''], stdout);
  assert.match(String(body['stdout']), /create a rust web server/);
  assert.equal(typeof body['execution_time_ms'], 'number');
  const again = JSON.parse((await promisify(execFile)('sh', ['-c', line], { timeout: 30_000 })).stdout) as Record<
    string,
    unknown
  >;
  assert.equal(again['session_id'], body['session_id'], 'my-session is one session');
  assert.match(String(again['stdout']), /Earlier prompts that I was shown: 1/);
});

test('the curl as printed, without a credential, is told what is missing [seed-curl]', async () => {
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', put(curl, { 'https://codex-api.example.com': fleet().client.url })],
    { timeout: 30_000 },
  );
  const problem = JSON.parse(stdout) as Record<string, unknown>;
  assert.deepEqual([problem['status'], problem['code']], [401, 'unauthenticated']);
});

test("the JavaScript runs in Node as printed, with the subprotocol put in, and logs the turn's progress [seed-websocket]", async () => {
  const seen: EventOnWire[] = [];
  const sockets: WebSocket[] = [];
  class KeptWebSocket extends WebSocket {
    constructor(url: string, protocols: string[]) {
      super(url, protocols);
      sockets.push(this);
    }
  }
  const log = (label: string, data: EventOnWire): void => {
    assert.equal(label, 'Progress:');
    seen.push(data);
  };
  // eslint-disable-next-line typescript/no-implied-eval -- it is the snippet, and runs as it is printed
  const run = new Function('WebSocket', 'console', javascriptFor(fleet().client)) as (
    socket: unknown,
    console: unknown,
  ) => void;
  run(KeptWebSocket, { log });
  try {
    await eventually('the turn ends', 20_000, () => seen.some(({ type }) => isTerminalEventType(type)));
    assert.equal(sockets[0]?.protocol, 'codex-fleet', 'the token is not echoed');
    const events = seen.filter((data) => typeof data.seq === 'number');
    const end = events.at(-1);
    assert.ok(end?.turn_id);
    assertWholeTurn(events, { sessionId: end.session_id, turnId: end.turn_id });
    assert.match(String(end['stdout']), /create a complex application/);
  } finally {
    for (const socket of sockets) socket.close();
  }
});

test('GET /health answers 200 without a credential, and little [seed-names]', async () => {
  const response = await fetch(`${fleet().client.url}/health`);
  assert.equal(response.status, 200);
  const text = await response.text();
  assert.match(text, /ok/i);
  assert.doesNotMatch(text, /codex-pool-0/, 'who is not known is told nothing else');
});

test('the environment of the seed is accepted, and WORKER_ID names the worker [seed-names]', async () => {
  const { client } = fleet();
  const { body } = await client.request<{ data: { id: string }[] }>('GET', '/api/v1/workers');
  assert.deepEqual(
    body.data.map(({ id }) => id),
    [workerEnvironment.WORKER_ID],
  );
});

test('the metrics have their names and types, and count [seed-names]', async () => {
  const { client } = fleet();
  const value = (text: string, sample: RegExp): number => Number(sample.exec(text)?.[1] ?? 'nothing');
  const requests = /^codex_requests_total\{route="exec",status_class="2xx"\} (\d+)$/m;
  const durations = /^codex_request_duration_seconds_count\{route="exec"\} (\d+)$/m;
  await client.completed('say: counted');
  const before = (await client.request('GET', '/metrics')).text;
  for (const [name, type] of Object.entries(metricTypes))
    assert.match(before, new RegExp(`^# TYPE ${name} ${type}$`, 'm'));
  assert.match(
    before,
    /^codex_request_duration_seconds_bucket\{le="\+Inf",route="exec"\} \d+$|^codex_request_duration_seconds_bucket\{route="exec",le="\+Inf"\} \d+$/m,
  );
  await client.completed('say: counted');
  await client.completed('say: counted');
  const after = (await client.request('GET', '/metrics')).text;
  assert.equal(value(after, requests) - value(before, requests), 2);
  assert.equal(value(after, durations) - value(before, durations), 2);
});

test('the log has a line with session_id and prompt_length for an exec, and never the prompt [seed-names]', async () => {
  const prompt = `say: a prompt of its own length ${'x'.repeat(137)}`;
  const { session_id: sessionId } = await fleet().client.completed(prompt, 'logged');
  const line = await eventually('the log line', 5_000, () =>
    fleet().logLines.find((one) => one['prompt_length'] === prompt.length && typeof one['session_id'] === 'string'),
  );
  assert.ok([sessionId, 'logged'].includes(String(line['session_id'])));
  assert.ok(!fleet().log.includes('a prompt of its own length'));
});
