import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import { sqliteStores } from '../../testing/sqlite-stores.ts';
import { storedEvents } from '../../testing/stored-events.ts';
import { approvalRecord, deliveryRecord, jobRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { applicationId, migrations, schemaVersion } from './schema.ts';

const { newPath, open } = sqliteStores('sqlite-schema');
const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };

test('a file of a newer version is refused, and left as it is', async () => {
  const path = newPath();
  await (await open(path)).close();
  const db = new DatabaseSync(path);
  for (const version of [schemaVersion + 1, 99]) {
    db.exec(`PRAGMA user_version = ${version}`);
    await assert.rejects(open(path), {
      code: 'store_unavailable',
      details: { schema_version: version, supported_version: schemaVersion },
    });
    assert.equal(db.prepare('PRAGMA user_version').get()?.['user_version'], version);
  }
  db.close();
});

test('a file of the first version keeps all it has, and takes jobs and webhooks from then on', async () => {
  const path = newPath();
  const session = sessionRecord({ alias: 'my-session', worker: 'worker-1' });
  const turn = turnRecord({ prompt: 'é' });
  const approval = approvalRecord();
  const events = storedEvents(key, 1, 1, 50);
  // What is read of it later was written by today's code into yesterday's tables: their form did not change.
  const today = newPath();
  const source = await open(today);
  await source.log.append(key, 1, events);
  await source.records.sessions.create(session);
  await source.records.turns.create(turn);
  await source.records.approvals.create(approval);
  await source.close();
  const old = new DatabaseSync(path);
  old.exec(`PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
            BEGIN; ${migrations[0]}; PRAGMA application_id = ${applicationId}; PRAGMA user_version = 1; COMMIT;`);
  old.exec(`ATTACH '${today}' AS today`);
  for (const table of ['logs', 'events', 'sessions', 'turns', 'approvals']) {
    old.exec(`INSERT INTO main.${table} SELECT * FROM today.${table}`);
  }
  assert.throws(() => old.prepare('SELECT * FROM main.jobs'), /no such table/);
  old.close();

  // Several processes may start on it at once.
  const [store, another] = await Promise.all([open(path), open(path)]);
  assert.ok(store !== undefined && another !== undefined);
  assert.deepEqual(await store.log.read(key, 0, 100), { events, firstSeq: 1, lastSeq: 50 });
  assert.deepEqual(await store.records.sessions.findByAlias('acme', 'my-session'), session);
  assert.deepEqual((await store.records.sessions.listHeld(null, 10)).data.length, 1);
  assert.deepEqual(await store.records.turns.get('acme', turn.id), turn);
  assert.deepEqual(await store.records.approvals.get('acme', approval.id), approval);
  await store.records.jobs.create(jobRecord());
  await store.records.deliveries.create(deliveryRecord());
  assert.deepEqual(await another.records.jobs.get('acme', jobRecord().id), jobRecord());
  assert.deepEqual(await store.findDamage(), []);
  for (const one of [store, another]) await one.close();
  const db = new DatabaseSync(path);
  assert.equal(db.prepare('PRAGMA user_version').get()?.['user_version'], 2);
  db.close();
});

test('a file of another program is refused, and so is one that is no database', async () => {
  const path = newPath();
  const db = new DatabaseSync(path);
  db.exec('CREATE TABLE theirs (a)');
  db.close();
  await assert.rejects(open(path), { code: 'store_unavailable', message: /another program/ });
  const text = newPath();
  writeFileSync(text, 'not a database at all, '.repeat(1_000));
  await assert.rejects(open(text), { code: 'store_corrupt' });
});
