// Records with nothing special about them, for tests to say what is.

import type { ApprovalRecord } from '../core/approval.ts';
import { type JobRecord, type JobSpec, newJob, noRetry } from '../core/job.ts';
import type { ScheduleRecord } from '../core/schedule.ts';
import { defaultPolicy, type SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { noUsage } from '../core/usage.ts';
import type { DeliveryRecord, WebhookRecord } from '../core/webhook.ts';

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

export function jobSpec(changes: Partial<JobSpec> = {}): JobSpec {
  return {
    prompt: 'say hello',
    sessionRef: null,
    model: null,
    effort: null,
    outputSchema: null,
    timeoutMs: 60_000,
    queueTimeoutMs: 60_000,
    retry: noRetry,
    metadata: {},
    webhook: null,
    ...changes,
  };
}

export function jobRecord(changes: Partial<JobRecord> = {}): JobRecord {
  return {
    ...newJob,
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000c1',
    spec: jobSpec(),
    source: 'api',
    scheduleId: null,
    requestHash: null,
    requestId: null,
    createdBy: 'token',
    dueAt: createdAt,
    createdAt,
    ...changes,
  };
}

export function scheduleRecord(changes: Partial<ScheduleRecord> = {}): ScheduleRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000d1',
    revision: 1,
    title: null,
    cron: '0 6 * * *',
    timeZone: 'UTC',
    spec: jobSpec(),
    overlap: 'skip',
    missed: 'run_once',
    isPaused: false,
    dueAt: createdAt + 3_600_000,
    lastRunAt: null,
    lastJobId: null,
    createdBy: 'token',
    createdAt,
    ...changes,
  };
}

export function webhookRecord(changes: Partial<WebhookRecord> = {}): WebhookRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000e1',
    revision: 1,
    url: 'https://hooks.example.com/fleet',
    secrets: [{ secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', endsAt: null }],
    types: null,
    description: null,
    disabled: null,
    failingSince: null,
    createdBy: 'token',
    createdAt,
    ...changes,
  };
}

export function deliveryRecord(changes: Partial<DeliveryRecord> = {}): DeliveryRecord {
  return {
    tenant: 'acme',
    id: '019f0000-0000-7000-8000-0000000000f1',
    revision: 1,
    target: { kind: 'webhook', id: '019f0000-0000-7000-8000-0000000000e1' },
    type: 'turn.completed',
    lane: '019f0000-0000-7000-8000-0000000000e1/019f0000-0000-7000-8000-0000000000a1',
    order: 1,
    sessionId: '019f0000-0000-7000-8000-000000000001',
    jobId: null,
    noticeAt: createdAt,
    data: '{}',
    status: 'pending',
    attempts: [],
    attemptCount: 0,
    dueAt: createdAt,
    giveUpAt: createdAt + 86_400_000,
    replayOf: null,
    createdAt,
    endedAt: null,
    ...changes,
  };
}
