import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ServiceError } from '../../core/errors.ts';
import { DeliveryLab } from '../../testing/delivery-lab.ts';
import { jobRecord, jobSpec } from '../../testing/stored-records.ts';
import { deliveryId } from './record-outbox.ts';

const url = 'https://hooks.example.com/';

test('each webhook that wants it has a delivery once the notice is put, with the same id however often it is said', async () => {
  const lab = new DeliveryLab();
  const all = await lab.webhook(url);
  const some = await lab.webhook(url, { types: ['turn.failed'] });
  const disabled = await lab.webhook(url, { disabled: 'user' });
  const outbox = lab.outbox();
  const notice = lab.notice('turn-1', 7);
  await outbox.put([notice]);
  await Promise.all([outbox.put([notice]), lab.outbox().put([notice, notice])]);
  const [delivery, ...others] = await lab.deliveries(all.id);
  assert.deepEqual(others, []);
  assert.deepEqual(await lab.deliveries(some.id), []);
  assert.deepEqual(await lab.deliveries(disabled.id), []);
  const nowMs = lab.clock.now();
  assert.deepEqual(delivery, {
    tenant: 'acme',
    id: deliveryId(notice, { kind: 'webhook', id: all.id }),
    revision: 1,
    target: { kind: 'webhook', id: all.id },
    type: 'turn.completed',
    lane: `${all.id}/turn-1`,
    order: 7,
    sessionId: null,
    jobId: null,
    noticeAt: nowMs,
    data: notice.data,
    status: 'pending',
    attempts: [],
    attemptCount: 0,
    dueAt: nowMs,
    giveUpAt: nowMs + 24 * 3_600_000,
    replayOf: null,
    createdAt: nowMs,
    endedAt: null,
  });
  assert.match(delivery.id, /^[0-9a-f]{8}-[0-9a-f]{4}-8/);
});

test('nobody of another tenant is told', async () => {
  const lab = new DeliveryLab();
  const other = await lab.webhook(url, { tenant: 'zeta' });
  await lab.outbox().put([lab.notice('turn-1', 1)]);
  const page = await lab.records.deliveries.list(
    'zeta',
    { targetId: other.id, status: null },
    { after: null, limit: 10, order: 'asc' },
  );
  assert.deepEqual(page.data, []);
});

test('a job that names a receiver has its own notices told there, and a fleet with a topic has all told there', async () => {
  const lab = new DeliveryLab();
  const job = jobRecord({ spec: jobSpec({ webhook: { url, secret: 'whsec_x' } }) });
  await lab.records.jobs.create(job);
  const outbox = lab.outbox({ topic: true });
  await outbox.put([
    lab.notice(job.id, 1, { type: 'job.started' }),
    lab.notice('another-job', 1, { type: 'job.started' }),
    lab.notice('turn-1', 1, { type: 'turn.failed' }),
  ]);
  const own = await lab.deliveries(job.id);
  assert.deepEqual(
    own.map(({ lane, target, type }) => ({ lane, target, type })),
    [{ lane: `${job.id}/${job.id}`, target: { kind: 'job', id: job.id }, type: 'job.started' }],
  );
  assert.equal((await lab.deliveries('topic')).length, 3);
});

test('a question about one webhook goes there alone', async () => {
  const lab = new DeliveryLab();
  const asked = await lab.webhook(url, { types: ['job.failed'] });
  const other = await lab.webhook(url);
  await lab.outbox({ topic: true }).put([lab.notice(asked.id, 1, { type: 'webhook.test' })]);
  assert.equal((await lab.deliveries(asked.id)).length, 1);
  assert.deepEqual([await lab.deliveries(other.id), await lab.deliveries('topic')], [[], []]);
});

test('puts at the same moment share a read, and none uses a read that had begun before it', async () => {
  const lab = new DeliveryLab();
  const reads: (() => void)[] = [];
  const webhooks: typeof lab.records.webhooks = Object.create(lab.records.webhooks);
  webhooks.list = async (tenant, query) => {
    // What is answered stood there when the read began.
    const page = await lab.records.webhooks.list(tenant, query);
    await new Promise<void>((resolve) => reads.push(resolve));
    return page;
  };
  const outbox = lab.outbox({ records: { ...recordsOf(lab), webhooks } });
  const first = [1, 2, 3].map((order) => outbox.put([lab.notice(`turn-${order}`, 1)]));
  await setImmediate();
  assert.equal(reads.length, 1);
  const late = await lab.webhook(url);
  const second = [4, 5, 6].map((order) => outbox.put([lab.notice(`turn-${order}`, 1)]));
  await setImmediate();
  assert.equal(reads.length, 1);
  reads[0]?.();
  await Promise.all(first);
  await setImmediate();
  assert.equal(reads.length, 2);
  reads[1]?.();
  await Promise.all(second);
  assert.deepEqual((await lab.deliveries(late.id)).map(({ lane }) => lane.slice(-1)).sort(), ['4', '5', '6']);
});

test('all of many webhooks are told, beyond one page', async () => {
  const lab = new DeliveryLab();
  for (let number = 0; number < 130; number++) await lab.webhook(url);
  await lab.outbox({ topic: true }).put([lab.notice('turn-1', 1)]);
  const due = await lab.records.deliveries.listDue(lab.clock.now() + 1, null, 100);
  const rest = await lab.records.deliveries.listDue(lab.clock.now() + 1, due.data.at(-1) ?? null, 100);
  assert.equal(due.data.length + rest.data.length, 131);
});

test('what is put for one lane is written in that order, and behind one that failed nothing is', async () => {
  const lab = new DeliveryLab();
  const hook = await lab.webhook(url);
  const written: number[] = [];
  const held: (() => void)[] = [];
  let isAway = false;
  const deliveries: typeof lab.records.deliveries = Object.create(lab.records.deliveries);
  deliveries.create = async (delivery) => {
    await new Promise<void>((resolve) => held.push(resolve));
    if (isAway) throw new ServiceError('store_unavailable');
    written.push(delivery.order);
    return await lab.records.deliveries.create(delivery);
  };
  let pokes = 0;
  const outbox = lab.outbox({ records: { ...recordsOf(lab), deliveries }, onPut: () => pokes++ });
  const puts = [
    outbox.put([lab.notice('turn-1', 1), lab.notice('turn-1', 2)]),
    outbox.put([lab.notice('turn-1', 3)]),
    outbox.put([lab.notice('turn-2', 9)]),
  ];
  const outcomes = Promise.allSettled(puts);
  await setImmediate();
  assert.equal(held.length, 2, 'one of each lane');
  held.splice(0).forEach((go) => go());
  await setImmediate();
  isAway = true;
  held.splice(0).forEach((go) => go());
  assert.deepEqual(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'rejected', 'fulfilled'],
  );
  assert.deepEqual(
    [...written].sort((a, b) => a - b),
    [1, 9],
  );
  isAway = false;
  const again = outbox.put([1, 2, 3].map((order) => lab.notice('turn-1', order)));
  for (let turns = 0; turns < 5; turns++) {
    await setImmediate();
    held.splice(0).forEach((go) => go());
  }
  await again;
  const told = (await lab.records.deliveries.listLane('acme', `${hook.id}/turn-1`, 10)).map(({ order }) => order);
  assert.deepEqual(told, [1, 2, 3]);
  assert.equal(pokes, 4);
});

test('what cannot be read is told to who put it; more than may wait, and what is too large, is refused', async () => {
  const lab = new DeliveryLab();
  const webhooks: typeof lab.records.webhooks = Object.create(lab.records.webhooks);
  webhooks.list = async () => {
    throw new ServiceError('store_unavailable');
  };
  const away = lab.outbox({ records: { ...recordsOf(lab), webhooks } });
  await assert.rejects(away.put([lab.notice('turn-1', 1)]), { code: 'store_unavailable' });
  await assert.rejects(away.put([lab.notice('turn-1', 1)]), { code: 'store_unavailable' });

  const outbox = lab.outbox();
  await assert.rejects(outbox.put([lab.notice('turn-1', 1, { data: `"${'é'.repeat(131_072)}"` })]), {
    code: 'internal',
  });
  await outbox.put([lab.notice('turn-1', 1, { data: `"${'é'.repeat(131_000)}"` })]);
  const puts = Array.from({ length: 1_100 }, (_, number) => outbox.put([lab.notice(`turn-${number}`, 1)]));
  const refused = (await Promise.allSettled(puts)).filter(({ status }) => status === 'rejected');
  assert.equal(refused.length, 100);
  await outbox.put([lab.notice('turn-9999', 1)]);
  await outbox.put([]);
});

function recordsOf({ records }: DeliveryLab): Pick<typeof records, 'webhooks' | 'deliveries' | 'jobs'> {
  return { webhooks: records.webhooks, deliveries: records.deliveries, jobs: records.jobs };
}
