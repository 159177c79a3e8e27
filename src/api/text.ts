// Strings as they cross our wire: well-formed Unicode, bounded in code points as people count.

import * as z from 'zod';
import { maxPromptCodePoints } from './limits.ts';
import { invalidRequest } from './validation.ts';

/** Counts no further than it must: text is measured before it is trusted. */
export function hasAtMostCodePoints(text: string, most: number): boolean {
  if (text.length <= most) return true;
  if (text.length > 2 * most) return false;
  let count = 0;
  for (const _ of text) {
    count += 1;
    if (count > most) return false;
  }
  return true;
}

export function textSchema(bounds: { readonly min?: number; readonly max: number }): z.ZodString {
  const min = bounds.min ?? 0;
  return z
    .string()
    .refine((text) => text.length >= min, {
      error: min === 1 ? 'must not be empty' : `must have at least ${min} characters`,
      abort: true,
    })
    .refine((text) => hasAtMostCodePoints(text, bounds.max), {
      error: `must have at most ${bounds.max} characters`,
      abort: true,
    })
    .refine((text) => text.isWellFormed(), { error: 'has a lone surrogate, which is not text' })
    .meta({ ...(min > 0 ? { minLength: min } : {}), maxLength: bounds.max });
}

export const promptSchema = textSchema({ min: 1, max: maxPromptCodePoints }).describe(
  'What Codex is asked to do. At most 1,048,576 code points.',
);

/** A fleet may take less than our wire does. Throws `invalid_request`. */
export function assertPromptFits(prompt: string, limit: number, field = 'prompt'): void {
  if (hasAtMostCodePoints(prompt, limit)) return;
  const message = `must have at most ${limit} characters, which is this fleet's limit`;
  throw invalidRequest([{ field, message }], 'body');
}
