// Waits for the end of a turn by following its log, for as long as the caller may be kept waiting; while the
// log is away, by asking the record. Giving up ends the waiting, never the turn. That a store is away is no answer
// for a turn that exists: it would be asked for again.

import { isServiceError } from '../core/errors.ts';
import { isTerminal, type TurnRecord } from '../core/turn.ts';
import { EventStream } from './event-stream.ts';
import type { Gear } from './gateway-parts.ts';

/** How often the record is asked, and the log tried again, while that is away. */
const lookAgainMs = 1_000;

/** The turn as its record has it when the wait is over, ended or not; as it was last known while the records are away. */
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
  let now: TurnRecord | null = turn;
  try {
    while (now !== null && !isTerminal(now.status) && !(await isFollowed(gear, turn, beforeSeq, signal))) {
      await pause(gear, signal);
      now = await readAgain(gear, now);
    }
  } finally {
    cancelWait();
  }
  const standing = (await readAgain(gear, now ?? turn)) ?? turn;
  if (standing.endedAt !== null) {
    // The worker's clock against ours: hosts whose clocks differ by milliseconds make an answer of none.
    const overheadMs = Math.max(0, gear.clock.now() - standing.endedAt);
    gear.metrics.gatewayOverheadSeconds.observe({ part: 'answer' }, overheadMs / 1000);
  }
  return standing;
}

/** null for one that is gone; as it was known while the records are away. */
async function readAgain({ records }: Gear, known: TurnRecord): Promise<TurnRecord | null> {
  try {
    return await records.turns.get(known.tenant, known.id);
  } catch (error) {
    if (!isServiceError(error, 'store_unavailable')) throw error;
    return known;
  }
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
