// What a worker sends to the store door of the session managers: paths, headers, and the form of what is asked. Of a
// question every field must be known here: a newer end is refused in words, not half understood. Of a record those
// that we know are looked at and the others are kept, as the stores keep them: a newer gateway may have written some.

import * as z from 'zod';
import { approvalDecisions, approvalKinds, approvalStatuses } from '../core/approval.ts';
import { approvalPolicies, sandboxModes, sessionStatuses } from '../core/session.ts';
import { turnStatuses } from '../core/turn.ts';
import { noticeTypes } from '../core/webhook.ts';

/** How long the one who asks waits for this attempt, in milliseconds: nobody works for longer than that. */
export const deadlineHeader = 'fleet-deadline-ms';
/** What is asked where the body is octets: JSON in base64url. */
export const storeFactsHeader = 'fleet-facts';

/** Of a question with records: what a commit of Firestore holds, with room for what is around them. */
export const mostQuestionBytes = 10 * 1024 * 1024;
/** A page is cut behind the record that goes beyond; then `hasMore` says so. */
export const pageBytes = 8 * 1024 * 1024;
/** Of an answer in JSON: a page and its last record, or the names of very many objects. */
export const mostAnswerBytes = 32 * 1024 * 1024;

const id = z.string().min(1).max(256);
const name = z.string().max(4096);
const revision = z.int().min(1);
const count = z.int().min(0);
const at = z.number();
const sessionKey = z.strictObject({ tenant: id, sessionId: id });
const recordKey = z.strictObject({ tenant: id, id });

/** As contracts/snapshots.ts has it; looked at again where it becomes a path or an address. */
export const objectNamePattern = /^[a-z0-9][a-z0-9._-]{0,127}$/;
const objectName = z.string().regex(objectNamePattern);

const snapshotRef = z.looseObject({
  object: objectName,
  sha256: z.string().max(128),
  turnId: id.nullable(),
  lastSeq: count,
  takenAt: at,
  rolloutBytes: count,
});
const usage = z.looseObject({
  inputTokens: z.number(),
  cachedInputTokens: z.number(),
  outputTokens: z.number(),
  reasoningOutputTokens: z.number(),
  costUsd: z.number().nullable(),
});

/** Of the last writes, the latest first: who lost the answer to one finds it again below those of others. */
export const marksOf = z.array(z.string().max(64)).max(32);
const marks = marksOf.optional();

const session = z.looseObject({
  tenant: id,
  id,
  alias: id.nullable(),
  epoch: z.int().min(1),
  worker: id.nullable(),
  boot: id.nullable(),
  revision,
  status: z.enum(sessionStatuses),
  title: z.string().nullable(),
  metadata: z.record(z.string(), z.string()),
  createdBy: name,
  model: name.nullable(),
  policy: z.looseObject({
    sandbox: z.enum(sandboxModes),
    approvals: z.enum(approvalPolicies),
    snapshotExclude: z.array(z.string()),
  }),
  usage,
  snapshot: snapshotRef.nullable(),
  start: z.union([snapshotRef, z.literal('empty')]).nullable(),
  untold: z.array(id),
  unsealed: z.array(id).optional(),
  crashes: count,
  createdAt: at,
  lastAccessedAt: at,
  marks,
});

const turn = z.looseObject({
  tenant: id,
  id,
  sessionId: id,
  revision,
  status: z.enum(turnStatuses),
  reason: name.nullable(),
  prompt: z.string(),
  model: name.nullable(),
  steers: z.array(z.looseObject({ id, text: z.string(), at })),
  timeoutMs: z.number(),
  queueTimeoutMs: z.number(),
  finalMessage: z.string(),
  error: z.looseObject({ code: name, message: z.string() }).nullable(),
  usage,
  base: snapshotRef.nullable(),
  createdAt: at,
  startedAt: at.nullable(),
  endedAt: at.nullable(),
  marks,
});

const approval = z.looseObject({
  tenant: id,
  id,
  sessionId: id,
  turnId: id,
  revision,
  status: z.enum(approvalStatuses),
  subject: z.looseObject({ kind: z.enum(approvalKinds) }),
  fingerprint: name,
  details: z.looseObject({}),
  decision: z.enum(approvalDecisions).nullable(),
  createdAt: at,
  expiresAt: at,
  resolvedAt: at.nullable(),
  marks,
});

const query = z.strictObject({
  after: id.nullable(),
  limit: z.int().min(1).max(100),
  order: z.enum(['asc', 'desc']),
});

/** What a worker has to tell: of turns, approvals and sessions. Of jobs and webhooks others tell. */
const toldTypes = noticeTypes.filter((type) => !type.startsWith('job.') && type !== 'session.deleted');
const notice = z.looseObject({
  tenant: id,
  identity: z.string().min(1).max(1024),
  lane: id,
  order: z.number(),
  sessionId: id.nullable(),
  jobId: z.null(),
  type: z.enum(toldTypes),
  at,
  data: z.string(),
});

/** Asked in JSON, answered in JSON. */
export const storeCalls = {
  describe: z.strictObject({}),
  'sessions.create': z.strictObject({ record: session }),
  'sessions.get': recordKey,
  'sessions.replace': z.strictObject({ record: session }),
  'sessions.erase': recordKey,
  'turns.create': z.strictObject({ record: turn }),
  'turns.get': recordKey,
  'turns.replace': z.strictObject({ record: turn }),
  'turns.list-open-of': z.strictObject({ tenant: id, sessionId: id, query }),
  'approvals.create': z.strictObject({ record: approval }),
  'approvals.get': recordKey,
  'approvals.replace': z.strictObject({ record: approval }),
  'approvals.list': z.strictObject({
    tenant: id,
    filter: z.strictObject({ sessionId: id, status: z.enum(approvalStatuses).nullable() }),
    query,
  }),
  commit: z.strictObject({ session, turn }),
  tell: z.strictObject({ notices: z.array(notice).min(1).max(1_000) }),
  'objects.list': sessionKey,
  'objects.remove': z.strictObject({ key: sessionKey, names: z.array(objectName).max(100_000) }),
  'objects.erase': sessionKey,
} as const;
export type StoreCall = keyof typeof storeCalls;
export type StoreAsked<C extends StoreCall> = z.output<(typeof storeCalls)[C]>;

export function storePath(call: StoreCall | 'objects.read' | 'objects.put'): string {
  return `/stores/v1/${call}`;
}

/** Asked in JSON; answered 204 where there is no such object, else its octets with their sum. */
export const readObjectAsked = z.strictObject({
  key: sessionKey,
  name: objectName,
  range: z.strictObject({ offset: count, length: count }).nullable(),
});
/** Asked in facts, with octets and their sum as the body. */
export const putObjectFacts = z.strictObject({ key: sessionKey, name: objectName });

/** What the one who asked looks at of a record: that it is the one, and its revision. The rest is the stores' word. */
export const answeredRecord = z.looseObject({ tenant: id, id, revision, marks });
export const answers = {
  record: z.object({ record: answeredRecord.nullable() }),
  created: z.object({ outcome: z.enum(['created', 'exists']), record: answeredRecord }),
  page: z.object({ data: z.array(answeredRecord), hasMore: z.boolean() }),
  committed: z.object({ written: z.object({ session: answeredRecord, turn: answeredRecord }).nullable() }),
  objects: z.object({ objects: z.array(z.object({ name: z.string(), bytes: count })) }),
  description: z.object({ truth: z.string().min(1).max(8192), fleetVersion: z.string() }),
  nothing: z.object({}),
} as const;
