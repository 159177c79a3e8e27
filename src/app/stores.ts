// What is kept, and where: the event log, who holds which session, the records and the snapshots, all
// of one kind. Opens them so that whoever gets them need not know which.

import { rm } from 'node:fs/promises';
import path from 'node:path';
import { FileSnapshotStore } from '../adapters/files/file-snapshot-store.ts';
import { MemoryEventLog } from '../adapters/memory/memory-event-log.ts';
import { MemoryRecords } from '../adapters/memory/memory-records.ts';
import { MemorySessionDirectory } from '../adapters/memory/memory-session-directory.ts';
import { SqliteStore } from '../adapters/sqlite/sqlite-store.ts';
import type { Config } from '../config/resolve.ts';
import type { EventLog } from '../contracts/event-log.ts';
import type { Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SnapshotStore } from '../contracts/snapshots.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { isServiceError, ServiceError } from '../core/errors.ts';
import type { Logger } from '../observability/logger.ts';
import type { DiskReserve } from './disk-reserve.ts';
import { eventMemoryCharacters } from './event-memory.ts';
import { onReserve } from './reserved-stores.ts';

export type Stores = {
  /** cluster: what must be true as with sqlite, what must be fast in Redis. */
  readonly kind: 'sqlite' | 'memory' | 'cluster';
  readonly log: EventLog;
  readonly directory: SessionDirectory;
  readonly records: Records;
  readonly snapshots: SnapshotStore;
  /** Drops events that were written before and that a snapshot holds as well; answers how many. */
  readonly dropEventsBefore: (cutoffMs: number) => Promise<number>;
  /** Of one session, of what its snapshot holds; where that does not go by `dropEventsBefore`. Never rejects. */
  readonly dropSealed?: (key: SessionKey, sealedSeq: number) => Promise<void>;
  /** What was asked before is done first; calls after this are refused. */
  readonly close: () => Promise<void>;
};

export type StoresOptions = {
  /** Memory made room: what others hold of the session can go. */
  readonly onForgotten: (key: SessionKey) => void;
  /** No other process has the data directory: leases of earlier runs have no holder any more. */
  readonly isOnlyOwner: boolean;
  /** Whether the records are looked through for damage: by one of those that share them. */
  readonly checksRecords: boolean;
  /** Of the disk that the data directory is on; null: its being full is said, and nothing else. */
  readonly reserve: DiskReserve | null;
};

/** Rejects, in words for a person, with `store_unavailable`, `store_corrupt` or `storage_full`. */
export async function openStores(
  config: Config,
  dataDir: string,
  clock: Clock,
  logger: Logger,
  options: StoresOptions,
): Promise<Stores> {
  if (config.storage === 'google') {
    const message =
      '--storage google is for a cluster: its events and leases are in Redis, which a fleet of one process does not ' +
      'use; start the roles one by one (docs/cluster.md), or take --storage sqlite';
    throw new ServiceError('store_unavailable', {}, { message });
  }
  const stores =
    config.storage === 'sqlite'
      ? await openSqlite(dataDir, clock, logger, options)
      : await openMemory(dataDir, clock, logger, options);
  return options.reserve === null ? stores : onReserve(stores, options.reserve);
}

async function openSqlite(
  dataDir: string,
  clock: Clock,
  logger: Logger,
  { checksRecords, isOnlyOwner, reserve }: StoresOptions,
): Promise<Stores> {
  const file = path.join(dataDir, 'fleet.db');
  const onListenerError = (error: unknown): void =>
    logger.error({ event: 'event_listener_failed', err: error }, 'a listener of events failed');
  const open = (): Promise<SqliteStore> => SqliteStore.open({ path: file, clock, log: { onListenerError } });
  const store = await (reserve === null ? open() : reserve.guard(open)).catch((error: unknown) => {
    throw inWords(error, file);
  });
  try {
    if (checksRecords) await reportDamage(store, file, logger);
    if (isOnlyOwner) await store.directory.forgetLeases();
  } catch (error) {
    await store.close();
    throw inWords(error, file);
  }
  await store.log
    .removeErased()
    .catch((error: unknown) =>
      logger.warn({ event: 'erasure_not_finished', err: error }, 'what an erasure left could not be removed yet'),
    );
  return {
    kind: 'sqlite',
    log: store.log,
    directory: store.directory,
    records: store.records,
    snapshots: new FileSnapshotStore(path.join(dataDir, 'snapshots')),
    dropEventsBefore: (cutoffMs) => store.log.dropOlderThan(cutoffMs),
    close: () => store.close(),
  };
}

async function openMemory(
  dataDir: string,
  clock: Clock,
  logger: Logger,
  { onForgotten }: StoresOptions,
): Promise<Stores> {
  // A place of its own: those that SQLite's records speak of must survive a trial of --storage memory.
  const snapshots = path.join(dataDir, 'memory-snapshots');
  await rm(snapshots, { recursive: true, force: true });
  return {
    kind: 'memory',
    log: new MemoryEventLog({ maxCharacters: eventMemoryCharacters() }),
    directory: new MemorySessionDirectory(clock),
    records: new MemoryRecords({
      onForgotten: ({ tenant, id }) => onForgotten({ tenant, sessionId: id }),
      onUndelivered: ({ id, target, tenant }) =>
        logger.warn(
          { event: 'delivery_forgotten', tenant, delivery_id: id, target_id: target.id },
          'a delivery that had not arrived was forgotten: memory holds no more of them',
        ),
    }),
    snapshots: new FileSnapshotStore(snapshots, { durable: false }),
    // It is bounded by what it holds, not by age.
    dropEventsBefore: async () => 0,
    close: async () => {},
  };
}

/** The fleet starts all the same: what is whole is of use, and what is not is refused where it is met. */
async function reportDamage(store: SqliteStore, file: string, logger: Logger): Promise<void> {
  const words = 'the database is damaged: sessions in the damaged part are refused; restore the file or move it away';
  try {
    const damage = await store.findDamage();
    if (damage.length > 0) {
      logger.error({ event: 'store_damaged', file, damage: damage.slice(0, 20), found: damage.length }, words);
    }
  } catch (error) {
    if (!isServiceError(error, 'store_corrupt')) throw error;
    logger.error({ event: 'store_damaged', file, err: error }, words);
  }
}

function inWords(error: unknown, file: string): unknown {
  if (!isServiceError(error)) return error;
  const message = openProblem(error, file);
  return message === null ? error : new ServiceError(error.code, error.details, { cause: error, message });
}

function openProblem(error: ServiceError, file: string): string | null {
  const other = 'choose another with --data-dir';
  switch (error.code) {
    case 'storage_full':
      return `the disk of ${file} is full; free some space, or ${other}`;
    case 'store_corrupt':
      return `${file} is damaged or no database; restore it, move it away to start without its sessions, or ${other}`;
    case 'store_unavailable':
      return unavailableProblem(error, file, other);
    default:
      return null;
  }
}

function unavailableProblem({ details, message }: ServiceError, file: string, other: string): string {
  switch (details['reason']) {
    case 'busy':
      return `${file} is held by another program; end that, or ${other}`;
    case 'read_only':
      return `${file} cannot be written; give this user the right to, or ${other}`;
    case 'io_error':
      return `${file} cannot be opened or read; look at its disk and its rights, or ${other}`;
    default:
      // The adapter said it in words of its own.
      return `${message} (${file}); ${other}`;
  }
}
