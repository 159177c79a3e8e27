import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { LogKey } from '../../contracts/event-log.ts';
import type { SessionRecord } from '../../core/session.ts';
import { eventLogSuite } from '../../testing/contract-suites/event-log-suite.ts';
import { PushedEvents } from '../../testing/contract-suites/pushed-events.ts';
import { FakeClock } from '../../testing/fake-clock.ts';
import { sqliteStores } from '../../testing/sqlite-stores.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { sessionRecord } from '../../testing/stored-records.ts';

const { newPath, open, withStore } = sqliteStores('sqlite-event-log');
const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const otherKey: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000002' };

/** A session whose snapshot holds its events up to that one. */
function sealedSession({ tenant, sessionId }: LogKey, lastSeq: number): SessionRecord {
  const snapshot = { object: 'manifest', sha256: '', turnId: null, lastSeq, takenAt: 0, rolloutBytes: 0 };
  return sessionRecord({ tenant, id: sessionId, snapshot });
}

eventLogSuite('the SQLite log', async () => {
  const store = await open(newPath());
  return { adapter: store.log, close: () => store.close() };
});

test('a session keeps its latest events, says which is the first, and goes on in order', async () => {
  await withStore(
    async ({ log }) => {
      for (let first = 1; first <= 901; first += 100) await log.append(key, 1, storedEvents(key, 1, first, first + 99));
      const page = await log.read(key, 0, 2);
      assert.deepEqual(page, { events: storedEvents(key, 1, 701, 702), firstSeq: 701, lastSeq: 1_000 });
      const repeat = await log.append(key, 1, storedEvents(key, 1, 700, 701));
      assert.deepEqual(repeat, { outcome: 'out_of_order', lastSeq: 1_000 });
      const next = await log.append(key, 1, storedEvents(key, 1, 1_001, 1_001));
      assert.deepEqual(next, { outcome: 'appended', lastSeq: 1_001 });
    },
    { log: { maxEventsPerSession: 300 } },
  );
});

test('events older than a moment are dropped where a snapshot holds them, but for the last one of each session', async () => {
  await withStore(async ({ log, records }) => {
    const at = (seq: number): number => storedEvent({ key, epoch: 1, seq }).header.at;
    const unsealedKey = { ...key, sessionId: '019f0000-0000-7000-8000-000000000003' };
    const unknownKey = { ...key, sessionId: '019f0000-0000-7000-8000-000000000004' };
    await records.sessions.create(sealedSession(key, 5_000));
    await records.sessions.create(sealedSession(otherKey, 10));
    await records.sessions.create(sealedSession(unsealedKey, 7));
    await log.append(key, 1, storedEvents(key, 1, 1, 5_000));
    for (const one of [otherKey, unsealedKey, unknownKey]) await log.append(one, 1, storedEvents(one, 1, 1, 10));
    assert.equal(await log.dropOlderThan(at(4_500)), 4_499 + 9 + 7);
    const places = async (of: LogKey): Promise<number[]> => {
      const { events, firstSeq, lastSeq } = await log.read(of, 0, 1);
      return [events[0]?.header.seq ?? 0, firstSeq, lastSeq];
    };
    assert.deepEqual(await places(key), [4_500, 4_500, 5_000]);
    assert.deepEqual(await places(otherKey), [10, 10, 10]);
    assert.deepEqual(await places(unsealedKey), [8, 8, 10]);
    assert.deepEqual(await places(unknownKey), [1, 1, 10]);
    assert.equal(await log.dropOlderThan(at(4_500)), 0);
    assert.equal((await log.append(otherKey, 1, storedEvents(otherKey, 1, 11, 11))).outcome, 'appended');
  });
});

test('one damaged log does not keep the events of the others', async () => {
  await withStore(async ({ log, records }, path) => {
    for (const one of [key, otherKey]) {
      await records.sessions.create(sealedSession(one, 10));
      await log.append(one, 1, storedEvents(one, 1, 1, 10));
    }
    const db = new DatabaseSync(path);
    db.exec(`UPDATE logs SET epoch = 9 WHERE session_id = '${key.sessionId}'`);
    db.close();
    assert.equal(await log.dropOlderThan(Number.MAX_SAFE_INTEGER), 9);
    assert.equal((await log.read(otherKey, 0, 1)).firstSeq, 10);
    await assert.rejects(log.read(key, 0, 1), { code: 'session_corrupt' });
  });
});

test('of too many events those go that a snapshot holds, and without one, only far more than may be kept', async () => {
  await withStore(
    async ({ log, records }) => {
      await records.sessions.create(sealedSession(key, 30));
      const firstSeqs: number[] = [];
      for (let first = 1; first <= 1_101; first += 100) {
        await log.append(key, 1, storedEvents(key, 1, first, first + 99));
        firstSeqs.push((await log.read(key, 0, 1)).firstSeq);
      }
      assert.deepEqual(firstSeqs, [1, 31, 31, 31, 31, 31, 31, 31, 31, 31, 101, 201]);
    },
    { log: { maxEventsPerSession: 100 } },
  );
});

test('erasing a long log leaves none of its events in the file, also when a crash cut it short', async () => {
  const path = newPath();
  const store = await open(path);
  await store.log.append(key, 1, storedEvents(key, 1, 1, 5_000));
  await store.close();
  const db = new DatabaseSync(path);
  // As if the process had died between the first step of an erasure and the next.
  db.exec('INSERT INTO erased_logs SELECT log_id, first_seq, last_seq FROM logs; DELETE FROM logs');
  const again = await open(path);
  await again.log.append(key, 1, storedEvents(key, 1, 1, 3));
  await again.log.removeErased();
  assert.equal(db.prepare('SELECT count(*) AS events FROM events').get()?.['events'], 3);
  await again.log.erase(key);
  assert.equal(db.prepare('SELECT count(*) AS events FROM events').get()?.['events'], 0);
  db.close();
  await again.close();
});

test('space that erased sessions took is given back to the disk', async () => {
  await withStore(async ({ log }, path) => {
    const text = 'x'.repeat(100_000);
    for (let seq = 1; seq <= 200; seq++) await log.append(key, 1, [storedEvent({ key, epoch: 1, seq, text })]);
    await log.erase(key);
    const db = new DatabaseSync(path);
    assert.ok(Number(db.prepare('PRAGMA page_count').get()?.['page_count']) < 4_000);
    db.close();
  });
});

test('a page of large events is shorter than its limit, and the next one goes on', async () => {
  await withStore(async ({ log }) => {
    const text = 'x'.repeat(250_000);
    for (let seq = 1; seq <= 80; seq++) await log.append(key, 1, [storedEvent({ key, epoch: 1, seq, text })]);
    const first = await log.read(key, 0, 80);
    assert.ok(first.events.length >= 32 && first.events.length < 80, String(first.events.length));
    const next = await log.read(key, first.events.length, 1);
    assert.equal(next.events[0]?.header.seq, first.events.length + 1);
  });
});

test('a batch of another session, a later epoch, several epochs, with holes or a wrong checksum is a defect and is rejected', async () => {
  await withStore(async ({ log }) => {
    const [one, two, three] = storedEvents(key, 1, 1, 3);
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    await assert.rejects(log.append(otherKey, 1, [one]), { code: 'internal' });
    const later = storedEvents(key, 2, 2, 2);
    await assert.rejects(log.append(key, 1, later), { code: 'internal' });
    await assert.rejects(log.append(key, 2, [one, ...later]), { code: 'internal' });
    await assert.rejects(log.append(key, 1, [one, three]), { code: 'internal' });
    await assert.rejects(log.append(key, 1, [{ ...one, body: two.body }]), { code: 'internal' });
    assert.equal((await log.read(key, 0, 10)).lastSeq, 0);
  });
});

test('another connection is told of events within the poll, once, in order, and of a log that began anew', async () => {
  const path = newPath();
  const [writer, reader] = [await open(path), await open(path)];
  await writer.log.append(key, 1, storedEvents(key, 1, 1, 2));
  const pushed = await PushedEvents.open(reader.log, key);
  for (let seq = 3; seq <= 1_000; seq++) await writer.log.append(key, 1, storedEvents(key, 1, seq, seq));
  await pushed.reached(1_000);
  assert.deepEqual(pushed.events, storedEvents(key, 1, 3, 1_000));
  await reader.log.append(key, 1, storedEvents(key, 1, 1_001, 1_001));
  await pushed.reached(1_001);
  await writer.log.erase(key);
  await writer.log.append(key, 5, storedEvents(key, 5, 1, 1));
  await pushed.reached(1);
  assert.deepEqual(pushed.seqs.slice(-2), [1_001, 1]);
  pushed.close();
  await Promise.all([writer.close(), reader.close()]);
});

test('nobody asks the file while nobody listens', async () => {
  const fake = new FakeClock();
  await withStore(
    async ({ log }) => {
      const leave = await log.subscribe(key, () => {});
      const leaveToo = await log.subscribe(otherKey, () => {});
      assert.equal(fake.pendingTimers, 1);
      fake.advance(200);
      assert.equal(fake.pendingTimers, 1);
      leave();
      leaveToo();
      leave();
      assert.equal(fake.pendingTimers, 0);
    },
    { clock: fake },
  );
});

test('a listener that throws is reported, and the others get their events', async () => {
  const errors: unknown[] = [];
  const broken = new Error('broken listener');
  await withStore(
    async ({ log }) => {
      const seqs: number[] = [];
      await log.subscribe(key, () => {
        throw broken;
      });
      await log.subscribe(key, (events) => seqs.push(...events.map((event) => event.header.seq)));
      await log.append(key, 1, storedEvents(key, 1, 1, 2));
      assert.deepEqual([seqs, errors], [[1, 2], [broken]]);
    },
    { log: { onListenerError: (error) => errors.push(error) } },
  );
});

test('a log that goes on behind what is sealed stays so after a restart, and what it held has left the file', async () => {
  const path = newPath();
  const store = await open(path);
  await store.log.append(key, 1, storedEvents(key, 1, 1, 5));
  assert.deepEqual(await store.log.open(key, 2, 8), { outcome: 'opened', lastSeq: 8 });
  await store.close();
  const again = await open(path);
  assert.deepEqual(await again.log.read(key, 0, 10), { events: [], firstSeq: 9, lastSeq: 8 });
  const stale = { outcome: 'stale_epoch', epoch: 2 };
  assert.deepEqual(await again.log.append(key, 1, storedEvents(key, 1, 9, 9)), stale);
  assert.equal((await again.log.append(key, 2, storedEvents(key, 2, 9, 10))).outcome, 'appended');
  const db = new DatabaseSync(path);
  assert.equal(db.prepare('SELECT count(*) AS events FROM events').get()?.['events'], 2);
  db.close();
  await again.close();
});

test('logs that went on behind what is sealed are dropped by age as others', async () => {
  await withStore(async ({ log, records }) => {
    await records.sessions.create(sealedSession(key, 12));
    await log.open(key, 1, 10);
    await log.append(key, 1, storedEvents(key, 1, 11, 14));
    assert.equal(await log.dropOlderThan(Number.MAX_SAFE_INTEGER), 2);
    assert.deepEqual(await log.read(key, 0, 10), { events: storedEvents(key, 1, 13, 14), firstSeq: 13, lastSeq: 14 });
  });
});
