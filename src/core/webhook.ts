// Who wants to be told of what happens, and what was told: endpoints of tenants and the deliveries to them.
// Pure steps on records; signing, sending and the choice of receivers are elsewhere.

import type { SessionId, TenantId } from './ids.ts';

/** What can be told. Terminal events of turns, and what a person or a program outside has to act upon. */
export const noticeTypes = [
  'turn.requires_action',
  'turn.completed',
  'turn.failed',
  'turn.cancelled',
  'turn.interrupted',
  'turn.timed_out',
  'approval.requested',
  'approval.resolved',
  'session.created',
  'session.recovered',
  'session.quarantined',
  'session.deleted',
  'job.started',
  'job.retrying',
  'job.completed',
  'job.failed',
  'job.cancelled',
  'budget.exhausted',
] as const;
export type NoticeType = (typeof noticeTypes)[number];

/** By which an operator or a tenant asks whether a delivery arrives; sent to the endpoint that was asked about. */
export const testNoticeType = 'webhook.test';

/** One thing that happened, to be told at least once to everybody who wants to know. */
export type Notice = {
  readonly tenant: TenantId;
  /** The same for the same thing, however often it is said and by whom; unique within the tenant. */
  readonly identity: string;
  /** What is told in order: a turn's id, a job's, or a session's for what belongs to no turn. */
  readonly lane: string;
  /** Grows within the lane. */
  readonly order: number;
  /** Whose words are in it: it goes when this session is erased. null: no session's. */
  readonly sessionId: SessionId | null;
  /** As `sessionId`, of the job that it is about. */
  readonly jobId: string | null;
  readonly type: NoticeType | typeof testNoticeType;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The resource that it is about, as JSON in the words of the API. */
  readonly data: string;
};

/** Begins with `whsec_`; what follows is the key in base64, as Standard Webhooks has it. */
export type WebhookSecret = {
  readonly secret: string;
  /** Signs beside its successor until then; null: until it is replaced. */
  readonly endsAt: number | null;
};

/** user: by the tenant; failing: nothing arrived for a day; gone: it answered 410. */
export const disabledReasons = ['user', 'failing', 'gone'] as const;
export type DisabledReason = (typeof disabledReasons)[number];

export type WebhookRecord = {
  readonly tenant: TenantId;
  readonly id: string;
  readonly revision: number;
  readonly url: string;
  /** The newest first; never empty. */
  readonly secrets: readonly WebhookSecret[];
  /** null: all of them, also those to come. */
  readonly types: readonly NoticeType[] | null;
  readonly description: string | null;
  /** null: deliveries are made. */
  readonly disabled: DisabledReason | null;
  /** Since when nothing has arrived, of what was tried; null after a success. */
  readonly failingSince: number | null;
  readonly createdBy: string;
  readonly createdAt: number;
};

/** Who is told: an endpoint of the tenant's, the receiver that a job names, or the fleet's topic. */
export type DeliveryTarget =
  | { readonly kind: 'webhook'; readonly id: string }
  | { readonly kind: 'job'; readonly id: string }
  | { readonly kind: 'topic'; readonly id: 'topic' };

export const deliveryStatuses = ['pending', 'delivered', 'failed'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

export type DeliveryAttempt = {
  readonly at: number;
  readonly durationMs: number;
  /** null where there was no answer. */
  readonly httpStatus: number | null;
  /** Why it counts as failed, in a few words; null: it arrived. */
  readonly error: string | null;
};

export type DeliveryRecord = {
  readonly tenant: TenantId;
  /** What the receiver is told as `webhook-id`: the same in all attempts. Follows from target and notice. */
  readonly id: string;
  readonly revision: number;
  readonly target: DeliveryTarget;
  readonly type: Notice['type'];
  /** Of this target; nothing of a lane is sent before what comes earlier in it has arrived or was given up. */
  readonly lane: string;
  readonly order: number;
  /** The notice's; with `jobId` and `target` that by which it is erased. */
  readonly sessionId: SessionId | null;
  readonly jobId: string | null;
  /** When what it tells happened. */
  readonly noticeAt: number;
  /** The resource that it is about, as JSON. */
  readonly data: string;
  readonly status: DeliveryStatus;
  /** The last of them, in order. */
  readonly attempts: readonly DeliveryAttempt[];
  readonly attemptCount: number;
  /** Of the next attempt; null once it has ended. */
  readonly dueAt: number | null;
  /** When it is given up. */
  readonly giveUpAt: number;
  /** The delivery that this one repeats, as a client asked for. */
  readonly replayOf: string | null;
  readonly createdAt: number;
  readonly endedAt: number | null;
};

/** Of one delivery, the last: so many are kept in its record. */
export const keptDeliveryAttempts = 20;

export const deliveryPatienceMs = 24 * 3_600_000;

/** Between attempts: the seconds of the first, then minutes, then hours, until a day is over. */
const delaysMs = [5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400].map((seconds) => seconds * 1_000);

/** How long after the nth failure the next attempt is due. `random`: 0 to 1; a fifth of it is left to chance. */
export function redeliveryDelayMs(failures: number, random: number): number {
  const delayMs = delaysMs[Math.min(failures, delaysMs.length) - 1] ?? 0;
  return Math.round(delayMs * (0.9 + 0.2 * random));
}

/** What the answer asks for beyond its status. */
export type DeliveryWish = {
  /** Not before so much later; null: nothing was said. */
  readonly retryAfterMs: number | null;
  /** It is not to be tried again. */
  readonly isFinal: boolean;
};

const noWish: DeliveryWish = { retryAfterMs: null, isFinal: false };

/**
 * After this attempt: arrived, given up, or due again. The last one is made when it would be given up, however
 * long the delays have become: who is back after a day less a minute gets it.
 */
export function attemptedDelivery(
  delivery: DeliveryRecord,
  attempt: DeliveryAttempt,
  nowMs: number,
  random: number,
  wish: DeliveryWish = noWish,
): DeliveryRecord {
  const attempts = [...delivery.attempts, attempt].slice(-keptDeliveryAttempts);
  const attemptCount = delivery.attemptCount + 1;
  const tried = { ...delivery, attempts, attemptCount };
  if (attempt.error === null) return { ...tried, status: 'delivered', dueAt: null, endedAt: nowMs };
  if (wish.isFinal || nowMs >= delivery.giveUpAt) return { ...tried, status: 'failed', dueAt: null, endedAt: nowMs };
  const delayMs = Math.max(redeliveryDelayMs(attemptCount, random), wish.retryAfterMs ?? 0);
  return { ...tried, dueAt: Math.min(nowMs + delayMs, delivery.giveUpAt) };
}

/** Nothing more is sent: its last entry says why, and is not counted as an attempt. */
export function abandonedDelivery(delivery: DeliveryRecord, reason: string, nowMs: number): DeliveryRecord {
  const entry: DeliveryAttempt = { at: nowMs, durationMs: 0, httpStatus: null, error: reason };
  const attempts = [...delivery.attempts, entry].slice(-keptDeliveryAttempts);
  return { ...delivery, attempts, status: 'failed', dueAt: null, endedAt: nowMs };
}

/** `id` follows from the target and the notice's identity. */
export function newDelivery(notice: Notice, target: DeliveryTarget, id: string, nowMs: number): DeliveryRecord {
  return {
    tenant: notice.tenant,
    id,
    revision: 1,
    target,
    type: notice.type,
    lane: `${target.id}/${notice.lane}`,
    order: notice.order,
    sessionId: notice.sessionId,
    jobId: notice.jobId,
    noticeAt: notice.at,
    data: notice.data,
    status: 'pending',
    attempts: [],
    attemptCount: 0,
    dueAt: nowMs,
    giveUpAt: nowMs + deliveryPatienceMs,
    replayOf: null,
    createdAt: nowMs,
    endedAt: null,
  };
}

/** The same told again, as a client asks for: under another id, and in nobody's order. */
export function replayedDelivery(delivery: DeliveryRecord, id: string, nowMs: number): DeliveryRecord {
  const { data, jobId, noticeAt: at, sessionId, tenant, type } = delivery;
  const notice: Notice = { tenant, identity: id, lane: `replay/${id}`, order: 0, sessionId, jobId, type, at, data };
  return { ...newDelivery(notice, delivery.target, id, nowMs), replayOf: delivery.id };
}

/** Whose lane it is: an id without a slash, of a webhook or a job, or `topic`. */
export function targetIdOfLane(lane: string): string {
  const end = lane.indexOf('/');
  return end === -1 ? lane : lane.slice(0, end);
}

/** A question about an endpoint is for that endpoint alone: its notice's lane is the endpoint's id. */
export function wantsNotice(webhook: WebhookRecord, { lane, type }: Pick<Notice, 'lane' | 'type'>): boolean {
  if (webhook.disabled !== null) return false;
  if (type === testNoticeType) return webhook.id === lane;
  return webhook.types === null || webhook.types.includes(type);
}

/** Those that sign now; never none, whatever the clock says. */
export function signingSecrets({ secrets }: Pick<WebhookRecord, 'secrets'>, nowMs: number): readonly string[] {
  const valid = secrets.filter(({ endsAt }, index) => index === 0 || endsAt === null || endsAt > nowMs);
  return valid.map(({ secret }) => secret);
}

/** null when it is known already, or nobody is to be told anything. */
export function failingWebhook(webhook: WebhookRecord, sinceMs: number): WebhookRecord | null {
  return webhook.failingSince !== null || webhook.disabled !== null ? null : { ...webhook, failingSince: sinceMs };
}

export function recoveredWebhook(webhook: WebhookRecord): WebhookRecord | null {
  return webhook.failingSince === null ? null : { ...webhook, failingSince: null };
}

export function disabledWebhook(webhook: WebhookRecord, reason: DisabledReason): WebhookRecord | null {
  return webhook.disabled !== null ? null : { ...webhook, disabled: reason };
}

/** Whether nothing has arrived for so long that nothing more is sent. */
export function isHopeless({ failingSince }: Pick<WebhookRecord, 'failingSince'>, nowMs: number): boolean {
  return failingSince !== null && nowMs - failingSince >= deliveryPatienceMs;
}
