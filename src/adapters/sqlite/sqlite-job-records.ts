// The records of jobs and schedules in the shared file.

import type { JobFilter, JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import { hasJobEnded, isAttended, type JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import { FleetList } from './fleet-list.ts';
import { RecordTable } from './record-table.ts';
import type { SqliteDatabase } from './sqlite-database.ts';
import { SqliteKeyedRecords } from './sqlite-keyed-records.ts';

export class SqliteJobRecords extends SqliteKeyedRecords<JobRecord> implements JobRecords {
  readonly #due: FleetList;
  readonly #running: FleetList;
  readonly #ended: FleetList;
  readonly #countOpen;

  constructor(db: SqliteDatabase) {
    super(
      db,
      new RecordTable<JobRecord>(db, {
        name: 'jobs',
        columns: {
          status: (job) => job.status,
          is_open: (job) => (hasJobEnded(job) ? 0 : 1),
          is_attended: (job) => (isAttended(job) ? 1 : 0),
          schedule_id: (job) => job.scheduleId,
          due_at: (job) => job.dueAt,
          ended_at: (job) => job.endedAt,
        },
        ownerColumn: 'id',
        lists: [[], ['status'], ['schedule_id'], ['schedule_id', 'status']],
      }),
    );
    const list = { table: 'jobs', ownerColumn: 'id' } as const;
    this.#due = new FleetList(db, { ...list, condition: "status = 'queued'", atColumn: 'due_at' });
    this.#running = new FleetList(db, { ...list, condition: 'is_attended = 1', atColumn: 'created_at' });
    this.#ended = new FleetList(db, { ...list, condition: 'is_open = 0', atColumn: 'ended_at' });
    this.#countOpen = db.prepare(
      'SELECT count(*) AS open FROM (SELECT 1 FROM jobs WHERE tenant = ? AND is_open = 1 LIMIT ?)',
    );
  }

  list(tenant: TenantId, { status, scheduleId }: JobFilter, query: PageQuery): Promise<Page<JobRecord>> {
    const narrowed = {
      ...(scheduleId === null ? {} : { schedule_id: scheduleId }),
      ...(status === null ? {} : { status }),
    };
    return this.db.read(() => this.table.page(tenant, narrowed, query));
  }

  countOpen(tenant: TenantId, most: number): Promise<number> {
    return this.db.read(() => Number(this.#countOpen.get(tenant, most)?.['open']));
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#due.page(after, limit, beforeMs);
  }

  listRunning(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#running.page(after, limit);
  }

  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#ended.page(after, limit, beforeMs);
  }
}

export class SqliteScheduleRecords extends SqliteKeyedRecords<ScheduleRecord> implements ScheduleRecords {
  readonly #due: FleetList;

  constructor(db: SqliteDatabase) {
    super(
      db,
      new RecordTable<ScheduleRecord>(db, {
        name: 'schedules',
        columns: { due_at: (schedule) => schedule.dueAt },
        ownerColumn: 'id',
        lists: [[]],
      }),
    );
    this.#due = new FleetList(db, {
      table: 'schedules',
      ownerColumn: 'id',
      condition: 'due_at IS NOT NULL',
      atColumn: 'due_at',
    });
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<ScheduleRecord>> {
    return this.db.read(() => this.table.page(tenant, {}, query));
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.#due.page(after, limit, beforeMs);
  }
}
