// Jobs on the wire: how one is asked for, the resource, and what those outside are told of it.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { hasJobEnded, type JobRecord, jobSources, type JobSpec, jobStatuses, noRetry } from '../core/job.ts';
import { isUuid } from '../core/ids.ts';
import { exitCode, terminalStatuses } from '../core/turn.ts';
import { cutNotice, cutSentence } from './cut-notice.ts';
import { jobSpecFields, shownReceiverSchema, toJobSpecFields } from './job-spec.ts';
import { maxJobAttempts, maxRunAheadMs, maxTimeoutMs } from './limits.ts';
import { listQuerySchema } from './list.ts';
import { idSchema, modelNameSchema, sessionRefSchema, timestampSchema } from './names.ts';
import { assertReceiverUrl, type ReceiverRules } from './receiver-url.ts';
import { metadataSchema } from './sessions.ts';
import { assertPromptFits, promptSchema } from './text.ts';
import { chosenMs, turnErrorSchema, turnOptionFields } from './turns.ts';
import { toUsage, usageSchema } from './usage.ts';
import { invalidRequest } from './validation.ts';
import { receiverUrlSchema, webhookSecretSchema } from './webhook-fields.ts';

/** Of the error of one attempt, in a notice. */
const mostErrorCharacters = 150;
const delaySchema = z.int().min(1).max(maxTimeoutMs);

const retrySchema = z
  .strictObject({
    max_attempts: z.int().min(1).max(maxJobAttempts).describe('With the first.'),
    first_delay_ms: delaySchema
      .nullish()
      .describe('Before the second attempt, and doubled before each further one; 10 seconds.'),
    longest_delay_ms: delaySchema.nullish().describe('It grows no longer than that; 10 minutes.'),
  })
  .refine(({ first_delay_ms, longest_delay_ms }) => (first_delay_ms ?? 1) <= (longest_delay_ms ?? Infinity), {
    path: ['longest_delay_ms'],
    error: 'must be at least `first_delay_ms`',
  })
  .meta({ id: 'JobRetry' });

/** What a schedule repeats. null is taken for absent. */
const jobFields = {
  prompt: promptSchema,
  session_id: sessionRefSchema
    .nullish()
    .describe(
      'The session to go on with, by id or by a name of your own; one that does not exist is created. Absent: each attempt begins a new one.',
    ),
  model: modelNameSchema.nullish(),
  effort: turnOptionFields.effort,
  output_schema: turnOptionFields.output_schema,
  timeout_ms: turnOptionFields.timeout_ms,
  queue_timeout_ms: turnOptionFields.queue_timeout_ms,
  retry: retrySchema
    .nullish()
    .describe('When an attempt fails, is interrupted or times out, another is made. Absent: none.'),
  webhook: z
    .strictObject({
      url: receiverUrlSchema,
      secret: webhookSecretSchema
        .nullish()
        .describe('Signs what is sent, as Standard Webhooks has it; without it, one is made.'),
    })
    .meta({ id: 'JobWebhookRequest' })
    .nullish()
    .describe('Who is told of this job, beside the webhooks of the tenant.'),
  metadata: metadataSchema.nullish(),
};

export const scheduledJobSchema = z.strictObject(jobFields).meta({ id: 'ScheduledJobRequest' });
export type ScheduledJobRequest = z.output<typeof scheduledJobSchema>;

export const createJobRequestSchema = z
  .strictObject({
    ...jobFields,
    run_at: z.iso
      .datetime({ offset: true, error: 'must be a time, as RFC 3339 has it' })
      .nullish()
      .describe('Not before this time, at most 366 days ahead; one that has passed is now.'),
  })
  .meta({ id: 'CreateJobRequest', examples: [{ prompt: 'update the dependencies', retry: { max_attempts: 3 } }] });
export type CreateJobRequest = z.output<typeof createJobRequestSchema>;

/** What a fleet allows, and takes where a request does not say. */
export type JobLimits = {
  readonly defaultTimeoutMs: number;
  readonly maxTimeoutMs: number;
  readonly defaultQueueTimeoutMs: number;
  readonly maxQueueTimeoutMs: number;
  readonly maxPromptCodePoints: number;
  readonly receivers: ReceiverRules;
};

/** `under`: where in the body the job stands. Throws `invalid_request` for what the schema cannot know. */
export function toJobSpec(
  request: ScheduledJobRequest,
  limits: JobLimits,
  makeSecret: () => string,
  under = '',
): JobSpec {
  const { retry, timeout_ms, queue_timeout_ms, webhook } = request;
  assertPromptFits(request.prompt, limits.maxPromptCodePoints, `${under}prompt`);
  if (webhook) assertReceiverUrl(webhook.url, limits.receivers, `${under}webhook.url`);
  const firstDelayMs = retry?.first_delay_ms ?? Math.min(noRetry.firstDelayMs, retry?.longest_delay_ms ?? Infinity);
  return {
    prompt: request.prompt,
    sessionRef: request.session_id ?? null,
    model: request.model ?? null,
    effort: request.effort ?? null,
    outputSchema: request.output_schema ?? null,
    timeoutMs: chosenMs(`${under}timeout_ms`, timeout_ms ?? null, limits.defaultTimeoutMs, limits.maxTimeoutMs),
    queueTimeoutMs: chosenMs(
      `${under}queue_timeout_ms`,
      queue_timeout_ms ?? null,
      limits.defaultQueueTimeoutMs,
      limits.maxQueueTimeoutMs,
    ),
    retry: {
      maxAttempts: retry?.max_attempts ?? noRetry.maxAttempts,
      firstDelayMs,
      longestDelayMs: retry?.longest_delay_ms ?? Math.max(noRetry.longestDelayMs, firstDelayMs),
    },
    metadata: request.metadata ?? {},
    webhook: webhook ? { url: webhook.url, secret: webhook.secret ?? makeSecret() } : null,
  };
}

/** When its first attempt is due. Throws `invalid_request` where that is too far ahead. */
export function toDueAt({ run_at }: Pick<CreateJobRequest, 'run_at'>, nowMs: number): number {
  if (run_at === null || run_at === undefined) return nowMs;
  const dueAt = Date.parse(run_at);
  if (dueAt <= nowMs + maxRunAheadMs) return Math.max(dueAt, nowMs);
  const message = Number.isNaN(dueAt) ? 'must be a time that there is' : 'must be at most 366 days ahead';
  throw invalidRequest([{ field: 'run_at', message }], 'body');
}

/** What a repeat must agree on, in one order. */
export function askedOf(request: CreateJobRequest): readonly (string | number | object | null)[] {
  const { metadata, retry, webhook } = request;
  return [
    request.prompt,
    request.session_id ?? null,
    request.model ?? null,
    request.effort ?? null,
    request.output_schema ?? null,
    request.timeout_ms ?? null,
    request.queue_timeout_ms ?? null,
    retry ? [retry.max_attempts, retry.first_delay_ms ?? null, retry.longest_delay_ms ?? null] : null,
    webhook ? [webhook.url, webhook.secret ?? null] : null,
    Object.entries(metadata ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)),
    request.run_at ?? null,
  ];
}

export const jobSchema = z
  .object({
    id: idSchema,
    object: z.literal('job'),
    status: z
      .enum(jobStatuses)
      .describe('queued: it waits for its time, for its share of the fleet, or for its next attempt.'),
    cancelling: z.boolean().describe('It was cancelled, and its turn is being ended.'),
    session_id: z.string().nullable().describe('Of the last attempt; before the first, as it was asked for.'),
    turn_id: idSchema.nullable().describe('Of the last attempt.'),
    ...jobSpecFields,
    source: z.enum(jobSources),
    schedule_id: idSchema.nullable(),
    attempts: z
      .array(
        z.object({
          turn_id: idSchema,
          session_id: idSchema.nullable().describe('null until a worker has its turn.'),
          status: z.enum(terminalStatuses).nullable().describe('null while it has not ended.'),
          started_at: timestampSchema,
          ended_at: timestampSchema.nullable(),
          error: turnErrorSchema,
        }),
      )
      .describe('The last of them, in order.'),
    attempt_count: z.int().describe('Of all that were begun.'),
    next_attempt_at: timestampSchema.nullable().describe('null unless it is queued.'),
    result: z
      .object({
        stdout: z.string().describe("The agent's final message, of the last attempt."),
        exit_code: z.int().describe('0 completed, 1 failed, 124 timed out, 130 cancelled.'),
        usage: usageSchema.describe('Of all attempts together.'),
      })
      .nullable()
      .describe('null until it has ended, and where no attempt was made.'),
    error: turnErrorSchema,
    created_by: z.string(),
    created_at: timestampSchema,
    ended_at: timestampSchema.nullable(),
    request_id: z.string().nullable().describe('Of the request that made it.'),
  })
  .meta({ id: 'Job' });
export type JobResource = z.output<typeof jobSchema>;

export const madeJobSchema = jobSchema.extend({ webhook: shownReceiverSchema }).meta({ id: 'MadeJob' });

export function toJobResource(job: JobRecord): JobResource {
  const { error, spec } = job;
  const last = job.attempts.at(-1);
  return {
    id: job.id,
    object: 'job',
    status: job.status,
    cancelling: job.isCancelling,
    session_id: last?.sessionId ?? spec.sessionRef,
    turn_id: last?.turnId ?? null,
    ...toJobSpecFields(spec),
    source: job.source,
    schedule_id: job.scheduleId,
    attempts: job.attempts.map((attempt) => ({
      turn_id: attempt.turnId,
      session_id: attempt.sessionId,
      status: attempt.status,
      started_at: toTimestamp(attempt.startedAt),
      ended_at: attempt.endedAt === null ? null : toTimestamp(attempt.endedAt),
      error: attempt.error === null ? null : { code: attempt.error.code, message: attempt.error.message },
    })),
    attempt_count: job.attemptCount,
    next_attempt_at: job.dueAt === null ? null : toTimestamp(job.dueAt),
    result: resultOf(job),
    error: error === null ? null : { code: error.code, message: error.message },
    created_by: job.createdBy,
    created_at: toTimestamp(job.createdAt),
    ended_at: job.endedAt === null ? null : toTimestamp(job.endedAt),
    request_id: job.requestId,
  };
}

export function toMadeJob(job: JobRecord): z.output<typeof madeJobSchema> {
  return { ...toJobResource(job), webhook: job.spec.webhook };
}

/** What those are told who want to know of jobs: not what was asked, and of a long answer its beginning. */
export function toJobNotice(job: JobRecord): object {
  // Such a URL is often a credential, and the notice goes to others.
  const { webhook: _webhook, ...shown } = toJobResource(job);
  const { attempts, error, output_schema: _schema, prompt: _prompt, result, ...told } = shown;
  const rest = {
    ...told,
    attempts: attempts.map((attempt) => ({ ...attempt, error: cutError(attempt.error) })),
    error: cutError(error),
  };
  if (result === null) return { ...rest, result, truncated: false };
  const { isCut, text } = cutNotice(result.stdout, rest);
  return { ...rest, result: { ...result, stdout: text }, truncated: isCut };
}

function cutError(error: JobResource['error']): JobResource['error'] {
  return error === null ? null : { code: error.code, message: cutSentence(error.message, mostErrorCharacters) };
}

function resultOf(job: JobRecord): JobResource['result'] {
  const last = job.attempts.at(-1);
  if (!hasJobEnded(job) || last === undefined) return null;
  const { status } = job;
  const ended = status === 'completed' || status === 'cancelled' ? status : (last.status ?? 'failed');
  // A job can fail behind an attempt that did not: its next one was refused.
  const code = exitCode(ended) ?? 1;
  return {
    stdout: job.finalMessage,
    exit_code: status === 'failed' && code === 0 ? 1 : code,
    usage: toUsage(job.usage),
  };
}

export const jobIdSchema = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(isUuid, { error: 'must be the id of a job, a UUID' })
  .meta({ format: 'uuid' });

export const jobPathSchema = z.strictObject({ job_id: jobIdSchema });

export const deletedJobSchema = z
  .object({ id: idSchema, object: z.literal('job'), deleted: z.literal(true) })
  .meta({ id: 'DeletedJob' });

export const jobsQuerySchema = listQuerySchema.extend({
  status: z.enum(jobStatuses).optional().describe('Only jobs of this status.'),
  schedule_id: z.string().min(1).max(64).optional().describe('Only those that this schedule made.'),
});
