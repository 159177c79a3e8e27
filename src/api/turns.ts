// Turns on the wire: how one is started, and the resource.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import {
  endReasons,
  executionTimeMs,
  exitCode,
  reasoningEfforts,
  turnStatuses,
  type ReasoningEffort,
  type TurnRecord,
} from '../core/turn.ts';
import { maxTimeoutMs } from './limits.ts';
import { listQuerySchema } from './list.ts';
import { idSchema, modelNameSchema, sessionRefSchema, timestampSchema, turnIdSchema } from './names.ts';
import { outputSchemaSchema } from './output-schema.ts';
import { promptSchema } from './text.ts';
import { toUsage, usageSchema } from './usage.ts';
import { invalidRequest } from './validation.ts';

/** What becomes of a prompt whose session has a turn already. */
export const busyChoices = ['queue', 'steer', 'reject'] as const;
export type BusyChoice = (typeof busyChoices)[number];

/** null is taken for absent, as the callers' serializers write it. */
export const turnOptionFields = {
  timeout_ms: z.int().min(1).max(maxTimeoutMs).nullish().describe('The longest that the turn may run; 30 minutes.'),
  queue_timeout_ms: z.int().min(1).max(maxTimeoutMs).nullish().describe('The longest wait for a free slot; 5 minutes.'),
  model: modelNameSchema.nullish(),
  effort: z.enum(reasoningEfforts).nullish().describe("How much the model reasons; without it, the model's own."),
  output_schema: outputSchemaSchema.nullish(),
  on_busy: z
    .enum(busyChoices)
    .nullish()
    .describe(
      'When the session has a turn already. queue (what is done without it): wait for its end. reject: answer ' +
        '`session_busy` and make nothing. steer: give the prompt to the turn that runs, and answer with that turn; ' +
        'the other options are not used then. Where none runs by now, wait as with queue.',
    ),
};

/** Of a request that stays on its connection until the turn has ended. */
export const cancelOnDisconnectSchema = z
  .boolean()
  .nullish()
  .describe(
    'End the turn when the connection closes before its end. Without it a turn goes on, whoever leaves. ' +
      'A turn that was steered belongs to another request and goes on as well.',
  );

export const startTurnRequestSchema = z
  .strictObject({ prompt: promptSchema, ...turnOptionFields })
  .meta({ id: 'StartTurnRequest' });

export const steerTurnRequestSchema = z.strictObject({ prompt: promptSchema }).meta({ id: 'SteerTurnRequest' });

/** What any of the doors asks for, in the words of the code. Absent means: the fleet's default. */
export type TurnSpec = {
  readonly prompt: string;
  readonly timeoutMs: number | null;
  readonly queueTimeoutMs: number | null;
  readonly model: string | null;
  readonly effort: ReasoningEffort | null;
  readonly outputSchema: Readonly<Record<string, unknown>> | null;
  readonly onBusy: BusyChoice;
};

export function toTurnSpec(request: z.output<typeof startTurnRequestSchema>): TurnSpec {
  return {
    prompt: request.prompt,
    timeoutMs: request.timeout_ms ?? null,
    queueTimeoutMs: request.queue_timeout_ms ?? null,
    model: request.model ?? null,
    effort: request.effort ?? null,
    outputSchema: request.output_schema ?? null,
    onBusy: request.on_busy ?? 'queue',
  };
}

/** What a request says, or else the fleet's own. Throws `invalid_request` for more than the fleet allows. */
export function chosenMs(field: string, chosen: number | null, fallback: number, most: number): number {
  if (chosen === null) return fallback;
  if (chosen > most)
    throw invalidRequest([{ field, message: `must be at most ${most}, which is this fleet's limit` }], 'body');
  return chosen;
}

export const turnErrorSchema = z
  .object({ code: z.string(), message: z.string() })
  .nullable()
  .describe('Why the turn ended otherwise than by completing; null while it runs and when it completed.');

/** How a turn stands or ended: the same fields in exec's answer and in the resource. */
export const turnResultFields = {
  status: z.enum(turnStatuses),
  exit_code: z
    .int()
    .nullable()
    .describe('0 completed, 1 failed or interrupted, 124 timed out, 130 cancelled; null before.'),
  stdout: z.string().describe("The agent's final message."),
  stderr: z.string().describe('Why the turn failed; empty when it did not.'),
  execution_time_ms: z.int().describe('Time spent running; the wait for a slot is not in it.'),
  usage: usageSchema,
  error: turnErrorSchema,
};
export type TurnResult = z.output<z.ZodObject<typeof turnResultFields>>;

export function toTurnResult(turn: TurnRecord, nowMs: number): TurnResult {
  return {
    status: turn.status,
    exit_code: exitCode(turn.status),
    stdout: turn.finalMessage,
    stderr: turn.error?.message ?? '',
    execution_time_ms: executionTimeMs(turn, nowMs),
    usage: toUsage(turn.usage),
    error: turn.error === null ? null : { code: turn.error.code, message: turn.error.message },
  };
}

export const turnSchema = z
  .object({
    id: idSchema,
    object: z.literal('turn'),
    session_id: idSchema,
    ...turnResultFields,
    reason: z.enum(endReasons).nullable(),
    prompt: z.string(),
    model: z.string().nullable(),
    effort: z.enum(reasoningEfforts).nullable(),
    output_schema: z.record(z.string(), z.unknown()).nullable(),
    continues: idSchema
      .nullable()
      .describe('The interrupted turn that this one goes on with; null for the prompt of a client.'),
    steers: z
      .array(z.object({ id: z.string(), prompt: z.string(), at: timestampSchema }))
      .describe('What was given to it while it ran.'),
    timeout_ms: z.int(),
    queue_timeout_ms: z.int(),
    queue_position: z.int().nullable().describe('1 is next; null once it runs.'),
    created_at: timestampSchema,
    started_at: timestampSchema.nullable(),
    ended_at: timestampSchema.nullable(),
    request_id: z.string().nullable().describe('Of the request that made it; log lines carry it too.'),
  })
  .meta({ id: 'Turn' });
export type TurnResource = z.output<typeof turnSchema>;

export function toTurnResource(turn: TurnRecord, nowMs: number): TurnResource {
  return {
    id: turn.id,
    object: 'turn',
    session_id: turn.sessionId,
    ...toTurnResult(turn, nowMs),
    reason: turn.reason,
    prompt: turn.prompt,
    model: turn.model,
    effort: turn.effort,
    output_schema: turn.outputSchema === null ? null : { ...turn.outputSchema },
    continues: turn.continues,
    steers: turn.steers.map(({ id, text, at }) => ({ id, prompt: text, at: toTimestamp(at) })),
    timeout_ms: turn.timeoutMs,
    queue_timeout_ms: turn.queueTimeoutMs,
    queue_position: turn.queuePosition,
    created_at: toTimestamp(turn.createdAt),
    started_at: turn.startedAt === null ? null : toTimestamp(turn.startedAt),
    ended_at: turn.endedAt === null ? null : toTimestamp(turn.endedAt),
    request_id: turn.requestId ?? null,
  };
}

export const turnPathSchema = z.strictObject({ session_id: sessionRefSchema, turn_id: turnIdSchema });

export const openStatus = 'open';
export type StatusFilter = (typeof turnStatuses)[number] | typeof openStatus;

export const turnsQuerySchema = listQuerySchema.extend({
  status: z
    .enum([...turnStatuses, openStatus])
    .optional()
    .describe('Only turns of this status; `open`: those that have not ended, which is the queue and what runs.'),
});
