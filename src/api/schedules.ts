// Schedules on the wire: how one is made and changed, and the resource.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { isUuid } from '../core/ids.ts';
import type { JobSpec } from '../core/job.ts';
import { missedChoices, overlapChoices, type ScheduleRecord } from '../core/schedule.ts';
import { assertCron, nextRun } from './cron.ts';
import { jobSpecFields, shownReceiverSchema, toJobSpecFields } from './job-spec.ts';
import { scheduledJobSchema } from './jobs.ts';
import { idSchema, timestampSchema } from './names.ts';
import { textSchema } from './text.ts';
import { invalidRequest } from './validation.ts';

const titleSchema = textSchema({ min: 1, max: 256 });
const cronSchema = textSchema({ min: 1, max: 256 }).describe(
  'Five fields: minute, hour, day of the month, month, day of the week.',
);
const timeZoneSchema = textSchema({ min: 1, max: 64 }).describe('As the IANA names it.');
const overlapSchema = z
  .enum(overlapChoices)
  .describe('When the job before has not ended: skip (what is done without it) leaves this one out; allow makes it.');
const missedSchema = z
  .enum(missedChoices)
  .describe(
    'When times passed while nothing could be done: run_once (what is done without it) makes up for all with one job; skip leaves them out.',
  );
const pausedSchema = z.boolean().describe('It makes no jobs until this is false.');

export const createScheduleRequestSchema = z
  .strictObject({
    title: titleSchema.nullish(),
    cron: cronSchema,
    time_zone: timeZoneSchema.nullish().describe('As the IANA names it; UTC.'),
    overlap: overlapSchema.nullish(),
    missed: missedSchema.nullish(),
    paused: pausedSchema.nullish(),
    job: scheduledJobSchema,
  })
  .meta({
    id: 'CreateScheduleRequest',
    examples: [{ cron: '0 3 * * *', time_zone: 'Europe/Berlin', job: { prompt: 'update the dependencies' } }],
  });
export type CreateScheduleRequest = z.output<typeof createScheduleRequestSchema>;

export const patchScheduleRequestSchema = z
  .strictObject({
    title: titleSchema.nullable().optional().describe('null takes it away.'),
    cron: cronSchema.optional(),
    time_zone: timeZoneSchema.optional(),
    overlap: overlapSchema.optional(),
    missed: missedSchema.optional(),
    paused: pausedSchema.optional(),
    job: scheduledJobSchema
      .optional()
      .describe('Takes the place of the whole job. A receiver at the same URL keeps its secret where none is given.'),
  })
  .meta({ id: 'PatchScheduleRequest' });
export type PatchScheduleRequest = z.output<typeof patchScheduleRequestSchema>;

/** Throws `invalid_request` for a time that is none, or that never comes. */
export function newSchedule(
  request: CreateScheduleRequest,
  spec: JobSpec,
  made: Pick<ScheduleRecord, 'tenant' | 'id' | 'createdBy'>,
  nowMs: number,
): ScheduleRecord {
  const cron = request.cron;
  const timeZone = request.time_zone ?? 'UTC';
  const isPaused = request.paused ?? false;
  return {
    ...made,
    revision: 1,
    title: request.title ?? null,
    cron,
    timeZone,
    spec,
    overlap: request.overlap ?? 'skip',
    missed: request.missed ?? 'run_once',
    isPaused,
    dueAt: dueAtOf(cron, timeZone, isPaused, nowMs),
    lastRunAt: null,
    lastJobId: null,
    createdAt: nowMs,
  };
}

/** The record as the patch would have it. `spec`: that of its job. A time that stands already is not missed by a change of something else. */
export function patchedSchedule(
  schedule: ScheduleRecord,
  patch: PatchScheduleRequest,
  spec: JobSpec,
  nowMs: number,
): ScheduleRecord {
  const cron = patch.cron ?? schedule.cron;
  const timeZone = patch.time_zone ?? schedule.timeZone;
  const isPaused = patch.paused ?? schedule.isPaused;
  const isSameTime = cron === schedule.cron && timeZone === schedule.timeZone && isPaused === schedule.isPaused;
  return {
    ...schedule,
    title: patch.title === undefined ? schedule.title : patch.title,
    cron,
    timeZone,
    isPaused,
    spec,
    overlap: patch.overlap ?? schedule.overlap,
    missed: patch.missed ?? schedule.missed,
    dueAt: isSameTime ? schedule.dueAt : dueAtOf(cron, timeZone, isPaused, nowMs),
  };
}

function dueAtOf(cron: string, timeZone: string, isPaused: boolean, nowMs: number): number | null {
  assertCron(cron, timeZone);
  const next = nextRun(cron, timeZone, nowMs);
  if (next === null) throw invalidRequest([{ field: 'cron', message: 'names no time that comes' }], 'body');
  return isPaused ? null : next;
}

const scheduledJobFields = { session_id: z.string().nullable(), ...jobSpecFields };

export const scheduleSchema = z
  .object({
    id: idSchema,
    object: z.literal('schedule'),
    title: z.string().nullable(),
    cron: z.string(),
    time_zone: z.string(),
    overlap: z.enum(overlapChoices),
    missed: z.enum(missedChoices),
    paused: z.boolean(),
    job: z.object(scheduledJobFields).describe('What each of its jobs asks.'),
    next_run_at: timestampSchema.nullable().describe('null while it is paused, and when no time is left.'),
    last_run_at: timestampSchema.nullable().describe('The last of its times that made a job.'),
    last_job_id: idSchema.nullable().describe('The job that was made then; one that was asked for by hand is not it.'),
    created_by: z.string(),
    created_at: timestampSchema,
  })
  .meta({ id: 'Schedule' });
export type ScheduleResource = z.output<typeof scheduleSchema>;

export const madeScheduleSchema = scheduleSchema
  .extend({ job: z.object({ ...scheduledJobFields, webhook: shownReceiverSchema }) })
  .meta({ id: 'MadeSchedule' });

export function toScheduleResource(schedule: ScheduleRecord): ScheduleResource {
  const { dueAt, lastRunAt, spec } = schedule;
  return {
    id: schedule.id,
    object: 'schedule',
    title: schedule.title,
    cron: schedule.cron,
    time_zone: schedule.timeZone,
    overlap: schedule.overlap,
    missed: schedule.missed,
    paused: schedule.isPaused,
    job: { session_id: spec.sessionRef, ...toJobSpecFields(spec) },
    next_run_at: dueAt === null ? null : toTimestamp(dueAt),
    last_run_at: lastRunAt === null ? null : toTimestamp(lastRunAt),
    last_job_id: schedule.lastJobId,
    created_by: schedule.createdBy,
    created_at: toTimestamp(schedule.createdAt),
  };
}

/** With the secret of its job's receiver: for the answer to who gave the receiver. */
export function toMadeSchedule(schedule: ScheduleRecord): z.output<typeof madeScheduleSchema> {
  const resource = toScheduleResource(schedule);
  return { ...resource, job: { ...resource.job, webhook: schedule.spec.webhook } };
}

export const schedulePathSchema = z.strictObject({
  schedule_id: z
    .string()
    .transform((text) => text.toLowerCase())
    .refine(isUuid, { error: 'must be the id of a schedule, a UUID' })
    .meta({ format: 'uuid' }),
});

export const deletedScheduleSchema = z
  .object({ id: idSchema, object: z.literal('schedule'), deleted: z.literal(true) })
  .meta({ id: 'DeletedSchedule' });
