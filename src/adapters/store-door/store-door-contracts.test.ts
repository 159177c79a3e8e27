// What the records and snapshots promise holds through the door as well, whatever store is behind.

import { after } from 'node:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Records } from '../../contracts/records.ts';
import type { SnapshotStore } from '../../contracts/snapshots.ts';
import type { Subject } from '../../testing/contract-suites/contract-suite.ts';
import { recordsSuite } from '../../testing/contract-suites/records-suite.ts';
import { snapshotStoreSuite } from '../../testing/contract-suites/snapshot-store-suite.ts';
import { sqliteStores } from '../../testing/sqlite-stores.ts';
import { type LabStores, StoreDoorLab } from '../../testing/store-door-lab.ts';
import { FileSnapshotStore } from '../files/file-snapshot-store.ts';
import { MemoryRecords } from '../memory/memory-records.ts';
import type { StoreDoorClient } from './store-door-client.ts';

const sqlite = sqliteStores('store-door');
const home = mkdtempSync(path.join(tmpdir(), 'fleet-store-door-'));
after(() => rmSync(home, { recursive: true, force: true }));
let homes = 0;

async function subject<T>(
  stores: Partial<LabStores>,
  adapterOf: (client: StoreDoorClient, lab: StoreDoorLab) => T,
  close: () => Promise<void> = async () => {},
): Promise<Subject<T>> {
  const lab = new StoreDoorLab(stores);
  const { url } = await lab.door();
  const client = lab.client([url]);
  return {
    adapter: adapterOf(client, lab),
    close: async () => {
      await lab.close();
      await close();
    },
  };
}

/** What a worker asks goes through the door; the lists of a gateway, and what it makes and erases, go past it. */
function recordsOf({ records }: StoreDoorClient, lab: StoreDoorLab): Records {
  const direct = unmarked(lab.stores.records);
  const { sessions, turns } = direct;
  return {
    ...{ jobs: direct.jobs, schedules: direct.schedules, webhooks: direct.webhooks, deliveries: direct.deliveries },
    sessions: {
      ...{ create: (record) => sessions.create(record), erase: (tenant, id) => sessions.erase(tenant, id) },
      ...{ findByAlias: (tenant, alias) => sessions.findByAlias(tenant, alias) },
      ...{ list: (tenant, query) => sessions.list(tenant, query) },
      ...{ listHeld: (from, limit) => sessions.listHeld(from, limit) },
      ...{ listUnused: (beforeMs, from, limit) => sessions.listUnused(beforeMs, from, limit) },
      get: records.sessions.get,
      replace: records.sessions.replace,
    },
    turns: {
      ...records.turns,
      list: (tenant, sessionId, query) => turns.list(tenant, sessionId, query),
      listOpen: (from, limit) => turns.listOpen(from, limit),
      erase: (tenant, id) => turns.erase(tenant, id),
    },
    approvals: {
      ...records.approvals,
      list: (tenant, filter, query) =>
        filter.sessionId === null
          ? direct.approvals.list(tenant, filter, query)
          : records.approvals.list(tenant, filter, query),
      listDue: (beforeMs, from, limit) => direct.approvals.listDue(beforeMs, from, limit),
    },
    commit: records.commit,
  };
}

/** The marks of writes are for the door's clients alone; who reads past it leaves them. */
function unmarked(records: Records): Records {
  return new Proxy(records, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      if (typeof value !== 'object' || value === null) return value;
      return new Proxy(value, {
        get(group, name) {
          const method: unknown = Reflect.get(group, name);
          if (typeof method !== 'function') return method;
          return async (...given: unknown[]) => withoutMarks(await method.apply(group, given));
        },
      });
    },
  });
}

function withoutMarks(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMarks);
  if (typeof value !== 'object' || value === null) return value;
  const { marks: _, ...rest } = value as Record<string, unknown>;
  return Object.fromEntries(Object.entries(rest).map(([name, field]) => [name, withoutMarks(field)]));
}

/** Which sessions there are no worker asks. */
function snapshotsOf({ snapshots }: StoreDoorClient, lab: StoreDoorLab): SnapshotStore {
  return {
    put: (key, name, content) => snapshots.put(key, name, content),
    read: (key, name, range) => snapshots.read(key, name, range),
    list: (key) => snapshots.list(key),
    remove: (key, names) => snapshots.remove(key, names),
    erase: (key) => snapshots.erase(key),
    sessions: () => lab.stores.snapshots.sessions(),
  };
}

recordsSuite('records through the store door, memory behind it', () =>
  subject({ records: new MemoryRecords() }, recordsOf),
);
recordsSuite('records through the store door, sqlite behind it', async () => {
  const store = await sqlite.open(sqlite.newPath());
  return subject({ records: store.records }, recordsOf, () => store.close());
});
snapshotStoreSuite('snapshots through the store door, memory behind it', () => subject({}, snapshotsOf));
snapshotStoreSuite('snapshots through the store door, files behind it', () =>
  subject({ snapshots: new FileSnapshotStore(path.join(home, String(homes++))) }, snapshotsOf),
);
