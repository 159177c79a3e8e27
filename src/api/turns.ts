// Turns on the wire: how one is started, and the resource.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { endReasons, executionTimeMs, exitCode, turnStatuses, type TurnRecord } from '../core/turn.ts';
import { maxTimeoutMs } from './limits.ts';
import { idSchema, modelNameSchema, sessionRefSchema, timestampSchema, turnIdSchema } from './names.ts';
import { promptSchema } from './text.ts';
import { toUsage, usageSchema } from './usage.ts';

/** null is taken for absent, as the callers' serializers write it. */
export const turnOptionFields = {
  timeout_ms: z.int().min(1).max(maxTimeoutMs).nullish().describe('The longest that the turn may run; 30 minutes.'),
  queue_timeout_ms: z.int().min(1).max(maxTimeoutMs).nullish().describe('The longest wait for a free slot; 5 minutes.'),
  model: modelNameSchema.nullish(),
};

export const startTurnRequestSchema = z
  .strictObject({ prompt: promptSchema, ...turnOptionFields })
  .meta({ id: 'StartTurnRequest' });
export type StartTurnRequest = z.output<typeof startTurnRequestSchema>;

/** What any of the doors asks for, in the words of the code. Absent means: the fleet's default. */
export type TurnSpec = {
  readonly prompt: string;
  readonly timeoutMs: number | null;
  readonly queueTimeoutMs: number | null;
  readonly model: string | null;
};

export function toTurnSpec(request: StartTurnRequest): TurnSpec {
  return {
    prompt: request.prompt,
    timeoutMs: request.timeout_ms ?? null,
    queueTimeoutMs: request.queue_timeout_ms ?? null,
    model: request.model ?? null,
  };
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
