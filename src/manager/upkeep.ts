// What is cleared away because its time is over: events that a snapshot holds as well, sessions that
// nobody used, approvals that nobody answered and nobody waits for. One that fails holds up no other.

import type { Records } from '../contracts/records.ts';
import type { SessionDirectory } from '../contracts/session-directory.ts';
import type { SessionKey } from '../contracts/worker-link.ts';
import { expiredApproval } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import type { SessionStatus } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { fleetEntries } from './fleet-pages.ts';

export type UpkeepParts = {
  readonly records: Records;
  readonly directory: Pick<SessionDirectory, 'lookup'>;
  /** Answers how many went. */
  readonly dropEventsBefore: (cutoffMs: number) => Promise<number>;
  /** Ends what runs and removes all that there is of the session; safe to repeat. */
  readonly eraseSession: (key: SessionKey) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: {
    readonly retainEventsMs: number;
    /** 0: sessions are kept for ever. */
    readonly retainSessionsMs: number;
  };
};

const everyMs = 60_000;
/** In one pass: the rest has to wait for the next. */
const mostErased = 1_000;
const mostSettled = 10_000;
/** What failed is told once, and this much of it remembered. */
const mostRemembered = 10_000;

const atRest: readonly SessionStatus[] = ['idle', 'hibernated', 'quarantined', 'failed'];

export class Upkeep {
  readonly #parts: UpkeepParts;
  readonly #toldOf = new Set<string>();

  constructor(parts: UpkeepParts) {
    this.#parts = parts;
  }

  /** Answers when the next pass is due. Never rejects. */
  async pass(isStopping: () => boolean): Promise<number> {
    await this.#attempt('approvals', () => this.#settleApprovals(isStopping));
    if (!isStopping()) await this.#attempt('sessions', () => this.#eraseUnused(isStopping));
    if (!isStopping()) await this.#attempt('events', () => this.#dropEvents());
    return everyMs;
  }

  async #dropEvents(): Promise<void> {
    const { clock, dropEventsBefore, logger, settings } = this.#parts;
    const events = await dropEventsBefore(clock.now() - settings.retainEventsMs);
    if (events > 0) logger.debug({ event: 'events_dropped', events }, 'events older than they are kept were dropped');
  }

  /** Their turns are looked after by whoever takes the session next; so is telling of them. */
  async #settleApprovals(isStopping: () => boolean): Promise<void> {
    const { clock, directory, logger, records } = this.#parts;
    const due = fleetEntries((after, limit) => records.approvals.listDue(clock.now(), after, limit));
    let settled = 0;
    for await (const { tenant, id, sessionId } of due) {
      if (isStopping() || settled >= mostSettled) break;
      await this.#attempt(`approval ${tenant} ${id}`, async () => {
        if ((await directory.lookup(tenant, sessionId)) !== null) return;
        const approval = await records.approvals.get(tenant, id);
        const expired = approval === null ? null : expiredApproval(approval, 'timeout', clock.now());
        if (expired === null || (await records.approvals.replace(expired)) === null) return;
        settled++;
        logger.info(
          { event: 'approval_expired', approval_id: id, session_id: sessionId },
          'an approval that nobody waits for expired',
        );
      });
    }
  }

  async #eraseUnused(isStopping: () => boolean): Promise<void> {
    const { clock, eraseSession, logger, records, settings } = this.#parts;
    if (settings.retainSessionsMs === 0) return;
    const beforeMs = clock.now() - settings.retainSessionsMs;
    const unused = fleetEntries((after, limit) => records.sessions.listUnused(beforeMs, after, limit));
    let erased = 0;
    for await (const { tenant, sessionId } of unused) {
      if (isStopping() || erased >= mostErased) break;
      await this.#attempt(`session ${tenant} ${sessionId}`, async () => {
        // It may have been used since it was listed.
        const session = await records.sessions.get(tenant, sessionId);
        const isUnused = session !== null && session.worker === null && session.lastAccessedAt < beforeMs;
        if (!isUnused || !atRest.includes(session.status)) return;
        await eraseSession({ tenant, sessionId });
        erased++;
        logger.info({ event: 'session_expired', session_id: sessionId }, 'a session that nobody used was erased');
      });
    }
  }

  async #attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.#toldOf.delete(what);
    } catch (error) {
      if (this.#toldOf.has(what)) return;
      if (this.#toldOf.size < mostRemembered) this.#toldOf.add(what);
      this.#parts.logger.warn(
        { event: 'upkeep_failed', of: what, err: error },
        'something whose time is over could not be cleared away; it is tried again',
      );
    }
  }
}
