// Events on the wire: the envelope that every one has, and what the known types carry beside it.
// Unknown types and unknown fields must be ignored by readers; new ones are no new version.

import * as z from 'zod';
import { endReasons } from '../core/turn.ts';
import { approvalSchema } from './approvals.ts';
import { isolationSchema } from './isolation.ts';
import { defaultEventPageLimit, maxEventPageLimit } from './limits.ts';
import { limitSchema } from './list.ts';
import { cursorSchema, idSchema, timestampSchema, turnIdSchema } from './names.ts';
import { turnResultFields } from './turns.ts';
import { usageSchema } from './usage.ts';

const envelopeFields = {
  seq: z.int().describe('Consecutive from 1 over the whole life of the session.'),
  cursor: cursorSchema,
  session_id: idSchema,
  turn_id: idSchema.nullable(),
  at: timestampSchema,
};

export const eventSchema = z
  .looseObject({ ...envelopeFields, type: z.string() })
  .meta({ id: 'Event', description: 'What every event has; the rest depends on `type`.' });
export type EventOnWire = z.output<typeof eventSchema>;

/** The one event that ends a turn says all that an answer to exec would. */
export const terminalEventFields = { ...turnResultFields, reason: z.enum(endReasons).nullable() };

export const itemSchema = z.looseObject({ id: z.string(), type: z.string() }).meta({
  id: 'Item',
  description:
    'A thing that the agent said or did, in the shapes of @openai/codex-sdk: agent_message {text}, reasoning {text}, ' +
    'command_execution {command, aggregated_output, exit_code, status}, file_change {changes, status}, mcp_tool_call, ' +
    'web_search, todo_list, error; and a few of ours. `truncated: true` marks one that is whole at /items/{id}.',
});

function known<T extends string, F extends z.ZodRawShape>(type: T, description: string, fields: F) {
  return z.looseObject({ ...envelopeFields, type: z.literal(type), ...fields }).meta({ description });
}

const itemFields = { item: itemSchema };
const cutMark = z.literal(true).optional().describe('It was too large for an event and was cut.');

export const knownEventSchemas = [
  known('session.created', 'The session exists.', {}),
  known('session.recovering', 'Another worker took the session over.', {}),
  known('session.recovered', 'The session goes on there.', {}),
  known('session.hibernated', 'The session holds no process; its next turn wakes it.', {}),
  known('session.woken', 'The session has a process again.', {}),
  known('session.restored', 'Stored data of the session was damaged; it goes on from the newest that is whole.', {
    to_turn_id: idSchema.nullable().describe('The turn after which that was taken; null when it was not after one.'),
    damaged: z.array(z.object({ object: z.string(), problem: z.string() })),
  }),
  known('session.quarantined', 'Its Codex process crashed in turns in a row; `POST …/wake` lets it go on.', {
    crashes: z.int(),
  }),
  known('session.deleted', 'The session was erased.', {}),
  known('turn.queued', 'The turn waits for a slot, or for the turn before it.', {
    position: z.int().describe('1 is next.'),
  }),
  known('turn.started', 'The turn runs.', { model: z.string(), isolation: isolationSchema }),
  known('turn.requires_action', 'The turn waits for a person.', {
    approval_id: idSchema.describe('The first that it waits for; there can be more.'),
  }),
  known('turn.completed', 'The end of the turn: it did what it could.', terminalEventFields),
  known('turn.failed', 'The end of the turn: an error stopped it.', terminalEventFields),
  known('turn.cancelled', 'The end of the turn: someone asked for it.', terminalEventFields),
  known('turn.interrupted', 'The end of the turn: its worker was lost or went away.', terminalEventFields),
  known('turn.timed_out', 'The end of the turn: it took longer than its timeout_ms.', terminalEventFields),
  known('item.started', 'The agent began something.', itemFields),
  known('item.updated', 'It is so far like this.', itemFields),
  known('item.completed', 'It is done; nothing will change it.', itemFields),
  known('item.superseded', 'It was abandoned; another item takes its place.', {
    item_id: z.string(),
    item_type: z.string(),
  }),
  known('item.delta', 'A piece of text of an item, to be appended.', {
    item_id: z.string(),
    kind: z.string().describe('agent_message, reasoning, reasoning_summary, command_output, file_change or plan.'),
    delta: z.string(),
    summary_index: z.int().optional().describe('Which part of a reasoning summary it belongs to.'),
    truncated: cutMark,
  }),
  known('plan.updated', "The agent's plan.", {
    explanation: z.string().nullish(),
    plan: z.array(z.object({ step: z.string(), status: z.string() })).optional(),
    truncated: cutMark,
  }),
  known('diff.updated', 'What the turn changed in the workspace so far.', {
    diff: z.string().optional().describe('A unified diff.'),
    truncated: cutMark,
  }),
  known('usage.updated', 'Tokens so far.', { usage: usageSchema }),
  known('approval.requested', 'A person must answer.', { approval: approvalSchema }),
  known('approval.resolved', 'It is settled: answered, expired, or answered before. What a turn asked ends with it.', {
    approval: approvalSchema,
  }),
  known('warning', 'Something is not as it should be; the turn goes on.', {
    message: z.string().optional(),
    details: z.string().nullish(),
    truncated: cutMark,
  }),
] as const;

export const eventsQuerySchema = z.strictObject({
  after: cursorSchema.optional().describe('Start behind this cursor. `Last-Event-ID` does the same and wins.'),
  turn_id: turnIdSchema
    .optional()
    .describe('Only this turn and what concerns the whole session; a stream ends with the turn.'),
  limit: limitSchema(maxEventPageLimit, defaultEventPageLimit).describe('For a page; a stream has no end of its own.'),
});
export type EventsQuery = z.output<typeof eventsQuerySchema>;

export const eventPageSchema = z
  .object({
    object: z.literal('list'),
    data: z.array(eventSchema),
    first_id: cursorSchema.nullable(),
    last_id: cursorSchema.nullable().describe('Pass it as `after` for the next page.'),
    has_more: z.boolean(),
  })
  .meta({ id: 'EventPage' });

/** Bodies are JSON already: a page is made by joining them, not by reading them. */
export function eventPageJson(
  bodies: readonly string[],
  firstCursor: string | null,
  lastCursor: string | null,
  hasMore: boolean,
): string {
  return `{"object":"list","data":[${bodies.join(',')}],"first_id":${JSON.stringify(firstCursor)},"last_id":${JSON.stringify(lastCursor)},"has_more":${String(hasMore)}}`;
}
