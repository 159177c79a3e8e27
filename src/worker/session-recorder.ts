// Keeps a session's record up to date while this worker owns the session: one change after the other, in
// the order of asking (a late `running` must not overwrite an `idle`), and none once the right is gone.

import type { Records } from '../contracts/records.ts';
import type { Clock } from '../core/clock.ts';
import type { SessionRecord, SessionStatus } from '../core/session.ts';
import type { Logger } from '../observability/logger.ts';
import { changeSession } from './record-changes.ts';

export type SessionRecorderOptions = {
  readonly records: Records;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly session: SessionRecord;
  /** The record has another epoch: another worker owns the session. */
  readonly onStale: () => void;
};

export class SessionRecorder {
  readonly #options: SessionRecorderOptions;
  #session: SessionRecord;
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: SessionRecorderOptions) {
    this.#options = options;
    this.#session = options.session;
  }

  /** As it was last read or written. */
  get session(): SessionRecord {
    return this.#session;
  }

  /** Resolves when this change was made, or could not be; the log of the process says why. */
  change(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    this.#last = this.#last.then(() => this.#change(change));
    return this.#last;
  }

  setStatus(status: SessionStatus): Promise<void> {
    const { clock } = this.#options;
    return this.change((session) => ({ ...session, status, lastAccessedAt: clock.now() }));
  }

  /** Resolves when every change asked for so far is made. */
  settled(): Promise<void> {
    return this.#last;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #change(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    const { clock, logger, onStale, records, session } = this.#options;
    if (this.#isClosed) return;
    let isStale = false;
    try {
      const written = await changeSession({ records, clock }, this.#session, (standing) => {
        isStale = standing.epoch !== session.epoch;
        return isStale || this.#isClosed ? null : change(standing);
      });
      if (written !== null) this.#session = written;
      else if (isStale) onStale();
    } catch (error) {
      logger.warn(
        { event: 'session_not_recorded', session_id: session.id, err: error },
        'a change of a session could not be recorded',
      );
    }
  }
}
