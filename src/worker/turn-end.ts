// How a turn's end is told: recorded first, together with what its session is after it, then its one
// terminal event. Who has seen the event finds the record ended. Does not decide how the turn ended.

import { toTurnResult } from '../api/turns.ts';
import type { SessionRecord } from '../core/session.ts';
import { endedTurn, executionTimeMs, wasNeverTaken, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import type { HostParts } from './host-parts.ts';
import type { SessionNotices } from './session-notices.ts';
import type { SessionRecorder } from './session-recorder.ts';
import { answered } from './store-answer.ts';
import type { SessionWriter } from './session-writer.ts';

export type TurnEnd = {
  readonly parts: Pick<HostParts, 'clock' | 'logger' | 'metrics' | 'records'>;
  readonly writer: SessionWriter;
  readonly recorder: SessionRecorder;
  readonly notices: SessionNotices;
  readonly turn: TurnRecord;
  readonly outcome: TurnOutcome;
  /** Another turn was recorded that goes on with this one. */
  readonly goesOn: boolean;
  /** The right to write the session is gone, or nobody waits for the store any longer. */
  readonly mayNotRecord: () => boolean;
  /** The store was away for longer than anybody may be kept: the turn is left to whoever takes the session next. */
  readonly onGivenUp: () => void;
  /** What the session is after it. */
  readonly settle: (session: SessionRecord, ended: TurnRecord) => SessionRecord;
};

const firstRetryMs = 100;
const longestRetryMs = 5_000;
const patienceMs = 120_000;

/** Resolves with the turn as it stands; never rejects: what could not be recorded is in the log of the process. */
export async function recordEnd(end: TurnEnd): Promise<TurnRecord> {
  const { outcome, parts, turn } = end;
  const { clock, logger, metrics } = parts;
  const nowMs = clock.now();
  try {
    const ended = await recordPatiently(end, nowMs);
    if (ended === 'not_ours') return turn;
    if (ended === null) {
      logger.warn({ event: 'turn_ended_twice', turn_id: turn.id }, 'a turn had been ended by another');
      return (await tellRefused(end)) ?? endedTurn(turn, outcome, nowMs) ?? turn;
    }
    await tellEnd(end, ended);
    const durationMs = executionTimeMs(ended, nowMs);
    metrics.turns.inc({ outcome: outcome.status });
    metrics.turnEnds.inc({ reason: outcome.reason ?? 'none', goes_on: end.goesOn ? 'yes' : 'no' });
    if (ended.startedAt !== null) metrics.turnDurationSeconds.observe(durationMs / 1000);
    logger.info(
      {
        event: 'turn_ended',
        session_id: ended.sessionId,
        turn_id: ended.id,
        request_id: ended.requestId,
        status: ended.status,
        reason: ended.reason,
        code: ended.error?.code ?? null,
        execution_time_ms: durationMs,
      },
      'turn ended',
    );
    return ended;
  } catch (error) {
    logger.error(
      { event: 'turn_not_recorded', turn_id: turn.id, err: error },
      'the end of a turn could not be recorded',
    );
    end.onGivenUp();
    return turn;
  }
}

/**
 * A gateway gave up a turn that it could not hand over, while somebody else had: its record has ended, and
 * only who holds the session can tell. null when it was ended by who tells of it.
 */
async function tellRefused(end: TurnEnd): Promise<TurnRecord | null> {
  const { parts, turn } = end;
  const standing = await answered(parts.clock, parts.records.turns.get(turn.tenant, turn.id));
  if (standing === null || !wasNeverTaken(standing)) return null;
  await tellEnd(end, standing);
  return standing;
}

/** The one terminal event of a turn whose end is recorded. The whole answer, so that a stream needs no second call. */
export async function tellEnd(
  { notices, recorder, writer }: Pick<TurnEnd, 'notices' | 'recorder' | 'writer'>,
  ended: TurnRecord,
): Promise<void> {
  writer.write({
    type: `turn.${ended.status}`,
    turnId: ended.id,
    fields: { ...toTurnResult(ended, ended.endedAt ?? 0), reason: ended.reason },
    raw: null,
  });
  recorder.telling(ended.id, writer.lastSeq);
  await writer.flushed();
  if (!writer.isClosed) notices.turnEnded(ended);
}

/** null when the turn had ended already, or is gone. */
async function recordPatiently(
  { mayNotRecord, outcome, parts, recorder, settle, turn }: TurnEnd,
  nowMs: number,
): Promise<TurnRecord | null | 'not_ours'> {
  const { clock, logger } = parts;
  const giveUpAtMs = clock.monotonicMs() + patienceMs;
  for (let retryMs = firstRetryMs; ; retryMs = Math.min(longestRetryMs, retryMs * 2)) {
    let isNotOurs = false;
    let written: TurnRecord | null = null;
    try {
      const ended = await recorder.commit({
        turn,
        changeTurn: (standing) => {
          isNotOurs = mayNotRecord();
          // An earlier attempt whose answer was lost had done it.
          if (standing.status === outcome.status && standing.endedAt === nowMs) written = standing;
          return isNotOurs ? null : endedTurn(standing, outcome, nowMs);
        },
        settleSession: settle,
      });
      return isNotOurs || (ended === null && mayNotRecord()) ? 'not_ours' : (ended ?? written);
    } catch (error) {
      if (clock.monotonicMs() >= giveUpAtMs || mayNotRecord()) throw error;
      logger.warn(
        { event: 'turn_end_not_recorded_yet', turn_id: turn.id, err: error },
        'the end of a turn could not be recorded; it will be repeated',
      );
      await new Promise<void>((resolve) => clock.after(retryMs, resolve));
    }
  }
}
