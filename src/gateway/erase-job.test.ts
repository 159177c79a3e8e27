import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServiceError } from '../core/errors.ts';
import { type JobRecord, jobStatuses } from '../core/job.ts';
import { askerOf, refusalOf } from '../testing/fleet-asker.ts';
import { type GatewayFixture, startGateway } from '../testing/gateway-fixture.ts';
import { deliveryRecord, jobRecord } from '../testing/stored-records.ts';

const nowMs = Date.UTC(2026, 0, 1);

let minted = 0;
async function stored({ records }: GatewayFixture, changes: Partial<JobRecord>): Promise<JobRecord> {
  minted += 1;
  const id = `019f0000-0000-7000-8000-${String(minted).padStart(12, '0')}`;
  return (await records.jobs.create(jobRecord({ tenant: 'default', id, ...changes }))).record;
}

test('a job that has ended is erased with all deliveries that tell of it, to whomever; its session stays', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const { deliveries, jobs } = fleet.records;
  for (const status of jobStatuses) {
    const job = await stored(fleet, { status, dueAt: status === 'queued' ? nowMs : null, untold: ['job.started'] });
    const { id } = job;
    const own = { kind: 'job', id } as const;
    const to = [own, { kind: 'webhook', id: 'hook' }, { kind: 'topic', id: 'topic' }] as const;
    const ids = to.map(({ kind }) => `${kind}-${id}`);
    for (const [index, target] of to.entries())
      await deliveries.create(deliveryRecord({ tenant: 'default', id: ids[index] ?? '', jobId: id, target }));
    const left = async (): Promise<number> => {
      const found = await Promise.all(ids.map((delivery) => deliveries.get('default', delivery)));
      return found.filter((delivery) => delivery !== null).length;
    };
    const answer = await ask('DELETE', `/jobs/${id}`);
    if (status === 'queued' || status === 'running') {
      assert.deepEqual([...refusalOf(answer), answer.body['job_status']], [409, 'job_not_ended', status]);
      assert.deepEqual([await jobs.get('default', id), await left()], [job, 3]);
      continue;
    }
    assert.deepEqual([answer.status, answer.body], [200, { id, object: 'job', deleted: true }]);
    assert.deepEqual([await jobs.get('default', id), await left()], [null, 0]);
    assert.deepEqual(refusalOf(await ask('DELETE', `/jobs/${id}`)), [404, 'job_not_found']);
  }
  const { id } = await stored(fleet, { status: 'failed', dueAt: null });
  assert.deepEqual(refusalOf(await askerOf(fleet, 'stranger')('DELETE', `/jobs/${id}`)), [404, 'job_not_found']);
});

test('a job whose erasure was cut short is neither told of nor tried again, and goes when asked once more', async (t) => {
  const fleet = await startGateway(t);
  const ask = askerOf(fleet);
  const { deliveries, jobs } = fleet.records;
  const { id } = await stored(fleet, { status: 'failed', dueAt: null, endedAt: nowMs, untold: ['job.failed'] });
  const { eraseOf } = deliveries;
  deliveries.eraseOf = async () => {
    throw new ServiceError('store_unavailable');
  };
  assert.deepEqual(refusalOf(await ask('DELETE', `/jobs/${id}`)), [503, 'store_unavailable']);
  const marked = await jobs.get('default', id);
  assert.deepEqual([marked?.status, marked?.erasing, marked?.untold], ['failed', true, undefined]);
  assert.deepEqual(refusalOf(await ask('POST', `/jobs/${id}/retry`)), [409, 'job_not_retryable']);
  deliveries.eraseOf = (tenant, of) => eraseOf.call(deliveries, tenant, of);
  assert.equal((await ask('DELETE', `/jobs/${id}`)).status, 200);
  assert.equal(await jobs.get('default', id), null);
});
