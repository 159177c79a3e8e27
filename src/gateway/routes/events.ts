// GET /api/v1/sessions/{id}/events: a live stream, or a page for those who ask for JSON.

import type { FastifyReply, FastifyRequest } from 'fastify';
import { eventPageJson, type EventsQuery } from '../../api/events.ts';
import { operations } from '../../api/operations.ts';
import type { LogKey } from '../../contracts/event-log.ts';
import { formatCursor, type StoredEvent } from '../../core/event.ts';
import type { TurnId } from '../../core/ids.ts';
import { isTerminal } from '../../core/turn.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import { inScope } from '../event-stream.ts';
import type { Gear } from '../gateway-parts.ts';
import { isTurnOverAt, placeOfCursor, readBehind } from '../log-places.ts';
import { fittingPage, maxPageCharacters } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';
import { sendEvents } from '../sse.ts';
import { requireTurn } from './turns.ts';

/** Events are at most 256 KiB, most are a hundred bytes. */
const readLimit = 256;

export function registerEvents(gear: Gear, server: HttpServer): void {
  registerOperation(server.app, gear, operations.readEvents, async ({ params, query, request, reply }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    const key = { tenant, sessionId: id };
    const turn = query.turn_id === undefined ? null : await requireTurn(gear, tenant, id, query.turn_id);
    const cursor = lastEventIdOf(request) ?? query.after;
    const after = cursor === undefined ? { seq: 0, epoch: null } : await placeOfCursor(gear, key, cursor);
    const afterSeq = after.seq;

    if (wantsPage(request)) return sendPage(gear, reply, key, afterSeq, query, turn?.id ?? null);

    const mayBeOver = turn !== null && isTerminal(turn.status) && afterSeq > 0;
    if (mayBeOver && (await isTurnOverAt(gear.log, key, turn.id, afterSeq))) {
      // A browser's EventSource would come back for ever; this is how it is told not to.
      return reply.code(204).send();
    }
    return sendEvents(gear, server, request, reply, {
      key,
      afterSeq,
      afterEpoch: after.epoch,
      turnId: turn?.id ?? null,
      endsByItself: turn !== null,
    });
  });
}

function wantsPage(request: FastifyRequest): boolean {
  const accept = request.headers.accept ?? '';
  return accept.includes('application/json') && !accept.includes('text/event-stream');
}

function lastEventIdOf(request: FastifyRequest): string | undefined {
  const id = request.headers['last-event-id'];
  return typeof id === 'string' && id !== '' ? id : undefined;
}

async function sendPage(
  gear: Gear,
  reply: FastifyReply,
  key: LogKey,
  afterSeq: number,
  { limit }: EventsQuery,
  turnId: TurnId | null,
): Promise<FastifyReply> {
  const found: StoredEvent[] = [];
  let position = afterSeq;
  let length = 0;
  let hasMore = true;
  while (found.length < limit && hasMore) {
    const page = await readBehind(gear.log, key, position, Math.min(limit, readLimit));
    const { events, isOver } = inScope(page.events, turnId);
    found.push(...events);
    position = page.events.at(-1)?.header.seq ?? page.lastSeq;
    hasMore = !isOver && position < page.lastSeq;
    for (const event of events) length += event.body.length;
    if (length > maxPageCharacters) break;
    // Of a turn that is far behind in a long log there is nothing for many reads.
    if (events.length === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  const data = fittingPage(found.slice(0, limit), (event) => event.body.length);
  const first = data[0];
  const last = data.at(-1);
  const json = eventPageJson(
    data.map((event) => event.body),
    first === undefined ? null : formatCursor(first.header),
    last === undefined ? null : formatCursor(last.header),
    hasMore || found.length > data.length,
  );
  return reply.header('content-type', 'application/json; charset=utf-8').send(json);
}
