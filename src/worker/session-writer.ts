// Writes one session's events: gives each its place, batches what one tick brings, repeats what the
// store did not answer or has lost, and says when the right to write is lost. Does not decide what is written.

import { crc32 } from 'node:zlib';
import type { EventLog, LogKey } from '../contracts/event-log.ts';
import { type Clock, toTimestamp } from '../core/clock.ts';
import { isServiceError, type ServiceError } from '../core/errors.ts';
import { type EventDraft, formatCursor, type StoredEvent } from '../core/event.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { characters, type RetainedEvents } from './retained-events.ts';
import { answered } from './store-answer.ts';

export type WriterLoss = 'stale_epoch' | 'out_of_order' | 'overfull' | 'log_lost';

export type SessionWriterOptions = {
  readonly log: EventLog;
  readonly key: LogKey;
  readonly epoch: number;
  /** Seq of the last event in the log when this writer took over. */
  readonly lastSeq: number;
  /** Up to where the session's snapshot holds the events. */
  readonly sealedSeq: number;
  /**
   * What the log may lose is kept here as well until a snapshot holds it, also what earlier writers wrote.
   * null: this log loses nothing.
   */
  readonly retained: RetainedEvents | null;
  /** Whether the records still say that the session is ours. Asked when the log has lost its head. */
  readonly isStillOurs: () => Promise<boolean>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Pick<Metrics, 'logAppends'>;
  /** Most events that may wait for a store that does not answer. */
  readonly maxPending: number;
  /** The same in characters; the larger of the two worries decides. */
  readonly maxPendingChars?: number;
  readonly onLost: (loss: WriterLoss) => void;
};

const firstRetryMs = 50;
const longestRetryMs = 2_000;
const maxBatch = 1_000;
/** One event may be larger, and is then a batch of its own. */
const maxBatchChars = 4 * 1024 * 1024;
const defaultMaxPendingChars = 192 * 1024 * 1024;

export class SessionWriter {
  readonly #options: SessionWriterOptions;
  readonly #ended = Promise.withResolvers<void>();
  #nextSeq: number;
  #pending: StoredEvent[] = [];
  #pendingChars = 0;
  #flushing: Promise<void> | null = null;
  #isEnded = false;
  #sealedSeq: number;
  #failure: ServiceError | null = null;
  /** The log is to be asked whether it still has what it took. */
  #mustAsk = false;

  constructor(options: SessionWriterOptions) {
    this.#options = options;
    this.#nextSeq = options.lastSeq + 1;
    this.#sealedSeq = options.sealedSeq;
  }

  /** Gives the event the next place and returns its cursor. It is in the log once `flushed` resolves. */
  write(draft: EventDraft): string {
    const { key, epoch, clock, maxPending, maxPendingChars = defaultMaxPendingChars } = this.#options;
    const seq = this.#nextSeq;
    const cursor = formatCursor({ epoch, seq });
    if (this.#isEnded) return cursor;
    this.#nextSeq++;
    const at = clock.now();
    const body = JSON.stringify({
      seq,
      cursor,
      type: draft.type,
      session_id: key.sessionId,
      turn_id: draft.turnId,
      at: toTimestamp(at),
      ...draft.fields,
    });
    const checksum = crc32(`${body}\n${draft.raw ?? ''}`);
    const { tenant, sessionId } = key;
    const header = { tenant, sessionId, turnId: draft.turnId, epoch, seq, type: draft.type, at, checksum };
    const event: StoredEvent = { version: 1, header, body, raw: draft.raw };
    this.#pending.push(event);
    this.#pendingChars += characters(event);
    // One event alone is never too much: it is as large as an event may be.
    const isOverfull = this.#pending.length > maxPending || this.#pendingChars > maxPendingChars;
    if (isOverfull && this.#pending.length > 1) this.#lose('overfull');
    else this.#flushing ??= this.#flush();
    return cursor;
  }

  /** Nothing is written any more. */
  get isClosed(): boolean {
    return this.#isEnded;
  }

  /** Why nothing can be written any more, though it would be ours to write. */
  get failure(): ServiceError | null {
    return this.#failure;
  }

  /** Of the last event that was given a place; it is in the log once `flushed` resolves. */
  get lastSeq(): number {
    return this.#nextSeq - 1;
  }

  /** Whether such an event is kept here: in the log, or on its way there, also after the log has lost it. */
  keeps(isMeant: (event: StoredEvent) => boolean): boolean {
    return this.#pending.some(isMeant) || this.#options.retained?.some(isMeant) === true;
  }

  /** A snapshot that the session's record stands at holds the events up to here. */
  sealed(seq: number): void {
    this.#sealedSeq = Math.max(this.#sealedSeq, seq);
    this.#options.retained?.forgetUpTo(seq);
  }

  /** Resolves when everything written so far is in the log, or nothing will be written any more. */
  async flushed(): Promise<void> {
    while (this.#flushing !== null && !this.#isEnded) await Promise.race([this.#flushing, this.#ended.promise]);
  }

  /** As `flushed`, for a log that took everything once and may have lost it since: it has all when this resolves. */
  async confirmed(): Promise<void> {
    this.#mustAsk = true;
    if (!this.#isEnded) this.#flushing ??= this.#flush();
    await this.flushed();
  }

  /** Writes nothing from now on and forgets what waits: the right to write is gone, or nobody has time. */
  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#pending = [];
    this.#pendingChars = 0;
    this.#options.retained?.clear();
    this.#ended.resolve();
  }

  async #flush(): Promise<void> {
    // One turn of the event loop: what Codex wrote in one piece goes into the log in one piece.
    await new Promise<void>((resolve) => setImmediate(resolve));
    let retryMs = firstRetryMs;
    while (this.#pending.length > 0 || this.#mustAsk) {
      const batch = this.#nextBatch();
      this.#mustAsk = false;
      const done = await this.#append(batch);
      if (done !== 'written') this.#mustAsk = true;
      // Lost or closed meanwhile: nothing of what was pending is ours to write any more.
      if (this.#isEnded) break;
      if (done === 'written') {
        this.#pending.splice(0, batch.length);
        for (const event of batch) this.#pendingChars -= characters(event);
        this.#options.retained?.keep(batch);
        retryMs = firstRetryMs;
      } else if (done === 'not_yet') {
        await this.#pause(retryMs);
        retryMs = Math.min(longestRetryMs, retryMs * 2);
      }
    }
    this.#flushing = null;
  }

  /** reopened: what must be offered now may be more than this batch. */
  async #append(batch: readonly StoredEvent[]): Promise<'written' | 'reopened' | 'not_yet'> {
    const { clock, epoch, key, log, logger, metrics } = this.#options;
    try {
      const { outcome } = await answered(clock, log.append(key, epoch, batch));
      metrics.logAppends.inc({ outcome });
      if (outcome === 'log_lost') {
        await this.#reopen();
        return 'reopened';
      }
      if (outcome !== 'appended') this.#lose(outcome);
      return 'written';
    } catch (error) {
      metrics.logAppends.inc({ outcome: 'failed' });
      if (isServiceError(error, 'store_corrupt')) {
        logger.error(
          { event: 'log_damaged', session_id: key.sessionId, err: error },
          'the log of a session is damaged',
        );
        this.#failure = error;
        this.close();
        return 'written';
      }
      // Unknown or refused: the same batch again is harmless (the log recognises it).
      logger.warn(
        { event: 'log_append_failed', code: isServiceError(error) ? error.code : 'internal', err: error },
        'an append to the event log failed; it will be repeated',
      );
      return 'not_yet';
    }
  }

  /** The log has lost events, or may have: only who is the writer by the records goes on, with all that it lost. */
  async #reopen(): Promise<void> {
    const { clock, epoch, isStillOurs, key, log, logger, retained } = this.#options;
    if (!(await isStillOurs())) return this.#lose('stale_epoch');
    const opened = await answered(clock, log.open(key, epoch, this.#sealedSeq));
    if (this.#isEnded) return;
    if (opened.outcome === 'stale_epoch') return this.#lose('stale_epoch');
    const lost = retained?.takeBehind(opened.lastSeq) ?? [];
    this.#pending.unshift(...lost);
    for (const event of lost) this.#pendingChars += characters(event);
    const firstSeq = this.#pending[0]?.header.seq ?? this.#nextSeq;
    logger.warn(
      { event: 'log_reopened', session_id: key.sessionId, lost: lost.length, last_seq: opened.lastSeq },
      'the log of a session was lost and is written again',
    );
    // More was lost than is kept here: a hole that nobody sees would be worse than an interrupted turn.
    if (firstSeq > opened.lastSeq + 1) this.#lose('log_lost');
  }

  async #pause(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.clock.after(ms, resolve);
    await Promise.race([promise, this.#ended.promise]);
    cancel();
  }

  #nextBatch(): StoredEvent[] {
    let count = 0;
    let chars = 0;
    for (const event of this.#pending) {
      chars += characters(event);
      const isOfOther = event.header.epoch !== this.#pending[0]?.header.epoch;
      if (count > 0 && (count === maxBatch || chars > maxBatchChars || isOfOther)) break;
      count++;
    }
    return this.#pending.slice(0, count);
  }

  #lose(loss: WriterLoss): void {
    if (this.#isEnded) return;
    this.close();
    this.#options.onLost(loss);
  }
}
