// The JSON Schema that a client wants the final message to fit. Whether a model can do with it is the
// provider's to say; here it is an object, small, not deep, and text throughout.

import * as z from 'zod';
import { maxOutputSchemaCharacters, maxOutputSchemaDepth } from './limits.ts';

/** How deep it is nested; null where a key or a string is not text. */
function depthOf(value: unknown, above = 0): number | null {
  if (typeof value === 'string') return value.isWellFormed() ? above : null;
  if (typeof value !== 'object' || value === null || above > maxOutputSchemaDepth) return above;
  let deepest = above + 1;
  for (const [key, entry] of Object.entries(value)) {
    const depth = key.isWellFormed() ? depthOf(entry, above + 1) : null;
    if (depth === null) return null;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

export const outputSchemaSchema = z
  .record(z.string(), z.unknown())
  .superRefine((schema, context) => {
    const depth = depthOf(schema);
    const problem =
      depth === null
        ? 'has a lone surrogate, which is not text'
        : depth > maxOutputSchemaDepth
          ? `must be nested at most ${maxOutputSchemaDepth} deep`
          : JSON.stringify(schema).length > maxOutputSchemaCharacters
            ? `must have at most ${maxOutputSchemaCharacters} characters as JSON`
            : null;
    if (problem !== null) context.addIssue({ code: 'custom', message: problem });
  })
  .describe(
    `A JSON Schema, an object of at most ${maxOutputSchemaCharacters} characters as JSON, that the final message must fit; \`stdout\` is JSON then.`,
  );
