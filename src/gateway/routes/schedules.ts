// /api/v1/schedules: make, list, look at, change, remove, have a job made now.

import { charactersOfSpec } from '../../api/job-spec.ts';
import { toJobResource, toJobSpec } from '../../api/jobs.ts';
import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import {
  newSchedule,
  patchedSchedule,
  type PatchScheduleRequest,
  toMadeSchedule,
  toScheduleResource,
} from '../../api/schedules.ts';
import { ServiceError } from '../../core/errors.ts';
import { mintId, type TenantId } from '../../core/ids.ts';
import type { JobSpec } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import { changeRecord } from '../change-record.ts';
import type { Gear } from '../gateway-parts.ts';
import { makeJob } from '../job-door.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { makeWithinLimit } from '../tenant-limit.ts';
import { mintWebhookSecret } from '../webhook-secret.ts';
import { jobPath } from './jobs.ts';

export function registerSchedules(gear: Gear, { app }: HttpServer): void {
  const { clock, keyOrder, limits, receivers, records } = gear;

  registerOperation(app, gear, operations.createSchedule, async ({ body, request, reply }) => {
    const { name, tenant } = principalOf(request);
    if (gear.isStorageLow()) throw new ServiceError('storage_full');
    const spec = toJobSpec(body.job, { ...limits, receivers }, mintWebhookSecret, 'job.');
    const draft = newSchedule(body, spec, { tenant, id: mintId(), createdBy: name }, clock.now());
    const list = records.schedules.list.bind(records.schedules, tenant);
    const limited = { tenant, kind: 'schedule', limit: limits.maxSchedules, list } as const;
    const { record } = await makeWithinLimit(keyOrder, limited, () => records.schedules.create(draft));
    reply.code(201).header('location', `/api/v1/schedules/${record.id}`);
    return toMadeSchedule(record);
  });

  registerOperation(app, gear, operations.listSchedules, async ({ query, request }) => {
    const { after = null, limit, order } = query;
    const page = await records.schedules.list(principalOf(request).tenant, { after, limit, order });
    const schedules = fittingPage(page.data, ({ spec }) => charactersOfSpec(spec));
    return toList(schedules.map(toScheduleResource), page.hasMore || schedules.length < page.data.length);
  });

  registerOperation(app, gear, operations.getSchedule, async ({ params, request }) =>
    toScheduleResource(await requireSchedule(gear, principalOf(request).tenant, params.schedule_id)),
  );

  registerOperation(app, gear, operations.patchSchedule, async ({ params, body, request }) => {
    const { tenant } = principalOf(request);
    let isSecretNew = false;
    const schedule = await changeRecord(
      records.schedules,
      () => requireSchedule(gear, tenant, params.schedule_id),
      (standing) => {
        const spec = patchedSpec(gear, standing.spec, body);
        isSecretNew = spec.webhook !== null && spec.webhook.secret !== standing.spec.webhook?.secret;
        return patchedSchedule(standing, body, spec, clock.now());
      },
    );
    return isSecretNew ? toMadeSchedule(schedule) : toScheduleResource(schedule);
  });

  registerOperation(app, gear, operations.deleteSchedule, async ({ params, request }) => {
    const { id, tenant } = await requireSchedule(gear, principalOf(request).tenant, params.schedule_id);
    await records.schedules.erase(tenant, id);
    return { id, object: 'schedule', deleted: true };
  });

  registerOperation(app, gear, operations.runSchedule, async ({ params, idempotencyKey, request, reply }) => {
    const principal = principalOf(request);
    const { id, spec } = await requireSchedule(gear, principal.tenant, params.schedule_id);
    const job = await makeJob(gear, principal, {
      spec,
      source: 'schedule',
      scheduleId: id,
      dueAt: clock.now(),
      requestId: request.id,
      idempotency: idempotencyKey === null ? null : { route: `POST /api/v1/schedules/${id}/run`, key: idempotencyKey },
      asked: [],
    });
    reply.code(202).header('location', jobPath(job));
    return toJobResource(job);
  });
}

async function requireSchedule(
  { records }: Pick<Gear, 'records'>,
  tenant: TenantId,
  id: string,
): Promise<ScheduleRecord> {
  const schedule = await records.schedules.get(tenant, id);
  if (schedule === null) throw new ServiceError('schedule_not_found', { schedule_id: id });
  return schedule;
}

/** A receiver that stays where it was keeps its secret, and need not be told another. */
function patchedSpec({ limits, receivers }: Gear, standing: JobSpec, { job }: PatchScheduleRequest): JobSpec {
  if (job === undefined) return standing;
  const kept = standing.webhook !== null && standing.webhook.url === job.webhook?.url ? standing.webhook.secret : null;
  return toJobSpec(job, { ...limits, receivers }, () => kept ?? mintWebhookSecret(), 'job.');
}
