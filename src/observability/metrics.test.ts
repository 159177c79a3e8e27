import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMetrics, statusClassOf } from './metrics.ts';

test('the metrics of the seed have its names and types', async () => {
  const { contentType, body } = await createMetrics().render();
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  assert.match(body, /^# TYPE codex_requests_total counter$/m);
  assert.match(body, /^# TYPE codex_request_duration_seconds histogram$/m);
});

test('what was observed is rendered, and each value of a closed label is there at zero before', async () => {
  const metrics = createMetrics();
  metrics.requests.inc({ route: 'exec', status_class: statusClassOf(201) });
  metrics.requestDurationSeconds.observe({ route: 'exec' }, 0.2);
  metrics.turns.inc({ outcome: 'completed' }, 2);
  metrics.slots.set({ state: 'idle' }, 3);
  metrics.streams.inc({ kind: 'sse' });
  metrics.streams.inc({ kind: 'sse' }, -1);
  metrics.queueWaitSeconds.observe(0.01);
  const { body } = await metrics.render();
  const lines = new Set(body.split('\n'));
  for (const line of [
    'codex_requests_total{route="exec",status_class="2xx"} 1',
    'codex_requests_total{route="ws",status_class="5xx"} 0',
    'codex_request_duration_seconds_count{route="exec"} 1',
    'codex_fleet_turns_total{outcome="completed"} 2',
    'codex_fleet_turns_total{outcome="failed"} 0',
    'codex_fleet_slots{state="idle"} 3',
    'codex_fleet_streams{kind="sse"} 0',
    'codex_fleet_queue_wait_seconds_count 1',
    'codex_fleet_waiting_turns 0',
  ]) {
    assert.ok(lines.has(line), line);
  }
});

test('each metric has a help text, and two servers in one process do not share numbers', async () => {
  const first = createMetrics();
  const second = createMetrics();
  first.turns.inc({ outcome: 'failed' });
  const { body } = await second.render();
  assert.match(body, /codex_fleet_turns_total\{outcome="failed"\} 0/);
  const named = [...body.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
  const helped = [...body.matchAll(/^# HELP (\S+) \S/gm)].map((match) => match[1]);
  assert.deepEqual(helped, named);
});

test('tokens are counted by model, and however many names clients think of, the page stays small', async () => {
  const metrics = createMetrics();
  const usage = { inputTokens: 5, cachedInputTokens: 1, outputTokens: 2, reasoningOutputTokens: 0, costUsd: 0.25 };
  for (let index = 0; index < 100; index += 1) metrics.countTurnUsage(`m${index}`, usage);
  metrics.countTurnUsage('m0', { ...usage, costUsd: null });
  const { body } = await metrics.render();
  const lines = body.split('\n');
  assert.ok(lines.includes('codex_fleet_turn_tokens_total{model="m0",kind="input"} 10'));
  assert.ok(lines.includes('codex_fleet_turn_tokens_total{model="other",kind="output"} 160'));
  assert.ok(lines.includes('codex_fleet_turn_cost_usd_total{model="m0"} 0.25'));
  assert.equal(lines.filter((line) => line.startsWith('codex_fleet_turn_cost_usd_total{')).length, 21);
});

test('every metric is described, with what its labels may be', async () => {
  const metrics = createMetrics();
  const described = metrics.describe();
  const { body } = await metrics.render();
  const rendered = [...body.matchAll(/^# TYPE (\S+) (\S+)/gm)].map(([, name, type]) => `${name} ${type}`);
  assert.deepEqual(
    described.map(({ name, type }) => `${name} ${type}`),
    rendered,
  );
  assert.deepEqual(described.find(({ name }) => name === 'codex_fleet_streams')?.labels, { kind: ['sse', 'ws'] });
});

test('a status outside the known classes counts as a server error', () => {
  assert.deepEqual([100, 204, 404, 503, 799, 0].map(statusClassOf), ['1xx', '2xx', '4xx', '5xx', '5xx', '5xx']);
});
