// The turn that goes on with an interrupted one, where the session asked for that. Its id follows from
// the interrupted turn's: a recovery that is cut short and repeated makes it once.

import { createHash } from 'node:crypto';
import { idOfDigest, type TurnId } from '../core/ids.ts';
import type { SessionPolicy } from '../core/session.ts';
import { newTurn, type TurnRecord } from '../core/turn.ts';
import type { HostParts } from './host-parts.ts';
import { answered } from './store-answer.ts';

/** In a row: work that ends every worker which takes it up must end itself. */
const mostContinuations = 3;
/** Codex takes 1,048,576 code points; what is longer is quoted from its beginning. */
const mostQuotedUnits = 1_000_000;

export type Interruption = 'worker_lost' | 'drain';

const introductions: Readonly<Record<Interruption, string>> = {
  worker_lost:
    'Your last turn was interrupted because the process that ran it was lost; it was not finished. Commands that ' +
    'were running then have been ended, and may or may not have had an effect. Look at what is there, and go on. ' +
    'What you had been asked to do:',
  drain:
    'Your last turn was interrupted because the process that ran it had to stop; it was not finished, and goes on ' +
    'here. What you did is kept, but commands that were still running have been ended. What you had been asked to do:',
};

export function continuationId(turnId: TurnId): TurnId {
  return idOfDigest(createHash('sha256').update(`continue ${turnId}`).digest());
}

/** null when nothing is to follow. */
export async function continuationOf(
  parts: Pick<HostParts, 'clock' | 'records'>,
  turn: TurnRecord,
  policy: SessionPolicy,
  why: Interruption,
): Promise<TurnRecord | null> {
  // A worker that was told to stop says nothing about the work: it is handed over as often as need be.
  const count = (turn.continuation ?? 0) + (why === 'drain' ? 0 : 1);
  const wanted = why === 'drain' ? policy.onDrain : policy.onInterrupt;
  if (wanted === 'fail' || count > mostContinuations) return null;
  return {
    ...newTurn,
    tenant: turn.tenant,
    id: continuationId(turn.id),
    sessionId: turn.sessionId,
    prompt: `${introductions[why]}\n\n${await requestOf(parts, turn)}`,
    model: turn.model,
    effort: turn.effort,
    outputSchema: turn.outputSchema,
    continues: turn.id,
    continuation: count,
    timeoutMs: turn.timeoutMs,
    queueTimeoutMs: turn.queueTimeoutMs,
    requestHash: null,
    createdAt: parts.clock.now(),
    ...(turn.jobId === undefined ? {} : { jobId: turn.jobId }),
    ...(turn.requestId === undefined ? {} : { requestId: turn.requestId }),
    ...(turn.traceparent === undefined ? {} : { traceparent: turn.traceparent }),
  };
}

/** The prompt of whoever asked first, and all that was added since: the lost turn may not be in the rollout. */
async function requestOf({ clock, records }: Pick<HostParts, 'clock' | 'records'>, turn: TurnRecord): Promise<string> {
  const steers: string[] = [];
  let first = turn;
  for (;;) {
    steers.unshift(...first.steers.map(({ text }) => text));
    const earlier =
      first.continues === null ? null : await answered(clock, records.turns.get(turn.tenant, first.continues));
    if (earlier === null) break;
    first = earlier;
  }
  const text = [first.prompt, ...steers].join('\n\n');
  return text.length <= mostQuotedUnits ? text : text.slice(0, mostQuotedUnits).toWellFormed();
}
