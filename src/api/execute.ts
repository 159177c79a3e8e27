// POST /execute on a worker: the seed's face of it, one prompt in and what came of it out.

import * as z from 'zod';
import { executionTimeMs, exitCode, type TurnRecord } from '../core/turn.ts';
import { maxTimeoutMs } from './limits.ts';
import { promptSchema } from './text.ts';

export const executeRequestSchema = z
  .strictObject({ prompt: promptSchema, timeout_ms: z.int().min(1).max(maxTimeoutMs).nullish() })
  .meta({ id: 'ExecuteRequest' });

export const executeResponseSchema = z
  .object({ exit_code: z.int(), stdout: z.string(), stderr: z.string(), execution_time_ms: z.int() })
  .meta({ id: 'ExecuteResponse' });
export type ExecuteResponse = z.output<typeof executeResponseSchema>;

export function toExecuteResponse(ended: TurnRecord): ExecuteResponse {
  return {
    exit_code: exitCode(ended.status) ?? 1,
    stdout: ended.finalMessage,
    stderr: ended.error?.message ?? '',
    execution_time_ms: executionTimeMs(ended, ended.endedAt ?? ended.createdAt),
  };
}
