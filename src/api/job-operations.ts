// The operations of jobs and schedules, for the table of all.

import {
  createJobRequestSchema,
  deletedJobSchema,
  jobPathSchema,
  jobSchema,
  jobsQuerySchema,
  madeJobSchema,
} from './jobs.ts';
import { listQuerySchema, listSchema } from './list.ts';
import { operation } from './operation.ts';
import {
  createScheduleRequestSchema,
  deletedScheduleSchema,
  madeScheduleSchema,
  patchScheduleRequestSchema,
  schedulePathSchema,
  scheduleSchema,
} from './schedules.ts';
import { deliveriesQuerySchema, deliverySchema } from './webhooks.ts';

const makingErrors = ['draining', 'storage_full', 'store_unavailable', 'too_many_jobs'] as const;

export const jobOperations = {
  createJob: operation('POST', '/api/v1/jobs', {
    id: 'createJob',
    summary: 'Have a prompt run without waiting for it: now or later, with retries, and with a receiver that is told.',
    route: 'jobs',
    body: createJobRequestSchema,
    bodySize: 'large',
    takesIdempotencyKey: true,
    answers: {
      202: {
        description: 'The job, with the secret of its receiver; `Location` is where it can be looked at.',
        schema: madeJobSchema,
      },
    },
    errors: ['idempotency_key_reused', ...makingErrors],
  }),
  listJobs: operation('GET', '/api/v1/jobs', {
    id: 'listJobs',
    summary: 'List jobs: all, or those of one status or schedule.',
    route: 'jobs',
    query: jobsQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(jobSchema) } },
    errors: ['cursor_invalid'],
  }),
  getJob: operation('GET', '/api/v1/jobs/{job_id}', {
    id: 'getJob',
    summary: 'Look at a job: how it stands, its attempts, its result.',
    route: 'jobs',
    params: jobPathSchema,
    answers: { 200: { description: 'The job.', schema: jobSchema } },
    errors: ['job_not_found'],
  }),
  cancelJob: operation('POST', '/api/v1/jobs/{job_id}/cancel', {
    id: 'cancelJob',
    summary: 'End a job that waits or runs.',
    route: 'jobs',
    params: jobPathSchema,
    answers: {
      200: { description: 'The job, cancelled.', schema: jobSchema },
      202: { description: 'Its turn is being ended, and the job with it.', schema: jobSchema },
    },
    errors: ['job_not_found', 'job_ended', 'store_conflict', 'store_unavailable'],
  }),
  retryJob: operation('POST', '/api/v1/jobs/{job_id}/retry', {
    id: 'retryJob',
    summary: 'Try a job again that failed or was cancelled.',
    route: 'jobs',
    params: jobPathSchema,
    answers: { 202: { description: 'The job; it waits for its next attempt.', schema: jobSchema } },
    errors: ['job_not_found', 'job_not_retryable', 'store_conflict', ...makingErrors],
  }),
  deleteJob: operation('DELETE', '/api/v1/jobs/{job_id}', {
    id: 'deleteJob',
    summary: 'Erase a job that has ended, with all deliveries that tell of it; its session stays.',
    route: 'jobs',
    params: jobPathSchema,
    answers: { 200: { description: 'It is gone.', schema: deletedJobSchema } },
    errors: ['job_not_found', 'job_not_ended', 'store_conflict', 'store_unavailable'],
  }),
  listJobDeliveries: operation('GET', '/api/v1/jobs/{job_id}/deliveries', {
    id: 'listJobDeliveries',
    summary: "List what the job's own receiver was told, or is to be told.",
    route: 'jobs',
    params: jobPathSchema,
    query: deliveriesQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(deliverySchema) } },
    errors: ['job_not_found', 'cursor_invalid'],
  }),

  createSchedule: operation('POST', '/api/v1/schedules', {
    id: 'createSchedule',
    summary: 'Have a job made again and again, by a cron expression.',
    route: 'schedules',
    body: createScheduleRequestSchema,
    bodySize: 'large',
    answers: {
      201: { description: "The schedule, with the secret of its jobs' receiver.", schema: madeScheduleSchema },
    },
    errors: ['limit_reached', 'storage_full', 'store_unavailable'],
  }),
  listSchedules: operation('GET', '/api/v1/schedules', {
    id: 'listSchedules',
    summary: 'List schedules.',
    route: 'schedules',
    query: listQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(scheduleSchema) } },
    errors: ['cursor_invalid'],
  }),
  getSchedule: operation('GET', '/api/v1/schedules/{schedule_id}', {
    id: 'getSchedule',
    summary: 'Look at a schedule.',
    route: 'schedules',
    params: schedulePathSchema,
    answers: { 200: { description: 'The schedule.', schema: scheduleSchema } },
    errors: ['schedule_not_found'],
  }),
  patchSchedule: operation('PATCH', '/api/v1/schedules/{schedule_id}', {
    id: 'patchSchedule',
    summary: 'Change a schedule, pause it or let it go on; jobs that were made stay as they are.',
    route: 'schedules',
    params: schedulePathSchema,
    body: patchScheduleRequestSchema,
    bodySize: 'large',
    answers: {
      200: [
        {
          description: 'The schedule, changed; with the secret of its receiver where that is new.',
          schema: scheduleSchema,
        },
      ],
    },
    errors: ['schedule_not_found', 'store_conflict', 'store_unavailable'],
  }),
  deleteSchedule: operation('DELETE', '/api/v1/schedules/{schedule_id}', {
    id: 'deleteSchedule',
    summary: 'Remove a schedule; jobs that were made go on.',
    route: 'schedules',
    params: schedulePathSchema,
    answers: { 200: { description: 'It is gone.', schema: deletedScheduleSchema } },
    errors: ['schedule_not_found', 'store_unavailable'],
  }),
  runSchedule: operation('POST', '/api/v1/schedules/{schedule_id}/run', {
    id: 'runSchedule',
    summary: 'Make a job of a schedule now, whatever its times, paused or not.',
    route: 'schedules',
    params: schedulePathSchema,
    takesIdempotencyKey: true,
    answers: { 202: { description: 'The job; `Location` is where it can be looked at.', schema: jobSchema } },
    errors: ['schedule_not_found', 'idempotency_key_reused', ...makingErrors],
  }),
} as const;
