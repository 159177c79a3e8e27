// What running jobs asks of those who have turns. The steps are those of a client's turn; ids are in attempt-ids.ts.

import type { JobRecord } from '../../core/job.ts';
import type { TurnRecord } from '../../core/turn.ts';

export interface JobTurns {
  /**
   * Finds or makes the session, makes the turn's record, hands it to a worker; resolves when a worker has it, or
   * it has ended already. Asked again, it is the same turn, and one that was refused before is tried anew. Rejects
   * with a ServiceError when nothing was started.
   */
  start(job: JobRecord, attempt: number): Promise<TurnRecord>;
  /** The turn that `start` makes; null when there is none, or not any more. */
  find(job: JobRecord, attempt: number): Promise<TurnRecord | null>;
  /** The turn that goes on with this interrupted one; it is on record before this one's end is. null: nothing does. */
  continuation(turn: TurnRecord): Promise<TurnRecord | null>;
  /** Resolves when it has ended. Rejects with `turn_ended`, or when that cannot be brought about now. */
  cancel(turn: TurnRecord): Promise<void>;
}
