// A question that Codex asked and that a person or a policy must answer (design D7). Pure steps on a
// record; who asks, who stores it and who tells the client is not decided here.

import type { SessionId, TenantId, TurnId } from './ids.ts';

export const approvalDecisions = ['accept', 'accept_for_session', 'decline', 'cancel'] as const;
export type ApprovalDecision = (typeof approvalDecisions)[number];

export const approvalKinds = ['command', 'file_change', 'permissions'] as const;
export type ApprovalKind = (typeof approvalKinds)[number];

/**
 * pending → decided | expired | superseded. expired: nobody answered in time, or the process that asked
 * is gone; superseded: a later request of the same turn's continuation took its place.
 */
export const approvalStatuses = ['pending', 'decided', 'expired', 'superseded'] as const;
export type ApprovalStatus = (typeof approvalStatuses)[number];

/** What is asked for. Two requests are the same when all of this is equal. */
export type ApprovalSubject = {
  readonly kind: ApprovalKind;
  /** As Codex would run it; null for another kind. */
  readonly command: string | null;
  readonly cwd: string | null;
  /** SHA-256 of the change as Codex described it, hexadecimal; null for another kind. */
  readonly patchHash: string | null;
};

export type ApprovalRecord = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly sessionId: SessionId;
  readonly turnId: TurnId;
  readonly revision: number;
  readonly status: ApprovalStatus;
  readonly subject: ApprovalSubject;
  /** SHA-256 of the subject, hexadecimal: a stored acceptance applies to an identical request only. */
  readonly fingerprint: string;
  /** Codex's words for why it asks. */
  readonly reason: string | null;
  /** The item that waits for it. */
  readonly itemId: string | null;
  /** What else Codex said of it, for a person to look at. Wire names. */
  readonly details: Readonly<Record<string, unknown>>;
  readonly decision: ApprovalDecision | null;
  /** The principal's name; `timeout`, `worker_lost`, `turn_ended` or `stored` when none decided. */
  readonly decidedBy: string | null;
  /** The approval that took its place; null unless superseded. */
  readonly supersededBy: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly resolvedAt: number | null;
};

/** null when it is settled already: the first answer stands. */
export function decidedApproval(
  approval: ApprovalRecord,
  decision: ApprovalDecision,
  decidedBy: string,
  nowMs: number,
): ApprovalRecord | null {
  if (approval.status !== 'pending') return null;
  return { ...approval, status: 'decided', decision, decidedBy, resolvedAt: nowMs };
}

/** Nobody will answer it any more. null when it is settled already. */
export function expiredApproval(approval: ApprovalRecord, why: string, nowMs: number): ApprovalRecord | null {
  if (approval.status !== 'pending') return null;
  return { ...approval, status: 'expired', decision: 'decline', decidedBy: why, resolvedAt: nowMs };
}

/** Another request took the place of one that was accepted or had expired unanswered. */
export function supersededApproval(approval: ApprovalRecord, by: string, nowMs: number): ApprovalRecord | null {
  if (approval.status === 'superseded') return null;
  return { ...approval, status: 'superseded', supersededBy: by, resolvedAt: approval.resolvedAt ?? nowMs };
}
