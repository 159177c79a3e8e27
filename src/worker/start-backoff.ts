// How long to wait after failed starts of Codex, and when those who wait for one are told.

import type { Clock } from '../core/clock.ts';

const firstDelayMs = 250;
const longestDelayMs = 10_000;
/** After so many failed starts in a row, those who wait are told instead of kept. */
const failuresBeforeTelling = 3;

export class StartBackoff {
  readonly #clock: Clock;
  readonly #onOver: () => void;
  #failuresInARow = 0;
  #lastFailureMs = Number.NEGATIVE_INFINITY;
  #cancel: (() => void) | null = null;
  #isStopped = false;

  constructor(clock: Clock, onOver: () => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  get isActive(): boolean {
    return this.#cancel !== null;
  }

  /** Starts that were under way together fail together, and count once. True when those who wait should be told. */
  failed(startedAtMs: number): boolean {
    if (startedAtMs > this.#lastFailureMs) {
      this.#failuresInARow++;
      this.#lastFailureMs = this.#clock.monotonicMs();
      this.#wait();
    }
    return this.#failuresInARow >= failuresBeforeTelling;
  }

  succeeded(): void {
    this.#failuresInARow = 0;
    this.#cancel?.();
    this.#cancel = null;
  }

  stop(): void {
    this.#isStopped = true;
    this.succeeded();
  }

  #wait(): void {
    this.#cancel?.();
    if (this.#isStopped) return;
    const delayMs = Math.min(longestDelayMs, firstDelayMs * 2 ** (this.#failuresInARow - 1));
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null;
      this.#onOver();
    });
  }
}
