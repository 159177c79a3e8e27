import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunningCluster } from './running-cluster.ts';

test('a cluster with its records in Firestore and its snapshots in Cloud Storage answers, remembers, and goes on elsewhere', async (t) => {
  const running = await RunningCluster.start(t, { storage: 'google', workers: 2 });
  if (running === null) return;
  const first = await running.client.completed('write: todo.txt: remember the milk', 'notes');
  assert.equal(first.stdout, 'Wrote todo.txt.');
  await running.cluster.kill9('worker-1');
  await running.cluster.kill9('worker-2');
  await running.whole();
  const second = await running.client.completed('run: cat todo.txt', 'notes');
  assert.match(second.stdout, /remember the milk/);
});
