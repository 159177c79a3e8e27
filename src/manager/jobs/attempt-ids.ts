// Ids that follow from what they are for: whoever starts an attempt, or makes a job of a schedule, and however
// often, it is the same one. Frozen: what is on record was named this way.

import { createHash } from 'node:crypto';
import { idOfDigest, type SessionId, type TurnId } from '../../core/ids.ts';
import type { JobRecord } from '../../core/job.ts';
import type { ScheduleRecord } from '../../core/schedule.ts';

type Named = Pick<JobRecord, 'tenant' | 'id'>;

export function attemptTurnId(job: Named, attempt: number): TurnId {
  return derived('job turn', job, attempt);
}

/** Of the session that an attempt has for itself, where its job names none. */
export function attemptSessionId(job: Named, attempt: number): SessionId {
  return derived('job session', job, attempt);
}

export function scheduledJobId(schedule: Pick<ScheduleRecord, 'tenant' | 'id'>, dueAt: number): string {
  return derived('scheduled job', schedule, dueAt);
}

function derived(kind: string, { tenant, id }: Named, number: number): string {
  // As a JSON array, so that no part can run into the next.
  return idOfDigest(
    createHash('sha256')
      .update(JSON.stringify([kind, tenant, id, number]))
      .digest(),
  );
}
