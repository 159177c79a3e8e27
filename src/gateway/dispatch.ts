// Hands a turn whose record exists to a worker. A refusal settles the record, so that none lies; what
// is unknown is left to the log. Does not parse requests, does not know HTTP, does not keep sessions.

import { within } from '../core/deadline.ts';
import { isServiceError, type ErrorCode, type ServiceError } from '../core/errors.ts';
import { endedTurn, type TurnRecord } from '../core/turn.ts';
import { asServiceError } from '../http/error-reply.ts';
import type { Gear } from './gateway-parts.ts';

type Parts = Pick<Gear, 'worker' | 'records' | 'clock' | 'logger' | 'limits'>;

/** Codes with which a worker says that it took nothing. */
const refusalCodes: readonly ErrorCode[] = [
  'queue_full',
  'draining',
  'no_worker_ready',
  'worker_unreachable',
  'session_failed',
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

/** A turn that no worker ever took: the same request may try again under the same id. */
export function wasRefused(turn: TurnRecord): boolean {
  return turn.status === 'failed' && turn.startedAt === null && refusalCodes.some((code) => code === turn.error?.code);
}

/** Rejects only when no worker has the turn. */
export async function dispatchTurn(parts: Parts, turn: TurnRecord, isNew: boolean): Promise<void> {
  try {
    if ((await handOver(parts, turn)) === 'late')
      parts.logger.warn({ event: 'turn_handover_late', turn_id: turn.id }, 'Worker did not answer in time');
  } catch (error) {
    if (isServiceError(error, 'worker_lost')) {
      // It may have been taken: the log and the record will tell, this call cannot.
      parts.logger.warn({ event: 'turn_handover_unclear', turn_id: turn.id, err: error }, 'Handover of a turn failed');
      return;
    }
    // Nobody would end a turn that failed for a reason that nobody foresaw. A worker that took it all
    // the same finds its record ended, and does not begin.
    if (await isStillUntaken(parts, turn, asServiceError(error), isNew)) throw error;
  }
}

async function handOver(parts: Parts, turn: TurnRecord): Promise<'taken' | 'late'> {
  const key = { tenant: turn.tenant, sessionId: turn.sessionId, turnId: turn.id };
  for (let tries = 1; ; tries += 1) {
    try {
      const taken = parts.worker.startTurn(key).then(() => 'taken' as const);
      return await within(parts.clock, parts.limits.workerDeadlineMs, taken, 'late' as const);
    } catch (error) {
      if (!isServiceError(error, 'store_conflict') || tries === conflictTries) throw error;
    }
  }
}

async function isStillUntaken(parts: Parts, turn: TurnRecord, refusal: ServiceError, isNew: boolean): Promise<boolean> {
  const now = await parts.records.turns.get(turn.tenant, turn.id);
  if (now === null || wasRefused(now)) return true;
  if (now.status !== 'queued') return false;
  // Only who made the turn may end it: a repeat cannot know what became of the first call.
  if (!isNew) return true;
  const settled = endedTurn(
    now,
    {
      status: 'failed',
      reason: null,
      finalMessage: '',
      error: { code: refusal.code, message: refusal.message },
      usage: now.usage,
    },
    parts.clock.now(),
  );
  return settled !== null && (await parts.records.turns.replace(settled)) !== null;
}
