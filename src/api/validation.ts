// Turns what came over the wire into a value of a schema, or into one error that names each problem.

import type * as z from 'zod';
import { ServiceError } from '../core/errors.ts';

export type FieldProblem = {
  /** Dotted path; empty for the whole. */
  readonly field: string;
  readonly message: string;
  readonly did_you_mean?: string;
};

const maxProblems = 20;
const maxShownName = 64;

export function validate<S extends z.ZodType>(schema: S, value: unknown, part: 'body' | 'query' | 'path'): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const problems: FieldProblem[] = [];
  for (const issue of result.error.issues) {
    problems.push(...fieldProblems(schema, issue, value).slice(0, maxProblems));
    if (problems.length >= maxProblems) break;
  }
  throw invalidRequest(problems.slice(0, maxProblems), part);
}

export function invalidRequest(
  errors: readonly FieldProblem[],
  part: 'body' | 'query' | 'path' | 'header',
): ServiceError {
  const first = errors[0];
  const message =
    first === undefined
      ? `The ${part} is not valid.`
      : `${first.field === '' ? `The ${part}` : first.field} ${first.message}`;
  return new ServiceError('invalid_request', { in: part, errors }, { message });
}

function fieldProblems(schema: z.ZodType, issue: z.core.$ZodIssue, value: unknown): FieldProblem[] {
  const path = issue.path.map((step) => shown(String(step)));
  const field = path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    // Suggestions cost time: a body may have ten thousand keys that nobody knows.
    return issue.keys.slice(0, maxProblems).map((key) => {
      const suggestion = closest(key, known);
      return {
        field: [...path, shown(key)].join('.'),
        message:
          suggestion === null ? 'is not a field that is known here' : `is not known here: did you mean ${suggestion}?`,
        ...(suggestion === null ? {} : { did_you_mean: suggestion }),
      };
    });
  }
  if (issue.code === 'invalid_type') {
    const given = valueAt(value, issue.path);
    if (given === undefined) return [{ field, message: field === '' ? 'must be a JSON object' : 'is required' }];
    return [{ field, message: `must be ${withArticle(issue.expected)}` }];
  }
  return [{ field, message: boundMessage(issue) ?? lowerFirst(issue.message) }];
}

function boundMessage(issue: z.core.$ZodIssue): string | null {
  switch (issue.code) {
    case 'too_small':
      return issue.origin === 'number' ? `must be at least ${issue.minimum}` : `must have at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'number' ? `must be at most ${issue.maximum}` : `must have at most ${issue.maximum}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    case 'invalid_union':
      return 'has none of the forms that are allowed here';
    default:
      return null;
  }
}

/** The object schema's own keys, for the suggestion; wrappers on the way are taken off. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): readonly string[] {
  let at: unknown = schema;
  for (const step of [null, ...path]) {
    if (step !== null) at = shapeOf(at)?.[String(step)];
    while (hasUnwrap(at)) at = at.unwrap();
  }
  return Object.keys(shapeOf(at) ?? {});
}

function shapeOf(schema: unknown): Record<string, unknown> | undefined {
  if (typeof schema !== 'object' || schema === null || !('shape' in schema)) return undefined;
  return schema.shape as Record<string, unknown>;
}

function hasUnwrap(schema: unknown): schema is { unwrap(): unknown } {
  return typeof schema === 'object' && schema !== null && 'unwrap' in schema && typeof schema.unwrap === 'function';
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const step of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[step];
  }
  return at;
}

function closest(name: string, known: readonly string[]): string | null {
  const wanted = name.slice(0, maxShownName).toLowerCase().replaceAll('-', '_');
  let best: string | null = null;
  let bestDistance = Math.max(2, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of known) {
    const distance = Math.min(
      editDistance(wanted, candidate),
      // `timeout` for `timeout_ms`, `sessionId` for `session_id`.
      candidate.startsWith(wanted) || wanted.replaceAll('_', '') === candidate.replaceAll('_', '') ? 1 : Infinity,
    );
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function shown(name: string): string {
  const wellFormed = name.toWellFormed();
  return wellFormed.length <= maxShownName ? wellFormed : `${wellFormed.slice(0, maxShownName)}…`;
}

function withArticle(noun: string): string {
  if (noun === 'int') return 'a whole number';
  return /^[aeiou]/.test(noun) ? `an ${noun}` : `a ${noun}`;
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}
