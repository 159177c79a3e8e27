import assert from 'node:assert/strict';
import { test } from 'node:test';
import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { jobRecordsSuite } from '../../testing/contract-suites/job-records-suite.ts';
import { webhookRecordsSuite } from '../../testing/contract-suites/webhook-records-suite.ts';
import {
  approvalRecord,
  deliveryRecord,
  jobRecord,
  jobSpec,
  scheduleRecord,
  sessionRecord,
  turnRecord,
  webhookRecord,
} from '../../testing/stored-records.ts';
import { MemoryRecords } from './memory-records.ts';

for (const suite of [recordsSuite, jobRecordsSuite, webhookRecordsSuite]) {
  suite('the memory record store', async () => ({ adapter: new MemoryRecords(), close: async () => {} }));
}

const query = { after: null, limit: 100, order: 'asc' } as const;
const idOf = (number: number): string => `019f0000-0000-7000-8000-00000000000${number}`;

test('beyond its bound the memory forgets whole sessions, the one used longest ago first, never one at work', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxSessions: 3, onForgotten: ({ id }) => forgotten.push(id) });
  await records.sessions.create(sessionRecord({ id: idOf(1), status: 'running' }));
  for (const number of [2, 3]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  const second = await records.sessions.get('acme', idOf(2));
  assert.ok(second !== null);
  await records.sessions.replace(second);
  await records.sessions.create(sessionRecord({ id: idOf(4) }));
  assert.deepEqual(forgotten, [idOf(3)]);
  const left = (await records.sessions.list('acme', query)).data.map(({ id }) => id);
  assert.deepEqual(left, [idOf(1), idOf(2), idOf(4)]);
});

test('long prompts count: the session that holds them goes when it is used no more', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxCharacters: 1_000, onForgotten: ({ id }) => forgotten.push(id) });
  for (const number of [1, 2]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  await records.turns.create(turnRecord({ id: idOf(8), sessionId: idOf(1), prompt: 'x'.repeat(900) }));
  assert.deepEqual(forgotten, []);
  await records.turns.create(turnRecord({ id: idOf(9), sessionId: idOf(2), prompt: 'x'.repeat(200) }));
  assert.deepEqual(forgotten, [idOf(1)]);
  assert.equal(await records.turns.get('acme', idOf(8)), null);
});

test('what approvals hold counts as well', async () => {
  const forgotten: string[] = [];
  const records = new MemoryRecords({ maxCharacters: 5_000, onForgotten: ({ id }) => forgotten.push(id) });
  for (const number of [1, 2]) await records.sessions.create(sessionRecord({ id: idOf(number) }));
  await records.approvals.create(approvalRecord({ sessionId: idOf(1), details: { patch: 'x'.repeat(4_000) } }));
  await records.approvals.create(
    approvalRecord({ id: idOf(9), sessionId: idOf(2), details: { patch: 'x'.repeat(900) } }),
  );
  assert.deepEqual(forgotten, [idOf(1)]);
  assert.equal(await records.approvals.get('acme', approvalRecord().id), null);
});

const endedJob = { status: 'completed', dueAt: null } as const;
const jobIds = async (records: MemoryRecords): Promise<string[]> =>
  (await records.jobs.list('acme', { status: null, scheduleId: null }, query)).data.map(({ id }) => id);

test('beyond its bound the memory forgets the jobs that ended longest ago, never one that waits or runs', async () => {
  const records = new MemoryRecords({ maxJobs: 3 });
  await records.jobs.create(jobRecord({ id: idOf(1) }));
  await records.jobs.create(jobRecord({ ...endedJob, id: idOf(2), endedAt: 2_000 }));
  await records.jobs.create(jobRecord({ ...endedJob, id: idOf(3), endedAt: 1_000 }));
  await records.jobs.create(jobRecord({ id: idOf(4) }));
  assert.deepEqual(await jobIds(records), [idOf(1), idOf(2), idOf(4)]);
  await records.jobs.create(jobRecord({ id: idOf(5) }));
  await assert.rejects(records.jobs.create(jobRecord({ id: idOf(6) })), {
    code: 'too_many_jobs',
    details: { limit: 3 },
  });
  assert.deepEqual(await jobIds(records), [idOf(1), idOf(4), idOf(5)]);
  const first = await records.jobs.get('acme', idOf(1));
  assert.ok(first !== null);
  // Ended just now: what another job needs, it gives.
  await records.jobs.replace({ ...first, ...endedJob, endedAt: 9_000 });
  assert.equal((await records.jobs.create(jobRecord({ id: idOf(6) }))).outcome, 'created');
  assert.deepEqual(await jobIds(records), [idOf(4), idOf(5), idOf(6)]);
});

test('what jobs say counts; an answer is kept however full it is, and older ones go for it', async () => {
  const records = new MemoryRecords({ maxJobCharacters: 5_000 });
  const long = jobSpec({ prompt: 'x'.repeat(2_000) });
  await records.jobs.create(jobRecord({ ...endedJob, id: idOf(1), spec: long, endedAt: 1_000 }));
  await records.jobs.create(jobRecord({ id: idOf(2) }));
  const second = await records.jobs.get('acme', idOf(2));
  assert.ok(second !== null);
  await records.jobs.replace({ ...second, ...endedJob, finalMessage: 'y'.repeat(4_000), endedAt: 2_000 });
  assert.deepEqual(await jobIds(records), [idOf(2)]);
  assert.equal((await records.jobs.get('acme', idOf(2)))?.finalMessage.length, 4_000);
  await records.jobs.create(jobRecord({ id: idOf(3), spec: long }));
  assert.deepEqual(await jobIds(records), [idOf(3)]);
  // All that they weighed was given back.
  await records.jobs.erase('acme', idOf(3));
  for (const number of [4, 5, 6]) await records.jobs.create(jobRecord({ id: idOf(number) }));
  assert.equal((await jobIds(records)).length, 3);
});

test('of deliveries the ended ones go first, then those whose receiver is down longest, then the longest due', async () => {
  const undelivered: string[] = [];
  const records = new MemoryRecords({ maxDeliveries: 4, onUndelivered: ({ id }) => undelivered.push(id) });
  const ended = { status: 'delivered', dueAt: null, endedAt: 1_000 } as const;
  await records.deliveries.create(deliveryRecord({ id: idOf(1), dueAt: 1_000 }));
  await records.deliveries.create(deliveryRecord({ id: idOf(2), attemptCount: 2, dueAt: 3_000 }));
  await records.deliveries.create(deliveryRecord({ id: idOf(3), attemptCount: 5, dueAt: 9_000 }));
  await records.deliveries.create(deliveryRecord({ ...ended, id: idOf(4) }));
  await records.deliveries.create(deliveryRecord({ id: idOf(5), dueAt: 2_000 }));
  assert.deepEqual(undelivered, []);
  for (const number of [6, 7, 8]) {
    await records.deliveries.create(deliveryRecord({ id: idOf(number), dueAt: 1_000 * number }));
  }
  assert.deepEqual(undelivered, [idOf(3), idOf(2), idOf(1)]);
  const { lane } = deliveryRecord();
  const left = await records.deliveries.listLane('acme', lane, 100);
  assert.deepEqual(
    left.map(({ id }) => id),
    [5, 6, 7, 8].map(idOf),
  );
});

test('schedules and webhooks beyond all measure are refused, and none is forgotten for them', async () => {
  const records = new MemoryRecords({ maxSchedules: 1, maxWebhooks: 1 });
  await records.schedules.create(scheduleRecord());
  await records.webhooks.create(webhookRecord());
  await assert.rejects(records.schedules.create(scheduleRecord({ id: idOf(1) })), { code: 'limit_reached' });
  await assert.rejects(records.webhooks.create(webhookRecord({ id: idOf(1) })), { code: 'limit_reached' });
  assert.equal((await records.schedules.create(scheduleRecord())).outcome, 'exists');
  assert.deepEqual(await records.webhooks.get('acme', webhookRecord().id), webhookRecord());
  await records.webhooks.erase('acme', webhookRecord().id);
  assert.equal((await records.webhooks.create(webhookRecord({ id: idOf(1) }))).outcome, 'created');
});
