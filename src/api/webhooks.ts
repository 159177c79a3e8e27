// Webhooks on the wire: endpoints and deliveries, and what a receiver is told.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { isUuid } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import {
  type DeliveryAttempt,
  type DeliveryRecord,
  deliveryStatuses,
  disabledReasons,
  type Notice,
  type NoticeType,
  noticeTypes,
  testNoticeType,
  type WebhookRecord,
} from '../core/webhook.ts';
import { cutNotice, cutSentence } from './cut-notice.ts';
import { listQuerySchema } from './list.ts';
import { idSchema, timestampSchema } from './names.ts';
import { toSessionResource } from './sessions.ts';
import { textSchema } from './text.ts';
import { toTurnResource } from './turns.ts';
import { receiverUrlSchema } from './webhook-fields.ts';

const eventsSchema = z
  .array(z.enum(noticeTypes))
  .min(1, { error: 'must name at least one type, or be absent for all' })
  .max(noticeTypes.length)
  .transform((types) => [...new Set(types)])
  .describe('The types that it is told of.');
const descriptionSchema = textSchema({ min: 1, max: 512 });

export const createWebhookRequestSchema = z
  .strictObject({
    url: receiverUrlSchema.describe('Where it is told: an https URL at a public address.'),
    events: eventsSchema.nullish().describe('The types that it is told of. Absent: all, also those to come.'),
    description: descriptionSchema.nullish(),
    disabled: z.boolean().nullish().describe('Made now, told later.'),
  })
  .meta({ id: 'CreateWebhookRequest', examples: [{ url: 'https://example.com/hooks', events: ['turn.completed'] }] });

export const patchWebhookRequestSchema = z
  .strictObject({
    url: receiverUrlSchema.optional(),
    events: eventsSchema.nullable().optional().describe('null: all, also those to come.'),
    description: descriptionSchema.nullable().optional().describe('null takes it away.'),
    disabled: z.boolean().optional().describe('false: it is told again, whyever it was disabled.'),
  })
  .meta({ id: 'PatchWebhookRequest' });
export type PatchWebhookRequest = z.output<typeof patchWebhookRequestSchema>;

const maxOverlapMs = 7 * 24 * 3_600_000;
export const defaultOverlapMs = 24 * 3_600_000;

export const rotateSecretRequestSchema = z
  .strictObject({
    overlap_ms: z
      .int()
      .min(0)
      .max(maxOverlapMs)
      .nullish()
      .describe('How long those before it go on signing beside the new one; 24 hours.'),
  })
  .meta({ id: 'RotateSecretRequest' });

/** The record as the patch would have it. */
export function patchedWebhook(webhook: WebhookRecord, patch: PatchWebhookRequest): WebhookRecord {
  const isMoved = patch.url !== undefined && patch.url !== webhook.url;
  const isEnabled = patch.disabled === false;
  return {
    ...webhook,
    url: patch.url ?? webhook.url,
    types: patch.events === undefined ? webhook.types : patch.events,
    description: patch.description === undefined ? webhook.description : patch.description,
    disabled: isEnabled ? null : patch.disabled === true ? 'user' : webhook.disabled,
    // What was tried elsewhere, or before somebody looked after it, does not count against it.
    failingSince: isEnabled || isMoved ? null : webhook.failingSince,
  };
}

export const webhookSchema = z
  .object({
    id: idSchema,
    object: z.literal('webhook'),
    url: z.string(),
    events: z.array(z.string()).nullable().describe('null: all, also those to come.'),
    description: z.string().nullable(),
    status: z.enum(['enabled', 'disabled']),
    disabled_reason: z
      .enum(disabledReasons)
      .nullable()
      .describe('user: by you; failing: nothing arrived for a day; gone: it answered 410.'),
    failing_since: timestampSchema.nullable().describe('Since when nothing of what was tried has arrived.'),
    created_by: z.string(),
    created_at: timestampSchema,
  })
  .meta({ id: 'Webhook' });
export type WebhookResource = z.output<typeof webhookSchema>;

export const webhookWithSecretSchema = webhookSchema
  .extend({ secret: z.string().describe('Shown in this answer alone; verify signatures with it.') })
  .meta({ id: 'WebhookWithSecret' });

export function toWebhookResource(webhook: WebhookRecord): WebhookResource {
  return {
    id: webhook.id,
    object: 'webhook',
    url: webhook.url,
    events: webhook.types === null ? null : [...webhook.types],
    description: webhook.description,
    status: webhook.disabled === null ? 'enabled' : 'disabled',
    disabled_reason: webhook.disabled,
    failing_since: webhook.failingSince === null ? null : toTimestamp(webhook.failingSince),
    created_by: webhook.createdBy,
    created_at: toTimestamp(webhook.createdAt),
  };
}

export function toWebhookWithSecret(webhook: WebhookRecord): z.output<typeof webhookWithSecretSchema> {
  return { ...toWebhookResource(webhook), secret: webhook.secrets[0]?.secret ?? '' };
}

const deliveryTypes = [...noticeTypes, testNoticeType] as const satisfies readonly (
  | NoticeType
  | typeof testNoticeType
)[];

const attemptSchema = z.object({
  at: timestampSchema,
  duration_ms: z.int(),
  http_status: z.int().nullable().describe('null where there was no answer.'),
  error: z.string().nullable().describe('Why it counts as failed; null: it arrived.'),
});

const deliveryFields = {
  id: z.string().describe('What the receiver is told as `webhook-id`, in all attempts.'),
  object: z.literal('delivery'),
  webhook_id: idSchema.nullable().describe('null for the receiver of a job.'),
  job_id: idSchema.nullable().describe('The job whose receiver is told; null for a webhook.'),
  type: z.enum(deliveryTypes),
  status: z.enum(deliveryStatuses).describe('failed: it was given up.'),
  attempt_count: z.int(),
  last_attempt: attemptSchema.nullable(),
  next_attempt_at: timestampSchema.nullable(),
  give_up_at: timestampSchema,
  replay_of: z.string().nullable().describe('The delivery that this one repeats.'),
  created_at: timestampSchema,
  ended_at: timestampSchema.nullable(),
};

export const deliverySchema = z.object(deliveryFields).meta({ id: 'Delivery' });
export type DeliveryResource = z.output<typeof deliverySchema>;

export const deliveryDetailSchema = z
  .object({
    ...deliveryFields,
    attempts: z.array(attemptSchema).describe('The last of them, in order.'),
    payload: z
      .object({ type: z.enum(deliveryTypes), timestamp: timestampSchema, data: z.unknown() })
      .describe('What is sent; `timestamp` is when it happened.'),
  })
  .meta({ id: 'DeliveryDetail' });

export function toDeliveryResource(delivery: DeliveryRecord): DeliveryResource {
  const { dueAt, endedAt, target } = delivery;
  const last = delivery.attempts.at(-1);
  return {
    id: delivery.id,
    object: 'delivery',
    webhook_id: target.kind === 'webhook' ? target.id : null,
    job_id: target.kind === 'job' ? target.id : null,
    type: delivery.type,
    status: delivery.status,
    attempt_count: delivery.attemptCount,
    last_attempt: last === undefined ? null : toAttempt(last),
    next_attempt_at: dueAt === null ? null : toTimestamp(dueAt),
    give_up_at: toTimestamp(delivery.giveUpAt),
    replay_of: delivery.replayOf,
    created_at: toTimestamp(delivery.createdAt),
    ended_at: endedAt === null ? null : toTimestamp(endedAt),
  };
}

export function toDeliveryDetail(delivery: DeliveryRecord): z.output<typeof deliveryDetailSchema> {
  return {
    ...toDeliveryResource(delivery),
    attempts: delivery.attempts.map(toAttempt),
    payload: {
      type: delivery.type,
      timestamp: toTimestamp(delivery.noticeAt),
      data: JSON.parse(delivery.data) as unknown,
    },
  };
}

function toAttempt({ at, durationMs, error, httpStatus }: DeliveryAttempt): z.output<typeof attemptSchema> {
  return { at: toTimestamp(at), duration_ms: Math.round(durationMs), http_status: httpStatus, error };
}

/** Of an error, in a notice. */
const mostErrorCharacters = 4_096;

/** What those are told who want to know of turns: not what was asked, and of a long answer its beginning. */
export function toTurnNotice(turn: TurnRecord, nowMs: number): object {
  const resource = toTurnResource(turn, nowMs);
  const { error, output_schema: _schema, prompt: _prompt, stderr, stdout, steers: _steers, ...told } = resource;
  const rest = {
    ...told,
    stderr: cutSentence(stderr, mostErrorCharacters),
    error: error === null ? null : { ...error, message: cutSentence(error.message, mostErrorCharacters) },
  };
  const { isCut, text } = cutNotice(stdout, rest);
  return { ...rest, stdout: text, truncated: isCut };
}

/** What those are told who want to know of sessions: not what its snapshots leave out, which alone can fill a notice. */
export function toSessionNotice(session: SessionRecord): object {
  const { snapshot_exclude: _paths, ...told } = toSessionResource(session);
  return told;
}

/** The same, whoever says it and when: who made the session does, and so does its first owner. */
export function createdNotice(session: SessionRecord): Notice {
  const { createdAt, id, tenant } = session;
  const type = 'session.created';
  const data = JSON.stringify(toSessionNotice(session));
  return {
    tenant,
    identity: `${id} ${type}`,
    lane: id,
    order: 0,
    sessionId: id,
    jobId: null,
    type,
    at: createdAt,
    data,
  };
}

export const webhookIdSchema = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(isUuid, { error: 'must be the id of a webhook, a UUID' })
  .meta({ format: 'uuid' });

export const webhookPathSchema = z.strictObject({ webhook_id: webhookIdSchema });

export const deliveryPathSchema = webhookPathSchema.extend({
  delivery_id: z.string().regex(/^[A-Za-z0-9_-]{1,128}$/, { error: 'must be the id of a delivery' }),
});

export const deliveriesQuerySchema = listQuerySchema.extend({ status: z.enum(deliveryStatuses).optional() });

export const deletedWebhookSchema = z
  .object({ id: idSchema, object: z.literal('webhook'), deleted: z.literal(true) })
  .meta({ id: 'DeletedWebhook' });
