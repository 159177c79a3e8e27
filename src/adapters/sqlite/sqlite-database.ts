// One connection to the one file, with what every table's owner needs: prepared statements, reads on
// a consistent state, queued writes with the durability they ask for. Several processes of one host
// may have the file open. Knows no table; errors leave it as ServiceErrors.

import { closeSync, openSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Clock } from '../../core/clock.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import { migrate } from './schema.ts';
import { isBusy, translateSqliteError } from './sqlite-errors.ts';
import { WalSync } from './wal-sync.ts';
import { type Durability, WriteQueue } from './write-queue.ts';

export type SqliteDatabaseOptions = {
  /** In a directory that exists, on a local disk: the processes share memory beside the file. */
  readonly path: string;
  readonly clock: Clock;
  /** How long a call waits for other processes before it fails as `store_unavailable`. */
  readonly busyDeadlineMs?: number;
  /** The most that the file may grow to; else what the disk holds. */
  readonly maxBytes?: number;
  /** Brings a file's data to the disk, off the event loop. */
  readonly syncFile?: (fd: number) => Promise<void>;
};

const defaultBusyDeadlineMs = 5_000;
/** SQLite waits for a lock by sleeping in our thread: this long, then the event loop has its turn. */
const blockingWaitMs = 5;
const pageBytes = 4_096;
/** A checkpoint runs in the commit that reaches this: 250 hold the event loop for 3 ms where SQLite's 1,000 take 9. */
const checkpointAtPages = 250;
/** Many sessions may be erased at once: one emptying is for all of them. */
const emptyLogAfterMs = 500;
const walKeptBytes = 16 * 1024 * 1024;
/** Freed pages are given back to the disk once they are so many, and a quarter of the file. */
const vacuumAtPages = 2_048;
const vacuumStepPages = 256;
/** SQLite's index of the log grows by 32 KiB: with less than this free, that is why it failed. */
const lowSpaceBytes = 128 * 1024;

export class SqliteDatabase {
  readonly #options: SqliteDatabaseOptions;
  readonly #db: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #beginWrite: StatementSync;
  readonly #commit: StatementSync;
  readonly #dataVersion: StatementSync;
  readonly #freelistCount: StatementSync;
  readonly #pageCount: StatementSync;
  readonly #walSync: WalSync;
  readonly #queue: WriteQueue;
  /** The disk was full, also for what is in the log. */
  #isLogStuck = false;
  #cancelEmptying: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  private constructor(options: SqliteDatabaseOptions, db: DatabaseSync) {
    this.#options = options;
    this.#db = db;
    this.#begin = db.prepare('BEGIN');
    this.#beginWrite = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
    this.#dataVersion = db.prepare('PRAGMA data_version');
    this.#freelistCount = db.prepare('PRAGMA freelist_count');
    this.#pageCount = db.prepare('PRAGMA page_count');
    const syncFile = options.syncFile === undefined ? {} : { syncFile: options.syncFile };
    this.#walSync = new WalSync({ path: options.path, checkpoint: () => this.#checkpoint(), ...syncFile });
    this.#queue = new WriteQueue({
      clock: options.clock,
      transact: (work) => this.#transactWrite(work),
      sync: () => this.#walSync.sync(),
      isBusy,
      translate: (error) => this.#translate(error),
      busyDeadlineMs: options.busyDeadlineMs ?? defaultBusyDeadlineMs,
    });
  }

  /** Creates the file if there is none. Rejects when it is damaged, another program's, or of a newer version. */
  static async open(options: SqliteDatabaseOptions): Promise<SqliteDatabase> {
    const deadlineMs = options.clock.monotonicMs() + (options.busyDeadlineMs ?? defaultBusyDeadlineMs);
    for (;;) {
      try {
        return SqliteDatabase.#openNow(options);
      } catch (error) {
        // The switch to the log takes the file for itself, and does not wait for others that open it.
        const isWorthWaiting = isBusy(error) && options.clock.monotonicMs() < deadlineMs;
        if (!isWorthWaiting) throw translateSqliteError(error, () => hasSpace(options.path));
        await pause(options.clock);
      }
    }
  }

  static #openNow(options: SqliteDatabaseOptions): SqliteDatabase {
    createPrivately(options.path);
    const db = new DatabaseSync(options.path);
    try {
      // NORMAL for all, and WalSync for what must be on disk: measured against a second connection with
      // FULL and against switching, a durable write takes as long and the event loop is held for 0.02 ms
      // (p99 0.2) where those hold it for 0.3 (p99 2–4). To switch, the PRAGMA must be compiled each
      // time: it takes effect when it is prepared, and running the statement does nothing.
      db.exec(`
        PRAGMA busy_timeout = ${blockingWaitMs};
        PRAGMA auto_vacuum = INCREMENTAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA journal_size_limit = ${walKeptBytes};
        PRAGMA secure_delete = ON;
        PRAGMA cell_size_check = ON;
        PRAGMA trusted_schema = OFF;
        PRAGMA wal_autocheckpoint = ${checkpointAtPages};
      `);
      useLog(db);
      if (options.maxBytes !== undefined)
        db.exec(`PRAGMA max_page_count = ${Math.floor(options.maxBytes / pageBytes)}`);
      migrate(db);
      return new SqliteDatabase(options, db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  /** Once per statement, when its owner is made. */
  prepare(sql: string): StatementSync {
    try {
      return this.#db.prepare(sql);
    } catch (error) {
      throw this.#translate(error);
    }
  }

  /** All statements of the work see one state of the file. It must not write, and may run more than once. */
  async read<T>(work: () => T): Promise<T> {
    const { busyDeadlineMs = defaultBusyDeadlineMs, clock } = this.#options;
    const deadlineMs = clock.monotonicMs() + busyDeadlineMs;
    for (;;) {
      try {
        return this.readNow(work);
      } catch (error) {
        if (!isBusy(error) || clock.monotonicMs() >= deadlineMs) throw this.#translate(error);
      }
      await pause(clock);
    }
  }

  /** As `read`, without waiting: throws SQLite's own error when another process is in the way. */
  readNow<T>(work: () => T): T {
    this.#assertOpen();
    let value: T | undefined;
    this.#transact(this.#begin, () => {
      value = work();
    });
    return value as T;
  }

  /** In the order of the calls. The work may run more than once, and must change nothing but the database. */
  async write<T>(work: () => T, durability: Durability): Promise<T> {
    this.#assertOpen();
    return this.#queue.write(work, durability);
  }

  /** Gives freed pages back to the disk, step by step, if many are free. */
  async shrink(): Promise<void> {
    while (await this.write(() => this.#shrinkOnce(), 'os')) {
      // Others get their turn between two steps.
    }
  }

  /**
   * Empties the write-ahead log in a moment, so that what was deleted is not on the disk any more: pages are
   * overwritten when they are freed, the log only when it comes round. Not where another process reads then;
   * its own checkpoints make up for that.
   */
  emptyLogSoon(): void {
    this.#cancelEmptying ??= this.#options.clock.after(emptyLogAfterMs, () => {
      this.#cancelEmptying = null;
      try {
        if (this.#closing === null) this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
      } catch {
        // Busy, or a disk that has other troubles: the next erasure asks again.
      }
    });
  }

  /** Compares tables with their indexes, page by page: holds the event loop for some 10 ms per thousand records. */
  findDamage(tables: readonly string[]): Promise<readonly string[]> {
    return this.read(() =>
      tables.flatMap((table) => {
        const rows = this.#db.prepare(`PRAGMA integrity_check(${table})`).all();
        return rows.map((row) => String(row['integrity_check'])).filter((line) => line !== 'ok');
      }),
    );
  }

  /** Changes when another connection has written, and only then. Throws SQLite's own errors. */
  dataVersion(): number {
    this.#assertOpen();
    return Number(this.#dataVersion.get()?.['data_version']);
  }

  /** What was asked before is done or refused first. Calls after this are refused. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#cancelEmptying?.();
    await this.#queue.drained();
    await this.#walSync.close();
    this.#db.close();
  }

  #assertOpen(): void {
    if (this.#closing !== null) throw new ServiceError('store_unavailable', { reason: 'closed' });
  }

  /** On a full disk the log still has its own octets: copied back, it begins anew and takes no more. */
  #transactWrite(work: () => void): void {
    // With the first room that there is again, before others take it.
    if (this.#isLogStuck) this.#isLogStuck = !this.#canRestartLog();
    try {
      this.#transact(this.#beginWrite, work);
    } catch (error) {
      if (!isServiceError(this.#translate(error), 'storage_full')) throw error;
      this.#isLogStuck = !this.#canRestartLog();
      if (this.#isLogStuck) throw error;
      this.#transact(this.#beginWrite, work);
    }
  }

  #canRestartLog(): boolean {
    try {
      return this.#checkpoint();
    } catch {
      // The database has to grow for it, and cannot.
      return false;
    }
  }

  #transact(begin: StatementSync, work: () => void): void {
    begin.run();
    try {
      work();
      this.#commit.run();
    } catch (error) {
      // SQLite has ended some by itself (disk full).
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  #shrinkOnce(): boolean {
    const freePages = Number(this.#freelistCount.get()?.['freelist_count']);
    if (freePages < vacuumAtPages || freePages * 4 < Number(this.#pageCount.get()?.['page_count'])) return false;
    this.#db.exec(`PRAGMA incremental_vacuum(${vacuumStepPages})`);
    return true;
  }

  #checkpoint(): boolean {
    const result = this.#db.prepare('PRAGMA wal_checkpoint(FULL)').get();
    return result?.['busy'] === 0 && result['log'] === result['checkpointed'];
  }

  #translate(error: unknown): ServiceError {
    return translateSqliteError(error, () => hasSpace(this.#options.path));
  }
}

function useLog(db: DatabaseSync): void {
  // It stays in the file; where the file system cannot share memory SQLite keeps another mode, and says so here alone.
  const mode = db.prepare('PRAGMA journal_mode = WAL').get()?.['journal_mode'];
  if (mode === 'wal') return;
  throw new ServiceError(
    'store_unavailable',
    { journal_mode: mode },
    { message: 'The data directory is on a file system where SQLite cannot keep a write-ahead log.' },
  );
}

/** What SQLite creates beside the file later has the same mode. An existing file is left alone: closing it here would drop the locks that this process has on it. */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

function hasSpace(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return bavail * bsize >= lowSpaceBytes;
  } catch {
    return true;
  }
}

function pause(clock: Clock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  clock.after(5 + Math.random() * 10, resolve);
  return promise;
}
