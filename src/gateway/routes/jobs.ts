// /api/v1/jobs: have one made, list, look at, cancel, try again, erase, see what its receiver was told.

import { charactersOfSpec } from '../../api/job-spec.ts';
import { askedOf, toDueAt, toJobNotice, toJobResource, toJobSpec, toMadeJob } from '../../api/jobs.ts';
import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { isServiceError, ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import { jobNotice } from '../../core/job-notice.ts';
import { cancelledJob, erasingJob, hasJobEnded, type JobRecord, retriedJob, toldJob } from '../../core/job.ts';
import type { HttpServer } from '../../http/server.ts';
import { askWorker } from '../ask-worker.ts';
import { principalOf } from '../auth.ts';
import { changeRecord } from '../change-record.ts';
import { eraseWithDeliveries } from '../erase-deliveries.ts';
import type { Gear } from '../gateway-parts.ts';
import { assertMayOpen, assertTakesJobs, makeJob } from '../job-door.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { mintWebhookSecret } from '../webhook-secret.ts';
import { readDeliveryPage } from './webhooks.ts';

const createRoute = 'POST /api/v1/jobs';

export function jobPath(job: JobRecord): string {
  return `/api/v1/jobs/${job.id}`;
}

export function registerJobs(gear: Gear, { app }: HttpServer): void {
  const { clock, limits, receivers, records } = gear;

  registerOperation(app, gear, operations.createJob, async ({ body, idempotencyKey, request, reply }) => {
    const job = await makeJob(gear, principalOf(request), {
      spec: toJobSpec(body, { ...limits, receivers }, mintWebhookSecret),
      source: 'api',
      scheduleId: null,
      dueAt: toDueAt(body, clock.now()),
      requestId: request.id,
      idempotency: idempotencyKey === null ? null : { route: createRoute, key: idempotencyKey },
      asked: askedOf(body),
    });
    reply.code(202).header('location', jobPath(job));
    return toMadeJob(job);
  });

  registerOperation(app, gear, operations.listJobs, async ({ query, request }) => {
    const { after = null, limit, order, schedule_id: scheduleId = null, status = null } = query;
    const { tenant } = principalOf(request);
    const page = await records.jobs.list(tenant, { status, scheduleId }, { after, limit, order });
    const jobs = fittingPage(page.data, charactersOf);
    return toList(jobs.map(toJobResource), page.hasMore || jobs.length < page.data.length);
  });

  registerOperation(app, gear, operations.getJob, async ({ params, request }) =>
    toJobResource(await requireJob(gear, principalOf(request).tenant, params.job_id)),
  );

  registerOperation(app, gear, operations.cancelJob, async ({ params, request, reply }) => {
    const job = await cancelJob(gear, principalOf(request).tenant, params.job_id);
    reply.code(hasJobEnded(job) ? 200 : 202).header('location', jobPath(job));
    return toJobResource(job);
  });

  registerOperation(app, gear, operations.retryJob, async ({ params, request, reply }) => {
    const { tenant } = principalOf(request);
    assertTakesJobs(gear);
    // What cannot be tried again says so, however many there are.
    retried(await requireJob(gear, tenant, params.job_id), clock.now());
    await assertMayOpen(gear, tenant);
    const job = await changeRecord(
      records.jobs,
      () => requireJob(gear, tenant, params.job_id),
      (standing) => retried(standing, clock.now()),
    );
    gear.onJobMade();
    reply.code(202).header('location', jobPath(job));
    return toJobResource(job);
  });

  registerOperation(app, gear, operations.deleteJob, async ({ params, request }) => {
    const { tenant } = principalOf(request);
    const { id } = await changeRecord(
      records.jobs,
      () => requireJob(gear, tenant, params.job_id),
      (standing) => {
        if (!hasJobEnded(standing)) throw new ServiceError('job_not_ended', { job_status: standing.status });
        return erasingJob(standing);
      },
    );
    await eraseWithDeliveries(gear, tenant, { jobId: id }, () => records.jobs.erase(tenant, id));
    return { id, object: 'job', deleted: true };
  });

  registerOperation(app, gear, operations.listJobDeliveries, async ({ params, query, request }) => {
    const { id, tenant } = await requireJob(gear, principalOf(request).tenant, params.job_id);
    return readDeliveryPage(gear, tenant, id, query);
  });
}

async function requireJob({ records }: Pick<Gear, 'records'>, tenant: TenantId, id: string): Promise<JobRecord> {
  const job = await records.jobs.get(tenant, id);
  if (job === null) throw new ServiceError('job_not_found', { job_id: id });
  return job;
}

/** Ended when it waited; where its turn runs that is to end, and the job with it once whoever runs jobs has seen it. */
async function cancelJob(gear: Gear, tenant: TenantId, id: string): Promise<JobRecord> {
  const { clock, records } = gear;
  const job = await changeRecord(
    records.jobs,
    () => requireJob(gear, tenant, id),
    (standing) => {
      if (hasJobEnded(standing)) throw new ServiceError('job_ended', { job_status: standing.status });
      return cancelledJob(standing, clock.now());
    },
  );
  if (job.status === 'running') await cancelItsTurn(gear, job);
  const standing = job.status === 'cancelled' ? await tellCancelled(gear, job) : job;
  gear.onJobMade();
  return standing;
}

/** What is not told here is told by whoever runs jobs: the record names it as untold. */
async function tellCancelled(gear: Gear, job: JobRecord): Promise<JobRecord> {
  const { clock, logger, outbox, records } = gear;
  try {
    await outbox.put([jobNotice(job, 'job.cancelled', job.endedAt ?? clock.now(), JSON.stringify(toJobNotice(job)))]);
    return (await records.jobs.replace(toldJob(job))) ?? job;
  } catch (error) {
    logger.warn({ event: 'job_end_not_told_yet', job_id: job.id, err: error }, 'the end of a job was not told at once');
    return job;
  }
}

/** Its record says that it is to end: where the worker cannot be asked now, whoever runs jobs asks again. */
async function cancelItsTurn(gear: Gear, { attempts, id, tenant }: JobRecord): Promise<void> {
  const { sessionId = null, turnId = '' } = attempts.at(-1) ?? {};
  // Nobody knows yet whether there is a turn.
  if (sessionId === null) return;
  try {
    await askWorker(gear, gear.worker.cancelTurn({ tenant, sessionId, turnId }), {
      code: 'worker_lost',
      message: 'The worker did not say in time that the turn has ended.',
    });
  } catch (error) {
    if (isServiceError(error, 'turn_ended')) return;
    const facts = { job_id: id, session_id: sessionId, turn_id: turnId, err: error };
    gear.logger.warn(
      { event: 'job_turn_not_cancelled', ...facts },
      'the turn of a cancelled job was not ended at once',
    );
  }
}

function retried(job: JobRecord, nowMs: number): JobRecord {
  const next = retriedJob(job, nowMs);
  if (next === null) throw new ServiceError('job_not_retryable', { job_status: job.status });
  return next;
}

function charactersOf({ attempts, finalMessage, spec }: JobRecord): number {
  const errors = attempts.reduce((sum, { error }) => sum + (error?.message.length ?? 0), 0);
  return charactersOfSpec(spec) + finalMessage.length + errors;
}
