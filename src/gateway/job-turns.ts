// A job's turns, through the same steps as a client's: session, record, handover. Under ids that follow from the
// job, so that who tries again finds what was made. When a turn is started, and how often, is decided elsewhere.

import type { SessionId, TurnId } from '../core/ids.ts';
import type { JobRecord } from '../core/job.ts';
import { newTurn, type TurnRecord } from '../core/turn.ts';
import { dispatchTurn, wasRefused } from './dispatch.ts';
import type { Gear } from './gateway-parts.ts';
import { findOrMakeSession } from './session-door.ts';

export type JobTurnsParts = Pick<
  Gear,
  'records' | 'clock' | 'defaultSandbox' | 'allowedSandboxes' | 'log' | 'worker' | 'limits' | 'logger' | 'outbox'
>;

/** Of one attempt; the session's only where the job names none. */
export type AttemptIds = { readonly turnId: TurnId; readonly sessionId: SessionId };

/**
 * The turn as it stands once a worker has it; asked again, the same turn. Rejects with what a client would be
 * told: nothing runs then, and it may be tried again under the same ids.
 */
export async function startJobTurn(parts: JobTurnsParts, job: JobRecord, ids: AttemptIds): Promise<TurnRecord> {
  const { records } = parts;
  const principal = { tenant: job.tenant, name: job.createdBy };
  const { session } = await findOrMakeSession(parts, principal, job.spec.sessionRef, ids.sessionId);
  const { turn, isNew } = await recordJobTurn(parts, draftOf(parts, job, { ...ids, sessionId: session.id }));
  if (turn.status !== 'queued') return turn;
  await dispatchTurn(parts, turn, isNew);
  return (await records.turns.get(turn.tenant, turn.id)) ?? turn;
}

export async function cancelJobTurn({ worker }: Pick<Gear, 'worker'>, turn: TurnRecord): Promise<void> {
  await worker.cancelTurn({ tenant: turn.tenant, sessionId: turn.sessionId, turnId: turn.id });
}

function draftOf({ clock }: JobTurnsParts, { id, requestId, spec, tenant }: JobRecord, ids: AttemptIds): TurnRecord {
  const { effort, model, outputSchema, prompt, queueTimeoutMs, timeoutMs } = spec;
  return {
    tenant,
    id: ids.turnId,
    sessionId: ids.sessionId,
    ...newTurn,
    ...{ prompt, model, effort, outputSchema, timeoutMs, queueTimeoutMs },
    jobId: id,
    requestHash: null,
    createdAt: clock.now(),
    ...(requestId === null ? {} : { requestId }),
  };
}

async function recordJobTurn(
  { records }: JobTurnsParts,
  draft: TurnRecord,
): Promise<{ turn: TurnRecord; isNew: boolean }> {
  const made = await records.turns.create(draft);
  if (made.outcome === 'created') return { turn: made.record, isNew: true };
  if (!wasRefused(made.record)) return { turn: made.record, isNew: false };
  // Nothing was taken the first time.
  const retried = await records.turns.replace({ ...draft, revision: made.record.revision });
  if (retried !== null) return { turn: retried, isNew: true };
  return { turn: (await records.turns.get(draft.tenant, draft.id)) ?? made.record, isNew: false };
}
