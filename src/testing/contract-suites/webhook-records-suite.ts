// What every store of webhooks and deliveries must do (contracts/webhook-records.ts), tried.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Records } from '../../contracts/records.ts';
import type { DeliveryFilter } from '../../contracts/webhook-records.ts';
import type { DeliveryRecord, WebhookRecord } from '../../core/webhook.ts';
import { deliveryRecord, webhookRecord } from '../stored-records.ts';
import { type ContractCheck, describeContract, type Subject } from './contract-suite.ts';
import { type KeyedKind, keyedRecordsChecks, longRecordCheck } from './keyed-records-checks.ts';
import { all, fleetPages, idOf, pages } from './record-pages.ts';

const { createdAt, lane, target } = deliveryRecord();
const forEver = Number.MAX_SAFE_INTEGER;
const webhookA = { kind: 'webhook', id: idOf(101) } as const;
const webhookB = { kind: 'webhook', id: idOf(102) } as const;

const webhooks: KeyedKind<WebhookRecord> = {
  name: 'webhooks',
  of: (records) => records.webhooks,
  list: (records, tenant, query) => records.webhooks.list(tenant, query),
  whole: webhookRecord({
    secrets: [
      { secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', endsAt: null },
      { secret: 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', endsAt: createdAt + 86_400_000 },
    ],
    types: ['turn.completed', 'job.failed'],
    description: 'é "1"',
    disabled: 'failing',
    failingSince: createdAt + 1,
  }),
  plain: webhookRecord,
  by: (webhook, writer) => ({ ...webhook, description: writer }),
};

const deliveries: KeyedKind<DeliveryRecord> = {
  name: 'deliveries',
  of: (records) => records.deliveries,
  list: (records, tenant, query) => records.deliveries.list(tenant, { targetId: target.id, status: null }, query),
  whole: deliveryRecord({
    type: 'job.failed',
    order: 12_345,
    data: '{"text":"é \\u2028 🚀"}',
    status: 'failed',
    attempts: [
      { at: createdAt + 1, durationMs: 10_000, httpStatus: null, error: 'timed out' },
      { at: createdAt + 2, durationMs: 12, httpStatus: 500, error: 'answered 500' },
    ],
    attemptCount: 31,
    dueAt: null,
    replayOf: idOf(70),
    endedAt: createdAt + 3,
  }),
  plain: deliveryRecord,
  by: (delivery, writer) => ({ ...delivery, data: JSON.stringify(writer) }),
};

/** The ids of what waits in the lane, as numbers. */
async function waiting(records: Records, of: string, limit = 100, tenant = 'acme'): Promise<number[]> {
  const found = await records.deliveries.listLane(tenant, of, limit);
  return found.map(({ id }) => Number(id.slice(-12)));
}

async function endDelivery(records: Records, id: string, endedAt: number): Promise<void> {
  const standing = await records.deliveries.get('acme', id);
  assert.ok(standing !== null);
  const ended = await records.deliveries.replace({ ...standing, status: 'delivered', dueAt: null, endedAt });
  assert.notEqual(ended, null);
}

const deliveryListChecks: readonly ContractCheck<Records>[] = [
  {
    title: 'deliveries are listed by target, and by target and status, in both orders',
    async run(records) {
      for (const number of [4, 1, 3, 2, 5, 6]) {
        const status = number > 4 ? 'failed' : 'pending';
        const of = number % 2 === 1 ? webhookA : webhookB;
        await records.deliveries.create(deliveryRecord({ id: idOf(number), status, target: of }));
      }
      await records.deliveries.create(deliveryRecord({ id: idOf(7), target: { kind: 'topic', id: 'topic' } }));
      await records.deliveries.create(deliveryRecord({ id: idOf(8), target: webhookA, tenant: 'other' }));
      const filters: readonly DeliveryFilter[] = [
        { targetId: webhookA.id, status: null },
        { targetId: webhookA.id, status: 'pending' },
        { targetId: webhookB.id, status: 'failed' },
        { targetId: 'topic', status: null },
        { targetId: 'topic', status: 'delivered' },
      ];
      const found = (order: 'asc' | 'desc'): Promise<number[][][]> =>
        Promise.all(
          filters.map((filter) => pages((query) => records.deliveries.list('acme', filter, query), order, 2)),
        );
      assert.deepEqual(await found('asc'), [[[1, 3], [5]], [[1, 3]], [[6]], [[7]], [[]]]);
      assert.deepEqual(await found('desc'), [[[5, 3], [1]], [[3, 1]], [[6]], [[7]], [[]]]);
      await endDelivery(records, idOf(1), createdAt + 1);
      const delivered = await records.deliveries.list('acme', { targetId: webhookA.id, status: 'delivered' }, all);
      assert.deepEqual(
        delivered.data.map(({ id }) => id),
        [idOf(1)],
      );
      const pending = await records.deliveries.list('acme', { targetId: webhookA.id, status: 'pending' }, all);
      assert.deepEqual(
        pending.data.map(({ id }) => id),
        [idOf(3)],
      );
    },
  },
  {
    title: 'what waits in a lane is listed by order, then by id, whatever its age, until it has ended',
    async run(records) {
      const places = [
        { number: 5, order: 1 },
        { number: 4, order: 10 },
        { number: 2, order: 9 },
        { number: 1, order: 9 },
        { number: 3, order: 0 },
      ];
      for (const { number, order } of places) {
        await records.deliveries.create(deliveryRecord({ id: idOf(number), order, createdAt: createdAt - number }));
      }
      await records.deliveries.create(deliveryRecord({ id: idOf(6), order: 2, lane: `${lane}1` }));
      await records.deliveries.create(deliveryRecord({ id: idOf(7), order: 2, status: 'failed', dueAt: null }));
      await records.deliveries.create(deliveryRecord({ id: idOf(8), order: 2, tenant: 'other' }));
      assert.deepEqual(await waiting(records, lane), [3, 5, 1, 2, 4]);
      assert.deepEqual(await waiting(records, lane, 2), [3, 5]);
      assert.deepEqual(await waiting(records, `${lane}1`), [6]);
      assert.deepEqual(await waiting(records, lane, 100, 'other'), [8]);
      assert.deepEqual(await waiting(records, 'no such lane'), []);
      await endDelivery(records, idOf(3), createdAt + 1);
      await records.deliveries.erase('acme', idOf(1));
      assert.deepEqual(await waiting(records, lane), [5, 2, 4]);
      const [first] = await records.deliveries.listLane('acme', lane, 1);
      assert.deepEqual(first, await records.deliveries.get('acme', idOf(5)));
    },
  },
  {
    title: 'pending deliveries of all tenants are due by their time, then id, then tenant, until they have ended',
    async run(records) {
      const due = (beforeMs: number, limit: number): Promise<string[]> =>
        fleetPages((after, most) => records.deliveries.listDue(beforeMs, after, most), limit);
      await records.deliveries.create(deliveryRecord({ id: idOf(1), dueAt: 3_000 }));
      await records.deliveries.create(deliveryRecord({ id: idOf(3), dueAt: 2_000 }));
      await records.deliveries.create(deliveryRecord({ id: idOf(3), dueAt: 2_000, tenant: 'other' }));
      await records.deliveries.create(deliveryRecord({ id: idOf(2), dueAt: 2_000, tenant: 'zoo' }));
      await records.deliveries.create(deliveryRecord({ id: idOf(4), dueAt: 4_000 }));
      await records.deliveries.create(
        deliveryRecord({ id: idOf(5), status: 'delivered', dueAt: null, endedAt: createdAt }),
      );
      const four = ['zoo 2 2000', 'acme 3 2000', 'other 3 2000', 'acme 1 3000'];
      for (const limit of [1, 3, 10]) assert.deepEqual(await due(4_000, limit), four);
      const [place] = (await records.deliveries.listDue(4_000, null, 1)).data;
      assert.deepEqual(place, { tenant: 'zoo', id: idOf(2), sessionId: lane, at: 2_000 });
      const later = await records.deliveries.get('acme', idOf(1));
      assert.ok(later !== null);
      await records.deliveries.replace({ ...later, dueAt: 9_000 });
      await endDelivery(records, idOf(3), createdAt);
      await records.deliveries.erase('zoo', idOf(2));
      assert.deepEqual(await due(forEver, 10), ['other 3 2000', 'acme 4 4000', 'acme 1 9000']);
      // Behind one that is gone the list goes on where it was.
      assert.ok(place !== undefined);
      const rest = await records.deliveries.listDue(forEver, place, 1);
      assert.deepEqual([rest.data.map(({ tenant }) => tenant), rest.hasMore], [['other'], true]);
    },
  },
  {
    title: 'deliveries of all tenants that ended before a moment are listed by that time',
    async run(records) {
      const list = (beforeMs: number): Promise<string[]> =>
        fleetPages((after, limit) => records.deliveries.listEnded(beforeMs, after, limit), 1);
      for (const number of [1, 2, 3]) await records.deliveries.create(deliveryRecord({ id: idOf(number) }));
      const failed = { status: 'failed', dueAt: null, endedAt: 1_500 } as const;
      await records.deliveries.create(deliveryRecord({ ...failed, id: idOf(4), tenant: 'other' }));
      assert.deepEqual(await list(forEver), ['other 4 1500']);
      await endDelivery(records, idOf(2), 1_000);
      await endDelivery(records, idOf(1), 2_000);
      assert.deepEqual(await list(forEver), ['acme 2 1000', 'other 4 1500', 'acme 1 2000']);
      assert.deepEqual(await list(1_500), ['acme 2 1000']);
      await records.deliveries.erase('acme', idOf(2));
      assert.deepEqual(await list(2_000), ['other 4 1500']);
    },
  },
];

/** More than any store erases in one step. */
const many = 230;

const deliveryErasureChecks: readonly ContractCheck<Records>[] = [
  {
    title: 'the deliveries of a session, of a job or to a target are erased, whatever their status, and no others',
    async run(records) {
      const [own, other] = [{ sessionId: idOf(201) }, { sessionId: idOf(202) }];
      const ended = { status: 'delivered', dueAt: null, endedAt: createdAt } as const;
      for (const changes of [
        { id: idOf(1), ...own },
        { id: idOf(2), ...own, ...ended },
        { id: idOf(3), ...own, status: 'failed', dueAt: null, endedAt: createdAt, target: webhookA },
        { id: idOf(4), ...own, jobId: idOf(301) },
        { id: idOf(5), ...other, jobId: idOf(301), ...ended },
        { id: idOf(6), ...other, jobId: idOf(302) },
        { id: idOf(7), ...other, target: webhookA },
        { id: idOf(8), ...other, target: webhookB, ...ended },
        { id: idOf(9), sessionId: null },
        { id: idOf(10), ...own, tenant: 'other', jobId: idOf(301), target: webhookA },
      ] as const)
        await records.deliveries.create(deliveryRecord(changes));
      const left = async (): Promise<number[]> => {
        const numbers = Array.from({ length: 10 }, (_, index) => index + 1);
        const found = await Promise.all(
          numbers.map((number) => records.deliveries.get(number === 10 ? 'other' : 'acme', idOf(number))),
        );
        return numbers.filter((_, index) => found[index] !== null);
      };
      await records.deliveries.eraseOf('acme', { sessionId: idOf(299) });
      assert.deepEqual(await left(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      await records.deliveries.eraseOf('acme', own);
      assert.deepEqual(await left(), [5, 6, 7, 8, 9, 10]);
      await records.deliveries.eraseOf('acme', { jobId: idOf(301) });
      assert.deepEqual(await left(), [6, 7, 8, 9, 10]);
      for (let times = 0; times < 2; times += 1) {
        await records.deliveries.eraseOf('acme', { targetId: webhookA.id });
        assert.deepEqual(await left(), [6, 8, 9, 10]);
      }
      assert.deepEqual(await waiting(records, lane), [6, 9]);
      const due = await fleetPages((after, most) => records.deliveries.listDue(forEver, after, most), 10);
      assert.deepEqual(due.length, 3);
      const listEnded = await fleetPages((after, most) => records.deliveries.listEnded(forEver, after, most), 10);
      assert.deepEqual(listEnded.length, 1);
      // An id that was used may be used again.
      assert.equal((await records.deliveries.create(deliveryRecord({ id: idOf(1) }))).outcome, 'created');
    },
  },
  {
    title: 'hundreds of deliveries of one session, and of one target, are erased at once',
    async run(records) {
      const ids = Array.from({ length: many }, (_, index) => idOf(index + 1));
      for (const erased of [{ sessionId: deliveryRecord().sessionId ?? '' }, { targetId: target.id }]) {
        await Promise.all(ids.map((id) => records.deliveries.create(deliveryRecord({ id }))));
        await Promise.all([1, 2].map(() => records.deliveries.eraseOf('acme', erased)));
        const { data } = await records.deliveries.list('acme', { targetId: target.id, status: null }, all);
        assert.deepEqual(data, []);
      }
    },
  },
];

export const webhookRecordsChecks: readonly ContractCheck<Records>[] = [
  ...keyedRecordsChecks(webhooks),
  ...keyedRecordsChecks(deliveries),
  longRecordCheck(deliveries, deliveryRecord({ attempts: [], data: longData() })),
  ...deliveryListChecks,
  ...deliveryErasureChecks,
];

/** JSON that cannot be made much shorter. */
function longData(): string {
  return JSON.stringify(randomBytes(1_500_000).toString('base64'));
}

export function webhookRecordsSuite(adapterName: string, open: () => Promise<Subject<Records>>): void {
  describeContract(
    `${adapterName} keeps the promises of a store of webhooks and deliveries`,
    webhookRecordsChecks,
    open,
  );
}
