// Writes one session's events: gives each its place, batches what one tick brings, repeats what the
// store did not answer, and says when the right to write is lost. Does not decide what is written.

import { crc32 } from 'node:zlib';
import type { EventLog, LogKey } from '../contracts/event-log.ts';
import { type Clock, toTimestamp } from '../core/clock.ts';
import { isServiceError, type ServiceError } from '../core/errors.ts';
import { type EventDraft, formatCursor, type StoredEvent } from '../core/event.ts';
import type { Logger } from '../observability/logger.ts';
import type { Metrics } from '../observability/metrics.ts';
import { answered } from './store-answer.ts';

export type WriterLoss = 'stale_epoch' | 'out_of_order' | 'overfull' | 'log_lost';

export type SessionWriterOptions = {
  readonly log: EventLog;
  readonly key: LogKey;
  readonly epoch: number;
  /** Seq of the last event in the log when this writer took over. */
  readonly lastSeq: number;
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
  #failure: ServiceError | null = null;

  constructor(options: SessionWriterOptions) {
    this.#options = options;
    this.#nextSeq = options.lastSeq + 1;
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

  /** Resolves when everything written so far is in the log, or nothing will be written any more. */
  async flushed(): Promise<void> {
    while (this.#flushing !== null && !this.#isEnded) await Promise.race([this.#flushing, this.#ended.promise]);
  }

  /** Writes nothing from now on and forgets what waits: the right to write is gone, or nobody has time. */
  close(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#pending = [];
    this.#pendingChars = 0;
    this.#ended.resolve();
  }

  async #flush(): Promise<void> {
    // One turn of the event loop: what Codex wrote in one piece goes into the log in one piece.
    await new Promise<void>((resolve) => setImmediate(resolve));
    let retryMs = firstRetryMs;
    while (this.#pending.length > 0) {
      const batch = this.#nextBatch();
      const done = await this.#append(batch);
      // Lost or closed meanwhile: nothing of what was pending is ours to write any more.
      if (this.#isEnded) break;
      if (done) {
        this.#pending.splice(0, batch.length);
        for (const event of batch) this.#pendingChars -= characters(event);
        retryMs = firstRetryMs;
      } else {
        await this.#pause(retryMs);
        retryMs = Math.min(longestRetryMs, retryMs * 2);
      }
    }
    this.#flushing = null;
  }

  /** false when the same batch must be offered again. */
  async #append(batch: readonly StoredEvent[]): Promise<boolean> {
    const { clock, epoch, key, log, logger, metrics } = this.#options;
    try {
      const { outcome } = await answered(clock, log.append(key, epoch, batch));
      metrics.logAppends.inc({ outcome });
      if (outcome !== 'appended') this.#lose(outcome);
      return true;
    } catch (error) {
      metrics.logAppends.inc({ outcome: 'failed' });
      if (isServiceError(error, 'store_corrupt')) {
        logger.error(
          { event: 'log_damaged', session_id: key.sessionId, err: error },
          'the log of a session is damaged',
        );
        this.#failure = error;
        this.close();
        return true;
      }
      // Unknown or refused: the same batch again is harmless (the log recognises it).
      logger.warn(
        { event: 'log_append_failed', code: isServiceError(error) ? error.code : 'internal', err: error },
        'an append to the event log failed; it will be repeated',
      );
      return false;
    }
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
      if (count > 0 && (count === maxBatch || chars > maxBatchChars)) break;
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

function characters(event: StoredEvent): number {
  return event.body.length + (event.raw?.length ?? 0);
}
