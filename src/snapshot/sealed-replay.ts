// An event log that reaches back to a session's beginning: what the hot log has dropped is read from the
// session's snapshot. All else is the hot log's, untouched.

import type { AppendResult, EventLog, LogKey, LogPage, OpenResult } from '../contracts/event-log.ts';
import type { SessionRecords } from '../contracts/records.ts';
import type { StoredEvent } from '../core/event.ts';
import type { SnapshotRef } from '../core/session.ts';

/** What it needs of Snapshots. */
export type SealedEvents = {
  readSealed(key: LogKey, ref: SnapshotRef, afterSeq: number, limit: number): Promise<LogPage>;
};

export class SealedReplay implements EventLog {
  readonly #hot: EventLog;
  readonly #sessions: Pick<SessionRecords, 'get'>;
  readonly #sealed: SealedEvents;

  constructor(hot: EventLog, sessions: Pick<SessionRecords, 'get'>, sealed: SealedEvents) {
    this.#hot = hot;
    this.#sessions = sessions;
    this.#sealed = sealed;
  }

  open(key: LogKey, epoch: number, sealedSeq: number): Promise<OpenResult> {
    return this.#hot.open(key, epoch, sealedSeq);
  }

  append(key: LogKey, epoch: number, events: readonly StoredEvent[]): Promise<AppendResult> {
    return this.#hot.append(key, epoch, events);
  }

  /** Rejects with `session_corrupt` where sealed events are damaged. */
  async read(key: LogKey, afterSeq: number, limit: number): Promise<LogPage> {
    const page = await this.#hot.read(key, afterSeq, limit);
    const isHeld = page.firstSeq !== 0 && afterSeq + 1 >= page.firstSeq;
    return isHeld ? page : await this.#withSealed(key, afterSeq, limit, page);
  }

  subscribe(key: LogKey, listener: (events: readonly StoredEvent[]) => void): Promise<() => void> {
    return this.#hot.subscribe(key, listener);
  }

  erase(key: LogKey): Promise<void> {
    return this.#hot.erase(key);
  }

  async #withSealed(key: LogKey, afterSeq: number, limit: number, page: LogPage): Promise<LogPage> {
    const ref = (await this.#sessions.get(key.tenant, key.sessionId))?.snapshot ?? null;
    if (ref === null) return page;
    const { events: found, firstSeq } = await this.#sealed.readSealed(key, ref, afterSeq, limit);
    if (firstSeq === 0) return page;
    const lastSeq = Math.max(page.lastSeq, ref.lastSeq);
    if (page.firstSeq === 0) return { events: found, firstSeq, lastSeq };
    // Both hold the latest sealed ones.
    const older = found.filter(({ header }) => header.seq < page.firstSeq);
    const last = older.at(-1)?.header.seq;
    if (last === undefined) return page;
    // A page has no holes: where the two do not meet, the sealed ones stand alone.
    const newer = last + 1 === page.firstSeq ? page.events : [];
    return { events: [...older, ...newer].slice(0, limit), firstSeq, lastSeq };
  }
}
