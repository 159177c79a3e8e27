// SQLite stores in a temporary folder, for a test file: new ones on demand, all gone after it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { SqliteStore, type SqliteStoreOptions } from '../adapters/sqlite/sqlite-store.ts';
import { SystemClock } from '../observability/system-clock.ts';

export type SqliteStores = {
  readonly newPath: () => string;
  readonly open: (path: string, options?: Partial<SqliteStoreOptions>) => Promise<SqliteStore>;
  /** A new store, closed however the run ends. */
  readonly withStore: (
    run: (store: SqliteStore, path: string) => Promise<void>,
    options?: Partial<SqliteStoreOptions>,
  ) => Promise<void>;
};

export function sqliteStores(name: string): SqliteStores {
  const home = mkdtempSync(join(tmpdir(), `${name}-`));
  after(() => rmSync(home, { recursive: true, force: true }));
  const clock = new SystemClock();
  let files = 0;
  const newPath = (): string => {
    files++;
    return join(home, `store-${files}.db`);
  };
  const open: SqliteStores['open'] = (path, options = {}) => SqliteStore.open({ path, clock, ...options });
  const withStore: SqliteStores['withStore'] = async (run, options = {}) => {
    const path = newPath();
    const store = await open(path, options);
    try {
      await run(store, path);
    } finally {
      await store.close();
    }
  };
  return { newPath, open, withStore };
}
