// Finds sessions whose owner is gone and hands each to the worker: at the start those of earlier runs,
// later whatever lost its owner since. One that cannot be recovered holds up no other.

import type { Records } from '../contracts/records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { Logger } from '../observability/logger.ts';
import { fleetEntries } from './fleet-pages.ts';
import { firstRetryMs, type Lanes, type RecoveryDesk } from './recovery-desk.ts';

export type SessionRecoveryParts = {
  readonly desk: RecoveryDesk;
  /** Whether nobody has it any more. */
  readonly isOrphaned: (key: SessionKey) => Promise<boolean>;
  readonly records: Pick<Records, 'sessions' | 'turns'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly pace: RecoveryPace;
};

export type RecoveryPace = {
  readonly secondPassMs: number;
  readonly everyMs: number;
  /** A session or turn that was only just made is on its way to a worker: nobody has to look after it. */
  readonly settledAfterMs: number;
  /** Whether open turns are looked through as well; false where somebody else does. */
  readonly looksAtTurns: boolean;
};

const lanes: Lanes = { mostAtOnce: 8, patienceMs: 60_000 };

export class SessionRecovery {
  readonly #parts: SessionRecoveryParts;
  #isStopping = false;
  #passes = 0;

  constructor(parts: SessionRecoveryParts) {
    this.#parts = parts;
  }

  /** One pass over all that may need it. Answers when the next is due. Never rejects. */
  async pass(): Promise<number> {
    const { clock, desk, logger, pace } = this.#parts;
    // At first all: what earlier runs left may be dated later than a clock that was set back says it is.
    const isAll = this.#passes === 0 || pace.settledAfterMs === 0;
    const before = isAll ? Infinity : clock.now() - pace.settledAfterMs;
    const dueMs = this.#passes === 0 ? pace.secondPassMs : pace.everyMs;
    try {
      await desk.recoverAll(this.#lostSessions(before), lanes);
      this.#passes++;
    } catch (error) {
      logger.warn({ event: 'recovery_not_possible', err: error }, 'sessions to be recovered could not be looked for');
      return Math.min(dueMs, 5 * firstRetryMs);
    }
    return Math.max(firstRetryMs, Math.min(dueMs, desk.nextRetryMs()));
  }

  stop(): void {
    this.#isStopping = true;
  }

  /** Each session once, however many of its turns are open. */
  async *#lostSessions(beforeMs: number): AsyncGenerator<SessionKey> {
    const { desk, isOrphaned, pace, records } = this.#parts;
    const held = fleetEntries((after, limit) => records.sessions.listHeld(after, limit));
    const open = fleetEntries((after, limit) => records.turns.listOpen(after, limit));
    const seen = new Set<string>();
    for (const list of pace.looksAtTurns ? [held, open] : [held]) {
      for await (const { tenant, sessionId, at } of list) {
        // In the order of their creation: what follows is younger.
        if (at >= beforeMs || this.#isStopping) break;
        const name = `${tenant}/${sessionId}`;
        if (seen.has(name)) continue;
        seen.add(name);
        const key = { tenant, sessionId };
        if (desk.isDue(key) && (await isOrphaned(key))) yield key;
      }
    }
  }
}
