import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PageQuery } from '../../contracts/records.ts';
import { jobStatuses } from '../../core/job.ts';
import { type IndexFile, isServed, readIndexFile, shapeOfQuery } from '../../testing/firestore-indexes.ts';
import { FirestoreProxy } from '../../testing/firestore-proxy.ts';
import { firestoreStores } from '../../testing/firestore-stores.ts';
import { sessionRecord } from '../../testing/stored-records.ts';
import type { Query } from './query.ts';

const stores = firestoreStores();
const id = '019f0000-0000-7000-8000-000000000001';

/** Every query of the records, in every way that its filters can be given. The prefix is the one of the index file. */
async function allQueries(): Promise<Map<string, Query>> {
  const found = new Map<string, Query>();
  const onQuery = (query: Query): void => void found.set(shapeOfQuery(query), query);
  const { approvals, deliveries, jobs, schedules, sessions, turns, webhooks } = await stores.open({
    prefix: 'codex-fleet',
    onQuery,
  });
  for (const order of ['asc', 'desc'] as const) {
    const query: PageQuery = { after: id, limit: 5, order };
    await sessions.list('acme', query);
    await turns.list('acme', id, query);
    await turns.listOpenOf('acme', id, query);
    await schedules.list('acme', query);
    await webhooks.list('acme', query);
    for (const sessionId of [null, id]) {
      for (const status of [null, 'pending'] as const) await approvals.list('acme', { sessionId, status }, query);
    }
    for (const scheduleId of [null, id]) {
      for (const status of [null, ...jobStatuses]) await jobs.list('acme', { scheduleId, status }, query);
    }
    for (const status of [null, 'failed'] as const) await deliveries.list('acme', { targetId: id, status }, query);
  }
  const place = { tenant: 'acme', id, sessionId: id, at: 5 };
  for (const after of [null, place]) {
    await sessions.listHeld(after, 5);
    await sessions.listUnused(9, after, 5);
    await turns.listOpen(after, 5);
    await approvals.listDue(9, after, 5);
    await jobs.listDue(9, after, 5);
    await jobs.listRunning(after, 5);
    await jobs.listEnded(9, after, 5);
    await schedules.listDue(9, after, 5);
    await deliveries.listDue(9, after, 5);
    await deliveries.listEnded(9, after, 5);
  }
  await deliveries.listLane('acme', id, 5);
  await deliveries.eraseOf('acme', { sessionId: id });
  await deliveries.eraseOf('acme', { jobId: id });
  await deliveries.eraseOf('acme', { targetId: id });
  await jobs.countOpen('acme', 5);
  await sessions.create(sessionRecord());
  await sessions.erase('acme', id);
  return found;
}

test('what the database is asked about its indexes is every query that the records make', {
  skip: stores.skip,
}, async () => {
  const asked = new Set<string>();
  const onQuery = (query: Query): void => void asked.add(shapeOfQuery(query));
  const records = await stores.open({ prefix: 'codex-fleet', onQuery });
  assert.deepEqual(await records.checkIndexes(), []);
  assert.deepEqual([...asked].toSorted(), [...(await allQueries()).keys()].toSorted());
});

test('lists without an index are named, the others are not; what else is wrong is no missing index', {
  skip: stores.skip,
}, async (t) => {
  const proxy = await FirestoreProxy.start((await stores.emulator()).host);
  t.after(() => proxy.stop());
  const records = await stores.open({ emulatorHost: proxy.host, timeoutMs: 3_000 });
  proxy.faultOf = (method, request) => {
    const lacks = method === 'RunQuery' && (request.includes('runningAt') || request.includes('heldAt'));
    return lacks ? { kind: 'status', code: 9, message: 'The query requires an index.', after: false } : null;
  };
  assert.deepEqual(await records.checkIndexes(), ['running jobs', 'sessions in use']);
  proxy.faultOf = () => ({ kind: 'status', code: 7, after: false });
  await assert.rejects(records.checkIndexes(), { code: 'store_unavailable' });
});

test('every query that the records make is served by an index of the file, and every index by a query', {
  skip: stores.skip,
}, async () => {
  const file = readIndexFile();
  const queries = await allQueries();
  assert.deepEqual(
    [...queries].filter(([, query]) => !isServed(file, query)).map(([shape]) => shape),
    [],
  );
  // The checker can fail: without any one of the indexes some query is not served, so that none is superfluous.
  for (const left of file.indexes) {
    const without: IndexFile = { ...file, indexes: file.indexes.filter((index) => index !== left) };
    const unserved = [...queries.values()].filter((query) => !isServed(without, query));
    assert.ok(unserved.length > 0, JSON.stringify(left));
  }
});

test('a query in another order, over all tenants, or by a field without index is not served', {
  skip: stores.skip,
}, () => {
  const file = readIndexFile();
  const value = { stringValue: 'x' };
  const query: Query = {
    collection: 'codex-fleet-turns',
    parent: 'a tenant',
    equal: { sessionId: value },
    range: null,
    order: [
      ['createdAt', 'ASCENDING'],
      ['__name__', 'ASCENDING'],
    ],
    startAfter: null,
    limit: 1,
    select: null,
  };
  assert.equal(isServed(file, query), true);
  for (const change of [
    { parent: null },
    { collection: 'another-turns' },
    { equal: { openAt: value } },
    { equal: { sessionId: value, body: value } },
    {
      order: [
        ['createdAt', 'ASCENDING'],
        ['__name__', 'DESCENDING'],
      ],
    },
    { order: [['openAt', 'ASCENDING']] },
    { equal: {}, order: [['meta', 'ASCENDING']] },
    { equal: {}, range: { field: 'openAt', from: value, before: null } },
  ] as readonly Partial<Query>[]) {
    assert.equal(isServed(file, { ...query, ...change }), false, JSON.stringify(change));
  }
});

test('nothing but what ended expires by itself, and no body is in an index', () => {
  const { fieldOverrides } = readIndexFile();
  const expiring = fieldOverrides.filter(({ ttl }) => ttl === true).map(({ collectionGroup }) => collectionGroup);
  assert.deepEqual(expiring.toSorted(), ['codex-fleet-deliveries', 'codex-fleet-jobs', 'codex-fleet-parts']);
  for (const kind of ['sessions', 'turns', 'approvals', 'jobs', 'schedules', 'webhooks', 'deliveries']) {
    const body = fieldOverrides.find(
      (field) => field.collectionGroup === `codex-fleet-${kind}` && field.fieldPath === 'body',
    );
    assert.deepEqual(body?.indexes, [], kind);
  }
});
