// What the roles of a fleet send to a worker: paths, headers, and the form of what is asked and answered. Both
// ends are ours, so the fields have the names of the contracts. A reader leaves out what it does not
// know: in a rolling upgrade either end may be the newer one.

import * as z from 'zod';
import { filePathSchema } from './files.ts';

/** Of the run of a worker: in a request, the one that is meant; in every answer, the one that speaks. */
export const bootHeader = 'fleet-worker-boot';
/** What is asked where the body is octets, and what is answered beside them: JSON in base64url. */
export const factsHeader = 'fleet-facts';

/** What either end checks by. */
export type WireSchema = z.ZodType;
export type WireValue<S extends WireSchema> = z.output<S>;

/** Open: its answer is the boot, from which the credential follows. */
export const bootPath = '/internal/v1/boot';

const id = z.string().min(1).max(256);
const sessionKey = z.object({ tenant: id, sessionId: id });
const turnKey = sessionKey.extend({ turnId: id });
const byteCount = z.int().min(0);
/** '' is the workspace itself. */
const directory = z.union([z.literal(''), filePathSchema]);
const archiveFormat = z.enum(['tar.gz', 'tar.zst']);
const snapshotRef = z.object({
  object: z.string(),
  sha256: z.string(),
  turnId: id.nullable(),
  lastSeq: byteCount,
  takenAt: z.number(),
  rolloutBytes: byteCount,
});
const nothing = z.object({});

const fileFacts = z.object({
  kind: z.enum(['file', 'directory', 'symlink', 'special']),
  size: byteCount,
  modifiedAt: z.number(),
  isExecutable: z.boolean(),
  target: z.string().nullable(),
});

const slots = z.object({ limit: z.int(), starting: z.int(), idle: z.int(), bound: z.int() });
const isolation = z.object({
  cage: z.enum(['own-root', 'none']),
  cageProblem: z.string().nullable(),
  innerSandbox: z.enum(['bubblewrap', 'none']),
  innerSandboxProblem: z.string().nullable(),
});

/** Asked in JSON, answered in JSON. */
export const jsonCalls = {
  startTurn: {
    path: '/internal/v1/start-turn',
    asked: z.object({ key: turnKey, onlyIfIdle: z.boolean() }),
    answered: nothing,
  },
  cancelTurn: { path: '/internal/v1/cancel-turn', asked: z.object({ key: turnKey }), answered: nothing },
  steerTurn: {
    path: '/internal/v1/steer-turn',
    asked: z.object({ key: turnKey, steerId: id, text: z.string() }),
    answered: nothing,
  },
  approvalSettled: {
    path: '/internal/v1/approval-settled',
    asked: z.object({ key: sessionKey, approvalId: id }),
    answered: nothing,
  },
  hibernateSession: { path: '/internal/v1/hibernate-session', asked: z.object({ key: sessionKey }), answered: nothing },
  wakeSession: { path: '/internal/v1/wake-session', asked: z.object({ key: sessionKey }), answered: nothing },
  recoverSession: { path: '/internal/v1/recover-session', asked: z.object({ key: sessionKey }), answered: nothing },
  runCommand: {
    path: '/internal/v1/run-command',
    asked: z.object({ key: sessionKey, command: z.array(z.string()), timeoutMs: z.number().min(0) }),
    answered: z.object({
      exitCode: z.int(),
      stdout: z.string(),
      stderr: z.string(),
      executionTimeMs: z.number(),
    }),
  },
  eraseSession: { path: '/internal/v1/erase-session', asked: z.object({ key: sessionKey }), answered: nothing },
  listFiles: {
    path: '/internal/v1/list-files',
    asked: z.object({
      key: sessionKey,
      query: z.object({
        path: directory,
        recursive: z.boolean(),
        after: filePathSchema.nullable(),
        limit: z.int().min(1).max(10_000),
      }),
    }),
    answered: z.object({ data: z.array(fileFacts.extend({ path: z.string() })), hasMore: z.boolean() }),
  },
  deleteFile: {
    path: '/internal/v1/delete-file',
    asked: z.object({ key: sessionKey, path: filePathSchema, ifMatch: z.string().nullable() }),
    answered: nothing,
  },
  diff: {
    path: '/internal/v1/diff',
    asked: z.object({
      key: sessionKey,
      base: z.discriminatedUnion('of', [
        z.object({ of: z.literal('session') }),
        z.object({ of: z.literal('turn'), base: snapshotRef.nullable() }),
      ]),
    }),
    answered: z.object({
      data: z.array(
        z.object({
          path: z.string(),
          status: z.enum(['added', 'modified', 'deleted']),
          isBinary: z.boolean(),
          patch: z.string().nullable(),
          additions: z.int(),
          deletions: z.int(),
        }),
      ),
    }),
  },
  status: {
    path: '/internal/v1/status',
    asked: nothing,
    answered: z.object({
      id,
      state: z.enum(['starting', 'ready', 'draining', 'stopped']),
      slots,
      busySessions: z.int(),
      waitingTurns: z.int(),
      boundSessions: z.array(sessionKey.extend({ slotId: z.string() })),
      // What an earlier version does not say.
      reservedFor: id.nullable().default(null),
      isolation,
      codexVersion: z.string(),
      startedAt: z.number(),
      fleetVersion: z.string(),
    }),
  },
  drain: { path: '/internal/v1/drain', asked: nothing, answered: nothing },
} as const;
export type JsonCall = keyof typeof jsonCalls;
export type Asked<C extends JsonCall> = z.output<(typeof jsonCalls)[C]['asked']>;
export type Answered<C extends JsonCall> = z.output<(typeof jsonCalls)[C]['answered']>;

/** Asked in JSON, answered in octets, with facts beside them. */
export const readCalls = {
  readFile: {
    path: '/internal/v1/read-file',
    asked: z.object({
      key: sessionKey,
      path: filePathSchema,
      range: z.object({ offset: byteCount, length: byteCount }).nullable(),
    }),
    // The path is as it was asked for: a header has no room to say it again.
    facts: z.object({ entry: fileFacts, etag: z.string() }),
  },
  readArchive: {
    path: '/internal/v1/read-archive',
    asked: z.object({ key: sessionKey, path: directory, format: archiveFormat }),
    facts: nothing,
  },
} as const;

/** Asked in facts, with octets as the body; answered in JSON. */
export const writeCalls = {
  writeFile: {
    path: '/internal/v1/write-file',
    facts: z.object({
      key: sessionKey,
      path: filePathSchema,
      isExecutable: z.boolean(),
      ifMatch: z.string().nullable(),
      ifNoneMatch: z.boolean(),
    }),
    answered: z.object({ etag: z.string(), isNew: z.boolean() }),
  },
  writeArchive: {
    path: '/internal/v1/write-archive',
    facts: z.object({ key: sessionKey, path: directory, format: archiveFormat }),
    answered: z.object({ files: z.int(), bytes: z.number() }),
  },
} as const;
