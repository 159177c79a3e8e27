// What a disk does to a file: damage is found and named, a full disk is said to be full and used again
// when there is space, and a sync that failed is not believed to have been made good by the next.

import assert from 'node:assert/strict';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { LogKey, LogPage } from '../../contracts/event-log.ts';
import type { Records } from '../../contracts/records.ts';
import { SystemClock } from '../../observability/system-clock.ts';
import { storedEvent, storedEvents } from '../../testing/stored-events.ts';
import { deliveryRecord, jobRecord, sessionRecord, turnRecord } from '../../testing/stored-records.ts';
import { SqliteStore, type SqliteStoreOptions } from './sqlite-store.ts';
import { mountTinyDisk } from '../../testing/tiny-disk.ts';

const key: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000001' };
const otherKey: LogKey = { tenant: 'acme', sessionId: '019f0000-0000-7000-8000-000000000002' };

async function withHome(run: (home: string) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'sqlite-damage-'));
  try {
    await run(home);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

function open(path: string, options: Partial<SqliteStoreOptions> = {}): Promise<SqliteStore> {
  return SqliteStore.open({ path, clock: new SystemClock(), ...options });
}

/** A file with two sessions' events and records, closed; then changed by SQL. */
async function changedFile(home: string, sql: string): Promise<SqliteStore> {
  const path = join(home, 'store.db');
  const store = await open(path);
  await store.log.append(key, 1, storedEvents(key, 1, 1, 50));
  await store.log.append(otherKey, 1, storedEvents(otherKey, 1, 1, 5));
  await store.records.sessions.create(sessionRecord({ alias: 'my-session' }));
  await store.records.sessions.create(sessionRecord({ id: otherKey.sessionId }));
  await store.records.turns.create(turnRecord());
  await store.close();
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
  return open(path);
}

for (const [what, change] of [
  ['a changed body', "body = replace(body, 'event 20', 'event 21')"],
  ['a raw line that is gone', 'raw = NULL'],
  ['another type', "type = 'turn.completed'"],
  ['another turn', "turn_id = 'turn'"],
  ['another epoch', 'epoch = 2'],
  ['another time', 'at = at + 1'],
  ['another place', 'place = place + 1000'],
] as const) {
  test(`an event with ${what} is never read as it is: session_corrupt names its place`, async () => {
    await withHome(async (home) => {
      const prepared = "UPDATE events SET raw = '' WHERE (place & 2147483647) = 0;";
      const only = 'WHERE place = (SELECT (log_id << 31) | 20 FROM logs ORDER BY log_id LIMIT 1)';
      // Where the raw line is NULL already, an empty one is the damage.
      const damage = change === 'raw = NULL' ? "raw = ''" : change;
      const store = await changedFile(home, `${prepared} UPDATE events SET ${damage} ${only}`);
      const details = { session_id: key.sessionId, part: 'log', seq: 20 };
      await assert.rejects(store.log.read(key, 0, 50), { code: 'session_corrupt', details });
      assert.deepEqual((await store.log.read(key, 0, 19)).events, storedEvents(key, 1, 1, 19));
      assert.equal((await store.log.read(otherKey, 0, 50)).events.length, 5);
      await store.close();
    });
  });
}

test('an event that is missing between others, or at the end, is found too', async () => {
  await withHome(async (home) => {
    const store = await changedFile(home, 'DELETE FROM events WHERE (place & 2147483647) IN (3, 50)');
    await assert.rejects(store.log.read(key, 0, 10), { code: 'session_corrupt' });
    await assert.rejects(store.log.read(key, 45, 10), { code: 'session_corrupt' });
    assert.equal((await store.log.read(key, 10, 10)).events.length, 10);
    await store.close();
  });
});

test('a log whose end was moved is session_corrupt, takes no more events, and can be erased', async () => {
  await withHome(async (home) => {
    const store = await changedFile(home, `UPDATE logs SET last_seq = 20 WHERE session_id = '${key.sessionId}'`);
    const expected = { code: 'session_corrupt', details: { session_id: key.sessionId, part: 'log_head' } };
    await assert.rejects(store.log.read(key, 0, 10), expected);
    await assert.rejects(store.log.append(key, 1, storedEvents(key, 1, 21, 21)), expected);
    await store.log.erase(key);
    assert.equal((await store.log.append(key, 1, storedEvents(key, 1, 1, 60))).outcome, 'appended');
    assert.deepEqual((await store.log.read(key, 0, 60)).events, storedEvents(key, 1, 1, 60));
    await store.close();
  });
});

for (const [what, name, create] of [
  ['a session', 'my-session', ({ sessions }) => sessions.create(sessionRecord({ alias: 'my-session' }))],
  ['a job', 'my-schedule', ({ jobs }) => jobs.create(jobRecord({ scheduleId: 'my-schedule' }))],
  ['a delivery', 'my-lane', ({ deliveries }) => deliveries.create(deliveryRecord({ lane: 'my-lane' }))],
] as const satisfies readonly (readonly [string, string, (records: Records) => Promise<unknown>])[]) {
  test(`${what} that is no longer found under its name is found to be damaged`, async () => {
    await withHome(async (home) => {
      const path = join(home, 'store.db');
      const store = await open(path);
      await create(store.records);
      assert.deepEqual(await store.findDamage(), []);
      await store.close();
      const octets: Buffer = readFileSync(path);
      // The name in its index: the only place where nothing stands behind it but the row's place.
      const places: number[] = [];
      for (let at = octets.indexOf(name); at !== -1; at = octets.indexOf(name, at + 1)) places.push(at);
      const place = places.find(
        (at) => octets[at + name.length] !== 0x22 && octets.subarray(at - 8, at).includes('acme'),
      );
      assert.ok(place !== undefined);
      octets.write('MY', place);
      writeFileSync(path, octets);
      const again = await open(path);
      assert.notDeepEqual(await again.findDamage(), []);
      await again.close();
    });
  });
}

test('a record that was changed behind our back is session_corrupt, wherever it is met', async () => {
  await withHome(async (home) => {
    const damage = `UPDATE sessions SET body = replace(body, 'idle', 'busy') WHERE alias IS NOT NULL;
      UPDATE turns SET revision = 7`;
    const { records, close } = await changedFile(home, damage).then((store) => ({
      records: store.records,
      close: () => store.close(),
    }));
    const { sessions, turns } = records;
    const ofSession = {
      code: 'session_corrupt',
      details: { session_id: key.sessionId, part: 'sessions', id: key.sessionId },
    };
    await assert.rejects(sessions.get('acme', key.sessionId), ofSession);
    await assert.rejects(sessions.findByAlias('acme', 'my-session'), ofSession);
    await assert.rejects(sessions.list('acme', { after: null, limit: 10, order: 'asc' }), ofSession);
    await assert.rejects(sessions.replace(sessionRecord({ alias: 'my-session' })), ofSession);
    await assert.rejects(turns.get('acme', turnRecord().id), { code: 'session_corrupt' });
    assert.equal((await sessions.get('acme', otherKey.sessionId))?.id, otherKey.sessionId);
    await close();
  });
});

test('a job and a delivery that were changed are session_corrupt, named in lists over all tenants, and erased', async () => {
  await withHome(async (home) => {
    const path = join(home, 'store.db');
    const first = await open(path);
    await first.records.jobs.create(jobRecord({ dueAt: 5 }));
    await first.records.deliveries.create(deliveryRecord({ dueAt: 5 }));
    await first.close();
    const db = new DatabaseSync(path);
    db.exec("UPDATE jobs SET due_at = 6; UPDATE deliveries SET body = replace(body, 'pending', 'delivered')");
    db.close();
    const store = await open(path);
    const { jobs, deliveries } = store.records;
    const { id } = jobRecord();
    const ofJob = { code: 'session_corrupt', details: { session_id: id, part: 'jobs', id } };
    await assert.rejects(jobs.get('acme', id), ofJob);
    const { id: deliveryId, lane } = deliveryRecord();
    const ofDelivery = {
      code: 'session_corrupt',
      details: { session_id: lane, part: 'deliveries', id: deliveryId },
    };
    await assert.rejects(deliveries.get('acme', deliveryId), ofDelivery);
    await assert.rejects(deliveries.listLane('acme', lane, 1), ofDelivery);
    assert.deepEqual((await jobs.listDue(7, null, 1)).data, [{ tenant: 'acme', id, sessionId: id, at: 6 }]);
    assert.equal((await deliveries.listDue(6, null, 1)).data[0]?.id, deliveryId);
    await jobs.erase('acme', id);
    await deliveries.erase('acme', deliveryId);
    assert.equal(await jobs.get('acme', id), null);
    assert.deepEqual(await deliveries.listLane('acme', lane, 1), []);
    await store.close();
  });
});

test('lists over all tenants name a damaged record and hide no other', async () => {
  await withHome(async (home) => {
    const damage = `UPDATE sessions SET body = '' WHERE alias IS NOT NULL; UPDATE turns SET body = ''`;
    const store = await changedFile(home, damage);
    const { sessions, turns } = store.records;
    const unused = await sessions.listUnused(Number.MAX_SAFE_INTEGER, null, 10);
    assert.deepEqual(
      unused.data.map(({ id }) => id),
      [key.sessionId, otherKey.sessionId],
    );
    assert.deepEqual(
      (await turns.listOpen(null, 10)).data.map(({ sessionId }) => sessionId),
      [key.sessionId],
    );
    await store.close();
  });
});

test('whatever octets of the file are damaged, no read answers anything but what was written', async () => {
  await withHome(async (home) => {
    const path = join(home, 'store.db');
    const store = await open(path);
    for (let seq = 1; seq <= 2_000; seq += 100) await store.log.append(key, 1, storedEvents(key, 1, seq, seq + 99));
    await store.close();
    const whole = readFileSync(path);
    const outcomes = new Map<string, number>();
    for (let round = 0; round < 60; round++) {
      const damaged = Buffer.from(whole);
      const offset = Math.floor(Math.random() * whole.length);
      if (round % 3 === 0) damaged.fill(0, offset - (offset % 4_096), offset - (offset % 4_096) + 4_096);
      else if (round % 3 === 1) damaged[offset] = damaged[offset]! ^ (1 << (round % 8));
      else damaged.copy(damaged, offset - (offset % 4_096), 0, 2_048);
      writeFileSync(path, damaged);
      const outcome = await answerOf(path);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
    }
    const allowed = ['store_corrupt', 'session_corrupt', 'store_unavailable', 'whole'];
    assert.deepEqual(
      [...outcomes.keys()].filter((outcome) => !allowed.includes(outcome)),
      [],
      JSON.stringify([...outcomes]),
    );
    assert.ok(
      (outcomes.get('store_corrupt') ?? 0) + (outcomes.get('session_corrupt') ?? 0) > 10,
      JSON.stringify([...outcomes]),
    );
  });
});

/** `whole` when all is read as it was written, else the code of the error; anything else is what must not be. */
async function answerOf(path: string): Promise<string> {
  let store: SqliteStore | null = null;
  try {
    store = await open(path);
    for (let after = 0; after < 2_000; after += 200) {
      const page: LogPage = await store.log.read(key, after, 200);
      assert.deepEqual(page.events, storedEvents(key, 1, after + 1, after + 200));
    }
    return 'whole';
  } catch (error) {
    if (error instanceof assert.AssertionError) return 'another answer';
    return error instanceof Error && 'code' in error ? String(error.code) : String(error);
  } finally {
    await store?.close().catch(() => undefined);
  }
}

async function fillAndRecover(store: SqliteStore, makeSpace: () => Promise<void>): Promise<void> {
  const text = 'x'.repeat(50_000);
  const event = (seq: number): ReturnType<typeof storedEvent> => storedEvent({ key, epoch: 1, seq, text });
  await store.records.sessions.create(sessionRecord());
  let lastSeq = 0;
  const filled = async (): Promise<never> => {
    for (;;) {
      await store.log.append(key, 1, [event(lastSeq + 1)]);
      lastSeq++;
    }
  };
  await assert.rejects(filled(), { code: 'storage_full' });
  await assert.rejects(store.log.append(key, 1, [event(lastSeq + 1)]), { code: 'storage_full' });
  // What was acknowledged is still there, and nothing of what was refused.
  assert.equal((await store.log.read(key, 0, 1)).lastSeq, lastSeq);
  assert.deepEqual((await store.log.read(key, lastSeq - 1, 9)).events, [event(lastSeq)]);
  await makeSpace();
  assert.deepEqual(await store.log.append(key, 1, [event(lastSeq + 1)]), { outcome: 'appended', lastSeq: lastSeq + 1 });
  await store.records.turns.create(turnRecord());
  assert.equal((await store.records.turns.get('acme', turnRecord().id))?.status, 'queued');
}

test('a file that may not grow is storage_full, and goes on when something was erased', async () => {
  await withHome(async (home) => {
    const store = await open(join(home, 'store.db'), { maxBytes: 2_000_000 });
    await store.log.append(otherKey, 1, [storedEvent({ key: otherKey, epoch: 1, seq: 1, text: 'x'.repeat(400_000) })]);
    await fillAndRecover(store, () => store.log.erase(otherKey));
    await store.close();
  });
});

test('a full disk is storage_full, and is used again when there is space', async (t) => {
  await withHome(async (home) => {
    const unmount = mountTinyDisk(home, '3m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const ballast = join(home, 'ballast');
      writeFileSync(ballast, Buffer.alloc(1_000_000));
      const store = await open(join(home, 'store.db'));
      await fillAndRecover(store, async () => rmSync(ballast));
      await store.close();
      // A disk that is full from the start: said so, too, not "cannot open".
      writeFileSync(join(home, 'other'), '');
      const fd = openSync(ballast, 'w');
      assert.throws(() => {
        for (;;) writeSync(fd, Buffer.alloc(4_096));
      });
      closeSync(fd);
      await assert.rejects(open(join(home, 'new.db')), { code: 'storage_full' });
    } finally {
      unmount();
    }
  });
});

test('on a full disk what changes nothing in size is written on, in the room that the log has', async (t) => {
  await withHome(async (home) => {
    const unmount = mountTinyDisk(home, '3m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const path = join(home, 'store.db');
      const first = await open(path);
      let { record } = await first.records.turns.create(turnRecord());
      // All of it is in the database now, and the log is empty.
      await first.close();
      const store = await open(path);
      const ballast = openSync(join(home, 'ballast'), 'w');
      const { bavail, bsize } = statfsSync(home);
      // Much less than the log has when SQLite copies it back by itself.
      writeSync(ballast, Buffer.alloc(bavail * bsize - 200_000));
      closeSync(ballast);
      for (let round = 0; round < 300; round++) {
        record = (await store.records.turns.replace({ ...record, finalMessage: `round ${round}` })) ?? record;
      }
      assert.equal((await store.records.turns.get('acme', record.id))?.finalMessage, 'round 299');
      await store.close();
    } finally {
      unmount();
    }
  });
});

test('a sync that failed is reported, and the next one counts only once the data was written anew', async () => {
  await withHome(async (home) => {
    const path = join(home, 'store.db');
    const problem = Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO', syscall: 'fdatasync' });
    let failures = 1;
    const store = await open(path, {
      syncFile: async () => {
        if (failures-- > 0) throw problem;
      },
    });
    await assert.rejects(store.records.turns.create(turnRecord()), { code: 'store_unavailable', cause: problem });
    // The same again, as a caller would: it stands, and only now is it known to be on disk.
    const before = statSync(path).size;
    assert.equal((await store.records.turns.create(turnRecord())).outcome, 'exists');
    assert.ok(statSync(path).size > before, 'the log was not copied into the database');
    await store.close();
  });
});

test('a disk without space for the sync is storage_full', async () => {
  await withHome(async (home) => {
    const store = await open(join(home, 'store.db'), {
      syncFile: () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'fdatasync' })),
    });
    await assert.rejects(store.records.turns.create(turnRecord()), { code: 'storage_full' });
    await store.close();
  });
});
