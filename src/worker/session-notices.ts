// What those outside are told of one session: put into the outbox one after the other, again and again while the
// store is away. The end of a turn counts as told once it is there; until then the session's record says that it is
// not, and whoever takes the session next says it again.

import { toApprovalResource } from '../api/approvals.ts';
import { createdNotice, toSessionNotice, toTurnNotice } from '../api/webhooks.ts';
import type { Outbox } from '../contracts/outbox.ts';
import type { ApprovalRecord } from '../core/approval.ts';
import type { Clock } from '../core/clock.ts';
import { type ErrorCode, ServiceError } from '../core/errors.ts';
import type { TurnId } from '../core/ids.ts';
import type { SessionRecord } from '../core/session.ts';
import type { TurnRecord } from '../core/turn.ts';
import type { Notice, NoticeType } from '../core/webhook.ts';
import type { Logger } from '../observability/logger.ts';
import { answered } from './store-answer.ts';
import { hasCrashed } from './turn-outcomes.ts';

export type SessionNoticesOptions = {
  readonly outbox: Outbox;
  readonly session: () => SessionRecord;
  /** The place in the log that was given last: it orders what is told, also across owners and their clocks. */
  readonly lastSeq: () => number;
  /** The end of the turn is known outside, or will be. */
  readonly onTold: (turnId: TurnId) => void;
  readonly clock: Clock;
  readonly logger: Logger;
};

type SessionNoticeType = 'session.created' | 'session.recovered' | 'session.quarantined';

const firstRetryMs = 200;
const longestRetryMs = 10_000;
/** Beyond so many the store has been away for longer than anybody waits: ends stay untold, the rest goes. */
const mostWaiting = 1_000;

/** In one lane, at one place of the log. */
const mostAtOnce = 4;
/** Others stay as they are, however often what they answer is repeated. */
const passingCodes: ReadonlySet<ErrorCode> = new Set(['store_unavailable', 'storage_full', 'store_conflict']);

type Waiting = { readonly notices: readonly Notice[]; readonly turnId: TurnId | null };

export class SessionNotices {
  readonly #options: SessionNoticesOptions;
  readonly #closed = Promise.withResolvers<void>();
  readonly #waiting: Waiting[] = [];
  #sending: Promise<void> | null = null;
  #isClosed = false;

  constructor(options: SessionNoticesOptions) {
    this.#options = options;
  }

  /** Its terminal event is in the log. What became of its session by that counts as told with it, or not. */
  turnEnded(turn: TurnRecord): void {
    const at = turn.endedAt ?? turn.createdAt;
    const notice = { lane: turn.id, at, data: JSON.stringify(toTurnNotice(turn, at)) };
    const types: NoticeType[] = [`turn.${turn.status}` as NoticeType];
    if (turn.reason === 'budget') types.unshift('budget.exhausted');
    const notices = types.map((type, index) =>
      this.#notice({ ...notice, type, identity: `${turn.id} ${type}` }, index),
    );
    const { status } = this.#options.session();
    if (status === 'quarantined' && hasCrashed(turn)) notices.push(this.#ofSession('session.quarantined', turn.id, at));
    this.#put(notices, turn.id);
  }

  approval(type: 'approval.requested' | 'approval.resolved', approval: ApprovalRecord): void {
    const data = JSON.stringify(toApprovalResource(approval));
    const at = type === 'approval.requested' ? approval.createdAt : (approval.resolvedAt ?? approval.createdAt);
    this.#put([this.#notice({ type, identity: `${approval.id} ${type}`, lane: approval.turnId, at, data })]);
  }

  /** The turn waits for a person, with this approval as the first. */
  requiresAction(approval: ApprovalRecord): void {
    const type = 'turn.requires_action';
    const data = JSON.stringify({
      id: approval.turnId,
      object: 'turn',
      session_id: approval.sessionId,
      status: 'requires_action',
      approval: toApprovalResource(approval),
    });
    const identity = `${approval.id} ${type}`;
    this.#put([this.#notice({ type, identity, lane: approval.turnId, at: approval.createdAt, data })]);
  }

  sessionCreated(): void {
    this.#put([createdNotice(this.#options.session())]);
  }

  /** By this owner. */
  sessionRecovered(): void {
    const { clock, session } = this.#options;
    this.#put([this.#ofSession('session.recovered', String(session().epoch), clock.now())]);
  }

  /** Resolves when everything said so far is in the outbox, or will not be put there by us. */
  async settled(): Promise<void> {
    while (this.#sending !== null && !this.#isClosed) await Promise.race([this.#sending, this.#closed.promise]);
  }

  /** What waits is left to whoever takes the session next. */
  close(): void {
    this.#isClosed = true;
    this.#waiting.length = 0;
    this.#closed.resolve();
  }

  /** `which`: of several such things that can happen to it. */
  #ofSession(type: SessionNoticeType, which: string, at: number): Notice {
    const record = this.#options.session();
    const identity = [record.id, type, which].join(' ').trimEnd();
    return this.#notice({ type, identity, lane: record.id, at, data: JSON.stringify(toSessionNotice(record)) });
  }

  /** `index`: among those of its lane that are said at once. */
  #notice(notice: Omit<Notice, 'tenant' | 'order' | 'sessionId' | 'jobId'>, index = 0): Notice {
    const { id: sessionId, tenant } = this.#options.session();
    return { ...notice, tenant, order: this.#options.lastSeq() * mostAtOnce + index, sessionId, jobId: null };
  }

  #put(notices: readonly Notice[], turnId: TurnId | null = null): void {
    if (this.#isClosed) return;
    if (this.#waiting.length >= mostWaiting) {
      const { logger, session } = this.#options;
      logger.error({ event: 'notices_overfull', session_id: session().id }, 'too much waits to be told outside');
      return;
    }
    this.#waiting.push({ notices, turnId });
    this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    const { clock, logger, onTold, outbox, session } = this.#options;
    let retryMs = firstRetryMs;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      try {
        await answered(clock, outbox.put(next.notices));
      } catch (error) {
        if (this.#isClosed) break;
        const facts = { session_id: session().id, err: error };
        if (mayPass(error)) {
          logger.warn(
            { event: 'notice_not_put', ...facts },
            'what happened could not be put on its way to those outside; it will be repeated',
          );
          await this.#pause(retryMs);
          retryMs = Math.min(longestRetryMs, 2 * retryMs);
          continue;
        }
        // It would hold up all that comes after it, and be said again by every owner to come.
        logger.error({ event: 'notice_dropped', ...facts }, 'what happened can be told to nobody outside');
      }
      if (this.#isClosed) break;
      if (next.turnId !== null) onTold(next.turnId);
      this.#waiting.shift();
      retryMs = firstRetryMs;
    }
    this.#sending = null;
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(ms, resolve);
    await Promise.race([promise, this.#closed.promise]);
    cancel();
  }
}

function mayPass(error: unknown): boolean {
  return error instanceof ServiceError && passingCodes.has(error.code);
}
