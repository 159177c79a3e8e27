// Keeps a session's record up to date while this worker owns the session: one change after the other, in
// the order of asking (a late `running` must not overwrite an `idle`), and none once the right is gone.

import type { Records } from '../contracts/records.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SessionStatus } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Logger } from '../observability/logger.ts';
import { changeSession } from './record-changes.ts';
import { answered } from './store-answer.ts';

export type SessionRecorderOptions = {
  readonly records: Records;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly session: SessionRecord;
  /** The record has another epoch: another worker owns the session. */
  readonly onStale: () => void;
};

export type TurnCommit = {
  readonly turn: TurnRecord;
  /** null when the turn can not end so: it has ended, or it is not ours to end. */
  readonly endTurn: (standing: TurnRecord) => TurnRecord | null;
  readonly settleSession: (standing: SessionRecord, ended: TurnRecord) => SessionRecord;
};

/** More writers than this at two records at one time is a defect, not load. */
const mostCommitAttempts = 10;

export class SessionRecorder {
  readonly #options: SessionRecorderOptions;
  /** Turns whose terminal event is in the log; the record forgets them with its next change. */
  readonly #told = new Set<TurnId>();
  #session: SessionRecord;
  #last: Promise<unknown> = Promise.resolve();
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
  async change(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    try {
      await this.write(change);
    } catch (error) {
      this.#options.logger.warn(
        { event: 'session_not_recorded', session_id: this.#session.id, err: error },
        'a change of a session could not be recorded',
      );
    }
  }

  /** As `change`, but it rejects when the change could not be made. */
  write(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    return this.#inTurn(() => this.#write(change));
  }

  /** Ends a turn and brings the session to what it is after it, as one step. null when `endTurn` said so. */
  commit(commit: TurnCommit): Promise<TurnRecord | null> {
    return this.#inTurn(() => this.#commit(commit));
  }

  setStatus(status: SessionStatus): Promise<void> {
    const { clock } = this.#options;
    return this.change((session) => ({ ...session, status, lastAccessedAt: clock.now() }));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Reads what others may have changed: the settings of the session. Keeps what it has when the store does not answer. */
  refresh(): Promise<void> {
    return this.#inTurn(() => this.#refresh());
  }

  /** The terminal event of the turn is in the log. */
  told(turnId: TurnId): void {
    this.#told.add(turnId);
  }

  /** Resolves when every change asked for so far is made. */
  async settled(): Promise<void> {
    await this.#last;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return await mine;
  }

  async #write(change: (session: SessionRecord) => SessionRecord): Promise<void> {
    const { clock, records } = this.#options;
    if (this.#isClosed) return;
    let isStale = false;
    const forgotten = [...this.#told];
    const written = await changeSession({ records, clock }, this.#session, (standing) => {
      isStale = this.#isOthers(standing);
      return isStale || this.#isClosed ? null : this.#withoutTold(change(standing), forgotten);
    });
    if (written !== null) this.#written(written, forgotten);
    else if (isStale) this.#options.onStale();
  }

  async #refresh(): Promise<void> {
    const { clock, logger, onStale, records } = this.#options;
    const { id, tenant } = this.#session;
    if (this.#isClosed) return;
    try {
      const standing = await answered(clock, records.sessions.get(tenant, id));
      if (standing === null) return;
      if (this.#isOthers(standing)) onStale();
      else this.#session = standing;
    } catch (error) {
      logger.warn({ event: 'session_not_read', session_id: id, err: error }, 'a session could not be read again');
    }
  }

  async #commit({ endTurn, settleSession, turn }: TurnCommit): Promise<TurnRecord | null> {
    const { clock, records } = this.#options;
    let standing = { session: this.#session, turn };
    for (let attempt = 0; attempt < mostCommitAttempts; attempt++) {
      if (this.#isClosed) return null;
      if (this.#isOthers(standing.session)) {
        this.#options.onStale();
        return null;
      }
      const ended = endTurn(standing.turn);
      if (ended === null) return null;
      const forgotten = [...this.#told];
      const session = this.#withoutTold(settleSession(standing.session, ended), forgotten);
      const untold = [...session.untold, ended.id];
      const written = await answered(clock, records.commit({ ...session, untold }, ended));
      if (written !== null) {
        this.#written(written.session, forgotten);
        return written.turn;
      }
      const { tenant, id } = standing.session;
      const [sessionNow, turnNow] = await answered(
        clock,
        Promise.all([records.sessions.get(tenant, id), records.turns.get(tenant, turn.id)]),
      );
      if (sessionNow === null || turnNow === null) return null;
      if (!this.#isOthers(sessionNow)) this.#session = sessionNow;
      standing = { session: sessionNow, turn: turnNow };
    }
    throw new ServiceError('store_conflict');
  }

  #isOthers({ boot, epoch }: SessionRecord): boolean {
    const { session } = this.#options;
    return epoch !== session.epoch || boot !== session.boot;
  }

  #withoutTold(session: SessionRecord, told: readonly TurnId[]): SessionRecord {
    if (told.length === 0) return session;
    return { ...session, untold: session.untold.filter((id) => !told.includes(id)) };
  }

  #written(session: SessionRecord, forgotten: readonly TurnId[]): void {
    this.#session = session;
    for (const id of forgotten) this.#told.delete(id);
  }
}
