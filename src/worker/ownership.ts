// Whether a session is still a run's to write, by what must be true: its record.

import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import { answered } from './store-answer.ts';

export type Ownership = SessionKey & { readonly epoch: number; readonly boot: string };

/** Rejects when the records do not answer. */
export async function isOwner(
  { clock, records }: { readonly clock: Clock; readonly records: Pick<WorkerRecords, 'sessions'> },
  { boot, epoch, sessionId, tenant }: Ownership,
): Promise<boolean> {
  const session = await answered(clock, records.sessions.get(tenant, sessionId));
  return session !== null && session.epoch === epoch && session.boot === boot;
}
