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
  /** The right to write the session is gone, or nobody waits for the store any longer. */
  readonly mayNotRecord: () => boolean;
  /** Brings the session's record up to date; called once the turn's own is. */
  readonly settle: (ended: TurnRecord) => Promise<void>;
};

const firstRetryMs = 100;
const longestRetryMs = 5_000;
/** A store that is away for longer is left to whoever recovers the session. */
const patienceMs = 120_000;

/** Resolves with the turn as it stands; never rejects: what could not be recorded is in the log of the process. */
export async function recordEnd(end: TurnEnd): Promise<TurnRecord> {
  const { outcome, parts, settle, turn, writer } = end;
  const { clock, logger, metrics } = parts;
  const nowMs = clock.now();
  try {
    const ended = await recordPatiently(end, nowMs);
    if (ended === 'not_ours') return turn;
    if (ended === null) {
      logger.warn({ event: 'turn_ended_twice', turn_id: turn.id }, 'a turn had been ended by another');
      return endedTurn(turn, outcome, nowMs) ?? turn;
    }
    await settle(ended);
    // The whole answer, so that a stream needs no second call.
    writer.write({
      type: `turn.${ended.status}`,
      turnId: ended.id,
      fields: { ...toTurnResult(ended, nowMs), reason: ended.reason },
      raw: null,
    });
    await writer.flushed();
    const durationMs = executionTimeMs(ended, nowMs);
    metrics.turns.inc({ outcome: outcome.status });
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
    return turn;
  }
}

/** null when the turn had ended already, or is gone. */
async function recordPatiently(
  { mayNotRecord, outcome, parts, turn }: TurnEnd,
  nowMs: number,
): Promise<TurnRecord | null | 'not_ours'> {
  const { clock, logger } = parts;
  const giveUpAtMs = clock.monotonicMs() + patienceMs;
  for (let retryMs = firstRetryMs; ; retryMs = Math.min(longestRetryMs, retryMs * 2)) {
    let isNotOurs = false;
    let written: TurnRecord | null = null;
    try {
      const ended = await changeTurn(parts, turn, (standing) => {
        isNotOurs = mayNotRecord();
        // An earlier attempt whose answer was lost had done it.
        if (standing.status === outcome.status && standing.endedAt === nowMs) written = standing;
        return isNotOurs ? null : endedTurn(standing, outcome, nowMs);
      });
      return isNotOurs ? 'not_ours' : (ended ?? written);
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
