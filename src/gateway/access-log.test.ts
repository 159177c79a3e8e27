import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { GatewayParts } from './gateway-parts.ts';
import { createLogger } from '../observability/logger.ts';
import { jsonOf, readEvents, startGateway, type GatewayFixture, type Json } from '../testing/gateway-fixture.ts';

type Logged = GatewayFixture & { lines(event: string): Json[]; text(): string };

async function startLogged(t: TestContext, showPrompts: boolean, parts: Partial<GatewayParts> = {}): Promise<Logged> {
  let text = '';
  const destination = { write: (line: string) => void (text += line) };
  const logger = createLogger({ level: 'info', role: 'test', destination, showPrompts });
  const fleet = await startGateway(t, { logger, logPrompts: showPrompts, ...parts });
  const lines = (event: string): Json[] =>
    text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Json)
      .filter((line) => line['event'] === event);
  return Object.assign(fleet, { lines, text: () => text });
}

const headers = {
  'x-request-id': 'req-1',
  'user-agent': 'tester/1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

test('a request is one line in the words of Cloud Logging, found again from its turn by the request id', async (t) => {
  const fleet = await startLogged(t, false, { gcpProject: 'proj' });
  const made = await jsonOf(await fleet.post('/api/v1/exec', { prompt: 'hush hush' }, headers));
  await fleet.get('/api/v1/sessions?after=hidden', headers);
  await fleet.get('/livez');

  const [exec, sessions, ...others] = fleet.lines('request');
  assert.deepEqual(others, []);
  const { latency, ...request } = (exec?.['httpRequest'] ?? {}) as Json;
  assert.deepEqual(request, { requestMethod: 'POST', requestUrl: '/api/v1/exec', status: 200, userAgent: 'tester/1' });
  assert.match(String(latency), /^\d+\.\d{3}s$/);
  assert.equal(exec?.['logging.googleapis.com/trace'], 'projects/proj/traces/0af7651916cd43dd8448eb211c80319c');
  assert.equal(((sessions?.['httpRequest'] ?? {}) as Json)['requestUrl'], '/api/v1/sessions');
  assert.doesNotMatch(fleet.text(), /hush|hidden/);

  const turn = await jsonOf(
    await fleet.get(`/api/v1/sessions/${String(made['session_id'])}/turns/${String(made['turn_id'])}`),
  );
  assert.equal(turn['request_id'], 'req-1');
  assert.deepEqual(
    [exec, ...fleet.lines('exec_accepted')].map((line) => line?.['request_id']),
    ['req-1', 'req-1'],
  );
});

test('a stream is a line too, when it has ended', async (t) => {
  const fleet = await startLogged(t, false);
  await readEvents(await fleet.post('/api/v1/exec', { prompt: 'say 1', stream: true }));
  // The client has the last event a moment before the server's end of it is done.
  await fleet.gateway.stop();
  assert.deepEqual(
    fleet.lines('request').map((line) => (line['httpRequest'] as Json)['status']),
    [200],
  );
});

test('prompts are logged only where that was switched on, and credentials in them never', async (t) => {
  const fleet = await startLogged(t, true);
  await fleet.post('/api/v1/exec', { prompt: `use Bearer abc ${'x'.repeat(10_000)}` });
  const [line] = fleet.lines('exec_accepted');
  const prompt = String(line?.['prompt']);
  assert.match(prompt, /^use Bearer \[redacted\] x+$/);
  assert.ok(prompt.length <= 8_200);
});
