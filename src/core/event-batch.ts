// What must be true of events that are appended together, whatever the log is.

import { ServiceError } from './errors.ts';
import type { StoredEvent } from './event.ts';
import type { SessionId, TenantId } from './ids.ts';

/** What the types cannot say: a batch that breaks it is a defect of the caller's. */
export function assertBatch(
  key: { readonly tenant: TenantId; readonly sessionId: SessionId },
  epoch: number,
  events: readonly StoredEvent[],
): void {
  const firstSeq = events[0]?.header.seq ?? 1;
  const borne = events[0]?.header.epoch ?? epoch;
  for (const [index, { header }] of events.entries()) {
    const isOfKey = header.tenant === key.tenant && header.sessionId === key.sessionId && header.epoch === borne;
    if (isOfKey && borne <= epoch && header.seq === firstSeq + index && firstSeq >= 1) continue;
    const message = 'a batch must be of one session and epoch, its seqs consecutive';
    throw new ServiceError('internal', {}, { message });
  }
}
