import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunningCluster } from './running-cluster.ts';

test('a turn started at one gateway is streamed, resumed, cancelled, steered and approved at the other [fleet-any-gateway]', {
  timeout: 180_000,
}, async (t) => {
  const running = await RunningCluster.start(t);
  if (running === null) return;
  const one = running.gateway(1);
  const other = running.gateway(2);

  const first = await one.completed('say: first', 'shared');
  assert.equal(first.stdout, 'first');
  const second = await other.completed('say: second', 'shared');
  assert.equal(second.session_id, first.session_id);
});
