// The jobs and schedules of one process. Beyond their bound the jobs that ended longest ago are forgotten; one that
// has not ended never is.

import type { JobFilter, JobRecords, ScheduleRecords } from '../../contracts/job-records.ts';
import type { FleetPlace, Page, PageQuery } from '../../contracts/records.ts';
import type { TenantId } from '../../core/ids.ts';
import { hasJobEnded, isAttended, type JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import { BoundedRecords } from './bounded-records.ts';
import type { OrderedList } from './record-table.ts';
import { tenantKey } from './tenant-key.ts';

export class MemoryJobRecords extends BoundedRecords<JobRecord> implements JobRecords {
  constructor(maxRecords: number, maxCharacters: number) {
    super(
      { sessionOf: ({ id }) => id, listsOf: jobLists, orderedListsOf: (job) => orderedJobLists(job) },
      {
        maxRecords,
        maxCharacters,
        charactersOf: jsonLength,
        nextToForget: (table) => table.first('ended', 1)[0] ?? null,
        refusal: 'too_many_jobs',
      },
    );
  }

  async list(tenant: TenantId, filter: JobFilter, query: PageQuery): Promise<Page<JobRecord>> {
    return this.table.page(tenant, jobList(tenant, filter), query);
  }

  async countOpen(tenant: TenantId, most: number): Promise<number> {
    return Math.min(most, this.table.count(openList(tenant)));
  }

  async listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('due', after, limit, beforeMs);
  }

  async listRunning(after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('running', after, limit);
  }

  async listEnded(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('ended', after, limit, beforeMs);
  }
}

export class MemoryScheduleRecords extends BoundedRecords<ScheduleRecord> implements ScheduleRecords {
  constructor(maxRecords: number) {
    super(
      {
        sessionOf: ({ id }) => id,
        listsOf: ({ tenant }) => [tenant],
        orderedListsOf: ({ dueAt }) => (dueAt === null ? [] : [{ list: 'due', at: dueAt }]),
      },
      // How many a tenant may have is bounded where they are asked for; this only keeps the memory from filling up.
      {
        maxRecords,
        maxCharacters: maxScheduleCharacters,
        charactersOf: jsonLength,
        nextToForget: () => null,
        refusal: 'limit_reached',
      },
    );
  }

  async list(tenant: TenantId, query: PageQuery): Promise<Page<ScheduleRecord>> {
    return this.table.page(tenant, tenant, query);
  }

  async listDue(beforeMs: number, after: FleetPlace | null, limit: number): Promise<Page<FleetPlace>> {
    return this.table.fleetPage('due', after, limit, beforeMs);
  }
}

const maxScheduleCharacters = 64 * 1024 * 1024;

function jobLists(job: JobRecord): readonly string[] {
  const { tenant, status, scheduleId } = job;
  const lists = [jobList(tenant, { status: null, scheduleId: null }), jobList(tenant, { status, scheduleId: null })];
  if (!hasJobEnded(job)) lists.push(openList(tenant));
  if (scheduleId === null) return lists;
  return [...lists, jobList(tenant, { status: null, scheduleId }), jobList(tenant, { status, scheduleId })];
}

function jobList(tenant: TenantId, { status, scheduleId }: JobFilter): string {
  return `${status ?? ''} ${tenantKey(tenant, scheduleId ?? '')}`;
}

/** No status has this name. */
function openList(tenant: TenantId): string {
  return `open ${tenantKey(tenant, '')}`;
}

function orderedJobLists(job: JobRecord): readonly OrderedList[] {
  const { status, dueAt, endedAt, createdAt } = job;
  const attended = isAttended(job) ? [{ list: 'running', at: createdAt }] : [];
  if (status === 'running') return attended;
  if (status === 'queued') return dueAt === null ? attended : [...attended, { list: 'due', at: dueAt }];
  return endedAt === null ? attended : [...attended, { list: 'ended', at: endedAt }];
}

function jsonLength(record: JobRecord | ScheduleRecord): number {
  return JSON.stringify(record).length;
}
