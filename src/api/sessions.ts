// Sessions on the wire.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { sandboxModes, sessionStatuses, type SandboxMode, type SessionRecord } from '../core/session.ts';
import { maxInstructionsCodePoints, maxMetadataEntries } from './limits.ts';
import { idSchema, modelNameSchema, sessionRefSchema, timestampSchema } from './names.ts';
import { textSchema } from './text.ts';
import { toUsage, usageSchema } from './usage.ts';

const metadataKeySchema = z
  .string()
  .regex(/^[A-Za-z0-9_.:/-]{1,64}$/, { error: 'must be 1 to 64 of A-Z a-z 0-9 _ . : / -' });
const metadataValueSchema = textSchema({ max: 512 });
const titleSchema = textSchema({ min: 1, max: 256 });

export const metadataSchema = z
  .record(metadataKeySchema, metadataValueSchema)
  .refine((metadata) => Object.keys(metadata).length <= maxMetadataEntries, {
    error: `must have at most ${maxMetadataEntries} entries`,
  });

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
  })
  .meta({ id: 'CreateSessionRequest' });
export type CreateSessionRequest = z.output<typeof createSessionRequestSchema>;

/** What a session is made with, in the words of the code. */
export type SessionSpec = {
  readonly alias: string | null;
  readonly title: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly model: string | null;
  readonly sandbox: SandboxMode | null;
  readonly instructions: string | null;
};

export function toSessionSpec(request: CreateSessionRequest): SessionSpec {
  return {
    alias: request.id ?? null,
    title: request.title ?? null,
    metadata: request.metadata ?? {},
    model: request.model ?? null,
    sandbox: request.sandbox ?? null,
    instructions: request.instructions ?? null,
  };
}

export const patchSessionRequestSchema = z
  .strictObject({
    title: titleSchema.nullable().optional().describe('null takes it away.'),
    model: modelNameSchema.nullable().optional(),
    metadata: z
      .record(metadataKeySchema, metadataValueSchema.nullable())
      .optional()
      .describe('Merged into what is there; null takes an entry away.'),
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
    usage: usageSchema,
    created_at: timestampSchema,
    last_accessed_at: timestampSchema,
  })
  .meta({ id: 'Session' });
export type SessionResource = z.output<typeof sessionSchema>;

export function toSessionResource(session: SessionRecord, slot: string | null = null): SessionResource {
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
    sandbox: session.policy.sandbox,
    usage: toUsage(session.usage),
    created_at: toTimestamp(session.createdAt),
    last_accessed_at: toTimestamp(session.lastAccessedAt),
  };
}

export const sessionPathSchema = z.strictObject({ session_id: sessionRefSchema });

export const deletedSessionSchema = z
  .object({ id: idSchema, object: z.literal('session'), deleted: z.literal(true) })
  .meta({ id: 'DeletedSession' });
