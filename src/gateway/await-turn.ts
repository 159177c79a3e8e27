// Waits for the end of a turn by following its log, for as long as the caller may be kept waiting; while the
// log is away, by asking the record. Giving up ends the waiting, never the turn.

import { isServiceError } from '../core/errors.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { EventStream } from './event-stream.ts';
import type { Gear } from './gateway-parts.ts';

/** How often the record is asked, and the log tried again, while that is away. */
const lookAgainMs = 1_000;

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
  const signal = AbortSignal.any([stop.signal, ...signals]);
  try {
    let now: TurnRecord | null = turn;
    // The turn exists: that its log is away is no answer to who asked for it.
    while (now !== null && !isTerminal(now.status) && !(await isFollowed(gear, turn, beforeSeq, signal))) {
      await pause(gear, signal);
      now = await gear.records.turns.get(turn.tenant, turn.id);
    }
  } finally {
    cancelWait();
  }
  return (await gear.records.turns.get(turn.tenant, turn.id)) ?? turn;
}

/** false when the log is away: how the turn stands is not known. */
async function isFollowed(gear: Gear, turn: TurnRecord, afterSeq: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return true;
  try {
    const scope = { key: { tenant: turn.tenant, sessionId: turn.sessionId }, afterSeq, turnId: turn.id };
    const stream = await EventStream.open(gear, scope, signal);
    await stream.pump({ write: async () => undefined, beat: async () => undefined });
    return true;
  } catch (error) {
    if (isServiceError(error, 'store_unavailable')) return false;
    // The log has forgotten what came in between: the turn goes on, and its record says how it stands.
    if (isServiceError(error, 'cursor_expired')) return true;
    throw error;
  }
}

async function pause({ clock }: Gear, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(lookAgainMs, resolve);
  const onAbort = (): void => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) resolve();
  await promise;
  cancel();
  signal.removeEventListener('abort', onAbort);
}
