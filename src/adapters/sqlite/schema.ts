// The tables, and how an older file becomes one of today: forward only, in one transaction. A file
// that a newer program wrote, or that is not ours, is refused and left as it is.

import type { DatabaseSync } from 'node:sqlite';
import { ServiceError } from '../../core/errors.ts';

/** "CFLT": says in the file's header whose it is. */
export const applicationId = 0x43464c54;

/** One entry per version, never changed once released: what makes version n + 1 of version n. */
export const migrations: readonly string[] = [
  // events.place is log_id * 2^31 + seq: a session's events lie side by side in one B-tree, without a
  // second one for an index. log_id is never used again, so a place names one event for ever.
  `CREATE TABLE logs (
     log_id INTEGER PRIMARY KEY AUTOINCREMENT,
     tenant TEXT NOT NULL,
     session_id TEXT NOT NULL,
     epoch INTEGER NOT NULL,
     first_seq INTEGER NOT NULL,
     last_seq INTEGER NOT NULL,
     first_at INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     UNIQUE (tenant, session_id)
   );
   CREATE INDEX logs_by_age ON logs (first_at, log_id) WHERE first_seq < last_seq;
   CREATE TABLE events (
     place INTEGER PRIMARY KEY,
     version INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     turn_id TEXT,
     type TEXT NOT NULL,
     at INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     header_checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     raw TEXT
   );
   CREATE TABLE erased_logs (
     log_id INTEGER PRIMARY KEY,
     next_seq INTEGER NOT NULL,
     last_seq INTEGER NOT NULL
   );
   CREATE TABLE leases (
     tenant TEXT NOT NULL,
     session_id TEXT NOT NULL,
     worker TEXT NOT NULL,
     epoch INTEGER NOT NULL,
     boot_id TEXT NOT NULL,
     ttl_ms REAL NOT NULL,
     until_ms REAL NOT NULL,
     PRIMARY KEY (tenant, session_id)
   ) WITHOUT ROWID;
   CREATE TABLE sessions (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     alias TEXT,
     is_held INTEGER NOT NULL,
     last_accessed_at INTEGER NOT NULL,
     sealed_seq INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE UNIQUE INDEX sessions_by_alias ON sessions (tenant, alias) WHERE alias IS NOT NULL;
   CREATE INDEX sessions_by_age ON sessions (tenant, created_at, id);
   CREATE INDEX sessions_held ON sessions (created_at, id, tenant) WHERE is_held = 1;
   CREATE INDEX sessions_unused ON sessions (last_accessed_at, id, tenant) WHERE is_held = 0;
   CREATE TABLE turns (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     session_id TEXT NOT NULL,
     is_open INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX turns_by_age ON turns (tenant, session_id, created_at, id);
   CREATE INDEX turns_open ON turns (created_at, id, tenant) WHERE is_open = 1;
   CREATE INDEX turns_open_by_session ON turns (tenant, session_id, is_open, created_at, id);
   CREATE TABLE approvals (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     session_id TEXT NOT NULL,
     status TEXT NOT NULL,
     expires_at INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX approvals_by_age ON approvals (tenant, created_at, id);
   CREATE INDEX approvals_by_session ON approvals (tenant, session_id, created_at, id);
   CREATE INDEX approvals_by_status ON approvals (tenant, status, created_at, id);
   CREATE INDEX approvals_due ON approvals (expires_at, id, tenant) WHERE status = 'pending';`,
  `CREATE TABLE jobs (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     status TEXT NOT NULL,
     is_open INTEGER NOT NULL,
     is_attended INTEGER NOT NULL,
     schedule_id TEXT,
     due_at INTEGER,
     ended_at INTEGER,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX jobs_by_age ON jobs (tenant, created_at, id);
   CREATE INDEX jobs_by_status ON jobs (tenant, status, created_at, id);
   CREATE INDEX jobs_by_schedule ON jobs (tenant, schedule_id, created_at, id) WHERE schedule_id IS NOT NULL;
   CREATE INDEX jobs_by_schedule_and_status ON jobs (tenant, schedule_id, status, created_at, id)
     WHERE schedule_id IS NOT NULL;
   CREATE INDEX jobs_open ON jobs (tenant) WHERE is_open = 1;
   CREATE INDEX jobs_due ON jobs (due_at, id, tenant) WHERE status = 'queued';
   CREATE INDEX jobs_running ON jobs (created_at, id, tenant) WHERE is_attended = 1;
   CREATE INDEX jobs_ended ON jobs (ended_at, id, tenant) WHERE is_open = 0;
   CREATE TABLE schedules (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     due_at INTEGER,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX schedules_by_age ON schedules (tenant, created_at, id);
   CREATE INDEX schedules_due ON schedules (due_at, id, tenant) WHERE due_at IS NOT NULL;
   CREATE TABLE webhooks (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX webhooks_by_age ON webhooks (tenant, created_at, id);
   CREATE TABLE deliveries (
     tenant TEXT NOT NULL,
     id TEXT NOT NULL,
     target_id TEXT NOT NULL,
     session_id TEXT,
     job_id TEXT,
     lane TEXT NOT NULL,
     lane_order INTEGER NOT NULL,
     status TEXT NOT NULL,
     due_at INTEGER,
     ended_at INTEGER,
     created_at INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     checksum INTEGER NOT NULL,
     body TEXT NOT NULL,
     PRIMARY KEY (tenant, id)
   );
   CREATE INDEX deliveries_by_target ON deliveries (tenant, target_id, created_at, id);
   CREATE INDEX deliveries_by_target_and_status ON deliveries (tenant, target_id, status, created_at, id);
   CREATE INDEX deliveries_by_session ON deliveries (tenant, session_id) WHERE session_id IS NOT NULL;
   CREATE INDEX deliveries_by_job ON deliveries (tenant, job_id) WHERE job_id IS NOT NULL;
   CREATE INDEX deliveries_waiting ON deliveries (tenant, lane, lane_order, id) WHERE status = 'pending';
   CREATE INDEX deliveries_due ON deliveries (due_at, id, tenant) WHERE status = 'pending';
   CREATE INDEX deliveries_ended ON deliveries (ended_at, id, tenant) WHERE status <> 'pending';`,
];

export const schemaVersion = migrations.length;

/** Throws SQLite's own errors too; several processes may call it at once on one file. */
export function migrate(db: DatabaseSync): void {
  if (readPragma(db, 'user_version') === schemaVersion && readPragma(db, 'application_id') === applicationId) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    // Read again: another process may have been faster.
    const version = readPragma(db, 'user_version');
    assertOurs(db, version);
    for (const migration of migrations.slice(version)) db.exec(migration);
    db.exec(`PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${schemaVersion}`);
    db.exec('COMMIT');
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK');
    throw error;
  }
}

function assertOurs(db: DatabaseSync, version: number): void {
  const isEmpty = db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined;
  if (!isEmpty && readPragma(db, 'application_id') !== applicationId) {
    throw new ServiceError('store_unavailable', {}, { message: 'The database file belongs to another program.' });
  }
  if (version > schemaVersion) {
    throw new ServiceError(
      'store_unavailable',
      { schema_version: version, supported_version: schemaVersion },
      {
        message: `The database was written by a newer version of this program (format ${version}, this one knows ${schemaVersion}).`,
      },
    );
  }
}

function readPragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}
