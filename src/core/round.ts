// Work that is done again and again while there is some: one at a time, with a pause before each.

import type { Clock } from './clock.ts';

export type RoundParts = {
  readonly clock: Clock;
  readonly pauseMs: () => number;
  readonly work: () => Promise<unknown>;
  /** Asked after each time. */
  readonly goesOn: () => boolean;
  readonly onError: (error: unknown) => void;
};

export class Round {
  readonly #parts: RoundParts;
  #isBegun = false;
  #isStopped = false;
  #cancel: () => void = () => {};

  constructor(parts: RoundParts) {
    this.#parts = parts;
  }

  /** Harmless while it goes on. */
  begin(): void {
    if (this.#isBegun || this.#isStopped) return;
    this.#isBegun = true;
    this.#next();
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel();
  }

  #next(): void {
    const { clock, pauseMs } = this.#parts;
    this.#cancel = clock.after(pauseMs(), () => void this.#work());
  }

  async #work(): Promise<void> {
    const { goesOn, onError, work } = this.#parts;
    try {
      await work();
    } catch (error) {
      onError(error);
    }
    this.#isBegun = !this.#isStopped && goesOn();
    if (this.#isBegun) this.#next();
  }
}
