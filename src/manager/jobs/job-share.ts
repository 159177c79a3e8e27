// How many jobs may run: their share of all slots, less while attempts are refused for reasons that every other
// would meet as well. Then one at a time finds out whether that is over.

import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../observability/logger.ts';
import { answered } from './store-answer.ts';

export type JobShareParts = {
  readonly slots: () => Promise<number>;
  readonly settings: { readonly sharePercent: number };
  readonly clock: Clock;
  readonly logger: Logger;
};

const slotsEveryMs = 2_000;
const firstHoldMs = 1_000;
const longestHoldMs = 15_000;

export class JobShare {
  readonly #parts: JobShareParts;
  #most: number | null = null;
  #nextAskMs = -Infinity;
  #refusals = 0;
  #heldUntilMs = -Infinity;
  #isFailureTold = false;

  constructor(parts: JobShareParts) {
    this.#parts = parts;
  }

  get isHeld(): boolean {
    return this.#parts.clock.monotonicMs() < this.#heldUntilMs;
  }

  /** How many more may begin. Never rejects: what was known last holds. */
  async room(running: number): Promise<number> {
    if (this.isHeld) return 0;
    const room = Math.max(0, (await this.#mostRunning()) - running);
    return this.#refusals > 0 ? Math.min(1, room) : room;
  }

  started(): void {
    this.#refusals = 0;
    this.#heldUntilMs = -Infinity;
  }

  refused(): void {
    const delayMs = Math.min(longestHoldMs, firstHoldMs * 2 ** Math.min(10, this.#refusals));
    // Those that were begun together are refused together.
    if (this.isHeld) return;
    this.#refusals++;
    this.#heldUntilMs = this.#parts.clock.monotonicMs() + delayMs;
  }

  async #mostRunning(): Promise<number> {
    const { clock, logger, settings, slots } = this.#parts;
    if (clock.monotonicMs() < this.#nextAskMs) return this.#most ?? 1;
    this.#nextAskMs = clock.monotonicMs() + slotsEveryMs;
    try {
      const all = await answered(clock, slots());
      this.#most = Math.max(1, Math.floor((all * settings.sharePercent) / 100));
      this.#isFailureTold = false;
    } catch (error) {
      if (!this.#isFailureTold)
        logger.warn({ event: 'slots_unknown', err: error }, 'how many slots the fleet has could not be found out');
      this.#isFailureTold = true;
    }
    return this.#most ?? 1;
  }
}
