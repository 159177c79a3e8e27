// A deadline that counts only while nobody is waited for: the time that a person takes to decide is
// not the turn's.

import type { Clock } from '../core/clock.ts';

/** Whether a turn waits for a person, and word of every change of that. */
export interface TurnWaiting {
  readonly isWaiting: boolean;
  /** The returned function ends it. */
  onWaitingChange(listener: (isWaiting: boolean) => void): () => void;
}

export class PausableTimer {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #leftMs: number;
  #startedAtMs = 0;
  #cancel: (() => void) | null = null;
  #isOver = false;

  /** Stands still until `run` is called. */
  constructor(clock: Clock, delayMs: number, onDue: () => void) {
    this.#clock = clock;
    this.#leftMs = delayMs;
    this.#onDue = onDue;
  }

  /** Counts, unless it does. */
  run(): void {
    if (this.#isOver || this.#cancel !== null) return;
    this.#startedAtMs = this.#clock.monotonicMs();
    this.#cancel = this.#clock.after(this.#leftMs, () => {
      this.stop();
      this.#onDue();
    });
  }

  /** Stands still, unless it does. */
  pause(): void {
    if (this.#cancel === null) return;
    this.#cancel();
    this.#cancel = null;
    this.#leftMs = Math.max(0, this.#leftMs - (this.#clock.monotonicMs() - this.#startedAtMs));
  }

  /** For good. */
  stop(): void {
    this.#isOver = true;
    this.#cancel?.();
    this.#cancel = null;
  }
}
