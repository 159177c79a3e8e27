// /api/v1/sessions: make, list, look at, change, let rest, wake, erase.

import { toList } from '../../api/list.ts';
import { operations } from '../../api/operations.ts';
import { patchedSession, toSessionResource, toSessionSpec } from '../../api/sessions.ts';
import type { SessionKey } from '../../contracts/worker-link.ts';
import { within } from '../../core/deadline.ts';
import { ServiceError } from '../../core/errors.ts';
import type { TenantId } from '../../core/ids.ts';
import type { SessionRecord } from '../../core/session.ts';
import type { HttpServer } from '../../http/server.ts';
import { askWorker, type Lateness } from '../ask-worker.ts';
import { principalOf } from '../auth.ts';
import { eraseSession } from '../erase-session.ts';
import type { Gear } from '../gateway-parts.ts';
import { registerOperation } from '../register-operation.ts';
import { findRecord, makeSession, requireSession } from '../session-door.ts';

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
    const sessions = page.data.filter(({ erasing }) => erasing !== true);
    const list = toList(
      sessions.map((session) => toSessionResource(session)),
      page.hasMore,
    );
    return { ...list, last_id: page.data.at(-1)?.id ?? null };
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

  const ask = async (tenant: TenantId, ref: string, what: (key: SessionKey) => Promise<void>, late: Lateness) => {
    const { id } = await requireSession(gear, tenant, ref);
    await askWorker(gear, what({ tenant, sessionId: id }), late);
    const session = await requireSession(gear, tenant, id);
    return toSessionResource(session, await slotOf(gear, session));
  };

  registerOperation(app, gear, operations.hibernateSession, ({ params, request }) =>
    ask(principalOf(request).tenant, params.session_id, (key) => gear.worker.hibernateSession(key), {
      code: 'worker_lost',
      message: 'The worker did not say in time that the session rests.',
    }),
  );

  registerOperation(app, gear, operations.wakeSession, ({ params, request }) =>
    ask(principalOf(request).tenant, params.session_id, (key) => gear.worker.wakeSession(key), {
      code: 'no_worker_ready',
      message: 'No process came free in time; the session may still get one.',
    }),
  );

  registerOperation(app, gear, operations.deleteSession, async ({ params, request }) => {
    const session = await findRecord(gear, principalOf(request).tenant, params.session_id);
    if (session === null) throw new ServiceError('session_not_found', { session_id: params.session_id });
    await eraseSession(gear, session);
    return { id: session.id, object: 'session', deleted: true };
  });
}

/** Worth no wait and no error: null when the worker does not say at once. */
async function slotOf(gear: Gear, session: SessionRecord): Promise<string | null> {
  if (session.worker === null) return null;
  const status = await within(gear.clock, slotDeadlineMs, gear.worker.status(), null).catch(() => null);
  const { tenant, id } = session;
  const bound = status?.boundSessions?.find((entry) => entry.sessionId === id && entry.tenant === tenant);
  return bound?.slotId ?? null;
}
