// How a turn's end is told: its record first, then its session, then its one terminal event. Who has
// seen the event finds the record ended. Does not decide how the turn ended.

import { toTurnResult } from '../api/turns.ts';
import { endedTurn, executionTimeMs, type TurnOutcome, type TurnRecord } from '../core/turn.ts';
import type { HostParts } from './host-parts.ts';
import { changeTurn } from './record-changes.ts';
import type { SessionWriter } from './session-writer.ts';

export type TurnEnd = {
  readonly parts: Pick<HostParts, 'clock' | 'logger' | 'metrics' | 'records'>;
  readonly writer: SessionWriter;
  readonly turn: TurnRecord;
  readonly outcome: TurnOutcome;
  /** Brings the session's record up to date; called once the turn's own is. */
  readonly settle: (ended: TurnRecord) => Promise<void>;
};

/** Resolves with the turn as it stands; never rejects: what could not be recorded is in the log of the process. */
export async function recordEnd({ parts, writer, turn, outcome, settle }: TurnEnd): Promise<TurnRecord> {
  const { clock, logger, metrics, records } = parts;
  const nowMs = clock.now();
  try {
    const ended = await changeTurn(records, turn, (standing) => endedTurn(standing, outcome, nowMs));
    if (ended === null) {
      logger.warn({ event: 'turn_ended_twice', turn_id: turn.id }, 'a turn had been ended by another');
      return endedTurn(turn, outcome, nowMs) ?? turn;
    }
    await settle(ended);
    // The whole answer, so that a stream needs no second call.
    writer.write({ type: `turn.${ended.status}`, turnId: ended.id, fields: { ...toTurnResult(ended, nowMs), reason: ended.reason }, raw: null });
    await writer.flushed();
    const durationMs = executionTimeMs(ended, nowMs);
    metrics.turns.inc({ outcome: outcome.status });
    metrics.turnDurationSeconds.observe(durationMs / 1000);
    logger.info(
      {
        event: 'turn_ended',
        session_id: ended.sessionId,
        turn_id: ended.id,
        status: ended.status,
        reason: ended.reason,
        execution_time_ms: durationMs,
      },
      'turn ended',
    );
    return ended;
  } catch (error) {
    logger.error({ event: 'turn_not_recorded', turn_id: turn.id, err: error }, 'the end of a turn could not be recorded');
    return turn;
  }
}
