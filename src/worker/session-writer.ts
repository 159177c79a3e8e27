// Writes one session's events: gives each its place, batches what one tick brings, repeats what the
// store did not answer, and says when the right to write is lost. Does not decide what is written.

import { crc32 } from 'node:zlib';
import type { EventLog, LogKey } from '../contracts/event-log.ts';
import { type Clock, toTimestamp } from '../core/clock.ts';
import { isServiceError } from '../core/errors.ts';
import { type EventDraft, formatCursor, type StoredEvent } from '../core/event.ts';
import type { Logger } from '../observability/logger.ts';

export type WriterLoss = 'stale_epoch' | 'out_of_order' | 'overfull';

export type SessionWriterOptions = {
  readonly log: EventLog;
  readonly key: LogKey;
  readonly epoch: number;
  /** Seq of the last event in the log when this writer took over. */
  readonly lastSeq: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Most events that may wait for a store that does not answer. */
  readonly maxPending: number;
  readonly onLost: (loss: WriterLoss) => void;
};

const firstRetryMs = 50;
const longestRetryMs = 2_000;
const maxBatch = 1_000;

export class SessionWriter {
  readonly #options: SessionWriterOptions;
  #nextSeq: number;
  #pending: StoredEvent[] = [];
  #flushing: Promise<void> | null = null;
  #loss: WriterLoss | null = null;

  constructor(options: SessionWriterOptions) {
    this.#options = options;
    this.#nextSeq = options.lastSeq + 1;
  }

  /** Gives the event the next place and returns its cursor. It is in the log once `flushed` resolves. */
  write(draft: EventDraft): string {
    const { key, epoch, clock } = this.#options;
    const seq = this.#nextSeq++;
    const at = clock.now();
    const cursor = formatCursor({ epoch, seq });
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
    const header = { ...key, turnId: draft.turnId, epoch, seq, type: draft.type, at, checksum };
    if (this.#loss === null) {
      this.#pending.push({ version: 1, header, body, raw: draft.raw });
      if (this.#pending.length > this.#options.maxPending) this.#lose('overfull');
      this.#flushing ??= this.#flush();
    }
    return cursor;
  }

  /** Resolves when everything written so far is in the log, or the right to write was lost. */
  async flushed(): Promise<void> {
    while (this.#flushing !== null) await this.#flushing;
  }

  async #flush(): Promise<void> {
    // One turn of the event loop: what Codex wrote in one piece goes into the log in one piece.
    await new Promise<void>((resolve) => setImmediate(resolve));
    let retryMs = firstRetryMs;
    while (this.#pending.length > 0 && this.#loss === null) {
      const batch = this.#pending.slice(0, maxBatch);
      try {
        const result = await this.#options.log.append(this.#options.key, this.#options.epoch, batch);
        if (result.outcome !== 'appended') {
          this.#lose(result.outcome);
          break;
        }
        this.#pending.splice(0, batch.length);
        retryMs = firstRetryMs;
      } catch (error) {
        // Unknown or refused: the same batch again is harmless (the log recognises it).
        this.#options.logger.warn(
          { event: 'log_append_failed', code: isServiceError(error) ? error.code : 'internal', err: error },
          'an append to the event log failed; it will be repeated',
        );
        await new Promise<void>((resolve) => this.#options.clock.after(retryMs, resolve));
        retryMs = Math.min(longestRetryMs, retryMs * 2);
      }
    }
    this.#flushing = null;
  }

  #lose(loss: WriterLoss): void {
    if (this.#loss !== null) return;
    this.#loss = loss;
    this.#pending = [];
    this.#options.onLost(loss);
  }
}
