// The log, the directory and the records of one host, in one file that its processes share.

import { type HostTime, hostTime } from './host-time.ts';
import { recordTableNames } from './record-table.ts';
import { SqliteDatabase, type SqliteDatabaseOptions } from './sqlite-database.ts';
import { SqliteEventLog, type SqliteEventLogOptions } from './sqlite-event-log.ts';
import { SqliteRecords } from './sqlite-records.ts';
import { SqliteSessionDirectory } from './sqlite-session-directory.ts';

export type SqliteStoreOptions = SqliteDatabaseOptions & {
  readonly log?: Partial<SqliteEventLogOptions>;
  readonly hostTime?: HostTime;
};

export class SqliteStore {
  readonly log: SqliteEventLog;
  readonly directory: SqliteSessionDirectory;
  readonly records: SqliteRecords;
  readonly #db: SqliteDatabase;

  private constructor(db: SqliteDatabase, options: SqliteStoreOptions) {
    this.#db = db;
    this.log = new SqliteEventLog(db, options.clock, options.log);
    this.directory = new SqliteSessionDirectory(db, options.hostTime ?? hostTime());
    this.records = new SqliteRecords(db);
  }

  static async open(options: SqliteStoreOptions): Promise<SqliteStore> {
    const db = await SqliteDatabase.open(options);
    try {
      return new SqliteStore(db, options);
    } catch (error) {
      await db.close();
      throw error;
    }
  }

  /**
   * What is wrong with the tables by which sessions and all other records are found, in SQLite's words; empty when nothing is.
   * A checksum shows what was changed, but not that a record is no longer found under its name.
   */
  findDamage(): Promise<readonly string[]> {
    return this.#db.findDamage(['logs', ...recordTableNames]);
  }

  /** What was asked before is done first; calls after this are refused. The same promise each time. */
  close(): Promise<void> {
    this.log.close();
    return this.#db.close();
  }
}
