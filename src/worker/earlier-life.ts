// What an earlier life of a worker without cages may have left behind: removed before a session is taken. And the
// one thing that is handed on: who waited for the next life.

import { lstat, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { TenantId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import { removeTree } from './remove-tree.ts';

export type LeftPlaces = {
  /** The worker's own directory, and the names in it that this life has made. */
  readonly workerDir: string;
  readonly kept: readonly string[];
  /** Places that the container's user may write, for who is alone in it: entries of that user are removed. */
  readonly shared: readonly string[];
};

const waitingFile = 'waiting-tenants.json';

export async function clearEarlierLife({ kept, shared, workerDir }: LeftPlaces, logger: Logger): Promise<void> {
  for (const name of await readdir(workerDir)) {
    if (!kept.includes(name)) await removeTree(path.join(workerDir, name));
  }
  await clearShared(shared, workerDir, logger);
}

/** Also between two sessions. Another user's are left alone, and so is what holds the worker's own directory. */
export async function clearShared(dirs: readonly string[], workerDir: string, logger: Logger): Promise<void> {
  const uid = process.getuid?.();
  for (const dir of dirs) {
    for (const name of await readdir(dir).catch((): string[] => [])) {
      const entry = path.join(dir, name);
      if (workerDir === entry || workerDir.startsWith(`${entry}/`)) continue;
      const stats = await lstat(entry).catch(() => null);
      if (stats === null || stats.uid !== uid) continue;
      await removeTree(entry).catch((error: unknown) =>
        logger.warn({ event: 'left_behind', path: entry, err: error }, 'what an agent left could not be removed'),
      );
    }
  }
}

/** Those who waited when the last life ended; nobody where that was not written, or not by us. */
export async function readWaiting(workerDir: string): Promise<readonly TenantId[]> {
  try {
    const found: unknown = JSON.parse(await readFile(path.join(workerDir, waitingFile), 'utf8'));
    return Array.isArray(found) ? found.filter((tenant) => typeof tenant === 'string') : [];
  } catch {
    return [];
  }
}

/** At the very end, when no agent runs that could write it. */
export async function writeWaiting(workerDir: string, tenants: readonly TenantId[]): Promise<void> {
  const file = path.join(workerDir, waitingFile);
  await removeTree(file);
  await writeFile(file, JSON.stringify(tenants), { mode: 0o600, flag: 'wx' });
}
