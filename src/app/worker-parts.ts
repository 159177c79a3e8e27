// A worker and what it is made of, for every composition that has one.

import path from 'node:path';
import { hostTime } from '../adapters/sqlite/host-time.ts';
import { endTree, exactBytes, memoryOf } from '../codex/command-trees.ts';
import { readContainerMemory } from '../codex/container-memory.ts';
import type { Config } from '../config/resolve.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { ModelGrants } from '../contracts/model-grants.ts';
import type { Clock } from '../core/clock.ts';
import { mintId } from '../core/ids.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Tracing } from '../observability/tracing.ts';
import { Snapshots } from '../snapshot/snapshots.ts';
import { LeaseKeeper } from '../worker/lease-keeper.ts';
import { isOwner } from '../worker/ownership.ts';
import { MemoryWatch } from '../worker/memory-watch.ts';
import type { OneTenant } from '../worker/one-tenant.ts';
import { removeTree } from '../worker/remove-tree.ts';
import { type Room, SessionFiles } from '../worker/session-files.ts';
import { SlotClaims } from '../worker/slot-claims.ts';
import { SlotPool } from '../worker/slot-pool.ts';
import { Worker } from '../worker/worker.ts';
import type { CodexRuntime } from './codex-runtime.ts';
import type { DiskReserve } from './disk-reserve.ts';
import type { SessionObjects } from '../contracts/snapshots.ts';
import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { Stores } from './stores.ts';
import { fleetVersion } from './version.ts';

export type WorkerParts = {
  readonly config: Config;
  readonly dir: string;
  readonly codex: CodexRuntime;
  readonly stores: Omit<Stores, 'records' | 'snapshots'> & {
    readonly records: WorkerRecords;
    readonly snapshots: SessionObjects;
  };
  /** Of the disk that `dir` is on; null: its being full is said, and nothing else. */
  readonly reserve: DiskReserve | null;
  readonly grants: ModelGrants;
  readonly outbox: Outbox;
  /** Where no cage can be made: whom the worker serves, and what is to be done when an agent has ended. */
  readonly uncaged?: {
    readonly oneTenant: OneTenant;
    readonly cleanUp: () => Promise<void>;
    /** The process that gets what outlives its parent, where that is the agents' alone; null: that is not known. */
    readonly orphansBelow: number | null;
  };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
};

export type RunningWorker = {
  readonly worker: Worker;
  readonly boot: string;
  readonly files: SessionFiles;
  readonly snapshots: Snapshots;
};

/** Renewed three times in its length; given up by its holder when two of them have failed and the end is near. */
function leaseTimes(leaseMs: number): { leaseMs: number; renewEveryMs: number; selfFenceMs: number } {
  return { leaseMs, renewEveryMs: Math.floor(leaseMs * 0.3), selfFenceMs: Math.floor(leaseMs * 0.7) };
}

const maxPendingEvents = 100_000;

/** Started and taking turns. */
export async function startWorkerParts(parts: WorkerParts): Promise<RunningWorker> {
  const { clock, codex, config, grants, logger, metrics, outbox, reserve, stores, tracing } = parts;
  const { sessionsDir, slotsDir } = dirsIn(parts.dir, stores.kind);
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
      // One turn may bring it over the limit; what is far beyond was not written by Codex.
      maxRolloutBytes: 4 * config.sessions.rolloutLimitBytes,
    },
  });
  const boot = mintId();
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
    ...(config.worker.sessionMemoryBytes === 0 ? {} : { watch: memoryWatch(parts) }),
    ...(parts.uncaged === undefined ? {} : { cleanUp: parts.uncaged.cleanUp }),
    clock,
    logger,
    metrics,
  });
  const { claims, files } = placesIn(sessionsDir, slotsDir, reserve);
  const worker = new Worker({
    id: config.worker.id,
    boot,
    parts: {
      pool,
      files,
      claims,
      snapshots,
      codexVersion: codex.version,
      outlivesUs: stores.kind !== 'memory',
      mayLogBeLost: stores.kind === 'cluster',
      ...(stores.dropSealed === undefined ? {} : { dropSealed: stores.dropSealed }),
      grants,
      outbox,
      records: stores.records,
      log: stores.log,
      clock,
      logger,
      metrics,
      tracing,
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
    leases: new LeaseKeeper({
      directory: stores.directory,
      clock,
      logger,
      ...leaseTimes(config.cluster.leaseMs),
      isStillOurs: (lease) => isOwner({ clock, records: stores.records }, { ...lease, boot }),
      // Where the log is as forgetful as the directory: in Redis.
      ...(stores.kind === 'cluster' ? { onDirectoryLost: () => worker.confirmLogs() } : {}),
    }),
    slotLimit: config.worker.slots,
    queueLimit: config.worker.queueLimit,
    oneTenant: parts.uncaged?.oneTenant ?? null,
    maxPendingEvents,
  });
  reserve?.whenFull(() => worker.diskFull());
  await worker.start();
  return { worker, boot, files, snapshots };
}

function memoryWatch({ clock, config, logger, metrics, uncaged }: WorkerParts): MemoryWatch {
  const orphansBelow = uncaged?.orphansBelow ?? null;
  return new MemoryWatch({
    limitBytes: config.worker.sessionMemoryBytes,
    look: (agent) => memoryOf({ launcherPid: agent.launcherPid, codexPid: agent.agentPid() }, orphansBelow),
    exactBytes,
    end: endTree,
    container: () => readContainerMemory(),
    ...{ clock, logger, metrics },
  });
}

/** What an earlier run left in its slots comes to rest, and the slots are removed: a full disk has room then. */
export async function salvageSlots({
  clock,
  config,
  dir,
  logger,
  reserve,
}: Pick<WorkerParts, 'clock' | 'config' | 'dir' | 'logger' | 'reserve'>): Promise<void> {
  const { sessionsDir, slotsDir } = dirsIn(dir, config.storage);
  const { claims, files } = placesIn(sessionsDir, slotsDir, reserve);
  await claims.salvage(files, clock, logger);
}

/** Places of their own: those of sessions that SQLite's records speak of survive a trial of memory storage. */
function dirsIn(dir: string, storage: Stores['kind'] | Config['storage']): { sessionsDir: string; slotsDir: string } {
  const prefix = storage === 'memory' ? 'memory-' : '';
  return { sessionsDir: path.join(dir, `${prefix}sessions`), slotsDir: path.join(dir, `${prefix}slots`) };
}

function placesIn(
  sessionsDir: string,
  slotsDir: string,
  reserve: DiskReserve | null,
): { files: SessionFiles; claims: SlotClaims } {
  // Files that nobody synced mean something only until the machine starts again.
  const machine = hostTime().bootId || mintId();
  const room: Room = (work) => (reserve === null ? work() : reserve.guard(work));
  return { files: new SessionFiles(sessionsDir, machine, room), claims: new SlotClaims(slotsDir, machine, room) };
}
