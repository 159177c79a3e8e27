import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { Config } from '../config/resolve.ts';
import { createLogger } from '../observability/logger.ts';
import { SystemClock } from '../observability/system-clock.ts';
import { storedEvents } from '../testing/stored-events.ts';
import {
  deliveryRecord,
  jobRecord,
  scheduleRecord,
  sessionRecord,
  turnRecord,
  webhookRecord,
} from '../testing/stored-records.ts';
import { DiskReserve } from './disk-reserve.ts';
import { openStores, type Stores, type StoresOptions } from './stores.ts';
import { mountTinyDisk } from '../testing/tiny-disk.ts';

const clock = new SystemClock();
const key = { tenant: 'acme', sessionId: sessionRecord().id };
const lease = { ...key, worker: 'worker-1', epoch: 1 };

type Lab = {
  readonly dir: string;
  readonly lines: { readonly event?: string; readonly [fact: string]: unknown }[];
  readonly open: (storage?: Config['storage'], options?: Partial<StoresOptions>) => Promise<Stores>;
};

async function withDir(run: (lab: Lab) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'stores-'));
  const lines: Lab['lines'] = [];
  const destination = { write: (line: string) => void lines.push(JSON.parse(line)) };
  const logger = createLogger({ level: 'info', role: 'test', destination });
  const open: Lab['open'] = (storage = 'sqlite', options = {}) =>
    openStores({ storage } as Config, dir, clock, logger, {
      onForgotten: () => {},
      isOnlyOwner: true,
      checksRecords: true,
      reserve: null,
      ...options,
    });
  try {
    await run({ dir, lines, open });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

test('what was kept in SQLite and in snapshots is there after a restart; leases of the run before are not', async () => {
  await withDir(async ({ dir, lines, open }) => {
    const first = await open();
    await first.records.sessions.create(sessionRecord());
    await first.log.append(key, 1, storedEvents(key, 1, 1, 3));
    await first.snapshots.put(key, 'pack', [Buffer.from('content')]);
    assert.equal(await first.directory.claim(lease, 60_000), null);
    await first.close();
    const second = await open();
    assert.deepEqual(await second.records.sessions.get('acme', key.sessionId), sessionRecord());
    assert.equal((await second.log.read(key, 0, 10)).lastSeq, 3);
    assert.equal((await second.snapshots.read(key, 'pack'))?.byteLength, 7);
    assert.equal(await second.directory.lookup('acme', key.sessionId), null);
    assert.deepEqual([second.kind, lines], ['sqlite', []]);
    await second.close();
    assert.equal(statSync(join(dir, 'fleet.db')).mode & 0o077, 0);
  });
});

test('leases stand when others may have the file open as well', async () => {
  await withDir(async ({ open }) => {
    const [first, second] = [await open(), await open('sqlite', { isOnlyOwner: false })];
    await first.directory.claim(lease, 60_000);
    const third = await open('sqlite', { isOnlyOwner: false });
    assert.deepEqual(await third.directory.lookup('acme', key.sessionId), lease);
    for (const stores of [first, second, third]) await stores.close();
  });
});

test('memory begins empty every time, and a trial of it takes nothing that SQLite keeps', async () => {
  await withDir(async ({ open }) => {
    const durable = await open();
    await durable.snapshots.put(key, 'kept', [Buffer.from('1')]);
    await durable.close();
    for (let run = 0; run < 2; run++) {
      const memory = await open('memory');
      assert.equal(memory.kind, 'memory');
      assert.deepEqual(await memory.snapshots.list(key), []);
      assert.equal(await memory.records.sessions.get('acme', key.sessionId), null);
      await memory.records.sessions.create(sessionRecord());
      await memory.snapshots.put(key, 'pack', [Buffer.from('1')]);
      assert.equal(await memory.dropEventsBefore(Number.MAX_SAFE_INTEGER), 0);
      await memory.close();
    }
    const again = await open();
    assert.deepEqual(await again.snapshots.list(key), [{ name: 'kept', bytes: 1 }]);
    await again.close();
  });
});

test('a session that memory forgets is told by its key', async () => {
  await withDir(async ({ open }) => {
    const forgotten: unknown[] = [];
    const { records } = await open('memory', { onForgotten: (one) => forgotten.push(one) });
    for (let number = 0; number <= 20_000; number++) {
      await records.sessions.create(sessionRecord({ id: `session-${number}` }));
    }
    assert.deepEqual(forgotten, [{ tenant: 'acme', sessionId: 'session-0' }]);
  });
});

test('a delivery that memory forgets before it arrived is said', async () => {
  await withDir(async ({ lines, open }) => {
    const { records } = await open('memory');
    for (let number = 0; number <= 20_000; number++) {
      await records.deliveries.create(deliveryRecord({ id: `delivery-${number}`, dueAt: number }));
    }
    assert.deepEqual(
      lines.map(({ event, delivery_id }) => [event, delivery_id]),
      [['delivery_forgotten', 'delivery-0']],
    );
  });
});

test('a database whose tables are damaged is said to be, and opens for what is whole', async () => {
  await withDir(async ({ dir, lines, open }) => {
    const first = await open();
    await first.records.sessions.create(sessionRecord());
    await first.close();
    const db = new DatabaseSync(join(dir, 'fleet.db'), { defensive: false });
    db.exec(`PRAGMA writable_schema = ON;
      UPDATE sqlite_schema SET sql = replace(sql, 'is_held = 1', 'is_held = 0') WHERE name = 'sessions_held';`);
    db.close();
    const second = await open();
    assert.deepEqual(
      lines.map(({ event, found }) => [event, found]),
      [['store_damaged', 1]],
    );
    assert.equal((await second.records.sessions.get('acme', key.sessionId))?.id, key.sessionId);
    await second.close();
  });
});

for (const [what, spoil, code, words] of [
  [
    'is no database',
    (file) => writeFileSync(file, 'text '.repeat(2_000)),
    'store_corrupt',
    /fleet\.db is damaged or no/,
  ],
  [
    'is a directory',
    (file) => mkdirSync(file),
    'store_unavailable',
    /fleet\.db cannot be opened or read; .*--data-dir/,
  ],
  ["is another program's", foreignDatabase, 'store_unavailable', /belongs to another program.* \(.*fleet\.db\)/],
] as const satisfies readonly (readonly [string, (file: string) => void, string, RegExp])[]) {
  test(`a file that ${what} is refused in words, and left as it is`, async () => {
    await withDir(async ({ dir, open }) => {
      spoil(join(dir, 'fleet.db'));
      await assert.rejects(open(), { code, message: words });
      assert.ok(readdirSync(dir).includes('fleet.db'));
    });
  });
}

function foreignDatabase(file: string): void {
  const db = new DatabaseSync(file);
  db.exec('CREATE TABLE theirs (a)');
  db.close();
}

test('on a full disk what began can be recorded to its end, nothing begins, and both change when there is space', async (t) => {
  await withDir(async ({ dir, lines, open }) => {
    const unmount = mountTinyDisk(dir, '8m');
    if (unmount === null) {
      t.skip('needs the right to mount a tmpfs');
      return;
    }
    try {
      const logger = createLogger({ level: 'silent', role: 'test' });
      const reserve = await DiskReserve.open({ dir, clock, logger });
      const stores = await open('sqlite', { reserve });
      await stores.records.sessions.create(sessionRecord());
      await stores.records.turns.create(turnRecord());
      await stores.records.jobs.create(jobRecord());
      fill(join(dir, 'filling'));
      await assert.rejects(stores.snapshots.put(key, 'pack', [Buffer.alloc(100_000)]), { code: 'storage_full' });
      assert.equal(reserve.isLow, true);
      assert.notEqual(await stores.records.commit(sessionRecord(), turnRecord({ status: 'failed' })), null);
      assert.equal((await stores.log.append(key, 1, storedEvents(key, 1, 1, 5))).outcome, 'appended');
      assert.equal(await stores.directory.claim(lease, 60_000), null);
      await assert.rejects(stores.records.turns.create(turnRecord({ id: 'another' })), { code: 'storage_full' });
      for (const begin of [
        () => stores.records.jobs.create(jobRecord({ id: 'another' })),
        () => stores.records.schedules.create(scheduleRecord()),
        () => stores.records.webhooks.create(webhookRecord()),
      ]) {
        await assert.rejects(begin(), { code: 'storage_full' });
      }
      assert.notEqual(await stores.records.jobs.replace(jobRecord({ status: 'failed', dueAt: null })), null);
      assert.equal((await stores.records.deliveries.create(deliveryRecord())).outcome, 'created');
      await reserve.close();
      await stores.close();
      // A restart on the disk that is full still: what was given back before is enough to open it.
      const low = await DiskReserve.open({ dir, clock, logger });
      const again = await open('sqlite', { reserve: low });
      assert.equal((await again.records.turns.get('acme', turnRecord().id))?.status, 'failed');
      await low.close();
      await again.close();
      rmSync(join(dir, 'filling'));
      const roomy = await DiskReserve.open({ dir, clock, logger });
      assert.equal(roomy.isLow, false);
      await roomy.close();
      assert.deepEqual(lines, []);
    } finally {
      unmount();
    }
  });
});

function fill(file: string): void {
  try {
    for (let size = 0; size < 256; size++) writeFileSync(file, Buffer.alloc(65_536), { flag: 'a' });
  } catch {
    // That is what is wanted.
  }
}
