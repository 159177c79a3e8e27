// The files of sessions, for those who ask from outside: at the worker's slots, or in the snapshots.

import path from 'node:path';
import type { SessionRecords } from '../contracts/records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { WorkspaceLink } from '../contracts/workspace-link.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import type { SessionRecord, SnapshotRef } from '../core/session.ts';
import type { SnapshotReader } from '../snapshot/snapshot-reader.ts';
import type { Snapshots } from '../snapshot/snapshots.ts';
import { SessionWorkspace } from '../worker/session-workspace.ts';
import type { Worker } from '../worker/worker.ts';
import { Spool } from '../workspace/spool.ts';

export type WorkspaceParts = {
  /** On the file system of the slots. */
  readonly workerDir: string;
  readonly sessions: Pick<SessionRecords, 'get'>;
  readonly snapshots: Snapshots;
  readonly worker: Worker;
  readonly clock: Clock;
};

export async function openWorkspaces(parts: WorkspaceParts): Promise<WorkspaceLink> {
  const { clock, sessions, snapshots, worker, workerDir } = parts;
  const record = (key: SessionKey): Promise<SessionRecord | null> => sessions.get(key.tenant, key.sessionId);
  const openSnapshot = async (key: SessionKey, ref: SnapshotRef): Promise<SnapshotReader | null> => {
    try {
      return await snapshots.open(key, ref);
    } catch (error) {
      if (isServiceError(error, 'snapshot_gone')) return null;
      throw error;
    }
  };
  return new SessionWorkspace({
    clock,
    spool: await Spool.open(path.join(workerDir, 'spool')),
    admit: (tenant) => worker.admit(tenant),
    live: (key) => worker.liveWorkspace(key),
    newestSnapshot: async (key) => {
      const ref = (await record(key))?.snapshot ?? null;
      return ref === null ? null : await snapshots.open(key, ref);
    },
    sessionBase: async (key) => {
      const start = (await record(key))?.start ?? 'empty';
      return start === 'empty' ? null : start;
    },
    openSnapshot,
    change: (key, change) => worker.changeFiles(key, change),
  });
}
