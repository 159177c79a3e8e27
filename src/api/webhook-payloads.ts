// What webhooks are told, as the OpenAPI document has it: a body for each type, around the resource that it is about.

import * as z from 'zod';
import { type NoticeType, noticeTypes } from '../core/webhook.ts';
import { approvalSchema } from './approvals.ts';
import { jobSchema } from './jobs.ts';
import { idSchema, timestampSchema } from './names.ts';
import { deletedSessionSchema, sessionSchema } from './sessions.ts';
import { turnSchema } from './turns.ts';

const truncatedSchema = z.boolean().describe("The agent's message was longer; ask for the resource to have all of it.");

export const turnNoticeSchema = turnSchema
  .omit({ prompt: true, output_schema: true, steers: true })
  .extend({ truncated: truncatedSchema })
  .meta({ id: 'TurnNotice' });

export const jobNoticeSchema = jobSchema
  .omit({ prompt: true, output_schema: true, webhook: true })
  .extend({ truncated: truncatedSchema })
  .meta({ id: 'JobNotice' });

const waitingTurnSchema = z
  .object({
    id: idSchema,
    object: z.literal('turn'),
    session_id: idSchema,
    status: z.literal('requires_action'),
    approval: approvalSchema,
  })
  .meta({ id: 'WaitingTurnNotice' });

function dataOf(type: NoticeType): z.ZodType {
  if (type === 'turn.requires_action') return waitingTurnSchema;
  if (type.startsWith('turn.') || type === 'budget.exhausted') return turnNoticeSchema;
  if (type.startsWith('job.')) return jobNoticeSchema;
  if (type === 'session.deleted') return deletedSessionSchema;
  return type.startsWith('approval.') ? approvalSchema : sessionSchema;
}

export type NoticePayload = { readonly type: NoticeType; readonly schema: z.ZodType };

export const noticePayloads: readonly NoticePayload[] = noticeTypes.map((type) => ({
  type,
  schema: z.object({
    type: z.literal(type),
    timestamp: timestampSchema.describe('When it happened.'),
    data: dataOf(type),
  }),
}));
