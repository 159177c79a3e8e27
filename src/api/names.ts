// Ids and names as they cross our wire. What fails here never reaches a path, a key or a log line.

import * as z from 'zod';
import { aliasPattern, aliasRule, isAlias, isUuid } from '../core/ids.ts';

export const sessionRefSchema = z
  .string()
  .refine(isAlias, { error: `must be ${aliasRule}, without ".."` })
  // The same UUID in capitals is the same session.
  .transform((text) => (isUuid(text.toLowerCase()) ? text.toLowerCase() : text))
  .meta({
    pattern: aliasPattern.source,
    description: 'The id of a session, or the name that a client chose for it.',
    examples: ['my-session'],
  });

export const idSchema = z.string().meta({ format: 'uuid' });

export const turnIdSchema = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(isUuid, { error: 'must be the id of a turn, a UUID' })
  .meta({ format: 'uuid' });

export const itemIdSchema = z.string().min(1).max(256);

export const cursorSchema = z
  .string()
  .max(64)
  .describe('A place in the log of a session, exactly as an event carried it. Opaque.');

export const modelNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}$/, { error: 'must be the name of a model' })
  .describe('The model to use; without it, the one of the session, else the one of the fleet.');

export const timestampSchema = z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC, milliseconds.' });

/** Visible ASCII, as it comes in a header. */
export const idempotencyKeySchema = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, { error: 'must be 1 to 255 visible ASCII characters' });
