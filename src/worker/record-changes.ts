// Changes of records that others write, too: read again and repeat when another write came first.

import type { Records } from '../contracts/records.ts';
import { ServiceError } from '../core/errors.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';

/** More writers than this at one record at one time is a defect, not load. */
const mostAttempts = 10;

/** null when the session is gone. `known` saves the first read. */
export async function changeSession(
  records: Records,
  known: SessionRecord,
  change: (session: SessionRecord) => SessionRecord,
): Promise<SessionRecord | null> {
  let current: SessionRecord | null = known;
  for (let attempt = 0; attempt < mostAttempts && current !== null; attempt++) {
    const written = await records.sessions.replace(change(current));
    if (written !== null) return written;
    current = await records.sessions.get(known.tenant, known.id);
  }
  if (current === null) return null;
  throw new ServiceError('store_conflict');
}

/** null when the step is not possible any more: `step` said so. */
export async function changeTurn(
  records: Records,
  known: TurnRecord,
  step: (turn: TurnRecord) => TurnRecord | null,
): Promise<TurnRecord | null> {
  let current: TurnRecord | null = known;
  for (let attempt = 0; attempt < mostAttempts && current !== null; attempt++) {
    const next = step(current);
    if (next === null) return null;
    const written = await records.turns.replace(next);
    if (written !== null) return written;
    current = await records.turns.get(known.tenant, known.id);
  }
  if (current === null) return null;
  throw new ServiceError('store_conflict');
}
