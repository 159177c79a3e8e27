// One call through the store door: a deadline over all its attempts, repeats with growing waits, and whether one of
// those that failed may have been done all the same.

import type { Clock } from '../../core/clock.ts';
import type { ServiceError } from '../../core/errors.ts';
import { closedDoor, doorError, mayHaveBeenDone, mayRepeat, Unanswered } from './door-errors.ts';

const firstWaitMs = 40;
const longestWaitMs = 1_000;
/** A replica that has gone silent must not cost the whole call: an attempt has a part of its time. */
const attemptsInTime = 2.5;

/** What moves more slowly than this on the whole is as good as not moving: as Cloud Storage is asked. */
const minBytesPerMs = 64;

export type DoorCallTime = {
  readonly clock: Clock;
  /** For all of it; where octets move, from one to the next. */
  readonly timeoutMs: number;
  readonly random: () => number;
  /** Aborted when the client is closed: what is under way is then given up at once. */
  readonly closing: AbortSignal;
};

export class DoorCall {
  readonly operation: string;
  readonly #time: DoorCallTime;
  readonly #longestEndMs: number;
  #endMs: number;
  #failures = 0;
  #isUnclear = false;
  #last: unknown = null;

  /** `bytes`: that are to be moved. */
  constructor(operation: string, time: DoorCallTime, bytes = 0) {
    this.operation = operation;
    this.#time = time;
    this.#endMs = time.clock.monotonicMs() + time.timeoutMs;
    this.#longestEndMs = this.#endMs + bytes / minBytesPerMs;
  }

  /** Some of the octets did. */
  readonly moved = (): void => {
    const { clock, timeoutMs } = this.#time;
    this.#endMs = Math.min(this.#longestEndMs, Math.max(this.#endMs, clock.monotonicMs() + timeoutMs));
  };

  /** An attempt that failed may have been done. */
  get isUnclear(): boolean {
    return this.#isUnclear;
  }

  /** Runs until it succeeds, is refused for good, or time is over. Rejects with ServiceErrors alone. */
  async repeat<T>(run: (limitMs: number) => Promise<T>, canRepeat: () => boolean = () => true): Promise<T> {
    for (;;) {
      const limitMs = Math.min(this.#time.timeoutMs / attemptsInTime, this.#endMs - this.#time.clock.monotonicMs());
      if (limitMs <= 0) throw this.#late();
      if (this.#time.closing.aborted) throw closedDoor(this.operation);
      try {
        return await run(limitMs);
      } catch (error) {
        if (this.#time.closing.aborted) throw closedDoor(this.operation);
        if (mayHaveBeenDone(error)) this.#isUnclear = true;
        if (!mayRepeat(error) || !canRepeat()) throw doorError(error, this.operation);
        await this.wait(error);
      }
    }
  }

  /** Before the next attempt. Rejects when that would be too late. */
  async wait(after: unknown): Promise<void> {
    const { clock, closing, random } = this.#time;
    this.#last = after;
    const waitMs = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(10, this.#failures)) * (0.5 + random() / 2);
    this.#failures += 1;
    if (clock.monotonicMs() + waitMs >= this.#endMs) throw this.#late();
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const cancel = clock.after(waitMs, resolve);
    const giveUp = (): void => resolve();
    closing.addEventListener('abort', giveUp);
    await over;
    closing.removeEventListener('abort', giveUp);
    cancel();
  }

  /** Says what went wrong the last time, if anything did: "unreachable" tells more than "too late". */
  #late(): ServiceError {
    return doorError(this.#last ?? new Unanswered('timeout', true), this.operation);
  }
}
