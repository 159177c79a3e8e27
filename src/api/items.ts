// Items: the transcript of a session without its deltas.

import * as z from 'zod';
import { itemSchema } from './events.ts';
import { type ListOf, listQuerySchema, orderSchema, toList } from './list.ts';
import { cursorSchema, idSchema, itemIdSchema, sessionRefSchema, timestampSchema } from './names.ts';

export const itemResourceSchema = z
  .object({
    id: z.string(),
    object: z.literal('item'),
    session_id: idSchema,
    turn_id: idSchema.nullable(),
    cursor: cursorSchema.describe(
      'Where it is in the log. `first_id` and `last_id` of a list are these: ids come from the model, and may repeat.',
    ),
    completed_at: timestampSchema,
    item: itemSchema,
  })
  .meta({ id: 'ItemResource' });
export type ItemResource = z.output<typeof itemResourceSchema>;

export const itemsQuerySchema = listQuerySchema.extend({
  after: cursorSchema.optional().describe('The `last_id` of the page before.'),
  order: orderSchema.default('asc'),
});
export type ItemsQuery = z.output<typeof itemsQuerySchema>;

export const itemPathSchema = z.strictObject({ session_id: sessionRefSchema, item_id: itemIdSchema });

/** A page of the transcript; its ends are cursors, as in a page of events. */
export function toItemList(data: readonly ItemResource[], hasMore: boolean): ListOf<ItemResource> {
  return { ...toList(data, hasMore), first_id: data[0]?.cursor ?? null, last_id: data.at(-1)?.cursor ?? null };
}
