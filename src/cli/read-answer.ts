// An answer of a fleet as the API describes it, or the end of the command: something else answers there.

import type * as z from 'zod';
import { CliError, exitCodes } from './exit-codes.ts';

export function readAnswer<S extends z.ZodType>(
  schema: S,
  answer: unknown,
  fleet: { readonly url: string },
): z.output<S> {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
  throw new CliError(
    exitCodes.unreachable,
    `${fleet.url} answers, but not as this version of Codex Fleet does${where}`,
  );
}
