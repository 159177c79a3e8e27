// What is to be done for a session that nobody looks after, whatever is left of it.

import type { Records } from '../contracts/records.ts';
import type { SessionKey, WorkerLink } from '../contracts/worker-link.ts';
import type { SessionRecord } from '../core/session.ts';

export type LookAfterParts = {
  readonly records: Pick<Records, 'sessions' | 'turns'>;
  readonly worker: Pick<WorkerLink, 'recoverSession'>;
  readonly erase: (session: SessionRecord) => Promise<void>;
};

const pageLimit = 100;

/**
 * An erasure that was cut short is finished; turns that were made while their session went are removed, as
 * they would have been a moment before; any other session is given an owner.
 */
export async function lookAfterSession({ erase, records, worker }: LookAfterParts, key: SessionKey): Promise<void> {
  const { sessionId, tenant } = key;
  // In this order: a session that is made under this name afterwards has turns of its own.
  const open = await records.turns.listOpenOf(tenant, sessionId, { after: null, limit: pageLimit, order: 'asc' });
  const session = await records.sessions.get(tenant, sessionId);
  if (session === null) for (const { id } of open.data) await records.turns.erase(tenant, id);
  else if (session.erasing === true) await erase(session);
  else await worker.recoverSession(key);
}
