// Changes of records that others write, too: read again and repeat when another write came first.

import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { ApprovalRecord } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import { answered } from './store-answer.ts';

/** More writers than this at one record at one time is a defect, not load. */
const mostAttempts = 10;

type Stores<Kind extends keyof WorkerRecords> = { readonly records: Pick<WorkerRecords, Kind>; readonly clock: Clock };

/** null when the session is gone, or `change` said no. `known` saves the first read. */
export function changeSession(
  { clock, records }: Stores<'sessions'>,
  known: SessionRecord,
  change: (session: SessionRecord) => SessionRecord | null,
): Promise<SessionRecord | null> {
  return repeated(known, change, {
    replace: (next) => answered(clock, records.sessions.replace(next)),
    get: () => answered(clock, records.sessions.get(known.tenant, known.id)),
  });
}

/** null when the turn is gone, or the step is not possible any more: `step` said so. */
export function changeTurn(
  { clock, records }: Stores<'turns'>,
  known: TurnRecord,
  step: (turn: TurnRecord) => TurnRecord | null,
): Promise<TurnRecord | null> {
  return repeated(known, step, {
    replace: (next) => answered(clock, records.turns.replace(next)),
    get: () => answered(clock, records.turns.get(known.tenant, known.id)),
  });
}

/** null when the approval is gone, or the step is not possible any more. */
export function changeApproval(
  { clock, records }: Stores<'approvals'>,
  known: ApprovalRecord,
  step: (approval: ApprovalRecord) => ApprovalRecord | null,
): Promise<ApprovalRecord | null> {
  return repeated(known, step, {
    replace: (next) => answered(clock, records.approvals.replace(next)),
    get: () => answered(clock, records.approvals.get(known.tenant, known.id)),
  });
}

type Access<T> = { readonly replace: (next: T) => Promise<T | null>; readonly get: () => Promise<T | null> };

async function repeated<T>(known: T, step: (standing: T) => T | null, access: Access<T>): Promise<T | null> {
  let current: T | null = known;
  for (let attempt = 0; attempt < mostAttempts && current !== null; attempt++) {
    const next = step(current);
    if (next === null) return null;
    const written = await access.replace(next);
    if (written !== null) return written;
    current = await access.get();
  }
  if (current === null) return null;
  throw new ServiceError('store_conflict');
}
