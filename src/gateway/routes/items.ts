// /api/v1/sessions/{id}/items: the transcript, read out of the log.

import { type ItemResource, type ItemsQuery, toItemList } from '../../api/items.ts';
import type { ListOf } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import type { LogKey } from '../../contracts/event-log.ts';
import type { EventEnvelope, StoredEvent } from '../../core/event.ts';
import { ServiceError } from '../../core/errors.ts';
import { isJsonObject } from '../../http/json-text.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { placeOfCursor, scanLog } from '../log-places.ts';
import { fittingPage } from '../page-size.ts';
import { registerOperation } from '../register-operation.ts';
import { requireSession } from '../session-door.ts';

export function registerItems(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.listItems, async ({ params, query, request }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    return listItems(gear, { tenant, sessionId: id }, query);
  });

  registerOperation(app, gear, operations.getItem, async ({ params, request }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    let found: StoredEvent | null = null;
    // Reading an event costs more than looking for the id in it.
    const idInJson = JSON.stringify(params.item_id).slice(1, -1);
    for await (const event of completedItems(gear, { tenant, sessionId: id }, 0)) {
      if (event.body.includes(idInJson) && resourceOf(event)?.id === params.item_id) found = event;
    }
    const resource = found === null ? null : resourceOf(found);
    if (found === null || resource === null) throw new ServiceError('item_not_found', { item_id: params.item_id });
    const isCut = resource.item['truncated'] === true && found.raw !== null;
    const whole = isCut && found.raw !== null ? gear.wholeItem(found.raw) : null;
    return whole === null ? resource : { ...resource, item: { ...whole, id: resource.id } };
  });
}

async function listItems(gear: Gear, key: LogKey, { after, limit, order }: ItemsQuery): Promise<ListOf<ItemResource>> {
  const placeSeq = after === undefined ? null : (await placeOfCursor(gear, key, after)).seq;
  const found: StoredEvent[] = [];
  if (order === 'asc') {
    for await (const event of completedItems(gear, key, placeSeq ?? 0)) {
      found.push(event);
      if (found.length > limit) break;
    }
  } else {
    for await (const event of completedItems(gear, key, 0)) {
      if (placeSeq !== null && event.header.seq >= placeSeq) break;
      // One more than asked for tells whether there are more.
      if (found.push(event) > limit + 1) found.shift();
    }
    found.reverse();
  }
  const onPage = fittingPage(found.slice(0, limit), (event) => event.body.length);
  const items = onPage.map(resourceOf).filter((item) => item !== null);
  return toItemList(items, found.length > onPage.length);
}

async function* completedItems(gear: Gear, key: LogKey, afterSeq: number): AsyncGenerator<StoredEvent> {
  for await (const events of scanLog(gear.log, key, afterSeq)) {
    for (const event of events) if (event.header.type === 'item.completed') yield event;
  }
}

function resourceOf(event: StoredEvent): ItemResource | null {
  const body = JSON.parse(event.body) as EventEnvelope & { readonly item?: unknown };
  const { item } = body;
  if (!isJsonObject(item) || typeof item['id'] !== 'string' || typeof item['type'] !== 'string') return null;
  return {
    id: item['id'],
    object: 'item',
    session_id: body.session_id,
    turn_id: body.turn_id,
    cursor: body.cursor,
    completed_at: body.at,
    item: { ...item, id: item['id'], type: item['type'] },
  };
}
