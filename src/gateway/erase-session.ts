// Ends a session for good. The record is marked first and goes last: from the mark on nobody finds the
// session, and whoever names it again finishes what a crash cut short. Each step may be repeated.

import type * as z from 'zod';
import type { deletedSessionSchema } from '../api/sessions.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import { askWorker } from './ask-worker.ts';
import { eraseLateDeliveries } from './erase-deliveries.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'records' | 'log' | 'worker' | 'outbox' | 'clock' | 'limits' | 'logger'>;

/** A worker writes the record too. */
const markTries = 5;

/** Rejects with `no_worker_ready` or `store_conflict`; asked again, it goes on. */
export async function eraseSession(parts: Parts, session: SessionRecord): Promise<void> {
  const { log, records } = parts;
  const key = { tenant: session.tenant, sessionId: session.id };
  await mark(parts, session);
  // The worker first: what it still wrote afterwards would come back from the dead.
  await eraseOnWorker(parts, key);
  await log.erase(key);
  await records.deliveries.eraseOf(key.tenant, { sessionId: key.sessionId });
  await tellErased(parts, session);
  await records.sessions.erase(key.tenant, key.sessionId);
  // A turn that was on its way when the mark was set has brought it back; from here on nobody can.
  await eraseOnWorker(parts, key).catch((error: unknown) =>
    parts.logger.warn(
      { event: 'session_erased_late', session_id: session.id, err: error },
      'Worker did not erase a session again',
    ),
  );
  await log.erase(key);
  await eraseLateDeliveries(parts, key.tenant, { sessionId: key.sessionId });
}

/** Before the record goes: whoever finishes what was cut short says it again. */
async function tellErased({ clock, outbox }: Parts, { id, tenant }: SessionRecord): Promise<void> {
  const type = 'session.deleted';
  const data: z.output<typeof deletedSessionSchema> = { id, object: 'session', deleted: true };
  await outbox.put([
    {
      tenant,
      identity: `${id} ${type}`,
      lane: id,
      // Nothing comes after it.
      order: Number.MAX_SAFE_INTEGER,
      // It outlives the session: nothing of that is in it.
      sessionId: null,
      jobId: null,
      type,
      at: clock.now(),
      data: JSON.stringify(data),
    },
  ]);
}

function eraseOnWorker(parts: Parts, key: SessionKey): Promise<void> {
  return askWorker(parts, parts.worker.eraseSession(key), {
    code: 'no_worker_ready',
    message: 'The worker did not answer in time; ask again, so that the session is erased.',
  });
}

async function mark({ records }: Parts, session: SessionRecord): Promise<void> {
  let current: SessionRecord | null = session;
  for (let tries = 0; tries < markTries; tries += 1) {
    if (current === null || current.erasing === true) return;
    if ((await records.sessions.replace({ ...current, erasing: true })) !== null) return;
    current = await records.sessions.get(session.tenant, session.id);
  }
  throw new ServiceError('store_conflict');
}
