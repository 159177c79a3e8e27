// POST /api/v1/exec: one prompt in, its answer out.

import * as z from 'zod';
import type { TurnRecord } from '../core/turn.ts';
import { maxWaitMs } from './limits.ts';
import { idSchema, sessionRefSchema } from './names.ts';
import { promptSchema } from './text.ts';
import { cancelOnDisconnectSchema, toTurnResult, turnOptionFields, turnResultFields } from './turns.ts';

export const execFields = {
  prompt: promptSchema,
  session_id: sessionRefSchema
    .nullish()
    .describe(
      'The session to go on with, by id or by a name of your own; one that does not exist is created. Absent: a new one.',
    ),
  stream: z.boolean().nullish().describe('Answer with the events of the turn as they happen.'),
  cancel_on_disconnect: cancelOnDisconnectSchema,
  ...turnOptionFields,
};

export const execRequestSchema = z
  .strictObject({
    ...execFields,
    wait_ms: z
      .int()
      .min(0)
      .max(maxWaitMs)
      .nullish()
      .describe('How long the answer may wait for the end of the turn; then it is 202 and the turn goes on.'),
    background: z.boolean().nullish().describe('Answer 202 at once.'),
  })
  .refine((request) => !(request.stream === true && request.background === true), {
    path: ['background'],
    error: 'cannot go with `stream`: choose one',
  })
  .refine((request) => !(request.cancel_on_disconnect === true && request.background === true), {
    path: ['cancel_on_disconnect'],
    error: 'cannot go with `background`, whose answer ends before the turn: choose one',
  })
  .meta({ id: 'ExecRequest', examples: [{ prompt: 'create a rust web server', session_id: 'my-session' }] });

export const execResponseSchema = z
  .object({ session_id: idSchema, turn_id: idSchema, ...turnResultFields })
  .meta({ id: 'ExecResponse' });
export type ExecResponse = z.output<typeof execResponseSchema>;

export function toExecResponse(turn: TurnRecord, nowMs: number): ExecResponse {
  return { session_id: turn.sessionId, turn_id: turn.id, ...toTurnResult(turn, nowMs) };
}
