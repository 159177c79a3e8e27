// Approvals on the wire: what Codex asked, how it stands, and how it is answered.

import * as z from 'zod';
import { approvalDecisions, approvalKinds, type ApprovalRecord, approvalStatuses } from '../core/approval.ts';
import { toTimestamp } from '../core/clock.ts';
import { isUuid } from '../core/ids.ts';
import { listQuerySchema } from './list.ts';
import { idSchema, sessionRefSchema, timestampSchema } from './names.ts';

export const approvalSchema = z
  .object({
    id: idSchema,
    object: z.literal('approval'),
    session_id: idSchema,
    turn_id: idSchema,
    item_id: z.string().nullable().describe('The item that waits for it.'),
    status: z
      .enum(approvalStatuses)
      .describe('expired: nobody answered in time, or what asked is gone; superseded: a later request took its place.'),
    kind: z.enum(approvalKinds),
    command: z.string().nullable().describe('As Codex would run it; `details.truncated` marks one that was cut.'),
    cwd: z.string().nullable(),
    patch_hash: z.string().nullable().describe('SHA-256 of the whole change; what it changes is in `details.changes`.'),
    reason: z.string().nullable().describe("The model's or Codex's words for why it asks."),
    details: z.record(z.string(), z.unknown()).describe('What else was said of it, for a person to look at.'),
    fingerprint: z.string().describe('The same for requests that are the same.'),
    decision: z.enum(approvalDecisions).nullable().describe('What Codex was told, or will be.'),
    decided_by: z
      .string()
      .nullable()
      .describe(
        'Who answered; timeout, turn_ended or worker_lost when nobody did; stored when an earlier answer applies.',
      ),
    superseded_by: idSchema.nullable().describe('The approval that took its place.'),
    created_at: timestampSchema,
    expires_at: timestampSchema.describe('It is declined then.'),
    resolved_at: timestampSchema.nullable(),
  })
  .meta({ id: 'Approval' });
export type ApprovalResource = z.output<typeof approvalSchema>;

export function toApprovalResource(approval: ApprovalRecord): ApprovalResource {
  return {
    id: approval.id,
    object: 'approval',
    session_id: approval.sessionId,
    turn_id: approval.turnId,
    item_id: approval.itemId,
    status: approval.status,
    kind: approval.subject.kind,
    command: approval.subject.command,
    cwd: approval.subject.cwd,
    patch_hash: approval.subject.patchHash,
    reason: approval.reason,
    details: { ...approval.details },
    fingerprint: approval.fingerprint,
    decision: approval.decision,
    decided_by: approval.decidedBy,
    superseded_by: approval.supersededBy,
    created_at: toTimestamp(approval.createdAt),
    expires_at: toTimestamp(approval.expiresAt),
    resolved_at: approval.resolvedAt === null ? null : toTimestamp(approval.resolvedAt),
  };
}

const approvalIdSchema = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(isUuid, { error: 'must be the id of an approval, a UUID' })
  .meta({ format: 'uuid' });

export const approvalPathSchema = z.strictObject({ approval_id: approvalIdSchema });

export const approvalsQuerySchema = listQuerySchema.extend({
  session_id: sessionRefSchema.optional().describe('Only those of this session.'),
  status: z.enum(approvalStatuses).optional(),
});

export const decisionRequestSchema = z
  .strictObject({
    decision: z
      .enum(approvalDecisions)
      .describe(
        'accept: this once; accept_for_session: and whenever the session asks the same again; decline: the turn goes on without it; cancel: the turn ends.',
      ),
  })
  .meta({ id: 'DecisionRequest' });
