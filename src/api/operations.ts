// Every operation of the public API, once: the gateway registers from this table, the OpenAPI
// document is printed from it.

import { approvalPathSchema, approvalSchema, approvalsQuerySchema, decisionRequestSchema } from './approvals.ts';
import * as z from 'zod';
import { commandRequestSchema, commandResponseSchema } from './commands.ts';
import { eventPageSchema, eventSchema, eventsQuerySchema } from './events.ts';
import { execRequestSchema, execResponseSchema } from './exec.ts';
import {
  archiveQuerySchema,
  diffQuerySchema,
  fileDiffSchema,
  fileRefSchema,
  fileSchema,
  filesQuerySchema,
  fileWriteQuerySchema,
  unpackedSchema,
} from './files.ts';
import { healthSchema, modelSchema, ticketSchema, workerDrainSchema, workerPathSchema, workerSchema } from './fleet.ts';
import { itemPathSchema, itemResourceSchema, itemsQuerySchema } from './items.ts';
import { jobOperations } from './job-operations.ts';
import { listQuerySchema, listSchema } from './list.ts';
import { operation } from './operation.ts';
import {
  createSessionRequestSchema,
  deletedSessionSchema,
  patchSessionRequestSchema,
  sessionPathSchema,
  sessionSchema,
} from './sessions.ts';
import {
  startTurnRequestSchema,
  steerTurnRequestSchema,
  turnPathSchema,
  turnSchema,
  turnsQuerySchema,
} from './turns.ts';
import { usageQuerySchema, usageReportSchema } from './usage-report.ts';
import { webhookOperations } from './webhook-operations.ts';

const capacityErrors = ['queue_full', 'no_worker_ready', 'worker_reserved', 'draining', 'store_unavailable'] as const;
const sessionErrors = ['session_busy', 'session_failed', 'session_quarantined', 'session_full'] as const;
const turnErrors = [...capacityErrors, ...sessionErrors, 'idempotency_key_reused', 'rate_limited'] as const;
const eventStream = {
  description: 'The events, as server-sent events.',
  contentType: 'text/event-stream',
  schema: eventSchema,
};

const octets = { contentType: 'application/octet-stream', schema: z.unknown() };
const archive = {
  200: [
    { description: 'The archive, with `format=tar.gz`.', contentType: 'application/gzip', schema: z.unknown() },
    { description: 'Or with `format=tar.zst`.', contentType: 'application/zstd', schema: z.unknown() },
  ],
};
const ifMatch = {
  name: 'If-Match',
  description: 'Only over a file with this `ETag`; `*`: only over a file.',
};
const fileWriteErrors = [
  'session_busy',
  'session_failed',
  'session_quarantined',
  'session_corrupt',
  'agent_start_failed',
  'storage_full',
  'workspace_too_large',
  'file_exists',
  ...capacityErrors,
] as const;

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
    summary: 'Change the title, the model, the metadata or the policy of a session, for the turns to come.',
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
  hibernateSession: operation('POST', '/api/v1/sessions/{session_id}/hibernate', {
    id: 'hibernateSession',
    summary: 'Let the process of a session go; its next turn wakes it.',
    route: 'sessions',
    params: sessionPathSchema,
    answers: { 200: { description: 'The session, with no process.', schema: sessionSchema } },
    errors: ['session_not_found', 'session_busy', 'storage_full', 'worker_lost', 'store_unavailable'],
  }),
  wakeSession: operation('POST', '/api/v1/sessions/{session_id}/wake', {
    id: 'wakeSession',
    summary: 'Give a session a process before its next turn asks for one; lets a quarantined one go on.',
    route: 'sessions',
    params: sessionPathSchema,
    answers: { 200: { description: 'The session, ready.', schema: sessionSchema } },
    errors: ['session_not_found', 'session_failed', 'session_corrupt', 'agent_start_failed', ...capacityErrors],
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
    summary: 'List the turns of a session, all or those of one status.',
    route: 'turns',
    params: sessionPathSchema,
    query: turnsQuerySchema,
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
  steerTurn: operation('POST', '/api/v1/sessions/{session_id}/turns/{turn_id}/steer', {
    id: 'steerTurn',
    summary: 'Give a running turn more to go by.',
    route: 'turns',
    params: turnPathSchema,
    body: steerTurnRequestSchema,
    bodySize: 'large',
    takesIdempotencyKey: true,
    answers: { 202: { description: 'The turn; it has the prompt.', schema: turnSchema } },
    errors: ['session_not_found', 'turn_not_found', 'turn_not_running', 'worker_lost', 'idempotency_key_reused'],
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

  listApprovals: operation('GET', '/api/v1/approvals', {
    id: 'listApprovals',
    summary: 'List what Codex asked: all of it, or that of one session or status.',
    route: 'approvals',
    query: approvalsQuerySchema,
    answers: { 200: { description: 'A page.', schema: listSchema(approvalSchema) } },
    errors: ['session_not_found', 'cursor_invalid'],
  }),
  getApproval: operation('GET', '/api/v1/approvals/{approval_id}', {
    id: 'getApproval',
    summary: 'Look at an approval.',
    route: 'approvals',
    params: approvalPathSchema,
    answers: { 200: { description: 'The approval.', schema: approvalSchema } },
    errors: ['approval_not_found'],
  }),
  decideApproval: operation('POST', '/api/v1/approvals/{approval_id}/decision', {
    id: 'decideApproval',
    summary: 'Answer an approval. The first answer stands; the same one again is fine.',
    route: 'approvals',
    params: approvalPathSchema,
    body: decisionRequestSchema,
    answers: { 200: { description: 'The approval, decided.', schema: approvalSchema } },
    errors: ['approval_not_found', 'approval_settled', 'store_conflict', 'store_unavailable'],
  }),

  listFiles: operation('GET', '/api/v1/sessions/{session_id}/files', {
    id: 'listFiles',
    summary: 'List the files of a session.',
    route: 'files',
    params: sessionPathSchema,
    query: filesQuerySchema,
    answers: { 200: { description: 'A page, in byte order of paths.', schema: listSchema(fileSchema) } },
    errors: ['session_not_found', 'file_not_found', 'session_corrupt'],
  }),
  readFile: operation('GET', '/api/v1/sessions/{session_id}/files/{path}', {
    id: 'readFile',
    summary: 'Read a file, or a part of it. The path may have any number of /.',
    route: 'files',
    params: fileRefSchema,
    hasRestPath: true,
    hasHead: true,
    headers: [
      { name: 'Range', description: 'One range of bytes; several are answered with the whole file.' },
      { name: 'If-Range', description: 'Heed `Range` only if the file has this `ETag`.' },
      { name: 'If-None-Match', description: 'Answer 304 if the file has one of these.' },
    ],
    answers: {
      200: { ...octets, description: 'The octets; `ETag` is their hash.' },
      206: { ...octets, description: 'The octets of the range.' },
      304: { description: 'The file is as `If-None-Match` has it.' },
    },
    errors: ['session_not_found', 'file_not_found', 'range_not_satisfiable', 'store_conflict', 'session_corrupt'],
  }),
  writeFile: operation('PUT', '/api/v1/sessions/{session_id}/files/{path}', {
    id: 'writeFile',
    summary: 'Write a file, whole or not at all, with the directories on its way. Wakes the session.',
    route: 'files',
    params: fileRefSchema,
    hasRestPath: true,
    query: fileWriteQuerySchema,
    octets: 'file',
    headers: [ifMatch, { name: 'If-None-Match', description: '`*`: only where nothing is.' }],
    answers: {
      201: { description: 'The file is new; `ETag` is its hash.' },
      204: { description: 'The file was written over; `ETag` is its hash.' },
    },
    errors: ['session_not_found', 'precondition_failed', ...fileWriteErrors],
  }),
  deleteFile: operation('DELETE', '/api/v1/sessions/{session_id}/files/{path}', {
    id: 'deleteFile',
    summary: 'Delete a file, a link, or a directory with all in it. Wakes the session.',
    route: 'files',
    params: fileRefSchema,
    hasRestPath: true,
    headers: [ifMatch],
    answers: { 204: { description: 'It is gone.' } },
    errors: ['session_not_found', 'file_not_found', 'precondition_failed', ...fileWriteErrors],
  }),
  readArchive: operation('GET', '/api/v1/sessions/{session_id}/archive', {
    id: 'readArchive',
    summary: 'Read the workspace, or a directory of it, as an archive.',
    route: 'archive',
    params: sessionPathSchema,
    query: archiveQuerySchema,
    answers: archive,
    errors: ['session_not_found', 'file_not_found', 'session_corrupt'],
  }),
  writeArchive: operation('PUT', '/api/v1/sessions/{session_id}/archive', {
    id: 'writeArchive',
    summary: 'Unpack an archive into the workspace, or a directory of it: all or nothing. Wakes the session.',
    route: 'archive',
    params: sessionPathSchema,
    query: archiveQuerySchema,
    octets: 'archive',
    answers: { 200: { description: 'What was unpacked.', schema: unpackedSchema } },
    errors: ['session_not_found', 'archive_refused', ...fileWriteErrors],
  }),
  readDiff: operation('GET', '/api/v1/sessions/{session_id}/diff', {
    id: 'readDiff',
    summary: 'Compare the workspace with what it was; with `Accept: text/x-diff`, as one patch.',
    route: 'diff',
    params: sessionPathSchema,
    query: diffQuerySchema,
    answers: {
      200: [
        { description: 'A page, by path.', schema: listSchema(fileDiffSchema) },
        { description: 'One patch, whole.', contentType: 'text/x-diff', schema: z.string() },
      ],
    },
    errors: ['session_not_found', 'turn_not_found', 'snapshot_gone', 'session_corrupt'],
  }),

  ...jobOperations,
  ...webhookOperations,

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
  drainWorker: operation('POST', '/api/v1/workers/{worker_id}/drain', {
    id: 'drainWorker',
    summary: 'Have a worker take nothing new, give up its sessions and stop; it comes back when it is started again.',
    route: 'workers',
    params: workerPathSchema,
    answers: { 202: { description: 'It drains.', schema: workerDrainSchema } },
    errors: ['worker_not_found', 'worker_unreachable', 'worker_lost'],
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
