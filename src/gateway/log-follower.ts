// Reads a session's log from a place onwards, live: each event once, in order, none left out. Live
// batches are a hint and a shortcut; what they skip is read from the log. Nothing piles up behind a
// slow consumer: beyond a bound the live batches are dropped and read again later.

import type { EventLog, LogKey } from '../contracts/event-log.ts';
import type { Clock } from '../core/clock.ts';
import type { StoredEvent } from '../core/event.ts';
import { ServiceError } from '../core/errors.ts';
import { agreementOf } from './log-loss.ts';
import { readBehind } from './log-places.ts';

type Batch = readonly StoredEvent[];

const pageLimit = 128;
const maxWaitingEvents = 1024;

export type FollowOptions = {
  readonly log: EventLog;
  readonly clock: Clock;
  readonly key: LogKey;
  readonly afterSeq: number;
  /** Of the event at that place, where it is known: by it a log is recognised that has lost that event since. */
  readonly afterEpoch?: number | null;
  /** Ends the reading; a waiting next() answers null. */
  readonly signal: AbortSignal;
  readonly maxWaitingBytes: number;
  /** Whether a log that ends before what was read from it is gone for good. Else whoever writes it brings it back. */
  readonly isErased: () => Promise<boolean>;
};

export class LogFollower {
  readonly #options: FollowOptions;
  #position: number;
  /** Of the event at the position; null until one was handed out. */
  #epoch: number | null = null;
  /** The latest seq that is known to exist. */
  #latest: number;
  #waiting: Batch[] = [];
  #waitingEvents = 0;
  #waitingBytes = 0;
  #wake: () => void = () => undefined;
  #unsubscribe: () => void = () => undefined;
  #isClosed = false;
  #mayHaveLost = false;

  private constructor(options: FollowOptions) {
    this.#options = options;
    this.#epoch = options.afterEpoch ?? null;
    this.#position = options.afterSeq;
    this.#latest = options.afterSeq;
  }

  /** Subscribes before the first read, so that nothing falls between. Rejects with `cursor_expired`. */
  static async open(options: FollowOptions): Promise<LogFollower> {
    const follower = new LogFollower(options);
    try {
      follower.#unsubscribe = await options.log.subscribe(options.key, (events) => follower.#receive(events));
      const first = await follower.#readPage();
      if (first.length > 0) {
        // Handed out by next(), as if it had come live: the position is still before it.
        const start = (first[0]?.header.seq ?? 1) - 1;
        follower.#position = start;
        follower.#epoch = start === options.afterSeq ? (options.afterEpoch ?? null) : null;
        follower.#keep(first, true);
      }
    } catch (error) {
      follower.close();
      throw error;
    }
    options.signal.addEventListener('abort', follower.#onAbort, { once: true });
    if (options.signal.aborted) follower.close();
    return follower;
  }

  /**
   * The next events, at least one; none after `quietMs` without any, and by then the log was asked;
   * null once closed. One caller at a time.
   */
  async next(quietMs: number): Promise<Batch | null> {
    for (;;) {
      if (this.#isClosed) return null;
      if (this.#mayHaveLost) await this.#realign();
      const live = this.#takeWaiting();
      if (live !== null) return live;
      if (this.#latest > this.#position) {
        const page = await this.#readPage();
        if (page.length > 0 && !this.#isClosed) return page;
        continue;
      }
      if (await this.#isWokenWithin(quietMs)) continue;
      // A push can be lost, and then nothing follows it that would show the gap.
      const page = await this.#readPage();
      return this.#isClosed ? null : page;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    this.#unsubscribe();
    this.#dropWaiting();
    this.#wake();
  }

  readonly #onAbort = (): void => this.close();

  #receive(events: Batch): void {
    const last = events.at(-1);
    if (this.#isClosed || last === undefined) return;
    // Of a later epoch, and yet not new: the log has lost what was handed out, and goes on without it.
    if (this.#epoch !== null && last.header.epoch > this.#epoch) this.#mayHaveLost = true;
    else if (last.header.seq <= this.#position) return;
    this.#latest = Math.max(this.#latest, last.header.seq);
    this.#keep(events, false);
    this.#wake();
  }

  #keep(events: Batch, isFirst: boolean): void {
    const bytes = sizeOf(events);
    const isTooMuch =
      this.#waitingEvents + events.length > maxWaitingEvents ||
      this.#waitingBytes + bytes > this.#options.maxWaitingBytes;
    if (isTooMuch && !isFirst) {
      this.#dropWaiting();
      return;
    }
    // What arrived during the first read lies behind it.
    if (isFirst) this.#waiting.unshift(events);
    else this.#waiting.push(events);
    this.#waitingEvents += events.length;
    this.#waitingBytes += bytes;
  }

  #takeWaiting(): Batch | null {
    for (;;) {
      const batch = this.#waiting[0];
      const first = batch?.[0];
      if (batch === undefined || first === undefined) return null;
      if (first.header.seq > this.#position + 1) return null;
      this.#waiting.shift();
      this.#waitingEvents -= batch.length;
      this.#waitingBytes -= sizeOf(batch);
      const fresh =
        first.header.seq === this.#position + 1 ? batch : batch.filter((event) => event.header.seq > this.#position);
      const last = fresh.at(-1);
      if (last === undefined) continue;
      this.#handedOut(last);
      return fresh;
    }
  }

  async #readPage(): Promise<Batch> {
    const { log, key } = this.#options;
    const page = await readBehind(log, key, this.#position, pageLimit);
    if (page.lastSeq < this.#position && (await this.#options.isErased())) {
      throw new ServiceError('session_not_found', {}, { message: 'The log of the session is gone: it was erased.' });
    }
    const first = page.events[0];
    const isLaterEpoch = first !== undefined && this.#epoch !== null && first.header.epoch > this.#epoch;
    if (page.lastSeq < this.#position || isLaterEpoch) {
      const before = this.#position;
      await this.#realign();
      // Less than before was lost, or nothing: what was read follows what was handed out.
      if (this.#position < before) return this.#readPage();
    }
    const last = page.events.at(-1);
    if (last !== undefined) this.#handedOut(last);
    // A store that has less than was announced is asked again when something new comes, not at once.
    this.#latest = last === undefined ? this.#position : Math.max(page.lastSeq, this.#position);
    return page.events;
  }

  #handedOut(last: StoredEvent): void {
    this.#position = last.header.seq;
    this.#epoch = last.header.epoch;
  }

  /** Goes back to where the log parts from what was handed out, if it does. */
  async #realign(): Promise<void> {
    const { log, key } = this.#options;
    this.#mayHaveLost = false;
    if (this.#epoch === null || this.#position === 0) return;
    const agreement = await agreementOf(log, key, { epoch: this.#epoch, seq: this.#position });
    if (agreement.kind !== 'parted') return;
    this.#dropWaiting();
    this.#position = agreement.seq;
    this.#latest = Math.max(this.#latest, agreement.seq + 1);
  }

  async #isWokenWithin(quietMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#wake = () => resolve(true);
    const cancel = this.#options.clock.after(quietMs, () => resolve(false));
    try {
      return await promise;
    } finally {
      cancel();
      this.#wake = () => undefined;
    }
  }

  #dropWaiting(): void {
    this.#waiting = [];
    this.#waitingEvents = 0;
    this.#waitingBytes = 0;
  }
}

function sizeOf(events: Batch): number {
  let bytes = 0;
  for (const event of events) bytes += event.body.length;
  return bytes;
}
