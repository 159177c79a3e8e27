// An answer of a fleet as the API describes it, or the end of the command: something else answers there.

import { CliError, exitCodes } from './exit-codes.ts';

/** The part of a schema that is needed to read with it. */
type Readable<T> = {
  safeParse(value: unknown):
    | { readonly success: true; readonly data: T }
    | {
        readonly success: false;
        readonly error: { readonly issues: readonly { readonly path: PropertyKey[]; readonly message: string }[] };
      };
};

export function readAnswer<T>(schema: Readable<T>, answer: unknown, fleet: { readonly url: string }): T {
  const result = schema.safeParse(answer);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue === undefined ? '' : ` (${issue.path.join('.')}: ${issue.message})`;
  throw new CliError(
    exitCodes.unreachable,
    `${fleet.url} answers, but not as this version of Codex Fleet does${where}`,
  );
}
