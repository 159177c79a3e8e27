// Every operation of the public API, once: the gateway registers from this table, the OpenAPI
// document is printed from it.

import { commandRequestSchema, commandResponseSchema } from './commands.ts';
import { eventPageSchema, eventSchema, eventsQuerySchema } from './events.ts';
import { execRequestSchema, execResponseSchema } from './exec.ts';
import { healthSchema, modelSchema, ticketSchema, workerSchema } from './fleet.ts';
import { itemPathSchema, itemResourceSchema, itemsQuerySchema } from './items.ts';
import { listQuerySchema, listSchema } from './list.ts';
import { operation } from './operation.ts';
import {
  createSessionRequestSchema,
  deletedSessionSchema,
  patchSessionRequestSchema,
  sessionPathSchema,
  sessionSchema,
} from './sessions.ts';
import { startTurnRequestSchema, turnPathSchema, turnSchema } from './turns.ts';
import { usageQuerySchema, usageReportSchema } from './usage-report.ts';

const capacityErrors = ['queue_full', 'no_worker_ready', 'draining', 'store_unavailable'] as const;
const turnErrors = [...capacityErrors, 'session_failed', 'idempotency_key_reused'] as const;
const eventStream = {
  description: 'The events, as server-sent events.',
  contentType: 'text/event-stream',
  schema: eventSchema,
};

export const operations = {
  exec: operation('POST', '/api/v1/exec', {
    id: 'exec',
    summary: 'Run one prompt and answer with how it ended.',
    route: 'exec',
    body: execRequestSchema,
    bodySize: 'large',
    takesIdempotencyKey: true,
    answers: {
      200: [
        { description: 'The turn ended; the body says how.', schema: execResponseSchema },
        { ...eventStream, description: 'With `stream`: the events of the turn, ending with its terminal one.' },
      ],
      202: { description: 'The turn still runs; `Location` is where it can be looked at.', schema: execResponseSchema },
    },
    errors: turnErrors,
  }),

  createSession: operation('POST', '/api/v1/sessions', {
    id: 'createSession',
    summary: 'Make a session.',
    route: 'sessions',
    body: createSessionRequestSchema.optional(),
    answers: { 201: { description: 'The session.', schema: sessionSchema } },
    errors: ['session_exists'],
  }),
  listSessions: operation('GET', '/api/v1/sessions', {
    id: 'listSessions',
    summary: 'List sessions.',
    route: 'sessions',
    query: listQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(sessionSchema) } },
    errors: ['cursor_invalid'],
  }),
  getSession: operation('GET', '/api/v1/sessions/{session_id}', {
    id: 'getSession',
    summary: 'Look at a session.',
    route: 'sessions',
    params: sessionPathSchema,
    answers: { 200: { description: 'The session.', schema: sessionSchema } },
    errors: ['session_not_found'],
  }),
  patchSession: operation('PATCH', '/api/v1/sessions/{session_id}', {
    id: 'patchSession',
    summary: 'Change the title, the model or the metadata of a session.',
    route: 'sessions',
    params: sessionPathSchema,
    body: patchSessionRequestSchema,
    answers: { 200: { description: 'The session, changed.', schema: sessionSchema } },
    errors: ['session_not_found', 'store_conflict'],
  }),
  deleteSession: operation('DELETE', '/api/v1/sessions/{session_id}', {
    id: 'deleteSession',
    summary: 'Erase a session: what runs is ended, and its files, events and records are removed.',
    route: 'sessions',
    params: sessionPathSchema,
    answers: { 200: { description: 'It is gone.', schema: deletedSessionSchema } },
    errors: ['session_not_found', 'no_worker_ready'],
  }),

  startTurn: operation('POST', '/api/v1/sessions/{session_id}/turns', {
    id: 'startTurn',
    summary: 'Start a turn and do not wait for it.',
    route: 'turns',
    params: sessionPathSchema,
    body: startTurnRequestSchema,
    bodySize: 'large',
    takesIdempotencyKey: true,
    answers: { 202: { description: 'The turn; `Location` is where it can be looked at.', schema: turnSchema } },
    errors: ['session_not_found', ...turnErrors],
  }),
  listTurns: operation('GET', '/api/v1/sessions/{session_id}/turns', {
    id: 'listTurns',
    summary: 'List the turns of a session.',
    route: 'turns',
    params: sessionPathSchema,
    query: listQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(turnSchema) } },
    errors: ['session_not_found', 'cursor_invalid'],
  }),
  getTurn: operation('GET', '/api/v1/sessions/{session_id}/turns/{turn_id}', {
    id: 'getTurn',
    summary: 'Look at a turn.',
    route: 'turns',
    params: turnPathSchema,
    answers: { 200: { description: 'The turn.', schema: turnSchema } },
    errors: ['session_not_found', 'turn_not_found'],
  }),
  cancelTurn: operation('POST', '/api/v1/sessions/{session_id}/turns/{turn_id}/cancel', {
    id: 'cancelTurn',
    summary: 'End a turn that waits or runs, with everything that it started.',
    route: 'turns',
    params: turnPathSchema,
    answers: { 200: { description: 'The turn, ended.', schema: turnSchema } },
    errors: ['session_not_found', 'turn_not_found', 'turn_ended', 'worker_lost'],
  }),

  readEvents: operation('GET', '/api/v1/sessions/{session_id}/events', {
    id: 'readEvents',
    summary: 'Follow the events of a session; with `Accept: application/json`, read a page of them.',
    route: 'events',
    params: sessionPathSchema,
    query: eventsQuerySchema,
    answers: {
      200: [eventStream, { description: 'A page of them.', schema: eventPageSchema }],
      204: { description: 'The turn that was asked for has ended and nothing of it is left behind the cursor.' },
    },
    errors: ['session_not_found', 'turn_not_found', 'cursor_invalid', 'cursor_expired'],
  }),
  listItems: operation('GET', '/api/v1/sessions/{session_id}/items', {
    id: 'listItems',
    summary: 'Read the transcript of a session: what was said and done, without deltas.',
    route: 'items',
    params: sessionPathSchema,
    query: itemsQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(itemResourceSchema) } },
    errors: ['session_not_found', 'cursor_invalid'],
  }),
  getItem: operation('GET', '/api/v1/sessions/{session_id}/items/{item_id}', {
    id: 'getItem',
    summary: 'Read one item whole.',
    route: 'items',
    params: itemPathSchema,
    answers: { 200: { description: 'The item.', schema: itemResourceSchema } },
    errors: ['session_not_found', 'item_not_found'],
  }),
  runCommand: operation('POST', '/api/v1/sessions/{session_id}/commands', {
    id: 'runCommand',
    summary: "Run one command in the session's workspace, under its sandbox, without the model.",
    route: 'commands',
    params: sessionPathSchema,
    body: commandRequestSchema,
    answers: { 200: { description: 'What it printed and how it ended.', schema: commandResponseSchema } },
    errors: [
      'session_not_found',
      'session_busy',
      'session_failed',
      'agent_start_failed',
      'worker_lost',
      ...capacityErrors,
    ],
  }),

  createTicket: operation('POST', '/api/v1/tickets', {
    id: 'createTicket',
    summary: 'Get a ticket for one WebSocket: for browsers, whose WebSockets can send no Authorization header.',
    route: 'tickets',
    answers: { 201: { description: 'The ticket; it can be used once, within 30 seconds.', schema: ticketSchema } },
  }),
  listWorkers: operation('GET', '/api/v1/workers', {
    id: 'listWorkers',
    summary: 'Look at the workers.',
    route: 'workers',
    answers: { 200: { description: 'All of them.', schema: listSchema(workerSchema) } },
  }),
  listModels: operation('GET', '/api/v1/models', {
    id: 'listModels',
    summary: 'List the models that the provider offers.',
    route: 'models',
    answers: { 200: { description: 'All of them.', schema: listSchema(modelSchema) } },
    errors: ['model_unavailable'],
  }),
  readUsage: operation('GET', '/api/v1/usage', {
    id: 'readUsage',
    summary: 'What was consumed: in total, by model and by day.',
    route: 'usage',
    query: usageQuerySchema,
    answers: { 200: { description: 'The sums.', schema: usageReportSchema } },
  }),
  health: operation('GET', '/health', {
    id: 'health',
    summary: 'Whether the fleet takes work; with a credential, in detail.',
    route: 'health',
    isOpen: true,
    answers: { 200: { description: 'The server answers; `status` says whether it takes work.', schema: healthSchema } },
  }),
} as const;
