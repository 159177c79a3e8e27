// The directories of a cluster: one that all its roles on a host share, with secrets, and with records and
// snapshots where those are no others' business, and in it one for each worker, which that worker alone has.

import { createHmac } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/resolve.ts';
import { ServiceError } from '../core/errors.ts';
import {
  acquireLock,
  type CallersSecrets,
  callersSecrets,
  makeOurs,
  ownerFile,
  randomSecret,
  readOwner,
  secretFile,
  writeOwner,
} from './data-dir.ts';

export type ClusterDir = CallersSecrets & {
  readonly path: string;
  /** What the roles know one another by. */
  readonly clusterSecret: string;
  /** Where the commands of this user find a gateway; the last to say so is found. */
  readonly announce: (url: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

/** Rejects with DataDirInUse while an embedded fleet has it. */
export async function openClusterDir(config: Config): Promise<ClusterDir> {
  const directory = config.dataDir;
  const isOnManyHosts = config.storage === 'google' || config.cluster.storesUrl.length > 0;
  if (isOnManyHosts && config.cluster.secret === null) {
    const message =
      'a cluster of many hosts needs the secret by which its roles know one another: set cluster.secret ' +
      '(CODEX_FLEET_CLUSTER_SECRET), the same for all of them';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  await makeOurs(directory);
  const release = await acquireLock(directory, 'shared');
  try {
    const { idempotencySecret, token } = await callersSecrets(directory);
    const clusterSecret =
      config.cluster.secret ?? (await secretFile(path.join(directory, 'cluster-secret'), randomSecret));
    return {
      path: directory,
      token,
      // A file of this host would not be that of another.
      idempotencySecret: isOnManyHosts
        ? createHmac('sha256', clusterSecret).update('idempotency').digest()
        : idempotencySecret,
      clusterSecret,
      announce: (url) => writeOwner(directory, { pid: process.pid, url }),
      close: async () => {
        if ((await readOwner(directory))?.pid === process.pid) await rm(ownerFile(directory), { force: true });
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

export type WorkerDir = { readonly path: string; readonly close: () => Promise<void> };

/** Of one worker; rejects with DataDirInUse while another process runs under its name. */
export async function openWorkerDir(clusterDir: string, workerId: string): Promise<WorkerDir> {
  const directory = path.join(clusterDir, 'workers', workerId);
  await mkdir(path.dirname(directory), { recursive: true, mode: 0o700 });
  await makeOurs(directory);
  const release = await acquireLock(directory);
  return { path: directory, close: async () => release() };
}
