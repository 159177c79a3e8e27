// A worker and what it is made of, for every composition that has one.

import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Config } from '../config/resolve.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { ModelGrants } from '../contracts/model-grants.ts';
import type { Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { LeaseKeeper } from '../worker/lease-keeper.ts';
import { SessionFiles } from '../worker/session-files.ts';
import { SlotPool } from '../worker/slot-pool.ts';
import { Worker } from '../worker/worker.ts';
import type { CodexRuntime } from './codex-runtime.ts';

export type WorkerStores = { readonly log: EventLog; readonly directory: SessionDirectory; readonly records: Records };

export type WorkerParts = {
  readonly config: Config;
  readonly dir: string;
  readonly codex: CodexRuntime;
  readonly stores: WorkerStores;
  readonly grants: ModelGrants;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

const lease = { leaseMs: 10_000, renewEveryMs: 3_000, selfFenceMs: 7_000 };
const maxPendingEvents = 100_000;

/** Started and taking turns. Its sessions' files are new: with records in memory, none outlives a process. */
export async function startWorkerParts(parts: WorkerParts): Promise<Worker> {
  const { clock, codex, config, grants, logger, metrics, stores } = parts;
  const sessionsDir = path.join(parts.dir, 'sessions');
  await rm(sessionsDir, { recursive: true, force: true });
  const pool = new SlotPool({
    limit: config.worker.slots,
    warm: config.worker.warmSlots,
    slotsDir: path.join(parts.dir, 'slots'),
    startAgent: codex.startAgent,
    releaseLongestIdle: () => worker.releaseLongestIdle(),
    recycle: {
      turns: config.worker.recycleTurns,
      ageMs: config.worker.recycleAgeMs,
      rssBytes: config.worker.recycleRssBytes,
      openFiles: config.worker.recycleOpenFiles,
    },
    clock,
    logger,
    metrics,
  });
  const worker = new Worker({
    id: config.worker.id,
    parts: {
      pool,
      files: new SessionFiles(sessionsDir),
      grants,
      records: stores.records,
      clock,
      logger,
      metrics,
      isolation: codex.isolation,
      defaultModel: config.model.name,
      limits: {
        hibernateAfterMs: config.worker.hibernateAfterMs,
        commandQueueTimeoutMs: config.turns.queueTimeoutMs,
        silenceMs: config.worker.silenceMs,
      },
    },
    log: stores.log,
    directory: stores.directory,
    leases: new LeaseKeeper({ directory: stores.directory, clock, logger, ...lease }),
    codexVersion: codex.version,
    slotLimit: config.worker.slots,
    queueLimit: config.worker.queueLimit,
    maxPendingEvents,
  });
  await worker.start();
  return worker;
}
