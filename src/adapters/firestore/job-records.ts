// The records of jobs and schedules.

import type { JobFilter, JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import { hasJobEnded, isAttended, type JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import { valueOf } from './document.ts';
import { KeyedTable } from './keyed-table.ts';
import type { RecordShape } from './record-document.ts';
import type { RecordStore } from './record-store.ts';

/** `retainMs`: after its end; then Firestore removes it, if the session manager has not. */
function jobShape(retainMs: number): RecordShape<JobRecord> {
  return {
    kind: 'jobs',
    fields: {
      status: (job) => job.status,
      scheduleId: (job) => job.scheduleId,
      openAt: (job) => (hasJobEnded(job) ? null : job.createdAt),
      dueAt: (job) => (job.status === 'queued' ? job.dueAt : null),
      runningAt: (job) => (isAttended(job) ? job.createdAt : null),
      endedAt: (job) => (hasJobEnded(job) ? job.endedAt : null),
    },
    ownerField: 'id',
    constantOf: () => '',
    expiresAtOf: (job) => (hasJobEnded(job) && job.endedAt !== null ? job.endedAt + retainMs : null),
  };
}

const scheduleShape: RecordShape<ScheduleRecord> = {
  kind: 'schedules',
  fields: { dueAt: (schedule) => schedule.dueAt },
  ownerField: 'id',
  constantOf: () => '',
  expiresAtOf: () => null,
};

export class FirestoreJobRecords extends KeyedTable<JobRecord> implements JobRecords {
  constructor(store: RecordStore, retainMs: number) {
    super(store, jobShape(retainMs));
  }

  list(tenant: TenantId, { scheduleId, status }: JobFilter, query: PageQuery): Promise<Page<JobRecord>> {
    const narrowed = { ...(scheduleId === null ? {} : { scheduleId }), ...(status === null ? {} : { status }) };
    return this.table.page(tenant, narrowed, query);
  }

  countOpen(tenant: TenantId, most: number): Promise<number> {
    const query = this.table.queryWithin(tenant, {
      range: { field: 'openAt', from: valueOf(0), before: null },
      order: [['openAt', 'ASCENDING']],
      limit: most,
    });
    return this.table.start('countOpen').repeat((timeoutMs) => this.table.store.link.count(query, timeoutMs));
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('dueAt', after, limit, beforeMs);
  }

  listRunning(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('runningAt', after, limit, null);
  }

  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('endedAt', after, limit, beforeMs);
  }
}

export class FirestoreScheduleRecords extends KeyedTable<ScheduleRecord> implements ScheduleRecords {
  constructor(store: RecordStore) {
    super(store, scheduleShape);
  }

  list(tenant: TenantId, query: PageQuery): Promise<Page<ScheduleRecord>> {
    return this.table.page(tenant, {}, query);
  }

  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('dueAt', after, limit, beforeMs);
  }
}
