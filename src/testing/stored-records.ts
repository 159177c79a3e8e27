// Session, turn and approval records with nothing special about them, for tests to say what is.

import type { ApprovalRecord } from '../core/approval.ts';
import { defaultPolicy, type SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { noUsage } from '../core/usage.ts';

/** The moment that the ids of tests, 019f0000-0000-7…, say they were minted at. */
const createdAt = 0x019f00000000;

export function sessionRecord(changes: Partial<SessionRecord> = {}): SessionRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-000000000001',
    alias: null,
    epoch: 1,
    worker: null,
    boot: null,
    revision: 1,
    status: 'idle',
    title: null,
    metadata: {},
    createdBy: 'token',
    model: null,
    policy: defaultPolicy,
    usage: noUsage,
    snapshot: null,
    start: null,
    untold: [],
    crashes: 0,
    createdAt,
    lastAccessedAt: createdAt,
    ...changes,
  };
}

export function turnRecord(changes: Partial<TurnRecord> = {}): TurnRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000a1',
    sessionId: '019f0000-0000-7000-8000-000000000001',
    revision: 1,
    status: 'queued',
    reason: null,
    prompt: 'say hello',
    model: null,
    effort: null,
    outputSchema: null,
    continues: null,
    steers: [],
    timeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    requestHash: null,
    queuePosition: 1,
    finalMessage: '',
    error: null,
    usage: noUsage,
    base: null,
    createdAt,
    startedAt: null,
    endedAt: null,
    ...changes,
  };
}

export function approvalRecord(changes: Partial<ApprovalRecord> = {}): ApprovalRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000b1',
    sessionId: '019f0000-0000-7000-8000-000000000001',
    turnId: '019f0000-0000-7000-8000-0000000000a1',
    revision: 1,
    status: 'pending',
    subject: { kind: 'command', command: 'make deploy', cwd: '/s/ws', patchHash: null },
    fingerprint: 'f'.repeat(64),
    reason: null,
    itemId: 'item-1',
    details: {},
    decision: null,
    decidedBy: null,
    supersededBy: null,
    createdAt,
    expiresAt: createdAt + 86_400_000,
    resolvedAt: null,
    ...changes,
  };
}
