// Leadership among the parts of one process.

import type { Leadership } from '../../contracts/leadership.ts';
import type { Clock } from '../../core/clock.ts';

export class MemoryLeadership implements Leadership {
  readonly #clock: Clock;
  #held: { readonly holder: string; readonly untilMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async hold(holder: string, ttlMs: number): Promise<boolean> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#held !== null && this.#held.holder !== holder && nowMs < this.#held.untilMs) return false;
    this.#held = { holder, untilMs: nowMs + ttlMs };
    return true;
  }

  async resign(holder: string): Promise<void> {
    if (this.#held?.holder === holder) this.#held = null;
  }
}
