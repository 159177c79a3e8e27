// A worker and what it is made of, for every composition that has one.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/resolve.ts';
import type { ModelGrants } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import { mintId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { Snapshots } from '../snapshot/snapshots.ts';
import { LeaseKeeper } from '../worker/lease-keeper.ts';
import { removeTree } from '../worker/remove-tree.ts';
import { SessionFiles } from '../worker/session-files.ts';
import { SlotClaims } from '../worker/slot-claims.ts';
import { SlotPool } from '../worker/slot-pool.ts';
import { Worker } from '../worker/worker.ts';
import type { CodexRuntime } from './codex-runtime.ts';
import type { Stores } from './stores.ts';
import { fleetVersion } from './version.ts';

export type WorkerParts = {
  readonly config: Config;
  readonly dir: string;
  readonly codex: CodexRuntime;
  readonly stores: Stores;
  readonly grants: ModelGrants;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

export type RunningWorker = { readonly worker: Worker; readonly snapshots: Snapshots };

const lease = { leaseMs: 10_000, renewEveryMs: 3_000, selfFenceMs: 7_000 };
const maxPendingEvents = 100_000;

/** Started and taking turns. */
export async function startWorkerParts(parts: WorkerParts): Promise<RunningWorker> {
  const { clock, codex, config, grants, logger, metrics, stores } = parts;
  // Places of their own: those of sessions that SQLite's records speak of survive a trial of memory storage.
  const prefix = stores.kind === 'memory' ? 'memory-' : '';
  const sessionsDir = path.join(parts.dir, `${prefix}sessions`);
  const slotsDir = path.join(parts.dir, `${prefix}slots`);
  // With records in memory no session outlives a process: neither do its files.
  if (stores.kind === 'memory') await Promise.all([sessionsDir, slotsDir].map(removeTree));
  const snapshots = new Snapshots({
    store: stores.snapshots,
    log: stores.log,
    codexVersion: codex.version,
    fleetVersion,
    clock,
    logger,
    limits: {
      maxFiles: config.sessions.maxFiles,
      maxBytes: config.sessions.maxBytes,
      keepSnapshots: config.sessions.keepSnapshots,
    },
  });
  const pool = new SlotPool({
    limit: config.worker.slots,
    warm: config.worker.warmSlots,
    slotsDir,
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
  const machine = machineStart();
  const worker = new Worker({
    id: config.worker.id,
    boot: mintId(),
    parts: {
      pool,
      files: new SessionFiles(sessionsDir, machine),
      claims: new SlotClaims(slotsDir, machine),
      snapshots,
      codexVersion: codex.version,
      grants,
      records: stores.records,
      log: stores.log,
      clock,
      logger,
      metrics,
      isolation: codex.isolation,
      defaultModel: config.model.name,
      limits: {
        hibernateAfterMs: config.worker.hibernateAfterMs,
        commandQueueTimeoutMs: config.turns.queueTimeoutMs,
        silenceMs: config.worker.silenceMs,
        rolloutBytes: config.sessions.rolloutLimitBytes,
      },
    },
    directory: stores.directory,
    leases: new LeaseKeeper({ directory: stores.directory, clock, logger, ...lease }),
    slotLimit: config.worker.slots,
    queueLimit: config.worker.queueLimit,
    maxPendingEvents,
  });
  await worker.start();
  return { worker, snapshots };
}

/** Files that nobody synced mean something only until the machine starts again. */
function machineStart(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
  } catch {
    return mintId();
  }
}
