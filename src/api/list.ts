// Lists of resources: one shape and one way through them.

import * as z from 'zod';
import { defaultListLimit, maxListLimit } from './limits.ts';

export function limitSchema(most: number, fallback: number): z.ZodType<number> {
  return z
    .string()
    .regex(/^\d{1,6}$/, { error: 'must be a whole number', abort: true })
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= most, { error: `must be from 1 to ${most}` })
    .default(fallback)
    .meta({ override: { type: 'integer', minimum: 1, maximum: most, default: fallback } });
}

export const orderSchema = z.enum(['asc', 'desc']);

export const listQuerySchema = z.strictObject({
  after: z.string().min(1).max(256).optional().describe('The `last_id` of the page before.'),
  limit: limitSchema(maxListLimit, defaultListLimit),
  order: orderSchema.default('desc').describe('By age: `desc` has the latest first.'),
});

export type ListOf<T> = {
  readonly object: 'list';
  readonly data: readonly T[];
  readonly first_id: string | null;
  readonly last_id: string | null;
  readonly has_more: boolean;
};

export function listSchema<S extends z.ZodType>(item: S): z.ZodType<ListOf<z.output<S>>> {
  return z.object({
    object: z.literal('list'),
    data: z.array(item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  }) as unknown as z.ZodType<ListOf<z.output<S>>>;
}

export function toList<T extends { readonly id: string }>(data: readonly T[], hasMore: boolean): ListOf<T> {
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}
