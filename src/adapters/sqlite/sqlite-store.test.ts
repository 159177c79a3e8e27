import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import { jobRecordsSuite } from '../../testing/contract-suites/job-records-suite.ts';
import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { sessionDirectorySuite } from '../../testing/contract-suites/session-directory-suite.ts';
import { webhookRecordsSuite } from '../../testing/contract-suites/webhook-records-suite.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { sqliteStores } from '../../testing/sqlite-stores.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import type { SqliteStore } from './sqlite-store.ts';

const { newPath, open, withStore } = sqliteStores('sqlite-store');
const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };

for (const suite of [recordsSuite, jobRecordsSuite, webhookRecordsSuite]) {
  suite('the SQLite record store', async () => {
    const store = await open(newPath());
    return { adapter: store.records, close: () => store.close() };
  });
}

sessionDirectorySuite('the SQLite directory', async () => {
  const time = new FakeClock();
  const store = await open(newPath(), { hostTime: { bootId: 'boot-1', monotonicMs: () => time.monotonicMs() } });
  const adapter = { directory: store.directory, passTime: async (ms: number): Promise<void> => time.advance(ms) };
  return { adapter, close: () => store.close() };
});

test('what was answered is there after the store was closed and opened again, to the byte', async () => {
  const path = newPath();
  const events = [
    storedEvent({ key, epoch: 2, seq: 1, text: 'é \u2028 \u0000 "quoted"\n', raw: 'a line\u0000with a NUL' }),
    ...storedEvents(key, 2, 2, 500),
  ];
  const session = sessionRecord({ alias: 'my-session', metadata: { ticket: 'é' } });
  const turn = turnRecord({ prompt: 'lone \ud800 half' });
  const first = await open(path);
  await first.log.append(key, 2, events);
  await first.records.sessions.create(session);
  await first.records.turns.create(turn);
  await first.close();
  const second = await open(path);
  assert.deepEqual(await second.log.read(key, 0, 1_000), { events, firstSeq: 1, lastSeq: 500 });
  assert.deepEqual(await second.log.append(key, 1, storedEvents(key, 1, 501, 501)), {
    outcome: 'stale_epoch',
    epoch: 2,
  });
  assert.deepEqual(await second.records.sessions.findByAlias('acme', 'my-session'), session);
  assert.deepEqual(await second.records.turns.get('acme', turn.id), turn);
  await second.close();
});

test('the file and what lies beside it are for its owner alone', async () => {
  await withStore(async (_store, path) => {
    for (const suffix of ['', '-wal', '-shm']) assert.equal(statSync(path + suffix).mode & 0o077, 0, suffix);
  });
});

test('closing twice is harmless, and what comes later is refused', async () => {
  const store = await open(newPath());
  const appended = store.log.append(key, 1, storedEvents(key, 1, 1, 1));
  await Promise.all([store.close(), store.close()]);
  assert.deepEqual(await appended, { outcome: 'appended', lastSeq: 1 });
  await assert.rejects(store.log.append(key, 1, storedEvents(key, 1, 2, 2)), { code: 'store_unavailable' });
  await assert.rejects(store.log.read(key, 0, 1), { code: 'store_unavailable' });
});

test('of writes that came together, one that fails harms no other', async () => {
  await withStore(async ({ records }) => {
    await records.sessions.create(sessionRecord({ alias: 'one' }));
    const results = await Promise.allSettled([
      records.turns.create(turnRecord({ id: '019f0000-0000-7000-8000-0000000000a1' })),
      records.turns.create(turnRecord({ id: '019f0000-0000-7000-8000-0000000000a2' })),
      records.sessions.replace(sessionRecord({ alias: 'another' })),
      records.turns.create(turnRecord({ id: '019f0000-0000-7000-8000-0000000000a3' })),
    ]);
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    );
    const { data } = await records.turns.list('acme', key.sessionId, { after: null, limit: 10, order: 'asc' });
    assert.equal(data.length, 3);
  });
});

test('leases from before a restart of the machine are over, and a clock that began anew ends them too', async () => {
  const path = newPath();
  const lease = { tenant: 'acme', sessionId: key.sessionId, worker: 'worker-1', epoch: 1 };
  const later = { ...lease, worker: 'worker-2' };
  const openAt = (bootId: string, nowMs: number): Promise<SqliteStore> =>
    open(path, { hostTime: { bootId, monotonicMs: () => nowMs } });
  const stores = [
    await openAt('a', 90_000),
    await openAt('a', 95_000),
    await openAt('b', 91_000),
    await openAt('a', 5),
  ];
  const [holder, same, rebooted, anew] = stores;
  assert.equal(await holder?.directory.claim(lease, 10_000), null);
  assert.deepEqual(await same?.directory.claim(later, 10_000), lease);
  assert.equal(await rebooted?.directory.lookup('acme', key.sessionId), null);
  assert.equal(await anew?.directory.claim(later, 10_000), null);
  for (const store of stores) await store.close();
});

test('ten thousand sessions are listed page by page, without sorting or reading them all', async () => {
  await withStore(async ({ records }, path) => {
    const idOf = (n: number): string => `019f0000-0000-7000-8000-${String(n).padStart(12, '0')}`;
    for (let start = 0; start < 10_000; start += 500) {
      const some = Array.from({ length: 500 }, (_, index) => sessionRecord({ id: idOf(start + index + 1) }));
      await Promise.all(some.map((session) => records.sessions.create(session)));
    }
    let after: string | null = null;
    const ids: string[] = [];
    for (let hasMore = true; hasMore; ) {
      const page: Awaited<ReturnType<typeof records.sessions.list>> = await records.sessions.list('acme', {
        after,
        limit: 100,
        order: 'desc',
      });
      assert.ok(page.data.length <= 100);
      ids.push(...page.data.map((session) => session.id));
      after = ids.at(-1) ?? null;
      hasMore = page.hasMore;
    }
    assert.equal(ids.length, 10_000);
    assert.deepEqual([ids[0], ids.at(-1)], [idOf(10_000), idOf(1)]);
    const own = planOf(
      path,
      `SELECT body FROM sessions WHERE tenant = ? AND (created_at, id) < (?, ?) ORDER BY created_at desc, id desc LIMIT ?`,
    );
    assert.match(own, /^SEARCH sessions USING INDEX sessions_by_age \(.*\)$/);
  });
});

test('deliveries that are erased together are found by an index', async () => {
  await withStore(async (_store, path) => {
    const plans = ['session_id', 'job_id', 'target_id'].map((column) =>
      planOf(path, `SELECT rowid FROM deliveries WHERE tenant = ? AND ${column} = ? LIMIT ?`).replace(/ \(.*/, ''),
    );
    assert.deepEqual(plans, [
      'SEARCH deliveries USING COVERING INDEX deliveries_by_session',
      'SEARCH deliveries USING COVERING INDEX deliveries_by_job',
      'SEARCH deliveries USING COVERING INDEX deliveries_by_target',
    ]);
  });
});

test('what concerns all tenants is found by an index of its own, however many records there are', async () => {
  await withStore(async (_store, path) => {
    const plans = [
      ['sessions', 'is_held = 1', 'created_at'],
      ['sessions', 'is_held = 0', 'last_accessed_at'],
      ['turns', 'is_open = 1', 'created_at'],
      ['approvals', "status = 'pending'", 'expires_at'],
      ['jobs', "status = 'queued'", 'due_at'],
      ['jobs', 'is_attended = 1', 'created_at'],
      ['jobs', 'is_open = 0', 'ended_at'],
      ['schedules', 'due_at IS NOT NULL', 'due_at'],
      ['deliveries', "status = 'pending'", 'due_at'],
      ['deliveries', "status <> 'pending'", 'ended_at'],
    ].map(([table, condition, at]) =>
      planOf(
        path,
        `SELECT tenant, id, ${at} AS at FROM ${table} WHERE ${condition} AND (${at}, id, tenant) > (?, ?, ?)
         AND ${at} < ? ORDER BY ${at}, id, tenant LIMIT ?`,
      ).replace(/ COVERING| \(.*/g, ''),
    );
    assert.deepEqual(plans, [
      'SEARCH sessions USING INDEX sessions_held',
      'SEARCH sessions USING INDEX sessions_unused',
      'SEARCH turns USING INDEX turns_open',
      'SEARCH approvals USING INDEX approvals_due',
      'SEARCH jobs USING INDEX jobs_due',
      'SEARCH jobs USING INDEX jobs_running',
      'SEARCH jobs USING INDEX jobs_ended',
      'SEARCH schedules USING INDEX schedules_due',
      'SEARCH deliveries USING INDEX deliveries_due',
      'SEARCH deliveries USING INDEX deliveries_ended',
    ]);
  });
});

test("a tenant's jobs, schedules, webhooks and deliveries are found by an index, and none is sorted", async () => {
  await withStore(async (_store, path) => {
    const page = 'AND (created_at, id) > (?, ?) ORDER BY created_at asc, id asc LIMIT ?';
    const plans = [
      ['jobs', page],
      ['jobs', `AND status = ? ${page}`],
      ['jobs', `AND schedule_id = ? ${page}`],
      ['jobs', `AND schedule_id = ? AND status = ? ${page}`],
      ['jobs', 'AND is_open = 1 LIMIT ?'],
      ['schedules', page],
      ['webhooks', page],
      ['deliveries', `AND target_id = ? ${page}`],
      ['deliveries', `AND target_id = ? AND status = ? ${page}`],
      ['deliveries', "AND lane = ? AND status = 'pending' ORDER BY lane_order, id LIMIT ?"],
    ].map(([table, rest]) => planOf(path, `SELECT body FROM ${table} WHERE tenant = ? ${rest}`).replace(/ \(.*/g, ''));
    assert.deepEqual(
      plans.map((plan) => plan.replace(/^SEARCH \w+ USING INDEX /, '')),
      [
        'jobs_by_age',
        'jobs_by_status',
        'jobs_by_schedule',
        'jobs_by_schedule_and_status',
        'jobs_open',
        'schedules_by_age',
        'webhooks_by_age',
        'deliveries_by_target',
        'deliveries_by_target_and_status',
        'deliveries_waiting',
      ],
    );
  });
});

function planOf(path: string, sql: string): string {
  const db = new DatabaseSync(path);
  const plan = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
  db.close();
  return plan.map((row) => String(row['detail'])).join('; ');
}

test('leases of earlier runs are forgotten when the only owner says so', async () => {
  await withStore(async ({ directory }) => {
    const lease = { tenant: 'acme', sessionId: key.sessionId, worker: 'worker-1', epoch: 1 };
    assert.equal(await directory.claim(lease, 60_000), null);
    await directory.forgetLeases();
    assert.equal(await directory.lookup('acme', key.sessionId), null);
    assert.equal(await directory.claim({ ...lease, worker: 'worker-2' }, 60_000), null);
  });
});

test('many that open a new file at once all get it', async () => {
  const path = newPath();
  const stores = await Promise.all(Array.from({ length: 8 }, () => open(path)));
  const keys = stores.map((_, index) => ({ ...key, tenant: `tenant-${index}` }));
  await Promise.all(
    stores.map((store, index) => store.log.append(keys[index]!, 1, storedEvents(keys[index]!, 1, 1, 3))),
  );
  for (const one of keys) assert.equal((await stores[0]!.log.read(one, 0, 10)).lastSeq, 3);
  for (const store of stores) await store.close();
});
