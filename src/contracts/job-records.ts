// The records of jobs and schedules: as those of sessions and turns, conditional on the revision that the
// writer saw.

import type { TenantId } from '../core/ids.ts';
import type { JobRecord, JobStatus } from '../core/job.ts';
import type { ScheduleRecord } from '../core/schedule.ts';
import type { FleetPlace, KeyedRecords, Page, PageQuery } from './records.ts';

export type JobFilter = { readonly status: JobStatus | null; readonly scheduleId: string | null };

/** In lists over all tenants a job's `sessionId` is the job's own id. */
export interface JobRecords extends KeyedRecords<JobRecord> {
  list(tenant: TenantId, filter: JobFilter, query: PageQuery): Promise<Page<JobRecord>>;
  /** How many are queued or running; it may stop counting at `most`. */
  countOpen(tenant: TenantId, most: number): Promise<number>;
  /** Queued ones of all tenants that were due before that moment, by that time. */
  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** Of all tenants those that run, or of which something is untold, by when they were made. */
  listRunning(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
  /** Those of all tenants that ended before that moment, by that time. */
  listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
}

/** `sessionId` of a place is the schedule's own id. */
export interface ScheduleRecords extends KeyedRecords<ScheduleRecord> {
  list(tenant: TenantId, query: PageQuery): Promise<Page<ScheduleRecord>>;
  /** Those of all tenants that were due before that moment, by that time. */
  listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>>;
}
