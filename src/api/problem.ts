// RFC 9457 problem details: how a request that made no turn is answered. Which status and words a
// code has is the register's business (core/errors.ts).

import * as z from 'zod';
import { errorRegister, type ErrorCode, type ErrorDetails, type ServiceError } from '../core/errors.ts';

export const problemSchema = z
  .looseObject({
    type: z.string().describe('Names the kind of problem; the same for each `code`.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What happened here and what to do, for a person.'),
    instance: z.string().optional().describe('The path that was asked for.'),
    code: z.enum(Object.keys(errorRegister) as [ErrorCode, ...ErrorCode[]]).describe('Stable: programs match on this.'),
    retry: z
      .enum(['never', 'same', 'elsewhere', 'after', 'unsafe'])
      .describe('What a repeat would do; `after` comes with Retry-After, `unsafe` means that it may have run.'),
    request_id: z.string(),
    errors: z
      .array(z.object({ field: z.string(), message: z.string(), did_you_mean: z.string().optional() }))
      .optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details.' });
export type Problem = z.output<typeof problemSchema>;

export const problemContentType = 'application/problem+json';

export function toProblem(
  error: ServiceError,
  context: { readonly requestId: string; readonly instance: string | null },
): Problem {
  const entry = errorRegister[error.code];
  return {
    // Facts first: none of them can stand in for what the register says.
    ...error.details,
    type: `urn:codex-fleet:error:${error.code}`,
    title: entry.title,
    status: entry.status,
    detail: error.message === entry.title ? entry.doc : error.message,
    ...(context.instance === null ? {} : { instance: context.instance }),
    code: error.code,
    retry: entry.retry,
    request_id: context.requestId,
  };
}

/** What toProblem adds to the facts. */
const problemFields: ReadonlySet<string> = new Set([
  'type',
  'title',
  'status',
  'detail',
  'instance',
  'code',
  'retry',
  'request_id',
]);

/** The facts of the error that it was made of. */
export function factsOf(problem: object): ErrorDetails {
  return Object.fromEntries(Object.entries(problem).filter(([name]) => !problemFields.has(name)));
}

/** The same facts as an event of a stream; `type` says that it is one. */
export function toErrorEvent(problem: Problem, ref: string | null): Readonly<Record<string, unknown>> {
  return { ...problem, type: 'error', ...(ref === null ? {} : { ref }) };
}
