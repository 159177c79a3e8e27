// Hands the sessions of lost workers to others, in one pass for all that were lost: those with something
// to do as they are found, those at rest after them. What has to wait for a lease is looked at again.

import type { Records } from '../contracts/records.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import type { Clock } from '../core/clock.ts';
import type { SessionStatus } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { fleetEntries } from './fleet-pages.ts';
import { firstRetryMs, type Lanes, type RecoveryDesk } from './recovery-desk.ts';
import type { SessionOwners } from './session-owners.ts';

export type FailoverParts = {
  readonly desk: RecoveryDesk;
  readonly owners: Pick<SessionOwners, 'ownershipOf'>;
  readonly records: { readonly sessions: Pick<Records['sessions'], 'get' | 'listHeld'> };
  readonly clock: Clock;
  readonly logger: Logger;
  readonly leaseMs: number;
};

/** Each is a takeover: the records, a snapshot, a log. A worker that hangs does not keep the others waiting. */
const lanes: Lanes = { mostAtOnce: 16, patienceMs: 5_000 };
/** Nobody is lost: whoever is lost next calls. */
const quietMs = 60_000;
const atWork: readonly SessionStatus[] = ['queued', 'running', 'requires_action', 'recovering'];

export class Failover {
  readonly #parts: FailoverParts;
  #calledAtMs = -Infinity;

  constructor(parts: FailoverParts) {
    this.#parts = parts;
  }

  /** A worker was lost: the next pass, and those for some time after it, have something to look for. */
  called(): void {
    this.#calledAtMs = this.#parts.clock.monotonicMs();
  }

  /** Answers when the next is due. Never rejects. */
  async pass(isStopping: () => boolean): Promise<number> {
    const { clock, desk, leaseMs, logger } = this.#parts;
    const found = { waiting: 0 };
    try {
      await desk.recoverAll(this.#orphans(found, isStopping), lanes);
    } catch (error) {
      logger.warn({ event: 'failover_not_possible', err: error }, 'sessions of lost workers could not be looked for');
      return firstRetryMs;
    }
    // What is not resolved three leases later is found by the pass over all sessions.
    const isRecent = clock.monotonicMs() - this.#calledAtMs < 3 * leaseMs;
    if (!isRecent) return quietMs;
    const retryMs = Math.max(firstRetryMs / 2, Math.min(quietMs, desk.nextRetryMs()));
    return found.waiting > 0 ? Math.min(firstRetryMs, retryMs) : retryMs;
  }

  async *#orphans(found: { waiting: number }, isStopping: () => boolean): AsyncGenerator<SessionKey> {
    const { desk, owners, records } = this.#parts;
    const atRest: SessionKey[] = [];
    for await (const place of fleetEntries((after, limit) => records.sessions.listHeld(after, limit))) {
      if (isStopping()) return;
      const key = { tenant: place.tenant, sessionId: place.sessionId };
      if (!desk.isDue(key)) continue;
      const session = await records.sessions.get(key.tenant, key.sessionId);
      const ownership = session === null ? 'owned' : await owners.ownershipOf(session);
      if (ownership === 'waiting') found.waiting++;
      if (session === null || ownership !== 'orphaned') continue;
      if (atWork.includes(session.status) || session.untold.length > 0) yield key;
      else atRest.push(key);
    }
    yield* atRest;
  }
}
