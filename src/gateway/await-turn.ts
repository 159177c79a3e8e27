// Waits for the end of a turn by following its log, for as long as the caller may be kept waiting.
// Giving up ends the waiting, never the turn.

import { isServiceError } from '../core/errors.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { EventStream } from './event-stream.ts';
import type { Gear } from './gateway-parts.ts';

/** The turn as its record has it when the wait is over, ended or not. */
export async function awaitTurn(
  gear: Gear,
  turn: TurnRecord,
  beforeSeq: number,
  waitMs: number,
  signals: readonly AbortSignal[],
): Promise<TurnRecord> {
  if (isTerminal(turn.status) || waitMs === 0) return turn;
  const stop = new AbortController();
  const cancelWait = gear.clock.after(waitMs, () => stop.abort());
  try {
    const scope = { key: { tenant: turn.tenant, sessionId: turn.sessionId }, afterSeq: beforeSeq, turnId: turn.id };
    const stream = await EventStream.open(gear, scope, AbortSignal.any([stop.signal, ...signals]));
    await stream.pump({ write: async () => undefined, beat: async () => undefined });
  } catch (error) {
    // The log has forgotten what came in between: the turn goes on, and its record says how it stands.
    if (!isServiceError(error, 'cursor_expired')) throw error;
  } finally {
    cancelWait();
  }
  return (await gear.records.turns.get(turn.tenant, turn.id)) ?? turn;
}
