// What the fleet says of itself: health, workers, models, tickets.

import * as z from 'zod';
import { isolationSchema } from './isolation.ts';
import { timestampSchema } from './names.ts';

export const healthSchema = z
  .looseObject({
    status: z.enum(['ok', 'draining', 'unavailable']),
    version: z.string().optional().describe('This and what follows: with a credential only.'),
  })
  .meta({ id: 'Health' });

export const workerSchema = z
  .object({
    id: z.string(),
    object: z.literal('worker'),
    status: z.enum(['starting', 'ready', 'draining', 'stopped']),
    slots: z.object({ limit: z.int(), starting: z.int(), idle: z.int(), bound: z.int() }),
    busy_sessions: z.int(),
    waiting_turns: z.int(),
    isolation: isolationSchema,
    codex_version: z.string(),
    started_at: timestampSchema,
  })
  .meta({ id: 'Worker' });
export type WorkerResource = z.output<typeof workerSchema>;

export const workerPathSchema = z.strictObject({ worker_id: z.string().min(1).max(256) });

export const workerDrainSchema = z
  .object({ id: z.string(), object: z.literal('worker'), status: z.literal('draining') })
  .meta({ id: 'WorkerDrain' });
export type WorkerDrainResource = z.output<typeof workerDrainSchema>;

export const modelSchema = z
  .object({ id: z.string(), object: z.literal('model'), provider: z.string(), is_default: z.boolean() })
  .meta({ id: 'Model' });
export type ModelResource = z.output<typeof modelSchema>;

export const ticketSchema = z
  .object({
    ticket: z.string().describe('Good for one WebSocket, as the subprotocol `ticket.<ticket>`.'),
    expires_at: timestampSchema,
  })
  .meta({ id: 'Ticket' });
export type TicketResource = z.output<typeof ticketSchema>;
