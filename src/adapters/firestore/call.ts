// One call of the records: a deadline over all that it asks of Firestore, repeats with growing waits, and the last
// error for when time is over. Knows no documents.

import type { Clock } from '../../core/clock.ts';
import { within } from '../../core/deadline.ts';
import { isServiceError, type ServiceError } from '../../core/errors.ts';
import { closedFirestore, firestoreError, kindOfFailure, lateFirestore } from './firestore-errors.ts';

const firstWaitMs = 40;
const longestWaitMs = 1_000;
/** A lost packet must not cost the whole call: an attempt has a part of its time, and at least so much. */
const attemptsInTime = 2.5;
const shortestAttemptMs = 1_000;

export type CallTime = {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly random: () => number;
  /** Aborted when the records are closed: what is under way is then given up at once. */
  readonly closing: AbortSignal;
};

export class Call {
  readonly operation: string;
  readonly #clock: Clock;
  readonly #endMs: number;
  readonly #attemptMs: number;
  readonly #random: () => number;
  readonly #closing: AbortSignal;
  #failures = 0;
  #last: unknown = null;

  constructor(operation: string, { clock, closing, random, timeoutMs }: CallTime) {
    this.operation = operation;
    this.#closing = closing;
    this.#clock = clock;
    this.#endMs = clock.monotonicMs() + timeoutMs;
    this.#attemptMs = Math.max(shortestAttemptMs, timeoutMs / attemptsInTime);
    this.#random = random;
  }

  /** Runs once. Rejects with what the attempt rejected with, or `store_unavailable` when there is no time for it. */
  async attempt<T>(run: (timeoutMs: number) => Promise<T>): Promise<T> {
    const timeoutMs = Math.min(this.#attemptMs, this.#endMs - this.#clock.monotonicMs());
    if (timeoutMs <= 0) throw this.late();
    // The client keeps to the time it is given; this is for when it does not, as while it looks for credentials.
    const late = lateFirestore(this.operation);
    const result = await within(this.#clock, timeoutMs + 50, this.#unlessClosed(run(timeoutMs)), late);
    if (result === late) throw late;
    return result as T;
  }

  /** Runs what changes nothing, until it succeeds or time is over. Rejects with ServiceErrors alone. */
  async repeat<T>(run: (timeoutMs: number) => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await this.attempt(run);
      } catch (error) {
        if (!this.mayRepeat(error)) throw firestoreError(error, this.operation);
        await this.wait(error);
      }
    }
  }

  mayRepeat(error: unknown): boolean {
    return isLate(error) ? !this.isOver : kindOfFailure(error) === 'unclear';
  }

  get isOver(): boolean {
    return this.#clock.monotonicMs() >= this.#endMs;
  }

  /** Before the next attempt. Rejects when that would be too late. */
  async wait(after: unknown): Promise<void> {
    this.#last = after;
    const waitMs =
      Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(10, this.#failures)) * (0.5 + this.#random() / 2);
    this.#failures++;
    if (this.#clock.monotonicMs() + waitMs >= this.#endMs) throw this.late();
    let cancel = (): void => {};
    const over = new Promise<void>((resolve) => {
      cancel = this.#clock.after(waitMs, resolve);
    });
    try {
      await this.#unlessClosed(over);
    } finally {
      cancel();
    }
  }

  /** Says what went wrong the last time, if anything did: "unreachable" tells more than "too late". */
  late(): ServiceError {
    const isTelling = this.#last !== null && kindOfFailure(this.#last) !== 'condition';
    return isTelling ? firestoreError(this.#last, this.operation) : lateFirestore(this.operation);
  }

  /** A write that is given up may have arrived. */
  async #unlessClosed<T>(work: Promise<T>): Promise<T> {
    const { promise: closed, reject } = Promise.withResolvers<never>();
    const giveUp = (): void => reject(closedFirestore(this.operation));
    if (this.#closing.aborted) giveUp();
    this.#closing.addEventListener('abort', giveUp);
    try {
      return await Promise.race([closed, work]);
    } finally {
      this.#closing.removeEventListener('abort', giveUp);
    }
  }
}

function isLate(error: unknown): boolean {
  return isServiceError(error, 'store_unavailable') && error.details['reason'] === 'timeout';
}
