// The shape of an entry in the table of operations: what a server registers, what a reader of the
// reference sees. Paths are written as OpenAPI writes them.

import type * as z from 'zod';
import type { ErrorCode } from '../core/errors.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type Answer = {
  readonly description: string;
  /** Absent: no body. */
  readonly schema?: z.ZodType;
  /** Default: application/json. */
  readonly contentType?: string;
};

/** One that only this operation heeds. */
export type RequestHeader = { readonly name: string; readonly description: string };

export type Operation<
  P extends z.ZodType | undefined = z.ZodType | undefined,
  Q extends z.ZodType | undefined = z.ZodType | undefined,
  B extends z.ZodType | undefined = z.ZodType | undefined,
> = {
  readonly id: string;
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  /** What metrics call it. */
  readonly route: string;
  /** Answered without a credential. */
  readonly isOpen: boolean;
  readonly params: P;
  readonly query: Q;
  readonly body: B;
  /** large: prompts go in. */
  readonly bodySize: 'normal' | 'large';
  /** The body is octets of any type, read as they come, up to the limit of that name; null: JSON, or none. */
  readonly octets: 'file' | 'archive' | null;
  /** The last parameter of the path is all the rest of it, with every / in it. */
  readonly hasRestPath: boolean;
  readonly hasHead: boolean;
  readonly takesIdempotencyKey: boolean;
  readonly headers: readonly RequestHeader[];
  /** Several for one status: the client chooses by Accept or by a field. */
  readonly answers: Readonly<Record<number, Answer | readonly Answer[]>>;
  /** Beside those that any request can meet. */
  readonly errors: readonly ErrorCode[];
};

export type OutputOf<S extends z.ZodType | undefined> = S extends z.ZodType ? z.output<S> : undefined;

type Given<P, Q, B> = {
  readonly id: string;
  readonly summary: string;
  readonly route: string;
  readonly isOpen?: boolean;
  readonly params?: P;
  readonly query?: Q;
  readonly body?: B;
  readonly bodySize?: 'normal' | 'large';
  readonly octets?: 'file' | 'archive';
  readonly hasRestPath?: boolean;
  readonly hasHead?: boolean;
  readonly takesIdempotencyKey?: boolean;
  readonly headers?: readonly RequestHeader[];
  readonly answers: Readonly<Record<number, Answer | readonly Answer[]>>;
  readonly errors?: readonly ErrorCode[];
};

export function operation<
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
>(method: Method, path: string, given: Given<P, Q, B>): Operation<P, Q, B> {
  return {
    method,
    path,
    id: given.id,
    summary: given.summary,
    route: given.route,
    isOpen: given.isOpen ?? false,
    params: given.params as P,
    query: given.query as Q,
    body: given.body as B,
    bodySize: given.bodySize ?? 'normal',
    octets: given.octets ?? null,
    hasRestPath: given.hasRestPath ?? false,
    hasHead: given.hasHead ?? false,
    takesIdempotencyKey: given.takesIdempotencyKey ?? false,
    headers: given.headers ?? [],
    answers: given.answers,
    errors: given.errors ?? [],
  };
}
