// The frames of GET /ws. In: JSON objects; one without `type` is an exec. Out: the events of the log
// with the `ref` of the frame that asked for them, and the few answers below.

import * as z from 'zod';
import { execFields } from './exec.ts';
import { cursorSchema, idempotencyKeySchema, idSchema, sessionRefSchema, turnIdSchema } from './names.ts';
import { turnStatuses } from '../core/turn.ts';
import { invalidRequest, validate } from './validation.ts';

const refSchema = z
  .string()
  .max(128)
  .refine((ref) => ref.isWellFormed(), { error: 'has a lone surrogate' })
  .nullish()
  .describe('Yours: on everything that answers this frame.');

export const execFrameSchema = z
  .strictObject({
    type: z.literal('exec').optional(),
    ref: refSchema,
    ...execFields,
    idempotency_key: idempotencyKeySchema
      .nullish()
      .describe('As the Idempotency-Key header: a repeated frame is the same turn.'),
  })
  .meta({ id: 'WsExec', description: '`stream: false` sends the terminal event alone.' });
export const subscribeFrameSchema = z
  .strictObject({
    type: z.literal('subscribe'),
    ref: refSchema,
    session_id: sessionRefSchema,
    after: cursorSchema.nullish().describe('Start behind this cursor; absent: from the first event.'),
    turn_id: turnIdSchema.nullish().describe('Only this turn, and end with it.'),
  })
  .meta({ id: 'WsSubscribe' });
export const unsubscribeFrameSchema = z
  .strictObject({ type: z.literal('unsubscribe'), ref: z.string().max(128) })
  .meta({ id: 'WsUnsubscribe', description: 'Ends the events of that `ref`; the turn goes on.' });
export const cancelFrameSchema = z
  .strictObject({ type: z.literal('cancel'), ref: refSchema, session_id: sessionRefSchema, turn_id: turnIdSchema })
  .meta({ id: 'WsCancel' });
export const pingFrameSchema = z.strictObject({ type: z.literal('ping'), ref: refSchema }).meta({ id: 'WsPing' });

export const frameSchemas = {
  exec: execFrameSchema,
  subscribe: subscribeFrameSchema,
  unsubscribe: unsubscribeFrameSchema,
  cancel: cancelFrameSchema,
  ping: pingFrameSchema,
} as const;
export type ExecFrame = z.output<typeof execFrameSchema>;
export type SubscribeFrame = z.output<typeof subscribeFrameSchema>;
export type CancelFrame = z.output<typeof cancelFrameSchema>;

export type ClientFrame =
  | { readonly type: 'exec'; readonly frame: ExecFrame }
  | { readonly type: 'subscribe'; readonly frame: SubscribeFrame }
  | { readonly type: 'unsubscribe'; readonly frame: z.output<typeof unsubscribeFrameSchema> }
  | { readonly type: 'cancel'; readonly frame: CancelFrame }
  | { readonly type: 'ping'; readonly frame: z.output<typeof pingFrameSchema> };

export function parseFrame(value: Readonly<Record<string, unknown>>): ClientFrame {
  const type: unknown = value['type'] ?? 'exec';
  switch (type) {
    case 'exec':
      return { type, frame: validate(execFrameSchema, value, 'body') };
    case 'subscribe':
      return { type, frame: validate(subscribeFrameSchema, value, 'body') };
    case 'unsubscribe':
      return { type, frame: validate(unsubscribeFrameSchema, value, 'body') };
    case 'cancel':
      return { type, frame: validate(cancelFrameSchema, value, 'body') };
    case 'ping':
      return { type, frame: validate(pingFrameSchema, value, 'body') };
    default:
      throw invalidRequest(
        [{ field: 'type', message: `must be one of ${Object.keys(frameSchemas).join(', ')}` }],
        'body',
      );
  }
}

/** The `ref` of a frame that may not be valid otherwise, so that its error can carry it. */
export function refOf(value: Readonly<Record<string, unknown>>): string | null {
  const ref = refSchema.safeParse(value['ref']);
  return ref.success ? (ref.data ?? null) : null;
}

export const acceptedFrameSchema = z
  .object({
    type: z.literal('accepted'),
    ref: z.string().optional(),
    session_id: idSchema,
    turn_id: idSchema.optional(),
    status: z.enum(turnStatuses).optional(),
  })
  .meta({ id: 'WsAccepted', description: 'The frame was taken; for an exec, its turn exists.' });
export type AcceptedFrame = z.output<typeof acceptedFrameSchema>;

export const endedFrameSchema = z
  .object({ type: z.literal('ended'), ref: z.string().optional() })
  .meta({ id: 'WsEnded', description: 'No more events will come for this `ref`.' });
export const pongFrameSchema = z.object({ type: z.literal('pong'), ref: z.string().optional() }).meta({ id: 'WsPong' });

/** The event as it is in the log, with the ref put in front: it is not parsed on its way. */
export function eventWithRef(body: string, ref: string | null): string {
  return ref === null ? body : `{"ref":${JSON.stringify(ref)},${body.slice(1)}`;
}

/** Close codes of ours, beside the standard ones. */
export const wsCloseCodes = { restart: 1012, slowReader: 4408 } as const;
