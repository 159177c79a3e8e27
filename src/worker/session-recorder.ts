// Keeps a session's record up to date while this worker owns the session: one change after the other, in
// the order of asking (a late `running` must not overwrite an `idle`), and none once the right is gone.

import type { WorkerRecords } from '../contracts/worker-records.ts';
import type { Clock } from '../core/clock.ts';
import { ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord, SessionStatus } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Logger } from '../observability/logger.ts';
import { changeSession } from './record-changes.ts';
import { answered } from './store-answer.ts';

export type SessionRecorderOptions = {
  readonly records: WorkerRecords;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly session: SessionRecord;
  /** Whether the log can lose what no snapshot holds: the record names whose ends those are. */
  readonly mayLogBeLost: boolean;
  /** The record has another epoch: another worker owns the session. */
  readonly onStale: () => void;
};

export type TurnCommit = {
  readonly turn: TurnRecord;
  /** null when the turn cannot change so: it has ended, or it is not ours to change. */
  readonly changeTurn: (standing: TurnRecord) => TurnRecord | null;
  readonly settleSession: (standing: SessionRecord, changed: TurnRecord) => SessionRecord;
};

/** More writers than this at two records at one time is a defect, not load. */
const mostCommitAttempts = 10;
/** Turns that end without a snapshot are few in a row; so many are the newest of a great many refusals. */
const mostUnsealed = 1_000;

export class SessionRecorder {
  readonly #options: SessionRecorderOptions;
  /** Turns whose terminal event is in the log; the record forgets them with its next change. */
  readonly #told = new Set<TurnId>();
  /** The place of each terminal event that no snapshot holds yet; of one that others told of, what is sure of it. */
  readonly #places = new Map<TurnId, number>();
  readonly #firstUnsealed: number;
  #session: SessionRecord;
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: SessionRecorderOptions) {
    this.#options = options;
    this.#session = options.session;
    const { snapshot, unsealed = [], untold } = options.session;
    // Every snapshot after this one holds all that was in the log when we came.
    this.#firstUnsealed = (snapshot?.lastSeq ?? 0) + 1;
    for (const id of unsealed) if (!untold.includes(id)) this.#places.set(id, this.#firstUnsealed);
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

  /**
   * Begins a turn and says so of the session, as one step: who has lost the session cannot begin one. null when
   * `changeTurn` said so, or the session is not ours.
   */
  begin(commit: TurnCommit): Promise<TurnRecord | null> {
    return this.#inTurn(() => this.#commit(commit, (session) => session));
  }

  /** Ends a turn and brings the session to what it is after it, as one step. null as with `begin`. */
  commit(commit: TurnCommit): Promise<TurnRecord | null> {
    return this.#inTurn(() => this.#commit(commit, (session, ended) => this.#withEnded(session, ended.id)));
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

  /** The terminal event of the turn has its place, and is on its way into the log. */
  telling(turnId: TurnId, seq: number): void {
    this.#places.set(turnId, seq);
  }

  /** The terminal event of the turn is in the log. */
  told(turnId: TurnId): void {
    this.#told.add(turnId);
    if (!this.#places.has(turnId)) this.#places.set(turnId, this.#firstUnsealed);
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
      return isStale || this.#isClosed ? null : this.#withoutSealed(this.#withoutTold(change(standing), forgotten));
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

  async #commit(
    { changeTurn, settleSession, turn }: TurnCommit,
    complete: (session: SessionRecord, changed: TurnRecord) => SessionRecord,
  ): Promise<TurnRecord | null> {
    const { clock, records } = this.#options;
    let standing = { session: this.#session, turn };
    for (let attempt = 0; attempt < mostCommitAttempts; attempt++) {
      if (this.#isClosed) return null;
      if (this.#isOthers(standing.session)) {
        this.#options.onStale();
        return null;
      }
      const changed = changeTurn(standing.turn);
      if (changed === null) return null;
      const forgotten = [...this.#told];
      const settled = this.#withoutTold(settleSession(standing.session, changed), forgotten);
      const session = complete(this.#withoutSealed(settled), changed);
      const written = await answered(clock, records.commit(session, changed));
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

  #withEnded(session: SessionRecord, turnId: TurnId): SessionRecord {
    const untold = [...session.untold, turnId];
    if (!this.#options.mayLogBeLost) return { ...session, untold };
    return { ...session, untold, unsealed: [...(session.unsealed ?? []), turnId].slice(-mostUnsealed) };
  }

  /** What has no place yet will get one behind the snapshot's last. */
  #withoutSealed(session: SessionRecord): SessionRecord {
    const { snapshot, unsealed } = session;
    if (snapshot === null || unsealed === undefined) return session;
    return { ...session, unsealed: unsealed.filter((id) => (this.#places.get(id) ?? Infinity) > snapshot.lastSeq) };
  }

  #written(session: SessionRecord, forgotten: readonly TurnId[]): void {
    this.#session = session;
    for (const id of forgotten) this.#told.delete(id);
    for (const id of this.#places.keys()) {
      if (session.unsealed?.includes(id) !== true && !session.untold.includes(id)) this.#places.delete(id);
    }
  }
}
