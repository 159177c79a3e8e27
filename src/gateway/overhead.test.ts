import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startGateway } from '../testing/gateway-fixture.ts';
import { metricValue } from '../testing/metric-value.ts';

const count = (part: string): string => `codex_fleet_gateway_overhead_seconds_count{part="${part}"}`;

test('a turn that is waited for counts once as handed over and once as answered; one that is refused as neither', async (t) => {
  const { metrics, post, worker } = await startGateway(t);
  const answered = await post('/api/v1/exec', { prompt: 'echo hello' });
  assert.equal(answered.status, 200);
  assert.deepEqual(
    [await metricValue(metrics, count('handover')), await metricValue(metrics, count('answer'))],
    [1, 1],
  );
  const background = await post('/api/v1/exec', { prompt: 'echo hello', background: true });
  assert.equal(background.status, 202);
  assert.deepEqual(
    [await metricValue(metrics, count('handover')), await metricValue(metrics, count('answer'))],
    [2, 1],
  );
  worker.refuseWith = 'draining';
  assert.equal((await post('/api/v1/exec', { prompt: 'echo hello' })).status, 503);
  assert.deepEqual(
    [await metricValue(metrics, count('handover')), await metricValue(metrics, count('answer'))],
    [2, 1],
  );
});

test('the credential for numbers reads /metrics of a gateway and nothing else', async (t) => {
  const metricsToken = 'a-token-for-numbers';
  const { get } = await startGateway(t, { metricsToken });
  const authorization = `Bearer ${metricsToken}`;
  assert.equal((await get('/metrics', { authorization })).status, 200);
  for (const path of ['/api/v1/sessions', '/api/v1/usage', '/api/v1/workers'])
    assert.equal((await get(path, { authorization })).status, 401, path);
  assert.equal((await get('/metrics', { authorization: 'Bearer another-token-of-16' })).status, 401);
});
