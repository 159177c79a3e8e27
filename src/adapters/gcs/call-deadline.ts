// How long a call may take, with all its repeats: so long without a byte that was not moved before, and for a
// large body longer, as long as it moves at all well.

import type { Clock } from '../../core/clock.ts';

/** Slower than this on the whole is as good as not at all. */
const minBytesPerMs = 64;
/** An attempt that is silent for this part of the time is given up, so that there is time for another. */
const silentPart = 1 / 2;

export class CallDeadline {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #startMs: number;
  #endMs: number;
  #mostBytes: number;
  /** Of the attempt that came furthest. */
  #movedBytes = 0;
  #silentSinceMs: number;

  /** `bytes`: of the body, as far as it is known. */
  constructor(clock: Clock, timeoutMs: number, bytes: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#startMs = clock.monotonicMs();
    this.#endMs = this.#startMs + timeoutMs;
    this.#mostBytes = bytes;
    this.#silentSinceMs = this.#startMs;
  }

  get remainingMs(): number {
    return this.#endMs - this.#clock.monotonicMs();
  }

  /** The attempt that runs has at most this long to its next byte. */
  get patienceMs(): number {
    const sinceMs = this.#clock.monotonicMs() - this.#silentSinceMs;
    return Math.min(this.remainingMs, this.#timeoutMs * silentPart - sinceMs);
  }

  startAttempt(): void {
    this.#silentSinceMs = this.#clock.monotonicMs();
  }

  expect(bytes: number): void {
    this.#mostBytes = Math.max(this.#mostBytes, bytes);
  }

  /** `bytes`: of this attempt so far. */
  moved(bytes: number): void {
    const nowMs = this.#clock.monotonicMs();
    this.#silentSinceMs = nowMs;
    if (bytes <= this.#movedBytes) return;
    this.#movedBytes = bytes;
    const lastMs = this.#startMs + this.#timeoutMs + this.#mostBytes / minBytesPerMs;
    this.#endMs = Math.max(this.#endMs, Math.min(nowMs + this.#timeoutMs, lastMs));
  }
}
