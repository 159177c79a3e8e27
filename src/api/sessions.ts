// Sessions on the wire.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import {
  approvalPolicies,
  durabilities,
  interruptPolicies,
  sandboxModes,
  sessionStatuses,
  type SessionPolicy,
  type SessionRecord,
} from '../core/session.ts';
import { pathProblem } from '../core/workspace-path.ts';
import { maxApprovalTimeoutMs, maxInstructionsCodePoints, maxMetadataEntries, maxSnapshotExcludes } from './limits.ts';
import { idSchema, modelNameSchema, sessionRefSchema, timestampSchema } from './names.ts';
import { textSchema } from './text.ts';
import { toUsage, usageSchema } from './usage.ts';

const metadataKeySchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:/-]{1,64}$/, { error: 'must be 1 to 64 of A-Z a-z 0-9 _ . : / -' });
const metadataValueSchema = textSchema({ max: 512 });
const titleSchema = textSchema({ min: 1, max: 256 });

const metadataEntriesSchema = z.record(metadataKeySchema, metadataValueSchema);

/** Counted before they are looked at: of a million entries each would be checked, and complained about. */
export const metadataSchema = z
  .unknown()
  .superRefine((metadata, context) => {
    if (typeof metadata !== 'object' || metadata === null) return;
    if (Object.keys(metadata).length > maxMetadataEntries)
      context.addIssue({ code: 'custom', message: `must have at most ${maxMetadataEntries} entries` });
  })
  .pipe(metadataEntriesSchema)
  .meta({ override: { type: 'object', ...entriesInWords() } });

function entriesInWords(): object {
  const { additionalProperties, propertyNames } = z.toJSONSchema(metadataEntriesSchema, {
    io: 'input',
    unrepresentable: 'any',
  });
  return { propertyNames, additionalProperties, maxProperties: maxMetadataEntries };
}

/** A directory may be named with a / behind it. A pattern would leave out nothing, in silence. */
const excludedPathSchema = z
  .string()
  .transform((path) => (path.endsWith('/') ? path.slice(0, -1) : path))
  .superRefine((path, context) => {
    const problem = /[*?]/.test(path) ? 'must be a path: there are no wildcards' : pathProblem(path);
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  });

const approvalTimeoutSchema = z.int().min(1).max(maxApprovalTimeoutMs);
const excludeSchema = z.array(excludedPathSchema).max(maxSnapshotExcludes, {
  error: `must have at most ${maxSnapshotExcludes} paths`,
});

/** What a session may be made with and what may be changed later, for the turns to come. */
const policyFields = {
  approval_policy: z
    .enum(approvalPolicies)
    .describe(
      'When Codex asks a person: never; on-request, when it wants more than the sandbox allows; untrusted, before all ' +
        'but known harmless commands.',
    ),
  approval_timeout_ms: approvalTimeoutSchema.describe('How long an approval waits before it is declined; 24 hours.'),
  on_interrupt: z
    .enum(interruptPolicies)
    .describe('What follows a turn whose worker was lost: fail, nothing; continue, a turn that goes on and says so.'),
  on_drain: z
    .enum(interruptPolicies)
    .describe(
      'What follows a turn that was interrupted because its worker was to stop: continue, a turn that goes on and says so; fail, nothing.',
    ),
  durability: z
    .enum(durabilities)
    .describe('committed: the end of a turn is told once its work is durable; async: before that.'),
  snapshot_exclude: excludeSchema.describe(
    'Paths in the workspace that are not kept when the session hibernates, each with all below it.',
  ),
};
const policySchema = z.object(policyFields).partial();

export const createSessionRequestSchema = z
  .strictObject({
    id: sessionRefSchema.nullish().describe('A name of your own for it; it goes wherever the id goes.'),
    title: titleSchema.nullish(),
    metadata: metadataSchema.nullish(),
    model: modelNameSchema.nullish(),
    sandbox: z.enum(sandboxModes).nullish().describe("What Codex's own sandbox allows its commands."),
    instructions: textSchema({ min: 1, max: maxInstructionsCodePoints })
      .nullish()
      .describe("Appended to Codex's own instructions, before anything that the workspace says."),
    approval_policy: policyFields.approval_policy.nullish(),
    approval_timeout_ms: policyFields.approval_timeout_ms.nullish(),
    on_interrupt: policyFields.on_interrupt.nullish(),
    on_drain: policyFields.on_drain.nullish(),
    durability: policyFields.durability.nullish(),
    snapshot_exclude: policyFields.snapshot_exclude.nullish(),
  })
  .meta({ id: 'CreateSessionRequest' });
export type CreateSessionRequest = z.output<typeof createSessionRequestSchema>;

/** What a session is made with, in the words of the code. */
export type SessionSpec = {
  readonly alias: string | null;
  readonly title: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly model: string | null;
  /** What is not here is the fleet's default. */
  readonly policy: Partial<SessionPolicy>;
};

export function toSessionSpec(request: CreateSessionRequest): SessionSpec {
  return {
    alias: request.id ?? null,
    title: request.title ?? null,
    metadata: request.metadata ?? {},
    model: request.model ?? null,
    policy: {
      ...given('sandbox', request.sandbox),
      ...given('instructions', request.instructions),
      ...toPolicy(request),
    },
  };
}

type PolicyOnWire = z.output<typeof policySchema>;

function toPolicy(wire: { readonly [K in keyof PolicyOnWire]?: PolicyOnWire[K] | null }): Partial<SessionPolicy> {
  return {
    ...given('approvals', wire.approval_policy),
    ...given('approvalTimeoutMs', wire.approval_timeout_ms),
    ...given('onInterrupt', wire.on_interrupt),
    ...given('onDrain', wire.on_drain),
    ...given('durability', wire.durability),
    ...given('snapshotExclude', wire.snapshot_exclude),
  };
}

function given<K extends keyof SessionPolicy>(
  name: K,
  value: SessionPolicy[K] | null | undefined,
): Partial<SessionPolicy> {
  return value === null || value === undefined ? {} : { [name]: value };
}

export const patchSessionRequestSchema = z
  .strictObject({
    title: titleSchema.nullable().optional().describe('null takes it away.'),
    model: modelNameSchema.nullable().optional(),
    metadata: z
      .record(metadataKeySchema, metadataValueSchema.nullable())
      .optional()
      .describe('Merged into what is there; null takes an entry away.'),
    ...policySchema.shape,
  })
  .meta({ id: 'PatchSessionRequest' });
export type PatchSessionRequest = z.output<typeof patchSessionRequestSchema>;

/** The record as the patch would have it. */
export function patchedSession(session: SessionRecord, patch: PatchSessionRequest): SessionRecord {
  const metadata: Record<string, string> = { ...session.metadata };
  for (const [key, value] of Object.entries(patch.metadata ?? {})) {
    if (value === null) delete metadata[key];
    else metadata[key] = value;
  }
  return {
    ...session,
    metadata,
    title: patch.title === undefined ? session.title : patch.title,
    model: patch.model === undefined ? session.model : patch.model,
    policy: { ...session.policy, ...toPolicy(patch) },
  };
}

export const sessionSchema = z
  .object({
    id: idSchema,
    object: z.literal('session'),
    alias: z.string().nullable().describe('The name that the client chose.'),
    title: z.string().nullable(),
    status: z.enum(sessionStatuses),
    metadata: z.record(z.string(), z.string()),
    created_by: z.string(),
    model: z.string().nullable(),
    worker: z.string().nullable().describe('Where it is now; null when nowhere.'),
    slot: z.string().nullable().describe('The slot that serves it now; null when none does, and in lists.'),
    epoch: z.int().describe('Grows by one whenever the right to write the session changes hands.'),
    sandbox: z.enum(sandboxModes),
    ...policyFields,
    snapshot: z
      .object({ turn_id: idSchema.nullable(), last_seq: z.int(), taken_at: timestampSchema })
      .nullable()
      .describe(
        'What would be restored now: after which turn it was taken, and up to which event; null before the first.',
      ),
    usage: usageSchema,
    created_at: timestampSchema,
    last_accessed_at: timestampSchema,
  })
  .meta({ id: 'Session' });
export type SessionResource = z.output<typeof sessionSchema>;

export function toSessionResource(session: SessionRecord, slot: string | null = null): SessionResource {
  const { policy, snapshot } = session;
  return {
    id: session.id,
    object: 'session',
    alias: session.alias,
    title: session.title,
    status: session.status,
    metadata: { ...session.metadata },
    created_by: session.createdBy,
    model: session.model,
    worker: session.worker,
    slot,
    epoch: session.epoch,
    sandbox: policy.sandbox,
    approval_policy: policy.approvals,
    approval_timeout_ms: policy.approvalTimeoutMs,
    on_interrupt: policy.onInterrupt,
    on_drain: policy.onDrain,
    durability: policy.durability,
    snapshot_exclude: [...policy.snapshotExclude],
    snapshot:
      snapshot === null
        ? null
        : { turn_id: snapshot.turnId, last_seq: snapshot.lastSeq, taken_at: toTimestamp(snapshot.takenAt) },
    usage: toUsage(session.usage),
    created_at: toTimestamp(session.createdAt),
    last_accessed_at: toTimestamp(session.lastAccessedAt),
  };
}

export const sessionPathSchema = z.strictObject({ session_id: sessionRefSchema });

export const deletedSessionSchema = z
  .object({ id: idSchema, object: z.literal('session'), deleted: z.literal(true) })
  .meta({ id: 'DeletedSession' });
