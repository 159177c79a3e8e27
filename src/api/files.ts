// The files of a session on the wire: listing, archives, differences. The octets themselves have no schema.

import * as z from 'zod';
import { toTimestamp } from '../core/clock.ts';
import { pathProblem } from '../core/workspace-path.ts';
import { type ListOf, limitSchema } from './list.ts';
import { sessionRefSchema, timestampSchema, turnIdSchema } from './names.ts';

export const maxFilePageLimit = 1000;
export const defaultFilePageLimit = 100;

const problemsOf = (path: string, context: z.core.$RefinementCtx): void => {
  const problem = pathProblem(path);
  if (problem !== null) context.addIssue({ code: 'custom', message: problem });
};

export const filePathSchema = z
  .string()
  .superRefine(problemsOf)
  .describe('Relative to the workspace, with / between names; percent-encoded once.');

const directorySchema = z
  .string()
  .superRefine((path, context) => (path === '' ? undefined : problemsOf(path, context)))
  .default('')
  .describe('A directory, relative to the workspace; without it, the workspace.');

const flagSchema = z
  .enum(['true', 'false'])
  .default('false')
  .transform((text) => text === 'true')
  .meta({ override: { type: 'boolean', default: false } });

export const fileRefSchema = z.strictObject({ session_id: sessionRefSchema, path: filePathSchema });

export const filesQuerySchema = z.strictObject({
  path: directorySchema,
  recursive: flagSchema.describe('Also what lies in directories below.'),
  after: filePathSchema
    .optional()
    .describe('The `last_id` of the page before: entries behind that path, in byte order.'),
  limit: limitSchema(maxFilePageLimit, defaultFilePageLimit),
});

export const fileWriteQuerySchema = z.strictObject({
  executable: flagSchema.describe('Whether the file may be run.'),
});

export const archiveFormats = ['tar.gz', 'tar.zst'] as const;

export const archiveQuerySchema = z.strictObject({
  path: directorySchema,
  format: z.enum(archiveFormats).default('tar.gz'),
});

export const diffQuerySchema = z.strictObject({
  since: z
    .union([z.literal('session'), turnIdSchema])
    .default('session')
    .describe('`session`: as it was before the first turn; the id of a turn: as it was when that turn began.'),
  after: filePathSchema.optional().describe('The `last_id` of the page before.'),
});

export const fileSchema = z
  .object({
    path: z.string(),
    object: z.literal('file'),
    kind: z.enum(['file', 'directory', 'symlink', 'special']),
    size: z.int().describe('Bytes; 0 for anything but a file.'),
    modified_at: timestampSchema,
    executable: z.boolean(),
    target: z.string().nullable().describe('What a link says; links are never followed. null for anything else.'),
  })
  .meta({ id: 'File' });
export type FileResource = z.output<typeof fileSchema>;

export function toFileResource(entry: {
  readonly path: string;
  readonly kind: FileResource['kind'];
  readonly size: number;
  readonly modifiedAt: number;
  readonly isExecutable: boolean;
  readonly target: string | null;
}): FileResource {
  return {
    path: entry.path,
    object: 'file',
    kind: entry.kind,
    size: entry.size,
    modified_at: toTimestamp(entry.modifiedAt),
    executable: entry.isExecutable,
    target: entry.target,
  };
}

export const unpackedSchema = z
  .object({ files: z.int(), bytes: z.int().describe('Of the files, unpacked.') })
  .meta({ id: 'UnpackedArchive' });

export const fileDiffSchema = z
  .object({
    path: z.string(),
    status: z.enum(['added', 'modified', 'deleted']),
    binary: z.boolean(),
    patch: z.string().nullable().describe('Unified, as git writes it; null where the file is binary or too large.'),
    additions: z.int().describe('Lines; 0 without a patch.'),
    deletions: z.int().describe('Lines; 0 without a patch.'),
  })
  .meta({ id: 'FileDiff' });
export type FileDiffResource = z.output<typeof fileDiffSchema>;

export function toFileDiffResource(change: {
  readonly path: string;
  readonly status: FileDiffResource['status'];
  readonly isBinary: boolean;
  readonly patch: string | null;
  readonly additions: number;
  readonly deletions: number;
}): FileDiffResource {
  const { isBinary, ...rest } = change;
  return { ...rest, binary: isBinary };
}

/** Files have no id: a path is where one is, and the ends of a page are paths. */
export function toPathList<T extends { readonly path: string }>(data: readonly T[], hasMore: boolean): ListOf<T> {
  return {
    object: 'list',
    data,
    first_id: data[0]?.path ?? null,
    last_id: data.at(-1)?.path ?? null,
    has_more: hasMore,
  };
}
