// From a request to a job on record: recognises repeats, keeps to what a tenant may have. When it runs is for
// whoever runs jobs to say.

import { ServiceError } from '../core/errors.ts';
import { mintId } from '../core/ids.ts';
import { type JobRecord, type JobSource, type JobSpec, newJob } from '../core/job.ts';
import type { TenantId } from '../core/ids.ts';
import type { Principal } from '../http/bearer.ts';
import type { Gear } from './gateway-parts.ts';
import { derivedId, requestHash } from './idempotency.ts';

export type JobRequest = {
  readonly spec: JobSpec;
  readonly source: JobSource;
  readonly scheduleId: string | null;
  readonly dueAt: number;
  readonly requestId: string;
  /** The route scopes the key. */
  readonly idempotency: { readonly route: string; readonly key: string } | null;
  /** What a repeat must agree on. */
  readonly asked: readonly (string | number | object | null)[];
};

type Parts = Pick<
  Gear,
  | 'records'
  | 'clock'
  | 'draining'
  | 'isStorageLow'
  | 'idempotencySecret'
  | 'limits'
  | 'logger'
  | 'onJobMade'
  | 'logPrompts'
>;

/** Durable when this resolves. The same key and request again are the same job. */
export async function makeJob(parts: Parts, principal: Principal, request: JobRequest): Promise<JobRecord> {
  const { clock, idempotencySecret, records } = parts;
  const { tenant } = principal;
  const { dueAt, idempotency, requestId, scheduleId, source, spec } = request;
  assertTakesJobs(parts);
  const draft: JobRecord = {
    tenant,
    id: idempotency === null ? mintId() : derivedId(idempotencySecret, 'job', { tenant, ...idempotency }),
    ...newJob,
    ...{ spec, source, scheduleId, requestId, dueAt },
    requestHash: idempotency === null ? null : requestHash(request.asked),
    createdBy: principal.name,
    createdAt: clock.now(),
  };
  // Who repeats a request asks for no job of its own: it is shown the one that it has, however many there are.
  const made = idempotency === null ? null : await records.jobs.get(tenant, draft.id);
  if (made !== null) return withSameRequest(made, draft);
  await assertMayOpen(parts, tenant);
  const { outcome, record } = await records.jobs.create(draft);
  if (outcome === 'exists') return withSameRequest(record, draft);
  logMade(parts, record);
  parts.onJobMade();
  return record;
}

export function assertTakesJobs({ draining, isStorageLow }: Pick<Gear, 'draining' | 'isStorageLow'>): void {
  if (draining.aborted) throw new ServiceError('draining');
  if (isStorageLow()) throw new ServiceError('storage_full');
}

/** Those that are made at the very same time do not count one another. */
export async function assertMayOpen(
  { limits, records }: Pick<Gear, 'limits' | 'records'>,
  tenant: TenantId,
): Promise<void> {
  const limit = limits.maxOpenJobs;
  if ((await records.jobs.countOpen(tenant, limit)) >= limit) throw new ServiceError('too_many_jobs', { limit });
}

function withSameRequest(made: JobRecord, draft: JobRecord): JobRecord {
  if (draft.requestHash === null) throw new ServiceError('internal', {}, { message: 'a fresh job id was taken' });
  if (made.requestHash !== draft.requestHash) throw new ServiceError('idempotency_key_reused');
  return made;
}

function logMade({ logger, logPrompts }: Parts, job: JobRecord): void {
  const { prompt } = job.spec;
  logger.info(
    {
      event: 'job_accepted',
      request_id: job.requestId,
      job_id: job.id,
      ...(job.scheduleId === null ? {} : { schedule_id: job.scheduleId }),
      prompt_length: prompt.length,
      ...(logPrompts ? { prompt } : {}),
      tenant: job.tenant,
    },
    'Job accepted',
  );
}
