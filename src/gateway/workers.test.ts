import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WorkerStatus } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import { jsonOf, otherTenantToken, startGateway } from '../testing/gateway-fixture.ts';
import type { FleetControl } from './gateway-parts.ts';

const worker = (id: string, state: WorkerStatus['state']): WorkerStatus => ({
  id,
  state,
  slots: { limit: 2, starting: 0, idle: 1, bound: 1 },
  busySessions: 1,
  waitingTurns: 0,
  isolation: { cage: 'own-root', cageProblem: null, innerSandbox: 'bubblewrap', innerSandboxProblem: null },
  codexVersion: '0.0.0',
  startedAt: 0,
});

class FakeFleet implements FleetControl {
  readonly drained: string[] = [];

  async workers(): Promise<readonly WorkerStatus[]> {
    return [worker('w1', 'ready'), worker('w2', 'draining')];
  }

  async drainWorker(id: string): Promise<void> {
    if (id !== 'w1') throw new ServiceError('worker_not_found', { worker: id });
    this.drained.push(id);
  }
}

test('all workers of the fleet are listed', async (t) => {
  const { get } = await startGateway(t, { fleet: new FakeFleet() });
  const { data } = (await jsonOf(await get('/api/v1/workers'))) as { data: readonly { id: string; status: string }[] };
  assert.deepEqual(
    data.map(({ id, status }) => [id, status]),
    [
      ['w1', 'ready'],
      ['w2', 'draining'],
    ],
  );
});

test('a worker is drained by its id, and an unknown one is not found', async (t) => {
  const fleet = new FakeFleet();
  const { post } = await startGateway(t, { fleet });
  const drained = await post('/api/v1/workers/w1/drain');
  assert.equal(drained.status, 202);
  assert.deepEqual(await jsonOf(drained), { id: 'w1', object: 'worker', status: 'draining' });
  const unknown = await post('/api/v1/workers/w9/drain');
  assert.equal(unknown.status, 404);
  assert.equal((await jsonOf(unknown))['code'], 'worker_not_found');
  assert.deepEqual(fleet.drained, ['w1']);
});

test('a tenant beside that of the operator drains no worker', async (t) => {
  const fleet = new FakeFleet();
  const { post } = await startGateway(t, { fleet });
  const refused = await post('/api/v1/workers/w1/drain', undefined, { authorization: `Bearer ${otherTenantToken}` });
  assert.equal(refused.status, 403);
  assert.deepEqual(fleet.drained, []);
});

test('a gateway with one worker beside it lists it, and does not take it from itself', async (t) => {
  const { get, post } = await startGateway(t);
  const { data } = (await jsonOf(await get('/api/v1/workers'))) as { data: readonly { id: string }[] };
  assert.deepEqual(
    data.map(({ id }) => id),
    ['worker-0'],
  );
  assert.equal((await post('/api/v1/workers/worker-0/drain')).status, 403);
  assert.equal((await post('/api/v1/workers/w9/drain')).status, 404);
});
