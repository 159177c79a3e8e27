// The turn that goes on with an interrupted one, where the session asked for that. Its id follows from
// the interrupted turn's: a recovery that is cut short and repeated makes it once.

import { createHash } from 'node:crypto';
import type { SessionPolicy } from '../core/session.ts';
import { newTurn, type TurnRecord } from '../core/turn.ts';

/** In a row: work that ends every worker which takes it up must end itself. */
const mostContinuations = 3;

const prompt =
  'Your last turn was interrupted because the process that ran it was lost; it was not finished. Commands that ' +
  'were running then have been ended, and may or may not have had an effect. Look at what is there, and go on ' +
  'with what you were asked to do.';

/** null when nothing is to follow. */
export function continuationOf(turn: TurnRecord, policy: SessionPolicy, nowMs: number): TurnRecord | null {
  const count = (turn.continuation ?? 0) + 1;
  if (policy.onInterrupt !== 'continue' || count > mostContinuations) return null;
  return {
    ...newTurn,
    tenant: turn.tenant,
    id: idAfter(turn.id),
    sessionId: turn.sessionId,
    prompt,
    model: turn.model,
    effort: turn.effort,
    outputSchema: turn.outputSchema,
    continues: turn.id,
    continuation: count,
    timeoutMs: turn.timeoutMs,
    queueTimeoutMs: turn.queueTimeoutMs,
    requestHash: null,
    createdAt: nowMs,
    ...(turn.requestId === undefined ? {} : { requestId: turn.requestId }),
  };
}

/** RFC 9562 version 8. */
function idAfter(turnId: string): string {
  const bytes = createHash('sha256').update(`continue ${turnId}`).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}
