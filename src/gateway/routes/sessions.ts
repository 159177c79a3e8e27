// /api/v1/sessions: make, list, look at, change, erase.

import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { patchedSession, toSessionResource, toSessionSpec } from '../../api/sessions.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { HttpServer } from '../../http/server.ts';
import { principalOf } from '../auth.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { makeSession, requireSession } from '../session-door.ts';

/** A worker writes the record too: a few tries find a moment between its writes. */
const patchTries = 5;
const slotDeadlineMs = 250;

export function registerSessions(gear: Gear, { app }: HttpServer): void {
  registerOperation(app, gear, operations.createSession, async ({ body, request, reply }) => {
    const spec = toSessionSpec(body ?? {});
    const { session, isNew } = await makeSession(gear, principalOf(request), spec);
    if (!isNew) throw new ServiceError('session_exists', { session_id: session.id });
    reply.code(201).header('location', `/api/v1/sessions/${session.id}`);
    return toSessionResource(session);
  });

  registerOperation(app, gear, operations.listSessions, async ({ query, request }) => {
    const { after = null, limit, order } = query;
    const page = await gear.records.sessions.list(principalOf(request).tenant, { after, limit, order });
    return toList(
      page.data.map((session) => toSessionResource(session)),
      page.hasMore,
    );
  });

  registerOperation(app, gear, operations.getSession, async ({ params, request }) => {
    const session = await requireSession(gear, principalOf(request).tenant, params.session_id);
    return toSessionResource(session, await slotOf(gear, session));
  });

  registerOperation(app, gear, operations.patchSession, async ({ params, body, request }) => {
    for (let tries = 0; tries < patchTries; tries += 1) {
      const session = await requireSession(gear, principalOf(request).tenant, params.session_id);
      const changed = await gear.records.sessions.replace(patchedSession(session, body));
      if (changed !== null) return toSessionResource(changed);
    }
    throw new ServiceError('store_conflict');
  });

  registerOperation(app, gear, operations.deleteSession, async ({ params, request }) => {
    const { tenant, id } = await requireSession(gear, principalOf(request).tenant, params.session_id);
    const key = { tenant, sessionId: id };
    // The worker first: what it still wrote afterwards would come back from the dead.
    if ((await eraseOnWorker(gear, key)) === 'late')
      throw new ServiceError(
        'no_worker_ready',
        {},
        { message: 'The worker did not answer in time; nothing was erased yet.' },
      );
    await gear.log.erase(key);
    await gear.records.sessions.erase(tenant, id);
    // A turn that came in between has brought it back; from here on nobody can.
    if ((await eraseOnWorker(gear, key)) === 'late')
      gear.logger.warn({ event: 'session_erased_late', session_id: id }, 'Worker did not answer in time');
    await gear.log.erase(key);
    return { id, object: 'session', deleted: true };
  });
}

function eraseOnWorker(gear: Gear, key: SessionKey): Promise<'erased' | 'late'> {
  const erased = gear.worker.eraseSession(key).then(() => 'erased' as const);
  return within(gear.clock, gear.limits.workerDeadlineMs, erased, 'late');
}

/** Worth no wait and no error: null when the worker does not say at once. */
async function slotOf(gear: Gear, session: SessionRecord): Promise<string | null> {
  if (session.worker === null) return null;
  const status = await within(gear.clock, slotDeadlineMs, gear.worker.status(), null).catch(() => null);
  const { tenant, id } = session;
  const bound = status?.boundSessions?.find((entry) => entry.sessionId === id && entry.tenant === tenant);
  return bound?.slotId ?? null;
}
