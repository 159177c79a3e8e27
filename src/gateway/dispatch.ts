// Hands a turn whose record exists to a worker. A refusal settles the record, so that none lies; what
// is unknown is left to the log. Does not parse requests, does not know HTTP, does not keep sessions.

import type { StartOptions } from '../contracts/worker-link.ts';
import { within } from '../core/deadline.ts';
import { isServiceError, type ErrorCode, type ServiceError } from '../core/errors.ts';
import { endedTurn, type TurnRecord, wasNeverTaken } from '../core/turn.ts';
import { asServiceError } from '../http/error-reply.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'worker' | 'records' | 'clock' | 'logger' | 'limits'>;

/** Codes with which a worker says that it took nothing. */
const refusalCodes: readonly ErrorCode[] = [
  'queue_full',
  'draining',
  'worker_reserved',
  'no_worker_ready',
  'worker_unreachable',
  'session_busy',
  'session_failed',
  'session_quarantined',
  'session_full',
  'agent_start_failed',
  'storage_full',
  'store_unavailable',
  'store_conflict',
  'session_not_found',
  'turn_not_found',
  'stale_epoch',
];

/** Another writer of the session's record came first: nothing was taken, and the next moment is as good as any. */
const conflictTries = 3;

/**
 * A turn that no worker ever took: the same request may try again under the same id. One that a worker
 * ended before it ran has a reason, and its end was told: it stays ended.
 */
export function wasRefused(turn: TurnRecord): boolean {
  return wasNeverTaken(turn) && refusalCodes.some((code) => code === turn.error?.code);
}

/** Rejects only when no worker has the turn. */
export async function dispatchTurn(
  parts: Parts,
  turn: TurnRecord,
  isNew: boolean,
  options: StartOptions = {},
): Promise<void> {
  const { clock, limits, logger } = parts;
  const facts = { session_id: turn.sessionId, turn_id: turn.id };
  const handover = handOver(parts, turn, options).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  const failed = await within(clock, limits.workerDeadlineMs, handover, 'late');
  if (failed === null) return;
  if (failed === 'late') {
    logger.warn({ event: 'turn_handover_late', ...facts }, 'Worker did not answer in time');
    // The caller is told that it is accepted, so only a worker may end it from now on: whoever looks after
    // open turns gives it to one.
    void handover.then((refused) => {
      if (refused !== null)
        logger.warn(
          { event: 'turn_refused_late', ...facts, err: refused.error },
          'A turn was refused after its handover',
        );
    });
    return;
  }
  const { error } = failed;
  if (isServiceError(error, 'worker_lost')) {
    // It may have been taken: the log and the record will tell, this call cannot.
    logger.warn({ event: 'turn_handover_unclear', ...facts, err: error }, 'Handover of a turn failed');
    return;
  }
  if (isServiceError(error, 'worker_reserved') && options.onlyIfIdle !== true) {
    // Asked for by this, a worker is being replaced by one that serves anybody: whoever looks after open turns
    // gives the turn to it. Refused, the tenant would find the next worker taken by those who asked again sooner.
    logger.info({ event: 'turn_waits_for_worker', ...facts }, 'A turn waits for a worker that serves its tenant');
    return;
  }
  // Nobody would end a turn that failed for a reason that nobody foresaw. A worker that took it all
  // the same finds its record ended, and does not begin. No deadline: what is settled here is not accepted.
  const standing = await standingOf(parts, turn);
  if (standing === 'unknown') {
    // It cannot be ended either, and would run: to say that nothing was accepted would have it asked for again. Whoever
    // looks after open turns gives it to a worker; but not one that must not wait.
    if (options.onlyIfIdle === true) throw error;
    logger.warn({ event: 'turn_handover_unclear', ...facts, err: error }, 'Handover of a turn failed');
    return;
  }
  if (await isStillUntaken(parts, standing, asServiceError(error), isNew)) throw error;
}

async function handOver(parts: Parts, turn: TurnRecord, options: StartOptions): Promise<void> {
  const key = { tenant: turn.tenant, sessionId: turn.sessionId, turnId: turn.id };
  for (let tries = 1; ; tries += 1) {
    try {
      await parts.worker.startTurn(key, options);
      return;
    } catch (error) {
      if (!isServiceError(error, 'store_conflict') || tries === conflictTries) throw error;
    }
  }
}

/** unknown: the records are away, where it was a moment ago. */
async function standingOf({ records }: Parts, { id, tenant }: TurnRecord): Promise<TurnRecord | null | 'unknown'> {
  try {
    return await records.turns.get(tenant, id);
  } catch (error) {
    if (!isServiceError(error, 'store_unavailable')) throw error;
    return 'unknown';
  }
}

async function isStillUntaken(
  parts: Parts,
  now: TurnRecord | null,
  refusal: ServiceError,
  isNew: boolean,
): Promise<boolean> {
  if (now === null || wasRefused(now)) return true;
  if (now.status !== 'queued') return false;
  // Only who made the turn may end it: a repeat cannot know what became of the first call.
  if (!isNew) return true;
  return endRefused(parts, now, refusal);
}

/** Ends one that no worker has taken, as `wasRefused` has it. false where it has gone on since. */
export async function endRefused(
  { clock, records }: Pick<Parts, 'clock' | 'records'>,
  turn: TurnRecord,
  { code, message }: ServiceError,
): Promise<boolean> {
  const { usage } = turn;
  const outcome = { status: 'failed', reason: null, finalMessage: '', error: { code, message }, usage } as const;
  const ended = endedTurn(turn, outcome, clock.now());
  return ended !== null && (await records.turns.replace(ended)) !== null;
}
