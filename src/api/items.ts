// Items: the transcript of a session without its deltas.

import * as z from 'zod';
import { itemSchema } from './events.ts';
import { idSchema, itemIdSchema, sessionRefSchema, timestampSchema } from './names.ts';

export const itemResourceSchema = z
  .object({
    id: z.string(),
    object: z.literal('item'),
    session_id: idSchema,
    turn_id: idSchema.nullable(),
    completed_at: timestampSchema,
    item: itemSchema,
  })
  .meta({ id: 'ItemResource' });
export type ItemResource = z.output<typeof itemResourceSchema>;

export const itemPathSchema = z.strictObject({ session_id: sessionRefSchema, item_id: itemIdSchema });
