import assert from 'node:assert/strict';
import { test } from 'node:test';
import { metricValue } from '../testing/metric-value.ts';
import { createMetrics } from './metrics.ts';

test('a process says which role and version it is, and nothing where nobody told it', async () => {
  const told = createMetrics({ process: { role: 'worker', version: '1.2.3' } });
  assert.equal(await metricValue(told, 'codex_fleet_process_info{role="worker",version="1.2.3"}'), 1);
  const { body } = await createMetrics().render();
  assert.doesNotMatch(body, /^codex_fleet_process_info\{/m);
});

test('each end that counts against us is there at zero before it happens, so that a rule sees the first one', async () => {
  const metrics = createMetrics();
  const series = 'codex_fleet_turn_ends_total{reason="worker_lost",goes_on="no"}';
  assert.equal(await metricValue(metrics, series), 0);
  metrics.turnEnds.inc({ reason: 'worker_lost', goes_on: 'no' });
  assert.equal(await metricValue(metrics, series), 1);
});

test('the bound of 50 ms that was promised is one of the bounds of the overhead', async () => {
  const metrics = createMetrics();
  metrics.gatewayOverheadSeconds.observe({ part: 'answer' }, 0.04);
  metrics.gatewayOverheadSeconds.observe({ part: 'answer' }, 0.06);
  const series = 'codex_fleet_gateway_overhead_seconds_bucket{le="0.05",part="answer"}';
  assert.equal(await metricValue(metrics, series), 1);
});
